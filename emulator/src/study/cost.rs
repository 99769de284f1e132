//! What it costs to score an event: time on one thread, rows already filled.

use anyhow::{Result, ensure};
use scout40_models::RowBuffer;
use scout40_replay::source::FileSource;

use crate::batch::BATCH_MAX;
use crate::calibrate::each_block;
use crate::clock::Clock;
use crate::config::LoadedModel;

/// Batches that are scored again and again: few enough to stay in a core's cache.
const BATCHES: usize = 32;
/// How often; the least time counts, for everything else that a machine does makes it longer.
const REPETITIONS: usize = 30;

/// Nanoseconds per event, the least of several passes over the first events of a stream.
///
/// # Errors
/// A stream that cannot be read, or without events.
pub fn ns_per_event(source: &mut FileSource, model: &LoadedModel, clock: &Clock) -> Result<f64> {
    let mut batches: Vec<RowBuffer> = Vec::new();
    each_block(source, model.model.spec().columns(), |block| {
        for first in (0..block.len()).step_by(BATCH_MAX) {
            if batches.len() < BATCHES {
                let range = first..block.len().min(first + BATCH_MAX);
                let mut rows = RowBuffer::new(model.scorer.n_features());
                rows.set_len(range.len());
                model.plan.fill(block, range, &mut rows, 0);
                batches.push(rows);
            }
        }
        Ok(())
    })?;
    let n_events: usize = batches.iter().map(|rows| rows.rows().n_events()).sum();
    ensure!(n_events > 0, "expected events to time a model with, found none");
    let mut scratch = model.scorer.scratch();
    let mut scores = vec![0; BATCH_MAX];
    let mut least_ps = u64::MAX;
    for _ in 0..REPETITIONS {
        let start = clock.now_ps();
        for rows in &batches {
            let rows = rows.rows();
            model.scorer.score(rows, &mut scratch, &mut scores[..rows.n_events()]);
        }
        least_ps = least_ps.min(clock.now_ps() - start);
    }
    Ok(least_ps as f64 / 1000.0 / n_events as f64)
}
