//! Forests that other libraries trained, taken over so that they score as there.
//!
//! Each library has a file that reads its JSON into trees: nodes in any order, real
//! thresholds, `x <= t` to the left. What follows is common to all:
//!
//! 1. The nodes are found to be a tree: every node but the root has exactly one parent.
//! 2. Rows are integers of 16 bits, so `x <= t` is `x <= floor(t)`, exactly. Where floor(t) lies
//!    beyond what x can be, all rows go one way: such a split is left out, or, where leaving its
//!    range is penalised, turned so that all go left.
//! 3. Nodes are laid out breadth first, as [`Forest`] wants them.
//! 4. Leaf values are rounded to as many fractional bits as the sum over trees leaves room for.
//!
//! The JSON is read piece by piece (document, tree, node), so that what is wrong is named with
//! its place, and memory stays in proportion to the file. Nothing here recurses.
//!
//! Normals of several features are not taken over: see [`isotree`].

pub mod isotree;
pub mod sklearn;

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::score::{MAX_FRACTION_BITS, Metric};
use super::{AxisSplit, Forest, ForestParts, SplitRange, Splits};
use crate::error::{Error, Result, legible};
use crate::features::MAX_FEATURES;

/// Fewest fractional bits that are chosen without being asked for: a leaf is then off by 8e-6 at
/// most, and a normalised score of trees of 256 rows by 5e-7.
const MIN_FRACTION_BITS: u32 = 16;
/// Most rows per tree that are believed: c(n) is summed term by term.
const MAX_SAMPLE_SIZE: u32 = 1 << 24;
/// One below the largest i32, as in [`Forest::new`].
const LARGEST_SUM: f64 = (i32::MAX - 1) as f64;

/// Characters of a document that an error repeats.
const MAX_SHOWN: usize = 200;

/// What a document says, fit for an error: no control characters, not without end.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => legible(&text[..end]) + "...",
        None => legible(text),
    }
}

/// A forest that was taken over, and what its file says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The forest.
    pub forest: Forest,
    /// Name and version of the library.
    pub library: String,
    /// The settings it was trained with, by name.
    pub settings: Vec<(String, String)>,
    /// The seed of its training, where it is a number.
    pub rng_seed: Option<u64>,
}

/// What is common to the JSON of all libraries.
#[derive(Deserialize)]
struct Document<'a> {
    library: String,
    version: String,
    n_features: u32,
    sample_size: u32,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(borrow)]
    trees: Vec<&'a RawValue>,
}

/// Where errors are.
#[derive(Clone, Copy)]
struct Reporter {
    library: &'static str,
    /// What to do if the document as a whole is not one.
    hint: &'static str,
}

/// A node of a library's tree.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SourceNode {
    Leaf {
        /// What [`Metric::leaf_value`] takes, or what is added to the depth to give it.
        value: f64,
    },
    Split {
        feature: u32,
        /// Left iff the feature is at most this.
        threshold: f64,
        left: u64,
        right: u64,
        /// Outside of what the feature is penalised; all of it where nothing is.
        range: (f64, f64),
    },
}

/// The nodes of a library's tree, the root first.
type SourceTree = Vec<SourceNode>;

impl Reporter {
    fn error(self, place: &str, expected: &str, found: impl ToString) -> Error {
        self.error_with_hint(place, expected, found, self.hint)
    }

    fn error_with_hint(
        self,
        place: &str,
        expected: &str,
        found: impl ToString,
        hint: &'static str,
    ) -> Error {
        let (place, expected) = (shown(place), expected.to_owned());
        let found = shown(&found.to_string());
        Error::Import { library: self.library, place, expected, found, hint }
    }

    fn in_node(self, tree: usize, node: u64, expected: &str, found: impl ToString) -> Error {
        self.error(&format!("tree {tree}, node {node}"), expected, found)
    }

    /// An error of JSON that is a part of the document: lines and columns count from its begin.
    fn in_text(self, place: &str, expected: &str, error: &serde_json::Error) -> Error {
        self.error(place, expected, format!("{error} of its text"))
    }

    /// Reads the document and checks what holds for every library.
    fn document(self, text: &str) -> Result<Document<'_>> {
        let document: Document<'_> = serde_json::from_str(text)
            .map_err(|e| self.error("document", "the JSON that `--help` describes", e))?;
        if document.library != self.library {
            let expected = format!("\"{}\"", self.library);
            return Err(self.error("library", &expected, format!("{:?}", document.library)));
        }
        if !(1..=MAX_FEATURES as u32).contains(&document.n_features) {
            let expected = format!("1 to {MAX_FEATURES}");
            return Err(self.error("n_features", &expected, document.n_features));
        }
        if !(2..=MAX_SAMPLE_SIZE).contains(&document.sample_size) {
            let expected = format!("2 to {MAX_SAMPLE_SIZE} rows per tree");
            return Err(self.error("sample_size", &expected, document.sample_size));
        }
        if document.trees.is_empty() {
            return Err(self.error("trees", "one tree or more", "none"));
        }
        Ok(document)
    }
}

