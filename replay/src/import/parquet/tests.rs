//! Every rule of the public data set, on files written here.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::testing::{Rows, Table, lists, plain};
use super::*;
use crate::event::{Block, Column};

/// All events of a stream in one block, with tally, or the error.
fn read_all(
    paths: &[PathBuf],
    options: &ImportOptions,
) -> Result<(Block, ImportTally), ImportError> {
    let mut importer = ParquetImporter::open(paths, options)?;
    let mut all = Block::new(importer.columns());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk)? {
        assert!(chunk.events.len() <= CHUNK_EVENTS && chunk.runs.len() == chunk.events.len());
        (0..chunk.events.len()).for_each(|i| all.push_event(&chunk.events, i));
    }
    let tally = importer.tally();
    assert_eq!(tally.rows, importer.n_events());
    assert_eq!(tally.rows, tally.kept + tally.dropped_saturated);
    assert_eq!(tally.kept, all.len() as u64);
    Ok((all, tally))
}

fn read(table: &Table) -> Result<(Block, ImportTally), ImportError> {
    read_with(table, &ImportOptions::default())
}

fn read_with(table: &Table, options: &ImportOptions) -> Result<(Block, ImportTally), ImportError> {
    let folder = tempfile::tempdir().unwrap();
    read_all(&[table.write(folder.path(), "a.parquet")], options)
}

fn rows(rows: std::ops::Range<u64>) -> ImportOptions {
    ImportOptions { rows: Some(rows), ..ImportOptions::default() }
}

const KEEP: ImportOptions =
    ImportOptions { rows: None, keep_saturated: true, key: None, payload: None };

#[test]
fn objects_come_out_as_written_and_sorted_by_pt() {
    let (block, tally) = read(&Table::minimal(300)).unwrap();
    assert_eq!(block.len(), 300);
    assert_eq!(block.get::<u8>(Column::JetN)[..6], [0, 1, 2, 3, 4, 0]);
    assert_eq!(block.get::<i16>(Column::JetPt)[..3], [110, 110, 109]);
    assert_eq!(block.get::<i16>(Column::MuonPt)[..3], [10, 11, 10], "muons were ascending");
    assert_eq!(block.get::<i16>(Column::MuonEta)[..3], [-1, -1, -2], "eta moves with its pT");
    assert_eq!(block.get::<i16>(Column::MetPt)[199], 99);
    assert_eq!(tally.resorted_lists, 100);
    assert!(!block.columns().contains(Column::TauPt) && block.get::<u8>(Column::TauN) == [0; 300]);
}

#[test]
fn integers_of_every_width_and_sign_are_read_alike() {
    let expected = read(&Table::minimal(40)).unwrap().0;
    for ty in [
        "int32 %(INTEGER(8,false))",
        "int32 %(INTEGER(16,true))",
        "int32 %(INTEGER(16,false))",
        "int32 %(INTEGER(32,true))",
        "int32 %(INTEGER(32,false))",
        "int64 %(INTEGER(64,true))",
        "int64 %(INTEGER(64,false))",
        "int32 %(UINT_16)",
        "int64 %(INT_64)",
        "int32 %",
        "int64 %",
    ] {
        let mut table = Table::minimal(40);
        let pt: Vec<Vec<Option<i64>>> =
            (0..40).map(|i| (0..i % 5).map(|k| Some(110 - k)).collect()).collect();
        table.set("jets_jetIEt", ty, Rows::Lists(pt));
        let (block, _) = read(&table).unwrap();
        assert_eq!(block.get::<i16>(Column::JetPt), expected.get::<i16>(Column::JetPt), "{ty}");
    }
}

#[test]
fn sums_may_be_plain_numbers_and_event_columns_any_fitting_type() {
    let mut table = Table::minimal(2);
    table.set("MET_Et", "int64 %", plain(&[7, 4095]));
    table.set("ET_ETTEM", "int32 %", lists(&[&[5], &[6]]));
    table.set("HT_tower_count", "int32 %", lists(&[&[8191], &[0]]));
    table.set("L1bit", "boolean %", plain(&[1, 0]));
    table.set("nPV_True", "float %", plain(&[130, 131]));
    table.set("label", "int32 %(INTEGER(8,true))", plain(&[-1, 3]));
    table.set("event", "int64 %(INTEGER(64,false))", plain(&[-1, 5]));
    table.set("order", "int64 %", plain(&[0, 77]));
    let (block, _) = read(&table).unwrap();
    assert_eq!(block.get::<i16>(Column::MetPt), [7, 4095]);
    assert_eq!(block.get::<i16>(Column::EtEmPt), [5, 6]);
    assert_eq!(block.get::<i16>(Column::TowerCount), [8191, 0]);
    assert_eq!(block.get::<u8>(Column::L1Accept), [1, 0]);
    assert_eq!(block.get::<f32>(Column::PileUp), [32.5, 32.75]);
    assert_eq!(block.get::<i32>(Column::Label), [-1, 3]);
    assert_eq!(block.get::<u64>(Column::Event), [u64::MAX, 5]);
    assert_eq!(block.get::<i64>(Column::Order), [0, 77]);
    table.set("nPV_True", "int32 %", plain(&[61, 62]));
    table.set("L1bit", "int32 %", plain(&[1, 0]));
    let (block, _) = read(&table).unwrap();
    assert_eq!(block.get::<f32>(Column::PileUp), [61.0, 62.0]);
    assert_eq!(block.get::<u8>(Column::L1Accept), [1, 0]);
}

