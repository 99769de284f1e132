//! Between which codes the numbers of a network lie, for every input there is.
//!
//! Intervals, number by number: a cast that rounds or saturates is monotone, so the ends of an interval
//! give the ends of what it makes of it; one that can wrap gives any code of its format. Sums are bounded
//! in whatever order they are taken: by the sum of all negative and that of all positive terms.
//! Intervals know nothing of relations between inputs, so a bound may be wider than need be, and is
//! never too narrow. This is what the widths of a fast version are chosen by.

use std::fmt;

use super::network::{Dense, Layer, Network};
use crate::fixed::{Exact, Fixed, Format, MAX_WIDTH, Overflow};

/// A range of codes, ends included.
type Range = (i64, i64);
/// The least and the largest number there can be in a place.
type Ends = (Fixed, Fixed);
/// What makes the ends of a result from those of two numbers.
type Merge = fn(Ends, Ends) -> (Exact, Exact);

/// The sums of a layer, in units of the last bit of its accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Smallest and largest partial sum in any order, before the accumulator wraps or saturates.
    pub range: Range,
    /// Whether the accumulator could not hold all of these, or a product.
    pub overflows: bool,
    /// Whether products lose bits when they are cast to the accumulator, one by one.
    pub cuts_products: bool,
    /// The accumulator.
    pub accumulator: Format,
}

impl Sums {
    /// Bits of an integer, sign included, that holds every partial sum in any order; or, of one that
    /// wraps, those of the accumulator, if that is less: sums modulo 2^W are right in any order. None
    /// if the accumulator saturates, because then the order counts.
    #[must_use]
    pub fn integer_bits(&self) -> Option<u32> {
        let (low, high) = self.range;
        let bits = 65 - (low.max(!low).max(high.max(!high))).leading_zeros();
        match self.accumulator.overflow() {
            _ if !self.overflows => Some(bits),
            Overflow::Wrap => Some(bits.min(self.accumulator.width())),
            _ => None,
        }
    }
}

/// The bounds of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Codes of each number of each tensor.
    pub tensors: Vec<Vec<Range>>,
    /// Of each step that sums.
    pub sums: Vec<Option<Sums>>,
    names: Vec<String>,
}

impl Bounds {
    /// The bounds for all inputs of the input's format.
    #[must_use]
    pub fn new(network: &Network) -> Bounds {
        let input = network.input();
        let mut tensors = vec![Vec::new(); network.tensors.len()];
        tensors[0] = vec![input.format.codes(); input.length];
        let (mut sums, mut names) = (Vec::new(), Vec::new());
        for step in &network.steps {
            let output = &network.tensors[step.output];
            let values = |index: usize| -> Vec<Ends> {
                let format = network.tensors[index].format;
                let ends = |&(low, high): &Range| (format.with_code(low), format.with_code(high));
                tensors[index].iter().map(ends).collect()
            };
            let (ranges, found) = layer_bounds(&step.layer, output.format, values);
            tensors[step.output] = ranges;
            sums.push(found);
            names.push(output.name.clone());
        }
        Bounds { tensors, sums, names }
    }
}

/// One line for each layer that sums.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, sums) in self.names.iter().zip(&self.sums) {
            let Some(sums) = sums else { continue };
            let (low, high) = sums.range;
            write!(f, "{name}: sums {low} to {high} in {}, ", sums.accumulator)?;
            match sums.integer_bits() {
                Some(bits) => write!(f, "{bits} bits")?,
                None => write!(f, "in the order of the source")?,
            }
            let overflows = if sums.overflows { ", can overflow" } else { "" };
            let cuts = if sums.cuts_products { ", products are cut one by one" } else { "" };
            writeln!(f, "{overflows}{cuts}")?;
        }
        Ok(())
    }
}

