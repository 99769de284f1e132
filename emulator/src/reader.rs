//! Ahead of the clock: reads blocks, injects signal, fills rows, forms batches.
//!
//! The reader runs on core 0, as far ahead as there are batches. Everything that it does depends
//! on the stream and the configuration alone, never on time, so batches are the same in every
//! run; only whether they are ready in time is not.

mod decoders;
mod pool;

pub use decoders::Decoders;
pub use pool::{BlockPool, LIVE_BLOCKS};

use std::ops::Range;

use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::inject::Injector;
use scout40_replay::lhc::{SLOTS_PER_ORBIT, lumi_section_of_orbit};
use scout40_replay::pacing::{SlotClock, SlotRun, Slots};
use scout40_replay::source::{Delivery, Source, SourceError};

use crate::batch::{Batch, Outcome, Segment};
use crate::config::RunPlan;
use crate::counters::{Counts, Trouble};
use crate::models::{LoadedModel, fillers};
use crate::trigger::Conditions;

/// What a call of [`Reader::fill`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The batch is ready.
    Ready,
    /// All blocks are in use: batches must be collected first.
    Blocked,
    /// The source has nothing yet.
    Waiting,
    /// The run has ended, and the batch is empty.
    End,
}

/// After a gap the clock goes on with so much in hand: what a network's bursts take.
const GAP_MARGIN_PS: u64 = 4_000_000_000;

/// How a reader goes through its stream.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Columns that blocks need.
    pub wanted: ColumnSet,
    /// Most crossings in a batch.
    pub batch_size: usize,
    /// Most slots that a batch spans; `u64::MAX` if it is to be full.
    pub wait_slots: u64,
    /// Slots of a reporting interval.
    pub interval_slots: u64,
    /// The first pass begins with the first crossing of this orbit or a later one.
    pub from_orbit: u32,
    /// The run ends with this slot.
    pub end_slot: u64,
    /// Begin again when the stream ends, with orbit numbers running on.
    pub repeat: bool,
    /// The clock, unless the run is unpaced.
    pub clock: Option<SlotClock>,
    /// Lateness in ps at which the arrival ring has been overwritten, if that drops batches.
    pub drop_after_ps: Option<u64>,
}

/// Whether a source that was asked for more had anything to say.
enum Came {
    Something,
    Nothing,
}

/// What crossings are taken from.
#[derive(Clone, Copy)]
enum Current {
    /// The live block of this number, from crossing `at` on.
    Block { number: u64, at: usize },
    /// A block of this run that was passed over unread, of which so many crossings are left.
    Skipped { run: u32, left: usize },
}

/// Forms batches.
pub struct Reader<'a> {
    source: Box<dyn Source>,
    slots: Slots,
    models: &'a [LoadedModel],
    conditions: Conditions,
    injector: Option<&'a Injector>,
    options: ReaderOptions,
    /// Where the next crossings come from.
    current: Option<Current>,
    merged: Block,
    /// What is added to the file's orbits: none in the first pass.
    orbit_shift: u32,
    /// Highest orbit so far, shifted.
    highest_orbit: Option<u32>,
    /// Crossings of earlier orbits are passed over: 0 once the run has begun.
    from_orbit: u32,
    /// The next block is the first one of another pass.
    begins_again: bool,
    ended: bool,
    /// Time in ps since the start of the run, as far as the reader has been told.
    now_ps: u64,
    /// Due time of the last event that got a slot.
    last_due_ps: u64,
    /// Too late to read: blocks are passed over until the clock has been caught up with.
    is_catching_up: bool,
    /// Whether the source's events come from outside, when they come.
    is_live: bool,
    /// A live source has had nothing since the last block.
    has_waited: bool,
    /// Crossings by what became of them, as far as the reader knows.
    pub counts: Counts,
    /// What was wrong with the source.
    pub trouble: Trouble,
}

