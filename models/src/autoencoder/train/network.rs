//! The network while it is trained: all its numbers in one array, evaluated as tensors.
//!
//! Numbers live in one flat array, so that the optimiser, the checkpoint and the choice of initial
//! values need to know nothing of layers. For each step they become tensors that remember where
//! they went, and gradients come back as one flat array.
//!
//! ```text
//! variational     x ─► encoder ─► means ──────┬──────────────► + ─► decoder ─► outputs
//!                         └─► log-variances ──┴─► exp(½ ·) · noise
//! others          x ─► encoder, all of it ─► outputs
//! ```
//!
//! Fine-tuning sees the encoder as its integer twin will be: weights and biases on their grid,
//! every value rounded to its own. Gradients pass through roundings as if they were not there.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use burn_tensor::{Device, Tensor, TensorData};

use super::config::{Architecture, AutoencoderConfig, Loss};
use super::convolution::{Image, Sharing};
use crate::autoencoder::float::{DenseLayer, FloatNet, FloatParts, InputScale};
use crate::autoencoder::quantise::{CODE_BITS, Grid};
use crate::error::Result;
use crate::forest::rng::TreeRng as SeededRng;

/// Log-variances are kept within ± this, so that no exponential overflows.
const MAX_LOG_VARIANCE: f32 = 10.0;

/// Where the numbers of a layer are. All weights have the shape `(n_inputs, n_outputs)`.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    n_inputs: usize,
    n_outputs: usize,
    start: usize,
    /// How they come from fewer numbers, if they do.
    sharing: Option<Arc<Sharing>>,
}

impl Layer {
    fn weights(&self) -> Range<usize> {
        let n_weights =
            self.sharing.as_ref().map_or(self.n_inputs * self.n_outputs, |s| s.n_weights);
        self.start..self.start + n_weights
    }

    fn biases(&self) -> Range<usize> {
        let start = self.weights().end;
        start..start + self.sharing.as_ref().map_or(self.n_outputs, |s| s.n_biases)
    }

    fn all_weights<'a>(&self, parameters: &'a [f32]) -> Cow<'a, [f32]> {
        let own = &parameters[self.weights()];
        match &self.sharing {
            None => Cow::Borrowed(own),
            Some(sharing) => Cow::Owned(sharing.all_weights(own)),
        }
    }

    fn all_biases<'a>(&self, parameters: &'a [f32]) -> Cow<'a, [f32]> {
        let own = &parameters[self.biases()];
        match &self.sharing {
            None => Cow::Borrowed(own),
            Some(sharing) => Cow::Owned(sharing.all_biases(own)),
        }
    }
}

/// Layers and what is done with their outputs.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// The layers that are kept; the last one is linear.
    encoder: Vec<Layer>,
    /// From the input of the last layer of the encoder; variational ones only.
    log_variance: Option<Layer>,
    /// From the latent variables; empty but for variational ones.
    decoder: Vec<Layer>,
    /// Features that the outputs are compared with, in order.
    targets: Vec<usize>,
    n_features: usize,
    cap: f32,
    loss: Loss,
    beta: f32,
}

/// Rows of a step, ready to become tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// **Shape**: `(rows, n_features)`; 1.0 is 128 codes.
    pub(super) inputs: Vec<f32>,
    /// **Shape**: `(rows, latent)`, standard normal; empty where there are no latent variables.
    pub(super) noise: Vec<f32>,
}

/// A layer as tensors.
struct LayerTensors {
    /// Numbers that are trained, weights and biases; gradients are theirs.
    own: [Tensor<2>; 2],
    weights: Tensor<2>,
    biases: Tensor<2>,
    /// What outputs are multiples of, once they are rounded.
    unit: Option<f32>,
}

impl LayerTensors {
    fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weights.clone()) + self.biases.clone()
    }

    /// Halves are rounded up, as shifting with half a unit in the bias does.
    fn round(&self, x: Tensor<2>) -> Tensor<2> {
        let Some(unit) = self.unit else { return x };
        let rounded = x.clone().div_scalar(unit).add_scalar(0.5).floor().mul_scalar(unit);
        x.clone() + (rounded - x).detach()
    }
}

