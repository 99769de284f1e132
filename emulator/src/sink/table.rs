//! The table that a run ends with.

use std::fmt::Write;

use scout40_models::legible;

use super::RunSummary;
use super::summary::{LineSummary, ModelSummary, OverlapSummary, Quantiles, SignalSummary};
use crate::network::NetworkSummary;

/// Most lines whose overlaps are shown as a table; `summary.json` has all.
const OVERLAP_LINES_MAX: usize = 12;

/// The summary as text for a terminal.
#[must_use]
pub fn render(summary: &RunSummary) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut text, &legible_summary(summary));
    text
}

/// The same with what files and menus say fit for a terminal.
fn legible_summary(summary: &RunSummary) -> RunSummary {
    let mut shown = summary.clone();
    let inputs = [&mut shown.stream].into_iter().chain(&mut shown.model);
    let overlaps = shown.overlaps.iter_mut().flat_map(|overlap| &mut overlap.lines);
    let lines = shown.lines.iter_mut().flat_map(|line| [&mut line.name, &mut line.rule]);
    inputs
        .flat_map(|input| [&mut input.path, &mut input.name])
        .chain(lines)
        .chain(overlaps)
        .chain(shown.signals.iter_mut().map(|signal| &mut signal.name))
        .chain(&mut shown.trouble.problems)
        .chain([&mut shown.config.filling_scheme])
        .for_each(|text| *text = legible(text));
    for model in &mut shown.models {
        for text in [&mut model.name, &mut model.path, &mut model.features] {
            *text = legible(text);
        }
    }
    shown
}

