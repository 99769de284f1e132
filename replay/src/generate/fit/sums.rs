//! Energy sums given the jets.
//!
//! Bins of what a sum depends on hold equally many events of the stream; where they begin is then taken from
//! generated events, so that as many of those are in each, and the distribution of the sum is kept
//! even where that of what it depends on is not.

use super::super::GenerateError;
use super::super::angles::{Angles, TURN};
use super::super::batch::JetSums;
use super::super::generator::Generator;
use super::super::histogram::Histogram;
use super::super::model::{Context, GeneratorModel, Predictor, ScalarModel};
use super::super::objects::Bins;
use super::super::pile_up::PileUp;
use super::super::random::{Seed, exp, ln};
use super::super::sums::{bin_of, predictor_of, vector_of};
use super::hazards::{Contexts, relative_power};
use super::objects::Binned;
use super::sample::Sample;
use super::{quantile_edges, without_empty};
use crate::event::{Collection, Column};
use crate::units::SUM_PT_MAX;

/// Bins of what a sum depends on.
const PREDICTOR_BINS: usize = 10;
/// Quantiles of a sum at which other directions begin.
const CODE_QUANTILES: [f64; 4] = [0.4, 0.75, 0.95, 0.995];
/// Generated events that tell where bins begin.
const GENERATED: usize = 200_000;
/// Events above which the tail of a sum is exponential.
const TAIL_EVENTS: f64 = 50.0;

/// Sums in the order in which they are drawn: column, azimuth, what they depend on. How well missing energy is
/// measured depends on how much energy there is in all.
const SUMS: [(Column, Option<Column>, Context, Predictor); 8] = [
    (Column::MetPt, Some(Column::MetPhi), Context::Sum, Predictor::HardJetVector),
    (Column::HtPt, None, Context::Jets, Predictor::JetSum),
    (Column::EtPt, None, Context::Jets, Predictor::JetSum),
    (Column::EtEmPt, None, Context::Jets, Predictor::JetSum),
    (Column::TowerCount, None, Context::Jets, Predictor::JetSum),
    (Column::MhtPt, Some(Column::MhtPhi), Context::Sum, Predictor::JetVector),
    (Column::MetHfPt, Some(Column::MetHfPhi), Context::Jets, Predictor::Met),
    (Column::MhtHfPt, Some(Column::MhtHfPhi), Context::Sum, Predictor::JetVector),
];

/// Fits all sums that the stream has.
pub(super) fn fit_sums(sample: &Sample, model: &mut GeneratorModel) -> Result<(), GenerateError> {
    let has = |column: Column| sample.events.columns().contains(column);
    let angles = Angles::new();
    let generated = Generated::new(model)?;
    let events: Vec<(JetSums, (i16, i16))> =
        (0..sample.n).map(|i| event_of(sample, i, &angles)).collect();
    for (column, direction, context, predictor) in SUMS {
        let is_known = has(column) && direction.is_none_or(has);
        // What depends on missing energy needs that.
        let depends = predictor != Predictor::Met || has(Column::MetPt) && has(Column::MetPhi);
        if is_known {
            let predictor = if depends { predictor } else { Predictor::HardJetVector };
            let sum = Sum { column, direction, context, predictor };
            let scalar = fit_sum(sample, model, &events, &sum, &generated, &angles);
            model.scalars.push(scalar);
        }
    }
    Ok(())
}

struct Sum {
    column: Column,
    direction: Option<Column>,
    context: Context,
    predictor: Predictor,
}

/// An event of the stream as sums look at it: its jets, its missing energy.
fn event_of(sample: &Sample, i: usize, angles: &Angles) -> (JetSums, (i16, i16)) {
    let mut sums = JetSums::default();
    let [pts, phis] = [0, 2].map(|k| sample.of_event(Collection::Jet, k, i));
    pts.iter().zip(phis).for_each(|(&pt, &phi)| sums.add(pt, phi, angles));
    let value = |column: Column| sample.events.get::<i16>(column).get(i).copied().unwrap_or(0);
    (sums, (value(Column::MetPt), value(Column::MetPhi)))
}

fn fit_sum(
    sample: &Sample,
    model: &GeneratorModel,
    events: &[(JetSums, (i16, i16))],
    sum: &Sum,
    generated: &Generated,
    angles: &Angles,
) -> ScalarModel {
    let codes = sample.events.get::<i16>(sum.column);
    let predictors: Vec<f64> =
        events.iter().map(|(jets, met)| predictor_of(sum.predictor, jets, *met)).collect();
    let edges = equal_edges(predictors.clone(), PREDICTOR_BINS);
    let bin_of_event: Vec<usize> = predictors.iter().map(|&value| bin_of(&edges, value)).collect();
    let contexts = Contexts::new(model, sum.context);
    let context_of_event: Vec<usize> =
        (0..sample.n).map(|i| contexts.of(sample, i) * edges.len() + bin_of_event[i]).collect();
    let n_contexts = model.n_contexts(sum.context) * edges.len();
    let exponent = exponent(sample, codes, &context_of_event, n_contexts);
    let seed = Seed::new(sum.column as u64);
    let mut at_reference = vec![Vec::new(); n_contexts];
    for i in 0..sample.n {
        let within = seed.crossing(i as u64).uniform(0);
        let factor = relative_power(sample.log_pile_up(i), exponent);
        let code = ((f64::from(codes[i]) + within) / factor) as i32;
        at_reference[context_of_event[i]].push(code.min(sum_max(sum.column)));
    }
    let code_bins =
        quantile_edges(codes.iter().map(|&code| code.max(0).cast_unsigned()), &CODE_QUANTILES);
    let mut directions = Vec::new();
    if let Some(direction) = sum.direction {
        let bins = Bins::new(&code_bins, SUM_PT_MAX as usize + 1);
        let phis = sample.events.get::<i16>(direction);
        let mut relative = Binned::new(edges.len() * bins.n);
        for (i, (jets, met)) in events.iter().enumerate() {
            let relative_to = angles.code(vector_of(sum.predictor, jets, *met, angles));
            let turned = (i32::from(phis[i]) - relative_to + TURN / 2).rem_euclid(TURN) - TURN / 2;
            let bin = bin_of_event[i] * bins.n + bins.of(codes[i].max(0) as usize);
            relative.add(bin, turned);
        }
        directions = relative.histograms(bins.n);
    }
    let codes = at_reference.into_iter().map(|values| with_tail(values, sum_max(sum.column)));
    ScalarModel {
        column: sum.column.spec().name.into(),
        direction: sum.direction.map(|column| column.spec().name.into()),
        context: sum.context,
        predictor: sum.predictor,
        edges: generated.edges(sum.predictor, &predictors, &edges),
        exponent,
        codes: without_empty(codes.collect(), edges.len()),
        code_bins,
        angles: directions,
    }
}