impl Network {
    /// The network of a configuration that was checked.
    pub(super) fn new(config: &AutoencoderConfig, n_features: usize) -> Network {
        let targets: Vec<usize> = match config.targets.as_slice() {
            [] => (0..n_features).collect(),
            targets => targets.iter().map(|&target| target.into()).collect(),
        };
        let hidden = |widths: &[u32]| widths.iter().map(|&width| width as usize).collect();
        let mut layers = Layers { end: 0 };
        let mut widths = vec![n_features];
        let (encoder, log_variance, decoder) = match &config.architecture {
            Architecture::Variational { hidden: inner, latent, .. } => {
                widths.extend::<Vec<usize>>(hidden(inner));
                let before_latent = widths[widths.len() - 1];
                widths.push(*latent as usize);
                let encoder = layers.chain(&widths);
                let log_variance = layers.next(before_latent, *latent as usize, None);
                widths[0] = targets.len();
                widths.reverse();
                (encoder, Some(log_variance), layers.chain(&widths))
            }
            Architecture::Reconstruction { hidden: inner } => {
                widths.extend::<Vec<usize>>(hidden(inner));
                widths.push(targets.len());
                (layers.chain(&widths), None, Vec::new())
            }
            &Architecture::Convolutional { filters, latent } => {
                let (image, latent) = (Image::new(filters, n_features), latent as usize);
                let first = layers.next(n_features, image.n_hidden(), Some(image.encoder()));
                let mut encoder = vec![first];
                encoder.extend(layers.chain(&[image.n_hidden(), latent, image.n_hidden()]));
                encoder.push(layers.next(image.n_hidden(), n_features, Some(image.decoder())));
                (encoder, None, Vec::new())
            }
        };
        let (cap, loss, beta) = (config.clipped_at(), config.loss, config.beta() as f32);
        Network { encoder, log_variance, decoder, targets, n_features, cap, loss, beta }
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.encoder.iter().chain(&self.log_variance).chain(&self.decoder)
    }

    /// Layers that are kept, and have integer twins.
    pub(super) fn n_kept_layers(&self) -> usize {
        self.encoder.len()
    }

    /// How many numbers there are to train.
    pub(super) fn n_parameters(&self) -> usize {
        self.layers().map(|layer| layer.biases().end).max().unwrap_or(0)
    }

    /// Where the weights are, as opposed to biases.
    pub(super) fn weights(&self) -> Vec<Range<usize>> {
        self.layers().map(Layer::weights).collect()
    }

    /// Numbers of noise that a row needs.
    pub(super) fn noise_width(&self) -> usize {
        self.log_variance.as_ref().map_or(0, |layer| layer.n_outputs)
    }

    /// Weights before training: normal with the variance 2 / inputs, which keeps the scale of what
    /// passes rectifiers; biases 0. The linear layer of log-variances starts at 0, variance 1, and
    /// so do the weights of features that are not reconstructed: they have to earn their influence,
    /// or angles, whose codes are large and say little, would drown the momenta.
    /// **Source**: He et al., ICCV 2015.
    pub(super) fn initial(&self, rng: &mut SeededRng) -> Vec<f32> {
        let mut parameters = vec![0.0; self.n_parameters()];
        for (k, layer) in self.layers().enumerate() {
            if let Some(sharing) = &layer.sharing {
                let width = (2.0 / sharing.fan_in as f32).sqrt();
                let weights = &mut parameters[layer.weights()];
                weights.iter_mut().for_each(|weight| *weight = width * standard_normal(rng));
                continue;
            }
            let is_heard = |input: usize| k > 0 || self.targets.contains(&input);
            let n_heard = (0..layer.n_inputs).filter(|&input| is_heard(input)).count();
            let is_variance = Some(layer) == self.log_variance.as_ref();
            let width = if is_variance { 0.0 } else { (2.0 / n_heard as f32).sqrt() };
            let weights = parameters[layer.weights()].chunks_exact_mut(layer.n_outputs);
            for (_, weights) in weights.enumerate().filter(|&(input, _)| is_heard(input)) {
                weights.iter_mut().for_each(|weight| *weight = width * standard_normal(rng));
            }
        }
        parameters
    }

