//! The look-elsewhere effect beyond what toys can count.
//!
//! q₀ along a scan without signal is half a χ² at each mean, and crosses a high level upwards N e^{−c/2} times on
//! average, where N depends on the scan alone. Taken for independent, crossings leave the scan below c with the
//! probability
//!
//! F(c) = (1 − ½ P(χ²₁ > c)) exp(−N e^{−c/2}),
//!
//! of which 1 − F is the global p-value of the largest q₀. Crossings of low levels are not independent, so N is fitted to
//! the largest quarter of toys, with the smallest Kolmogorov–Smirnov distance there. (Of 3000 toys of a fitted
//! spectrum in 27 steps N is 1.84 so, and 2.48 from all of them; the level that 1 % of toys exceed is then 10.54 and
//! 11.11, and that of the toys 10.42.)
//! **Source**: E. Gross, O. Vitells, EPJC 70 (2010) 525, eqs. 3 and 5; their bound is 1 − F where that is small.

use statrs::function::erf::erfc;

use crate::error::{Error, check};
use crate::nplm::null::{one_sample_probability, resampled_error, z_from_p};
use crate::rng::Stream;

/// How the largest q₀ of a scan without signal is distributed.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere {
    /// N: upward crossings of the level 0, were they as rare there as high up.
    pub upcrossings: f64,
    /// Its standard error, from resampled toys.
    pub upcrossings_error: f64,
    /// The Kolmogorov–Smirnov distance over the largest quarter.
    pub ks_distance: f64,
    /// Probability of a larger one over all toys, were this the distribution: too large, as a quarter has less room and
    /// N was fitted.
    pub ks_p_value: f64,
}

/// The scan of ln N: from one place in 150 to 20 000 places.
const LOG_RANGE: (f64, f64) = (-5.0, 10.0);

impl Elsewhere {
    /// Fits N to the largest q₀ of toys; toys whose fits failed may be infinite.
    ///
    /// # Errors
    /// Fewer than ten toys, values that are no numbers, and more than one failed toy in twenty: where those lie
    /// decides what is fitted.
    pub fn fit(largest: &[f64], rng_seed: u64) -> Result<Elsewhere, Error> {
        let n = largest.len();
        check(n >= 10, "number of toys without signal", "at least 10", n as f64)?;
        if let Some(index) = largest.iter().position(|q| q.is_nan()) {
            return Err(Error::Value { what: "toys", index });
        }
        let failed = largest.iter().filter(|q| q.is_infinite()).count();
        if failed * 20 > n {
            return Err(Error::ToysFailed { failed, toys: n });
        }
        let mut sorted = largest.to_vec();
        sorted.sort_by(f64::total_cmp);
        let best = closest(&sorted);
        let ks_distance = distance(&sorted, best);
        Ok(Elsewhere {
            upcrossings: best,
            upcrossings_error: resampled_error(&sorted, Stream::of(rng_seed, 2), closest),
            ks_distance,
            ks_p_value: one_sample_probability(ks_distance, n),
        })
    }

    /// Probability that the largest q₀ of a scan without signal is at least this.
    #[must_use]
    pub fn p_value(&self, q0: f64) -> f64 {
        if q0 <= 0.0 {
            return 1.0;
        }
        // Written so that small ones keep their digits.
        let (crossings, here) = (self.upcrossings * (-0.5 * q0).exp(), half_chi_squared(q0));
        -(-crossings).exp_m1() + here * (-crossings).exp()
    }

    /// Its significance.
    #[must_use]
    pub fn z_score(&self, q0: f64) -> f64 {
        z_from_p(self.p_value(q0))
    }
}

/// ½ P(χ²₁ > q).
fn half_chi_squared(q: f64) -> f64 {
    0.5 * erfc((0.5 * q).sqrt())
}

/// F.
fn below(upcrossings: f64, q: f64) -> f64 {
    (1.0 - half_chi_squared(q)) * (-upcrossings * (-0.5 * q).exp()).exp()
}

/// Kolmogorov–Smirnov distance over the largest quarter of sorted values.
fn distance(sorted: &[f64], upcrossings: f64) -> f64 {
    let n = sorted.len() as f64;
    let upper = sorted.iter().enumerate().skip(sorted.len() * 3 / 4);
    upper.fold(0.0, |largest, (k, &q)| {
        let below = below(upcrossings, q);
        largest.max(below - k as f64 / n).max((k + 1) as f64 / n - below)
    })
}

