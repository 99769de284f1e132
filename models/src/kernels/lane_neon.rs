//! 32-bit integers of four events with NEON, and with its dot products where the processor has them.
//!
//! Codes are stored less 128, as signed bytes: there is no product of signed and unsigned ones. What
//! that takes from a sum is in the biases ([`Lane::ZERO`]).

use std::arch::aarch64::*;
use std::arch::asm;

use super::lane::{CodeScales, Lane, QUAD};
use super::neon::{Dot, Neon};

macro_rules! lane {
    ($(#[$doc:meta])* $name:ident, $dot:ident, $proof:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(pub(super) int32x4_t);

        impl Lane for $name {
            type Proof = $proof;
            const LANES: usize = 4;
            const VECTORS: usize = 4;
            const ZERO: u8 = 128;

            #[inline(always)]
            fn splat(_: $proof, x: i32) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vdupq_n_s32(x) })
            }
            #[inline(always)]
            unsafe fn load(_: $proof, from: *const i32) -> Self {
                // SAFETY: the caller guarantees the integers.
                $name(unsafe { vld1q_s32(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut i32) {
                // SAFETY: the caller guarantees the room.
                unsafe { vst1q_s32(to, self.0) }
            }
            #[inline(always)]
            fn prefetch(_: $proof, _: *const i16) {}
            #[inline(always)]
            unsafe fn codes(
                _: $proof,
                columns: [*const i16; QUAD],
                scales: &CodeScales,
            ) -> [Self; 2] {
                // SAFETY: NEON is part of the architecture; the caller guarantees the integers.
                unsafe { codes(columns, scales) }.map($name)
            }
            #[inline(always)]
            fn in_order(pair: [Self; 2]) -> [Self; 2] {
                pair
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vsubq_s32(self.0, other.0) })
            }
            #[inline(always)]
            fn shift_left(self, bits: u32) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vshlq_s32(self.0, vdupq_n_s32(bits as i32)) })
            }
            #[inline(always)]
            fn shift_right(self, bits: u32) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vshlq_s32(self.0, vdupq_n_s32(-(bits as i32))) })
            }
            #[inline(always)]
            fn dot(self, codes: Self, weights: i32) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $dot(self.0, codes.0, weights) })
            }
            #[inline(always)]
            fn quad([a, b, c, d]: [Self; QUAD]) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { quad(a.0, b.0, c.0, d.0) })
            }
            #[inline(always)]
            fn code(self, bits: u32) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { code(self.0, bits) })
            }
            #[inline(always)]
            fn add_square(self, x: Self, limit: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { add_square(self.0, x.0, limit.0) })
            }
        }
    };
}

lane!(
    /// Four events, on every processor.
    NeonLane, dot_neon, Neon
);
lane!(
    /// Four events, with dot products.
    DotLane, dot_product, Dot
);

/// # Safety
/// Eight integers can be read at each pointer.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn codes(columns: [*const i16; QUAD], scales: &CodeScales) -> [int32x4_t; 2] {
    let mut codes = [vdupq_n_u16(0); QUAD];
    for (k, codes) in codes.iter_mut().enumerate() {
        // SAFETY: the caller guarantees eight integers.
        let x = unsafe { vld1q_s16(columns[k]) };
        let offset = vdupq_n_s16(scales.offsets[k] as i16);
        let difference = vreinterpretq_u16_s16(vsubq_s16(vmaxq_s16(x, offset), offset));
        let difference = vminq_u16(difference, vdupq_n_u16(scales.limits[k] as u16));
        // A shift by a negative number goes right.
        let bits = scales.lefts[k] as i16 - scales.rights[k] as i16;
        *codes = vshlq_u16(difference, vdupq_n_s16(bits));
        if scales.has_left {
            *codes = vminq_u16(*codes, vdupq_n_u16(255));
        }
    }
    let [a, b, c, d] = codes;
    let (low, high) = (vsliq_n_u16::<8>(a, b), vsliq_n_u16::<8>(c, d));
    let turn = |quads| vreinterpretq_s32_u8(veorq_u8(vreinterpretq_u8_u16(quads), vdupq_n_u8(128)));
    [turn(vzip1q_u16(low, high)), turn(vzip2q_u16(low, high))]
}

/// Two products of a code less 128 and a weight of seven bits fit 16 bits.
#[inline]
#[target_feature(enable = "neon")]
fn dot_neon(sum: int32x4_t, codes: int32x4_t, weights: i32) -> int32x4_t {
    let codes = vreinterpretq_s8_s32(codes);
    let weights = vreinterpretq_s8_s32(vdupq_n_s32(weights));
    let low = vmull_s8(vget_low_s8(codes), vget_low_s8(weights));
    let high = vmull_high_s8(codes, weights);
    vpadalq_s16(sum, vpaddq_s16(low, high))
}

/// `vdotq_s32`, which Rust does not offer yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_product(mut sum: int32x4_t, codes: int32x4_t, weights: i32) -> int32x4_t {
    let weights = vdupq_n_s32(weights);
    // SAFETY: the instruction is enabled; it reads and writes these registers only.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {codes:v}.16b, {weights:v}.16b",
            sum = inout(vreg) sum,
            codes = in(vreg) codes,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Less 128 and cut off twice, to 16 bits and to a byte; the codes of each source lie side by side
/// then, which the table turns.
#[inline]
#[target_feature(enable = "neon")]
fn quad(a: int32x4_t, b: int32x4_t, c: int32x4_t, d: int32x4_t) -> int32x4_t {
    let narrow = |a, b| {
        let zero = vdupq_n_s32(128);
        let a = vqmovn_s32(vqsubq_s32(a, zero));
        vqmovn_s16(vqmovn_high_s32(a, vqsubq_s32(b, zero)))
    };
    let codes = vcombine_s8(narrow(a, b), narrow(c, d));
    let turn = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
    // SAFETY: 16 bytes.
    let turn = unsafe { vld1q_u8(turn.as_ptr()) };
    vreinterpretq_s32_s8(vqtbl1q_s8(codes, turn))
}

#[inline]
#[target_feature(enable = "neon")]
fn code(quads: int32x4_t, bits: u32) -> int32x4_t {
    let quads = veorq_u32(vreinterpretq_u32_s32(quads), vdupq_n_u32(0x8080_8080));
    let code = vshlq_u32(quads, vdupq_n_s32(-(bits as i32)));
    vreinterpretq_s32_u32(vandq_u32(code, vdupq_n_u32(255)))
}

/// |x| of the smallest integer is itself, which the unsigned minimum takes for the largest.
#[inline]
#[target_feature(enable = "neon")]
fn add_square(sum: int32x4_t, x: int32x4_t, limit: int32x4_t) -> int32x4_t {
    let distance = vminq_u32(vreinterpretq_u32_s32(vabsq_s32(x)), vreinterpretq_u32_s32(limit));
    let distance = vreinterpretq_s32_u32(distance);
    vmlaq_s32(sum, distance, distance)
}
