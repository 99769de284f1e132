//! The studies as commands: what they say is what runs do, whatever the events come from.
//!
//! Each goes through the real binary on the shipped streams. Statistics are proven beside the code; here it is
//! that the right events reach them: those of a run with the same menu, with weights or without, scored now or
//! before, in one search or in two.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{Desk, Outcome, fixture};
use parquet::data_type::BoolType;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use scout40_replay::event::{Block, Column};
use scout40_replay::format::{Compression, StreamHeader, StreamWriter};
use scout40_replay::source::{Delivery, FileSource, Source};
use serde_json::Value;

const ZERO_BIAS: &str = "fixtures/streams/zero-bias.s40";
const GOOD: &str = "fixtures/pathological/good.s40";
const MODEL: &str = "--model fixtures/models/forest.model";
const SIGNAL: &str = "--signal fixtures/streams/hChToTauNu.s40";

fn json(desk: &Desk, name: &str) -> Value {
    serde_json::from_slice(&desk.bytes(name)).unwrap()
}

/// A command that has to be refused with this code and these words, leaving nothing behind.
fn refused(desk: &Desk, code: i32, words: &str, said: &[&str]) {
    let count = || std::fs::read_dir(desk.path("")).unwrap().count();
    let before = count();
    let Outcome { stderr, .. } = desk.run(words).expect(code);
    for word in said {
        assert!(stderr.contains(word), "`{words}`: expected `{word}` in\n{stderr}");
    }
    assert_eq!(count(), before, "`{words}` left something behind");
}

