//! `scout40 study rate`: thresholds and rates, a menu beside the model, and what pile-up does to both.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use scout40_models::file::write_whole;
use scout40_studies::menu_counts::MenuCounts;
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use super::compare::distinct;
use super::inputs::{OutputArgs, SampleArgs, ScorerArgs, each_once, targets_khz};
#[cfg(feature = "plot")]
use super::rate_figures;
use super::rate_text;
use super::report::{ModelRecord, SchemeRecord, TOOL};
use crate::cli::output::{print, progress_bar, refuse_overwrite};
use crate::cli::parse;
use crate::config::{LoadedModel, UsageError};
use crate::models::scored_models;
use crate::study::lines::{Decisions, Lines, count};
use crate::study::pile_up::{Forecast, RateOfPileUp, forecast};
use crate::study::points::{WorkingPoint, menu_toml, working_points};
use crate::study::sample::{OutOf, Request, Role, Sample, check_out_of, check_scores, n_crossings};
#[cfg(feature = "parquet")]
use crate::study::seeds::Seeds;
use crate::trigger::{Menu, Threshold};

/// Finds thresholds for rates, and what they take beside a trigger menu.
///
/// Rates are accepted / all background events x the rate of collisions, with Poisson intervals;
/// efficiencies have binomial ones, all at 68 %. Without `--model`, scores are those of the streams,
/// which accepted events have. Events that the model was trained on, and signal in the
/// background, are left out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # thresholds for three rates, as a menu for `scout40 run --menu`
  scout40 study rate --model forest.model --background zb.s40 --rates 0.5kHz,1kHz,10kHz --write-menu points.toml
  # what the model adds to a menu of cuts
  scout40 study rate --model forest.model --background zb.s40 --signal *.s40 --menu fixtures/menus/level1.toml
  # recorded decisions of the public CERN set: the L1 bit, and algorithm by algorithm
  scout40 study rate --model forest.model --background zb.s40 --recorded --seeds zb.s40=seeds/test.parquet
  # how the rate grows with pile-up, checked on a sample that was not fitted
  scout40 study rate --model forest.model --background mu60.s40 --pile-up mu45.s40 mu60.s40 \\
      --pile-up-check mu75.s40 --forecast 75,90 -o report")]
pub struct RateArgs {
    #[command(flatten)]
    scorer: ScorerArgs,
    #[command(flatten)]
    samples: SampleArgs,
    /// Signals, for efficiencies
    #[arg(long, num_args = 1.., value_name = "S.s40")]
    signal: Vec<PathBuf>,
    /// Background rates to find thresholds for; default: 1kHz,10kHz if no threshold is given
    #[arg(long, value_delimiter = ',', value_parser = parse::frequency, value_name = "RATE,...")]
    rates: Vec<f64>,
    /// Thresholds to find rates for, in display units or `raw:N`; repeatable
    #[arg(long, value_name = "X|raw:N", allow_hyphen_values = true)]
    threshold: Vec<Threshold>,
    /// A menu of trigger lines (TOML, as `scout40 run --menu` takes it) to evaluate beside the model
    #[arg(long, value_name = "MENU.toml")]
    menu: Option<PathBuf>,
    /// Take the recorded decision (`L1bit` of the CERN set) for a line of the menu
    #[arg(long)]
    recorded: bool,
    /// Take recorded decisions of algorithms for lines: files of the CERN set's `seeds` folder that belong
    /// to a stream; repeatable, one for each stream
    #[arg(long, value_name = "STREAM.s40=SEEDS.parquet,...")]
    seeds: Vec<String>,
    /// Fit the rate as a function of pile-up to these streams
    #[arg(long, num_args = 1.., value_name = "B.s40")]
    pile_up: Vec<PathBuf>,
    /// Compare the fits with these streams
    #[arg(long, num_args = 1.., value_name = "B.s40", requires = "pile_up")]
    pile_up_check: Vec<PathBuf>,
    /// Pile-up to forecast the rate for
    #[arg(long, value_delimiter = ',', value_parser = parse::between(0.0, 1000.0), value_name = "X,...",
          requires = "pile_up")]
    forecast: Vec<f64>,
    /// Width of a range of pile-up
    #[arg(long, default_value_t = 5.0, value_parser = parse::between(0.1, 100.0), value_name = "X")]
    pile_up_width: f64,
    /// Write the working points as a menu for `scout40 run --menu`
    #[arg(long, value_name = "POINTS.toml")]
    write_menu: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What `STEM.json` holds: enough to do it again.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'static str,
    model: Option<ModelRecord>,
    filling_scheme: SchemeRecord,
    rows: &'a Option<Range<u64>>,
    out_of: Option<u64>,
    menu: Option<String>,
    seeds: &'a [String],
    background: &'a Sample,
    working_points: &'a [WorkingPoint],
    lines: Vec<rate_text::LineRecord>,
    signals: Vec<rate_text::SignalRecord>,
    pile_up_samples: &'a [Sample],
    pile_up_width: f64,
    pile_up: &'a [RateOfPileUp],
}

