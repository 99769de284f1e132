//! Networks of fixed-point numbers give the specification's scores on every instruction set.

use std::path::Path;

use crate::fixed::{Fixed, Format, Overflow, Quantisation};
use crate::hls::program::{Packing, Program};
use crate::hls::{
    Dense, Detector, DetectorScorer, Layer, Loss, Network, Origin, Scaling, Step, Tensor, axol1tl,
};
use crate::kernels::isa::Isa;
use crate::rows::{MAX_BATCH, RowBuffer};
use crate::scorer::{Score, Scorer};
use crate::testing::Random;

fn fixtures(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/hls").join(name)
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

const ROUNDINGS: [Quantisation; 7] = [
    Quantisation::Truncate,
    Quantisation::TruncateToZero,
    Quantisation::Round,
    Quantisation::RoundToZero,
    Quantisation::RoundDown,
    Quantisation::RoundAway,
    Quantisation::RoundToEven,
];
const OVERFLOWS: [Overflow; 4] =
    [Overflow::Wrap, Overflow::Saturate, Overflow::SaturateSymmetric, Overflow::Wrap];

fn format(random: &mut Random, signed: bool, width: (i64, i64), fraction: (i64, i64)) -> Format {
    let width = random.within(width.0, width.1);
    let integer_bits = width - random.within(fraction.0, fraction.1);
    let format = Format::new(signed, width as u32, integer_bits as i32).unwrap();
    format.with_modes(pick(random, &ROUNDINGS), pick(random, &OVERFLOWS))
}

fn numbers(random: &mut Random, format: Format, n: usize) -> Vec<Fixed> {
    let (low, high) = format.codes();
    let number = |random: &mut Random| match random.below(4) {
        0 => 0,
        1 => pick(random, &[low, high]),
        _ => random.within(low, high),
    };
    (0..n).map(|_| format.with_code(number(random))).collect()
}

/// Dense layers with activations between them; at times a difference and a dot product at the end.
fn network(random: &mut Random) -> Network {
    let mut network =
        Network { name: "random".into(), tensors: Vec::new(), steps: Vec::new(), output: 0 };
    let add = |network: &mut Network, length, format, layer: Option<Layer>| {
        let output = network.tensors.len();
        network.tensors.push(Tensor { name: format!("t{output}"), length, format });
        network.steps.extend(layer.map(|layer| Step { output, layer }));
        output
    };
    let mut width = 1 + random.below(20) as usize;
    let signed = random.below(3) > 0;
    let mut format_of_input = format(random, signed, (4, 15), (-1, 9));
    if !signed && format_of_input.overflow() == Overflow::Wrap {
        format_of_input = format_of_input.with_modes(Quantisation::Round, Overflow::Saturate);
    }
    let mut last = add(&mut network, width, format_of_input, None);
    for _ in 0..1 + random.below(3) {
        let n = 1 + random.below(13) as usize;
        let weight = format(random, true, (3, 8), (0, 6));
        let bias = format(random, true, (3, 12), (0, 8));
        let accumulator = format(random, true, (8, 30), (2, 14));
        let dense = Dense {
            input: last,
            weights: numbers(random, weight, width * n),
            biases: numbers(random, bias, n),
            accumulator,
        };
        let result =
            if random.below(2) == 0 { accumulator } else { format(random, true, (8, 24), (0, 10)) };
        let sums = add(&mut network, n, result, Some(Layer::Dense(dense)));
        let signed = random.below(3) == 0;
        let activation = format(random, signed, (4, 14), (0, 8));
        let layer =
            if signed { Layer::Linear { input: sums } } else { Layer::Relu { input: sums } };
        last = add(&mut network, n, activation, Some(layer));
        width = n;
        if random.below(3) == 0 {
            let inputs = if random.below(2) == 0 { [last, sums] } else { [sums, last] };
            let merged = format(random, true, (6, 18), (0, 9));
            let layer = match random.below(2) {
                0 => Layer::Add { inputs },
                _ => Layer::Subtract { inputs },
            };
            last = add(&mut network, n, merged, Some(layer));
            if random.below(2) == 0 {
                let result = format(random, true, (10, 20), (0, 8));
                let accumulator = format(random, true, (30, 46), (8, 20));
                let inputs = if random.below(3) == 0 { [last, sums] } else { [last; 2] };
                last = add(&mut network, 1, result, Some(Layer::Dot { inputs, accumulator }));
                break;
            }
        }
    }
    network.output = last;
    network
}

fn detector(random: &mut Random) -> Detector {
    let network = network(random);
    let n = network.input().length;
    let integer_bits = 9 + random.below(8) as i32;
    let fraction_bits = random.below(6) as i32;
    let unscaled =
        Format::new(true, (integer_bits + fraction_bits).unsigned_abs(), integer_bits).unwrap();
    let half = i64::from(fraction_bits > 0 && integer_bits < 16 && random.below(2) == 0);
    let of_offset = Format::new(true, 10, 10 - half as i32).unwrap();
    let scaling = Scaling {
        unscaled,
        offsets: numbers(random, of_offset, n),
        shifts: (0..n).map(|_| random.within(-1, 8) as i32).collect(),
    };
    let is_sum = network.output().length > 1 || random.below(2) == 0;
    let loss = Format::new(false, 18, 14).unwrap();
    let modes = (pick(random, &ROUNDINGS), pick(random, &OVERFLOWS));
    let loss =
        (if is_sum { Loss::SumOfSquares } else { Loss::Output }, loss.with_modes(modes.0, modes.1));
    Detector::new(Origin::Project, scaling, network, loss, 4).unwrap()
}

fn random_rows(random: &mut Random, n_features: usize, n_events: usize) -> RowBuffer {
    let mut rows = RowBuffer::new(n_features);
    for feature in 0..n_features {
        for x in rows.column_mut(feature) {
            let size = random.below(12);
            *x = match random.below(6) {
                0 => random.extreme(),
                _ => (random.within(-2048, 2047) >> size) as i16,
            };
        }
    }
    rows.set_len(n_events);
    rows
}

fn by_definition(detector: &Detector, rows: &RowBuffer) -> Vec<Score> {
    let mut out = vec![0; rows.n_events()];
    detector.score_rows(rows.rows(), &mut out);
    out
}

/// Scores with every instruction set, twice with the same memory.
fn agree(detector: &Detector, rows: &RowBuffer) {
    let expected = by_definition(detector, rows);
    for isa in Isa::available() {
        let scorer = DetectorScorer::new(detector, isa);
        let (mut scratch, mut out) = (scorer.scratch(), vec![Score::MIN; rows.n_events()]);
        for _ in 0..2 {
            scorer.score(rows.rows(), &mut scratch, &mut out);
            assert_eq!(out, expected, "{} of\n{detector}", isa.name());
        }
        let (low, high) = scorer.range();
        assert!(out.iter().all(|score| (low..=high).contains(score)));
    }
}

#[test]
fn random_networks_score_as_the_specification_on_every_instruction_set() {
    let mut random = Random(41);
    let (mut n_fast, mut n_bytes, mut reasons) = (0, [0; 2], Vec::new());
    for _ in 0..400 {
        let detector = detector(&mut random);
        match Program::new(&detector) {
            Ok(program) => {
                n_fast += 1;
                let is_signed = usize::from(program.least_input < 0);
                n_bytes[is_signed] += usize::from(program.packing == Packing::Quads);
            }
            Err(reason) => reasons.push(reason),
        }
        let n_events = 1 + random.below(160) as usize;
        agree(&detector, &random_rows(&mut random, detector.n_features(), n_events));
    }
    assert!(n_bytes.iter().all(|&n| n > 2), "{n_bytes:?} with inputs of a byte");
    assert!(n_fast > 200 && reasons.len() > 20, "{n_fast} fast, others: {reasons:#?}");
}

#[test]
fn networks_of_the_triggers_form_have_programs_and_score_the_same_for_every_length() {
    let mut random = Random(42);
    for name in ["AXOL1TL_v1", "AXOL1TL_v4", "AXOL1TL_v5"] {
        let detector = axol1tl::read(&fixtures(name)).unwrap();
        assert_eq!(DetectorScorer::new(&detector, Isa::best()).why_slow(), None, "{name}");
        for n_events in (0..=130).chain([MAX_BATCH - 1, MAX_BATCH]) {
            agree(&detector, &random_rows(&mut random, detector.n_features(), n_events));
        }
    }
}

/// With weights of 1 at one input, its scaled value is the output.
#[test]
fn every_integer_is_scaled_as_the_specification_says() {
    let mut random = Random(43);
    let mut n_fast = 0;
    for case in 0..24 {
        let detector = if case == 0 {
            axol1tl::read(&fixtures("AXOL1TL_v4")).unwrap()
        } else {
            detector(&mut random)
        };
        let input = detector.network().input().format;
        let feature = random.below(detector.n_features() as u64) as usize;
        let weight = Format::new(true, 2, 2).unwrap();
        let weights = (0..detector.n_features()).map(|k| weight.with_code((k == feature).into()));
        let wide = Format::new(true, 30, 30 - input.fraction_bits().max(0)).unwrap();
        let dense = Dense {
            input: 0,
            weights: weights.collect(),
            biases: vec![weight.zero()],
            accumulator: wide,
        };
        let tensor = |name: &str, length, format| Tensor { name: name.into(), length, format };
        let network = Network {
            name: "one".into(),
            tensors: vec![tensor("x", detector.n_features(), input), tensor("y", 1, wide)],
            steps: vec![Step { output: 1, layer: Layer::Dense(dense) }],
            output: 1,
        };
        let (scaling, bits) = (detector.scaling().clone(), input.fraction_bits().max(0));
        let loss = (Loss::Output, Format::new(true, 30 - 1, 29 - bits).unwrap());
        let one = Detector::new(Origin::Project, scaling, network, loss, bits).unwrap();
        if Program::new(&one).is_err() {
            continue;
        }
        n_fast += 1;
        let mut rows = RowBuffer::new(one.n_features());
        rows.set_len(MAX_BATCH);
        let mut out = [0; MAX_BATCH];
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let scorers = Isa::available().into_iter().map(|isa| DetectorScorer::new(&one, isa));
        let mut scorers: Vec<_> = scorers.map(|s| (s.scratch(), s)).collect();
        for values in all.chunks(MAX_BATCH) {
            rows.column_mut(feature)[..MAX_BATCH].copy_from_slice(values);
            let expected: Vec<Score> = values
                .iter()
                .map(|&x| loss.1.cast(one.scaled_value(feature, x).exact()).code() as Score)
                .collect();
            for (scratch, scorer) in &mut scorers {
                scorer.score(rows.rows(), scratch, &mut out);
                assert_eq!(out[..], expected, "{} {input}", scorer.evaluation().isa);
            }
        }
    }
    assert!(n_fast > 15, "{n_fast}");
}

/// What is taken only where the processor has nothing better.
#[test]
fn vectors_without_dot_products_score_the_same() {
    let mut random = Random(44);
    for name in ["AXOL1TL_v1", "AXOL1TL_v4", "AXOL1TL_v5"] {
        let detector = axol1tl::read(&fixtures(name)).unwrap();
        let rows = random_rows(&mut random, detector.n_features(), MAX_BATCH);
        super::fixed::tests::agree_without_dot_products(
            &Program::new(&detector).unwrap(),
            &rows,
            &by_definition(&detector, &rows),
        );
    }
}

/// Inputs at both ends, where sums and products reach their bounds.
#[test]
fn inputs_at_their_ends_score_the_same() {
    let mut random = Random(45);
    for name in ["AXOL1TL_v1", "AXOL1TL_v4", "AXOL1TL_v5"] {
        let detector = axol1tl::read(&fixtures(name)).unwrap();
        let mut rows = RowBuffer::new(detector.n_features());
        rows.set_len(MAX_BATCH);
        for feature in 0..detector.n_features() {
            for x in rows.column_mut(feature) {
                *x = pick(&mut random, &[i16::MIN, i16::MAX, -4096, 4095, -2049, 2048, 0]);
            }
        }
        agree(&detector, &rows);
    }
}

#[test]
fn an_event_may_be_scored_by_the_specification_without_a_program() {
    let mut random = Random(46);
    let detector = axol1tl::read(&fixtures("AXOL1TL_v5")).unwrap();
    let scorer = DetectorScorer::by_specification(&detector);
    assert_eq!(scorer.evaluation().plan, "number by number");
    let rows = random_rows(&mut random, detector.n_features(), 100);
    let mut out = vec![0; 100];
    scorer.score(rows.rows(), &mut scorer.scratch(), &mut out);
    assert_eq!(out, by_definition(&detector, &rows));
}
