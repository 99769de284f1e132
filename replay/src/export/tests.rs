//! Round trips: real events written, read again, and compared column by column.
#![cfg(all(feature = "hdf5", feature = "parquet"))]

use std::path::PathBuf;

use super::*;
use crate::event::{Collection, Column, Entries};
use crate::import::{self, Chunk, ImportOptions};
use crate::source::{Delivery, FileSource, Source};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The first blocks of a stream.
fn blocks(name: &str, n: usize) -> Vec<Block> {
    let mut source = FileSource::open(&fixture(name)).unwrap();
    let mut blocks = Vec::new();
    let mut block = Block::default();
    while blocks.len() < n
        && source.next_block(ColumnSet::ALL, &mut block).unwrap() == Delivery::Block
    {
        blocks.push(block.clone());
    }
    blocks
}

/// Events of an importable file as one block, with the runs of its events.
fn read(path: &Path, options: &ImportOptions) -> (Block, Vec<u32>) {
    let mut importer = import::open(&[path.into()], options).unwrap();
    let (mut all, mut runs) = (Block::new(importer.columns()), Vec::new());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk).unwrap() {
        (0..chunk.events.len()).for_each(|i| all.push_event(&chunk.events, i));
        runs.extend_from_slice(&chunk.runs);
    }
    (all, runs)
}

fn joined(blocks: &[Block]) -> Block {
    let mut all = Block::new(blocks[0].columns());
    for block in blocks {
        (0..block.len()).for_each(|i| all.push_event(block, i));
    }
    all
}

/// Writes blocks, checks that the file appears only when it is whole, and returns what was lost.
fn write(path: &Path, target: Target, blocks: &[Block]) -> ExportSummary {
    write_key(path, target, blocks, None)
}

fn write_key(path: &Path, target: Target, blocks: &[Block], key: Option<&str>) -> ExportSummary {
    let options = ExportOptions { key: key.map(str::to_owned), ..ExportOptions::default() };
    let mut exporter = create(target, path, blocks[0].columns(), &options).unwrap();
    for block in blocks {
        exporter.write(block).unwrap();
    }
    assert!(!path.exists(), "an unfinished file has another name");
    let summary = exporter.finish().unwrap();
    assert_eq!(summary.files, [(path.to_path_buf(), path.metadata().unwrap().len())]);
    assert_eq!(summary.crossings, blocks.iter().map(|block| block.len() as u64).sum::<u64>());
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "nothing else stays");
    summary
}

fn count(losses: &ExportSummary, what: &str) -> u64 {
    let found = losses.left_out_values.iter().find(|(_, text)| text.contains(what));
    found.unwrap_or_else(|| panic!("no count of {what}")).0
}

fn assert_same(found: &Block, expected: &Block, columns: impl IntoIterator<Item = Column>) {
    for column in columns {
        assert_eq!(found.entries(column), expected.entries(column), "{}", column.spec().name);
    }
}

#[test]
fn parquet_gives_back_every_column_of_a_stream_and_its_crossings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let blocks = blocks("streams/zero-bias.s40", 5);
    assert_eq!(blocks.len(), 5);
    let losses = write(&path, Target::Parquet, &blocks);
    assert!(losses.left_out.is_empty() && losses.left_out_values.is_empty());
    let (found, runs) = read(&path, &ImportOptions::default());
    let expected = joined(&blocks);
    assert_eq!(found.columns(), expected.columns());
    assert_same(&found, &expected, expected.columns().iter());
    assert_eq!(runs, vec![blocks[0].run; expected.len()]);
}

#[test]
fn parquet_gives_back_every_column_of_its_schema_also_across_row_groups_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    // All columns that the public files have, as they come in.
    let (events, _) = read(&fixture("import/zero-bias.parquet"), &ImportOptions::default());
    let mut blocks = Vec::new();
    for (run, n) in [(7, 40_000), (8, 40_000)] {
        let mut block = Block::new(events.columns());
        block.run = run;
        for i in 0..n {
            block.push_event(&events, i % events.len());
            // Crossings in ascending order; and an event number that needs all bits.
            *block.get_mut::<u32>(Column::Orbit).last_mut().unwrap() = i as u32 + 5;
            *block.get_mut::<i16>(Column::Bx).last_mut().unwrap() = (i % 3564) as i16 + 1;
            *block.get_mut::<u64>(Column::Event).last_mut().unwrap() = u64::MAX - i as u64;
        }
        blocks.push(block);
    }
    let losses = write(&path, Target::Parquet, &blocks);
    assert!(losses.left_out.is_empty());
    let (found, runs) = read(&path, &ImportOptions::default());
    let expected = joined(&blocks);
    assert_same(&found, &expected, expected.columns().iter());
    assert_eq!(runs, [vec![7; 40_000], vec![8; 40_000]].concat());
}

