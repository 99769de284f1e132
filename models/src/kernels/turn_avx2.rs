//! Turning lists with AVX2: squares of eight ranks and sixteen lists.
//!
//! A register holds eight entries of list j in its low half and eight of list j + 8 in its high
//! one. Eight such registers are two 8 × 8 squares, which three rounds of interleaving transpose
//! at once, and each result is one rank of sixteen lists. What the comparison of multiplicities
//! with the rank says is not there becomes zero at the end.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::turn::{Column, Columns, LINE, Offsets, QUAD, RANKS};

/// How many codes from the beginning of a list are looked at: eight ranks, from the ninth on, too.
pub(super) const REACH: usize = 2 * SIDE;
/// Lists that are turned at once.
const LISTS: usize = 16;
/// Ranks that are.
const SIDE: usize = 8;

/// Turns 32 lists.
///
/// # Panics
/// If a list begins too near to the end of the codes.
pub(super) fn line(
    _: Avx2,
    offsets: &Offsets,
    columns: Columns<'_>,
    lanes: &mut [i16],
    lane: usize,
) {
    let end = |column: &Column<'_>| column.places().iter().max().map_or(0, |p| p + lane + LINE);
    debug_assert!(columns.as_slice().iter().all(|column| end(column) <= lanes.len()));
    let mut furthest = 0;
    for &begin in offsets {
        furthest = begin.max(furthest);
    }
    assert!(furthest as usize + REACH <= columns.n_words(), "codes end too early");
    for half in [0, LISTS] {
        let to = lanes.as_mut_ptr().wrapping_add(lane + half);
        // SAFETY: the proof; 17 offsets; the assertion; `turn` asserted that the lanes of every
        // place exist.
        unsafe { squares(offsets.as_ptr().wrapping_add(half), columns, to) }
    }
}

/// # Safety
/// There are 17 offsets; [`REACH`] codes can be read from each of them on, and sixteen lanes
/// written from every place on, counted from `to`.
#[target_feature(enable = "avx2")]
unsafe fn squares(offsets: *const u32, columns: Columns<'_>, to: *mut i16) {
    // SAFETY: the caller guarantees 17 offsets.
    let begins = unsafe { &*offsets.cast::<[u32; LISTS]>() };
    // SAFETY: the caller guarantees 17 offsets.
    let counts = unsafe { counts(offsets) };
    let mut keep = [counts; RANKS];
    let mut ranks = _mm256_setzero_si256();
    for quad in keep.as_chunks_mut::<QUAD>().0.iter_mut().take(columns.n_quads()) {
        for keep in quad {
            *keep = _mm256_cmpgt_epi16(counts, ranks);
            ranks = _mm256_add_epi16(ranks, _mm256_set1_epi16(1));
        }
    }
    let keep = keep.as_chunks::<QUAD>().0;
    for first in [0, 2] {
        let any = _mm256_testz_si256(keep[first][0], keep[first][0]) == 0;
        for column in columns.as_slice() {
            let asked = column.places().asked() >> (first * QUAD) & 0xff;
            if asked == 0 {
                continue;
            }
            let mut ranks = [_mm256_setzero_si256(); SIDE];
            if any {
                let codes = column.words().as_ptr().wrapping_add(first * QUAD);
                // SAFETY: the caller guarantees eight codes from this rank on.
                ranks = unsafe { square(codes, begins, asked >> QUAD != 0) };
            }
            let [r0, r1, r2, r3, r4, r5, r6, r7] = ranks;
            // SAFETY: the caller guarantees sixteen lanes.
            unsafe { put_quad(to, column, first, &keep[first], [r0, r1, r2, r3]) };
            if asked >> QUAD != 0 {
                // SAFETY: the caller guarantees sixteen lanes.
                unsafe { put_quad(to, column, first + 1, &keep[first + 1], [r4, r5, r6, r7]) };
            }
        }
    }
}

/// Writes four ranks of a column to where they are asked for.
///
/// # Safety
/// Sixteen lanes can be written from every place on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn put_quad(
    to: *mut i16,
    column: &Column<'_>,
    quad: usize,
    keep: &[__m256i; QUAD],
    lines: [__m256i; QUAD],
) {
    let places = column.places().quad(quad);
    let asked = column.places().asked() >> (quad * QUAD) & 0b1111;
    let all = asked == 0b1111;
    for k in 0..QUAD {
        if all || asked >> k & 1 != 0 {
            let to = to.wrapping_add(places[k] as usize);
            let line = _mm256_and_si256(lines[k], keep[k]);
            // SAFETY: the caller guarantees sixteen lanes.
            unsafe { _mm256_storeu_si256(to.cast(), line) };
        }
    }
}

