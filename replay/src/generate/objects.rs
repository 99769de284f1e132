//! Objects of a kind: how many, how hard.

use super::angles::Angles;
use super::batch::{BATCH, Batch, KindBatch, OBJECTS_MAX, draws};
use super::directions::DirectionTable;
use super::model::{Context, GeneratorModel, KindModel, RATIO_BINS, RankModel, SUM_CODES};
use super::random::{Exponential, ln, power};
use super::spectrum::{CODES, Factors, Hazards, SEGMENTS, Way};
use crate::event::Collection;

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
    /// The bin of a ratio of one.
    pub(super) const FIRST: u8 = 4;
    /// More than four times the binary logarithm of any code.
    pub(super) const MOST: u8 = 4 * CODES.ilog2() as u8;

    pub(super) fn new() -> Ratios {
        let quarter = |code: usize| {
            (4.0 * ln(code.max(1) as f64) / std::f64::consts::LN_2 + 1e-9).floor() as u8
        };
        Ratios { quarters: (0..CODES).map(quarter).collect() }
    }

    #[inline]
    pub(super) fn quarters(&self, pt: i16) -> u8 {
        self.quarters[pt as usize & (CODES - 1)]
    }

    /// The bin of two that have been looked up, the jet's with [`Ratios::FIRST`] added.
    #[inline]
    pub(super) fn bin_of_quarters(jet: u8, object: u8) -> usize {
        usize::from(jet.saturating_sub(object)).min(RATIO_BINS - 1)
    }

    #[inline]
    pub(super) fn bin(&self, jet_pt: i16, pt: i16) -> usize {
        let jet = self.quarters(jet_pt) + Ratios::FIRST;
        Ratios::bin_of_quarters(jet, self.quarters(pt))
    }
}

/// Tables that are the same for all models.
pub(super) struct Tables {
    pub(super) exponential: Exponential,
    pub(super) angles: Angles,
    pub(super) ratios: Ratios,
}

impl Tables {
    pub(super) fn new() -> Tables {
        Tables { exponential: Exponential::new(), angles: Angles::new(), ratios: Ratios::new() }
    }
}

/// Bins that are common to all kinds.
#[derive(Clone, Debug)]
pub(super) struct JetBins {
    pub(super) jets: Bins,
    pub(super) leads: Bins,
    pub(super) sums: Bins,
}

impl JetBins {
    pub(super) fn new(model: &GeneratorModel) -> JetBins {
        JetBins {
            jets: Bins::new(&model.jet_bins, OBJECTS_MAX + 1),
            leads: Bins::new(&model.lead_bins, CODES),
            sums: Bins::new(&model.sum_bins, SUM_CODES),
        }
    }
}

struct RankTable {
    context: Context,
    hazards: Hazards,
    /// For each pile-up that can be; none if there is but one, which hazards then are those of.
    factors: Vec<Factors>,
}

impl RankTable {
    fn new(rank: &RankModel, segments: &[u16], max: u16, relative: &[f64]) -> RankTable {
        let factors = |&relative: &f64| {
            let mut factors = [1.0; SEGMENTS];
            for (factor, &exponent) in factors.iter_mut().zip(&rank.exponents) {
                *factor = power(relative, exponent);
            }
            factors
        };
        let (of_hazards, of_pile_ups) = match relative {
            [only] => (factors(only), &[][..]),
            several => ([1.0; SEGMENTS], several),
        };
        let previous = &rank.previous_bins;
        RankTable {
            context: rank.context,
            hazards: Hazards::new(&rank.hazards, previous, max, segments, of_hazards),
            factors: of_pile_ups.iter().map(factors).map(Factors::new).collect(),
        }
    }
}

/// A kind of objects, ready to draw from.
pub(super) struct KindTable {
    pub(super) collection: Collection,
    max: u16,
    ranks: Vec<RankTable>,
    pt_bins: Bins,
    directions: DirectionTable,
}

impl KindTable {
    /// `relative` are the pile-ups that can be, over the reference.
    pub(super) fn new(kind: &KindModel, collection: Collection, relative: &[f64]) -> KindTable {
        let [pt, ..] = collection.kinematics().expect("objects have kinematics");
        let max = pt.spec().range.map_or(0, |(_, max)| max as u16);
        let rank = |rank: &RankModel| RankTable::new(rank, &kind.segments, max, relative);
        KindTable {
            collection,
            max,
            ranks: kind.ranks.iter().map(rank).collect(),
            pt_bins: Bins::new(&kind.pt_bins, CODES),
            directions: DirectionTable::new(&kind.directions, collection),
        }
    }

    /// Draws pT codes, hardest first.
    pub(super) fn draw_pts(&self, batch: &mut Batch, tables: &Tables) {
        let kind = self.collection as usize;
        let Batch { n, randoms, pile_ups, contexts, kinds, .. } = batch;
        let KindBatch { counts, codes, lanes, n_lanes } = &mut kinds[kind];
        counts.fill(0);
        n_lanes.fill(0);
        // Those that have had an object of every rank so far, with the code of the last one.
        let mut left: [(u8, u16); BATCH] = std::array::from_fn(|lane| (lane as u8, self.max));
        let mut n_left = *n;
        let mut deviates = [0.0; BATCH];
        let mut ways = [Way::default(); BATCH];
        let mut next = [0; BATCH];
        for (r, rank) in self.ranks.iter().enumerate() {
            // One step for all, then the next: what a step waits for, it waits for in all lanes at once.
            for (deviate, &(lane, _)) in deviates.iter_mut().zip(&left[..n_left]) {
                let word = randoms[usize::from(lane)].word(draws::pt(kind, r));
                *deviate = tables.exponential.of_word(word);
            }
            let RankTable { context, hazards, factors } = rank;
            let contexts = &contexts[*context as usize];
            let begun = ways.iter_mut().zip(deviates).zip(&left[..n_left]);
            if factors.is_empty() {
                for ((way, deviate), &(lane, start)) in begun {
                    *way = hazards.way(contexts[usize::from(lane)], start, deviate);
                }
            } else {
                for ((way, deviate), &(lane, start)) in begun {
                    let lane = usize::from(lane);
                    let factors = &factors[usize::from(pile_ups[lane])];
                    *way = hazards.way_with(contexts[lane], start, deviate, factors);
                }
            }
            for (code, &way) in next.iter_mut().zip(&ways[..n_left]) {
                *code = hazards.code(way);
            }
            let mut n_next = 0;
            for i in 0..n_left {
                let (lane, code) = (left[i].0, next[i]);
                codes[usize::from(lane)][0][r] = code.cast_signed();
                counts[usize::from(lane)] += u8::from(code > 0);
                left[n_next] = (lane, code);
                n_next += usize::from(code > 0);
            }
            n_left = n_next;
            n_lanes[r] = n_left;
            lanes[r].iter_mut().zip(&left[..n_left]).for_each(|(to, &(lane, _))| *to = lane);
        }
    }

    /// Draws where they are; jets are complete, if these are others.
    pub(super) fn draw_directions(&self, batch: &mut Batch, tables: &Tables) {
        self.directions.draw(self.collection, &self.pt_bins, batch, tables);
    }
}
