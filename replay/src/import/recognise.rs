//! What format a file has, by its content, never by its name.
//!
//! [`KNOWN`] is the one table: a format, and a probe that looks at the file and says what it
//! misses. [`recognise`] asks one probe after the other; if none fits, the error lists what each
//! of them missed. A new format is a variant of [`Format`], a line of the table with its probe,
//! and a line in [`open`](super::open).
//!
//! Probes look at the first bytes, some also further on; none reads a whole large file.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::ImportError;
use crate::format;
use crate::raw;
use crate::raw::native64::{EventHeader, Events, Native64Error};

/// Bytes from the start of a file that every probe has at hand.
const START_BYTES: usize = 1 << 16;
/// Words of zero before the first event of Native64 are passed over as far as this.
const ZEROS_MAX: u64 = 1 << 26;
/// Bytes of an unknown file that a message shows.
const SHOWN_BYTES: usize = 16;

const PARQUET_MAGIC: &[u8] = b"PAR1";
const ROOT_MAGIC: &[u8] = b"root";
const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Where an HDF5 superblock may be: after no user block, or after one of a power of two bytes.
const HDF5_OFFSETS: [u64; 5] = [0, 512, 1024, 2048, 4096];

/// Format of a file, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Our own stream file.
    Stream,
    /// Apache Parquet.
    Parquet,
    /// HDF5.
    Hdf5,
    /// FRD with blocks of Run-3 scouting.
    Frd,
    /// FRD with Phase-2 events ("CMSSW mode").
    FrdPhase2,
    /// DTHBasic256 blocks.
    Dth256,
    /// Bare Native64 events.
    Native64,
    /// ROOT.
    Root,
}

impl Format {
    /// Name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        KNOWN.iter().find(|known| known.format == self).map_or("?", |known| known.name)
    }
}

/// One line of the table.
struct Known {
    format: Format,
    name: &'static str,
    /// `Err` says what it misses, after "no" or as a sentence about the file.
    probe: fn(&Sample) -> Result<(), String>,
}

/// Every format, in the order in which they are tried: those with a magic number first.
const KNOWN: &[Known] = &[
    Known { format: Format::Stream, name: "scout40 stream", probe: stream },
    Known { format: Format::Parquet, name: "parquet", probe: parquet },
    Known { format: Format::Hdf5, name: "HDF5", probe: hdf5 },
    Known { format: Format::Frd, name: "Run-3 scouting FRD", probe: frd },
    Known { format: Format::FrdPhase2, name: "Phase-2 scouting FRD", probe: frd_phase2 },
    Known { format: Format::Dth256, name: "DTHBasic256", probe: dth256 },
    Known { format: Format::Native64, name: "Native64", probe: native64 },
    Known { format: Format::Root, name: "ROOT", probe: root },
];

/// What probes look at.
struct Sample {
    start: Vec<u8>,
    file: RefCell<File>,
}

impl Sample {
    fn of(path: &Path) -> Result<Sample, ImportError> {
        let meta = path.metadata().map_err(ImportError::io(path, "open it"))?;
        if meta.is_dir() {
            return Err(ImportError::Folder { path: path.into() });
        }
        let file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let mut start = Vec::new();
        let read = (&file).take(START_BYTES as u64).read_to_end(&mut start);
        read.map_err(ImportError::io(path, "read it"))?;
        if start.is_empty() {
            return Err(ImportError::Empty { path: path.into() });
        }
        Ok(Sample { start, file: RefCell::new(file) })
    }

    fn begins_with(&self, magic: &[u8]) -> bool {
        self.start.starts_with(magic)
    }

    /// Where the first 64-bit word begins that is not zero, and what there is from there on; none where all is zero up
    /// to [`ZEROS_MAX`], or cannot be read.
    fn after_zeros(&self) -> Option<(u64, Vec<u8>)> {
        let (mut offset, mut bytes) = (0, self.start.clone());
        while offset < ZEROS_MAX && !bytes.is_empty() {
            let Some(place) = bytes.iter().position(|&byte| byte != 0) else {
                offset += bytes.len() as u64;
                bytes = self.from(offset)?;
                continue;
            };
            let begin = offset + (place / 8 * 8) as u64;
            if begin > 0 {
                bytes = self.from(begin)?;
            }
            return Some((begin, bytes));
        }
        None
    }

