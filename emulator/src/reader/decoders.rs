//! Several threads that decode, for when one core is not enough.
//!
//! ```text
//! source ─► sections, in order ─► dealt in turn ─► thread 0…N−1: decode ─► taken back in turn
//! ```
//!
//! The calling thread fetches sections, which is a copy, and keeps every thread a block ahead. What
//! it takes back is what the source delivered, in the same order, so nothing depends on the number
//! of threads. Threads sleep while they have nothing to do. Sections and blocks are reused: once
//! they have grown nothing is allocated.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use rtrb::{Consumer, Producer, RingBuffer};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{BlockDecoder, BlockMeta, EncodedBlock, FormatError, StreamHeader};
use scout40_replay::source::{Delivery, EncodedSource, Section, Source, SourceError, SourceFacts};

use crate::affinity::pin_to;

/// Blocks in the hands of each thread: one that it decodes, one that waits.
const JOBS_PER_THREAD: usize = 2;

/// A block to be decoded, or one that has been.
struct Job {
    section: Section,
    wanted: ColumnSet,
    block: Block,
    decoded: Result<(), FormatError>,
}

/// A thread that decodes, and the rings to and from it.
struct Lane {
    to: Producer<Box<Job>>,
    from: Consumer<Box<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What the source has delivered and nobody has asked for yet.
enum Ahead {
    /// A block that this lane has been given.
    Job(usize),
    Other(Delivery),
}

/// A source whose blocks are decoded by threads.
pub struct Decoders {
    source: Box<dyn EncodedSource>,
    lanes: Vec<Lane>,
    next_lane: usize,
    ahead: VecDeque<Ahead>,
    #[expect(clippy::vec_box, reason = "the rings hand over boxes: eight bytes each")]
    spare: Vec<Box<Job>>,
    /// The job that was taken back last from the front of `ahead`, but not yet asked for.
    done: Option<Box<Job>>,
    has_ended: bool,
    stop: Arc<AtomicBool>,
}

impl Decoders {
    /// Starts a thread for each of `cores`.
    ///
    /// # Errors
    /// What the operating system refuses.
    ///
    /// # Panics
    /// If there is no core.
    pub fn start(source: Box<dyn EncodedSource>, cores: &[usize]) -> std::io::Result<Decoders> {
        assert!(!cores.is_empty(), "somebody has to decode");
        let stop = Arc::new(AtomicBool::new(false));
        let n_jobs = JOBS_PER_THREAD * cores.len();
        let mut decoders = Decoders {
            lanes: Vec::new(),
            next_lane: 0,
            ahead: VecDeque::with_capacity(n_jobs + 1),
            spare: Vec::with_capacity(n_jobs),
            done: None,
            has_ended: false,
            stop,
            source,
        };
        let schema = decoders.source.columns();
        for (k, &core) in cores.iter().enumerate() {
            let (to, jobs) = RingBuffer::new(JOBS_PER_THREAD);
            let (results, from) = RingBuffer::new(JOBS_PER_THREAD);
            let stop = Arc::clone(&decoders.stop);
            let decoder = BlockDecoder::new()?;
            let thread = Builder::new().name(format!("decoder-{k}")).spawn(move || {
                // Where threads cannot be pinned they float.
                let _ = pin_to(&[core]);
                decode_jobs(jobs, results, decoder, schema, &stop);
            })?;
            decoders.lanes.push(Lane { to, from, thread: Some(thread) });
        }
        let job = |_| {
            let (section, block) = (Section::default(), Block::default());
            Box::new(Job { section, wanted: ColumnSet::EMPTY, block, decoded: Ok(()) })
        };
        decoders.spare.extend((0..n_jobs).map(job));
        Ok(decoders)
    }

    /// Fetches what the source has, as long as there is a thread to give it to.
    fn fetch(&mut self, wanted: ColumnSet) -> Result<(), SourceError> {
        while !self.has_ended && self.ahead.len() < JOBS_PER_THREAD * self.lanes.len() {
            let Some(mut job) = self.spare.pop() else { return Ok(()) };
            match self.source.next_section(&mut job.section)? {
                Delivery::Block => {
                    job.wanted = wanted;
                    let lane = &mut self.lanes[self.next_lane];
                    lane.to.push(job).unwrap_or_else(|_| unreachable!("a ring for all its jobs"));
                    lane.thread.as_ref().expect("threads run until the end").thread().unpark();
                    self.ahead.push_back(Ahead::Job(self.next_lane));
                    self.next_lane = (self.next_lane + 1) % self.lanes.len();
                }
                delivery => {
                    self.spare.push(job);
                    match delivery {
                        Delivery::Pending => return Ok(()),
                        Delivery::Corrupt { .. } | Delivery::Missing { .. } => {}
                        _ => self.has_ended = true,
                    }
                    self.ahead.push_back(Ahead::Other(delivery));
                }
            }
        }
        Ok(())
    }

