//! Fits of a falling spectrum with and without a bump, beside scipy's (`fixtures/reference/make_nplm.py`).

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
