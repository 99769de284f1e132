//! Several models score one stream: each decides as it does alone, and what their lines accept together
//! and alone is what the accepted events say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::Desk;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::source::{Delivery, FileSource, Source};
use scout40_studies::overlap::Overlaps;
use serde_json::Value;

const STREAM: &str = "fixtures/streams/SVJ.s40 --inject fixtures/streams/Ato4l.s40@0.2 --rate max";
const FOREST: &str = "--model fixtures/models/forest.model";
const AUTOENCODER: &str = "--model fixtures/models/autoencoder.model";

const LINES: [[&str; 4]; 5] = [
    ["forest_loose", "forest", "0.45", "1"],
    ["L1_AXO_VLoose", "v5", "400", "1"],
    ["L1_AXO_VTight", "v5", "\"raw:30000\"", "1"],
    ["ae", "autoencoder", "0.1", "2"],
    ["forest_tight", "forest", "0.6", "1"],
];

fn menu(lines: &[[&str; 4]]) -> String {
    let line = |[name, model, threshold, prescale]: &[&str; 4]| {
        format!(
            "[[line]]\nname = \"{name}\"\nkind = \"score\"\nmodel = \"{model}\"\n\
             threshold = {threshold}\nprescale = {prescale}\n"
        )
    };
    lines.iter().map(line).collect()
}

/// A folder with the synthetic network of the trigger's form as `v5.model`, and the menu.
fn desk() -> Desk {
    let desk = Desk::new();
    let outcome = desk.done("import axol1tl fixtures/reference/hls/AXOL1TL_v5 -o v5.model");
    for words in ["AXOL1TL v5", "weights ap_fixed<", "proven equal", "folder = AXOL1TL_v5"] {
        assert!(outcome.stdout.contains(words), "no `{words}` in\n{}", outcome.stdout);
    }
    desk.write("menu.toml", menu(&LINES));
    desk
}

fn summary(desk: &Desk, folder: &str) -> Value {
    serde_json::from_slice(&desk.bytes(&format!("{folder}/summary.json"))).unwrap()
}

fn accepted_of<'a>(summary: &'a Value, line: &str) -> &'a Value {
    let lines = summary["lines"].as_array().unwrap();
    lines.iter().find(|of| of["name"] == line).unwrap_or_else(|| panic!("no line {line}"))
}

/// Overlaps of the background events of `accepted.s40`, by the decisions that they carry.
fn recounted(desk: &Desk, folder: &str, n_lines: usize) -> Overlaps {
    let path = desk.path(&format!("{folder}/accepted.s40"));
    let mut source = FileSource::open(&path).unwrap();
    let wanted = ColumnSet::EMPTY.with(Column::Lines).with(Column::TruthProcess);
    let (mut overlaps, mut block) = (Overlaps::new(n_lines), Block::default());
    while source.next_block(wanted, &mut block).unwrap() == Delivery::Block {
        let process = block.get::<u8>(Column::TruthProcess);
        for (&lines, _) in
            block.get::<u64>(Column::Lines).iter().zip(process).filter(|(_, p)| **p == 0)
        {
            overlaps.add_event(lines);
        }
    }
    overlaps
}

#[test]
fn models_decide_together_as_each_does_alone_for_any_number_of_threads() {
    let desk = desk();
    let all = format!("run {STREAM} {FOREST} --model v5.model {AUTOENCODER} --menu menu.toml");
    let table = desk.done(&format!("{all} --workers 1 --out one")).stdout;
    desk.done(&format!("{all} --workers 3 --batch-size 64 --out three"));
    assert_eq!(desk.bytes("one/accepted.s40"), desk.bytes("three/accepted.s40"));
    let together = summary(&desk, "one");
    assert_eq!(together["models"].as_array().unwrap().len(), 3);
    assert_eq!(together["models"][1]["features"], "axol1tl");
    for (model, option) in
        [("forest", FOREST), ("v5", "--model v5.model"), ("autoencoder", AUTOENCODER)]
    {
        let own: Vec<[&str; 4]> = LINES.iter().copied().filter(|line| line[1] == model).collect();
        desk.write("own.toml", menu(&own));
        desk.done(&format!("run {STREAM} {option} --menu own.toml --out {model}"));
        let alone = summary(&desk, model);
        for [line, ..] in &own {
            let (a, b) = (accepted_of(&together, line), accepted_of(&alone, line));
            for key in ["selected", "accepted", "accepted_signal", "threshold_raw", "rate_khz"] {
                assert_eq!(a[key], b[key], "{line} {key}");
            }
            assert_eq!(a["model"], model);
            assert!(a["accepted"].as_u64().unwrap() > 0, "{line} accepts nothing");
        }
        let scores = |folder: &str, name: &str| desk.bytes(&format!("{folder}/{name}"));
        assert_eq!(scores(model, "scores.csv"), scores("one", &format!("scores-{model}.csv")));
    }
    for words in ["v5: v5.model (axol1tl, fixed-point network on", "score of v5 >= 400.0", "pure"] {
        assert!(table.contains(words), "no `{words}` in\n{table}");
    }
}

