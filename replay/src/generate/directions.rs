//! Where objects go.

use std::hint::select_unpredictable;
use std::ops::Range;

use super::angles::{TURN, wrapped};
use super::batch::{Batch, JETS_MAX, JetSums, KindBatch, OBJECTS_MAX, draws};
use super::histogram::Aliases;
use super::model::{Context, Directions, RATIO_BINS, finer, jet_etas, phi_codes};
use super::objects::{Bins, Ratios, Tables};
use super::random::ln;
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
    /// Eta: by pT; then by that of the jet.
    etas: Aliases,
    /// Phi; then less that of the jet.
    phis: Aliases,
    n_pt_bins: usize,
    /// Eta codes of jets that it may be in.
    jet_etas: Range<i16>,
    /// By pT, by [`difference`] of quarters: −log of the chance not to be in a jet, in units of
    /// 1 / [`LOG_UNITS`].
    in_jet: Vec<[u32; 256]>,
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
            Directions::Loose { eta, phi, eta_range, in_jet, eta_in_jet, phi_offset } => {
                let (of_bins, _) = in_jet.as_chunks::<RATIO_BINS>();
                DirectionTable::Loose(Loose {
                    etas: Aliases::new(eta.iter().chain(eta_in_jet)),
                    phis: Aliases::new([phi, phi_offset]),
                    n_pt_bins: eta.len(),
                    jet_etas: jet_etas(*eta_range, collection),
                    in_jet: of_bins.iter().map(logs).collect(),
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
        tables: &Tables,
    ) {
        let kind = collection as usize;
        match self {
            DirectionTable::Jets(jets) => jets.draw(kind, pt_bins, batch, tables),
            DirectionTable::Loose(loose) => loose.draw(kind, pt_bins, batch, tables),
        }
    }
}

impl Jets {
    /// And what directions of other kinds and sums depend on, while a jet is at hand.
    fn draw(&self, kind: usize, pt_bins: &Bins, batch: &mut Batch, tables: &Tables) {
        let Batch { n, randoms, contexts, kinds, jet_sums, jet_quarters, .. } = batch;
        jet_sums[..*n].fill(JetSums::default());
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
                let phi = wrapped(phi, TURN) as i16;
                etas[i] = self.etas.draw(eta_table, for_eta) as i16;
                phis[i] = phi;
                jet_sums[lane].add(pts[i], phi, &tables.angles);
                jet_quarters[lane][i] = tables.ratios.quarters(pts[i]) + Ratios::FIRST;
            }
        }
    }
}

impl Loose {
    fn draw(&self, kind: usize, pt_bins: &Bins, batch: &mut Batch, tables: &Tables) {
        let Batch { randoms, jet_quarters, open_jets, kinds, .. } = batch;
        let (jets, these) = jets_and(kinds, kind);
        for lane in these.lanes(0) {
            let [_, jet_etas, _] = &jets.codes[lane];
            open_jets[lane] = self.open_jets(jets.counts[lane], jet_etas, &jet_quarters[lane]);
        }
        let KindBatch { codes, lanes, n_lanes, .. } = these;
        for (i, (lanes, &n)) in lanes.iter().zip(&*n_lanes).enumerate() {
            for &lane in &lanes[..n] {
                let lane = usize::from(lane);
                let [pts, etas, phis] = &mut codes[lane];
                let [_, jet_etas, jet_phis] = &jets.codes[lane];
                let random = randoms[lane];
                let bin = pt_bins.of(pts[i] as usize);
                let quarters = tables.ratios.quarters(pts[i]);
                let deviate = tables.exponential.of_word(random.word(draws::in_jet(kind, i)));
                let jet = first_hit(&self.in_jet[bin], &open_jets[lane], quarters, deviate);
                // The jet that it is in, or none: no branch, which nobody could foretell.
                let is_in = jet < JETS_MAX;
                let only_if_in = select_unpredictable(is_in, self.finer, 0);
                // Beyond the jets, nobody looks.
                open_jets[lane][jet] = CLOSED;
                let [for_eta, for_phi] = random.halves(draws::direction(kind, i));
                let by_jet = jet_etas[jet].wrapping_sub(self.jet_etas.start).cast_unsigned();
                let by_jet = self.n_pt_bins + usize::from(by_jet);
                let eta_table = select_unpredictable(is_in, by_jet, bin);
                let phi = i32::from(jet_phis[jet] * only_if_in);
                let phi = phi + self.phis.draw(usize::from(is_in), for_phi);
                etas[i] = self.etas.draw(eta_table, for_eta) as i16;
                phis[i] = wrapped(phi, self.turn) as i16;
            }
        }
    }

