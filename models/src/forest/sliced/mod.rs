//! Evaluation on the side: 512 crossings at once, one bit each.
//!
//! A walk costs what the paths of an event cost; this costs what the nodes of the forest cost,
//! but shared by 512 events and without a branch or a gather. Four steps carry it:
//!
//! 1. every distinct comparison is made once, from a few nibble masks of the column ([`masks`]);
//! 2. "gets to this node" is one AND of "gets to its parent" with a mask ([`schedule`]);
//! 3. values of leaves become small weights of nodes, many of them zero ([`weights`]), and nodes
//!    without a weight at or below them are not evaluated;
//! 4. what has a weight is added eight lines at a time, as bits of a counter ([`counts`]).
//!
//! This folder writes the [`Program`]; [`kernels::sliced`](crate::kernels) executes it. Where
//! machine code can be written, it takes the place of steps 2 and 3 ([`compiled`]). Scores equal
//! those of [`ForestWalk`](super::walk::ForestWalk) bit for bit.

mod compiled;
mod counts;
mod emit;
mod masks;
mod schedule;
mod toggles;
mod weights;

use super::{Forest, Splits};
use crate::kernels::isa::Isa;
use crate::kernels::sliced::{MASK_CHUNK, MASK_LINES, Parts, Program, REACH_LINES};
use crate::rows::Rows;
use crate::scorer::{Score, Scratch};
pub(super) use compiled::ForestCompiled;
use counts::{Counts, ReachLines};
use masks::Masks;
use schedule::{Needs, Schedule};

/// Most nodes of a forest that is written down so: ten times those of isotree's defaults, which
/// takes seconds already.
pub(super) const MAX_NODES: usize = 1 << 21;

/// What evaluating a batch takes, counted in operations on words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlicedCounts {
    /// Columns that become bytes; one that spans more than 8 bits counts several times.
    pub windows: usize,
    /// Masks "x > t", padding included.
    pub masks: usize,
    /// Nodes whose reach is kept, and what fills up their chunks; in code, those that are computed.
    pub reaches: usize,
    /// See `reaches`.
    pub reach_padding: usize,
    /// Digits of the weights of all nodes; in code, bits that they toggle.
    pub summed: usize,
    /// Lines added in counts: of reaches that are kept, and of states and carries.
    pub lines_counted: usize,
    /// Reaches that are computed where they are added; both with what fills up steps.
    pub reaches_counted: usize,
    /// Bytes of working memory for words of 512.
    pub memory_bytes: usize,
    /// Bytes of operations, and of machine code.
    pub program_bytes: usize,
}

/// An axis-parallel forest made ready to be evaluated on its side.
#[derive(Clone, Debug)]
pub(super) struct ForestSliced {
    program: Box<Program>,
    counts: SlicedCounts,
}

impl ForestSliced {
    /// `None` beyond [`MAX_NODES`], where more than one column is compared, or more than the leaf counts: extended
    /// forests, and those with a penalty for leaving the ranges of nodes.
    pub(super) fn new(forest: &Forest) -> Option<ForestSliced> {
        if forest.parts().ranges.is_some() || forest.parts().left.len() > MAX_NODES {
            return None;
        }
        let Splits::Axis(splits) = &forest.parts().splits else { return None };
        let weights = weights::weigh(forest);
        let is_needed = needed(forest, &weights.of_node);
        let masks = Masks::new(forest, splits, &is_needed);
        let reach_line = MASK_LINES + MASK_CHUNK * masks.chunks.len();
        let needs = Needs {
            forest,
            splits,
            weights: &weights.of_node,
            is_needed: &is_needed,
            masks: &masks,
        };
        let schedule = Schedule::new(&needs, reach_line);
        let reaches = ReachLines {
            n_chunks: schedule.chunks.len(),
            turn: schedule.turn,
            begin: reach_line,
            end: schedule.end_line,
        };
        let counts = Counts::new(&schedule.terms, &reaches);
        let summed = weights.of_node.iter().map(|&w| weights::n_digits(w) as usize).sum();
        let n_lines = counts.end_line();
        let parts = Parts {
            n_features: forest.parts().n_features as usize,
            windows: masks.windows,
            mask_chunks: masks.chunks,
            reach: schedule.chunks,
            code: None,
            line_steps: counts.line_steps,
            reach_steps: counts.reach_steps,
            counts: counts.counts,
            groups: counts.groups,
            planes: counts.planes,
            // Sums are taken modulo 2^32: the score fits, whatever the parts do.
            constant: (weights.constant - counts.excess) as i32,
            carry_line: counts.carry_line,
            n_lines,
        };
        let program = Program::new(parts);
        let counts = count(&program, schedule.n_lines, summed);
        Some(ForestSliced { program: Box::new(program), counts })
    }

    pub(super) fn counts(&self) -> SlicedCounts {
        self.counts
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch::new(self.program.n_lanes())
    }

    pub(super) fn score(&self, isa: Isa, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        self.program.score(isa, rows, &mut scratch.lanes, out);
    }
}

/// Which nodes have a weight at or below them.
fn needed(forest: &Forest, weights: &[i64]) -> Vec<bool> {
    let mut is_needed: Vec<bool> = weights.iter().map(|&weight| weight != 0).collect();
    for tree in 0..forest.n_trees() {
        let range = forest.tree(tree);
        for node in range.clone().rev() {
            let child = forest.parts().left[node] as usize;
            if child != 0 {
                let child = range.start + child;
                is_needed[node] |= is_needed[child] || is_needed[child + 1];
            }
        }
        is_needed[range.start] = false;
    }
    is_needed
}

fn count(program: &Program, n_nodes: usize, summed: usize) -> SlicedCounts {
    let parts = program.parts();
    SlicedCounts {
        windows: parts.windows.len(),
        masks: parts.mask_chunks.len() * MASK_CHUNK,
        reaches: n_nodes,
        reach_padding: parts.reach.len() * REACH_LINES - n_nodes,
        summed,
        lines_counted: 2 * parts.line_steps.as_flattened().len(),
        reaches_counted: parts.reach_steps.as_flattened().len(),
        memory_bytes: parts.n_lines * 64,
        program_bytes: size_of_val(parts.mask_chunks.as_slice())
            + size_of_val(parts.reach.as_slice())
            + size_of_val(parts.line_steps.as_slice())
            + size_of_val(parts.reach_steps.as_slice()),
    }
}
