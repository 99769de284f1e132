//! Growing one tree from its rows: which nodes it has, and how they split.
//!
//! Breadth first: a queue of nodes, each with its range of the tree's rows, which a split
//! partitions in place. A node becomes a leaf if it has one row, if all its rows are equal, or at
//! the largest depth. Axis-parallel splits take a feature that varies in the node, each with the
//! same probability or in proportion to its range, and an integer threshold uniform in
//! min..=max − 1, so that both sides get rows. Extended splits take a hyperplane through a random
//! point of the node's bounding box. Splits that are looked for are found in [`super::gain`],
//! splits into several ranges in [`super::histogram`]; what leaves are worth is up to
//! [`super::leaf`].
//!
//! **Source**: Liu, Ting, Zhou, ICDM 2008, algorithm 2; Hariri, Carrasco Kind, Brunner, IEEE
//! TKDE 33 (2021) 1479, algorithm 2; Guha, Mishra, Roy, Schrijvers, ICML 2016, definition 1, for
//! choosing features by range. Differences are that features which do not vary are not split on,
//! and that hyperplanes with all rows on one side are drawn again.

use std::collections::VecDeque;
use std::ops::Range;

use super::histogram;
use super::rng::TreeRng;
use super::variant::SplitRule;
use super::{AxisSplit, ExtendedSplits, SplitRange, Splits, Term};

/// Largest magnitude of a component of a normal.
const MAX_WEIGHT: i64 = 2047;
/// Hyperplanes tried before a node is split by one feature instead.
const MAX_TRIES: usize = 32;

/// Rows of features, and where one of them is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    /// **Shape**: `(rows, n_features)`, row-major.
    pub values: &'a [i16],
    pub n_features: usize,
}

/// How trees are grown: what all of a forest have in common.
#[derive(Clone, Debug)]
pub(super) struct Grower<'a> {
    pub table: Table<'a>,
    pub max_depth: u32,
    pub extension_level: usize,
    pub rule: SplitRule,
    /// The box of all rows, for trees that split into several ranges: lower and upper ends by
    /// feature, doubled.
    pub cube: &'a [(i32, i32)],
}

/// The nodes of a tree without what its leaves are worth.
#[derive(Clone, Debug)]
pub(super) struct Structure {
    /// As in [`ForestParts`](super::ForestParts).
    pub left: Vec<u32>,
    /// As in [`ForestParts`](super::ForestParts).
    pub splits: Splits,
    /// Which of the tree's rows, in the order that growing left them in, each node has.
    pub rows: Vec<Range<usize>>,
    n_inner: u32,
}

/// A tree: the arrays of [`ForestParts`](super::ForestParts) for its nodes only.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    pub left: Vec<u32>,
    pub splits: Splits,
    pub leaf_values: Vec<i32>,
    pub ranges: Option<Vec<SplitRange>>,
}

/// How one node splits.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Split {
    Axis(AxisSplit),
    Extended { terms: Vec<Term>, threshold: i64 },
}

/// Smallest and largest value of every feature in a node, and which features vary.
#[derive(Clone, Debug, Default)]
pub(super) struct Extremes {
    pub min: Vec<i16>,
    pub max: Vec<i16>,
    pub varying: Vec<u16>,
}

impl<'a> Table<'a> {
    pub(super) fn row(self, row: u32) -> &'a [i16] {
        &self.values[row as usize * self.n_features..][..self.n_features]
    }

    /// Smallest and largest values of these rows.
    pub(super) fn measure(self, rows: &[u32], extremes: &mut Extremes) {
        let Extremes { min, max, varying } = extremes;
        for bounds in [&mut *min, &mut *max] {
            bounds.clear();
            bounds.extend_from_slice(self.row(rows[0]));
        }
        for &row in &rows[1..] {
            for ((&x, min), max) in self.row(row).iter().zip(&mut *min).zip(&mut *max) {
                *min = (*min).min(x);
                *max = (*max).max(x);
            }
        }
        varying.clear();
        varying.extend((0..self.n_features as u16).filter(|&f| {
            let f = usize::from(f);
            min[f] < max[f]
        }));
    }

    /// Moves the rows that go left before those that go right; says how many go left.
    pub(super) fn partition(self, rows: &mut [u32], split: &Split) -> usize {
        let mut n_left = 0;
        for at in 0..rows.len() {
            if !split.is_right(self.row(rows[at])) {
                rows.swap(n_left, at);
                n_left += 1;
            }
        }
        n_left
    }
}

