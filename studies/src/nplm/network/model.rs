//! The network with its nuisance parameters: the loss and its gradient, written out, on blocks of events.

use super::super::experiment::Experiment;
use super::super::vector::{dot, exp_all, sum};
use super::nuisances::{Nuisances, add_nuisances, loss_of};
use super::quadrature::compress;

/// Events that are evaluated together.
const BLOCK: usize = 128;

/// Events as the network sees them.
pub(super) struct Events {
    /// `[reference, data][observable][event]`.
    columns: [Vec<Vec<f64>>; 2],
    pub(super) weights: [Vec<f64>; 2],
    /// δ(x); empty without a scale.
    pub(super) slopes: [Vec<f64>; 2],
}

impl Events {
    pub(super) fn of(experiment: &Experiment, nuisances: Option<&Nuisances>) -> Events {
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
    pub(super) fn compressed(&self, width: f64, nuisances: Option<&Nuisances>) -> Events {
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
pub(super) struct Model<'a> {
    pub(super) dimensions: usize,
    pub(super) hidden: usize,
    nuisances: Option<&'a Nuisances<'a>>,
    /// Outputs of the hidden layer, `[hidden][BLOCK]`.
    outputs: Vec<f64>,
}

impl<'a> Model<'a> {
    pub(super) fn new(
        dimensions: usize,
        hidden: usize,
        nuisances: Option<&'a Nuisances>,
    ) -> Model<'a> {
        Model { dimensions, hidden, nuisances, outputs: vec![0.0; hidden * BLOCK] }
    }

    /// L, and its gradient if wanted.
    pub(super) fn loss(
        &mut self,
        parameters: &[f64],
        events: &Events,
        gradient: Option<&mut [f64]>,
    ) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::super::{Measured, NetworkConfig};
    use super::*;
    use crate::nplm::Sample;
    use crate::rng::Stream;

    fn config() -> NetworkConfig {
        NetworkConfig { hidden: 3, ..NetworkConfig::published() }
    }

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
            let mut parameters = config().initial(2, 1, 1);
            parameters.resize(12 + nuisances.map_or(1, |_| 3), 0.1);
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
        let p = config().initial(2, 2, 0);
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
}
