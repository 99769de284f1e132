//! What the words of a Native64 event mean: Puppi candidates, track muons, or objects of Run 3.
//!
//! The words do not say it; it depends on what sends them. [`Payload::guess`] finds out by the
//! bits that each kind leaves zero or sets. The first two kinds are the field's. The third is our
//! own, so that streams of Run-3 objects can be sent in the same frames without loss: the 32-bit
//! words that Run-3 scouting has for them, two to a word of 64 bits, lower half first:
//!
//! ```text
//! counts | muons: f, s, extra | e/gammas | jets | taus | six sums, if there are | 0, if odd
//! counts   0-4 muons, 5-8 e/gammas, 9-12 jets, 13-16 taus, 17 sums, 24-31 = 40 hexadecimal
//! ```

use super::crossing::{Crossing, sum_columns};
use super::native64::{Event, EventHeader, WORDS_MAX};
use super::phase2::{Puppi, TrackMuon};
use super::report::{Report, Trouble};
use super::run3::Source;
use super::words::{CaloObject, Muon, Slot, Sums};
use crate::event::{Collection, Column, ColumnSet, Group};
use crate::lhc::Bx;
use crate::units::CALO_PHI_CODES;

const RUN3_MARK: u32 = 0x40;

/// What the object words of Native64 events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Puppi candidates, a word each.
    Puppi,
    /// Track muons, two in three words.
    TrackMuon,
    /// Objects of Run 3: not a format of the field.
    Run3,
}

impl Payload {
    /// Every kind.
    pub const ALL: [Payload; 3] = [Payload::Puppi, Payload::TrackMuon, Payload::Run3];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Payload::Puppi => "puppi",
            Payload::TrackMuon => "track-muon",
            Payload::Run3 => "run3",
        }
    }

    /// The columns that it fills.
    #[must_use]
    pub fn columns(self) -> ColumnSet {
        let of = |groups: &[Group]| {
            groups.iter().fold(ColumnSet::EMPTY, |set, group| set.union(group.columns())).counted()
        };
        match self {
            Payload::Puppi => of(&[Group::Puppi, Group::PuppiExtra]),
            Payload::TrackMuon => of(&[Group::TrackMuon, Group::TrackMuonExtra]),
            Payload::Run3 => Source::CaloDma.columns().union(Source::Muons.columns()),
        }
    }

    /// What a stream with these columns is sent as: what it has of Phase 2, else Run 3; `None` if
    /// it has no objects.
    #[must_use]
    pub fn of_columns(columns: ColumnSet) -> Option<Payload> {
        let has = |payload: Payload| !columns.intersection(payload.columns()).is_empty();
        let run3 = [Column::MuonPt, Column::EGammaPt, Column::JetPt, Column::TauPt];
        let has_run3 = run3.iter().any(|&column| columns.contains(column))
            || !columns.intersection(sum_columns()).is_empty();
        if has(Payload::Puppi) {
            Some(Payload::Puppi)
        } else if has(Payload::TrackMuon) {
            Some(Payload::TrackMuon)
        } else {
            has_run3.then_some(Payload::Run3)
        }
    }

    /// Whether the words of one event can be of this kind.
    fn fits(self, words: &[u64]) -> bool {
        match self {
            Payload::Puppi => words.iter().all(|&word| Puppi::is_plausible(word)),
            Payload::TrackMuon => {
                TrackMuon::count_in_words(words.len()).is_some()
                    && TrackMuon::split(words)
                        .all(|(low, high)| TrackMuon::from_bits(low, high).is_some())
            }
            Payload::Run3 => words.is_empty() || Run3Layout::of(words).is_some(),
        }
    }

    /// The kind that the words of all these events can be of.
    ///
    /// # Errors
    /// Events without words, or words that fit no kind or several: says which.
    pub fn guess<'a>(events: impl Iterator<Item = Event<'a>>) -> Result<Payload, String> {
        let (mut fits, mut n_words) = (Payload::ALL.map(Some), 0);
        let mut words = Vec::new();
        for event in events {
            words.clear();
            words.extend(event.words());
            n_words += words.len();
            for kind in &mut fits {
                *kind = kind.filter(|kind| kind.fits(&words));
            }
        }
        let left: Vec<Payload> = fits.into_iter().flatten().collect();
        match left[..] {
            _ if n_words == 0 => Err("no event has objects".into()),
            [only] => Ok(only),
            [] => Err("the words fit no kind of object".into()),
            _ => {
                let names: Vec<&str> = left.iter().map(|kind| kind.name()).collect();
                Err(format!("{n_words} words fit several kinds of objects: {}", names.join(", ")))
            }
        }
    }

    /// Adds the objects of an event to `to`. Words that cannot be are reported at `offset`.
    pub fn read(self, event: Event<'_>, to: &mut Crossing, offset: u64, report: &mut Report) {
        // Bounded by the header's 8 bits; the stack has room for that.
        let mut words = [0; WORDS_MAX];
        let n = event.words().len();
        words.iter_mut().zip(event.words()).for_each(|(to, word)| *to = word);
        let words = &words[..n];
        let orbit = Some(event.header.orbit);
        match self {
            Payload::Puppi => to.puppi.extend(words.iter().map(|&word| Puppi::from_word(word))),
            Payload::TrackMuon => {
                if TrackMuon::count_in_words(n).is_none() {
                    let what = format_args!("expected 2 or 3 words for a pair of muons, found {n}");
                    report.note(Trouble::Block, offset, orbit, what);
                    return;
                }
                for (low, high) in TrackMuon::split(words) {
                    match TrackMuon::from_bits(low, high) {
                        Some(muon) => to.track_muons.push(muon),
                        None => report.count(Trouble::EmptyObject),
                    }
                }
            }
            Payload::Run3 => match Run3Layout::of(words) {
                Some(layout) => layout.read(words, to, report),
                None if n == 0 => {}
                None => {
                    let what = format_args!("{n} words do not hold the objects that they count");
                    report.note(Trouble::Block, offset, orbit, what);
                }
            },
        }
    }

    /// Replaces `words` by those of a crossing. Returns the number of objects that had no room.
    pub fn write(self, crossing: &Crossing, bx: Bx, words: &mut Vec<u64>) -> usize {
        words.clear();
        match self {
            Payload::Puppi => {
                words.extend(crossing.puppi.iter().map(|candidate| candidate.to_word()));
            }
            Payload::TrackMuon => TrackMuon::join(&crossing.track_muons, words),
            Payload::Run3 => write_run3(crossing, bx, words),
        }
        let beyond = words.len().saturating_sub(WORDS_MAX);
        words.truncate(WORDS_MAX);
        beyond
    }
}

