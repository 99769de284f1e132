//! `scout40 train autoencoder`: trains a small neural network on a stream.
//!
//! The stream is read twice, for the scales of the inputs and for the rows. Beside the model come
//! its loss curve and, until the training has ended, a checkpoint to resume from.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use scout40_models::autoencoder::train::{
    Architecture, AutoencoderConfig, Calibration, CodeRows, Ending, EpochRecord, Loss, Observer,
    Schedule, Trainer, n_training_rows,
};
use scout40_models::file::{Provenance, write_whole};
use scout40_models::{FeatureSpec, Model};
#[cfg(feature = "plot")]
use scout40_studies::plot::Saved;

#[cfg(feature = "plot")]
use super::loss_figure;
use super::{RowsArgs, TrainingStream};
use crate::cli::inspect::model_text;
use crate::cli::output::{appended, grouped, print, progress_bar, refuse_overwrite};
use crate::clock::Clock;
use crate::config::UsageError;

/// Trains an autoencoder.
///
/// The same rows, settings and seed give the same network on the same machine. Ctrl-C ends after
/// the running step; the same command with `--resume` goes on as if it had not been pressed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # a variational autoencoder, of which the encoder is kept: 57-32-16-8
  scout40 train autoencoder --input zb.s40 --rows 0..800000 -o vae.model
  # momenta alone, hardly any of their tails learnt: what finds most signal here
  scout40 train autoencoder --input zb.s40 --rows 0..800000 \\
      --features 'met.pt, egamma[0..4].pt, muon[0..4].pt, jet[0..10].pt' \\
      --kind reconstruction --hidden 8-2-8 --cap 1 --loss huber:0.02 --clip-quantile 0.99 \\
      --shift met=0,egamma=0,muon=-1,jet=1 -o ae.model
  # the published convolutional autoencoder, all of the image reconstructed
  scout40 train autoencoder --input zb.s40 --kind convolutional -o cae.model")]
