//! Blocks of Run-3 objects as orbits of Native64 events, and back.
//!
//! ```text
//! muon     word of the global muon trigger, f in bits 0-31, s in 32-63 (its bit 29, here 61, is spare)
//! others   bits 0-31 word of Run 3   56-60 kind   61 one   62, 63 zero     kind 1 e/gamma, 2 jet, 3 tau,
//!                                                                         8…13 the sums in their order
//! ```
//!
//! Phase-2 boards send words of other objects in events of this form; these are Run 3's, so that a
//! stream of them can be sent over what was made for the other. What the words have no room for
//! (event numbers, luminosity sections, labels, raw eta and jet ET) does not travel. Sums that are
//! zero are left out. What the words of Run 3 are is written down in [`raw::words`](crate::raw::words).

use crate::event::{Block, Collection, Column, ColumnSet, Element, Group};
use crate::lhc::{Bx, SLOTS_PER_ORBIT};
use crate::raw::dth;
use crate::raw::native64::{EventHeader, Events, OrbitHeader, push_event};
use crate::raw::words::{CaloObject, Muon, Sums, VectorSum};

const NOT_A_MUON: u64 = 1 << 61;
const EGAMMA: u8 = 1;
const JET: u8 = 2;
const TAU: u8 = 3;
const FIRST_SUM: u8 = 8;

/// Columns that the words hold: what a receiver has.
#[must_use]
pub fn native_columns() -> ColumnSet {
    use Column as C;
    let extra = [
        C::MuonQual,
        C::MuonCharge,
        C::MuonTfIndex,
        C::MuonPhiRaw,
        C::MuonPtUnconstrained,
        C::EGammaIso,
        C::JetQual,
        C::TauIso,
    ];
    [Group::Met, Group::Muon, Group::EGamma, Group::Jet, Group::Tau, Group::Sums]
        .into_iter()
        .fold(extra.into_iter().collect(), |set: ColumnSet, group| set.union(group.columns()))
        .union(ColumnSet::skeleton())
}

/// Makes orbits of blocks. Reuses its buffers.
#[derive(Debug, Default)]
pub struct OrbitEncoder {
    payload: Vec<u8>,
    words: Vec<u64>,
}

impl OrbitEncoder {
    /// Appends those orbits of a block whose number, `shift` added, is `share.0` modulo `share.1`, as
    /// DTHBasic256 blocks; returns how many crossings those are.
    pub fn push_orbits(
        &mut self,
        block: &Block,
        shift: u32,
        share: (u32, u32),
        out: &mut Vec<u8>,
    ) -> u32 {
        let orbits = block.get::<u32>(Column::Orbit);
        let run = (block.run & 0x1f) as u8;
        let (mut first, mut n_crossings) = (0, 0);
        while first < orbits.len() {
            let len = orbits[first..].iter().take_while(|&&orbit| orbit == orbits[first]).count();
            let orbit = orbits[first].wrapping_add(shift);
            if orbit % share.1 == share.0 {
                self.payload.clear();
                for at in first..first + len {
                    self.push_crossing(block, at, run, orbit);
                }
                let n_words = (self.payload.len() / 8) as u32;
                let header = OrbitHeader { error: false, run, orbit, n_words };
                dth::push_orbit(Some(header), &self.payload, out);
                n_crossings += len as u32;
            }
            first += len;
        }
        n_crossings
    }

    fn push_crossing(&mut self, block: &Block, at: usize, run: u8, orbit: u32) {
        let bx = block.get::<i16>(Column::Bx)[at].cast_unsigned();
        let Some(bx) = Bx::new(bx.into()) else { return };
        self.words.clear();
        let objects = |collection| {
            let offsets = block.offsets(collection);
            offsets[at] as usize..offsets[at + 1] as usize
        };
        for k in objects(Collection::Muon) {
            let [f, s] = muon(block, k).to_words();
            self.words.push(u64::from(s) << 32 | u64::from(f));
        }
        use Column as C;
        for k in objects(Collection::EGamma) {
            let columns = [C::EGammaPt, C::EGammaEta, C::EGammaPhi];
            let object = calo(block, k, columns, C::EGammaIso);
            self.words.push(other(EGAMMA, object.to_egamma_word()));
        }
        for k in objects(Collection::Jet) {
            let object = calo(block, k, [C::JetPt, C::JetEta, C::JetPhi], C::JetQual);
            self.words.push(other(JET, object.to_jet_word()));
        }
        for k in objects(Collection::Tau) {
            let object = calo(block, k, [C::TauPt, C::TauEta, C::TauPhi], C::TauIso);
            self.words.push(other(TAU, object.to_egamma_word()));
        }
        for (k, word) in (FIRST_SUM..).zip(sums(block, at).to_words()) {
            if word != 0 {
                self.words.push(other(k, word));
            }
        }
        let header = EventHeader { error: false, run, orbit, bx, n_words: 0 };
        push_event(header, &self.words, &mut self.payload);
    }
}

