//! The kernel version: logistic regression in a space of Gaussians, by Newton steps.
//!
//! Minimises (1/n) [Σ_D v ln(1 + e^{−f}) + Σ_R w ln(1 + e^f)] + (λ/2) αᵀKα over f = Σ α_i k(x, x_i) with
//! centres x_i drawn from reference and data. In the orthonormal functions of `basis.rs` that is r
//! numbers u with penalty (λ/2)|u|². A Newton step solves
//! H s = −g, H = (1/n) Φᵀ D Φ + λ, g = (1/n) Φᵀ ℓ′ + λu, one for each λ of a decreasing list. Published
//! results took a single one, from zero ([`Steps::Path`] with one λ: "we choose k = 1"); [`Steps::Converged`] goes
//! on, halving steps that would raise the loss, until t would change no more.
//!
//! H is summed up and factorised where r is small. Where it is not, **conjugate gradients** need only products with
//! H, preconditioned as FALKON's: with the same matrix of the M centres instead of the n events.
//! Values of Φ are kept where they fit into `max_bytes`, and made anew for each product otherwise.
//! **Source**: M. Letizia et al., EPJC 82 (2022) 879, appendix B; U. Marteau-Ferey et al., NeurIPS 2019,
//! "Globally convergent Newton methods for ill-conditioned generalized self-concordant losses".

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

use super::basis::{BLOCK, Basis};
use super::experiment::Experiment;
use super::vector::{dot, exp};
use crate::error::{Error, check};
use crate::rng::Stream;

/// When to stop.
#[derive(Clone, Debug, PartialEq)]
pub enum Steps {
    /// One Newton step for each λ.
    Path(Vec<f64>),
    /// One for each λ, then more with the last one until the loss is at its minimum, to 10⁻⁸ on the
    /// scale of t.
    Converged(Vec<f64>),
}

/// How a Newton step is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// Directly up to [`DIRECT_MAX`] functions, by conjugate gradients above.
    Auto,
    /// Cholesky factor of the Hessian.
    Direct,
    /// Preconditioned conjugate gradients.
    ConjugateGradients,
}

/// Up to so many functions the Hessian is summed up.
pub const DIRECT_MAX: usize = 600;

/// The kernel test's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelConfig {
    /// Width of the Gaussians, in units of the scaled observables.
    pub sigma: f64,
    /// Number of centres M, drawn from reference and data.
    pub centres: usize,
    /// λ and when to stop.
    pub steps: Steps,
    /// How a step is found.
    pub inner: Inner,
    /// Basis functions at most; what is left then is in [`KernelFit::residual`].
    pub max_functions: usize,
    /// Memory for values of basis functions.
    pub max_bytes: usize,
}

impl KernelConfig {
    /// Settings as published: one Newton step with this λ.
    #[must_use]
    pub fn published(sigma: f64, centres: usize, lambda: f64) -> KernelConfig {
        KernelConfig {
            sigma,
            centres,
            steps: Steps::Path(vec![lambda]),
            inner: Inner::Auto,
            max_functions: 4000,
            max_bytes: 256 << 20,
        }
    }
}

/// What a kernel test found.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelFit {
    /// The statistic t.
    pub t: f64,
    /// The logarithm of the density ratio at each event, the reference first.
    pub f: Vec<f64>,
    /// Basis functions in use.
    pub functions: usize,
    /// What the basis leaves of the worst represented centre, of 1.
    pub residual: f64,
    /// Value of the minimised function.
    pub loss: f64,
    /// Newton steps taken.
    pub steps: usize,
}

/// Least relative size of a residual that conjugate gradients leave.
const CG_TOLERANCE: f64 = 1e-8;
const CG_MAX: usize = 1000;
const NEWTON_MAX: usize = 100;
/// A kernel's rest δ changes f by about δ / λ times the mean slope of the loss; below 1e-13 it is rounding.
const TOLERANCE_OF_LAMBDA: f64 = 1e-6;
const LEAST_TOLERANCE: f64 = 1e-13;

