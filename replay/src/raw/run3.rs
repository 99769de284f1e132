//! The payload of one source in one orbit of Run-3 scouting: blocks of crossings.
//!
//! ```text
//! payload   source id u32 | block | block | …
//! muons     counts u32 | bx u32 | orbit u32 | (f, s, extra) of the first muons of the links, then of the second
//! calo DMA  header, bx, orbit | 8 × (link id, 6 words): jets 2 and 1, e/gammas 2 and 1, –, sums, taus 2 and 1
//! calo TCP  n, bx, orbit | n words                   sums: [header,] bx, orbit | 6 words
//! stubs     n, bx, orbit | n words of 64 bits
//! ```
//!
//! [`decode`] fills an orbit's crossings, [`encode()`] makes the payload of one source. A block
//! whose counts, crossing or orbit cannot be is dropped with all that follows it in this payload,
//! since its length cannot be believed; blocks before it are kept.
//!
//! Not read: calorimeter towers (source 32), for which the event model has no place, and the
//! global trigger (source 4), whose blocks are not public.

mod encode;

use super::crossing::{Crossing, OrbitEvents, SectorStub};
use super::report::{Report, Trouble};
use super::words::{CaloObject, Muon, Stub, Sums};
use crate::event::{Column, ColumnSet, Group};
use crate::lhc::Bx;
use crate::units::CALO_PHI_CODES;
pub use encode::encode;

/// Bytes of the source id that a payload begins with.
pub const SOURCE_BYTES: usize = 4;
/// Most muons of each of the two lists.
const LINKS: usize = 8;
/// Most objects of a block of the calorimeter's TCP board.
const CALO_MAX: usize = 12;
const HEAD_BYTES: usize = 12;
const DMA_BYTES: usize = 59 * 4;
/// Words of a link in a DMA block: its id and six objects.
const LINK_WORDS: usize = 7;
const SECTORS: u32 = 12;
/// What to take of an orbit word: its top bit is a flag.
const ORBIT_MASK: u32 = 0x7fff_ffff;

/// What sends a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Global muon trigger (1).
    Muons,
    /// Calorimeter, all objects, by direct memory access (2): 2022 and 2023.
    CaloDma,
    /// Stubs of the barrel muon track finder, of a sector 0 to 11 (10 to 21).
    Stubs(u8),
    /// Calorimeter by TCP (22): since 2024.
    Jets,
    /// Calorimeter by TCP (23).
    EGammas,
    /// Calorimeter by TCP (24).
    Sums,
    /// Calorimeter by TCP (25).
    Taus,
}

