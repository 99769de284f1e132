//! Evaluates a network of fixed-point numbers in 32-bit integers: lanes are events.
//!
//! ```text
//! columns of i16 ─► pairs or quads of inputs ─► sums of four outputs ─► casts ─► pairs ─► … ─► loss
//! ```
//!
//! As many vectors of events as there are registers for their sums go through all steps before the next
//! ones. What a step is, and that nothing here overflows but where it may, is decided by
//! [`Program`]; nothing here knows of formats.

use super::isa::{Isa, LaneKernel};
use super::lane::Lane;
use super::pairs::ColumnScale;
use super::pairs::operations::{ALL, ROUNDED, UP};
use crate::hls::program::{
    DenseSteps, LaneCast, Limit, Operation, Packing, Place, Program, ProgramStep, QUAD, Rounding,
    Scores, Slot,
};
use crate::rows::{AlignedLanes, LANE_STRIDE, Rows};
use crate::scorer::Score;

/// Most events that go through the steps together, with any instruction set.
const MAX_EVENTS: usize = 64;

/// Lanes of working memory that a program needs, 16 bits each.
pub(crate) fn n_lanes(program: &Program) -> usize {
    2 * MAX_EVENTS * (program.n_rows + 1)
}

/// Scores every event of the batch.
///
/// # Panics
/// If the rows, the memory or the scores are not of this program's sizes.
pub(crate) fn score(
    program: &Program,
    isa: Isa,
    rows: Rows<'_>,
    memory: &mut AlignedLanes,
    out: &mut [Score],
) {
    assert_eq!(rows.n_features(), program.n_features, "rows of another specification");
    assert_eq!(out.len(), rows.n_events(), "one score per event");
    assert!(memory.lanes().len() >= n_lanes(program), "memory of another network");
    let lanes = rows.lanes_padded();
    isa.run_lanes(Batch { program, lanes, memory: memory.ints_mut(), out });
}

/// One batch, all sizes checked.
struct Batch<'a> {
    program: &'a Program,
    lanes: &'a [i16],
    memory: &'a mut [i32],
    out: &'a mut [Score],
}

impl LaneKernel for Batch<'_> {
    #[inline(always)]
    fn run<L: Lane>(self, proof: L::Proof) {
        // A number of vectors that is known when this is compiled.
        match L::VECTORS {
            4 => self.run_vectors::<L, 4>(proof),
            _ => self.run_vectors::<L, 2>(proof),
        }
    }
}

impl Batch<'_> {
    #[inline(always)]
    fn run_vectors<L: Lane, const V: usize>(self, proof: L::Proof) {
        let Batch { program, lanes, memory, out } = self;
        let events = V * L::LANES;
        const { assert!(V * L::LANES <= MAX_EVENTS && V.is_multiple_of(2)) };
        let (numbers, rest) = memory.split_at_mut(program.n_rows * events);
        let scores = &mut rest[..events];
        let n_events = out.len();
        for (k, out) in out.chunks_mut(events).enumerate() {
            // Of the last events, none come after them.
            let next = if (k + 1) * events < n_events { events } else { 0 };
            fill::<L, V>(proof, program, &lanes[k * events..], next, numbers);
            for step in &program.steps {
                // What a step reads lies before what it writes.
                let (from, to) = numbers.split_at_mut(step.output.row * events);
                let to = &mut to[..step.n_rows * events];
                run_step::<L, V>(proof, step, from, to, program.least_input);
            }
            of_outputs::<L, V>(proof, &program.scores, numbers, scores);
            out.copy_from_slice(&scores[..out.len()]);
        }
    }
}

/// Writes the inputs of the events at the beginning of the lanes; those that follow by `next` lanes will be
/// read soon.
#[inline(always)]
fn fill<L: Lane, const V: usize>(
    proof: L::Proof,
    program: &Program,
    lanes: &[i16],
    next: usize,
    words: &mut [i32],
) {
    let words = words.chunks_exact_mut(V * L::LANES);
    if program.packing == Packing::Quads {
        let turned = (program.least_input as u8 ^ L::ZERO).into();
        for (scales, words) in program.inputs.as_chunks().0.iter().zip(words) {
            let operations = scales[0].operations;
            // Few sets of operations, each without a branch in it.
            match operations {
                ROUNDED => quads::<L, V, ROUNDED>(proof, scales, lanes, next, turned, words),
                UP => quads::<L, V, UP>(proof, scales, lanes, next, turned, words),
                0 => quads::<L, V, 0>(proof, scales, lanes, next, turned, words),
                _ => quads::<L, V, ALL>(proof, scales, lanes, next, turned, words),
            }
        }
    } else {
        for (scales, words) in program.inputs.as_chunks().0.iter().zip(words) {
            match scales[0].operations {
                ROUNDED => pairs::<L, V, ROUNDED>(proof, scales, lanes, next, words),
                UP => pairs::<L, V, UP>(proof, scales, lanes, next, words),
                0 => pairs::<L, V, 0>(proof, scales, lanes, next, words),
                _ => pairs::<L, V, ALL>(proof, scales, lanes, next, words),
            }
        }
    }
}

