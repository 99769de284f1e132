//! Training isolation forests from a stream.
//!
//! Three steps, so that memory does not grow with the stream: [`ForestSample::draw`] decides
//! which rows every tree sees, [`ForestSample::collect`] keeps just those as the blocks go by,
//! [`ForestSample::grow`] grows the trees in parallel. The forest depends on the settings and the
//! rows only, not on threads, block boundaries or the machine.
//!
//! With `extension_level` 0 the forest is axis-parallel, above it is extended; how nodes split is
//! up to the [`SplitRule`], what leaves are worth to the [`Metric`], neither of which changes what
//! the other does. Training knows nothing about labels, and chooses no settings by itself except
//! the depth and the fractional bits.

use rayon::prelude::*;
use scout40_replay::event::Block;

use super::grow::{Grower, Table, Tree};
use super::leaf::{LeafRule, Pool};
use super::rng::TreeRng;
use super::sample::RowSample;
use super::score::{MAX_FRACTION_BITS, Metric, average_path_length, average_path_lengths};
use super::variant::SplitRule;
use super::{ExtendedSplits, Forest, ForestParts, Splits, histogram};
use crate::error::{Error, Result};
use crate::features::FeatureSpec;

/// Most hyperplanes that a node may try, and most ranges that it may be cut into.
const MAX_CHOICE: u64 = 1000;
/// Rows with which densities are counted in forests that cut into several ranges: what the
/// original program takes at its depth of 10.
const POOL_ROWS: u64 = 2000;
/// The random stream from which those rows are drawn: that of no tree.
const POOL_STREAM: u64 = u64::MAX;

/// Settings of the training. The defaults are those of the original publication.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestConfig {
    /// Number of trees.
    pub n_trees: usize,
    /// Rows per tree, ψ, drawn without replacement; all rows if there are fewer.
    pub subsample_size: usize,
    /// Most nodes above a leaf; `None` = ⌈log2 ψ⌉. Where nodes are cut into several ranges, such a
    /// cut counts once.
    pub max_depth: Option<u32>,
    /// Features in the normal of a split, less one: 0 = axis-parallel.
    pub extension_level: usize,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// Fractional bits of the score; `None` = what suits the metric.
    pub fraction_bits: Option<u32>,
    /// What leaves stand for.
    pub metric: Metric,
    /// How a node finds its split.
    pub rule: SplitRule,
    /// Whether events far outside a node's rows are found stranger; for path lengths only.
    pub penalize_range: bool,
}

impl Default for ForestConfig {
    fn default() -> ForestConfig {
        ForestConfig {
            n_trees: 100,
            subsample_size: 256,
            max_depth: None,
            extension_level: 0,
            rng_seed: 1,
            fraction_bits: None,
            metric: Metric::Depth,
            rule: SplitRule::Uniform,
            penalize_range: false,
        }
    }
}

