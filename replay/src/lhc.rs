//! The machine: bunch-crossing slots, orbits, luminosity sections and filling schemes.
//!
//! One orbit of the LHC has 3564 slots of about 25 ns, numbered 1 to 3564 as CMS software does.
//! A filling scheme says in which of them bunches collide. The slots of a run are also counted
//! from its start, orbit after orbit, as a plain `u64` ([`slot_at`]); the clock turns such a
//! count into a due time.
//!
//! This module knows no events and no wall clock.

use std::fmt;

/// Bunch-crossing slots in one orbit.
pub const SLOTS_PER_ORBIT: u32 = 3564;
/// Frequency of the slots in Hz: 40.0790 MHz.
pub const LHC_CLOCK_HZ: u64 = 40_079_000;
/// Frequency of the orbits in Hz: 11 245.5 Hz.
pub const ORBIT_RATE_HZ: f64 = LHC_CLOCK_HZ as f64 / SLOTS_PER_ORBIT as f64;
/// Orbits in one luminosity section: 2^18, about 23.3 s.
pub const ORBITS_PER_LUMI_SECTION: u32 = 1 << 18;

const _: () = assert!(LHC_CLOCK_HZ / SLOTS_PER_ORBIT as u64 == 11_245);
const _: () = assert!(SLOTS_PER_ORBIT <= u16::MAX as u32);

/// Number of a bunch crossing within its orbit: 1 to 3564.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bx(u16);

impl Bx {
    /// The first crossing of an orbit.
    pub const FIRST: Bx = Bx(1);
    /// The last crossing of an orbit.
    pub const LAST: Bx = Bx(SLOTS_PER_ORBIT as u16);

    /// `None` unless `number` is in 1 to 3564.
    #[must_use]
    pub fn new(number: u32) -> Option<Bx> {
        (1..=SLOTS_PER_ORBIT).contains(&number).then_some(Bx(number as u16))
    }

    /// The number, 1 to 3564.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Bx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which crossing an event was recorded in; the sort key everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrossingId {
    /// Run number.
    pub run: u32,
    /// Orbit number within the run.
    pub orbit: u32,
    /// Crossing number within the orbit, 1 to 3564.
    pub bx: u16,
}

impl CrossingId {
    /// The twelve bytes that keyed hashes are made of: run, orbit, bx, each little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[0..4].copy_from_slice(&self.run.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.orbit.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.bx.to_le_bytes());
        bytes
    }
}

impl fmt::Display for CrossingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} orbit {} bx {}", self.run, self.orbit, self.bx)
    }
}

/// Luminosity section of an orbit, 1-based: `(orbit >> 18) + 1`.
#[must_use]
pub fn lumi_section_of_orbit(orbit: u32) -> u32 {
    orbit / ORBITS_PER_LUMI_SECTION + 1
}

/// Slots from the start of orbit 0 to crossing `bx` of orbit `orbit`.
#[must_use]
pub fn slot_at(orbit: u64, bx: u16) -> u64 {
    orbit * u64::from(SLOTS_PER_ORBIT) + u64::from(bx) - 1
}

/// A run of neighbouring slots: `first..first + len`, 0-based within the orbit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// First slot, 0-based.
    pub first: u16,
    /// Number of slots.
    pub len: u16,
}

/// In which slots of an orbit bunches collide.
///
/// Never empty, always in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillingScheme {
    name: String,
    trains: Vec<Train>,
    slots: Vec<u16>,
}

/// Why a filling scheme was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemeError {
    /// No slot collides.
    #[error("filling scheme `{0}` has no colliding crossing")]
    Empty(String),
    /// A range leaves the orbit or runs backwards.
    #[error(
        "filling scheme `{name}`: expected crossings first <= last within 1..=3564, found {first}-{last}"
    )]
    Range {
        /// Name of the scheme.
        name: String,
        /// First crossing as given.
        first: u32,
        /// Last crossing as given.
        last: u32,
    },
    /// Two ranges overlap or are out of order.
    #[error("filling scheme `{name}`: crossing {bx} is not after the range before it")]
    Order {
        /// Name of the scheme.
        name: String,
        /// Where the order breaks.
        bx: u32,
    },
    /// The TOML text does not hold a scheme.
    #[error("filling scheme file: {0}")]
    Toml(String),
}

/// How a filling scheme is written in TOML.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemeFile {
    name: String,
    /// Colliding crossings as `[first, last]` pairs, 1-based and inclusive.
    colliding: Vec<[u32; 2]>,
}

