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
        let given = self.input();
        assert!(input.len() == given.length, "{} inputs of {}", input.len(), given.length);
        assert!(input.iter().all(|x| x.format() == given.format), "inputs are {}", given.format);
        let mut values = self.zeros();
        values[0].copy_from_slice(input);
        self.fill(&mut values);
        values
    }

    /// Room for the numbers of all tensors.
    pub(super) fn zeros(&self) -> Vec<Vec<Fixed>> {
        self.tensors.iter().map(|tensor| vec![tensor.format.zero(); tensor.length]).collect()
    }

    /// Fills in all tensors but the input. **Real-time**: allocates nothing.
    pub(super) fn fill(&self, values: &mut [Vec<Fixed>]) {
        for step in &self.steps {
            let mut out = std::mem::take(&mut values[step.output]);
            evaluate_layer(&step.layer, self.tensors[step.output].format, values, &mut out);
            values[step.output] = out;
        }
    }

    /// Which numbers of a tensor the output depends on: others are multiplied by zeros only, or by
    /// nothing.
    pub(super) fn used(&self, tensor: usize) -> Vec<bool> {
        self.used_numbers().swap_remove(tensor)
    }

    /// The same for all tensors.
    pub(super) fn used_numbers(&self) -> Vec<Vec<bool>> {
        let mut used: Vec<Vec<bool>> =
            self.tensors.iter().map(|tensor| vec![false; tensor.length]).collect();
        used[self.output].fill(true);
        for Step { output, layer } in self.steps.iter().rev() {
            let of_output = used[*output].clone();
            let mut mark = |input: usize, is_used: &dyn Fn(usize) -> bool| {
                for (k, used) in used[input].iter_mut().enumerate() {
                    *used |= is_used(k);
                }
            };
            match layer {
                Layer::Dense(dense) => mark(dense.input, &|k| {
                    let weights = dense.weights.chunks_exact(of_output.len()).nth(k);
                    let mut weights = weights.into_iter().flatten().zip(&of_output);
                    weights.any(|(weight, &used)| used && weight.code() != 0)
                }),
                Layer::Relu { input } | Layer::Linear { input } => mark(*input, &|k| of_output[k]),
                Layer::Add { inputs } | Layer::Subtract { inputs } => {
                    inputs.iter().for_each(|&input| mark(input, &|k| of_output[k]));
                }
                Layer::Dot { inputs, .. } => {
                    inputs.iter().for_each(|&input| mark(input, &|_| of_output[0]));
                }
            }
        }
        used
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
fn evaluate_layer(layer: &Layer, format: Format, values: &[Vec<Fixed>], out: &mut [Fixed]) {
    let each = |input: usize, out: &mut [Fixed], result: &dyn Fn(Fixed) -> Fixed| {
        out.iter_mut().zip(&values[input]).for_each(|(y, &x)| *y = result(x));
    };
    let pairs = |[a, b]: [usize; 2]| values[a].iter().copied().zip(values[b].iter().copied());
    match layer {
        Layer::Dense(dense) => {
            for (sum, bias) in out.iter_mut().zip(&dense.biases) {
                *sum = dense.accumulator.cast(bias.exact());
            }
            for (x, weights) in
                values[dense.input].iter().zip(dense.weights.chunks_exact(out.len()))
            {
                for (sum, &weight) in out.iter_mut().zip(weights) {
                    let product = dense.accumulator.cast(x.times(weight));
                    *sum = dense.accumulator.cast(sum.plus(product));
                }
            }
            out.iter_mut().for_each(|y| *y = format.cast(y.exact()));
        }
        Layer::Relu { input } => each(*input, out, &|x| {
            if x.code() > 0 { format.cast(x.exact()) } else { format.zero() }
        }),
        Layer::Linear { input } => each(*input, out, &|x| format.cast(x.exact())),
        Layer::Add { inputs } => {
            out.iter_mut().zip(pairs(*inputs)).for_each(|(y, (a, b))| *y = format.cast(a.plus(b)));
        }
        Layer::Subtract { inputs } => {
            out.iter_mut().zip(pairs(*inputs)).for_each(|(y, (a, b))| *y = format.cast(a.minus(b)));
        }
        Layer::Dot { inputs, accumulator } => {
            let sum = pairs(*inputs).fold(accumulator.zero(), |sum, (a, b)| {
                accumulator.cast(sum.plus(accumulator.cast(a.times(b))))
            });
            out[0] = format.cast(sum.exact());
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
