//! `summary.json`: what a run was, what it did, and on which machine.
//!
//! The keys `counts`, `sustained_mhz`, `latency_ns`, `lines` and `signals` are stable. Rates are
//! those of the background, quoted for the colliding slots of the filling scheme at the LHC's
//! orbit frequency, with Poisson intervals at 68.27 %.

use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use scout40_models::{Evaluation, Isa};
use scout40_replay::inject::{InjectionSpec, Signal};
use scout40_studies::rate::{efficiency, rate_khz};
use serde::Serialize;

use crate::affinity::allowed_cores;
use crate::calibrate::Calibration;
use crate::collector::{Collector, LineTally};
use crate::config::{Keep, RunConfig, RunPlan};
use crate::counters::{Counts, Trouble};
use crate::models::LoadedModel;
use crate::network::NetworkSummary;
use crate::trigger::{Line, Rule};

/// Quantiles of a latency in ns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub p9999: u64,
    pub max: u64,
    pub count: u64,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Option<Quantiles> {
        let at = |q| histogram.value_at_quantile(q);
        (!histogram.is_empty()).then(|| Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max(),
            count: histogram.len(),
        })
    }
}

/// The three latencies; total and queueing are null in unpaced runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencySummary {
    /// Decided − due.
    pub total: Option<Quantiles>,
    /// Scoring started − due.
    pub queueing: Option<Quantiles>,
    /// Decided − scoring started.
    pub service: Option<Quantiles>,
}

/// One line of the menu.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineSummary {
    /// Its name.
    pub name: String,
    /// How it decides, for people.
    pub rule: String,
    /// Name of the model that scores; null for cuts.
    pub model: Option<String>,
    /// Threshold in display units; null for cuts.
    pub threshold: Option<f64>,
    /// Threshold in the model's integers; null for cuts.
    pub threshold_raw: Option<i32>,
    /// Keeps one in so many.
    pub prescale: u32,
    /// Background crossings selected before the prescale.
    pub selected: u64,
    /// Background crossings accepted.
    pub accepted: u64,
    /// Signal crossings accepted.
    pub accepted_signal: u64,
    /// Background rate.
    pub rate_khz: f64,
    /// Lower end of its interval.
    pub rate_khz_low: f64,
    /// Upper end of its interval.
    pub rate_khz_high: f64,
    /// Background crossings that this line alone accepted.
    pub pure: u64,
    /// Their rate.
    pub pure_rate_khz: f64,
    /// Lower end of its interval.
    pub pure_rate_khz_low: f64,
    /// Upper end of its interval.
    pub pure_rate_khz_high: f64,
}

/// What two lines accepted together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverlapSummary {
    /// Their names, in the order of `lines`.
    pub lines: [String; 2],
    /// Background crossings that both accepted.
    pub both: u64,
    /// Their rate.
    pub rate_khz: f64,
    /// Lower end of its interval.
    pub rate_khz_low: f64,
    /// Upper end of its interval.
    pub rate_khz_high: f64,
}

/// A model of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSummary {
    /// What lines of the menu call it.
    pub name: String,
    /// Its file as given.
    pub path: String,
    /// What its rows consist of.
    pub features: String,
    /// Identity of its content.
    pub digest: String,
    /// How it was evaluated: the plan.
    pub plan: &'static str,
    /// The instruction set.
    pub isa: &'static str,
}

/// One injected signal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalSummary {
    /// Name of the process.
    pub name: String,
    /// Crossings that it was put into.
    pub injected: u64,
    /// Of those, scored.
    pub scored: u64,
    /// Of those, accepted by any line.
    pub accepted: u64,
    /// accepted / scored.
    pub efficiency: f64,
    /// Lower end of its Clopper–Pearson interval.
    pub efficiency_low: f64,
    /// Upper end of its interval.
    pub efficiency_high: f64,
    /// Accepted by each line, in the order of `lines`.
    pub accepted_by_line: Vec<u64>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its processor.
    pub cpu: String,
    /// Cores that the run could use.
    pub cores_allowed: Vec<usize>,
    /// Core of reader and collector.
    pub core_reader: usize,
    /// Cores of the threads that decode.
    pub cores_decoders: Vec<usize>,
    /// Cores of the workers.
    pub cores_workers: Vec<usize>,
    /// Best instruction set that it has.
    pub isa: &'static str,
}

