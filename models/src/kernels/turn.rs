//! Turns lists that lie end to end on their side: entries of equal rank come to lie side by side.
//!
//! ```text
//! codes   a0 a1 a2 │ b0 │ c0 c1 │ …       offsets 0, 3, 4, 6, …
//! lanes   rank 0: a0 b0 c0 …   rank 1: a1 0 c1 …   rank 2: a2 0 0 …
//! ```
//!
//! Here is what all instruction sets have in common: [`turn`] cuts the lists into *lines*, up to
//! 32 lists whose lanes share a cache line, and gives each line with all columns at once to the
//! processor's own way ([`turn_avx2`](super::turn_avx2), [`turn_avx512`](super::turn_avx512)).
//! Those look at no list's end, which would be mispredicted every time: they read a fixed number
//! of codes from where a list begins, and put zeros where its multiplicity says so. What must not
//! be read that way, because the codes end or are bytes, is copied ([`staged`]) to where it can.
//! The obvious double loop ([`portable`]) is the specification.

#![cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "other processors take the obvious way")
)]

use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::{turn_avx2, turn_avx512};

/// Most entries of a list.
pub(crate) const RANKS: usize = 16;
/// Lists that are turned at once: lanes in a cache line.
pub(super) const LINE: usize = 32;
/// Ranks whose places are looked up together.
pub(super) const QUAD: usize = 4;
/// How many codes from the beginning of a list may be looked at, at most.
pub(super) const REACH: usize = 80;
/// The place of a rank that nobody asks for.
const NOWHERE: u32 = u32::MAX;

/// Where 32 lists begin, and where the last one ends.
pub(super) type Offsets = [u32; LINE + 1];

/// Where each rank goes: the index of lane 0 of what was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    places: [[u32; QUAD]; RANKS / QUAD],
    /// One bit for each rank that has a place.
    asked: u32,
    /// The largest place.
    furthest: u32,
}

impl Places {
    /// Nobody asks for anything.
    pub(crate) const NONE: Places =
        Places { places: [[NOWHERE; QUAD]; RANKS / QUAD], asked: 0, furthest: 0 };

    /// Lets a rank go there, unless it has a place already; says whether it could.
    ///
    /// # Panics
    /// If there is no such rank.
    pub(crate) fn set(&mut self, rank: usize, place: u32) -> bool {
        let to = &mut self.places.as_flattened_mut()[rank];
        let free = *to == NOWHERE;
        if free {
            *to = place;
            self.asked |= 1 << rank;
            self.furthest = self.furthest.max(place);
        }
        free
    }

    /// The places of the ranks that have one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.places
            .into_iter()
            .flatten()
            .filter(|&place| place != NOWHERE)
            .map(|place| place as usize)
    }

    /// One bit for each rank that has a place.
    #[inline(always)]
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    /// The places of four ranks.
    #[inline(always)]
    pub(super) fn quad(&self, quad: usize) -> &[u32; QUAD] {
        &self.places[quad]
    }
}

/// One quantity of all lists, one list after the other, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    words: &'a [i16],
    /// Instead of words: codes to be widened.
    bytes: &'a [u8],
    places: &'a Places,
}

impl<'a> Column<'a> {
    /// Nothing that goes nowhere.
    pub(crate) const EMPTY: Column<'static> = Column::of_words(&[], &Places::NONE);

    /// These codes go to those places.
    pub(crate) const fn of_words(words: &'a [i16], places: &'a Places) -> Column<'a> {
        Column { words, bytes: &[], places }
    }

    /// The same for codes of one byte.
    pub(crate) const fn of_bytes(bytes: &'a [u8], places: &'a Places) -> Column<'a> {
        Column { words: &[], bytes, places }
    }

    /// The codes; none if they are bytes.
    #[inline(always)]
    pub(super) fn words(&self) -> &'a [i16] {
        self.words
    }

    #[inline(always)]
    pub(super) fn places(&self) -> &'a Places {
        self.places
    }
}

/// Columns of the same lists, and what they have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a> {
    columns: &'a [Column<'a>],
    /// Words that every one of them has.
    n_words: usize,
    /// One bit for each rank that one of them has a place for.
    asked: u32,
}

