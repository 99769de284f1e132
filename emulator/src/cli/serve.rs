//! `scout40 serve`: sends a stream over TCP.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use scout40_replay::pacing::Rate;
use scout40_replay::source::FileSource;

use super::output::print;
use super::parse;
use crate::config::UsageError;
use crate::network::{ConnectionReport, Framing, Overflow, ServeOptions, Server, ServerStop};

/// Sends a stream over TCP, to every client that asks, at the chosen pace.
///
/// Clients are `scout40 run --source tcp://HOST:PORT`; each gets the stream from its beginning. The
/// protocol is described in docs/network.md. There is no encryption and nobody is asked who they
/// are: listen on loopback, or where you trust everybody. Ctrl-C ends it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 serve zb.s40 --listen 127.0.0.1:4040 --repeat
  # as fast as the client takes it, once, over any free port
  scout40 serve zb.s40 --listen 127.0.0.1:0 --rate max --once
  # four ports for the four connections of one client
  scout40 serve zb.s40 --listen 127.0.0.1:4040 --connections 4 --rate max")]
pub struct ServeArgs {
    /// The stream to send
    stream: PathBuf,
    /// Where to listen; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:4040", value_name = "HOST:PORT")]
    listen: String,
    /// Allow an address that other machines can reach
    #[arg(long)]
    allow_remote: bool,
    /// Slot clock: `lhc` (40.079 MHz), a frequency such as `10MHz`, or `max` (none)
    #[arg(long, default_value = "lhc")]
    rate: Rate,
    /// What goes over the line
    #[arg(long, default_value = "s40")]
    framing: Framing,
    /// Ports to listen at, one after another, for the connections of one client. With `dth256` each
    /// carries the orbits whose number is its own modulo N; with `s40` clients say what they want
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Begin again when the stream ends, with orbit numbers running on
    #[arg(long)]
    repeat: bool,
    /// What to do when a client is too slow for the clock: `drop` blocks, or `stall`
    #[arg(long, default_value = "drop")]
    on_overload: OnOverload,
    /// Lateness at which blocks are dropped
    #[arg(long, default_value = "100ms", value_parser = parse::duration, value_name = "TIME")]
    depth: Duration,
    /// A client that takes nothing for so long is disconnected
    #[arg(long, default_value = "10s", value_parser = parse::duration, value_name = "TIME")]
    timeout: Duration,
    /// End when as many connections as `--connections` says have had their share; with `--repeat`,
    /// when they have gone
    #[arg(long)]
    once: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum OnOverload {
    Drop,
    Stall,
}

pub fn run(args: &ServeArgs) -> Result<()> {
    let listen = addresses(args)?;
    let source = FileSource::open(&args.stream)?;
    let options = ServeOptions {
        listen,
        rate: args.rate,
        framing: args.framing,
        overflow: match args.on_overload {
            OnOverload::Drop => Overflow::DropAfter(args.depth),
            OnOverload::Stall => Overflow::Stall,
        },
        repeat: args.repeat,
        timeout: args.timeout,
        until_served: args.once.then_some(args.connections.into()),
    };
    let server = Server::bind(source, &options)?;
    let listening: Vec<String> =
        server.addresses()?.iter().map(|address| address.to_string()).collect();
    print(&format!("listening  tcp://{}\n", listening.join(",")))?;
    let stop = ServerStop::default();
    let handle = stop.clone();
    ctrlc::set_handler(move || handle.stop()).context("while preparing for Ctrl-C")?;
    print(&heading())?;
    server.run(&stop, |report| {
        // A terminal that is gone is no reason to stop serving.
        let _ = print(&row(&report));
        let _ = std::io::stdout().flush();
    })
}

/// Where to listen: so many ports from the one given on, or so many free ones.
fn addresses(args: &ServeArgs) -> Result<Vec<SocketAddr>> {
    let usage = |text: String| UsageError(text);
    let first = args.listen.to_socket_addrs().ok().and_then(|mut found| found.next());
    let first = first.ok_or_else(|| {
        usage(format!("expected `HOST:PORT` in `--listen`, found `{}`", args.listen))
    })?;
    if !first.ip().is_loopback() {
        if !args.allow_remote {
            return Err(usage(format!(
                "`{}` can be reached from other machines, and nobody is asked who they are\n\
                 hint: `--allow-remote`, where you trust everybody who can reach it",
                args.listen
            ))
            .into());
        }
        eprintln!(
            "warning: `{}` can be reached from other machines: no encryption, no password",
            args.listen
        );
    }
    let port = |k: u16| match first.port() {
        0 => Some(0),
        port => port.checked_add(k),
    };
    let ports: Option<Vec<u16>> = (0..args.connections).map(port).collect();
    let ports = ports.ok_or_else(|| {
        usage(format!("there are no {} ports from {} on", args.connections, first.port()))
    })?;
    Ok(ports.into_iter().map(|port| SocketAddr::new(first.ip(), port)).collect())
}

fn heading() -> String {
    format!(
        "{:<22} {:>7} {:>10} {:>12} {:>14} {:>12} {:>9} {:>8} {:>10}  end\n",
        "client", "share", "MB", "MB/s", "crossings", "dropped", "MHz", "stalls", "stalled ms"
    )
}

fn row(report: &ConnectionReport) -> String {
    let seconds = report.elapsed_us as f64 * 1e-6;
    let per_s = |n: u64| if seconds > 0.0 { n as f64 / seconds / 1e6 } else { 0.0 };
    let (k, n) = report.share;
    format!(
        "{:<22} {:>7} {:>10.1} {:>12.1} {:>14} {:>12} {:>9.3} {:>8} {:>10.1}  {}\n",
        report.peer,
        if n == 0 { "-".into() } else { format!("{}/{n}", k + 1) },
        report.bytes as f64 / 1e6,
        per_s(report.bytes),
        report.crossings,
        report.dropped_crossings,
        per_s(report.crossings),
        report.stalls,
        report.stalled_us as f64 / 1e3,
        ending(report)
    )
}

fn ending(report: &ConnectionReport) -> String {
    let ended = if report.problem.is_empty() { "complete" } else { &report.problem };
    match report.damaged_crossings {
        0 => ended.to_owned(),
        n => format!("{ended}, but for {n} crossings of damaged blocks"),
    }
}
