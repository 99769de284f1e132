//! What the physics says.
//!
//! For now rates: counts to kHz with intervals, and the threshold for a target rate ([`rate`]).

pub mod rate;
