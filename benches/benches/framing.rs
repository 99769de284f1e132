//! Blocks to DTHBasic256 blocks of Native64 events, and back: `serve` and `run --framing dth256`.
//!
//! Everything is in memory. `encode` makes the orbits of decoded blocks; `orbits` puts the bytes together
//! to orbits, as they come from a socket in pieces; `read` makes columns of orbits: all that words hold, the
//! 57 inputs, or missing energy alone, which is what numbering and dealing words takes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scout40_benches::{ColumnChecksum, layout, n_events, zero_bias};
use scout40_replay::event::{Block, ColumnSet, Group};
use scout40_replay::framing::native::{OrbitEncoder, OrbitReader, native_columns};
use scout40_replay::raw::dth::OrbitDecoder;
use scout40_replay::raw::native64::OrbitHeader;

/// Orbits that are encoded: 88 000 events, a pass of few ms.
const ORBITS: usize = 32;
/// Bytes that are read from a socket at once.
const PIECE_BYTES: usize = 1 << 18;

fn encoded(blocks: &[Block], encoder: &mut OrbitEncoder, bytes: &mut Vec<u8>) -> u32 {
    bytes.clear();
    blocks.iter().map(|block| encoder.push_orbits(block, 0, (0, 1), bytes)).sum()
}

/// Hands on every orbit.
fn each_orbit(bytes: &[u8], mut each: impl FnMut(Option<OrbitHeader>, &[u8])) {
    let mut decoder = OrbitDecoder::default();
    for piece in bytes.chunks(PIECE_BYTES) {
        decoder.push(piece);
        while let Some(orbit) = decoder.next_orbit() {
            each(orbit.header, orbit.payload);
        }
    }
}

fn framing(c: &mut Criterion) {
    let blocks = zero_bias(4, ORBITS);
    let n = n_events(&blocks);
    let (mut encoder, mut bytes) = (OrbitEncoder::default(), Vec::new());
    assert_eq!(u64::from(encoded(&blocks, &mut encoder, &mut bytes)), n);
    println!("{:.2} bytes per event", bytes.len() as f64 / n as f64);

    let mut orbits = Vec::new();
    each_orbit(&bytes, |header, payload| orbits.push((header, payload.to_vec())));
    let (mut reader, mut block) = (OrbitReader::default(), Block::default());
    let inputs = layout("l1-57").columns().union(ColumnSet::skeleton());
    let mut found = ColumnChecksum::default();
    for (header, payload) in &orbits {
        reader.read(payload, *header, inputs, &mut block);
        found.add(&block);
    }
    assert_eq!(found, ColumnChecksum::of(&blocks), "read columns are those that were encoded");

    let mut group = c.benchmark_group("framing");
    group.throughput(Throughput::Elements(n));
    group.bench_function("encode", |b| {
        b.iter(|| black_box(encoded(&blocks, &mut encoder, &mut bytes)));
    });
    group.bench_function("orbits", |b| {
        b.iter(|| each_orbit(&bytes, |header, payload| _ = black_box((header, payload))));
    });
    for (name, wanted) in
        [("all", native_columns()), ("l1-57", inputs), ("met", Group::Met.columns())]
    {
        group.bench_function(format!("read/{name}"), |b| {
            b.iter(|| {
                for (header, payload) in &orbits {
                    reader.read(payload, *header, wanted, &mut block);
                    black_box(&block);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
