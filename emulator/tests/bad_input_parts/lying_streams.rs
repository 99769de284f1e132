//! Streams whose every checksum is sound and whose values lie: nothing panics, hangs or invents.
//!
//! Whoever writes a file also writes its checksums. Blocks are changed before they are encoded: crossing
//! numbers that no orbit has, orbits that go backwards, crossings that come twice, codes beyond their
//! fields, multiplicities beyond capacities. Every command that reads streams then gets the file:
//! `verify` has to refuse it, and the others end with 0 or 1.

use std::path::Path;

use scout40_replay::event::{Block, Column, ColumnSet, Element};
use scout40_replay::format::{BlockEncoder, Compression, StreamWriter};
use scout40_replay::source::{Delivery, FileSource, Source};

use crate::common::{Desk, fixture};

/// Writes the blocks of `good.s40`, each as `lie` makes it, under sound checksums.
fn write_lying(path: &Path, lie: impl Fn(&mut Block)) {
    let mut source = FileSource::open(&fixture("pathological/good.s40")).unwrap();
    let columns = source.columns();
    let mut writer = StreamWriter::create(path, source.header(), Compression::Fast).unwrap();
    let mut encoder = BlockEncoder::new(Compression::Fast).unwrap();
    let mut block = Block::default();
    while source.next_block(ColumnSet::ALL, &mut block).unwrap() == Delivery::Block {
        let mut lying = block.clone();
        lie(&mut lying);
        let (mut meta, mut body) = (Vec::new(), Vec::new());
        encoder.encode(&lying, columns, &mut meta, &mut body).unwrap();
        // The writer looks at the block that was true.
        writer.write_encoded(&block, &meta, &body).unwrap();
    }
    writer.finish().unwrap();
}

fn set<T: Element + 'static>(column: Column, at: usize, value: T) -> Box<Lie> {
    Box::new(move |block: &mut Block| block.get_mut::<T>(column)[at] = value)
}

type Lie = dyn Fn(&mut Block);

fn lies() -> Vec<(&'static str, Box<Lie>)> {
    let swap = |column: Column| -> Box<Lie> {
        Box::new(move |block: &mut Block| block.get_mut::<i16>(column).swap(3, 20))
    };
    let last_orbit: Box<Lie> = Box::new(|block| {
        let orbits = block.get_mut::<u32>(Column::Orbit);
        let last = orbits.len() - 1;
        orbits[last] = 0;
    });
    let twice: Box<Lie> = Box::new(|block| {
        let bxs = block.get_mut::<i16>(Column::Bx);
        bxs[7] = bxs[6];
    });
    let all_jets: Box<Lie> = Box::new(|block| block.get_mut::<i16>(Column::JetPt).fill(i16::MIN));
    vec![
        ("bx 0", set::<i16>(Column::Bx, 0, 0)),
        ("bx 0 within", set::<i16>(Column::Bx, 9, 0)),
        ("bx 3565", set::<i16>(Column::Bx, 9, 3565)),
        ("bx 3565 at the end of an orbit", set::<i16>(Column::Bx, 49, 3565)),
        ("bx 65535", set::<i16>(Column::Bx, 9, -1)),
        ("bx 32767", set::<i16>(Column::Bx, 9, i16::MAX)),
        ("crossings out of order", swap(Column::Bx)),
        ("a crossing twice", twice),
        ("an orbit backwards", last_orbit),
        ("more muons than there are", set::<u8>(Column::MuonN, 4, 255)),
        ("more jets than fit", set::<u8>(Column::JetN, 4, 13)),
        ("a jet beyond the detector", set::<i16>(Column::JetEta, 2, i16::MAX)),
        ("a jet at a phi that is none", set::<i16>(Column::JetPhi, 2, -1)),
        ("missing energy below zero", set::<i16>(Column::MetPt, 2, -5)),
        ("all jets below zero", all_jets),
    ]
}

#[test]
fn every_command_survives_values_that_lie_under_sound_checksums_and_verify_tells() {
    let desk = Desk::new();
    for (name, lie) in lies() {
        write_lying(&desk.path("lie.s40"), lie);
        let said = desk.run("verify lie.s40").expect(1).stdout;
        assert!(said.contains("lie.s40: DAMAGED"), "{name}: {said}");
        let run = "run lie.s40 --rate max --model fixtures/models/forest.model --threshold 0.6";
        let network = "--model fixtures/models/autoencoder.model";
        let menu = "fixtures/menus/level1.toml";
        for (k, command) in [
            "inspect lie.s40 --events 60".into(),
            format!("{run} --out a"),
            format!("{run} --filling-scheme recorded --repeat --orbits 40 --out b"),
            format!("{run} --inject lie.s40@0.5:overlay --out c"),
            format!("run lie.s40 --rate max {network} --menu {menu} --readers 2 --out d"),
            format!("{run} --filling-scheme all --from-orbit 3 --out e"),
            "score lie.s40 --model fixtures/models/forest.model -o scores.parquet --force".into(),
            "train forest --input lie.s40 --trees 4 --sample-size 64 -o new.model --force".into(),
            "slice lie.s40 --head 120 -o slice.s40 --force".into(),
            "shuffle lie.s40 --seed 3 -o shuffled.s40 --force".into(),
            "cat lie.s40 -o cat.s40 --force".into(),
            "merge lie.s40 fixtures/pathological/good.s40 -o merged.s40 --force".into(),
            "convert lie.s40 out.parquet --to parquet --force".into(),
            "convert lie.s40 out.native64 --to native64 --payload run3 --force".into(),
            "convert lie.s40 out.h5 --to adc2021 --force".into(),
            "convert lie.s40 cyl.h5 --to full-data-cyl --force".into(),
            "convert lie.s40 frd --to frd".into(),
            "generate --fit lie.s40 --save lie.generator --force".into(),
        ]
        .into_iter()
        .enumerate()
        {
            let outcome = desk.run(&command);
            let code = outcome.code;
            let said = format!("{name}, `{command}`: {code:?}\n{}", outcome.stderr);
            assert!(!outcome.stderr.contains("panicked"), "{said}");
            assert!(matches!(code, Some(0 | 1)), "{said}");
            assert!(code == Some(0) || outcome.stderr.contains("error: "), "{said}");
            assert!(k > 0 || code == Some(0), "what can be shown is shown: {said}");
        }
        for folder in ["a", "b", "c", "d", "e", "frd"] {
            let _ = std::fs::remove_dir_all(desk.path(folder));
        }
    }
}
