//! What format a file has, by its content, never by its name.
//!
//! [`KNOWN`] is the one table: a format, and a probe that looks at the file and says what it
//! misses. [`recognise`] asks one probe after the other; if none fits, the error lists what each
//! of them missed. A new format is a variant of [`Format`], a line of the table with its probe,
//! and a line in [`open`](super::open).
//!
//! Probes look at the first bytes, some also further on; none reads a whole file.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::ImportError;
use crate::format;
use crate::raw;
use crate::raw::native64::Native64Error;

/// Bytes from the start of a file that every probe has at hand.
const START_BYTES: usize = 1 << 16;
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
/// be chance, where another follows it is not.
fn native64(sample: &Sample) -> Result<(), String> {
    const CHAIN: usize = 3;
    let (mut n, mut last) = (0, None);
    for event in raw::native64::Events::new(&sample.start).take(CHAIN) {
        match event {
            Ok(event) => {
                let key = (event.header.orbit, event.header.bx);
                if last.is_some_and(|last| key <= last) {
                    return Err(format!("event {n} comes before the one before it"));
                }
                (n, last) = (n + 1, Some(key));
            }
            // What is cut has begun as an event does.
            Err(Native64Error::Cut { .. } | Native64Error::HalfWord { .. }) if n > 0 => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    unless(n > 0, "no event header at byte 0")
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
