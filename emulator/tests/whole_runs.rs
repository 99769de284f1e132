//! Whole runs of the real binary: the same accepted events whatever the threads, and every
//! crossing accounted for.
//!
//! Unpaced runs must be repeatable to the byte and lose nothing that the file still has; paced
//! runs must count what they lose. No test asserts how long anything takes: what depends on the
//! speed of the machine is asserted as an inequality that holds on any.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine;
use common::{Desk, Outcome, POLL, Running, WATCHDOG, fixture};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use parquet::file::reader::{FileReader, SerializedFileReader};
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::format::{Compression, StreamWriter};
use scout40_replay::lhc::CrossingId;
use scout40_replay::source::{Delivery, FileSource, Source};
use serde_json::Value;

const MODEL: &str = "--model fixtures/models/forest.model";
const SVJ: &str = "fixtures/streams/SVJ.s40";
const GOOD: &str = "fixtures/pathological/good.s40";
/// 50 colliding slots: one block of `good.s40` per orbit.
const FEW: &str = "--filling-scheme fixtures/pathological/50-bunches.toml";
/// Injection in both modes, so that truth and merged events are in every comparison.
const SIGNALS: &str = "--inject fixtures/streams/leptoquark.s40@0.02 \
                       --inject fixtures/streams/HToAATo4b.s40@0.05:overlay";
/// Lines of both kinds, with and without prescale.
const MENU: &str = "
[[line]]
name = \"AD_Tight\"
kind = \"score\"
threshold = 0.55

[[line]]
name = \"AD_Loose\"
kind = \"score\"
threshold = 0.48
prescale = 3

