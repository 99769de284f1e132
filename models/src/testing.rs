//! What several test modules share: a small generator, Level-1-like blocks, random forests.

use scout40_replay::event::{Block, Collection, Column, ColumnSet, Dtype, Element, Group};

use crate::forest::score::Metric;
use crate::forest::{AxisSplit, ExtendedSplits, Forest, ForestParts, Splits, Term};
use crate::rows::RowBuffer;
use crate::scorer::Score;

/// SplitMix64: enough randomness for tests, without a dependency.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn within(&mut self, min: i64, max: i64) -> i64 {
        min + self.below((max - min + 1) as u64) as i64
    }

    /// An integer that is often at the edge of what 16 bits hold.
    pub(crate) fn extreme(&mut self) -> i16 {
        match self.below(8) {
            0 => i16::MIN,
            1 => i16::MAX,
            2 => 0,
            3 => -1,
            _ => self.next() as i16,
        }
    }
}

/// Valid events with every column: few soft objects, steeply falling pT, sometimes many.
pub(crate) fn l1_block(n_events: usize, rng_seed: u64) -> Block {
    let mut random = Random(rng_seed);
    let mut block = Block::new(ColumnSet::ALL);
    for event in 0..n_events as u32 {
        block.get_mut::<u32>(Column::Orbit).push(event / 3564);
        block.get_mut::<i16>(Column::Bx).push((event % 3564) as i16 + 1);
    }
    for collection in Collection::OBJECTS {
        let most = collection.capacity() as u64 + 1;
        for _ in 0..n_events {
            let n = if random.below(20) == 0 { random.below(most) } else { random.below(4) };
            block.get_mut::<u8>(collection.count_column().unwrap()).push(n as u8);
        }
    }
    let mut of_further = Random(!rng_seed);
    for collection in Collection::FURTHER {
        let count = collection.count_column().unwrap();
        for _ in 0..n_events {
            let most = if of_further.below(20) == 0 { 21 } else { 4 };
            block.get_mut::<i16>(count).push(of_further.below(most) as i16);
        }
    }
    block.index_objects().unwrap();
    let counts = ColumnSet::skeleton().union(Group::FurtherCounts.columns());
    for column in ColumnSet::ALL.minus(counts).iter() {
        fill_column(&mut block, column, &mut random);
    }
    sort_by_pt(&mut block);
    block.check().unwrap();
    block
}

fn fill_column(block: &mut Block, column: Column, random: &mut Random) {
    let spec = column.spec();
    let n = block.n_entries(spec.collection);
    let (min, max) = spec.range.unwrap_or((0, 100));
    let mut draw = || {
        let value = random.within(min, max);
        if spec.name.ends_with("pt") { value >> random.below(12) } else { value }
    };
    match spec.dtype {
        Dtype::U8 => block.get_mut::<u8>(column).extend((0..n).map(|_| draw() as u8)),
        Dtype::I16 => block.get_mut::<i16>(column).extend((0..n).map(|_| draw() as i16)),
        Dtype::U32 => block.get_mut::<u32>(column).extend((0..n).map(|_| draw() as u32)),
        Dtype::I32 => block.get_mut::<i32>(column).extend((0..n).map(|_| draw() as i32)),
        Dtype::U64 => block.get_mut::<u64>(column).extend((0..n).map(|_| draw() as u64)),
        Dtype::I64 => block.get_mut::<i64>(column).extend((0..n).map(|_| draw())),
        Dtype::F32 => block.get_mut::<f32>(column).extend((0..n).map(|_| draw() as f32)),
        Dtype::F64 => block.get_mut::<f64>(column).extend((0..n).map(|_| draw() as f64)),
    }
}

fn sort_by_pt(block: &mut Block) {
    for collection in Collection::ALL_OBJECTS {
        match collection.kinematics().map(|[pt, ..]| (pt, pt.spec().dtype)) {
            Some((pt, Dtype::I16)) => sort_each::<i16>(block, collection, pt),
            Some((pt, _)) => sort_each::<i32>(block, collection, pt),
            None => {}
        }
    }
}

fn sort_each<T: Element + Ord>(block: &mut Block, collection: Collection, pt: Column) {
    let offsets = block.offsets(collection).to_vec();
    let pt = block.get_mut::<T>(pt);
    for pair in offsets.windows(2) {
        pt[pair[0] as usize..pair[1] as usize].sort_by(|a, b| b.cmp(a));
    }
}

/// One split of two features, leaves of path length 2 (left) and 1, four fractional bits.
pub(crate) fn stump() -> Forest {
    let splits = [(1, -5), (0, 0), (0, 0)];
    let splits = splits.map(|(feature, threshold)| AxisSplit { feature, threshold });
    Forest::new(ForestParts {
        n_features: 2,
        fraction_bits: 4,
        subsample_size: 3,
        metric: Metric::Depth,
        normaliser: 5.0 / 3.0,
        tree_ends: vec![3],
        left: vec![1, 0, 0],
        splits: Splits::Axis(splits.to_vec()),
        leaf_values: vec![0, 32, 16],
        ranges: None,
    })
    .unwrap()
}

/// Three trees that are nothing but a leaf.
pub(crate) fn single_leaves() -> Forest {
    let mut parts = stump().parts().clone();
    parts.tree_ends = vec![1, 2, 3];
    parts.left = vec![0; 3];
    parts.splits = Splits::Axis(vec![AxisSplit::default(); 3]);
    parts.leaf_values = vec![7, 0, 40];
    Forest::new(parts).unwrap()
}

