//! The schema of the public set `anomaly_detection_cmsl1t`, with those of its columns that the stream
//! has: objects as lists of 16-bit integers, sums as lists of length one, as in the public files.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::unfinished::Unfinished;
use super::{ExportError, ExportSummary, Exporter};
use crate::event::gather::{self, Pick};
use crate::event::{Block, Collection, Column, ColumnSet, Entries, Group};
use crate::import::parquet::branch::{BRANCHES, Branch, Field};

/// Rows of a row group, gathered from blocks.
const ROW_GROUP_ROWS: usize = 1 << 16;

/// Writes one file.
pub(super) struct ParquetExporter {
    unfinished: Unfinished,
    writer: Option<SerializedFileWriter<File>>,
    branches: Vec<&'static Branch>,
    columns: ColumnSet,
    rows: Block,
    runs: Vec<u32>,
    crossings: u64,
}

impl ParquetExporter {
    pub(super) fn create(path: &Path, columns: ColumnSet) -> Result<Self, ExportError> {
        let columns = columns.union(ColumnSet::skeleton());
        let written = |branch: &&Branch| match branch.field {
            Field::Run => true,
            Field::Column(column) => columns.contains(column),
        };
        let branches: Vec<&Branch> = BRANCHES.iter().filter(written).collect();
        let fields: String = branches.iter().map(|branch| field(branch)).collect();
        let unfinished = Unfinished::file(path);
        let library = |error: ParquetError| unfinished.library(error);
        let schema =
            parse_message_type(&format!("message schema {{ {fields} }}")).map_err(library)?;
        let level = ZstdLevel::try_new(3).map_err(library)?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let file = File::create(unfinished.temporary()).map_err(unfinished.io("create it"))?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        let writer = Some(writer.map_err(library)?);
        let rows = Block::new(columns);
        Ok(ParquetExporter {
            unfinished,
            writer,
            branches,
            columns,
            rows,
            runs: Vec::new(),
            crossings: 0,
        })
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else {
            return Err(self.unfinished.library("it is finished already"));
        };
        // Offsets are not kept up to date while rows are gathered.
        self.rows.index_objects()?;
        let done = row_group(writer, &self.branches, &self.rows, &self.runs);
        done.map_err(|error| self.unfinished.library(error))?;
        self.rows.reset(0, self.columns);
        self.runs.clear();
        Ok(())
    }
}

impl Exporter for ParquetExporter {
    fn write(&mut self, block: &Block) -> Result<(), ExportError> {
        block.check_shape()?;
        self.crossings += block.len() as u64;
        let mut first = 0;
        while first < block.len() {
            let end = block.len().min(first + ROW_GROUP_ROWS - self.runs.len());
            gather::append(&mut self.rows, &[block], &[Pick { source: 0, first, end }]);
            self.runs.resize(self.runs.len() + end - first, block.run);
            if self.runs.len() == ROW_GROUP_ROWS {
                self.flush()?;
            }
            first = end;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ExportSummary, ExportError> {
        self.flush()?;
        let Some(writer) = self.writer.take() else {
            return Err(self.unfinished.library("it is finished already"));
        };
        writer.close().map_err(|error| self.unfinished.library(error))?;
        let file = self.unfinished.sync_and_name()?;
        let of_branches = self.branches.iter().filter_map(|branch| match branch.field {
            Field::Run => None,
            Field::Column(column) => Some(column),
        });
        // Multiplicities are lengths of lists.
        let held = of_branches.collect::<ColumnSet>().union(Group::Counts.columns());
        Ok(ExportSummary {
            files: vec![file],
            crossings: self.crossings,
            left_out: self.columns.minus(held),
            left_out_values: Vec::new(),
            ..ExportSummary::default()
        })
    }
}

/// A branch in the language of schemas.
fn field(branch: &Branch) -> String {
    let name = branch.name;
    let list = |element: &str| {
        format!("optional group {name} (LIST) {{ repeated group list {{ optional {element}; }} }} ")
    };
    match branch.field {
        Field::Column(column) if branch.collection() != Collection::Crossing => {
            debug_assert!(Collection::OBJECTS.contains(&column.spec().collection));
            list("int32 element (INTEGER(16,true))")
        }
        Field::Column(column) if is_sum(column) => list("int32 element"),
        Field::Run | Field::Column(Column::Lumi | Column::Bx) => {
            format!("optional int32 {name} (INTEGER(32,false)); ")
        }
        Field::Column(Column::Orbit | Column::Event | Column::Time) => {
            format!("optional int64 {name} (INTEGER(64,false)); ")
        }
        Field::Column(Column::PileUp) => format!("optional float {name}; "),
        Field::Column(Column::L1Accept) => format!("optional boolean {name}; "),
        Field::Column(Column::Order) => format!("optional int64 {name}; "),
        Field::Column(_) => format!("optional int32 {name}; "),
    }
}

fn is_sum(column: Column) -> bool {
    matches!(column.spec().group, Group::Met | Group::Sums)
}

fn row_group(
    writer: &mut SerializedFileWriter<File>,
    branches: &[&Branch],
    rows: &Block,
    runs: &[u32],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for branch in branches {
        let mut column = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("fewer columns than the schema has".into()))?;
        let is_list = levels(branch, rows, &mut definition, &mut repetition);
        let levels = Levels { definition: &definition, repetition: is_list.then_some(&repetition) };
        match branch.field {
            Field::Run => put(column.untyped(), levels, runs.iter().map(|&run| i64::from(run)))?,
            Field::Column(of) => match rows.entries(of) {
                Entries::U8(values) => put_all(column.untyped(), levels, values)?,
                Entries::I16(values) => put_all(column.untyped(), levels, values)?,
                Entries::U32(values) => put_all(column.untyped(), levels, values)?,
                Entries::I32(values) => put_all(column.untyped(), levels, values)?,
                Entries::I64(values) => put_all(column.untyped(), levels, values)?,
                Entries::U64(values) => {
                    put(column.untyped(), levels, values.iter().map(|x| x.cast_signed()))?;
                }
                Entries::F32(values) => put_reals(column.untyped(), levels, values)?,
                Entries::F64(_) => {
                    return Err(ParquetError::General(format!("{} has no type", branch.name)));
                }
            },
        }
        column.close()?;
    }
    group.close()?;
    Ok(())
}

/// What turns values into rows of lists.
#[derive(Clone, Copy)]
struct Levels<'a> {
    definition: &'a [i16],
    repetition: Option<&'a Vec<i16>>,
}

