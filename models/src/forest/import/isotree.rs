//! Forests of isotree, from the JSON of its trees.
//!
//! A document holds what isotree's `to_json()` gives, and what a score needs besides:
//!
//! ```text
//! {"library": "isotree", "version": "0.6.1.post10", "n_features": 57, "sample_size": 256,
//!  "settings": {"scoring_metric": "depth", "ndim": 1, ...},           as get_params() has them
//!  "trees": [{"0": {"terminal": "no", "column": "column_3", "column_type": "numeric",
//!                   "condition": "<=", "value": 17.25, "node_when_condition_is_met": 1,
//!                   "node_when_condition_is_not_met": 2, ...},
//!             "1": {"terminal": "yes", "score": 9.5, ...}, ...}, ...]}
//! ```
//!
//! Leaves carry all that a tree adds to the score, in any of isotree's metrics. What isotree does with missing values and new categories
//! does not matter here: rows of integers have none.
//!
//! With `penalize_range`, splits carry `range_low` and `range_high` as well.
//!
//! Refused are normals of several columns, `ndim` > 1 (`to_json()` writes their coefficients with
//! six decimals, too few to send every event the same way), categorical columns, and penalties
//! where leaves are no path lengths.
//!
//! **Source**: isotree 0.6.1.post10, documentation of `to_json` and `predict`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Builder, Document, Imported, Reporter, Scale, SourceNode, SourceTree};
use crate::error::Result;
use crate::forest::score::{Metric, average_path_length};

const REPORTER: Reporter = Reporter {
    library: "isotree",
    hint: "write the file again as `scout40 import isotree --help` shows",
};

/// The nodes of a tree by name, not yet read.
struct RawTree<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A node as isotree writes it. Everything may be missing, so that what is missing can be named.
#[derive(Deserialize)]
struct RawNode<'a> {
    #[serde(borrow)]
    terminal: Option<Cow<'a, str>>,
    score: Option<f64>,
    node_when_condition_is_met: Option<u64>,
    node_when_condition_is_not_met: Option<u64>,
    #[serde(borrow)]
    column: Option<Cow<'a, str>>,
    #[serde(borrow)]
    column_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    condition: Option<Cow<'a, str>>,
    value: Option<Value>,
    #[serde(borrow)]
    combination: Option<&'a RawValue>,
    range_low: Option<f64>,
    range_high: Option<f64>,
}

/// What the settings say about all nodes.
#[derive(Clone, Copy)]
struct Settings {
    metric: Metric,
    is_penalised: bool,
}

/// Reads a forest that isotree trained.
///
/// `fraction_bits`: of the score; `None` takes as many as fit, at least 16.
///
/// # Errors
/// What is wrong, or cannot be represented, and where.
pub fn read(text: &str, fraction_bits: Option<u32>) -> Result<Imported> {
    let document = REPORTER.document(text)?;
    let settings = check_settings(&document)?;
    let mut builder = Builder::new(REPORTER, document.n_features);
    builder.is_penalised = settings.is_penalised;
    for (number, tree) in document.trees.iter().enumerate() {
        builder.add_tree(&read_tree(number, tree, settings)?)?;
    }
    let subsample_size = document.sample_size;
    let metric = settings.metric;
    let normaliser =
        if metric.is_normalised() { average_path_length(u64::from(subsample_size)) } else { 1.0 };
    let forest = builder.finish(fraction_bits, Scale { subsample_size, metric, normaliser })?;
    let (settings, rng_seed) = document.provenance();
    let library = format!("{} {}", document.library, document.version);
    Ok(Imported { forest, library, settings, rng_seed })
}

fn check_settings(document: &Document<'_>) -> Result<Settings> {
    let setting = |name: &str| document.settings.get(name).unwrap_or(&Value::Null);
    if setting("ndim").as_f64().is_some_and(|ndim| ndim > 1.0) {
        return Err(several_columns("settings, ndim", setting("ndim")));
    }
    let name = setting("scoring_metric").as_str().unwrap_or("none");
    let metric = Metric::from_name(name).ok_or_else(|| {
        let names = Metric::ALL.map(Metric::name).join(", ");
        REPORTER.error("settings, scoring_metric", &format!("one of {names}"), name)
    })?;
    let is_penalised = *setting("penalize_range") == Value::Bool(true);
    if is_penalised && !metric.takes_range_penalty() {
        return Err(REPORTER.error_with_hint(
            "settings, penalize_range",
            "a penalty with scoring_metric depth or adj_depth only",
            name,
            "train with `penalize_range=False`, or with one of these metrics",
        ));
    }
    Ok(Settings { metric, is_penalised })
}

