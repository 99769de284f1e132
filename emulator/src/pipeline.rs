//! The control plane: builds the threads, starts the clock, keeps core 0 busy, drains, stops.
//!
//! ```text
//! core 0   reader: fill batches ahead of the clock ─► rings ─► core 1…N  workers
//!          collector: take them back in order      ◄─ rings ◄─
//! ```
//!
//! The calling thread is core 0: it alternates between reader and collector, because one thread
//! that never waits needs no switching. Batches are dealt to the workers in turn and taken back
//! in turn, which keeps crossings in order without a sequencer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use scout40_replay::pacing::SlotClock;

use crate::affinity::{allowed_cores, pin_to};
use crate::batch::Batch;
use crate::clock::Clock;
use crate::collector::{Collector, CollectorParts, IntervalLength};
use crate::config::{LoadedModel, PreparedRun, RunPlan};
use crate::latency::LatencyRecorder;
use crate::reader::{BlockPool, Filled, Reader};
use crate::ring::{Receiver, Sender, ring, send};
use crate::sink::{
    AcceptedSink, Account, LatencyLog, RunFolder, RunSummary, ScoreHistogram, accepted_header,
    write_rates, write_scores,
};
use crate::worker::{NOT_STARTED, Pace, Shared, Worker};

/// Crossings that the reader may be ahead: 1.6 ms of beam, which outlasts decoding a block and
/// writing a histogram.
const READ_AHEAD_EVENTS: usize = 1 << 16;
/// Batches at least, so that several workers are kept busy.
const BATCHES_MIN: usize = 64;
/// Between the last preparation and the first due time.
const START_MARGIN_PS: u64 = 2_000_000_000;
/// Between two progress reports.
const PROGRESS_PS: u64 = 500_000_000_000;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Seconds since the start of the run.
    pub elapsed_s: f64,
    /// Crossings scored.
    pub scored: u64,
    /// Crossings accepted.
    pub accepted: u64,
    /// Crossings dropped.
    pub dropped: u64,
    /// Batches that came too late to a waiting worker.
    pub starved_batches: u64,
}

/// Tells the workers that nothing more comes, however the run ends.
struct FinishOnDrop<'a>(&'a Shared);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        // A run that failed before it started still has to let its workers go.
        let _ =
            self.0.start_ps.compare_exchange(NOT_STARTED, 0, Ordering::Release, Ordering::Relaxed);
        // Relaxed: the flag carries nothing but itself.
        self.0.abandoned.store(true, Ordering::Relaxed);
        // Release: pairs with the acquire of the workers, after the last send.
        self.0.finished.store(true, Ordering::Release);
    }
}

/// Pins the calling thread, and lets it go where it could before when dropped.
struct PinnedWhile {
    before: Vec<usize>,
}

impl PinnedWhile {
    fn new(core: usize) -> PinnedWhile {
        let before = allowed_cores();
        // Where threads cannot be pinned they float; latencies show it.
        let _ = pin_to(&[core]);
        PinnedWhile { before }
    }
}

impl Drop for PinnedWhile {
    fn drop(&mut self) {
        let _ = pin_to(&self.before);
    }
}

/// Core 0's side of the rings, dealing in turn.
#[derive(Default)]
struct Dealer {
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    sent: usize,
    taken: usize,
}

impl Dealer {
    fn deal(&mut self, batch: Box<Batch>) {
        let n = self.senders.len();
        send(&mut self.senders[self.sent % n], batch);
        self.sent += 1;
    }

    fn take_back(&mut self) -> Option<Box<Batch>> {
        let n = self.receivers.len();
        let batch = self.receivers[self.taken % n].pop().ok()?;
        self.taken += 1;
        Some(batch)
    }

    fn in_flight(&self) -> usize {
        self.sent - self.taken
    }
}

