//! Pairs of 16 bits with NEON: halves are taken apart, multiplied into 32 bits and added up.

use std::arch::aarch64::*;

use super::lane_neon::{DotLane, NeonLane};
use super::neon::{Dot, Neon};
use super::pairs::operations::{FIRST, ROUNDED, UNUSED, UP};
use super::pairs::{ColumnScale, PairLane};

macro_rules! pairs {
    ($name:ident, $proof:ty) => {
        impl PairLane for $name {
            type Pairs = $proof;

            #[inline(always)]
            unsafe fn scaled<const OPERATIONS: u8>(
                _: $proof,
                columns: [*const i16; 2],
                scales: &[ColumnScale; 2],
            ) -> [Self; 2] {
                // SAFETY: NEON is part of the architecture; the caller guarantees the integers.
                unsafe { scaled::<OPERATIONS>(columns, scales) }.map($name)
            }
            #[inline(always)]
            unsafe fn scaled_quads<const OPERATIONS: u8>(
                _: $proof,
                columns: [*const i16; 4],
                scales: &[ColumnScale; 4],
                turned: i32,
            ) -> [Self; 2] {
                // SAFETY: NEON is part of the architecture; the caller guarantees the integers.
                unsafe { quads::<OPERATIONS>(columns, scales, turned) }.map($name)
            }
            #[inline(always)]
            fn pair(low: Self, high: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vsliq_n_s32::<16>(low.0, high.0) })
            }
            #[inline(always)]
            fn dot_pairs(self, pairs: Self, weights: i32) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { dot(self.0, pairs.0, weights) })
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vaddq_s32(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vmulq_s32(self.0, other.0) })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vandq_s32(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vmaxq_s32(self.0, other.0) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: NEON is part of the architecture.
                $name(unsafe { vminq_s32(self.0, other.0) })
            }
        }
    };
}

pairs!(NeonLane, Neon);
pairs!(DotLane, Dot);

#[inline]
#[target_feature(enable = "neon")]
fn dot(sum: int32x4_t, pairs: int32x4_t, weights: i32) -> int32x4_t {
    let sum = vmlal_n_s16(sum, vmovn_s32(pairs), weights as i16);
    vmlal_n_s16(sum, vshrn_n_s32::<16>(pairs), (weights >> 16) as i16)
}

/// # Safety
/// Eight integers can be read at each pointer.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn scaled<const OPERATIONS: u8>(
    columns: [*const i16; 2],
    scales: &[ColumnScale; 2],
) -> [int32x4_t; 2] {
    // SAFETY: the caller guarantees eight integers.
    let first = column::<OPERATIONS>(unsafe { vld1q_s16(columns[0]) }, &scales[0]);
    // SAFETY: as above.
    let second = column::<OPERATIONS>(unsafe { vld1q_s16(columns[1]) }, &scales[1]);
    [vzip1q_s16(first, second), vzip2q_s16(first, second)].map(|pairs| vreinterpretq_s32_s16(pairs))
}

/// A shift by a negative number goes right, with the sign.
#[inline]
#[target_feature(enable = "neon")]
fn column<const OPERATIONS: u8>(x: int16x8_t, scale: &ColumnScale) -> int16x8_t {
    let all = |pair: i32| vdupq_n_s16(pair as i16);
    let x = if OPERATIONS & FIRST > 0 { vshlq_s16(x, all(scale.first)) } else { x };
    let x = vshlq_s16(vsubq_s16(x, all(scale.offset)), all(scale.left));
    let mut x = vshlq_s16(x, vnegq_s16(all(scale.right)));
    if OPERATIONS & ROUNDED > 0 {
        let correction = vandq_s16(vshlq_s16(x, vnegq_s16(all(scale.bits))), all(scale.mask));
        x = vaddq_s16(vaddq_s16(x, all(scale.add)), correction);
        x = vshlq_s16(x, vnegq_s16(all(scale.round)));
    }
    if OPERATIONS & UP > 0 {
        x = vminq_s16(vmaxq_s16(x, all(scale.before[0])), all(scale.before[1]));
        x = vshlq_s16(x, all(scale.up));
    }
    if OPERATIONS & UNUSED > 0 {
        let unused = all(scale.unused);
        x = vshlq_s16(vshlq_s16(x, unused), vnegq_s16(unused));
    }
    vminq_s16(vmaxq_s16(x, all(scale.range[0])), all(scale.range[1]))
}

/// # Safety
/// Eight integers can be read at each pointer.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn quads<const OPERATIONS: u8>(
    columns: [*const i16; 4],
    scales: &[ColumnScale; 4],
    turned: i32,
) -> [int32x4_t; 2] {
    let mut bytes = [vdupq_n_u16(0); 4];
    for (bytes, (&from, scale)) in bytes.iter_mut().zip(columns.iter().zip(scales)) {
        // SAFETY: the caller guarantees eight integers.
        let x = column::<OPERATIONS>(unsafe { vld1q_s16(from) }, scale);
        *bytes = vreinterpretq_u16_s16(x);
    }
    let [a, b, c, d] = bytes;
    let (low, high) = (vsliq_n_u16::<8>(a, b), vsliq_n_u16::<8>(c, d));
    let turned = vdupq_n_s32(turned);
    let turn = |quads| veorq_s32(vreinterpretq_s32_u16(quads), turned);
    [turn(vzip1q_u16(low, high)), turn(vzip2q_u16(low, high))]
}
