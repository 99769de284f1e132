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
//! Formats are recognised by content ([`sniff`]), never by name. Importers convert to hardware
//! integers and check every value against its field; they do not select, scale or correct events.

#[cfg(feature = "hdf5")]
pub mod adc2021;
mod error;
mod files;
#[cfg(any(feature = "parquet", feature = "hdf5"))]
mod guard;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod place;

use std::ops::Range;
use std::path::PathBuf;

pub use error::ImportError;
pub use files::{Format, SourceFile, sniff};
pub use place::{Place, PlaceCounts, PlaceOptions, Placer};

use crate::event::{Block, ColumnSet};

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
}

/// What to read, and how strictly.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Rows of all files laid end to end; `None` = all of them.
    pub rows: Option<Range<u64>>,
    /// Keep rows that are marked as saturated and clamp their values, instead of dropping them.
    pub keep_saturated: bool,
}

/// Files of one of the field's formats, as one stream of events.
pub trait Importer {
    /// Columns of every chunk: what all files have.
    fn columns(&self) -> ColumnSet;

    /// Whether the files say in which crossing of which run each event happened. Simulation does
    /// not: its events have to be placed by a filling scheme.
    fn placed(&self) -> bool;

    /// Rows that will be read in all, for progress.
    fn n_events(&self) -> u64;

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
}

/// Opens files of any format that this build can read, recognised by content.
///
/// # Errors
/// No file; a file that is missing, empty, of an unknown format, of another format than the ones
/// before it, or refused by its importer; a format that this build was made without.
pub fn open(paths: &[PathBuf], options: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    match files::common_format(paths)? {
        Format::Parquet => open_parquet(paths, options),
        Format::Hdf5 => open_hdf5(paths, options),
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
    Ok(Box::new(adc2021::Adc2021Importer::open(paths, options)?))
}

#[cfg(not(feature = "hdf5"))]
fn open_hdf5(paths: &[PathBuf], _: &ImportOptions) -> Result<Box<dyn Importer>, ImportError> {
    let path = paths[0].clone();
    Err(ImportError::FeatureMissing { path, format: "HDF5", feature: "hdf5" })
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
