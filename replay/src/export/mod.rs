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

use std::path::{Path, PathBuf};

use crate::event::{Block, BlockError, ColumnSet};
use crate::format::temporary_name;

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
        #[cfg(feature = "parquet")]
        Target::Parquet => Ok(Box::new(parquet::ParquetExporter::create(path, columns)?)),
        #[cfg(not(feature = "parquet"))]
        Target::Parquet => {
            Err(ExportError::FeatureMissing { format: "parquet", feature: "parquet" })
        }
        #[cfg(feature = "hdf5")]
        Target::Adc2021 => Ok(Box::new(adc2021::Adc2021Exporter::create(path, columns)?)),
        #[cfg(feature = "hdf5")]
        Target::Cylinder { key, reduced } => {
            Ok(Box::new(cylinder::CylinderExporter::create(path, columns, key, *reduced)?))
        }
        #[cfg(not(feature = "hdf5"))]
        Target::Adc2021 | Target::Cylinder { .. } => {
            Err(ExportError::FeatureMissing { format: "HDF5", feature: "hdf5" })
        }
    }
}

/// A file under its temporary name.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    named: bool,
}

impl Unfinished {
    fn new(path: &Path) -> Unfinished {
        Unfinished { path: path.into(), temporary: temporary_name(path), named: false }
    }

    /// Syncs the file and gives it its name; returns its size.
    fn name(&mut self) -> Result<u64, ExportError> {
        let file = std::fs::File::options().append(true).open(&self.temporary);
        let file = file.map_err(self.io("open it"))?;
        file.sync_all().map_err(self.io("sync it"))?;
        let bytes = file.metadata().map_err(self.io("look at it"))?.len();
        std::fs::rename(&self.temporary, &self.path).map_err(self.io("name it"))?;
        self.named = true;
        Ok(bytes)
    }

    fn io(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> ExportError {
        let path = self.path.clone();
        move |source| ExportError::Io { path, action, source }
    }

    fn library(&self, reason: impl std::fmt::Display) -> ExportError {
        ExportError::Library { path: self.path.clone(), reason: reason.to_string() }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A failure to remove it cannot be reported from here; its name says that it is unfinished.
        if !self.named {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
