//! What the physics says: which threshold, what rate, and would we have found it?
//!
//! | question | where |
//! |---|---|
//! | counts to kHz with intervals, the threshold for a target rate | [`rate`] |
//! | what passes a threshold, from scores with or without weights | [`spectrum`] |
//! | the same for samples too large for memory, in parts | [`rate::ScoreCounts`], [`weights`] |
//! | ROC, AUROC, average precision, efficiency at a fixed rate | [`roc`] |
//! | do two scores order the same events alike? | [`correlation`] |
//! | figures of all this | `plot` (with the feature of that name) |
//! | is one model better than another on the same events? | [`bootstrap`] |

pub mod bootstrap;
pub mod correlation;
mod error;
#[cfg(feature = "plot")]
pub mod plot;
pub mod rate;
mod rng;
pub mod roc;
pub mod spectrum;
pub mod weights;

pub use error::Error;
