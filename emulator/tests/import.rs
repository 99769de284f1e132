//! `scout40 import` through the real binary: what it writes, what it refuses, what it leaves.
//!
//! That imported forests score as in their libraries is tested where they are read (`models`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{Desk, fixture};
use scout40_models::Model;

const ISOTREE: &str = r#"{"library": "isotree", "version": "0.6.1", "n_features": 2,
    "sample_size": 4, "settings": {"scoring_metric": "depth", "random_seed": 7},
    "trees": [{"0": {"terminal": "no", "node_when_condition_is_met": 1,
    "node_when_condition_is_not_met": 2, "column": "column_1", "column_type": "numeric",
    "condition": "<=", "value": 40.5}, "1": {"terminal": "yes", "score": 2.5},
    "2": {"terminal": "yes", "score": 1.5}}]}"#;

const SKLEARN: &str = r#"{"library": "scikit-learn", "version": "1.9.1", "n_features": 2,
    "sample_size": 4, "settings": {}, "trees": [{"feature": [1, -1, -1],
    "threshold": [40.5, -2, -2], "left": [1, -1, -1], "right": [2, -1, -1],
    "n_samples": [4, 3, 1]}]}"#;

const OPTIONS: &str = "-o new.model --features met.pt,jet[0].pt";

/// A folder with both documents.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("isotree.json", ISOTREE);
    desk.write("sklearn.json", SKLEARN);
    desk
}

