//! Evaluation by walking: the specification that every faster way has to equal bit for bit.
//!
//! Events go 64 at a time: their features are copied into a compact tile that stays in the
//! level-1 cache. Axis-parallel trees are walked by all of them at once, one level per step, so
//! that many loads are in flight instead of one. There is no branch on the data: a leaf points to
//! itself with a comparison that never holds, so an event that arrives early waits there until
//! the deepest level is done. Extended trees, and those that penalise ranges, are walked one event
//! at a time.
//!
//! Sums wrap: those of some trees may pass 32 bits where the score does not.
//!
//! It knows no instruction sets and chooses nothing by cost.

use super::score::Metric;
use super::{Forest, SplitRange, Splits, Term};
use crate::rows::{MAX_BATCH, Rows};
use crate::scorer::{Score, Scorer, Scratch};

/// Events in a tile.
const TILE: usize = 64;

const _: () = assert!(MAX_BATCH.is_multiple_of(TILE));
const _: () = assert!(crate::features::MAX_FEATURES * TILE <= 1 << 16, "tile places fit u16");

/// A node to walk through: 8 bytes.
#[derive(Clone, Copy, Debug)]
struct WalkNode {
    /// Where the left child is; the right child follows. A leaf has itself here.
    left: u32,
    /// Where the feature of lane 0 is in the tile.
    tile_place: u16,
    /// Right iff the feature is larger; the largest i16 in a leaf.
    threshold: i16,
}

#[derive(Clone, Copy, Debug)]
struct WalkTree {
    root: u32,
    depth: u32,
}

#[derive(Clone, Debug)]
enum Nodes {
    Axis(Vec<WalkNode>),
    Extended(Normals),
}

/// The nodes of an extended forest, with left children counted from the first tree.
#[derive(Clone, Debug)]
struct Normals {
    left: Vec<u32>,
    term_ends: Vec<u32>,
    terms: Vec<Term>,
    thresholds: Vec<i64>,
}

/// What a node adds to the score of an event that it finds outside its range.
#[derive(Clone, Debug)]
struct Penalty {
    ranges: Vec<SplitRange>,
    unit: Score,
}

/// A forest made ready to be walked.
#[derive(Clone, Debug)]
pub struct ForestWalk {
    n_features: usize,
    fraction_bits: u32,
    metric: Metric,
    normaliser: f64,
    range: (Score, Score),
    trees: Vec<WalkTree>,
    nodes: Nodes,
    leaf_values: Vec<i32>,
    penalty: Option<Penalty>,
}

impl ForestWalk {
    /// The walk of a forest.
    #[must_use]
    pub fn new(forest: &Forest) -> ForestWalk {
        let parts = forest.parts();
        let mut left = parts.left.clone();
        let mut trees = Vec::with_capacity(forest.n_trees());
        for tree in 0..forest.n_trees() {
            let range = forest.tree(tree);
            let depth = forest.depths(tree).into_iter().max().unwrap_or(0);
            trees.push(WalkTree { root: range.start as u32, depth });
            for node in range.clone() {
                let child = left[node];
                left[node] = if child == 0 { node as u32 } else { range.start as u32 + child };
            }
        }
        let nodes = match &parts.splits {
            Splits::Axis(splits) => {
                let node = |(node, (&left, split)): (usize, (&u32, &super::AxisSplit))| WalkNode {
                    left,
                    tile_place: split.feature * TILE as u16,
                    threshold: if left == node as u32 { i16::MAX } else { split.threshold },
                };
                Nodes::Axis(left.iter().zip(splits).enumerate().map(node).collect())
            }
            Splits::Extended(splits) => Nodes::Extended(Normals {
                left,
                term_ends: splits.term_ends.clone(),
                terms: splits.terms.clone(),
                thresholds: splits.thresholds.clone(),
            }),
        };
        let unit = 1 << parts.fraction_bits;
        let penalty = parts.ranges.clone().map(|ranges| Penalty { ranges, unit });
        ForestWalk {
            n_features: parts.n_features as usize,
            fraction_bits: parts.fraction_bits,
            metric: parts.metric,
            normaliser: parts.normaliser,
            range: forest.range(),
            trees,
            nodes,
            leaf_values: parts.leaf_values.clone(),
            penalty,
        }
    }
}

