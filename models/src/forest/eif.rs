//! Forests grown by the `extended-isolation-forest` crate and taken over.
//!
//! An independent second trainer: the extended isolation forest of Hariri et al. as that crate
//! has it. Its trees come out through its JSON form. Normals are quantised to 16 bits, the
//! largest component of each becoming ±32 767; the threshold is the same sum over the intercept,
//! rounded down, so that integer rows go where real ones would but for the quantisation.
//!
//! A taken-over forest keeps the conventions of the crate, so that its display is what the crate
//! calls the score: leaves and the normaliser use ln(n − 1) + 0.5772156649 for the harmonic number
//! (so c(2) = 0.154 and not 1), and features that are constant in a node may be split on, which
//! leaves empty leaves. It is therefore a baseline of its own, not a copy of [`super::train`].
//!
//! **It cannot be seeded**: the crate draws from the operating system. Only the pool of rows that
//! it draws from is fixed by `rng_seed`; two runs give two models. It grows on one thread, and
//! rows have to be 57 or 99 wide, because the width is a constant of its types.

use std::collections::VecDeque;

use extended_isolation_forest::{Forest as CrateForest, ForestOptions};
use scout40_replay::event::Block;
use serde::Deserialize;

use super::grow::Tree;
use super::rng::TreeRng;
use super::sample::RowSample;
use super::score::Metric;
use super::train::{ForestConfig, plant};
use super::variant::SplitRule;
use super::{ExtendedSplits, Forest, Splits, Term};
use crate::error::{Error, Result};
use crate::features::FeatureSpec;

/// Largest magnitude of a component of a normal.
const MAX_WEIGHT: f64 = 32_767.0;
/// Deepest trees whose JSON can be read: its parser stops at 128 levels, two per node.
const MAX_DEPTH: u32 = 48;
/// The random stream from which the pool of rows is drawn: that of no tree.
const POOL_STREAM: u64 = u64::MAX;

/// The rows that the crate may draw from.
#[derive(Clone, Debug)]
pub struct EifSample {
    config: ForestConfig,
    n_features: usize,
    rows_per_tree: usize,
    rows: RowSample,
}

impl EifSample {
    /// Decides which of `n_rows` rows the crate may draw from: as many as all trees together
    /// take, or all.
    ///
    /// # Errors
    /// A setting that cannot be, or rows that are neither 57 nor 99 wide.
    pub fn draw(config: &ForestConfig, spec: &FeatureSpec, n_rows: u64) -> Result<EifSample> {
        config.check(spec, n_rows)?;
        check_width(spec.len())?;
        check_kind(config)?;
        if config.max_depth.is_some_and(|depth| depth > MAX_DEPTH) {
            let found = config.max_depth.unwrap_or_default();
            return Err(Error::setting("largest depth", format!("at most {MAX_DEPTH}"), found));
        }
        let rows_per_tree = config.rows_per_tree(n_rows);
        let pool = n_rows.min(config.n_trees as u64 * rows_per_tree as u64);
        let wanted = TreeRng::of_tree(config.rng_seed, POOL_STREAM).sample(n_rows, pool);
        let rows = RowSample::new(spec, n_rows, wanted);
        Ok(EifSample { config: config.clone(), n_features: spec.len(), rows_per_tree, rows })
    }

    /// Keeps what is needed of the next block; blocks come in the order of the stream.
    ///
    /// # Errors
    /// If the block lacks columns.
    pub fn collect(&mut self, block: &Block) -> Result<()> {
        self.rows.collect(block)
    }

    /// Has the crate grow a forest and takes it over.
    ///
    /// # Errors
    /// If more or fewer rows were collected than announced, no feature varies, or the scores
    /// would not fit 32 bits.
    pub fn grow(&self) -> Result<Forest> {
        let values = self.rows.values()?;
        let json = match self.n_features {
            57 => grow_json::<57>(values, self.options())?,
            99 => grow_json::<99>(values, self.options())?,
            other => return Err(check_width(other).expect_err("the other widths are served")),
        };
        take_over(&json, &self.config, self.n_features, self.rows_per_tree)
    }

