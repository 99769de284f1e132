//! Streams to the field's own formats: what [`import`](crate::import) reads, written.
//!
//! An [`Exporter`] takes blocks in order and writes them in pieces of bounded size, whatever the
//! length of the stream. What its format cannot hold is left out and counted ([`Losses`]): it is
//! for the caller to tell. Nothing is made up that the stream does not know.
//!
//! A file that is not whole has a temporary name and is removed when its exporter is dropped.

#[cfg(feature = "hdf5")]
mod adc2021;
#[cfg(feature = "hdf5")]
mod cylinder;
#[cfg(feature = "hdf5")]
mod hdf5;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "hdf5", feature = "parquet"))]
mod unfinished;

use std::path::{Path, PathBuf};

use crate::event::{Block, BlockError, ColumnSet};

/// A format that streams can be written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The schema of the public set `anomaly_detection_cmsl1t`.
    Parquet,
    /// The layout of ADC2021.
    Adc2021,
    /// The training layout of AXOL1TL.
    Cylinder {
        /// Name of the data set.
        key: String,
        /// 19 objects instead of 33.
        reduced: bool,
    },
}

/// Why a stream could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The operating system refused something.
    #[error("`{path}`: could not {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted, as a verb phrase.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The library of the format refused something.
    #[error("`{path}`: could not write it: {reason}")]
    Library {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// The stream lacks what every event of the format has.
    #[error(
        "the stream has no columns {missing}, which every event of {format} has\nhint: convert it \
         again with these columns, or to a format that does without"
    )]
    Missing {
        /// Name of the format.
        format: &'static str,
        /// Names of columns.
        missing: String,
    },
    /// This build cannot write the format.
    #[error("this build has no {format} writer\nhint: build with `--features {feature}`")]
    FeatureMissing {
        /// Name of the format.
        format: &'static str,
        /// Cargo feature that brings the writer.
        feature: &'static str,
    },
    /// A block that does not hold together.
    #[error("block to be written: {0}")]
    Block(#[from] BlockError),
}

/// What a format cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Columns of the stream that it has no place for.
    pub columns: ColumnSet,
    /// Values that did not fit, each with what they are. Those that are zero are among them.
    pub counts: Vec<(u64, &'static str)>,
}

/// Writes one file.
pub trait Exporter {
    /// Appends the events of a block.
    ///
    /// # Errors
    /// A block that does not hold together, or what the system or the format's library refuses.
    fn write(&mut self, block: &Block) -> Result<(), ExportError>;

    /// Completes the file and gives it its name. Returns its size in bytes.
    ///
    /// # Errors
    /// As [`Exporter::write`]; nothing has the final name then.
    fn finish(&mut self) -> Result<u64, ExportError>;

    /// What was left out so far.
    fn losses(&self) -> Losses;
}

/// Begins a file that will be called `path`, for events with these columns.
///
/// # Errors
/// Columns that the format needs and the stream lacks, a file that cannot be made, a format that
/// this build was made without.
pub fn create(
    path: &Path,
    target: &Target,
    columns: ColumnSet,
) -> Result<Box<dyn Exporter>, ExportError> {
    match target {
        Target::Parquet => create_parquet(path, columns),
        Target::Adc2021 | Target::Cylinder { .. } => create_hdf5(path, target, columns),
    }
}

#[cfg(feature = "parquet")]
fn create_parquet(path: &Path, columns: ColumnSet) -> Result<Box<dyn Exporter>, ExportError> {
    Ok(Box::new(parquet::ParquetExporter::create(path, columns)?))
}

#[cfg(not(feature = "parquet"))]
fn create_parquet(_: &Path, _: ColumnSet) -> Result<Box<dyn Exporter>, ExportError> {
    Err(ExportError::FeatureMissing { format: "parquet", feature: "parquet" })
}

#[cfg(feature = "hdf5")]
fn create_hdf5(
    path: &Path,
    target: &Target,
    columns: ColumnSet,
) -> Result<Box<dyn Exporter>, ExportError> {
    Ok(match target {
        Target::Cylinder { key, reduced } => {
            Box::new(cylinder::CylinderExporter::create(path, columns, key, *reduced)?)
        }
        Target::Adc2021 | Target::Parquet => {
            Box::new(adc2021::Adc2021Exporter::create(path, columns)?)
        }
    })
}

#[cfg(not(feature = "hdf5"))]
fn create_hdf5(_: &Path, _: &Target, _: ColumnSet) -> Result<Box<dyn Exporter>, ExportError> {
    Err(ExportError::FeatureMissing { format: "HDF5", feature: "hdf5" })
}
