//! The score spectrum of a sample: how much of it is at each score, and above.
//!
//! Made once from counts ([`ScoreCounts`]), sums of weights ([`ScoreWeights`]) or plain lists of scores;
//! every question about thresholds is then a binary search. Scores are the exact integers that
//! occurred, so ties are ties: nothing is binned.
//!
//! A weighted event counts with its weight in every fraction and rate. Intervals take a sample of
//! weighted events for as many equal events as have the same relative error, (Σw)²/Σw²: exact
//! where all weights are equal, an approximation elsewhere.
//! **Source**: G. Bohm, G. Zech, NIM A 748 (2014) 1, "scaled Poisson distribution".

use scout40_models::Score;

use crate::error::{Error, check};
use crate::rate::{
    CalibrateError, Interval, ONE_SIGMA, ScoreCounts, clopper_pearson_of, garwood_of, loosest,
};
use crate::weights::{ExactSum, ScoreWeights};

/// Weight at each score, highest score first. There is some: a spectrum is never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    steps: Vec<Step>,
    /// How many of them are known; the rest stands for events of lower scores that were not kept.
    n_known: usize,
}

/// One score that occurs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The score.
    pub score: Score,
    /// Sum of the weights of events with this score; above zero.
    pub weight: f64,
    /// The same with this score or a higher one.
    pub accepted: f64,
    /// Sum of the squares of the weights with this score or a higher one.
    pub accepted_squared: f64,
}

/// What passes a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    weight: f64,
    squared: f64,
}

impl Spectrum {
    /// The spectrum of events that all weigh the same.
    ///
    /// # Errors
    /// No events.
    pub fn of(scores: &[Score]) -> Result<Spectrum, Error> {
        let mut counts = ScoreCounts::default();
        counts.add(scores);
        Spectrum::from_counts(&counts)
    }

    /// The spectrum of weighted events.
    ///
    /// # Errors
    /// No events, weights that are negative, infinite or all zero, lists of different lengths.
    pub fn weighted(scores: &[Score], weights: &[f64]) -> Result<Spectrum, Error> {
        let mut sums = ScoreWeights::default();
        sums.add(scores, weights)?;
        Spectrum::from_weights(&sums)
    }

    /// The spectrum of what was counted.
    ///
    /// # Errors
    /// No events.
    pub fn from_counts(counts: &ScoreCounts) -> Result<Spectrum, Error> {
        let mut accepted = 0;
        let step = |(score, n)| {
            accepted += n;
            let total = accepted as f64;
            Step { score, weight: n as f64, accepted: total, accepted_squared: total }
        };
        Spectrum::new(counts.descending().map(step).collect(), counts.total())
    }

    /// The spectrum of what was counted with weights. Scores of events that weigh nothing are
    /// left out.
    ///
    /// # Errors
    /// No events, or all of them weigh nothing.
    pub fn from_weights(weights: &ScoreWeights) -> Result<Spectrum, Error> {
        let (mut accepted, mut accepted_squared) = (ExactSum::default(), ExactSum::default());
        let mut steps = Vec::new();
        for (score, weight, squared) in weights.descending() {
            accepted.merge(weight);
            accepted_squared.merge(squared);
            if weight.value() > 0.0 {
                steps.push(Step {
                    score,
                    weight: weight.value(),
                    accepted: accepted.value(),
                    accepted_squared: accepted_squared.value(),
                });
            }
        }
        Spectrum::new(steps, weights.events())
    }

    fn new(steps: Vec<Step>, events: u64) -> Result<Spectrum, Error> {
        match (steps.is_empty(), events) {
            (false, _) => Ok(Spectrum { n_known: steps.len(), steps }),
            (true, 0) => Err(Error::NoEvents { what: "scored events" }),
            (true, events) => Err(Error::NoWeight { events }),
        }
    }

    /// The same where events below `lowest` are known by their number alone: no threshold is looked for there.
    #[must_use]
    pub fn known_from(mut self, lowest: Score) -> Spectrum {
        self.n_known = self.steps.partition_point(|step| step.score >= lowest);
        self
    }

