//! Scores a whole stream offline, and turns target rates into thresholds.
//!
//! Events that the model was trained on, and injected ones, say nothing about the background
//! rate; they are left out. Training events are known by the digest of their stream and their
//! range of rows, which the model file holds.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use scout40_models::{RowBuffer, Score, features_of};
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::source::{Delivery, FileSource, Source};
use scout40_studies::rate::{Interval, ScoreCounts, threshold_for_rate};
use serde::Serialize;

use crate::batch::BATCH_MAX;
use crate::config::LoadedModel;

/// A target rate and the threshold that it came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Name of the line.
    pub line: String,
    /// Name of the model that scores.
    pub model: String,
    /// Rate that was asked for.
    pub target_khz: f64,
    /// Accept iff score >= threshold, in the model's integers.
    pub threshold: Score,
    /// Background events that were used.
    pub scored: u64,
    /// Of those, accepted.
    pub accepted: u64,
    /// Rate that the threshold is estimated to have, with its 68.27 % interval.
    pub rate_khz: f64,
    /// Lower end.
    pub rate_khz_low: f64,
    /// Upper end.
    pub rate_khz_high: f64,
    /// Digest of the background stream.
    pub stream_digest: String,
    /// Events left out because the model was trained on them.
    pub excluded_training: u64,
    /// Events left out because they were injected.
    pub excluded_signal: u64,
}

/// Scores every event of `source`, block by block.
///
/// `each` gets the block and the scores of its events.
///
/// # Errors
/// A stream that lacks columns, cannot be read or is damaged, and what `each` returns.
pub fn score_stream(
    source: &mut FileSource,
    model: &LoadedModel,
    extra: ColumnSet,
    mut each: impl FnMut(&Block, &[Score]) -> Result<()>,
) -> Result<()> {
    let needed = model.model.spec().columns();
    let missing = needed.minus(source.columns());
    ensure!(
        missing.is_empty(),
        "`{}` lacks columns {} that the model looks at: expected features of {}\n\
         hint: convert it again with them, or use a model of another feature layout",
        source.path().display(),
        missing.names(),
        features_of(source.columns())
    );
    let mut rows = RowBuffer::new(model.scorer.n_features());
    let mut scratch = model.scorer.scratch();
    let mut scores = Vec::new();
    each_block(source, needed.union(extra), |block| {
        scores.resize(block.len(), 0);
        for first in (0..block.len()).step_by(BATCH_MAX) {
            let range = first..block.len().min(first + BATCH_MAX);
            rows.set_len(range.len());
            model.plan.fill(block, range.clone(), &mut rows, 0);
            model.scorer.score(rows.rows(), &mut scratch, &mut scores[range]);
        }
        each(block, &scores)
    })
}

/// Hands every block of `source` to `each`, with these columns.
///
/// # Errors
/// A stream that cannot be read or is damaged, and what `each` returns.
pub fn each_block(
    source: &mut FileSource,
    columns: ColumnSet,
    mut each: impl FnMut(&Block) -> Result<()>,
) -> Result<()> {
    let mut block = Block::default();
    loop {
        match source.next_block(columns, &mut block)? {
            Delivery::Block => each(&block)?,
            Delivery::End => return Ok(()),
            trouble => {
                anyhow::bail!(
                    "`{}` is damaged: {trouble}\nhint: `scout40 verify` tells how much of it",
                    source.path().display()
                )
            }
        }
    }
}

/// Rows of the stream with this digest that the model was trained on.
#[must_use]
pub fn training_rows(model: &LoadedModel, digest: u64) -> Vec<Range<u64>> {
    let inputs = &model.model.provenance().inputs;
    let same = inputs.iter().filter(|input| input.digest == digest);
    same.map(|input| input.first_row..input.first_row + input.n_rows).collect()
}

/// Fills in the thresholds of `calibrations` from the background stream `path`.
///
/// # Errors
/// A stream that cannot be used, or is too short for a target.
pub fn calibrate(
    path: &Path,
    model: &LoadedModel,
    collision_rate_hz: f64,
    calibrations: &mut [Calibration],
) -> Result<()> {
    let attempt = || format!("while calibrating with `{}`", path.display());
    let mut source = FileSource::open(path).with_context(attempt)?;
    let digest = source.info().index.as_ref().map(|index| index.digest);
    let digest = digest.with_context(|| {
        format!(
            "`{}` has no index, so nobody can tell whether the model was trained on it\n\
             hint: convert it again",
            path.display()
        )
    })?;
    let trained = training_rows(model, digest);
    let truth = ColumnSet::EMPTY.with(Column::TruthProcess).intersection(source.columns());
    let mut counts = ScoreCounts::default();
    let (mut row, mut excluded_training, mut excluded_signal) = (0_u64, 0, 0);
    score_stream(&mut source, model, truth, |block, scores| {
        let process = block.get::<u8>(Column::TruthProcess);
        for (i, &score) in scores.iter().enumerate() {
            if trained.iter().any(|range| range.contains(&row)) {
                excluded_training += 1;
            } else if process.get(i).is_some_and(|&process| process > 0) {
                excluded_signal += 1;
            } else {
                counts.add(&[score]);
            }
            row += 1;
        }
        Ok(())
    })
    .with_context(attempt)?;
    for calibration in calibrations {
        let found = threshold_for_rate(&counts, collision_rate_hz, calibration.target_khz)
            .with_context(attempt)?;
        let Interval { value, low, high } = found.rate_khz;
        *calibration = Calibration {
            line: std::mem::take(&mut calibration.line),
            model: std::mem::take(&mut calibration.model),
            target_khz: calibration.target_khz,
            threshold: found.threshold,
            scored: found.scored,
            accepted: found.accepted,
            rate_khz: value,
            rate_khz_low: low,
            rate_khz_high: high,
            stream_digest: format!("{digest:016x}"),
            excluded_training,
            excluded_signal,
        };
    }
    Ok(())
}
