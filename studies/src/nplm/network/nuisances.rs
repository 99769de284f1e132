//! Systematic uncertainties: parameters that were measured elsewhere and are fitted again with the data.
//!
//! Norm: expected events are scaled by e^ν. Scale: the observable is scaled by e^ν, which changes the logarithm of
//! its density by ν δ(x); the effect is taken linear in ν. Without a network the fit is a convex problem of two
//! parameters: Newton steps.

use super::super::vector::{dot, exp_all, sum};
use super::model::Events;
use crate::error::{Error, check};
use crate::rng::Stream;

/// A nuisance parameter and its measurement elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// What was measured: 0 where the reference is.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// Measurements of nuisance parameters that scatter around their true values with this error.
#[must_use]
pub fn measured_around(truth: [f64; 2], error: f64, rng_seed: u64, number: u64) -> [Measured; 2] {
    let mut stream = Stream::of(rng_seed, number);
    truth.map(|value| Measured { value: value + error * stream.normal(), error })
}

/// δ(x): the derivative of the logarithm of the expected density by the logarithm of the scale.
pub type Slope = dyn Fn(&[f64]) -> f64 + Sync;

/// Systematic uncertainties.
#[expect(missing_debug_implementations, reason = "a function has none")]
pub struct Nuisances<'a> {
    /// Of the number of expected events: a factor e^ν.
    pub norm: Measured,
    /// Of the scale of the observable, and δ(x); smooth, as nodes may stand for events.
    pub scale: Option<(Measured, &'a Slope)>,
}

impl Nuisances<'_> {
    pub(super) fn check(&self) -> Result<(), Error> {
        for Measured { value, error } in self.measured() {
            let positive = error > 0.0 && error.is_finite();
            check(positive, "error of a nuisance parameter", "a number above zero", error)?;
            check(value.is_finite(), "nuisance parameter", "a finite number", value)?;
        }
        Ok(())
    }

    pub(super) fn measured(&self) -> Vec<Measured> {
        [Some(self.norm), self.scale.map(|scale| scale.0)].into_iter().flatten().collect()
    }

    /// ½ Σ [(ν − ν₀)² − ν₀²] / s², and its derivatives added to a gradient.
    pub(super) fn penalty(&self, values: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let measured = self.measured();
        if let Some(gradient) = gradient {
            for ((g, m), nu) in gradient.iter_mut().zip(&measured).zip(values) {
                *g += (nu - m.value) / (m.error * m.error);
            }
        }
        let one = |(nu, m): (&f64, &Measured)| {
            ((nu - m.value).powi(2) - m.value.powi(2)) / (2.0 * m.error * m.error)
        };
        values.iter().zip(&measured).map(one).sum()
    }

    /// −2 min L over the nuisances alone.
    pub(super) fn delta(&self, events: &Events) -> Result<f64, Error> {
        let mut nu: Vec<f64> = self.measured().iter().map(|measured| measured.value).collect();
        let mut left = f64::INFINITY;
        for _ in 0..100 {
            let (loss, gradient, hessian) = self.without_network(events, &nu);
            let [[a, b], [_, c]] = hessian;
            let step = if nu.len() == 1 {
                vec![-gradient[0] / a]
            } else {
                let determinant = a * c - b * b;
                vec![
                    (-c * gradient[0] + b * gradient[1]) / determinant,
                    (b * gradient[0] - a * gradient[1]) / determinant,
                ]
            };
            left = -dot(&step, &gradient[..nu.len()]);
            if left.abs() < 1e-10 {
                return Ok(-2.0 * loss);
            }
            // Convex, but the exponential may overshoot.
            let mut scale = 1.0;
            let moved = |scale: f64| -> Vec<f64> {
                nu.iter().zip(&step).map(|(nu, s)| nu + scale * s).collect()
            };
            let raised = |scale: f64| {
                let moved = self.without_network(events, &moved(scale)).0;
                moved.is_nan() || moved > loss
            };
            while scale > 1e-9 && raised(scale) {
                scale /= 2.0;
            }
            nu = moved(scale);
        }
        Err(Error::NotConverged { what: "fit of the nuisance parameters", steps: 100, left })
    }

    /// L without a network, its gradient and its second derivatives.
    fn without_network(&self, events: &Events, nu: &[f64]) -> (f64, [f64; 2], [[f64; 2]; 2]) {
        let mut gradient = [0.0; 2];
        let mut loss = self.penalty(nu, Some(&mut gradient));
        let mut hessian = [[0.0; 2]; 2];
        for (k, measured) in self.measured().iter().enumerate() {
            hessian[k][k] = 1.0 / (measured.error * measured.error);
        }
        for (k, is_data) in [(0, false), (1, true)] {
            let mut f = vec![0.0; events.weights[k].len()];
            let slopes = Some(events.slopes[k].as_slice()).filter(|slopes| !slopes.is_empty());
            add_nuisances(nu, slopes, &mut f);
            loss += loss_of(&events.weights[k], is_data, &mut f);
            gradient[0] += sum(&f);
            if let Some(slopes) = slopes {
                gradient[1] += dot(&f, slopes);
            }
            if !is_data {
                hessian[0][0] += sum(&f);
                if let Some(slopes) = slopes {
                    let first = dot(&f, slopes);
                    f.iter_mut().zip(slopes).for_each(|(f, s)| *f *= s);
                    hessian[0][1] += first;
                    hessian[1][0] += first;
                    hessian[1][1] += dot(&f, slopes);
                }
            }
        }
        (loss, gradient, hessian)
    }
}

/// Adds ν_norm + ν_scale δ(x).
pub(super) fn add_nuisances(nuisances: &[f64], slopes: Option<&[f64]>, f: &mut [f64]) {
    if let [norm, rest @ ..] = nuisances {
        f.iter_mut().for_each(|f| *f += norm);
        if let ([scale], Some(slopes)) = (rest, slopes) {
            f.iter_mut().zip(slopes).for_each(|(f, slope)| *f += scale * slope);
        }
    }
}

/// The part of L of some events; f becomes its derivative by f.
pub(super) fn loss_of(weights: &[f64], is_data: bool, f: &mut [f64]) -> f64 {
    if is_data {
        let loss = -dot(weights, f);
        f.iter_mut().zip(weights).for_each(|(f, v)| *f = -v);
        return loss;
    }
    exp_all(f);
    f.iter_mut().zip(weights).for_each(|(f, w)| *f *= w);
    sum(f) - sum(weights)
}
