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
use super::turn::{Column, Columns, LINE, Offsets, REACH};

/// Ranks that are turned at once.
const QUAD: usize = 4;
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
    // SAFETY: the proof; `turn` asserted that the lanes of every place exist.
    unsafe {
        match n {
            LINE => lists::<true>(offsets, n, columns, to),
            _ => lists::<false>(offsets, n, columns, to),
        }
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
    let most = columns.n_words().saturating_sub(REACH).min(i32::MAX as usize);
    let furthest = _mm512_max_epu32(first, second);
    let beyond = _mm512_cmpgt_epu32_mask(furthest, _mm512_set1_epi32(most as i32));
    assert!(beyond == 0 && columns.n_words() >= REACH, "codes end too early");
    // SAFETY: it has 32 words.
    let even = unsafe { _mm512_loadu_si512(EVEN.as_ptr().cast()) };
    let begins = _mm512_permutex2var_epi16(first, even, second);
    let ends = _mm512_permutex2var_epi16(first_end, even, second_end);
    let counts = _mm512_sub_epi16(ends, begins);
    let lanes = if ALL { !0 } else { (1 << n) - 1 };
    let lists = Lists { offsets, begins, counts, lanes };
    if offsets[LINE].wrapping_sub(offsets[0]) <= WINDOW {
        // SAFETY: `beyond`; the caller guarantees the lanes.
        return unsafe { few::<ALL>(lists, columns, to) };
    }
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
/// # Safety
/// [`REACH`] codes can be read from the first list on, and the lanes written from every place on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn few<const ALL: bool>(lists: Lists<'_>, columns: Columns<'_>, to: *mut i16) {
    let first = _mm512_broadcastw_epi16(_mm512_castsi512_si128(lists.begins));
    let mut index = _mm512_sub_epi16(lists.begins, first);
    let mut asked = columns.asked();
    let mut rank = 0;
    while asked != 0 {
        if asked & 1 != 0 {
            let keep = _mm512_cmpgt_epu16_mask(lists.counts, _mm512_set1_epi16(rank as i16));
            for column in columns.as_slice() {
                if column.places().asked() >> rank & 1 == 0 {
                    continue;
                }
                let from = column.words().as_ptr().wrapping_add(lists.offsets[0] as usize);
                // SAFETY: the caller guarantees the codes.
                let window = unsafe { _mm512_loadu_si512(from.cast()) };
                let line = _mm512_maskz_permutexvar_epi16(keep, index, window);
                // SAFETY: the caller guarantees the lanes.
                unsafe { put::<ALL>(to.wrapping_add(column.places().place(rank)), lists, line) };
            }
        }
        index = _mm512_add_epi16(index, _mm512_set1_epi16(1));
        rank += 1;
        asked >>= 1;
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
    let mut first = 0;
    while columns.asked() >> first != 0 {
        let keep = [
            _mm512_cmpgt_epu16_mask(lists.counts, _mm512_set1_epi16(first as i16)),
            _mm512_cmpgt_epu16_mask(lists.counts, _mm512_set1_epi16(first as i16 + 1)),
            _mm512_cmpgt_epu16_mask(lists.counts, _mm512_set1_epi16(first as i16 + 2)),
            _mm512_cmpgt_epu16_mask(lists.counts, _mm512_set1_epi16(first as i16 + 3)),
        ];
        for column in columns.as_slice() {
            let asked = column.places().asked() >> first & 0b1111;
            if asked == 0 {
                continue;
            }
            let codes = column.words().as_ptr().wrapping_add(first);
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
            let even = _mm512_shuffle_i64x2::<0b10_00_10_00>(low, high);
            let odd = _mm512_shuffle_i64x2::<0b11_01_11_01>(low, high);
            let put = |rank: usize, line: __m512i| {
                if asked >> rank & 1 != 0 {
                    let line = _mm512_maskz_mov_epi16(keep[rank], line);
                    let to = to.wrapping_add(column.places().place(first + rank));
                    // SAFETY: the caller guarantees the lanes.
                    unsafe { put::<ALL>(to, lists, line) };
                }
            };
            put(0, even);
            put(1, odd);
            if asked >> 2 == 0 {
                continue;
            }
            let low = _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b);
            let high = _mm512_shuffle_i64x2::<0b11_10_11_10>(c, d);
            put(2, _mm512_shuffle_i64x2::<0b10_00_10_00>(low, high));
            put(3, _mm512_shuffle_i64x2::<0b11_01_11_01>(low, high));
        }
        first += QUAD;
    }
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

/// # Safety
/// The lanes can be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn put<const ALL: bool>(to: *mut i16, lists: Lists<'_>, line: __m512i) {
    if ALL {
        // SAFETY: the caller guarantees all 32 lanes.
        unsafe { _mm512_storeu_si512(to.cast(), line) }
    } else {
        // SAFETY: the caller guarantees these lanes.
        unsafe { _mm512_mask_storeu_epi16(to, lists.lanes, line) }
    }
}
