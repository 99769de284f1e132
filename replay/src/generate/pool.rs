//! Generated events as a source that never ends: for runs of hours without a file.
//!
//! Making an event takes longer than a crossing lasts. So a run takes its events from a **pool** of blocks
//! that were made before it began, again and again, each time in other crossings: what depends on the
//! crossing (injection, prescales) differs every time, what depends on the event comes again. Without
//! a pool every event is made when it is asked for and none comes twice.

use super::GeneratedStream;
use crate::event::gather::{self, Pick};
use crate::event::{Block, Column, ColumnSet};
use crate::format::{BlockMeta, StreamHeader};
use crate::lhc::lumi_section_of_orbit;
use crate::source::{Delivery, Source, SourceError, SourceFacts};

/// An endless source of generated events.
pub struct GeneratorSource {
    stream: GeneratedStream,
    /// Blocks that were made beforehand: the first ones of the stream.
    pool: Vec<Block>,
    made: Block,
    /// Number of the next block.
    next: u64,
}

impl GeneratorSource {
    /// A source of the blocks of `stream`, or of those in `pool` (its first ones, all of the same length)
    /// again and again, if there are any.
    #[must_use]
    pub fn new(stream: GeneratedStream, pool: Vec<Block>) -> GeneratorSource {
        GeneratorSource { stream, pool, made: Block::default(), next: 0 }
    }

    /// The block of number `self.next`, with its orbits, and what has to be added to those.
    fn block(&mut self) -> (&Block, u32) {
        match self.pool.len() as u64 {
            0 => {
                self.stream.fill(self.next, &mut self.made);
                (&self.made, 0)
            }
            n => {
                let place = self.next % n;
                let shift = self.stream.orbit_of(self.next) - self.stream.orbit_of(place);
                (&self.pool[place as usize], shift)
            }
        }
    }
}

impl Source for GeneratorSource {
    fn header(&self) -> &StreamHeader {
        self.stream.header()
    }

    fn facts(&self) -> SourceFacts {
        let in_pool: u64 = self.pool.iter().map(|block| block.len() as u64).sum();
        SourceFacts {
            // Events that differ: in a pool there are no more of them.
            n_crossings: (in_pool > 0).then_some(in_pool),
            is_endless: true,
            settings: self.stream.header().provenance.settings.clone(),
            ..SourceFacts::default()
        }
    }

    fn columns(&self) -> ColumnSet {
        self.stream.columns()
    }

    fn next_block(
        &mut self,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        if self.next >= self.stream.n_blocks() {
            return Ok(Delivery::End);
        }
        let wanted = wanted.union(ColumnSet::skeleton()).intersection(self.columns());
        let (from, shift) = self.block();
        block.reset(from.run, wanted);
        let all = Pick { source: 0, first: 0, end: from.len() };
        gather::append(block, &[from], &[all]);
        if shift > 0 {
            block.get_mut::<u32>(Column::Orbit).iter_mut().for_each(|orbit| *orbit += shift);
            if wanted.contains(Column::Lumi) {
                let mut lumis = std::mem::take(block.get_mut::<u32>(Column::Lumi));
                let orbits = block.get::<u32>(Column::Orbit).iter();
                lumis
                    .iter_mut()
                    .zip(orbits)
                    .for_each(|(l, &orbit)| *l = lumi_section_of_orbit(orbit));
                *block.get_mut(Column::Lumi) = lumis;
            }
        }
        block.index_objects().expect("multiplicities are within capacities");
        self.next += 1;
        Ok(Delivery::Block)
    }

    /// What is passed over is not made, or not copied.
    fn skip_block(&mut self) -> Result<Option<BlockMeta>, SourceError> {
        if self.next >= self.stream.n_blocks() {
            return Ok(None);
        }
        let meta = self.stream.meta(self.next);
        self.next += 1;
        Ok(Some(meta))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        Ok(())
    }
}
