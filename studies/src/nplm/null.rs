//! From statistics of toys to significances.
//!
//! Where there is no signal t follows some distribution, which toys sample. If a χ² describes it, its degrees of
//! freedom are fitted and the p-value of an observed t is the tail of that χ², which reaches beyond the toys;
//! otherwise it is the fraction of toys at least as large. Z = Φ⁻¹(1 − p).
//! **Source**: M. Letizia et al., EPJC 82 (2022) 879, section 3.4 and appendix C.

use statrs::distribution::{ContinuousCDF as _, Normal};
use statrs::function::gamma::gamma_ur;

use crate::error::{Error, check};
use crate::rate::{Interval, ONE_SIGMA, clopper_pearson};
use crate::rng::Stream;
use crate::sculpting::ks_probability;

/// The χ² that describes the statistics of toys without signal.
#[derive(Clone, Debug, PartialEq)]
pub struct ChiSquared {
    /// Degrees of freedom with the smallest Kolmogorov–Smirnov distance.
    pub dof: f64,
    /// Their standard error, from resampled toys.
    pub dof_error: f64,
    /// The distance.
    pub ks_distance: f64,
    /// Probability of a larger one, were it this χ²; too large by little, as the dof was fitted.
    pub ks_p_value: f64,
}

/// The scan spans the median ± 10.
const DOF_RANGE: f64 = 10.0;
const RESAMPLES: u64 = 100;
/// Below this the KS test is no help.
const MIN_TOYS: usize = 10;

impl ChiSquared {
    /// The χ² with these degrees of freedom, known beforehand.
    ///
    /// # Errors
    /// Too few toys, statistics that are no numbers, dof not above zero.
    pub fn with_dof(null: &[f64], dof: f64) -> Result<ChiSquared, Error> {
        check(dof > 0.0 && dof.is_finite(), "degrees of freedom", "a number above zero", dof)?;
        let sorted = sorted(null)?;
        let ks_distance = distance(&sorted, dof);
        let ks_p_value = one_sample_probability(ks_distance, sorted.len());
        Ok(ChiSquared { dof, dof_error: 0.0, ks_distance, ks_p_value })
    }

    /// The χ² that is closest: degrees of freedom within the median ± 10, as published, to 0.01.
    ///
    /// # Errors
    /// Fewer than ten toys, and statistics that are no numbers.
    pub fn fit(null: &[f64], rng_seed: u64) -> Result<ChiSquared, Error> {
        let sorted = sorted(null)?;
        let dof = best_dof(&sorted);
        let dof_error = resampled_error(&sorted, Stream::of(rng_seed, 0), best_dof);
        let fitted = ChiSquared::with_dof(&sorted, dof)?;
        Ok(ChiSquared { dof_error, ..fitted })
    }

    /// Probability of a statistic at least as large.
    #[must_use]
    pub fn p_value(&self, t: f64) -> f64 {
        if t > 0.0 { gamma_ur(self.dof / 2.0, t / 2.0) } else { 1.0 }
    }

    /// Its significance; beyond what numbers hold, that of the smallest.
    #[must_use]
    pub fn z_score(&self, t: f64) -> f64 {
        z_from_p(self.p_value(t))
    }
}

