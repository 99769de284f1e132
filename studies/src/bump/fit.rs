//! One fit of a spectrum: its function, its derivatives, its minimum.

use std::cell::{Cell, RefCell};

use argmin::core::{CostFunction, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::linalg::solvers::Solve as _;
use faer::{Mat, Side};

use super::spectrum::{Peak, Spectrum};
use crate::error::{Error, check};

/// The shape of the background; z is x scaled to −1…1 over the spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// e^{Σ c_k z^k}: an exponential (degree 1) with a bent exponent.
    Exponential {
        /// Of the polynomial in the exponent.
        degree: usize,
    },
    /// Σ c_k z^k.
    Polynomial {
        /// Of the polynomial.
        degree: usize,
    },
}

impl Background {
    fn degree(self) -> usize {
        match self {
            Background::Exponential { degree } | Background::Polynomial { degree } => degree,
        }
    }

    /// The density by z.
    pub(super) fn density(self, coefficients: &[f64], z: f64) -> f64 {
        let value = coefficients.iter().rev().fold(0.0, |sum, c| sum * z + c);
        match self {
            // Steps that are far too wide must not overflow.
            Background::Exponential { .. } => value.min(300.0).exp(),
            Background::Polynomial { .. } => value,
        }
    }

    /// By how much the density changes with the value of the polynomial.
    fn by_value(self, density: f64) -> f64 {
        match self {
            Background::Exponential { .. } => density,
            Background::Polynomial { .. } => 1.0,
        }
    }
}

/// A minimum.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Coefficients of the background.
    pub coefficients: Vec<f64>,
    /// Signal events; 0 without a signal.
    pub signal: f64,
    /// Their standard error, of the expected information (observed, where events are fitted); 0 without a signal.
    pub signal_error: f64,
    /// Expected counts.
    pub expected: Vec<f64>,
    /// 2 Σ [ν − n + n ln(n / ν)]: twice the logarithm of the likelihood ratio to ν = n. Where events are fitted, to a
    /// flat density of as many: that tells models apart, but not whether one is good.
    pub deviance: f64,
}

impl Spectrum {
    /// Fits the background alone.
    ///
    /// # Errors
    /// More parameters than bins, and a minimum that is not reached.
    pub fn fit(&self, background: Background) -> Result<Fitted, Error> {
        let parameters = background.degree() + 1;
        let fewer = parameters + 1 < self.counts().len();
        check(fewer, "degree of the background", "2 less than bins", background.degree() as f64)?;
        let start = self.start(background);
        Model { spectrum: self, background, signal: None }.minimise(start)
    }

    /// Fits background and a signal of fixed shape, from the fit of the background. None: less than the
    /// background is seen there, so that no signal is better.
    ///
    /// # Errors
    /// A minimum that is not reached.
    pub(super) fn fit_signal(
        &self,
        background: Background,
        peak: &Peak,
        null: &Fitted,
    ) -> Result<Option<Fitted>, Error> {
        // The first and second derivative of ln L by S at S = 0.
        let (mut excess, mut information) = (0.0, 0.0);
        let bins = null.expected.iter().map(|nu| nu.max(FLOOR)).zip(&peak.bins);
        if let Some(events) = self.events() {
            excess -= peak.bins.iter().sum::<f64>();
            for (&z, g) in events.iter().zip(&peak.events) {
                let ratio = g / background.density(&null.coefficients, z).max(FLOOR);
                excess += ratio;
                information += ratio * ratio;
            }
        } else {
            for (&n, (nu, g)) in self.counts().iter().zip(bins) {
                excess += g * (n / nu - 1.0);
                information += g * g / nu;
            }
        }
        if excess.is_nan() || excess <= 0.0 {
            return Ok(None);
        }
        let unit = 1.0 / information.sqrt();
        let model = Model { spectrum: self, background, signal: Some((peak, unit)) };
        let mut start: Vec<f64> =
            null.coefficients.iter().map(|c| c / self.unit(background)).collect();
        start.push(0.5 * excess / information / unit);
        Ok(Some(model.minimise(start)?))
    }

    /// The size of an error of a coefficient.
    fn unit(&self, background: Background) -> f64 {
        match background {
            Background::Exponential { .. } => 1.0 / self.total().sqrt(),
            Background::Polynomial { .. } => self.total().sqrt(),
        }
    }

