//! The network in integers: the specification of every score.
//!
//! ```text
//! code   = clamp((x − offset) >> shift, 0, 255)                      one for each feature
//! hidden = clamp((b + Σ w · code) >> shift, 0, 255)                  shift: one for each output
//! y      = (b + Σ w · hidden) >> shift                               of the last layer
//! score  = Σ min(|(target << target_bits) − y|, 4095)²               target: a code, or 0
//! ```
//!
//! Weights have seven bits: |w| ≤ 63. Then a code times a weight, twice, fits 16 bits, and every
//! instruction set adds up the same sums without saturating; no sum leaves 32 bits. All of this is
//! checked once, when the network is made. Rounding is in the biases.

use rkyv::{Archive, Deserialize, Serialize};

use super::float::{InputScale, check_shape};
use crate::error::{Error, Result};
use crate::scorer::Score;

/// Largest weight, and smallest when negative.
pub const MAX_WEIGHT: i8 = 63;
/// Largest bias: leaves room for the products of [`super::float::MAX_WIDTH`] inputs.
pub const MAX_BIAS: i32 = 1 << 30;
/// Largest shift of a sum.
pub const MAX_SHIFT: u8 = 31;
/// Where distances from targets are cut off: their squares add up within 31 bits.
pub const MAX_DISTANCE: i32 = 4095;
/// Most fractional bits of a target: 255 << 4 is below [`MAX_DISTANCE`].
pub const MAX_TARGET_BITS: u8 = 4;

/// A layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct IntegerLayer {
    /// Width of its input.
    pub n_inputs: u32,
    /// **Shape**: `(n_outputs, n_inputs)`, row-major.
    pub weights: Vec<i8>,
    /// Half a unit of the output, for rounding, included. **Shape**: `n_outputs`.
    pub biases: Vec<i32>,
    /// **Shape**: `n_outputs`.
    pub shifts: Vec<u8>,
}

/// A network in integers, not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct IntegerParts {
    /// One for every feature of a row.
    pub inputs: Vec<InputScale>,
    /// First to last.
    pub layers: Vec<IntegerLayer>,
    /// Features whose codes the outputs are compared with, in order; none: with zeros.
    pub targets: Vec<u16>,
    /// Fractional bits of an output that is compared with a code.
    pub target_bits: u8,
    /// The score times 2^−`score_bits` is the squared distance, with a code of 128 as 1.
    pub score_bits: i8,
}

/// A network in integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerNet(IntegerParts);

impl IntegerNet {
    /// The network, if it is one and exact on every instruction set.
    ///
    /// # Errors
    /// If shapes do not fit, or a number is too large to be exact.
    pub fn new(parts: IntegerParts) -> Result<IntegerNet> {
        let shape = |l: &IntegerLayer| (l.n_inputs as usize, l.weights.len(), l.biases.len());
        let shapes: Vec<_> = parts.layers.iter().map(shape).collect();
        check_shape(&parts.inputs, &shapes, &parts.targets)?;
        for layer in &parts.layers {
            check_layer(layer)?;
        }
        let bits = parts.target_bits;
        if bits > MAX_TARGET_BITS {
            let expected = format!("at most {MAX_TARGET_BITS}");
            return Err(Error::network("fractional bits of targets", expected, bits.to_string()));
        }
        Ok(IntegerNet(parts))
    }

    /// What it consists of.
    #[must_use]
    pub fn parts(&self) -> &IntegerParts {
        &self.0
    }

    /// Whether a feature changes the score of any row.
    #[must_use]
    pub fn is_used(&self, feature: usize) -> bool {
        let mut weights =
            self.0.layers[0].weights.iter().skip(feature).step_by(self.0.inputs.len());
        weights.any(|&w| w != 0) || self.0.targets.iter().any(|&t| usize::from(t) == feature)
    }

    /// Features that change no score.
    #[must_use]
    pub fn n_unused_features(&self) -> usize {
        (0..self.0.inputs.len()).filter(|&feature| !self.is_used(feature)).count()
    }

    /// Codes of a row.
    ///
    /// # Panics
    /// If the row has another width.
    #[must_use]
    pub fn codes(&self, row: &[i16]) -> Vec<u8> {
        assert_eq!(row.len(), self.0.inputs.len(), "a row of another specification");
        self.0.inputs.iter().zip(row).map(|(scale, &x)| scale.code(x)).collect()
    }

    /// Sums of the last layer, shifted.
    ///
    /// # Panics
    /// Never: a network has a layer.
    #[must_use]
    pub fn outputs(&self, codes: &[u8]) -> Vec<i32> {
        let (last, hidden) = self.0.layers.split_last().expect("a network has a layer");
        let mut codes = codes.to_vec();
        for layer in hidden {
            codes = layer.sums(&codes).into_iter().map(|y| y.clamp(0, 255) as u8).collect();
        }
        last.sums(&codes)
    }

