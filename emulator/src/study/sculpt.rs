//! What cuts on the score do to the shape of observables, in one pass over the background.

use anyhow::Result;
use scout40_replay::event::ColumnSet;
use scout40_studies::observable::Histogram;
use scout40_studies::quantity::Quantity;
use scout40_studies::sculpting::{
    CarvedPeak, Sculpting, carved_peak, distances, ks_probability, sculpting,
};
use serde::Serialize;

use super::points::{Measured, WorkingPoint};
use super::sample::{Events, Request, Sample, check_scores, read};
use crate::config::LoadedModel;

/// From so many standard deviations on, accepted events that rise where all fall are a peak that was carved.
pub const CARVED_SIGMA: f64 = 5.0;

/// An observable before and after the cuts.
#[derive(Clone, Debug)]
pub struct Shapes {
    /// What it is.
    pub quantity: Quantity,
    /// All events.
    pub all: Histogram,
    /// Events that lack it.
    pub n_without: u64,
    /// What each cut does.
    pub cuts: Vec<Cut>,
}

/// What a cut does to an observable.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The working point.
    pub point: String,
    /// Events that pass.
    pub accepted: Histogram,
    /// Events that do not.
    pub rejected: Histogram,
    /// Comparison of the accepted with all; none where nothing is accepted.
    pub found: Option<Found>,
}

/// A comparison of shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Efficiencies, ratios and distances.
    pub sculpting: Sculpting,
    /// Probability that accepted and rejected events are so different and yet of one shape; none where nothing is
    /// rejected.
    pub ks_probability: Option<f64>,
    /// A peak that the cut makes, however insignificant.
    pub peak: Option<CarvedPeak>,
}

/// An observable and a cut, as they are recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Name of the observable.
    pub observable: String,
    /// Its unit.
    pub unit: &'static str,
    /// The working point.
    pub point: String,
    /// Events without this observable.
    pub n_without: u64,
    /// Edges of the bins.
    pub edges: Vec<f64>,
    /// Sums of weights of all events: below, in the bins, above.
    pub all: Vec<f64>,
    /// The same of accepted ones.
    pub accepted: Vec<f64>,
    /// Accepted over all, both normalised, in each bin; none where there is nothing.
    pub shape_ratios: Vec<Option<Measured>>,
    /// Fraction that is accepted.
    pub efficiency: Option<Measured>,
    /// Jensen-Shannon distance of accepted and all.
    pub jensen_shannon: Option<f64>,
    /// Kolmogorov-Smirnov distance of accepted and all.
    pub kolmogorov_smirnov: Option<f64>,
    /// Probability that accepted and rejected are of one shape; none where one of them is nothing.
    pub ks_probability: Option<f64>,
    /// Bins between which accepted events rise most significantly while all fall: from, to, sigma.
    pub peak: Option<([f64; 2], [f64; 2], f64)>,
}

/// Fills and compares.
///
/// # Errors
/// Those of [`read`], and streams that lack what an observable looks at.
pub fn sculpt(
    request: &Request,
    model: Option<&LoadedModel>,
    points: &[WorkingPoint],
    observables: &[(Quantity, Histogram)],
    progress: &mut dyn FnMut(u64),
) -> Result<(Sample, Vec<Shapes>)> {
    check_scores(request.path, model)?;
    let looked_at = observables.iter().map(|(quantity, _)| quantity.columns());
    let columns = looked_at.fold(request.columns, ColumnSet::union);
    let request = Request { columns, ..request.clone() };
    let empty = |(quantity, empty): &(Quantity, Histogram)| Shapes {
        quantity: quantity.clone(),
        all: empty.clone(),
        n_without: 0,
        cuts: points
            .iter()
            .map(|point| Cut {
                point: point.name.clone(),
                accepted: empty.clone(),
                rejected: empty.clone(),
                found: None,
            })
            .collect(),
    };
    let mut shapes: Vec<Shapes> = observables.iter().map(empty).collect();
    let mut buffer = Buffer::default();
    let sample = read(&request, model, &mut |events| {
        progress(events.block.len() as u64);
        shapes.iter_mut().try_for_each(|shapes| buffer.fill(events, shapes, points))
    })?;
    for shapes in &mut shapes {
        for cut in &mut shapes.cuts {
            cut.found = compare(&shapes.all, cut)?;
        }
    }
    Ok((sample, shapes))
}

