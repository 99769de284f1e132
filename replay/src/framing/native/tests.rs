//! Orbits come out as they went in, what is no orbit is survived, and both ways are those of the
//! specification, bit for bit.

use std::path::Path;

use proptest::prelude::*;

use super::specification::{SlowEncoder, other, read_orbit};
use super::*;

/// Whoever adds a column, or sends one more, has to say so there.
#[test]
fn the_document_names_each_column_that_does_not_travel_and_no_other() {
    let text = include_str!("../../../../docs/network.md");
    let (_, table) = text.split_once("What does not travel").unwrap();
    let (table, _) = table.split_once("What is sent").unwrap();
    // Of these two bits are sent.
    let named: ColumnSet =
        table.split('`').filter_map(Column::from_name).filter(|&c| c != Column::JetQual).collect();
    let further = |column: &Column| {
        let spec = column.spec();
        crate::event::Collection::FURTHER.contains(&spec.collection)
            || spec.group == Group::FurtherCounts
    };
    let left_out = ColumnSet::ALL.minus(native_columns());
    let expected: ColumnSet = left_out.iter().filter(|column| !further(column)).collect();
    assert_eq!(named.names().to_string(), expected.names().to_string());
    assert!(left_out.iter().filter(further).count() > 20 && table.contains("Puppi candidates"));
}
use crate::event::{Collection, Dtype};
use crate::lhc::Bx;
use crate::raw::dth::OrbitDecoder;
use crate::raw::native64::{EventHeader, push_event};
use crate::source::{Delivery, FileSource, Source};

fn blocks() -> Vec<Block> {
    let path = "../fixtures/pathological/good.s40";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut source = FileSource::open(&path).unwrap();
    let (mut blocks, mut block) = (Vec::new(), Block::default());
    while source.next_block(native_columns(), &mut block).unwrap() == Delivery::Block {
        blocks.push(block.clone());
    }
    blocks
}

fn encoded(shift: u32, share: (u32, u32)) -> Vec<u8> {
    encoded_blocks(&blocks(), shift, share)
}

/// By one encoder, as the specification has it.
fn encoded_blocks(blocks: &[Block], shift: u32, share: (u32, u32)) -> Vec<u8> {
    let (mut encoder, mut bytes) = (OrbitEncoder::default(), Vec::new());
    let (mut slow, mut expected) = (SlowEncoder::default(), Vec::new());
    for block in blocks {
        let n = encoder.push_orbits(block, shift, share, &mut bytes);
        assert_eq!(n, slow.push_orbits(block, shift, share, &mut expected));
    }
    assert!(bytes == expected, "not the words of the specification");
    bytes
}

/// Reads the columns `wanted` of an orbit, as the specification has them.
fn read(
    reader: &mut OrbitReader,
    payload: &[u8],
    header: Option<OrbitHeader>,
    wanted: ColumnSet,
) -> (Block, OrbitCounts) {
    let (mut block, mut all) = (Block::default(), Block::default());
    let counts = reader.read(payload, header, wanted, &mut block);
    assert_eq!(counts, read_orbit(payload, header, &mut all));
    assert_eq!(block.run, all.run);
    assert_eq!(block.columns(), wanted.intersection(native_columns()).union(ColumnSet::skeleton()));
    for column in ColumnSet::ALL.iter() {
        let name = column.spec().name;
        match block.columns().contains(column) {
            true => assert_eq!(block.entries(column), all.entries(column), "{name}"),
            false => assert!(block.entries(column).is_empty(), "{name}"),
        }
    }
    assert!(block.check_shape().is_ok() && block.check_crossing_order().is_ok());
    (block, counts)
}

fn decoded(bytes: &[u8]) -> (Vec<Block>, Vec<OrbitCounts>) {
    let mut decoder = OrbitDecoder::default();
    let (mut blocks, mut counts) = (Vec::new(), Vec::new());
    let mut reader = OrbitReader::default();
    decoder.push(bytes);
    while let Some(orbit) = decoder.next_orbit() {
        let (block, of_orbit) = read(&mut reader, orbit.payload, orbit.header, native_columns());
        blocks.push(block);
        counts.push(of_orbit);
    }
    (blocks, counts)
}

/// All events one after another, with what a block does not have as zero.
fn joined<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Block {
    let mut all = Block::new(native_columns());
    blocks.into_iter().for_each(|block| (0..block.len()).for_each(|i| all.push_event(block, i)));
    all
}

