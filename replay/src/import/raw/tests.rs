//! Files of every binary format: one that others made, and everything that can be wrong with one.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::event::{Block, Collection, Group};
use crate::import::{self, recognise};
use crate::lhc::Bx;
use crate::raw::crossing::Crossing;
use crate::raw::dth::push_orbit;
use crate::raw::frd::{EventHeader, FileHeader};
use crate::raw::native64::{self, push_event};
use crate::raw::objects;
use crate::raw::phase2::Puppi;
use crate::raw::run3::{Source, encode};
use crate::raw::words::{CaloObject, Muon, Sums};

/// A file of one orbit with two muons, made by an independent encoder from the tables of the
/// format: run 398183, luminosity section 261, orbit 1000, bx 43.
const GOLDEN: &str = "\
    52 41 57 5f 30 30 30 32 20 00 14 00 01 00 00 00 67 13 06 00 05 01 00 00 60 00 00 00 00 00 00 00 \
    06 00 00 00 67 13 06 00 05 01 00 00 e8 03 00 00 28 00 00 00 00 00 00 00 01 00 00 00 01 ff 01 ff \
    2b 00 00 00 e8 03 00 00 2c a5 60 ce 8f b2 a9 82 2a c0 f3 0d 0a 2c c0 1c 58 60 00 00 2b c0 f3 0d";

