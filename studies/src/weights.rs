//! Sums of event weights, per score, exact whatever the order.
//!
//! Floating-point addition rounds, so that a sum depends on the order of its terms, and hence on
//! threads and chunks. [`ExactSum`] does not round: it keeps a sum as a few numbers that do not
//! overlap, and only its value is rounded, once. [`ScoreWeights`] has one for each score that
//! occurs: memory grows with the number of different scores, not with the number of events.
//!
//! Events without weights are cheaper to count: [`crate::rate::ScoreCounts`].

use scout40_models::Score;

use crate::error::Error;
use crate::score_map::{self, ScoreMap};

/// A sum of finite numbers of one sign that is exact until it is read.
///
/// **Source**: J. Shewchuk, "Adaptive precision floating-point arithmetic", Discrete Comput. Geom.
/// 18 (1997) 305, grow-expansion; the rounding at the end as in Python's `math.fsum`.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    /// Ascending in size; no two share a bit. Their sum is the sum.
    parts: Vec<f64>,
}

impl ExactSum {
    /// Adds a number.
    pub fn add(&mut self, mut x: f64) {
        let mut kept = 0;
        for k in 0..self.parts.len() {
            let (large, small) = two_sum(x, self.parts[k]);
            if small != 0.0 {
                self.parts[kept] = small;
                kept += 1;
            }
            x = large;
        }
        self.parts.truncate(kept);
        if x != 0.0 {
            self.parts.push(x);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        other.parts.iter().for_each(|&part| self.add(part));
    }

    /// The sum, rounded to the nearest number.
    #[must_use]
    pub fn value(&self) -> f64 {
        let Some((&top, rest)) = self.parts.split_last() else {
            return 0.0;
        };
        let (mut sum, mut rest) = (top, rest);
        while let Some((&next, smaller)) = rest.split_last() {
            let (rounded, error) = two_sum(sum, next);
            sum = rounded;
            rest = smaller;
            if error != 0.0 {
                // Half a unit that was rounded to even, with more of the same sign below it.
                if let Some(&below) = rest.last()
                    && (error > 0.0) == (below > 0.0)
                {
                    let (twice, up) = (error * 2.0, sum + error * 2.0);
                    if (up - sum).to_bits() == twice.to_bits() {
                        sum = up;
                    }
                }
                break;
            }
        }
        sum
    }
}

/// `a + b` rounded, and what rounding took away. **Source**: D. Knuth, TAOCP 2, 4.2.2, theorem B.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_in_sum = sum - a;
    (sum, (a - (sum - b_in_sum)) + (b - b_in_sum))
}

/// Equal where the sums are, whatever their parts.
impl PartialEq for ExactSum {
    fn eq(&self, other: &ExactSum) -> bool {
        let mut difference = self.clone();
        other.parts.iter().for_each(|&part| difference.add(-part));
        difference.parts.is_empty()
    }
}

/// Sums of the weights, and of their squares, of the events at each score.
///
/// Merging is exact in any order: parts of a sample can be filled anywhere and united.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreWeights {
    sums: ScoreMap<Sums>,
    events: u64,
}

/// What is known of one score.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    weight: ExactSum,
    /// Of the squares as rounded: they serve errors only.
    squared: ExactSum,
}

impl ScoreWeights {
    /// Counts events with their weights.
    ///
    /// # Errors
    /// Lists of different lengths, negative or infinite weights; nothing has been counted then.
    pub fn add(&mut self, scores: &[Score], weights: &[f64]) -> Result<(), Error> {
        check_weights(scores.len(), weights)?;
        for (&score, &weight) in scores.iter().zip(weights) {
            let sums = self.sums.entry(score).or_default();
            sums.weight.add(weight);
            sums.squared.add(weight * weight);
        }
        self.events += scores.len() as u64;
        Ok(())
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &ScoreWeights) {
        for (&score, theirs) in &other.sums {
            let ours = self.sums.entry(score).or_default();
            ours.weight.merge(&theirs.weight);
            ours.squared.merge(&theirs.squared);
        }
        self.events += other.events;
    }

    /// Number of events, those that weigh nothing too.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Score, sum of weights, sum of their squares: highest score first.
    pub fn descending(&self) -> impl Iterator<Item = (Score, &ExactSum, &ExactSum)> {
        let entries = score_map::descending(&self.sums).into_iter();
        entries.map(|(score, sums)| (score, &sums.weight, &sums.squared))
    }
}

/// Refuses weights that are not one for each event, or that no event can have.
///
/// # Errors
/// Another number of weights than events, and the first weight that is negative, infinite, no number, or so
/// large or small that its square is none.
pub fn check_weights(events: usize, weights: &[f64]) -> Result<(), Error> {
    if events != weights.len() {
        return Err(Error::Length { what: "weights", expected: events, found: weights.len() });
    }
    // Squares of weights serve the errors.
    let possible = |w: f64| w == 0.0 || (1e-150..=1e150).contains(&w);
    match weights.iter().position(|&w| !possible(w)) {
        Some(index) => Err(Error::Weight { index, found: weights[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(terms: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|&x| sum.add(x));
        sum.value()
    }

    #[test]
    fn a_sum_is_exact_and_rounded_once() {
        assert_eq!(sum_of(&[]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(sum_of(&[0.1; 10]).to_bits(), 1.0_f64.to_bits());
        assert_eq!(sum_of(&[1e100, 1.0, 1e-100]).to_bits(), 1e100_f64.to_bits());
        // Halfway to the next even number and a trace above it: up, not to even.
        let ulp = f64::EPSILON;
        assert_eq!(sum_of(&[1.0, ulp / 2.0]).to_bits(), 1.0_f64.to_bits());
        assert_eq!(sum_of(&[1.0, ulp / 2.0, 1e-40]).to_bits(), (1.0 + ulp).to_bits());
    }

    #[test]
    fn merging_in_any_order_gives_the_same_sums() {
        let weights: Vec<f64> = (0..4000).map(|k| 0.1 * 1.01_f64.powi(k % 1777)).collect();
        let scores: Vec<Score> = (0..4000).map(|k| k * k % 7).collect();
        let mut whole = ScoreWeights::default();
        whole.add(&scores, &weights).unwrap();
        for chunk in [1, 13, 1000] {
            let mut merged = ScoreWeights::default();
            let parts = scores.chunks(chunk).zip(weights.chunks(chunk));
            for (scores, weights) in parts.collect::<Vec<_>>().into_iter().rev() {
                let mut part = ScoreWeights::default();
                part.add(scores, weights).unwrap();
                part.merge(&merged);
                merged = part;
            }
            assert_eq!(merged, whole);
            for (ours, theirs) in merged.descending().zip(whole.descending()) {
                assert_eq!(ours.1.value().to_bits(), theirs.1.value().to_bits());
            }
        }
        // Plain addition would have told the orders apart.
        let forwards: f64 = weights.iter().sum();
        let backwards: f64 = weights.iter().rev().sum();
        assert_ne!(forwards.to_bits(), backwards.to_bits());
    }

    #[test]
    fn weights_that_no_event_can_have_are_refused_and_nothing_is_counted() {
        let mut sums = ScoreWeights::default();
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e200, 1e-200] {
            let error = sums.add(&[1, 2], &[1.0, bad]).unwrap_err();
            assert!(matches!(error, Error::Weight { index: 1, .. }), "{error}");
        }
        let error = sums.add(&[1, 2], &[1.0]).unwrap_err();
        assert_eq!(error, Error::Length { what: "weights", expected: 2, found: 1 });
        assert_eq!(sums, ScoreWeights::default());
    }
}
