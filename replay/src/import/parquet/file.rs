//! One parquet file: which branches it has, and its rows in pieces.
//!
//! A row group can be as large as the file, so it is never held as a whole: every column keeps
//! its own place in it and is read a piece of rows at a time.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use super::branch::{BRANCHES, Branch, Field};
use super::leaf::{Leaf, LeafError};
use crate::event::{Column, ColumnSet};
use crate::import::ImportError;
use crate::import::files::name_of;
use crate::import::guard::caught;

/// Columns that are read even if no block holds them.
fn always_read(field: Field) -> bool {
    matches!(field, Field::Run | Field::Column(Column::Orbit | Column::Bx | Column::Order))
}

/// An open file, with its place in it.
pub(super) struct OpenFile {
    pub name: String,
    /// The columns that are read, each with its piece.
    pub leaves: Vec<Leaf>,
    /// First row of the piece, and one past its last.
    pub piece: Range<u64>,
    reader: SerializedFileReader<File>,
    /// Rows to come, after the piece.
    rows: Range<u64>,
    next_group: usize,
    left_in_group: u64,
}

impl OpenFile {
    /// Opens a file to read those of `columns` that it has.
    pub(super) fn open(path: &Path, columns: ColumnSet) -> Result<OpenFile, ImportError> {
        let name = name_of(path);
        let file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let reader = caught(|| SerializedFileReader::new(file), ParquetError::General)
            .map_err(|error| damaged(&name, "parquet footer".into(), &error))?;
        let bytes = path.metadata().map_err(ImportError::io(path, "open it"))?.len();
        check_places(&reader, bytes, &name)?;
        let leaves = leaves(&reader, columns, &name)?;
        let n_rows = n_rows(&reader, &name)?;
        let rows = 0..n_rows;
        Ok(OpenFile { name, leaves, piece: 0..0, reader, rows, next_group: 0, left_in_group: 0 })
    }

    /// Rows of the file that are still to be read.
    pub(super) fn n_rows(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// The columns that it has, of those asked for.
    pub(super) fn columns(&self) -> ColumnSet {
        let column = |leaf: &Leaf| match leaf.branch.field {
            Field::Column(column) => Some(column),
            Field::Run => None,
        };
        self.leaves.iter().filter_map(column).collect()
    }

    /// The column for a field, if it is read.
    pub(super) fn leaf(&self, field: Field) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.branch.field == field)
    }

    /// Goes to the first of `rows` and stops after the last. Row groups before it are not read.
    pub(super) fn seek(&mut self, rows: Range<u64>) -> Result<(), ImportError> {
        let mut begin = 0;
        self.next_group = 0;
        while self.next_group < self.reader.num_row_groups() {
            let n_rows = self.group_rows(self.next_group);
            if begin + n_rows > rows.start {
                break;
            }
            begin += n_rows;
            self.next_group += 1;
        }
        self.left_in_group = 0;
        if begin < rows.start {
            self.enter_group()?;
            let n_rows = rows.start - begin;
            self.left_in_group = self.left_in_group.saturating_sub(n_rows);
            self.piece = begin..rows.start;
            self.each_leaf(|leaf| leaf.skip(n_rows as usize))?;
        }
        self.piece = rows.start..rows.start;
        self.rows = rows;
        Ok(())
    }

    /// Reads the next rows, at most `max`; none at the end.
    pub(super) fn read(&mut self, max: usize) -> Result<usize, ImportError> {
        while self.left_in_group == 0 && self.next_group < self.reader.num_row_groups() {
            self.enter_group()?;
        }
        let n_rows = self.n_rows().min(self.left_in_group).min(max as u64);
        self.piece = self.rows.start..self.rows.start + n_rows;
        self.rows.start += n_rows;
        self.left_in_group -= n_rows;
        if n_rows > 0 {
            self.each_leaf(|leaf| leaf.read(n_rows as usize))?;
        }
        Ok(n_rows as usize)
    }

    fn group_rows(&self, group: usize) -> u64 {
        u64::try_from(self.reader.metadata().row_group(group).num_rows()).unwrap_or(0)
    }

    fn enter_group(&mut self) -> Result<(), ImportError> {
        let index = self.next_group;
        let group = caught(|| self.reader.get_row_group(index), ParquetError::General)
            .map_err(|error| damaged(&self.name, format!("row group {index}"), &error))?;
        for leaf in &mut self.leaves {
            let column = caught(|| group.get_column_reader(leaf.index()), ParquetError::General);
            leaf.enter(column.map_err(|error| {
                damaged(&self.name, format!("{} in row group {index}", leaf.branch.name), &error)
            })?);
        }
        self.left_in_group = self.group_rows(index);
        self.next_group += 1;
        Ok(())
    }

    fn each_leaf(
        &mut self,
        mut action: impl FnMut(&mut Leaf) -> Result<(), LeafError>,
    ) -> Result<(), ImportError> {
        for leaf in &mut self.leaves {
            if let Err(error) = action(leaf) {
                return Err(located(error, &self.name, leaf.branch, &self.piece));
            }
        }
        Ok(())
    }
}

