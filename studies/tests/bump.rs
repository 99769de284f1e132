//! Fits of a falling spectrum with and without a bump, beside scipy's (`fixtures/reference/make_nplm.py` for counts,
//! `make_bump.py` for events).

use std::path::Path;

use scout40_studies::bump::{Background, Scan, Spectrum};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    spectra: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    edges: Vec<f64>,
    counts: Vec<f64>,
    polynomial: bool,
    degree: usize,
    mean: f64,
    width: f64,
    null_deviance: f64,
    null_coefficients: Vec<f64>,
    deviance: f64,
    signal: f64,
}

#[test]
fn fits_with_and_without_a_bump_are_scipys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/nplm.json");
    let reference: Reference =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(reference.spectra.len(), 2);
    for case in reference.spectra {
        let degree = case.degree;
        let background = match case.polynomial {
            true => Background::Polynomial { degree },
            false => Background::Exponential { degree },
        };
        let spectrum = Spectrum::new(&case.edges, &case.counts).unwrap();
        let scan = Scan { background, means: vec![case.mean], width: case.width };
        let scanned = scan.run(&spectrum).unwrap();
        assert!((scanned.null.deviance - case.null_deviance).abs() < 1e-4, "{scanned:?}");
        for (found, expected) in scanned.null.coefficients.iter().zip(&case.null_coefficients) {
            assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
        }
        let (best, fit) = scanned.best.unwrap();
        assert!((fit.deviance - case.deviance).abs() < 1e-4, "{fit:?} {}", case.deviance);
        assert!((best.signal / case.signal - 1.0).abs() < 1e-3, "{best:?} {}", case.signal);
        assert!((best.q0 - (case.null_deviance - case.deviance)).abs() < 2e-4, "{best:?}");
    }
}

#[derive(Deserialize)]
struct Unbinned {
    values: Vec<f64>,
    range: (f64, f64),
    polynomial: bool,
    degree: usize,
    mean: f64,
    width: f64,
    null_deviance: f64,
    null_coefficients: Vec<f64>,
    deviance: f64,
    signal: f64,
    signal_error: f64,
}

/// Ours stop where the gradient is below 1e-4 in units of errors, or fail above 1e-3 (`TOLERANCE`). Powers of z are
/// correlated, so that errors of combinations are up to some ten units: the distance to the minimum is then below
/// 10 × (1e-3)² = 1e-5 in the deviance, and 10 × 1e-3 = 0.01 of its error in a parameter. Scipy's own error is far
/// smaller. The number of bins is that of the integral alone and must not matter.
#[test]
fn unbinned_fits_with_and_without_a_bump_are_scipys() {
    #[derive(Deserialize)]
    struct Cases {
        unbinned: Vec<Unbinned>,
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/bump.json");
    let cases: Cases = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(cases.unbinned.len(), 3);
    for (case, n_bins) in cases.unbinned.iter().flat_map(|case| [(case, 7_u32), (case, 40)]) {
        let (degree, (low, high)) = (case.degree, case.range);
        let (background, unit) = match case.polynomial {
            true => (Background::Polynomial { degree }, (case.values.len() as f64).sqrt()),
            false => (Background::Exponential { degree }, 1.0 / (case.values.len() as f64).sqrt()),
        };
        let edge = |k| low + (high - low) * f64::from(k) / f64::from(n_bins);
        let edges: Vec<f64> = (0..=n_bins).map(edge).collect();
        let spectrum = Spectrum::unbinned(&edges, &case.values).unwrap();
        let scan = Scan { background, means: vec![case.mean], width: case.width };
        let scanned = scan.run(&spectrum).unwrap();
        assert!((scanned.null.deviance - case.null_deviance).abs() < 1e-5, "{scanned:?}");
        for (found, expected) in scanned.null.coefficients.iter().zip(&case.null_coefficients) {
            assert!((found - expected).abs() < 0.01 * unit, "{found} {expected}");
        }
        let (best, fit) = scanned.best.unwrap();
        assert!((fit.deviance - case.deviance).abs() < 1e-5, "{fit:?} {}", case.deviance);
        assert!((best.signal - case.signal).abs() < 0.01 * case.signal_error, "{best:?}");
        assert!((best.signal_error / case.signal_error - 1.0).abs() < 1e-3, "{best:?}");
        assert!((best.q0 - (case.null_deviance - case.deviance)).abs() < 2e-5, "{best:?}");
        // Its pulls are those of the bins: (n − ν) / √ν around what was fitted.
        let pulls = scanned.null.expected.iter().zip(spectrum.counts());
        let squares: f64 = pulls.map(|(nu, n)| (n - nu).powi(2) / nu.max(1.0)).sum();
        assert!(squares > 0.3 * f64::from(n_bins), "{squares}");
    }
}
