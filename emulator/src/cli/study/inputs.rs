//! Options that the studies share: model, background, signals, filling scheme; and where reports go.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use scout40_replay::event::ColumnSet;
use scout40_studies::spectrum::Spectrum;

use super::compare::distinct;
use super::report::{ModelRecord, Outputs};
use crate::cli::engine::EngineArgs;
use crate::cli::output::progress_bar;
use crate::cli::parse;
use crate::comparison::Role;
use crate::config::{LoadedModel, SchemeChoice};
use crate::study::sample::{Request, Sample, check_out_of, n_crossings, spectrum};

/// What is studied.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// The model; default: scores of the streams
    #[arg(long, value_name = "M.model")]
    pub model: Option<PathBuf>,
    /// The background
    #[arg(long, value_name = "B.s40")]
    pub background: PathBuf,
    /// Rows of the background to use, such as `800000..`; default: all
    #[arg(long, value_parser = parse::rows)]
    pub rows: Option<Range<u64>>,
    /// With accepted events as background: of how many scored crossings they are
    #[arg(long, value_name = "N")]
    pub out_of: Option<u64>,
    /// Which slots collide: `lhc` (2748), `all`, `single`, or a TOML file
    #[arg(long, default_value = "lhc", value_name = "SCHEME")]
    pub filling_scheme: SchemeChoice,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Where reports go.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// Write `STEM.json` and `STEM.csv` as well, and figures
    #[arg(short, long, value_name = "STEM")]
    pub output: Option<PathBuf>,
    /// Overwrite the outputs
    #[arg(long)]
    pub force: bool,
}

/// A signal and its scores.
pub struct Signal {
    /// A name of its own.
    pub name: String,
    pub sample: Sample,
    pub spectrum: Spectrum,
}

impl SampleArgs {
    /// The model, if there is one.
    pub fn load_model(&self) -> Result<Option<LoadedModel>> {
        let read = |path: &PathBuf| LoadedModel::read(path, self.engine.into());
        self.model.as_ref().map(read).transpose()
    }

    /// The model as it is recorded.
    pub fn model_record(&self, model: Option<&LoadedModel>) -> Option<ModelRecord> {
        self.model.as_deref().zip(model).map(|(path, model)| ModelRecord::new(path, model))
    }

    /// The events of the background that may be looked at.
    pub fn request(&self) -> Request<'_> {
        let (path, rows) = (&self.background, self.rows.as_ref());
        Request { path, role: Role::Background, rows, columns: ColumnSet::EMPTY }
    }

    /// The scores of the background.
    pub fn background(&self, model: Option<&LoadedModel>) -> Result<(Sample, Spectrum)> {
        check_out_of(&self.background, self.out_of)?;
        let bar = progress_bar(n_crossings(&self.background), "scoring");
        let found = spectrum(&self.request(), model, self.out_of, &mut |n| bar.inc(n));
        bar.finish_and_clear();
        found
    }
}

impl OutputArgs {
    /// The files, none of which exists unless it may be overwritten.
    pub fn files(&self) -> Result<Option<Outputs>> {
        self.output.as_deref().map(|stem| Outputs::new(stem, self.force)).transpose()
    }
}

/// The scores of signals.
pub fn signals(
    paths: &[PathBuf],
    model: Option<&LoadedModel>,
    taken: &mut Vec<String>,
) -> Result<Vec<Signal>> {
    let mut signals = Vec::new();
    for path in paths {
        check_out_of(path, None)?;
        let request = Request { path, role: Role::Signal, rows: None, columns: ColumnSet::EMPTY };
        let bar = progress_bar(n_crossings(path), "scoring");
        let found = spectrum(&request, model, None, &mut |n| bar.inc(n));
        bar.finish_and_clear();
        let (sample, spectrum) = found?;
        signals.push(Signal { name: distinct(&sample.name, taken), sample, spectrum });
    }
    Ok(signals)
}