fn golden() -> Vec<u8> {
    GOLDEN.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// What came of some files.
struct Outcome {
    events: Block,
    runs: Vec<u32>,
    n_orbits: Vec<u64>,
    report: Vec<(u64, &'static str)>,
    problems: Vec<String>,
}

impl Outcome {
    fn orbits(&self) -> Vec<u32> {
        let mut orbits = self.events.get::<u32>(Column::Orbit).to_vec();
        orbits.dedup();
        orbits
    }

    fn bxs(&self) -> &[i16] {
        self.events.get::<i16>(Column::Bx)
    }

    fn count(&self, kind: Trouble) -> u64 {
        self.report.iter().find(|(_, text)| *text == kind.text()).map_or(0, |(n, _)| *n)
    }
}

fn read(files: &[Vec<u8>]) -> Result<Outcome, ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> = Vec::new();
    for (k, bytes) in files.iter().enumerate() {
        paths.push(folder.path().join(format!("file{k}.parquet")));
        std::fs::write(&paths[k], bytes).unwrap();
    }
    let mut importer = import::open(&paths, &ImportOptions::default())?;
    let (mut events, mut runs) = (Block::new(importer.columns()), Vec::new());
    let mut chunk = Chunk::default();
    while importer.next_chunk(&mut chunk)? {
        assert!(chunk.events.len() <= CHUNK_EVENTS);
        (0..chunk.events.len()).for_each(|index| events.push_event(&chunk.events, index));
        runs.extend_from_slice(&chunk.runs);
    }
    events.check().unwrap();
    assert_eq!(importer.n_done(), importer.n_events(), "everything has been passed");
    let n_orbits: Vec<u64> = importer.sources().iter().map(|source| source.n_rows).collect();
    let (report, problems) = (importer.notes(), importer.problems().to_vec());
    Ok(Outcome { events, runs, n_orbits, report, problems })
}

fn bx(number: u32) -> Bx {
    Bx::new(number).unwrap()
}

fn crossing(n: i16) -> Crossing {
    let muon = Muon { pt: 10 + n, qual: 12, eta: n, phi: n, ..Muon::default() };
    let object = CaloObject { pt: 20 + n, eta: -n, phi: n, qual: 1, displaced: false };
    let puppi = Puppi { pt: 30 + n, eta: 4 * n, pid: 3, z0: -n, ..Puppi::default() };
    Crossing {
        muons: vec![muon],
        egammas: vec![object],
        jets: vec![object; 2],
        taus: vec![object],
        sums: Some(Sums { et: 100 + n, ..Sums::default() }),
        puppi: vec![puppi; 3],
        ..Crossing::default()
    }
}

const BXS: [u32; 3] = [1, 43, 3564];

/// The payload of an orbit, without source id.
fn payload(source: Source, orbit: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in BXS {
        encode(source, orbit, bx(number), &crossing(number as i16 % 50), &mut bytes);
    }
    bytes
}

/// A file with these records, each a source id and what follows it.
fn frd(version: u16, file_version: u8, records: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (orbit, id, payload) in records {
        let padding_bytes = if version < 5 { 3 } else { 0 };
        let n = payload.len() as u32 + 4;
        let header = EventHeader { version, padding_bytes, ..EventHeader::new(7, 1, *orbit, n) };
        body.extend(header.to_bytes());
        body.extend(id.to_le_bytes());
        body.extend(payload);
        body.resize(body.len() + padding_bytes as usize, 0xee);
    }
    let mut header = FileHeader::new(7, 1, records.len() as u32, 0);
    header.version = file_version;
    header.bytes = (header.header_bytes() + body.len()) as u64;
    [header.to_bytes(), body].concat()
}

fn source_file(source: Source, orbits: &[u32]) -> Vec<u8> {
    let record = |&orbit: &u32| (orbit, source.id(), payload(source, orbit));
    frd(6, 2, &orbits.iter().map(record).collect::<Vec<_>>())
}

/// Events of Puppi candidates in these orbits: bytes of each orbit.
fn native_orbits(orbits: &[u32]) -> Vec<Vec<u8>> {
    let orbit = |&orbit: &u32| {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        for number in BXS {
            Payload::Puppi.write(&crossing(number as i16 % 50), bx(number), &mut words);
            push_event(objects::header(7, orbit, bx(number)), &words, &mut bytes);
        }
        bytes
    };
    orbits.iter().map(orbit).collect()
}

fn cmssw_file(orbits: &[u32]) -> Vec<u8> {
    let mut body = Vec::new();
    for (orbit, payload) in orbits.iter().zip(native_orbits(orbits)) {
        body.extend(EventHeader::new(7, 1, *orbit, payload.len() as u32).to_bytes());
        body.extend(payload);
    }
    let header = FileHeader::new(7, 1, orbits.len() as u32, 32 + body.len() as u64);
    [header.to_bytes(), body].concat()
}

fn dth_file(orbits: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    native_orbits(orbits).iter().for_each(|payload| push_orbit(None, payload, &mut bytes));
    bytes
}

/// A small file of each format with three orbits.
fn of_each_format() -> Vec<(Format, Vec<u8>)> {
    let orbits = [10, 11, 13];
    let (muons, jets) = (Source::Muons, Source::Jets);
    let record = |orbit: u32, source: Source| (orbit, source.id(), payload(source, orbit));
    let v4: Vec<_> = orbits.iter().map(|&orbit| record(orbit, muons)).collect();
    vec![
        (Format::Frd, source_file(jets, &orbits)),
        (Format::Frd, source_file(Source::CaloDma, &orbits)),
        (Format::Frd, frd(4, 1, &v4)),
        (Format::FrdPhase2, cmssw_file(&orbits)),
        (Format::Dth256, dth_file(&orbits)),
        (Format::Native64, native_orbits(&orbits).concat()),
    ]
}

#[test]
fn the_golden_file_is_read_to_the_last_field() {
    let outcome = read(&[golden()]).unwrap();
    let Outcome { events, runs, .. } = &outcome;
    assert_eq!(
        (runs[..].to_vec(), outcome.orbits(), outcome.bxs()),
        (vec![398_183], vec![1000], &[43][..])
    );
    // The header's luminosity section wins over that of the orbit's number, and that is told.
    assert_eq!(events.get::<u32>(Column::Lumi), [261]);
    assert_eq!(outcome.count(Trouble::Lumi), 1);
    assert_eq!(outcome.report.len(), 1, "{:?}", outcome.report);
    let word = |column| events.get::<i16>(column).to_vec();
    let byte = |column| events.get::<u8>(column).to_vec();
    assert_eq!(word(Column::MuonPt), [41, 11]);
    assert_eq!(word(Column::MuonEta), [-100, 57]);
    assert_eq!(word(Column::MuonPhi), [300, 10]);
    assert_eq!(word(Column::MuonCharge), [-1, 1]);
    assert_eq!(word(Column::MuonPhiRaw), [310, 12]);
    assert_eq!(word(Column::MuonEtaRaw), [-98, 55]);
    assert_eq!(word(Column::MuonPtUnconstrained), [21, 0]);
    assert_eq!(byte(Column::MuonQual), [12, 8]);
    assert_eq!(byte(Column::MuonIso), [3, 0]);
    assert_eq!(byte(Column::MuonTfIndex), [40, 5]);
    assert_eq!(byte(Column::MuonDxy), [2, 0]);
}

#[test]
fn the_headers_of_the_golden_file_are_written_alike() {
    let bytes = golden();
    assert_eq!(FileHeader::new(398_183, 261, 1, 96).to_bytes(), bytes[..32]);
    assert_eq!(EventHeader::new(398_183, 261, 1000, 40).to_bytes(), bytes[32..56]);
}

#[test]
fn the_golden_file_cut_at_every_byte_gives_its_event_or_says_why_not() {
    let bytes = golden();
    for n in 1..bytes.len() {
        match read(&[bytes[..n].to_vec()]) {
            Ok(outcome) => {
                assert!(n >= 32 && outcome.events.is_empty(), "{n} bytes");
                assert!(outcome.count(Trouble::Header) == 1, "{n} bytes");
                assert!(n == 32 || outcome.count(Trouble::Truncated) == 1, "{n} bytes");
            }
            Err(ImportError::UnknownFormat { .. }) => assert!(n < 4),
            Err(error) => assert!((4..32).contains(&n), "{n} bytes: {error}"),
        }
    }
}

#[test]
fn event_headers_of_all_versions_and_both_file_headers_are_read() {
    for version in 3..=6 {
        for file_version in [1, 2] {
            let record = |orbit| (orbit, 22, payload(Source::Jets, orbit));
            let outcome = read(&[frd(version, file_version, &[record(5), record(8)])]).unwrap();
            assert_eq!(outcome.orbits(), [5, 8]);
            assert_eq!(outcome.runs, [7; 6], "a file header of version 1 has no run");
            assert!(outcome.report.is_empty(), "{:?}", outcome.report);
        }
    }
}

#[test]
fn sources_are_merged_by_their_smallest_orbit() {
    let muons = source_file(Source::Muons, &[10, 11, 14]);
    let sums = source_file(Source::Sums, &[10, 12, 14]);
    let later = source_file(Source::Muons, &[20]);
    for files in [[muons.clone(), sums.clone(), later.clone()], [later, sums, muons]] {
        let outcome = read(&files).unwrap();
        assert_eq!(outcome.orbits(), [10, 11, 12, 14, 20]);
        assert!(outcome.report.is_empty(), "{:?}", outcome.report);
        assert_eq!(outcome.bxs().len(), 15);
        let n_muons: Vec<u8> =
            outcome.events.get::<u8>(Column::MuonN).iter().step_by(3).copied().collect();
        assert_eq!(n_muons, [1, 1, 0, 1, 1]);
        let et: Vec<i16> =
            outcome.events.get::<i16>(Column::EtPt).iter().step_by(3).copied().collect();
        assert_eq!(et, [101, 0, 101, 101, 0]);
    }
}

#[test]
fn the_same_source_twice_counts_once() {
    let file = source_file(Source::Jets, &[10, 11]);
    let outcome = read(&[file.clone(), file]).unwrap();
    assert_eq!(outcome.events.get::<u8>(Column::JetN), [2; 6]);
    assert_eq!(outcome.count(Trouble::OrbitOrder), 2);
}

#[test]
fn orbits_going_backwards_are_skipped_in_every_format() {
    let orbits = [10, 12, 11, 12, 13];
    for (format, bytes) in [
        (Format::Frd, source_file(Source::Jets, &orbits)),
        (Format::FrdPhase2, cmssw_file(&orbits)),
        (Format::Dth256, dth_file(&orbits)),
    ] {
        let outcome = read(&[bytes]).unwrap();
        assert_eq!(outcome.orbits(), [10, 12, 13], "{format:?}");
        assert_eq!(outcome.count(Trouble::OrbitOrder), 2, "{format:?}");
        assert!(outcome.problems[0].contains("orbit 11: expected an orbit after"), "{format:?}");
    }
    // Bare events have no orbits but their own: each event of a wrong one is skipped.
    let outcome = read(&[native_orbits(&orbits).concat()]).unwrap();
    assert_eq!((outcome.orbits(), outcome.count(Trouble::OrbitOrder)), (vec![10, 12, 13], 6));
}

#[test]
fn cut_at_every_byte_the_orbits_before_are_kept_in_every_format() {
    for (format, bytes) in of_each_format() {
        let whole = read(std::slice::from_ref(&bytes)).unwrap();
        assert_eq!((whole.orbits(), whole.bxs().len()), (vec![10, 11, 13], 9), "{format:?}");
        assert_eq!(whole.n_orbits, [3], "{format:?}: for the provenance");
        assert!(whole.report.is_empty(), "{format:?}: {:?}", whole.report);
        for n in 0..bytes.len() {
            let outcome = match read(&[bytes[..n].to_vec()]) {
                Ok(outcome) => outcome,
                // Less than one event, or than what tells the format.
                Err(error) => {
                    assert!(n < 300 && error.to_string().contains("expected"), "{n}: {error}");
                    continue;
                }
            };
            let events = outcome.events;
            for index in 0..events.len() {
                assert_eq!(events.crossing_id(index), whole.events.crossing_id(index));
            }
            // Cut between orbits, only a header can tell.
            let is_told = outcome.report.iter().any(|(_, text)| {
                [Trouble::Truncated, Trouble::Header, Trouble::Block, Trouble::Stray]
                    .iter()
                    .any(|kind| kind.text() == *text)
            });
            let at_an_end = matches!(format, Format::Dth256 | Format::Native64)
                && events.len().is_multiple_of(3);
            let between_events = format == Format::Native64;
            assert!(is_told || at_an_end || between_events, "{format:?}, {n} bytes");
        }
    }
}

#[test]
fn any_single_flipped_bit_is_survived_in_every_format() {
    for (format, bytes) in of_each_format() {
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            for bit in [at % 8, (at + 3) % 8] {
                flipped[at] = bytes[at] ^ 1 << bit;
                if let Ok(outcome) = read(std::slice::from_ref(&flipped)) {
                    assert!(outcome.events.len() <= 10, "{format:?}, byte {at}, bit {bit}");
                }
            }
        }
    }
}

