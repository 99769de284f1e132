//! From the bytes of a `.s40` stream to columns: both settings, and what they are compared with.
//!
//! The bytes are in memory and every checksum of a frame is verified, as in a run. `checksums` and
//! `offsets` are the parts of `columns` that go into the checksums of frames and into the offsets and
//! checks of a block; what is left is what decompression takes. `dense` are the same events as rows
//! of 57 16-bit integers under zstd 3, decompressed and nothing more.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scout40_benches::{
    ColumnChecksum, batches, encode, is_smoke, layout, mix, n_events, walk, zero_bias,
};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{BlockDecoder, Compression, Step, StreamDecoder};
use xxhash_rust::xxh3::xxh3_64;

/// Orbits that are decoded: 88 000 events, a pass of few ms.
const ORBITS: usize = 32;

/// A stream in memory: one decoder for each block, which holds its section.
struct Stream {
    bytes: Vec<u8>,
    columns: ColumnSet,
    blocks: Vec<StreamDecoder>,
}

impl Stream {
    fn new(bytes: Vec<u8>, columns: ColumnSet) -> Stream {
        let mut blocks = Vec::new();
        walk(&bytes, |decoder| {
            let block = decoder.block();
            let (begin, end) = (block.offset as usize, decoder.next_offset() as usize);
            let mut own = StreamDecoder::at_section(block.offset);
            own.space(end - begin)[..end - begin].copy_from_slice(&bytes[begin..end]);
            own.commit(end - begin);
            assert_eq!(own.step(), Ok(Step::Block));
            blocks.push(own);
        });
        Stream { bytes, columns, blocks }
    }

    /// Decodes every block.
    fn decode(&self, decoder: &mut BlockDecoder, block: &mut Block, mut each: impl FnMut(&Block)) {
        for encoded in &self.blocks {
            let encoded = encoded.block();
            let done = decoder.decode(&encoded, self.columns, self.columns, block);
            done.expect("a valid block");
            each(block);
        }
    }

    /// Computes the checksum of every frame.
    fn checksums(&self) -> u64 {
        let of_block = |encoded: &StreamDecoder| {
            encoded.block().groups().fold(0, |sum, (_, frame, _)| sum ^ xxh3_64(black_box(frame)))
        };
        self.blocks.iter().fold(0, |sum, block| sum ^ of_block(block))
    }
}

fn settings(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for orbits in [4, 8, 16] {
        let blocks = zero_bias(orbits, ORBITS);
        let (n, expected) = (n_events(&blocks), ColumnChecksum::of(&blocks));
        for compression in [Compression::Fast, Compression::Small] {
            let bytes = encode(&blocks, compression, &folder.path().join("bench.s40"));
            let stream = Stream::new(bytes, blocks[0].columns());
            bench_stream(c, &stream, &expected, n, &format!("{}/{orbits}", compression.name()));
        }
    }
}

fn bench_stream(
    c: &mut Criterion,
    stream: &Stream,
    expected: &ColumnChecksum,
    n_events: u64,
    name: &str,
) {
    let mut decoder = BlockDecoder::new().expect("a decoder");
    let mut block = Block::default();
    let mut found = ColumnChecksum::default();
    stream.decode(&mut decoder, &mut block, |block| found.add(block));
    assert_eq!(&found, expected, "{name}: decoded columns are those that were encoded");

    let per_event = stream.bytes.len() as f64 / n_events as f64;
    println!("{name}: {per_event:.2} bytes per event");

    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(n_events));
    group.bench_function(format!("{name}/columns"), |b| {
        b.iter(|| stream.decode(&mut decoder, &mut block, |block| _ = black_box(block)));
    });
    group.bench_function(format!("{name}/sections-and-columns"), |b| {
        b.iter(|| {
            walk(&stream.bytes, |sections| {
                let encoded = sections.block();
                let done = decoder.decode(&encoded, stream.columns, stream.columns, &mut block);
                done.expect("a valid block");
                black_box(&block);
            });
        });
    });
    group.bench_function(format!("{name}/checksums"), |b| b.iter(|| stream.checksums()));
    group.bench_function(format!("{name}/offsets"), |b| {
        let mut decoded = Vec::new();
        stream.decode(&mut decoder, &mut block, |block| decoded.push(block.clone()));
        b.iter(|| {
            for block in &mut decoded {
                block.index_objects().and_then(|()| block.check_shape()).expect("a whole block");
            }
        });
    });
    group.finish();
}

/// The same events as rows, 57 × i16 each, one zstd frame for each 16 orbits.
fn dense(c: &mut Criterion) {
    let blocks = zero_bias(16, ORBITS);
    let (n, spec) = (n_events(&blocks), layout("l1-57"));
    let rows: Vec<Vec<u8>> = blocks.iter().map(|block| dense_rows(block, &spec)).collect();
    let compress = |rows: &Vec<u8>| zstd::bulk::compress(rows, 3).expect("memory");
    let frames: Vec<Vec<u8>> = rows.iter().map(compress).collect();
    let bytes: usize = frames.iter().map(Vec::len).sum();
    println!("dense: {:.2} bytes per event", bytes as f64 / n as f64);

    let mut zstd = zstd::bulk::Decompressor::new().expect("a decompressor");
    let mut raw = vec![0; rows.iter().map(Vec::len).max().expect("a block")];
    let mut decompress = |each: &mut dyn FnMut(&[u8])| {
        for frame in &frames {
            let n = zstd.decompress_to_buffer(frame, &mut raw[..]).expect("a valid frame");
            each(&raw[..n]);
        }
    };
    let sum = |bytes: &[u8], sum: u64| bytes.iter().fold(sum, |sum, &x| mix(sum, x.into()));
    let expected = rows.iter().fold(0, |total, rows| sum(rows, total));
    let mut found = 0;
    decompress(&mut |bytes| found = sum(bytes, found));
    assert_eq!(found, expected, "dense: decompressed rows are those that were compressed");

    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(n));
    group.bench_function("dense/16/zstd", |b| {
        b.iter(|| decompress(&mut |bytes| _ = black_box(bytes)));
    });
    group.finish();
}

fn dense_rows(block: &Block, spec: &scout40_models::FeatureSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() * spec.len() * 2);
    for rows in batches(std::slice::from_ref(block), spec, 512, block.len()) {
        for event in 0..rows.n_events() {
            let values = (0..spec.len()).map(|feature| rows.column(feature)[event]);
            out.extend(values.flat_map(i16::to_le_bytes));
        }
    }
    out
}

fn all(c: &mut Criterion) {
    if is_smoke() {
        println!("smoke size");
    }
    settings(c);
    dense(c);
}

criterion_group!(benches, all);
criterion_main!(benches);
