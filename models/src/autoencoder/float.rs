//! The network in floating point, as training leaves it.
//!
//! It sees codes, not hardware integers: what `offset` and `shift` lose is lost here, too, so that
//! training knows. A code of 128 is 1.0.

use rkyv::{Archive, Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most values of a layer, inputs included.
pub const MAX_WIDTH: usize = 1024;
/// Most layers.
pub const MAX_LAYERS: usize = 16;
/// Most outputs of the last layer: as many squares fit an integer score.
pub const MAX_OUTPUTS: usize = 127;
/// Codes that make 1.0.
pub const CODES_PER_UNIT: f32 = 128.0;

/// How a hardware integer becomes a code: `clamp((x − offset) >> shift, 0, 255)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct InputScale {
    /// What becomes code 0.
    pub offset: i16,
    /// Power of two that it is divided by; negative: multiplied.
    pub shift: i8,
}

/// Shifts that an [`InputScale`] may have.
pub const SHIFTS: std::ops::RangeInclusive<i8> = -7..=15;

impl InputScale {
    /// The code of a value.
    #[must_use]
    #[inline]
    pub fn code(self, x: i16) -> u8 {
        let x = i32::from(x) - i32::from(self.offset);
        let x = if self.shift < 0 { x << -self.shift } else { x >> self.shift };
        x.clamp(0, 255) as u8
    }
}

/// A layer: `y = W x + b`. All but the last are followed by `clamp(y, 0, cap)`.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub struct DenseLayer {
    /// Width of its input.
    pub n_inputs: u32,
    /// **Shape**: `(n_outputs, n_inputs)`, row-major.
    pub weights: Vec<f32>,
    /// **Shape**: `n_outputs`.
    pub biases: Vec<f32>,
}

/// A trained network, not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub struct FloatParts {
    /// One for every feature of a row.
    pub inputs: Vec<InputScale>,
    /// First to last.
    pub layers: Vec<DenseLayer>,
    /// Where hidden values are clipped; infinity: nowhere.
    pub cap: f32,
    /// Features whose codes the outputs are compared with, in order; none: with zeros.
    pub targets: Vec<u16>,
}

/// A trained network.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNet(FloatParts);

/// What is wrong with the shape of a network, if anything. Shared with the integer one.
pub(super) fn check_shape(
    inputs: &[InputScale],
    layers: &[(usize, usize, usize)],
    targets: &[u16],
) -> Result<()> {
    let fail = |what, expected: String, found: String| Err(Error::network(what, expected, found));
    if !(1..=MAX_LAYERS).contains(&layers.len()) {
        return fail("number of layers", format!("1 to {MAX_LAYERS}"), layers.len().to_string());
    }
    if let Some(scale) = inputs.iter().find(|scale| !SHIFTS.contains(&scale.shift)) {
        return fail("shift of an input", format!("{SHIFTS:?}"), scale.shift.to_string());
    }
    let mut width = inputs.len();
    for &(n_inputs, n_weights, n_outputs) in layers {
        if n_inputs != width {
            return fail("inputs of a layer", width.to_string(), n_inputs.to_string());
        }
        if !(1..=MAX_WIDTH).contains(&n_inputs) || !(1..=MAX_WIDTH).contains(&n_outputs) {
            let found = format!("{n_inputs} by {n_outputs}");
            return fail("width of a layer", format!("1 to {MAX_WIDTH}"), found);
        }
        if n_weights != n_inputs * n_outputs {
            let expected = (n_inputs * n_outputs).to_string();
            return fail("weights of a layer", expected, n_weights.to_string());
        }
        width = n_outputs;
    }
    if width > MAX_OUTPUTS {
        return fail("outputs", format!("at most {MAX_OUTPUTS}"), width.to_string());
    }
    if !targets.is_empty() && targets.len() != width {
        return fail("targets", format!("none or {width}"), targets.len().to_string());
    }
    if let Some(target) = targets.iter().find(|&&target| usize::from(target) >= inputs.len()) {
        let expected = format!("a feature below {}", inputs.len());
        return fail("target", expected, target.to_string());
    }
    Ok(())
}

impl FloatNet {
    /// The network, if it is one.
    ///
    /// # Errors
    /// If shapes do not fit or a number is not finite.
    pub fn new(parts: FloatParts) -> Result<FloatNet> {
        let shape = |l: &DenseLayer| (l.n_inputs as usize, l.weights.len(), l.biases.len());
        let shapes: Vec<_> = parts.layers.iter().map(shape).collect();
        check_shape(&parts.inputs, &shapes, &parts.targets)?;
        let mut numbers = parts.layers.iter().flat_map(|l| l.weights.iter().chain(&l.biases));
        if let Some(number) = numbers.find(|number| !number.is_finite()) {
            return Err(Error::network("weights", "finite numbers".into(), number.to_string()));
        }
        if parts.cap.is_nan() || parts.cap <= 0.0 {
            let expected = "a positive number".to_owned();
            return Err(Error::network("cap of hidden values", expected, parts.cap.to_string()));
        }
        Ok(FloatNet(parts))
    }

