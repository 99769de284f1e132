//! The layout, on files of h5py (`fixtures/reference/make_files.py`) and on ones written here.

use proptest::prelude::*;
use rust_hdf5::{H5File, types::H5Type};

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/files").join(name)
}

fn read_all(importer: &mut dyn Importer) -> Result<Block, ImportError> {
    let mut all = Block::new(importer.columns());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk)? {
        (0..chunk.events.len()).for_each(|i| all.push_event(&chunk.events, i));
    }
    assert_eq!(importer.n_events(), importer.tally().rows);
    Ok(all)
}

fn read(path: PathBuf, key: Option<&str>) -> Result<Block, ImportError> {
    let options = ImportOptions { key: key.map(str::to_owned), ..ImportOptions::default() };
    read_all(crate::import::open(&[path], &options)?.as_mut())
}

fn write<T: H5Type>(path: &Path, set: &str, shape: &[usize], values: &[T]) {
    let file = H5File::create(path).unwrap();
    file.new_dataset::<T>().shape(shape).create(set).unwrap().write_raw(values).unwrap();
    file.close().unwrap();
}

/// What `make_files.py` made the files from.
fn expected() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixture("nano.json")).unwrap()).unwrap()
}

/// Values of lists, of which the first `n` of each are kept.
fn flat(lists: &serde_json::Value, n: usize) -> Vec<i16> {
    let lists: Vec<Vec<i16>> = serde_json::from_value(lists.clone()).unwrap();
    lists.iter().flat_map(|list| &list[..n.min(list.len())]).copied().collect()
}

fn check(block: &Block, slots: Slots, name: &str) {
    let expected = expected();
    for (collection, table) in
        [(Collection::EGamma, "egamma"), (Collection::Muon, "muon"), (Collection::Jet, "jet")]
    {
        let n = slots.of_collection(collection).len();
        for (i, column) in collection.kinematics().unwrap().into_iter().enumerate() {
            let wanted = flat(&expected[table][i], n);
            assert_eq!(block.get::<i16>(column), wanted, "{name}: {column:?}");
        }
    }
    let met: Vec<i16> = serde_json::from_value(expected["sums"]["met"].clone()).unwrap();
    let met: Vec<i16> = met.into_iter().map(|pt| pt.min(2048)).collect();
    assert_eq!(block.get::<i16>(Column::MetPt), met, "{name}");
    let phi: Vec<i16> = serde_json::from_value(expected["sum_phis"]["met"].clone()).unwrap();
    assert_eq!(block.get::<i16>(Column::MetPhi), phi, "{name}");
}

#[test]
fn files_of_h5py_give_the_integers_that_they_were_made_from() {
    let block = read(fixture("cylinder.h5"), None).unwrap();
    check(&block, Slots::FULL, "16-bit floats");
    assert_eq!(block.get::<u32>(Column::Lumi), [261; 60]);
    let events: Vec<u64> = (5..65).collect();
    assert_eq!(block.get::<u64>(Column::Event), events);
    let pile_up: Vec<f32> = serde_json::from_value(expected()["pile_up"].clone()).unwrap();
    assert_eq!(block.get::<f32>(Column::PileUp), pile_up);
    let bits: Vec<u8> = (0..60).map(|i| u8::from(i % 3 == 0)).collect();
    assert_eq!(block.get::<u8>(Column::L1Accept), bits);
}

#[test]
fn signals_come_by_key_in_every_shape_and_type() {
    let block = read(fixture("signals.h5"), Some("ttHto2B")).unwrap();
    check(&block, Slots::FULL, "32-bit floats");
    let bits: Vec<u8> = (0..60).map(|i| u8::from(i % 2 == 0)).collect();
    assert_eq!(block.get::<u8>(Column::L1Accept), bits, "under the signal's own name");
    assert!(!block.columns().contains(Column::Event));
    check(&read(fixture("signals.h5"), Some("haa4b")).unwrap(), Slots::REDUCED, "16-bit integers");
    check(&read(fixture("signals.h5"), Some("flat57")).unwrap(), Slots::REDUCED, "57 columns");
    check(&read(fixture("signals.h5"), Some("flat99")).unwrap(), Slots::FULL, "99 columns");
}

