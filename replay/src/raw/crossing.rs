//! One crossing between words and columns: its objects as lists.
//!
//! Decoders of every binary format fill a [`Crossing`], which [`append_to`](Crossing::append_to)
//! a [`Block`] sorted by pT; encoders are given one that was [filled](Crossing::fill) from a
//! block. [`OrbitEvents`] holds the crossings of one orbit, which several sources fill in turn.
//! All lists are reused: after a few orbits nothing is allocated.

use super::phase2::{Puppi, TrackMuon};
use super::report::{Report, Trouble};
use super::words::{CaloObject, Muon, Stub, Sums, VectorSum};
use crate::event::{Block, Collection, Column, ColumnSet, Element, EventRef};
use crate::lhc::{Bx, SLOTS_PER_ORBIT};
use crate::units::{CALO_PHI_CODES, MUON_PHI_CODES};

/// Quality of muons in streams that do not know it: that of single-muon triggers. Readers of the
/// real system drop muons of quality 0.
pub const MUON_QUAL_UNKNOWN: u8 = 12;

/// A stub, where it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SectorStub {
    /// Sector, 0 to 11.
    pub sector: u8,
    /// 1 for the first of its sector, station and wheel.
    pub tag: u8,
    /// The stub.
    pub stub: Stub,
}

/// The objects of one crossing, in hardware integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the collections of the event model")]
pub struct Crossing {
    pub muons: Vec<Muon>,
    pub egammas: Vec<CaloObject>,
    pub jets: Vec<CaloObject>,
    pub taus: Vec<CaloObject>,
    /// None where no source delivers sums.
    pub sums: Option<Sums>,
    pub stubs: Vec<SectorStub>,
    pub puppi: Vec<Puppi>,
    pub track_muons: Vec<TrackMuon>,
}

impl Crossing {
    /// Empties it, and keeps what it has allocated.
    pub fn clear(&mut self) {
        self.muons.clear();
        self.egammas.clear();
        self.jets.clear();
        self.taus.clear();
        self.sums = None;
        self.stubs.clear();
        self.puppi.clear();
        self.track_muons.clear();
    }

    /// Adds a muon, unless it is none.
    pub(crate) fn add_muon(&mut self, muon: Muon, report: &mut Report) {
        let turn = MUON_PHI_CODES as i16;
        if muon.pt == 0 {
            report.count(Trouble::EmptyObject);
        } else if muon.qual == 0 {
            report.count(Trouble::MuonQuality);
        } else if muon.phi >= turn || muon.phi_raw >= turn {
            report.count(Trouble::Phi);
        } else {
            self.muons.push(muon);
        }
    }

    /// Sets the sums, with azimuths that are ones.
    pub(crate) fn set_sums(&mut self, mut sums: Sums, report: &mut Report) {
        for sum in [&mut sums.met, &mut sums.mht, &mut sums.met_hf, &mut sums.mht_hf] {
            if i64::from(sum.phi) >= CALO_PHI_CODES {
                // Without a magnitude it means nothing anyway.
                if sum.pt > 0 {
                    report.count(Trouble::Phi);
                }
                sum.phi = 0;
            }
        }
        self.sums = Some(sums);
    }

    /// Sorts objects by descending pT, equal ones as they came, and drops what no crossing holds.
    fn normalise(&mut self, report: &mut Report) {
        sort(&mut self.muons, Collection::Muon, |muon| muon.pt.into(), report);
        sort(&mut self.egammas, Collection::EGamma, |object| object.pt.into(), report);
        sort(&mut self.jets, Collection::Jet, |object| object.pt.into(), report);
        sort(&mut self.taus, Collection::Tau, |object| object.pt.into(), report);
        sort(&mut self.puppi, Collection::Puppi, |object| object.pt.into(), report);
        sort(&mut self.track_muons, Collection::TrackMuon, |muon| muon.pt, report);
        // Stubs have no pT; sectors deliver them in any order.
        self.stubs.sort_by_key(|stub| stub.sector);
        self.stubs.truncate(Collection::Stub.capacity());
    }

