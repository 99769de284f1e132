//! Scoring of filled rows, timed: our side of the comparison in `benches/peers/`.
//!
//! ```text
//! score_rows rows  STREAM.s40 OUT.npy [LAYOUT]                   all rows of layout l1-57, int16
//! score_rows score ROWS.i16 MODEL.model OUT.i32                  scores of rows, little-endian both
//! score_rows show  STREAM.s40 MODEL.model FIRST N OUT.npy        displayed scores, float64
//! score_rows speed STREAM.s40 MODEL.model FIRST N MILLISECONDS [BATCH]   one line of JSON
//! score_rows net   MODEL.model                                   a network in floating point, as JSON
//! ```
//!
//! `speed` reads the stream and fills the rows once, in batches of 512 or of BATCH; then it scores all of
//! them again and again for at least so long. Time is that of this thread on its core, as the
//! kernel counts it: what else runs on the machine is not in it. Nothing here pins threads
//! (`taskset` does), and nothing trains.

use std::hint::black_box;
use std::io::Write as _;
use std::ops::Range;

use scout40_benches::layout;
use scout40_models::autoencoder::float::DenseLayer;
use scout40_models::file::Content;
use scout40_models::{FeatureSpec, FillPlan, MAX_BATCH, Model, RowBuffer, Scorer};
use scout40_replay::event::Block;
use scout40_replay::source::{Delivery, FileSource, Source};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["rows", stream, out] => write_rows(stream, out, "l1-57"),
        ["rows", stream, out, features] => write_rows(stream, out, features),
        ["score", rows, model, out] => score_file(rows, model, out),
        ["show", stream, model, first, n, out] => {
            let (scorer, batches) = prepare(stream, model, number(first), number(n), MAX_BATCH);
            show(&*scorer, &batches, out);
        }
        ["speed", stream, model, first, n, milliseconds, ref batch @ ..] => {
            let batch = batch.first().map_or(MAX_BATCH, |batch| number(batch));
            let (scorer, batches) = prepare(stream, model, number(first), number(n), batch);
            speed(&*scorer, &batches, number(milliseconds) as u64);
        }
        ["net", model] => show_net(&Model::read(model).expect("a model")),
        _ => {
            eprintln!(
                "expected `rows`, `score`, `show`, `speed` or `net` with its arguments, found {words:?}"
            );
            std::process::exit(2);
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("expected a number, found `{text}`"))
}

/// The scorer of a model, and the rows `first..first + n` in full batches.
fn prepare(
    stream: &str,
    model: &str,
    first: usize,
    n: usize,
    batch: usize,
) -> (Box<dyn Scorer>, Vec<RowBuffer>) {
    let model = Model::read(model).expect("a model");
    let batches = fill(stream, model.spec(), first..first.saturating_add(n), batch);
    (model.scorer(), batches)
}

fn fill(stream: &str, spec: &FeatureSpec, wanted: Range<usize>, batch: usize) -> Vec<RowBuffer> {
    let plan = FillPlan::new(spec);
    let mut source = FileSource::open(stream.as_ref()).expect("a stream");
    let mut block = Block::default();
    let mut batches: Vec<RowBuffer> = Vec::new();
    let Range { start: first, end } = wanted;
    let mut row = 0;
    while row < end {
        match source.next_block(spec.columns(), &mut block).expect("a stream that can be read") {
            Delivery::Block => {}
            Delivery::End => break,
            trouble => panic!("the stream is damaged: {trouble:?}"),
        }
        let mut event = first.saturating_sub(row);
        let stop = block.len().min(end - row);
        while event < stop {
            if batches.last().is_none_or(|rows| rows.n_events() == batch) {
                batches.push(RowBuffer::new(plan.n_features()));
            }
            let rows = batches.last_mut().expect("just pushed");
            let lane = rows.n_events();
            let n = (stop - event).min(batch - lane);
            plan.fill(&block, event..event + n, rows, lane);
            rows.set_len(lane + n);
            event += n;
        }
        row += block.len();
    }
    assert!(!batches.is_empty(), "the stream has no rows from {first} on");
    batches
}

fn write_rows(stream: &str, out: &str, features: &str) {
    let spec = layout(features);
    let batches = fill(stream, &spec, 0..usize::MAX, MAX_BATCH);
    let n: usize = batches.iter().map(RowBuffer::n_events).sum();
    let mut bytes = npy_header("<i2", &format!("({n}, {})", spec.len()));
    for rows in &batches {
        for event in 0..rows.n_events() {
            let row = (0..spec.len()).flat_map(|f| rows.column(f)[event].to_le_bytes());
            bytes.extend(row);
        }
    }
    write_file(out, &bytes);
}

