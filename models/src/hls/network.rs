//! A network of fixed-point numbers, and what it gives for one input.
//!
//! *Tensors* are arrays of numbers of one format; *steps* fill one each from earlier ones. Nothing here
//! knows how a source file says this.

use std::fmt;

use crate::fixed::{Fixed, Format};

/// Numbers of one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// As the source calls it.
    pub name: String,
    /// How many numbers.
    pub length: usize,
    /// Which numbers there can be.
    pub format: Format,
}

/// How one tensor comes from others, which are given by their place in [`Network::tensors`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `Σ input × weight + bias`.
    Dense(Dense),
    /// The positive part.
    Relu {
        /// Of what.
        input: usize,
    },
    /// The same numbers in another format.
    Linear {
        /// Of what.
        input: usize,
    },
    /// The sum, element by element.
    Add {
        /// Of what.
        inputs: [usize; 2],
    },
    /// The difference, element by element.
    Subtract {
        /// First minus second.
        inputs: [usize; 2],
    },
    /// The scalar product.
    Dot {
        /// Of what.
        inputs: [usize; 2],
        /// Products are cast to this, and summed in it.
        accumulator: Format,
    },
}

/// A dense layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Its input.
    pub input: usize,
    /// **Shape**: `(n_in, n_out)`.
    pub weights: Vec<Fixed>,
    /// **Shape**: `n_out`.
    pub biases: Vec<Fixed>,
    /// Products are cast to this, and summed in it.
    pub accumulator: Format,
}

/// A layer and the tensor that it fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its place in [`Network::tensors`].
    pub output: usize,
    /// How.
    pub layer: Layer,
}

/// A network: tensor 0 is the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// As the source calls its function.
    pub name: String,
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// In the order of evaluation.
    pub steps: Vec<Step>,
    /// Its place in `tensors`.
    pub output: usize,
}

impl Network {
    /// What the network makes of an input. **Shape**: [`Network::input`], [`Network::output`].
    ///
    /// The specification: one number after the other, in the order of the generated code.
    ///
    /// # Panics
    /// If the input has another length or another format.
    #[must_use]
    pub fn evaluate(&self, input: &[Fixed]) -> Vec<Fixed> {
        self.values(input).swap_remove(self.output)
    }

    /// The numbers of all tensors.
    pub(super) fn values(&self, input: &[Fixed]) -> Vec<Vec<Fixed>> {
        let given = &self.tensors[0];
        assert!(input.len() == given.length, "{} inputs of {}", input.len(), given.length);
        assert!(input.iter().all(|x| x.format() == given.format), "inputs are {}", given.format);
        let mut values = vec![Vec::new(); self.tensors.len()];
        values[0] = input.to_vec();
        for step in &self.steps {
            let format = self.tensors[step.output].format;
            values[step.output] = evaluate_layer(&step.layer, format, &values);
        }
        values
    }

    /// What the network takes.
    #[must_use]
    pub fn input(&self) -> &Tensor {
        &self.tensors[0]
    }

    /// What the network gives.
    #[must_use]
    pub fn output(&self) -> &Tensor {
        &self.tensors[self.output]
    }
}

/// One layer, number by number.
fn evaluate_layer(layer: &Layer, format: Format, values: &[Vec<Fixed>]) -> Vec<Fixed> {
    let pairs = |[a, b]: [usize; 2]| values[a].iter().copied().zip(values[b].iter().copied());
    match layer {
        Layer::Dense(dense) => {
            let n_out = dense.biases.len();
            let mut sums: Vec<Fixed> =
                dense.biases.iter().map(|bias| dense.accumulator.cast(bias.exact())).collect();
            for (x, weights) in values[dense.input].iter().zip(dense.weights.chunks_exact(n_out)) {
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    let product = dense.accumulator.cast(x.times(weight));
                    *sum = dense.accumulator.cast(sum.plus(product));
                }
            }
            sums.into_iter().map(|sum| format.cast(sum.exact())).collect()
        }
        Layer::Relu { input } => {
            let positive =
                |x: &Fixed| if x.code() > 0 { format.cast(x.exact()) } else { format.zero() };
            values[*input].iter().map(positive).collect()
        }
        Layer::Linear { input } => values[*input].iter().map(|x| format.cast(x.exact())).collect(),
        Layer::Add { inputs } => pairs(*inputs).map(|(a, b)| format.cast(a.plus(b))).collect(),
        Layer::Subtract { inputs } => {
            pairs(*inputs).map(|(a, b)| format.cast(a.minus(b))).collect()
        }
        Layer::Dot { inputs, accumulator } => {
            let sum = pairs(*inputs).fold(accumulator.zero(), |sum, (a, b)| {
                accumulator.cast(sum.plus(accumulator.cast(a.times(b))))
            });
            vec![format.cast(sum.exact())]
        }
    }
}

/// One line for each layer: what it is, types, weights that are not zero.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} inputs {}", self.name, self.input().length, self.input().format)?;
        for Step { output, layer } in &self.steps {
            let output = &self.tensors[*output];
            let name = |index: usize| &self.tensors[index].name;
            write!(f, "\n{}: ", output.name)?;
            match layer {
                Layer::Dense(dense) => {
                    let used = dense.n_nonzero();
                    let weight = dense.weights.first().map_or(output.format, |x| x.format());
                    let bias = dense.biases.first().map_or(output.format, |x| x.format());
                    let n_weights = dense.weights.len();
                    write!(
                        f,
                        "dense of {}, {used} of {n_weights} weights {weight}, ",
                        name(dense.input)
                    )?;
                    write!(f, "biases {bias}, sums {}", dense.accumulator)?;
                }
                Layer::Relu { input } => write!(f, "relu of {}", name(*input))?,
                Layer::Linear { input } => write!(f, "linear of {}", name(*input))?,
                Layer::Add { inputs: [a, b] } => write!(f, "{} + {}", name(*a), name(*b))?,
                Layer::Subtract { inputs: [a, b] } => write!(f, "{} - {}", name(*a), name(*b))?,
                Layer::Dot { inputs: [a, b], accumulator } => {
                    write!(f, "dot of {} and {}, sums {accumulator}", name(*a), name(*b))?;
                }
            }
            write!(f, " -> {} x {}", output.length, output.format)?;
        }
        Ok(())
    }
}

impl Dense {
    /// Weights that are not zero.
    #[must_use]
    pub fn n_nonzero(&self) -> usize {
        self.weights.iter().filter(|weight| weight.code() != 0).count()
    }
}
