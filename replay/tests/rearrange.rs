//! Streams made of streams hold the very events, in the right order, with their history; whatever is
//! wrong with an input is an error that leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::{Path, PathBuf};

use common::{Random, assert_same, random_block, random_blocks, write_stream};
use scout40_replay::event::{Block, Collection, Column, ColumnSet, Group};
use scout40_replay::format::{Compression, SampleKind, StreamHeader, StreamWriter, WriteSummary};
use scout40_replay::lhc::lumi_section_of_orbit;
use scout40_replay::rearrange::{
    CatOptions, Duplicates, MergeOptions, OutputOptions, RearrangeError, Report, Selection,
    ShuffleOptions, cat, merge, shuffle, slice,
};
use scout40_replay::source::{Delivery, FileSource, Source};

/// A folder, and streams in it.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.path(name)).collect()
    }

    fn cat(
        &self,
        names: &[&str],
        to: &str,
        options: &CatOptions,
    ) -> Result<Report, RearrangeError> {
        cat(&self.paths(names), &self.path(to), options, &mut |_| ())
    }

    fn merge(
        &self,
        names: &[&str],
        to: &str,
        duplicates: Duplicates,
    ) -> Result<Report, RearrangeError> {
        let options = MergeOptions { duplicates, ..MergeOptions::default() };
        merge(&self.paths(names), &self.path(to), &options, &mut |_| ())
    }

    fn slice(&self, name: &str, to: &str, selection: Selection) -> Result<Report, RearrangeError> {
        let options = OutputOptions::default();
        slice(&self.path(name), &self.path(to), &selection, &options, &mut |_| ())
    }

    fn shuffle(
        &self,
        name: &str,
        to: &str,
        seed: u64,
        memory: u64,
    ) -> Result<Report, RearrangeError> {
        let options = ShuffleOptions {
            rng_seed: seed,
            memory_bytes: memory,
            folder: None,
            output: OutputOptions::default(),
        };
        shuffle(&[self.path(name)], &self.path(to), &options, &mut |_| ())
    }

    /// Names in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// All events of a stream in one block, whose run is that of the first; every block is checked.
fn events(path: &Path) -> Block {
    let mut source = FileSource::open(path).unwrap();
    let columns = source.columns();
    let (mut all, mut block) = (Block::new(columns), Block::default());
    loop {
        match source.next_block(columns, &mut block).unwrap() {
            Delivery::Block => {
                block.check().unwrap();
                if all.is_empty() {
                    all.run = block.run;
                }
                (0..block.len()).for_each(|i| all.push_event(&block, i));
            }
            Delivery::End => return all,
            other => panic!("{other}"),
        }
    }
}

fn header(path: &Path) -> StreamHeader {
    FileSource::open(path).unwrap().header().clone()
}

/// Everything about each event but where it is, as text.
fn contents(all: &Block) -> Vec<String> {
    let places = Group::Crossing.columns().with(Column::Lumi);
    let columns: Vec<Column> = all.columns().minus(places).iter().collect();
    let mut lines = vec![String::new(); all.len()];
    let mut single = Block::new(all.columns());
    for (i, line) in lines.iter_mut().enumerate() {
        single.reset(0, all.columns());
        single.push_event(all, i);
        for &column in &columns {
            *line += &format!("{:?} ", single.entries(column));
        }
    }
    lines
}

/// Crossings `range` of a block that are wanted.
fn part(of: &Block, wanted: impl Fn(usize) -> bool) -> Block {
    let mut part = Block::new(of.columns());
    part.run = of.run;
    (0..of.len()).filter(|&i| wanted(i)).for_each(|i| part.push_event(of, i));
    part
}

/// Writes blocks with the luminosity sections that their orbits have.
fn write(path: &Path, mut blocks: Vec<Block>) -> WriteSummary {
    for block in &mut blocks {
        if block.columns().contains(Column::Lumi) {
            let orbits = block.get::<u32>(Column::Orbit).iter();
            let lumis = orbits.map(|&orbit| lumi_section_of_orbit(orbit)).collect();
            *block.get_mut::<u32>(Column::Lumi) = lumis;
        }
    }
    write_stream(path, &blocks, Compression::Fast)
}

