//! The training layout of AXOL1TL and of the published forest study: HDF5 in hardware integers.
//!
//! A data set `full_data_cyl` of shape (events, 33, 3), pT, eta and phi of MET, 12 e/gammas, 8 muons
//! and 12 jets, or its reduction to 19 objects (MET, 4, 4, 10: the 57 inputs of AXOL1TL); also flat,
//! as 99 or 57 columns. Signals are data sets of the same shape under their own names
//! ([`ImportOptions::key`]). Values are hardware integers in any type of number; a slot of pT 0 is
//! empty. The usual 16-bit floats hold integers up to 2048 exactly: what is larger in such a file has
//! been rounded by whoever wrote it.
//!
//! Beside it, if they are there: `event_info` (events, 6), of which luminosity section, event number and
//! number of vertices are taken (a run and a crossing without an orbit place no event), and `L1bit`,
//! or `<signal>_l1bit`. The format knows neither muon quality and charge nor taus nor other sums.

mod file;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::adc2021::PARTICLES;
use super::files::{self, Span, name_of};
use super::{
    CHUNK_EVENTS, Chunk, ImportError, ImportOptions, ImportTally, Importer, SourceFile, hdf5,
};
use crate::event::{Block, Collection, Column, ColumnSet};
pub(crate) use file::{FEATURES, Slots};
use file::{OpenFile, Piece};

/// The data set of background.
pub const FULL_DATA: &str = "full_data_cyl";

/// What an HDF5 file holds.
pub(super) enum Content {
    /// The layout of ADC2021.
    Adc2021,
    /// This layout, under this name.
    Cylinder(String),
}

/// Tells which of the two layouts a file has: by a data set `Particles`, by a key that is asked for,
/// by `full_data_cyl`, or by the one data set that has the shape.
///
/// # Errors
/// An unreadable file, one with neither, or with several data sets of the shape.
pub(super) fn content(path: &Path, key: Option<&str>) -> Result<Content, ImportError> {
    if let Some(key) = key {
        return Ok(match key {
            PARTICLES => Content::Adc2021,
            _ => Content::Cylinder(key.into()),
        });
    }
    let name = name_of(path);
    let file = hdf5::open(path, &name)?;
    if hdf5::find(&file, PARTICLES, &name)?.is_some() {
        return Ok(Content::Adc2021);
    }
    let mut sets = file.dataset_names();
    sets.retain(|set| {
        hdf5::find(&file, set, &name)
            .is_ok_and(|found| found.is_some_and(|found| Slots::of(&found.shape()).is_some()))
    });
    if sets.iter().any(|set| set == FULL_DATA) {
        return Ok(Content::Cylinder(FULL_DATA.into()));
    }
    let shown = sets.iter().map(|set| set.escape_default().to_string()).collect::<Vec<_>>();
    match (sets.pop(), sets.is_empty()) {
        (Some(set), true) => Ok(Content::Cylinder(set)),
        (one, _) => Err(ImportError::Unsupported {
            file: name,
            what: "data sets".into(),
            expected: format!("{PARTICLES} or {FULL_DATA}"),
            found: if one.is_none() { "neither".into() } else { shown.join(", ") },
            hint: "`--key NAME` names the data set; its shape has to be (events, 33, 3), \
                   (events, 19, 3), (events, 99) or (events, 57)",
        }),
    }
}

/// Reads files of this layout as one stream.
pub struct CylinderImporter {
    spans: std::vec::IntoIter<Span>,
    sources: Vec<SourceFile>,
    n_events: u64,
    key: String,
    columns: ColumnSet,
    current: Option<OpenFile>,
    tally: ImportTally,
    objects: Vec<[i16; 3]>,
}

