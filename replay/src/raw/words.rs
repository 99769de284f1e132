//! The object words of Run-3 scouting: muons, calorimeter objects, energy sums, muon stubs.
//!
//! They are the words that the global trigger gets. Each type here is one object in hardware
//! integers, with a function from its word or words and one to them. Bits that have no meaning
//! are written as zero and not looked at. Sources of the tables: CMSSW
//! `EventFilter/L1ScoutingRawToDigi/interface/{masks,shifts}.h`; `docs/formats.md` has them.

/// Bits `first..first + width` of a word.
const fn bits(word: u32, first: u32, width: u32) -> u32 {
    word >> first & ((1 << width) - 1)
}

/// The same as a two's complement number.
const fn signed(word: u32, first: u32, width: u32) -> i16 {
    ((word << (32 - first - width)) as i32 >> (32 - width)) as i16
}

/// A number in `width` bits from `first` on; what does not fit is cut off.
const fn field(value: i16, first: u32, width: u32) -> u32 {
    (value as u32 & ((1 << width) - 1)) << first
}

/// A muon of the global muon trigger: words f and s of 32 bits each, and what the scouting board
/// adds as a third one. Eta and phi are those at the vertex, `*_raw` those at the muon system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct Muon {
    pub pt: i16,
    pub eta: i16,
    pub phi: i16,
    pub qual: u8,
    pub iso: u8,
    /// −1, 1, or 0 where it is not valid.
    pub charge: i16,
    pub tf_index: u8,
    pub phi_raw: i16,
    pub eta_raw: i16,
    pub pt_unconstrained: i16,
    pub dxy: u8,
}

/// Which of the two muons of its link a muon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Muon {
    /// Bytes of a muon's three words.
    pub const BYTES: usize = 12;

    /// Reads the three words; `None` if the muon is marked as an intermediate one, which is no
    /// object of the global muon trigger.
    #[inline]
    #[must_use]
    pub fn from_words([f, s, extra]: [u32; 3]) -> Option<Muon> {
        if bits(extra, 31, 1) == 1 {
            return None;
        }
        let charge = match (bits(s, 3, 1), bits(s, 2, 1)) {
            (0, _) => 0,
            (_, 0) => 1,
            _ => -1,
        };
        let eta_raw_first = if bits(extra, 0, 1) == 0 { 13 } else { 22 };
        Some(Muon {
            pt: bits(f, 10, 9) as i16,
            eta: signed(f, 23, 9),
            phi: bits(f, 0, 10) as i16,
            qual: bits(f, 19, 4) as u8,
            iso: bits(s, 0, 2) as u8,
            charge,
            tf_index: bits(s, 4, 7) as u8,
            phi_raw: bits(s, 11, 10) as i16,
            eta_raw: signed(extra, eta_raw_first, 9),
            pt_unconstrained: bits(s, 21, 8) as i16,
            dxy: bits(s, 30, 2) as u8,
        })
    }

    /// The words f and s: the 64-bit word of the global muon trigger, lower half first.
    #[inline]
    #[must_use]
    pub fn to_words(self) -> [u32; 2] {
        let f = field(self.phi, 0, 10)
            | field(self.pt, 10, 9)
            | field(self.qual.into(), 19, 4)
            | field(self.eta, 23, 9);
        let s = field(self.iso.into(), 0, 2)
            | u32::from(self.charge < 0) << 2
            | u32::from(self.charge != 0) << 3
            | field(self.tf_index.into(), 4, 7)
            | field(self.phi_raw, 11, 10)
            | field(self.pt_unconstrained, 21, 8)
            | field(self.dxy.into(), 30, 2);
        [f, s]
    }

    /// The third word of a muon in slot `slot` of a link whose two muons have these raw etas.
    #[must_use]
    pub fn extra_word(bx: u16, slot: Slot, eta_raw: [i16; 2]) -> u32 {
        u32::from(bx) & 0x1ffe
            | u32::from(slot == Slot::B)
            | field(eta_raw[0], 13, 9)
            | field(eta_raw[1], 22, 9)
    }
}

