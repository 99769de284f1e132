//! Pairs of 16 bits with AVX2 and AVX-512: one instruction multiplies two and adds the products up; with
//! VNNI, it adds them to the sum as well.

use std::arch::x86_64::*;

use super::avx2::{Avx2, AvxVnni};
use super::avx512::{Avx512, Vnni};
use super::lane_x86::{Avx2Lane, Avx512Lane, AvxVnniLane, VnniLane};
use super::pairs::operations::{FIRST, ROUNDED, UNUSED, UP};
use super::pairs::{ColumnScale, PairLane};

macro_rules! pairs {
    ($name:ident, $proof:ty, $scaled:ident, $quads:ident, $pair:ident, $dot:ident, $add:ident, $mul:ident,
     $and:ident, $max:ident, $min:ident) => {
        impl PairLane for $name {
            type Pairs = $proof;

            #[inline(always)]
            unsafe fn scaled<const OPERATIONS: u8>(
                _: $proof,
                columns: [*const i16; 2],
                scales: &[ColumnScale; 2],
            ) -> [Self; 2] {
                // SAFETY: the proof; the caller guarantees the integers.
                unsafe { $scaled::<OPERATIONS>(columns, scales) }.map($name)
            }
            #[inline(always)]
            unsafe fn scaled_quads<const OPERATIONS: u8>(
                _: $proof,
                columns: [*const i16; 4],
                scales: &[ColumnScale; 4],
                turned: i32,
            ) -> [Self; 2] {
                // SAFETY: the proof; the caller guarantees the integers.
                unsafe { $quads::<OPERATIONS>(columns, scales, turned) }.map($name)
            }
            #[inline(always)]
            fn pair(low: Self, high: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $pair(low.0, high.0) })
            }
            #[inline(always)]
            fn dot_pairs(self, pairs: Self, weights: i32) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $dot(self.0, pairs.0, weights) })
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $and(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: the integers are the proof.
                $name(unsafe { $min(self.0, other.0) })
            }
        }
    };
}

pairs!(
    Avx2Lane,
    Avx2,
    scaled_256,
    quads_256,
    pair_256,
    dot_256,
    _mm256_add_epi32,
    _mm256_mullo_epi32,
    _mm256_and_si256,
    _mm256_max_epi32,
    _mm256_min_epi32
);
pairs!(
    AvxVnniLane,
    AvxVnni,
    scaled_256,
    quads_256,
    pair_256,
    dot_vnni_256,
    _mm256_add_epi32,
    _mm256_mullo_epi32,
    _mm256_and_si256,
    _mm256_max_epi32,
    _mm256_min_epi32
);
pairs!(
    Avx512Lane,
    Avx512,
    scaled_512,
    quads_512,
    pair_512,
    dot_512,
    _mm512_add_epi32,
    _mm512_mullo_epi32,
    _mm512_and_si512,
    _mm512_max_epi32,
    _mm512_min_epi32
);
pairs!(
    VnniLane,
    Vnni,
    scaled_512,
    quads_512,
    pair_512,
    dot_vnni_512,
    _mm512_add_epi32,
    _mm512_mullo_epi32,
    _mm512_and_si512,
    _mm512_max_epi32,
    _mm512_min_epi32
);

