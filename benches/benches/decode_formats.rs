//! The same events of 57 inputs from four formats to filled rows, side by side.
//!
//! `.s40` (`fast` and `small`, blocks of their default lengths), parquet in the schema of the public set
//! as `scout40 convert --to parquet` writes it, read with the column readers of the parquet crate, and
//! dense rows of 57 16-bit integers under zstd 3. Bytes are in memory; every pass begins with them and
//! ends with batches of 512 in which each feature is a column, as scorers take them. All four have to
//! give the same rows.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::Int32Type;
use parquet::file::reader::{FileReader, SerializedFileReader};
use scout40_benches::{batches, encode, is_smoke, layout, mix, n_events, walk, zero_bias};
use scout40_models::features::{Feature, Transform};
use scout40_models::{FeatureSpec, FillPlan, MAX_BATCH, RowBuffer};
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::export::{self, ExportOptions, Target};
use scout40_replay::format::{BlockDecoder, Compression};

/// Orbits that are decoded: 88 000 events.
const ORBITS: usize = 32;
/// Orbits of one frame of dense rows.
const DENSE_ORBITS: usize = 16;

/// A checksum of rows that does not depend on where batches begin and end.
fn checksum(sum: u64, rows: &RowBuffer) -> u64 {
    (0..rows.n_events()).fold(sum, |sum, event| {
        (0..rows.n_features())
            .fold(sum, |sum, feature| mix(sum, rows.column(feature)[event] as u16 as u64))
    })
}

/// Files in memory, of one format.
trait Decode {
    /// Fills rows with all events, batch after batch.
    fn decode(&mut self, rows: &mut RowBuffer, each: &mut dyn FnMut(&RowBuffer));
}

/// A stream.
struct Stream {
    bytes: Vec<u8>,
    columns: ColumnSet,
    plan: FillPlan,
    decoder: BlockDecoder,
    block: Block,
}

impl Decode for Stream {
    fn decode(&mut self, rows: &mut RowBuffer, each: &mut dyn FnMut(&RowBuffer)) {
        let Stream { bytes, columns, plan, decoder, block } = self;
        walk(bytes, |sections| {
            let done = decoder.decode(&sections.block(), *columns, *columns, block);
            done.expect("a valid block");
            for begin in (0..block.len()).step_by(MAX_BATCH) {
                let n = (block.len() - begin).min(MAX_BATCH);
                plan.fill(block, begin..begin + n, rows, 0);
                rows.set_len(n);
                each(rows);
            }
        });
    }
}

/// One column of a parquet file and the features that it fills.
struct ParquetColumn {
    leaf: usize,
    /// Feature for each rank of objects.
    places: Vec<Option<usize>>,
}

/// A parquet file.
struct Parquet {
    bytes: Bytes,
    columns: Vec<ParquetColumn>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
    values: Vec<i32>,
}

/// Names of the columns of `l1-57` in the public schema.
const BRANCHES: [(Column, &str); 11] = [
    (Column::MetPt, "MET_Et"),
    (Column::MetPhi, "MET_phi"),
    (Column::EGammaPt, "egammas_egIEt"),
    (Column::EGammaEta, "egammas_egIEta"),
    (Column::EGammaPhi, "egammas_egIPhi"),
    (Column::MuonPt, "muons_muonIEt"),
    (Column::MuonEta, "muons_muonIEtaAtVtx"),
    (Column::MuonPhi, "muons_muonIPhiAtVtx"),
    (Column::JetPt, "jets_jetIEt"),
    (Column::JetEta, "jets_jetIEta"),
    (Column::JetPhi, "jets_jetIPhi"),
];

