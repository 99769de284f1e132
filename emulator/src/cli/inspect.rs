//! `scout40 inspect`: what is in a stream or a model file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use scout40_models::file::Content;
use scout40_models::hls::{Detector, DetectorScorer};
use scout40_models::{Autoencoder, Evaluation, Forest, ForestScorer, Isa, Model, Scorer, legible};
use scout40_replay::event::{Block, Collection, Column, ColumnSet, Dtype, EventRef};
use scout40_replay::format::{Provenance, StreamIndex};
use scout40_replay::source::{Delivery, FileSource, Source, StreamInfo};
use scout40_replay::units;

use super::output::{grouped, print};
use crate::config::read_model;

/// Shows what is in a stream file (header, counts, first events), a model file, or a table.
///
/// Tables are those of Kaggle HiggsML and Dark Machines (CSV): columns with their ranges, and the
/// sum of weights of each label.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  scout40 inspect zb.s40 --events 3\n  scout40 inspect forest.model\n  \
                  scout40 inspect atlas-higgs-challenge-2014-v2.csv"
)]
pub struct InspectArgs {
    /// A stream, a model or a table
    file: PathBuf,
    /// Number of events to show
    #[arg(long, default_value_t = 5, value_name = "N")]
    events: usize,
    /// Show hardware integers instead of physical units
    #[arg(long)]
    hardware: bool,
}

/// Whether a file begins like a model file.
pub fn is_model(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 8];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == scout40_models::file::MAGIC
}

pub fn run(args: &InspectArgs) -> Result<()> {
    if is_model(&args.file) {
        return print(&model_text(&read_model(&args.file)?));
    }
    #[cfg(feature = "csv")]
    if super::table::is_table(&args.file) {
        return print(&super::table::table_text(&args.file)?);
    }
    let mut source = FileSource::open(&args.file)?;
    let further = FurtherTotals::of(&mut source)?;
    let mut text = stream_text(source.info(), &further);
    let mut block = Block::default();
    if args.events > 0
        && let Delivery::Block = source.next_block(ColumnSet::ALL, &mut block)?
    {
        multiplicities(&mut text, &block);
        events(&mut text, &block, args);
    }
    print(&text)
}

pub fn model_text(model: &Model) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_model(&mut text, model);
    text
}

fn write_model(out: &mut String, model: &Model) -> std::fmt::Result {
    let provenance = model.provenance();
    match model.content() {
        Content::Forest(forest) => write_forest(out, model, forest)?,
        Content::Autoencoder(autoencoder) => write_autoencoder(out, model, autoencoder)?,
        Content::Detector(detector) => write_detector(out, model, detector)?,
    }
    writeln!(out, "made by    {}, rng_seed {}", legible(&provenance.tool), provenance.rng_seed)?;
    for (name, value) in &provenance.settings {
        writeln!(out, "           {} = {}", legible(name), legible(value))?;
    }
    for input in &provenance.inputs {
        writeln!(
            out,
            "trained on {} (digest {:016x}), rows {}..{}",
            legible(&input.name),
            input.digest,
            input.first_row,
            input.first_row + input.n_rows
        )?;
    }
    Ok(())
}

fn write_forest(out: &mut String, model: &Model, forest: &Forest) -> std::fmt::Result {
    let scorer = ForestScorer::cheapest(forest, Isa::best());
    let (low, high) = scorer.range();
    let parts = forest.parts();
    let about = forest.describe();
    writeln!(
        out,
        "model      isolation forest, {} trees, {} nodes ({} inner, {} leaves)",
        about.n_trees,
        grouped(about.n_nodes as u64),
        grouped((about.n_nodes - about.n_leaves) as u64),
        grouped(about.n_leaves as u64)
    )?;
    writeln!(
        out,
        "           {} distinct splits, leaf depth {:.2} on average, {} at most",
        grouped(about.n_distinct_splits as u64),
        about.mean_depth,
        about.max_depth
    )?;
    write_features(out, model, about.n_unused_features)?;
    writeln!(
        out,
        "score      {}{}, raw {low} .. {high} ({} fractional bits), display {:.4} .. {:.4}",
        parts.metric.name(),
        if parts.ranges.is_some() { " with range penalty" } else { "" },
        scorer.fraction_bits(),
        scorer.display(low),
        scorer.display(high)
    )?;
    write_plan(out, &scorer)
}

