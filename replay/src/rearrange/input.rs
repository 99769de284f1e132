//! A whole stream, read block by block: anything less is an error.

use std::path::{Path, PathBuf};

use super::RearrangeError;
use crate::event::{Block, ColumnSet};
use crate::format::{StreamHeader, StreamIndex};
use crate::lhc::CrossingId;
use crate::source::{Delivery, FileSource, Source};

/// An input.
pub(super) struct Input {
    source: FileSource,
    index: StreamIndex,
    /// Number of the next block.
    next: usize,
    last: Option<CrossingId>,
}

impl Input {
    /// Opens a stream that has its index: without it, a stream that was cut between two blocks
    /// would look whole.
    pub(super) fn open(path: &Path) -> Result<Input, RearrangeError> {
        let source = FileSource::open(path)?;
        match source.info().index.clone() {
            Some(index) => Ok(Input { source, index, next: 0, last: None }),
            None => {
                let problem = source.info().index_problem.as_ref();
                let problem = problem.map_or_else(String::new, ToString::to_string);
                Err(RearrangeError::NoIndex { path: path.into(), problem })
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.source.path()
    }

    pub(super) fn path_buf(&self) -> PathBuf {
        self.path().into()
    }

    pub(super) fn header(&self) -> &StreamHeader {
        self.source.header()
    }

    pub(super) fn columns(&self) -> ColumnSet {
        self.source.columns()
    }

    pub(super) fn index(&self) -> &StreamIndex {
        &self.index
    }

    /// Goes to a block.
    pub(super) fn seek(&mut self, block: usize) -> Result<(), RearrangeError> {
        if block != self.next {
            self.source.seek_block(block)?;
            (self.next, self.last) = (block, None);
        }
        Ok(())
    }

    /// Fills `block` with the next one, all of whose invariants hold; false at the end.
    pub(super) fn read(
        &mut self,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<bool, RearrangeError> {
        let number = self.next;
        match self.source.next_block(wanted, block)? {
            Delivery::Block => {}
            Delivery::End if number == self.index.blocks.len() => return Ok(false),
            problem => {
                let problem = Box::new(problem);
                return Err(RearrangeError::Damaged {
                    path: self.path_buf(),
                    block: number,
                    problem,
                });
            }
        }
        self.next += 1;
        block.check().map_err(|source| RearrangeError::Invariant {
            path: self.path_buf(),
            block: number,
            source,
        })?;
        let (first, last) = (block.crossing_id(0), block.crossing_id(block.len() - 1));
        if let Some(before) = self.last.filter(|&before| before >= first) {
            let path = self.path_buf();
            return Err(RearrangeError::Unsorted { path, last: before, found: first });
        }
        self.last = Some(last);
        Ok(true)
    }
}

/// Opens all inputs.
pub(super) fn open_all(paths: &[PathBuf]) -> Result<Vec<Input>, RearrangeError> {
    if paths.is_empty() {
        return Err(RearrangeError::NoInput);
    }
    paths.iter().map(|path| Input::open(path)).collect()
}
