//! From floating point to integers.
//!
//! All scales are powers of two. Hidden values get the scale at which all but one in ten thousand of
//! the calibration rows stay below 256; the weights of each output get the one at which the largest is still
//! within seven bits. What a sum of products is worth follows from both, and its shift from what the
//! value after it is worth. Biases and half a unit for rounding are added at full precision.

use super::float::{CODES_PER_UNIT, DenseLayer, FloatNet};
use super::integer::{
    IntegerLayer, IntegerNet, IntegerParts, MAX_BIAS, MAX_DISTANCE, MAX_SHIFT, MAX_TARGET_BITS,
    MAX_WEIGHT,
};
use crate::error::{Error, Result};

/// Fractional bits of a code: 2^7 codes are 1.0.
pub(super) const CODE_BITS: i32 = 7;
const _: () = assert!(CODES_PER_UNIT as i32 == 1 << CODE_BITS);
/// Share of the calibration rows whose hidden values may be clipped, for each value.
const CLIPPED: f64 = 1e-4;
/// Scales that are looked at: beyond, a network is not what it should be.
const MAX_BITS: i32 = 30;

/// How fine the numbers of a layer are, in fractional bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// Of the inputs.
    pub(super) in_bits: i32,
    /// Of the weights of each output.
    pub(super) weight_bits: Vec<i32>,
    /// Of the outputs.
    pub(super) out_bits: i32,
}

impl Grid {
    /// The finest grid for a layer. `largest` has the largest weight of each output, without sign;
    /// `wanted` is what its outputs should have.
    pub(super) fn new(largest: &[f32], in_bits: i32, wanted: i32) -> Grid {
        // Rounding may take a weight to the limit, not beyond.
        let bits = |&largest: &f32| bits_within(largest, f32::from(MAX_WEIGHT) + 0.499);
        let mut weight_bits: Vec<i32> = largest.iter().map(bits).collect();
        // A sum cannot be finer than its products.
        let finest = in_bits + weight_bits.iter().copied().min().unwrap_or(0);
        let out_bits = wanted.min(finest);
        // Coarser weights where the shift would leave the integer.
        let most = out_bits - in_bits + i32::from(MAX_SHIFT) - 1;
        weight_bits.iter_mut().for_each(|bits| *bits = (*bits).min(most));
        Grid { in_bits, weight_bits, out_bits }
    }

    /// A weight of an output as an integer.
    pub(super) fn weight(&self, output: usize, weight: f32) -> f64 {
        (f64::from(weight) * 2_f64.powi(self.weight_bits[output])).round()
    }

    /// The bias of an output in the units of its products, without the half for rounding.
    pub(super) fn bias(&self, output: usize, bias: f32) -> f64 {
        (f64::from(bias) * 2_f64.powi(self.in_bits + self.weight_bits[output])).round()
    }
}

/// Fractional bits that the outputs of each layer should have, from background rows, row-major.
///
/// # Errors
/// If there are no rows.
///
/// # Panics
/// If `rows` is not a number of whole rows.
pub fn output_bits(net: &FloatNet, rows: &[i16]) -> Result<Vec<i32>> {
    let parts = net.parts();
    assert!(rows.len().is_multiple_of(parts.inputs.len()), "whole rows");
    if rows.is_empty() {
        let expected = "background rows to calibrate on".to_owned();
        return Err(Error::network("calibration", expected, "none".to_owned()));
    }
    let last = parts.layers.len() - 1;
    let bits = |(k, largest): (usize, f32)| {
        if k < last {
            bits_within(largest, 255.0)
        } else if parts.targets.is_empty() {
            bits_within(largest, MAX_DISTANCE as f32)
        } else {
            CODE_BITS + i32::from(MAX_TARGET_BITS) - 1
        }
    };
    Ok(largest_values(net, rows).into_iter().enumerate().map(bits).collect())
}

