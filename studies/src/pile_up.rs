//! How the rate of a trigger grows with pile-up.
//!
//! Crossings are counted in ranges of pile-up; a range is a point at the mean pile-up of its crossings, with
//! the rate that the machine would have if all its crossings were like these. Straight line or parabola
//! then follow from [`crate::regression`]. A point weighs as much as it has crossings, not the
//! inverse of its observed variance: that would favour ranges that happened to accept few, and those that
//! accepted none without limit. Weighted crossings count in rates and means with their weight, in intervals and fits
//! as so many equal ones as have the same relative error, (Σw)²/Σw².

use crate::error::{Error, check};
use crate::rate::Interval;
use crate::regression::Point;
use crate::spectrum::scaled_poisson;
use crate::weights::{ExactSum, check_weights};

/// Accepted and all crossings in ranges of pile-up. Merging is exact in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct PileUpCounts {
    edges: Vec<f64>,
    ranges: Vec<Range>,
}

/// Sums of weights, and of their squares.
#[derive(Clone, Debug, Default, PartialEq)]
struct Range {
    scored: ExactSum,
    scored_squared: ExactSum,
    accepted: ExactSum,
    accepted_squared: ExactSum,
    pile_up: ExactSum,
}

impl Range {
    fn merge(&mut self, other: &Range) {
        self.scored.merge(&other.scored);
        self.scored_squared.merge(&other.scored_squared);
        self.accepted.merge(&other.accepted);
        self.accepted_squared.merge(&other.accepted_squared);
        self.pile_up.merge(&other.pile_up);
    }

    /// None where nothing has a weight.
    fn rate(&self, collision_rate_hz: f64) -> Option<RateAtPileUp> {
        let (scored, squared) = (self.scored.value(), self.scored_squared.value());
        let (accepted, accepted_squared) = (self.accepted.value(), self.accepted_squared.value());
        (scored > 0.0).then(|| RateAtPileUp {
            pile_up: self.pile_up.value() / scored,
            rate_khz: scaled_poisson(accepted, accepted_squared, squared / scored)
                .scaled(collision_rate_hz / scored / 1000.0),
            n_crossings: scored / (squared / scored),
            weight: scored,
        })
    }
}

/// The rate in a range of pile-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateAtPileUp {
    /// Mean pile-up of the crossings in the range.
    pub pile_up: f64,
    /// Rate if all crossings were like these, with its Garwood interval at 68.27 %.
    pub rate_khz: Interval,
    /// Crossings in the range, as many equal ones as they are worth.
    pub n_crossings: f64,
    /// Sum of their weights.
    pub weight: f64,
}