    /// Quarters of those jets of a lane that an object may be in, [`CLOSED`] for others.
    #[inline]
    fn open_jets(
        &self,
        n_jets: u8,
        etas: &[i16; OBJECTS_MAX],
        quarters: &[u8; OBJECTS_MAX],
    ) -> [u8; OBJECTS_MAX] {
        let Range { start, end } = self.jet_etas;
        let n_etas = end.wrapping_sub(start).cast_unsigned();
        let mut open = [0; OBJECTS_MAX];
        for ((open, &eta), j) in open.iter_mut().zip(etas).zip(0..) {
            let is_within = eta.wrapping_sub(start).cast_unsigned() < n_etas;
            // All bits, or none: no branch, which nobody could foretell.
            *open = u16::from(is_within & (j < u16::from(n_jets))).wrapping_neg();
        }
        std::array::from_fn(|j| CLOSED ^ ((CLOSED ^ quarters[j]) & open[j] as u8))
    }
}

/// In the place of a jet's quarters, where it is none that an object may be in.
const CLOSED: u8 = 192;
/// Units of logarithms.
const LOG_UNITS: f64 = (1 << 24) as f64;
/// The largest logarithm: a chance of one becomes one that lacks 1e-17.
const LOG_MAX: f64 = 40.0 * LOG_UNITS;

/// Place of a jet and an object in a table of all ratios of their pT, where closed jets have places of their own.
#[inline]
fn difference(jet_quarters: u8, quarters: u8) -> u8 {
    const { assert!(CLOSED - Ratios::MOST > Ratios::MOST + Ratios::FIRST) }
    const { assert!(CLOSED < u8::MAX - Ratios::MOST) }
    jet_quarters.wrapping_sub(quarters)
}

/// −log of the chance not to be in a jet, for each [`difference`], of chances by ratio.
fn logs(chances: &[f32; RATIO_BINS]) -> [u32; 256] {
    let mut logs = [0; 256];
    for quarters in 0..=Ratios::MOST {
        for jet_quarters in 0..=Ratios::MOST + Ratios::FIRST {
            let chance = f64::from(chances[Ratios::bin_of_quarters(jet_quarters, quarters)]);
            let log = if chance < 1.0 { -ln(1.0 - chance) * LOG_UNITS } else { LOG_MAX };
            logs[usize::from(difference(jet_quarters, quarters))] = log.min(LOG_MAX).round() as u32;
        }
    }
    logs
}

