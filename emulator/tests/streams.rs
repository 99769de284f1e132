//! The commands that make streams: of streams (cat, slice, merge, shuffle) and of nothing (generate), and
//! a run of what is made while it goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{Desk, Outcome};
use scout40_replay::event::Block;
use scout40_replay::source::{Delivery, FileSource, Source};

const ZERO_BIAS: &str = "fixtures/streams/zero-bias.s40";
const GOOD: &str = "fixtures/pathological/good.s40";

impl Desk {
    fn digest(&self, name: &str) -> u64 {
        FileSource::open(&self.path(name)).unwrap().facts().digest.unwrap()
    }

    /// Refused with this code and these words; no file is left.
    fn refused(&self, code: i32, words: &str, said: &[&str]) {
        let Outcome { stderr, .. } = self.run(words).expect(code);
        for word in said {
            assert!(stderr.contains(word), "`{words}`: expected `{word}` in\n{stderr}");
        }
        assert!(!self.path("out.s40").exists(), "`{words}`");
        let left = std::fs::read_dir(self.path("")).unwrap().filter_map(Result::ok);
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        let is_left = |name: &std::ffi::OsString| {
            let name = name.to_string_lossy();
            name.contains("tmp") || name.contains("shuffle")
        };
        assert!(!left.iter().any(is_left), "`{words}` left {left:?}");
    }
}