impl Scorer for ForestWalk {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn scratch(&self) -> Scratch {
        Scratch::new(self.n_features * TILE)
    }

    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        assert_eq!(rows.n_features(), self.n_features, "rows of another specification");
        assert_eq!(out.len(), rows.n_events(), "one score per event");
        let tile = &mut scratch.lanes.lanes_mut()[..self.n_features * TILE];
        for (index, out) in out.chunks_mut(TILE).enumerate() {
            for (feature, to) in tile.chunks_exact_mut(TILE).enumerate() {
                to.copy_from_slice(&rows.column_padded(feature)[index * TILE..][..TILE]);
            }
            out.fill(0);
            match (&self.nodes, &self.penalty) {
                (nodes, Some(penalty)) => {
                    walk_penalised(&self.trees, nodes, penalty, &self.leaf_values, tile, out);
                }
                (Nodes::Axis(nodes), None) => {
                    walk_axis(&self.trees, nodes, &self.leaf_values, tile, out);
                }
                (Nodes::Extended(normals), None) => {
                    walk_extended(&self.trees, normals, &self.leaf_values, tile, out);
                }
            }
        }
    }

    fn range(&self) -> (Score, Score) {
        self.range
    }

    fn fraction_bits(&self) -> u32 {
        self.fraction_bits
    }

    fn display(&self, score: Score) -> f64 {
        self.metric.display(score, self.trees.len(), self.fraction_bits, self.normaliser)
    }
}

/// Subtracts the leaf values of the first `out.len()` events of a tile.
fn walk_axis(
    trees: &[WalkTree],
    nodes: &[WalkNode],
    values: &[i32],
    tile: &[i16],
    out: &mut [Score],
) {
    let mut at = [0; TILE];
    let at = &mut at[..out.len()];
    for tree in trees {
        at.fill(tree.root);
        for _ in 0..tree.depth {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = nodes[*at as usize];
                let x = tile[usize::from(node.tile_place) + lane];
                *at = node.left + u32::from(x > node.threshold);
            }
        }
        for (out, &at) in out.iter_mut().zip(&*at) {
            *out = out.wrapping_sub(values[at as usize]);
        }
    }
}

impl Normals {
    /// The weighted sum of a node for the event in this lane.
    fn sum(&self, at: usize, tile: &[i16], lane: usize) -> i64 {
        let begin = if at == 0 { 0 } else { self.term_ends[at - 1] as usize };
        let terms = &self.terms[begin..self.term_ends[at] as usize];
        let product = |term: &Term| {
            let x = tile[usize::from(term.feature) * TILE + lane];
            i64::from(i32::from(term.weight) * i32::from(x))
        };
        terms.iter().map(product).sum()
    }
}

fn walk_extended(
    trees: &[WalkTree],
    normals: &Normals,
    values: &[i32],
    tile: &[i16],
    out: &mut [Score],
) {
    for tree in trees {
        for (lane, out) in out.iter_mut().enumerate() {
            let mut at = tree.root as usize;
            while normals.left[at] as usize != at {
                let sum = normals.sum(at, tile, lane);
                at = normals.left[at] as usize + usize::from(sum > normals.thresholds[at]);
            }
            *out = out.wrapping_sub(values[at]);
        }
    }
}