/// Columns in `of` that no payload of this kind carries.
#[must_use]
pub fn left_out(payload: Payload, of: ColumnSet) -> ColumnSet {
    of.minus(payload.columns()).minus(ColumnSet::skeleton()).minus(Group::Lumi.columns())
}

/// The header of an event to be written.
#[must_use]
pub fn header(run: u32, orbit: u32, bx: Bx) -> EventHeader {
    EventHeader { error: false, run: (run & 0x1f) as u8, orbit, bx, n_words: 0 }
}

/// The half words of words of 64 bits, lower half first.
fn half(words: &[u64], k: usize) -> u32 {
    (words[k / 2] >> (32 * (k % 2))) as u32
}

/// What the first half word of an event of Run-3 objects says.
#[derive(Clone, Copy)]
struct Run3Layout {
    n_muons: usize,
    /// E/gammas, jets, taus.
    n_calo: [usize; 3],
    has_sums: bool,
}

const RUN3_CALO: [Source; 3] = [Source::EGammas, Source::Jets, Source::Taus];

impl Run3Layout {
    /// `None` if the words do not begin with counts, or are not as many as these ask for.
    fn of(words: &[u64]) -> Option<Run3Layout> {
        let counts = half(words.get(..1)?, 0);
        let n = |first: u32, width: u32| (counts >> first & ((1 << width) - 1)) as usize;
        let layout = Run3Layout {
            n_muons: n(0, 5),
            n_calo: [n(5, 4), n(9, 4), n(13, 4)],
            has_sums: n(17, 1) == 1,
        };
        let is_possible = counts >> 24 == RUN3_MARK
            && n(18, 6) == 0
            && layout.n_muons <= Collection::Muon.capacity()
            && layout.n_calo.iter().all(|&n| n <= Collection::Jet.capacity())
            && layout.n_halves().div_ceil(2) == words.len();
        is_possible.then_some(layout)
    }

    fn n_halves(self) -> usize {
        let n_calo: usize = self.n_calo.iter().sum();
        1 + 3 * self.n_muons + n_calo + if self.has_sums { 6 } else { 0 }
    }

    fn read(self, words: &[u64], to: &mut Crossing, report: &mut Report) {
        let mut at = 1;
        let mut next = || {
            at += 1;
            half(words, at - 1)
        };
        for _ in 0..self.n_muons {
            if let Some(muon) = Muon::from_words(std::array::from_fn(|_| next())) {
                to.add_muon(muon, report);
            }
        }
        for (source, n) in RUN3_CALO.into_iter().zip(self.n_calo) {
            for _ in 0..n {
                let word = next();
                let (list, object) = match source {
                    Source::Jets => (&mut to.jets, CaloObject::from_jet_word(word)),
                    Source::EGammas => (&mut to.egammas, CaloObject::from_egamma_word(word)),
                    _ => (&mut to.taus, CaloObject::from_egamma_word(word)),
                };
                if i64::from(object.phi) < CALO_PHI_CODES {
                    list.push(object);
                } else {
                    report.count(Trouble::Phi);
                }
            }
        }
        if self.has_sums {
            to.set_sums(Sums::from_words(std::array::from_fn(|_| next())), report);
        }
    }
}

fn write_run3(crossing: &Crossing, bx: Bx, words: &mut Vec<u64>) {
    let muons = &crossing.muons[..crossing.muons.len().min(Collection::Muon.capacity())];
    let calo = [&crossing.egammas, &crossing.jets, &crossing.taus]
        .map(|list| &list[..list.len().min(Collection::Jet.capacity())]);
    let counts = muons.len()
        | calo[0].len() << 5
        | calo[1].len() << 9
        | calo[2].len() << 13
        | usize::from(crossing.sums.is_some()) << 17;
    let mut low = None;
    let mut push = |half: u32| match low.take() {
        None => low = Some(half),
        Some(low) => words.push(u64::from(low) | u64::from(half) << 32),
    };
    push(counts as u32 | RUN3_MARK << 24);
    for muon in muons {
        let [f, s] = muon.to_words();
        let extra = Muon::extra_word(bx.get(), Slot::A, [muon.eta_raw, 0]);
        [f, s, extra].into_iter().for_each(&mut push);
    }
    calo[0].iter().for_each(|object| push(object.to_egamma_word()));
    calo[1].iter().for_each(|object| push(object.to_jet_word()));
    calo[2].iter().for_each(|object| push(object.to_egamma_word()));
    if let Some(sums) = &crossing.sums {
        sums.to_words().into_iter().for_each(&mut push);
    }
    if let Some(low) = low {
        words.push(low.into());
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
