//! The files of an import: what identifies them later, and which of their rows are taken.
//!
//! [`SourceFile`] is the provenance of a file: its name without folder, its size and checksum, and
//! which of its rows were taken. The checksum reads the file once in pieces of 1 MiB.
//!
//! Nothing here looks into a format: see [`recognise`](super::recognise()).

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
#[cfg(any(feature = "parquet", feature = "hdf5", feature = "root"))]
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3;

use super::ImportError;

const CHECKSUM_PIECE_BYTES: usize = 1 << 20;

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