fn walk_penalised(
    trees: &[WalkTree],
    nodes: &Nodes,
    penalty: &Penalty,
    values: &[i32],
    tile: &[i16],
    out: &mut [Score],
) {
    // Left child, compared value, threshold.
    let look = |at: usize, lane: usize| match nodes {
        Nodes::Axis(nodes) => {
            let x = tile[usize::from(nodes[at].tile_place) + lane];
            (nodes[at].left as usize, i64::from(x), i64::from(nodes[at].threshold))
        }
        Nodes::Extended(normals) => {
            (normals.left[at] as usize, normals.sum(at, tile, lane), normals.thresholds[at])
        }
    };
    for tree in trees {
        for (lane, out) in out.iter_mut().enumerate() {
            let mut at = tree.root as usize;
            loop {
                let (left, value, threshold) = look(at, lane);
                if left == at {
                    break;
                }
                if !penalty.ranges[at].contains(value) {
                    *out = out.wrapping_add(penalty.unit);
                }
                at = left + usize::from(value > threshold);
            }
            *out = out.wrapping_sub(values[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowBuffer;
    use crate::testing::{Random, deepest_tree, naive_score, random_forest, single_leaves, stump};

    fn random_rows(random: &mut Random, n_features: usize, n_events: usize) -> RowBuffer {
        let mut rows = RowBuffer::new(n_features);
        for feature in 0..n_features {
            rows.column_mut(feature).iter_mut().for_each(|x| *x = random.extreme());
        }
        rows.set_len(n_events);
        rows
    }

    /// Scores every event both ways.
    fn agree(forest: &Forest, rows: &RowBuffer) {
        let walk = ForestWalk::new(forest);
        let mut out = vec![1; rows.n_events()];
        walk.score(rows.rows(), &mut walk.scratch(), &mut out);
        let (least, most) = walk.range();
        for (event, &score) in out.iter().enumerate() {
            assert_eq!(score, naive_score(forest, rows, event), "event {event}");
            assert!((least..=most).contains(&score), "{score} outside {least} to {most}");
        }
    }

    #[test]
    fn walking_equals_recursion_for_every_batch_size_from_0_to_512() {
        let mut random = Random(1);
        let forests =
            [random_forest(&mut random, 3, 5, 6, false), random_forest(&mut random, 3, 5, 6, true)];
        for n_events in 0..=MAX_BATCH {
            let rows = random_rows(&mut random, 5, n_events);
            forests.iter().for_each(|forest| agree(forest, &rows));
        }
    }

    #[test]
    fn walking_equals_recursion_on_random_forests_and_extreme_data() {
        let mut random = Random(2);
        for case in 0..60 {
            let n_features = 1 + random.below(99) as usize;
            let n_trees = 1 + random.below(30) as usize;
            let forest = random_forest(&mut random, n_trees, n_features, 9, case % 2 == 0);
            let n_events = 1 + random.below(512) as usize;
            let rows = random_rows(&mut random, n_features, n_events);
            agree(&forest, &rows);
        }
    }

    #[test]
    fn single_leaves_and_the_deepest_trees_are_walked_too() {
        let mut random = Random(3);
        let rows = random_rows(&mut random, 2, 100);
        agree(&single_leaves(), &rows);
        agree(&stump(), &rows);
        agree(&deepest_tree(3000), &rows);
    }

    #[test]
    fn penalties_are_those_of_the_definition() {
        let mut random = Random(7);
        for case in 0..40 {
            let extended = case % 2 == 0;
            let mut parts = random_forest(&mut random, 5, 6, 7, extended).parts().clone();
            let range = |random: &mut Random, is_leaf: bool| {
                let reach = if extended { 1 << 31 } else { 1 << 15 };
                let [a, b] = [0; 2].map(|_| random.within(-reach, reach));
                let (low, high) = if is_leaf { (0, 0) } else { (a.min(b), a.max(b)) };
                SplitRange { low, high }
            };
            let ranges = parts.left.iter().map(|&left| range(&mut random, left == 0)).collect();
            parts.ranges = Some(ranges);
            let forest = Forest::new(parts).unwrap();
            agree(&forest, &random_rows(&mut random, 6, 200));
        }
    }

    #[test]
    fn a_node_that_finds_an_event_outside_its_range_adds_one() {
        // Feature 1 goes right above −5: leaves of length 2 and 1. The range is −10 to 0.
        let mut parts = stump().parts().clone();
        let blank = SplitRange::default();
        parts.ranges = Some(vec![SplitRange { low: -10, high: 0 }, blank, blank]);
        let walk = ForestWalk::new(&Forest::new(parts).unwrap());
        assert_eq!(walk.range(), (-32, 0), "length 2 without a penalty, 1 less one");
        let mut rows = RowBuffer::new(2);
        rows.set_len(4);
        rows.column_mut(1)[..4].copy_from_slice(&[-11, -10, 0, 1]);
        let mut out = [0; 4];
        walk.score(rows.rows(), &mut walk.scratch(), &mut out);
        assert_eq!(out, [-16, -32, -16, 0]);
    }

    #[test]
    fn the_widest_rows_fit_the_tile() {
        let mut random = Random(4);
        let n_features = crate::features::MAX_FEATURES;
        let forest = random_forest(&mut random, 20, n_features, 7, false);
        agree(&forest, &random_rows(&mut random, n_features, 130));
    }

    #[test]
    fn scores_do_not_depend_on_what_the_padding_holds() {
        let mut random = Random(5);
        let forest = random_forest(&mut random, 10, 4, 6, false);
        let walk = ForestWalk::new(&forest);
        let mut rows = random_rows(&mut random, 4, 70);
        let mut first = vec![0; 70];
        walk.score(rows.rows(), &mut walk.scratch(), &mut first);
        (0..4).for_each(|f| rows.column_mut(f)[70..].fill(i16::MAX));
        let mut second = vec![0; 70];
        walk.score(rows.rows(), &mut walk.scratch(), &mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn thresholds_in_display_units_accept_exactly_what_displays_above_them() {
        let mut random = Random(6);
        let forest = random_forest(&mut random, 10, 4, 6, false);
        let walk = ForestWalk::new(&forest);
        for score in walk.range().0..=walk.range().1 {
            let value = walk.display(score);
            assert_eq!(walk.threshold_from_display(value).unwrap(), score);
            let above = f64::from_bits(value.to_bits() + 1);
            assert_eq!(walk.threshold_from_display(above).unwrap(), score + 1);
        }
    }
}
