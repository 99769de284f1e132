//! Turning lists with AVX-512: four ranks of 32 lists are four full cache lines.
//!
//! The codes of neighbouring lists lie side by side, so one register of 32 codes, read from where
//! a list begins (a *window*), holds several lists, and one permutation picks four ranks of eight
//! lists from it: rank r of the octet in the r-th 128 bits. Four octets, transposed by 128 bits,
//! are four lines, and the comparison of multiplicities with the rank says which lanes are zero:
//!
//! ```text
//! octet 0  │a0 … h0│a1 … h1│a2 … h2│a3 … h3│          rank 0  │a0 … h0│i0 … p0│ … │ … │
//! octet 1  │i0 … p0│i1 … p1│i2 … p2│i3 … p3│    ─►    rank 1  │a1 … h1│i1 … p1│ … │ … │
//! ```
//!
//! How many windows it takes depends on how far the lists reach: one for an octet, one for each
//! half of it, two for each half; and rare objects need one for all 32 lists, and no transposition.
//! That is decided for a line at a time, which is predicted well. Indices are counted in 16 bits, whose overflow does not matter: only
//! differences below 64 are looked at.

use std::arch::x86_64::*;

use super::avx512::Avx512;
use super::turn::{Column, Columns, LINE, Offsets, QUAD, RANKS, REACH};

/// Codes in a window.
const WINDOW: u32 = 32;

/// The even words of two registers.
static EVEN: [i16; LINE] = {
    let mut words = [0; LINE];
    let mut k = 0;
    while k < LINE {
        words[k] = 2 * k as i16;
        k += 1;
    }
    words
};

/// How many codes must follow the last of these lists.
#[inline(always)]
pub(super) fn reach(offsets: &Offsets) -> usize {
    if are_few(offsets) { 0 } else { REACH }
}

/// Whether all lists are within one window.
#[inline(always)]
fn are_few(offsets: &Offsets) -> bool {
    offsets[LINE].wrapping_sub(offsets[0]) <= WINDOW
}

/// Turns the first `n` of the lists; the others are empty.
///
/// # Panics
/// If a list begins too near to the end of the codes.
#[inline]
pub(super) fn line(
    _: Avx512,
    offsets: &Offsets,
    n: usize,
    columns: Columns<'_>,
    lanes: &mut [i16],
    lane: usize,
) {
    let end = |column: &Column<'_>| column.places().iter().max().map_or(0, |p| p + lane + n);
    debug_assert!(columns.as_slice().iter().all(|column| end(column) <= lanes.len()));
    let to = lanes.as_mut_ptr().wrapping_add(lane);
    if n == LINE {
        // SAFETY: the proof; `turn` asserted that the lanes of every place exist.
        unsafe { lists::<true>(offsets, n, columns, to) }
    } else {
        // SAFETY: the proof; `turn` asserted that the lanes of every place exist.
        unsafe { lists::<false>(offsets, n, columns, to) }
    }
}

/// What is known of 32 lists.
#[derive(Clone, Copy)]
struct Lists<'a> {
    offsets: &'a Offsets,
    /// Where they begin, in 16 bits.
    begins: __m512i,
    /// How many entries they have, in 16 bits.
    counts: __m512i,
    /// The lanes to be written.
    lanes: __mmask32,
}

/// # Safety
/// `n` lanes can be written from every place on, counted from `to`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn lists<const ALL: bool>(offsets: &Offsets, n: usize, columns: Columns<'_>, to: *mut i16) {
    let from = offsets.as_ptr();
    // SAFETY: offsets are 33.
    let first = unsafe { _mm512_loadu_si512(from.cast()) };
    // SAFETY: 16 on from the 16th.
    let second = unsafe { _mm512_loadu_si512(from.wrapping_add(16).cast()) };
    // SAFETY: 16 on from the first.
    let first_end = unsafe { _mm512_loadu_si512(from.wrapping_add(1).cast()) };
    // SAFETY: 16 on from the 17th.
    let second_end = unsafe { _mm512_loadu_si512(from.wrapping_add(17).cast()) };
    // SAFETY: it has 32 words.
    let even = unsafe { _mm512_loadu_si512(EVEN.as_ptr().cast()) };
    let begins = _mm512_permutex2var_epi16(first, even, second);
    let ends = _mm512_permutex2var_epi16(first_end, even, second_end);
    let counts = _mm512_sub_epi16(ends, begins);
    let lanes = if ALL { !0 } else { (1 << n) - 1 };
    let lists = Lists { offsets, begins, counts, lanes };
    if are_few(offsets) {
        // SAFETY: the caller guarantees the lanes.
        return unsafe { few::<ALL>(lists, columns, to) };
    }
    let most = columns.n_words().saturating_sub(REACH).min(i32::MAX as usize);
    let most = _mm512_set1_epi32(most as i32);
    let beyond = _mm512_cmpgt_epu32_mask(_mm512_max_epu32(first, second), most);
    assert!(beyond == 0 && columns.n_words() >= REACH, "codes end too early");
    // How far from the first list of its eight each one begins, and of its four.
    let octet = _mm512_set1_epi16(0x0100);
    let four = _mm_set_epi64x(0x0908_0908_0908_0908, 0x0100_0100_0100_0100);
    let octet = _mm512_sub_epi16(begins, _mm512_shuffle_epi8(begins, octet));
    let four = _mm512_broadcast_i32x4(four);
    let four = _mm512_sub_epi16(begins, _mm512_shuffle_epi8(begins, four));
    let most = _mm512_set1_epi16((WINDOW - QUAD as u32) as i16);
    if _mm512_cmpgt_epu16_mask(octet, most) == 0 {
        // SAFETY: `beyond`; the caller guarantees the lanes.
        unsafe { squares::<1, ALL>(lists, octet, columns, to) }
    } else if _mm512_cmpgt_epu16_mask(four, most) == 0 {
        // SAFETY: `beyond`; the caller guarantees the lanes.
        unsafe { squares::<2, ALL>(lists, four, columns, to) }
    } else {
        // SAFETY: `beyond`; the caller guarantees the lanes.
        unsafe { squares::<4, ALL>(lists, four, columns, to) }
    }
}

