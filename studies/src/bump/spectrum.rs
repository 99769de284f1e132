//! What is fitted: counts between edges, or the events themselves.
//!
//! Both are one Poisson process: of bins the counts are known, of events the places. An **unbinned** spectrum keeps its
//! bins for pictures, pulls and the integral of the density (more points in each, so that no width of bins matters).

use statrs::function::erf::erf;

use super::fit::{Background, Fitted};
use crate::error::{Error, check};
use crate::rng::Stream;

/// Counts between edges, and for an unbinned fit the events that were counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    edges: Vec<f64>,
    counts: Vec<f64>,
    /// `[bin][point]`: where the density is integrated, and what a point counts for.
    points: Vec<Vec<(f64, f64)>>,
    /// Places of events by z, −1 to 1 over the spectrum; none in a binned fit.
    events: Option<Vec<f64>>,
}

/// A Gaussian of one event.
pub(super) struct Peak {
    /// Its part in each bin.
    pub(super) bins: Vec<f64>,
    /// Its density by z at each event of an unbinned fit.
    pub(super) events: Vec<f64>,
}

/// Points and weights of Gauss–Legendre integration on −1…1: exact to the fifth power.
const GAUSS: [(f64, f64); 3] =
    [(-0.774_596_669_241_483_4, 5.0 / 9.0), (0.0, 8.0 / 9.0), (0.774_596_669_241_483_4, 5.0 / 9.0)];

/// Unbinned densities are integrated in at least so many pieces: e^{10 z} then to 1e-11.
const PIECES_MIN: usize = 256;

/// A density within a bin exceeds its largest value at this many points by less than [`MARGIN`].
const BOUND_POINTS: u32 = 32;
const MARGIN: f64 = 1.05;

impl Spectrum {
    /// Counts between ascending edges.
    ///
    /// # Errors
    /// Edges that do not ascend, other than one more than counts, counts that are no counts, and a spectrum
    /// with fewer than four bins or no events.
    pub fn new(edges: &[f64], counts: &[f64]) -> Result<Spectrum, Error> {
        let n = counts.len();
        check(n >= 4, "number of bins", "at least 4", n as f64)?;
        if edges.len() != n + 1 {
            let (expected, found) = (n + 1, edges.len());
            return Err(Error::Length { what: "edges of bins", expected, found });
        }
        for pair in edges.windows(2) {
            let ascending = pair[0] < pair[1] && pair[0].is_finite() && pair[1].is_finite();
            check(ascending, "edge of a bin", "finite edges in ascending order", pair[1])?;
        }
        for &count in counts {
            check(count >= 0.0 && count.is_finite(), "count of a bin", "0 or more", count)?;
        }
        if counts.iter().sum::<f64>() <= 0.0 {
            return Err(Error::NoEvents { what: "events in the spectrum" });
        }
        let points = points(edges, 1);
        Ok(Spectrum { edges: edges.to_vec(), counts: counts.to_vec(), points, events: None })
    }

    /// Counts of events between ascending edges; those outside are left out.
    ///
    /// # Errors
    /// As [`Spectrum::new`], and values that are no numbers.
    pub fn counted(edges: &[f64], values: &[f64]) -> Result<Spectrum, Error> {
        let spectrum = Spectrum::unbinned(edges, values)?;
        Spectrum::new(&spectrum.edges, &spectrum.counts)
    }

    /// Events for an unbinned fit; those outside the edges are left out.
    ///
    /// # Errors
    /// As [`Spectrum::new`], and values that are no numbers.
    pub fn unbinned(edges: &[f64], values: &[f64]) -> Result<Spectrum, Error> {
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::Value { what: "values of events", index });
        }
        let n = edges.len().saturating_sub(1);
        let mut counts = vec![0.0; n];
        let mut inside = Vec::with_capacity(values.len());
        for &value in values {
            let above = edges.partition_point(|&edge| edge <= value);
            if (1..=n).contains(&above) {
                counts[above - 1] += 1.0;
                inside.push(value);
            }
        }
        let mut spectrum = Spectrum::new(edges, &counts)?;
        spectrum.points = points(edges, PIECES_MIN.div_ceil(n));
        spectrum.events = Some(inside.into_iter().map(|x| spectrum.z(x)).collect());
        Ok(spectrum)
    }

    /// The edges.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Whether events are fitted one by one.
    #[must_use]
    pub fn is_unbinned(&self) -> bool {
        self.events.is_some()
    }

    pub(super) fn points(&self) -> &[Vec<(f64, f64)>] {
        &self.points
    }

    /// Places of the events of an unbinned fit.
    pub(super) fn events(&self) -> Option<&[f64]> {
        self.events.as_deref()
    }

    pub(super) fn total(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// Half the width of the spectrum, which is 1 by z.
    fn half(&self) -> f64 {
        (self.edges[self.edges.len() - 1] - self.edges[0]) / 2.0
    }

    fn z(&self, x: f64) -> f64 {
        (x - self.edges[0]) / self.half() - 1.0
    }

    /// A Gaussian of one event; parts of it may lie outside.
    pub(super) fn peak(&self, mean: f64, width: f64) -> Peak {
        let below = |x: f64| 0.5 * (1.0 + erf((x - mean) / (width * std::f64::consts::SQRT_2)));
        let bins = self.edges.windows(2).map(|pair| below(pair[1]) - below(pair[0])).collect();
        let (centre, width) = (self.z(mean), width / self.half());
        let norm = 1.0 / (width * std::f64::consts::TAU.sqrt());
        let density = |&z: &f64| norm * (-0.5 * ((z - centre) / width).powi(2)).exp();
        let events = self.events().unwrap_or_default().iter().map(density).collect();
        Peak { bins, events }
    }

    /// Another measurement of what was fitted: counts are Poisson, events of an unbinned fit fall where the density
    /// puts them. None: nothing was measured.
    pub(super) fn toy(
        &self,
        background: Background,
        truth: &Fitted,
        stream: &mut Stream,
    ) -> Option<Spectrum> {
        let counts: Vec<f64> = truth.expected.iter().map(|&nu| stream.poisson(nu) as f64).collect();
        if counts.iter().sum::<f64>() <= 0.0 {
            return None;
        }
        let mut events = self.events.as_ref().map(|_| Vec::new());
        if let Some(events) = &mut events {
            for (pair, &n) in self.edges.windows(2).zip(&counts) {
                let (from, to) = (self.z(pair[0]), self.z(pair[1]));
                let density = |z| background.density(&truth.coefficients, z).max(0.0);
                let place = |k| from + (to - from) * f64::from(k) / f64::from(BOUND_POINTS);
                let largest = (0..=BOUND_POINTS).map(|k| density(place(k))).fold(0.0, f64::max);
                for _ in 0..n as u64 {
                    events.push(loop {
                        let z = from + (to - from) * stream.uniform();
                        if MARGIN * largest * stream.uniform() < density(z) {
                            break z;
                        }
                    });
                }
            }
        }
        Some(Spectrum { counts, events, ..self.clone() })
    }
}