impl FillingScheme {
    /// The synthetic LHC scheme: 12 non-colliding bunches, then trains of 72 with SPS and LHC
    /// injection gaps, an abort gap at the end. 2748 colliding slots.
    #[must_use]
    pub fn lhc() -> FillingScheme {
        const TRAIN: u16 = 72;
        const SPS_GAP: u16 = 7;
        const LHC_GAP: u16 = 31;
        let mut trains = Vec::new();
        let mut slot = 12 + LHC_GAP;
        for _injection in 0..9 {
            for _train in 0..4 {
                trains.push(Train { first: slot, len: TRAIN });
                slot += TRAIN + SPS_GAP;
            }
            slot += LHC_GAP - SPS_GAP;
        }
        for len in [TRAIN, TRAIN, 12] {
            trains.push(Train { first: slot, len });
            slot += len + SPS_GAP;
        }
        Self::from_trains("lhc".into(), trains)
    }

    /// Every slot collides: 40 MHz.
    #[must_use]
    pub fn all() -> FillingScheme {
        Self::from_trains("all".into(), vec![Train { first: 0, len: SLOTS_PER_ORBIT as u16 }])
    }

    /// One colliding slot per orbit, the first.
    #[must_use]
    pub fn single() -> FillingScheme {
        Self::from_trains("single".into(), vec![Train { first: 0, len: 1 }])
    }

    /// From crossing ranges `[first, last]`, 1-based, inclusive, ascending.
    ///
    /// # Errors
    /// A range outside the orbit, out of order or overlapping; no range at all.
    pub fn from_ranges(name: &str, ranges: &[[u32; 2]]) -> Result<FillingScheme, SchemeError> {
        let mut trains: Vec<Train> = Vec::with_capacity(ranges.len());
        let mut last_used = 0;
        for &[first, last] in ranges {
            if Bx::new(first).is_none() || Bx::new(last).is_none() || first > last {
                return Err(SchemeError::Range { name: name.into(), first, last });
            }
            if first <= last_used {
                return Err(SchemeError::Order { name: name.into(), bx: first });
            }
            let len = (last - first + 1) as u16;
            match trains.last_mut() {
                Some(train) if first == last_used + 1 => train.len += len,
                _ => trains.push(Train { first: (first - 1) as u16, len }),
            }
            last_used = last;
        }
        if trains.is_empty() {
            return Err(SchemeError::Empty(name.into()));
        }
        Ok(Self::from_trains(name.into(), trains))
    }

    /// From the text of a TOML file: `name = "..."`, `colliding = [[1, 72], [80, 151]]`.
    ///
    /// # Errors
    /// Text that is no such file, or a scheme that [`FillingScheme::from_ranges`] refuses.
    pub fn from_toml(text: &str) -> Result<FillingScheme, SchemeError> {
        let file: SchemeFile =
            toml::from_str(text).map_err(|error| SchemeError::Toml(error.to_string()))?;
        Self::from_ranges(&file.name, &file.colliding)
    }

    fn from_trains(name: String, trains: Vec<Train>) -> FillingScheme {
        let slots = trains.iter().flat_map(|t| t.first..t.first + t.len).collect();
        FillingScheme { name, trains, slots }
    }

    /// Name as given: `lhc`, `all`, `single`, or the file's own.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs of neighbouring colliding slots, ascending.
    #[must_use]
    pub fn trains(&self) -> &[Train] {
        &self.trains
    }

