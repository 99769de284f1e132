//! CMS NanoAOD with Level-1 tables, and the NanoAOD of Level-1 scouting: ROOT trees.
//!
//! One entry of the tree `Events` per crossing; objects are lists with a counter. `nano` says which
//! branches become which columns, `encode` how; the rest is a reader of as much of the ROOT format
//! as such files need: plain branches of numbers, baskets compressed with zlib, LZMA, LZ4 or zstd.
//! RNTuples, branches of classes and baskets inside of the tree's description are refused with what
//! to do. Memory is that of one basket per branch.
//!
//! Places and lengths are believed only within the file and within limits, and each basket has to
//! hold exactly the values of its entries. The format has no checksums other than those of some
//! compressions: a bit that flips in uncompressed or zstd data may show as another value.

mod branch;
mod bytes;
mod compression;
mod encode;
mod file;
mod nano;
#[cfg(test)]
mod tests;
mod tree;

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files::{self, Span};
use super::{Chunk, ImportError, ImportOptions, ImportTally, Importer, SourceFile};
use crate::event::ColumnSet;
use encode::{Encoder, Rows};
use file::{RootFile, damaged};
use nano::Layout;

/// The tree that holds events.
const EVENTS: &str = "Events";
/// Rows that are read at a time. With the most objects that a row can have, the values of a branch
/// stay below 8 MiB.
const ROWS: usize = 4096;
/// Most objects of a table in one row: those of several crossings, in files that have such.
const LIST_MAX: i64 = 256;

/// Reads NanoAOD files as one stream.
pub struct RootImporter {
    spans: std::vec::IntoIter<Span>,
    sources: Vec<SourceFile>,
    n_events: u64,
    key: String,
    current: Option<OpenFile>,
    encoder: Encoder,
}

impl RootImporter {
    /// Opens the files, finds their trees and tables, and looks at the first rows. Columns that not
    /// every file has are left out.
    ///
    /// # Errors
    /// No file, an unreadable or damaged one, one without the tree or without Level-1 tables,
    /// branches of other types, rows that do not exist.
    pub fn open(paths: &[PathBuf], options: &ImportOptions) -> Result<Self, ImportError> {
        if paths.is_empty() {
            return Err(ImportError::NoFiles);
        }
        let key = options.key.as_deref().unwrap_or(EVENTS).to_owned();
        let mut columns = ColumnSet::ALL;
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let mut file = OpenFile::open(path, &key, ColumnSet::ALL)?;
            // A file without events shows no sums, and needs none.
            if file.n_rows > 0 {
                columns = columns.intersection(file.columns()?);
            }
            files.push((path.clone(), file.n_rows));
        }
        let spans = files::spans(&files, options.rows.as_ref())?;
        let sources = files::sources(&spans)?;
        let columns = match spans.is_empty() {
            true => ColumnSet::skeleton(),
            false => columns.union(ColumnSet::skeleton()),
        };
        let placed = match spans.first() {
            Some(span) => OpenFile::open(&span.path, &key, columns)?.placement(span.rows.start)?,
            None => false,
        };
        Ok(RootImporter {
            n_events: sources.iter().map(|source| source.n_rows).sum(),
            spans: spans.into_iter(),
            sources,
            key,
            current: None,
            encoder: Encoder::new(columns, placed),
        })
    }
}

impl Importer for RootImporter {
    fn columns(&self) -> ColumnSet {
        self.encoder.columns
    }

    fn placed(&self) -> bool {
        self.encoder.placed
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
                && let Some(rows) = file.read(ROWS)?
            {
                self.encoder.encode(&rows, chunk)?;
                return Ok(true);
            }
            let Some(span) = self.spans.next() else {
                chunk.reset(self.encoder.columns);
                return Ok(false);
            };
            let mut file = OpenFile::open(&span.path, &self.key, self.encoder.columns)?;
            file.seek(span.rows)?;
            self.current = Some(file);
        }
    }

    fn tally(&self) -> ImportTally {
        self.encoder.tally
    }
}

/// An open file, with its place in it.
struct OpenFile {
    file: RootFile,
    layout: Layout,
    n_rows: u64,
    /// Rows to come.
    rows: Range<u64>,
    counts: Vec<u32>,
}

