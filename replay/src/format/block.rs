//! One block as bytes: a directory of column groups, each its own compressed frame.
//!
//! ```text
//! meta   run | crossings | first orbit | last orbit | objects [4] | groups | 0     (40 bytes)
//!        then per group: number u8 | codec u8 | 0 u16 | raw length | length | 0 | xxh3 (24)
//! body   the frames, one after another
//! frame  per column of the group: tag u8, then the byte planes of its entries
//! ```
//!
//! A column of width w is stored as its p low byte planes (all first bytes, then all second
//! bytes, ...); the planes above are zero, or the sign, and not stored. Crossing numbers and
//! other rising columns are stored as differences, small counts two in a byte. Bytes of one kind stand together, which is
//! what makes zstd both small and fast here; the numbers are in `docs/numbers.md`.
//!
//! Decoding reuses its buffers and, once they have grown, allocates nothing.

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::xxh3_64;

use super::decoder::EncodedBlock;
use super::{BLOCK_CROSSINGS_MAX, FormatError};
use crate::event::{Block, BlockError, Collection, Column, ColumnSet, Entries, Group};

/// How hard a writer compresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// For replays at line rate: zstd level −5.
    #[default]
    Fast,
    /// For keeping: zstd level 1.
    Small,
}

impl Compression {
    fn level(self) -> i32 {
        match self {
            Compression::Fast => -5,
            Compression::Small => 1,
        }
    }

    /// Whether a frame of `raw` bytes is to be compressed to `bytes`. Many short matches take
    /// longer to decompress than the bytes that they save take to read.
    fn is_worth_it(self, bytes: usize, raw: usize) -> bool {
        match self {
            // Jets, of which a quarter goes away, are worth it; multiplicities are not.
            Compression::Fast => bytes * 100 < raw * 77,
            Compression::Small => bytes < raw,
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

const CODEC_STORED: u8 = 0;
const CODEC_ZSTD: u8 = 1;

/// A tag's low bits: number of planes that are stored.
const TAG_PLANES: u8 = 0x0f;
/// The planes above are the sign, not zero.
const TAG_SIGNED: u8 = 0x10;
/// Entries are differences to the entry before.
const TAG_DELTA: u8 = 0x20;
/// Bytes below 16, two in a byte, the first in the low half; no planes.
const TAG_NIBBLES: u8 = 0x40;

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
    /// 0 stored, 1 zstd.
    pub codec: u8,
    /// Always 0.
    pub reserved: u16,
    /// Bytes of the frame when decompressed.
    pub raw_bytes: u32,
    /// Bytes of the frame in the body.
    pub bytes: u32,
    /// Always 0.
    pub reserved2: u32,
    /// xxh3 of the frame in the body.
    pub xxh3: u64,
}

pub(super) const META_BYTES: usize = size_of::<BlockMeta>();
pub(super) const ENTRY_BYTES: usize = size_of::<GroupEntry>();
const _: () = assert!(META_BYTES == 40 && ENTRY_BYTES == 24);

fn is_delta(column: Column) -> bool {
    matches!(
        column,
        Column::Orbit
            | Column::Bx
            | Column::Event
            | Column::Time
            | Column::Order
            | Column::TruthEvent
    )
}

/// Turns blocks into bytes. Reuses its buffers.
pub struct BlockEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    compression: Compression,
    raw: Vec<u8>,
    deltas: Vec<u8>,
    frame: Vec<u8>,
}

impl BlockEncoder {
    /// An encoder for one setting.
    ///
    /// # Errors
    /// If zstd cannot allocate its context.
    pub fn new(compression: Compression) -> std::io::Result<BlockEncoder> {
        Ok(BlockEncoder {
            compressor: zstd::bulk::Compressor::new(compression.level())?,
            compression,
            raw: Vec::new(),
            deltas: Vec::new(),
            frame: Vec::new(),
        })
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
            let entry = self.encode_group(block, group, columns)?;
            meta.extend_from_slice(bytemuck::bytes_of(&entry));
            body.extend_from_slice(if entry.codec == CODEC_ZSTD { &self.frame } else { &self.raw });
        }
        Ok(())
    }

