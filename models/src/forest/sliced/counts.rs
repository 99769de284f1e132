//! What is counted, and how counts become a sum.
//!
//! Every digit of a weight is one line to be added with the weight of the digit. A count adds the
//! lines of one weight of one group of trees, eight in a step, and keeps the last five bits of
//! how many there were as its state, which the next group continues; every few steps carry one
//! line of 32 times the weight. In the end, states and carries are lines with a weight again: the
//! last counts add those, lightest first, until one line for each bit of the sum is left.
//!
//! A negative digit adds the complement of its line instead, and the constant of the program has
//! the rest: −x = (1 − x) − 1.

use std::collections::BTreeMap;

use super::schedule::{NOTHING, Schedule};
use super::weights;
use crate::forest::Forest;
use crate::kernels::sliced::{
    CARRY_STEPS, COUNT_STEP, Count, Group, LineStep, Operand, OperandPair, ReachOp, ReachStep,
    STATE_LINES, ZERO_LINE, operand,
};

/// Bits of a sum.
const MAX_PLANES: usize = 32;
const ZERO: Operand = operand(ZERO_LINE);

/// What a group adds with one weight.
#[derive(Default)]
struct Terms {
    /// Reaches in memory.
    lines: Vec<Operand>,
    /// Reaches that are not: in the one operand, but not in the other.
    reaches: Vec<ReachOp>,
}

pub(super) struct Counts {
    pub line_steps: Vec<LineStep>,
    pub reach_steps: Vec<ReachStep>,
    pub counts: Vec<Count>,
    pub groups: Vec<Group>,
    pub planes: Vec<Operand>,
    pub carry_line: usize,
    /// What the sum has too much, modulo 2^64.
    pub excess: i64,
    first_line: usize,
    n_carries: usize,
    /// Lines to be added in the end, by place.
    pending: Vec<Vec<Operand>>,
}

impl Counts {
    /// The counts of what is scheduled; they write behind it.
    pub(super) fn new(forest: &Forest, weights: &[i64], schedule: &Schedule) -> Counts {
        let first_line = schedule.end_line;
        let mut counts = Counts {
            line_steps: Vec::new(),
            reach_steps: Vec::new(),
            counts: Vec::new(),
            groups: Vec::new(),
            planes: Vec::new(),
            carry_line: first_line + 2 * MAX_PLANES * STATE_LINES,
            excess: 0,
            first_line,
            n_carries: 0,
            pending: vec![Vec::new(); MAX_PLANES + STATE_LINES],
        };
        let mut begun = [false; MAX_PLANES];
        for group in &schedule.groups {
            let nodes = group.trees.clone().flat_map(|tree| forest.tree(tree));
            for (place, terms) in collect(nodes, weights, schedule) {
                let state = counts.state(0, place);
                let from = if std::mem::replace(&mut begun[place], true) { state } else { ZERO };
                counts.push(place, from, state, &terms);
            }
            counts.end_group(group.chunks_end);
        }
        for place in (0..MAX_PLANES).filter(|&place| begun[place]) {
            let state = counts.state(0, place);
            (0..STATE_LINES).for_each(|bit| counts.add_later(place, bit, state));
        }
        counts.finish();
        counts.end_group(schedule.chunks.len());
        counts
    }

    /// First line after all that it writes.
    pub(super) fn end_line(&self) -> usize {
        self.carry_line + self.n_carries
    }

    /// The state of the counts of a group (stage 0) or of the last ones (stage 1).
    fn state(&self, stage: usize, place: usize) -> Operand {
        operand(self.first_line + (stage * MAX_PLANES + place) * STATE_LINES)
    }

    /// The line after that of the operand `bit` times counts 2^`bit` times as much.
    fn add_later(&mut self, place: usize, bit: usize, first: Operand) {
        // What would count 2^32 times changes nothing modulo 2^32.
        if let Some(lines) = self.pending.get_mut(place + bit) {
            lines.push(first + operand(bit));
        }
    }

