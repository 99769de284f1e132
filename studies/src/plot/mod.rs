//! Figures: curves, histograms with ratio panels, points with errors, densities; as SVG and PNG.
//!
//! A [`Plot`] has a title, an x axis and one or two panels with a y axis each. What is drawn is added with
//! its name: the same name has the same colour everywhere and one entry in the legend, so a curve and its
//! band go together. Ranges that are not given follow from the data, ticks from the ranges,
//! margins from the widths of labels, and the legend goes where there is least below it.
//!
//! ```no_run
//! use scout40_studies::plot::{Axis, Plot};
//!
//! let curve = [(1e-6, 0.02), (1e-4, 0.2), (1e-2, 0.7), (1.0, 1.0)];
//! Plot::new("Isolation forest", Axis::log("False positive rate"), Axis::linear("Signal efficiency"))
//!     .line("tt̄H → bb̄", &curve)
//!     .mark_x(1e-5, "10⁻⁵")
//!     .save("roc".as_ref())?;
//! # Ok::<(), scout40_studies::plot::PlotError>(())
//! ```
//!
//! Text may have `^{raised}` and `_{lowered}` parts. Colours are those of Okabe and Ito, which the
//! colour-blind tell apart; markers and, from the ninth series on, dashes differ too.
//!
//! SVG is written here, text as text. PNG is that SVG, drawn by resvg with a font of our own, so that it
//! needs none of the system. (kuva 0.6 was tried first: legends narrower than their text, turned text
//! without smoothing, no ratio panels that share an axis.) There is no interaction, no animation and
//! no third dimension.

mod axis;
mod canvas;
mod figure;
mod legend;
mod save;
mod shape;
mod text;

use std::path::{Path, PathBuf};

pub use axis::Axis;
use shape::{Series, Shape};

