//! Pseudo-random streams for tests: every column, all sizes, always the same.

use scout40_replay::event::{Block, Collection, Column, ColumnSet, Dtype, Element, Group};
use scout40_replay::format::{Compression, SampleKind, StreamHeader, StreamWriter, WriteSummary};
use std::path::Path;

/// A small generator with a fixed sequence.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn push<T: Element>(block: &mut Block, column: Column, value: T) {
    block.get_mut::<T>(column).push(value);
}

fn push_any(block: &mut Block, column: Column, random: &mut Random) {
    let spec = column.spec();
    let bits = random.next();
    let value = match spec.range {
        Some((min, max)) => min + random.below((max - min + 1) as u64) as i64,
        None => bits as i64,
    };
    match spec.dtype {
        Dtype::U8 => push(block, column, value as u8),
        Dtype::I16 => push(block, column, value as i16),
        Dtype::U32 => push(block, column, value as u32),
        Dtype::I32 => push(block, column, value as i32),
        Dtype::U64 => push(block, column, value as u64),
        Dtype::I64 => push(block, column, value),
        Dtype::F32 => push(block, column, (value % 1000) as f32),
        Dtype::F64 => push(block, column, (value % 1000) as f64 / 8.0),
    }
}

fn sort_last<T: Element + Ord>(block: &mut Block, column: Column, n: usize) {
    let entries = block.get_mut::<T>(column);
    let first = entries.len() - n;
    entries[first..].sort_unstable_by(|a, b| b.cmp(a));
}

/// `n` crossings from `first_orbit` on, three in four slots filled, objects sorted by pT.
pub fn random_block(columns: ColumnSet, n: usize, first_orbit: u32, random: &mut Random) -> Block {
    let mut block = Block::new(columns);
    block.run = 1;
    let columns = block.columns();
    let (mut orbit, mut bx) = (first_orbit, 0);
    for _ in 0..n {
        bx += 1 + (random.below(4) == 0) as i16;
        if bx > 3564 {
            (orbit, bx) = (orbit + 1, 1);
        }
        push(&mut block, Column::Orbit, orbit);
        push(&mut block, Column::Bx, bx);
        for collection in Collection::ALL_OBJECTS {
            let count_column = collection.count_column().unwrap();
            if !columns.contains(count_column) {
                continue;
            }
            let most = collection.capacity().min(30) as u64 + 1;
            let count = random.below(most).min(random.below(most));
            match count_column.spec().dtype {
                Dtype::U8 => push(&mut block, count_column, count as u8),
                _ => push(&mut block, count_column, count as i16),
            }
            let of_objects = |c: &Column| c.spec().collection == collection;
            for column in columns.iter().filter(of_objects) {
                for _ in 0..count {
                    push_any(&mut block, column, random);
                }
                if collection.kinematics().is_some_and(|[pt, ..]| pt == column) {
                    match column.spec().dtype {
                        Dtype::I16 => sort_last::<i16>(&mut block, column, count as usize),
                        _ => sort_last::<i32>(&mut block, column, count as usize),
                    }
                }
            }
        }
        let counts = Group::FurtherCounts.columns().union(ColumnSet::skeleton());
        for column in columns.minus(counts).iter() {
            if column.spec().collection == Collection::Crossing {
                push_any(&mut block, column, random);
            }
        }
    }
    block.index_objects().unwrap();
    block.check().unwrap();
    block
}

/// Blocks that follow each other.
pub fn random_blocks(columns: ColumnSet, sizes: &[usize], seed: u64) -> Vec<Block> {
    let mut random = Random(seed);
    let mut orbit = 5;
    sizes
        .iter()
        .map(|&n| {
            let block = random_block(columns, n, orbit, &mut random);
            orbit = block.get::<u32>(Column::Orbit)[n - 1] + 1;
            block
        })
        .collect()
}

pub fn write_stream(path: &Path, blocks: &[Block], compression: Compression) -> WriteSummary {
    let columns = blocks.first().map_or(ColumnSet::EMPTY, Block::columns);
    let header = StreamHeader::new(SampleKind::ZeroBias, "random", columns);
    let mut writer = StreamWriter::create(path, &header, compression).unwrap();
    for block in blocks {
        writer.write(block).unwrap();
    }
    writer.finish().unwrap()
}

pub fn assert_same(a: &Block, b: &Block, columns: ColumnSet) {
    assert_eq!(a.run, b.run);
    for column in columns.iter() {
        assert_eq!(a.entries(column), b.entries(column), "{}", column.spec().name);
    }
}