/// How many entries each of sixteen lists has.
///
/// # Safety
/// There are 17 offsets.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn counts(offsets: *const u32) -> __m256i {
    // SAFETY: the caller guarantees 17.
    let begins = unsafe { _mm256_loadu_si256(offsets.cast()) };
    // SAFETY: eight on from the first.
    let ends = unsafe { _mm256_loadu_si256(offsets.wrapping_add(1).cast()) };
    let low = _mm256_sub_epi32(ends, begins);
    // SAFETY: eight on from the eighth.
    let begins = unsafe { _mm256_loadu_si256(offsets.wrapping_add(8).cast()) };
    // SAFETY: eight on from the ninth.
    let ends = unsafe { _mm256_loadu_si256(offsets.wrapping_add(9).cast()) };
    let high = _mm256_sub_epi32(ends, begins);
    // Packing interleaves the two sources by 128 bits; this undoes it.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high))
}

/// Eight entries of lists `k` and `k + 8`.
///
/// # Safety
/// Eight codes can be read from where each of them begins.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn row(codes: *const i16, begins: &[u32; LISTS], k: usize) -> __m256i {
    let low = codes.wrapping_add(begins[k] as usize);
    // SAFETY: the caller guarantees eight codes.
    let low = unsafe { _mm_loadu_si128(low.cast()) };
    let high = codes.wrapping_add(begins[k + SIDE] as usize);
    // SAFETY: the caller guarantees eight codes.
    let high = unsafe { _mm_loadu_si128(high.cast()) };
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}

/// Eight ranks of sixteen lists; the last four are zero unless `all` are wanted.
///
/// # Safety
/// Eight codes can be read from where each list begins.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn square(codes: *const i16, begins: &[u32; LISTS], all: bool) -> [__m256i; SIDE] {
    let mut rows = [_mm256_setzero_si256(); SIDE];
    for (k, to) in rows.iter_mut().enumerate() {
        // SAFETY: the caller guarantees the codes.
        *to = unsafe { row(codes, begins, k) };
    }
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let mut ranks = [_mm256_setzero_si256(); SIDE];
    // Ranks 0 to 3 come from the low halves of the squares' rows, 4 to 7 from the high ones.
    let (a0, a2) = (_mm256_unpacklo_epi16(r0, r1), _mm256_unpacklo_epi16(r2, r3));
    let (a4, a6) = (_mm256_unpacklo_epi16(r4, r5), _mm256_unpacklo_epi16(r6, r7));
    let (b0, b4) = (_mm256_unpacklo_epi32(a0, a2), _mm256_unpacklo_epi32(a4, a6));
    let (b1, b5) = (_mm256_unpackhi_epi32(a0, a2), _mm256_unpackhi_epi32(a4, a6));
    ranks[0] = _mm256_unpacklo_epi64(b0, b4);
    ranks[1] = _mm256_unpackhi_epi64(b0, b4);
    ranks[2] = _mm256_unpacklo_epi64(b1, b5);
    ranks[3] = _mm256_unpackhi_epi64(b1, b5);
    if all {
        let (a1, a3) = (_mm256_unpackhi_epi16(r0, r1), _mm256_unpackhi_epi16(r2, r3));
        let (a5, a7) = (_mm256_unpackhi_epi16(r4, r5), _mm256_unpackhi_epi16(r6, r7));
        let (b2, b6) = (_mm256_unpacklo_epi32(a1, a3), _mm256_unpacklo_epi32(a5, a7));
        let (b3, b7) = (_mm256_unpackhi_epi32(a1, a3), _mm256_unpackhi_epi32(a5, a7));
        ranks[4] = _mm256_unpacklo_epi64(b2, b6);
        ranks[5] = _mm256_unpackhi_epi64(b2, b6);
        ranks[6] = _mm256_unpacklo_epi64(b3, b7);
        ranks[7] = _mm256_unpackhi_epi64(b3, b7);
    }
    ranks
}
