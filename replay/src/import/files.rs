//! The files of an import: what format they have, and what identifies them later.
//!
//! [`sniff`] looks at the first bytes. [`SourceFile`] is the provenance of a file: its name
//! without folder, its size and checksum, and which of its rows were taken. The checksum reads
//! the file once in pieces of 1 MiB.
//!
//! Nothing here looks into a format beyond its magic bytes.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::ImportError;

const PARQUET_MAGIC: &[u8] = b"PAR1";
const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Where an HDF5 superblock may be: after no user block, or after one of a power of two bytes.
const HDF5_OFFSETS: [u64; 5] = [0, 512, 1024, 2048, 4096];
const CHECKSUM_PIECE_BYTES: usize = 1 << 20;

/// Format of a file, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// HDF5.
    Hdf5,
}

impl Format {
    /// Name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Hdf5 => "HDF5",
        }
    }
}

/// A file that rows were taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// File name, without folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// xxh3 (64 bit) of its content.
    pub xxh3: u64,
    /// First row taken, from 0 within the file.
    pub first_row: u64,
    /// Number of rows taken, dropped ones included.
    pub n_rows: u64,
}

impl SourceFile {
    /// Reads the file once, in pieces, for its checksum.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(path: &Path, first_row: u64, n_rows: u64) -> Result<SourceFile, ImportError> {
        let mut file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let mut piece = vec![0; CHECKSUM_PIECE_BYTES];
        let (mut hash, mut bytes) = (Xxh3::new(), 0);
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => {
                    hash.update(&piece[..n]);
                    bytes += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ImportError::io(path, "read it")(error)),
            }
        }
        Ok(SourceFile { name: name_of(path), bytes, xxh3: hash.digest(), first_row, n_rows })
    }
}

/// File name without folder, as in messages and provenance.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Recognises a file by its first bytes.
///
/// # Errors
/// A file that cannot be read, has no bytes or is of no known format; a folder.
pub fn sniff(path: &Path) -> Result<Format, ImportError> {
    let meta = path.metadata().map_err(ImportError::io(path, "open it"))?;
    if meta.is_dir() {
        return Err(ImportError::Folder { path: path.into() });
    }
    let mut file = File::open(path).map_err(ImportError::io(path, "open it"))?;
    let start = read_at(&mut file, 0).map_err(ImportError::io(path, "read it"))?;
    if start.is_empty() {
        return Err(ImportError::Empty { path: path.into() });
    }
    if start.starts_with(PARQUET_MAGIC) {
        return Ok(Format::Parquet);
    }
    for offset in HDF5_OFFSETS {
        let bytes = read_at(&mut file, offset).map_err(ImportError::io(path, "read it"))?;
        if bytes == HDF5_MAGIC {
            return Ok(Format::Hdf5);
        }
    }
    Err(ImportError::UnknownFormat { path: path.into(), found: start.escape_ascii().to_string() })
}

/// Up to eight bytes from `offset` on.
fn read_at(file: &mut File, offset: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::with_capacity(HDF5_MAGIC.len());
    file.take(HDF5_MAGIC.len() as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The one format that all files have.
pub(super) fn common_format(paths: &[PathBuf]) -> Result<Format, ImportError> {
    let (first, rest) = paths.split_first().ok_or(ImportError::NoFiles)?;
    let format = sniff(first)?;
    for path in rest {
        let found = sniff(path)?;
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

/// The rows to take of one file.
#[cfg(any(feature = "parquet", feature = "hdf5"))]
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// The file.
    pub path: PathBuf,
    /// Rows within it, never none.
    pub rows: std::ops::Range<u64>,
}

/// Lays files with these numbers of rows end to end and cuts out the rows asked for. Files that
/// contribute none are left out.
#[cfg(any(feature = "parquet", feature = "hdf5"))]
pub(super) fn spans(
    files: &[(PathBuf, u64)],
    asked: Option<&std::ops::Range<u64>>,
) -> Result<Vec<Span>, ImportError> {
    let total = files.iter().fold(0_u64, |sum, (_, n_rows)| sum.saturating_add(*n_rows));
    let asked = asked.cloned().unwrap_or(0..total);
    if asked.start > asked.end || asked.end > total {
        return Err(ImportError::Rows { asked, n_rows: total });
    }
    let mut spans = Vec::with_capacity(files.len());
    let mut begin = 0_u64;
    for (path, n_rows) in files {
        let first = asked.start.saturating_sub(begin).min(*n_rows);
        let end = asked.end.saturating_sub(begin).min(*n_rows);
        if first < end {
            spans.push(Span { path: path.clone(), rows: first..end });
        }
        begin = begin.saturating_add(*n_rows);
    }
    Ok(spans)
}

/// Provenance of each span, in order.
#[cfg(any(feature = "parquet", feature = "hdf5"))]
pub(super) fn sources(spans: &[Span]) -> Result<Vec<SourceFile>, ImportError> {
    let source = |s: &Span| SourceFile::of(&s.path, s.rows.start, s.rows.end - s.rows.start);
    spans.iter().map(source).collect()
}