/// Values and weights on their way into histograms.
#[derive(Default)]
struct Buffer {
    /// Places among the kept events, values, weights.
    events: Vec<(usize, f64, f64)>,
    values: Vec<f64>,
    weights: Vec<f64>,
}

impl Buffer {
    fn fill(
        &mut self,
        events: &Events,
        shapes: &mut Shapes,
        points: &[WorkingPoint],
    ) -> Result<()> {
        self.events.clear();
        for (k, &place) in events.kept.iter().enumerate() {
            match shapes.quantity.value(events.block.event(place)) {
                Some(value) => self.events.push((k, value, events.weight(k))),
                None => shapes.n_without += 1,
            }
        }
        self.chosen(|_| true, &mut shapes.all)?;
        for (cut, point) in shapes.cuts.iter_mut().zip(points) {
            let passes = |k: usize| events.scores[k] >= point.threshold;
            self.chosen(passes, &mut cut.accepted)?;
            self.chosen(|k| !passes(k), &mut cut.rejected)?;
        }
        Ok(())
    }

    fn chosen(&mut self, which: impl Fn(usize) -> bool, into: &mut Histogram) -> Result<()> {
        self.values.clear();
        self.weights.clear();
        for &(k, value, weight) in &self.events {
            if which(k) {
                self.values.push(value);
                self.weights.push(weight);
            }
        }
        Ok(into.fill_weighted(&self.values, &self.weights)?)
    }
}

fn compare(all: &Histogram, cut: &Cut) -> Result<Option<Found>> {
    let worth = |histogram: &Histogram| {
        let contents = histogram.contents();
        let weight: f64 = contents.iter().map(|content| content.weight).sum();
        let squared: f64 = contents.iter().map(|content| content.squared).sum();
        if squared > 0.0 { weight * weight / squared } else { 0.0 }
    };
    let (n_accepted, n_rejected) = (worth(&cut.accepted), worth(&cut.rejected));
    if n_accepted == 0.0 {
        return Ok(None);
    }
    let ks_probability = if n_rejected > 0.0 {
        let (_, distance) = distances(&cut.accepted, &cut.rejected)?;
        Some(ks_probability(distance, n_accepted, n_rejected))
    } else {
        None
    };
    let sculpting = sculpting(all, &cut.accepted)?;
    Ok(Some(Found { sculpting, ks_probability, peak: carved_peak(all, &cut.accepted)? }))
}

/// Everything, as it is recorded.
#[must_use]
pub fn records(shapes: &[Shapes]) -> Vec<Record> {
    let weights = |histogram: &Histogram| -> Vec<f64> {
        histogram.contents().iter().map(|content| content.weight).collect()
    };
    let record = |shapes: &Shapes, cut: &Cut| {
        let found = cut.found.as_ref();
        let all = weights(&shapes.all);
        let ratios = found.map_or(Vec::new(), |found| {
            let bins = found.sculpting.shape_ratios.iter().zip(&all[1..]);
            bins.map(|(&ratio, &all)| (all > 0.0).then(|| ratio.into())).collect()
        });
        Record {
            observable: shapes.quantity.name().to_owned(),
            unit: shapes.quantity.unit(),
            point: cut.point.clone(),
            n_without: shapes.n_without,
            edges: shapes.all.edges().to_vec(),
            accepted: weights(&cut.accepted),
            shape_ratios: ratios,
            efficiency: found.map(|found| found.sculpting.efficiency.into()),
            jensen_shannon: found.map(|found| found.sculpting.jensen_shannon),
            kolmogorov_smirnov: found.map(|found| found.sculpting.kolmogorov_smirnov),
            ks_probability: found.and_then(|found| found.ks_probability),
            peak: found.and_then(|found| found.peak).map(|peak| {
                let CarvedPeak { bin, from, rise_sigma } = peak;
                ([from.0, from.1], [bin.0, bin.1], rise_sigma)
            }),
            all,
        }
    };
    shapes.iter().flat_map(|s| s.cuts.iter().map(move |cut| record(s, cut))).collect()
}