use crate::rate::Interval;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// A panel without anything that its axes can show.
    #[error(
        "plot `{title}`, axis `{axis}`: expected something to draw, found no finite values{positive}"
    )]
    Nothing {
        /// Title of the plot.
        title: String,
        /// Label of the axis whose range is unknown.
        axis: String,
        /// That a logarithmic axis shows positive values only.
        positive: &'static str,
    },
    /// A range that an axis cannot have.
    #[error(
        "plot `{title}`, axis `{axis}`: expected a range from a smaller to a larger finite \
         number{positive}, found {min} to {max}"
    )]
    Range {
        /// Title of the plot.
        title: String,
        /// Label of the axis.
        axis: String,
        /// Lower end.
        min: f64,
        /// Upper end.
        max: f64,
        /// That a logarithmic axis shows positive values only.
        positive: &'static str,
    },
    /// The figure could not be turned into pixels.
    #[error("plot `{title}`: cannot be drawn as PNG: {problem}")]
    Render {
        /// Title of the plot.
        title: String,
        /// What the renderer says.
        problem: String,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A figure in the making.
#[derive(Clone, Debug)]
pub struct Plot {
    title: String,
    note: String,
    x: Axis,
    panels: Vec<Panel>,
    density_label: String,
}

/// What shares a y axis.
#[derive(Clone, Debug)]
struct Panel {
    y: Axis,
    series: Vec<Series>,
}

impl Plot {
    /// A figure with one empty panel.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis) -> Plot {
        Plot {
            title: title.to_owned(),
            note: String::new(),
            x,
            panels: vec![Panel { y, series: Vec::new() }],
            density_label: String::new(),
        }
    }

    /// A remark in small print, opposite to the title: what the sample is.
    #[must_use]
    pub fn note(mut self, note: &str) -> Plot {
        note.clone_into(&mut self.note);
        self
    }

    /// Begins a lower panel on the same x axis; what is added from here on goes there.
    #[must_use]
    pub fn lower(mut self, y: Axis) -> Plot {
        self.panels.push(Panel { y, series: Vec::new() });
        self
    }

    /// A curve through these points, in this order. Points that an axis cannot show interrupt it.
    #[must_use]
    pub fn line(self, name: &str, points: &[(f64, f64)]) -> Plot {
        self.add(name, Shape::Line(points.to_vec()))
    }

    /// What lies between two curves: (x, low, high).
    #[must_use]
    pub fn band(self, name: &str, points: &[(f64, f64, f64)]) -> Plot {
        self.add(name, Shape::Band(points.to_vec()))
    }

    /// A curve with its intervals as a band around it.
    #[must_use]
    pub fn curve(self, name: &str, points: &[(f64, Interval)]) -> Plot {
        let band: Vec<_> = points.iter().map(|(x, y)| (*x, y.low, y.high)).collect();
        let line: Vec<_> = points.iter().map(|(x, y)| (*x, y.value)).collect();
        self.band(name, &band).line(name, &line)
    }

    /// Points with error bars.
    #[must_use]
    pub fn points(self, name: &str, points: &[(f64, Interval)]) -> Plot {
        self.add(name, Shape::Points(points.to_vec()))
    }

    /// Points without errors.
    #[must_use]
    pub fn scatter(self, name: &str, points: &[(f64, f64)]) -> Plot {
        let exact = |&(x, y)| (x, Interval { value: y, low: y, high: y });
        self.add(name, Shape::Points(points.iter().map(exact).collect()))
    }

    /// A histogram: the value of each bin between two of the ascending `edges`, with error bars
    /// where the interval has a width.
    ///
    /// # Panics
    /// If there is not one edge more than there are bins.
    #[must_use]
    pub fn steps(self, name: &str, edges: &[f64], bins: &[Interval]) -> Plot {
        assert_eq!(edges.len(), bins.len() + 1, "a bin lies between two edges");
        self.add(name, Shape::Steps { edges: edges.to_vec(), bins: bins.to_vec() })
    }

    /// How many points there are where, for more points than can be told apart. `label` says what
    /// is counted, beside the scale of colours.
    #[must_use]
    pub fn density(mut self, label: &str, points: &[(f64, f64)]) -> Plot {
        label.clone_into(&mut self.density_label);
        self.add("", Shape::Density(points.to_vec()))
    }

    /// A vertical line with a label.
    #[must_use]
    pub fn mark_x(self, x: f64, label: &str) -> Plot {
        self.add("", Shape::MarkX(x, label.to_owned()))
    }

    /// A horizontal line with a label.
    #[must_use]
    pub fn mark_y(self, y: f64, label: &str) -> Plot {
        self.add("", Shape::MarkY(y, label.to_owned()))
    }

    /// The figure as SVG.
    ///
    /// # Errors
    /// Nothing to draw, and ranges that an axis cannot have.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        figure::draw(self)
    }

    /// Writes `STEM.svg` and `STEM.png`; each appears when it is whole, and not before the other is.
    ///
    /// # Errors
    /// Those of [`Plot::to_svg`], and files that cannot be written.
    pub fn save(&self, stem: &Path) -> Result<Saved, PlotError> {
        save::save(self, stem)
    }

    fn add(mut self, name: &str, shape: Shape) -> Plot {
        let panel = self.panels.last_mut().expect("there is always a panel");
        panel.series.push(Series { name: name.to_owned(), shape });
        self
    }
}

/// Where a figure is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The vector graphics.
    pub svg: PathBuf,
    /// The pixels.
    pub png: PathBuf,
}

