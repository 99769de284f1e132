//! A detector as a fast version evaluates it: in integers of 16 and 32 bits, for many events at a time.
//!
//! [`Program::new`] goes through the steps with their [`Bounds`] and takes each over only if what it
//! becomes is proven to be equal, as the head of [`hls`](super) says; otherwise there is no program, with
//! the reason, and events are scored by the specification. Numbers that change no score are left out.
//!
//! *Sums* are in units of the finest product or bias, which are no finer than the accumulator's last bit
//! unless products are cut one by one; so a sum that does not overflow is the accumulator's value,
//! and one that wraps is brought back by dropping the bits above its first.

use super::bounds::{Bounds, Sums};
use super::detector::{Detector, Loss};
use super::network::{Dense, Layer, Network};
use super::scaled::ScaledInput;
use crate::fixed::{Fixed, Format, Overflow, Quantisation};
use crate::kernels::pairs::ColumnScale;

/// Outputs of a dense layer that are summed together.
pub(crate) const QUAD: usize = 4;

/// Largest weight of bytes that [`Lane::dot`](crate::kernels::lane::Lane::dot) multiplies exactly everywhere.
const MAX_BYTE_WEIGHT: i64 = 63;

/// Why there is no program, and of what.
pub(crate) type Reason = String;
type Found<T> = std::result::Result<T, Reason>;
type Range = (i64, i64);

/// Bits below the last are rounded: `(x + add + ((x >> bits) & mask)) >> right`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rounding {
    pub add: i32,
    pub bits: u32,
    pub mask: i32,
    pub right: u32,
}

/// What becomes of numbers beyond the range of a format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limit {
    /// There are none.
    #[default]
    None,
    /// The nearest end.
    Clamp { low: i32, high: i32 },
    /// So many bits above the first are dropped, and the first is the sign.
    Wrap { unused: u32 },
    /// Bits that are not here are dropped.
    Mask(i32),
}

/// A cast of a 32-bit integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneCast {
    /// Negative numbers become 0 first.
    pub is_positive_part: bool,
    pub rounding: Rounding,
    /// To the left instead of rounding.
    pub left: u32,
    pub limit: Limit,
}

/// How many numbers of a tensor are in a row of one 32-bit integer for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Packing {
    /// One.
    #[default]
    Single,
    /// Two of 16 bits.
    Pairs,
    /// Four of a byte, above [`Program::least_input`]. Only inputs are packed so.
    Quads,
}

impl Packing {
    /// Numbers in a row.
    pub fn per_row(self) -> usize {
        match self {
            Packing::Single => 1,
            Packing::Pairs => 2,
            Packing::Quads => 4,
        }
    }
}

/// Where the numbers of a tensor are: rows of one 32-bit integer for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// First row.
    pub row: usize,
    pub packing: Packing,
}

/// A number among those of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub place: Place,
    pub slot: usize,
}

/// A dense layer, filled up to whole quads of outputs.
#[derive(Clone, Debug)]
pub(crate) struct DenseSteps {
    pub input: Place,
    /// Rows of the input.
    pub n_words: usize,
    /// **Shape**: `(output quads, input words, outputs of a quad)`: two weights of 16 bits each, or four
    /// of a byte.
    pub weights: Vec<[i32; QUAD]>,
    /// **Shape**: output quads.
    pub biases: Vec<[i32; QUAD]>,
    /// Sums of the weights of each output. **Shape**: output quads.
    pub weight_sums: Vec<[i32; QUAD]>,
    /// Products are rounded one by one.
    pub cut: Option<Rounding>,
}

/// How numbers are made.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Dense(DenseSteps),
    /// The same numbers.
    Same(Vec<Slot>),
    /// `(a << shift) ± (b << shift)` for each.
    Merge {
        terms: Vec<[Slot; 2]>,
        shifts: [u32; 2],
        is_difference: bool,
    },
    /// The sum of all products; factors are clamped to ± the limit first.
    Dot {
        terms: Vec<[Slot; 2]>,
        limit: Option<i32>,
    },
}

impl Operation {
    /// How many numbers it makes.
    pub fn len(&self) -> usize {
        match self {
            Operation::Dense(dense) => QUAD * dense.biases.len(),
            Operation::Same(terms) => terms.len(),
            Operation::Merge { terms, .. } => terms.len(),
            Operation::Dot { .. } => 1,
        }
    }
}

