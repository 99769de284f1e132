//! Blocks to orbits: words a column at a time, then dealt to events.
//!
//! The words of a block are made first, kind by kind, in loops over columns that vectorise. An event is
//! then a header and a few short runs of words that are there already. Runs are copied as if there were
//! as many jets as there can be, or four objects of another kind, and what was too much is overwritten by
//! what follows: lengths of runs differ from event to event, and a branch on each would be mispredicted
//! as often. Kinds that the block has none of are passed over.

use super::{EGAMMA, FIRST_SUM, JET, KIND_AT, N_SUMS, NOT_A_MUON, TAU};
use crate::event::{Block, Collection, Column, Element};
use crate::lhc::Bx;
use crate::raw::dth;
use crate::raw::native64::{EventHeader, OrbitHeader};
use crate::raw::words::{CaloObject, Muon, Sums, VectorSum};
use std::ops::Range;

/// Words of jets that are copied at once: all that there can be.
const STRIDE: usize = Collection::Jet.capacity();
/// Words of others that are copied at once: few crossings have more.
const FEW: usize = 4;

/// Makes orbits of blocks. Reuses its buffers.
#[derive(Debug, Default)]
pub struct OrbitEncoder {
    /// Words of the block's objects, by collection, and a stride of others.
    objects: [Vec<u64>; Collection::OBJECTS.len()],
    /// Words of the block's sums, one for each crossing, zero included; none of sums that it does not have.
    sums: [Vec<u32>; N_SUMS],
    /// Words of an orbit. Never shorter than it was.
    payload: Vec<u64>,
    zeros: Zeros,
}

impl OrbitEncoder {
    /// Appends those orbits of a block whose number, `shift` added, is `share.0` modulo `share.1`, as
    /// DTHBasic256 blocks; returns how many crossings those are.
    ///
    /// **Real-time**: allocates nothing once its buffers and `out` have grown.
    pub fn push_orbits(
        &mut self,
        block: &Block,
        shift: u32,
        share: (u32, u32),
        out: &mut Vec<u8>,
    ) -> u32 {
        self.make_words(block);
        let orbits = block.get::<u32>(Column::Orbit);
        let run = (block.run & 0x1f) as u8;
        let (mut first, mut n_crossings) = (0, 0);
        while first < orbits.len() {
            let len = orbits[first..].iter().take_while(|&&orbit| orbit == orbits[first]).count();
            let orbit = orbits[first].wrapping_add(shift);
            if orbit % share.1 == share.0 {
                let n_words = self.fill_payload(block, first..first + len, run, orbit);
                let header = OrbitHeader { error: false, run, orbit, n_words: n_words as u32 };
                let payload = bytemuck::must_cast_slice(&self.payload[..n_words]);
                dth::push_orbit(Some(header), payload, out);
                n_crossings += len as u32;
            }
            first += len;
        }
        n_crossings
    }

    /// Makes the words of all objects and sums of a block.
    fn make_words(&mut self, block: &Block) {
        use Column as C;
        self.zeros.grow(block);
        let zeros = &self.zeros;
        let [muon, egamma, jet, tau] = &mut self.objects;
        muon_words(block, zeros, muon);
        let columns = [C::EGammaPt, C::EGammaEta, C::EGammaPhi];
        let egamma_of = Calo { collection: Collection::EGamma, columns, qual: C::EGammaIso };
        egamma_of.words(block, zeros, egamma, |o| other(EGAMMA, o.to_egamma_word()));
        let columns = [C::JetPt, C::JetEta, C::JetPhi];
        let jet_of = Calo { collection: Collection::Jet, columns, qual: C::JetQual };
        jet_of.words(block, zeros, jet, |o| other(JET, o.to_jet_word()));
        let columns = [C::TauPt, C::TauEta, C::TauPhi];
        let tau_of = Calo { collection: Collection::Tau, columns, qual: C::TauIso };
        tau_of.words(block, zeros, tau, |o| other(TAU, o.to_egamma_word()));
        sum_words(block, zeros, &mut self.sums);
    }

