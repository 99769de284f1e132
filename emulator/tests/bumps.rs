//! Searches for bumps from the command line: counts, events one by one, toys of both, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::Desk;
use serde_json::Value;

const EVENTS: &str = "study bump --model fixtures/models/forest.model --input fixtures/streams/zero-bias.s40 \
                      --accept 0.05 --width 60";

fn json(desk: &Desk, name: &str) -> Value {
    serde_json::from_slice(&desk.bytes(name)).unwrap()
}

/// The mean with the largest likelihood ratio: mean, signal, its error.
fn best(report: &Value) -> [f64; 3] {
    let all = report["hypotheses"].as_array().unwrap().iter();
    let of = |h: &Value, key: &str| h[key].as_f64().unwrap();
    let best = all.max_by(|a, b| of(a, "q0").total_cmp(&of(b, "q0"))).unwrap();
    ["mean", "signal", "signal_error"].map(|key| of(best, key))
}

#[test]
fn an_injected_signal_is_found_in_bins_and_one_by_one_alike() {
    let desk = Desk::new();
    let inject = "--inject fixtures/streams/SVJ.s40 --fraction 0.005 --toys 10";
    let binned = desk.done(&format!("{EVENTS} {inject} --bins 160 -o binned")).stdout;
    let unbinned = desk.done(&format!("{EVENTS} {inject} --unbinned -o unbinned")).stdout;
    assert!(binned.contains("events in 160 bins") && unbinned.contains("one by one"), "{unbinned}");
    for text in [&binned, &unbinned] {
        assert!(text.contains("local Z") && text.contains("upward crossings"), "{text}");
    }
    let (binned, unbinned) = (json(&desk, "binned.json"), json(&desk, "unbinned.json"));
    let ([at, s, error], [at_events, s_events, error_events]) = (best(&binned), best(&unbinned));
    // Bins of 5 GeV, a twelfth of the width, hide next to nothing.
    assert!((at - at_events).abs() < 1e-9, "{at} {at_events}");
    assert!((s - s_events).abs() < 0.1 * error && s > 2.0 * error, "{s} {s_events} {error}");
    assert!((error / error_events - 1.0).abs() < 0.2, "{error} {error_events}");
    assert_eq!(unbinned["toys_not_converged"], 0);
    if cfg!(feature = "plot") {
        assert!(desk.bytes("unbinned-spectrum.png").starts_with(b"\x89PNG"));
    }
}

/// A falling spectrum with a peak at 205.
fn write_counts(desk: &Desk) {
    let mut table = "low,high,count\n".to_owned();
    for k in 0..40 {
        let x = f64::from(k);
        let peak = 150.0 * (-(x - 20.5) * (x - 20.5) / 8.0).exp();
        let count = (4000.0 * (-x / 8.0).exp() + peak).round();
        table += &format!("{},{},{count}\n", 10 * k, 10 * (k + 1));
    }
    desk.write("counts.csv", table);
}

#[test]
fn a_bump_in_a_table_of_counts_is_found() {
    let desk = Desk::new();
    write_counts(&desk);
    let study = "study bump --counts counts.csv --width 20 --background-shape exponential:1 --toys 20 -o bump";
    let text = desk.done(study).stdout;
    assert!(text.contains("largest    at 20") || text.contains("largest    at 21"), "{text}");
    assert!(text.contains("from 20 toys"), "{text}");
    let json = String::from_utf8(desk.bytes("bump.json")).unwrap();
    assert!(json.contains("\"toys_not_converged\": 0"), "{json}");
    let empty = "low,high,count\n0,1,0\n1,2,0\n2,3,0\n3,4,0\n4,5,0\n";
    desk.write("empty.csv", empty);
    let refused = desk.run("study bump --counts empty.csv --width 1").expect(1).stderr;
    assert!(refused.contains("found none"), "{refused}");
}

#[test]
fn toys_that_were_interrupted_are_gone_on_from() {
    let desk = Desk::new();
    write_counts(&desk);
    let bump = "study bump --counts counts.csv --width 20 --background-shape exponential:1";
    desk.done(&format!("{bump} --toys 20 -o part"));
    let toys = String::from_utf8(desk.bytes("part.toys")).unwrap();
    desk.write("part.toys", &toys[..toys.len() - 5]);
    desk.done(&format!("{bump} --toys 30 -o part --resume"));
    desk.done(&format!("{bump} --toys 30 -o whole"));
    assert_eq!(desk.bytes("part.json"), desk.bytes("whole.json"));
    let again = desk.run(&format!("{bump} --toys 30 -o whole")).expect(2).stderr;
    assert!(again.contains("--force"), "{again}");
    let other = desk.run(&format!("{bump} --seed 2 -o part --resume")).expect(1).stderr;
    assert!(other.contains("configuration") && other.contains("hint:"), "{other}");
}

