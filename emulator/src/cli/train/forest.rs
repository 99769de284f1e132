//! `scout40 train forest`: grows a forest from a stream.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use scout40_models::Model;
use scout40_models::file::Provenance;
use scout40_models::forest::eif::EifSample;
use scout40_models::forest::score::Metric;
use scout40_models::forest::train::{ForestConfig, ForestSample};
use scout40_models::forest::variant::{Gain, SplitRule, UNLIMITED_DEPTH, Variant};

use super::{RowsArgs, TrainingStream};
use crate::cli::inspect::model_text;
use crate::cli::output::{grouped, print, progress_bar, refuse_overwrite};
use crate::config::UsageError;

/// Grows an isolation forest.
///
/// The same rows, settings and seed give the same file, whatever the number of threads (but for
/// `--trainer eif-crate`, which cannot be seeded).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 train forest --input zb.s40 -o forest.model
  scout40 train forest --input zb.s40 --rows 0..800000 --trees 100 --sample-size 10000 -o deep.model
  scout40 train forest --input zb.s40 --features 'met.pt, jet[0..4].(pt,eta)' -o small.model
  scout40 train forest --input zb.s40 --metric boxed_ratio --sample-size 10000 -o boxed.model
  scout40 train forest --input zb.s40 --variant sciforest --trees 200 -o sciforest.model

Settings of the variants, each of which its option overrides:
  variant    trees  rows  depth      extension  metric          split
  iforest      100   256  auto               0  depth           uniform
  eif          100   256  auto               1  depth           uniform
  sciforest    100   256  auto               1  depth           average-gain, 10 tries, penalty
  fcf          200   256  unlimited          1  depth           pooled-gain, 1 try
  rrcf         100   256  unlimited          0  depth           by-range
  pidforest     10   100  10                 0  boxed_density2  histogram, 3 ranges within 10 %")]
pub struct ForestArgs {
    #[command(flatten)]
    pub(super) rows: RowsArgs,
    /// The model file to write
    #[arg(short, long, value_name = "M.model")]
    output: PathBuf,
    /// Kind of forest: the settings below that are not given
    #[arg(long, default_value = "iforest", value_parser = variant)]
    variant: Variant,
    /// Number of trees
    #[arg(long)]
    trees: Option<usize>,
    /// Rows per tree, drawn without replacement
    #[arg(long)]
    sample_size: Option<usize>,
    /// Most nodes above a leaf: a number, `auto` = log2 of the sample size, rounded up, or
    /// `unlimited`
    #[arg(long, value_parser = max_depth)]
    max_depth: Option<MaxDepth>,
    /// Features in the normal of a split, less one: 0 = axis-parallel
    #[arg(long)]
    extension_level: Option<usize>,
    /// What leaves stand for: `depth`, `adj_depth`, `adj_density`, `density`, `boxed_ratio`,
    /// `boxed_density2` or `boxed_density`
    #[arg(long, value_parser = metric)]
    metric: Option<Metric>,
    /// How a node finds its split
    #[arg(long)]
    split: Option<SplitKind>,
    /// Hyperplanes that a node tries, for splits by gain
    #[arg(long, value_name = "N")]
    tries: Option<usize>,
    /// Most ranges that a node is cut into, for splits by histogram
    #[arg(long, value_name = "N")]
    max_buckets: Option<usize>,
    /// How much worse than the best a histogram may be, for splits by histogram
    #[arg(long)]
    epsilon: Option<f64>,
    /// Whether events far outside a node's rows are found stranger; for path lengths only
    #[arg(long, value_name = "BOOL")]
    penalize_range: Option<bool>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Fractional bits of the score; default: 4 for depth, 24 or what fits for boxed_ratio, else 10
    #[arg(long)]
    fraction_bits: Option<u32>,
    /// Who grows the trees
    #[arg(long, default_value = "scout40")]
    trainer: Trainer,
    /// Threads; default: one per core
    #[arg(long)]
    threads: Option<usize>,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug)]
