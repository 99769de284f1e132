//! Where events come from.
//!
//! Level-1 trigger events in hardware integers ([`event`]), the machine that they happen in
//! ([`lhc`]) and what the integers mean ([`units`]).

pub mod event;
pub mod lhc;
pub mod units;
