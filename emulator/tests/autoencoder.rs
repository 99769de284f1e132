//! Training of autoencoders from the command line: what it leaves, repeats, resumes and refuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::Desk;

/// 500 rows of background.
const GOOD: &str = "fixtures/pathological/good.s40";

fn train(output: &str, options: &str) -> String {
    format!("train autoencoder --input {GOOD} --batch-size 32 -o {output} {options}")
}

#[test]
fn an_autoencoder_is_trained_twice_alike_and_scores() {
    let desk = Desk::new();
    for kind in [
        "--hidden 8 --latent 2 --epochs 3 --fine-tuning-epochs 0",
        "--kind reconstruction --targets pt --hidden 8-2-8 --epochs 2 --fine-tuning-epochs 1 \
         --clip-quantile 0.99 --loss huber:0.1 --shift jet=3,met=1 \
         --features met.pt,jet[0..4].(pt,eta)",
        "--kind convolutional --filters 2 --latent 3 --epochs 2 --fine-tuning-epochs 1",
    ] {
        let outcome = desk.done(&train("a.model", &format!("{kind} --force")));
        assert!(outcome.stdout.contains("a.model: trained on 500 rows"), "{}", outcome.stdout);
        let last = if kind.contains("epochs 0") { "epoch 3: " } else { "epoch 3 (fine-tuning): " };
        assert!(outcome.stderr.contains(last), "{}", outcome.stderr);
        desk.done(&train("b.model", &format!("{kind} --force")));
        assert_eq!(desk.bytes("a.model"), desk.bytes("b.model"), "{kind}");
        let losses = String::from_utf8(desk.bytes("a.loss.csv")).unwrap();
        assert_eq!(losses.lines().count(), 4, "{losses}");
        assert!(losses.starts_with("epoch,part,training_loss,validation_loss,"), "{losses}");
        assert!(!desk.path("a.checkpoint").exists());
        if cfg!(feature = "plot") {
            let figure = String::from_utf8(desk.bytes("a.loss.svg")).unwrap();
            assert!(figure.contains("validation") && figure.contains("best"), "{figure}");
            assert!(desk.bytes("a.loss.png").starts_with(b"\x89PNG"));
        }
        let about = desk.done("inspect a.model").stdout;
        assert!(about.contains("best_epoch = "), "{about}");
        let out = kind.len();
        let run = format!("run {GOOD} --model a.model --rate max --threshold raw:1 --out o{out}");
        desk.done(&run);
    }
}