/// Runs until the stream, the limits of the configuration or `stop` end it, and writes the
/// outputs into `folder` (nothing, without one).
///
/// # Errors
/// What the operating system refuses, and a law of conservation that does not hold.
pub fn execute(
    run: PreparedRun,
    folder: Option<&RunFolder>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RunSummary> {
    let PreparedRun { plan, source, slots, reader } = run;
    let accepted = folder
        .map(|folder| AcceptedSink::create(&folder.file("accepted.s40"), &accepted_header(&plan)))
        .transpose()
        .context("while beginning accepted.s40")?;
    let collector = collector(&plan, reader.clock, accepted)?;
    let shared = Shared {
        clock: Clock::start(),
        start_ps: AtomicU64::new(NOT_STARTED),
        finished: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        yield_when_idle: plan.placement.shared,
    };
    let mut core0 = CoreZero {
        shared: &shared,
        plan: &plan,
        reader: Reader::new(source, slots, &plan, reader),
        collector,
        pool: BlockPool::default(),
        free: batches(&plan),
        stop,
        progress,
        next_report_ps: 0,
        end_ps: 0,
    };
    std::thread::scope(|scope| {
        let _finish = FinishOnDrop(&shared);
        let mut dealer = Dealer::default();
        let threads = start_workers(scope, &plan, &shared, core0.free.len(), &mut dealer)?;
        let _pinned = PinnedWhile::new(plan.placement.reader);
        core0.run(&mut dealer, &|| threads.iter().any(|thread| thread.is_finished()))
    })?;
    core0.close(folder)
}

fn collector<'a>(
    plan: &'a RunPlan,
    clock: Option<SlotClock>,
    accepted: Option<AcceptedSink>,
) -> Result<Collector<'a>> {
    let n_signals = plan.injector.as_ref().map_or(0, |injector| injector.signals().len());
    let histogram = |m: &LoadedModel| ScoreHistogram::new(m.scorer.range(), n_signals);
    Ok(Collector::new(CollectorParts {
        menu: &plan.menu,
        injector: plan.injector.as_ref(),
        interval_length: IntervalLength(plan.config.interval),
        latency: LatencyRecorder::new(clock),
        histograms: plan.models.iter().map(histogram).collect(),
        log: LatencyLog::new(SystemTime::now())?,
        accepted,
    }))
}

#[expect(clippy::vec_box, reason = "the rings hand over boxes: eight bytes each")]
/// All batches of the run, with all the memory that they will ever use.
fn batches(plan: &RunPlan) -> Vec<Box<Batch>> {
    let size = plan.config.batch_size;
    let n = BATCHES_MIN.max(READ_AHEAD_EVENTS / size);
    (0..n).map(|_| Box::new(Batch::new(size, &plan.models, &plan.menu))).collect()
}

fn start_workers<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    plan: &'env RunPlan,
    shared: &'env Shared,
    n_batches: usize,
    dealer: &mut Dealer,
) -> Result<Vec<ScopedJoinHandle<'scope, ()>>> {
    let mut threads = Vec::new();
    for (k, &core) in plan.placement.workers.iter().enumerate() {
        let (to_worker, input) = ring(n_batches);
        let (output, from_worker) = ring(n_batches);
        dealer.senders.push(to_worker);
        dealer.receivers.push(from_worker);
        let (models, menu, pace) = (&plan.models[..], &plan.menu, plan.pace);
        let worker = Worker { shared, models, menu, pace, input, output };
        let thread = Builder::new().name(format!("worker-{k}")).spawn_scoped(scope, move || {
            let _ = pin_to(&[core]);
            worker.run();
        });
        threads.push(thread.context("while starting a worker")?);
    }
    Ok(threads)
}

/// What the calling thread does during a run.
struct CoreZero<'a> {
    shared: &'a Shared,
    plan: &'a RunPlan,
    reader: Reader<'a>,
    collector: Collector<'a>,
    pool: BlockPool,
    #[expect(clippy::vec_box, reason = "the rings hand over boxes: eight bytes each")]
    free: Vec<Box<Batch>>,
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(Progress),
    next_report_ps: u64,
    /// Last time that a batch was decided or dropped, in ps since the start of the run.
    end_ps: u64,
}

