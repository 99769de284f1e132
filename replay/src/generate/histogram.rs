//! Distributions of integers: as counts in a model, as alias tables in a generator.

use std::hint::select_unpredictable;

use rkyv::{Archive, Deserialize, Serialize};

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
        let within = |value: i64| (-(1 << 17)..1 << 17).contains(&value);
        self.weights.len() <= 1 << 16
            && within(i64::from(self.first))
            && self.weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
    }
}

/// Draws from histograms in constant time.
///
/// A table is small, so that many of them stay close: a column is one word, with the threshold in its
/// highest bits and the other place in as many of its lowest ones as number columns.
///
/// **Source**: Walker, ACM TOMS 3 (1977) 253; built as in Vose, IEEE TSE 17 (1991) 972.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    /// The smallest integer of all histograms.
    first: i32,
    /// Binary logarithm of the columns of each table: all have as many as the longest needs.
    log_columns: u32,
    columns: Vec<u32>,
}

impl Aliases {
    pub(super) fn new<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Aliases {
        let histograms: Vec<&Histogram> = histograms.into_iter().collect();
        // An empty one is of 0.
        let not_empty = || histograms.iter().filter(|histogram| !histogram.is_empty());
        let first = not_empty().map(|histogram| histogram.first).min().unwrap_or(0).min(0);
        let n =
            |histogram: &&&Histogram| (histogram.first - first) as usize + histogram.weights.len();
        let longest = not_empty().map(|histogram| n(&histogram)).max().unwrap_or(0);
        let longest = longest.max(1 + first.unsigned_abs() as usize);
        let log_columns = longest.next_power_of_two().trailing_zeros().max(1);
        let mut aliases = Aliases { first, log_columns, columns: Vec::new() };
        histograms.into_iter().for_each(|histogram| aliases.add(histogram));
        aliases
    }

    /// Of an empty histogram only ever 0 is drawn.
    fn add(&mut self, histogram: &Histogram) {
        let n = 1_usize << self.log_columns;
        let total: f64 = histogram.weights.iter().map(|&weight| f64::from(weight)).sum();
        let mut left = vec![0.0; n];
        if total > 0.0 {
            let places = &mut left[(histogram.first - self.first) as usize..];
            for (place, &weight) in places.iter_mut().zip(&histogram.weights) {
                *place = f64::from(weight) * n as f64 / total;
            }
        } else {
            left[(-self.first) as usize] = n as f64;
        }
        let likely = (0..n).max_by(|&a, &b| left[a].total_cmp(&left[b])).unwrap_or(0);
        let can_be: Vec<bool> = left.iter().map(|&weight| weight > 0.0).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| left[i] < 1.0);
        let steps = f64::from(u32::MAX >> self.log_columns) + 1.0;
        let column = |share: f64, other: usize| {
            ((share * steps).round() as u32) << self.log_columns | other as u32
        };
        let mut columns: Vec<u32> = (0..n as u32).collect();
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            // What is all but certain is the rounding of sums: then a threshold has no room.
            columns[low] = column(left[low].min(1.0 - 1.0 / steps), high);
            left[high] -= 1.0 - left[low];
            if left[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        // Rounding may leave what cannot be: it becomes what surely can.
        for place in small.into_iter().filter(|&place| !can_be[place]) {
            columns[place] = column(0.0, likely);
        }
        self.columns.extend(columns);
    }

    /// A value of histogram `table`, from a random number that is uniform in 0..2^32.
    #[inline]
    pub(super) fn draw(&self, table: usize, bits: u32) -> i32 {
        let place = bits >> (32 - self.log_columns);
        let column = self.columns[(table << self.log_columns) + place as usize];
        let (threshold, other) = self.parts(column);
        // As likely as not: a branch would often be taken in vain.
        let place = select_unpredictable(bits << self.log_columns < threshold, place, other);
        self.first + place as i32
    }

    /// 2^32 × the probability that a column stands for its own place, and the other place.
    #[inline]
    fn parts(&self, column: u32) -> (u32, u32) {
        let mask = (1 << self.log_columns) - 1;
        (column & !mask, column & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::random::Seed;

    #[test]
    fn an_alias_table_draws_each_value_as_often_as_it_was_seen() {
        let histogram = Histogram { first: -2, weights: vec![5.0, 0.0, 1.0, 100.0, 14.0] };
        let aliases = Aliases::new([&Histogram::default(), &histogram]);
        let random = Seed::new(3).crossing(0);
        let n = 1_000_000;
        let mut counts = [0_u32; 5];
        for i in 0..n {
            counts[(aliases.draw(1, random.halves(i)[0]) + 2) as usize] += 1;
        }
        for (&count, &weight) in counts.iter().zip(&histogram.weights) {
            let p = f64::from(weight) / 120.0;
            // 6 standard deviations: a chance of 2e-9 for each value.
            let sigma = (n as f64 * p * (1.0 - p)).sqrt();
            assert!((f64::from(count) - n as f64 * p).abs() <= 6.0 * sigma, "{counts:?}");
        }
        assert_eq!(aliases.draw(0, u32::MAX), 0);
    }

    #[test]
    fn columns_of_an_alias_table_add_up_to_the_histogram() {
        let weights: Vec<f32> = (0..137_u32).map(|i| (i * i % 97) as f32).collect();
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let aliases = Aliases::new([&Histogram { first: 0, weights: weights.clone() }]);
        let mut found = vec![0.0; weights.len()];
        let n = aliases.columns.len() as f64;
        for (place, &column) in aliases.columns.iter().enumerate() {
            let (threshold, other) = aliases.parts(column);
            let share = f64::from(threshold) / (1_u64 << 32) as f64;
            found[other as usize] += (1.0 - share) / n;
            if threshold > 0 {
                found[place] += share / n;
            }
        }
        for (found, &weight) in found.iter().zip(&weights) {
            // Shares of the 256 columns have 24 bits.
            assert!((found - f64::from(weight) / total).abs() < 1e-9, "{found} {weight}");
        }
    }

    #[test]
    fn a_histogram_counts_what_it_is_given() {
        let histogram = Histogram::of([3, -1, 3, 0].into_iter());
        assert_eq!(histogram, Histogram { first: -1, weights: vec![1.0, 1.0, 0.0, 0.0, 2.0] });
        assert!(Histogram::of(std::iter::empty()).is_empty());
    }
}
