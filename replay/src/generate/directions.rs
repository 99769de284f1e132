//! Where objects go.

use std::hint::select_unpredictable;

use super::angles::{TURN, wrapped};
use super::batch::{Batch, JETS_MAX, KindBatch, OBJECTS_MAX, draws};
use super::histogram::{Aliases, Histogram};
use super::model::{Context, Directions, RATIO_BINS, finer, phi_codes};
use super::objects::{Bins, Ratios};
use crate::event::Collection;

/// Directions of a kind of objects, ready to draw.
pub(super) enum DirectionTable {
    Jets(Box<Jets>),
    Loose(Loose),
}

pub(super) struct Jets {
    /// Eta: by pT; then of the second, by its pT and the first's eta.
    etas: Aliases,
    /// Phi: of the first; then of the second by pT, and of later ones by the first's pT.
    phis: Aliases,
    n_pt_bins: usize,
    /// Bin of the first's eta, of each code taken as a byte.
    eta_bins: [u8; 256],
    n_eta_bins: usize,
}

pub(super) struct Loose {
    /// Eta: by pT; then less that of the jet.
    etas: Aliases,
    /// Phi; then less that of the jet.
    phis: Aliases,
    n_pt_bins: usize,
    eta_range: [i16; 2],
    /// 2^15 × chance to be in a jet, by pT and ratio.
    in_jet: Vec<[u16; RATIO_BINS]>,
    /// Codes that are one of the calorimeter, and in a turn.
    finer: i16,
    turn: i32,
}

impl DirectionTable {
    pub(super) fn new(directions: &Directions, collection: Collection) -> DirectionTable {
        match directions {
            Directions::Jets { eta, phi, eta_bins, second_eta, second_phi, later_phi } => {
                let bin = |eta: u8| {
                    let eta = i16::from(eta.cast_signed());
                    (eta_bins.partition_point(|&edge| edge <= eta).max(1) - 1) as u8
                };
                DirectionTable::Jets(Box::new(Jets {
                    etas: Aliases::new(eta.iter().chain(second_eta)),
                    phis: Aliases::new([phi].into_iter().chain(second_phi).chain(later_phi)),
                    n_pt_bins: eta.len(),
                    eta_bins: std::array::from_fn(|eta| bin(eta as u8)),
                    n_eta_bins: eta_bins.len(),
                }))
            }
            Directions::Loose { eta, phi, eta_range, in_jet, eta_offset, phi_offset } => {
                let threshold = |chance: f32| (chance * 32_768.0).round() as u16;
                let (of_bins, _) = in_jet.as_chunks::<RATIO_BINS>();
                let offset: [&Histogram; 1] = [eta_offset];
                DirectionTable::Loose(Loose {
                    etas: Aliases::new(eta.iter().chain(offset)),
                    phis: Aliases::new([phi, phi_offset]),
                    n_pt_bins: eta.len(),
                    eta_range: *eta_range,
                    in_jet: of_bins.iter().map(|chances| chances.map(threshold)).collect(),
                    finer: finer(collection) as i16,
                    turn: phi_codes(collection),
                })
            }
        }
    }

    pub(super) fn draw(
        &self,
        collection: Collection,
        pt_bins: &Bins,
        batch: &mut Batch,
        ratios: &Ratios,
    ) {
        match self {
            DirectionTable::Jets(jets) => jets.draw(collection, pt_bins, batch),
            DirectionTable::Loose(loose) => loose.draw(collection, pt_bins, batch, ratios),
        }
    }
}

impl Jets {
    fn draw(&self, collection: Collection, pt_bins: &Bins, batch: &mut Batch) {
        let kind = collection as usize;
        let Batch { randoms, contexts, kinds, .. } = batch;
        let leads = &contexts[Context::Lead as usize];
        let KindBatch { codes, lanes, n_lanes, .. } = &mut kinds[kind];
        for (i, (lanes, &n)) in lanes.iter().zip(&*n_lanes).enumerate() {
            for &lane in &lanes[..n] {
                let lane = usize::from(lane);
                let [pts, etas, phis] = &mut codes[lane];
                let bin = pt_bins.of(pts[i] as usize);
                let [for_eta, for_phi] = randoms[lane].halves(draws::direction(kind, i));
                let (eta_table, relative_to, phi_table) = match i {
                    0 => (bin, 0, 0),
                    1 => {
                        let first_eta = usize::from(self.eta_bins[usize::from(etas[0] as u8)]);
                        let eta_table = self.n_pt_bins + bin * self.n_eta_bins + first_eta;
                        (eta_table, phis[0], 1 + bin)
                    }
                    _ => (bin, phis[0], 1 + self.n_pt_bins + usize::from(leads[lane])),
                };
                let phi = i32::from(relative_to) + self.phis.draw(phi_table, for_phi);
                etas[i] = self.etas.draw(eta_table, for_eta) as i16;
                phis[i] = wrapped(phi, TURN) as i16;
            }
        }
    }
}

