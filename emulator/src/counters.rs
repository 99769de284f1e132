//! What happened to every crossing, and the law that nothing is lost unseen.

use serde::Serialize;

/// Crossings by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Handed to the clock.
    pub read: u64,
    /// Scored and decided.
    pub scored: u64,
    /// Accepted by at least one line, after prescales.
    pub accepted: u64,
    /// Arrival ring overwritten before a worker came.
    pub dropped: u64,
    /// Lost because the source was cut.
    pub truncated: u64,
    /// Lost because a checksum did not match.
    pub corrupt: u64,
}

impl Counts {
    /// `read = scored + dropped + truncated + corrupt`.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.read == self.scored + self.dropped + self.truncated + self.corrupt
    }
}

/// Trouble that is not a loss of crossings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Batches that a worker waited for although they were due: the emulator's own failure.
    pub starved_batches: u64,
    /// Times that crossings were due which the source had not delivered: the clock waited.
    pub source_gaps: u64,
    /// How long it waited in all.
    pub source_gaps_us: u64,
    /// Crossings that never came though the sender had them, as far as they are known: not read.
    pub missing_crossings: u64,
    /// Blocks behind a damaged one in a file without index: nobody knows how many.
    pub lost_tails: u64,
    /// What was wrong with the source, the first few in words.
    pub problems: Vec<String>,
    /// Problems beyond those.
    pub problems_untold: u64,
}

impl Trouble {
    /// Most problems that are told in words.
    const TOLD_MAX: usize = 20;

    /// Notes a problem of the source.
    pub fn note(&mut self, problem: String) {
        if self.problems.len() < Self::TOLD_MAX {
            self.problems.push(problem);
        } else {
            self.problems_untold += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_crossing_must_be_accounted_for() {
        let mut counts =
            Counts { read: 10, scored: 4, accepted: 1, dropped: 3, truncated: 2, corrupt: 1 };
        assert!(counts.is_conserved());
        counts.scored += 1;
        assert!(!counts.is_conserved());
    }

    #[test]
    fn only_the_first_problems_are_told_in_words() {
        let mut trouble = Trouble::default();
        (0..25).for_each(|i| trouble.note(i.to_string()));
        assert_eq!((trouble.problems.len(), trouble.problems_untold), (20, 5));
    }
}
