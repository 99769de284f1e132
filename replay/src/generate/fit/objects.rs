//! Where objects go: histograms of directions, and of what they have to do with jets.

use super::super::angles::TURN;
use super::super::histogram::Histogram;
use super::super::model::{Directions, GeneratorModel, RATIO_BINS, finer, jet_etas, phi_codes};
use super::super::objects::{Bins, Ratios};
use super::super::spectrum::CODES;
use super::sample::Sample;
use super::{quantile_edges, without_empty};
use crate::event::Collection;

/// Quantiles of pT at which other directions begin.
const PT_QUANTILES: [f64; 5] = [0.4, 0.7, 0.9, 0.98, 0.995];
/// Quantiles of the first jet's eta at which other etas of the second begin.
const ETA_BINS: usize = 8;
/// An object is in a jet if it is no further away than this, in calorimeter codes of eta and of phi:
/// half of a jet's window of nine towers of two codes.
const IN_JET_CODES: i32 = 9;

/// Bins of pT, and the directions of a kind of objects.
pub(super) fn fit_directions(
    sample: &Sample,
    model: &GeneratorModel,
    collection: Collection,
) -> (Vec<u16>, Directions) {
    let pt_bins = quantile_edges(sample.pts(collection), &PT_QUANTILES);
    let bins = Bins::new(&pt_bins, CODES);
    let directions = match collection {
        Collection::Jet => fit_jets(sample, model, &bins),
        _ => fit_loose(sample, &bins, collection),
    };
    (pt_bins, directions)
}

/// Values in bins, made into histograms.
pub(super) struct Binned(Vec<Vec<i32>>);

impl Binned {
    pub(super) fn new(n: usize) -> Binned {
        Binned(vec![Vec::new(); n])
    }

    pub(super) fn add(&mut self, bin: usize, value: i32) {
        self.0[bin].push(value);
    }

    /// One for each bin; `n` of them belong together.
    pub(super) fn histograms(self, n: usize) -> Vec<Histogram> {
        let of_bins = self.0.into_iter().map(|values| Histogram::of(values.into_iter()));
        without_empty(of_bins.collect(), n)
    }
}

/// Difference of azimuths, from minus half a turn on.
fn difference(phi: i16, other: i32, turn: i32) -> i32 {
    (i32::from(phi) - other + turn / 2).rem_euclid(turn) - turn / 2
}

fn fit_jets(sample: &Sample, model: &GeneratorModel, bins: &Bins) -> Directions {
    let leads = Bins::new(&model.lead_bins, CODES);
    let mut first_etas: Vec<i16> = (0..sample.n)
        .filter_map(|event| sample.of_event(Collection::Jet, 1, event).first().copied())
        .collect();
    first_etas.sort_unstable();
    let mut eta_bins: Vec<i16> =
        (0..ETA_BINS).map(|k| first_etas[k * first_etas.len() / ETA_BINS]).collect();
    eta_bins.dedup();
    let mut eta = Binned::new(bins.n);
    let mut phi = Vec::new();
    let mut second_eta = Binned::new(bins.n * eta_bins.len());
    let mut second_phi = Binned::new(bins.n);
    let mut later_phi = Binned::new(leads.n);
    for event in 0..sample.n {
        let [pts, etas, phis] = [0, 1, 2].map(|k| sample.of_event(Collection::Jet, k, event));
        for i in 0..pts.len() {
            let bin = bins.of(pts[i].max(0) as usize);
            match i {
                0 => phi.push(i32::from(phis[0])),
                1 => {
                    let first = eta_bins.partition_point(|&edge| edge <= etas[0]).max(1) - 1;
                    second_eta.add(bin * eta_bins.len() + first, i32::from(etas[1]));
                    second_phi.add(bin, difference(phis[1], i32::from(phis[0]), TURN));
                }
                _ => {
                    let lead = leads.of(pts[0].max(0) as usize);
                    later_phi.add(lead, difference(phis[i], i32::from(phis[0]), TURN));
                }
            }
            if i != 1 {
                eta.add(bin, i32::from(etas[i]));
            }
        }
    }
    Directions::Jets {
        eta: eta.histograms(bins.n),
        phi: Histogram::of(phi.into_iter()),
        second_eta: second_eta.histograms(eta_bins.len()),
        eta_bins,
        second_phi: second_phi.histograms(bins.n),
        later_phi: later_phi.histograms(leads.n),
    }
}

fn fit_loose(sample: &Sample, bins: &Bins, collection: Collection) -> Directions {
    let (finer, turn) = (finer(collection), phi_codes(collection));
    let ratios = Ratios::new();
    let [_, eta_column, _] = collection.kinematics().expect("objects have kinematics");
    let all_etas = sample.events.get::<i16>(eta_column);
    let eta_range =
        [all_etas.iter().copied().min().unwrap_or(0), all_etas.iter().copied().max().unwrap_or(0)];
    let jet_etas = jet_etas(eta_range, collection);
    let (mut eta, mut eta_in_jet) = (Binned::new(bins.n), Binned::new(jet_etas.len()));
    let (mut phi, mut phi_offset) = (Vec::new(), Vec::new());
    let mut trials = vec![0.0_f64; bins.n * RATIO_BINS];
    let mut hits = trials.clone();
    for event in 0..sample.n {
        let [pts, etas, phis] = [0, 1, 2].map(|k| sample.of_event(collection, k, event));
        let jets = [0, 1, 2].map(|k| sample.of_event(Collection::Jet, k, event));
        let mut is_taken = 0_u32;
        for i in 0..pts.len() {
            let bin = bins.of(pts[i].max(0) as usize);
            // As a generator does: jets are tried from the hardest on, until one is hit.
            let hit = (0..jets[0].len()).find(|&j| {
                if !jet_etas.contains(&jets[1][j]) || is_taken >> j & 1 == 1 {
                    return false;
                }
                let jet_eta = i32::from(jets[1][j]) * finer;
                let cell = bin * RATIO_BINS + ratios.bin(jets[0][j].max(1), pts[i].max(1));
                let near = IN_JET_CODES * finer;
                let away = difference(phis[i], i32::from(jets[2][j]) * finer, turn);
                let is_hit = (i32::from(etas[i]) - jet_eta).abs() <= near && away.abs() <= near;
                trials[cell] += 1.0;
                hits[cell] += f64::from(u8::from(is_hit));
                is_hit
            });
            match hit {
                Some(j) => {
                    is_taken |= 1 << j;
                    eta_in_jet.add((jets[1][j] - jet_etas.start) as usize, i32::from(etas[i]));
                    phi_offset.push(difference(phis[i], i32::from(jets[2][j]) * finer, turn));
                }
                None => {
                    eta.add(bin, i32::from(etas[i]));
                    phi.push(i32::from(phis[i]));
                }
            }
        }
    }
    let chances = hits.iter().zip(&trials).map(|(hits, trials)| (hits / trials.max(1.0)) as f32);
    Directions::Loose {
        eta: eta.histograms(bins.n),
        phi: Histogram::of(phi.into_iter()),
        eta_range,
        in_jet: chances.collect(),
        eta_in_jet: eta_in_jet.histograms(jet_etas.len().max(1)),
        phi_offset: Histogram::of(phi_offset.into_iter()),
    }
}
