//! `scout40 convert` with the binary formats of scouting, through the real binary: there and back,
//! what it says, and what it refuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Desk, fixture};
use scout40_replay::event::{Block, Column, ColumnSet, Group};
use scout40_replay::source::{Delivery, FileSource, Source};
use std::path::{Path, PathBuf};

const STREAM: &str = "fixtures/streams/SVJ.s40";

/// All events of a stream.
fn read(path: &Path) -> Block {
    let mut source = FileSource::open(path).unwrap();
    let mut all = Block::new(source.columns());
    let mut block = Block::default();
    loop {
        match source.next_block(ColumnSet::ALL, &mut block).unwrap() {
            Delivery::Block => (0..block.len()).for_each(|i| all.push_event(&block, i)),
            Delivery::End => return all,
            other => panic!("{other}"),
        }
        all.run = block.run;
    }
}

/// Files in a folder and in those within it, sorted, as words of a command.
fn files_in(folder: &Path) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.iter().map(|path| path.display().to_string()).collect()
}

#[test]
fn a_stream_written_in_each_format_and_read_back_has_the_same_events() {
    let desk = Desk::new();
    let expected = read(&fixture("streams/SVJ.s40"));
    let groups =
        [Group::Crossing, Group::Counts, Group::Met, Group::Muon, Group::EGamma, Group::Jet];
    for (format, options) in [
        ("frd", ""),
        ("frd", "--calo dma"),
        ("cmssw", ""),
        ("native64", ""),
        ("dth256", "--payload run3"),
    ] {
        let name = format!("{format}{}", options.len());
        let text = desk.done(&format!("convert {STREAM} {name} --to {format} {options}")).stdout;
        assert!(text.contains("5 089 events"), "{text}");
        assert!(text.contains("left out         columns event, time"), "{text}");
        assert!(text.contains("written as 12"), "{text}");
        let path = desk.path(&name);
        let files = if path.is_dir() { files_in(&path) } else { vec![name.clone()] };
        assert_eq!(
            files.len(),
            if format == "frd" { 4 - options.len() / 5 } else { 1 },
            "{files:?}"
        );
        desk.done(&format!("convert {} back.s40 --force", files.join(" ")));
        desk.done("verify back.s40");
        let back = read(&desk.path("back.s40"));
        assert_eq!(back.run, expected.run);
        for column in groups.iter().flat_map(|group| group.columns().iter()) {
            assert_eq!(
                back.entries(column),
                expected.entries(column),
                "{name} {}",
                column.spec().name
            );
        }
        assert!(back.get::<u8>(Column::MuonQual).iter().all(|&quality| quality == 12));
    }
}

#[test]
fn damage_is_told_with_file_byte_and_orbit_and_the_rest_is_converted() {
    let desk = Desk::new();
    desk.done(&format!("convert {STREAM} raw --to frd --groups jet"));
    let files = files_in(&desk.path("raw"));
    let mut bytes = std::fs::read(&files[0]).unwrap();
    // The first block of the first orbit says that it has 200 jets.
    bytes[60] = 200;
    desk.write("x.raw", &bytes);
    let outcome = desk.done("convert x.raw x.s40 --kind data");
    let told = "warning: x.raw: byte 60, orbit 1: expected at most 12 objects, found 200";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("1 damaged blocks"), "{}", outcome.stdout);
    let back = read(&desk.path("x.s40"));
    assert!(back.get::<u32>(Column::Orbit).iter().all(|&orbit| orbit == 2) && back.len() > 2000);
}

