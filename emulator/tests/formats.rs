//! Conversions from and to the field's formats, and tables, through the real binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::Desk;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::source::{Delivery, FileSource, Source};

/// All events of a stream as one block.
fn events(path: &Path) -> Block {
    let mut source = FileSource::open(path).unwrap();
    let mut all = Block::new(source.columns());
    let mut block = Block::default();
    while source.next_block(ColumnSet::ALL, &mut block).unwrap() == Delivery::Block {
        (0..block.len()).for_each(|i| all.push_event(&block, i));
        all.run = block.run;
    }
    all
}

#[test]
fn a_stream_comes_back_from_parquet_with_all_its_columns_and_crossings() {
    let desk = Desk::new();
    desk.done("convert fixtures/import/zero-bias.parquet a.s40 --first-orbit 7 --run 9");
    let said = desk.done("convert a.s40 a.parquet --to parquet").stdout;
    assert!(said.contains("a.parquet: 500 events") && !said.contains("left out"), "{said}");
    assert!(desk.bytes("a.parquet").starts_with(b"PAR1"));
    desk.done("convert a.parquet b.s40");
    let [before, after] = ["a.s40", "b.s40"].map(|name| events(&desk.path(name)));
    assert_eq!((before.columns(), before.run), (after.columns(), after.run));
    for column in before.columns().iter() {
        assert_eq!(before.entries(column), after.entries(column), "{column:?}");
    }
}

#[test]
fn what_a_format_cannot_hold_is_told() {
    let desk = Desk::new();
    desk.done("convert fixtures/reference/files/scouting-zstd.root a.s40 --kind data");
    let said = desk.done("convert a.s40 a.h5 --to adc2021").stdout;
    for words in ["columns orbit, bx", "tau_pt", "muons beyond 4", "e/gammas beyond 4"] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
    assert!(!said.contains(" 0 "), "nothing that is zero is told\n{said}");
    let said = desk.done("convert a.s40 b.h5 --to full-data-cyl57 --key SVJ").stdout;
    assert!(said.contains("muons beyond 4"), "{said}");
    desk.done("convert b.h5 b.s40 --kind signal");
    let [before, after] = ["a.s40", "b.s40"].map(|name| events(&desk.path(name)));
    assert_eq!(before.get::<i16>(Column::MetPt), after.get::<i16>(Column::MetPt));
    assert!(after.get::<u8>(Column::MuonN).iter().all(|&n| n <= 4));
}

#[test]
fn nano_aod_and_the_training_layout_are_recognised_by_content() {
    let desk = Desk::new();
    for (file, options, crossings) in [
        ("scouting-lzma.root", "--kind data", 60),
        ("central.root", "", 60),
        ("cylinder.h5", "", 60),
        ("signals.h5", "--key haa4b --kind signal", 60),
    ] {
        let bytes = std::fs::read(common::fixture(&format!("reference/files/{file}"))).unwrap();
        desk.write("x.txt", bytes);
        let said = desk.done(&format!("convert x.txt out.s40 --force {options}")).stdout;
        assert!(said.contains(&format!("out.s40: {crossings} events")), "{file}: {said}");
        assert_eq!(events(&desk.path("out.s40")).len(), crossings, "{file}");
    }
    let said = desk.done("convert fixtures/reference/files/detailed.root d.s40").stdout;
    assert!(said.contains("120 objects of other crossings skipped"), "{said}");
}

#[test]
fn every_format_is_read_under_the_name_of_every_other() {
    let desk = Desk::new();
    desk.done("slice fixtures/pathological/good.s40 --head 100 -o s.s40");
    let written = [
        ("native64", "--payload run3", "dump"),
        ("dth256", "--payload run3", "dth"),
        ("parquet", "", "parquet"),
        ("adc2021", "", "h5"),
        ("full-data-cyl", "", "hdf5"),
        ("frd", "", "raw"),
        ("cmssw", "--payload run3", "root"),
    ];
    for (k, (format, options, _)) in written.iter().enumerate() {
        desk.done(&format!("convert s.s40 {format}.out --to {format} {options}"));
        let mut path = desk.path(&format!("{format}.out"));
        while path.is_dir() {
            // Of several sources one is enough.
            let mut inside: Vec<_> =
                std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            inside.sort();
            path = inside.swap_remove(0);
        }
        let (_, _, other) = written[(k + 1) % written.len()];
        for name in [&format!("wrong.{other}"), "wrong.s40", "wrong.csv", "wrong"] {
            desk.write(name, std::fs::read(&path).unwrap());
            desk.done(&format!("convert {name} back.stream --force {options}"));
            assert!(!events(&desk.path("back.stream")).is_empty(), "{format} as {name}");
        }
    }
}

#[test]
fn what_is_of_no_known_format_is_told_with_what_is_known_and_what_else_it_may_be() {
    let desk = Desk::new();
    desk.write("events.root", "once upon a time");
    for (file, hint) in [
        ("events.root", "docs/formats.md says"),
        ("fixtures/reference/files/higgs-ml.csv", "this is a table"),
        ("fixtures/reference/files/dark-machines.csv", "this is a table"),
        ("fixtures/models/forest.model", "this is a model"),
        ("fixtures/generators/zero-bias.generator", "this is a generator"),
    ] {
        let said = desk.run(&format!("convert {file} x.s40")).expect(1).stderr;
        assert!(said.contains("expected a known format, found a file that begins with"), "{said}");
        for known in
            ["scout40 stream", "parquet", "HDF5", "Run-3", "DTHBasic256", "Native64", "ROOT"]
        {
            assert!(said.contains(known), "{known} in\n{said}");
        }
        let line = said.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(line.contains(hint), "{said}");
    }
}

#[test]
fn tables_are_shown_with_columns_ranges_and_weights() {
    let desk = Desk::new();
    let said = desk.done("inspect fixtures/reference/files/higgs-ml.csv").stdout;
    for words in ["Kaggle HiggsML", "200 of 30 columns", "DER_mass_MMC", "sum of weights"] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let of_signal: Vec<String> = line("s ").split_whitespace().map(str::to_owned).collect();
    assert_eq!(of_signal, ["s", "67", "0.100500"]);
    assert!(line("DER_deltaeta_jet_jet").contains(" 40 "), "missing values are counted");
    let said = desk.done("inspect fixtures/reference/files/dark-machines.csv").stdout;
    assert!(said.contains("Dark Machines") && said.contains("object7_phi_rad"), "{said}");
    assert!(said.contains("4top"), "{said}");
}
