//! The `.s40` stream file: compressed blocks of whole orbits, readable column by column.
//!
//! ```text
//! preamble   magic (8) | version u32 | 0 u32
//! section*   kind u32 | meta length u32 | body length u64 | meta | xxh3 of all that | body
//!   HEAD     what the events are                          (rkyv)
//!   BLCK     counts and a directory of column groups; body = one frame per group
//!   INDX     where every block is                         (rkyv)
//!   END!     where the index is; always the last 32 bytes
//! ```
//!
//! [`StreamDecoder`] turns bytes into sections and does no I/O; [`BlockDecoder`] turns an encoded
//! block into columns, skipping groups that nobody asked for; [`StreamWriter`] writes. The bytes
//! are specified in `docs/format.md`.

mod block;
mod column;
pub(crate) mod decoder;
mod header;
mod pack;
mod writer;

pub use block::{BlockDecoder, BlockEncoder, Compression};
pub use block::{BlockMeta, GroupEntry};
pub use decoder::{EncodedBlock, Pending, Step, StreamDecoder};
pub use header::{
    ColumnRecord, IndexEntry, LineRecord, Provenance, SampleKind, SchemeRecord, SourceRecord,
    StreamDigest, StreamHeader, StreamIndex,
};
pub use writer::{StreamWriter, WriteError, WriteSummary, temporary_name};

/// First bytes of every stream file; the line ends reveal a transfer in text mode.
pub const MAGIC: [u8; 8] = *b"\x89S40\r\n\x1a\n";
/// The newest format version that this code reads.
///
/// Written is the oldest one that can hold the columns: [`StreamHeader::format_version`]. So a
/// stream of columns that version 1 knows has the same bytes as ever.
pub const FORMAT_VERSION: u32 = 2;
/// Bytes before the first section.
pub const PREAMBLE_BYTES: usize = 16;
/// Bytes of a section before its meta part.
pub const SECTION_HEAD_BYTES: usize = 16;
/// Bytes of the checksum after a meta part.
pub const CHECKSUM_BYTES: usize = 8;
/// Bytes of the END! section.
pub const END_BYTES: usize = SECTION_HEAD_BYTES + 8 + CHECKSUM_BYTES;

/// Most crossings in a block.
pub const BLOCK_CROSSINGS_MAX: usize = 1 << 20;
/// Most objects of one collection of [`FURTHER`](crate::event::Collection::FURTHER) in a block.
pub const BLOCK_FURTHER_MAX: usize = 1 << 26;
/// Longest body of a block in bytes.
pub const BLOCK_BODY_BYTES_MAX: u64 = 1 << 28;
/// Longest header in bytes.
pub const HEADER_BYTES_MAX: usize = 1 << 24;
/// Longest index in bytes.
pub const INDEX_BYTES_MAX: usize = 1 << 28;

/// The four letters that a section begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Header,
    Block,
    Index,
    End,
}

impl SectionKind {
    pub(crate) const fn tag(self) -> [u8; 4] {
        match self {
            SectionKind::Header => *b"HEAD",
            SectionKind::Block => *b"BLCK",
            SectionKind::Index => *b"INDX",
            SectionKind::End => *b"END!",
        }
    }

    pub(crate) fn from_tag(tag: [u8; 4]) -> Option<SectionKind> {
        [SectionKind::Header, SectionKind::Block, SectionKind::Index, SectionKind::End]
            .into_iter()
            .find(|kind| kind.tag() == tag)
    }
}

/// Why bytes are not a stream. Offsets count from the start of the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The first bytes are those of something else.
    #[error(
        "expected a .s40 stream (first bytes 89 53 34 30), found {found}\n\
         hint: `scout40 convert` makes streams of other formats: docs/formats.md says of which"
    )]
    NotAStream {
        /// The first bytes, in hexadecimal.
        found: String,
    },
    /// Written by a newer version.
    #[error(
        "expected format version <= {FORMAT_VERSION}, found {found}\nhint: update scout40 to read this stream"
    )]
    NewerVersion {
        /// Version in the file.
        found: u32,
    },
    /// A checksum does not match, or what it covers makes no sense.
    #[error("{what} at byte {offset}: {problem}")]
    Corrupt {
        /// Which part of the stream.
        what: &'static str,
        /// Where the part begins.
        offset: u64,
        /// What was expected and what was found.
        problem: String,
    },
    /// The stream lacks a column that was asked for.
    #[error(
        "expected columns {missing}, found a stream without them\nhint: convert again with them"
    )]
    MissingColumns {
        /// Their names.
        missing: String,
    },
}

impl FormatError {
    pub(crate) fn corrupt(what: &'static str, offset: u64, problem: impl Into<String>) -> Self {
        FormatError::Corrupt { what, offset, problem: problem.into() }
    }
}
