//! The legend: one entry for each name, in the corner where it hides least.

use super::canvas::{Anchor, Canvas, Rect, Style};
use super::shape::{Series, View};
use super::text;

const SIZE: f64 = 19.0;
const LINE: f64 = 28.0;
const KEY: f64 = 36.0;
const GAP: f64 = 10.0;
const PADDING: f64 = 10.0;
/// More entries than this make a second column.
const ROWS: usize = 6;

/// The names of a figure with what they stand for.
#[derive(Debug)]
pub(super) struct Legend<'a> {
    entries: Vec<(&'a str, Vec<&'a Series>)>,
}

impl<'a> Legend<'a> {
    /// All names of these series, in the order in which they appear first.
    pub(super) fn new(series: impl Iterator<Item = &'a Series>) -> Legend<'a> {
        let mut entries: Vec<(&str, Vec<&Series>)> = Vec::new();
        for series in series.filter(|series| !series.name.is_empty()) {
            match entries.iter_mut().find(|(name, _)| *name == series.name) {
                Some((_, same)) => same.push(series),
                None => entries.push((&series.name, vec![series])),
            }
        }
        Legend { entries }
    }

    /// How series of this name look. What has no name is black.
    pub(super) fn style(&self, name: &str) -> Style {
        let nth = self.entries.iter().position(|(other, _)| *other == name);
        Style::nth(nth.unwrap_or(6))
    }

    fn columns(&self) -> usize {
        self.entries.len().div_ceil(ROWS)
    }

    fn rows(&self) -> usize {
        self.entries.len().div_ceil(self.columns().max(1))
    }

    fn column_width(&self) -> f64 {
        let widths = self.entries.iter().map(|(name, _)| text::width(name, SIZE));
        KEY + GAP + widths.fold(0.0, f64::max) + 2.0 * GAP
    }

    /// The four corners of a panel where it may be, upper ones first.
    pub(super) fn places(&self, frame: Rect) -> Vec<Rect> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let width = self.columns() as f64 * self.column_width() - 2.0 * GAP + 2.0 * PADDING;
        let height = self.rows() as f64 * LINE + PADDING;
        let margin = 12.0;
        let (left, right) = (frame.left + margin, frame.right() - margin - width);
        let (top, bottom) = (frame.top + margin, frame.bottom() - margin - height);
        let corner = |(left, top)| Rect { left, top, width, height };
        [(right, top), (left, top), (left, bottom), (right, bottom)].map(corner).to_vec()
    }

    /// Draws it into its place.
    pub(super) fn draw(&self, canvas: &mut Canvas, place: Rect) {
        canvas.backing(place);
        for (k, (name, series)) in self.entries.iter().enumerate() {
            let (column, row) = (k / self.rows(), k % self.rows());
            let left = place.left + PADDING + column as f64 * self.column_width();
            let middle = place.top + PADDING / 2.0 + (row as f64 + 0.5) * LINE;
            for series in series {
                let style = self.style(name);
                series.shape.draw_key(canvas, (left, left + KEY), middle, style);
            }
            let baseline = middle + 0.36 * SIZE;
            canvas.text((left + KEY + GAP, baseline), SIZE, Anchor::Start, name);
        }
    }
}

/// The place with the least ink, and how much that is.
pub(super) fn best(places: &[Rect], ink: &[(f64, f64)]) -> Option<(Rect, usize)> {
    let hidden = |place: &Rect| ink.iter().filter(|&&point| place.contains(point)).count();
    places.iter().map(|place| (*place, hidden(place))).min_by_key(|&(_, hidden)| hidden)
}

/// Everything in a panel that a legend should not hide.
pub(super) fn ink(series: &[Series], view: &View) -> Vec<(f64, f64)> {
    series.iter().flat_map(|series| series.shape.ink(view)).collect()
}
