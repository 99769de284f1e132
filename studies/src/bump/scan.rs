//! The scan over means, and toys of it.

use super::fit::{Background, Fitted};
use super::spectrum::Spectrum;
use crate::error::{Error, check};
use crate::rng::Stream;

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Shape of the background.
    pub background: Background,
    /// Means of the Gaussian.
    pub means: Vec<f64>,
    /// Its standard deviation.
    pub width: f64,
}

/// A signal at one mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hypothesis {
    /// The mean.
    pub mean: f64,
    /// Signal events that fit best; 0 where less than the background is seen.
    pub signal: f64,
    /// Their standard error.
    pub signal_error: f64,
    /// 2 ln(L₁ / L₀).
    pub q0: f64,
}

impl Hypothesis {
    /// Significance if this mean had been the only one: √q₀.
    #[must_use]
    pub fn z_local(&self) -> f64 {
        self.q0.sqrt()
    }
}

/// A scanned spectrum.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned {
    /// The background alone.
    pub null: Fitted,
    /// One for each mean.
    pub hypotheses: Vec<Hypothesis>,
    /// The fit at the mean with the largest q₀; none where no mean has an excess.
    pub best: Option<(Hypothesis, Fitted)>,
}

impl Scanned {
    /// The largest q₀.
    #[must_use]
    pub fn largest_q0(&self) -> f64 {
        self.best.as_ref().map_or(0.0, |(hypothesis, _)| hypothesis.q0)
    }

    /// (n − ν) / √ν of each bin, for the background alone.
    #[must_use]
    pub fn pulls(&self, spectrum: &Spectrum) -> Vec<f64> {
        let bins = spectrum.counts().iter().zip(&self.null.expected);
        bins.map(|(n, nu)| (n - nu) / nu.max(1e-6).sqrt()).collect()
    }
}

impl Scan {
    /// Means from one to another in steps of half the width: closer ones are nearly the same test.
    ///
    /// # Errors
    /// A width that is not above zero, a range that is none, and more than 10 000 steps.
    pub fn new(background: Background, from: f64, to: f64, width: f64) -> Result<Scan, Error> {
        let positive = width > 0.0 && width.is_finite();
        check(positive, "width of the bump", "a number above zero", width)?;
        check(from <= to && (to - from).is_finite(), "end of the scan", "not below its begin", to)?;
        let steps = (2.0 * (to - from) / width).ceil().max(1.0);
        check(steps <= 10_000.0, "steps of the scan", "at most 10000", steps)?;
        let mean = |k: u32| from + (to - from) * f64::from(k) / steps;
        Ok(Scan { background, means: (0..=steps as u32).map(mean).collect(), width })
    }

    /// Scans a spectrum.
    ///
    /// # Errors
    /// No means, and a minimum that is not reached, anywhere.
    pub fn run(&self, spectrum: &Spectrum) -> Result<Scanned, Error> {
        if self.means.is_empty() {
            return Err(Error::NoEvents { what: "means to scan" });
        }
        let null = spectrum.fit(self.background)?;
        let mut hypotheses = Vec::with_capacity(self.means.len());
        let mut best: Option<(Hypothesis, Fitted)> = None;
        for &mean in &self.means {
            let peak = spectrum.peak(mean, self.width);
            let fit = spectrum.fit_signal(self.background, &peak, &null)?;
            let (signal, signal_error, q0) = fit.as_ref().map_or((0.0, 0.0, 0.0), |fit| {
                // Minima may differ by what a tolerance is.
                (fit.signal, fit.signal_error, (null.deviance - fit.deviance).max(0.0))
            });
            let hypothesis = Hypothesis { mean, signal, signal_error, q0 };
            hypotheses.push(hypothesis);
            if let Some(fit) = fit
                && best.as_ref().is_none_or(|(best, _)| q0 > best.q0)
            {
                best = Some((hypothesis, fit));
            }
        }
        Ok(Scanned { null, hypotheses, best })
    }

    /// The largest q₀ of a toy of `truth`, a fit of this spectrum; NaN if a fit of the toy did not converge, which
    /// is for whoever counts toys to count.
    ///
    /// # Errors
    /// What [`Scan::run`] refuses of any spectrum.
    pub fn toy(
        &self,
        spectrum: &Spectrum,
        truth: &Fitted,
        rng_seed: u64,
        number: u64,
    ) -> Result<f64, Error> {
        let mut stream = Stream::of(rng_seed, number);
        // Nothing is no excess.
        let Some(toy) = spectrum.toy(self.background, truth, &mut stream) else { return Ok(0.0) };
        self.largest_q0(&toy)
    }

