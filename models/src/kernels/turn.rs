//! Turns lists that lie end to end on their side: entries of equal rank come to lie side by side.
//!
//! ```text
//! codes   a0 a1 a2 │ b0 │ c0 c1 │ …       begins 0, 3, 4, …   keep 3, 1, 2, …
//! lanes   rank 0: a0 b0 c0 …   rank 1: a1 0 c1 …   rank 2: a2 0 0 …
//! ```
//!
//! Eight lists at a time, as the transposition of an 8 × 8 square: no loop over the entries of a
//! list, whose end would be mispredicted every time. On x86-64 the square takes three rounds of
//! interleaving, with instructions that every such processor has; elsewhere the obvious double
//! loop, which is also what the test compares with.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "vector loads and stores, whose bounds are asserted once per call"
    )
)]

/// Lists that are turned at once, and ranks per call.
pub(crate) const SIDE: usize = 8;
/// The place of a rank that nobody asks for.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Entry n keeps the first n of eight entries.
static KEEP: [[i16; SIDE]; SIDE + 1] = {
    let mut masks = [[0; SIDE]; SIDE + 1];
    let mut n = 0;
    while n <= SIDE {
        let mut entry = 0;
        while entry < n {
            masks[n][entry] = -1;
            entry += 1;
        }
        n += 1;
    }
    masks
};

/// Lists to be turned, in groups of eight. What the columns of one collection have in common.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    /// Where the entries of rank 0 of each list would be.
    begins: &'a [[u32; SIDE]],
    /// How many entries count, 0 to 8, of each list.
    keep: &'a [[u8; SIDE]],
    /// The largest of the beginnings.
    furthest: usize,
}

impl<'a> Lists<'a> {
    /// Lists that begin there, of which so many entries count.
    ///
    /// # Panics
    /// If there is not one multiplicity per list, or one beyond eight.
    pub(crate) fn new(begins: &'a [[u32; SIDE]], keep: &'a [[u8; SIDE]]) -> Lists<'a> {
        assert_eq!(begins.len(), keep.len(), "one multiplicity per list");
        let most = keep.as_flattened().iter().copied().max().unwrap_or(0);
        assert!(usize::from(most) <= SIDE, "at most eight entries of a list");
        let furthest = begins.as_flattened().iter().copied().max().unwrap_or(0) as usize;
        Lists { begins, keep, furthest }
    }
}

