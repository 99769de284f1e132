//! The data plane allocates nothing once it is warm.
//!
//! Covered, each with a counting allocator that is armed after a warm-up:
//!
//! - the reader: reading, decoding, injecting (replace and overlay), filling rows, evaluating
//!   cuts, forming batches, over block ends and over the end of a stream that is repeated;
//! - scoring and deciding, with prescales;
//! - the collector: counting, recording latencies and scores, giving blocks back;
//! - the worker thread of a real run, unpaced and paced, from its first batches to its last;
//! - making events of a statistical model.
//!
//! Not covered, because they may allocate: accepted events on their way to a file, the end of a
//! reporting interval, the first event of a luminosity section, and everything before the first
//! batch and after the last. They are the collector's, on core 0, never a worker's.
//!
//! One test in a binary of its own: other tests would allocate in between.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use scout40::batch::Batch;
use scout40::collector::{Collector, CollectorParts, IntervalLength};
use scout40::config::{Engine, Keep, LoadedModel, PreparedRun, RunConfig, SchemeChoice};
use scout40::latency::LatencyRecorder;
use scout40::network::NetworkOptions;
use scout40::pipeline::execute;
use scout40::reader::{BlockPool, Filled, Reader};
use scout40::sink::{LatencyLog, ScoreHistogram};
use scout40::worker::{decide, score};
use scout40_models::file::Provenance;
use scout40_models::{FeatureSpec, Model, Rows, Score, Scorer, Scratch};
use scout40_replay::event::Block;
use scout40_replay::generate::{GeneratedStream, GeneratorModel, PileUp, Placement};
use scout40_replay::pacing::Rate;

thread_local! {
    /// Calls of the allocator on this thread. Has no destructor, so that the allocator may use it
    /// at any time.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted by thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: every call goes to the system's allocator as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: `pointer` came from `alloc` or `realloc` above, so from the system.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`, and the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What `work` returns, and how often it called the allocator.
fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = CALLS.get();
    let result = work();
    (result, CALLS.get() - before)
}

/// Batches in flight between reader and collector: as many blocks stay in use.
const IN_FLIGHT: usize = 16;
/// Passes over the stream: those before the last ones are the warm-up.
const PASSES: u64 = 24;
const WARM_PASSES: u64 = 16;
/// Batches of a worker that are its warm-up.
const WARM_BATCHES: u64 = 100;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn config(stream: &str, models: &[&str], menu: &Path, rate: Rate, orbits: u64) -> RunConfig {
    let inject = |name: &str, how: &str| {
        let text = format!("{}{how}", fixture(name).display());
        text.parse().unwrap()
    };
    RunConfig {
        source: fixture(stream).into(),
        models: models.iter().map(|model| fixture(model)).collect(),
        engine: Engine::default(),
        menu: Some(menu.into()),
        thresholds: Vec::new(),
        target_rates_hz: Vec::new(),
        calibrate: None,
        prescale: NonZeroU32::new(3).unwrap(),
        injections: vec![
            inject("streams/leptoquark.s40", "@0.05"),
            inject("streams/HToAATo4b.s40", "@0.05:overlay"),
        ],
        rng_seed: 1,
        rate,
        scheme: SchemeChoice::Named("lhc".into()),
        duration: None,
        orbits: Some(orbits),
        from_orbit: None,
        repeat: true,
        // A machine that is busy with something else must not drop what is to be looked at.
        stall: true,
        ring_depth: Duration::from_millis(1),
        batch_size: 128,
        max_wait: None,
        cores: None,
        workers: Some(1),
        readers: 1,
        network: NetworkOptions::default(),
        interval: Duration::from_secs(3600),
        keep: Keep::All,
    }
}