fn same(a: &Block, b: &Block) {
    for column in native_columns().iter() {
        assert_eq!(a.entries(column), b.entries(column), "{}", column.spec().name);
    }
}

#[test]
fn every_object_comes_out_as_it_went_in() {
    let (orbits, counts) = decoded(&encoded(0, (0, 1)));
    assert!(counts.iter().all(|counts| *counts == OrbitCounts::default()), "{counts:?}");
    for orbit in &orbits {
        orbit.check().unwrap();
    }
    let all = joined(&blocks());
    assert!(all.n_entries(Collection::Muon) > 10 && all.n_entries(Collection::Jet) > 100);
    same(&joined(&orbits), &all);
}

#[test]
fn shares_are_orbits_dealt_by_their_number_and_a_shift_moves_them() {
    let (whole, _) = decoded(&encoded(100, (0, 1)));
    let original = joined(&blocks()).get::<u32>(Column::Orbit)[0];
    let first = |block: &Block| block.get::<u32>(Column::Orbit)[0];
    assert_eq!(first(&whole[0]), original + 100);
    let mut n = 0;
    for k in 0..3 {
        let (part, _) = decoded(&encoded(100, (k, 3)));
        assert!(part.iter().all(|block| first(block) % 3 == k));
        n += part.len();
    }
    assert_eq!(n, whole.len());
}

#[test]
fn parts_of_an_orbit_are_joined_by_crossing_and_doubles_are_told() {
    let whole = &blocks()[0];
    let part = |wanted: &dyn Fn(usize) -> bool| {
        let mut part = Block::new(native_columns());
        (0..whole.len()).filter(|&i| wanted(i)).for_each(|i| part.push_event(whole, i));
        part
    };
    let mut odd = part(&|i| i % 2 == 1);
    assert_eq!(join_orbit(&mut odd, &part(&|i| i % 2 == 0)), 0);
    same(&odd, &joined([whole]));
    let mut most = part(&|i| i > 3);
    assert_eq!(join_orbit(&mut most, &part(&|i| i < 9)), 5);
    same(&most, &joined([whole]));
}

fn event(orbit: u32, bx: u32, error: bool, words: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let bx = Bx::new(bx).unwrap();
    push_event(EventHeader { error, run: 3, orbit, bx, n_words: 0 }, words, &mut bytes);
    bytes
}

#[test]
fn events_that_are_not_what_they_should_be_are_counted() {
    let jets = vec![other(JET, 40); 13];
    let payload = [
        event(7, 1, false, &[other(JET, 40)]),
        event(8, 2, false, &[]),
        event(7, 3, true, &[]),
        event(7, 4, false, &jets),
        event(7, 5, false, &[other(31, 0)]),
        event(7, 9, false, &[]),
        event(7, 6, false, &[other(EGAMMA, 20)]),
        event(7, 9, false, &[other(TAU, 20)]),
    ]
    .concat();
    let (reader, all) = (&mut OrbitReader::default(), native_columns());
    let (block, counts) = read(reader, &payload, None, all);
    assert_eq!(counts, OrbitCounts { truncated: 1, corrupt: 4, problem: None });
    assert_eq!(block.get::<i16>(Column::Bx), [1, 6, 9]);
    assert_eq!(block.n_entries(Collection::Tau), 0, "the first one of a crossing stays");
    block.check().unwrap();
    let (_, counts) = read(reader, &payload[..payload.len() - 8], None, all);
    assert!(counts.problem.is_some(), "the last event is cut");
}

#[test]
fn an_orbit_with_too_many_events_ends() {
    let mut payload = Vec::new();
    (0..10_000).for_each(|_| payload.extend(event(7, 5, false, &[])));
    let (block, counts) = read(&mut OrbitReader::default(), &payload, None, native_columns());
    assert!(counts.problem.is_some());
    assert_eq!(block.len(), 1);
}

/// Entries of a column, of whatever its type is.
fn fill(block: &mut Block, column: Column, n: usize, mut next: impl FnMut() -> u64) {
    match column.spec().dtype {
        Dtype::U8 => block.get_mut::<u8>(column).extend((0..n).map(|_| next() as u8)),
        Dtype::I16 => block.get_mut::<i16>(column).extend((0..n).map(|_| next() as i16)),
        dtype => panic!("no word has a {}", dtype.name()),
    }
}