#[test]
fn slices_put_together_are_the_original_wherever_they_were_cut() {
    let desk = Desk::new();
    // Blocks of several orbits, and one so long that its orbits are cut.
    write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[9000, 4000, 1, 12_000, 300], 1));
    let whole = events(&desk.path("a.s40"));
    let n = whole.len() as u64;
    let mut random = Random(5);
    for round in 0..4 {
        let mut cuts = vec![0, n];
        cuts.extend((0..round).map(|_| random.below(n)));
        cuts.sort_unstable();
        cuts.dedup();
        let mut names = Vec::new();
        for (k, cut) in cuts.windows(2).enumerate() {
            let name = format!("part-{round}-{k}.s40");
            let selection = Selection { rows: Some(cut[0]..cut[1]), ..Selection::default() };
            let report = desk.slice("a.s40", &name, selection).unwrap();
            assert_eq!(report.written.index.n_crossings, cut[1] - cut[0]);
            names.push(name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let again = format!("again-{round}.s40");
        let report = desk.cat(&names, &again, &CatOptions::default()).unwrap();
        assert_eq!(report.read, n);
        assert_same(&events(&desk.path(&again)), &whole, ColumnSet::ALL);
        if round == 0 {
            let digest = FileSource::open(&desk.path("a.s40")).unwrap().facts().digest;
            assert_eq!(Some(report.written.index.digest), digest, "the same blocks, too");
        }
    }
}

#[test]
fn a_slice_by_orbits_and_sections_is_what_a_plain_filter_chooses() {
    let desk = Desk::new();
    let mut random = Random(3);
    let border = 1 << 18;
    let first = random_block(ColumnSet::ALL, 9000, border - 2, &mut random);
    let orbit = first.get::<u32>(Column::Orbit)[8999] + 1;
    let second = random_block(ColumnSet::ALL, 5000, orbit, &mut random);
    write(&desk.path("a.s40"), vec![first, second]);
    let whole = events(&desk.path("a.s40"));
    let (orbits, lumis) =
        (whole.get::<u32>(Column::Orbit).to_vec(), whole.get::<u32>(Column::Lumi).to_vec());
    assert_eq!((lumis[0], *lumis.last().unwrap()), (1, 2), "the border is in the stream");
    let check = |name: &str, selection: Selection, wanted: &dyn Fn(usize) -> bool| {
        desk.slice("a.s40", name, selection).unwrap();
        assert_same(&events(&desk.path(name)), &part(&whole, wanted), ColumnSet::ALL);
    };
    let base = Selection::default;
    let range = u64::from(border - 1)..u64::from(border + 1);
    let within = |i: usize| range.contains(&u64::from(orbits[i]));
    check("o.s40", Selection { orbits: Some(range.clone()), ..base() }, &within);
    check("l.s40", Selection { lumis: Some(2..3), ..base() }, &|i| lumis[i] == 2);
    let both = Selection { orbits: Some(range.clone()), lumis: Some(1..2), ..base() };
    check("b.s40", both, &|i| within(i) && lumis[i] == 1);
    check("h.s40", Selection { head: Some(7), lumis: Some(2..3), ..base() }, &|i| {
        let first = lumis.iter().position(|&lumi| lumi == 2).unwrap();
        (first..first + 7).contains(&i)
    });
    check("r.s40", Selection { run: Some(1), head: Some(9001), ..base() }, &|i| i < 9001);
    let none = Selection { orbits: Some(0..5), ..base() };
    let error = desk.slice("a.s40", "none.s40", none).unwrap_err().to_string();
    for word in ["no crossing is chosen", "14000 crossings", "262142..=", "hint:"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(!desk.path("none.s40").exists());
}

#[test]
fn a_slice_reads_no_block_that_holds_none_of_it() {
    let desk = Desk::new();
    let written = write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[500; 4], 2));
    // Damage the first and third blocks beyond recognition: only who reads them can complain.
    let mut bytes = std::fs::read(desk.path("a.s40")).unwrap();
    for block in [0, 2] {
        let offset = written.index.blocks[block].offset as usize;
        bytes[offset + 8..offset + 200].fill(0xAA);
    }
    std::fs::write(desk.path("a.s40"), bytes).unwrap();
    let second = written.index.blocks[1];
    let orbits = u64::from(second.first_orbit)..u64::from(second.last_orbit) + 1;
    let selection = Selection { orbits: Some(orbits), ..Selection::default() };
    let report = desk.slice("a.s40", "b.s40", selection).unwrap();
    assert_eq!((report.read, report.written.index.n_crossings), (500, 500));
    let all = Selection { head: Some(10), ..Selection::default() };
    let error = desk.slice("a.s40", "c.s40", all).unwrap_err();
    assert!(matches!(error, RearrangeError::Damaged { block: 0, .. }), "{error}");
    assert_eq!(desk.names(), ["a.s40", "b.s40"]);
}

