//! When events happen: which slot of the run each one goes to, and when that slot is due.
//!
//! A [`Slots`] gives each event of a stream its slot, counted from the start of the run. With a
//! filling scheme the n-th event goes to the n-th colliding slot, so a file of any origin fills
//! the orbit as the machine would; `recorded` keeps the crossings of the file. A [`SlotClock`]
//! turns slots into due times without drift.
//!
//! Waiting until something is due is the emulator's business.

use std::str::FromStr;

use crate::event::{Block, Column};
use crate::lhc::{FillingScheme, LHC_CLOCK_HZ, SLOTS_PER_ORBIT, slot_at};

const PS_PER_S: u128 = 1_000_000_000_000;

/// How fast slots follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as everything is done: lossless, no due times.
    Max,
    /// At a fixed frequency in Hz.
    Hz(u64),
}

impl Rate {
    /// The LHC's own rate of slots.
    pub const LHC: Rate = Rate::Hz(LHC_CLOCK_HZ);

    /// The clock, unless there is none.
    #[must_use]
    pub fn clock(self) -> Option<SlotClock> {
        match self {
            Rate::Max => None,
            Rate::Hz(hz) => Some(SlotClock { hz }),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    /// `lhc`, `max`, or a frequency such as `10MHz`, `40.079 MHz`, `500kHz`, `2e6Hz`.
    fn from_str(text: &str) -> Result<Rate, String> {
        match text.trim() {
            "lhc" => Ok(Rate::LHC),
            "max" => Ok(Rate::Max),
            other => {
                let hz = frequency_hz(other)?;
                if (1.0..=1e9).contains(&hz) {
                    Ok(Rate::Hz(hz.round() as u64))
                } else {
                    Err(format!("expected a rate within 1Hz..=1GHz, found `{text}`"))
                }
            }
        }
    }
}

/// A frequency in Hz from text with a unit: `10MHz`, `1 kHz`, `250 Hz`.
///
/// # Errors
/// Text that is not a finite number followed by Hz, kHz, MHz or GHz.
pub fn frequency_hz(text: &str) -> Result<f64, String> {
    let expected = || format!("expected a frequency such as `1kHz` or `40.079MHz`, found `{text}`");
    let trimmed = text.trim();
    let number = trimmed.strip_suffix("Hz").ok_or_else(expected)?;
    let (number, unit) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 1e3),
        Some('M') => (&number[..number.len() - 1], 1e6),
        Some('G') => (&number[..number.len() - 1], 1e9),
        _ => (number, 1.0),
    };
    let value: f64 = number.trim().parse().map_err(|_| expected())?;
    let hz = value * unit;
    if hz.is_finite() && hz >= 0.0 { Ok(hz) } else { Err(expected()) }
}

/// Turns slots of the run into picoseconds since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotClock {
    hz: u64,
}

impl SlotClock {
    /// Frequency of the slots in Hz.
    #[must_use]
    pub fn hz(self) -> u64 {
        self.hz
    }

    /// Due time of a slot, in ps since the start of the run.
    #[must_use]
    pub fn due_ps(self, slot: u64) -> u64 {
        (u128::from(slot) * PS_PER_S / u128::from(self.hz)) as u64
    }

    /// Duration of a slot in ps, with its fraction.
    #[must_use]
    pub fn period_ps(self) -> f64 {
        PS_PER_S as f64 / self.hz as f64
    }

    /// Slots that are due within `ps` picoseconds, rounded up.
    #[must_use]
    pub fn slots_within(self, ps: u64) -> u64 {
        (u128::from(ps) * u128::from(self.hz)).div_ceil(PS_PER_S) as u64
    }
}

/// Neighbouring slots that consecutive events go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRun {
    /// First slot, counted from the start of the run.
    pub first: u64,
    /// Number of slots.
    pub len: u32,
}

impl SlotRun {
    /// The last slot.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.len) - 1
    }
}

