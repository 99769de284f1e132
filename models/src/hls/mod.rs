//! Networks of fixed-point numbers that [hls4ml](https://fastmachinelearning.org/hls4ml/) made.
//!
//! Firmware and its C++ are generated together; both compute with the same `ap_fixed` numbers, so a
//! network that is evaluated as that source says gives the trigger's own scores. [`Network`] is such a
//! source taken over and evaluated number by number ([`fixed`](crate::fixed)), from any project with
//! dense layers ([`Network::read_project`]). A [`Detector`] adds what comes before and after a network;
//! [`axol1tl`] is the one that the CMS Global Trigger runs.
//!
//! Nothing is compiled. Every statement of the files must be one that is known, and what is said twice
//! (sizes, types, lengths of arrays) must agree; anything else is refused with file, line and reason.
//!
//! # How the fast version is proven
//!
//! [`Detector::score`] is slow. [`DetectorScorer`] evaluates many events side by side in integers of 16
//! and 32 bits (`program.rs`, `scaled.rs`, `kernels/fixed.rs`), and gives the same code for every input
//! there is. For each step, with all numbers as codes of their format:
//!
//! 1. **Bounds.** [`Bounds`] goes through the network with intervals and says, for every sum, between
//!    which codes all partial sums lie in whatever order, whether the accumulator can overflow, and
//!    whether products lose bits one by one.
//! 2. **Products that are cut.** Let p be the fractional bits of a product and a those of the accumulator.
//!    If p ≤ a, the cast of a product loses nothing below, and the sum of casts is the cast of the sum:
//!    plain multiply-add instructions will do. If p > a, Σ floor(x_i w_i / 2^(p−a)) is not floor(Σ …),
//!    and each product has to be shifted by itself, except where 2^(p−a) divides the weight's code.
//! 3. **Wrapping is the integers modulo 2^W**, and sums respect it: they may be taken in any order, in
//!    integers of at least W bits, and are brought back at the end by a shift left and an arithmetic
//!    shift right. Where the bounds say that nothing overflows, this is left out.
//! 4. **Accumulators that saturate** depend on the order, unless the bounds say that none does. If one
//!    can, the network is left to the slow evaluation.
//! 5. **Casts between formats** are a shift with rounding and a clamp or a wrap of one integer: the
//!    rounded number must not overflow before it is clamped, so bound + 2^(shift−1) must fit.
//! 6. **Squares** need twice the bits. Where the result saturates and its accumulator cannot wrap, a number
//!    whose square alone saturates the result may be clamped to the least such number first: the
//!    event is at the largest score either way.
//! 7. **Scaled inputs** depend on one i16 alone: there are 65 536 cases for each of 57 inputs, and a test
//!    can go through all of them.
//!
//! 8. **Inputs of a byte**, where weights have at most seven bits, are multiplied four at a time: what they
//!    are above −128 has no sign, and 128 times the sum of the weights is taken off the bias.
//!
//! What the bounds say of the trigger's networks (`Bounds` of a checkout, all inputs there are):
//!
//! | version | dense sums, bits with sign | wrap? | products cut? |
//! |---|---|---|---|
//! | 1 | 12, 12, 10 (modulo the accumulator) | yes | yes, all three layers |
//! | 3 | 17, 21, 16 | no | no |
//! | 4 | 23, 19, 16 | no | no |
//! | 5 | 21, 17, then 16, 16, 16, 19, 16, 17; the dot product 33 | no | no |
//!
//! So 32-bit sums are exact for every dense layer, with no wrapping in versions 3 to 5. The dot product of
//! version 5 has 14 fractional bits and its result saturates at 131 071 / 16: from 11 586 on the square
//! of one difference does it alone. Differences clamped to ±11 586 leave the score as it is, fit in 16
//! bits, and ten of their squares are below 2^31.
//!
//! That a kernel equals the slow version is then shown on random and extreme inputs for random
//! networks, and on the inputs that reach the bounds.

pub mod axol1tl;
mod bounds;
mod declarations;
mod detector;
mod function;
mod network;
pub(crate) mod program;
mod project;
pub(crate) mod scaled;
mod scorer;
mod source;
mod stored;
mod tokens;

pub use bounds::{Bounds, Sums};
pub use declarations::format_from_text;
pub use detector::{Detector, Loss, Origin, Scaling};
pub use network::{Dense, Layer, Network, Step, Tensor};
pub use scorer::DetectorScorer;
pub use stored::DetectorParts;