impl<'a> Columns<'a> {
    fn new(columns: &'a [Column<'a>]) -> Columns<'a> {
        let (mut n_words, mut asked) = (usize::MAX, 0);
        for column in columns {
            n_words = n_words.min(column.words().len());
            asked |= column.places.asked;
        }
        Columns { columns, n_words, asked }
    }

    #[inline(always)]
    pub(super) fn as_slice(&self) -> &'a [Column<'a>] {
        self.columns
    }

    /// Words that every column has.
    #[inline(always)]
    pub(super) fn n_words(&self) -> usize {
        self.n_words
    }

    /// How many quads there are up to the last rank that somebody asks for.
    #[inline(always)]
    pub(super) fn n_quads(&self) -> usize {
        (u32::BITS - self.asked.leading_zeros()).div_ceil(QUAD as u32) as usize
    }
}

/// Rank k of list j goes to `lanes[place of k + first_lane + j]`, zero where the list is shorter.
/// The lists lie between consecutive `offsets`. Other lanes stay as they are.
///
/// # Panics
/// If the lists are longer than 16, or pass the end of the codes or of the lanes.
pub(crate) fn turn(
    isa: Isa,
    offsets: &[u32],
    columns: &[Column<'_>],
    lanes: &mut [i16],
    first_lane: usize,
) {
    let columns = Columns::new(columns);
    let n = offsets.len() - 1;
    let furthest = columns.columns.iter().map(|column| column.places.furthest).max();
    let end = furthest.unwrap_or(0) as usize + first_lane + n;
    assert!(columns.asked == 0 || end <= lanes.len(), "lanes end too early");
    let mut list = 0;
    while list < n {
        let lane = first_lane + list;
        let len = (LINE - lane % LINE).min(n - list);
        match offsets[list..].first_chunk() {
            Some(whole) if len == LINE => line(isa, whole, len, columns, lanes, lane),
            _ => {
                let mut some = [offsets[list + len]; LINE + 1];
                some[..len].copy_from_slice(&offsets[list..list + len]);
                line(isa, &some, len, columns, lanes, lane);
            }
        }
        list += len;
    }
}

/// Turns the first `n` of the lists; the others are empty.
fn line(
    isa: Isa,
    offsets: &Offsets,
    n: usize,
    columns: Columns<'_>,
    lanes: &mut [i16],
    lane: usize,
) {
    if matches!(isa, Isa::Portable(_)) {
        return portable(offsets, n, columns, lanes, lane);
    }
    let reach = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => turn_avx512::reach(offsets),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => turn_avx2::REACH,
        _ => 0,
    };
    if offsets[LINE] as usize + reach > columns.n_words {
        return staged(isa, offsets, n, columns, lanes, lane);
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(proof) => turn_avx512::line(proof, offsets, n, columns, lanes, lane),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(proof) if n == LINE => turn_avx2::line(proof, offsets, columns, lanes, lane),
        _ => portable(offsets, n, columns, lanes, lane),
    }
}

/// As [`line`], from a copy of the codes with something behind them, column by column.
#[cold]
fn staged(
    isa: Isa,
    offsets: &Offsets,
    n: usize,
    columns: Columns<'_>,
    lanes: &mut [i16],
    lane: usize,
) {
    let (begin, end) = (offsets[0] as usize, offsets[LINE] as usize);
    let len = end - begin;
    assert!(len <= LINE * RANKS, "lists longer than {RANKS}");
    let relative = offsets.map(|offset| offset - offsets[0]);
    for column in columns.columns {
        let mut words = [0; LINE * RANKS + REACH];
        if column.bytes.is_empty() {
            words[..len].copy_from_slice(&column.words[begin..end]);
        } else {
            for (to, &code) in words[..len].iter_mut().zip(&column.bytes[begin..end]) {
                *to = code.into();
            }
        }
        let copy = [Column::of_words(&words, column.places)];
        line(isa, &relative, n, Columns::new(&copy), lanes, lane);
    }
}

