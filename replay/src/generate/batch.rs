//! Crossings while they are being made: many at a time, rank by rank.
//!
//! What one draw waits for (tables, logarithms) keeps no other crossing waiting, and tables of a rank stay
//! close while it is drawn for all. Lists of those that have an object of a rank take the place of branches, which
//! could not be foretold.

use super::angles::{Angles, Vector};
use super::model::CONTEXTS;
use super::objects::JetBins;
use super::random::{Random, Seed};
use crate::event::Collection;

/// Crossings that are made together: each has a **lane**, the number of which is a byte.
pub(super) const BATCH: usize = 256;
/// Most objects of a kind.
pub(super) const OBJECTS_MAX: usize = 16;
const _: () = assert!(Collection::Muon.capacity() == OBJECTS_MAX);
/// Most jets.
pub(super) const JETS_MAX: usize = Collection::Jet.capacity();

const KINDS: usize = Collection::OBJECTS.len();

/// Where in the random numbers of its crossing each draw is.
pub(super) mod draws {
    use super::{KINDS, OBJECTS_MAX};

    pub(in super::super) const PILE_UP: usize = 0;
    /// pT, direction, and the jet that an object is in.
    const OF_KIND: usize = 3 * OBJECTS_MAX;
    const SCALARS: usize = 1 + KINDS * OF_KIND;
    /// Beyond those of any number of sums that a model may have.
    const EXTRAS: usize = 1 << 32;

    #[inline]
    pub(in super::super) fn pt(kind: usize, i: usize) -> usize {
        1 + kind * OF_KIND + i
    }

    #[inline]
    pub(in super::super) fn direction(kind: usize, i: usize) -> usize {
        pt(kind, OBJECTS_MAX + i)
    }

    #[inline]
    pub(in super::super) fn in_jet(kind: usize, i: usize) -> usize {
        pt(kind, 2 * OBJECTS_MAX + i)
    }

    /// The first of two.
    #[inline]
    pub(in super::super) fn scalar(number: usize) -> usize {
        SCALARS + 2 * number
    }

    #[inline]
    pub(in super::super) fn extra(number: usize, i: usize) -> usize {
        EXTRAS + number * OBJECTS_MAX + i
    }
}

/// pT, eta, phi codes of the objects of a kind, the hardest first. Places beyond the last object hold anything.
pub(super) type Codes = [[i16; OBJECTS_MAX]; 3];

/// The objects of a kind.
pub(super) struct KindBatch {
    /// How many each lane has.
    pub(super) counts: [u8; BATCH],
    /// Their pT, eta, phi.
    pub(super) codes: [Codes; BATCH],
    /// Of each rank: the lanes that have such an object, in order.
    pub(super) lanes: [[u8; BATCH]; OBJECTS_MAX],
    /// How many those are.
    pub(super) n_lanes: [usize; OBJECTS_MAX],
}

impl KindBatch {
    /// The lanes that have an object of a rank.
    #[inline]
    pub(super) fn lanes(&self, rank: usize) -> impl Iterator<Item = usize> {
        self.lanes[rank][..self.n_lanes[rank]].iter().map(|&lane| usize::from(lane))
    }
}

/// Vector and scalar sums of the jets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JetSums {
    pub(super) vector: Vector,
    /// The vector sum with pT^1.5.
    pub(super) hard: Vector,
    pub(super) scalar: i64,
}

impl JetSums {
    #[inline]
    pub(super) fn add(&mut self, pt: i16, phi: i16, angles: &Angles) {
        angles.add(&mut self.vector, pt.into(), phi);
        angles.add(&mut self.hard, angles.hardness(pt), phi);
        self.scalar += i64::from(pt);
    }
}

/// Crossings while they are being made.
pub(super) struct Batch {
    /// How many: the first lanes.
    pub(super) n: usize,
    pub(super) randoms: [Random; BATCH],
    /// Place of each pile-up among those that can be.
    pub(super) pile_ups: [u16; BATCH],
    /// What others depend on of the jets: the bin of each [`Context`](super::model::Context), in their order.
    pub(super) contexts: [[u16; BATCH]; CONTEXTS],
    pub(super) jet_sums: [JetSums; BATCH],
    /// Four times the binary logarithm of the jets' pT, plus [`Ratios::FIRST`].
    pub(super) jet_quarters: [[u8; OBJECTS_MAX]; BATCH],
    pub(super) kinds: [KindBatch; KINDS],
    /// The same of the jets that an object of the kind in hand may be in.
    pub(super) open_jets: [[u8; OBJECTS_MAX]; BATCH],
}

impl Batch {
    /// Room for a batch, on the stack: making events allocates nothing.
    pub(super) fn new() -> Batch {
        const KIND: KindBatch = KindBatch {
            counts: [0; BATCH],
            codes: [[[0; OBJECTS_MAX]; 3]; BATCH],
            lanes: [[0; BATCH]; OBJECTS_MAX],
            n_lanes: [0; OBJECTS_MAX],
        };
        Batch {
            n: 0,
            randoms: [Random::default(); BATCH],
            pile_ups: [0; BATCH],
            contexts: [[0; BATCH]; CONTEXTS],
            jet_sums: [JetSums::default(); BATCH],
            jet_quarters: [[0; OBJECTS_MAX]; BATCH],
            kinds: [KIND; KINDS],
            open_jets: [[0; OBJECTS_MAX]; BATCH],
        }
    }

    /// Begins crossings `first`, `first + 1`, ..., `n` of them.
    pub(super) fn begin(&mut self, seed: Seed, first: u64, n: usize) {
        self.n = n;
        for (number, random) in (first..).zip(&mut self.randoms[..n]) {
            *random = seed.crossing(number);
        }
        self.contexts = [[0; BATCH]; CONTEXTS];
    }

    /// Fills in what others depend on of the number of jets and the first one, when their pT are complete.
    pub(super) fn bin_jets(&mut self, bins: &JetBins) {
        let jets = &self.kinds[Collection::Jet as usize];
        let [_, of_lead, of_jets, ..] = &mut self.contexts;
        for lane in 0..self.n {
            let count = usize::from(jets.counts[lane]);
            let hardest = if count > 0 { jets.codes[lane][0][0] as usize } else { 0 };
            of_lead[lane] = bins.leads.of(hardest) as u16;
            of_jets[lane] = bins.jets.of(count) as u16;
        }
    }

    /// And of their sum, which is made with their directions.
    pub(super) fn bin_sums(&mut self, bins: &JetBins) {
        let [_, of_lead, _, of_sum, of_both] = &mut self.contexts;
        for (lane, sums) in self.jet_sums[..self.n].iter().enumerate() {
            of_sum[lane] = bins.sums.of(sums.scalar as usize) as u16;
            of_both[lane] = of_sum[lane] * bins.leads.n as u16 + of_lead[lane];
        }
    }
}
