//! Scoring rows with forests: the plain walk, every plan on every instruction set that there is,
//! and the `extended-isolation-forest` crate.
//!
//! All on the same rows of the zero-bias fixture. Scores are checked against an evaluation that
//! follows the definition, node by node. The crate cannot be seeded: it grows another forest of
//! the same shape each time, and is checked against its own trees, read from its JSON form.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use extended_isolation_forest::{Forest as CrateForest, ForestOptions};
use scout40_benches::{batches, fixture, is_smoke, layout, n_events, zero_bias};
use scout40_models::forest::train::{ForestConfig, ForestSample};
use scout40_models::forest::walk::ForestWalk;
use scout40_models::forest::{Forest, Splits};
use scout40_models::{ForestScorer, Isa, Model, PlanChoice, RowBuffer, Score, Scorer};
use scout40_replay::event::Block;
use serde_json::Value;

/// Rows that are scored: more than any branch predictor learns by heart.
const N_ROWS: usize = 4096;
/// Rows that the crate scores.
const N_ROWS_CRATE: usize = 128;

/// One event as the definition has it: `−Σ` of the leaf that it reaches in each tree.
fn naive_score(forest: &Forest, row: &[i16]) -> Score {
    -(0..forest.n_trees())
        .map(|tree| leaf_value(forest, forest.tree(tree).start, 0, row))
        .sum::<Score>()
}

fn leaf_value(forest: &Forest, root: usize, node: usize, row: &[i16]) -> i32 {
    let (parts, at) = (forest.parts(), root + node);
    if parts.left[at] == 0 {
        return parts.leaf_values[at];
    }
    let is_right = match &parts.splits {
        Splits::Axis(splits) => row[usize::from(splits[at].feature)] > splits[at].threshold,
        Splits::Extended(splits) => {
            let terms = splits.terms_of(at).iter();
            let products =
                terms.map(|t| i64::from(t.weight) * i64::from(row[usize::from(t.feature)]));
            products.sum::<i64>() > splits.thresholds[at]
        }
    };
    leaf_value(forest, root, parts.left[at] as usize + usize::from(is_right), row)
}

fn row(rows: &RowBuffer, event: usize) -> Vec<i16> {
    (0..rows.n_features()).map(|feature| rows.column(feature)[event]).collect()
}

fn naive_sum(forest: &Forest, batches: &[RowBuffer]) -> i64 {
    let of_batch = |rows: &RowBuffer| -> i64 {
        (0..rows.n_events()).map(|event| i64::from(naive_score(forest, &row(rows, event)))).sum()
    };
    batches.iter().map(of_batch).sum()
}

/// A forest grown from the fixture, and its extension level.
fn grow(blocks: &[Block], subsample_size: usize, extension_level: usize) -> Forest {
    let config = ForestConfig { subsample_size, extension_level, ..ForestConfig::default() };
    let spec = layout("l1-57");
    let mut sample = ForestSample::draw(&config, &spec, n_events(blocks)).expect("valid settings");
    blocks.iter().for_each(|block| sample.collect(block).expect("all columns"));
    sample.grow(&|| ()).expect("rows that vary")
}

/// All ways to evaluate a forest here, with their names.
fn ways(forest: &Forest) -> Vec<(String, Box<dyn Scorer>)> {
    let mut ways: Vec<(String, Box<dyn Scorer>)> =
        vec![("plain-walk".to_owned(), Box::new(ForestWalk::new(forest)))];
    for isa in Isa::available() {
        for (plan, choice) in [
            ("walk", PlanChoice::Walk),
            ("sliced", PlanChoice::Sliced),
            ("compiled", PlanChoice::Compiled),
        ] {
            // Extended forests cannot be sliced.
            if let Ok(scorer) = ForestScorer::new(forest, isa, choice) {
                ways.push((format!("{plan}-{}", isa.name()), Box::new(scorer)));
            }
        }
    }
    ways
}

