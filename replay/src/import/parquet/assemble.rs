//! From pieces of parquet columns to a chunk of events: every rule of the data set.
//!
//! Column by column: first which rows stay (saturated ones are dropped before anything else of
//! them is looked at), then which objects of them (pT 0 is none) and in which order (descending
//! pT), then each column's values along these lists of entries, checked against its field.
//!
//! Reads no file, and changes no value except that saturated codes are clamped.

use super::branch::Field;
use super::file::OpenFile;
use super::leaf::{Leaf, Number};
use crate::event::{Block, Collection, Column, ColumnSet, Dtype, Element, Entries};
use crate::import::{Chunk, ImportError, ImportTally, all_ones};

/// Turns pieces into chunks. Keeps what it allocates.
#[derive(Default)]
pub(super) struct Assembler {
    keep_saturated: bool,
    /// Whether events have recorded crossing numbers.
    pub placed: bool,
    pub columns: ColumnSet,
    pub tally: ImportTally,
    saturated: Vec<bool>,
    /// Rows of the piece that stay.
    rows: Vec<u32>,
    /// Entries of the objects that stay, in their new order.
    entries: Vec<u32>,
}

/// For each row of the piece, whether it has recorded crossing numbers.
pub(super) fn placements(file: &OpenFile) -> impl Iterator<Item = bool> {
    let values = |column| file.leaf(Field::Column(column)).map(|leaf| &leaf.integers[..]);
    let numbers = match (file.leaf(Field::Run), values(Column::Orbit), values(Column::Bx)) {
        (Some(_), Some(orbits), Some(bxs)) => Some(orbits.iter().zip(bxs)),
        _ => None,
    };
    let n_rows = (file.piece.end - file.piece.start) as usize;
    let n_unknown = if numbers.is_some() { 0 } else { n_rows };
    let known = numbers.into_iter().flatten();
    known
        .map(|(&orbit, &bx)| !(all_ones(orbit) && all_ones(bx)))
        .chain(std::iter::repeat_n(false, n_unknown))
}

impl Assembler {
    pub(super) fn new(columns: ColumnSet, placed: bool, keep_saturated: bool) -> Assembler {
        Assembler { columns, placed, keep_saturated, ..Assembler::default() }
    }

    /// Replaces `chunk` by the events of the file's piece.
    pub(super) fn assemble(
        &mut self,
        file: &OpenFile,
        chunk: &mut Chunk,
    ) -> Result<(), ImportError> {
        let n_rows = (file.piece.end - file.piece.start) as usize;
        chunk.reset(self.columns);
        check_scalars(file, n_rows)?;
        self.check_placement(file)?;
        self.select_rows(file, n_rows);
        self.copy_crossings(file, chunk)?;
        for collection in Collection::OBJECTS {
            self.copy_objects(file, collection, chunk)?;
        }
        chunk.events.index_objects().map_err(ImportError::Chunk)
    }

    fn check_placement(&self, file: &OpenFile) -> Result<(), ImportError> {
        let Some(row) = placements(file).position(|placed| placed != self.placed) else {
            return Ok(());
        };
        let name = |placed| if placed { "recorded" } else { "no" };
        Err(ImportError::MixedPlacement {
            file: file.name.clone(),
            row: file.piece.start + row as u64,
            expected: name(self.placed),
            found: name(!self.placed),
        })
    }

    fn select_rows(&mut self, file: &OpenFile, n_rows: usize) {
        self.saturated.clear();
        match file.leaf(Field::Column(Column::Order)) {
            Some(leaf) => self.saturated.extend(leaf.integers.iter().map(|&order| order == -1)),
            None => self.saturated.resize(n_rows, false),
        }
        let (keep, saturated) = (self.keep_saturated, &self.saturated);
        self.rows.clear();
        self.rows.extend((0..n_rows as u32).filter(|&row| keep || !saturated[row as usize]));
        self.tally.rows += n_rows as u64;
        self.tally.kept += self.rows.len() as u64;
        self.tally.dropped_saturated += (n_rows - self.rows.len()) as u64;
    }

