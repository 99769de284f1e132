//! A detector as model files keep it, and what is checked when one is read.
//!
//! Codes are kept beside their formats; the same detector always gives the same parts.

use rkyv::{Archive, Deserialize, Serialize};

use super::detector::{Detector, Loss, Origin, Scaling};
use super::network::{Dense, Layer, Network, Step, Tensor};
use crate::error::{Error, Result};
use crate::fixed::{Fixed, Format, Overflow, Quantisation};

/// Longest tensor, as in sources.
const MAX_LENGTH: usize = 1 << 14;
/// Most tensors, as in sources.
const MAX_TENSORS: usize = 1 << 10;
/// Furthest shift of an input: everything is out by then.
const MAX_SHIFT: i32 = 64;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct FormatParts {
    width: u32,
    integer_bits: i32,
    signed: bool,
    quantisation: u8,
    overflow: u8,
}

/// Numbers of one format.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NumberParts {
    format: FormatParts,
    codes: Vec<i64>,
}

/// An array.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TensorParts {
    name: String,
    length: u32,
    format: FormatParts,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct StepParts {
    output: u32,
    /// 0 dense, 1 relu, 2 linear, 3 add, 4 subtract, 5 dot.
    kind: u8,
    /// The second is that of layers with one input again.
    inputs: [u32; 2],
    /// Weights and biases of dense layers.
    numbers: Option<[NumberParts; 2]>,
    /// Of dense layers and dot products.
    accumulator: Option<FormatParts>,
}

/// A detector, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DetectorParts {
    /// Version of the trigger's; 0: a project of hls4ml.
    version: u32,
    unscaled: FormatParts,
    offsets: NumberParts,
    shifts: Vec<i32>,
    name: String,
    tensors: Vec<TensorParts>,
    steps: Vec<StepParts>,
    output: u32,
    is_sum_of_squares: bool,
    loss: FormatParts,
    score_bits: i32,
}

impl Detector {
    /// What model files keep.
    #[must_use]
    pub fn to_parts(&self) -> DetectorParts {
        let network = &self.network;
        let tensor = |t: &Tensor| TensorParts {
            name: t.name.clone(),
            length: t.length as u32,
            format: t.format.into(),
        };
        DetectorParts {
            version: match self.origin {
                Origin::Axol1tl { version } => version,
                Origin::Project => 0,
            },
            unscaled: self.scaling.unscaled.into(),
            offsets: numbers(&self.scaling.offsets),
            shifts: self.scaling.shifts.clone(),
            name: network.name.clone(),
            tensors: network.tensors.iter().map(tensor).collect(),
            steps: network.steps.iter().map(step).collect(),
            output: network.output as u32,
            is_sum_of_squares: self.loss == Loss::SumOfSquares,
            loss: self.loss_format.into(),
            score_bits: self.score_bits,
        }
    }

    /// The detector of these parts.
    ///
    /// # Errors
    /// If they are not those of one: numbers beyond their formats, lengths that do not fit, layers of
    /// what comes later.
    pub fn from_parts(parts: DetectorParts) -> Result<Detector> {
        let format = Format::try_from;
        if let Some(shift) = parts.shifts.iter().find(|s| s.unsigned_abs() > MAX_SHIFT as u32) {
            let expected = format!("-{MAX_SHIFT} to {MAX_SHIFT}");
            return Err(Error::network("shift of an input", expected, shift.to_string()));
        }
        let scaling = Scaling {
            unscaled: format(parts.unscaled)?,
            offsets: fixed(&parts.offsets)?,
            shifts: parts.shifts,
        };
        let origin = match parts.version {
            0 => Origin::Project,
            version => Origin::Axol1tl { version },
        };
        let tensors = parts.tensors.into_iter().map(|t| {
            let (length, format) = (t.length as usize, format(t.format)?);
            Ok(Tensor { name: t.name, length, format })
        });
        let network = Network {
            name: parts.name,
            tensors: tensors.collect::<Result<_>>()?,
            steps: parts.steps.iter().map(load_step).collect::<Result<_>>()?,
            output: parts.output as usize,
        };
        check_network(&network)?;
        let loss = if parts.is_sum_of_squares { Loss::SumOfSquares } else { Loss::Output };
        Detector::new(origin, scaling, network, (loss, format(parts.loss)?), parts.score_bits)
    }
}

impl From<Format> for FormatParts {
    fn from(format: Format) -> FormatParts {
        FormatParts {
            width: format.width(),
            integer_bits: format.integer_bits(),
            signed: format.is_signed(),
            quantisation: format.quantisation().number(),
            overflow: format.overflow().number(),
        }
    }
}

impl TryFrom<FormatParts> for Format {
    type Error = Error;

    fn try_from(parts: FormatParts) -> Result<Format> {
        let FormatParts { width, integer_bits, signed, quantisation, overflow } = parts;
        let bad =
            |expected: String| Error::network("fixed-point format", expected, format!("{parts:?}"));
        let modes = Quantisation::from_number(quantisation).zip(Overflow::from_number(overflow));
        let (quantisation, overflow) = modes.ok_or_else(|| bad("known modes".into()))?;
        let format = Format::new(signed, width, integer_bits).map_err(bad)?;
        Ok(format.with_modes(quantisation, overflow))
    }
}