/// A row of pairs.
#[inline(always)]
fn pairs<L: Lane, const V: usize, const OPERATIONS: u8>(
    proof: L::Proof,
    scales: &[ColumnScale; 2],
    lanes: &[i16],
    next: usize,
    words: &mut [i32],
) {
    for (part, words) in words.chunks_exact_mut(2 * L::LANES).enumerate() {
        let columns = columns::<L, 2>(proof, scales, lanes, next, part);
        // SAFETY: `columns` asserted it; columns and pairs of vectors of them begin at multiples of
        // their size.
        let pairs = unsafe { L::scaled::<OPERATIONS>(proof, columns, scales) };
        store::<L, 2>(&pairs, words);
    }
}

/// A row of quads.
#[inline(always)]
fn quads<L: Lane, const V: usize, const OPERATIONS: u8>(
    proof: L::Proof,
    scales: &[ColumnScale; 4],
    lanes: &[i16],
    next: usize,
    turned: u32,
    words: &mut [i32],
) {
    let turned = (turned * 0x0101_0101).cast_signed();
    for (part, words) in words.chunks_exact_mut(2 * L::LANES).enumerate() {
        let columns = columns::<L, 4>(proof, scales, lanes, next, part);
        // SAFETY: as for pairs.
        let quads = unsafe { L::scaled_quads::<OPERATIONS>(proof, columns, scales, turned) };
        store::<L, 2>(&quads, words);
    }
}

/// Where columns of `2 * LANES` events are; see [`fill`].
#[inline(always)]
fn columns<L: Lane, const N: usize>(
    proof: L::Proof,
    scales: &[ColumnScale; N],
    lanes: &[i16],
    next: usize,
    part: usize,
) -> [*const i16; N] {
    let mut columns = [lanes.as_ptr(); N];
    for (column, scale) in columns.iter_mut().zip(scales) {
        let from = &lanes[scale.feature * LANE_STRIDE + part * 2 * L::LANES..];
        assert!(from.len() >= 2 * L::LANES);
        *column = from.as_ptr();
        L::prefetch(proof, column.wrapping_add(next));
    }
    columns
}

// No closures from here on, and so no `map` of arrays: they would be functions of their own, compiled
// without the instructions.

/// The vectors of a row.
#[inline(always)]
fn load<L: Lane, const V: usize>(proof: L::Proof, row: &[i32]) -> [L; V] {
    let row = &row[..V * L::LANES];
    let mut vectors = [L::splat(proof, 0); V];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the slice has so many integers, and begins at a multiple of their size.
        *vector = unsafe { L::load(proof, row.as_ptr().wrapping_add(v * L::LANES)) };
    }
    vectors
}

#[inline(always)]
fn store<L: Lane, const V: usize>(vectors: &[L; V], row: &mut [i32]) {
    for (vector, row) in vectors.iter().zip(row.chunks_exact_mut(L::LANES)) {
        // SAFETY: a slice of so many integers.
        unsafe { vector.store(row.as_mut_ptr()) };
    }
}

/// Stores pairs of two numbers.
#[inline(always)]
fn store_pairs<L: Lane, const V: usize>(low: &[L; V], high: &[L; V], row: &mut [i32]) {
    for ((&low, &high), row) in low.iter().zip(high).zip(row.chunks_exact_mut(L::LANES)) {
        // SAFETY: a slice of so many integers.
        unsafe { L::pair(low, high).store(row.as_mut_ptr()) };
    }
}

/// Stores four outputs.
#[inline(always)]
fn store_quad<L: Lane, const V: usize>(
    sums: &[[L; V]; QUAD],
    is_paired: bool,
    quad: usize,
    to: &mut [i32],
) {
    let row = V * L::LANES;
    if is_paired {
        let (first, second) = to[2 * quad * row..][..2 * row].split_at_mut(row);
        store_pairs(&sums[0], &sums[1], first);
        store_pairs(&sums[2], &sums[3], second);
    } else {
        let to = &mut to[QUAD * quad * row..][..QUAD * row];
        for (sums, to) in sums.iter().zip(to.chunks_exact_mut(row)) {
            store(sums, to);
        }
    }
}

