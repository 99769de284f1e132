//! Both ways event by event and object by object: what the fast ones have to equal, bit for bit.

use super::*;
use crate::event::{Collection, Element};
use crate::lhc::{Bx, SLOTS_PER_ORBIT};
use crate::raw::dth;
use crate::raw::native64::{EventHeader, push_event};
use crate::raw::words::{CaloObject, Muon, Sums, VectorSum};

/// As `OrbitEncoder::push_orbits`.
#[derive(Default)]
pub struct SlowEncoder {
    payload: Vec<u8>,
    words: Vec<u64>,
}

impl SlowEncoder {
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

pub fn other(kind: u8, word: u32) -> u64 {
    NOT_A_MUON | u64::from(kind) << KIND_AT | u64::from(word)
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

/// As `OrbitReader::read`, with all columns.
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
        if orbit.is_none() {
            block.run = run.into();
        }
        let of_orbit = *orbit.get_or_insert(event.header.orbit);
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
    let kind_of = |word: u64| (word & NOT_A_MUON != 0).then_some((word >> KIND_AT & 0x1f) as u8);
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
