//! What is counted, and how counts become a sum.
//!
//! Every digit of a weight is one line to be added with the weight of the digit. Lines wait until
//! there are eight of the same weight, a step, or one of them is about to be overwritten: then a count
//! adds those of that weight that fill steps. It keeps the last five bits of how many there were
//! as its state, which the next count of the weight continues; every few steps carry one line of 32
//! times the weight. In the end, states and carries are lines with a weight again: the
//! last counts add those, lightest first, until one line for each bit of the sum is left.
//!
//! A negative digit adds the complement of its line instead, and the constant of the program has
//! the rest: −x = (1 − x) − 1.

use super::schedule::{NOTHING, Reach, Term};
use super::weights;
use crate::kernels::sliced::{
    CARRY_STEPS, COUNT_STEP, Count, Group, LineStep, Operand, OperandPair, REACH_LINES, ReachOp,
    ReachStep, STATE_LINES, ZERO_LINE, operand,
};

/// Bits of a sum.
const MAX_PLANES: usize = 32;
const ZERO: Operand = operand(ZERO_LINE);

/// What is added with one weight, each with the chunk after which it has to be added at the latest.
#[derive(Default)]
struct Terms {
    /// Reaches in memory.
    lines: Vec<(usize, Operand)>,
    /// Reaches that are not: in the one operand, but not in the other.
    reaches: Vec<(usize, ReachOp)>,
}

/// Where reaches lie that are to be counted.
pub(super) struct ReachLines {
    /// Chunks that write them.
    pub n_chunks: usize,
    /// Chunks of a turn of the ring.
    pub turn: usize,
    /// Their first line.
    pub begin: usize,
    /// First line after them.
    pub end: usize,
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
    /// The counts of terms, in the order in which they can be added; they write behind all reaches.
    pub(super) fn new(terms: &[Term], reaches: &ReachLines) -> Counts {
        let first_line = reaches.end;
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
        let mut waiting: [[Terms; 2]; MAX_PLANES] = Default::default();
        let mut begun = [false; MAX_PLANES];
        let mut terms = terms.iter().peekable();
        let (mut begin, n_chunks) = (0, reaches.n_chunks);
        for done in 0..=n_chunks {
            while let Some(term) = terms.next_if(|term| term.ready <= done) {
                for (sign, digits) in weights::digits(term.weight).into_iter().enumerate() {
                    for place in (0..MAX_PLANES).filter(|place| digits >> place & 1 == 1) {
                        let terms = &mut waiting[place][sign];
                        match term.reach {
                            Reach::Kept(line) => terms.lines.push((term.last, line)),
                            Reach::Computed(op) => terms.reaches.push((term.last, op)),
                        }
                    }
                }
            }
            let n_counts = counts.counts.len();
            for (place, waiting) in waiting.iter_mut().enumerate() {
                let is_due = |last: usize| last < done || done == n_chunks;
                if waiting.iter().any(|terms| terms.is_due(is_due)) {
                    let taken = waiting.each_mut().map(|terms| terms.take(is_due));
                    let state = counts.state(0, place);
                    let from =
                        if std::mem::replace(&mut begun[place], true) { state } else { ZERO };
                    counts.push(place, from, state, &taken);
                }
            }
            if done > begin && (counts.counts.len() > n_counts || done % reaches.turn == 0)
                || done == n_chunks
            {
                let line = operand(reaches.begin + begin % reaches.turn * REACH_LINES);
                counts.end_group(line, done);
                begin = done;
            }
        }
        for place in (0..MAX_PLANES).filter(|&place| begun[place]) {
            let state = counts.state(0, place);
            (0..STATE_LINES).for_each(|bit| counts.add_later(place, bit, state));
        }
        counts.finish();
        counts.end_group(operand(reaches.begin), n_chunks);
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
    fn push(&mut self, place: usize, from: Operand, to: Operand, terms: &[Taken; 2]) {
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

    fn push_steps(&mut self, (lines, reaches): &Taken) {
        // Lines that would not fill a step go where there is room among the reaches.
        let (full, rest) = lines.split_at(lines.len() / COUNT_STEP * COUNT_STEP);
        let n_steps = |n: usize| n.div_ceil(COUNT_STEP);
        let fits = n_steps(reaches.len() + rest.len()) == n_steps(reaches.len());
        let kept = if fits { full } else { lines };
        let moved = lines[kept.len()..].iter().map(|&line| ReachOp::new(line, ZERO));
        let reaches: Vec<ReachOp> = reaches.iter().copied().chain(moved).collect();
        let lines = kept;
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

    fn end_group(&mut self, line: Operand, reach_end: usize) {
        let counts_end = self.counts.len() as u32;
        self.groups.push(Group { line, reach_end: reach_end as u32, counts_end });
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
            let terms = [(lines, Vec::new()), Default::default()];
            self.push(place, ZERO, state, &terms);
            self.planes.push(state);
            (1..STATE_LINES).for_each(|bit| self.add_later(place, bit, state));
        }
        let used = self.planes.iter().rposition(|&plane| plane != ZERO);
        self.planes.truncate(used.map_or(0, |last| last + 1));
    }
}

/// Lines and reaches to be added now.
type Taken = (Vec<Operand>, Vec<ReachOp>);

impl Terms {
    fn is_due(&self, is_due: impl Fn(usize) -> bool) -> bool {
        let lasts = self.lines.iter().map(|&(last, _)| last);
        lasts.chain(self.reaches.iter().map(|&(last, _)| last)).any(is_due)
    }

    /// Those that are due, and what fills steps with them or without.
    fn take(&mut self, is_due: impl Fn(usize) -> bool) -> Taken {
        (take(&mut self.lines, &is_due), take(&mut self.reaches, &is_due))
    }
}

fn take<T>(waiting: &mut Vec<(usize, T)>, is_due: impl Fn(usize) -> bool) -> Vec<T> {
    waiting.sort_by_key(|&(last, _)| last);
    let full = waiting.len() / COUNT_STEP * COUNT_STEP;
    let is_rest_due = waiting[full..].iter().any(|&(last, _)| is_due(last));
    let n = if is_rest_due { waiting.len() } else { full };
    waiting.drain(..n).map(|(_, term)| term).collect()
}