impl Source {
    /// The source with this id; `Err` says what the id stands for.
    ///
    /// # Errors
    /// An id of which the blocks are not known, or have no place in the event model.
    pub fn from_id(id: u32) -> Result<Source, &'static str> {
        match id {
            1 => Ok(Source::Muons),
            2 => Ok(Source::CaloDma),
            4 => Err("reserved for the global trigger, whose format is not public"),
            10..22 => Ok(Source::Stubs((id - 10) as u8)),
            22 => Ok(Source::Jets),
            23 => Ok(Source::EGammas),
            24 => Ok(Source::Sums),
            25 => Ok(Source::Taus),
            32 => Err("calorimeter towers, which are not read"),
            _ => Err("not a scouting source"),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(self) -> u32 {
        match self {
            Source::Muons => 1,
            Source::CaloDma => 2,
            Source::Stubs(sector) => 10 + u32::from(sector),
            Source::Jets => 22,
            Source::EGammas => 23,
            Source::Sums => 24,
            Source::Taus => 25,
        }
    }

    /// The columns that it fills.
    #[must_use]
    pub fn columns(self) -> ColumnSet {
        let groups: &[Group] = match self {
            Source::Muons => &[Group::Muon, Group::MuonExtra, Group::MuonFlags],
            Source::CaloDma => {
                return [Source::Jets, Source::EGammas, Source::Sums, Source::Taus]
                    .map(Source::columns)
                    .into_iter()
                    .fold(ColumnSet::EMPTY, ColumnSet::union);
            }
            Source::Stubs(_) => &[Group::Stub],
            Source::Jets => {
                let qual = ColumnSet::EMPTY.with(Column::JetQual).with(Column::JetDisplaced);
                return Group::Jet.columns().union(qual);
            }
            Source::EGammas => &[Group::EGamma, Group::EGammaExtra],
            Source::Sums => &[Group::Met, Group::Sums, Group::SumsExtra],
            Source::Taus => &[Group::Tau, Group::TauExtra],
        };
        groups.iter().fold(ColumnSet::EMPTY, |set, group| set.union(group.columns())).counted()
    }

    /// The sources that a stream with these columns is written as: each whose objects it has.
    #[must_use]
    pub fn of_columns(columns: ColumnSet, calo: Calo) -> Vec<Source> {
        let has = |column: Column| columns.contains(column);
        let mut sources = Vec::new();
        if has(Column::MuonPt) {
            sources.push(Source::Muons);
        }
        let by_tcp = [
            (Source::Jets, has(Column::JetPt)),
            (Source::EGammas, has(Column::EGammaPt)),
            (Source::Sums, !columns.intersection(super::crossing::sum_columns()).is_empty()),
            (Source::Taus, has(Column::TauPt)),
        ];
        let present = by_tcp.into_iter().filter(|(_, there)| *there).map(|(source, _)| source);
        match calo {
            Calo::Dma => sources.extend(present.take(1).map(|_| Source::CaloDma)),
            Calo::Tcp => sources.extend(present),
        }
        if has(Column::StubPhi) {
            sources.extend((0..SECTORS as u8).map(Source::Stubs));
        }
        sources
    }
}

/// Which of its two boards the calorimeter sends by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calo {
    /// One source for each kind of object, as since 2024.
    #[default]
    Tcp,
    /// One source for all, as in 2022 and 2023.
    Dma,
}

/// Where a payload comes from, and what is already known of its orbit.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Its source.
    pub source: Source,
    /// Its orbit, from the header of the record.
    pub orbit: u32,
    /// All sources of this orbit: kinds of objects that a TCP source delivers are not taken from
    /// a DMA one.
    pub sources: &'a [Source],
    /// Where the bytes after the source id begin in their file, for messages.
    pub offset: u64,
}

/// Fills crossings from the bytes of a payload after its source id. Trouble is reported.
pub fn decode(origin: Origin<'_>, payload: &[u8], events: &mut OrbitEvents, report: &mut Report) {
    events.begin_record();
    let decoded = match origin.source {
        Source::Muons => decode_muons(origin, payload, events, report),
        Source::CaloDma => decode_dma(origin, payload, events, report),
        Source::Sums => decode_sums(origin, payload, events, report),
        Source::Stubs(sector) => decode_stubs(origin, sector, payload, events, report),
        Source::Jets | Source::EGammas | Source::Taus => {
            decode_calo(origin, payload, events, report)
        }
    };
    if let Err((at, what)) = decoded {
        report.note(Trouble::Block, origin.offset + at as u64, Some(origin.orbit), what);
    }
}

/// Where a block makes no sense, and why.
type Bad = (usize, String);

/// The words of a payload, of which none is aligned.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    /// The word at byte `at`; the caller has checked that it is there.
    fn at(self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn six_at(self, at: usize) -> [u32; 6] {
        std::array::from_fn(|k| self.at(at + 4 * k))
    }
}

/// The bytes from `at` on must hold a block of `n` bytes.
fn whole(payload: &[u8], at: usize, n: usize) -> Result<(), Bad> {
    match payload.len() - at {
        left if left < n => Err((at, format!("expected a block of {n} bytes, found {left}"))),
        _ => Ok(()),
    }
}