impl Saved {
    /// `STEM.svg` and `STEM.png`: a dot in the stem is part of its name.
    #[must_use]
    pub fn of(stem: &Path) -> Saved {
        let with_extension = |extension: &str| {
            let mut name = stem.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{extension}"));
            stem.with_file_name(name)
        };
        Saved { svg: with_extension("svg"), png: with_extension("png") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISING: [(f64, f64); 4] = [(1e-4, 0.1), (1e-3, 0.3), (1e-2, 0.6), (1.0, 1.0)];

    fn roc() -> Plot {
        Plot::new("ROC & more", Axis::log("False positive rate"), Axis::linear("Signal efficiency"))
            .note("pile-up 60")
            .line("leptoquark", &RISING)
            .band("leptoquark", &RISING.map(|(x, y)| (x, y - 0.05, y + 0.05)))
            .line("A → 4ℓ", &RISING.map(|(x, y)| (x, y * y)))
            .mark_x(3e-4, "10 kHz")
    }

    fn exact(value: f64) -> Interval {
        Interval { value, low: value, high: value }
    }

    /// Texts of an SVG without their markup.
    fn texts(svg: &str) -> Vec<String> {
        let text = |line: &str| {
            let inner = line.strip_suffix("</text>")?.split_once('>')?.1.to_owned();
            let parts = inner.split('<').map(|part| part.split_once('>').map_or(part, |p| p.1));
            Some(parts.collect())
        };
        svg.lines().filter_map(text).collect()
    }

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    #[test]
    fn a_figure_has_title_names_labels_units_and_ticks() {
        let texts = texts(&roc().to_svg().unwrap());
        let labels = ["ROC &amp; more", "pile-up 60", "False positive rate", "Signal efficiency"];
        let names = ["leptoquark", "A → 4ℓ", "10 kHz"];
        let ticks = ["10−4", "10−3", "10−2", "10−1", "1", "0.0", "0.2", "0.8", "1.0"];
        for expected in labels.iter().chain(&names).chain(&ticks) {
            let found = texts.iter().filter(|text| text == expected).count();
            assert_eq!(found, 1, "{expected} in {texts:?}");
        }
        let axes =
            Plot::new("", Axis::linear("p_{T}").unit("GeV"), Axis::linear("Rate").unit("kHz"));
        let svg = axes.scatter("", &[(0.0, 1.0), (50.0, 2.0)]).to_svg().unwrap();
        assert!(self::texts(&svg).contains(&"pT [GeV]".to_owned()), "{svg}");
        assert!(svg.contains(">Rate [kHz]<"));
    }

    #[test]
    fn the_same_name_has_the_same_color_in_curve_band_and_lower_panel() {
        let bins = [exact(5.0), exact(3.0)];
        let plot = roc().lower(Axis::linear("Ratio")).steps("A → 4ℓ", &[1e-4, 1e-2, 1.0], &bins);
        let svg = plot.to_svg().unwrap();
        // Line and key; band and its key. Line and key; histogram.
        assert_eq!(count(&svg, "stroke=\"#0072b2\""), 2);
        assert_eq!(count(&svg, "fill=\"#0072b2\""), 2);
        assert_eq!(count(&svg, "stroke=\"#d55e00\""), 4);
        assert_eq!(count(&svg, ">leptoquark<"), 1);
        assert_eq!(count(&svg, ">Ratio<"), 1);
    }

    #[test]
    fn a_curve_is_interrupted_where_its_axes_cannot_show_it() {
        let log = |points: &[(f64, f64)]| {
            let plot = Plot::new("", Axis::linear("x"), Axis::log("y")).line("", points);
            count(&plot.to_svg().unwrap(), "stroke-width=\"2.5\"")
        };
        assert_eq!(log(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]), 1);
        assert_eq!(log(&[(0.0, 1.0), (1.0, 2.0), (2.0, 0.0), (3.0, 4.0), (4.0, 5.0)]), 2);
        assert_eq!(log(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, -3.0), (3.0, 4.0)]), 2);
    }

    #[test]
    fn numbers_in_a_figure_are_finite_and_short() {
        let wild = [(0.0, 1.0), (1.0, 1e300), (2.0, f64::INFINITY), (3.0, f64::NAN), (4.0, -1e300)];
        let interval = Interval { value: 1.0, low: f64::NEG_INFINITY, high: f64::INFINITY };
        let y = Axis::linear("y").range(0.0, 2.0);
        let svg = Plot::new("", Axis::linear("x"), y)
            .line("a", &wild)
            .scatter("b", &wild)
            .points("c", &[(1.0, interval)])
            .steps("d", &[0.0, 1.0, 2.0], &[interval, exact(f64::NAN)])
            .to_svg()
            .unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.split([' ', '"', 'L']).all(|word| word.len() < 40 || word.contains("www")));
    }

    #[test]
    fn the_legend_hides_nothing_where_there_is_room_to_make() {
        let flat: Vec<(f64, f64)> = (0..50).map(|k| (f64::from(k), 1.0)).collect();
        let full = Plot::new("", Axis::linear("x"), Axis::linear("y"))
            .line("one", &flat)
            .line("two", &flat.iter().map(|&(x, y)| (x, y + x)).collect::<Vec<_>>())
            .line("three", &flat.iter().map(|&(x, y)| (x, y + 49.0 - x)).collect::<Vec<_>>());
        let svg = full.to_svg().unwrap();
        let number = |text: &str| -> f64 { text.split('"').next().unwrap().parse().unwrap() };
        let after = |line: &str, key: &str| number(line.split(key).nth(1).unwrap());
        let backing = svg.lines().find(|line| line.contains("fill-opacity=\"0.8\"")).unwrap();
        let (left, top) = (after(backing, "x=\""), after(backing, "y=\""));
        let (width, height) = (after(backing, "width=\""), after(backing, "height=\""));
        let curves = svg.lines().filter(|line| line.contains("stroke-width=\"2.5\""));
        let points = curves.flat_map(|line| line.split('"').nth(1).unwrap().split(['M', 'L']));
        let mut seen = 0;
        for point in points.filter(|point| !point.is_empty()) {
            let (x, y) = point.split_once(' ').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
            assert!(!inside, "{point} is below the legend");
            seen += 1;
        }
        assert!(seen > 100);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_with_the_axis() {
        let empty = Plot::new("empty", Axis::linear("x"), Axis::log("rate").unit("kHz"));
        let error = empty.clone().line("a", &[(1.0, -1.0)]).to_svg().unwrap_err().to_string();
        assert!(error.contains("`empty`") && error.contains("`rate [kHz]`"), "{error}");
        assert!(empty.to_svg().is_err());
        let range = Plot::new("", Axis::log("x").range(0.0, 1.0), Axis::linear("y"));
        let error = range.line("", &RISING).to_svg().unwrap_err();
        assert!(matches!(error, PlotError::Range { .. }), "{error}");
    }

    #[test]
    fn both_files_are_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let saved = roc().save(&folder.path().join("roc.v2")).unwrap();
        assert_eq!(saved.svg, folder.path().join("roc.v2.svg"));
        assert_eq!(std::fs::read_to_string(&saved.svg).unwrap(), roc().to_svg().unwrap());
        let image = resvg::tiny_skia::Pixmap::load_png(&saved.png).unwrap();
        assert_eq!((image.width(), image.height()), (1920, 1440));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        // Text is there: dark pixels in the margin where the label of the y axis stands.
        let dark = |x: u32, y: u32| image.pixel(x, y).is_some_and(|pixel| pixel.red() < 100);
        let inked =
            (20..80).flat_map(|x| (0..1440).map(move |y| (x, y))).filter(|&(x, y)| dark(x, y));
        assert!(inked.count() > 500);
    }

    #[test]
    fn a_figure_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let missing = roc().save(&folder.path().join("no/such/roc")).unwrap_err();
        assert!(matches!(missing, PlotError::Write { .. }), "{missing}");
        let bad = Plot::new("", Axis::linear("x"), Axis::linear("y"));
        assert!(bad.save(&folder.path().join("bad")).is_err());
        // A folder is in the way of the second file.
        std::fs::create_dir_all(folder.path().join("roc.png/full")).unwrap();
        assert!(roc().save(&folder.path().join("roc")).is_err());
        let left = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("tmp")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_density_counts_every_point_once() {
        let points: Vec<(f64, f64)> =
            (0..1000).map(|k| (f64::from(k % 10), f64::from(k / 100))).collect();
        let plot = Plot::new("", Axis::linear("x"), Axis::linear("y")).density("Events", &points);
        let svg = plot.to_svg().unwrap();
        // One hundred cells with ten events each, and the 64 steps of the scale of colours.
        assert_eq!(count(&svg, "crispEdges"), 100 + 64);
        assert_eq!(count(&svg, &shape::heat(1.0)), 100);
        assert_eq!(count(&svg, ">Events<"), 1);
    }
}
