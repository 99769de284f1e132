//! One parquet column, read in pieces of whole rows.
//!
//! A column stores values and, for lists, levels: the repetition level 0 begins a row, and the
//! definition level says whether there is an entry at all, an entry without a value, or a value.
//! A [`Leaf`] undoes this into values and offsets. Integers of every width and sign become `i64`
//! (unsigned 64-bit ones keep their bits, see [`Number`]), booleans 0 and 1, reals `f64`.
//!
//! It checks structure, not values: missing values are errors, ranges are not its business.

use ::parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::schema::types::ColumnDescriptor;

use super::branch::{Accepts, Branch};
use crate::import::ImportError;
use crate::import::guard::caught;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Bool,
    Signed,
    /// Of at most 32 bits.
    Unsigned,
    /// Of 64 bits: an `i64` holds the same bits, so values from 2^63 on look negative.
    Unsigned64,
    Real,
}

/// One column of a file.
pub(super) struct Leaf {
    pub branch: &'static Branch,
    pub number: Number,
    /// Values of the piece, if they are integers or booleans.
    pub integers: Vec<i64>,
    /// Values of the piece, if they are reals.
    pub reals: Vec<f64>,
    /// Where the entries of each row begin. **Shape**: rows + 1.
    pub offsets: Vec<u32>,
    /// Place among the leaves of the file.
    index: usize,
    /// Levels from which on there is an entry, and a value.
    entry_level: i16,
    value_level: i16,
    is_list: bool,
    reader: Option<ColumnReader>,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    definition: Vec<i16>,
    repetition: Vec<i16>,
    bools: Vec<bool>,
    i32s: Vec<i32>,
    f32s: Vec<f32>,
}

/// Why a piece could not be read.
pub(super) enum LeafError {
    Parquet(ParquetError),
    /// Fewer rows than asked for.
    Rows {
        found: usize,
    },
    /// No value in this row, from 0 within the piece.
    Null {
        row: usize,
    },
    /// Levels and values do not belong together.
    Levels,
}

impl Leaf {
    /// Column `index` of a file, to be read as `branch`.
    pub(super) fn new(
        branch: &'static Branch,
        index: usize,
        descriptor: &ColumnDescriptor,
        file: &str,
    ) -> Result<Leaf, ImportError> {
        let is_list = descriptor.max_rep_level() == 1;
        let number = match number_of(descriptor) {
            Some(number) if accepts(branch.accepts, number) => number,
            _ => return Err(wrong_type(branch, descriptor, file)),
        };
        if descriptor.max_rep_level() > 1 {
            return Err(wrong_type(branch, descriptor, file));
        }
        Ok(Leaf {
            branch,
            number,
            integers: Vec::new(),
            reals: Vec::new(),
            offsets: Vec::new(),
            index,
            entry_level: if is_list { descriptor.repeated_ancestor_def_level() } else { 0 },
            value_level: descriptor.max_def_level(),
            is_list,
            reader: None,
            scratch: Scratch::default(),
        })
    }

    /// Place among the leaves of the file.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Goes on with the column's part in another row group.
    pub(super) fn enter(&mut self, reader: ColumnReader) {
        self.reader = Some(reader);
    }

    /// Passes over rows.
    pub(super) fn skip(&mut self, n_rows: usize) -> Result<(), LeafError> {
        use ColumnReader as C;
        let skip = || match &mut self.reader {
            Some(C::BoolColumnReader(r)) => r.skip_records(n_rows),
            Some(C::Int32ColumnReader(r)) => r.skip_records(n_rows),
            Some(C::Int64ColumnReader(r)) => r.skip_records(n_rows),
            Some(C::FloatColumnReader(r)) => r.skip_records(n_rows),
            Some(C::DoubleColumnReader(r)) => r.skip_records(n_rows),
            _ => Ok(0),
        };
        let found = caught(skip, ParquetError::General).map_err(LeafError::Parquet)?;
        if found == n_rows { Ok(()) } else { Err(LeafError::Rows { found }) }
    }

    /// Replaces the piece by the next `n_rows` rows.
    pub(super) fn read(&mut self, n_rows: usize) -> Result<(), LeafError> {
        use ColumnReader as C;
        let scratch = &mut self.scratch;
        let (definition, repetition) = (&mut scratch.definition, &mut scratch.repetition);
        self.integers.clear();
        self.reals.clear();
        match &mut self.reader {
            Some(C::BoolColumnReader(r)) => {
                values(r, n_rows, definition, repetition, &mut scratch.bools)?;
                self.integers.extend(scratch.bools.iter().map(|&x| i64::from(x)));
            }
            Some(C::Int32ColumnReader(r)) => {
                values(r, n_rows, definition, repetition, &mut scratch.i32s)?;
                if self.number == Number::Signed {
                    self.integers.extend(scratch.i32s.iter().map(|&x| i64::from(x)));
                } else {
                    self.integers.extend(scratch.i32s.iter().map(|&x| i64::from(x as u32)));
                }
            }
            Some(C::Int64ColumnReader(r)) => {
                values(r, n_rows, definition, repetition, &mut self.integers)?;
            }
            Some(C::FloatColumnReader(r)) => {
                values(r, n_rows, definition, repetition, &mut scratch.f32s)?;
                self.reals.extend(scratch.f32s.iter().map(|&x| f64::from(x)));
            }
            Some(C::DoubleColumnReader(r)) => {
                values(r, n_rows, definition, repetition, &mut self.reals)?;
            }
            _ => return Err(LeafError::Rows { found: 0 }),
        }
        self.index_rows(n_rows)
    }

