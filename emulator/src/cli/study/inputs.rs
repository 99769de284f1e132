//! Options that the studies share: model, background, signals, filling scheme; where reports and toys go.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use scout40_replay::lhc::FillingScheme;
use scout40_studies::nplm::toys::Journal;
use scout40_studies::spectrum::Spectrum;
use serde_json::Value;

use super::compare::distinct;
use super::report::{ModelRecord, Outputs};
use crate::cli::engine::EngineArgs;
use crate::cli::output::{appended, progress_bar};
use crate::cli::parse;
use crate::config::{LoadedModel, SchemeChoice, UsageError};
use crate::study::sample::{OutOf, Request, Role, Sample, check_out_of, n_crossings, spectrum};

/// Background events.
#[derive(Args, Debug)]
pub struct BackgroundArgs {
    /// The background
    #[arg(long, value_name = "B.s40")]
    pub background: PathBuf,
    /// Rows of the background to use, such as `800000..`; default: all
    #[arg(long, value_parser = parse::rows)]
    pub rows: Option<Range<u64>>,
}

impl BackgroundArgs {
    /// The events that may be looked at.
    pub fn request(&self) -> Request<'_> {
        let all = Request::new(&self.background, Role::Background);
        Request { rows: self.rows.as_ref(), ..all }
    }
}

/// Signals, where a study needs some.
#[derive(Args, Debug)]
pub struct SignalArgs {
    /// The signals
    #[arg(long = "signal", required = true, num_args = 1.., value_name = "S.s40")]
    pub paths: Vec<PathBuf>,
}

/// What rates are relative to.
#[derive(Args, Debug)]
pub struct SchemeArgs {
    /// Which slots collide: `lhc` (2748), `all`, `single`, or a TOML file
    #[arg(long, default_value = "lhc", value_name = "SCHEME")]
    pub filling_scheme: SchemeChoice,
}

impl SchemeArgs {
    /// The filling scheme that rates are for.
    pub fn load(&self) -> Result<FillingScheme> {
        let why = "rates need a filling scheme: `recorded` tells no rate of collisions";
        self.filling_scheme.load_collisions(why)
    }
}

/// What scores.
#[derive(Args, Debug)]
pub struct ScorerArgs {
    /// The model; default: scores of the streams
    #[arg(long, value_name = "M.model")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What is studied.
#[derive(Args, Debug)]
pub struct SampleArgs {
    #[command(flatten)]
    pub events: BackgroundArgs,
    /// With accepted events as background: of how many scored crossings they are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub out_of: Option<u64>,
    #[command(flatten)]
    pub scheme: SchemeArgs,
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

/// Where reports and toys go: toys as they end to `STEM.toys`.
#[derive(Args, Debug)]
pub struct ToyOutputArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Go on from `STEM.toys`, where each toy was written as it ended
    #[arg(long, requires = "output")]
    resume: bool,
}

/// A signal and its scores.
pub struct Signal {
    /// A name of its own.
    pub name: String,
    pub sample: Sample,
    pub spectrum: Spectrum,
}

impl ScorerArgs {
    /// The model, if there is one.
    pub fn load(&self) -> Result<Option<LoadedModel>> {
        let read = |path: &PathBuf| LoadedModel::read(path, self.engine.into());
        self.model.as_ref().map(read).transpose()
    }