    /// Loss of a batch and its gradient by every number. `output_bits` are those that the layers
    /// of the integer twin should have, when fine-tuning.
    pub(super) fn gradient(
        &self,
        parameters: &[f32],
        batch: &Batch,
        output_bits: Option<&[i32]>,
    ) -> (f32, Vec<f32>) {
        let device = Device::flex().autodiff();
        let tensors = self.tensors(parameters, &device, output_bits, true);
        let loss = self.loss(&tensors, batch, &device);
        let gradients = loss.backward();
        let mut gradient = vec![0.0; parameters.len()];
        for (layer, of_layer) in self.layers().zip(&tensors) {
            for (range, tensor) in [layer.weights(), layer.biases()].into_iter().zip(&of_layer.own)
            {
                if let Some(part) = tensor.grad(&gradients) {
                    gradient[range].copy_from_slice(&numbers(part.into_data()));
                }
            }
        }
        (scalar(loss.inner()), gradient)
    }

    /// Loss of a batch.
    pub(super) fn loss_of(
        &self,
        parameters: &[f32],
        batch: &Batch,
        output_bits: Option<&[i32]>,
    ) -> f32 {
        let device = Device::flex();
        let tensors = self.tensors(parameters, &device, output_bits, false);
        scalar(self.loss(&tensors, batch, &device))
    }

    /// In the order of [`Network::layers`].
    fn tensors(
        &self,
        parameters: &[f32],
        device: &Device,
        output_bits: Option<&[i32]>,
        train: bool,
    ) -> Vec<LayerTensors> {
        let mut in_bits = CODE_BITS;
        let layer = |(k, layer): (usize, &Layer)| {
            let own = [layer.weights(), layer.biases()].map(|range| {
                let n = range.len();
                let own = matrix(parameters[range].to_vec(), [n, 1], device);
                if train { own.require_grad() } else { own }
            });
            let mut tensors = layer_tensors(layer, own, device);
            // Only the encoder has an integer twin.
            if let Some(&wanted) = output_bits.and_then(|bits| bits.get(k)) {
                let (weights, biases) =
                    (layer.all_weights(parameters), layer.all_biases(parameters));
                let grid = grid(layer, &weights, in_bits, wanted);
                let [weights, biases] = roundings(layer, &grid, &weights, &biases);
                let shape = [layer.n_inputs, layer.n_outputs];
                tensors.weights = tensors.weights + matrix(weights, shape, device);
                tensors.biases = tensors.biases + matrix(biases, [1, layer.n_outputs], device);
                tensors.unit = Some(2_f32.powi(-grid.out_bits));
                in_bits = grid.out_bits;
            }
            tensors
        };
        self.layers().enumerate().map(layer).collect()
    }

    /// Clips hidden values; the integer twin does at the highest code.
    fn rectify(&self, x: Tensor<2>, unit: Option<f32>) -> Tensor<2> {
        let cap = unit.map_or(self.cap, |unit| 255.0 * unit);
        if cap.is_finite() { x.clamp(0.0, cap) } else { x.clamp_min(0.0) }
    }

    /// Outputs of a chain of layers, all but the last clipped, and what the last one saw.
    fn run(&self, layers: &[LayerTensors], x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (mut x, mut seen) = (x.clone(), x);
        for (k, layer) in layers.iter().enumerate() {
            seen = x;
            x = layer.apply(seen.clone());
            if k + 1 < layers.len() {
                x = self.rectify(x, layer.unit);
            }
            x = layer.round(x);
        }
        (x, seen)
    }

    /// Mean over the rows of the cost of all errors and of the weighted divergence.
    fn loss(&self, tensors: &[LayerTensors], batch: &Batch, device: &Device) -> Tensor<1> {
        let n_rows = batch.inputs.len() / self.n_features;
        let rows = |values: Vec<f32>, width: usize| matrix(values, [n_rows, width], device);
        let targets: Vec<f32> = batch
            .inputs
            .chunks_exact(self.n_features)
            .flat_map(|row| self.targets.iter().map(|&target| row[target]))
            .collect();
        let targets = rows(targets, self.targets.len());
        let inputs = rows(batch.inputs.clone(), self.n_features);
        let (encoder, rest) = tensors.split_at(self.encoder.len());
        let (outputs, seen) = self.run(encoder, inputs);
        let per_row = 1.0 / n_rows as f32;
        let Some((log_variance, decoder)) = rest.split_first() else {
            return self.cost(outputs - targets).mul_scalar(per_row);
        };
        let mean = outputs;
        let log_variance = log_variance.apply(seen).clamp(-MAX_LOG_VARIANCE, MAX_LOG_VARIANCE);
        let noise = rows(batch.noise.clone(), self.noise_width());
        let latent = mean.clone() + log_variance.clone().mul_scalar(0.5).exp() * noise;
        let (outputs, _) = self.run(decoder, latent);
        let divergence = mean.square() + log_variance.clone().exp() - log_variance.add_scalar(1.0);
        let divergence = divergence.sum().mul_scalar(0.5 * self.beta);
        (self.cost(outputs - targets) + divergence).mul_scalar(per_row)
    }

