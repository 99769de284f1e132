//! Scores that several models gave the same events.

use scout40_models::Score;

use crate::error::{Error, check};
use crate::weights::check_weights;

/// A sample and its scores from each model.
#[derive(Clone, Debug)]
pub struct Paired {
    /// `[event][model]`: what one event needs lies together.
    scores: Vec<Score>,
    n_models: usize,
    weights: Option<Vec<f64>>,
}

impl Paired {
    /// A sample of events that weigh the same: one list of scores per model, all in the same order
    /// of events.
    ///
    /// # Errors
    /// No models, no events, more than 2³² − 1 of them, lists of different lengths.
    pub fn new(scores_by_model: &[&[Score]]) -> Result<Paired, Error> {
        let n_events = scores_by_model.first().map_or(0, |scores| scores.len());
        if n_events == 0 {
            return Err(Error::NoEvents { what: "scores of models" });
        }
        let expected = "at most 4294967295";
        check(u32::try_from(n_events).is_ok(), "number of events", expected, n_events as f64)?;
        for scores in scores_by_model {
            if scores.len() != n_events {
                let found = scores.len();
                return Err(Error::Length { what: "scores of a model", expected: n_events, found });
            }
        }
        let event = |event: usize| scores_by_model.iter().map(move |scores| scores[event]);
        let scores = (0..n_events).flat_map(event).collect();
        Ok(Paired { scores, n_models: scores_by_model.len(), weights: None })
    }

    /// The same with event weights.
    ///
    /// # Errors
    /// Those of [`Paired::new`], and weights that are negative, infinite, all zero or not one for
    /// each event.
    pub fn weighted(scores_by_model: &[&[Score]], weights: &[f64]) -> Result<Paired, Error> {
        let paired = Paired::new(scores_by_model)?;
        check_weights(paired.n_events(), weights)?;
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(Error::NoWeight { events: weights.len() as u64 });
        }
        Ok(Paired { weights: Some(weights.to_vec()), ..paired })
    }

    /// Number of models.
    #[must_use]
    pub fn n_models(&self) -> usize {
        self.n_models
    }

    /// Number of events.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.scores.len() / self.n_models
    }

    /// Number of equal events with the same relative error: (Σw)²/Σw².
    pub(super) fn effective_events(&self) -> f64 {
        self.weights.as_ref().map_or(self.n_events() as f64, |weights| {
            let sum: f64 = weights.iter().sum();
            sum / (weights.iter().map(|w| w * w).sum::<f64>() / sum)
        })
    }

    /// The scores of one event, one per model.
    pub(super) fn event(&self, event: usize) -> &[Score] {
        &self.scores[event * self.n_models..][..self.n_models]
    }

    pub(super) fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    pub(super) fn weight(&self, event: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[event])
    }
}
