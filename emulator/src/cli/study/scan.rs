//! `scout40 study scan`: which threshold would show a signal best.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use scout40_models::file::write_whole;
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use super::compare::distinct;
use super::inputs::{OutputArgs, SampleArgs, SignalArgs, signals};
use super::report::{
    ModelRecord, SchemeRecord, TOOL, aligned, background_text, ends, quoted, row, short,
    signals_text,
};
use crate::cli::engine::EngineArgs;
use crate::cli::output::{print, refuse_overwrite};
use crate::cli::parse;
use crate::config::{LoadedModel, UsageError};
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
  # two models side by side, on events that neither was trained on
  scout40 study scan --model forest.model ae.model --background zb.s40 --signal SVJ.s40 -o report
  # yields of a year, and the chosen thresholds as a menu
  scout40 study scan --model forest.model --background zb.s40 --signal SVJ.s40 \\
      --expected-background 1e9 --expected-signal 2000 --write-menu best.toml -o report")]
pub struct ScanArgs {
    /// The models; default: scores of the streams
    #[arg(long, num_args = 1.., value_name = "M.model")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    samples: SampleArgs,
    #[command(flatten)]
    signals: SignalArgs,
    /// Points for each factor of ten in rate
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    per_decade: u32,
    /// Background events that the best eps_S / sqrt(eps_B) has to leave: fewer fluctuate
    #[arg(long, default_value_t = 10.0, value_name = "N", value_parser = parse::at_least(1.0))]
    min_background: f64,
    /// Regularisation of the AMS, in events
    #[arg(long, default_value_t = 10.0, value_name = "N", value_parser = parse::positive)]
    b_r: f64,
    /// Expected background before any cut; default: the sum of weights
    #[arg(long, value_name = "N", value_parser = parse::positive)]
    expected_background: Option<f64>,
    /// Expected events of each signal before any cut; default: the sum of weights
    #[arg(long, value_name = "N", value_parser = parse::positive)]
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
    filling_scheme: SchemeRecord,
    rows: &'a Option<std::ops::Range<u64>>,
    out_of: Option<u64>,
    min_background: f64,
    b_r: f64,
    expected_background: Option<f64>,
    expected_signal: Option<f64>,
    models: &'a [Scanned],
}

/// What a model, or the scores of the streams, came to.
#[derive(Serialize)]
struct Scanned {
    model: Option<ModelRecord>,
    background: Sample,
    signals: Vec<(String, Sample)>,
    scan: Scan,
    /// Background before any cut, by weight.
    #[serde(skip)]
    n_background: f64,
    #[serde(skip)]
    n_effective: f64,
    /// A threshold as people read it.
    #[serde(skip)]
    loaded: Option<LoadedModel>,
}

impl Scanned {
    /// As tables call it.
    fn name(&self) -> String {
        self.model.as_ref().map_or(String::new(), |model| model.name.escape_debug().to_string())
    }

    fn display(&self, choice: &Choice) -> Option<f64> {
        self.loaded.as_ref().map(|model| model.scorer.display(choice.threshold))
    }
}

pub fn run(args: &ScanArgs) -> Result<()> {
    let scheme = args.samples.scheme.load()?;
    let outputs = args.output.files()?;
    if let Some(path) = &args.write_menu {
        refuse_overwrite(path, args.output.force)?;
        ensure!(
            args.model.len() < 2,
            UsageError("`--write-menu` takes the thresholds of one model".to_owned())
        );
    }
    let scanned = scanned(args, scheme.collision_rate_hz())?;
    let [first, ..] = &scanned[..] else { return Ok(()) };
    let mut text = background_text(&first.background, first.n_effective, &scheme);
    text += &signals_text(first.signals.iter().map(|(name, s)| (name.as_str(), s.n_events)));
    scanned.iter().for_each(|model| text += &efficiencies_text(model));
    text += &choices_text(args, &scanned);
    if let Some(path) = &args.write_menu {
        let Sample { name, digest, .. } = &first.background;
        let remark = format!("Best thresholds, by {TOOL}; {name} (digest {digest})");
        let menu = menu_toml(&points(first)?, &[remark]);
        write_whole(path, menu.as_bytes(), "writing the menu")?;
        text += &format!("menu       {}: for `scout40 run --menu`\n", path.display());
    }
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let report = Report {
        tool: TOOL,
        filling_scheme: SchemeRecord::from(&scheme),
        rows: &args.samples.events.rows,
        out_of: args.samples.out_of,
        min_background: args.min_background,
        b_r: args.b_r,
        expected_background: args.expected_background,
        expected_signal: args.expected_signal,
        models: &scanned,
    };
    outputs.write(&report, &csv(&scanned))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    figures(&mut outputs, &scanned, &scheme);
    print(&text)?;
    print(&outputs.text())
}