    /// Where to begin, in units: the exponential through the counts of both halves, or its expansion.
    fn start(&self, background: Background) -> Vec<f64> {
        let middle = self.counts().len() / 2;
        let density = |bins: std::ops::Range<usize>| {
            let wide = self.points()[bins.clone()].iter().flatten().map(|point| point.1);
            (self.counts()[bins].iter().sum::<f64>() + 0.5) / wide.sum::<f64>()
        };
        let (left, right) = (density(0..middle), density(middle..self.counts().len()));
        let mut start = vec![0.0; background.degree() + 1];
        match background {
            Background::Exponential { .. } => {
                start[0] = 0.5 * (left * right).ln();
                if let Some(slope) = start.get_mut(1) {
                    *slope = (right / left).ln();
                }
            }
            Background::Polynomial { .. } => {
                let mean = (left + right) / 2.0;
                start[0] = mean;
                if let Some(slope) = start.get_mut(1) {
                    // Less than half as steep as would make it negative at an end.
                    *slope = (right - left).clamp(-0.5 * mean, 0.5 * mean);
                }
            }
        }
        start.iter().map(|c| c / self.unit(background)).collect()
    }
}

/// Expectations below this have no logarithm: its parabola goes on instead, so that steps that are too
/// wide find their way back.
const FLOOR: f64 = 1e-6;

/// A term of −ln L and its derivative by the expectation ν: as `of` tells, or below the floor its parabola for a
/// count of `n`, which is curved for n = 0 too: expectations are not negative.
fn term(nu: f64, n: f64, of: impl Fn(f64) -> (f64, f64)) -> (f64, f64) {
    if nu > FLOOR {
        return of(nu);
    }
    let ((value, first), d) = (of(FLOOR), nu - FLOOR);
    let second = (n + 1.0) / (FLOOR * FLOOR);
    (value + first * d + 0.5 * second * d * d, first + second * d)
}

/// −ln L and its derivatives, parameters in units of their errors.
struct Model<'a> {
    spectrum: &'a Spectrum,
    background: Background,
    /// A signal of one event, and the unit of its events.
    signal: Option<(&'a Peak, f64)>,
}

const MAX_STEPS: u64 = 2000;
/// A search along a line that is no better anywhere would not end by itself. Fits take some hundred evaluations.
const MAX_EVALUATIONS: u64 = 10_000;
/// In units of errors: the distance to the minimum is then below 1e-6 in ln L.
const TOLERANCE: f64 = 1e-3;