fn numbers(values: &[Fixed]) -> NumberParts {
    let format = values.first().map_or_else(|| Scaling::none(0).unscaled, |x| x.format());
    NumberParts { format: format.into(), codes: values.iter().map(|x| x.code()).collect() }
}

fn fixed(parts: &NumberParts) -> Result<Vec<Fixed>> {
    let format = Format::try_from(parts.format)?;
    let (low, high) = format.codes();
    if let Some(code) = parts.codes.iter().find(|code| !(low..=high).contains(code)) {
        let expected = format!("{low} to {high}, codes of {format}");
        return Err(Error::network("fixed-point number", expected, code.to_string()));
    }
    Ok(parts.codes.iter().map(|&code| format.with_code(code)).collect())
}

fn step(Step { output, layer }: &Step) -> StepParts {
    let (kind, inputs, accumulator) = match layer {
        Layer::Dense(dense) => (0, [dense.input; 2], Some(dense.accumulator)),
        Layer::Relu { input } => (1, [*input; 2], None),
        Layer::Linear { input } => (2, [*input; 2], None),
        Layer::Add { inputs } => (3, *inputs, None),
        Layer::Subtract { inputs } => (4, *inputs, None),
        Layer::Dot { inputs, accumulator } => (5, *inputs, Some(*accumulator)),
    };
    let of_dense = match layer {
        Layer::Dense(dense) => Some([numbers(&dense.weights), numbers(&dense.biases)]),
        _ => None,
    };
    StepParts {
        output: *output as u32,
        kind,
        inputs: inputs.map(|input| input as u32),
        numbers: of_dense,
        accumulator: accumulator.map(FormatParts::from),
    }
}

fn load_step(parts: &StepParts) -> Result<Step> {
    let inputs = parts.inputs.map(|input| input as usize);
    let accumulator = parts.accumulator.map(Format::try_from).transpose()?;
    let layer = match (parts.kind, &parts.numbers, accumulator) {
        (0, Some([weights, biases]), Some(accumulator)) => Layer::Dense(Dense {
            input: inputs[0],
            weights: fixed(weights)?,
            biases: fixed(biases)?,
            accumulator,
        }),
        (1, None, None) => Layer::Relu { input: inputs[0] },
        (2, None, None) => Layer::Linear { input: inputs[0] },
        (3, None, None) => Layer::Add { inputs },
        (4, None, None) => Layer::Subtract { inputs },
        (5, None, Some(accumulator)) => Layer::Dot { inputs, accumulator },
        (kind, ..) => {
            let expected = "a kind from 0 to 5 with its numbers".to_owned();
            return Err(Error::network("layer", expected, kind.to_string()));
        }
    };
    Ok(Step { output: parts.output as usize, layer })
}

/// Everything that evaluation relies on.
fn check_network(network: &Network) -> Result<()> {
    let fail =
        |what, expected: &str, found: String| Err(Error::network(what, expected.to_owned(), found));
    let tensors = &network.tensors;
    if !(1..=MAX_TENSORS).contains(&tensors.len()) {
        return fail("arrays", "1 to 1024", tensors.len().to_string());
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut names = tensors.iter().map(|tensor| &tensor.name).chain([&network.name]);
    if let Some(name) = names.find(|name| !is_name(name)) {
        return fail("name", "letters, digits and `_`", name.escape_debug().to_string());
    }
    if let Some(tensor) = tensors.iter().find(|t| !(1..=MAX_LENGTH).contains(&t.length)) {
        return fail("length of an array", "1 to 16384", tensor.length.to_string());
    }
    let mut is_filled = vec![false; tensors.len()];
    is_filled[0] = true;
    for Step { output, layer } in &network.steps {
        let inputs = match layer {
            Layer::Dense(dense) => [dense.input; 2],
            Layer::Relu { input } | Layer::Linear { input } => [*input; 2],
            Layer::Add { inputs } | Layer::Subtract { inputs } => *inputs,
            Layer::Dot { inputs, .. } => *inputs,
        };
        if inputs.iter().any(|&input| !is_filled.get(input).is_some_and(|filled| *filled)) {
            return fail("input of a layer", "one that was filled before", format!("{inputs:?}"));
        }
        if is_filled.get(*output).is_none_or(|filled| *filled) {
            return fail("output of a layer", "one that is filled once", output.to_string());
        }
        is_filled[*output] = true;
        let (n, n_in) = (tensors[*output].length, inputs.map(|input| tensors[input].length));
        let fits = match layer {
            Layer::Dense(dense) => dense.biases.len() == n && dense.weights.len() == n_in[0] * n,
            Layer::Dot { .. } => n == 1 && n_in[0] == n_in[1],
            _ => n_in == [n, n],
        };
        if !fits {
            return fail("lengths of a layer", "those that fit", format!("{n_in:?} to {n}"));
        }
    }
    match is_filled.get(network.output) {
        Some(true) => Ok(()),
        _ => fail("output", "an array that is filled", network.output.to_string()),
    }
}
