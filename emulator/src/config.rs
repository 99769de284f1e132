//! What a run is to do, and everything about it that can be checked before a thread starts.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use scout40_models::features_of;
use scout40_replay::event::{Block, Column, ColumnSet, Group};
use scout40_replay::format::StreamHeader;
use scout40_replay::inject::{InjectError, InjectionSpec, Injector, Mode, Signal, overlay_columns};
use scout40_replay::lhc::{FillingScheme, LHC_CLOCK_HZ, SLOTS_PER_ORBIT};
use scout40_replay::pacing::{Rate, Slots};
use scout40_replay::source::{Delivery, FileSource, Source, SourceFacts};

use crate::affinity::allowed_cores;
use crate::batch::BATCH_MAX;
use crate::calibrate::{Calibration, calibrate};
pub use crate::models::{Engine, LoadedModel, read_model};
use crate::models::{MODELS_MAX, load_models, scored_models};
use crate::network::{Counters, NetworkOptions};
use crate::reader::{ReaderOptions, end_of_orbits};
use crate::source::{OpenSource, SourceSpec, open_source};
use crate::trigger::{Menu, Threshold};
use crate::worker::{Overload, Pace};

/// Most workers: more than any machine that this is for has cores.
const WORKERS_MAX: usize = 256;

/// Most threads that decode.
const READERS_MAX: usize = 64;

/// Most signals: the truth of a crossing is a byte, and 0 is background.
const SIGNALS_MAX: usize = 255;

/// A request that makes no sense, whatever the files hold: exit code 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Which slots events go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemeChoice {
    /// A scheme of this name: `lhc`, `all`, `single`.
    Named(String),
    /// The file's own crossings.
    Recorded,
    /// A TOML file.
    File(PathBuf),
}

impl std::str::FromStr for SchemeChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<SchemeChoice, Self::Err> {
        Ok(match text {
            "lhc" | "all" | "single" => SchemeChoice::Named(text.into()),
            "recorded" => SchemeChoice::Recorded,
            path => SchemeChoice::File(path.into()),
        })
    }
}

impl std::fmt::Display for SchemeChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SchemeChoice::Named(name) => f.write_str(name),
            SchemeChoice::Recorded => f.write_str("recorded"),
            SchemeChoice::File(path) => path.display().fmt(f),
        }
    }
}

impl SchemeChoice {
    /// The scheme; `None` for the file's own crossings.
    ///
    /// # Errors
    /// A file that cannot be read or holds no scheme.
    pub fn load(&self) -> Result<Option<FillingScheme>> {
        self.load_of("`lhc`, `all`, `single`, `recorded` or a TOML file")
    }

    /// The scheme where there are no recorded crossings, or where they do not do; `why` says it.
    ///
    /// # Errors
    /// A file that cannot be read or holds no scheme; the file's own crossings are a [`UsageError`].
    pub fn load_collisions(&self, why: &str) -> Result<FillingScheme> {
        const ACCEPTED: &str = "`lhc`, `all`, `single` or a TOML file";
        let refusal = || UsageError(format!("{why}\nhint: `--filling-scheme` {ACCEPTED}"));
        Ok(self.load_of(ACCEPTED)?.ok_or_else(refusal)?)
    }

    /// `accepted`: what may stand in the place of a file that is not there.
    fn load_of(&self, accepted: &str) -> Result<Option<FillingScheme>> {
        Ok(match self {
            SchemeChoice::Named(name) => Some(match name.as_str() {
                "all" => FillingScheme::all(),
                "single" => FillingScheme::single(),
                _ => FillingScheme::lhc(),
            }),
            SchemeChoice::Recorded => None,
            SchemeChoice::File(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!(
                        "while reading the filling scheme `{}`\nhint: {accepted}",
                        path.display()
                    )
                })?;
                let scheme = FillingScheme::from_toml(&text);
                Some(scheme.with_context(|| format!("while reading `{}`", path.display()))?)
            }
        })
    }
}

/// Which columns of the stream accepted events keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// What the model and the cuts look at, the event number and the luminosity section.
    #[default]
    Needed,
    /// All that the stream has.
    All,
}

