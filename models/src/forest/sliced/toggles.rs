//! Writes the value of a tree as bits that flip from node to node.
//!
//! The value of an event is that of the leaf it gets to. Take one bit of it: if the two children
//! of a node differ in what the leaves below them have, one of the two *toggles* the bit, and the
//! bit of an event is the exclusive or of the reaches of all nodes that toggle it. Reaches of one
//! tree are nested or disjoint, so nothing carries: adding one costs half an operation, where
//! counting it costs more than two. Which nodes toggle is found by dynamic programming from the
//! leaves up (Sankoff's algorithm for two states), for each bit by itself.
//!
//! It is exact for any values; that neighbouring leaves have similar values makes it cheap.

/// Costs of a toggle: the reach of a leaf is made for that alone.
const INNER_COST: u32 = 20;
const LEAF_COST: u32 = 21;
/// A bit that a leaf does not have.
const NEVER: u32 = u32::MAX / 4;

/// Bits of the values of one tree. The nodes are as in a [`Forest`](crate::forest::Forest), the
/// root first, children after their parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Toggles {
    /// What every event gets; the bits are of the rest.
    pub constant: i32,
    /// Bits that there are.
    pub n_bits: u32,
    /// Which bits each node toggles.
    pub of_node: Vec<u32>,
}

impl Toggles {
    pub(super) fn new(left: &[u32], leaf_values: &[i32]) -> Toggles {
        let leaves = || left.iter().zip(leaf_values).filter(|(left, _)| **left == 0);
        let constant = leaves().map(|(_, &value)| value).min().unwrap_or(0);
        let rest = |value: i32| value.wrapping_sub(constant) as u32;
        let most = leaves().map(|(_, &value)| rest(value)).max().unwrap_or(0);
        let n_bits = u32::BITS - most.leading_zeros();
        let mut of_node = vec![0; left.len()];
        for bit in 0..n_bits {
            toggle(
                left,
                |node| rest(leaf_values[node]) >> bit & 1,
                |node| of_node[node] |= 1 << bit,
            );
        }
        Toggles { constant, n_bits, of_node }
    }
}

/// Calls `toggles` with the nodes that toggle a bit.
fn toggle(left: &[u32], bit_of_leaf: impl Fn(usize) -> u32, mut toggles: impl FnMut(usize)) {
    let cost = |node: usize| if left[node] == 0 { LEAF_COST } else { INNER_COST };
    // What the nodes below one cost if it has the bit 0, or 1.
    let mut costs = vec![[0_u32; 2]; left.len()];
    for node in (0..left.len()).rev() {
        let child = left[node] as usize;
        costs[node] = [0, 1].map(|bit: usize| {
            if child == 0 {
                return if bit_of_leaf(node) as usize == bit { 0 } else { NEVER };
            }
            let of_child = |c: usize| costs[c][bit].min(costs[c][1 - bit] + cost(c));
            of_child(child) + of_child(child + 1)
        });
    }
    let mut bits = vec![0_usize; left.len()];
    bits[0] = usize::from(costs[0][1] < costs[0][0]);
    if bits[0] == 1 {
        toggles(0);
    }
    for node in 0..left.len() {
        let child = left[node] as usize;
        if child == 0 {
            continue;
        }
        for c in [child, child + 1] {
            bits[c] = bits[node];
            if costs[c][1 - bits[node]] + cost(c) < costs[c][bits[node]] {
                bits[c] = 1 - bits[node];
                toggles(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Forest;
    use crate::testing::{Random, deepest_tree, random_forest, single_leaves, stump};

    fn agree(forest: &Forest) {
        let parts = forest.parts();
        for tree in 0..forest.n_trees() {
            let range = forest.tree(tree);
            let (left, values) = (&parts.left[range.clone()], &parts.leaf_values[range]);
            let toggles = Toggles::new(left, values);
            let mut above = toggles.of_node.clone();
            for node in 0..left.len() {
                let child = left[node] as usize;
                if child == 0 {
                    assert_eq!(toggles.constant.wrapping_add(above[node] as i32), values[node]);
                } else {
                    (child..child + 2).for_each(|child| above[child] ^= above[node]);
                }
            }
        }
    }

    #[test]
    fn bits_toggled_along_every_path_are_the_value_of_its_leaf() {
        let mut random = Random(1);
        for case in 0..200 {
            let n_trees = 1 + random.below(6) as usize;
            agree(&random_forest(&mut random, n_trees, 4, 9, case % 2 == 0));
        }
        [single_leaves(), stump(), deepest_tree(500)].iter().for_each(agree);
    }

    #[test]
    fn of_two_leaves_that_differ_one_toggles_each_bit_in_which_they_do() {
        let toggles = Toggles::new(&[1, 0, 0], &[0, 20, 13]);
        assert_eq!((toggles.constant, toggles.n_bits), (13, 3));
        let n_toggles: u32 = toggles.of_node.iter().map(|bits| bits.count_ones()).sum();
        assert_eq!(n_toggles, 3);
    }

    #[test]
    fn leaves_of_equal_values_toggle_nothing() {
        let toggles = Toggles::new(&[1, 0, 3, 0, 0], &[0, -7, 0, -7, -7]);
        assert_eq!((toggles.constant, toggles.n_bits), (-7, 0));
        assert_eq!(toggles.of_node, [0; 5]);
    }
}
