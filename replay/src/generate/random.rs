//! Random numbers that depend on seed and crossing alone, and functions that are the same everywhere.
//!
//! Every crossing has its own sequence: wyrand from a start that seed and number determine (by SplitMix64). Each
//! draw has its place in that sequence, whatever else is drawn. So any thread can make any crossing, in any
//! order, many at a time, and always makes the same. Logarithms and powers are computed here from
//! additions, products and quotients: no mathematical library of a platform has a say in what is
//! generated.

use std::f64::consts::{LN_2, SQRT_2};

/// The increment of SplitMix64. **Source**: Steele, Lea, Flood, OOPSLA 2014.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Constants of wyrand. **Source**: Wang Yi, wyhash, final version 4.
const WYRAND: [u64; 2] = [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9];

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Where the sequences of a seed begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn new(rng_seed: u64) -> Seed {
        Seed(mix(rng_seed.wrapping_add(STEP)))
    }

    /// The sequence of crossing `number`.
    #[inline]
    pub(super) fn crossing(self, number: u64) -> Random {
        Random(mix(self.0.wrapping_add(number.wrapping_mul(STEP))))
    }
}

/// The random numbers of one crossing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Random(u64);

impl Random {
    /// The number at a place of the sequence.
    #[inline]
    pub(super) fn word(self, place: usize) -> u64 {
        let at = self.0.wrapping_add(WYRAND[0].wrapping_mul(place as u64));
        let product = u128::from(at) * u128::from(at ^ WYRAND[1]);
        (product >> 64) as u64 ^ product as u64
    }

    /// The same as two numbers, uniform in 0..2^32.
    #[inline]
    pub(super) fn halves(self, place: usize) -> [u32; 2] {
        let word = self.word(place);
        [(word >> 32) as u32, word as u32]
    }

