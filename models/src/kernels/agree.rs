//! Holds every instruction set to the portable one, bit for bit.
//!
//! Two levels: each operation of a word, on random words; and whole forests, on batches of every
//! length, against the walk and against recursion. What this processor lacks is not tested here,
//! and [`Isa::available`] says what it has.

use super::isa::{Isa, Kernel, Width};
use super::word::{Word, transpose};
use crate::forest::plan::{ForestScorer, PlanChoice};
use crate::forest::walk::ForestWalk;
use crate::forest::{AxisSplit, Forest, Splits};
use crate::rows::{AlignedLanes, MAX_BATCH, RowBuffer};
use crate::scorer::Scorer;
use crate::testing::{Random, deepest_tree, naive_score, random_forest, single_leaves, stump};

const WIDTHS: [Width; 2] = [Width::Narrow, Width::Wide];

/// Applies every operation to three words; the results follow each other.
struct EveryOperation<'a> {
    /// Three lines.
    input: &'a mut AlignedLanes,
    lanes: &'a [i16],
    offset: i16,
    output: &'a mut AlignedLanes,
    bytes: &'a mut [u8],
    /// Set to what is used of the bytes, and of each line in integers of 64 bits.
    used: &'a mut (usize, usize),
}

const N_RESULTS: usize = 22;

impl Kernel for EveryOperation<'_> {
    #[inline(always)]
    fn run<W: Word>(self, proof: W::Proof) {
        let stride = W::LANES / 64;
        *self.used = (W::LANES, stride);
        let input = self.input.words_mut().as_mut_ptr();
        // SAFETY: three lines are three words of any width, aligned to 64 bytes.
        let [a, b, c] =
            [0, 1, 2].map(|k| unsafe { W::load(proof, input.wrapping_add(k * stride)) });
        let output = self.output.words_mut().as_mut_ptr();
        let mut n = 0;
        let mut put = |word: W| {
            assert!(n < N_RESULTS);
            // SAFETY: there is room for so many results.
            unsafe { word.store(output.wrapping_add(n * stride)) };
            n += 1;
        };
        let (sum, carry) = W::full_add(a, b, c);
        [a.and(b), a.and_not(b), a.or(b), a.xor(b), sum, carry].into_iter().for_each(&mut put);
        let (sum, carry) = W::full_add_not(a, b, c);
        [a.not(), sum, carry].into_iter().for_each(&mut put);
        [a.or_and(b, c), a.choose(b, c), W::splat(proof, 0x5a)].into_iter().for_each(&mut put);
        let byte = W::splat(proof, 0x0f);
        put(a.shift_left::<4>().and_not(byte));
        put(a.shift_right::<4>().and(byte));
        let mut rows = [a, b, c, a.xor(b), b.xor(c), a.or(c), a.and(c), b];
        transpose(proof, &mut rows);
        rows.into_iter().for_each(&mut put);
        assert!(self.lanes.len() >= W::LANES && self.bytes.len() >= W::LANES);
        for k in 0..8 {
            let part = k * W::LANES / 8;
            // SAFETY: an eighth of the lanes.
            let word =
                unsafe { W::narrow(proof, self.lanes.as_ptr().wrapping_add(part), self.offset) };
            // SAFETY: an eighth of the bytes.
            unsafe { word.put_bytes(self.bytes.as_mut_ptr().wrapping_add(part)) };
        }
    }
}

/// What [`EveryOperation`] gives: the words, and the bytes.
fn every_operation(
    isa: Isa,
    width: Width,
    input: &[u64; 24],
    lanes: &[i16],
    offset: i16,
) -> (usize, Vec<u64>, Vec<u8>) {
    let (mut lines, mut output) = (AlignedLanes::new(96), AlignedLanes::new(32 * N_RESULTS));
    let (mut bytes, mut used) = (vec![0; MAX_BATCH], (0, 0));
    lines.words_mut()[..24].copy_from_slice(input);
    let kernel = EveryOperation {
        input: &mut lines,
        lanes,
        offset,
        output: &mut output,
        bytes: &mut bytes,
        used: &mut used,
    };
    isa.run(kernel, width);
    bytes.truncate(used.0);
    (used.1, output.words_mut()[..used.1 * N_RESULTS].to_vec(), bytes)
}

