//! `scout40 study roc`: cross-validated ROC curves and what is read off them.

use std::ops::Range;
use std::path::{Path, PathBuf};

#[cfg(feature = "train")]
use anyhow::Context;
use anyhow::{Result, ensure};
use clap::Args;
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use super::compare::distinct;
use super::inputs::{
    BackgroundArgs, OutputArgs, SchemeArgs, SignalArgs, each_once, scored, signals, targets_khz,
};
use super::report::{SchemeRecord, TOOL, stem_of};
#[cfg(feature = "plot")]
use super::roc_figures;
use super::roc_text;
use crate::cli::engine::EngineArgs;
use crate::cli::output::print;
use crate::cli::parse;
#[cfg(feature = "train")]
use crate::cli::train::recipe;
use crate::config::{LoadedModel, UsageError};
#[cfg(feature = "train")]
use crate::study::folds::{Fold, folds};
use crate::study::roc::{Reached, Settings, Summary, Target, reached, summarise};
use crate::study::sample::{Request, Role, Sample, check_out_of};
#[cfg(feature = "train")]
use crate::study::sample::{n_crossings, rows_within};

/// Cross-validates models: AUROC, average precision, efficiencies at fixed background rates.
///
/// Each recipe of `--train` is trained on all folds of the background but one, which is held out for
/// testing, and on every seed; tables show mean +- standard deviation over these trainings. Models of `--model`
/// are tested as they are; `+-` is then the statistical error of the AUROC (DeLong). Intervals of efficiencies
/// are binomial, at 68 %.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # five folds of a forest that is trained as another was
  scout40 study roc --train fixtures/models/forest.model --background zb.s40 --signal *.s40
  # recipes: tables [[model]] with name, kind (\"forest\", or of autoencoders \"variational\",
  # \"reconstruction\", \"convolutional\"), and options of `scout40 train`
  scout40 study roc --train models.toml --background zb.s40 --signal *.s40 --folds 5 -o report
  # three seeds on all of one background, tested on another; a model as it is beside them
  scout40 study roc --train models.toml --model ae.model --background train.s40 --test zb.s40 --signal *.s40 \\
      --folds 1 --seeds 1,2,3")]
pub struct RocArgs {
    /// Models to be tested as they are
    #[arg(long, num_args = 1.., value_name = "M.model")]
    model: Vec<PathBuf>,
    /// Models to be trained: recipes, or a model that is trained again as its file says
    #[cfg(feature = "train")]
    #[arg(long, num_args = 1.., value_name = "RECIPES.toml|M.model")]
    train: Vec<PathBuf>,
    #[command(flatten)]
    events: BackgroundArgs,
    /// Test with this background instead of what is held out
    #[arg(long, value_name = "B2.s40")]
    test: Option<PathBuf>,
    #[command(flatten)]
    signals: SignalArgs,
    /// Number of folds of `--train`; 1: train on all rows, which needs `--test`
    #[cfg_attr(feature = "train", arg(requires = "train"))]
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    folds: u64,
    /// Seeds to train each fold with, each once; default: the recipe's
    #[cfg_attr(feature = "train", arg(requires = "train"))]
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    seeds: Vec<u64>,
    /// Background rates to compare at
    #[arg(long, value_delimiter = ',', default_value = "1kHz,10kHz", value_parser = parse::frequency,
          value_name = "RATE,...")]
    rates: Vec<f64>,
    /// False positive rates to compare at
    #[arg(long, value_delimiter = ',', default_value = "1e-5", value_parser = parse::fraction, value_name = "X,...")]
    fpr: Vec<f64>,
    /// Fraction of signal that average precision is for
    #[arg(long, default_value_t = 0.001, value_parser = parse::part, value_name = "X")]
    prevalence: f64,
    #[command(flatten)]
    scheme: SchemeArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// One training, or a model as it is.
#[derive(Serialize)]
pub struct Training {
    /// Which fold is held out, from 1; none for a model as it is.
    pub fold: Option<usize>,
    pub rng_seed: Option<u64>,
    pub model_digest: String,
    pub background: Sample,
    pub reached: Reached,
}

/// A model or a recipe, and what it reached.
#[derive(Serialize)]
pub struct Contender {
    pub name: String,
    /// Options of `scout40 train`, or the file of the model.
    pub recipe: String,
    pub trainings: Vec<Training>,
    pub summary: Summary,
}

/// What `STEM.json` holds: enough to do it again.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'static str,
    filling_scheme: SchemeRecord,
    background: String,
    rows: &'a Option<Range<u64>>,
    test: Option<String>,
    folds: u64,
    targets: &'a [Target],
    prevalence: f64,
    signals: &'a [(String, Sample)],
    models: &'a [Contender],
}

/// Everything that is compared.
pub struct Results {
    pub settings: Settings,
    pub signals: Vec<(String, Sample)>,
    pub contenders: Vec<Contender>,
}