/// A cast that rounds and clamps, for all events.
#[derive(Clone, Copy)]
struct SimpleCast<L> {
    add: L,
    mask: L,
    bits: u32,
    right: u32,
    low: L,
    high: L,
}

impl<L: Lane> SimpleCast<L> {
    #[inline(always)]
    fn new(proof: L::Proof, cast: &LaneCast) -> Option<SimpleCast<L>> {
        let LaneCast { is_positive_part, rounding, left, limit } = *cast;
        let (mut low, high) = match limit {
            Limit::None => (i32::MIN, i32::MAX),
            Limit::Clamp { low, high } => (low, high),
            Limit::Wrap { .. } | Limit::Mask(_) => return None,
        };
        // Rounding a negative number gives none above 0.
        if is_positive_part {
            low = low.max(0);
        }
        if left > 0 {
            return None;
        }
        Some(SimpleCast {
            add: L::splat(proof, rounding.add),
            mask: L::splat(proof, rounding.mask),
            bits: rounding.bits,
            right: rounding.right,
            low: L::splat(proof, low),
            high: L::splat(proof, high),
        })
    }

    #[inline(always)]
    fn apply(self, x: L) -> L {
        let correction = x.shift_right(self.bits).and(self.mask);
        x.add(self.add).add(correction).shift_right(self.right).max(self.low).min(self.high)
    }
}

/// A number of each event, shifted to the left.
#[inline(always)]
fn number<L: Lane, const V: usize>(
    proof: L::Proof,
    numbers: &[i32],
    slot: Slot,
    left: u32,
) -> [L; V] {
    let Slot { place: Place { row, packing }, slot } = slot;
    let is_paired = packing == Packing::Pairs;
    let row = row + slot / packing.per_row();
    let mut vectors = load::<L, V>(proof, &numbers[row * V * L::LANES..]);
    if is_paired {
        for x in &mut vectors {
            *x = if slot.is_multiple_of(2) {
                x.shift_left(16).shift_right(16)
            } else {
                x.shift_right(16)
            };
        }
    }
    if left > 0 {
        for x in &mut vectors {
            *x = x.shift_left(left);
        }
    }
    vectors
}

#[inline(always)]
fn run_step<L: Lane, const V: usize>(
    proof: L::Proof,
    step: &ProgramStep,
    from: &[i32],
    to: &mut [i32],
    least_input: i32,
) {
    let row = V * L::LANES;
    let is_paired = step.output.packing == Packing::Pairs;
    match &step.operation {
        Operation::Dense(dense) => {
            // What all of the trigger's layers are has loops of its own, without a branch in them.
            match (dense.cut, &step.casts[..]) {
                (None, []) => {
                    for quad in 0..dense.biases.len() {
                        let sums = sums::<L, V>(proof, dense, quad, from, least_input);
                        store_quad(&sums, is_paired, quad, to);
                    }
                }
                (None, [cast]) if let Some(cast) = SimpleCast::<L>::new(proof, cast) => {
                    for quad in 0..dense.biases.len() {
                        let mut sums = sums::<L, V>(proof, dense, quad, from, least_input);
                        for sums in &mut sums {
                            for x in sums.iter_mut() {
                                *x = cast.apply(*x);
                            }
                        }
                        store_quad(&sums, is_paired, quad, to);
                    }
                }
                (cut, casts) => {
                    for quad in 0..dense.biases.len() {
                        let mut sums = match cut {
                            None => sums::<L, V>(proof, dense, quad, from, least_input),
                            Some(cut) => cut_sums::<L, V>(proof, dense, quad, from, cut),
                        };
                        for sums in &mut sums {
                            cast(proof, sums, casts);
                        }
                        store_quad(&sums, is_paired, quad, to);
                    }
                }
            }
        }
        other => {
            let n = other.len();
            let n_rows = if is_paired { n.div_ceil(2) } else { n };
            for (k, to) in to.chunks_exact_mut(row).take(n_rows).enumerate() {
                if is_paired {
                    let low = made::<L, V>(proof, step, from, 2 * k);
                    let high = made::<L, V>(proof, step, from, (2 * k + 1).min(n - 1));
                    store_pairs(&low, &high, to);
                } else {
                    store(&made::<L, V>(proof, step, from, k), to);
                }
            }
        }
    }
}

