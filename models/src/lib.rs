//! What gives an event its score.
//!
//! An event becomes one row of 16-bit integers ([`features`]), rows travel in batches of up to
//! 512 as columns ([`rows`]), and a model turns each row into one integer, higher = stranger
//! ([`scorer`], [`forest`], [`autoencoder`]). A model file ([`mod@file`]) holds everything that a score depends on.
//!
//! Nothing here knows files of events, clocks or thresholds of a menu. Evaluating needs no
//! feature of the crate; growing forests needs `train`, taking over those of others `import`.

pub mod autoencoder;
pub mod error;
pub mod export;
pub mod features;
pub mod file;
pub mod fixed;
pub mod forest;
pub mod hls;
mod kernels;
pub mod rows;
pub mod scorer;
pub mod uniform;

#[cfg(test)]
mod testing;

pub use autoencoder::Autoencoder;
pub use error::{Error, legible};
pub use features::{FeatureSpec, FillPlan, features_of};
pub use file::Model;
pub use forest::Forest;
pub use forest::plan::{ForestScorer, PlanChoice};
pub use kernels::isa::Isa;
pub use rows::{MAX_BATCH, RowBuffer, Rows};
pub use scorer::{Evaluation, Score, Scorer, Scratch};