#[test]
fn merged_interleaved_parts_are_the_original() {
    let desk = Desk::new();
    write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[9000, 4000, 20, 12_000], 7));
    let whole = events(&desk.path("a.s40"));
    let mut random = Random(11);
    let owner: Vec<u64> = (0..whole.len()).map(|_| random.below(3)).collect();
    let names = ["x.s40", "y.s40", "z.s40"];
    for (k, name) in (0..).zip(names) {
        // One block of at most 2^20 crossings: blocks of the parts end elsewhere.
        write_stream(&desk.path(name), &[part(&whole, |i| owner[i] == k)], Compression::Small);
    }
    let report = desk.merge(&names, "m.s40", Duplicates::Refuse).unwrap();
    assert_eq!((report.read, report.duplicates), (whole.len() as u64, 0));
    assert!(report.written.index.blocks.len() > 1);
    assert_same(&events(&desk.path("m.s40")), &whole, ColumnSet::ALL);
    // Several runs: each run's events stay together.
    let mut other = random_blocks(ColumnSet::ALL, &[700, 300], 8);
    other.iter_mut().for_each(|block| block.run = 0);
    write(&desk.path("run-0.s40"), other);
    let report = desk.merge(&["m.s40", "run-0.s40"], "runs.s40", Duplicates::Refuse).unwrap();
    let runs: Vec<u32> = report.written.index.blocks.iter().map(|block| block.run).collect();
    assert!(runs.is_sorted() && runs[0] == 0 && runs.last() == Some(&1), "{runs:?}");
    assert_eq!(report.written.index.n_crossings, whole.len() as u64 + 1000);
}

#[test]
fn objects_of_different_sources_are_united_by_crossing() {
    let desk = Desk::new();
    let kinds = [Group::Muon, Group::EGamma, Group::Jet, Group::Met];
    let all = kinds.iter().fold(ColumnSet::EMPTY, |set, kind| set.union(kind.columns()));
    let whole = random_blocks(all, &[3000], 21).remove(0);
    // One source has the muons of two crossings in three, the other calorimeter objects of others.
    let split = |columns: ColumnSet, keep: &dyn Fn(usize) -> bool| {
        let mut some = Block::new(columns);
        some.run = whole.run;
        (0..whole.len()).filter(|&i| keep(i)).for_each(|i| some.push_event(&whole, i));
        some
    };
    let muons = split(Group::Muon.columns(), &|i| i % 3 != 0);
    let calo_kinds = Group::EGamma.columns().union(Group::Jet.columns());
    let calo = split(calo_kinds.union(Group::Met.columns()), &|i| i % 5 != 0);
    write_stream(&desk.path("muons.s40"), &[muons], Compression::Fast);
    write_stream(&desk.path("calo.s40"), &[calo], Compression::Fast);
    let report = desk.merge(&["muons.s40", "calo.s40"], "all.s40", Duplicates::Unite).unwrap();
    let united = events(&desk.path("all.s40"));
    let n_both = (0..whole.len()).filter(|i| i % 3 != 0 && i % 5 != 0).count() as u64;
    assert_eq!((report.duplicates, report.contested), (n_both, 0));
    let mut at = 0;
    for i in (0..whole.len()).filter(|i| i % 3 != 0 || i % 5 != 0) {
        let (found, expected) = (united.event(at), whole.event(i));
        assert_eq!(found.id(), expected.id());
        for column in all.iter() {
            let is_muon = column.spec().collection == Collection::Muon;
            let has = if is_muon { i % 3 != 0 } else { i % 5 != 0 };
            let values = expected.values::<i16>(column);
            let zero = [0];
            let values = match (has, column.spec().collection) {
                (true, _) => values,
                (false, Collection::Crossing) => &zero[..],
                (false, _) => &[],
            };
            assert_eq!(found.values::<i16>(column), values, "{} of {i}", column.spec().name);
        }
        at += 1;
    }
    assert_eq!(at, united.len());
}

