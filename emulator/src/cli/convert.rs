//! `scout40 convert`: the field's formats to `.s40`, and back (`convert_to`).

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use scout40_replay::event::{Block, ColumnSet, Group};
use scout40_replay::export::{ExportOptions, Target};
use scout40_replay::format::{
    Compression, Provenance, SampleKind, SchemeRecord, SourceRecord, StreamHeader, StreamWriter,
    WriteError, WriteSummary,
};
use scout40_replay::import::{
    self, Chunk, ImportError, ImportOptions, Importer, Place, PlaceCounts, PlaceOptions, Placer,
};
use scout40_replay::raw::objects::Payload;
use scout40_replay::raw::run3::Calo;

use super::convert_to;
use super::output::{grouped, print, progress_bar, refuse_overwrite};
use super::parse;
use crate::config::{SchemeChoice, UsageError};

/// Converts files of the field's formats to one stream file, or streams to one of these formats.
///
/// Inputs are recognised by content: parquet in the schema of the public CERN set
/// `anomaly_detection_cmsl1t`; HDF5 of ADC2021, or with hardware integers (`full_data_cyl`); ROOT
/// trees of CMS NanoAOD and Level-1 scouting NanoAOD; scouting files of Run 3 (FRD; files of several
/// sources are merged by orbit) and Phase 2 (FRD, Native64, DTHBasic256). docs/formats.md says what
/// is read of each.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  scout40 convert train-*.parquet zb.s40 --place fill --kind zero-bias
  scout40 convert ZB_run398183/*.parquet data.s40 --place keep --kind data
  scout40 convert background.h5 zb.s40 --rows 800000..1200000 --groups met,egamma,muon,jet
  scout40 convert BSM_preprocessed.h5 tth.s40 --key ttHto2B --kind signal
  scout40 convert run398183/run398183_ls*.raw* data.s40 --kind data
  scout40 convert track-muons.dump data.s40 --payload track-muon
  scout40 convert zb.s40 zb.parquet --to parquet
  scout40 convert zb.s40 run000001 --to frd
  scout40 convert zb.s40 zb.dth --to dth256")]
pub struct ConvertArgs {
    /// Input files in order, then the file to write (with `--to frd` or `cmssw`: a new folder)
    #[arg(required = true, num_args = 2.., value_name = "IN... OUT")]
    files: Vec<PathBuf>,
    /// Write streams in this format instead of making one: `frd` (Run-3 scouting, one file for each
    /// source), `cmssw` (Phase-2 events in FRD), `native64`, `dth256`, `parquet` (the schema of the
    /// CERN set), `adc2021` (HDF5), `full-data-cyl` (HDF5 with hardware integers of 33 objects),
    /// `full-data-cyl57` (of 19: the 57 inputs of AXOL1TL)
    #[arg(long, value_name = "FORMAT", value_parser = parse::target, conflicts_with_all = [
        "place", "filling_scheme", "run", "first_orbit", "rows", "every", "keep_saturated",
        "compression", "orbits_per_block", "kind", "name",
    ])]
    to: Option<Target>,
    /// Data set of an HDF5 file (default: the usual one) or tree of a ROOT file (default: Events);
    /// with `--to full-data-cyl`, the data set to write
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// With `--to frd`: which calorimeter board is imitated, `tcp` (since 2024) or `dma`
    #[arg(long, default_value = "tcp", requires = "to")]
    calo: CaloArg,
    /// What the words of Phase-2 events are: `puppi`, `track-muon` or `run3` (Run-3 objects in
    /// Native64 frames, our own); default: found out
    #[arg(long, value_name = "KIND", value_parser = parse::payload)]
    payload: Option<Payload>,
    /// Where events go: `keep` their recorded crossings (sorted, duplicates dropped), or `fill`
    /// consecutive colliding slots; default: `keep` if the files know crossings, else `fill`
    #[arg(long)]
    place: Option<PlaceArg>,
    /// With `--place fill`: `lhc` (the default), `all`, `single` or a TOML file
    #[arg(long, value_name = "SCHEME")]
    filling_scheme: Option<SchemeChoice>,
    /// With `--place fill`: run number of all events; default: 1
    #[arg(long)]
    run: Option<u32>,
    /// With `--place fill`: first orbit; default: 1
    #[arg(long)]
    first_orbit: Option<u32>,
    /// Rows of all inputs laid end to end, such as `0..800000`
    #[arg(long, value_parser = parse::rows)]
    rows: Option<std::ops::Range<u64>>,
    /// Keep one event in N, evenly over the rows: a small sample of all that there is
    #[arg(long, value_name = "N", default_value = "1")]
    every: NonZeroU64,
    /// Keep rows that the standard preprocessing removes as saturated; values are clamped
    #[arg(long)]
    keep_saturated: bool,
    /// Only these column groups, such as `met,muon,egamma,jet`; default: all that there are
    #[arg(long, value_delimiter = ',', value_name = "GROUP,...")]
    groups: Option<Vec<String>>,
    /// `fast` for replays at line rate, `small` for keeping
    #[arg(long, default_value = "fast")]
    compression: CompressionArg,
    /// Orbits per block with `--place fill`; default: 4 for `fast`, 8 for `small`
    #[arg(long, value_name = "N")]
    orbits_per_block: Option<NonZeroU32>,
    /// What the events are
    #[arg(long, default_value = "zero-bias")]
    kind: KindArg,
    /// Name of the sample; default: the name of the output file
    #[arg(long)]
    name: Option<String>,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum PlaceArg {
    Keep,
    Fill,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum CaloArg {
    Tcp,
    Dma,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum CompressionArg {
    Fast,
    Small,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum KindArg {
    Data,
    ZeroBias,
    Signal,
}

impl ConvertArgs {
    /// Short blocks stay in a core's cache while they are read, long ones compress better.
    fn orbits_per_block(&self) -> u32 {
        self.orbits_per_block.map_or(
            match self.compression {
                CompressionArg::Fast => 4,
                CompressionArg::Small => 8,
            },
            NonZeroU32::get,
        )
    }
}

/// An import or a write that failed.
#[derive(Debug, thiserror::Error)]
enum ConvertError {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

pub fn run(args: &ConvertArgs) -> Result<()> {
    let (output, inputs) = args.files.split_last().expect("clap asks for two");
    refuse_overwrite(output, args.force)?;
    if let Some(target) = args.to {
        let calo = match args.calo {
            CaloArg::Tcp => Calo::Tcp,
            CaloArg::Dma => Calo::Dma,
        };
        let options = ExportOptions { calo, payload: args.payload, key: args.key.clone() };
        return convert_to::run(inputs, output, target, &options, args.groups.as_deref());
    }
    let options = ImportOptions {
        rows: args.rows.clone(),
        keep_saturated: args.keep_saturated,
        payload: args.payload,
        key: args.key.clone(),
    };
    let mut importer = import::open(inputs, &options)?;
    let columns = selected_columns(args.groups.as_deref(), importer.columns())?;
    let (place, scheme) = place(args, importer.as_ref())?;
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty());
    let mut place_options = PlaceOptions::new(folder.unwrap_or(Path::new(".")).into());
    place_options.orbits_per_block = args.orbits_per_block();
    place_options.sorted = importer.is_sorted();
    let placer = Placer::new(place, columns, &place_options)?;
    let header = header(args, output, placer.columns(), importer.as_ref(), scheme);
    let compression = match args.compression {
        CompressionArg::Fast => Compression::Fast,
        CompressionArg::Small => Compression::Small,
    };
    let mut writer = StreamWriter::create(output, &header, compression)?;
    let selection = Selection { columns, every: args.every.get() };
    let counts = copy(importer.as_mut(), placer, &selection, &mut writer)?;
    let problems = importer.problems();
    problems.iter().for_each(|problem| eprintln!("warning: {problem}"));
    if counts.placed == 0 {
        // A writer that is not finished leaves nothing behind.
        ensure!(problems.is_empty(), nothing_is_left(importer.as_ref(), output));
        eprintln!("warning: no event was written");
    }
    let summary = writer.finish()?;
    print(&report(output, importer.as_ref(), &counts, &summary))
}

/// Why there is no stream of inputs that have no event which could be read.
fn nothing_is_left(importer: &dyn Importer, output: &Path) -> String {
    let notes = importer.notes();
    let lost = notes.iter().filter(|(n, _)| *n > 0);
    let lost: Vec<String> = lost.map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
    format!(
        "`{}` is not written: expected events, found none that could be read ({})\n\
         hint: the warnings say where; copy the inputs again, or make them anew",
        output.display(),
        lost.join("; ")
    )
}

/// The columns of the groups that were asked for, among those that there are.
pub(super) fn selected_columns(
    groups: Option<&[String]>,
    available: ColumnSet,
) -> Result<ColumnSet> {
    let Some(names) = groups else { return Ok(available) };
    let mut set = ColumnSet::EMPTY;
    for name in names {
        let Some(group) = Group::ALL.into_iter().find(|group| group.name() == name) else {
            let known: Vec<&str> = Group::ALL.iter().map(|group| group.name()).collect();
            let text = format!("expected column groups among {}, found `{name}`", known.join(", "));
            return Err(UsageError(text).into());
        };
        let columns = group.columns().intersection(available);
        if columns.is_empty() && !ColumnSet::skeleton().contains_all(group.columns()) {
            let there = |group: &Group| !group.columns().intersection(available).is_empty();
            let have: Vec<&str> =
                Group::ALL.iter().filter(|g| there(g)).map(|g| g.name()).collect();
            bail!(
                "the inputs have no columns of group `{name}`\nhint: they have {}",
                have.join(", ")
            );
        }
        set = set.union(columns);
    }
    Ok(set)
}

fn place(args: &ConvertArgs, importer: &dyn Importer) -> Result<(Place, Option<SchemeRecord>)> {
    let how = match (args.place, importer.placed()) {
        (Some(how), _) => how,
        (None, true) => PlaceArg::Keep,
        (None, false) => PlaceArg::Fill,
    };
    if how == PlaceArg::Keep {
        if !importer.placed() {
            bail!(
                "the inputs know no crossings, so there is nothing to keep\n\
                 hint: `--place fill` puts the events onto a filling scheme"
            );
        }
        let of_fill = [
            ("--filling-scheme", args.filling_scheme.is_some()),
            ("--run", args.run.is_some()),
            ("--first-orbit", args.first_orbit.is_some()),
            ("--orbits-per-block", args.orbits_per_block.is_some()),
        ];
        if let Some((option, _)) = of_fill.into_iter().find(|(_, is_given)| *is_given) {
            let text = format!(
                "`{option}` is for `--place fill`, but recorded crossings are kept\n\
                 hint: `--place fill` puts the events onto a filling scheme instead"
            );
            return Err(UsageError(text).into());
        }
        return Ok((Place::Keep, None));
    }
    let why = "`--place fill` does not keep recorded crossings; `--place keep` does";
    let choice = args.filling_scheme.clone().unwrap_or_else(|| SchemeChoice::Named("lhc".into()));
    let scheme = choice.load_collisions(why)?;
    let record = SchemeRecord { name: scheme.name().into(), ranges: scheme.ranges() };
    let (run, first_orbit) = (args.run.unwrap_or(1), args.first_orbit.unwrap_or(1));
    Ok((Place::Fill { scheme, run, first_orbit }, Some(record)))
}

fn header(
    args: &ConvertArgs,
    output: &Path,
    columns: ColumnSet,
    importer: &dyn Importer,
    filling_scheme: Option<SchemeRecord>,
) -> StreamHeader {
    let kind = match args.kind {
        KindArg::Data => SampleKind::Data,
        KindArg::ZeroBias => SampleKind::ZeroBias,
        KindArg::Signal => SampleKind::Signal,
    };
    let stem = output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut header = StreamHeader::new(kind, args.name.as_ref().unwrap_or(&stem), columns);
    let sources = importer.sources().iter().map(|source| SourceRecord {
        name: source.name.clone(),
        bytes: source.bytes,
        xxh3: source.xxh3,
        first_row: source.first_row,
        n_rows: source.n_rows,
    });
    let settings = [
        ("place", if filling_scheme.is_some() { "fill" } else { "keep" }.to_owned()),
        ("keep_saturated", args.keep_saturated.to_string()),
        ("every", args.every.to_string()),
        ("orbits_per_block", args.orbits_per_block().to_string()),
    ];
    header.provenance = Provenance {
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        sources: sources.collect(),
        ..header.provenance
    };
    header.filling_scheme = filling_scheme;
    header
}

/// Which events and which of their columns are converted.
struct Selection {
    columns: ColumnSet,
    every: u64,
}

impl Selection {
    /// The part of `chunk` that is wanted; `seen` events came before it.
    fn apply<'a>(&self, chunk: &'a Chunk, seen: u64, part: &'a mut Chunk) -> &'a Chunk {
        if self.every == 1 && self.columns == chunk.events.columns() {
            return chunk;
        }
        part.reset(self.columns);
        let wanted = |i: &usize| (seen + *i as u64).is_multiple_of(self.every);
        for i in (0..chunk.events.len()).filter(wanted) {
            part.events.push_event(&chunk.events, i);
            part.runs.push(chunk.runs[i]);
        }
        part
    }
}

fn copy(
    importer: &mut dyn Importer,
    mut placer: Placer,
    selection: &Selection,
    writer: &mut StreamWriter,
) -> Result<PlaceCounts> {
    let bar = progress_bar(importer.n_events(), "converting");
    let (mut chunk, mut part) = (Chunk::default(), Chunk::default());
    let mut seen = 0;
    let mut write = |block: &Block| writer.write(block).map_err(ConvertError::from);
    while importer.next_chunk(&mut chunk)? {
        bar.set_position(importer.n_done());
        placer.push(selection.apply(&chunk, seen, &mut part), &mut write)?;
        seen += chunk.events.len() as u64;
    }
    let counts = placer.finish(&mut write).context("while placing the last events")?;
    bar.finish_and_clear();
    Ok(counts)
}

fn report(
    output: &Path,
    importer: &dyn Importer,
    counts: &PlaceCounts,
    summary: &WriteSummary,
) -> String {
    let tally = importer.tally();
    let n = summary.index.n_crossings;
    let per_event = |bytes: u64| bytes as f64 / n.max(1) as f64;
    let mut text = format!(
        "{}: {} events in {} blocks, {} bytes, {:.1} per event\n",
        output.display(),
        grouped(n),
        summary.index.blocks.len(),
        grouped(summary.bytes),
        per_event(summary.bytes)
    );
    for (group, bytes) in &summary.group_bytes {
        text += &format!("  {:<14} {:>7.2} bytes per event\n", group.name(), per_event(*bytes));
    }
    text += &format!("rows read        {:>13}\n", grouped(tally.rows));
    let counts = [
        (tally.dropped_saturated, "saturated rows dropped"),
        (tally.clamped, "values clamped to their field"),
        (tally.empty_objects, "objects of pT 0 skipped"),
        (tally.resorted_lists, "lists of objects sorted by pT"),
        (tally.other_crossings, "objects of other crossings skipped"),
        (counts.duplicates, "duplicate crossings dropped"),
    ];
    for (n, what) in counts.into_iter().chain(importer.notes()) {
        if n > 0 {
            text += &format!("                 {:>13} {what}\n", grouped(n));
        }
    }
    text
}
