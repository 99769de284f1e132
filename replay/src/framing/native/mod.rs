//! Blocks of Run-3 objects as orbits of Native64 events, and back.
//!
//! ```text
//! muon     word of the global muon trigger, f in bits 0-31, s in 32-63 (its bit 29, here 61, is spare)
//! others   bits 0-31 word of Run 3   56-60 kind   61 one   62, 63 zero     kind 1 e/gamma, 2 jet, 3 tau,
//!                                                                         8…13 the sums in their order
//! ```
//!
//! Phase-2 boards send words of other objects in events of this form; these are Run 3's, so that a
//! stream of them can be sent over what was made for the other. What the words have no room for
//! (event numbers, luminosity sections, labels, raw eta and jet ET) does not travel. Sums that are
//! zero are left out. What the words of Run 3 are is written down in [`raw::words`](crate::raw::words).
//!
//! Both ways go by columns, at line rate: `encode.rs` makes the words of a whole block, a column after
//! the other, and deals them to events; `decode.rs` deals the words of many events to one row for
//! each kind, and makes columns of the rows. The tests have the same event by event, which is the
//! specification.

mod decode;
mod encode;

pub use decode::OrbitReader;
pub use encode::OrbitEncoder;

use crate::event::{Block, Column, ColumnSet, Group};
use crate::raw::native64::{Events, OrbitHeader};

const NOT_A_MUON: u64 = 1 << 61;
/// Where the kind begins in a word that is no muon's.
const KIND_AT: u32 = 56;
const EGAMMA: u8 = 1;
const JET: u8 = 2;
const TAU: u8 = 3;
const FIRST_SUM: u8 = 8;
/// Words of sums in an event at most.
const N_SUMS: usize = 6;

/// Columns that the words hold: what a receiver has.
#[must_use]
pub fn native_columns() -> ColumnSet {
    use Column as C;
    let extra = [
        C::MuonQual,
        C::MuonCharge,
        C::MuonTfIndex,
        C::MuonPhiRaw,
        C::MuonPtUnconstrained,
        C::EGammaIso,
        C::JetQual,
        C::TauIso,
    ];
    [Group::Met, Group::Muon, Group::EGamma, Group::Jet, Group::Tau, Group::Sums]
        .into_iter()
        .fold(extra.into_iter().collect(), |set: ColumnSet, group| set.union(group.columns()))
        .union(ColumnSet::skeleton())
}

/// What the events of an orbit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrbitCounts {
    /// Events marked as truncated by the sender, which hold nothing.
    pub truncated: u32,
    /// Events that are not what they should be: of another orbit, with words that mean nothing or too
    /// many of them, or that come twice.
    pub corrupt: u32,
    /// Why the rest of the orbit could not be read, if so.
    pub problem: Option<String>,
}

/// Run (its lowest five bits) and orbit of an orbit: those of its header, or else of its first event.
/// `None` if it has neither.
///
/// # Errors
/// Why its first word is none, if it has no header either.
pub fn orbit_number(
    payload: &[u8],
    header: Option<OrbitHeader>,
) -> Option<Result<(u32, u32), String>> {
    if let Some(header) = header {
        return Some(Ok((header.run.into(), header.orbit)));
    }
    let first = Events::new(payload).next()?;
    let number = first.map(|event| (event.header.run.into(), event.header.orbit));
    Some(number.map_err(|problem| problem.to_string()))
}

/// Events of an orbit, as far as they can be told from each other.
#[must_use]
pub fn n_events(payload: &[u8]) -> u64 {
    Events::new(payload).flatten().count() as u64
}

/// Puts the crossings of one orbit in order; returns how many came twice, of which the first stays.
fn sort_by_crossing(block: &mut Block) -> u32 {
    let bxs = block.get::<i16>(Column::Bx);
    let mut order: Vec<usize> = (0..bxs.len()).collect();
    order.sort_by_key(|&i| bxs[i]);
    let before = order.len();
    order.dedup_by_key(|&mut i| bxs[i]);
    let mut sorted = Block::new(block.columns());
    sorted.run = block.run;
    order.iter().for_each(|&i| sorted.push_event(block, i));
    let n_twice = before - order.len();
    *block = sorted;
    n_twice as u32
}

/// Puts two parts of one orbit together, in the order of their crossings; returns how many are in
/// both, of which those of `block` stay.
pub fn join_orbit(block: &mut Block, other: &Block) -> u32 {
    (0..other.len()).for_each(|i| block.push_event(other, i));
    sort_by_crossing(block)
}

#[cfg(test)]
mod specification;
#[cfg(test)]
mod tests;