    /// Puts the events of an orbit into the payload; returns how many words those are.
    fn fill_payload(
        &mut self,
        block: &Block,
        crossings: Range<usize>,
        run: u8,
        orbit: u32,
    ) -> usize {
        let bxs = &block.get::<i16>(Column::Bx)[crossings.clone()];
        let offsets =
            Collection::OBJECTS.map(|c| &block.offsets(c)[crossings.start..=crossings.end]);
        let has = Collection::OBJECTS.map(|collection| block.n_entries(collection) > 0);
        let (mut sums, mut n_sums) = ([(0, &[][..]); N_SUMS], 0);
        let kinds = (FIRST_SUM..).zip(&self.sums);
        for (kind, words) in kinds.filter(|(_, words)| !words.is_empty()) {
            sums[n_sums] = (kind, &words[crossings.clone()]);
            n_sums += 1;
        }
        let n_objects: usize = offsets.iter().map(|o| (o[crossings.len()] - o[0]) as usize).sum();
        let most = crossings.len() * (1 + N_SUMS) + n_objects + STRIDE;
        if self.payload.len() < most {
            self.payload.resize(most, 0);
        }
        let payload = &mut self.payload[..];
        let mut end = 0;
        for (i, &bx) in bxs.iter().enumerate() {
            let Some(bx) = Bx::new(bx.cast_unsigned().into()) else { continue };
            let begin = end;
            end += 1;
            let of = |k: usize| offsets[k][i] as usize..offsets[k][i + 1] as usize;
            let [muons, egammas, jets, taus] = &self.objects;
            if has[0] {
                end = copy_run::<FEW>(muons, of(0), payload, end);
            }
            if has[1] {
                end = copy_run::<FEW>(egammas, of(1), payload, end);
            }
            if has[2] {
                end = copy_run::<STRIDE>(jets, of(2), payload, end);
            }
            if has[3] {
                end = copy_run::<FEW>(taus, of(3), payload, end);
            }
            for (kind, words) in &sums[..n_sums] {
                // What is zero is overwritten by what follows.
                payload[end] = other(*kind, words[i]);
                end += usize::from(words[i] != 0);
            }
            let n_words = (end - begin - 1) as u8;
            payload[begin] = EventHeader { error: false, run, orbit, bx, n_words }.to_word();
        }
        end
    }
}

/// Copies a run of words to `at`, and up to a stride of others behind it; where the run ends.
#[inline]
fn copy_run<const AT_ONCE: usize>(
    words: &[u64],
    run: Range<usize>,
    to: &mut [u64],
    at: usize,
) -> usize {
    let n = run.len();
    let mut done = 0;
    loop {
        let stride = &words[run.start + done..][..AT_ONCE];
        to[at + done..][..AT_ONCE].copy_from_slice(stride);
        done += AT_ONCE;
        if done >= n {
            return at + n;
        }
    }
}

#[inline]
fn other(kind: u8, word: u32) -> u64 {
    NOT_A_MUON | u64::from(kind) << KIND_AT | u64::from(word)
}

/// What stands for columns that a block does not have.
#[derive(Debug, Default)]
struct Zeros {
    bytes: Vec<u8>,
    words: Vec<i16>,
}

/// Entries of columns that words hold.
trait Entry: Element {
    fn zeros(zeros: &Zeros) -> &[Self];
}

impl Entry for u8 {
    fn zeros(zeros: &Zeros) -> &[u8] {
        &zeros.bytes
    }
}

impl Entry for i16 {
    fn zeros(zeros: &Zeros) -> &[i16] {
        &zeros.words
    }
}

impl Zeros {
    fn grow(&mut self, block: &Block) {
        let objects = Collection::OBJECTS.map(|collection| block.n_entries(collection));
        let n = objects.into_iter().fold(block.len(), usize::max);
        if self.words.len() < n {
            self.bytes.resize(n, 0);
            self.words.resize(n, 0);
        }
    }

    /// The `n` entries of a column, zeros where the block does not have it.
    fn or<'a, T: Entry>(&'a self, block: &'a Block, column: Column, n: usize) -> &'a [T] {
        let entries = block.get::<T>(column);
        if entries.len() == n { entries } else { &T::zeros(self)[..n] }
    }
}

