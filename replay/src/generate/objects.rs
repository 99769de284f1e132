//! Objects of a kind: how many, how hard, where.

use super::angles::{Angles, TURN, Vector, wrapped};
use super::histogram::Alias;
use super::model::{Context, Directions, GeneratorModel, KindModel, RATIO_BINS, finer, phi_codes};
use super::random::{Exponential, Random, ln, power};
use super::spectrum::{CODES, HazardTable, SEGMENTS};
use crate::event::Collection;

/// Most events that take turns.
pub(super) const BATCH: usize = 16;
/// Most objects of a kind.
pub(super) const OBJECTS_MAX: usize = 16;
const _: () = assert!(Collection::Muon.capacity() == OBJECTS_MAX);

/// pT, eta, phi codes of the objects of a kind, the hardest first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Objects {
    pub(super) n: usize,
    pub(super) codes: [[i16; OBJECTS_MAX]; 3],
}

/// One crossing while it is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Event {
    pub(super) objects: [Objects; 4],
    /// Place of its pile-up among those that can be.
    pub(super) pile_up: usize,
    /// Bins of the number of jets and of the leading one's pT.
    pub(super) jet_bin: usize,
    pub(super) lead_bin: usize,
    /// Vector and scalar sum of the jets.
    pub(super) jet_vector: Vector,
    /// The vector sum with pT^1.5.
    pub(super) hard_vector: Vector,
    pub(super) jet_sum: i64,
}

/// Which bin a code is in.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    of: Vec<u8>,
    pub(super) n: usize,
}

impl Bins {
    /// From lower edges, the first of which is 0; codes from `n_codes` on are as the one before.
    pub(super) fn new(edges: &[u16], n_codes: usize) -> Bins {
        let bin = |code: usize| edges.partition_point(|&edge| usize::from(edge) <= code) - 1;
        Bins { of: (0..n_codes).map(|code| bin(code) as u8).collect(), n: edges.len() }
    }

    #[inline]
    pub(super) fn of(&self, code: usize) -> usize {
        usize::from(self.of[code.min(self.of.len() - 1)])
    }
}

/// The bin of the ratio of a jet's pT to an object's.
#[derive(Clone, Debug)]
pub(super) struct Ratios {
    /// Four times the binary logarithm of a code, rounded down.
    quarters: Vec<u8>,
}

impl Ratios {
    pub(super) fn new() -> Ratios {
        let quarter = |code: usize| {
            (4.0 * ln(code.max(1) as f64) / std::f64::consts::LN_2 + 1e-9).floor() as u8
        };
        Ratios { quarters: (0..CODES).map(quarter).collect() }
    }

    #[inline]
    pub(super) fn bin(&self, jet_pt: i16, pt: i16) -> usize {
        let quarters =
            i32::from(self.quarters[jet_pt as usize]) - i32::from(self.quarters[pt as usize]);
        (quarters + 4).clamp(0, RATIO_BINS as i32 - 1) as usize
    }
}

struct RankTable {
    context: Context,
    previous: Bins,
    hazards: Vec<HazardTable>,
}

enum DirectionTable {
    Jets {
        eta: Vec<Alias>,
        phi: Alias,
        eta_bins: Vec<i16>,
        second_eta: Vec<Alias>,
        second_phi: Vec<Alias>,
        later_phi: Vec<Alias>,
    },
    Loose {
        eta: Vec<Alias>,
        phi: Alias,
        eta_range: [i32; 2],
        /// 2^16 × chance.
        in_jet: Vec<u32>,
        eta_offset: Alias,
        phi_offset: Alias,
    },
}

/// A kind of objects, ready to draw from.
pub(super) struct KindTable {
    pub(super) collection: Collection,
    max: u16,
    segments: Bins,
    ranks: Vec<RankTable>,
    /// Factors of λ: for each pile-up that can be, for each rank, for each segment.
    factors: Vec<[f64; SEGMENTS]>,
    pt_bins: Bins,
    directions: DirectionTable,
}