fn write_features(out: &mut String, model: &Model, n_unused: usize) -> std::fmt::Result {
    writeln!(out, "digest     {:016x}", model.digest())?;
    let spec = model.spec().to_string();
    let (n, spec) = (model.spec().len(), legible(&spec));
    writeln!(out, "features   {spec} ({n} values, {n_unused} of them never looked at)")
}

fn write_autoencoder(
    out: &mut String,
    model: &Model,
    autoencoder: &Autoencoder,
) -> std::fmt::Result {
    let parts = autoencoder.integer.parts();
    let scorer = model.scorer();
    let widths = parts.layers.iter().map(|layer| layer.biases.len().to_string());
    let widths: Vec<String> =
        std::iter::once(parts.inputs.len().to_string()).chain(widths).collect();
    let weights = parts.layers.iter().flat_map(|layer| &layer.weights);
    writeln!(
        out,
        "model      autoencoder in integers, layers {}, {} weights of 7 bits ({} of them zero)",
        widths.join("-"),
        grouped(weights.clone().count() as u64),
        grouped(weights.filter(|&&w| w == 0).count() as u64)
    )?;
    write_features(out, model, autoencoder.integer.n_unused_features())?;
    let (low, high) = scorer.range();
    let targets = match parts.targets.len() {
        0 => "squared length of the outputs".to_owned(),
        n => format!("squared distance of the outputs from the codes of {n} features"),
    };
    writeln!(
        out,
        "score      {targets}, raw {low} .. {high}, display {:.4} .. {:.4}",
        scorer.display(low),
        scorer.display(high)
    )?;
    writeln!(out, "plan       network on {}", scorer.evaluation().isa)
}

fn write_detector(out: &mut String, model: &Model, detector: &Detector) -> std::fmt::Result {
    let scorer = DetectorScorer::new(detector, Isa::best());
    let (low, high) = scorer.range();
    let text = detector.to_string();
    for (k, line) in text.lines().enumerate() {
        writeln!(out, "{:<10} {}", if k == 0 { "model" } else { "" }, legible(line))?;
    }
    write_features(out, model, detector.n_unused_features())?;
    writeln!(
        out,
        "score      loss × {}, raw {low} .. {high}, display {:.4} .. {:.4}",
        1_u64 << detector.score_bits(),
        scorer.display(low),
        scorer.display(high)
    )?;
    match scorer.why_slow() {
        None => {
            writeln!(out, "plan       32-bit lanes on {}, proven equal", scorer.evaluation().isa)
        }
        Some(why) => writeln!(
            out,
            "plan       number by number, slow: 32 bits are not proven to be enough for {}",
            legible(why)
        ),
    }
}

/// How the model would be evaluated here, and why.
fn write_plan(out: &mut String, scorer: &ForestScorer) -> std::fmt::Result {
    let costs = scorer.costs();
    let Evaluation { plan, isa } = scorer.evaluation();
    let n = |count: usize| grouped(count as u64);
    match (costs.sliced_ns, costs.counts) {
        (Some(sliced_ns), Some(counts)) => {
            writeln!(
                out,
                "plan       {plan} on {isa}: about {sliced_ns:.0} ns per event sliced in batches of \
                 512, {:.0} ns walking",
                costs.walk_ns
            )?;
            writeln!(
                out,
                "           sliced: {} byte columns, {} masks, {} reaches, {} lines counted",
                n(counts.windows),
                n(counts.masks),
                n(counts.reaches),
                n(counts.lines_counted + counts.reaches_counted)
            )?;
            writeln!(
                out,
                "           {} KiB of working memory, {} KiB of operations and code",
                n(counts.memory_bytes >> 10),
                n(counts.program_bytes >> 10)
            )
        }
        _ => writeln!(
            out,
            "plan       {plan} on {isa}: about {:.0} ns per event; it cannot be sliced",
            costs.walk_ns
        ),
    }
}

/// Objects of what not every stream has: the index has no totals of them, so they are counted.
#[derive(Default)]
struct FurtherTotals {
    /// Those that the stream counts, with their number.
    totals: Vec<(Collection, u64)>,
    /// Crossings of blocks that could be read.
    n_crossings: u64,
}

