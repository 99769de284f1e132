//! The data plane: wait until a batch is due, score, decide, stamp, hand on.
//!
//! A worker owns its end of two rings and a scratch. Between taking its first batch and handing
//! on its last one it allocates nothing, takes no lock, logs nothing and makes no system call
//! (but for yielding where threads must share a core).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use scout40_models::Scratch;
use scout40_replay::lhc::CrossingId;

use crate::batch::{Batch, Outcome};
use crate::clock::Clock;
use crate::models::LoadedModel;
use crate::ring::{Receiver, Sender, send};
use crate::trigger::{Menu, Prescale, Rule, at_least};

/// What a worker does with a batch that it comes to too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// After this many ps the arrival ring has been overwritten: the batch is dropped.
    DropAfterPs(u64),
    /// The batch waits, and everything after it.
    Stall,
}

/// Pacing as a worker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Score as soon as a batch is there.
    Unpaced,
    /// Score when a batch has arrived by the clock.
    Paced(Overload),
}

/// What all threads of a run share.
pub struct Shared {
    /// The clock.
    pub clock: Clock,
    /// Start of the run in ps of the clock; [`NOT_STARTED`] before.
    pub start_ps: AtomicU64,
    /// No more batches will come.
    pub finished: AtomicBool,
    /// The run is being ended: nothing waits for its time any more.
    pub abandoned: AtomicBool,
    /// Idle threads yield, because some share a core.
    pub yield_when_idle: bool,
}

/// Longer waits than this may pause.
const PAUSE_ABOVE_PS: u64 = 200_000;

/// Value of [`Shared::start_ps`] before the run has started.
pub const NOT_STARTED: u64 = u64::MAX;

impl Shared {
    /// Passes idle time.
    pub fn idle(&self) {
        if self.yield_when_idle { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

/// Scores and decides the batches of one core.
pub struct Worker<'a> {
    /// Shared with the other threads.
    pub shared: &'a Shared,
    /// The models.
    pub models: &'a [LoadedModel],
    /// The lines.
    pub menu: &'a Menu,
    /// How it is paced.
    pub pace: Pace,
    /// Batches to be scored.
    pub input: Receiver,
    /// Batches that have been decided.
    pub output: Sender,
}

impl Worker<'_> {
    /// Works until no more batches will come.
    pub fn run(mut self) {
        let mut scratches: Vec<Scratch> =
            self.models.iter().map(|model| model.scorer.scratch()).collect();
        let prescales = self.menu.prescales();
        // Acquire: pairs with the release of the start.
        while self.shared.start_ps.load(Ordering::Acquire) == NOT_STARTED {
            self.shared.idle();
        }
        let mut waited = false;
        loop {
            match self.input.pop() {
                Ok(mut batch) => {
                    self.process(&mut batch, waited, &mut scratches, &prescales);
                    send(&mut self.output, batch);
                    waited = false;
                }
                // Acquire: pairs with the release after the reader's last send, so that a ring
                // that is still empty afterwards stays empty.
                Err(_) if self.shared.finished.load(Ordering::Acquire) => {
                    if self.input.is_empty() {
                        return;
                    }
                }
                Err(_) => {
                    waited = true;
                    self.shared.idle();
                }
            }
        }
    }

    fn process(
        &self,
        batch: &mut Batch,
        waited: bool,
        scratches: &mut [Scratch],
        prescales: &[Prescale],
    ) {
        // Relaxed: it does not change after the start.
        let start_ps = self.shared.start_ps.load(Ordering::Relaxed);
        let now_ps = || self.shared.clock.now_ps().saturating_sub(start_ps);
        if batch.outcome == Outcome::Dropped {
            return;
        }
        let mut now = now_ps();
        if let Pace::Paced(overload) = self.pace {
            // The batch came after its time to a worker that had nothing else to do.
            batch.starved = waited && now > batch.arrival_ps;
            while now < batch.arrival_ps {
                // Relaxed: the flag carries nothing but itself.
                if self.shared.abandoned.load(Ordering::Relaxed) {
                    batch.outcome = Outcome::Abandoned;
                    return;
                }
                // A pause leaves the core to its other hardware thread, but may take 60 ns.
                if batch.arrival_ps - now > PAUSE_ABOVE_PS {
                    std::hint::spin_loop();
                }
                now = now_ps();
            }
            if let Overload::DropAfterPs(depth_ps) = overload
                && now - batch.arrival_ps > depth_ps
            {
                batch.outcome = Outcome::Dropped;
                batch.decided_ps = now;
                return;
            }
        }
        batch.started_ps = now;
        score(self.models, scratches, batch);
        decide(self.menu, prescales, batch);
        batch.decided_ps = now_ps();
    }
}

/// Fills in the scores of each model.
pub fn score(models: &[LoadedModel], scratches: &mut [Scratch], batch: &mut Batch) {
    for ((model, scratch), scores) in models.iter().zip(scratches).zip(&mut batch.scores) {
        let rows = batch.rows[model.rows].rows();
        model.scorer.score(rows, scratch, &mut scores[..batch.len]);
    }
}

/// Fills in which crossings each line selects and accepts.
pub fn decide(menu: &Menu, prescales: &[Prescale], batch: &mut Batch) {
    for (k, line) in menu.lines().iter().enumerate() {
        batch.selected[k] = match &line.rule {
            Rule::Score { model, raw, .. } => at_least(&batch.scores[*model][..batch.len], *raw),
            Rule::Cut(_) => batch.cuts[k],
        };
        let (run, orbits, bxs) = (batch.run, &batch.orbits, &batch.bxs);
        let id =
            |lane: usize| CrossingId { run, orbit: orbits[lane], bx: bxs[lane].cast_unsigned() };
        batch.accepted[k] = prescales[k].apply(&batch.selected[k], id);
    }
}
