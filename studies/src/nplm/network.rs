//! The network version: one hidden layer of sigmoids, trained on the likelihood itself.
//!
//! Minimises L = Σ_R w (e^F − 1) − Σ_D v F + ½ Σ_ν [(ν − ν₀)² − ν₀²] / s² over F = f + ν_norm + ν_scale δ(x),
//! where f is the network and the nuisance parameters ν, measured elsewhere as ν₀ ± s, scale the expectation by
//! e^{ν_norm} and the observable by e^{ν_scale}. δ(x) is the derivative of the logarithm of the expected
//! density by ν_scale, so the effect of the scale is taken linear. τ = −2 min L; Δ is the same
//! without a network; **t = τ − Δ** (t = τ without nuisances).
//!
//! All of it follows GaiaGrosso/NPLM_package: glorot-uniform weights and biases, Adam on all events
//! at once, every parameter of the network clipped to ±c after each step, a fixed number of epochs. Gradients are
//! written out. In one dimension training sees the nodes of `quadrature.rs`; losses are evaluated on all
//! events. Δ is a convex problem of two parameters: Newton steps.
//! **Source**: R. D'Agnolo et al., EPJC 82 (2022) 275.

use super::experiment::Experiment;
use super::quadrature::compress;
use super::vector::{dot, exp_all, sum};
use crate::error::{Error, check};
use crate::rng::Stream;

/// The network test's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Sigmoids in the hidden layer.
    pub hidden: usize,
    /// Largest size of any parameter of the network.
    pub weight_clip: f64,
    /// Steps of Adam, each over all events.
    pub epochs: u32,
    /// Adam's step.
    pub learning_rate: f64,
    /// Whether events of one observable may be replaced by nodes for training.
    pub compress: bool,
}

impl NetworkConfig {
    /// The published example: [1, 4, 1], clipped at 9.
    #[must_use]
    pub fn published() -> NetworkConfig {
        NetworkConfig {
            hidden: 4,
            weight_clip: 9.0,
            epochs: 30_000,
            learning_rate: 1e-3,
            compress: true,
        }
    }

    /// Parameters of the network: the degrees of freedom of the χ² that t is to follow.
    #[must_use]
    pub fn n_parameters(&self, observables: usize) -> usize {
        self.hidden * (observables + 2) + 1
    }
}

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
    /// Of the scale of the observable, and δ(x).
    pub scale: Option<(Measured, &'a Slope)>,
}

/// What a network test found.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFit {
    /// The statistic τ − Δ.
    pub t: f64,
    /// −2 min L with the network.
    pub tau: f64,
    /// −2 min L without; 0 without nuisances.
    pub delta: f64,
    /// How τ changed in the last tenth of the training (on what training sees): a measure of convergence.
    pub drift: f64,
    /// Norm and scale as fitted with the network.
    pub nuisances: Vec<f64>,
}

/// Adam's constants, as keras has them.
const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-7;
/// Nodes are made between edges at so many to the shortest distance over which the network varies.
const EDGES: f64 = 5.0;
/// Events that are evaluated together.
const BLOCK: usize = 128;

/// Trains and returns the statistic.
///
/// # Errors
/// Settings out of range, and a training that ends in numbers that are none.
pub fn fit(
    experiment: &Experiment,
    config: &NetworkConfig,
    nuisances: Option<&Nuisances>,
    rng_seed: u64,
    number: u64,
) -> Result<NetworkFit, Error> {
    check_config(config, nuisances)?;
    let all = Events::of(experiment, nuisances);
    let width = 1.0 / (EDGES * config.weight_clip);
    let one_dimension = experiment.columns().len() == 1 && width > 0.0;
    let few = (config.compress && one_dimension).then(|| all.compressed(width, nuisances));
    let training = few.as_ref().unwrap_or(&all);
    let mut model = Model::new(experiment.columns().len(), config.hidden, nuisances);
    let mut parameters = model.initial(&mut Stream::of(rng_seed, number));
    let n_network = config.n_parameters(model.dimensions);
    let mut gradient = vec![0.0; parameters.len()];
    let mut moments = (gradient.clone(), gradient.clone());
    let mut before = 0.0;
    for epoch in 1..=config.epochs {
        let loss = model.loss(&parameters, training, Some(&mut gradient));
        if epoch == config.epochs - config.epochs / 10 {
            before = loss;
        }
        let power = epoch as i32;
        let rate =
            config.learning_rate * (1.0 - BETA.1.powi(power)).sqrt() / (1.0 - BETA.0.powi(power));
        for (k, parameter) in parameters.iter_mut().enumerate() {
            let g = gradient[k];
            moments.0[k] += (1.0 - BETA.0) * (g - moments.0[k]);
            moments.1[k] += (1.0 - BETA.1) * (g * g - moments.1[k]);
            *parameter -= rate * moments.0[k] / (moments.1[k].sqrt() + EPSILON);
            if k < n_network {
                *parameter = parameter.clamp(-config.weight_clip, config.weight_clip);
            }
        }
    }
    let drift = 2.0 * (before - model.loss(&parameters, training, None));
    let tau = -2.0 * model.loss(&parameters, &all, None);
    let delta = nuisances.map_or(Ok(0.0), |nuisances| delta(&all, nuisances))?;
    let t = tau - delta;
    if !t.is_finite() {
        let steps = config.epochs as usize;
        return Err(Error::NotConverged { what: "network test", steps, left: f64::INFINITY });
    }
    Ok(NetworkFit { t, tau, delta, drift, nuisances: parameters.split_off(n_network) })
}