fn sum_max(column: Column) -> i32 {
    column.spec().range.map_or(0, |(_, max)| max as i32)
}

/// Lower edges of at most `n` bins of equally many values, the first 0.
fn equal_edges(mut values: Vec<f64>, n: usize) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut edges = vec![0.0];
    for k in 1..n {
        let edge = values[k * values.len() / n];
        if edge > edges[edges.len() - 1] {
            edges.push(edge);
        }
    }
    edges
}

/// What sums depend on in generated events, in ascending order: squares of the jets' vector sums, their
/// scalar sum.
struct Generated([Vec<f64>; 3]);

impl Generated {
    fn new(model: &GeneratorModel) -> Result<Generated, GenerateError> {
        let generator = Generator::new(model, PileUp::Fitted, 0)?;
        let events = generator.jet_sums(GENERATED);
        let predictors = [Predictor::JetVector, Predictor::HardJetVector, Predictor::JetSum];
        Ok(Generated(predictors.map(|predictor| {
            let values = events.iter().map(|jets| predictor_of(predictor, jets, (0, 0)));
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            values
        })))
    }

    /// Edges above which as many generated events are as of the stream above `edges`.
    fn edges(&self, predictor: Predictor, values: &[f64], edges: &[f64]) -> Vec<f64> {
        let generated = match predictor {
            Predictor::JetVector => &self.0[0],
            Predictor::HardJetVector => &self.0[1],
            Predictor::JetSum => &self.0[2],
            // Its own distribution has been kept.
            Predictor::Met => return edges.to_vec(),
        };
        let below = |edge: f64| values.iter().filter(|&&value| value < edge).count();
        let mut found = vec![0.0_f64];
        for &edge in &edges[1..] {
            let share = below(edge) as f64 / values.len() as f64;
            let at = (share * generated.len() as f64) as usize;
            let least = found[found.len() - 1];
            found.push(generated[at.min(generated.len() - 1)].max(least));
        }
        found
    }
}

/// Slope of ln(sum) with ln(pile-up) within contexts.
fn exponent(sample: &Sample, codes: &[i16], contexts: &[usize], n_contexts: usize) -> f64 {
    if sample.pile_up.is_empty() {
        return 0.0;
    }
    // Of each context: n, sums of x, y, x², xy.
    let mut sums = vec![[0.0_f64; 5]; n_contexts];
    for (i, &context) in contexts.iter().enumerate() {
        let (x, y) = (sample.log_pile_up(i), ln(f64::from(codes[i].max(0)) + 0.5));
        for (sum, term) in sums[context].iter_mut().zip([1.0, x, y, x * x, x * y]) {
            *sum += term;
        }
    }
    let (mut covariance, mut variance) = (0.0, 0.0);
    for [n, x, y, xx, xy] in sums {
        if n > 1.0 {
            covariance += xy - x * y / n;
            variance += xx - x * x / n;
        }
    }
    if variance > 0.0 { (covariance / variance).clamp(-10.0, 10.0) } else { 0.0 }
}

/// A histogram whose last events are those of an exponential tail of the same mean.
fn with_tail(values: Vec<i32>, max: i32) -> Histogram {
    let mut histogram = Histogram::of(values.into_iter());
    let n: f32 = histogram.weights.iter().sum();
    if f64::from(n) < 4.0 * TAIL_EVENTS {
        return histogram;
    }
    let mut above = 0.0;
    let Some(from) = histogram.weights.iter().rposition(|&weight| {
        above += f64::from(weight);
        above >= TAIL_EVENTS
    }) else {
        return histogram;
    };
    let excess = |(k, &weight): (usize, &f32)| k as f64 * f64::from(weight);
    let mean = histogram.weights[from..].iter().enumerate().map(excess).sum::<f64>() / above;
    if mean <= 0.0 {
        return histogram;
    }
    // Geometric of this mean.
    let ratio = mean / (1.0 + mean);
    let room = (max - histogram.first).max(0) as usize + 1;
    let length = (from + (25.0 * (1.0 + mean)) as usize).min(room);
    histogram.weights.truncate(from);
    let step = -ln(ratio);
    for k in 0..length.saturating_sub(from) {
        histogram.weights.push((above * (1.0 - ratio) * exp(-step * k as f64)) as f32);
    }
    histogram
}
