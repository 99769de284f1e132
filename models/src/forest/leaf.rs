//! What the leaves of a tree are worth, by metric, and what ranges its nodes know.
//!
//! A tree is gone through once more when its nodes are known, from the root down, with the rows
//! that each node got; what a metric sums or multiplies along the way is carried to the leaves.
//! A split between the integers t and t + 1 counts as lying at t + ½.
//!
//! Boxes begin with the smallest and largest values of the tree's rows, or with a given cube; an
//! axis-parallel split cuts them. A hyperplane leaves to a side the share of the values that its
//! weighted sum can have in the whole box. isotree means the same, but its program has the two
//! functions that keep the share within bounds the wrong way round, so that all boxes of its
//! extended forests come out as large as the root's.
//!
//! Logarithms are taken here and not by the platform, so that leaf values are the same everywhere.
//!
//! **Source**: formulas in [`super::score`]; ranges as isotree's `penalize_range`: as far to both
//! sides of the threshold as the values of the node's rows are apart.

use std::collections::VecDeque;

use super::grow::{Extremes, Structure, Table, Tree, weighted_sum};
use super::score::Metric;
use super::{SplitRange, Splits};

/// How the leaves of all trees of a forest get their values.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafRule<'a> {
    pub table: Table<'a>,
    pub metric: Metric,
    pub fraction_bits: u32,
    pub n_trees: usize,
    /// c(k) by number of rows k.
    pub path_lengths: &'a [f64],
    pub penalize_range: bool,
    /// Where densities of boxes are counted, if not with the tree's own rows in their own box.
    pub pool: Option<Pool<'a>>,
}

/// Rows that are counted and the box that holds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool<'a> {
    pub rows: &'a [u32],
    /// Lower and upper end by feature, doubled.
    pub cube: &'a [(i32, i32)],
}

/// What is known of the way to a node.
struct Path {
    depth: u32,
    /// Sum or product over the splits above.
    total: f64,
    /// The node's box in axis-parallel trees: lower and upper end by feature, doubled.
    cube: Vec<(i32, i32)>,
}