impl Document<'_> {
    /// The settings that were made, as text, and the seed.
    fn provenance(&self) -> (Vec<(String, String)>, Option<u64>) {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let made = self.settings.iter().filter(|(_, value)| !value.is_null());
        let settings = made.map(|(name, value)| (name.clone(), text(value)));
        let seed = ["random_seed", "random_state"].iter().find_map(|&name| self.settings.get(name));
        (settings.collect(), seed.and_then(Value::as_u64))
    }
}

/// A forest in the making: all of it but the rounding of leaf values.
struct Builder {
    reporter: Reporter,
    n_features: u32,
    /// Whether a leaf is worth its depth in addition to its value.
    adds_depth: bool,
    /// Whether nodes have ranges that matter.
    is_penalised: bool,
    /// Sum over trees of the most that one adds to a score or takes from it.
    bound: f64,
    tree_ends: Vec<u32>,
    left: Vec<u32>,
    splits: Vec<AxisSplit>,
    ranges: Vec<SplitRange>,
    values: Vec<f64>,
}

impl Builder {
    fn new(reporter: Reporter, n_features: u32) -> Builder {
        Builder {
            reporter,
            n_features,
            adds_depth: false,
            is_penalised: false,
            bound: 0.0,
            tree_ends: vec![],
            left: vec![],
            splits: vec![],
            ranges: vec![],
            values: vec![],
        }
    }

    /// Checks a tree and appends its nodes, breadth first.
    fn add_tree(&mut self, tree: &SourceTree) -> Result<()> {
        let number = self.tree_ends.len();
        let depths = self.check(number, tree)?;
        // What is left out may be skipped only where it does nothing but send rows on.
        let from = |place: u64| match self.is_penalised {
            true => place as usize,
            false => past_constant_splits(tree, place as usize),
        };
        let (mut next_child, mut most) = (1, 0.0_f64);
        let mut queue = VecDeque::from([from(0)]);
        while let Some(place) = queue.pop_front() {
            let depth = f64::from(depths[place]);
            let (left, split, range, value) = match tree[place] {
                SourceNode::Leaf { value } => {
                    let value = if self.adds_depth { depth + value } else { value };
                    most = most.max(value.abs() + if self.is_penalised { depth } else { 0.0 });
                    (0, AxisSplit::default(), SplitRange::default(), value)
                }
                SourceNode::Split { feature, threshold, left, right, range } => {
                    let (threshold, is_turned) = whole_threshold(threshold);
                    let children = if is_turned { [right, left] } else { [left, right] };
                    queue.extend(children.map(from));
                    next_child += 2;
                    let split = AxisSplit { feature: feature as u16, threshold };
                    (next_child - 2, split, whole_range(range), 0.0)
                }
            };
            self.left.push(left);
            self.splits.push(split);
            self.ranges.push(range);
            self.values.push(value);
        }
        self.bound += most;
        match u32::try_from(self.left.len()) {
            Ok(end) => self.tree_ends.push(end),
            Err(_) => {
                let expected = format!("at most {} nodes in all trees", u32::MAX);
                return Err(self.reporter.error("trees", &expected, self.left.len()));
            }
        }
        Ok(())
    }

