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

use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::{turn_avx2, turn_avx512};

/// Most entries of a list.
pub(crate) const RANKS: usize = 16;
/// Lists that are turned at once: lanes in a cache line.
pub(super) const LINE: usize = 32;
/// How many codes from the beginning of a list may be looked at.
pub(super) const REACH: usize = 80;
/// The place of a rank that nobody asks for.
const NOWHERE: u32 = u32::MAX;

/// Where 32 lists begin, and where the last one ends.
pub(super) type Offsets = [u32; LINE + 1];

/// Where each rank goes: the index of lane 0 of what was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    places: [u32; RANKS],
    /// One bit for each rank that has a place.
    asked: u32,
    /// The largest place.
    furthest: u32,
}

impl Places {
    /// Nobody asks for anything.
    pub(crate) const NONE: Places = Places { places: [NOWHERE; RANKS], asked: 0, furthest: 0 };

    /// Lets a rank go there, unless it has a place already; says whether it could.
    ///
    /// # Panics
    /// If there is no such rank.
    pub(crate) fn set(&mut self, rank: usize, place: u32) -> bool {
        let free = self.places[rank] == NOWHERE;
        if free {
            self.places[rank] = place;
            self.asked |= 1 << rank;
            self.furthest = self.furthest.max(place);
        }
        free
    }

    /// The places of the ranks that have one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.places.into_iter().filter(|&place| place != NOWHERE).map(|place| place as usize)
    }

    /// One bit for each rank that has a place.
    #[inline(always)]
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    /// The place of a rank that has one.
    #[inline(always)]
    pub(super) fn place(&self, rank: usize) -> usize {
        self.places[rank] as usize
    }
}

/// The entries of all lists, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Codes<'a> {
    /// As they come out.
    Words(&'a [i16]),
    /// To be widened.
    Bytes(&'a [u8]),
}

/// One quantity of all lists, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    codes: Codes<'a>,
    places: &'a Places,
}

impl<'a> Column<'a> {
    /// Nothing that goes nowhere.
    pub(crate) const EMPTY: Column<'static> =
        Column { codes: Codes::Words(&[]), places: &Places::NONE };

    /// These codes go to those places.
    pub(crate) fn new(codes: Codes<'a>, places: &'a Places) -> Column<'a> {
        Column { codes, places }
    }

    /// The codes; none if they are bytes.
    #[inline(always)]
    pub(super) fn words(&self) -> &'a [i16] {
        match self.codes {
            Codes::Words(words) => words,
            Codes::Bytes(_) => &[],
        }
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

    /// One bit for each rank that one of the columns has a place for.
    #[inline(always)]
    pub(super) fn asked(&self) -> u32 {
        self.asked
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
    if offsets[LINE] as usize + REACH > columns.n_words {
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
    let relative = offsets.map(|offset| offset - offsets[0]);
    for column in columns.columns {
        let mut words = [0; LINE * RANKS + REACH];
        match column.codes {
            Codes::Words(codes) => words[..len].copy_from_slice(&codes[begin..end]),
            Codes::Bytes(codes) => {
                for (to, &code) in words[..len].iter_mut().zip(&codes[begin..end]) {
                    *to = code.into();
                }
            }
        }
        let copy = [Column { codes: Codes::Words(&words), places: column.places }];
        line(isa, &relative, n, Columns::new(&copy), lanes, lane);
    }
}

/// The obvious way.
fn portable(offsets: &Offsets, n: usize, columns: Columns<'_>, lanes: &mut [i16], lane: usize) {
    for column in columns.columns {
        for (k, &place) in column.places.places.iter().enumerate() {
            if place == NOWHERE {
                continue;
            }
            let lanes = &mut lanes[place as usize + lane..][..n];
            for (to, list) in lanes.iter_mut().zip(offsets.windows(2)) {
                let at = list[0] as usize + k;
                *to = match column.codes {
                    _ if at >= list[1] as usize => 0,
                    Codes::Words(codes) => codes[at],
                    Codes::Bytes(codes) => codes[at].into(),
                };
            }
        }
    }
}
