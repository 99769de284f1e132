//! Which lines of a menu accept the same events: pure counts, and counts of pairs.
//!
//! *Pure* is what a line alone accepts: what would be lost without it. Counts are of whatever the caller
//! gives, before or after prescales; rates of them are made by [`rate_khz`](crate::rate::rate_khz), like
//! those of lines. Events come as bits: a mask of events for each line ([`Overlaps::add_masks`]) or
//! a mask of lines for each event ([`Overlaps::add_event`]), which give the same counts.

/// Events that lines accepted, together and alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlaps {
    n_lines: usize,
    any: u64,
    pure: Vec<u64>,
    /// **Shape**: `(n_lines, n_lines)`, counted above the diagonal.
    both: Vec<u64>,
}

impl Overlaps {
    /// No events yet.
    #[must_use]
    pub fn new(n_lines: usize) -> Overlaps {
        let (pure, both) = (vec![0; n_lines], vec![0; n_lines * n_lines]);
        Overlaps { n_lines, any: 0, pure, both }
    }

    /// Adds the events whose bits are set in `of`: `lines` has the events that each line accepted.
    ///
    /// **Real-time**: allocates nothing; the square of the number of lines that accepted any.
    ///
    /// # Panics
    /// If there are more lines than announced.
    pub fn add_masks<const WORDS: usize>(&mut self, lines: &[[u64; WORDS]], of: &[u64; WORDS]) {
        assert!(lines.len() <= self.n_lines, "{} lines of {}", lines.len(), self.n_lines);
        let (any, several) = any_and_several(lines, of);
        let n_any = count(&any);
        self.any += n_any;
        if n_any == 0 {
            return;
        }
        for (a, line) in lines.iter().enumerate() {
            let line = and(line, of);
            let accepted = count(&line);
            if accepted == 0 {
                continue;
            }
            let shared = and(&line, &several);
            let n_shared = count(&shared);
            self.pure[a] += accepted - n_shared;
            if n_shared > 0 {
                for (b, other) in lines.iter().enumerate().skip(a + 1) {
                    self.both[a * self.n_lines + b] += count(&and(&shared, other));
                }
            }
        }
    }

    /// Adds one event: bit k of `lines` is set if line k accepted it.
    ///
    /// # Panics
    /// If it has a line beyond those announced.
    pub fn add_event(&mut self, lines: u64) {
        assert!(64 - lines.leading_zeros() as usize <= self.n_lines, "lines {lines:b}");
        self.any += u64::from(lines != 0);
        if lines.count_ones() == 1 {
            self.pure[lines.trailing_zeros() as usize] += 1;
        }
        let mut rest = lines;
        while rest != 0 {
            let a = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let mut others = rest;
            while others != 0 {
                self.both[a * self.n_lines + others.trailing_zeros() as usize] += 1;
                others &= others - 1;
            }
        }
    }

    /// Adds the events of another count of the same lines.
    ///
    /// # Panics
    /// If it has another number of lines.
    pub fn merge(&mut self, other: &Overlaps) {
        assert_eq!(self.n_lines, other.n_lines, "counts of the same lines");
        self.any += other.any;
        self.pure.iter_mut().zip(&other.pure).for_each(|(n, more)| *n += more);
        self.both.iter_mut().zip(&other.both).for_each(|(n, more)| *n += more);
    }

    /// Number of lines.
    #[must_use]
    pub fn n_lines(&self) -> usize {
        self.n_lines
    }

    /// Events that any line accepted.
    #[must_use]
    pub fn any(&self) -> u64 {
        self.any
    }

    /// Events that this line alone accepted.
    ///
    /// # Panics
    /// If there is no such line.
    #[must_use]
    pub fn pure(&self, line: usize) -> u64 {
        self.pure[line]
    }

    /// Events that both of two different lines accepted.
    ///
    /// # Panics
    /// If there are no such lines, or they are the same.
    #[must_use]
    pub fn both(&self, a: usize, b: usize) -> u64 {
        assert!(a != b && a.max(b) < self.n_lines, "lines {a} and {b} of {}", self.n_lines);
        self.both[a.min(b) * self.n_lines + a.max(b)]
    }
}

/// Events that any line accepted, and those that several did.
#[must_use]
pub fn any_and_several<const WORDS: usize>(
    lines: &[[u64; WORDS]],
    of: &[u64; WORDS],
) -> ([u64; WORDS], [u64; WORDS]) {
    let (mut any, mut several) = ([0; WORDS], [0; WORDS]);
    for line in lines {
        for (((any, several), line), of) in any.iter_mut().zip(&mut several).zip(line).zip(of) {
            let line = line & of;
            *several |= *any & line;
            *any |= line;
        }
    }
    (any, several)
}

fn and<const WORDS: usize>(a: &[u64; WORDS], b: &[u64; WORDS]) -> [u64; WORDS] {
    std::array::from_fn(|k| a[k] & b[k])
}

fn count<const WORDS: usize>(mask: &[u64; WORDS]) -> u64 {
    mask.iter().map(|word| u64::from(word.count_ones())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn three_lines_worked_by_hand() {
        let mut overlaps = Overlaps::new(3);
        for lines in [0b001, 0b011, 0b011, 0b111, 0b100, 0b000] {
            overlaps.add_event(lines);
        }
        assert_eq!((overlaps.any(), overlaps.n_lines()), (5, 3));
        assert_eq!([0, 1, 2].map(|k| overlaps.pure(k)), [1, 0, 1]);
        let pairs = [(0, 1), (1, 0), (0, 2), (1, 2)];
        assert_eq!(pairs.map(|(a, b)| overlaps.both(a, b)), [3, 3, 1, 1]);
    }

    #[test]
    fn masks_of_events_and_masks_of_lines_give_the_same_counts_in_any_parts() {
        let mut rng = Stream::of(7, 0);
        let mut by_event = Overlaps::new(9);
        let (mut by_mask, mut second) = (Overlaps::new(9), Overlaps::new(9));
        for part in 0..40 {
            let mut lines = [[0_u64; 8]; 9];
            let mut of = [0_u64; 8];
            for event in 0..512 {
                let (word, bit) = (event / 64, event % 64);
                let is_counted = rng.below(3) > 0;
                of[word] |= u64::from(is_counted) << bit;
                let accepted = (0..9).filter(|k| rng.below(2 + 5 * k) == 0);
                let accepted: u64 = accepted.map(|k| 1 << k).sum();
                for (k, line) in lines.iter_mut().enumerate() {
                    line[word] |= (accepted >> k & 1) << bit;
                }
                if is_counted {
                    by_event.add_event(accepted);
                }
            }
            if part % 2 == 0 { &mut by_mask } else { &mut second }.add_masks(&lines, &of);
        }
        by_mask.merge(&second);
        assert_eq!(by_mask, by_event);
        assert!(by_event.pure(8) > 0 && by_event.both(0, 8) > 0 && by_event.any() > 1000);
    }
}
