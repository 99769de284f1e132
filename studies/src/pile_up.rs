//! How the rate of a trigger grows with pile-up.
//!
//! Crossings are counted in ranges of pile-up; a range is a point at the mean pile-up of its crossings, with
//! the rate that the machine would have if all its crossings were like these. Straight line or parabola
//! then follow from [`crate::regression`]. A point weighs as much as it has crossings, not the
//! inverse of its observed variance: that would favour ranges that happened to accept few, and those that
//! accepted none without limit.

use crate::error::{Error, check};
use crate::rate::{Interval, rate_khz};
use crate::regression::Point;

/// Accepted and all crossings in ranges of pile-up. Merging is exact in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct PileUpCounts {
    edges: Vec<f64>,
    ranges: Vec<Range>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    scored: u64,
    accepted: u64,
    /// Sum of pile-up in units of 2⁻²⁰, so that it is exact in any order.
    pile_up: i128,
}

/// The rate in a range of pile-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateAtPileUp {
    /// Mean pile-up of the crossings in the range.
    pub pile_up: f64,
    /// Rate if all crossings were like these, with its Garwood interval at 68.27 %.
    pub rate_khz: Interval,
    /// Crossings in the range.
    pub scored: u64,
}

impl RateAtPileUp {
    /// As a point for a fit, weighted with its number of crossings.
    #[must_use]
    pub fn point(&self) -> Point {
        Point { x: self.pile_up, y: self.rate_khz.value, weight: self.scored as f64 }
    }
}

const UNIT: f64 = 1.0 / (1 << 20) as f64;

impl PileUpCounts {
    /// Nothing counted yet; ranges lie between neighbouring edges and have their lower one. Crossings
    /// outside are not counted.
    ///
    /// # Errors
    /// Fewer than two edges, or edges that do not ascend.
    pub fn new(edges: &[f64]) -> Result<PileUpCounts, Error> {
        check(edges.len() >= 2, "number of edges", "at least 2", edges.len() as f64)?;
        for pair in edges.windows(2) {
            let ascending = pair[0] < pair[1] && pair[0].is_finite() && pair[1].is_finite();
            check(ascending, "edge of a range", "finite edges in ascending order", pair[1])?;
        }
        Ok(PileUpCounts { edges: edges.to_vec(), ranges: vec![Range::default(); edges.len() - 1] })
    }

    /// Counts crossings.
    ///
    /// # Errors
    /// Lists of different lengths, and a pile-up that is no number; nothing has been counted then.
    pub fn add(&mut self, pile_up: &[f32], accepted: &[bool]) -> Result<(), Error> {
        if pile_up.len() != accepted.len() {
            let (expected, found) = (pile_up.len(), accepted.len());
            return Err(Error::Length { what: "decisions", expected, found });
        }
        if let Some(index) = pile_up.iter().position(|value| value.is_nan()) {
            return Err(Error::Value { what: "pile-up", index });
        }
        for (&pile_up, &accepted) in pile_up.iter().zip(accepted) {
            let pile_up = f64::from(pile_up);
            let above = self.edges.partition_point(|&edge| edge <= pile_up);
            if (1..self.edges.len()).contains(&above) {
                let range = &mut self.ranges[above - 1];
                range.scored += 1;
                range.accepted += u64::from(accepted);
                range.pile_up += (pile_up / UNIT).round() as i128;
            }
        }
        Ok(())
    }

    /// Counts what another has counted.
    ///
    /// # Errors
    /// Other edges.
    pub fn merge(&mut self, other: &PileUpCounts) -> Result<(), Error> {
        if self.edges != other.edges {
            let (first, second) = (self.ranges.len(), other.ranges.len());
            let hint = if first == second { " between other edges" } else { "" };
            return Err(Error::Bins { first, second, hint });
        }
        for (ours, theirs) in self.ranges.iter_mut().zip(&other.ranges) {
            ours.scored += theirs.scored;
            ours.accepted += theirs.accepted;
            ours.pile_up += theirs.pile_up;
        }
        Ok(())
    }

    /// The rate in each range that has crossings.
    #[must_use]
    pub fn rates(&self, collision_rate_hz: f64) -> Vec<RateAtPileUp> {
        let filled = self.ranges.iter().filter(|range| range.scored > 0);
        let rate = |range: &Range| RateAtPileUp {
            pile_up: range.pile_up as f64 * UNIT / range.scored as f64,
            rate_khz: rate_khz(range.accepted, range.scored, range.scored, collision_rate_hz),
            scored: range.scored,
        };
        filled.map(rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::fit;

    #[test]
    fn crossings_are_counted_in_their_range_and_merged_exactly() {
        let pile_up: Vec<f32> = (0..1000).map(|k| 20.0 + (k % 80) as f32 + 0.1).collect();
        let accepted: Vec<bool> = (0..1000).map(|k| k % 13 == 0).collect();
        let empty = PileUpCounts::new(&[20.0, 40.0, 60.0, 100.0, 200.0]).unwrap();
        let mut whole = empty.clone();
        whole.add(&pile_up, &accepted).unwrap();
        let mut merged = empty.clone();
        for (pile_up, accepted) in pile_up.chunks(7).zip(accepted.chunks(7)).rev() {
            let mut part = empty.clone();
            part.add(pile_up, accepted).unwrap();
            merged.merge(&part).unwrap();
        }
        assert_eq!(merged, whole);
        let rates = whole.rates(30.9e6);
        assert_eq!(rates.iter().map(|rate| rate.scored).collect::<Vec<_>>(), [260, 260, 480]);
        assert!((rates[0].pile_up - 29.6).abs() < 1e-5, "{}", rates[0].pile_up);
        assert_eq!(rates[0].rate_khz, rate_khz(20, 260, 260, 30.9e6));
        assert!(empty.clone().merge(&PileUpCounts::new(&[0.0, 1.0]).unwrap()).is_err());
        assert!(empty.clone().add(&[1.0], &[]).is_err());
        assert!(empty.clone().add(&[f32::NAN], &[true]).is_err());
        assert!(PileUpCounts::new(&[3.0, 2.0]).is_err());
    }

    #[test]
    fn a_rate_that_grows_with_the_square_of_pile_up_has_that_parabola() {
        // 100 000 crossings at each of nine values; the accepted fraction is exact.
        let mut counts =
            PileUpCounts::new(&(3..13).map(|k| f64::from(10 * k) - 5.0).collect::<Vec<_>>())
                .unwrap();
        for pile_up in (30..=110).step_by(10) {
            let n_accepted = 2 * pile_up * pile_up;
            let accepted: Vec<bool> = (0..100_000).map(|k| k < n_accepted).collect();
            counts.add(&[pile_up as f32; 100_000], &accepted).unwrap();
        }
        let points: Vec<Point> = counts.rates(1e6).iter().map(RateAtPileUp::point).collect();
        let parabola = fit(&points, 2).unwrap();
        assert!((parabola.coefficients()[2].0 - 0.02).abs() < 1e-12);
        assert!((parabola.predict(140.0, 1e5, 0.68).unwrap().curve.value - 392.0).abs() < 1e-9);
        assert!(fit(&points, 1).unwrap().r_squared() < 0.99);
        assert!(parabola.p_value_of_highest() < 1e-10);
    }
}