    /// Appends the crossing to `block`, in every column that it holds. Offsets are not kept up
    /// to date: index the block's objects when done.
    pub fn append_to(&mut self, orbit: u32, bx: Bx, block: &mut Block, report: &mut Report) {
        self.normalise(report);
        put(block, Column::Orbit, [orbit]);
        put(block, Column::Bx, [bx.get() as i16]);
        let counts = [
            (Column::MuonN, self.muons.len()),
            (Column::EGammaN, self.egammas.len()),
            (Column::JetN, self.jets.len()),
            (Column::TauN, self.taus.len()),
        ];
        counts.into_iter().for_each(|(column, n)| put(block, column, [n as u8]));
        let counts = [
            (Column::PuppiN, self.puppi.len()),
            (Column::TrackMuonN, self.track_muons.len()),
            (Column::StubN, self.stubs.len()),
        ];
        counts.into_iter().for_each(|(column, n)| put(block, column, [n as i16]));
        self.append_muons(block);
        append_calo(&self.egammas, Collection::EGamma, block);
        append_calo(&self.jets, Collection::Jet, block);
        append_calo(&self.taus, Collection::Tau, block);
        append_sums(&self.sums.unwrap_or_default(), block);
        self.append_stubs(block);
        self.append_phase2(block);
    }

    fn append_muons(&self, block: &mut Block) {
        let words: [Field<Muon, i16>; 7] = [
            (Column::MuonPt, |m| m.pt),
            (Column::MuonEta, |m| m.eta),
            (Column::MuonPhi, |m| m.phi),
            (Column::MuonCharge, |m| m.charge),
            (Column::MuonPhiRaw, |m| m.phi_raw),
            (Column::MuonEtaRaw, |m| m.eta_raw),
            (Column::MuonPtUnconstrained, |m| m.pt_unconstrained),
        ];
        put_each(block, &self.muons, &words);
        let bytes: [Field<Muon, u8>; 4] = [
            (Column::MuonQual, |m| m.qual),
            (Column::MuonTfIndex, |m| m.tf_index),
            (Column::MuonIso, |m| m.iso),
            (Column::MuonDxy, |m| m.dxy),
        ];
        put_each(block, &self.muons, &bytes);
    }

    fn append_stubs(&self, block: &mut Block) {
        let words: [Field<SectorStub, i16>; 3] = [
            (Column::StubPhi, |s| s.stub.phi),
            (Column::StubPhiB, |s| s.stub.phi_b),
            (Column::StubWheel, |s| s.stub.wheel),
        ];
        put_each(block, &self.stubs, &words);
        let bytes: [Field<SectorStub, u8>; 6] = [
            (Column::StubQual, |s| s.stub.qual),
            (Column::StubEta, |s| s.stub.eta),
            (Column::StubQeta, |s| s.stub.qeta),
            (Column::StubStation, |s| s.stub.station),
            (Column::StubSector, |s| s.sector),
            (Column::StubTag, |s| s.tag),
        ];
        put_each(block, &self.stubs, &bytes);
    }

    fn append_phase2(&self, block: &mut Block) {
        let words: [Field<Puppi, i16>; 6] = [
            (Column::PuppiPt, |p| p.pt),
            (Column::PuppiEta, |p| p.eta),
            (Column::PuppiPhi, |p| p.phi),
            (Column::PuppiZ0, |p| p.z0),
            (Column::PuppiDxy, |p| p.dxy),
            (Column::PuppiWeight, |p| p.weight),
        ];
        put_each(block, &self.puppi, &words);
        let bytes: [Field<Puppi, u8>; 3] = [
            (Column::PuppiPid, |p| p.pid),
            (Column::PuppiQual, |p| p.qual),
            (Column::PuppiId, |p| p.id),
        ];
        put_each(block, &self.puppi, &bytes);
        let pt: [Field<TrackMuon, i32>; 1] = [(Column::TrackMuonPt, |m| m.pt)];
        put_each(block, &self.track_muons, &pt);
        let words: [Field<TrackMuon, i16>; 5] = [
            (Column::TrackMuonEta, |m| m.eta),
            (Column::TrackMuonPhi, |m| m.phi),
            (Column::TrackMuonZ0, |m| m.z0),
            (Column::TrackMuonD0, |m| m.d0),
            (Column::TrackMuonCharge, |m| m.charge),
        ];
        put_each(block, &self.track_muons, &words);
        let bytes: [Field<TrackMuon, u8>; 3] = [
            (Column::TrackMuonQual, |m| m.qual),
            (Column::TrackMuonIso, |m| m.iso),
            (Column::TrackMuonBeta, |m| m.beta),
        ];
        put_each(block, &self.track_muons, &bytes);
    }

