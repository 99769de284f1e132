//! Lines and decisions: a pure function of (scores, cuts, CrossingId).
//!
//! A line accepts a crossing by its anomaly score or by cuts on its objects, and is prescaled by
//! a hash of (line name, CrossingId): the same crossings are kept whatever the number of threads
//! and the size of a batch.

mod columns;
mod cut;
mod menu;

pub use columns::Conditions;
pub use cut::{Cut, CutError, CutObject};
pub use menu::{LINES_MAX, Line, Menu, MenuError, Rule, ScoredModel, Threshold};

use std::num::NonZeroU32;

use scout40_models::Score;
use scout40_replay::lhc::CrossingId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// One bit per crossing of a batch of at most 512.
pub type Mask = [u64; 8];

/// Number of crossings in a mask.
#[must_use]
pub fn count(mask: &Mask) -> u64 {
    mask.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Crossings that are in both.
#[must_use]
pub fn and(a: &Mask, b: &Mask) -> Mask {
    std::array::from_fn(|i| a[i] & b[i])
}

/// The crossings of a mask, ascending.
pub fn lanes(mask: &Mask) -> impl Iterator<Item = usize> {
    mask.iter().enumerate().flat_map(|(word, &bits)| {
        let mut rest = bits;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(word * 64 + bit)
        })
    })
}

/// Crossings whose score is at least `threshold`.
///
/// **Real-time**: O(n), no branch on the data.
#[must_use]
pub fn at_least(scores: &[Score], threshold: Score) -> Mask {
    let mut mask = Mask::default();
    for (word, scores) in mask.iter_mut().zip(scores.chunks(64)) {
        for (bit, &score) in scores.iter().enumerate() {
            *word |= u64::from(score >= threshold) << bit;
        }
    }
    mask
}

/// Keeps one in `n` crossings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prescale {
    n: NonZeroU32,
    line_hash: u64,
}

impl Prescale {
    /// A prescale of the line with this name.
    #[must_use]
    pub fn new(line_name: &str, n: NonZeroU32) -> Prescale {
        Prescale { n, line_hash: xxh3_64(line_name.as_bytes()) }
    }

    /// Whether the line keeps this crossing.
    #[must_use]
    pub fn keeps(&self, id: CrossingId) -> bool {
        self.n.get() == 1
            || xxh3_64_with_seed(&id.to_bytes(), self.line_hash).is_multiple_of(self.n.get().into())
    }

    /// The crossings of a mask that the line keeps.
    #[must_use]
    pub fn apply(&self, mask: &Mask, id_of: impl Fn(usize) -> CrossingId) -> Mask {
        if self.n.get() == 1 {
            return *mask;
        }
        let mut kept = Mask::default();
        for lane in lanes(mask) {
            kept[lane / 64] |= u64::from(self.keeps(id_of(lane))) << (lane % 64);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(i: usize) -> CrossingId {
        CrossingId { run: 1, orbit: (i / 3564) as u32, bx: (i % 3564 + 1) as u16 }
    }

    #[test]
    fn a_mask_holds_exactly_the_scores_at_or_above_the_threshold() {
        let scores: Vec<Score> = (0..512).map(|i| (i * 37 % 101) - 50).collect();
        for n in [0, 1, 63, 64, 65, 500, 512] {
            for threshold in [Score::MIN, -50, 0, 7, 51, Score::MAX] {
                let mask = at_least(&scores[..n], threshold);
                let expected: Vec<usize> = (0..n).filter(|&i| scores[i] >= threshold).collect();
                assert_eq!(lanes(&mask).collect::<Vec<_>>(), expected);
                assert_eq!(count(&mask), expected.len() as u64);
            }
        }
    }

    #[test]
    fn a_prescale_keeps_one_in_n_whatever_the_batch() {
        let prescale = Prescale::new("line", NonZeroU32::new(10).unwrap());
        let all = [u64::MAX; 8];
        let whole = prescale.apply(&all, id);
        let shifted = prescale.apply(&all, |lane| id(lane + 64));
        assert_eq!(whole[1..], shifted[..7], "the same crossings in another batch");
        let kept = (0..100_000).filter(|&i| prescale.keeps(id(i))).count();
        // 10 000 expected, standard deviation 95: five of them.
        assert!(kept.abs_diff(10_000) < 475, "{kept}");
        let other = Prescale::new("other", NonZeroU32::new(10).unwrap());
        assert_ne!(other.apply(&all, id), whole, "lines are prescaled independently");
        let one = Prescale::new("line", NonZeroU32::MIN);
        assert_eq!(one.apply(&all, id), all);
    }
}