fn several_columns(place: &str, found: impl ToString) -> crate::Error {
    REPORTER.error_with_hint(
        place,
        "1: isotree's JSON rounds the coefficients of several columns to six decimals, with which \
         some events would go other ways than in isotree",
        found,
        "train with `ndim=1`, or an extended forest here: `scout40 train forest \
         --extension-level 1`",
    )
}

fn read_tree(number: usize, text: &RawValue, settings: Settings) -> Result<SourceTree> {
    let RawTree(raw) = serde_json::from_str(text.get())
        .map_err(|e| REPORTER.in_text(&format!("tree {number}"), "nodes by number", &e))?;
    let mut nodes = vec![None; raw.len()];
    for (key, text) in &raw {
        let place = format!("tree {number}, node {key}");
        let slot = key.parse().ok().and_then(|node: usize| nodes.get_mut(node));
        let Some(slot) = slot else {
            let expected = format!("a node from 0 to {}", raw.len() - 1);
            return Err(REPORTER.error(&place, &expected, format!("{key:?}")));
        };
        if slot.is_some() {
            return Err(REPORTER.error(&place, "it once", "it twice"));
        }
        let node: RawNode<'_> = serde_json::from_str(text.get())
            .map_err(|e| REPORTER.in_text(&place, "a node as isotree writes it", &e))?;
        *slot = Some(read_node(&place, &node, settings)?);
    }
    // As many nodes as places, and none twice: all are there.
    Ok(nodes.into_iter().flatten().collect())
}

fn read_node(place: &str, node: &RawNode<'_>, settings: Settings) -> Result<SourceNode> {
    let missing = |what: &str| REPORTER.error(place, &format!("`{what}`"), "none");
    match node.terminal.as_deref() {
        Some("yes") => {
            let score = node.score.ok_or_else(|| missing("score"))?;
            // to_json() turns the sign of these two.
            let is_negated = matches!(settings.metric, Metric::Density | Metric::BoxedRatio);
            return Ok(SourceNode::Leaf { value: if is_negated { -score } else { score } });
        }
        Some("no") => {}
        Some(other) => return Err(REPORTER.error(place, "`terminal` yes or no", other)),
        None => return Err(missing("terminal")),
    }
    if node.combination.is_some() {
        return Err(several_columns(place, "a combination of columns"));
    }
    let range = match (settings.is_penalised, node.range_low, node.range_high) {
        (true, Some(low), Some(high)) => (low, high),
        (true, _, _) => return Err(missing("range_low` and `range_high")),
        (false, None, None) => (f64::NEG_INFINITY, f64::INFINITY),
        (false, _, _) => {
            let expected = "`penalize_range` true in the settings where nodes have ranges";
            return Err(REPORTER.error(place, expected, "a range without it"));
        }
    };
    let word = |what: &'static str, found: &Option<Cow<'_, str>>, expected: &str| match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(REPORTER.error(place, &format!("`{what}` {expected}"), found)),
        None => Err(missing(what)),
    };
    word("column_type", &node.column_type, "numeric")?;
    word("condition", &node.condition, "<=")?;
    let column = node.column.as_deref().ok_or_else(|| missing("column"))?;
    let feature = column.strip_prefix("column_").and_then(|number| number.parse().ok());
    let value = node.value.as_ref().ok_or_else(|| missing("value"))?;
    Ok(SourceNode::Split {
        feature: feature.ok_or_else(|| {
            let found = format!("{column:?}");
            REPORTER.error(place, "a column named column_0, column_1, ...", found)
        })?,
        threshold: value
            .as_f64()
            .ok_or_else(|| REPORTER.error(place, "a number as `value`", format!("{value}")))?,
        left: node
            .node_when_condition_is_met
            .ok_or_else(|| missing("node_when_condition_is_met"))?,
        right: node
            .node_when_condition_is_not_met
            .ok_or_else(|| missing("node_when_condition_is_not_met"))?,
        range,
    })
}

impl<'de> Deserialize<'de> for RawTree<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        /// Keeps names that come twice, which a map would not.
        struct Nodes;

        impl<'de> Visitor<'de> for Nodes {
            type Value = RawTree<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of nodes")
            }

            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<Self::Value, M::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = map.next_entry()? {
                    nodes.push(node);
                }
                Ok(RawTree(nodes))
            }
        }

        deserializer.deserialize_map(Nodes)
    }
}