fn sorted(null: &[f64]) -> Result<Vec<f64>, Error> {
    let n = null.len();
    check(n >= MIN_TOYS, "number of toys without signal", "at least 10", n as f64)?;
    if let Some(index) = null.iter().position(|t| t.is_nan()) {
        return Err(Error::Value { what: "statistics of toys", index });
    }
    let mut sorted = null.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

fn best_dof(sorted: &[f64]) -> f64 {
    let median = quantile(sorted, 0.5);
    let mut best = (f64::INFINITY, 1.0);
    let mut scan = |from: f64, step: f64, n: i32| {
        for k in 0..=n {
            let dof = from + step * f64::from(k);
            if dof > 0.0 {
                let distance = distance(sorted, dof);
                if distance < best.0 {
                    best = (distance, dof);
                }
            }
        }
        best.1
    };
    // The χ² below any t falls as the dof grows, so the distance is the larger of a falling and a rising
    // function: it has one minimum, and coarse steps find the place of the fine ones.
    let dof = scan((median - DOF_RANGE).max(0.0), 1.0, 2 * DOF_RANGE as i32);
    let dof = scan(dof - 1.0, 0.1, 20);
    scan(dof - 0.1, 0.01, 20)
}

/// Kolmogorov–Smirnov distance of sorted values to a χ².
fn distance(sorted: &[f64], dof: f64) -> f64 {
    let n = sorted.len() as f64;
    let mut largest = 0.0_f64;
    for (k, &t) in sorted.iter().enumerate() {
        let below = if t > 0.0 { 1.0 - gamma_ur(dof / 2.0, t / 2.0) } else { 0.0 };
        largest = largest.max(below - k as f64 / n).max((k + 1) as f64 / n - below);
    }
    largest
}

/// Probability of a larger distance of a sample to a distribution that was not fitted to it.
/// **Source**: the limit with the correction for finite n of M. Stephens, J. Royal Stat. Soc. B 32
/// (1970) 115.
pub(crate) fn one_sample_probability(distance: f64, n: usize) -> f64 {
    let root = (n as f64).sqrt();
    let corrected = distance * (root + 0.12 + 0.11 / root) / root;
    // A second sample so large that it is a distribution.
    ks_probability(corrected, n as f64, 1e200)
}

/// Φ⁻¹(1 − p).
#[must_use]
pub fn z_from_p(p: f64) -> f64 {
    // Accurate where p is small, as 1 − p is not.
    -Normal::standard().inverse_cdf(p.clamp(1e-300, 1.0 - 1e-16))
}

/// The fraction of toys without signal that are at least as large, with its Clopper–Pearson interval
/// at 68.27 %.
#[must_use]
pub fn empirical_p_value(null: &[f64], t: f64) -> Interval {
    let larger = null.iter().filter(|&&toy| toy >= t).count();
    clopper_pearson(larger as u64, null.len() as u64, ONE_SIGMA)
}

/// The quantile of sorted values, between neighbours by distance (numpy's default).
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len().max(1) - 1) as f64;
    let (low, part) = (place.floor(), place.fract());
    let at = |k: f64| sorted.get(k as usize).copied().unwrap_or(f64::NAN);
    if part == 0.0 { at(low) } else { at(low) + part * (at(low + 1.0) - at(low)) }
}

/// Median and 68.27 % band of values; `error` is that of the median, from resampled values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Half of the values are below.
    pub median: f64,
    /// 15.87 % are below.
    pub low: f64,
    /// 15.87 % are above.
    pub high: f64,
    /// Standard error of the median.
    pub error: f64,
}

impl Band {
    /// The band of some values, not sorted.
    ///
    /// # Errors
    /// No values, and values that are no numbers.
    pub fn of(values: &[f64], rng_seed: u64) -> Result<Band, Error> {
        if values.is_empty() {
            return Err(Error::NoEvents { what: "toys" });
        }
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::Value { what: "toys", index });
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let tail = (1.0 - ONE_SIGMA) / 2.0;
        let mut stream = Stream::of(rng_seed, 1);
        let n = sorted.len();
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut drawn: Vec<f64> =
                    (0..n).map(|_| sorted[stream.below(n as u64) as usize]).collect();
                drawn.sort_by(f64::total_cmp);
                quantile(&drawn, 0.5)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        Ok(Band {
            median: quantile(&sorted, 0.5),
            low: quantile(&sorted, tail),
            high: quantile(&sorted, 1.0 - tail),
            error: (quantile(&medians, 1.0 - tail) - quantile(&medians, tail)) / 2.0,
        })
    }
}