/// The obvious way.
fn portable(offsets: &Offsets, n: usize, columns: Columns<'_>, lanes: &mut [i16], lane: usize) {
    for column in columns.columns {
        for (k, &place) in column.places.places.as_flattened().iter().enumerate() {
            if place == NOWHERE {
                continue;
            }
            let lanes = &mut lanes[place as usize + lane..][..n];
            for (to, list) in lanes.iter_mut().zip(offsets.windows(2)) {
                let at = list[0] as usize + k;
                *to = match column.words.get(at) {
                    _ if at >= list[1] as usize => 0,
                    Some(&word) => word,
                    None => column.bytes[at].into(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Columns lie 600 lanes apart, so that `first_lane` may pass a batch.
    const STRIDE: u32 = 600;

    fn places(asked: u32, column: u32) -> Places {
        let mut places = Places::NONE;
        for rank in 0..RANKS as u32 {
            if asked >> rank & 1 != 0 {
                assert!(places.set(rank as usize, (column * RANKS as u32 + rank) * STRIDE));
            }
        }
        places
    }

    /// Lists as multiplicities, of which at most `most` entries, every eighth one a long one.
    fn offsets(random: &mut Random, n: usize, most: u64) -> Vec<u32> {
        let mut offsets = vec![random.below(70) as u32];
        for _ in 0..n {
            let n = if random.below(8) == 0 { RANKS as u64 } else { most };
            offsets.push(offsets[offsets.len() - 1] + random.below(n + 1) as u32);
        }
        offsets
    }

    /// What the definition says.
    fn obvious(offsets: &[u32], column: &Column<'_>, lanes: &mut [i16], first_lane: usize) {
        for (j, list) in offsets.windows(2).enumerate() {
            for (k, place) in column.places.places.as_flattened().iter().enumerate() {
                let at = list[0] as usize + k;
                let word = || column.words.get(at).copied();
                let code = word().unwrap_or_else(|| column.bytes.get(at).map_or(0, |&x| x.into()));
                if *place != NOWHERE {
                    let to = *place as usize + first_lane + j;
                    lanes[to] = if at < list[1] as usize { code } else { 0 };
                }
            }
        }
    }

    fn agree(offsets: &[u32], columns: &[Column<'_>], first_lane: usize) {
        let n_lanes = columns.iter().map(|column| column.places.furthest).max().unwrap() as usize;
        let mut expected = vec![-7; n_lanes + first_lane + offsets.len() - 1];
        let mut found = expected.clone();
        columns.iter().for_each(|column| obvious(offsets, column, &mut expected, first_lane));
        for isa in Isa::available() {
            found.fill(-7);
            turn(isa, offsets, columns, &mut found, first_lane);
            assert!(found == expected, "{}: {} lists", isa.name(), offsets.len() - 1);
        }
    }

    #[test]
    fn every_instruction_set_equals_the_obvious_way_for_all_lengths_and_lanes() {
        let mut random = Random(5);
        for n in 0..=512 {
            // Few, several and many entries: each way there is to read them.
            let most = [0, 1, 3, 4, 8, 10, 12, 16][n % 8];
            let offsets = offsets(&mut random, n, most);
            let end = offsets[n] as usize + [0, 1, 40, 200][n / 8 % 4];
            let words = [0; 3].map(|_| (0..end).map(|_| random.extreme()).collect::<Vec<i16>>());
            let bytes: Vec<u8> = (0..end).map(|_| random.below(256) as u8).collect();
            let random_ranks = random.below(1 << RANKS) as u32;
            let asked = [0x3ff, 0xf, 0xffff, random_ranks, 0x8000][n % 5];
            let asked = [(asked, 0), (asked, 1), (random_ranks, 2), (0x0421, 3), (0, 4)];
            let places = asked.map(|(asked, column)| places(asked, column));
            let columns = [
                Column::of_words(&words[0], &places[0]),
                Column::of_words(&words[1], &places[1]),
                Column::of_words(&words[2], &places[2]),
                Column::of_bytes(&bytes, &places[3]),
                Column::of_words(&words[2], &places[4]),
            ];
            let first_lane = random.below(513 - n as u64) as usize;
            for first_lane in [first_lane, first_lane / 32 * 32] {
                agree(&offsets, &columns[..3], first_lane);
                agree(&offsets, &columns, first_lane);
            }
        }
    }

    #[test]
    #[should_panic(expected = "lanes end too early")]
    fn writing_past_the_lanes_is_refused() {
        let places = places(0b11, 0);
        let columns = [Column::of_words(&[1, 2, 3], &places)];
        turn(Isa::best(), &[0, 1, 3], &columns, &mut [0; STRIDE as usize + 1], 0);
    }

    #[test]
    fn reading_past_the_codes_is_refused() {
        let places = places(0xffff, 0);
        let codes = [1; 200];
        // Out of order: one list begins beyond where the last one ends.
        let mut disorder = [0; LINE + 1];
        (disorder[5], disorder[LINE]) = (5000, 100);
        for isa in Isa::available() {
            for lists in [&[198, 200, 202], &disorder[..]] {
                let refused = std::panic::catch_unwind(|| {
                    let columns = [Column::of_words(&codes, &places)];
                    let mut lanes = vec![0; RANKS * STRIDE as usize];
                    turn(isa, lists, &columns, &mut lanes, 0);
                });
                // The obvious way finds an empty list there.
                let name = isa.name();
                let is_obvious = matches!(name, "portable" | "neon");
                assert!(refused.is_err() || (is_obvious && lists[0] == 0), "{name}");
            }
        }
    }
}
