//! Events of a statistical model: zero-bias-like streams of any length.
//!
//! [`fit()`] makes a [`GeneratorModel`] of a stream; a [`Generator`] makes events of it, each of
//! them alone from the seed and its number, so that threads may share the work as they like and
//! always come to the same events. [`GeneratedStream`] puts them onto the colliding slots of a filling
//! scheme, block by block, and [`GeneratorSource`](crate::source::Source) hands them to a run.
//!
//! ```text
//! pile-up ──► jets by rank ──► e/gammas, taus, muons by rank ──► energy sums
//!             pT: hazards from one rank to the next, by pile-up        (given the jets)
//! ```
//!
//! A model knows distributions and the correlations that `docs/generator.md` lists; nothing in it is
//! an event that ever was, and nothing in it was measured: generated streams are for load tests and
//! for studies of rates, not for physics.

mod angles;
mod batch;
mod directions;
mod error;
mod file;
mod fit;
mod generator;
mod histogram;
mod model;
mod objects;
mod pile_up;
mod pool;
mod random;
mod spectrum;
mod stream;
mod sums;

pub use error::GenerateError;
pub use fit::{FitOptions, fit};
pub use generator::Generator;
pub use histogram::Histogram;
pub use model::{
    Context, Directions, ExtraModel, FittedTo, GeneratorModel, KindModel, PILE_UP_MAX, PileUpModel,
    Predictor, RankModel, ScalarModel,
};
pub use pile_up::PileUp;
pub use pool::GeneratorSource;
pub use spectrum::Hazard;
pub use stream::{GeneratedStream, Placement};

use error::file_error;

/// The model of the shipped zero-bias stream: `fixtures/make.sh` says how it was made.
const SHIPPED: &[u8] = include_bytes!("../../../fixtures/generators/zero-bias.generator");

impl GeneratorModel {
    /// The model of the shipped zero-bias stream.
    ///
    /// # Panics
    /// Never: it was checked when it was made, and a test reads it.
    #[must_use]
    pub fn shipped() -> GeneratorModel {
        GeneratorModel::from_bytes(SHIPPED).expect("the shipped model is sound")
    }
}