    /// Whether the front of `ahead` is a block that has been decoded, which is then in `done`.
    fn front_is_done(&mut self) -> bool {
        if let (None, Some(&Ahead::Job(lane))) = (&self.done, self.ahead.front()) {
            self.done = self.lanes[lane].from.pop().ok();
        }
        self.done.is_some()
    }

    fn take_front(&mut self) -> Option<Box<Job>> {
        let job = self.done.take()?;
        self.ahead.pop_front();
        Some(job)
    }

    /// A lane that is gone has nothing to say any more: that must not look like a source that waits.
    fn look_for_dead(&self) -> Result<(), SourceError> {
        let is_dead = |lane: &Lane| lane.thread.as_ref().is_some_and(JoinHandle::is_finished);
        if self.lanes.iter().any(is_dead) {
            return Err(SourceError::Failed {
                name: "a decoding thread".into(),
                problem: "it has stopped: this is a mistake in scout40, please report it".into(),
            });
        }
        Ok(())
    }
}

/// Decodes until the rings are given up.
fn decode_jobs(
    mut jobs: Consumer<Box<Job>>,
    mut results: Producer<Box<Job>>,
    mut decoder: BlockDecoder,
    schema: ColumnSet,
    stop: &AtomicBool,
) {
    // Relaxed: the flag carries nothing but itself, and whoever sets it wakes this thread.
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut job) = jobs.pop() else {
            std::thread::park();
            continue;
        };
        let Job { section, wanted, block, decoded } = &mut *job;
        *decoded = section.decode(&mut decoder, schema, *wanted, block);
        results.push(job).unwrap_or_else(|_| unreachable!("a ring for all its jobs"));
    }
}

impl Source for Decoders {
    fn header(&self) -> &StreamHeader {
        self.source.header()
    }

    fn facts(&self) -> SourceFacts {
        self.source.facts()
    }

    fn columns(&self) -> ColumnSet {
        self.source.columns()
    }

    fn next_block(
        &mut self,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        self.fetch(wanted)?;
        if let Some(&Ahead::Job(_)) = self.ahead.front() {
            if !self.front_is_done() {
                self.look_for_dead()?;
                return Ok(Delivery::Pending);
            }
            let mut job = self.take_front().expect("it is done");
            std::mem::swap(block, &mut job.block);
            let delivery = match std::mem::replace(&mut job.decoded, Ok(())) {
                Ok(()) => Delivery::Block,
                Err(problem) => Delivery::Corrupt { n_crossings: crossings_of(&job), problem },
            };
            self.spare.push(job);
            // The thread that has just become free is not to wait for the next call.
            self.fetch(wanted)?;
            return Ok(delivery);
        }
        Ok(match self.ahead.pop_front() {
            Some(Ahead::Other(delivery)) => delivery,
            _ => Delivery::Pending,
        })
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.has_ended = false;
        self.source.rewind()
    }

    fn skip_block(&mut self) -> Result<Option<BlockMeta>, SourceError> {
        if self.ahead.is_empty() {
            return self.source.skip_block();
        }
        if !self.front_is_done() || self.done.as_ref().is_some_and(|job| job.decoded.is_err()) {
            return Ok(None);
        }
        let job = self.take_front().expect("it is done");
        let meta = EncodedBlock::parse(&job.section.bytes, job.section.offset);
        let meta = meta.map(|encoded| shifted(encoded.meta, job.section.orbit_shift)).ok();
        self.spare.push(job);
        Ok(meta)
    }
}

/// Crossings of a block that could not be decoded, as far as its head says.
fn crossings_of(job: &Job) -> u32 {
    let encoded = EncodedBlock::parse(&job.section.bytes, job.section.offset);
    encoded.map_or(0, |encoded| encoded.meta.n_crossings)
}

fn shifted(meta: BlockMeta, shift: u32) -> BlockMeta {
    let (first_orbit, last_orbit) = (meta.first_orbit + shift, meta.last_orbit + shift);
    BlockMeta { first_orbit, last_orbit, ..meta }
}

impl Drop for Decoders {
    fn drop(&mut self) {
        // Relaxed: see `decode_jobs`.
        self.stop.store(true, Ordering::Relaxed);
        for lane in &mut self.lanes {
            if let Some(thread) = lane.thread.take() {
                thread.thread().unpark();
                // A thread that has panicked has said so.
                let _ = thread.join();
            }
        }
    }
}
