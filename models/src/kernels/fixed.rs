//! Evaluates a network of fixed-point numbers in 32-bit integers: lanes are events.
//!
//! ```text
//! columns of i16 ─► pairs of inputs ─► sums of four outputs ─► casts ─► pairs ─► … ─► loss
//! ```
//!
//! As many vectors of events as there are registers for their sums go through all steps before the next
//! ones. What a step is, and that nothing here overflows but where it may, is decided by
//! [`Program`]; nothing here knows of formats.

use super::isa::{Isa, LaneKernel};
use super::lane::Lane;
use crate::hls::program::{
    DenseSteps, LaneCast, Limit, Operation, Place, Program, ProgramStep, QUAD, Rounding, Scores,
    Slot,
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
        for (k, out) in out.chunks_mut(events).enumerate() {
            fill::<L, V>(proof, program, &lanes[k * events..], numbers);
            for step in &program.steps {
                // What a step reads lies before what it writes.
                let (from, to) = numbers.split_at_mut(step.output.row * events);
                run_step::<L, V>(proof, step, from, &mut to[..step.n_rows * events]);
            }
            of_outputs::<L, V>(proof, &program.scores, numbers, scores);
            out.copy_from_slice(&scores[..out.len()]);
        }
    }
}

/// Writes the inputs of the events at the beginning of the lanes.
#[inline(always)]
fn fill<L: Lane, const V: usize>(
    proof: L::Proof,
    program: &Program,
    lanes: &[i16],
    pairs: &mut [i32],
) {
    for (scales, pairs) in program.inputs.iter().zip(pairs.chunks_exact_mut(V * L::LANES)) {
        for (part, pairs) in pairs.chunks_exact_mut(2 * L::LANES).enumerate() {
            let columns = [0, 1].map(|k| {
                let column = &lanes[scales[k].feature * LANE_STRIDE + part * 2 * L::LANES..];
                assert!(column.len() >= 2 * L::LANES);
                column.as_ptr()
            });
            // SAFETY: the assertion; columns and pairs of vectors of them begin at multiples of
            // their size.
            let [low, high] = unsafe { L::scaled(proof, columns, scales) };
            // SAFETY: a slice of twice so many integers.
            unsafe { low.store(pairs.as_mut_ptr()) };
            // SAFETY: its second half.
            unsafe { high.store(pairs.as_mut_ptr().wrapping_add(L::LANES)) };
        }
    }
}

/// The vectors of a row.
#[inline(always)]
fn load<L: Lane, const V: usize>(proof: L::Proof, row: &[i32]) -> [L; V] {
    let row = &row[..V * L::LANES];
    std::array::from_fn(|vector| {
        // SAFETY: the slice has so many integers, and begins at a multiple of their size.
        unsafe { L::load(proof, row.as_ptr().wrapping_add(vector * L::LANES)) }
    })
}

#[inline(always)]
fn store<L: Lane, const V: usize>(vectors: [L; V], row: &mut [i32]) {
    for (vector, row) in vectors.into_iter().zip(row.chunks_exact_mut(L::LANES)) {
        // SAFETY: a slice of so many integers.
        unsafe { vector.store(row.as_mut_ptr()) };
    }
}

/// A number of each event.
#[inline(always)]
fn number<L: Lane, const V: usize>(proof: L::Proof, numbers: &[i32], slot: Slot) -> [L; V] {
    let Slot { place: Place { row, is_paired }, slot } = slot;
    let row = row + if is_paired { slot / 2 } else { slot };
    let vectors = load::<L, V>(proof, &numbers[row * V * L::LANES..]);
    match (is_paired, slot % 2) {
        (false, _) => vectors,
        (true, 0) => vectors.map(|x| x.shift_left(16).shift_right(16)),
        (true, _) => vectors.map(|x| x.shift_right(16)),
    }
}

#[inline(always)]
fn run_step<L: Lane, const V: usize>(
    proof: L::Proof,
    step: &ProgramStep,
    from: &[i32],
    to: &mut [i32],
) {
    match &step.operation {
        Operation::Dense(dense) => {
            for quad in 0..dense.biases.len() {
                let sums = match dense.cut {
                    None => sums::<L, V>(proof, dense, quad, from),
                    Some(cut) => cut_sums::<L, V>(proof, dense, quad, from, cut),
                };
                put_quad::<L, V>(proof, step, quad, sums, to);
            }
        }
        Operation::Same(terms) => {
            put_each::<L, V>(proof, step, terms.len(), to, |k| {
                let (slot, left) = terms[k];
                number::<L, V>(proof, from, slot).map(|x| x.shift_left(left))
            });
        }
        Operation::Merge { terms, shifts, is_difference } => {
            put_each::<L, V>(proof, step, terms.len(), to, |k| {
                let a = number::<L, V>(proof, from, terms[k][0]);
                let b = number::<L, V>(proof, from, terms[k][1]);
                std::array::from_fn(|v| {
                    let (a, b) = (a[v].shift_left(shifts[0]), b[v].shift_left(shifts[1]));
                    if *is_difference { a.sub(b) } else { a.add(b) }
                })
            });
        }
        Operation::Dot { terms, limit } => {
            let mut sums = [L::splat(proof, 0); V];
            for pair in terms {
                let [a, b] = pair.map(|slot| {
                    let x = number::<L, V>(proof, from, slot);
                    match *limit {
                        None => x,
                        Some(limit) => {
                            let (low, high) = (L::splat(proof, -limit), L::splat(proof, limit));
                            x.map(|x| x.max(low).min(high))
                        }
                    }
                });
                sums = std::array::from_fn(|v| sums[v].add(a[v].mul(b[v])));
            }
            put_each::<L, V>(proof, step, 1, to, |_| sums);
        }
    }
}

