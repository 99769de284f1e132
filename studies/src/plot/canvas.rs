//! The SVG of a figure, written piece by piece. Coordinates are pixels, y downwards.

use std::fmt::Write as _;

use super::text;

/// Colours that the colour-blind tell apart on white, without the yellow, which hardly shows.
/// **Source**: M. Okabe, K. Ito, "Color universal design", 2008.
const PALETTE: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f"];
const DASHES: [&str; 4] = ["", "9 5", "3 4", "9 4 3 4"];

/// How a series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) color: &'static str,
    pub(super) dash: &'static str,
    /// Which marker.
    pub(super) marker: usize,
}

impl Style {
    /// The look of the n-th series.
    pub(super) fn nth(n: usize) -> Style {
        Style {
            color: PALETTE[n % PALETTE.len()],
            dash: DASHES[n / PALETTE.len() % DASHES.len()],
            marker: n,
        }
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn contains(&self, (x, y): (f64, f64)) -> bool {
        (self.left..=self.right()).contains(&x) && (self.top..=self.bottom()).contains(&y)
    }
}

/// Where text is anchored, and how it is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
    /// Middle, reading upwards.
    Upwards,
    /// End, reading upwards.
    UpwardsEnd,
}

/// SVG in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    svg: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Canvas {
        let family = text::FONT_FAMILY;
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{family}, Verdana, sans-serif\">\n\
             <title>{}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            text::escaped(title)
        );
        Canvas { svg }
    }

    pub(super) fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }

    /// What follows shows inside this rectangle only.
    pub(super) fn begin_clip(&mut self, name: &str, to: Rect) {
        let Rect { left, top, width, height } = to;
        let _ = writeln!(
            self.svg,
            "<clipPath id=\"{name}\"><rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" \
             height=\"{height:.2}\"/></clipPath>\n<g clip-path=\"url(#{name})\">"
        );
    }

    pub(super) fn end_clip(&mut self) {
        self.svg.push_str("</g>\n");
    }

    /// A broken line through points.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], color: &str, width: f64, dash: &str) {
        if points.is_empty() {
            return;
        }
        let dash =
            if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let _ = writeln!(
            self.svg,
            "<path d=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{dash}/>",
            path(points)
        );
    }

    /// A filled area.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], fill: &str, opacity: f64) {
        let path = path(points);
        let _ = writeln!(
            self.svg,
            "<path d=\"{path}Z\" fill=\"{fill}\" fill-opacity=\"{opacity}\" stroke=\"none\"/>"
        );
    }

    /// A filled rectangle whose edges are not smoothed, so that neighbours have no seams.
    pub(super) fn cell(&mut self, rect: Rect, fill: &str) {
        let Rect { left, top, width, height } = rect;
        let _ = writeln!(
            self.svg,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             fill=\"{fill}\" shape-rendering=\"crispEdges\"/>"
        );
    }

    /// Something white to write on.
    pub(super) fn backing(&mut self, rect: Rect) {
        let Rect { left, top, width, height } = rect;
        let _ = writeln!(
            self.svg,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             rx=\"4\" fill=\"#ffffff\" fill-opacity=\"0.8\"/>"
        );
    }

    /// The outline of a panel.
    pub(super) fn frame(&mut self, rect: Rect) {
        let Rect { left, top, width, height } = rect;
        let _ = writeln!(
            self.svg,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             fill=\"none\" stroke=\"#000000\" stroke-width=\"1.5\"/>"
        );
    }

    /// Text with its baseline at y.
    pub(super) fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        self.colored_text(at, size, anchor, "#000000", text);
    }

    pub(super) fn colored_text(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: Anchor,
        color: &str,
        text: &str,
    ) {
        let (word, turn) = match anchor {
            Anchor::Start => ("start", ""),
            Anchor::Middle => ("middle", ""),
            Anchor::End => ("end", ""),
            Anchor::Upwards => ("middle", "turned"),
            Anchor::UpwardsEnd => ("end", "turned"),
        };
        let turn = if turn.is_empty() {
            String::new()
        } else {
            format!(" transform=\"rotate(-90 {x:.2} {y:.2})\"")
        };
        let spans = text::spans(text, size);
        let _ = writeln!(
            self.svg,
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" text-anchor=\"{word}\" \
             fill=\"{color}\"{turn}>{spans}</text>"
        );
    }

    /// The marker of a style: disc, square, triangle, diamond in turn.
    pub(super) fn marker(&mut self, (x, y): (f64, f64), radius: f64, style: Style) {
        let color = style.color;
        let corners: &[(f64, f64)] = match style.marker % 4 {
            0 => {
                let _ = writeln!(
                    self.svg,
                    "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius:.2}\" fill=\"{color}\"/>"
                );
                return;
            }
            1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            2 => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            _ => &[(0.0, -1.3), (1.0, 0.0), (0.0, 1.3), (-1.0, 0.0)],
        };
        let at = |&(dx, dy): &(f64, f64)| (x + dx * radius, y + dy * radius);
        let corners: Vec<(f64, f64)> = corners.iter().map(at).collect();
        self.polygon(&corners, color, 1.0);
    }
}

/// The points that make a difference: those nearer than a quarter of a pixel to the last are left
/// out, except at the end.
fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut last = None;
    for (k, &(x, y)) in points.iter().enumerate() {
        let near = |(a, b): (f64, f64)| (x - a).abs() < 0.25 && (y - b).abs() < 0.25;
        if last.is_some_and(near) && k + 1 < points.len() {
            continue;
        }
        // Far outside is outside: numbers stay short, and renderers exact.
        let (x, y) = (x.clamp(-1e5, 1e5), y.clamp(-1e5, 1e5));
        let _ = write!(path, "{}{x:.2} {y:.2}", if last.is_none() { 'M' } else { 'L' });
        last = Some((x, y));
    }
    path
}
