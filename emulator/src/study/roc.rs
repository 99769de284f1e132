//! How well models tell signals from the background: what one training reaches, and mean and spread over several.

use scout40_models::Score;
use scout40_studies::Error;
use scout40_studies::rate::CalibrateError;
use scout40_studies::roc::{PrecisionRecall, Roc};
use scout40_studies::scan::at_rate;
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use super::points::{Measured, rate_name};

/// A background rate at which efficiencies are compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// In kHz.
    RateKhz(f64),
    /// As a fraction of all background.
    FalsePositiveRate(f64),
}

impl Target {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Target::RateKhz(khz) => rate_name(khz),
            Target::FalsePositiveRate(fraction) => format!("false positive rate {fraction:e}"),
        }
    }

    /// In kHz.
    #[must_use]
    pub fn khz(self, collision_rate_hz: f64) -> f64 {
        match self {
            Target::RateKhz(khz) => khz,
            Target::FalsePositiveRate(fraction) => fraction * collision_rate_hz / 1000.0,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rate of collisions.
    pub collision_rate_hz: f64,
    /// Where efficiencies are compared.
    pub targets: Vec<Target>,
    /// Fraction of signal for precisions.
    pub prevalence: f64,
}

/// A working point of one training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtTarget {
    /// Accept iff score >= threshold: the loosest that keeps the target.
    pub threshold: Score,
    /// Fraction of the background that is accepted (Clopper-Pearson).
    pub false_positive_rate: Measured,
    /// Background events that are accepted, as many equal ones as they are worth.
    pub n_accepted: f64,
    /// Fraction of each signal (Clopper-Pearson).
    pub efficiency: Vec<Measured>,
    /// The same at the loosest threshold whose rate's interval is within the target; none where no threshold is.
    pub efficiency_strict: Vec<Option<f64>>,
    /// The same at the loosest threshold whose rate's interval reaches the target.
    pub efficiency_loose: Vec<f64>,
}

/// What one training reaches; lists are over signals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// Background events that it was tested on, as many equal ones as they are worth.
    pub n_background: f64,
    /// Area under the ROC curve.
    pub auroc: Vec<f64>,
    /// Its standard error from the spread of events (DeLong).
    pub auroc_error: Vec<f64>,
    /// Average precision at the prevalence that was asked for.
    pub average_precision: Vec<f64>,
    /// At each target: none where the background is too small for it.
    pub targets: Vec<Option<AtTarget>>,
    /// Efficiency at each of [`false_positive_rates`]; none below what one event stands for.
    #[serde(skip)]
    pub roc: Vec<Vec<Option<f64>>>,
    /// Precision at each of [`recalls`].
    #[serde(skip)]
    pub precision: Vec<Vec<f64>>,
}

/// Where ROC curves are averaged: from 10⁻⁶ to 1, 30 to a decade.
#[must_use]
pub fn false_positive_rates() -> Vec<f64> {
    (0..=180).map(|k| 10f64.powf(-6.0 + f64::from(k) / 30.0)).collect()
}

/// Where precision-recall curves are averaged.
#[must_use]
pub fn recalls() -> Vec<f64> {
    (1..=200).map(|k| f64::from(k) / 200.0).collect()
}

/// What a model reaches on these.
///
/// # Errors
/// A prevalence or a target that cannot be, and scores that saturate.
pub fn reached(
    background: &Spectrum,
    signals: &[&Spectrum],
    settings: &Settings,
) -> Result<Reached, Error> {
    let mut reached = Reached {
        n_background: background.effective_events(),
        auroc: Vec::new(),
        auroc_error: Vec::new(),
        average_precision: Vec::new(),
        targets: Vec::new(),
        roc: Vec::new(),
        precision: Vec::new(),
    };
    for signal in signals {
        let roc = Roc::new(background, signal);
        let (auroc, error) = roc.auroc_with_error();
        reached.auroc.push(auroc);
        reached.auroc_error.push(error);
        reached.average_precision.push(roc.average_precision(settings.prevalence)?);
        let efficiency = |&fraction: &f64| {
            let threshold = background.threshold_for_fraction(fraction).ok()?;
            Some(signal.efficiency(threshold).value)
        };
        reached.roc.push(false_positive_rates().iter().map(efficiency).collect());
        reached.precision.push(precisions(&roc.precision_recall(settings.prevalence)?));
    }
    for target in &settings.targets {
        reached.targets.push(at_target(background, signals, settings, *target)?);
    }
    Ok(reached)
}

