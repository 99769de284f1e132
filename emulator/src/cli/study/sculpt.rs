//! `scout40 study sculpt`: does the trigger carve a peak?

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use scout40_studies::observable::Histogram;
use scout40_studies::quantity::{Binning, Quantity};
use serde::Serialize;

use super::inputs::{OutputArgs, SampleArgs, ScorerArgs, each_once, targets_khz};
use super::rate_text::points_text;
use super::report::{
    ModelRecord, SchemeRecord, TOOL, aligned, background_text, quoted, row, short,
};
use crate::cli::output::{print, progress_bar};
use crate::cli::parse;
use crate::config::UsageError;
use crate::study::points::{WorkingPoint, working_points};
use crate::study::sample::{Sample, n_crossings};
use crate::study::sculpt::{CARVED_SIGMA, Cut, Record, Shapes, records, sculpt};
use crate::trigger::Threshold;

/// Compares observables before and after a cut on the score.
///
/// For each observable and cut: the ratio of the shapes with errors, the Jensen-Shannon and
/// Kolmogorov-Smirnov distances, the probability that accepted and rejected events have one shape,
/// and whether accepted events rise anywhere that all events fall: a peak that the trigger carves.
#[derive(Args, Debug)]
#[command(after_help = "\
Observables: met, et, ht (jets of at least 30 GeV, |eta| <= 2.5), ht_recorded, mht, scalar_sum, pile_up,
dijet_mass, dimuon_mass, diegamma_mass, ditau_mass, and for muon, egamma, jet and tau such as jet0_pt,
jet1_eta, muon0_phi, jet_n (how many), jet_n30 (of at least 30 GeV).

Examples:
  scout40 study sculpt --model forest.model --background zb.s40
  scout40 study sculpt --model forest.model --background zb.s40 --observable dijet_mass --rates 10kHz,100kHz \\
      --bins 60 --range 0..600 -o report")]
pub struct SculptArgs {
    #[command(flatten)]
    scorer: ScorerArgs,
    #[command(flatten)]
    samples: SampleArgs,
    /// The observables, each once
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,...",
        default_value = "met,ht,jet0_pt,muon0_pt,jet_n,dijet_mass,dimuon_mass"
    )]
    observable: Vec<String>,
    /// Cuts by their background rates; default: 10kHz,100kHz if no threshold is given
    #[arg(long, value_delimiter = ',', value_parser = parse::frequency, value_name = "RATE,...")]
    rates: Vec<f64>,
    /// Cuts by their thresholds, in display units or `raw:N`; repeatable
    #[arg(long, value_name = "X|raw:N", allow_hyphen_values = true)]
    threshold: Vec<Threshold>,
    /// Number of bins; default: what suits the observable
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    bins: Option<u32>,
    /// Range of the bins, such as `0..600`; default: what suits the observable
    #[arg(long, value_name = "A..B", value_parser = parse::interval, allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What `STEM.json` holds: enough to do it again.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'static str,
    model: Option<ModelRecord>,
    filling_scheme: SchemeRecord,
    rows: &'a Option<std::ops::Range<u64>>,
    out_of: Option<u64>,
    background: &'a Sample,
    working_points: &'a [WorkingPoint],
    carved_from_sigma: f64,
    observables: &'a [Record],
}

pub fn run(args: &SculptArgs) -> Result<()> {
    let scheme = args.samples.scheme.load()?;
    let outputs = args.output.files()?;
    let observables = observables(args)?;
    let mut targets_khz = targets_khz(&args.rates, scheme.collision_rate_hz())?;
    let model = args.scorer.load()?;
    let model = model.as_ref();
    let (_, background) = args.samples.background(model, &[])?;
    if targets_khz.is_empty() && args.threshold.is_empty() {
        targets_khz = vec![10.0, 100.0];
    }
    let rate_hz = scheme.collision_rate_hz();
    let points = working_points(&background, rate_hz, &targets_khz, &args.threshold, model)
        .with_context(|| {
            format!("while finding thresholds with `{}`", args.samples.events.background.display())
        })?;
    let bar = progress_bar(n_crossings(&args.samples.events.background), "filling");
    let found =
        sculpt(&args.samples.events.request(), model, &points, &observables, &mut |n| bar.inc(n));
    bar.finish_and_clear();
    let (sample, shapes) = found?;
    let n_effective = background.effective_events();
    let mut text = background_text(&sample, n_effective, &scheme);
    text.push('\n');
    text += &points_text(&points, n_effective, rate_hz);
    text += &table(&shapes);
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let records = records(&shapes);
    let report = Report {
        tool: TOOL,
        model: args.scorer.record(model),
        filling_scheme: (&scheme).into(),
        rows: &args.samples.events.rows,
        out_of: args.samples.out_of,
        background: &sample,
        working_points: &points,
        carved_from_sigma: CARVED_SIGMA,
        observables: &records,
    };
    outputs.write(&report, &csv(&records))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    figures(&mut outputs, &shapes, &points);
    print(&text)?;
    print(&outputs.text())
}

