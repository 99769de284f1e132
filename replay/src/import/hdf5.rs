//! What importers of HDF5 share: opening, finding data sets, and rows in slices of whole chunks.
//!
//! A storage chunk is decompressed as a whole, so that rows are read up to the end of one; memory
//! is that of one such slice, which the file decides within a limit.

use std::ops::Range;
use std::path::Path;

use rust_hdf5::{DatatypeMessage, H5Dataset, H5File, H5FileOptions, Hdf5Error};

use crate::import::guard::caught;
use crate::import::{CHUNK_EVENTS, ImportError};

/// Most rows of one storage chunk: gigabytes decoded. Nobody writes such chunks on purpose.
const CHUNK_ROWS_MAX: usize = 1 << 21;
/// Most bytes of an element: no number has more.
const ELEMENT_BYTES_MAX: usize = 8;

/// Opens a file. One on read-only or network storage may refuse locks; reading needs none.
pub(super) fn open(path: &Path, name: &str) -> Result<H5File, ImportError> {
    let open = || H5FileOptions::new().best_effort_locking().open(path);
    caught(open, Hdf5Error::InvalidState).map_err(|error| damaged(name, "HDF5 structure", &error))
}

/// A data set, if there is one of that name, whatever it holds.
pub(super) fn find(file: &H5File, set: &str, name: &str) -> Result<Option<H5Dataset>, ImportError> {
    match caught(|| file.dataset(set), Hdf5Error::InvalidState) {
        Err(Hdf5Error::NotFound(_)) => Ok(None),
        other => other.map(Some).map_err(|error| damaged(name, set, &error)),
    }
}

/// A data set to read numbers from, if there is one of that name.
///
/// Its storage is checked here, for all that is read: the library asks for the memory of a
/// decoded storage chunk before it decodes, whatever the file claims that this is, and a claim
/// beyond the machine's memory would end the program.
pub(super) fn data_set(
    file: &H5File,
    set_name: &str,
    name: &str,
) -> Result<Option<H5Dataset>, ImportError> {
    let Some(set) = find(file, set_name, name)? else { return Ok(None) };
    if set.element_size() > ELEMENT_BYTES_MAX {
        let found = format!("elements of {} bytes", set.element_size());
        return Err(wrong_type(name, set_name, "numbers of at most 8 bytes", found));
    }
    if let Some(chunk) = chunk_dims(&set, set_name, name)? {
        let shape = set.shape();
        let within = |(chunk, shape): (&usize, &usize)| chunk <= shape;
        let rows_within = chunk.first().is_some_and(|&rows| rows <= CHUNK_ROWS_MAX);
        let others_within = chunk.iter().zip(&shape).skip(1).all(within);
        if chunk.len() != shape.len() || !rows_within || !others_within {
            let expected = "storage chunks of at most 2097152 rows, otherwise within the shape";
            let found = format!("chunks of {chunk:?} of shape {shape:?}");
            return Err(wrong_type(name, set_name, expected, found));
        }
    }
    Ok(Some(set))
}

fn chunk_dims(
    set: &H5Dataset,
    set_name: &str,
    file: &str,
) -> Result<Option<Vec<usize>>, ImportError> {
    caught(|| Ok(set.chunk_dims()), Hdf5Error::InvalidState)
        .map_err(|error| damaged(file, set_name, &error))
}

/// Rows of one storage chunk; 1 where storage is not chunked.
pub(super) fn chunk_rows(
    set: &H5Dataset,
    set_name: &str,
    n_rows: usize,
    file: &str,
) -> Result<u64, ImportError> {
    let dims = chunk_dims(set, set_name, file)?;
    let stated = dims.and_then(|dims| dims.first().copied()).unwrap_or(1);
    Ok(stated.clamp(1, n_rows.max(1)) as u64)
}

/// Numbers of any type as reals: exact but for integers from 2^53 on.
pub(super) fn numbers(
    set: &H5Dataset,
    from: &[usize],
    counts: &[usize],
) -> Result<Vec<f64>, Hdf5Error> {
    let read = || match set.datatype()? {
        DatatypeMessage::FloatingPoint { size: 8, .. } => set.read_numeric_slice_as(from, counts),
        DatatypeMessage::FloatingPoint { .. } => {
            let values: Vec<f32> = set.read_numeric_slice_as(from, counts)?;
            Ok(values.into_iter().map(f64::from).collect())
        }
        _ => {
            let values: Vec<i64> = set.read_numeric_slice_as(from, counts)?;
            Ok(values.into_iter().map(|value| value as f64).collect())
        }
    };
    caught(read, Hdf5Error::InvalidState)
}

pub(super) fn wrong_type(
    file: &str,
    set: &str,
    expected: &'static str,
    found: String,
) -> ImportError {
    ImportError::Type { file: file.into(), column: set.into(), expected, found }
}

pub(super) fn damaged(file: &str, what: &str, error: &Hdf5Error) -> ImportError {
    ImportError::Damaged { file: file.into(), what: what.into(), reason: error.to_string() }
}

/// Which rows are in memory and which are still to come.
#[derive(Debug)]
pub(super) struct Window {
    chunk_rows: u64,
    /// Rows to come.
    rows: Range<u64>,
    loaded: Range<u64>,
}

impl Window {
    pub(super) fn new(chunk_rows: u64, n_rows: u64) -> Window {
        Window { chunk_rows, rows: 0..n_rows, loaded: 0..0 }
    }

    /// Goes to the first of `rows` and stops after the last.
    pub(super) fn seek(&mut self, rows: Range<u64>) {
        self.rows = rows;
        self.loaded = 0..0;
    }

    pub(super) fn is_done(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows to load now, if the next one is not in memory: from it to the end of a storage
    /// chunk, as many whole ones as fit into a chunk of events, at least one.
    pub(super) fn missing(&self) -> Option<Range<u64>> {
        let start = self.rows.start;
        if self.loaded.contains(&start) {
            return None;
        }
        let aligned = start / self.chunk_rows * self.chunk_rows;
        let n_chunks = (CHUNK_EVENTS as u64 / self.chunk_rows).max(1);
        Some(start..(aligned + n_chunks * self.chunk_rows).min(self.rows.end))
    }

    pub(super) fn set_loaded(&mut self, rows: Range<u64>) {
        self.loaded = rows;
    }

    /// Takes the next rows, at most `max`: the first of them, and their places in memory.
    pub(super) fn take(&mut self, max: usize) -> (u64, Range<usize>) {
        let first_row = self.rows.start;
        let first = (first_row - self.loaded.start) as usize;
        let end = (first + max).min((self.loaded.end - self.loaded.start) as usize);
        self.rows.start += (end - first) as u64;
        (first_row, first..end)
    }
}
