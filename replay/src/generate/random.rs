//! Random numbers that depend on seed and crossing alone, and functions that are the same everywhere.
//!
//! Every crossing has its own sequence: SplitMix64 from a start that seed and number determine. So
//! any thread can make any crossing, in any order, and always makes the same. Logarithms and powers
//! are computed here from additions, products and quotients: no mathematical library of a platform
//! has a say in what is generated.

use std::f64::consts::{LN_2, SQRT_2};

/// The increment of SplitMix64. **Source**: Steele, Lea, Flood, OOPSLA 2014.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

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
    pub(super) fn crossing(self, number: u64) -> Random {
        Random { state: mix(self.0.wrapping_add(number.wrapping_mul(STEP))) }
    }
}

/// The random numbers of one crossing.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    #[inline]
    pub(super) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Uniform in 0..2^32.
    #[inline]
    pub(super) fn bits(&mut self) -> u32 {
        (self.word() >> 32) as u32
    }

    /// Uniform in [0, 1), 53 bits.
    #[inline]
    pub(super) fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
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

/// e^x for |x| < 700, to 1e-15 of the result.
pub(super) fn exp(x: f64) -> f64 {
    let halvings = (x / LN_2).round();
    let rest = x - halvings * LN_2;
    let series = (1..=16).rev().fold(1.0, |sum, k| 1.0 + sum * rest / f64::from(k));
    series * f64::from_bits(((halvings as i64 + 1023) as u64) << 52)
}

/// x^p for positive x.
pub(super) fn power(x: f64, p: f64) -> f64 {
    exp((p * ln(x)).clamp(-600.0, 600.0))
}

/// Entries of the table that exponential deviates are interpolated in.
const EXPONENTIAL_STEPS: usize = 1 << 11;

/// Exponential deviates of mean 1 by the inverse of their distribution, tails included.
#[derive(Clone, Debug)]
pub(super) struct Exponential {
    /// ln(1 + i / steps).
    table: Vec<f64>,
}

impl Exponential {
    pub(super) fn new() -> Exponential {
        let steps = EXPONENTIAL_STEPS as f64;
        Exponential {
            table: (0..=EXPONENTIAL_STEPS + 1).map(|i| ln(1.0 + i as f64 / steps)).collect(),
        }
    }

    /// −ln(1 − v) for v = word / 2^64, to 3.1e-8; where it is below 2^-10, to 3e-10 of it.
    #[inline]
    pub(super) fn of_word(&self, word: u64) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 32) as f64 / (1_u64 << 32) as f64;
        if word >> 54 == 0 {
            let v = word as f64 * SCALE;
            return v * (1.0 + v * (0.5 + v * (1.0 / 3.0)));
        }
        // 1 − v, as a mantissa of 64 bits and an exponent.
        let rest = !word | 1;
        let zeros = rest.leading_zeros();
        let mantissa = rest << zeros;
        let fraction = (mantissa << 1) >> 11;
        let index = (fraction >> 42) as usize;
        let within = (fraction & ((1 << 42) - 1)) as f64 * (1.0 / (1_u64 << 42) as f64);
        let (low, high) = (self.table[index], self.table[index + 1]);
        f64::from(zeros + 1) * LN_2 - (low + (high - low) * within)
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
    fn exponential_deviates_are_the_inverse_of_their_distribution_in_both_tails() {
        let exponential = Exponential::new();
        let mut random = Seed::new(1).crossing(0);
        for shift in 0..60 {
            for _ in 0..200 {
                for word in [random.word() >> shift, !(random.word() >> shift)] {
                    let v = word as f64 / 2.0_f64.powi(64);
                    let expected = if v < 0.5 {
                        -(-v).ln_1p()
                    } else {
                        -((!word | 1) as f64 / 2.0_f64.powi(64)).ln()
                    };
                    let off = (exponential.of_word(word) - expected).abs();
                    let is_small = word >> 54 == 0;
                    let tolerance = if is_small { 3e-10 * expected } else { 3.1e-8 };
                    assert!(off <= tolerance, "{v}: off by {off} of {expected}");
                }
            }
        }
    }

    #[test]
    fn sequences_of_neighbouring_crossings_and_seeds_have_nothing_in_common() {
        let differ = |a: u64, b: u64| f64::from((a ^ b).count_ones());
        let first = |seed: u64, number: u64| Seed::new(seed).crossing(number).word();
        let n = 10_000;
        let numbers: f64 = (0..n).map(|i| differ(first(1, i), first(1, i + 1))).sum();
        let seeds: f64 = (0..n).map(|i| differ(first(i, 7), first(i + 1, 7))).sum();
        // The mean of 10^4 binomials of 64 bits has a standard deviation of 0.04.
        assert!((numbers / n as f64 - 32.0).abs() < 0.2);
        assert!((seeds / n as f64 - 32.0).abs() < 0.2);
    }
}
