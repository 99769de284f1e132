//! Why an import stopped.
//!
//! One enum for every importer and for placing. Each message says what was expected, what was
//! found, where (file, column, row: rows are counted from 0 within the file), and what to do.
//! Expected trouble that does not stop an import is counted in
//! [`ImportTally`](super::ImportTally) and [`PlaceCounts`](super::PlaceCounts) instead.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::event::BlockError;
use crate::spill::SpillError;

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The operating system refused something.
    #[error("`{path}`: could not {action}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was attempted, as a verb phrase.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// No file was given.
    #[error("expected at least one file to import, found none\nhint: name one or more")]
    NoFiles,
    /// A folder was given where a file is needed.
    #[error("`{path}`: expected a file, found a folder\nhint: name the files in it")]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("`{path}`: expected data, found an empty file\nhint: fetch or copy it again")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first bytes are those of no known format.
    #[error(
        "`{path}`: expected a known format, found a file that begins with `{found}`{missing}\nhint: \
         {hint}"
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its first bytes, escaped.
        found: String,
        /// What each known format misses in it, a line each.
        missing: String,
        /// What to do with it.
        hint: &'static str,
    },
    /// The file is a stream already.
    #[error(
        "`{path}` is a scout40 stream already\nhint: `--to FORMAT` writes it in another format"
    )]
    Stream {
        /// The file.
        path: PathBuf,
    },
    /// The files of one import are of different formats.
    #[error(
        "`{path}`: expected {expected} like the files before it, found {found}\nhint: convert it on its own"
    )]
    MixedFormats {
        /// The first file that differs.
        path: PathBuf,
        /// Format of the files before it.
        expected: &'static str,
        /// Its own format.
        found: &'static str,
    },
    /// This build cannot read the format.
    #[error("`{path}`: this build has no {format} reader\nhint: build with `--features {feature}`")]
    FeatureMissing {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// Cargo feature that brings the reader.
        feature: &'static str,
    },
    /// A range of rows of files that have orbits.
    #[error(
        "a range of rows was asked for, but {format} files hold orbits, of which the events are \
         not numbered\nhint: convert all of them; `--every N` keeps one event in N"
    )]
    RowsOfOrbits {
        /// Format of the files.
        format: &'static str,
    },
    /// Phase-2 words of which it cannot be told what they are.
    #[error(
        "`{path}`: expected Puppi candidates, track muons or Run-3 objects, found: {reason}\n\
         hint: `--payload puppi`, `track-muon` or `run3` says what they are"
    )]
    Payload {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A range of rows that the files do not have.
    #[error(
        "rows {}..{} asked for, but the files hold rows 0..{n_rows}\nhint: choose a range within them",
        .asked.start, .asked.end
    )]
    Rows {
        /// The rows asked for.
        asked: Range<u64>,
        /// Rows in all files.
        n_rows: u64,
    },
    /// The bytes do not follow their format: damaged, cut short, or of an unsupported variety.
    #[error(
        "{file}: expected readable {what}, found: {reason}\n\
         hint: the file may be damaged or cut short, fetch it again"
    )]
    Damaged {
        /// File name.
        file: String,
        /// Part of the file.
        what: String,
        /// What the format's library says.
        reason: String,
    },
    /// Columns or data sets without which there are no events.
    #[error(
        "{file}: expected {what} {missing}, not found\nhint: is this the right kind of file? docs/formats.md says what is read"
    )]
    Missing {
        /// File name.
        file: String,
        /// Kind of thing, plural.
        what: &'static str,
        /// Names, comma-separated.
        missing: String,
    },
    /// A column or data set of a type or shape that cannot be meant.
    #[error(
        "{file}: {column}: expected {expected}, found {found}\nhint: rewrite the file with that type"
    )]
    Type {
        /// File name.
        file: String,
        /// Column or data set.
        column: String,
        /// Types that are read.
        expected: &'static str,
        /// Type in the file.
        found: String,
    },
    /// A variety of a format that is not read.
    #[error("{file}: {what}: expected {expected}, found {found}\nhint: {hint}")]
    Unsupported {
        /// File name.
        file: String,
        /// Part of the file.
        what: String,
        /// What is read.
        expected: String,
        /// What there is.
        found: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// Columns of one file have different numbers of rows.
    #[error(
        "{file}: {column}: expected {expected} rows like the rest, found {found}\nhint: the file is damaged, fetch it again"
    )]
    ColumnLength {
        /// File name.
        file: String,
        /// Column or data set.
        column: String,
        /// Rows of the file.
        expected: u64,
        /// Rows of the column.
        found: u64,
    },
    /// A value that the field cannot hold.
    #[error(
        "{file}: row {row}, {column}: expected {expected}, found {found}\n\
         hint: exclude the row with a row range or correct the file"
    )]
    Value {
        /// File name.
        file: String,
        /// Row, from 0 within the file.
        row: u64,
        /// Column, or data set and slot.
        column: String,
        /// What the field holds.
        expected: String,
        /// The value.
        found: String,
    },
    /// Lists of one collection that describe different numbers of objects.
    #[error(
        "{file}: row {row}: expected {expected} entries in {column} as in {reference}, found \
         {found}\nhint: the file is damaged, fetch it again"
    )]
    ListLength {
        /// File name.
        file: String,
        /// Row, from 0 within the file.
        row: u64,
        /// Column that differs.
        column: &'static str,
        /// Column that it is compared with.
        reference: &'static str,
        /// Entries of the reference.
        expected: usize,
        /// Entries of the column.
        found: usize,
    },
    /// More objects than a crossing can have.
    #[error(
        "{file}: row {row}: expected at most {capacity} {collection} objects, found {found}\n\
         hint: these are not Level-1 objects of one crossing"
    )]
    Capacity {
        /// File name.
        file: String,
        /// Row, from 0 within the file.
        row: u64,
        /// Name of the collection.
        collection: &'static str,
        /// Most objects there can be.
        capacity: usize,
        /// Objects there are.
        found: usize,
    },
    /// Recorded events (with crossing numbers) and simulated ones (without) in one import.
    #[error(
        "{file}: row {row}: expected {expected} crossing numbers as in the rows before, found \
         {found}\nhint: convert data and simulation separately"
    )]
    MixedPlacement {
        /// File name.
        file: String,
        /// Row, from 0 within the file.
        row: u64,
        /// `recorded` or `no`.
        expected: &'static str,
        /// `recorded` or `no`.
        found: &'static str,
    },
    /// Events without crossing numbers were to keep them.
    #[error(
        "event {event} of the import: expected a crossing number within 1..=3564 to keep, found \
         {bx}\nhint: `--place fill` places simulated events by a filling scheme"
    )]
    NotPlaced {
        /// Event, from 0 in file order.
        event: u64,
        /// Its crossing number.
        bx: i16,
    },
    /// The filling scheme ran out of orbits.
    #[error(
        "event {event} of the import: expected an orbit up to 4294967295, found {orbit}\n\
         hint: convert fewer rows or begin at an earlier orbit"
    )]
    OrbitRange {
        /// Event, from 0 in file order.
        event: u64,
        /// Orbit that it would get.
        orbit: u64,
    },
    /// A chunk that does not hold together, as no importer makes it.
    #[error("chunk of events: {0}\nhint: report this as a mistake in the importer")]
    Chunk(BlockError),
    /// A number that has to be positive is zero.
    #[error("expected {option} of at least 1, found 0")]
    Option {
        /// Name of the option.
        option: &'static str,
    },
}

impl From<SpillError> for ImportError {
    fn from(SpillError { path, action, source }: SpillError) -> ImportError {
        ImportError::Io { path, action, source }
    }
}

impl ImportError {
    /// For `map_err` around file operations.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| ImportError::Io { path, action, source }
    }
}