/// The precision where each recall is reached first.
fn precisions(curve: &[PrecisionRecall]) -> Vec<f64> {
    let precision = |&recall: &f64| {
        // Recall rises along the curve. Sums of weights round, so the last may be just below one.
        let place = curve.partition_point(|point| point.recall < recall);
        curve[place.min(curve.len() - 1)].precision
    };
    recalls().iter().map(precision).collect()
}

fn at_target(
    background: &Spectrum,
    signals: &[&Spectrum],
    settings: &Settings,
    target: Target,
) -> Result<Option<AtTarget>, Error> {
    let khz = target.khz(settings.collision_rate_hz);
    let row = match at_rate(background, signals, settings.collision_rate_hz, khz) {
        Ok(row) => row,
        Err(CalibrateError::TooFew { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let efficiency = |signal: &&Spectrum, threshold| signal.efficiency(threshold).value;
    Ok(Some(AtTarget {
        threshold: row.at.threshold,
        false_positive_rate: background.efficiency(row.at.threshold).into(),
        n_accepted: background.effective_accepted(row.at.threshold),
        efficiency: row.at.signal_efficiencies.iter().map(|&x| x.into()).collect(),
        efficiency_strict: signals
            .iter()
            .map(|signal| row.strict.map(|threshold| efficiency(signal, threshold)))
            .collect(),
        efficiency_loose: signals.iter().map(|signal| efficiency(signal, row.loose)).collect(),
    }))
}

/// Mean over trainings and their standard deviation (n − 1); none of a single one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a training.
    pub std: Option<f64>,
}

impl Spread {
    /// Of these values; none if there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Spread> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = || values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let std = (values.len() > 1).then(|| variance().sqrt());
        (!values.is_empty()).then_some(Spread { mean, std })
    }
}

/// Mean and spread over trainings; lists are over signals, then their mean.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Area under the ROC curve.
    pub auroc: Vec<Spread>,
    /// Mean of the DeLong errors.
    pub auroc_error: Vec<f64>,
    /// Average precision.
    pub average_precision: Vec<Spread>,
    /// At each target; none where no background was large enough.
    pub targets: Vec<Option<TargetSummary>>,
}

/// Efficiencies at a target over trainings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetSummary {
    /// Mean and spread of each signal, then of their mean.
    pub efficiency: Vec<Spread>,
    /// Binomial interval of each signal: means of the ends over trainings.
    pub interval: Vec<Measured>,
    /// Accepted background events of a training, mean.
    pub n_accepted: f64,
}

