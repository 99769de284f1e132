//! Evaluates a network in integers: lanes are events, codes of four inputs side by side.
//!
//! ```text
//! columns of i16 ─► quads of codes ─► dot products, four outputs at a time ─► quads ─► … ─► squares
//! ```
//!
//! As many vectors of events as there are registers for their sums go through all layers before the
//! next ones, so that what lies between the layers stays in a few KiB. Weights are read in the order
//! in which they lie.
//! [`IntegerNet`] says what is computed; nothing here rounds or saturates but as written there.

use super::isa::{Isa, LaneKernel};
use super::lane::{CodeScales, Lane, QUAD};
use crate::autoencoder::float::{InputScale, MAX_WIDTH};
use crate::autoencoder::integer::{IntegerLayer, IntegerNet, MAX_DISTANCE};
use crate::rows::{AlignedLanes, LANE_STRIDE, Rows};
use crate::scorer::Score;

/// Most events that go through the layers together, with any instruction set.
const MAX_EVENTS: usize = 64;

/// Where a quad of codes comes from.
#[derive(Clone, Copy, Debug)]
struct InputQuad {
    features: [u32; QUAD],
    scales: CodeScales,
}

/// A layer, filled up to whole quads on both sides.
#[derive(Clone, Debug)]
struct PackedLayer {
    n_quads: usize,
    /// **Shape**: `(output quads, input quads, outputs of a quad)`; each holds four weights.
    weights: Vec<[i32; QUAD]>,
    /// **Shape**: output quads.
    outputs: Vec<Outputs>,
}

#[derive(Clone, Copy, Debug)]
struct Outputs {
    biases: [i32; QUAD],
    /// Sums of the weights of each.
    weights: [i32; QUAD],
    shifts: [u32; QUAD],
}

/// Where a target is among the codes of the inputs: quad, and bits within it.
#[derive(Clone, Copy, Debug)]
struct Target {
    quad: u32,
    bits: u32,
}

/// A network, packed for [`Network::score`].
#[derive(Clone, Debug)]
pub(crate) struct Network {
    n_features: usize,
    inputs: Vec<InputQuad>,
    hidden: Vec<PackedLayer>,
    last: PackedLayer,
    /// **Shape**: output quads of the last layer, or none: outputs are compared with zeros.
    targets: Vec<[Target; QUAD]>,
    target_bits: u32,
    /// Quads of the widest hidden layer.
    most_quads: usize,
}

impl Network {
    /// Packs a network; features that it does not look at are left out.
    pub(crate) fn new(net: &IntegerNet) -> Network {
        let parts = net.parts();
        let n_features = parts.inputs.len();
        let mut used: Vec<usize> =
            (0..n_features).filter(|&feature| net.is_used(feature)).collect();
        // Shifts to the left cost more: together, so that few quads have any.
        used.sort_by_key(|&feature| parts.inputs[feature].shift < 0);
        let inputs = used.chunks(QUAD).map(|used| InputQuad {
            features: std::array::from_fn(|k| used.get(k).map_or(0, |&feature| feature as u32)),
            scales: code_scales(used.iter().map(|&feature| parts.inputs[feature])),
        });
        let inputs: Vec<InputQuad> = inputs.collect();
        let (last, hidden) = parts.layers.split_last().expect("a network has a layer");
        let all: Vec<usize> = (0..MAX_WIDTH).collect();
        let pack = |k: usize, layer: &IntegerLayer| {
            let n_inputs = layer.n_inputs as usize;
            PackedLayer::new(layer, if k == 0 { &used } else { &all[..n_inputs] })
        };
        let hidden: Vec<PackedLayer> = hidden.iter().enumerate().map(|(k, l)| pack(k, l)).collect();
        let last = pack(hidden.len(), last);
        // Behind the inputs lies a quad of zeros, for what fills up the last quad of outputs.
        let zero = Target { quad: inputs.len() as u32, bits: 0 };
        let target = |k: usize| {
            parts.targets.get(k).map_or(zero, |&target| {
                let at = used.iter().position(|&feature| feature == usize::from(target));
                let at = at.expect("targets are used");
                Target { quad: (at / QUAD) as u32, bits: (8 * (at % QUAD)) as u32 }
            })
        };
        let n_targets = if parts.targets.is_empty() { 0 } else { last.outputs.len() };
        let targets = (0..n_targets).map(|quad| [0, 1, 2, 3].map(|k| target(QUAD * quad + k)));
        let most_quads = hidden.iter().map(|layer| layer.outputs.len()).max().unwrap_or(0);
        Network {
            n_features,
            targets: targets.collect(),
            target_bits: parts.target_bits.into(),
            inputs,
            hidden,
            last,
            most_quads,
        }
    }

