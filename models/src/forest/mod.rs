//! Isolation forests: what they are, what makes one valid, and what it looks like inside.
//!
//! A tree sends an event left or right at every inner node until it reaches a leaf; strange events
//! reach one early. An axis-parallel node compares one feature with a threshold, an extended node
//! a weighted sum of several. Everything is an integer:
//!
//! ```text
//! axis-parallel   right  iff  x[feature]            >  threshold   (i16 > i16)
//! extended        right  iff  Σ weight · x[feature] >  threshold   (i64 > i64, weights i16)
//! score           −Σ over trees of the value of the leaf reached   (i32)
//! ```
//!
//! A forest may also penalise strangers on their way: each node whose compared value lies outside
//! the node's range adds one to the score, as a path shorter by one would.
//!
//! The nodes of all trees lie in flat arrays, tree after tree, each tree breadth first with the
//! two children of a node side by side: the left child of the k-th inner node of a tree is its
//! node 2k + 1. So the arrays have one form per tree, every node but a root has exactly one
//! parent, and that parent comes before it.
//!
//! What a leaf is worth is said in [`score`], how events are walked through in [`walk`]. Nothing
//! here grows trees: `train` does, and `import` takes over those that other libraries grew.

#[cfg(feature = "train")]
pub mod eif;
#[cfg(feature = "train")]
mod gain;
#[cfg(feature = "train")]
mod grow;
#[cfg(feature = "train")]
mod histogram;
#[cfg(feature = "import")]
pub mod import;
mod interleaved;
#[cfg(feature = "train")]
mod leaf;
pub mod plan;
#[cfg(feature = "train")]
pub(crate) mod rng;
#[cfg(feature = "train")]
mod sample;
pub mod score;
mod sliced;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "train")]
pub mod variant;
pub mod walk;

use rkyv::{Archive, Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::features::MAX_FEATURES;
use crate::scorer::Score;
use score::{MAX_FRACTION_BITS, Metric};

/// An axis-parallel split. Leaves have feature 0 and threshold 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize,
)]
pub struct AxisSplit {
    /// Which feature.
    pub feature: u16,
    /// Right iff the feature is larger.
    pub threshold: i16,
}

/// One summand of an extended split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct Term {
    /// Which feature.
    pub feature: u16,
    /// Its component of the normal; not zero.
    pub weight: i16,
}

/// Extended splits: sparse normals and thresholds. Leaves have no terms and threshold 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ExtendedSplits {
    /// Where the terms of each node end; they begin where those of the node before end.
    pub term_ends: Vec<u32>,
    /// The terms of all nodes, features ascending within a node.
    pub terms: Vec<Term>,
    /// Right iff the sum is larger.
    pub thresholds: Vec<i64>,
}

impl ExtendedSplits {
    /// The terms of a node. **Panics** if there is no such node.
    #[must_use]
    pub fn terms_of(&self, node: usize) -> &[Term] {
        let begin = if node == 0 { 0 } else { self.term_ends[node - 1] as usize };
        &self.terms[begin..self.term_ends[node] as usize]
    }
}

/// How the nodes of a forest split.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Splits {
    /// By one feature. **Shape**: one per node.
    Axis(Vec<AxisSplit>),
    /// By a weighted sum.
    Extended(ExtendedSplits),
}

/// Where the value that a node compares with its threshold may lie without a penalty, both ends
/// included. Leaves have 0 to 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SplitRange {
    /// Smallest value.
    pub low: i64,
    /// Largest value.
    pub high: i64,
}