    /// The model as it is recorded.
    pub fn record(&self, model: Option<&LoadedModel>) -> Option<ModelRecord> {
        self.model.as_deref().zip(model).map(|(path, model)| ModelRecord::new(path, model))
    }
}

impl SampleArgs {
    /// The scores of the background; events that any of `others` was trained on are left out, too.
    pub fn background(
        &self,
        model: Option<&LoadedModel>,
        others: &[&LoadedModel],
    ) -> Result<(Sample, Spectrum)> {
        let request = Request { not_trained_on: others, ..self.events.request() };
        let out_of = OutOf::of(&self.events.background, self.out_of, model)?;
        scored(&request, model, out_of)
    }
}

impl OutputArgs {
    /// The files, none of which exists unless it may be overwritten.
    pub fn files(&self) -> Result<Option<Outputs>> {
        self.output.as_deref().map(|stem| Outputs::new(stem, self.force)).transpose()
    }
}

impl ToyOutputArgs {
    /// Where toys are kept, and the files of the report. `configuration`: everything that toys depend on.
    pub fn open(&self, configuration: &Value) -> Result<(Journal, Option<Outputs>)> {
        let OutputArgs { output, force } = &self.output;
        let Some(stem) = output else { return Ok((Journal::in_memory(), None)) };
        let (path, configuration) = (appended(stem, ".toys"), configuration.to_string());
        if path.exists() && !*force && !self.resume {
            let hint = "hint: `--resume` goes on with its toys, `--force` begins again";
            bail!(UsageError(format!("`{}` exists\n{hint}", path.display())));
        }
        let outputs = Outputs::new(stem, *force || self.resume)?;
        if self.resume {
            tell_of_new_journal(&path);
        }
        let journal = match self.resume {
            true => Journal::resume(&path, &configuration)?,
            false => Journal::create(&path, &configuration)?,
        };
        Ok((journal, Some(outputs)))
    }
}

/// Says so where `--resume` finds nothing to go on with: the path may be mistyped, and hours begin again.
pub fn tell_of_new_journal(path: &Path) {
    if !path.exists() {
        let path = path.display();
        eprintln!("note: there is no `{path}` to go on with: `--resume` begins it anew");
    }
}

/// Refuses a list in which something occurs twice: it would be done twice and say nothing new, and most likely
/// something else was meant.
pub fn each_once<T: PartialEq + Display>(option: &str, values: &[T]) -> Result<()> {
    let twice = values.iter().enumerate().find(|(k, value)| values[..*k].contains(value));
    let Some((_, value)) = twice else { return Ok(()) };
    bail!(UsageError(format!("`{option}`: expected each value once, found {value} twice")))
}

/// Target rates, given in Hz, in kHz: each once, and none above that of collisions.
pub fn targets_khz(rates_hz: &[f64], collision_rate_hz: f64) -> Result<Vec<f64>> {
    let targets_khz: Vec<f64> = rates_hz.iter().map(|hz| hz / 1000.0).collect();
    let highest_khz = collision_rate_hz / 1000.0;
    if let Some(khz) = targets_khz.iter().find(|khz| **khz > highest_khz) {
        bail!(UsageError(format!(
            "`--rates`: expected at most the rate of collisions, {highest_khz} kHz, found {khz} kHz\n\
             hint: `--filling-scheme` says which slots collide"
        )));
    }
    let shown: Vec<String> = targets_khz.iter().map(|khz| format!("{khz} kHz")).collect();
    each_once("--rates", &shown)?;
    Ok(targets_khz)
}

/// The scores of a sample, with a progress bar.
pub fn scored(
    request: &Request,
    model: Option<&LoadedModel>,
    out_of: Option<OutOf>,
) -> Result<(Sample, Spectrum)> {
    let bar = progress_bar(n_crossings(request.path), "scoring");
    let found = spectrum(request, model, out_of, &mut |n| bar.inc(n));
    bar.finish_and_clear();
    found
}

/// The scores of one signal.
pub fn scored_signal(path: &Path, model: Option<&LoadedModel>) -> Result<(Sample, Spectrum)> {
    check_out_of(path, None)?;
    scored(&Request::new(path, Role::Signal), model, None)
}

/// The scores of signals.
pub fn signals(
    paths: &[PathBuf],
    model: Option<&LoadedModel>,
    taken: &mut Vec<String>,
) -> Result<Vec<Signal>> {
    let signal = |path: &PathBuf| {
        let (sample, spectrum) = scored_signal(path, model)?;
        Ok(Signal { name: distinct(&sample.name, taken), sample, spectrum })
    };
    paths.iter().map(signal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_refused_however_it_is_written() {
        assert!(each_once("--x", &[1.0, 2.0, 3.0]).is_ok() && each_once::<f64>("--x", &[]).is_ok());
        let error = each_once("--x", &[1.0, 2.0, 1.0]).unwrap_err();
        assert!(error.is::<UsageError>() && error.to_string().contains("found 1 twice"), "{error}");
        assert_eq!(targets_khz(&[1e3, 1e4], 1e4).unwrap(), [1.0, 10.0]);
        let above = targets_khz(&[1e3, 1e4], 9999.0).unwrap_err();
        assert!(above.is::<UsageError>() && above.to_string().contains("9.999 kHz, found 10 kHz"));
        let rates = ["1kHz", "1000Hz"].map(|text| parse::frequency(text).unwrap());
        assert!(targets_khz(&rates, 4e7).unwrap_err().to_string().contains("1 kHz twice"));
    }
}
