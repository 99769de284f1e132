//! What resamples say: standard errors and percentile intervals.

/// Efficiencies in the sample and in all its resamples.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    pub(super) n_signals: usize,
    pub(super) n_models: usize,
    /// `[target][signal, then their mean][model]`.
    pub(super) observed: Vec<f64>,
    /// The same for each resample.
    pub(super) resampled: Vec<Vec<f64>>,
}

/// Which efficiency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// That of the signal with this number.
    Signal(usize),
    /// The mean of those of all signals.
    Mean,
}

/// A number with what the bootstrap says of its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// In the sample itself.
    pub value: f64,
    /// Standard deviation over resamples; infinite if the number is infinite in any of them.
    pub standard_error: f64,
    /// Lower end of the percentile interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Resamples that have no value (a ratio 0/0); the others make the error and the interval.
    pub undefined: u32,
}

impl Bootstrap {
    /// Efficiency of a model at the target with this number, with its central percentile interval
    /// at `confidence`.
    ///
    /// # Panics
    /// If a number is out of range, here and below.
    #[must_use]
    pub fn efficiency(&self, target: usize, of: Sample, model: usize, confidence: f64) -> Estimate {
        let index = self.index(target, of, model);
        self.estimate(confidence, |values| values[index])
    }

    /// Efficiency of the first model less that of the second.
    #[must_use]
    pub fn difference(
        &self,
        target: usize,
        of: Sample,
        first: usize,
        second: usize,
        confidence: f64,
    ) -> Estimate {
        let (first, second) = (self.index(target, of, first), self.index(target, of, second));
        self.estimate(confidence, |values| values[first] - values[second])
    }

    /// Efficiency of the first model over that of the second: infinite where the second finds
    /// nothing, undefined where neither does.
    #[must_use]
    pub fn ratio(
        &self,
        target: usize,
        of: Sample,
        first: usize,
        second: usize,
        confidence: f64,
    ) -> Estimate {
        let (first, second) = (self.index(target, of, first), self.index(target, of, second));
        self.estimate(confidence, |values| values[first] / values[second])
    }

    fn index(&self, target: usize, of: Sample, model: usize) -> usize {
        let row = match of {
            Sample::Signal(signal) => signal,
            Sample::Mean => self.n_signals,
        };
        assert!(row <= self.n_signals && model < self.n_models, "no such signal or model");
        (target * (self.n_signals + 1) + row) * self.n_models + model
    }

    fn estimate(&self, confidence: f64, number: impl Fn(&[f64]) -> f64) -> Estimate {
        assert!(confidence > 0.0 && confidence < 1.0);
        let mut sorted: Vec<f64> = self.resampled.iter().map(|values| number(values)).collect();
        sorted.retain(|x| !x.is_nan());
        sorted.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        Estimate {
            value: number(&self.observed),
            standard_error: standard_deviation(&sorted),
            low: quantile(&sorted, tail),
            high: quantile(&sorted, 1.0 - tail),
            undefined: (self.resampled.len() - sorted.len()) as u32,
        }
    }
}

fn standard_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|x| x.is_infinite()) {
        return f64::INFINITY;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

/// Linear between neighbours, as numpy's default (Hyndman and Fan's type 7).
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = p * last as f64;
    let (below, part) = (position as usize, position.fract());
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    if part == 0.0 || low.to_bits() == high.to_bits() { low } else { low + part * (high - low) }
}