impl SplitRange {
    /// Whether a value lies in the range.
    #[must_use]
    pub fn contains(self, value: i64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// The parts of a forest before they are checked: what [`Forest::new`] takes.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub struct ForestParts {
    /// Values in a row.
    pub n_features: u32,
    /// Fractional bits of leaf values and scores.
    pub fraction_bits: u32,
    /// Rows that each tree was grown from.
    pub subsample_size: u32,
    /// What leaves stand for, and how scores are displayed.
    pub metric: Metric,
    /// What the mean path length is divided by in the display: c(ψ); 1 for metrics that are not
    /// [normalised](Metric::is_normalised).
    pub normaliser: f64,
    /// Where the nodes of each tree end; they begin where those of the tree before end.
    pub tree_ends: Vec<u32>,
    /// Left child, counted within the tree; the right child follows it; 0 = leaf.
    pub left: Vec<u32>,
    /// How inner nodes split.
    pub splits: Splits,
    /// What a leaf stands for, in fixed point ([`Metric::leaf_value`]); 0 for inner nodes.
    pub leaf_values: Vec<i32>,
    /// Outside of which range of compared values a node adds one, in fixed point, to the score;
    /// only where leaves are path lengths. **Shape**: one per node.
    ///
    /// **Source**: isotree, documentation of `penalize_range`.
    pub ranges: Option<Vec<SplitRange>>,
}

/// A valid isolation forest.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    parts: ForestParts,
    range: (Score, Score),
}

/// What a forest looks like, for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForestDescription {
    /// Number of trees.
    pub n_trees: usize,
    /// Number of nodes, leaves included.
    pub n_nodes: usize,
    /// Number of leaves.
    pub n_leaves: usize,
    /// Mean over all leaves of the nodes above them.
    pub mean_depth: f64,
    /// Most nodes above a leaf.
    pub max_depth: usize,
    /// Distinct (feature, threshold) pairs; for extended forests, distinct hyperplanes.
    pub n_distinct_splits: usize,
    /// Features that no node looks at.
    pub n_unused_features: usize,
}

impl Forest {
    /// A forest, once its parts are found to be one.
    ///
    /// # Errors
    /// The first part that is wrong: lengths, shape of a tree, features out of range, scores that
    /// could overflow.
    pub fn new(parts: ForestParts) -> Result<Forest> {
        check_numbers(&parts)?;
        check_lengths(&parts)?;
        for tree in 0..parts.tree_ends.len() {
            check_tree(&parts, tree)?;
        }
        let range = score_range(&parts)?;
        Ok(Forest { parts, range })
    }

    /// The arrays.
    #[must_use]
    pub fn parts(&self) -> &ForestParts {
        &self.parts
    }

    /// Number of trees.
    #[must_use]
    pub fn n_trees(&self) -> usize {
        self.parts.tree_ends.len()
    }

    /// Smallest and largest possible score.
    #[must_use]
    pub fn range(&self) -> (Score, Score) {
        self.range
    }

    /// The nodes of a tree, as places in the arrays.
    ///
    /// # Panics
    /// If there is no such tree.
    #[must_use]
    pub fn tree(&self, tree: usize) -> std::ops::Range<usize> {
        tree_range(&self.parts, tree)
    }

    /// How many nodes lie above each node of a tree. **Shape**: the nodes of the tree.
    ///
    /// # Panics
    /// If there is no such tree.
    #[must_use]
    pub fn depths(&self, tree: usize) -> Vec<u32> {
        tree_depths(&self.parts, tree)
    }

    /// What it looks like.
    #[must_use]
    pub fn describe(&self) -> ForestDescription {
        let parts = &self.parts;
        let (mut sum, mut max_depth) = (0u64, 0);
        for tree in 0..self.n_trees() {
            let left = &parts.left[self.tree(tree)];
            for (depth, _) in self.depths(tree).into_iter().zip(left).filter(|&(_, &l)| l == 0) {
                sum += u64::from(depth);
                max_depth = max_depth.max(depth as usize);
            }
        }
        let inner: Vec<usize> = (0..parts.left.len()).filter(|&n| parts.left[n] != 0).collect();
        let n_leaves = parts.left.len() - inner.len();
        let mut used = vec![false; parts.n_features as usize];
        let n_distinct_splits = match &parts.splits {
            Splits::Axis(splits) => {
                inner.iter().for_each(|&n| used[usize::from(splits[n].feature)] = true);
                count_distinct(inner.iter().map(|&n| splits[n]))
            }
            Splits::Extended(splits) => {
                splits.terms.iter().for_each(|t| used[usize::from(t.feature)] = true);
                count_distinct(inner.iter().map(|&n| (splits.terms_of(n), splits.thresholds[n])))
            }
        };
        ForestDescription {
            n_trees: self.n_trees(),
            n_nodes: parts.left.len(),
            n_leaves,
            mean_depth: sum as f64 / n_leaves as f64,
            max_depth,
            n_distinct_splits,
            n_unused_features: used.iter().filter(|&&used| !used).count(),
        }
    }
}