#[test]
fn columns_that_the_schema_has_no_place_for_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut block = Block::new(blocks("streams/SVJ.s40", 1)[0].columns().with(Column::Weight));
    block.push_event(&blocks("streams/SVJ.s40", 1)[0], 0);
    let losses = write(&path, Target::Parquet, &[block]);
    assert_eq!(losses.left_out, ColumnSet::EMPTY.with(Column::Weight));
}

#[test]
fn adc2021_gives_back_all_objects_that_fit_into_its_slots_and_counts_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let blocks = blocks("streams/zero-bias.s40", 4);
    let losses = write(&path, Target::Adc2021, &blocks);
    let expected = joined(&blocks);
    let (found, _) = read(&path, &ImportOptions::default());
    assert_eq!(found.len(), expected.len());
    assert_same(&found, &expected, [Column::MetPt, Column::Event, Column::PileUp]);
    for (collection, n, what) in [
        (Collection::EGamma, 4, "e/gammas beyond"),
        (Collection::Muon, 4, "muons beyond"),
        (Collection::Jet, 10, "jets beyond"),
    ] {
        let mut lost = 0;
        for event in 0..expected.len() {
            let [found, wanted] = [&found, &expected]
                .map(|block| super::hdf5::objects(block, event, collection).collect::<Vec<_>>());
            assert_eq!(found, wanted[..wanted.len().min(n)], "event {event}");
            lost += wanted.len().saturating_sub(n) as u64;
        }
        assert_eq!(count(&losses, what), lost);
    }
    let zero = |i: &usize| expected.get::<i16>(Column::MetPt)[*i] == 0;
    let (found_phi, phi) = (found.get::<i16>(Column::MetPhi), expected.get::<i16>(Column::MetPhi));
    let changed: Vec<usize> = (0..phi.len()).filter(|&i| found_phi[i] != phi[i]).collect();
    assert!(changed.iter().all(zero));
    assert_eq!(count(&losses, "directions"), changed.len() as u64);
    let lost = "orbit, bx, time, lumi, label, l1_accept, order";
    assert_eq!(losses.left_out.names(), lost);
}

/// One event with more objects than slots: 7 muons down to code 1, 6 e/gammas, 12 jets, a tau.
fn crowded() -> Block {
    let columns = super::hdf5::held().with(Column::TauPt).with(Column::TauEta).with(Column::TauPhi);
    let mut block = Block::new(columns);
    block.get_mut::<u32>(Column::Orbit).push(1);
    block.get_mut::<i16>(Column::Bx).push(1);
    block.get_mut::<i16>(Column::MetPt).push(0);
    block.get_mut::<i16>(Column::MetPhi).push(9);
    for (collection, n) in Collection::OBJECTS.into_iter().zip([7_u8, 6, 12, 1]) {
        block.get_mut::<u8>(collection.count_column().unwrap()).push(n);
        let [pt, eta, phi] = collection.kinematics().unwrap();
        block.get_mut::<i16>(pt).extend((1..=i16::from(n)).rev());
        block.get_mut::<i16>(eta).extend(std::iter::repeat_n(-3, n.into()));
        block.get_mut::<i16>(phi).extend(std::iter::repeat_n(140, n.into()));
    }
    block.index_objects().unwrap();
    block
}

#[test]
fn adc2021_counts_muons_of_0_gev_taus_and_objects_beyond_its_slots() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let block = crowded();
    let losses = write(&path, Target::Adc2021, std::slice::from_ref(&block));
    let counts: Vec<u64> = losses.left_out_values.iter().map(|&(n, _)| n).collect();
    assert_eq!(counts, [2, 2, 2, 1, 1, 0, 0]);
    assert!(losses.left_out.contains(Column::TauN) && losses.left_out.contains(Column::TauPt));
    let (found, _) = read(&path, &ImportOptions::default());
    assert_eq!(found.get::<i16>(Column::MuonPt), [7, 6, 5, 4]);
    assert_eq!(found.get::<i16>(Column::MuonPhi), [140; 4]);
    assert_eq!(found.get::<i16>(Column::EGammaPhi), [140; 4]);
    assert_eq!(found.get::<u8>(Column::JetN), [10]);
}

