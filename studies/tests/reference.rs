//! Our statistics beside those of scikit-learn, scipy, statsmodels and numpy.
//!
//! `fixtures/reference/make_statistics.py` ran these on small samples with many ties, with and without
//! weights; `statistics.json` has the samples and the results.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use scout40_studies::bootstrap::{Estimate, Options, Paired, Sample, paired_bootstrap};
use scout40_studies::correlation::{pearson, spearman};
use scout40_studies::observable::Histogram;
use scout40_studies::rate::{Interval, ONE_SIGMA};
use scout40_studies::regression::{Point, fit};
use scout40_studies::roc::Roc;
use scout40_studies::sculpting::{ks_distance, ks_probability, sculpting};
use scout40_studies::significance::{ams, best_ams};
use scout40_studies::spectrum::Spectrum;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    curves: Vec<Curves>,
    correlations: Vec<Correlations>,
    bootstrap: Resampled,
    significance: Significance,
    shapes: Shapes,
    regressions: Vec<Regression>,
}

#[derive(Deserialize)]
struct Curves {
    name: String,
    background: Vec<i32>,
    signal: Vec<i32>,
    /// Of the background, then of the signal.
    weights: Option<Vec<f64>>,
    auroc: f64,
    average_precision: f64,
    average_precision_at_1_percent: f64,
    /// Thresholds, false positive rates, signal efficiencies.
    roc: [Vec<f64>; 3],
    /// Thresholds, precision, recall; ascending, only up to where all signal is accepted.
    precision_recall: [Vec<f64>; 3],
}

#[derive(Deserialize)]
struct Correlations {
    name: String,
    first: Vec<i32>,
    second: Vec<i32>,
    pearson: f64,
    spearman: f64,
}

#[derive(Deserialize)]
struct Resampled {
    background: [Vec<i32>; 2],
    signals: Vec<[Vec<i32>; 2]>,
    collision_rate_hz: f64,
    target_khz: f64,
    observed: Vec<[f64; 2]>,
    /// Standard error, 16 % and 84 % quantiles.
    first_model_first_signal: [f64; 3],
    difference_of_means: [f64; 3],
    ratio_of_means: [f64; 3],
}

#[derive(Deserialize)]
struct Significance {
    /// Signal, background, b_r, AMS.
    cases: Vec<[f64; 4]>,
    background: Vec<i32>,
    background_weights: Vec<f64>,
    signal: Vec<i32>,
    signal_weights: Vec<f64>,
    best_threshold: i32,
    best_ams: f64,
}

