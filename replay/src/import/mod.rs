//! The field's own formats, read as one stream of loose events.
//!
//! An [`Importer`] reads several files in the order given as one stream and hands it on in
//! [`Chunk`]s of bounded size; a [`Placer`] turns the chunks into blocks of whole orbits. Neither
//! holds more than a few chunks, whatever the size of the files.
//!
//! ```text
//! files ──► Importer ──► Chunk: events in file order ──► Placer ──► Block: whole orbits, ascending
//!           checks, drops, encodes                       filling scheme, or sort by crossing
//! ```
//!
//! Formats are recognised by content ([`recognise()`]), never by name. Importers convert to hardware
//! integers and check every value against its field; they do not select, scale or correct events.

#[cfg(feature = "hdf5")]
pub mod adc2021;
#[cfg(feature = "hdf5")]
pub mod cylinder;
mod error;
mod files;
#[cfg(any(feature = "parquet", feature = "hdf5", feature = "root"))]
mod guard;
#[cfg(feature = "hdf5")]
mod hdf5;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(any(feature = "hdf5", feature = "root"))]
mod physical;
pub mod place;
pub mod raw;
mod recognise;
#[cfg(feature = "root")]
pub mod root;

use std::ops::Range;
use std::path::PathBuf;

pub use error::ImportError;
pub use files::SourceFile;
pub use place::{Place, PlaceCounts, PlaceOptions, Placer};
pub use recognise::{Format, recognise};

use crate::event::{Block, ColumnSet};
use crate::raw::objects::Payload;

/// Most events in one chunk.
pub const CHUNK_EVENTS: usize = 8192;

/// Loose events in file order.
///
/// Orbit, crossing number and luminosity section are as recorded; both numbers are 0 where the
/// file does not know them. The events' own `run` is not used.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The events. Objects are sorted by pT; crossings need not be sorted.
    pub events: Block,
    /// Run of each event, 0 where the file does not know it. **Shape**: one per event.
    pub runs: Vec<u32>,
}

impl Chunk {
    /// Empties it, and sets which columns it holds.
    pub fn reset(&mut self, columns: ColumnSet) {
        self.events.reset(0, columns);
        self.runs.clear();
    }
}

/// What happened to the rows read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportTally {
    /// Rows read: `rows = kept + dropped_saturated`.
    pub rows: u64,
    /// Rows that became events.
    pub kept: u64,
    /// Rows left out because the standard preprocessing calls them saturated.
    pub dropped_saturated: u64,
    /// Values beyond their field that were set to its limit.
    pub clamped: u64,
    /// Entries of pT 0, which are no objects, in lists of objects.
    pub empty_objects: u64,
    /// Lists of objects that were not in descending pT and were sorted.
    pub resorted_lists: u64,
    /// Objects that belong to crossings before or after the one of the event, left out.
    pub other_crossings: u64,
}

/// What to read, and how strictly.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Rows of all files laid end to end; `None` = all of them.
    pub rows: Option<Range<u64>>,
    /// Keep rows that are marked as saturated and clamp their values, instead of dropping them.
    pub keep_saturated: bool,
    /// What the words of Phase-2 events are; `None` = to be found out.
    pub payload: Option<Payload>,
    /// Which part of a file that has several: a data set of HDF5, a tree of ROOT. `None` = the usual
    /// one of its format.
    pub key: Option<String>,
}

/// Files of one of the field's formats, as one stream of events.
pub trait Importer {
    /// Columns of every chunk: what all files have.
    fn columns(&self) -> ColumnSet;

    /// Whether the files say in which crossing of which run each event happened. Simulation does
    /// not: its events have to be placed by a filling scheme.
    fn placed(&self) -> bool;

    /// Whether the events come in ascending order of run, orbit and crossing, each once.
    fn is_sorted(&self) -> bool {
        false
    }

    /// What there is to read, for progress: rows, or bytes where rows cannot be counted before.
    fn n_events(&self) -> u64;

    /// What of that has been read.
    fn n_done(&self) -> u64 {
        self.tally().rows
    }

    /// The files that rows come from, in order, for provenance.
    fn sources(&self) -> &[SourceFile];

