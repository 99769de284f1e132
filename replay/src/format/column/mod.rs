//! One column as bytes: small codes on a base, packed or in planes, or runs.
//!
//! ```text
//! encoding u8 | width u8 | flags u8 | [base] | [stride] | [radix u16] | [dictionary]
//!     | [length of codes u32] | [length of exceptions u32] | codes | exceptions
//! ```
//!
//! Entries are `base + stride × code`, in the integers modulo 2^bits of their type; floats are
//! taken as their bits. Codes are small, and packed with the same number of bits each (`pack.rs`) or
//! stored as byte planes; the few entries whose codes are larger are exceptions, which overwrite
//! what the codes say. Planes may be a zstd frame, whose Huffman codes take less room than packed
//! ones and ten times as long. Crossing numbers are mostly runs of equal or consecutive numbers;
//! where they are not, what is coded is the difference to the entry before.
//!
//! Which of this a column gets is decided for each block, by what would be its size.

mod decode;
mod encode;
mod form;
mod lane;
#[cfg(test)]
mod tests;

pub(super) use decode::{ColumnDecoder, EncodedColumn};
pub(super) use encode::ColumnEncoder;

/// Codes are records of runs: length − 1 as u16, first entry.
const RUNS: u8 = 0;
/// Codes are packed, `width` bits each.
const PACKED: u8 = 1;
/// Codes are `width` byte planes: the lowest bytes of all, then the second bytes, ...
const PLANES: u8 = 2;
/// The same in a zstd frame.
const ZSTD_PLANES: u8 = 3;

/// What is coded is the difference to the entry before.
const DIFFERENCES: u8 = 1;
/// A base is given; else it is 0.
const BASE: u8 = 2;
/// A stride is given; else it is 1.
const STRIDE: u8 = 4;
/// There are exceptions: gap u8, entry.
const EXCEPTIONS: u8 = 8;
/// Codes are packed in pairs, and their radix is given.
const PAIRS: u8 = 16;
/// Codes are places in a dictionary of up to 256 entries, which is given; no base, no stride.
const DICTIONARY: u8 = 32;

/// Most entries of a dictionary.
const DICTIONARY_MAX: usize = 256;

/// A gap to the next exception that says only that it is further away than that.
const LONG_GAP: u8 = u8::MAX;
/// Longest run of one record.
const RUN_MAX: usize = 1 << 16;

/// Little-endian bytes as an integer.
fn read_word(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}
