//! NanoAOD files that uproot made (`fixtures/reference/make_files.py`), whole and damaged.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::event::{Block, Collection, Column};

/// The hardware integers that the files were made from.
#[derive(Deserialize)]
struct Expected {
    orbit: Vec<u32>,
    bx: Vec<i16>,
    muon: [Vec<Vec<i16>>; 3],
    muon_raw: [Vec<Vec<i16>>; 2],
    muon_qual: Vec<Vec<u8>>,
    muon_charge: Vec<Vec<i16>>,
    muon_tf_index: Vec<Vec<u8>>,
    muon_pt_unconstrained: Vec<Vec<i16>>,
    egamma: [Vec<Vec<i16>>; 3],
    egamma_iso: Vec<Vec<u8>>,
    tau: [Vec<Vec<i16>>; 3],
    tau_iso: Vec<Vec<u8>>,
    jet: [Vec<Vec<i16>>; 3],
    jet_qual: Vec<Vec<u8>>,
    sums: std::collections::HashMap<String, Vec<i16>>,
    sum_phis: std::collections::HashMap<String, Vec<i16>>,
    tower_count: Vec<i16>,
    pile_up: Vec<f32>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/files").join(name)
}

fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(fixture("nano.json")).unwrap()).unwrap()
}

fn read_all(paths: &[PathBuf], options: &ImportOptions) -> Result<(Block, Vec<u32>), ImportError> {
    let mut importer = RootImporter::open(paths, options)?;
    let (mut all, mut runs) = (Block::new(importer.columns()), Vec::new());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk)? {
        assert_eq!(chunk.runs.len(), chunk.events.len());
        (0..chunk.events.len()).for_each(|i| all.push_event(&chunk.events, i));
        runs.extend_from_slice(&chunk.runs);
    }
    assert_eq!(importer.tally().rows, importer.n_events());
    assert_eq!(importer.tally().clamped, 0);
    Ok((all, runs))
}

fn read(name: &str) -> Block {
    read_all(&[fixture(name)], &ImportOptions::default()).unwrap().0
}

fn check_objects(block: &Block, collection: Collection, expected: &[Vec<Vec<i16>>; 3], name: &str) {
    let count = collection.count_column().unwrap();
    let counts: Vec<u8> = expected[0].iter().map(|list| list.len() as u8).collect();
    assert_eq!(block.get::<u8>(count), counts, "{name}");
    for (column, values) in collection.kinematics().unwrap().into_iter().zip(expected) {
        assert_eq!(block.get::<i16>(column), values.concat(), "{name}: {column:?}");
    }
}

fn check_sums(block: &Block, expected: &Expected, names: &[(&str, Column)], phis: bool) {
    for &(name, column) in names {
        let values = if phis { &expected.sum_phis } else { &expected.sums };
        assert_eq!(block.get::<i16>(column), values[name], "{name}");
    }
}

const SUMS: [(&str, Column); 7] = [
    ("et", Column::EtPt),
    ("et_em", Column::EtEmPt),
    ("met", Column::MetPt),
    ("ht", Column::HtPt),
    ("mht", Column::MhtPt),
    ("met_hf", Column::MetHfPt),
    ("mht_hf", Column::MhtHfPt),
];
const PHIS: [(&str, Column); 4] = [
    ("met", Column::MetPhi),
    ("mht", Column::MhtPhi),
    ("met_hf", Column::MetHfPhi),
    ("mht_hf", Column::MhtHfPhi),
];
const SCOUTING: [&str; 5] = [
    "scouting-none.root",
    "scouting-zlib.root",
    "scouting-lzma.root",
    "scouting-lz4.root",
    "scouting-zstd.root",
];

