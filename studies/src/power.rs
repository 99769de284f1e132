//! How an estimator or a test is distributed, for each exposure and signal strength.
//!
//! A **grid** of points, at each the same number of toy experiments; whoever asks brings the toy. Bands are medians
//! with the central 68.27 % of toys, as significances expected of an experiment are quoted.

use crate::error::{Error, check};
use crate::nplm::null::Band;
use crate::nplm::toys::Journal;
use crate::rate::{Interval, ONE_SIGMA, clopper_pearson};

/// Where to run toys.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Sizes of the data, in whatever unit the toy takes.
    pub exposures: Vec<f64>,
    /// Strengths of the signal, likewise.
    pub strengths: Vec<f64>,
    /// Toys at each point.
    pub toys: u64,
}

/// Toys at one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Size of the data.
    pub exposure: f64,
    /// Strength of the signal.
    pub strength: f64,
    /// What each toy gave, by its number.
    pub values: Vec<f64>,
}

impl Grid {
    /// Runs the toys of all points; `toy` gets exposure, strength, the point's index and the toy's number. Results
    /// are kept in the journal under `set`.
    ///
    /// # Errors
    /// An empty grid, values that are negative or none, and those of toys and journal.
    pub fn run(
        &self,
        set: &str,
        journal: &mut Journal,
        toy: impl Fn(f64, f64, u64, u64) -> Result<f64, Error> + Sync,
        progress: impl Fn() + Sync,
    ) -> Result<Vec<Point>, Error> {
        check(self.toys > 0, "number of toys", "at least 1", self.toys as f64)?;
        for (values, what) in [(&self.exposures, "exposures"), (&self.strengths, "strengths")] {
            if values.is_empty() {
                return Err(Error::NoEvents { what });
            }
            for &value in values {
                let valid = value >= 0.0 && value.is_finite();
                check(valid, "exposure or strength", "a number not below zero", value)?;
            }
        }
        let mut points = Vec::new();
        for &exposure in &self.exposures {
            for &strength in &self.strengths {
                let index = points.len() as u64;
                let one = |number| toy(exposure, strength, index, number);
                let set = format!("{set}:{exposure}:{strength}");
                let values = journal.run(&set, self.toys, one, &progress)?;
                points.push(Point { exposure, strength, values });
            }
        }
        Ok(points)
    }
}

impl Point {
    /// Median and 68.27 % band of the toys, after `of` each.
    ///
    /// # Errors
    /// Values that are no numbers.
    pub fn band(&self, rng_seed: u64, of: impl Fn(f64) -> f64) -> Result<Band, Error> {
        Band::of(&self.values.iter().map(|&value| of(value)).collect::<Vec<_>>(), rng_seed)
    }

    /// The power of a test: the fraction of toys for which it holds, with its Clopper–Pearson interval.
    #[must_use]
    pub fn fraction(&self, holds: impl Fn(f64) -> bool) -> Interval {
        let k = self.values.iter().filter(|&&value| holds(value)).count();
        clopper_pearson(k as u64, self.values.len() as u64, ONE_SIGMA)
    }
}

/// The smallest strength at which a rising curve (strength, value, error of the value), in ascending order of strength,
/// reaches a level, with its error: between the last point below and the first one above, on a straight line, whose
/// ends have independent errors. None if it never does. The error is that of the ends alone: it knows nothing
/// of a curve that is not straight between them.
#[must_use]
pub fn crossing(curve: &[(f64, f64, f64)], level: f64) -> Option<(f64, f64)> {
    let first = curve.iter().position(|&(_, value, _)| value >= level)?;
    let (x, y, error) = curve[first];
    let Some(&(x_before, y_before, error_before)) = first.checked_sub(1).and_then(|k| curve.get(k))
    else {
        return Some((x, 0.0));
    };
    let part = (level - y_before) / (y - y_before);
    let variance = ((1.0 - part) * error_before).powi(2) + (part * error).powi(2);
    let slope = (y - y_before) / (x - x_before);
    Some((x_before + part * (x - x_before), variance.sqrt() / slope))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn the_power_of_a_counting_experiment_is_that_of_a_poisson_distribution() {
        let grid = Grid { exposures: vec![1.0, 4.0], strengths: vec![0.0, 10.0], toys: 2000 };
        let toy = |exposure: f64, strength: f64, point, number| {
            Ok(Stream::of(100 + point, number).poisson(exposure * (100.0 + strength)) as f64)
        };
        let points = grid.run("count", &mut Journal::in_memory(), toy, || ()).unwrap();
        assert_eq!(points.len(), 4);
        for point in &points {
            let mean = point.exposure * (100.0 + point.strength);
            let band = point.band(1, |n| n).unwrap();
            assert!((band.median - mean).abs() < 0.2 * mean.sqrt(), "{point:?}");
            assert!(((band.high - band.low) / (2.0 * mean.sqrt()) - 1.0).abs() < 0.15);
            let half = point.fraction(|n| n > mean);
            assert!((half.value - 0.48).abs() < 0.06, "{half:?}");
        }
        let empty = Grid { exposures: vec![], ..grid.clone() };
        assert!(empty.run("", &mut Journal::in_memory(), toy, || ()).is_err());
        let negative = Grid { strengths: vec![-1.0], ..grid };
        assert!(negative.run("", &mut Journal::in_memory(), toy, || ()).is_err());
    }

    #[test]
    fn a_level_is_crossed_on_a_straight_line() {
        let curve = [(0.0, 0.0, 0.0), (1.0, 1.0, 0.1), (3.0, 5.0, 0.2)];
        assert!((crossing(&curve, 2.0).unwrap().0 - 1.5).abs() < 1e-15);
        assert!((crossing(&curve, 5.0).unwrap().0 - 3.0).abs() < 1e-15);
        assert_eq!(crossing(&curve, 6.0), None);
        assert_eq!(crossing(&curve, -1.0), Some((0.0, 0.0)));
        assert_eq!(crossing(&[], 1.0), None);
    }

    #[test]
    fn the_error_of_a_crossing_is_its_spread_where_the_ends_fluctuate() {
        let curve = [(1.0, 1.0, 0.1), (3.0, 5.0, 0.2)];
        let (_, error) = crossing(&curve, 2.0).unwrap();
        let mut stream = Stream::of(5, 0);
        let n = 4000;
        let crossings: Vec<f64> = (0..n)
            .map(|_| curve.map(|(x, y, error)| (x, y + error * stream.normal(), error)))
            .map(|curve| crossing(&curve, 2.0).unwrap().0)
            .collect();
        let mean = crossings.iter().sum::<f64>() / f64::from(n);
        let variance = crossings.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        // 1 / √(2n) is 1.1 %, second order another.
        assert!((variance.sqrt() / error - 1.0).abs() < 0.06, "{} {error}", variance.sqrt());
    }
}