fn check_config(config: &NetworkConfig, nuisances: Option<&Nuisances>) -> Result<(), Error> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let number = "a number above zero";
    check(config.hidden > 0, "hidden units", "at least 1", config.hidden as f64)?;
    let epochs = (1..=100_000_000).contains(&config.epochs);
    check(epochs, "epochs", "1 to 100000000", f64::from(config.epochs))?;
    check(positive(config.weight_clip), "weight clip", number, config.weight_clip)?;
    check(positive(config.learning_rate), "learning rate", number, config.learning_rate)?;
    let measured = nuisances.iter().flat_map(|nuisances| nuisances.measured());
    for Measured { value, error } in measured {
        check(positive(error), "error of a nuisance parameter", number, error)?;
        check(value.is_finite(), "nuisance parameter", "a finite number", value)?;
    }
    Ok(())
}

impl Nuisances<'_> {
    fn measured(&self) -> Vec<Measured> {
        [Some(self.norm), self.scale.map(|scale| scale.0)].into_iter().flatten().collect()
    }

    /// ½ Σ [(ν − ν₀)² − ν₀²] / s², and its derivatives added to a gradient.
    fn penalty(&self, values: &[f64], gradient: Option<&mut [f64]>) -> f64 {
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
}

/// Events as the network sees them.
struct Events {
    /// `[reference, data][observable][event]`.
    columns: [Vec<Vec<f64>>; 2],
    weights: [Vec<f64>; 2],
    /// δ(x); empty without a scale.
    slopes: [Vec<f64>; 2],
}

impl Events {
    fn of(experiment: &Experiment, nuisances: Option<&Nuisances>) -> Events {
        let split = experiment.n_reference();
        let part = |list: &Vec<f64>| [list[..split].to_vec(), list[split..].to_vec()];
        let mut columns = [Vec::new(), Vec::new()];
        for column in experiment.columns() {
            let [reference, data] = part(column);
            columns[0].push(reference);
            columns[1].push(data);
        }
        let weights = part(&experiment.weights().to_vec());
        Events { slopes: slopes(&columns, nuisances), columns, weights }
    }

    /// Nodes instead; one observable.
    fn compressed(&self, width: f64, nuisances: Option<&Nuisances>) -> Events {
        let part = |k: usize| compress(&self.columns[k][0], &self.weights[k], width);
        let [(reference, w), (data, v)] = [part(0), part(1)];
        let columns = [vec![reference], vec![data]];
        Events { slopes: slopes(&columns, nuisances), columns, weights: [w, v] }
    }
}

fn slopes(columns: &[Vec<Vec<f64>>; 2], nuisances: Option<&Nuisances>) -> [Vec<f64>; 2] {
    let Some((_, slope)) = nuisances.and_then(|nuisances| nuisances.scale) else {
        return [Vec::new(), Vec::new()];
    };
    [0, 1].map(|k| {
        let columns: &Vec<Vec<f64>> = &columns[k];
        let event = |event: usize| columns.iter().map(|c| c[event]).collect::<Vec<f64>>();
        (0..columns[0].len()).map(|k| slope(&event(k))).collect()
    })
}

/// Network and nuisances. Parameters: input weights `[hidden][observable]`, biases, output weights, output
/// bias; norm, scale.
struct Model<'a> {
    dimensions: usize,
    hidden: usize,
    nuisances: Option<&'a Nuisances<'a>>,
    /// Outputs of the hidden layer, `[hidden][BLOCK]`.
    outputs: Vec<f64>,
}