impl FurtherTotals {
    /// Reads the multiplicities of all blocks, and goes back to the first one.
    fn of(source: &mut FileSource) -> Result<FurtherTotals> {
        let columns = source.columns();
        let count = |c: &Collection| c.count_column().filter(|&n| columns.contains(n));
        let counts: ColumnSet = Collection::FURTHER.iter().filter_map(count).collect();
        let counted = Collection::FURTHER.into_iter().filter(|c| count(c).is_some());
        let mut found = FurtherTotals { totals: counted.map(|c| (c, 0)).collect(), n_crossings: 0 };
        if counts.is_empty() {
            return Ok(found);
        }
        let mut block = Block::default();
        loop {
            match source.next_block(counts, &mut block)? {
                Delivery::Block => {
                    found.n_crossings += block.len() as u64;
                    for (collection, total) in &mut found.totals {
                        *total += block.n_entries(*collection) as u64;
                    }
                }
                Delivery::Corrupt { .. } => {}
                // Cut or lost: what there was has been counted.
                _ => break,
            }
        }
        source.rewind()?;
        Ok(found)
    }
}

fn stream_text(info: &StreamInfo, further: &FurtherTotals) -> String {
    let mut text = String::new();
    let _ = write_stream(&mut text, info, further);
    text
}

fn write_stream(out: &mut String, info: &StreamInfo, further: &FurtherTotals) -> std::fmt::Result {
    let header = &info.header;
    writeln!(out, "sample     {} ({})", legible(&header.sample), header.kind.name())?;
    match &info.index {
        Some(index) => write_index(out, index, info.bytes, further)?,
        None => {
            let problem = info.index_problem.as_ref().map_or(String::new(), ToString::to_string);
            writeln!(out, "index      LOST ({problem}): readable up to the last whole block")?;
        }
    }
    if let Some(scheme) = header.scheme() {
        writeln!(
            out,
            "scheme     {}, {} colliding slots ({:.2} MHz)",
            legible(scheme.name()),
            scheme.n_colliding(),
            scheme.collision_rate_hz() / 1e6
        )?;
    }
    writeln!(out, "columns    {}", info.columns.names())?;
    for (number, process) in header.processes.iter().enumerate() {
        writeln!(out, "process    {} {}", number + 1, legible(process))?;
    }
    for (bit, line) in header.lines.iter().enumerate() {
        writeln!(out, "line       {bit} {}: {}", legible(&line.name), legible(&line.rule))?;
    }
    write_provenance(out, &header.provenance)
}

fn write_index(
    out: &mut String,
    index: &StreamIndex,
    bytes: u64,
    further: &FurtherTotals,
) -> std::fmt::Result {
    let n = index.n_crossings;
    writeln!(
        out,
        "crossings  {} in {} blocks, {} bytes ({:.1} per crossing)",
        grouped(n),
        index.blocks.len(),
        grouped(bytes),
        bytes as f64 / n.max(1) as f64
    )?;
    let of_index = Collection::OBJECTS.map(|c| (c, index.n_objects[c as usize]));
    let totals = of_index.iter().map(|total| (total, n));
    let further_totals = further.totals.iter().map(|total| (total, further.n_crossings));
    for (&(collection, objects), n_crossings) in totals.chain(further_totals) {
        writeln!(
            out,
            "           {:>12} {} objects ({:.3} per crossing)",
            grouped(objects),
            collection.name(),
            objects as f64 / n_crossings.max(1) as f64
        )?;
    }
    if !further.totals.is_empty() && further.n_crossings < n {
        let lost = grouped(n - further.n_crossings);
        let names: Vec<&str> = further.totals.iter().map(|(c, _)| c.name()).collect();
        writeln!(
            out,
            "           {lost} crossings are damaged: their {} are not counted",
            names.join(", ")
        )?;
    }
    if let (Some(first), Some(last)) = (index.blocks.first(), index.blocks.last()) {
        writeln!(
            out,
            "span       run {} orbit {} lumi {} .. run {} orbit {} lumi {}",
            first.run,
            first.first_orbit,
            first.first_lumi,
            last.run,
            last.last_orbit,
            last.last_lumi
        )?;
    }
    writeln!(out, "digest     {:016x}", index.digest)
}

