//! The order in which reaches are computed, and where they lie.
//!
//! Lines of reaches form a ring that fits the cache, since writing a line that does not costs several
//! times as much: each chunk of operations overwrites what the chunk a full turn before it wrote.
//! Chunks take nodes whose reach is known and compute that of their children: so many nodes with two
//! children to be kept, so many with one. Small subtrees come first, so that few nodes wait; those
//! that have waited for half a turn come before all others; a tree is begun when few nodes are ready.
//! What is left over in a chunk is filled up with nothing.
//! A child with nothing needed below it gets no line: its reach is computed where it is counted.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::masks::Masks;
use crate::forest::{AxisSplit, Forest};
use crate::kernels::sliced::{
    ONES_LINE, Operand, REACH_BOTH, REACH_LEFT, REACH_LINES, REACH_OPS, REACH_RIGHT, ReachOp,
    ZERO_LINE, operand,
};

/// Chunks of a turn, if that suffices: a shorter one would leave more steps of counts half empty. Large
/// trees need a longer one.
const TURN: usize = 10;
/// A tree is begun when fewer nodes are ready.
const POOL: usize = 40;
/// Nodes that are looked at to see whether any cannot wait: limits the time for large trees.
const MOST_LOOKED_AT: usize = 256;

pub(super) const NOTHING: ReachOp = ReachOp::new(operand(ZERO_LINE), operand(ZERO_LINE));

pub(super) struct Schedule {
    pub chunks: Vec<[ReachOp; REACH_OPS]>,
    /// In the order in which they can be added.
    pub terms: Vec<Term>,
    /// Chunks of a turn of the ring.
    pub turn: usize,
    /// First line after all reaches.
    pub end_line: usize,
    /// Nodes with a line.
    pub n_lines: usize,
}

/// What is added with a weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub weight: i64,
    pub reach: Reach,
    /// The chunk after which it can be added.
    pub ready: usize,
    /// The last chunk after which it can be added.
    pub last: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    /// A line.
    Kept(Operand),
    /// In the first operand, but not in the second.
    Computed(ReachOp),
}

/// A node whose reach is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    node: usize,
    /// Of its tree.
    root: usize,
    place: Operand,
    /// The last chunk after which its line is there.
    last: usize,
}

/// The line of roots.
const FOR_EVER: usize = usize::MAX;

/// Ready nodes of one kind. Both orders may hold some that have been taken.
#[derive(Default)]
struct Queue {
    /// Without roots.
    by_age: VecDeque<Ready>,
    /// With how many lines are below.
    by_size: BinaryHeap<Reverse<(u32, Ready)>>,
    len: usize,
}

/// Operations of a chunk by which children are kept: both, only the right one, only the left one.
const SLOTS: [usize; 3] = [REACH_BOTH, REACH_RIGHT, REACH_LEFT];

/// What the schedule is made from.
pub(super) struct Needs<'a> {
    pub forest: &'a Forest,
    pub splits: &'a [AxisSplit],
    pub weights: &'a [i64],
    pub is_needed: &'a [bool],
    pub masks: &'a Masks,
}

impl Schedule {
    /// The schedule that writes reaches from `reach_line` on.
    pub(super) fn new(needs: &Needs<'_>, reach_line: usize) -> Schedule {
        let below = Below::new(needs);
        let mut turn = TURN;
        loop {
            let scheduler = Scheduler {
                needs,
                below: &below,
                reach_line,
                queues: Default::default(),
                is_taken: vec![false; needs.is_needed.len()],
                schedule: Schedule {
                    chunks: Vec::new(),
                    terms: Vec::new(),
                    turn,
                    end_line: reach_line + turn * REACH_LINES,
                    n_lines: 0,
                },
            };
            if let Some(schedule) = scheduler.run() {
                return schedule;
            }
            // Nothing is overwritten in a turn of as many chunks as there are.
            turn += turn / 2;
        }
    }
}

struct Scheduler<'a> {
    needs: &'a Needs<'a>,
    below: &'a Below,
    reach_line: usize,
    /// Nodes with children to be kept, as in [`SLOTS`].
    queues: [Queue; 3],
    is_taken: Vec<bool>,
    schedule: Schedule,
}

