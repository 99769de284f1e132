//! Events on disk that do not fit into memory, while they are sorted or shuffled.
//!
//! A spill file is a sequence of pages. A page is the number of events, one tag for each of them
//! (a run, a number: whatever the owner needs), and every column as its number of entries and its
//! bytes, all in the byte order of the machine.
//!
//! The format is private to one command: no magic, no version, no checksum. The folder and all
//! files in it go when [`SpillFolder`] is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytemuck::Pod;

use crate::event::{Block, ColumnSet};

/// The operating system's refusal to hold what does not fit into memory.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: could not {action}: {source}", path.display())]
pub struct SpillError {
    /// File or folder.
    pub path: PathBuf,
    /// What was attempted, as a verb phrase.
    pub action: &'static str,
    /// The operating system's reason.
    pub source: std::io::Error,
}

impl SpillError {
    fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| SpillError { path, action, source }
    }
}

/// A temporary folder of spill files.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
    n_files: u32,
}

impl SpillFolder {
    /// Makes a new folder inside `parent`; its name tells the purpose.
    pub(crate) fn create(parent: &Path, purpose: &str) -> Result<SpillFolder, SpillError> {
        let mut attempt = 0;
        loop {
            let name = format!(".scout40-{purpose}-{}-{attempt}", std::process::id());
            let path = parent.join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(SpillFolder { path, n_files: 0 }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(SpillError::io(&path, "create the folder")(error)),
            }
        }
    }

    /// Begins a new spill file.
    pub(crate) fn begin(&mut self) -> Result<SpillWriter, SpillError> {
        let path = self.path.join(self.n_files.to_string());
        self.n_files += 1;
        let file = File::create_new(&path).map_err(SpillError::io(&path, "create it"))?;
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
pub(crate) struct Spill {
    path: PathBuf,
}

impl Spill {
    pub(crate) fn open(&self) -> Result<SpillReader, SpillError> {
        let file = File::open(&self.path).map_err(SpillError::io(&self.path, "open it"))?;
        Ok(SpillReader { file: BufReader::new(file), path: self.path.clone() })
    }

    pub(crate) fn remove(self) -> Result<(), SpillError> {
        std::fs::remove_file(&self.path).map_err(SpillError::io(&self.path, "remove it"))
    }
}

/// Writes one spill file.
#[derive(Debug)]
pub(crate) struct SpillWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl SpillWriter {
    /// Appends a page: one tag for each event.
    pub(crate) fn write<T: Pod>(&mut self, tags: &[T], events: &Block) -> Result<(), SpillError> {
        let mut put = |bytes: &[u8]| {
            self.file
                .write_all(bytes)
                .map_err(SpillError::io(&self.path, "write what is set aside"))
        };
        put(&(tags.len() as u32).to_ne_bytes())?;
        put(bytemuck::cast_slice(tags))?;
        for column in events.columns().iter() {
            let entries = events.entries(column);
            put(&(entries.len() as u32).to_ne_bytes())?;
            put(entries.bytes())?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Spill, SpillError> {
        self.file.flush().map_err(SpillError::io(&self.path, "write what is set aside"))?;
        Ok(Spill { path: self.path })
    }
}

/// Reads one spill file.
#[derive(Debug)]
pub(crate) struct SpillReader {
    file: BufReader<File>,
    path: PathBuf,
}

impl SpillReader {
    /// Replaces tags and events by those of the next page; leaves them empty at the end.
    pub(crate) fn read<T: Pod>(
        &mut self,
        tags: &mut Vec<T>,
        events: &mut Block,
        columns: ColumnSet,
    ) -> Result<(), SpillError> {
        tags.clear();
        events.reset(0, columns);
        let left =
            self.file.fill_buf().map_err(SpillError::io(&self.path, "read what was set aside"))?;
        if left.is_empty() {
            return Ok(());
        }
        let n_events = self.length()?;
        tags.resize(n_events, T::zeroed());
        self.fill(bytemuck::cast_slice_mut(tags))?;
        for column in events.columns().iter() {
            let n_entries = self.length()?;
            let entries = events.entries_mut(column);
            entries.resize(n_entries);
            self.fill(entries.bytes_mut())?;
        }
        events.index_objects().map_err(|problem| {
            let problem = std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
            SpillError::io(&self.path, "read what was set aside")(problem)
        })
    }

    fn length(&mut self) -> Result<usize, SpillError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes) as usize)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SpillError> {
        self.file.read_exact(bytes).map_err(SpillError::io(&self.path, "read what was set aside"))
    }
}
