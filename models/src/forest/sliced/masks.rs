//! Which comparisons are made, and how: distinct (feature, threshold) pairs by window and nibble.
//!
//! A window sees a column as bytes `clamp(x − offset, 0, 255)`: what lies outside compares with
//! the thresholds inside as the end does. A column whose thresholds span more than a byte gets
//! several windows; none gets one that has no threshold.

use std::collections::BTreeMap;

use crate::forest::{AxisSplit, Forest};
use crate::kernels::sliced::{
    HIGH_LINES, LOW_LINES, MASK_CHUNK, MASK_LINES, MaskOp, Operand, Window, operand,
};

/// Nibbles that are never passed: fill up chunks.
const NEVER: MaskOp = MaskOp::new(operand(HIGH_LINES + 15), operand(LOW_LINES + 15));

pub(super) struct Masks {
    pub windows: Vec<Window>,
    pub chunks: Vec<[MaskOp; MASK_CHUNK]>,
    lines: BTreeMap<AxisSplit, Operand>,
}

impl Masks {
    /// The masks of all splits with a child that is needed.
    pub(super) fn new(forest: &Forest, splits: &[AxisSplit], is_needed: &[bool]) -> Masks {
        let mut masks = Masks { windows: Vec::new(), chunks: Vec::new(), lines: BTreeMap::new() };
        let mut wanted: Vec<AxisSplit> = (0..forest.n_trees())
            .flat_map(|tree| {
                let range = forest.tree(tree);
                let left = &forest.parts().left;
                range.clone().filter(move |&node| {
                    let child = range.start + left[node] as usize;
                    left[node] != 0 && (is_needed[child] || is_needed[child + 1])
                })
            })
            .map(|node| splits[node])
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for column in wanted.chunk_by(|a, b| a.feature == b.feature) {
            let mut rest = column;
            while let Some(first) = rest.first() {
                let code =
                    |split: &AxisSplit| i32::from(split.threshold) - i32::from(first.threshold);
                // 255 would be passed by nothing: bytes end there.
                let n = rest.partition_point(|split| code(split) < 255);
                masks.push_window(*first, &rest[..n]);
                rest = &rest[n..];
            }
        }
        masks
    }

    fn push_window(&mut self, first: AxisSplit, splits: &[AxisSplit]) {
        let code = |split: &AxisSplit| (split.threshold - first.threshold) as u8;
        for splits in splits.chunks(MASK_CHUNK) {
            let first_line = MASK_LINES + MASK_CHUNK * self.chunks.len();
            let mut chunk = [NEVER; MASK_CHUNK];
            for (k, split) in splits.iter().enumerate() {
                let (high, low) = (usize::from(code(split) >> 4), usize::from(code(split) & 15));
                chunk[k] = MaskOp::new(operand(HIGH_LINES + high), operand(LOW_LINES + low));
                self.lines.insert(*split, operand(first_line + k));
            }
            self.chunks.push(chunk);
        }
        self.windows.push(Window {
            feature: u32::from(first.feature),
            offset: first.threshold,
            chunks_end: self.chunks.len() as u32,
        });
    }

    /// Where the mask of a split is.
    pub(super) fn line(&self, split: AxisSplit) -> Operand {
        self.lines[&split]
    }

    /// Where the mask of a split is, if there is one.
    pub(super) fn find(&self, split: AxisSplit) -> Option<Operand> {
        self.lines.get(&split).copied()
    }
}