/// A jet, an e/gamma or a tau: one word of 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct CaloObject {
    pub pt: i16,
    pub eta: i16,
    pub phi: i16,
    /// Isolation of e/gammas and taus, quality of jets: two bits.
    pub qual: u8,
    /// Jets only: flagged as displaced.
    pub displaced: bool,
}

impl CaloObject {
    /// Reads a jet.
    #[inline]
    #[must_use]
    pub fn from_jet_word(word: u32) -> CaloObject {
        CaloObject {
            pt: bits(word, 0, 11) as i16,
            eta: signed(word, 11, 8),
            phi: bits(word, 19, 8) as i16,
            qual: bits(word, 28, 2) as u8,
            displaced: bits(word, 27, 1) == 1,
        }
    }

    /// A jet's word.
    #[inline]
    #[must_use]
    pub fn to_jet_word(self) -> u32 {
        field(self.pt, 0, 11)
            | field(self.eta, 11, 8)
            | field(self.phi, 19, 8)
            | u32::from(self.displaced) << 27
            | field(self.qual.into(), 28, 2)
    }

    /// Reads an e/gamma or a tau.
    #[inline]
    #[must_use]
    pub fn from_egamma_word(word: u32) -> CaloObject {
        CaloObject {
            pt: bits(word, 0, 9) as i16,
            eta: signed(word, 9, 8),
            phi: bits(word, 17, 8) as i16,
            qual: bits(word, 25, 2) as u8,
            displaced: false,
        }
    }

    /// The word of an e/gamma or a tau.
    #[inline]
    #[must_use]
    pub fn to_egamma_word(self) -> u32 {
        field(self.pt, 0, 9)
            | field(self.eta, 9, 8)
            | field(self.phi, 17, 8)
            | field(self.qual.into(), 25, 2)
    }
}

/// A magnitude, its azimuth, and the asymmetry that comes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct VectorSum {
    pub pt: i16,
    pub phi: i16,
    pub asymmetry: i16,
}

/// The energy sums of one crossing: six words of 32 bits in fixed order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct Sums {
    pub et: i16,
    pub et_em: i16,
    pub ht: i16,
    pub tower_count: i16,
    pub met: VectorSum,
    pub mht: VectorSum,
    pub met_hf: VectorSum,
    pub mht_hf: VectorSum,
    /// Minimum-bias counts of the forward calorimeter: plus and minus side of threshold 0, then
    /// of threshold 1.
    pub min_bias: [u8; 4],
    /// All eight bits: CMSSW keeps two of each nibble.
    pub centrality: u8,
}

impl Sums {
    /// Bytes of the six words.
    pub const BYTES: usize = 24;

    /// Reads the six words.
    #[inline]
    #[must_use]
    pub fn from_words(words: [u32; 6]) -> Sums {
        let vector = |word: u32| VectorSum {
            pt: bits(word, 0, 12) as i16,
            phi: bits(word, 12, 8) as i16,
            asymmetry: bits(word, 20, 8) as i16,
        };
        let nibble = |word: u32| bits(word, 28, 4) as u8;
        let [et, ht, met, mht, met_hf, mht_hf] = words;
        Sums {
            et: bits(et, 0, 12) as i16,
            et_em: bits(et, 12, 12) as i16,
            ht: bits(ht, 0, 12) as i16,
            tower_count: bits(ht, 12, 13) as i16,
            met: vector(met),
            mht: vector(mht),
            met_hf: vector(met_hf),
            mht_hf: vector(mht_hf),
            min_bias: [nibble(et), nibble(ht), nibble(met), nibble(mht)],
            centrality: nibble(met_hf) | nibble(mht_hf) << 4,
        }
    }

