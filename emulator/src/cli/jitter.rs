//! `scout40 jitter`: how long this machine keeps threads from running.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use scout40_models::file::write_whole;

use super::output::{grouped, print, refuse_overwrite};
use super::parse;
use crate::affinity;
use crate::clock::Clock;
use crate::config::UsageError;
use crate::jitter::{JitterRecord, LIMITS_US, watch};

/// Measures how long this machine keeps threads from running.
///
/// One thread on each core does nothing but read the clock. What lies between two readings beyond
/// a microsecond was taken by something else: an interrupt, another thread, another tenant below
/// a virtual machine. Latencies of a run on this machine have no better tail than that.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 jitter
  scout40 jitter --duration 60s --cores 1 --json jitter.json")]
pub struct JitterArgs {
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = parse::duration)]
    duration: Duration,
    /// Cores to measure on, such as `0,1`; default: all that may be used
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    cores: Vec<usize>,
    /// Write the numbers to this file, too
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Overwrite that file
    #[arg(long)]
    force: bool,
}

pub fn run(args: &JitterArgs) -> Result<()> {
    if let Some(path) = &args.json {
        refuse_overwrite(path, args.force)?;
    }
    let allowed = affinity::allowed_cores();
    let cores = if args.cores.is_empty() { &allowed } else { &args.cores };
    if let Some(core) = cores.iter().find(|core| !allowed.contains(core)) {
        let text = format!("core {core} may not be used; those that may: {allowed:?}");
        return Err(UsageError(text).into());
    }
    let records = measure(cores, args.duration)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&records)? + "\n";
        write_whole(path, text.as_bytes(), "writing the histograms")?;
    }
    print(&table(&records))
}

/// All cores at the same time: they may share what disturbs them.
fn measure(cores: &[usize], duration: Duration) -> Result<Vec<JitterRecord>> {
    let clock = Clock::start();
    let barrier = Barrier::new(cores.len());
    let duration_ps = u64::try_from(duration.as_nanos() * 1000).unwrap_or(u64::MAX);
    std::thread::scope(|scope| {
        let (clock, barrier) = (&clock, &barrier);
        let start = |&core: &usize| {
            scope.spawn(move || {
                let pinned = affinity::pin_to(&[core]);
                barrier.wait();
                pinned.map(|()| watch(|| clock.now_ps(), duration_ps, || true).record_of(core))
            })
        };
        let threads: Vec<_> = cores.iter().map(start).collect();
        let join = |(thread, core): (std::thread::ScopedJoinHandle<'_, _>, &usize)| {
            let record: Result<JitterRecord, String> =
                thread.join().unwrap_or_else(|_| Err("the thread ended early".into()));
            record.map_err(|error| anyhow::anyhow!("while measuring on core {core}: {error}"))
        };
        threads.into_iter().zip(cores).map(join).collect()
    })
}

fn table(records: &[JitterRecord]) -> String {
    let mut text = format!(
        "{:<6}{:>16}{:>10}{:>12}{:>12}{:>14}",
        "core", "readings", "p50 [ns]", "p99.99 [ns]", "max [us]", "stalled [%]"
    );
    // Writing to a string cannot fail.
    LIMITS_US.iter().for_each(|limit| _ = write!(text, "{:>12}", format!(">= {limit} us")));
    text.push('\n');
    for record in records {
        let [p50, p9999, _, max] = record.gap_ns;
        let _ = write!(
            text,
            "{:<6}{:>16}{p50:>10}{p9999:>12}{:>12.1}{:>14.4}",
            record.core,
            grouped(record.readings),
            max as f64 / 1000.0,
            100.0 * record.stalled_share
        );
        record.counts.iter().for_each(|&count| _ = write!(text, "{:>12}", grouped(count)));
        text.push('\n');
    }
    text
}