/// How the model was evaluated: changes no score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationSummary {
    /// `compiled`, `sliced` or `walk`.
    pub plan: &'static str,
    /// Instruction set.
    pub isa: &'static str,
}

/// A file that the run read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputSummary {
    /// Its path as given.
    pub path: String,
    /// What it calls itself.
    pub name: String,
    /// Identity of its content.
    pub digest: Option<String>,
}

/// What a run was and did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Version of scout40.
    pub version: &'static str,
    /// Crossings by what became of them.
    pub counts: Counts,
    /// Trouble that is not a loss.
    pub trouble: Trouble,
    /// What came over the network; null if nothing should.
    pub network: Option<NetworkSummary>,
    /// No batch was dropped, and none was late because the reader or the source was.
    pub at_line_rate: bool,
    /// Crossings scored per µs of the run.
    pub sustained_mhz: f64,
    /// From the start to the last batch that was decided or dropped.
    pub elapsed_s: f64,
    /// Latency per event in ns.
    pub latency_ns: LatencySummary,
    /// The lines of the menu.
    pub lines: Vec<LineSummary>,
    /// What each pair of lines accepted together.
    pub overlaps: Vec<OverlapSummary>,
    /// The injected signals.
    pub signals: Vec<SignalSummary>,
    /// Background crossings scored.
    pub scored_background: u64,
    /// Rate of colliding crossings that rates are quoted for.
    pub collision_rate_mhz: f64,
    /// The stream.
    pub stream: InputSummary,
    /// The first model.
    pub model: Option<InputSummary>,
    /// How it was evaluated.
    pub evaluation: Option<EvaluationSummary>,
    /// All models.
    pub models: Vec<ModelSummary>,
    /// The injected signals' streams.
    pub signal_streams: Vec<InputSummary>,
    /// The background that thresholds were calibrated with.
    pub calibration_stream: Option<String>,
    /// The menu file.
    pub menu: Option<String>,
    /// What `--target-rate` came to.
    pub calibrations: Vec<Calibration>,
    /// What the user was told.
    pub warnings: Vec<String>,
    /// The configuration.
    pub config: ConfigSummary,
    /// Seed of the injection.
    pub rng_seed: u64,
    /// The command line.
    pub command: Vec<String>,
    /// The machine.
    pub host: Host,
    /// Seconds since 1970 when the summary was made.
    pub finished_unix_s: u64,
}

/// The configuration as it was used, defaults included.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigSummary {
    pub rate: String,
    pub filling_scheme: String,
    pub colliding_slots: u32,
    pub duration_s: Option<f64>,
    pub orbits: Option<u64>,
    pub from_orbit: Option<u32>,
    pub repeat: bool,
    pub on_overload: &'static str,
    pub ring_depth_us: f64,
    pub batch_size: usize,
    pub max_wait_us: Option<f64>,
    pub interval_s: f64,
    pub inject: Vec<String>,
    pub keep: &'static str,
    pub features: Option<Vec<String>>,
}

/// What the pipeline knows at the end.
pub struct Account {
    /// Crossings by what became of them.
    pub counts: Counts,
    /// Trouble that is not a loss.
    pub trouble: Trouble,
    /// From the start to the last decision or arrival.
    pub elapsed_s: f64,
}

