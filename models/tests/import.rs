//! Imported forests score as the libraries that trained them, and what is no forest is refused.
//!
//! `fixtures/reference/` holds forests of isotree and scikit-learn and what these give 10 240
//! rows; `make.py` there made them. The rows are made again here, by the same hash.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod rows;

use std::path::Path;

use scout40_models::file::Provenance;
use scout40_models::forest::Splits;
use scout40_models::forest::import::{Imported, isotree, sklearn};
use scout40_models::forest::score::Metric;
use scout40_models::{Error, FeatureSpec, MAX_BATCH, Model, RowBuffer};

use rows::{N_OBJECTS, object};

const N_ROWS: usize = 10_240;

type Read = fn(&str, Option<u32>) -> Result<Imported, Error>;

fn reference(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference");
    std::fs::read(folder.join(name)).unwrap()
}

fn reference_json(name: &str) -> String {
    let packed = reference(&format!("{name}.json.zst"));
    String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap()
}

fn reference_scores(name: &str) -> Vec<f64> {
    let bytes = reference(&format!("{name}.scores"));
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

fn batch(first_row: usize) -> RowBuffer {
    let mut rows = RowBuffer::new(3 * N_OBJECTS);
    rows.set_len(MAX_BATCH);
    for event in 0..MAX_BATCH {
        for k in 0..N_OBJECTS {
            for (part, value) in object(first_row + event, k).into_iter().enumerate() {
                rows.column_mut(3 * k + part)[event] = value;
            }
        }
    }
    rows
}

/// Scores of all rows as they are displayed.
fn displayed_scores(imported: Imported) -> Vec<f64> {
    let spec = FeatureSpec::parse("l1-57").unwrap();
    let scorer = Model::new(spec, imported.forest, Provenance::default()).unwrap().scorer();
    let mut scratch = scorer.scratch();
    let mut out = Vec::new();
    for first_row in (0..N_ROWS).step_by(MAX_BATCH) {
        let mut scores = [0; MAX_BATCH];
        scorer.score(batch(first_row).rows(), &mut scratch, &mut scores);
        out.extend(scores.map(|score| scorer.display(score)));
    }
    out
}

/// The largest difference to the library's scores.
fn largest_difference(name: &str, read: Read) -> f64 {
    let expected = reference_scores(name);
    assert_eq!(expected.len(), N_ROWS);
    let found = displayed_scores(read(&reference_json(name), None).unwrap());
    found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn isotree_forests_of_every_metric_score_as_isotree_predicts() {
    for metric in Metric::ALL {
        if metric == Metric::BoxedDensity {
            continue; // of no use, and not among the references
        }
        let difference = largest_difference(&format!("isotree-{}", metric.name()), isotree::read);
        assert!(difference < 1e-6, "{}: {difference:e}", metric.name());
    }
}

#[test]
fn isotree_forests_that_penalise_ranges_score_as_isotree_predicts() {
    let difference = largest_difference("isotree-penalized", isotree::read);
    assert!(difference < 1e-6, "{difference:e}");
}

#[test]
fn scikit_learn_forests_score_as_minus_score_samples() {
    for name in ["sklearn", "sklearn-subsets"] {
        let difference = largest_difference(name, sklearn::read);
        assert!(difference < 1e-6, "{name}: {difference:e}");
    }
}

#[test]
fn a_model_says_where_it_came_from() {
    let imported = isotree::read(&reference_json("isotree-depth"), None).unwrap();
    assert_eq!(imported.library, "isotree 0.6.1.post10");
    assert_eq!(imported.rng_seed, Some(1));
    assert!(imported.settings.contains(&("ntrees".into(), "20".into())));
    assert_eq!(imported.forest.n_trees(), 20);
    assert_eq!(imported.forest.parts().subsample_size, 256);
    let imported = sklearn::read(&reference_json("sklearn-subsets"), Some(4)).unwrap();
    assert_eq!(imported.library, "scikit-learn 1.9.1");
    assert_eq!(imported.rng_seed, Some(1));
    assert_eq!(imported.forest.parts().fraction_bits, 4);
}

// Small documents.

fn isotree_document(trees: &str) -> String {
    format!(
        r#"{{"library": "isotree", "version": "0.6.1", "n_features": 2, "sample_size": 4,
            "settings": {{"scoring_metric": "depth", "ndim": 1}}, "trees": {trees}}}"#
    )
}

