//! `scout40 run`: the main job.

use std::io::{IsTerminal, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use scout40_replay::inject::InjectionSpec;
use scout40_replay::pacing::Rate;

use super::engine::EngineArgs;
use super::output::print;
use super::parse;
use crate::config::{Keep, PreparedRun, RunConfig, SchemeChoice};
use crate::network::{Framing, NetworkOptions};
use crate::pipeline::{Progress, execute};
use crate::sink::{RunFolder, render};
use crate::source::SourceSpec;
use crate::trigger::Threshold;

/// Replays a stream against the clock, scores and decides every event, measures latency and rate.
///
/// Ctrl-C ends a run early: what has been decided is written as at any other end.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # 10 s at the LHC's rate, one signal in a thousand crossings, 1 kHz of background
  scout40 run zb.s40 --model forest.model --inject h4b.s40@0.001 \\
      --target-rate 1kHz --calibrate other-zb.s40 --repeat --duration 10s
  # 40 MHz in every slot
  scout40 run zb.s40 --model forest.model --threshold 0.55 --filling-scheme all --repeat --duration 1min
  # for hours, without a file: a million generated events again and again, in ever new crossings
  scout40 run --source generator:pile-up=60,seed=1 --model forest.model --threshold 0.55 --duration 2h
  # the trigger's network beside a model of ours: rates, overlaps and efficiencies of each line
  scout40 run zb.s40 --model axo-v5.model --model forest.model --inject h4b.s40@0.001 \\
      --target-rate 1kHz --calibrate other-zb.s40 --repeat --duration 10s
  # lossless and repeatable: the same accepted.s40 on every machine
  scout40 run zb.s40 --model forest.model --menu menu.toml --rate max
  # from the network: `scout40 serve zb.s40 --listen 127.0.0.1:4040 --repeat` sends
  scout40 run --source tcp://127.0.0.1:4040 --model forest.model --threshold 0.55 --duration 10s")]
pub struct RunArgs {
    /// The stream to replay
    #[arg(required_unless_present = "source", conflicts_with = "source")]
    stream: Option<PathBuf>,
    /// Where events come from instead: a file; `tcp://HOST:PORT[,HOST:PORT...]`, the connections of
    /// one `scout40 serve`, which share its blocks; or `generator`, which makes zero-bias-like events
    /// for as long as the run lasts: `generator:pile-up=60,seed=1,pool=1000000`
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceSpec>,
    /// A model that scores; repeatable: several score the same stream, and lines of the menu name theirs
    #[arg(long, value_name = "M.model")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// A menu of trigger lines (TOML)
    #[arg(long, value_name = "MENU.toml")]
    menu: Option<PathBuf>,
    /// A line: accept if the score is at least this, in display units or `raw:N`; repeatable
    #[arg(long, value_name = "X|raw:N", allow_hyphen_values = true)]
    threshold: Vec<Threshold>,
    /// A line by its background rate, such as `1kHz`; repeatable, needs `--calibrate`
    #[arg(long, value_parser = parse::frequency, value_name = "RATE")]
    target_rate: Vec<f64>,
    /// Background stream that turns target rates into thresholds
    #[arg(long, value_name = "BACKGROUND.s40")]
    calibrate: Option<PathBuf>,
    /// Keep one in N crossings of the lines given by `--threshold` and `--target-rate`
    #[arg(long, default_value = "1", value_name = "N")]
    prescale: NonZeroU32,
    /// Put signal into a fraction of the crossings; `:overlay` adds it to the recorded event
    #[arg(long, value_name = "SIGNAL.s40@FRACTION[:overlay]")]
    inject: Vec<InjectionSpec>,
    /// Seed of the injection
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Slot clock: `lhc` (40.079 MHz), a frequency such as `10MHz`, or `max` (none)
    #[arg(long, default_value = "lhc")]
    rate: Rate,
    /// Which slots collide: `lhc` (2748), `all`, `single`, `recorded`, or a TOML file
    #[arg(long, default_value = "lhc", value_name = "SCHEME")]
    filling_scheme: SchemeChoice,
    /// End after this time, such as `10s`
    #[arg(long, value_parser = parse::duration)]
    duration: Option<Duration>,
    /// End after this many orbits
    #[arg(long)]
    orbits: Option<u64>,
    /// Begin with the first crossing of this orbit of the file, or of the first orbit after it
    #[arg(long)]
    from_orbit: Option<u32>,
    /// Begin again with the whole stream when it ends (also after `--from-orbit`), with orbit
    /// numbers running on
    #[arg(long)]
    repeat: bool,
    /// When a batch is too late: `drop` it, or `stall` until it is done
    #[arg(long, default_value = "drop")]
    on_overload: OnOverload,
    /// Lateness at which the arrival ring has been overwritten
    #[arg(long, default_value = "1ms", value_parser = parse::duration, value_name = "TIME")]
    ring_depth: Duration,
    /// Most crossings in a batch: a multiple of 64 up to 512
    #[arg(long, default_value_t = 512, value_name = "N")]
    batch_size: usize,
    /// Longest that a crossing waits for its batch to fill; default: batch size × slot period × slots
    /// per colliding slot, the latter at most 2; until it is full with `--rate max`
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    max_wait: Option<Duration>,
    /// Cores, such as `0,1`: the first reads and collects, those after it decode (`--readers`), the
    /// others score; default: all
    #[arg(long, value_delimiter = ',', value_name = "CORE,...")]
    cores: Option<Vec<usize>>,
    /// Number of scoring threads; default: one per core but the first
    #[arg(long)]
    workers: Option<usize>,
    /// Threads that decode, when one core is not enough for that and filling rows; 1: none but the
    /// reader. Changes no result
    #[arg(long, default_value_t = 1, value_name = "N")]
    readers: usize,
    /// What comes over the network
    #[arg(long, default_value = "s40")]
    framing: Framing,
    /// A sender that sends nothing for so long is taken for dead, and one that cannot be reached for so
    /// long is given up
    #[arg(long, default_value = "10s", value_parser = parse::duration, value_name = "TIME")]
    network_timeout: Duration,
    /// Most MiB received from the network that wait for the reader
    #[arg(long, default_value_t = 64, value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    network_buffer: u32,
    /// Length of a reporting interval
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "TIME")]
    interval: Duration,
    /// Columns of accepted events: what was `needed`, or `all` that the stream has
    #[arg(long, default_value = "needed")]
    keep: KeepArg,
    /// Folder for the outputs, must not exist; default: a new one under `runs/`
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the summary as JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum OnOverload {
    Drop,
    Stall,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum KeepArg {
    Needed,
    All,
}

impl From<RunArgs> for RunConfig {
    fn from(args: RunArgs) -> RunConfig {
        RunConfig {
            source: args
                .source
                .or(args.stream.map(SourceSpec::File))
                .expect("the command line demands one of them"),
            models: args.model,
            engine: args.engine.into(),
            menu: args.menu,
            thresholds: args.threshold,
            target_rates_hz: args.target_rate,
            calibrate: args.calibrate,
            prescale: args.prescale,
            injections: args.inject,
            rng_seed: args.seed,
            rate: args.rate,
            scheme: args.filling_scheme,
            duration: args.duration,
            orbits: args.orbits,
            from_orbit: args.from_orbit,
            repeat: args.repeat,
            stall: args.on_overload == OnOverload::Stall,
            ring_depth: args.ring_depth,
            batch_size: args.batch_size,
            max_wait: args.max_wait,
            cores: args.cores,
            workers: args.workers,
            readers: args.readers,
            network: NetworkOptions {
                framing: args.framing,
                timeout: args.network_timeout,
                buffer_bytes: (args.network_buffer as usize) << 20,
            },
            interval: args.interval,
            keep: match args.keep {
                KeepArg::Needed => Keep::Needed,
                KeepArg::All => Keep::All,
            },
        }
    }
}

pub fn run(args: RunArgs) -> Result<()> {
    let (out, json) = (args.out.clone(), args.json);
    let prepared = PreparedRun::new(args.into())?;
    for warning in &prepared.plan.warnings {
        eprintln!("warning: {warning}");
    }
    if let (None, Some(leftovers)) = (&out, RunFolder::leftovers()) {
        eprintln!("warning: {leftovers}");
    }
    let folder = RunFolder::create(out.as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    let handle = Arc::clone(&stop);
    // Relaxed: the flag carries nothing but itself.
    ctrlc::set_handler(move || handle.store(true, Ordering::Relaxed))
        .context("while preparing for Ctrl-C")?;
    let mut line = ProgressLine { shown: false, is_terminal: std::io::stderr().is_terminal() };
    let summary = execute(prepared, Some(&folder), &stop, &mut |progress| line.show(progress));
    line.clear();
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => {
            folder.discard();
            return Err(error);
        }
    };
    let path = folder.finish()?;
    if json {
        return print(&(serde_json::to_string_pretty(&summary)? + "\n"));
    }
    print(&render(&summary))?;
    print(&format!("written    {}\n", path.display()))
}

/// The line that shows how far a run is; nothing where stderr is no terminal.
struct ProgressLine {
    shown: bool,
    is_terminal: bool,
}

impl ProgressLine {
    fn show(&mut self, progress: Progress) {
        if !self.is_terminal {
            return;
        }
        self.shown = true;
        let Progress { elapsed_s, scored, accepted, dropped, starved_batches } = progress;
        let mhz = if elapsed_s > 0.0 { scored as f64 / elapsed_s / 1e6 } else { 0.0 };
        let mut err = std::io::stderr().lock();
        // A terminal that is gone is no reason to end a run.
        let _ = write!(
            err,
            "\r{elapsed_s:7.1} s  {mhz:7.3} MHz scored  {accepted} accepted  {dropped} dropped  \
             {starved_batches} starved\x1b[K"
        );
        let _ = err.flush();
    }

    fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
