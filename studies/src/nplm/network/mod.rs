//! The network version: one hidden layer of sigmoids, trained on the likelihood itself.
//!
//! Minimises L = Σ_R w (e^F − 1) − Σ_D v F + ½ Σ_ν [(ν − ν₀)² − ν₀²] / s² over F = f + ν_norm + ν_scale δ(x),
//! where f is the network and the nuisance parameters ν, measured elsewhere as ν₀ ± s, scale the expectation by
//! e^{ν_norm} and the observable by e^{ν_scale} (`nuisances.rs`). τ = −2 min L; Δ is the same without a network;
//! **t = τ − Δ** (t = τ without nuisances).
//!
//! All of it follows the published toys of GaiaGrosso/NPLM_package: Adam on all events at once, weights clipped to ±c
//! after each step, a fixed number of epochs (`training.rs`). In one dimension training sees the nodes of
//! `quadrature.rs`; statistics are evaluated on all events.
//! **Source**: R. D'Agnolo et al., EPJC 82 (2022) 275.

mod model;
mod nuisances;
mod quadrature;
mod training;

use std::num::NonZeroU32;

use super::experiment::Experiment;
use crate::error::{Error, check};
use crate::rng::Stream;
use model::{Events, Model};
pub use nuisances::{Measured, Nuisances, Slope, measured_around};

/// Which parameters of the network are clipped.
///
/// It matters: a step at x needs a bias of x times its weight. A bias that is clipped too allows no steep step far
/// from zero, and the network is blind to narrow peaks there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clip {
    /// Weights; biases are free. So were the package's published toys made (its version of January 2022).
    Weights,
    /// Biases too. So does the package since January 2024.
    All,
}

/// The network test's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Sigmoids in the hidden layer.
    pub hidden: usize,
    /// Largest size of what is clipped.
    pub weight_clip: f64,
    /// What that is.
    pub clip: Clip,
    /// Steps of Adam, each over all events.
    pub epochs: u32,
    /// Adam's step.
    pub learning_rate: f64,
    /// Whether events of one observable may be replaced by nodes for training.
    pub compress: bool,
    /// τ is noted before the first step and after every so many.
    pub note_every: Option<NonZeroU32>,
}

impl NetworkConfig {
    /// The published example: [1, 4, 1], weights clipped at 9, 300 000 epochs.
    #[must_use]
    pub fn published() -> NetworkConfig {
        NetworkConfig {
            hidden: 4,
            weight_clip: 9.0,
            clip: Clip::Weights,
            epochs: 300_000,
            learning_rate: 1e-3,
            compress: true,
            note_every: None,
        }
    }

    /// Parameters of the network: the degrees of freedom of the χ² that t is to follow.
    #[must_use]
    pub fn n_parameters(&self, observables: usize) -> usize {
        self.hidden * (observables + 2) + 1
    }

    /// Parameters before training: weights uniform within √(6 / (inputs + outputs)) (Glorot), biases zero. Weights of the
    /// hidden layer `[hidden][observable]`, its biases, weights and bias of the output.
    #[must_use]
    pub fn initial(&self, observables: usize, rng_seed: u64, number: u64) -> Vec<f64> {
        let mut stream = Stream::of(rng_seed, number);
        let (d, h) = (observables, self.hidden);
        let mut draw = |fans: usize| (6.0 / fans as f64).sqrt() * (2.0 * stream.uniform() - 1.0);
        let mut parameters: Vec<f64> = (0..h * d).map(|_| draw(d + h)).collect();
        parameters.resize(h * (d + 1), 0.0);
        parameters.extend((0..h).map(|_| draw(h + 1)));
        parameters.push(0.0);
        parameters
    }
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
    /// τ on all events less τ on the nodes that training sees; 0 without nodes.
    pub compression: f64,
    /// The network, in the order of [`NetworkConfig::initial`].
    pub network: Vec<f64>,
    /// Norm and scale as fitted with the network.
    pub nuisances: Vec<f64>,
    /// Steps done and τ (on what training sees), where [`NetworkConfig::note_every`] asks for it.
    pub history: Vec<(u32, f64)>,
}

/// Trains a network drawn at random and returns the statistic.
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
    check(config.hidden > 0, "hidden units", "at least 1", config.hidden as f64)?;
    let initial = config.initial(experiment.columns().len(), rng_seed, number);
    fit_from(experiment, config, nuisances, &initial)
}

