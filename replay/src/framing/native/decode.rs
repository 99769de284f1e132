//! Orbits to columns: words dealt to a row for each kind, then columns made of rows.
//!
//! What kind a word is comes from a table, and each kind has a row of its own: dealing is a load, a
//! store and a few additions for each word, without a branch on what it is. Rows of a few hundred words
//! stay in the cache; the columns that are wanted are then made of them in loops that vectorise.
//! Sums have a row each with a word for each event, zero where none comes.

use super::{EGAMMA, FIRST_SUM, JET, KIND_AT, N_SUMS, OrbitCounts, TAU};
use super::{native_columns, sort_by_crossing};
use crate::event::{Block, Collection, Column, ColumnSet, Element};
use crate::lhc::SLOTS_PER_ORBIT;
use crate::raw::native64::{EventHeader, Native64Error, OrbitHeader, WORDS_MAX};
use crate::raw::words::{CaloObject, Muon, Sums, VectorSum};

/// Words, headers included, after which rows become columns.
const CHUNK_WORDS: usize = 1024;
/// Most words in a row: an event is not split.
const ROW_WORDS: usize = CHUNK_WORDS + WORDS_MAX + 1;
/// Most events of an orbit: crossings may come twice, but not for ever.
const EVENTS_MAX: usize = SLOTS_PER_ORBIT as usize * 2;

/// Rows of objects, by collection; then those of sums; then that of words which mean nothing.
const N_OBJECTS: usize = Collection::OBJECTS.len();
const NOTHING: usize = N_OBJECTS + N_SUMS;
const N_ROWS: usize = NOTHING + 1;

/// What is known of a word by its bits 56 to 61.
#[derive(Clone, Copy)]
struct Kind {
    row: u8,
    /// Where the objects of its kind are counted, of one event: 16 bits from this bit on. Sums and
    /// nonsense are not counted.
    counted_at: u8,
    mask: u16,
    one: u64,
    is_nothing: bool,
}

impl Kind {
    const fn of_row(row: usize) -> Kind {
        let is_object = row < N_OBJECTS;
        let counted_at = if is_object { COUNT_BITS * row as u8 } else { 0 };
        Kind {
            row: row as u8,
            counted_at,
            mask: if is_object { u16::MAX } else { 0 },
            one: if is_object { 1 << counted_at } else { 0 },
            is_nothing: row == NOTHING,
        }
    }
}

const COUNT_BITS: u8 = 16;
const _: () = assert!(COUNT_BITS as usize * N_OBJECTS == 64);

/// By bits 56 to 61: the uppermost one is zero for muons.
const KINDS: [Kind; 64] = {
    let mut kinds = [Kind::of_row(NOTHING); 64];
    let mut at = 0;
    while at < 32 {
        kinds[at] = Kind::of_row(Collection::Muon as usize);
        at += 1;
    }
    kinds[32 + EGAMMA as usize] = Kind::of_row(Collection::EGamma as usize);
    kinds[32 + JET as usize] = Kind::of_row(Collection::Jet as usize);
    kinds[32 + TAU as usize] = Kind::of_row(Collection::Tau as usize);
    at = 0;
    while at < N_SUMS {
        kinds[32 + FIRST_SUM as usize + at] = Kind::of_row(N_OBJECTS + at);
        at += 1;
    }
    kinds
};

/// What has to be added to the counts of an event so that the uppermost bit of each tells whether there
/// are too many.
const ROOM: u64 = {
    let (mut room, mut k) = (0, 0);
    while k < N_OBJECTS {
        let capacity = Collection::OBJECTS[k].capacity() as u64;
        room |= (0x7fff - capacity) << (COUNT_BITS as usize * k);
        k += 1;
    }
    room
};
const TOO_MANY: u64 = 0x8000_8000_8000_8000;

/// Makes columns of orbits. Reuses its buffers.
#[derive(Debug)]
pub struct OrbitReader {
    rows: Box<[[u64; ROW_WORDS]; N_ROWS]>,
    /// Where the next word of each row goes: rows of sums grow with the event.
    ends: [u32; N_ROWS],
    counts: [Vec<u8>; N_OBJECTS],
    bxs: Vec<i16>,
}

impl Default for OrbitReader {
    fn default() -> OrbitReader {
        OrbitReader {
            rows: Box::new([[0; ROW_WORDS]; N_ROWS]),
            ends: [0; N_ROWS],
            counts: std::array::from_fn(|_| Vec::with_capacity(ROW_WORDS)),
            bxs: Vec::with_capacity(ROW_WORDS),
        }
    }
}

