//! Streams to the field's own formats: what [`import`](crate::import) reads, written.
//!
//! An [`Exporter`] takes blocks in order and writes them in pieces of bounded size, whatever the
//! length of the stream. What its format cannot hold is left out and counted ([`ExportSummary`]): it is
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

/// A format that streams are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Parquet in the schema of the public set `anomaly_detection_cmsl1t`.
    Parquet,
    /// HDF5 in the layout of ADC2021.
    Adc2021,
    /// HDF5 in the training layout of AXOL1TL: hardware integers of 33 objects.
    FullDataCyl,
    /// The same of 19 objects: 57 inputs.
    FullDataCyl57,
}

impl Target {
    /// Every one, in the order of help texts.
    pub const ALL: [Target; 4] =
        [Target::Parquet, Target::Adc2021, Target::FullDataCyl, Target::FullDataCyl57];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Target::Parquet => "parquet",
            Target::Adc2021 => "adc2021",
            Target::FullDataCyl => "full-data-cyl",
            Target::FullDataCyl57 => "full-data-cyl57",
        }
    }
}

/// How to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Data set of the training layout; `None` = `full_data_cyl`.
    pub key: Option<String>,
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

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Files with their bytes.
    pub files: Vec<(PathBuf, u64)>,
    /// Crossings of the stream.
    pub crossings: u64,
    /// Columns that have no place in the format.
    pub left_out: ColumnSet,
    /// Objects and values that did not fit, each with what they are. Those that are none are among
    /// them.
    pub left_out_values: Vec<(u64, &'static str)>,
}

/// Writes one stream in one format.
pub trait Exporter {
    /// Appends the events of a block.
    ///
    /// # Errors
    /// A block that does not hold together, or what the system or the format's library refuses; the
    /// exporter is then of no further use.
    fn write(&mut self, block: &Block) -> Result<(), ExportError>;

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// As [`Exporter::write`]; nothing has the final name then.
    fn finish(self: Box<Self>) -> Result<ExportSummary, ExportError>;
}

/// Begins a file that will be called `path`, for events with these columns.
///
/// # Errors
/// Columns that the format needs and the stream lacks, a file that cannot be made, a format that
/// this build was made without.
pub fn create(
    target: Target,
    path: &Path,
    columns: ColumnSet,
    options: &ExportOptions,
) -> Result<Box<dyn Exporter>, ExportError> {
    match target {
        Target::Parquet => create_parquet(path, columns),
        Target::Adc2021 | Target::FullDataCyl | Target::FullDataCyl57 => {
            create_hdf5(target, path, columns, options)
        }
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
    target: Target,
    path: &Path,
    columns: ColumnSet,
    options: &ExportOptions,
) -> Result<Box<dyn Exporter>, ExportError> {
    let key = options.key.as_deref().unwrap_or(crate::import::cylinder::FULL_DATA);
    let reduced = target == Target::FullDataCyl57;
    Ok(match target {
        Target::Adc2021 => Box::new(adc2021::Adc2021Exporter::create(path, columns)?),
        _ => Box::new(cylinder::CylinderExporter::create(path, columns, key, reduced)?),
    })
}

#[cfg(not(feature = "hdf5"))]
fn create_hdf5(
    _: Target,
    _: &Path,
    _: ColumnSet,
    _: &ExportOptions,
) -> Result<Box<dyn Exporter>, ExportError> {
    Err(ExportError::FeatureMissing { format: "HDF5", feature: "hdf5" })
}