#[test]
fn a_crossing_that_two_streams_have_is_refused_or_counted() {
    let desk = Desk::new();
    let block = random_blocks(ColumnSet::ALL, &[400], 4).remove(0);
    let mut other = part(&block, |i| i % 4 == 0);
    other.get_mut::<u64>(Column::Event).fill(77);
    write_stream(&desk.path("a.s40"), &[block], Compression::Fast);
    write_stream(&desk.path("b.s40"), &[other], Compression::Fast);
    let error = desk.merge(&["a.s40", "b.s40"], "m.s40", Duplicates::Refuse).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RearrangeError::Duplicate { .. }));
    for word in ["run 1 orbit 5", "a.s40", "b.s40", "--duplicates first"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(desk.names(), ["a.s40", "b.s40"], "nothing is left behind");
    let first = desk.merge(&["a.s40", "b.s40"], "first.s40", Duplicates::First).unwrap();
    assert_eq!((first.read, first.duplicates), (500, 100));
    assert_same(&events(&desk.path("first.s40")), &events(&desk.path("a.s40")), ColumnSet::ALL);
    desk.merge(&["b.s40", "a.s40"], "second.s40", Duplicates::First).unwrap();
    let second = events(&desk.path("second.s40"));
    assert!((0..400).all(|i| (second.get::<u64>(Column::Event)[i] == 77) == (i % 4 == 0)));
    let unite = desk.merge(&["a.s40", "b.s40"], "unite.s40", Duplicates::Unite).unwrap();
    assert_eq!(unite.duplicates, 100);
    assert!((1..=100).contains(&unite.contested), "both have objects of one kind");
}

#[test]
fn streams_out_of_order_are_refused_by_cat_unless_their_orbits_are_moved() {
    let desk = Desk::new();
    let summary = write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[5000, 2000], 1));
    write(&desk.path("b.s40"), random_blocks(ColumnSet::ALL, &[3000], 2));
    let error = desk.cat(&["a.s40", "b.s40"], "c.s40", &CatOptions::default()).unwrap_err();
    assert!(matches!(error, RearrangeError::Order { .. }), "{error}");
    assert!(error.to_string().contains("scout40 merge"));
    let options = CatOptions { shift_orbits: true, ..CatOptions::default() };
    desk.cat(&["a.s40", "b.s40", "a.s40"], "c.s40", &options).unwrap();
    let (a, b, c) =
        (events(&desk.path("a.s40")), events(&desk.path("b.s40")), events(&desk.path("c.s40")));
    let of_a_and_b: Vec<String> =
        [contents(&a), contents(&b), contents(&a)].into_iter().flatten().collect();
    assert_eq!(contents(&c), of_a_and_b);
    let last = summary.index.blocks.last().unwrap().last_orbit;
    assert_eq!(c.get::<u32>(Column::Orbit)[7000], last + 1);
    let shift = last + 1 - b.get::<u32>(Column::Orbit)[0];
    let orbits = b.get::<u32>(Column::Orbit).iter().map(|orbit| orbit + shift);
    assert!(orbits.eq(c.get::<u32>(Column::Orbit)[7000..10_000].iter().copied()));
    assert_eq!(a.get::<i16>(Column::Bx), &c.get::<i16>(Column::Bx)[10_000..]);
}

#[test]
fn orbits_that_do_not_fit_into_32_bits_are_refused() {
    let desk = Desk::new();
    let late = random_block(ColumnSet::EMPTY, 10, u32::MAX, &mut Random(1));
    write(&desk.path("late.s40"), vec![late]);
    let options = CatOptions { shift_orbits: true, ..CatOptions::default() };
    let error = desk.cat(&["late.s40", "late.s40"], "c.s40", &options).unwrap_err();
    assert!(matches!(error, RearrangeError::OrbitRange { last: u32::MAX, .. }), "{error}");
    assert_eq!(desk.names(), ["late.s40"]);
}

#[test]
fn streams_of_other_columns_are_refused_by_cat_or_cut_to_what_is_common() {
    let desk = Desk::new();
    let columns = Group::Jet.columns().union(Group::Met.columns());
    let a = random_blocks(columns, &[100], 1).remove(0);
    let orbit = a.get::<u32>(Column::Orbit)[99] + 1;
    let others = Group::Jet.columns().union(Group::Event.columns());
    let b = random_block(others, 100, orbit, &mut Random(2));
    write(&desk.path("a.s40"), vec![a]);
    write(&desk.path("b.s40"), vec![b]);
    let error = desk.cat(&["a.s40", "b.s40"], "c.s40", &CatOptions::default()).unwrap_err();
    let text = error.to_string();
    for word in ["it lacks met_pt, met_phi", "it has event, time too", "--common-columns"] {
        assert!(text.contains(word), "{text}");
    }
    let options = CatOptions { common_columns: true, ..CatOptions::default() };
    desk.cat(&["a.s40", "b.s40"], "c.s40", &options).unwrap();
    let all = events(&desk.path("c.s40"));
    assert_eq!(all.columns(), Group::Jet.columns().union(ColumnSet::skeleton()));
    assert_eq!(all.len(), 200);
}

