//! What it costs to score an event: time on one thread, rows already filled.
//!
//! Each batch is timed by itself and the least of its times counts: everything else that a machine does makes them
//! longer, and hardly ever falls on the same short batch every time.

use anyhow::{Result, ensure};
use scout40_models::RowBuffer;
use scout40_replay::source::FileSource;

use crate::batch::BATCH_MAX;
use crate::clock::Clock;
use crate::config::LoadedModel;
use crate::scoring::each_block;

/// Batches that are scored again and again: few enough to stay in a core's cache.
const BATCHES: usize = 32;
/// How often.
const REPETITIONS: usize = 30;

/// Nanoseconds per event, over the first events of a stream.
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
    let mut least_ps = vec![u64::MAX; batches.len()];
    for _ in 0..REPETITIONS {
        for (rows, least_ps) in batches.iter().zip(&mut least_ps) {
            let rows = rows.rows();
            let start = clock.now_ps();
            model.scorer.score(rows, &mut scratch, &mut scores[..rows.n_events()]);
            *least_ps = (*least_ps).min(clock.now_ps() - start);
        }
    }
    Ok(least_ps.iter().sum::<u64>() as f64 / 1000.0 / n_events as f64)
}
