//! Events without crossing numbers onto the colliding slots of a filling scheme.
//!
//! The n-th event gets the n-th colliding slot, so a block of k orbits is simply the next
//! k × (colliding slots) events; only the last block may be shorter.

use super::{PlaceCounts, Sink, emit};
use crate::event::gather::{self, Pick};
use crate::event::{Block, Column, ColumnSet};
use crate::import::{Chunk, ImportError};
use crate::lhc::{FillingScheme, SLOTS_PER_ORBIT, lumi_section_of_orbit};

#[derive(Debug)]
pub(super) struct Fill {
    scheme: FillingScheme,
    first_orbit: u32,
    /// Whether the files have luminosity sections of their own.
    has_lumi: bool,
    events_per_block: u64,
    block: Block,
}

impl Fill {
    pub(super) fn new(
        scheme: FillingScheme,
        run: u32,
        first_orbit: u32,
        columns: ColumnSet,
        orbits_per_block: u32,
    ) -> Fill {
        let mut block = Block::default();
        block.reset(run, columns.with(Column::Lumi));
        let events_per_block = u64::from(scheme.n_colliding()) * u64::from(orbits_per_block);
        let has_lumi = columns.contains(Column::Lumi);
        Fill { scheme, first_orbit, has_lumi, events_per_block, block }
    }

    pub(super) fn columns(&self) -> ColumnSet {
        self.block.columns()
    }

    pub(super) fn push<E: From<ImportError>>(
        &mut self,
        chunk: &Chunk,
        counts: &mut PlaceCounts,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let mut first = 0;
        while first < chunk.events.len() {
            let room = self.events_per_block - self.block.len() as u64;
            let n = room.min((chunk.events.len() - first) as u64) as usize;
            let pick = Pick { source: 0, first, end: first + n };
            gather::append(&mut self.block, &[&chunk.events], &[pick]);
            self.number(counts.events, n)?;
            counts.events += n as u64;
            first += n;
            if self.block.len() as u64 == self.events_per_block {
                emit(&mut self.block, counts, sink)?;
            }
        }
        Ok(())
    }

    /// Numbers the last `n` crossings of the block, of which the first is event `event`.
    fn number(&mut self, event: u64, n: usize) -> Result<(), ImportError> {
        let begin = self.block.len() - n;
        for i in 0..n {
            let event = event + i as u64;
            let slot = self.scheme.slot_of_nth(event);
            let orbit = u64::from(self.first_orbit) + slot / u64::from(SLOTS_PER_ORBIT);
            let bx = (slot % u64::from(SLOTS_PER_ORBIT)) as i16 + 1;
            let orbit =
                u32::try_from(orbit).map_err(|_| ImportError::OrbitRange { event, orbit })?;
            self.block.get_mut::<u32>(Column::Orbit)[begin + i] = orbit;
            self.block.get_mut::<i16>(Column::Bx)[begin + i] = bx;
            if !self.has_lumi {
                let lumi = lumi_section_of_orbit(orbit);
                self.block.get_mut::<u32>(Column::Lumi)[begin + i] = lumi;
            }
        }
        Ok(())
    }

    pub(super) fn finish<E: From<ImportError>>(
        mut self,
        counts: &mut PlaceCounts,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        if self.block.is_empty() { Ok(()) } else { emit(&mut self.block, counts, sink) }
    }
}
