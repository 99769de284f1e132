//! Does a cut on the score change the shape of an observable?
//!
//! [`sculpting`] compares an observable's histogram of all events with that of the accepted ones: efficiency
//! in each bin, ratio of the shapes (1 where the cut does not care), and two distances between them. What lies
//! outside the edges counts for the distances as two more bins.
//!
//! Distances are not zero for finite samples; whether one is large is for [`ks_probability`] to
//! say. It needs independent samples: accepted and rejected events, not accepted and all.

use crate::error::{Error, check};
use crate::observable::{Content, Histogram, total};
use crate::rate::Interval;
use crate::spectrum::scaled_binomial;
use crate::weights::check_weights;

/// What a cut does to an observable.
#[derive(Clone, Debug, PartialEq)]
pub struct Sculpting {
    /// Fraction of all events that is accepted (Clopper–Pearson at 68.27 %).
    pub efficiency: Interval,
    /// The same in each bin; 0 to 1 where there are no events.
    pub efficiencies: Vec<Interval>,
    /// Bin by bin, accepted over all events after both are normalised: the efficiency of the bin over
    /// that of all. The interval is that of the former.
    pub shape_ratios: Vec<Interval>,
    /// Jensen–Shannon distance of the two shapes, 0 to 1.
    pub jensen_shannon: f64,
    /// Largest distance of their cumulative distributions at the edges, 0 to 1.
    pub kolmogorov_smirnov: f64,
}

/// Compares an observable of all events with that of the accepted ones among them.
///
/// # Errors
/// Histograms with different edges, more accepted than all events in a bin, and no accepted events.
pub fn sculpting(all: &Histogram, accepted: &Histogram) -> Result<Sculpting, Error> {
    let (jensen_shannon, kolmogorov_smirnov) = distances(all, accepted)?;
    let (all, accepted) = (all.contents(), accepted.contents());
    let efficiency = |(all, accepted): (&Content, &Content)| {
        // Sums of weights round.
        let within = accepted.weight <= all.weight * (1.0 + 1e-12);
        let expected = "no more than all events, of which they are a part";
        check(within, "accepted events in a bin", expected, accepted.weight)?;
        Ok(if all.weight > 0.0 {
            scaled_binomial(accepted.weight / all.weight, all.effective_events())
        } else {
            Interval { value: 0.0, low: 0.0, high: 1.0 }
        })
    };
    let bins = all.iter().zip(&accepted).map(efficiency).collect::<Result<Vec<_>, Error>>()?;
    let overall = efficiency((&total(&all), &total(&accepted)))?;
    let efficiencies = bins[1..bins.len() - 1].to_vec();
    Ok(Sculpting {
        efficiency: overall,
        shape_ratios: efficiencies.iter().map(|bin| bin.scaled(1.0 / overall.value)).collect(),
        efficiencies,
        jensen_shannon,
        kolmogorov_smirnov,
    })
}

/// A peak that a cut made where all events have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarvedPeak {
    /// The bin of the peak: lower and upper edge.
    pub bin: (f64, f64),
    /// The bin below it from which accepted events rise to it, while all events fall.
    pub from: (f64, f64),
    /// By how many standard deviations they rise. The largest of all pairs of bins: for n bins one of
    /// some n²/2 that might have fluctuated so.
    pub rise_sigma: f64,
}

/// Where accepted events rise most significantly from a bin to one above it although all events fall from the
/// one to the other, both at or above the bin with most of them; none where they rise nowhere. Counts are
/// taken per unit of the observable.
///
/// # Errors
/// Histograms with different edges.
pub fn carved_peak(all: &Histogram, accepted: &Histogram) -> Result<Option<CarvedPeak>, Error> {
    all.check_edges(accepted)?;
    let edges = all.edges();
    let n_bins = edges.len() - 1;
    let densities = |histogram: &Histogram| -> Vec<(f64, f64)> {
        let contents = histogram.contents();
        let density = |k: usize| {
            let width = edges[k + 1] - edges[k];
            (contents[k + 1].weight / width, contents[k + 1].squared / (width * width))
        };
        (0..n_bins).map(density).collect()
    };
    let (all, accepted) = (densities(all), densities(accepted));
    let mut best: Option<CarvedPeak> = None;
    // Below, everything rises: a turn-on there is no peak.
    let mode = (0..n_bins).reduce(|mode, k| if all[k].0 > all[mode].0 { k } else { mode });
    for from in mode.unwrap_or(0)..n_bins {
        for bin in from + 1..n_bins {
            let rise = accepted[bin].0 - accepted[from].0;
            if all[bin].0 >= all[from].0 || rise <= 0.0 {
                continue;
            }
            // Some is accepted in the upper bin, so there is a variance.
            let rise_sigma = rise / (accepted[bin].1 + accepted[from].1).sqrt();
            if best.is_none_or(|best| rise_sigma > best.rise_sigma) {
                let edges_of = |k: usize| (edges[k], edges[k + 1]);
                best = Some(CarvedPeak { bin: edges_of(bin), from: edges_of(from), rise_sigma });
            }
        }
    }
    Ok(best)
}

