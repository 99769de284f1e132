//! One block as bytes: a directory of column groups, each a frame of its own.
//!
//! ```text
//! meta   run | crossings | first orbit | last orbit | objects [4] | groups | 0     (40 bytes)
//!        then per group: number u8 | 0 [3] | length u32 | xxh3 u64                 (16)
//! body   the frames, one after another
//! frame  the columns of the group, one after another (`column/`)
//! ```
//!
//! Decoding reuses its buffers and, once they have grown, allocates nothing.

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::xxh3_64;

use super::column::{ColumnDecoder, ColumnEncoder, EncodedColumn};
use super::decoder::EncodedBlock;
use super::{BLOCK_CROSSINGS_MAX, BLOCK_FURTHER_MAX, FormatError};
use crate::event::{Block, BlockError, Collection, Column, ColumnSet, Group};

/// How hard a writer compresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// For replays at line rate: packed, and zstd level −5 for what is too wide for that.
    #[default]
    Fast,
    /// For keeping: dictionaries, and zstd level 1, too.
    Small,
}

impl Compression {
    pub(super) fn level(self) -> i32 {
        match self {
            Compression::Fast => -5,
            Compression::Small => 1,
        }
    }

    /// Whether to look for a smaller form of a column than packed, or in so many byte planes.
    pub(super) fn looks_further(self, n_planes: usize) -> bool {
        match self {
            Compression::Fast => n_planes > 2,
            Compression::Small => true,
        }
    }

    /// Whether planes of `planes` bytes are to become a zstd frame, with which a column takes
    /// `bytes`, where it takes `otherwise` without.
    pub(super) fn is_worth_it(self, bytes: usize, planes: usize, otherwise: usize) -> bool {
        match self {
            // Many short matches take longer to decompress than the bytes they save take to read.
            Compression::Fast => bytes * 100 < otherwise * 77,
            // A byte of Huffman codes takes up to 1 ns: not for less than half a bit.
            Compression::Small => bytes + planes / 13 < otherwise,
        }
    }

    /// What it is worth to do without an exception, in bytes beyond those that it takes.
    pub(super) fn bytes_for_an_exception(self) -> usize {
        match self {
            Compression::Fast => 4,
            Compression::Small => 0,
        }
    }

    /// As shown and as typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compression::Fast => "fast",
            Compression::Small => "small",
        }
    }
}

/// The fixed part of a block's meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockMeta {
    /// Run of all its orbits.
    pub run: u32,
    /// Crossings in it.
    pub n_crossings: u32,
    /// Orbit of the first crossing.
    pub first_orbit: u32,
    /// Orbit of the last crossing.
    pub last_orbit: u32,
    /// Muons, e/gammas, jets, taus in it.
    pub n_objects: [u32; 4],
    /// Entries of the directory.
    pub n_groups: u32,
    /// Always 0.
    pub reserved: u32,
}

/// One entry of a block's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GroupEntry {
    /// Number of the [`Group`].
    pub group: u8,
    /// Always 0.
    pub reserved: [u8; 3],
    /// Bytes of the frame.
    pub bytes: u32,
    /// xxh3 of the frame.
    pub xxh3: u64,
}

pub(super) const META_BYTES: usize = size_of::<BlockMeta>();
pub(super) const ENTRY_BYTES: usize = size_of::<GroupEntry>();
const _: () = assert!(META_BYTES == 40 && ENTRY_BYTES == 16);

/// Turns blocks into bytes. Reuses its buffers.
pub struct BlockEncoder {
    columns: ColumnEncoder,
}

impl BlockEncoder {
    /// An encoder for one setting.
    ///
    /// # Errors
    /// If zstd cannot allocate its context.
    pub fn new(compression: Compression) -> std::io::Result<BlockEncoder> {
        Ok(BlockEncoder { columns: ColumnEncoder::new(compression)? })
    }

