//! Batches of rows: up to 512 events as columns of 16-bit integers.
//!
//! A *lane* is the place of one event in a batch. All lanes of a feature lie side by side, so
//! that one vector instruction compares many events with one threshold:
//!
//! ```text
//!              lane 0 … n_events-1 │ … 511 │ 512 … 543
//! feature 0    events              │ padding           stride: 544 lanes = 17 lines of 64 bytes
//! feature 1    events              │ padding
//! ```
//!
//! Every column begins at a 64-byte boundary. The stride is 512 + 32 lanes, because columns that
//! are exactly 1 KiB apart share few sets of a level-1 cache and evict each other.
//!
//! **Padding.** Lanes from `n_events` on hold stale but valid integers. Fillers may write there,
//! scorers may read them, and no score may depend on them.
//!
//! This module knows no events and no features by name: [`features`](crate::features) does.

/// Most events in one batch: a decision is a bit mask of eight words.
pub const MAX_BATCH: usize = 512;

/// Lanes from the beginning of one column to that of the next.
pub const LANE_STRIDE: usize = MAX_BATCH + LINE_LANES;

const LINE_LANES: usize = 32;

/// One cache line of lanes.
#[derive(Clone, Copy, Debug, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(crate) struct Line([i16; LINE_LANES]);

const _: () = assert!(size_of::<Line>() == 64 && align_of::<Line>() == 64);
const _: () = assert!(LANE_STRIDE.is_multiple_of(LINE_LANES) && MAX_BATCH.is_multiple_of(64));

/// Lanes that begin at a 64-byte boundary, all zero at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlignedLanes(Vec<Line>);

impl AlignedLanes {
    /// At least `n` lanes.
    pub(crate) fn new(n: usize) -> AlignedLanes {
        AlignedLanes(vec![bytemuck::Zeroable::zeroed(); n.div_ceil(LINE_LANES)])
    }

    pub(crate) fn lanes(&self) -> &[i16] {
        bytemuck::must_cast_slice(&self.0)
    }

    pub(crate) fn lanes_mut(&mut self) -> &mut [i16] {
        bytemuck::must_cast_slice_mut(&mut self.0)
    }

    /// The same memory as integers of 32 bits.
    pub(crate) fn ints_mut(&mut self) -> &mut [i32] {
        bytemuck::must_cast_slice_mut(&mut self.0)
    }

    /// The same memory as words of 64 bits.
    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        bytemuck::must_cast_slice_mut(&mut self.0)
    }
}

/// An owned batch of rows. **Shape**: `(n_features, n_events)`, column-major, padded.
#[derive(Clone, Debug)]
pub struct RowBuffer {
    values: AlignedLanes,
    n_features: usize,
    n_events: usize,
}

impl RowBuffer {
    /// An empty batch of zeros with room for [`MAX_BATCH`] events.
    #[must_use]
    pub fn new(n_features: usize) -> RowBuffer {
        RowBuffer { values: AlignedLanes::new(n_features * LANE_STRIDE), n_features, n_events: 0 }
    }

    /// Values in a row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Events in the batch.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.n_events
    }

    /// Says how many events the batch holds. Lanes that come into view hold what they held.
    ///
    /// # Panics
    /// Beyond [`MAX_BATCH`].
    pub fn set_len(&mut self, n_events: usize) {
        assert!(n_events <= MAX_BATCH, "a batch of {n_events} events, at most {MAX_BATCH} fit");
        self.n_events = n_events;
    }

    /// One feature of every event. **Shape**: `n_events`.
    ///
    /// # Panics
    /// If there is no such feature.
    #[must_use]
    pub fn column(&self, feature: usize) -> &[i16] {
        self.rows().column(feature)
    }

    /// One feature of every lane there is, to be written. **Shape**: [`LANE_STRIDE`].
    ///
    /// # Panics
    /// If there is no such feature.
    pub fn column_mut(&mut self, feature: usize) -> &mut [i16] {
        &mut self.lanes_mut()[feature * LANE_STRIDE..][..LANE_STRIDE]
    }

    /// Everything, column after column. **Shape**: `n_features * LANE_STRIDE`.
    pub(crate) fn lanes_mut(&mut self) -> &mut [i16] {
        self.values.lanes_mut()
    }

    /// The view that scorers take.
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        Rows { lanes: self.values.lanes(), n_features: self.n_features, n_events: self.n_events }
    }
}

/// A borrowed batch of rows. **Shape**: `(n_features, n_events)`, column-major, padded.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    lanes: &'a [i16],
    n_features: usize,
    n_events: usize,
}

impl<'a> Rows<'a> {
    /// Values in a row.
    #[must_use]
    pub fn n_features(self) -> usize {
        self.n_features
    }

    /// Events in the batch.
    #[must_use]
    pub fn n_events(self) -> usize {
        self.n_events
    }

    /// One feature of every event. **Shape**: `n_events`.
    ///
    /// # Panics
    /// If there is no such feature.
    #[must_use]
    pub fn column(self, feature: usize) -> &'a [i16] {
        &self.column_padded(feature)[..self.n_events]
    }

    /// One feature of every lane, 64-byte aligned. **Shape**: [`LANE_STRIDE`]; what lies beyond
    /// `n_events` is stale.
    ///
    /// # Panics
    /// If there is no such feature.
    #[must_use]
    pub fn column_padded(self, feature: usize) -> &'a [i16] {
        &self.lanes[feature * LANE_STRIDE..][..LANE_STRIDE]
    }

    /// Everything, column after column. **Shape**: `n_features * LANE_STRIDE`.
    pub(crate) fn lanes_padded(self) -> &'a [i16] {
        self.lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_begins_at_a_cache_line_and_none_overlap() {
        let mut buffer = RowBuffer::new(57);
        for feature in 0..57 {
            buffer.column_mut(feature).fill(feature as i16);
        }
        buffer.set_len(MAX_BATCH);
        for feature in 0..57 {
            let column = buffer.rows().column_padded(feature);
            assert!(column.as_ptr().addr().is_multiple_of(64), "feature {feature}");
            assert_eq!(column.len(), LANE_STRIDE);
            assert!(column.iter().all(|&x| x == feature as i16), "feature {feature}");
        }
    }

    #[test]
    fn a_column_shows_the_events_of_the_batch_and_nothing_beyond() {
        let mut buffer = RowBuffer::new(2);
        buffer.column_mut(1)[..3].copy_from_slice(&[7, 8, 9]);
        assert!(buffer.column(1).is_empty());
        buffer.set_len(2);
        assert_eq!(buffer.column(1), [7, 8]);
        assert_eq!(buffer.column(0), [0, 0]);
        assert_eq!((buffer.rows().n_features(), buffer.rows().n_events()), (2, 2));
    }

    #[test]
    #[should_panic(expected = "a batch of 513 events")]
    fn more_than_512_events_do_not_fit() {
        RowBuffer::new(1).set_len(513);
    }
}