/// Crossing and orbit of a block that begins at `at`; the crossing is none if the payload has
/// delivered it before.
fn slot<'a>(
    origin: Origin<'_>,
    at: usize,
    [bx, orbit]: [u32; 2],
    events: &'a mut OrbitEvents,
    report: &mut Report,
) -> Result<Option<&'a mut Crossing>, Bad> {
    let number = Bx::new(bx)
        .ok_or_else(|| (at, format!("expected a crossing within 1..=3564, found {bx}")))?;
    let found = orbit & ORBIT_MASK;
    if found != origin.orbit & ORBIT_MASK {
        return Err((at, format!("expected a block of orbit {}, found {found}", origin.orbit)));
    }
    let crossing = events.crossing(number);
    if crossing.is_none() {
        let (offset, orbit) = (origin.offset + at as u64, Some(origin.orbit));
        report.note(Trouble::DuplicateBx, offset, orbit, format_args!("bx {bx} again"));
    }
    Ok(crossing)
}

fn decode_muons(
    origin: Origin<'_>,
    payload: &[u8],
    events: &mut OrbitEvents,
    report: &mut Report,
) -> Result<(), Bad> {
    let words = Words(payload);
    let mut at = 0;
    while at < payload.len() {
        whole(payload, at, HEAD_BYTES)?;
        let header = words.at(at);
        let (n_first, n_second) = ((header >> 16 & 0xf) as usize, (header & 0xf) as usize);
        if n_first > LINKS || n_second > LINKS {
            let what = format!("expected at most 8 and 8 muons, found {n_first} and {n_second}");
            return Err((at, what));
        }
        let n = n_first + n_second;
        whole(payload, at, HEAD_BYTES + n * Muon::BYTES)?;
        let names = [words.at(at + 4), words.at(at + 8)];
        if let Some(crossing) = slot(origin, at, names, events, report)? {
            for k in 0..n {
                let begin = at + HEAD_BYTES + k * Muon::BYTES;
                match Muon::from_words([0, 4, 8].map(|offset| words.at(begin + offset))) {
                    Some(muon) => crossing.add_muon(muon, report),
                    None => report.count(Trouble::IntermediateMuon),
                }
            }
        }
        at += HEAD_BYTES + n * Muon::BYTES;
    }
    Ok(())
}

/// Which list of a crossing a source's objects belong to.
fn calo_list(crossing: &mut Crossing, source: Source) -> &mut Vec<CaloObject> {
    match source {
        Source::Jets => &mut crossing.jets,
        Source::EGammas => &mut crossing.egammas,
        _ => &mut crossing.taus,
    }
}

fn add_calo(crossing: &mut Crossing, source: Source, word: u32, report: &mut Report) {
    let object = match source {
        Source::Jets => CaloObject::from_jet_word(word),
        _ => CaloObject::from_egamma_word(word),
    };
    if object.pt == 0 {
        report.count(Trouble::EmptyObject);
    } else if i64::from(object.phi) >= CALO_PHI_CODES {
        report.count(Trouble::Phi);
    } else {
        calo_list(crossing, source).push(object);
    }
}

fn decode_calo(
    origin: Origin<'_>,
    payload: &[u8],
    events: &mut OrbitEvents,
    report: &mut Report,
) -> Result<(), Bad> {
    let words = Words(payload);
    let mut at = 0;
    while at < payload.len() {
        whole(payload, at, HEAD_BYTES)?;
        let n = (words.at(at) & 0xff) as usize;
        if n > CALO_MAX {
            return Err((at, format!("expected at most {CALO_MAX} objects, found {n}")));
        }
        whole(payload, at, HEAD_BYTES + 4 * n)?;
        let names = [words.at(at + 4), words.at(at + 8)];
        if let Some(crossing) = slot(origin, at, names, events, report)? {
            for k in 0..n {
                let word = words.at(at + HEAD_BYTES + 4 * k);
                add_calo(crossing, origin.source, word, report);
            }
        }
        at += HEAD_BYTES + 4 * n;
    }
    Ok(())
}