    /// The six words.
    #[inline]
    #[must_use]
    pub fn to_words(self) -> [u32; 6] {
        let vector = |sum: VectorSum| {
            field(sum.pt, 0, 12) | field(sum.phi, 12, 8) | field(sum.asymmetry, 20, 8)
        };
        let nibble = |value: u8| u32::from(value & 0xf) << 28;
        [
            field(self.et, 0, 12) | field(self.et_em, 12, 12) | nibble(self.min_bias[0]),
            field(self.ht, 0, 12) | field(self.tower_count, 12, 13) | nibble(self.min_bias[1]),
            vector(self.met) | nibble(self.min_bias[2]),
            vector(self.mht) | nibble(self.min_bias[3]),
            vector(self.met_hf) | nibble(self.centrality),
            vector(self.mht_hf) | nibble(self.centrality >> 4),
        ]
    }
}

/// A stub of the barrel muon track finder: one word of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns of the event model")]
pub struct Stub {
    pub phi: i16,
    pub phi_b: i16,
    pub qual: u8,
    pub eta: u8,
    pub qeta: u8,
    /// 1 to 4.
    pub station: u8,
    /// −2 to 2 in the detector.
    pub wheel: i16,
}

impl Stub {
    /// Bytes of its word.
    pub const BYTES: usize = 8;

    /// Reads a word: the stub, and the crossing that it names. `None` without the valid bit.
    #[must_use]
    pub fn from_word(word: u64) -> Option<(Stub, u16)> {
        let (low, high) = (word as u32, (word >> 32) as u32);
        if bits(low, 0, 1) == 0 {
            return None;
        }
        let stub = Stub {
            phi: signed(low, 1, 12),
            phi_b: signed(low, 13, 10),
            qual: bits(low, 23, 3) as u8,
            // This field lies across the middle of the word.
            eta: (word >> 26 & 0x7f) as u8,
            qeta: bits(high, 1, 7) as u8,
            station: bits(high, 8, 2) as u8 + 1,
            wheel: signed(high, 10, 3),
        };
        Some((stub, (high >> 16) as u16))
    }

