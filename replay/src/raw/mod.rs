//! The binary formats of Level-1 scouting, as pure functions between bytes and numbers.
//!
//! ```text
//! Run 3     FRD file ─ orbit record of one source ─ blocks of crossings ─ object words
//!           frd                                     run3                  words
//! Phase 2   FRD file ─ orbit record ─┬─ Native64 events ─ object words
//!           DTHBasic256 blocks ──────┘  native64          objects, phase2
//!           dth
//! ```
//!
//! Objects of one crossing stay in a [`Crossing`](crossing::Crossing) on their way between words
//! and the columns of a [`Block`](crate::event::Block). Nothing here opens a file or a socket:
//! what reads files is in [`import`](crate::import), what writes them in
//! [`export`](crate::export). All words are little-endian, and none is aligned. Decoders take any bytes: they never panic, and what they
//! hold is bounded by constants of this module. `docs/formats.md` has the tables.

pub mod crossing;
pub mod dth;
pub mod frd;
pub mod native64;
pub mod objects;
pub mod phase2;
pub mod report;
pub mod run3;
pub mod words;

/// Longest payload of one orbit in bytes: what is longer was never one.
///
/// The largest that is read has 255 words of 64 bits, and their header, in each crossing: 7.3 MB.
pub const ORBIT_BYTES_MAX: usize = 1 << 25;

/// The little-endian number at `at`. The caller has checked that it is there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