    /// The same, uniform in [0, 1), 53 bits.
    #[inline]
    pub(super) fn uniform(self, place: usize) -> f64 {
        (self.word(place) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

/// Natural logarithm of a positive normal number, to 1e-15.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh((m − 1) / (m + 1)), of which |argument| < 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = (0..12).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent as f64 * LN_2 + 2.0 * t * series
}

/// Quotients of neighbouring terms of the exponential series: 1 / k.
const EXP_QUOTIENTS: [f64; 16] = {
    let mut quotients = [1.0; 16];
    let mut k = 0;
    while k < 16 {
        quotients[k] = 1.0 / (k as f64 + 1.0);
        k += 1;
    }
    quotients
};

/// e^x for |x| < 700, to 1e-15 of the result.
pub(super) fn exp(x: f64) -> f64 {
    let halvings = (x / LN_2).round();
    let rest = x - halvings * LN_2;
    let series =
        EXP_QUOTIENTS.iter().rev().fold(1.0, |sum, quotient| 1.0 + sum * (rest * quotient));
    series * f64::from_bits(((halvings as i64 + 1023) as u64) << 52)
}

/// x^p for positive x.
pub(super) fn power(x: f64, p: f64) -> f64 {
    exp((p * ln(x)).clamp(-600.0, 600.0))
}

/// Layers of equal area that the exponential distribution is cut into: of so many, 0.6 % of numbers are at an edge.
const LAYERS: usize = 1024;
/// Where the tail begins, which is with what is below it the first layer: so that areas add up.
const TAIL: f64 = 9.256_164_544_265_543;

/// Exponential deviates of mean 1, tails included.
///
/// **Source**: Marsaglia, Tsang, J. Stat. Softw. 5 (2000) 8, with 53 bits.
#[derive(Clone, Debug)]
pub(super) struct Exponential {
    /// Of each layer: 2^53 × the share of it that is under the curve for certain, and its length / 2^53.
    layers: [(u64, f64); LAYERS],
    /// The curve's heights at the right edges of layers.
    heights: [f64; LAYERS + 1],
}

impl Exponential {
    pub(super) fn new() -> Exponential {
        let (edges, heights) = Exponential::edges();
        const STEPS: f64 = (1_u64 << 53) as f64;
        let certain = |i: usize| (edges[i + 1] / edges[i] * STEPS) as u64;
        Exponential { layers: std::array::from_fn(|i| (certain(i), edges[i] / STEPS)), heights }
    }

    /// Where the right edges of layers are, in descending order, and the curve's heights there.
    fn edges() -> ([f64; LAYERS + 1], [f64; LAYERS + 1]) {
        let area = (TAIL + 1.0) * exp(-TAIL);
        let (mut edges, mut heights) = ([0.0; LAYERS + 1], [1.0; LAYERS + 1]);
        // The first layer is as long as a rectangle of its area.
        (edges[0], heights[0]) = (area / exp(-TAIL), 0.0);
        (edges[1], heights[1]) = (TAIL, exp(-TAIL));
        for i in 2..LAYERS {
            heights[i] = heights[i - 1] + area / edges[i - 1];
            edges[i] = -ln(heights[i]);
        }
        (edges, heights)
    }

    /// The deviate that a random number stands for: nearly always its 53 highest bits in the layer of its
    /// lowest ones.
    #[inline]
    pub(super) fn of_word(&self, word: u64) -> f64 {
        let (certain, step) = self.layers[word as usize % LAYERS];
        let place = word >> 11;
        if place < certain { place as i64 as f64 * step } else { self.at_the_edge(word) }
    }

    /// Where a layer is not under the curve for certain; more random numbers follow from the first.
    #[cold]
    fn at_the_edge(&self, mut word: u64) -> f64 {
        let mut beyond = 0.0;
        loop {
            let i = word as usize % LAYERS;
            let (certain, step) = self.layers[i];
            let x = (word >> 11) as f64 * step;
            if word >> 11 < certain {
                return beyond + x;
            }
            word = mix(word.wrapping_add(STEP));
            if i == 0 {
                // The tail is as the whole.
                beyond += TAIL;
                continue;
            }
            let share = (word >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
            if self.heights[i] + share * (self.heights[i + 1] - self.heights[i]) < exp(-x) {
                return beyond + x;
            }
            word = mix(word.wrapping_add(STEP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_exponentials_are_those_of_the_library() {
        for i in 1..20_000 {
            let x = f64::from(i) * f64::from(i) * 1e-5;
            assert!((ln(x) - x.ln()).abs() < 2e-15 * (1.0 + x.ln().abs()), "{x}");
            let y = f64::from(i - 10_000) * 0.05;
            assert!((exp(y) / y.exp() - 1.0).abs() < 2e-13, "{y}");
            assert!((power(x, 1.7) / x.powf(1.7) - 1.0).abs() < 1e-13);
        }
    }

    #[test]
    fn layers_of_the_exponential_distribution_have_equal_areas_and_add_up_to_it() {
        let (Exponential { layers, .. }, (edges, heights)) =
            (Exponential::new(), Exponential::edges());
        let area = (TAIL + 1.0) * exp(-TAIL);
        let last = LAYERS - 1;
        assert!((heights[last] + area / edges[last] - 1.0).abs() < 1e-12);
        for i in 1..LAYERS {
            assert!((edges[i] * (heights[i + 1] - heights[i]) / area - 1.0).abs() < 1e-11, "{i}");
            assert!((heights[i] / exp(-edges[i]) - 1.0).abs() < 1e-12 && edges[i] > edges[i + 1]);
            assert!((layers[i].0 as f64 * layers[i].1 - edges[i + 1]).abs() < 1e-14);
        }
    }

    #[test]
    fn exponential_deviates_are_distributed_as_such_in_both_tails() {
        let random = Seed::new(1).crossing(0);
        assert_exponential((0..4_000_000).map(|place| random.word(place)));
    }

    #[test]
    fn deviates_of_one_place_in_successive_crossings_are_distributed_as_such_too() {
        let seed = Seed::new(2);
        for place in [0, 1, 40] {
            assert_exponential((0..4_000_000).map(|number| seed.crossing(number).word(place)));
        }
    }

    #[test]
    fn numbers_of_places_side_by_side_are_independent() {
        let seed = Seed::new(3);
        let n = 4_000_000;
        // By the highest and by the lowest bits of two places, which draws use apart.
        for shift in [60, 0] {
            let mut counts = [0_u32; 256];
            for number in 0..n {
                let random = seed.crossing(number);
                let [a, b] = [1, 2].map(|place| random.word(place) >> shift & 15);
                counts[(16 * a + b) as usize] += 1;
            }
            let expected = n as f64 / 256.0;
            let chi2: f64 =
                counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
            // 255 degrees of freedom: 6 standard deviations of 22.6.
            assert!((chi2 - 255.0).abs() < 136.0, "{chi2}");
        }
    }

    fn assert_exponential(words: impl Iterator<Item = u64>) {
        let exponential = Exponential::new();
        let mut deviates: Vec<f64> = words.map(|word| exponential.of_word(word)).collect();
        deviates.sort_by(f64::total_cmp);
        let n = deviates.len();
        let n = n as f64;
        // Kolmogorov's statistic, scaled: above 2.8 with a chance of 3e-7.
        let apart = |(i, &x): (usize, &f64)| {
            let below = 1.0 - exp(-x);
            (below - i as f64 / n).abs().max((below - (i as f64 + 1.0) / n).abs())
        };
        let most = deviates.iter().enumerate().map(apart).fold(0.0, f64::max);
        assert!(most * n.sqrt() < 2.8, "{most}");
        // Counts in the tails: 6 standard deviations.
        for x in [0.0001, 0.001, 0.01, 5.0, TAIL, 8.5, 10.0, 12.0] {
            let above = deviates.len() - deviates.partition_point(|&deviate| deviate < x);
            let p = exp(-x);
            let off = above as f64 - n * p;
            assert!(off.abs() < 6.0 * (n * p * (1.0 - p)).sqrt(), "{x}: off by {off}");
        }
        let mean = deviates.iter().sum::<f64>() / n;
        let square = deviates.iter().map(|x| x * x).sum::<f64>() / n;
        assert!((mean - 1.0).abs() < 6.0 / n.sqrt() && (square - 2.0).abs() < 27.0 / n.sqrt());
    }

    #[test]
    fn sequences_of_neighbouring_crossings_and_seeds_have_nothing_in_common() {
        let differ = |a: u64, b: u64| f64::from((a ^ b).count_ones());
        let first = |seed: u64, number: u64| Seed::new(seed).crossing(number).word(0);
        let n = 10_000;
        let numbers: f64 = (0..n).map(|i| differ(first(1, i), first(1, i + 1))).sum();
        let seeds: f64 = (0..n).map(|i| differ(first(i, 7), first(i + 1, 7))).sum();
        // The mean of 10^4 binomials of 64 bits has a standard deviation of 0.04.
        assert!((numbers / n as f64 - 32.0).abs() < 0.2);
        assert!((seeds / n as f64 - 32.0).abs() < 0.2);
    }
}