#[test]
fn a_header_that_lies_is_told_and_the_content_wins() {
    let mut bytes = source_file(Source::Jets, &[10, 11]);
    bytes[12] = 9;
    bytes[24] ^= 1;
    let outcome = read(std::slice::from_ref(&bytes)).unwrap();
    assert_eq!((outcome.orbits(), outcome.count(Trouble::Header)), (vec![10, 11], 1));
    assert!(outcome.problems[0].contains("says 9 orbits"), "{:?}", outcome.problems);
    bytes[10] = 19;
    assert_eq!(
        read(std::slice::from_ref(&bytes)).unwrap().count(Trouble::Header),
        2,
        "type of data"
    );
    bytes[8] = 33;
    let error = read(std::slice::from_ref(&bytes)).err().unwrap().to_string();
    assert!(error.contains("byte 8") && error.contains("found 33"), "{error}");
    bytes[7] = b'9';
    let error = read(&[bytes]).err().unwrap().to_string();
    assert!(error.contains("byte 4") && error.contains("0009"), "{error}");
}

#[test]
fn a_length_beyond_the_file_ends_it_without_asking_for_memory() {
    let mut bytes = source_file(Source::Jets, &[10, 11, 12]);
    let record = 32 + (bytes.len() - 32) / 3;
    for length in [u32::MAX, 3] {
        bytes[record + 16..record + 20].copy_from_slice(&length.to_le_bytes());
        let outcome = read(std::slice::from_ref(&bytes)).unwrap();
        assert_eq!((outcome.orbits(), outcome.count(Trouble::Truncated)), (vec![10], 1));
        let problem = &outcome.problems[0];
        assert!(problem.contains(&format!("byte {record}, orbit 11")), "{problem}");
    }
}

