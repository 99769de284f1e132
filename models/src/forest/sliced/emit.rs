//! Turns a tree into operations on registers: its reaches, and the bits of its value.
//!
//! ```text
//! right = reach & mask      left = reach ^ right      bit ^= right, where the right child toggles it
//! ```
//!
//! A tree is walked in depth first order, so a reach stays in a register from where it is made to
//! where its children are, and is never written to memory. Of two children the one that needs
//! fewer registers comes first (as Sethi and Ullman order expressions): few are needed at once.
//! What a toggle adds waits until there is a second one of the same bit, as long as the reach is
//! in a register anyway: two are added by one instruction.

use crate::kernels::assembler::{Op, Register};
use crate::kernels::sliced::{ONES_LINE, Operand};

/// A tree, or some bits of it.
pub(super) struct Tree<'a> {
    /// Left child, 0 = leaf.
    pub left: &'a [u32],
    /// Line of the mask of each inner node that is needed.
    pub masks: &'a [u32],
    /// Which bits each node toggles.
    pub toggles: &'a [u32],
}

/// Operations that write the bits of a tree.
pub(super) struct Emitter<'a> {
    tree: &'a Tree<'a>,
    /// Registers that are needed below each node to evaluate what toggles; 0 = nothing does.
    needs: Vec<u32>,
    ops: &'a mut Vec<Op>,
    /// Registers that hold a reach, of the first ones.
    is_used: Vec<bool>,
    bits: Vec<Bit>,
}

/// A bit of the value.
#[derive(Clone, Copy)]
struct Bit {
    place: u32,
    register: Register,
    /// Whether the register holds anything yet.
    is_set: bool,
    /// A reach that is to be added to it.
    waiting: Option<Register>,
}

/// There are too few registers; what was appended is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooFew;

/// Appends operations that write the bits of `places` to consecutive lines: those that some node
/// toggles, which are returned.
pub(super) fn emit(
    tree: &Tree<'_>,
    places: std::ops::Range<u32>,
    n_registers: usize,
    first_line: u32,
    ops: &mut Vec<Op>,
) -> Result<Vec<u32>, TooFew> {
    let n_reaches = n_registers.checked_sub(places.len()).ok_or(TooFew)?;
    let wanted = places.clone().fold(0_u32, |bits, place| bits | 1 << place);
    let bits = places.zip(n_reaches..).map(|(place, register)| Bit {
        place,
        register: register as Register,
        is_set: false,
        waiting: None,
    });
    let mut emitter = Emitter {
        tree,
        needs: needs(tree, wanted),
        bits: bits.collect(),
        ops,
        is_used: vec![false; n_reaches],
    };
    let root = emitter.take().ok_or(TooFew)?;
    emitter.ops.push(Op::Load { to: root, line: ONES_LINE as u32 });
    emitter.toggle(0, root);
    emitter.below(0, root)?;
    Ok(emitter.store(first_line))
}

/// How many registers the reaches below each node take, in the best order.
fn needs(tree: &Tree<'_>, wanted: u32) -> Vec<u32> {
    let mut needs = vec![0_u32; tree.left.len()];
    for node in (0..tree.left.len()).rev() {
        let child = tree.left[node] as usize;
        let toggles = u32::from(tree.toggles[node] & wanted != 0);
        needs[node] = match child {
            0 => toggles,
            _ => match (needs[child], needs[child + 1]) {
                (a, b) if a == b && a > 0 => a + 1,
                (a, b) => a.max(b).max(toggles),
            },
        };
    }
    needs
}