/// Gives events their slots.
#[derive(Clone, Debug)]
pub enum Slots {
    /// The n-th event goes to the n-th colliding slot.
    Scheme {
        /// Which slots collide.
        scheme: FillingScheme,
        /// Number of the next event.
        next: u64,
    },
    /// Events keep the crossings that they were recorded in, from the first one's orbit on.
    Recorded {
        /// Orbit that `base` belongs to, once an event has been seen.
        first_orbit: Option<u32>,
        /// First slot of that orbit.
        base: u64,
    },
}

impl Slots {
    /// Slots of a filling scheme.
    #[must_use]
    pub fn of_scheme(scheme: FillingScheme) -> Slots {
        Slots::Scheme { scheme, next: 0 }
    }

    /// The file's own crossings.
    #[must_use]
    pub fn recorded() -> Slots {
        Slots::Recorded { first_orbit: None, base: 0 }
    }

    /// The slots of event `at` of `block` and of those after it, up to the first gap, at most
    /// `most` of them. Does not go on: see [`Slots::advance`].
    ///
    /// # Panics
    /// If `at` is not an event of the block or `most` is zero.
    pub fn run_at(&mut self, block: &Block, at: usize, most: usize) -> SlotRun {
        assert!(at < block.len() && most > 0);
        let most = most.min(block.len() - at);
        match self {
            Slots::Scheme { scheme, next } => run_of_scheme(scheme, *next, most),
            Slots::Recorded { first_orbit, base } => {
                let orbits = block.get::<u32>(Column::Orbit);
                let bxs = block.get::<i16>(Column::Bx);
                let start = *first_orbit.get_or_insert(orbits[at]);
                // A stream whose orbits run backwards stays at the start of the run.
                let slot = |i: usize| {
                    let orbit = u64::from(orbits[i].saturating_sub(start));
                    *base + slot_at(orbit, bxs[i].cast_unsigned())
                };
                let first = slot(at);
                let follows = |&len: &usize| slot(at + len) == first + len as u64;
                let len = (1..most).take_while(follows).last().map_or(1, |last| last + 1);
                SlotRun { first, len: len as u32 }
            }
        }
    }

    /// The slots of the next events, up to the first gap, at most `most` of them, whatever events
    /// those are; `None` if it is those that decide.
    #[must_use]
    pub fn run_of_any(&self, most: usize) -> Option<SlotRun> {
        match self {
            Slots::Scheme { scheme, next } => Some(run_of_scheme(scheme, *next, most)),
            Slots::Recorded { .. } => None,
        }
    }

    /// Goes on by `n` events, whether they were delivered or lost.
    pub fn advance(&mut self, n: u64) {
        if let Slots::Scheme { next, .. } = self {
            *next += n;
        }
    }

    /// Goes on so that no later event gets a slot before `slot`: there was nothing for so long. The
    /// next event of recorded crossings begins another orbit.
    pub fn skip_to(&mut self, slot: u64) {
        match self {
            Slots::Scheme { scheme, next } => *next = (*next).max(scheme.first_from(slot)),
            Slots::Recorded { first_orbit, base } => {
                let orbits = slot.div_ceil(u64::from(SLOTS_PER_ORBIT));
                (*first_orbit, *base) = (None, orbits * u64::from(SLOTS_PER_ORBIT));
            }
        }
    }
}