/// What a run is to do, as it was asked for.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Where events come from.
    pub source: SourceSpec,
    /// The models.
    pub models: Vec<PathBuf>,
    /// How they are evaluated.
    pub engine: Engine,
    /// A menu file.
    pub menu: Option<PathBuf>,
    /// Score lines.
    pub thresholds: Vec<Threshold>,
    /// Score lines by their background rate in Hz.
    pub target_rates_hz: Vec<f64>,
    /// Background stream that turns target rates into thresholds.
    pub calibrate: Option<PathBuf>,
    /// Prescale of the lines from `thresholds` and `target_rates_hz`.
    pub prescale: NonZeroU32,
    /// Signals to be injected.
    pub injections: Vec<InjectionSpec>,
    /// Seed of the injection.
    pub rng_seed: u64,
    /// How fast slots follow each other.
    pub rate: Rate,
    /// Which slots collide.
    pub scheme: SchemeChoice,
    /// Ends the run after so much time.
    pub duration: Option<Duration>,
    /// Ends the run after so many orbits.
    pub orbits: Option<u64>,
    /// Begins with the first crossing of this orbit of the file or a later one.
    pub from_orbit: Option<u32>,
    /// Begins again when the stream ends.
    pub repeat: bool,
    /// Late batches wait instead of being dropped.
    pub stall: bool,
    /// Lateness at which the arrival ring has been overwritten.
    pub ring_depth: Duration,
    /// Most crossings in a batch.
    pub batch_size: usize,
    /// Longest that the first crossing of a batch waits for it to fill.
    pub max_wait: Option<Duration>,
    /// Cores: the first reads and collects, the others score.
    pub cores: Option<Vec<usize>>,
    /// Number of workers.
    pub workers: Option<usize>,
    /// Threads that decode; 1: the reader does it itself.
    pub readers: usize,
    /// How patient a source from the network is.
    pub network: NetworkOptions,
    /// Length of a reporting interval.
    pub interval: Duration,
    /// Which columns accepted events keep.
    pub keep: Keep,
}

/// Cores of the threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Core that reads and collects.
    pub reader: usize,
    /// Cores that decode, one thread each; none if the reader does it itself.
    pub decoders: Vec<usize>,
    /// Cores that score, one worker each.
    pub workers: Vec<usize>,
    /// Whether any core has more than one thread.
    pub shared: bool,
}

impl Placement {
    /// Threads on cores: one for the reader, then those that decode, and the rest for workers; where
    /// there are too few, cores that have a thread get another one.
    ///
    /// # Errors
    /// Cores that this process may not use, no worker.
    pub fn new(
        cores: Option<&[usize]>,
        workers: Option<usize>,
        readers: usize,
    ) -> Result<Placement, UsageError> {
        let allowed = allowed_cores();
        let cores = cores.unwrap_or(&allowed);
        for core in cores {
            if !allowed.contains(core) {
                let text = format!("expected cores among {allowed:?} in `--cores`, found {core}");
                return Err(UsageError(text));
            }
        }
        let none = || UsageError("expected a core in `--cores`".into());
        let (&reader, others) = cores.split_first().ok_or_else(none)?;
        if !(1..=READERS_MAX).contains(&readers) {
            let text = format!("expected 1 to {READERS_MAX} in `--readers`, found {readers}");
            return Err(UsageError(text));
        }
        let n_decoders = if readers > 1 { readers } else { 0 };
        let n_workers = workers.unwrap_or(others.len().saturating_sub(n_decoders).max(1));
        if !(1..=WORKERS_MAX).contains(&n_workers) {
            let text = format!("expected 1 to {WORKERS_MAX} in `--workers`, found {n_workers}");
            return Err(UsageError(text));
        }
        let pool = if others.is_empty() { cores } else { others };
        let core_of = |k: usize| pool[k % pool.len()];
        let decoders: Vec<usize> = (0..n_decoders).map(core_of).collect();
        let workers: Vec<usize> = (n_decoders..n_decoders + n_workers).map(core_of).collect();
        let mut used = [&[reader], &decoders[..], &workers[..]].concat();
        used.sort_unstable();
        let shared = used.windows(2).any(|pair| pair[0] == pair[1]);
        Ok(Placement { reader, decoders, workers, shared })
    }
}

