//! The random numbers of resampling, fixed for ever: the same seed gives the same errors wherever
//! and with however many threads.
//!
//! Every resample has its own xoshiro256++ stream, derived from the seed and its number.

use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};
use scout40_models::uniform::below;
use statrs::function::gamma::ln_gamma;

/// The random stream of one resample.
#[derive(Clone, Debug)]
pub(crate) struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The stream with this number.
    pub(crate) fn of(rng_seed: u64, number: u64) -> Stream {
        let key = SplitMix64::seed_from_u64(rng_seed).next_u64();
        let stream = SplitMix64::seed_from_u64(key ^ number).next_u64();
        Stream(Xoshiro256PlusPlus::seed_from_u64(stream))
    }

    /// Uniform in 0..`n`.
    #[inline]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        below(n, || self.0.next_u64())
    }

    /// Uniform in [0, 1), of 53 bits.
    #[inline]
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * 2_f64.powi(-53)
    }

    /// From the standard normal distribution: the polar method, whose second deviate is not kept, so that
    /// a stream is nothing but its words.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// From the exponential distribution of mean 1.
    #[inline]
    pub(crate) fn exponential(&mut self) -> f64 {
        -(-self.uniform()).ln_1p()
    }

    /// From the Poisson distribution.
    /// **Source**: products of uniform numbers below a mean of 30 (Knuth); above, transformed rejection
    /// (W. Hörmann, Insurance: Math. and Economics 12 (1993) 39, algorithm PTRS).
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean < 30.0 {
            let (limit, mut product, mut n) = ((-mean).exp(), self.uniform(), 0);
            while product > limit {
                product *= self.uniform();
                n += 1;
            }
            return n;
        }
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let v_r = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let u_s = 0.5 - u.abs();
            let n = ((2.0 * a / u_s + b) * u + mean + 0.43).floor();
            if u_s >= 0.07 && v <= v_r {
                return n as u64;
            }
            if n < 0.0 || (u_s < 0.013 && v > u_s) {
                continue;
            }
            let left = (v * inverse_alpha / (a / (u_s * u_s) + b)).ln();
            if left <= n * mean.ln() - mean - ln_gamma(n + 1.0) {
                return n as u64;
            }
        }
    }

    /// Puts `n` of the items, drawn without replacement, in front.
    pub(crate) fn shuffle_front<T>(&mut self, items: &mut [T], n: usize) {
        for k in 0..n.min(items.len()) {
            let other = k + self.below((items.len() - k) as u64) as usize;
            items.swap(k, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_those_of_the_first_release() {
        // Also what twenty lines of Python give that were written from the papers.
        let mut stream = Stream::of(1, 0);
        let drawn: Vec<u64> = (0..6).map(|_| stream.below(1000)).collect();
        assert_eq!(drawn, FIRST_BELOW_1000);
        assert_ne!(Stream::of(1, 1).below(u64::MAX), Stream::of(1, 0).below(u64::MAX));
        assert_ne!(Stream::of(2, 0).below(u64::MAX), Stream::of(1, 0).below(u64::MAX));
    }
    const FIRST_BELOW_1000: [u64; 6] = [248, 442, 0, 348, 390, 183];

    #[test]
    fn bounded_integers_are_uniform() {
        // 70 000 draws in 7 bins: standard deviation 92.6; 6 of them fail once in 10^8 runs.
        let mut stream = Stream::of(2, 0);
        let mut bins = [0i64; 7];
        (0..70_000).for_each(|_| bins[stream.below(7) as usize] += 1);
        assert!(bins.iter().all(|&n| (n - 10_000).abs() < 556), "{bins:?}");
    }

    /// Largest distance between the drawn integers' distribution and the cumulative probabilities.
    fn poisson_distance(mean: f64, n: u64) -> f64 {
        let mut stream = Stream::of(3, 0);
        let mut counts = vec![0_u64; (2.0 * mean) as usize + 60];
        (0..n).for_each(|_| counts[stream.poisson(mean) as usize] += 1);
        let (mut drawn, mut expected, mut largest) = (0.0, 0.0, 0.0_f64);
        for (k, &count) in counts.iter().enumerate() {
            let k = k as f64;
            drawn += count as f64 / n as f64;
            expected += (k * mean.ln() - mean - ln_gamma(k + 1.0)).exp();
            largest = largest.max(f64::abs(drawn - expected));
        }
        largest
    }

    #[test]
    fn poisson_numbers_have_their_distribution_below_and_above_the_change_of_method() {
        // 2.6 / √n is exceeded once in a million (Kolmogorov; less often where values are discrete).
        for mean in [0.3, 12.0, 29.9, 30.1, 200.0, 2000.0] {
            let distance = poisson_distance(mean, 100_000);
            assert!(distance < 2.7 / 100_000_f64.sqrt(), "{mean}: {distance}");
        }
        assert_eq!(Stream::of(1, 1).poisson(0.0), 0);
    }

    #[test]
    fn normal_and_exponential_numbers_have_their_moments() {
        let mut stream = Stream::of(4, 0);
        let n = 200_000;
        let normal: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let exponential: Vec<f64> = (0..n).map(|_| stream.exponential()).collect();
        let mean = |values: &[f64], power: i32| {
            values.iter().map(|x| x.powi(power)).sum::<f64>() / f64::from(n)
        };
        // (list, power, expectation, variance of that power); five standard deviations.
        let moments = [
            (&normal, 1, 0.0, 1.0),
            (&normal, 2, 1.0, 2.0),
            (&normal, 4, 3.0, 96.0),
            (&exponential, 1, 1.0, 1.0),
            (&exponential, 2, 2.0, 20.0),
        ];
        for (values, power, expected, variance) in moments {
            let (found, allowed) = (mean(values, power), 5.0 * f64::sqrt(variance / f64::from(n)));
            assert!((found - expected).abs() < allowed, "{power}: {found}");
        }
    }

    #[test]
    fn a_front_is_drawn_without_replacement_and_uniformly() {
        let mut hits = [0_u32; 10];
        for number in 0..10_000 {
            let mut items: Vec<usize> = (0..10).collect();
            Stream::of(5, number).shuffle_front(&mut items, 3);
            items[..3].iter().for_each(|&item| hits[item] += 1);
            items.sort_unstable();
            assert_eq!(items, (0..10).collect::<Vec<_>>());
        }
        // 3000 expected, standard deviation 46.
        assert!(hits.iter().all(|&n| n.abs_diff(3000) < 275), "{hits:?}");
    }
}
