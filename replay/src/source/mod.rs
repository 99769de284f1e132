//! Where a run reads its events: anything that fills caller-owned blocks.

mod file;

pub use file::{FileSource, StreamInfo};

use std::path::PathBuf;

use crate::event::{Block, Column, ColumnSet};
use crate::format::{BlockDecoder, BlockMeta, EncodedBlock, FormatError, StreamHeader};

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refused.
    #[error("while reading `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a stream that this version can read.
    #[error("`{}`: {source}{}", path.display(), hint(source))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: FormatError,
    },
    /// A source that is no file cannot go on.
    #[error("{name}: {problem}")]
    Failed {
        /// The source, as people write it.
        name: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// What to do about a damaged file; other problems say it themselves.
fn hint(problem: &FormatError) -> &'static str {
    match problem {
        FormatError::Corrupt { .. } => "\nhint: the file is damaged: copy or convert it again",
        _ => "",
    }
}

/// What a call of [`Source::next_block`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The block has been filled.
    Block,
    /// A block is damaged; its crossings are lost, what follows is not.
    Corrupt {
        /// Crossings lost.
        n_crossings: u32,
        /// What is wrong, and where.
        problem: FormatError,
    },
    /// The stream stops in the middle of a block.
    Truncated {
        /// Crossings lost, as far as the block's own head says.
        n_crossings: u32,
        /// Where it stops.
        offset: u64,
    },
    /// What follows cannot be found: a block's head is damaged and there is no index.
    Lost {
        /// What is wrong, and where.
        problem: FormatError,
    },
    /// Crossings that never came, though the sender had them; what follows has. Files never
    /// deliver this.
    Missing {
        /// How many, as far as is known.
        n_crossings: u64,
        /// What became of them.
        problem: String,
    },
    /// Nothing has come yet: ask again. Files never deliver this.
    Pending,
    /// The stream has ended.
    End,
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Delivery::Block => f.write_str("a block"),
            Delivery::Corrupt { n_crossings, problem } => {
                write!(f, "{n_crossings} crossings corrupt: {problem}")
            }
            Delivery::Truncated { n_crossings, offset } => {
                write!(f, "cut after byte {offset}: {n_crossings} crossings lost")
            }
            Delivery::Lost { problem } => {
                write!(f, "{problem}; without an index the rest is lost")
            }
            Delivery::Missing { n_crossings, problem } => {
                write!(f, "{n_crossings} crossings never came: {problem}")
            }
            Delivery::Pending => f.write_str("nothing yet"),
            Delivery::End => f.write_str("the end of the stream"),
        }
    }
}

/// What is known of a source before its first block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// Identity of the content: the digest of the stream. None if nobody knows it beforehand.
    pub digest: Option<u64>,
    /// Crossings of one pass: none if that is unknown, or if it never ends.
    pub n_crossings: Option<u64>,
    /// Runs of the first and the last block, where they are known.
    pub runs: Option<(u32, u32)>,
    /// Whether it can begin again.
    pub can_rewind: bool,
    /// Whether its events come from outside, at a pace of their own.
    pub is_live: bool,
    /// Whether it goes on until it is stopped.
    pub is_endless: bool,
    /// What determines its events where there is no digest, such as a seed: provenance of what is
    /// made from them.
    pub settings: Vec<(String, String)>,
}

/// Fills caller-owned blocks with events, in order.
pub trait Source: Send {
    /// What the events are.
    fn header(&self) -> &StreamHeader;

    /// What else is known beforehand.
    fn facts(&self) -> SourceFacts;

    /// The columns that every block can have.
    fn columns(&self) -> ColumnSet;

    /// Fills `block` with the columns `wanted` of the next block of the stream.
    ///
    /// Never waits for long: a source whose events come from outside says [`Delivery::Pending`].
    /// After anything but that, [`Delivery::Block`], [`Delivery::Corrupt`] or [`Delivery::Missing`]
    /// there is nothing more.
    ///
    /// # Errors
    /// The operating system's refusal. Damage in the stream is a delivery, not an error.
    fn next_block(&mut self, wanted: ColumnSet, block: &mut Block)
    -> Result<Delivery, SourceError>;

    /// Goes back to the first block. Asked for only if [`SourceFacts::can_rewind`].
    ///
    /// # Errors
    /// As [`Source::next_block`].
    fn rewind(&mut self) -> Result<(), SourceError>;

    /// Passes over the next block without decoding it, and says what it was; `None`, and nothing is
    /// passed over, where that is not possible or would not save anything.
    ///
    /// # Errors
    /// As [`Source::next_block`].
    fn skip_block(&mut self) -> Result<Option<BlockMeta>, SourceError> {
        Ok(None)
    }
}

/// A block on its way to a decoder: its section as it stands in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The whole section.
    pub bytes: Vec<u8>,
    /// Where it stands in its stream.
    pub offset: u64,
    /// What has to be added to its orbits, because the sender's stream has begun again.
    pub orbit_shift: u32,
}

impl Section {
    /// Decodes the columns `wanted` of a stream with columns `schema`.
    ///
    /// **Real-time**: as [`BlockDecoder::decode`].
    ///
    /// # Errors
    /// Bytes that are not one whole block, or one that is damaged or whose orbits run beyond 32 bits.
    pub fn decode(
        &self,
        decoder: &mut BlockDecoder,
        schema: ColumnSet,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<(), FormatError> {
        let encoded = EncodedBlock::parse(&self.bytes, self.offset)?;
        if encoded.meta.last_orbit.checked_add(self.orbit_shift).is_none() {
            let problem = "its orbits run beyond 32 bits";
            return Err(FormatError::corrupt("block", self.offset, problem));
        }
        decoder.decode(&encoded, schema, wanted, block)?;
        if self.orbit_shift > 0 {
            let orbits = block.get_mut::<u32>(Column::Orbit);
            orbits.iter_mut().for_each(|orbit| *orbit += self.orbit_shift);
        }
        Ok(())
    }
}

/// A source whose blocks can be had as they are encoded, to be decoded elsewhere.
pub trait EncodedSource: Source {
    /// As [`Source::next_block`], but hands the block over as it is.
    ///
    /// # Errors
    /// As [`Source::next_block`].
    fn next_section(&mut self, section: &mut Section) -> Result<Delivery, SourceError>;
}
