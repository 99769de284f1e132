//! Splits that are looked for: the hyperplane and the threshold that separate the rows best.
//!
//! A few hyperplanes are drawn: features that vary in the node, each with a normal deviate as its
//! coefficient, divided by the standard deviation of the feature in the node. The rows are
//! projected on each of them and every threshold between two different projections is tried; the
//! best of all is taken. A node in which none gains anything becomes a leaf.
//!
//! Coefficients are quantised to 16 bits, the largest becoming ±32 767. Sums are integers, and
//! what is left to floating point is +, −, ×, ÷ and √ in a fixed order: the same everywhere.
//!
//! **Source**: Liu, Ting, Zhou, "On detecting clustered anomalies using SCiForest", ECML PKDD
//! 2010, for the average gain; Cortes, "Revisiting randomized choices in isolation forests",
//! arXiv:2110.13402, for the pooled one; isotree 0.6.1, `src/crit.hpp` and `src/extended.hpp`.

use super::grow::{Extremes, Grower, Split, pick, weighted_sum};
use super::rng::TreeRng;
use super::variant::Gain;
use super::{AxisSplit, Term};

/// Largest magnitude of a coefficient.
const MAX_WEIGHT: f64 = 32_767.0;

impl Grower<'_> {
    /// The best split of `tries` hyperplanes; `None` if none of them gains anything.
    pub(super) fn best_split(
        &self,
        criterion: Gain,
        tries: usize,
        rng: &mut TreeRng,
        rows: &[u32],
        extremes: &Extremes,
    ) -> Option<Split> {
        let mut best = (0.0, None);
        let mut projected = Vec::with_capacity(rows.len());
        for _ in 0..tries {
            let terms = self.standardised_normal(rng, rows, extremes);
            projected.clear();
            projected.extend(rows.iter().map(|&row| weighted_sum(self.table.row(row), &terms)));
            projected.sort_unstable();
            if let Some((gain, threshold)) = best_threshold(criterion, &projected)
                && gain > best.0
            {
                best = (gain, Some((terms, threshold)));
            }
        }
        let (terms, threshold) = best.1?;
        Some(match terms[..] {
            // The only weight is 1, so the threshold is one of the feature's values.
            [Term { feature, .. }] if self.extension_level == 0 => {
                Split::Axis(AxisSplit { feature, threshold: threshold as i16 })
            }
            _ => Split::Extended { terms, threshold },
        })
    }

    /// A normal of `extension_level + 1` features that vary, or of all that do.
    fn standardised_normal(
        &self,
        rng: &mut TreeRng,
        rows: &[u32],
        extremes: &Extremes,
    ) -> Vec<Term> {
        let features = pick(rng, &extremes.varying, self.extension_level + 1);
        if let [feature] = features[..] {
            return vec![Term { feature, weight: 1 }];
        }
        let coefficient =
            |&feature: &u16| rng.normal() as f64 / self.standard_deviation(rows, feature);
        let coefficients: Vec<f64> = features.iter().map(coefficient).collect();
        let largest = coefficients.iter().fold(f64::MIN_POSITIVE, |most, c| c.abs().max(most));
        let term = |(&feature, &coefficient): (&u16, &f64)| {
            let weight = match (coefficient / largest * MAX_WEIGHT).round() as i16 {
                0 if coefficient < 0.0 => -1,
                0 => 1,
                weight => weight,
            };
            Term { feature, weight }
        };
        features.iter().zip(&coefficients).map(term).collect()
    }

    /// Standard deviation of a feature that varies over these rows.
    fn standard_deviation(&self, rows: &[u32], feature: u16) -> f64 {
        let (mut sum, mut squares) = (0, 0);
        for &row in rows {
            let x = i64::from(self.table.row(row)[usize::from(feature)]);
            sum += x;
            squares += x * x;
        }
        Sums { n: rows.len() as i128, sum: sum.into(), squares: squares.into() }.deviation()
    }
}

/// Number, sum and sum of squares of some integers.
#[derive(Clone, Copy, Debug)]
struct Sums {
    n: i128,
    sum: i128,
    squares: i128,
}

impl Sums {
    fn of(values: &[i64]) -> Sums {
        let squares = values.iter().map(|&x| i128::from(x) * i128::from(x)).sum();
        let sum = values.iter().map(|&x| i128::from(x)).sum();
        Sums { n: values.len() as i128, sum, squares }
    }

    /// n² times the variance.
    fn spread(self) -> i128 {
        self.n * self.squares - self.sum * self.sum
    }

    fn deviation(self) -> f64 {
        (self.spread() as f64).sqrt() / self.n as f64
    }
}

/// The best gain and a threshold with which it is reached. `sorted` ascends; `None` if all equal.
fn best_threshold(criterion: Gain, sorted: &[i64]) -> Option<(f64, i64)> {
    let all = Sums::of(sorted);
    let mut left = Sums { n: 0, sum: 0, squares: 0 };
    let mut best: Option<(f64, i64)> = None;
    for pair in sorted.windows(2) {
        let x = i128::from(pair[0]);
        left = Sums { n: left.n + 1, sum: left.sum + x, squares: left.squares + x * x };
        if pair[0] == pair[1] {
            continue;
        }
        let gain = gain(criterion, all, left);
        if best.is_none_or(|(most, _)| gain > most) {
            best = Some((gain, (pair[0] + pair[1]).div_euclid(2)));
        }
    }
    best
}

