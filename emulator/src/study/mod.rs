//! What the studies share: samples read event by event with scores and weights, whatever they come from.
//!
//! A study never holds a sample: [`sample::read`] hands on block after block, and what is kept are histograms,
//! sums and counts. So memory stays where it is for 10⁸ events.

pub mod cost;
pub mod folds;
pub mod journal;
pub mod lines;
pub mod pile_up;
pub mod points;
pub mod roc;
pub mod sample;
pub mod scan;
pub mod sculpt;
pub mod search;
#[cfg(feature = "parquet")]
pub mod seeds;