impl OrbitReader {
    /// Puts the events of one orbit, in the order of their crossings, into `block`, which it empties
    /// first: those of the columns `wanted` that words hold. The orbit is that of `header`, or else of
    /// the first event.
    ///
    /// **Real-time**: allocates nothing once the block has grown, unless something is wrong.
    ///
    /// # Panics
    /// Never: multiplicities are checked before they are pushed.
    pub fn read(
        &mut self,
        payload: &[u8],
        header: Option<OrbitHeader>,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> OrbitCounts {
        let mut counts = OrbitCounts::default();
        block.reset(
            header.map_or(0, |header| header.run.into()),
            native_columns().intersection(wanted),
        );
        self.clear();
        let (words, half) = payload.as_chunks::<8>();
        let mut orbit = header.map(|header| header.orbit);
        let (mut at, mut last_bx, mut in_order) = (0, 0, true);
        let mut n_words = 0;
        while let Some(&word) = words.get(at) {
            let word = u64::from_le_bytes(word);
            if word == 0 {
                at += 1;
                continue;
            }
            let event = match event_at(words, at, word) {
                Ok(event) => event,
                Err(problem) => {
                    counts.problem = Some(problem.to_string());
                    break;
                }
            };
            let n = usize::from(event.n_words);
            let of_event = &words[at + 1..at + 1 + n];
            at += 1 + n;
            let of_orbit = *orbit.get_or_insert_with(|| {
                block.run = event.run.into();
                event.orbit
            });
            if event.error && n == 0 {
                counts.truncated += 1;
            } else if event.orbit != of_orbit || !self.deal(of_event) {
                counts.corrupt += 1;
            } else {
                in_order &= event.bx.get() > last_bx;
                last_bx = event.bx.get();
                self.bxs.push(last_bx.cast_signed());
            }
            n_words += 1 + n;
            if n_words >= CHUNK_WORDS {
                n_words = 0;
                self.make_columns(of_orbit, block);
            }
            if block.len() + self.bxs.len() > EVENTS_MAX {
                counts.problem = Some("it has more events than an orbit has crossings".into());
                break;
            }
        }
        if at == words.len() && !half.is_empty() {
            let problem = Native64Error::HalfWord { offset: at * 8, found: half.len() };
            counts.problem = counts.problem.or(Some(problem.to_string()));
        }
        self.make_columns(orbit.unwrap_or(0), block);
        block.index_objects().expect("multiplicities were checked when they were pushed");
        if !in_order {
            counts.corrupt += sort_by_crossing(block);
        }
        counts
    }

    fn clear(&mut self) {
        self.ends = [0; N_ROWS];
        self.counts.iter_mut().for_each(Vec::clear);
        // Every other row is written before it is read.
        let n_events = self.bxs.len() + 1;
        self.rows[N_OBJECTS..NOTHING].iter_mut().for_each(|row| row[..n_events].fill(0));
        self.bxs.clear();
    }

    /// Deals the words of an event to their rows; false, and nothing has been dealt, if they make no
    /// sense.
    #[inline]
    fn deal(&mut self, words: &[[u8; 8]]) -> bool {
        let rows = &mut *self.rows;
        // Counted in a register: a count in memory would have to be stored and loaded for each word,
        // and the next word of its kind would wait for that.
        let (mut counts, mut is_nothing) = (0_u64, false);
        for &word in words {
            let word = u64::from_le_bytes(word);
            let kind = KINDS[(word >> KIND_AT & 0x3f) as usize];
            let row = usize::from(kind.row);
            let before = (counts >> kind.counted_at) as u16 & kind.mask;
            rows[row][self.ends[row] as usize + usize::from(before)] = word;
            counts += kind.one;
            is_nothing |= kind.is_nothing;
        }
        if is_nothing || (counts + ROOM) & TOO_MANY != 0 {
            self.zero_sums();
            return false;
        }
        for (k, of_events) in self.counts.iter_mut().enumerate() {
            let n = (counts >> (usize::from(COUNT_BITS) * k)) as u8;
            of_events.push(n);
            self.ends[k] += u32::from(n);
        }
        self.ends[N_OBJECTS..NOTHING].iter_mut().for_each(|end| *end += 1);
        true
    }

    /// Takes back the sums of an event whose words make no sense.
    #[cold]
    fn zero_sums(&mut self) {
        for row in N_OBJECTS..NOTHING {
            self.rows[row][self.ends[row] as usize] = 0;
        }
    }

    /// Appends what has been dealt to the columns of the block.
    fn make_columns(&mut self, orbit: u32, block: &mut Block) {
        let n_events = block.len() + self.bxs.len();
        block.get_mut::<u32>(Column::Orbit).resize(n_events, orbit);
        block.get_mut::<i16>(Column::Bx).extend_from_slice(&self.bxs);
        for (collection, counts) in Collection::OBJECTS.into_iter().zip(&self.counts) {
            let column = collection.count_column().expect("objects are counted");
            block.get_mut::<u8>(column).extend_from_slice(counts);
        }
        self.make_muons(block);
        self.make_calo(block);
        self.make_sums(block);
        self.clear();
    }

    fn make_muons(&self, block: &mut Block) {
        use Column as C;
        // A third word of zero marks no intermediate muon.
        let muon = |word: u64| Muon::from_words([word as u32, (word >> 32) as u32, 0]);
        let muon = |word: u64| muon(word).unwrap_or_default();
        let words = self.row(Collection::Muon as usize);
        make::<i16>(block, C::MuonPt, words, |word| muon(word).pt);
        make::<i16>(block, C::MuonEta, words, |word| muon(word).eta);
        make::<i16>(block, C::MuonPhi, words, |word| muon(word).phi);
        make::<u8>(block, C::MuonQual, words, |word| muon(word).qual);
        make::<i16>(block, C::MuonCharge, words, |word| muon(word).charge);
        make::<u8>(block, C::MuonTfIndex, words, |word| muon(word).tf_index);
        make::<i16>(block, C::MuonPhiRaw, words, |word| muon(word).phi_raw);
        make::<i16>(block, C::MuonPtUnconstrained, words, |word| muon(word).pt_unconstrained);
    }

    fn make_calo(&self, block: &mut Block) {
        use Column as C;
        let egamma = |word: u64| CaloObject::from_egamma_word(word as u32);
        let jet = |word: u64| CaloObject::from_jet_word(word as u32);
        let words = self.row(Collection::EGamma as usize);
        make::<i16>(block, C::EGammaPt, words, |word| egamma(word).pt);
        make::<i16>(block, C::EGammaEta, words, |word| egamma(word).eta);
        make::<i16>(block, C::EGammaPhi, words, |word| egamma(word).phi);
        make::<u8>(block, C::EGammaIso, words, |word| egamma(word).qual);
        let words = self.row(Collection::Jet as usize);
        make::<i16>(block, C::JetPt, words, |word| jet(word).pt);
        make::<i16>(block, C::JetEta, words, |word| jet(word).eta);
        make::<i16>(block, C::JetPhi, words, |word| jet(word).phi);
        make::<u8>(block, C::JetQual, words, |word| jet(word).qual);
        let words = self.row(Collection::Tau as usize);
        make::<i16>(block, C::TauPt, words, |word| egamma(word).pt);
        make::<i16>(block, C::TauEta, words, |word| egamma(word).eta);
        make::<i16>(block, C::TauPhi, words, |word| egamma(word).phi);
        make::<u8>(block, C::TauIso, words, |word| egamma(word).qual);
    }

    fn make_sums(&self, block: &mut Block) {
        use Column as C;
        let [et, ht, met, mht, met_hf, mht_hf] = std::array::from_fn(|k| self.row(N_OBJECTS + k));
        let scalars = |k: usize, word: u64| {
            let mut words = [0; N_SUMS];
            words[k] = word as u32;
            Sums::from_words(words)
        };
        make::<i16>(block, C::EtPt, et, |word| scalars(0, word).et);
        make::<i16>(block, C::EtEmPt, et, |word| scalars(0, word).et_em);
        make::<i16>(block, C::HtPt, ht, |word| scalars(1, word).ht);
        make::<i16>(block, C::TowerCount, ht, |word| scalars(1, word).tower_count);
        // The four of them are built alike.
        let vector = |word: u64| -> VectorSum { scalars(2, word).met };
        for (pt, phi, words) in [
            (C::MetPt, C::MetPhi, met),
            (C::MhtPt, C::MhtPhi, mht),
            (C::MetHfPt, C::MetHfPhi, met_hf),
            (C::MhtHfPt, C::MhtHfPhi, mht_hf),
        ] {
            make::<i16>(block, pt, words, |word| vector(word).pt);
            make::<i16>(block, phi, words, |word| vector(word).phi);
        }
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.rows[row][..self.ends[row] as usize]
    }
}

/// The header of the event at word `at`, if it is whole.
#[inline]
fn event_at(words: &[[u8; 8]], at: usize, word: u64) -> Result<EventHeader, Native64Error> {
    let header = EventHeader::from_word(word, at * 8)?;
    let (expected, found) = (usize::from(header.n_words), words.len() - at - 1);
    if found < expected {
        let (offset, orbit) = (at * 8, header.orbit);
        return Err(Native64Error::Cut { offset, orbit, expected, found });
    }
    Ok(header)
}

/// Appends a column of `words`, if the block has it.
#[inline]
fn make<T: Element>(block: &mut Block, column: Column, words: &[u64], entry: impl Fn(u64) -> T) {
    if block.columns().contains(column) {
        block.get_mut::<T>(column).extend(words.iter().map(|&word| entry(word)));
    }
}
