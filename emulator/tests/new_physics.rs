//! Tests for new physics from the command line: what they leave, repeat, resume and refuse.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::Desk;

const SMALL: &str = "study nplm --benchmark exp1d --reference-events 4000 --centres 200 --strengths 1 \
                     --toys 4";
const EVENTS: &str = "--model fixtures/models/forest.model --background fixtures/streams/zero-bias.s40 \
                      --signal fixtures/streams/SVJ.s40 --accept 0.01";

#[test]
fn a_study_resumed_with_more_toys_is_the_study_in_one_piece() {
    let desk = Desk::new();
    desk.done(&format!("{SMALL} --null-toys 12 -o part"));
    // Torn in the last line.
    let toys = String::from_utf8(desk.bytes("part.toys")).unwrap();
    desk.write("part.toys", &toys[..toys.len() - 5]);
    let resumed = desk.done(&format!("{SMALL} --null-toys 20 -o part --resume"));
    let whole = desk.done(&format!("{SMALL} --null-toys 20 -o whole"));
    assert_eq!(desk.bytes("part.csv"), desk.bytes("whole.csv"));
    assert_eq!(desk.bytes("part.json"), desk.bytes("whole.json"));
    let table = whole.stdout.split("written").next().unwrap().to_owned();
    assert!(resumed.stdout.starts_with(&table), "{}", resumed.stdout);
    for name in ["NP1", "NP2", "NP3", "20 toys", "median Z"] {
        assert!(table.contains(name), "{table}");
    }
    if cfg!(feature = "plot") {
        let figure = String::from_utf8(desk.bytes("whole-x-null.svg")).unwrap();
        assert!(figure.contains("degrees of freedom") && figure.contains("Statistic t"));
        assert!(desk.bytes("whole-x-z.png").starts_with(b"\x89PNG"));
    }
    // Nothing to go on with is said, and no more than said.
    let nowhere = desk.done(
        "study power --benchmark exp1d --test count --exposures 1 --strengths 1 \
                             --reference-events 100 --null-toys 10 --toys 1 -o nowhere --resume",
    );
    let note = "note: there is no `nowhere.toys` to go on with";
    assert!(
        nowhere.stderr.contains(note) && !resumed.stderr.contains("note"),
        "{}",
        nowhere.stderr
    );
    // Other settings are no continuation.
    let other =
        desk.run(&format!("{SMALL} --null-toys 20 --seed 2 -o part --resume")).expect(1).stderr;
    assert!(other.contains("configuration") && other.contains("hint:"), "{other}");
}

#[test]
fn signal_in_accepted_events_is_noticed_where_there_is_enough() {
    let desk = Desk::new();
    let study = format!(
        "study nplm {EVENTS} --observables score met+ht --exposure 40000 --strengths 0.0001,0.02 \
         --null-toys 20 --toys 5 --centres 200 --lambda 1e-7 -o study"
    );
    let table = desk.done(&study).stdout;
    assert!(
        table.contains("score: exposure 40000 crossings") && table.contains("met+ht"),
        "{table}"
    );
    let csv = String::from_utf8(desk.bytes("study.csv")).unwrap();
    let median = |line: &str| line.split(',').nth(5).unwrap().parse::<f64>().unwrap();
    let lines: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(lines.len(), 4, "{csv}");
    // 400 crossings of background pass, and most of the 800 with signal.
    assert!(median(lines[1]) > 3.0 && median(lines[1]) > median(lines[0]), "{csv}");
}

#[test]
fn a_norm_that_is_not_known_is_no_signal() {
    let desk = Desk::new();
    // 2000 events expected, 2700 found: with an error of 30 % that is nothing.
    let null = |name: &str, more: &str| -> Vec<f64> {
        let study = "study nplm --benchmark nplm-package --reference-events 4000 --test network --epochs 1500 \
                     --null-toys 10 --toys 1 --norm-shift 0.3";
        let said = desk.done(&format!("{study} {more} -o {name}"));
        let json = String::from_utf8(desk.bytes(&format!("{name}.json"))).unwrap();
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(report["configuration"]["norm_shift"], 0.3);
        // 1500 steps are few, which is told.
        let null = &report["outcomes"][0][1]["nulls"][0];
        let is_moving = null["drift"].as_f64().unwrap().abs() > 0.1;
        assert_eq!(said.stdout.contains("take more `--epochs`"), is_moving, "{}", said.stdout);
        let t = &null["t"];
        t.as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect()
    };
    let median = |mut t: Vec<f64>| {
        t.sort_by(f64::total_cmp);
        t[5]
    };
    let (taken_as_known, profiled) = (null("known", ""), null("profiled", "--norm-error 0.3"));
    // 2 · 2000 (0.3 e^0.3 - e^0.3 + 1) = 220.
    let (known, profiled) = (median(taken_as_known), median(profiled));
    assert!(known > 150.0 && profiled < 30.0, "{known} {profiled}");
}

