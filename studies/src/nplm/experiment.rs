//! What one test compares: a reference sample of known expectation and the data.

use crate::error::{Error, check};
use crate::weights::check_weights;

/// Events with weights. **Shape**: `columns[observable][event]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// One list for each observable.
    pub columns: Vec<Vec<f64>>,
    /// One for each event.
    pub weights: Vec<f64>,
}

impl Sample {
    /// Events that weigh the same.
    #[must_use]
    pub fn equal(columns: Vec<Vec<f64>>, weight: f64) -> Sample {
        let n = columns.first().map_or(0, Vec::len);
        Sample { columns, weights: vec![weight; n] }
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// These events of another sample.
    #[must_use]
    pub fn select(&self, events: &[u32]) -> Sample {
        let pick = |list: &Vec<f64>| events.iter().map(|&event| list[event as usize]).collect();
        Sample { columns: self.columns.iter().map(pick).collect(), weights: pick(&self.weights) }
    }

    /// Appends the events of another sample of the same observables.
    pub fn append(&mut self, other: &Sample) {
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            ours.extend_from_slice(theirs);
        }
        self.weights.extend_from_slice(&other.weights);
    }
}

/// Reference and data in one list, the reference first.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    columns: Vec<Vec<f64>>,
    weights: Vec<f64>,
    n_reference: usize,
}

impl Experiment {
    /// Unites them. The weights of the reference sum to the number of events expected in the data.
    ///
    /// # Errors
    /// No events, other numbers of observables, values that are not finite, negative weights, and
    /// a sample whose weights are all zero.
    pub fn new(reference: Sample, data: &Sample) -> Result<Experiment, Error> {
        let dimensions = reference.columns.len();
        check(dimensions > 0, "number of observables", "at least 1", dimensions as f64)?;
        let (expected, found) = (dimensions, data.columns.len());
        if expected != found {
            return Err(Error::Length { what: "observables of the data", expected, found });
        }
        for (sample, what) in [(&reference, "reference"), (data, "data")] {
            if sample.is_empty() {
                return Err(Error::NoEvents { what: "reference and data events" });
            }
            for column in &sample.columns {
                let (expected, found) = (sample.len(), column.len());
                if expected != found {
                    return Err(Error::Length { what, expected, found });
                }
                if let Some(index) = column.iter().position(|x| !x.is_finite()) {
                    return Err(Error::Value { what, index });
                }
            }
            check_weights(sample.len(), &sample.weights)?;
            if sample.weights.iter().all(|&weight| weight == 0.0) {
                return Err(Error::NoWeight { events: sample.len() as u64 });
            }
        }
        let n_reference = reference.len();
        let mut all = reference;
        all.append(data);
        Ok(Experiment { columns: all.columns, weights: all.weights, n_reference })
    }

    /// Number of events, reference and data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Events of the reference; they come first.
    #[must_use]
    pub fn n_reference(&self) -> usize {
        self.n_reference
    }

    /// `[observable][event]`.
    #[must_use]
    pub fn columns(&self) -> &[Vec<f64>] {
        &self.columns
    }

    /// One for each event.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// **t = 2 [Σ_D v f − Σ_R w (e^f − 1)]** for weights v, w and the logarithm f of the density
    /// ratio at each event: the extended likelihood-ratio test.
    /// **Source**: R. D'Agnolo, A. Wulzer, PRD 99 (2019) 015014, eq. 7.
    #[must_use]
    pub fn statistic(&self, f: &[f64]) -> f64 {
        let (reference, data) = f.split_at(self.n_reference);
        let (w, v) = self.weights.split_at(self.n_reference);
        // `exp_m1` of few numbers counts where f is small everywhere: no digits lost there.
        let expected: f64 = reference.iter().zip(w).map(|(f, w)| w * f.exp_m1()).sum();
        let observed: f64 = data.iter().zip(v).map(|(f, v)| v * f).sum();
        2.0 * (observed - expected)
    }
}

