//! Why there are no generated events.

use std::path::{Path, PathBuf};

use crate::format::FormatError;
use crate::source::{Delivery, SourceError};

/// Why there are no generated events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The operating system refused.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The model.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Something about a file.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The model.
        path: PathBuf,
        /// What is wrong.
        source: Box<GenerateError>,
    },
    /// The bytes are something else.
    #[error(
        "expected a generator model (first bytes S40GENER), found `{found}`\n\
         hint: `scout40 generate --fit STREAM.s40 --save MODEL` makes one"
    )]
    NotAModel {
        /// The first bytes, escaped.
        found: String,
    },
    /// Written by a newer version.
    #[error("expected generator version <= {newest}, found {found}\nhint: update scout40")]
    NewerVersion {
        /// Version in the file.
        found: u32,
        /// The newest that is read.
        newest: u32,
    },
    /// Written by an older version.
    #[error(
        "expected generator version {oldest}, found {found}, which knew less\n\
         hint: `scout40 generate --fit STREAM.s40 --save MODEL` fits the model again"
    )]
    OlderVersion {
        /// Version in the file.
        found: u32,
        /// The oldest that is read.
        oldest: u32,
    },
    /// A checksum does not match, or what it covers makes no sense.
    #[error("damaged generator model: {problem}\nhint: copy or fit it again")]
    Corrupt {
        /// What was expected and what was found.
        problem: String,
    },
    /// Parts that do not fit together.
    #[error("generator model: its {what} do not fit together\nhint: fit it again")]
    Unsound {
        /// Which part.
        what: &'static str,
    },
    /// A column that nothing makes, or that is made twice.
    #[error("generator model: column `{column}` {problem}\nhint: fit it again")]
    Column {
        /// Its name.
        column: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The stream that is to be fitted cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stream that is to be fitted is damaged.
    #[error("`{name}`: {problem}\nhint: `scout40 verify` tells how much of it is damaged")]
    Damaged {
        /// Name of the sample.
        name: String,
        /// What is wrong.
        problem: Delivery,
    },
    /// Too few events to fit anything.
    #[error("`{name}`: expected at least {least} events to fit a model to, found {found}")]
    TooFew {
        /// Name of the sample.
        name: String,
        /// Least number.
        least: u64,
        /// Found number.
        found: u64,
    },
    /// The events of the stream are not of the kind that can be generated.
    #[error("`{name}`: {problem}")]
    CannotFit {
        /// Name of the sample.
        name: String,
        /// Why, and what to do.
        problem: String,
    },
    /// The model does not know pile-up.
    #[error(
        "the model was fitted to a stream without pile-up\n\
         hint: leave `--pile-up` out, or fit to a stream that has it (`--groups pile-up,...`)"
    )]
    NoPileUp,
    /// A pile-up out of range.
    #[error("expected a pile-up above 0 and up to {max}, found {found}")]
    PileUpRange {
        /// The largest.
        max: u16,
        /// As asked for.
        found: f64,
    },
    /// Orbits run past 32 bits.
    #[error("{n_events} events from orbit {first_orbit} on do not fit into 2^32 orbits")]
    OrbitRange {
        /// Events asked for.
        n_events: u64,
        /// First orbit.
        first_orbit: u32,
    },
    /// A block that breaks the limits of the format.
    #[error("blocks of {n} crossings: expected at most {max}\nhint: fewer orbits per block")]
    BlockLength {
        /// Crossings of a block.
        n: u64,
        /// Most that a block may have.
        max: usize,
    },
    /// The header cannot be made.
    #[error(transparent)]
    Header(#[from] FormatError),
}

/// Says which file an error is about.
pub(super) fn file_error(path: &Path, error: GenerateError) -> GenerateError {
    GenerateError::File { path: path.into(), source: Box::new(error) }
}