/// Which of the jets is the first that is hit, if each is with a chance of its own: an exponential deviate
/// reaches as far as logarithms of chances not to be hit add up to. [`JETS_MAX`] if none is.
#[inline]
fn first_hit(logs: &[u32; 256], jets: &[u8; OBJECTS_MAX], quarters: u8, deviate: f64) -> usize {
    // Whole units: sums are.
    let end = (deviate * LOG_UNITS) as u64;
    let (mut first, mut sum) = (0, 0);
    for place in &jets.map(|jet| difference(jet, quarters))[..JETS_MAX] {
        sum += u64::from(logs[usize::from(*place)]);
        // The sign of their difference, which is one while the sum is not more.
        first += sum.wrapping_sub(end + 1) >> 63;
    }
    first as usize
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
    use crate::generate::random::{Exponential, Seed};

    /// Of 16 chances, each jet's.
    fn chances_of(
        chances: &[f32; RATIO_BINS],
        jets: &[u8; OBJECTS_MAX],
        quarters: u8,
    ) -> [f64; JETS_MAX] {
        std::array::from_fn(|j| match jets[j] {
            CLOSED => 0.0,
            jet => f64::from(chances[Ratios::bin_of_quarters(jet, quarters)]),
        })
    }

    #[test]
    fn the_first_jet_that_is_hit_is_where_the_chance_to_miss_all_so_far_falls_below_a_number() {
        let random = Seed::new(5).crossing(0);
        let mut n_hits = [0; JETS_MAX + 1];
        for i in 0..20_000 {
            let seed = random.word(3 * i);
            let chances: [f32; RATIO_BINS] =
                std::array::from_fn(|bin| (seed >> (4 * bin) & 15) as f32 * 0.02);
            let jets = std::array::from_fn(|j| match random.word(3 * i + 1) >> (4 * j) & 15 {
                0..4 => CLOSED,
                x => (x * 3) as u8,
            });
            let [quarters, bits] = random.halves(3 * i + 2);
            let (quarters, miss) = (quarters as u8 % (Ratios::MOST + 1), f64::from(bits) / 4.3e9);
            let mut left = 1.0;
            let reaches: Vec<f64> = chances_of(&chances, &jets, quarters)
                .into_iter()
                .map(|chance| {
                    left *= 1.0 - chance;
                    left
                })
                .collect();
            let expected = reaches.iter().position(|&reach| reach < miss).unwrap_or(JETS_MAX);
            let found = first_hit(&logs(&chances), &jets, quarters, -miss.ln());
            // Logarithms are rounded.
            let is_close = reaches.iter().any(|reach| (reach - miss).abs() < 1e-6);
            assert!(found == expected || is_close, "{i}: {found} for {expected}");
            n_hits[found] += 1;
        }
        assert!(n_hits.iter().all(|&n| n > 0), "{n_hits:?}");
    }

    #[test]
    fn a_chance_of_one_hits_and_closed_jets_are_never_hit() {
        let logs = logs(&[1.0; RATIO_BINS]);
        let exponential = Exponential::new();
        let random = Seed::new(6).crossing(0);
        for i in 0..100_000 {
            let deviate = exponential.of_word(random.word(i));
            let mut jets = [CLOSED; OBJECTS_MAX];
            assert_eq!(first_hit(&logs, &jets, (i % 45) as u8, deviate), JETS_MAX);
            jets[i % JETS_MAX] = (i % 49) as u8;
            assert_eq!(first_hit(&logs, &jets, (i % 45) as u8, deviate), i % JETS_MAX);
        }
        assert_eq!(first_hit(&logs, &[CLOSED; OBJECTS_MAX], 0, 0.0), JETS_MAX);
    }

    #[test]
    fn jets_are_open_if_they_are_there_and_within_the_objects_range() {
        let model = crate::generate::GeneratorModel::shipped();
        for kind in &model.kinds {
            let collection = kind.kind().unwrap();
            let Directions::Loose { eta_range: [low, high], .. } = kind.directions else {
                continue;
            };
            let DirectionTable::Loose(loose) = DirectionTable::new(&kind.directions, collection)
            else {
                panic!("{collection:?} are loose");
            };
            let quarters = std::array::from_fn(|j| j as u8);
            for eta in -128..128_i16 {
                let etas = std::array::from_fn(|j| if j % 2 == 0 { eta } else { -eta - 1 });
                for n_jets in 0..=JETS_MAX {
                    let open = loose.open_jets(n_jets as u8, &etas, &quarters);
                    for (j, &open) in open.iter().enumerate() {
                        let is_within = (low..=high).contains(&(etas[j] * loose.finer));
                        let expected = if j < n_jets && is_within { j as u8 } else { CLOSED };
                        assert_eq!(open, expected, "{eta} {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn jets_within_a_range_of_finer_codes_are_those_whose_codes_are_multiples_within_it() {
        let muon = Collection::Muon;
        for (range, expected) in [
            ([-223, 222], -55..56),
            ([-8, 8], -2..3),
            ([-3, 3], 0..1),
            ([5, 9], 2..3),
            ([1, 3], 1..1),
        ] {
            assert_eq!(jet_etas(range, muon), expected, "{range:?}");
        }
        assert_eq!(jet_etas([-65, 65], Collection::EGamma), -65..66);
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