#[test]
fn every_operation_of_every_word_equals_the_portable_one_on_random_words() {
    let portable = Isa::from_name("portable").unwrap();
    let mut random = Random(1);
    for isa in Isa::available() {
        for width in WIDTHS {
            for _ in 0..5000 {
                let input: [u64; 24] = std::array::from_fn(|_| random.next());
                let lanes: Vec<i16> = (0..MAX_BATCH).map(|_| random.extreme()).collect();
                let offset = random.extreme();
                let (stride, words, bytes) = every_operation(isa, width, &input, &lanes, offset);
                // The portable word of 64 crossings, as often as it fits: the operations on bits
                // know no neighbours, and transposing none beyond a byte.
                for part in 0..stride {
                    let mut own = [0; 24];
                    (0..3).for_each(|k| own[k] = input[k * stride + part]);
                    let (_, expected, _) =
                        every_operation(portable, Width::Narrow, &own, &lanes, offset);
                    for (k, &expected) in expected.iter().enumerate() {
                        let found = words[k * stride + part];
                        assert_eq!(found, expected, "{} {width:?}, result {k}", isa.name());
                    }
                }
                let byte = |x: &i16| (i32::from(*x) - i32::from(offset)).clamp(0, 255) as u8;
                let expected: Vec<u8> = lanes[..bytes.len()].iter().map(byte).collect();
                assert_eq!(bytes, expected, "{} {width:?}", isa.name());
            }
        }
    }
}

#[test]
fn adding_complements_is_adding_what_is_not_there() {
    // Nothing, one, the other, both: each with and without a bit from before.
    let [bit, a, b] = [0b1111_0000, 0b1100_1100, 0b1010_1010];
    let words = [bit, a, b, 0, 0, 0, 0, 0];
    let mut input = [0; 24];
    input[..8].copy_from_slice(&words);
    let portable = Isa::from_name("portable").unwrap();
    let (_, results, _) = every_operation(portable, Width::Narrow, &input, &[0; MAX_BATCH], 0);
    let [sum, carry] = [results[7], results[8]];
    for k in 0..64 {
        let [bit, a, b, sum, carry] = [bit, a, b, sum, carry].map(|word: u64| word >> k & 1);
        assert_eq!(2 * carry + sum, bit + (1 - a) + (1 - b), "bit {k}");
    }
}

#[test]
fn transposing_exchanges_register_and_bit() {
    let mut random = Random(2);
    let rows: [u64; 8] = std::array::from_fn(|_| random.next());
    struct Transpose<'a>(&'a mut [u64; 8]);
    impl Kernel for Transpose<'_> {
        #[inline(always)]
        fn run<W: Word>(self, proof: W::Proof) {
            assert_eq!(W::LANES, 64, "asked for the narrow portable word");
            // SAFETY: each integer is a word of 64 crossings.
            let mut rows = [0, 1, 2, 3, 4, 5, 6, 7].map(|k| unsafe { W::load(proof, &self.0[k]) });
            transpose(proof, &mut rows);
            for (k, row) in rows.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { row.store(&mut self.0[k]) };
            }
        }
    }
    let mut turned = rows;
    Isa::from_name("portable").unwrap().run(Transpose(&mut turned), Width::Narrow);
    let bit =
        |words: &[u64; 8], k: usize, byte: usize, bit: usize| words[k] >> (8 * byte + bit) & 1;
    for (r, byte, k) in (0..512).map(|n| (n / 64, n / 8 % 8, n % 8)) {
        assert_eq!(bit(&turned, k, byte, r), bit(&rows, r, byte, k), "{r} {byte} {k}");
    }
}

/// Small values, where the thresholds are; now and then an extreme one.
fn random_rows(random: &mut Random, n_features: usize, n_events: usize) -> RowBuffer {
    let mut rows = RowBuffer::new(n_features);
    for feature in 0..n_features {
        for x in rows.column_mut(feature) {
            let is_small = random.below(4) > 0;
            *x = if is_small { random.within(-40, 300) as i16 } else { random.extreme() };
        }
    }
    rows.set_len(n_events);
    rows
}

/// Moves most thresholds to where the values are, close enough to share nibbles and windows.
fn with_small_thresholds(random: &mut Random, forest: Forest) -> Forest {
    let mut parts = forest.parts().clone();
    let Splits::Axis(splits) = &mut parts.splits else { return forest };
    for split in splits.iter_mut().filter(|split| **split != AxisSplit::default()) {
        if random.below(5) > 0 {
            split.threshold = random.within(-40, 300) as i16;
        }
    }
    Forest::new(parts).unwrap()
}

/// By streams of operations, and by machine code where there is any.
fn on_the_side(forest: &Forest, isa: Isa) -> Vec<ForestScorer> {
    let mut plans = vec![PlanChoice::Sliced];
    if matches!(isa.name(), "avx2" | "avx512") {
        plans.push(PlanChoice::Compiled);
    }
    plans.into_iter().map(|plan| ForestScorer::new(forest, isa, plan).unwrap()).collect()
}

