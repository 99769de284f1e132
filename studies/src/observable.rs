//! Histograms of an observable, with weights.
//!
//! Sums are exact, so parts of a sample can be filled anywhere and united in any order. What lies outside the
//! edges is kept: below, above. A bin has its lower edge and not its upper one, the last has both.

use crate::error::{Error, check};
use crate::rate::Interval;
use crate::spectrum::scaled_poisson;
use crate::weights::{ExactSum, check_weights};

/// A histogram of an observable.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    edges: Vec<f64>,
    /// Below the first edge, between edges, above the last.
    bins: Vec<Bin>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Bin {
    weight: ExactSum,
    squared: ExactSum,
}

/// Sum of the weights of a bin, and of their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Content {
    /// Σw.
    pub weight: f64,
    /// Σw².
    pub squared: f64,
}

impl Content {
    /// Number of equal events with the same relative error.
    #[must_use]
    pub fn effective_events(self) -> f64 {
        if self.weight > 0.0 { self.weight / (self.squared / self.weight) } else { 0.0 }
    }
}

impl Histogram {
    /// An empty histogram with bins between these edges.
    ///
    /// # Errors
    /// Fewer than two edges, or edges that do not ascend.
    pub fn new(edges: &[f64]) -> Result<Histogram, Error> {
        let n = edges.len() as f64;
        check(edges.len() >= 2, "number of edges", "at least 2", n)?;
        for pair in edges.windows(2) {
            let ascending = pair[0] < pair[1] && pair[0].is_finite() && pair[1].is_finite();
            check(ascending, "edge of a bin", "finite edges in ascending order", pair[1])?;
        }
        let bins = vec![Bin::default(); edges.len() + 1];
        Ok(Histogram { edges: edges.to_vec(), bins })
    }

    /// An empty histogram of `n` bins of the same width.
    ///
    /// # Errors
    /// No bins, or a range that is none.
    pub fn uniform(n: u32, min: f64, max: f64) -> Result<Histogram, Error> {
        check(n > 0, "number of bins", "at least 1", f64::from(n))?;
        let edge = |k: u32| min + (max - min) * (f64::from(k) / f64::from(n));
        Histogram::new(&(0..=n).map(edge).collect::<Vec<_>>())
    }

    /// Counts events that weigh the same.
    ///
    /// # Errors
    /// A value that is no number; nothing has been counted then.
    pub fn fill(&mut self, values: &[f64]) -> Result<(), Error> {
        self.fill_each(values, |_| 1.0)
    }

    /// Counts events with their weights.
    ///
    /// # Errors
    /// A value that is no number, lists of different lengths, negative or infinite weights; nothing
    /// has been counted then.
    pub fn fill_weighted(&mut self, values: &[f64], weights: &[f64]) -> Result<(), Error> {
        check_weights(values.len(), weights)?;
        self.fill_each(values, |event| weights[event])
    }

    fn fill_each(&mut self, values: &[f64], weight: impl Fn(usize) -> f64) -> Result<(), Error> {
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::Value { what: "observable", index });
        }
        let last = self.edges[self.edges.len() - 1];
        for (event, &value) in values.iter().enumerate() {
            let above = self.edges.partition_point(|&edge| edge <= value);
            // The last edge is in the last bin, as in numpy.
            let in_last = above == self.edges.len() && value <= last;
            let bin = &mut self.bins[above - usize::from(in_last)];
            let weight = weight(event);
            bin.weight.add(weight);
            bin.squared.add(weight * weight);
        }
        Ok(())
    }

    /// Counts what another has counted.
    ///
    /// # Errors
    /// Other edges.
    pub fn merge(&mut self, other: &Histogram) -> Result<(), Error> {
        self.check_edges(other)?;
        for (ours, theirs) in self.bins.iter_mut().zip(&other.bins) {
            ours.weight.merge(&theirs.weight);
            ours.squared.merge(&theirs.squared);
        }
        Ok(())
    }

    /// The edges, one more than there are bins.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Everything: below the first edge, the bins, above the last edge.
    #[must_use]
    pub fn contents(&self) -> Vec<Content> {
        let content =
            |bin: &Bin| Content { weight: bin.weight.value(), squared: bin.squared.value() };
        self.bins.iter().map(content).collect()
    }

    /// The bins with their Garwood intervals at 68.27 % (of the effective numbers of events).
    #[must_use]
    pub fn bins(&self) -> Vec<Interval> {
        let contents = self.contents();
        let total = total(&contents);
        let mean_weight = if total.weight > 0.0 { total.squared / total.weight } else { 1.0 };
        let inside = &contents[1..contents.len() - 1];
        inside.iter().map(|bin| scaled_poisson(bin.weight, bin.squared, mean_weight)).collect()
    }

    /// Refuses a histogram with other edges.
    pub(crate) fn check_edges(&self, other: &Histogram) -> Result<(), Error> {
        let (first, second) = (self.edges.len() - 1, other.edges.len() - 1);
        if self.edges == other.edges {
            return Ok(());
        }
        let hint = if first == second { " between other edges" } else { "" };
        Err(Error::Bins { first, second, hint })
    }
}

