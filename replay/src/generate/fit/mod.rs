//! Fits a model to a stream.
//!
//! Everything is counted from the events themselves; the few numbers that are fitted (exponents of
//! pile-up, slopes of tails) maximise likelihoods or follow from moments. The same stream always
//! gives the same model.

mod hazards;
mod objects;
mod sample;
mod sums;

use super::GenerateError;
use super::histogram::Histogram;
use super::model::{
    Context, ExtraModel, FittedTo, GeneratorModel, KindModel, PileUpModel, RankModel, SUM_CODES,
};
use crate::event::{Collection, Column, ColumnSet, Dtype, Group};
use crate::source::Source;
use hazards::{RankFit, fit_rank};
use sample::Sample;

/// How a model is fitted.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions {
    /// Most events used, the first ones of the stream; they are held in memory, at about 100 bytes each.
    pub n_events_max: u64,
}

impl Default for FitOptions {
    fn default() -> FitOptions {
        FitOptions { n_events_max: 1_000_000 }
    }
}

/// Least events that a model is fitted to.
const EVENTS_MIN: u64 = 1000;

/// Quantiles that bins of the number of jets begin at.
const JET_QUANTILES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
/// Quantiles that bins of the leading jet's pT begin at.
const LEAD_QUANTILES: [f64; 7] = [0.15, 0.35, 0.6, 0.8, 0.93, 0.98, 0.995];
/// Quantiles that bins of the jets' sum begin at.
const SUM_QUANTILES: [f64; 9] = [0.05, 0.12, 0.22, 0.35, 0.5, 0.68, 0.84, 0.95, 0.99];
/// Quantiles of an object's pT at which another exponent of pile-up begins.
const SEGMENT_QUANTILES: [f64; 3] = [0.6, 0.95, 0.997];
/// Quantiles of the object before at which another hazard begins.
const PREVIOUS_QUANTILES: [f64; 8] = [0.1, 0.25, 0.45, 0.65, 0.8, 0.92, 0.98, 0.995];
/// The same where contexts of the jets are many.
const FEW_QUANTILES: [f64; 2] = [0.6, 0.93];

/// Fits a model to the first events of a stream.
///
/// # Errors
/// A stream that cannot be read, is damaged, has too few events, or whose objects have no direction.
pub fn fit(source: &mut dyn Source, options: &FitOptions) -> Result<GeneratorModel, GenerateError> {
    let sample = Sample::read(source, options.n_events_max)?;
    let mut model = GeneratorModel {
        fitted_to: FittedTo {
            sample: source.header().sample.clone(),
            digest: source.facts().digest.unwrap_or(0),
            n_events: sample.n as u64,
        },
        columns: Vec::new(),
        left_out: Vec::new(),
        label: sample.label(),
        pile_up: sample
            .pile_up_histogram()
            .map(|histogram| PileUpModel { reference: sample.mean_pile_up, histogram }),
        jet_bins: vec![0],
        lead_bins: vec![0],
        sum_bins: vec![0],
        kinds: Vec::new(),
        scalars: Vec::new(),
        extras: Vec::new(),
    };
    let has_jets = sample.has_kind(Collection::Jet);
    if has_jets {
        model.jet_bins = quantile_edges(sample.counts(Collection::Jet), &JET_QUANTILES);
        model.lead_bins = quantile_edges(sample.leading(Collection::Jet), &LEAD_QUANTILES);
        let sums = (0..sample.n).map(|event| sample.jet_sum(event).min(SUM_CODES - 1) as u16);
        model.sum_bins = quantile_edges(sums, &SUM_QUANTILES);
    }
    let order = [Collection::Jet, Collection::EGamma, Collection::Tau, Collection::Muon];
    for collection in order.into_iter().filter(|&c| sample.has_kind(c)) {
        model.kinds.push(fit_kind(&sample, &model, collection));
    }
    fit_extras(&sample, &mut model);
    sums::fit_sums(&sample, &mut model)?;
    name_columns(sample.events.columns(), source.columns(), &mut model);
    model.check()?;
    Ok(model)
}

/// Lower edges of bins, the first 0, at quantiles of values; fewer where values are few.
fn quantile_edges(values: impl Iterator<Item = u16>, quantiles: &[f64]) -> Vec<u16> {
    let mut values: Vec<u16> = values.collect();
    values.sort_unstable();
    let mut edges = vec![0];
    for &quantile in quantiles {
        let at = (quantile * values.len() as f64) as usize;
        if let Some(&edge) = values.get(at)
            && edge > *edges.last().unwrap_or(&0)
        {
            edges.push(edge);
        }
    }
    edges
}

/// Histograms where one without values is like the one before, or after: of those `n` that belong together, or
/// else of all.
fn without_empty(mut histograms: Vec<Histogram>, n: usize) -> Vec<Histogram> {
    histograms.chunks_mut(n).for_each(fill_empty);
    fill_empty(&mut histograms);
    histograms
}

