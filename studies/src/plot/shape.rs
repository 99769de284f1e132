//! What can be drawn in a panel: which values its axes have to show, and how it is drawn.

use super::axis::{Axis, Scale};
use super::canvas::{Anchor, Canvas, Rect, Style};
use crate::rate::Interval;

/// Something with a name in the legend.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) shape: Shape,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line(Vec<(f64, f64)>),
    Band(Vec<(f64, f64, f64)>),
    Points(Vec<(f64, Interval)>),
    Steps { edges: Vec<f64>, bins: Vec<Interval> },
    Density(Vec<(f64, f64)>),
    MarkX(f64, String),
    MarkY(f64, String),
}

/// A panel whose ranges are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) frame: Rect,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl View {
    pub(super) fn pixel_x(&self, x: f64) -> f64 {
        self.frame.left + self.x.fraction(x) * self.frame.width
    }

    /// The pixel of a value; just below the frame for what a log axis cannot show.
    pub(super) fn pixel_y(&self, y: f64) -> f64 {
        if self.y.log && y <= 0.0 {
            return self.frame.bottom() + 50.0;
        }
        self.frame.bottom() - self.y.fraction(y) * self.frame.height
    }

    fn pixel(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.pixel_x(x), self.pixel_y(y))
    }

    fn shows_x(&self, x: f64) -> bool {
        x.is_finite() && (!self.x.log || x > 0.0)
    }

    fn shows(&self, (x, y): (f64, f64)) -> bool {
        self.shows_x(x) && y.is_finite() && (!self.y.log || y > 0.0)
    }
}

/// Cells of a density along x and y.
const CELLS: (usize, usize) = (72, 54);
/// Above this many points there are no longer error bars' ends and large markers.
const MANY: usize = 60;

impl Shape {
    /// Values on x that have to show.
    pub(super) fn xs(&self) -> Vec<f64> {
        match self {
            Shape::Line(points) | Shape::Density(points) => points.iter().map(|p| p.0).collect(),
            Shape::Band(points) => points.iter().map(|p| p.0).collect(),
            Shape::Points(points) => points.iter().map(|p| p.0).collect(),
            Shape::Steps { edges, .. } => edges.clone(),
            Shape::MarkX(x, _) => vec![*x],
            Shape::MarkY(..) => Vec::new(),
        }
    }

    /// Values on y that have to show, of those points that show on x. Errors that would stretch a
    /// log axis downwards do not have to.
    pub(super) fn ys(&self, x: &Axis, y: &Axis) -> Vec<f64> {
        let ends = |value: &Interval| {
            let low = if y.log { value.value } else { value.low };
            [value.value, low, value.high]
        };
        let visible = |at: f64| x.shows(at) && x.range.is_none_or(|(a, b)| a <= at && at <= b);
        match self {
            Shape::Line(points) | Shape::Density(points) => {
                points.iter().filter(|p| visible(p.0)).map(|p| p.1).collect()
            }
            Shape::Band(points) => {
                points.iter().filter(|p| visible(p.0)).flat_map(|p| [p.1, p.2]).collect()
            }
            Shape::Points(points) => {
                points.iter().filter(|p| visible(p.0)).flat_map(|p| ends(&p.1)).collect()
            }
            Shape::Steps { edges, bins } => {
                let inside =
                    edges.windows(2).zip(bins).filter(|(e, _)| visible(e[0]) || visible(e[1]));
                inside.flat_map(|(_, bin)| ends(bin)).collect()
            }
            Shape::MarkX(..) => Vec::new(),
            Shape::MarkY(y, _) => vec![*y],
        }
    }

    /// Where ink will be, for finding a place for the legend.
    pub(super) fn ink(&self, view: &View) -> Vec<(f64, f64)> {
        match self {
            Shape::Line(points) => {
                runs(points, view).iter().flat_map(|run| dense(&pixels(run, view))).collect()
            }
            Shape::Band(points) => {
                let ends = points.iter().flat_map(|p| [(p.0, p.1), (p.0, p.2)]);
                ends.filter(|&p| view.shows(p)).map(|p| view.pixel(p)).collect()
            }
            Shape::Points(points) => {
                let ends = points
                    .iter()
                    .flat_map(|(x, y)| [(*x, y.value), (*x, y.low.max(view.y.min)), (*x, y.high)]);
                ends.filter(|&p| view.shows(p)).map(|p| view.pixel(p)).collect()
            }
            Shape::Steps { edges, bins } => dense(&outline(edges, bins, view)),
            Shape::Density(points) => {
                points.iter().filter(|&&p| view.shows(p)).map(|&p| view.pixel(p)).collect()
            }
            Shape::MarkX(x, _) => {
                let x = view.pixel_x(*x);
                dense(&[(x, view.frame.top), (x, view.frame.bottom())])
            }
            Shape::MarkY(..) => Vec::new(),
        }
    }

    /// Areas are below lines, and lines below points, in whatever order they are added.
    pub(super) fn layer(&self) -> u8 {
        match self {
            Shape::Density(_) => 0,
            Shape::Band(_) => 1,
            Shape::MarkX(..) | Shape::MarkY(..) => 2,
            Shape::Line(_) | Shape::Steps { .. } => 3,
            Shape::Points(_) => 4,
        }
    }

