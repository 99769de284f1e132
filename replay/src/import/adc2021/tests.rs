//! The ADC2021 layout, on files written here.

use std::path::Path;

use rust_hdf5::{H5File, types::H5Type};

use super::*;
use crate::event::Block;

const VALUES: usize = 19 * 4;

/// Rows with MET 10 + i GeV, i % 5 e/gammas, one muon, ten jets.
fn particles(n_rows: usize) -> Vec<f64> {
    let mut values = vec![0.0; n_rows * VALUES];
    for (i, row) in values.chunks_mut(VALUES).enumerate() {
        let mut set = |slot: usize, particle: [f64; 4]| {
            row[slot * 4..slot * 4 + 4].copy_from_slice(&particle);
        };
        set(0, [10.0 + (i % 1000) as f64, 0.0, 0.5, 1.0]);
        (0..i % 5).for_each(|k| set(1 + k, [30.0 - k as f64, 0.435, -0.5, 2.0]));
        set(5, [5.0, -1.0875, 3.0, 3.0]);
        (0..10).for_each(|k| set(9 + k, [60.0 - k as f64, -0.87, 1.0, 4.0]));
    }
    values
}

fn write_as<T: H5Type>(path: &Path, shape: &[usize], values: &[T], chunk_rows: Option<usize>) {
    let file = H5File::create(path).unwrap();
    let mut builder = file.new_dataset::<T>().shape(shape);
    if let Some(rows) = chunk_rows {
        let chunk: Vec<usize> = std::iter::once(rows).chain(shape[1..].iter().copied()).collect();
        builder = builder.chunk(&chunk).deflate(4);
    }
    builder.create("Particles").unwrap().write_raw(values).unwrap();
    file.close().unwrap();
}

fn write(path: &Path, values: &[f64]) {
    let n_rows = values.len() / VALUES;
    write_as(path, &[n_rows, 19, 4], values, Some(n_rows.min(7)));
}

fn read_all(
    paths: &[PathBuf],
    options: &ImportOptions,
) -> Result<(Block, ImportTally), ImportError> {
    let mut importer = Adc2021Importer::open(paths, options)?;
    let mut all = Block::new(importer.columns());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk)? {
        assert!(chunk.events.len() <= CHUNK_EVENTS && chunk.runs.len() == chunk.events.len());
        (0..chunk.events.len()).for_each(|i| all.push_event(&chunk.events, i));
    }
    assert_eq!(importer.n_events(), importer.tally().rows);
    Ok((all, importer.tally()))
}

fn read(values: &[f64]) -> Result<(Block, ImportTally), ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&path, values);
    read_all(&[path], &ImportOptions::default())
}

fn rows(rows: std::ops::Range<u64>) -> ImportOptions {
    ImportOptions { rows: Some(rows), ..ImportOptions::default() }
}

#[test]
fn particles_are_encoded_to_hardware_integers() {
    let (block, tally) = read(&particles(6)).unwrap();
    assert_eq!(block.get::<i16>(Column::MetPt), [20, 22, 24, 26, 28, 30]);
    assert_eq!(block.get::<i16>(Column::MetPhi)[0], 11);
    assert_eq!(block.get::<u8>(Column::EGammaN), [0, 1, 2, 3, 4, 0]);
    assert_eq!(block.get::<i16>(Column::EGammaPt)[..3], [60, 60, 58]);
    assert_eq!(block.get::<i16>(Column::EGammaEta)[0], 10);
    assert_eq!(block.get::<i16>(Column::EGammaPhi)[0], 144 - 11);
    assert_eq!(block.get::<i16>(Column::MuonPt), [11; 6], "muon codes have an offset of one");
    assert_eq!(block.get::<i16>(Column::MuonEta), [-100; 6]);
    assert_eq!(block.get::<i16>(Column::MuonPhi), [275; 6]);
    assert_eq!(block.get::<u8>(Column::JetN), [10; 6]);
    assert_eq!(block.get::<i16>(Column::JetEta)[0], -20);
    assert_eq!((tally.kept, tally.clamped, tally.resorted_lists), (6, 0, 0));
    let invented = [Column::MuonQual, Column::MuonCharge, Column::TauPt, Column::Event];
    assert!(invented.iter().all(|&column| !block.columns().contains(column)));
}

