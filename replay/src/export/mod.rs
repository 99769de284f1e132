//! Streams written in the field's own formats.
//!
//! An [`Exporter`] takes the blocks of a stream in order and finishes files of one format:
//!
//! ```text
//! .s40 ──► Block: whole orbits, ascending ──► Exporter ──► temporary name ──finish──► OUT
//! ```
//!
//! Memory is that of one orbit and of buffers. What a format has no place for is left out and
//! told ([`ExportSummary`]). Nothing has its final name before it is whole.
//!
//! The formats themselves are in [`raw`](crate::raw).

mod frd;
mod output;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};

use crate::event::{Block, ColumnSet};
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
}

impl Target {
    /// Every one, in the order of help texts.
    pub const ALL: [Target; 4] = [Target::Frd, Target::Cmssw, Target::Native64, Target::Dth256];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Target::Frd => "frd",
            Target::Cmssw => "cmssw",
            Target::Native64 => "native64",
            Target::Dth256 => "dth256",
        }
    }
}

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Run 3: which board of the calorimeter is imitated.
    pub calo: Calo,
    /// Phase 2: what the words are; `None` = what the stream has.
    pub payload: Option<Payload>,
}

/// Why an export stopped.
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
    /// Orbits.
    pub orbits: u64,
    /// Crossings of the stream.
    pub crossings: u64,
    /// Crossings that no file holds, because they have no object of any source.
    pub suppressed: u64,
    /// Objects for which an event of the format has no room.
    pub left_out_objects: u64,
    /// Columns that have no place in the format.
    pub left_out: ColumnSet,
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
    /// The operating system's refusal; the exporter is then of no further use.
    fn write(&mut self, block: &Block) -> Result<(), ExportError>;

    /// Finishes the files and gives them their names.
    ///
    /// # Errors
    /// The operating system's refusal; nothing has its final name then.
    fn finish(self: Box<Self>) -> Result<ExportSummary, ExportError>;
}

/// Begins the output `path` of a stream with these columns.
///
/// # Errors
/// A stream that has nothing for this format, a folder that exists, the operating system's
/// refusal.
pub fn create(
    target: Target,
    path: &Path,
    columns: ColumnSet,
    options: ExportOptions,
) -> Result<Box<dyn Exporter>, ExportError> {
    let payload = || {
        let expected = "Puppi candidates, track muons, or objects of Run 3";
        let nothing = ExportError::Nothing { target: target.name(), expected };
        options.payload.or(Payload::of_columns(columns)).ok_or(nothing)
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
                let expected = "muons, calorimeter objects, energy sums, stubs";
                return Err(ExportError::Nothing { target: target.name(), expected });
            }
            Box::new(frd::FrdExporter::run3(path, columns, sources)?)
        }
    })
}