/// The observables and their empty histograms.
fn observables(args: &SculptArgs) -> Result<Vec<(Quantity, Histogram)>> {
    let mut observables = Vec::new();
    each_once("--observable", &args.observable)?;
    for name in &args.observable {
        let quantity = Quantity::parse(name).map_err(|error| UsageError(error.to_string()))?;
        let Binning { n_bins, min, max } = quantity.binning();
        let (min, max) = args.range.unwrap_or((min, max));
        let empty = Histogram::uniform(args.bins.unwrap_or(n_bins), min, max)?;
        observables.push((quantity, empty));
    }
    Ok(observables)
}

fn table(shapes: &[Shapes]) -> String {
    let mut rows = vec![row([
        "observable",
        "cut",
        "events",
        "without",
        "JS distance",
        "KS distance",
        "p of one shape",
        "accepted rise where all fall",
    ])];
    for shapes in shapes {
        for cut in &shapes.cuts {
            rows.push(cells(shapes, cut));
        }
    }
    let mut text = format!("\n{}", aligned(&rows));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "p: that accepted and rejected events have one shape (Kolmogorov-Smirnov on bins); \
         carved: a rise of at least {CARVED_SIGMA} sigma, the largest of all pairs of bins"
    );
    let all_pass =
        |cut: &Cut| cut.found.as_ref().is_some_and(|found| found.ks_probability.is_none());
    if shapes.iter().flat_map(|shapes| &shapes.cuts).any(all_pass) {
        text +=
            "-: all events with this observable are accepted, there is nothing to compare with\n";
    }
    text
}

fn cells(shapes: &Shapes, cut: &Cut) -> Vec<String> {
    let accepted: f64 = cut.accepted.contents().iter().map(|content| content.weight).sum();
    let mut cells = vec![
        shapes.quantity.name().to_owned(),
        cut.point.clone(),
        // Without weights, a number of events.
        if accepted.fract() == 0.0 { format!("{accepted}") } else { short(accepted) },
        shapes.n_without.to_string(),
    ];
    let Some(found) = &cut.found else { return cells };
    cells.push(format!("{:.4}", found.sculpting.jensen_shannon));
    cells.push(format!("{:.4}", found.sculpting.kolmogorov_smirnov));
    cells.push(found.ks_probability.map_or("-".to_owned(), short));
    cells.push(found.peak.map_or("nowhere".to_owned(), |peak| {
        let unit = match shapes.quantity.unit() {
            "" => String::new(),
            unit => format!(" {unit}"),
        };
        let middle = |(a, b): (f64, f64)| short((a + b) / 2.0);
        let verdict = if peak.rise_sigma >= CARVED_SIGMA { ", carved" } else { "" };
        format!(
            "{} to {}{unit}: {:.1} sigma{verdict}",
            middle(peak.from),
            middle(peak.bin),
            peak.rise_sigma
        )
    }));
    cells
}

fn csv(records: &[Record]) -> String {
    let mut text =
        "observable,cut,from,to,all,accepted,shape_ratio,shape_ratio_low,shape_ratio_high\n"
            .to_owned();
    for record in records {
        for (bin, edges) in record.edges.windows(2).enumerate() {
            let ratio = match record.shape_ratios.get(bin) {
                Some(Some(ratio)) => format!("{},{},{}", ratio.value, ratio.low, ratio.high),
                _ => ",,".to_owned(),
            };
            // Writing to a string cannot fail. The first content lies below the bins.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{ratio}",
                quoted(&record.observable),
                quoted(&record.point),
                edges[0],
                edges[1],
                record.all[bin + 1],
                record.accepted[bin + 1]
            );
        }
    }
    text
}

#[cfg(feature = "plot")]
fn figures(outputs: &mut super::report::Outputs, shapes: &[Shapes], points: &[WorkingPoint]) {
    use scout40_studies::figures::sculpting;
    use scout40_studies::plot::Axis;
    for shapes in shapes {
        let quantity = &shapes.quantity;
        for (cut, point) in shapes.cuts.iter().zip(points) {
            let Some(found) = &cut.found else { continue };
            let axis = Axis::linear(&quantity.label());
            let axis = if quantity.unit().is_empty() { axis } else { axis.unit(quantity.unit()) };
            let khz = short(point.rate_khz.value);
            let title = format!("Score ≥ raw {} ({khz} kHz)", point.threshold);
            let plot = sculpting(&title, axis, &shapes.all, &cut.accepted, &found.sculpting);
            outputs.figure(&format!("{} {}", quantity.name(), cut.point), Ok(plot));
        }
    }
}