fn other(kind: u8, word: u32) -> u64 {
    NOT_A_MUON | u64::from(kind) << 56 | u64::from(word)
}

/// An entry, or zero where the block does not have the column.
fn at<T: Element>(block: &Block, column: Column, k: usize) -> T {
    block.get::<T>(column).get(k).copied().unwrap_or_default()
}

fn muon(block: &Block, k: usize) -> Muon {
    use Column as C;
    Muon {
        pt: at(block, C::MuonPt, k),
        eta: at(block, C::MuonEta, k),
        phi: at(block, C::MuonPhi, k),
        qual: at(block, C::MuonQual, k),
        charge: at(block, C::MuonCharge, k),
        tf_index: at(block, C::MuonTfIndex, k),
        phi_raw: at(block, C::MuonPhiRaw, k),
        pt_unconstrained: at(block, C::MuonPtUnconstrained, k),
        ..Muon::default()
    }
}

fn calo(block: &Block, k: usize, [pt, eta, phi]: [Column; 3], qual: Column) -> CaloObject {
    CaloObject {
        pt: at(block, pt, k),
        eta: at(block, eta, k),
        phi: at(block, phi, k),
        qual: at(block, qual, k),
        displaced: false,
    }
}

fn sums(block: &Block, k: usize) -> Sums {
    use Column as C;
    let vector = |pt, phi| VectorSum { pt: at(block, pt, k), phi: at(block, phi, k), asymmetry: 0 };
    Sums {
        et: at(block, C::EtPt, k),
        et_em: at(block, C::EtEmPt, k),
        ht: at(block, C::HtPt, k),
        tower_count: at(block, C::TowerCount, k),
        met: vector(C::MetPt, C::MetPhi),
        mht: vector(C::MhtPt, C::MhtPhi),
        met_hf: vector(C::MetHfPt, C::MetHfPhi),
        mht_hf: vector(C::MhtHfPt, C::MhtHfPhi),
        ..Sums::default()
    }
}

/// What the events of an orbit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrbitCounts {
    /// Events marked as truncated by the sender, which hold nothing.
    pub truncated: u32,
    /// Events that are not what they should be: of another orbit, with words that mean nothing or too
    /// many of them, or that come twice.
    pub corrupt: u32,
    /// Why the rest of the orbit could not be read, if so.
    pub problem: Option<String>,
}

/// Puts the events of one orbit, in the order of their crossings, into `block`, which it empties
/// first. The orbit is that of `header`, or else of the first event.
///
/// **Real-time**: allocates nothing once the block has grown, unless something is wrong.
///
/// # Panics
/// Never: multiplicities are checked before they are pushed.
pub fn read_orbit(payload: &[u8], header: Option<OrbitHeader>, block: &mut Block) -> OrbitCounts {
    let mut counts = OrbitCounts::default();
    block.reset(header.map_or(0, |header| header.run.into()), native_columns());
    let mut orbit = header.map(|header| header.orbit);
    let (mut last_bx, mut in_order) = (0, true);
    for event in Events::new(payload) {
        let event = match event {
            Ok(event) => event,
            Err(problem) => {
                counts.problem = Some(problem.to_string());
                break;
            }
        };
        let EventHeader { error, run, bx, n_words, .. } = event.header;
        let of_orbit = *orbit.get_or_insert(event.header.orbit);
        if block.is_empty() && header.is_none() {
            block.run = run.into();
        }
        if error && n_words == 0 {
            counts.truncated += 1;
        } else if event.header.orbit != of_orbit || !push_words(event.words(), block) {
            counts.corrupt += 1;
        } else {
            in_order &= bx.get() > last_bx;
            last_bx = bx.get();
            block.get_mut::<u32>(Column::Orbit).push(of_orbit);
            block.get_mut::<i16>(Column::Bx).push(bx.get().cast_signed());
        }
        if block.len() > SLOTS_PER_ORBIT as usize * 2 {
            counts.problem = Some("it has more events than an orbit has crossings".into());
            break;
        }
    }
    block.index_objects().expect("multiplicities were checked when they were pushed");
    if !in_order {
        counts.corrupt += sort_by_crossing(block);
    }
    counts
}

