//! 32-bit integers of eight events with AVX2, of sixteen with AVX-512.
//!
//! AVX2 multiplies codes and weights to pairs of 16 bits, which saturate beyond what weights of
//! seven bits can reach, and adds those up; VNNI does it at once.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::{Avx2, AvxVnni};
use super::avx512::{Avx512, Vnni};
use super::lane::{CodeScales, Lane, QUAD};

macro_rules! lane {
    ($(#[$doc:meta])* $name:ident($register:ty), $lanes:literal, $splat:ident, $load:ident,
     $store:ident, $codes:ident, $in_order:ident, $sub:ident, $left:ident, $right:ident, $dot:ident,
     $quad:ident, $code:ident, $add_square:ident, $vectors:literal, $proof:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(pub(super) $register);

        impl Lane for $name {
            type Proof = $proof;
            const LANES: usize = $lanes;
            const VECTORS: usize = $vectors;

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
            fn prefetch(_: $proof, at: *const i16) {
                // SAFETY: it reads nothing, whatever the address is.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
            #[inline(always)]
            unsafe fn codes(
                _: $proof,
                columns: [*const i16; QUAD],
                scales: &CodeScales,
            ) -> [Self; 2] {
                // SAFETY: the proof; the caller guarantees the integers.
                unsafe { $codes(columns, scales) }.map($name)
            }
            #[inline(always)]
            fn in_order([low, high]: [Self; 2]) -> [Self; 2] {
                // SAFETY: the integers are the proof.
                unsafe { $in_order(low.0, high.0) }.map($name)
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
    Avx2Lane(__m256i), 8, _mm256_set1_epi32, _mm256_load_si256, _mm256_store_si256, codes_256,
    in_order_256, _mm256_sub_epi32, left_256, right_256, dot_256, quad_256, code_256, add_square_256,
    2, Avx2
);
lane!(
    /// Eight events, with VNNI.
    AvxVnniLane(__m256i), 8, _mm256_set1_epi32, _mm256_load_si256, _mm256_store_si256, codes_256,
    in_order_256, _mm256_sub_epi32, left_256, right_256, dot_vnni_256, quad_256, code_256,
    add_square_256, 2, AvxVnni
);
lane!(
    /// Sixteen events, without VNNI.
    Avx512Lane(__m512i), 16, _mm512_set1_epi32, _mm512_load_si512, _mm512_store_si512, codes_512,
    in_order_512, _mm512_sub_epi32, left_512, right_512, dot_512, quad_512, code_512, add_square_512,
    4, Avx512
);
lane!(
    /// Sixteen events, with VNNI.
    VnniLane(__m512i), 16, _mm512_set1_epi32, _mm512_load_si512, _mm512_store_si512, codes_512,
    in_order_512, _mm512_sub_epi32, left_512, right_512, dot_vnni_512, quad_512, code_512, add_square_512,
    4, Vnni
);

/// Within 128 bits, codes of events 0 to 3 of each eight go to the first vector, 4 to 7 to the other.
///
/// # Safety
/// Sixteen integers can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn codes_256(columns: [*const i16; QUAD], scales: &CodeScales) -> [__m256i; 2] {
    let bits = |pair: i32| _mm_cvtsi32_si128(pair & 0xffff);
    let mut codes = [_mm256_setzero_si256(); QUAD];
    for (k, codes) in codes.iter_mut().enumerate() {
        // SAFETY: the caller guarantees sixteen integers.
        let x = unsafe { _mm256_load_si256(columns[k].cast()) };
        let offset = _mm256_set1_epi32(scales.offsets[k]);
        let difference = _mm256_sub_epi16(_mm256_max_epi16(x, offset), offset);
        let difference = _mm256_min_epu16(difference, _mm256_set1_epi32(scales.limits[k]));
        *codes = _mm256_srl_epi16(difference, bits(scales.rights[k]));
        if scales.has_left {
            *codes = _mm256_sll_epi16(*codes, bits(scales.lefts[k]));
            *codes = _mm256_min_epu16(*codes, _mm256_set1_epi16(255));
        }
    }
    let [a, b, c, d] = codes;
    let low = _mm256_or_si256(a, _mm256_slli_epi16::<8>(b));
    let high = _mm256_or_si256(c, _mm256_slli_epi16::<8>(d));
    [_mm256_unpacklo_epi16(low, high), _mm256_unpackhi_epi16(low, high)]
}

/// As [`codes_256`].
///
/// # Safety
/// 32 integers can be read at each pointer.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn codes_512(columns: [*const i16; QUAD], scales: &CodeScales) -> [__m512i; 2] {
    let mut codes = [_mm512_setzero_si512(); QUAD];
    for (k, codes) in codes.iter_mut().enumerate() {
        // SAFETY: the caller guarantees 32 integers.
        let x = unsafe { _mm512_load_si512(columns[k].cast()) };
        let offset = _mm512_set1_epi32(scales.offsets[k]);
        let difference = _mm512_sub_epi16(_mm512_max_epi16(x, offset), offset);
        let difference = _mm512_min_epu16(difference, _mm512_set1_epi32(scales.limits[k]));
        *codes = _mm512_srlv_epi16(difference, _mm512_set1_epi32(scales.rights[k]));
        if scales.has_left {
            *codes = _mm512_sllv_epi16(*codes, _mm512_set1_epi32(scales.lefts[k]));
            *codes = _mm512_min_epu16(*codes, _mm512_set1_epi16(255));
        }
    }
    let [a, b, c, d] = codes;
    let low = _mm512_or_si512(a, _mm512_slli_epi16::<8>(b));
    let high = _mm512_or_si512(c, _mm512_slli_epi16::<8>(d));
    [_mm512_unpacklo_epi16(low, high), _mm512_unpackhi_epi16(low, high)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn in_order_256(low: __m256i, high: __m256i) -> [__m256i; 2] {
    [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn in_order_512(low: __m512i, high: __m512i) -> [__m512i; 2] {
    let first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    let second = _mm512_or_si512(first, _mm512_set1_epi32(8));
    [_mm512_permutex2var_epi32(low, first, high), _mm512_permutex2var_epi32(low, second, high)]
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

/// With a vector of counts a shift is one operation; with a single count, which LLVM takes where it
/// sees that all are equal, it is two. So it must not see that.
#[inline]
#[target_feature(enable = "avx512f")]
fn right_512(x: __m512i, bits: u32) -> __m512i {
    let mut counts = _mm512_set1_epi32(bits as i32);
    // SAFETY: there is no instruction in it.
    unsafe {
        asm!("/* {0} */", inout(zmm_reg) counts, options(pure, nomem, nostack, preserves_flags));
    }
    _mm512_srav_epi32(x, counts)
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot_256(sum: __m256i, codes: __m256i, weights: i32) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, _mm256_set1_epi32(weights));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot_vnni_256(sum: __m256i, codes: __m256i, weights: i32) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, codes, _mm256_set1_epi32(weights))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot_512(sum: __m512i, codes: __m512i, weights: i32) -> __m512i {
    let pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi32(weights));
    _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_vnni_512(sum: __m512i, codes: __m512i, weights: i32) -> __m512i {
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