/// Scans the thresholds of each model; of the streams' own scores without any.
fn scanned(args: &ScanArgs, collision_rate_hz: f64) -> Result<Vec<Scanned>> {
    let read = |path: &PathBuf| LoadedModel::read(path, args.engine.into());
    let models = args.model.iter().map(read).collect::<Result<Vec<_>>>()?;
    let others: Vec<&LoadedModel> = models.iter().collect();
    let settings = Settings {
        collision_rate_hz,
        per_decade: args.per_decade,
        min_background: args.min_background,
        b_r: args.b_r,
        expected_background: args.expected_background,
        expected_signal: args.expected_signal,
    };
    let scan = |model: Option<&LoadedModel>| {
        let (sample, background) = args.samples.background(model, &others)?;
        let signals = signals(&args.signals.paths, model, &mut vec!["mean".to_owned()])?;
        let spectra: Vec<&Spectrum> = signals.iter().map(|signal| &signal.spectrum).collect();
        Ok(Scanned {
            model: None,
            background: sample,
            scan: scan_thresholds(&background, &spectra, &settings)?,
            signals: signals.into_iter().map(|signal| (signal.name, signal.sample)).collect(),
            n_background: background.total(),
            n_effective: background.effective_events(),
            loaded: None,
        })
    };
    let found = match models.is_empty() {
        true => vec![scan(None)?],
        false => models.iter().map(|model| scan(Some(model))).collect::<Result<Vec<_>>>()?,
    };
    let mut taken = Vec::new();
    let mut named = |(path, model): (&PathBuf, &LoadedModel)| {
        let record = ModelRecord::new(path, model);
        ModelRecord { name: distinct(&record.name, &mut taken), ..record }
    };
    let records: Vec<ModelRecord> = args.model.iter().zip(&models).map(&mut named).collect();
    let records = records.into_iter().zip(models).map(Some).chain(std::iter::repeat_with(|| None));
    let with = |(scanned, model): (Scanned, Option<(ModelRecord, LoadedModel)>)| {
        let (record, loaded) = model.unzip();
        Scanned { model: record, loaded, ..scanned }
    };
    Ok(found.into_iter().zip(records).map(with).collect())
}

fn signal_names(scanned: &Scanned) -> impl Iterator<Item = String> {
    scanned.signals.iter().map(|(name, _)| name.escape_debug().to_string())
}

/// Efficiencies at one rate in each third of a decade.
fn efficiencies_text(scanned: &Scanned) -> String {
    let head = row(["rate [kHz]", "threshold (raw)"]);
    let mut rows = vec![head.into_iter().chain(signal_names(scanned)).collect::<Vec<_>>()];
    let mut next_khz = 0.0;
    for step in scanned.scan.steps.iter().filter(|step| step.rate_khz.value > 0.0) {
        if step.rate_khz.value < next_khz {
            continue;
        }
        next_khz = 2.1 * step.rate_khz.value;
        let mut cells = vec![short(step.rate_khz.value), step.threshold.to_string()];
        cells.extend(step.signals.iter().map(|at| short(100.0 * at.efficiency.value)));
        rows.push(cells);
    }
    let of =
        if scanned.model.is_some() { format!(" of {}", scanned.name()) } else { String::new() };
    format!("\nefficiency{of} [%]\n{}", aligned(&rows))
}

