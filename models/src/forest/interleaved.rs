//! A walk with many events in flight, over compact nodes.
//!
//! Same paths and same scores as [`ForestWalk`](super::walk::ForestWalk), bit for bit. This file
//! chooses how nodes are written down and where the walk begins; the kernel
//! ([`kernels::interleaved`](crate::kernels)) walks. Three kinds of nodes:
//!
//! * axis-parallel, 8 bytes;
//! * sums of at most two products, 16 bytes, with thresholds of 32 bits. That is exact: a product
//!   is at most 2^30, so the sum of two lies in ±2^31 and is 2^31 only if both weights are −2^15,
//!   which sends the forest to the next kind. Thresholds beyond are moved to the ends of 32 bits,
//!   where they compare the same;
//! * sums of any number of products, of 64 bits, as many for every node as the longest has.
//!
//! Where there are vectors, levels near the root with few nodes are not walked but evaluated for
//! all events ([`TopNode`]): with 512 bits a node for one event costs 1/20 to 1/30 of a step of a
//! walk, so a level of at most about that many nodes is cheaper so. Forests of extended splits
//! with the usual 256 rows per tree are evaluated so to the last level.
//!
//! Not walked here: forests that penalise ranges, which need every value on the way.

use super::{Forest, Splits, Term};
use crate::kernels::dense;
use crate::kernels::interleaved::{
    AxisNode, MAX_CODES, ManyNodes, Nodes, PairNode, Parts, Program, TILE, TopNode, Tree,
};
use crate::kernels::isa::Isa;
use crate::rows::Rows;
use crate::scorer::{Score, Scratch};

/// Most inner nodes of a level that is evaluated for all events.
const MAX_LEVEL: usize = 32;
/// Most bytes of nodes of the trees that go over all tiles before the next trees do: about what
/// fits a level-1 cache beside a tile.
const GROUP_BYTES: usize = 16 << 10;
/// Most terms, zeros included, of nodes that are sums of any number of products.
const MAX_TERMS: usize = 1 << 24;

/// A forest made ready to be walked by many events at once.
#[derive(Clone, Debug)]
pub(super) struct ForestInterleaved {
    isa: Isa,
    program: Box<Program>,
}

impl ForestInterleaved {
    /// `None` for forests that penalise ranges, and if the longest sum would make all too long.
    pub(super) fn new(forest: &Forest, isa: Isa) -> Option<ForestInterleaved> {
        let parts = forest.parts();
        if parts.ranges.is_some() {
            return None;
        }
        let kind = Kind::of(&parts.splits)?;
        let has_top = dense::is_available(isa) && !matches!(kind, Kind::Many { .. });
        let mut writer = Writer::new(forest, kind, if has_top { MAX_LEVEL } else { 0 });
        (0..forest.n_trees()).for_each(|tree| writer.push_tree(tree));
        Some(ForestInterleaved { isa, program: Box::new(writer.finish()) })
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch::new(self.program.n_lanes())
    }

    pub(super) fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        self.program.score(self.isa, rows, &mut scratch.lanes, out);
    }
}

/// How the nodes of a forest are written down.
#[derive(Clone, Copy)]
enum Kind {
    Axis,
    Pair,
    Many { width: usize },
}

impl Kind {
    fn of(splits: &Splits) -> Option<Kind> {
        let Splits::Extended(splits) = splits else { return Some(Kind::Axis) };
        let n_nodes = splits.thresholds.len();
        let terms = || (0..n_nodes).map(|node| splits.terms_of(node));
        let width = terms().map(<[Term]>::len).max().unwrap_or(0);
        let fits = |terms: &[Term]| {
            terms.len() <= 2 && (terms.len() < 2 || terms.iter().any(|t| t.weight != i16::MIN))
        };
        if terms().all(fits) {
            return Some(Kind::Pair);
        }
        (width * n_nodes <= MAX_TERMS).then_some(Kind::Many { width })
    }

    fn node_bytes(self) -> usize {
        match self {
            Kind::Axis => size_of::<AxisNode>(),
            Kind::Pair => size_of::<PairNode>(),
            Kind::Many { width } => 12 + 4 * width,
        }
    }
}