impl<'a> Model<'a> {
    fn new(dimensions: usize, hidden: usize, nuisances: Option<&'a Nuisances>) -> Model<'a> {
        Model { dimensions, hidden, nuisances, outputs: vec![0.0; hidden * BLOCK] }
    }

    /// Glorot-uniform, biases too (as keras makes them where no initialiser is named).
    fn initial(&self, stream: &mut Stream) -> Vec<f64> {
        let mut parameters = Vec::new();
        let mut draw = |n: usize, fans: usize| {
            let limit = (6.0 / fans as f64).sqrt();
            for _ in 0..n {
                parameters.push(limit * (2.0 * stream.uniform() - 1.0));
            }
        };
        let (d, h) = (self.dimensions, self.hidden);
        draw(h * d, d + h);
        draw(h, 2 * h);
        draw(h, h + 1);
        draw(1, 2);
        // Nuisances begin where they were measured.
        let measured = self.nuisances.iter().flat_map(|nuisances| nuisances.measured());
        parameters.extend(measured.map(|measured| measured.value));
        parameters
    }

    /// L, and its gradient if wanted.
    fn loss(&mut self, parameters: &[f64], events: &Events, gradient: Option<&mut [f64]>) -> f64 {
        let n_network = self.hidden * (self.dimensions + 2) + 1;
        let (network, nuisances) = parameters.split_at(n_network);
        let mut unused = Vec::new();
        let wanted = gradient.is_some();
        let gradient = gradient.unwrap_or_else(|| {
            unused = vec![0.0; parameters.len()];
            &mut unused
        });
        gradient.fill(0.0);
        let mut loss = 0.0;
        for (k, is_data) in [(0, false), (1, true)] {
            let n = events.weights[k].len();
            for first in (0..n).step_by(BLOCK) {
                let range = first..n.min(first + BLOCK);
                let mut f = [0.0; BLOCK];
                let f = &mut f[..range.len()];
                let columns = &events.columns[k];
                self.forward(network, columns, range.clone(), f);
                let slopes = events.slopes[k].get(range.clone());
                add_nuisances(nuisances, slopes, f);
                loss += loss_of(&events.weights[k][range.clone()], is_data, f);
                if wanted {
                    // By now f is the derivative of the loss by f.
                    let (into, rest) = gradient.split_at_mut(n_network);
                    self.backward(network, columns, range, f, into);
                    if let [norm, rest @ ..] = rest {
                        *norm += sum(f);
                        if let ([scale], Some(slopes)) = (rest, slopes) {
                            *scale += dot(f, slopes);
                        }
                    }
                }
            }
        }
        let penalty = |gradient: &mut [f64]| {
            let all = self.nuisances.map(|n| n.penalty(nuisances, Some(gradient)));
            all.unwrap_or(0.0)
        };
        loss + penalty(&mut gradient[n_network..])
    }

    fn forward(
        &mut self,
        network: &[f64],
        columns: &[Vec<f64>],
        range: std::ops::Range<usize>,
        f: &mut [f64],
    ) {
        let (d, h, n) = (self.dimensions, self.hidden, range.len());
        f.fill(network[h * (d + 2)]);
        for (unit, outputs) in self.outputs.chunks_exact_mut(BLOCK).enumerate() {
            let outputs = &mut outputs[..n];
            outputs.fill(-network[h * d + unit]);
            for (weight, column) in network[unit * d..].iter().zip(columns) {
                let column = &column[range.clone()];
                outputs.iter_mut().zip(column).for_each(|(z, x)| *z -= weight * x);
            }
            exp_all(outputs);
            let weight = network[h * (d + 1) + unit];
            for (s, f) in outputs.iter_mut().zip(f.iter_mut()) {
                *s = 1.0 / (1.0 + *s);
                *f += weight * *s;
            }
        }
    }

    fn backward(
        &mut self,
        network: &[f64],
        columns: &[Vec<f64>],
        range: std::ops::Range<usize>,
        slope: &[f64],
        gradient: &mut [f64],
    ) {
        let (d, h, n) = (self.dimensions, self.hidden, range.len());
        gradient[h * (d + 2)] += sum(slope);
        for (unit, outputs) in self.outputs.chunks_exact_mut(BLOCK).enumerate() {
            let outputs = &mut outputs[..n];
            gradient[h * (d + 1) + unit] += dot(slope, outputs);
            let weight = network[h * (d + 1) + unit];
            outputs.iter_mut().zip(slope).for_each(|(s, g)| *s = g * weight * *s * (1.0 - *s));
            gradient[h * d + unit] += sum(outputs);
            for (k, column) in columns.iter().enumerate() {
                gradient[unit * d + k] += dot(outputs, &column[range.clone()]);
            }
        }
    }
}

fn add_nuisances(nuisances: &[f64], slopes: Option<&[f64]>, f: &mut [f64]) {
    if let [norm, rest @ ..] = nuisances {
        f.iter_mut().for_each(|f| *f += norm);
        if let ([scale], Some(slopes)) = (rest, slopes) {
            f.iter_mut().zip(slopes).for_each(|(f, slope)| *f += scale * slope);
        }
    }
}

/// The part of L of some events; f becomes its derivative by f.
fn loss_of(weights: &[f64], is_data: bool, f: &mut [f64]) -> f64 {
    if is_data {
        let loss = -dot(weights, f);
        f.iter_mut().zip(weights).for_each(|(f, v)| *f = -v);
        return loss;
    }
    exp_all(f);
    f.iter_mut().zip(weights).for_each(|(f, w)| *f *= w);
    sum(f) - sum(weights)
}

/// −2 min L over the nuisances alone.
fn delta(events: &Events, nuisances: &Nuisances) -> Result<f64, Error> {
    let mut nu: Vec<f64> = nuisances.measured().iter().map(|measured| measured.value).collect();
    let mut left = f64::INFINITY;
    for _ in 0..100 {
        let (loss, gradient, hessian) = without_network(events, nuisances, &nu);
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
            let moved = without_network(events, nuisances, &moved(scale)).0;
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
fn without_network(
    events: &Events,
    nuisances: &Nuisances,
    nu: &[f64],
) -> (f64, [f64; 2], [[f64; 2]; 2]) {
    let mut gradient = [0.0; 2];
    let mut loss = nuisances.penalty(nu, Some(&mut gradient));
    let mut hessian = [[0.0; 2]; 2];
    for (k, measured) in nuisances.measured().iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nplm::{Benchmark, Sample};

    fn experiment() -> Experiment {
        let mut stream = Stream::of(41, 0);
        let mut sample = |n: usize| Sample {
            columns: (0..2).map(|_| (0..n).map(|_| stream.exponential()).collect()).collect(),
            weights: (0..n).map(|_| 0.2 + stream.uniform()).collect(),
        };
        let (reference, data) = (sample(300), sample(200));
        Experiment::new(reference, &data).unwrap()
    }

    #[test]
    fn gradients_are_differences_of_losses() {
        let experiment = experiment();
        let slope = |x: &[f64]| x[0] - x[1] / 2.0;
        let measured = Measured { value: 0.1, error: 0.3 };
        let nuisances = Nuisances { norm: measured, scale: Some((measured, &slope)) };
        for nuisances in [None, Some(&nuisances)] {
            let events = Events::of(&experiment, nuisances);
            let mut model = Model::new(2, 3, nuisances);
            let parameters = model.initial(&mut Stream::of(1, 1));
            let mut gradient = vec![0.0; parameters.len()];
            model.loss(&parameters, &events, Some(&mut gradient));
            for k in 0..parameters.len() {
                let mut at = |step: f64| {
                    let mut moved = parameters.clone();
                    moved[k] += step;
                    model.loss(&moved, &events, None)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (difference - gradient[k]).abs() < 1e-6 * (1.0 + difference.abs()),
                    "{k}: {difference} {}",
                    gradient[k]
                );
            }
        }
    }

    #[test]
    fn the_loss_is_its_formula_event_by_event() {
        let experiment = experiment();
        let events = Events::of(&experiment, None);
        let mut model = Model::new(2, 3, None);
        let p = model.initial(&mut Stream::of(2, 0));
        let f = |event: usize| {
            let x = [experiment.columns()[0][event], experiment.columns()[1][event]];
            let unit = |j: usize| {
                p[9 + j] / (1.0 + (-(p[2 * j] * x[0] + p[2 * j + 1] * x[1] + p[6 + j])).exp())
            };
            unit(0) + unit(1) + unit(2) + p[12]
        };
        let f: Vec<f64> = (0..experiment.len()).map(f).collect();
        let loss = model.loss(&p, &events, None);
        assert!((-2.0 * loss - experiment.statistic(&f)).abs() < 1e-9);
    }

    #[test]
    fn parameters_stay_within_the_clip_and_t_is_what_they_give() {
        let benchmark =
            Benchmark { n_reference: 2000, n_expected: 200.0, ..Benchmark::nplm_package() };
        let experiment = benchmark.draw(0.0, 0.0, 1, 0).unwrap();
        let config =
            NetworkConfig { epochs: 2000, learning_rate: 0.05, ..NetworkConfig::published() };
        let loose = fit(&experiment, &config, None, 1, 0).unwrap();
        assert_eq!((loose.t, loose.delta), (loose.tau, 0.0));
        let tight = NetworkConfig { weight_clip: 0.05, ..config.clone() };
        let tight = fit(&experiment, &tight, None, 1, 0).unwrap();
        // Hardly anything can be learnt: f stays within ± 0.25.
        assert!(tight.t < loose.t, "{tight:?} {loose:?}");
        assert!(fit(&experiment, &NetworkConfig { hidden: 0, ..config }, None, 1, 0).is_err());
    }
}
