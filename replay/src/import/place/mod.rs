//! From loose events to blocks of whole orbits.
//!
//! [`Place::Fill`] gives the n-th event the n-th colliding slot of a filling scheme: for
//! simulation, which knows no crossing numbers. [`Place::Keep`] keeps the recorded ones and sorts
//! by them: for data. Either way every block is of one run and holds whole orbits, ascending, and
//! goes to the caller's sink as soon as it is complete.
//!
//! Neither invents or moves anything but orbit, crossing number and, where the file has none, the
//! luminosity section.

mod fill;
mod keep;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::{Chunk, ImportError};
use crate::event::{Block, ColumnSet};
use crate::lhc::FillingScheme;

/// Where events go.
#[derive(Clone, Debug)]
pub enum Place {
    /// The n-th event onto the n-th colliding slot, counted from `first_orbit`.
    Fill {
        /// Which slots collide.
        scheme: FillingScheme,
        /// Run that all events get.
        run: u32,
        /// First orbit.
        first_orbit: u32,
    },
    /// Into the crossing where they were recorded, sorted; of several events of the same crossing
    /// the first in file order stays.
    Keep,
}

/// Sizes and places that do not change which events come out.
#[derive(Clone, Debug)]
pub struct PlaceOptions {
    /// With [`Place::Fill`]: orbits per block.
    pub orbits_per_block: u32,
    /// With [`Place::Keep`]: a block closes at the first orbit boundary after this many crossings.
    pub target_crossings: usize,
    /// With [`Place::Keep`]: the events come in ascending order, each once, and are neither
    /// gathered nor sorted.
    pub sorted: bool,
    /// With [`Place::Keep`]: events that are sorted in memory at once. At about 300 bytes per
    /// event, the largest part of what placing needs; files of more events are sorted on disk.
    pub spill_events: usize,
    /// Folder, on a disk with room for all columns uncompressed, in which a temporary folder is
    /// made if sorting needs one. It is removed at the end, also after an error.
    pub spill_folder: PathBuf,
}

impl PlaceOptions {
    /// Default sizes: 4 orbits or 8192 crossings per block, 262 144 events in memory.
    #[must_use]
    pub fn new(spill_folder: PathBuf) -> PlaceOptions {
        PlaceOptions {
            orbits_per_block: 4,
            target_crossings: 8192,
            sorted: false,
            spill_events: 1 << 18,
            spill_folder,
        }
    }
}

/// What happened to the events pushed so far; after the end, `events = placed + duplicates`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceCounts {
    /// Events pushed.
    pub events: u64,
    /// Events that went out in blocks.
    pub placed: u64,
    /// Events dropped because an earlier one has the same crossing.
    pub duplicates: u64,
    /// Blocks that went out.
    pub blocks: u64,
    /// Times that the memory was full and was sorted to disk.
    pub spills: u64,
}

/// Receives complete blocks.
pub type Sink<'a, E> = &'a mut dyn FnMut(&Block) -> Result<(), E>;

/// Turns chunks into blocks.
///
/// Push every chunk of an import, then finish. After an error the placer is of no further use.
#[derive(Debug)]
pub struct Placer {
    how: How,
    counts: PlaceCounts,
}

#[derive(Debug)]
enum How {
    Fill(fill::Fill),
    Keep(keep::Keep),
    Sorted(keep::Blocks),
}

impl Placer {
    /// For chunks with these columns.
    ///
    /// # Errors
    /// A size of zero in the options.
    pub fn new(
        place: Place,
        columns: ColumnSet,
        options: &PlaceOptions,
    ) -> Result<Placer, ImportError> {
        let sizes = [
            ("orbits per block", options.orbits_per_block as usize),
            ("crossings per block", options.target_crossings),
            ("events in memory", options.spill_events),
        ];
        if let Some(&(option, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ImportError::Option { option });
        }
        let how = match place {
            Place::Fill { scheme, run, first_orbit } => {
                let orbits_per_block = options.orbits_per_block;
                How::Fill(fill::Fill::new(scheme, run, first_orbit, columns, orbits_per_block))
            }
            Place::Keep if options.sorted => {
                How::Sorted(keep::Blocks::new(columns, options.target_crossings))
            }
            Place::Keep => How::Keep(keep::Keep::new(columns, options)),
        };
        Ok(Placer { how, counts: PlaceCounts::default() })
    }

    /// Columns of every block: those of the chunks, and with [`Place::Fill`] always the
    /// luminosity section.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        match &self.how {
            How::Fill(fill) => fill.columns(),
            How::Keep(keep) => keep.columns(),
            How::Sorted(blocks) => blocks.columns(),
        }
    }

    /// Takes the events of `chunk`, and hands blocks that are complete to `sink`.
    ///
    /// # Errors
    /// Events that cannot be placed, a disk that cannot take what does not fit into memory, or
    /// whatever `sink` returns.
    ///
    /// # Panics
    /// If the chunk does not have one run per event: a mistake in the program, not in the data.
    pub fn push<E: From<ImportError>>(
        &mut self,
        chunk: &Chunk,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        assert_eq!(chunk.runs.len(), chunk.events.len(), "a chunk has one run per event");
        match &mut self.how {
            How::Fill(fill) => fill.push(chunk, &mut self.counts, sink),
            How::Keep(keep) => Ok(keep.push(chunk, &mut self.counts)?),
            How::Sorted(blocks) => {
                keep::check_placed(chunk, self.counts.events)?;
                self.counts.events += chunk.events.len() as u64;
                blocks.push(chunk, &mut self.counts, sink)
            }
        }
    }

    /// Hands the remaining blocks to `sink`.
    ///
    /// # Errors
    /// As [`Placer::push`].
    pub fn finish<E: From<ImportError>>(mut self, sink: Sink<'_, E>) -> Result<PlaceCounts, E> {
        match self.how {
            How::Fill(fill) => fill.finish(&mut self.counts, sink)?,
            How::Keep(keep) => keep.finish(&mut self.counts, sink)?,
            How::Sorted(blocks) => blocks.finish(&mut self.counts, sink)?,
        }
        Ok(self.counts)
    }
}

/// Indexes a block, hands it on, counts it and empties it.
fn emit<E: From<ImportError>>(
    block: &mut Block,
    counts: &mut PlaceCounts,
    sink: Sink<'_, E>,
) -> Result<(), E> {
    block.index_objects().map_err(ImportError::Chunk)?;
    sink(block)?;
    counts.placed += block.len() as u64;
    counts.blocks += 1;
    block.reset(block.run, block.columns());
    Ok(())
}