impl CoreZero<'_> {
    fn run(&mut self, dealer: &mut Dealer, a_worker_died: &dyn Fn() -> bool) -> Result<()> {
        let mut ended = false;
        // Everything that can be prepared before the clock starts; without a clock the
        // preparation belongs to the run.
        let is_paced = matches!(self.plan.pace, Pace::Paced(_));
        while is_paced && !ended && !self.free.is_empty() {
            match self.fill_one(dealer)? {
                Filled::Ready => {}
                Filled::Blocked => break,
                // The clock starts when there is something to go on with.
                Filled::Waiting => self.wait_for_source(),
                Filled::End => ended = true,
            }
        }
        let margin_ps = if is_paced { START_MARGIN_PS } else { 0 };
        let start_ps = self.shared.clock.now_ps() + margin_ps;
        // Release: what has been prepared is visible to a worker that sees the start.
        self.shared.start_ps.store(start_ps, Ordering::Release);
        let mut rounds = 0_u64;
        while !(ended && dealer.in_flight() == 0) {
            let mut busy = self.collect(dealer)?;
            if !ended && !self.free.is_empty() {
                match self.fill_one(dealer)? {
                    Filled::Ready => busy = true,
                    Filled::Blocked | Filled::Waiting => {}
                    Filled::End => ended = true,
                }
            }
            rounds += 1;
            if !busy || rounds.is_multiple_of(64) {
                self.look_around(start_ps);
            }
            if !busy {
                self.collector.write_backlog()?;
                if a_worker_died() {
                    bail!("a worker has stopped: this is a mistake in scout40, please report it");
                }
                self.shared.idle();
            }
        }
        Ok(())
    }

    fn fill_one(&mut self, dealer: &mut Dealer) -> Result<Filled> {
        let Some(mut batch) = self.free.pop() else { return Ok(Filled::Blocked) };
        // Relaxed: this thread sets it.
        let start_ps = self.shared.start_ps.load(Ordering::Relaxed);
        self.reader.set_time(self.shared.clock.now_ps().saturating_sub(start_ps));
        let filled = self.reader.fill(&mut batch, &mut self.pool)?;
        match filled {
            Filled::Ready => dealer.deal(batch),
            Filled::Blocked | Filled::Waiting | Filled::End => self.free.push(batch),
        }
        Ok(filled)
    }

    fn wait_for_source(&mut self) {
        // Relaxed: the flag carries nothing but itself.
        if self.stop.load(Ordering::Relaxed) {
            self.reader.stop();
        }
        self.shared.idle();
    }

    fn collect(&mut self, dealer: &mut Dealer) -> Result<bool> {
        let mut any = false;
        while let Some(mut batch) = dealer.take_back() {
            self.collector.take(&batch, &mut self.pool)?;
            self.end_ps = self.end_ps.max(batch.decided_ps);
            batch.clear();
            self.free.push(batch);
            any = true;
        }
        Ok(any)
    }

    /// Looks at the clock and at what people want.
    fn look_around(&mut self, start_ps: u64) {
        let now_ps = self.shared.clock.now_ps().saturating_sub(start_ps);
        let out_of_time = self.plan.pace == Pace::Unpaced
            && self.plan.config.duration.is_some_and(|d| now_ps / 1000 >= d.as_nanos() as u64);
        // Relaxed: the flag carries nothing but itself.
        if out_of_time || self.stop.load(Ordering::Relaxed) {
            self.shared.abandoned.store(true, Ordering::Relaxed);
            self.reader.stop();
        }
        if now_ps >= self.next_report_ps {
            self.next_report_ps = now_ps + PROGRESS_PS;
            (self.progress)(Progress {
                elapsed_s: now_ps as f64 * 1e-12,
                scored: self.collector.counts.scored,
                accepted: self.collector.counts.accepted,
                dropped: self.collector.counts.dropped,
                starved_batches: self.collector.starved_batches,
            });
        }
    }

    /// Closes the books, checks them and writes the outputs.
    fn close(mut self, folder: Option<&RunFolder>) -> Result<RunSummary> {
        let accepted = self.collector.finish()?;
        let mut counts = self.reader.counts;
        counts.scored = self.collector.counts.scored;
        counts.accepted = self.collector.counts.accepted;
        counts.dropped = self.collector.counts.dropped;
        counts.read -= self.collector.abandoned;
        if !counts.is_conserved() {
            bail!("read = scored + dropped + truncated + corrupt does not hold: {counts:?}");
        }
        let mut trouble = self.reader.trouble.clone();
        trouble.starved_batches = self.collector.starved_batches;
        let elapsed_s = self.end_ps as f64 * 1e-12;
        let summary =
            RunSummary::new(self.plan, &self.collector, Account { counts, trouble, elapsed_s });
        if let Some(folder) = folder {
            self.write_outputs(folder, &summary, accepted)?;
        }
        Ok(summary)
    }

    fn write_outputs(
        &self,
        folder: &RunFolder,
        summary: &RunSummary,
        accepted: Option<AcceptedSink>,
    ) -> Result<()> {
        if let Some(sink) = accepted {
            sink.finish().context("while finishing accepted.s40")?;
        }
        self.collector.log().write(&folder.file("latency.hlog"))?;
        let collision_rate_hz = self.plan.rate_scheme.collision_rate_hz();
        let distinct = self.plan.distinct_crossings();
        let rates = &self.collector.rates;
        write_rates(&folder.file("rates.csv"), rates, distinct, collision_rate_hz)?;
        let signals = self.plan.signal_names();
        let models = &self.plan.models;
        for (model, histogram) in models.iter().zip(&self.collector.histograms) {
            let name = match models.len() {
                1 => "scores.csv".to_owned(),
                _ => format!("scores-{}.csv", model.name),
            };
            write_scores(&folder.file(&name), histogram, model.scorer.as_ref(), &signals)?;
        }
        // Last, so that a folder with a summary has everything else.
        summary.write(&folder.file("summary.json"))
    }
}
