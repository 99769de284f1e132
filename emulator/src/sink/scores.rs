//! `scores.csv`: the score histogram, background and each signal apart.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use scout40_models::{Score, Scorer};

use super::rates::csv_field;
use crate::batch::BATCH_MAX;

/// Most bins per process.
const BINS_MAX: i64 = 1 << 16;

/// Counts of scores, exact where a model has at most 65 536 of them, else in bins of 2^k.
pub struct ScoreHistogram {
    lowest: i64,
    shift: u32,
    n_bins: usize,
    /// **Shape**: `(n_processes, n_bins)`; process 0 is background.
    counts: Vec<u64>,
}

impl ScoreHistogram {
    /// An empty histogram of scores within `range`, for background and `n_signals` signals.
    #[must_use]
    pub fn new(range: (Score, Score), n_signals: usize) -> ScoreHistogram {
        let (lowest, highest) = (i64::from(range.0), i64::from(range.1));
        let span = highest - lowest + 1;
        let shift = (0..).find(|&shift| span >> shift <= BINS_MAX).unwrap_or(0);
        let n_bins = ((span - 1) >> shift) as usize + 1;
        ScoreHistogram { lowest, shift, n_bins, counts: vec![0; n_bins * (n_signals + 1)] }
    }

    /// Counts one score. **Real-time**: one write.
    pub fn record(&mut self, process: usize, score: Score) {
        let bin = (i64::from(score) - self.lowest) >> self.shift;
        let bin = bin.clamp(0, self.n_bins as i64 - 1) as usize;
        self.counts[process * self.n_bins + bin] += 1;
    }

    /// Counts the scores of background events. **Real-time**: one write each.
    pub fn record_background(&mut self, scores: &[Score]) {
        let background = &mut self.counts[..self.n_bins];
        let (lowest, last) = (self.lowest as Score, self.n_bins as u32 - 1);
        let mut bins = [0; BATCH_MAX];
        for scores in scores.chunks(BATCH_MAX) {
            // All bins first: scores come from another core, and so their cache lines come at the
            // same time rather than one after the other.
            for (bin, &score) in bins.iter_mut().zip(scores) {
                let above = score.max(lowest).wrapping_sub(lowest).cast_unsigned();
                *bin = (above >> self.shift).min(last);
            }
            for &bin in &bins[..scores.len()] {
                background[bin as usize] += 1;
            }
        }
    }

    /// Lowest score of each bin that has entries, with the counts of all processes.
    fn rows(&self) -> impl Iterator<Item = (i64, Vec<u64>)> {
        let n_processes = self.counts.len() / self.n_bins;
        (0..self.n_bins).filter_map(move |bin| {
            let counts: Vec<u64> =
                (0..n_processes).map(|p| self.counts[p * self.n_bins + bin]).collect();
            let any = counts.iter().any(|&n| n > 0);
            any.then(|| (self.lowest + ((bin as i64) << self.shift), counts))
        })
    }
}

/// Writes the histogram: one row per score that occurred.
///
/// # Errors
/// The operating system's refusal.
pub fn write_scores(
    path: &Path,
    histogram: &ScoreHistogram,
    scorer: &dyn Scorer,
    signals: &[String],
) -> Result<()> {
    let mut text = String::from("score_raw,score,background");
    for signal in signals {
        text.push(',');
        text.push_str(&csv_field(signal));
    }
    text.push('\n');
    for (raw, counts) in histogram.rows() {
        write!(text, "{raw},{:.6}", scorer.display(raw as Score)).expect("writing to a string");
        for count in counts {
            write!(text, ",{count}").expect("writing to a string");
        }
        text.push('\n');
    }
    std::fs::write(path, text).with_context(|| format!("while writing `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_counted_exactly_where_they_are_few() {
        let mut histogram = ScoreHistogram::new((-100, 0), 1);
        histogram.record_background(&[-100, -7, -7, 0]);
        histogram.record(1, -7);
        let rows: Vec<_> = histogram.rows().collect();
        assert_eq!(rows, [(-100, vec![1, 0]), (-7, vec![2, 1]), (0, vec![1, 0])]);
    }

    #[test]
    fn many_scores_are_counted_as_one_by_one_also_beyond_the_range() {
        for range in [(-100, 1000), (-70_000, 900_000), (Score::MIN, Score::MAX), (7, 7)] {
            let mut together = ScoreHistogram::new(range, 1);
            let mut alone = ScoreHistogram::new(range, 1);
            let spread = (i64::from(range.1) - i64::from(range.0)) / 700 + 1;
            let score = |i: i64| (i64::from(range.0) + (i * 37 % 900 - 100) * spread) as Score;
            let scores: Vec<Score> = (0..1300).map(score).collect();
            together.record_background(&scores);
            scores.iter().for_each(|&score| alone.record(0, score));
            assert_eq!(together.counts, alone.counts, "{range:?}");
        }
    }

    #[test]
    fn a_wide_range_is_binned_and_nothing_is_lost_at_its_ends() {
        let mut histogram = ScoreHistogram::new((Score::MIN, Score::MAX), 0);
        assert!(histogram.n_bins <= 1 << 16);
        histogram.record_background(&[Score::MIN, 0, Score::MAX]);
        assert_eq!(histogram.rows().count(), 3);
    }
}
