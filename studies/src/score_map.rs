//! Something for each score that occurs: a hash map with a hash that takes one multiplication.
//!
//! Samples have 10⁸ events and some thousands of different scores. A sorted map would spend most of the time of
//! a study on finding scores in it (135 to 170 ns per event, where scoring takes 40); order is needed only
//! once, at the end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use scout40_models::Score;

/// A value for each score.
pub(crate) type ScoreMap<V> = HashMap<Score, V, BuildHasherDefault<ScoreHasher>>;

/// The entries of a map, highest score first.
pub(crate) fn descending<V>(map: &ScoreMap<V>) -> Vec<(Score, &V)> {
    let mut entries: Vec<(Score, &V)> = map.iter().map(|(&score, value)| (score, value)).collect();
    entries.sort_unstable_by_key(|&(score, _)| std::cmp::Reverse(score));
    entries
}

/// Multiplies by an odd number near 2⁶⁴ / φ and folds the product, so that all bits of a score reach those that
/// the table looks at. **Source**: D. Knuth, TAOCP 3, 6.4.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScoreHasher(u64);

impl Hasher for ScoreHasher {
    fn write_i32(&mut self, score: i32) {
        let product = u128::from(score.cast_unsigned()) * 0x9E37_79B9_7F4A_7C15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_i32((self.0 as i32) ^ i32::from(byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, Hash as _};

    use super::*;

    #[test]
    fn neighbouring_scores_spread_over_the_table() {
        // Tables look at the lowest bits for the place and at the highest seven for the tag.
        let build = BuildHasherDefault::<ScoreHasher>::default();
        for step in [1, 16, 4096, 1 << 20] {
            let hashes: Vec<u64> = (-1024..1024).map(|k: i32| build.hash_one(k * step)).collect();
            let different = |f: &dyn Fn(u64) -> u64| {
                hashes.iter().map(|&hash| f(hash)).collect::<std::collections::HashSet<_>>().len()
            };
            // 2048 balls in as many boxes leave 63 % of them filled.
            let filled = different(&|hash| hash % 2048);
            assert!(filled > 1100, "step {step}: {filled}");
            assert_eq!(different(&|hash| hash >> 57), 128);
        }
        let mut hasher = ScoreHasher::default();
        7_i32.hash(&mut hasher);
        assert_eq!(hasher.finish(), build.hash_one(7_i32));
    }

    #[test]
    fn entries_come_highest_first() {
        let map: ScoreMap<u8> =
            [(3, 1), (-7, 2), (Score::MAX, 3), (Score::MIN, 4)].into_iter().collect();
        let scores: Vec<Score> = descending(&map).into_iter().map(|(score, _)| score).collect();
        assert_eq!(scores, [Score::MAX, 3, -7, Score::MIN]);
    }
}