pub struct AutoencoderArgs {
    #[command(flatten)]
    pub(super) rows: RowsArgs,
    /// The model file to write; `M.loss.csv`, the same as a figure (`.svg`, `.png`) and, while
    /// training, `M.checkpoint` go beside it
    #[arg(short, long, value_name = "M.model")]
    output: PathBuf,
    /// Kind of network
    #[arg(long, default_value = "variational")]
    kind: Kind,
    /// Widths of hidden layers, such as `32-16`, or `none`; not convolutional; default: 32-16
    /// before the latent variables, 32-16-8-16-32 between inputs and outputs
    #[arg(long, value_parser = widths, value_name = "N-N-...")]
    hidden: Option<Widths>,
    /// Number of latent variables; variational and convolutional; default: 8
    #[arg(long, value_name = "N")]
    latent: Option<u32>,
    /// Weight of the Kullback-Leibler divergence; variational only; default: 0.01
    #[arg(long)]
    beta: Option<f64>,
    /// Number of 3 x 3 filters over objects and fields; convolutional only; default: 10
    #[arg(long, value_name = "N")]
    filters: Option<u32>,
    /// What is reconstructed: `all`, or fields and features such as `pt` or `met_pt,jet0_pt`;
    /// default: the transverse momenta, if there are any and no image has to be reconstructed
    #[arg(long, value_name = "NAMES")]
    targets: Option<String>,
    /// What an error costs: `mse`, or `huber:DELTA` with DELTA in units of 128 codes
    #[arg(long, default_value = "mse", value_parser = loss)]
    loss: Loss,
    /// Power of two near which hidden values are clipped, in units of 128 codes, or `none`
    #[arg(long, default_value = "4", value_parser = cap, value_name = "X|none")]
    cap: f32,
    /// Largest learning rate
    #[arg(long, default_value_t = 0.003, value_name = "X")]
    learning_rate: f64,
    /// What becomes of the learning rate after the warm-up
    #[arg(long, default_value = "cosine")]
    schedule: ScheduleArg,
    /// Epochs over which the learning rate grows
    #[arg(long, default_value_t = 0.5, value_name = "EPOCHS")]
    warm_up: f64,
    /// Decay of weights per step, in units of the learning rate
    #[arg(long, default_value_t = 0.0, value_name = "X")]
    weight_decay: f64,
    /// Most passes over the rows
    #[arg(long, default_value_t = 10, value_name = "N")]
    epochs: u32,
    /// Passes after those in which weights and values are rounded as in the integer network
    #[arg(long, default_value_t = 2, value_name = "N")]
    fine_tuning_epochs: u32,
    /// Rows of a step
    #[arg(long, default_value_t = 1024, value_name = "N")]
    batch_size: u32,
    /// Part of the rows, the last ones, that the loss is validated with
    #[arg(long, default_value_t = 0.1, value_name = "FRACTION")]
    validation_fraction: f64,
    /// Epochs without a lower validation loss after which training in floating point ends, or `none`
    #[arg(long, default_value = "5", value_parser = patience, value_name = "N|none")]
    patience: Patience,
    /// Clip the codes of each feature at this quantile in training
    #[arg(long, value_name = "Q")]
    clip_quantile: Option<f64>,
    /// Powers of two that falling features are divided by, such as `met=1,egamma=1,muon=0,jet=2`;
    /// default: those with which 99.99 % of the leading objects stay below 128 codes
    #[arg(long, value_delimiter = ',', value_parser = shift, value_name = "NAME=BITS,...")]
    shift: Vec<(String, i8)>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Go on from `M.checkpoint`
    #[arg(long)]
    resume: bool,
    /// Leave `M.checkpoint` where it is at the end
    #[arg(long)]
    keep_checkpoint: bool,
    /// Overwrite the outputs
    #[arg(long)]
    force: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Variational: the score is the squared length of the latent means
    #[value(alias = "vae")]
    Variational,
    /// The score is the squared error of the outputs
    #[value(alias = "ae")]
    Reconstruction,
    /// 3 x 3 filters over objects and their pt, eta, phi; the score is the squared error
    #[value(alias = "cae")]
    Convolutional,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum ScheduleArg {
    /// It stays
    Constant,
    /// It falls to zero
    Cosine,
}

#[derive(Clone, Debug)]
struct Widths(Vec<u32>);

#[derive(Clone, Copy, Debug)]
struct Patience(Option<u32>);

fn widths(text: &str) -> Result<Widths, String> {
    let expected = || format!("expected widths such as `32-16`, or `none`, found `{text}`");
    match text {
        "none" => Ok(Widths(Vec::new())),
        _ => {
            let width = |width: &str| width.trim().parse().map_err(|_| expected());
            text.split('-').map(width).collect::<Result<_, _>>().map(Widths)
        }
    }
}

fn loss(text: &str) -> Result<Loss, String> {
    let expected = || format!("expected `mse` or `huber:DELTA`, found `{text}`");
    match text.split_once(':') {
        None if text == "mse" => Ok(Loss::Mse),
        Some(("huber", delta)) => {
            delta.parse().map(|delta| Loss::Huber { delta }).map_err(|_| expected())
        }
        _ => Err(expected()),
    }
}

fn cap(text: &str) -> Result<f32, String> {
    match text {
        "none" => Ok(f32::INFINITY),
        _ => text.parse().map_err(|_| format!("expected a number or `none`, found `{text}`")),
    }
}

fn patience(text: &str) -> Result<Patience, String> {
    match text {
        "none" => Ok(Patience(None)),
        _ => match text.parse() {
            Ok(epochs) => Ok(Patience(Some(epochs))),
            Err(_) => Err(format!("expected a number of epochs or `none`, found `{text}`")),
        },
    }
}

fn shift(text: &str) -> Result<(String, i8), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(name, bits)| Some((name.trim().to_owned(), bits.trim().parse().ok()?)));
    parsed.ok_or_else(|| format!("expected a shift such as `jet=2`, found `{text}`"))
}