    /// Takes the objects of an event. What its block does not hold is zero, but for the quality
    /// of muons ([`MUON_QUAL_UNKNOWN`]).
    ///
    /// # Panics
    /// Never: the objects of Run 3 have kinematics.
    pub fn fill(&mut self, event: EventRef<'_>, columns: ColumnSet) {
        self.clear();
        let get = Fields(event);
        let qual_is_known = columns.contains(Column::MuonQual);
        self.muons.extend((0..event.count(Collection::Muon)).map(|k| Muon {
            pt: get.i16(Column::MuonPt, k),
            eta: get.i16(Column::MuonEta, k),
            phi: get.i16(Column::MuonPhi, k),
            qual: if qual_is_known { get.u8(Column::MuonQual, k) } else { MUON_QUAL_UNKNOWN },
            iso: get.u8(Column::MuonIso, k),
            charge: get.i16(Column::MuonCharge, k),
            tf_index: get.u8(Column::MuonTfIndex, k),
            phi_raw: get.i16(Column::MuonPhiRaw, k),
            eta_raw: get.i16(Column::MuonEtaRaw, k),
            pt_unconstrained: get.i16(Column::MuonPtUnconstrained, k),
            dxy: get.u8(Column::MuonDxy, k),
        }));
        let calo = |collection: Collection, qual: Column, displaced: Option<Column>| {
            let [pt, eta, phi] = collection.kinematics().expect("objects have kinematics");
            (0..event.count(collection)).map(move |k| CaloObject {
                pt: get.i16(pt, k),
                eta: get.i16(eta, k),
                phi: get.i16(phi, k),
                qual: get.u8(qual, k) & 3,
                displaced: displaced.is_some_and(|column| get.u8(column, k) == 1),
            })
        };
        self.egammas.extend(calo(Collection::EGamma, Column::EGammaIso, None));
        self.jets.extend(calo(Collection::Jet, Column::JetQual, Some(Column::JetDisplaced)));
        self.taus.extend(calo(Collection::Tau, Column::TauIso, None));
        self.sums = (!columns.intersection(sum_columns()).is_empty()).then(|| sums_of(event));
        self.fill_stubs(event);
        self.fill_phase2(event);
    }

    fn fill_stubs(&mut self, event: EventRef<'_>) {
        let get = Fields(event);
        self.stubs.extend((0..event.count(Collection::Stub)).map(|k| SectorStub {
            sector: get.u8(Column::StubSector, k),
            tag: get.u8(Column::StubTag, k),
            stub: Stub {
                phi: get.i16(Column::StubPhi, k),
                phi_b: get.i16(Column::StubPhiB, k),
                qual: get.u8(Column::StubQual, k),
                eta: get.u8(Column::StubEta, k),
                qeta: get.u8(Column::StubQeta, k),
                // A column that is not there reads as 0, which is no station.
                station: get.u8(Column::StubStation, k).max(1),
                wheel: get.i16(Column::StubWheel, k),
            },
        }));
    }

