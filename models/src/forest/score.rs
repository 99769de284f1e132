//! What the score of an isolation forest is, in numbers.
//!
//! A leaf at depth d that k training rows reached stands for the path length d + c(k), where
//! c(k) is what isolating k rows would still take on average. Each leaf value is rounded once,
//! to `fraction_bits` fractional bits; sums of them are exact, so every way to evaluate a forest
//! gives the same score: −Σ over trees. The display is `2^(−E[h]/c(ψ))`, between 0 and 1, where
//! `E[h]` is the mean path length and ψ the rows per tree.
//!
//! **Source**: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, equations 1 and 2; the harmonic
//! number is summed exactly, where the paper takes ln(k) + 0.5772.

use crate::scorer::Score;

/// Most fractional bits of a score.
pub const MAX_FRACTION_BITS: u32 = 24;

/// Average path length c(n) of an unsuccessful search among `n` rows: 2 (H(n) − 1), 0 for n < 2.
#[must_use]
pub fn average_path_length(n: u64) -> f64 {
    (2..=n).fold(0.0, |sum, k| sum + 2.0 / k as f64)
}

/// Average path lengths c(0) to c(`n`). **Shape**: `n + 1`.
#[cfg(feature = "train")]
pub(crate) fn average_path_lengths(n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let mut grow = |k: usize| {
        if k >= 2 {
            sum += 2.0 / k as f64;
        }
        sum
    };
    (0..=n).map(&mut grow).collect()
}

/// A path length in fixed point, rounded to the nearest.
#[must_use]
pub fn leaf_value(path_length: f64, fraction_bits: u32) -> i32 {
    (path_length * f64::from(1 << fraction_bits)).round() as i32
}

/// `2^(−E[h]/c(ψ))` of a score.
#[must_use]
pub fn display(score: Score, n_trees: usize, fraction_bits: u32, normaliser: f64) -> f64 {
    let mean = -f64::from(score) / f64::from(1 << fraction_bits) / n_trees as f64;
    (-mean / normaliser).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_path_lengths_are_the_published_ones() {
        // isotree, table of expected_avg_depth; c(256) = 2 (H(256) − 1), H(256) = 6.124345…
        let published = [0.0, 0.0, 1.0, 1.666_667, 2.166_667, 2.566_667];
        for (n, expected) in published.into_iter().enumerate() {
            assert!((average_path_length(n as u64) - expected).abs() < 1e-6, "{n}");
        }
        assert!((average_path_length(256) - 10.248_689_925).abs() < 1e-8);
    }

    #[cfg(feature = "train")]
    #[test]
    fn the_table_has_the_same_numbers() {
        for (n, value) in average_path_lengths(1000).into_iter().enumerate() {
            assert_eq!(value.to_bits(), average_path_length(n as u64).to_bits(), "{n}");
        }
    }

    #[test]
    fn leaf_values_round_once_to_the_nearest() {
        assert_eq!(leaf_value(1.0 + average_path_length(3), 4), 43, "2.6667 · 16 = 42.67");
        assert_eq!(leaf_value(8.0, 0), 8);
        assert_eq!(leaf_value(0.5, 16), 32_768);
    }

    #[test]
    fn an_event_of_average_path_length_displays_one_half() {
        let c = average_path_length(256);
        let score = -100 * leaf_value(c, 16);
        assert!((display(score, 100, 16, c) - 0.5).abs() < 1e-6);
        assert!((display(0, 100, 16, c) - 1.0).abs() < 1e-15);
    }
}