/// Runs a command that has to be refused with this code and these words, and to leave no file
/// but the documents.
fn refused(desk: &Desk, code: i32, words: &str, said: &[&str]) {
    let names = |desk: &Desk| {
        let entries = std::fs::read_dir(desk.path("")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names(desk);
    let outcome = desk.run(words).expect(code);
    for said in said {
        assert!(outcome.stderr.contains(said), "`{words}`: no `{said}` in\n{}", outcome.stderr);
    }
    assert_eq!(before, names(desk), "`{words}` left something behind");
}

#[test]
fn an_imported_model_is_shown_inspected_and_runs() {
    let desk = desk();
    for library in ["isotree", "sklearn"] {
        let outcome = desk.done(&format!(
            "import {library} {library}.json -o {library}.model --features met.pt,jet[0].pt"
        ));
        for words in
            ["1 trees, 3 nodes", "24 fractional bits", "library = ", "file = ", "file_xxh3"]
        {
            assert!(outcome.stdout.contains(words), "no `{words}` in\n{}", outcome.stdout);
        }
        let inspected = desk.done(&format!("inspect {library}.model")).stdout;
        assert!(outcome.stdout.ends_with(&inspected), "{inspected}");
        let good = "fixtures/pathological/good.s40";
        let options = format!("--model {library}.model --threshold 0.5 --rate max");
        desk.done(&format!("run {good} {options} --out {library}-run"));
    }
}

#[test]
fn provenance_names_the_library_the_file_its_checksum_and_the_settings() {
    let desk = desk();
    desk.done(&format!("import isotree isotree.json {OPTIONS}"));
    let model = Model::read(desk.path("new.model")).unwrap();
    assert_eq!(model.provenance().rng_seed, 7);
    let settings: Vec<(&str, &str)> =
        model.provenance().settings.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let digest = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(ISOTREE.as_bytes()));
    assert_eq!(
        settings[..3],
        [("library", "isotree 0.6.1"), ("file", "isotree.json"), ("file_xxh3", digest.as_str()),]
    );
    assert!(settings.contains(&("scoring_metric", "depth")));
}

#[test]
fn the_same_file_gives_the_same_model() {
    let desk = desk();
    desk.done(&format!("import sklearn sklearn.json {OPTIONS}"));
    let first = desk.bytes("new.model");
    desk.done(&format!("import sklearn sklearn.json {OPTIONS} --force"));
    assert_eq!(first, desk.bytes("new.model"));
}

#[test]
fn an_existing_model_is_overwritten_only_with_force_and_only_by_a_whole_one() {
    let desk = desk();
    desk.write("new.model", "precious");
    let command = format!("import isotree isotree.json {OPTIONS}");
    refused(&desk, 2, &command, &["`new.model` exists", "hint:", "--force"]);
    desk.write("bad.json", &ISOTREE[..ISOTREE.len() - 1]);
    let command = format!("import isotree bad.json {OPTIONS} --force");
    refused(&desk, 1, &command, &["while importing `bad.json`", "EOF", "hint:"]);
    assert_eq!(desk.bytes("new.model"), b"precious");
    desk.done(&format!("import isotree isotree.json {OPTIONS} --force"));
    assert!(desk.bytes("new.model").starts_with(b"S40MODEL"));
}

#[test]
fn requests_that_make_no_sense_are_usage_errors() {
    let desk = desk();
    refused(&desk, 2, "import", &["isotree", "sklearn"]);
    refused(&desk, 2, "import onnx isotree.json -o new.model", &["onnx"]);
    refused(&desk, 2, "import isotree isotree.json -o new.model", &["--features <SPEC>"]);
    refused(&desk, 2, "import isotree isotree.json --features l1-57", &["--output <M.model>"]);
    let command = "import isotree isotree.json -o new.model --features l2-57";
    refused(&desk, 2, command, &["feature specification `l2-57`"]);
    let command = format!("import isotree isotree.json {OPTIONS} --fraction-bits x");
    refused(&desk, 2, &command, &["--fraction-bits"]);
}

#[test]
fn files_that_are_no_forest_are_refused_with_a_hint_and_leave_nothing() {
    let desk = desk();
    desk.write("binary.json", [0xff, 0xfe, 0, 1]);
    desk.write("tree.json", ISOTREE.replace("\"column_1\"", "\"column_2\""));
    desk.write("list.json", "[{}]");
    let import = |name: &str| format!("import isotree {name} {OPTIONS}");
    refused(&desk, 1, &import("none.json"), &["`none.json`", "No such file"]);
    refused(&desk, 1, &import("binary.json"), &["UTF-8", "hint:", "export_model"]);
    refused(&desk, 1, &import("list.json"), &["document", "hint:", "import isotree --help"]);
    refused(&desk, 1, &import("sklearn.json"), &["library", "expected \"isotree\""]);
    refused(&desk, 1, &import("tree.json"), &["tree 0, node 0", "feature from 0 to 1, found 2"]);
    let wide = "import isotree isotree.json -o new.model --features l1-57";
    refused(&desk, 1, wide, &["2 features", "`l1-57` makes 57", "hint: `--features`"]);
    let bits = import("isotree.json") + " --fraction-bits 25";
    refused(&desk, 1, &bits, &["fractional bits up to 24", "25 bits", "hint:"]);
    let nowhere = import("isotree.json").replace("new.model", "no/new.model");
    refused(&desk, 1, &nowhere, &["no/new.model", "while writing"]);
}

#[test]
fn help_shows_how_python_writes_the_file() {
    let desk = Desk::new();
    for (library, words) in [("isotree", "model.to_json("), ("sklearn", "n_node_samples")] {
        let help = desk.done(&format!("import {library} --help")).stdout;
        assert!(help.contains(words) && help.contains("json.dump("), "{help}");
    }
}

#[test]
fn networks_of_fixed_point_numbers_are_imported_inspected_verified_and_run() {
    let desk = Desk::new();
    let folder = "fixtures/reference/hls";
    for (version, layer) in [(1, "36 of 84 weights"), (4, "relu of"), (5, "dot of")] {
        let name = format!("v{version}.model");
        let import = format!("import axol1tl {folder}/AXOL1TL_v{version} -o {name}");
        let shown = desk.done(&import).stdout;
        assert!(shown.contains(&format!("AXOL1TL v{version}")) && shown.contains(layer), "{shown}");
        let inspected = desk.done(&format!("inspect {name}")).stdout;
        assert!(shown.ends_with(&inspected), "{inspected}");
        assert_eq!(desk.done(&format!("verify {name}")).stdout, format!("{name}: whole\n"));
        let model = Model::read(desk.path(&name)).unwrap();
        assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap(), model);
        refused(&desk, 2, &import, &["exists"]);
        let run = "run fixtures/pathological/good.s40 --threshold 300 --rate max";
        desk.done(&format!("{run} --model {name} --out o{version}"));
    }
    let features = "--features met.pt,jet[0..5].(pt,eta,phi)";
    let shown =
        desk.done(&format!("import hls4ml {folder}/dense -o dense.model {features}")).stdout;
    assert!(shown.contains("hls4ml project") && shown.contains("proven equal"), "{shown}");
    desk.done(
        "run fixtures/pathological/good.s40 --threshold 3 --rate max --model dense.model --out o",
    );
    let narrow = format!("import hls4ml {folder}/dense -o x.model --features met.pt");
    refused(&desk, 1, &narrow, &["takes 16 inputs", "makes 1", "hint:"]);
    refused(&desk, 1, &format!("import axol1tl {folder} -o x.model"), &["AXOL1TL_v1", "name one"]);
    refused(&desk, 1, &format!("import axol1tl {folder}/dense -o x.model"), &["neither `NN`"]);
    let absent =
        ["absent: expected a folder, found nothing", "hint: the folder is what hls4ml wrote"];
    refused(&desk, 1, "import hls4ml absent -o x.model --features met.pt", &absent);
    refused(&desk, 1, "import axol1tl absent -o x.model", &absent);
}

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn projects_that_are_not_whole_are_refused_with_what_is_missing_and_what_to_do() {
    let desk = Desk::new();
    desk.write("file", "");
    let file = ["file: expected a folder, found a file", "hint: "];
    refused(&desk, 1, "import hls4ml file -o x.model --features met.pt", &file);
    // A project that is not whole, whatever is missing.
    for (kind, from, file) in [
        ("hls4ml", "dense", "firmware/parameters.h"),
        ("hls4ml", "dense", "firmware/defines.h"),
        ("axol1tl", "AXOL1TL_v5", "NN/parameters.h"),
        ("axol1tl", "AXOL1TL_v5", "scales.h"),
        ("axol1tl", "AXOL1TL_v5", "GTADModel_emulator_v5.cpp"),
    ] {
        let to = desk.path(&format!("{from}-without"));
        copy_folder(&fixture(&format!("reference/hls/{from}")), &to);
        std::fs::remove_file(to.join(file)).unwrap();
        let features = if kind == "hls4ml" { "--features met.pt" } else { "" };
        let words = format!("import {kind} {from}-without -o x.model {features}");
        let said = format!("expected a file `{file}`, found none of that name");
        refused(&desk, 1, &words, &[&said, "hint: the folder is what hls4ml wrote"]);
        std::fs::remove_dir_all(to).unwrap();
    }
}