/// One number of a step that is not dense.
#[inline(always)]
fn made<L: Lane, const V: usize>(
    proof: L::Proof,
    step: &ProgramStep,
    from: &[i32],
    k: usize,
) -> [L; V] {
    let mut made = [L::splat(proof, 0); V];
    match &step.operation {
        Operation::Dense(_) => {}
        Operation::Same(terms) => made = number::<L, V>(proof, from, terms[k], 0),
        Operation::Merge { terms, shifts, is_difference } => {
            made = number::<L, V>(proof, from, terms[k][0], shifts[0]);
            let others = number::<L, V>(proof, from, terms[k][1], shifts[1]);
            for (x, &other) in made.iter_mut().zip(&others) {
                *x = if *is_difference { x.sub(other) } else { x.add(other) };
            }
        }
        Operation::Dot { terms, limit } => {
            for pair in terms {
                let mut a = number::<L, V>(proof, from, pair[0], 0);
                let mut b = number::<L, V>(proof, from, pair[1], 0);
                if let Some(limit) = *limit {
                    clamp(proof, &mut a, -limit, limit);
                    clamp(proof, &mut b, -limit, limit);
                }
                for ((sum, a), &b) in made.iter_mut().zip(&a).zip(&b) {
                    *sum = sum.add(a.mul(b));
                }
            }
        }
    }
    cast(proof, &mut made, &step.casts);
    made
}

/// Sums of four outputs for all events that go together.
#[inline(always)]
fn sums<L: Lane, const V: usize>(
    proof: L::Proof,
    dense: &DenseSteps,
    quad: usize,
    numbers: &[i32],
    least_input: i32,
) -> [[L; V]; QUAD] {
    if dense.input.packing == Packing::Quads {
        return byte_sums(proof, dense, quad, numbers, least_input);
    }
    let mut sums = biases::<L, V>(proof, dense, quad);
    let (weights, pairs) = words::<L, V>(dense, quad, numbers);
    for (weights, pairs) in weights.iter().zip(pairs.chunks_exact(V * L::LANES)) {
        for vector in 0..V {
            // SAFETY: the chunk has so many integers, and begins at a multiple of their size.
            let pairs = unsafe { L::load(proof, pairs.as_ptr().wrapping_add(vector * L::LANES)) };
            for (sums, &weights) in sums.iter_mut().zip(weights) {
                sums[vector] = sums[vector].dot_pairs(pairs, weights);
            }
        }
    }
    sums
}

/// The same of bytes.
#[inline(always)]
fn byte_sums<L: Lane, const V: usize>(
    proof: L::Proof,
    dense: &DenseSteps,
    quad: usize,
    numbers: &[i32],
    least_input: i32,
) -> [[L; V]; QUAD] {
    let mut sums = biases::<L, V>(proof, dense, quad);
    // Inputs are larger by this than what the bytes stand for.
    let more = i32::from(L::ZERO) + least_input;
    for (sums, &weights) in sums.iter_mut().zip(&dense.weight_sums[quad]) {
        let more = L::splat(proof, more * weights);
        for sum in sums {
            *sum = sum.add(more);
        }
    }
    let (weights, quads) = words::<L, V>(dense, quad, numbers);
    for (weights, quads) in weights.iter().zip(quads.chunks_exact(V * L::LANES)) {
        for vector in 0..V {
            // SAFETY: as for pairs.
            let quads = unsafe { L::load(proof, quads.as_ptr().wrapping_add(vector * L::LANES)) };
            for (sums, &weights) in sums.iter_mut().zip(weights) {
                sums[vector] = sums[vector].dot(quads, weights);
            }
        }
    }
    sums
}

/// Weights of four outputs, and the rows that they multiply.
#[inline(always)]
fn words<'a, L: Lane, const V: usize>(
    dense: &'a DenseSteps,
    quad: usize,
    numbers: &'a [i32],
) -> (&'a [[i32; QUAD]], &'a [i32]) {
    let weights = &dense.weights[quad * dense.n_words..][..dense.n_words];
    (weights, &numbers[dense.input.row * V * L::LANES..])
}

#[inline(always)]
fn biases<L: Lane, const V: usize>(
    proof: L::Proof,
    dense: &DenseSteps,
    quad: usize,
) -> [[L; V]; QUAD] {
    let mut sums = [[L::splat(proof, 0); V]; QUAD];
    for (sums, &bias) in sums.iter_mut().zip(&dense.biases[quad]) {
        *sums = [L::splat(proof, bias); V];
    }
    sums
}