impl Emitter<'_> {
    /// Everything below a node whose reach is in a register, which is free afterwards.
    fn below(&mut self, mut node: usize, mut reach: Register) -> Result<(), TooFew> {
        loop {
            let left = self.tree.left[node] as usize;
            let (needs_left, needs_right) = match left {
                0 => (0, 0),
                _ => (self.needs[left], self.needs[left + 1]),
            };
            (node, reach) = match (needs_left > 0, needs_right > 0) {
                (false, false) => {
                    self.free(reach);
                    return Ok(());
                }
                (true, true) => {
                    let [a, b] = self.both(node, reach)?;
                    let children = [(left, a), (left + 1, b)];
                    let first = usize::from(needs_right <= needs_left);
                    let (small, register) = children[first];
                    self.below(small, register)?;
                    children[1 - first]
                }
                (is_left, _) => {
                    let child = if is_left { left } else { left + 1 };
                    let line = self.tree.masks[node];
                    if let Some(bit) = self.only_toggle(child) {
                        self.toggle_once(bit, reach, line, is_left);
                        self.free(reach);
                        return Ok(());
                    }
                    let a = reach;
                    let to = self.in_place_of(a);
                    self.ops.push(match is_left {
                        true => Op::AndNot { to, a, line },
                        false => Op::And { to, a, line },
                    });
                    self.toggle(child, to);
                    (child, to)
                }
            };
        }
    }

    /// The reaches of the left and of the right child.
    fn both(&mut self, node: usize, reach: Register) -> Result<[Register; 2], TooFew> {
        let right = self.take().ok_or(TooFew)?;
        self.ops.push(Op::And { to: right, a: reach, line: self.tree.masks[node] });
        let left = self.in_place_of(reach);
        self.ops.push(Op::Xor { to: left, a: reach, b: right });
        let child = self.tree.left[node] as usize;
        self.toggle(child + 1, right);
        self.toggle(child, left);
        Ok([left, right])
    }

    /// The bit, if the node toggles one and nothing below it toggles any.
    fn only_toggle(&self, node: usize) -> Option<usize> {
        let left = self.tree.left[node] as usize;
        let is_last = left == 0 || self.needs[left] + self.needs[left + 1] == 0;
        let mut bits = (0..self.bits.len()).filter(|&bit| self.toggles(node, bit));
        let bit = bits.next().filter(|_| is_last)?;
        bits.next().is_none().then_some(bit)
    }

    fn toggles(&self, node: usize, bit: usize) -> bool {
        self.tree.toggles[node] >> self.bits[bit].place & 1 != 0
    }

    /// Toggles the bits of a node whose reach is in a register.
    fn toggle(&mut self, node: usize, reach: Register) {
        for k in 0..self.bits.len() {
            if !self.toggles(node, k) {
                continue;
            }
            let bit = &mut self.bits[k];
            let (to, is_set) = (bit.register, bit.is_set);
            match bit.waiting.take() {
                None => bit.waiting = Some(reach),
                Some(a) => {
                    bit.is_set = true;
                    self.ops.push(match is_set {
                        true => Op::XorBoth { to, a, b: reach },
                        false => Op::Xor { to, a, b: reach },
                    });
                }
            }
        }
    }

    /// Toggles a bit by a reach that is needed for nothing else.
    fn toggle_once(&mut self, bit: usize, a: Register, line: u32, is_left: bool) {
        let bit = &mut self.bits[bit];
        let to = bit.register;
        self.ops.push(match (std::mem::replace(&mut bit.is_set, true), is_left) {
            (true, true) => Op::XorAndNot { to, a, line },
            (true, false) => Op::XorAnd { to, a, line },
            (false, true) => Op::AndNot { to, a, line },
            (false, false) => Op::And { to, a, line },
        });
    }

    /// A register, at best one that nothing waits for.
    fn take(&mut self) -> Option<Register> {
        let register = self.find(false).or_else(|| self.find(true))?;
        self.add_waiting(register);
        self.is_used[usize::from(register)] = true;
        Some(register)
    }

    /// A register for what takes over from a reach: the same one if nothing waits for it or there is
    /// no other.
    fn in_place_of(&mut self, reach: Register) -> Register {
        let other = if self.is_awaited(reach) { self.find(false) } else { None };
        let register = other.unwrap_or(reach);
        self.add_waiting(register);
        self.is_used[usize::from(reach)] = false;
        self.is_used[usize::from(register)] = true;
        register
    }

    fn find(&self, is_awaited: bool) -> Option<Register> {
        let mut registers = (0..self.is_used.len()).filter(|&register| !self.is_used[register]);
        let fits = |&register: &usize| self.is_awaited(register as Register) == is_awaited;
        registers.find(fits).map(|register| register as Register)
    }

    fn free(&mut self, register: Register) {
        self.is_used[usize::from(register)] = false;
    }

    fn is_awaited(&self, register: Register) -> bool {
        self.bits.iter().any(|bit| bit.waiting == Some(register))
    }

    /// Adds a reach to all bits that it toggles, because its register is about to be overwritten.
    fn add_waiting(&mut self, register: Register) {
        for bit in &mut self.bits {
            if bit.waiting == Some(register) {
                bit.waiting = None;
                let (to, is_set) = (bit.register, std::mem::replace(&mut bit.is_set, true));
                self.ops.push(match is_set {
                    true => Op::Xor { to, a: to, b: register },
                    false => Op::Copy { to, from: register },
                });
            }
        }
    }

    /// Writes what has been toggled to consecutive lines.
    fn store(&mut self, first_line: u32) -> Vec<u32> {
        (0..self.is_used.len()).for_each(|register| self.add_waiting(register as Register));
        let set = self.bits.iter().filter(|bit| bit.is_set);
        let stores = set.clone().zip(first_line..);
        self.ops.extend(stores.map(|(bit, line)| Op::Store { line, from: bit.register }));
        set.map(|bit| bit.place).collect()
    }
}

