//! Networks of fixed-point numbers that [hls4ml](https://fastmachinelearning.org/hls4ml/) made.
//!
//! Firmware and its C++ are generated together; both compute with the same `ap_fixed` numbers, so a
//! network that is evaluated as that source says gives the trigger's own scores. [`Network`] is such a
//! source taken over and evaluated number by number ([`fixed`](crate::fixed)), from any project with
//! dense layers ([`Network::read_project`]); [`axol1tl`] is the one that the CMS Global Trigger runs, with
//! what comes before and after its network.
//!
//! Nothing is compiled. Every statement of the files must be one that is known, and what is said twice
//! (sizes, types, lengths of arrays) must agree; anything else is refused with file, line and reason.
//!
//! # How a fast version will be proven
//!
//! Scores come from [`Network::evaluate`], which is slow. A fast version evaluates many events side by
//! side in integers of 16 or 32 bits, and must give the same code for every input there is. For each
//! step, with all numbers as codes of their format:
//!
//! 1. **Bounds.** The input's codes are those of its format. A relu's are 0 to its largest. For output j
//!    of a dense layer, Σ|w_ij| × max|x_i| + |b_j| bounds every partial sum, in whatever order, because
//!    leaving out terms only makes the bound smaller.
//! 2. **Products that are cast.** Let p be the fractional bits of a product and a those of the
//!    accumulator. If p ≤ a, casting a product loses no bit below the last, and the sum of casts is the
//!    cast of the sum. If p > a, each product is cut by itself, and Σ floor(x_i w_i / 2^(p−a)) is not
//!    floor(Σ …): then the fast version must cut products one by one, or refuse. The cut is exact for
//!    all x if 2^(p−a) divides w_ij, and for layers with small weights this can be checked weight by weight.
//! 3. **Wrapping is the integers modulo 2^W**, and sums and products respect it: partial sums may wrap
//!    in any order and at any width of at least W bits, if the end result is taken modulo 2^W (a
//!    shift left by 32 − W and an arithmetic shift right). If the bound of 1. is below 2^(W−1), nothing
//!    wraps at all and this is left out. So 32-bit integers suffice for all accumulators of W ≤ 32 bits,
//!    and 16-bit ones wherever the bound is below 2^15.
//! 4. **Accumulators that saturate** depend on the order, unless the bound of 1. is within their range.
//!    If it is not, the network is left to the slow evaluation.
//! 5. **Casts between formats** are a shift with rounding and a clamp or a wrap of one integer: the
//!    rounded number must not overflow before it is clamped, so bound + 2^(shift−1) must fit.
//! 6. **Squares**: the code of a term is at most 2^(W−1) in magnitude, its square at most 2^(2W−2); n of
//!    them need 2W − 2 + log2 n bits. With outputs of 10 bits (versions 1 to 4) that is 22 bits; with
//!    differences of 18 bits (version 5) 38, which 32-bit integers cannot hold. There the bounds of 1.
//!    decide: a difference bounded by 2^13 has squares below 2^26, and ten of them fit. Otherwise the
//!    result's saturation helps: once one difference alone saturates the result, the event is at the
//!    largest score, if the accumulator cannot have wrapped; so a difference may be clamped there first.
//! 7. **Scaled inputs** depend on one i16 alone: there are 65 536 cases for each of 57 inputs, and a test
//!    goes through all of them.
//!
//! That a kernel equals the slow version is then shown on random and extreme inputs for random
//! networks, and on the inputs that reach the bounds.

pub mod axol1tl;
mod declarations;
mod function;
mod network;
mod project;
mod source;
mod tokens;

pub use axol1tl::Axol1tl;
pub use declarations::format_from_text;
pub use network::{Dense, Layer, Network, Step, Tensor};
