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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::AxisSplit;
    use crate::forest::grow::{Grower, Split};
    use crate::forest::rng::TreeRng;
    use crate::forest::score::average_path_lengths;
    use crate::forest::variant::{Gain, SplitRule};
    use crate::testing::Random;

    #[test]
    fn logarithms_are_those_of_the_platform_to_a_few_bits() {
        let mut random = Random(1);
        for x in [f64::MIN_POSITIVE, 0.5, 0.999, 1.0, 1.001, 2.0, 1e300] {
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "{x}");
        }
        for _ in 0..10_000 {
            let x = (1 + random.below(1 << 50)) as f64 / (1 + random.below(1 << 50)) as f64;
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "{x}");
        }
    }

    fn leaf_rule<'a>(table: Table<'a>, metric: Metric, path_lengths: &'a [f64]) -> LeafRule<'a> {
        let (fraction_bits, n_trees) = (16, 1);
        let (penalize_range, pool) = (metric.takes_range_penalty(), None);
        LeafRule { table, metric, fraction_bits, n_trees, path_lengths, penalize_range, pool }
    }

    #[test]
    fn a_small_tree_has_the_values_worked_out_by_hand() {
        // Rows 0, 1, 2, 10. The root cuts at 4.5, which leaves 0.45 of 0..10 and 3 of 4 rows to
        // the left. Node 1 (0, 1, 2) cuts at 0.5: 1/4 of its values 0..2, 1/9 of its box 0..4.5,
        // 1 of 3 rows to the left. Leaves: node 2 = {10}, node 3 = {0}, node 4 = {1, 2}.
        let values = [0i16, 1, 2, 10];
        let table = Table { values: &values, n_features: 1 };
        let mut structure = Structure::new(false);
        let split = |threshold| Some(Split::Axis(AxisSplit { feature: 0, threshold }));
        structure.push(0..4, split(4));
        structure.push(0..3, split(0));
        structure.push(3..4, None);
        structure.push(0..1, None);
        structure.push(1..3, None);
        assert_eq!(structure.left, [1, 3, 0, 0, 0]);
        // p at the root: 0.75 / 0.45 = 5/3 and 0.25 / 0.55 = 5/11, so 2 / (1 + 1 / 2p) is 20/13
        // and 20/21; at node 1: (1/3) / (1/4) = 4/3 and (2/3) / (3/4) = 8/9, so 16/11 and 32/25.
        let expected = [
            (Metric::Depth, [1.0, 2.0, 2.0 + 1.0]),
            (Metric::AdjDepth, [20.0 / 21.0, 20.0 / 13.0 + 16.0 / 11.0, 20.0 / 13.0 + 1.28 + 1.0]),
            (Metric::AdjDensity, [20.0 / 21.0, 320.0 / 143.0, 640.0 / 325.0]),
            (Metric::Density, [0.25 / 0.55, 0.25 / (0.45 / 4.0), 0.5 / (0.45 * 0.75)].map(f64::ln)),
            (Metric::BoxedRatio, [-0.55, -0.45 / 9.0, -0.45 * 8.0 / 9.0]),
            (Metric::BoxedDensity2, [0.25 / 0.55, 0.25 / 0.05, 0.5 / 0.4].map(f64::ln)),
            (Metric::BoxedDensity, [0.25 * 0.55, 0.25 * 0.05, 0.5 * 0.4f64].map(f64::ln)),
        ];
        let path_lengths = average_path_lengths(4);
        for (metric, leaves) in expected {
            let tree =
                leaf_rule(table, metric, &path_lengths).tree(structure.clone(), &[0, 1, 2, 3]);
            let fixed = leaves.map(|value| (value * 65_536.0).round() as i32);
            assert_eq!(tree.leaf_values[..2], [0, 0], "{}", metric.name());
            assert_eq!(tree.leaf_values[2..], fixed, "{}", metric.name());
        }
        // The values of the root are 10 apart, those of node 1 are 2 apart.
        let tree = leaf_rule(table, Metric::Depth, &path_lengths).tree(structure, &[0, 1, 2, 3]);
        let blank = SplitRange::default();
        let ranges = [SplitRange { low: -5, high: 14 }, SplitRange { low: -1, high: 2 }];
        assert_eq!(tree.ranges.unwrap(), [ranges[0], ranges[1], blank, blank, blank]);
    }

    /// A leaf's rows and the way to it: nothing kept but what was met.
    #[derive(Clone)]
    struct Way {
        rows: Vec<u32>,
        /// Compared values of each node's rows, threshold, and whether the way went right.
        nodes: Vec<(usize, Vec<i64>, i64, bool)>,
    }

    fn ways(tree: &Tree, table: Table<'_>, node: usize, way: Way) -> Vec<(usize, Way)> {
        let left = tree.left[node] as usize;
        if left == 0 {
            return vec![(node, way)];
        }
        let threshold = compared(&tree.splits, node, table.row(0)).1;
        let value = |row: u32| compared(&tree.splits, node, table.row(row)).0;
        let values: Vec<i64> = way.rows.iter().map(|&row| value(row)).collect();
        let side = |right: bool| {
            let rows = way.rows.iter().copied().filter(|&r| (value(r) > threshold) == right);
            let mut nodes = way.nodes.clone();
            nodes.push((node, values.clone(), threshold, right));
            ways(tree, table, left + usize::from(right), Way { rows: rows.collect(), nodes })
        };
        [side(false), side(true)].concat()
    }

    /// Volume of the box of a way by that of all rows.
    fn naive_volume(tree: &Tree, table: Table<'_>, all: &[u32], way: &Way) -> f64 {
        let ends = |feature: usize| {
            let column = || all.iter().map(|&row| f64::from(table.row(row)[feature]));
            (column().fold(f64::INFINITY, f64::min), column().fold(f64::NEG_INFINITY, f64::max))
        };
        let whole: Vec<(f64, f64)> = (0..table.n_features).map(ends).collect();
        let mut volume = 1.0;
        let mut part = whole.clone();
        for (node, _, threshold, right) in &way.nodes {
            let cut = *threshold as f64 + 0.5;
            match &tree.splits {
                Splits::Axis(splits) => {
                    let (low, high) = &mut part[usize::from(splits[*node].feature)];
                    *(if *right { low } else { high }) = cut;
                }
                Splits::Extended(splits) => {
                    // All corners of the box in the features that the node looks at.
                    let mut sums = vec![0.0];
                    for term in splits.terms_of(*node) {
                        let (low, high) = whole[usize::from(term.feature)];
                        let weight = f64::from(term.weight);
                        sums = sums
                            .iter()
                            .flat_map(|s| [s + weight * low, s + weight * high])
                            .collect();
                    }
                    let low = sums.iter().copied().fold(f64::INFINITY, f64::min);
                    let high = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    volume *= if *right { high - cut } else { cut - low } / (high - low);
                }
            }
        }
        for ((low, high), (part_low, part_high)) in whole.iter().zip(&part) {
            if low < high {
                volume *= (part_high - part_low) / (high - low);
            }
        }
        volume
    }

    /// The value of a leaf by the definition of its metric.
    fn naive_value(metric: Metric, tree: &Tree, table: Table<'_>, all: &[u32], way: &Way) -> f64 {
        let k = way.rows.len() as f64;
        let path_length = |k: usize| (2..=k).map(|j| 2.0 / j as f64).sum::<f64>();
        let shares = way.nodes.iter().map(|(_, values, threshold, right)| {
            let [low, high] =
                [values.iter().min(), values.iter().max()].map(|x| *x.unwrap() as f64);
            let cut = *threshold as f64 + 0.5;
            let volume = if *right { high - cut } else { cut - low } / (high - low);
            let there = values.iter().filter(|&x| (x > threshold) == *right).count();
            (volume, there as f64 / values.len() as f64)
        });
        let adjusted = shares.clone().map(|(f, n)| 2.0 / (1.0 + 1.0 / (2.0 * n / f)));
        let share = k / all.len() as f64;
        match metric {
            Metric::Depth => way.nodes.len() as f64 + path_length(way.rows.len()),
            Metric::AdjDepth => adjusted.sum::<f64>() + path_length(way.rows.len()),
            Metric::AdjDensity => adjusted.product(),
            Metric::Density => (share / shares.map(|(f, _)| f).product::<f64>()).ln(),
            Metric::BoxedRatio => -naive_volume(tree, table, all, way),
            Metric::BoxedDensity2 => (share / naive_volume(tree, table, all, way)).ln(),
            Metric::BoxedDensity => (share * naive_volume(tree, table, all, way)).ln(),
        }
    }

    #[test]
    fn leaf_values_and_ranges_are_those_recomputed_from_the_rows() {
        let mut random = Random(3);
        let gain = |criterion, tries| SplitRule::Gain { criterion, tries };
        let rules = [
            (SplitRule::Uniform, 0),
            (SplitRule::Uniform, 2),
            (SplitRule::ByRange, 0),
            (gain(Gain::Average, 3), 1),
            (gain(Gain::Pooled, 1), 0),
            (SplitRule::Histogram { max_buckets: 4, epsilon: 0.1 }, 0),
        ];
        let path_lengths = average_path_lengths(60);
        for case in 0..60u64 {
            let (n_rows, n_features) =
                (2 + random.below(59) as usize, 3 + random.below(3) as usize);
            let values: Vec<i16> = (0..n_rows * n_features)
                .map(|at| match at % n_features {
                    0 => random.below(3) as i16,
                    1 => random.extreme(),
                    2 if case % 2 == 0 => 7,
                    _ => random.within(-300, 300) as i16,
                })
                .collect();
            let table = Table { values: &values, n_features };
            let all: Vec<u32> = (0..n_rows as u32).collect();
            let cube = crate::forest::histogram::cube(table);
            for (rule, extension_level) in rules {
                let grower = Grower { table, max_depth: 6, extension_level, rule, cube: &cube };
                let mut rows = all.clone();
                let structure = grower.grow(&mut TreeRng::of_tree(case, 0), &mut rows);
                for metric in Metric::ALL {
                    let rule = leaf_rule(table, metric, &path_lengths);
                    let tree = rule.tree(structure.clone(), &rows);
                    let root = Way { rows: all.clone(), nodes: Vec::new() };
                    for (node, way) in ways(&tree, table, 0, root) {
                        let expected = naive_value(metric, &tree, table, &all, &way) * 65_536.0;
                        let found = f64::from(tree.leaf_values[node]);
                        // Half a unit of rounding, and what is lost in the last digits.
                        let name = metric.name();
                        assert!((found - expected).abs() < 0.501, "{name} {found} {expected}");
                        for (node, values, threshold, _) in &way.nodes {
                            let Some(ranges) = &tree.ranges else { continue };
                            let reach = values.iter().max().unwrap() - values.iter().min().unwrap();
                            let far = |x: i64| (2 * x - 2 * threshold - 1).abs() > 2 * reach;
                            let SplitRange { low, high } = ranges[*node];
                            assert!(far(low - 1) && !far(low) && !far(high) && far(high + 1));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn densities_of_boxes_are_counted_with_the_pool() {
        // The tree has rows 0 and 1 (values 0 and 8), the pool all of 0, 8, 1, 2 in −4 to 12. The
        // cut at 4.5 leaves 8.5 / 16 and three rows to the left.
        let values = [0i16, 8, 1, 2];
        let table = Table { values: &values, n_features: 1 };
        let cube = [(-8, 24)];
        let path_lengths = average_path_lengths(2);
        let value = |rows: &[u32], metric| {
            let mut structure = Structure::new(false);
            structure.push(0..2, Some(Split::Axis(AxisSplit { feature: 0, threshold: 4 })));
            structure.push(0..1, None);
            structure.push(1..2, None);
            let pool = Some(Pool { rows, cube: &cube });
            let rule = LeafRule { pool, ..leaf_rule(table, metric, &path_lengths) };
            let leaf_values = rule.tree(structure, &[0, 1]).leaf_values;
            [1, 2].map(|leaf| f64::from(leaf_values[leaf]) / 65_536.0)
        };
        let near = |found: [f64; 2], expected: [f64; 2]| {
            assert!(
                (0..2).all(|k| (found[k] - expected[k]).abs() < 1e-5),
                "{found:?} {expected:?}"
            );
        };
        let counted = value(&[0, 1, 2, 3], Metric::BoxedDensity2);
        near(counted, [0.75 / (8.5 / 16.0), 0.25 / (7.5 / 16.0)].map(f64::ln));
        // Nothing counted on the right is half a row.
        let counted = value(&[0, 2, 3], Metric::BoxedDensity2);
        near(counted, [1.0 / (8.5 / 16.0), 1.0 / 6.0 / (7.5 / 16.0)].map(f64::ln));
        // Densities by the ranges of the nodes keep to the tree's own rows: 0 to 8.
        let counted = value(&[0, 2, 3], Metric::Density);
        near(counted, [0.5 / (4.5 / 8.0), 0.5 / (3.5 / 8.0)].map(f64::ln));
    }
}
