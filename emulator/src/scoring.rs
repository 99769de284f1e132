//! Scores a whole stream offline, block by block.
//!
//! Events that a model was trained on say nothing about it. They are known by the digest of their stream and
//! their range of rows, which the model file holds.

use std::ops::Range;

use anyhow::{Result, ensure};
use scout40_models::{RowBuffer, Score, features_of};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::source::{Delivery, FileSource, Source};

use crate::batch::BATCH_MAX;
use crate::config::LoadedModel;

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