    fn copy_crossings(&mut self, file: &OpenFile, chunk: &mut Chunk) -> Result<(), ImportError> {
        let n_kept = self.rows.len();
        let mut copy = Copier { file, saturated: &self.saturated, clamped: 0 };
        for column in self.columns.iter() {
            let number = matches!(column, Column::Orbit | Column::Bx);
            if column.spec().collection != Collection::Crossing || is_count(column) {
                continue;
            }
            match file.leaf(Field::Column(column)) {
                Some(leaf) if self.placed || !number => {
                    copy.column(leaf, column, &self.rows, &mut chunk.events)?;
                }
                _ => chunk.events.entries_mut(column).resize(n_kept),
            }
        }
        match file.leaf(Field::Run) {
            Some(leaf) if self.placed => {
                copy.values(leaf, &self.rows, (0, i64::from(u32::MAX)), false, &mut chunk.runs)?;
            }
            _ => chunk.runs.resize(n_kept, 0),
        }
        self.tally.clamped += copy.clamped;
        Ok(())
    }

    fn copy_objects(
        &mut self,
        file: &OpenFile,
        collection: Collection,
        chunk: &mut Chunk,
    ) -> Result<(), ImportError> {
        let (Some([pt_column, ..]), Some(count)) =
            (collection.kinematics(), collection.count_column())
        else {
            return Ok(());
        };
        let Some(pt) = file.leaf(Field::Column(pt_column)) else {
            chunk.events.entries_mut(count).resize(self.rows.len());
            return Ok(());
        };
        let leaves: Vec<&Leaf> =
            file.leaves.iter().filter(|leaf| leaf.branch.collection() == collection).collect();
        check_lengths(file, pt, &leaves)?;
        self.select_objects(file, pt, collection, chunk.events.get_mut::<u8>(count))?;
        let mut copy = Copier { file, saturated: &self.saturated, clamped: 0 };
        for leaf in leaves {
            if let Field::Column(column) = leaf.branch.field
                && self.columns.contains(column)
            {
                copy.column(leaf, column, &self.entries, &mut chunk.events)?;
            }
        }
        self.tally.clamped += copy.clamped;
        Ok(())
    }

    /// Lists the entries that are objects, in descending pT, and counts them per row.
    fn select_objects(
        &mut self,
        file: &OpenFile,
        pt: &Leaf,
        collection: Collection,
        counts: &mut Vec<u8>,
    ) -> Result<(), ImportError> {
        let values = &pt.integers;
        self.entries.clear();
        for &row in &self.rows {
            let row = row as usize;
            let begin = self.entries.len();
            let range = pt.offsets[row]..pt.offsets[row + 1];
            let n_entries = range.len();
            self.entries.extend(range.filter(|&entry| values[entry as usize] != 0));
            let objects = &mut self.entries[begin..];
            self.tally.empty_objects += (n_entries - objects.len()) as u64;
            if objects.len() > collection.capacity() {
                return Err(ImportError::Capacity {
                    file: file.name.clone(),
                    row: file.piece.start + row as u64,
                    collection: collection.name(),
                    capacity: collection.capacity(),
                    found: objects.len(),
                });
            }
            let descending = |pair: &[u32]| values[pair[0] as usize] >= values[pair[1] as usize];
            if !objects.windows(2).all(descending) {
                objects.sort_by_key(|&entry| std::cmp::Reverse(values[entry as usize]));
                self.tally.resorted_lists += 1;
            }
            counts.push(objects.len() as u8);
        }
        Ok(())
    }
}

fn is_count(column: Column) -> bool {
    Collection::OBJECTS.into_iter().any(|c| c.count_column() == Some(column))
}

/// Per-crossing branches have exactly one value per row, be it in a list or not.
fn check_scalars(file: &OpenFile, n_rows: usize) -> Result<(), ImportError> {
    for leaf in file.leaves.iter().filter(|l| l.branch.collection() == Collection::Crossing) {
        if let Some(row) = (0..n_rows).find(|&row| leaf.n_entries(row) != 1) {
            return Err(ImportError::Value {
                file: file.name.clone(),
                row: file.piece.start + row as u64,
                column: leaf.branch.name.into(),
                expected: "one value".into(),
                found: format!("{} values", leaf.n_entries(row)),
            });
        }
    }
    Ok(())
}

/// All branches of a collection list the same number of objects, in dropped rows too: entries
/// are found by their place.
fn check_lengths(file: &OpenFile, reference: &Leaf, leaves: &[&Leaf]) -> Result<(), ImportError> {
    for leaf in leaves {
        let pairs = leaf.offsets.iter().zip(&reference.offsets);
        let Some(row) = pairs.skip(1).position(|(found, expected)| found != expected) else {
            continue;
        };
        return Err(ImportError::ListLength {
            file: file.name.clone(),
            row: file.piece.start + row as u64,
            column: leaf.branch.name,
            reference: reference.branch.name,
            expected: reference.n_entries(row),
            found: leaf.n_entries(row),
        });
    }
    Ok(())
}

