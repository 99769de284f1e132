//! Hazards of one rank: how often the next object was at a code, of all events that got there.
//!
//! An event is at risk at every code from that of the object before down to that of its next object.
//! Codes that few objects were at are joined. The exponent of pile-up maximises the likelihood within a
//! segment, all contexts together; above the code that few objects reach, λ falls as a power of the
//! code, fitted to those.

use std::ops::Range;

use super::super::model::{Context, GeneratorModel};
use super::super::objects::{Bins, JetBins};
use super::super::random::{exp, ln, power};
use super::super::spectrum::{CODES, Hazard};
use super::sample::Sample;
use crate::event::Collection;

/// Groups of events of similar pile-up.
const GROUPS: usize = 12;
/// Largest λ: an object for certain.
const LAMBDA_MAX: f64 = 20.0;
/// Least objects of a code that stands alone, or of codes that are joined.
const OBJECTS_MIN: f64 = 30.0;
/// Least objects that tell an exponent.
const OBJECTS_FOR_EXPONENT: f64 = 500.0;
/// Objects that the slope of a tail is fitted to: a hundredth of a context's, but within these limits, and at most a
/// quarter. λ is a power of the code far out only.
const TAIL_OBJECTS: [f64; 2] = [30.0, 150.0];

/// Which rank of which kind is to be fitted.
pub(super) struct RankFit<'a> {
    pub(super) sample: &'a Sample,
    pub(super) model: &'a GeneratorModel,
    pub(super) collection: Collection,
    pub(super) rank: usize,
    pub(super) context: Context,
    pub(super) previous_bins: &'a [u16],
    pub(super) segments: &'a [u16],
    /// Exponents of the rank before.
    pub(super) before: Option<&'a [f64]>,
}

/// Objects at each code, and events at risk there, by context and pile-up.
struct Counts {
    /// Of each context, group and code.
    objects: Vec<f64>,
    at_risk: Vec<f64>,
    /// Mean of ln(pile-up / reference) of each group.
    logs: Vec<f64>,
    n_contexts: usize,
}

impl Counts {
    fn at(context: usize, group: usize, code: usize) -> usize {
        (context * GROUPS + group) * (CODES + 1) + code
    }

    /// Objects at a code in all groups of a context.
    fn objects(&self, context: usize, code: usize) -> f64 {
        (0..GROUPS).map(|group| self.objects[Counts::at(context, group, code)]).sum()
    }

    /// What λ is multiplied with in each group.
    fn factors(&self, exponent: f64) -> [f64; GROUPS] {
        std::array::from_fn(|group| exp(exponent * self.logs[group]))
    }

    /// Events at risk, each as often as its pile-up makes it.
    fn at_risk(&self, context: usize, code: usize, factors: &[f64; GROUPS]) -> f64 {
        let of_group =
            |group: usize| self.at_risk[Counts::at(context, group, code)] * factors[group];
        (0..GROUPS).map(of_group).sum()
    }

    /// λ with which the expected objects of these codes are those that were seen.
    fn lambda(&self, context: usize, codes: Range<usize>, factors: &[f64; GROUPS]) -> f64 {
        let seen: f64 = codes.clone().map(|code| self.objects(context, code)).sum();
        let at_risk: [f64; GROUPS] = std::array::from_fn(|group| {
            codes.clone().map(|code| self.at_risk[Counts::at(context, group, code)]).sum()
        });
        if seen <= 0.0 {
            return 0.0;
        }
        if seen >= at_risk.iter().sum() {
            // Every event at risk had an object: λ is as large as can be told.
            return LAMBDA_MAX;
        }
        // Newton's method from below: the expected number is concave, so that it never overshoots.
        let mut lambda = 0.0_f64;
        for _ in 0..40 {
            let (mut expected, mut slope) = (0.0, 0.0);
            for (n, factor) in at_risk.iter().zip(factors) {
                let survive = exp((-lambda * factor).max(-600.0));
                expected += n * (1.0 - survive);
                slope += n * factor * survive;
            }
            let step = (seen - expected) / slope.max(1e-300);
            lambda = (lambda + step).clamp(0.0, LAMBDA_MAX);
            if step.abs() <= 1e-12 * lambda {
                break;
            }
        }
        lambda
    }
}