    fn fill_phase2(&mut self, event: EventRef<'_>) {
        let get = Fields(event);
        self.puppi.extend((0..event.count(Collection::Puppi)).map(|k| Puppi {
            pt: get.i16(Column::PuppiPt, k),
            eta: get.i16(Column::PuppiEta, k),
            phi: get.i16(Column::PuppiPhi, k),
            pid: get.u8(Column::PuppiPid, k),
            z0: get.i16(Column::PuppiZ0, k),
            dxy: get.i16(Column::PuppiDxy, k),
            qual: get.u8(Column::PuppiQual, k),
            weight: get.i16(Column::PuppiWeight, k),
            id: get.u8(Column::PuppiId, k),
        }));
        self.track_muons.extend((0..event.count(Collection::TrackMuon)).map(|k| TrackMuon {
            pt: event.values::<i32>(Column::TrackMuonPt).get(k).copied().unwrap_or_default(),
            eta: get.i16(Column::TrackMuonEta, k),
            phi: get.i16(Column::TrackMuonPhi, k),
            z0: get.i16(Column::TrackMuonZ0, k),
            d0: get.i16(Column::TrackMuonD0, k),
            charge: get.i16(Column::TrackMuonCharge, k),
            qual: get.u8(Column::TrackMuonQual, k),
            iso: get.u8(Column::TrackMuonIso, k),
            beta: get.u8(Column::TrackMuonBeta, k),
        }));
    }
}

/// Entries of an event, 0 where its block does not hold the column.
#[derive(Clone, Copy)]
struct Fields<'a>(EventRef<'a>);

impl Fields<'_> {
    fn i16(self, column: Column, k: usize) -> i16 {
        self.0.values::<i16>(column).get(k).copied().unwrap_or_default()
    }

    fn u8(self, column: Column, k: usize) -> u8 {
        self.0.values::<u8>(column).get(k).copied().unwrap_or_default()
    }
}

/// Columns of energy sums.
#[must_use]
pub fn sum_columns() -> ColumnSet {
    use crate::event::Group;
    [Group::Met, Group::Sums, Group::SumsExtra]
        .into_iter()
        .fold(ColumnSet::EMPTY, |set, group| set.union(group.columns()))
}

fn sums_of(event: EventRef<'_>) -> Sums {
    let i16 = |column| event.value::<i16>(column);
    let u8 = |column| event.value::<u8>(column);
    let vector =
        |pt, phi, asymmetry| VectorSum { pt: i16(pt), phi: i16(phi), asymmetry: i16(asymmetry) };
    Sums {
        et: i16(Column::EtPt),
        et_em: i16(Column::EtEmPt),
        ht: i16(Column::HtPt),
        tower_count: i16(Column::TowerCount),
        met: vector(Column::MetPt, Column::MetPhi, Column::AsymEt),
        mht: vector(Column::MhtPt, Column::MhtPhi, Column::AsymHt),
        met_hf: vector(Column::MetHfPt, Column::MetHfPhi, Column::AsymEtHf),
        mht_hf: vector(Column::MhtHfPt, Column::MhtHfPhi, Column::AsymHtHf),
        min_bias: [
            u8(Column::MinBiasHfP0),
            u8(Column::MinBiasHfM0),
            u8(Column::MinBiasHfP1),
            u8(Column::MinBiasHfM1),
        ],
        centrality: u8(Column::Centrality),
    }
}

fn append_sums(sums: &Sums, block: &mut Block) {
    let words = [
        (Column::MetPt, sums.met.pt),
        (Column::MetPhi, sums.met.phi),
        (Column::EtPt, sums.et),
        (Column::EtEmPt, sums.et_em),
        (Column::HtPt, sums.ht),
        (Column::TowerCount, sums.tower_count),
        (Column::MhtPt, sums.mht.pt),
        (Column::MhtPhi, sums.mht.phi),
        (Column::MetHfPt, sums.met_hf.pt),
        (Column::MetHfPhi, sums.met_hf.phi),
        (Column::MhtHfPt, sums.mht_hf.pt),
        (Column::MhtHfPhi, sums.mht_hf.phi),
        (Column::AsymEt, sums.met.asymmetry),
        (Column::AsymHt, sums.mht.asymmetry),
        (Column::AsymEtHf, sums.met_hf.asymmetry),
        (Column::AsymHtHf, sums.mht_hf.asymmetry),
    ];
    words.into_iter().for_each(|(column, value)| put(block, column, [value]));
    let bytes = [
        (Column::MinBiasHfP0, sums.min_bias[0]),
        (Column::MinBiasHfM0, sums.min_bias[1]),
        (Column::MinBiasHfP1, sums.min_bias[2]),
        (Column::MinBiasHfM1, sums.min_bias[3]),
        (Column::Centrality, sums.centrality),
    ];
    bytes.into_iter().for_each(|(column, value)| put(block, column, [value]));
}

