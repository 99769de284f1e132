//! Simulated events in random order, in bounded memory.
//!
//! Every event gets a key of 64 random bits, a hash of the seed and of its number among all
//! events, and the events are sorted by key: a uniform random permutation, that depends on
//! nothing but the seed and the number of events. Sorting takes two passes: events are dealt into
//! buckets on disk by the leading bits of their keys, then one bucket after another is read and
//! sorted in memory. How many buckets there are changes nothing in the order.
//!
//! Crossings keep their places: the k-th event of the result happens in the k-th crossing of the
//! inputs, in its run, orbit and luminosity section. Everything else moves with the event.

use std::path::{Path, PathBuf};

use super::assemble::Assembler;
use super::header::{folder_of, header_of, setting};
use super::input::{Input, open_all};
use super::{OutputOptions, Progress, RearrangeError, Report};
use crate::event::gather::{self, Pick};
use crate::event::{Block, Collection, Column, ColumnSet, Group};
use crate::format::{SampleKind, StreamWriter};
use crate::spill::{SpillFolder, SpillWriter};

/// Most buckets, each of which is an open file.
const BUCKETS_MAX: u64 = 256;
/// Bytes that an event needs beside its columns while its bucket is sorted: tag and order, twice.
const SORT_BYTES: u64 = 48;
/// A bucket may hold so many times its fair share before the limit is passed.
const SLACK: f64 = 1.25;

/// How events are shuffled.
#[derive(Clone, Debug)]
pub struct ShuffleOptions {
    /// Seed of the order.
    pub rng_seed: u64,
    /// Bytes of memory that events may take.
    pub memory_bytes: u64,
    /// Folder, on a disk with room for all columns uncompressed, in which a temporary folder is
    /// made; by default that of the output.
    pub folder: Option<PathBuf>,
    /// What is written, and how.
    pub output: OutputOptions,
}

/// Writes the events of `inputs`, taken one after another, to `output` in random order.
///
/// # Errors
/// Inputs that are damaged, recorded, differ in columns or kind, or are not in ascending order; too
/// little memory; a disk or output that cannot be written.
pub fn shuffle(
    inputs: &[PathBuf],
    output: &Path,
    options: &ShuffleOptions,
    progress: Progress<'_>,
) -> Result<Report, RearrangeError> {
    let mut inputs = open_all(inputs)?;
    let columns = super::cat::columns_of(&inputs, false)?;
    let recorded =
        |input: &&Input| !matches!(input.header().kind, SampleKind::ZeroBias | SampleKind::Signal);
    if let Some(input) = inputs.iter().find(recorded) {
        let kind = input.header().kind.name();
        return Err(RearrangeError::Recorded { path: input.path_buf(), kind });
    }
    let settings = vec![setting("command", "shuffle"), setting("rng_seed", options.rng_seed)];
    let header = header_of(&inputs, columns, settings, &options.output)?;
    let n_buckets = n_buckets(&inputs, columns, options.memory_bytes)?;
    let writer = StreamWriter::create(output, &header, options.output.compression)?;
    let folder = options.folder.as_deref().unwrap_or_else(|| folder_of(output));
    let mut folder = SpillFolder::create(folder, "shuffle")?;
    let n_events: u64 = inputs.iter().map(|input| input.index().n_crossings).sum();
    let mut buckets = Buckets::new(n_buckets, columns, n_events, options, &mut folder)?;
    let mut read = 0;
    let mut block = Block::default();
    for input in &mut inputs {
        while input.read(columns, &mut block)? {
            (0..block.len()).try_for_each(|at| {
                buckets.deal(&block, at, key(options.rng_seed, read + at as u64))
            })?;
            read += block.len() as u64;
            progress(read / 2);
        }
    }
    let mut shuffled = buckets.finish()?;
    let mut to = Assembler::new(writer);
    let places = places_of(columns);
    let (mut done, mut last) = (0, None);
    let mut placed = Block::new(columns);
    for input in &mut inputs {
        input.seek(0)?;
        while input.read(places, &mut block)? {
            let first = block.crossing_id(0);
            if let Some(last) = last.filter(|&last| last >= first) {
                let path = input.path_buf();
                return Err(RearrangeError::Order { path, last, found: first });
            }
            last = Some(block.crossing_id(block.len() - 1));
            shuffled.fill(&block, places, &mut placed)?;
            to.push(&placed, 0..placed.len())?;
            to.end_block();
            done += block.len() as u64;
            progress((read + done) / 2);
        }
    }
    Ok(Report { read, duplicates: 0, contested: 0, written: to.finish()? })
}