fn damaged(file: &str, what: String, error: &ParquetError) -> ImportError {
    ImportError::Damaged { file: file.into(), what, reason: error.to_string() }
}

fn located(error: LeafError, file: &str, branch: &Branch, piece: &Range<u64>) -> ImportError {
    let file = file.to_owned();
    let what = || format!("{} in rows {}..{}", branch.name, piece.start, piece.end);
    match error {
        LeafError::Parquet(error) => damaged(&file, what(), &error),
        LeafError::Levels => {
            let reason = "lists and values that do not belong together".into();
            ImportError::Damaged { file, what: what(), reason }
        }
        LeafError::Rows { found } => ImportError::ColumnLength {
            file,
            column: branch.name.into(),
            expected: piece.end,
            found: piece.start + found as u64,
        },
        LeafError::Null { row } => ImportError::Value {
            file,
            row: piece.start + row as u64,
            column: branch.name.into(),
            expected: "a value".into(),
            found: "null".into(),
        },
    }
}

/// The columns of the file that are to be read, types checked.
fn leaves(
    reader: &SerializedFileReader<File>,
    columns: ColumnSet,
    file: &str,
) -> Result<Vec<Leaf>, ImportError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let mut leaves = Vec::new();
    for branch in BRANCHES {
        let wanted = always_read(branch.field)
            || matches!(branch.field, Field::Column(column) if columns.contains(column));
        let root = |index: &usize| {
            schema.column(*index).path().parts().first().is_some_and(|name| name == branch.name)
        };
        let found: Vec<usize> = (0..schema.num_columns()).filter(root).collect();
        match found[..] {
            [index] if wanted => {
                leaves.push(Leaf::new(branch, index, &schema.column(index), file)?);
            }
            [] | [_] => {}
            _ => {
                return Err(ImportError::Type {
                    file: file.into(),
                    column: branch.name.into(),
                    expected: "one number per entry",
                    found: format!("a group of {} columns", found.len()),
                });
            }
        }
    }
    Ok(leaves)
}

/// Every column's part of every row group lies within the file. The library takes that for
/// granted and panics otherwise.
fn check_places(
    reader: &SerializedFileReader<File>,
    bytes: u64,
    file: &str,
) -> Result<(), ImportError> {
    for (index, group) in reader.metadata().row_groups().iter().enumerate() {
        for column in group.columns() {
            let data = column.data_page_offset();
            let begin = column.dictionary_page_offset().unwrap_or(data);
            let (begin, size) = (u64::try_from(begin), u64::try_from(column.compressed_size()));
            let end = begin.ok().zip(size.ok()).and_then(|(begin, size)| begin.checked_add(size));
            if data < 0 || end.is_none_or(|end| end > bytes) {
                return Err(ImportError::Damaged {
                    file: file.into(),
                    what: format!("{} in row group {index}", column.column_path()),
                    reason: "a place outside the file".into(),
                });
            }
        }
    }
    Ok(())
}

/// Rows of all row groups, which the footer has to agree with.
fn n_rows(reader: &SerializedFileReader<File>, file: &str) -> Result<u64, ImportError> {
    let metadata = reader.metadata();
    let stated = metadata.file_metadata().num_rows();
    let groups: Option<i64> = metadata
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .try_fold(0_i64, |sum, n| if n < 0 { None } else { sum.checked_add(n) });
    match groups {
        Some(sum) if sum == stated => Ok(sum as u64),
        _ => Err(ImportError::Damaged {
            file: file.into(),
            what: "parquet footer".into(),
            reason: format!("{stated} rows stated, but row groups of another sum"),
        }),
    }
}