/// The kind of network that was asked for.
fn architecture(args: &AutoencoderArgs) -> Result<Architecture, UsageError> {
    let hidden = args.hidden.clone().map(|widths| widths.0);
    let options = [
        ("--hidden", hidden.is_some(), args.kind != Kind::Convolutional),
        ("--latent", args.latent.is_some(), args.kind != Kind::Reconstruction),
        ("--beta", args.beta.is_some(), args.kind == Kind::Variational),
        ("--filters", args.filters.is_some(), args.kind == Kind::Convolutional),
    ];
    if let Some((option, ..)) = options.iter().find(|(_, is_given, is_used)| *is_given && !is_used)
    {
        let kind = args.kind.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned());
        return Err(UsageError(format!("`{option}` means nothing with `--kind {kind}`")));
    }
    let mut architecture = match args.kind {
        Kind::Variational => Architecture::variational(),
        Kind::Reconstruction => Architecture::reconstruction(),
        Kind::Convolutional => Architecture::convolutional(),
    };
    match &mut architecture {
        Architecture::Variational { hidden: widths, latent, beta } => {
            *widths = hidden.unwrap_or_else(|| widths.clone());
            *latent = args.latent.unwrap_or(*latent);
            *beta = args.beta.unwrap_or(*beta);
        }
        Architecture::Reconstruction { hidden: widths } => {
            *widths = hidden.unwrap_or_else(|| widths.clone());
        }
        Architecture::Convolutional { filters, latent } => {
            *filters = args.filters.unwrap_or(*filters);
            *latent = args.latent.unwrap_or(*latent);
        }
    }
    Ok(architecture)
}

fn config(args: &AutoencoderArgs, spec: &FeatureSpec) -> Result<AutoencoderConfig> {
    let architecture = architecture(args)?;
    if args.kind == Kind::Convolutional {
        check_image(spec)?;
    }
    let names: Vec<&str> = args.shift.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(twice) = (1..names.len()).find(|&k| names[..k].contains(&names[k])) {
        return Err(UsageError(format!("`--shift` names {} twice", names[twice])).into());
    }
    // Without rows for validation, nothing tells when to lose patience.
    let patience = args.patience.0.filter(|_| args.validation_fraction != 0.0);
    Ok(AutoencoderConfig {
        architecture,
        targets: targets(args, spec)?,
        loss: args.loss,
        cap: args.cap,
        learning_rate: args.learning_rate,
        schedule: match args.schedule {
            ScheduleArg::Constant => Schedule::Constant,
            ScheduleArg::Cosine => Schedule::Cosine,
        },
        warm_up: args.warm_up,
        weight_decay: args.weight_decay,
        epochs: args.epochs,
        fine_tuning_epochs: args.fine_tuning_epochs,
        batch_size: args.batch_size,
        validation_fraction: args.validation_fraction,
        patience,
        clip_quantile: args.clip_quantile,
        rng_seed: args.seed,
    })
}

/// Neighbours in an image must be objects and their fields.
fn check_image(spec: &FeatureSpec) -> Result<(), UsageError> {
    let names = spec.names();
    let fits = |object: &[String]| {
        let field = |name: &str, field| name.ends_with(field) || name.starts_with("zero");
        object.iter().zip(["_pt", "_eta", "_phi"]).all(|(name, ending)| field(name, ending))
    };
    match names.chunks(3).find(|object| !fits(object)) {
        None => Ok(()),
        Some(object) => Err(UsageError(format!(
            "features: expected pt, eta, phi of each object, as an image has them, found {}\n\
             hint: `--features l1-57`, or such as `jet[0..10].(pt,eta,phi)`",
            object.join(", ")
        ))),
    }
}

