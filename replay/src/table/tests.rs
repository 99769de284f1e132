//! Both formats, whole and with one thing wrong.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/files").join(name)
}

fn read(text: impl AsRef<[u8]>) -> Result<Table, TableError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("misleading.txt");
    std::fs::write(&path, text).unwrap();
    Table::read(&path)
}

#[test]
fn dark_machines_become_leading_objects_and_multiplicities_in_gev() {
    let table = Table::read(&fixture("dark-machines.csv")).unwrap();
    assert_eq!((table.format, table.len()), (TableFormat::DarkMachines, 3));
    assert_eq!(table.columns.len(), 39, "the features that are usual for these files");
    assert_eq!(table.label_names, ["4top"]);
    assert_eq!(table.weights, [1.5; 3]);
    let close = |name: &str, expected: [f64; 3]| {
        for (&found, expected) in table.column(name).unwrap().iter().zip(expected) {
            let same = found.is_nan() && expected.is_nan();
            assert!(same || (found - expected).abs() < 1e-12, "{name}: {found} {expected}");
        }
    };
    close("met_gev", [95.0005, 12.0, 250.0]);
    close("met_phi_rad", [-1.2, 0.3, 2.9]);
    close("n_jet", [1.0, 0.0, 0.0]);
    close("n_bjet", [1.0, 0.0, 0.0]);
    close("n_electron", [1.0, 0.0, 0.0]);
    close("n_muon", [0.0, 1.0, 0.0]);
    close("n_photon", [0.0, 1.0, 0.0]);
    close("object0_pt_gev", [420.0, 50.0, f64::NAN]);
    close("object1_e_gev", [300.0, 42.0, f64::NAN]);
    close("object2_eta", [0.1, f64::NAN, f64::NAN]);
    close("object7_phi_rad", [f64::NAN; 3]);
    let rising = read("1;x;1;0;0;j,1,10,0,0;e+,1,30,0,0;g,1,20,0,0\n").unwrap();
    assert_eq!(rising.column("object0_pt_gev").unwrap(), [0.03], "by pT, not by place");
}

#[test]
fn higgs_ml_has_its_thirty_features_weights_labels_and_missing_values() {
    let table = Table::read(&fixture("higgs-ml.csv")).unwrap();
    assert_eq!((table.format, table.len()), (TableFormat::HiggsMl, 200));
    assert_eq!(table.columns.len(), 30);
    assert_eq!(table.columns[0].name, "DER_mass_MMC");
    assert_eq!(table.columns[29].name, "PRI_jet_all_pt");
    assert_eq!(table.label_names, ["s", "b"]);
    let yields = table.yields();
    assert_eq!((yields[0].0, yields[1].0), (67, 133));
    assert!((yields[0].1 - 67.0 * 0.0015).abs() < 1e-12);
    let summary = table.columns[4].summary();
    assert_eq!(summary.n, 160, "every fifth row has no value");
    assert!(summary.min > -200.0 && summary.min < summary.mean && summary.mean < summary.max);
    assert!(table.column("DER_deltaeta_jet_jet").unwrap()[0].is_nan());
    let nothing = TableColumn { name: "x".into(), values: vec![f64::NAN] }.summary();
    assert!(nothing.n == 0 && nothing.min.is_nan() && nothing.mean.is_nan());
}

#[test]
fn the_open_data_file_has_an_own_weight_of_kaggle_and_a_set_that_is_no_number() {
    let table = read("EventId,a,Weight,Label,KaggleSet,KaggleWeight\n1,2.5,3,s,t,4\n").unwrap();
    let names: Vec<&str> = table.columns.iter().map(|column| &column.name[..]).collect();
    assert_eq!(names, ["a", "KaggleWeight"]);
    assert_eq!((table.weights[0], table.column("KaggleWeight").unwrap()[0]), (3.0, 4.0));
}

