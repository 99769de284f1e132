//! Collecting a few chosen rows from a stream.
//!
//! Which rows are wanted is decided before the stream is read; of each block only those are
//! turned into rows and kept, one after the other, so that memory grows with what is wanted and
//! not with the stream. Choosing them is up to the trainers.

use scout40_replay::event::Block;

use crate::error::{Error, Result};
use crate::features::{FeatureSpec, FillPlan};
use crate::rows::{MAX_BATCH, RowBuffer};

/// Wanted rows of a stream, as far as they have been collected.
#[derive(Clone, Debug)]
pub(super) struct RowSample {
    spec: FeatureSpec,
    plan: FillPlan,
    buffer: RowBuffer,
    /// Rows that the stream should have.
    n_rows: u64,
    /// Rows that went by.
    n_seen: u64,
    /// Numbers of the wanted rows, ascending.
    wanted: Vec<u64>,
    /// **Shape**: `(rows collected, n_features)`, row-major.
    values: Vec<i16>,
}

impl RowSample {
    /// Nothing collected yet. `wanted` ascends and is below `n_rows`.
    pub(super) fn new(spec: &FeatureSpec, n_rows: u64, wanted: Vec<u64>) -> RowSample {
        RowSample {
            plan: FillPlan::new(spec),
            buffer: RowBuffer::new(spec.len()),
            spec: spec.clone(),
            n_rows,
            n_seen: 0,
            wanted,
            values: Vec::new(),
        }
    }

    /// Where a wanted row is among the collected ones.
    pub(super) fn index_of(&self, row: u64) -> u32 {
        self.wanted.binary_search(&row).expect("only wanted rows are asked for") as u32
    }

    /// Keeps the wanted rows of the next block.
    pub(super) fn collect(&mut self, block: &Block) -> Result<()> {
        self.spec.check(block.columns())?;
        let end = self.n_seen + block.len() as u64;
        let begin = self.values.len() / self.spec.len();
        let n = self.wanted[begin..].partition_point(|&row| row < end);
        for start in (begin..begin + n).step_by(MAX_BATCH) {
            let stop = (start + MAX_BATCH).min(begin + n);
            for (lane, &row) in self.wanted[start..stop].iter().enumerate() {
                let event = (row - self.n_seen) as usize;
                self.plan.fill(block, event..event + 1, &mut self.buffer, lane);
            }
            self.buffer.set_len(stop - start);
            for lane in 0..stop - start {
                let columns = (0..self.spec.len()).map(|feature| self.buffer.column(feature));
                self.values.extend(columns.map(|column| column[lane]));
            }
        }
        self.n_seen = end;
        Ok(())
    }

    /// All wanted rows. **Shape**: `(wanted rows, n_features)`, row-major.
    ///
    /// # Errors
    /// If the stream was shorter or longer than announced, or no feature of the rows varies.
    pub(super) fn values(&self) -> Result<&[i16]> {
        if self.n_seen != self.n_rows {
            return Err(Error::RowCount { expected: self.n_rows, found: self.n_seen });
        }
        let n_features = self.spec.len();
        let first = &self.values[..n_features];
        if self.values.chunks_exact(n_features).all(|row| row == first) {
            return Err(Error::Constant { n_features, n_rows: self.wanted.len() });
        }
        Ok(&self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{l1_block, part_of};
    use scout40_replay::event::ColumnSet;

    #[test]
    fn wanted_rows_are_kept_whatever_the_blocks() {
        let spec = FeatureSpec::parse("l1-57").unwrap();
        let block = l1_block(2000, 1);
        let wanted: Vec<u64> = (0..2000).filter(|row| row % 3 == 1).collect();
        let mut whole = RowSample::new(&spec, 2000, wanted.clone());
        whole.collect(&block).unwrap();
        let mut parts = RowSample::new(&spec, 2000, wanted);
        for range in [0..1, 1..2, 2..2, 2..700, 700..1999, 1999..2000] {
            parts.collect(&part_of(&block, range)).unwrap();
        }
        assert_eq!(whole.values().unwrap(), parts.values().unwrap());
        let mut rows = RowBuffer::new(57);
        FillPlan::new(&spec).fill(&block, 301..302, &mut rows, 0);
        rows.set_len(1);
        let row: Vec<i16> = (0..57).map(|f| rows.column(f)[0]).collect();
        let at = whole.index_of(301) as usize;
        assert_eq!(at, 100);
        assert_eq!(whole.values().unwrap()[at * 57..][..57], row);
    }

    #[test]
    fn a_stream_of_another_length_is_refused() {
        let spec = FeatureSpec::parse("met.pt").unwrap();
        let mut sample = RowSample::new(&spec, 10, (0..10).collect());
        sample.collect(&l1_block(4, 1)).unwrap();
        let error = sample.values().unwrap_err();
        assert!(matches!(error, Error::RowCount { expected: 10, found: 4 }), "{error}");
        sample.collect(&l1_block(7, 1)).unwrap();
        assert!(matches!(sample.values(), Err(Error::RowCount { expected: 10, found: 11 })));
    }

    #[test]
    fn rows_that_are_all_equal_are_refused() {
        let spec = FeatureSpec::parse("zero").unwrap();
        let mut sample = RowSample::new(&spec, 4, (0..4).collect());
        sample.collect(&l1_block(4, 1)).unwrap();
        assert!(matches!(sample.values(), Err(Error::Constant { n_features: 1, n_rows: 4 })));
    }

    #[test]
    fn a_block_without_the_columns_is_refused() {
        let spec = FeatureSpec::parse("met.pt").unwrap();
        let mut sample = RowSample::new(&spec, 4, (0..4).collect());
        let error = sample.collect(&Block::new(ColumnSet::skeleton())).unwrap_err();
        assert!(error.to_string().contains("met_pt"), "{error}");
    }
}