#[test]
fn a_shuffle_is_a_permutation_that_depends_on_the_seed_alone() {
    let desk = Desk::new();
    write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[3000, 2500, 40], 9));
    let whole = events(&desk.path("a.s40"));
    let n = whole.len();
    // All in one bucket, and in as many as there may be.
    desk.shuffle("a.s40", "one.s40", 1, 1 << 30).unwrap();
    desk.shuffle("a.s40", "many.s40", 1, 40_000).unwrap();
    desk.shuffle("a.s40", "seed-2.s40", 2, 1 << 20).unwrap();
    assert_eq!(
        std::fs::read(desk.path("one.s40")).unwrap(),
        std::fs::read(desk.path("many.s40")).unwrap()
    );
    let shuffled = events(&desk.path("one.s40"));
    let places = Group::Crossing.columns().with(Column::Lumi);
    assert_same(&shuffled, &whole, places);
    let (before, after) = (contents(&whole), contents(&shuffled));
    assert_ne!(after, contents(&events(&desk.path("seed-2.s40"))));
    let (mut sorted_before, mut sorted_after) = (before.clone(), after.clone());
    sorted_before.sort_unstable();
    sorted_after.sort_unstable();
    assert_eq!(sorted_before, sorted_after);
    // Uniform: the number of events that stay is Poisson of mean 1, the rank correlation of place
    // and origin normal of standard deviation 1/sqrt(n); 6 sigma have a chance of 2e-9.
    let origin: std::collections::HashMap<&String, usize> = before.iter().zip(0..).collect();
    assert_eq!(origin.len(), n, "random events differ");
    let places: Vec<usize> = after.iter().map(|event| origin[event]).collect();
    assert!(places.iter().enumerate().filter(|&(i, &place)| i == place).count() < 15);
    let mean = (n as f64 - 1.0) / 2.0;
    let covariance: f64 =
        places.iter().enumerate().map(|(i, &p)| (i as f64 - mean) * (p as f64 - mean)).sum();
    let variance: f64 = (0..n).map(|i| (i as f64 - mean).powi(2)).sum();
    assert!((covariance / variance).abs() < 6.0 / (n as f64).sqrt());
    assert_eq!(desk.names(), ["a.s40", "many.s40", "one.s40", "seed-2.s40"], "no bucket is left");
}

#[test]
fn shuffles_of_recorded_events_or_in_too_little_memory_are_refused() {
    let desk = Desk::new();
    let block = random_blocks(ColumnSet::ALL, &[2000], 9).remove(0);
    let header = StreamHeader::new(SampleKind::Data, "data", ColumnSet::ALL);
    let mut writer =
        StreamWriter::create(&desk.path("data.s40"), &header, Compression::Fast).unwrap();
    writer.write(&block).unwrap();
    writer.finish().unwrap();
    write(&desk.path("mc.s40"), vec![block]);
    let error = desk.shuffle("data.s40", "x.s40", 1, 1 << 30).unwrap_err();
    assert!(matches!(error, RearrangeError::Recorded { kind: "data", .. }), "{error}");
    let error = desk.shuffle("mc.s40", "x.s40", 1, 100).unwrap_err();
    let RearrangeError::Memory { needed, given: 100, n_events: 2000 } = error else {
        panic!("{error}");
    };
    desk.shuffle("mc.s40", "x.s40", 1, needed).unwrap();
    assert_eq!(desk.names(), ["data.s40", "mc.s40", "x.s40"]);
}

#[test]
fn headers_keep_what_the_inputs_said_of_themselves() {
    let desk = Desk::new();
    write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[500, 400], 1));
    let half = Selection { rows: Some(0..450), ..Selection::default() };
    desk.slice("a.s40", "b.s40", half).unwrap();
    desk.cat(&["b.s40"], "c.s40", &CatOptions::default()).unwrap();
    let header = header(&desk.path("c.s40"));
    let setting = |name: &str| {
        let found = header.provenance.settings.iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("{name} in {:?}", header.provenance)).1.clone()
    };
    assert_eq!(setting("command"), "cat");
    assert!(setting("history of b.s40").contains("command = slice; rows = 0..450; of a.s40 ("));
    assert!(setting("history of a.s40").starts_with("scout40 "));
    let [source] = &header.provenance.sources[..] else { panic!("one source") };
    let bytes = std::fs::read(desk.path("b.s40")).unwrap();
    assert_eq!((source.name.as_str(), source.bytes), ("b.s40", bytes.len() as u64));
    assert_eq!((source.first_row, source.n_rows), (0, 450));
    assert_eq!((header.kind, header.sample.as_str()), (SampleKind::ZeroBias, "random"));
}