impl Split {
    /// A split by one feature in the form that a forest of this extension level takes.
    fn by_feature(feature: u16, threshold: i16, extension_level: usize) -> Split {
        if extension_level == 0 {
            Split::Axis(AxisSplit { feature, threshold })
        } else {
            let terms = vec![Term { feature, weight: 1 }];
            Split::Extended { terms, threshold: i64::from(threshold) }
        }
    }

    fn is_right(&self, row: &[i16]) -> bool {
        match self {
            Split::Axis(split) => row[usize::from(split.feature)] > split.threshold,
            Split::Extended { terms, threshold } => weighted_sum(row, terms) > *threshold,
        }
    }
}

impl Structure {
    pub(super) fn new(extended: bool) -> Structure {
        let splits = if extended {
            Splits::Extended(ExtendedSplits::default())
        } else {
            Splits::Axis(Vec::new())
        };
        Structure { left: Vec::new(), splits, rows: Vec::new(), n_inner: 0 }
    }

    /// Appends the next node breadth first: a leaf if it does not split.
    pub(super) fn push(&mut self, rows: Range<usize>, split: Option<Split>) {
        self.left.push(if split.is_some() { 2 * self.n_inner + 1 } else { 0 });
        self.n_inner += u32::from(split.is_some());
        self.rows.push(rows);
        self.splits.push(split);
    }
}

impl Grower<'_> {
    /// Grows a tree from the rows with these numbers, and leaves them in another order.
    pub(super) fn grow(&self, rng: &mut TreeRng, rows: &mut [u32]) -> Structure {
        if let SplitRule::Histogram { max_buckets, epsilon } = self.rule {
            let rule = histogram::Rule { max_buckets, epsilon, max_depth: self.max_depth };
            return histogram::grow(self.table, self.cube, rule, rng, rows);
        }
        let mut structure = Structure::new(self.extension_level > 0);
        let mut extremes = Extremes::default();
        let mut queue = VecDeque::from([(0..rows.len(), 0)]);
        while let Some((range, depth)) = queue.pop_front() {
            let rows = &mut rows[range.clone()];
            let split = if rows.len() > 1 && depth < self.max_depth {
                self.split(rng, rows, &mut extremes)
            } else {
                None
            };
            if let Some(split) = &split {
                let middle = range.start + self.table.partition(rows, split);
                queue.extend([(range.start..middle, depth + 1), (middle..range.end, depth + 1)]);
            }
            structure.push(range, split);
        }
        structure
    }

    fn split(&self, rng: &mut TreeRng, rows: &[u32], extremes: &mut Extremes) -> Option<Split> {
        self.table.measure(rows, extremes);
        if extremes.varying.is_empty() {
            return None;
        }
        let feature = match self.rule {
            SplitRule::Gain { criterion, tries } => {
                return self.best_split(criterion, tries, rng, rows, extremes);
            }
            SplitRule::ByRange => draw_by_range(rng, extremes),
            SplitRule::Uniform | SplitRule::Histogram { .. } => {
                for _ in 0..if self.extension_level > 0 { MAX_TRIES } else { 0 } {
                    let (terms, threshold) = self.hyperplane(rng, extremes);
                    if self.separates(rows, &terms, threshold) {
                        return Some(Split::Extended { terms, threshold });
                    }
                }
                extremes.varying[rng.below(extremes.varying.len() as u64) as usize]
            }
        };
        let (min, max) = (extremes.min[usize::from(feature)], extremes.max[usize::from(feature)]);
        let threshold = rng.within(min, max - 1);
        Some(Split::by_feature(feature, threshold, self.extension_level))
    }

    /// A hyperplane with `extension_level + 1` components, of features that vary as far as there
    /// are enough, through a point of the bounding box.
    fn hyperplane(&self, rng: &mut TreeRng, extremes: &Extremes) -> (Vec<Term>, i64) {
        let n = self.extension_level + 1;
        let mut features = pick(rng, &extremes.varying, n);
        if features.len() < n {
            let constant: Vec<u16> = (0..self.table.n_features as u16)
                .filter(|f| extremes.varying.binary_search(f).is_err())
                .collect();
            let more = pick(rng, &constant, n - features.len());
            features.extend(more);
            features.sort_unstable();
        }
        let normal: Vec<i64> = features.iter().map(|_| rng.normal()).collect();
        let largest = normal.iter().map(|x| x.abs()).max().unwrap_or(0).max(1);
        let mut threshold = 0;
        let mut term = |(&feature, &x): (&u16, &i64)| {
            let weight = match rounded_quotient(x * MAX_WEIGHT, largest) {
                0 if x < 0 => -1,
                0 => 1,
                weight => weight,
            };
            let (min, max) =
                (extremes.min[usize::from(feature)], extremes.max[usize::from(feature)]);
            threshold += weight * i64::from(rng.within(min, max));
            Term { feature, weight: weight as i16 }
        };
        let terms = features.iter().zip(&normal).map(&mut term).collect();
        (terms, threshold)
    }

    fn separates(&self, rows: &[u32], terms: &[Term], threshold: i64) -> bool {
        let is_right = |&row: &u32| weighted_sum(self.table.row(row), terms) > threshold;
        let first = is_right(&rows[0]);
        rows[1..].iter().any(|row| is_right(row) != first)
    }
}