fn fill_empty(histograms: &mut [Histogram]) {
    for place in 1..histograms.len() {
        if histograms[place].is_empty() {
            histograms[place] = histograms[place - 1].clone();
        }
    }
    for place in (1..histograms.len()).rev() {
        if histograms[place - 1].is_empty() {
            histograms[place - 1] = histograms[place].clone();
        }
    }
}

fn fit_kind(sample: &Sample, model: &GeneratorModel, collection: Collection) -> KindModel {
    let segments = quantile_edges(sample.pts(collection), &SEGMENT_QUANTILES);
    let most = sample.counts(collection).max().unwrap_or(0);
    let is_jet = collection == Collection::Jet;
    let mut ranks: Vec<RankModel> = Vec::new();
    for rank in 0..usize::from(most) {
        let (context, quantiles) = match (is_jet, collection, rank) {
            (true, _, 0) => (Context::Nothing, &[][..]),
            (true, ..) => (Context::Nothing, &PREVIOUS_QUANTILES[..]),
            (_, Collection::Muon, _) => (Context::Sum, &[][..]),
            (_, _, 0) => (Context::SumAndLead, &[][..]),
            _ => (Context::Sum, &FEW_QUANTILES[..]),
        };
        let previous = sample.of_rank(collection, rank.saturating_sub(1));
        let previous_bins = quantile_edges(previous, quantiles);
        let fitted = fit_rank(&RankFit {
            sample,
            model,
            collection,
            rank,
            context,
            previous_bins: &previous_bins,
            segments: &segments,
            before: ranks.last().map(|rank| &rank.exponents[..]),
        });
        let (hazards, exponents) = fitted;
        ranks.push(RankModel { context, previous_bins, exponents, hazards });
    }
    let (pt_bins, directions) = objects::fit_directions(sample, model, collection);
    KindModel { collection: collection.name().into(), segments, ranks, pt_bins, directions }
}

/// What else objects have: alone, or as a difference to what it resembles.
fn fit_extras(sample: &Sample, model: &mut GeneratorModel) {
    for column in sample.events.columns().iter() {
        let spec = column.spec();
        let collection = spec.collection;
        let extra = collection != Collection::Crossing
            && !collection.kinematics().is_some_and(|kinematics| kinematics.contains(&column));
        if !extra || model.kind(collection).is_none() {
            continue;
        }
        let base = match column {
            Column::MuonPhiRaw => Some(Column::MuonPhi),
            Column::MuonEtaRaw => Some(Column::MuonEta),
            Column::MuonPtUnconstrained => Some(Column::MuonPt),
            Column::JetRawPt => Some(Column::JetPt),
            _ => None,
        };
        let values = sample.integers(column);
        let values = match base {
            Some(base) => {
                let bases = sample.integers(base);
                let differences = values.into_iter().zip(bases).map(|(value, base)| value - base);
                Histogram::of(differences)
            }
            None => Histogram::of(values.into_iter()),
        };
        model.extras.push(ExtraModel {
            column: spec.name.into(),
            base: base.map(|base| base.spec().name.into()),
            values,
        });
    }
}

/// Which columns of the stream are generated and which are not.
fn name_columns(read: ColumnSet, all: ColumnSet, model: &mut GeneratorModel) {
    let of_kinds: ColumnSet =
        model.kinds.iter().filter_map(|k| k.kind()?.kinematics()).flatten().collect();
    let named = |name: &String| Column::from_name(name);
    let of_sums = model.scalars.iter().flat_map(|s| [Some(&s.column), s.direction.as_ref()]);
    let of_sums: ColumnSet = of_sums.flatten().filter_map(named).collect();
    let of_extras: ColumnSet = model.extras.iter().filter_map(|e| named(&e.column)).collect();
    let mut known = ColumnSet::EMPTY.with(Column::Event).with(Column::Label);
    if model.pile_up.is_some() {
        known = known.with(Column::PileUp);
    }
    let made = of_kinds.union(of_sums).union(of_extras).union(known.intersection(read));
    let made = made.union(ColumnSet::skeleton().intersection(all));
    model.columns =
        made.minus(ColumnSet::skeleton()).iter().map(|c| c.spec().name.into()).collect();
    // Luminosity sections follow from orbits.
    let left_out = all.minus(made).minus(Group::Lumi.columns());
    model.left_out = left_out.iter().map(|c| c.spec().name.into()).collect();
}

/// The columns of a stream that something is fitted to.
fn fitted_columns(of: ColumnSet) -> ColumnSet {
    let is_small = |column: &Column| matches!(column.spec().dtype, Dtype::U8 | Dtype::I16);
    let of_objects =
        |column: &Column| column.spec().collection != Collection::Crossing && is_small(column);
    let sums = Group::Met.columns().union(Group::Sums.columns());
    let others = sums.with(Column::Event).with(Column::Label).with(Column::PileUp);
    let objects: ColumnSet = of.iter().filter(of_objects).collect();
    objects.union(others.intersection(of)).union(ColumnSet::skeleton())
}
