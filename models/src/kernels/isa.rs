//! Which instructions a kernel may use: detected once, then proven by a value.
//!
//! [`Isa`] is what a run chose; inside it is the proof that the processor has the instructions,
//! so no kernel asks again. All dispatch happens in [`Isa::run`]: a kernel is compiled once per
//! instruction set, inside a function that enables it, and everything that the kernel calls is
//! inlined into that function.

#[cfg(target_arch = "x86_64")]
use super::avx2::{self, Avx2, AvxVnni};
#[cfg(target_arch = "x86_64")]
use super::avx512::{self, Avx512, Vnni};
use super::lane::{Lane, PortableLane};
#[cfg(target_arch = "aarch64")]
use super::lane_neon::{DotLane, NeonLane};
#[cfg(target_arch = "x86_64")]
use super::lane_x86::{Avx2Lane, Avx512Lane, AvxVnniLane, VnniLane};
#[cfg(target_arch = "aarch64")]
use super::neon::{self, Dot, Neon};
use super::portable::{Bits, Portable};
use super::word::Word;
use crate::error::{Error, Result};

/// A set of instructions that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// 64-bit integers: every processor.
    Portable(Portable),
    /// x86-64 with vectors of 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// x86-64 with vectors of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// 64-bit Arm, vectors of 128 bits.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// Names of all instruction sets that `scout40` knows, whatever this processor has.
const ISA_NAMES: [&str; 4] = ["portable", "avx2", "avx512", "neon"];

impl Isa {
    /// What this processor has, best last.
    #[must_use]
    pub fn available() -> Vec<Isa> {
        let mut available = vec![Isa::Portable(Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            available.extend(Avx2::detect().map(Isa::Avx2));
            available.extend(Avx512::detect().map(Isa::Avx512));
        }
        #[cfg(target_arch = "aarch64")]
        available.push(Isa::Neon(Neon));
        available
    }

    /// The widest that this processor has.
    #[must_use]
    pub fn best() -> Isa {
        Isa::available().pop().unwrap_or(Isa::Portable(Portable))
    }

    /// The one of that name; `auto` is the best.
    ///
    /// # Errors
    /// If there is none, or the processor lacks the instructions.
    pub fn from_name(name: &str) -> Result<Isa> {
        if name == "auto" {
            return Ok(Isa::best());
        }
        let available = Isa::available();
        if let Some(&isa) = available.iter().find(|isa| isa.name() == name) {
            return Ok(isa);
        }
        let expected = available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        let found = if ISA_NAMES.contains(&name) {
            format!("{name}, which this processor lacks")
        } else {
            name.to_owned()
        };
        Err(Error::setting("instruction set", format!("auto, {expected}"), found))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => "neon",
        }
    }

    /// Crossings in its narrower word; the wider one holds 512.
    #[must_use]
    pub fn narrow_lanes(self) -> usize {
        match self {
            Isa::Portable(_) => 64,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) | Isa::Avx512(_) => 256,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => 128,
        }
    }

    /// Runs a kernel with the wider words (`WIDE`) or the narrower ones.
    pub(crate) fn run<K: Kernel>(self, kernel: K, width: Width) {
        match (self, width) {
            (Isa::Portable(proof), Width::Wide) => kernel.run::<Bits<8>>(proof),
            (Isa::Portable(proof), Width::Narrow) => kernel.run::<Bits<1>>(proof),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the proof.
            (Isa::Avx2(proof), Width::Wide) => unsafe { avx2_wide(kernel, proof) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the proof.
            (Isa::Avx2(proof), Width::Narrow) => unsafe { avx2_narrow(kernel, proof) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the proof.
            (Isa::Avx512(proof), Width::Wide) => unsafe { avx512_wide(kernel, proof) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the proof.
            (Isa::Avx512(proof), Width::Narrow) => unsafe { avx512_narrow(kernel, proof) },
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon(proof), Width::Wide) => kernel.run::<neon::Bits512>(proof),
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon(proof), Width::Narrow) => kernel.run::<neon::Bits128>(proof),
        }
    }
}

impl Isa {
    /// Runs a kernel on 32-bit integers.
    pub(crate) fn run_lanes<K: LaneKernel>(self, kernel: K) {
        match self {
            Isa::Portable(proof) => kernel.run::<PortableLane>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => match AvxVnni::detect(proof) {
                // SAFETY: the proof.
                Some(proof) => unsafe { avx_vnni_lanes(kernel, proof) },
                // SAFETY: the proof.
                None => unsafe { avx2_lanes(kernel, proof) },
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => match Vnni::detect(proof) {
                // SAFETY: the proof.
                Some(proof) => unsafe { vnni_lanes(kernel, proof) },
                // SAFETY: the proof.
                None => unsafe { avx512_lanes(kernel, proof) },
            },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(proof) => match Dot::detect() {
                // SAFETY: the proof.
                Some(proof) => unsafe { dot_lanes(kernel, proof) },
                None => kernel.run::<NeonLane>(proof),
            },
        }
    }
}

/// Which of the two words of an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// [`Isa::narrow_lanes`] crossings.
    Narrow,
    /// 512 crossings.
    Wide,
}

/// What can be compiled for every instruction set.
pub(crate) trait Kernel {
    /// Does the work. Implementations are `#[inline(always)]`, and so is all that they call:
    /// only then is it compiled with the instructions.
    fn run<W: Word>(self, proof: W::Proof);
}

/// What can be compiled for every instruction set, on 32-bit integers.
pub(crate) trait LaneKernel {
    /// As [`Kernel::run`].
    fn run<L: Lane>(self, proof: L::Proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) fn avx2_lanes<K: LaneKernel>(kernel: K, proof: Avx2) {
    kernel.run::<Avx2Lane>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
fn avx_vnni_lanes<K: LaneKernel>(kernel: K, proof: AvxVnni) {
    kernel.run::<AvxVnniLane>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn avx512_lanes<K: LaneKernel>(kernel: K, proof: Avx512) {
    kernel.run::<Avx512Lane>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vnni_lanes<K: LaneKernel>(kernel: K, proof: Vnni) {
    kernel.run::<VnniLane>(proof);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "dotprod")]
fn dot_lanes<K: LaneKernel>(kernel: K, proof: Dot) {
    kernel.run::<DotLane>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_wide<K: Kernel>(kernel: K, proof: Avx2) {
    kernel.run::<avx2::Bits512>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_narrow<K: Kernel>(kernel: K, proof: Avx2) {
    kernel.run::<avx2::Bits256>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512_wide<K: Kernel>(kernel: K, proof: Avx512) {
    kernel.run::<avx512::Bits512>(proof);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512_narrow<K: Kernel>(kernel: K, proof: Avx512) {
    kernel.run::<avx512::Bits256>(proof);
}
