//! The random numbers of resampling, fixed for ever: the same seed gives the same errors wherever
//! and with however many threads.
//!
//! Every resample has its own xoshiro256++ stream, derived from the seed and its number.

use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};
use scout40_models::uniform::below;

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
}