    fn encode_group(
        &mut self,
        block: &Block,
        group: Group,
        columns: ColumnSet,
    ) -> std::io::Result<GroupEntry> {
        self.raw.clear();
        for column in group.columns().intersection(columns).iter() {
            self.append_column(block.entries(column), is_delta(column), column.spec().dtype.size());
        }
        self.frame.resize(zstd::zstd_safe::compress_bound(self.raw.len()), 0);
        let bytes = self.compressor.compress_to_buffer(&self.raw, &mut self.frame[..])?;
        self.frame.truncate(bytes);
        let (codec, frame) = if self.compression.is_worth_it(bytes, self.raw.len()) {
            (CODEC_ZSTD, &self.frame)
        } else {
            (CODEC_STORED, &self.raw)
        };
        Ok(GroupEntry {
            group: group as u8,
            codec,
            reserved: 0,
            raw_bytes: self.raw.len() as u32,
            bytes: frame.len() as u32,
            reserved2: 0,
            xxh3: xxh3_64(frame),
        })
    }

    fn append_column(&mut self, entries: &Entries, delta: bool, width: usize) {
        if let Entries::U8(bytes) = entries
            && (1..16).contains(&bytes.iter().copied().max().unwrap_or(0))
        {
            self.raw.push(TAG_NIBBLES);
            let pair = |pair: &[u8]| pair[0] | pair.get(1).map_or(0, |second| second << 4);
            self.raw.extend(bytes.chunks(2).map(pair));
            return;
        }
        self.deltas.clear();
        self.deltas.extend_from_slice(entries.bytes());
        if delta {
            subtract_previous(&mut self.deltas, width);
        }
        let bytes = &self.deltas;
        let n = bytes.len() / width;
        let (planes, signed) = planes_needed(bytes, width);
        let sign = if signed { TAG_SIGNED } else { 0 };
        self.raw.push(planes as u8 | sign | if delta { TAG_DELTA } else { 0 });
        for plane in 0..planes {
            self.raw.extend((0..n).map(|i| bytes[i * width + plane]));
        }
    }
}

/// How many low planes say everything, and whether the rest is the sign.
fn planes_needed(bytes: &[u8], width: usize) -> (usize, bool) {
    let (mut unsigned_bits, mut signed_bits) = (0_u64, 0_u64);
    let unused_bits = 64 - 8 * width as u32;
    for entry in bytes.chunks_exact(width) {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(entry);
        let value = u64::from_le_bytes(wide);
        let extended = (value << unused_bits).cast_signed() >> unused_bits;
        unsigned_bits |= value;
        signed_bits |= (extended ^ (extended >> 63)).cast_unsigned();
    }
    let bytes_of = |bits: u32| bits.div_ceil(8) as usize;
    let unsigned = bytes_of(64 - unsigned_bits.leading_zeros());
    let signed = bytes_of(64 - signed_bits.leading_zeros() + 1);
    if unsigned <= signed { (unsigned, false) } else { (signed, true) }
}

/// Replaces little-endian entries by their wrapping difference to the entry before.
fn subtract_previous(bytes: &mut [u8], width: usize) {
    let n = bytes.len() / width;
    for i in (1..n).rev() {
        let mut borrow = false;
        for k in 0..width {
            let (difference, b1) = bytes[i * width + k].overflowing_sub(bytes[(i - 1) * width + k]);
            let (difference, b2) = difference.overflowing_sub(u8::from(borrow));
            bytes[i * width + k] = difference;
            borrow = b1 || b2;
        }
    }
}

/// Turns encoded blocks into columns. Reuses its buffers.
pub struct BlockDecoder {
    decompressor: zstd::bulk::Decompressor<'static>,
    raw: Vec<u8>,
}