/// Everything about a run that stays as it is while it goes on.
pub struct RunPlan {
    /// As asked for.
    pub config: RunConfig,
    /// Header of the stream.
    pub header: StreamHeader,
    /// What else is known of the stream beforehand.
    pub facts: SourceFacts,
    /// What is counted while the stream is received, if it comes over the network.
    pub network: Option<Arc<Counters>>,
    /// The models.
    pub models: Vec<LoadedModel>,
    /// The lines.
    pub menu: Menu,
    /// What `--target-rate` came to.
    pub calibrations: Vec<Calibration>,
    /// What is injected.
    pub injector: Option<Injector>,
    /// Digests of the signals' streams, in the same order; `None` where an index is lost.
    pub signal_digests: Vec<Option<u64>>,
    /// The scheme that rates are quoted for.
    pub rate_scheme: FillingScheme,
    /// Columns that are read.
    pub wanted: ColumnSet,
    /// Pacing of the workers.
    pub pace: Pace,
    /// Cores of the threads.
    pub placement: Placement,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl RunPlan {
    /// Crossings that differ: a repeated stream has no more of them.
    #[must_use]
    pub fn distinct_crossings(&self) -> u64 {
        self.facts.n_crossings.unwrap_or(u64::MAX)
    }

    /// Names of the injected signals, in the order of their truth numbers 1, 2, ...
    #[must_use]
    pub fn signal_names(&self) -> Vec<String> {
        let signals = self.injector.iter().flat_map(|injector| injector.signals());
        signals.map(|signal| signal.name.clone()).collect()
    }
}

/// A run that has been checked and can begin.
pub struct PreparedRun {
    /// What stays.
    pub plan: RunPlan,
    /// The stream.
    pub source: Box<dyn Source>,
    /// Which slot each event goes to.
    pub slots: Slots,
    /// Options of the reader.
    pub reader: ReaderOptions,
}

impl PreparedRun {
    /// Checks everything.
    ///
    /// # Errors
    /// What is wrong with the configuration or a file that it names.
    pub fn new(config: RunConfig) -> Result<PreparedRun> {
        check_numbers(&config)?;
        let mut warnings = Vec::new();
        let placement = Placement::new(config.cores.as_deref(), config.workers, config.readers)?;
        if placement.shared {
            warnings.push(format!(
                "{} threads share cores: latencies are those of time slicing, not of scoring",
                placement.workers.len() + placement.decoders.len() + 1,
            ));
        }
        let models = load_models(&config.models, config.engine)?;
        let OpenSource { source, facts, network } =
            open_source(&config, &placement.decoders, &mut warnings)?;
        check_end(&config, &facts)?;
        let scheme = config.scheme.load()?;
        let rate_scheme = rate_scheme(scheme.as_ref(), source.as_ref(), &mut warnings);
        let (menu, calibrations) = build_menu(&config, &models, rate_scheme.collision_rate_hz())?;
        if menu.lines().is_empty() {
            warnings.push("no line: every event is scored, none is accepted".into());
        }
        let needed = needed_columns(&config, &models, &menu, source.columns())?;
        let (injector, signal_digests) = build_injector(&config, needed.required)?;
        let overload = match config.stall {
            true => Overload::Stall,
            false => Overload::DropAfterPs(picoseconds(config.ring_depth)),
        };
        let pace = match config.rate {
            Rate::Max => Pace::Unpaced,
            Rate::Hz(_) => Pace::Paced(overload),
        };
        Ok(PreparedRun {
            slots: scheme.map_or_else(Slots::recorded, Slots::of_scheme),
            reader: reader_options(&config, needed.wanted, &rate_scheme),
            plan: RunPlan {
                header: source.header().clone(),
                facts,
                network,
                wanted: needed.wanted,
                config,
                models,
                menu,
                calibrations,
                injector,
                signal_digests,
                rate_scheme,
                pace,
                placement,
                warnings,
            },
            source,
        })
    }
}

fn picoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().saturating_mul(1000)).unwrap_or(u64::MAX)
}

fn check_numbers(config: &RunConfig) -> Result<(), UsageError> {
    let refuse = |text: &str| Err(UsageError(text.into()));
    let size = config.batch_size;
    if !(64..=BATCH_MAX).contains(&size) || !size.is_multiple_of(64) {
        let expected = format!("a batch size that is a multiple of 64 up to {BATCH_MAX}");
        return refuse(&format!("expected {expected}, found {size}"));
    }
    if config.interval < Duration::from_millis(1) {
        return refuse("expected `--interval` of at least 1ms");
    }
    for target in &config.target_rates_hz {
        if target.is_nan() || *target <= 0.0 {
            return refuse(&format!("expected a `--target-rate` above zero, found {target} Hz"));
        }
    }
    if !config.target_rates_hz.is_empty() && config.calibrate.is_none() {
        let text = "`--target-rate` needs a background\nhint: add `--calibrate BACKGROUND.s40`";
        return refuse(text);
    }
    let scores = !config.target_rates_hz.is_empty() || !config.thresholds.is_empty();
    if config.models.is_empty() && scores {
        return refuse("a threshold on the score needs a model\nhint: add `--model M.model`");
    }
    if config.models.is_empty() && config.menu.is_none() {
        return refuse("expected a model or a menu of cuts\nhint: add `--model` or `--menu`");
    }
    if config.models.len() > MODELS_MAX {
        return refuse(&format!("expected at most {MODELS_MAX} models"));
    }
    if config.models.len() > 1 && !config.thresholds.is_empty() {
        return refuse(
            "expected one model with `--threshold`, which is in the units of a model\n\
             hint: write the lines into a menu, each with `model = \"NAME\"`",
        );
    }
    Ok(())
}

