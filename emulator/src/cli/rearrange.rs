//! `scout40 cat`, `slice`, `merge`, `shuffle`: streams made of streams.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use scout40_replay::format::{Compression, SampleKind};
use scout40_replay::rearrange::{
    self, CatOptions, Duplicates, MergeOptions, OutputOptions, Report, Selection, ShuffleOptions,
};
use scout40_replay::source::{FileSource, Source};

use super::output::{grouped, print, progress_bar, refuse_overwrite};
use super::parse;
use crate::config::UsageError;

/// What all of these commands write.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// The stream file to write
    #[arg(short, long, value_name = "OUT.s40")]
    output: PathBuf,
    /// `fast` for replays at line rate, `small` for keeping
    #[arg(long, default_value = "fast")]
    compression: CompressionArg,
    /// Name of the sample; default: that of the first input
    #[arg(long)]
    name: Option<String>,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum CompressionArg {
    Fast,
    Small,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum KindArg {
    Data,
    ZeroBias,
    Signal,
}

impl From<CompressionArg> for Compression {
    fn from(arg: CompressionArg) -> Compression {
        match arg {
            CompressionArg::Fast => Compression::Fast,
            CompressionArg::Small => Compression::Small,
        }
    }
}

impl From<KindArg> for SampleKind {
    fn from(arg: KindArg) -> SampleKind {
        match arg {
            KindArg::Data => SampleKind::Data,
            KindArg::ZeroBias => SampleKind::ZeroBias,
            KindArg::Signal => SampleKind::Signal,
        }
    }
}

impl OutputArgs {
    /// Refuses outputs that must not be overwritten: those that exist, and inputs.
    fn options(&self, inputs: &[PathBuf], kind: Option<KindArg>) -> Result<OutputOptions> {
        refuse_overwrite(&self.output, self.force)?;
        let is_output = |path: &&PathBuf| is_same_file(path, &self.output);
        if let Some(path) = inputs.iter().find(is_output) {
            let text = format!(
                "`{}` is an input and the output\nhint: write to another file",
                path.display()
            );
            return Err(UsageError(text).into());
        }
        Ok(OutputOptions {
            compression: self.compression.into(),
            sample: self.name.clone(),
            kind: kind.map(SampleKind::from),
        })
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    // What does not exist is not the same.
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Writes streams one after another.
///
/// They have to be in ascending order of run, orbit and crossing; an orbit that one stream ends in
/// and the next begins in becomes one again. `--shift-orbits` is for simulated events, whose crossings mean
/// nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 cat part-1.s40 part-2.s40 -o whole.s40
  scout40 cat zb-a.s40 zb-b.s40 --shift-orbits -o zb.s40")]
pub struct CatArgs {
    /// Streams, in order
    #[arg(required = true, value_name = "IN.s40")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    /// Keep the columns that all inputs have, instead of refusing inputs that differ
    #[arg(long)]
    common_columns: bool,
    /// Move the orbits of each stream to those after the stream before it
    #[arg(long)]
    shift_orbits: bool,
    /// What the events are; default: what all inputs say
    #[arg(long)]
    kind: Option<KindArg>,
}

pub fn cat(args: &CatArgs) -> Result<()> {
    let options = CatOptions {
        common_columns: args.common_columns,
        shift_orbits: args.shift_orbits,
        output: args.output.options(&args.inputs, args.kind)?,
    };
    let bar = bar(&args.inputs, "writing")?;
    let done = rearrange::cat(&args.inputs, &args.output.output, &options, &mut show(&bar))?;
    bar.finish_and_clear();
    print(&report(&args.output.output, &done))
}

/// Writes a part of a stream.
///
/// What is asked for holds together: `--orbits 100..200 --lumi 3` are the orbits 100 to 199 of
/// section 3. Only blocks that may hold some of it are read.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 slice zb.s40 --head 10000 -o small.s40
  scout40 slice run.s40 --lumi 12 -o section-12.s40
  scout40 slice run.s40 --orbits 262144..270000 -o part.s40")]
pub struct SliceArgs {
    /// The stream
    #[arg(value_name = "IN.s40")]
    input: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    /// Orbits `A..B`, the end excluded
    #[arg(long, value_parser = parse::rows, value_name = "A..B")]
    orbits: Option<Range<u64>>,
    /// Luminosity section `N`, or several: `A..B`, the end excluded
    #[arg(long, value_parser = lumis, value_name = "N|A..B")]
    lumi: Option<Range<u64>>,
    /// Crossings of this run
    #[arg(long, value_name = "N")]
    run: Option<u32>,
    /// Crossings `A..B` counted from the start of the stream, the end excluded
    #[arg(long, value_parser = parse::rows, value_name = "A..B")]
    rows: Option<Range<u64>>,
    /// The first N crossings of what is left
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    head: Option<u64>,
}

/// One section or a range of them.
fn lumis(text: &str) -> Result<Range<u64>, String> {
    match text.trim().parse::<u64>() {
        Ok(one) => Ok(one..one.saturating_add(1)),
        Err(_) => parse::rows(text)
            .map_err(|_| format!("expected a section `N` or a range `A..B`, found `{text}`")),
    }
}

pub fn slice(args: &SliceArgs) -> Result<()> {
    let selection = Selection {
        run: args.run,
        orbits: args.orbits.clone(),
        lumis: args.lumi.clone(),
        rows: args.rows.clone(),
        head: args.head,
    };
    if selection == Selection::default() {
        let text = "expected a part to be chosen, found none\n\
                    hint: `--orbits A..B`, `--lumi N`, `--run N`, `--rows A..B` or `--head N`";
        return Err(UsageError(text.into()).into());
    }
    let inputs = std::slice::from_ref(&args.input);
    let options = args.output.options(inputs, None)?;
    let bar = bar(inputs, "reading")?;
    let to = &args.output.output;
    let done = rearrange::slice(&args.input, to, &selection, &options, &mut show(&bar))?;
    bar.finish_and_clear();
    print(&report(to, &done))
}

/// Merges streams by run, orbit and crossing.
///
/// The result has the columns of all of them. Where several have the same crossing, `--duplicates` decides:
/// `unite` takes each kind of objects, and each group of other columns, from the first that has it, as the real
/// system unites muons and calorimeter objects of different sources.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 merge odd.s40 even.s40 -o all.s40
  scout40 merge muons.s40 calo.s40 --duplicates unite -o all.s40")]
pub struct MergeArgs {
    /// Streams; where they disagree, earlier ones come first
    #[arg(required = true, value_name = "IN.s40")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    /// What becomes of a crossing that several streams have
    #[arg(long, default_value = "error")]
    duplicates: DuplicatesArg,
    /// What the events are; default: what all inputs say
    #[arg(long)]
    kind: Option<KindArg>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum DuplicatesArg {
    /// It is an error
    Error,
    /// The event of the first that has it stays
    First,
    /// Each kind of objects is taken from the first that has it
    Unite,
}

pub fn merge(args: &MergeArgs) -> Result<()> {
    let options = MergeOptions {
        duplicates: match args.duplicates {
            DuplicatesArg::Error => Duplicates::Refuse,
            DuplicatesArg::First => Duplicates::First,
            DuplicatesArg::Unite => Duplicates::Unite,
        },
        output: args.output.options(&args.inputs, args.kind)?,
    };
    let bar = bar(&args.inputs, "merging")?;
    let done = rearrange::merge(&args.inputs, &args.output.output, &options, &mut show(&bar))?;
    bar.finish_and_clear();
    print(&report(&args.output.output, &done))
}

/// Puts simulated events into random order.
///
/// Crossings keep their places, events change theirs. The order depends on the seed and the number of events
/// alone; what does not fit into memory waits on disk, uncompressed, beside the output.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  scout40 shuffle qcd.s40 --seed 7 --memory 512MiB -o mixed.s40")]
pub struct ShuffleArgs {
    /// Streams of simulated events, in order
    #[arg(required = true, value_name = "IN.s40")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    /// Seed of the order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Memory for events
    #[arg(long, default_value = "256MiB", value_parser = bytes, value_name = "SIZE")]
    memory: u64,
    /// Folder for what does not fit into memory; default: that of the output
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// A size: `64MiB`, `2GiB`, `1000000`.
fn bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as `256MiB`, found `{text}`");
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(factor).filter(|&bytes| bytes > 0).ok_or_else(expected)
}

pub fn shuffle(args: &ShuffleArgs) -> Result<()> {
    let options = ShuffleOptions {
        rng_seed: args.seed,
        memory_bytes: args.memory,
        folder: args.folder.clone(),
        output: args.output.options(&args.inputs, None)?,
    };
    let bar = bar(&args.inputs, "shuffling")?;
    let done = rearrange::shuffle(&args.inputs, &args.output.output, &options, &mut show(&bar))?;
    bar.finish_and_clear();
    print(&report(&args.output.output, &done))
}

/// A bar as long as all inputs have crossings.
fn bar(inputs: &[PathBuf], what: &str) -> Result<ProgressBar> {
    let mut total = 0;
    for path in inputs {
        if path.is_dir() {
            bail!(
                "`{}`: expected a stream, found a folder\nhint: name the files in it",
                path.display()
            );
        }
        total += FileSource::open(path)?.facts().n_crossings.unwrap_or(0);
    }
    Ok(progress_bar(total, what))
}

fn show(bar: &ProgressBar) -> impl FnMut(u64) {
    |done| bar.set_position(done)
}

fn report(output: &Path, done: &Report) -> String {
    let written = &done.written;
    let n = written.index.n_crossings;
    let mut text = format!(
        "{}: {} events in {} blocks, {} bytes, {:.1} per event\n",
        output.display(),
        grouped(n),
        written.index.blocks.len(),
        grouped(written.bytes),
        written.bytes as f64 / n.max(1) as f64
    );
    text += &format!("crossings read   {:>13}\n", grouped(done.read));
    for (n, what) in [
        (done.duplicates, "crossings that several streams have"),
        (done.contested, "of them with objects of one kind in several"),
    ] {
        if n > 0 {
            text += &format!("                 {:>13} {what}\n", grouped(n));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_sections_are_read_with_their_units() {
        assert_eq!(bytes("256MiB"), Ok(256 << 20));
        assert_eq!(bytes(" 7 KiB "), Ok(7 << 10));
        assert_eq!(bytes("5"), Ok(5));
        for bad in ["", "MiB", "0", "-1MiB", "5MB", "99999999999999GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(lumis("3"), Ok(3..4));
        assert_eq!(lumis("3..7"), Ok(3..7));
        assert!(lumis("7..3").is_err() && lumis("x").is_err());
    }
}