/// How observables are brought to comparable sizes: one with negative values to mean 0 and deviation 1,
/// others, where they exceed 1, to mean 1.
/// **Source**: M. Letizia et al., EPJC 82 (2022) 879, section 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling(Vec<(f64, f64)>);

impl Scaling {
    /// The scaling of a reference.
    ///
    /// # Errors
    /// An observable that never varies: no distance can be told in it.
    pub fn of(reference: &Sample) -> Result<Scaling, Error> {
        let one = |column: &Vec<f64>| {
            let n = column.len() as f64;
            let mean = column.iter().sum::<f64>() / n;
            let variance = column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            let lowest = column.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if variance.is_nan() || highest <= lowest {
                return Err(Error::Constant { what: "observable", found: mean });
            }
            Ok(if lowest < 0.0 {
                (mean, variance.sqrt())
            } else if highest > 1.0 {
                (0.0, mean)
            } else {
                (0.0, 1.0)
            })
        };
        Ok(Scaling(reference.columns.iter().map(one).collect::<Result<_, _>>()?))
    }

    /// Scales the observables of a sample.
    pub fn apply(&self, sample: &mut Sample) {
        for (column, (offset, scale)) in sample.columns.iter_mut().zip(&self.0) {
            column.iter_mut().for_each(|x| *x = (*x - offset) / scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_is_its_formula() {
        let reference = Sample { columns: vec![vec![0.0, 1.0]], weights: vec![0.5, 2.0] };
        let data = Sample { columns: vec![vec![3.0]], weights: vec![1.5] };
        let experiment = Experiment::new(reference, &data).unwrap();
        let f = [0.1, -0.2, 0.7];
        let by_hand =
            2.0 * (1.5 * 0.7 - 0.5 * (0.1_f64.exp() - 1.0) - 2.0 * ((-0.2_f64).exp() - 1.0));
        assert!((experiment.statistic(&f) - by_hand).abs() < 1e-15);
        assert!(experiment.statistic(&[0.0; 3]).abs() < 1e-300);
    }

    #[test]
    fn scaling_follows_the_published_rule() {
        let columns = vec![vec![-1.0, 1.0, 3.0], vec![0.0, 2.0, 4.0], vec![0.0, 0.5, 1.0]];
        let mut sample = Sample::equal(columns, 1.0);
        Scaling::of(&sample).unwrap().apply(&mut sample);
        let deviation = f64::sqrt(8.0 / 3.0);
        assert_eq!(sample.columns[0], [-2.0 / deviation, 0.0, 2.0 / deviation]);
        assert_eq!(sample.columns[1], [0.0, 1.0, 2.0]);
        assert_eq!(sample.columns[2], [0.0, 0.5, 1.0]);
        let constant = Sample::equal(vec![vec![2.0; 3]], 1.0);
        assert!(matches!(Scaling::of(&constant), Err(Error::Constant { .. })));
    }

    #[test]
    fn what_is_no_experiment_is_refused() {
        let good = Sample::equal(vec![vec![0.0, 1.0]], 1.0);
        let refused = |reference: &Sample, data: &Sample| {
            Experiment::new(reference.clone(), data).unwrap_err().to_string()
        };
        let empty = Sample::equal(vec![vec![]], 1.0);
        assert!(refused(&good, &empty).contains("found none"));
        let nan = Sample::equal(vec![vec![0.0, f64::NAN]], 1.0);
        assert!(refused(&nan, &good).contains("event 1"));
        let two = Sample::equal(vec![vec![0.0], vec![0.0]], 1.0);
        assert!(refused(&good, &two).contains("observables"));
        let negative = Sample { weights: vec![1.0, -1.0], ..good.clone() };
        assert!(refused(&good, &negative).contains("weight of event 1"));
        let nothing = Sample { weights: vec![0.0, 0.0], ..good.clone() };
        assert!(refused(&nothing, &good).contains("weigh nothing"));
    }
}