impl CylinderImporter {
    /// Opens the files and checks types and shapes of the data set `key` of each, and of what is
    /// beside it. Columns that not every file has are left out.
    ///
    /// # Errors
    /// No file, an unreadable one, a data set that is missing or of another type or shape, rows
    /// that do not exist.
    pub fn open(
        paths: &[PathBuf],
        key: &str,
        options: &ImportOptions,
    ) -> Result<Self, ImportError> {
        if paths.is_empty() {
            return Err(ImportError::NoFiles);
        }
        let mut columns = ColumnSet::ALL;
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let file = OpenFile::open(path, key, ColumnSet::ALL)?;
            columns = columns.intersection(file.columns());
            files.push((path.clone(), file.n_rows()));
        }
        let spans = files::spans(&files, options.rows.as_ref())?;
        let sources = files::sources(&spans)?;
        Ok(CylinderImporter {
            n_events: sources.iter().map(|source| source.n_rows).sum(),
            spans: spans.into_iter(),
            sources,
            key: key.into(),
            columns,
            current: None,
            tally: ImportTally::default(),
            objects: Vec::new(),
        })
    }
}

impl Importer for CylinderImporter {
    fn columns(&self) -> ColumnSet {
        self.columns
    }

    fn placed(&self) -> bool {
        false
    }

    fn n_events(&self) -> u64 {
        self.n_events
    }

    fn sources(&self) -> &[SourceFile] {
        &self.sources
    }

    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, ImportError> {
        chunk.reset(self.columns);
        let piece = loop {
            if let Some(file) = &mut self.current
                && let Some(piece) = file.read(CHUNK_EVENTS)?
            {
                break piece;
            }
            let Some(span) = self.spans.next() else { return Ok(false) };
            let mut file = OpenFile::open(&span.path, &self.key, self.columns)?;
            file.seek(span.rows);
            self.current = Some(file);
        };
        let n_rows = piece.n_rows();
        for row in 0..n_rows {
            let met = piece.met(row)?;
            chunk.events.get_mut::<i16>(Column::MetPt).push(met[0]);
            chunk.events.get_mut::<i16>(Column::MetPhi).push(met[1]);
            for collection in [Collection::EGamma, Collection::Muon, Collection::Jet] {
                let (empty, sorted) = objects(&piece, row, collection, &mut self.objects)?;
                self.tally.empty_objects += empty;
                self.tally.resorted_lists += u64::from(sorted);
                append(&mut chunk.events, collection, &self.objects);
            }
        }
        piece.copy_beside(self.columns, &mut chunk.events)?;
        for column in [Column::Orbit, Column::Bx, Column::TauN] {
            chunk.events.entries_mut(column).resize(n_rows);
        }
        chunk.runs.resize(n_rows, 0);
        self.tally.rows += n_rows as u64;
        self.tally.kept += n_rows as u64;
        chunk.events.index_objects().map_err(ImportError::Chunk)?;
        Ok(true)
    }

    fn tally(&self) -> ImportTally {
        self.tally
    }
}

/// Replaces `to` by the objects of an event in descending pT code. Returns how many slots before
/// the last object are empty, and whether the objects had to be sorted.
fn objects(
    piece: &Piece<'_>,
    row: usize,
    collection: Collection,
    to: &mut Vec<[i16; 3]>,
) -> Result<(u64, bool), ImportError> {
    to.clear();
    let (mut empty, mut pending) = (0, 0);
    for slot in piece.slots.of_collection(collection) {
        match piece.object(row, slot, collection)? {
            Some(object) => {
                to.push(object);
                empty += std::mem::take(&mut pending);
            }
            None => pending += 1,
        }
    }
    let sorted = to.is_sorted_by(|a, b| a[0] >= b[0]);
    if !sorted {
        to.sort_by_key(|object| std::cmp::Reverse(object[0]));
    }
    Ok((empty, !sorted))
}

fn append(block: &mut Block, collection: Collection, objects: &[[i16; 3]]) {
    let (Some(columns), Some(count)) = (collection.kinematics(), collection.count_column()) else {
        return;
    };
    block.get_mut::<u8>(count).push(objects.len() as u8);
    for (i, column) in columns.into_iter().enumerate() {
        block.get_mut::<i16>(column).extend(objects.iter().map(|object| object[i]));
    }
}