/// A feature that varies, with a probability in proportion to its range.
fn draw_by_range(rng: &mut TreeRng, extremes: &Extremes) -> u16 {
    let range = |f: u16| {
        let f = usize::from(f);
        (i32::from(extremes.max[f]) - i32::from(extremes.min[f])) as u64
    };
    let mut left = rng.below(extremes.varying.iter().map(|&f| range(f)).sum());
    for &feature in &extremes.varying {
        if left < range(feature) {
            return feature;
        }
        left -= range(feature);
    }
    unreachable!("the number is below the sum of the ranges")
}

/// `n` of the features that vary, ascending; all if there are fewer.
pub(super) fn pick(rng: &mut TreeRng, from: &[u16], n: usize) -> Vec<u16> {
    let places = rng.sample(from.len() as u64, n.min(from.len()) as u64);
    places.into_iter().map(|place| from[place as usize]).collect()
}

pub(super) fn weighted_sum(row: &[i16], terms: &[Term]) -> i64 {
    let product = |t: &Term| i64::from(t.weight) * i64::from(row[usize::from(t.feature)]);
    terms.iter().map(product).sum()
}

/// `a / b` rounded to the nearest, halves away from zero; `b` is positive.
fn rounded_quotient(a: i64, b: i64) -> i64 {
    (2 * a.abs() + b) / (2 * b) * a.signum()
}

impl Splits {
    /// Appends the split of the next node, `None` for a leaf.
    fn push(&mut self, split: Option<Split>) {
        match (self, split) {
            (Splits::Axis(splits), Some(Split::Axis(split))) => splits.push(split),
            (Splits::Axis(splits), _) => splits.push(AxisSplit::default()),
            (Splits::Extended(splits), split) => {
                let (terms, threshold) = match split {
                    Some(Split::Extended { terms, threshold }) => (terms, threshold),
                    _ => (Vec::new(), 0),
                };
                splits.push(&terms, threshold);
            }
        }
    }
}

impl ExtendedSplits {
    /// Appends the split of the next node; no terms for a leaf.
    pub(super) fn push(&mut self, terms: &[Term], threshold: i64) {
        self.terms.extend_from_slice(terms);
        self.term_ends.push(self.terms.len() as u32);
        self.thresholds.push(threshold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_round_to_the_nearest() {
        let expected = [(7, 2, 4), (-7, 2, -4), (5, 4, 1), (-5, 4, -1), (0, 9, 0), (1, 3, 0)];
        for (a, b, quotient) in expected {
            assert_eq!(rounded_quotient(a, b), quotient, "{a} / {b}");
        }
    }

    #[test]
    fn the_largest_component_of_a_normal_is_2047_and_none_is_zero() {
        let values = [0i16, 0, 0, 5, -9, 7, 7, 7, i16::MIN, i16::MAX, 3, 3];
        let grower = Grower {
            table: Table { values: &values, n_features: 6 },
            max_depth: 9,
            extension_level: 4,
            rule: SplitRule::Uniform,
            cube: &[],
        };
        let mut extremes = Extremes::default();
        grower.table.measure(&[0, 1], &mut extremes);
        assert_eq!(extremes.varying, [0, 1, 2, 3, 4, 5]);
        let mut rng = TreeRng::of_tree(1, 1);
        for _ in 0..1000 {
            let (terms, threshold) = grower.hyperplane(&mut rng, &extremes);
            assert_eq!(terms.len(), 5);
            assert!(terms.windows(2).all(|pair| pair[0].feature < pair[1].feature));
            assert!(terms.iter().all(|term| term.weight != 0));
            let largest = terms.iter().map(|term| i64::from(term.weight).abs()).max();
            assert_eq!(largest, Some(MAX_WEIGHT));
            assert!(threshold.abs() <= 5 * MAX_WEIGHT * 32_768);
        }
    }
}
