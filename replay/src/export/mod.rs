//! Streams written in the field's own formats: what [`import`](crate::import) reads.
//!
//! An [`Exporter`] takes the blocks of a stream in order and finishes files of one format:
//!
//! ```text
//! .s40 ──► Block: whole orbits, ascending ──► Exporter ──► temporary name ──finish──► OUT
//! ```
//!
//! Memory is that of one orbit, or of a piece of bounded size. What a format has no place for is
//! left out and counted ([`ExportSummary`]): it is for the caller to tell. Nothing has its final
//! name before it is whole, and what does not come to that is removed when its exporter is dropped.
//!
//! The binary formats of scouting themselves are in [`raw`](crate::raw).

#[cfg(feature = "hdf5")]
mod adc2021;
#[cfg(feature = "hdf5")]
mod cylinder;
mod frd;
#[cfg(feature = "hdf5")]
mod hdf5;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod raw_tests;
#[cfg(test)]
mod tests;
mod unfinished;
mod words;

use std::path::{Path, PathBuf};

use crate::event::{Block, BlockError, ColumnSet};
use crate::raw::objects::Payload;
use crate::raw::run3::{Calo, Source};

/// A format that streams are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A folder of FRD files, one for each Run-3 source.
    Frd,
    /// A folder of FRD files with Phase-2 events ("CMSSW mode").
    Cmssw,
    /// A file of bare Native64 events.
    Native64,
    /// A file of DTHBasic256 blocks with Native64 events.
    Dth256,
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
    pub const ALL: [Target; 8] = [
        Target::Frd,
        Target::Cmssw,
        Target::Native64,
        Target::Dth256,
        Target::Parquet,
        Target::Adc2021,
        Target::FullDataCyl,
        Target::FullDataCyl57,
    ];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Target::Frd => "frd",
            Target::Cmssw => "cmssw",
            Target::Native64 => "native64",
            Target::Dth256 => "dth256",
            Target::Parquet => "parquet",
            Target::Adc2021 => "adc2021",
            Target::FullDataCyl => "full-data-cyl",
            Target::FullDataCyl57 => "full-data-cyl57",
        }
    }

    /// Whether it is written orbit by orbit, so that orbits must ascend.
    #[must_use]
    pub const fn has_orbits(self) -> bool {
        matches!(self, Target::Frd | Target::Cmssw | Target::Native64 | Target::Dth256)
    }
}

/// How to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Run 3: which board of the calorimeter is imitated.
    pub calo: Calo,
    /// Phase 2: what the words are; `None` = what the stream has.
    pub payload: Option<Payload>,
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
        /// File or folder.
        path: PathBuf,
        /// What was attempted, as a verb phrase.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The output is there already.
    #[error("`{path}` exists, and a folder is never overwritten\nhint: name another one")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The stream has nothing that the format can hold.
    #[error(
        "the stream has none of what `{target}` holds ({expected})\nhint: `scout40 inspect` shows \
         its columns"
    )]
    Nothing {
        /// Name of the format.
        target: &'static str,
        /// What it holds.
        expected: &'static str,
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

impl ExportError {
    fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| ExportError::Io { path, action, source }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Files, in the order in which they were begun, with their bytes.
    pub files: Vec<(PathBuf, u64)>,
    /// Crossings of the stream.
    pub crossings: u64,
    /// Columns that have no place in the format.
    pub left_out: ColumnSet,
    /// Crossings, objects and values that were left out, each with what they are. Those that are none
    /// are among them.
    pub left_out_values: Vec<(u64, &'static str)>,
    /// What the words are, in formats that do not say it.
    pub payload: Option<Payload>,
    /// Whether muons got a quality that the stream does not know.
    pub made_up_quality: bool,
}

/// Writes one stream in one format.
pub trait Exporter {
    /// Appends a block: whole orbits of one run, after all that was written before.
    ///
    /// # Errors
    /// A block that does not hold together, or what the system or the format's library refuses; the
    /// exporter is then of no further use.
    fn write(&mut self, block: &Block) -> Result<(), ExportError>;

    /// Finishes the files and gives them their names.
    ///
    /// # Errors
    /// As [`Exporter::write`]; nothing has its final name then.
    fn finish(self: Box<Self>) -> Result<ExportSummary, ExportError>;
}

/// Begins the output `path` of a stream with these columns.
///
/// # Errors
/// A stream that has nothing for this format or lacks what the format needs, a folder that exists,
/// a file that cannot be made, a format that this build was made without.
pub fn create(
    target: Target,
    path: &Path,
    columns: ColumnSet,
    options: &ExportOptions,
) -> Result<Box<dyn Exporter>, ExportError> {
    let nothing = |expected| ExportError::Nothing { target: target.name(), expected };
    let payload = || {
        let known = options.payload.or(Payload::of_columns(columns));
        known.ok_or(nothing("Puppi candidates, track muons, or objects of Run 3"))
    };
    Ok(match target {
        Target::Native64 => {
            Box::new(words::WordsExporter::create(path, columns, payload()?, false)?)
        }
        Target::Dth256 => Box::new(words::WordsExporter::create(path, columns, payload()?, true)?),
        Target::Cmssw => Box::new(frd::FrdExporter::phase2(path, columns, payload()?)?),
        Target::Frd => {
            let sources = Source::of_columns(columns, options.calo);
            if sources.is_empty() {
                return Err(nothing("muons, calorimeter objects, energy sums, stubs"));
            }
            Box::new(frd::FrdExporter::run3(path, columns, sources)?)
        }
        Target::Parquet => create_parquet(path, columns)?,
        Target::Adc2021 | Target::FullDataCyl | Target::FullDataCyl57 => {
            create_hdf5(target, path, columns, options)?
        }
    })
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