#[test]
fn the_training_layout_gives_back_its_objects_in_both_sizes_and_under_any_key() {
    let expected_blocks = blocks("streams/zero-bias.s40", 4);
    let expected = joined(&expected_blocks);
    for (key, reduced, slots) in [
        (None, false, [12, 8, 12]),
        (Some("full_data_cyl"), true, [4, 4, 10]),
        (Some("SVJ"), false, [12, 8, 12]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let target = if reduced { Target::FullDataCyl57 } else { Target::FullDataCyl };
        let losses = write_key(&path, target, &expected_blocks, key);
        let (found, _) = read(&path, &ImportOptions::default());
        assert_same(&found, &expected, [Column::MetPt, Column::MetPhi]);
        let mut lost = 0;
        let kinds = [Collection::EGamma, Collection::Muon, Collection::Jet];
        for (collection, n) in kinds.into_iter().zip(slots) {
            for event in 0..expected.len() {
                let [found, wanted] = [&found, &expected].map(|block| {
                    super::hdf5::objects(block, event, collection).collect::<Vec<_>>()
                });
                assert_eq!(found, wanted[..wanted.len().min(n)], "event {event}");
                lost += wanted.len().saturating_sub(n) as u64;
            }
        }
        assert_eq!(losses.left_out_values.iter().map(|(n, _)| n).sum::<u64>(), lost);
        assert_eq!(lost, 0, "the sample has at most 4, 4 and 10 objects");
        let with_info = key != Some("SVJ");
        assert_eq!(losses.left_out.contains(Column::Event), !with_info);
        assert!(losses.left_out.contains(Column::Orbit));
        if with_info {
            assert_same(&found, &expected, [Column::Event, Column::PileUp, Column::Lumi]);
        }
        assert_same(&found, &expected, [Column::L1Accept]);
    }
}

#[test]
fn the_training_layout_counts_objects_beyond_its_slots() {
    for (reduced, lost, muons) in
        [(true, [2, 3, 2], &[7, 6, 5, 4][..]), (false, [0; 3], &[7, 6, 5, 4, 3, 2, 1])]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let target = if reduced { Target::FullDataCyl57 } else { Target::FullDataCyl };
        let losses = write_key(&path, target, &[crowded()], Some("x"));
        let counts: Vec<u64> = losses.left_out_values.iter().map(|&(n, _)| n).collect();
        assert_eq!(counts[..3], lost);
        assert!(losses.left_out.contains(Column::TauN));
        let (found, _) = read(&path, &ImportOptions::default());
        assert_eq!(found.get::<i16>(Column::MuonPt), muons);
        assert_eq!(found.get::<i16>(Column::MetPhi), [9]);
    }
}

#[test]
fn what_a_stream_does_not_know_stays_unknown_in_the_training_layout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let whole = &blocks("streams/zero-bias.s40", 1)[0];
    let mut block = Block::new(super::hdf5::held().with(Column::PileUp));
    (0..100).for_each(|i| block.push_event(whole, i));
    write(&path, Target::FullDataCyl, std::slice::from_ref(&block));
    let (found, _) = read(&path, &ImportOptions::default());
    assert_same(&found, &block, [Column::PileUp, Column::JetPt]);
    let unknown = [Column::Lumi, Column::Event, Column::L1Accept];
    assert!(unknown.iter().all(|&column| !found.columns().contains(column)));
}

#[test]
fn a_stream_without_the_objects_of_a_layout_is_refused_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let columns = super::hdf5::held().minus(ColumnSet::EMPTY.with(Column::JetEta));
    let options = ExportOptions::default();
    for target in [Target::Adc2021, Target::FullDataCyl, Target::FullDataCyl57] {
        let text = create(target, &path, columns, &options).err().unwrap().to_string();
        assert!(text.contains("jet_eta") && text.contains("hint:"), "{text}");
    }
    for target in [Target::Adc2021, Target::Parquet] {
        let mut exporter = create(target, &path, super::hdf5::held(), &options).unwrap();
        let mut block = Block::new(super::hdf5::held());
        block.get_mut::<u32>(Column::Orbit).push(1);
        assert!(matches!(exporter.write(&block), Err(ExportError::Block(_))));
        drop(exporter);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let nowhere = Path::new("/nowhere/at/all");
        assert!(create(target, nowhere, super::hdf5::held(), &options).is_err());
    }
}

#[test]
fn streams_of_no_events_give_files_of_no_events() {
    for target in [Target::Adc2021, Target::Parquet] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        let exporter = create(target, &path, super::hdf5::held(), &ExportOptions::default());
        exporter.unwrap().finish().unwrap();
        let importer = import::open(&[path], &ImportOptions::default()).unwrap();
        assert_eq!(importer.n_events(), 0);
    }
}

#[test]
fn pieces_as_large_as_a_storage_chunk_and_beyond_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.h5");
    let expected_blocks = blocks("streams/zero-bias.s40", 8);
    let n: usize = expected_blocks.iter().map(Block::len).sum();
    assert!(n > 2 * super::hdf5::CHUNK_ROWS, "{n}");
    write(&path, Target::Adc2021, &expected_blocks);
    let (found, _) = read(&path, &ImportOptions::default());
    let Entries::U64(events) = found.entries(Column::Event) else { panic!("event numbers") };
    assert_eq!(events, joined(&expected_blocks).get::<u64>(Column::Event));
}