/// A step of the program.
#[derive(Clone, Debug)]
pub(crate) struct ProgramStep {
    pub operation: Operation,
    /// In this order.
    pub casts: Vec<LaneCast>,
    pub output: Place,
    pub n_rows: usize,
}

/// What the score is.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub outputs: Vec<Slot>,
    pub is_squared: bool,
    /// Of each output, or of its square.
    pub casts: Vec<LaneCast>,
    /// Of the sum.
    pub of_sum: Limit,
    pub left: u32,
}

/// A detector, ready for the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub n_features: usize,
    /// As many columns to a row of the input tensor as its packing says.
    pub inputs: Vec<ColumnScale>,
    pub packing: Packing,
    /// Of inputs in quads: −128, if they have a sign. Bytes are what is above it.
    pub least_input: i32,
    pub steps: Vec<ProgramStep>,
    pub scores: Scores,
    /// Of working memory.
    pub n_rows: usize,
}

impl Program {
    /// The program of a detector.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn new(detector: &Detector) -> Found<Program> {
        let network = &detector.network;
        let mut builder = Builder {
            network,
            bounds: Bounds::new(network),
            slots: slots(network),
            packings: packings(network),
            places: vec![Place::default(); network.tensors.len()],
            n_rows: 0,
        };
        if builder.has_byte_inputs() {
            builder.packings[0] = Packing::Quads;
        }
        let inputs = builder.inputs(detector)?;
        let mut steps = Vec::new();
        let mut number = 0;
        while number < network.steps.len() {
            let (step, next) = builder.step(number)?;
            steps.push(step);
            number = next;
        }
        let scores = builder.scores(detector)?;
        let n_features = detector.n_features();
        let packing = builder.packings[0];
        let least_input = if builder.range(0).0 < 0 { -128 } else { 0 };
        let n_rows = builder.n_rows;
        Ok(Program { n_features, inputs, packing, least_input, steps, scores, n_rows })
    }
}

/// For each tensor: numbers that are kept, in order.
fn slots(network: &Network) -> Vec<Vec<usize>> {
    let kept = |used: Vec<bool>| (0..used.len()).filter(|&k| used[k]).collect();
    network.used_numbers().into_iter().map(kept).collect()
}

/// Inputs of dense layers are pairs.
fn packings(network: &Network) -> Vec<Packing> {
    let mut packings = vec![Packing::Single; network.tensors.len()];
    packings[0] = Packing::Pairs;
    for step in &network.steps {
        if let Layer::Dense(dense) = &step.layer {
            packings[dense.input] = Packing::Pairs;
        }
    }
    packings
}

struct Builder<'a> {
    network: &'a Network,
    bounds: Bounds,
    slots: Vec<Vec<usize>>,
    packings: Vec<Packing>,
    places: Vec<Place>,
    n_rows: usize,
}

