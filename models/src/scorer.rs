//! What every model can do: score a batch of rows, and translate scores for people.
//!
//! A score is an integer in fixed point, higher = stranger, and the same on every machine. What
//! people read and type (`0.62`) is the *display*, a non-decreasing function of the score;
//! decisions are made on the integers.

use crate::error::{Error, Result};
use crate::fixed::Fixed;
use crate::rows::{AlignedLanes, Rows};

/// How strange an event is: fixed point, higher = stranger; not a probability.
pub type Score = i32;

/// Working memory of a scorer: made once per thread, used for every batch.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(crate) lanes: AlignedLanes,
    /// Arrays of a network that is evaluated number by number.
    pub(crate) numbers: Vec<Vec<Fixed>>,
}

impl Scratch {
    /// Room for `n_lanes` 16-bit integers, 64-byte aligned.
    pub(crate) fn new(n_lanes: usize) -> Scratch {
        Scratch { lanes: AlignedLanes::new(n_lanes), ..Scratch::default() }
    }
}

/// How a model is evaluated: names for people, which change no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The plan.
    pub plan: &'static str,
    /// The instruction set.
    pub isa: &'static str,
}

/// A model, ready to score.
pub trait Scorer: Send + Sync {
    /// Values that it expects in a row.
    fn n_features(&self) -> usize;

    /// How it is evaluated.
    fn evaluation(&self) -> Evaluation {
        Evaluation { plan: "direct", isa: "portable" }
    }

    /// Working memory of the size that [`Scorer::score`] needs.
    fn scratch(&self) -> Scratch;

    /// Scores every event of a batch.
    ///
    /// **Shape**: `out` has `rows.n_events()` entries.
    /// **Real-time**: allocates nothing, no system call.
    ///
    /// # Panics
    /// If the rows have another number of features, `out` another length, or `scratch` is that
    /// of another model: mistakes in the program, not in the data.
    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]);

    /// Bounds of the scores that it can give: smallest and largest.
    fn range(&self) -> (Score, Score);

    /// Fractional bits of a score.
    fn fraction_bits(&self) -> u32;

    /// The score as people read it: never decreases as the score grows.
    fn display(&self, score: Score) -> f64;

    /// The smallest score whose display is at least `value`: rounds to the stricter integer.
    ///
    /// A value above the display of every possible score gives the largest score + 1, which no
    /// event reaches; one below all gives the smallest score, which every event reaches.
    ///
    /// # Errors
    /// If `value` is not a number.
    fn threshold_from_display(&self, value: f64) -> Result<Score> {
        if value.is_nan() {
            return Err(Error::Threshold { found: value });
        }
        let (smallest, largest) = self.range();
        let (mut low, mut high) = (i64::from(smallest), i64::from(largest) + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.display(middle as Score) >= value {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(i32::try_from(low).expect("no model can give the largest i32"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores −100 to 0 with two fractional bits, shown as they are.
    struct Quarters;

    impl Scorer for Quarters {
        fn n_features(&self) -> usize {
            0
        }
        fn scratch(&self) -> Scratch {
            Scratch::default()
        }
        fn score(&self, _: Rows<'_>, _: &mut Scratch, out: &mut [Score]) {
            out.fill(0);
        }
        fn range(&self) -> (Score, Score) {
            (-100, 0)
        }
        fn fraction_bits(&self) -> u32 {
            2
        }
        fn display(&self, score: Score) -> f64 {
            f64::from(score) / 4.0
        }
    }

    #[test]
    fn a_threshold_between_two_scores_rounds_to_the_stricter_one() {
        assert_eq!(Quarters.threshold_from_display(-1.0).unwrap(), -4);
        assert_eq!(Quarters.threshold_from_display(-1.1).unwrap(), -4);
        assert_eq!(Quarters.threshold_from_display(-0.99).unwrap(), -3);
    }

    #[test]
    fn thresholds_beyond_the_possible_accept_all_or_nothing() {
        assert_eq!(Quarters.threshold_from_display(-1e9).unwrap(), -100);
        assert_eq!(Quarters.threshold_from_display(f64::NEG_INFINITY).unwrap(), -100);
        assert_eq!(Quarters.threshold_from_display(0.01).unwrap(), 1);
        assert_eq!(Quarters.threshold_from_display(f64::INFINITY).unwrap(), 1);
    }

    #[test]
    fn a_threshold_that_is_not_a_number_is_refused() {
        let error = Quarters.threshold_from_display(f64::NAN).unwrap_err();
        assert!(matches!(error, Error::Threshold { .. }), "{error}");
    }
}
