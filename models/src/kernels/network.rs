//! Evaluates a network in integers: lanes are events, codes of four inputs side by side.
//!
//! ```text
//! columns of i16 ─► quads of codes ─► dot products, four outputs at a time ─► quads ─► … ─► squares
//! ```
//!
//! Two vectors of events go through all layers before the next two, so that what lies between the
//! layers stays in a few KiB. Weights are read in the order in which they lie.
//! [`IntegerNet`] says what is computed; nothing here rounds or saturates but as written there.

use super::isa::{Isa, LaneKernel};
use super::lane::Lane;
use crate::autoencoder::float::MAX_WIDTH;
use crate::autoencoder::integer::{IntegerLayer, IntegerNet, MAX_DISTANCE};
use crate::rows::{AlignedLanes, LANE_STRIDE, Rows};
use crate::scorer::Score;

/// Codes of a quad.
const QUAD: usize = 4;
/// Vectors of events that go through the layers together.
const VECTORS: usize = 2;
/// Most events of them.
const MAX_EVENTS: usize = 32;
/// An offset that no value of 16 bits reaches: code 0.
const NEVER: i32 = 1 << 20;

/// Where a quad of codes comes from.
#[derive(Clone, Copy, Debug)]
struct InputQuad {
    features: [u32; QUAD],
    offsets: [i32; QUAD],
    /// Negative: to the left.
    shifts: [i8; QUAD],
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
    /// **Shape**: output quads of the last layer.
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
        let used: Vec<usize> = (0..n_features).filter(|&feature| net.is_used(feature)).collect();
        let inputs = used.chunks(QUAD).map(|used| {
            let mut quad =
                InputQuad { features: [0; QUAD], offsets: [NEVER; QUAD], shifts: [0; QUAD] };
            for (k, &feature) in used.iter().enumerate() {
                let scale = parts.inputs[feature];
                quad.features[k] = feature as u32;
                quad.offsets[k] = scale.offset.into();
                quad.shifts[k] = scale.shift;
            }
            quad
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
        // Behind the inputs lies a quad of zeros.
        let zero = Target { quad: inputs.len() as u32, bits: 0 };
        let target = |k: usize| {
            parts.targets.get(k).map_or(zero, |&feature| {
                let at = used.binary_search(&feature.into()).expect("targets are used");
                Target { quad: (at / QUAD) as u32, bits: (8 * (at % QUAD)) as u32 }
            })
        };
        let targets =
            (0..last.outputs.len()).map(|quad| [0, 1, 2, 3].map(|k| target(QUAD * quad + k)));
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
        let Layers { network, lanes, memory, out } = self;
        let events = VECTORS * L::LANES;
        const { assert!(VECTORS * L::LANES <= MAX_EVENTS) };
        let (inputs, rest) = memory.split_at_mut((network.inputs.len() + 1) * events);
        let (first, rest) = rest.split_at_mut(network.most_quads * events);
        let (second, rest) = rest.split_at_mut(network.most_quads * events);
        let scores = &mut rest[..events];
        inputs[network.inputs.len() * events..].fill(0);
        for (k, out) in out.chunks_mut(events).enumerate() {
            fill::<L>(proof, network, &lanes[k * events..], inputs);
            let (mut from, mut to) = (&mut *first, &mut *second);
            for (k, layer) in network.hidden.iter().enumerate() {
                let codes = if k == 0 { &*inputs } else { &*from };
                hidden::<L>(proof, layer, codes, to);
                std::mem::swap(&mut from, &mut to);
            }
            let codes = if network.hidden.is_empty() { &*inputs } else { &*from };
            squares::<L>(proof, network, codes, inputs, scores);
            out.copy_from_slice(&scores[..out.len()]);
        }
    }
}

/// Writes the codes of the events at the beginning of the lanes.
#[inline(always)]
fn fill<L: Lane>(proof: L::Proof, network: &Network, lanes: &[i16], codes: &mut [i32]) {
    let codes = codes.chunks_exact_mut(VECTORS * L::LANES);
    for (quad, codes) in network.inputs.iter().zip(codes) {
        for (vector, codes) in codes.chunks_exact_mut(L::LANES).enumerate() {
            let mut integers = [L::splat(proof, 0); QUAD];
            for (k, integers) in integers.iter_mut().enumerate() {
                let column = &lanes[quad.features[k] as usize * LANE_STRIDE + vector * L::LANES..];
                assert!(column.len() >= L::LANES);
                // SAFETY: the assertion; columns and vectors of them begin at multiples of their
                // size.
                let values = unsafe { L::widen(proof, column.as_ptr()) };
                let values = values.sub(L::splat(proof, quad.offsets[k]));
                let shift = quad.shifts[k];
                *integers = if shift < 0 {
                    values.shift_left(shift.unsigned_abs().into())
                } else {
                    values.shift_right(shift.unsigned_abs().into())
                };
            }
            // SAFETY: a slice of so many integers.
            unsafe { L::quad(integers).store(codes.as_mut_ptr()) };
        }
    }
}

/// Sums of four outputs for all events that go together.
#[inline(always)]
fn sums<L: Lane>(
    proof: L::Proof,
    layer: &PackedLayer,
    quad: usize,
    codes: &[i32],
) -> [[L; VECTORS]; QUAD] {
    let Outputs { biases, shifts } = layer.outputs[quad];
    let mut sums = biases.map(|bias| [L::splat(proof, bias); VECTORS]);
    let weights = &layer.weights[quad * layer.n_quads..][..layer.n_quads];
    for (weights, codes) in weights.iter().zip(codes.chunks_exact(VECTORS * L::LANES)) {
        for vector in 0..VECTORS {
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
fn hidden<L: Lane>(proof: L::Proof, layer: &PackedLayer, codes: &[i32], out: &mut [i32]) {
    let out = out.chunks_exact_mut(VECTORS * L::LANES);
    for (quad, out) in (0..layer.outputs.len()).zip(out) {
        let [a, b, c, d] = sums::<L>(proof, layer, quad, codes);
        for (vector, out) in out.chunks_exact_mut(L::LANES).enumerate() {
            let quads = L::quad([a[vector], b[vector], c[vector], d[vector]]);
            // SAFETY: a slice of so many integers.
            unsafe { quads.store(out.as_mut_ptr()) };
        }
    }
}

#[inline(always)]
fn squares<L: Lane>(
    proof: L::Proof,
    network: &Network,
    codes: &[i32],
    inputs: &[i32],
    scores: &mut [Score],
) {
    let limit = L::splat(proof, MAX_DISTANCE);
    let mut totals = [L::splat(proof, 0); VECTORS];
    for (quad, targets) in network.targets.iter().enumerate() {
        let sums = sums::<L>(proof, &network.last, quad, codes);
        for (sums, target) in sums.into_iter().zip(targets) {
            let inputs = &inputs[target.quad as usize * VECTORS * L::LANES..][..VECTORS * L::LANES];
            for vector in 0..VECTORS {
                let at = inputs.as_ptr().wrapping_add(vector * L::LANES);
                // SAFETY: the slice has so many integers, and begins at a multiple of their size.
                let target_code = unsafe { L::load(proof, at) }.code(target.bits);
                let distance = target_code.shift_left(network.target_bits).sub(sums[vector]);
                totals[vector] = totals[vector].add_square(distance, limit);
            }
        }
    }
    for (totals, scores) in totals.into_iter().zip(scores.chunks_exact_mut(L::LANES)) {
        // SAFETY: a slice of so many integers.
        unsafe { totals.store(scores.as_mut_ptr()) };
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn avx512_without_vnni_scores_the_same() {
        use crate::kernels::isa::avx512_lanes;
        let Some(proof) = crate::kernels::avx512::Avx512::detect() else { return };
        let mut random = Random(13);
        let net = random_net(&mut random, &[57, 32, 16, 32, 57], 57);
        let rows = random_rows(&mut random, 57, MAX_BATCH);
        let network = Network::new(&net);
        let mut memory = AlignedLanes::new(network.n_lanes());
        let mut out = [0; MAX_BATCH];
        let lanes = rows.rows().lanes_padded();
        let kernel = Layers { network: &network, lanes, memory: memory.ints_mut(), out: &mut out };
        // SAFETY: the proof.
        unsafe { avx512_lanes(kernel, proof) };
        assert_eq!(out[..], by_definition(&net, &rows));
    }
}
