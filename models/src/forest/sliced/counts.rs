//! What is counted, and how counts become a sum.
//!
//! Every digit of a weight is one line to be added with the weight of the digit. A count adds the
//! lines of one weight of one group of trees, eight in a step, and keeps the last three bits of
//! how many there were as its state, which the next group continues; every step carries one line
//! of eight times the weight. In the end, states and carries are lines with a weight again: the
//! last counts add those, lightest first, until one line for each bit of the sum is left.
//! Positive and negative digits have sums of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::schedule::{NOTHING, Schedule};
use super::weights;
use crate::forest::Forest;
use crate::kernels::sliced::{
    CARRY_STEPS, COUNT_RIGHT, COUNT_STEP, Count, Group, LineStep, Operand, OperandPair, ReachOp,
    STATE_LINES, ZERO_LINE, operand,
};

/// Bits of a sum.
const MAX_PLANES: usize = 32;
const ZERO: Operand = operand(ZERO_LINE);

/// Sign (0 = added, 1 = subtracted) and place of a digit.
type Digit = (usize, usize);

/// What a group adds with one weight.
#[derive(Default)]
struct Terms {
    /// Reaches in memory.
    lines: Vec<Operand>,
    /// Reaches that are not: left children, right children.
    reaches: [Vec<ReachOp>; 2],
}

pub(super) struct Counts {
    pub line_steps: Vec<LineStep>,
    pub reach_steps: Vec<[ReachOp; COUNT_STEP]>,
    pub counts: Vec<Count>,
    pub groups: Vec<Group>,
    pub planes: [Vec<Operand>; 2],
    pub carry_line: usize,
    first_line: usize,
    n_carries: usize,
    /// Lines to be added in the end, by sign and place.
    pending: [Vec<Vec<Operand>>; 2],
}

impl Counts {
    /// The counts that write from `first_line` on.
    pub(super) fn new(
        forest: &Forest,
        weights: &[i64],
        schedule: &Schedule,
        first_line: usize,
    ) -> Counts {
        let mut counts = Counts {
            line_steps: Vec::new(),
            reach_steps: Vec::new(),
            counts: Vec::new(),
            groups: Vec::new(),
            planes: [Vec::new(), Vec::new()],
            carry_line: first_line + 2 * 2 * MAX_PLANES * STATE_LINES,
            first_line,
            n_carries: 0,
            pending: [(); 2].map(|()| vec![Vec::new(); MAX_PLANES + STATE_LINES]),
        };
        let mut begun: BTreeSet<Digit> = BTreeSet::new();
        for (trees, reach_end) in &schedule.groups {
            let nodes = trees.clone().flat_map(|tree| forest.tree(tree));
            for (digit, terms) in collect(nodes, weights, schedule) {
                let state = counts.state(0, digit);
                let from = if begun.insert(digit) { ZERO } else { state };
                counts.push(digit, from, state, &terms);
            }
            counts.end_group(*reach_end);
        }
        for digit in begun {
            let state = counts.state(0, digit);
            (0..STATE_LINES).for_each(|bit| counts.add_later(digit, bit, state));
        }
        (0..2).for_each(|sign| counts.finish(sign));
        counts.end_group(schedule.chunks.len());
        counts
    }

    /// First line after all that it writes.
    pub(super) fn end_line(&self) -> usize {
        self.carry_line + self.n_carries
    }

    /// The state of the counts of a group (stage 0) or of the last ones (stage 1).
    fn state(&self, stage: usize, (sign, place): Digit) -> Operand {
        operand(self.first_line + ((2 * stage + sign) * MAX_PLANES + place) * STATE_LINES)
    }

    /// The line after that of the operand `bit` times counts 2^`bit` times as much.
    fn add_later(&mut self, (sign, place): Digit, bit: usize, first: Operand) {
        // What would count 2^32 times changes nothing modulo 2^32.
        if let Some(lines) = self.pending[sign].get_mut(place + bit) {
            lines.push(first + operand(bit));
        }
    }

    fn push(&mut self, digit: Digit, from: Operand, to: Operand, terms: &Terms) {
        let before = (self.line_steps.len(), self.reach_steps.len());
        for lines in terms.lines.chunks(COUNT_STEP) {
            let mut step = [ZERO; COUNT_STEP];
            step[..lines.len()].copy_from_slice(lines);
            let pair = |k: usize| OperandPair::new(step[2 * k], step[2 * k + 1]);
            self.line_steps.push(std::array::from_fn(pair));
        }
        let [left, right] = &terms.reaches;
        let room = [COUNT_STEP - COUNT_RIGHT, COUNT_RIGHT];
        for k in 0..left.len().div_ceil(room[0]).max(right.len().div_ceil(room[1])) {
            let mut step = [NOTHING; COUNT_STEP];
            let (right_slots, left_slots) = step.split_at_mut(COUNT_RIGHT);
            for (ops, slots) in [(left, left_slots), (right, right_slots)] {
                let ops = ops.get(k * slots.len()..).unwrap_or_default();
                slots.iter_mut().zip(ops).for_each(|(slot, op)| *slot = *op);
            }
            self.reach_steps.push(step);
        }
        let (lines_end, reaches_end) = (self.line_steps.len(), self.reach_steps.len());
        let (lines, reaches) = (lines_end - before.0, reaches_end - before.1);
        let (lines_end, reaches_end) = (lines_end as u32, reaches_end as u32);
        self.counts.push(Count { from, to, lines_end, reaches_end });
        let (sign, place) = digit;
        let n_carries = lines.div_ceil(CARRY_STEPS) + reaches.div_ceil(CARRY_STEPS);
        for carry in self.n_carries..self.n_carries + n_carries {
            self.add_later((sign, place + STATE_LINES), 0, operand(self.carry_line + carry));
        }
        self.n_carries += n_carries;
    }

    fn end_group(&mut self, reach_end: usize) {
        let counts_end = self.counts.len() as u32;
        self.groups.push(Group { reach_end: reach_end as u32, counts_end });
    }

    /// Adds up what is pending, lightest first, to one line for each bit of the sum.
    fn finish(&mut self, sign: usize) {
        for place in 0..MAX_PLANES {
            let lines = std::mem::take(&mut self.pending[sign][place]);
            if lines.len() < 2 {
                self.planes[sign].push(lines.first().copied().unwrap_or(ZERO));
                continue;
            }
            let digit = (sign, place);
            let state = self.state(1, digit);
            self.push(digit, ZERO, state, &Terms { lines, ..Terms::default() });
            self.planes[sign].push(state);
            (1..STATE_LINES).for_each(|bit| self.add_later(digit, bit, state));
        }
        let used = self.planes[sign].iter().rposition(|&plane| plane != ZERO);
        self.planes[sign].truncate(used.map_or(0, |last| last + 1));
    }
}

/// What nodes add, by the digits of their weights.
fn collect(
    nodes: impl Iterator<Item = usize>,
    weights: &[i64],
    schedule: &Schedule,
) -> BTreeMap<Digit, Terms> {
    let mut terms: BTreeMap<Digit, Terms> = BTreeMap::new();
    for node in nodes {
        for (sign, digits) in weights::digits(weights[node]).into_iter().enumerate() {
            for place in (0..MAX_PLANES).filter(|place| digits >> place & 1 == 1) {
                let terms = terms.entry((sign, place)).or_default();
                match schedule.places[node] {
                    Some(line) => terms.lines.push(line),
                    None => {
                        let (op, is_right) = schedule.ops[node];
                        terms.reaches[usize::from(is_right)].push(op);
                    }
                }
            }
        }
    }
    terms
}