impl Parquet {
    fn new(bytes: Vec<u8>, spec: &FeatureSpec) -> Parquet {
        let bytes = Bytes::from(bytes);
        let reader = SerializedFileReader::new(bytes.clone()).expect("a parquet file");
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let mut places = BTreeMap::<Column, Vec<Option<usize>>>::new();
        for (place, &feature) in spec.features().iter().enumerate() {
            let Feature::Value { column, index, transform } = feature else { continue };
            assert_eq!(transform, Transform::Identity, "l1-57 takes codes as they are");
            let of_column = places.entry(column).or_default();
            of_column.resize(of_column.len().max(usize::from(index) + 1), None);
            of_column[usize::from(index)] = Some(place);
        }
        let leaf = |name: &str| {
            let parts = |leaf| schema.column(leaf).path().parts()[0].clone();
            (0..schema.num_columns()).find(|&leaf| parts(leaf) == name).expect("a column")
        };
        let branch = |column| BRANCHES.iter().find(|(of, _)| *of == column).expect("a branch").1;
        let columns = places
            .into_iter()
            .map(|(column, places)| ParquetColumn { leaf: leaf(branch(column)), places })
            .collect();
        let (definition, repetition, values) = (Vec::new(), Vec::new(), Vec::new());
        Parquet { bytes, columns, definition, repetition, values }
    }

    /// Reads the next rows of one column and puts its values into their lanes.
    fn fill(
        &mut self,
        reader: &mut ColumnReaderImpl<Int32Type>,
        column: usize,
        n: usize,
        rows: &mut RowBuffer,
    ) {
        let Parquet { definition, repetition, values, .. } = self;
        definition.clear();
        repetition.clear();
        values.clear();
        let read = reader.read_records(n, Some(definition), Some(repetition), values);
        assert_eq!(read.expect("valid pages").0, n);
        let places = &self.columns[column].places;
        let (mut event, mut rank, mut next) = (usize::MAX, 0, 0);
        for (&repetition, &definition) in repetition.iter().zip(definition.iter()) {
            if repetition == 0 {
                (event, rank) = (event.wrapping_add(1), 0);
            } else {
                rank += 1;
            }
            // A value, not an empty list.
            if definition == 3 {
                if let Some(Some(place)) = places.get(rank) {
                    rows.column_mut(*place)[event] = values[next] as i16;
                }
                next += 1;
            }
        }
    }
}

impl Decode for Parquet {
    fn decode(&mut self, rows: &mut RowBuffer, each: &mut dyn FnMut(&RowBuffer)) {
        let file = SerializedFileReader::new(self.bytes.clone()).expect("a parquet file");
        for group in 0..file.num_row_groups() {
            let group = file.get_row_group(group).expect("a row group");
            let leaves = self.columns.iter().map(|column| column.leaf);
            let mut readers: Vec<ColumnReaderImpl<Int32Type>> = leaves
                .map(|leaf| match group.get_column_reader(leaf).expect("a column") {
                    ColumnReader::Int32ColumnReader(reader) => reader,
                    _ => panic!("the schema has integers of 32 bits"),
                })
                .collect();
            let mut left = group.metadata().num_rows() as usize;
            while left > 0 {
                let n = left.min(MAX_BATCH);
                (0..rows.n_features()).for_each(|feature| rows.column_mut(feature)[..n].fill(0));
                for (column, reader) in readers.iter_mut().enumerate() {
                    self.fill(reader, column, n, rows);
                }
                rows.set_len(n);
                each(rows);
                left -= n;
            }
        }
    }
}

/// Rows of 57 16-bit integers, one zstd frame for each 16 orbits.
struct Dense {
    frames: Vec<Vec<u8>>,
    zstd: zstd::bulk::Decompressor<'static>,
    raw: Vec<u8>,
}

impl Dense {
    fn new(blocks: &[Block], spec: &FeatureSpec) -> Dense {
        let rows: Vec<Vec<u8>> = blocks.iter().map(|block| dense_rows(block, spec)).collect();
        let compress = |rows: &Vec<u8>| zstd::bulk::compress(rows, 3).expect("memory");
        Dense {
            frames: rows.iter().map(compress).collect(),
            zstd: zstd::bulk::Decompressor::new().expect("a decompressor"),
            raw: vec![0; rows.iter().map(Vec::len).max().expect("a block")],
        }
    }

