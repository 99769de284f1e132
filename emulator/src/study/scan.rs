//! Efficiency and significance as a function of the threshold, and the threshold that suits each objective best.

use anyhow::{Context, Result};
use scout40_models::Score;
use scout40_studies::roc::Roc;
use scout40_studies::scan::{ScanPoint, scan};
use scout40_studies::significance::{
    Yields, ams, best_ams_of, best_significance_improvement, significance_improvement,
};
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use super::points::Measured;

/// What a threshold is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The largest ε_S / √ε_B.
    SignificanceImprovement,
    /// The largest approximate median significance.
    Ams,
}

impl Objective {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Objective::SignificanceImprovement => "eps_S / sqrt(eps_B)",
            Objective::Ams => "AMS",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Rate of collisions.
    pub collision_rate_hz: f64,
    /// Points for each factor of ten in rate.
    pub per_decade: u32,
    /// Background events that a best significance improvement has to leave.
    pub min_background: f64,
    /// Regularisation of the AMS.
    pub b_r: f64,
    /// Expected background before any cut; none: the sum of weights.
    pub expected_background: Option<f64>,
    /// Expected signal before any cut, of each; none: the sum of weights.
    pub expected_signal: Option<f64>,
}

/// A signal at a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SignalAt {
    /// Fraction that is accepted.
    pub efficiency: Measured,
    /// ε_S / √ε_B and its standard error; none where no background is left.
    pub significance_improvement: Option<(f64, f64)>,
    /// Approximate median significance of the expected yields.
    pub ams: f64,
}

/// A threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Rate of the background.
    pub rate_khz: Measured,
    /// Each signal.
    pub signals: Vec<SignalAt>,
}

/// The best threshold for an objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The signal; none: the mean of all, among the thresholds of the scan.
    pub signal: Option<usize>,
    /// What is best there.
    pub objective: Objective,
    /// Its value.
    pub value: f64,
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Rate of the background.
    pub rate_khz: Measured,
    /// Background events that are left, as many equal ones as they are worth.
    pub n_background: f64,
    /// Efficiency: of the signal, or the mean of all.
    pub efficiency: f64,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scan {
    /// From strict to loose.
    pub steps: Vec<Step>,
    /// For each signal, then for their mean; each objective.
    pub choices: Vec<Choice>,
    /// To draw efficiencies.
    #[serde(skip)]
    pub points: Vec<ScanPoint>,
}

/// Scans thresholds.
///
/// # Errors
/// Settings that cannot be, and more background asked for than there is.
pub fn scan_thresholds(
    background: &Spectrum,
    signals: &[&Spectrum],
    settings: &Settings,
) -> Result<Scan> {
    let rocs: Vec<Roc> = signals.iter().map(|signal| Roc::new(background, signal)).collect();
    let yields: Vec<Yields> =
        signals.iter().map(|signal| yields(background, signal, settings)).collect();
    let points = scan(background, signals, settings.collision_rate_hz, settings.per_decade)?;
    let step = |point: &ScanPoint| Step {
        threshold: point.threshold,
        rate_khz: point.rate_khz.into(),
        signals: (0..signals.len())
            .map(|k| signal_at(&rocs[k], point, k, yields[k], settings.b_r))
            .collect(),
    };
    let steps: Vec<Step> = points.iter().map(step).collect();
    let mut choices = Vec::new();
    for (k, roc) in rocs.iter().enumerate() {
        let improvement = best_significance_improvement(roc, settings.min_background)
            .context("hint: `--min-background` may be smaller, or give more events")?;
        let significance = best_ams_of(roc, settings.b_r, yields[k])?;
        for (objective, best) in
            [(Objective::SignificanceImprovement, improvement), (Objective::Ams, significance)]
        {
            choices.push(Choice {
                signal: Some(k),
                objective,
                value: best.value,
                threshold: best.threshold,
                rate_khz: background.rate_khz(best.threshold, settings.collision_rate_hz).into(),
                n_background: background.effective_accepted(best.threshold),
                efficiency: signals[k].efficiency(best.threshold).value,
            });
        }
    }
    choices.extend(of_mean(background, &steps, settings));
    Ok(Scan { steps, choices, points })
}

fn yields(background: &Spectrum, signal: &Spectrum, settings: &Settings) -> Yields {
    Yields {
        signal: settings.expected_signal.unwrap_or_else(|| signal.total()),
        background: settings.expected_background.unwrap_or_else(|| background.total()),
    }
}