/// The best thresholds: signal by signal, objective by objective, model beside model.
fn choices_text(args: &ScanArgs, scanned: &[Scanned]) -> String {
    let mut text = String::new();
    let all = || scanned.iter().map(|scanned| scanned.n_background);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let expected_background = match args.expected_background {
        Some(expected) => short(expected),
        None if least < most => format!("{} to {}", short(least), short(most)),
        None => short(most),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\nbest thresholds (at least {} background events for the first objective; AMS with b_r = {}, \
         {expected_background} expected background events, {} of each signal)",
        args.min_background,
        args.b_r,
        args.expected_signal.map_or("all".to_owned(), short)
    );
    let several = scanned.len() > 1;
    let mut head = row([
        "signal",
        "objective",
        "value",
        "threshold (raw)",
        "score",
        "rate [kHz]",
        "68 % interval",
        "events",
        "efficiency [%]",
    ]);
    if several {
        head.insert(2, "model".to_owned());
    }
    let mut rows = vec![head];
    // All have the same signals and objectives.
    let n_choices = scanned.first().map_or(0, |scanned| scanned.scan.choices.len());
    for (k, scanned) in (0..n_choices).flat_map(|k| scanned.iter().map(move |s| (k, s))) {
        let choice = &scanned.scan.choices[k];
        let signal = choice.signal.map_or("mean", |k| scanned.signals[k].0.as_str());
        let mut cells = vec![
            signal.escape_debug().to_string(),
            choice.objective.name().to_owned(),
            short(choice.value),
            choice.threshold.to_string(),
            scanned.display(choice).map_or(String::new(), |display| format!("{display:.6}")),
            short(choice.rate_khz.value),
            ends(choice.rate_khz),
            format!("{:.0}", choice.n_background),
            short(100.0 * choice.efficiency),
        ];
        if several {
            cells.insert(2, scanned.name());
        }
        rows.push(cells);
    }
    text + &aligned(&rows)
}

/// The choices as working points.
fn points(scanned: &Scanned) -> Result<Vec<WorkingPoint>> {
    let point = |choice: &Choice| {
        let signal = choice.signal.map_or("mean", |k| scanned.signals[k].0.as_str());
        let objective = match choice.objective {
            Objective::SignificanceImprovement => "SI",
            Objective::Ams => "AMS",
        };
        WorkingPoint {
            name: format!("AD_{signal}_{objective}"),
            target_khz: None,
            threshold: choice.threshold,
            display: scanned.display(choice),
            rate_khz: choice.rate_khz,
            n_accepted: choice.n_background,
            threshold_strict: None,
            threshold_loose: None,
        }
    };
    let points: Vec<WorkingPoint> = scanned.scan.choices.iter().map(point).collect();
    ensure!(
        points.len() <= crate::trigger::LINES_MAX,
        "a menu has at most {} lines, these are {}\nhint: write it for fewer signals",
        crate::trigger::LINES_MAX,
        points.len()
    );
    Ok(points)
}

fn csv(scanned: &[Scanned]) -> String {
    let mut text =
        "model,threshold,rate_khz,rate_khz_low,rate_khz_high,signal,efficiency,efficiency_low,\
                    efficiency_high,significance_improvement,significance_improvement_error,ams\n"
            .to_owned();
    let steps = scanned.iter().flat_map(|of| of.scan.steps.iter().map(move |step| (of, step)));
    for (scanned, step) in steps {
        let model = scanned.model.as_ref().map_or("", |model| model.name.as_str());
        for ((signal, _), at) in scanned.signals.iter().zip(&step.signals) {
            let (khz, x) = (step.rate_khz, at.efficiency);
            let improvement = at
                .significance_improvement
                .map_or(",".to_owned(), |(value, error)| format!("{value},{error}"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{improvement},{}",
                quoted(model),
                step.threshold,
                khz.value,
                khz.low,
                khz.high,
                quoted(signal),
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
    scanned: &[Scanned],
    scheme: &scout40_replay::lhc::FillingScheme,
) {
    use scout40_studies::figures::with_efficiencies;
    use scout40_studies::plot::{Axis, Plot};
    let Some(Scanned { background, .. }) = scanned.first() else { return };
    let note = format!(
        "{}: {} events, {:.2} MHz",
        background.name,
        background.n_events,
        scheme.collision_rate_hz() / 1e6
    );
    let x = || Axis::log("Background rate").unit("kHz");
    let titled = |title, y| Plot::new(title, x(), y).note(&note);
    let mut efficiency = titled("Signals", Axis::log("Signal efficiency"));
    let mut improvement = titled("Significance improvement", Axis::log("ε_{S} / √ε_{B}"));
    let mut significance = titled("Approximate median significance", Axis::linear("AMS"));
    for of in scanned {
        let named = |(name, _): &(String, Sample)| match &of.model {
            Some(model) if scanned.len() > 1 => format!("{name}, {}", model.name),
            _ => name.clone(),
        };
        let names: Vec<String> = of.signals.iter().map(named).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        efficiency = with_efficiencies(efficiency, &all, &of.scan.points);
        for (k, name) in all.into_iter().enumerate() {
            let steps = || of.scan.steps.iter().filter(|step| step.rate_khz.value > 0.0);
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
    }
    outputs.figure("efficiency", Ok(efficiency));
    outputs.figure("improvement", Ok(improvement.mark_y(1.0, "")));
    outputs.figure("ams", Ok(significance));
}