    /// Counts terms that are added and terms that are subtracted.
    fn push(&mut self, place: usize, from: Operand, to: Operand, terms: &[Terms; 2]) {
        let (mut lines_end, mut reaches_end) = ([0; 2], [0; 2]);
        for (sign, terms) in terms.iter().enumerate() {
            let before = (self.line_steps.len(), self.reach_steps.len());
            self.push_steps(terms);
            let lines = self.line_steps.len() - before.0;
            let reaches = self.reach_steps.len() - before.1;
            let n_carries = lines.div_ceil(CARRY_STEPS) + reaches.div_ceil(CARRY_STEPS);
            for carry in self.n_carries..self.n_carries + n_carries {
                self.add_later(place + STATE_LINES, 0, operand(self.carry_line + carry));
            }
            self.n_carries += n_carries;
            if sign == 1 {
                // With what fills up the steps: its complement is one.
                self.excess += (((lines + reaches) * COUNT_STEP) as i64) << place;
            }
            lines_end[sign] = self.line_steps.len() as u32;
            reaches_end[sign] = self.reach_steps.len() as u32;
        }
        self.counts.push(Count { from, to, lines_end, reaches_end });
    }

    fn push_steps(&mut self, terms: &Terms) {
        // Lines that would not fill a step go where there is room among the reaches.
        let (full, rest) = terms.lines.split_at(terms.lines.len() / COUNT_STEP * COUNT_STEP);
        let n_steps = |n: usize| n.div_ceil(COUNT_STEP);
        let fits = n_steps(terms.reaches.len() + rest.len()) == n_steps(terms.reaches.len());
        let lines = if fits { full } else { &terms.lines };
        let moved = terms.lines[lines.len()..].iter().map(|&line| ReachOp::new(line, ZERO));
        let reaches: Vec<ReachOp> = terms.reaches.iter().copied().chain(moved).collect();
        for lines in lines.chunks(COUNT_STEP) {
            let mut step = [ZERO; COUNT_STEP];
            step[..lines.len()].copy_from_slice(lines);
            let pair = |k: usize| OperandPair::new(step[2 * k], step[2 * k + 1]);
            self.line_steps.push(std::array::from_fn(pair));
        }
        for reaches in reaches.chunks(COUNT_STEP) {
            let mut step = [NOTHING; COUNT_STEP];
            step[..reaches.len()].copy_from_slice(reaches);
            self.reach_steps.push(step);
        }
    }

    fn end_group(&mut self, reach_end: usize) {
        let counts_end = self.counts.len() as u32;
        self.groups.push(Group { reach_end: reach_end as u32, counts_end });
    }

    /// Adds up what is pending, lightest first, to one line for each bit of the sum.
    fn finish(&mut self) {
        for place in 0..MAX_PLANES {
            let lines = std::mem::take(&mut self.pending[place]);
            if lines.len() < 2 {
                self.planes.push(lines.first().copied().unwrap_or(ZERO));
                continue;
            }
            let state = self.state(1, place);
            let terms = [Terms { lines, ..Terms::default() }, Terms::default()];
            self.push(place, ZERO, state, &terms);
            self.planes.push(state);
            (1..STATE_LINES).for_each(|bit| self.add_later(place, bit, state));
        }
        let used = self.planes.iter().rposition(|&plane| plane != ZERO);
        self.planes.truncate(used.map_or(0, |last| last + 1));
    }
}

/// What the nodes of a group add and subtract, by the digits of their weights.
fn collect(
    nodes: impl Iterator<Item = usize>,
    weights: &[i64],
    schedule: &Schedule,
) -> BTreeMap<usize, [Terms; 2]> {
    let mut terms: BTreeMap<usize, [Terms; 2]> = BTreeMap::new();
    for node in nodes {
        for (sign, digits) in weights::digits(weights[node]).into_iter().enumerate() {
            for place in (0..MAX_PLANES).filter(|place| digits >> place & 1 == 1) {
                let terms = &mut terms.entry(place).or_default()[sign];
                match schedule.places[node] {
                    Some(line) => terms.lines.push(line),
                    None => terms.reaches.push(schedule.computed[node]),
                }
            }
        }
    }
    terms
}
