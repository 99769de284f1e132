//! New Physics Learning Machine: would data that differ from the expectation anywhere be noticed?
//!
//! A model learns f(x), the logarithm of the ratio of the data's density to that of a **reference** sample, and the
//! extended likelihood ratio t ([`Experiment::statistic`]) says how much better it describes the data. No signal is
//! assumed. What t means toys without signal tell ([`null`]).
//!
//! | part | where |
//! |---|---|
//! | reference and data, the statistic, scaling of observables | [`Experiment`], [`Sample`], [`Scaling`] |
//! | kernel version, and its basis of few functions | [`kernel`], `basis` |
//! | width of the kernel | [`pairwise_distance`] |
//! | network version with nuisance parameters | [`network`] |
//! | published benchmarks | [`Benchmark`] |
//! | toys drawn from samples of events, with injected signal | [`Pool`] |
//! | toys: parallel, repeatable, resumable | [`toys`] |
//! | χ² of the null, p-values, Z, bands | [`null`] |
//!
//! ```
//! use scout40_studies::nplm::{Benchmark, kernel};
//!
//! let benchmark = Benchmark { n_reference: 20_000, ..Benchmark::exp1d(0) };
//! let config = kernel::KernelConfig::published(0.3, 500, 1e-10);
//! let toy = kernel::fit(&benchmark.draw(0.0, 0.0, 1, 0)?, &config, 2, 0)?;
//! assert!(toy.t > 0.0 && toy.functions < 20);
//! # Ok::<(), scout40_studies::Error>(())
//! ```

mod basis;
mod benchmark;
mod experiment;
pub mod kernel;
pub mod network;
pub mod null;
mod pool;
pub mod toys;
mod vector;
mod width;

pub use benchmark::{Benchmark, EXP1D, Shape};
pub use experiment::{Experiment, Sample, Scaling};
pub use pool::Pool;
pub use width::pairwise_distance;