/// Jensen–Shannon and Kolmogorov–Smirnov distance of two histograms' shapes, both 0 to 1.
///
/// The former is √(H(m) − (H(p) + H(q)) / 2) with m = (p + q) / 2 and entropies H in bits, as
/// `scipy.spatial.distance.jensenshannon(p, q, base=2)`.
///
/// **Source**: J. Lin, IEEE Trans. Inf. Theory 37 (1991) 145; D. Endres, J. Schindelin, ibid. 49
/// (2003) 1858.
///
/// # Errors
/// Different edges, and histograms without events.
pub fn distances(first: &Histogram, second: &Histogram) -> Result<(f64, f64), Error> {
    first.check_edges(second)?;
    let (first, second) = (first.contents(), second.contents());
    let (n_first, n_second) = (total(&first).weight, total(&second).weight);
    if n_first == 0.0 || n_second == 0.0 {
        return Err(Error::NoEvents { what: "events in both histograms" });
    }
    let (mut divergence, mut cumulative, mut largest) = (0.0, 0.0, 0.0_f64);
    for (p, q) in first.iter().zip(&second) {
        let (p, q) = (p.weight / n_first, q.weight / n_second);
        let mean = (p + q) / 2.0;
        let part = |p: f64| if p > 0.0 { p * (p / mean).log2() } else { 0.0 };
        divergence += (part(p) + part(q)) / 2.0;
        cumulative += p - q;
        largest = largest.max(f64::abs(cumulative));
    }
    // Equal shapes may come out a rounding error below zero, disjoint ones above one.
    Ok((f64::clamp(divergence, 0.0, 1.0).sqrt(), largest.min(1.0)))
}

/// Largest distance of the cumulative distributions of two samples of weighted values, without bins.
/// Empty weights: all the same.
///
/// # Errors
/// No values, values that are no numbers, and weights that are negative, all zero, or not one
/// for each value.
pub fn ks_distance(first: (&[f64], &[f64]), second: (&[f64], &[f64])) -> Result<f64, Error> {
    let (n_first, n_second) = (weight_of(first)?, weight_of(second)?);
    let signed = |(values, weights): (&[f64], &[f64]), total: f64| -> Vec<(f64, f64)> {
        let weight = |event: usize| if weights.is_empty() { 1.0 } else { weights[event] };
        // Both zeros are the same value.
        let step = |event: usize| (values[event] + 0.0, weight(event) / total);
        (0..values.len()).map(step).collect()
    };
    let mut steps = signed(first, n_first);
    steps.extend(signed(second, -n_second));
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut difference, mut largest) = (0.0, 0.0_f64);
    for tied in steps.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        difference += tied.iter().map(|step| step.1).sum::<f64>();
        largest = largest.max(f64::abs(difference));
    }
    Ok(largest.min(1.0))
}

fn weight_of((values, weights): (&[f64], &[f64])) -> Result<f64, Error> {
    if let Some(index) = values.iter().position(|value| value.is_nan()) {
        return Err(Error::Value { what: "observable", index });
    }
    if values.is_empty() {
        return Err(Error::NoEvents { what: "values of both samples" });
    }
    if weights.is_empty() {
        return Ok(values.len() as f64);
    }
    check_weights(values.len(), weights)?;
    let total = weights.iter().sum();
    if total == 0.0 {
        return Err(Error::NoWeight { events: weights.len() as u64 });
    }
    Ok(total)
}

/// Probability that two independent samples of the same continuous distribution are at least this far
/// apart, for (effective) numbers of events that are not small: Q(d √(n₁n₂ / (n₁ + n₂))).
///
/// **Source**: N. Smirnov, Ann. Math. Stat. 19 (1948) 279.
#[must_use]
pub fn ks_probability(distance: f64, n_first: f64, n_second: f64) -> f64 {
    kolmogorov(distance * (n_first * n_second / (n_first + n_second)).sqrt())
}

