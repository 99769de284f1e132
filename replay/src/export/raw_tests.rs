//! The binary formats of scouting written and read back, and outputs that do not come to an end.

use std::path::{Path, PathBuf};

use super::*;
use crate::event::{Collection, Column, Dtype, Element, Group};
use crate::import::{self, Chunk, Format, ImportOptions, recognise};
use crate::lhc::lumi_section_of_orbit;

/// A fixed sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn put<T: Element>(block: &mut Block, column: Column, value: T) {
    block.get_mut::<T>(column).push(value);
}

/// A value as a word of the formats can have it.
fn value(column: Column, random: &mut Random) -> i64 {
    let (min, max) = column.spec().range.unwrap();
    match column {
        // What readers skip is not written by a sender either.
        Column::MuonQual => 1 + random.below(15) as i64,
        Column::JetQual => random.below(4) as i64,
        Column::TrackMuonCharge => [-1, 1][random.below(2) as usize],
        _ if column.spec().name.ends_with("_pt") => 1 + random.below(max as u64) as i64,
        _ => min + random.below((max - min + 1) as u64) as i64,
    }
}

/// Blocks of two orbits each with these columns, over an orbit at which a luminosity section and
/// a file end, objects in descending pT.
fn blocks(columns: ColumnSet, n_blocks: u32) -> Vec<Block> {
    let mut random = Random(7);
    let first = (1 << 18) - 3;
    let block = |number: u32| {
        let mut block = Block::new(columns.with(Column::Lumi));
        block.run = 23;
        for orbit in first + 2 * number..first + 2 * number + 2 {
            for bx in [1_i16, 2, 43, 1000, 3564] {
                put(&mut block, Column::Orbit, orbit);
                put(&mut block, Column::Bx, bx);
                put(&mut block, Column::Lumi, lumi_section_of_orbit(orbit));
                push_crossing(&mut block, &mut random);
            }
        }
        block.index_objects().unwrap();
        block.check().unwrap();
        block
    };
    (0..n_blocks).map(block).collect()
}

fn push_crossing(block: &mut Block, random: &mut Random) {
    let columns = block.columns();
    for collection in Collection::ALL_OBJECTS {
        let count = collection.count_column().unwrap();
        if !columns.contains(count) {
            continue;
        }
        let pt = collection.kinematics().map(|[pt, ..]| pt);
        let has_any = columns.iter().any(|c| c.spec().collection == collection);
        let n = if has_any { random.below(collection.capacity().min(20) as u64 + 1) } else { 0 };
        match count.spec().dtype {
            Dtype::U8 => put(block, count, n as u8),
            _ => put(block, count, n as i16),
        }
        for column in columns.iter().filter(|c| c.spec().collection == collection) {
            let mut values: Vec<i64> = (0..n).map(|_| value(column, random)).collect();
            // pT falls, and stubs come sector by sector.
            if Some(column) == pt {
                values.sort_by(|a, b| b.cmp(a));
            } else if column == Column::StubSector {
                values.sort();
            }
            for value in values {
                put_any(block, column, value);
            }
        }
    }
    let counts = ColumnSet::skeleton().union(Group::FurtherCounts.columns()).with(Column::Lumi);
    for column in columns.minus(counts).iter() {
        if column.spec().collection == Collection::Crossing {
            put_any(block, column, value(column, random));
        }
    }
}

fn put_any(block: &mut Block, column: Column, value: i64) {
    match column.spec().dtype {
        Dtype::U8 => put(block, column, value as u8),
        Dtype::I16 => put(block, column, value as i16),
        _ => put(block, column, value as i32),
    }
}

fn export(target: Target, path: &Path, blocks: &[Block], options: ExportOptions) -> ExportSummary {
    let columns = blocks[0].columns();
    let mut exporter = create(target, path, columns, &options).unwrap();
    blocks.iter().for_each(|block| exporter.write(block).unwrap());
    exporter.finish().unwrap()
}

/// All events of these files in one block, the importer's notes, and what was wrong.
fn import_all(paths: &[PathBuf]) -> (Block, Vec<(u64, &'static str)>, Vec<String>) {
    let mut importer = import::open(paths, &ImportOptions::default()).unwrap();
    let mut all = Block::new(importer.columns());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk).unwrap() {
        for index in 0..chunk.events.len() {
            all.push_event(&chunk.events, index);
            all.run = chunk.runs[index];
        }
    }
    assert_eq!(importer.n_done(), importer.n_events());
    (all, importer.notes(), importer.problems().to_vec())
}

/// Columns of a stream, written and read back: what comes back, and what was noted.
fn round_trip(
    target: Target,
    columns: ColumnSet,
    options: ExportOptions,
) -> (Vec<Block>, Block, ExportSummary) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let blocks = blocks(columns, 3);
    let summary = export(target, &path, &blocks, options);
    let mut files: Vec<PathBuf> = summary.files.iter().map(|(path, _)| path.clone()).collect();
    for (path, bytes) in &summary.files {
        assert_eq!(path.metadata().unwrap().len(), *bytes);
    }
    // In any order.
    files.reverse();
    let (all, notes, problems) = import_all(&files);
    assert!(notes.is_empty(), "{}: {notes:?}\n{problems:?}", target.name());
    assert_eq!(summary.crossings, 30);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing temporary stays behind");
    (blocks, all, summary)
}

fn assert_same(blocks: &[Block], all: &Block, columns: ColumnSet) {
    let mut expected = Block::new(columns);
    for block in blocks {
        (0..block.len()).for_each(|index| expected.push_event(block, index));
    }
    for column in expected.columns().iter() {
        assert_eq!(all.entries(column), expected.entries(column), "{}", column.spec().name);
    }
    all.check().unwrap();
}