impl RunSummary {
    /// The summary of a run that has ended.
    #[must_use]
    pub fn new(plan: &RunPlan, collector: &Collector<'_>, account: Account) -> RunSummary {
        let Account { counts, trouble, elapsed_s } = account;
        let latencies = collector.latency.whole();
        RunSummary {
            version: env!("CARGO_PKG_VERSION"),
            network: plan.network.as_ref().map(|counters| counters.summary()),
            at_line_rate: counts.dropped == 0
                && trouble.starved_batches == 0
                && trouble.source_gaps == 0,
            sustained_mhz: if elapsed_s > 0.0 {
                counts.scored as f64 / elapsed_s / 1e6
            } else {
                0.0
            },
            elapsed_s,
            latency_ns: LatencySummary {
                total: Quantiles::of(&latencies.total),
                queueing: Quantiles::of(&latencies.queueing),
                service: Quantiles::of(&latencies.service),
            },
            lines: lines(plan, collector),
            overlaps: overlaps(plan, collector),
            signals: signals(plan, collector),
            scored_background: collector.scored_background,
            collision_rate_mhz: plan.rate_scheme.collision_rate_hz() / 1e6,
            stream: InputSummary {
                path: plan.config.source.to_string(),
                name: plan.header.sample.clone(),
                digest: plan.facts.digest.map(|digest| format!("{digest:016x}")),
            },
            models: plan.models.iter().map(model_summary).collect(),
            model: plan.models.first().map(|loaded| InputSummary {
                path: loaded.path.display().to_string(),
                name: loaded.model.spec().to_string(),
                digest: Some(format!("{:016x}", loaded.model.digest())),
            }),
            evaluation: plan.models.first().map(|loaded| {
                let Evaluation { plan, isa } = loaded.scorer.evaluation();
                EvaluationSummary { plan, isa }
            }),
            signal_streams: signal_streams(plan),
            calibration_stream: plan.config.calibrate.as_ref().map(|p| p.display().to_string()),
            menu: plan.config.menu.as_ref().map(|p| p.display().to_string()),
            calibrations: plan.calibrations.clone(),
            warnings: plan.warnings.clone(),
            config: config_summary(&plan.config, plan),
            rng_seed: plan.config.rng_seed,
            command: std::env::args().collect(),
            host: host(plan),
            finished_unix_s: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            counts,
            trouble,
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("while writing the summary")?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("while writing `{}`", path.display()))
    }
}

fn model_summary(loaded: &LoadedModel) -> ModelSummary {
    let Evaluation { plan, isa } = loaded.scorer.evaluation();
    ModelSummary {
        name: loaded.name.clone(),
        path: loaded.path.display().to_string(),
        features: loaded.model.spec().to_string(),
        digest: format!("{:016x}", loaded.model.digest()),
        plan,
        isa,
    }
}

fn signal_streams(plan: &RunPlan) -> Vec<InputSummary> {
    let signals = plan.signal_names().into_iter().zip(&plan.signal_digests);
    let input = |((name, digest), spec): ((String, &Option<u64>), &InjectionSpec)| InputSummary {
        path: spec.path.clone(),
        name,
        digest: digest.map(|digest| format!("{digest:016x}")),
    };
    signals.zip(&plan.config.injections).map(input).collect()
}

fn lines(plan: &RunPlan, collector: &Collector<'_>) -> Vec<LineSummary> {
    let collision_rate_hz = plan.rate_scheme.collision_rate_hz();
    let overlaps = &collector.overlaps;
    let rate_of = |accepted| {
        let (scored, distinct) = (collector.scored_background, plan.distinct_crossings());
        rate_khz(accepted, scored, distinct, collision_rate_hz)
    };
    let summary = |(number, (line, tally)): (usize, (&Line, &LineTally))| {
        let (threshold, threshold_raw) = match line.rule {
            Rule::Score { raw, display, .. } => (Some(display), Some(raw)),
            Rule::Cut(_) => (None, None),
        };
        let model = match line.rule {
            Rule::Score { model, .. } => Some(plan.models[model].name.clone()),
            Rule::Cut(_) => None,
        };
        let rate = rate_of(tally.accepted);
        let pure = rate_of(overlaps.pure(number));
        LineSummary {
            name: line.name.clone(),
            rule: line.describe(),
            model,
            threshold,
            threshold_raw,
            prescale: line.prescale.get(),
            selected: tally.selected,
            accepted: tally.accepted,
            accepted_signal: tally.accepted_signal,
            rate_khz: rate.value,
            rate_khz_low: rate.low,
            rate_khz_high: rate.high,
            pure: overlaps.pure(number),
            pure_rate_khz: pure.value,
            pure_rate_khz_low: pure.low,
            pure_rate_khz_high: pure.high,
        }
    };
    plan.menu.lines().iter().zip(&collector.lines).enumerate().map(summary).collect()
}