    /// Fills `chunk` with the next events, at most [`CHUNK_EVENTS`]; `false` at the end of the
    /// stream. A chunk may be empty if all its rows were dropped.
    ///
    /// # Errors
    /// A file that cannot be read, or a row that breaks the rules of its format. The stream ends
    /// there: the chunk's contents are then unspecified.
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, ImportError>;

    /// What happened to the rows read so far.
    fn tally(&self) -> ImportTally;

    /// What else happened, as numbers and what of.
    fn notes(&self) -> Vec<(u64, &'static str)> {
        Vec::new()
    }

    /// What was wrong in the files and did not stop the import: the first places of each kind,
    /// with file, byte and orbit.
    fn problems(&self) -> &[String] {
        &[]
    }
}

/// Opens files of any format that this build can read, recognised by content.
///
/// # Errors
/// No file; a file that is missing, empty, of an unknown format, of another format than the ones
/// before it, or refused by its importer; a format that this build was made without.
pub fn open(paths: &[PathBuf], options: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    match recognise::common_format(paths)? {
        Format::Stream => Err(ImportError::Stream { path: paths[0].clone() }),
        Format::Parquet => open_parquet(paths, options),
        Format::Hdf5 => open_hdf5(paths, options),
        format @ (Format::Frd | Format::FrdPhase2 | Format::Native64 | Format::Dth256) => {
            Ok(Box::new(raw::RawImporter::open(paths, format, options)?))
        }
        Format::Root => open_root(paths, options),
    }
}

#[cfg(feature = "parquet")]
fn open_parquet(
    paths: &[PathBuf],
    options: &ImportOptions,
) -> Result<Box<dyn Importer>, ImportError> {
    Ok(Box::new(parquet::ParquetImporter::open(paths, options)?))
}

#[cfg(not(feature = "parquet"))]
fn open_parquet(paths: &[PathBuf], _: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    let path = paths[0].clone();
    Err(ImportError::FeatureMissing { path, format: "parquet", feature: "parquet" })
}

#[cfg(feature = "hdf5")]
fn open_hdf5(paths: &[PathBuf], options: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    Ok(match cylinder::content(&paths[0], options.key.as_deref())? {
        cylinder::Content::Adc2021 => Box::new(adc2021::Adc2021Importer::open(paths, options)?),
        cylinder::Content::Cylinder(key) => {
            Box::new(cylinder::CylinderImporter::open(paths, &key, options)?)
        }
    })
}

#[cfg(not(feature = "hdf5"))]
fn open_hdf5(paths: &[PathBuf], _: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    let path = paths[0].clone();
    Err(ImportError::FeatureMissing { path, format: "HDF5", feature: "hdf5" })
}

#[cfg(feature = "root")]
fn open_root(paths: &[PathBuf], options: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    Ok(Box::new(root::RootImporter::open(paths, options)?))
}

#[cfg(not(feature = "root"))]
fn open_root(paths: &[PathBuf], _: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    let path = paths[0].clone();
    Err(ImportError::FeatureMissing { path, format: "ROOT", feature: "root" })
}

/// Whether all bits of an integer are set, in its own width or a wider one: what simulation has
/// for crossing numbers.
#[cfg(any(feature = "parquet", feature = "root"))]
fn all_ones(value: i64) -> bool {
    [-1, i64::from(u32::MAX), i64::from(u16::MAX)].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_known_format_goes_to_its_importer_or_names_the_missing_feature() {
        let folder = tempfile::tempdir().unwrap();
        for (magic, built) in [
            (&b"PAR1"[..], cfg!(feature = "parquet")),
            (&b"\x89HDF\r\n\x1a\n"[..], cfg!(feature = "hdf5")),
            (&b"root"[..], cfg!(feature = "root")),
        ] {
            let path = folder.path().join("magic and nothing else");
            std::fs::write(&path, magic).unwrap();
            match open(&[path], &ImportOptions::default()).err().unwrap() {
                ImportError::Damaged { .. } => assert!(built),
                ImportError::FeatureMissing { .. } => assert!(!built),
                other => panic!("{other}"),
            }
        }
        assert!(matches!(open(&[], &ImportOptions::default()), Err(ImportError::NoFiles)));
    }
}