fn write_all(out: &mut String, summary: &RunSummary) -> std::fmt::Result {
    let counts = &summary.counts;
    let config = &summary.config;
    writeln!(out)?;
    writeln!(out, "stream     {} ({})", summary.stream.path, summary.stream.name)?;
    for model in &summary.models {
        let ModelSummary { name, path, features, plan, isa, .. } = model;
        let name = if summary.models.len() > 1 { format!("{name}: ") } else { String::new() };
        writeln!(out, "model      {name}{path} ({features}, {plan} on {isa})")?;
    }
    writeln!(
        out,
        "clock      {}, filling scheme {} ({} colliding slots, {:.2} MHz), batches of {}",
        match config.rate.as_str() {
            "max" => "none (as fast as possible)".into(),
            hz => hz.to_owned(),
        },
        config.filling_scheme,
        config.colliding_slots,
        summary.collision_rate_mhz,
        config.batch_size
    )?;
    writeln!(out)?;
    write_counts(out, summary)?;
    writeln!(
        out,
        "sustained  {:.3} MHz over {:.3} s{}",
        summary.sustained_mhz,
        summary.elapsed_s,
        if config.rate == "max" {
            ""
        } else if summary.at_line_rate {
            ": kept up with the clock"
        } else {
            ": did NOT keep up with the clock"
        }
    )?;
    if summary.counts.dropped > 0 {
        writeln!(
            out,
            "note       rates and efficiencies are those of the crossings that were scored; after drops\n             \x20          in a repeated stream these may be the same few again and again"
        )?;
    }
    writeln!(out)?;
    write_latency(out, summary)?;
    write_lines(out, &summary.lines)?;
    write_overlaps(out, summary)?;
    write_signals(out, &summary.signals, &summary.lines)?;
    let is_conserved = if counts.is_conserved() { "holds" } else { "VIOLATED" };
    writeln!(
        out,
        "read = scored + dropped + truncated + corrupt {is_conserved}: {} = {} + {} + {} + {}",
        counts.read, counts.scored, counts.dropped, counts.truncated, counts.corrupt
    )
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn write_counts(out: &mut String, summary: &RunSummary) -> std::fmt::Result {
    let counts = &summary.counts;
    writeln!(out, "crossings  {:>13} read", counts.read)?;
    for (n, what) in [
        (counts.scored, "scored"),
        (counts.dropped, "dropped    came later than the arrival ring is deep"),
        (counts.truncated, "truncated  source cut"),
        (counts.corrupt, "corrupt    checksum does not match"),
    ] {
        if n > 0 || what == "scored" {
            writeln!(out, "           {n:>13} {what} ({:.3} %)", percent(n, counts.read))?;
        }
    }
    writeln!(out, "           {:>13} accepted by any line", counts.accepted)?;
    let trouble = &summary.trouble;
    if trouble.starved_batches > 0 {
        writeln!(
            out,
            "starved    {:>13} batches were due before the reader had them: not at line rate",
            trouble.starved_batches
        )?;
    }
    if trouble.source_gaps > 0 {
        writeln!(
            out,
            "gaps       {:>13} times crossings were due that the source had not delivered: the clock \
             waited {:.1} ms in all",
            trouble.source_gaps,
            trouble.source_gaps_us as f64 / 1000.0
        )?;
    }
    if trouble.missing_crossings > 0 {
        writeln!(
            out,
            "missing    {:>13} crossings never came though the sender had them",
            trouble.missing_crossings
        )?;
    }
    if trouble.lost_tails > 0 {
        writeln!(out, "lost       an unknown number of crossings behind a damaged block")?;
    }
    if let Some(network) = &summary.network {
        write_network(out, network, summary.elapsed_s)?;
    }
    for problem in &trouble.problems {
        writeln!(out, "problem    {problem}")?;
    }
    if trouble.problems_untold > 0 {
        writeln!(out, "problem    and {} more", trouble.problems_untold)?;
    }
    Ok(())
}

/// What came over the network, and what went wrong with it.
fn write_network(out: &mut String, network: &NetworkSummary, elapsed_s: f64) -> std::fmt::Result {
    let per_s = if elapsed_s > 0.0 { network.bytes_received as f64 / elapsed_s } else { 0.0 };
    writeln!(
        out,
        "network    {:>13} blocks in {:.1} MB ({:.1} MB/s), at most {:.1} MB of them waiting",
        network.blocks_delivered,
        network.bytes_received as f64 / 1e6,
        per_s / 1e6,
        network.buffered_bytes_max as f64 / 1e6
    )?;
    let stalls = format!(
        "times a full buffer kept a socket from being read: {:.1} ms in all",
        network.receiver_stalled_us as f64 / 1000.0
    );
    for (n, what) in [
        (network.receiver_stalls, stalls.as_str()),
        (network.reconnects, "connections made again"),
        (network.connections_given_up, "connections given up"),
        (network.stalled_peers, "times a sender said nothing"),
        (network.protocol_errors, "times a sender sent nonsense"),
        (network.truncated_frames, "frames or orbits cut"),
        (network.corrupt_blocks, "blocks or orbits corrupt"),
        (network.duplicate_blocks, "blocks that came twice"),
        (network.duplicate_crossings, "crossings that came twice"),
        (network.truncated_events, "events that the sender truncated"),
        (network.late_orbits, "orbits that came too late to be used"),
        (network.missing_frames, "frames that never came"),
        (network.missing_orbits, "orbits that never came"),
        (network.sender_dropped_orbits, "orbits that the sender dropped"),
        (network.blocks_passed_over, "blocks passed over because the reader was late"),
    ] {
        if n > 0 {
            writeln!(out, "           {n:>13} {what}")?;
        }
    }
    Ok(())
}

fn write_latency(out: &mut String, summary: &RunSummary) -> std::fmt::Result {
    writeln!(
        out,
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "latency per event [us]", "p50", "p99", "p99.9", "p99.99", "max"
    )?;
    let latency = &summary.latency_ns;
    for (name, quantiles) in [
        ("total     decided - due", &latency.total),
        ("queueing  started - due", &latency.queueing),
        ("service   decided - started", &latency.service),
    ] {
        match quantiles {
            Some(Quantiles { p50, p99, p999, p9999, max, .. }) => {
                let us = |ns: &u64| *ns as f64 / 1000.0;
                writeln!(
                    out,
                    "{name:<28} {:>10.2} {:>10.2} {:>10.2} {:>10.2} {:>10.2}",
                    us(p50),
                    us(p99),
                    us(p999),
                    us(p9999),
                    us(max)
                )?;
            }
            None if summary.config.rate == "max" && !name.starts_with("service") => {
                writeln!(out, "{name:<28} {:>10} (no due times in an unpaced run)", "-")?;
            }
            None => writeln!(out, "{name:<28} {:>10} (nothing was scored)", "-")?,
        }
    }
    writeln!(out)
}

fn write_lines(out: &mut String, lines: &[LineSummary]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    let width = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).max(16);
    writeln!(
        out,
        "{:<width$} {:>12} {:>12} {:>21}   rule",
        "line (background)", "accepted", "rate [kHz]", "68 % interval"
    )?;
    for line in lines {
        let interval = format!("{:.3} .. {:.3}", line.rate_khz_low, line.rate_khz_high);
        writeln!(
            out,
            "{:<width$} {:>12} {:>12.3} {:>21}   {}",
            line.name, line.accepted, line.rate_khz, interval, line.rule
        )?;
    }
    writeln!(out)
}