    fn options(&self) -> ForestOptions {
        ForestOptions {
            n_trees: self.config.n_trees,
            sample_size: self.rows_per_tree,
            max_tree_depth: self.config.max_depth.map(|depth| depth as usize),
            extension_level: self.config.extension_level,
        }
    }
}

fn check_width(n_features: usize) -> Result<()> {
    match n_features {
        57 | 99 => Ok(()),
        _ => Err(Error::setting(
            "number of features of a forest grown by extended-isolation-forest",
            "57 or 99 (other widths: train without it)",
            n_features,
        )),
    }
}

fn check_kind(config: &ForestConfig) -> Result<()> {
    let is_plain = config.metric == Metric::Depth
        && config.rule == SplitRule::Uniform
        && !config.penalize_range;
    if is_plain {
        return Ok(());
    }
    Err(Error::setting(
        "kind of a forest grown by extended-isolation-forest",
        "depth scores, uniform splits and no range penalty (others: train without it)",
        format!("{} scores, {:?} splits", config.metric.name(), config.rule),
    ))
}

fn grow_json<const N: usize>(values: &[i16], options: ForestOptions) -> Result<String> {
    let forest = CrateForest::from_slice(&real_rows::<N>(values), &options)
        .map_err(|error| crate_error("growing", error))?;
    serde_json::to_string(&forest).map_err(|error| crate_error("writing its trees", error))
}

fn real_rows<const N: usize>(values: &[i16]) -> Vec<[f32; N]> {
    values.chunks_exact(N).map(|row| std::array::from_fn(|f| f32::from(row[f]))).collect()
}

fn crate_error(action: &'static str, problem: impl ToString) -> Error {
    Error::Crate { action, problem: problem.to_string() }
}

/// The crate's forest as its JSON has it.
#[derive(Deserialize)]
struct JsonForest {
    avg_path_length_c: f64,
    trees: Vec<JsonTree>,
}

#[derive(Deserialize)]
struct JsonTree {
    root: JsonNode,
}

#[derive(Deserialize)]
enum JsonNode {
    Ex(JsonLeaf),
    In(JsonInner),
}

#[derive(Deserialize)]
struct JsonLeaf {
    num_samples: usize,
}

#[derive(Deserialize)]
struct JsonInner {
    left: Box<JsonNode>,
    right: Box<JsonNode>,
    n: Vec<f32>,
    p: Vec<f32>,
}

fn take_over(
    json: &str,
    config: &ForestConfig,
    n_features: usize,
    rows_per_tree: usize,
) -> Result<Forest> {
    let forest: JsonForest =
        serde_json::from_str(json).map_err(|error| crate_error("reading its trees", error))?;
    let trees = forest.trees.iter().map(|tree| flatten(&tree.root, config.bits()));
    let trees = trees.collect::<Result<_>>()?;
    plant(config, n_features, rows_per_tree, forest.avg_path_length_c, trees)
}

/// The nodes of a tree, breadth first.
fn flatten(root: &JsonNode, fraction_bits: u32) -> Result<Tree> {
    let (mut left, mut leaf_values) = (Vec::new(), Vec::new());
    let mut splits = ExtendedSplits::default();
    let mut queue = VecDeque::from([(root, 0u32)]);
    let mut next_child = 1;
    while let Some((node, depth)) = queue.pop_front() {
        match node {
            JsonNode::Ex(leaf) => {
                let path_length = f64::from(depth) + crate_path_length(leaf.num_samples);
                left.push(0);
                leaf_values.push(Metric::Depth.leaf_value(path_length, fraction_bits));
                splits.push(&[], 0);
            }
            JsonNode::In(inner) => {
                let (terms, threshold) = quantise(inner)?;
                left.push(next_child);
                leaf_values.push(0);
                splits.push(&terms, threshold);
                next_child += 2;
                queue.extend([(&*inner.left, depth + 1), (&*inner.right, depth + 1)]);
            }
        }
    }
    Ok(Tree { left, splits: Splits::Extended(splits), leaf_values, ranges: None })
}