/// A type that codes are narrowed to, once they are known to fit.
trait Code: Element {
    fn from_code(code: i64) -> Self;
}

macro_rules! code {
    ($($ty:ty),*) => {$(
        impl Code for $ty {
            fn from_code(code: i64) -> $ty {
                code as $ty
            }
        }
    )*};
}
code!(u8, i16, u32, i32, u64, i64, f32, f64);

/// Smallest and largest value of a column.
fn limits(column: Column) -> (i64, i64) {
    let spec = column.spec();
    spec.range.unwrap_or(match spec.dtype {
        Dtype::U8 => (0, i64::from(u8::MAX)),
        Dtype::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Dtype::U32 => (0, i64::from(u32::MAX)),
        Dtype::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Dtype::U64 => (0, i64::MAX),
        Dtype::I64 | Dtype::F32 | Dtype::F64 => (i64::MIN, i64::MAX),
    })
}

/// Whether a value beyond the field means that the detector saturated.
fn can_saturate(column: Column) -> bool {
    column.spec().unit == "GeV" || column == Column::TowerCount
}

/// Copies entries of leaves into columns.
struct Copier<'a> {
    file: &'a OpenFile,
    saturated: &'a [bool],
    clamped: u64,
}

impl Copier<'_> {
    fn column(
        &mut self,
        leaf: &Leaf,
        column: Column,
        entries: &[u32],
        to: &mut Block,
    ) -> Result<(), ImportError> {
        let (range, clamp) = (limits(column), can_saturate(column));
        match to.entries_mut(column) {
            Entries::U8(to) => self.values(leaf, entries, range, clamp, to),
            Entries::I16(to) => self.values(leaf, entries, range, clamp, to),
            Entries::U32(to) => self.values(leaf, entries, range, clamp, to),
            Entries::I32(to) => self.values(leaf, entries, range, clamp, to),
            Entries::I64(to) => self.values(leaf, entries, range, clamp, to),
            Entries::U64(to) if leaf.number == Number::Unsigned64 => {
                to.extend(entries.iter().map(|&entry| leaf.integers[entry as usize] as u64));
                Ok(())
            }
            Entries::U64(to) => self.values(leaf, entries, range, clamp, to),
            Entries::F32(to) if leaf.number == Number::Real => {
                to.extend(entries.iter().map(|&entry| leaf.reals[entry as usize] as f32));
                Ok(())
            }
            Entries::F32(to) => self.values(leaf, entries, range, clamp, to),
            Entries::F64(to) => self.values(leaf, entries, range, clamp, to),
        }
    }

    fn values<T: Code>(
        &mut self,
        leaf: &Leaf,
        entries: &[u32],
        (min, max): (i64, i64),
        clamp: bool,
        to: &mut Vec<T>,
    ) -> Result<(), ImportError> {
        // An unsigned 64-bit value beyond i64 looks negative; no field but u64 holds either.
        let min = if leaf.number == Number::Unsigned64 { min.max(0) } else { min };
        to.reserve(entries.len());
        for &entry in entries {
            let mut value = leaf.integers[entry as usize];
            if value < min || value > max {
                value = self.beyond(leaf, entry as usize, (min, max), clamp)?;
            }
            to.push(T::from_code(value));
        }
        Ok(())
    }

    /// A value that the field cannot hold: clamped if it is a saturated one.
    #[cold]
    fn beyond(
        &mut self,
        leaf: &Leaf,
        entry: usize,
        (min, max): (i64, i64),
        clamp: bool,
    ) -> Result<i64, ImportError> {
        let row = leaf.row_of(entry);
        let value = leaf.integers[entry];
        let above = value > max || (leaf.number == Number::Unsigned64 && value < 0);
        if clamp && above && self.saturated[row] {
            self.clamped += 1;
            return Ok(max);
        }
        let found = match leaf.number {
            Number::Unsigned64 => (value as u64).to_string(),
            _ => value.to_string(),
        };
        Err(ImportError::Value {
            file: self.file.name.clone(),
            row: self.file.piece.start + row as u64,
            column: leaf.branch.name.into(),
            expected: format!("a value within {min}..={max}"),
            found,
        })
    }
}