/// The integer network nearest to one in floating point. `output_bits` is of [`output_bits`].
///
/// # Errors
/// If weights or biases are too large for the integer path.
///
/// # Panics
/// If there is not one number for each layer.
pub fn quantise(net: &FloatNet, output_bits: &[i32]) -> Result<IntegerNet> {
    let parts = net.parts();
    assert_eq!(output_bits.len(), parts.layers.len(), "bits of each layer");
    let mut bits = CODE_BITS;
    let mut layers = Vec::with_capacity(parts.layers.len());
    for (layer, &wanted) in parts.layers.iter().zip(output_bits) {
        let rows = layer.weights.chunks_exact(layer.n_inputs as usize);
        let largest: Vec<f32> = rows.map(largest_of).collect();
        let grid = Grid::new(&largest, bits, wanted);
        layers.push(quantise_layer(layer, &grid)?);
        bits = grid.out_bits;
    }
    let last = &parts.layers[parts.layers.len() - 1];
    let target_bits = if parts.targets.is_empty() { 0 } else { bits - CODE_BITS };
    IntegerNet::new(IntegerParts {
        inputs: parts.inputs.clone(),
        layers,
        targets: parts.targets.clone(),
        target_bits: u8::try_from(target_bits).map_err(|_| too_large(last))?,
        score_bits: i8::try_from(2 * bits).map_err(|_| too_large(last))?,
    })
}

/// The largest of some weights, without sign.
pub(super) fn largest_of(weights: &[f32]) -> f32 {
    weights.iter().map(|w| w.abs()).fold(0.0, f32::max)
}

fn too_large(layer: &DenseLayer) -> Error {
    let largest = largest_of(&layer.weights);
    let expected = "weights and biases small enough for the integer path".to_owned();
    let found = format!("weights up to {largest} (hint: train with weight decay)");
    Error::network("quantisation", expected, found)
}

/// For each layer, the value that all but a few of its outputs stay below.
fn largest_values(net: &FloatNet, rows: &[i16]) -> Vec<f32> {
    let n_layers = net.parts().layers.len();
    let n_features = net.parts().inputs.len();
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); n_layers];
    for row in rows.chunks_exact(n_features) {
        for (values, outputs) in values.iter_mut().zip(net.values(row)) {
            values.extend(outputs.iter().map(|y| y.abs()));
        }
    }
    let quantile = |mut values: Vec<f32>| {
        values.sort_unstable_by(f32::total_cmp);
        let beyond = (values.len() as f64 * CLIPPED) as usize;
        values[values.len() - 1 - beyond]
    };
    values.into_iter().map(quantile).collect()
}

/// Most fractional bits with which `value` does not exceed `limit`.
fn bits_within(value: f32, limit: f32) -> i32 {
    if value <= 0.0 { CODE_BITS } else { ((limit / value).log2().floor() as i32).min(MAX_BITS) }
}