    /// As many bytes from `offset` on as there are at the start.
    fn from(&self, offset: u64) -> Option<Vec<u8>> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut bytes = Vec::new();
        (&*file).take(START_BYTES as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether these bytes are at `offset`; what cannot be read is not there.
    fn has_at(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut file = self.file.borrow_mut();
        let mut found = vec![0; bytes.len()];
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut found));
        read.is_ok() && found == bytes
    }
}

fn unless(fits: bool, missing: &str) -> Result<(), String> {
    if fits { Ok(()) } else { Err(missing.to_owned()) }
}

fn stream(sample: &Sample) -> Result<(), String> {
    unless(sample.begins_with(&format::MAGIC), "no `\\x89S40` at byte 0")
}

fn parquet(sample: &Sample) -> Result<(), String> {
    unless(sample.begins_with(PARQUET_MAGIC), "no `PAR1` at byte 0")
}

fn hdf5(sample: &Sample) -> Result<(), String> {
    let fits = HDF5_OFFSETS.iter().any(|&offset| sample.has_at(offset, HDF5_MAGIC));
    unless(fits, "no `\\x89HDF` at byte 0, 512, 1024, 2048 or 4096")
}

/// Whether an FRD file holds Phase-2 events; an error for what is no FRD file.
fn frd_is_phase2(sample: &Sample) -> Result<bool, String> {
    unless(sample.begins_with(raw::frd::MAGIC), "no `RAW_` at byte 0")?;
    // A head that is damaged is told where the file is opened.
    Ok(raw::frd::is_phase2(&sample.start).unwrap_or(false))
}

fn frd(sample: &Sample) -> Result<(), String> {
    unless(!frd_is_phase2(sample)?, "its first orbit holds 64-bit words without a source id")
}

fn frd_phase2(sample: &Sample) -> Result<(), String> {
    unless(frd_is_phase2(sample)?, "its first orbit does not hold 64-bit words")
}

fn dth256(sample: &Sample) -> Result<(), String> {
    let head = sample.start.first_chunk().and_then(raw::dth::BlockHead::from_bytes);
    unless(head.is_some(), "no block head (47 5a) at byte 0")
}

/// Events have no magic number: a chain of headers that make sense is what tells them. One may
/// be chance, where others follow it is not. If one of the first is twice or too early, which the importer
/// passes over, four times as many have to be in order, all of one run and of neighbouring orbits.
fn native64(sample: &Sample) -> Result<(), String> {
    const CHAIN: usize = 3;
    const LONG_CHAIN: usize = 64;
    /// An hour and a half.
    const NEIGHBOURS: u32 = 1 << 26;
    let (begin, bytes) =
        sample.after_zeros().ok_or("no event header, only words of zero in the first 64 MiB")?;
    let mut headers: Vec<EventHeader> = Vec::with_capacity(LONG_CHAIN);
    let mut n_backwards = 0;
    for event in Events::new(&bytes).take(LONG_CHAIN) {
        match event {
            Ok(event) => {
                let key = |header: &EventHeader| (header.orbit, header.bx);
                let is_late = headers.last().is_some_and(|last| key(&event.header) <= key(last));
                n_backwards += usize::from(is_late);
                headers.push(event.header);
            }
            // What is cut has begun as an event does.
            Err(Native64Error::Cut { .. } | Native64Error::HalfWord { .. })
                if !headers.is_empty() =>
            {
                break;
            }
            Err(error) => {
                return Err(format!("byte {}: {}", begin + error.offset() as u64, error.what()));
            }
        }
        if headers.len() == CHAIN && n_backwards == 0 {
            return Ok(());
        }
    }
    let Some(first) = headers.first() else { return Err("no event header at byte 0".into()) };
    let is_alike = |header: &EventHeader| {
        header.run == first.run && header.orbit.abs_diff(first.orbit) <= NEIGHBOURS
    };
    let in_order = headers.len() - 1 - n_backwards;
    unless(
        n_backwards == 0 || (in_order >= 4 * n_backwards && headers.iter().all(is_alike)),
        &format!("of its first {} events, {n_backwards} come too early", headers.len()),
    )
}

fn root(sample: &Sample) -> Result<(), String> {
    unless(sample.begins_with(ROOT_MAGIC), "no `root` at byte 0")
}

/// Recognises a file by its content.
///
/// # Errors
/// A file that cannot be read, has no bytes or is of no known format; a folder.
pub fn recognise(path: &Path) -> Result<Format, ImportError> {
    let sample = Sample::of(path)?;
    let mut missing = String::new();
    for known in KNOWN {
        match (known.probe)(&sample) {
            Ok(()) => return Ok(known.format),
            Err(what) => missing += &format!("\n{}: {what}", known.name),
        }
    }
    let found = sample.start[..sample.start.len().min(SHOWN_BYTES)].escape_ascii().to_string();
    let hint = other_use(path, &sample);
    Err(ImportError::UnknownFormat { path: path.into(), found, missing, hint })
}

