//! Why a table could not be read. Lines are counted from 1, as editors do.

use std::path::PathBuf;

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The operating system refused.
    #[error("`{path}`: could not read it: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The first line is that of neither format.
    #[error(
        "`{path}`: expected a table of Kaggle HiggsML (a header that begins with `EventId,`) or of Dark \
         Machines (`event;process;weight;MET;METphi;...`), found neither\nhint: docs/formats.md says \
         how both look"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The header lacks a column.
    #[error(
        "`{path}`: line 1: expected a column {column}, not found\nhint: Kaggle's test.csv has neither \
         weights nor labels; take training.csv or the file of CERN Open Data"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its name.
        column: &'static str,
    },
    /// A field that is not what its column holds.
    #[error(
        "`{path}`: line {line}, column {column}: expected {expected}, found `{found}`\nhint: correct \
         or remove the line"
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// Line.
        line: u64,
        /// Name of the column, or what the field is.
        column: String,
        /// What it may be.
        expected: &'static str,
        /// What it is, escaped.
        found: String,
    },
    /// A line with too few or too many fields.
    #[error(
        "`{path}`: line {line}: expected {expected} fields, found {found}\nhint: the file may be cut \
         short; fetch it again"
    )]
    Fields {
        /// The file.
        path: PathBuf,
        /// Line.
        line: u64,
        /// As many as there should be.
        expected: String,
        /// As many as there are.
        found: usize,
    },
}