    /// The cost of errors, added up.
    fn cost(&self, errors: Tensor<2>) -> Tensor<1> {
        match self.loss {
            Loss::Mse => errors.square().sum(),
            Loss::Huber { delta } => {
                // With c = min(|e|, delta), c (2 |e| − c) is e² or 2 delta |e| − delta².
                let size = errors.abs();
                let clipped = size.clone().clamp_max(delta as f32);
                (clipped.clone() * (size.mul_scalar(2.0) - clipped)).sum()
            }
        }
    }

    /// What is kept of it.
    pub(super) fn export(&self, parameters: &[f32], inputs: &[InputScale]) -> Result<FloatNet> {
        let layer = |layer: &Layer| {
            let weights = layer.all_weights(parameters);
            let transposed = (0..layer.n_outputs)
                .flat_map(|to| (0..layer.n_inputs).map(move |from| (from, to)))
                .map(|(from, to)| weights[from * layer.n_outputs + to]);
            DenseLayer {
                n_inputs: layer.n_inputs as u32,
                weights: transposed.collect(),
                biases: layer.all_biases(parameters).into_owned(),
            }
        };
        let targets = match self.log_variance {
            Some(_) => Vec::new(),
            None => self.targets.iter().map(|&target| target as u16).collect(),
        };
        FloatNet::new(FloatParts {
            inputs: inputs.to_vec(),
            layers: self.encoder.iter().map(layer).collect(),
            cap: self.cap,
            targets,
        })
    }
}

/// Deals out places in the array of numbers.
struct Layers {
    end: usize,
}

impl Layers {
    fn next(&mut self, n_inputs: usize, n_outputs: usize, sharing: Option<Sharing>) -> Layer {
        let sharing = sharing.map(Arc::new);
        let layer = Layer { n_inputs, n_outputs, start: self.end, sharing };
        self.end = layer.biases().end;
        layer
    }

    fn chain(&mut self, widths: &[usize]) -> Vec<Layer> {
        widths.windows(2).map(|pair| self.next(pair[0], pair[1], None)).collect()
    }
}

fn matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A layer, not rounded, from the numbers that are trained.
fn layer_tensors(layer: &Layer, own: [Tensor<2>; 2], device: &Device) -> LayerTensors {
    let [weights, biases] = own.clone();
    let [weights, biases] = match &layer.sharing {
        None => [weights, biases],
        Some(sharing) => {
            let all = |map: &[f32], own: Tensor<2>| {
                let n_own = own.dims()[0];
                matrix(map.to_vec(), [map.len() / n_own, n_own], device).matmul(own)
            };
            [all(&sharing.weights, weights), all(&sharing.biases, biases)]
        }
    };
    let weights = weights.reshape([layer.n_inputs, layer.n_outputs]);
    let biases = biases.reshape([1, layer.n_outputs]);
    LayerTensors { own, weights, biases, unit: None }
}

/// The grid of the integer twin of a layer.
fn grid(layer: &Layer, weights: &[f32], in_bits: i32, wanted: i32) -> Grid {
    let mut largest = vec![0.0f32; layer.n_outputs];
    for weights in weights.chunks_exact(layer.n_outputs) {
        largest.iter_mut().zip(weights).for_each(|(largest, w)| *largest = largest.max(w.abs()));
    }
    Grid::new(&largest, in_bits, wanted)
}

/// What brings weights and biases onto the grid.
fn roundings(layer: &Layer, grid: &Grid, weights: &[f32], biases: &[f32]) -> [Vec<f32>; 2] {
    let weight = |(k, &w): (usize, &f32)| {
        let output = k % layer.n_outputs;
        (grid.weight(output, w) * 2_f64.powi(-grid.weight_bits[output]) - f64::from(w)) as f32
    };
    let bias = |(output, &b): (usize, &f32)| {
        let unit = 2_f64.powi(-grid.in_bits - grid.weight_bits[output]);
        (grid.bias(output, b) * unit - f64::from(b)) as f32
    };
    [
        weights.iter().enumerate().map(weight).collect(),
        biases.iter().enumerate().map(bias).collect(),
    ]
}

