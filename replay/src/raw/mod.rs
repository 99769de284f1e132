//! The binary formats of Level-1 scouting, as pure functions between bytes and numbers.
//!
//! ```text
//! Phase 2   DTHBasic256 blocks ─ Native64 events ─ object words        (dth, native64)
//! ```
//!
//! Nothing here opens a file or a socket. All words are little-endian, and none is aligned. Decoders take any bytes: they never panic, and what they
//! hold is bounded by constants of this module.

pub mod dth;
pub mod native64;
pub mod words;

/// Longest payload of one orbit in bytes: what is longer was never one.
///
/// The largest that the field's formats can make is 12 sectors of 255 stubs in each crossing,
/// 87 MB; what the systems send is below 8 MB.
pub const ORBIT_BYTES_MAX: usize = 1 << 25;

/// The little-endian number at `at`. The caller has checked that it is there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