impl ForestConfig {
    /// Checks the settings against the rows.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn check(&self, spec: &FeatureSpec, n_rows: u64) -> Result<()> {
        let check = |holds, setting, expected: String, found: u64| {
            if holds { Ok(()) } else { Err(Error::setting(setting, expected, found)) }
        };
        let at_least = |n: u64| format!("at least {n}");
        check(n_rows >= 2, "number of training rows", at_least(2), n_rows)?;
        check(self.n_trees >= 1, "number of trees", at_least(1), self.n_trees as u64)?;
        let n = self.subsample_size as u64;
        check(n >= 2, "subsample size", at_least(2), n)?;
        let total = self.n_trees as u64 * self.rows_per_tree(n_rows) as u64;
        let most = i32::MAX as u64;
        check(total < most, "trees times subsample size", format!("less than {most}"), total)?;
        let depth = self.max_depth.unwrap_or(1);
        check(depth >= 1, "largest depth", at_least(1), depth.into())?;
        let level = self.extension_level as u64;
        let expected = format!("less than the number of features, {}", spec.len());
        check(self.extension_level < spec.len(), "extension level", expected, level)?;
        let bits = self.bits();
        let expected = format!("at most {MAX_FRACTION_BITS}");
        check(bits <= MAX_FRACTION_BITS, "fractional bits", expected, bits.into())?;
        self.check_rule()
    }

    fn check_rule(&self) -> Result<()> {
        let check_choice = |setting, least: u64, found: usize| {
            if (least..=MAX_CHOICE).contains(&(found as u64)) {
                Ok(())
            } else {
                Err(Error::setting(setting, format!("{least} to {MAX_CHOICE}"), found))
            }
        };
        let takes_extension = match self.rule {
            SplitRule::Uniform => true,
            SplitRule::Gain { tries, .. } => {
                check_choice("hyperplanes to try", 1, tries)?;
                true
            }
            SplitRule::ByRange => false,
            SplitRule::Histogram { max_buckets, epsilon } => {
                check_choice("largest number of ranges of a cut", 2, max_buckets)?;
                // Not a number is no such number either.
                if !(0.0..=1e6).contains(&epsilon) {
                    let expected = "a number from 0 to 1000000";
                    return Err(Error::setting("tolerance of histograms", expected, epsilon));
                }
                false
            }
        };
        if !takes_extension && self.extension_level > 0 {
            let setting = "extension level of splits by range or into ranges";
            return Err(Error::setting(setting, "0", self.extension_level));
        }
        if self.penalize_range && !self.metric.takes_range_penalty() {
            let expected = "depth or adj_depth";
            return Err(Error::setting(
                "metric with a range penalty",
                expected,
                self.metric.name(),
            ));
        }
        Ok(())
    }

    /// Fractional bits of the score.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.fraction_bits.unwrap_or(self.metric.default_fraction_bits(self.n_trees))
    }

    /// Rows that each tree gets of so many.
    pub(super) fn rows_per_tree(&self, n_rows: u64) -> usize {
        n_rows.min(self.subsample_size as u64) as usize
    }

    fn depth_for(&self, rows_per_tree: usize) -> u32 {
        self.max_depth.unwrap_or(rows_per_tree.next_power_of_two().trailing_zeros())
    }
}

/// What one tree is grown from.
#[derive(Clone, Debug)]
struct TreeSample {
    rng: TreeRng,
    /// Numbers of its rows among the collected ones.
    rows: Vec<u32>,
}

/// The rows that a forest is grown from.
#[derive(Clone, Debug)]
pub struct ForestSample {
    config: ForestConfig,
    n_features: usize,
    rows: RowSample,
    trees: Vec<TreeSample>,
    /// Numbers among the collected rows of those with which densities are counted, if these are
    /// other ones than the tree's own.
    pool: Option<Vec<u32>>,
}

impl ForestSample {
    /// Decides which of `n_rows` rows every tree sees.
    ///
    /// # Errors
    /// A setting that cannot be, or fewer than two rows.
    pub fn draw(config: &ForestConfig, spec: &FeatureSpec, n_rows: u64) -> Result<ForestSample> {
        config.check(spec, n_rows)?;
        let k = config.rows_per_tree(n_rows) as u64;
        let mut drawn = Vec::with_capacity(config.n_trees);
        for tree in 0..config.n_trees as u64 {
            let mut rng = TreeRng::of_tree(config.rng_seed, tree);
            let rows = rng.sample(n_rows, k);
            drawn.push((rng, rows));
        }
        let pool = matches!(config.rule, SplitRule::Histogram { .. }).then(|| {
            TreeRng::of_tree(config.rng_seed, POOL_STREAM).sample(n_rows, n_rows.min(POOL_ROWS))
        });
        let of_trees = drawn.iter().flat_map(|(_, rows)| rows);
        let mut wanted: Vec<u64> = of_trees.chain(pool.iter().flatten()).copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let sample = RowSample::new(spec, n_rows, wanted);
        let trees = drawn.into_iter().map(|(rng, rows)| TreeSample {
            rng,
            rows: rows.into_iter().map(|row| sample.index_of(row)).collect(),
        });
        let trees = trees.collect();
        let pool = pool.map(|rows| rows.into_iter().map(|row| sample.index_of(row)).collect());
        let (config, n_features) = (config.clone(), spec.len());
        Ok(ForestSample { config, n_features, rows: sample, trees, pool })
    }