#[test]
fn damaged_cut_and_foreign_inputs_are_errors_and_leave_nothing() {
    let desk = Desk::new();
    let written = write(&desk.path("a.s40"), random_blocks(ColumnSet::ALL, &[500, 400, 300], 1));
    let good = std::fs::read(desk.path("a.s40")).unwrap();
    let all = |name: &str| {
        let head = Selection { head: Some(u64::MAX), ..Selection::default() };
        [
            desk.cat(&[name], "x.s40", &CatOptions::default()).unwrap_err(),
            desk.merge(&[name], "x.s40", Duplicates::Refuse).unwrap_err(),
            desk.shuffle(name, "x.s40", 1, 1 << 30).unwrap_err(),
            desk.slice(name, "x.s40", head).unwrap_err(),
        ]
    };
    // Cut between two blocks, where what is left looks like a stream: the index is missing.
    std::fs::write(desk.path("cut.s40"), &good[..written.index.blocks[2].offset as usize]).unwrap();
    for error in all("cut.s40") {
        assert!(matches!(error, RearrangeError::NoIndex { .. }), "{error}");
    }
    // A flipped bit in each block's frames.
    for block in 0..3 {
        let mut bytes = good.clone();
        bytes[written.index.blocks[block].offset as usize + 2000] ^= 1;
        std::fs::write(desk.path("flipped.s40"), bytes).unwrap();
        for error in all("flipped.s40") {
            assert!(
                matches!(error, RearrangeError::Damaged { block: found, .. } if found == block),
                "{error}"
            );
            let text = error.to_string();
            assert!(text.contains("at byte") && text.contains("hint:"), "{text}");
        }
    }
    // Sections in another order than the index says.
    let (a, b) = (written.index.blocks[1].offset as usize, written.index.blocks[2].offset as usize);
    let mut swapped = good[..a].to_vec();
    let index_at = u64::from_le_bytes(good[good.len() - 16..good.len() - 8].try_into().unwrap());
    swapped.extend_from_slice(&good[b..index_at as usize]);
    swapped.extend_from_slice(&good[a..b]);
    swapped.extend_from_slice(&good[index_at as usize..]);
    std::fs::write(desk.path("swapped.s40"), swapped).unwrap();
    for error in all("swapped.s40") {
        let text = error.to_string();
        assert!(text.contains("swapped.s40"), "{text}");
    }
    std::fs::write(desk.path("text.s40"), "once upon a time").unwrap();
    for error in all("text.s40").into_iter().chain(all("none.s40")) {
        assert!(matches!(error, RearrangeError::Source(_)), "{error}");
    }
    assert!(matches!(desk.cat(&[], "x.s40", &CatOptions::default()), Err(RearrangeError::NoInput)));
    assert_eq!(desk.names(), ["a.s40", "cut.s40", "flipped.s40", "swapped.s40", "text.s40"]);
}

#[test]
fn kinds_and_processes_that_differ_are_refused() {
    let desk = Desk::new();
    let blocks = random_blocks(Group::Truth.columns(), &[50, 50], 1);
    for (k, (name, kind)) in
        [("a.s40", SampleKind::ZeroBias), ("b.s40", SampleKind::Signal)].into_iter().enumerate()
    {
        let mut header = StreamHeader::new(kind, name, Group::Truth.columns());
        header.processes = vec![format!("process {name}")];
        let mut writer =
            StreamWriter::create(&desk.path(name), &header, Compression::Fast).unwrap();
        writer.write(&blocks[k]).unwrap();
        writer.finish().unwrap();
    }
    let error = desk.cat(&["a.s40", "b.s40"], "x.s40", &CatOptions::default()).unwrap_err();
    assert!(error.to_string().contains("zero-bias; found signal"), "{error}");
    let output = OutputOptions { kind: Some(SampleKind::Signal), ..OutputOptions::default() };
    let options = CatOptions { output, ..CatOptions::default() };
    let error = desk.cat(&["a.s40", "b.s40"], "x.s40", &options).unwrap_err();
    assert!(error.to_string().contains("injected processes"), "{error}");
    assert_eq!(desk.names(), ["a.s40", "b.s40"]);
}
