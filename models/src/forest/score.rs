//! What the score of an isolation forest is, in numbers.
//!
//! Every metric is a constant per leaf, fixed when the forest is grown, and a mean over trees.
//! Each leaf value is rounded once, to `fraction_bits` fractional bits; sums of them are exact,
//! so every way to evaluate a forest gives the same score: −Σ over trees, higher = stranger. Only
//! two things depend on the [`Metric`]: what a leaf stands for, and how the mean v = −score /
//! (trees · 2^`fraction_bits`) is displayed. A leaf at depth d that k of ψ training rows reached
//! stands for:
//!
//! ```text
//! metric          value of a leaf                                        display
//! depth           d + c(k)                                               2^(−v / c(ψ))
//! adj_depth       c(k) + Σ over the splits above of 2 / (1 + 1 / 2p)     2^(−v / c(ψ))
//! adj_density     Π over the splits above of 2 / (1 + 1 / 2p)            2^(−v / c(ψ))
//! density         ln(k / ψ) − Σ over the splits above of ln f            −v
//! boxed_ratio     −B                                                     −v
//! boxed_density2  ln(k / ψ) − ln B                                       −v
//! boxed_density   ln(k / ψ) + ln B                                       −e^v
//! ```
//!
//! c(k) is what isolating k rows would still take on average, 2 (H(k) − 1). f is the share of
//! the range of a node's rows that its split leaves to the side taken, and p the share of its rows
//! that go there, divided by f. B is the volume of the leaf's box by that of all rows of the tree.
//!
//! **Source**: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, equations 1 and 2, for depth; the
//! harmonic number is summed exactly, where the paper takes ln(k) + 0.5772. The others are those
//! of Cortes, "Isolation forests: looking beyond tree depth", arXiv:2111.11639, as isotree 0.6.1
//! has them: documentation of `scoring_metric`, `src/utils.hpp`, `src/predict.hpp`.

use rkyv::{Archive, Deserialize, Serialize};

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