    /// The score of a row, as the definition has it.
    ///
    /// # Panics
    /// If the row has another width.
    #[must_use]
    pub fn score(&self, row: &[i16]) -> Score {
        let codes = self.codes(row);
        let target =
            |k: usize| self.0.targets.get(k).map_or(0, |&t| i32::from(codes[usize::from(t)]));
        let distance = |(k, y): (usize, &i32)| {
            let distance = i64::from(target(k) << self.0.target_bits) - i64::from(*y);
            distance.abs().min(i64::from(MAX_DISTANCE)) as i32
        };
        self.outputs(&codes).iter().enumerate().map(distance).map(|d| d * d).sum()
    }
}

impl IntegerLayer {
    fn sums(&self, codes: &[u8]) -> Vec<i32> {
        let rows = self.weights.chunks_exact(self.n_inputs as usize);
        let sum = |((weights, &bias), &shift): ((&[i8], &i32), &u8)| {
            let product = |(&w, &x): (&i8, &u8)| i32::from(w) * i32::from(x);
            (bias + weights.iter().zip(codes).map(product).sum::<i32>()) >> shift
        };
        rows.zip(&self.biases).zip(&self.shifts).map(sum).collect()
    }
}

fn check_layer(layer: &IntegerLayer) -> Result<()> {
    let fail = |what, expected: String, found: String| Err(Error::network(what, expected, found));
    if let Some(w) = layer.weights.iter().find(|w| w.unsigned_abs() > MAX_WEIGHT as u8) {
        return fail("weight", format!("-{MAX_WEIGHT} to {MAX_WEIGHT}"), w.to_string());
    }
    if let Some(b) = layer.biases.iter().find(|b| b.unsigned_abs() > MAX_BIAS as u32) {
        return fail("bias", format!("-{MAX_BIAS} to {MAX_BIAS}"), b.to_string());
    }
    let n_outputs = layer.biases.len();
    if layer.shifts.len() != n_outputs {
        return fail("shifts of a layer", n_outputs.to_string(), layer.shifts.len().to_string());
    }
    if let Some(shift) = layer.shifts.iter().find(|&&shift| shift > MAX_SHIFT) {
        return fail("shift of a layer", format!("at most {MAX_SHIFT}"), shift.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_to_one() -> IntegerParts {
        let layer = |n_inputs, weights: &[i8], biases: &[i32], shifts: &[u8]| IntegerLayer {
            n_inputs,
            weights: weights.to_vec(),
            biases: biases.to_vec(),
            shifts: shifts.to_vec(),
        };
        IntegerParts {
            inputs: vec![InputScale { offset: 0, shift: 1 }, InputScale { offset: 0, shift: -1 }],
            layers: vec![
                layer(2, &[63, -1, 10, 20], &[8, -100], &[4, 1]),
                layer(2, &[2, -3], &[1], &[1]),
            ],
            targets: vec![1],
            target_bits: 3,
            score_bits: 20,
        }
    }

    #[test]
    fn a_network_worked_by_hand_scores_as_it_should() {
        let net = IntegerNet::new(two_to_one()).unwrap();
        let row = [101, 6];
        assert_eq!(net.codes(&row), [50, 12]);
        // (8 + 3150 − 12) >> 4 = 196; (−100 + 500 + 240) >> 1 = 320, clipped to 255;
        // (1 + 392 − 765) >> 1 = −186; (12 << 3) + 186 = 282.
        assert_eq!(net.outputs(&[50, 12]), [-186]);
        assert_eq!(net.score(&row), 282 * 282);
    }

    #[test]
    fn distances_are_cut_off() {
        let mut parts = two_to_one();
        parts.layers[1].weights = vec![-63, -63];
        parts.layers[1].shifts = vec![0];
        let net = IntegerNet::new(parts).unwrap();
        assert_eq!(net.score(&[i16::MAX, i16::MAX]), 4095 * 4095);
    }

    #[test]
    fn what_would_not_be_exact_is_refused() {
        let refuse = |change: fn(&mut IntegerParts), what: &str| {
            let mut parts = two_to_one();
            change(&mut parts);
            let error = IntegerNet::new(parts).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        refuse(|p| p.layers[0].weights[0] = 64, "weight");
        refuse(|p| p.layers[0].weights[0] = i8::MIN, "weight");
        refuse(|p| p.layers[0].biases[0] = MAX_BIAS + 1, "bias");
        refuse(|p| p.layers[0].shifts[0] = 32, "shift of a layer");
        refuse(|p| p.layers[0].shifts.truncate(1), "shifts of a layer");
        refuse(|p| p.target_bits = 5, "fractional bits");
        refuse(|p| p.targets = vec![7], "target");
    }
}
