//! What a test for new physics looks at: observables of events by name, and the score of a model.
//!
//! Only events are taken that pass the cut on the score and have every observable asked for (a dijet mass needs
//! two jets). Events that the model was trained on are left out, and of a background those that were injected.

use std::path::Path;

use anyhow::Result;
use scout40_models::Score;
use scout40_replay::event::{ColumnSet, EventRef};
use scout40_studies::nplm::Sample;
use scout40_studies::quantity::Quantity;

use crate::config::LoadedModel;
use crate::study::sample::{Request, Role, read};

/// Something that has a value for each event.
#[derive(Clone, Debug, PartialEq)]
pub enum Observable {
    /// The model's score, in display units.
    Score,
    /// What an event has whatever the model.
    Quantity(Quantity),
}

/// Name of [`Observable::Score`].
const SCORE: &str = "score";

impl Observable {
    /// The observable of this name.
    ///
    /// # Errors
    /// A name that is none; the error lists those that are.
    pub fn from_name(name: &str) -> Result<Observable, String> {
        if name == SCORE {
            return Ok(Observable::Score);
        }
        match Quantity::parse(name) {
            Ok(quantity) => Ok(Observable::Quantity(quantity)),
            Err(error) => Err(format!("{error}, or `{SCORE}`, the model's")),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Observable::Score => SCORE,
            Observable::Quantity(quantity) => quantity.name(),
        }
    }

    /// What an axis says.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Observable::Score => "Anomaly score".into(),
            Observable::Quantity(quantity) => quantity.label(),
        }
    }

    /// Its unit, or nothing.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Observable::Score => "",
            Observable::Quantity(quantity) => quantity.unit(),
        }
    }

    fn columns(&self) -> ColumnSet {
        match self {
            Observable::Score => ColumnSet::EMPTY,
            Observable::Quantity(quantity) => quantity.columns(),
        }
    }

    fn value(&self, event: EventRef<'_>, score: f64) -> Option<f64> {
        match self {
            Observable::Score => Some(score),
            Observable::Quantity(quantity) => quantity.value(event),
        }
    }
}

/// Which events of a stream.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a scorer has none")]
pub struct Selection<'a> {
    /// What scores them.
    pub model: &'a LoadedModel,
    /// What they are looked at for.
    pub observables: &'a [Observable],
    /// Accept iff score >= threshold.
    pub threshold: Score,
}

/// Events that were selected, and of how many.
#[derive(Clone, Debug)]
pub struct Selected {
    /// What the stream says that it is.
    pub name: String,
    /// Digest of the stream.
    pub digest: String,
    /// Events that might have been: not trained on, not injected.
    pub n_events: u64,
    /// Those that passed and have every observable.
    pub sample: Sample,
    /// Whether events have weights of their own; otherwise all weigh 1.
    pub is_weighted: bool,
    /// Sum of the weights of all events.
    weight: f64,
}

impl Selected {
    /// Part of the events that passed, by weight.
    #[must_use]
    pub fn efficiency(&self) -> f64 {
        let passed: f64 = self.sample.weights.iter().sum();
        if self.weight > 0.0 { passed / self.weight } else { 0.0 }
    }
}

/// Reads a stream; `progress` is told how many events were scored.
///
/// # Errors
/// A stream that cannot be read or lacks columns.
pub fn select(
    path: &Path,
    role: Role,
    selection: &Selection,
    progress: &mut dyn FnMut(u64),
) -> Result<Selected> {
    let mut sample = Sample::equal(vec![Vec::new(); selection.observables.len()], 1.0);
    let looked_at = selection.observables.iter().map(|observable| observable.columns());
    let columns = looked_at.fold(ColumnSet::EMPTY, ColumnSet::union);
    let scorer = &selection.model.scorer;
    let mut values = vec![0.0; selection.observables.len()];
    let mut weight = 0.0;
    let request = Request { columns, ..Request::new(path, role) };
    let stream = read(&request, Some(selection.model), &mut |events| {
        'events: for (k, (&place, &score)) in events.kept.iter().zip(events.scores).enumerate() {
            weight += events.weight(k);
            if score < selection.threshold {
                continue;
            }
            let event = events.block.event(place);
            for (value, observable) in values.iter_mut().zip(selection.observables) {
                match observable.value(event, scorer.display(score)) {
                    Some(found) => *value = found,
                    None => continue 'events,
                }
            }
            sample.columns.iter_mut().zip(&values).for_each(|(column, &x)| column.push(x));
            sample.weights.push(events.weight(k));
        }
        progress(events.block.len() as u64);
        Ok(())
    })?;
    Ok(Selected {
        name: stream.name,
        digest: stream.digest,
        n_events: stream.n_events,
        is_weighted: stream.is_weighted,
        sample,
        weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_score_or_a_quantity() {
        assert_eq!(Observable::from_name("score"), Ok(Observable::Score));
        for name in ["dijet_mass", "met", "jet0_pt"] {
            assert_eq!(Observable::from_name(name).unwrap().name(), name);
        }
        let error = Observable::from_name("mass").unwrap_err();
        assert!(error.contains("dijet_mass") && error.contains("`mass`"), "{error}");
        assert!(error.ends_with("or `score`, the model's"), "{error}");
    }
}
