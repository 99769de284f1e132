//! Words of 128 crossings with the instructions that every 64-bit Arm processor has.

use std::arch::aarch64::*;

use super::word::{Pair, Word};

/// Owned by everyone on such a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon;

/// Owning one proves that the processor has dot products of bytes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot(());

impl Dot {
    /// The proof, if the processor has the instructions.
    #[must_use]
    pub fn detect() -> Option<Dot> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Dot(()))
    }
}

/// 128 crossings.
#[derive(Clone, Copy)]
pub(crate) struct Bits128(uint8x16_t);

/// 512 crossings.
pub(crate) type Bits512 = Pair<Pair<Bits128>>;

impl Word for Bits128 {
    type Proof = Neon;
    const LANES: usize = 128;

    #[inline(always)]
    fn splat(_: Neon, byte: u8) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vdupq_n_u8(byte) })
    }
    #[inline(always)]
    unsafe fn load(_: Neon, from: *const u64) -> Self {
        // SAFETY: the caller guarantees a word.
        Bits128(unsafe { vld1q_u8(from.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u64) {
        // SAFETY: the caller guarantees the room.
        unsafe { vst1q_u8(to.cast(), self.0) }
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vandq_u8(self.0, other.0) })
    }
    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vbicq_u8(self.0, other.0) })
    }
    #[inline(always)]
    fn not(self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vmvnq_u8(self.0) })
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vorrq_u8(self.0, other.0) })
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { veorq_u8(self.0, other.0) })
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        // SAFETY: NEON is part of the architecture.
        let by = unsafe { vdupq_n_s16(BITS as i16) };
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(self.0), by)) })
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        // A shift by a negative number goes right.
        // SAFETY: NEON is part of the architecture.
        let by = unsafe { vdupq_n_s16(-(BITS as i16)) };
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(self.0), by)) })
    }
    #[inline(always)]
    unsafe fn narrow(_: Neon, from: *const i16, offset: i16) -> Self {
        // SAFETY: the caller guarantees 16 integers.
        let low = unsafe { vld1q_s16(from) };
        // SAFETY: the second half of them.
        let high = unsafe { vld1q_s16(from.wrapping_add(8)) };
        // SAFETY: NEON is part of the architecture.
        let offset = unsafe { vdupq_n_s16(offset) };
        // Saturating: what passes the ends of 16 bits passes those of the byte, too.
        // SAFETY: NEON is part of the architecture.
        let low = unsafe { vqmovun_s16(vqsubq_s16(low, offset)) };
        // SAFETY: NEON is part of the architecture.
        let high = unsafe { vqmovun_s16(vqsubq_s16(high, offset)) };
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vcombine_u8(low, high) })
    }
    #[inline(always)]
    unsafe fn put_bytes(self, to: *mut u8) {
        // SAFETY: the caller guarantees 16 bytes.
        unsafe { vst1q_u8(to, self.0) }
    }
    #[inline(always)]
    fn choose(self, a: Self, b: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Bits128(unsafe { vbslq_u8(self.0, a.0, b.0) })
    }
}
