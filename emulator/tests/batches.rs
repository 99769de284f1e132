//! How the reader closes batches: full, at the longest wait, at the end of an interval.
//!
//! Batches are a function of stream and configuration alone, so they are looked at here as they
//! leave the reader, without a clock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use scout40::batch::Batch;
use scout40::config::{Engine, Keep, PreparedRun, RunConfig, SchemeChoice};
use scout40::reader::{BlockPool, Filled, Reader};
use scout40_replay::pacing::Rate;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// A run of 500 events at the LHC's rate.
fn config(scheme: &str) -> RunConfig {
    RunConfig {
        stream: fixture("pathological/good.s40"),
        model: Some(fixture("models/forest.model")),
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
    let n_features = plan.model.as_ref().unwrap().scorer.n_features();
    let mut batch = Batch::new(plan.config.batch_size, n_features, &plan.menu);
    let mut pool = BlockPool::default();
    let mut reader = Reader::new(source, slots, &plan, reader);
    let mut closed = Vec::new();
    loop {
        match reader.fill(&mut batch, &mut pool).unwrap() {
            Filled::Ready => {}
            Filled::End => break,
            Filled::Blocked => panic!("all blocks have been released"),
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
    // By default a batch waits for as many slots as it has places: here less than an orbit.
    let sparse = batches(config("single"));
    assert_eq!(sparse.len(), 500);
    assert!(sparse.iter().all(|batch| batch.len == 1));
    // Trains of the LHC: no batch spans more than 128 slots, and most span a gap.
    let trains = batches(config("lhc"));
    assert!(trains.iter().all(|batch| batch.last_slot - batch.first_slot < 128));
    assert!(trains.iter().any(|batch| batch.len < 128));
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
