//! What goes wrong is said clearly, with the right exit code, and leaves nothing half-written.
//!
//! Every refusal is run through the real binary in a folder of its own. It has to name what is
//! wrong, where, and what to do (the words that are looked for), to end with 1 for a failure and
//! 2 for a request that makes no sense, and to leave the folder exactly as it was: no file under
//! its final name, no temporary one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "bad_input_parts/lying_streams.rs"]
mod lying_streams;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::{Desk, Outcome, fixture};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rust_hdf5::H5File;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::format::{Compression, StreamWriter};
use scout40_replay::source::{Delivery, FileSource, Source};

/// A run that needs nothing else.
const RUN: &str = "run fixtures/pathological/good.s40 --rate max --out o";
/// The same with a model.
const SCORING: &str =
    "run fixtures/pathological/good.s40 --model fixtures/models/forest.model --rate max --out o";

impl Outcome {
    /// These words are in what it said on stderr.
    fn says(self, words: &[&str]) -> Outcome {
        for word in words {
            let Outcome { command, stderr, .. } = &self;
            assert!(stderr.contains(word), "`{command}`: expected `{word}` in\n{stderr}");
        }
        self
    }
}

impl Desk {
    /// Runs a command that has to be refused with this code and these words, and to leave the
    /// folder as it was.
    fn refused(&self, code: i32, words: &str, said: &[&str]) {
        let before = self.contents();
        self.run(words).expect(code).says(&["error: "]).says(said);
        assert_eq!(before, self.contents(), "`{words}` left something behind");
    }

    /// Every file below the folder, with its bytes; folders have none.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    found.insert(path, Vec::new());
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    found.insert(path, bytes);
                }
            }
        }
        found
    }
}

/// Every command that reads stream `path`; none may succeed.
fn readers(path: &str) -> [String; 7] {
    [
        format!("run {path} --model fixtures/models/forest.model --rate max --out o"),
        format!("score {path} --model fixtures/models/forest.model -o scores.parquet"),
        format!("train forest --input {path} --trees 4 --sample-size 64 -o new.model"),
        format!("{SCORING} --target-rate 1MHz --calibrate {path}"),
        format!("{SCORING} --inject {path}@0.1"),
        format!("inspect {path}"),
        format!("verify {path}"),
    ]
}

// Damaged files.

#[test]
fn a_stream_without_a_sound_header_is_refused_by_every_command() {
    let desk = Desk::new();
    desk.write("text.s40", "once upon a time");
    for (path, words) in [
        ("fixtures/pathological/flipped-header.s40", ["header at byte 16", "xxh3", "hint:"]),
        ("fixtures/pathological/newer-version.s40", ["version <= 2", "found 9", "update scout40"]),
        ("fixtures/pathological/wrong-magic.s40", ["89 53 34 30", "89 58 34 30", "convert"]),
        ("fixtures/pathological/empty.s40", ["header at byte 0", "an empty file", "hint:"]),
        ("text.s40", ["expected a .s40 stream", "6f 6e 63 65", "convert"]),
        ("none.s40", ["none.s40", "No such file", ""]),
    ] {
        let name = path.rsplit('/').next().unwrap();
        for command in readers(path) {
            desk.refused(1, &command, &[name]);
            desk.refused(1, &command, &words);
        }
    }
}

#[test]
fn a_stream_cut_within_its_header_is_refused() {
    let desk = Desk::new();
    let good = std::fs::read(fixture("pathological/good.s40")).unwrap();
    for length in [1, 8, 15, 16, 40, 200] {
        desk.write("cut.s40", &good[..length]);
        desk.refused(1, "inspect cut.s40", &["cut.s40", "header", "after", "bytes", "hint:"]);
    }
}

#[test]
fn damaged_streams_are_not_trained_on_scored_or_injected_from() {
    let desk = Desk::new();
    let damaged = "fixtures/pathological/flipped-block.s40";
    let [_, commands @ .., _, _] = readers(damaged);
    for command in commands {
        let words =
            ["flipped-block.s40", "50 crossings corrupt", "jet of orbit 5", "xxh3", "hint:"];
        desk.refused(1, &command, &words);
    }
    for (name, words) in [
        ("truncated", ["cut after byte 10723", "hint:"]),
        ("no-index", ["50 crossings", "cut after byte 17335"]),
    ] {
        let path = format!("fixtures/pathological/{name}.s40");
        let [_, score, train, calibrate, inject, ..] = readers(&path);
        desk.refused(1, &score, &words);
        desk.refused(1, &inject, &words);
        desk.refused(1, &train, &[name, "lost its index", "hint: convert it again"]);
        desk.refused(1, &calibrate, &[name, "no index", "hint: convert it again"]);
    }
}

#[test]
fn verify_tells_what_is_damaged_and_where() {
    let desk = Desk::new();
    for (name, words) in [
        ("truncated", ["does not end with its index", "cut after byte 10723"]),
        ("no-index", ["does not end with its index", "50 crossings lost"]),
        (
            "flipped-block",
            ["block 4", "50 crossings corrupt: column group at byte 8136: jet of orbit 5: "],
        ),
        ("flipped-index", ["no index: index at byte 17360", "xxh3"]),
    ] {
        let outcome = desk.run(&format!("verify fixtures/pathological/{name}.s40")).expect(1);
        assert!(outcome.stdout.contains("DAMAGED"), "{}", outcome.stdout);
        for word in words {
            assert!(outcome.stdout.contains(word), "{name}: {word}\n{}", outcome.stdout);
        }
        outcome.says(&["error: 1 of 1 files damaged"]);
    }
    let good = desk.done("verify fixtures/pathological/good.s40 fixtures/models/forest.model");
    assert_eq!(good.stdout.matches(": whole").count(), 2, "{}", good.stdout);
}

