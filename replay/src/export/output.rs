//! Files and folders that get their names at the end, and blocks cut into orbits.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::ExportError;
use crate::event::{Block, Column};
use crate::format::temporary_name;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

impl OutputFile {
    pub(super) fn create(path: &Path) -> Result<OutputFile, ExportError> {
        let file = File::create(path).map_err(ExportError::io(path, "create it"))?;
        Ok(OutputFile { path: path.into(), out: BufWriter::with_capacity(1 << 18, file), bytes: 0 })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.out.write_all(bytes).map_err(ExportError::io(&self.path, "write it"))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Overwrites its beginning, and sees that everything is on the disk.
    pub(super) fn finish(mut self, beginning: &[u8]) -> Result<u64, ExportError> {
        let io = |action| ExportError::io(&self.path, action);
        if !beginning.is_empty() {
            self.out.seek(SeekFrom::Start(0)).map_err(io("write its header"))?;
            self.out.write_all(beginning).map_err(io("write its header"))?;
        }
        self.out.flush().map_err(io("write it"))?;
        self.out.get_ref().sync_all().map_err(io("write it"))?;
        Ok(self.bytes)
    }
}

/// A name that something gets once it is whole; until then it has a temporary one, and is removed
/// if it does not come to that.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    is_folder: bool,
    finished: bool,
}

impl Unfinished {
    /// A file.
    pub(super) fn file(path: &Path) -> Unfinished {
        let (path, temporary) = (path.to_owned(), temporary_name(path));
        Unfinished { path, temporary, is_folder: false, finished: false }
    }

    /// A new folder.
    pub(super) fn folder(path: &Path) -> Result<Unfinished, ExportError> {
        if path.exists() {
            return Err(ExportError::Exists { path: path.into() });
        }
        let temporary = temporary_name(path);
        fs::create_dir(&temporary).map_err(ExportError::io(&temporary, "create the folder"))?;
        Ok(Unfinished { path: path.into(), temporary, is_folder: true, finished: false })
    }

    /// Where to write.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Its final name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It is whole.
    pub(super) fn finish(mut self) -> Result<(), ExportError> {
        let renamed = fs::rename(&self.temporary, &self.path);
        renamed.map_err(ExportError::io(&self.path, "give it its name"))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed keeps a name that says that it is unfinished.
        let _ = match (self.finished, self.is_folder) {
            (true, _) => Ok(()),
            (false, true) => fs::remove_dir_all(&self.temporary),
            (false, false) => fs::remove_file(&self.temporary),
        };
    }
}

/// The orbits of a block, and which of its crossings they have.
pub(super) fn orbits(block: &Block) -> impl Iterator<Item = (u32, Range<usize>)> {
    let numbers = block.get::<u32>(Column::Orbit);
    let mut first = 0;
    numbers.chunk_by(|a, b| a == b).map(move |same| {
        first += same.len();
        (same[0], first - same.len()..first)
    })
}
