//! Scans and the AMS of the HiggsML challenge, on a table in its layout.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use scout40_models::Score;
use scout40_replay::table::Table;
use scout40_studies::roc::Roc;
use scout40_studies::scan::scan;
use scout40_studies::significance::{ams, best_ams};
use scout40_studies::table::{scores_from_values, spectra};

fn table() -> Table {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/files/higgs-ml.csv");
    Table::read(&path).unwrap()
}

#[test]
fn the_best_cut_on_a_column_has_the_largest_ams_of_all_cuts_with_the_weights_of_the_table() {
    let table = table();
    let signal = table.label("s").unwrap();
    for name in ["DER_mass_MMC", "DER_pt_h", "DER_deltaeta_jet_jet"] {
        let values = table.column(name).unwrap();
        let scores = scores_from_values(values, 0.001).unwrap();
        let [background, signals] = spectra(&table, &scores, signal).unwrap();
        let yields = table.yields();
        assert!((signals.total() - yields[0].1).abs() < 1e-9);
        assert!((background.total() - yields[1].1).abs() < 1e-9);
        let best = best_ams(&Roc::new(&background, &signals), 10.0).unwrap();
        // The challenge's own way: every value as a cut, sums of weights, the formula.
        let accepted = |cut: f64, label: u32| -> f64 {
            let rows = (0..table.len()).filter(|&row| table.labels[row] == label);
            rows.filter(|&row| values[row] >= cut - 0.0005).map(|row| table.weights[row]).sum()
        };
        let largest = values
            .iter()
            .filter(|value| !value.is_nan())
            .map(|&cut| ams(accepted(cut, signal), accepted(cut, 1 - signal), 10.0))
            .fold(0.0, f64::max);
        // A missing value passes no cut, but "no cut" is one of the thresholds, too.
        let all = ams(yields[0].1, yields[1].1, 10.0);
        assert!((best.value - largest.max(all)).abs() < 1e-12, "{name}: {best:?} {largest}");
        let points = scan(&background, &[&signals], 30.9e6, 5).unwrap();
        assert!(points.len() > 3 && points.is_sorted_by_key(|point| -i64::from(point.threshold)));
    }
}

#[test]
fn missing_values_are_below_every_cut_and_extreme_ones_at_the_ends() {
    let scores = scores_from_values(&[f64::NAN, -1e300, 1.26, 1e300], 0.1).unwrap();
    assert_eq!(scores, [Score::MIN, Score::MIN + 1, 13, Score::MAX]);
    assert!(scores_from_values(&[1.0], 0.0).is_err());
    let table = table();
    assert!(spectra(&table, &scores, 0).is_err(), "as many scores as rows");
    let scores = vec![1; table.len()];
    assert!(spectra(&table, &scores, 99).is_err(), "no row has this label");
}