    /// Colliding slots, 0-based, ascending.
    #[must_use]
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Number of colliding slots per orbit.
    #[must_use]
    pub fn n_colliding(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Colliding crossings as `[first, last]`, 1-based and inclusive: what a file stores.
    #[must_use]
    pub fn ranges(&self) -> Vec<[u32; 2]> {
        let range = |t: &Train| [u32::from(t.first) + 1, u32::from(t.first + t.len)];
        self.trains.iter().map(range).collect()
    }

    /// Rate of colliding crossings in Hz, at the LHC's orbit frequency.
    #[must_use]
    pub fn collision_rate_hz(&self) -> f64 {
        f64::from(self.n_colliding()) * ORBIT_RATE_HZ
    }

    /// Colliding slots from crossing `n` of the run to the end of its train, itself included.
    #[must_use]
    pub fn slots_left_in_train(&self, n: u64) -> usize {
        let slot = self.slots[(n % self.slots.len() as u64) as usize];
        let train = self.trains.partition_point(|t| t.first <= slot) - 1;
        usize::from(self.trains[train].first + self.trains[train].len - slot)
    }

    /// Slot of the run, counted from its first orbit, in which colliding crossing `n` happens.
    #[must_use]
    pub fn slot_of_nth(&self, n: u64) -> u64 {
        let per_orbit = self.slots.len() as u64;
        let slot = self.slots[(n % per_orbit) as usize];
        n / per_orbit * u64::from(SLOTS_PER_ORBIT) + u64::from(slot)
    }

    /// Number of the first colliding slot that is not before `slot`.
    #[must_use]
    pub fn first_from(&self, slot: u64) -> u64 {
        let (orbit, within) =
            (slot / u64::from(SLOTS_PER_ORBIT), slot % u64::from(SLOTS_PER_ORBIT));
        let before = self.slots.partition_point(|&colliding| u64::from(colliding) < within);
        orbit * u64::from(self.n_colliding()) + before as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lhc_scheme_has_2748_colliding_slots_and_an_abort_gap_of_3_microseconds() {
        let lhc = FillingScheme::lhc();
        assert_eq!(lhc.n_colliding(), 2748);
        assert_eq!(lhc.slots()[0], 43, "12 non-colliding bunches and 31 empty slots come first");
        let last = *lhc.slots().last().unwrap();
        assert!(SLOTS_PER_ORBIT - u32::from(last) > 121, "abort gap of at least 3.05 us");
        assert!((lhc.collision_rate_hz() / 1e6 - 30.90).abs() < 0.005);
        let trains_of_72 = lhc.trains().iter().filter(|t| t.len == 72).count();
        assert_eq!((trains_of_72, lhc.trains().len()), (38, 39));
    }

    #[test]
    fn gaps_of_the_lhc_scheme_are_7_within_and_31_between_injections() {
        let lhc = FillingScheme::lhc();
        let gap = |pair: &[Train]| pair[1].first - pair[0].first - pair[0].len;
        let gaps: Vec<u16> = lhc.trains().windows(2).map(gap).collect();
        assert_eq!(gaps.iter().filter(|&&g| g == 31).count(), 9);
        assert_eq!(gaps.iter().filter(|&&g| g == 7).count(), 9 * 3 + 2);
        assert_eq!(gaps.len(), 38);
    }

    #[test]
    fn the_nth_event_goes_to_the_nth_colliding_slot_of_the_run() {
        let lhc = FillingScheme::lhc();
        assert_eq!(lhc.slot_of_nth(0), 43);
        assert_eq!(lhc.slot_of_nth(72), 43 + 72 + 7);
        assert_eq!(lhc.slot_of_nth(2748), 3564 + 43);
        assert_eq!(FillingScheme::all().slot_of_nth(3564 * 5 + 7), 3564 * 5 + 7);
        assert_eq!(FillingScheme::single().slot_of_nth(3), 3 * 3564);
    }

    #[test]
    fn ranges_survive_a_round_trip() {
        let lhc = FillingScheme::lhc();
        assert_eq!(FillingScheme::from_ranges("lhc", &lhc.ranges()).unwrap(), lhc);
    }

    #[test]
    fn a_scheme_file_is_read_and_neighbouring_ranges_are_joined() {
        let scheme =
            FillingScheme::from_toml("name = 'x'\ncolliding = [[1, 3], [4, 4], [3564, 3564]]")
                .unwrap();
        assert_eq!(scheme.slots(), [0, 1, 2, 3, 3563]);
        assert_eq!(scheme.trains().len(), 2);
    }

    #[test]
    fn bad_schemes_are_refused_with_the_reason() {
        let refuse = |ranges: &[[u32; 2]]| FillingScheme::from_ranges("x", ranges).unwrap_err();
        assert!(matches!(refuse(&[]), SchemeError::Empty(_)));
        assert!(matches!(refuse(&[[0, 5]]), SchemeError::Range { first: 0, .. }));
        assert!(matches!(refuse(&[[7, 5]]), SchemeError::Range { .. }));
        assert!(matches!(refuse(&[[1, 3565]]), SchemeError::Range { last: 3565, .. }));
        assert!(matches!(refuse(&[[1, 5], [5, 6]]), SchemeError::Order { bx: 5, .. }));
        let toml = FillingScheme::from_toml("name = 'x'\ncolliding = [[1, 2]]\nfoo = 1");
        assert!(matches!(toml, Err(SchemeError::Toml(_))));
    }

    #[test]
    fn crossing_numbers_are_1_to_3564() {
        assert!(Bx::new(0).is_none() && Bx::new(3565).is_none() && Bx::new(65_537).is_none());
        assert_eq!(Bx::new(3564), Some(Bx::LAST));
        assert_eq!(slot_at(2, 1), 2 * 3564);
        assert_eq!(lumi_section_of_orbit(ORBITS_PER_LUMI_SECTION), 2);
    }
}