fn write_provenance(out: &mut String, provenance: &Provenance) -> std::fmt::Result {
    writeln!(out, "made by    {}", legible(&provenance.tool))?;
    for (name, value) in &provenance.settings {
        let value = value.trim_end().replace('\n', "; ");
        writeln!(out, "           {} = {}", legible(name), legible(&value))?;
    }
    for source in &provenance.sources {
        writeln!(
            out,
            "from       {} ({} bytes, xxh3 {:016x}), rows {}..{}",
            legible(&source.name),
            grouped(source.bytes),
            source.xxh3,
            source.first_row,
            source.first_row + source.n_rows
        )?;
    }
    Ok(())
}

/// How often each multiplicity occurs in a block.
fn multiplicities(out: &mut String, block: &Block) {
    further_multiplicities(out, block);
    let _ = writeln!(out, "\nmultiplicity in the first block ({} crossings), %", block.len());
    let most = Collection::OBJECTS.map(Collection::capacity).into_iter().max().unwrap_or(0);
    let _ = write!(out, "{:<8}", "");
    for n in 0..=most {
        let _ = write!(out, "{n:>6}");
    }
    out.push('\n');
    for collection in Collection::OBJECTS {
        let Some(column) = collection.count_column() else { continue };
        let counts = block.get::<u8>(column);
        let _ = write!(out, "{:<8}", collection.name());
        for n in 0..=collection.capacity() {
            let share = counts.iter().filter(|&&count| usize::from(count) == n).count();
            let _ = write!(out, "{:>6.1}", 100.0 * share as f64 / counts.len() as f64);
        }
        out.push('\n');
    }
}

/// Of what not every stream has, a row would be too long.
fn further_multiplicities(out: &mut String, block: &Block) {
    let counted = |c: &Collection| c.count_column().is_some_and(|n| block.columns().contains(n));
    for collection in Collection::FURTHER.into_iter().filter(counted) {
        let offsets = block.offsets(collection);
        let most = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let per_crossing = block.n_entries(collection) as f64 / block.len() as f64;
        let _ = writeln!(
            out,
            "\n{:<11}{per_crossing:.3} per crossing in the first block, {most} at most",
            collection.name()
        );
    }
}

fn events(out: &mut String, block: &Block, args: &InspectArgs) {
    let unit = if args.hardware { "hardware integers" } else { "pT in GeV, eta, phi in rad" };
    let _ = writeln!(out, "\nfirst events ({unit})");
    for i in 0..block.len().min(args.events) {
        let event = block.event(i);
        let _ = writeln!(out, "{}", event.id());
        if block.columns().contains(Column::MetPt) {
            let (pt, phi) = (event.value::<i16>(Column::MetPt), event.value::<i16>(Column::MetPhi));
            let text = if args.hardware {
                format!("{pt:>8} {:>8} {phi:>8}", "")
            } else {
                let (pt, phi) = (units::calo_pt_gev_from_hw(pt), units::calo_phi_rad_from_hw(phi));
                format!("{pt:>8.1} {:>8} {phi:>8.3}", "")
            };
            let _ = writeln!(out, "  met      {text}");
        }
        for collection in Collection::OBJECTS {
            objects(out, event, collection, args.hardware);
        }
        for collection in Collection::FURTHER {
            further_objects(out, event, collection, args.hardware);
        }
        if block.columns().contains(Column::Score) {
            let (score, lines) =
                (event.value::<i32>(Column::Score), event.value::<u64>(Column::Lines));
            let process = event.value::<u8>(Column::TruthProcess);
            let _ = writeln!(out, "  score    raw {score}, lines {lines:#b}, process {process}");
        }
    }
}

/// Puppi candidates and track muons, whose codes are their LSB times the quantity; stubs, which
/// have no pT, by phi, bending angle and wheel.
fn further_objects(out: &mut String, event: EventRef<'_>, collection: Collection, hardware: bool) {
    let of_stubs = [Column::StubPhi, Column::StubPhiB, Column::StubWheel];
    let columns = collection.kinematics().unwrap_or(of_stubs);
    let value = |column: Column, k: usize| {
        let code = match column.spec().dtype {
            Dtype::I32 => event.values::<i32>(column).get(k).copied(),
            _ => event.values::<i16>(column).get(k).map(|&code| code.into()),
        };
        let code = code.unwrap_or_default();
        match column.spec().lsb {
            lsb if hardware || lsb <= 0.0 => format!("{code:>8}"),
            lsb => format!("{:>8.3}", f64::from(code) * lsb),
        }
    };
    for k in 0..event.count(collection) {
        let values = columns.map(|column| value(column, k)).join(" ");
        let _ = writeln!(out, "  {:<10} {values}", collection.name());
    }
}