impl KindTable {
    /// `relative` are the pile-ups that can be, over the reference.
    pub(super) fn new(kind: &KindModel, collection: Collection, relative: &[f64]) -> KindTable {
        let [pt, ..] = collection.kinematics().expect("objects have kinematics");
        let max = pt.spec().range.map_or(0, |(_, max)| max as u16);
        let rank = |rank: &super::model::RankModel| RankTable {
            context: rank.context,
            previous: Bins::new(&rank.previous_bins, CODES),
            hazards: rank
                .hazards
                .iter()
                .map(|h| HazardTable::new(h, max, &kind.segments))
                .collect(),
        };
        let mut factors = Vec::new();
        for &relative in relative {
            for rank in &kind.ranks {
                let mut of_rank = [1.0; SEGMENTS];
                for (factor, &exponent) in of_rank.iter_mut().zip(&rank.exponents) {
                    *factor = power(relative, exponent);
                }
                factors.push(of_rank);
            }
        }
        KindTable {
            collection,
            max,
            segments: Bins::new(&kind.segments, CODES),
            ranks: kind.ranks.iter().map(rank).collect(),
            factors,
            pt_bins: Bins::new(&kind.pt_bins, CODES),
            directions: DirectionTable::new(&kind.directions),
        }
    }

    /// Draws pT codes of several events, hardest first. What one draw waits for (tables, logarithms) keeps
    /// no other event waiting: so events take turns within each rank.
    #[inline]
    pub(super) fn draw_pts(
        &self,
        events: &mut [Event],
        randoms: &mut [Random],
        n_leads: usize,
        exponential: &Exponential,
    ) {
        let (kind, n_ranks) = (self.collection as usize, self.ranks.len());
        let mut previous = [self.max; BATCH];
        events.iter_mut().for_each(|event| event.objects[kind].n = 0);
        for (r, rank) in self.ranks.iter().enumerate() {
            let lanes = events.iter_mut().zip(randoms.iter_mut()).zip(&mut previous);
            for ((event, random), previous) in lanes.filter(|(_, previous)| **previous > 0) {
                let context = match rank.context {
                    Context::Nothing => 0,
                    Context::Lead => event.lead_bin,
                    Context::Jets => event.jet_bin,
                    Context::JetsAndLead => event.jet_bin * n_leads + event.lead_bin,
                };
                let start = *previous;
                let table = context * rank.previous.n + rank.previous.of(usize::from(start));
                let deviate = exponential.of_word(random.word());
                let segment = self.segments.of(usize::from(start));
                let factors = &self.factors[event.pile_up * n_ranks + r];
                let code = rank.hazards[table].draw(start, segment, deviate, factors);
                let objects = &mut event.objects[kind];
                objects.codes[0][r] = code as i16;
                objects.n += usize::from(code > 0);
                *previous = code;
            }
        }
    }