impl Builder<'_> {
    /// Makes room for a tensor, filled up to whole quads, and returns its rows.
    fn place(&mut self, tensor: usize) -> Found<usize> {
        let packing = self.packings[tensor];
        let (low, high) = self.range(tensor);
        if packing == Packing::Pairs && (low < i16::MIN.into() || high > i16::MAX.into()) {
            return Err(format!(
                "`{}` is {low} to {high}, beyond 16 bits",
                self.network.tensors[tensor].name
            ));
        }
        let n = self.slots[tensor].len().next_multiple_of(QUAD).max(QUAD);
        let n_rows = n / packing.per_row();
        self.places[tensor] = Place { row: self.n_rows, packing };
        self.n_rows += n_rows;
        Ok(n_rows)
    }

    /// Between which codes the numbers of a tensor are.
    fn range(&self, tensor: usize) -> Range {
        let ranges = &self.bounds.tensors[tensor];
        let of_kept = self.slots[tensor].iter().map(|&k| ranges[k]);
        of_kept.fold((0, 0), |all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    fn slot(&self, tensor: usize, element: usize) -> Slot {
        let slot = self.slots[tensor].iter().position(|&k| k == element).unwrap_or(0);
        Slot { place: self.places[tensor], slot }
    }

    /// Whether a dense layer, which alone looks at the inputs, can multiply them as bytes: they fit one,
    /// its weights the dot products of all instruction sets, and no product is cut.
    fn has_byte_inputs(&self) -> bool {
        let (low, high) = self.range(0);
        let fits = (low >= -128 && high <= 127) || (low >= 0 && high <= 255);
        let mut consumers = (0..self.network.steps.len()).filter(|&number| {
            matches!(&self.network.steps[number].layer, Layer::Dense(dense) if dense.input == 0)
        });
        let (Some(number), 1) = (consumers.next(), self.n_consumers(0)) else { return false };
        let Layer::Dense(dense) = &self.network.steps[number].layer else { return false };
        let of_input = self.network.input().format.fraction_bits();
        let sums = self.bounds.sums[number].as_ref();
        let scale = sums.and_then(|sums| DenseScale::new(dense, of_input, sums).ok());
        fits && scale.is_some_and(|(scale, _)| {
            let weight = |weight: &Fixed| moved(weight.code(), scale.weight_shift).abs();
            scale.cut.is_none() && dense.weights.iter().all(|w| weight(w) <= MAX_BYTE_WEIGHT)
        })
    }

    fn inputs(&mut self, detector: &Detector) -> Found<Vec<ColumnScale>> {
        self.place(0)?;
        let of_feature = |feature| {
            let scaling = &detector.scaling;
            let scales = (scaling.offsets[feature], scaling.shifts[feature]);
            ScaledInput::new(feature, scaling.unscaled, scales, self.network.input().format)
        };
        let mut inputs: Vec<ScaledInput> =
            self.slots[0].iter().map(|&k| of_feature(k)).collect::<Found<_>>()?;
        // Those that need the same operations together, so that there is one pattern of branches.
        inputs.sort_by_key(|x| (x.first > 0, x.rounding.right > 0, x.up > 0, x.unused > 0));
        self.slots[0] = inputs.iter().map(|input| input.feature).collect();
        let n = self.packings[0].per_row();
        let mut columns: Vec<ColumnScale> = inputs.into_iter().map(ColumnScale::from).collect();
        while !columns.len().is_multiple_of(n) {
            columns.push(ScaledInput::zero(columns[0].feature).into());
        }
        for word in columns.chunks_mut(n) {
            let operations = word.iter().fold(0, |all, column| all | column.operations);
            word.iter_mut().for_each(|column| column.operations = operations);
        }
        Ok(columns)
    }

    /// A step together with casts that follow it, and the number of the next.
    fn step(&mut self, number: usize) -> Found<(ProgramStep, usize)> {
        let step = &self.network.steps[number];
        let name = &self.network.tensors[step.output].name;
        let (operation, mut cast) =
            self.operation(number, step.output).map_err(|reason| format!("`{name}`: {reason}"))?;
        let (mut output, mut next) = (step.output, number + 1);
        cast.to(self.network.tensors[output].format).map_err(|e| format!("`{name}`: {e}"))?;
        // What only a following cast looks at need not be kept.
        while let Some(step) = self.network.steps.get(next)
            && let Layer::Relu { input } | Layer::Linear { input } = step.layer
            && input == output
            && output != self.network.output
            && self.n_consumers(output) == 1
        {
            cast.range = self.range(output);
            if matches!(step.layer, Layer::Relu { .. }) {
                cast.positive_part();
            }
            output = step.output;
            let tensor = &self.network.tensors[output];
            cast.to(tensor.format).map_err(|e| format!("`{}`: {e}", tensor.name))?;
            next += 1;
        }
        let operation = operation.kept(self, output);
        let n_rows = self.place(output)?;
        let output = self.places[output];
        Ok((ProgramStep { operation, casts: cast.casts, output, n_rows }, next))
    }

    fn n_consumers(&self, tensor: usize) -> usize {
        let consumes = |layer: &Layer| match layer {
            Layer::Dense(dense) => dense.input == tensor,
            Layer::Relu { input } | Layer::Linear { input } => *input == tensor,
            Layer::Add { inputs } | Layer::Subtract { inputs } | Layer::Dot { inputs, .. } => {
                inputs.contains(&tensor)
            }
        };
        self.network.steps.iter().filter(|step| consumes(&step.layer)).count()
    }

    /// What a step computes before its cast.
    fn operation(&self, number: usize, output: usize) -> Found<(Wanted, Casts)> {
        let fraction_bits = |tensor: usize| self.network.tensors[tensor].format.fraction_bits();
        let sums = self.bounds.sums[number].as_ref();
        Ok(match &self.network.steps[number].layer {
            Layer::Dense(dense) => {
                let sums = sums.ok_or("without bounds")?;
                let (scale, casts) = DenseScale::new(dense, fraction_bits(dense.input), sums)?;
                (Wanted::Dense(number, scale), casts)
            }
            Layer::Relu { input } => {
                let mut casts = Casts::new(fraction_bits(*input), self.range(*input));
                casts.positive_part();
                (Wanted::Same(*input), casts)
            }
            Layer::Linear { input } => {
                (Wanted::Same(*input), Casts::new(fraction_bits(*input), self.range(*input)))
            }
            Layer::Add { inputs } | Layer::Subtract { inputs } => {
                let is_difference =
                    matches!(self.network.steps[number].layer, Layer::Subtract { .. });
                let finest = fraction_bits(inputs[0]).max(fraction_bits(inputs[1]));
                let shifts = inputs.map(|input| (finest - fraction_bits(input)).unsigned_abs());
                let mut ranges = [(0, 0); 2];
                for ((range, &input), &shift) in ranges.iter_mut().zip(inputs).zip(&shifts) {
                    let (low, high) = self.range(input);
                    *range = shifted_left((low, high), shift)?;
                }
                let [a, b] = ranges;
                let range =
                    if is_difference { (a.0 - b.1, a.1 - b.0) } else { (a.0 + b.0, a.1 + b.1) };
                (Wanted::Merge(*inputs, shifts, is_difference), Casts::new(finest, fits(range)?))
            }
            Layer::Dot { inputs, .. } => {
                let sums = sums.ok_or("without bounds")?;
                let bits = inputs.map(fraction_bits);
                let format = self.network.tensors[output].format;
                let n = self.network.tensors[inputs[0]].length;
                let (limit, casts) = self.dot(*inputs, n, bits[0] + bits[1], sums, format)?;
                (Wanted::Dot(*inputs, limit), casts)
            }
        })
    }

    /// The limit of factors, and the range of the sum of products.
    fn dot(
        &self,
        inputs: [usize; 2],
        n: usize,
        fraction_bits: i32,
        sums: &Sums,
        format: Format,
    ) -> Found<(Option<i32>, Casts)> {
        let finer = sums.accumulator.fraction_bits() - fraction_bits;
        if finer < 0 || sums.overflows || sums.cuts_products {
            return Err(format!("products that {} cuts", sums.accumulator));
        }
        let range = (sums.range.0 >> finer.min(63), sums.range.1 >> finer.min(63));
        let factors = inputs.map(|input| self.range(input));
        let fit = factors.iter().all(|&range| fits(range).is_ok());
        if fit && let Ok(range) = fits(range) {
            return Ok((None, Casts::new(fraction_bits, range)));
        }
        let saturates = format.overflow() == Overflow::Saturate
            || format.overflow() == Overflow::SaturateSymmetric;
        if !fit || inputs[0] != inputs[1] || !saturates {
            return Err(format!("a sum of {} to {}, beyond 32 bits", range.0, range.1));
        }
        // The least factor whose square alone is the largest result there is.
        let most = format.codes().1;
        let unit = Format::new(true, 48, 48 - fraction_bits)?;
        let is_largest = |&x: &i64| format.cast(unit.with_code(x * x).exact()).code() == most;
        let limit = (0..1 << 15).find(is_largest).ok_or("squares beyond 32 bits")?;
        let range = fits((0, n as i64 * limit * limit))?;
        Ok((Some(limit as i32), Casts::new(fraction_bits, range)))
    }

    fn scores(&self, detector: &Detector) -> Found<Scores> {
        let output = self.network.output;
        let format = self.network.tensors[output].format;
        let loss = detector.loss_format;
        let n = self.network.tensors[output].length;
        let is_squared = detector.loss == Loss::SumOfSquares;
        let mut casts = Casts::new(format.fraction_bits(), fits(self.range(output))?);
        let mut of_sum = Limit::None;
        if is_squared {
            let (low, high) = casts.range;
            let largest = low.abs().max(high);
            casts = Casts::new(2 * format.fraction_bits(), fits((0, largest * largest))?);
        }
        casts.to(loss).map_err(|reason| format!("the loss: {reason}"))?;
        if is_squared {
            // None of them is negative: it saturates at the end, if it does on the way.
            let range = fits((0, n as i64 * casts.range.1.max(0)))?;
            of_sum = limit(loss, range)?.0;
            if casts.range.0 < 0 {
                return Err("squares that wrap to negative numbers".into());
            }
        }
        let left = (detector.score_bits - loss.fraction_bits()).unsigned_abs();
        let outputs = (0..n).map(|k| self.slot(output, k)).collect();
        Ok(Scores { outputs, is_squared, casts: casts.casts, of_sum, left })
    }
}

/// An operation of which it is not known yet which numbers are kept.
enum Wanted {
    Dense(usize, DenseScale),
    Same(usize),
    Merge([usize; 2], [u32; 2], bool),
    Dot([usize; 2], Option<i32>),
}

impl Wanted {
    /// The operation for the numbers of `output` that are kept.
    fn kept(self, builder: &Builder<'_>, output: usize) -> Operation {
        let kept = &builder.slots[output];
        let terms = |[a, b]: [usize; 2], elements: &[usize]| {
            elements.iter().map(|&k| [builder.slot(a, k), builder.slot(b, k)]).collect()
        };
        match self {
            Wanted::Dense(number, scale) => {
                let Layer::Dense(dense) = &builder.network.steps[number].layer else {
                    unreachable!("a dense layer was looked at")
                };
                let inputs = &builder.slots[dense.input];
                Operation::Dense(scale.packed(dense, inputs, kept, builder.places[dense.input]))
            }
            Wanted::Same(input) => {
                Operation::Same(kept.iter().map(|&k| builder.slot(input, k)).collect())
            }
            Wanted::Merge(inputs, shifts, is_difference) => {
                Operation::Merge { terms: terms(inputs, kept), shifts, is_difference }
            }
            Wanted::Dot(inputs, limit) => {
                let all: Vec<usize> = (0..builder.network.tensors[inputs[0]].length).collect();
                Operation::Dot { terms: terms(inputs, &all), limit }
            }
        }
    }
}

/// In which units a dense layer sums.
struct DenseScale {
    /// Places by which weights are moved to the left, negative: to the right, where they have zeros.
    weight_shift: i32,
    biases: Vec<i32>,
    cut: Option<Rounding>,
}

impl DenseScale {
    fn new(dense: &Dense, of_input: i32, sums: &Sums) -> Found<(DenseScale, Casts)> {
        let accumulator = dense.accumulator;
        let of_accumulator = accumulator.fraction_bits();
        let bias_of = |bias: &Fixed| accumulator.cast(bias.exact());
        let used = |x: Fixed| x.format().fraction_bits() - x.code().trailing_zeros().min(63) as i32;
        let nonzero = |x: &Fixed| x.code() != 0;
        let of_weights = dense.weights.iter().filter(|x| nonzero(x)).map(|&x| used(x)).max();
        let of_products = of_input + of_weights.unwrap_or(0);
        let of_biases = dense.biases.iter().map(bias_of).filter(nonzero).map(used).max();
        let declared = dense.weights.first().map_or(0, |x| x.format().fraction_bits());
        let is_cut = of_products > of_accumulator;
        let units =
            if is_cut { of_accumulator } else { of_products.max(of_biases.unwrap_or(of_products)) };
        let of_sums = units - of_input;
        let weight_shift = if is_cut { of_weights.unwrap_or(0) } else { of_sums } - declared;
        let largest = dense.weights.iter().map(|w| moved(w.code(), weight_shift).abs()).max();
        if largest.is_some_and(|w| w > i16::MAX.into()) {
            return Err(format!("weights beyond 16 bits in units of {units} fractional bits"));
        }
        let cut = is_cut.then(|| {
            let right = (of_products - of_accumulator).unsigned_abs();
            rounding(accumulator.quantisation(), right)
        });
        let finer = (of_accumulator - units).unsigned_abs().min(63);
        let range = (sums.range.0 >> finer, sums.range.1 >> finer);
        let biases =
            dense.biases.iter().map(|bias| moved(bias_of(bias).code(), units - of_accumulator));
        let biases =
            biases.map(|bias| i32::try_from(bias).map_err(|_| "biases beyond 32 bits".into()));
        let biases = biases.collect::<Found<_>>()?;
        let casts = if sums.overflows {
            let width = accumulator.width() as i32 - finer as i32;
            if accumulator.overflow() != Overflow::Wrap || !(1..=32).contains(&width) {
                return Err(format!("sums that overflow {accumulator} in the order of the source"));
            }
            let (low, high) = accumulator.codes();
            let mut casts = Casts::new(units, (low >> finer, high >> finer));
            let limit = match accumulator.is_signed() {
                true => Limit::Wrap { unused: 32 - width.unsigned_abs() },
                false if width < 32 => Limit::Mask(((1_i64 << width) - 1) as i32),
                false => return Err(format!("sums of {accumulator}")),
            };
            casts.casts.push(LaneCast { limit, ..LaneCast::default() });
            casts
        } else {
            Casts::new(units, fits(range)?)
        };
        Ok((DenseScale { weight_shift, biases, cut: cut.transpose()? }, casts))
    }

    /// The layer for the inputs and outputs that are kept.
    fn packed(
        &self,
        dense: &Dense,
        inputs: &[usize],
        outputs: &[usize],
        place: Place,
    ) -> DenseSteps {
        let n_out = dense.biases.len();
        let weight = |input: usize, output: usize| {
            moved(dense.weights[input * n_out + output].code(), self.weight_shift) as i16
        };
        let n = place.packing.per_row();
        let bits = u32::BITS / n as u32;
        let words: Vec<&[usize]> = inputs.chunks(n).collect();
        let (mut weights, mut biases, mut weight_sums) = (Vec::new(), Vec::new(), Vec::new());
        for quad in outputs.chunks(QUAD) {
            let of = |word: &[usize], k: usize| {
                let Some(&output) = quad.get(k) else { return 0 };
                let weights = word.iter().enumerate().map(|(i, &input)| {
                    let weight = i32::from(weight(input, output)).cast_unsigned();
                    (weight & (u32::MAX >> (u32::BITS - bits))) << (bits * i as u32)
                });
                weights.fold(0, |word, weight| word | weight).cast_signed()
            };
            let sum = |k: usize| {
                let of =
                    |&output: &usize| inputs.iter().map(move |&i| i32::from(weight(i, output)));
                quad.get(k).map_or(0, |output| of(output).sum())
            };
            weights.extend(words.iter().map(|word| [0, 1, 2, 3].map(|k| of(word, k))));
            biases.push([0, 1, 2, 3].map(|k| quad.get(k).map_or(0, |&output| self.biases[output])));
            weight_sums.push([0, 1, 2, 3].map(sum));
        }
        let n_words = words.len();
        DenseSteps { input: place, n_words, weights, biases, weight_sums, cut: self.cut }
    }
}

/// `x × 2^left`, where nothing is lost.
fn moved(x: i64, left: i32) -> i64 {
    match left {
        ..0 => x >> left.unsigned_abs().min(63),
        _ if x == 0 => 0,
        _ => x.saturating_mul(1_i64 << left.min(62)),
    }
}

/// The casts after an operation, as they are found.
struct Casts {
    casts: Vec<LaneCast>,
    fraction_bits: i32,
    range: Range,
    is_positive_part: bool,
}

impl Casts {
    fn new(fraction_bits: i32, range: Range) -> Casts {
        Casts { casts: Vec::new(), fraction_bits, range, is_positive_part: false }
    }

    fn positive_part(&mut self) {
        self.is_positive_part = true;
        self.range = (self.range.0.max(0), self.range.1.max(0));
    }

    /// A cast into this format.
    fn to(&mut self, format: Format) -> Found<()> {
        let mut cast = LaneCast { is_positive_part: self.is_positive_part, ..LaneCast::default() };
        let right = self.fraction_bits - format.fraction_bits();
        let (low, high) = self.range;
        let range = if right > 0 {
            cast.rounding = rounding(format.quantisation(), right.unsigned_abs())?;
            let Rounding { add, mask, right, .. } = cast.rounding;
            let (less, more) = (i64::from(mask.min(0)), i64::from(mask.max(0)));
            fits((low + i64::from(add) + less, high + i64::from(add) + more))?;
            (low >> right, (high >> right) + 1)
        } else {
            cast.left = right.unsigned_abs();
            match shifted_left((low, high), cast.left) {
                Ok(range) => range,
                // Modulo 2^32 is modulo 2^W.
                Err(_) if format.overflow() == Overflow::Wrap && cast.left < 32 => {
                    (i64::MIN, i64::MAX)
                }
                Err(reason) => return Err(reason),
            }
        };
        (cast.limit, self.range) = limit(format, range)?;
        // A saturating format that begins with 0 takes the positive part by itself.
        if let Limit::Clamp { low: 0, .. } = cast.limit {
            cast.is_positive_part = false;
        }
        self.is_positive_part = false;
        self.fraction_bits = format.fraction_bits();
        self.push(cast, format.quantisation())
    }

    /// Adds a cast; one that only moves to the left goes into the next, since x × 2^a rounded to
    /// multiples of 2^b is x rounded to multiples of 2^(b − a).
    fn push(&mut self, mut cast: LaneCast, mode: Quantisation) -> Found<()> {
        if let Some(&last) = self.casts.last()
            && last == (LaneCast { left: last.left, ..LaneCast::default() })
            && last.left + cast.left < i32::BITS
        {
            self.casts.pop();
            let right = cast.rounding.right;
            cast.left = (cast.left + last.left).saturating_sub(right);
            cast.rounding = match right.saturating_sub(last.left) {
                0 => Rounding::default(),
                right => rounding(mode, right)?,
            };
        }
        if cast != LaneCast::default() {
            self.casts.push(cast);
        }
        Ok(())
    }
}

/// What a format makes of integers in this range, and the range of that.
fn limit(format: Format, (low, high): Range) -> Found<(Limit, Range)> {
    let (mut least, most) = format.codes();
    if format.overflow() == Overflow::SaturateSymmetric && format.is_signed() {
        least = -most;
    }
    if low >= least && high <= most {
        return Ok((Limit::None, (low, high)));
    }
    let int = |x: i64| x.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    match format.overflow() {
        Overflow::Saturate | Overflow::SaturateSymmetric => {
            let limit = Limit::Clamp { low: int(least), high: int(most) };
            Ok((limit, (low.clamp(least, most), high.clamp(least, most))))
        }
        Overflow::Wrap if format.is_signed() && format.width() <= 32 => {
            Ok((Limit::Wrap { unused: 32 - format.width() }, (least, most)))
        }
        Overflow::Wrap if !format.is_signed() && format.width() < 32 => {
            Ok((Limit::Mask(most as i32), (least, most)))
        }
        _ => Err(format!("{format} of {low} to {high}")),
    }
}

/// How a mode rounds `right` bits off, at least one.
pub(super) fn rounding(mode: Quantisation, right: u32) -> Found<Rounding> {
    if !(1..=30).contains(&right) {
        return Err(format!("{right} bits cut off"));
    }
    let half = 1 << (right - 1);
    let (add, bits, mask) = match mode {
        Quantisation::Truncate => (0, 0, 0),
        Quantisation::Round => (half, 0, 0),
        Quantisation::RoundDown => (half - 1, 0, 0),
        Quantisation::RoundToEven => (half - 1, right, 1),
        Quantisation::RoundToZero => (half - 1, 31, 1),
        Quantisation::RoundAway => (half, 31, -1),
        Quantisation::TruncateToZero => (0, 31, 2 * half - 1),
    };
    Ok(Rounding { add, bits, mask, right })
}

/// The range itself, if 32 bits hold it.
fn fits((low, high): Range) -> Found<Range> {
    if low < i32::MIN.into() || high > i32::MAX.into() {
        return Err(format!("{low} to {high}, beyond 32 bits"));
    }
    Ok((low, high))
}

fn shifted_left((low, high): Range, left: u32) -> Found<Range> {
    let shifted = |x: i64| x.checked_mul(1_i64.checked_shl(left.min(62))?);
    let range = shifted(low).zip(shifted(high)).filter(|_| left < 32);
    fits(range.ok_or_else(|| format!("{left} places to the left"))?)
}