impl OpenFile {
    /// Opens a file to read those of `columns` that it has.
    fn open(path: &Path, key: &str, columns: ColumnSet) -> Result<OpenFile, ImportError> {
        let mut file = RootFile::open(path)?;
        let Some(found) = file.find(key)? else {
            let trees = file.top()?.into_iter().filter(|key| key.class == "TTree");
            let trees: Vec<String> =
                trees.map(|key| key.name.escape_default().to_string()).collect();
            return Err(ImportError::Unsupported {
                file: file.name,
                what: "trees".into(),
                expected: format!("`{key}`"),
                found: if trees.is_empty() { "none".into() } else { trees.join(", ") },
                hint: "`--key NAME` reads another tree, `--key FOLDER/NAME` one in a folder",
            });
        };
        if found.class != "TTree" {
            return Err(ImportError::Unsupported {
                file: file.name,
                what: key.into(),
                expected: "a TTree".into(),
                found: found.class.escape_default().to_string(),
                hint: nano::REWRITE,
            });
        }
        let mut object = Vec::new();
        file.object(&found, &mut object)?;
        // Places in it are those of the decompressed object.
        let tree = tree::tree(&object, found.key_bytes)
            .map_err(|error| damaged(&file.name, "description of the tree", 0, &error))?;
        let layout = Layout::of(&tree, &file.name, columns)?;
        let n_rows = tree.n_entries;
        Ok(OpenFile { file, layout, n_rows, rows: 0..n_rows, counts: Vec::new() })
    }

    /// The columns that it has, of those asked for.
    fn columns(&mut self) -> Result<ColumnSet, ImportError> {
        let columns = self.layout.columns();
        let Some(rows) = self.read(ROWS)? else { return Ok(columns) };
        Ok(columns.union(rows.listed_sums()))
    }

    fn placement(mut self, row: u64) -> Result<bool, ImportError> {
        self.seek(row..row + 1)?;
        Ok(self.read(1)?.is_some_and(|rows| rows.is_placed(0)))
    }

    /// Goes to the first of `rows` and stops after the last.
    fn seek(&mut self, rows: Range<u64>) -> Result<(), ImportError> {
        // Lists can only be followed from the begin of a basket, and so can their counters: the
        // last row at or before the first where all branches begin one.
        let readers = || self.layout.sources.iter().map(|source| &source.reader);
        let mut begin = rows.start;
        loop {
            let earliest = readers().map(|reader| reader.begin_of_basket(begin)).min();
            match earliest {
                Some(earliest) if earliest < begin => begin = earliest,
                _ => break,
            }
        }
        self.layout.sources.iter_mut().for_each(|source| source.reader.seek(begin));
        self.rows = begin..rows.start;
        while self.read(ROWS)?.is_some() {}
        self.rows = rows;
        Ok(())
    }

    /// The next rows, at most `max`; `None` at the end.
    fn read(&mut self, max: usize) -> Result<Option<Rows<'_>>, ImportError> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let first = self.rows.start;
        let n = (self.rows.end - first).min(max as u64) as usize;
        let last = first + n as u64 == self.n_rows;
        // A counter stands before what it counts.
        for index in 0..self.layout.sources.len() {
            let (before, rest) = self.layout.sources.split_at_mut(index);
            let source = &mut rest[0];
            let counts = match source.counter {
                Some(counter) => {
                    let counter = &before[counter];
                    self.counts.clear();
                    for (row, &count) in counter.values.integers.iter().enumerate() {
                        if !(0..=LIST_MAX).contains(&count) {
                            return Err(ImportError::Value {
                                file: self.file.name.clone(),
                                row: first + row as u64,
                                column: counter.name.clone(),
                                expected: format!("a number within 0..={LIST_MAX}"),
                                found: count.to_string(),
                            });
                        }
                        self.counts.push(count as u32);
                    }
                    Some(&self.counts[..])
                }
                None => None,
            };
            source.reader.read(&mut self.file, n, counts, &mut source.values)?;
            if last {
                source.reader.finish_basket(&self.file)?;
            }
        }
        self.rows.start += n as u64;
        Ok(Some(Rows { file: &self.file.name, layout: &self.layout, first, n }))
    }
}