/// Fits and returns the statistic.
///
/// # Errors
/// Settings out of range, and a fit that does not converge.
pub fn fit(
    experiment: &Experiment,
    config: &KernelConfig,
    rng_seed: u64,
    number: u64,
) -> Result<KernelFit, Error> {
    let lambdas = check_config(config)?;
    let lowest = lambdas.iter().copied().fold(f64::INFINITY, f64::min);
    let centres = draw_centres(experiment, config.centres, &mut Stream::of(rng_seed, number));
    let tolerance = (TOLERANCE_OF_LAMBDA * lowest).max(LEAST_TOLERANCE);
    let pick = |column: &Vec<f64>| centres.iter().map(|&event| column[event]).collect();
    let places: Vec<Vec<f64>> = experiment.columns().iter().map(pick).collect();
    let basis = Basis::new(&places, config.sigma, tolerance, config.max_functions);
    let direct = match config.inner {
        Inner::Auto => basis.len() <= DIRECT_MAX,
        Inner::Direct => true,
        Inner::ConjugateGradients => false,
    };
    let mut problem = Problem::new(experiment, &basis, centres, config.max_bytes);
    let mut state = problem.at(vec![0.0; basis.len()], lambdas[0], direct);
    let mut steps = 0;
    for &lambda in lambdas {
        if steps > 0 {
            state = problem.at(state.u, lambda, direct);
        }
        let step = problem.newton_step(&state, lambda, direct)?;
        let u = state.u.iter().zip(&step).map(|(u, s)| u + s).collect();
        // The last one of a path needs no derivatives.
        let more = steps + 1 < lambdas.len() || matches!(config.steps, Steps::Converged(_));
        state = problem.at(u, lambda, direct && more);
        steps += 1;
    }
    if matches!(config.steps, Steps::Converged(_)) {
        let last = lambdas[lambdas.len() - 1];
        (state, steps) = converge(&mut problem, state, last, direct, steps)?;
    }
    let t = experiment.statistic(&state.f);
    if !t.is_finite() {
        return Err(Error::NotConverged { what: "kernel test", steps, left: f64::INFINITY });
    }
    let (functions, residual) = (basis.len(), basis.residual);
    Ok(KernelFit { t, f: state.f, functions, residual, loss: state.loss, steps })
}

fn check_config(config: &KernelConfig) -> Result<&[f64], Error> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    check(positive(config.sigma), "kernel width", "a number above zero", config.sigma)?;
    let centres = config.centres as f64;
    check(config.centres > 0, "number of centres", "at least 1", centres)?;
    let most = config.max_functions as f64;
    check(config.max_functions > 0, "number of basis functions", "at least 1", most)?;
    let (Steps::Path(lambdas) | Steps::Converged(lambdas)) = &config.steps;
    check(!lambdas.is_empty(), "number of penalties", "at least 1", 0.0)?;
    for &lambda in lambdas {
        check(positive(lambda), "penalty", "a number above zero", lambda)?;
    }
    Ok(lambdas)
}

/// Which events are centres: uniform among all, without replacement.
fn draw_centres(experiment: &Experiment, m: usize, stream: &mut Stream) -> Vec<usize> {
    let mut events: Vec<usize> = (0..experiment.len()).collect();
    stream.shuffle_front(&mut events, m);
    events.truncate(m);
    events
}

/// A point and all that is known there.
struct State {
    u: Vec<f64>,
    /// At each event.
    f: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
    /// Weight of each event in the Hessian.
    curvature: Vec<f64>,
    /// Lower triangle, if asked for.
    hessian: Option<Mat<f64>>,
}

fn converge(
    problem: &mut Problem,
    mut state: State,
    lambda: f64,
    direct: bool,
    mut steps: usize,
) -> Result<(State, usize), Error> {
    let n = problem.experiment.len() as f64;
    let mut left = f64::INFINITY;
    while steps < NEWTON_MAX {
        let step = problem.newton_step(&state, lambda, direct)?;
        // Twice the loss is on the scale of t; a Newton step lowers it by half of this. But t itself is not at
        // its minimum there and changes in the first order of a step: the last one is taken too.
        left = -n * dot(&step, &state.gradient);
        let enough = 1e-8 * (1.0 + problem.experiment.statistic(&state.f).abs());
        if left.is_finite() && left.abs() < enough {
            let u = state.u.iter().zip(&step).map(|(u, s)| u + s).collect();
            return Ok((problem.at(u, lambda, false), steps + 1));
        }
        let mut scale = 1.0;
        let better = loop {
            let u = state.u.iter().zip(&step).map(|(u, s)| u + scale * s).collect();
            let trial = problem.at(u, lambda, direct);
            if trial.loss <= state.loss + 1e-14 * state.loss.abs() {
                break Some(trial);
            }
            scale /= 2.0;
            if scale < 1e-9 {
                break None;
            }
        };
        let Some(better) = better else { break };
        state = better;
        steps += 1;
    }
    Err(Error::NotConverged { what: "kernel test", steps, left })
}

/// The events in terms of the basis.
struct Problem<'a> {
    experiment: &'a Experiment,
    basis: &'a Basis,
    /// Which events are the basis's centres.
    centres: Vec<usize>,
    /// All blocks, if they are kept.
    kept: Vec<f64>,
    /// One block otherwise.
    block: Vec<f64>,
    scratch: Vec<f64>,
}