#[test]
fn missing_columns_are_listed() {
    let mut table = Table::minimal(1);
    table.remove("jets_jetIEta");
    table.remove("MET_phi");
    let error = read(&table).unwrap_err().to_string();
    assert!(error.contains("a.parquet") && error.contains("MET_phi, jets_jetIEta"), "{error}");
    let mut table = Table::minimal(1);
    table.set("taus_tauIEt", "int32 %", lists(&[&[]]));
    let error = read(&table).unwrap_err().to_string();
    assert!(error.contains("taus_tauIEta, taus_tauIPhi"), "taus come whole: {error}");
}

#[test]
fn a_column_that_is_no_integer_is_refused_with_file_column_and_type() {
    for (ty, found) in [
        ("float %", "list of FLOAT"),
        ("boolean %", "list of BOOLEAN"),
        ("binary %(UTF8)", "UTF8"),
        ("int32 %(DATE)", "DATE"),
    ] {
        let mut table = Table::minimal(1);
        table.set("jets_jetIEt", ty, lists(&[&[]]));
        let error = read(&table).unwrap_err().to_string();
        let named = ["a.parquet", "jets_jetIEt", found].iter().all(|part| error.contains(part));
        assert!(named, "{ty}: {error}");
    }
}

#[test]
fn a_value_that_the_field_cannot_hold_is_an_error_with_its_row() {
    for (name, ty, bad) in [
        ("jets_jetIEt", "int32 %", 2048),
        ("jets_jetIEt", "int32 %", -1),
        ("jets_jetIPhi", "int32 %", 144),
        ("jets_jetIEta", "int64 %", -129),
        ("jets_jetIEta", "int64 %(INTEGER(64,false))", -1),
        ("jets_jetHwQual", "int32 %", 256),
    ] {
        let mut table = Table::minimal(5);
        let jets: [&[i64]; 5] = [&[], &[1], &[1, 1], &[1, bad, 1], &[1, 1, 1, 1]];
        table.set(name, ty, lists(&jets));
        match read(&table).unwrap_err() {
            ImportError::Value { row: 3, column, .. } => assert_eq!(column, name),
            other => panic!("{name} {bad}: {other}"),
        }
    }
}

#[test]
fn saturated_rows_are_dropped_before_their_values_are_looked_at() {
    let mut table = Table::minimal(3);
    table.set("order", "int64 %", plain(&[4, -1, 5]));
    table.set("MET_Et", "int32 %", lists(&[&[1], &[5000], &[3]]));
    table.set("MET_phi", "int32 %", lists(&[&[1], &[99_999], &[3]]));
    table.set("jets_jetIEt", "int32 %", lists(&[&[], &[-9], &[9, 8]]));
    let (block, tally) = read(&table).unwrap();
    assert_eq!(block.get::<i16>(Column::MetPt), [1, 3]);
    assert_eq!((tally.rows, tally.dropped_saturated, tally.clamped), (3, 1, 0));
}

#[test]
fn saturated_rows_that_are_kept_have_their_codes_clamped_and_counted() {
    let mut table = Table::minimal(3);
    table.set("order", "int64 %", plain(&[4, -1, 5]));
    table.set("MET_Et", "int32 %", lists(&[&[1], &[5000], &[3]]));
    table.set("jets_jetIEt", "int32 %", lists(&[&[], &[4000], &[9, 8]]));
    let (block, tally) = read_with(&table, &KEEP).unwrap();
    assert_eq!(block.get::<i16>(Column::MetPt), [1, 4095, 3]);
    assert_eq!(block.get::<i16>(Column::JetPt), [2047, 9, 8]);
    assert_eq!((tally.kept, tally.clamped), (3, 2));
    table.set("MET_phi", "int32 %", lists(&[&[1], &[144], &[3]]));
    let error = read_with(&table, &KEEP).unwrap_err();
    assert!(matches!(error, ImportError::Value { row: 1, .. }), "phi does not saturate: {error}");
}

