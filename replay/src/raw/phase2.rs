//! The object words of Phase-2 scouting: Puppi candidates and track muons.
//!
//! Source of the tables: the unpacker of the public Phase-2 scouting clients; `docs/formats.md`
//! has them. Spare bits are written as zero and not looked at.

/// The `width` bits from `first` on.
const fn bits(word: u64, first: u32, width: u32) -> u64 {
    word >> first & ((1 << width) - 1)
}

/// The same as a two's complement number.
const fn signed(word: u64, first: u32, width: u32) -> i16 {
    ((word << (64 - first - width)) as i64 >> (64 - width)) as i16
}

/// A number in `width` bits from `first` on; what does not fit is cut off.
const fn field(value: i64, first: u32, width: u32) -> u64 {
    (value as u64 & ((1 << width) - 1)) << first
}

/// Smallest `pid` of a charged candidate.
const FIRST_CHARGED_PID: u8 = 2;

/// A Puppi candidate: one word of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct Puppi {
    pub pt: i16,
    pub eta: i16,
    pub phi: i16,
    pub pid: u8,
    pub z0: i16,
    pub dxy: i16,
    pub qual: u8,
    pub weight: i16,
    pub id: u8,
}

impl Puppi {
    /// Reads a word. What the upper bits mean depends on the charge; what has no meaning is 0.
    #[must_use]
    pub fn from_word(word: u64) -> Puppi {
        let pid = bits(word, 37, 3) as u8;
        let base = Puppi {
            pt: bits(word, 0, 14) as i16,
            eta: signed(word, 14, 12),
            phi: signed(word, 26, 11),
            pid,
            ..Puppi::default()
        };
        if pid < FIRST_CHARGED_PID {
            let weight = bits(word, 40, 10) as i16;
            return Puppi { weight, id: bits(word, 50, 6) as u8, ..base };
        }
        Puppi {
            z0: signed(word, 40, 10),
            dxy: signed(word, 50, 8),
            qual: bits(word, 58, 3) as u8,
            ..base
        }
    }

    /// Its word.
    #[must_use]
    pub fn to_word(self) -> u64 {
        let base = field(self.pt.into(), 0, 14)
            | field(self.eta.into(), 14, 12)
            | field(self.phi.into(), 26, 11)
            | field(self.pid.into(), 37, 3);
        base | if self.pid < FIRST_CHARGED_PID {
            field(self.weight.into(), 40, 10) | field(self.id.into(), 50, 6)
        } else {
            field(self.z0.into(), 40, 10)
                | field(self.dxy.into(), 50, 8)
                | field(self.qual.into(), 58, 3)
        }
    }

    /// Whether the bits of a word that have no meaning are zero, as senders leave them.
    #[must_use]
    pub fn is_plausible(word: u64) -> bool {
        let first_spare = if bits(word, 37, 3) < FIRST_CHARGED_PID.into() { 56 } else { 61 };
        word >> first_spare == 0 && bits(word, 0, 14) > 0
    }
}

/// A muon with a track: 96 bits, two muons in three words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct TrackMuon {
    pub pt: i32,
    pub eta: i16,
    pub phi: i16,
    pub z0: i16,
    pub d0: i16,
    /// −1 or 1.
    pub charge: i16,
    pub qual: u8,
    pub iso: u8,
    pub beta: u8,
}

impl TrackMuon {
    /// Reads the lower 64 and the upper 32 bits; `None` without the valid bit.
    #[must_use]
    pub fn from_bits(low: u64, high: u32) -> Option<TrackMuon> {
        let high = u64::from(high);
        (bits(low, 0, 1) == 1).then(|| TrackMuon {
            pt: bits(low, 1, 16) as i32,
            phi: signed(low, 17, 13),
            eta: signed(low, 30, 14),
            z0: signed(low, 44, 10),
            d0: signed(low, 54, 10),
            charge: if bits(high, 0, 1) == 1 { -1 } else { 1 },
            qual: bits(high, 1, 4) as u8,
            iso: bits(high, 9, 4) as u8,
            beta: bits(high, 13, 4) as u8,
        })
    }

    /// The lower 64 and the upper 32 bits, valid.
    #[must_use]
    pub fn to_bits(self) -> (u64, u32) {
        let low = 1
            | field(self.pt.into(), 1, 16)
            | field(self.phi.into(), 17, 13)
            | field(self.eta.into(), 30, 14)
            | field(self.z0.into(), 44, 10)
            | field(self.d0.into(), 54, 10);
        let high = u64::from(self.charge < 0)
            | field(self.qual.into(), 1, 4)
            | field(self.iso.into(), 9, 4)
            | field(self.beta.into(), 13, 4);
        (low, high as u32)
    }

    /// Number of muons in so many words; `None` if no number of muons takes that many.
    #[must_use]
    pub const fn count_in_words(n_words: usize) -> Option<usize> {
        match n_words % 3 {
            0 | 2 => Some(n_words * 2 / 3),
            _ => None,
        }
    }