/// What separating `left` from the others gains: at most 1, which is to leave no spread at all.
fn gain(criterion: Gain, all: Sums, left: Sums) -> f64 {
    match criterion {
        Gain::Average => {
            let right = Sums {
                n: all.n - left.n,
                sum: all.sum - left.sum,
                squares: all.squares - left.squares,
            };
            1.0 - (left.deviation() + right.deviation()) / (2.0 * all.deviation())
        }
        Gain::Pooled => {
            let shift = (all.n * left.sum - left.n * all.sum) as f64;
            shift * shift / (left.n * (all.n - left.n)) as f64 / all.spread() as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::grow::Table;
    use crate::forest::variant::SplitRule;
    use crate::testing::Random;

    #[test]
    fn gains_are_those_worked_out_by_hand() {
        // 0 0 | 4: deviations 0 and 0, so both gains are 1. 0 | 0 4 is no threshold.
        for criterion in [Gain::Average, Gain::Pooled] {
            let (gain, threshold) = best_threshold(criterion, &[0, 0, 4]).unwrap();
            assert!((gain - 1.0).abs() < 1e-12, "{gain}");
            assert_eq!(threshold, 2);
        }
        // 0 1 5 6, mean 3, variance (9 + 4 + 4 + 9) / 4 = 6.5. Split in the middle: both sides
        // have deviation 0.5, so the average gain is 1 − 0.5 / √6.5 = 0.80388; the variance left
        // is 0.25, so the pooled one is 1 − 0.25 / 6.5 = 0.96154.
        let (average, threshold) = best_threshold(Gain::Average, &[0, 1, 5, 6]).unwrap();
        assert!((average - 0.803_884).abs() < 1e-6, "{average}");
        assert_eq!(threshold, 3);
        let (pooled, _) = best_threshold(Gain::Pooled, &[0, 1, 5, 6]).unwrap();
        assert!((pooled - 0.961_538).abs() < 1e-6, "{pooled}");
        assert_eq!(best_threshold(Gain::Pooled, &[3, 3, 3]), None);
    }

    /// By the definition, in floating point, one threshold after the other.
    fn naive_gain(criterion: Gain, sorted: &[i64], n_left: usize) -> f64 {
        let variance = |values: &[i64]| {
            let mean = values.iter().sum::<i64>() as f64 / values.len() as f64;
            let square = |&x: &i64| (x as f64 - mean).powi(2);
            values.iter().map(square).sum::<f64>() / values.len() as f64
        };
        let (left, right) = sorted.split_at(n_left);
        match criterion {
            Gain::Average => {
                let deviations = variance(left).sqrt() + variance(right).sqrt();
                1.0 - deviations / (2.0 * variance(sorted).sqrt())
            }
            Gain::Pooled => {
                let inside =
                    left.len() as f64 * variance(left) + right.len() as f64 * variance(right);
                1.0 - inside / (sorted.len() as f64 * variance(sorted))
            }
        }
    }

    #[test]
    fn the_best_threshold_is_that_of_trying_all() {
        let mut random = Random(1);
        for case in 0..400 {
            let n = 2 + random.below(30) as usize;
            let reach = [3, 100, 1 << 33][case % 3];
            let mut values: Vec<i64> = (0..n).map(|_| random.within(-reach, reach)).collect();
            values.sort_unstable();
            for criterion in [Gain::Average, Gain::Pooled] {
                let cuts = (1..n).filter(|&k| values[k - 1] < values[k]);
                let most = cuts
                    .map(|k| naive_gain(criterion, &values, k))
                    .fold(f64::NEG_INFINITY, f64::max);
                let Some((gain, threshold)) = best_threshold(criterion, &values) else {
                    assert!(most.is_infinite());
                    continue;
                };
                assert!((gain - most).abs() < 1e-9, "{gain} instead of {most}");
                let n_left = values.partition_point(|&x| x <= threshold);
                let reached = naive_gain(criterion, &values, n_left);
                assert!((reached - most).abs() < 1e-9, "{reached} instead of {most}");
            }
        }
    }

    #[test]
    fn coefficients_are_divided_by_the_deviations_of_their_features() {
        // Deviations 1000 and 1: the first coefficient is about a thousandth of the second.
        let values = [-1000i16, -1, 1000, 1, -1000, 1, 1000, -1];
        let grower = Grower {
            table: Table { values: &values, n_features: 2 },
            max_depth: 9,
            extension_level: 1,
            rule: SplitRule::Uniform,
            cube: &[],
        };
        let rows = [0, 1, 2, 3];
        assert!((grower.standard_deviation(&rows, 0) - 1000.0).abs() < 1e-12);
        assert!((grower.standard_deviation(&rows, 1) - 1.0).abs() < 1e-12);
        let mut extremes = Extremes::default();
        grower.table.measure(&rows, &mut extremes);
        let mut rng = TreeRng::of_tree(1, 1);
        let ratio = |terms: &[Term]| f64::from(terms[0].weight) / f64::from(terms[1].weight);
        let small = (0..1000)
            .map(|_| grower.standardised_normal(&mut rng, &rows, &extremes))
            .filter(|terms| ratio(terms).abs() < 0.01)
            .count();
        // The ratio of two normal deviates is below 10 with probability 2/π·atan 10 = 0.937.
        assert!((900..970).contains(&small), "{small}");
    }
}
