//! Writes a stream file that either is whole or does not exist.
//!
//! Blocks go to a temporary name beside the final one; [`StreamWriter::finish`] appends the
//! index, syncs and renames. A writer that is dropped unfinished removes what it wrote.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::block::{BlockEncoder, Compression};
use super::{
    BLOCK_CROSSINGS_MAX, BLOCK_FURTHER_MAX, FormatError, IndexEntry, MAGIC, SectionKind,
    StreamDigest, StreamHeader, StreamIndex,
};
use crate::event::{Block, BlockError, Collection, Column, ColumnSet};
use crate::lhc::lumi_section_of_orbit;

/// Why a stream could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system refused.
    #[error("while writing `{}`: {source}", path.display())]
    Io {
        /// The final name of the file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The header is not one.
    #[error(transparent)]
    Header(#[from] FormatError),
    /// The block breaks an invariant.
    #[error("block to be written: {0}")]
    Block(#[from] BlockError),
    /// The block lacks columns that the header promises, is empty or too long, or not in order.
    #[error("block to be written: {0}")]
    Contract(String),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSummary {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Bytes of compressed frames, by column group (those of the format itself are not in it).
    pub group_bytes: Vec<(crate::event::Group, u64)>,
    /// The index.
    pub index: StreamIndex,
}

/// Writes one stream file.
pub struct StreamWriter {
    path: PathBuf,
    temporary: PathBuf,
    out: Option<BufWriter<File>>,
    offset: u64,
    columns: ColumnSet,
    encoder: BlockEncoder,
    meta: Vec<u8>,
    body: Vec<u8>,
    index: StreamIndex,
    digest: StreamDigest,
    group_bytes: [u64; crate::event::Group::ALL.len()],
}

impl StreamWriter {
    /// Begins a stream file that will be called `path`.
    ///
    /// # Errors
    /// If the temporary file beside it cannot be made.
    pub fn create(
        path: &Path,
        header: &StreamHeader,
        compression: Compression,
    ) -> Result<StreamWriter, WriteError> {
        let columns = header.column_set()?;
        let temporary = temporary_name(path);
        let io = |source| WriteError::Io { path: path.into(), source };
        let encoder = BlockEncoder::new(compression).map_err(io)?;
        let file = File::create(&temporary).map_err(io)?;
        let mut writer = StreamWriter {
            path: path.into(),
            temporary,
            out: Some(BufWriter::with_capacity(1 << 20, file)),
            offset: 0,
            columns,
            encoder,
            meta: Vec::new(),
            body: Vec::new(),
            index: StreamIndex::default(),
            digest: StreamDigest::default(),
            group_bytes: [0; crate::event::Group::ALL.len()],
        };
        let mut preamble = MAGIC.to_vec();
        preamble.extend(header.format_version()?.to_le_bytes());
        preamble.extend([0; 4]);
        writer.put(&preamble)?;
        writer.put_section(SectionKind::Header, &header.to_archive(), &[])?;
        Ok(writer)
    }

    /// Columns that every block must have.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }

    /// Appends a block: whole orbits of one run, after all that was written before.
    ///
    /// # Errors
    /// A block that breaks an invariant or the order, or the operating system's refusal.
    pub fn write(&mut self, block: &Block) -> Result<(), WriteError> {
        self.check(block)?;
        let (mut meta, mut body) = (std::mem::take(&mut self.meta), std::mem::take(&mut self.body));
        meta.clear();
        body.clear();
        let encoded = self.encoder.encode(block, self.columns, &mut meta, &mut body);
        encoded.map_err(|source| WriteError::Io { path: self.path.clone(), source })?;
        self.account(block, &meta);
        let put = self.put_section(SectionKind::Block, &meta, &body);
        (self.meta, self.body) = (meta, body);
        put
    }

    /// As [`StreamWriter::write`], for a block that somebody else has encoded: all of
    /// [`StreamWriter::columns`], by a [`BlockEncoder`].
    ///
    /// # Errors
    /// As [`StreamWriter::write`].
    pub fn write_encoded(
        &mut self,
        block: &Block,
        meta: &[u8],
        body: &[u8],
    ) -> Result<(), WriteError> {
        self.check(block)?;
        self.account(block, meta);
        self.put_section(SectionKind::Block, meta, body)
    }

    fn check(&self, block: &Block) -> Result<(), WriteError> {
        let missing = self.columns.minus(block.columns());
        if !missing.is_empty() {
            return Err(WriteError::Contract(format!("it lacks columns {}", missing.names())));
        }
        if block.is_empty() || block.len() > BLOCK_CROSSINGS_MAX {
            let n = block.len();
            return Err(WriteError::Contract(format!(
                "expected 1..={BLOCK_CROSSINGS_MAX} crossings, found {n}"
            )));
        }
        let most = Collection::FURTHER.map(|c| block.n_entries(c)).into_iter().max();
        if let Some(n) = most.filter(|&n| n > BLOCK_FURTHER_MAX) {
            return Err(WriteError::Contract(format!(
                "expected at most {BLOCK_FURTHER_MAX} objects of a kind, found {n}"
            )));
        }
        block.check_shape()?;
        block.check_crossing_order()?;
        let first = (block.run, block.get::<u32>(Column::Orbit)[0]);
        if let Some(last) = self.index.blocks.last()
            && first <= (last.run, last.last_orbit)
        {
            return Err(WriteError::Contract(format!(
                "expected an orbit after run {} orbit {}, found run {} orbit {}",
                last.run, last.last_orbit, first.0, first.1
            )));
        }
        Ok(())
    }

    fn account(&mut self, block: &Block, meta: &[u8]) {
        let orbits = block.get::<u32>(Column::Orbit);
        let (first, last) = (0, block.len() - 1);
        let lumi = |i: usize| match self.columns.contains(Column::Lumi) {
            true => block.get::<u32>(Column::Lumi)[i],
            false => lumi_section_of_orbit(orbits[i]),
        };
        self.index.blocks.push(IndexEntry {
            offset: self.offset,
            first_crossing: self.index.n_crossings,
            n_crossings: block.len() as u32,
            run: block.run,
            first_orbit: orbits[first],
            last_orbit: orbits[last],
            first_lumi: lumi(first),
            last_lumi: lumi(last),
        });
        self.index.n_crossings += block.len() as u64;
        for collection in Collection::OBJECTS {
            self.index.n_objects[collection as usize] += block.n_entries(collection) as u64;
        }
        self.digest.add(meta);
        for entry in meta[super::block::META_BYTES..].chunks_exact(super::block::ENTRY_BYTES) {
            let entry: super::block::GroupEntry = bytemuck::pod_read_unaligned(entry);
            self.group_bytes[usize::from(entry.group)] += u64::from(entry.bytes);
        }
    }

    /// Appends the index, syncs the file and gives it its name.
    ///
    /// # Errors
    /// The operating system's refusal; nothing has the final name then.
    ///
    /// # Panics
    /// Never: a writer is finished once, since that consumes it.
    pub fn finish(mut self) -> Result<WriteSummary, WriteError> {
        let index_at = self.offset;
        self.index.digest = self.digest.value();
        let index = self.index.to_archive();
        self.put_section(SectionKind::Index, &index, &[])?;
        self.put_section(SectionKind::End, &index_at.to_le_bytes(), &[])?;
        let io = |source| WriteError::Io { path: self.path.clone(), source };
        let out = self.out.as_mut().expect("only finish takes it");
        out.flush().map_err(io)?;
        out.get_ref().sync_all().map_err(io)?;
        fs::rename(&self.temporary, &self.path).map_err(io)?;
        // From here on there is no temporary file that a drop would have to remove.
        self.out = None;
        let with_bytes = |group: crate::event::Group| (group, self.group_bytes[group as usize]);
        Ok(WriteSummary {
            bytes: self.offset,
            group_bytes: crate::event::Group::ALL
                .into_iter()
                .map(with_bytes)
                .filter(|&(_, bytes)| bytes > 0)
                .collect(),
            index: std::mem::take(&mut self.index),
        })
    }

    fn put_section(
        &mut self,
        kind: SectionKind,
        meta: &[u8],
        body: &[u8],
    ) -> Result<(), WriteError> {
        let mut head = kind.tag().to_vec();
        head.extend((meta.len() as u32).to_le_bytes());
        head.extend((body.len() as u64).to_le_bytes());
        head.extend_from_slice(meta);
        let checksum = xxh3_64(&head);
        head.extend(checksum.to_le_bytes());
        self.put(&head)?;
        self.put(body)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let out = self.out.as_mut().expect("only finish takes it");
        out.write_all(bytes)
            .map_err(|source| WriteError::Io { path: self.path.clone(), source })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        // After `finish` the temporary name no longer exists. A failure to remove it cannot be
        // reported from here, and its name says that it is unfinished.
        if let Some(out) = self.out.take() {
            // What it still holds is not wanted.
            drop(out.into_parts());
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// `x.s40` → `x.s40.tmp-<process id>`, in the same folder so that the rename is atomic.
#[must_use]
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    path.with_file_name(name)
}