    /// The bits of the muons in these words, valid or not: lower 64 of the first, its upper 32
    /// and those of the second in one word, then the lower 64 of the second, of which the first
    /// 32 share a word with the upper ones.
    pub fn split(words: &[u64]) -> impl Iterator<Item = (u64, u32)> {
        let n = words.len() * 2 / 3;
        (0..n).map(move |k| {
            let first = k / 2 * 3;
            match k % 2 {
                0 => (words[first], words[first + 1] as u32),
                // Twelve bytes from the middle of a word on: upper 32 bits, then lower 64.
                _ => (words[first + 2], (words[first + 1] >> 32) as u32),
            }
        })
    }

    /// The words of these muons: the inverse of [`TrackMuon::split`].
    pub fn join(muons: &[TrackMuon], words: &mut Vec<u64>) {
        for pair in muons.chunks(2) {
            let (low, high) = pair[0].to_bits();
            let second = pair.get(1).map(|muon| muon.to_bits());
            words.push(low);
            words.push(u64::from(high) | second.map_or(0, |(_, high)| u64::from(high) << 32));
            words.extend(second.map(|(low, _)| low));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_charged_and_a_neutral_candidate_lie_where_the_table_says() {
        // From the table of the format, not from our encoder.
        let base = 81_u64 | ((-700_i64 as u64) & 0xfff) << 14 | ((-1000_i64 as u64) & 0x7ff) << 26;
        let charged = base | 3 << 37 | ((-12_i64 as u64) & 0x3ff) << 40 | 5 << 50 | 6 << 58;
        let expected = Puppi {
            pt: 81,
            eta: -700,
            phi: -1000,
            pid: 3,
            z0: -12,
            dxy: 5,
            qual: 6,
            ..Puppi::default()
        };
        assert_eq!(Puppi::from_word(charged), expected);
        assert_eq!(expected.to_word(), charged);
        let neutral = base | 1 << 37 | 256 << 40 | 33 << 50;
        let expected = Puppi {
            pt: 81,
            eta: -700,
            phi: -1000,
            pid: 1,
            weight: 256,
            id: 33,
            ..Puppi::default()
        };
        assert_eq!(Puppi::from_word(neutral), expected);
        assert_eq!(expected.to_word(), neutral);
        assert!(Puppi::is_plausible(charged) && !Puppi::is_plausible(charged | 1 << 61));
        assert!(Puppi::is_plausible(neutral) && !Puppi::is_plausible(neutral | 1 << 56));
    }

    #[test]
    fn a_track_muon_lies_where_the_table_says() {
        let low = 1_u64
            | 40_000 << 1
            | ((-4096_i64 as u64) & 0x1fff) << 17
            | 8191 << 30
            | ((-3_i64 as u64) & 0x3ff) << 44
            | 511 << 54;
        let high = 1 | 9 << 1 | 4 << 9 | 15 << 13;
        let muon = TrackMuon {
            pt: 40_000,
            phi: -4096,
            eta: 8191,
            z0: -3,
            d0: 511,
            charge: -1,
            qual: 9,
            iso: 4,
            beta: 15,
        };
        assert_eq!(TrackMuon::from_bits(low, high), Some(muon));
        assert_eq!(muon.to_bits(), (low, high));
        assert_eq!(TrackMuon::from_bits(low & !1, high), None);
        // The second of two begins in the middle of the second word, upper bits first.
        let bytes: Vec<u8> =
            [&low.to_le_bytes()[..], &high.to_le_bytes(), &high.to_le_bytes(), &low.to_le_bytes()]
                .concat();
        let words: Vec<u64> =
            bytes.as_chunks::<8>().0.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect();
        let split: Vec<_> = TrackMuon::split(&words).collect();
        assert_eq!(split, [(low, high), (low, high)]);
    }

    #[test]
    fn numbers_of_words_that_no_muons_take_are_told() {
        let counts: Vec<_> = (0..8).map(TrackMuon::count_in_words).collect();
        let expected = [Some(0), None, Some(1), Some(2), None, Some(3), Some(4), None];
        assert_eq!(counts, expected);
    }

    proptest! {
        #[test]
        fn every_word_survives_but_for_its_spare_bits(word: u64, high: u32) {
            let spare = if word >> 37 & 7 < 2 { 56 } else { 61 };
            prop_assert_eq!(Puppi::from_word(word).to_word(), word & ((1 << spare) - 1));
            let muon = TrackMuon::from_bits(word | 1, high).unwrap();
            prop_assert_eq!(muon.to_bits(), (word | 1, high & 0x1_fe1f));
        }

        #[test]
        fn muons_survive_their_words(lows in proptest::collection::vec(any::<u64>(), 0..9)) {
            let muons: Vec<TrackMuon> =
                lows.iter().map(|&low| TrackMuon::from_bits(low | 1, low as u32).unwrap()).collect();
            let mut words = Vec::new();
            TrackMuon::join(&muons, &mut words);
            prop_assert_eq!(TrackMuon::count_in_words(words.len()), Some(muons.len()));
            let split = TrackMuon::split(&words).map(|(low, high)| TrackMuon::from_bits(low, high));
            prop_assert_eq!(split.collect::<Option<Vec<_>>>(), Some(muons));
        }
    }
}