impl BlockDecoder {
    /// A decoder.
    ///
    /// # Errors
    /// If zstd cannot allocate its context.
    pub fn new() -> std::io::Result<BlockDecoder> {
        Ok(BlockDecoder { decompressor: zstd::bulk::Decompressor::new()?, raw: Vec::new() })
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
        let wanted = wanted.intersection(schema);
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
            seen = seen.union(columns);
            let raw = self.unpack_frame(&entry, frame, columns, encoded, offset)?;
            decode_columns(raw, columns, wanted, &encoded.meta, offset, block)?;
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

    /// The verified, decompressed frame: where it lies if it is stored, else in `self.raw`.
    fn unpack_frame<'f>(
        &'f mut self,
        entry: &GroupEntry,
        frame: &'f [u8],
        columns: ColumnSet,
        encoded: &EncodedBlock<'_>,
        offset: u64,
    ) -> Result<&'f [u8], FormatError> {
        let corrupt = |problem: String| FormatError::corrupt("column group", offset, problem);
        let found = xxh3_64(frame);
        if found != entry.xxh3 {
            let problem = format!("expected xxh3 {:016x}, found {found:016x}", entry.xxh3);
            return Err(corrupt(problem));
        }
        let column_bytes = |column: Column| {
            1 + encoded.meta.entries_of(column.spec().collection) * column.spec().dtype.size()
        };
        let most: usize = columns.iter().map(column_bytes).sum();
        let raw_bytes = entry.raw_bytes as usize;
        if raw_bytes > most {
            return Err(corrupt(format!("expected at most {most} bytes, found {raw_bytes}")));
        }
        // Stale bytes stay: a frame either overwrites them or is refused.
        if self.raw.len() < raw_bytes {
            self.raw.resize(raw_bytes, 0);
        }
        let raw = &mut self.raw[..raw_bytes];
        let n = match entry.codec {
            CODEC_STORED if frame.len() == raw_bytes => return Ok(frame),
            CODEC_ZSTD => self
                .decompressor
                .decompress_to_buffer(frame, raw)
                .map_err(|error| corrupt(format!("zstd: {error}")))?,
            codec => return Err(corrupt(format!("codec {codec} is not known"))),
        };
        if n != raw_bytes {
            return Err(corrupt(format!("expected {raw_bytes} bytes, found {n}")));
        }
        Ok(&self.raw[..raw_bytes])
    }
}