#[test]
fn a_value_beyond_its_field_in_an_unsaturated_row_is_an_error_even_if_saturated_rows_are_kept() {
    let mut table = Table::minimal(1);
    table.set("order", "int64 %", plain(&[0]));
    table.set("MET_Et", "int32 %", lists(&[&[4096]]));
    assert!(matches!(read_with(&table, &KEEP), Err(ImportError::Value { row: 0, .. })));
}

#[test]
fn more_objects_than_a_crossing_can_have_are_an_error() {
    let mut table = Table::minimal(1);
    let thirteen = [5; 13];
    for name in ["jets_jetIEt", "jets_jetIEta", "jets_jetIPhi"] {
        table.set(name, "int32 %", lists(&[&thirteen]));
    }
    let error = read(&table).unwrap_err();
    assert!(matches!(error, ImportError::Capacity { row: 0, found: 13, capacity: 12, .. }));
}

#[test]
fn entries_of_pt_zero_are_no_objects() {
    let mut table = Table::minimal(1);
    table.set("jets_jetIEt", "int32 %", lists(&[&[0, 7, 0, 9]]));
    table.set("jets_jetIEta", "int32 %", lists(&[&[999, 1, 999, 2]]));
    table.set("jets_jetIPhi", "int32 %", lists(&[&[0, 3, 0, 4]]));
    let (block, tally) = read(&table).unwrap();
    assert_eq!(block.get::<i16>(Column::JetPt), [9, 7]);
    assert_eq!(block.get::<i16>(Column::JetEta), [2, 1]);
    assert_eq!((tally.empty_objects, tally.resorted_lists), (2, 1));
}

#[test]
fn lists_of_one_collection_have_to_agree() {
    let mut table = Table::minimal(4);
    table.set("egammas_egIso", "int32 %", lists(&[&[], &[1], &[1], &[1, 1, 1]]));
    let error = read(&table).unwrap_err();
    assert!(
        matches!(
            error,
            ImportError::ListLength { row: 2, column: "egammas_egIso", expected: 2, found: 1, .. }
        ),
        "{error}"
    );
}

#[test]
fn nulls_and_sums_without_or_with_two_values_are_errors() {
    let mut table = Table::minimal(2);
    table.set("MET_Et", "int32 %", lists(&[&[1], &[]]));
    assert!(matches!(read(&table), Err(ImportError::Value { row: 1, .. })));
    table.set("MET_Et", "int32 %", lists(&[&[1, 2], &[3]]));
    assert!(matches!(read(&table), Err(ImportError::Value { row: 0, .. })));
    table.set("MET_Et", "int32 %", Rows::Plain(vec![Some(1), None]));
    assert!(matches!(read(&table), Err(ImportError::Value { row: 1, .. })));
    table.set("MET_Et", "int32 %", Rows::Lists(vec![vec![None], vec![Some(1)]]));
    assert!(matches!(read(&table), Err(ImportError::Value { row: 0, .. })));
}