/// Without a clock nobody watches, and a run without an end would fill the disk.
fn check_end(config: &RunConfig, facts: &SourceFacts) -> Result<(), UsageError> {
    let unlimited = config.duration.is_none() && config.orbits.is_none();
    if !unlimited || config.rate != Rate::Max || !(config.repeat || facts.is_endless) {
        return Ok(());
    }
    let what = if config.repeat { "`--repeat`" } else { "a source that never ends" };
    let hint = "hint: add `--duration` or `--orbits`";
    Err(UsageError(format!("{what} at `--rate max` needs an end\n{hint}")))
}

/// The scheme that rates are quoted for: that of the run, of the file, or the LHC's.
fn rate_scheme(
    of_run: Option<&FillingScheme>,
    source: &dyn Source,
    warnings: &mut Vec<String>,
) -> FillingScheme {
    if let Some(scheme) = of_run {
        return scheme.clone();
    }
    source.header().scheme().unwrap_or_else(|| {
        warnings.push(
            "the stream does not name its filling scheme: rates are quoted for `lhc`, \
             2748 colliding slots"
                .into(),
        );
        FillingScheme::lhc()
    })
}

fn build_menu(
    config: &RunConfig,
    models: &[LoadedModel],
    collision_rate_hz: f64,
) -> Result<(Menu, Vec<Calibration>)> {
    let mut menu = Menu::default();
    let mut all = Vec::new();
    let scored = scored_models(models);
    if let Some(path) = &config.menu {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("while reading the menu `{}`", path.display()))?;
        menu.add_toml(&text, &scored)
            .with_context(|| format!("while reading the menu `{}`", path.display()))?;
    }
    for (number, model) in models.iter().enumerate() {
        for threshold in &config.thresholds {
            let name = match threshold {
                Threshold::Display(value) => format!("score>={value}"),
                Threshold::Raw(raw) => format!("score>=raw:{raw}"),
            };
            menu.add_score_line(&name, *threshold, config.prescale, &scored, number)?;
        }
        let Some(path) = config.calibrate.as_ref().filter(|_| !config.target_rates_hz.is_empty())
        else {
            continue;
        };
        let calibration = |target_hz: &f64| {
            let line = format!("rate<={}kHz", target_hz / 1000.0);
            Calibration {
                line: if models.len() > 1 { format!("{} {line}", model.name) } else { line },
                model: model.name.clone(),
                target_khz: target_hz / 1000.0,
                ..Calibration::default()
            }
        };
        let mut calibrations: Vec<Calibration> =
            config.target_rates_hz.iter().map(calibration).collect();
        calibrate(path, model, collision_rate_hz, &mut calibrations)?;
        for calibration in &calibrations {
            let threshold = Threshold::Raw(calibration.threshold);
            menu.add_score_line(&calibration.line, threshold, config.prescale, &scored, number)?;
        }
        all.extend(calibrations);
    }
    Ok((menu, all))
}

struct NeededColumns {
    /// What model and cuts look at.
    required: ColumnSet,
    /// What is read.
    wanted: ColumnSet,
}

fn needed_columns(
    config: &RunConfig,
    models: &[LoadedModel],
    menu: &Menu,
    available: ColumnSet,
) -> Result<NeededColumns> {
    let of_models = models.iter().map(|m| m.model.spec().columns());
    let mut required = of_models.fold(menu.columns(), ColumnSet::union);
    if config.injections.iter().any(|spec| spec.mode == Mode::Overlay) {
        required = overlay_columns(required);
    }
    let missing = required.minus(available);
    ensure!(
        missing.is_empty(),
        "`{}` lacks columns {} that the model or the menu looks at: expected features of {}\n\
         hint: convert it again with them, or use a model of another feature layout",
        config.source,
        missing.names(),
        features_of(available)
    );
    let kept = match config.keep {
        Keep::All => ColumnSet::ALL,
        Keep::Needed => Group::Event.columns().with(Column::Lumi),
    };
    Ok(NeededColumns { required, wanted: required.union(kept.intersection(available)) })
}