    /// Checks that the nodes are a tree of finite numbers. **Returns** the nodes above each.
    fn check(&self, number: usize, tree: &SourceTree) -> Result<Vec<u32>> {
        const UNSEEN: u32 = u32::MAX;
        let n = tree.len();
        if n == 0 || n >= UNSEEN as usize {
            let place = format!("tree {number}");
            return Err(self.reporter.error(&place, &format!("1 to {} nodes", UNSEEN - 1), n));
        }
        let mut depths = vec![UNSEEN; n];
        depths[0] = 0;
        let mut stack = vec![0];
        while let Some(place) = stack.pop() {
            let wrong = |expected: &str, found: String| {
                Err(self.reporter.in_node(number, place as u64, expected, found))
            };
            match tree[place] {
                SourceNode::Leaf { value } if !value.is_finite() => {
                    return wrong("a finite value of the leaf", value.to_string());
                }
                SourceNode::Leaf { .. } => {}
                SourceNode::Split { threshold, .. } if !threshold.is_finite() => {
                    return wrong("a finite threshold", threshold.to_string());
                }
                SourceNode::Split { feature, .. } if feature >= self.n_features => {
                    let expected = format!("a feature from 0 to {}", self.n_features - 1);
                    return wrong(&expected, feature.to_string());
                }
                SourceNode::Split { left, right, .. } => {
                    for child in [left, right] {
                        if child >= n as u64 {
                            let expected = format!("a child from 1 to {}", n - 1);
                            return wrong(&expected, child.to_string());
                        }
                        if depths[child as usize] != UNSEEN {
                            let found = format!("child {child}, which has one already");
                            return wrong("children that have no other parent", found);
                        }
                        depths[child as usize] = depths[place] + 1;
                        stack.push(child as usize);
                    }
                }
            }
        }
        match depths.iter().position(|&depth| depth == UNSEEN) {
            None => Ok(depths),
            Some(orphan) => Err(self.reporter.in_node(
                number,
                orphan as u64,
                "a parent",
                "none: no path leads there",
            )),
        }
    }

    /// The forest, its leaf values rounded to so many fractional bits, or to as many as fit.
    fn finish(self, fraction_bits: Option<u32>, scale: Scale) -> Result<Forest> {
        let fraction_bits = self.check_fraction_bits(fraction_bits)?;
        let value = |(&left, &value): (&u32, &f64)| match left {
            0 => scale.metric.leaf_value(value, fraction_bits),
            _ => 0,
        };
        let leaf_values = self.left.iter().zip(&self.values).map(value).collect();
        Forest::new(ForestParts {
            n_features: self.n_features,
            fraction_bits,
            subsample_size: scale.subsample_size,
            metric: scale.metric,
            normaliser: scale.normaliser,
            tree_ends: self.tree_ends,
            left: self.left,
            splits: Splits::Axis(self.splits),
            leaf_values,
            ranges: self.is_penalised.then_some(self.ranges),
        })
    }

    /// The fractional bits that were asked for, or the most with which no sum over some trees can
    /// overflow, whatever the signs of leaves.
    fn check_fraction_bits(&self, wanted: Option<u32>) -> Result<u32> {
        let sum = self.bound;
        // Rounding may add half a unit per tree.
        let room = LARGEST_SUM - self.tree_ends.len() as f64;
        let range = wanted.map_or(MIN_FRACTION_BITS..=MAX_FRACTION_BITS, |bits| bits..=bits);
        let least = (*range.start()).min(MAX_FRACTION_BITS);
        let fits = |&bits: &u32| bits <= MAX_FRACTION_BITS && sum * f64::from(1 << bits) <= room;
        range.rev().find(fits).ok_or_else(|| {
            let most = room / f64::from(1 << least);
            let expected = format!(
                "fractional bits up to {MAX_FRACTION_BITS}, and largest leaf values of all trees \
                 that sum up to {most:.1} at most to leave room for {least} of them"
            );
            let found = match wanted {
                Some(bits) => format!("{bits} bits, {sum:.1}"),
                None => format!("{sum:.1}"),
            };
            let hint = "`--fraction-bits N` with a smaller N makes room and loses precision";
            self.reporter.error_with_hint("trees", &expected, found, hint)
        })
    }
}

/// What turns sums of leaf values into what the library shows.
struct Scale {
    subsample_size: u32,
    metric: Metric,
    normaliser: f64,
}

/// floor(t) as an integer of 16 bits, and whether the children change sides: where all rows go
/// right, they go left instead, at a threshold that none exceeds.
fn whole_threshold(threshold: f64) -> (i16, bool) {
    let whole = threshold.floor();
    match whole < f64::from(i16::MIN) {
        true => (i16::MAX, true),
        // Beyond the largest, the largest: the conversion saturates.
        false => (whole as i16, false),
    }
}

/// The integers in a range; if there are none, a range beyond what rows can hold.
fn whole_range((low, high): (f64, f64)) -> SplitRange {
    let (low, high) = (low.ceil() as i64, high.floor() as i64);
    if low <= high { SplitRange { low, high } } else { SplitRange { low: 1 << 20, high: 1 << 20 } }
}

/// The first node from `place` on that can send 16-bit integers both ways, or the leaf.
fn past_constant_splits(tree: &SourceTree, mut place: usize) -> usize {
    while let SourceNode::Split { threshold, left, right, .. } = tree[place] {
        let whole = threshold.floor();
        if whole >= f64::from(i16::MAX) {
            place = left as usize;
        } else if whole < f64::from(i16::MIN) {
            place = right as usize;
        } else {
            break;
        }
    }
    place
}