/// N of the smallest distance.
fn closest(sorted: &[f64]) -> f64 {
    // F falls as N grows, so the distance has one minimum, and coarse steps find the place of fine ones.
    let (mut from, mut to) = LOG_RANGE;
    let mut best = (f64::INFINITY, from);
    for _ in 0..3 {
        let step = (to - from) / 30.0;
        for k in 0..=30 {
            let log = from + step * f64::from(k);
            let found = distance(sorted, log.exp());
            if found < best.0 {
                best = (found, log);
            }
        }
        (from, to) = (best.1 - step, best.1 + step);
    }
    best.1.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest of so many independent places, each half a χ² of one degree.
    fn places(n_places: u64, n: u64) -> Vec<f64> {
        let one = |stream: &mut Stream| {
            let z = stream.normal().max(0.0);
            z * z
        };
        let toy = |number| {
            let mut stream = Stream::of(n_places, number);
            (0..n_places).map(|_| one(&mut stream)).fold(0.0, f64::max)
        };
        (0..n).map(toy).collect()
    }

    #[test]
    fn too_many_toys_that_failed_are_refused_and_few_are_not() {
        let mut toys = places(20, 100);
        toys[..5].fill(f64::INFINITY);
        assert!(Elsewhere::fit(&toys, 1).is_ok());
        toys[5] = f64::INFINITY;
        let error = Elsewhere::fit(&toys, 1).unwrap_err();
        assert_eq!(error, Error::ToysFailed { failed: 6, toys: 100 });
    }

    #[test]
    fn one_place_has_no_elsewhere_and_the_local_significance() {
        let found = Elsewhere::fit(&places(1, 1000), 1).unwrap();
        assert!(found.upcrossings < 0.1, "{found:?}");
        let alone = Elsewhere { upcrossings: 0.0, ..found };
        assert!((alone.z_score(9.0) - 3.0).abs() < 1e-9, "{}", alone.z_score(9.0));
        assert!((alone.p_value(0.0) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn the_p_value_is_one_less_the_distribution_where_that_has_digits() {
        let few = Elsewhere {
            upcrossings: 7.0,
            upcrossings_error: 0.0,
            ks_distance: 0.0,
            ks_p_value: 1.0,
        };
        for q in [0.5, 3.0, 12.0] {
            assert!((few.p_value(q) - (1.0 - below(7.0, q))).abs() < 1e-12);
        }
        // Gross and Vitells' bound, where the p-value is small.
        let bound = 7.0 * (-25.0_f64).exp() + half_chi_squared(50.0);
        assert!((few.p_value(50.0) / bound - 1.0).abs() < 1e-8);
    }

    #[test]
    fn crossings_of_a_smooth_process_are_counted_from_its_largest_values() {
        // A Gaussian process on a circle, cos and sin of the first 12 waves: upward crossings of √c by it are
        // L / (2π) e^{−c/2} on average, with L² = mean of the squared wave numbers times (2π)² (Rice).
        let (waves, n_points) = (12_u32, 400_u32);
        let toy = |number: u64| {
            let mut stream = Stream::of(77, number);
            let parts: Vec<(f64, f64)> =
                (0..waves).map(|_| (stream.normal(), stream.normal())).collect();
            let norm = 1.0 / f64::from(waves).sqrt();
            let at = |k: u32| {
                let angle = std::f64::consts::TAU * f64::from(k) / f64::from(n_points);
                let wave = |(w, (a, b)): (usize, &(f64, f64))| {
                    let phase = (w + 1) as f64 * angle;
                    a * phase.cos() + b * phase.sin()
                };
                norm * parts.iter().enumerate().map(wave).sum::<f64>()
            };
            (0..n_points).map(at).fold(0.0_f64, f64::max).powi(2)
        };
        let largest: Vec<f64> = (0..400).map(toy).collect();
        let found = Elsewhere::fit(&largest, 1).unwrap();
        let squares: f64 = (1..=waves).map(|w| f64::from(w * w)).sum::<f64>() / f64::from(waves);
        let expected = squares.sqrt();
        // On a circle there is no first place; what the grid hides is below a percent. Crossings of a level that a
        // quarter exceeds are not quite independent: a tenth.
        let allowed = 5.0 * found.upcrossings_error + 0.15 * expected;
        assert!((found.upcrossings - expected).abs() < allowed, "{found:?} {expected}");
        assert!(found.ks_p_value > 1e-3, "{found:?}");
    }

    #[test]
    fn too_few_toys_and_no_numbers_are_refused_and_failed_fits_are_not() {
        assert!(Elsewhere::fit(&[1.0; 9], 1).is_err());
        assert!(Elsewhere::fit(&[f64::NAN; 20], 1).is_err());
        let mut toys = places(10, 200);
        toys[3] = f64::INFINITY;
        assert!(Elsewhere::fit(&toys, 1).unwrap().upcrossings.is_finite());
    }
}
