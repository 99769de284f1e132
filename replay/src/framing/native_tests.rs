//! Orbits come out as they went in, and what is no orbit is survived.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::raw::dth::OrbitDecoder;
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
    let (mut encoder, mut bytes) = (OrbitEncoder::default(), Vec::new());
    for block in blocks() {
        encoder.push_orbits(&block, shift, share, &mut bytes);
    }
    bytes
}

fn decoded(bytes: &[u8]) -> (Vec<Block>, Vec<OrbitCounts>) {
    let mut decoder = OrbitDecoder::default();
    let (mut blocks, mut counts) = (Vec::new(), Vec::new());
    decoder.push(bytes);
    while let Some(orbit) = decoder.next_orbit() {
        let mut block = Block::default();
        counts.push(read_orbit(orbit.payload, orbit.header, &mut block));
        blocks.push(block);
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
    let mut block = Block::default();
    let counts = read_orbit(&payload, None, &mut block);
    assert_eq!(counts, OrbitCounts { truncated: 1, corrupt: 4, problem: None });
    assert_eq!(block.get::<i16>(Column::Bx), [1, 6, 9]);
    assert_eq!(block.n_entries(Collection::Tau), 0, "the first one of a crossing stays");
    block.check().unwrap();
    let counts = read_orbit(&payload[..payload.len() - 8], None, &mut block);
    assert!(counts.problem.is_some(), "the last event is cut");
}

#[test]
fn an_orbit_with_too_many_events_ends() {
    let mut payload = Vec::new();
    (0..10_000).for_each(|_| payload.extend(event(7, 5, false, &[])));
    let mut block = Block::default();
    let counts = read_orbit(&payload, None, &mut block);
    assert!(counts.problem.is_some());
    assert_eq!(block.len(), 1);
}

proptest! {
    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(any::<u64>(), 0..200)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut block = Block::default();
        read_orbit(&bytes, None, &mut block);
        prop_assert!(block.check_shape().is_ok() && block.check_crossing_order().is_ok());
    }

    #[test]
    fn flipped_and_cut_orbits_are_survived(
        flips in proptest::collection::vec((any::<usize>(), 0..8_u8), 1..6), cut in any::<usize>(),
    ) {
        let mut bytes = encoded(0, (0, 1));
        let n = bytes.len();
        flips.iter().for_each(|&(at, bit)| bytes[at % n] ^= 1 << bit);
        let (blocks, _) = decoded(&bytes[..cut % n]);
        for block in blocks {
            prop_assert!(block.check_shape().is_ok() && block.check_crossing_order().is_ok());
        }
    }
}
