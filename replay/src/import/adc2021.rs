//! ADC2021 ("unsupervised new physics detection at 40 MHz") and files of its layout: HDF5.
//!
//! Data set `Particles` of shape (events, 19, 4): pT in GeV, eta, phi in rad, class. Slot 0 is
//! MET, 1–4 are e/gammas, 5–8 muons, 9–18 jets; a slot of pT 0 is empty, whatever its phi. Values
//! are encoded to hardware integers by [`units`](crate::units), nearest code; what lies beyond a
//! field is clamped and counted. Optional data sets: `n_pu` (pile-up) and `EvtId` (event number).
//!
//! The format knows no crossing numbers, muon charge or quality, isolation, taus or sums other
//! than MET; none is made up here. Slices of whole storage chunks are read, so that each is
//! decompressed once; memory is that of one such slice, which the file decides, if its chunks
//! are larger than [`CHUNK_EVENTS`].

mod encode;
mod file;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::files::{self, Span};
use super::{CHUNK_EVENTS, Chunk, ImportError, ImportOptions, ImportTally, Importer, SourceFile};
use crate::event::{Column, ColumnSet, Group};
use encode::Encoder;
use file::OpenFile;
pub(super) use file::PARTICLES;

/// Reads ADC2021 files as one stream.
pub struct Adc2021Importer {
    spans: std::vec::IntoIter<Span>,
    sources: Vec<SourceFile>,
    n_events: u64,
    columns: ColumnSet,
    current: Option<OpenFile>,
    encoder: Encoder,
}

impl Adc2021Importer {
    /// Opens the files and checks names, types and shapes. Optional data sets that not every
    /// file has are left out.
    ///
    /// # Errors
    /// No file, an unreadable one, a data set that is missing or of another type or shape, rows
    /// that do not exist.
    pub fn open(paths: &[PathBuf], options: &ImportOptions) -> Result<Self, ImportError> {
        if paths.is_empty() {
            return Err(ImportError::NoFiles);
        }
        let mut columns = ColumnSet::ALL;
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let file = OpenFile::open(path, ColumnSet::ALL)?;
            columns = columns.intersection(file.columns());
            files.push((path.clone(), file.n_rows()));
        }
        let spans = files::spans(&files, options.rows.as_ref())?;
        let sources = files::sources(&spans)?;
        Ok(Adc2021Importer {
            n_events: sources.iter().map(|source| source.n_rows).sum(),
            spans: spans.into_iter(),
            sources,
            columns,
            current: None,
            encoder: Encoder::default(),
        })
    }
}

/// What every file of this layout has.
fn kinematics() -> ColumnSet {
    let groups = [Group::Met, Group::Muon, Group::EGamma, Group::Jet];
    groups.into_iter().fold(ColumnSet::skeleton(), |set, group| set.union(group.columns()))
}

impl Importer for Adc2021Importer {
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
            let mut file = OpenFile::open(&span.path, self.columns)?;
            file.seek(span.rows);
            self.current = Some(file);
        };
        self.encoder.encode(&piece, chunk)?;
        let n_rows = piece.n_rows();
        if self.columns.contains(Column::Event) {
            piece.copy_event_numbers(chunk.events.get_mut::<u64>(Column::Event))?;
        }
        if self.columns.contains(Column::PileUp) {
            chunk.events.get_mut::<f32>(Column::PileUp).extend_from_slice(piece.pile_up);
        }
        for column in [Column::Orbit, Column::Bx, Column::TauN] {
            chunk.events.entries_mut(column).resize(n_rows);
        }
        chunk.runs.resize(n_rows, 0);
        chunk.events.index_objects().map_err(ImportError::Chunk)?;
        Ok(true)
    }

    fn tally(&self) -> ImportTally {
        self.encoder.tally
    }
}