/// All events of a stream in one block.
fn events(path: &Path) -> Block {
    let mut source = FileSource::open(path).unwrap();
    let columns = source.columns();
    let (mut all, mut block) = (Block::new(columns), Block::default());
    loop {
        match source.next_block(columns, &mut block).unwrap() {
            Delivery::Block => (0..block.len()).for_each(|i| all.push_event(&block, i)),
            Delivery::End => return all,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_stream_cut_in_two_and_put_together_is_the_stream() {
    let desk = Desk::new();
    desk.done(&format!("slice {ZERO_BIAS} --orbits 0..40 -o a.s40"));
    let said = desk.done(&format!("slice {ZERO_BIAS} --orbits 40..4294967296 -o b.s40")).stdout;
    assert!(said.starts_with("b.s40: ") && said.contains(" events in "), "{said}");
    desk.done("cat a.s40 b.s40 -o whole.s40");
    desk.done("verify whole.s40");
    // Two parts are one by merging, too.
    desk.done("merge b.s40 a.s40 -o merged.s40");
    let expected = events(&common::fixture("streams/zero-bias.s40"));
    for name in ["whole.s40", "merged.s40"] {
        let found = events(&desk.path(name));
        assert_eq!(found.columns(), expected.columns(), "{name}");
        for column in expected.columns().iter() {
            assert!(found.entries(column) == expected.entries(column), "{name}: {column:?}");
        }
    }
}

#[test]
fn a_shuffle_is_the_same_in_any_memory_and_another_with_another_seed() {
    let desk = Desk::new();
    desk.done(&format!("slice {ZERO_BIAS} --head 20000 -o a.s40"));
    desk.done("shuffle a.s40 --seed 5 -o one.s40");
    desk.done("shuffle a.s40 --seed 5 --memory 128KiB -o two.s40");
    desk.done("shuffle a.s40 --seed 6 -o three.s40");
    assert_eq!(desk.bytes("one.s40"), desk.bytes("two.s40"));
    assert_ne!(desk.digest("one.s40"), desk.digest("three.s40"));
    desk.done("verify one.s40 three.s40");
}

#[test]
fn what_cannot_be_made_of_streams_is_refused_and_leaves_nothing() {
    let desk = Desk::new();
    desk.refused(2, &format!("slice {GOOD} -o out.s40"), &["expected a part", "hint: `--orbits"]);
    desk.refused(
        1,
        &format!("slice {GOOD} --lumi 7 -o out.s40"),
        &["no crossing is chosen", "hint"],
    );
    desk.refused(2, &format!("slice {GOOD} --orbits 7..3 -o out.s40"), &["7..3"]);
    desk.refused(2, &format!("slice {GOOD} --head 0 -o out.s40"), &["head"]);
    desk.refused(
        1,
        &format!("cat {GOOD} {GOOD} -o out.s40"),
        &["expected crossings after", "shift-orbits"],
    );
    desk.refused(
        1,
        &format!("merge {GOOD} {GOOD} -o out.s40"),
        &["no other input has", "--duplicates first"],
    );
    desk.refused(1, &format!("cat {GOOD} {ZERO_BIAS} -o out.s40"), &["it has", "--common-columns"]);
    for damaged in
        ["truncated", "no-index", "flipped-block", "flipped-header", "flipped-index", "empty"]
    {
        let path = format!("fixtures/pathological/{damaged}.s40");
        for command in ["cat", "merge", "shuffle", "slice --head 500"] {
            desk.refused(1, &format!("{command} {path} -o out.s40"), &[damaged, "hint:"]);
        }
    }
    desk.refused(2, &format!("shuffle {GOOD} --memory 5MB -o out.s40"), &["256MiB"]);
    desk.refused(
        1,
        &format!("shuffle {GOOD} --memory 1 -o out.s40"),
        &["bytes of memory", "--memory"],
    );
    desk.refused(1, "cat none.s40 -o out.s40", &["none.s40"]);
    desk.write("text.s40", "once upon a time");
    desk.refused(1, "merge text.s40 -o out.s40", &["text.s40", "expected a .s40 stream"]);
    desk.done(&format!("cat {GOOD} -o kept.s40"));
    desk.refused(2, "cat kept.s40 -o kept.s40", &["exists", "--force"]);
    desk.refused(2, "cat kept.s40 -o kept.s40 --force", &["an input and the output"]);
    desk.done("verify kept.s40");
}

#[test]
fn generated_streams_are_the_same_for_any_number_of_threads_and_can_be_fitted_again() {
    let desk = Desk::new();
    desk.done("generate --events 50000 --threads 1 --seed 3 --pile-up poisson:60 -o one.s40");
    desk.done("generate --events 50000 --threads 3 --seed 3 --pile-up poisson:60 -o three.s40");
    desk.done("generate --events 50000 --threads 3 --seed 4 --pile-up poisson:60 -o other.s40");
    assert_eq!(desk.bytes("one.s40"), desk.bytes("three.s40"));
    assert_ne!(desk.digest("one.s40"), desk.digest("other.s40"));
    desk.done("verify one.s40");
    let said = desk.done("generate --fit one.s40 --save again.generator").stdout;
    assert!(said.contains("model of 50 000 events of generated-zero-bias"), "{said}");
    desk.done(
        "generate --from again.generator --events 5000 --compression small --name x -o x.s40",
    );
    let header = FileSource::open(&desk.path("x.s40")).unwrap().header().clone();
    assert_eq!(header.sample, "x");
    let columns = |name: &str| FileSource::open(&desk.path(name)).unwrap().columns();
    assert_eq!(columns("x.s40"), columns("one.s40"), "the columns of what it was fitted to");
}

#[test]
fn what_cannot_be_generated_is_refused_and_leaves_nothing() {
    let desk = Desk::new();
    desk.refused(2, "generate --events 5 --pile-up 0 -o out.s40", &["poisson:60"]);
    desk.refused(2, "generate -o out.s40", &["--events"]);
    desk.refused(2, "generate --events 10", &["--output"]);
    desk.refused(
        2,
        "generate --events 5 --filling-scheme recorded -o out.s40",
        &["no recorded crossings"],
    );
    // A hint names what is accepted here, and no more.
    desk.refused(
        1,
        "generate --events 5 --filling-scheme foo -o out.s40",
        &["filling scheme `foo`", "hint: `lhc`, `all`, `single` or a TOML file"],
    );
    let run = "run fixtures/pathological/good.s40 --model fixtures/models/forest.model --threshold 0.5 \
               --rate max --filling-scheme foo --out out";
    desk.refused(1, run, &["hint: `lhc`, `all`, `single`, `recorded` or a TOML file"]);
    desk.refused(
        1,
        &format!("generate --events 5 --from {GOOD} -o out.s40"),
        &["S40GENER", "--fit"],
    );
    desk.refused(
        1,
        &format!("generate --events 5 --fit {GOOD} -o out.s40"),
        &["at least 1000 events"],
    );
    desk.refused(1, "generate --events 5 --fit none.s40 -o out.s40", &["none.s40"]);
    desk.refused(1, "generate --events 99999999999999 -o out.s40", &["2^32 orbits"]);
    desk.refused(
        1,
        "generate --events 5 --orbits-per-block 4000 -o out.s40",
        &["orbits per block"],
    );
    desk.done("generate --events 5 -o kept.s40");
    desk.refused(2, "generate --events 5 -o kept.s40", &["exists", "--force"]);
}

#[test]
fn a_run_of_generated_events_needs_no_file_and_is_repeatable() {
    let desk = Desk::new();
    let run = |out: &str, pool: u64, extra: &str| {
        let words = format!(
            "run --source generator:pile-up=60,seed=9,pool={pool} --model fixtures/models/autoencoder.model \
             --threshold 2.5 --rate max --orbits 40 --out {out} {extra}"
        );
        desk.done(&words).stdout
    };
    let said = run("fresh", 0, "");
    assert!(said.contains("generator:pile-up=60,seed=9,pool=0"), "{said}");
    assert!(said.contains("read = scored + dropped + truncated + corrupt holds: 109920"), "{said}");
    run("again", 0, "");
    assert_eq!(desk.bytes("fresh/accepted.s40"), desk.bytes("again/accepted.s40"));
    // A pool that is longer than the run holds the very events that would be made.
    run("pool", 200_000, "");
    assert_eq!(desk.digest("fresh/accepted.s40"), desk.digest("pool/accepted.s40"));
    // Injection depends on crossings, and every orbit is another one.
    let said = run("small", 11_000, "--inject fixtures/streams/SVJ.s40@0.01");
    assert!(said.contains("SVJ"), "{said}");
    for bad in ["generator:pile-up=0", "generator:pool=many", "generator:colour=red"] {
        desk.refused(2, &format!("run --source {bad} --menu x.toml --orbits 4"), &["expected"]);
    }
    let endless = "run --source generator --model fixtures/models/autoencoder.model --rate max";
    desk.refused(2, endless, &["needs an end", "--duration"]);
    desk.refused(2, &format!("{endless} --repeat --orbits 4"), &["begin again"]);
    desk.refused(
        1,
        &format!("run --source generator:model={} --menu x.toml --orbits 4", "none"),
        &["none"],
    );
}