/// Hazards by context and bin of the object before, and exponents by segment.
pub(super) fn fit_rank(fit: &RankFit<'_>) -> (Vec<Hazard>, Vec<f64>) {
    let counts = count(fit);
    let ends = fit.segments[1..].iter().map(|&edge| usize::from(edge)).chain([CODES]);
    let mut exponents: Vec<f64> = Vec::new();
    for (segment, (&first, end)) in fit.segments.iter().zip(ends).enumerate() {
        let codes = usize::from(first).max(1)..end;
        let exponent =
            if fit.sample.pile_up.is_empty() { Some(0.0) } else { exponent(&counts, codes) };
        let otherwise = || {
            let of_before = fit.before.and_then(|before| before.get(segment)).copied();
            of_before.or(exponents.last().copied()).unwrap_or(1.0)
        };
        exponents.push(exponent.unwrap_or_else(otherwise));
    }
    let hazards =
        (0..counts.n_contexts).map(|context| hazard(&counts, context, fit.segments, &exponents));
    (hazards.collect(), exponents)
}

fn count(fit: &RankFit<'_>) -> Counts {
    let RankFit { sample, model, collection, rank, .. } = *fit;
    let previous = Bins::new(fit.previous_bins, CODES);
    let n_contexts = model.n_contexts(fit.context) * previous.n;
    let size = n_contexts * GROUPS * (CODES + 1);
    let mut counts = Counts {
        objects: vec![0.0; size],
        at_risk: vec![0.0; size],
        logs: vec![0.0; GROUPS],
        n_contexts,
    };
    let (group_of, logs) = groups(sample);
    counts.logs = logs;
    let contexts = Contexts::new(model, fit.context);
    for (event, &group) in group_of.iter().enumerate() {
        let before = match rank {
            0 => CODES - 1,
            _ => usize::from(sample.pt(collection, rank - 1, event)),
        };
        if before == 0 {
            continue;
        }
        let next = usize::from(sample.pt(collection, rank, event));
        let context = contexts.of(sample, event) * previous.n + previous.of(before);
        // At risk from `before` down to `next`: differences, that are added up below.
        counts.at_risk[Counts::at(context, group, next.max(1))] += 1.0;
        counts.at_risk[Counts::at(context, group, before + 1)] -= 1.0;
        if next > 0 {
            counts.objects[Counts::at(context, group, next)] += 1.0;
        }
    }
    for of_group in counts.at_risk.chunks_exact_mut(CODES + 1) {
        let mut sum = 0.0;
        for entry in of_group {
            sum += *entry;
            *entry = sum;
        }
    }
    counts
}

/// Bins of what of the jets others depend on.
pub(super) struct Contexts {
    context: Context,
    bins: JetBins,
}

impl Contexts {
    pub(super) fn new(model: &GeneratorModel, context: Context) -> Contexts {
        Contexts { context, bins: JetBins::new(model) }
    }

    /// The context of an event.
    pub(super) fn of(&self, sample: &Sample, event: usize) -> usize {
        let JetBins { jets, leads, sums } = &self.bins;
        let lead = || leads.of(usize::from(sample.pt(Collection::Jet, 0, event)));
        let jets_bin = || jets.of(sample.of_event(Collection::Jet, 0, event).len());
        let sum = || sums.of(sample.jet_sum(event));
        match self.context {
            Context::Nothing => 0,
            Context::Lead => lead(),
            Context::Jets => jets_bin(),
            Context::Sum => sum(),
            Context::SumAndLead => sum() * leads.n + lead(),
        }
    }
}

/// Groups of about equally many events of similar pile-up, and the means of its logarithm.
fn groups(sample: &Sample) -> (Vec<usize>, Vec<f64>) {
    if sample.pile_up.is_empty() {
        return (vec![0; sample.n], vec![0.0; GROUPS]);
    }
    let mut sorted = sample.pile_up.clone();
    sorted.sort_unstable();
    let edges: Vec<u16> = (1..GROUPS).map(|k| sorted[k * sorted.len() / GROUPS]).collect();
    let group_of: Vec<usize> =
        sample.pile_up.iter().map(|&n| edges.partition_point(|&edge| edge <= n)).collect();
    let (mut sums, mut ns) = (vec![0.0; GROUPS], vec![0.0_f64; GROUPS]);
    for (event, &group) in group_of.iter().enumerate() {
        sums[group] += sample.log_pile_up(event);
        ns[group] += 1.0;
    }
    (group_of, sums.iter().zip(&ns).map(|(sum, n)| sum / n.max(1.0)).collect())
}