/// Scores rows that lie in a file one after the other.
fn score_file(rows: &str, model: &str, out: &str) {
    let scorer = Model::read(model).expect("a model").scorer();
    let bytes = std::fs::read(rows).unwrap_or_else(|error| panic!("`{rows}`: {error}"));
    let values: Vec<i16> =
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let n_features = scorer.n_features();
    let (mut batch, mut scratch) = (RowBuffer::new(n_features), scorer.scratch());
    let (mut scores, mut written) = ([0; MAX_BATCH], Vec::new());
    for rows in values.chunks(MAX_BATCH * n_features) {
        let rows = rows.chunks_exact(n_features);
        batch.set_len(rows.len());
        for (event, row) in rows.enumerate() {
            row.iter().enumerate().for_each(|(k, &value)| batch.column_mut(k)[event] = value);
        }
        let scores = &mut scores[..batch.n_events()];
        scorer.score(batch.rows(), &mut scratch, scores);
        written.extend(scores.iter().flat_map(|score| score.to_le_bytes()));
    }
    write_file(out, &written);
}

fn show(scorer: &dyn Scorer, batches: &[RowBuffer], out: &str) {
    let n: usize = batches.iter().map(RowBuffer::n_events).sum();
    let mut bytes = npy_header("<f8", &format!("({n},)"));
    let mut scratch = scorer.scratch();
    let mut scores = [0; MAX_BATCH];
    for rows in batches {
        let scores = &mut scores[..rows.n_events()];
        scorer.score(rows.rows(), &mut scratch, scores);
        bytes.extend(scores.iter().flat_map(|&score| scorer.display(score).to_le_bytes()));
    }
    write_file(out, &bytes);
}

/// What another library needs to compute the same scores in floating point.
fn show_net(model: &Model) {
    let Content::Autoencoder(autoencoder) = model.content() else { panic!("no network") };
    let parts = autoencoder.float.parts();
    let inputs: Vec<_> =
        parts.inputs.iter().map(|s| [i32::from(s.offset), s.shift.into()]).collect();
    let layer = |layer: &DenseLayer| {
        format!("{{\"weights\": {:?}, \"biases\": {:?}}}", layer.weights, layer.biases)
    };
    let layers: Vec<String> = parts.layers.iter().map(layer).collect();
    println!(
        "{{\"inputs\": {inputs:?}, \"layers\": [{}], \"cap\": {:?}, \"targets\": {:?}}}",
        layers.join(", "),
        // JSON has no infinity.
        parts.cap.min(f32::MAX),
        parts.targets
    );
}

fn speed(scorer: &dyn Scorer, batches: &[RowBuffer], milliseconds: u64) {
    let n: usize = batches.iter().map(RowBuffer::n_events).sum();
    let mut scratch = scorer.scratch();
    let mut scores = [0; MAX_BATCH];
    let mut pass = || {
        let mut sum = 0;
        for rows in batches {
            let scores = &mut scores[..rows.n_events()];
            scorer.score(black_box(rows.rows()), &mut scratch, scores);
            sum += scores.iter().map(|&score| i64::from(score)).sum::<i64>();
        }
        sum
    };
    let sum = pass();
    let (begin, mut passes) = (cpu_ns(), 0_u64);
    let nanoseconds = loop {
        assert_eq!(pass(), sum, "the same rows have the same scores");
        passes += 1;
        let spent = cpu_ns() - begin;
        if spent >= milliseconds * 1_000_000 {
            break spent;
        }
    };
    println!(
        "{{\"events\": {}, \"cpu_ns\": {nanoseconds}, \"sum_of_scores\": {sum}}}",
        n as u64 * passes
    );
}

/// Time that this thread has spent on a core. **Units**: ns. **Source**: Linux,
/// `Documentation/scheduler/sched-stats.rst`, first field of `schedstat`.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_whitespace().next().and_then(|field| field.parse().ok()).expect("a number")
}

/// The head of a `.npy` file, version 1.0: padded with spaces to a multiple of 64 bytes.
fn npy_header(dtype: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    bytes
}

fn write_file(path: &str, bytes: &[u8]) {
    let file = std::fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    file.unwrap_or_else(|error| panic!("`{path}`: {error}"));
}