/// For each line: what it alone accepts, and how much of it other lines accept, too.
fn write_overlaps(out: &mut String, summary: &RunSummary) -> std::fmt::Result {
    let lines = &summary.lines;
    if !(2..=OVERLAP_LINES_MAX).contains(&lines.len()) {
        return Ok(());
    }
    let width = lines.iter().map(|line| line.name.chars().count() + 4).max().unwrap_or(0).max(22);
    write!(out, "{:<width$} {:>12} {:>12}", "overlap (background)", "pure", "pure [kHz]")?;
    for number in 1..=lines.len() {
        write!(out, " {:>8}", format!("in {number}"))?;
    }
    writeln!(out, "   [% of the line]")?;
    for (a, line) in lines.iter().enumerate() {
        let name = format!("{:>2}  {}", a + 1, line.name);
        write!(out, "{name:<width$} {:>12} {:>12.3}", line.pure, line.pure_rate_khz)?;
        for (b, other) in lines.iter().enumerate() {
            let names = if a < b { [&line.name, &other.name] } else { [&other.name, &line.name] };
            let is_pair = |pair: &&OverlapSummary| pair.lines.each_ref() == names;
            match summary.overlaps.iter().find(is_pair) {
                Some(pair) if line.accepted > 0 => {
                    write!(out, " {:>8.2}", percent(pair.both, line.accepted))?;
                }
                _ => write!(out, " {:>8}", "-")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn write_signals(
    out: &mut String,
    signals: &[SignalSummary],
    lines: &[LineSummary],
) -> std::fmt::Result {
    if signals.is_empty() {
        return Ok(());
    }
    let width = signals.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max(16);
    writeln!(
        out,
        "{:<width$} {:>10} {:>10} {:>10} {:>14} {:>21}",
        "signal", "injected", "scored", "accepted", "efficiency [%]", "68 % interval"
    )?;
    for signal in signals {
        let interval = format!(
            "{:.3} .. {:.3}",
            100.0 * signal.efficiency_low,
            100.0 * signal.efficiency_high
        );
        writeln!(
            out,
            "{:<width$} {:>10} {:>10} {:>10} {:>14.3} {:>21}",
            signal.name,
            signal.injected,
            signal.scored,
            signal.accepted,
            100.0 * signal.efficiency,
            interval
        )?;
        if lines.len() > 1 {
            for (line, &accepted) in lines.iter().zip(&signal.accepted_by_line) {
                let efficiency = percent(accepted, signal.scored);
                let name = format!("  {}", line.name);
                writeln!(out, "{name:<width$} {:>32} {efficiency:>14.3}", accepted)?;
            }
        }
    }
    writeln!(out)
}
