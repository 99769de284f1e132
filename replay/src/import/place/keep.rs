//! Recorded events, sorted by (run, orbit, crossing) in bounded memory.
//!
//! An external merge sort. Events gather in memory; when it is full they are sorted into a spill
//! file. At the end the spill files are merged, at most [`FAN_IN`] at a time, page by page, and
//! cut into blocks. An import that fits into memory touches no disk.
//!
//! ```text
//! chunks ──► memory ──sort──► spill 0, 1, 2, … ──merge (as often as needed)──► pages ──► blocks
//!                └──────────sort, if there is no spill──────────────────────►
//! ```
//!
//! Events of the same crossing keep their file order through both steps, so the one that stays is
//! always the first in the files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use super::{PlaceCounts, PlaceOptions, Sink, emit};
use crate::event::gather::{self, Pick};
use crate::event::{Block, Column, ColumnSet};
use crate::import::{Chunk, ImportError};
use crate::lhc::{Bx, CrossingId};
use crate::spill::{Spill, SpillError, SpillFolder, SpillReader, SpillWriter};

/// Most spill files that are merged at once: bounds open files and memory.
const FAN_IN: usize = 128;
/// Most events in one page.
const PAGE_EVENTS: usize = 1024;

#[derive(Debug)]
pub(super) struct Keep {
    memory: Chunk,
    spill_events: usize,
    target_crossings: usize,
    parent: PathBuf,
    folder: Option<SpillFolder>,
    spills: Vec<Spill>,
}

impl Keep {
    pub(super) fn new(columns: ColumnSet, options: &PlaceOptions) -> Keep {
        let mut memory = Chunk::default();
        memory.reset(columns);
        Keep {
            memory,
            spill_events: options.spill_events,
            target_crossings: options.target_crossings,
            parent: options.spill_folder.clone(),
            folder: None,
            spills: Vec::new(),
        }
    }

    pub(super) fn columns(&self) -> ColumnSet {
        self.memory.events.columns()
    }

    pub(super) fn push(
        &mut self,
        chunk: &Chunk,
        counts: &mut PlaceCounts,
    ) -> Result<(), ImportError> {
        check_placed(chunk, counts.events)?;
        let mut first = 0;
        while first < chunk.events.len() {
            let room = self.spill_events - self.memory.events.len();
            let end = chunk.events.len().min(first + room);
            let pick = Pick { source: 0, first, end };
            gather::append(&mut self.memory.events, &[&chunk.events], &[pick]);
            self.memory.runs.extend_from_slice(&chunk.runs[first..end]);
            counts.events += (end - first) as u64;
            first = end;
            if self.memory.events.len() == self.spill_events {
                self.spill(counts)?;
            }
        }
        Ok(())
    }

    fn spill(&mut self, counts: &mut PlaceCounts) -> Result<(), ImportError> {
        let folder = match &mut self.folder {
            Some(folder) => folder,
            none => none.insert(SpillFolder::create(&self.parent, "sort")?),
        };
        let mut writer = folder.begin()?;
        counts.duplicates += sorted(&mut self.memory, &mut |page| write(&mut writer, page))?;
        self.spills.push(writer.finish()?);
        counts.spills += 1;
        self.memory.reset(self.memory.events.columns());
        Ok(())
    }

    pub(super) fn finish<E: From<ImportError>>(
        mut self,
        counts: &mut PlaceCounts,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let columns = self.columns();
        let mut blocks = Blocks::new(columns, self.target_crossings);
        if self.folder.is_none() {
            let duplicates =
                sorted(&mut self.memory, &mut |page| blocks.push(page, counts, &mut *sink))?;
            blocks.finish(counts, sink)?;
            counts.duplicates += duplicates;
            return Ok(());
        }
        if !self.memory.events.is_empty() {
            self.spill(counts)?;
        }
        self.memory = Chunk::default();
        while self.spills.len() > FAN_IN {
            self.merge_pass(columns, counts)?;
        }
        let duplicates =
            merged(&self.spills, columns, &mut |page| blocks.push(page, counts, &mut *sink))?;
        blocks.finish(counts, sink)?;
        counts.duplicates += duplicates;
        Ok(())
    }