    /// Draws it into its panel, which clips.
    pub(super) fn draw(&self, canvas: &mut Canvas, view: &View, style: Style) {
        match self {
            Shape::Line(points) => {
                for run in runs(points, view) {
                    canvas.polyline(&pixels(&run, view), style.color, 2.5, style.dash);
                }
            }
            Shape::Band(points) => draw_band(canvas, view, points, style),
            Shape::Points(points) => draw_points(canvas, view, points, style),
            Shape::Steps { edges, bins } => {
                canvas.polyline(&outline(edges, bins, view), style.color, 2.2, style.dash);
                let middle = |edges: &[f64]| {
                    view.x.value((view.x.fraction(edges[0]) + view.x.fraction(edges[1])) / 2.0)
                };
                for (edges, bin) in edges.windows(2).zip(bins) {
                    draw_error(canvas, view, middle(edges), bin, style, bins.len() <= MANY);
                }
            }
            Shape::Density(points) => draw_density(canvas, view, points),
            Shape::MarkX(x, label) if view.shows_x(*x) => {
                let x = view.pixel_x(*x);
                let line = [(x, view.frame.top), (x, view.frame.bottom())];
                canvas.polyline(&line, "#555555", 1.5, "6 4");
                // Below the ticks.
                let at = (x - 6.0, view.frame.top + 18.0);
                canvas.colored_text(at, 17.0, Anchor::UpwardsEnd, "#333333", label);
            }
            Shape::MarkY(y, label) if y.is_finite() => {
                let y = view.pixel_y(*y);
                let line = [(view.frame.left, y), (view.frame.right(), y)];
                canvas.polyline(&line, "#555555", 1.5, "6 4");
                let at = (view.frame.left + 18.0, y - 6.0);
                canvas.colored_text(at, 17.0, Anchor::Start, "#333333", label);
            }
            Shape::MarkX(..) | Shape::MarkY(..) => {}
        }
    }

    /// Its sample in the legend, between two x at this height.
    pub(super) fn draw_key(
        &self,
        canvas: &mut Canvas,
        (from, to): (f64, f64),
        y: f64,
        style: Style,
    ) {
        match self {
            Shape::Line(_) => canvas.polyline(&[(from, y), (to, y)], style.color, 3.0, style.dash),
            Shape::Steps { .. } => {
                let (third, height) = ((to - from) / 3.0, 6.0);
                let at = |k: f64| from + k * third;
                let step = [
                    (at(0.0), y + height),
                    (at(1.0), y + height),
                    (at(1.0), y - height),
                    (at(2.0), y - height),
                    (at(2.0), y + height / 3.0),
                    (at(3.0), y + height / 3.0),
                ];
                canvas.polyline(&step, style.color, 2.2, style.dash);
            }
            Shape::Band(_) => {
                let corners = [(from, y - 8.0), (to, y - 8.0), (to, y + 8.0), (from, y + 8.0)];
                canvas.polygon(&corners, style.color, BAND_OPACITY);
            }
            Shape::Points(_) => {
                let middle = (from + to) / 2.0;
                canvas.polyline(&[(middle, y - 10.0), (middle, y + 10.0)], style.color, 1.8, "");
                canvas.marker((middle, y), 5.0, style);
            }
            Shape::Density(_) | Shape::MarkX(..) | Shape::MarkY(..) => {}
        }
    }
}

const BAND_OPACITY: f64 = 0.25;

fn pixels(points: &[(f64, f64)], view: &View) -> Vec<(f64, f64)> {
    points.iter().map(|&point| view.pixel(point)).collect()
}

/// The stretches of a curve that the axes can show.
fn runs(points: &[(f64, f64)], view: &View) -> Vec<Vec<(f64, f64)>> {
    points
        .chunk_by(|&a, &b| view.shows(a) == view.shows(b))
        .filter(|run| view.shows(run[0]))
        .map(<[_]>::to_vec)
        .collect()
}

/// Points along a broken line, at most 8 pixels apart.
fn dense(line: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let between = |pair: &[(f64, f64)]| {
        let (a, b) = (pair[0], pair[1]);
        let parts = ((b.0 - a.0).hypot(b.1 - a.1) / 8.0).ceil().clamp(1.0, 1000.0);
        let at = move |k: u32| {
            let part = f64::from(k) / parts;
            (a.0 + part * (b.0 - a.0), a.1 + part * (b.1 - a.1))
        };
        (0..=parts as u32).map(at).collect::<Vec<_>>()
    };
    line.windows(2).flat_map(between).collect()
}