fn count_distinct<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    items.collect::<std::collections::BTreeSet<T>>().len()
}

fn tree_range(parts: &ForestParts, tree: usize) -> std::ops::Range<usize> {
    let begin = if tree == 0 { 0 } else { parts.tree_ends[tree - 1] as usize };
    begin..parts.tree_ends[tree] as usize
}

fn tree_depths(parts: &ForestParts, tree: usize) -> Vec<u32> {
    let left = &parts.left[tree_range(parts, tree)];
    let mut depths = vec![0; left.len()];
    for (node, &child) in left.iter().enumerate().filter(|&(_, &child)| child != 0) {
        let depth = depths[node] + 1;
        depths[child as usize..][..2].fill(depth);
    }
    depths
}

fn check_numbers(parts: &ForestParts) -> Result<()> {
    let check = |holds, what, expected: String, found: String| {
        if holds { Ok(()) } else { Err(Error::forest(what, expected, found)) }
    };
    check(
        (1..=MAX_FEATURES as u32).contains(&parts.n_features),
        "number of features",
        format!("1 to {MAX_FEATURES}"),
        parts.n_features.to_string(),
    )?;
    check(
        parts.fraction_bits <= MAX_FRACTION_BITS,
        "fractional bits",
        format!("0 to {MAX_FRACTION_BITS}"),
        parts.fraction_bits.to_string(),
    )?;
    check(
        parts.normaliser.is_finite() && parts.normaliser > 0.0,
        "normaliser",
        "a positive number".to_owned(),
        parts.normaliser.to_string(),
    )?;
    check(
        parts.ranges.is_none() || parts.metric.takes_range_penalty(),
        "metric with a range penalty",
        "depth or adj_depth".to_owned(),
        parts.metric.name().to_owned(),
    )
}

fn check_lengths(parts: &ForestParts) -> Result<()> {
    let n_nodes = parts.left.len();
    let check = |what, found: usize| {
        if found == n_nodes { Ok(()) } else { Err(Error::forest(what, n_nodes.to_string(), found)) }
    };
    let ascending = |ends: &[u32]| ends.windows(2).all(|pair| pair[0] <= pair[1]);
    check("number of leaf values", parts.leaf_values.len())?;
    check("number of ranges", parts.ranges.as_ref().map_or(n_nodes, Vec::len))?;
    check("end of the last tree", parts.tree_ends.last().map_or(usize::MAX, |&end| end as usize))?;
    if !ascending(&parts.tree_ends) {
        return Err(Error::forest("ends of trees", "ascending numbers", "a smaller one"));
    }
    match &parts.splits {
        Splits::Axis(splits) => check("number of splits", splits.len()),
        Splits::Extended(splits) => {
            check("number of thresholds", splits.thresholds.len())?;
            check("number of ends of terms", splits.term_ends.len())?;
            let last = splits.term_ends.last().map_or(0, |&end| end as usize);
            if !ascending(&splits.term_ends) || last != splits.terms.len() {
                let expected = format!("ascending numbers up to {}", splits.terms.len());
                return Err(Error::forest("ends of terms", expected, last));
            }
            Ok(())
        }
    }
}

