//! Distributions of integers: as counts in a model, as alias tables in a generator.

use rkyv::{Archive, Deserialize, Serialize};

use super::random::Random;

/// How often each of neighbouring integers was seen.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The smallest integer.
    pub first: i32,
    /// How often it and those after it were seen, or how likely they are, in any unit.
    pub weights: Vec<f32>,
}

impl Histogram {
    /// Of values, each seen once.
    pub(super) fn of(values: impl Iterator<Item = i32>) -> Histogram {
        let mut counts = std::collections::BTreeMap::<i32, u32>::new();
        values.for_each(|value| *counts.entry(value).or_default() += 1);
        let (Some((&first, _)), Some((&last, _))) =
            (counts.first_key_value(), counts.last_key_value())
        else {
            return Histogram::default();
        };
        let mut weights = vec![0.0; (last - first) as usize + 1];
        counts.iter().for_each(|(value, &n)| weights[(value - first) as usize] = n as f32);
        Histogram { first, weights }
    }

    /// Whether nothing was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.weights.iter().all(|&weight| weight <= 0.0)
    }

    /// Weights that are finite, not negative, and few enough.
    pub(super) fn is_sound(&self) -> bool {
        let within = |value: i64| (-(1 << 24)..1 << 24).contains(&value);
        self.weights.len() <= 1 << 16
            && within(i64::from(self.first))
            && self.weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
    }
}

/// Draws from a histogram in constant time.
/// **Source**: Walker, ACM TOMS 3 (1977) 253; built as in Vose, IEEE TSE 17 (1991) 972.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    first: i32,
    /// Of each column: 2^32 × the probability to stay, and the other value.
    columns: Vec<(u32, u32)>,
}

impl Alias {
    /// Of an empty histogram only ever 0 is drawn.
    pub(super) fn new(histogram: &Histogram) -> Alias {
        let total: f64 = histogram.weights.iter().map(|&weight| f64::from(weight)).sum();
        if total <= 0.0 {
            return Alias { first: 0, columns: vec![(u32::MAX, 0)] };
        }
        let n = histogram.weights.len();
        let mut left: Vec<f64> =
            histogram.weights.iter().map(|&weight| f64::from(weight) * n as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| left[i] < 1.0);
        let mut columns: Vec<(u32, u32)> = (0..n).map(|i| (u32::MAX, i as u32)).collect();
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            columns[low] = ((left[low] * (1_u64 << 32) as f64) as u32, high as u32);
            left[high] -= 1.0 - left[low];
            if left[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        Alias { first: histogram.first, columns }
    }

    #[inline]
    pub(super) fn draw(&self, random: &mut Random) -> i32 {
        let product = u64::from(random.bits()) * self.columns.len() as u64;
        let column = (product >> 32) as usize;
        let (stays, other) = self.columns[column];
        let place = if (product as u32) < stays { column as u32 } else { other };
        self.first + place as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::random::Seed;

    #[test]
    fn an_alias_table_draws_each_value_as_often_as_it_was_seen() {
        let histogram = Histogram { first: -2, weights: vec![5.0, 0.0, 1.0, 100.0, 14.0] };
        let alias = Alias::new(&histogram);
        let mut random = Seed::new(3).crossing(0);
        let n = 1_000_000;
        let mut counts = [0_u32; 5];
        (0..n).for_each(|_| counts[(alias.draw(&mut random) + 2) as usize] += 1);
        for (&count, &weight) in counts.iter().zip(&histogram.weights) {
            let p = f64::from(weight) / 120.0;
            // 6 standard deviations: a chance of 2e-9 for each value.
            let sigma = (f64::from(n) * p * (1.0 - p)).sqrt();
            assert!((f64::from(count) - f64::from(n) * p).abs() <= 6.0 * sigma, "{counts:?}");
        }
        assert_eq!(Alias::new(&Histogram::default()).draw(&mut random), 0);
    }

    #[test]
    fn a_histogram_counts_what_it_is_given() {
        let histogram = Histogram::of([3, -1, 3, 0].into_iter());
        assert_eq!(histogram, Histogram { first: -1, weights: vec![1.0, 1.0, 0.0, 0.0, 2.0] });
        assert!(Histogram::of(std::iter::empty()).is_empty());
    }
}