    /// Merges neighbouring spills, so that fewer are left, in the same order.
    fn merge_pass(
        &mut self,
        columns: ColumnSet,
        counts: &mut PlaceCounts,
    ) -> Result<(), ImportError> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        let mut spills = std::mem::take(&mut self.spills).into_iter();
        loop {
            let group: Vec<Spill> = spills.by_ref().take(FAN_IN).collect();
            if group.is_empty() {
                return Ok(());
            }
            let mut writer = folder.begin()?;
            counts.duplicates += merged(&group, columns, &mut |page| write(&mut writer, page))?;
            self.spills.push(writer.finish()?);
            group.into_iter().try_for_each(Spill::remove)?;
        }
    }
}

/// Checks that all events of a chunk have a crossing; `before` events came before it.
pub(super) fn check_placed(chunk: &Chunk, before: u64) -> Result<(), ImportError> {
    let bxs = chunk.events.get::<i16>(Column::Bx);
    let is_bad = |&bx: &i16| u32::try_from(bx).ok().and_then(Bx::new).is_none();
    match bxs.iter().position(is_bad) {
        Some(index) => {
            let event = before + index as u64;
            Err(ImportError::NotPlaced { event, bx: bxs[index] })
        }
        None => Ok(()),
    }
}

/// Receives pages of events in order.
type Pages<'a, E> = &'a mut dyn FnMut(&Chunk) -> Result<(), E>;

fn write(to: &mut SpillWriter, page: &Chunk) -> Result<(), ImportError> {
    Ok(to.write(&page.runs, &page.events)?)
}

fn read(from: &mut SpillReader, page: &mut Chunk, columns: ColumnSet) -> Result<(), ImportError> {
    Ok(from.read(&mut page.runs, &mut page.events, columns)?)
}

fn crossing_id(chunk: &Chunk, index: usize) -> CrossingId {
    CrossingId { run: chunk.runs[index], ..chunk.events.crossing_id(index) }
}

/// Sorts the events of `chunk` into pages. Returns how many were dropped as duplicates.
fn sorted<E: From<ImportError>>(chunk: &mut Chunk, pages: Pages<'_, E>) -> Result<u64, E> {
    chunk.events.index_objects().map_err(ImportError::Chunk)?;
    let mut order: Vec<(CrossingId, usize)> =
        (0..chunk.events.len()).map(|index| (crossing_id(chunk, index), index)).collect();
    order.sort_unstable();
    let n_events = order.len();
    order.dedup_by_key(|(id, _)| *id);
    let mut page = Page::new(chunk.events.columns());
    for indices in order.chunks(PAGE_EVENTS) {
        for &(_, index) in indices {
            gather::pick(&mut page.picks, 0, index);
        }
        page.take(&[chunk]);
        page.hand_on(pages)?;
    }
    Ok((n_events - order.len()) as u64)
}