fn append_calo(objects: &[CaloObject], collection: Collection, block: &mut Block) {
    let [pt, eta, phi] = collection.kinematics().expect("objects have kinematics");
    let words: [Field<CaloObject, i16>; 3] = [(pt, |o| o.pt), (eta, |o| o.eta), (phi, |o| o.phi)];
    put_each(block, objects, &words);
    let qual = match collection {
        Collection::EGamma => Column::EGammaIso,
        Collection::Tau => Column::TauIso,
        _ => Column::JetQual,
    };
    let bytes: [Field<CaloObject, u8>; 1] = [(qual, |o| o.qual)];
    put_each(block, objects, &bytes);
    if collection == Collection::Jet {
        let bytes: [Field<CaloObject, u8>; 1] = [(Column::JetDisplaced, |o| o.displaced.into())];
        put_each(block, objects, &bytes);
    }
}

/// A column, and what of an object goes there.
type Field<O, T> = (Column, fn(&O) -> T);

fn put<T: Element>(block: &mut Block, column: Column, values: impl IntoIterator<Item = T>) {
    if block.columns().contains(column) {
        block.get_mut::<T>(column).extend(values);
    }
}

fn put_each<O, T: Element>(block: &mut Block, objects: &[O], fields: &[Field<O, T>]) {
    for (column, field) in fields {
        put(block, *column, objects.iter().map(field));
    }
}

fn sort<O>(
    objects: &mut Vec<O>,
    collection: Collection,
    pt: impl Fn(&O) -> i32,
    report: &mut Report,
) {
    if !objects.is_sorted_by(|a, b| pt(a) >= pt(b)) {
        objects.sort_by_key(|object| std::cmp::Reverse(pt(object)));
        report.count(Trouble::Resorted);
    }
    for _ in collection.capacity()..objects.len() {
        report.count(Trouble::Capacity);
    }
    objects.truncate(collection.capacity());
}

/// The crossings of one orbit, which the records of several sources fill.
#[derive(Debug)]
pub struct OrbitEvents {
    slots: Vec<Crossing>,
    /// Number of the record that delivered a crossing last; 0 for none.
    delivered: Vec<u32>,
    record: u32,
}

impl Default for OrbitEvents {
    fn default() -> OrbitEvents {
        let n = SLOTS_PER_ORBIT as usize;
        OrbitEvents { slots: vec![Crossing::default(); n], delivered: vec![0; n], record: 0 }
    }
}

impl OrbitEvents {
    /// What follows comes from another record.
    pub fn begin_record(&mut self) {
        self.record += 1;
    }

    /// A crossing to be filled; `None` if this record has delivered it before.
    pub fn crossing(&mut self, bx: Bx) -> Option<&mut Crossing> {
        let slot = usize::from(bx.get()) - 1;
        if self.delivered[slot] == self.record {
            return None;
        }
        self.delivered[slot] = self.record;
        Some(&mut self.slots[slot])
    }

    /// Appends all crossings that were delivered, in order, and empties the orbit. Returns how
    /// many they were.
    ///
    /// # Panics
    /// Never: an orbit has the crossings 1 to 3564.
    pub fn append_to(&mut self, orbit: u32, block: &mut Block, report: &mut Report) -> usize {
        let mut n = 0;
        for number in 1..=SLOTS_PER_ORBIT {
            let slot = number as usize - 1;
            if std::mem::take(&mut self.delivered[slot]) == 0 {
                continue;
            }
            let bx = Bx::new(number).expect("within the orbit");
            self.slots[slot].append_to(orbit, bx, block, report);
            self.slots[slot].clear();
            n += 1;
        }
        self.record = 0;
        n
    }
}