/// Sums of four outputs for all events that go together.
#[inline(always)]
fn sums<L: Lane, const V: usize>(
    proof: L::Proof,
    dense: &DenseSteps,
    quad: usize,
    numbers: &[i32],
) -> [[L; V]; QUAD] {
    let mut sums = dense.biases[quad].map(|bias| [L::splat(proof, bias); V]);
    let weights = &dense.weights[quad * dense.n_pairs..][..dense.n_pairs];
    let pairs = &numbers[dense.input.row * V * L::LANES..];
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

/// The same with products that are rounded one by one.
#[inline(always)]
fn cut_sums<L: Lane, const V: usize>(
    proof: L::Proof,
    dense: &DenseSteps,
    quad: usize,
    numbers: &[i32],
    cut: Rounding,
) -> [[L; V]; QUAD] {
    let mut sums = dense.biases[quad].map(|bias| [L::splat(proof, bias); V]);
    let weights = &dense.weights[quad * dense.n_pairs..][..dense.n_pairs];
    let pairs = &numbers[dense.input.row * V * L::LANES..];
    for (weights, pairs) in weights.iter().zip(pairs.chunks_exact(V * L::LANES)) {
        let pairs = load::<L, V>(proof, pairs);
        for (sums, &weights) in sums.iter_mut().zip(weights) {
            let (low, high) =
                (L::splat(proof, i32::from(weights as i16)), L::splat(proof, weights >> 16));
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
fn limited<L: Lane>(proof: L::Proof, x: L, limit: Limit) -> L {
    match limit {
        Limit::None => x,
        Limit::Clamp { low, high } => x.max(L::splat(proof, low)).min(L::splat(proof, high)),
        Limit::Wrap { unused } => x.shift_left(unused).shift_right(unused),
        Limit::Mask(mask) => x.and(L::splat(proof, mask)),
    }
}

/// The same cast of several vectors.
#[inline(always)]
fn cast<L: Lane, const V: usize>(proof: L::Proof, mut x: [L; V], casts: &[LaneCast]) -> [L; V] {
    for LaneCast { is_positive_part, rounding, left, limit } in casts {
        if *is_positive_part {
            x = x.map(|x| x.max(L::splat(proof, 0)));
        }
        if rounding.right > 0 {
            x = x.map(|x| rounded(proof, x, *rounding));
        } else if *left > 0 {
            x = x.map(|x| x.shift_left(*left));
        }
        x = x.map(|x| limited(proof, x, *limit));
    }
    x
}

/// Casts and stores four outputs.
#[inline(always)]
fn put_quad<L: Lane, const V: usize>(
    proof: L::Proof,
    step: &ProgramStep,
    quad: usize,
    sums: [[L; V]; QUAD],
    to: &mut [i32],
) {
    let row = V * L::LANES;
    let [a, b, c, d] = sums.map(|x| cast(proof, x, &step.casts));
    if step.output.is_paired {
        let to = &mut to[2 * quad * row..][..2 * row];
        let (first, second) = to.split_at_mut(row);
        store(std::array::from_fn::<L, V, _>(|v| L::pair(a[v], b[v])), first);
        store(std::array::from_fn::<L, V, _>(|v| L::pair(c[v], d[v])), second);
    } else {
        let to = &mut to[QUAD * quad * row..][..QUAD * row];
        for (x, to) in [a, b, c, d].into_iter().zip(to.chunks_exact_mut(row)) {
            store(x, to);
        }
    }
}

/// Casts and stores numbers that are made one by one.
#[inline(always)]
fn put_each<L: Lane, const V: usize>(
    proof: L::Proof,
    step: &ProgramStep,
    n: usize,
    to: &mut [i32],
    make: impl Fn(usize) -> [L; V],
) {
    let row = V * L::LANES;
    let made = |k: usize| {
        if k < n { cast(proof, make(k), &step.casts) } else { [L::splat(proof, 0); V] }
    };
    let n_rows = if step.output.is_paired { n.div_ceil(2) } else { n };
    for (k, to) in to.chunks_exact_mut(row).take(n_rows).enumerate() {
        if step.output.is_paired {
            let (low, high) = (made(2 * k), made(2 * k + 1));
            store(std::array::from_fn::<L, V, _>(|v| L::pair(low[v], high[v])), to);
        } else {
            store(made(k), to);
        }
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
        let x = number::<L, V>(proof, numbers, slot);
        let x = if scores.is_squared { x.map(|x| x.mul(x)) } else { x };
        let x = cast(proof, x, &scores.casts);
        totals = std::array::from_fn(|v| totals[v].add(x[v]));
    }
    let totals = totals.map(|x| limited(proof, x, scores.of_sum).shift_left(scores.left));
    for (totals, out) in totals.chunks_exact(2).zip(out.chunks_exact_mut(2 * L::LANES)) {
        let [low, high] = L::in_order([totals[0], totals[1]]);
        // SAFETY: a slice of twice so many integers.
        unsafe { low.store(out.as_mut_ptr()) };
        // SAFETY: its second half.
        unsafe { high.store(out.as_mut_ptr().wrapping_add(L::LANES)) };
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
