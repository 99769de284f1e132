//! Arithmetic on lanes: rows and numbers, never events.
//!
//! Each kernel is written once over [`word`]s of bits and compiled for every instruction set
//! ([`isa`]); `agree` holds all of them to the portable one. Only here is unsafe code.

#![expect(unsafe_code, reason = "vector instructions, loads and stores")]

#[cfg(test)]
mod agree;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod dense;
pub(crate) mod interleaved;
pub mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
pub(crate) mod sliced;
pub(crate) mod turn;
#[cfg(target_arch = "x86_64")]
mod turn_avx2;
#[cfg(target_arch = "x86_64")]
mod turn_avx512;
pub(crate) mod word;