/// Appends the objects of one event; false, and nothing is appended, if its words make no sense.
fn push_words(words: impl Iterator<Item = u64> + Clone, block: &mut Block) -> bool {
    let mut n = [0_usize; 4];
    let mut sums = [0_u32; 6];
    let kind_of = |word: u64| (word & NOT_A_MUON != 0).then_some((word >> 56 & 0x1f) as u8);
    for word in words.clone() {
        match kind_of(word) {
            None => n[Collection::Muon as usize] += 1,
            Some(EGAMMA) => n[Collection::EGamma as usize] += 1,
            Some(JET) => n[Collection::Jet as usize] += 1,
            Some(TAU) => n[Collection::Tau as usize] += 1,
            Some(kind) => match sums.get_mut(usize::from(kind.wrapping_sub(FIRST_SUM))) {
                Some(sum) => *sum = word as u32,
                None => return false,
            },
        }
    }
    if Collection::OBJECTS.iter().any(|&c| n[c as usize] > c.capacity()) {
        return false;
    }
    for word in words {
        match kind_of(word) {
            None => push_muon(Muon::from_words([word as u32, (word >> 32) as u32, 0]), block),
            Some(EGAMMA) => push_calo(CaloObject::from_egamma_word(word as u32), EGAMMA, block),
            Some(JET) => push_calo(CaloObject::from_jet_word(word as u32), JET, block),
            Some(TAU) => push_calo(CaloObject::from_egamma_word(word as u32), TAU, block),
            Some(_) => {}
        }
    }
    for collection in Collection::OBJECTS {
        let column = collection.count_column().expect("objects are counted");
        block.get_mut::<u8>(column).push(n[collection as usize] as u8);
    }
    push_sums(&Sums::from_words(sums), block);
    true
}

fn push_muon(muon: Option<Muon>, block: &mut Block) {
    use Column as C;
    // A third word of zero marks no intermediate muon.
    let muon = muon.unwrap_or_default();
    block.get_mut::<i16>(C::MuonPt).push(muon.pt);
    block.get_mut::<i16>(C::MuonEta).push(muon.eta);
    block.get_mut::<i16>(C::MuonPhi).push(muon.phi);
    block.get_mut::<u8>(C::MuonQual).push(muon.qual);
    block.get_mut::<i16>(C::MuonCharge).push(muon.charge);
    block.get_mut::<u8>(C::MuonTfIndex).push(muon.tf_index);
    block.get_mut::<i16>(C::MuonPhiRaw).push(muon.phi_raw);
    block.get_mut::<i16>(C::MuonPtUnconstrained).push(muon.pt_unconstrained);
}

fn push_calo(object: CaloObject, kind: u8, block: &mut Block) {
    use Column as C;
    let [pt, eta, phi, qual] = match kind {
        EGAMMA => [C::EGammaPt, C::EGammaEta, C::EGammaPhi, C::EGammaIso],
        JET => [C::JetPt, C::JetEta, C::JetPhi, C::JetQual],
        _ => [C::TauPt, C::TauEta, C::TauPhi, C::TauIso],
    };
    block.get_mut::<i16>(pt).push(object.pt);
    block.get_mut::<i16>(eta).push(object.eta);
    block.get_mut::<i16>(phi).push(object.phi);
    block.get_mut::<u8>(qual).push(object.qual);
}

fn push_sums(sums: &Sums, block: &mut Block) {
    use Column as C;
    for (column, value) in [
        (C::EtPt, sums.et),
        (C::EtEmPt, sums.et_em),
        (C::HtPt, sums.ht),
        (C::TowerCount, sums.tower_count),
        (C::MetPt, sums.met.pt),
        (C::MetPhi, sums.met.phi),
        (C::MhtPt, sums.mht.pt),
        (C::MhtPhi, sums.mht.phi),
        (C::MetHfPt, sums.met_hf.pt),
        (C::MetHfPhi, sums.met_hf.phi),
        (C::MhtHfPt, sums.mht_hf.pt),
        (C::MhtHfPhi, sums.mht_hf.phi),
    ] {
        block.get_mut::<i16>(column).push(value);
    }
}

/// Puts the crossings of one orbit in order; returns how many came twice, of which the first stays.
fn sort_by_crossing(block: &mut Block) -> u32 {
    let bxs = block.get::<i16>(Column::Bx);
    let mut order: Vec<usize> = (0..bxs.len()).collect();
    order.sort_by_key(|&i| bxs[i]);
    let before = order.len();
    order.dedup_by_key(|&mut i| bxs[i]);
    let mut sorted = Block::new(block.columns());
    sorted.run = block.run;
    order.iter().for_each(|&i| sorted.push_event(block, i));
    let n_twice = before - order.len();
    *block = sorted;
    n_twice as u32
}

/// Puts two parts of one orbit together, in the order of their crossings; returns how many are in
/// both, of which those of `block` stay.
pub fn join_orbit(block: &mut Block, other: &Block) -> u32 {
    (0..other.len()).for_each(|i| block.push_event(other, i));
    sort_by_crossing(block)
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