/// Standard error of what is fitted to sorted values: its spread over samples drawn from them.
pub(crate) fn resampled_error(
    sorted: &[f64],
    mut stream: Stream,
    fit: impl Fn(&[f64]) -> f64,
) -> f64 {
    let n = sorted.len();
    let (mut mean, mut squares) = (0.0, 0.0);
    for k in 0..RESAMPLES {
        let mut drawn: Vec<f64> = (0..n).map(|_| sorted[stream.below(n as u64) as usize]).collect();
        drawn.sort_by(f64::total_cmp);
        let deviation = fit(&drawn) - mean;
        mean += deviation / (k + 1) as f64;
        squares += deviation * deviation * k as f64 / (k + 1) as f64;
    }
    (squares / (RESAMPLES - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// χ² numbers: sums of squares.
    fn chi_squared(dof: u64, n: u64) -> Vec<f64> {
        let mut stream = Stream::of(21, dof);
        (0..n).map(|_| (0..dof).map(|_| stream.normal().powi(2)).sum()).collect()
    }

    #[test]
    fn the_degrees_of_freedom_of_chi_squared_numbers_are_found() {
        for dof in [3, 10, 13] {
            let null = chi_squared(dof, 800);
            let found = ChiSquared::fit(&null, 1).unwrap();
            // Of the mean alone: √(2 dof / n).
            let error = f64::sqrt(2.0 * dof as f64 / 800.0);
            assert!((found.dof - dof as f64).abs() < 5.0 * error, "{found:?}");
            assert!((0.5..3.0).contains(&(found.dof_error / error)), "{found:?}");
            assert!(found.ks_p_value > 1e-3, "{found:?}");
            let wrong = ChiSquared::with_dof(&null, dof as f64 + 3.0).unwrap();
            assert!(wrong.ks_p_value < 1e-4, "{wrong:?}");
        }
    }

    #[test]
    fn significances_are_those_of_the_normal_distribution() {
        // scipy.stats.norm.isf.
        for (p, z) in [(0.5, 0.0), (0.15865525393145707, 1.0), (2.866515719235352e-7, 5.0)] {
            assert!((z_from_p(p) - z).abs() < 1e-9, "{p}: {}", z_from_p(p));
        }
        assert!((z_from_p(1e-100) - 21.273453560958967).abs() < 1e-6);
        assert!(z_from_p(0.0).is_finite() && z_from_p(1.0).is_finite());
        // scipy.stats.chi2.sf(30.52, 13): Z = 2.65 is what the published toys have.
        let published = ChiSquared { dof: 13.0, dof_error: 0.0, ks_distance: 0.0, ks_p_value: 1.0 };
        assert!((published.p_value(30.52) - 0.003_960_744_971_253_744).abs() < 1e-12);
        assert!(published.p_value(-3.0) > 0.999_999);
    }

    #[test]
    fn the_empirical_p_value_counts() {
        let null = [1.0, 2.0, 3.0, 4.0];
        assert!((empirical_p_value(&null, 3.0).value - 0.5).abs() < 1e-15);
        let none = empirical_p_value(&null, 5.0);
        assert!(none.value == 0.0 && none.high > 0.0);
    }

    #[test]
    fn bands_are_quantiles() {
        let values: Vec<f64> = (0..=1000).rev().map(f64::from).collect();
        let band = Band::of(&values, 1).unwrap();
        assert!((band.median - 500.0).abs() < 1e-12);
        assert!((band.low - 158.66).abs() < 0.01 && (band.high - 841.34).abs() < 0.01);
        // 1 / (2 p √n) for the density p at the median.
        assert!((band.error / 15.8 - 1.0).abs() < 0.4, "{band:?}");
        assert!(Band::of(&[], 1).is_err() && Band::of(&[f64::NAN], 1).is_err());
        assert!((quantile(&[1.0], 0.3) - 1.0).abs() < 1e-15);
    }
}
