//! Forests of scikit-learn, from a small JSON that a few lines of Python write.
//!
//! ```text
//! {"library": "scikit-learn", "version": "1.9.1", "n_features": 57, "sample_size": 256,
//!  "settings": {"n_estimators": 100, ...},                            as get_params() has them
//!  "trees": [{"feature":   [3, -2, -2],      of the whole row; not looked at in leaves
//!             "threshold": [17.5, -2, -2],   left iff x <= threshold; likewise
//!             "left":      [1, -1, -1],      -1 in leaves
//!             "right":     [2, -1, -1],
//!             "n_samples": [256, 200, 56]},  rows of the sample that came by
//!            ...]}
//! ```
//!
//! These are the arrays of `estimator.tree_`, one entry per node; where the estimators see
//! subsets of the features (`max_features`), `feature` has been translated to the whole row.
//! `sample_size` is `max_samples_`. A leaf is worth its depth + c(rows), and the score is
//! `-score_samples`: `2^(−E[h]/c(sample_size))`.
//!
//! scikit-learn compares rows as 32-bit floats, which hold all 16-bit integers.
//!
//! **Source**: scikit-learn 1.9.1, `sklearn/ensemble/_iforest.py`; Liu, Ting, Zhou, "Isolation
//! Forest", ICDM 2008, equations 1 and 2.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Builder, Imported, Reporter, Scale, SourceNode, SourceTree};
use crate::error::Result;
use crate::forest::score::Metric;

const REPORTER: Reporter = Reporter {
    library: "scikit-learn",
    hint: "write the file again as `scout40 import sklearn --help` shows",
};

/// The Euler–Mascheroni constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// The arrays of a tree.
#[derive(Deserialize)]
struct RawTree {
    feature: Vec<i64>,
    threshold: Vec<f64>,
    left: Vec<i64>,
    right: Vec<i64>,
    n_samples: Vec<u64>,
}

/// Reads a forest that scikit-learn trained.
///
/// `fraction_bits`: of the score; `None` takes as many as fit, at least 16.
///
/// # Errors
/// What is wrong, or cannot be represented, and where.
pub fn read(text: &str, fraction_bits: Option<u32>) -> Result<Imported> {
    let document = REPORTER.document(text)?;
    let mut builder = Builder::new(REPORTER, document.n_features);
    builder.adds_depth = true;
    for (number, tree) in document.trees.iter().enumerate() {
        builder.add_tree(&read_tree(number, tree)?)?;
    }
    let subsample_size = document.sample_size;
    let normaliser = average_path_length(u64::from(subsample_size));
    let scale = Scale { subsample_size, metric: Metric::Depth, normaliser };
    let forest = builder.finish(fraction_bits, scale)?;
    let (settings, rng_seed) = document.provenance();
    let library = format!("{} {}", document.library, document.version);
    Ok(Imported { forest, library, settings, rng_seed })
}

/// c(n) as scikit-learn has it: the harmonic number by its logarithm.
fn average_path_length(n: u64) -> f64 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let less = n as f64 - 1.0;
            2.0 * (less.ln() + EULER_GAMMA) - 2.0 * less / n as f64
        }
    }
}

fn read_tree(number: usize, text: &RawValue) -> Result<SourceTree> {
    let place = format!("tree {number}");
    let raw: RawTree = serde_json::from_str(text.get())
        .map_err(|e| REPORTER.in_text(&place, "five lists of numbers", &e))?;
    let n = raw.left.len();
    let lengths = [
        ("feature", raw.feature.len()),
        ("threshold", raw.threshold.len()),
        ("right", raw.right.len()),
        ("n_samples", raw.n_samples.len()),
    ];
    if let Some((name, length)) = lengths.into_iter().find(|&(_, length)| length != n) {
        let expected = format!("{n} entries in `{name}`, as in `left`");
        return Err(REPORTER.error(&place, &expected, length));
    }
    (0..n).map(|node| read_node(number, node, &raw)).collect()
}

fn read_node(tree: usize, node: usize, raw: &RawTree) -> Result<SourceNode> {
    let (left, right) = (raw.left[node], raw.right[node]);
    if (left, right) == (-1, -1) {
        return Ok(SourceNode::Leaf { value: average_path_length(raw.n_samples[node]) });
    }
    let number = |name: &str, found: i64| {
        u64::try_from(found).map_err(|_| {
            let expected = format!("0 or more as `{name}` (both children -1 make a leaf)");
            REPORTER.in_node(tree, node as u64, &expected, found)
        })
    };
    // No feature beyond u32 exists; which ones do is checked with the whole tree.
    let feature = u32::try_from(number("feature", raw.feature[node])?).unwrap_or(u32::MAX);
    let (left, right) = (number("left", left)?, number("right", right)?);
    let range = (f64::NEG_INFINITY, f64::INFINITY);
    Ok(SourceNode::Split { feature, threshold: raw.threshold[node], left, right, range })
}