fn run3_columns() -> ColumnSet {
    let of = |source: Source| source.columns();
    [Source::Muons, Source::CaloDma, Source::Stubs(0)]
        .map(of)
        .into_iter()
        .fold(ColumnSet::EMPTY, ColumnSet::union)
}

/// The tag is made by readers: it is not in the words.
fn without_tag(columns: ColumnSet) -> ColumnSet {
    columns.minus(ColumnSet::EMPTY.with(Column::StubTag)).with(Column::Lumi)
}

#[test]
fn run_3_streams_survive_as_frd_files_of_their_sources() {
    for calo in [Calo::Tcp, Calo::Dma] {
        let options = ExportOptions { calo, ..ExportOptions::default() };
        let (blocks, all, summary) = round_trip(Target::Frd, run3_columns(), options);
        assert_same(&blocks, &all, without_tag(run3_columns()));
        assert_eq!(all.run, 23);
        assert!(summary.left_out.is_empty(), "{:?}", summary.left_out);
        // Two luminosity sections; muons, one or four of the calorimeter, twelve sectors.
        let n_sources = if calo == Calo::Tcp { 17 } else { 14 };
        assert_eq!(summary.files.len(), 2 * n_sources);
        let name = summary.files[1].0.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name, "run000023_ls0001_index000000.raw_1");
    }
}

#[test]
fn what_a_stream_has_of_run_3_decides_its_sources_and_the_rest_is_told() {
    let columns = Group::Jet.columns().with(Column::JetRawPt).with(Column::PileUp);
    let sources = Source::of_columns(columns, Calo::Tcp);
    assert_eq!(sources, [Source::Jets]);
    let folder = tempfile::tempdir().unwrap();
    let mut block = Block::new(columns);
    for (bx, n) in [(1_i16, 2_u8), (2, 0)] {
        put(&mut block, Column::Orbit, 9_u32);
        put(&mut block, Column::Bx, bx);
        put(&mut block, Column::JetN, n);
        for column in [Column::MuonN, Column::EGammaN, Column::TauN] {
            put(&mut block, column, 0_u8);
        }
        put(&mut block, Column::PileUp, 60.0_f32);
        for column in [Column::JetPt, Column::JetEta, Column::JetPhi, Column::JetRawPt] {
            (0..n).for_each(|_| put(&mut block, column, 30_i16));
        }
    }
    block.index_objects().unwrap();
    let path = folder.path().join("out");
    let summary = export(Target::Frd, &path, &[block], ExportOptions::default());
    assert_eq!(summary.left_out.names(), "jet_raw_pt, pile_up");
    assert_eq!((summary.crossings, summary.left_out_values[0].0), (2, 1), "one has no object");
    let (all, ..) = import_all(&[summary.files[0].0.clone()]);
    assert_eq!((all.len(), all.run), (1, 0));
    assert_eq!(all.get::<u8>(Column::JetQual), [0, 0]);
}

#[test]
fn phase_2_streams_survive_in_every_frame() {
    for payload in [Payload::Puppi, Payload::TrackMuon, Payload::Run3] {
        for target in [Target::Native64, Target::Dth256, Target::Cmssw] {
            let (blocks, all, summary) =
                round_trip(target, meaningful(payload), ExportOptions::default());
            assert_same(&blocks, &all, meaningful(payload).with(Column::Lumi));
            assert_eq!(summary.payload, Some(payload), "{}", target.name());
            assert_eq!(all.run, 23, "five bits suffice for it");
        }
    }
}

/// Columns of a payload; of Puppi candidates those that charged and neutral ones share.
fn meaningful(payload: Payload) -> ColumnSet {
    match payload {
        Payload::Puppi => Group::Puppi.columns().with(Column::PuppiPid).counted(),
        other => other.columns(),
    }
}

#[test]
fn files_are_recognised_by_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    for (target, format) in [
        (Target::Frd, Format::Frd),
        (Target::Cmssw, Format::FrdPhase2),
        (Target::Native64, Format::Native64),
        (Target::Dth256, Format::Dth256),
    ] {
        let path = folder.path().join(target.name());
        let blocks = blocks(Source::Muons.columns(), 1);
        let summary = export(target, &path, &blocks, ExportOptions::default());
        for (path, _) in summary.files {
            assert_eq!(recognise(&path).unwrap(), format);
            let renamed = folder.path().join("x.parquet");
            std::fs::copy(path, &renamed).unwrap();
            assert_eq!(recognise(&renamed).unwrap(), format);
        }
    }
}

#[test]
fn what_does_not_come_to_an_end_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(run3_columns(), 1);
    for target in Target::ALL.into_iter().filter(|target| target.has_orbits()) {
        let path = folder.path().join("out");
        let mut exporter =
            create(target, &path, blocks[0].columns(), &ExportOptions::default()).unwrap();
        exporter.write(&blocks[0]).unwrap();
        assert!(!path.exists());
        drop(exporter);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{}", target.name());
    }
}

#[test]
fn folders_are_not_overwritten_and_streams_of_nothing_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let error = |target, columns| {
        let path = folder.path();
        create(target, path, columns, &ExportOptions::default()).err().unwrap().to_string()
    };
    assert!(error(Target::Frd, run3_columns()).contains("exists"));
    assert!(error(Target::Frd, Group::Puppi.columns()).contains("none of what `frd` holds"));
    assert!(error(Target::Native64, Group::Stub.columns()).contains("none of what `native64`"));
}