    /// The largest q₀ of a spectrum; NaN if a fit did not converge.
    ///
    /// # Errors
    /// What [`Scan::run`] refuses of any spectrum.
    pub fn largest_q0(&self, spectrum: &Spectrum) -> Result<f64, Error> {
        match self.run(spectrum) {
            Ok(scanned) => Ok(scanned.largest_q0()),
            Err(Error::NotConverged { .. }) => Ok(f64::NAN),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPONENTIAL: Background = Background::Exponential { degree: 2 };

    fn edges() -> Vec<f64> {
        (0..=40).map(|k| 100.0 + 20.0 * f64::from(k)).collect()
    }

    /// Expected counts of a falling background and a peak at 500.
    fn expected(signal: f64) -> Vec<f64> {
        let empty = Spectrum::new(&edges(), &[1.0; 40]).unwrap();
        let peak = empty.peak(500.0, 25.0).bins;
        let falling = |k: usize| 20_000.0 * (-(k as f64) / 6.0).exp();
        peak.iter().enumerate().map(|(k, peak)| falling(k) + signal * peak).collect()
    }

    fn spectrum(signal: f64, number: u64) -> Spectrum {
        let mut stream = Stream::of(51, number);
        let counts: Vec<f64> =
            expected(signal).into_iter().map(|nu| stream.poisson(nu) as f64).collect();
        Spectrum::new(&edges(), &counts).unwrap()
    }

    fn scan() -> Scan {
        Scan::new(EXPONENTIAL, 200.0, 800.0, 25.0).unwrap()
    }

    #[test]
    fn an_injected_peak_is_found_where_it_is_with_its_size() {
        let scanned = scan().run(&spectrum(600.0, 0)).unwrap();
        let (best, fit) = scanned.best.as_ref().unwrap();
        assert!((best.mean - 500.0).abs() <= 25.0, "{best:?}");
        assert!((best.signal - 600.0).abs() < 4.0 * best.signal_error, "{best:?}");
        assert!(best.z_local() > 4.0 && fit.deviance < scanned.null.deviance, "{best:?}");
        // Of the expected counts: s / √b around the peak.
        assert!((best.q0.sqrt() / (best.signal / best.signal_error) - 1.0).abs() < 0.2, "{best:?}");
        let largest = scanned.hypotheses.iter().map(|h| h.q0).fold(0.0, f64::max);
        assert!(largest.total_cmp(&scanned.largest_q0()).is_eq());
        assert!(scanned.pulls(&spectrum(600.0, 0)).iter().any(|pull| *pull > 3.0));
    }

    /// Sixty spectra with a signal of this size at 500.
    fn assert_pulls_are_normal(spectrum: impl Fn(f64, u64) -> Spectrum, signal: f64) {
        let (mut sum, mut squares, n) = (0.0, 0.0, 60);
        let at_peak = Scan { means: vec![500.0], ..scan() };
        for number in 0..n {
            let scanned = at_peak.run(&spectrum(signal, 100 + number)).unwrap();
            let (best, _) = scanned.best.unwrap();
            let pull = (best.signal - signal) / best.signal_error;
            sum += pull;
            squares += pull * pull;
        }
        let (mean, n) = (sum / n as f64, n as f64);
        // Five standard deviations of mean and variance.
        assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
        assert!((squares / n - 1.0).abs() < 5.0 * f64::sqrt(2.0 / n), "{}", squares / n);
    }

    #[test]
    fn fitted_signals_have_pulls_of_a_normal_distribution() {
        assert_pulls_are_normal(spectrum, 300.0);
    }

    #[test]
    fn without_a_signal_q0_is_half_a_chi_squared_and_a_scan_looks_elsewhere() {
        let at_peak = Scan { means: vec![500.0], ..scan() };
        let toys = 200;
        let (mut zeros, mut above, mut above_anywhere) = (0, 0, 0);
        let data = spectrum(0.0, 7);
        let truth = Fitted { expected: expected(0.0), ..data.fit(EXPONENTIAL).unwrap() };
        for number in 0..toys {
            let one = at_peak.toy(&data, &truth, 61, number).unwrap();
            assert!(one.is_finite());
            zeros += u32::from(one == 0.0);
            above += u32::from(one > 1.0);
        }
        let wide = Scan { means: (0..13).map(|k| 200.0 + 50.0 * f64::from(k)).collect(), ..scan() };
        for number in 0..60 {
            let all = wide.toy(&data, &truth, 62, number).unwrap();
            above_anywhere += u32::from(all > 1.0);
        }
        // Half of the toys are below the background; 15.9 % are a standard deviation above: 32 ± 5.
        assert!((70..130).contains(&zeros), "{zeros}");
        assert!((10..58).contains(&above), "{above}");
        // Among thirteen places more than half have one.
        assert!(above_anywhere > 30, "{above_anywhere}");
    }

    /// The same spectrum, event by event: in each of many narrow bins at its centre.
    fn unbinned(signal: f64, number: u64) -> Spectrum {
        let fine: Vec<f64> = (0..=8000).map(|k| 100.0 + 0.1 * f64::from(k)).collect();
        let empty = Spectrum::new(&fine, &[1.0; 8000]).unwrap();
        let mut stream = Stream::of(52, number);
        let mut values = Vec::new();
        for (k, peak) in empty.peak(500.0, 25.0).bins.iter().enumerate() {
            let falling = 100.0 * (-((k as f64 + 0.5) / 200.0) / 6.0).exp();
            let n = stream.poisson(0.04 * falling + signal * peak);
            values.extend((0..n).map(|_| fine[k] + 0.05));
        }
        Spectrum::unbinned(&edges(), &values).unwrap()
    }

    #[test]
    fn an_unbinned_fit_finds_the_peak_and_is_the_limit_of_narrow_bins() {
        let events = unbinned(200.0, 0);
        let found = scan().run(&events).unwrap();
        let (best, fit) = found.best.as_ref().unwrap();
        assert!((best.mean - 500.0).abs() <= 25.0 && best.z_local() > 4.0, "{best:?}");
        assert!((best.signal - 200.0).abs() < 4.0 * best.signal_error, "{best:?}");
        // Its expectations are counts of its bins, for pulls and pictures.
        assert!((fit.expected.iter().sum::<f64>() / events.total() - 1.0).abs() < 1e-3);
        // Bins of 0.5, a fiftieth of the width: what they hide changes S by far less than its error.
        let fine: Vec<f64> = (0..=1600).map(|k| 100.0 + 0.5 * f64::from(k)).collect();
        let half = (f64::from(800_u16)) / 2.0;
        let xs = events.events().unwrap().iter().map(|z| 100.0 + (z + 1.0) * half);
        let counted = Spectrum::unbinned(&fine, &xs.collect::<Vec<_>>()).unwrap();
        let binned = Spectrum::new(&fine, counted.counts()).unwrap();
        let binned = scan().run(&binned).unwrap();
        let (other, _) = binned.best.unwrap();
        assert!(
            (other.signal - best.signal).abs() < 0.02 * best.signal_error,
            "{other:?} {best:?}"
        );
        assert!((other.signal_error / best.signal_error - 1.0).abs() < 0.1, "{other:?} {best:?}");
        assert!((other.q0 - best.q0).abs() < 0.02 * best.q0, "{other:?} {best:?}");
    }

    #[test]
    fn signals_of_unbinned_fits_have_pulls_of_a_normal_distribution() {
        assert_pulls_are_normal(unbinned, 100.0);
    }

    #[test]
    fn unbinned_toys_of_the_background_alone_have_a_local_q0_of_half_a_chi_squared() {
        let data = unbinned(0.0, 7);
        let truth = data.fit(EXPONENTIAL).unwrap();
        let at_peak = Scan { means: vec![500.0], ..scan() };
        let (mut zeros, mut above) = (0, 0);
        for number in 0..200 {
            let one = at_peak.toy(&data, &truth, 63, number).unwrap();
            zeros += u32::from(one == 0.0);
            above += u32::from(one > 1.0);
        }
        // 100 ± 7 and 32 ± 5.
        assert!((65..135).contains(&zeros) && (7..58).contains(&above), "{zeros} {above}");
    }

    #[test]
    fn a_polynomial_fits_a_gently_falling_spectrum() {
        let counts: Vec<f64> = (0..20).map(|k| (1000.0 - 40.0 * f64::from(k)).round()).collect();
        let edges: Vec<f64> = (0..=20).map(f64::from).collect();
        let spectrum = Spectrum::new(&edges, &counts).unwrap();
        let fit = spectrum.fit(Background::Polynomial { degree: 1 }).unwrap();
        assert!(fit.deviance < 1e-3, "{fit:?}");
        assert!((fit.expected[3] - counts[3]).abs() < 0.5);
    }

    #[test]
    fn what_is_no_spectrum_is_refused() {
        let edges: Vec<f64> = (0..=5).map(f64::from).collect();
        assert!(Spectrum::new(&edges, &[1.0; 4]).is_err());
        assert!(Spectrum::new(&edges, &[0.0; 5]).unwrap_err().to_string().contains("found none"));
        assert!(Spectrum::new(&edges, &[1.0, -1.0, 0.0, 0.0, 0.0]).is_err());
        let few = Spectrum::new(&edges, &[5.0; 5]).unwrap();
        assert!(few.fit(Background::Exponential { degree: 7 }).is_err());
        assert!(Scan::new(EXPONENTIAL, 0.0, 1.0, 0.0).is_err());
        assert!(Scan::new(EXPONENTIAL, 1.0, 0.0, 1.0).is_err());
    }
}