/// The exponent at which the score of the likelihood is zero; `None` if too few objects tell.
fn exponent(counts: &Counts, codes: Range<usize>) -> Option<f64> {
    let cells: Vec<(usize, usize)> = (0..counts.n_contexts)
        .flat_map(|context| codes.clone().map(move |code| (context, code)))
        .filter(|&(context, code)| counts.objects(context, code) > 0.0)
        .collect();
    let seen: f64 = cells.iter().map(|&(context, code)| counts.objects(context, code)).sum();
    if seen < OBJECTS_FOR_EXPONENT {
        return None;
    }
    let score = |exponent: f64| -> f64 {
        let factors = counts.factors(exponent);
        let of_cell = |&(context, code): &(usize, usize)| -> f64 {
            let lambda = counts.lambda(context, code..code + 1, &factors);
            (0..GROUPS)
                .map(|group| {
                    let at = Counts::at(context, group, code);
                    let log = counts.logs[group];
                    let chance = 1.0 - exp((-lambda * factors[group]).max(-600.0));
                    (counts.objects[at] - counts.at_risk[at] * chance) * log
                })
                .sum()
        };
        cells.iter().map(of_cell).sum()
    };
    let (mut low, mut high) = (-4.0, 10.0);
    for _ in 0..16 {
        let middle = 0.5 * (low + high);
        if score(middle) > 0.0 { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// λ of one context: of each code where there are many objects, of several together where there are
/// few, a power of the code where there are hardly any.
fn hazard(counts: &Counts, context: usize, segments: &[u16], exponents: &[f64]) -> Hazard {
    let of_code: Vec<f64> = (0..CODES).map(|code| counts.objects(context, code)).collect();
    let total: f64 = of_code.iter().sum();
    let Some(first) = of_code.iter().position(|&n| n > 0.0) else { return Hazard::default() };
    let of_segment: Vec<[f64; GROUPS]> = exponents.iter().map(|&p| counts.factors(p)).collect();
    let factors_at =
        |code: usize| &of_segment[segments.partition_point(|&edge| usize::from(edge) <= code) - 1];
    let in_tail = (total / 100.0).clamp(TAIL_OBJECTS[0], TAIL_OBJECTS[1]).min(total / 4.0);
    let mut above = total;
    let tail_from = (first..CODES)
        .find(|&code| {
            above -= of_code[code];
            above < in_tail
        })
        .map_or(CODES - 1, |code| code + 1)
        .min(CODES - 1);
    let mut lambdas = Vec::new();
    let mut code = first;
    while code < tail_from {
        let begin = code;
        let (mut seen, mut expected) = (0.0, 0.0);
        let before = lambdas.last().map_or(0.0, |&lambda: &f32| f64::from(lambda));
        while code < tail_from && seen < OBJECTS_MIN && expected < 3.0 * OBJECTS_MIN {
            seen += of_code[code];
            expected += before * counts.at_risk(context, code, factors_at(code));
            code += 1;
        }
        let lambda = counts.lambda(context, begin..code, factors_at(begin)) as f32;
        lambdas.resize(code - first, lambda);
    }
    let (lambda, tail) = fit_tail(counts, context, tail_from, factors_at(tail_from));
    lambdas.push(lambda as f32);
    Hazard { first: first as u16, lambdas, tail }
}

/// λ at code `from`, and the power with which it falls above, that make what was seen there most likely.
fn fit_tail(counts: &Counts, context: usize, from: usize, factors: &[f64; GROUPS]) -> (f64, f64) {
    let cells: Vec<(f64, f64, f64)> = (from..CODES)
        .map(|code| {
            let log = ln(code as f64 / from as f64);
            (log, counts.objects(context, code), counts.at_risk(context, code, factors))
        })
        .collect();
    let seen: f64 = cells.iter().map(|&(_, objects, _)| objects).sum();
    if seen < 1.0 {
        return (0.0, 1.0);
    }
    let level = |tail: f64| {
        let at_risk: f64 = cells.iter().map(|&(log, _, n)| n * exp(-tail * log)).sum();
        seen / at_risk.max(1e-9)
    };
    // The sum of logarithms is what it is expected to be.
    let score = |tail: f64| -> f64 {
        let level = level(tail);
        cells.iter().map(|&(log, objects, n)| log * (level * n * exp(-tail * log) - objects)).sum()
    };
    let (mut low, mut high) = (0.0, 30.0);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if score(middle) > 0.0 { low = middle } else { high = middle }
    }
    // Few objects say little: their slope is held where spectra of the field are.
    let tail = (0.5 * (low + high)).clamp(0.0, 15.0);
    (level(tail).min(LAMBDA_MAX), tail)
}

/// A factor that depends on pile-up, for those that fit sums.
pub(super) fn relative_power(log: f64, exponent: f64) -> f64 {
    power(exp(log), exponent)
}