#[test]
fn f32_f64_and_every_storage_give_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let values = particles(50);
    let singles: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    let expected = read(&values).unwrap().0;
    for (i, chunk_rows) in [None, Some(1), Some(50)].into_iter().enumerate() {
        let paths = [folder.path().join(format!("{i}d")), folder.path().join(format!("{i}s"))];
        write_as(&paths[0], &[50, 19, 4], &values, chunk_rows);
        write_as(&paths[1], &[50, 19, 4], &singles, chunk_rows);
        for path in paths {
            let (block, _) = read_all(&[path], &ImportOptions::default()).unwrap();
            for column in expected.columns().iter() {
                assert_eq!(block.entries(column), expected.entries(column), "{chunk_rows:?}");
            }
        }
    }
}

#[test]
fn a_data_set_that_is_missing_or_of_another_shape_or_type_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let refused = || {
        let paths = std::slice::from_ref(&path);
        Adc2021Importer::open(paths, &ImportOptions::default()).err().unwrap().to_string()
    };
    let file = H5File::create(&path).unwrap();
    file.new_dataset::<f32>().shape([3]).create("Other").unwrap().write_raw(&[0_f32; 3]).unwrap();
    file.close().unwrap();
    assert!(refused().contains("expected data set Particles, not found"), "{}", refused());
    write_as(&path, &[2, 18, 4], &[0.0_f64; 2 * 18 * 4], None);
    assert!(refused().contains("found shape [2, 18, 4]"), "{}", refused());
    write_as(&path, &[2, 76], &[0.0_f64; 2 * VALUES], None);
    assert!(refused().contains("found shape [2, 76]"), "{}", refused());
    write_as(&path, &[2, 19, 4], &[0_i32; 2 * VALUES], None);
    assert!(refused().contains("expected f32 or f64"), "{}", refused());
}