/// Checks that the nodes of a tree are breadth first, and every node by itself.
fn check_tree(parts: &ForestParts, tree: usize) -> Result<()> {
    let range = tree_range(parts, tree);
    let problem = |node, problem: String| Error::Node { tree, node, problem };
    let mut next_child = 1;
    for node in 0..range.len() {
        if node >= next_child {
            return Err(problem(node, "expected a node before it to be its parent".to_owned()));
        }
        let place = range.start + node;
        let left = parts.left[place] as usize;
        if left != 0 {
            if left != next_child {
                let text = format!("expected {next_child} as its left child, found {left}");
                return Err(problem(node, text));
            }
            next_child += 2;
        }
        check_node(parts, place, left == 0).map_err(|text| problem(node, text))?;
    }
    if next_child == range.len() {
        Ok(())
    } else {
        Err(problem(0, format!("expected {next_child} nodes in the tree, found {}", range.len())))
    }
}

fn check_node(parts: &ForestParts, place: usize, is_leaf: bool) -> std::result::Result<(), String> {
    let n_features = parts.n_features;
    let check_feature = |feature: u16| {
        if u32::from(feature) < n_features {
            Ok(())
        } else {
            Err(format!("expected a feature below {n_features}, found {feature}"))
        }
    };
    if !is_leaf && parts.leaf_values[place] != 0 {
        return Err(format!("expected no leaf value, found {}", parts.leaf_values[place]));
    }
    let blank = match &parts.splits {
        Splits::Axis(splits) => {
            check_feature(splits[place].feature)?;
            splits[place] == AxisSplit::default()
        }
        Splits::Extended(splits) => {
            let terms = splits.terms_of(place);
            terms.iter().try_for_each(|term| check_feature(term.feature))?;
            if terms.iter().any(|term| term.weight == 0) {
                return Err("expected weights other than zero, found zero".to_owned());
            }
            if terms.windows(2).any(|pair| pair[0].feature >= pair[1].feature) {
                return Err("expected features in ascending order, found another".to_owned());
            }
            if !is_leaf && terms.is_empty() {
                return Err("expected a split, found none".to_owned());
            }
            terms.is_empty() && splits.thresholds[place] == 0
        }
    };
    if let Some(ranges) = &parts.ranges {
        let range = ranges[place];
        if is_leaf && range != SplitRange::default() {
            return Err("expected no range in a leaf, found one".to_owned());
        }
        if range.low > range.high {
            return Err(format!("expected a range, found {} to {}", range.low, range.high));
        }
    }
    if is_leaf && !blank {
        return Err("expected no split in a leaf, found one".to_owned());
    }
    Ok(())
}