    /// Draws where they are; jets have been placed, if these are others.
    #[inline]
    pub(super) fn draw_directions(&self, event: &mut Event, ratios: &Ratios, random: &mut Random) {
        let jets = event.objects[Collection::Jet as usize];
        let lead_bin = event.lead_bin;
        let Objects { n, codes: [pts, etas, phis] } = &mut event.objects[self.collection as usize];
        match &self.directions {
            DirectionTable::Jets { eta, phi, eta_bins, second_eta, second_phi, later_phi } => {
                for i in 0..*n {
                    let bin = self.pt_bins.of(pts[i] as usize);
                    let (eta, phi) = match i {
                        0 => (eta[bin].draw(random), phi.draw(random)),
                        1 => {
                            let first = eta_bins.partition_point(|&edge| edge <= etas[0]);
                            let first = first.max(1) - 1;
                            let eta = second_eta[bin * eta_bins.len() + first].draw(random);
                            (eta, i32::from(phis[0]) + second_phi[bin].draw(random))
                        }
                        _ => {
                            let phi = i32::from(phis[0]) + later_phi[lead_bin].draw(random);
                            (eta[bin].draw(random), phi)
                        }
                    };
                    etas[i] = eta as i16;
                    phis[i] = wrapped(phi, TURN) as i16;
                }
            }
            DirectionTable::Loose { eta, phi, eta_range, in_jet, eta_offset, phi_offset } => {
                let finer = finer(self.collection);
                let turn = phi_codes(self.collection);
                let mut is_taken = 0_u32;
                for i in 0..*n {
                    let bin = self.pt_bins.of(pts[i] as usize);
                    let of_bin = &in_jet[bin * RATIO_BINS..(bin + 1) * RATIO_BINS];
                    // All jets are tried, without a branch; the first that is hit counts.
                    let mut hits = 0_u32;
                    let mut word = 0;
                    for j in 0..jets.n {
                        word = if j % 4 == 0 { random.word() } else { word >> 16 };
                        let eta = i32::from(jets.codes[1][j]) * finer;
                        let can_be = eta >= eta_range[0] && eta <= eta_range[1];
                        let chance = of_bin[ratios.bin(jets.codes[0][j], pts[i])];
                        hits |= u32::from(can_be & (((word & 0xffff) as u32) < chance)) << j;
                    }
                    hits &= !is_taken;
                    let (eta, phi) = match hits {
                        1.. => {
                            let j = hits.trailing_zeros() as usize;
                            is_taken |= 1 << j;
                            let eta = i32::from(jets.codes[1][j]) * finer + eta_offset.draw(random);
                            let phi = i32::from(jets.codes[2][j]) * finer + phi_offset.draw(random);
                            (eta.clamp(eta_range[0], eta_range[1]), wrapped(phi, turn))
                        }
                        0 => (eta[bin].draw(random), wrapped(phi.draw(random), turn)),
                    };
                    etas[i] = eta as i16;
                    phis[i] = phi as i16;
                }
            }
        }
    }
}

impl DirectionTable {
    fn new(directions: &Directions) -> DirectionTable {
        let all = |histograms: &[_]| histograms.iter().map(Alias::new).collect();
        match directions {
            Directions::Jets { eta, phi, eta_bins, second_eta, second_phi, later_phi } => {
                DirectionTable::Jets {
                    eta: all(eta),
                    phi: Alias::new(phi),
                    eta_bins: eta_bins.clone(),
                    second_eta: all(second_eta),
                    second_phi: all(second_phi),
                    later_phi: all(later_phi),
                }
            }
            Directions::Loose { eta, phi, eta_range, in_jet, eta_offset, phi_offset } => {
                let threshold = |&chance: &f32| (chance * 65_536.0).round() as u32;
                DirectionTable::Loose {
                    eta: all(eta),
                    phi: Alias::new(phi),
                    eta_range: eta_range.map(i32::from),
                    in_jet: in_jet.iter().map(threshold).collect(),
                    eta_offset: Alias::new(eta_offset),
                    phi_offset: Alias::new(phi_offset),
                }
            }
        }
    }
}

/// Fills in what other kinds and sums look at.
#[inline]
pub(super) fn sum_jets(event: &mut Event, angles: &Angles) {
    let Objects { n, codes: [pts, _, phis] } = &event.objects[Collection::Jet as usize];
    (event.jet_vector, event.hard_vector, event.jet_sum) = ([0, 0], [0, 0], 0);
    for i in 0..*n {
        angles.add(&mut event.jet_vector, pts[i].into(), phis[i]);
        angles.add(&mut event.hard_vector, angles.hardness(pts[i]), phis[i]);
        event.jet_sum += i64::from(pts[i]);
    }
}

/// Bins of the jets' number and of the leading one's pT.
#[inline]
pub(super) fn bin_jets(event: &mut Event, model: &JetBins) {
    let jets = &event.objects[Collection::Jet as usize];
    event.jet_bin = model.jets.of(jets.n);
    event.lead_bin = model.leads.of(if jets.n > 0 { jets.codes[0][0] as usize } else { 0 });
}

/// Bins that are common to all kinds.
#[derive(Clone, Debug)]
pub(super) struct JetBins {
    pub(super) jets: Bins,
    pub(super) leads: Bins,
}

impl JetBins {
    pub(super) fn new(model: &GeneratorModel) -> JetBins {
        JetBins {
            jets: Bins::new(&model.jet_bins, OBJECTS_MAX + 1),
            leads: Bins::new(&model.lead_bins, CODES),
        }
    }
}
