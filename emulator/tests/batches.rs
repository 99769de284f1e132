//! How the reader closes batches: full, at the longest wait, at the end of an interval; and how
//! it catches up when it is late.
//!
//! Batches are a function of stream and configuration alone, so they are looked at here as they
//! leave the reader, without a clock. Only lateness needs one, and that is moved by hand: reader,
//! worker and collector take turns on one thread.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use scout40::batch::{Batch, Outcome};
use scout40::clock::Clock;
use scout40::collector::{Collector, CollectorParts, IntervalLength};
use scout40::config::{Engine, Keep, PreparedRun, RunConfig, SchemeChoice};
use scout40::counters::Counts;
use scout40::latency::LatencyRecorder;
use scout40::network::NetworkOptions;
use scout40::reader::{BlockPool, Filled, Reader};
use scout40::ring::{ring, send};
use scout40::sink::LatencyLog;
use scout40::source::SourceSpec;
use scout40::worker::{Shared, Worker};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::StreamHeader;
use scout40_replay::pacing::Rate;
use scout40_replay::source::{Delivery, FileSource, Source, SourceError, SourceFacts};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// A run of 500 events at the LHC's rate.
fn config(scheme: &str) -> RunConfig {
    RunConfig {
        source: fixture("pathological/good.s40").into(),
        models: vec![fixture("models/forest.model")],
        engine: Engine::default(),
        menu: None,
        thresholds: Vec::new(),
        target_rates_hz: Vec::new(),
        calibrate: None,
        prescale: NonZeroU32::MIN,
        injections: Vec::new(),
        rng_seed: 1,
        rate: Rate::LHC,
        scheme: scheme.parse::<SchemeChoice>().unwrap(),
        duration: None,
        orbits: None,
        from_orbit: None,
        repeat: false,
        stall: false,
        ring_depth: Duration::from_millis(1),
        batch_size: 128,
        max_wait: None,
        cores: None,
        workers: None,
        readers: 1,
        network: NetworkOptions::default(),
        interval: Duration::from_secs(1),
        keep: Keep::Needed,
    }
}

/// What a batch was when it left the reader.
#[derive(Debug, PartialEq)]
struct Closed {
    len: usize,
    first_slot: u64,
    last_slot: u64,
    arrival_ps: u64,
    interval: u64,
}

fn batches(config: RunConfig) -> Vec<Closed> {
    let clock = config.rate.clock();
    let PreparedRun { plan, source, slots, reader } = PreparedRun::new(config).unwrap();
    let mut batch = Batch::new(plan.config.batch_size, &plan.models, &plan.menu);
    let mut pool = BlockPool::default();
    let mut reader = Reader::new(source, slots, &plan, reader);
    let mut closed = Vec::new();
    loop {
        match reader.fill(&mut batch, &mut pool).unwrap() {
            Filled::Ready => {}
            Filled::End => break,
            other => panic!("{other:?}: all blocks have been released"),
        }
        let of_slots: usize = batch.slots.iter().map(|slots| slots.len as usize).sum();
        let of_segments: usize = batch.segments.iter().map(|segment| segment.len as usize).sum();
        assert_eq!((of_slots, of_segments), (batch.len, batch.len));
        assert_eq!((batch.orbits.len(), batch.bxs.len()), (batch.len, batch.len));
        closed.push(Closed {
            len: batch.len,
            first_slot: batch.slots[0].first,
            last_slot: batch.slots.last().unwrap().last(),
            arrival_ps: batch.arrival_ps,
            interval: batch.interval,
        });
        batch.segments.iter().for_each(|segment| pool.release(segment.block));
        batch.clear();
    }
    assert_eq!(closed.iter().map(|batch| batch.len).sum::<usize>(), 500);
    let due_ps = |slot| clock.map_or(0, |clock| clock.due_ps(slot));
    assert!(closed.iter().all(|batch| batch.arrival_ps == due_ps(batch.last_slot)));
    assert!(closed.is_sorted_by(|a, b| a.last_slot < b.first_slot));
    closed
}

fn lengths(config: RunConfig) -> Vec<usize> {
    batches(config).iter().map(|batch| batch.len).collect()
}

#[test]
fn a_batch_closes_when_it_is_full() {
    assert_eq!(lengths(config("all")), [128, 128, 128, 116]);
    assert_eq!(
        lengths(RunConfig { batch_size: 64, ..config("all") }),
        [64, 64, 64, 64, 64, 64, 64, 52]
    );
}