struct MaxDepth(Option<u32>);

fn max_depth(text: &str) -> Result<MaxDepth, String> {
    match text {
        "auto" => Ok(MaxDepth(None)),
        "unlimited" => Ok(MaxDepth(Some(UNLIMITED_DEPTH))),
        _ => match text.parse() {
            Ok(depth) => Ok(MaxDepth(Some(depth))),
            Err(_) => Err(format!("expected `auto`, `unlimited` or a number, found `{text}`")),
        },
    }
}

fn variant(text: &str) -> Result<Variant, String> {
    Variant::from_name(text).ok_or_else(|| one_of(&Variant::ALL.map(Variant::name)))
}

fn metric(text: &str) -> Result<Metric, String> {
    Metric::from_name(text).ok_or_else(|| one_of(&Metric::ALL.map(Metric::name)))
}

fn one_of(names: &[&str]) -> String {
    format!("expected one of {}", names.join(", "))
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum SplitKind {
    /// At random
    Uniform,
    /// A feature with a probability in proportion to its range
    ByRange,
    /// Where the mean standard deviation of both sides is least
    AverageGain,
    /// Where the variance within both sides is least
    PooledGain,
    /// Into several ranges that differ most in how sparse they are
    Histogram,
}

/// The settings of the variant and what overrides them.
fn config(args: &ForestArgs) -> Result<ForestConfig> {
    let preset = args.variant.config();
    let metric = args.metric.unwrap_or(preset.metric);
    // A variant penalises ranges as far as its metric can.
    let penalize_range = preset.penalize_range && metric.takes_range_penalty();
    Ok(ForestConfig {
        n_trees: args.trees.unwrap_or(preset.n_trees),
        subsample_size: args.sample_size.unwrap_or(preset.subsample_size),
        max_depth: args.max_depth.map_or(preset.max_depth, |depth| depth.0),
        extension_level: args.extension_level.unwrap_or(preset.extension_level),
        rng_seed: args.seed,
        fraction_bits: args.fraction_bits,
        metric,
        rule: rule(args, preset.rule)?,
        penalize_range: args.penalize_range.unwrap_or(penalize_range),
    })
}

/// How nodes split, and an error for options that this way does not have.
fn rule(args: &ForestArgs, preset: SplitRule) -> Result<SplitRule> {
    let (mut tries, mut max_buckets, mut epsilon) = (10, 3, 0.1);
    let kind = match preset {
        SplitRule::Uniform => SplitKind::Uniform,
        SplitRule::ByRange => SplitKind::ByRange,
        SplitRule::Gain { criterion, tries: preset } => {
            tries = preset;
            match criterion {
                Gain::Average => SplitKind::AverageGain,
                Gain::Pooled => SplitKind::PooledGain,
            }
        }
        SplitRule::Histogram { max_buckets: buckets, epsilon: tolerance } => {
            (max_buckets, epsilon) = (buckets, tolerance);
            SplitKind::Histogram
        }
    };
    let kind = args.split.unwrap_or(kind);
    let gains = matches!(kind, SplitKind::AverageGain | SplitKind::PooledGain);
    let given = [
        ("--tries", args.tries.is_some() && !gains, "average-gain or pooled-gain"),
        ("--max-buckets", args.max_buckets.is_some() && kind != SplitKind::Histogram, "histogram"),
        ("--epsilon", args.epsilon.is_some() && kind != SplitKind::Histogram, "histogram"),
    ];
    if let Some((option, _, split)) = given.into_iter().find(|&(_, useless, _)| useless) {
        let text = format!("`{option}` only means something with `--split {split}`");
        return Err(UsageError(text).into());
    }
    let tries = args.tries.unwrap_or(tries);
    Ok(match kind {
        SplitKind::Uniform => SplitRule::Uniform,
        SplitKind::ByRange => SplitRule::ByRange,
        SplitKind::AverageGain => SplitRule::Gain { criterion: Gain::Average, tries },
        SplitKind::PooledGain => SplitRule::Gain { criterion: Gain::Pooled, tries },
        SplitKind::Histogram => SplitRule::Histogram {
            max_buckets: args.max_buckets.unwrap_or(max_buckets),
            epsilon: args.epsilon.unwrap_or(epsilon),
        },
    })
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Trainer {
    /// Ours: seeded, skips constant columns
    Scout40,
    /// The `extended-isolation-forest` crate: cannot be seeded; 57 or 99 features
    EifCrate,
}

pub fn run(args: &ForestArgs) -> Result<()> {
    refuse_overwrite(&args.output, args.force)?;
    if let Some(threads) = args.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("while starting threads")?;
    }
    let mut stream = TrainingStream::open(&args.rows)?;
    let model = trained(args, &mut stream)?;
    model.write(&args.output)?;
    let n_rows = grouped(stream.n_rows());
    let text = format!("{}: trained on {n_rows} rows\n", args.output.display());
    print(&(text + &model_text(&model)))
}

/// Grows the forest from the rows of a stream.
pub(super) fn trained(args: &ForestArgs, stream: &mut TrainingStream) -> Result<Model> {
    let config = config(args)?;
    let spec = stream.spec.clone();
    let forest = match args.trainer {
        Trainer::Scout40 => {
            let mut sample = ForestSample::draw(&config, &spec, stream.n_rows())?;
            stream.feed("reading", &mut |block| Ok(sample.collect(block)?))?;
            let bar = progress_bar(config.n_trees as u64, "growing trees");
            let forest = sample.grow(&|| bar.inc(1))?;
            bar.finish_and_clear();
            forest
        }
        Trainer::EifCrate => {
            let mut sample = EifSample::draw(&config, &spec, stream.n_rows())?;
            stream.feed("reading", &mut |block| Ok(sample.collect(block)?))?;
            sample.grow()?
        }
    };
    let provenance = Provenance {
        tool: concat!("scout40 ", env!("CARGO_PKG_VERSION")).into(),
        settings: settings(args, &config),
        rng_seed: args.seed,
        inputs: stream.inputs(),
    };
    Ok(Model::new(spec, forest, provenance)?)
}

/// The settings as they are recorded: those that the kind of split has.
fn settings(args: &ForestArgs, config: &ForestConfig) -> Vec<(String, String)> {
    let depth = match config.max_depth {
        None => "auto".to_owned(),
        Some(UNLIMITED_DEPTH) => "unlimited".to_owned(),
        Some(depth) => depth.to_string(),
    };
    let mut settings = vec![
        ("trainer", format!("{:?}", args.trainer)),
        ("variant", args.variant.name().to_owned()),
        ("trees", config.n_trees.to_string()),
        ("sample_size", config.subsample_size.to_string()),
        ("max_depth", depth),
        ("extension_level", config.extension_level.to_string()),
        ("fraction_bits", config.bits().to_string()),
        ("metric", config.metric.name().to_owned()),
    ];
    match config.rule {
        SplitRule::Uniform => settings.push(("split", "uniform".to_owned())),
        SplitRule::ByRange => settings.push(("split", "by-range".to_owned())),
        SplitRule::Gain { criterion, tries } => {
            let name = match criterion {
                Gain::Average => "average-gain",
                Gain::Pooled => "pooled-gain",
            };
            settings.extend([("split", name.to_owned()), ("tries", tries.to_string())]);
        }
        SplitRule::Histogram { max_buckets, epsilon } => settings.extend([
            ("split", "histogram".to_owned()),
            ("max_buckets", max_buckets.to_string()),
            ("epsilon", epsilon.to_string()),
        ]),
    }
    settings.push(("penalize_range", config.penalize_range.to_string()));
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
