//! The order in which reaches are computed, and where they lie.
//!
//! Trees go in groups whose reaches fit the cache. Within a group, chunks take nodes that an
//! earlier chunk has computed, highest subtrees first, and compute their children: so many nodes
//! with two children to be kept, so many with one. What is left over in a chunk is filled up with
//! nothing. A child with nothing needed below it gets no line: its reach is computed where it is
//! counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::masks::Masks;
use crate::forest::{AxisSplit, Forest};
use crate::kernels::sliced::{
    ONES_LINE, Operand, REACH_BOTH, REACH_LINES, REACH_OPS, REACH_RIGHT, ReachOp, ZERO_LINE,
    operand,
};

/// Lines of reaches in a group: as many as stay in a level-1 cache of 48 KiB while masks pass
/// through it. More would share the padding of counts among more trees, but be written to level
/// 2. A single tree may need more.
const GROUP_LINES: usize = 340;

pub(super) const NOTHING: ReachOp = ReachOp::new(operand(ZERO_LINE), operand(ZERO_LINE));

pub(super) struct Schedule {
    pub chunks: Vec<[ReachOp; REACH_OPS]>,
    /// Trees of each group, and where its chunks end.
    pub groups: Vec<(Range<usize>, usize)>,
    /// How the reach of each needed node is computed, and whether it is a right child.
    pub ops: Vec<(ReachOp, bool)>,
    /// Where it lies while its group is evaluated; `None` if it has no line.
    pub places: Vec<Option<Operand>>,
    /// Chunks of the largest group.
    pub most_chunks: usize,
    /// Nodes with a line.
    pub n_lines: usize,
}

/// A node whose reach is known: highest subtrees first, then earlier nodes, so that the order is
/// the same everywhere.
type Ready = (u32, Reverse<usize>, usize);

/// Ready nodes by which children are to be kept: both, only the right one, only the left one.
type Queues = [BinaryHeap<Ready>; 3];

/// What the schedule is made from.
pub(super) struct Needs<'a> {
    pub forest: &'a Forest,
    pub splits: &'a [AxisSplit],
    pub is_needed: &'a [bool],
    pub masks: &'a Masks,
}

impl Schedule {
    /// The schedule that writes reaches from `reach_line` on.
    pub(super) fn new(needs: &Needs<'_>, reach_line: usize) -> Schedule {
        let n_nodes = needs.is_needed.len();
        let heights = heights(needs.forest, needs.is_needed);
        let mut schedule = Schedule {
            chunks: Vec::new(),
            groups: Vec::new(),
            ops: vec![(NOTHING, false); n_nodes],
            places: vec![None; n_nodes],
            most_chunks: 0,
            n_lines: 0,
        };
        let n_trees = needs.forest.n_trees();
        let lines = |tree| heights[needs.forest.tree(tree)].iter().filter(|&&h| h > 0).count();
        let mut first = 0;
        while first < n_trees {
            let mut n_lines = lines(first);
            let mut end = first + 1;
            while end < n_trees && n_lines + lines(end) <= GROUP_LINES {
                n_lines += lines(end);
                end += 1;
            }
            let begin = schedule.chunks.len();
            schedule.push_group(needs, &heights, first..end, reach_line);
            let n_chunks = schedule.chunks.len() - begin;
            schedule.most_chunks = schedule.most_chunks.max(n_chunks);
            schedule.groups.push((first..end, schedule.chunks.len()));
            first = end;
        }
        schedule
    }

    fn push_group(
        &mut self,
        needs: &Needs<'_>,
        heights: &[u32],
        trees: Range<usize>,
        reach_line: usize,
    ) {
        let mut queues = Queues::default();
        for tree in trees {
            let root = needs.forest.tree(tree).start;
            self.open(needs, heights, root, root, &mut queues);
        }
        let first = self.chunks.len();
        while queues.iter().any(|queue| !queue.is_empty()) {
            let mut line = reach_line + REACH_LINES * (self.chunks.len() - first);
            let mut chunk = [NOTHING; REACH_OPS];
            let mut computed = Vec::with_capacity(REACH_LINES);
            for (k, op) in chunk.iter_mut().enumerate() {
                let (queue, kept) = match k {
                    0..REACH_BOTH => (0, &[1, 0][..]),
                    _ if k < REACH_BOTH + REACH_RIGHT => (1, &[1][..]),
                    _ => (2, &[0][..]),
                };
                if let Some((_, Reverse(node), root)) = queues[queue].pop() {
                    let child = root + needs.forest.parts().left[node] as usize;
                    for (j, is_right) in kept.iter().enumerate() {
                        *op = self.ops[child + is_right].0;
                        self.places[child + is_right] = Some(operand(line + j));
                        computed.push((child + is_right, root));
                    }
                }
                line += kept.len();
            }
            self.chunks.push(chunk);
            self.n_lines += computed.len();
            for (node, root) in computed {
                self.open(needs, heights, node, root, &mut queues);
            }
        }
    }

    /// Says how the children of a node are computed, and queues the node if any is to be kept.
    fn open(
        &mut self,
        needs: &Needs<'_>,
        heights: &[u32],
        node: usize,
        root: usize,
        queues: &mut Queues,
    ) {
        let left = needs.forest.parts().left[node] as usize;
        if left == 0 {
            return;
        }
        let parent = self.places[node].unwrap_or(operand(ONES_LINE));
        let children = [root + left, root + left + 1];
        for (is_right, child) in children.into_iter().enumerate() {
            if needs.is_needed[child] {
                let mask = needs.masks.line(needs.splits[node]);
                self.ops[child] = (ReachOp::new(parent, mask), is_right == 1);
            }
        }
        let ready = (heights[node], Reverse(node), root);
        match children.map(|child| heights[child] > 0) {
            [true, true] => queues[0].push(ready),
            [false, true] => queues[1].push(ready),
            [true, false] => queues[2].push(ready),
            [false, false] => {}
        }
    }
}

/// How many needed nodes lie below each node on the longest way down.
fn heights(forest: &Forest, is_needed: &[bool]) -> Vec<u32> {
    let mut heights = vec![0; is_needed.len()];
    for tree in 0..forest.n_trees() {
        let range = forest.tree(tree);
        for node in range.clone().rev() {
            let child = forest.parts().left[node] as usize;
            if child != 0 {
                let child = range.start + child;
                let below = (child..child + 2).filter(|&c| is_needed[c]).map(|c| heights[c] + 1);
                heights[node] = below.max().unwrap_or(0);
            }
        }
        heights[range.start] = 0;
    }
    heights
}