/// A threshold of 32 bits that compares the same with sums of two products.
fn clamp(threshold: i64) -> i32 {
    threshold.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

fn place(feature: u16) -> u16 {
    feature * TILE as u16
}

fn two(terms: &[Term]) -> ([u16; 2], [i16; 2]) {
    let term = |k: usize| terms.get(k).map_or((0, 0), |term| (place(term.feature), term.weight));
    ([term(0).0, term(1).0], [term(0).1, term(1).1])
}

/// Writes a program, tree by tree.
struct Writer<'a> {
    forest: &'a Forest,
    kind: Kind,
    max_level: usize,
    parts: Parts,
    /// Bytes of the trees since the last group.
    group_bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(forest: &'a Forest, kind: Kind, max_level: usize) -> Writer<'a> {
        let nodes = match kind {
            Kind::Axis => Nodes::Axis(vec![]),
            Kind::Pair => Nodes::Pair(vec![]),
            Kind::Many { width } => Nodes::Many(ManyNodes { width, ..ManyNodes::default() }),
        };
        let parts = Parts {
            n_features: forest.parts().n_features as usize,
            trees: vec![],
            tops: vec![],
            exits: vec![],
            nodes,
            values: vec![],
            groups: vec![],
        };
        Writer { forest, kind, max_level, parts, group_bytes: 0 }
    }

    fn push_tree(&mut self, tree: usize) {
        let depths = self.forest.depths(tree);
        let range = self.forest.tree(tree);
        let left = &self.forest.parts().left[range.clone()];
        let depth = depths.last().copied().unwrap_or(0);
        let top_depth = top_depth(&depths, left, self.max_level);
        let top: Vec<usize> =
            (0..left.len()).filter(|&n| left[n] != 0 && depths[n] < top_depth).collect();
        let is_walked = top_depth < depth;
        let exits = self.push_top(range.start, left, &top);
        let first = self.parts.values.len();
        for node in exits {
            let value = self.forest.parts().leaf_values[range.start + node].cast_unsigned();
            self.parts.exits.push(if is_walked { (first + node) as u32 } else { value });
        }
        let mut bytes = top.len() * size_of::<TopNode>();
        if is_walked {
            for (node, &left) in left.iter().enumerate() {
                self.push_node(range.start + node, first, first + node, left);
            }
            bytes += left.len() * self.kind.node_bytes();
        }
        if self.group_bytes + bytes > GROUP_BYTES && self.group_bytes > 0 {
            self.parts.groups.push(tree as u32);
            self.group_bytes = 0;
        }
        self.group_bytes += bytes;
        self.parts.trees.push(Tree {
            tops_end: self.parts.tops.len() as u32,
            exits_end: self.parts.exits.len() as u32,
            depth: depth - top_depth,
        });
    }

    /// Writes the top of a tree; returns the node that each code stands for.
    fn push_top(&mut self, root: usize, left: &[u32], top: &[usize]) -> Vec<usize> {
        if top.is_empty() {
            return vec![0];
        }
        let mut lines = vec![None; left.len()];
        for (k, &node) in top.iter().rev().enumerate() {
            lines[node] = Some((MAX_CODES + k) as u16);
        }
        let mut exits = vec![];
        for child in top.iter().flat_map(|&node| [left[node] as usize, left[node] as usize + 1]) {
            lines[child].get_or_insert_with(|| {
                exits.push(child);
                exits.len() as u16 - 1
            });
        }
        for &node in top.iter().rev() {
            let line = |child: usize| lines[child].expect("all children have lines");
            let child = left[node] as usize;
            let (places, weights, threshold) = self.top_split(root + node);
            let lines = [line(child), line(child + 1)];
            self.parts.tops.push(TopNode { places, weights, threshold, lines });
        }
        exits
    }

    fn top_split(&self, node: usize) -> ([u16; 2], [i16; 2], i32) {
        match &self.forest.parts().splits {
            Splits::Axis(splits) => {
                let half = i32::from(splits[node].threshold);
                ([place(splits[node].feature), 0], [0; 2], half << 16 | half & 0xffff)
            }
            Splits::Extended(splits) => {
                let (places, weights) = two(splits.terms_of(node));
                (places, weights, clamp(splits.thresholds[node]))
            }
        }
    }

    /// Writes a node of a tree whose root is at `first`.
    fn push_node(&mut self, node: usize, first: usize, own: usize, left: u32) {
        let is_leaf = left == 0;
        let left = if is_leaf { own as u32 } else { first as u32 + left };
        self.parts.values.push(self.forest.parts().leaf_values[node]);
        match (&mut self.parts.nodes, &self.forest.parts().splits) {
            (Nodes::Axis(nodes), Splits::Axis(splits)) => {
                let threshold = if is_leaf { i16::MAX } else { splits[node].threshold };
                nodes.push(AxisNode { left, place: place(splits[node].feature), threshold });
            }
            (Nodes::Pair(nodes), Splits::Extended(splits)) => {
                let (places, weights) = two(splits.terms_of(node));
                let threshold = if is_leaf { i32::MAX } else { clamp(splits.thresholds[node]) };
                nodes.push(PairNode { left, threshold, weights, places });
            }
            (Nodes::Many(nodes), Splits::Extended(splits)) => {
                nodes.left.push(left);
                nodes.thresholds.push(if is_leaf { i64::MAX } else { splits.thresholds[node] });
                let terms = splits.terms_of(node).iter();
                nodes.terms.extend(terms.map(|term| (place(term.feature), term.weight)));
                nodes.terms.resize(nodes.left.len() * nodes.width, (0, 0));
            }
            _ => unreachable!("the kind is that of the splits"),
        }
    }

    fn finish(mut self) -> Program {
        self.parts.groups.push(self.parts.trees.len() as u32);
        Program::new(self.parts)
    }
}

/// Levels of a tree that are evaluated for all events: as long as none has many inner nodes.
fn top_depth(depths: &[u32], left: &[u32], max_level: usize) -> u32 {
    let (mut top, mut n_exits) = (0, 1);
    loop {
        let n_inner = (depths.iter().zip(left)).filter(|&(&d, &l)| d == top && l != 0).count();
        // Every inner node replaces one exit by two.
        n_exits += n_inner;
        if n_inner == 0 || n_inner > max_level || n_exits > MAX_CODES {
            return top;
        }
        top += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{ForestScorer, PlanChoice};
    use super::super::walk::ForestWalk;
    use super::super::{ExtendedSplits, SplitRange};
    use super::*;
    use crate::rows::{MAX_BATCH, RowBuffer};
    use crate::scorer::Scorer;
    use crate::testing::{Random, deepest_tree, naive_score, random_forest, single_leaves, stump};

    fn random_rows(random: &mut Random, n_features: usize, n_events: usize) -> RowBuffer {
        let mut rows = RowBuffer::new(n_features);
        for feature in 0..n_features {
            rows.column_mut(feature).iter_mut().for_each(|x| *x = random.extreme());
        }
        rows.set_len(n_events);
        rows
    }

    /// Scores a batch with every instruction set, and compares with the walk.
    fn agree(forest: &Forest, rows: &RowBuffer) {
        let walk = ForestWalk::new(forest);
        let mut expected = vec![0; rows.n_events()];
        walk.score(rows.rows(), &mut walk.scratch(), &mut expected);
        if let Some(&score) = expected.last() {
            assert_eq!(score, naive_score(forest, rows, rows.n_events() - 1));
        }
        for isa in Isa::available() {
            let many = ForestInterleaved::new(forest, isa).unwrap();
            let (mut scratch, mut out) = (many.scratch(), vec![7; rows.n_events()]);
            // Twice: nothing may be left over in the scratch.
            for _ in 0..2 {
                many.score(rows.rows(), &mut scratch, &mut out);
                assert_eq!(out, expected, "{}, {} events", isa.name(), out.len());
            }
        }
    }

    /// A weight that is often at an end of what 16 bits hold.
    fn weight(random: &mut Random) -> i16 {
        match random.extreme() {
            0 => 1,
            weight => weight,
        }
    }

    /// A threshold near a possible sum, at the ends of 32 bits, or far beyond.
    fn threshold(random: &mut Random) -> i64 {
        let ends = [i64::from(i32::MIN), i64::from(i32::MAX)];
        match random.below(8) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 | 3 => ends[random.below(2) as usize] + random.within(-2, 2),
            4 => ends[random.below(2) as usize] + random.within(-70_000, 70_000),
            _ => random.within(-(1 << 30), 1 << 30),
        }
    }

    /// The same trees with other splits: sums of 1 to `most` products.
    fn with_terms(random: &mut Random, forest: &Forest, most: usize) -> Forest {
        let mut parts = forest.parts().clone();
        let mut splits = ExtendedSplits::default();
        for &left in &parts.left {
            if left == 0 {
                splits.thresholds.push(0);
            } else {
                let n_terms = 1 + random.below(most as u64);
                let features: std::collections::BTreeSet<u16> =
                    (0..n_terms).map(|_| random.below(parts.n_features.into()) as u16).collect();
                let terms = features.iter().map(|&f| Term { feature: f, weight: weight(random) });
                splits.terms.extend(terms);
                splits.thresholds.push(threshold(random));
            }
            splits.term_ends.push(splits.terms.len() as u32);
        }
        parts.splits = Splits::Extended(splits);
        Forest::new(parts).unwrap()
    }

    fn is_pair(forest: &Forest) -> bool {
        matches!(Kind::of(&forest.parts().splits), Some(Kind::Pair))
    }

    /// Makes one weight of two larger where both are the smallest: what pairs need.
    fn within_pairs(forest: &Forest) -> Forest {
        let mut parts = forest.parts().clone();
        let Splits::Extended(splits) = &mut parts.splits else { panic!("extended") };
        for node in 0..splits.thresholds.len() {
            let begin = if node == 0 { 0 } else { splits.term_ends[node - 1] as usize };
            let terms = &mut splits.terms[begin..splits.term_ends[node] as usize];
            if terms.len() == 2 && terms.iter().all(|term| term.weight == i16::MIN) {
                terms[1].weight += 1;
            }
        }
        Forest::new(parts).unwrap()
    }

    #[test]
    fn batches_of_every_length_from_0_to_512_score_as_the_walk_does() {
        let mut random = Random(1);
        let axis = random_forest(&mut random, 5, 6, 7, false);
        let pair = within_pairs(&with_terms(&mut random, &axis, 2));
        let many = with_terms(&mut random, &axis, 5);
        assert!(is_pair(&pair) && !is_pair(&many));
        for n_events in 0..=MAX_BATCH {
            let rows = random_rows(&mut random, 6, n_events);
            [&axis, &pair, &many].into_iter().for_each(|forest| agree(forest, &rows));
        }
    }

    #[test]
    fn a_hundred_thousand_random_events_of_random_forests_score_as_the_walk_does() {
        let mut random = Random(2);
        for most in 0..=4 {
            let mut n_cases = 0;
            while n_cases < 100_000 {
                let n_features = 1 + random.below(70) as usize;
                let n_trees = 1 + random.below(20) as usize;
                let depth = 1 + random.below(11) as u32;
                let mut forest = random_forest(&mut random, n_trees, n_features, depth, false);
                if most > 0 {
                    forest = with_terms(&mut random, &forest, most);
                }
                if most == 2 {
                    forest = within_pairs(&forest);
                }
                assert!(most == 0 || most > 2 || is_pair(&forest));
                let n_events = 256 + random.below(257) as usize;
                agree(&forest, &random_rows(&mut random, n_features, n_events));
                n_cases += n_events;
            }
        }
    }

    #[test]
    fn trees_that_are_a_leaf_and_the_deepest_trees_are_walked_too() {
        let mut random = Random(3);
        for n_events in [1, 64, 300, 512] {
            let rows = random_rows(&mut random, 2, n_events);
            [single_leaves(), stump()].iter().for_each(|f| agree(f, &rows));
            for depth in [31, 255, 256, 257, 3000] {
                let deepest = deepest_tree(depth);
                agree(&deepest, &rows);
                agree(&within_pairs(&with_terms(&mut random, &deepest, 2)), &rows);
                agree(&with_terms(&mut random, &deepest, 3), &rows);
            }
            let leaves = with_terms(&mut random, &single_leaves(), 2);
            agree(&leaves, &rows);
        }
    }

    #[test]
    fn a_sum_beyond_32_bits_is_summed_with_64() {
        let mut parts = stump().parts().clone();
        let term = |feature| Term { feature, weight: i16::MIN };
        parts.splits = Splits::Extended(ExtendedSplits {
            term_ends: vec![2; 3],
            terms: vec![term(0), term(1)],
            thresholds: vec![i64::from(i32::MAX), 0, 0],
        });
        let forest = Forest::new(parts).unwrap();
        assert!(!is_pair(&forest));
        let mut rows = RowBuffer::new(2);
        rows.set_len(2);
        (0..2).for_each(|f| rows.column_mut(f)[..2].copy_from_slice(&[i16::MIN, i16::MIN + 1]));
        agree(&forest, &rows);
        let walk = ForestInterleaved::new(&forest, Isa::best()).unwrap();
        let mut out = [0; 2];
        walk.score(rows.rows(), &mut walk.scratch(), &mut out);
        assert_eq!(out, [-16, -32], "2^31 is larger than 2^31 - 1, and 2^31 - 2^16 is not");
    }

    #[test]
    fn the_widest_rows_and_the_longest_sums_are_walked() {
        let mut random = Random(4);
        let n_features = crate::features::MAX_FEATURES;
        let forest = random_forest(&mut random, 10, n_features, 8, false);
        let rows = random_rows(&mut random, n_features, 130);
        agree(&forest, &rows);
        agree(&within_pairs(&with_terms(&mut random, &forest, 2)), &rows);
        agree(&with_terms(&mut random, &forest, 900), &rows);
    }

    #[test]
    fn leaf_values_may_use_the_whole_range_of_scores() {
        let mut random = Random(5);
        for depth in [4, 12] {
            let mut parts = random_forest(&mut random, 3, 4, depth, false).parts().clone();
            let leaves = parts.leaf_values.iter_mut().zip(&parts.left).filter(|(_, l)| **l == 0);
            for (value, _) in leaves {
                *value = random.within(-(1 << 29), 1 << 29) as i32;
            }
            agree(&Forest::new(parts).unwrap(), &random_rows(&mut random, 4, 512));
        }
    }

    #[test]
    fn scores_do_not_depend_on_what_the_padding_holds() {
        let mut random = Random(6);
        let axis = random_forest(&mut random, 10, 4, 9, false);
        let mut rows = random_rows(&mut random, 4, 300);
        for forest in [within_pairs(&with_terms(&mut random, &axis, 2)), axis] {
            for isa in Isa::available() {
                let walk = ForestInterleaved::new(&forest, isa).unwrap();
                let mut first = vec![0; 300];
                walk.score(rows.rows(), &mut walk.scratch(), &mut first);
                (0..4).for_each(|f| rows.column_mut(f)[300..].fill(random.extreme()));
                let mut second = vec![0; 300];
                walk.score(rows.rows(), &mut walk.scratch(), &mut second);
                assert_eq!(first, second);
            }
        }
    }

    #[test]
    fn the_top_ends_before_a_level_with_many_nodes() {
        // A complete tree of three levels below the root.
        let (depths, left) = ([0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], [1, 3, 5, 7, 0, 0, 9, 0, 0, 0, 0]);
        let levels = [0, 1, 2, 3].map(|most| top_depth(&depths, &left, most));
        assert_eq!(levels, [0, 1, 3, 3]);
        assert_eq!(top_depth(&[0], &[0], 9), 0, "a leaf has no levels");
    }

    #[test]
    fn forests_that_penalise_ranges_are_left_to_the_specification() {
        let mut random = Random(7);
        let mut parts = random_forest(&mut random, 5, 6, 7, true).parts().clone();
        let range = |&left: &u32| match left {
            0 => SplitRange::default(),
            _ => SplitRange { low: -(1 << 20), high: 1 << 29 },
        };
        parts.ranges = Some(parts.left.iter().map(range).collect());
        let forest = Forest::new(parts).unwrap();
        assert!(ForestInterleaved::new(&forest, Isa::best()).is_none());
        let scorer = ForestScorer::new(&forest, Isa::best(), PlanChoice::Walk).unwrap();
        let rows = random_rows(&mut random, 6, 200);
        let mut out = [0; 200];
        scorer.score(rows.rows(), &mut scorer.scratch(), &mut out);
        let expected = |event| naive_score(&forest, &rows, event);
        assert!((0..200).all(|event| out[event] == expected(event)));
    }
}