    /// Offsets from levels.
    fn index_rows(&mut self, n_rows: usize) -> Result<(), LeafError> {
        let n_values = self.integers.len() + self.reals.len();
        let (definition, repetition) = (&self.scratch.definition, &self.scratch.repetition);
        self.offsets.clear();
        if !self.is_list {
            if let Some(row) = definition.iter().position(|&level| level < self.value_level) {
                return Err(LeafError::Null { row });
            }
            self.offsets.extend(0..=n_rows as u32);
            return if n_values == n_rows { Ok(()) } else { Err(LeafError::Levels) };
        }
        let mut n_entries = 0_u32;
        for (&repetition, &definition) in repetition.iter().zip(definition) {
            if repetition == 0 {
                self.offsets.push(n_entries);
            }
            if definition >= self.entry_level {
                if definition < self.value_level {
                    return Err(LeafError::Null { row: self.offsets.len().saturating_sub(1) });
                }
                n_entries += 1;
            }
        }
        self.offsets.push(n_entries);
        let whole = self.offsets.len() == n_rows + 1 && n_entries as usize == n_values;
        if whole { Ok(()) } else { Err(LeafError::Levels) }
    }

    /// Number of entries of a row.
    pub(super) fn n_entries(&self, row: usize) -> usize {
        (self.offsets[row + 1] - self.offsets[row]) as usize
    }

    /// Row that entry `index` belongs to.
    pub(super) fn row_of(&self, index: usize) -> usize {
        self.offsets.partition_point(|&begin| begin as usize <= index) - 1
    }
}

/// Reads rows of a column whose values are `T::T`.
fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    n_rows: usize,
    definition: &mut Vec<i16>,
    repetition: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<(), LeafError> {
    definition.clear();
    repetition.clear();
    values.clear();
    let read = || reader.read_records(n_rows, Some(definition), Some(repetition), values);
    let (found, ..) = caught(read, ParquetError::General).map_err(LeafError::Parquet)?;
    if found == n_rows { Ok(()) } else { Err(LeafError::Rows { found }) }
}

fn number_of(descriptor: &ColumnDescriptor) -> Option<Number> {
    let signed = match (descriptor.logical_type_ref(), descriptor.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) => Some(integer.is_signed),
        (Some(_), _) => None,
        (None, ConvertedType::NONE) => Some(true),
        (None, ConvertedType::INT_8 | ConvertedType::INT_16) => Some(true),
        (None, ConvertedType::INT_32 | ConvertedType::INT_64) => Some(true),
        (None, ConvertedType::UINT_8 | ConvertedType::UINT_16) => Some(false),
        (None, ConvertedType::UINT_32 | ConvertedType::UINT_64) => Some(false),
        (None, _) => None,
    };
    match (descriptor.physical_type(), signed) {
        (Physical::BOOLEAN, _) => Some(Number::Bool),
        (Physical::INT32 | Physical::INT64, Some(true)) => Some(Number::Signed),
        (Physical::INT32, Some(false)) => Some(Number::Unsigned),
        (Physical::INT64, Some(false)) => Some(Number::Unsigned64),
        (Physical::FLOAT | Physical::DOUBLE, _) => Some(Number::Real),
        _ => None,
    }
}

fn accepts(accepts: Accepts, number: Number) -> bool {
    match number {
        Number::Bool => accepts == Accepts::IntegerOrBool,
        Number::Real => accepts == Accepts::IntegerOrReal,
        Number::Signed | Number::Unsigned | Number::Unsigned64 => true,
    }
}

fn wrong_type(branch: &Branch, descriptor: &ColumnDescriptor, file: &str) -> ImportError {
    let mut kind = descriptor.physical_type().to_string();
    if descriptor.converted_type() != ConvertedType::NONE {
        kind += &format!(" ({})", descriptor.converted_type());
    } else if let Some(logical) = descriptor.logical_type_ref() {
        kind += &format!(" ({logical:?})");
    }
    let lists = "list of ".repeat(usize::try_from(descriptor.max_rep_level()).unwrap_or(0));
    ImportError::Type {
        file: file.into(),
        column: branch.name.into(),
        expected: match branch.accepts {
            Accepts::Integer => "an integer type, or lists of one",
            Accepts::IntegerOrBool => "a boolean or an integer type",
            Accepts::IntegerOrReal => "a real or an integer type",
        },
        found: format!("{lists}{kind}"),
    }
}
