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
        "--hidden 8 --latent 2 --epochs 3",
        "--kind reconstruction --targets pt --hidden 8-2-8 --epochs 3 --clip-quantile 0.99 \
         --loss huber:0.1 --shift jet=3,met=1 --features met.pt,jet[0..4].(pt,eta)",
    ] {
        let outcome = desk.done(&train("a.model", &format!("{kind} --force")));
        assert!(outcome.stdout.contains("a.model: trained on 500 rows"), "{}", outcome.stdout);
        assert!(outcome.stderr.contains("epoch 3: loss "), "{}", outcome.stderr);
        desk.done(&train("b.model", &format!("{kind} --force")));
        assert_eq!(desk.bytes("a.model"), desk.bytes("b.model"), "{kind}");
        let losses = String::from_utf8(desk.bytes("a.loss.csv")).unwrap();
        assert_eq!(losses.lines().count(), 4, "{losses}");
        assert!(losses.starts_with("epoch,training_loss,validation_loss,"), "{losses}");
        assert!(!desk.path("a.checkpoint").exists());
        let about = desk.done("inspect a.model").stdout;
        assert!(about.contains("best_epoch = "), "{about}");
        let out = if kind.contains("reconstruction") { "o" } else { "p" };
        let run = format!("run {GOOD} --model a.model --rate max --threshold raw:1 --out {out}");
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
    std::fs::remove_file(desk.path("a.loss.csv")).unwrap();
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
        (2, "--kind reconstruction --beta 1", ["`--beta` only means", "variational"]),
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