fn quantise(inner: &JsonInner) -> Result<(Vec<Term>, i64)> {
    let largest = inner.n.iter().fold(0.0, |most: f64, &x| most.max(f64::from(x).abs()));
    if largest == 0.0 || !largest.is_finite() {
        let problem = format!("expected a normal with a finite length, found {:?}", inner.n);
        return Err(crate_error("quantising a normal", problem));
    }
    let (mut terms, mut threshold) = (Vec::new(), 0.0);
    for (feature, (&n, &p)) in inner.n.iter().zip(&inner.p).enumerate() {
        let weight = (f64::from(n) / largest * MAX_WEIGHT).round();
        if weight != 0.0 {
            terms.push(Term { feature: feature as u16, weight: weight as i16 });
            threshold += weight * f64::from(p);
        }
    }
    Ok((terms, threshold.floor() as i64))
}

/// c(n) as the crate has it: 0 for one row, 0.154 for two.
fn crate_path_length(n: usize) -> f64 {
    if n <= 1 {
        return 0.0;
    }
    let n = n as f64;
    2.0 * ((n - 1.0).ln() + 0.577_215_664_9) - 2.0 * (n - 1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::train::ForestSample;
    use crate::forest::walk::ForestWalk;
    use crate::rows::RowBuffer;
    use crate::scorer::{Score, Scorer};
    use crate::testing::l1_block;

    const N_ROWS: usize = 3000;

    fn l1_57() -> FeatureSpec {
        FeatureSpec::parse("l1-57").unwrap()
    }

    fn config(extension_level: usize) -> ForestConfig {
        ForestConfig { extension_level, fraction_bits: Some(16), ..ForestConfig::default() }
    }

    fn crate_sample(config: &ForestConfig, block: &Block) -> EifSample {
        let mut sample = EifSample::draw(config, &l1_57(), block.len() as u64).unwrap();
        sample.collect(block).unwrap();
        sample
    }

    fn scores(walk: &ForestWalk, block: &Block) -> Vec<Score> {
        let plan = crate::FillPlan::new(&l1_57());
        let mut rows = RowBuffer::new(57);
        let mut scores = Vec::new();
        for begin in (0..block.len()).step_by(512) {
            let n = (block.len() - begin).min(512);
            plan.fill(block, begin..begin + n, &mut rows, 0);
            rows.set_len(n);
            let mut out = vec![0; n];
            walk.score(rows.rows(), &mut walk.scratch(), &mut out);
            scores.extend(out);
        }
        scores
    }

    /// Differences between the display of a taken-over forest and the crate's own score.
    fn differences(extension_level: usize) -> Vec<f64> {
        let block = l1_block(N_ROWS, 1);
        let config = config(extension_level);
        let sample = crate_sample(&config, &block);
        let rows = real_rows::<57>(sample.rows.values().unwrap());
        let forest = CrateForest::<f32, 57>::from_slice(&rows, &sample.options()).unwrap();
        let json = serde_json::to_string(&forest).unwrap();
        let walk = ForestWalk::new(&take_over(&json, &config, 57, 256).unwrap());
        let ours = scores(&walk, &block);
        let pairs = rows.iter().zip(ours);
        pairs.map(|(row, score)| (walk.display(score) - forest.score(row)).abs()).collect()
    }

    /// Each of the leaf values is rounded by at most 2^-17, so is their mean; c(256) = 10.24, so
    /// the display, at most 1, moves by at most ln 2 / 10.24 · 2^-17 = 5.2e-7. The crate's own sum
    /// is exact to 1e-12.
    const ROUNDING: f64 = 5.3e-7;

    #[test]
    fn axis_parallel_trees_of_the_crate_score_as_the_crate_does() {
        // One component: its sign is all that matters, quantising changes no decision.
        let worst = differences(0).into_iter().fold(0.0, f64::max);
        assert!(worst < ROUNDING, "{worst}");
    }

    #[test]
    fn extended_trees_of_the_crate_score_as_the_crate_does() {
        // A component moves by at most 2^-16 of the largest, the distance to a hyperplane by the
        // same share of the spread: less than 1 in 10^4 decisions can change. An event meets
        // about 800, so few events have one changed path, and it moves the mean of 100 path
        // lengths by at most 0.18 and the display by at most ln 2 / 10.24 · 0.18 = 0.012.
        // Four changes in one event: less than 10^-5 of all events, and 0.05. Eight runs gave
        // at most 0.7 % changed events, by at most 0.005.
        for extension_level in [1, 7, 56] {
            let differences = differences(extension_level);
            let equal = differences.iter().filter(|&&d| d < ROUNDING).count();
            assert!(equal > N_ROWS * 95 / 100, "level {extension_level}: {equal} equal");
            let worst = differences.iter().copied().fold(0.0, f64::max);
            assert!(worst < 0.05, "level {extension_level}: {worst}");
        }
    }

    /// Spearman's rank correlation: that of ranks, where equal values share their mean rank.
    fn spearman(a: &[Score], b: &[Score]) -> f64 {
        fn ranks(values: &[Score]) -> Vec<f64> {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by_key(|&k| values[k]);
            let mut ranks = vec![0.0; values.len()];
            for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
                let place = |k: &usize| order.partition_point(|&o| values[o] < values[*k]);
                let rank = place(&group[0]) as f64 + group.len() as f64 / 2.0;
                group.iter().for_each(|&k| ranks[k] = rank);
            }
            ranks
        }
        let (a, b) = (ranks(a), ranks(b));
        let mean = a.len() as f64 / 2.0;
        let product = |x: &[f64], y: &[f64]| -> f64 {
            x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
        };
        product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
    }

    #[test]
    fn rank_correlations_are_right() {
        assert!((spearman(&[1, 2, 3, 4], &[10, 20, 30, 40]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1, 2, 3, 4], &[4, 3, 2, 1]) + 1.0).abs() < 1e-12);
        assert!((spearman(&[1, 2, 2, 3], &[1, 2, 2, 3]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1, 2, 3, 4, 5], &[2, 1, 4, 3, 5]) - 0.8).abs() < 1e-12);
    }

    #[test]
    fn our_forests_rank_events_as_those_of_the_crate_do() {
        // Eight runs gave 0.945 to 0.955, 0.950 to 0.967 and 0.969 to 0.975, as two seeds of one
        // trainer do; 0.9 is ten standard deviations below.
        let block = l1_block(N_ROWS, 1);
        for extension_level in [0, 1, 7] {
            let config = config(extension_level);
            let of_crate = crate_sample(&config, &block).grow().unwrap();
            let mut sample = ForestSample::draw(&config, &l1_57(), N_ROWS as u64).unwrap();
            sample.collect(&block).unwrap();
            let own = sample.grow(&|| ()).unwrap();
            let [own, of_crate] = [own, of_crate].map(|f| scores(&ForestWalk::new(&f), &block));
            let correlation = spearman(&own, &of_crate);
            assert!(correlation > 0.9, "level {extension_level}: {correlation}");
        }
    }

    #[test]
    fn the_path_length_of_two_rows_is_the_crate_s() {
        assert!((crate_path_length(2) - 0.154_431).abs() < 1e-6);
        assert!(crate_path_length(0).abs() + crate_path_length(1).abs() < 1e-12);
    }

    #[test]
    fn other_widths_and_depths_are_refused() {
        let refuse = |config: &ForestConfig, text: &str| {
            let spec = FeatureSpec::parse(text).unwrap();
            EifSample::draw(config, &spec, 100).unwrap_err().to_string()
        };
        assert!(refuse(&config(0), "met.pt").contains("expected 57 or 99"));
        let deep = ForestConfig { max_depth: Some(49), ..config(0) };
        assert!(refuse(&deep, "l1-57").contains("at most 48, found 49"));
        let dense = ForestConfig { metric: Metric::Density, ..config(0) };
        assert!(refuse(&dense, "l1-57").contains("found density scores"));
        let wide = FeatureSpec::parse("thesis-99").unwrap();
        let block = l1_block(300, 2);
        let small = ForestConfig { n_trees: 5, max_depth: Some(48), ..config(98) };
        let mut sample = EifSample::draw(&small, &wide, 300).unwrap();
        sample.collect(&block).unwrap();
        assert_eq!(sample.grow().unwrap().describe().n_trees, 5);
    }
}