#[test]
fn the_power_of_a_search_for_a_bump_grows_with_the_exposure() {
    let desk = Desk::new();
    // NP2 is a narrow peak in an exponential.
    let table = desk.done(
        "study power --benchmark exp1d --test bump --range 0..1 --bins 50 --width 0.02 \
         --background-shape exponential:1 --exposures 1,9 --strengths 1,3 --reference-events 100 \
         --null-toys 40 --toys 20 -o power",
    );
    assert!(table.stdout.contains("upward crossings of the level 0"), "{}", table.stdout);
    let csv = String::from_utf8(desk.bytes("power.csv")).unwrap();
    let of = |exposure: u32, strength: u32| -> f64 {
        let begin = format!("x,{exposure},\"NP1\",{strength},");
        let line = csv.lines().find(|line| line.starts_with(&begin)).unwrap();
        line.split(',').nth(5).unwrap().parse().unwrap()
    };
    assert!(of(9, 3) > of(1, 3) && of(9, 3) > of(9, 1) && of(9, 3) > 3.0, "{csv}");
    let report = json(&desk, "power.json");
    let null = &report["outcomes"][0][1]["nulls"][0];
    assert!(null["upcrossings"].as_f64().unwrap() > 0.5, "{null}");
    assert_eq!(null["n_not_converged"], 0);
}

#[test]
fn what_is_no_search_is_refused() {
    let desk = Desk::new();
    write_counts(&desk);
    let refused = |code, words: &str, said: &[&str]| {
        let stderr = desk.run(words).expect(code).stderr;
        said.iter().for_each(|said| assert!(stderr.contains(said), "`{words}`: {stderr}"));
    };
    refused(2, "study bump --counts counts.csv --width 20 --unbinned", &["cannot be used with"]);
    refused(2, "study bump --width 20", &["--model", "--input"]);
    refused(2, "study bump --counts counts.csv --width 0", &["--width", "above zero"]);
    // 400 wide: half is 200.
    refused(
        2,
        "study bump --counts counts.csv --width 201",
        &["--width", "at most half", "found 201"],
    );
    let counts = "study bump --counts counts.csv --width 20";
    for ignored in [
        "--range 0..400",
        "--bins 40",
        "--accept 0.1",
        "--observable met",
        "--plan walk",
        "--inject fixtures/streams/SVJ.s40 --fraction 0.1",
    ] {
        let option = ignored.split(' ').next().unwrap();
        refused(2, &format!("{counts} {ignored}"), &["cannot be used with", "--counts", option]);
    }
    for outside in ["-20..100", "200..401", "500..600"] {
        refused(2, &format!("{counts} --scan {outside}"), &["--scan", "from 0 to 400", outside]);
    }
    refused(2, &format!("{EVENTS} --scan 50..200"), &["--scan", "from 100 to 900", "50..200"]);
    desk.write("half.csv", "low,high,count\n0,1,5\n1,2,3.5\n2,3,2\n3,4,1\n4,5,0\n");
    refused(
        1,
        "study bump --counts half.csv --width 1",
        &["half.csv`, line 3", "whole number", "3.5"],
    );
    for wrong in ["0", "1.5", "nan", "x"] {
        refused(2, &format!("study bump --accept {wrong}"), &["--accept", "at most 1", wrong]);
    }
    let fraction = "--inject fixtures/streams/SVJ.s40 --fraction 1.5";
    refused(2, &format!("{EVENTS} {fraction}"), &["--fraction", "from 0 to 1"]);
    refused(1, &format!("{EVENTS} --range 90000..99000"), &["dijet_mass", "found none"]);
    refused(2, &format!("{EVENTS} --observable mass"), &["dijet_mass", "`mass`"]);
    let strict = EVENTS.replace("--accept 0.05", "--accept 1e-7");
    refused(1, &strict, &["needs at least 10000000", "hint:"]);
    refused(2, "study power --benchmark exp1d --test bump --exposures 1", &["--width"]);
    let lists = "study power --model fixtures/models/forest.model --background \
                 fixtures/streams/zero-bias.s40 --signal fixtures/streams/SVJ.s40 --exposures 1000 \
                 --test bump --width 9 --observables met+ht";
    refused(2, lists, &["one observable", "met+ht"]);
    // All events in one place, which no such polynomial can follow without being negative elsewhere: the minimiser
    // gets nowhere, and says so.
    desk.write("one.csv", "low,high,count\n0,1,0\n1,2,0\n2,3,900\n3,4,0\n4,5,0\n5,6,0\n6,7,0\n");
    let words = "study bump --counts one.csv --width 1 --background-shape polynomial:3";
    refused(1, words, &["did not converge", "hint:"]);
    let small = "study nplm --model fixtures/models/forest.model --background fixtures/pathological/good.s40 \
                 --signal fixtures/streams/SVJ.s40";
    refused(1, small, &["expected background events", "at least 30"]);
}
