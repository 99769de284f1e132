//! Events in order become blocks of whole orbits.
//!
//! Blocks end where those of the inputs end, or, where an orbit is continued in the next block that
//! comes, at the end of that orbit. What is written is checked by the writer once more.

use std::ops::Range;

use super::RearrangeError;
use crate::event::gather::{self, Pick};
use crate::event::{Block, Column};
use crate::format::{BLOCK_CROSSINGS_MAX, StreamWriter, WriteError, WriteSummary};
use crate::lhc::SLOTS_PER_ORBIT;

/// A block closes at the first orbit boundary after this many crossings, if no input says where.
pub(super) const TARGET_CROSSINGS: usize = 8192;

/// Crossings up to which another orbit always fits.
const CROSSINGS_MAX: usize = BLOCK_CROSSINGS_MAX - SLOTS_PER_ORBIT as usize;

/// Puts blocks together and writes them.
pub(super) struct Assembler {
    block: Block,
    writer: StreamWriter,
    /// The block is to end with its last orbit.
    is_closing: bool,
}

impl Assembler {
    pub(super) fn new(writer: StreamWriter) -> Assembler {
        Assembler { block: Block::new(writer.columns()), writer, is_closing: false }
    }

    /// Appends events of a block, which come after all before them.
    pub(super) fn push(&mut self, from: &Block, range: Range<usize>) -> Result<(), WriteError> {
        let orbits = from.get::<u32>(Column::Orbit);
        let mut first = range.start;
        while first < range.end {
            let orbit = orbits[first];
            let n = orbits[first..range.end].iter().take_while(|&&other| other == orbit).count();
            self.begin_orbit(from.run, orbit)?;
            let pick = Pick { source: 0, first, end: first + n };
            gather::append(&mut self.block, &[from], &[pick]);
            first += n;
        }
        Ok(())
    }

    /// The block ends here, unless its last orbit goes on.
    pub(super) fn end_block(&mut self) {
        self.is_closing = true;
    }

    /// The block ends here if it is long enough, unless its last orbit goes on.
    pub(super) fn end_page(&mut self) {
        self.is_closing |= self.block.len() >= TARGET_CROSSINGS;
    }

    fn begin_orbit(&mut self, run: u32, orbit: u32) -> Result<(), WriteError> {
        if let Some(&last) = self.block.get::<u32>(Column::Orbit).last() {
            let goes_on = (self.block.run, last) == (run, orbit);
            let ends = self.is_closing || self.block.len() > CROSSINGS_MAX;
            if self.block.run != run || ends && !goes_on {
                self.write()?;
            }
        }
        self.block.run = run;
        Ok(())
    }

    fn write(&mut self) -> Result<(), WriteError> {
        self.is_closing = false;
        self.block.index_objects()?;
        self.writer.write(&self.block)?;
        self.block.reset(self.block.run, self.block.columns());
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<WriteSummary, RearrangeError> {
        if !self.block.is_empty() {
            self.write()?;
        }
        Ok(self.writer.finish()?)
    }
}