/// Reader, scorer and collector in turn, on this thread.
fn drive(stream: &str, models: &[&str], menu: &Path) {
    // The stream has five thousand events, less than two orbits of the scheme.
    let PreparedRun { plan, source, slots, reader } =
        PreparedRun::new(config(stream, models, menu, Rate::LHC, 2 * PASSES)).unwrap();
    let models = &plan.models;
    let histogram = |model: &LoadedModel| ScoreHistogram::new(model.scorer.range(), 2);
    let mut collector = Collector::new(CollectorParts {
        menu: &plan.menu,
        injector: plan.injector.as_ref(),
        interval_length: IntervalLength(plan.config.interval),
        latency: LatencyRecorder::new(reader.clock),
        histograms: models.iter().map(histogram).collect(),
        log: LatencyLog::new(SystemTime::UNIX_EPOCH).unwrap(),
        accepted: None,
    });
    let mut reader = Reader::new(source, slots, &plan, reader);
    let mut pool = BlockPool::default();
    let mut scratches: Vec<Scratch> = models.iter().map(|m| m.scorer.scratch()).collect();
    let prescales = plan.menu.prescales();
    let new = || Batch::new(plan.config.batch_size, models, &plan.menu);
    let mut free: Vec<Batch> = (0..IN_FLIGHT).map(|_| new()).collect();
    let mut flying: VecDeque<Batch> = VecDeque::with_capacity(IN_FLIGHT);
    let per_orbit = u64::from(plan.rate_scheme.n_colliding());
    let (mut batches, mut end) = (0, false);
    while !end || !flying.is_empty() {
        let armed = reader.counts.read >= WARM_PASSES * 2 * per_orbit && !end;
        let expect = |what: &str, calls: u64| {
            assert!(
                !armed || calls == 0,
                "{what}: {calls} calls of the allocator, batch {batches}"
            );
        };
        let mut filled = Filled::Blocked;
        if let (Some(mut batch), false) = (free.pop(), end) {
            let calls;
            (filled, calls) = counted(|| reader.fill(&mut batch, &mut pool).unwrap());
            expect("reader", calls);
            end = filled == Filled::End;
            match filled {
                Filled::Ready => flying.push_back(batch),
                _ => free.push(batch),
            }
        }
        if filled == Filled::Ready && !free.is_empty() {
            continue;
        }
        let Some(mut batch) = flying.pop_front() else { continue };
        let ((), calls) = counted(|| {
            score(models, &mut scratches, &mut batch);
            decide(&plan.menu, &prescales, &mut batch);
        });
        expect("scoring", calls);
        batch.started_ps = batch.arrival_ps + 1_000_000;
        batch.decided_ps = batch.started_ps + 5_000_000;
        let (taken, calls) = counted(|| collector.take(&batch, &mut pool));
        taken.unwrap();
        expect("collector", calls);
        let ((), calls) = counted(|| batch.clear());
        expect("clearing", calls);
        free.push(batch);
        batches += 1;
    }
    assert_eq!(reader.counts.read, collector.counts.scored);
    assert_eq!(reader.counts.read, 2 * PASSES * per_orbit);
    assert!(collector.signals.iter().all(|signal| signal.scored > 100), "both are injected");
}

/// What the worker's thread did between one batch and the next, after its warm-up.
#[derive(Default)]
struct Watched {
    batches: AtomicU64,
    calls: AtomicU64,
}

/// A scorer that looks at the allocator's count of the thread that it is called on.
struct Watching {
    inner: Box<dyn Scorer>,
    watched: Arc<Watched>,
    calls_when_warm: AtomicU64,
}

impl Scorer for Watching {
    fn n_features(&self) -> usize {
        self.inner.n_features()
    }

