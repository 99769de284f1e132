//! `scout40 train`: makes a model from a stream of background. One file per kind of model; here is
//! what they share, the rows they are trained on.

mod autoencoder;
mod forest;
#[cfg(feature = "plot")]
mod loss_figure;
pub mod recipe;

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use scout40_models::FeatureSpec;
use scout40_models::file::TrainingInput;
use scout40_replay::event::Block;
use scout40_replay::source::{Delivery, FileSource, Source};

use super::output::progress_bar;
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
    Forest(Box<forest::ForestArgs>),
    Autoencoder(Box<autoencoder::AutoencoderArgs>),
}

pub fn run(args: TrainArgs) -> Result<()> {
    match args.kind {
        Kind::Forest(args) => forest::run(&args),
        Kind::Autoencoder(args) => autoencoder::run(&args),
    }
}

/// Which rows of which stream a model is trained on.
#[derive(Args, Debug)]
struct RowsArgs {
    /// Background stream to train on
    #[arg(long, value_name = "S.s40")]
    input: PathBuf,
    /// Feature layout: `l1-57`, `axol1tl`, `thesis-99`, or features such as `met.pt, jet[0..4].pt`
    #[arg(long, default_value = "l1-57", value_name = "SPEC")]
    features: String,
    /// Rows of the stream to train on, such as `0..800000`; default: all
    #[arg(long, value_parser = parse::rows)]
    rows: Option<Range<u64>>,
}

/// A stream that has the columns and the rows that were asked for.
struct TrainingStream {
    path: PathBuf,
    spec: FeatureSpec,
    sample: String,
    digest: u64,
    /// Ascending, none empty unless the stream is.
    rows: Vec<Range<u64>>,
}

impl TrainingStream {
    fn open(args: &RowsArgs) -> Result<TrainingStream> {
        TrainingStream::of_rows(args, |n_rows| {
            Ok(vec![chosen_rows(args.rows.clone(), &args.input, n_rows)?])
        })
    }

    /// The rows that `chosen` picks of so many.
    fn of_rows(
        args: &RowsArgs,
        chosen: impl Fn(u64) -> Result<Vec<Range<u64>>>,
    ) -> Result<TrainingStream> {
        let spec = FeatureSpec::parse(&args.features).map_err(|e| UsageError(e.to_string()))?;
        let source = FileSource::open(&args.input)?;
        spec.check(source.columns())
            .with_context(|| format!("`{}` cannot be trained on", args.input.display()))?;
        let index = source.info().index.clone().with_context(|| {
            format!(
                "`{}` has lost its index, so its number of rows is not known\n\
                 hint: convert it again",
                args.input.display()
            )
        })?;
        Ok(TrainingStream {
            path: args.input.clone(),
            spec,
            sample: source.header().sample.clone(),
            digest: index.digest,
            rows: chosen(index.n_crossings)?,
        })
    }

    fn n_rows(&self) -> u64 {
        self.rows.iter().map(|rows| rows.end - rows.start).sum()
    }

    /// As they are recorded in models.
    fn inputs(&self) -> Vec<TrainingInput> {
        let input = |rows: &Range<u64>| TrainingInput {
            name: self.sample.clone(),
            digest: self.digest,
            first_row: rows.start,
            n_rows: rows.end - rows.start,
        };
        self.rows.iter().map(input).collect()
    }

    /// Hands the rows to `each`, block by block, from the beginning.
    fn feed(&mut self, what: &str, each: &mut dyn FnMut(&Block) -> Result<()>) -> Result<()> {
        let mut source = FileSource::open(&self.path)?;
        let bar = progress_bar(self.n_rows(), what);
        let mut block = Block::default();
        let mut part = Block::default();
        let last = self.rows.last().map_or(0, |rows| rows.end);
        let mut first = 0;
        while first < last {
            match source.next_block(self.spec.columns(), &mut block)? {
                Delivery::Block => {}
                Delivery::End => break,
                trouble => bail!(
                    "`{}` is damaged: {trouble}\nhint: `scout40 verify` tells how much of it",
                    source.path().display()
                ),
            }
            let end = first + block.len() as u64;
            for rows in &self.rows {
                let wanted = rows.start.max(first)..rows.end.min(end);
                if wanted == (first..end) {
                    each(&block)?;
                } else if !wanted.is_empty() {
                    part.reset(block.run, block.columns());
                    wanted.clone().for_each(|row| part.push_event(&block, (row - first) as usize));
                    each(&part)?;
                }
                bar.inc(wanted.end.saturating_sub(wanted.start));
            }
            first = end;
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// The rows that were asked for; an open end is that of the stream.
fn chosen_rows(rows: Option<Range<u64>>, input: &Path, n_rows: u64) -> Result<Range<u64>> {
    let Range { start, end } = rows.unwrap_or(0..n_rows);
    let end = if end == u64::MAX { n_rows } else { end };
    // An empty stream is the trainer's business: it says how many rows it needs.
    if end > n_rows || (start >= n_rows && n_rows > 0) {
        bail!(
            "rows {start}..{end} asked for, but `{}` holds rows 0..{n_rows}\n\
             hint: choose a range within them",
            input.display()
        );
    }
    Ok(start.min(n_rows)..end)
}