/// All 32 lists are within one window.
///
/// # Panics
/// If the first list begins beyond the end of the codes.
///
/// # Safety
/// The lanes can be written from every place on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn few<const ALL: bool>(lists: Lists<'_>, columns: Columns<'_>, to: *mut i16) {
    let begin = lists.offsets[0] as usize;
    assert!(begin <= columns.n_words(), "codes end too early");
    let n_codes = (columns.n_words() - begin).min(LINE);
    let there = ((1_u64 << n_codes) - 1) as __mmask32;
    let first = _mm512_broadcastw_epi16(_mm512_castsi512_si128(lists.begins));
    let index = _mm512_sub_epi16(lists.begins, first);
    for quad in 0..columns.n_quads().min(RANKS / QUAD) {
        let keep = keep(lists.counts, quad);
        let ranks = _mm512_set1_epi16((quad * QUAD) as i16);
        let index0 = _mm512_add_epi16(index, ranks);
        let index1 = _mm512_add_epi16(index0, _mm512_set1_epi16(1));
        let index2 = _mm512_add_epi16(index0, _mm512_set1_epi16(2));
        let index3 = _mm512_add_epi16(index0, _mm512_set1_epi16(3));
        for column in columns.as_slice() {
            let from = column.words().as_ptr().wrapping_add(begin);
            // SAFETY: so many codes of every column are there.
            let window = unsafe { _mm512_maskz_loadu_epi16(there, from) };
            let lines = [
                _mm512_maskz_permutexvar_epi16(keep[0], index0, window),
                _mm512_maskz_permutexvar_epi16(keep[1], index1, window),
                _mm512_maskz_permutexvar_epi16(keep[2], index2, window),
                _mm512_maskz_permutexvar_epi16(keep[3], index3, window),
            ];
            // SAFETY: the caller guarantees the lanes.
            unsafe { put_quad::<ALL>(to, lists.lanes, column, quad, lines) };
        }
    }
}

/// One window for each octet, one for each half of it, or two for each half.
///
/// # Safety
/// [`REACH`] codes can be read from every list on, and the lanes written from every place on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn squares<const WINDOWS: u32, const ALL: bool>(
    lists: Lists<'_>,
    begins: __m512i,
    columns: Columns<'_>,
    to: *mut i16,
) {
    let rank = |rank: i64| rank * 0x0001_0001_0001_0001;
    let ranks = _mm512_set_epi64(rank(3), rank(3), rank(2), rank(2), rank(1), rank(1), 0, 0);
    let indices = [
        _mm512_add_epi16(_mm512_shuffle_i64x2::<0b00_00_00_00>(begins, begins), ranks),
        _mm512_add_epi16(_mm512_shuffle_i64x2::<0b01_01_01_01>(begins, begins), ranks),
        _mm512_add_epi16(_mm512_shuffle_i64x2::<0b10_10_10_10>(begins, begins), ranks),
        _mm512_add_epi16(_mm512_shuffle_i64x2::<0b11_11_11_11>(begins, begins), ranks),
    ];
    for quad in 0..columns.n_quads().min(RANKS / QUAD) {
        let keep = keep(lists.counts, quad);
        for column in columns.as_slice() {
            let codes = column.words().as_ptr().wrapping_add(quad * QUAD);
            // SAFETY: the caller guarantees the codes.
            let a = unsafe { octet::<WINDOWS>(codes, lists.offsets, 0, indices[0]) };
            // SAFETY: the caller guarantees the codes.
            let b = unsafe { octet::<WINDOWS>(codes, lists.offsets, 8, indices[1]) };
            // SAFETY: the caller guarantees the codes.
            let c = unsafe { octet::<WINDOWS>(codes, lists.offsets, 16, indices[2]) };
            // SAFETY: the caller guarantees the codes.
            let d = unsafe { octet::<WINDOWS>(codes, lists.offsets, 24, indices[3]) };
            let low = _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b);
            let high = _mm512_shuffle_i64x2::<0b01_00_01_00>(c, d);
            let rank0 = _mm512_shuffle_i64x2::<0b10_00_10_00>(low, high);
            let rank1 = _mm512_shuffle_i64x2::<0b11_01_11_01>(low, high);
            let low = _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b);
            let high = _mm512_shuffle_i64x2::<0b11_10_11_10>(c, d);
            let rank2 = _mm512_shuffle_i64x2::<0b10_00_10_00>(low, high);
            let rank3 = _mm512_shuffle_i64x2::<0b11_01_11_01>(low, high);
            let lines = [
                _mm512_maskz_mov_epi16(keep[0], rank0),
                _mm512_maskz_mov_epi16(keep[1], rank1),
                _mm512_maskz_mov_epi16(keep[2], rank2),
                _mm512_maskz_mov_epi16(keep[3], rank3),
            ];
            // SAFETY: the caller guarantees the lanes.
            unsafe { put_quad::<ALL>(to, lists.lanes, column, quad, lines) };
        }
    }
}