    fn scratch(&self) -> Scratch {
        self.inner.scratch()
    }

    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        self.inner.score(rows, scratch, out);
        // Relaxed: there is one worker, and the test looks after it has been joined.
        let batches = self.watched.batches.fetch_add(1, Ordering::Relaxed);
        if batches == WARM_BATCHES {
            self.calls_when_warm.store(CALLS.get(), Ordering::Relaxed);
        } else if batches > WARM_BATCHES {
            let calls = CALLS.get() - self.calls_when_warm.load(Ordering::Relaxed);
            self.watched.calls.store(calls, Ordering::Relaxed);
        }
    }

    fn range(&self) -> (Score, Score) {
        self.inner.range()
    }

    fn fraction_bits(&self) -> u32 {
        self.inner.fraction_bits()
    }

    fn display(&self, score: Score) -> f64 {
        self.inner.display(score)
    }
}

/// The worker of a whole run: everything that it does between two batches is in the count.
fn watch_worker(stream: &str, models: &[&str], menu: &Path, rate: Rate) {
    let mut prepared = PreparedRun::new(config(stream, models, menu, rate, 24)).unwrap();
    let watched = Arc::new(Watched::default());
    let model = prepared.plan.models.pop().unwrap();
    let scorer = Box::new(Watching {
        inner: model.scorer,
        watched: Arc::clone(&watched),
        calls_when_warm: AtomicU64::new(0),
    });
    prepared.plan.models.push(LoadedModel { scorer, ..model });
    let summary = execute(prepared, None, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert_eq!(summary.counts.scored, 24 * 2748);
    assert!(watched.batches.load(Ordering::Relaxed) > 4 * WARM_BATCHES, "too few to be warm");
    assert_eq!(watched.calls.load(Ordering::Relaxed), 0, "calls of the allocator on the worker");
}

/// Makes blocks of generated events.
fn make_events() {
    const BLOCKS: u64 = 12;
    let (model, place) = (GeneratorModel::shipped(), Placement::default());
    let stream = GeneratedStream::new(&model, PileUp::Fitted, 1, place, u64::MAX >> 24).unwrap();
    let mut block = Block::default();
    (0..BLOCKS).for_each(|number| stream.fill(number, &mut block));
    let ((), calls) = counted(|| (BLOCKS..2 * BLOCKS).for_each(|n| stream.fill(n, &mut block)));
    assert_eq!(calls, 0, "making events");
    assert!(block.len() as u64 == stream.events_per_block());
}

#[test]
fn the_data_plane_allocates_nothing_once_it_is_warm() {
    let folder = tempfile::tempdir().unwrap();
    let menu = folder.path().join("menu.toml");
    let text = "
        [[line]]
        name = \"jets\"
        kind = \"cut\"
        prescale = 3
        require = [{ object = \"jet\", pt_gev = 30, count = 2, eta_max = 2.5 }]
    ";
    let checkout = fixture("reference/hls/AXOL1TL_v5");
    let detector = scout40_models::hls::axol1tl::read(&checkout).unwrap();
    let spec = FeatureSpec::parse("axol1tl").unwrap();
    let network = folder.path().join("network.model");
    Model::new(spec, detector, Provenance::default()).unwrap().write(&network).unwrap();
    let network = network.to_str().unwrap();
    let ((), calls) = counted(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(calls, 2, "the allocator counts");
    make_events();
    for (stream, models) in [
        ("streams/SVJ.s40", &["models/forest.model"][..]),
        ("pathological/good.s40", &["models/forest.model"]),
        ("streams/SVJ.s40", &["models/autoencoder.model"]),
        ("streams/SVJ.s40", &["models/forest.model", network, "models/autoencoder.model"]),
    ] {
        let mut lines = text.to_owned();
        for model in models {
            let name = Path::new(model).file_stem().unwrap().to_str().unwrap();
            let line = format!("[[line]]\nname = \"{name}\"\nkind = \"score\"\n");
            lines += &format!("{line}model = \"{name}\"\nthreshold = 0.5\nprescale = 3\n");
        }
        std::fs::write(&menu, lines).unwrap();
        drive(stream, models, &menu);
        for rate in [Rate::Max, Rate::Hz(4_000_000)] {
            watch_worker(stream, models, &menu, rate);
        }
    }
}