/// Levels of a branch: 3 for a value in a list, 1 for an empty list, 1 for a plain value. Returns
/// whether it is one of lists.
fn levels(
    branch: &Branch,
    rows: &Block,
    definition: &mut Vec<i16>,
    repetition: &mut Vec<i16>,
) -> bool {
    definition.clear();
    repetition.clear();
    match (branch.collection(), branch.field) {
        (Collection::Crossing, Field::Column(column)) if is_sum(column) => {
            definition.resize(rows.len(), 3);
            repetition.resize(rows.len(), 0);
            true
        }
        (Collection::Crossing, _) => {
            definition.resize(rows.len(), 1);
            false
        }
        (collection, _) => {
            for pair in rows.offsets(collection).windows(2) {
                let n = (pair[1] - pair[0]) as usize;
                definition.extend(std::iter::repeat_n(3, n));
                if n == 0 {
                    definition.push(1);
                }
                repetition.push(0);
                repetition.extend(std::iter::repeat_n(1, n.saturating_sub(1)));
            }
            true
        }
    }
}

fn put_all<T: Copy + Into<i64>>(
    writer: &mut ColumnWriter<'_>,
    levels: Levels<'_>,
    values: &[T],
) -> Result<(), ParquetError> {
    put(writer, levels, values.iter().map(|&x| x.into()))
}

fn put(
    writer: &mut ColumnWriter<'_>,
    Levels { definition, repetition }: Levels<'_>,
    values: impl Iterator<Item = i64>,
) -> Result<(), ParquetError> {
    let (definition, repetition) = (Some(definition), repetition.map(Vec::as_slice));
    match writer {
        ColumnWriter::BoolColumnWriter(writer) => {
            let values: Vec<bool> = values.map(|x| x != 0).collect();
            writer.write_batch(&values, definition, repetition)?;
        }
        ColumnWriter::Int32ColumnWriter(writer) => {
            let values: Vec<i32> = values.map(|x| x as i32).collect();
            writer.write_batch(&values, definition, repetition)?;
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            let values: Vec<i64> = values.collect();
            writer.write_batch(&values, definition, repetition)?;
        }
        _ => return Err(ParquetError::General("integers in a column of another type".into())),
    }
    Ok(())
}

fn put_reals(
    writer: &mut ColumnWriter<'_>,
    Levels { definition, repetition }: Levels<'_>,
    values: &[f32],
) -> Result<(), ParquetError> {
    let ColumnWriter::FloatColumnWriter(writer) = writer else {
        return Err(ParquetError::General("reals in a column of another type".into()));
    };
    writer.write_batch(values, Some(definition), repetition.map(Vec::as_slice))?;
    Ok(())
}