/// The outline of a histogram, from the floor to the floor.
fn outline(edges: &[f64], bins: &[Interval], view: &View) -> Vec<(f64, f64)> {
    let floor = view.pixel_y(if view.y.log { 0.0 } else { view.y.min.max(0.0) });
    // On a log axis, the first edge may be zero.
    let pixel_x = |x: f64| if view.shows_x(x) { view.pixel_x(x) } else { view.frame.left - 50.0 };
    let mut line = vec![(pixel_x(edges[0]), floor)];
    for (edges, bin) in edges.windows(2).zip(bins) {
        let y = if bin.value.is_finite() { view.pixel_y(bin.value) } else { floor };
        line.extend([(pixel_x(edges[0]), y), (pixel_x(edges[1]), y)]);
    }
    line.push((pixel_x(edges[bins.len()]), floor));
    line
}

fn draw_band(canvas: &mut Canvas, view: &View, points: &[(f64, f64, f64)], style: Style) {
    let shown = points.iter().filter(|p| view.shows((p.0, p.2)) && p.1.is_finite());
    let shown: Vec<_> = shown.collect();
    let low = shown.iter().map(|p| view.pixel((p.0, p.1)));
    let high = shown.iter().rev().map(|p| view.pixel((p.0, p.2)));
    let corners: Vec<(f64, f64)> = low.chain(high).collect();
    if !corners.is_empty() {
        canvas.polygon(&corners, style.color, BAND_OPACITY);
    }
}

fn draw_points(canvas: &mut Canvas, view: &View, points: &[(f64, Interval)], style: Style) {
    let few = points.len() <= MANY;
    for (x, y) in points.iter().filter(|(x, y)| view.shows((*x, y.value))) {
        draw_error(canvas, view, *x, y, style, few);
        canvas.marker(view.pixel((*x, y.value)), if few { 5.0 } else { 2.2 }, style);
    }
    // What a log axis cannot show may still have an upper end.
    for (x, y) in points.iter().filter(|(x, y)| view.shows_x(*x) && !view.shows((*x, y.value))) {
        draw_error(canvas, view, *x, y, style, few);
    }
}

fn draw_error(canvas: &mut Canvas, view: &View, x: f64, y: &Interval, style: Style, ends: bool) {
    if !(view.shows_x(x) && y.low.is_finite() && y.high.is_finite() && y.low < y.high) {
        return;
    }
    let (x, low, high) = (view.pixel_x(x), view.pixel_y(y.low), view.pixel_y(y.high));
    canvas.polyline(&[(x, low), (x, high)], style.color, 1.8, "");
    if ends {
        for y in [low, high] {
            canvas.polyline(&[(x - 4.0, y), (x + 4.0, y)], style.color, 1.8, "");
        }
    }
}

/// Cells with their counts, those that have any.
fn count(points: &[(f64, f64)], view: &View) -> Vec<((usize, usize), u64)> {
    let (nx, ny) = CELLS;
    let mut counts = vec![0; nx * ny];
    for &point in points.iter().filter(|&&point| view.shows(point)) {
        let (fx, fy) = (view.x.fraction(point.0), view.y.fraction(point.1));
        if (0.0..=1.0).contains(&fx) && (0.0..=1.0).contains(&fy) {
            let cell = |fraction: f64, n: usize| ((fraction * n as f64) as usize).min(n - 1);
            counts[cell(fy, ny) * nx + cell(fx, nx)] += 1;
        }
    }
    let filled = counts.into_iter().enumerate().filter(|&(_, n)| n > 0);
    filled.map(|(cell, n)| ((cell % nx, cell / nx), n)).collect()
}

/// The largest count of a cell.
pub(super) fn largest_count(points: &[(f64, f64)], view: &View) -> u64 {
    count(points, view).into_iter().map(|(_, n)| n).max().unwrap_or(1)
}

fn draw_density(canvas: &mut Canvas, view: &View, points: &[(f64, f64)]) {
    let counts = Scale { log: true, min: 1.0, max: largest_count(points, view).max(2) as f64 };
    let (width, height) = (view.frame.width / CELLS.0 as f64, view.frame.height / CELLS.1 as f64);
    for ((column, row), n) in count(points, view) {
        let left = view.frame.left + column as f64 * width;
        let top = view.frame.bottom() - (row + 1) as f64 * height;
        canvas.cell(Rect { left, top, width, height }, &heat(counts.fraction(n as f64)));
    }
}

/// Colour of a fraction, light to dark, even in lightness so that it survives grey printing.
/// **Source**: "cividis", J. Nuñez et al., PLoS ONE 13 (2018) e0199239, reversed; eight of its points.
pub(super) fn heat(fraction: f64) -> String {
    const POINTS: [(f64, f64, f64); 8] = [
        (253.0, 231.0, 55.0),
        (219.0, 197.0, 87.0),
        (187.0, 175.0, 113.0),
        (155.0, 149.0, 120.0),
        (124.0, 123.0, 120.0),
        (90.0, 100.0, 112.0),
        (35.0, 72.0, 108.0),
        (0.0, 34.0, 78.0),
    ];
    let position = fraction.clamp(0.0, 1.0) * (POINTS.len() - 1) as f64;
    let below = (position as usize).min(POINTS.len() - 2);
    let part = position - below as f64;
    let (a, b) = (POINTS[below], POINTS[below + 1]);
    let mix = |a: f64, b: f64| (a + part * (b - a)).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}