fn decode_columns(
    raw: &[u8],
    columns: ColumnSet,
    wanted: ColumnSet,
    meta: &BlockMeta,
    offset: u64,
    block: &mut Block,
) -> Result<(), FormatError> {
    let cut = || FormatError::corrupt("column group", offset, "a column is cut short");
    let mut rest = raw;
    for column in columns.iter() {
        let spec = column.spec();
        let n = meta.entries_of(spec.collection);
        let (&tag, planes) = rest.split_first().ok_or_else(cut)?;
        let n_planes = usize::from(tag & TAG_PLANES);
        let is_known = match tag {
            TAG_NIBBLES => spec.dtype.size() == 1,
            _ => tag & !(TAG_PLANES | TAG_SIGNED | TAG_DELTA) == 0,
        };
        if !is_known || n_planes > spec.dtype.size() {
            let problem = format!("column {}: tag {tag:#04x} is not known", spec.name);
            return Err(FormatError::corrupt("column group", offset, problem));
        }
        let bytes = if tag == TAG_NIBBLES { n.div_ceil(2) } else { n_planes * n };
        let (planes, after) = planes.split_at_checked(bytes).ok_or_else(cut)?;
        rest = after;
        if wanted.contains(column) {
            decode_column(planes, tag, n, block.entries_mut(column));
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        let problem = format!("{} bytes after its last column", rest.len());
        Err(FormatError::corrupt("column group", offset, problem))
    }
}

impl BlockMeta {
    /// Entries of a column that belongs to `collection`.
    pub(crate) fn entries_of(&self, collection: Collection) -> usize {
        match collection {
            Collection::Crossing => self.n_crossings as usize,
            objects => self.n_objects[objects as usize] as usize,
        }
    }
}

fn decode_column(planes: &[u8], tag: u8, n: usize, entries: &mut Entries) {
    entries.resize(n);
    let n_planes = usize::from(tag & TAG_PLANES);
    let signed = tag & TAG_SIGNED != 0;
    let delta = tag & TAG_DELTA != 0;
    match entries {
        Entries::U8(to) if tag == TAG_NIBBLES => split_nibbles(planes, to),
        Entries::U8(to) if delta => sum_planes(planes, n_planes, signed, to, |x| x as u8),
        Entries::I16(to) if delta => sum_planes(planes, n_planes, signed, to, |x| x as i16),
        Entries::U32(to) if delta => sum_planes(planes, n_planes, signed, to, |x| x as u32),
        Entries::I32(to) if delta => sum_planes(planes, n_planes, signed, to, |x| x as i32),
        Entries::U64(to) if delta => sum_planes(planes, n_planes, signed, to, |x| x),
        Entries::I64(to) if delta => sum_planes(planes, n_planes, signed, to, u64::cast_signed),
        Entries::U8(to) if n_planes == 1 => to.copy_from_slice(planes),
        Entries::U8(to) => to.fill(0),
        Entries::I16(to) => join_i16(planes, n_planes, signed, to),
        Entries::U32(to) => join_u32(planes, n_planes, signed, to),
        Entries::U64(to) => join_u64(planes, n_planes, signed, to),
        Entries::I32(to) => join_u32(planes, n_planes, signed, bytemuck::must_cast_slice_mut(to)),
        Entries::I64(to) => join_u64(planes, n_planes, signed, bytemuck::must_cast_slice_mut(to)),
        // Differences of floats are never written; the tag is ignored.
        Entries::F32(to) => join_u32(planes, n_planes, signed, bytemuck::must_cast_slice_mut(to)),
        Entries::F64(to) => join_u64(planes, n_planes, signed, bytemuck::must_cast_slice_mut(to)),
    }
}

fn split_nibbles(pairs: &[u8], to: &mut [u8]) {
    let (whole, rest) = to.as_chunks_mut::<2>();
    for (to, pair) in whole.iter_mut().zip(pairs) {
        *to = [pair & 15, pair >> 4];
    }
    if let ([last], Some(pair)) = (rest, pairs.last()) {
        *last = pair & 15;
    }
}

/// The common case, written so that it vectorises.
fn join_i16(planes: &[u8], n_planes: usize, signed: bool, to: &mut [i16]) {
    let (low, high) = planes.split_at(if n_planes == 0 { 0 } else { to.len() });
    match (n_planes, signed) {
        (0, _) => to.fill(0),
        (1, false) => to.iter_mut().zip(low).for_each(|(to, &l)| *to = i16::from(l)),
        (1, true) => to.iter_mut().zip(low).for_each(|(to, &l)| *to = i16::from(l as i8)),
        _ => {
            for ((to, &l), &h) in to.iter_mut().zip(low).zip(high) {
                *to = i16::from_le_bytes([l, h]);
            }
        }
    }
}

/// Entries of four or eight bytes, plane by plane, so that it vectorises.
macro_rules! join_wide {
    ($name:ident, $int:ty) => {
        fn $name(planes: &[u8], n_planes: usize, signed: bool, to: &mut [$int]) {
            if n_planes == 0 {
                return to.fill(0);
            }
            let (first, planes) = planes.split_at(to.len());
            to.iter_mut().zip(first).for_each(|(to, &byte)| *to = byte.into());
            for plane in 1..n_planes {
                let bytes = &planes[(plane - 1) * to.len()..][..to.len()];
                for (to, &byte) in to.iter_mut().zip(bytes) {
                    *to |= <$int>::from(byte) << (8 * plane);
                }
            }
            if signed {
                let unused = <$int>::BITS - 8 * n_planes as u32;
                for to in to {
                    *to = ((*to << unused).cast_signed() >> unused).cast_unsigned();
                }
            }
        }
    };
}
join_wide!(join_u32, u32);
join_wide!(join_u64, u64);

/// Joins planes of differences and adds them up, in one pass.
fn sum_planes<T>(
    planes: &[u8],
    n_planes: usize,
    signed: bool,
    to: &mut [T],
    narrow: impl Fn(u64) -> T,
) {
    match (n_planes, signed) {
        (0, _) => to.iter_mut().for_each(|to| *to = narrow(0)),
        (1, false) => sum_of::<1, false, T>(planes, to, narrow),
        (1, true) => sum_of::<1, true, T>(planes, to, narrow),
        (2, false) => sum_of::<2, false, T>(planes, to, narrow),
        (2, true) => sum_of::<2, true, T>(planes, to, narrow),
        (3, false) => sum_of::<3, false, T>(planes, to, narrow),
        (3, true) => sum_of::<3, true, T>(planes, to, narrow),
        (4, false) => sum_of::<4, false, T>(planes, to, narrow),
        (4, true) => sum_of::<4, true, T>(planes, to, narrow),
        (5, false) => sum_of::<5, false, T>(planes, to, narrow),
        (5, true) => sum_of::<5, true, T>(planes, to, narrow),
        (6, false) => sum_of::<6, false, T>(planes, to, narrow),
        (6, true) => sum_of::<6, true, T>(planes, to, narrow),
        (7, false) => sum_of::<7, false, T>(planes, to, narrow),
        (7, true) => sum_of::<7, true, T>(planes, to, narrow),
        _ => sum_of::<8, false, T>(planes, to, narrow),
    }
}

fn sum_of<const PLANES: usize, const SIGNED: bool, T>(
    planes: &[u8],
    to: &mut [T],
    narrow: impl Fn(u64) -> T,
) {
    let n = to.len();
    let planes: [&[u8]; PLANES] = std::array::from_fn(|plane| &planes[plane * n..][..n]);
    let unused = if SIGNED { u64::BITS - 8 * PLANES as u32 } else { 0 };
    let mut sum = 0_u64;
    for (i, to) in to.iter_mut().enumerate() {
        let mut entry = 0;
        for (plane, bytes) in planes.iter().enumerate() {
            entry |= u64::from(bytes[i]) << (8 * plane);
        }
        sum = sum.wrapping_add(((entry << unused).cast_signed() >> unused).cast_unsigned());
        *to = narrow(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Dtype;

    /// Little-endian entries of `width` bytes, as the definition of a column says.
    fn obvious(planes: &[u8], tag: u8, n: usize, width: usize) -> Vec<u8> {
        let n_planes = usize::from(tag & TAG_PLANES);
        let mut previous = 0_u64;
        let mut bytes = Vec::new();
        for i in 0..n {
            let mut entry = 0_u64;
            for plane in 0..n_planes {
                entry |= u64::from(planes[plane * n + i]) << (8 * plane);
            }
            if tag & TAG_SIGNED != 0 && n_planes > 0 && entry >> (8 * n_planes - 1) != 0 {
                entry |= u64::MAX.checked_shl(8 * n_planes as u32).unwrap_or(0);
            }
            if tag & TAG_DELTA != 0 {
                entry = entry.wrapping_add(previous);
            }
            previous = entry;
            bytes.extend_from_slice(&entry.to_le_bytes()[..width]);
        }
        bytes
    }

    #[test]
    fn columns_of_every_type_and_tag_are_joined_as_their_definition_says() {
        let mut state = 5_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        for dtype in [Dtype::I16, Dtype::U32, Dtype::I32, Dtype::U64, Dtype::I64] {
            // Filled before: what was there must not shine through.
            let mut entries = Entries::new(dtype);
            for n_planes in 0..=dtype.size() {
                for sign in [0, TAG_SIGNED, TAG_DELTA, TAG_SIGNED | TAG_DELTA] {
                    for n in [0, 1, 7, 8, 40, 33] {
                        let planes: Vec<u8> = (0..n * n_planes).map(|_| random()).collect();
                        let tag = n_planes as u8 | sign;
                        decode_column(&planes, tag, n, &mut entries);
                        let expected = obvious(&planes, tag, n, dtype.size());
                        assert_eq!(entries.bytes(), expected, "{dtype:?}, tag {tag:#04x}");
                    }
                }
            }
        }
    }
}