#[test]
fn an_orbit_header_of_another_version_ends_the_file() {
    let mut bytes = source_file(Source::Jets, &[10, 11, 12]);
    let record = 32 + (bytes.len() - 32) / 3;
    for version in [5, 7, 0] {
        bytes[record] = version;
        let outcome = read(std::slice::from_ref(&bytes)).unwrap();
        assert_eq!((outcome.orbits(), outcome.count(Trouble::Version)), (vec![10], 1));
        assert!(outcome.problems[0].contains("version 6, found"), "{:?}", outcome.problems);
    }
}

#[test]
fn sources_that_are_not_read_are_skipped_and_named() {
    for (id, why) in [(4, "global trigger"), (32, "towers"), (77, "not a scouting source")] {
        let records =
            [(10, id, vec![1, 2, 3]), (11, 22, payload(Source::Jets, 11)), (12, id, vec![])];
        let outcome = read(&[frd(6, 2, &records)]).unwrap();
        assert_eq!((outcome.orbits(), outcome.count(Trouble::Source)), (vec![11], 2));
        let problem = &outcome.problems[0];
        assert!(problem.contains(&format!("byte 56, orbit 10: source {id}: ")), "{problem}");
        assert!(problem.contains(why), "{problem}");
    }
    // The right blocks under another source's id: nothing of them makes sense there.
    let wrong = [(10, Source::Sums.id(), payload(Source::Jets, 10))];
    let outcome = read(&[frd(6, 2, &wrong)]).unwrap();
    assert_eq!((outcome.events.len(), outcome.count(Trouble::Block)), (0, 1));
}

