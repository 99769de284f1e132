//! Spreads the values of leaves over the nodes above them, so that little is left to count.
//!
//! The value of an event is that of the leaf it gets to. Any weights of nodes whose sums along
//! the paths are the values of the leaves say the same, and each weight costs as many additions
//! as it has non-zero binary digits (signed ones: 7 = 8 − 1 has two). So each inner node takes
//! over a value from one of its children, which then has weight 0, and the other child keeps the
//! difference. Which value a node takes over is found by dynamic programming from the leaves up,
//! with a few candidates per node; the root's goes into a constant.
//!
//! It is exact for any values. That path lengths grow by one from level to level makes it cheap,
//! not right.

use crate::forest::Forest;

/// Candidates that are kept per node: more find hardly cheaper weights.
const MAX_CANDIDATES: usize = 8;
/// Costs in loads, about: of a reach that gets a line, of a digit that adds such a line, and of a
/// digit that adds a reach computed for it.
const REACH_COST: u32 = 4;
const LINE_COST: u32 = 3;
const COMPUTED_COST: u32 = 5;

/// Weights of all nodes, in the order of the forest's arrays; roots have weight 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    pub of_node: Vec<i64>,
    /// What every event gets.
    pub constant: i64,
}

/// A value that a node could take over, and what the nodes below it cost then.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    value: i64,
    cost: u32,
    /// Which candidates of its children.
    children: [u8; 2],
}

/// The cheapest weights found for a forest.
pub(super) fn weigh(forest: &Forest) -> Weights {
    let mut weights = Weights { of_node: vec![0; forest.parts().left.len()], constant: 0 };
    for tree in 0..forest.n_trees() {
        weights.constant += weigh_tree(forest, tree, &mut weights.of_node);
    }
    weights
}

/// Non-zero digits of a number written with the digits −1, 0 and 1, none beside another.
pub(super) fn n_digits(weight: i64) -> u32 {
    let magnitude = weight.unsigned_abs();
    (magnitude ^ (3 * magnitude)).count_ones()
}

/// Where these digits are: masks of the positive and of the negative ones.
pub(super) fn digits(weight: i64) -> [u64; 2] {
    let magnitude = weight.unsigned_abs();
    let changes = magnitude ^ (3 * magnitude);
    let (plus, minus) = (((3 * magnitude) & changes) >> 1, (magnitude & changes) >> 1);
    if weight < 0 { [minus, plus] } else { [plus, minus] }
}

/// Returns the value that the root takes over.
fn weigh_tree(forest: &Forest, tree: usize, weights: &mut [i64]) -> i64 {
    let parts = forest.parts();
    let range = forest.tree(tree);
    let left = &parts.left[range.clone()];
    let mut candidates: Vec<Vec<Candidate>> = vec![Vec::new(); left.len()];
    for node in (0..left.len()).rev() {
        let child = left[node] as usize;
        candidates[node] = if child == 0 {
            let value = i64::from(parts.leaf_values[range.start + node]);
            vec![Candidate { value, cost: 0, children: [0; 2] }]
        } else {
            combine([&candidates[child], &candidates[child + 1]])
        };
    }
    let mut chosen = vec![0; left.len()];
    for node in 0..left.len() {
        let child = left[node] as usize;
        if child == 0 {
            continue;
        }
        let choice = candidates[node][chosen[node]];
        let values = [0, 1].map(|k| {
            chosen[child + k] = usize::from(choice.children[k]);
            candidates[child + k][chosen[child + k]].value
        });
        for (k, value) in values.into_iter().enumerate() {
            weights[range.start + child + k] = value - choice.value;
        }
    }
    candidates[0][chosen[0]].value
}

/// The cheapest candidates of a node from those of its children.
fn combine(children: [&[Candidate]; 2]) -> Vec<Candidate> {
    let mut all = Vec::with_capacity(2 * children[0].len() * children[1].len());
    for (i, a) in children[0].iter().enumerate() {
        for (j, b) in children[1].iter().enumerate() {
            let digits = n_digits(a.value - b.value);
            let children = [i as u8, j as u8];
            // The other child keeps the difference.
            if a.cost + b.cost > 0 {
                let heavy_right = a.with_weight(0) + b.with_weight(digits);
                all.push(Candidate { value: a.value, cost: heavy_right, children });
            }
            let heavy_left = a.with_weight(digits) + b.with_weight(0);
            all.push(Candidate { value: b.value, cost: heavy_left, children });
        }
    }
    all.sort_by_key(|c| (c.value, c.cost, c.children));
    all.dedup_by_key(|c| c.value);
    all.sort_by_key(|c| (c.cost, c.value));
    all.truncate(MAX_CANDIDATES);
    all
}

impl Candidate {
    /// What the node costs with so many digits of its own. A node with nothing below it that
    /// costs anything gets no line: its reach is computed for each digit.
    fn with_weight(&self, n_digits: u32) -> u32 {
        if self.cost == 0 {
            n_digits * COMPUTED_COST
        } else {
            self.cost + REACH_COST + n_digits * LINE_COST
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, deepest_tree, random_forest, single_leaves, stump};

    #[test]
    fn digits_add_up_to_the_number_and_never_stand_side_by_side() {
        for weight in (-70_000..70_000).chain([i64::from(i32::MIN), (1 << 33) - 1]) {
            let [plus, minus] = digits(weight);
            assert_eq!(plus as i64 - minus as i64, weight);
            assert_eq!((plus | minus) & ((plus | minus) << 1), 0, "{weight}");
            assert_eq!((plus | minus).count_ones(), n_digits(weight), "{weight}");
        }
    }

    fn agree(forest: &Forest) {
        let weights = weigh(forest);
        let parts = forest.parts();
        let mut roots = 0;
        let mut values = vec![0; parts.left.len()];
        for tree in 0..forest.n_trees() {
            let range = forest.tree(tree);
            assert_eq!(weights.of_node[range.start], 0);
            let mut above = vec![0; range.len()];
            for node in 0..range.len() {
                let child = parts.left[range.start + node] as usize;
                if child != 0 {
                    for c in [child, child + 1] {
                        above[c] = above[node] + weights.of_node[range.start + c];
                    }
                } else {
                    values[range.start + node] = above[node];
                }
            }
            // Whatever is left between a leaf's value and its path is the root's, the same for
            // every leaf of the tree.
            let rest = |node: usize| i64::from(parts.leaf_values[node]) - values[node];
            let leaves: Vec<_> = range.filter(|&node| parts.left[node] == 0).collect();
            assert!(leaves.iter().all(|&leaf| rest(leaf) == rest(leaves[0])), "tree {tree}");
            roots += rest(leaves[0]);
        }
        assert_eq!(roots, weights.constant);
    }

    #[test]
    fn weights_along_every_path_add_up_to_the_value_of_its_leaf() {
        let mut random = Random(1);
        for case in 0..200 {
            let n_trees = 1 + random.below(6) as usize;
            agree(&random_forest(&mut random, n_trees, 4, 9, case % 2 == 0));
        }
        [single_leaves(), stump(), deepest_tree(500)].iter().for_each(agree);
    }
}
