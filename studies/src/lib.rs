//! What the physics says: which threshold, what rate, and would we have found it?
//!
//! | question | where |
//! |---|---|
//! | counts to kHz with intervals, the threshold for a target rate | [`rate`] |
//! | what passes a threshold, from scores with or without weights | [`spectrum`] |
//! | the same for samples too large for memory, in parts | [`rate::ScoreCounts`], [`weights`] |
//! | ROC, AUROC, average precision, efficiency at a fixed rate | [`roc`] |
//! | thresholds for target rates, efficiency as a function of rate | [`scan`] |
//! | the threshold that would show a signal best | [`significance`] |
//! | does a cut change the shape of an observable? | [`observable`], [`sculpting`] |
//! | how does a rate grow with pile-up? | [`pile_up`], [`regression`] |
//! | observables of an event by name | [`quantity`] |
//! | what lines of a menu take alone and together | [`menu_counts`] |
//! | do two scores order the same events alike? | [`correlation`] |
//! | which lines of a menu accept the same events? | [`overlap`] |
//! | figures of all this | `figures`, made with `plot` (with the feature of that name) |
//! | the same for tables of the public challenges, with their weights | `table` (with feature `csv`) |
//! | would a deviation from the reference be noticed? | [`nplm`] |
//! | is there a bump on a falling spectrum? | [`bump`] |
//! | what would a larger sample or a stronger signal show? | [`power`] |
//! | is one model better than another on the same events? | [`bootstrap`] |

pub mod bootstrap;
pub mod bump;
pub mod correlation;
mod error;
#[cfg(feature = "plot")]
pub mod figures;
pub mod menu_counts;
pub mod nplm;
pub mod observable;
pub mod overlap;
pub mod pile_up;
#[cfg(feature = "plot")]
pub mod plot;
pub mod power;
pub mod quantity;
pub mod rate;
pub mod regression;
mod rng;
pub mod roc;
pub mod scan;
mod score_map;
pub mod sculpting;
pub mod significance;
pub mod spectrum;
#[cfg(feature = "csv")]
pub mod table;
pub mod weights;

pub use error::Error;
