//! Arithmetic on lanes: rows and numbers, never events.
//!
//! [`isa`] detects what the processor can do, proves it and dispatches. Evaluation on the side
//! ([`sliced`]) is written once over [`word`]s of bits; filling rows ([`turn`]) and the tops of
//! walked trees ([`dense`]) have a file or a part per instruction set. Machine code for single forests is
//! written by [`assembler`] and called by [`code`]. All are held to the portable
//! way bit for bit: in `agree`, and in the tests of each. Only here is unsafe code.

#![expect(unsafe_code, reason = "vector instructions, loads and stores")]

#[cfg(test)]
mod agree;
#[cfg(test)]
mod agree_fixed;
pub(crate) mod assembler;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod code;
pub(crate) mod dense;
pub(crate) mod fixed;
pub(crate) mod interleaved;
pub mod isa;
pub(crate) mod lane;
#[cfg(target_arch = "aarch64")]
mod lane_neon;
#[cfg(target_arch = "x86_64")]
mod lane_x86;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod network;
pub(crate) mod pairs;
#[cfg(target_arch = "aarch64")]
mod pairs_neon;
#[cfg(target_arch = "x86_64")]
mod pairs_x86;
mod portable;
pub(crate) mod sliced;
pub(crate) mod turn;
#[cfg(target_arch = "x86_64")]
mod turn_avx2;
#[cfg(target_arch = "x86_64")]
mod turn_avx512;
pub(crate) mod word;