    /// Lanes of working memory that it needs, 16 bits each.
    pub(crate) fn n_lanes(&self) -> usize {
        2 * MAX_EVENTS * (self.inputs.len() + 1 + 2 * self.most_quads + 1)
    }

    /// Scores every event of the batch.
    ///
    /// # Panics
    /// If the rows, the memory or the scores are not of this network's sizes.
    pub(crate) fn score(
        &self,
        isa: Isa,
        rows: Rows<'_>,
        memory: &mut AlignedLanes,
        out: &mut [Score],
    ) {
        assert_eq!(rows.n_features(), self.n_features, "rows of another specification");
        assert_eq!(out.len(), rows.n_events(), "one score per event");
        assert!(memory.lanes().len() >= self.n_lanes(), "memory of another network");
        let lanes = rows.lanes_padded();
        isa.run_lanes(Layers { network: self, lanes, memory: memory.ints_mut(), out });
    }
}

/// Scales of at most four inputs; what fills up the quad becomes code 0.
fn code_scales(scales: impl Iterator<Item = InputScale>) -> CodeScales {
    // The same 16 bits for two events.
    let pair = |x: u16| (u32::from(x) << 16 | u32::from(x)).cast_signed();
    let mut quad = CodeScales::default();
    for (k, InputScale { offset, shift }) in scales.enumerate() {
        let bits = u16::from(shift.unsigned_abs());
        // The largest difference that becomes 255 after a shift to the right.
        let limit = if shift < 0 { 255 } else { ((256_u32 << shift) - 1).min(u16::MAX.into()) };
        quad.offsets[k] = pair(offset.cast_unsigned());
        quad.limits[k] = pair(limit as u16);
        quad.rights[k] = pair(if shift < 0 { 0 } else { bits });
        quad.lefts[k] = pair(if shift < 0 { bits } else { 0 });
        quad.has_left |= shift < 0;
    }
    quad
}

impl PackedLayer {
    /// A layer whose inputs are these columns of the weights.
    fn new(layer: &IntegerLayer, columns: &[usize]) -> PackedLayer {
        let n_outputs = layer.biases.len();
        let n_inputs = layer.n_inputs as usize;
        let quads: Vec<&[usize]> = columns.chunks(QUAD).collect();
        let word = |output: usize, columns: &[usize]| {
            let mut bytes = [0; QUAD];
            if output < n_outputs {
                for (byte, column) in bytes.iter_mut().zip(columns) {
                    *byte = layer.weights[output * n_inputs + column] as u8;
                }
            }
            i32::from_le_bytes(bytes)
        };
        let (mut weights, mut outputs) = (Vec::new(), Vec::new());
        for output in (0..n_outputs).step_by(QUAD) {
            let own = [output, output + 1, output + 2, output + 3];
            weights.extend(quads.iter().map(|columns| own.map(|output| word(output, columns))));
            // What fills up a quad is 0: no weights, no bias.
            outputs.push(Outputs {
                biases: own.map(|output| layer.biases.get(output).copied().unwrap_or(0)),
                weights: own.map(|output| {
                    let row = layer.weights.chunks(n_inputs).nth(output).unwrap_or(&[]);
                    row.iter().map(|&w| i32::from(w)).sum()
                }),
                shifts: own.map(|output| layer.shifts.get(output).map_or(0, |&s| s.into())),
            });
        }
        PackedLayer { n_quads: quads.len(), weights, outputs }
    }
}

/// One batch, all sizes checked.
struct Layers<'a> {
    network: &'a Network,
    lanes: &'a [i16],
    memory: &'a mut [i32],
    out: &'a mut [Score],
}

impl LaneKernel for Layers<'_> {
    #[inline(always)]
    fn run<L: Lane>(self, proof: L::Proof) {
        // A number of vectors that is known when this is compiled.
        match L::VECTORS {
            4 => self.run_vectors::<L, 4>(proof),
            _ => self.run_vectors::<L, 2>(proof),
        }
    }
}