    /// Every score that occurs, highest first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps[..self.n_known]
    }

    /// Whether a looser threshold than any that is known is wanted for `allowed` of the total.
    fn is_beyond(&self, allowed: f64) -> bool {
        self.n_known < self.steps.len() && self.up_to(self.n_known).weight < allowed
    }

    /// Sum of all weights.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.all().weight
    }

    /// Number of equal events with the same relative error: (Σw)²/Σw². The number of events
    /// where they all weigh the same.
    #[must_use]
    pub fn effective_events(&self) -> f64 {
        self.all().effective()
    }

    /// Sum of the weights of events with a score of at least `threshold`.
    #[must_use]
    pub fn accepted(&self, threshold: Score) -> f64 {
        self.sums(threshold).weight
    }

    /// Effective number of events with a score of at least `threshold`.
    #[must_use]
    pub fn effective_accepted(&self, threshold: Score) -> f64 {
        self.sums(threshold).effective()
    }

    /// Fraction that passes, with its Clopper–Pearson interval at 68.27 % (of the effective number
    /// of events).
    #[must_use]
    pub fn efficiency(&self, threshold: Score) -> Interval {
        scaled_binomial(self.accepted(threshold) / self.total(), self.effective_events())
    }

    /// Rate of what passes in kHz, with its Garwood interval at 68.27 % (of the effective number
    /// of accepted events).
    #[must_use]
    pub fn rate_khz(&self, threshold: Score, collision_rate_hz: f64) -> Interval {
        let passed = self.sums(threshold);
        scaled_poisson(passed.weight, passed.squared, self.all().squared / self.total())
            .scaled(collision_rate_hz / self.total() / 1000.0)
    }

    /// The loosest threshold whose rate does not exceed `target_khz`; one above the highest
    /// score where even that occurs too often. The same as [`crate::rate::threshold_for_rate`].
    ///
    /// # Errors
    /// A target below the rate that one event stands for, and scores of which too many have the
    /// highest number that there is.
    pub fn threshold_for_rate(
        &self,
        collision_rate_hz: f64,
        target_khz: f64,
    ) -> Result<Score, CalibrateError> {
        if !(target_khz > 0.0 && target_khz.is_finite()) {
            return Err(CalibrateError::Target { found: target_khz });
        }
        let found = self.effective_events();
        let step_khz = collision_rate_hz / found / 1000.0;
        if step_khz > target_khz {
            let needed = (collision_rate_hz / 1000.0 / target_khz).ceil() as u64;
            let found = found as u64;
            return Err(CalibrateError::TooFew { target_khz, step_khz, needed, found });
        }
        let khz_of_weight = collision_rate_hz / self.total() / 1000.0;
        if self.is_beyond(target_khz / khz_of_weight) {
            let highest_khz = self.up_to(self.n_known).weight * khz_of_weight;
            return Err(CalibrateError::NotKept { target_khz, highest_khz });
        }
        self.loosest(|accepted| accepted * khz_of_weight <= target_khz)
            .ok_or(CalibrateError::Saturated { target_khz })
    }

    /// The loosest threshold at which the fraction that passes does not exceed `fraction`; one
    /// above the highest score where even that occurs too often.
    ///
    /// # Errors
    /// A fraction outside 0 to 1, or below what one event stands for.
    pub fn threshold_for_fraction(&self, fraction: f64) -> Result<Score, Error> {
        let within = fraction > 0.0 && fraction <= 1.0;
        check(within, "false positive rate", "a fraction above 0 and up to 1", fraction)?;
        let found = self.effective_events();
        if fraction * found < 1.0 {
            let needed = (1.0 / fraction).ceil() as u64;
            return Err(Error::TooFew { target: fraction, needed, found });
        }
        let total = self.total();
        if self.is_beyond(fraction * total) {
            let expected = "no more than the part of the crossings that was kept";
            return Err(Error::Setting {
                setting: "false positive rate",
                expected,
                found: fraction,
            });
        }
        let expected = "more than the fraction of scores that saturate";
        self.loosest(|accepted| accepted <= fraction * total).ok_or(Error::Setting {
            setting: "false positive rate",
            expected,
            found: fraction,
        })
    }

    fn loosest(&self, allowed: impl Fn(f64) -> bool) -> Option<Score> {
        loosest(self.steps().iter().map(|step| (step.score, step.accepted)), allowed)
    }

    fn all(&self) -> Sums {
        self.up_to(self.steps.len())
    }

    fn sums(&self, threshold: Score) -> Sums {
        self.up_to(self.steps.partition_point(|step| step.score >= threshold))
    }

    fn up_to(&self, n_steps: usize) -> Sums {
        match n_steps.checked_sub(1) {
            Some(last) => {
                let step = &self.steps[last];
                Sums { weight: step.accepted, squared: step.accepted_squared }
            }
            None => Sums::default(),
        }
    }
}

/// Garwood interval at 68.27 % of a sum of weights. `event_weight` is what an event weighs where there
/// is none to ask.
pub(crate) fn scaled_poisson(weight: f64, squared: f64, event_weight: f64) -> Interval {
    let sums = Sums { weight, squared };
    let event_weight = if weight > 0.0 { squared / weight } else { event_weight };
    let interval = garwood_of(sums.effective(), ONE_SIGMA).scaled(event_weight);
    Interval { value: weight, ..interval }
}

/// Clopper–Pearson interval at 68.27 % of a fraction of events that are worth `n`.
pub(crate) fn scaled_binomial(fraction: f64, n: f64) -> Interval {
    // Sums of weights round, fractions do not exceed one.
    let fraction = fraction.min(1.0);
    Interval { value: fraction, ..clopper_pearson_of(fraction * n, n, ONE_SIGMA) }
}

impl Sums {
    fn effective(self) -> f64 {
        if self.weight > 0.0 { self.weight / (self.squared / self.weight) } else { 0.0 }
    }
}
