//! Evaluation on the side by machine code that is written for one forest.
//!
//! Comparisons, counts and scores are as in the streams of operations ([`super::ForestSliced`]).
//! Between them, code evaluates trees one by one ([`emit`]) and writes the bits of each tree's
//! value ([`toggles`]) to a line each; after [`GROUP`] trees, lines of equal weight are counted.
//! What would need more registers than there are is evaluated a few bits at a time.

use super::counts::{Counts, ReachLines};
use super::emit::{self, TooFew, Tree, emit};
use super::masks::Masks;
use super::schedule::{Reach, Term};
use super::toggles::Toggles;
use super::{MAX_NODES, SlicedCounts, count};
use crate::forest::{AxisSplit, Forest, Splits};
use crate::kernels::assembler::{Assembler, Op};
use crate::kernels::code::Code;
use crate::kernels::isa::Isa;
use crate::kernels::sliced::{MASK_CHUNK, MASK_LINES, Parts, Program, operand};
use crate::rows::Rows;
use crate::scorer::{Score, Scratch};

/// Trees whose bits are counted together: two steps for each bit.
const GROUP: usize = 16;

/// An axis-parallel forest as machine code.
#[derive(Clone, Debug)]
pub(in crate::forest) struct ForestCompiled {
    program: Box<Program>,
    counts: SlicedCounts,
    isa: Isa,
}

impl ForestCompiled {
    /// `None` where [`super::ForestSliced`] has no program, no code can be written for these
    /// instructions or executed on this system, or the registers do not suffice.
    pub(in crate::forest) fn new(forest: &Forest, isa: Isa) -> Option<ForestCompiled> {
        let n_registers = Assembler::n_registers(isa)?;
        if forest.parts().ranges.is_some() || forest.parts().left.len() > MAX_NODES {
            return None;
        }
        let Splits::Axis(splits) = &forest.parts().splits else { return None };
        let toggles = Bits::new(forest);
        let masks = Masks::new(forest, splits, &toggles.is_needed());
        let first_line = MASK_LINES + MASK_CHUNK * masks.chunks.len();
        let writer = Writer { forest, splits, masks: &masks, n_registers, first_line };
        let functions = writer.functions(&toggles).ok()?;
        let lines = ReachLines {
            n_chunks: functions.ops.len(),
            turn: 1,
            begin: first_line,
            end: first_line + functions.n_lines,
        };
        let mut counts = Counts::new(&functions.terms, &lines);
        counts.groups.iter_mut().for_each(|group| group.reach_end = 0);
        let constant = toggles.constant - counts.excess;
        let n_lines = counts.end_line();
        let code = Code::new(isa, &functions.ops, n_lines)?;
        let code_bytes = code.n_bytes();
        let parts = Parts {
            n_features: forest.parts().n_features as usize,
            windows: masks.windows,
            mask_chunks: masks.chunks,
            code: Some(code),
            line_steps: counts.line_steps,
            reach_steps: counts.reach_steps,
            counts: counts.counts,
            groups: counts.groups,
            planes: counts.planes,
            // As for streams: modulo 2^32.
            constant: constant as i32,
            carry_line: counts.carry_line,
            n_lines,
            ..Parts::default()
        };
        let program = Program::new(parts);
        let mut counts = count(&program, 0, toggles.n());
        counts.reaches = functions.n_reaches();
        counts.program_bytes += code_bytes;
        Some(ForestCompiled { program: Box::new(program), counts, isa })
    }

    pub(in crate::forest) fn counts(&self) -> SlicedCounts {
        self.counts
    }

    pub(in crate::forest) fn scratch(&self) -> Scratch {
        Scratch::new(self.program.n_lanes())
    }

    pub(in crate::forest) fn score(
        &self,
        rows: Rows<'_>,
        scratch: &mut Scratch,
        out: &mut [Score],
    ) {
        self.program.score(self.isa, rows, &mut scratch.lanes, out);
    }
}

/// Toggles of all trees.
struct Bits {
    trees: Vec<Toggles>,
    /// Left children of all trees.
    left: Vec<Vec<u32>>,
    constant: i64,
}