#[test]
fn inputs_of_which_damage_leaves_no_event_make_no_stream() {
    let desk = Desk::new();
    desk.done(&format!("convert {STREAM} raw --to frd --groups jet"));
    let whole = std::fs::read(&files_in(&desk.path("raw"))[0]).unwrap();
    let refused = |bytes: &[u8], said: [&str; 2]| {
        desk.write("x.raw", bytes);
        let outcome = desk.run("convert x.raw x.s40 --kind data").expect(1);
        for said in said.into_iter().chain(["`x.s40` is not written", "found none", "hint:"]) {
            assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
        }
        assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
        let left: Vec<String> = files_in(&desk.path(""));
        assert!(left.iter().all(|name| name.ends_with(".raw")), "{left:?}");
    };
    std::fs::remove_dir_all(desk.path("raw")).unwrap();
    // Within the first orbit, within its header, and a version that is none.
    refused(&whole[..200], ["warning: x.raw: byte 32, orbit 1:", "1 orbits cut short"]);
    refused(&whole[..40], ["warning: x.raw: byte 32: ", "1 orbits cut short"]);
    let mut version = whole.clone();
    version[32] = 99;
    refused(&version, ["warning: x.raw: byte 32: ", "1 changes to an unknown orbit header"]);
    // With `--force` what was there stays there.
    desk.write("there.s40", b"before");
    desk.run("convert x.raw there.s40 --kind data --force").expect(1);
    assert_eq!(desk.bytes("there.s40"), b"before");
}

#[test]
fn further_objects_are_shown_and_verified() {
    let desk = Desk::new();
    // Two crossings of orbit 3: one Puppi candidate of 20 GeV, and none.
    let words = [0b10_u64 << 62 | 3 << 24 | 1, 3 << 37 | 80, 0b10 << 62 | 3 << 24 | 1 << 12];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    desk.write("puppi.dump", &bytes);
    desk.done("convert puppi.dump puppi.s40");
    desk.done("verify puppi.s40");
    let text = desk.done("inspect puppi.s40").stdout;
    assert!(text.contains("puppi      0.500 per crossing in the first block, 1 at most"), "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains(" 1 puppi objects (0.500 per crossing)"), "{text}");
    assert!(!text.contains("stub objects") && !text.contains("damaged"), "{text}");
    assert!(text.contains("puppi        20.000    0.000    0.000"), "{text}");
    // What is damaged is not in the total, and that is said.
    let mut damaged = desk.bytes("puppi.s40");
    let at = damaged.windows(4).position(|tag| tag == b"BLCK").unwrap();
    damaged[at + 140] ^= 1;
    desk.write("damaged.s40", &damaged);
    let text = desk.done("inspect damaged.s40").stdout;
    assert!(text.contains("2 crossings are damaged: their puppi are not counted"), "{text}");
    desk.done("convert puppi.s40 back.dump --to native64");
    assert_eq!(desk.bytes("back.dump"), bytes);
}

#[test]
fn what_cannot_be_converted_is_refused_with_the_reason() {
    let desk = Desk::new();
    desk.write("text.raw", "eventID;processID;weight;MET;METphi;");
    let refused = |code: i32, words: &str, said: &str| {
        let stderr = desk.run(words).expect(code).stderr;
        assert!(stderr.contains(said), "`{words}`\n{stderr}");
    };
    refused(1, "convert text.raw x.s40", "DTHBasic256: no block head (47 5a) at byte 0");
    refused(1, "convert text.raw x --to frd", "expected a known format");
    refused(1, &format!("convert {STREAM} x.s40"), "`--to FORMAT` writes it in another format");
    refused(1, "convert fixtures/import/SVJ.h5 x --to frd", "found HDF5");
    refused(2, &format!("convert {STREAM} {STREAM} x --to frd"), "expected one stream");
    refused(2, &format!("convert {STREAM} x --to frd --every 2"), "cannot be used with");
    refused(2, &format!("convert {STREAM} x --to root"), "frd, cmssw, native64, dth256");
    refused(
        2,
        &format!("convert {STREAM} x --to native64 --payload jets"),
        "puppi, track-muon, run3",
    );
    refused(1, &format!("convert {STREAM} x --to frd --groups event"), "none of what `frd` holds");
    std::fs::create_dir(desk.path("there")).unwrap();
    refused(
        1,
        &format!("convert {STREAM} there --to frd --force"),
        "a folder is never overwritten",
    );
    assert_eq!(std::fs::read_dir(desk.path("")).unwrap().count(), 2, "nothing is left behind");
}