/// Writes the first four events of each block of `good.s40`, changed.
fn write_changed(path: &Path, change: impl Fn(&mut Block)) {
    let mut source = FileSource::open(&fixture("pathological/good.s40")).unwrap();
    let columns = source.columns();
    let mut writer = StreamWriter::create(path, source.header(), Compression::Fast).unwrap();
    let mut block = Block::default();
    while source.next_block(ColumnSet::ALL, &mut block).unwrap() == Delivery::Block {
        let mut few = Block::new(columns);
        few.run = block.run;
        (0..4).for_each(|i| few.push_event(&block, i));
        change(&mut few);
        writer.write(&few).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn verify_finds_sound_blocks_that_are_not_those_of_the_index_by_their_digest() {
    let desk = Desk::new();
    write_changed(&desk.path("one.s40"), |_| {});
    write_changed(&desk.path("other.s40"), |block| {
        block.get_mut::<i16>(Column::MetPt).reverse();
    });
    desk.done("verify one.s40 other.s40");
    let info = |name: &str| FileSource::open(&desk.path(name)).unwrap().info().clone();
    let (one, other) = (info("one.s40"), info("other.s40"));
    let digests = [one.index.clone().unwrap().digest, other.index.unwrap().digest];
    assert_ne!(digests[0], digests[1]);
    // Every checksum of the file that these make together matches.
    let at = one.index_offset.unwrap();
    assert_eq!(Some(at), other.index_offset, "blocks that are not compressed have one length");
    let mut mixed = desk.bytes("other.s40");
    mixed.splice(at as usize.., desk.bytes("one.s40")[at as usize..].iter().copied());
    desk.write("mixed.s40", mixed);
    let outcome = desk.run("verify mixed.s40").expect(1);
    let [expected, found] = digests.map(|digest| format!("{digest:016x}"));
    let words = format!("expected blocks of digest {expected}, found {found}");
    for word in ["mixed.s40: DAMAGED", &format!("index at byte {at}: {words}"), "hint: "] {
        assert!(outcome.stdout.contains(word), "{word}\n{}", outcome.stdout);
    }
    assert_eq!(outcome.stdout.lines().count(), 3, "nothing else is wrong:\n{}", outcome.stdout);
}

#[test]
fn a_model_that_is_none_is_refused_with_its_name_and_the_place_of_the_damage() {
    let desk = Desk::new();
    desk.write("empty.model", "");
    for (path, words) in [
        ("fixtures/pathological/flipped.model", ["byte 24", "checksum of the payload", "damaged"]),
        ("fixtures/pathological/truncated.model", ["byte 16", "length", "copy it again"]),
        ("fixtures/pathological/newer-version.model", ["version", "found 9", "newer"]),
        ("fixtures/pathological/good.s40", ["byte 0", "expected S40MODEL", "S40"]),
        ("empty.model", ["byte 0", "expected a model", "an empty file"]),
        ("none.model", ["none.model", "reading the model", "No such file"]),
    ] {
        let name = path.rsplit('/').next().unwrap();
        let run = format!("{RUN} --model {path}");
        let stream = "fixtures/pathological/good.s40";
        desk.refused(1, &run, &[name]);
        desk.refused(1, &run, &words);
        desk.refused(1, &format!("score {stream} --model {path} -o scores.parquet"), &words);
    }
    for name in ["flipped", "truncated", "newer-version"] {
        let path = format!("fixtures/pathological/{name}.model");
        desk.refused(1, &format!("inspect {path}"), &[&format!("{name}.model")]);
        desk.refused(1, &format!("verify {path}"), &[&format!("{name}.model")]);
    }
}

#[test]
fn a_model_given_as_a_stream_is_refused() {
    let desk = Desk::new();
    let model = "fixtures/models/forest.model";
    let words = ["forest.model", "expected a .s40 stream"];
    desk.refused(1, &format!("run {model} --model {model} --rate max --out o"), &words);
}

#[test]
fn a_stream_of_no_events_runs_but_teaches_nothing() {
    let desk = Desk::new();
    write_parquet(&desk.path("none.parquet"), &events(0));
    let converted = desk.done("convert none.parquet none.s40");
    converted.says(&["warning: no event was written"]);
    let [run, score, train, calibrate, inject, inspect, verify] = readers("none.s40");
    for command in [run, score, inspect, verify] {
        desk.done(&command);
    }
    let summary: serde_json::Value = serde_json::from_slice(&desk.bytes("o/summary.json")).unwrap();
    assert_eq!(summary["counts"]["read"], 0);
    desk.done("verify o/accepted.s40");
    std::fs::remove_dir_all(desk.path("o")).unwrap();
    desk.refused(1, &train, &["training rows", "found 0"]);
    desk.refused(1, &calibrate, &["none.s40", "expected events, found none", "hint:"]);
    desk.refused(1, &inject, &["signal `none`", "expected 1..=", "found 0"]);
    desk.done("run none.s40 --model fixtures/models/forest.model --repeat --duration 1ms --out o");
}

// Files of the field's formats.

/// Values of a parquet column, one list per row.
#[derive(Clone)]
enum Lists {
    Int(Vec<Vec<i32>>),
    Float(Vec<Vec<f32>>),
    Text(Vec<Vec<&'static str>>),
}

type Table = Vec<(&'static str, Lists)>;

/// `n` events with MET, one muon, one e/gamma and one jet.
fn events(n: usize) -> Table {
    let names = [
        "MET_Et",
        "MET_phi",
        "muons_muonIEt",
        "muons_muonIEtaAtVtx",
        "muons_muonIPhiAtVtx",
        "egammas_egIEt",
        "egammas_egIEta",
        "egammas_egIPhi",
        "jets_jetIEt",
        "jets_jetIEta",
        "jets_jetIPhi",
    ];
    names.map(|name| (name, Lists::Int(vec![vec![7]; n]))).into()
}

fn write_parquet(path: &Path, table: &Table) {
    let mut message = String::from("message schema {");
    for (name, lists) in table {
        let ty = match lists {
            Lists::Int(_) => "int32 element",
            Lists::Float(_) => "float element",
            Lists::Text(_) => "binary element (UTF8)",
        };
        message +=
            &format!("optional group {name} (LIST) {{ repeated group list {{ optional {ty}; }} }}");
    }
    let schema = Arc::new(parse_message_type(&(message + "}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, lists) in table {
        let mut column = group.next_column().unwrap().unwrap();
        match lists {
            Lists::Int(rows) => {
                let (values, definition, repetition) = levels(rows);
                let writer = column.typed::<Int32Type>();
                writer.write_batch(&values, Some(&definition), Some(&repetition)).unwrap();
            }
            Lists::Float(rows) => {
                let (values, definition, repetition) = levels(rows);
                let writer = column.typed::<FloatType>();
                writer.write_batch(&values, Some(&definition), Some(&repetition)).unwrap();
            }
            Lists::Text(rows) => {
                let (values, definition, repetition) = levels(rows);
                let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
                let writer = column.typed::<ByteArrayType>();
                writer.write_batch(&values, Some(&definition), Some(&repetition)).unwrap();
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// Values, definition levels, repetition levels.
fn levels<T: Clone>(rows: &[Vec<T>]) -> (Vec<T>, Vec<i16>, Vec<i16>) {
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for row in rows {
        if row.is_empty() {
            definition.push(1);
            repetition.push(0);
        }
        definition.extend(row.iter().map(|_| 3));
        repetition.extend((0..row.len()).map(|k| i16::from(k > 0)));
    }
    (rows.concat(), definition, repetition)
}

#[test]
fn parquet_that_holds_something_else_is_refused_with_column_and_row() {
    let desk = Desk::new();
    let good = events(5);
    let with = |name: &'static str, lists: Lists| -> Table {
        let mut table = good.clone();
        table.iter_mut().filter(|column| column.0 == name).for_each(|c| c.1 = lists.clone());
        table
    };
    let mut lacking = good.clone();
    lacking.retain(|(name, _)| *name != "jets_jetIEta");
    let mut high = vec![vec![7]; 5];
    high[3] = vec![9999];
    let mut nonsense = good.clone();
    nonsense.truncate(2);
    let cases: [(Table, &[&str]); 6] = [
        (lacking, &["expected column", "jets_jetIEta", "not found"]),
        (nonsense, &["expected column", "jets_jetIEt", "not found"]),
        (with("MET_Et", Lists::Float(vec![vec![7.0]; 5])), &["MET_Et", "FLOAT", "rewrite"]),
        (with("jets_jetIPhi", Lists::Text(vec![vec!["7"]; 5])), &["jets_jetIPhi", "UTF8"]),
        (with("jets_jetIEt", Lists::Int(high)), &["row 3", "jets_jetIEt", "found 9999", "exclude"]),
        (with("jets_jetIEt", Lists::Int(vec![vec![7; 13]; 5])), &["row 0", "jet"]),
    ];
    for (table, words) in cases {
        write_parquet(&desk.path("bad.parquet"), &table);
        desk.refused(1, "convert bad.parquet out.s40", &["bad.parquet"]);
        desk.refused(1, "convert bad.parquet out.s40", words);
    }
    write_parquet(&desk.path("good.parquet"), &good);
    desk.done("convert good.parquet out.s40");
}

fn write_hdf5(path: &Path, shape: &[usize], values: &[f64]) {
    let file = H5File::create(path).unwrap();
    let data = file.new_dataset::<f64>().shape(shape).create("Particles").unwrap();
    data.write_raw(values).unwrap();
    file.close().unwrap();
}

#[test]
fn hdf5_of_another_shape_or_with_impossible_values_is_refused() {
    let desk = Desk::new();
    let path = desk.path("bad.h5");
    write_hdf5(&path, &[2, 18, 4], &[0.0; 2 * 18 * 4]);
    desk.refused(1, "convert bad.h5 out.s40", &["bad.h5", "Particles", "shape [2, 18, 4]"]);
    let mut values = [0.0; 3 * 19 * 4];
    for (place, bad, words) in [
        (0, f64::NAN, ["bad.h5", "row 0", "NaN", "exclude the row"]),
        (2 * 19 * 4 + 36, f64::NAN, ["bad.h5", "row 2", "NaN", "Particles"]),
        (19 * 4 + 4, f64::NEG_INFINITY, ["bad.h5", "row 1", "-inf", "Particles"]),
    ] {
        values[place] = bad;
        write_hdf5(&path, &[3, 19, 4], &values);
        desk.refused(1, "convert bad.h5 out.s40", &words);
        values[place] = 0.0;
    }
    write_hdf5(&path, &[3, 19, 4], &values);
    desk.done("convert bad.h5 out.s40");
}

#[test]
fn files_that_cannot_be_imported_are_refused() {
    let desk = Desk::new();
    desk.write("text.parquet", "once upon a time");
    desk.write("empty.parquet", "");
    let good = "fixtures/import/zero-bias.parquet";
    for (input, words) in [
        ("fixtures/pathological/truncated.parquet", ["truncated.parquet", "damaged or cut short"]),
        ("fixtures/pathological/truncated.h5", ["truncated.h5", "damaged or cut short"]),
        ("text.parquet", ["text.parquet", "expected a known format"]),
        ("empty.parquet", ["empty.parquet", "found an empty file"]),
        ("none.parquet", ["none.parquet", "No such file"]),
        (".", ["expected a file, found a folder", "name the files"]),
        ("fixtures/pathological/good.s40", ["good.s40", "--to FORMAT"]),
    ] {
        desk.refused(1, &format!("convert {input} out.s40"), &words);
    }
    let mixed = format!("convert {good} fixtures/import/zero-bias.h5 out.s40");
    desk.refused(1, &mixed, &["zero-bias.h5", "expected parquet", "on its own"]);
    let files = "fixtures/reference/files";
    for (input, words) in [
        ("rntuple.root out.s40", ["rntuple.root", "RNTuple", "hint: rewrite", "mktree"]),
        ("central.root out.s40 --key Runs", ["expected `Runs`", "found Events", "hint:", "--key"]),
        ("signals.h5 out.s40", ["signals.h5", "ttHto2B", "hint:", "--key NAME"]),
        ("signals.h5 out.s40 --key nothing", ["signals.h5", "data set nothing", "not found", ""]),
    ] {
        desk.refused(1, &format!("convert {files}/{input}"), &words);
    }
}

#[test]
fn streams_that_cannot_be_exported_are_refused() {
    let desk = Desk::new();
    let svj = "fixtures/streams/SVJ.s40";
    desk.done("convert fixtures/import/zero-bias.parquet few.s40 --groups met,jet");
    for (code, words, said) in [
        (1, "convert few.s40 out.h5 --to adc2021", ["egamma_pt", "muon_pt", "hint:"]),
        (
            1,
            "convert fixtures/import/SVJ.h5 out.h5 --to adc2021",
            ["expected a stream", "HDF5", "hint:"],
        ),
        (
            2,
            &format!("convert {svj} out.h5 --to adc2021 --rows 0..5"),
            ["--rows", "--to", "cannot be used with"],
        ),
        (2, &format!("convert {svj} out.h5 --to root"), ["--to", "root", "parquet"]),
        (
            1,
            &format!("convert few.s40 {svj} out.parquet --to parquet"),
            ["SVJ.s40", "few.s40", "hint:"],
        ),
        (
            1,
            "convert fixtures/pathological/flipped-block.s40 out.h5 --to adc2021",
            ["flipped-block.s40", "corrupt", "hint: an export is whole"],
        ),
        (
            1,
            "convert fixtures/pathological/truncated.s40 out.parquet --to parquet",
            ["truncated.s40", "lost", "hint: an export is whole"],
        ),
    ] {
        desk.refused(code, words, &said);
    }
}

#[test]
fn tables_with_a_wrong_field_are_refused_with_line_and_column() {
    let desk = Desk::new();
    desk.write("bad.csv", "EventId,a,Weight,Label\n1,2,3,s\n2,x,3,b\n");
    desk.refused(1, "inspect bad.csv", &["bad.csv", "line 3, column a", "found `x`", "hint:"]);
}

#[test]
fn conversions_that_make_no_sense_are_refused() {
    let desk = Desk::new();
    let convert = "convert fixtures/import/zero-bias.parquet out.s40";
    for (code, options, words) in [
        (1, "--rows 400..501", ["rows 400..501", "0..500", "choose a range"]),
        (1, "--rows 500..", ["rows 500..", "0..500", "choose a range"]),
        (2, "--rows 7..5", ["--rows", "expected rows such as", "7..5"]),
        (2, "--rows x", ["--rows", "expected rows such as", "`x`"]),
        (2, "--groups met,quarks", ["column groups among", "found `quarks`", "muon"]),
        (2, "--groups met,", ["column groups among", "found ``", "muon"]),
        (1, "--groups met,score", ["no columns of group `score`", "hint: they have", "muon"]),
        (1, "--place keep", ["no crossings", "hint:", "--place fill"]),
        (2, "--place fill --filling-scheme recorded", ["recorded", "hint:", "--place keep"]),
        (2, "--orbits-per-block 0", ["orbits-per-block", "0", ""]),
        (2, "--every 0", ["--every", "0", ""]),
        (2, "--run -1", ["-1", "", ""]),
        (2, "--kind noise", ["--kind", "noise", "zero-bias"]),
        (2, "--compression none", ["--compression", "none", "small"]),
    ] {
        desk.refused(code, &format!("{convert} {options}"), &words);
    }
    desk.done("convert fixtures/pathological/good.s40 placed --to native64");
    for option in ["--filling-scheme all", "--run 2", "--first-orbit 7", "--orbits-per-block 2"] {
        let (name, _) = option.split_once(' ').unwrap();
        let words = ["crossings are kept", name, "hint:", "--place fill"];
        desk.refused(2, &format!("convert placed out.s40 {option}"), &words);
        desk.done(&format!("convert placed out.s40 {option} --place fill --force"));
        std::fs::remove_file(desk.path("out.s40")).unwrap();
    }
    desk.refused(2, "convert fixtures/import/zero-bias.parquet", &["IN... OUT"]);
    desk.refused(1, "convert fixtures/import/zero-bias.parquet /dev/null/x.s40", &["/dev/null/x"]);
}

// Columns that are not there.

#[test]
fn a_signal_that_lacks_what_the_model_needs_is_refused_with_the_columns() {
    let desk = Desk::new();
    desk.done("convert fixtures/import/SVJ.parquet svj.s40 --groups met,jet");
    let words = ["signal `svj`", "lacks columns", "muon_pt", "hint: convert it again"];
    desk.refused(1, &format!("{SCORING} --inject svj.s40@0.1"), &words);
    let words = ["svj.s40", "lacks columns", "muon_pt", "hint:"];
    let model = "--model fixtures/models/forest.model";
    desk.refused(1, &format!("run svj.s40 {model} --rate max --out o"), &words);
    desk.refused(1, &format!("score svj.s40 {model} -o scores.parquet"), &words);
    desk.refused(1, &format!("{SCORING} --target-rate 1MHz --calibrate svj.s40"), &words);
    desk.refused(1, "train forest --input svj.s40 -o x.model", &["svj.s40", "muon_pt", "take a"]);
    // A model that needs no more than that can use it.
    let small = "--features met.pt,jet[0..4].(pt,eta) --trees 4 --sample-size 64";
    desk.done(&format!("train forest --input svj.s40 {small} -o small.model"));
    desk.done(&format!("{RUN} --model small.model --inject svj.s40@0.1"));
}

#[test]
fn a_model_of_columns_that_the_stream_lacks_is_refused_with_the_columns() {
    let desk = Desk::new();
    desk.done("convert fixtures/import/SVJ.parquet all.s40");
    let small = "--features met.pt,muon[0..2].(pt,qual) --trees 4 --sample-size 64";
    desk.done(&format!("train forest --input all.s40 {small} -o quality.model"));
    let words =
        ["zero-bias.s40", "lacks columns muon_qual", "muon[0..16].(pt,eta,phi), eg", "hint:"];
    let stream = "fixtures/streams/zero-bias.s40";
    desk.refused(1, &format!("run {stream} --model quality.model --rate max --out o"), &words);
    desk.refused(1, &format!("score {stream} --model quality.model -o s.parquet"), &words);
    // Other layouts of the same columns are no trouble.
    let thesis = "--features thesis-99 --trees 4 --sample-size 64 -o thesis.model";
    desk.done(&format!("train forest --input all.s40 {thesis}"));
    desk.done(&format!("{RUN} --model thesis.model"));
}

#[test]
fn training_that_makes_no_sense_is_refused() {
    let desk = Desk::new();
    let train = "train forest --input fixtures/pathological/good.s40 -o new.model";
    for (code, options, words) in [
        (2, "--features quarks", ["feature specification `quarks`", "expected one of"]),
        (2, "--features track_muon[0].pt", ["divided by 2 or 4", "hint: features are"]),
        (2, "--features jet[0].pt+1", ["character 10: expected `,`, found `+`", "hint: features"]),
        (1, "--features track_muon[0].pt/2", ["track_muon_pt, which", "muon[0..16].(pt,"]),
        (1, "--features stub[0].phi", ["columns stub_phi, which the events lack", "hint: take"]),
        (2, "--features met.pt,met.pt", ["twice", "met.pt"]),
        (1, "--rows 400..501", ["rows 400..501", "0..500"]),
        (1, "--rows 500..", ["rows 500..", "0..500"]),
        (1, "--sample-size 1", ["expected", "found 1"]),
        (1, "--trees 0", ["expected", "found 0"]),
        (1, "--fraction-bits 99", ["expected", "found 99"]),
        (2, "--max-depth deep", ["expected `auto`, `unlimited` or a number", "deep"]),
        (2, "--variant tree", ["expected one of iforest, eif", "pidforest"]),
        (2, "--metric deep", ["expected one of depth, adj_depth", "boxed_ratio"]),
        (2, "--split magic", ["--split", "by-range"]),
        (2, "--tries 3", ["`--tries` only means something", "pooled-gain"]),
        (2, "--variant fcf --epsilon 0.1", ["`--epsilon` only means something", "histogram"]),
        (2, "--penalize-range maybe", ["--penalize-range", "'maybe'"]),
        (1, "--variant fcf --tries 0", ["hyperplanes to try", "found 0"]),
        (1, "--variant pidforest --epsilon NaN", ["tolerance of histograms", "found NaN"]),
        (1, "--variant pidforest --max-buckets 1", ["expected 2 to 1000", "found 1"]),
        (1, "--variant rrcf --extension-level 1", ["expected 0", "found 1"]),
        (1, "--metric density --penalize-range true", ["expected depth or adj_depth", "density"]),
        (1, "--metric density --trainer eif-crate --extension-level 1", ["depth", "density"]),
        (1, "--metric density --fraction-bits 24 --trees 5000", ["±2147483646", "fewer"]),
        (2, "--seed x", ["--seed", "'x'"]),
        (2, "--trainer magic", ["--trainer", "eif-crate"]),
    ] {
        desk.refused(code, &format!("{train} {options}"), &words);
    }
    desk.write("constant.parquet", "");
    write_parquet(&desk.path("constant.parquet"), &events(300));
    desk.done("convert constant.parquet constant.s40");
    let constant = "train forest --input constant.s40 -o new.model";
    for variant in ["iforest", "eif", "sciforest", "fcf", "rrcf", "pidforest"] {
        let constant = format!("{constant} --variant {variant}");
        desk.refused(1, &constant, &["57 features are constant", "at least one that varies"]);
    }
}

// Requests that make no sense.

#[test]
fn evaluations_that_cannot_be_are_refused() {
    let desk = Desk::new();
    desk.refused(2, &format!("{SCORING} --isa sse9"), &["sse9", "expected auto, portable"]);
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    desk.refused(2, &format!("{SCORING} --isa {foreign}"), &[foreign, "this processor lacks"]);
    desk.refused(2, &format!("{SCORING} --plan fastest"), &["expected auto, sliced, walk"]);
    desk.done("train forest --input fixtures/pathological/good.s40 --variant eif -o e.model");
    let words = SCORING.replace("fixtures/models/forest.model", "e.model");
    let said = ["e.model", "axis-parallel", "take the plan `walk`"];
    desk.refused(1, &format!("{words} --plan sliced"), &said);
    desk.done(&format!("{words} --plan walk"));
}

#[test]
fn numbers_that_a_run_cannot_have_are_usage_errors() {
    let desk = Desk::new();
    let threshold = ["--threshold", "expected a threshold such as", "raw:"];
    let duration = ["expected a duration such as", "10s", "found"];
    let frequency = ["expected a frequency such as", "1kHz", "found"];
    let batch = ["expected a batch size", "multiple of 64 up to 512", "found"];
    for (options, words) in [
        ("--threshold nan", threshold),
        ("--threshold -NaN", threshold),
        ("--threshold abc", threshold),
        ("--threshold raw:1.5", threshold),
        ("--threshold raw:99999999999", threshold),
        ("--threshold raw:", threshold),
        ("--target-rate 1kHz", ["`--target-rate` needs a background", "hint:", "--calibrate"]),
        ("--target-rate 0Hz", ["frequency above zero", "0Hz", ""]),
        ("--target-rate 1", frequency),
        ("--target-rate nanHz", frequency),
        ("--target-rate 1e300GHz", frequency),
        ("--batch-size 0", batch),
        ("--batch-size 100", batch),
        ("--batch-size 513", batch),
        ("--batch-size -64", ["-6", "", ""]),
        ("--workers 0", ["expected 1 to 256", "--workers", "found 0"]),
        ("--workers 257", ["expected 1 to 256", "--workers", "found 257"]),
        ("--cores 0,9999", ["--cores", "9999", "expected cores among"]),
        ("--cores x", ["--cores", "x", ""]),
        ("--prescale 0", ["--prescale", "0", ""]),
        ("--seed x", ["--seed", "'x'", ""]),
        ("--seed -1", ["-1", "", ""]),
        ("--duration 10", duration),
        ("--duration -1s", ["-1", "", ""]),
        ("--duration soon", duration),
        ("--duration 1e99s", duration),
        ("--ring-depth 5", duration),
        ("--max-wait 1week", duration),
        ("--interval 1us", ["--interval", "at least 1ms", ""]),
        ("--repeat", ["`--repeat` at `--rate max` needs an end", "--duration", "--orbits"]),
        ("--orbits x", ["--orbits", "'x'", ""]),
        ("--on-overload panic", ["--on-overload", "drop, stall", ""]),
        ("--inject fixtures/streams/SVJ.s40", ["--inject", "@FRACTION", "found"]),
        ("--inject svj.s40@1.5", ["--inject", "fraction within 0..=1", "1.5"]),
        ("--inject svj.s40@-0.1", ["--inject", "fraction within 0..=1", "-0.1"]),
        ("--inject svj.s40@nan", ["--inject", "fraction within 0..=1", "NaN"]),
        ("--inject svj.s40@0.1:under", ["--inject", "overlay", "found"]),
    ] {
        desk.refused(2, &format!("{SCORING} {options}"), &words);
    }
    let run = SCORING.replace("--rate max", "--rate");
    for (rate, words) in [
        ("fast", frequency),
        ("40", frequency),
        ("0Hz", ["within 1Hz..=1GHz", "0Hz", ""]),
        ("2GHz", ["within 1Hz..=1GHz", "2GHz", ""]),
        ("infHz", frequency),
        ("-1Hz", ["-1", "", ""]),
    ] {
        desk.refused(2, &run.replace("--rate", &format!("--rate {rate}")), &words);
    }
    desk.refused(2, RUN, &["expected a model or a menu", "hint:", "--model"]);
    desk.refused(2, &format!("{RUN} --threshold 0.5"), &["needs a model", "hint: add `--model"]);
}

#[test]
fn signals_that_do_not_fit_are_refused() {
    let desk = Desk::new();
    let svj = "--inject fixtures/streams/SVJ.s40";
    let sum = ["fractions that add up to at most 1", "found 1.4"];
    desk.refused(2, &format!("{SCORING} {svj}@0.7 {svj}@0.7"), &sum);
    let missing = ["none.s40", "No such file", "--inject"];
    desk.refused(1, &format!("{SCORING} --inject none.s40@0.1"), &missing);
    desk.done(&format!("{SCORING} {svj}@0.5 {svj}@0.5"));
}

#[test]
fn calibrating_with_too_few_events_says_how_many_are_needed() {
    let desk = Desk::new();
    let calibrate = "--calibrate fixtures/pathological/good.s40";
    let words = ["good.s40", "needs at least 30903 background events", "found 500", "hint:"];
    desk.refused(1, &format!("{SCORING} --target-rate 1kHz {calibrate}"), &words);
    desk.done(&format!("{SCORING} --target-rate 100kHz {calibrate}"));
}

#[test]
fn more_workers_than_cores_work_with_a_warning() {
    let desk = Desk::new();
    let outcome = desk.done(&format!("{SCORING} --workers 7 --threshold 0.5"));
    outcome.says(&["warning: 8 threads share cores"]);
    let summary: serde_json::Value = serde_json::from_slice(&desk.bytes("o/summary.json")).unwrap();
    assert_eq!(summary["counts"]["scored"], 500);
    assert_eq!(summary["host"]["cores_workers"].as_array().unwrap().len(), 7);
    assert!(summary["warnings"][0].as_str().unwrap().contains("share cores"));
}

#[test]
fn a_menu_that_makes_no_sense_is_refused_with_its_line() {
    let desk = Desk::new();
    let line = |rest: &str| format!("[[line]]\nname = \"A\"\n{rest}\n");
    let cut = |cut: &str| line(&format!("kind = \"cut\"\nrequire = [{{ {cut} }}]"));
    for (menu, words) in [
        (line("kind = \"score\"\nthreshhold = 0.5"), ["unknown field `threshhold`", "line 4"]),
        ("[[lines]]\nname = \"A\"\n".into(), ["unknown field `lines`", "line 1"]),
        (line("kind = \"magic\"\nthreshold = 0.5"), ["unknown variant `magic`", "cut"]),
        (line("kind = \"score\"\nthreshold = nan"), ["line `A`", "expected a threshold"]),
        (line("kind = \"score\"\nthreshold = \"x\""), ["line `A`", "found `x`"]),
        (line("kind = \"score\"\nthreshold = true"), ["line `A`", "found true"]),
        (line("kind = \"score\""), ["line `A`", "expected `threshold`"]),
        (line("kind = \"cut\""), ["line `A`", "expected `require`"]),
        (line("kind = \"cut\"\nrequire = []"), ["line `A`", "expected `require`"]),
        (line("kind = \"score\"\nthreshold = 0.5").repeat(2), ["line `A`", "a name of its own"]),
        (line("kind = \"score\"\nthreshold = 0.5\nprescale = 0"), ["prescale", "nonzero"]),
        (cut("object = \"quark\", pt_gev = 1"), ["unknown variant `quark`", "muon"]),
        (cut("object = \"jet\", pt_gev = nan"), ["line `A`", "pt_gev: expected a number"]),
        (cut("object = \"jet\", pt_gev = 9, count = 13"), ["line `A`", "count: expected"]),
        (cut("object = \"met\", pt_gev = 9, eta_max = 1"), ["line `A`", "Met has no eta_max"]),
        (cut("object = \"tau\", pt_gev = 9"), ["lacks columns tau_pt", "hint:"]),
        ("name =".into(), ["menu", "line 1"]),
    ] {
        desk.write("menu.toml", &menu);
        desk.refused(1, &format!("{SCORING} --menu menu.toml"), &words);
    }
    let many: String = (0..65)
        .map(|i| format!("[[line]]\nname = \"{i}\"\nkind = \"score\"\nthreshold = 0.5\n"))
        .collect();
    desk.write("menu.toml", many);
    desk.refused(1, &format!("{SCORING} --menu menu.toml"), &["at most 64 lines", "65"]);
    desk.write("menu.toml", line("kind = \"score\"\nthreshold = 0.5"));
    desk.refused(1, &format!("{RUN} --menu menu.toml"), &["line `A` needs a score", "--model"]);
    desk.refused(1, &format!("{RUN} --menu none.toml"), &["none.toml", "No such file"]);
    let twice = format!("{SCORING} --threshold 0.5 --threshold 0.5");
    desk.refused(1, &twice, &["line `score>=0.5`", "a name of its own"]);
}

#[test]
fn a_filling_scheme_that_makes_no_sense_is_refused() {
    let desk = Desk::new();
    for (text, words) in [
        ("", ["scheme.toml", "missing field"]),
        ("name = \"a\"\ncolliding = []", ["`a`", "no colliding crossing"]),
        ("name = \"a\"\ncolliding = [[0, 5]]", ["within 1..=3564", "found 0-5"]),
        ("name = \"a\"\ncolliding = [[1, 3565]]", ["within 1..=3564", "found 1-3565"]),
        ("name = \"a\"\ncolliding = [[9, 5]]", ["first <= last", "found 9-5"]),
        ("name = \"a\"\ncolliding = [[1, 9], [9, 12]]", ["crossing 9", "not after"]),
        ("name = \"a\"\ncolliding = [[1, -9]]", ["scheme.toml", "line 2"]),
        ("name = \"a\"\ncolliding = [[1, 9]]\nslots = 3", ["unknown field `slots`", "line 3"]),
    ] {
        desk.write("scheme.toml", text);
        desk.refused(1, &format!("{SCORING} --filling-scheme scheme.toml"), &words);
        let convert = "convert fixtures/import/zero-bias.parquet out.s40";
        desk.refused(1, &format!("{convert} --filling-scheme scheme.toml"), &words);
    }
    let words = ["none.toml", "No such file", "hint: `lhc`, `all`"];
    desk.refused(1, &format!("{SCORING} --filling-scheme none.toml"), &words);
}

#[test]
fn an_orbit_that_the_stream_does_not_reach_is_refused() {
    let desk = Desk::new();
    desk.refused(
        1,
        &format!("{SCORING} --from-orbit 11"),
        &["good.s40", "no crossing at orbit 11", "are 1..=10"],
    );
    let cut = SCORING.replace("good", "no-index");
    desk.refused(1, &format!("{cut} --from-orbit 2"), &["no-index.s40", "index", "hint:"]);
}

#[test]
fn a_stream_of_several_runs_is_not_repeated() {
    let desk = Desk::new();
    let mut source = FileSource::open(&fixture("pathological/good.s40")).unwrap();
    let (path, header) = (desk.path("runs.s40"), source.header().clone());
    let mut writer = StreamWriter::create(&path, &header, Compression::Fast).unwrap();
    let mut block = Block::default();
    for run in [7, 7, 9] {
        assert_eq!(source.next_block(ColumnSet::ALL, &mut block).unwrap(), Delivery::Block);
        block.run = run;
        writer.write(&block).unwrap();
    }
    writer.finish().unwrap();
    let run = SCORING.replace("fixtures/pathological/good.s40", "runs.s40");
    let words = ["runs.s40", "runs 7..=9", "need a stream of one run", "hint:"];
    desk.refused(1, &format!("{run} --repeat --orbits 3"), &words);
    desk.done(&format!("{run} --threshold 0.5"));
    desk.done("verify o/accepted.s40");
}

// Outputs.

#[test]
fn nothing_is_overwritten_without_force() {
    let desk = Desk::new();
    for name in ["out.s40", "out.model", "out.parquet", "o"] {
        desk.write(name, "precious");
    }
    let good = "fixtures/pathological/good.s40";
    let convert = "convert fixtures/import/zero-bias.parquet out.s40";
    let train = format!("train forest --input {good} --trees 4 --sample-size 64 -o out.model");
    let score = format!("score {good} --model fixtures/models/forest.model -o out.parquet");
    for command in [convert, &train, &score] {
        desk.refused(2, command, &["`out.", "exists", "hint:", "--force"]);
    }
    desk.refused(2, SCORING, &["output folder `o` exists", "hint:", "--out"]);
    // A failure with `--force` leaves the old file as it was.
    desk.refused(1, &format!("{convert} --force --rows 900.."), &["rows 900"]);
    desk.refused(1, &format!("{train} --force --rows 900.."), &["rows 900"]);
    for command in [convert, &train, &score] {
        desk.done(&format!("{command} --force"));
    }
    for name in ["out.s40", "out.model", "out.parquet"] {
        assert_ne!(desk.bytes(name), b"precious", "{name}");
    }
}

#[test]
fn an_output_folder_that_exists_or_cannot_be_made_is_refused() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("o")).unwrap();
    desk.refused(2, SCORING, &["output folder `o` exists", "hint:", "--out"]);
    for out in ["/dev/null/x", "/dev/null/deep/x", "fixtures/SHA256SUMS/x"] {
        let run = SCORING.replace("--out o", &format!("--out {out}"));
        desk.refused(1, &run, &["while making the output folder", "x", "hint:", "--out"]);
    }
    desk.refused(2, &SCORING.replace("--out o", "--out /"), &["--out"]);
    std::fs::remove_dir(desk.path("o")).unwrap();
    std::fs::create_dir(desk.path("o.unfinished")).unwrap();
    desk.refused(1, SCORING, &["o.unfinished", "hint: remove it"]);
}

#[test]
fn files_that_cannot_be_made_are_named() {
    let desk = Desk::new();
    let good = "fixtures/pathological/good.s40";
    for folder in ["/dev/null", "nowhere"] {
        for command in [
            format!("convert fixtures/import/zero-bias.parquet {folder}/x"),
            format!("train forest --input {good} --trees 4 --sample-size 64 -o {folder}/x"),
            format!("score {good} --model fixtures/models/forest.model -o {folder}/x"),
            format!("convert {good} {folder}/x --to parquet"),
            format!("convert {good} {folder}/x --to adc2021"),
        ] {
            desk.refused(1, &command, &[&format!("{folder}/x"), "os error"]);
        }
    }
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    use std::os::unix::fs::FileTypeExt;
    let desk = Desk::new();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let name = socket.display();
    for command in [
        format!("convert fixtures/import/zero-bias.parquet {name} --force"),
        format!("generate --events 10 -o {name} --force"),
        format!("slice fixtures/pathological/good.s40 --head 1 -o {name}"),
    ] {
        let words = [&*format!("`{name}`"), "device, pipe or socket", "hint: name a file"];
        desk.refused(2, &command, &words);
    }
    assert!(socket.metadata().unwrap().file_type().is_socket());
}

/// A disk that is full after 4 KiB of a file, as far as programs can tell.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let desk = Desk::new();
    let good = "fixtures/pathological/good.s40";
    let forest = "--model fixtures/models/forest.model";
    for (command, name) in [
        ("convert fixtures/import/zero-bias.parquet out.s40".to_owned(), "out.s40"),
        (format!("train forest --input {good} -o out.model"), "out.model"),
        ("convert fixtures/streams/SVJ.s40 out.parquet --to parquet".to_owned(), "out.parquet"),
        ("convert fixtures/streams/SVJ.s40 out.h5 --to adc2021".to_owned(), "out.h5"),
        ("convert fixtures/streams/SVJ.s40 out.h5 --to full-data-cyl".to_owned(), "out.h5"),
        (format!("score fixtures/streams/SVJ.s40 {forest} -o out.parquet"), "out.parquet"),
        (format!("run {good} {forest} --rate max --out o --threshold 0.3"), "accepted.s40"),
        (format!("run {good} {forest} --rate max --out o --threshold 0.9"), "scores.csv"),
    ] {
        let mut shell = Command::new("sh");
        let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
        shell.args(["-c", limited, env!("CARGO_BIN_EXE_scout40")]);
        let before = desk.contents();
        desk.start(shell, &command).expect(1).says(&["error: ", "File too large", name]);
        assert_eq!(before, desk.contents(), "`{command}` left something behind");
    }
}
