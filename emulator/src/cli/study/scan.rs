//! `scout40 study scan`: which threshold would show a signal best.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use scout40_models::file::write_whole;
use scout40_replay::lhc::FillingScheme;
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use super::inputs::{OutputArgs, SampleArgs, Signal, SignalArgs, signals};
use super::report::{
    SchemeRecord, TOOL, aligned, background_text, ends, quoted, row, short, signals_text,
};
use crate::cli::output::{print, refuse_overwrite};
use crate::config::LoadedModel;
use crate::study::points::{WorkingPoint, menu_toml};
use crate::study::sample::Sample;
use crate::study::scan::{Choice, Objective, Scan, Settings, scan_thresholds};

/// Scans thresholds: efficiency, significance improvement and AMS of each signal.
///
/// For each signal and for their mean, the threshold with the largest eps_S / sqrt(eps_B) among those
/// that leave enough background, and with the largest approximate median significance
/// sqrt(2 ((s + b + b_r) ln(1 + s / (b + b_r)) - s)) of the expected yields.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 study scan --model forest.model --background zb.s40 --signal *.s40
  # yields of a year, and the chosen thresholds as a menu
  scout40 study scan --model forest.model --background zb.s40 --signal SVJ.s40 \\
      --expected-background 1e9 --expected-signal 2000 --write-menu best.toml -o report")]
pub struct ScanArgs {
    #[command(flatten)]
    samples: SampleArgs,
    #[command(flatten)]
    signals: SignalArgs,
    /// Points for each factor of ten in rate
    #[arg(long, default_value_t = 20, value_name = "N")]
    per_decade: u32,
    /// Background events that the best eps_S / sqrt(eps_B) has to leave: fewer fluctuate
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    min_background: f64,
    /// Regularisation of the AMS, in events
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    b_r: f64,
    /// Expected background before any cut; default: the sum of weights
    #[arg(long, value_name = "N")]
    expected_background: Option<f64>,
    /// Expected events of each signal before any cut; default: the sum of weights
    #[arg(long, value_name = "N")]
    expected_signal: Option<f64>,
    /// Write the chosen thresholds as a menu for `scout40 run --menu`
    #[arg(long, value_name = "POINTS.toml")]
    write_menu: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What `STEM.json` holds: enough to do it again.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'static str,
    model: Option<super::report::ModelRecord>,
    filling_scheme: SchemeRecord,
    rows: &'a Option<std::ops::Range<u64>>,
    out_of: Option<u64>,
    background: &'a Sample,
    signals: Vec<(&'a str, &'a Sample)>,
    min_background: f64,
    b_r: f64,
    expected_background: Option<f64>,
    expected_signal: Option<f64>,
    scan: &'a Scan,
}

pub fn run(args: &ScanArgs) -> Result<()> {
    let scheme = args.samples.scheme.load()?;
    let outputs = args.output.files()?;
    if let Some(path) = &args.write_menu {
        refuse_overwrite(path, args.output.force)?;
    }
    let model = args.samples.load_model()?;
    let model = model.as_ref();
    let (sample, background) = args.samples.background(model)?;
    let signals = signals(&args.signals.paths, model, &mut vec!["mean".to_owned()])?;
    let settings = Settings {
        collision_rate_hz: scheme.collision_rate_hz(),
        per_decade: args.per_decade,
        min_background: args.min_background,
        b_r: args.b_r,
        expected_background: args.expected_background,
        expected_signal: args.expected_signal,
    };
    let spectra: Vec<&Spectrum> = signals.iter().map(|signal| &signal.spectrum).collect();
    let scan = scan_thresholds(&background, &spectra, &settings)?;
    let mut text = background_text(&sample, background.effective_events(), &scheme);
    text += &signals_text(signals.iter().map(|s| (s.name.as_str(), s.sample.n_events)));
    text += &table(args, &scan, &signals, &background, model);
    if let Some(path) = &args.write_menu {
        let points = points(&scan, &signals, model)?;
        let remark =
            format!("Best thresholds, by {TOOL}; {} (digest {})", sample.name, sample.digest);
        write_whole(path, menu_toml(&points, &[remark]).as_bytes(), "writing the menu")?;
        text += &format!("menu       {}: for `scout40 run --menu`\n", path.display());
    }
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let report = Report {
        tool: TOOL,
        model: args.samples.model_record(model),
        filling_scheme: SchemeRecord::from(&scheme),
        rows: &args.samples.events.rows,
        out_of: args.samples.out_of,
        background: &sample,
        signals: signals.iter().map(|s| (s.name.as_str(), &s.sample)).collect(),
        min_background: args.min_background,
        b_r: args.b_r,
        expected_background: args.expected_background,
        expected_signal: args.expected_signal,
        scan: &scan,
    };
    outputs.write(&report, &csv(&scan, &signals))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    figures(&mut outputs, &scan, &signals, &sample, &scheme);
    #[cfg(not(feature = "plot"))]
    let _: &FillingScheme = &scheme;
    print(&text)?;
    print(&outputs.text())
}

