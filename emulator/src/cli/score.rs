//! `scout40 score`: the offline way, for those who go on in Python.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use scout40_models::Score;
use scout40_replay::event::{Block, Column, ColumnSet, Group};
use scout40_replay::format::temporary_name;
use scout40_replay::source::{FileSource, Source};

use super::engine::EngineArgs;
use super::output::{grouped, print, progress_bar, refuse_overwrite};
use crate::config::LoadedModel;
use crate::scoring::{score_stream, training_rows};
use crate::trigger::Threshold;

/// Scores every event of a stream into a parquet file.
///
/// One row per crossing: run, orbit, bx, score_raw, score, is_training (the model was trained on
/// it), decision (if `--threshold` is given), and truth and label where the stream has them.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  scout40 score zb.s40 --model forest.model --threshold 0.55 -o scores.parquet"
)]
pub struct ScoreArgs {
    /// The stream
    stream: PathBuf,
    /// The model
    #[arg(long, value_name = "M.model")]
    model: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// Decide: score at least this, in display units or `raw:N`
    #[arg(long, value_name = "X|raw:N", allow_hyphen_values = true)]
    threshold: Option<Threshold>,
    /// The parquet file to write
    #[arg(short, long, value_name = "SCORES.parquet")]
    output: PathBuf,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

/// Rows of a parquet row group, gathered from blocks.
const ROW_GROUP_ROWS: usize = 1 << 18;

#[derive(Default)]
struct Rows {
    run: Vec<i32>,
    orbit: Vec<i64>,
    bx: Vec<i32>,
    score_raw: Vec<i32>,
    score: Vec<f64>,
    is_training: Vec<bool>,
    decision: Vec<bool>,
    truth_process: Vec<i32>,
    truth_event: Vec<i64>,
    label: Vec<i32>,
}

pub fn run(args: &ScoreArgs) -> Result<()> {
    refuse_overwrite(&args.output, args.force)?;
    let model = LoadedModel::read(&args.model, args.engine.into())?;
    let mut source = FileSource::open(&args.stream)?;
    let threshold = match args.threshold {
        None => None,
        Some(Threshold::Raw(raw)) => Some(raw),
        Some(Threshold::Display(value)) => Some(model.scorer.threshold_from_display(value)?),
    };
    let temporary = temporary_name(&args.output);
    let written = write(&mut source, &model, threshold, &temporary);
    let n = match written {
        Ok(n) => n,
        Err(error) => {
            // What is left has a temporary name; a failure to remove it changes nothing.
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
    };
    std::fs::rename(&temporary, &args.output)
        .with_context(|| format!("while naming `{}`", args.output.display()))?;
    print(&format!("{}: {} events scored\n", args.output.display(), grouped(n)))
}

fn write(
    source: &mut FileSource,
    model: &LoadedModel,
    threshold: Option<Score>,
    path: &Path,
) -> Result<u64> {
    let has = |column| source.columns().contains(column);
    let (has_truth, has_label) = (has(Column::TruthProcess), has(Column::Label));
    let mut fields = String::from(
        "required int32 run; required int64 orbit; required int32 bx; required int32 score_raw; \
         required double score; required boolean is_training; ",
    );
    if threshold.is_some() {
        fields += "required boolean decision; ";
    }
    if has_truth {
        fields += "required int32 truth_process; required int64 truth_event; ";
    }
    if has_label {
        fields += "required int32 label; ";
    }
    let schema = parse_message_type(&format!("message scores {{ {fields} }}"))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let file = File::create(path).with_context(|| format!("while writing `{}`", path.display()))?;
    let attempt = || format!("while writing `{}`", path.display());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        .with_context(attempt)?;
    let index = source.info().index.clone();
    let trained = index.as_ref().map_or(Vec::new(), |index| training_rows(model, index.digest));
    let bar = progress_bar(index.map_or(0, |index| index.n_crossings), "scoring");
    let mut rows = Rows::default();
    let mut n = 0_u64;
    let extra = Group::Truth.columns().with(Column::Label);
    let extra: ColumnSet = extra.intersection(source.columns());
    score_stream(source, model, extra, |block, scores| {
        append(&mut rows, block, scores, model, threshold);
        let is_training = |row: u64| trained.iter().any(|range| range.contains(&row));
        rows.is_training.extend((n..n + scores.len() as u64).map(is_training));
        n += scores.len() as u64;
        bar.set_position(n);
        if rows.run.len() >= ROW_GROUP_ROWS {
            flush(&mut writer, &mut rows, threshold.is_some(), has_truth, has_label)
                .with_context(attempt)?;
        }
        Ok(())
    })?;
    flush(&mut writer, &mut rows, threshold.is_some(), has_truth, has_label)
        .with_context(attempt)?;
    let file = writer.into_inner().with_context(attempt)?;
    file.sync_all().with_context(attempt)?;
    bar.finish_and_clear();
    Ok(n)
}

fn append(
    rows: &mut Rows,
    block: &Block,
    scores: &[Score],
    model: &LoadedModel,
    threshold: Option<Score>,
) {
    rows.run.resize(rows.run.len() + block.len(), block.run.cast_signed());
    rows.orbit.extend(block.get::<u32>(Column::Orbit).iter().map(|&orbit| i64::from(orbit)));
    rows.bx.extend(block.get::<i16>(Column::Bx).iter().map(|&bx| i32::from(bx)));
    rows.score_raw.extend_from_slice(scores);
    rows.score.extend(scores.iter().map(|&score| model.scorer.display(score)));
    if let Some(threshold) = threshold {
        rows.decision.extend(scores.iter().map(|&score| score >= threshold));
    }
    let process = block.get::<u8>(Column::TruthProcess);
    rows.truth_process.extend(process.iter().map(|&process| i32::from(process)));
    let event = block.get::<u32>(Column::TruthEvent);
    rows.truth_event.extend(event.iter().map(|&event| i64::from(event)));
    rows.label.extend_from_slice(block.get::<i32>(Column::Label));
}

fn flush(
    writer: &mut SerializedFileWriter<File>,
    rows: &mut Rows,
    has_decision: bool,
    has_truth: bool,
    has_label: bool,
) -> Result<()> {
    if rows.run.is_empty() {
        return Ok(());
    }
    let mut group = writer.next_row_group()?;
    column::<Int32Type>(&mut group, &rows.run)?;
    column::<Int64Type>(&mut group, &rows.orbit)?;
    column::<Int32Type>(&mut group, &rows.bx)?;
    column::<Int32Type>(&mut group, &rows.score_raw)?;
    column::<DoubleType>(&mut group, &rows.score)?;
    column::<BoolType>(&mut group, &rows.is_training)?;
    if has_decision {
        column::<BoolType>(&mut group, &rows.decision)?;
    }
    if has_truth {
        column::<Int32Type>(&mut group, &rows.truth_process)?;
        column::<Int64Type>(&mut group, &rows.truth_event)?;
    }
    if has_label {
        column::<Int32Type>(&mut group, &rows.label)?;
    }
    group.close()?;
    *rows = Rows::default();
    Ok(())
}

fn column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
) -> Result<()> {
    let mut column = group.next_column()?.context("the schema has this column")?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()?;
    Ok(())
}