/// A block of these events (orbit, bx, objects of each kind) with any entries in these columns.
fn any_block(events: &[(u32, i16, [u8; 4])], columns: ColumnSet, rng_seed: u64) -> Block {
    let mut state = rng_seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every third one is zero: sums that are zero are left out.
        if state >> 33 & 3 == 0 { 0 } else { state >> 35 }
    };
    let mut block = Block::new(columns);
    block.run = 37;
    block.get_mut::<u32>(Column::Orbit).extend(events.iter().map(|event| event.0));
    block.get_mut::<i16>(Column::Bx).extend(events.iter().map(|event| event.1));
    for (k, collection) in Collection::OBJECTS.into_iter().enumerate() {
        let n = |event: &(u32, i16, [u8; 4])| event.2[k].min(collection.capacity() as u8);
        let column = collection.count_column().unwrap();
        block.get_mut::<u8>(column).extend(events.iter().map(n));
    }
    block.index_objects().unwrap();
    for column in columns.minus(ColumnSet::skeleton()).iter() {
        let n = block.n_entries(column.spec().collection);
        fill(&mut block, column, n, &mut next);
    }
    block
}

fn any_columns() -> impl Strategy<Value = ColumnSet> {
    let some = any::<u128>().prop_map(|bits| {
        native_columns().iter().filter(|&column| bits >> column as usize & 1 == 1).collect()
    });
    prop_oneof![Just(native_columns()), some]
}

/// Words that are events now and then: headers of a few orbits, words of all kinds, nonsense.
fn any_payload() -> impl Strategy<Value = Vec<u64>> {
    let header = (0..3_u64, 0..3600_u64, 0..60_u64, 0..40_u8).prop_map(|(orbit, bx, n, odd)| {
        let word = 0b10 << 62 | 9 << 56 | (77 + orbit / 2) << 24 | bx << 12 | n;
        match odd {
            0 => word | 1 << 61,
            1 => (word | 1 << 61) & !0xff,
            2 => word | 1 << 62,
            3 => word & !(1 << 63),
            4 => 0,
            _ => word,
        }
    });
    let word = (any::<u64>(), 0..30_u8).prop_map(|(word, kind)| match kind {
        0 => word,
        1..5 => word & !NOT_A_MUON,
        _ => {
            let kinds = [EGAMMA, JET, TAU, 8, 9, 10, 11, 12, 13];
            other(kinds[usize::from(kind) % kinds.len()], word as u32)
        }
    });
    let event = (header, proptest::collection::vec(word, 60)).prop_map(|(header, words)| {
        let n = (header & 0xff).min(60) as usize;
        std::iter::once(header).chain(words.into_iter().take(n)).collect::<Vec<u64>>()
    });
    proptest::collection::vec(event, 0..80).prop_map(|events| events.concat())
}

proptest! {
    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(any::<u64>(), 0..200)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        read(&mut OrbitReader::default(), &bytes, None, native_columns());
    }

    #[test]
    fn events_of_any_words_are_read_as_specified_by_a_reader_that_is_used_again(
        payloads in proptest::collection::vec(any_payload(), 1..4), wanted in any_columns(),
        with_header: bool, cut in 0..8_usize,
    ) {
        let mut reader = OrbitReader::default();
        for words in payloads {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let header = OrbitHeader { error: false, run: 4, orbit: 77, n_words: 0 };
            let bytes = &bytes[..bytes.len().saturating_sub(cut)];
            read(&mut reader, bytes, with_header.then_some(header), wanted);
        }
    }

    #[test]
    fn any_block_is_encoded_and_read_as_specified(
        events in proptest::collection::vec((0..4_u32, -1..3566_i16, any::<[u8; 4]>()), 1..60),
        columns in any_columns(), rng_seed: u64, shift: u32, n_shares in 1..4_u32,
    ) {
        let mut events = events;
        events.iter_mut().for_each(|event| event.2.iter_mut().for_each(|n| *n %= 20));
        events.sort_by_key(|event| (event.0, event.1));
        let one = any_block(&events, columns, rng_seed);
        let other = any_block(&events[..events.len() / 2], native_columns(), !rng_seed);
        for k in 0..n_shares {
            let bytes = encoded_blocks(&[one.clone(), other.clone()], shift, (k, n_shares));
            decoded(&bytes);
        }
    }

    #[test]
    fn flipped_and_cut_orbits_are_survived(
        flips in proptest::collection::vec((any::<usize>(), 0..8_u8), 1..6), cut in any::<usize>(),
    ) {
        let mut bytes = encoded(0, (0, 1));
        let n = bytes.len();
        flips.iter().for_each(|&(at, bit)| bytes[at % n] ^= 1 << bit);
        decoded(&bytes[..cut % n]);
    }
}