#[test]
fn scouting_files_of_every_compression_give_the_hardware_integers_that_they_were_made_from() {
    let expected = expected();
    for name in SCOUTING {
        let importer = RootImporter::open(&[fixture(name)], &ImportOptions::default()).unwrap();
        assert!(importer.placed(), "{name}");
        let (block, runs) = read_all(&[fixture(name)], &ImportOptions::default()).unwrap();
        assert_eq!(runs, [398_183; 60]);
        assert_eq!(block.get::<u32>(Column::Orbit), expected.orbit);
        assert_eq!(block.get::<i16>(Column::Bx), expected.bx);
        assert_eq!(block.get::<u32>(Column::Lumi), [261; 60]);
        check_objects(&block, Collection::Muon, &expected.muon, name);
        check_objects(&block, Collection::EGamma, &expected.egamma, name);
        check_objects(&block, Collection::Tau, &expected.tau, name);
        check_objects(&block, Collection::Jet, &expected.jet, name);
        assert_eq!(block.get::<u8>(Column::MuonQual), expected.muon_qual.concat());
        assert_eq!(block.get::<i16>(Column::MuonCharge), expected.muon_charge.concat());
        assert_eq!(block.get::<u8>(Column::MuonTfIndex), expected.muon_tf_index.concat());
        let [eta, phi] = &expected.muon_raw;
        assert_eq!(block.get::<i16>(Column::MuonEtaRaw), eta.concat());
        assert_eq!(block.get::<i16>(Column::MuonPhiRaw), phi.concat());
        let unconstrained = expected.muon_pt_unconstrained.concat();
        assert_eq!(block.get::<i16>(Column::MuonPtUnconstrained), unconstrained);
        assert_eq!(block.get::<u8>(Column::EGammaIso), expected.egamma_iso.concat());
        assert_eq!(block.get::<u8>(Column::TauIso), expected.tau_iso.concat());
        assert_eq!(block.get::<u8>(Column::JetQual), expected.jet_qual.concat());
        check_sums(&block, &expected, &SUMS, false);
        check_sums(&block, &expected, &PHIS, true);
        assert_eq!(block.get::<i16>(Column::TowerCount), expected.tower_count);
        assert!(!block.columns().contains(Column::Event), "scouting knows no event numbers");
    }
}

#[test]
fn central_files_give_what_they_have_and_no_charge_that_nobody_can_tell() {
    let expected = expected();
    let importer =
        RootImporter::open(&[fixture("central.root")], &ImportOptions::default()).unwrap();
    assert!(!importer.placed(), "orbit and crossing of simulation are all ones");
    let block = read("central.root");
    check_objects(&block, Collection::Muon, &expected.muon, "central");
    check_objects(&block, Collection::EGamma, &expected.egamma, "central");
    check_objects(&block, Collection::Tau, &expected.tau, "central");
    check_objects(&block, Collection::Jet, &expected.jet, "central");
    let unconstrained = expected.muon_pt_unconstrained.concat();
    assert_eq!(block.get::<i16>(Column::MuonPtUnconstrained), unconstrained);
    assert_eq!(block.get::<f32>(Column::PileUp), expected.pile_up);
    let events: Vec<u64> = (0..60).map(|i| i + (1 << 40)).collect();
    assert_eq!(block.get::<u64>(Column::Event), events);
    let [_, _, met, ht, mht, met_hf, mht_hf] = SUMS;
    check_sums(&block, &expected, &[met, ht, mht, met_hf], false);
    let absent = [Column::MuonCharge, Column::EtPt, mht_hf.1, Column::TowerCount, Column::JetQual];
    assert!(absent.iter().all(|&column| !block.columns().contains(column)));
}

#[test]
fn detailed_files_give_hardware_integers_of_the_own_crossing_only() {
    let expected = expected();
    let path = [fixture("detailed.root")];
    let mut importer = RootImporter::open(&path, &ImportOptions::default()).unwrap();
    assert!(importer.placed());
    let mut chunk = Chunk::default();
    assert!(importer.next_chunk(&mut chunk).unwrap());
    assert_eq!(importer.tally().other_crossings, 120, "two jets of other crossings in each event");
    let block = &chunk.events;
    check_objects(block, Collection::Muon, &expected.muon, "detailed");
    check_objects(block, Collection::Jet, &expected.jet, "detailed");
    assert_eq!(block.get::<i16>(Column::MuonCharge), expected.muon_charge.concat());
    check_sums(block, &expected, &SUMS, false);
    check_sums(block, &expected, &PHIS, true);
    assert_eq!(block.get::<i16>(Column::TowerCount), expected.tower_count);
    assert!(
        !block.columns().contains(Column::EGammaPt) && block.get::<u8>(Column::EGammaN) == [0; 60]
    );
}

#[test]
fn row_ranges_begin_in_the_middle_of_baskets_and_cut_across_files() {
    let paths = [fixture("scouting-zstd.root"), fixture("scouting-zlib.root")];
    let (all, _) = read_all(&paths, &ImportOptions::default()).unwrap();
    assert_eq!(all.len(), 120);
    for (first, end) in [(0, 120), (19, 21), (20, 40), (33, 34), (59, 61), (60, 119), (7, 7)] {
        let options = ImportOptions { rows: Some(first..end), ..ImportOptions::default() };
        let (part, _) = read_all(&paths, &options).unwrap();
        let mut wanted = Block::new(all.columns());
        (first..end).for_each(|i| wanted.push_event(&all, i as usize));
        for column in all.columns().iter().filter(|_| end > first) {
            assert_eq!(part.entries(column), wanted.entries(column), "{first}..{end} {column:?}");
        }
        assert_eq!(part.len() as u64, end - first);
    }
}