    /// Keeps what is needed of the next block; blocks come in the order of the stream.
    ///
    /// # Errors
    /// If the block lacks columns.
    pub fn collect(&mut self, block: &Block) -> Result<()> {
        self.rows.collect(block)
    }

    /// Grows the forest, on all threads of the current rayon pool.
    ///
    /// `on_tree_done` is called once per tree, from any thread, in any order.
    ///
    /// # Errors
    /// If more or fewer rows were collected than announced, no feature varies, or the scores
    /// would not fit 32 bits.
    pub fn grow(&self, on_tree_done: &(dyn Fn() + Sync)) -> Result<Forest> {
        let values = self.rows.values()?;
        let n_rows = self.trees[0].rows.len();
        let path_lengths = average_path_lengths(n_rows);
        let table = Table { values, n_features: self.n_features };
        let cube = self.pool.as_ref().map_or(Vec::new(), |_| histogram::cube(table));
        let grower = Grower {
            table,
            max_depth: self.config.depth_for(n_rows),
            extension_level: self.config.extension_level,
            rule: self.config.rule,
            cube: &cube,
        };
        let leaf_rule = LeafRule {
            table,
            metric: self.config.metric,
            fraction_bits: self.config.bits(),
            n_trees: self.config.n_trees,
            path_lengths: &path_lengths,
            penalize_range: self.config.penalize_range,
            pool: self.pool.as_ref().map(|rows| Pool { rows, cube: &cube }),
        };
        let grow = |sample: &TreeSample| {
            let TreeSample { mut rng, mut rows } = sample.clone();
            let structure = grower.grow(&mut rng, &mut rows);
            let tree = leaf_rule.tree(structure, &rows);
            on_tree_done();
            tree
        };
        let trees: Vec<Tree> = self.trees.par_iter().map(grow).collect();
        let normaliser = if self.config.metric.is_normalised() {
            average_path_length(n_rows as u64)
        } else {
            1.0
        };
        plant(&self.config, self.n_features, n_rows, normaliser, trees)
    }
}