/// Where to integrate: densities are by z, in which the whole spectrum is 2 wide.
fn points(edges: &[f64], pieces: usize) -> Vec<Vec<(f64, f64)>> {
    let (from, to) = (edges[0], edges[edges.len() - 1]);
    let bin = |pair: &[f64]| {
        let half = (pair[1] - pair[0]) / 2.0 / pieces as f64;
        let piece = |k: usize| {
            let centre = pair[0] + half * (2 * k + 1) as f64;
            GAUSS.map(|(x, weight)| {
                let z = 2.0 * (centre + half * x - from) / (to - from) - 1.0;
                (z, weight * half * 2.0 / (to - from))
            })
        };
        (0..pieces).flat_map(piece).collect()
    };
    edges.windows(2).map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Vec<f64> {
        (0..=10).map(|k| 5.0 + f64::from(k)).collect()
    }

    #[test]
    fn events_are_counted_between_the_edges_and_lie_where_they_were() {
        let spectrum = Spectrum::unbinned(&edges(), &[4.9, 5.0, 9.999, 10.0, 14.9, 15.0]).unwrap();
        let mut expected = [0.0; 10];
        for bin in [0, 4, 5, 9] {
            expected[bin] = 1.0;
        }
        assert_eq!(spectrum.counts(), expected);
        let events = spectrum.events().unwrap();
        assert_eq!(events.len(), 4);
        assert!((events[0] + 1.0).abs() < 1e-15 && events[2].abs() < 1e-15, "{events:?}");
        assert!(Spectrum::unbinned(&edges(), &[f64::NAN]).is_err());
        assert!(Spectrum::unbinned(&edges(), &[100.0]).unwrap_err().to_string().contains("none"));
        assert!(Spectrum::unbinned(&[], &[1.0]).is_err());
    }

    #[test]
    fn a_peak_has_one_event_by_bins_and_by_density() {
        // So many events that a sum over them is an integral.
        let n = 20_000;
        let values: Vec<f64> = (0..n).map(|k| 5.0 + 10.0 * (f64::from(k) + 0.5) / 2e4).collect();
        let spectrum = Spectrum::unbinned(&edges(), &values).unwrap();
        let peak = spectrum.peak(9.0, 0.7);
        assert!((peak.bins.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        let sum = peak.events.iter().sum::<f64>() * 2.0 / f64::from(n);
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn toys_fall_where_the_density_puts_them() {
        let background = Background::Exponential { degree: 1 };
        let seed = Spectrum::unbinned(&edges(), &[6.0]).unwrap();
        let coefficients = vec![8.0, -2.0];
        // e^8 ∫ e^{-2z} over each bin, 0.2 wide.
        let integral = |z: f64| -0.5 * (8.0 - 2.0 * z).exp();
        let expected: Vec<f64> = (0..10)
            .map(|k| -1.0 + 0.2 * f64::from(k))
            .map(|z| integral(z + 0.2) - integral(z))
            .collect();
        let truth =
            Fitted { coefficients, expected, signal: 0.0, signal_error: 0.0, deviance: 0.0 };
        let toy = seed.toy(background, &truth, &mut Stream::of(3, 0)).unwrap();
        let mut events = toy.events().unwrap().to_vec();
        events.sort_by(f64::total_cmp);
        let (n, all) = (events.len() as f64, truth.expected.iter().sum::<f64>());
        assert!((n - all).abs() < 5.0 * all.sqrt(), "{n} {all}");
        let below = |z: f64| (integral(z) - integral(-1.0)) / all;
        let steps = events.iter().enumerate();
        let distance = steps.map(|(k, &z)| (below(z) - k as f64 / n).abs()).fold(0.0, f64::max);
        // Kolmogorov: a distance of 2.6 / √n has a probability of 2.7e-6.
        assert!(distance < 2.6 / n.sqrt(), "{distance} of {n}");
        let nothing = Fitted { expected: vec![0.0; 10], ..truth };
        assert!(seed.toy(background, &nothing, &mut Stream::of(3, 0)).is_none());
    }
}