#[test]
fn several_signals_without_a_key_are_listed_and_one_is_taken() {
    let text = read(fixture("signals.h5"), None).unwrap_err().to_string();
    assert!(text.contains("flat57") && text.contains("ttHto2B"), "{text}");
    assert!(text.contains("hint: `--key NAME`") && !text.contains("l1bit"), "{text}");
    let text = read(fixture("signals.h5"), Some("nothing")).unwrap_err().to_string();
    assert!(text.contains("expected data set nothing, not found"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.h5");
    write(&path, "only", &[2, 57], &[0_i16; 114]);
    assert_eq!(read(path.clone(), None).unwrap().len(), 2);
    write(&path, "only", &[2, 58], &[0_i16; 116]);
    let text = read(path, None).unwrap_err().to_string();
    assert!(text.contains("found neither"), "{text}");
}

#[test]
fn values_that_are_no_hardware_integers_are_errors_with_row_and_object() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.h5");
    for (object, at, bad, column) in [
        (0, 0, 12.5, "met_pt"),
        (0, 2, 144.0, "met_phi"),
        (1, 0, -1.0, "egamma_pt"),
        (13, 0, f64::NAN, "muon_pt"),
        (13, 2, 576.0, "muon_phi"),
        (32, 0, 2048.0, "jet_pt"),
        (32, 1, 1.25, "jet_eta"),
    ] {
        let mut values = vec![0.0; 3 * 99];
        let begin = 99 + object * 3;
        values[begin] = 10.0;
        values[begin + at] = bad;
        write(&path, FULL_DATA, &[3, 33, 3], &values);
        match read(path.clone(), None).unwrap_err() {
            ImportError::Value { row: 1, column: found, .. } => {
                assert_eq!(found, format!("full_data_cyl, object {object}, {column}"));
            }
            other => panic!("{other}"),
        }
    }
    write(&path, FULL_DATA, &[1, 12, 3], &[0.0_f64; 36]);
    let options = ImportOptions { key: Some(FULL_DATA.into()), ..ImportOptions::default() };
    let error = crate::import::open(&[path], &options).err().unwrap().to_string();
    assert!(error.contains("found shape [1, 12, 3]"), "{error}");
}

#[test]
fn rising_objects_and_gaps_are_put_in_order_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gaps.h5");
    let mut values = vec![0_i32; 99];
    for (slot, pt) in [(13, 10), (15, 30), (16, 20)] {
        values[slot * 3] = pt;
        values[slot * 3 + 1] = pt / 10;
    }
    write(&path, FULL_DATA, &[1, 33, 3], &values);
    let mut importer =
        CylinderImporter::open(&[path], FULL_DATA, &ImportOptions::default()).unwrap();
    let block = read_all(&mut importer).unwrap();
    assert_eq!(block.get::<i16>(Column::MuonPt), [30, 20, 10]);
    assert_eq!(block.get::<i16>(Column::MuonEta), [3, 2, 1], "eta moves with its pT");
    let tally = importer.tally();
    assert_eq!((tally.empty_objects, tally.resorted_lists), (1, 1));
}

#[test]
fn row_ranges_are_cut_from_files_laid_end_to_end() {
    let paths = [fixture("cylinder.h5"), fixture("cylinder.h5")];
    let open = |rows: Option<std::ops::Range<u64>>| {
        let options = ImportOptions { rows, ..ImportOptions::default() };
        read_all(&mut CylinderImporter::open(&paths, FULL_DATA, &options).unwrap()).unwrap()
    };
    let all = open(None);
    for (first, end) in [(0, 120), (17, 18), (15, 33), (58, 62), (60, 119)] {
        let part = open(Some(first..end));
        let mut wanted = Block::new(all.columns());
        (first..end).for_each(|i| wanted.push_event(&all, i as usize));
        for column in all.columns().iter() {
            assert_eq!(part.entries(column), wanted.entries(column), "{first}..{end}");
        }
    }
}

#[test]
fn a_file_cut_or_changed_anywhere_is_an_error_or_other_values_but_never_a_panic() {
    // One of theirs, and a small one of which every byte is tried.
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.h5");
    write::<i16>(&small, "full_data_cyl", &[3, 33, 3], &[0; 3 * 33 * 3]);
    let path = folder.path().join("damaged.h5");
    for (file, step) in [(fixture("cylinder.h5"), 101), (small, 1)] {
        let whole = std::fs::read(file).unwrap();
        for n in (8..whole.len() - 1).step_by(step) {
            std::fs::write(&path, &whole[..n]).unwrap();
            assert!(read(path.clone(), None).is_err(), "cut at byte {n} of {}", whole.len());
        }
        for place in (0..whole.len()).step_by(step.min(17)) {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            std::fs::write(&path, &bytes).unwrap();
            let _ = read(path.clone(), None);
        }
    }
}

#[test]
fn storage_chunks_beyond_the_shape_or_memory_are_an_error_that_tells_both() {
    let whole = std::fs::read(fixture("cylinder.h5")).unwrap();
    // The layout's words: a chunk's rows, objects, features, bytes of an element.
    let words = |dims: [u32; 4]| dims.map(u32::to_le_bytes).concat();
    let stored = words([16, 33, 3, 2]);
    let place = whole.windows(stored.len()).position(|bytes| bytes == stored).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5");
    for dims in [[1 << 31, 33, 3], [16, 1 << 31, 3], [16, 33, 1 << 31], [(1 << 21) + 1, 33, 3]] {
        let mut bytes = whole.clone();
        bytes[place..place + stored.len()].copy_from_slice(&words([dims[0], dims[1], dims[2], 2]));
        std::fs::write(&path, &bytes).unwrap();
        let text = read(path.clone(), None).unwrap_err().to_string();
        let found = format!("chunks of {dims:?} of shape [60, 33, 3]");
        assert!(text.contains("2097152 rows") && text.contains(&found), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cut_and_changed_at_random_it_is_an_error_or_other_values_but_never_a_panic(
        changes in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 1..6), keep in 0.5..1.5_f64,
        file in prop_oneof![Just("cylinder.h5"), Just("signals.h5")],
    ) {
        let mut bytes = std::fs::read(fixture(file)).unwrap();
        let len = bytes.len();
        changes.iter().for_each(|&(place, byte)| bytes[(place * len as f64) as usize] = byte);
        bytes.truncate((keep * len as f64) as usize);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.h5");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(mut block) = read(path, None) {
            // Crossing numbers are given later.
            block.get_mut::<i16>(Column::Bx).fill(1);
            let shape = block.check_shape();
            prop_assert!(shape.is_ok() && block.len() <= 1000, "{shape:?} {}", block.len());
        }
    }
}