fn isotree_split(threshold: &str, left: u32, right: u32) -> String {
    format!(
        r#"{{"terminal": "no", "node_when_condition_is_met": {left},
             "node_when_condition_is_not_met": {right}, "fraction_yes": 0.5, "column": "column_1",
             "column_type": "numeric", "condition": "<=", "value": {threshold}}}"#
    )
}

const LEAF: &str = r#"{"terminal": "yes", "score": 1.5, "leaf": 0}"#;

/// A root and two leaves of path lengths 1.5 (left) and 2.5.
fn isotree_stump(threshold: &str) -> String {
    let root = isotree_split(threshold, 1, 2);
    let right = LEAF.replace("1.5", "2.5");
    isotree_document(&format!(r#"[{{"0": {root}, "1": {LEAF}, "2": {right}}}]"#))
}

fn sklearn_document(tree: &str) -> String {
    format!(
        r#"{{"library": "scikit-learn", "version": "1.9.1", "n_features": 2, "sample_size": 4,
            "settings": {{"random_state": null}}, "trees": [{tree}]}}"#
    )
}

const SKLEARN_STUMP: &str = r#"{"feature": [1, -2, -2], "threshold": [0.5, -2, -2],
    "left": [1, -1, -1], "right": [2, -1, -1], "n_samples": [4, 3, 1]}"#;

fn refused(read: Read, text: &str, said: &[&str]) {
    let error = read(text, None).expect_err(text).to_string();
    for words in ["expected", "found", "\nhint: "].iter().chain(said) {
        assert!(error.contains(words), "expected `{words}` in\n{error}");
    }
}

fn refused_by_isotree(trees: &str, said: &[&str]) {
    refused(isotree::read, &isotree_document(trees), said);
}

#[test]
fn leaves_of_scikit_learn_are_worth_depth_and_c_of_their_rows() {
    let imported = sklearn::read(&sklearn_document(SKLEARN_STUMP), Some(16)).unwrap();
    let parts = imported.forest.parts();
    // c(3) with the logarithm: 2 (ln 2 + 0.577216) - 4/3 = 1.207392; c(4) = 1.851656.
    let expected = [0, (2.207_392 * 65536.0_f64) as i32, 65536];
    assert!(parts.leaf_values.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1));
    assert!((parts.normaliser - 1.851_656).abs() < 1e-6, "{}", parts.normaliser);
    assert_eq!(imported.rng_seed, None);
}

#[test]
fn real_thresholds_become_the_integers_below_them() {
    for (text, expected) in [
        ("3.999999", 3),
        ("4.0", 4),
        ("4", 4),
        ("-0.5", -1),
        ("-1.0", -1),
        ("32766.99", 32766),
        ("-32768.0", -32768),
        ("-32767.5", -32768),
    ] {
        let imported = isotree::read(&isotree_stump(text), None).unwrap();
        let Splits::Axis(splits) = &imported.forest.parts().splits else { panic!("axis-parallel") };
        assert_eq!((splits[0].feature, splits[0].threshold), (1, expected), "{text}");
    }
}

#[test]
fn splits_that_send_every_integer_one_way_are_left_out() {
    let unit = 1 << 24;
    for (text, expected) in [
        ("32767.0", unit + unit / 2),
        ("1e300", unit + unit / 2),
        ("-32768.5", 2 * unit + unit / 2),
        ("-1e9", 2 * unit + unit / 2),
    ] {
        let imported = isotree::read(&isotree_stump(text), None).unwrap();
        assert_eq!(imported.forest.parts().left, [0], "{text}");
        assert_eq!(imported.forest.parts().leaf_values, [expected], "{text}");
    }
    // One below another one, below a split that stays.
    let trees = format!(
        r#"[{{"0": {}, "1": {}, "2": {}, "3": {LEAF}, "4": {LEAF}, "5": {LEAF}, "6": {LEAF}}}]"#,
        isotree_split("0.5", 3, 1),
        isotree_split("40000", 2, 4),
        isotree_split("-40000", 5, 6),
    );
    let imported = isotree::read(&isotree_document(&trees), None).unwrap();
    assert_eq!(imported.forest.parts().left, [1, 0, 0]);
}

