//! Streams of the same crossings, or of different ones, in one.
//!
//! The real system reads muons, calorimeter objects and sums from different sources and unites
//! them by crossing; simulation comes in parts. Columns of the result are those of all inputs. What
//! belongs together, a **unit**, is taken whole from one input: all columns of a kind of objects
//! with their multiplicity, or a group of columns of the crossing. An input that has no column of
//! a unit but the multiplicity has no say in it, unless no input has.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use super::assemble::{Assembler, TARGET_CROSSINGS};
use super::header::{header_of, setting};
use super::input::{Input, open_all};
use super::{OutputOptions, Progress, RearrangeError, Report};
use crate::event::gather::{self, NOWHERE, Pick};
use crate::event::{Block, Collection, Column, ColumnSet, Group};
use crate::format::StreamWriter;
use crate::lhc::CrossingId;

/// What becomes of a crossing that several inputs have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// It is an error.
    #[default]
    Refuse,
    /// The event of the first input that has it stays, and it is counted.
    First,
    /// Each unit is taken from the first input that has the crossing and columns of the unit, and
    /// it is counted.
    Unite,
}

impl Duplicates {
    /// As shown and as typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Duplicates::Refuse => "error",
            Duplicates::First => "first",
            Duplicates::Unite => "unite",
        }
    }
}

/// How streams are merged.
#[derive(Clone, Debug, Default)]
pub struct MergeOptions {
    /// What becomes of a crossing that several inputs have.
    pub duplicates: Duplicates,
    /// What is written, and how.
    pub output: OutputOptions,
}

/// Writes the events of all `inputs` to `output`, by (run, orbit, crossing number).
///
/// # Errors
/// Inputs that are damaged or differ in kind, a crossing that several have if that is refused, an
/// output that cannot be written.
pub fn merge(
    inputs: &[PathBuf],
    output: &Path,
    options: &MergeOptions,
    progress: Progress<'_>,
) -> Result<Report, RearrangeError> {
    let inputs = open_all(inputs)?;
    let columns = inputs.iter().fold(ColumnSet::EMPTY, |all, input| all.union(input.columns()));
    let settings =
        vec![setting("command", "merge"), setting("duplicates", options.duplicates.name())];
    let header = header_of(&inputs, columns, settings, &options.output)?;
    let writer = StreamWriter::create(output, &header, options.output.compression)?;
    let mut to = Assembler::new(writer);
    let mut merger = Merger::new(inputs, columns, options.duplicates)?;
    let mut read = 0;
    while merger.fill_page()? {
        to.push_page(&merger.page)?;
        read = merger.read;
        progress(read);
    }
    Ok(Report {
        read,
        duplicates: merger.duplicates,
        contested: merger.contested,
        written: to.finish()?,
    })
}

impl Assembler {
    /// Appends a page of one run.
    fn push_page(&mut self, page: &Block) -> Result<(), RearrangeError> {
        self.push(page, 0..page.len())?;
        self.end_page();
        Ok(())
    }
}

/// What is taken whole from one input.
struct Unit {
    columns: ColumnSet,
    /// The multiplicity, if it is a kind of objects.
    count: Option<Column>,
    /// Which inputs have columns of it.
    owners: Vec<bool>,
    /// Where the events of the page come from.
    picks: Vec<Pick>,
}

/// The units that columns fall into.
fn units_of(columns: ColumnSet, inputs: &[Input]) -> Vec<Unit> {
    // Every stream counts the usual objects; of the others only those that it has.
    let is_counted = |collection: &Collection| {
        Collection::OBJECTS.contains(collection)
            || collection.count_column().is_some_and(|count| columns.contains(count))
    };
    let objects = Collection::ALL_OBJECTS.into_iter().filter(is_counted).map(|collection| {
        let of_objects = columns.iter().filter(|c| c.spec().collection == collection);
        (of_objects.collect::<ColumnSet>(), collection.count_column())
    });
    let is_of_crossing = |group: &Group| !matches!(group, Group::Counts | Group::FurtherCounts);
    let of_crossing = Group::ALL.into_iter().filter(is_of_crossing).map(|group| {
        let of_group = group.columns().intersection(columns).iter();
        let of_group = of_group.filter(|c| c.spec().collection == Collection::Crossing);
        (of_group.collect::<ColumnSet>(), None)
    });
    let unit = |(columns, count): (ColumnSet, Option<Column>)| {
        let has = |input: &Input| !input.columns().intersection(columns).is_empty();
        let nobody = !inputs.iter().any(has);
        Unit {
            columns: count.map_or(columns, |count| columns.with(count)),
            count,
            owners: inputs.iter().map(|input| nobody || has(input)).collect(),
            picks: Vec::new(),
        }
    };
    let is_there = |unit: &Unit| !unit.columns.is_empty();
    objects.chain(of_crossing).map(unit).filter(is_there).collect()
}