#[test]
fn a_batch_does_not_wait_for_slots_beyond_a_gap() {
    // By default a batch waits for twice as many slots as it has places: here less than an orbit.
    let sparse = batches(config("single"));
    assert_eq!(sparse.len(), 500);
    assert!(sparse.iter().all(|batch| batch.len == 1));
}

#[test]
fn a_batch_waits_for_as_many_slots_as_have_a_batch_of_colliding_ones_on_average() {
    // Trains of the LHC: 128 colliding slots in 166, of 2748 in 3564.
    let trains = batches(config("lhc"));
    let spans: Vec<u64> =
        trains.iter().map(|batch| batch.last_slot - batch.first_slot + 1).collect();
    assert!(spans.iter().all(|&span| span <= 167), "{spans:?}");
    assert!(spans.iter().any(|&span| span > 128), "{spans:?}");
    // Two trains of 72 and a gap of 7: full within them.
    assert_eq!((trains[0].len, trains[0].last_slot), (128, 43 + 128 + 7 - 1));
}

#[test]
fn the_longest_wait_decides_how_many_slots_a_batch_spans() {
    let wait = |text: u64, scheme| {
        let max_wait = Some(Duration::from_nanos(text));
        lengths(RunConfig { max_wait, ..config(scheme) })
    };
    // 24.95 ns per slot: one slot, then ten, then five orbits.
    assert_eq!(wait(20, "all"), [1; 500]);
    assert_eq!(wait(245, "all"), [10; 50]);
    assert_eq!(wait(5 * 88_924, "single"), [5; 100]);
}

#[test]
fn without_a_clock_batches_are_full() {
    let of = |scheme| lengths(RunConfig { rate: Rate::Max, ..config(scheme) });
    for scheme in ["lhc", "single"] {
        assert_eq!(of(scheme), [128, 128, 128, 116], "{scheme}");
    }
}

#[test]
fn a_batch_never_crosses_an_interval() {
    // A millisecond is 40 079 slots, eleven orbits and a part of one.
    let of_run = batches(RunConfig {
        interval: Duration::from_millis(1),
        max_wait: Some(Duration::from_secs(1)),
        ..config("single")
    });
    for batch in &of_run {
        assert_eq!(batch.first_slot / 40_079, batch.interval, "{batch:?}");
        assert_eq!(batch.last_slot / 40_079, batch.interval, "{batch:?}");
    }
    assert!(of_run.iter().any(|batch| batch.len == 11) && of_run.iter().any(|b| b.len == 12));
}

// Catching up.

const PS_PER_US: u64 = 1_000_000;

/// What became of a run.
struct Driven {
    counts: Counts,
    /// Length and fate of each batch.
    fates: Vec<(usize, Outcome)>,
    /// Orbit, crossing and score of what was scored.
    scores: Vec<(u32, i16, i32)>,
    injected: u64,
}

/// Reader, worker and collector in turn; `late_us` is the time from the second batch on.
fn drive(config: RunConfig, late_us: u64) -> Driven {
    let PreparedRun { plan, source, slots, reader } = PreparedRun::new(config).unwrap();
    let (clock, hand) = Clock::manual();
    let shared = Shared {
        clock,
        start_ps: AtomicU64::new(0),
        // A worker ends when it has done what is in its ring.
        finished: AtomicBool::new(true),
        abandoned: AtomicBool::new(false),
        yield_when_idle: false,
    };
    let mut collector = Collector::new(CollectorParts {
        menu: &plan.menu,
        injector: plan.injector.as_ref(),
        interval_length: IntervalLength(plan.config.interval),
        latency: LatencyRecorder::new(reader.clock),
        histograms: Vec::new(),
        log: LatencyLog::new(SystemTime::UNIX_EPOCH).unwrap(),
        accepted: None,
    });
    let mut reader = Reader::new(source, slots, &plan, reader);
    let mut pool = BlockPool::default();
    let (mut fates, mut scores) = (Vec::new(), Vec::new());
    loop {
        let now_ps = if fates.is_empty() { 0 } else { late_us * PS_PER_US };
        reader.set_time(now_ps);
        let mut batch = Box::new(Batch::new(plan.config.batch_size, &plan.models, &plan.menu));
        match reader.fill(&mut batch, &mut pool).unwrap() {
            Filled::Ready => {}
            Filled::End => break,
            other => panic!("{other:?}: all blocks have been released"),
        }
        // Relaxed: there is no other thread.
        hand.store(now_ps.max(batch.arrival_ps), Ordering::Relaxed);
        let (mut to_worker, input) = ring(1);
        let (output, mut from_worker) = ring(1);
        send(&mut to_worker, batch);
        let (models, menu, pace) = (&plan.models[..], &plan.menu, plan.pace);
        Worker { shared: &shared, models, menu, pace, input, output }.run();
        let batch = from_worker.pop().unwrap();
        fates.push((batch.len, batch.outcome));
        if batch.outcome == Outcome::Scored {
            let ids = batch.orbits.iter().zip(&batch.bxs);
            scores.extend(
                ids.zip(&batch.scores[0]).map(|((&orbit, &bx), &score)| (orbit, bx, score)),
            );
        }
        collector.take(&batch, &mut pool).unwrap();
    }
    let mut counts = reader.counts;
    counts.scored = collector.counts.scored;
    counts.dropped = collector.counts.dropped;
    let injected = collector.signals.iter().map(|signal| signal.injected).sum();
    Driven { counts, fates, scores, injected }
}