#[test]
fn columns_that_not_every_file_has_are_left_out_and_placement_must_not_mix() {
    let paths = [fixture("scouting-zlib.root"), fixture("detailed.root")];
    let (block, _) = read_all(&paths, &ImportOptions::default()).unwrap();
    assert_eq!(block.len(), 120);
    let columns = block.columns();
    assert!(columns.contains(Column::JetPt) && columns.contains(Column::MuonCharge));
    assert!(!columns.contains(Column::EGammaPt) && !columns.contains(Column::Event));
    let paths = [fixture("scouting-zlib.root"), fixture("central.root")];
    let error = read_all(&paths, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, ImportError::MixedPlacement { row: 0, .. }), "{error}");
}

#[test]
fn rntuples_missing_trees_and_files_without_level_1_tables_are_refused_with_what_to_do() {
    let refused = |name: &str, key: Option<&str>| {
        let options = ImportOptions { key: key.map(str::to_owned), ..ImportOptions::default() };
        RootImporter::open(&[fixture(name)], &options).err().unwrap().to_string()
    };
    let text = refused("rntuple.root", None);
    assert!(
        text.contains("RNTuple") && text.contains("hint:") && text.contains("mktree"),
        "{text}"
    );
    let text = refused("central.root", Some("Runs"));
    assert!(text.contains("expected `Runs`, found Events") && text.contains("--key"), "{text}");
    let text = refused("central.root", Some("Events/more"));
    assert!(text.contains("expected `Events/more`"), "{text}");
}

#[test]
fn files_without_events_hide_no_column_of_the_others() {
    let paths =
        [fixture("scouting-zlib.root"), fixture("empty.root"), fixture("scouting-lz4.root")];
    let (all, _) = read_all(&paths, &ImportOptions::default()).unwrap();
    assert!(all.columns().contains(Column::MetPt) && all.len() == 120);
    let options = ImportOptions { rows: Some(60..60), ..ImportOptions::default() };
    let importer = RootImporter::open(&paths, &options).unwrap();
    assert_eq!((importer.n_events(), importer.placed()), (0, false));
    assert_eq!(read("empty.root").len(), 0);
}

#[test]
fn a_file_cut_at_any_byte_is_an_error() {
    let whole = std::fs::read(fixture("scouting-zstd.root")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.root");
    // What comes after the last thing that is read is not missed.
    let needed = needed_bytes(&whole, &path);
    assert!(needed > whole.len() / 2);
    std::fs::write(&path, &whole).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for n in (4..needed).rev() {
        file.set_len(n as u64).unwrap();
        let outcome = read_all(std::slice::from_ref(&path), &ImportOptions::default());
        assert!(outcome.is_err(), "cut at byte {n}");
    }
}

/// Bytes of a file from its begin that reading it needs.
fn needed_bytes(whole: &[u8], path: &Path) -> usize {
    let reads = |n: usize| {
        std::fs::write(path, &whole[..n]).unwrap();
        read_all(&[path.to_path_buf()], &ImportOptions::default()).is_ok()
    };
    assert!(reads(whole.len()));
    let (mut low, mut high) = (0, whole.len());
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        if reads(middle) { high = middle } else { low = middle }
    }
    high
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_and_lengths_that_lie_are_errors_or_other_values_but_never_a_panic(
        file in 0..SCOUTING.len(),
        place in 0.0..1.0_f64,
        change in prop_oneof![
            (0..8_u32).prop_map(|bit| (1_u32 << bit, 1)),
            any::<u32>().prop_map(|bits| (bits, 4)),
        ],
    ) {
        let mut bytes = std::fs::read(fixture(SCOUTING[file])).unwrap();
        let (bits, n) = change;
        let at = (place * (bytes.len() - n) as f64) as usize;
        for (byte, flip) in bytes[at..at + n].iter_mut().zip(bits.to_le_bytes()) {
            *byte ^= flip;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.root");
        std::fs::write(&path, &bytes).unwrap();
        let mut chunk = Chunk::default();
        if let Ok(mut importer) = RootImporter::open(&[path], &ImportOptions::default()) {
            while let Ok(true) = importer.next_chunk(&mut chunk) {
                // Without the branch of crossings there are none to check.
                if importer.placed() {
                    chunk.events.check_shape().unwrap();
                }
            }
        }
    }
}
