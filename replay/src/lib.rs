//! Where events come from.
//!
//! Level-1 trigger events in hardware integers ([`event`]), the machine that they happen in
//! ([`lhc`]), what the integers mean ([`units`]), and the stream files that hold them
//! ([`mod@format`]) what reads them
//! ([`source`]), when events happen ([`pacing`]) and what signal is put among them ([`inject`]).

pub mod event;
pub mod format;
pub mod inject;
pub mod lhc;
pub mod pacing;
pub mod source;
pub mod units;