/// A tree in which every right child is split again, `depth` times.
pub(crate) fn deepest_tree(depth: i16) -> Forest {
    let mut parts = stump().parts().clone();
    let mut splits = vec![AxisSplit { feature: 0, threshold: i16::MIN }];
    (parts.left, parts.leaf_values) = (vec![1], vec![0]);
    for level in 1..=depth {
        let last = level == depth;
        parts.left.extend([0, if last { 0 } else { 2 * u32::from(level as u16) + 1 }]);
        parts.leaf_values.extend([i32::from(level) * 16, if last { 99 } else { 0 }]);
        let threshold = (i32::from(i16::MIN) + 20 * i32::from(level)) as i16;
        let split = AxisSplit { feature: (level % 2) as u16, threshold };
        splits.extend([AxisSplit::default(), if last { AxisSplit::default() } else { split }]);
    }
    parts.tree_ends = vec![parts.left.len() as u32];
    parts.splits = Splits::Axis(splits);
    Forest::new(parts).unwrap()
}

/// Random trees with random leaf values and thresholds that are often extreme.
pub(crate) fn random_forest(
    random: &mut Random,
    n_trees: usize,
    n_features: usize,
    max_depth: u32,
    extended: bool,
) -> Forest {
    let mut parts = stump().parts().clone();
    parts.n_features = n_features as u32;
    parts.tree_ends.clear();
    (parts.left, parts.leaf_values) = (vec![], vec![]);
    let (mut axis, mut oblique) = (vec![], ExtendedSplits::default());
    for _ in 0..n_trees {
        let mut depths = std::collections::VecDeque::from([0]);
        let mut next_child = 1;
        while let Some(depth) = depths.pop_front() {
            let is_leaf = depth == max_depth || (depth > 0 && random.below(4) == 0);
            if is_leaf {
                parts.left.push(0);
                parts.leaf_values.push(random.below(300) as i32);
                axis.push(AxisSplit::default());
                oblique.thresholds.push(0);
            } else {
                parts.left.push(next_child);
                parts.leaf_values.push(0);
                next_child += 2;
                depths.extend([depth + 1, depth + 1]);
                let feature = random.below(n_features as u64) as u16;
                axis.push(AxisSplit { feature, threshold: random.extreme() });
                let features: std::collections::BTreeSet<u16> =
                    (0..5).map(|_| random.below(n_features as u64) as u16).collect();
                let weight = |random: &mut Random| match random.extreme() {
                    0 => 1,
                    weight => weight,
                };
                let terms = features.iter().map(|&f| Term { feature: f, weight: weight(random) });
                oblique.terms.extend(terms);
                oblique.thresholds.push(random.within(-(1 << 30), 1 << 30));
            }
            oblique.term_ends.push(oblique.terms.len() as u32);
        }
        parts.tree_ends.push(parts.left.len() as u32);
    }
    parts.splits = if extended { Splits::Extended(oblique) } else { Splits::Axis(axis) };
    Forest::new(parts).unwrap()
}

/// The score of one event by recursion: nothing but the definition.
pub(crate) fn naive_score(forest: &Forest, rows: &RowBuffer, event: usize) -> Score {
    fn path(forest: &Forest, root: usize, node: usize, x: &dyn Fn(u16) -> i16) -> i32 {
        let parts = forest.parts();
        let left = parts.left[node] as usize;
        if left == 0 {
            return parts.leaf_values[node];
        }
        let (value, threshold) = match &parts.splits {
            Splits::Axis(splits) => {
                (i64::from(x(splits[node].feature)), i64::from(splits[node].threshold))
            }
            Splits::Extended(splits) => {
                let product = |t: &Term| i64::from(t.weight) * i64::from(x(t.feature));
                (splits.terms_of(node).iter().map(product).sum(), splits.thresholds[node])
            }
        };
        let outside = parts.ranges.as_ref().is_some_and(|ranges| !ranges[node].contains(value));
        let penalty = i32::from(outside) << parts.fraction_bits;
        let right = value > threshold;
        path(forest, root, root + left + usize::from(right), x) - penalty
    }
    let x = |feature: u16| rows.rows().column(usize::from(feature))[event];
    let of_tree = |tree| {
        let root = forest.tree(tree).start;
        path(forest, root, root, &x)
    };
    let sum: i64 = (0..forest.n_trees()).map(|tree| i64::from(of_tree(tree))).sum();
    Score::try_from(-sum).unwrap()
}

/// Some events of a block as a block of their own.
#[cfg(feature = "train")]
pub(crate) fn part_of(block: &Block, range: std::ops::Range<usize>) -> Block {
    let mut part = Block::new(block.columns());
    range.for_each(|event| part.push_event(block, event));
    part
}

/// Events with nothing but a missing transverse energy, which takes these values in turn.
#[cfg(feature = "train")]
pub(crate) fn met_block(values: std::ops::Range<i16>) -> Block {
    let mut block = Block::new(ColumnSet::EMPTY.with(Column::MetPt));
    let n = values.len();
    block.get_mut::<u32>(Column::Orbit).resize(n, 1);
    block.get_mut::<i16>(Column::Bx).extend(1..=n as i16);
    block.get_mut::<i16>(Column::MetPt).extend(values);
    for collection in Collection::OBJECTS {
        block.get_mut::<u8>(collection.count_column().unwrap()).resize(n, 0);
    }
    block.index_objects().unwrap();
    block.check().unwrap();
    block
}