/// Each pair of lines once.
fn overlaps(plan: &RunPlan, collector: &Collector<'_>) -> Vec<OverlapSummary> {
    let lines = plan.menu.lines();
    let pair = |a: usize, b: usize| {
        let both = collector.overlaps.both(a, b);
        let (scored, distinct) = (collector.scored_background, plan.distinct_crossings());
        let rate = rate_khz(both, scored, distinct, plan.rate_scheme.collision_rate_hz());
        OverlapSummary {
            lines: [lines[a].name.clone(), lines[b].name.clone()],
            both,
            rate_khz: rate.value,
            rate_khz_low: rate.low,
            rate_khz_high: rate.high,
        }
    };
    let n = lines.len();
    (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).map(|(a, b)| pair(a, b)).collect()
}

fn signals(plan: &RunPlan, collector: &Collector<'_>) -> Vec<SignalSummary> {
    let injected = plan.injector.iter().flat_map(|injector| injector.signals());
    let summary = |(signal, tally): (&Signal, &crate::collector::SignalTally)| {
        let distinct = signal.events.len() as u64;
        let efficiency = efficiency(tally.accepted, tally.scored, distinct);
        SignalSummary {
            name: signal.name.clone(),
            injected: tally.injected,
            scored: tally.scored,
            accepted: tally.accepted,
            efficiency: efficiency.value,
            efficiency_low: efficiency.low,
            efficiency_high: efficiency.high,
            accepted_by_line: tally.accepted_by_line.clone(),
        }
    };
    injected.zip(&collector.signals).map(summary).collect()
}

fn config_summary(config: &RunConfig, plan: &RunPlan) -> ConfigSummary {
    ConfigSummary {
        rate: match config.rate.clock() {
            Some(clock) => format!("{} MHz", clock.hz() as f64 / 1e6),
            None => "max".into(),
        },
        filling_scheme: config.scheme.to_string(),
        colliding_slots: plan.rate_scheme.n_colliding(),
        duration_s: config.duration.map(|d| d.as_secs_f64()),
        orbits: config.orbits,
        from_orbit: config.from_orbit,
        repeat: config.repeat,
        on_overload: if config.stall { "stall" } else { "drop" },
        ring_depth_us: config.ring_depth.as_secs_f64() * 1e6,
        batch_size: config.batch_size,
        max_wait_us: config.max_wait.map(|d| d.as_secs_f64() * 1e6),
        interval_s: config.interval.as_secs_f64(),
        inject: config
            .injections
            .iter()
            .map(|spec| format!("{}@{}:{:?}", spec.path, spec.fraction, spec.mode))
            .collect(),
        keep: match config.keep {
            Keep::Needed => "needed",
            Keep::All => "all",
        },
        features: plan.models.first().map(|loaded| loaded.model.spec().names()),
    }
}

fn host(plan: &RunPlan) -> Host {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model_name = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    Host {
        name: host_name(),
        cpu: model_name
            .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']))
            .to_owned(),
        cores_allowed: allowed_cores(),
        core_reader: plan.placement.reader,
        cores_decoders: plan.placement.decoders.clone(),
        cores_workers: plan.placement.workers.clone(),
        isa: Isa::best().name(),
    }
}

#[cfg(unix)]
fn host_name() -> String {
    nix::unistd::gethostname().map_or("unknown".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(not(unix))]
fn host_name() -> String {
    "unknown".into()
}