fn muon_words(block: &Block, zeros: &Zeros, out: &mut Vec<u64>) {
    use Column as C;
    let n = block.n_entries(Collection::Muon);
    let of = |column| zeros.or::<i16>(block, column, n);
    let [pt, eta, phi] = [of(C::MuonPt), of(C::MuonEta), of(C::MuonPhi)];
    let [phi_raw, pt_unconstrained] = [of(C::MuonPhiRaw), of(C::MuonPtUnconstrained)];
    let charge = of(C::MuonCharge);
    let qual = zeros.or::<u8>(block, C::MuonQual, n);
    let tf_index = zeros.or::<u8>(block, C::MuonTfIndex, n);
    out.clear();
    out.extend((0..n).map(|k| {
        let muon = Muon {
            pt: pt[k],
            eta: eta[k],
            phi: phi[k],
            qual: qual[k],
            charge: charge[k],
            tf_index: tf_index[k],
            phi_raw: phi_raw[k],
            pt_unconstrained: pt_unconstrained[k],
            ..Muon::default()
        };
        let [f, s] = muon.to_words();
        u64::from(s) << 32 | u64::from(f)
    }));
    out.extend([0; STRIDE]);
}

/// Where objects of the calorimeter are.
struct Calo {
    collection: Collection,
    columns: [Column; 3],
    qual: Column,
}

impl Calo {
    fn words(
        &self,
        block: &Block,
        zeros: &Zeros,
        out: &mut Vec<u64>,
        word: impl Fn(CaloObject) -> u64,
    ) {
        let n = block.n_entries(self.collection);
        let [pt, eta, phi] = self.columns.map(|column| zeros.or::<i16>(block, column, n));
        let qual = zeros.or::<u8>(block, self.qual, n);
        out.clear();
        out.extend(pt.iter().zip(eta).zip(phi).zip(qual).map(|(((&pt, &eta), &phi), &qual)| {
            word(CaloObject { pt, eta, phi, qual, displaced: false })
        }));
        out.extend([0; STRIDE]);
    }
}

/// The six words of each crossing. Each takes two columns, and a loop of its own: so it vectorises.
fn sum_words(block: &Block, zeros: &Zeros, [et, ht, met, mht, met_hf, mht_hf]: &mut [Vec<u32>; 6]) {
    use Column as C;
    let pair = |columns: [Column; 2], out: &mut Vec<u32>, word: &dyn PairWord| {
        out.clear();
        if columns.iter().any(|&column| block.columns().contains(column)) {
            let [a, b] = columns.map(|column| zeros.or::<i16>(block, column, block.len()));
            word.words(a, b, out);
        }
    };
    let vector = |pt, phi| VectorSum { pt, phi, asymmetry: 0 };
    let sums = Sums::default();
    pair([C::EtPt, C::EtEmPt], et, &|et, et_em| Sums { et, et_em, ..sums }.to_words()[0]);
    pair([C::HtPt, C::TowerCount], ht, &|ht, tower_count| {
        Sums { ht, tower_count, ..sums }.to_words()[1]
    });
    pair([C::MetPt, C::MetPhi], met, &|pt, phi| {
        Sums { met: vector(pt, phi), ..sums }.to_words()[2]
    });
    pair([C::MhtPt, C::MhtPhi], mht, &|pt, phi| {
        Sums { mht: vector(pt, phi), ..sums }.to_words()[3]
    });
    pair([C::MetHfPt, C::MetHfPhi], met_hf, &|pt, phi| {
        Sums { met_hf: vector(pt, phi), ..sums }.to_words()[4]
    });
    pair([C::MhtHfPt, C::MhtHfPhi], mht_hf, &|pt, phi| {
        Sums { mht_hf: vector(pt, phi), ..sums }.to_words()[5]
    });
}

/// Appends words of two columns.
trait PairWord {
    fn words(&self, a: &[i16], b: &[i16], out: &mut Vec<u32>);
}

impl<F: Fn(i16, i16) -> u32> PairWord for F {
    fn words(&self, a: &[i16], b: &[i16], out: &mut Vec<u32>) {
        out.extend(a.iter().zip(b).map(|(&a, &b)| self(a, b)));
    }
}