impl Layers<'_> {
    #[inline(always)]
    fn run_vectors<L: Lane, const V: usize>(self, proof: L::Proof) {
        let Layers { network, lanes, memory, out } = self;
        let events = V * L::LANES;
        const { assert!(V * L::LANES <= MAX_EVENTS && V.is_multiple_of(2)) };
        let (inputs, rest) = memory.split_at_mut((network.inputs.len() + 1) * events);
        let (first, rest) = rest.split_at_mut(network.most_quads * events);
        let (second, rest) = rest.split_at_mut(network.most_quads * events);
        let scores = &mut rest[..events];
        inputs[network.inputs.len() * events..].fill(i32::from_le_bytes([L::ZERO; QUAD]));
        for (k, out) in out.chunks_mut(events).enumerate() {
            fill::<L, V>(proof, network, &lanes[k * events..], inputs);
            let (mut from, mut to) = (&mut *first, &mut *second);
            for (k, layer) in network.hidden.iter().enumerate() {
                let codes = if k == 0 { &*inputs } else { &*from };
                hidden::<L, V>(proof, layer, codes, to);
                std::mem::swap(&mut from, &mut to);
            }
            let codes = if network.hidden.is_empty() { &*inputs } else { &*from };
            squares::<L, V>(proof, network, codes, inputs, scores);
            out.copy_from_slice(&scores[..out.len()]);
        }
    }
}

/// Writes the codes of the events at the beginning of the lanes.
#[inline(always)]
fn fill<L: Lane, const V: usize>(
    proof: L::Proof,
    network: &Network,
    lanes: &[i16],
    codes: &mut [i32],
) {
    let codes = codes.chunks_exact_mut(V * L::LANES);
    for (quad, codes) in network.inputs.iter().zip(codes) {
        for (pair, codes) in codes.chunks_exact_mut(2 * L::LANES).enumerate() {
            let columns = quad.features.map(|feature| {
                let column = &lanes[feature as usize * LANE_STRIDE + pair * 2 * L::LANES..];
                assert!(column.len() >= 2 * L::LANES);
                column.as_ptr()
            });
            // SAFETY: the assertion; columns and pairs of vectors of them begin at multiples of
            // their size.
            let [low, high] = unsafe { L::codes(proof, columns, &quad.scales) };
            // SAFETY: a slice of twice so many integers.
            unsafe { low.store(codes.as_mut_ptr()) };
            // SAFETY: its second half.
            unsafe { high.store(codes.as_mut_ptr().wrapping_add(L::LANES)) };
        }
    }
}

/// Sums of four outputs for all events that go together.
#[inline(always)]
fn sums<L: Lane, const V: usize>(
    proof: L::Proof,
    layer: &PackedLayer,
    quad: usize,
    codes: &[i32],
) -> [[L; V]; QUAD] {
    let Outputs { biases, weights, shifts } = layer.outputs[quad];
    let mut sums = [0, 1, 2, 3].map(|k| {
        let bias = biases[k] + i32::from(L::ZERO) * weights[k];
        [L::splat(proof, bias); V]
    });
    let weights = &layer.weights[quad * layer.n_quads..][..layer.n_quads];
    for (weights, codes) in weights.iter().zip(codes.chunks_exact(V * L::LANES)) {
        for vector in 0..V {
            // SAFETY: the chunk has so many integers, and begins at a multiple of their size.
            let codes = unsafe { L::load(proof, codes.as_ptr().wrapping_add(vector * L::LANES)) };
            for (sums, &weights) in sums.iter_mut().zip(weights) {
                sums[vector] = sums[vector].dot(codes, weights);
            }
        }
    }
    for (sums, shift) in sums.iter_mut().zip(shifts) {
        *sums = sums.map(|sum| sum.shift_right(shift));
    }
    sums
}

#[inline(always)]
fn hidden<L: Lane, const V: usize>(
    proof: L::Proof,
    layer: &PackedLayer,
    codes: &[i32],
    out: &mut [i32],
) {
    let out = out.chunks_exact_mut(V * L::LANES);
    for (quad, out) in (0..layer.outputs.len()).zip(out) {
        let [a, b, c, d] = sums::<L, V>(proof, layer, quad, codes);
        for (vector, out) in out.chunks_exact_mut(L::LANES).enumerate() {
            let quads = L::quad([a[vector], b[vector], c[vector], d[vector]]);
            // SAFETY: a slice of so many integers.
            unsafe { quads.store(out.as_mut_ptr()) };
        }
    }
}