/// Sums come with or without a header word: the stride is the one with which all orbits fit.
fn decode_sums(
    origin: Origin<'_>,
    payload: &[u8],
    events: &mut OrbitEvents,
    report: &mut Report,
) -> Result<(), Bad> {
    let words = Words(payload);
    let fits = |&before: &usize| {
        let stride = before + 8 + Sums::BYTES;
        let orbits = (before + 4..payload.len()).step_by(stride);
        payload.len().is_multiple_of(stride)
            && orbits.into_iter().all(|at| words.at(at) & ORBIT_MASK == origin.orbit & ORBIT_MASK)
    };
    let Some(before) = [0, 4].into_iter().find(fits) else {
        let what = format!(
            "expected sums in blocks of 32 or 36 bytes, each with the orbit, found {} bytes",
            payload.len()
        );
        return Err((0, what));
    };
    let stride = before + 8 + Sums::BYTES;
    for at in (0..payload.len()).step_by(stride) {
        let names = [words.at(at + before), words.at(at + before + 4)];
        if let Some(crossing) = slot(origin, at, names, events, report)? {
            crossing.set_sums(Sums::from_words(words.six_at(at + before + 8)), report);
        }
    }
    Ok(())
}

/// Kinds of objects in a DMA block: the links of the first and of the second list.
const DMA_LISTS: [(Source, usize, usize); 3] =
    [(Source::Jets, 1, 0), (Source::EGammas, 3, 2), (Source::Taus, 7, 6)];
const DMA_SUMS_LINK: usize = 5;

/// Where the six objects of a link begin in a DMA block.
const fn link_bytes(link: usize) -> usize {
    HEAD_BYTES + 4 * (link * LINK_WORDS + 1)
}

fn decode_dma(
    origin: Origin<'_>,
    payload: &[u8],
    events: &mut OrbitEvents,
    report: &mut Report,
) -> Result<(), Bad> {
    let words = Words(payload);
    let has_tcp = |source: Source| origin.sources.contains(&source);
    let kinds = DMA_LISTS.map(|(source, ..)| source).into_iter().chain([Source::Sums]);
    kinds.filter(|&source| has_tcp(source)).for_each(|_| report.count(Trouble::BothCalo));
    let mut at = 0;
    while at < payload.len() {
        whole(payload, at, DMA_BYTES)?;
        let names = [words.at(at + 4), words.at(at + 8)];
        if let Some(crossing) = slot(origin, at, names, events, report)? {
            for (source, first, second) in DMA_LISTS {
                if has_tcp(source) {
                    continue;
                }
                for link in [first, second] {
                    let objects = words.six_at(at + link_bytes(link));
                    // Unused places are zero, and are no trouble.
                    for word in objects.into_iter().filter(|&word| word != 0) {
                        add_calo(crossing, source, word, report);
                    }
                }
            }
            if !has_tcp(Source::Sums) {
                let sums = words.six_at(at + link_bytes(DMA_SUMS_LINK));
                crossing.set_sums(Sums::from_words(sums), report);
            }
        }
        at += DMA_BYTES;
    }
    Ok(())
}

fn decode_stubs(
    origin: Origin<'_>,
    sector: u8,
    payload: &[u8],
    events: &mut OrbitEvents,
    report: &mut Report,
) -> Result<(), Bad> {
    let words = Words(payload);
    let mut at = 0;
    while at < payload.len() {
        whole(payload, at, HEAD_BYTES)?;
        let n = (words.at(at) & 0xff) as usize;
        whole(payload, at, HEAD_BYTES + Stub::BYTES * n)?;
        let names = [words.at(at + 4), words.at(at + 8)];
        if let Some(crossing) = slot(origin, at, names, events, report)? {
            // One bit for each station and wheel that has had a stub.
            let mut seen = 0_u32;
            for k in 0..n {
                let word = super::u64_at(payload, at + HEAD_BYTES + Stub::BYTES * k);
                let Some((stub, bx)) = Stub::from_word(word) else {
                    report.count(Trouble::InvalidStub);
                    continue;
                };
                if u32::from(bx) != names[0] {
                    report.count(Trouble::StubBx);
                }
                let place = 1 << (8 * i16::from(stub.station - 1) + stub.wheel + 4);
                let tag = u8::from(seen & place == 0);
                seen |= place;
                crossing.stubs.push(SectorStub { sector, tag, stub });
            }
        }
        at += HEAD_BYTES + Stub::BYTES * n;
    }
    Ok(())
}

#[cfg(test)]
#[path = "run3_tests.rs"]
mod tests;
