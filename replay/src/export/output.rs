//! Files that are written from the beginning to the end, and blocks cut into orbits.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::ExportError;
use crate::event::{Block, Column};

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

/// The orbits of a block, and which of its crossings they have.
pub(super) fn orbits(block: &Block) -> impl Iterator<Item = (u32, Range<usize>)> {
    let numbers = block.get::<u32>(Column::Orbit);
    let mut first = 0;
    numbers.chunk_by(|a, b| a == b).map(move |same| {
        first += same.len();
        (same[0], first - same.len()..first)
    })
}