#[test]
fn overlaps_are_those_of_the_accepted_events() {
    let desk = desk();
    let models = format!("{FOREST} --model v5.model {AUTOENCODER}");
    desk.done(&format!("run {STREAM} {models} --menu menu.toml --workers 2 --out o"));
    let summary = summary(&desk, "o");
    let expected = recounted(&desk, "o", LINES.len());
    assert!(expected.any() > 100);
    let lines = summary["lines"].as_array().unwrap();
    let csv = String::from_utf8(desk.bytes("o/rates.csv")).unwrap();
    for (k, line) in lines.iter().enumerate() {
        assert_eq!(line["pure"], expected.pure(k), "{line}");
        let of_line = |row: &&str| {
            row.starts_with("interval,") && row.split(',').nth(3) == line["name"].as_str()
        };
        let pure = csv.lines().filter(of_line).map(|row| row.split(',').nth(9).unwrap());
        assert_eq!(pure.map(|n| n.parse::<u64>().unwrap()).sum::<u64>(), expected.pure(k));
    }
    let overlaps = summary["overlaps"].as_array().unwrap();
    assert_eq!(overlaps.len(), 10);
    let number = |name: &Value| LINES.iter().position(|line| name == line[0]).unwrap();
    for overlap in overlaps {
        let (a, b) = (number(&overlap["lines"][0]), number(&overlap["lines"][1]));
        assert_eq!(overlap["both"], expected.both(a, b), "{overlap}");
    }
    let tight = accepted_of(&summary, "forest_tight")["accepted"].as_u64().unwrap();
    assert_eq!(expected.both(0, 4), tight, "a tighter threshold accepts a part");
}

#[test]
fn target_rates_are_calibrated_for_each_model() {
    let desk = desk();
    let zero_bias = "--calibrate fixtures/streams/zero-bias.s40";
    let models = format!("{FOREST} --model v5.model");
    desk.done(&format!("run {STREAM} {models} --target-rate 300kHz {zero_bias} --out o"));
    let summary = summary(&desk, "o");
    for (k, name) in ["forest", "v5"].into_iter().enumerate() {
        let (line, calibration) = (&summary["lines"][k], &summary["calibrations"][k]);
        assert_eq!(line["name"], format!("{name} rate<=300kHz"));
        assert_eq!(calibration["model"], name);
        assert_eq!(line["threshold_raw"], calibration["threshold"]);
        assert!(calibration["rate_khz"].as_f64().unwrap() <= 300.0);
    }
}

#[test]
fn lines_without_a_model_of_several_are_refused() {
    let desk = desk();
    let models = format!("{FOREST} --model v5.model");
    for (text, code, said) in [
        (
            menu(&[["a", "absent", "1", "1"]]),
            1,
            "expected a model among `forest`, `v5`, found `absent`",
        ),
        (menu(&LINES[..1]).replace("model = \"forest\"\n", ""), 1, "expected `model = ...`"),
        (
            "[[line]]\nname = \"c\"\nkind = \"cut\"\nmodel = \"v5\"\nrequire = []".into(),
            1,
            "neither",
        ),
    ] {
        desk.write("bad.toml", text);
        let outcome = desk.run(&format!("run {STREAM} {models} --menu bad.toml --out o"));
        let outcome = outcome.expect(code);
        assert!(outcome.stderr.contains(said), "no `{said}` in\n{}", outcome.stderr);
        assert!(!desk.path("o").exists());
    }
    let outcome = desk.run(&format!("run {STREAM} {models} --threshold 1 --out o")).expect(2);
    assert!(outcome.stderr.contains("one model with `--threshold`"), "{}", outcome.stderr);
    let twice = format!("run {STREAM} {FOREST} {FOREST} --target-rate 300kHz");
    desk.done(&format!("{twice} --calibrate fixtures/streams/zero-bias.s40 --out o"));
    assert_eq!(summary(&desk, "o")["models"][1]["name"], "forest-2");
}