impl RateAtPileUp {
    /// As a point for a fit, weighted with its number of crossings.
    #[must_use]
    pub fn point(&self) -> Point {
        Point { x: self.pile_up, y: self.rate_khz.value, weight: self.n_crossings }
    }
}

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

    /// Counts crossings; without `weights` each counts once.
    ///
    /// # Errors
    /// Lists of different lengths, a pile-up that is no number, and weights that no crossing can have; nothing has
    /// been counted then.
    pub fn add(
        &mut self,
        pile_up: &[f32],
        accepted: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<(), Error> {
        if pile_up.len() != accepted.len() {
            let (expected, found) = (pile_up.len(), accepted.len());
            return Err(Error::Length { what: "decisions", expected, found });
        }
        if let Some(index) = pile_up.iter().position(|value| value.is_nan()) {
            return Err(Error::Value { what: "pile-up", index });
        }
        if let Some(weights) = weights {
            check_weights(pile_up.len(), weights)?;
        }
        for (k, (&pile_up, &accepted)) in pile_up.iter().zip(accepted).enumerate() {
            let pile_up = f64::from(pile_up);
            let above = self.edges.partition_point(|&edge| edge <= pile_up);
            if (1..self.edges.len()).contains(&above) {
                let weight = weights.map_or(1.0, |weights| weights[k]);
                let range = &mut self.ranges[above - 1];
                range.scored.add(weight);
                range.scored_squared.add(weight * weight);
                range.pile_up.add(weight * pile_up);
                if accepted {
                    range.accepted.add(weight);
                    range.accepted_squared.add(weight * weight);
                }
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
            ours.merge(theirs);
        }
        Ok(())
    }

    /// The rate in each range that has crossings.
    #[must_use]
    pub fn rates(&self, collision_rate_hz: f64) -> Vec<RateAtPileUp> {
        self.ranges.iter().filter_map(|range| range.rate(collision_rate_hz)).collect()
    }

    /// The rate of the crossings of all ranges together; none if there are no crossings.
    #[must_use]
    pub fn rate(&self, collision_rate_hz: f64) -> Option<RateAtPileUp> {
        let mut all = Range::default();
        self.ranges.iter().for_each(|range| all.merge(range));
        all.rate(collision_rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::{ONE_SIGMA, rate_khz};
    use crate::regression::fit;
    use crate::rng::Stream;

    #[test]
    fn crossings_are_counted_in_their_range_and_merged_exactly() {
        let pile_up: Vec<f32> = (0..1000).map(|k| 20.0 + (k % 80) as f32 + 0.1).collect();
        let accepted: Vec<bool> = (0..1000).map(|k| k % 13 == 0).collect();
        let empty = PileUpCounts::new(&[20.0, 40.0, 60.0, 100.0, 200.0]).unwrap();
        let mut whole = empty.clone();
        whole.add(&pile_up, &accepted, None).unwrap();
        let mut merged = empty.clone();
        for (pile_up, accepted) in pile_up.chunks(7).zip(accepted.chunks(7)).rev() {
            let mut part = empty.clone();
            part.add(pile_up, accepted, None).unwrap();
            merged.merge(&part).unwrap();
        }
        assert_eq!(merged, whole);
        let rates = whole.rates(30.9e6);
        assert_eq!(
            rates.iter().map(|rate| rate.n_crossings).collect::<Vec<_>>(),
            [260.0, 260.0, 480.0]
        );
        assert!((rates[0].pile_up - 29.6).abs() < 1e-5, "{}", rates[0].pile_up);
        assert_eq!(rates[0].rate_khz, rate_khz(20, 260, 260, 30.9e6));
        let all = whole.rate(30.9e6).unwrap();
        assert_eq!((all.rate_khz, all.n_crossings), (rate_khz(77, 1000, 1000, 30.9e6), 1000.0));
        assert_eq!(empty.rate(30.9e6), None);
        assert!(empty.clone().merge(&PileUpCounts::new(&[0.0, 1.0]).unwrap()).is_err());
        assert!(empty.clone().add(&[1.0], &[], None).is_err());
        assert!(empty.clone().add(&[f32::NAN], &[true], None).is_err());
        assert!(empty.clone().add(&[1.0], &[true], Some(&[-1.0])).is_err());
        assert!(empty.clone().add(&[1.0], &[true], Some(&[])).is_err());
        assert!(PileUpCounts::new(&[3.0, 2.0]).is_err());
    }

    #[test]
    fn equal_weights_change_nothing_and_others_count_as_often_as_they_say() {
        let pile_up: Vec<f32> = (0..600).map(|k| 20.0 + (k % 80) as f32).collect();
        let accepted: Vec<bool> = (0..600).map(|k| k % 7 == 0).collect();
        let empty = PileUpCounts::new(&[20.0, 60.0, 100.0]).unwrap();
        let rates = |pile_up: &[f32], accepted: &[bool], weights: Option<&[f64]>| {
            let mut counts = empty.clone();
            counts.add(pile_up, accepted, weights).unwrap();
            counts.rates(30e6)
        };
        let plain = rates(&pile_up, &accepted, None);
        // A power of two: nothing rounds.
        let quarters = rates(&pile_up, &accepted, Some(&[0.25; 600]));
        for (quarter, one) in quarters.iter().zip(&plain) {
            assert_eq!(RateAtPileUp { weight: 4.0 * quarter.weight, ..*quarter }, *one);
        }
        // Events that weigh 0, 1, 2 are as many copies; only errors know that they are no more events.
        let weights: Vec<f64> = (0..600).map(|k| f64::from(k % 3)).collect();
        let copies = |list: &mut dyn FnMut(usize)| {
            (0..600).for_each(|k| (0..k % 3).for_each(|_| list(k)));
        };
        let (mut xs, mut ds) = (Vec::new(), Vec::new());
        copies(&mut |k| xs.push(pile_up[k]));
        copies(&mut |k| ds.push(accepted[k]));
        let (weighted, copied) =
            (rates(&pile_up, &accepted, Some(&weights)), rates(&xs, &ds, None));
        for (weighted, copied) in weighted.iter().zip(&copied) {
            assert!((weighted.pile_up - copied.pile_up).abs() < 1e-12);
            assert!((weighted.rate_khz.value - copied.rate_khz.value).abs() < 1e-9);
            let width = |range: &RateAtPileUp| range.rate_khz.high - range.rate_khz.low;
            assert!(width(weighted) > width(copied), "{weighted:?} {copied:?}");
            // (0 + 1 + 2)² / (0 + 1 + 4) = 9/5 for every three events, which weigh 3.
            assert!((weighted.n_crossings / weighted.weight - 0.6).abs() < 0.01, "{weighted:?}");
        }
    }

    #[test]
    fn prediction_intervals_of_weighted_crossings_hold_what_they_say() {
        // Rates that grow by a line with pile-up, weights that do too, and vary tenfold: is the rate in a range that
        // was not fitted within the 68.27 % interval of so many (effective) crossings?
        let edges: Vec<f64> = (0..=10).map(|k| 20.0 + 6.0 * f64::from(k)).collect();
        let (mut inside, toys) = (0, 300);
        for number in 0..toys {
            let mut stream = Stream::of(91, number);
            let mut counts = PileUpCounts::new(&edges).unwrap();
            let (mut xs, mut ds, mut ws) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..20_000 {
                let x = 20.0 + 60.0 * stream.uniform();
                xs.push(x as f32);
                ds.push(stream.uniform() < 0.002 * x);
                ws.push((0.2 + 1.8 * stream.uniform()) * x);
            }
            counts.add(&xs, &ds, Some(&ws)).unwrap();
            let rates = counts.rates(1e6);
            let (left_out, fitted) = rates.split_last().unwrap();
            let points: Vec<Point> = fitted.iter().map(RateAtPileUp::point).collect();
            let line = fit(&points, 1).unwrap();
            let found = line.predict(left_out.pile_up, left_out.n_crossings, ONE_SIGMA).unwrap();
            let measured = left_out.rate_khz.value;
            inside += u32::from(found.point.low < measured && measured < found.point.high);
        }
        // 205 ± 8; ranges differ in variance by up to four, which Student's t does not know: 5 standard deviations.
        assert!((165..=245).contains(&inside), "{inside} of {toys}");
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
            counts.add(&[pile_up as f32; 100_000], &accepted, None).unwrap();
        }
        let points: Vec<Point> = counts.rates(1e6).iter().map(RateAtPileUp::point).collect();
        let parabola = fit(&points, 2).unwrap();
        assert!((parabola.coefficients()[2].0 - 0.02).abs() < 1e-12);
        assert!((parabola.predict(140.0, 1e5, 0.68).unwrap().curve.value - 392.0).abs() < 1e-9);
        assert!(fit(&points, 1).unwrap().r_squared() < 0.99);
        assert!(parabola.p_value_of_highest() < 1e-10);
    }
}
