//! `scout40 generate`: zero-bias-like streams of any length.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use scout40_replay::format::StreamWriter;
use scout40_replay::generate::{
    FitOptions, GeneratedStream, GeneratorModel, PileUp, Placement, fit,
};
use scout40_replay::source::{FileSource, Source};

use super::output::{grouped, print, progress_bar, refuse_overwrite};
use super::rearrange::CompressionArg;
use crate::affinity::allowed_cores;
use crate::config::{SchemeChoice, UsageError};
use crate::generate::write_stream;

/// Makes a zero-bias-like stream of any length from a statistical model.
///
/// The model is that of the shipped zero-bias stream, one that was saved (`--from`), or fitted to
/// a stream (`--fit`). It knows multiplicities, transverse momenta by rank, directions, energy sums given the jets, and
/// how all that depends on pile-up; docs/generator.md says what it does not know. The same model, seed and
/// pile-up always give the same events, for any number of threads.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 generate --events 10000000 --pile-up 60 -o zb.s40
  scout40 generate --events 10000000 --pile-up poisson:75 --seed 2 -o zb75.s40
  scout40 generate --fit recorded.s40 --save recorded.generator
  scout40 generate --from recorded.generator --events 1000000 -o like-recorded.s40")]
pub struct GenerateArgs {
    /// The stream file to write
    #[arg(short, long, value_name = "OUT.s40", required_unless_present = "save")]
    output: Option<PathBuf>,
    /// Events to make
    #[arg(long, value_name = "N", requires = "output", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Fit a model to this stream
    #[arg(long, value_name = "FROM.s40", conflicts_with = "from")]
    fit: Option<PathBuf>,
    /// With `--fit`: use at most so many events, the first ones (about 100 bytes of memory each)
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "fit")]
    fit_events: u64,
    /// A model that was saved
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Save the model
    #[arg(long, value_name = "MODEL")]
    save: Option<PathBuf>,
    /// Pile-up: a number of collisions, `poisson:MEAN`, or `fitted`, as in the stream fitted to
    #[arg(long, default_value = "fitted", value_name = "N|poisson:MEAN|fitted")]
    pile_up: PileUp,
    /// Seed of the events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which slots collide: `lhc` (2748), `all`, `single`, or a TOML file
    #[arg(long, default_value = "lhc", value_name = "SCHEME")]
    filling_scheme: SchemeChoice,
    /// Run number of all events
    #[arg(long, default_value_t = 1)]
    run: u32,
    /// First orbit
    #[arg(long, default_value_t = 1)]
    first_orbit: u32,
    /// Orbits per block
    #[arg(long, value_name = "N", default_value = "4")]
    orbits_per_block: NonZeroU32,
    /// Threads; default: one per core
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroU32>,
    /// `fast` for replays at line rate, `small` for keeping
    #[arg(long, default_value = "fast")]
    compression: CompressionArg,
    /// Name of the sample; default: `generated-` and that of the stream fitted to
    #[arg(long)]
    name: Option<String>,
    /// Overwrite outputs
    #[arg(long)]
    force: bool,
}

pub fn run(args: &GenerateArgs) -> Result<()> {
    for path in args.output.iter().chain(&args.save) {
        refuse_overwrite(path, args.force)?;
    }
    if args.output.is_some() && args.events.is_none() {
        let text = "expected a number of events\nhint: `--events N` with `--output`";
        return Err(UsageError(text.into()).into());
    }
    let model = model(args)?;
    if let Some(path) = &args.save {
        let bytes = model.write(path)?;
        print(&described(path, &model, bytes))?;
    }
    let (Some(output), Some(n_events)) = (&args.output, args.events) else { return Ok(()) };
    let stream = GeneratedStream::new(&model, args.pile_up, args.seed, placement(args)?, n_events)?;
    let mut header = stream.header().clone();
    if let Some(name) = &args.name {
        header.sample.clone_from(name);
    }
    let compression = args.compression.into();
    let mut writer = StreamWriter::create(output, &header, compression)?;
    let bar = progress_bar(n_events, "generating");
    let n_threads = args.threads.map_or(allowed_cores().len(), |n| n.get() as usize);
    write_stream(&stream, &mut writer, compression, n_threads, &mut |n| bar.set_position(n))?;
    bar.finish_and_clear();
    let written = writer.finish()?;
    print(&format!(
        "{}: {} events in {} blocks, {} bytes, {:.1} per event\npile-up          {}, seed {}\n",
        output.display(),
        grouped(written.index.n_crossings),
        written.index.blocks.len(),
        grouped(written.bytes),
        written.bytes as f64 / written.index.n_crossings.max(1) as f64,
        args.pile_up,
        args.seed,
    ))
}

fn model(args: &GenerateArgs) -> Result<GeneratorModel> {
    if let Some(path) = &args.fit {
        let mut source = FileSource::open(path)?;
        let n_events =
            source.facts().n_crossings.map_or(args.fit_events, |n| n.min(args.fit_events));
        let bar = progress_bar(n_events, "fitting");
        let options = FitOptions { n_events_max: args.fit_events };
        let model = fit(&mut source, &options)
            .with_context(|| format!("while fitting a model to `{}`", path.display()))?;
        bar.finish_and_clear();
        if !model.left_out.is_empty() {
            eprintln!("warning: columns that are not generated: {}", model.left_out.join(", "));
        }
        return Ok(model);
    }
    Ok(match &args.from {
        Some(path) => GeneratorModel::read(path)?,
        None => GeneratorModel::shipped(),
    })
}

fn placement(args: &GenerateArgs) -> Result<Placement> {
    let why = "generated events have no recorded crossings";
    let scheme = args.filling_scheme.load_collisions(why)?;
    Ok(Placement {
        scheme,
        run: args.run,
        first_orbit: args.first_orbit,
        orbits_per_block: args.orbits_per_block.get(),
    })
}

fn described(path: &Path, model: &GeneratorModel, bytes: u64) -> String {
    let fitted_to = &model.fitted_to;
    let mut text = format!(
        "{}: model of {} events of {} (digest {:016x}), {} bytes\n",
        path.display(),
        grouped(fitted_to.n_events),
        fitted_to.sample.escape_debug(),
        fitted_to.digest,
        grouped(bytes)
    );
    for kind in &model.kinds {
        let exponents = kind.ranks.first().map_or(&[][..], |rank| &rank.exponents);
        let exponents: Vec<String> = exponents.iter().map(|p| format!("{p:.2}")).collect();
        text += &format!(
            "  {:<8} up to {:>2}, rate of the hardest as pile-up to the power {}\n",
            kind.collection,
            kind.ranks.len(),
            exponents.join(", ")
        );
    }
    for scalar in &model.scalars {
        text += &format!("  {:<8} as pile-up to the power {:.2}\n", scalar.column, scalar.exponent);
    }
    text
}