fn bench_ways(c: &mut Criterion, name: &str, forest: &Forest, blocks: &[Block]) {
    let about = forest.describe();
    println!(
        "{name}: {} trees, depth {:.1} in the mean, {} at most, {} distinct splits",
        about.n_trees, about.mean_depth, about.max_depth, about.n_distinct_splits
    );
    let n_rows = if is_smoke() { 512 } else { N_ROWS };
    let mut group = c.benchmark_group("forest");
    group.throughput(Throughput::Elements(n_rows as u64));
    for size in [64, 512] {
        let batches = batches(blocks, &layout("l1-57"), size, n_rows);
        let expected = naive_sum(forest, &batches);
        for (way, scorer) in ways(forest) {
            let (mut out, mut scratch) = (vec![0; size], scorer.scratch());
            let mut score = |rows: &RowBuffer| {
                let out = &mut out[..rows.n_events()];
                scorer.score(rows.rows(), &mut scratch, out);
                black_box(&*out).iter().map(|&score| i64::from(score)).sum::<i64>()
            };
            let found: i64 = batches.iter().map(&mut score).sum();
            assert_eq!(found, expected, "{name}/{way}/{size}");
            group.bench_function(format!("{name}/{way}/{size}"), |b| {
                b.iter(|| batches.iter().map(&mut score).sum::<i64>());
            });
        }
    }
    group.finish();
}

/// The path length of a row in a tree of the crate, from its JSON.
fn crate_path(node: &Value, row: &[f32; 57]) -> f64 {
    if let Some(n) = node["Ex"]["num_samples"].as_u64() {
        return if n <= 1 { 0.0 } else { crate_path_length(n as f64) };
    }
    let node = &node["In"];
    let number = |list: &str, k: usize| node[list][k].as_f64().expect("a number") as f32;
    let side: f32 =
        row.iter().enumerate().map(|(k, x)| (x - number("p", k)) * number("n", k)).sum();
    1.0 + crate_path(&node[if side <= 0.0 { "left" } else { "right" }], row)
}

/// c(n) with the crate's constants.
fn crate_path_length(n: f64) -> f64 {
    2.0 * ((n - 1.0).ln() + 0.577_215_664_9) - 2.0 * (n - 1.0) / n
}

fn naive_crate_score(forest: &Value, row: &[f32; 57]) -> f64 {
    let trees = forest["trees"].as_array().expect("a list of trees");
    let sum: f64 = trees.iter().map(|tree| crate_path(&tree["root"], row)).sum();
    let normaliser = forest["avg_path_length_c"].as_f64().expect("a number");
    (-sum / trees.len() as f64 / normaliser).exp2()
}

fn real_rows(blocks: &[Block], n: usize) -> Vec<[f32; 57]> {
    let mut out = Vec::new();
    for rows in batches(blocks, &layout("l1-57"), 512, n) {
        let real = |event| std::array::from_fn(|feature| f32::from(rows.column(feature)[event]));
        out.extend((0..rows.n_events()).map(real));
    }
    out
}

fn bench_crate(c: &mut Criterion, extension_level: usize, blocks: &[Block]) {
    let n_trees = if is_smoke() { 10 } else { 100 };
    let options =
        ForestOptions { n_trees, sample_size: 256, max_tree_depth: None, extension_level };
    let forest =
        CrateForest::from_slice(&real_rows(blocks, N_ROWS), &options).expect("enough rows");
    let rows = real_rows(blocks, if is_smoke() { 16 } else { N_ROWS_CRATE });
    let json = serde_json::to_value(&forest).expect("a forest that can be written");
    let found: f64 = rows.iter().map(|row| forest.score(row)).sum();
    let expected: f64 = rows.iter().map(|row| naive_crate_score(&json, row)).sum();
    assert!((found - expected).abs() < 1e-9 * expected, "{found} {expected}");

    let mut group = c.benchmark_group("forest");
    group.throughput(Throughput::Elements(rows.len() as u64)).sample_size(10);
    group.bench_function(format!("psi-256-level-{extension_level}/crate"), |b| {
        b.iter(|| rows.iter().map(|row| forest.score(row)).sum::<f64>());
    });
    group.finish();
}

fn forest(c: &mut Criterion) {
    let blocks = zero_bias(16, usize::MAX);
    let fixture = Model::read(fixture("models/forest.model")).expect("the fixture");
    bench_ways(c, "fixture-psi-256", fixture.forest().expect("a forest"), &blocks);
    let psi = if is_smoke() { 500 } else { 10_000 };
    bench_ways(c, &format!("psi-{psi}"), &grow(&blocks, psi, 0), &blocks);
    for extension_level in [0, 1] {
        if extension_level > 0 {
            let ours = grow(&blocks, 256, extension_level);
            bench_ways(c, &format!("psi-256-level-{extension_level}"), &ours, &blocks);
        }
        bench_crate(c, extension_level, &blocks);
    }
}

criterion_group!(benches, forest);
criterion_main!(benches);