    /// Its word, with the valid bit.
    #[must_use]
    pub fn to_word(self, bx: u16) -> u64 {
        let low = 1 | field(self.phi, 1, 12) | field(self.phi_b, 13, 10);
        let high = field(self.qeta.into(), 1, 7)
            | field(i16::from(self.station) - 1, 8, 2)
            | field(self.wheel, 10, 3)
            | u32::from(bx) << 16;
        u64::from(low)
            | u64::from(self.qual & 7) << 23
            | u64::from(self.eta & 0x7f) << 26
            | u64::from(high) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The words of these tests were made by an independent encoder from the tables of the format.
    const FIRST: [u32; 3] = [0xce60_a52c, 0x82a9_b28f, 0x0df3_c02a];
    const SECOND: [u32; 3] = [0x1cc0_2c0a, 0x0000_6058, 0x0df3_c02b];

    #[test]
    fn golden_muons() {
        let first = Muon {
            pt: 41,
            qual: 12,
            eta: -100,
            phi: 300,
            iso: 3,
            charge: -1,
            tf_index: 40,
            phi_raw: 310,
            pt_unconstrained: 21,
            dxy: 2,
            eta_raw: -98,
        };
        let second = Muon {
            pt: 11,
            qual: 8,
            eta: 57,
            phi: 10,
            iso: 0,
            charge: 1,
            tf_index: 5,
            phi_raw: 12,
            pt_unconstrained: 0,
            dxy: 0,
            eta_raw: 55,
        };
        assert_eq!(Muon::from_words(FIRST), Some(first));
        assert_eq!(Muon::from_words(SECOND), Some(second));
        assert_eq!(first.to_words(), FIRST[..2]);
        assert_eq!(second.to_words(), SECOND[..2]);
        assert_eq!(Muon::extra_word(43, Slot::A, [-98, 55]), FIRST[2]);
        assert_eq!(Muon::extra_word(43, Slot::B, [-98, 55]), SECOND[2]);
    }

    #[test]
    fn golden_calorimeter_objects() {
        let jet = CaloObject { pt: 120, eta: -40, phi: 100, displaced: true, qual: 2 };
        assert_eq!(CaloObject::from_jet_word(0x2b26_c078), jet);
        assert_eq!(jet.to_jet_word(), 0x2b26_c078);
        let egamma = CaloObject { pt: 60, eta: -33, phi: 143, displaced: false, qual: 3 };
        assert_eq!(CaloObject::from_egamma_word(0x071f_be3c), egamma);
        assert_eq!(egamma.to_egamma_word(), 0x071f_be3c);
    }

    #[test]
    fn golden_stub() {
        let stub =
            Stub { phi: -5, phi_b: -3, qual: 6, eta: 0x15, qeta: 0x2a, station: 3, wheel: -2 };
        assert_eq!(Stub::from_word(0x002b_1a54_577f_bff7), Some((stub, 43)));
        assert_eq!(stub.to_word(43), 0x002b_1a54_577f_bff7);
        assert_eq!(Stub::from_word(0x002b_1a54_577f_bff6), None, "not valid");
    }

    #[test]
    fn intermediate_muons_and_invalid_charges_are_told() {
        assert_eq!(Muon::from_words([FIRST[0], FIRST[1], FIRST[2] | 1 << 31]), None);
        let without = Muon::from_words([FIRST[0], FIRST[1] & !(1 << 3), FIRST[2]]).unwrap();
        assert_eq!(without.charge, 0);
    }

    #[test]
    fn sums_lie_where_the_table_says() {
        // From the table of the format, not from our encoder.
        let words = [
            0x3_u32 << 28 | 1001 << 12 | 4095,
            0x5 << 28 | 8191 << 12 | 77,
            0x7 << 28 | 200 << 20 | 143 << 12 | 88,
            0x9 << 28 | 201 << 20 | 142 << 12 | 99,
            0xb << 28 | 202 << 20 | 141 << 12 | 11,
            0xd << 28 | 203 << 20 | 140 << 12 | 22,
        ];
        let sums = Sums::from_words(words);
        assert_eq!((sums.et, sums.et_em, sums.ht, sums.tower_count), (4095, 1001, 77, 8191));
        assert_eq!(sums.met, VectorSum { pt: 88, phi: 143, asymmetry: 200 });
        assert_eq!(sums.mht_hf, VectorSum { pt: 22, phi: 140, asymmetry: 203 });
        assert_eq!((sums.min_bias, sums.centrality), ([3, 5, 7, 9], 0xdb));
        assert_eq!(sums.to_words(), words);
    }

    proptest! {
        #[test]
        fn every_word_survives_but_for_its_spare_bits(f: u32, s: u32, bx in 1u16..=3564, e: i8) {
            if let Some(muon) = Muon::from_words([f, s, 0]) {
                let charge_mask = if s >> 3 & 1 == 0 { !(0b11 << 2) } else { !0 };
                prop_assert_eq!(muon.to_words(), [f, s & !(1 << 29) & charge_mask]);
                let extra = Muon::extra_word(bx, Slot::B, [0, e.into()]);
                let with_eta = Muon::from_words([f, s, extra]).unwrap();
                prop_assert_eq!(with_eta.eta_raw, i16::from(e));
            }
            prop_assert_eq!(CaloObject::from_jet_word(f).to_jet_word(), f & 0x3fff_ffff);
            prop_assert_eq!(CaloObject::from_egamma_word(f).to_egamma_word(), f & 0x07ff_ffff);
            let word = u64::from(s) << 32 | u64::from(f) | 1;
            let (stub, bx) = Stub::from_word(word).unwrap();
            prop_assert_eq!(stub.to_word(bx), word & !(7 << 45));
            let words = [f, s, f ^ s, !f, !s, f.rotate_left(7)];
            let mut expected = words;
            expected[0] &= 0xf0ff_ffff;
            expected[1] &= 0xf1ff_ffff;
            prop_assert_eq!(Sums::from_words(words).to_words(), expected);
        }
    }
}
