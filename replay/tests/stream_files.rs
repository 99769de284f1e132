//! Stream files: what is written is read, in any pieces; what is damaged is noticed.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{assert_same, random_blocks, write_stream};
use scout40_replay::event::{Block, Collection, Column, ColumnSet, Group};
use scout40_replay::format::{
    BlockDecoder, Compression, FormatError, SampleKind, Step, StreamDecoder, StreamHeader,
    StreamWriter, WriteError,
};
use scout40_replay::source::{Delivery, FileSource, Source, SourceError};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn read_all(path: &Path, wanted: ColumnSet) -> (Vec<Block>, Vec<Delivery>) {
    let mut source = FileSource::open(path).unwrap();
    drain(&mut source, wanted)
}

fn drain(source: &mut FileSource, wanted: ColumnSet) -> (Vec<Block>, Vec<Delivery>) {
    let (mut blocks, mut others) = (Vec::new(), Vec::new());
    loop {
        let mut block = Block::default();
        match source.next_block(wanted, &mut block).unwrap() {
            Delivery::Block => blocks.push(block),
            Delivery::End => return (blocks, others),
            other => others.push(other),
        }
    }
}

/// A small file with every column: where it is, its bytes, its blocks.
fn small_file(folder: &Path) -> (PathBuf, Vec<u8>, Vec<Block>) {
    let blocks = random_blocks(ColumnSet::ALL, &[3, 1, 2], 77);
    let path = folder.join("small.s40");
    write_stream(&path, &blocks, Compression::Fast);
    let bytes = fs::read(&path).unwrap();
    (path, bytes, blocks)
}

#[test]
fn every_column_survives_a_round_trip_at_both_settings() {
    let folder = folder();
    let blocks = random_blocks(ColumnSet::ALL, &[5000, 1, 3564, 700], 1);
    for compression in [Compression::Fast, Compression::Small] {
        let path = folder.path().join(compression.name());
        let summary = write_stream(&path, &blocks, compression);
        assert_eq!(summary.index.n_crossings, 9265);
        assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
        let (read, others) = read_all(&path, ColumnSet::ALL);
        assert_eq!((read.len(), others.len()), (4, 0));
        for (a, b) in blocks.iter().zip(&read) {
            assert_same(a, b, ColumnSet::ALL);
            b.check().unwrap();
        }
    }
}

#[test]
fn only_wanted_columns_are_filled() {
    let folder = folder();
    let (path, _, blocks) = small_file(folder.path());
    let wanted = Group::Jet.columns().with(Column::Lumi);
    let (read, _) = read_all(&path, wanted);
    assert_same(&blocks[0], &read[0], wanted.union(ColumnSet::skeleton()));
    assert!(read[0].entries(Column::MetPt).is_empty());
    assert!(!read[0].columns().contains(Column::MetPt));
}