#[derive(Deserialize)]
struct Shapes {
    values: Vec<f64>,
    weights: Vec<f64>,
    accepted: Vec<bool>,
    edges: Vec<f64>,
    /// Value and interval of each bin.
    efficiencies: Vec<[f64; 3]>,
    weighted_bins: Vec<[f64; 3]>,
    jensen_shannon: f64,
    kolmogorov_smirnov: f64,
    /// Accepted and rejected events, without weights.
    ks_distance: f64,
    /// All and accepted events, with weights.
    weighted_ks_distance: f64,
    ks_probabilities: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Regression {
    degree: usize,
    /// x, y, weight.
    points: Vec<[f64; 3]>,
    /// Value, standard error.
    coefficients: Vec<[f64; 2]>,
    scale: f64,
    r_squared: f64,
    p_value_of_highest: f64,
    weight_of_prediction: f64,
    /// x, value, interval of the curve, interval of a point.
    predictions: Vec<[f64; 6]>,
}

fn reference() -> Reference {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference");
    let text = std::fs::read_to_string(folder.join("statistics.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn assert_close(name: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12, "{name}: {found} instead of {expected}");
}

fn spectra(curves: &Curves) -> (Spectrum, Spectrum) {
    let (background, signal) = (&curves.background, &curves.signal);
    match &curves.weights {
        None => (Spectrum::of(background).unwrap(), Spectrum::of(signal).unwrap()),
        Some(weights) => {
            let (of_background, of_signal) = weights.split_at(background.len());
            let background = Spectrum::weighted(background, of_background).unwrap();
            (background, Spectrum::weighted(signal, of_signal).unwrap())
        }
    }
}

#[test]
fn areas_are_those_of_scikit_learn() {
    for case in &reference().curves {
        let (background, signal) = spectra(case);
        let roc = Roc::new(&background, &signal);
        assert_close(&case.name, roc.auroc(), case.auroc);
        let natural = roc.average_precision(roc.sample_prevalence()).unwrap();
        assert_close(&case.name, natural, case.average_precision);
        let stated = roc.average_precision(0.01).unwrap();
        assert_close(&case.name, stated, case.average_precision_at_1_percent);
    }
}

#[test]
fn roc_curves_are_those_of_scikit_learn_point_by_point() {
    for case in &reference().curves {
        let (background, signal) = spectra(case);
        let points = Roc::new(&background, &signal).points();
        let [thresholds, false_positive_rates, efficiencies] = &case.roc;
        assert_eq!(points.len() - 1, thresholds.len(), "{}", case.name);
        for (k, point) in points[1..].iter().enumerate() {
            assert_eq!(f64::from(point.threshold.unwrap()).to_bits(), thresholds[k].to_bits());
            assert_close(&case.name, point.false_positive_rate, false_positive_rates[k]);
            assert_close(&case.name, point.signal_efficiency, efficiencies[k]);
        }
    }
}

#[test]
fn precision_recall_curves_are_those_of_scikit_learn_point_by_point() {
    for case in &reference().curves {
        let (background, signal) = spectra(case);
        let roc = Roc::new(&background, &signal);
        let points = roc.precision_recall(roc.sample_prevalence()).unwrap();
        let [thresholds, precision, recall] = &case.precision_recall;
        assert_eq!(points.len(), thresholds.len(), "{}", case.name);
        for (k, point) in points.iter().rev().enumerate() {
            assert_eq!(f64::from(point.threshold).to_bits(), thresholds[k].to_bits());
            assert_close(&case.name, point.precision, precision[k]);
            assert_close(&case.name, point.recall, recall[k]);
        }
    }
}

#[test]
fn correlations_are_those_of_scipy() {
    for case in &reference().correlations {
        assert_close(&case.name, pearson(&case.first, &case.second).unwrap(), case.pearson);
        assert_close(&case.name, spearman(&case.first, &case.second).unwrap(), case.spearman);
    }
}

/// Numpy drew 20 000 resamples, we draw 10 000 with another generator. A standard error is then known to
/// 0.5 % and 0.7 %, so that 6 % are seven standard deviations; a quantile to 0.02 standard errors
/// and to the steps that it can have.
#[test]
fn the_paired_bootstrap_has_the_errors_and_intervals_of_numpy() {
    let case = reference().bootstrap;
    let paired = |scores: &[Vec<i32>; 2]| Paired::new(&[&scores[0], &scores[1]]).unwrap();
    let signals: Vec<Paired> = case.signals.iter().map(paired).collect();
    let options = Options {
        targets_khz: vec![case.target_khz],
        collision_rate_hz: case.collision_rate_hz,
        resamples: 10_000,
        rng_seed: 1,
    };
    let result = paired_bootstrap(&paired(&case.background), &signals, &options).unwrap();
    let confidence = 0.68;
    for (signal, observed) in case.observed.iter().enumerate() {
        for (model, &expected) in observed.iter().enumerate() {
            let found = result.efficiency(0, Sample::Signal(signal), model, confidence);
            assert_close("observed", found.value, expected);
        }
    }
    let steps = [1.0 / 150.0, 1.0 / 300.0, 0.02];
    let first = result.efficiency(0, Sample::Signal(0), 0, confidence);
    let difference = result.difference(0, Sample::Mean, 0, 1, confidence);
    let ratio = result.ratio(0, Sample::Mean, 0, 1, confidence);
    let check = |found: Estimate, [error, low, high]: [f64; 3], step: f64| {
        assert!((found.standard_error / error - 1.0).abs() < 0.06, "{found:?} {error}");
        assert!((found.low - low).abs() < 0.12 * error + step, "{found:?} {low}");
        assert!((found.high - high).abs() < 0.12 * error + step, "{found:?} {high}");
        assert_eq!(found.undefined, 0);
    };
    check(first, case.first_model_first_signal, steps[0]);
    check(difference, case.difference_of_means, steps[1]);
    check(ratio, case.ratio_of_means, steps[2]);
}

fn assert_relative(name: &str, found: f64, expected: f64, tolerance: f64) {
    let near = (found - expected).abs() <= tolerance * expected.abs();
    assert!(near, "{name}: {found} instead of {expected}");
}

fn assert_interval(name: &str, found: &Interval, expected: &[f64]) {
    assert_relative(name, found.value, expected[0], 1e-12);
    assert_relative(name, found.low, expected[1], 1e-9);
    assert_relative(name, found.high, expected[2], 1e-9);
}

#[test]
fn the_significance_is_that_of_extended_precision_and_its_optimum_that_of_brute_force() {
    let case = reference().significance;
    for [signal, background, b_r, expected] in case.cases {
        assert_relative("AMS", ams(signal, background, b_r), expected, 1e-11);
    }
    let background = Spectrum::weighted(&case.background, &case.background_weights).unwrap();
    let signal = Spectrum::weighted(&case.signal, &case.signal_weights).unwrap();
    let best = best_ams(&Roc::new(&background, &signal), 10.0).unwrap();
    assert_eq!(best.threshold, case.best_threshold);
    assert_relative("best AMS", best.value, case.best_ams, 1e-11);
}

#[test]
fn histograms_efficiencies_and_distances_are_those_of_numpy_and_scipy() {
    let case = reference().shapes;
    let part = |keep: bool, of: &[f64]| -> Vec<f64> {
        let kept = of.iter().zip(&case.accepted).filter(|&(_, &accepted)| accepted == keep);
        kept.map(|(&value, _)| value).collect()
    };
    let (accepted, rejected) = (part(true, &case.values), part(false, &case.values));
    let empty = Histogram::new(&case.edges).unwrap();
    let (mut all, mut passing, mut weighted) = (empty.clone(), empty.clone(), empty);
    all.fill(&case.values).unwrap();
    passing.fill(&accepted).unwrap();
    weighted.fill_weighted(&case.values, &case.weights).unwrap();
    let found = sculpting(&all, &passing).unwrap();
    assert_eq!(found.efficiencies.len(), case.efficiencies.len());
    for (found, expected) in found.efficiencies.iter().zip(&case.efficiencies) {
        assert_interval("efficiency", found, expected);
    }
    for (found, expected) in weighted.bins().iter().zip(&case.weighted_bins) {
        assert_interval("weighted bin", found, expected);
    }
    assert_close("Jensen-Shannon", found.jensen_shannon, case.jensen_shannon);
    assert_close("binned KS", found.kolmogorov_smirnov, case.kolmogorov_smirnov);
    let unbinned = ks_distance((&accepted, &[]), (&rejected, &[])).unwrap();
    assert_close("KS", unbinned, case.ks_distance);
    let weights = part(true, &case.weights);
    let weighted = ks_distance((&case.values, &case.weights), (&accepted, &weights)).unwrap();
    assert_close("weighted KS", weighted, case.weighted_ks_distance);
    for [z, expected] in case.ks_probabilities {
        // n₁n₂ / (n₁ + n₂) is one for two samples of two.
        assert_relative("KS probability", ks_probability(z, 2.0, 2.0), expected, 1e-11);
    }
}

#[test]
fn regressions_are_those_of_statsmodels() {
    for case in &reference().regressions {
        let points = case.points.iter().map(|&[x, y, weight]| Point { x, y, weight });
        let fitted = fit(&points.collect::<Vec<_>>(), case.degree).unwrap();
        assert_relative("scale", fitted.scale(), case.scale, 1e-10);
        assert_relative("R²", fitted.r_squared(), case.r_squared, 1e-10);
        assert_relative("p", fitted.p_value_of_highest(), case.p_value_of_highest, 1e-8);
        assert_eq!(fitted.coefficients().len(), case.degree + 1);
        for (&(value, error), expected) in fitted.coefficients().iter().zip(&case.coefficients) {
            assert_relative("coefficient", value, expected[0], 1e-9);
            assert_relative("its error", error, expected[1], 1e-9);
        }
        for row in &case.predictions {
            let found = fitted.predict(row[0], case.weight_of_prediction, ONE_SIGMA).unwrap();
            assert_relative("curve", found.curve.value, row[1], 1e-10);
            assert_relative("its low end", found.curve.low, row[2], 1e-9);
            assert_relative("its high end", found.curve.high, row[3], 1e-9);
            assert_relative("point, low end", found.point.low, row[4], 1e-9);
            assert_relative("point, high end", found.point.high, row[5], 1e-9);
        }
    }
}