#[inline(always)]
fn squares<L: Lane, const V: usize>(
    proof: L::Proof,
    network: &Network,
    codes: &[i32],
    inputs: &[i32],
    scores: &mut [Score],
) {
    let limit = L::splat(proof, MAX_DISTANCE);
    let mut totals = [L::splat(proof, 0); V];
    for quad in 0..network.last.outputs.len() {
        let mut distances = sums::<L, V>(proof, &network.last, quad, codes);
        if let Some(targets) = network.targets.get(quad) {
            for (distances, target) in distances.iter_mut().zip(targets) {
                let inputs = &inputs[target.quad as usize * V * L::LANES..][..V * L::LANES];
                for (vector, distance) in distances.iter_mut().enumerate() {
                    let at = inputs.as_ptr().wrapping_add(vector * L::LANES);
                    // SAFETY: the slice has so many integers, and begins at a multiple of their
                    // size.
                    let code = unsafe { L::load(proof, at) }.code(target.bits);
                    *distance = code.shift_left(network.target_bits).sub(*distance);
                }
            }
        }
        for distances in distances {
            for (total, distance) in totals.iter_mut().zip(distances) {
                *total = total.add_square(distance, limit);
            }
        }
    }
    let pairs = scores.chunks_exact_mut(2 * L::LANES);
    for (totals, scores) in totals.chunks_exact(2).zip(pairs) {
        let [low, high] = L::in_order([totals[0], totals[1]]);
        // SAFETY: a slice of twice so many integers.
        unsafe { low.store(scores.as_mut_ptr()) };
        // SAFETY: its second half.
        unsafe { high.store(scores.as_mut_ptr().wrapping_add(L::LANES)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoder::float::{InputScale, SHIFTS};
    use crate::autoencoder::integer::{IntegerParts, MAX_BIAS, MAX_SHIFT, MAX_WEIGHT};
    use crate::autoencoder::scorer::NetScorer;
    use crate::rows::{MAX_BATCH, RowBuffer};
    use crate::scorer::Scorer;
    use crate::testing::Random;

    /// Weights and biases that reach the ends of what is allowed, and sums that do as well.
    fn random_layer(random: &mut Random, n_inputs: usize, n_outputs: usize) -> IntegerLayer {
        let weight = |random: &mut Random| match random.below(8) {
            0 => 0,
            1 => MAX_WEIGHT,
            2 => -MAX_WEIGHT,
            _ => random.within(-63, 63) as i8,
        };
        let bias = |random: &mut Random| match random.below(6) {
            0 => random.within(-i64::from(MAX_BIAS), MAX_BIAS.into()) as i32,
            1 => MAX_BIAS,
            _ => random.within(-100_000, 100_000) as i32,
        };
        let shift = |random: &mut Random| match random.below(8) {
            0 => random.below(u64::from(MAX_SHIFT) + 1) as u8,
            _ => random.within(4, 9) as u8,
        };
        IntegerLayer {
            n_inputs: n_inputs as u32,
            weights: (0..n_inputs * n_outputs).map(|_| weight(random)).collect(),
            biases: (0..n_outputs).map(|_| bias(random)).collect(),
            shifts: (0..n_outputs).map(|_| shift(random)).collect(),
        }
    }

    fn random_net(random: &mut Random, widths: &[usize], n_targets: usize) -> IntegerNet {
        let (min, max) = ((*SHIFTS.start()).into(), (*SHIFTS.end()).into());
        let scale = |random: &mut Random| InputScale {
            offset: if random.below(4) == 0 { random.extreme() } else { 0 },
            shift: if random.below(4) == 0 { random.within(min, max) as i8 } else { 1 },
        };
        let mut layers: Vec<IntegerLayer> =
            widths.windows(2).map(|pair| random_layer(random, pair[0], pair[1])).collect();
        // A feature that nothing looks at.
        if widths[0] > 3 && random.below(2) == 0 {
            layers[0].weights.iter_mut().skip(2).step_by(widths[0]).for_each(|w| *w = 0);
        }
        let parts = IntegerParts {
            inputs: (0..widths[0]).map(|_| scale(random)).collect(),
            layers,
            targets: (0..n_targets).map(|_| random.below(widths[0] as u64) as u16).collect(),
            target_bits: random.below(5) as u8,
            score_bits: 20,
        };
        IntegerNet::new(parts).unwrap()
    }

    fn random_rows(random: &mut Random, n_features: usize, n_events: usize) -> RowBuffer {
        let mut rows = RowBuffer::new(n_features);
        for feature in 0..n_features {
            for x in rows.column_mut(feature) {
                *x = if random.below(3) == 0 { random.extreme() } else { random.below(600) as i16 };
            }
        }
        rows.set_len(n_events);
        rows
    }

    fn by_definition(net: &IntegerNet, rows: &RowBuffer) -> Vec<Score> {
        let row = |event| -> Vec<i16> {
            (0..rows.n_features()).map(|feature| rows.column(feature)[event]).collect()
        };
        (0..rows.n_events()).map(|event| net.score(&row(event))).collect()
    }

    fn scores(net: &IntegerNet, isa: Isa, rows: &RowBuffer) -> Vec<Score> {
        let scorer = NetScorer::new(net, isa);
        let mut scores = vec![Score::MIN; rows.n_events()];
        scorer.score(rows.rows(), &mut scorer.scratch(), &mut scores);
        let (min, max) = scorer.range();
        assert!(scores.iter().all(|score| (min..=max).contains(score)));
        scores
    }

    #[test]
    fn every_instruction_set_scores_as_the_definition_for_every_length() {
        let mut random = Random(11);
        let net = random_net(&mut random, &[57, 32, 16, 8], 0);
        for n_events in 0..=MAX_BATCH {
            let rows = random_rows(&mut random, 57, n_events);
            let expected = by_definition(&net, &rows);
            for isa in Isa::available() {
                assert_eq!(scores(&net, isa, &rows), expected, "{} {n_events}", isa.name());
            }
        }
    }

    #[test]
    fn networks_of_all_shapes_score_as_the_definition_on_every_instruction_set() {
        let mut random = Random(12);
        for case in 0..240 {
            let n_layers = 1 + random.below(4) as usize;
            let widths: Vec<usize> =
                (0..=n_layers).map(|_| 1 + random.below(40) as usize).collect();
            let n_targets = if case % 2 == 0 { 0 } else { widths[n_layers] };
            let net = random_net(&mut random, &widths, n_targets);
            let rows = random_rows(&mut random, widths[0], MAX_BATCH);
            let expected = by_definition(&net, &rows);
            for isa in Isa::available() {
                assert_eq!(scores(&net, isa, &rows), expected, "{} {widths:?}", isa.name());
            }
        }
    }

    /// With one weight of 1, the score is the square of the code.
    #[test]
    fn every_value_becomes_its_code_for_every_shift_on_every_instruction_set() {
        let mut rows = RowBuffer::new(1);
        rows.set_len(MAX_BATCH);
        let mut out = [0; MAX_BATCH];
        for (offset, shift) in [i16::MIN, -3, 0, 300, i16::MAX]
            .into_iter()
            .flat_map(|offset| SHIFTS.map(move |shift| (offset, shift)))
        {
            let scale = InputScale { offset, shift };
            let layer =
                IntegerLayer { n_inputs: 1, weights: vec![1], biases: vec![0], shifts: vec![0] };
            let parts =
                IntegerParts { inputs: vec![scale], layers: vec![layer], ..Default::default() };
            let net = IntegerNet::new(parts).unwrap();
            let scorers = Isa::available().into_iter().map(|isa| NetScorer::new(&net, isa));
            let mut scorers: Vec<_> = scorers.map(|s| (s.scratch(), s)).collect();
            let values: Vec<i16> = (i16::MIN..=i16::MAX).collect();
            for values in values.chunks(MAX_BATCH) {
                rows.column_mut(0)[..MAX_BATCH].copy_from_slice(values);
                for (scratch, scorer) in &mut scorers {
                    scorer.score(rows.rows(), scratch, &mut out);
                    for (&x, &score) in values.iter().zip(&out) {
                        let code = Score::from(scale.code(x));
                        let isa = scorer.evaluation().isa;
                        assert_eq!(score, code * code, "{isa}: {x} with {scale:?}");
                    }
                }
            }
        }
    }

    /// What is taken only where the processor has nothing better.
    #[test]
    fn vectors_without_dot_products_score_the_same() {
        let mut random = Random(13);
        let net = random_net(&mut random, &[57, 32, 16, 32, 57], 57);
        let rows = random_rows(&mut random, 57, MAX_BATCH);
        let network = Network::new(&net);
        let expected = by_definition(&net, &rows);
        let check = |run: &dyn Fn(Layers<'_>)| {
            let mut memory = AlignedLanes::new(network.n_lanes());
            let mut out = [0; MAX_BATCH];
            let lanes = rows.rows().lanes_padded();
            let memory = memory.ints_mut();
            run(Layers { network: &network, lanes, memory, out: &mut out });
            assert_eq!(out[..], expected);
        };
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernels::{avx2::Avx2, avx512::Avx512, isa};
            if let Some(proof) = Avx2::detect() {
                // SAFETY: the proof.
                check(&|kernel| unsafe { isa::avx2_lanes(kernel, proof) });
            }
            if let Some(proof) = Avx512::detect() {
                // SAFETY: the proof.
                check(&|kernel| unsafe { isa::avx512_lanes(kernel, proof) });
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use crate::kernels::{lane_neon::NeonLane, neon::Neon};
            check(&|kernel| kernel.run::<NeonLane>(Neon));
        }
        check(&|kernel| Isa::available()[0].run_lanes(kernel));
    }
}
