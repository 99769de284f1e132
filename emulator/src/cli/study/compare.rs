//! `scout40 study compare`: several models on the same events, or an autoencoder and its float twin.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use scout40_models::file::Content;
use scout40_replay::lhc::FillingScheme;
use scout40_studies::bootstrap::Options;
use serde::Serialize;

#[cfg(feature = "plot")]
use super::compare_figures;
use super::compare_text::{csv, table};
use super::inputs::{BackgroundArgs, OutputArgs, SchemeArgs, SignalArgs, targets_khz};
use super::report::{ModelRecord, TOOL};
use crate::cli::engine::EngineArgs;
use crate::cli::output::{print, progress_bar};
use crate::cli::parse;
use crate::comparison::{Comparison, Contestant, Scored, compare, score_sample};
use crate::config::{LoadedModel, UsageError};
use crate::study::sample::{Role, n_crossings};

/// Compares models on the same background and signals.
///
/// For each model: AUROC, and the efficiency for each signal at fixed background rates. Ratios
/// between models have intervals from a paired bootstrap: background and signal events are resampled
/// for all models at once, and thresholds derived anew each time. Events that any of the models was
/// trained on are left out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # what integers cost an autoencoder
  scout40 study compare --model ae.model --float-twins --background zb.s40 --signal SVJ.s40 Ato4l.s40
  # a forest beside it, into tables
  scout40 study compare --model ae.model forest.model --background zb.s40 --signal *.s40 -o report")]
pub struct CompareArgs {
    /// The models; ratios are to the first
    #[arg(long, required = true, num_args = 1.., value_name = "M.model")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    events: BackgroundArgs,
    #[command(flatten)]
    signals: SignalArgs,
    /// Let each autoencoder be followed by the network in floating point that it was made from
    #[arg(long)]
    float_twins: bool,
    /// Background rates
    #[arg(long, value_delimiter = ',', default_value = "1kHz,10kHz", value_parser = parse::frequency,
          value_name = "RATE,...")]
    rates: Vec<f64>,
    #[command(flatten)]
    scheme: SchemeArgs,
    /// Resamples of the bootstrap
    #[arg(long, default_value_t = 1000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    resamples: u32,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What `STEM.json` holds: enough to do it again.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'static str,
    models: Vec<ModelRecord>,
    background: SampleRecord,
    signals: Vec<SampleRecord>,
    rows: Option<Range<u64>>,
    rates_khz: &'a [f64],
    collision_rate_hz: f64,
    resamples: u32,
    rng_seed: u64,
    comparison: &'a Comparison,
}

#[derive(Serialize)]
struct SampleRecord {
    path: String,
    name: String,
    digest: String,
    n_events: usize,
    n_left_out_as_trained_on: u64,
    n_left_out_as_injected: u64,
}

impl SampleRecord {
    fn new(path: &Path, scored: &Scored) -> SampleRecord {
        SampleRecord {
            path: path.display().to_string(),
            name: scored.name.clone(),
            digest: scored.digest.clone(),
            n_events: scored.n_events(),
            n_left_out_as_trained_on: scored.n_training,
            n_left_out_as_injected: scored.n_injected,
        }
    }
}