/// The line of an operand.
pub(super) fn line(operand: Operand) -> u32 {
    operand / 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Forest;
    use crate::forest::sliced::toggles::Toggles;
    use crate::testing::{Random, deepest_tree, random_forest, stump};

    /// First line that is written; masks lie before.
    const OUT: usize = 9000;

    /// Runs operations on lines of 64 events.
    fn interpret(ops: &[Op], lines: &mut [u64], n_registers: usize) {
        let mut registers = vec![0; n_registers];
        for &op in ops {
            let r = |register: Register| registers[usize::from(register)];
            let m = |line: u32| lines[line as usize];
            let (to, word) = match op {
                Op::Load { to, line } => (to, m(line)),
                Op::Store { line, from } => {
                    lines[line as usize] = r(from);
                    continue;
                }
                Op::Copy { to, from } => (to, r(from)),
                Op::And { to, a, line } => (to, r(a) & m(line)),
                Op::AndNot { to, a, line } => (to, r(a) & !m(line)),
                Op::Xor { to, a, b } => (to, r(a) ^ r(b)),
                Op::XorBoth { to, a, b } => (to, r(to) ^ r(a) ^ r(b)),
                Op::XorAnd { to, a, line } => (to, r(to) ^ (r(a) & m(line))),
                Op::XorAndNot { to, a, line } => (to, r(to) ^ (r(a) & !m(line))),
            };
            registers[usize::from(to)] = word;
        }
    }

    /// A mask for each node: where its bit is set, events go right.
    fn agree(random: &mut Random, forest: &Forest, tree: usize, n_registers: usize) -> bool {
        let range = forest.tree(tree);
        let left = &forest.parts().left[range.clone()];
        let values = &forest.parts().leaf_values[range];
        let toggles = Toggles::new(left, values);
        let masks: Vec<u32> = (0..left.len() as u32).map(|node| node + 100).collect();
        let mut lines = vec![0; OUT + 32];
        lines.iter_mut().for_each(|line| *line = random.next());
        lines[ONES_LINE] = u64::MAX;
        let before = lines.clone();
        let tree = Tree { left, masks: &masks, toggles: &toggles.of_node };
        let mut ops = Vec::new();
        let places = 0..toggles.n_bits;
        let Ok(places) = emit(&tree, places, n_registers, OUT as u32, &mut ops) else {
            return false;
        };
        interpret(&ops, &mut lines, n_registers);
        for event in 0..64 {
            let mut node = 0;
            while left[node] != 0 {
                let is_right = before[masks[node] as usize] >> event & 1;
                node = left[node] as usize + is_right as usize;
            }
            let bits = places.iter().zip(&lines[OUT..]);
            let value: u32 = bits.map(|(place, line)| ((line >> event & 1) as u32) << place).sum();
            assert_eq!(toggles.constant.wrapping_add(value as i32), values[node]);
        }
        assert_eq!(lines[..OUT], before[..OUT], "only bits are written");
        true
    }

    #[test]
    fn bits_of_random_trees_are_right_with_few_and_with_many_registers() {
        let mut random = Random(1);
        let mut n_emitted = 0;
        for case in 0..300 {
            let depth = 1 + random.below(9) as u32;
            let forest = random_forest(&mut random, 1, 4, depth, case % 2 == 0);
            for n_registers in [3, 9, 12, 15, 20, 32] {
                n_emitted += usize::from(agree(&mut random, &forest, 0, n_registers));
            }
            assert!(agree(&mut random, &forest, 0, 64), "enough for any tree of this depth");
        }
        assert!(n_emitted > 600, "{n_emitted}");
    }

    #[test]
    fn a_long_chain_takes_two_registers_beside_those_of_its_bits() {
        let mut random = Random(2);
        let chain = deepest_tree(3000);
        let bits = (0..32).find(|&n| agree(&mut random, &chain, 0, n)).unwrap();
        let n_bits = Toggles::new(&chain.parts().left, &chain.parts().leaf_values).n_bits;
        assert_eq!(bits, n_bits as usize + 2);
        assert!(agree(&mut random, &stump(), 0, 32));
    }
}
