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
const ROOT_MAGIC: &[u8] = b"root";
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
    /// ROOT.
    Root,
}

impl Format {
    /// Name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Hdf5 => "HDF5",
            Format::Root => "ROOT",
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
    if start.starts_with(ROOT_MAGIC) {
        return Ok(Format::Root);
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
#[cfg(any(feature = "parquet", feature = "hdf5", feature = "root"))]
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// The file.
    pub path: PathBuf,
    /// Rows within it, never none.
    pub rows: std::ops::Range<u64>,
}

/// Lays files with these numbers of rows end to end and cuts out the rows asked for. Files that
/// contribute none are left out.
#[cfg(any(feature = "parquet", feature = "hdf5", feature = "root"))]
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
#[cfg(any(feature = "parquet", feature = "hdf5", feature = "root"))]
pub(super) fn sources(spans: &[Span]) -> Result<Vec<SourceFile>, ImportError> {
    let source = |s: &Span| SourceFile::of(&s.path, s.rows.start, s.rows.end - s.rows.start);
    spans.iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(bytes: &[u8]) -> Result<Format, ImportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("misleading.txt");
        std::fs::write(&path, bytes).unwrap();
        sniff(&path)
    }

    #[test]
    fn formats_are_recognised_by_content_not_by_name() {
        assert_eq!(sniffed(b"PAR1....").unwrap(), Format::Parquet);
        assert_eq!(sniffed(b"root....").unwrap(), Format::Root);
        assert_eq!(sniffed(b"\x89HDF\r\n\x1a\n....").unwrap(), Format::Hdf5);
        let mut with_user_block = vec![b'x'; 512];
        with_user_block.extend_from_slice(HDF5_MAGIC);
        assert_eq!(sniffed(&with_user_block).unwrap(), Format::Hdf5);
    }

    #[test]
    fn other_files_folders_and_nothing_are_refused_with_the_reason() {
        assert!(matches!(sniffed(b""), Err(ImportError::Empty { .. })));
        let error = sniffed(b"rote\n").unwrap_err().to_string();
        assert!(error.contains("misleading.txt") && error.contains(r"`rote\n`"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(sniff(folder.path()), Err(ImportError::Folder { .. })));
        let nowhere = folder.path().join("nowhere");
        assert!(matches!(sniff(&nowhere), Err(ImportError::Io { .. })));
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

    #[test]
    fn provenance_is_the_checksum_of_the_whole_file_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let content: Vec<u8> = (0..CHECKSUM_PIECE_BYTES + 5).map(|i| i as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let source = SourceFile::of(&path, 3, 4).unwrap();
        let expected = SourceFile {
            name: "a.parquet".into(),
            bytes: content.len() as u64,
            xxh3: xxhash_rust::xxh3::xxh3_64(&content),
            first_row: 3,
            n_rows: 4,
        };
        assert_eq!(source, expected);
    }

    #[cfg(any(feature = "parquet", feature = "hdf5", feature = "root"))]
    #[test]
    fn row_ranges_are_cut_from_files_laid_end_to_end() {
        let files = [("a".into(), 3), ("b".into(), 0), ("c".into(), 5)];
        let cut = |asked: Option<std::ops::Range<u64>>| -> Vec<(String, std::ops::Range<u64>)> {
            let spans = spans(&files, asked.as_ref()).unwrap();
            spans.into_iter().map(|span| (name_of(&span.path), span.rows)).collect()
        };
        assert_eq!(cut(None), [("a".into(), 0..3), ("c".into(), 0..5)]);
        assert_eq!(cut(Some(2..4)), [("a".into(), 2..3), ("c".into(), 0..1)]);
        assert_eq!(cut(Some(3..8)), [("c".into(), 0..5)]);
        assert!(cut(Some(8..8)).is_empty());
        assert!(matches!(spans(&files, Some(&(0..9))), Err(ImportError::Rows { n_rows: 8, .. })));
    }
}