/// A normal deviate; the tails end at six standard deviations.
pub(super) fn standard_normal(rng: &mut SeededRng) -> f32 {
    rng.normal() as f32 / 65_536.0
}

fn numbers(data: TensorData) -> Vec<f32> {
    data.try_into_vec().expect("the backend computes in f32")
}

fn scalar(tensor: Tensor<1>) -> f32 {
    numbers(tensor.into_data())[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoder::quantise::{output_bits, quantise};

    fn configs() -> [AutoencoderConfig; 4] {
        let variational = AutoencoderConfig {
            architecture: Architecture::Variational { hidden: vec![7, 5], latent: 3, beta: 0.3 },
            targets: vec![0, 4, 2],
            cap: 1.0,
            ..Default::default()
        };
        let reconstruction = AutoencoderConfig {
            architecture: Architecture::Reconstruction { hidden: vec![6, 2, 6] },
            loss: Loss::Huber { delta: 0.2 },
            ..variational.clone()
        };
        let everything =
            AutoencoderConfig { targets: Vec::new(), cap: f32::INFINITY, ..reconstruction.clone() };
        let convolutional = AutoencoderConfig {
            architecture: Architecture::Convolutional { filters: 2, latent: 3 },
            loss: Loss::Mse,
            ..everything.clone()
        };
        [variational, reconstruction, everything, convolutional]
    }

    fn batch(network: &Network, n_rows: usize, rng: &mut SeededRng) -> (Vec<u8>, Batch) {
        let codes: Vec<u8> = (0..n_rows * 6).map(|_| rng.below(256) as u8).collect();
        let inputs = codes.iter().map(|&code| f32::from(code) / 128.0).collect();
        let n_noise = n_rows * network.noise_width();
        let noise = (0..n_noise).map(|_| standard_normal(rng)).collect();
        (codes, Batch { inputs, noise })
    }

    #[test]
    fn the_exported_network_gives_what_the_tensors_give() {
        for config in configs() {
            let mut rng = SeededRng::of_tree(3, 0);
            let network = Network::new(&config, 6);
            let mut parameters = network.initial(&mut rng);
            parameters.iter_mut().for_each(|p| *p += 0.1 * standard_normal(&mut rng));
            let net = network.export(&parameters, &[InputScale::default(); 6]).unwrap();
            let (codes, batch) = batch(&network, 200, &mut rng);
            let device = Device::flex();
            let tensors = network.tensors(&parameters, &device, None, false);
            let data = TensorData::new(batch.inputs, [200, 6]);
            let inputs = Tensor::from_data(data, &device);
            let (outputs, _) = network.run(&tensors[..network.encoder.len()], inputs);
            let outputs = numbers(outputs.into_data());
            let width = outputs.len() / 200;
            for (codes, expected) in codes.chunks(6).zip(outputs.chunks(width)) {
                let row: Vec<i16> = codes.iter().map(|&code| code.into()).collect();
                let found = net.values(&row).pop().unwrap();
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn fine_tuning_sees_what_the_integer_twin_gives() {
        for config in configs() {
            let mut rng = SeededRng::of_tree(7, 0);
            let network = Network::new(&config, 6);
            let mut parameters = network.initial(&mut rng);
            parameters.iter_mut().for_each(|p| *p += 0.1 * standard_normal(&mut rng));
            let net = network.export(&parameters, &[InputScale::default(); 6]).unwrap();
            let (codes, batch) = batch(&network, 200, &mut rng);
            let rows: Vec<i16> = codes.iter().map(|&code| code.into()).collect();
            let bits = output_bits(&net, &rows).unwrap();
            let integer = quantise(&net, &bits).unwrap();
            let device = Device::flex();
            let tensors = network.tensors(&parameters, &device, Some(&bits), false);
            let n_layers = network.encoder.len();
            let unit = tensors[n_layers - 1].unit.unwrap();
            let inputs = matrix(batch.inputs, [200, 6], &device);
            let (outputs, _) = network.run(&tensors[..n_layers], inputs);
            let outputs = numbers(outputs.into_data());
            let width = outputs.len() / 200;
            for (codes, found) in codes.chunks(6).zip(outputs.chunks(width)) {
                for (found, expected) in found.iter().zip(integer.outputs(codes)) {
                    // Sums of a few products of 15 bits are exact in f32.
                    let difference = found / unit - expected as f32;
                    assert!(difference.abs() < f32::EPSILON, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn fine_tuning_passes_gradients_through_roundings() {
        for config in configs() {
            let mut rng = SeededRng::of_tree(8, 0);
            let network = Network::new(&config, 6);
            let mut parameters = network.initial(&mut rng);
            parameters.iter_mut().for_each(|p| *p += 0.1 * standard_normal(&mut rng));
            let net = network.export(&parameters, &[InputScale::default(); 6]).unwrap();
            let (codes, batch) = batch(&network, 500, &mut rng);
            let rows: Vec<i16> = codes.iter().map(|&code| code.into()).collect();
            let bits = output_bits(&net, &rows).unwrap();
            let (_, float) = network.gradient(&parameters, &batch, None);
            let (_, rounded) = network.gradient(&parameters, &batch, Some(&bits));
            // Roundings are small, so the two point into nearly the same direction.
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine =
                dot(&float, &rounded) / (dot(&float, &float) * dot(&rounded, &rounded)).sqrt();
            assert!(cosine > 0.98, "{cosine}");
        }
    }

    #[test]
    fn features_that_are_not_reconstructed_start_without_influence() {
        let [variational, ..] = configs();
        let network = Network::new(&variational, 6);
        let parameters = network.initial(&mut SeededRng::of_tree(6, 0));
        let net = network.export(&parameters, &[InputScale::default(); 6]).unwrap();
        let scores = |rows: [[i16; 6]; 2]| rows.map(|row| net.score(&row).to_bits());
        let [a, b] = scores([[9, 1, 80, 2, 30, 3], [9, 200, 80, 0, 30, 70]]);
        assert_eq!(a, b);
        let [a, b] = scores([[9, 1, 80, 2, 30, 3], [9, 1, 90, 2, 30, 3]]);
        assert_ne!(a, b);
    }

    #[test]
    fn the_loss_is_what_its_definition_says() {
        let mut rng = SeededRng::of_tree(4, 0);
        let [_, config, ..] = configs();
        let network = Network::new(&config, 6);
        let parameters = network.initial(&mut rng);
        let net = network.export(&parameters, &[InputScale::default(); 6]).unwrap();
        let (codes, batch) = batch(&network, 50, &mut rng);
        let mut expected = 0.0;
        for codes in codes.chunks(6) {
            let row: Vec<i16> = codes.iter().map(|&code| code.into()).collect();
            let outputs = net.values(&row).pop().unwrap();
            for (output, &target) in outputs.iter().zip(&[0, 4, 2]) {
                let size = (output - f32::from(codes[target]) / 128.0).abs();
                expected += if size < 0.2 { size * size } else { 0.4 * size - 0.04 };
            }
        }
        let found = network.loss_of(&parameters, &batch, None);
        assert!((found - expected / 50.0).abs() < 1e-4 * found, "{found} {expected}");
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        for config in configs() {
            let mut rng = SeededRng::of_tree(5, 0);
            let network = Network::new(&config, 6);
            // Biases of 0 put rows whose inputs are all clipped exactly onto a kink.
            let mut parameters = network.initial(&mut rng);
            parameters.iter_mut().for_each(|p| *p += 0.1 * standard_normal(&mut rng));
            let (_, batch) = batch(&network, 64, &mut rng);
            let (loss, gradient) = network.gradient(&parameters, &batch, None);
            assert!((loss - network.loss_of(&parameters, &batch, None)).abs() < 1e-5 * loss);
            // The slope along the gradient is its squared length.
            let length = gradient.iter().map(|g| g * g).sum::<f32>();
            let step = 1e-3 / length.sqrt();
            let mut at = |sign: f32| {
                parameters.iter_mut().zip(&gradient).for_each(|(p, g)| *p += sign * step * g);
                f64::from(network.loss_of(&parameters, &batch, None))
            };
            let (above, below) = (at(1.0), at(-2.0));
            let slope = (above - below) / f64::from(2.0 * step);
            assert!((slope / f64::from(length) - 1.0).abs() < 0.05, "{slope} {length}");
        }
    }
}
