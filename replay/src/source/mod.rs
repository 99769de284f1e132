//! Where a run reads its events: anything that fills caller-owned blocks.

mod file;

pub use file::{FileSource, StreamInfo};

use std::path::PathBuf;

use crate::event::{Block, ColumnSet};
use crate::format::{FormatError, StreamHeader};

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
            Delivery::End => f.write_str("the end of the stream"),
        }
    }
}

/// Fills caller-owned blocks with events, in order.
pub trait Source: Send {
    /// What the events are.
    fn header(&self) -> &StreamHeader;

    /// The columns that every block can have.
    fn columns(&self) -> ColumnSet;

    /// Fills `block` with the columns `wanted` of the next block of the stream.
    ///
    /// After anything but [`Delivery::Block`] or [`Delivery::Corrupt`] there is nothing more.
    ///
    /// # Errors
    /// The operating system's refusal. Damage in the stream is a delivery, not an error.
    fn next_block(&mut self, wanted: ColumnSet, block: &mut Block)
    -> Result<Delivery, SourceError>;

    /// Goes back to the first block.
    ///
    /// # Errors
    /// As [`Source::next_block`].
    fn rewind(&mut self) -> Result<(), SourceError>;
}