/// What to do with a file that holds no events of crossings.
fn other_use(path: &Path, sample: &Sample) -> &'static str {
    #[cfg(feature = "csv")]
    if crate::table::TableFormat::of(path).is_some() {
        return "this is a table, and its rows are no crossings: `scout40 inspect` shows it";
    }
    let _ = path;
    if sample.begins_with(b"S40MODEL") {
        return "this is a model: `scout40 inspect` shows it, `scout40 run --model` takes it";
    }
    if sample.begins_with(b"S40GENER") {
        return "this is a generator: `scout40 generate --from` makes events of it";
    }
    "docs/formats.md says what is read"
}

/// The one format that all files have.
pub(super) fn common_format(paths: &[PathBuf]) -> Result<Format, ImportError> {
    let (first, rest) = paths.split_first().ok_or(ImportError::NoFiles)?;
    let format = recognise(first)?;
    for path in rest {
        let found = recognise(path)?;
        if found != format {
            return Err(ImportError::MixedFormats {
                path: path.clone(),
                expected: format.name(),
                found: found.name(),
            });
        }
    }
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(bytes: &[u8]) -> Result<Format, ImportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("misleading.txt");
        std::fs::write(&path, bytes).unwrap();
        recognise(&path)
    }

    #[test]
    fn formats_are_recognised_by_content_not_by_name() {
        assert_eq!(recognised(b"PAR1....").unwrap(), Format::Parquet);
        assert_eq!(recognised(b"root....").unwrap(), Format::Root);
        assert_eq!(recognised(b"\x89HDF\r\n\x1a\n....").unwrap(), Format::Hdf5);
        assert_eq!(recognised(b"\x89S40\r\n\x1a\n....").unwrap(), Format::Stream);
        let mut with_user_block = vec![b'x'; 512];
        with_user_block.extend_from_slice(HDF5_MAGIC);
        assert_eq!(recognised(&with_user_block).unwrap(), Format::Hdf5);
    }

    /// Events of these orbits and crossings, with as many words.
    fn events(of: impl IntoIterator<Item = (u32, u32, usize)>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (orbit, bx, n) in of {
            let bx = crate::lhc::Bx::new(bx).unwrap();
            let header = EventHeader { error: false, run: 7, orbit, bx, n_words: 0 };
            raw::native64::push_event(header, &vec![0x0123_4567_89ab_cdef; n], &mut bytes);
        }
        bytes
    }

    #[test]
    fn bare_events_are_recognised_however_their_file_begins() {
        let plain = || (0..40).map(|k| (1000 + k / 10, 3 * (k % 10) + 1, 4));
        let whole = events(plain());
        assert_eq!(recognised(&whole).unwrap(), Format::Native64);
        // After words of zero: some, as many as the first bytes are, and one more, which cuts the first event there.
        for n in [1, START_BYTES / 8 - 2, START_BYTES / 8, START_BYTES / 8 + 1, 1 << 20] {
            let padded = [vec![0; 8 * n], whole.clone()].concat();
            assert_eq!(recognised(&padded).unwrap(), Format::Native64, "{n} words of zero");
        }
        let nothing = recognised(&[0; 3 * START_BYTES]).unwrap_err().to_string();
        assert!(nothing.contains("Native64: no event header, only words of zero"), "{nothing}");
        // Without objects, one and many.
        assert_eq!(recognised(&events([(9, 1, 0)])).unwrap(), Format::Native64);
        assert_eq!(recognised(&events((1..999).map(|bx| (9, bx, 0)))).unwrap(), Format::Native64);
        // The first again, and an earlier orbit's before it.
        let again = events([(1000, 1, 4)].into_iter().chain(plain()));
        assert_eq!(recognised(&again).unwrap(), Format::Native64);
        let late = events([(1003, 900, 4)].into_iter().chain(plain()));
        assert_eq!(recognised(&late).unwrap(), Format::Native64);
        // Too few others to believe it, the same event for ever, and orbits that no run has.
        for (wrong, of) in [
            ("few", vec![(9, 5, 1), (9, 5, 1), (9, 6, 1), (9, 7, 1)]),
            ("same", vec![(9, 5, 1); 100]),
            ("far", [(1000, 1, 4), (1 << 30, 1, 4)].into_iter().chain(plain()).collect()),
        ] {
            let error = recognised(&events(of)).unwrap_err().to_string();
            assert!(error.contains("come too early"), "{wrong}: {error}");
        }
        // What is wrong is told with its place in the file.
        let mut wrong = [vec![0; START_BYTES], whole].concat();
        wrong[START_BYTES + 40 + 7] |= 0xc0;
        let error = recognised(&wrong).unwrap_err().to_string();
        assert!(error.contains("Native64: byte 65576: expected an event header"), "{error}");
    }

    #[test]
    fn nothing_else_is_taken_for_bare_events() {
        // Bytes at random, from the start and after zeros: chance makes a chain of three in one of 10^5 files.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |n: usize| -> Vec<u8> {
            let mut word = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            };
            (0..n).flat_map(|_| word()).collect()
        };
        for n in [1, 2, 3, 10, 600] {
            for _ in 0..300 {
                let bytes = random(n);
                for bytes in [bytes.clone(), [vec![0; START_BYTES], bytes].concat()] {
                    let found = recognised(&bytes);
                    assert!(found.is_err(), "{n} words: {found:?} {:?}", &bytes[..8]);
                }
            }
        }
        let text =
            |line: &dyn Fn(u32) -> String| (0..2000).map(line).collect::<String>().into_bytes();
        let numbers = |of: &dyn Fn(u32) -> [u8; 8]| (0..2000).flat_map(of).collect::<Vec<u8>>();
        let halves = |low: f32, high: f32| {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&low.to_le_bytes());
            bytes[4..].copy_from_slice(&high.to_le_bytes());
            bytes
        };
        for (what, bytes) in [
            ("blanks", text(&|_| " ".into())),
            ("a table", text(&|k| format!("{k} {} 0.5\n", k * k))),
            ("a narrow table", text(&|k| format!("{:07} ", k % 10))),
            ("zeros and blanks", text(&|_| "0 ".into())),
            ("commas", text(&|k| format!("{k},{k},,0,0\n"))),
            ("whole numbers", numbers(&|k| u64::from(k + 1).to_le_bytes())),
            ("doubles", numbers(&|k| f64::from(k).to_le_bytes())),
            ("ones", numbers(&|_| halves(1.0, 1.0))),
            ("floats", numbers(&|k| halves(k as f32, k as f32 + 0.5))),
            ("a picture", vec![0x7f; 9000]),
        ] {
            let found = recognised(&bytes);
            assert!(found.is_err(), "{what}: {found:?}");
        }
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        for (name, expected) in [
            ("streams/SVJ.s40", Some(Format::Stream)),
            ("import/zero-bias.parquet", Some(Format::Parquet)),
            ("import/SVJ.h5", Some(Format::Hdf5)),
            ("models/forest.model", None),
            ("reference/files/higgs-ml.csv", None),
            ("menus/level1.toml", None),
        ] {
            assert_eq!(recognise(&fixtures.join(name)).ok(), expected, "{name}");
        }
    }

    #[test]
    fn every_format_has_one_line_and_one_name() {
        for known in KNOWN {
            assert_eq!(known.format.name(), known.name);
            assert_eq!(KNOWN.iter().filter(|other| other.format == known.format).count(), 1);
        }
    }

    #[test]
    fn other_files_folders_and_nothing_are_refused_with_the_reason() {
        assert!(matches!(recognised(b""), Err(ImportError::Empty { .. })));
        let error = recognised(b"rote\n").unwrap_err().to_string();
        assert!(error.contains("misleading.txt") && error.contains(r"`rote\n`"), "{error}");
        for known in KNOWN {
            assert!(error.contains(&format!("\n{}: ", known.name)), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(recognise(folder.path()), Err(ImportError::Folder { .. })));
        let nowhere = folder.path().join("nowhere");
        assert!(matches!(recognise(&nowhere), Err(ImportError::Io { .. })));
        assert!(matches!(common_format(&[]), Err(ImportError::NoFiles)));
    }

    #[test]
    fn files_of_different_formats_are_not_one_stream() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a"), folder.path().join("b")];
        std::fs::write(&paths[0], PARQUET_MAGIC).unwrap();
        std::fs::write(&paths[1], HDF5_MAGIC).unwrap();
        let error = common_format(&paths).unwrap_err();
        assert!(matches!(error, ImportError::MixedFormats { .. }), "{error}");
    }
}
