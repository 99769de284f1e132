//! Where events come from.
//!
//! Level-1 trigger events in hardware integers ([`event`]), the machine that they happen in
//! ([`lhc`]), what the integers mean ([`units`]), the binary formats of Level-1 scouting
//! ([`raw`]), the field's own files, read ([`import`]) and written ([`export`]), the stream files
//! that hold events ([`mod@format`]), how they travel ([`framing`]), what reads them ([`source`])
//! and makes others of them ([`rearrange`]), events of a statistical model ([`generate`]), when
//! events happen ([`pacing`]) and what signal is put among them ([`inject`]). Tables of the public
//! challenges (`table`, with feature `csv`) are no crossings; studies take them.

pub mod event;
pub mod export;
pub mod format;
pub mod framing;
pub mod generate;
pub mod import;
pub mod inject;
pub mod lhc;
pub mod pacing;
pub mod raw;
pub mod rearrange;
pub mod source;
mod spill;
#[cfg(feature = "csv")]
pub mod table;
pub mod units;
