//! Where events come from.
//!
//! Level-1 trigger events in hardware integers ([`event`]), the machine that they happen in
//! ([`lhc`]), what the integers mean ([`units`]), the field's own files ([`import`]), the stream
//! files that hold events ([`mod@format`]), what reads them ([`source`]) and makes others of them
//! ([`rearrange`]), when events happen ([`pacing`]) and what signal is put among them ([`inject`]).

pub mod event;
pub mod format;
pub mod generate;
pub mod import;
pub mod inject;
pub mod lhc;
pub mod pacing;
pub mod rearrange;
pub mod source;
mod spill;
pub mod units;