/// Writes the first `N` ranks: rank k of list j goes to `lanes[places[k] + first_lane + j]`.
///
/// # Panics
/// If reading eight entries of any list would pass the end of the codes, or writing that of the
/// lanes.
pub(crate) fn turn<const N: usize>(
    codes: &[i16],
    lists: Lists<'_>,
    places: &[u32; N],
    lanes: &mut [i16],
    first_lane: usize,
) {
    let n = lists.begins.len();
    assert!(n == 0 || lists.furthest + SIDE <= codes.len(), "codes end too early");
    let wanted = places.iter().filter(|&&place| place != NOWHERE);
    let last = wanted.copied().max().unwrap_or(0) as usize + first_lane + n * SIDE;
    assert!(last <= lanes.len(), "lanes end too early");
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64. The assertions here and of `Lists::new` are what the
    // function asks for.
    unsafe {
        x86_64::<N>(codes, lists, places, lanes, first_lane);
    }
    #[cfg(not(target_arch = "x86_64"))]
    portable::<N>(codes, lists, places, lanes, first_lane);
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable<const N: usize>(
    codes: &[i16],
    lists: Lists<'_>,
    places: &[u32; N],
    lanes: &mut [i16],
    first_lane: usize,
) {
    let begins = lists.begins.as_flattened().iter().zip(lists.keep.as_flattened());
    for (j, (&begin, &keep)) in begins.enumerate() {
        for (k, &place) in places.iter().enumerate().filter(|(_, p)| **p != NOWHERE) {
            let code = codes[begin as usize + k] & KEEP[usize::from(keep)][k];
            lanes[place as usize + first_lane + j] = code;
        }
    }
}

/// # Safety
/// Eight codes can be read from every beginning, `lists.begins.len() * 8` lanes written from every
/// place, and at most eight entries are kept.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
unsafe fn x86_64<const N: usize>(
    codes: &[i16],
    lists: Lists<'_>,
    places: &[u32; N],
    lanes: &mut [i16],
    first_lane: usize,
) {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128,
        _mm_unpackhi_epi16, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi16,
        _mm_unpacklo_epi32, _mm_unpacklo_epi64,
    };
    let (codes, lanes) = (codes.as_ptr(), lanes.as_mut_ptr());
    for (square, (begins, keep)) in lists.begins.iter().zip(lists.keep).enumerate() {
        let row = |k: usize| {
            // SAFETY: the caller guarantees codes from every beginning.
            let at = unsafe { codes.add(begins[k] as usize) };
            // SAFETY: there are eight of them.
            let entries = unsafe { _mm_loadu_si128(at.cast()) };
            // SAFETY: the caller guarantees at most eight, and the table has nine entries.
            let mask = unsafe { KEEP.get_unchecked(usize::from(keep[k])) };
            // SAFETY: an entry of the table has eight integers.
            let mask = unsafe { _mm_loadu_si128(mask.as_ptr().cast()) };
            _mm_and_si128(entries, mask)
        };
        let put = |rank: usize, entries: __m128i| {
            if rank < N && places[rank] != NOWHERE {
                let at = places[rank] as usize + first_lane + square * SIDE;
                // SAFETY: the caller guarantees so many lanes from every place.
                let to = unsafe { lanes.add(at) };
                // SAFETY: eight of them belong to this square.
                unsafe { _mm_storeu_si128(to.cast(), entries) };
            }
        };
        // Rare objects: most squares have none.
        if u64::from_ne_bytes(*keep) == 0 {
            (0..N).for_each(|rank| put(rank, _mm_setzero_si128()));
            continue;
        }
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        let (r4, r5, r6, r7) = (row(4), row(5), row(6), row(7));
        // Ranks 0 to 3 come from the low halves of the rows, 4 to 7 from the high ones.
        let (a0, a2) = (_mm_unpacklo_epi16(r0, r1), _mm_unpacklo_epi16(r2, r3));
        let (a4, a6) = (_mm_unpacklo_epi16(r4, r5), _mm_unpacklo_epi16(r6, r7));
        let (b0, b4) = (_mm_unpacklo_epi32(a0, a2), _mm_unpacklo_epi32(a4, a6));
        put(0, _mm_unpacklo_epi64(b0, b4));
        put(1, _mm_unpackhi_epi64(b0, b4));
        let (b1, b5) = (_mm_unpackhi_epi32(a0, a2), _mm_unpackhi_epi32(a4, a6));
        put(2, _mm_unpacklo_epi64(b1, b5));
        put(3, _mm_unpackhi_epi64(b1, b5));
        let (a1, a3) = (_mm_unpackhi_epi16(r0, r1), _mm_unpackhi_epi16(r2, r3));
        let (a5, a7) = (_mm_unpackhi_epi16(r4, r5), _mm_unpackhi_epi16(r6, r7));
        let (b2, b6) = (_mm_unpacklo_epi32(a1, a3), _mm_unpacklo_epi32(a5, a7));
        put(4, _mm_unpacklo_epi64(b2, b6));
        put(5, _mm_unpackhi_epi64(b2, b6));
        let (b3, b7) = (_mm_unpackhi_epi32(a1, a3), _mm_unpackhi_epi32(a5, a7));
        put(6, _mm_unpacklo_epi64(b3, b7));
        put(7, _mm_unpackhi_epi64(b3, b7));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn agree<const N: usize>(codes: &[i16], lists: Lists<'_>, places: &[u32; N]) {
        let (mut fast, mut obvious) = (vec![-7; 600], vec![-7; 600]);
        turn::<N>(codes, lists, places, &mut fast, 3);
        portable::<N>(codes, lists, places, &mut obvious, 3);
        assert_eq!(fast, obvious);
    }

    #[test]
    fn the_fast_way_equals_the_obvious_one() {
        let mut random = Random(5);
        let codes: Vec<i16> = (0..300).map(|_| random.below(65_536) as u16 as i16).collect();
        for n in 0..=8 {
            let list = |random: &mut Random| random.below(293) as u32;
            let begins: Vec<[u32; SIDE]> =
                (0..n).map(|_| std::array::from_fn(|_| list(&mut random))).collect();
            let mut keep: Vec<[u8; SIDE]> =
                (0..n).map(|_| std::array::from_fn(|_| random.below(9) as u8)).collect();
            if let Some(keep) = keep.get_mut(2) {
                *keep = [0; SIDE];
            }
            let lists = Lists::new(&begins, &keep);
            agree(&codes, lists, &[0, 70, NOWHERE, 210, 280, 350, 420, 490]);
            agree(&codes, lists, &[490, 0]);
            agree(&codes, lists, &[NOWHERE, 80, 160, 240]);
        }
    }

    #[test]
    #[should_panic(expected = "codes end too early")]
    fn reading_past_the_codes_is_refused() {
        let lists = Lists::new(&[[13; SIDE]], &[[0; SIDE]]);
        turn(&[0; 20], lists, &[0, 8], &mut [0; 100], 0);
    }

    #[test]
    #[should_panic(expected = "lanes end too early")]
    fn writing_past_the_lanes_is_refused() {
        let lists = Lists::new(&[[0; SIDE]], &[[0; SIDE]]);
        turn(&[0; 20], lists, &[0, 93], &mut [0; 100], 0);
    }

    #[test]
    #[should_panic(expected = "at most eight")]
    fn keeping_more_than_a_square_has_is_refused() {
        Lists::new(&[[0; SIDE]], &[[9; SIDE]]);
    }
}