#[test]
fn power_grows_with_the_exposure() {
    let desk = Desk::new();
    let study = "study power --benchmark exp1d --test count --exposures 1,16 --strengths 3 \
                 --reference-events 1000 --null-toys 30 --toys 30 -o power";
    desk.done(study);
    let csv = String::from_utf8(desk.bytes("power.csv")).unwrap();
    let of = |exposure: &str| -> f64 {
        let line =
            csv.lines().find(|line| line.contains(&format!("x,{exposure},\"NP2\""))).unwrap();
        line.split(',').nth(5).unwrap().parse().unwrap()
    };
    // 270 of 2000 and sixteen times as many: Z of about 6 and 24.
    assert!((4.0..8.0).contains(&of("1")) && of("16") > 15.0, "{csv}");
}

#[test]
fn what_cannot_be_studied_is_refused_with_what_is_needed() {
    let desk = Desk::new();
    let unknown = desk.run(&format!("study nplm {EVENTS} --observables mass")).expect(2).stderr;
    assert!(unknown.contains("dijet_mass") && unknown.contains("`mass`"), "{unknown}");
    let small = desk.run(&format!("study nplm {EVENTS} --exposure 1e9")).expect(1).stderr;
    assert!(small.contains("expected at least") && small.contains("hint:"), "{small}");
    desk.run("study nplm").expect(2);
    let negative = desk.run("study nplm --benchmark exp1d --strengths=-1").expect(2).stderr;
    assert!(negative.contains("above zero"), "{negative}");
    desk.run(&format!("{SMALL} --null-toys 3")).expect(2);
    for (ignored, test) in [
        ("--norm-error 0.05", "network"),
        ("--epochs 10", "network"),
        ("--width 0.1", "bump"),
        ("--range 0..1", "bump"),
        ("--bins 50", "bump"),
        ("--unbinned", "bump"),
    ] {
        let kernel = desk.run(&format!("{SMALL} {ignored}")).expect(2).stderr;
        let option = ignored.split(' ').next().unwrap();
        for said in [option, &format!("--test {test}"), "`--test kernel`", "hint:"] {
            assert!(kernel.contains(said), "{said}: {kernel}");
        }
    }
    let benchmark = desk.run(&format!("{SMALL} --observables met")).expect(2).stderr;
    assert!(benchmark.contains("cannot be used with"), "{benchmark}");
    for (wrong, said) in [
        ("--sigma 0", "above zero"),
        ("--sigma nan", "above zero"),
        ("--lambda=-1", "above zero"),
        ("--centres 0", "1.."),
        ("--epochs 0", "1.."),
        ("--reference-events 0", "1.."),
        ("--strengths 1,0", "above zero"),
        ("--exposure inf", "above zero"),
        ("--accept 0", "at most 1"),
    ] {
        let text = desk.run(&format!("study nplm {wrong}")).expect(2).stderr;
        let option = wrong.split([' ', '=']).next().unwrap();
        assert!(text.contains(option) && text.contains(said), "{wrong}: {text}");
    }
    for (twice, said) in [
        ("study power --benchmark exp1d --exposures 1,2,1.0", "`--exposures`: "),
        ("study nplm --benchmark exp1d --strengths 1,2 --strengths 2", "`--strengths`: "),
        (&format!("study nplm {EVENTS} --observables met ht met"), "found met twice"),
        (&format!("study nplm {EVENTS} --observables met+ht ht+met"), "found ht+met twice"),
        (&format!("study nplm {EVENTS} --observables met+met"), "found met twice"),
    ] {
        let text = desk.run(twice).expect(2).stderr;
        assert!(text.contains(said) && text.contains("once"), "{twice}: {text}");
    }
    let exposures = desk.run("study power --benchmark exp1d --exposures 1,0").expect(2).stderr;
    assert!(exposures.contains("--exposures") && exposures.contains("above zero"), "{exposures}");
    for wrong in [
        "--norm-error 0",
        "--norm-error=-1",
        "--norm-error 1.5",
        "--norm-shift 9",
        "--norm-shift nan",
    ] {
        let text = desk.run(&format!("study nplm --benchmark exp1d --test network {wrong}"));
        let text = text.expect(2).stderr;
        assert!(text.contains(&wrong[..12]), "{wrong}: {text}");
    }
}
