//! Scoring rows with integer networks, on every instruction set that there is, in batches of 64 and 512.
//!
//! Weights are made by a hash: the time does not depend on them. Scores are checked against the
//! definition, row by row.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scout40_benches::{batches, is_smoke, layout, mix, zero_bias};
use scout40_models::autoencoder::float::InputScale;
use scout40_models::autoencoder::integer::{IntegerLayer, IntegerNet, IntegerParts};
use scout40_models::autoencoder::scorer::NetScorer;
use scout40_models::{Isa, RowBuffer, Score, Scorer};

const N_ROWS: usize = 4096;

/// A network of these widths with weights of a hash. With targets: the first features.
fn net(widths: &[usize], n_used: usize, n_targets: usize) -> IntegerNet {
    let mut state = 1;
    let mut number = |below: u64| {
        state = mix(state, 1);
        (state >> 33) % below
    };
    let mut layers = Vec::new();
    for pair in widths.windows(2) {
        let (n_inputs, n_outputs) = (pair[0], pair[1]);
        let is_used =
            |input: usize| !layers.is_empty() || input.is_multiple_of(3) || n_used == n_inputs;
        let weights = (0..n_inputs * n_outputs)
            .map(|k| if is_used(k % n_inputs) { number(127) as i8 - 63 } else { 0 })
            .collect();
        layers.push(IntegerLayer {
            n_inputs: n_inputs as u32,
            weights,
            biases: (0..n_outputs).map(|_| number(8000) as i32 - 2000).collect(),
            shifts: vec![7; n_outputs],
        });
    }
    IntegerNet::new(IntegerParts {
        inputs: vec![InputScale { offset: 0, shift: 1 }; widths[0]],
        layers,
        targets: (0..n_targets as u16).map(|k| 3 * k).collect(),
        target_bits: 3,
        score_bits: 20,
    })
    .expect("an exact network")
}

fn row(rows: &RowBuffer, event: usize) -> Vec<i16> {
    (0..rows.n_features()).map(|feature| rows.column(feature)[event]).collect()
}

fn sum(scorer: &dyn Scorer, batches: &[RowBuffer], out: &mut [Score]) -> i64 {
    let mut scratch = scorer.scratch();
    let of_batch = |rows: &RowBuffer| -> i64 {
        let out = &mut out[..rows.n_events()];
        scorer.score(black_box(rows.rows()), &mut scratch, out);
        out.iter().map(|&score| i64::from(score)).sum()
    };
    batches.iter().map(of_batch).sum()
}

fn bench(c: &mut Criterion) {
    let spec = layout("l1-57");
    let blocks = zero_bias(4, 4);
    let n_rows = if is_smoke() { 600 } else { N_ROWS };
    let nets = [
        ("encoder-57-32-16-8", net(&[57, 32, 16, 8], 57, 0)),
        ("reconstruction-19-32-16-8-16-32-19", net(&[57, 32, 16, 8, 16, 32, 19], 19, 19)),
    ];
    for (name, net) in &nets {
        let mut group = c.benchmark_group(format!("network/{name}"));
        for batch in [64, 512] {
            let batches = batches(&blocks, &spec, batch, n_rows);
            let n: usize = batches.iter().map(RowBuffer::n_events).sum();
            let scores = |rows: &RowBuffer| -> i64 {
                (0..rows.n_events()).map(|event| i64::from(net.score(&row(rows, event)))).sum()
            };
            let expected: i64 = batches.iter().map(scores).sum();
            group.throughput(Throughput::Elements(n as u64));
            for isa in Isa::available() {
                let scorer = NetScorer::new(net, isa);
                let mut out = vec![0; batch];
                assert_eq!(sum(&scorer, &batches, &mut out), expected, "{} {name}", isa.name());
                group.bench_function(format!("{}/{batch}", isa.name()), |b| {
                    b.iter(|| sum(&scorer, &batches, &mut out));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
