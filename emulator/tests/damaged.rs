//! However a stream is damaged, a run neither panics nor hangs, and accounts for every crossing.
//!
//! Random damage (bits flipped, ranges overwritten, bytes cut out or put in, the end cut off) is
//! done to a small stream of many blocks, which then goes through the whole pipeline, unpaced,
//! with injection and lines of both kinds. A file that is no longer a stream has to be refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scout40::config::{Engine, Keep, PreparedRun, RunConfig, SchemeChoice};
use scout40::counters::Counts;
use scout40::network::NetworkOptions;
use scout40::pipeline::execute;
use scout40::trigger::Threshold;
use scout40_replay::pacing::Rate;

/// Runs of one property.
const CASES: u32 = 400;
/// After so long the pipeline hangs.
const WATCHDOG: Duration = Duration::from_secs(180);
/// Crossings in the stream, 50 per orbit.
const CROSSINGS: u64 = 500;
const MENU: &str = "
[[line]]
name = \"score\"
kind = \"score\"
threshold = 0.5

[[line]]
name = \"jets\"
kind = \"cut\"
prescale = 3
require = [{ object = \"jet\", pt_gev = 30, count = 2, eta_max = 2.5 }]
";

/// One thing that happens to a file. Places and lengths are taken modulo the file's.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: usize,
        bit: u8,
    },
    Overwrite {
        at: usize,
        bytes: Vec<u8>,
    },
    Remove {
        at: usize,
        n: usize,
    },
    Insert {
        at: usize,
        bytes: Vec<u8>,
    },
    /// Copies what stands at `from` over what stands at `at`: whole blocks in the wrong place.
    Copy {
        from: usize,
        at: usize,
        n: usize,
    },
    Cut {
        n: usize,
    },
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        let len = file.len();
        if len == 0 {
            return;
        }
        match self {
            Damage::Flip { at, bit } => file[at % len] ^= 1 << bit,
            Damage::Overwrite { at, bytes } => {
                file.iter_mut().skip(at % len).zip(bytes).for_each(|(to, from)| *to = *from);
            }
            Damage::Remove { at, n } => {
                let at = at % len;
                file.drain(at..(at + n).min(len));
            }
            Damage::Insert { at, bytes } => {
                let at = at % len;
                file.splice(at..at, bytes.iter().copied());
            }
            Damage::Copy { from, at, n } => {
                let from = from % len;
                let bytes = file[from..(from + n).min(len)].to_vec();
                Damage::Overwrite { at: *at, bytes }.apply(file);
            }
            Damage::Cut { n } => file.truncate(n % len),
        }
    }
}

fn damage(len: usize) -> impl Strategy<Value = Damage> {
    // Beyond the header, which takes the first kilobyte, damage is the pipeline's business.
    let at = prop_oneof![1 => 0..len, 6 => 1500..len];
    let bytes = proptest::collection::vec(any::<u8>(), 1..64);
    prop_oneof![
        4 => (at.clone(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        2 => (at.clone(), bytes.clone()).prop_map(|(at, bytes)| Damage::Overwrite { at, bytes }),
        2 => (at.clone(), 1..4000_usize).prop_map(|(at, n)| Damage::Remove { at, n }),
        1 => (at.clone(), bytes).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        2 => (at.clone(), at.clone(), 1..4000_usize)
            .prop_map(|(from, at, n)| Damage::Copy { from, at, n }),
        2 => at.prop_map(|n| Damage::Cut { n }),
    ]
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn config(stream: &Path, menu: &Path, repeat: bool) -> RunConfig {
    let signal = fixture("pathological/good.s40").display().to_string();
    let injections =
        ["@0.05", "@0.05:overlay"].map(|how| format!("{signal}{how}").parse().unwrap());
    RunConfig {
        source: stream.into(),
        models: vec![fixture("models/forest.model")],
        engine: Engine::default(),
        menu: Some(menu.into()),
        thresholds: vec![Threshold::Raw(-20_000)],
        target_rates_hz: Vec::new(),
        calibrate: None,
        prescale: NonZeroU32::MIN,
        injections: injections.into(),
        rng_seed: 1,
        rate: Rate::Max,
        scheme: SchemeChoice::File(fixture("pathological/50-bunches.toml")),
        duration: None,
        orbits: repeat.then_some(25),
        from_orbit: None,
        repeat,
        stall: false,
        ring_depth: Duration::from_millis(1),
        batch_size: 64,
        max_wait: None,
        cores: None,
        workers: None,
        readers: 1,
        network: NetworkOptions::default(),
        interval: Duration::from_secs(1),
        keep: Keep::Needed,
    }
}

/// What became of the crossings, and how many there are by the index, if that is whole.
fn run(config: RunConfig) -> Result<(Counts, Option<u64>), String> {
    let prepared = PreparedRun::new(config).map_err(|refusal| refusal.to_string())?;
    let n_crossings = prepared.plan.facts.n_crossings;
    let stop = AtomicBool::new(false);
    let summary = execute(prepared, None, &stop, &mut |_| {}).expect("damage is counted");
    Ok((summary.counts, n_crossings))
}

fn check(damages: &[Damage], repeat: bool, folder: &Path) -> Result<(), TestCaseError> {
    let mut file = std::fs::read(fixture("pathological/good.s40")).unwrap();
    damages.iter().for_each(|damage| damage.apply(&mut file));
    let stream = folder.join("damaged.s40");
    std::fs::write(&stream, file).unwrap();
    let Ok((counts, n_crossings)) = run(config(&stream, &folder.join("menu.toml"), repeat)) else {
        return Ok(());
    };
    prop_assert!(counts.is_conserved(), "{counts:?}");
    prop_assert_eq!(counts.dropped, 0, "an unpaced run drops nothing");
    if let (Some(n_crossings), false) = (n_crossings, repeat) {
        prop_assert_eq!(n_crossings, CROSSINGS);
        prop_assert_eq!(counts.read, CROSSINGS, "with an index every loss is known");
        prop_assert_eq!(counts.truncated, 0, "a file with its end is not cut");
    }
    Ok(())
}

#[test]
fn a_damaged_stream_is_refused_or_accounted_for() {
    let (done, finished) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("menu.toml"), MENU).unwrap();
        let len = std::fs::metadata(fixture("pathological/good.s40")).unwrap().len() as usize;
        let damages = proptest::collection::vec(damage(len), 0..4);
        let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
        let result = TestRunner::new(config).run(&(damages, any::<bool>()), |(damages, repeat)| {
            check(&damages, repeat, folder.path())
        });
        // Whoever waits has either gone or wants to know.
        let _ = done.send(result.map_err(|failure| failure.to_string()));
    });
    match finished.recv_timeout(WATCHDOG) {
        Ok(result) => result.unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the pipeline hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => worker.join().unwrap(),
    }
}
