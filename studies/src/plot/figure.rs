//! From a plot to SVG: ranges, margins, panels, ticks, labels.

use super::axis::{Axis, Scale, Tick};
use super::canvas::{Anchor, Canvas, Rect};
use super::legend::{self, Legend};
use super::shape::{self, Series, Shape, View};
use super::text;
use super::{Panel, Plot, PlotError};

/// Size of a figure in pixels; PNG files have twice as many.
pub(super) const WIDTH: f64 = 960.0;
pub(super) const HEIGHT: f64 = 720.0;

const TITLE: f64 = 25.0;
const NOTE: f64 = 17.0;
const LABEL: f64 = 23.0;
const TICK: f64 = 20.0;
/// Between two panels: half a tick label of each.
const BETWEEN: f64 = 24.0;
/// Height of a lower panel, as part of that of all panels.
const LOWER: f64 = 0.28;
/// The scale of colours of a density: its width, and what it takes up with its labels.
const BAR: (f64, f64) = (22.0, 130.0);

/// Draws a whole figure.
pub(super) fn draw(plot: &Plot) -> Result<String, PlotError> {
    let legend = Legend::new(plot.panels.iter().flat_map(|panel| &panel.series));
    let x = x_scale(plot)?;
    let y: Vec<Scale> = plot.panels.iter().map(|p| y_scale(plot, p)).collect::<Result<_, _>>()?;
    let (frames, heading) = frames(plot, &x, &y);
    let mut canvas = Canvas::new(WIDTH, HEIGHT, &plot.title);
    draw_heading(&mut canvas, plot, frames[0], &heading);
    for (k, panel) in plot.panels.iter().enumerate() {
        let mut view = View { frame: frames[k], x, y: y[k] };
        let mut place = None;
        if k == 0 {
            (view, place) = with_room(view, panel, &legend);
        }
        canvas.begin_clip(&format!("panel-{k}"), view.frame);
        let mut series: Vec<&Series> = panel.series.iter().collect();
        series.sort_by_key(|series| series.shape.layer());
        for series in series {
            series.shape.draw(&mut canvas, &view, legend.style(&series.name));
        }
        canvas.end_clip();
        let last = k + 1 == plot.panels.len();
        draw_axes(&mut canvas, &view, last, &plot.x.title(), &panel.y.title());
        if let Some(place) = place {
            legend.draw(&mut canvas, place);
        }
        for series in &panel.series {
            if let Shape::Density(points) = &series.shape {
                let most = shape::largest_count(points, &view);
                draw_bar(&mut canvas, &view, most, &plot.density_label);
            }
        }
    }
    Ok(canvas.finish())
}

/// Refuses what is no range.
fn scale(plot: &Plot, axis: &Axis, range: Option<(f64, f64)>) -> Result<Scale, PlotError> {
    let positive = if axis.log { " above zero" } else { "" };
    let (title, name) = (plot.title.clone(), axis.title());
    let Some((min, max)) = range else {
        return Err(PlotError::Nothing { title, axis: name, positive });
    };
    if axis.shows(min) && axis.shows(max) && min < max && (max - min).is_finite() {
        return Ok(Scale { log: axis.log, min, max });
    }
    Err(PlotError::Range { title, axis: name, min, max, positive })
}

fn x_scale(plot: &Plot) -> Result<Scale, PlotError> {
    let series = || plot.panels.iter().flat_map(|panel| &panel.series);
    let range = plot.x.range_of(series().flat_map(|series| series.shape.xs()));
    let scale = scale(plot, &plot.x, range)?;
    // Curves and histograms may touch the frame; markers need room.
    let markers = series().any(|series| matches!(series.shape, Shape::Points(_)));
    let room = if markers && plot.x.range.is_none() { 0.03 } else { 0.0 };
    Ok(scale.extended(room, room))
}

fn y_scale(plot: &Plot, panel: &Panel) -> Result<Scale, PlotError> {
    let values = panel.series.iter().flat_map(|series| series.shape.ys(&plot.x, &panel.y));
    let mut range = panel.y.range_of(values);
    let mut room = 0.06;
    if panel.y.range.is_some() {
        room = 0.0;
    } else if let Some((min, max)) = range
        && !panel.y.log
        && (0.0..0.4 * max).contains(&min)
    {
        // What begins near zero begins at zero.
        range = Some((0.0, max));
        return Ok(scale(plot, &panel.y, range)?.extended(0.0, room));
    }
    Ok(scale(plot, &panel.y, range)?.extended(room, room))
}

/// How title and note are set.
struct Heading {
    title_size: f64,
    /// Whether the note has a line of its own.
    below: bool,
}

/// The rectangles of the panels.
fn frames(plot: &Plot, x: &Scale, y: &[Scale]) -> (Vec<Rect>, Heading) {
    let widest =
        |ticks: &[Tick]| ticks.iter().map(|t| text::width(&t.label, TICK)).fold(0.0, f64::max);
    let labels = y.iter().map(|scale| widest(&scale.ticks(HEIGHT / 2.0, TICK, false)));
    let left = 14.0 + LABEL + 14.0 + labels.fold(0.0, f64::max) + 10.0;
    let is_density =
        |panel: &Panel| panel.series.iter().any(|s| matches!(s.shape, Shape::Density(_)));
    let right = if plot.panels.iter().any(is_density) {
        BAR.1
    } else {
        let last = x.ticks(WIDTH - left, TICK, true).pop();
        (last.map_or(0.0, |tick| text::width(&tick.label, TICK)) / 2.0 + 8.0).max(24.0)
    };
    let width = WIDTH - left - right;
    let title_width = text::width(&plot.title, TITLE);
    let note_width = text::width(&plot.note, NOTE);
    let below = note_width > 0.0 && title_width + note_width + 30.0 > width;
    let title_size = TITLE * (width / title_width.max(1.0)).min(1.0);
    let top = if below { 76.0 } else { 54.0 };
    let height = HEIGHT - top - 84.0;
    let n = y.len();
    let panels = height - BETWEEN * (n - 1) as f64;
    let mut frames = Vec::new();
    let mut at = top;
    for k in 0..n {
        let part = if k == 0 { 1.0 - LOWER * (n - 1) as f64 } else { LOWER };
        frames.push(Rect { left, top: at, width, height: part * panels });
        at += part * panels + BETWEEN;
    }
    (frames, Heading { title_size, below })
}