/// Mean and spread over trainings, of which there is at least one, all with the same signals and targets.
#[must_use]
pub fn summarise(trainings: &[Reached]) -> Summary {
    let n_signals = trainings.first().map_or(0, |reached| reached.auroc.len());
    let n_targets = trainings.first().map_or(0, |reached| reached.targets.len());
    let spreads = |of: &dyn Fn(&Reached) -> &Vec<f64>| spreads(trainings, n_signals, of);
    let error = |k: usize| mean(&trainings.iter().map(|r| r.auroc_error[k]).collect::<Vec<_>>());
    Summary {
        auroc: spreads(&|reached| &reached.auroc),
        auroc_error: (0..n_signals).map(error).collect(),
        average_precision: spreads(&|reached| &reached.average_precision),
        targets: (0..n_targets).map(|k| summarise_target(trainings, n_signals, k)).collect(),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of each signal, then of the mean of all.
fn spreads<T>(trainings: &[T], n_signals: usize, of: &dyn Fn(&T) -> &Vec<f64>) -> Vec<Spread> {
    let signals = (0..n_signals).map(|k| trainings.iter().map(|r| of(r)[k]).collect::<Vec<_>>());
    let means = trainings.iter().map(|reached| mean(of(reached))).collect::<Vec<_>>();
    signals.chain([means]).filter_map(|values| Spread::of(&values)).collect()
}

fn summarise_target(
    trainings: &[Reached],
    n_signals: usize,
    target: usize,
) -> Option<TargetSummary> {
    let at: Option<Vec<&AtTarget>> = trainings.iter().map(|r| r.targets[target].as_ref()).collect();
    let at = at?;
    let values: Vec<Vec<f64>> =
        at.iter().map(|at| at.efficiency.iter().map(|x| x.value).collect()).collect();
    let interval = |k: usize| {
        let mean_of = |end: &dyn Fn(&Measured) -> f64| {
            mean(&at.iter().map(|at| end(&at.efficiency[k])).collect::<Vec<_>>())
        };
        Measured {
            value: mean_of(&|x| x.value),
            low: mean_of(&|x| x.low),
            high: mean_of(&|x| x.high),
        }
    };
    Some(TargetSummary {
        efficiency: spreads(&values, n_signals, &|values| values),
        interval: (0..n_signals).map(interval).collect(),
        n_accepted: mean(&at.iter().map(|at| at.n_accepted).collect::<Vec<_>>()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectra(shift: Score) -> (Spectrum, Spectrum) {
        let background: Vec<Score> = (0..10_000).map(|k: Score| k * 7 % 1009).collect();
        let signal: Vec<Score> = (0..500).map(|k: Score| shift + k * 13 % 703).collect();
        (Spectrum::of(&background).unwrap(), Spectrum::of(&signal).unwrap())
    }

    fn settings() -> Settings {
        let targets =
            vec![Target::RateKhz(100.0), Target::FalsePositiveRate(0.01), Target::RateKhz(0.1)];
        Settings { collision_rate_hz: 10e6, targets, prevalence: 0.01 }
    }

    #[test]
    fn a_training_reaches_what_its_curves_say() {
        let (background, signal) = spectra(350);
        let found = reached(&background, &[&signal], &settings()).unwrap();
        let roc = Roc::new(&background, &signal);
        assert_eq!(found.auroc, [roc.auroc()]);
        let same = found.targets[0].as_ref().unwrap();
        assert_eq!(found.targets[1].as_ref().unwrap(), same, "100 kHz of 10 MHz are 0.01");
        assert!(same.false_positive_rate.value <= 0.01 && same.n_accepted <= 100.0);
        assert!((same.efficiency[0].value - signal.efficiency(same.threshold).value).abs() < 1e-15);
        assert!(same.efficiency_loose[0] >= same.efficiency[0].value);
        assert!(same.efficiency_strict[0].unwrap() <= same.efficiency[0].value);
        assert_eq!(found.targets[2], None, "10 000 events do not know 0.1 kHz of 10 MHz");
        let place = false_positive_rates().iter().position(|&x| x > 0.00999).unwrap();
        assert!((found.roc[0][place].unwrap() - same.efficiency[0].value).abs() < 0.02);
        assert_eq!(found.roc[0][0], None);
        assert!((found.roc[0][180].unwrap() - 1.0).abs() < 1e-15);
        // All accepted, precision is the prevalence.
        assert!((found.precision[0][199] - 0.01).abs() < 0.01, "{}", found.precision[0][199]);
    }

    #[test]
    fn a_summary_is_mean_and_standard_deviation_of_its_trainings() {
        let trainings: Vec<Reached> = [300, 350, 420]
            .map(|shift| {
                let (background, signal) = spectra(shift);
                let (_, other) = spectra(shift + 50);
                reached(&background, &[&signal, &other], &settings()).unwrap()
            })
            .to_vec();
        let summary = summarise(&trainings);
        let x: Vec<f64> = trainings.iter().map(|training| training.auroc[1]).collect();
        let mean = (x[0] + x[1] + x[2]) / 3.0;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 2.0;
        assert!((summary.auroc[1].mean - mean).abs() < 1e-15);
        assert!((summary.auroc[1].std.unwrap() - variance.sqrt()).abs() < 1e-15);
        let both = (summary.auroc[0].mean + summary.auroc[1].mean) / 2.0;
        assert!((summary.auroc[2].mean - both).abs() < 1e-15 && summary.auroc.len() == 3);
        let at = summary.targets[0].as_ref().unwrap();
        assert_eq!((at.efficiency.len(), at.interval.len()), (3, 2));
        assert!(at.interval[0].low < at.efficiency[0].mean);
        assert!(summary.targets[2].is_none());
        assert_eq!(summarise(&trainings[..1]).auroc[0].std, None);
        assert_eq!(Spread::of(&[]), None);
    }
}
