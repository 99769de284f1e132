//! Words of 512 and 256 crossings with the instructions of AVX-512 (F, BW, VL).

use std::arch::x86_64::*;

use super::avx2::{narrow_256, prefetch_to_write, put_bytes_256, shift_left_256, shift_right_256};
use super::word::Word;

/// Owning one proves that the processor has AVX2 and AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, if the processor has the instructions.
    #[must_use]
    pub fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        found.then_some(Avx512(()))
    }
}

/// Owning one proves that the processor has VNNI, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vnni(());

impl Vnni {
    /// The proof, if the processor has the instructions.
    #[must_use]
    pub fn detect(_: Avx512) -> Option<Vnni> {
        is_x86_feature_detected!("avx512vnni").then_some(Vnni(()))
    }
}

/// Results of three bits, as ternary logic writes them: for a = 0xf0, b = 0xcc, c = 0xaa.
const A: i32 = 0xf0;
const B: i32 = 0xcc;
const C: i32 = 0xaa;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident($register:ty), $lanes:literal, $splat:ident, $load:ident,
     $store:ident, $ternary:ident, $left:ident, $right:ident, $narrow:ident, $put_bytes:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name($register);

        impl $name {
            #[inline(always)]
            fn ternary<const TABLE: i32>(a: Self, b: Self, c: Self) -> Self {
                // SAFETY: a word exists only where the instructions do.
                $name(unsafe { $ternary::<TABLE>(a.0, b.0, c.0) })
            }
        }

        impl Word for $name {
            type Proof = Avx512;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: Avx512, byte: u8) -> Self {
                // SAFETY: the proof.
                $name(unsafe { $splat(byte as i8) })
            }
            #[inline(always)]
            unsafe fn load(_: Avx512, from: *const u64) -> Self {
                // SAFETY: the proof; the caller guarantees an aligned word.
                $name(unsafe { $load(from.cast()) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut u64) {
                // SAFETY: the word is the proof; the caller guarantees aligned room.
                unsafe { $store(to.cast(), self.0) }
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                Self::ternary::<{ A & B }>(self, other, other)
            }
            #[inline(always)]
            fn and_not(self, other: Self) -> Self {
                Self::ternary::<{ A & !B }>(self, other, other)
            }
            #[inline(always)]
            fn not(self) -> Self {
                Self::ternary::<{ !A & 0xff }>(self, self, self)
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                Self::ternary::<{ A | B }>(self, other, other)
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                Self::ternary::<{ A ^ B }>(self, other, other)
            }
            #[inline(always)]
            fn shift_left<const BITS: u32>(self) -> Self {
                // SAFETY: the word is the proof.
                $name(unsafe { $left::<BITS>(self.0) })
            }
            #[inline(always)]
            fn shift_right<const BITS: u32>(self) -> Self {
                // SAFETY: the word is the proof.
                $name(unsafe { $right::<BITS>(self.0) })
            }
            #[inline(always)]
            unsafe fn narrow(_: Avx512, from: *const i16, offset: i16) -> Self {
                // SAFETY: the proof; the caller guarantees the integers.
                $name(unsafe { $narrow(from, offset) })
            }
            #[inline(always)]
            unsafe fn put_bytes(self, to: *mut u8) {
                // SAFETY: the word is the proof; the caller guarantees the room.
                unsafe { $put_bytes(to, self.0) }
            }
            #[inline(always)]
            fn or_and(self, a: Self, b: Self) -> Self {
                Self::ternary::<{ A | (B & C) }>(self, a, b)
            }
            #[inline(always)]
            fn prefetch(soon: &i16) {
                // SAFETY: a hint, without an effect but on caches; every x86-64 processor has it.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast()) }
            }
            #[inline(always)]
            fn prefetch_to_write(soon: *mut u64) {
                prefetch_to_write(soon);
            }
            #[inline(always)]
            fn choose(self, a: Self, b: Self) -> Self {
                Self::ternary::<{ (A & B) | (!A & C) }>(self, a, b)
            }
            #[inline(always)]
            fn full_add(a: Self, b: Self, c: Self) -> (Self, Self) {
                let sum = Self::ternary::<{ A ^ B ^ C }>(a, b, c);
                (sum, Self::ternary::<{ (A & B) | (A & C) | (B & C) }>(a, b, c))
            }
            #[inline(always)]
            fn full_add_not(a: Self, b: Self, c: Self) -> (Self, Self) {
                let sum = Self::ternary::<{ A ^ B ^ C }>(a, b, c);
                (sum, Self::ternary::<{ ((A & !B) | (A & !C) | (!B & !C)) & 0xff }>(a, b, c))
            }
        }
    };
}

word!(
    /// 512 crossings.
    Bits512(__m512i), 512, _mm512_set1_epi8, _mm512_load_si512, _mm512_store_si512,
    _mm512_ternarylogic_epi64, _mm512_slli_epi16, _mm512_srli_epi16, narrow_512, put_bytes_512
);
word!(
    /// 256 crossings.
    Bits256(__m256i), 256, _mm256_set1_epi8, _mm256_load_si256, _mm256_store_si256,
    _mm256_ternarylogic_epi64, shift_left_256, shift_right_256, narrow_256, put_bytes_256
);

/// # Safety
/// 64 integers can be read there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn narrow_512(from: *const i16, offset: i16) -> __m512i {
    let offset = _mm512_set1_epi16(offset);
    // SAFETY: the caller guarantees 64 integers.
    let low = unsafe { _mm512_loadu_si512(from.cast()) };
    // SAFETY: the second half of them.
    let high = unsafe { _mm512_loadu_si512(from.wrapping_add(32).cast()) };
    // Saturating: what passes the ends of 16 bits passes those of the byte, too.
    _mm512_packus_epi16(_mm512_subs_epi16(low, offset), _mm512_subs_epi16(high, offset))
}

/// # Safety
/// 64 bytes can be written there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn put_bytes_512(to: *mut u8, bytes: __m512i) {
    // Packing interleaves the two sources by 16 bytes; this undoes it.
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    let bytes = _mm512_permutexvar_epi64(order, bytes);
    // SAFETY: the caller guarantees 64 bytes.
    unsafe { _mm512_storeu_si512(to.cast(), bytes) }
}