    /// Encodes the columns `columns` of `block`, appending to `meta` and `body`.
    ///
    /// # Errors
    /// If zstd fails, which only happens when memory runs out.
    ///
    /// # Panics
    /// If the block is empty, too long or lacks a column: the writer checks before.
    pub fn encode(
        &mut self,
        block: &Block,
        columns: ColumnSet,
        meta: &mut Vec<u8>,
        body: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        assert!(!block.is_empty() && block.len() <= BLOCK_CROSSINGS_MAX);
        assert!(block.columns().contains_all(columns));
        let orbits = block.get::<u32>(Column::Orbit);
        let groups: Vec<Group> = Group::ALL
            .into_iter()
            .filter(|group| !group.columns().intersection(columns).is_empty())
            .collect();
        let fixed = BlockMeta {
            run: block.run,
            n_crossings: block.len() as u32,
            first_orbit: orbits[0],
            last_orbit: orbits[orbits.len() - 1],
            n_objects: Collection::OBJECTS.map(|c| block.n_entries(c) as u32),
            n_groups: groups.len() as u32,
            reserved: 0,
        };
        meta.extend_from_slice(bytemuck::bytes_of(&fixed));
        for group in groups {
            let begin = body.len();
            for column in group.columns().intersection(columns).iter() {
                self.columns.append(column, block.entries(column), body)?;
            }
            let frame = &body[begin..];
            let entry = GroupEntry {
                group: group as u8,
                reserved: [0; 3],
                bytes: frame.len() as u32,
                xxh3: xxh3_64(frame),
            };
            meta.extend_from_slice(bytemuck::bytes_of(&entry));
        }
        Ok(())
    }
}

/// Turns encoded blocks into columns. Reuses its buffers.
pub struct BlockDecoder {
    columns: ColumnDecoder,
}

impl BlockDecoder {
    /// A decoder.
    ///
    /// # Errors
    /// If zstd cannot allocate its context.
    pub fn new() -> std::io::Result<BlockDecoder> {
        Ok(BlockDecoder { columns: ColumnDecoder::new()? })
    }

