//! One fit of a spectrum: its function, its derivatives, its minimum.

use std::cell::RefCell;

use argmin::core::{CostFunction, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::linalg::solvers::Solve as _;
use faer::{Mat, Side};
use statrs::function::erf::erf;

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
}

/// Counts between edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    edges: Vec<f64>,
    counts: Vec<f64>,
    /// `[bin][point]`: where the density is evaluated, and what a point counts for.
    points: Vec<[(f64, f64); 3]>,
}

/// Points and weights of Gauss–Legendre integration on −1…1: exact to the fifth power.
const GAUSS: [(f64, f64); 3] =
    [(-0.774_596_669_241_483_4, 5.0 / 9.0), (0.0, 8.0 / 9.0), (0.774_596_669_241_483_4, 5.0 / 9.0)];

/// A minimum.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Coefficients of the background.
    pub coefficients: Vec<f64>,
    /// Signal events; 0 without a signal.
    pub signal: f64,
    /// Their standard error, of the expected information; 0 without a signal.
    pub signal_error: f64,
    /// Expected counts.
    pub expected: Vec<f64>,
    /// 2 Σ [ν − n + n ln(n / ν)]: twice the logarithm of the likelihood ratio to ν = n.
    pub deviance: f64,
}

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
        let (from, to) = (edges[0], edges[n]);
        let bin = |pair: &[f64]| {
            let (centre, half) = ((pair[0] + pair[1]) / 2.0, (pair[1] - pair[0]) / 2.0);
            // Densities are by z, in which the whole spectrum is 2 wide.
            GAUSS.map(|(x, weight)| {
                let z = 2.0 * (centre + half * x - from) / (to - from) - 1.0;
                (z, weight * half * 2.0 / (to - from))
            })
        };
        let points = edges.windows(2).map(bin).collect();
        Ok(Spectrum { edges: edges.to_vec(), counts: counts.to_vec(), points })
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

    /// The same edges with other counts.
    pub(super) fn with_counts(&self, counts: Vec<f64>) -> Spectrum {
        Spectrum { counts, ..self.clone() }
    }

    fn total(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// What part of a Gaussian lies in each bin.
    pub(super) fn gaussian(&self, mean: f64, width: f64) -> Vec<f64> {
        let below = |x: f64| 0.5 * (1.0 + erf((x - mean) / (width * std::f64::consts::SQRT_2)));
        self.edges.windows(2).map(|pair| below(pair[1]) - below(pair[0])).collect()
    }

    /// Fits the background alone.
    ///
    /// # Errors
    /// More parameters than bins, and a minimum that is not reached.
    pub fn fit(&self, background: Background) -> Result<Fitted, Error> {
        let parameters = background.degree() + 1;
        let bins = self.counts.len();
        let fewer = parameters + 1 < bins;
        check(fewer, "degree of the background", "2 less than bins", background.degree() as f64)?;
        let start = self.start(background);
        Model { spectrum: self, background, signal: None }.minimise(start)
    }

    /// Fits background and a signal of fixed shape `[bin]`, from the fit of the background. None: less than the
    /// background is seen there, so that no signal is better.
    ///
    /// # Errors
    /// A minimum that is not reached.
    pub(super) fn fit_signal(
        &self,
        background: Background,
        shape: &[f64],
        null: &Fitted,
    ) -> Result<Option<Fitted>, Error> {
        // The first and second derivative of ln L by S at S = 0.
        let excess: f64 = self.ratio_sum(null, shape, |n, nu, g| g * (n / nu - 1.0));
        if excess.is_nan() || excess <= 0.0 {
            return Ok(None);
        }
        let information = self.ratio_sum(null, shape, |_, nu, g| g * g / nu);
        let unit = 1.0 / information.sqrt();
        let model = Model { spectrum: self, background, signal: Some((shape, unit)) };
        let mut start: Vec<f64> =
            null.coefficients.iter().map(|c| c / self.unit(background)).collect();
        start.push(0.5 * excess / information / unit);
        Ok(Some(model.minimise(start)?))
    }

    fn ratio_sum(&self, null: &Fitted, shape: &[f64], f: impl Fn(f64, f64, f64) -> f64) -> f64 {
        let bins = self.counts.iter().zip(&null.expected).zip(shape);
        bins.map(|((&n, &nu), &g)| f(n, nu.max(FLOOR), g)).sum()
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
        let middle = self.counts.len() / 2;
        let (left, right) = self.counts.split_at(middle);
        let wide = |points: &[[(f64, f64); 3]]| points.iter().flatten().map(|p| p.1).sum::<f64>();
        let density = |counts: &[f64], points: &[[(f64, f64); 3]]| {
            (counts.iter().sum::<f64>() + 0.5) / wide(points)
        };
        let left = density(left, &self.points[..middle]);
        let right = density(right, &self.points[middle..]);
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

/// Expected counts below this have no logarithm: its parabola goes on instead, so that steps that are too
/// wide find their way back.
const FLOOR: f64 = 1e-6;

/// −ln L and its derivatives, parameters in units of their errors.
struct Model<'a> {
    spectrum: &'a Spectrum,
    background: Background,
    /// Part of the signal in each bin, and the unit of its events.
    signal: Option<(&'a [f64], f64)>,
}

const MAX_STEPS: u64 = 2000;
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
        let problem = Problem { model: self, best: &best };
        let run = Executor::new(problem, solver)
            .configure(|state| state.param(start).max_iters(MAX_STEPS))
            .run();
        // A line search that finds nothing better at the bottom ends with an error: the gradient decides.
        let steps = run.map_or(MAX_STEPS, |result| result.state().get_iter());
        let (_, parameters) = best.into_inner();
        let (_, gradient) = self.evaluate(&parameters);
        let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if size.is_nan() || size > TOLERANCE * (1.0 + self.spectrum.total().sqrt() * 1e-3) {
            return Err(failed(steps, size * size));
        }
        Ok(self.fitted(&parameters))
    }

    fn fitted(&self, parameters: &[f64]) -> Fitted {
        let n_background = self.background.degree() + 1;
        let unit = self.spectrum.unit(self.background);
        let coefficients: Vec<f64> = parameters[..n_background].iter().map(|p| p * unit).collect();
        let signal = self.signal.map_or(0.0, |(_, unit)| parameters[n_background] * unit);
        let expected = self.expected(parameters);
        let term = |(&n, &nu): (&f64, &f64)| {
            let nu: f64 = nu.max(FLOOR);
            nu - n + if n > 0.0 { n * (n / nu).ln() } else { 0.0 }
        };
        let deviance = 2.0 * self.spectrum.counts.iter().zip(&expected).map(term).sum::<f64>();
        let signal_error =
            self.signal.map_or(0.0, |(_, unit)| unit * self.signal_error(parameters));
        Fitted { coefficients, signal, signal_error, expected, deviance }
    }

    /// In units: the last number of the inverse of Σ ∂ν ∂νᵀ / ν.
    fn signal_error(&self, parameters: &[f64]) -> f64 {
        let n = parameters.len();
        let mut information = Mat::<f64>::zeros(n, n);
        for bin in 0..self.spectrum.counts.len() {
            let mut slope = vec![0.0; n];
            let nu = self.bin(parameters, bin, Some(&mut slope)).max(FLOOR);
            for row in 0..n {
                for column in 0..n {
                    information[(row, column)] += slope[row] * slope[column] / nu;
                }
            }
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

    fn expected(&self, parameters: &[f64]) -> Vec<f64> {
        (0..self.spectrum.counts.len()).map(|bin| self.bin(parameters, bin, None)).collect()
    }

    /// Expected count of a bin, and its derivatives.
    fn bin(&self, parameters: &[f64], bin: usize, slope: Option<&mut [f64]>) -> f64 {
        let n_background = self.background.degree() + 1;
        let unit = self.spectrum.unit(self.background);
        let mut unused = [0.0; 0];
        let slope = slope.unwrap_or(&mut unused);
        let mut expected = 0.0;
        for (z, weight) in self.spectrum.points[bin] {
            let value = parameters[..n_background].iter().rev().fold(0.0, |sum, p| sum * z + p);
            let (density, by_value) = match self.background {
                Background::Exponential { .. } => {
                    // Steps that are far too wide must not overflow.
                    let density = (value * unit).min(300.0).exp();
                    (density, density * unit)
                }
                Background::Polynomial { .. } => (value * unit, unit),
            };
            expected += weight * density;
            let mut power = weight * by_value;
            for slope in slope.iter_mut().take(n_background) {
                *slope += power;
                power *= z;
            }
        }
        if let Some((shape, unit)) = self.signal {
            expected += parameters[n_background] * unit * shape[bin];
            if let Some(slope) = slope.get_mut(n_background) {
                *slope += unit * shape[bin];
            }
        }
        expected
    }

    /// −ln L (up to a constant: half the deviance) and its gradient.
    fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; parameters.len()];
        let mut loss = 0.0;
        let mut slope = vec![0.0; parameters.len()];
        for (bin, &n) in self.spectrum.counts.iter().enumerate() {
            slope.fill(0.0);
            let nu = self.bin(parameters, bin, Some(&mut slope));
            // Half the deviance: small at the minimum, so that no digits are lost.
            let half = |nu: f64| nu - n + if n > 0.0 { n * (n / nu).ln() } else { 0.0 };
            let (value, by_nu) = if nu > FLOOR {
                (half(nu), 1.0 - n / nu)
            } else {
                // Curved for bins without events too: expectations are not negative.
                let d = nu - FLOOR;
                let (first, second) = (1.0 - n / FLOOR, (n + 1.0) / (FLOOR * FLOOR));
                (half(FLOOR) + first * d + 0.5 * second * d * d, first + second * d)
            };
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
}

impl CostFunction for Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, parameters: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        let loss = self.model.evaluate(parameters).0;
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
        Ok(self.model.evaluate(parameters).1)
    }
}