/// A sample with its scores and what lines and working points take of it.
pub struct Counted {
    pub name: String,
    pub sample: Sample,
    pub spectrum: Spectrum,
    pub counts: MenuCounts,
}

/// All results.
pub struct Results {
    pub background: Counted,
    pub signals: Vec<Counted>,
    pub points: Vec<WorkingPoint>,
    pub lines: Lines,
    pub pile_up: Vec<RateOfPileUp>,
    pub collision_rate_hz: f64,
}

pub fn run(args: &RateArgs) -> Result<()> {
    let scheme = args.samples.scheme.load()?;
    check(args)?;
    let collision_rate_hz = scheme.collision_rate_hz();
    let targets_khz = target_rates(args, collision_rate_hz)?;
    let outputs = args.output.files()?;
    if let Some(path) = &args.write_menu {
        refuse_overwrite(path, args.output.force)?;
    }
    let model = args.scorer.load()?;
    let model = model.as_ref();
    let lines = lines(args, model)?;
    let (sample, spectrum) = args.samples.background(model, &[])?;
    let points = points(args, &spectrum, collision_rate_hz, &targets_khz, model)?;
    let background = if lines.is_empty() {
        let (name, counts) = (sample.name.clone(), MenuCounts::new(0, points.len()));
        Counted { name, sample, spectrum, counts }
    } else {
        counted(args, &args.samples.events.background, Role::Background, &lines, &points, model)?
    };
    let mut signals = Vec::new();
    let mut taken = Vec::new();
    for path in &args.signal {
        let mut signal = counted(args, path, Role::Signal, &lines, &points, model)?;
        signal.name = distinct(&signal.name, &mut taken);
        signals.push(signal);
    }
    let (pile_up_samples, pile_up) = pile_up(args, model, &points, collision_rate_hz)?;
    let results = Results { background, signals, points, lines, pile_up, collision_rate_hz };
    let mut text = rate_text::table(&results, &scheme);
    if let Some(path) = &args.write_menu {
        write_menu(args, path, &results.points, &results.background.sample)?;
        text += &format!("menu       {}: for `scout40 run --menu`\n", path.display());
    }
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let report = Report {
        tool: TOOL,
        model: args.scorer.record(model),
        filling_scheme: (&scheme).into(),
        rows: &args.samples.events.rows,
        out_of: args.samples.out_of,
        menu: args.menu.as_ref().map(|path| path.display().to_string()),
        seeds: &args.seeds,
        background: &results.background.sample,
        working_points: &results.points,
        lines: rate_text::line_records(&results),
        signals: rate_text::signal_records(&results),
        pile_up_samples: &pile_up_samples,
        pile_up_width: args.pile_up_width,
        pile_up: &results.pile_up,
    };
    outputs.write(&report, &rate_text::csv(&results))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    rate_figures::write(&mut outputs, &results)?;
    print(&text)?;
    print(&outputs.text())
}

/// Requests that make no sense, whatever the files hold.
fn check(args: &RateArgs) -> Result<()> {
    let has_lines = args.menu.is_some() || args.recorded || !args.seeds.is_empty();
    if args.samples.out_of.is_some() && (has_lines || !args.pile_up.is_empty()) {
        let text = "`--out-of` tells nothing of what a menu or pile-up did to events that were not accepted";
        return Err(UsageError(text.to_owned()).into());
    }
    each_once("--forecast", &args.forecast)?;
    let all = args.pile_up.iter().chain(&args.pile_up_check);
    all.chain(&args.signal).try_for_each(|path| check_out_of(path, None))
}

fn target_rates(args: &RateArgs, collision_rate_hz: f64) -> Result<Vec<f64>> {
    let mut targets_khz = targets_khz(&args.rates, collision_rate_hz)?;
    if targets_khz.is_empty() && args.threshold.is_empty() {
        targets_khz = vec![1.0, 10.0];
    }
    Ok(targets_khz)
}

/// The lines beside the model.
fn lines(args: &RateArgs, model: Option<&LoadedModel>) -> Result<Lines> {
    let mut menu = Menu::default();
    if let Some(path) = &args.menu {
        let attempt = || format!("while reading the menu `{}`", path.display());
        let text = std::fs::read_to_string(path).with_context(attempt)?;
        let models =
            model.map_or_else(Vec::new, |model| scored_models(std::slice::from_ref(model)));
        menu.add_toml(&text, &models).with_context(attempt)?;
    }
    let names = match decisions_paths(args, &args.samples.events.background)? {
        #[cfg(feature = "parquet")]
        Some(paths) => Seeds::read(&paths)?.names().to_vec(),
        _ => Vec::new(),
    };
    Lines::new(menu, args.recorded, &names)
}