#[test]
fn a_damaged_group_that_nobody_asked_for_does_no_harm() {
    let folder = folder();
    let (path, mut bytes, blocks) = small_file(folder.path());
    let mut decoder = StreamDecoder::new();
    decoder.space(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
    decoder.commit(bytes.len());
    while decoder.step().unwrap() != Step::Block {}
    let (_, _, offset) =
        decoder.block().groups().find(|(entry, ..)| entry.group == Group::Sums as u8).unwrap();
    bytes[offset as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (read, others) = read_all(&path, Group::Jet.columns());
    assert_eq!((read.len(), others.len()), (3, 0));
    let (read, others) = read_all(&path, Group::Sums.columns());
    assert_eq!(read.len(), 2);
    let n = blocks[0].len() as u32;
    assert!(matches!(others[..], [Delivery::Corrupt { n_crossings, .. }] if n_crossings == n));
}

#[test]
fn a_decoder_that_is_fed_at_any_split_decodes_the_same() {
    let folder = folder();
    let (_, bytes, blocks) = small_file(folder.path());
    for chunk in [1, 2, 3, 7, 64, 1000, bytes.len()] {
        let mut decoder = StreamDecoder::new();
        let mut block_decoder = BlockDecoder::new().unwrap();
        let mut pieces = bytes.chunks(chunk);
        let mut read = Vec::new();
        let mut ended = false;
        while !ended {
            match decoder.step().unwrap() {
                Step::NeedMore(_) => {
                    let piece = pieces.next().expect("the stream says where it ends");
                    decoder.space(piece.len())[..piece.len()].copy_from_slice(piece);
                    decoder.commit(piece.len());
                }
                Step::Block => {
                    let mut block = Block::default();
                    block_decoder
                        .decode(&decoder.block(), ColumnSet::ALL, ColumnSet::ALL, &mut block)
                        .unwrap();
                    read.push(block);
                }
                Step::End => ended = true,
                Step::Header(_) | Step::Index(_) => {}
            }
        }
        assert_eq!(read.len(), blocks.len(), "pieces of {chunk}");
        for (a, b) in blocks.iter().zip(&read) {
            assert_same(a, b, ColumnSet::ALL);
        }
    }
}

/// What a damaged file may come to: an error on opening, or a loss that is told, but never
/// another event than was written.
fn assert_nothing_is_invented(path: &Path, blocks: &[Block], what: &str) {
    let mut source = match FileSource::open(path) {
        Ok(source) => source,
        Err(SourceError::Format { .. }) => return,
        Err(other) => panic!("{what}: {other}"),
    };
    let told = source.info().index_problem.is_some();
    let (read, others) = drain(&mut source, ColumnSet::ALL);
    assert!(told || !others.is_empty(), "{what}: the damage is not told");
    for block in &read {
        let orbit = block.get::<u32>(Column::Orbit)[0];
        let original = blocks.iter().find(|b| b.get::<u32>(Column::Orbit)[0] == orbit);
        assert_same(original.expect("a block that was written"), block, ColumnSet::ALL);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let folder = folder();
    let (path, bytes, blocks) = small_file(folder.path());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        assert_nothing_is_invented(&path, &blocks, &format!("bit flipped in byte {at}"));
    }
}

#[test]
fn a_file_cut_at_any_byte_is_readable_up_to_its_last_whole_block() {
    let folder = folder();
    let (path, bytes, blocks) = small_file(folder.path());
    let ends: Vec<u64> = {
        let source = FileSource::open(&path).unwrap();
        let index = source.info().index.clone().unwrap();
        index.blocks.iter().skip(1).map(|entry| entry.offset).collect()
    };
    for n in 0..bytes.len() {
        fs::write(&path, &bytes[..n]).unwrap();
        assert_nothing_is_invented(&path, &blocks, &format!("cut after {n} bytes"));
        if let Ok(mut source) = FileSource::open(&path) {
            let (read, _) = drain(&mut source, ColumnSet::ALL);
            let whole = ends.iter().filter(|&&end| end <= n as u64).count();
            assert!(read.len() >= whole, "cut after {n} bytes: {} of {whole}", read.len());
        }
    }
}

#[test]
fn a_cut_file_tells_how_many_crossings_it_lost() {
    let folder = folder();
    let (path, bytes, blocks) = small_file(folder.path());
    let last = FileSource::open(&path).unwrap().info().index.clone().unwrap().blocks[2];
    fs::write(&path, &bytes[..last.offset as usize + 600]).unwrap();
    let (read, others) = read_all(&path, ColumnSet::ALL);
    assert_eq!(read.len(), 2);
    let n = blocks[2].len() as u32;
    assert!(
        matches!(others[..], [Delivery::Truncated { n_crossings, .. }] if n_crossings == n),
        "{others:?}"
    );
}

#[test]
fn a_damaged_block_head_costs_one_block_with_an_index_and_the_rest_without() {
    let folder = folder();
    let (path, bytes, _) = small_file(folder.path());
    let index = FileSource::open(&path).unwrap().info().index.clone().unwrap();
    let mut damaged = bytes.clone();
    damaged[index.blocks[1].offset as usize + 20] ^= 0x10;
    fs::write(&path, &damaged).unwrap();
    let (read, others) = read_all(&path, ColumnSet::ALL);
    assert_eq!(read.len(), 2);
    assert!(matches!(others[..], [Delivery::Corrupt { n_crossings: 1, .. }]));
    fs::write(&path, &damaged[..damaged.len() - 1]).unwrap();
    let (read, others) = read_all(&path, ColumnSet::ALL);
    assert_eq!(read.len(), 1);
    assert!(matches!(others[..], [Delivery::Lost { .. }]));
}

#[test]
fn passing_over_blocks_leaves_the_others_as_they_are() {
    let folder = folder();
    // Blocks that one read brings whole, and blocks that it does not.
    let blocks = random_blocks(ColumnSet::ALL, &[5000, 1, 3564, 3], 1);
    let path = folder.path().join("s.s40");
    write_stream(&path, &blocks, Compression::Fast);
    for skipped in 0..16_u32 {
        let mut source = FileSource::open(&path).unwrap();
        for (k, expected) in blocks.iter().enumerate() {
            if skipped >> k & 1 == 1 {
                let meta = source.skip_block().unwrap().unwrap();
                assert_eq!((meta.run, meta.n_crossings as usize), (expected.run, expected.len()));
                let orbits = expected.get::<u32>(Column::Orbit);
                assert_eq!(Some(&meta.first_orbit), orbits.first());
                assert_eq!(Some(&meta.last_orbit), orbits.last());
            } else {
                let mut block = Block::default();
                let delivery = source.next_block(ColumnSet::ALL, &mut block).unwrap();
                assert_eq!(delivery, Delivery::Block);
                assert_same(expected, &block, ColumnSet::ALL);
            }
        }
        assert_eq!(source.skip_block().unwrap(), None, "nothing is left");
        let (read, others) = drain(&mut source, ColumnSet::ALL);
        assert_eq!((read.len(), others.len()), (0, 0));
    }
}

#[test]
fn damage_is_not_passed_over_unseen_where_a_block_begins_or_the_file_is_cut() {
    let folder = folder();
    let (path, bytes, blocks) = small_file(folder.path());
    let index = FileSource::open(&path).unwrap().info().index.clone().unwrap();
    let (first, second) = (index.blocks[0].offset as usize, index.blocks[1].offset as usize);
    let mut flipped = bytes.clone();
    flipped[first + 30] ^= 1;
    for damaged in [&flipped[..], &bytes[..second - 1], &bytes[..first + 20]] {
        fs::write(&path, damaged).unwrap();
        let (read, others) = read_all(&path, ColumnSet::ALL);
        assert!(read.len() < blocks.len() && !others.is_empty());
        let mut source = FileSource::open(&path).unwrap();
        assert_eq!(source.skip_block().unwrap(), None);
        assert_eq!(drain(&mut source, ColumnSet::ALL).1, others);
    }
}

#[test]
fn damage_in_a_block_that_is_passed_over_stays_unknown() {
    let folder = folder();
    let (path, mut bytes, blocks) = small_file(folder.path());
    let index = FileSource::open(&path).unwrap().info().index.clone().unwrap();
    bytes[index.blocks[1].offset as usize - 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut source = FileSource::open(&path).unwrap();
    let meta = source.skip_block().unwrap().unwrap();
    assert_eq!(meta.n_crossings as usize, blocks[0].len());
    let (read, others) = drain(&mut source, ColumnSet::ALL);
    assert_eq!((read.len(), others.len()), (2, 0));
    source.rewind().unwrap();
    assert_eq!(drain(&mut source, ColumnSet::ALL).1.len(), 1, "who reads it knows");
}

#[test]
fn a_run_can_begin_at_any_orbit() {
    let folder = folder();
    let (path, _, blocks) = small_file(folder.path());
    let orbit = blocks[1].get::<u32>(Column::Orbit)[0];
    let mut source = FileSource::open(&path).unwrap();
    source.seek_orbit(orbit).unwrap();
    let (read, _) = drain(&mut source, ColumnSet::ALL);
    assert_eq!(read.len(), 2);
    source.seek_orbit(u32::MAX).unwrap();
    assert!(drain(&mut source, ColumnSet::ALL).0.is_empty());
    source.rewind().unwrap();
    assert_eq!(drain(&mut source, ColumnSet::ALL).0.len(), 3);
}

fn open_error(path: &Path) -> String {
    match FileSource::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_stream_is_refused_with_the_reason() {
    let folder = folder();
    let (path, bytes, _) = small_file(folder.path());
    fs::write(&path, b"PAR1 and so on, long enough").unwrap();
    assert!(open_error(&path).contains("50 41 52 31"));
    fs::write(&path, b"").unwrap();
    assert!(open_error(&path).contains("empty file"));
    let mut newer = bytes.clone();
    newer[8] = 3;
    fs::write(&path, &newer).unwrap();
    let message = open_error(&path);
    assert!(message.contains("found 3") && message.contains("update scout40"), "{message}");
    assert!(matches!(
        FileSource::open(&folder.path().join("absent.s40")),
        Err(SourceError::Io { .. })
    ));
}

#[test]
fn a_stream_is_of_the_oldest_version_that_can_hold_its_columns() {
    let folder = folder();
    let path = folder.path().join("x.s40");
    let is_old = |c: &Column| c.is_of_version_1();
    let old: ColumnSet = ColumnSet::ALL.iter().filter(is_old).collect();
    let version_of = |columns: ColumnSet| {
        let blocks = random_blocks(columns, &[50], 3);
        write_stream(&path, &blocks, Compression::Fast);
        let bytes = fs::read(&path).unwrap();
        (u32::from_le_bytes(bytes[8..12].try_into().unwrap()), read_all(&path, ColumnSet::ALL))
    };
    assert_eq!(version_of(old).0, 1);
    assert_eq!(version_of(old.with(Column::MuonIso)).0, 2);
    let (version, (blocks, others)) = version_of(ColumnSet::EMPTY.with(Column::StubPhi));
    assert!(version == 2 && others.is_empty());
    assert!(blocks[0].columns().contains(Column::StubN), "what there is of stubs is counted");
    assert!(blocks[0].n_entries(Collection::Stub) > 0);
    assert_eq!(blocks[0].offsets(Collection::Puppi), [0], "what is not counted is not there");
}

#[test]
fn one_column_of_what_not_every_stream_has_is_read_by_itself() {
    let folder = folder();
    let path = folder.path().join("x.s40");
    let blocks = random_blocks(ColumnSet::ALL, &[300, 20], 11);
    write_stream(&path, &blocks, Compression::Small);
    for column in [Column::PuppiQual, Column::TrackMuonPt, Column::StubTag] {
        let wanted = ColumnSet::EMPTY.with(column);
        let (read, others) = read_all(&path, wanted);
        assert!(others.is_empty() && read.len() == 2);
        for (a, b) in blocks.iter().zip(&read) {
            assert_same(a, b, wanted.counted().union(ColumnSet::skeleton()));
            assert!(!b.entries(column).is_empty());
        }
    }
}

#[test]
fn a_stream_without_events_is_a_stream() {
    let folder = folder();
    let path = folder.path().join("none.s40");
    let summary = write_stream(&path, &[], Compression::Fast);
    assert_eq!(summary.index.n_crossings, 0);
    let (read, others) = read_all(&path, ColumnSet::ALL);
    assert!(read.is_empty() && others.is_empty());
}

#[test]
fn the_same_events_make_the_same_bytes() {
    let folder = folder();
    let blocks = random_blocks(ColumnSet::ALL, &[100, 50], 3);
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let digest = write_stream(&a, &blocks, Compression::Small).index.digest;
    assert_eq!(digest, write_stream(&b, &blocks, Compression::Small).index.digest);
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
}

#[test]
fn an_unfinished_stream_leaves_nothing_behind() {
    let folder = folder();
    let path = folder.path().join("x.s40");
    let header = StreamHeader::new(SampleKind::Data, "x", ColumnSet::ALL);
    let writer = StreamWriter::create(&path, &header, Compression::Fast).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(!path.exists(), "the final name appears only at the end");
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_writer_refuses_blocks_that_break_the_contract() {
    let folder = folder();
    let blocks = random_blocks(ColumnSet::ALL, &[10, 10], 3);
    let header = StreamHeader::new(SampleKind::Data, "x", ColumnSet::ALL);
    let path = folder.path().join("x.s40");
    let mut writer = StreamWriter::create(&path, &header, Compression::Fast).unwrap();
    writer.write(&blocks[1]).unwrap();
    let order = writer.write(&blocks[0]).unwrap_err();
    assert!(matches!(order, WriteError::Contract(_)), "{order}");
    let few = random_blocks(Group::Jet.columns(), &[1], 4);
    assert!(writer.write(&few[0]).unwrap_err().to_string().contains("lacks columns"));
    let empty = Block::new(ColumnSet::ALL);
    assert!(writer.write(&empty).unwrap_err().to_string().contains("found 0"));
}

#[test]
fn a_header_with_an_unknown_column_is_refused() {
    let mut header = StreamHeader::new(SampleKind::Data, "x", ColumnSet::ALL);
    header.columns[7].dtype = "f64".into();
    assert!(matches!(header.column_set(), Err(FormatError::Corrupt { .. })));
    header.columns.retain(|record| record.name != "bx" && record.dtype != "f64");
    let missing = header.column_set().unwrap_err().to_string();
    assert!(missing.contains("bx"), "{missing}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn damage_anywhere_never_panics_and_invents_nothing(
        seed in 1_u64..u64::MAX, at in 0.0..1.0_f64, byte: u8, cut in 0.0..1.0_f64,
    ) {
        let folder = folder();
        let blocks = random_blocks(ColumnSet::ALL, &[200, 100], seed);
        let path = folder.path().join("x.s40");
        write_stream(&path, &blocks, Compression::Small);
        let mut bytes = fs::read(&path).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        let changed = bytes[at] != byte;
        bytes[at] = byte;
        if cut > 0.5 {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        fs::write(&path, &bytes).unwrap();
        if changed || cut > 0.5 {
            assert_nothing_is_invented(&path, &blocks, "random damage");
        }
    }
}