pub fn run(args: &CompareArgs) -> Result<()> {
    let scheme = args.scheme.load()?;
    let models = args
        .model
        .iter()
        .map(|path| LoadedModel::read(path, args.engine.into()))
        .collect::<Result<Vec<_>>>()?;
    let contestants = contestants(args, &models)?;
    let outputs = args.output.files()?;
    let options = options(args, &scheme)?;
    let background =
        scored(&args.events.background, Role::Background, args.events.rows.as_ref(), &contestants)?;
    let mut signals = args
        .signals
        .paths
        .iter()
        .map(|path| scored(path, Role::Signal, None, &contestants))
        .collect::<Result<Vec<_>>>()?;
    // The last row of each table is called so.
    let mut taken = vec!["mean".to_owned()];
    signals.iter_mut().for_each(|signal| signal.name = distinct(&signal.name, &mut taken));
    let comparison = compare(&contestants, &background, &signals, &options)?;
    let text = table(&background, &signals, &options, &comparison);
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let report = Report {
        tool: TOOL,
        models: contestants
            .iter()
            .filter(|contestant| !contestant.is_float)
            .zip(&args.model)
            .map(|(contestant, path)| record(contestant, path))
            .collect(),
        background: SampleRecord::new(&args.events.background, &background),
        signals: args
            .signals
            .paths
            .iter()
            .zip(&signals)
            .map(|(p, s)| SampleRecord::new(p, s))
            .collect(),
        rows: args.events.rows.clone(),
        rates_khz: &options.targets_khz,
        collision_rate_hz: options.collision_rate_hz,
        resamples: options.resamples,
        rng_seed: options.rng_seed,
        comparison: &comparison,
    };
    outputs.write(&report, &csv(&comparison))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    compare_figures::write(&mut outputs, &contestants, &background, &signals, &options);
    print(&text)?;
    print(&outputs.text())
}

fn options(args: &CompareArgs, scheme: &FillingScheme) -> Result<Options> {
    Ok(Options {
        targets_khz: targets_khz(&args.rates, scheme.collision_rate_hz())?,
        collision_rate_hz: scheme.collision_rate_hz(),
        resamples: args.resamples,
        rng_seed: args.seed,
    })
}

/// Called as it is in the tables.
fn record(contestant: &Contestant, path: &Path) -> ModelRecord {
    ModelRecord { name: contestant.name.clone(), ..ModelRecord::new(path, contestant.model) }
}

/// The name, or with a number where it is taken.
pub fn distinct(name: &str, taken: &mut Vec<String>) -> String {
    let numbered = |k: u32| if k == 1 { name.to_owned() } else { format!("{name} ({k})") };
    first_free(numbered, taken)
}

/// The first of the numbered names, from 1, that is not taken; it is then.
pub fn first_free<T: Clone + Default + PartialEq>(
    numbered: impl Fn(u32) -> T,
    taken: &mut Vec<T>,
) -> T {
    let free = (1..).map(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
    taken.push(free.clone());
    free
}

/// The models by the names of their files, each autoencoder followed by its twin if that is wanted.
fn contestants<'a>(args: &CompareArgs, models: &'a [LoadedModel]) -> Result<Vec<Contestant<'a>>> {
    let mut contestants = Vec::new();
    let mut taken = Vec::new();
    for (path, model) in args.model.iter().zip(models) {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = distinct(&name, &mut taken);
        contestants.push(Contestant { name: name.clone(), model, is_float: false });
        if args.float_twins && matches!(model.model.content(), Content::Autoencoder(_)) {
            contestants.push(Contestant { name: format!("{name} (float)"), model, is_float: true });
        }
    }
    let has_twins = contestants.iter().any(|contestant| contestant.is_float);
    if args.float_twins && !has_twins {
        let text = "`--float-twins` needs an autoencoder: other models have no twins";
        return Err(UsageError(text.to_owned()).into());
    }
    Ok(contestants)
}

fn scored(
    path: &Path,
    role: Role,
    rows: Option<&Range<u64>>,
    contestants: &[Contestant],
) -> Result<Scored> {
    let bar = progress_bar(n_crossings(path) * contestants.len() as u64, "scoring");
    let scored = score_sample(path, role, rows, contestants, &mut |n| bar.inc(n));
    bar.finish_and_clear();
    scored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_get_numbers() {
        let mut taken = vec!["mean".to_owned()];
        let names = ["a", "mean", "a", "a (2)", "a"].map(|name| distinct(name, &mut taken));
        assert_eq!(names, ["a", "mean (2)", "a (2)", "a (2) (2)", "a (3)"]);
    }
}