fn objects(out: &mut String, event: EventRef<'_>, collection: Collection, hardware: bool) {
    let Some([pt, eta, phi]) = collection.kinematics() else { return };
    let (pts, etas, phis) =
        (event.values::<i16>(pt), event.values::<i16>(eta), event.values::<i16>(phi));
    let is_muon = collection == Collection::Muon;
    for ((&pt, &eta), &phi) in pts.iter().zip(etas).zip(phis) {
        let text = if hardware {
            format!("{pt:>8} {eta:>8} {phi:>8}")
        } else if is_muon {
            let pt = units::muon_pt_gev_from_hw(pt);
            let (eta, phi) = (units::muon_eta_from_hw(eta), units::muon_phi_rad_from_hw(phi));
            format!("{pt:>8.1} {eta:>8.3} {phi:>8.3}")
        } else {
            let pt = units::calo_pt_gev_from_hw(pt);
            let (eta, phi) = (units::calo_eta_from_hw(eta), units::calo_phi_rad_from_hw(phi));
            format!("{pt:>8.1} {eta:>8.3} {phi:>8.3}")
        };
        let _ = writeln!(out, "  {:<8} {text}", collection.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scout40_models::file::{Provenance as ModelProvenance, TrainingInput};
    use scout40_replay::format::{LineRecord, SchemeRecord, SourceRecord};

    /// Clears the screen, rings, and pretends to be a line of ours.
    const HOSTILE: &str = "a\u{1b}[2J\u{7}\r\nmade by    us\u{9b}é";
    const SHOWN: &str = r"a\u{1b}[2J\u{7}\r\nmade by    us\u{9b}é";

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
    }

    /// Every one of the `n` hostile texts is shown, and no control character but ends of lines.
    fn check(text: &str, n: usize) {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.matches(SHOWN).count(), n, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("made by")).count(), 1, "{text}");
    }

    #[test]
    fn what_a_model_file_says_is_shown_without_control_characters() {
        let model = Model::read(fixture("models/forest.model")).unwrap();
        let lines = model_text(&model).lines().count();
        let name = || HOSTILE.to_owned();
        let input = TrainingInput { name: name(), digest: 1, first_row: 0, n_rows: 1 };
        let provenance = ModelProvenance {
            tool: name(),
            settings: vec![(name(), name())],
            rng_seed: 1,
            inputs: vec![input],
        };
        let of_model = model.provenance();
        let fewer = of_model.settings.len() + of_model.inputs.len() - 2;
        let hostile =
            Model::new(model.spec().clone(), model.content().clone(), provenance).unwrap();
        // As it comes out of a file.
        let text = model_text(&Model::from_bytes(&hostile.to_bytes()).unwrap());
        check(&text, 4);
        assert_eq!(text.lines().count(), lines - fewer);
    }

    #[test]
    fn what_a_stream_says_is_shown_without_control_characters() {
        let mut info = FileSource::open(&fixture("pathological/good.s40")).unwrap().info().clone();
        let name = || HOSTILE.to_owned();
        info.header.sample = name();
        info.header.filling_scheme = Some(SchemeRecord { name: name(), ranges: vec![[1, 9]] });
        info.header.processes = vec![name()];
        info.header.lines = vec![LineRecord { name: name(), rule: name() }];
        let source = SourceRecord { name: name(), bytes: 1, xxh3: 2, first_row: 0, n_rows: 1 };
        info.header.provenance = Provenance {
            tool: name(),
            settings: vec![(name(), "x".into())],
            sources: vec![source],
        };
        let further = FurtherTotals::default();
        check(&stream_text(&info, &further), 8);
        // Settings may have several lines, which are shown on one.
        info.header.provenance.settings = vec![("menu".into(), "a = 1\nb\u{1b} = 2\n".into())];
        assert!(stream_text(&info, &further).contains(r"menu = a = 1; b\u{1b} = 2"));
    }
}
