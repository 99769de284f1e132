//! `scout40 train`: grows a forest from a stream.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use scout40_models::file::{Provenance, TrainingInput};
use scout40_models::forest::eif::EifSample;
use scout40_models::forest::train::{ForestConfig, ForestSample};
use scout40_models::{FeatureSpec, Forest, Model};
use scout40_replay::event::Block;
use scout40_replay::source::{Delivery, FileSource, Source};

use super::output::{grouped, print, progress_bar, refuse_overwrite};
use super::parse;
use crate::config::UsageError;

/// Trains a model on a background stream.
#[derive(Args, Debug)]
pub struct TrainArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand, Debug)]
enum Kind {
    Forest(ForestArgs),
}

/// Grows an isolation forest.
///
/// The same rows, settings and seed give the same file, whatever the number of threads (but for
/// `--trainer eif-crate`, which cannot be seeded).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 train forest --input zb.s40 -o forest.model
  scout40 train forest --input zb.s40 --rows 0..800000 --trees 100 --sample-size 10000 -o deep.model
  scout40 train forest --input zb.s40 --features 'met.pt, jet[0..4].(pt,eta)' -o small.model")]
struct ForestArgs {
    /// Background stream to train on
    #[arg(long, value_name = "S.s40")]
    input: PathBuf,
    /// The model file to write
    #[arg(short, long, value_name = "M.model")]
    output: PathBuf,
    /// Number of trees
    #[arg(long, default_value_t = 100)]
    trees: usize,
    /// Rows per tree, drawn without replacement
    #[arg(long, default_value_t = 256)]
    sample_size: usize,
    /// Most nodes above a leaf: a number, or `auto` = log2 of the sample size, rounded up
    #[arg(long, default_value = "auto", value_parser = max_depth)]
    max_depth: MaxDepth,
    /// Features in the normal of a split, less one: 0 = axis-parallel
    #[arg(long, default_value_t = 0)]
    extension_level: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Feature layout: `l1-57`, `axol1tl`, `thesis-99`, or features such as `met.pt, jet[0..4].pt`
    #[arg(long, default_value = "l1-57", value_name = "SPEC")]
    features: String,
    /// Rows of the stream to train on, such as `0..800000`; default: all
    #[arg(long, value_parser = parse::rows)]
    rows: Option<Range<u64>>,
    /// Fractional bits of the score
    #[arg(long, default_value_t = 4)]
    fraction_bits: u32,
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
    if text == "auto" {
        return Ok(MaxDepth(None));
    }
    let depth = text.parse().map_err(|_| format!("expected `auto` or a number, found `{text}`"))?;
    Ok(MaxDepth(Some(depth)))
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Trainer {
    /// Ours: seeded, skips constant columns
    Scout40,
    /// The `extended-isolation-forest` crate: cannot be seeded; 57 or 99 features
    EifCrate,
}

pub fn run(args: TrainArgs) -> Result<()> {
    let Kind::Forest(args) = args.kind;
    refuse_overwrite(&args.output, args.force)?;
    if let Some(threads) = args.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("while starting threads")?;
    }
    let spec = FeatureSpec::parse(&args.features).map_err(|e| UsageError(e.to_string()))?;
    let mut source = FileSource::open(&args.input)?;
    spec.check(source.columns())
        .with_context(|| format!("`{}` cannot be trained on", args.input.display()))?;
    let index = source.info().index.clone().with_context(|| {
        format!(
            "`{}` has lost its index, so its number of rows is not known\n\
             hint: convert it again",
            args.input.display()
        )
    })?;
    let rows = training_rows(&args, index.n_crossings)?;
    let config = ForestConfig {
        n_trees: args.trees,
        subsample_size: args.sample_size,
        max_depth: args.max_depth.0,
        extension_level: args.extension_level,
        rng_seed: args.seed,
        fraction_bits: args.fraction_bits,
    };
    let n_rows = rows.end - rows.start;
    let forest = match args.trainer {
        Trainer::Scout40 => {
            let mut sample = ForestSample::draw(&config, &spec, n_rows)?;
            feed(&mut source, &spec, &rows, &mut |block| Ok(sample.collect(block)?))?;
            let bar = progress_bar(args.trees as u64, "growing trees");
            let forest = sample.grow(&|| bar.inc(1))?;
            bar.finish_and_clear();
            forest
        }
        Trainer::EifCrate => {
            let mut sample = EifSample::draw(&config, &spec, n_rows)?;
            feed(&mut source, &spec, &rows, &mut |block| Ok(sample.collect(block)?))?;
            sample.grow()?
        }
    };
    let input = TrainingInput {
        name: source.header().sample.clone(),
        digest: index.digest,
        first_row: rows.start,
        n_rows,
    };
    write(&args, spec, forest, input)
}

/// The rows that were asked for; an open end is that of the stream.
fn training_rows(args: &ForestArgs, n_rows: u64) -> Result<Range<u64>> {
    let Range { start, end } = args.rows.clone().unwrap_or(0..n_rows);
    let end = if end == u64::MAX { n_rows } else { end };
    // An empty stream is the trainer's business: it says how many rows it needs.
    if end > n_rows || (start >= n_rows && n_rows > 0) {
        bail!(
            "rows {start}..{end} asked for, but `{}` holds rows 0..{n_rows}\n\
             hint: choose a range within them",
            args.input.display()
        );
    }
    Ok(start.min(n_rows)..end)
}

/// Hands the rows `rows` of the stream to `each`, block by block.
fn feed(
    source: &mut FileSource,
    spec: &FeatureSpec,
    rows: &Range<u64>,
    each: &mut dyn FnMut(&Block) -> Result<()>,
) -> Result<()> {
    let bar = progress_bar(rows.end - rows.start, "reading");
    let mut block = Block::default();
    let mut part = Block::default();
    let mut first = 0;
    while first < rows.end {
        match source.next_block(spec.columns(), &mut block)? {
            Delivery::Block => {}
            Delivery::End => break,
            trouble => bail!(
                "`{}` is damaged: {trouble}\nhint: `scout40 verify` tells how much of it",
                source.path().display()
            ),
        }
        let end = first + block.len() as u64;
        if rows.contains(&first) && rows.end >= end {
            each(&block)?;
        } else if first < rows.end && end > rows.start {
            part.reset(block.run, block.columns());
            let wanted = rows.start.max(first)..rows.end.min(end);
            wanted.for_each(|row| part.push_event(&block, (row - first) as usize));
            each(&part)?;
        }
        first = end;
        bar.set_position(end.saturating_sub(rows.start));
    }
    bar.finish_and_clear();
    Ok(())
}

fn write(args: &ForestArgs, spec: FeatureSpec, forest: Forest, input: TrainingInput) -> Result<()> {
    let settings = [
        ("trainer", format!("{:?}", args.trainer)),
        ("trees", args.trees.to_string()),
        ("sample_size", args.sample_size.to_string()),
        ("max_depth", args.max_depth.0.map_or("auto".into(), |depth| depth.to_string())),
        ("extension_level", args.extension_level.to_string()),
        ("fraction_bits", args.fraction_bits.to_string()),
    ];
    let n_rows = input.n_rows;
    let provenance = Provenance {
        tool: concat!("scout40 ", env!("CARGO_PKG_VERSION")).into(),
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        rng_seed: args.seed,
        inputs: vec![input],
    };
    let model = Model::new(spec, forest, provenance)?;
    model.write(&args.output)?;
    let mut text = format!("{}: trained on {} rows\n", args.output.display(), grouped(n_rows));
    text += &super::inspect::model_text(&model);
    print(&text)
}