/// Joins trees to a forest.
pub(super) fn plant(
    config: &ForestConfig,
    n_features: usize,
    rows_per_tree: usize,
    normaliser: f64,
    trees: Vec<Tree>,
) -> Result<Forest> {
    let (mut axis, mut extended) = (Vec::new(), ExtendedSplits::default());
    let (mut tree_ends, mut left, mut leaf_values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut is_axis, mut ranges) = (true, None);
    for tree in trees {
        left.extend(tree.left);
        leaf_values.extend(tree.leaf_values);
        if let Some(of_tree) = tree.ranges {
            ranges.get_or_insert_with(Vec::new).extend(of_tree);
        }
        tree_ends.push(left.len() as u32);
        match tree.splits {
            Splits::Axis(splits) => axis.extend(splits),
            Splits::Extended(splits) => {
                is_axis = false;
                let n_terms = extended.terms.len() as u32;
                extended.term_ends.extend(splits.term_ends.iter().map(|end| n_terms + end));
                extended.terms.extend(splits.terms);
                extended.thresholds.extend(splits.thresholds);
            }
        }
    }
    Forest::new(ForestParts {
        n_features: n_features as u32,
        fraction_bits: config.bits(),
        subsample_size: rows_per_tree as u32,
        metric: config.metric,
        normaliser,
        tree_ends,
        left,
        splits: if is_axis { Splits::Axis(axis) } else { Splits::Extended(extended) },
        leaf_values,
        ranges,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::file::{Model, Provenance};
    use crate::forest::variant::{Gain, UNLIMITED_DEPTH, Variant};
    use crate::forest::walk::ForestWalk;
    use crate::rows::RowBuffer;
    use crate::scorer::Scorer;
    use crate::testing::{l1_block, met_block, part_of};

    fn spec(text: &str) -> FeatureSpec {
        FeatureSpec::parse(text).unwrap()
    }

    fn config(n_trees: usize, subsample_size: usize, extension_level: usize) -> ForestConfig {
        ForestConfig { n_trees, subsample_size, extension_level, ..ForestConfig::default() }
    }

    fn sample(config: &ForestConfig, text: &str, block: &Block) -> ForestSample {
        let mut sample = ForestSample::draw(config, &spec(text), block.len() as u64).unwrap();
        sample.collect(block).unwrap();
        sample
    }

    fn grow(config: &ForestConfig, text: &str, block: &Block) -> Forest {
        sample(config, text, block).grow(&|| ()).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_file_for_any_number_of_threads_and_any_blocks() {
        let block = l1_block(3000, 1);
        for level in [0, 3] {
            let config = config(20, 128, level);
            let bytes = |forest| {
                Model::new(spec("l1-57"), forest, Provenance::default()).unwrap().to_bytes()
            };
            let expected = bytes(grow(&config, "l1-57", &block));
            for n_threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                assert_eq!(bytes(pool.install(|| grow(&config, "l1-57", &block))), expected);
            }
            let mut parts = ForestSample::draw(&config, &spec("l1-57"), 3000).unwrap();
            for range in [0..17, 17..2000, 2000..3000] {
                parts.collect(&part_of(&block, range)).unwrap();
            }
            assert_eq!(bytes(parts.grow(&|| ()).unwrap()), expected);
            let other = ForestConfig { rng_seed: 2, ..config };
            assert_ne!(bytes(grow(&other, "l1-57", &block)), expected);
        }
    }

    /// Every variant with every metric that it can have, with few trees.
    fn all_kinds() -> Vec<ForestConfig> {
        let kind = |variant: Variant, metric: Metric| {
            let preset = variant.config();
            let penalize_range = preset.penalize_range && metric.takes_range_penalty();
            ForestConfig { n_trees: 6, metric, penalize_range, ..preset }
        };
        let of_variant = |variant| Metric::ALL.map(|metric| kind(variant, metric));
        Variant::ALL.into_iter().flat_map(of_variant).collect()
    }

    #[test]
    fn every_kind_of_forest_is_the_same_for_any_number_of_threads_and_any_blocks() {
        let block = l1_block(700, 4);
        for config in all_kinds() {
            let expected = grow(&config, "thesis-99", &block);
            for n_threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                assert_eq!(pool.install(|| grow(&config, "thesis-99", &block)), expected);
            }
            let mut parts = ForestSample::draw(&config, &spec("thesis-99"), 700).unwrap();
            for range in [0..1, 1..333, 333..700] {
                parts.collect(&part_of(&block, range)).unwrap();
            }
            assert_eq!(parts.grow(&|| ()).unwrap(), expected, "{config:?}");
            assert_eq!(expected.parts().metric, config.metric);
            assert_eq!(expected.parts().ranges.is_some(), config.penalize_range);
            let bytes = Model::new(spec("thesis-99"), expected.clone(), Provenance::default())
                .unwrap()
                .to_bytes();
            assert_eq!(Model::from_bytes(&bytes).unwrap().forest(), Some(&expected));
        }
    }

    #[test]
    fn metrics_change_the_leaves_of_a_forest_and_not_its_trees() {
        let block = l1_block(500, 5);
        for variant in Variant::ALL {
            let config = |metric| ForestConfig {
                n_trees: 5,
                penalize_range: false,
                metric,
                ..variant.config()
            };
            let first = grow(&config(Metric::Depth), "l1-57", &block);
            for metric in Metric::ALL {
                let forest = grow(&config(metric), "l1-57", &block);
                assert_eq!(forest.parts().left, first.parts().left);
                assert_eq!(forest.parts().splits, first.parts().splits);
            }
        }
    }

    #[test]
    fn models_come_out_as_in_the_first_release() {
        // If this fails, the same seed no longer gives the same model: never change the numbers.
        let block = l1_block(1000, 7);
        let digest = |level| {
            let forest = grow(&config(10, 64, level), "l1-57", &block);
            xxh3_64(first_text(forest.parts()).as_bytes())
        };
        assert_eq!([digest(0), digest(3)], FIRST_DIGESTS);
    }

    /// The parts as the first release had them and its `Debug` wrote them.
    fn first_text(parts: &ForestParts) -> String {
        let ForestParts { n_features, fraction_bits, subsample_size, normaliser, .. } = parts;
        let ForestParts { tree_ends, left, splits, leaf_values, .. } = parts;
        format!(
            "ForestParts {{ n_features: {n_features}, fraction_bits: {fraction_bits}, \
             subsample_size: {subsample_size}, normaliser: {normaliser:?}, \
             tree_ends: {tree_ends:?}, left: {left:?}, splits: {splits:?}, \
             leaf_values: {leaf_values:?} }}"
        )
    }
    const FIRST_DIGESTS: [u64; 2] = [3_176_333_037_806_812_499, 16_329_771_255_932_652_989];

    /// Where each of a tree's own rows ends: number of rows by node.
    fn rows_by_leaf(forest: &Forest, sample: &ForestSample, tree: usize) -> Vec<usize> {
        let parts = forest.parts();
        let range = forest.tree(tree);
        let values = sample.rows.values().unwrap();
        let mut counts = vec![0; range.len()];
        for &row in &sample.trees[tree].rows {
            let x = |f: u16| values[row as usize * sample.n_features + usize::from(f)];
            let mut node = 0;
            while parts.left[range.start + node] != 0 {
                let at = range.start + node;
                let right = match &parts.splits {
                    Splits::Axis(splits) => x(splits[at].feature) > splits[at].threshold,
                    Splits::Extended(splits) => {
                        let terms = splits.terms_of(at).iter();
                        let sum: i64 =
                            terms.map(|t| i64::from(t.weight) * i64::from(x(t.feature))).sum();
                        sum > splits.thresholds[at]
                    }
                };
                node = parts.left[at] as usize + usize::from(right);
            }
            counts[node] += 1;
        }
        counts
    }

    #[test]
    fn every_leaf_holds_rows_and_is_worth_its_depth_and_what_they_would_still_take() {
        let block = l1_block(2000, 2);
        for level in [0, 1, 7, 56] {
            let sample = sample(&config(10, 200, level), "l1-57", &block);
            let forest = sample.grow(&|| ()).unwrap();
            assert!(forest.describe().max_depth <= 8);
            for tree in 0..10 {
                let counts = rows_by_leaf(&forest, &sample, tree);
                let nodes = forest.tree(tree).zip(forest.depths(tree)).zip(counts);
                for ((node, depth), k) in nodes {
                    if forest.parts().left[node] != 0 {
                        continue;
                    }
                    assert!(k > 0, "level {level}, tree {tree}, node {node} is empty");
                    let path_length = f64::from(depth) + average_path_length(k as u64);
                    assert_eq!(
                        forest.parts().leaf_values[node],
                        Metric::Depth.leaf_value(path_length, 4)
                    );
                }
            }
        }
    }

    #[test]
    fn without_a_limit_the_mean_depth_is_the_average_path_length() {
        // Rows 0…63 of one feature: trees are random binary search trees, whose mean leaf depth
        // is c(64) = 7.488, with a variance per tree below 7 − 2π²/3 = 0.42 (that of quicksort).
        // The mean of 1000 trees has a standard deviation of 0.0205; 0.13 is more than six.
        let config = ForestConfig { max_depth: Some(64), ..config(1000, 64, 0) };
        let forest = grow(&config, "met.pt", &met_block(0..64));
        let description = forest.describe();
        assert_eq!(description.n_leaves, 64_000);
        assert!((description.mean_depth - average_path_length(64)).abs() < 0.13, "{description:?}");
    }

    #[test]
    fn extended_splits_have_as_many_components_as_asked_and_use_constant_features_last() {
        let block = l1_block(500, 3);
        let forest = grow(&config(10, 100, 2), "met.pt, zero, met.phi, zero, jet.n", &block);
        let Splits::Extended(splits) = &forest.parts().splits else { panic!("it is extended") };
        for node in (0..forest.parts().left.len()).filter(|&n| forest.parts().left[n] != 0) {
            let terms = splits.terms_of(node);
            assert!(terms.len() == 3 || (terms.len() == 1 && terms[0].weight == 1), "{terms:?}");
        }
        assert!(
            splits.terms_of(0).iter().all(|term| term.feature % 2 == 0),
            "at the root all vary"
        );
    }

    #[test]
    fn features_are_chosen_in_proportion_to_their_range() {
        // met.pt and met.phi of ten rows: 0 to 300 and 0 to 99. The root takes the first with
        // probability 300 / 399 = 0.7519; of 2000 trees 1504 ± 19.3, and 6 of these is 116.
        use scout40_replay::event::{Column, ColumnSet};
        let mut block = Block::new(ColumnSet::EMPTY.with(Column::MetPt).with(Column::MetPhi));
        block.get_mut::<u32>(Column::Orbit).resize(4, 1);
        block.get_mut::<i16>(Column::Bx).extend([1, 2, 3, 4]);
        block.get_mut::<i16>(Column::MetPt).extend([0, 300, 1, 2]);
        block.get_mut::<i16>(Column::MetPhi).extend([5, 5, 0, 99]);
        for collection in scout40_replay::event::Collection::OBJECTS {
            block.get_mut::<u8>(collection.count_column().unwrap()).resize(4, 0);
        }
        block.index_objects().unwrap();
        let config = ForestConfig { n_trees: 2000, ..Variant::Rrcf.config() };
        let forest = grow(&config, "met.pt, met.phi, zero", &block);
        let Splits::Axis(splits) = &forest.parts().splits else { panic!("it is axis-parallel") };
        let roots = (0..2000).map(|tree| splits[forest.tree(tree).start].feature);
        let n_first = roots.filter(|&feature| feature == 0).count();
        assert!((1504 - 116..=1504 + 116).contains(&n_first), "{n_first}");
        assert!(splits.iter().all(|split| split.feature < 2), "constants are never split on");
    }

    #[test]
    fn every_kind_of_forest_finds_an_outlier_and_stays_within_its_range() {
        // One row of 400 is far outside. The metric for comparison only need not find it, nor do
        // volumes where splits are put between rows: the gap beside the crowd is split evenly.
        let mut block = met_block(0..400);
        block.get_mut::<i16>(scout40_replay::event::Column::MetPt)[7] = 4000;
        for config in all_kinds() {
            let config = ForestConfig { n_trees: 50, subsample_size: 400, ..config };
            // Two features, the second of which is constant.
            let forest = grow(&config, "met.pt, zero", &block);
            let walk = ForestWalk::new(&forest);
            let mut rows = RowBuffer::new(2);
            rows.set_len(4);
            rows.column_mut(0)[..4].copy_from_slice(&[200, 4000, i16::MIN, i16::MAX]);
            let mut out = [0; 4];
            walk.score(rows.rows(), &mut walk.scratch(), &mut out);
            let (least, most) = walk.range();
            assert!(out.iter().all(|score| (least..=most).contains(score)), "{config:?}");
            assert!(out.iter().all(|&score| walk.display(score).is_finite()), "{config:?}");
            let is_blind = match config.metric {
                Metric::BoxedDensity => true,
                Metric::BoxedRatio => matches!(config.rule, SplitRule::Gain { .. }),
                _ => false,
            };
            if !is_blind {
                assert!(out[1] > out[0], "{config:?} {out:?}");
            }
        }
    }

    #[test]
    fn ranges_make_what_lies_far_outside_stranger_still() {
        let config = |penalize_range| ForestConfig { penalize_range, ..ForestConfig::default() };
        let scores = |forest: &Forest| {
            let walk = ForestWalk::new(forest);
            let mut rows = RowBuffer::new(1);
            rows.set_len(2);
            rows.column_mut(0)[..2].copy_from_slice(&[255, 30_000]);
            let mut out = [0; 2];
            walk.score(rows.rows(), &mut walk.scratch(), &mut out);
            out
        };
        let [without, with] =
            [false, true].map(|on| grow(&config(on), "met.pt", &met_block(0..256)));
        assert_eq!(without.parts().left, with.parts().left);
        let [plain, penalised] = [&without, &with].map(scores);
        assert_eq!(plain[0], plain[1], "the same leaves: those of the largest value, 255");
        assert_eq!(plain[0], penalised[0], "255 is within the range of every node");
        // 30 000 is outside the range of every node that it meets, none of which reaches beyond
        // 254 + 255: one for each node above its leaf, the last of its tree that is all right.
        let depth = |tree: usize| {
            let left = &with.parts().left[with.tree(tree)];
            let mut node = 0;
            while left[node] != 0 {
                node = left[node] as usize + 1;
            }
            with.depths(tree)[node] as i32
        };
        assert_eq!(penalised[1] - plain[1], 16 * (0..100).map(depth).sum::<i32>());
    }

    #[test]
    fn few_rows_and_constant_columns_make_a_forest_of_every_kind() {
        for config in all_kinds() {
            for n_rows in [2, 3, 5] {
                let forest = grow(&config, "zero, met.pt, jet.n", &met_block(0..n_rows));
                assert_eq!(forest.parts().subsample_size, n_rows as u32, "{config:?}");
                // Random hyperplanes take as many features as asked, constant ones last.
                let fills_up = config.rule == SplitRule::Uniform && config.extension_level > 0;
                // Rows that are evenly spaced are equally sparse: nothing to cut.
                let is_even = matches!(config.rule, SplitRule::Histogram { .. });
                let expected = if is_even { 3 } else { 2 };
                assert!(fills_up || forest.describe().n_unused_features == expected, "{config:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_trained_on_is_refused_by_every_kind() {
        for config in all_kinds() {
            for n_rows in [0, 1] {
                let error = ForestSample::draw(&config, &spec("met.pt, zero"), n_rows).unwrap_err();
                assert!(error.to_string().contains("number of training rows"), "{error}");
            }
            let mut constant = ForestSample::draw(&config, &spec("jet.n, zero"), 9).unwrap();
            constant.collect(&met_block(0..9)).unwrap();
            assert!(matches!(constant.grow(&|| ()), Err(Error::Constant { .. })), "{config:?}");
        }
    }

    #[test]
    fn trees_whose_own_rows_are_all_equal_are_single_leaves() {
        // One row of 100 is different: only one in 25 trees of 4 rows sees it, and has three nodes.
        let mut block = met_block(0..100);
        block.get_mut::<i16>(scout40_replay::event::Column::MetPt).fill(3);
        block.get_mut::<i16>(scout40_replay::event::Column::MetPt)[50] = 4;
        for config in all_kinds() {
            let config = ForestConfig { subsample_size: 4, n_trees: 300, ..config };
            let forest = grow(&config, "met.pt, zero", &block);
            assert!(forest.describe().n_nodes < 400, "{config:?}");
        }
    }

    #[test]
    fn extreme_values_fit_or_are_refused() {
        let mut block = met_block(0..64);
        for (k, x) in
            block.get_mut::<i16>(scout40_replay::event::Column::MetPt).iter_mut().enumerate()
        {
            *x = if k % 2 == 0 { i16::MIN + (k / 2) as i16 } else { i16::MAX - (k / 2) as i16 };
        }
        for config in all_kinds() {
            let deep = ForestConfig { max_depth: Some(UNLIMITED_DEPTH), ..config.clone() };
            grow(&deep, "met.pt, zero", &block);
            let wide = ForestConfig { n_trees: 400, fraction_bits: Some(24), ..deep };
            match sample(&wide, "met.pt, zero", &block).grow(&|| ()) {
                Ok(forest) => {
                    // Products are limited to what fits. Densities may be near 0 on average.
                    assert!(!wide.metric.takes_range_penalty(), "{wide:?}");
                    assert!(forest.range().0 > i32::MIN + 1, "{wide:?}");
                }
                Err(error) => {
                    assert!(error.to_string().contains("fewer fractional bits"), "{error}");
                    assert_ne!(wide.metric, Metric::AdjDensity);
                }
            }
        }
    }

    #[test]
    fn an_outlier_scores_higher_than_the_crowd() {
        let mut block = met_block(0..400);
        block.get_mut::<i16>(scout40_replay::event::Column::MetPt)[7] = 4000;
        for text in ["met.pt, zero", "met.pt, jet.n"] {
            let forest = grow(&config(100, 256, 0), text, &block);
            let walk = ForestWalk::new(&forest);
            let mut rows = RowBuffer::new(2);
            rows.set_len(2);
            rows.column_mut(0)[..2].copy_from_slice(&[200, 4000]);
            let mut out = [0; 2];
            walk.score(rows.rows(), &mut walk.scratch(), &mut out);
            let [crowd, outlier] = out.map(|score| walk.display(score));
            assert!(crowd < 0.5 && outlier > 0.6, "{crowd} {outlier}");
        }
    }

    #[test]
    fn fewer_rows_than_asked_for_are_all_used() {
        let forest = grow(&config(3, 256, 0), "met.pt, zero", &met_block(0..5));
        assert_eq!(forest.parts().subsample_size, 5);
        assert!((forest.parts().normaliser - average_path_length(5)).abs() < 1e-12);
        assert_eq!(forest.describe().max_depth, 3);
        assert_eq!(forest.describe().n_unused_features, 1, "constants are never split on");
    }

    #[test]
    fn rows_that_cannot_be_split_are_refused() {
        let refuse = |n_rows| ForestSample::draw(&config(3, 256, 0), &spec("met.pt"), n_rows);
        assert!(refuse(0).unwrap_err().to_string().contains("expected at least 2, found 0"));
        assert!(refuse(1).unwrap_err().to_string().contains("expected at least 2, found 1"));
        let mut constant = ForestSample::draw(&config(3, 4, 0), &spec("jet.n"), 9).unwrap();
        constant.collect(&met_block(0..9)).unwrap();
        assert!(matches!(constant.grow(&|| ()), Err(Error::Constant { .. })));
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let refusal = |change: fn(&mut ForestConfig)| {
            let mut config = ForestConfig::default();
            change(&mut config);
            config.check(&spec("l1-57"), 1 << 40).unwrap_err().to_string()
        };
        assert!(refusal(|c| c.n_trees = 0).contains("number of trees"));
        assert!(refusal(|c| c.subsample_size = 1).contains("subsample size"));
        assert!(refusal(|c| c.subsample_size = 1 << 33).contains("times subsample size"));
        assert!(refusal(|c| c.max_depth = Some(0)).contains("largest depth"));
        assert!(refusal(|c| c.extension_level = 57).contains("number of features, 57"));
        assert!(refusal(|c| c.fraction_bits = Some(25)).contains("fractional bits"));
        let gain = |tries| SplitRule::Gain { criterion: Gain::Average, tries };
        let histogram = |max_buckets, epsilon| SplitRule::Histogram { max_buckets, epsilon };
        for (rule, words) in [
            (gain(0), "hyperplanes to try: expected 1 to 1000, found 0"),
            (gain(1001), "found 1001"),
            (histogram(1, 0.1), "ranges of a cut: expected 2 to 1000, found 1"),
            (histogram(3, -0.1), "found -0.1"),
            (histogram(3, f64::NAN), "found NaN"),
            (histogram(3, f64::INFINITY), "found inf"),
        ] {
            let config = ForestConfig { rule, ..ForestConfig::default() };
            let error = config.check(&spec("l1-57"), 9).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        for rule in [SplitRule::ByRange, histogram(3, 0.1)] {
            let config = ForestConfig { rule, extension_level: 1, ..ForestConfig::default() };
            let error = config.check(&spec("l1-57"), 9).unwrap_err().to_string();
            assert!(error.contains("expected 0, found 1"), "{error}");
        }
        let penalised = |c: &mut ForestConfig| {
            (c.penalize_range, c.metric) = (true, Metric::Density);
        };
        assert!(refusal(penalised).contains("expected depth or adj_depth, found density"));
    }

    #[test]
    fn scores_that_would_not_fit_are_refused() {
        let config = ForestConfig { fraction_bits: Some(24), ..config(100, 16, 0) };
        let error = sample(&config, "met.pt", &met_block(0..50)).grow(&|| ()).unwrap_err();
        assert!(error.to_string().contains("fewer fractional bits"), "{error}");
    }

    #[test]
    fn progress_is_told_once_per_tree() {
        let done = AtomicUsize::new(0);
        let sample = sample(&config(37, 16, 0), "met.pt", &met_block(0..50));
        let on_tree_done = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        sample.grow(&on_tree_done).unwrap();
        assert_eq!(done.into_inner(), 37);
    }
}