    fn bytes(&self) -> usize {
        self.frames.iter().map(Vec::len).sum()
    }
}

fn dense_rows(block: &Block, spec: &FeatureSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() * spec.len() * 2);
    for rows in batches(std::slice::from_ref(block), spec, MAX_BATCH, block.len()) {
        for event in 0..rows.n_events() {
            let values = (0..spec.len()).map(|feature| rows.column(feature)[event]);
            out.extend(values.flat_map(i16::to_le_bytes));
        }
    }
    out
}

impl Decode for Dense {
    fn decode(&mut self, rows: &mut RowBuffer, each: &mut dyn FnMut(&RowBuffer)) {
        let row_bytes = 2 * rows.n_features();
        for frame in &self.frames {
            let n = self.zstd.decompress_to_buffer(frame, &mut self.raw[..]).expect("a frame");
            for batch in self.raw[..n].chunks(MAX_BATCH * row_bytes) {
                for feature in 0..rows.n_features() {
                    let lanes = rows.column_mut(feature);
                    for (lane, row) in lanes.iter_mut().zip(batch.chunks_exact(row_bytes)) {
                        *lane = i16::from_le_bytes([row[2 * feature], row[2 * feature + 1]]);
                    }
                }
                rows.set_len(batch.len() / row_bytes);
                each(rows);
            }
        }
    }
}

fn parquet_bytes(blocks: &[Block], path: &Path) -> Vec<u8> {
    let (columns, options) = (blocks[0].columns(), ExportOptions::default());
    let mut exporter = export::create(Target::Parquet, path, columns, &options).expect("a file");
    blocks.iter().for_each(|block| exporter.write(block).expect("a whole block"));
    exporter.finish().expect("a finished file");
    std::fs::read(path).expect("the file just written")
}

fn all(c: &mut Criterion) {
    if is_smoke() {
        println!("smoke size");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let spec = layout("l1-57");
    let mut rows = RowBuffer::new(spec.len());
    let blocks = zero_bias(DENSE_ORBITS, ORBITS);
    let n = n_events(&blocks);
    let expected = batches(&blocks, &spec, MAX_BATCH, n as usize).iter().fold(0, checksum);
    let mut group = c.benchmark_group("decode_formats");
    group.throughput(Throughput::Elements(n));
    let mut bench = |name: &str, bytes: usize, decoder: &mut dyn Decode| {
        let mut found = 0;
        decoder.decode(&mut rows, &mut |rows| found = checksum(found, rows));
        assert_eq!(found, expected, "{name}: the rows are those of the events");
        println!("{name}: {:.2} bytes per event", bytes as f64 / n as f64);
        group.bench_function(name, |b| {
            b.iter(|| decoder.decode(&mut rows, &mut |rows| _ = black_box(rows)));
        });
    };
    for (compression, orbits) in [(Compression::Fast, 4), (Compression::Small, 8)] {
        let blocks = zero_bias(orbits, ORBITS);
        let mut stream = Stream {
            bytes: encode(&blocks, compression, &folder.path().join("bench.s40")),
            columns: blocks[0].columns(),
            plan: FillPlan::new(&spec),
            decoder: BlockDecoder::new().expect("a decoder"),
            block: Block::default(),
        };
        let name = format!("s40/{}", compression.name());
        bench(&name, stream.bytes.len(), &mut stream);
    }
    let bytes = parquet_bytes(&blocks, &folder.path().join("bench.parquet"));
    bench("parquet/zstd", bytes.len(), &mut Parquet::new(bytes, &spec));
    let mut dense = Dense::new(&blocks, &spec);
    bench("dense/zstd", dense.bytes(), &mut dense);
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
