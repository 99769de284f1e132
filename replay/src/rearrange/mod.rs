//! Streams made of streams: [`cat`], [`slice()`], [`merge`], [`shuffle`].
//!
//! Each reads whole, undamaged streams block by block and writes one, in memory that does not grow
//! with them. What is written has a temporary name until it is whole. The header says what was
//! done to which files, and keeps what those said of themselves.
//!
//! None of them changes an event: they choose which ones come out, and where. A damaged input is
//! an error, never a shorter output.

mod assemble;
mod cat;
mod error;
mod header;
mod input;
mod merge;
mod shuffle;
mod slice;

pub use cat::{CatOptions, cat};
pub use error::RearrangeError;
pub use merge::{Duplicates, MergeOptions, merge};
pub use shuffle::{ShuffleOptions, shuffle};
pub use slice::{Selection, slice};

use crate::format::{Compression, SampleKind, WriteSummary};

/// What the written stream is called, and how it is written.
#[derive(Clone, Debug, Default)]
pub struct OutputOptions {
    /// How hard to compress.
    pub compression: Compression,
    /// Name of the sample; by default that of the first input.
    pub sample: Option<String>,
    /// What the events are; by default what all inputs say.
    pub kind: Option<SampleKind>,
}

/// Told how many crossings have been dealt with so far.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Crossings read.
    pub read: u64,
    /// Crossings that several inputs had, counted once each.
    pub duplicates: u64,
    /// Of those, crossings for which several inputs had objects of the same kind.
    pub contested: u64,
    /// What was written.
    pub written: WriteSummary,
}