    /// Decodes the columns `wanted` of a stream with columns `schema` into `block`.
    ///
    /// Checksums and multiplicities are verified; field ranges are not (see [`Block::check`]).
    ///
    /// **Real-time**: allocates nothing once its buffers and the block's have grown.
    ///
    /// # Errors
    /// A frame that is corrupt; `block` is then empty.
    pub fn decode(
        &mut self,
        encoded: &EncodedBlock<'_>,
        schema: ColumnSet,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<(), FormatError> {
        let wanted = wanted.intersection(schema).counted();
        block.reuse(encoded.meta.run, wanted);
        let done = self.decode_groups(encoded, schema, wanted, block);
        if done.is_err() {
            block.reset(encoded.meta.run, ColumnSet::EMPTY);
        }
        done
    }

    fn decode_groups(
        &mut self,
        encoded: &EncodedBlock<'_>,
        schema: ColumnSet,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<(), FormatError> {
        let wanted = wanted.union(ColumnSet::skeleton());
        let mut seen = ColumnSet::EMPTY;
        for (entry, frame, offset) in encoded.groups() {
            let Some(group) = Group::from_number(entry.group) else {
                let problem = format!("column group {} is not known", entry.group);
                return Err(FormatError::corrupt("block", encoded.offset, problem));
            };
            let columns = group.columns().intersection(schema);
            if columns.intersection(wanted).is_empty() {
                continue;
            }
            let n_entries = match group.collection() {
                collection if Collection::FURTHER.contains(&collection) => {
                    n_further(collection, seen, block)
                }
                collection => Ok(encoded.meta.entries_of(collection)),
            };
            seen = seen.union(columns);
            n_entries
                .and_then(|n| self.decode_frame(&entry, frame, columns, wanted, n, block))
                .map_err(|problem| corrupt_group(offset, group, &encoded.meta, &problem))?;
        }
        let missing = wanted.minus(seen);
        if !missing.is_empty() {
            let problem = format!("columns {} are not in it", missing.names());
            return Err(FormatError::corrupt("block", encoded.offset, problem));
        }
        let orbits = block.get::<u32>(Column::Orbit);
        let ends = (encoded.meta.first_orbit, encoded.meta.last_orbit);
        // All of them, without a way out at the first one: so it vectorises.
        let rises = |all: bool, (a, b): (&u32, &u32)| all & (a <= b);
        let is_in_order = orbits.iter().zip(orbits.iter().skip(1)).fold(true, rises)
            && (orbits.first(), orbits.last()) == (Some(&ends.0), Some(&ends.1));
        if !is_in_order {
            let problem = format!("its orbits are not in order from {} to {}", ends.0, ends.1);
            return Err(FormatError::corrupt("block", encoded.offset, problem));
        }
        let index = block.index_objects().and_then(|()| block.check_shape());
        index.map_err(|error: BlockError| {
            FormatError::corrupt("block", encoded.offset, error.to_string())
        })
    }

    /// Verifies a frame and decodes those of its columns that are wanted.
    fn decode_frame(
        &mut self,
        entry: &GroupEntry,
        frame: &[u8],
        columns: ColumnSet,
        wanted: ColumnSet,
        n: usize,
        block: &mut Block,
    ) -> Result<(), String> {
        let found = xxh3_64(frame);
        if found != entry.xxh3 {
            return Err(format!("expected xxh3 {:016x}, found {found:016x}", entry.xxh3));
        }
        let mut rest = frame;
        for column in columns.iter() {
            let spec = column.spec();
            let in_column = |problem: String| format!("column {}: {problem}", spec.name);
            let encoded = EncodedColumn::split_off(&mut rest, spec.dtype, n).map_err(in_column)?;
            if wanted.contains(column) {
                let decoded = self.columns.decode(&encoded, n, block.entries_mut(column));
                decoded.map_err(in_column)?;
            }
        }
        match rest.len() {
            0 => Ok(()),
            n => Err(format!("{n} bytes after its last column")),
        }
    }
}

/// Entries of a column of what not every block counts, from the multiplicities that have been
/// decoded before it: the meta part has no room for more numbers of objects.
fn n_further(collection: Collection, seen: ColumnSet, block: &Block) -> Result<usize, String> {
    let count = collection.count_column().expect("objects are counted");
    if !seen.contains(count) {
        return Err(format!("it comes before column {}", count.spec().name));
    }
    let counts = block.get::<i16>(count);
    let capacity = collection.capacity() as i16;
    if let Some(wrong) = counts.iter().find(|&&n| n < 0 || n > capacity) {
        return Err(format!("expected {} within 0..={capacity}, found {wrong}", count.spec().name));
    }
    let n: usize = counts.iter().map(|&n| usize::from(n.unsigned_abs())).sum();
    if n > BLOCK_FURTHER_MAX {
        return Err(format!("expected at most {BLOCK_FURTHER_MAX} objects, found {n}"));
    }
    Ok(n)
}

/// Names the group and the orbits of a damaged frame.
#[cold]
fn corrupt_group(offset: u64, group: Group, meta: &BlockMeta, problem: &str) -> FormatError {
    let (name, first, last) = (group.name(), meta.first_orbit, meta.last_orbit);
    let orbits = match first == last {
        true => format!("orbit {first}"),
        false => format!("orbits {first} to {last}"),
    };
    FormatError::corrupt("column group", offset, format!("{name} of {orbits}: {problem}"))
}

impl BlockMeta {
    /// Entries of a column that belongs to `collection`: crossings, or objects of Run 3.
    pub(crate) fn entries_of(&self, collection: Collection) -> usize {
        match collection {
            Collection::Crossing => self.n_crossings as usize,
            objects => self.n_objects[objects as usize] as usize,
        }
    }
}
