//! Why streams could not be made into another.

use std::path::PathBuf;

use crate::event::BlockError;
use crate::format::WriteError;
use crate::import::ImportError;
use crate::lhc::CrossingId;
use crate::source::{Delivery, SourceError};
use crate::spill::SpillError;

/// Why streams could not be made into another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RearrangeError {
    /// An input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The output cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A checksum of an input cannot be taken.
    #[error(transparent)]
    Checksum(#[from] ImportError),
    /// The disk cannot hold what does not fit into memory.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// No input was given.
    #[error("expected at least one stream, found none")]
    NoInput,
    /// An input has lost its index, so nobody knows whether it is whole.
    #[error(
        "`{}`: expected a whole stream, found one without an index ({problem})\n\
         hint: it was cut or damaged: copy or convert it again", path.display()
    )]
    NoIndex {
        /// The input.
        path: PathBuf,
        /// Why there is none.
        problem: String,
    },
    /// An input is damaged.
    #[error(
        "`{}`: block {block} is damaged: {problem}\n\
         hint: `scout40 verify` tells how much of it; copy or convert it again", path.display()
    )]
    Damaged {
        /// The input.
        path: PathBuf,
        /// Number of the block.
        block: usize,
        /// What is wrong, and where.
        problem: Box<Delivery>,
    },
    /// A block of an input breaks an invariant.
    #[error(
        "`{}`: block {block} breaks an invariant: {source}\n\
         hint: `scout40 verify` tells how much of the stream does", path.display()
    )]
    Invariant {
        /// The input.
        path: PathBuf,
        /// Number of the block.
        block: usize,
        /// Which invariant.
        source: BlockError,
    },
    /// Inputs hold different columns.
    #[error(
        "`{}`: expected the columns of `{}`, found that {difference}\n\
         hint: `--common-columns` keeps those that all have", path.display(), first.display()
    )]
    Columns {
        /// The input that differs.
        path: PathBuf,
        /// The first input.
        first: PathBuf,
        /// What it lacks or has more.
        difference: String,
    },
    /// Inputs say different things of themselves.
    #[error(
        "`{}`: expected {what} of `{}`, {difference}\n{hint}",
        path.display(), first.display()
    )]
    Header {
        /// The input that differs.
        path: PathBuf,
        /// The first input.
        first: PathBuf,
        /// Which part of the header.
        what: &'static str,
        /// What the first input says, and what this one.
        difference: String,
        /// What to do.
        hint: &'static str,
    },
    /// An input does not come after what was before it.
    #[error(
        "`{}`: expected crossings after {last}, found {found}\n\
         hint: `scout40 merge` takes streams that overlap; `cat --shift-orbits` moves simulated \
         events to later orbits", path.display()
    )]
    Order {
        /// The input.
        path: PathBuf,
        /// The last crossing before it.
        last: CrossingId,
        /// Its offending crossing.
        found: CrossingId,
    },
    /// An input is not in order within itself, or repeats a crossing.
    #[error(
        "`{}`: expected crossings in ascending order, found {found} after {last}\n\
         hint: `scout40 verify` tells what is wrong; convert the stream again", path.display()
    )]
    Unsorted {
        /// The input.
        path: PathBuf,
        /// A crossing.
        last: CrossingId,
        /// The one that comes after it.
        found: CrossingId,
    },
    /// Several inputs hold the same crossing.
    #[error(
        "`{}`: expected crossings that no other input has, found {id}, which `{}` has too\n\
         hint: `--duplicates first` keeps the event of the first, `--duplicates unite` takes each \
         kind of objects from the first that has it", path.display(), first.display()
    )]
    Duplicate {
        /// The first input that has it.
        first: PathBuf,
        /// Another one.
        path: PathBuf,
        /// The crossing.
        id: CrossingId,
    },
    /// Nothing was chosen.
    #[error("`{}`: no crossing is chosen: the stream has {has}\nhint: choose among these", path.display())]
    NothingChosen {
        /// The input.
        path: PathBuf,
        /// Its extent.
        has: String,
    },
    /// Recorded events do not change places.
    #[error(
        "`{}`: expected simulated events, found {kind}: a shuffle would give recorded events \
         crossings in which they did not happen\nhint: shuffle what is simulated", path.display()
    )]
    Recorded {
        /// The input.
        path: PathBuf,
        /// Its kind of sample.
        kind: &'static str,
    },
    /// The events do not fit.
    #[error(
        "expected at least {needed} bytes of memory for {n_events} events, found a limit of \
         {given}\nhint: raise `--memory`"
    )]
    Memory {
        /// Bytes that would do.
        needed: u64,
        /// Bytes allowed.
        given: u64,
        /// Events to be shuffled.
        n_events: u64,
    },
    /// Orbits run past 32 bits.
    #[error("`{}`: its orbits do not fit after orbit {last} in 32 bits", path.display())]
    OrbitRange {
        /// The input.
        path: PathBuf,
        /// The last orbit before it.
        last: u32,
    },
}