#[test]
fn bare_events_are_read_however_their_file_begins() {
    let orbits = native_orbits(&[10, 11]).concat();
    let whole = read(std::slice::from_ref(&orbits)).unwrap();
    // More zero words, and more events without objects, than are looked at to find out what words are.
    let mut empty = Vec::new();
    for orbit in 0..(SAMPLE_BYTES / 8 / 2000) as u32 + 2 {
        for number in 1..=2000 {
            let header =
                native64::EventHeader { error: false, run: 7, orbit, bx: bx(number), n_words: 0 };
            push_event(header, &[], &mut empty);
        }
    }
    assert!(empty.len() > SAMPLE_BYTES);
    let later = native_orbits(&[1000, 1001]).concat();
    for begin in [vec![0; 8], vec![0; SAMPLE_BYTES + 8], empty.clone()] {
        let n_before = if begin == empty { empty.len() / 8 } else { 0 };
        let rest = if n_before > 0 { &later } else { &orbits };
        let outcome = read(&[[&begin[..], rest].concat()]).unwrap();
        assert!(outcome.report.is_empty(), "{:?}", outcome.report);
        assert_eq!(outcome.bxs().len(), n_before + whole.bxs().len());
        assert_eq!(outcome.bxs()[n_before..], *whole.bxs());
        let n: i16 = outcome.events.get::<i16>(Column::PuppiN).iter().sum();
        assert_eq!(usize::try_from(n).unwrap(), 3 * whole.bxs().len());
    }
    // The first event twice: once it is read, the orbit is whole.
    let event = orbits.len() / 6;
    let outcome = read(&[[&orbits[..event], &orbits].concat()]).unwrap();
    assert_eq!((outcome.bxs(), outcome.count(Trouble::DuplicateBx)), (whole.bxs(), 1));
    // Nothing but events without objects: nothing tells what they would be.
    let error = read(&[empty]).err().unwrap().to_string();
    assert!(error.contains("no event has objects") && error.contains("--payload"), "{error}");
}

#[test]
fn an_event_of_another_orbit_or_twice_is_not_taken() {
    let mut bytes = native_orbits(&[10]).concat();
    let mut second = native_orbits(&[10]).concat();
    // The last event of three again.
    let event = 4 * 8;
    bytes.extend(second.split_off(2 * event));
    let outcome = read(&[bytes]).unwrap();
    assert_eq!((outcome.bxs().len(), outcome.count(Trouble::DuplicateBx)), (3, 1));
    let mut mixed = native_orbits(&[10, 11]);
    let wrong = mixed.pop().unwrap();
    mixed[0].extend(&wrong);
    let mut dth = Vec::new();
    push_orbit(None, &mixed[0], &mut dth);
    let outcome = read(&[dth]).unwrap();
    assert_eq!((outcome.orbits(), outcome.count(Trouble::Block)), (vec![10], 1));
    let problem = &outcome.problems[0];
    assert!(
        problem.contains("byte 128, orbit 10: expected an event of orbit 10, found 11"),
        "{problem}"
    );
}