/// The injector, and the digests of its signals' streams.
fn build_injector(
    config: &RunConfig,
    required: ColumnSet,
) -> Result<(Option<Injector>, Vec<Option<u64>>)> {
    if config.injections.is_empty() {
        return Ok((None, Vec::new()));
    }
    if config.injections.len() > SIGNALS_MAX {
        let text = format!("expected at most {SIGNALS_MAX} signals in `--inject`");
        return Err(UsageError(text).into());
    }
    let (mut signals, mut digests): (Vec<Signal>, Vec<Option<u64>>) = Default::default();
    for spec in &config.injections {
        let (mut signal, digest) = load_signal(spec)?;
        digests.push(digest);
        let base = signal.name.clone();
        let mut number = 2;
        while signals.iter().any(|other| other.name == signal.name) {
            signal.name = format!("{base}-{number}");
            number += 1;
        }
        signals.push(signal);
    }
    match Injector::new(config.rng_seed, signals, required) {
        Err(error @ InjectError::Fractions(_)) => Err(UsageError(error.to_string()).into()),
        injector => Ok((Some(injector?), digests)),
    }
}

/// Reads a signal whole; also returns the digest of its stream.
fn load_signal(spec: &InjectionSpec) -> Result<(Signal, Option<u64>)> {
    let path = Path::new(&spec.path);
    let mut source = FileSource::open(path)
        .context("while opening a signal for `--inject SIGNAL.s40@FRACTION`")?;
    let columns = source.columns();
    let mut events = Block::new(columns);
    let mut block = Block::default();
    loop {
        match source.next_block(columns, &mut block)? {
            Delivery::Block => (0..block.len()).for_each(|i| events.push_event(&block, i)),
            Delivery::End => break,
            trouble => bail!(
                "signal `{}` is damaged: {trouble}\nhint: `scout40 verify` tells how much of it",
                spec.path
            ),
        }
    }
    let name = source.header().sample.clone();
    let digest = source.info().index.as_ref().map(|index| index.digest);
    Ok((Signal { name, events, fraction: spec.fraction, mode: spec.mode }, digest))
}

/// How many slots a batch waits by default: as many as have a batch of colliding ones on average, at
/// most twice as many as there are places. A crossing of a few bunches does not wait for the next.
fn default_wait_slots(batch_size: usize, scheme: &FillingScheme) -> u64 {
    let batch_size = batch_size as u64;
    let slots = batch_size * u64::from(SLOTS_PER_ORBIT);
    slots.div_ceil(scheme.n_colliding().max(1).into()).min(2 * batch_size)
}

fn reader_options(config: &RunConfig, wanted: ColumnSet, scheme: &FillingScheme) -> ReaderOptions {
    let clock = config.rate.clock();
    // Unpaced runs have no time of their own: their intervals are those of the LHC's beam.
    let of_beam = clock.unwrap_or(Rate::LHC.clock().expect("the LHC has a clock"));
    debug_assert!(clock.is_some() || of_beam.hz() == LHC_CLOCK_HZ);
    let slots_of = |duration: Duration| of_beam.slots_within(picoseconds(duration)).max(1);
    let by_orbits = config.orbits.map_or(u64::MAX, end_of_orbits);
    // An unpaced run ends by wall-clock time, which is not the reader's business.
    let by_time = clock.and(config.duration).map_or(u64::MAX, slots_of);
    // Without a clock no crossing waits, and full batches are the cheapest.
    let wait_slots = clock.map_or(u64::MAX, |_| default_wait_slots(config.batch_size, scheme));
    ReaderOptions {
        wanted,
        batch_size: config.batch_size,
        wait_slots: config.max_wait.map_or(wait_slots, slots_of),
        interval_slots: slots_of(config.interval),
        from_orbit: config.from_orbit.unwrap_or(0),
        end_slot: by_orbits.min(by_time),
        repeat: config.repeat,
        clock,
        drop_after_ps: (clock.is_some() && !config.stall).then(|| picoseconds(config.ring_depth)),
    }
}