/// What the leaves of a forest stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Metric {
    /// Path length.
    #[default]
    Depth,
    /// Path length in which sparse sides of splits count less than dense ones.
    AdjDepth,
    /// Product of what [`Metric::AdjDepth`] sums.
    AdjDensity,
    /// Logarithm of rows by volume, measured in the range of each node's rows.
    Density,
    /// Volume of the leaf's box.
    BoxedRatio,
    /// Logarithm of rows by volume of the leaf's box.
    BoxedDensity2,
    /// As [`Metric::BoxedDensity2`], times the volume instead; for comparison only.
    BoxedDensity,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 7] = [
        Metric::Depth,
        Metric::AdjDepth,
        Metric::AdjDensity,
        Metric::Density,
        Metric::BoxedRatio,
        Metric::BoxedDensity2,
        Metric::BoxedDensity,
    ];

    /// Its name, as isotree has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Metric::Depth => "depth",
            Metric::AdjDepth => "adj_depth",
            Metric::AdjDensity => "adj_density",
            Metric::Density => "density",
            Metric::BoxedRatio => "boxed_ratio",
            Metric::BoxedDensity2 => "boxed_density2",
            Metric::BoxedDensity => "boxed_density",
        }
    }

    /// The metric with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether the display divides the mean by the average path length of the rows of a tree.
    /// The [normaliser](super::ForestParts::normaliser) of the others is 1.
    #[must_use]
    pub fn is_normalised(self) -> bool {
        matches!(self, Metric::Depth | Metric::AdjDepth | Metric::AdjDensity)
    }

    /// Whether leaves are path lengths, from which a forest may subtract one for each node whose
    /// [range](super::ForestParts::ranges) does not hold the event.
    #[must_use]
    pub fn takes_range_penalty(self) -> bool {
        matches!(self, Metric::Depth | Metric::AdjDepth)
    }

    /// Fractional bits that suit the values of its leaves: 4 for path lengths, which are integers
    /// but for c(k); 10 where leaves are real numbers of at most a few hundred; for volumes, which
    /// are below 1, as many as the sum over so many trees leaves room for.
    #[must_use]
    pub fn default_fraction_bits(self, n_trees: usize) -> u32 {
        match self {
            Metric::Depth => 4,
            Metric::BoxedRatio => {
                let most = (i32::MAX as usize - 1) / n_trees.max(1);
                most.max(1).ilog2().min(MAX_FRACTION_BITS)
            }
            _ => 10,
        }
    }

    /// What a leaf stands for in fixed point, rounded to the nearest.
    ///
    /// `value` is that of the table above but for the sign of [`Metric::BoxedRatio`], for which it
    /// is B: the larger the box, the stranger the event. So it is what isotree keeps in a leaf.
    /// Values beyond 32 bits become the largest: a forest of them is refused as its sum.
    #[must_use]
    pub fn leaf_value(self, value: f64, fraction_bits: u32) -> i32 {
        let sign = if self == Metric::BoxedRatio { -1.0 } else { 1.0 };
        (sign * value * f64::from(1 << fraction_bits)).round() as i32
    }

    /// The display of a score: never decreases as the score grows. It is isotree's `predict`.
    #[must_use]
    pub fn display(self, score: Score, n_trees: usize, fraction_bits: u32, normaliser: f64) -> f64 {
        let mean = -f64::from(score) / f64::from(1 << fraction_bits) / n_trees as f64;
        match self {
            Metric::Depth | Metric::AdjDepth | Metric::AdjDensity => (-mean / normaliser).exp2(),
            // Not −0 for the score 0.
            Metric::Density | Metric::BoxedRatio | Metric::BoxedDensity2 => 0.0 - mean,
            Metric::BoxedDensity => -mean.exp(),
        }
    }
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
        let depth = |value, bits| Metric::Depth.leaf_value(value, bits);
        assert_eq!(depth(1.0 + average_path_length(3), 4), 43, "2.6667 · 16 = 42.67");
        assert_eq!(depth(8.0, 0), 8);
        assert_eq!(depth(0.5, 16), 32_768);
        assert_eq!(depth(f64::INFINITY, 4), i32::MAX);
        assert_eq!(Metric::Density.leaf_value(-0.375, 2), -2, "-1.5 rounds away from zero");
        assert_eq!(Metric::BoxedRatio.leaf_value(0.25, 4), -4, "a large box is strange");
    }

    #[test]
    fn an_event_of_average_path_length_displays_one_half() {
        let c = average_path_length(256);
        for metric in [Metric::Depth, Metric::AdjDepth, Metric::AdjDensity] {
            let score = -100 * metric.leaf_value(c, 16);
            assert!((metric.display(score, 100, 16, c) - 0.5).abs() < 1e-6);
            assert!((metric.display(0, 100, 16, c) - 1.0).abs() < 1e-15);
            assert!(metric.is_normalised());
        }
    }

    #[test]
    fn densities_and_volumes_display_their_mean() {
        // Two trees, mean of ln(density) 1.5: isotree's standardised scores are −1.5, −e^1.5 for
        // boxed_density, and for boxed_ratio the mean volume, here 0.375.
        let score = -(Metric::Density.leaf_value(1.0, 10) + Metric::Density.leaf_value(2.0, 10));
        for metric in [Metric::Density, Metric::BoxedDensity2] {
            assert_eq!(metric.display(score, 2, 10, 1.0).to_bits(), (-1.5f64).to_bits());
        }
        let display = Metric::BoxedDensity.display(score, 2, 10, 1.0);
        assert!((display + 4.481_689_070).abs() < 1e-9);
        let ratio = |value| Metric::BoxedRatio.leaf_value(value, 24);
        let score = -(ratio(0.25) + ratio(0.5));
        assert!((Metric::BoxedRatio.display(score, 2, 24, 1.0) - 0.375).abs() < 1e-15);
        assert_eq!(Metric::Density.display(0, 2, 10, 1.0).to_bits(), 0);
    }

    #[test]
    fn no_display_decreases_as_the_score_grows() {
        for metric in Metric::ALL {
            let display = |score| metric.display(score, 3, 10, 1.5);
            let rises = (-20_000..20_000).all(|score| display(score) <= display(score + 1));
            assert!(rises, "{}", metric.name());
            assert!(display(i32::MIN + 2) <= display(-20_000), "{}", metric.name());
            assert!(display(20_000) <= display(i32::MAX - 1), "{}", metric.name());
        }
    }

    #[test]
    fn names_lead_to_their_metrics() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::from_name("boxed"), None);
    }

    #[test]
    fn volumes_get_as_many_bits_as_the_sum_over_trees_leaves_room_for() {
        // 2^31 − 2 by 100 trees is 21 474 836, above 2^24; by 200 trees it is below.
        let bits = |n_trees| Metric::BoxedRatio.default_fraction_bits(n_trees);
        assert_eq!([0, 1, 100, 127, 128, 200, 10_000].map(bits), [24, 24, 24, 24, 23, 23, 17]);
        assert!(10_000 << 17 < i32::MAX);
    }
}