pub fn run(args: &RocArgs) -> Result<()> {
    let scheme = args.scheme.load()?;
    let outputs = args.output.files()?;
    let rates =
        targets_khz(&args.rates, scheme.collision_rate_hz())?.into_iter().map(Target::RateKhz);
    each_once("--fpr", &args.fpr)?;
    each_once("--seeds", &args.seeds)?;
    let fractions = args.fpr.iter().map(|&fraction| Target::FalsePositiveRate(fraction));
    let settings = Settings {
        collision_rate_hz: scheme.collision_rate_hz(),
        targets: rates.chain(fractions).collect(),
        prevalence: args.prevalence,
    };
    let mut results = Results { settings, signals: Vec::new(), contenders: Vec::new() };
    let streams = args.signals.paths.iter().chain([&args.events.background]).chain(&args.test);
    streams.clone().try_for_each(|path| check_out_of(path, None))?;
    contenders(args, &mut results)?;
    let text = roc_text::table(&results, &scheme);
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let report = Report {
        tool: TOOL,
        filling_scheme: (&scheme).into(),
        background: args.events.background.display().to_string(),
        rows: &args.events.rows,
        test: args.test.as_ref().map(|path| path.display().to_string()),
        folds: args.folds,
        targets: &results.settings.targets,
        prevalence: args.prevalence,
        signals: &results.signals,
        models: &results.contenders,
    };
    outputs.write(&report, &roc_text::csv(&results))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    roc_figures::write(&mut outputs, &results);
    print(&text)?;
    print(&outputs.text())
}

/// Tests models as they are, then trains and tests recipes.
fn contenders(args: &RocArgs, results: &mut Results) -> Result<()> {
    let mut taken = Vec::new();
    for path in &args.model {
        let model = LoadedModel::read(path, args.engine.into())?;
        let background = args.test.as_ref().unwrap_or(&args.events.background);
        let rows = args.events.rows.as_ref().filter(|_| args.test.is_none());
        let training = tested(args, results, &model, background, rows, (None, None))?;
        let name = distinct(&stem_of(path), &mut taken);
        results.contenders.push(contender(name, path.display().to_string(), vec![training]));
    }
    #[cfg(feature = "train")]
    trained(args, results, &mut taken)?;
    ensure!(
        !results.contenders.is_empty(),
        UsageError("expected a model: `--model`, or `--train` to train some".to_owned())
    );
    Ok(())
}

/// Trains recipes on each fold with each seed, and tests what comes out.
#[cfg(feature = "train")]
fn trained(args: &RocArgs, results: &mut Results, taken: &mut Vec<String>) -> Result<()> {
    for recipe in recipe::read_all(&args.train)? {
        let name = distinct(&recipe.name, taken);
        let mut trainings = Vec::new();
        let rows = rows_within(
            args.events.rows.as_ref(),
            n_crossings(&args.events.background),
            &args.events.background,
        )?;
        let seeds =
            if args.seeds.is_empty() { vec![recipe.rng_seed()?] } else { args.seeds.clone() };
        for (k, fold) in folds(&rows, args.folds)?.iter().enumerate() {
            // Before anything is trained that could not be tested.
            let (path, rows) = held_out(args, fold)?;
            for &rng_seed in &seeds {
                let model =
                    recipe.train(&args.events.background, &fold.training, Some(rng_seed))?;
                let model = LoadedModel::new(model, args.engine.into())?;
                let which = (Some(k + 1), Some(rng_seed));
                let attempt = || format!("while testing `{name}`, fold {}", k + 1);
                trainings
                    .push(tested(args, results, &model, path, rows, which).with_context(attempt)?);
            }
        }
        results.contenders.push(contender(name, recipe.words(), trainings));
    }
    Ok(())
}

/// What a training is tested with.
#[cfg(feature = "train")]
fn held_out<'a>(args: &'a RocArgs, fold: &'a Fold) -> Result<(&'a Path, Option<&'a Range<u64>>)> {
    match (&args.test, &fold.held_out) {
        (Some(test), _) => Ok((test, None)),
        (None, Some(rows)) => Ok((&args.events.background, Some(rows))),
        (None, None) => {
            let text = "`--folds 1` holds nothing out\nhint: give `--test`, another background";
            Err(UsageError(text.to_owned()).into())
        }
    }
}

fn contender(name: String, recipe: String, trainings: Vec<Training>) -> Contender {
    let reached: Vec<Reached> = trainings.iter().map(|training| training.reached.clone()).collect();
    Contender { name, recipe, trainings, summary: summarise(&reached) }
}

/// Tests one model.
fn tested(
    args: &RocArgs,
    results: &mut Results,
    model: &LoadedModel,
    background: &Path,
    rows: Option<&Range<u64>>,
    (fold, rng_seed): (Option<usize>, Option<u64>),
) -> Result<Training> {
    let request = Request { rows, ..Request::new(background, Role::Background) };
    let (sample, background) = scored(&request, Some(model), None)?;
    // Each model sees the same signals: the last one's are kept.
    let found = signals(&args.signals.paths, Some(model), &mut vec!["mean".to_owned()])?;
    let spectra: Vec<&Spectrum> = found.iter().map(|signal| &signal.spectrum).collect();
    let reached = reached(&background, &spectra, &results.settings)?;
    results.signals = found.into_iter().map(|signal| (signal.name, signal.sample)).collect();
    let model_digest = format!("{:016x}", model.model.digest());
    Ok(Training { fold, rng_seed, model_digest, background: sample, reached })
}
