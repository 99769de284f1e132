//! Whole runs through `scout40::pipeline::execute`, for the scenarios in `scenarios.toml`.
//!
//! With `--record DIR` the table is also written to `DIR/whole_run.txt`, under a description of
//! the machine; with `--only NAME` one scenario is run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use scout40::config::{Engine, Keep, PreparedRun, RunConfig};
use scout40::network::NetworkOptions;
use scout40::pipeline::execute;
use scout40::sink::RunSummary;
use scout40_benches::{SMOKE_ORBITS, fixture, is_smoke, report};
use scout40_replay::inject::InjectionSpec;
use scout40_replay::pacing::Rate;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenarios {
    scenario: Vec<Scenario>,
}

/// One run, as the file describes it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    stream: String,
    model: Option<String>,
    menu: Option<String>,
    threshold: Option<String>,
    #[serde(default)]
    inject: Vec<String>,
    rate: String,
    filling_scheme: String,
    batch_size: usize,
    duration_s: Option<f64>,
    orbits: Option<u64>,
    #[serde(default)]
    overload: Overload,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Overload {
    #[default]
    Drop,
    Stall,
}

impl Scenario {
    fn config(&self) -> Result<RunConfig> {
        let refused = |problem: String| anyhow!(problem);
        let injection = |text: &String| -> Result<InjectionSpec> {
            let mut spec: InjectionSpec = text.parse().map_err(refused)?;
            spec.path = fixture(&spec.path).display().to_string();
            Ok(spec)
        };
        let (duration_s, orbits) = match is_smoke() {
            true => (None, Some(SMOKE_ORBITS as u64)),
            false => (self.duration_s, self.orbits),
        };
        Ok(RunConfig {
            source: fixture(&self.stream).into(),
            models: self.model.as_deref().map(fixture).into_iter().collect(),
            engine: Engine::default(),
            menu: self.menu.as_deref().map(|m| Path::new(env!("CARGO_MANIFEST_DIR")).join(m)),
            thresholds: self
                .threshold
                .iter()
                .map(|t| t.parse().map_err(refused))
                .collect::<Result<_>>()?,
            target_rates_hz: Vec::new(),
            calibrate: None,
            prescale: NonZeroU32::MIN,
            injections: self.inject.iter().map(injection).collect::<Result<_>>()?,
            rng_seed: 1,
            rate: self.rate.parse().map_err(refused)?,
            scheme: self.filling_scheme.parse()?,
            duration: duration_s.map(Duration::from_secs_f64),
            orbits,
            from_orbit: None,
            repeat: true,
            stall: self.overload == Overload::Stall,
            ring_depth: Duration::from_millis(1),
            batch_size: self.batch_size,
            max_wait: None,
            cores: None,
            workers: None,
            readers: 1,
            network: NetworkOptions::default(),
            interval: Duration::from_secs(1),
            keep: Keep::Needed,
        })
    }

    /// What determines the accepted crossings of an unpaced run.
    fn determinants(&self) -> String {
        let Scenario { stream, model, menu, threshold, inject, filling_scheme, orbits, .. } = self;
        format!("{stream} {model:?} {menu:?} {threshold:?} {inject:?} {filling_scheme} {orbits:?}")
    }

    /// Runs it in a thread of its own: the thread that a run is started from stays pinned to the
    /// first core, and the next run could use no other.
    fn run_in_thread(&self) -> Result<RunSummary> {
        std::thread::scope(|scope| {
            scope.spawn(|| self.run()).join().map_err(|_| anyhow!("the run panicked"))?
        })
    }

    fn run(&self) -> Result<RunSummary> {
        let config = self.config()?;
        let rate = config.rate;
        let run = PreparedRun::new(config)?;
        for warning in &run.plan.warnings {
            println!("{}: warning: {warning}", self.name);
        }
        let summary = execute(run, None, &AtomicBool::new(false), &mut |_| ())?;
        let counts = &summary.counts;
        ensure!(counts.is_conserved() && counts.read > 0, "crossings are unaccounted for");
        if rate == Rate::Max {
            ensure!(counts.scored == counts.read, "an unpaced run scores every crossing");
        }
        for signal in &summary.signals {
            ensure!(signal.injected > 0, "signal {} is missing", signal.name);
        }
        Ok(summary)
    }
}

fn head() -> String {
    let latencies = ["p50", "p99", "p99.9", "max"].map(|q| format!("{q:>9}")).join("");
    format!(
        "{:<16} {:>9} {:>8} {:>11} {:>11} {:>8} {:>9} |{:^36}|{:^36}\n\
         {:<16} {:>9} {:>8} {:>11} {:>11} {:>8} {:>9} |{latencies}|{latencies}",
        "",
        "sustained",
        "scored",
        "",
        "",
        "starved",
        "",
        "total (µs)",
        "service (µs)",
        "scenario",
        "MHz",
        "%",
        "read",
        "dropped",
        "batches",
        "accepted"
    )
}

fn line(name: &str, summary: &RunSummary) -> String {
    let counts = &summary.counts;
    let mut line = format!(
        "{name:<16} {:>9.3} {:>8.3} {:>11} {:>11} {:>8} {:>9} ",
        summary.sustained_mhz,
        100.0 * counts.scored as f64 / counts.read as f64,
        counts.read,
        counts.dropped,
        summary.trouble.starved_batches,
        counts.accepted
    );
    for quantiles in [&summary.latency_ns.total, &summary.latency_ns.service] {
        line.push('|');
        match quantiles {
            Some(q) => [q.p50, q.p99, q.p999, q.max].into_iter().for_each(|ns| {
                // Writing to a string cannot fail.
                let _ = write!(line, "{:>9.2}", ns as f64 / 1000.0);
            }),
            None => line += &format!("{:^36}", "-"),
        }
    }
    line
}

fn main() -> Result<()> {
    let text = include_str!("../scenarios.toml");
    let Scenarios { scenario: mut scenarios } =
        toml::from_str(text).context("while reading scenarios.toml")?;
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        let name = arguments.get(at + 1).context("expected a name after `--only`")?;
        scenarios.retain(|scenario| &scenario.name == name);
        ensure!(!scenarios.is_empty(), "no scenario `{name}` in scenarios.toml");
    }
    let (mut table, mut accepted) = (head(), BTreeMap::new());
    for scenario in &scenarios {
        let summary =
            scenario.run_in_thread().with_context(|| format!("in scenario {}", scenario.name))?;
        if scenario.rate == "max" {
            let counts = (summary.counts.scored, summary.counts.accepted);
            let first = *accepted.entry(scenario.determinants()).or_insert(counts);
            ensure!(first == counts, "{}: found {counts:?}, not {first:?}", scenario.name);
        }
        table += &format!("\n{}", line(&scenario.name, &summary));
    }
    report("whole_run", &table);
    Ok(())
}