fn draw_heading(canvas: &mut Canvas, plot: &Plot, frame: Rect, heading: &Heading) {
    let baseline = if heading.below { 38.0 } else { frame.top - 16.0 };
    canvas.text((frame.left, baseline), heading.title_size, Anchor::Start, &plot.title);
    let (x, anchor) =
        if heading.below { (frame.left, Anchor::Start) } else { (frame.right(), Anchor::End) };
    if !plot.note.is_empty() {
        canvas.colored_text((x, frame.top - 14.0), NOTE, anchor, "#555555", &plot.note);
    }
}

/// Where the legend goes, and the panel with more room at its top if there is none anywhere.
fn with_room(view: View, panel: &Panel, legend: &Legend) -> (View, Option<Rect>) {
    let places = legend.places(view.frame);
    let mut best = legend::best(&places, &legend::ink(&panel.series, &view));
    let mut chosen = view;
    if panel.y.range.is_none() {
        for step in 1..=8 {
            if best.is_none_or(|(_, hidden)| hidden == 0) {
                break;
            }
            let roomier = View { y: view.y.extended(0.0, 0.1 * f64::from(step)), ..view };
            // The upper corners: it is above that there is more room.
            let ink = legend::ink(&panel.series, &roomier);
            let found = legend::best(&places[..2], &ink);
            if found.map(|f| f.1) < best.map(|b| b.1) {
                (best, chosen) = (found, roomier);
            }
        }
    }
    (chosen, best.map(|(place, _)| place))
}

/// Frame, ticks inwards on all sides, numbers and labels.
fn draw_axes(canvas: &mut Canvas, view: &View, last: bool, x_title: &str, y_title: &str) {
    let frame = view.frame;
    canvas.frame(frame);
    for tick in view.x.ticks(frame.width, TICK, true) {
        let (x, length) = (view.pixel_x(tick.value), length(&tick));
        canvas.polyline(&[(x, frame.bottom()), (x, frame.bottom() - length)], "#000000", 1.5, "");
        canvas.polyline(&[(x, frame.top), (x, frame.top + length)], "#000000", 1.5, "");
        if last && !tick.label.is_empty() {
            canvas.text((x, frame.bottom() + 26.0), TICK, Anchor::Middle, &tick.label);
        }
    }
    let ticks = view.y.ticks(frame.height, TICK, false);
    for tick in &ticks {
        let (y, length) = (view.pixel_y(tick.value), length(tick));
        canvas.polyline(&[(frame.left, y), (frame.left + length, y)], "#000000", 1.5, "");
        canvas.polyline(&[(frame.right(), y), (frame.right() - length, y)], "#000000", 1.5, "");
        if !tick.label.is_empty() {
            let at = (frame.left - 10.0, y + 0.36 * TICK);
            canvas.text(at, TICK, Anchor::End, &tick.label);
        }
    }
    if last {
        let at = (frame.left + frame.width / 2.0, frame.bottom() + 64.0);
        canvas.text(at, LABEL, Anchor::Middle, x_title);
    }
    let fitting = (frame.height / text::width(y_title, LABEL).max(1.0)).min(1.0) * LABEL;
    let at = (14.0 + 0.75 * LABEL, frame.top + frame.height / 2.0);
    canvas.text(at, fitting, Anchor::Upwards, y_title);
}

fn length(tick: &Tick) -> f64 {
    if tick.label.is_empty() { 6.0 } else { 11.0 }
}

/// The scale of colours beside a density.
fn draw_bar(canvas: &mut Canvas, view: &View, most: u64, label: &str) {
    const STEPS: usize = 64;
    let frame = Rect { left: view.frame.right() + 16.0, width: BAR.0, ..view.frame };
    let height = frame.height / STEPS as f64;
    for step in 0..STEPS {
        let top = frame.bottom() - (step + 1) as f64 * height;
        let cell = Rect { top, height, ..frame };
        canvas.cell(cell, &shape::heat((step as f64 + 0.5) / STEPS as f64));
    }
    canvas.frame(frame);
    let counts = Scale { log: true, min: 1.0, max: most.max(2) as f64 };
    for tick in counts.ticks(frame.height, TICK, false) {
        let y = frame.bottom() - counts.fraction(tick.value) * frame.height;
        let from = frame.right() - length(&tick) / 2.0;
        canvas.polyline(&[(from, y), (frame.right(), y)], "#000000", 1.5, "");
        if !tick.label.is_empty() {
            canvas.text((frame.right() + 6.0, y + 0.36 * TICK), TICK, Anchor::Start, &tick.label);
        }
    }
    let at = (WIDTH - 10.0, frame.top + frame.height / 2.0);
    canvas.text(at, 0.85 * LABEL, Anchor::Upwards, label);
}