#[inline]
#[target_feature(enable = "avx2")]
fn pair_256(low: __m256i, high: __m256i) -> __m256i {
    _mm256_blend_epi16::<0xaa>(low, _mm256_slli_epi32::<16>(high))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn pair_512(low: __m512i, high: __m512i) -> __m512i {
    _mm512_mask_blend_epi16(0xaaaa_aaaa, low, _mm512_slli_epi32::<16>(high))
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot_256(sum: __m256i, pairs: __m256i, weights: i32) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi32(weights)))
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot_vnni_256(sum: __m256i, pairs: __m256i, weights: i32) -> __m256i {
    _mm256_dpwssd_avx_epi32(sum, pairs, _mm256_set1_epi32(weights))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot_512(sum: __m512i, pairs: __m512i, weights: i32) -> __m512i {
    _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi32(weights)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_vnni_512(sum: __m512i, pairs: __m512i, weights: i32) -> __m512i {
    _mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(weights))
}

/// Within 128 bits, pairs of events 0 to 3 of each eight go to the first vector, 4 to 7 to the other.
///
/// # Safety
/// Sixteen integers can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn scaled_256<const OPERATIONS: u8>(
    columns: [*const i16; 2],
    scales: &[ColumnScale; 2],
) -> [__m256i; 2] {
    // SAFETY: the caller guarantees sixteen integers.
    let first =
        column_256::<OPERATIONS>(unsafe { _mm256_load_si256(columns[0].cast()) }, &scales[0]);
    // SAFETY: as above.
    let second =
        column_256::<OPERATIONS>(unsafe { _mm256_load_si256(columns[1].cast()) }, &scales[1]);
    [_mm256_unpacklo_epi16(first, second), _mm256_unpackhi_epi16(first, second)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn column_256<const OPERATIONS: u8>(x: __m256i, scale: &ColumnScale) -> __m256i {
    let count = |pair: i32| _mm_cvtsi32_si128(pair & 0xffff);
    let x = if OPERATIONS & FIRST > 0 { _mm256_sll_epi16(x, count(scale.first)) } else { x };
    let x = _mm256_sub_epi16(x, _mm256_set1_epi32(scale.offset));
    let mut x = _mm256_sra_epi16(_mm256_sll_epi16(x, count(scale.left)), count(scale.right));
    if OPERATIONS & ROUNDED > 0 {
        let correction = _mm256_sra_epi16(x, count(scale.bits));
        let correction = _mm256_and_si256(correction, _mm256_set1_epi32(scale.mask));
        x = _mm256_add_epi16(_mm256_add_epi16(x, _mm256_set1_epi32(scale.add)), correction);
        x = _mm256_sra_epi16(x, count(scale.round));
    }
    if OPERATIONS & UP > 0 {
        x = _mm256_max_epi16(x, _mm256_set1_epi32(scale.before[0]));
        x = _mm256_min_epi16(x, _mm256_set1_epi32(scale.before[1]));
        x = _mm256_sll_epi16(x, count(scale.up));
    }
    if OPERATIONS & UNUSED > 0 {
        let unused = count(scale.unused);
        x = _mm256_sra_epi16(_mm256_sll_epi16(x, unused), unused);
    }
    let x = _mm256_max_epi16(x, _mm256_set1_epi32(scale.range[0]));
    _mm256_min_epi16(x, _mm256_set1_epi32(scale.range[1]))
}

/// As [`scaled_256`].
///
/// # Safety
/// 32 integers can be read at each pointer.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn scaled_512<const OPERATIONS: u8>(
    columns: [*const i16; 2],
    scales: &[ColumnScale; 2],
) -> [__m512i; 2] {
    // SAFETY: the caller guarantees 32 integers.
    let first =
        column_512::<OPERATIONS>(unsafe { _mm512_load_si512(columns[0].cast()) }, &scales[0]);
    // SAFETY: as above.
    let second =
        column_512::<OPERATIONS>(unsafe { _mm512_load_si512(columns[1].cast()) }, &scales[1]);
    [_mm512_unpacklo_epi16(first, second), _mm512_unpackhi_epi16(first, second)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn column_512<const OPERATIONS: u8>(x: __m512i, scale: &ColumnScale) -> __m512i {
    let x = if OPERATIONS & FIRST > 0 {
        _mm512_sllv_epi16(x, _mm512_set1_epi32(scale.first))
    } else {
        x
    };
    let x = _mm512_sub_epi16(x, _mm512_set1_epi32(scale.offset));
    let x = _mm512_sllv_epi16(x, _mm512_set1_epi32(scale.left));
    let mut x = _mm512_srav_epi16(x, _mm512_set1_epi32(scale.right));
    if OPERATIONS & ROUNDED > 0 {
        let correction = _mm512_srav_epi16(x, _mm512_set1_epi32(scale.bits));
        let correction = _mm512_and_si512(correction, _mm512_set1_epi32(scale.mask));
        x = _mm512_add_epi16(_mm512_add_epi16(x, _mm512_set1_epi32(scale.add)), correction);
        x = _mm512_srav_epi16(x, _mm512_set1_epi32(scale.round));
    }
    if OPERATIONS & UP > 0 {
        x = _mm512_max_epi16(x, _mm512_set1_epi32(scale.before[0]));
        x = _mm512_min_epi16(x, _mm512_set1_epi32(scale.before[1]));
        x = _mm512_sllv_epi16(x, _mm512_set1_epi32(scale.up));
    }
    if OPERATIONS & UNUSED > 0 {
        let unused = _mm512_set1_epi32(scale.unused);
        x = _mm512_srav_epi16(_mm512_sllv_epi16(x, unused), unused);
    }
    let x = _mm512_max_epi16(x, _mm512_set1_epi32(scale.range[0]));
    _mm512_min_epi16(x, _mm512_set1_epi32(scale.range[1]))
}

/// As [`scaled_256`].
///
/// # Safety
/// 16 integers can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn quads_256<const OPERATIONS: u8>(
    columns: [*const i16; 4],
    scales: &[ColumnScale; 4],
    turned: i32,
) -> [__m256i; 2] {
    let mut bytes = [_mm256_setzero_si256(); 4];
    for (bytes, (column, scale)) in bytes.iter_mut().zip(columns.iter().zip(scales)) {
        // SAFETY: the caller guarantees 16 integers.
        *bytes = column_256::<OPERATIONS>(unsafe { _mm256_load_si256(column.cast()) }, scale);
    }
    let [a, b, c, d] = bytes;
    let (low, high) = (bytes_256(a, b), bytes_256(c, d));
    let turned = _mm256_set1_epi32(turned);
    let quads = [_mm256_unpacklo_epi16(low, high), _mm256_unpackhi_epi16(low, high)];
    [_mm256_xor_si256(quads[0], turned), _mm256_xor_si256(quads[1], turned)]
}

/// The lower bytes of two vectors of 16-bit integers side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes_256(low: __m256i, high: __m256i) -> __m256i {
    let low = _mm256_and_si256(low, _mm256_set1_epi16(255));
    _mm256_or_si256(low, _mm256_slli_epi16::<8>(high))
}

/// As [`scaled_256`].
///
/// # Safety
/// 32 integers can be read at each pointer.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn quads_512<const OPERATIONS: u8>(
    columns: [*const i16; 4],
    scales: &[ColumnScale; 4],
    turned: i32,
) -> [__m512i; 2] {
    let mut bytes = [_mm512_setzero_si512(); 4];
    for (bytes, (column, scale)) in bytes.iter_mut().zip(columns.iter().zip(scales)) {
        // SAFETY: the caller guarantees 32 integers.
        *bytes = column_512::<OPERATIONS>(unsafe { _mm512_load_si512(column.cast()) }, scale);
    }
    let [a, b, c, d] = bytes;
    let (low, high) = (bytes_512(a, b), bytes_512(c, d));
    let turned = _mm512_set1_epi32(turned);
    let quads = [_mm512_unpacklo_epi16(low, high), _mm512_unpackhi_epi16(low, high)];
    [_mm512_xor_si512(quads[0], turned), _mm512_xor_si512(quads[1], turned)]
}

/// The lower bytes of two vectors of 16-bit integers side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bytes_512(low: __m512i, high: __m512i) -> __m512i {
    _mm512_mask_blend_epi8(0xaaaa_aaaa_aaaa_aaaa, low, _mm512_slli_epi16::<8>(high))
}