/// Which lists have an entry of each of four ranks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn keep(counts: __m512i, quad: usize) -> [__mmask32; QUAD] {
    let counts = _mm512_subs_epu16(counts, _mm512_set1_epi16((quad * QUAD) as i16));
    [
        _mm512_test_epi16_mask(counts, counts),
        _mm512_cmpgt_epu16_mask(counts, _mm512_set1_epi16(1)),
        _mm512_cmpgt_epu16_mask(counts, _mm512_set1_epi16(2)),
        _mm512_cmpgt_epu16_mask(counts, _mm512_set1_epi16(3)),
    ]
}

/// Four ranks of eight lists.
///
/// # Safety
/// A window can be read from the first list on, from the fifth one, too, if it has one of its
/// own, and twice as much if each half has two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn octet<const WINDOWS: u32>(
    codes: *const i16,
    offsets: &Offsets,
    list: usize,
    index: __m512i,
) -> __m512i {
    // Lists 4 to 7 of each rank.
    const HIGH: __mmask32 = 0xf0f0_f0f0;
    let from = codes.wrapping_add(offsets[list] as usize);
    // SAFETY: the caller guarantees a window.
    let a = unsafe { _mm512_loadu_si512(from.cast()) };
    if WINDOWS == 1 {
        return _mm512_permutexvar_epi16(index, a);
    }
    let from_high = codes.wrapping_add(offsets[list + 4] as usize);
    // SAFETY: the caller guarantees a window.
    let b = unsafe { _mm512_loadu_si512(from_high.cast()) };
    if WINDOWS == 2 {
        return _mm512_mask_permutexvar_epi16(_mm512_permutexvar_epi16(index, a), HIGH, index, b);
    }
    // SAFETY: the caller guarantees two windows.
    let a2 = unsafe { _mm512_loadu_si512(from.wrapping_add(LINE).cast()) };
    // SAFETY: the caller guarantees two windows.
    let b2 = unsafe { _mm512_loadu_si512(from_high.wrapping_add(LINE).cast()) };
    let low = _mm512_permutex2var_epi16(a, index, a2);
    _mm512_mask_mov_epi16(low, HIGH, _mm512_permutex2var_epi16(b, index, b2))
}

/// Writes four ranks of a column to where they are asked for.
///
/// # Safety
/// The lanes can be written from every place on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn put_quad<const ALL: bool>(
    to: *mut i16,
    lanes: __mmask32,
    column: &Column<'_>,
    quad: usize,
    lines: [__m512i; QUAD],
) {
    let places = column.places().quad(quad);
    let asked = column.places().asked() >> (quad * QUAD) & 0b1111;
    if asked & 0b0011 == 0b0011 {
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[0] as usize), lanes, lines[0]) };
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[1] as usize), lanes, lines[1]) };
    } else if asked & 0b0001 != 0 {
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[0] as usize), lanes, lines[0]) };
    } else if asked & 0b0010 != 0 {
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[1] as usize), lanes, lines[1]) };
    }
    if asked & 0b1100 == 0b1100 {
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[2] as usize), lanes, lines[2]) };
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[3] as usize), lanes, lines[3]) };
    } else if asked & 0b0100 != 0 {
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[2] as usize), lanes, lines[2]) };
    } else if asked & 0b1000 != 0 {
        // SAFETY: the caller guarantees the lanes.
        unsafe { put::<ALL>(to.wrapping_add(places[3] as usize), lanes, lines[3]) };
    }
}

/// # Safety
/// The lanes can be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn put<const ALL: bool>(to: *mut i16, lanes: __mmask32, line: __m512i) {
    if ALL {
        // SAFETY: the caller guarantees all 32 lanes.
        unsafe { _mm512_storeu_si512(to.cast(), line) }
    } else {
        // SAFETY: the caller guarantees these lanes.
        unsafe { _mm512_mask_storeu_epi16(to, lanes, line) }
    }
}