impl Bits {
    fn new(forest: &Forest) -> Bits {
        let parts = forest.parts();
        let mut bits = Bits { trees: Vec::new(), left: Vec::new(), constant: 0 };
        for tree in 0..forest.n_trees() {
            let range = forest.tree(tree);
            let left = &parts.left[range.clone()];
            let toggles = Toggles::new(left, &parts.leaf_values[range]);
            bits.constant += i64::from(toggles.constant);
            bits.trees.push(toggles);
            bits.left.push(left.to_vec());
        }
        bits
    }

    /// Which nodes toggle, or have one below that does; roots do not count.
    fn is_needed(&self) -> Vec<bool> {
        let mut all = Vec::new();
        for (toggles, left) in self.trees.iter().zip(&self.left) {
            let mut is_needed: Vec<bool> = toggles.of_node.iter().map(|&bits| bits != 0).collect();
            for node in (0..left.len()).rev() {
                let child = left[node] as usize;
                if child != 0 {
                    is_needed[node] |= is_needed[child] || is_needed[child + 1];
                }
            }
            is_needed[0] = false;
            all.extend(is_needed);
        }
        all
    }

    fn n(&self) -> usize {
        let bits = self.trees.iter().flat_map(|toggles| &toggles.of_node);
        bits.map(|bits| bits.count_ones() as usize).sum()
    }
}

struct Writer<'a> {
    forest: &'a Forest,
    splits: &'a [AxisSplit],
    masks: &'a Masks,
    n_registers: usize,
    /// From where on bits are written.
    first_line: usize,
}

/// One for each group of trees.
#[derive(Default)]
struct Functions {
    ops: Vec<Vec<Op>>,
    /// The bits that they write.
    terms: Vec<Term>,
    /// Most lines that one of them writes.
    n_lines: usize,
}

impl Functions {
    fn n_reaches(&self) -> usize {
        let makes_reach = |op: &&Op| !matches!(op, Op::Store { .. } | Op::Copy { .. });
        self.ops.iter().flatten().filter(makes_reach).filter(|op| op.line().is_some()).count()
    }
}

impl Writer<'_> {
    fn functions(&self, bits: &Bits) -> Result<Functions, TooFew> {
        let mut functions = Functions::default();
        let trees: Vec<usize> =
            (0..self.forest.n_trees()).filter(|&tree| bits.trees[tree].n_bits > 0).collect();
        for (chunk, trees) in trees.chunks(GROUP).enumerate() {
            let mut ops = Vec::new();
            let mut line = self.first_line;
            for &tree in trees {
                for place in self.tree(tree, &bits.trees[tree], line, &mut ops)? {
                    functions.terms.push(Term {
                        weight: 1 << place,
                        reach: Reach::Kept(operand(line)),
                        ready: chunk + 1,
                        last: chunk,
                    });
                    line += 1;
                }
            }
            functions.n_lines = functions.n_lines.max(line - self.first_line);
            functions.ops.push(ops);
        }
        Ok(functions)
    }

    /// Appends what evaluates a tree: all bits at once, or as many as there are registers for.
    fn tree(
        &self,
        tree: usize,
        toggles: &Toggles,
        line: usize,
        ops: &mut Vec<Op>,
    ) -> Result<Vec<u32>, TooFew> {
        let range = self.forest.tree(tree);
        let left = &self.forest.parts().left[range.clone()];
        let masks: Vec<u32> = self.splits[range]
            .iter()
            .map(|&split| self.masks.find(split).map_or(0, emit::line))
            .collect();
        let tree = Tree { left, masks: &masks, toggles: &toggles.of_node };
        let mut at_once = toggles.n_bits;
        let begin = ops.len();
        loop {
            ops.truncate(begin);
            let mut written = Vec::new();
            let parts = (0..toggles.n_bits).step_by(at_once as usize);
            let result = parts.into_iter().try_for_each(|first| {
                let places = first..toggles.n_bits.min(first + at_once);
                let line = (line + written.len()) as u32;
                written.extend(emit(&tree, places, self.n_registers, line, ops)?);
                Ok(())
            });
            match result {
                Ok(()) => return Ok(written),
                Err(TooFew) if at_once == 1 => return Err(TooFew),
                Err(TooFew) => at_once = at_once.div_ceil(2),
            }
        }
    }
}