fn signal_at(roc: &Roc, point: &ScanPoint, k: usize, yields: Yields, b_r: f64) -> SignalAt {
    let (value, error) = significance_improvement(roc, point.threshold);
    let working = roc.at_threshold(point.threshold);
    SignalAt {
        efficiency: point.signal_efficiencies[k].into(),
        significance_improvement: value.is_finite().then_some((value, error)),
        ams: ams(
            yields.signal * working.signal_efficiency.value,
            yields.background * working.false_positive_rate.value,
            b_r,
        ),
    }
}

/// The thresholds of the scan that are best for the mean of all signals.
fn of_mean(background: &Spectrum, steps: &[Step], settings: &Settings) -> Vec<Choice> {
    let improvement = |at: &SignalAt| at.significance_improvement.map_or(0.0, |(value, _)| value);
    let mean = |step: &Step, of: &dyn Fn(&SignalAt) -> f64| {
        step.signals.iter().map(of).sum::<f64>() / step.signals.len() as f64
    };
    let left = |step: &&Step| background.effective_accepted(step.threshold);
    let best = |objective: Objective, of: &dyn Fn(&SignalAt) -> f64, least: f64| {
        let allowed = steps.iter().filter(|step| left(step) >= least && !step.signals.is_empty());
        let best = allowed.max_by(|a, b| mean(a, of).total_cmp(&mean(b, of)))?;
        Some(Choice {
            signal: None,
            objective,
            value: mean(best, of),
            threshold: best.threshold,
            rate_khz: best.rate_khz,
            n_background: left(&best),
            efficiency: mean(best, &|at| at.efficiency.value),
        })
    };
    let objectives = [
        best(Objective::SignificanceImprovement, &improvement, settings.min_background),
        best(Objective::Ams, &|at| at.ams, 0.0),
    ];
    objectives.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_best_of_what_the_scan_says() {
        let background: Vec<Score> = (0..20_000).map(|k: Score| (k * 17 % 1009) + k % 83).collect();
        let signal =
            |shift: Score| -> Vec<Score> { (0..900).map(|k| shift + k * 13 % 703).collect() };
        let background = Spectrum::of(&background).unwrap();
        let signals = [signal(400), signal(480)].map(|scores| Spectrum::of(&scores).unwrap());
        let settings = Settings {
            collision_rate_hz: 30e6,
            per_decade: 20,
            min_background: 10.0,
            b_r: 10.0,
            expected_background: Some(1e5),
            expected_signal: Some(50.0),
        };
        let found = scan_thresholds(&background, &[&signals[0], &signals[1]], &settings).unwrap();
        assert_eq!(found.choices.len(), 6);
        for choice in &found.choices {
            let value = |step: &Step| {
                let of = |at: &SignalAt| match choice.objective {
                    Objective::Ams => at.ams,
                    Objective::SignificanceImprovement => {
                        at.significance_improvement.map_or(0.0, |(value, _)| value)
                    }
                };
                match choice.signal {
                    Some(k) => of(&step.signals[k]),
                    None => (of(&step.signals[0]) + of(&step.signals[1])) / 2.0,
                }
            };
            let enough = |step: &&Step| {
                choice.objective == Objective::Ams
                    || background.effective_accepted(step.threshold) >= 10.0
            };
            let highest = found.steps.iter().filter(enough).map(value).fold(0.0, f64::max);
            assert!(choice.value >= highest * (1.0 - 1e-12), "{choice:?} {highest}");
            // What it says of its threshold is so.
            let at = |k: usize| {
                let roc = Roc::new(&background, &signals[k]);
                let point = roc.at_threshold(choice.threshold);
                match choice.objective {
                    Objective::SignificanceImprovement => {
                        significance_improvement(&roc, choice.threshold).0
                    }
                    Objective::Ams => ams(
                        50.0 * point.signal_efficiency.value,
                        1e5 * point.false_positive_rate.value,
                        10.0,
                    ),
                }
            };
            let expected = choice.signal.map_or_else(|| (at(0) + at(1)) / 2.0, at);
            assert!((choice.value - expected).abs() < 1e-12 * expected, "{choice:?} {expected}");
        }
        let asks_too_much = Settings { min_background: 1e6, ..settings };
        let error = scan_thresholds(&background, &[&signals[0]], &asks_too_much).unwrap_err();
        assert!(format!("{error:#}").contains("--min-background"), "{error:#}");
    }
}