/// The features that are reconstructed; none: all.
fn targets(args: &AutoencoderArgs, spec: &FeatureSpec) -> Result<Vec<u16>, UsageError> {
    match &args.targets {
        Some(text) => named_features(text, spec),
        None if args.kind == Kind::Convolutional => Ok(Vec::new()),
        None => Ok(named_features("pt", spec).unwrap_or_default()),
    }
}

/// The features that a list of names and fields means; none: all.
fn named_features(text: &str, spec: &FeatureSpec) -> Result<Vec<u16>, UsageError> {
    if text == "all" {
        return Ok(Vec::new());
    }
    let names = spec.names();
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let matches = |name: &str, word: &str| {
        name == word || name.strip_suffix(word).is_some_and(|rest| rest.ends_with('_'))
    };
    if let Some(word) = words.iter().find(|word| !names.iter().any(|name| matches(name, word))) {
        return Err(UsageError(format!(
            "targets: expected `all`, a field such as `pt`, or one of {}, found `{word}`",
            names.join(", ")
        )));
    }
    let chosen = |name: &String| words.iter().any(|word| matches(name, word));
    Ok((0..).zip(&names).filter(|(_, name)| chosen(name)).map(|(place, _)| place).collect())
}

/// Where everything goes.
struct Paths {
    /// Without ending: a table and figures.
    loss: PathBuf,
    checkpoint: PathBuf,
}

impl Paths {
    /// `M.model` is followed by `M.loss.csv`; any other name is kept whole.
    fn beside(model: &Path) -> Paths {
        let is_model = model.extension().is_some_and(|extension| extension == "model");
        let stem = if is_model { model.with_extension("") } else { model.to_owned() };
        Paths { loss: appended(&stem, ".loss"), checkpoint: appended(&stem, ".checkpoint") }
    }

    fn losses(&self) -> PathBuf {
        appended(&self.loss, ".csv")
    }

    fn refuse_overwrite(&self, args: &AutoencoderArgs) -> Result<()> {
        if args.output.is_dir() {
            let text = format!("`{}` is a folder, expected a file to write", args.output.display());
            return Err(UsageError(text).into());
        }
        refuse_overwrite(&args.output, args.force)?;
        refuse_overwrite(&self.losses(), args.force)?;
        #[cfg(feature = "plot")]
        {
            let figure = Saved::of(&self.loss);
            refuse_overwrite(&figure.svg, args.force)?;
            refuse_overwrite(&figure.png, args.force)?;
        }
        if self.checkpoint.exists() && !args.resume && !args.force {
            let text = format!(
                "`{}` is left of an earlier training\n\
                 hint: `--resume` goes on with it, `--force` begins anew",
                self.checkpoint.display()
            );
            return Err(UsageError(text).into());
        }
        Ok(())
    }
}