/// Takes events from inputs, the earliest crossing first.
struct Merger {
    inputs: Vec<Input>,
    blocks: Vec<Block>,
    /// The next crossing of each input.
    next: Vec<usize>,
    heap: BinaryHeap<Reverse<(CrossingId, usize)>>,
    units: Vec<Unit>,
    duplicates_are: Duplicates,
    /// Events that have been put together.
    page: Block,
    n_picked: usize,
    read: u64,
    duplicates: u64,
    contested: u64,
}

impl Merger {
    fn new(
        inputs: Vec<Input>,
        columns: ColumnSet,
        duplicates_are: Duplicates,
    ) -> Result<Merger, RearrangeError> {
        let n = inputs.len();
        let mut merger = Merger {
            units: units_of(columns, &inputs),
            inputs,
            blocks: vec![Block::default(); n],
            next: vec![0; n],
            heap: BinaryHeap::with_capacity(n),
            duplicates_are,
            page: Block::new(columns),
            n_picked: 0,
            read: 0,
            duplicates: 0,
            contested: 0,
        };
        (0..n).try_for_each(|k| merger.read_block(k))?;
        Ok(merger)
    }

    /// Reads the next block of an input; its first crossing competes from now on.
    fn read_block(&mut self, k: usize) -> Result<(), RearrangeError> {
        let columns = self.inputs[k].columns();
        if self.inputs[k].read(columns, &mut self.blocks[k])? {
            self.next[k] = 0;
            self.heap.push(Reverse((self.blocks[k].crossing_id(0), k)));
        }
        Ok(())
    }

    /// Fills the page with the next events, of one run; false if there is none.
    fn fill_page(&mut self) -> Result<bool, RearrangeError> {
        self.page.reset(self.page.run, self.page.columns());
        let mut holders = Vec::with_capacity(self.inputs.len());
        while self.page.len() + self.n_picked < TARGET_CROSSINGS {
            let Some(&Reverse((id, _))) = self.heap.peek() else { break };
            let is_empty = self.page.is_empty() && self.n_picked == 0;
            if !is_empty && id.run != self.page.run {
                break;
            }
            self.page.run = id.run;
            holders.clear();
            // Inputs of the same crossing come in their own order.
            while let Some(&Reverse((other, k))) = self.heap.peek()
                && other == id
            {
                self.heap.pop();
                holders.push(k);
            }
            self.choose(id, &holders)?;
            self.advance(&holders)?;
        }
        self.take_picks();
        self.page.index_objects().map_err(crate::format::WriteError::from)?;
        Ok(!self.page.is_empty())
    }

    /// Says where each unit of a crossing comes from.
    fn choose(&mut self, id: CrossingId, holders: &[usize]) -> Result<(), RearrangeError> {
        self.read += holders.len() as u64;
        if let [first, other, ..] = *holders {
            if self.duplicates_are == Duplicates::Refuse {
                let (first, path) = (self.inputs[first].path_buf(), self.inputs[other].path_buf());
                return Err(RearrangeError::Duplicate { first, path, id });
            }
            self.duplicates += 1;
            self.contested += u64::from(self.is_contested(holders));
        }
        let candidates = match self.duplicates_are {
            Duplicates::Unite => holders,
            Duplicates::Refuse | Duplicates::First => &holders[..1],
        };
        for unit in &mut self.units {
            let owner = candidates.iter().copied().find(|&k| unit.owners[k]);
            match owner {
                Some(k) => gather::pick(&mut unit.picks, k, self.next[k]),
                None => gather::pick(&mut unit.picks, NOWHERE, self.n_picked),
            }
        }
        self.n_picked += 1;
        Ok(())
    }

    /// Whether several inputs have objects of one kind in this crossing.
    fn is_contested(&self, holders: &[usize]) -> bool {
        self.units.iter().any(|unit| {
            // Where no input has more than a multiplicity, there is nothing to disagree on.
            let Some(count) = unit.count.filter(|_| unit.columns.iter().nth(1).is_some()) else {
                return false;
            };
            let has =
                |&&k: &&usize| unit.owners[k] && self.blocks[k].get::<u8>(count)[self.next[k]] > 0;
            holders.iter().filter(has).count() > 1
        })
    }

    /// Goes on to the next crossings of these inputs.
    fn advance(&mut self, holders: &[usize]) -> Result<(), RearrangeError> {
        let ends = |&k: &usize| self.next[k] + 1 == self.blocks[k].len();
        if holders.iter().any(ends) {
            // Picks point into blocks that are about to be replaced.
            self.take_picks();
        }
        for &k in holders {
            self.next[k] += 1;
            if self.next[k] < self.blocks[k].len() {
                self.heap.push(Reverse((self.blocks[k].crossing_id(self.next[k]), k)));
            } else {
                self.read_block(k)?;
            }
        }
        Ok(())
    }

    /// Copies what has been picked onto the page.
    fn take_picks(&mut self) {
        let from: Vec<&Block> = self.blocks.iter().collect();
        for unit in &mut self.units {
            gather::append_columns(&mut self.page, unit.columns, &from, &unit.picks);
            unit.picks.clear();
        }
        self.n_picked = 0;
    }
}