/// Upper tail of Kolmogorov's distribution, by whichever of its two series needs few terms.
fn kolmogorov(z: f64) -> f64 {
    use std::f64::consts::PI;
    if z < 0.04 {
        // The other tail is below 1e-300.
        return 1.0;
    }
    if z < 1.0 {
        let term = |k: i32| (-(f64::from(2 * k - 1) * PI / z).powi(2) / 8.0).exp();
        return 1.0 - (2.0 * PI).sqrt() / z * (1..8).map(term).sum::<f64>();
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * (f64::from(k) * z).powi(2)).exp()
    };
    (1..8).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::uniform(8, 0.0, 4.0).unwrap();
        histogram.fill(values).unwrap();
        histogram
    }

    #[test]
    fn a_peak_is_carved_where_accepted_events_rise_and_all_events_fall() {
        let edges = [0.0, 1.0, 2.0, 3.0, 5.0];
        let histogram = |counts: [usize; 4]| {
            let mut histogram = Histogram::new(&edges).unwrap();
            for (k, n) in counts.into_iter().enumerate() {
                histogram.fill(&vec![edges[k] + 0.5; n]).unwrap();
            }
            histogram
        };
        let all = histogram([1000, 800, 500, 400]);
        assert_eq!(carved_peak(&all, &all).unwrap(), None);
        assert_eq!(carved_peak(&all, &histogram([100, 80, 50, 40])).unwrap(), None);
        // The last bin is twice as wide: 70 in it are 35, known to 4.2, fewer than 64 one below.
        let found = carved_peak(&all, &histogram([4, 9, 64, 70])).unwrap().unwrap();
        assert_eq!((found.from, found.bin), ((0.0, 1.0), (2.0, 3.0)));
        assert!((found.rise_sigma - 60.0 / 68f64.sqrt()).abs() < 1e-12, "{found:?}");
        // Where all events rise, accepted ones may.
        let rising = histogram([10, 100, 1000, 4000]);
        assert_eq!(carved_peak(&rising, &histogram([0, 5, 50, 400])).unwrap(), None);
        let turns_on = histogram([600, 1000, 500, 400]);
        assert_eq!(carved_peak(&turns_on, &histogram([6, 100, 50, 40])).unwrap(), None);
        assert!(carved_peak(&all, &Histogram::new(&[0.0, 1.0]).unwrap()).is_err());
    }

    #[test]
    fn a_cut_that_does_not_care_leaves_the_shape() {
        let all: Vec<f64> = (0..800).map(|k| f64::from(k % 100) / 22.0).collect();
        let accepted: Vec<f64> = (0..100).map(|k| f64::from(k) / 22.0).collect();
        let found = sculpting(&histogram(&all), &histogram(&accepted)).unwrap();
        assert!((found.efficiency.value - 0.125).abs() < 1e-15);
        assert_eq!(found.efficiencies.len(), 8);
        for (ratio, efficiency) in found.shape_ratios.iter().zip(&found.efficiencies) {
            assert!((ratio.value - 1.0).abs() < 1e-12 && ratio.low < 1.0 && ratio.high > 1.0);
            assert!((ratio.high / efficiency.high - 8.0).abs() < 1e-9);
        }
        assert!(found.jensen_shannon < 1e-7 && found.kolmogorov_smirnov < 1e-12);
    }

    #[test]
    fn shapes_without_overlap_are_as_far_apart_as_can_be() {
        let (low, high) = (histogram(&[0.1, 0.2, -3.0]), histogram(&[3.0, 9.0]));
        let (jensen_shannon, ks) = distances(&low, &high).unwrap();
        assert!((jensen_shannon - 1.0).abs() < 1e-12 && (ks - 1.0).abs() < 1e-12);
        assert!((ks_distance((&[1.0, 2.0], &[]), (&[3.0], &[])).unwrap() - 1.0).abs() < 1e-15);
        assert!(ks_distance((&[1.0, 2.0], &[]), (&[2.0, 1.0], &[])).unwrap() < 1e-15);
    }

    #[test]
    fn what_is_no_part_or_has_no_events_is_refused() {
        let (few, many) = (histogram(&[1.0]), histogram(&[1.0, 1.1, 3.0]));
        assert!(sculpting(&many, &few).is_ok());
        assert!(matches!(sculpting(&few, &many), Err(Error::Setting { .. })));
        assert!(matches!(sculpting(&few, &histogram(&[])), Err(Error::NoEvents { .. })));
        assert!(ks_distance((&[], &[]), (&[1.0], &[])).is_err());
        assert!(ks_distance((&[f64::NAN], &[]), (&[1.0], &[])).is_err());
        assert!(ks_distance((&[1.0], &[0.0]), (&[1.0], &[])).is_err());
    }
}