impl<'a> Problem<'a> {
    fn new(
        experiment: &'a Experiment,
        basis: &'a Basis,
        centres: Vec<usize>,
        max_bytes: usize,
    ) -> Problem<'a> {
        let size = basis.len() * BLOCK;
        let n_blocks = experiment.len().div_ceil(BLOCK);
        let mut kept = Vec::new();
        if n_blocks.saturating_mul(size).saturating_mul(8) <= max_bytes {
            kept = vec![0.0; n_blocks * size];
            for (b, block) in kept.chunks_exact_mut(size.max(1)).enumerate() {
                let range = b * BLOCK..experiment.len().min((b + 1) * BLOCK);
                basis.evaluate(experiment.columns(), range, block);
            }
        }
        let block = if kept.is_empty() { vec![0.0; size] } else { Vec::new() };
        Problem { experiment, basis, centres, kept, block, scratch: vec![0.0; size] }
    }

    /// Hands each block of values `[function][BLOCK]` to `work`, with its events and a scratch block.
    fn for_blocks(&mut self, mut work: impl FnMut(std::ops::Range<usize>, &[f64], &mut [f64])) {
        let size = self.basis.len() * BLOCK;
        let n = self.experiment.len();
        for b in 0..n.div_ceil(BLOCK) {
            let range = b * BLOCK..n.min((b + 1) * BLOCK);
            if self.kept.is_empty() {
                self.basis.evaluate(self.experiment.columns(), range.clone(), &mut self.block);
                work(range, &self.block, &mut self.scratch);
            } else {
                work(range, &self.kept[b * size..(b + 1) * size], &mut self.scratch);
            }
        }
    }

    /// Loss and derivatives.
    fn at(&mut self, u: Vec<f64>, lambda: f64, with_hessian: bool) -> State {
        let experiment = self.experiment;
        let (n, r) = (experiment.len(), self.basis.len());
        let scale = 1.0 / n as f64;
        let (mut f, mut curvature) = (vec![0.0; n], vec![0.0; n]);
        let mut gradient: Vec<f64> = u.iter().map(|u| lambda * u).collect();
        let mut loss = 0.5 * lambda * dot(&u, &u);
        let mut hessian = with_hessian.then(|| Mat::zeros(r, r));
        self.for_blocks(|range, phi, scratch| {
            let f = &mut f[range.clone()];
            add_functions(phi, &u, f);
            let mut slope = [0.0; BLOCK];
            let curvature = &mut curvature[range.clone()];
            loss += scale * derivatives(experiment, range.clone(), f, &mut slope, curvature);
            let slope = &slope[..range.len()];
            for (sum, values) in gradient.iter_mut().zip(phi.chunks_exact(BLOCK)) {
                *sum += scale * dot(&values[..range.len()], slope);
            }
            if let Some(hessian) = &mut hessian {
                add_products(phi, curvature, scale, scratch, hessian);
            }
        });
        if let Some(hessian) = &mut hessian {
            (0..r).for_each(|k| hessian[(k, k)] += lambda);
        }
        State { u, f, loss, gradient, curvature, hessian }
    }

    fn newton_step(&mut self, at: &State, lambda: f64, direct: bool) -> Result<Vec<f64>, Error> {
        let target: Vec<f64> = at.gradient.iter().map(|g| -g).collect();
        if direct {
            let hessian = at.hessian.as_ref().expect("summed up for direct steps");
            return Ok(solve(&factorised(hessian)?, &target));
        }
        let preconditioner = factorised(&self.hessian_of_centres(at, lambda))?;
        self.conjugate_gradients(at, lambda, &preconditioner, &target)
    }

    /// The Hessian, had the centres been all events.
    fn hessian_of_centres(&self, at: &State, lambda: f64) -> Mat<f64> {
        let values = &self.basis.at_centres;
        let (m, r) = (values.nrows(), values.ncols());
        let scaled =
            Mat::from_fn(m, r, |row, k| values[(row, k)] * at.curvature[self.centres[row]]);
        let mut hessian = Mat::zeros(r, r);
        add_transposed(&mut hessian, values.as_ref(), scaled.as_ref(), 1.0 / m as f64);
        (0..r).for_each(|k| hessian[(k, k)] += lambda);
        hessian
    }

    /// Solves H s = target to a small residual.
    fn conjugate_gradients(
        &mut self,
        at: &State,
        lambda: f64,
        preconditioner: &Llt<f64>,
        target: &[f64],
    ) -> Result<Vec<f64>, Error> {
        let mut solution = vec![0.0; target.len()];
        let mut residual = target.to_vec();
        let mut z = solve(preconditioner, &residual);
        let mut direction = z.clone();
        let mut size = dot(&residual, &z);
        let enough = CG_TOLERANCE * CG_TOLERANCE * size;
        for _ in 0..CG_MAX {
            // Zero only where there is nothing to solve; NaN never converges.
            if size <= enough {
                return Ok(solution);
            }
            let product = self.times_hessian(at, lambda, &direction);
            let length = size / dot(&direction, &product);
            solution.iter_mut().zip(&direction).for_each(|(s, d)| *s += length * d);
            residual.iter_mut().zip(&product).for_each(|(r, p)| *r -= length * p);
            z = solve(preconditioner, &residual);
            let next = dot(&residual, &z);
            direction.iter_mut().zip(&z).for_each(|(d, z)| *d = z + next / size * *d);
            size = next;
        }
        let left = (size * self.experiment.len() as f64).abs();
        Err(Error::NotConverged { what: "conjugate gradients", steps: CG_MAX, left })
    }

    fn times_hessian(&mut self, at: &State, lambda: f64, v: &[f64]) -> Vec<f64> {
        let scale = 1.0 / self.experiment.len() as f64;
        let mut product: Vec<f64> = v.iter().map(|v| lambda * v).collect();
        self.for_blocks(|range, phi, _| {
            let mut values = [0.0; BLOCK];
            let values = &mut values[..range.len()];
            add_functions(phi, v, values);
            values.iter_mut().zip(&at.curvature[range]).for_each(|(x, c)| *x *= c * scale);
            for (sum, column) in product.iter_mut().zip(phi.chunks_exact(BLOCK)) {
                *sum += dot(&column[..values.len()], values);
            }
        });
        product
    }
}

