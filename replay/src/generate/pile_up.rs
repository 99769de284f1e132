//! How many collisions pile up in a crossing.

use std::str::FromStr;

use super::GenerateError;
use super::histogram::Histogram;
use super::model::{GeneratorModel, PILE_UP_MAX};
use super::random::{exp, ln};

/// How many collisions pile up in a crossing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PileUp {
    /// As in the stream that the model was fitted to.
    #[default]
    Fitted,
    /// Always so many.
    Fixed(u16),
    /// Poisson of this mean.
    Poisson(f64),
}

impl FromStr for PileUp {
    type Err = String;

    /// `fitted`, a number of collisions, or `poisson:MEAN`.
    fn from_str(text: &str) -> Result<PileUp, String> {
        let expected = || {
            format!(
                "expected `60`, `poisson:60` or `fitted`, at most {PILE_UP_MAX}, found `{text}`"
            )
        };
        let text = text.trim();
        if text == "fitted" {
            return Ok(PileUp::Fitted);
        }
        if let Some(mean) = text.strip_prefix("poisson:") {
            let mean: f64 = mean.parse().map_err(|_| expected())?;
            let in_range = mean > 0.0 && mean <= f64::from(PILE_UP_MAX);
            return if in_range { Ok(PileUp::Poisson(mean)) } else { Err(expected()) };
        }
        let n: u16 = text.parse().map_err(|_| expected())?;
        if (1..=PILE_UP_MAX).contains(&n) { Ok(PileUp::Fixed(n)) } else { Err(expected()) }
    }
}

impl std::fmt::Display for PileUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PileUp::Fitted => f.write_str("fitted"),
            PileUp::Fixed(n) => n.fmt(f),
            PileUp::Poisson(mean) => write!(f, "poisson:{mean}"),
        }
    }
}

impl PileUp {
    /// Its distribution; `None` if the model knows none and none is asked for.
    pub(super) fn histogram(
        self,
        model: &GeneratorModel,
    ) -> Result<Option<Histogram>, GenerateError> {
        let Some(known) = &model.pile_up else {
            return if self == PileUp::Fitted { Ok(None) } else { Err(GenerateError::NoPileUp) };
        };
        let in_range = |found: f64| {
            let max = PILE_UP_MAX;
            let holds = found > 0.0 && found <= f64::from(max);
            if holds { Ok(()) } else { Err(GenerateError::PileUpRange { max, found }) }
        };
        Ok(Some(match self {
            PileUp::Fitted => known.histogram.clone(),
            PileUp::Fixed(n) => {
                in_range(f64::from(n))?;
                Histogram { first: i32::from(n), weights: vec![1.0] }
            }
            PileUp::Poisson(mean) => {
                in_range(mean)?;
                let mut log = -mean;
                let mut weights = vec![exp(log) as f32];
                for k in 1..=PILE_UP_MAX {
                    log += ln(mean) - ln(f64::from(k));
                    weights.push(exp(log.max(-600.0)) as f32);
                }
                // What is less likely than 1e-12 would cost tables and never be drawn.
                let first = weights.iter().position(|&w| w > 1e-12).unwrap_or(0);
                let end = weights.iter().rposition(|&w| w > 1e-12).map_or(1, |last| last + 1);
                Histogram { first: first as i32, weights: weights[first..end].to_vec() }
            }
        }))
    }
}