impl<'a> Reader<'a> {
    /// A reader at the start of its source.
    #[must_use]
    pub fn new(
        source: Box<dyn Source>,
        slots: Slots,
        plan: &'a RunPlan,
        options: ReaderOptions,
    ) -> Reader<'a> {
        Reader {
            source,
            slots,
            models: &plan.models,
            conditions: Conditions::new(&plan.menu),
            injector: plan.injector.as_ref(),
            from_orbit: options.from_orbit,
            options,
            current: None,
            merged: Block::default(),
            orbit_shift: 0,
            highest_orbit: None,
            begins_again: false,
            ended: false,
            now_ps: 0,
            last_due_ps: 0,
            is_catching_up: false,
            is_live: plan.facts.is_live,
            has_waited: false,
            counts: Counts::default(),
            trouble: Trouble::default(),
        }
    }

    /// Tells what time it is, in ps since the start of the run.
    pub fn set_time(&mut self, now_ps: u64) {
        self.now_ps = now_ps;
    }

    /// Ends the run after the batches that have been formed.
    pub fn stop(&mut self) {
        self.ended = true;
    }

    /// Fills `batch`, which is empty, with the next events.
    ///
    /// # Errors
    /// The operating system's refusal to read on.
    pub fn fill(&mut self, batch: &mut Batch, pool: &mut BlockPool) -> Result<Filled, SourceError> {
        while batch.len < self.options.batch_size && !self.ended {
            let Some(current) = self.current else {
                if pool.spare.is_empty() {
                    // A batch may hold the events of all blocks: then it must go as it is.
                    return Ok(if batch.len > 0 {
                        self.close(batch, pool)
                    } else {
                        Filled::Blocked
                    });
                }
                match self.next_block(pool)? {
                    Came::Something => continue,
                    Came::Nothing if batch.len == 0 => return Ok(Filled::Waiting),
                    // What has come goes on its way.
                    Came::Nothing => break,
                }
            };
            let outcome = self.outcome(current, pool);
            if batch.len == 0 {
                batch.outcome = outcome;
            } else if batch.outcome != outcome {
                break;
            }
            let room = self.options.batch_size - batch.len;
            let (of_run, mut run, lumi) = self.next_slots(current, pool, room, batch.lumi);
            let interval = run.first / self.options.interval_slots;
            if batch.len == 0 {
                (batch.run, batch.lumi, batch.interval) = (of_run, lumi, interval);
            } else if (batch.run, batch.lumi, batch.interval) != (of_run, lumi, interval) {
                break;
            }
            let batch_first = batch.slots.first().map_or(run.first, |slots| slots.first);
            let limit = batch_first
                .saturating_add(self.options.wait_slots)
                .min((interval + 1) * self.options.interval_slots)
                .min(self.options.end_slot);
            if run.first >= limit {
                self.ended = run.first >= self.options.end_slot;
                break;
            }
            run.len = run.len.min((limit - run.first).min(u64::from(u32::MAX)) as u32);
            self.take(batch, pool, current, run);
        }
        Ok(if batch.len > 0 { self.close(batch, pool) } else { Filled::End })
    }

    /// What is to become of the next crossings. Nothing is injected into those that are dropped.
    fn outcome(&self, current: Current, pool: &BlockPool) -> Outcome {
        match current {
            Current::Block { number, .. }
                if pool.get(number).columns().contains_all(self.options.wanted) =>
            {
                Outcome::Scored
            }
            // Gone through for their crossings only, or passed over.
            Current::Block { .. } | Current::Skipped { .. } => Outcome::Dropped,
        }
    }

    /// Run, slots and luminosity section of the next crossings, at most `most` of them. Nobody
    /// knows the luminosity section of crossings that were passed over: it is that of the batch.
    fn next_slots(
        &mut self,
        current: Current,
        pool: &BlockPool,
        most: usize,
        lumi_of_batch: u32,
    ) -> (u32, SlotRun, u32) {
        match current {
            Current::Block { number, at } => {
                let block = pool.get(number);
                let mut slots = self.slots.run_at(block, at, most);
                let lumi = self.lumi(block, at);
                slots.len = self.same_lumi(block, at, slots.len, lumi);
                (block.run, slots, lumi)
            }
            Current::Skipped { run, left } => {
                let slots = self.slots.run_of_any(most.min(left));
                (run, slots.expect("blocks are passed over only in a scheme"), lumi_of_batch)
            }
        }
    }

    /// Fills in what follows from which events a batch holds.
    fn close(&mut self, batch: &mut Batch, pool: &BlockPool) -> Filled {
        let mut lane = 0;
        for s in 0..batch.segments.len() {
            let Segment { block, first, len } = batch.segments[s];
            let range = first as usize..(first + len) as usize;
            self.fill_segment(pool.get(block), range, batch, lane);
            lane += len as usize;
        }
        batch.rows.iter_mut().for_each(|rows| rows.set_len(batch.len));
        let last = batch.slots.last().expect("a batch with events has slots").last();
        batch.arrival_ps = self.options.clock.map_or(0, |clock| clock.due_ps(last));
        self.last_due_ps = batch.arrival_ps;
        if batch.outcome == Outcome::Dropped {
            batch.starved = true;
            batch.decided_ps = self.now_ps;
        }
        Filled::Ready
    }

    fn fill_segment(&mut self, block: &Block, range: Range<usize>, batch: &mut Batch, lane: usize) {
        batch.orbits.extend_from_slice(&block.get::<u32>(Column::Orbit)[range.clone()]);
        batch.bxs.extend_from_slice(&block.get::<i16>(Column::Bx)[range.clone()]);
        if batch.outcome == Outcome::Dropped {
            return;
        }
        for model in fillers(self.models) {
            model.plan.fill(block, range.clone(), &mut batch.rows[model.rows], lane);
        }
        self.conditions.evaluate(block, range.clone(), lane, &mut batch.cuts);
        if let Some(injector) = self.injector {
            self.inject(injector, block, range, batch, lane);
        }
    }

    /// Moves the next crossings into the batch: those of the slots `run`.
    fn take(&mut self, batch: &mut Batch, pool: &mut BlockPool, current: Current, run: SlotRun) {
        let n = run.len as usize;
        batch.len += n;
        match batch.slots.last_mut() {
            Some(last) if last.last() + 1 == run.first => last.len += run.len,
            _ => batch.slots.push(run),
        }
        self.slots.advance(n as u64);
        self.counts.read += n as u64;
        self.current = match current {
            Current::Block { number, at } => take_of_block(batch, pool, number, at, n),
            Current::Skipped { run, left } => {
                (left > n).then_some(Current::Skipped { run, left: left - n })
            }
        };
    }

    fn inject(
        &mut self,
        injector: &Injector,
        block: &Block,
        range: Range<usize>,
        batch: &mut Batch,
        first_lane: usize,
    ) {
        for (lane, at) in (first_lane..).zip(range) {
            let Some(pick) = injector.pick(batch.crossing_id(lane)) else { continue };
            injector.merge(block, at, pick, &mut self.merged);
            for model in fillers(self.models) {
                model.plan.fill(&self.merged, 0..1, &mut batch.rows[model.rows], lane);
            }
            self.conditions.evaluate(&self.merged, 0..1, lane, &mut batch.cuts);
            batch.process[lane] = pick.signal as u8 + 1;
            batch.has_signal = true;
        }
    }

    /// Luminosity section of an event: as recorded, but by its orbit where orbits run on.
    fn lumi(&self, block: &Block, at: usize) -> u32 {
        match block.get::<u32>(Column::Lumi).get(at) {
            Some(&recorded) if !self.options.repeat => recorded,
            _ => lumi_section_of_orbit(block.get::<u32>(Column::Orbit)[at]),
        }
    }

    /// How many of the next `len` events are in luminosity section `lumi`.
    fn same_lumi(&self, block: &Block, at: usize, len: u32, lumi: u32) -> u32 {
        let last = at + len as usize - 1;
        if self.lumi(block, last) == lumi {
            return len;
        }
        (at..=last).take_while(|&i| self.lumi(block, i) == lumi).count() as u32
    }

    /// Reads on until there is a current block or the stream has ended.
    fn next_block(&mut self, pool: &mut BlockPool) -> Result<Came, SourceError> {
        self.look_at_clock();
        if self.is_catching_up && self.skip_block()? {
            return Ok(Came::Something);
        }
        let mut block = pool.spare.pop().expect("checked by the caller");
        let wanted = if self.is_catching_up { ColumnSet::EMPTY } else { self.options.wanted };
        let mut came = Came::Something;
        match self.source.next_block(wanted, &mut block)? {
            Delivery::Block => {
                if let Some(at) = self.first_crossing(&block)
                    && self.shift_orbits(&mut block)
                {
                    if std::mem::take(&mut self.has_waited) {
                        self.mind_gap(&block, at);
                    }
                    self.current = Some(Current::Block { number: pool.push(block), at });
                    return Ok(Came::Something);
                }
            }
            Delivery::Corrupt { n_crossings, problem } => {
                self.lose(u64::from(n_crossings), |counts| &mut counts.corrupt);
                self.trouble.note(problem.to_string());
            }
            Delivery::Truncated { n_crossings, offset } => {
                self.lose(u64::from(n_crossings), |counts| &mut counts.truncated);
                self.trouble.note(format!("the stream is cut after byte {offset}"));
                self.end_of_stream()?;
            }
            Delivery::Lost { problem } => {
                self.trouble.lost_tails += 1;
                self.trouble.note(format!("{problem}; without an index the rest is lost"));
                self.end_of_stream()?;
            }
            Delivery::Missing { n_crossings, problem } => {
                self.trouble.missing_crossings += n_crossings;
                self.slots.advance(n_crossings);
                self.trouble.note(problem);
            }
            Delivery::Pending => {
                self.has_waited = self.is_live;
                came = self.look_for_end();
            }
            Delivery::End => self.end_of_stream()?,
        }
        pool.spare.push(block);
        Ok(came)
    }

    /// Finds out whether the reader is so late that the ring would have been overwritten. It then
    /// passes over blocks, or goes through them for their crossings only, until it is not late any
    /// more: blocks that are read after that reach a worker in time.
    fn look_at_clock(&mut self) {
        if self.has_waited {
            // The source is late, and to pass over what it sends would not make it faster.
            self.is_catching_up = false;
        } else if let Some(depth_ps) = self.options.drop_after_ps {
            let late_ps = self.now_ps.saturating_sub(self.last_due_ps);
            let limit_ps = if self.is_catching_up { 0 } else { depth_ps };
            self.is_catching_up = late_ps > limit_ps;
        }
    }

    /// A source that sends nothing must not keep a run from ending in time.
    fn look_for_end(&mut self) -> Came {
        let slot = self.options.clock.map_or(0, |clock| clock.slots_within(self.now_ps));
        self.ended |= self.is_live && slot > self.options.end_slot;
        if self.ended { Came::Something } else { Came::Nothing }
    }

    /// If crossings were due while the source had nothing, lets the clock go on from now: what comes
    /// then is not late, the source was.
    fn mind_gap(&mut self, block: &Block, at: usize) {
        let Some(clock) = self.options.clock else { return };
        let due_ps = clock.due_ps(self.slots.run_at(block, at, 1).first);
        if self.now_ps <= due_ps {
            return;
        }
        self.trouble.source_gaps += 1;
        let resume_ps = self.now_ps + GAP_MARGIN_PS;
        self.trouble.source_gaps_us += (resume_ps - due_ps) / 1_000_000;
        self.slots.skip_to(clock.slots_within(resume_ps));
        self.last_due_ps = self.last_due_ps.max(resume_ps);
    }

    /// Passes over the next block, of which only the head is read, and makes its crossings the next
    /// ones; false if it has to be gone through: crossings that keep their slots have to be seen, and
    /// so has the one that the run begins with.
    fn skip_block(&mut self) -> Result<bool, SourceError> {
        if self.from_orbit > 0 || self.slots.run_of_any(1).is_none() {
            return Ok(false);
        }
        let Some(meta) = self.source.skip_block()? else { return Ok(false) };
        if self.place_orbits(meta.first_orbit, meta.last_orbit) {
            self.current =
                Some(Current::Skipped { run: meta.run, left: meta.n_crossings as usize });
        }
        Ok(true)
    }

    /// Where in a block the run goes on: at its start, but in the block that holds the orbit that
    /// the run begins with; nowhere in one before that. What is passed over has never been read.
    fn first_crossing(&mut self, block: &Block) -> Option<usize> {
        let from = self.from_orbit;
        let at = block.get::<u32>(Column::Orbit).iter().position(|&orbit| orbit >= from)?;
        self.from_orbit = 0;
        Some(at)
    }

    /// Lost crossings pass their slots all the same.
    fn lose(&mut self, n: u64, count: impl FnOnce(&mut Counts) -> &mut u64) {
        self.counts.read += n;
        *count(&mut self.counts) += n;
        self.slots.advance(n);
    }

    fn end_of_stream(&mut self) -> Result<(), SourceError> {
        // A stream without a single good block would be read for ever.
        if self.options.repeat && self.highest_orbit.is_some() {
            self.begins_again = true;
            return self.source.rewind();
        }
        self.ended = true;
        Ok(())
    }

    /// Makes the orbits of a later pass go on after the highest one so far, wherever the pass
    /// before it began; false, and the run ends, if that goes beyond 32 bits.
    fn shift_orbits(&mut self, block: &mut Block) -> bool {
        let orbits = block.get_mut::<u32>(Column::Orbit);
        let is_in_reach = self.place_orbits(orbits[0], orbits[orbits.len() - 1]);
        if is_in_reach && self.orbit_shift > 0 {
            orbits.iter_mut().for_each(|orbit| *orbit += self.orbit_shift);
        }
        is_in_reach
    }

    /// Decides on the shift of a block with these orbits; false, and the run ends, if it goes
    /// beyond 32 bits.
    fn place_orbits(&mut self, first: u32, last: u32) -> bool {
        let mut shift = Some(self.orbit_shift);
        if let (true, Some(highest)) = (self.begins_again, self.highest_orbit) {
            shift = highest.checked_add(1).map(|next| next.saturating_sub(first));
        }
        let shifted = shift.and_then(|shift| Some((shift, last.checked_add(shift)?)));
        let Some((shift, last)) = shifted else {
            self.trouble.note("orbit numbers ran beyond 32 bits: the run ends".into());
            self.ended = true;
            return false;
        };
        self.begins_again = false;
        self.orbit_shift = shift;
        self.highest_orbit = self.highest_orbit.max(Some(last));
        true
    }
}

/// Makes `n` crossings of a block, from `at` on, those of the batch; what is left of the block.
fn take_of_block(
    batch: &mut Batch,
    pool: &mut BlockPool,
    number: u64,
    at: usize,
    n: usize,
) -> Option<Current> {
    match batch.segments.last_mut() {
        Some(last) if last.block == number => last.len += n as u32,
        _ => {
            batch.segments.push(Segment { block: number, first: at as u32, len: n as u32 });
            pool.retain(number);
        }
    }
    if at + n < pool.get(number).len() {
        return Some(Current::Block { number, at: at + n });
    }
    pool.release(number);
    None
}

/// The slot with which a run of `n` orbits ends.
#[must_use]
pub fn end_of_orbits(n: u64) -> u64 {
    n.saturating_mul(u64::from(SLOTS_PER_ORBIT))
}
