//! 32-bit integers of eight events with AVX2, of sixteen with AVX-512.
//!
//! AVX2 multiplies codes and weights to pairs of 16 bits, which saturate beyond what weights of
//! seven bits can reach, and adds those up; VNNI does it at once.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::avx512::{Avx512, Vnni};
use super::lane::Lane;

macro_rules! lane {
    ($(#[$doc:meta])* $name:ident($register:ty), $lanes:literal, $splat:ident, $load:ident,
     $store:ident, $widen:ident, $sub:ident, $left:ident, $right:ident, $dot:ident, $quad:ident,
     $code:ident, $add_square:ident, $proof:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name($register);

        impl Lane for $name {
            type Proof = $proof;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: $proof, x: i32) -> Self {
                // SAFETY: the proof.
                $name(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(_: $proof, from: *const i32) -> Self {
                // SAFETY: the proof; the caller guarantees the integers.
                $name(unsafe { $load(from.cast()) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut i32) {
                // SAFETY: the integers are the proof; the caller guarantees the room.
                unsafe { $store(to.cast(), self.0) }
            }
            #[inline(always)]
            unsafe fn widen(_: $proof, from: *const i16) -> Self {
                // SAFETY: the proof; the caller guarantees the integers.
                $name(unsafe { $widen(from) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn shift_left(self, bits: u32) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $left(self.0, bits) })
            }
            #[inline(always)]
            fn shift_right(self, bits: u32) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $right(self.0, bits) })
            }
            #[inline(always)]
            fn dot(self, codes: Self, weights: i32) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $dot(self.0, codes.0, weights) })
            }
            #[inline(always)]
            fn quad([a, b, c, d]: [Self; 4]) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $quad(a.0, b.0, c.0, d.0) })
            }
            #[inline(always)]
            fn code(self, bits: u32) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $code(self.0, bits) })
            }
            #[inline(always)]
            fn add_square(self, x: Self, limit: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $add_square(self.0, x.0, limit.0) })
            }
        }
    };
}

lane!(
    /// Eight events.
    Avx2Lane(__m256i), 8, _mm256_set1_epi32, _mm256_load_si256, _mm256_store_si256,
    widen_256, _mm256_sub_epi32, left_256, right_256, dot_256, quad_256, code_256, add_square_256, Avx2
);
lane!(
    /// Sixteen events, without VNNI.
    Avx512Lane(__m512i), 16, _mm512_set1_epi32, _mm512_load_si512, _mm512_store_si512,
    widen_512, _mm512_sub_epi32, left_512, right_512, dot_512, quad_512, code_512, add_square_512, Avx512
);
lane!(
    /// Sixteen events, with VNNI.
    VnniLane(__m512i), 16, _mm512_set1_epi32, _mm512_load_si512, _mm512_store_si512,
    widen_512, _mm512_sub_epi32, left_512, right_512, dot_vnni, quad_512, code_512, add_square_512, Vnni
);

/// # Safety
/// Eight integers can be read there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen_256(from: *const i16) -> __m256i {
    // SAFETY: the caller guarantees eight integers.
    _mm256_cvtepi16_epi32(unsafe { _mm_load_si128(from.cast()) })
}

/// # Safety
/// Sixteen integers can be read there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn widen_512(from: *const i16) -> __m512i {
    // SAFETY: the caller guarantees sixteen integers.
    _mm512_cvtepi16_epi32(unsafe { _mm256_load_si256(from.cast()) })
}

macro_rules! shift {
    ($name:ident, $features:literal, $register:ty, $shift:ident) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $name(x: $register, bits: u32) -> $register {
            $shift(x, _mm_cvtsi32_si128(bits as i32))
        }
    };
}

shift!(left_256, "avx2", __m256i, _mm256_sll_epi32);
shift!(right_256, "avx2", __m256i, _mm256_sra_epi32);
shift!(left_512, "avx512f", __m512i, _mm512_sll_epi32);
shift!(right_512, "avx512f", __m512i, _mm512_sra_epi32);

#[inline]
#[target_feature(enable = "avx2")]
fn dot_256(sum: __m256i, codes: __m256i, weights: i32) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, _mm256_set1_epi32(weights));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot_512(sum: __m512i, codes: __m512i, weights: i32) -> __m512i {
    let pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi32(weights));
    _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_vnni(sum: __m512i, codes: __m512i, weights: i32) -> __m512i {
    _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(weights))
}

/// Packing saturates twice, to 16 bits and to a byte; within 128 bits it leaves four codes of each
/// source side by side, which the shuffle turns.
#[inline]
#[target_feature(enable = "avx2")]
fn quad_256(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(turn))
}

/// As [`quad_256`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn quad_512(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    let bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    let turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(turn))
}

#[inline]
#[target_feature(enable = "avx2")]
fn code_256(quads: __m256i, bits: u32) -> __m256i {
    let code = _mm256_srl_epi32(quads, _mm_cvtsi32_si128(bits as i32));
    _mm256_and_si256(code, _mm256_set1_epi32(255))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn code_512(quads: __m512i, bits: u32) -> __m512i {
    let code = _mm512_srl_epi32(quads, _mm_cvtsi32_si128(bits as i32));
    _mm512_and_si512(code, _mm512_set1_epi32(255))
}

// |x| of the smallest integer is itself, which the unsigned minimum takes for the largest. The
// upper halves are 0 after it, so that pairs of products are squares.

#[inline]
#[target_feature(enable = "avx2")]
fn add_square_256(sum: __m256i, x: __m256i, limit: __m256i) -> __m256i {
    let distance = _mm256_min_epu32(_mm256_abs_epi32(x), limit);
    _mm256_add_epi32(sum, _mm256_madd_epi16(distance, distance))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_square_512(sum: __m512i, x: __m512i, limit: __m512i) -> __m512i {
    let distance = _mm512_min_epu32(_mm512_abs_epi32(x), limit);
    _mm512_add_epi32(sum, _mm512_madd_epi16(distance, distance))
}