impl Model<'_> {
    fn minimise(&self, start: Vec<f64>) -> Result<Fitted, Error> {
        let failed = |steps: u64, left: f64| Error::NotConverged {
            what: "fit of the spectrum",
            steps: steps as usize,
            left,
        };
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), 10)
            .with_tolerance_grad(0.1 * TOLERANCE)
            .and_then(|solver| solver.with_tolerance_cost(0.0))
            .map_err(|_| failed(0, f64::INFINITY))?;
        let best = RefCell::new((f64::INFINITY, start.clone()));
        let left = Cell::new(MAX_EVALUATIONS);
        let problem = Problem { model: self, best: &best, left: &left };
        let run = Executor::new(problem, solver)
            .configure(|state| state.param(start).max_iters(MAX_STEPS))
            .run();
        // A line search that finds nothing better at the bottom ends with an error: the gradient decides.
        let steps = run.map_or(MAX_STEPS, |result| result.state().get_iter());
        let (_, parameters) = best.into_inner();
        let (loss, gradient) = self.evaluate(&parameters);
        let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if size.is_nan() || size > TOLERANCE * (1.0 + self.spectrum.total().sqrt() * 1e-3) {
            return Err(failed(steps, size * size));
        }
        let signal = self.signal.map(|(_, unit)| {
            (parameters[self.n_background()] * unit, unit * self.signal_error(&parameters))
        });
        let (signal, signal_error) = signal.unwrap_or_default();
        let coefficients = self.coefficients(&parameters);
        let bins = 0..self.spectrum.counts().len();
        let expected = bins.map(|bin| self.bin(&coefficients, signal, bin, &mut [])).collect();
        Ok(Fitted { coefficients, signal, signal_error, expected, deviance: 2.0 * loss })
    }

    fn n_background(&self) -> usize {
        self.background.degree() + 1
    }

    fn coefficients(&self, parameters: &[f64]) -> Vec<f64> {
        let unit = self.spectrum.unit(self.background);
        parameters[..self.n_background()].iter().map(|p| p * unit).collect()
    }

    fn n_signal(&self, parameters: &[f64]) -> f64 {
        self.signal.map_or(0.0, |(_, unit)| parameters[self.n_background()] * unit)
    }

    /// In units: the last number of the inverse of Σ ∂ν ∂νᵀ / ν over bins, or Σ ∂ν ∂νᵀ / ν² over events.
    fn signal_error(&self, parameters: &[f64]) -> f64 {
        let n = parameters.len();
        let mut information = Mat::<f64>::zeros(n, n);
        let mut add = |slope: &[f64], per: f64| {
            for row in 0..n {
                for column in 0..n {
                    information[(row, column)] += slope[row] * slope[column] / per;
                }
            }
        };
        let (coefficients, signal) = (self.coefficients(parameters), self.n_signal(parameters));
        let mut slope = vec![0.0; n];
        match self.spectrum.events() {
            None => (0..self.spectrum.counts().len()).for_each(|bin| {
                slope.fill(0.0);
                let nu = self.bin(&coefficients, signal, bin, &mut slope).max(FLOOR);
                add(&slope, nu);
            }),
            Some(events) => events.iter().enumerate().for_each(|(event, &z)| {
                let nu = self.event(&coefficients, signal, event, z, &mut slope).max(FLOOR);
                add(&slope, nu * nu);
            }),
        }
        let mut last = Mat::<f64>::zeros(n, 1);
        last[(n - 1, 0)] = 1.0;
        match information.llt(Side::Lower) {
            Ok(factor) => {
                factor.solve_in_place(last.as_mut());
                last[(n - 1, 0)].sqrt()
            }
            // Something is not determined at all.
            Err(_) => f64::INFINITY,
        }
    }

    /// Expected count of a bin; its derivatives by the parameters are added to `slope`, if that is not empty.
    fn bin(&self, coefficients: &[f64], signal: f64, bin: usize, slope: &mut [f64]) -> f64 {
        let n_background = self.n_background();
        let unit = self.spectrum.unit(self.background);
        let mut expected = 0.0;
        for &(z, weight) in &self.spectrum.points()[bin] {
            let density = self.background.density(coefficients, z);
            expected += weight * density;
            let mut power = weight * self.background.by_value(density) * unit;
            for slope in slope.iter_mut().take(n_background) {
                *slope += power;
                power *= z;
            }
        }
        if let Some((peak, unit)) = self.signal {
            expected += signal * peak.bins[bin];
            if let Some(slope) = slope.get_mut(n_background) {
                *slope += unit * peak.bins[bin];
            }
        }
        expected
    }

    /// Density by z at an event, and in `slope` its derivatives by the parameters.
    fn event(
        &self,
        coefficients: &[f64],
        signal: f64,
        event: usize,
        z: f64,
        slope: &mut [f64],
    ) -> f64 {
        let density = self.background.density(coefficients, z);
        let mut power = self.background.by_value(density) * self.spectrum.unit(self.background);
        for slope in slope.iter_mut().take(self.n_background()) {
            *slope = power;
            power *= z;
        }
        let Some((peak, unit)) = self.signal else { return density };
        slope[self.n_background()] = unit * peak.events[event];
        density + signal * peak.events[event]
    }

    /// −ln L (up to a constant: half the deviance) and its gradient.
    fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; parameters.len()];
        let mut slope = vec![0.0; parameters.len()];
        let (coefficients, signal) = (self.coefficients(parameters), self.n_signal(parameters));
        let events = self.spectrum.events();
        let mut loss = 0.0;
        for (bin, &count) in self.spectrum.counts().iter().enumerate() {
            slope.fill(0.0);
            let nu = self.bin(&coefficients, signal, bin, &mut slope);
            // Of an unbinned fit bins are the integral of the density alone.
            let n = if events.is_some() { 0.0 } else { count };
            // Half the deviance: small at the minimum, so that no digits are lost.
            let half = |nu: f64| {
                let value = nu - n + if n > 0.0 { n * (n / nu).ln() } else { 0.0 };
                (value, 1.0 - n / nu)
            };
            let (value, by_nu) = term(nu, n, half);
            loss += value;
            gradient.iter_mut().zip(&slope).for_each(|(g, s)| *g += by_nu * s);
        }
        // Beside a flat density of as many events, for the same reason.
        let flat = events.map_or(0, <[f64]>::len) as f64 / 2.0;
        loss -= 2.0 * flat;
        for (event, &z) in events.unwrap_or_default().iter().enumerate() {
            let nu = self.event(&coefficients, signal, event, z, &mut slope);
            let (value, by_nu) = term(nu, 1.0, |nu| (-(nu / flat).ln(), -1.0 / nu));
            loss += value;
            gradient.iter_mut().zip(&slope).for_each(|(g, s)| *g += by_nu * s);
        }
        (loss, gradient)
    }
}

/// The model as the minimiser sees it, and the best point that it has looked at.
struct Problem<'a> {
    model: &'a Model<'a>,
    best: &'a RefCell<(f64, Vec<f64>)>,
    /// How often it may look again.
    left: &'a Cell<u64>,
}

impl Problem<'_> {
    fn evaluate(&self, parameters: &[f64]) -> Result<(f64, Vec<f64>), argmin::core::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| argmin::core::Error::msg("no minimum in sight"))?);
        Ok(self.model.evaluate(parameters))
    }
}

impl CostFunction for Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, parameters: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        let (loss, _) = self.evaluate(parameters)?;
        let mut best = self.best.borrow_mut();
        if loss < best.0 {
            *best = (loss, parameters.clone());
        }
        Ok(loss)
    }
}

impl Gradient for Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, parameters: &Vec<f64>) -> Result<Vec<f64>, argmin::core::Error> {
        Ok(self.evaluate(parameters)?.1)
    }
}