/// Shows how a training goes, and stops it on Ctrl-C.
struct Watch {
    clock: Clock,
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Observer for Watch {
    fn now_s(&mut self) -> f64 {
        self.clock.now_s()
    }

    fn after_step(&mut self, done: u64, of: u64) -> bool {
        // Fewer than expected, if the first part ends early.
        self.bar.set_length(of);
        self.bar.set_position(done);
        // Relaxed: the flag carries nothing but itself.
        !self.stop.load(Ordering::Relaxed)
    }

    fn after_epoch(&mut self, record: &EpochRecord) {
        let validation =
            record.validation_loss.map_or(String::new(), |loss| format!(", validation {loss:.6}"));
        let EpochRecord { epoch, training_loss, seconds, .. } = record;
        let part = if record.is_fine_tuning { " (fine-tuning)" } else { "" };
        self.bar.suspend(|| {
            eprintln!("epoch {epoch}{part}: loss {training_loss:.6}{validation}, {seconds:.1} s");
        });
    }
}

pub fn run(args: &AutoencoderArgs) -> Result<()> {
    let paths = Paths::beside(&args.output);
    paths.refuse_overwrite(args)?;
    let stop = Arc::new(AtomicBool::new(false));
    let handle = Arc::clone(&stop);
    ctrlc::set_handler(move || handle.store(true, Ordering::Relaxed))
        .context("while preparing for Ctrl-C")?;
    let mut stream = TrainingStream::open(&args.rows)?;
    let config = config(args, &stream.spec)?;
    config.check(stream.spec.len())?;
    let rows = code_rows(args, &config, &mut stream)?;
    let mut trainer = if args.resume {
        Trainer::resume(config.clone(), &rows, &paths.checkpoint)?
    } else {
        Trainer::new(config.clone(), &rows)?
    };
    let bar = progress_bar(trainer.n_steps(), "training").with_position(trainer.n_steps_done());
    bar.reset_eta();
    let mut watch = Watch { clock: Clock::start(), bar, stop };
    let ending = trainer.run(Some(&paths.checkpoint), &mut watch)?;
    watch.bar.finish_and_clear();
    if ending == Ending::Interrupted {
        bail!(
            "interrupted after step {} of {}: `{}` holds everything so far\n\
             hint: the same command with `--resume` goes on",
            trainer.n_steps_done(),
            trainer.n_steps(),
            paths.checkpoint.display()
        );
    }
    if ending == Ending::NoProgress {
        eprintln!(
            "note: the validation loss no longer fell; training in floating point ended early"
        );
    }
    write_losses(&paths.losses(), trainer.history())?;
    let model = model(args, &config, &stream, &trainer)?;
    model.write(&args.output)?;
    let (path, n_rows) = (args.output.display(), grouped(stream.n_rows()));
    print(&format!("{path}: trained on {n_rows} rows\n{}", model_text(&model)))?;
    #[cfg(feature = "plot")]
    if let Err(error) = loss_figure::write(&paths.loss, trainer.history(), trainer.best_epoch()) {
        eprintln!("note: no figure of the loss: {error}");
    }
    if !args.keep_checkpoint {
        std::fs::remove_file(&paths.checkpoint)
            .with_context(|| format!("while removing `{}`", paths.checkpoint.display()))?;
    }
    Ok(())
}

/// Reads the stream: once for the scales, which the training rows alone decide, once for all rows.
fn code_rows(
    args: &AutoencoderArgs,
    config: &AutoencoderConfig,
    stream: &mut TrainingStream,
) -> Result<CodeRows> {
    let spec = stream.spec.clone();
    let mut calibration = Calibration::new(&spec, n_training_rows(config, stream.n_rows()));
    stream.feed("calibrating inputs", &mut |block| Ok(calibration.collect(block)?))?;
    let scales = calibration.scales(&args.shift)?;
    let mut rows = CodeRows::new(&spec, scales, stream.n_rows())?;
    stream.feed("reading", &mut |block| Ok(rows.collect(block)?))?;
    Ok(rows)
}

/// Writes the loss curve, whole or not at all.
fn write_losses(path: &Path, history: &[EpochRecord]) -> Result<()> {
    let mut text = "epoch,part,training_loss,validation_loss,learning_rate,seconds\n".to_owned();
    for record in history {
        let validation = record.validation_loss.map_or(String::new(), |loss| loss.to_string());
        let part = if record.is_fine_tuning { "fine-tuning" } else { "training" };
        let EpochRecord { epoch, training_loss, learning_rate, seconds, .. } = record;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{epoch},{part},{training_loss},{validation},{learning_rate},{seconds:.3}"
        );
    }
    Ok(write_whole(path, text.as_bytes(), "writing the loss curve")?)
}