impl LeafRule<'_> {
    /// The tree of a structure; `rows` are in the order in which growing left them.
    pub(super) fn tree(&self, structure: Structure, rows: &[u32]) -> Tree {
        let root = self.root_cube(rows);
        let counts = self.pool_counts(&structure);
        let mut ranges = Vec::new();
        let mut leaf_values = Vec::with_capacity(structure.left.len());
        let start = match self.metric {
            Metric::AdjDensity | Metric::BoxedRatio => 1.0,
            _ => 0.0,
        };
        let mut queue = VecDeque::from([Path { depth: 0, total: start, cube: root.clone() }]);
        for (node, &left) in structure.left.iter().enumerate() {
            let path = queue.pop_front().expect("parents come before their children");
            let n_rows = structure.rows[node].len();
            if left == 0 {
                let counted = counts.as_ref().map(|counts| counts[node]);
                leaf_values.push(self.leaf_value(&path, n_rows, counted, rows.len()));
                ranges.push(SplitRange::default());
                continue;
            }
            leaf_values.push(0);
            let rows = &rows[structure.rows[node].clone()];
            ranges.push(self.range(&structure.splits, node, rows));
            let shares = self.shares(&structure.splits, node, rows, &path.cube, &root);
            let n_left = structure.rows[left as usize].len() as f64 / n_rows as f64;
            let [below, above] = self.cut(&structure.splits, node, path.cube);
            let sides = [(shares[0], n_left, below), (shares[1], 1.0 - n_left, above)];
            queue.extend(sides.map(|(share, n, cube)| Path {
                depth: path.depth + 1,
                total: self.step(path.total, share, n),
                cube,
            }));
        }
        let ranges = self.penalize_range.then_some(ranges);
        Tree { left: structure.left, splits: structure.splits, leaf_values, ranges }
    }

    fn is_boxed(&self) -> bool {
        matches!(self.metric, Metric::BoxedRatio | Metric::BoxedDensity2 | Metric::BoxedDensity)
    }

    fn root_cube(&self, rows: &[u32]) -> Vec<(i32, i32)> {
        if !self.is_boxed() {
            return Vec::new();
        }
        if let Some(pool) = self.pool {
            return pool.cube.to_vec();
        }
        let mut extremes = Extremes::default();
        self.table.measure(rows, &mut extremes);
        let doubled = |(&min, &max): (&i16, &i16)| (2 * i32::from(min), 2 * i32::from(max));
        extremes.min.iter().zip(&extremes.max).map(doubled).collect()
    }

    /// How many rows of the pool end in each node, if they are what densities are counted with.
    fn pool_counts(&self, structure: &Structure) -> Option<Vec<usize>> {
        let pool = self.pool.filter(|_| self.is_boxed())?;
        let mut counts = vec![0; structure.left.len()];
        for &row in pool.rows {
            let mut node = 0;
            while structure.left[node] != 0 {
                let (value, threshold) = compared(&structure.splits, node, self.table.row(row));
                node = structure.left[node] as usize + usize::from(value > threshold);
            }
            counts[node] += 1;
        }
        Some(counts)
    }

    /// Smallest and largest compared value of a node's rows, and the threshold.
    fn spread(&self, splits: &Splits, node: usize, rows: &[u32]) -> (i64, i64, i64) {
        let values = rows.iter().map(|&row| compared(splits, node, self.table.row(row)));
        let start = (i64::MAX, i64::MIN, 0);
        values.fold(start, |(min, max, _), (x, threshold)| (min.min(x), max.max(x), threshold))
    }

    fn range(&self, splits: &Splits, node: usize, rows: &[u32]) -> SplitRange {
        if !self.penalize_range {
            return SplitRange::default();
        }
        // Within max − min of the threshold, which lies at t + ½.
        let (min, max, threshold) = self.spread(splits, node, rows);
        SplitRange { low: threshold + 1 - (max - min), high: threshold + (max - min) }
    }

    /// Which shares of a node's values, or of its box, a split leaves to either side.
    fn shares(
        &self,
        splits: &Splits,
        node: usize,
        rows: &[u32],
        cube: &[(i32, i32)],
        root: &[(i32, i32)],
    ) -> [f64; 2] {
        let (low, high, threshold) = match (self.metric, splits) {
            (Metric::Depth, _) => return [1.0; 2],
            (Metric::AdjDepth | Metric::AdjDensity | Metric::Density, _) => {
                let (min, max, threshold) = self.spread(splits, node, rows);
                (2 * min, 2 * max, threshold)
            }
            (_, Splits::Axis(splits)) => {
                let (low, high) = cube[usize::from(splits[node].feature)];
                (low.into(), high.into(), splits[node].threshold.into())
            }
            (_, Splits::Extended(splits)) => {
                let (mut low, mut high) = (0, 0);
                for term in splits.terms_of(node) {
                    let (a, b) = root[usize::from(term.feature)];
                    let [a, b] = [a, b].map(|end| i64::from(term.weight) * i64::from(end));
                    (low, high) = (low + a.min(b), high + a.max(b));
                }
                (low, high, splits.thresholds[node])
            }
        };
        let below = (2 * threshold + 1 - low) as f64 / (high - low) as f64;
        let above = (high - 2 * threshold - 1) as f64 / (high - low) as f64;
        [below, above]
    }

    /// The boxes on both sides of a node.
    fn cut(&self, splits: &Splits, node: usize, cube: Vec<(i32, i32)>) -> [Vec<(i32, i32)>; 2] {
        let (Splits::Axis(splits), true) = (splits, self.is_boxed()) else {
            return [Vec::new(), Vec::new()];
        };
        let (feature, end) =
            (usize::from(splits[node].feature), 2 * i32::from(splits[node].threshold) + 1);
        let (mut below, mut above) = (cube.clone(), cube);
        (below[feature].1, above[feature].0) = (end, end);
        [below, above]
    }

    /// What is known after a split that left this share of the volume and of the rows.
    fn step(&self, total: f64, volume: f64, rows: f64) -> f64 {
        let adjusted = || 2.0 / (1.0 + 0.5 * volume / rows);
        match self.metric {
            Metric::Depth => total,
            Metric::AdjDepth => total + adjusted(),
            Metric::AdjDensity => (total * adjusted()).max(f64::EPSILON),
            Metric::Density | Metric::BoxedDensity2 => total - ln(volume),
            Metric::BoxedDensity => total + ln(volume),
            Metric::BoxedRatio => total * volume,
        }
    }

    /// `counted` are rows of the pool, `n_rows` the tree's own of `n_all`.
    fn leaf_value(&self, path: &Path, n_rows: usize, counted: Option<usize>, n_all: usize) -> i32 {
        let density = || match (counted, self.pool) {
            // Nothing counted is less than one: the original program takes it for the densest.
            (Some(0), Some(pool)) => ln(0.5 / pool.rows.len() as f64),
            (Some(k), Some(pool)) => ln(k as f64 / pool.rows.len() as f64),
            _ => ln(n_rows as f64 / n_all as f64),
        };
        let value = match self.metric {
            Metric::Depth => f64::from(path.depth) + self.path_lengths[n_rows],
            Metric::AdjDepth => path.total + self.path_lengths[n_rows],
            // Products can outgrow any integer where events are densest; their display is 0 long
            // before.
            Metric::AdjDensity => path.total.min(self.largest()),
            Metric::BoxedRatio => path.total,
            Metric::Density | Metric::BoxedDensity2 | Metric::BoxedDensity => {
                density() + path.total
            }
        };
        self.metric.leaf_value(value, self.fraction_bits)
    }

    /// The largest value of which there may be one per tree.
    fn largest(&self) -> f64 {
        let largest = (i32::MAX as usize - 1) / self.n_trees;
        largest as f64 / f64::from(1 << self.fraction_bits)
    }
}

/// What a node compares: a row's value, and the threshold.
fn compared(splits: &Splits, node: usize, row: &[i16]) -> (i64, i64) {
    match splits {
        Splits::Axis(splits) => {
            let split = splits[node];
            (row[usize::from(split.feature)].into(), split.threshold.into())
        }
        Splits::Extended(splits) => {
            (weighted_sum(row, splits.terms_of(node)), splits.thresholds[node])
        }
    }
}

/// Natural logarithm of a normal positive number, the same on every platform: x = m·2^e with m
/// near 1, and the series of 2·artanh((m − 1) / (m + 1)), whose terms end below 2^−53.
fn ln(x: f64) -> f64 {
    let exponent = (x.to_bits() >> 52) as i64 - 1023;
    let mantissa = f64::from_bits(x.to_bits() & ((1 << 52) - 1) | 1023 << 52);
    let (m, e) = if mantissa > std::f64::consts::SQRT_2 {
        (mantissa / 2.0, exponent + 1)
    } else {
        (mantissa, exponent)
    };
    let z = (m - 1.0) / (m + 1.0);
    let series = (0..12).rev().fold(0.0, |sum, k| sum * z * z + 1.0 / f64::from(2 * k + 1));
    e as f64 * std::f64::consts::LN_2 + 2.0 * z * series
}