impl Loose {
    fn draw(&self, collection: Collection, pt_bins: &Bins, batch: &mut Batch, ratios: &Ratios) {
        let kind = collection as usize;
        let Batch { randoms, jet_quarters, open_jets, kinds, .. } = batch;
        let [low, high] = self.eta_range;
        let (jets, these) = jets_and(kinds, kind);
        for lane in these.lanes(0) {
            let n_jets = jets.counts[lane];
            let [_, jet_etas, _] = &jets.codes[lane];
            for ((open, &eta), j) in open_jets[lane].iter_mut().zip(jet_etas).zip(0_u8..) {
                let eta = eta * self.finer;
                let is_open = (j < n_jets) & (eta >= low) & (eta <= high);
                *open = if is_open { u16::MAX } else { 0 };
            }
        }
        let KindBatch { codes, lanes, n_lanes, .. } = these;
        for (i, (lanes, &n)) in lanes.iter().zip(&*n_lanes).enumerate() {
            for &lane in &lanes[..n] {
                let lane = usize::from(lane);
                let [pts, etas, phis] = &mut codes[lane];
                let [_, jet_etas, jet_phis] = &jets.codes[lane];
                let random = randoms[lane];
                let bin = pt_bins.of(pts[i] as usize);
                let quarters = ratios.quarters(pts[i]);
                let chances = self.chances(bin, quarters, &jet_quarters[lane], &open_jets[lane]);
                let words = [0, 1, 2].map(|k| random.word(draws::in_jet(kind, i) + k));
                let hit = first_hit(&chances, words);
                // The jet that it is in, or none: no branch, which nobody could foretell.
                let (is_in, jet) = (hit < OBJECTS_MAX, hit % OBJECTS_MAX);
                let only_if_in = select_unpredictable(is_in, self.finer, 0);
                open_jets[lane][jet] &= select_unpredictable(is_in, 0, u16::MAX);
                let [for_eta, for_phi] = random.halves(draws::direction(kind, i));
                let eta_table = select_unpredictable(is_in, self.n_pt_bins, bin);
                let eta = i32::from(jet_etas[jet] * only_if_in);
                let phi = i32::from(jet_phis[jet] * only_if_in);
                let eta = eta + self.etas.draw(eta_table, for_eta);
                let phi = phi + self.phis.draw(usize::from(is_in), for_phi);
                etas[i] = eta.clamp(low.into(), high.into()) as i16;
                phis[i] = wrapped(phi, self.turn) as i16;
            }
        }
    }

    /// 2^15 × the chance to be in each jet, if it is in none of those before.
    #[inline]
    fn chances(
        &self,
        bin: usize,
        quarters: u8,
        of_jets: &[u8; OBJECTS_MAX],
        open: &[u16; OBJECTS_MAX],
    ) -> [u16; OBJECTS_MAX] {
        let by_ratio = &self.in_jet[bin];
        let ratios = of_jets.map(|of_jet| Ratios::bin_of_quarters(of_jet, quarters));
        let mut chances = [0; OBJECTS_MAX];
        for (chance, ratio) in chances.iter_mut().zip(ratios).take(JETS_MAX) {
            *chance = by_ratio[usize::from(ratio) % RATIO_BINS];
        }
        for (chance, open) in chances.iter_mut().zip(open) {
            *chance &= open;
        }
        chances
    }
}

/// Which of the jets is the first that is hit, by 15 bits for each; [`OBJECTS_MAX`] if none is.
#[inline]
fn first_hit(chances: &[u16; OBJECTS_MAX], [a, b, c]: [u64; 3]) -> usize {
    const { assert!(JETS_MAX <= 12) }
    let numbers: [u16; OBJECTS_MAX] = bytemuck::must_cast([a, b, c, 0]);
    let mut first = OBJECTS_MAX as u16;
    for (j, (&chance, number)) in (0..).zip(chances.iter().zip(numbers)) {
        let this = if (number >> 1) < chance { j } else { OBJECTS_MAX as u16 };
        first = first.min(this);
    }
    usize::from(first)
}

/// Jets, and another kind.
fn jets_and(kinds: &mut [KindBatch], other: usize) -> (&KindBatch, &mut KindBatch) {
    let jet = Collection::Jet as usize;
    let (below, above) = kinds.split_at_mut(jet.max(other));
    match other < jet {
        true => (&above[0], &mut below[other]),
        false => (&below[jet], &mut above[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::random::Seed;

    #[test]
    fn the_first_jet_that_is_hit_is_found_as_one_after_the_other() {
        let random = Seed::new(5).crossing(0);
        let mut n_hits = [0; OBJECTS_MAX + 1];
        for i in 0..100_000 {
            let words = [0, 1, 2].map(|k| random.word(4 * i + k));
            let seed = random.word(4 * i + 3);
            let chances: [u16; OBJECTS_MAX] = std::array::from_fn(|j| match seed >> (4 * j) & 15 {
                _ if j >= JETS_MAX => 0,
                0 => 32_768,
                15 => 0,
                x => (x * 400) as u16,
            });
            let number = |j: usize| (words[j / 4] >> (16 * (j % 4) + 1)) as u16 & 0x7fff;
            let expected = (0..JETS_MAX).find(|&j| number(j) < chances[j]);
            let found = first_hit(&chances, words);
            assert_eq!(found, expected.unwrap_or(OBJECTS_MAX));
            n_hits[found] += 1;
        }
        assert!(n_hits[..JETS_MAX].iter().all(|&n| n > 0) && n_hits[OBJECTS_MAX] > 0);
    }

    #[test]
    fn bins_of_ratios_are_those_of_differences_of_quarters() {
        let ratios = Ratios::new();
        for (jet, object) in
            (1..2048).step_by(3).flat_map(|a| (1..2048).step_by(5).map(move |b| (a, b)))
        {
            let difference = i32::from(ratios.quarters(jet)) - i32::from(ratios.quarters(object));
            let expected = (difference + 4).clamp(0, RATIO_BINS as i32 - 1);
            assert_eq!(ratios.bin(jet, object), expected as usize, "{jet} {object}");
        }
    }
}