/// A slot per microsecond, blocks of 50 events, signal in all of them, 100 us of arrival ring.
fn slow_config() -> RunConfig {
    let signal = fixture("pathological/good.s40").display().to_string();
    RunConfig {
        rate: Rate::Hz(1_000_000),
        ring_depth: Duration::from_micros(100),
        batch_size: 64,
        injections: vec![format!("{signal}@1").parse().unwrap()],
        ..config("all")
    }
}

#[test]
fn a_late_reader_passes_over_blocks_until_it_is_late_no_more() {
    use Outcome::{Dropped, Scored};
    let in_time = drive(slow_config(), 0);
    assert_eq!((in_time.counts.scored, in_time.injected), (500, 500));
    let late = drive(slow_config(), 300);
    let expected = [
        (64, Scored),
        // The rest of the second block had been read; the worker finds it overwritten.
        (36, Dropped),
        // Blocks are passed over from 201 us late on, and then until the reader is not late at all,
        // not just until the arrival ring is deep enough again.
        (64, Dropped),
        (64, Dropped),
        (64, Dropped),
        (64, Dropped),
        // The last of the eighth block is due after 399 us: what follows can be read in time.
        (44, Dropped),
        (64, Scored),
        (36, Scored),
    ];
    assert_eq!(late.fates, expected);
    assert_eq!((late.counts.read, late.counts.scored, late.counts.dropped), (500, 164, 336));
    assert!(late.counts.is_conserved());
    // What was passed over got no signal: for that it would have to be read.
    assert_eq!(late.injected, 164 + 36);
    // What comes after the gap is what it would have been without.
    let expected: Vec<_> = [&in_time.scores[..64], &in_time.scores[400..]].concat();
    assert_eq!(late.scores, expected);
}

#[test]
fn orbits_run_on_where_a_late_reader_passes_over_the_end_of_a_repeated_stream() {
    // An orbit of 3564 slots is seven passes of 500 events and a part of one.
    let repeated = || RunConfig { repeat: true, orbits: Some(1), ..slow_config() };
    let in_time = drive(repeated(), 0);
    assert_eq!(in_time.counts.scored, 3564);
    assert!(in_time.scores.is_sorted_by_key(|&(orbit, bx, _)| (orbit, bx)));
    let late = drive(repeated(), 700);
    assert!(late.counts.is_conserved());
    assert_eq!((late.counts.read, late.counts.dropped), (3564, 750 - 64));
    let expected: Vec<_> = [&in_time.scores[..64], &in_time.scores[750..]].concat();
    assert_eq!(late.scores, expected);
}

#[test]
fn a_late_reader_goes_through_blocks_whose_crossings_keep_their_slots() {
    // 50 crossings in each orbit of 3564 slots: two orbits fit into the arrival ring.
    let recorded = || RunConfig {
        scheme: "recorded".parse::<SchemeChoice>().unwrap(),
        ring_depth: Duration::from_micros(2 * 3564),
        ..slow_config()
    };
    let in_time = drive(recorded(), 0);
    let late = drive(recorded(), 5 * 3564);
    assert_eq!((in_time.counts.scored, late.counts.read), (500, 500));
    assert!(late.counts.is_conserved() && late.counts.dropped >= 100, "{:?}", late.counts);
    let after = in_time.scores.len() - late.scores.len();
    let kept = late.fates.iter().take_while(|fate| fate.1 == Outcome::Scored);
    let kept: usize = kept.map(|fate| fate.0).sum();
    let expected: Vec<_> = [&in_time.scores[..kept], &in_time.scores[kept + after..]].concat();
    assert_eq!(late.scores, expected);
}