/// The files of decisions that belong to a stream; none if no seeds are asked for.
fn decisions_paths(args: &RateArgs, stream: &Path) -> Result<Option<Vec<PathBuf>>> {
    if args.seeds.is_empty() {
        return Ok(None);
    }
    for given in &args.seeds {
        let (of, files) = given.split_once('=').ok_or_else(|| {
            UsageError(format!("expected `STREAM.s40=SEEDS.parquet` in `--seeds`, found `{given}`"))
        })?;
        if Path::new(of) == stream {
            return Ok(Some(files.split(',').map(PathBuf::from).collect()));
        }
    }
    bail!(
        "no recorded decisions are given for `{0}`\nhint: `--seeds {0}=SEEDS.parquet`, or leave it out",
        stream.display()
    )
}

fn decisions(args: &RateArgs, stream: &Path, lines: &Lines) -> Result<Decisions> {
    let Some(paths) = decisions_paths(args, stream)? else { return Ok(None) };
    #[cfg(feature = "parquet")]
    {
        use scout40_replay::event::Column;
        use scout40_replay::source::{FileSource, Source};
        let seeds = Seeds::read(&paths)?;
        let names = lines.names();
        ensure!(
            names.ends_with(&seeds.names().iter().map(String::as_str).collect::<Vec<_>>()),
            "the decisions of `{}` are those of other algorithms than the background's",
            stream.display()
        );
        let has_order = FileSource::open(stream)?.columns().contains(Column::Order);
        seeds.of_stream(n_crossings(stream), has_order, stream).map(Some)
    }
    #[cfg(not(feature = "parquet"))]
    {
        ensure!(lines.is_empty() && paths.is_empty(), "this program was built without parquet");
        Ok(None)
    }
}

fn points(
    args: &RateArgs,
    background: &Spectrum,
    collision_rate_hz: f64,
    targets_khz: &[f64],
    model: Option<&LoadedModel>,
) -> Result<Vec<WorkingPoint>> {
    working_points(background, collision_rate_hz, targets_khz, &args.threshold, model).with_context(
        || format!("while finding thresholds with `{}`", args.samples.events.background.display()),
    )
}

fn counted(
    args: &RateArgs,
    path: &Path,
    role: Role,
    lines: &Lines,
    points: &[WorkingPoint],
    model: Option<&LoadedModel>,
) -> Result<Counted> {
    check_scores(path, model)?;
    let is_background = role == Role::Background;
    let rows = args.samples.events.rows.as_ref().filter(|_| is_background);
    let request = Request { rows, ..Request::new(path, role) };
    let decisions = decisions(args, path, lines)?;
    let bar = progress_bar(n_crossings(path), "counting");
    let found = count(&request, model, lines, points, &decisions, &mut |n| bar.inc(n));
    bar.finish_and_clear();
    let (sample, sums, counts) = found?;
    let out_of = OutOf::of(path, args.samples.out_of.filter(|_| is_background), model)?;
    let spectrum = sums.spectrum(out_of);
    let attempt = || format!("while reading `{}`", path.display());
    let name = sample.name.clone();
    Ok(Counted { name, sample, spectrum: spectrum.with_context(attempt)?, counts })
}

fn pile_up(
    args: &RateArgs,
    model: Option<&LoadedModel>,
    points: &[WorkingPoint],
    collision_rate_hz: f64,
) -> Result<(Vec<Sample>, Vec<RateOfPileUp>)> {
    if args.pile_up.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let all = || args.pile_up.iter().chain(&args.pile_up_check);
    let bar = progress_bar(all().map(|path| n_crossings(path)).sum(), "scoring");
    let asked = Forecast {
        fitted: &args.pile_up,
        checked: &args.pile_up_check,
        at: &args.forecast,
        width: args.pile_up_width,
        collision_rate_hz,
    };
    let found = forecast(&asked, model, points, &mut |n| bar.inc(n));
    bar.finish_and_clear();
    found
}

fn write_menu(
    args: &RateArgs,
    path: &Path,
    points: &[WorkingPoint],
    background: &Sample,
) -> Result<()> {
    let model = args
        .scorer
        .model
        .as_ref()
        .map_or("scores of the stream".to_owned(), |path| format!("model {}", path.display()));
    let remarks = [
        format!("Working points of the {model}, by {TOOL}."),
        format!(
            "Calibrated with {} events of {} (digest {}), filling scheme {}.",
            background.n_events,
            background.name,
            background.digest,
            args.samples.scheme.filling_scheme
        ),
    ];
    Ok(write_whole(path, menu_toml(points, &remarks).as_bytes(), "writing the menu")?)
}