[[line]]
name = \"TwoJets\"
kind = \"cut\"
prescale = 7
require = [{ object = \"jet\", pt_gev = 60, count = 2 }]

[[line]]
name = \"Muon\"
kind = \"cut\"
require = [{ object = \"muon\", pt_gev = 15, eta_max = 2.1 }]
";

/// What a run wrote as `o/summary.json`; the folder is removed.
fn summary(desk: &Desk) -> Value {
    let summary = serde_json::from_slice(&desk.bytes("o/summary.json")).unwrap();
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    summary
}

/// Runs, checks the laws that hold for every run, and returns the summary; `o` stays.
fn run(desk: &Desk, words: &str) -> Value {
    check_outputs(desk, &desk.done(&format!("run {words} --out o")))
}

/// The laws that hold for every run that has ended well and written `o`; its summary.
fn check_outputs(desk: &Desk, outcome: &Outcome) -> Value {
    assert!(outcome.stdout.contains("corrupt holds"), "{}", outcome.stdout);
    let summary: Value = serde_json::from_slice(&desk.bytes("o/summary.json")).unwrap();
    check_conservation(&summary);
    check_rates(desk, &summary);
    check_scores(desk, &summary);
    check_latency_log(desk, &summary);
    check_accepted(desk, &summary);
    summary
}

fn n(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("expected a count, found {value}"))
}

fn check_conservation(summary: &Value) {
    let count = |name: &str| n(&summary["counts"][name]);
    let lost = count("dropped") + count("truncated") + count("corrupt");
    assert_eq!(count("read"), count("scored") + lost, "{}", summary["counts"]);
    let signals = summary["signals"].as_array().unwrap();
    let of_signal: u64 = signals.iter().map(|signal| n(&signal["scored"])).sum();
    assert_eq!(count("scored"), n(&summary["scored_background"]) + of_signal);
    for signal in signals {
        assert!(n(&signal["accepted"]) <= n(&signal["scored"]));
        assert!(n(&signal["scored"]) <= n(&signal["injected"]));
    }
}

/// Records of a CSV file whose fields hold no commas, by column name.
fn csv(desk: &Desk, name: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let text = String::from_utf8(desk.bytes(name)).unwrap();
    let split = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<String>>();
    let mut lines = text.lines().map(split);
    (lines.next().unwrap(), lines.collect())
}

/// Both kinds of span cover the whole run, once.
fn check_rates(desk: &Desk, summary: &Value) {
    let (header, rows) = csv(desk, "o/rates.csv");
    assert_eq!(header[..6], ["span", "run", "number", "line", "scored", "accepted"]);
    for line in summary["lines"].as_array().unwrap() {
        for span in ["interval", "lumi"] {
            let of_line = |row: &&Vec<String>| row[0] == span && row[3] == line["name"];
            let sum = |column: usize| -> u64 {
                rows.iter().filter(of_line).map(|row| row[column].parse::<u64>().unwrap()).sum()
            };
            assert_eq!(sum(4), n(&summary["scored_background"]), "{span} {}", line["name"]);
            assert_eq!(sum(5), n(&line["accepted"]), "{span} {}", line["name"]);
        }
    }
}

fn check_scores(desk: &Desk, summary: &Value) {
    if summary["model"].is_null() {
        assert!(!desk.path("o/scores.csv").exists());
        return;
    }
    let (header, rows) = csv(desk, "o/scores.csv");
    let sum =
        |column: usize| -> u64 { rows.iter().map(|r| r[column].parse::<u64>().unwrap()).sum() };
    assert_eq!(sum(2), n(&summary["scored_background"]));
    for (k, signal) in summary["signals"].as_array().unwrap().iter().enumerate() {
        assert_eq!(header[3 + k], signal["name"].as_str().unwrap());
        assert_eq!(sum(3 + k), n(&signal["scored"]));
    }
}

/// Every latency that the run knows has one entry per scored event.
fn check_latency_log(desk: &Desk, summary: &Value) {
    let text = desk.bytes("o/latency.hlog");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for entry in IntervalLogIterator::new(&text) {
        if let LogEntry::Interval(line) = entry.unwrap() {
            let base64 = base64::engine::general_purpose::STANDARD;
            let bytes = base64.decode(line.encoded_histogram()).unwrap();
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            *counts.entry(line.tag().unwrap().as_str().to_owned()).or_default() += histogram.len();
        }
    }
    let scored = n(&summary["counts"]["scored"]);
    let paced = summary["config"]["rate"] != "max";
    for (name, known) in [("total", paced), ("queueing", paced), ("service", true)] {
        let quantiles = &summary["latency_ns"][name];
        if !known || scored == 0 {
            assert!(quantiles.is_null() && !counts.contains_key(name), "{name}");
            continue;
        }
        assert_eq!(counts[name], scored, "{name}");
        assert_eq!(n(&quantiles["count"]), scored, "{name}");
        let of = ["p50", "p99", "p999", "max"].map(|key| n(&quantiles[key]));
        assert!(of.is_sorted(), "{name}: {of:?}");
    }
}

/// Events as `accepted.s40` has them.
#[derive(Debug, PartialEq)]
struct Accepted {
    id: CrossingId,
    score: i32,
    lines: u64,
    process: u8,
    event: u32,
}

fn blocks(path: &std::path::Path, mut each: impl FnMut(&Block)) -> u64 {
    let mut source = FileSource::open(path).unwrap();
    let mut block = Block::default();
    loop {
        match source.next_block(ColumnSet::ALL, &mut block).unwrap() {
            Delivery::Block => each(&block),
            Delivery::End => return source.info().index.as_ref().unwrap().digest,
            trouble => panic!("{}: {trouble}", path.display()),
        }
    }
}

fn accepted(desk: &Desk) -> Vec<Accepted> {
    let mut events = Vec::new();
    blocks(&desk.path("o/accepted.s40"), |block| {
        for i in 0..block.len() {
            events.push(Accepted {
                id: block.crossing_id(i),
                score: block.get::<i32>(Column::Score)[i],
                lines: block.get::<u64>(Column::Lines)[i],
                process: block.get::<u8>(Column::TruthProcess)[i],
                event: block.get::<u32>(Column::TruthEvent)[i],
            });
        }
    });
    events
}

/// The accepted events are whole, in order, and those that the summary counts.
fn check_accepted(desk: &Desk, summary: &Value) {
    desk.done("verify o/accepted.s40");
    let events = accepted(desk);
    assert!(events.is_sorted_by(|a, b| a.id < b.id), "in order, each crossing once");
    assert_eq!(events.len() as u64, n(&summary["counts"]["accepted"]));
    let lines = summary["lines"].as_array().unwrap();
    let of = |keep: &dyn Fn(&Accepted) -> bool| events.iter().filter(|e| keep(e)).count() as u64;
    for (k, line) in lines.iter().enumerate() {
        let bit = |event: &Accepted| event.lines >> k & 1 == 1;
        assert_eq!(of(&|e| bit(e) && e.process == 0), n(&line["accepted"]), "{line}");
        assert_eq!(of(&|e| bit(e) && e.process > 0), n(&line["accepted_signal"]), "{line}");
        if let Some(raw) = line["threshold_raw"].as_i64() {
            assert!(events.iter().all(|e| !bit(e) || i64::from(e.score) >= raw), "{line}");
            let prescaled = line["prescale"] != 1;
            assert!(prescaled || events.iter().all(|e| bit(e) == (i64::from(e.score) >= raw)));
        }
    }
    for (k, signal) in summary["signals"].as_array().unwrap().iter().enumerate() {
        assert_eq!(of(&|e| usize::from(e.process) == k + 1), n(&signal["accepted"]), "{signal}");
    }
    assert!(events.iter().all(|e| e.lines > 0 && e.lines >> lines.len() == 0));
}

// Determinism.

#[test]
fn unpaced_runs_of_an_autoencoder_accept_the_same_bytes_however_it_is_evaluated() {
    let desk = Desk::new();
    let words = format!(
        "{SVJ} --model fixtures/models/autoencoder.model --threshold 0.5 {SIGNALS} --rate max --seed 7"
    );
    let first = run(&desk, &words);
    let expected = desk.bytes("o/accepted.s40");
    assert!(n(&first["counts"]["accepted"]) > 0);
    let mut options = vec!["--workers 1 --batch-size 64".to_owned(), "--workers 3".to_owned()];
    for isa in scout40_models::Isa::available() {
        options.push(format!("--isa {} --batch-size 192", isa.name()));
    }
    for options in options {
        std::fs::remove_dir_all(desk.path("o")).unwrap();
        let other = run(&desk, &format!("{words} {options}"));
        assert!(desk.bytes("o/accepted.s40") == expected, "{options}");
        assert_eq!(other["counts"], first["counts"], "{options}");
    }
}

#[test]
fn unpaced_runs_accept_the_same_bytes_for_any_number_of_workers_and_batch_size() {
    let desk = Desk::new();
    desk.write("menu.toml", MENU);
    let words = format!("{SVJ} {MODEL} --menu menu.toml {SIGNALS} --rate max --seed 7");
    let first = run(&desk, &words);
    let expected = desk.bytes("o/accepted.s40");
    assert!(first["lines"].as_array().unwrap().iter().all(|line| n(&line["accepted"]) > 0));
    assert!(first["signals"].as_array().unwrap().iter().all(|s| n(&s["accepted"]) > 0));
    for (workers, batch_size) in [(1, 64), (1, 512), (2, 128), (3, 64), (3, 512), (2, 448)] {
        std::fs::remove_dir_all(desk.path("o")).unwrap();
        let other = run(&desk, &format!("{words} --workers {workers} --batch-size {batch_size}"));
        assert!(desk.bytes("o/accepted.s40") == expected, "{workers} {batch_size}");
        for key in ["counts", "lines", "signals"] {
            assert_eq!(other[key], first[key], "{workers} {batch_size}");
        }
    }
    // Neither how batches close, nor how the forest is evaluated, nor how the run is reported has
    // a say.
    let mut options =
        vec!["--max-wait 25ns --batch-size 64".to_owned(), "--interval 1ms --workers 2".to_owned()];
    for isa in scout40_models::Isa::available() {
        options.push(format!("--plan walk --isa {}", isa.name()));
        options.push(format!("--plan sliced --isa {}", isa.name()));
        options.push(format!("--plan sliced --isa {} --batch-size 64", isa.name()));
        if matches!(isa.name(), "avx2" | "avx512") {
            options.push(format!("--plan compiled --isa {} --batch-size 64", isa.name()));
        }
    }
    for options in options {
        std::fs::remove_dir_all(desk.path("o")).unwrap();
        run(&desk, &format!("{words} {options}"));
        assert!(desk.bytes("o/accepted.s40") == expected, "{options}");
    }
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    run(&desk, &words.replace("--seed 7", "--seed 8"));
    assert!(desk.bytes("o/accepted.s40") != expected, "another seed, another injection");
}

// Losses.

#[test]
fn damaged_streams_lose_what_is_damaged_and_say_so() {
    let desk = Desk::new();
    // Whole, cut, corrupt, without index: read, scored, truncated, corrupt, words.
    for (name, counts, words) in [
        ("good", [500, 500, 0, 0], ""),
        ("truncated", [300, 300, 0, 0], "cut after byte 10723"),
        ("no-index", [500, 450, 50, 0], "cut after byte 17335"),
        ("flipped-block", [500, 450, 0, 50], "column group at byte 8136: jet of orbit 5: "),
        ("flipped-index", [500, 500, 0, 0], ""),
    ] {
        let words_of_run = format!("fixtures/pathological/{name}.s40 {MODEL} --threshold 0.5");
        let summary = run(&desk, &format!("{words_of_run} --rate max {FEW}"));
        let found = ["read", "scored", "truncated", "corrupt"].map(|c| n(&summary["counts"][c]));
        assert_eq!(found, counts, "{name}");
        let problems = summary["trouble"]["problems"].to_string();
        assert!(problems.contains(words), "{name}: {problems}");
        assert_eq!(summary["trouble"]["problems"] == Value::Array(vec![]), words.is_empty());
        let warned = summary["warnings"].to_string().contains("lost its index");
        assert_eq!(warned, !matches!(name, "good" | "flipped-block"), "{name}");
        std::fs::remove_dir_all(desk.path("o")).unwrap();
    }
}

#[test]
fn what_is_lost_leaves_its_slots_empty() {
    // Block 4 is lost: the events after it keep the slots and the fate that they had.
    let desk = Desk::new();
    let options = format!("{MODEL} --threshold 0.5 --rate max {FEW} {SIGNALS}");
    run(&desk, &format!("{GOOD} {options}"));
    let mut whole = accepted(&desk);
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    run(&desk, &format!("fixtures/pathological/flipped-block.s40 {options}"));
    whole.retain(|event| event.id.orbit != 5);
    assert_eq!(accepted(&desk), whole);
}

// The summary.

#[test]
fn the_summary_has_its_stable_keys() {
    let desk = Desk::new();
    desk.write("menu.toml", MENU);
    let words = format!("{GOOD} {MODEL} --menu menu.toml {SIGNALS} {FEW} --ring-depth 10s");
    for rate in ["max", "200kHz"] {
        let summary = run(&desk, &format!("{words} --rate {rate} --orbits 2"));
        assert!(summary["sustained_mhz"].as_f64().unwrap() > 0.0);
        for name in ["read", "scored", "accepted", "dropped", "truncated", "corrupt"] {
            n(&summary["counts"][name]);
        }
        for name in ["total", "queueing", "service"] {
            let of = summary["latency_ns"].get(name).unwrap();
            assert_eq!(of.is_null(), rate == "max" && name != "service", "{rate} {name}");
        }
        for line in summary["lines"].as_array().unwrap() {
            let is_score = line["name"].as_str().unwrap().starts_with("AD_");
            assert_eq!(line["threshold"].is_f64(), is_score);
            assert_eq!(line["threshold_raw"].is_i64(), is_score);
            let rates = ["rate_khz_low", "rate_khz", "rate_khz_high"];
            assert!(rates.map(|key| line[key].as_f64().unwrap()).is_sorted(), "{line}");
            n(&line["accepted"]);
        }
        let names: Vec<&Value> =
            summary["signals"].as_array().unwrap().iter().map(|signal| &signal["name"]).collect();
        assert_eq!(names, ["leptoquark", "HToAATo4b"]);
        std::fs::remove_dir_all(desk.path("o")).unwrap();
    }
}

#[test]
fn json_on_stdout_is_the_summary() {
    let desk = Desk::new();
    let words = format!("run {GOOD} {MODEL} --rate max --threshold 0.5 --json --out o");
    let outcome = desk.done(&words);
    let printed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(printed, summary(&desk));
}

#[test]
fn a_prescale_keeps_some_of_what_its_line_selects_and_both_are_counted() {
    let desk = Desk::new();
    let words = format!("{SVJ} {MODEL} --rate max --threshold 0.45");
    let all = run(&desk, &words);
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    let some = run(&desk, &format!("{words} --prescale 10"));
    let (all, some) = (&all["lines"][0], &some["lines"][0]);
    assert_eq!(all["selected"], all["accepted"]);
    assert_eq!(some["selected"], all["selected"]);
    let (selected, kept) = (n(&some["selected"]) as f64, n(&some["accepted"]) as f64);
    // Binomial with p = 0.1; beyond six standard deviations with a chance of 2e-9.
    assert!(selected > 1000.0 && (kept - 0.1 * selected).abs() < 6.0 * (0.09 * selected).sqrt());
}

#[test]
fn a_run_of_cuts_needs_no_model() {
    let desk = Desk::new();
    desk.write("menu.toml", &MENU[MENU.find("\n[[line]]\nname = \"Two").unwrap()..]);
    let summary = run(&desk, &format!("{SVJ} --menu menu.toml --rate max"));
    assert!(summary["model"].is_null() && n(&summary["counts"]["accepted"]) > 0);
}

// What is accepted.

/// Rows of `scout40 score`: crossing, score, decision.
fn scored(desk: &Desk, name: &str) -> Vec<(CrossingId, i32, bool)> {
    let file = std::fs::File::open(desk.path(name)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| {
        let fields: BTreeMap<String, String> = row
            .unwrap()
            .get_column_iter()
            .map(|(name, field)| (name.clone(), field.to_string()))
            .collect();
        let number = |name: &str| fields[name].parse::<i64>().unwrap();
        let (run, orbit) = (number("run") as u32, number("orbit") as u32);
        let id = CrossingId { run, orbit, bx: number("bx") as u16 };
        (id, number("score_raw") as i32, fields["decision"] == "true")
    })
    .collect()
}

#[test]
fn a_run_accepts_what_scoring_offline_says_passes() {
    let desk = Desk::new();
    let summary = run(&desk, &format!("{SVJ} {MODEL} --rate max --threshold 0.5"));
    let raw = summary["lines"][0]["threshold_raw"].as_i64().unwrap();
    desk.done(&format!("score {SVJ} {MODEL} --threshold raw:{raw} -o scores.parquet"));
    let rows = scored(&desk, "scores.parquet");
    assert_eq!(rows.len() as u64, n(&summary["counts"]["read"]));
    let passing: Vec<_> = rows.iter().filter(|row| row.2).map(|row| (row.0, row.1)).collect();
    let kept: Vec<_> = accepted(&desk).iter().map(|event| (event.id, event.score)).collect();
    assert!(kept.len() > 500 && kept.len() < 5000, "{}", kept.len());
    assert_eq!(kept, passing);
    assert!(rows.iter().all(|row| row.2 == (i64::from(row.1) >= raw)));
}

#[test]
fn injected_events_carry_their_truth_and_the_score_of_their_signal() {
    let desk = Desk::new();
    let signal = "fixtures/streams/leptoquark.s40";
    let words = format!("{SVJ} {MODEL} --rate max --threshold raw:-100000 --inject {signal}@0.3");
    let summary = run(&desk, &words);
    desk.done(&format!("score {signal} {MODEL} --threshold 0.5 -o signal.parquet"));
    desk.done(&format!("score {SVJ} {MODEL} --threshold 0.5 -o background.parquet"));
    let of_signal = scored(&desk, "signal.parquet");
    let of_background = scored(&desk, "background.parquet");
    let events = accepted(&desk);
    assert_eq!(events.len(), of_background.len(), "everything passes");
    for (event, recorded) in events.iter().zip(&of_background) {
        assert_eq!(event.id, recorded.0, "an injected event keeps its crossing");
        let score = match event.process {
            0 => recorded.1,
            _ => of_signal[event.event as usize].1,
        };
        assert_eq!(event.score, score, "{event:?}");
    }
    // Binomial with p = 0.3; beyond six standard deviations with a chance of 2e-9.
    let (all, injected) = (events.len() as f64, n(&summary["signals"][0]["injected"]) as f64);
    assert!((injected - 0.3 * all).abs() < 6.0 * (0.21 * all).sqrt(), "{injected} of {all}");
    // The accepted events are a stream like any other: their scores are the same again.
    desk.done(&format!("score o/accepted.s40 {MODEL} --threshold 0.5 -o again.parquet"));
    let again: Vec<i32> = scored(&desk, "again.parquet").iter().map(|row| row.1).collect();
    assert_eq!(again, events.iter().map(|event| event.score).collect::<Vec<i32>>());
}

#[test]
fn accepted_events_keep_all_columns_if_asked_to() {
    let desk = Desk::new();
    desk.write("menu.toml", MENU);
    let words = format!("{SVJ} {MODEL} --menu menu.toml --rate max {SIGNALS}");
    run(&desk, &words);
    let needed =
        (accepted(&desk), FileSource::open(&desk.path("o/accepted.s40")).unwrap().columns());
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    run(&desk, &format!("{words} --keep all"));
    let all = (accepted(&desk), FileSource::open(&desk.path("o/accepted.s40")).unwrap().columns());
    assert_eq!(needed.0, all.0);
    let of_file = FileSource::open(&fixture("streams/SVJ.s40")).unwrap().columns();
    assert!(all.1.contains_all(of_file) && !needed.1.contains(Column::PileUp));
}

// Where a run begins and ends.

#[test]
fn an_overlay_under_cuts_alone_reads_what_it_needs_to_merge() {
    let desk = Desk::new();
    desk.write(
        "cuts.toml",
        "[[line]]\nname = 'met'\nkind = 'cut'\nrequire = [{ object = 'met', pt_gev = 60 }]\n",
    );
    let summary = run(
        &desk,
        "fixtures/streams/zero-bias.s40 --menu cuts.toml --rate max --orbits 3 \
         --inject fixtures/streams/VBFHToInv.s40@0.02:overlay",
    );
    assert!(n(&summary["signals"][0]["accepted"]) > 0, "{summary}");
}

#[test]
fn replaying_a_stream_often_does_not_narrow_its_intervals() {
    let width = |words: &str| {
        let desk = Desk::new();
        desk.write(
            "cuts.toml",
            "[[line]]\nname = 'met'\nkind = 'cut'\nrequire = [{ object = 'met', pt_gev = 60 }]\n",
        );
        let line = run(&desk, words)["lines"][0].clone();
        let number = |key: &str| line[key].as_f64().unwrap();
        (number("rate_khz"), number("rate_khz_high") - number("rate_khz_low"))
    };
    let stream = "fixtures/pathological/good.s40 --menu cuts.toml --rate max";
    let once = width(stream);
    // 500 crossings fill 500 slots of a pass, so 20 passes end within orbit 4 of the LHC scheme.
    let often = width(&format!("{stream} --repeat --orbits 4"));
    assert!((often.0 / once.0 - 1.0).abs() < 0.1, "{once:?} {often:?}");
    assert!((often.1 / once.1 - 1.0).abs() < 0.1, "{once:?} {often:?}");
}

#[test]
fn a_run_of_n_orbits_reads_n_times_the_colliding_slots() {
    let desk = Desk::new();
    for (scheme, per_orbit) in [("lhc", 2748), ("all", 3564), ("single", 1)] {
        for orbits in [0, 1, 3] {
            let words = format!("{SVJ} {MODEL} --rate max --filling-scheme {scheme} --repeat");
            let summary = run(&desk, &format!("{words} --orbits {orbits}"));
            assert_eq!(n(&summary["counts"]["read"]), orbits * per_orbit, "{scheme} {orbits}");
            std::fs::remove_dir_all(desk.path("o")).unwrap();
        }
    }
    // A stream that is shorter ends earlier.
    let summary = run(&desk, &format!("{GOOD} {MODEL} --rate max {FEW} --orbits 11"));
    assert_eq!(n(&summary["counts"]["read"]), 500);
}

#[test]
fn repeats_run_the_orbits_on_and_inject_differently() {
    let desk = Desk::new();
    let words = format!("{GOOD} {MODEL} --rate max {FEW} --threshold raw:-100000 {SIGNALS}");
    run(&desk, &format!("{words} --repeat --orbits 25"));
    let events = accepted(&desk);
    assert_eq!(events.len(), 1250);
    let orbits: Vec<u32> = events.iter().map(|event| event.id.orbit).collect();
    let expected: Vec<u32> = (1..=25).flat_map(|orbit| [orbit; 50]).collect();
    assert_eq!(orbits, expected);
    let truth =
        |events: &[Accepted]| events.iter().map(|e| (e.process, e.event)).collect::<Vec<_>>();
    let (first, second) = (truth(&events[..500]), truth(&events[500..1000]));
    assert_ne!(first, second, "each pass is injected into on its own");
    // Background is the same in every pass.
    let both = events.iter().zip(&events[500..]).filter(|(a, b)| a.process == 0 && b.process == 0);
    assert!(both.clone().count() > 300 && both.clone().all(|(a, b)| a.score == b.score));
}

#[test]
fn a_run_may_begin_at_an_orbit_and_repeats_go_on_from_there() {
    let desk = Desk::new();
    let words = format!("{GOOD} {MODEL} --rate max {FEW} --threshold raw:-100000 --from-orbit 7");
    run(&desk, &words);
    let orbits = |desk: &Desk| -> Vec<u32> {
        let mut orbits: Vec<u32> = accepted(desk).iter().map(|event| event.id.orbit).collect();
        orbits.dedup();
        orbits
    };
    assert_eq!(orbits(&desk), [7, 8, 9, 10]);
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    // The second pass has all blocks; its orbits come after those of the first.
    run(&desk, &format!("{words} --repeat --orbits 20"));
    assert_eq!(orbits(&desk), (7..=26).collect::<Vec<u32>>());
}

#[test]
fn a_run_begins_with_the_very_orbit_also_within_a_block() {
    let desk = Desk::new();
    // Orbits 101 to 104, 105 to 108, 109 and 110: one block each.
    let convert = "convert fixtures/import/zero-bias.parquet in.s40 --orbits-per-block 4";
    desk.done(&format!("{convert} --first-orbit 101 {FEW}"));
    let words = format!("in.s40 {MODEL} --rate max {FEW} --threshold raw:-100000 {SIGNALS}");
    run(&desk, &words);
    let whole = accepted(&desk);
    assert_eq!(whole.len(), 500);
    for (orbit, left) in [(0, 500), (101, 500), (102, 450), (105, 300), (107, 200), (110, 50)] {
        std::fs::remove_dir_all(desk.path("o")).unwrap();
        let words = format!("{words} --from-orbit {orbit}");
        let summary = run(&desk, &words);
        assert_eq!(n(&summary["counts"]["read"]), left, "{orbit}");
        // The same crossings with the same signal as in a run of everything.
        assert_eq!(accepted(&desk), whole[500 - left as usize..], "{orbit}");
        let expected = desk.bytes("o/accepted.s40");
        for options in ["--workers 3 --batch-size 64", "--workers 2 --batch-size 192"] {
            std::fs::remove_dir_all(desk.path("o")).unwrap();
            run(&desk, &format!("{words} {options}"));
            assert!(desk.bytes("o/accepted.s40") == expected, "{orbit} {options}");
        }
    }
    // Recorded crossings: the run begins with the slots of that orbit.
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    let recorded = words.replace(FEW, "--filling-scheme recorded --orbits 2");
    run(&desk, &format!("{recorded} --from-orbit 107"));
    assert_eq!(accepted(&desk), whole[300..400]);
    // A repeat begins again with the whole stream.
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    run(&desk, &format!("{words} --from-orbit 107 --repeat --orbits 16"));
    let events = accepted(&desk);
    let orbits: Vec<u32> = events.iter().map(|event| event.id.orbit).collect();
    let expected: Vec<u32> = (107..=122).flat_map(|orbit| [orbit; 50]).collect();
    assert_eq!(orbits, expected);
    let both = events[200..].iter().zip(&whole).filter(|(a, b)| a.process + b.process == 0);
    assert!(both.clone().count() > 300 && both.clone().all(|(a, b)| a.score == b.score));
}

#[test]
fn a_repeat_ends_with_the_last_orbit_that_there_can_be() {
    let desk = Desk::new();
    let convert = "convert fixtures/import/zero-bias.parquet late.s40 --orbits-per-block 1";
    desk.done(&format!("{convert} --first-orbit 4294967286 {FEW}"));
    let words = format!("late.s40 {MODEL} --rate max {FEW} --threshold 0.5");
    let summary = run(&desk, &format!("{words} --repeat --orbits 30"));
    assert_eq!(n(&summary["counts"]["read"]), 500);
    assert!(summary["trouble"]["problems"].to_string().contains("beyond 32 bits"));
}

#[test]
fn recorded_crossings_keep_their_slots() {
    let desk = Desk::new();
    let words = format!("{GOOD} {MODEL} --rate max --threshold 0.5 --filling-scheme recorded");
    let summary = run(&desk, &words);
    assert_eq!(n(&summary["counts"]["scored"]), 500);
    assert_eq!(summary["config"]["colliding_slots"], 50);
    let recorded = desk.bytes("o/accepted.s40").len();
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    // Orbits 1 and 2 of the file.
    let summary = run(&desk, &format!("{words} --orbits 2"));
    assert_eq!(n(&summary["counts"]["scored"]), 100);
    assert!(desk.bytes("o/accepted.s40").len() < recorded);
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    let paced = words.replace("--rate max", "--rate 400kHz --repeat");
    let summary = run(&desk, &format!("{paced} --orbits 12"));
    assert_eq!(n(&summary["counts"]["read"]), 600);
}

// Paced runs.

#[test]
fn a_slow_clock_loses_nothing_and_knows_every_latency() {
    let desk = Desk::new();
    // The arrival ring is deep, so that a busy machine does not fail the test.
    let words = format!("{SVJ} {MODEL} --threshold 0.5 {SIGNALS} --ring-depth 10s");
    let rate = "--rate 200kHz --filling-scheme all --repeat --orbits 3";
    let summary = run(&desk, &format!("{words} {rate}"));
    assert_eq!(n(&summary["counts"]["scored"]), 3 * 3564);
    assert_eq!(n(&summary["counts"]["dropped"]), 0);
    for quantile in ["p50", "p99", "p999", "max"] {
        let of = |name: &str| n(&summary["latency_ns"][name][quantile]);
        assert!(of("total") >= of("queueing"), "{quantile}");
    }
    // The first event of a full batch waits for the 511 after it, 5 us each: by definition, on
    // any machine.
    assert!(n(&summary["latency_ns"]["queueing"]["max"]) >= 511 * 5000 * 99 / 100);
    // A batch that closes at each slot is scored when its only event is there.
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    let summary = run(&desk, &format!("{words} {rate} --max-wait 5us"));
    assert_eq!(n(&summary["counts"]["scored"]), 3 * 3564);
}

#[test]
fn a_paced_run_accepts_what_an_unpaced_one_does() {
    let desk = Desk::new();
    let words = format!("{GOOD} {MODEL} --threshold 0.5 {SIGNALS} {FEW} --ring-depth 10s");
    run(&desk, &format!("{words} --rate max"));
    let expected = desk.bytes("o/accepted.s40");
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    run(&desk, &format!("{words} --rate 500kHz"));
    assert!(desk.bytes("o/accepted.s40") == expected);
}

/// Far beyond what scoring by hand can do on any core.
const TOO_FAST: &str = "--rate 1GHz --filling-scheme all --repeat --orbits 40 --ring-depth 1us";

#[test]
fn a_run_that_cannot_keep_up_drops_counts_and_conserves() {
    let desk = Desk::new();
    let words = format!("{SVJ} {MODEL} --threshold 0.5 {SIGNALS} {TOO_FAST}");
    let outcome = desk.done(&format!("run {words} --out o"));
    assert!(outcome.stdout.contains("did NOT keep up"), "{}", outcome.stdout);
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    let summary = run(&desk, &words);
    assert_eq!(n(&summary["counts"]["read"]), 40 * 3564);
    assert!(n(&summary["counts"]["dropped"]) > 0);
    assert_eq!(summary["at_line_rate"], false);
    let injected =
        |s: &Value| s["signals"].as_array().unwrap().iter().map(|s| n(&s["injected"])).sum::<u64>();
    let dropped_signal = injected(&summary)
        > summary["signals"].as_array().unwrap().iter().map(|s| n(&s["scored"])).sum();
    assert!(dropped_signal, "injected counts those in dropped batches too");
}

#[test]
fn a_run_that_stalls_loses_nothing() {
    let desk = Desk::new();
    let words = format!("{SVJ} {MODEL} --threshold 0.5 {TOO_FAST} --on-overload stall");
    let summary = run(&desk, &words);
    assert_eq!(n(&summary["counts"]["scored"]), 40 * 3564);
    assert_eq!(n(&summary["counts"]["dropped"]), 0);
}

#[test]
fn a_run_ends_with_its_duration() {
    let desk = Desk::new();
    let words = format!("{SVJ} {MODEL} --repeat --ring-depth 10s");
    // 2 ms at 1 MHz are 2000 slots.
    let paced = format!("{words} --rate 1MHz --filling-scheme all --duration 2ms");
    let summary = run(&desk, &paced);
    assert_eq!(n(&summary["counts"]["read"]), 2000);
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    run(&desk, &format!("{words} --rate max --duration 50ms"));
}

// Runs that are ended from outside.

/// A run at a slow clock that would go on for ever, once it has written a piece of the accepted
/// events into `FOLDER.unfinished`: everything is underway then.
fn endless_run(desk: &Desk, folder: &str, out: &str) -> Running {
    let words = format!(
        "run {SVJ} {MODEL} --threshold raw:-100000 {SIGNALS} --keep all \
         --rate 400kHz --filling-scheme all --ring-depth 10s --repeat{out}"
    );
    let mut running = desk.spawn(Command::new(env!("CARGO_BIN_EXE_scout40")), &words);
    let unfinished = desk.path(&format!("{folder}.unfinished"));
    let is_written = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        let is_accepted = file.file_name().to_string_lossy().starts_with("accepted.s40");
        is_accepted && file.metadata().unwrap().len() > 0
    };
    for _ in 0..WATCHDOG.as_millis() / POLL.as_millis() {
        let files = std::fs::read_dir(&unfinished);
        if files.is_ok_and(|mut files| files.any(is_written)) {
            return running;
        }
        assert!(running.child.try_wait().unwrap().is_none(), "{:?}", running.outcome().stderr);
        std::thread::sleep(POLL);
    }
    panic!("`{words}` writes nothing");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_as_if_its_time_had_come() {
    let desk = Desk::new();
    let running = endless_run(&desk, "o", " --out o");
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -INT {}", running.child.id())]);
    assert!(kill.status().unwrap().success());
    let outcome = running.outcome().expect(0);
    assert!(outcome.stdout.contains("written    o"), "{}", outcome.stdout);
    assert!(!desk.path("o.unfinished").exists());
    let summary = check_outputs(&desk, &outcome);
    assert!(n(&summary["counts"]["accepted"]) > 0, "{}", summary["counts"]);
    let mut files: Vec<String> = std::fs::read_dir(desk.path("o"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    let all = ["accepted.s40", "latency.hlog", "rates.csv", "scores.csv", "summary.json"];
    assert_eq!(files, all);
}

#[test]
fn what_a_killed_run_left_is_told_of_and_left_alone() {
    let desk = Desk::new();
    let mut running = endless_run(&desk, "runs/run-0001", "");
    running.child.kill().unwrap();
    running.outcome();
    let contents = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        let files = std::fs::read_dir(desk.path(folder)).unwrap().map(|file| file.unwrap());
        let name = |file: &std::fs::DirEntry| file.file_name().into_string().unwrap();
        files.map(|file| (name(&file), std::fs::read(file.path()).unwrap())).collect()
    };
    let left = contents("runs/run-0001.unfinished");
    assert!(!left.is_empty() && !left.contains_key("summary.json"));
    let words = format!("run {GOOD} {MODEL} --threshold 0.5 --rate max {FEW}");
    for number in [2, 3] {
        let outcome = desk.done(&words);
        let told = outcome.stderr.lines().filter(|line| line.contains("run-0001.unfinished"));
        let told: Vec<&str> = told.collect();
        assert_eq!(told.len(), 1, "{}", outcome.stderr);
        assert!(told[0].starts_with("warning: ") && told[0].contains("remove"), "{told:?}");
        assert!(outcome.stdout.contains(&format!("runs/run-000{number}")), "{}", outcome.stdout);
        assert_eq!(contents("runs/run-0001.unfinished"), left);
    }
    std::fs::remove_dir_all(desk.path("runs/run-0001.unfinished")).unwrap();
    assert!(!desk.done(&words).stderr.contains("unfinished"));
}

#[test]
fn every_variant_and_metric_trains_tells_its_settings_and_scores() {
    let desk = Desk::new();
    let variants = [
        ("iforest --metric boxed_ratio", ["boxed_ratio", "split = uniform"]),
        ("iforest --metric density --features thesis-99", ["density", "thesis-99 (99 values"]),
        ("eif --metric adj_depth", ["adj_depth", "extension_level = 1"]),
        ("sciforest", ["depth with range penalty", "tries = 10"]),
        ("sciforest --metric boxed_density2", ["boxed_density2,", "penalize_range = false"]),
        ("fcf --metric adj_density", ["adj_density", "max_depth = unlimited"]),
        ("rrcf --split uniform --max-depth 3", ["max_depth = 3", "split = uniform"]),
        ("pidforest --max-buckets 4", ["boxed_density2", "max_buckets = 4"]),
    ];
    for (variant, words) in variants {
        let train = format!("train forest --input {GOOD} --force --trees 5 -o new.model");
        desk.done(&format!("{train} --variant {variant}"));
        let about = desk.done("inspect new.model").stdout;
        assert!(words.iter().all(|word| about.contains(word)), "{variant}: {about}");
        desk.done(&format!("score {GOOD} --model new.model -o new.parquet --force"));
    }
}

#[test]
fn what_streams_call_themselves_is_shown_without_control_characters() {
    let desk = Desk::new();
    let name = "a\x1b[2J\rread\n= scored";
    let mut source = FileSource::open(&fixture("pathological/good.s40")).unwrap();
    let mut header = source.info().header.clone();
    header.sample = name.into();
    let path = desk.path("named.s40");
    let mut writer = StreamWriter::create(&path, &header, Compression::Fast).unwrap();
    let mut block = Block::default();
    while source.next_block(ColumnSet::ALL, &mut block).unwrap() == Delivery::Block {
        writer.write(&block).unwrap();
    }
    writer.finish().unwrap();
    let outcome =
        desk.done(&format!("run named.s40 {MODEL} --inject named.s40@0.5 --rate max --out o"));
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
    let shown = "a\\u{1b}[2J\\rread\\n= scored";
    assert_eq!(outcome.stdout.matches(shown).count(), 2, "{}", outcome.stdout);
    // Files have it as it is.
    assert_eq!(summary(&desk)["stream"]["name"], name);
}