/// The same with products that are rounded one by one.
#[inline(always)]
fn cut_sums<L: Lane, const V: usize>(
    proof: L::Proof,
    dense: &DenseSteps,
    quad: usize,
    numbers: &[i32],
    cut: Rounding,
) -> [[L; V]; QUAD] {
    let mut sums = biases::<L, V>(proof, dense, quad);
    let (weights, pairs) = words::<L, V>(dense, quad, numbers);
    for (weights, pairs) in weights.iter().zip(pairs.chunks_exact(V * L::LANES)) {
        let pairs = load::<L, V>(proof, pairs);
        for (sums, &weights) in sums.iter_mut().zip(weights) {
            let low = L::splat(proof, i32::from(weights as i16));
            let high = L::splat(proof, weights >> 16);
            for (sum, pair) in sums.iter_mut().zip(pairs) {
                let first = pair.shift_left(16).shift_right(16).mul(low);
                let second = pair.shift_right(16).mul(high);
                *sum = sum.add(rounded(proof, first, cut)).add(rounded(proof, second, cut));
            }
        }
    }
    sums
}

#[inline(always)]
fn rounded<L: Lane>(proof: L::Proof, x: L, rounding: Rounding) -> L {
    let Rounding { add, bits, mask, right } = rounding;
    let mut sum = x;
    if mask != 0 {
        sum = sum.add(x.shift_right(bits).and(L::splat(proof, mask)));
    }
    if add != 0 {
        sum = sum.add(L::splat(proof, add));
    }
    sum.shift_right(right)
}

#[inline(always)]
fn clamp<L: Lane, const V: usize>(proof: L::Proof, vectors: &mut [L; V], low: i32, high: i32) {
    let (low, high) = (L::splat(proof, low), L::splat(proof, high));
    for x in vectors {
        *x = x.max(low).min(high);
    }
}

#[inline(always)]
fn limit<L: Lane, const V: usize>(proof: L::Proof, vectors: &mut [L; V], limit: Limit) {
    match limit {
        Limit::None => {}
        Limit::Clamp { low, high } => clamp(proof, vectors, low, high),
        Limit::Wrap { unused } => {
            for x in vectors {
                *x = x.shift_left(unused).shift_right(unused);
            }
        }
        Limit::Mask(mask) => {
            let mask = L::splat(proof, mask);
            for x in vectors {
                *x = x.and(mask);
            }
        }
    }
}

/// The same casts of several vectors.
#[inline(always)]
fn cast<L: Lane, const V: usize>(proof: L::Proof, vectors: &mut [L; V], casts: &[LaneCast]) {
    for cast in casts {
        if cast.is_positive_part {
            let zero = L::splat(proof, 0);
            for x in vectors.iter_mut() {
                *x = x.max(zero);
            }
        }
        if cast.rounding.right > 0 {
            for x in vectors.iter_mut() {
                *x = rounded(proof, *x, cast.rounding);
            }
        } else if cast.left > 0 {
            for x in vectors.iter_mut() {
                *x = x.shift_left(cast.left);
            }
        }
        limit(proof, vectors, cast.limit);
    }
}

/// The scores of the events, in their own order.
#[inline(always)]
fn of_outputs<L: Lane, const V: usize>(
    proof: L::Proof,
    scores: &Scores,
    numbers: &[i32],
    out: &mut [i32],
) {
    let mut totals = [L::splat(proof, 0); V];
    for &slot in &scores.outputs {
        let mut vectors = number::<L, V>(proof, numbers, slot, 0);
        if scores.is_squared {
            for x in &mut vectors {
                *x = x.mul(*x);
            }
        }
        cast(proof, &mut vectors, &scores.casts);
        for (total, &x) in totals.iter_mut().zip(&vectors) {
            *total = total.add(x);
        }
    }
    limit(proof, &mut totals, scores.of_sum);
    for (totals, out) in totals.chunks_exact(2).zip(out.chunks_exact_mut(2 * L::LANES)) {
        let [low, high] = L::in_order([totals[0], totals[1]]);
        // SAFETY: a slice of twice so many integers.
        unsafe { low.shift_left(scores.left).store(out.as_mut_ptr()) };
        let to = out.as_mut_ptr().wrapping_add(L::LANES);
        // SAFETY: its second half.
        unsafe { high.shift_left(scores.left).store(to) };
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rows::RowBuffer;

    /// Compares scores with those expected, on the instructions that are passed over where there
    /// are dot products.
    pub(in crate::kernels) fn agree_without_dot_products(
        program: &Program,
        rows: &RowBuffer,
        expected: &[Score],
    ) {
        let check = |run: &dyn Fn(Batch<'_>)| {
            let mut memory = AlignedLanes::new(n_lanes(program));
            let mut out = vec![0; rows.n_events()];
            let (lanes, memory) = (rows.rows().lanes_padded(), memory.ints_mut());
            run(Batch { program, lanes, memory, out: &mut out });
            assert_eq!(out, expected);
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
