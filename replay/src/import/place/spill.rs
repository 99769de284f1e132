//! Sorted events on disk: what does not fit into memory while sorting.
//!
//! A spill file is a sequence of pages of at most [`PAGE_EVENTS`] events, ascending. A page is
//! the number of events, their runs, and every column as its number of entries and its bytes,
//! all in the byte order of the machine.
//!
//! The format is private to one import: no magic, no version, no checksum. The folder and all
//! files in it go when [`SpillFolder`] is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::event::ColumnSet;
use crate::import::{Chunk, ImportError};

/// Most events in one page.
pub(super) const PAGE_EVENTS: usize = 1024;

/// A temporary folder of spill files.
#[derive(Debug)]
pub(super) struct SpillFolder {
    path: PathBuf,
    n_files: u32,
}

impl SpillFolder {
    /// Makes a new folder inside `parent`.
    pub(super) fn create(parent: &Path) -> Result<SpillFolder, ImportError> {
        let mut attempt = 0;
        loop {
            let path = parent.join(format!(".scout40-sort-{}-{attempt}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(SpillFolder { path, n_files: 0 }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(ImportError::io(&path, "create the folder")(error)),
            }
        }
    }

    /// Begins a new spill file.
    pub(super) fn begin(&mut self) -> Result<SpillWriter, ImportError> {
        let path = self.path.join(self.n_files.to_string());
        self.n_files += 1;
        let file = File::create_new(&path).map_err(ImportError::io(&path, "create it"))?;
        Ok(SpillWriter { file: BufWriter::new(file), path })
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // Nothing depends on it: what cannot be removed stays behind under a telling name.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A spill file that is complete.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
}

impl Spill {
    pub(super) fn open(&self) -> Result<SpillReader, ImportError> {
        let file = File::open(&self.path).map_err(ImportError::io(&self.path, "open it"))?;
        Ok(SpillReader { file: BufReader::new(file), path: self.path.clone() })
    }

    pub(super) fn remove(self) -> Result<(), ImportError> {
        std::fs::remove_file(&self.path).map_err(ImportError::io(&self.path, "remove it"))
    }
}

/// Writes one spill file.
#[derive(Debug)]
pub(super) struct SpillWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl SpillWriter {
    pub(super) fn write(&mut self, page: &Chunk) -> Result<(), ImportError> {
        let mut put = |bytes: &[u8]| {
            self.file.write_all(bytes).map_err(ImportError::io(&self.path, "write what is sorted"))
        };
        put(&(page.runs.len() as u32).to_ne_bytes())?;
        put(bytemuck::must_cast_slice(&page.runs))?;
        for column in page.events.columns().iter() {
            let entries = page.events.entries(column);
            put(&(entries.len() as u32).to_ne_bytes())?;
            put(entries.bytes())?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Spill, ImportError> {
        self.file.flush().map_err(ImportError::io(&self.path, "write what is sorted"))?;
        Ok(Spill { path: self.path })
    }
}

/// Reads one spill file.
#[derive(Debug)]
pub(super) struct SpillReader {
    file: BufReader<File>,
    path: PathBuf,
}

impl SpillReader {
    /// Replaces `page` by the next one; leaves it empty at the end.
    pub(super) fn read(&mut self, page: &mut Chunk, columns: ColumnSet) -> Result<(), ImportError> {
        page.reset(columns);
        let left =
            self.file.fill_buf().map_err(ImportError::io(&self.path, "read what was sorted"))?;
        if left.is_empty() {
            return Ok(());
        }
        let n_events = self.length()?;
        page.runs.resize(n_events, 0);
        self.fill(bytemuck::must_cast_slice_mut(&mut page.runs))?;
        for column in page.events.columns().iter() {
            let n_entries = self.length()?;
            let entries = page.events.entries_mut(column);
            entries.resize(n_entries);
            self.fill(entries.bytes_mut())?;
        }
        page.events.index_objects().map_err(ImportError::Chunk)
    }

    fn length(&mut self) -> Result<usize, ImportError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes) as usize)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ImportError> {
        self.file.read_exact(bytes).map_err(ImportError::io(&self.path, "read what was sorted"))
    }
}
