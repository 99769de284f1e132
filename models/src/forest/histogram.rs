//! Trees that cut a node into several ranges of one feature, as PIDForest does.
//!
//! The cube of a node is cut between the values that its rows take, so that each value has a gap
//! around it; gap by rows is how sparse the cube is there. For every feature a histogram of at
//! most `max_buckets` buckets is laid over the sparsities; the feature is drawn with a probability
//! in proportion to the share of their variance that the histogram explains, and the node is cut
//! where the buckets meet. Such a cut is written as a chain of binary splits, from the lowest
//! range up; the depth counts cuts, not splits.
//!
//! The histogram is within a factor 1 + ε of the best: of the places where a bucket may end, only
//! one per step of 1 + ε in the error is remembered.
//!
//! **Source**: Gopalan, Sharan, Wieder, "PIDForest: anomaly detection via certification of partial
//! identification", NeurIPS 2019, and their program `vatsalsharan/pidforest`, `scripts/forest.py`
//! and `scripts/hg.py`; Guha, Koudas, Shim, ACM TODS 31 (2006) 396, for the histograms.
//! Differences: cuts lie half-way between integers, features that are constant are passed over
//! where the program gives up, and events outside the cube belong to its outermost ranges.

use std::collections::VecDeque;
use std::ops::Range;

use super::AxisSplit;
use super::grow::{Split, Structure, Table};
use super::rng::TreeRng;

/// Variance by mean square below which sparsities count as equal.
const ROUNDING: f64 = 1e-12;

/// The settings of such a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub max_buckets: usize,
    pub epsilon: f64,
    pub max_depth: u32,
}

/// A node that waits for its turn.
struct Node {
    rows: Range<usize>,
    depth: u32,
    /// Lower and upper end by feature, doubled.
    cube: Vec<(i32, i32)>,
    /// What is left of the cuts of this place: a feature and ascending thresholds.
    cuts: (u16, Vec<i16>),
}

/// Grows a tree from the rows with these numbers, and leaves them in another order.
pub(super) fn grow(
    table: Table<'_>,
    cube: &[(i32, i32)],
    rule: Rule,
    rng: &mut TreeRng,
    rows: &mut [u32],
) -> Structure {
    let mut structure = Structure::new(false);
    let root = Node { rows: 0..rows.len(), depth: 0, cube: cube.to_vec(), cuts: (0, Vec::new()) };
    let mut queue = VecDeque::from([root]);
    while let Some(mut node) = queue.pop_front() {
        let rows = &mut rows[node.rows.clone()];
        if node.cuts.1.is_empty() && rows.len() > 1 && node.depth < rule.max_depth {
            node.cuts = find_cuts(table, &node.cube, rule, rng, rows);
        }
        let (feature, cuts) = node.cuts;
        let Some((&threshold, rest)) = cuts.split_first() else {
            structure.push(node.rows, None);
            continue;
        };
        let split = Split::Axis(AxisSplit { feature, threshold });
        let middle = node.rows.start + table.partition(rows, &split);
        let (mut below, mut above) = (node.cube.clone(), node.cube);
        below[usize::from(feature)].1 = 2 * i32::from(threshold) + 1;
        above[usize::from(feature)].0 = 2 * i32::from(threshold) + 1;
        let depth = node.depth + 1;
        queue.push_back(Node {
            rows: node.rows.start..middle,
            depth,
            cube: below,
            cuts: (0, Vec::new()),
        });
        queue.push_back(Node {
            rows: middle..node.rows.end,
            // The upper side of a chain is still being cut.
            depth: if rest.is_empty() { depth } else { node.depth },
            cube: above,
            cuts: (feature, rest.to_vec()),
        });
        structure.push(node.rows, Some(split));
    }
    structure
}

/// The cube of all rows: half a gap beyond the outermost values. **Shape**: one per feature,
/// lower and upper end, doubled.
pub(super) fn cube(table: Table<'_>) -> Vec<(i32, i32)> {
    let ends = |feature: usize| {
        let column = || table.values.iter().skip(feature).step_by(table.n_features).copied();
        let (least, most) = column().fold((i16::MAX, i16::MIN), |(a, b), x| (a.min(x), b.max(x)));
        let second = column().filter(|&x| x > least).min();
        let last_but_one = column().filter(|&x| x < most).max();
        // A feature that is constant has a width of one.
        let gap_below = second.map_or(1, |x| i32::from(x) - i32::from(least));
        let gap_above = last_but_one.map_or(1, |x| i32::from(most) - i32::from(x));
        (2 * i32::from(least) - gap_below, 2 * i32::from(most) + gap_above)
    };
    (0..table.n_features).map(ends).collect()
}