#[test]
fn splits_that_send_every_integer_one_way_keep_their_penalty() {
    let stump = |threshold: &str, range: &str| {
        let text = isotree_stump(threshold).replace(r#""ndim": 1"#, r#""penalize_range": true"#);
        let forest =
            isotree::read(&text.replace(r#""value""#, &format!(r#"{range}, "value""#)), Some(4));
        forest.unwrap().forest.parts().clone()
    };
    let range = r#""range_low": -2.5, "range_high": 7.5"#;
    for (threshold, whole, leaves) in [
        ("3.5", 3, [0, 24, 40]),
        ("32767.5", i16::MAX, [0, 24, 40]),
        // All go right, so they go left to what was right.
        ("-32768.5", i16::MAX, [0, 40, 24]),
    ] {
        let parts = stump(threshold, range);
        let Splits::Axis(splits) = &parts.splits else { panic!("axis-parallel") };
        assert_eq!((splits[0].threshold, parts.left), (whole, vec![1, 0, 0]), "{threshold}");
        assert_eq!(parts.leaf_values, leaves, "{threshold}");
        let range = parts.ranges.unwrap()[0];
        assert_eq!((range.low, range.high), (-2, 7), "{threshold}");
    }
    let none = stump("3.5", r#""range_low": 0.25, "range_high": 0.75"#).ranges.unwrap()[0];
    assert!((i16::MIN..=i16::MAX).all(|x| !none.contains(i64::from(x))));
}

#[test]
fn nodes_in_any_order_become_breadth_first() {
    let trees = format!(
        r#"[{{"6": {LEAF}, "0": {}, "5": {}, "1": {}, "2": {LEAF}, "4": {LEAF}, "3": {LEAF}}}]"#,
        isotree_split("1", 5, 1),
        isotree_split("2", 6, 4),
        isotree_split("3", 2, 3),
    );
    let imported = isotree::read(&isotree_document(&trees), None).unwrap();
    let parts = imported.forest.parts();
    assert_eq!(parts.left, [1, 3, 5, 0, 0, 0, 0]);
    let Splits::Axis(splits) = &parts.splits else { panic!("axis-parallel") };
    assert_eq!(splits[..3].iter().map(|s| s.threshold).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_tree_of_a_hundred_thousand_levels_is_read_without_recursion() {
    let levels = 100_000_i64;
    let list = |of: &dyn Fn(i64) -> i64| {
        let numbers: Vec<String> = (0..=2 * levels).map(|node| of(node).to_string()).collect();
        format!("[{}]", numbers.join(","))
    };
    // Even nodes but the last are split into the leaf and the split that follow them.
    let is_inner = |node: i64| node % 2 == 0 && node < 2 * levels;
    let tree = format!(
        r#"{{"feature": {}, "threshold": {}, "left": {}, "right": {}, "n_samples": {}}}"#,
        list(&|_| 0),
        list(&|node| node % 1000),
        list(&|node| if is_inner(node) { node + 1 } else { -1 }),
        list(&|node| if is_inner(node) { node + 2 } else { -1 }),
        list(&|_| 1),
    );
    // Its deepest leaf does not fit 16 fractional bits, so fewer are asked for.
    refused(sklearn::read, &sklearn_document(&tree), &["trees", "100000.0", "--fraction-bits"]);
    let imported = sklearn::read(&sklearn_document(&tree), Some(4)).unwrap();
    assert_eq!(imported.forest.describe().max_depth, 100_000);
}

#[test]
fn a_hundred_thousand_trees_are_read_if_their_sum_fits() {
    let trees = |leaf: &str| {
        let tree = format!(r#"{{"0": {}}}"#, LEAF.replace("1.5", leaf));
        isotree_document(&format!("[{}]", vec![tree; 100_000].join(",")))
    };
    assert_eq!(isotree::read(&trees("0.125"), None).unwrap().forest.n_trees(), 100_000);
    refused(isotree::read, &trees("1.5"), &["trees", "150000.0", "--fraction-bits"]);
}

#[test]
fn fraction_bits_are_as_many_as_the_sum_leaves_room_for_and_16_at_least() {
    let with_leaf = |value: &str, bits| {
        isotree::read(&isotree_stump("0.5").replace("2.5", value), bits)
            .map(|imported| imported.forest.parts().fraction_bits)
    };
    assert_eq!(with_leaf("2.5", None).unwrap(), 24);
    assert_eq!(with_leaf("200", None).unwrap(), 23);
    assert_eq!(with_leaf("-200", None).unwrap(), 23);
    assert_eq!(with_leaf("20000", None).unwrap(), 16);
    assert!(with_leaf("40000", None).unwrap_err().to_string().contains("--fraction-bits"));
    assert_eq!(with_leaf("40000", Some(15)).unwrap(), 15);
    assert!(with_leaf("200", Some(24)).unwrap_err().to_string().contains("24 bits, 200.0"));
    assert!(with_leaf("2.5", Some(25)).unwrap_err().to_string().contains("up to 24"));
    assert!(with_leaf("1e300", Some(0)).is_err());
}

#[test]
fn text_that_is_no_document_is_refused_with_its_line_and_column() {
    let whole = isotree_stump("0.5");
    for read in [isotree::read, sklearn::read] {
        refused(read, "", &["document", "EOF", "line 1 column 0"]);
        refused(read, "once upon a time", &["document", "line 1 column"]);
        refused(read, "[]", &["document", "import "]);
        refused(read, "{}", &["document", "missing field `library`"]);
        refused(read, &whole[..whole.len() - 1], &["document", "EOF", "line 4"]);
        refused(read, &format!("{whole}]"), &["document", "trailing characters"]);
        refused(read, &"[".repeat(1_000_000), &["document"]);
        refused(read, &format!(r#"{{"library": {}"#, "[".repeat(1_000_000)), &["document"]);
    }
    refused(isotree::read, &isotree_document(&"[".repeat(1_000_000)), &["document", "line 2"]);
    let nested = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    refused_by_isotree(&nested, &["tree 0:", "invalid type: sequence"]);
    refused_by_isotree(&format!(r#"[{{"0": {nested}}}]"#), &["tree 0, node 0:"]);
    refused(sklearn::read, &sklearn_document(&nested), &["tree 0:"]);
    refused(sklearn::read, &whole, &["library", "\"scikit-learn\"", "\"isotree\""]);
    refused(isotree::read, &sklearn_document(SKLEARN_STUMP), &["library", "\"isotree\""]);
}

#[test]
fn every_truncation_is_refused() {
    for (read, whole) in [
        (isotree::read as Read, isotree_stump("0.5")),
        (sklearn::read, sklearn_document(SKLEARN_STUMP)),
    ] {
        assert!(read(&whole, None).is_ok());
        (0..whole.len()).for_each(|n| refused(read, &whole[..n], &["document"]));
    }
}

#[test]
fn wrong_fields_of_the_document_are_refused() {
    let change = |from: &str, to: &str, said: &[&str]| {
        let whole = isotree_stump("0.5");
        assert!(whole.contains(from), "{from}");
        refused(isotree::read, &whole.replace(from, to), said);
    };
    change(r#""n_features": 2"#, r#""n_features": 1"#, &["tree 0, node 0", "feature from 0 to 0"]);
    change(r#""n_features": 2,"#, "", &["missing field `n_features`"]);
    change(r#""n_features": 2"#, r#""n_features": "2""#, &["invalid type", "line 1"]);
    change(r#""n_features": 2"#, r#""n_features": -2"#, &["invalid value", "line 1"]);
    change(r#""sample_size": 4"#, r#""sample_size": 1"#, &["sample_size", "2 to", "found 1"]);
    let hidden = r#""scoring_metric": "\u001b[2J""#;
    change(r#""scoring_metric": "depth""#, hidden, &["scoring_metric", r"found \u{1b}[2J"]);
    let absurd = r#""sample_size": 4294967295"#;
    change(r#""sample_size": 4"#, absurd, &["sample_size", "rows per tree", "4294967295"]);
    change(r#""sample_size": 4"#, r#""sample_size": 4e9"#, &["invalid type"]);
    change(r#""scoring_metric": "depth","#, "", &["scoring_metric", "boxed_ratio", "none"]);
    change(r#""depth""#, r#""deep""#, &["scoring_metric", "adj_density", "found deep"]);
    change(r#""ndim": 1"#, r#""ndim": 2"#, &["ndim", "six decimals", "--extension-level 1"]);
    change(
        r#""depth""#,
        r#""density", "penalize_range": true"#,
        &["depth or adj_depth only", "found density", "penalize_range=False"],
    );
    let penalised = r#""ndim": 1, "penalize_range": true"#;
    change(r#""ndim": 1"#, penalised, &["node 0", "`range_low` and `range_high`"]);
    refused_by_isotree("[]", &["trees", "one tree or more"]);
    refused_by_isotree("{}", &["document", "invalid type: map"]);
    for n in ["0", "100000"] {
        let said = ["n_features", "expected 1 to", &format!("found {n}")];
        change(r#""n_features": 2"#, &format!(r#""n_features": {n}"#), &said);
    }
}

#[test]
fn wrong_nodes_of_isotree_are_refused_with_their_place() {
    let second = |node: &str, said: &[&str]| {
        let root = isotree_split("0.5", 1, 2);
        let good = format!(r#"{{"0": {root}, "1": {LEAF}, "2": {LEAF}}}"#);
        let bad = format!(r#"{{"0": {root}, "1": {LEAF}, "2": {node}}}"#);
        refused_by_isotree(&format!("[{good}, {bad}]"), &[&["tree 1, node 2:"], said].concat());
    };
    let split = |from: &str, to: &str| isotree_split("0.5", 1, 2).replace(from, to);
    second("{}", &["`terminal`"]);
    second("[]", &["invalid length 0", "line 1 column 2 of its text"]);
    second("7", &["invalid type: integer `7`", "of its text"]);
    second(r#"{"terminal": "yes"}"#, &["`score`"]);
    second(r#"{"terminal": "maybe"}"#, &["yes or no, found maybe"]);
    second(r#"{"terminal": "yes", "score": "high"}"#, &["invalid type: string \"high\""]);
    second(r#"{"terminal": "yes", "score": null}"#, &["`score`"]);
    second(&split("column_1", "met"), &["column_0, column_1", "\"met\""]);
    second(&split("column_1", "column_-1"), &["column_0, column_1"]);
    second(&split("column_1", "column_2"), &["feature from 0 to 1, found 2"]);
    second(&split("column_1", "column_99999999999999999999"), &["column_0, column_1"]);
    second(&split("numeric", "categorical"), &["numeric, found categorical"]);
    second(&split("\"<=\"", "\"=\""), &["`condition` <=, found ="]);
    second(&split("\"condition\"", "\"other\""), &["`condition`, found none"]);
    second(&split("\"value\": 0.5", "\"value\": \"a\""), &["a number as `value`"]);
    second(&split("\"value\": 0.5", "\"x\": 0.5"), &["`value`, found none"]);
    second(&split("\"value\"", "\"range_low\": 0, \"value\""), &["`penalize_range` true"]);
    second(&split("\"column\"", "\"combination\": [], \"column\""), &["ndim=1"]);
    second(&split("node_when_condition_is_met", "left"), &["`node_when_condition_is_met`"]);
    second(&split("_is_not_met\": 2", "_is_not_met\": -2"), &["invalid value: integer `-2`"]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    // Python writes these words where JSON has none.
    for word in ["NaN", "Infinity", "-Infinity"] {
        refused(isotree::read, &isotree_stump(word), &["document", "line"]);
        let text = sklearn_document(&SKLEARN_STUMP.replace("0.5", word));
        refused(sklearn::read, &text, &["document", "line"]);
    }
    refused(isotree::read, &isotree_stump("1e999"), &["tree 0, node 0", "out of range"]);
    refused(isotree::read, &isotree_stump("0.5").replace("1.5", "-1e999"), &["out of range"]);
    let text = sklearn_document(&SKLEARN_STUMP.replace("0.5", "1e999"));
    refused(sklearn::read, &text, &["tree 0", "out of range"]);
}

#[test]
fn nodes_that_are_no_tree_are_refused() {
    let tree = |nodes: &[(&str, String)]| {
        let nodes: Vec<String> =
            nodes.iter().map(|(k, node)| format!(r#""{k}": {node}"#)).collect();
        format!("[{{{}}}]", nodes.join(","))
    };
    let (split, leaf) = (|left, right| isotree_split("0.5", left, right), || LEAF.to_owned());
    refused_by_isotree("[{}]", &["tree 0:", "found 0"]);
    refused_by_isotree(
        &tree(&[("0", split(0, 1)), ("1", leaf())]),
        &["tree 0, node 0", "no other parent", "child 0"],
    );
    refused_by_isotree(
        &tree(&[("0", split(1, 2)), ("1", leaf()), ("2", split(0, 1))]),
        &["tree 0, node 2", "no other parent"],
    );
    refused_by_isotree(
        &tree(&[("0", split(1, 1)), ("1", leaf())]),
        &["tree 0, node 0", "child 1, which has one already"],
    );
    refused_by_isotree(
        &tree(&[("0", split(1, 3)), ("1", leaf()), ("2", leaf())]),
        &["tree 0, node 0", "a child from 1 to 2, found 3"],
    );
    refused_by_isotree(
        &tree(&[("0", leaf()), ("1", leaf())]),
        &["tree 0, node 1", "a parent", "no path leads there"],
    );
    refused_by_isotree(
        &tree(&[("0", leaf()), ("2", leaf())]),
        &["tree 0, node 2", "a node from 0 to 1"],
    );
    refused_by_isotree(&tree(&[("0", leaf()), ("0", leaf())]), &["tree 0, node 0", "it twice"]);
    refused_by_isotree(&tree(&[("root", leaf())]), &["tree 0, node root", "\"root\""]);
    refused_by_isotree("[7]", &["tree 0:", "invalid type: integer `7`"]);
}

#[test]
fn wrong_lists_of_scikit_learn_are_refused_with_their_place() {
    let change = |from: &str, to: &str, said: &[&str]| {
        assert!(SKLEARN_STUMP.contains(from), "{from}");
        refused(sklearn::read, &sklearn_document(&SKLEARN_STUMP.replace(from, to)), said);
    };
    change(r#""feature": [1, -2, -2], "#, "", &["tree 0:", "missing field `feature`"]);
    change("[0.5, -2, -2]", "[0.5, -2]", &["tree 0:", "3 entries in `threshold`", "found 2"]);
    change("[0.5, -2, -2]", "[null, -2, -2]", &["tree 0:", "invalid type: null"]);
    change("[1, -2, -2]", "[2, -2, -2]", &["tree 0, node 0", "feature from 0 to 1, found 2"]);
    change("[1, -2, -2]", "[99999999999, -2, -2]", &["tree 0, node 0", "feature from 0 to 1"]);
    change("[1, -2, -2]", "[-2, -2, -2]", &["tree 0, node 0", "`feature`", "found -2"]);
    change("[1, -1, -1]", "[-1, -1, -1]", &["tree 0, node 0", "`left`", "found -1"]);
    change("[1, -1, -1]", "[2, -1, -1]", &["tree 0, node 0", "which has one already"]);
    change("[2, -1, -1]", "[7, -1, -1]", &["tree 0, node 0", "a child from 1 to 2, found 7"]);
    change("[4, 3, 1]", "[4, 3, -1]", &["tree 0:", "invalid value"]);
    refused(sklearn::read, &sklearn_document("[]"), &["tree 0:", "invalid"]);
    refused(sklearn::read, &sklearn_document(""), &["trees", "one tree or more"]);
}

#[test]
fn a_forest_of_another_width_than_the_features_is_refused() {
    let forest = sklearn::read(&sklearn_document(SKLEARN_STUMP), None).unwrap().forest;
    let spec = FeatureSpec::parse("l1-57").unwrap();
    let error = Model::new(spec, forest, Provenance::default()).unwrap_err().to_string();
    assert!(error.contains("expected 57 as in `l1-57`, found 2"), "{error}");
}