    /// What it consists of.
    #[must_use]
    pub fn parts(&self) -> &FloatParts {
        &self.0
    }

    /// What the first layer sees of a row: codes as numbers, 128 = 1.0.
    #[must_use]
    pub fn inputs(&self, row: &[i16]) -> Vec<f32> {
        let code = |(scale, &x): (&InputScale, &i16)| f32::from(scale.code(x)) / CODES_PER_UNIT;
        self.0.inputs.iter().zip(row).map(code).collect()
    }

    /// Values after each layer, hidden ones clipped. **Shape**: layers, then their outputs.
    ///
    /// # Panics
    /// If the row has another width.
    #[must_use]
    pub fn values(&self, row: &[i16]) -> Vec<Vec<f32>> {
        assert_eq!(row.len(), self.0.inputs.len(), "a row of another specification");
        let mut values: Vec<Vec<f32>> = Vec::with_capacity(self.0.layers.len());
        let mut before = self.inputs(row);
        for (k, layer) in self.0.layers.iter().enumerate() {
            let is_last = k + 1 == self.0.layers.len();
            let rows = layer.weights.chunks_exact(layer.n_inputs as usize);
            let output = |(weights, bias): (&[f32], &f32)| {
                let y = bias + weights.iter().zip(&before).map(|(w, x)| w * x).sum::<f32>();
                if is_last { y } else { y.clamp(0.0, self.0.cap) }
            };
            before = rows.zip(&layer.biases).map(output).collect();
            values.push(before.clone());
        }
        values
    }

    /// Squared distance of the outputs from their targets.
    ///
    /// # Panics
    /// If the row has another width.
    #[must_use]
    pub fn score(&self, row: &[i16]) -> f32 {
        let inputs = self.inputs(row);
        let outputs = self.values(row).pop().unwrap_or_default();
        let target = |k: usize| self.0.targets.get(k).map_or(0.0, |&t| inputs[usize::from(t)]);
        outputs.iter().enumerate().map(|(k, y)| (target(k) - y).powi(2)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_to_one() -> FloatParts {
        FloatParts {
            inputs: vec![InputScale { offset: 0, shift: 1 }, InputScale { offset: -4, shift: -2 }],
            layers: vec![
                DenseLayer {
                    n_inputs: 2,
                    weights: vec![1.0, -1.0, 0.5, 2.0],
                    biases: vec![0.0, 0.25],
                },
                DenseLayer { n_inputs: 2, weights: vec![1.0, 1.0], biases: vec![-0.5] },
            ],
            cap: 1.0,
            targets: vec![0],
        }
    }

    #[test]
    fn codes_are_shifted_differences_within_a_byte() {
        let half = InputScale { offset: -3, shift: 1 };
        assert_eq!(
            [-40, -4, -3, -2, -1, 300, 507, 508, i16::MAX].map(|x| half.code(x)),
            [0, 0, 0, 0, 1, 151, 255, 255, 255]
        );
        let four = InputScale { offset: 0, shift: -2 };
        assert_eq!([-1, 0, 1, 63, 64].map(|x| four.code(x)), [0, 0, 4, 252, 255]);
        let extreme = InputScale { offset: i16::MIN, shift: 15 };
        assert_eq!([i16::MIN, -1, 0, i16::MAX].map(|x| extreme.code(x)), [0, 0, 1, 1]);
    }

    #[test]
    fn a_network_worked_by_hand_scores_as_it_should() {
        let net = FloatNet::new(two_to_one()).unwrap();
        // Codes 64 and 32: inputs 0.5 and 0.25; hidden 0.25 and min(0.25 + 0.5 + 0.25, 1) = 1;
        // output 0.75; (0.5 − 0.75)² = 1/16.
        let row = [128, 4];
        assert_eq!(net.inputs(&row), [0.5, 0.25]);
        assert_eq!(net.values(&row), [vec![0.25, 1.0], vec![0.75]]);
        assert!((net.score(&row) - 0.0625).abs() < 1e-7);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let refuse = |change: fn(&mut FloatParts), what: &str| {
            let mut parts = two_to_one();
            change(&mut parts);
            let error = FloatNet::new(parts).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        refuse(|p| p.layers.clear(), "number of layers");
        refuse(|p| p.inputs[0].shift = 16, "shift");
        refuse(|p| p.layers[1].n_inputs = 3, "inputs of a layer");
        refuse(|p| p.layers[0].weights.truncate(3), "weights of a layer");
        refuse(|p| p.layers[0].weights[0] = f32::NAN, "finite");
        refuse(|p| p.targets = vec![2], "target");
        refuse(|p| p.targets = vec![0, 1], "targets");
        refuse(|p| p.cap = 0.0, "cap");
        refuse(|p| p.cap = f32::NAN, "cap");
    }
}