/// Ranges of the layer's outputs, and of its sums.
fn layer_bounds(
    layer: &Layer,
    format: Format,
    values: impl Fn(usize) -> Vec<Ends>,
) -> (Vec<Range>, Option<Sums>) {
    let merged = |[a, b]: [usize; 2], merge: Merge| {
        let pairs = values(a).into_iter().zip(values(b));
        pairs.map(|(a, b)| merge(a, b)).map(|(low, high)| image(format, low, high)).collect()
    };
    let casts = |(low, high): Ends| image(format, low.exact(), high.exact());
    match layer {
        Layer::Dense(dense) => dense_bounds(dense, format, &values(dense.input)),
        Layer::Linear { input } => (values(*input).into_iter().map(casts).collect(), None),
        Layer::Relu { input } => {
            let positive = |x: Fixed| x.format().with_code(x.code().max(0));
            let ranges = values(*input).into_iter().map(|(a, b)| casts((positive(a), positive(b))));
            (ranges.collect(), None)
        }
        Layer::Add { inputs } => (merged(*inputs, |a, b| (a.0.plus(b.0), a.1.plus(b.1))), None),
        Layer::Subtract { inputs } => {
            (merged(*inputs, |a, b| (a.0.minus(b.1), a.1.minus(b.0))), None)
        }
        Layer::Dot { inputs: [a, b], accumulator } => {
            let terms = values(*a).into_iter().zip(values(*b));
            let mut total = Total::new(*accumulator);
            for (x, y) in terms {
                if a == b {
                    let largest = if x.0.code().abs() > x.1.code().abs() { x.0 } else { x.1 };
                    let zero = Exact::integer(0);
                    total.add_product(&[zero, largest.times(largest)], true);
                } else {
                    let ends = [x.0.times(y.0), x.0.times(y.1), x.1.times(y.0), x.1.times(y.1)];
                    total.add_product(&ends, true);
                }
            }
            let (range, sums) = total.finish(format);
            (vec![range], Some(sums))
        }
    }
}

fn dense_bounds(dense: &Dense, format: Format, inputs: &[Ends]) -> (Vec<Range>, Option<Sums>) {
    let n_out = dense.biases.len();
    let mut all: Option<Sums> = None;
    let mut ranges = Vec::new();
    for (j, bias) in dense.biases.iter().enumerate() {
        let mut total = Total::new(dense.accumulator);
        total.add(&[bias.exact()]);
        for (&(low, high), weights) in inputs.iter().zip(dense.weights.chunks_exact(n_out)) {
            let weight = weights[j];
            let finest = low.format().fraction_bits() + fraction_bits(weight);
            let is_cut = weight.code() != 0 && finest > dense.accumulator.fraction_bits();
            total.add_product(&[low.times(weight), high.times(weight)], is_cut);
        }
        let (range, sums) = total.finish(format);
        ranges.push(range);
        all = Some(all.map_or(sums, |others| others.and(sums)));
    }
    (ranges, all)
}

/// Bits below one that the number uses.
fn fraction_bits(x: Fixed) -> i32 {
    x.format().fraction_bits() - x.code().trailing_zeros().min(63) as i32
}

impl Sums {
    fn and(self, other: Sums) -> Sums {
        Sums {
            range: (self.range.0.min(other.range.0), self.range.1.max(other.range.1)),
            overflows: self.overflows || other.overflows,
            cuts_products: self.cuts_products || other.cuts_products,
            accumulator: self.accumulator,
        }
    }
}

/// A sum being made.
struct Total {
    /// The accumulator without its limits.
    wide: Format,
    low: i64,
    high: i64,
    /// All terms together: where the sum ends.
    last: Range,
    sums: Sums,
}

impl Total {
    fn new(accumulator: Format) -> Total {
        let range = (0, 0);
        let sums = Sums { range, overflows: false, cuts_products: false, accumulator };
        Total { wide: widened(accumulator), low: 0, high: 0, last: range, sums }
    }

    /// A product between the least and the largest of these.
    fn add_product(&mut self, ends: &[Exact], is_cut: bool) {
        let fraction_bits = ends.iter().map(|end| end.fraction_bits()).max().unwrap_or(0);
        let is_finer = fraction_bits > self.sums.accumulator.fraction_bits();
        self.sums.cuts_products |= is_cut && is_finer;
        self.add(ends);
    }

    fn add(&mut self, ends: &[Exact]) {
        let codes = ends.iter().map(|&end| self.wide.cast(end).code());
        let (mut low, mut high) = (codes.clone().min().unwrap_or(0), codes.max().unwrap_or(0));
        let (least, most) = self.sums.accumulator.codes();
        if low < least || high > most || is_limit(self.wide, low) || is_limit(self.wide, high) {
            self.sums.overflows = true;
            (low, high) = (least, most);
        }
        // At most 2^14 terms of 48 bits.
        self.low += low.min(0);
        self.high += high.max(0);
        self.last = (self.last.0 + low, self.last.1 + high);
    }

    /// The range of the result, and the sums.
    fn finish(mut self, format: Format) -> (Range, Sums) {
        let accumulator = self.sums.accumulator;
        let (least, most) = accumulator.codes();
        self.sums.range = (self.low, self.high);
        self.sums.overflows |= self.low < least || self.high > most;
        let (low, high) = if self.sums.overflows { (least, most) } else { self.last };
        let ends = [low, high].map(|code| accumulator.with_code(code).exact());
        (image(format, ends[0], ends[1]), self.sums)
    }
}

