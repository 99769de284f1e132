//! The order in which reaches are computed, and where they lie.
//!
//! Trees go in groups whose reaches fit the cache. Within a group, chunks take nodes whose reach is
//! known, highest subtrees first, and compute that of their children: so many nodes with two
//! children to be kept, so many with one. What is left over in a chunk is filled up with nothing.
//! A child with nothing needed below it gets no line: its reach is computed where it is counted.

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
/// through it. More would share the padding of counts, but be written to level 2. A single tree
/// may need more; taking large ones apart gains in reaches what padding loses in counts.
const GROUP_LINES: usize = 300;

pub(super) const NOTHING: ReachOp = ReachOp::new(operand(ZERO_LINE), operand(ZERO_LINE));

pub(super) struct Schedule {
    pub chunks: Vec<[ReachOp; REACH_OPS]>,
    pub groups: Vec<ReachGroup>,
    /// How the reach of each node without a line is computed from two lines: in the one, but not
    /// in the other.
    pub computed: Vec<ReachOp>,
    /// Where that of each node lies while its group is evaluated; `None` if it has no line.
    pub places: Vec<Option<Operand>>,
    /// First line after all reaches.
    pub end_line: usize,
    /// Nodes with a line.
    pub n_lines: usize,
}

/// Trees whose reaches are computed together.
pub(super) struct ReachGroup {
    pub trees: Range<usize>,
    /// Where its chunks end.
    pub chunks_end: usize,
}

/// A node whose reach is known: highest subtrees first, then earlier nodes, so that the order is
/// the same everywhere. Last the root of its tree.
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
        let below = Below::new(needs);
        let mut schedule = Schedule {
            chunks: Vec::new(),
            groups: Vec::new(),
            computed: vec![NOTHING; n_nodes],
            places: vec![None; n_nodes],
            end_line: reach_line,
            n_lines: 0,
        };
        let n_trees = needs.forest.n_trees();
        let lines = |tree| below.lines[needs.forest.tree(tree).start] as usize;
        let mut first = 0;
        while first < n_trees {
            let mut n_lines = lines(first);
            let mut end = first + 1;
            while end < n_trees && n_lines + lines(end) <= GROUP_LINES {
                n_lines += lines(end);
                end += 1;
            }
            schedule.push_group(needs, &below, first..end, reach_line);
            first = end;
        }
        schedule
    }

    fn push_group(
        &mut self,
        needs: &Needs<'_>,
        below: &Below,
        trees: Range<usize>,
        reach_line: usize,
    ) {
        let mut queues = Queues::default();
        let roots = trees.clone().map(|tree| needs.forest.tree(tree).start);
        let mut known: Vec<(usize, usize)> = roots.map(|root| (root, root)).collect();
        let mut line = reach_line;
        loop {
            for (node, root) in known.drain(..) {
                self.open(needs, below, node, root, &mut queues);
            }
            if queues.iter().all(BinaryHeap::is_empty) {
                break;
            }
            self.push_chunk(needs, &mut queues, line, &mut known);
            line += REACH_LINES;
        }
        self.end_line = self.end_line.max(line);
        self.groups.push(ReachGroup { trees, chunks_end: self.chunks.len() });
    }

    /// One chunk from what is ready, written from `line` on; adds the nodes that it computes, with
    /// the roots of their trees, to `known`.
    fn push_chunk(
        &mut self,
        needs: &Needs<'_>,
        queues: &mut Queues,
        mut line: usize,
        known: &mut Vec<(usize, usize)>,
    ) {
        let mut chunk = [NOTHING; REACH_OPS];
        for (k, op) in chunk.iter_mut().enumerate() {
            let (queue, kept) = match k {
                0..REACH_BOTH => (0, &[1, 0][..]),
                _ if k < REACH_BOTH + REACH_RIGHT => (1, &[1][..]),
                _ => (2, &[0][..]),
            };
            if let Some((_, Reverse(node), root)) = queues[queue].pop() {
                let child = root + needs.forest.parts().left[node] as usize;
                let parent = self.place(node);
                *op = ReachOp::new(parent, needs.masks.line(needs.splits[node]));
                for (j, is_right) in kept.iter().enumerate() {
                    let place = operand(line + j);
                    self.places[child + is_right] = Some(place);
                    self.computed[child + 1 - is_right] = ReachOp::new(parent, place);
                    known.push((child + is_right, root));
                }
                self.n_lines += kept.len();
            }
            line += kept.len();
        }
        self.chunks.push(chunk);
    }

    /// Queues a node if any of its children is to be kept.
    fn open(
        &mut self,
        needs: &Needs<'_>,
        below: &Below,
        node: usize,
        root: usize,
        queues: &mut Queues,
    ) {
        let left = needs.forest.parts().left[node] as usize;
        if left == 0 {
            return;
        }
        let child = root + left;
        let ready = (below.heights[node], Reverse(node), root);
        match [child, child + 1].map(|child| below.heights[child] > 0) {
            [true, true] => queues[0].push(ready),
            [false, true] => queues[1].push(ready),
            [true, false] => queues[2].push(ready),
            [false, false] => {
                assert!(!needs.is_needed[child + 1], "of two such children the left has a weight");
                if needs.is_needed[child] {
                    let mask = needs.masks.line(needs.splits[node]);
                    self.computed[child] = ReachOp::new(self.place(node), mask);
                }
            }
        }
    }

    /// Where the reach of a node lies from which others are computed.
    fn place(&self, node: usize) -> Operand {
        // Only roots have children and no line of their own.
        self.places[node].unwrap_or(operand(ONES_LINE))
    }
}

/// What lies below each node.
struct Below {
    /// Needed nodes on the longest way down; a node above any gets a line.
    heights: Vec<u32>,
    /// Nodes that get a line.
    lines: Vec<u32>,
}

impl Below {
    fn new(needs: &Needs<'_>) -> Below {
        let n_nodes = needs.is_needed.len();
        let mut below = Below { heights: vec![0; n_nodes], lines: vec![0; n_nodes] };
        for tree in 0..needs.forest.n_trees() {
            let range = needs.forest.tree(tree);
            for node in range.clone().rev() {
                let child = needs.forest.parts().left[node] as usize;
                if child != 0 {
                    for child in [range.start + child, range.start + child + 1] {
                        if needs.is_needed[child] {
                            let height = below.heights[child] + 1;
                            below.heights[node] = below.heights[node].max(height);
                        }
                        let own = u32::from(below.heights[child] > 0);
                        below.lines[node] += below.lines[child] + own;
                    }
                }
            }
        }
        below
    }
}