/// The slots of events from number `next` on, up to the first gap, at most `most` of them.
fn run_of_scheme(scheme: &FillingScheme, next: u64, most: usize) -> SlotRun {
    let in_train = scheme.slots_left_in_train(next);
    SlotRun { first: scheme.slot_of_nth(next), len: most.min(in_train) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossings(list: &[(u32, i16)]) -> Block {
        let mut block = Block::default();
        for &(orbit, bx) in list {
            block.get_mut::<u32>(Column::Orbit).push(orbit);
            block.get_mut::<i16>(Column::Bx).push(bx);
        }
        block
    }

    #[test]
    fn rates_are_read_with_their_units() {
        assert_eq!("lhc".parse(), Ok(Rate::Hz(40_079_000)));
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("10MHz".parse(), Ok(Rate::Hz(10_000_000)));
        assert_eq!("2.5 kHz".parse(), Ok(Rate::Hz(2500)));
        for bad in ["", "10", "MHz", "-1MHz", "nanHz", "infHz", "0Hz", "2GHz"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn due_times_do_not_drift_over_a_day() {
        let clock = Rate::LHC.clock().unwrap();
        let slots_per_day = 40_079_000 * 86_400;
        assert_eq!(clock.due_ps(slots_per_day), 86_400 * 1_000_000_000_000);
        assert_eq!(clock.due_ps(1), 24_950);
        assert_eq!(clock.slots_within(24_951), 2);
    }

    #[test]
    fn a_scheme_gives_runs_that_end_with_the_train() {
        let block = crossings(&[(0, 1); 200]);
        let mut slots = Slots::of_scheme(FillingScheme::lhc());
        assert_eq!(slots.run_at(&block, 0, 512), SlotRun { first: 43, len: 72 });
        slots.advance(70);
        assert_eq!(slots.run_at(&block, 70, 512), SlotRun { first: 113, len: 2 });
        slots.advance(2);
        assert_eq!(slots.run_at(&block, 72, 10), SlotRun { first: 122, len: 10 });
        assert_eq!(slots.run_of_any(10), Some(SlotRun { first: 122, len: 10 }));
        slots.advance(2748 - 72);
        let next_orbit = u64::from(SLOTS_PER_ORBIT) + 43;
        assert_eq!(slots.run_at(&block, 199, 10), SlotRun { first: next_orbit, len: 1 });
    }

    #[test]
    fn every_slot_of_a_full_orbit_is_one_run_across_orbits() {
        let block = crossings(&[(0, 1); 5000]);
        let mut slots = Slots::of_scheme(FillingScheme::all());
        slots.advance(3560);
        assert_eq!(slots.run_at(&block, 0, 512), SlotRun { first: 3560, len: 4 });
        slots.advance(4);
        assert_eq!(slots.run_at(&block, 4, 512), SlotRun { first: 3564, len: 512 });
    }

    #[test]
    fn after_a_gap_events_get_the_slots_from_there_on() {
        let mut slots = Slots::of_scheme(FillingScheme::lhc());
        for (to, first) in [(0, 43), (44, 44), (44, 44), (115, 122), (3564, 3564 + 43)] {
            slots.skip_to(to);
            assert_eq!(slots.run_of_any(1), Some(SlotRun { first, len: 1 }), "{to}");
        }
        slots.skip_to(0);
        let run = slots.run_of_any(1);
        assert_eq!(run, Some(SlotRun { first: 3564 + 43, len: 1 }), "never back");
        let block = crossings(&[(9, 5), (20, 7)]);
        let mut slots = Slots::recorded();
        assert_eq!(slots.run_at(&block, 0, 1).first, 4);
        slots.skip_to(3564 * 3 + 1);
        assert_eq!(slots.run_at(&block, 1, 1).first, 3564 * 4 + 6, "the bx stays");
    }

    #[test]
    fn recorded_crossings_keep_their_gaps_from_the_first_orbit_on() {
        let block = crossings(&[(9, 3563), (9, 3564), (10, 1), (10, 3), (12, 1)]);
        let mut slots = Slots::recorded();
        assert_eq!(slots.run_of_any(10), None);
        assert_eq!(slots.run_at(&block, 0, 512), SlotRun { first: 3562, len: 3 });
        assert_eq!(slots.run_at(&block, 3, 512), SlotRun { first: 3564 + 2, len: 1 });
        assert_eq!(slots.run_at(&block, 4, 512), SlotRun { first: 3 * 3564, len: 1 });
    }
}