/// Scores a batch with every instruction set, and compares with the walk.
fn agree(forest: &Forest, rows: &RowBuffer) {
    let walk = ForestWalk::new(forest);
    let mut expected = vec![0; rows.n_events()];
    walk.score(rows.rows(), &mut walk.scratch(), &mut expected);
    if let Some(&score) = expected.first() {
        assert_eq!(score, naive_score(forest, rows, 0));
    }
    for isa in Isa::available() {
        for scorer in on_the_side(forest, isa) {
            let (mut scratch, mut out) = (scorer.scratch(), vec![7; rows.n_events()]);
            // Twice: nothing may be left over in the scratch.
            for _ in 0..2 {
                scorer.score(rows.rows(), &mut scratch, &mut out);
                assert_eq!(out, expected, "{:?}, {} events", scorer.evaluation(), out.len());
            }
        }
    }
}

#[test]
fn every_instruction_set_scores_batches_of_every_length_from_0_to_512() {
    let mut random = Random(3);
    let forest = random_forest(&mut random, 5, 6, 6, false);
    let forest = with_small_thresholds(&mut random, forest);
    for n_events in 0..=MAX_BATCH {
        agree(&forest, &random_rows(&mut random, 6, n_events));
    }
}

#[test]
fn every_instruction_set_scores_a_hundred_thousand_random_events_of_random_forests() {
    let mut random = Random(4);
    let mut n_cases = 0;
    while n_cases < 100_000 {
        let n_features = 1 + random.below(70) as usize;
        let n_trees = 1 + random.below(40) as usize;
        let depth = 1 + random.below(9) as u32;
        let forest = random_forest(&mut random, n_trees, n_features, depth, false);
        let forest = with_small_thresholds(&mut random, forest);
        let n_events = 1 + random.below(MAX_BATCH as u64) as usize;
        agree(&forest, &random_rows(&mut random, n_features, n_events));
        n_cases += n_events;
    }
}

#[test]
fn trees_that_are_a_leaf_and_the_deepest_trees_are_scored_too() {
    let mut random = Random(5);
    for n_events in [1, 64, 300, 512] {
        let rows = random_rows(&mut random, 2, n_events);
        [single_leaves(), stump(), deepest_tree(3000)].iter().for_each(|f| agree(f, &rows));
    }
}

#[test]
fn leaf_values_may_use_the_whole_range_of_scores() {
    let mut random = Random(6);
    for _ in 0..20 {
        let mut parts = random_forest(&mut random, 3, 4, 5, false).parts().clone();
        for (value, _) in parts.leaf_values.iter_mut().zip(&parts.left).filter(|(_, l)| **l == 0) {
            *value = random.within(-(1 << 29), 1 << 29) as i32;
        }
        agree(&Forest::new(parts).unwrap(), &random_rows(&mut random, 4, 512));
    }
}

#[test]
fn sums_of_some_trees_may_pass_32_bits_where_the_score_does_not() {
    let mut parts = single_leaves().parts().clone();
    parts.leaf_values = vec![i32::MAX - 1, i32::MAX - 1, -(i32::MAX - 1)];
    let forest = Forest::new(parts).unwrap();
    let mut random = Random(8);
    let rows = random_rows(&mut random, 2, 100);
    agree(&forest, &rows);
    for isa in Isa::available() {
        let walk = ForestScorer::new(&forest, isa, PlanChoice::Walk).unwrap();
        let mut out = vec![0; 100];
        walk.score(rows.rows(), &mut walk.scratch(), &mut out);
        assert_eq!(out, [-(i32::MAX - 1); 100]);
    }
}

#[test]
fn scores_do_not_depend_on_what_the_padding_holds() {
    let mut random = Random(7);
    let forest = random_forest(&mut random, 10, 4, 6, false);
    let mut rows = random_rows(&mut random, 4, 300);
    for isa in Isa::available() {
        for scorer in on_the_side(&forest, isa) {
            let mut first = vec![0; 300];
            scorer.score(rows.rows(), &mut scorer.scratch(), &mut first);
            (0..4).for_each(|f| rows.column_mut(f)[300..].fill(i16::MAX));
            let mut second = vec![0; 300];
            scorer.score(rows.rows(), &mut scorer.scratch(), &mut second);
            assert_eq!(first, second);
            (0..4).for_each(|f| rows.column_mut(f)[300..].fill(0));
        }
    }
}

#[test]
fn the_cheapest_plan_is_code_where_it_can_be_written_and_asking_for_it_elsewhere_is_refused() {
    let forest = random_forest(&mut Random(9), 100, 6, 7, false);
    for isa in Isa::available() {
        let plan = ForestScorer::cheapest(&forest, isa).evaluation().plan;
        let has_code = matches!(isa.name(), "avx2" | "avx512");
        assert_eq!(plan == "compiled", has_code, "{}: {plan}", isa.name());
        let error = ForestScorer::new(&forest, isa, PlanChoice::Compiled).err();
        assert_eq!(error.is_none(), has_code);
        let said = error.map_or(String::new(), |error| error.to_string());
        assert!(has_code || said.contains("plan `compiled`") && said.contains("`auto`"), "{said}");
    }
}