fn quantise_layer(layer: &DenseLayer, grid: &Grid) -> Result<IntegerLayer> {
    let mut integer = IntegerLayer { n_inputs: layer.n_inputs, ..IntegerLayer::default() };
    let rows = layer.weights.chunks_exact(layer.n_inputs as usize);
    for (output, (weights, &bias)) in rows.zip(&layer.biases).enumerate() {
        integer.weights.extend(weights.iter().map(|&w| grid.weight(output, w) as i8));
        let shift = grid.in_bits + grid.weight_bits[output] - grid.out_bits;
        let half = if shift > 0 { 1_i64 << (shift - 1) } else { 0 };
        let bias = grid.bias(output, bias) as i64 + half;
        if bias.abs() > MAX_BIAS.into() {
            return Err(too_large(layer));
        }
        integer.biases.push(bias as i32);
        integer.shifts.push(u8::try_from(shift).map_err(|_| too_large(layer))?);
    }
    Ok(integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoder::float::{FloatParts, InputScale};
    use crate::testing::Random;

    /// Weights of about the size that training leaves: outputs as large as inputs.
    fn random_net(random: &mut Random, widths: &[usize], targets: Vec<u16>) -> FloatNet {
        let layer = |pair: &[usize], random: &mut Random| {
            let scale = 2.0 / (pair[0] as f32).sqrt();
            let mut number = || random.within(-1000, 1000) as f32 / 1000.0;
            DenseLayer {
                n_inputs: pair[0] as u32,
                weights: (0..pair[0] * pair[1]).map(|_| number() * scale).collect(),
                biases: (0..pair[1]).map(|_| number() * 0.2).collect(),
            }
        };
        FloatNet::new(FloatParts {
            inputs: vec![InputScale { offset: 0, shift: 0 }; widths[0]],
            layers: widths.windows(2).map(|pair| layer(pair, random)).collect(),
            cap: f32::INFINITY,
            targets,
        })
        .unwrap()
    }

    fn random_rows(random: &mut Random, n: usize) -> Vec<i16> {
        (0..n).map(|_| random.below(256) as i16).collect()
    }

    /// Correlation of scores over fresh rows.
    fn correlation(net: &FloatNet, integer: &IntegerNet, rows: &[i16]) -> f64 {
        let n_features = net.parts().inputs.len();
        let display = 2_f64.powi(-i32::from(integer.parts().score_bits));
        let pairs: Vec<(f64, f64)> = rows
            .chunks_exact(n_features)
            .map(|row| (net.score(row).into(), f64::from(integer.score(row)) * display))
            .collect();
        let n = pairs.len() as f64;
        let mean = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
        let (x, y) = (mean(|p| p.0), mean(|p| p.1));
        let covariance: f64 = pairs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        let variance = |f: fn(&(f64, f64)) -> f64, mean: f64| -> f64 {
            pairs.iter().map(|p| (f(p) - mean).powi(2)).sum()
        };
        covariance / (variance(|p| p.0, x) * variance(|p| p.1, y)).sqrt()
    }

    #[test]
    fn integer_scores_follow_those_in_floating_point() {
        let mut random = Random(21);
        for (widths, targets) in
            [(vec![57, 32, 16, 8], vec![]), (vec![19, 16, 4, 16, 19], (0..19).collect())]
        {
            for _ in 0..5 {
                let net = random_net(&mut random, &widths, targets.clone());
                let calibration = random_rows(&mut random, 500 * widths[0]);
                let bits = output_bits(&net, &calibration).unwrap();
                let integer = quantise(&net, &bits).unwrap();
                let fresh = random_rows(&mut random, 500 * widths[0]);
                let r = correlation(&net, &integer, &fresh);
                // Each weight is off by up to 1/126 of the largest and each hidden code by half a unit
                // of the 100 or so that are in use: a per cent or two of noise in outputs whose
                // squares differ by a tenth to a third between rows of noise.
                assert!(r > 0.97, "correlation {r}");
            }
        }
    }

    #[test]
    fn a_network_of_round_numbers_loses_nothing() {
        let parts = FloatParts {
            inputs: vec![InputScale::default(); 2],
            layers: vec![
                DenseLayer {
                    n_inputs: 2,
                    weights: vec![1.0, 0.5, 0.0, 1.0],
                    biases: vec![0.0, 0.0],
                },
                DenseLayer { n_inputs: 2, weights: vec![0.5, 0.5], biases: vec![0.25] },
            ],
            cap: f32::INFINITY,
            targets: vec![0],
        };
        let net = FloatNet::new(parts).unwrap();
        let rows = [200, 100, 0, 0, 40, 16];
        let integer = quantise(&net, &output_bits(&net, &rows).unwrap()).unwrap();
        let display = 2_f32.powi(-i32::from(integer.parts().score_bits));
        for row in rows.chunks_exact(2) {
            let score = integer.score(row) as f32 * display;
            assert!((score - net.score(row)).abs() < 1e-6, "{row:?}: {score}");
        }
    }

    #[test]
    fn what_the_integer_path_cannot_hold_is_refused() {
        let mut random = Random(22);
        let net = random_net(&mut random, &[4, 4, 4], (0..4).collect());
        let rows = random_rows(&mut random, 40);
        let refused = |change: &dyn Fn(&mut FloatParts)| {
            let mut parts = net.parts().clone();
            change(&mut parts);
            let net = FloatNet::new(parts).unwrap();
            let bits = output_bits(&net, &rows).unwrap();
            quantise(&net, &bits).unwrap_err().to_string()
        };
        let error = refused(&|p| p.layers[1].weights.iter_mut().for_each(|w| *w *= 1e6));
        assert!(error.contains("weight decay"), "{error}");
        let error = refused(&|p| p.layers[1].biases[0] = 1e9);
        assert!(error.contains("weight decay"), "{error}");
        assert!(output_bits(&net, &[]).unwrap_err().to_string().contains("calibrate"));
    }
}