#[test]
fn a_checkpoint_goes_on_with_its_own_settings_only() {
    let desk = Desk::new();
    let settings = "--hidden 4 --latent 2 --epochs 2";
    desk.done(&train("a.model", &format!("{settings} --keep-checkpoint")));
    assert!(desk.path("a.checkpoint").exists());
    std::fs::rename(desk.path("a.model"), desk.path("first.model")).unwrap();
    for ending in ["csv", "svg", "png"] {
        let path = desk.path(&format!("a.loss.{ending}"));
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let left = desk.run(&train("a.model", settings)).expect(2).stderr;
    assert!(left.contains("a.checkpoint") && left.contains("`--resume` goes on"), "{left}");
    let other = train("a.model", "--hidden 5 --latent 2 --epochs 2 --resume");
    let other = desk.run(&other).expect(1).stderr;
    assert!(other.contains("expected hidden 5, found hidden 4"), "{other}");
    desk.done(&train("a.model", &format!("{settings} --resume")));
    assert_eq!(desk.bytes("a.model"), desk.bytes("first.model"));
    assert!(!desk.path("a.checkpoint").exists());
    desk.write("a.checkpoint", "rubbish");
    let damaged = desk.run(&train("a.model", &format!("{settings} --force --resume"))).expect(1);
    assert!(damaged.stderr.contains("header: expected 24 bytes"), "{}", damaged.stderr);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let desk = Desk::new();
    for (code, options, words) in [
        (2, "--hidden 8,4", ["expected widths such as `32-16`", "8,4"]),
        (2, "--loss l1", ["expected `mse` or `huber:DELTA`", "l1"]),
        (2, "--targets charm", ["expected `all`, a field such as `pt`", "`charm`"]),
        (2, "--kind reconstruction --beta 1", ["`--beta` means nothing", "reconstruction"]),
        (2, "--kind convolutional --hidden 8", ["`--hidden` means nothing", "convolutional"]),
        (2, "--filters 8", ["`--filters` means nothing", "variational"]),
        (2, "--kind cae --features jet[0..3].pt", ["expected pt, eta, phi", "jet0_pt, jet1_pt"]),
        (1, "--kind cae --targets pt", ["targets", "the whole image"]),
        (1, "--cap 3", ["cap of hidden values", "a power of two"]),
        (2, "--shift jet", ["expected a shift such as `jet=2`", "`jet`"]),
        (1, "--shift tau=2", ["expected one of egamma, jet, met, muon", "tau"]),
        (1, "--learning-rate 0", ["learning rate", "found 0"]),
        (1, "--latent 128", ["outputs of the network", "found 128"]),
        (1, "--rows 0..30", ["training rows", "found 27"]),
        (1, "--rows 400..501", ["rows 400..501", "0..500"]),
        (1, "--learning-rate 1e30", ["expected a finite loss", "hint:"]),
    ] {
        let stderr = desk.run(&train("new.model", options)).expect(code).stderr;
        assert!(words.iter().all(|word| stderr.contains(word)), "{options}: {stderr}");
        assert!(!desk.path("new.model").exists() && !desk.path("new.loss.csv").exists());
    }
}

/// What integers cost an autoencoder, and what another model has that it has not.
#[test]
fn models_and_their_twins_are_compared_on_the_same_events() {
    let desk = Desk::new();
    desk.done(&train("a.model", "--rows 0..400 --hidden 8 --latent 2 --epochs 40"));
    desk.done(&format!("train forest --input {GOOD} --trees 20 --sample-size 64 -o b.model"));
    let signals = "--signal fixtures/streams/SVJ.s40 fixtures/streams/Ato4l.s40";
    let compare = format!(
        "study compare --background fixtures/streams/zero-bias.s40 --rows 0..50000 {signals} \
         --rates 10kHz --resamples 50 --model"
    );
    let outcome = desk.done(&format!("{compare} a.model b.model --float-twins -o r"));
    for words in ["50 000 events", "a (float)", "integers against floating point", "at 10 kHz"] {
        assert!(outcome.stdout.contains(words), "{words}: {}", outcome.stdout);
    }
    let report: serde_json::Value = serde_json::from_slice(&desk.bytes("r.json")).unwrap();
    let comparison = &report["comparison"];
    assert_eq!(comparison["signals"][1], "Ato4l");
    assert_eq!(comparison["models"].as_array().unwrap().len(), 3);
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    // The two have the same weights, up to rounding, and order events nearly alike.
    assert!(number(&comparison["twins"][0]["rank_correlation"][0]) > 0.95);
    let first = &comparison["models"][0]["rates"][0];
    assert!((number(&first["ratio_to_first"][0]["value"]) - 1.0).abs() < 1e-12);
    // The same numbers as the command that scores says, with the threshold of the report.
    let threshold = first["threshold"].as_i64().unwrap();
    let run = format!(
        "run fixtures/streams/SVJ.s40 --model a.model --rate max --threshold raw:{threshold} --out o"
    );
    desk.done(&run);
    let summary: serde_json::Value = serde_json::from_slice(&desk.bytes("o/summary.json")).unwrap();
    let counts = &summary["counts"];
    let efficiency = number(&counts["accepted"]) / number(&counts["scored"]);
    assert!((number(&first["efficiency"][0]["value"]) - efficiency).abs() < 1e-12);
    if cfg!(feature = "plot") {
        for figure in ["r-SVJ", "r-Ato4l", "r-mean", "r-a__float"] {
            let svg = String::from_utf8(desk.bytes(&format!("{figure}.svg"))).unwrap();
            assert!(svg.contains("50000 events"), "{figure}");
            assert!(desk.bytes(&format!("{figure}.png")).starts_with(b"\x89PNG"));
        }
    }
    let csv = String::from_utf8(desk.bytes("r.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 3, "{csv}");
    // Events that a model was trained on are left out for all.
    let own = format!("study compare --model a.model b.model --background {GOOD} {signals}");
    let stderr = desk.run(&own).expect(1).stderr;
    assert!(stderr.contains("500 of those asked for were trained on"), "{stderr}");
    // Injected signal is no background.
    desk.done(&format!(
        "run {GOOD} --model b.model --threshold raw:-2000000 --rate max --out inj \
         --inject fixtures/streams/SVJ.s40@0.3"
    ));
    let injected = desk.done(&format!(
        "study compare --model b.model --background inj/accepted.s40 {signals} \
                            --rates 1MHz --resamples 2"
    ));
    let n_injected: Vec<&str> = injected.stdout.lines().next().unwrap().split(' ').collect();
    let place = n_injected.iter().position(|&word| word == "injected);").unwrap();
    assert!(
        n_injected[place - 1].trim_end_matches(':').parse::<u32>().unwrap() > 100,
        "{}",
        injected.stdout
    );
    let beyond = format!("{compare} a.model").replace("0..50000", "290000..999999");
    let beyond = desk.run(&beyond).expect(1).stderr;
    assert!(beyond.contains("290000..999999") && beyond.contains("0..300499"), "{beyond}");
    let forests = desk.run(&format!("{compare} b.model --float-twins")).expect(2).stderr;
    assert!(forests.contains("needs an autoencoder"), "{forests}");
    let few = desk.run(&format!("{compare} a.model --rates 1Hz")).expect(1).stderr;
    assert!(few.contains("0.001 kHz"), "{few}");
    assert!(desk.run(&format!("{compare} a.model -o r")).expect(2).stderr.contains("`--force`"));
}

/// Ctrl-C in the middle, then `--resume`: the model is that of a training left alone.
#[cfg(unix)]
#[test]
fn an_interrupted_training_resumes_to_the_same_model() {
    use std::process::Command;
    use std::time::Duration;

    let desk = Desk::new();
    let settings = "--hidden 8 --latent 2 --epochs 300 --patience none";
    desk.done(&train("whole.model", settings));
    let command = Command::new(env!("CARGO_BIN_EXE_scout40"));
    let running = desk.spawn(command, &train("a.model", settings));
    while !desk.path("a.checkpoint").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = running.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let stderr = running.outcome().expect(1).stderr;
    assert!(stderr.contains("interrupted after step"), "{stderr}");
    assert!(stderr.contains("hint: the same command with `--resume` goes on"), "{stderr}");
    assert!(!desk.path("a.model").exists());
    desk.done(&train("a.model", &format!("{settings} --resume")));
    assert_eq!(desk.bytes("a.model"), desk.bytes("whole.model"));
}