/// Adds Σ u φ to f.
fn add_functions(phi: &[f64], u: &[f64], f: &mut [f64]) {
    for (u, values) in u.iter().zip(phi.chunks_exact(BLOCK)) {
        f.iter_mut().zip(values).for_each(|(f, x)| *f += u * x);
    }
}

/// Sum of the losses; first and second derivatives by f of each event's.
fn derivatives(
    experiment: &Experiment,
    range: std::ops::Range<usize>,
    f: &[f64],
    slope: &mut [f64],
    curvature: &mut [f64],
) -> f64 {
    let weights = &experiment.weights()[range.clone()];
    let mut loss = 0.0;
    for (k, (&f, &weight)) in f.iter().zip(weights).enumerate() {
        let is_data = range.start + k >= experiment.n_reference();
        // σ(−f) for data, σ(f) for the reference: the loss of an event is −ln of the other one.
        let signed = if is_data { -f } else { f };
        let small = exp(-signed.abs());
        let wrong = if signed > 0.0 { 1.0 } else { small } / (1.0 + small);
        slope[k] = if is_data { -weight * wrong } else { weight * wrong };
        curvature[k] = weight * small / ((1.0 + small) * (1.0 + small));
        loss += weight * (signed.max(0.0) + small.ln_1p());
    }
    loss
}

/// Adds Φᵀ diag(curvature) Φ × scale to the lower triangle.
fn add_products(
    phi: &[f64],
    curvature: &[f64],
    scale: f64,
    scratch: &mut [f64],
    hessian: &mut Mat<f64>,
) {
    let (n, r) = (curvature.len(), hessian.nrows());
    for (scaled, values) in scratch.chunks_exact_mut(BLOCK).zip(phi.chunks_exact(BLOCK)) {
        for ((s, x), c) in scaled.iter_mut().zip(values).zip(curvature) {
            *s = x * c;
        }
    }
    let phi = MatRef::from_column_major_slice(phi, BLOCK, r).subrows(0, n);
    let scaled = MatMut::from_column_major_slice_mut(scratch, BLOCK, r).subrows_mut(0, n);
    add_transposed(hessian, phi, scaled.as_ref(), scale);
}

/// Adds aᵀb × scale to the lower triangle.
fn add_transposed(sum: &mut Mat<f64>, a: MatRef<f64>, b: MatRef<f64>, scale: f64) {
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    let a = a.transpose();
    triangular::matmul(sum, lower, Accum::Add, a, full, b, full, scale, Par::Seq);
}

fn factorised(matrix: &Mat<f64>) -> Result<Llt<f64>, Error> {
    // With λ on the diagonal it is positive; if rounding or overflow made it otherwise there is no step.
    matrix.llt(Side::Lower).map_err(|_| Error::NotConverged {
        what: "Newton step",
        steps: 0,
        left: f64::INFINITY,
    })
}

fn solve(factor: &Llt<f64>, target: &[f64]) -> Vec<f64> {
    let mut solution = target.to_vec();
    factor.solve_in_place(MatMut::from_column_major_slice_mut(&mut solution, target.len(), 1));
    solution
}