#[test]
fn impossible_values_are_errors_with_row_and_slot() {
    for (row, slot, feature, value) in [
        (3, 9, 0, f64::NAN),
        (3, 0, 0, f64::INFINITY),
        (2, 5, 0, -1.0),
        (1, 5, 1, f64::NAN),
        (1, 18, 2, f64::NAN),
        (1, 18, 2, f64::NEG_INFINITY),
        (4, 9, 3, 2.0),
        (4, 9, 3, f64::NAN),
    ] {
        let mut values = particles(5);
        values[row * VALUES + slot * 4 + feature] = value;
        match read(&values).unwrap_err() {
            ImportError::Value { row: found, column, .. } => {
                assert_eq!(found, row as u64);
                assert!(column.contains(&format!("slot {slot},")), "{column}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_slot_of_pt_zero_is_empty_whatever_its_phi_and_class_zero_is_allowed() {
    let mut values = particles(1);
    values[9 * 4..9 * 4 + 4].copy_from_slice(&[0.0, 0.0, 2.5, 4.0]);
    values[10 * 4..10 * 4 + 4].copy_from_slice(&[0.0, 0.0, f64::NAN, 0.0]);
    values[11 * 4 + 3] = 0.0;
    let (block, _) = read(&values).unwrap();
    assert_eq!(block.get::<i16>(Column::JetPt), [116, 114, 112, 110, 108, 106, 104, 102]);
}

#[test]
fn values_beyond_their_field_are_clamped_and_counted() {
    let mut values = particles(1);
    for (slot, feature, value) in
        [(0, 0, 3000.0), (5, 0, 255.5), (9, 0, 1024.0), (10, 0, 1023.6), (5, 1, 2.9), (10, 1, 6.0)]
    {
        values[slot * 4 + feature] = value;
    }
    let (block, tally) = read(&values).unwrap();
    assert_eq!(block.get::<i16>(Column::MetPt), [4095]);
    assert_eq!(block.get::<i16>(Column::MuonPt), [511]);
    assert_eq!(block.get::<i16>(Column::MuonEta), [255]);
    assert_eq!(block.get::<i16>(Column::JetPt)[..2], [2047, 2047]);
    assert_eq!(block.get::<i16>(Column::JetEta)[..2], [-20, 127]);
    assert_eq!(tally.clamped, 5, "1023.6 GeV is nearest to the last code");
}

#[test]
fn objects_out_of_order_are_sorted_and_equal_ones_keep_their_slots() {
    let mut values = particles(1);
    values[9 * 4] = 20.0;
    values[10 * 4 + 1] = 0.0;
    values[11 * 4] = 59.0;
    let (block, tally) = read(&values).unwrap();
    assert_eq!(block.get::<i16>(Column::JetPt)[..3], [118, 118, 114]);
    assert_eq!(block.get::<i16>(Column::JetEta)[..2], [0, -20]);
    assert_eq!(block.get::<i16>(Column::JetPt)[9], 40);
    assert_eq!(tally.resorted_lists, 1);
}

#[test]
fn optional_data_sets_become_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let write = |n_pu: &[i16], event: &[i64]| {
        let file = H5File::create(&path).unwrap();
        let particles_set = file.new_dataset::<f64>().shape([3, 19, 4]).create("Particles");
        particles_set.unwrap().write_raw(&particles(3)).unwrap();
        let set = file.new_dataset::<i16>().shape([n_pu.len()]).create("n_pu").unwrap();
        set.write_raw(n_pu).unwrap();
        let set = file.new_dataset::<i64>().shape([event.len()]).create("EvtId").unwrap();
        set.write_raw(event).unwrap();
        file.close().unwrap();
    };
    let read = || read_all(std::slice::from_ref(&path), &rows(1..3));
    write(&[60, 61, 62], &[100, 101, 102]);
    let (block, _) = read().unwrap();
    assert_eq!(block.get::<f32>(Column::PileUp), [61.0, 62.0]);
    assert_eq!(block.get::<u64>(Column::Event), [101, 102]);
    write(&[60, 61, 62], &[100, 101, -1]);
    assert!(matches!(read(), Err(ImportError::Value { row: 2, .. })));
    write(&[60, 61], &[100, 101, 102]);
    assert!(matches!(read(), Err(ImportError::ColumnLength { expected: 3, found: 2, .. })));
}

#[test]
fn row_ranges_cut_across_storage_chunks_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.h5"), folder.path().join("b.h5")];
    write(&paths[0], &particles(25));
    write_as(&paths[1], &[9000, 19, 4], &particles(9000), Some(1000));
    let (all, _) = read_all(&paths, &ImportOptions::default()).unwrap();
    assert_eq!(all.len(), 9025);
    for (first, end) in [(0, 1), (6, 8), (7, 14), (24, 26), (13, 1030), (8000, 9025), (9025, 9025)]
    {
        let (part, _) = read_all(&paths, &rows(first..end)).unwrap();
        let mut expected = Block::new(all.columns());
        (first..end).for_each(|i| expected.push_event(&all, i as usize));
        for column in all.columns().iter() {
            assert_eq!(part.entries(column), expected.entries(column), "{first}..{end}");
        }
    }
    let backwards =
        ImportOptions { rows: Some(std::ops::Range { start: 5, end: 4 }), ..Default::default() };
    assert!(matches!(read_all(&paths, &backwards), Err(ImportError::Rows { .. })));
}

#[test]
fn a_file_without_rows_gives_no_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let file = H5File::create(&path).unwrap();
    let builder = file.new_dataset::<f32>().shape([0, 19, 4]).chunk(&[10, 19, 4]);
    builder.max_shape(&[None, Some(19), Some(4)]).create("Particles").unwrap();
    file.close().unwrap();
    let (block, tally) = read_all(&[path], &ImportOptions::default()).unwrap();
    assert!(block.is_empty());
    assert_eq!(tally, ImportTally::default());
}

#[test]
fn a_file_cut_or_changed_anywhere_is_an_error_or_other_values_but_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&path, &particles(20));
    let whole = std::fs::read(&path).unwrap();
    let outcome = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_all(std::slice::from_ref(&path), &ImportOptions::default())
    };
    for length in 8..whole.len() - 1 {
        assert!(outcome(&whole[..length]).is_err(), "cut to {length} of {}", whole.len());
    }
    for place in 0..whole.len() {
        for flip in [1 << (place % 8), 0xFF] {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            let _ = outcome(&bytes);
        }
    }
}