impl Scheduler<'_> {
    /// `None` if a turn is too short.
    fn run(mut self) -> Option<Schedule> {
        let mut roots = (0..self.needs.forest.n_trees()).map(|t| self.needs.forest.tree(t).start);
        loop {
            while self.queues.iter().map(|queue| queue.len).sum::<usize>() < POOL {
                let Some(root) = roots.next() else { break };
                self.open(Ready { node: root, root, place: operand(ONES_LINE), last: FOR_EVER });
            }
            if self.queues.iter().all(|queue| queue.len == 0) {
                return Some(self.schedule);
            }
            self.push_chunk()?;
        }
    }

    /// One chunk from what is ready. `None` if something cannot wait for it.
    fn push_chunk(&mut self) -> Option<()> {
        let now = self.schedule.chunks.len();
        let turn = self.schedule.turn;
        let mut line = self.reach_line + now % turn * REACH_LINES;
        let last = now + turn - 1;
        let mut chunk = [NOTHING; REACH_OPS];
        let mut ops = chunk.iter_mut();
        let mut known = Vec::new();
        for (kind, n_slots) in SLOTS.into_iter().enumerate() {
            let kept = [&[1, 0][..], &[1], &[0]][kind];
            let mut chosen = self.choose(kind, n_slots, now)?.into_iter();
            for op in ops.by_ref().take(n_slots) {
                let from = line;
                line += kept.len();
                let Some(ready) = chosen.next() else { continue };
                let child = ready.root + self.needs.forest.parts().left[ready.node] as usize;
                *op =
                    ReachOp::new(ready.place, self.needs.masks.line(self.needs.splits[ready.node]));
                for (j, is_right) in kept.iter().enumerate() {
                    let place = operand(from + j);
                    let node = child + is_right;
                    known.push(Ready { node, root: ready.root, place, last });
                }
                self.schedule.n_lines += kept.len();
                if let [is_right] = kept {
                    let reach = Reach::Computed(ReachOp::new(ready.place, operand(from)));
                    self.add(child + 1 - is_right, reach, ready.last.min(last), now + 1);
                }
            }
        }
        self.schedule.chunks.push(chunk);
        for ready in known {
            self.add(ready.node, Reach::Kept(ready.place), ready.last, now + 1);
            self.open(ready);
        }
        Some(())
    }

    /// Takes the nodes for so many operations of a kind.
    fn choose(&mut self, kind: usize, n_slots: usize, now: usize) -> Option<Vec<Ready>> {
        let turn = self.schedule.turn;
        let queue = &mut self.queues[kind];
        let mut chosen = Vec::with_capacity(n_slots);
        while queue.by_age.pop_front_if(|oldest| self.is_taken[oldest.node]).is_some() {}
        if queue.by_age.front().is_some_and(|oldest| oldest.last < now) {
            return None;
        }
        let waiting = queue.by_age.iter().take(MOST_LOOKED_AT);
        let waiting = waiting.filter(|ready| !self.is_taken[ready.node]);
        let is_urgent =
            waiting.enumerate().any(|(k, ready)| now + turn / 2 + k / n_slots + 2 >= ready.last);
        while chosen.len() < n_slots && queue.len > 0 {
            let oldest = if is_urgent { queue.by_age.pop_front() } else { None };
            let next = oldest.or_else(|| queue.by_size.pop().map(|Reverse((_, ready))| ready));
            let Some(next) = next else { break };
            if !std::mem::replace(&mut self.is_taken[next.node], true) {
                chosen.push(next);
                queue.len -= 1;
            }
        }
        Some(chosen)
    }

    /// Queues a node if any of its children is to be kept.
    fn open(&mut self, ready: Ready) {
        let left = self.needs.forest.parts().left[ready.node] as usize;
        if left == 0 {
            return;
        }
        let child = ready.root + left;
        let kind = match [child, child + 1].map(|child| self.below.heights[child] > 0) {
            [true, true] => 0,
            [false, true] => 1,
            [true, false] => 2,
            [false, false] => {
                assert!(
                    !self.needs.is_needed[child + 1],
                    "of two such children the left has a weight"
                );
                if self.needs.is_needed[child] {
                    let mask = self.needs.masks.line(self.needs.splits[ready.node]);
                    let reach = Reach::Computed(ReachOp::new(ready.place, mask));
                    self.add(child, reach, ready.last, self.schedule.chunks.len());
                }
                return;
            }
        };
        let queue = &mut self.queues[kind];
        if ready.last != FOR_EVER {
            queue.by_age.push_back(ready);
        }
        queue.by_size.push(Reverse((self.below.lines[ready.node], ready)));
        queue.len += 1;
    }

    /// What has a weight is to be added, from now on.
    fn add(&mut self, node: usize, reach: Reach, last: usize, ready: usize) {
        let weight = self.needs.weights[node];
        if weight != 0 {
            self.schedule.terms.push(Term { weight, reach, ready, last });
        }
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