/// Efficiencies at one rate in each third of a decade, and the choices.
fn table(
    args: &ScanArgs,
    scan: &Scan,
    signals: &[Signal],
    background: &Spectrum,
    model: Option<&LoadedModel>,
) -> String {
    let names = || signals.iter().map(|signal| signal.name.escape_debug().to_string());
    let head = row(["rate [kHz]", "threshold (raw)"]);
    let mut rows = vec![head.into_iter().chain(names()).collect::<Vec<_>>()];
    let mut next_khz = 0.0;
    for step in scan.steps.iter().filter(|step| step.rate_khz.value > 0.0) {
        if step.rate_khz.value < next_khz {
            continue;
        }
        next_khz = 2.1 * step.rate_khz.value;
        let mut cells = vec![short(step.rate_khz.value), step.threshold.to_string()];
        cells.extend(step.signals.iter().map(|at| short(100.0 * at.efficiency.value)));
        rows.push(cells);
    }
    let mut text = format!("\nefficiency [%]\n{}", aligned(&rows));
    let expected_background = args.expected_background.unwrap_or_else(|| background.total());
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\nbest thresholds (at least {} background events for the first objective; AMS with b_r = {}, \
         {} expected background events, {} of each signal)",
        args.min_background,
        args.b_r,
        short(expected_background),
        args.expected_signal.map_or("all".to_owned(), short)
    );
    let mut rows = vec![row([
        "signal",
        "objective",
        "value",
        "threshold (raw)",
        "score",
        "rate [kHz]",
        "68 % interval",
        "events",
        "efficiency [%]",
    ])];
    for choice in &scan.choices {
        let display = model.map(|model| model.scorer.display(choice.threshold));
        rows.push(vec![
            choice.signal.map_or("mean".to_owned(), |k| signals[k].name.escape_debug().to_string()),
            choice.objective.name().to_owned(),
            short(choice.value),
            choice.threshold.to_string(),
            display.map_or(String::new(), |display| format!("{display:.6}")),
            short(choice.rate_khz.value),
            ends(choice.rate_khz),
            format!("{:.0}", choice.n_background),
            short(100.0 * choice.efficiency),
        ]);
    }
    text + &aligned(&rows)
}

/// The choices as working points.
fn points(
    scan: &Scan,
    signals: &[Signal],
    model: Option<&LoadedModel>,
) -> Result<Vec<WorkingPoint>> {
    let point = |choice: &Choice| {
        let signal = choice.signal.map_or("mean", |k| signals[k].name.as_str());
        let objective = match choice.objective {
            Objective::SignificanceImprovement => "SI",
            Objective::Ams => "AMS",
        };
        WorkingPoint {
            name: format!("AD_{signal}_{objective}"),
            target_khz: None,
            threshold: choice.threshold,
            display: model.map(|model| model.scorer.display(choice.threshold)),
            rate_khz: choice.rate_khz,
            n_accepted: choice.n_background,
            threshold_strict: None,
            threshold_loose: None,
        }
    };
    let points: Vec<WorkingPoint> = scan.choices.iter().map(point).collect();
    ensure!(
        points.len() <= crate::trigger::LINES_MAX,
        "a menu has at most {} lines, these are {}\nhint: write it for fewer signals",
        crate::trigger::LINES_MAX,
        points.len()
    );
    Ok(points)
}

fn csv(scan: &Scan, signals: &[Signal]) -> String {
    let mut text =
        "threshold,rate_khz,rate_khz_low,rate_khz_high,signal,efficiency,efficiency_low,\
                    efficiency_high,significance_improvement,significance_improvement_error,ams\n"
            .to_owned();
    for step in &scan.steps {
        for (signal, at) in signals.iter().zip(&step.signals) {
            let (khz, x) = (step.rate_khz, at.efficiency);
            let improvement = at
                .significance_improvement
                .map_or(",".to_owned(), |(value, error)| format!("{value},{error}"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{improvement},{}",
                step.threshold,
                khz.value,
                khz.low,
                khz.high,
                quoted(&signal.name),
                x.value,
                x.low,
                x.high,
                at.ams
            );
        }
    }
    text
}

#[cfg(feature = "plot")]
fn figures(
    outputs: &mut super::report::Outputs,
    scan: &Scan,
    signals: &[Signal],
    background: &Sample,
    scheme: &FillingScheme,
) {
    use scout40_studies::figures::efficiency_at_rate;
    use scout40_studies::plot::{Axis, Plot};
    let names: Vec<&str> = signals.iter().map(|signal| signal.name.as_str()).collect();
    let note = format!(
        "{}: {} events, {:.2} MHz",
        background.name,
        background.n_events,
        scheme.collision_rate_hz() / 1e6
    );
    let plot = efficiency_at_rate("Signals", &names, &scan.points).note(&note);
    outputs.figure("efficiency", Ok(plot));
    let x = || Axis::log("Background rate").unit("kHz");
    let mut improvement =
        Plot::new("Significance improvement", x(), Axis::log("ε_{S} / √ε_{B}")).note(&note);
    let mut significance =
        Plot::new("Approximate median significance", x(), Axis::linear("AMS")).note(&note);
    for (k, name) in names.iter().enumerate() {
        let steps = || scan.steps.iter().filter(|step| step.rate_khz.value > 0.0);
        let mut band = Vec::new();
        let mut line = Vec::new();
        for step in steps() {
            if let Some((value, error)) = step.signals[k].significance_improvement
                && value > error
            {
                band.push((step.rate_khz.value, value - error, value + error));
                line.push((step.rate_khz.value, value));
            }
        }
        improvement = improvement.band(name, &band).line(name, &line);
        let curve: Vec<_> =
            steps().map(|step| (step.rate_khz.value, step.signals[k].ams)).collect();
        significance = significance.line(name, &curve);
    }
    outputs.figure("improvement", Ok(improvement.mark_y(1.0, "")));
    outputs.figure("ams", Ok(significance));
}