#[test]
fn damage_in_a_block_that_was_passed_over_stays_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.s40");
    let mut bytes = std::fs::read(fixture("pathological/good.s40")).unwrap();
    let index = FileSource::open(&fixture("pathological/good.s40")).unwrap().info().index.clone();
    // The last byte of the fourth block.
    bytes[index.unwrap().blocks[4].offset as usize - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = || RunConfig { source: path.clone().into(), ..slow_config() };
    let read = drive(damaged(), 0);
    assert_eq!((read.counts.scored, read.counts.corrupt), (450, 50));
    let late = drive(damaged(), 300);
    assert_eq!((late.counts.scored, late.counts.dropped, late.counts.corrupt), (164, 336, 0));
    assert!(read.counts.is_conserved() && late.counts.is_conserved());
}

#[test]
fn a_reader_that_is_less_late_than_the_ring_is_deep_reads_everything() {
    let late = drive(slow_config(), 160);
    assert_eq!((late.counts.read, late.counts.scored, late.injected), (500, 500, 500));
    assert!(late.counts.is_conserved());
}

#[test]
fn a_reader_that_may_stall_reads_everything_however_late() {
    let late = drive(RunConfig { stall: true, ..slow_config() }, 1_000_000);
    assert_eq!((late.counts.scored, late.injected), (500, 500));
    assert_eq!(late.scores, drive(slow_config(), 0).scores);
}

/// A source that has nothing when it is asked for the first few times.
struct Halting {
    of_file: FileSource,
    n_pending: usize,
}

impl Source for Halting {
    fn header(&self) -> &StreamHeader {
        self.of_file.header()
    }

    fn facts(&self) -> SourceFacts {
        SourceFacts { is_live: true, ..self.of_file.facts() }
    }

    fn columns(&self) -> ColumnSet {
        self.of_file.columns()
    }

    fn next_block(
        &mut self,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        match self.n_pending {
            0 => self.of_file.next_block(wanted, block),
            _ => {
                self.n_pending -= 1;
                Ok(Delivery::Pending)
            }
        }
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.of_file.rewind()
    }
}

/// Fills batches from a halting source at these times, in ms; what became of each call, the first
/// batch, and the gaps that were counted.
fn halting(n_pending: usize, config: RunConfig, times_ms: &[u64]) -> (Vec<Filled>, Batch, u64) {
    let SourceSpec::File(path) = &config.source else { unreachable!("it is a file") };
    let source = Halting { of_file: FileSource::open(path).unwrap(), n_pending };
    let mut prepared = PreparedRun::new(config).unwrap();
    prepared.plan.facts = source.facts();
    let PreparedRun { plan, slots, reader, .. } = prepared;
    let mut pool = BlockPool::default();
    let mut reader = Reader::new(Box::new(source), slots, &plan, reader);
    let batch = || Batch::new(plan.config.batch_size, &plan.models, &plan.menu);
    let (mut first, mut all) = (batch(), Vec::new());
    for &ms in times_ms {
        reader.set_time(ms * 1_000_000_000);
        let mut next = batch();
        let to = if first.len == 0 { &mut first } else { &mut next };
        all.push(reader.fill(to, &mut pool).unwrap());
    }
    (all, first, reader.trouble.source_gaps)
}

#[test]
fn a_clock_waits_for_a_live_source_and_counts_the_gap() {
    let (filled, batch, gaps) = halting(2, config("all"), &[0, 10, 20]);
    assert_eq!(filled, [Filled::Waiting, Filled::Waiting, Filled::Ready]);
    assert_eq!((batch.outcome, gaps), (Outcome::Scored, 1));
    let clock = Rate::LHC.clock().unwrap();
    let first_due_ps = clock.due_ps(batch.slots[0].first);
    assert!((24_000_000_000..24_000_100_000).contains(&first_due_ps), "{first_due_ps}");
    // In time, there is no gap: nothing was due while there was nothing.
    let (filled, batch, gaps) = halting(2, config("all"), &[0, 0, 0]);
    assert_eq!((filled[2], batch.slots[0].first, gaps), (Filled::Ready, 0, 0));
    // Without a clock nothing is ever due.
    let unpaced = RunConfig { rate: Rate::Max, ..config("all") };
    let (_, batch, gaps) = halting(2, unpaced, &[0, 10, 20]);
    assert_eq!((batch.slots[0].first, gaps), (0, 0));
}

#[test]
fn a_run_from_a_live_source_that_sends_nothing_ends_in_time() {
    let ending = RunConfig { duration: Some(Duration::from_millis(15)), ..config("all") };
    let (filled, _, _) = halting(9, ending, &[0, 10, 20]);
    assert_eq!(filled, [Filled::Waiting, Filled::Waiting, Filled::End]);
}