#[test]
fn truncated_events_are_crossings_without_objects() {
    let mut bytes = native_orbits(&[10]).concat();
    let header = objects::header(7, 11, bx(5));
    push_event(native64::EventHeader { error: true, ..header }, &[], &mut bytes);
    let outcome = read(&[bytes]).unwrap();
    assert_eq!((outcome.orbits(), outcome.count(Trouble::TruncatedEvent)), (vec![10, 11], 1));
    assert_eq!(outcome.events.event(3).count(Collection::Puppi), 0);
}

#[test]
fn lists_are_sorted_and_capped_and_both_are_counted() {
    let rising = |n: u32| -> Vec<u64> {
        (0..n).map(|k| Puppi { pt: 1 + k as i16, pid: 2, ..Puppi::default() }.to_word()).collect()
    };
    let mut bytes = Vec::new();
    push_event(objects::header(7, 10, bx(1)), &rising(255), &mut bytes);
    let file = |bytes: &[u8]| bytes.to_vec();
    let outcome = read(&[file(&bytes), file(&bytes)]).unwrap();
    // Two files that deliver the same crossing: their candidates are put together.
    assert_eq!(outcome.events.get::<i16>(Column::PuppiN), [255]);
    assert_eq!(outcome.count(Trouble::Resorted), 1);
    assert_eq!(outcome.count(Trouble::Capacity), 255);
    assert_eq!(outcome.events.get::<i16>(Column::PuppiPt)[..3], [255, 255, 254]);
}

#[test]
fn words_of_unknown_kind_ask_the_user() {
    let mut bytes = Vec::new();
    for number in [1, 2, 3] {
        push_event(objects::header(7, 10, bx(number)), &[u64::MAX], &mut bytes);
    }
    let error = read(&[bytes]).err().unwrap().to_string();
    assert!(error.contains("hint: `--payload puppi`"), "{error}");
}

#[test]
fn rows_are_not_for_orbits_and_other_formats_not_for_merging() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.raw");
    std::fs::write(&path, golden()).unwrap();
    let options = ImportOptions { rows: Some(0..1), ..ImportOptions::default() };
    let error = import::open(&[path], &options).err().unwrap().to_string();
    assert!(error.contains("--every"), "{error}");
    let files = [golden(), cmssw_file(&[1])];
    assert!(matches!(read(&files), Err(ImportError::MixedFormats { .. })));
}

#[test]
fn a_file_of_another_format_with_the_right_name_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run398183_ls0261_index000000.raw");
    for (bytes, expected) in [
        (b"PAR1 and so on".to_vec(), Format::Parquet),
        (dth_file(&[1]), Format::Dth256),
        (golden(), Format::Frd),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(recognise(&path).unwrap(), expected);
    }
    std::fs::write(&path, "eventID;processID;weight;MET;METphi;\n").unwrap();
    let error = recognise(&path).unwrap_err().to_string();
    assert!(error.contains("Native64: ") && error.contains("FRD: no `RAW_`"), "{error}");
}

#[test]
fn columns_are_those_of_the_sources_that_there_are() {
    let columns = |files: &[Vec<u8>]| read(files).unwrap().events.columns();
    let jets = columns(&[source_file(Source::Jets, &[1])]);
    assert!(jets.contains_all(Group::Jet.columns()) && !jets.contains(Column::MuonPt));
    let both = columns(&[source_file(Source::Jets, &[1]), golden()]);
    assert!(both.contains(Column::JetDisplaced) && both.contains(Column::MuonDxy));
    assert!(!both.contains(Column::StubN));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn cut_and_flipped_at_random_nothing_panics_and_nothing_is_invented(
        which in 0usize..6, end in 40usize..4000,
        flips in proptest::collection::vec((0usize..4000, 0u8..8), 0..5),
    ) {
        let (_, mut bytes) = of_each_format().swap_remove(which);
        bytes.truncate(end);
        let n = bytes.len();
        for (at, bit) in flips {
            bytes[at % n] ^= 1 << bit;
        }
        if let Ok(outcome) = read(&[bytes]) {
            prop_assert!(outcome.events.len() <= 9 + 3);
        }
    }

    #[test]
    fn any_bytes_after_a_good_header_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..500)
    ) {
        let header = FileHeader::new(7, 1, 1, 0).to_bytes();
        let _ = read(&[[header, bytes.clone()].concat()]);
        let mut head = dth_file(&[1]);
        head.extend(bytes);
        read(&[head]).unwrap();
    }
}
