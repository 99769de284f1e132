//! What exporters to HDF5 share: data sets that grow by whole storage chunks.

use std::path::{Path, PathBuf};

use rust_hdf5::types::H5Type;
use rust_hdf5::{H5Dataset, H5File};

use super::ExportError;
use super::unfinished::Unfinished;
use crate::event::{Block, Collection, Column, ColumnSet, Group};

/// Rows of one storage chunk.
pub(super) const CHUNK_ROWS: usize = 4096;
const DEFLATE_LEVEL: u32 = 4;

/// A file that is being written.
pub(super) struct Hdf5File {
    pub unfinished: Unfinished,
    file: Option<H5File>,
}

/// A data set and the rows that do not fill a storage chunk yet.
pub(super) struct Rows<T> {
    set: Option<H5Dataset>,
    /// Values of one row.
    row: usize,
    pub values: Vec<T>,
}

impl Hdf5File {
    pub(super) fn create(path: &Path) -> Result<Hdf5File, ExportError> {
        let unfinished = Unfinished::file(path);
        let file = H5File::create(unfinished.temporary()).map_err(|e| unfinished.library(e))?;
        Ok(Hdf5File { unfinished, file: Some(file) })
    }

    fn file(&self) -> Result<&H5File, ExportError> {
        self.file.as_ref().ok_or_else(|| self.unfinished.library("it is finished already"))
    }

    /// A compressed data set of no rows yet, each of this shape.
    pub(super) fn rows<T: H5Type>(
        &self,
        name: &str,
        row: &[usize],
    ) -> Result<Rows<T>, ExportError> {
        let with =
            |first: usize| std::iter::once(first).chain(row.iter().copied()).collect::<Vec<_>>();
        let most: Vec<Option<usize>> =
            std::iter::once(None).chain(row.iter().map(|&n| Some(n))).collect();
        let set = self
            .file()?
            .new_dataset::<T>()
            .shape(with(0))
            .chunk(&with(CHUNK_ROWS))
            .max_shape(&most)
            .deflate(DEFLATE_LEVEL)
            .create(name)
            .map_err(|e| self.unfinished.library(e))?;
        Ok(Rows { set: Some(set), row: row.iter().product(), values: Vec::new() })
    }

    /// A list of short texts, as byte strings of `n` bytes.
    pub(super) fn texts(&self, name: &str, texts: &[&str], n: usize) -> Result<(), ExportError> {
        let bytes: Vec<u8> = texts
            .iter()
            .flat_map(|text| text.bytes().chain(std::iter::repeat(0)).take(n))
            .collect();
        let of_length = rust_hdf5::format::messages::datatype::DatatypeMessage::FixedString {
            size: n as u32,
            padding: 1,
            charset: 0,
        };
        let write = || {
            let set = self.file.as_ref()?.new_dataset::<u8>().datatype(of_length);
            Some(set.shape([texts.len()]).create(name).and_then(|set| set.write_raw_bytes(&bytes)))
        };
        match write() {
            Some(done) => done.map_err(|e| self.unfinished.library(e)),
            None => Err(self.unfinished.library("it is finished already")),
        }
    }

    /// Closes the file and gives it its name; returns that with its size.
    pub(super) fn finish(&mut self) -> Result<(PathBuf, u64), ExportError> {
        let Some(file) = self.file.take() else {
            return Err(self.unfinished.library("it is finished already"));
        };
        file.close().map_err(|e| self.unfinished.library(e))?;
        self.unfinished.sync_and_name()
    }
}

impl<T: H5Type> Rows<T> {
    /// Writes what fills storage chunks, or all that is left.
    pub(super) fn flush(&mut self, file: &Unfinished, all: bool) -> Result<(), ExportError> {
        let chunk = CHUNK_ROWS * self.row;
        let n = if all { self.values.len() } else { self.values.len() / chunk * chunk };
        if let (Some(set), 1..) = (&self.set, n) {
            set.append(&self.values[..n]).map_err(|e| file.library(e))?;
            self.values.drain(..n);
        }
        if all {
            // The file stays open as long as one of its data sets does.
            self.set = None;
        }
        Ok(())
    }
}

/// Refuses streams without what the layouts consist of.
pub(super) fn check_columns(columns: ColumnSet, format: &'static str) -> Result<(), ExportError> {
    let needed = [Group::Met, Group::EGamma, Group::Muon, Group::Jet];
    let needed = needed.into_iter().fold(ColumnSet::EMPTY, |set, group| set.union(group.columns()));
    let missing = needed.minus(columns);
    if missing.is_empty() {
        return Ok(());
    }
    Err(ExportError::Missing { format, missing: missing.names() })
}

/// The columns that the layouts hold in their slots, multiplicities as filled slots.
pub(super) fn held() -> ColumnSet {
    let counts = [Column::EGammaN, Column::MuonN, Column::JetN];
    [Group::Met, Group::EGamma, Group::Muon, Group::Jet]
        .into_iter()
        .fold(counts.into_iter().collect(), |set, group| set.union(group.columns()))
}

/// Columns that are lost, but for the multiplicity of taus if there are none.
pub(super) fn lost(columns: ColumnSet, held: ColumnSet, n_taus: u64) -> ColumnSet {
    let taus = if n_taus == 0 { ColumnSet::EMPTY.with(Column::TauN) } else { ColumnSet::EMPTY };
    columns.minus(held).minus(taus)
}

/// pT, eta, phi of the objects of an event, highest pT first.
pub(super) fn objects(
    block: &Block,
    event: usize,
    collection: Collection,
) -> impl Iterator<Item = [i16; 3]> {
    let offsets = block.offsets(collection);
    let range = offsets[event] as usize..offsets[event + 1] as usize;
    let columns = collection.kinematics().into_iter().flatten().map(|c| block.get::<i16>(c));
    let columns: Vec<&[i16]> = columns.collect();
    range.map(move |at| [columns[0][at], columns[1][at], columns[2][at]])
}
