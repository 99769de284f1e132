//! The public Level-1 data set (`anomaly_detection_cmsl1t`) and files of its schema: parquet.
//!
//! One row per event; objects are lists, energy sums lists of length one or plain numbers,
//! integers of any width. Files are read a piece of rows at a time through parquet's column
//! readers, without arrow. Rows that the standard preprocessing marks as saturated (`order` −1)
//! are dropped before anything in them is checked, unless asked to be kept; then values beyond
//! their field are clamped and counted. Any other value that a field cannot hold is an error that
//! names file, row and column.
//!
//! Trigger decisions (`seeds/`) and the `split` column are not read. Muon lists are sorted by pT;
//! nothing else of an event is changed.

mod assemble;
pub(crate) mod branch;
mod file;
mod leaf;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::files::{self, Span, name_of};
use super::{CHUNK_EVENTS, Chunk, ImportError, ImportOptions, ImportTally, Importer, SourceFile};
use crate::event::ColumnSet;
use assemble::Assembler;
use file::OpenFile;

/// Reads parquet files of the public schema as one stream.
pub struct ParquetImporter {
    spans: std::vec::IntoIter<Span>,
    sources: Vec<SourceFile>,
    n_events: u64,
    current: Option<OpenFile>,
    assembler: Assembler,
}

impl ParquetImporter {
    /// Opens the files, checks that each has what an event needs, and looks at the first row.
    /// Columns that not every file has are left out.
    ///
    /// # Errors
    /// No file, an unreadable one, a missing or mistyped column, rows that do not exist.
    pub fn open(paths: &[PathBuf], options: &ImportOptions) -> Result<Self, ImportError> {
        if paths.is_empty() {
            return Err(ImportError::NoFiles);
        }
        let mut columns = ColumnSet::ALL;
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let file = OpenFile::open(path, ColumnSet::ALL)?;
            let missing = branch::missing(file.columns());
            if !missing.is_empty() {
                return Err(ImportError::Missing {
                    file: name_of(path),
                    what: "columns",
                    missing: missing.join(", "),
                });
            }
            columns = columns.intersection(file.columns());
            files.push((path.clone(), file.n_rows()));
        }
        let spans = files::spans(&files, options.rows.as_ref())?;
        let sources = files::sources(&spans)?;
        let placed = first_row_is_placed(spans.first())?;
        let columns = columns.union(ColumnSet::skeleton());
        let assembler = Assembler::new(columns, placed, options.keep_saturated);
        let n_events = sources.iter().map(|source| source.n_rows).sum();
        let spans = spans.into_iter();
        Ok(ParquetImporter { spans, sources, n_events, current: None, assembler })
    }
}

fn first_row_is_placed(span: Option<&Span>) -> Result<bool, ImportError> {
    let Some(span) = span else { return Ok(false) };
    let mut file = OpenFile::open(&span.path, ColumnSet::EMPTY)?;
    file.seek(span.rows.clone())?;
    file.read(1)?;
    Ok(assemble::placements(&file).next().unwrap_or(false))
}

impl Importer for ParquetImporter {
    fn columns(&self) -> ColumnSet {
        self.assembler.columns
    }

    fn placed(&self) -> bool {
        self.assembler.placed
    }

    fn n_events(&self) -> u64 {
        self.n_events
    }

    fn sources(&self) -> &[SourceFile] {
        &self.sources
    }

    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, ImportError> {
        loop {
            if let Some(file) = &mut self.current
                && file.read(CHUNK_EVENTS)? > 0
            {
                self.assembler.assemble(file, chunk)?;
                return Ok(true);
            }
            let Some(span) = self.spans.next() else {
                chunk.reset(self.assembler.columns);
                return Ok(false);
            };
            let mut file = OpenFile::open(&span.path, self.assembler.columns)?;
            file.seek(span.rows)?;
            self.current = Some(file);
        }
    }

    fn tally(&self) -> ImportTally {
        self.assembler.tally
    }
}