#[test]
fn errors_name_line_and_column() {
    let head = "EventId,DER_a,Weight,Label\n1,2,3,s\n";
    for (line, column, found) in [
        ("2,x,3,b", "DER_a", "x"),
        ("2,inf,3,b", "DER_a", "inf"),
        ("2,1,-3,b", "Weight", "-3"),
        ("2,1,NaN,b", "Weight", "NaN"),
        ("2,1,1,q", "Label", "q"),
    ] {
        match read(format!("{head}{line}\n")).unwrap_err() {
            TableError::Field { line: 3, column: c, found: f, .. } => {
                assert_eq!((&c[..], &f[..]), (column, found));
            }
            other => panic!("{other}"),
        }
    }
    let error = read(format!("{head}2,1,1\n")).unwrap_err().to_string();
    assert!(error.contains("line 3: expected 4 fields, found 3"), "{error}");
    let error = read("EventId,DER_a\n1,2\n").unwrap_err().to_string();
    assert!(error.contains("column Weight") && error.contains("test.csv"), "{error}");
    let good = "1;p;1;5;0;j,1,2,3,4\n";
    for (line, column, expected) in [
        ("2;p;-1;5;0", "3 (weight)", "at least 0"),
        ("2;p;1;x;0", "4 (MET)", "at least 0"),
        ("2;p;1;5;inf", "5 (METphi)", "finite"),
        ("2;;1;5;0", "2 (process)", "a name"),
        ("2;p;1;5;0;q,1,2,3,4", "6 (type of object 0)", "one of j"),
        ("2;p;1;5;0;j,1,2,3,4;j,1,2,3", "7 (phi of object 1)", "finite"),
        ("2;p;1;5;0;j,1,NaN,3,4", "6 (pT of object 0)", "finite"),
        ("2;p;1;5;0;j,1,2,3,4,5", "6 (end of object 0)", "type, E"),
    ] {
        let error = read(format!("{good}{line}\n")).unwrap_err().to_string();
        assert!(error.contains(&format!("line 2, column {column}:")), "{line}: {error}");
        assert!(error.contains(expected) && error.contains("hint:"), "{line}: {error}");
    }
    let error = read(format!("{good}2;p;1\n")).unwrap_err().to_string();
    assert!(error.contains("line 2: expected 5 to 1005 fields, found 3"), "{error}");
    let error = read(b"1;p;1;5;0\n2;\xFF;1;5;0\n").unwrap_err().to_string();
    assert!(error.contains("line 2, column 2: expected text in UTF-8"), "{error}");
}

#[test]
fn what_is_no_table_is_refused_and_a_table_is_known_by_its_content() {
    for text in ["", "a,b,c\n1,2,3\n", "x;y;z\n", "PAR1", "1;2;3\n", "EventIds,1\n"] {
        let error = read(text).unwrap_err();
        assert!(matches!(error, TableError::Unknown { .. }), "{text}: {error}");
    }
    assert!(matches!(Table::read(Path::new("/nowhere")), Err(TableError::Io { .. })));
    assert_eq!(TableFormat::of(&fixture("higgs-ml.csv")), Some(TableFormat::HiggsMl));
    assert_eq!(TableFormat::of(&fixture("dark-machines.csv")), Some(TableFormat::DarkMachines));
    assert_eq!(TableFormat::of(&fixture("nano.json")), None);
    assert!(read("EventId,a,Weight,Label\n").unwrap().is_empty());
}

#[test]
fn a_table_cut_at_any_byte_is_an_error_or_the_rows_before() {
    for (name, step) in [("dark-machines.csv", 1), ("higgs-ml.csv", 37)] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let n_rows = read(&whole).unwrap().len();
        for n in (0..whole.len()).step_by(step) {
            if let Ok(table) = read(&whole[..n]) {
                assert!(table.len() <= n_rows, "{name} cut at byte {n}");
            }
            let mut flipped = whole.clone();
            flipped[n] ^= 1 << (n % 8);
            if let Ok(table) = read(&flipped) {
                assert!(table.len() <= n_rows + 1, "{name} with a flip at byte {n}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_are_errors_or_whole_tables_but_never_a_panic(
        name in prop_oneof![Just("dark-machines.csv"), Just("higgs-ml.csv")],
        places in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..4),
        keep in 0.0..1.0_f64,
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (place, byte) in places {
            let at = (place * (bytes.len() - 1) as f64) as usize;
            bytes[at] = byte;
        }
        bytes.truncate((keep * 2.0 * bytes.len() as f64) as usize);
        if let Ok(table) = read(&bytes) {
            for column in &table.columns {
                prop_assert_eq!(column.values.len(), table.len());
            }
            prop_assert_eq!(table.labels.len(), table.len());
            prop_assert!(table.weights.iter().all(|weight| weight.is_finite()));
        }
    }
}
