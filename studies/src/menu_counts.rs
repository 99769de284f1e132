//! What the lines of a trigger menu take, alone and together, and what working points of a score add to them.
//!
//! A line's **pure** rate is that of events which no other line of the menu takes; a working point's is that of
//! events which no line takes at all: what the menu would gain. Sums are exact, so parts of a sample can
//! be counted anywhere and united; memory depends on the number of lines alone.

use crate::error::Error;
use crate::observable::Content;
use crate::rate::Interval;
use crate::spectrum::{scaled_binomial, scaled_poisson};
use crate::weights::ExactSum;

/// Counts of a menu of lines and of working points beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct MenuCounts {
    lines: Vec<LineSums>,
    points: Vec<PointSums>,
    menu: Sum,
    total: Sum,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Sum {
    weight: ExactSum,
    squared: ExactSum,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct LineSums {
    all: Sum,
    pure: Sum,
    /// Taken by each working point, too.
    with_point: Vec<Sum>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct PointSums {
    all: Sum,
    pure: Sum,
}

/// Which events of a sample are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Those that any line takes.
    ByMenu,
    /// Those that this line takes.
    ByLine(usize),
    /// Those that this line takes and no other.
    ByLineAlone(usize),
    /// Those that this line and this working point take.
    ByBoth(usize, usize),
    /// Those that this working point takes.
    ByPoint(usize),
    /// Those that this working point takes and no line.
    ByPointAlone(usize),
    /// Those that any line or this working point takes.
    ByMenuOrPoint(usize),
}

impl Sum {
    fn add(&mut self, weight: f64) {
        self.weight.add(weight);
        self.squared.add(weight * weight);
    }

    fn merge(&mut self, other: &Sum) {
        self.weight.merge(&other.weight);
        self.squared.merge(&other.squared);
    }

    fn content(&self) -> Content {
        Content { weight: self.weight.value(), squared: self.squared.value() }
    }
}

impl MenuCounts {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(n_lines: usize, n_points: usize) -> MenuCounts {
        let with_point = vec![Sum::default(); n_points];
        let line = LineSums { with_point, ..LineSums::default() };
        MenuCounts {
            lines: vec![line; n_lines],
            points: vec![PointSums::default(); n_points],
            menu: Sum::default(),
            total: Sum::default(),
        }
    }

    /// Counts an event: `lines` and `points` are the numbers of those that take it, each once.
    ///
    /// # Panics
    /// If there is no line or point of such a number.
    pub fn add(&mut self, lines: &[usize], points: &[usize], weight: f64) {
        self.total.add(weight);
        if !lines.is_empty() {
            self.menu.add(weight);
        }
        for &line in lines {
            let line = &mut self.lines[line];
            line.all.add(weight);
            if lines.len() == 1 {
                line.pure.add(weight);
            }
            points.iter().for_each(|&point| line.with_point[point].add(weight));
        }
        for &point in points {
            let point = &mut self.points[point];
            point.all.add(weight);
            if lines.is_empty() {
                point.pure.add(weight);
            }
        }
    }

    /// Counts what another has counted.
    ///
    /// # Errors
    /// Another number of lines or points.
    pub fn merge(&mut self, other: &MenuCounts) -> Result<(), Error> {
        for (what, expected, found) in [
            ("lines of menus", self.lines.len(), other.lines.len()),
            ("working points of menus", self.points.len(), other.points.len()),
        ] {
            if expected != found {
                return Err(Error::Length { what, expected, found });
            }
        }
        self.menu.merge(&other.menu);
        self.total.merge(&other.total);
        for (ours, theirs) in self.lines.iter_mut().zip(&other.lines) {
            ours.all.merge(&theirs.all);
            ours.pure.merge(&theirs.pure);
            let both = ours.with_point.iter_mut().zip(&theirs.with_point);
            both.for_each(|(ours, theirs)| ours.merge(theirs));
        }
        for (ours, theirs) in self.points.iter_mut().zip(&other.points) {
            ours.all.merge(&theirs.all);
            ours.pure.merge(&theirs.pure);
        }
        Ok(())
    }

    /// Sum of the weights of such events.
    ///
    /// # Panics
    /// If there is no line or point of such a number.
    #[must_use]
    pub fn content(&self, taken: Taken) -> Content {
        match taken {
            Taken::ByMenu => self.menu.content(),
            Taken::ByLine(line) => self.lines[line].all.content(),
            Taken::ByLineAlone(line) => self.lines[line].pure.content(),
            Taken::ByBoth(line, point) => self.lines[line].with_point[point].content(),
            Taken::ByPoint(point) => self.points[point].all.content(),
            Taken::ByPointAlone(point) => self.points[point].pure.content(),
            Taken::ByMenuOrPoint(point) => {
                let mut sum = self.menu.clone();
                sum.merge(&self.points[point].pure);
                sum.content()
            }
        }
    }

    /// Their rate in kHz, with its Garwood interval at 68.27 % (of the effective number of events); zero
    /// with an infinite upper end where nothing was counted.
    ///
    /// # Panics
    /// If there is no line or point of such a number.
    #[must_use]
    pub fn rate_khz(&self, taken: Taken, collision_rate_hz: f64) -> Interval {
        let (some, all) = (self.content(taken), self.total.content());
        if all.weight == 0.0 {
            return Interval { value: 0.0, low: 0.0, high: f64::INFINITY };
        }
        scaled_poisson(some.weight, some.squared, all.squared / all.weight)
            .scaled(collision_rate_hz / all.weight / 1000.0)
    }

    /// Their fraction, with its Clopper–Pearson interval at 68.27 % (of the effective number of
    /// events); 0 to 1 where nothing was counted.
    ///
    /// # Panics
    /// If there is no line or point of such a number.
    #[must_use]
    pub fn efficiency(&self, taken: Taken) -> Interval {
        let all = self.total.content();
        if all.weight == 0.0 {
            return Interval { value: 0.0, low: 0.0, high: 1.0 };
        }
        scaled_binomial(self.content(taken).weight / all.weight, all.effective_events())
    }

    /// Sum of all weights.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total.weight.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of three lines and two points take event k, as one would write it down without thinking.
    fn decisions(k: usize) -> (Vec<usize>, Vec<usize>) {
        let lines = (0..3).filter(|line| k.is_multiple_of(line + 3)).collect();
        let points = (0..2).filter(|point| k % (7 + 2 * point) < 2).collect();
        (lines, points)
    }

    fn weight(k: usize) -> f64 {
        0.1 + (k % 5) as f64 * 0.3
    }

    fn slow(what: impl Fn(&[usize], &[usize]) -> bool) -> f64 {
        let chosen = (0..5000).filter(|&k| {
            let (lines, points) = decisions(k);
            what(&lines, &points)
        });
        chosen.map(weight).sum()
    }

    #[test]
    fn every_sum_is_that_of_the_events_it_names_in_any_order() {
        let mut whole = MenuCounts::new(3, 2);
        let mut merged = whole.clone();
        for part in (0..5000).collect::<Vec<_>>().chunks(333).rev() {
            let mut counts = MenuCounts::new(3, 2);
            for &k in part {
                let (lines, points) = decisions(k);
                counts.add(&lines, &points, weight(k));
            }
            merged.merge(&counts).unwrap();
        }
        for k in 0..5000 {
            let (lines, points) = decisions(k);
            whole.add(&lines, &points, weight(k));
        }
        assert_eq!(merged, whole);
        let close = |taken, expected: f64| {
            let found = whole.content(taken).weight;
            assert!((found - expected).abs() < 1e-9 * expected, "{taken:?}: {found} {expected}");
            assert!(expected > 0.0);
            let khz = whole.rate_khz(taken, 1e6);
            assert!((khz.value - 1e3 * found / whole.total()).abs() < 1e-9);
            assert!(khz.low < khz.value && khz.value < khz.high);
            let fraction = whole.efficiency(taken);
            assert!((fraction.value - found / whole.total()).abs() < 1e-12);
            assert!(fraction.low < fraction.value && fraction.value < fraction.high);
        };
        close(Taken::ByMenu, slow(|lines, _| !lines.is_empty()));
        for line in 0..3 {
            close(Taken::ByLine(line), slow(|lines, _| lines.contains(&line)));
            close(Taken::ByLineAlone(line), slow(|lines, _| *lines == [line]));
            for point in 0..2 {
                let both = |lines: &[usize], points: &[usize]| {
                    lines.contains(&line) && points.contains(&point)
                };
                close(Taken::ByBoth(line, point), slow(both));
            }
        }
        for point in 0..2 {
            close(Taken::ByPoint(point), slow(|_, points| points.contains(&point)));
            let alone =
                |lines: &[usize], points: &[usize]| lines.is_empty() && points.contains(&point);
            close(Taken::ByPointAlone(point), slow(alone));
            let any =
                |lines: &[usize], points: &[usize]| !lines.is_empty() || points.contains(&point);
            close(Taken::ByMenuOrPoint(point), slow(any));
        }
    }

    #[test]
    fn nothing_counted_says_nothing_and_other_menus_are_refused() {
        let mut counts = MenuCounts::new(2, 1);
        assert!(counts.rate_khz(Taken::ByMenu, 1e6).high.is_infinite());
        assert!((counts.efficiency(Taken::ByPoint(0)).high - 1.0).abs() < 1e-15);
        let error = counts.merge(&MenuCounts::new(2, 2)).unwrap_err();
        assert_eq!(error, Error::Length { what: "working points of menus", expected: 1, found: 2 });
    }
}