/// The format without its limits: as many integer bits as there can be.
fn widened(format: Format) -> Format {
    let integer_bits = MAX_WIDTH as i32 - format.fraction_bits();
    let wide = Format::new(true, MAX_WIDTH, integer_bits).expect("fraction bits are unchanged");
    wide.with_modes(format.quantisation(), Overflow::Saturate)
}

/// Whether a code is one that larger numbers have as well.
fn is_limit(wide: Format, code: i64) -> bool {
    let (least, most) = wide.codes();
    code == least || code == most
}

/// The codes that casts of numbers between two can have.
fn image(format: Format, low: Exact, high: Exact) -> Range {
    let (least, most) = format.codes();
    let wide = widened(format);
    let (first, last) = (wide.cast(low).code(), wide.cast(high).code());
    let is_limited = is_limit(wide, first) || is_limit(wide, last);
    let is_inside = first >= least && last <= most && !is_limited;
    match format.overflow() {
        Overflow::Saturate | Overflow::SaturateSymmetric => {
            (format.cast(low).code(), format.cast(high).code())
        }
        _ if is_inside => (format.cast(low).code(), format.cast(high).code()),
        Overflow::Wrap | Overflow::Zero => (least, most),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::hls::{Step, Tensor, axol1tl};

    fn reference(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/hls").join(name)
    }

    fn format(width: u32, integer_bits: i32) -> Format {
        Format::new(true, width, integer_bits).unwrap()
    }

    /// One output of two inputs of four bits, with weights 3 and −2 and bias 1.
    fn small(accumulator: Format, output: Format) -> Network {
        let weight = format(3, 3);
        let dense = Dense {
            input: 0,
            weights: [3, -2].map(|code| weight.with_code(code)).to_vec(),
            biases: vec![weight.with_code(1)],
            accumulator,
        };
        let tensor = |name: &str, length, format| Tensor { name: name.into(), length, format };
        Network {
            name: "small".into(),
            tensors: vec![tensor("x", 2, format(4, 4)), tensor("y", 1, output)],
            steps: vec![Step { output: 1, layer: Layer::Dense(dense) }],
            output: 1,
        }
    }

    #[test]
    fn the_bounds_of_a_small_layer_are_those_worked_out_by_hand() {
        // 3 × (−8 … 7) is −24 … 21, −2 × (−8 … 7) is −14 … 16, and 1.
        let bounds = Bounds::new(&small(format(8, 8), format(8, 8)));
        let sums = bounds.sums[0].unwrap();
        assert_eq!((sums.range, sums.overflows, sums.cuts_products), ((-38, 38), false, false));
        assert_eq!((sums.integer_bits(), &bounds.tensors[1][..]), (Some(7), &[(-37, 38)][..]));
        let narrow = Bounds::new(&small(format(6, 6), format(8, 8)));
        let sums = narrow.sums[0].unwrap();
        assert!(sums.overflows && sums.integer_bits() == Some(6), "{sums:?}");
        assert_eq!(narrow.tensors[1], [(-32, 31)], "it can wrap to any code");
        let saturating = format(6, 6).with_modes(Default::default(), Overflow::Saturate);
        let sums = Bounds::new(&small(saturating, format(8, 8))).sums[0].unwrap();
        assert_eq!(sums.integer_bits(), None, "the order counts");
        let coarse = Bounds::new(&small(format(8, 9), format(8, 8))).sums[0].unwrap();
        assert!(coarse.cuts_products, "3 × x is odd, in units of two");
    }

    #[test]
    fn no_number_of_any_network_leaves_its_bounds() {
        let detectors = ["AXOL1TL_v1", "AXOL1TL_v4", "AXOL1TL_v5"]
            .map(|name| axol1tl::read(&reference(name)).unwrap().network().clone());
        let projects =
            ["dense", "residual"].map(|name| Network::read_project(&reference(name)).unwrap());
        let mut random = 1_u64;
        for network in detectors.iter().chain(&projects) {
            let bounds = Bounds::new(network);
            let (low, high) = network.input().format.codes();
            for row in 0..300 {
                let input: Vec<Fixed> = (0..network.input().length)
                    .map(|_| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let code = match row % 3 {
                            0 => [low, high][(random >> 63) as usize],
                            shift => (random.cast_signed() >> 40 >> (2 * shift)).clamp(low, high),
                        };
                        network.input().format.with_code(code)
                    })
                    .collect();
                for (values, ranges) in network.values(&input).iter().zip(&bounds.tensors) {
                    for (x, &(low, high)) in values.iter().zip(ranges) {
                        assert!((low..=high).contains(&x.code()), "{}: {x:?}", network.name);
                    }
                }
            }
        }
    }
}