/// Trains this network.
///
/// # Errors
/// Likewise, and another number of parameters than the network has.
pub fn fit_from(
    experiment: &Experiment,
    config: &NetworkConfig,
    nuisances: Option<&Nuisances>,
    initial: &[f64],
) -> Result<NetworkFit, Error> {
    let dimensions = experiment.columns().len();
    let (expected, found) = (config.n_parameters(dimensions), initial.len());
    if expected != found {
        return Err(Error::Length { what: "parameters of the network", expected, found });
    }
    check_config(config)?;
    nuisances.map_or(Ok(()), Nuisances::check)?;
    let all = Events::of(experiment, nuisances);
    let few = (config.compress && dimensions == 1)
        .then(|| all.compressed(quadrature::WIDTH / config.weight_clip, nuisances));
    let training = few.as_ref().unwrap_or(&all);
    let mut model = Model::new(dimensions, config.hidden, nuisances);
    // The package begins with nuisance parameters at the reference.
    let mut parameters = initial.to_vec();
    parameters.resize(expected + nuisances.map_or(0, |nuisances| nuisances.measured().len()), 0.0);
    let trained = training::train(&mut model, training, config, &mut parameters);
    let tau = -2.0 * model.loss(&parameters, &all, None);
    let delta = nuisances.map_or(Ok(0.0), |nuisances| nuisances.delta(&all))?;
    let t = tau - delta;
    if !t.is_finite() {
        let steps = config.epochs as usize;
        return Err(Error::NotConverged { what: "network test", steps, left: f64::INFINITY });
    }
    let nuisances = parameters.split_off(expected);
    Ok(NetworkFit {
        t,
        tau,
        delta,
        drift: trained.drift,
        compression: tau - trained.tau,
        network: parameters,
        nuisances,
        history: trained.history,
    })
}

fn check_config(config: &NetworkConfig) -> Result<(), Error> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let number = "a number above zero";
    let epochs = (1..=100_000_000).contains(&config.epochs);
    check(config.hidden > 0, "hidden units", "at least 1", config.hidden as f64)?;
    check(epochs, "epochs", "1 to 100000000", f64::from(config.epochs))?;
    check(positive(config.weight_clip), "weight clip", number, config.weight_clip)?;
    check(positive(config.learning_rate), "learning rate", number, config.learning_rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nplm::Benchmark;

    #[test]
    fn weights_stay_within_the_clip_and_t_is_what_they_give() {
        let benchmark =
            Benchmark { n_reference: 2000, n_expected: 200.0, ..Benchmark::nplm_package() };
        let experiment = benchmark.draw(0.0, 0.0, 1, 0).unwrap();
        let config =
            NetworkConfig { epochs: 2000, learning_rate: 0.05, ..NetworkConfig::published() };
        let loose = fit(&experiment, &config, None, 1, 0).unwrap();
        assert_eq!((loose.t, loose.delta), (loose.tau, 0.0));
        let size = |list: &[f64]| list.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let tight = NetworkConfig { weight_clip: 0.05, ..config.clone() };
        let free = fit(&experiment, &tight, None, 1, 0).unwrap();
        let (inner, outer) = (&free.network[..4], &free.network[8..12]);
        assert!(size(inner) <= 0.05 && size(outer) <= 0.05, "{free:?}");
        assert!(size(&free.network[4..8]) > 0.05, "biases are free: {free:?}");
        let all =
            fit(&experiment, &NetworkConfig { clip: Clip::All, ..tight }, None, 1, 0).unwrap();
        assert!(size(&all.network) <= 0.05, "{all:?}");
        // Hardly anything can be learnt: f stays within ± 0.25.
        assert!(all.t < loose.t && free.t < loose.t, "{all:?} {loose:?}");
        assert!(fit(&experiment, &NetworkConfig { hidden: 0, ..config }, None, 1, 0).is_err());
    }

    #[test]
    fn what_is_noted_begins_before_the_first_step_and_ends_with_the_last() {
        let benchmark = Benchmark { n_reference: 500, ..Benchmark::nplm_package() };
        let experiment = benchmark.draw(0.0, 0.0, 1, 0).unwrap();
        let config = NetworkConfig {
            epochs: 30,
            note_every: NonZeroU32::new(10),
            compress: false,
            ..NetworkConfig::published()
        };
        let fit = fit(&experiment, &config, None, 1, 0).unwrap();
        let steps: Vec<u32> = fit.history.iter().map(|(steps, _)| *steps).collect();
        assert_eq!(steps, [0, 10, 20, 30]);
        assert!((fit.history[3].1 - fit.tau).abs() < 1e-9 && fit.compression.abs() < 1e-9);
        let shorter = NetworkConfig { epochs: 20, ..config };
        let shorter = super::fit(&experiment, &shorter, None, 1, 0).unwrap();
        assert!((fit.history[2].1 - shorter.tau).abs() < 1e-9);
        let wrong = fit_from(&experiment, &NetworkConfig::published(), None, &[0.0; 12]);
        assert!(wrong.unwrap_err().to_string().contains("13"));
    }
}