/// The feature to cut and the thresholds; no thresholds if nothing is to be gained.
fn find_cuts(
    table: Table<'_>,
    cube: &[(i32, i32)],
    rule: Rule,
    rng: &mut TreeRng,
    rows: &[u32],
) -> (u16, Vec<i16>) {
    let mut candidates = Vec::new();
    let mut column = Vec::with_capacity(rows.len());
    for (feature, &ends) in cube.iter().enumerate() {
        column.clear();
        column.extend(rows.iter().map(|&row| table.row(row)[feature]));
        column.sort_unstable();
        if let Some((share, cuts)) = best_cuts(&column, ends, rule) {
            candidates.push((share, feature as u16, cuts));
        }
    }
    let total: f64 = candidates.iter().map(|(share, ..)| share).sum();
    let mut left = rng.below(1 << 53) as f64 / (1u64 << 53) as f64 * total;
    while let Some((share, feature, cuts)) = candidates.pop() {
        // Rounding may leave something when all have been passed: the last one is it.
        if left < share || candidates.is_empty() {
            return (feature, cuts);
        }
        left -= share;
    }
    (0, Vec::new())
}

/// Share of the variance of the sparsities that the best histogram explains, and where its buckets
/// meet. `sorted` ascends; `None` if nothing is explained.
fn best_cuts(sorted: &[i16], (low, high): (i32, i32), rule: Rule) -> Option<(f64, Vec<i16>)> {
    let groups: Vec<&[i16]> = sorted.chunk_by(|a, b| a == b).collect();
    let value = |k: usize| i32::from(groups[k][0]);
    let last = groups.len() - 1;
    // Twice the gap: from one middle between values to the next, or to the end of the cube.
    let gap = |k: usize| match k {
        _ if last == 0 => high - low,
        0 => value(0) + value(1) - low,
        k if k == last => high - value(last) - value(last - 1),
        k => value(k + 1) - value(k - 1),
    };
    let cells = (0..groups.len()).map(|k| (f64::from(gap(k)), groups[k].len() as f64));
    let levels = Levels::of(cells, rule.max_buckets, rule.epsilon);
    let error = |level: usize| levels.0[level].last().expect("there are values").error;
    if error(0) <= ROUNDING * levels.0[0].last().expect("there are values").squares {
        return None;
    }
    let mut best = 0;
    for level in 1..rule.max_buckets {
        if error(level) < error(best) {
            best = level;
        }
    }
    let cuts: Vec<i16> = levels
        .begins(best, last)
        .into_iter()
        // Half-way between the two values, rounded down: the lower one goes left.
        .map(|k| (value(k - 1) + value(k) - 1).div_euclid(2) as i16)
        .collect();
    (!cuts.is_empty()).then(|| ((error(0) - error(best)) / error(0), cuts))
}

/// The best histogram found that ends at a cell, with sums over the cells up to it.
#[derive(Clone, Copy, Debug)]
struct End {
    cell: usize,
    /// First cell of the last bucket; the cell after this one if that bucket is empty.
    begin: usize,
    /// Sum over rows of the squared difference to the mean of their bucket.
    error: f64,
    sum: f64,
    squares: f64,
    n: f64,
}

/// Histograms by number of buckets less one, and then by where they end.
struct Levels(Vec<Vec<End>>);

impl Levels {
    /// `cells` are gaps and the rows that share them.
    fn of(cells: impl Iterator<Item = (f64, f64)>, max_buckets: usize, epsilon: f64) -> Levels {
        let mut levels: Vec<Vec<End>> = vec![Vec::new(); max_buckets];
        // The error from which on the next end is remembered beside the one before.
        let mut steps = vec![-1.0; max_buckets];
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        for (cell, (gap, rows)) in cells.enumerate() {
            sum += gap;
            squares += gap * gap / rows;
            n += rows;
            let mut end = End { cell, begin: 0, error: squares - sum * sum / n, sum, squares, n };
            for level in 0..max_buckets {
                if level > 0 {
                    end.begin = cell + 1;
                    for before in levels[level - 1].iter().filter(|before| before.cell < cell) {
                        let (sum, n) = (sum - before.sum, n - before.n);
                        let error = before.error + (squares - before.squares) - sum * sum / n;
                        if error < end.error {
                            (end.error, end.begin) = (error, before.cell + 1);
                        }
                    }
                }
                if end.error > (1.0 + epsilon) * steps[level] {
                    steps[level] = end.error;
                } else {
                    levels[level].pop();
                }
                levels[level].push(end);
            }
        }
        Levels(levels)
    }