/// Trains on the rows of a stream, without checkpoint and without telling of epochs.
pub(super) fn trained(args: &AutoencoderArgs, stream: &mut TrainingStream) -> Result<Model> {
    let config = config(args, &stream.spec)?;
    config.check(stream.spec.len())?;
    let rows = code_rows(args, &config, stream)?;
    let mut trainer = Trainer::new(config.clone(), &rows)?;
    let mut watch =
        Quiet { clock: Clock::start(), bar: progress_bar(trainer.n_steps(), "training") };
    trainer.run(None, &mut watch)?;
    watch.bar.finish_and_clear();
    model(args, &config, stream, &trainer)
}

/// Shows how a training goes, and no more.
struct Quiet {
    clock: Clock,
    bar: ProgressBar,
}

impl Observer for Quiet {
    fn now_s(&mut self) -> f64 {
        self.clock.now_s()
    }

    fn after_step(&mut self, done: u64, of: u64) -> bool {
        self.bar.set_length(of);
        self.bar.set_position(done);
        true
    }

    fn after_epoch(&mut self, _: &EpochRecord) {}
}

/// Makes the integer network; both go into the model.
fn model(
    args: &AutoencoderArgs,
    config: &AutoencoderConfig,
    stream: &TrainingStream,
    trainer: &Trainer,
) -> Result<Model> {
    let autoencoder = trainer.autoencoder()?;
    let mut settings = config.settings();
    settings.push(("best_epoch".to_owned(), trainer.best_epoch().to_string()));
    if !args.shift.is_empty() {
        let given = args.shift.iter().map(|(name, bits)| format!("{name}={bits}"));
        settings.push(("shift".to_owned(), given.collect::<Vec<_>>().join(",")));
    }
    let provenance = Provenance {
        tool: concat!("scout40 ", env!("CARGO_PKG_VERSION")).into(),
        settings,
        rng_seed: args.seed,
        inputs: stream.inputs(),
    };
    Ok(Model::new(stream.spec.clone(), autoencoder, provenance)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_they_are_written() {
        assert_eq!(widths("32-16-8").unwrap().0, [32, 16, 8]);
        assert!(widths("none").unwrap().0.is_empty());
        assert!(widths("32,16").unwrap_err().contains("expected widths"));
        assert_eq!(loss("huber:0.25"), Ok(Loss::Huber { delta: 0.25 }));
        assert_eq!(loss("mse"), Ok(Loss::Mse));
        for bad in ["mse:1", "huber", "huber:x", "l1"] {
            assert!(loss(bad).unwrap_err().contains("`huber:DELTA`"), "{bad}");
        }
        assert!(cap("none").unwrap().is_infinite());
        assert_eq!(patience("7").unwrap().0, Some(7));
        assert_eq!(patience("none").unwrap().0, None);
        assert_eq!(shift("jet=-2"), Ok(("jet".to_owned(), -2)));
        assert!(shift("jet").unwrap_err().contains("`jet=2`"));
    }

    #[test]
    fn targets_are_named_by_feature_or_by_field() {
        let spec = FeatureSpec::parse("met.pt, jet[0..2].(pt,eta), zero").unwrap();
        assert_eq!(named_features("pt", &spec).unwrap(), [0, 1, 3]);
        assert_eq!(named_features("jet0_eta, met_pt", &spec).unwrap(), [0, 2]);
        assert_eq!(named_features("all", &spec).unwrap(), [0; 0]);
        let error = named_features("pt,phi", &spec).unwrap_err().to_string();
        assert!(error.contains("jet1_eta, zero5, found `phi`"), "{error}");
    }

    #[test]
    fn outputs_stand_beside_the_model() {
        let paths = Paths::beside(Path::new("a/m.model"));
        assert_eq!(paths.losses(), Path::new("a/m.loss.csv"));
        assert_eq!(paths.checkpoint, Path::new("a/m.checkpoint"));
        let dotted = Paths::beside(Path::new("v0.1"));
        assert_eq!(dotted.losses(), Path::new("v0.1.loss.csv"));
        let same = Path::new("x.checkpoint");
        assert_ne!(Paths::beside(same).checkpoint, same);
    }
}