/// Merges spill files into pages. Returns how many events were dropped as duplicates.
fn merged<E: From<ImportError>>(
    spills: &[Spill],
    columns: ColumnSet,
    pages: Pages<'_, E>,
) -> Result<u64, E> {
    let mut readers: Vec<SpillReader> = spills
        .iter()
        .map(Spill::open)
        .collect::<Result<_, SpillError>>()
        .map_err(ImportError::from)?;
    let mut inputs: Vec<Chunk> = vec![Chunk::default(); spills.len()];
    let mut next = vec![0; spills.len()];
    let mut heap = BinaryHeap::with_capacity(spills.len());
    for (source, input) in inputs.iter_mut().enumerate() {
        read(&mut readers[source], input, columns)?;
        if !input.events.is_empty() {
            heap.push(Reverse((crossing_id(input, 0), source)));
        }
    }
    let mut page = Page::new(columns);
    let (mut last, mut duplicates) = (None, 0);
    while let Some(Reverse((id, source))) = heap.pop() {
        if last == Some(id) {
            duplicates += 1;
        } else {
            gather::pick(&mut page.picks, source, next[source]);
            page.n_picked += 1;
            last = Some(id);
        }
        next[source] += 1;
        let exhausted = next[source] == inputs[source].events.len();
        if exhausted || page.n_picked == PAGE_EVENTS {
            page.take(&inputs.iter().collect::<Vec<_>>());
        }
        if page.n_picked == PAGE_EVENTS {
            page.hand_on(pages)?;
        }
        if exhausted {
            read(&mut readers[source], &mut inputs[source], columns)?;
            next[source] = 0;
        }
        if next[source] < inputs[source].events.len() {
            heap.push(Reverse((crossing_id(&inputs[source], next[source]), source)));
        }
    }
    page.hand_on(pages)?;
    Ok(duplicates)
}

/// A page that is being put together.
struct Page {
    events: Chunk,
    picks: Vec<Pick>,
    n_picked: usize,
}

impl Page {
    fn new(columns: ColumnSet) -> Page {
        let mut events = Chunk::default();
        events.reset(columns);
        Page { events, picks: Vec::new(), n_picked: 0 }
    }

    /// Copies what is picked.
    fn take(&mut self, from: &[&Chunk]) {
        let blocks: Vec<&Block> = from.iter().map(|chunk| &chunk.events).collect();
        gather::append(&mut self.events.events, &blocks, &self.picks);
        for pick in &self.picks {
            self.events.runs.extend_from_slice(&from[pick.source].runs[pick.first..pick.end]);
        }
        self.picks.clear();
    }

    /// Hands on what was copied, if anything.
    fn hand_on<E: From<ImportError>>(&mut self, pages: Pages<'_, E>) -> Result<(), E> {
        self.n_picked = 0;
        if self.events.events.is_empty() {
            return Ok(());
        }
        self.events.events.index_objects().map_err(ImportError::Chunk)?;
        pages(&self.events)?;
        self.events.reset(self.events.events.columns());
        Ok(())
    }
}

/// Cuts pages into blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    block: Block,
    target_crossings: usize,
}

impl Blocks {
    pub(super) fn new(columns: ColumnSet, target_crossings: usize) -> Blocks {
        Blocks { block: Block::new(columns), target_crossings }
    }

    pub(super) fn columns(&self) -> ColumnSet {
        self.block.columns()
    }

    pub(super) fn push<E: From<ImportError>>(
        &mut self,
        page: &Chunk,
        counts: &mut PlaceCounts,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let orbits = page.events.get::<u32>(Column::Orbit);
        let orbit_key = |index: usize| (page.runs[index], orbits[index]);
        let mut first = 0;
        while first < orbits.len() {
            let key = orbit_key(first);
            let n = (first..orbits.len()).take_while(|&index| orbit_key(index) == key).count();
            self.close_before(key, counts, &mut *sink)?;
            let pick = Pick { source: 0, first, end: first + n };
            gather::append(&mut self.block, &[&page.events], &[pick]);
            first += n;
        }
        Ok(())
    }

    /// Ends the block if this orbit, which comes next, does not belong to it.
    fn close_before<E: From<ImportError>>(
        &mut self,
        (run, orbit): (u32, u32),
        counts: &mut PlaceCounts,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        if let Some(&last) = self.block.get::<u32>(Column::Orbit).last() {
            let same_orbit = (self.block.run, last) == (run, orbit);
            let full = self.block.len() >= self.target_crossings && !same_orbit;
            if full || self.block.run != run {
                emit(&mut self.block, counts, sink)?;
            }
        }
        self.block.run = run;
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