/// What belongs to the crossing and not to its event.
fn places_of(columns: ColumnSet) -> ColumnSet {
    Group::Crossing.columns().with(Column::Lumi).intersection(columns)
}

/// The key of an event: SplitMix64 of seed and number.
/// **Source**: Steele, Lea, Flood, OOPSLA 2014.
fn key(rng_seed: u64, number: u64) -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    mix(mix(rng_seed.wrapping_add(STEP)).wrapping_add(number.wrapping_mul(STEP)))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Bytes of all columns of all inputs, uncompressed.
fn bytes_of(inputs: &[Input], columns: ColumnSet) -> u64 {
    let of_input = |input: &Input| -> u64 {
        let entries = |column: Column| match column.spec().collection {
            Collection::Crossing => input.index().n_crossings,
            objects => input.index().n_objects.get(objects as usize).copied().unwrap_or(0),
        };
        columns.iter().map(|column| entries(column) * column.spec().dtype.size() as u64).sum()
    };
    inputs.iter().map(of_input).sum()
}

/// Buckets of which one fits into memory, read and put in order: a power of two.
fn n_buckets(
    inputs: &[Input],
    columns: ColumnSet,
    memory_bytes: u64,
) -> Result<u64, RearrangeError> {
    let n_events: u64 = inputs.iter().map(|input| input.index().n_crossings).sum();
    // Once as it is read, once in order.
    let needed = 2 * bytes_of(inputs, columns) + n_events * SORT_BYTES;
    let needed = (needed as f64 * SLACK) as u64;
    let n_buckets = needed.div_ceil(memory_bytes.max(1)).max(1).next_power_of_two();
    if n_buckets > BUCKETS_MAX {
        let needed = needed.div_ceil(BUCKETS_MAX);
        return Err(RearrangeError::Memory { needed, given: memory_bytes, n_events });
    }
    Ok(n_buckets)
}

/// Events on their way into buckets.
struct Buckets {
    /// Of each bucket: keys and events that are not written yet.
    pages: Vec<(Vec<u64>, Block)>,
    writers: Vec<SpillWriter>,
    page_events: usize,
    /// Bits of the key beyond those that name the bucket.
    shift: u32,
    columns: ColumnSet,
}

impl Buckets {
    fn new(
        n_buckets: u64,
        columns: ColumnSet,
        n_events: u64,
        options: &ShuffleOptions,
        folder: &mut SpillFolder,
    ) -> Result<Buckets, RearrangeError> {
        // All pages together take less than half of what one bucket takes when it is sorted.
        let page_events = (n_events / (n_buckets * n_buckets)).clamp(1, 4096) as usize;
        debug_assert!(options.memory_bytes > 0 || n_buckets == BUCKETS_MAX);
        let page = || (Vec::new(), Block::new(columns));
        Ok(Buckets {
            pages: (0..n_buckets).map(|_| page()).collect(),
            writers: (0..n_buckets).map(|_| folder.begin()).collect::<Result<_, _>>()?,
            page_events,
            shift: 64 - n_buckets.trailing_zeros(),
            columns,
        })
    }