    /// Where the buckets but the first begin, ascending.
    fn begins(&self, level: usize, last: usize) -> Vec<usize> {
        let (mut begins, mut cell) = (Vec::new(), last);
        for ends in self.0[..=level].iter().rev() {
            // A place that was forgotten on the level below leaves the rest as one bucket.
            let Ok(at) = ends.binary_search_by_key(&cell, |end| end.cell) else { break };
            let begin = ends[at].begin;
            if begin == 0 {
                break;
            }
            if begin <= cell {
                begins.push(begin);
            }
            cell = begin - 1;
        }
        begins.reverse();
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const RULE: Rule = Rule { max_buckets: 3, epsilon: 0.0, max_depth: 9 };

    #[test]
    fn cuts_are_where_sparsity_changes() {
        // Cube 0 to 30 (doubled 0 to 60). Values 1, 2, 3 with one row each, 20: middles at 1.5,
        // 2.5, 11.5, so gaps 1.5, 1, 9, 18.5; the sparsities are the same.
        let (share, cuts) = best_cuts(&[1, 2, 3, 20], (0, 60), RULE).unwrap();
        // Three buckets {1.5, 1}, {9}, {18.5}: error 0.125 of 201.5, for the mean is 7.5 and
        // 36 + 42.25 + 2.25 + 121 = 201.5.
        assert!((share - (1.0 - 0.125 / 201.5)).abs() < 1e-12, "{share}");
        assert_eq!(cuts, [2, 11], "between 2 and 3, and half-way from 3 to 20");
        // Two buckets at most: {1.5, 1, 9} leaves 84.25 − 11.5² / 3 = 40.17, and
        // {1.5, 1}, {9, 18.5} leaves 45.25.
        let (share, cuts) =
            best_cuts(&[1, 2, 3, 20], (0, 60), Rule { max_buckets: 2, ..RULE }).unwrap();
        assert!((share - (1.0 - (84.25 - 132.25 / 3.0) / 201.5)).abs() < 1e-12, "{share}");
        assert_eq!(cuts, [11]);
    }

    #[test]
    fn even_values_are_not_cut() {
        // Gaps of 2 around each of 1, 3, 5, 7 in 0 to 8; one value; the same value twice as dense.
        assert_eq!(best_cuts(&[1, 3, 5, 7], (0, 16), RULE), None);
        assert_eq!(best_cuts(&[4, 4, 4], (0, 16), RULE), None);
        assert!(best_cuts(&[1, 3, 3, 5, 7], (0, 16), RULE).is_some());
    }

    #[test]
    fn the_cube_reaches_half_a_gap_beyond_the_outermost_values() {
        // Values 0, 4, 10 of feature 0: −2 to 13, doubled. Feature 1 is constant.
        let values = [4i16, 7, 0, 7, 10, 7, 4, 7];
        assert_eq!(cube(Table { values: &values, n_features: 2 }), [(-4, 26), (13, 15)]);
        let extreme = [i16::MIN, i16::MAX];
        assert_eq!(cube(Table { values: &extreme, n_features: 1 }), [(-131_071, 131_069)]);
    }

    /// The least error of all ways to make buckets: nothing but the definition.
    fn naive_error(cells: &[(f64, f64)], n_buckets: usize) -> f64 {
        let of_one = |cells: &[(f64, f64)]| {
            let n: f64 = cells.iter().map(|(_, rows)| rows).sum();
            let mean = cells.iter().map(|(gap, _)| gap).sum::<f64>() / n;
            cells.iter().map(|(gap, rows)| rows * (gap / rows - mean).powi(2)).sum::<f64>()
        };
        let whole = of_one(cells);
        if n_buckets == 1 {
            return whole;
        }
        let cut = |k: usize| naive_error(&cells[..k], n_buckets - 1) + of_one(&cells[k..]);
        (1..cells.len()).map(cut).fold(whole, f64::min)
    }

    #[test]
    fn histograms_are_as_near_the_best_as_asked() {
        let mut random = Random(1);
        for case in 0..300 {
            let n = 1 + random.below(12);
            let mut cell = || ((1 + random.below(50)) as f64, (1 + random.below(4)) as f64);
            let cells: Vec<(f64, f64)> = (0..n).map(|_| cell()).collect();
            let epsilon = [0.0, 0.1, 1.0][case % 3];
            let levels = Levels::of(cells.iter().copied(), 3, epsilon);
            for (level, ends) in levels.0.iter().enumerate() {
                let (found, best) = (ends.last().unwrap().error, naive_error(&cells, level + 1));
                // Every level below may lose a factor 1 + ε.
                let most = best * (1.0 + epsilon).powi(level as i32) + 1e-9;
                assert!(found > best - 1e-9 && found <= most, "{found} {best} {epsilon}");
                let begins = levels.begins(level, cells.len() - 1);
                assert!(begins.len() <= level && begins.windows(2).all(|b| b[0] < b[1]));
            }
        }
    }
}