#[test]
fn recorded_crossing_numbers_are_kept_and_checked() {
    let mut table = Table::minimal(2);
    table.set_crossings(396_102, &[1 << 31, 7], &[3564, 1]);
    let folder = tempfile::tempdir().unwrap();
    let path = table.write(folder.path(), "a.parquet");
    let mut importer = ParquetImporter::open(&[path], &ImportOptions::default()).unwrap();
    let mut chunk = Chunk::default();
    assert!(importer.placed() && importer.next_chunk(&mut chunk).unwrap());
    assert_eq!(chunk.events.get::<u32>(Column::Orbit), [1 << 31, 7]);
    assert_eq!(chunk.events.get::<i16>(Column::Bx), [3564, 1]);
    assert_eq!(chunk.runs, [396_102, 396_102]);
    for (orbits, bxs, column) in [
        ([1, 2], [5, 3565], "bx"),
        ([1, 2], [5, 0], "bx"),
        ([1, 2], [5, 65_535], "bx"),
        ([1, 1 << 32], [5, 5], "orbit"),
    ] {
        table.set_crossings(1, &orbits, &bxs);
        match read(&table).unwrap_err() {
            ImportError::Value { row: 1, column: found, .. } => assert_eq!(found, column),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn all_ones_mean_that_events_are_not_placed_and_must_not_mix() {
    let mut table = Table::minimal(2);
    table.set_crossings(1, &[-1, -1], &[0xFFFF_FFFF, 0xFFFF_FFFF]);
    let folder = tempfile::tempdir().unwrap();
    let simulated = table.write(folder.path(), "simulated.parquet");
    let importer =
        ParquetImporter::open(std::slice::from_ref(&simulated), &ImportOptions::default()).unwrap();
    assert!(!importer.placed());
    let (block, _) = read_all(std::slice::from_ref(&simulated), &ImportOptions::default()).unwrap();
    assert_eq!(
        (block.get::<i16>(Column::Bx), block.get::<u32>(Column::Orbit)),
        (&[0, 0][..], &[0, 0][..])
    );
    table.set_crossings(1, &[-1, 5], &[0xFFFF_FFFF, 5]);
    assert!(matches!(read(&table), Err(ImportError::MixedPlacement { row: 1, .. })));
    table.set_crossings(1, &[4, 5], &[5, 5]);
    let recorded = table.write(folder.path(), "recorded.parquet");
    let mixed = read_all(&[recorded, simulated], &ImportOptions::default()).unwrap_err();
    assert!(mixed.to_string().contains("simulated.parquet: row 0"), "{mixed}");
}

#[test]
fn row_ranges_cut_across_row_groups_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::minimal(25);
    table.rows_per_group = 10;
    let paths = [table.write(folder.path(), "a"), table.write(folder.path(), "b")];
    let (all, _) = read_all(&paths, &ImportOptions::default()).unwrap();
    assert_eq!(all.len(), 50);
    for (first, end) in [(0, 50), (3, 4), (9, 31), (10, 20), (24, 26), (27, 49), (50, 50), (0, 0)] {
        let (part, _) = read_all(&paths, &rows(first..end)).unwrap();
        let mut expected = Block::new(all.columns());
        (first..end).for_each(|i| expected.push_event(&all, i as usize));
        for column in all.columns().iter() {
            assert_eq!(part.entries(column), expected.entries(column), "{first}..{end}");
        }
    }
    let importer = ParquetImporter::open(&paths, &rows(20..30)).unwrap();
    let taken: Vec<_> =
        importer.sources().iter().map(|s| (&s.name[..], s.first_row, s.n_rows)).collect();
    assert_eq!(taken, [("a", 20, 5), ("b", 0, 5)]);
    assert!(matches!(read_all(&paths, &rows(0..51)), Err(ImportError::Rows { n_rows: 50, .. })));
}

#[test]
fn row_groups_larger_than_a_chunk_are_read_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let n_rows = 2 * CHUNK_EVENTS + 17;
    let path = Table::minimal(n_rows).write(folder.path(), "large");
    let mut importer = ParquetImporter::open(&[path], &ImportOptions::default()).unwrap();
    let (mut chunk, mut sizes) = (Chunk::default(), Vec::new());
    while importer.next_chunk(&mut chunk).unwrap() {
        sizes.push(chunk.events.len());
    }
    assert_eq!(sizes, [CHUNK_EVENTS, CHUNK_EVENTS, 17]);
}

#[test]
fn columns_that_not_every_file_has_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::minimal(2);
    let without = table.write(folder.path(), "without");
    table.set("label", "int32 %", plain(&[1, 2]));
    let with = table.write(folder.path(), "with");
    let (block, _) = read_all(&[with, without], &ImportOptions::default()).unwrap();
    assert!(!block.columns().contains(Column::Label) && block.len() == 4);
}

#[test]
fn a_file_without_rows_gives_no_events() {
    let (block, tally) = read(&Table::minimal(0)).unwrap();
    assert!(block.is_empty());
    assert_eq!(tally, ImportTally::default());
}

#[test]
fn a_file_cut_or_changed_anywhere_is_an_error_or_other_values_but_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::minimal(30);
    table.rows_per_group = 16;
    table.set("order", "int64 %", plain(&[0; 30]));
    let whole = std::fs::read(table.write(folder.path(), "whole")).unwrap();
    let damaged = folder.path().join("damaged");
    let outcome = |bytes: &[u8], path: &Path| {
        std::fs::write(path, bytes).unwrap();
        read_all(&[path.to_path_buf()], &ImportOptions::default())
    };
    for length in 4..whole.len() {
        let error = outcome(&whole[..length], &damaged).unwrap_err();
        assert!(matches!(error, ImportError::Damaged { .. }), "{length}: {error}");
    }
    for place in 0..whole.len() {
        for flip in [1 << (place % 8), 0xFF] {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            let _ = outcome(&bytes, &damaged);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cut_and_changed_at_random_it_is_an_error_or_other_values_but_never_a_panic(
        changes in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 1..6), keep in 0.5..1.5_f64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = Table::minimal(30).write(folder.path(), "a");
        let mut bytes = std::fs::read(&path).unwrap();
        let len = bytes.len();
        changes.iter().for_each(|&(place, byte)| bytes[(place * len as f64) as usize] = byte);
        bytes.truncate((keep * len as f64) as usize);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok((mut block, _)) = read_all(&[path], &ImportOptions::default()) {
            // Crossing numbers are given later.
            block.get_mut::<i16>(Column::Bx).fill(1);
            let shape = block.check_shape();
            prop_assert!(shape.is_ok() && block.len() <= 30, "{shape:?} {}", block.len());
        }
    }
}