    /// Puts an event into its bucket.
    fn deal(&mut self, from: &Block, at: usize, key: u64) -> Result<(), RearrangeError> {
        // All 64 bits beyond the bucket's: there is one bucket.
        let bucket = key.checked_shr(self.shift).unwrap_or(0) as usize;
        let (keys, events) = &mut self.pages[bucket];
        keys.push(key);
        events.push_event(from, at);
        if keys.len() >= self.page_events {
            self.writers[bucket].write(keys, events)?;
            keys.clear();
            events.reset(0, self.columns);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Shuffled, RearrangeError> {
        let mut spills = Vec::with_capacity(self.writers.len());
        for (mut writer, (keys, events)) in self.writers.drain(..).zip(&self.pages) {
            writer.write(keys, events)?;
            spills.push(writer.finish()?);
        }
        spills.reverse();
        let columns = self.columns;
        Ok(Shuffled { left: spills, sorted: Block::new(columns), at: 0, columns })
    }
}

/// Events in random order.
struct Shuffled {
    /// Buckets that have not been read, the next one last.
    left: Vec<crate::spill::Spill>,
    sorted: Block,
    /// The next event of those that are sorted.
    at: usize,
    columns: ColumnSet,
}

impl Shuffled {
    /// Puts the next events into the crossings of `places`.
    fn fill(
        &mut self,
        places: &Block,
        of_places: ColumnSet,
        to: &mut Block,
    ) -> Result<(), RearrangeError> {
        to.reset(places.run, self.columns);
        let of_events = self.columns.minus(of_places);
        let all = Pick { source: 0, first: 0, end: places.len() };
        gather::append_columns(to, of_places, &[places], &[all]);
        let mut missing = places.len();
        while missing > 0 {
            if self.at == self.sorted.len() && !self.next_bucket()? {
                break;
            }
            let n = missing.min(self.sorted.len() - self.at);
            let pick = Pick { source: 0, first: self.at, end: self.at + n };
            gather::append_columns(to, of_events, &[&self.sorted], &[pick]);
            self.at += n;
            missing -= n;
        }
        to.index_objects().map_err(crate::format::WriteError::from)?;
        Ok(())
    }

    /// Reads a bucket and sorts it; false if there is none left.
    fn next_bucket(&mut self) -> Result<bool, RearrangeError> {
        let Some(spill) = self.left.pop() else { return Ok(false) };
        let mut reader = spill.open()?;
        let mut read = Block::new(self.columns);
        let (mut keys, mut tags, mut page) = (Vec::new(), Vec::<u64>::new(), Block::default());
        loop {
            reader.read(&mut tags, &mut page, self.columns)?;
            if page.is_empty() {
                break;
            }
            keys.extend_from_slice(&tags);
            let all = Pick { source: 0, first: 0, end: page.len() };
            gather::append(&mut read, &[&page], &[all]);
        }
        read.index_objects().map_err(crate::format::WriteError::from)?;
        // Events of the same key, if ever there are, stay in the order of their numbers.
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&i| keys[i]);
        let picks: Vec<Pick> =
            order.iter().map(|&i| Pick { source: 0, first: i, end: i + 1 }).collect();
        self.sorted.reset(0, self.columns);
        gather::append(&mut self.sorted, &[&read], &picks);
        self.sorted.index_objects().map_err(crate::format::WriteError::from)?;
        self.at = 0;
        spill.remove()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_neighbouring_numbers_and_seeds_differ_in_half_of_their_bits() {
        let differ = |a: u64, b: u64| f64::from((a ^ b).count_ones());
        let n = 10_000;
        let numbers: f64 = (0..n).map(|i| differ(key(1, i), key(1, i + 1))).sum();
        let seeds: f64 = (0..n).map(|i| differ(key(i, 7), key(i + 1, 7))).sum();
        // The mean of 10^4 binomials of 64 bits has a standard deviation of 0.04.
        assert!((numbers / n as f64 - 32.0).abs() < 0.2);
        assert!((seeds / n as f64 - 32.0).abs() < 0.2);
    }
}
