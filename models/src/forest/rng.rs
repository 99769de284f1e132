//! The random choices of training, fixed for ever.
//!
//! A model has to come out the same wherever and whenever it is trained. So every tree has its
//! own xoshiro256++ stream, derived from the seed and the number of the tree by SplitMix64, and
//! what is drawn from it (bounded integers, samples, normal deviates) is defined here in integer
//! arithmetic: no version of a library and no mathematical function of a platform has a say.

use std::collections::HashSet;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use crate::uniform::below;

/// The random stream of one tree.
#[derive(Clone, Debug)]
pub(crate) struct TreeRng(Xoshiro256PlusPlus);

/// The output function of SplitMix64. **Source**: Steele, Lea, Flood, OOPSLA 2014.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl TreeRng {
    /// The stream of the tree with this number.
    pub(crate) fn of_tree(rng_seed: u64, tree: u64) -> TreeRng {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let start = mix(mix(rng_seed.wrapping_add(STEP)) ^ mix(tree.wrapping_mul(STEP) ^ STEP));
        let mut seed = [0; 32];
        for (k, word) in (1..).zip(seed.chunks_exact_mut(8)) {
            word.copy_from_slice(&mix(start.wrapping_add(STEP.wrapping_mul(k))).to_le_bytes());
        }
        TreeRng(Xoshiro256PlusPlus::from_seed(seed))
    }

    /// Uniform in 0..`n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        below(n, || self.0.next_u64())
    }

    /// Uniform in `min`..=`max`.
    pub(crate) fn within(&mut self, min: i16, max: i16) -> i16 {
        let span = (i32::from(max) - i32::from(min)) as u64 + 1;
        (i32::from(min) + self.below(span) as i32) as i16
    }

    /// Approximately normal, mean 0, standard deviation 65 536: the sum of twelve uniform
    /// 16-bit numbers less its mean. Tails end at six standard deviations.
    pub(crate) fn normal(&mut self) -> i64 {
        let mut sum = 0;
        for _ in 0..3 {
            let word = self.0.next_u64();
            sum += (0..4).map(|k| (word >> (16 * k) & 0xffff) as i64).sum::<i64>();
        }
        sum - 6 * 65_535
    }

    /// `k` different numbers below `n`, ascending; every set is as likely as any other.
    /// **Source**: R. Floyd in Bentley, "Programming pearls", CACM 30 (1987) 754.
    pub(crate) fn sample(&mut self, n: u64, k: u64) -> Vec<u64> {
        let mut chosen = HashSet::with_capacity(k as usize);
        for last in n - k..n {
            let candidate = self.below(last + 1);
            if !chosen.insert(candidate) {
                chosen.insert(last);
            }
        }
        let mut chosen: Vec<u64> = chosen.into_iter().collect();
        chosen.sort_unstable();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_those_of_the_first_release() {
        // If this fails, models no longer come out as they did: never change the numbers. They
        // are also what twenty lines of Python give that were written from the papers alone.
        let mut rng = TreeRng::of_tree(1, 0);
        let drawn: Vec<u64> = (0..4).map(|_| rng.below(1000)).collect();
        assert_eq!(drawn, FIRST_BELOW_1000);
        assert_eq!(rng.normal(), FIRST_NORMAL);
        assert_eq!(rng.sample(100, 5), FIRST_SAMPLE);
    }
    const FIRST_BELOW_1000: [u64; 4] = [358, 467, 666, 160];
    const FIRST_NORMAL: i64 = 17_131;
    const FIRST_SAMPLE: [u64; 5] = [9, 34, 55, 79, 80];

    #[test]
    fn trees_and_seeds_have_streams_of_their_own() {
        let mut first = HashSet::new();
        for rng_seed in 0..50 {
            for tree in 0..50 {
                assert!(first.insert(TreeRng::of_tree(rng_seed, tree).0.next_u64()));
            }
        }
    }

    #[test]
    fn bounded_integers_are_uniform() {
        // 70 000 draws in 7 bins: standard deviation 92.6; 6 of them fail once in 10^8 runs.
        let mut rng = TreeRng::of_tree(2, 0);
        let mut bins = [0i64; 7];
        (0..70_000).for_each(|_| bins[rng.below(7) as usize] += 1);
        assert!(bins.iter().all(|&n| (n - 10_000).abs() < 556), "{bins:?}");
        let mut rng = TreeRng::of_tree(3, 0);
        let drawn: HashSet<i16> = (0..200).map(|_| rng.within(-2, 2)).collect();
        assert_eq!(drawn, HashSet::from([-2, -1, 0, 1, 2]));
        assert!((0..1000).any(|_| rng.within(i16::MIN, i16::MAX) < -30_000));
    }

    #[test]
    fn normal_deviates_have_their_mean_and_width() {
        // 100 000 draws: the mean has a standard error of 207, the variance one of 0.4 %.
        let mut rng = TreeRng::of_tree(4, 0);
        let drawn: Vec<f64> = (0..100_000).map(|_| rng.normal() as f64).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 1e5 - mean * mean;
        assert!(mean.abs() < 1250.0, "{mean}");
        assert!((variance / 65_536f64.powi(2) - 1.0).abs() < 0.027, "{variance}");
    }

    #[test]
    fn samples_are_sets_and_every_number_is_as_likely() {
        // 3 of 10, 10 000 times: each number 3000 times, standard deviation 46.
        let mut rng = TreeRng::of_tree(5, 0);
        let mut counts = [0i64; 10];
        for _ in 0..10_000 {
            let sample = rng.sample(10, 3);
            assert!(sample.windows(2).all(|pair| pair[0] < pair[1]) && sample.len() == 3);
            sample.iter().for_each(|&k| counts[k as usize] += 1);
        }
        assert!(counts.iter().all(|&n| (n - 3000).abs() < 280), "{counts:?}");
        assert_eq!(rng.sample(4, 4), [0, 1, 2, 3]);
    }
}