/// Sum of all bins.
pub(crate) fn total(contents: &[Content]) -> Content {
    let mut sums = (ExactSum::default(), ExactSum::default());
    for content in contents {
        sums.0.add(content.weight);
        sums.1.add(content.squared);
    }
    Content { weight: sums.0.value(), squared: sums.1.value() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(histogram: &Histogram) -> Vec<f64> {
        histogram.contents().iter().map(|content| content.weight).collect()
    }

    #[test]
    fn every_value_is_in_one_bin_and_none_is_lost() {
        let mut histogram = Histogram::new(&[0.0, 1.0, 2.0, 5.0]).unwrap();
        let values = [-1.0, 0.0, 0.5, 1.0, 4.9, 5.0, 5.1, f64::INFINITY, f64::NEG_INFINITY];
        histogram.fill(&values).unwrap();
        assert_eq!(weights(&histogram), [2.0, 2.0, 1.0, 2.0, 2.0]);
        histogram.fill_weighted(&[0.5, 7.0], &[0.25, 2.0]).unwrap();
        assert_eq!(weights(&histogram), [2.0, 2.25, 1.0, 2.0, 4.0]);
        assert_eq!(histogram.contents()[4], Content { weight: 4.0, squared: 6.0 });
        let uniform = Histogram::uniform(10, 0.0, 1.0).unwrap();
        assert_eq!((uniform.edges()[3], uniform.edges()[10]), (0.3, 1.0));
    }

    #[test]
    fn merging_in_any_order_gives_the_same_histogram() {
        let values: Vec<f64> = (0..1000).map(|k| f64::from(k * k % 997) / 50.0).collect();
        let weights: Vec<f64> = (0..1000).map(|k| 0.1 + f64::from(k % 7) * 0.3).collect();
        let empty = Histogram::uniform(13, 0.0, 18.0).unwrap();
        let mut whole = empty.clone();
        whole.fill_weighted(&values, &weights).unwrap();
        let mut merged = empty.clone();
        for (values, weights) in values.chunks(37).zip(weights.chunks(37)).rev() {
            let mut part = empty.clone();
            part.fill_weighted(values, weights).unwrap();
            merged.merge(&part).unwrap();
        }
        assert_eq!(merged, whole);
    }

    #[test]
    fn bins_have_the_intervals_of_counts() {
        let mut histogram = Histogram::new(&[0.0, 1.0, 2.0]).unwrap();
        histogram.fill(&[0.5; 10]).unwrap();
        let garwood = |n| crate::rate::garwood(n, crate::rate::ONE_SIGMA);
        assert_eq!(histogram.bins(), [garwood(10), garwood(0)]);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert!(Histogram::new(&[1.0]).is_err());
        assert!(Histogram::new(&[1.0, 1.0]).is_err());
        assert!(Histogram::uniform(5, 1.0, f64::NAN).is_err());
        assert!(Histogram::uniform(0, 0.0, 1.0).is_err());
        let mut histogram = Histogram::uniform(2, 0.0, 1.0).unwrap();
        let error = histogram.fill(&[0.5, f64::NAN]).unwrap_err();
        assert_eq!(error, Error::Value { what: "observable", index: 1 });
        assert!(histogram.fill_weighted(&[0.5], &[-1.0]).is_err());
        assert_eq!(weights(&histogram), [0.0; 4]);
        let other = Histogram::uniform(2, 0.0, 2.0).unwrap();
        let error = histogram.merge(&other).unwrap_err().to_string();
        assert!(error.contains("2 and 2 bins between other edges"), "{error}");
    }
}