/// Bounds of the score: the sums over trees of the largest and the smallest leaf, negated; the
/// smallest less a penalty from every node above it.
fn score_range(parts: &ForestParts) -> Result<(Score, Score)> {
    let penalty = parts.ranges.as_ref().map_or(0, |_| 1i64 << parts.fraction_bits);
    let (mut least, mut most) = (0i64, 0i64);
    for tree in 0..parts.tree_ends.len() {
        let depths = tree_depths(parts, tree);
        let leaves = || {
            tree_range(parts, tree)
                .zip(&depths)
                .filter(|&(node, _)| parts.left[node] == 0)
                .map(|(node, &depth)| (i64::from(parts.leaf_values[node]), i64::from(depth)))
        };
        let penalised = leaves().map(|(value, depth)| value - penalty * depth);
        least += penalised.min().expect("every tree has a leaf");
        most += leaves().map(|(value, _)| value).max().expect("every tree has a leaf");
    }
    // One below the largest i32, so that a threshold above every score can be written down.
    let limit = i64::from(i32::MAX) - 1;
    if most > limit || least < -limit {
        let found = format!("{least} to {most}; use fewer fractional bits or fewer trees");
        return Err(Error::forest("sum of leaf values", format!("within ±{limit}"), found));
    }
    Ok((-most as Score, -least as Score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, random_forest, single_leaves, stump};

    fn refusal(change: impl Fn(&mut ForestParts)) -> String {
        let mut parts = stump().parts().clone();
        change(&mut parts);
        Forest::new(parts).unwrap_err().to_string()
    }

    #[test]
    fn a_stump_is_described_as_it_is() {
        let forest = stump();
        let expected = ForestDescription {
            n_trees: 1,
            n_nodes: 3,
            n_leaves: 2,
            mean_depth: 1.0,
            max_depth: 1,
            n_distinct_splits: 1,
            n_unused_features: 1,
        };
        assert_eq!(forest.describe(), expected);
        assert_eq!(forest.range(), (-32, -16));
    }

    #[test]
    fn every_broken_part_is_named() {
        assert!(refusal(|p| p.left[0] = 2).contains("left child"));
        assert!(refusal(|p| p.left[1] = 1).contains("expected 3 as its left child"));
        let endless = |p: &mut ForestParts| (p.left[1], p.leaf_values[1]) = (3, 0);
        assert!(refusal(endless).contains("5 nodes"));
        assert!(refusal(|p| p.tree_ends[0] = 2).contains("end of the last tree"));
        assert!(refusal(|p| p.tree_ends.clear()).contains("end of the last tree"));
        assert!(refusal(|p| p.tree_ends.insert(0, 4)).contains("ascending"));
        assert!(refusal(|p| p.tree_ends.insert(0, 0)).contains("found 0"));
        assert!(refusal(|p| p.leaf_values.truncate(2)).contains("leaf values"));
        assert!(refusal(|p| p.leaf_values[0] = 1).contains("no leaf value"));
        assert!(refusal(|p| p.fraction_bits = 99).contains("fractional bits"));
        assert!(refusal(|p| p.normaliser = f64::NAN).contains("normaliser"));
        assert!(refusal(|p| p.normaliser = 0.0).contains("normaliser"));
        assert!(refusal(|p| p.n_features = 1).contains("feature below 1"));
        assert!(refusal(|p| p.n_features = 0).contains("number of features"));
        assert!(refusal(|p| p.splits = Splits::Axis(vec![])).contains("number of splits"));
        let leaf_split = |p: &mut ForestParts| {
            let Splits::Axis(splits) = &mut p.splits else { panic!("a stump has axis splits") };
            splits[1].threshold = 3;
        };
        assert!(refusal(leaf_split).contains("no split in a leaf"));
        let mut orphans = single_leaves().parts().clone();
        orphans.tree_ends = vec![3];
        assert!(Forest::new(orphans).unwrap_err().to_string().contains("its parent"));
    }

    #[test]
    fn broken_extended_splits_are_named() {
        let whole = random_forest(&mut Random(9), 3, 4, 4, true);
        let refusal = |change: fn(&mut ExtendedSplits)| {
            let mut parts = whole.parts().clone();
            let Splits::Extended(splits) = &mut parts.splits else { panic!("it is extended") };
            change(splits);
            Forest::new(parts).unwrap_err().to_string()
        };
        assert!(refusal(|s| s.terms[0].weight = 0).contains("other than zero"));
        assert!(refusal(|s| s.terms[0].feature = 999).contains("feature below 4"));
        assert!(refusal(|s| s.thresholds.truncate(1)).contains("thresholds"));
        assert!(refusal(|s| s.term_ends.truncate(1)).contains("ends of terms"));
        assert!(refusal(|s| s.terms.truncate(1)).contains("ends of terms"));
        assert!(refusal(|s| s.term_ends[0] = 0).contains("found none"));
    }

    #[test]
    fn sums_that_overflow_are_refused_and_the_largest_that_fit_are_not() {
        let with = |value| {
            let mut parts = stump().parts().clone();
            parts.leaf_values[1] = value;
            Forest::new(parts)
        };
        assert_eq!(with(i32::MAX - 1).unwrap().range().0, -(i32::MAX - 1));
        assert!(with(i32::MAX).unwrap_err().to_string().contains("fewer fractional bits"));
        assert!(with(i32::MIN).is_err());
    }
}
