//! How a comparison is shown: tables for people, a CSV for everything else.

use std::fmt::Write as _;

use scout40_studies::bootstrap::Options;

use crate::cli::output::grouped;
use crate::comparison::{AtRate, Comparison, Measured, Scored};

/// Narrowest column of a model.
const MIN_WIDTH: usize = 24;

/// Everything, as tables.
pub fn table(
    background: &Scored,
    signals: &[Scored],
    options: &Options,
    comparison: &Comparison,
) -> String {
    let mut text = String::new();
    let step_khz = options.collision_rate_hz / background.n_events() as f64 / 1000.0;
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "background {}: {} events ({} left out: trained on, {}: injected); one event is \
         {step_khz:.4} kHz",
        background.name.escape_debug(),
        grouped(background.n_events() as u64),
        grouped(background.n_training),
        grouped(background.n_injected)
    );
    for (place, signal) in signals.iter().enumerate() {
        let head = if place == 0 { "signals" } else { "" };
        let (name, n) = (signal.name.escape_debug(), grouped(signal.n_events() as u64));
        let _ = writeln!(text, "{head:<10} {name}: {n} events");
    }
    let table = Table::new(comparison);
    table.head(&mut text, "AUROC", "");
    for (row, name) in table.rows.iter().enumerate().take(comparison.signals.len()) {
        let cells = comparison.models.iter().map(|model| format!("{:.4}", model.auroc[row]));
        table.row(&mut text, name, cells);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means = comparison.models.iter().map(|model| format!("{:.4}", mean(&model.auroc)));
    table.row(&mut text, "mean", means);
    for (target, rate_khz) in options.targets_khz.iter().enumerate() {
        let at: Vec<&AtRate> = comparison.models.iter().map(|m| &m.rates[target]).collect();
        table.head(&mut text, "efficiency", &format!(" [%] at {rate_khz} kHz, 68 % intervals"));
        for (row, name) in table.rows.iter().enumerate() {
            let cell = |at: &&AtRate| percent(at.efficiency.get(row).copied().unwrap_or(at.mean));
            table.row(&mut text, name, at.iter().map(cell));
        }
        if comparison.models.len() > 1 {
            table.head(&mut text, "ratio", &format!(" to the first at {rate_khz} kHz, paired"));
            for (row, name) in table.rows.iter().enumerate() {
                let cell = |at: &&AtRate| ratio(at.ratio_to_first[row]);
                table.row(&mut text, name, at.iter().map(cell));
            }
        }
    }
    twins(&mut text, options, comparison);
    text
}

/// Rows are signals, then their mean; columns are models.
struct Table {
    rows: Vec<String>,
    names: Vec<String>,
    first: usize,
    width: usize,
}

impl Table {
    fn new(comparison: &Comparison) -> Table {
        let escaped = |name: &String| name.escape_debug().to_string();
        let mut rows: Vec<String> = comparison.signals.iter().map(escaped).collect();
        rows.push("mean".to_owned());
        let names: Vec<String> = comparison.models.iter().map(|m| escaped(&m.model)).collect();
        let longest = |names: &[String]| names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        let (first, width) = (longest(&rows).max(10), longest(&names).max(MIN_WIDTH));
        Table { rows, names, first, width }
    }

    fn head(&self, text: &mut String, what: &str, more: &str) {
        let _ = writeln!(text, "\n{what}{more}");
        self.row(text, "", self.names.iter().cloned());
    }

    fn row(&self, text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
        let _ = write!(text, "{name:<first$}", first = self.first);
        for cell in cells {
            let _ = write!(text, "  {cell:>width$}", width = self.width);
        }
        text.push('\n');
    }
}

fn percent(x: Measured) -> String {
    let [value, low, high] = [x.value, x.low, x.high].map(|x| 100.0 * x);
    format!("{value:.3} ({low:.3} .. {high:.3})")
}

fn ratio(x: Measured) -> String {
    if x.value.is_nan() {
        return "none found".to_owned();
    }
    format!("{:.3} ({:.3} .. {:.3})", x.value, x.low, x.high)
}

/// How integers and floating point agree.
fn twins(text: &mut String, options: &Options, comparison: &Comparison) {
    for twin in &comparison.twins {
        let name = twin.model.escape_debug();
        let _ = writeln!(text, "\n{name}: integers against floating point");
        let _ = write!(text, "{:<14}{:>10}{:>10}", "sample", "rank corr.", "corr.");
        for rate_khz in &options.targets_khz {
            let _ = write!(text, "  {:>26}", format!("ratio at {rate_khz} kHz"));
        }
        text.push('\n');
        let samples = ["background".to_owned()].into_iter().chain(comparison.signals.clone());
        for (row, sample) in samples.chain(["mean".to_owned()]).enumerate() {
            let _ = write!(text, "{:<14}", sample.escape_debug().to_string());
            for correlation in [&twin.rank_correlation, &twin.correlation] {
                let cell = match correlation.get(row) {
                    Some(Some(r)) => format!("{r:.5}"),
                    Some(None) => "none".to_owned(),
                    None => String::new(),
                };
                let _ = write!(text, "{cell:>10}");
            }
            for of_rate in &twin.ratio {
                let cell = row.checked_sub(1).map_or(String::new(), |row| ratio(of_rate[row]));
                let _ = write!(text, "  {cell:>26}");
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
    }
}

/// One line for each model, signal and rate.
pub fn csv(comparison: &Comparison) -> String {
    let mut text =
        "model,signal,auroc,rate_khz,threshold,efficiency,efficiency_low,efficiency_high,\
                    ratio_to_first,ratio_low,ratio_high\n"
            .to_owned();
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for model in &comparison.models {
        for at in &model.rates {
            let names = comparison.signals.iter().map(String::as_str).chain(["mean"]);
            for (row, signal) in names.enumerate() {
                let auroc = model.auroc.get(row).map_or(String::new(), f64::to_string);
                let x = at.efficiency.get(row).copied().unwrap_or(at.mean);
                let ratio = at.ratio_to_first[row];
                let _ = writeln!(
                    text,
                    "{},{},{auroc},{},{},{},{},{},{},{},{}",
                    quoted(&model.model),
                    quoted(signal),
                    at.rate_khz,
                    at.threshold,
                    x.value,
                    x.low,
                    x.high,
                    ratio.value,
                    ratio.low,
                    ratio.high
                );
            }
        }
    }
    text
}
