//! The unit in the ring: up to 512 crossings with everything a worker needs, allocated once.
//!
//! The reader fills rows, slots and identities; a worker adds scores, decisions and times; the
//! collector reads all of it and hands the batch back to the reader. A batch never crosses a
//! run, a luminosity section or a reporting interval, so that it can be counted whole.

use scout40_models::{RowBuffer, Score};
use scout40_replay::lhc::CrossingId;
use scout40_replay::pacing::SlotRun;

use crate::models::{LoadedModel, fillers};
use crate::trigger::{Mask, Menu};

/// Most crossings in a batch.
pub const BATCH_MAX: usize = 512;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Scored and decided.
    #[default]
    Scored,
    /// The arrival ring had been overwritten before a worker came to it, or the reader was so
    /// late that it went on without reading it.
    Dropped,
    /// The run was ended before it was due: as if it had never been read.
    Abandoned,
}

/// Where the events of a batch stand: neighbouring crossings of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the block, counted from the start of the run.
    pub block: u64,
    /// Its first crossing in the block.
    pub first: u32,
    /// Number of crossings.
    pub len: u32,
}

/// Crossings that are scored and decided together.
pub struct Batch {
    /// Number of crossings.
    pub len: usize,
    /// Run of all its crossings.
    pub run: u32,
    /// Luminosity section of all its crossings; any if they are dropped.
    pub lumi: u32,
    /// Reporting interval of all its crossings.
    pub interval: u64,
    /// Feature rows, one buffer for each specification that models have.
    pub rows: Vec<RowBuffer>,
    /// Orbit per crossing; not of those that were passed over unread.
    pub orbits: Vec<u32>,
    /// Crossing number per crossing; likewise.
    pub bxs: Vec<i16>,
    /// Truth per crossing: 0 background, k the k-th signal.
    pub process: Vec<u8>,
    /// Whether any crossing holds signal.
    pub has_signal: bool,
    /// Slots that the crossings go to, in order.
    pub slots: Vec<SlotRun>,
    /// Where the events stand, in order; nowhere if they were passed over unread.
    pub segments: Vec<Segment>,
    /// Due time of the last crossing, in ps since the start of the run; 0 if unpaced.
    pub arrival_ps: u64,
    /// Per line: crossings that pass its cuts (score lines: not used).
    pub cuts: Vec<Mask>,
    /// Per model: score per crossing.
    pub scores: Vec<Vec<Score>>,
    /// Per line: crossings that it selects, before the prescale.
    pub selected: Vec<Mask>,
    /// Per line: crossings that it accepts.
    pub accepted: Vec<Mask>,
    /// When scoring started, in ps since the start of the run.
    pub started_ps: u64,
    /// When the decision was there.
    pub decided_ps: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether a worker was waiting for it although it was due.
    pub starved: bool,
}

impl Batch {
    /// A batch of at most `capacity` crossings with the rows and scores of these models.
    ///
    /// # Panics
    /// If the capacity is no multiple of 64 up to 512: the configuration was checked.
    #[must_use]
    pub fn new(capacity: usize, models: &[LoadedModel], menu: &Menu) -> Batch {
        assert!(capacity <= BATCH_MAX && capacity.is_multiple_of(64) && capacity > 0);
        let masks = vec![Mask::default(); menu.lines().len()];
        Batch {
            len: 0,
            run: 0,
            lumi: 0,
            interval: 0,
            rows: fillers(models).map(|m| RowBuffer::new(m.scorer.n_features())).collect(),
            orbits: Vec::with_capacity(capacity),
            bxs: Vec::with_capacity(capacity),
            process: vec![0; capacity],
            has_signal: false,
            slots: Vec::with_capacity(capacity),
            segments: Vec::with_capacity(capacity),
            arrival_ps: 0,
            cuts: masks.clone(),
            scores: vec![vec![0; capacity]; models.len()],
            selected: masks.clone(),
            accepted: masks,
            started_ps: 0,
            decided_ps: 0,
            outcome: Outcome::Scored,
            starved: false,
        }
    }

    /// Empties it, keeps what it has allocated.
    pub fn clear(&mut self) {
        self.len = 0;
        self.orbits.clear();
        self.bxs.clear();
        self.slots.clear();
        self.segments.clear();
        if self.has_signal {
            self.process.fill(0);
        }
        self.has_signal = false;
        self.cuts.fill(Mask::default());
        (self.started_ps, self.decided_ps) = (0, 0);
        self.outcome = Outcome::Scored;
        self.starved = false;
    }

    /// Which crossing a lane is.
    #[must_use]
    pub fn crossing_id(&self, lane: usize) -> CrossingId {
        CrossingId { run: self.run, orbit: self.orbits[lane], bx: self.bxs[lane].cast_unsigned() }
    }

    /// Where the event of a lane stands: block number and crossing within it.
    ///
    /// # Panics
    /// If the batch has no such lane.
    #[must_use]
    pub fn position(&self, lane: usize) -> (u64, usize) {
        let mut rest = lane as u32;
        for segment in &self.segments {
            if rest < segment.len {
                return (segment.block, (segment.first + rest) as usize);
            }
            rest -= segment.len;
        }
        panic!("lane {lane} of a batch of {}", self.len);
    }
}