/// Copies a stream of the fixtures with a weight for each of its rows.
fn write_weighted(desk: &Desk, from: &str, to: &str, weight: impl Fn(usize) -> f64) {
    let mut source = FileSource::open(&fixture(from)).unwrap();
    let columns = source.columns().with(Column::Weight);
    let header = StreamHeader::new(source.header().kind, &source.header().sample, columns);
    let mut writer = StreamWriter::create(&desk.path(to), &header, Compression::Fast).unwrap();
    let (mut block, mut row) = (Block::default(), 0);
    while source.next_block(source.columns(), &mut block).unwrap() == Delivery::Block {
        let mut weighted = Block::new(columns);
        weighted.run = block.run;
        (0..block.len()).for_each(|event| weighted.push_event(&block, event));
        let weights = weighted.get_mut::<f64>(Column::Weight);
        weights.clear();
        weights.extend((row..row + block.len()).map(&weight));
        row += block.len();
        writer.write(&weighted).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn working_points_and_cuts_take_in_a_run_what_the_study_said() {
    let desk = Desk::new();
    let study = desk.done(&format!(
        "study rate {MODEL} --background {ZERO_BIAS} {SIGNAL} --rates 10kHz,100kHz --threshold raw:-9000 \
         --menu fixtures/menus/level1.toml --recorded --write-menu points.toml -o r"
    ));
    assert!(study.stdout.contains("menu or AD_10kHz"), "{}", study.stdout);
    let report = json(&desk, "r.json");
    let menu = std::fs::read_to_string(fixture("menus/level1.toml")).unwrap();
    let points = String::from_utf8(desk.bytes("points.toml")).unwrap();
    desk.write("all.toml", format!("{menu}\n{points}"));
    desk.done(&format!("run {ZERO_BIAS} {MODEL} --menu all.toml --rate max --out o"));
    let summary = json(&desk, "o/summary.json");
    let lines = summary["lines"].as_array().unwrap();
    let n = report["background"]["n_events"].as_f64().unwrap();
    let events = |khz: &Value| {
        khz["value"].as_f64().unwrap() * 1000.0 * n
            / report["filling_scheme"]["collision_rate_hz"].as_f64().unwrap()
    };
    let said = report["lines"]
        .as_array()
        .unwrap()
        .iter()
        .chain(report["working_points"].as_array().unwrap());
    let mut n_compared = 0;
    for said in said.filter(|line| line["name"] != "L1bit") {
        let line = lines.iter().find(|line| line["name"] == said["name"]).unwrap();
        let found = events(&said["rate_khz"]);
        let taken = line["accepted"].as_f64().unwrap();
        assert!((found - taken).abs() < 1e-6, "{}: {found} {taken}", said["name"]);
        n_compared += 1;
    }
    assert_eq!((n_compared, lines.len()), (18, 18));
    // The whole menu, and what the points add, by the bits of the run's decisions.
    let pure = &report["lines"][0]["pure_rate_khz"];
    assert!(events(pure) <= events(&report["lines"][0]["rate_khz"]) && events(pure) > 0.0);
    let added = report["signals"][0]["added_efficiency"].as_array().unwrap();
    assert_eq!(added.len(), 3);
    for figure in ["r-threshold", "r-efficiency"] {
        for ending in ["svg", "png"] {
            assert!(desk.bytes(&format!("{figure}.{ending}")).len() > 1000);
        }
    }
}

#[test]
fn accepted_events_with_their_scores_give_the_thresholds_of_all() {
    let desk = Desk::new();
    desk.done(&format!("run {ZERO_BIAS} {MODEL} --threshold 0.5 --rate max --out o"));
    desk.done(&format!("study rate {MODEL} --background {ZERO_BIAS} --rates 5kHz,20kHz -o all"));
    let n = json(&desk, "all.json")["background"]["n_events"].as_u64().unwrap();
    refused(
        &desk,
        1,
        "study rate --background o/accepted.s40",
        &["accepted events alone", "--out-of"],
    );
    desk.done(&format!(
        "study rate --background o/accepted.s40 --out-of {n} --rates 5kHz,20kHz -o accepted"
    ));
    let (all, accepted) = (json(&desk, "all.json"), json(&desk, "accepted.json"));
    for k in 0..2 {
        let (all, accepted) = (&all["working_points"][k], &accepted["working_points"][k]);
        for what in ["threshold", "rate_khz", "threshold_strict", "threshold_loose"] {
            assert_eq!(all[what], accepted[what], "{what}");
        }
    }
    refused(
        &desk,
        1,
        "study rate --background o/accepted.s40 --out-of 3",
        &["--out-of", "found 3"],
    );
    refused(
        &desk,
        1,
        &format!("study rate --background o/accepted.s40 --out-of {n} --rates 20MHz"),
        &["the run kept all of", "hint: ask for no more"],
    );
    // Events that cuts kept are some of those with their scores: they change nothing, and nothing is known of
    // them alone.
    let cuts = "[[line]]\nname = \"jets\"\nkind = \"cut\"\nrequire = [{ object = \"jet\", pt_gev = 40.0 }]\n";
    let score = "[[line]]\nname = \"score\"\nkind = \"score\"\nthreshold = 0.5\n";
    desk.write("both.toml", format!("{cuts}{score}"));
    desk.write("cuts.toml", cuts);
    for menu in ["both", "cuts"] {
        desk.done(&format!("run {ZERO_BIAS} {MODEL} --menu {menu}.toml --rate max --out {menu}"));
    }
    desk.done(&format!(
        "study rate --background both/accepted.s40 --out-of {n} --rates 5kHz,20kHz -o both"
    ));
    let both = json(&desk, "both.json");
    assert_eq!(both["working_points"], accepted["working_points"]);
    let alone = format!("study rate --background cuts/accepted.s40 --out-of {n} --rates 5kHz");
    refused(&desk, 1, &alone, &["without prescale on the score", "hint: give the stream"]);
    let useless = format!("study rate {MODEL} --background {GOOD} --out-of 9999");
    refused(&desk, 1, &useless, &["`--out-of` is for accepted events"]);
}

#[test]
fn equal_weights_change_nothing_and_impossible_ones_are_told_by_row() {
    let desk = Desk::new();
    let stream = "pathological/good.s40";
    write_weighted(&desk, stream, "two.s40", |_| 2.0);
    let study = |background: &str, stem: &str| {
        desk.done(&format!(
            "study scan {MODEL} --background {background} {SIGNAL} --min-background 2 --expected-background 1e6 \
             --expected-signal 50 -o {stem}"
        ));
        desk.done(&format!(
            "study sculpt {MODEL} --background {background} --observable met,jet_n --rates 1MHz -o c{stem}"
        ));
        (json(&desk, &format!("{stem}.json")), json(&desk, &format!("c{stem}.json")))
    };
    let ((plain, shapes), (weighted, weighted_shapes)) = (study(GOOD, "a"), study("two.s40", "b"));
    assert_eq!(plain["models"][0]["background"]["is_weighted"], false);
    assert_eq!(weighted["models"][0]["background"]["is_weighted"], true);
    for (a, b) in plain["models"][0]["scan"]["choices"]
        .as_array()
        .unwrap()
        .iter()
        .zip(weighted["models"][0]["scan"]["choices"].as_array().unwrap())
    {
        assert_eq!(a["threshold"], b["threshold"]);
        let difference = a["value"].as_f64().unwrap() / b["value"].as_f64().unwrap() - 1.0;
        assert!(difference.abs() < 1e-12, "{a} {b}");
    }
    for k in 0..2 {
        let (a, b) = (&shapes["observables"][k], &weighted_shapes["observables"][k]);
        assert_eq!(a["jensen_shannon"], b["jensen_shannon"]);
        assert_eq!(
            a["accepted"].as_array().unwrap().len(),
            b["accepted"].as_array().unwrap().len()
        );
        let sum = |x: &Value| {
            x["accepted"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).sum::<f64>()
        };
        assert!((2.0 * sum(a) - sum(b)).abs() < 1e-9 && sum(a) > 0.0);
    }
    write_weighted(&desk, stream, "negative.s40", |row| if row == 37 { -0.5 } else { 1.0 });
    let words = format!("study scan {MODEL} --background negative.s40 {SIGNAL}");
    refused(&desk, 1, &words, &["negative.s40", "event 37", "found -0.5", "hint"]);
    write_weighted(&desk, "streams/hChToTauNu.s40", "nothing.s40", |_| 0.0);
    let words = format!("study scan {MODEL} --background {GOOD} --signal nothing.s40");
    refused(&desk, 1, &words, &["nothing.s40", "weight above zero"]);
}

#[test]
fn a_run_calibrates_with_the_weights_that_the_study_knows() {
    let desk = Desk::new();
    // Weights that grow with the row: thresholds of rates are others than without.
    let weight = |row: usize| 1.0 + (row % 7) as f64;
    write_weighted(&desk, "streams/hToTauTau.s40", "weighted.s40", weight);
    let run = |background: &str| {
        desk.done(&format!(
            "run {GOOD} {MODEL} --target-rate 1MHz --calibrate {background} --rate max --out {background}-run"
        ));
        json(&desk, &format!("{background}-run/summary.json"))["calibrations"][0].clone()
    };
    let calibrated = run("weighted.s40");
    desk.done(&format!("study rate {MODEL} --background weighted.s40 --rates 1MHz -o weighted"));
    let point = &json(&desk, "weighted.json")["working_points"][0];
    assert_eq!(calibrated["threshold"], point["threshold"], "{calibrated}");
    assert_eq!(calibrated["rate_khz"], point["rate_khz"]["value"]);
    assert_eq!(calibrated["rate_khz_high"], point["rate_khz"]["high"]);
    write_weighted(&desk, "streams/hToTauTau.s40", "equal.s40", |_| 3.0);
    assert_ne!(run("equal.s40")["threshold"], calibrated["threshold"]);
}

#[test]
fn weights_count_in_fits_of_pile_up_and_in_toys_and_are_refused_where_they_cannot() {
    let desk = Desk::new();
    let stream = "streams/zero-bias.s40";
    write_weighted(&desk, stream, "two.s40", |_| 2.0);
    let rate = |background: &str, stem: &str| {
        desk.done(&format!(
            "study rate {MODEL} --background {background} --rates 1MHz --pile-up {background} --forecast 80 -o {stem}"
        ));
        json(&desk, &format!("{stem}.json"))["pile_up"][0].clone()
    };
    let (plain, weighted) = (rate(ZERO_BIAS, "a"), rate("two.s40", "b"));
    assert_eq!(plain["measured"], weighted["measured"]);
    assert_eq!(plain["curves"], weighted["curves"]);
    assert!(plain["measured"].as_array().unwrap().len() > 4);
    // Toys of weighted events: part of the weight passes, and equal weights change nothing.
    let nplm = |background: &str, stem: &str| {
        desk.done(&format!(
            "study nplm {MODEL} --background {background} {SIGNAL} --accept 0.01 --exposure 30000 \
             --observables met --strengths 0.01 --null-toys 10 --toys 2 --centres 50 --lambda 1e-6 -o {stem}"
        ));
        json(&desk, &format!("{stem}.json"))["outcomes"][0][1]["nulls"][0].clone()
    };
    let (plain, weighted) = (nplm(ZERO_BIAS, "c"), nplm("two.s40", "d"));
    for what in ["n_expected", "n_reference"] {
        assert_eq!(plain[what], weighted[what], "{what}");
    }
    let bump = format!("study bump {MODEL} --input two.s40 --width 60");
    refused(&desk, 1, &bump, &["two.s40", "weights", "hint:"]);
    let compare = format!("study compare {MODEL} --background two.s40 {SIGNAL} --rates 1MHz");
    refused(&desk, 1, &compare, &["two.s40", "weights", "hint:"]);
}

#[test]
fn models_side_by_side_are_each_what_they_are_alone() {
    let desk = Desk::new();
    let scan = |models: &str, stem: &str| {
        let words =
            format!("study scan --model {models} --background {ZERO_BIAS} {SIGNAL} -o {stem}");
        (desk.done(&words).stdout, json(&desk, &format!("{stem}.json"))["models"].clone())
    };
    let (forest, ae) = ("fixtures/models/forest.model", "fixtures/models/autoencoder.model");
    let (text, both) = scan(&format!("{forest} {ae}"), "both");
    for (k, path) in [forest, ae].into_iter().enumerate() {
        let (_, alone) = scan(path, &format!("alone{k}"));
        assert_eq!(alone.as_array().unwrap().len(), 1);
        assert_eq!(both[k], alone[0]);
    }
    assert!(text.contains("efficiency of forest [%]") && text.contains("model"), "{text}");
    let csv = String::from_utf8(desk.bytes("both.csv")).unwrap();
    assert!(csv.starts_with("model,threshold") && csv.contains("\n\"autoencoder\","), "{csv}");
    let menu = format!(
        "study scan --model {forest} {ae} --background {ZERO_BIAS} {SIGNAL} --write-menu m.toml"
    );
    refused(&desk, 2, &menu, &["one model"]);
}

/// Decisions of two algorithms about so many events: every second, every third; plain booleans.
fn write_seeds(desk: &Desk, name: &str, n_rows: usize) {
    let schema = "message seeds { required boolean L1_Second; required boolean L1_Third; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(desk.path(name)).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for step in [2, 3] {
        let taken: Vec<bool> = (0..n_rows).map(|row| row % step == 0).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<BoolType>().write_batch(&taken, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn recorded_decisions_of_algorithms_are_lines_of_a_menu() {
    let desk = Desk::new();
    write_seeds(&desk, "seeds.parquet", 500);
    let good = fixture("pathological/good.s40").display().to_string();
    let rate = format!("study rate {MODEL} --background {good} --threshold raw:-99999");
    desk.done(&format!("{rate} --seeds {good}=seeds.parquet -o r"));
    let report = json(&desk, "r.json");
    let per_event =
        report["filling_scheme"]["collision_rate_hz"].as_f64().unwrap() / 500.0 / 1000.0;
    let events = |khz: &Value| khz["value"].as_f64().unwrap() / per_event;
    // Of 0..500: 250 even ones, 167 multiples of three, 84 both. The working point takes all.
    for (line, name, all, pure) in [(0, "L1_Second", 250.0, 166.0), (1, "L1_Third", 167.0, 83.0)] {
        let line = &report["lines"][line];
        assert_eq!(line["name"], name);
        assert!((events(&line["rate_khz"]) - all).abs() < 1e-9, "{line}");
        assert!((events(&line["pure_rate_khz"]) - pure).abs() < 1e-9, "{line}");
        assert!((events(&line["rate_with_point_khz"][0]) - all).abs() < 1e-9, "{line}");
    }
    write_seeds(&desk, "few.parquet", 499);
    let few = format!("{rate} --seeds {good}=few.parquet");
    refused(&desk, 1, &few, &["of 499 events", "holds 500", "hint"]);
    let signal = format!("{rate} {SIGNAL} --seeds {good}=seeds.parquet");
    refused(&desk, 1, &signal, &["no recorded decisions are given", "hChToTauNu.s40"]);
}

/// The public CERN set is not part of the repository: `SCOUT40_CERN_SEEDS=DATA.parquet=SEEDS.parquet` names a file of
/// it and that of its decisions. Each algorithm's column is counted here through the row interface of the parquet
/// library, value by value; the study reads columns, joins by `order` and counts rates.
#[test]
fn decisions_of_the_public_set_are_counted_as_its_columns_have_them() {
    use parquet::file::reader::FileReader;
    use parquet::record::Field;
    let Ok(given) = std::env::var("SCOUT40_CERN_SEEDS") else { return };
    let (data, seeds) = given.split_once('=').unwrap();
    let desk = Desk::new();
    desk.done(&format!("convert {data} data.s40 --place fill"));
    let rate = format!("study rate {MODEL} --background data.s40 --threshold raw:-99999");
    desk.done(&format!("{rate} --seeds data.s40={seeds} -o r"));
    let report = json(&desk, "r.json");
    let file = std::fs::File::open(seeds).unwrap();
    let reader = parquet::file::reader::SerializedFileReader::new(file).unwrap();
    let mut taken = std::collections::BTreeMap::<String, u64>::new();
    let mut n_rows = 0_u64;
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let columns: Vec<_> = row.get_column_iter().collect();
        let is_saturated = columns.iter().any(|(name, value)| {
            name.as_str() == "order" && matches!(value, Field::Long(-1) | Field::Int(-1))
        });
        if is_saturated {
            continue;
        }
        n_rows += 1;
        for (name, value) in columns {
            let decision = match value {
                Field::Bool(decision) => *decision,
                Field::ListInternal(list) => list.elements() == [Field::Bool(true)],
                _ => continue,
            };
            *taken.entry(name.clone()).or_default() += u64::from(decision);
        }
    }
    assert_eq!(report["background"]["n_events"].as_u64(), Some(n_rows));
    let lines = report["lines"].as_array().unwrap();
    assert_eq!(lines.len(), taken.len());
    let khz_of_one =
        report["filling_scheme"]["collision_rate_hz"].as_f64().unwrap() / n_rows as f64 / 1000.0;
    for line in lines {
        let found = line["rate_khz"]["value"].as_f64().unwrap() / khz_of_one;
        let expected = taken[line["name"].as_str().unwrap()];
        assert!((found - expected as f64).abs() < 1e-6, "{line}: {expected}");
    }
}

#[test]
fn what_cannot_be_studied_is_refused_with_what_to_do() {
    let desk = Desk::new();
    let rate = format!("study rate {MODEL} --background {GOOD}");
    refused(&desk, 1, &format!("{rate} --rates 1kHz"), &["at least 30903", "10 %", "hint"]);
    refused(&desk, 1, &format!("{rate} --rates 5MHz --menu none.toml"), &["none.toml"]);
    refused(
        &desk,
        1,
        &format!("{rate} --rates 5MHz --recorded"),
        &["no recorded decision", "label"],
    );
    refused(
        &desk,
        1,
        &format!("{rate} --rates 5MHz --seeds x.s40=y"),
        &["no recorded decisions are given"],
    );
    refused(
        &desk,
        2,
        &format!("{rate} --rates 5MHz --filling-scheme recorded"),
        &["filling scheme", "hint: `--filling-scheme` `lhc`, `all`, `single` or a TOML file"],
    );
    refused(&desk, 1, &format!("study rate --background {GOOD}"), &["no scores", "--model"]);
    let sculpt = format!("study sculpt {MODEL} --background {GOOD} --rates 5MHz");
    refused(
        &desk,
        2,
        &format!("{sculpt} --observable mass"),
        &["observable `mass`", "dijet_mass", "jet0_pt"],
    );
    refused(&desk, 1, &format!("{sculpt} --observable tau0_pt"), &["lacks columns tau_pt"]);
    let roc = format!("study roc {SIGNAL} --background {GOOD}");
    refused(&desk, 2, &roc, &["expected a model"]);
    refused(&desk, 2, &format!("{roc} {MODEL} --fpr 2"), &["--fpr", "at most 1"]);
}

#[test]
fn where_nothing_is_rejected_there_is_no_p_value() {
    let desk = Desk::new();
    let all = format!(
        "study sculpt {MODEL} --background {GOOD} --threshold raw:-99999999 --observable met -o all"
    );
    let text = desk.done(&all).stdout;
    let line = text.lines().find(|line| line.starts_with("met ")).unwrap();
    assert!(line.contains("500") && line.contains("  -  "), "{text}");
    assert!(text.contains("-: all events with this observable are accepted"), "{text}");
    let of_all = &json(&desk, "all.json")["observables"][0];
    assert!(of_all["ks_probability"].is_null() && of_all["jensen_shannon"] == 0.0, "{of_all}");
}

#[test]
fn values_that_no_study_can_have_are_wrong_usage() {
    let desk = Desk::new();
    for (study, signal) in [("compare", SIGNAL), ("rate", ""), ("sculpt", ""), ("roc", SIGNAL)] {
        let words =
            format!("study {study} {MODEL} --background {GOOD} {signal} --rates 10kHz,31MHz");
        let said = ["`--rates`", "rate of collisions, 30902", "found 31000 kHz", "hint:"];
        refused(&desk, 2, &words, &said);
    }
    let events = format!("{MODEL} --background {GOOD}");
    for (twice, option) in [
        (format!("rate {events} --rates 1kHz,1000Hz"), "--rates"),
        (format!("rate {events} --pile-up {GOOD} --forecast 60,60"), "--forecast"),
        (format!("sculpt {events} --observable met,ht,met"), "--observable"),
        (format!("sculpt {events} --rates 5MHz,5000kHz"), "--rates"),
        (format!("compare {events} {SIGNAL} --rates 5MHz,5MHz"), "--rates"),
        (format!("roc {events} {SIGNAL} --fpr 0.1,1e-1"), "--fpr"),
    ] {
        refused(&desk, 2, &format!("study {twice}"), &[&format!("`{option}`"), "once", "twice"]);
    }
    #[cfg(feature = "train")]
    {
        let roc = format!("study roc {events} {SIGNAL}");
        let twice = format!("{roc} --train fixtures/models/forest.model --seeds 1,2,1");
        refused(&desk, 2, &twice, &["`--seeds`", "once", "twice"]);
        for of_training in ["--seeds 1,2", "--folds 3"] {
            refused(&desk, 2, &format!("{roc} {of_training}"), &["--train"]);
        }
    }
    for (wrong, said) in [
        ("roc --folds 0", "1.."),
        ("roc --prevalence 1", "between 0 and 1"),
        ("roc --fpr 0", "at most 1"),
        ("scan --b-r 0", "above zero"),
        ("scan --b-r inf", "above zero"),
        ("scan --per-decade 0", "1..=1000"),
        ("scan --min-background 0.5", "at least 1"),
        ("scan --expected-signal 0", "above zero"),
        ("scan --expected-background=-1", "above zero"),
        ("scan --out-of 0", "1.."),
        ("rate --pile-up-width 0", "from 0.1 to 100"),
        ("rate --forecast=-1", "from 0 to 1000"),
    ] {
        let option = wrong.split([' ', '=']).nth(1).unwrap();
        refused(&desk, 2, &format!("study {wrong}"), &[option, said]);
    }
}

#[cfg(feature = "train")]
#[test]
fn folds_are_trained_without_the_events_they_are_tested_with() {
    let desk = Desk::new();
    desk.write(
        "models.toml",
        "[[model]]\nname = 'small'\nkind = 'forest'\ntrees = 5\nsample-size = 64\n\
         [[model]]\nname = 'other'\nkind = 'forest'\ntrees = 5\nsample-size = 64\nvariant = 'rrcf'\n",
    );
    let background = "fixtures/streams/hToTauTau.s40";
    let roc = format!("study roc --train models.toml --background {background} {SIGNAL}");
    let text = desk
        .done(&format!(
            "{roc} {MODEL} --rows 0..3001 --folds 3 --seeds 1,2 --rates 100kHz,1kHz --fpr 0.01 -o r"
        ))
        .stdout;
    assert!(text.contains("needs at least 30903 background events"), "{text}");
    let report = json(&desk, "r.json");
    let models = report["models"].as_array().unwrap();
    assert_eq!(models.len(), 3);
    for model in &models[1..] {
        let trainings = model["trainings"].as_array().unwrap();
        assert_eq!(trainings.len(), 6);
        let n = trainings.iter().map(|t| t["background"]["n_events"].as_u64().unwrap());
        assert_eq!(n.collect::<Vec<_>>(), [1001, 1001, 1000, 1000, 1000, 1000]);
        // Nothing of what is held out was trained on.
        assert!(trainings.iter().all(|t| t["background"]["n_left_out_as_trained_on"] == 0));
        let x: Vec<f64> =
            trainings.iter().map(|t| t["reached"]["auroc"][0].as_f64().unwrap()).collect();
        let mean = x.iter().sum::<f64>() / 6.0;
        let std = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 5.0).sqrt();
        let found = &model["summary"]["auroc"][0];
        assert!((found["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        assert!((found["std"].as_f64().unwrap() - std).abs() < 1e-12 && std > 0.0);
    }
    assert!(models[0]["summary"]["auroc"][0]["std"].is_null());
    refused(&desk, 2, &format!("{roc} --folds 1"), &["holds nothing out", "--test"]);
    refused(&desk, 1, &format!("{roc} --rows 0..2 --folds 3"), &["1 to 2 folds"]);
}

#[cfg(feature = "train")]
#[test]
fn a_search_that_was_interrupted_ends_as_if_it_had_not_been() {
    let desk = Desk::new();
    desk.write(
        "search.toml",
        "[[search]]\nkind = 'forest'\ntrees = [3, 6]\nsample-size = [32, 64]\n\
         [[search]]\nkind = 'forest'\ntrees = 3\nextension-level = [500]\n",
    );
    let tune = format!(
        "study tune search.toml --background fixtures/streams/hToTauTau.s40 {SIGNAL} --rates 1MHz \
         --objective 1MHz --journal j"
    );
    // Nothing to go on with is said.
    let Outcome { stdout: text, stderr, .. } = desk.done(&format!("{tune} --resume -o whole"));
    assert!(text.contains("5 candidates, 1 of them failed"), "{text}");
    assert!(stderr.contains("note: there is no `j` to go on with"), "{stderr}");
    refused(&desk, 2, &tune, &["`--resume` goes on"]);
    let journal = String::from_utf8(desk.bytes("j")).unwrap();
    assert_eq!(journal.lines().count(), 6);
    // The head, two entries and a half.
    let place = journal.match_indices('\n').nth(2).unwrap().0 + 40;
    desk.write("j", &journal[..place]);
    let went_on = desk.done(&format!("{tune} --resume -o resumed")).stderr;
    assert!(!went_on.contains("note:"), "{went_on}");
    let (whole, resumed) = (json(&desk, "whole.json"), json(&desk, "resumed.json"));
    let tried = |report: &Value| -> Vec<Value> {
        let tried = report["tried"].as_array().unwrap().iter();
        let known = |t: &Value| {
            let entry = &t["entry"];
            serde_json::json!([
                t["search"],
                t["chosen"],
                t["value"],
                entry["auroc"],
                entry["failed"],
                entry["model_digest"]
            ])
        };
        tried.map(known).collect()
    };
    assert_eq!(tried(&whole), tried(&resumed));
    let values: Vec<f64> =
        whole["tried"].as_array().unwrap().iter().filter_map(|t| t["value"].as_f64()).collect();
    assert_eq!(values.len(), 4);
    assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{values:?}");
    assert!(whole["tried"][0]["entry"]["ns_per_event"].as_f64().unwrap() > 0.0);
    let words = format!("{tune} --resume --train-seed 2");
    refused(&desk, 1, &words, &["journal of something else"]);
}
