//! Recorded decisions of trigger algorithms: the `seeds/` files of the public CERN set.
//!
//! One row per event of the data file of the same name, one boolean column per algorithm (a list of length
//! one, or a plain boolean), and `order` repeated. Rows with order −1 (saturated) are left out, as `convert`
//! does. Events of a stream find their row by `order` if the stream has it and it is unique, else by their
//! place. Memory: one bit per event and algorithm.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use scout40_replay::event::{Block, Column};

/// Rows that are read at a time.
const PIECE_ROWS: usize = 1 << 16;

/// Decisions of algorithms, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Seeds {
    names: Vec<String>,
    /// Words of a row.
    n_words: usize,
    /// Bit k of a row: what algorithm k decided.
    bits: Vec<u64>,
    /// `order` of each row, if the files have it.
    orders: Vec<i64>,
}

/// Decisions that belong to the events of a stream.
#[derive(Clone, Debug)]
pub struct SeedRows {
    seeds: Seeds,
    /// Row by `order`; none: events and rows stand in the same order.
    by_order: Option<HashMap<i64, usize>>,
}

impl Seeds {
    /// Reads files, one after the other.
    ///
    /// # Errors
    /// Files that cannot be read, hold no algorithm, or not the same ones.
    pub fn read(paths: &[PathBuf]) -> Result<Seeds> {
        let mut all: Option<Seeds> = None;
        for path in paths {
            let attempt = || format!("while reading the decisions in `{}`", path.display());
            // Its library panics on some damaged files.
            let read = catch_unwind(AssertUnwindSafe(|| read_file(path)));
            let read = read.unwrap_or_else(|_| bail!("the file is damaged"));
            let mut seeds = read.with_context(attempt)?;
            let Some(all) = &mut all else {
                all = Some(seeds);
                continue;
            };
            ensure!(
                all.names == seeds.names && all.orders.is_empty() == seeds.orders.is_empty(),
                "`{}` holds decisions of other algorithms than `{}`",
                path.display(),
                paths[0].display()
            );
            all.bits.append(&mut seeds.bits);
            all.orders.append(&mut seeds.orders);
        }
        all.context("expected a file of decisions, found none")
    }

    /// Names of the algorithms.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.bits.len() / self.n_words
    }

    /// Finds the row of each event of a stream with so many rows, which has `order` or not.
    ///
    /// # Errors
    /// Rows that cannot be those of the stream.
    pub fn of_stream(self, n_rows: u64, has_order: bool, path: &Path) -> Result<SeedRows> {
        if has_order && !self.orders.is_empty() {
            let by_order: HashMap<i64, usize> =
                self.orders.iter().enumerate().map(|(row, &order)| (order, row)).collect();
            if by_order.len() == self.n_rows() {
                return Ok(SeedRows { seeds: self, by_order: Some(by_order) });
            }
        }
        ensure!(
            self.n_rows() as u64 == n_rows,
            "the decisions are those of {} events, but `{}` holds {n_rows}\n\
             hint: give all files of decisions, in the order of the files that the stream was made from",
            self.n_rows(),
            path.display()
        );
        Ok(SeedRows { seeds: self, by_order: None })
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.bits[row * self.n_words..][..self.n_words]
    }
}

impl SeedRows {
    /// Whether the stream's `order` is looked at.
    #[must_use]
    pub fn needs_order(&self) -> bool {
        self.by_order.is_some()
    }

    /// Appends the numbers of the algorithms that took an event, each plus `first`.
    ///
    /// # Errors
    /// An event that there are no decisions of.
    pub fn fired(
        &self,
        block: &Block,
        event: usize,
        row: u64,
        first: usize,
        into: &mut Vec<usize>,
    ) -> Result<()> {
        let row = match &self.by_order {
            None => row as usize,
            Some(by_order) => {
                let order = block.get::<i64>(Column::Order)[event];
                *by_order.get(&order).with_context(|| {
                    format!(
                        "expected decisions of the event with order {order} (row {row}), found none\n\
                         hint: give the files of decisions that belong to the stream"
                    )
                })?
            }
        };
        for (word, &bits) in self.seeds.row(row).iter().enumerate() {
            let mut rest = bits;
            while rest != 0 {
                into.push(first + 64 * word + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
        Ok(())
    }
}

fn read_file(path: &Path) -> Result<Seeds> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let (mut algorithms, mut order) = (Vec::new(), None);
    for (place, column) in schema.columns().iter().enumerate() {
        // `L1_SingleMu22`, or `L1_SingleMu22.list.element`.
        let name = column.path().parts().first().cloned().unwrap_or_default();
        match column.physical_type() {
            parquet::basic::Type::BOOLEAN => algorithms.push((name, place)),
            _ if name == "order" => order = Some(place),
            _ => {}
        }
    }
    ensure!(
        !algorithms.is_empty(),
        "expected columns of booleans, one for each algorithm, found none\n\
         hint: these are in the folder `seeds` of a sample"
    );
    let n_words = algorithms.len().div_ceil(64);
    let mut seeds = Seeds {
        names: algorithms.iter().map(|(name, _)| name.clone()).collect(),
        n_words,
        bits: Vec::new(),
        orders: Vec::new(),
    };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let first_row = seeds.n_rows();
        let orders = match order {
            Some(place) => integers(group.as_ref(), place)?,
            None => Vec::new(),
        };
        for (k, (name, place)) in algorithms.iter().enumerate() {
            let decisions = booleans(group.as_ref(), *place)
                .with_context(|| format!("while reading the column `{name}`"))?;
            if k == 0 {
                seeds.bits.resize((first_row + decisions.len()) * n_words, 0);
            }
            let n_rows = seeds.n_rows() - first_row;
            ensure!(
                decisions.len() == n_rows,
                "expected {n_rows} decisions in the column `{name}`, found {}",
                decisions.len()
            );
            for (row, _) in decisions.iter().enumerate().filter(|&(_, &taken)| taken) {
                seeds.bits[(first_row + row) * n_words + k / 64] |= 1 << (k % 64);
            }
        }
        if order.is_some() {
            let n_rows = seeds.n_rows() - first_row;
            ensure!(orders.len() == n_rows, "expected {n_rows} of `order`, found {}", orders.len());
            drop_saturated(&mut seeds, first_row, &orders);
        }
    }
    Ok(seeds)
}

/// Leaves rows with order −1 out, from `first_row` on.
fn drop_saturated(seeds: &mut Seeds, first_row: usize, orders: &[i64]) {
    let n_words = seeds.n_words;
    let mut to = first_row;
    for (k, &order) in orders.iter().enumerate().filter(|&(_, &order)| order != -1) {
        let from = (first_row + k) * n_words;
        seeds.bits.copy_within(from..from + n_words, to * n_words);
        seeds.orders.push(order);
        to += 1;
    }
    seeds.bits.truncate(to * n_words);
}

fn booleans(group: &dyn RowGroupReader, place: usize) -> Result<Vec<bool>> {
    match group.get_column_reader(place)? {
        ColumnReader::BoolColumnReader(reader) => one_per_row(reader),
        _ => bail!("expected booleans"),
    }
}

fn integers(group: &dyn RowGroupReader, place: usize) -> Result<Vec<i64>> {
    match group.get_column_reader(place)? {
        ColumnReader::Int64ColumnReader(reader) => one_per_row(reader),
        ColumnReader::Int32ColumnReader(reader) => {
            Ok(one_per_row(reader)?.into_iter().map(i64::from).collect())
        }
        _ => bail!("expected integers in the column `order`"),
    }
}

/// The values of a column that has one in each row.
fn one_per_row<T: DataType>(mut reader: ColumnReaderImpl<T>) -> Result<Vec<T::T>> {
    let (mut values, mut n_rows) = (Vec::new(), 0);
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    loop {
        definition.clear();
        repetition.clear();
        let (rows, ..) = reader.read_records(
            PIECE_ROWS,
            Some(&mut definition),
            Some(&mut repetition),
            &mut values,
        )?;
        n_rows += rows;
        ensure!(
            values.len() == n_rows && repetition.iter().all(|&level| level == 0),
            "expected one value in each row, found {} in {n_rows} rows",
            values.len()
        );
        if rows == 0 {
            return Ok(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{BoolType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use scout40_replay::event::ColumnSet;

    use super::*;

    /// Writes decisions of 70 algorithms: algorithm k takes rows with row % (k + 2) == 0.
    fn write(path: &Path, orders: &[i64]) {
        let columns: String = (0..70)
            .map(|k| {
                format!(
                    "required group L1_{k} (LIST) {{ repeated group list {{ required boolean \
                     element; }} }} "
                )
            })
            .collect();
        let schema = format!("message seeds {{ {columns} required int64 order; }}");
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer =
            SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let n_rows = orders.len();
        for k in 0..70 {
            let taken: Vec<bool> = (0..n_rows).map(|row| row % (k + 2) == 0).collect();
            let mut column = group.next_column().unwrap().unwrap();
            let (definition, repetition) = (vec![1; n_rows], vec![0; n_rows]);
            let typed = column.typed::<BoolType>();
            typed.write_batch(&taken, Some(&definition), Some(&repetition)).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(orders, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    fn block(orders: &[i64]) -> Block {
        let mut block = Block::new(ColumnSet::skeleton().with(Column::Order));
        block.get_mut::<i64>(Column::Order).extend(orders);
        block
    }

    #[test]
    fn events_find_their_decisions_by_order_and_else_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seeds.parquet");
        write(&path, &[40, -1, 20, 30, -1, 10]);
        let seeds = Seeds::read(std::slice::from_ref(&path)).unwrap();
        assert_eq!((seeds.names().len(), seeds.n_rows()), (70, 4));
        assert_eq!(seeds.names()[69], "L1_69");
        let expected = |row: usize| -> Vec<usize> {
            (0..70).filter(|k| row.is_multiple_of(k + 2)).map(|k| k + 5).collect()
        };
        // As a stream sorted by crossing may have them: rows 5, 2, 3, 0 of the file.
        let sorted = block(&[10, 20, 30, 40]);
        let rows = seeds.clone().of_stream(4, true, &path).unwrap();
        assert!(rows.needs_order());
        for (event, row) in [5, 2, 3, 0].into_iter().enumerate() {
            let mut fired = Vec::new();
            rows.fired(&sorted, event, event as u64, 5, &mut fired).unwrap();
            assert_eq!(fired, expected(row));
        }
        let unknown = rows.fired(&block(&[11]), 0, 0, 0, &mut Vec::new()).unwrap_err();
        assert!(unknown.to_string().contains("order 11"), "{unknown}");
        let rows = seeds.clone().of_stream(4, false, &path).unwrap();
        for (place, row) in [0, 2, 3, 5].into_iter().enumerate() {
            let mut fired = Vec::new();
            rows.fired(&sorted, 0, place as u64, 5, &mut fired).unwrap();
            assert_eq!(fired, expected(row));
        }
        let other = seeds.of_stream(5, false, &path).unwrap_err().to_string();
        assert!(other.contains("of 4 events") && other.contains("holds 5"), "{other}");
    }

    #[test]
    fn orders_that_begin_again_in_each_file_are_not_taken_for_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seeds.parquet");
        write(&path, &[1, 2, 3]);
        let seeds = Seeds::read(&[path.clone(), path.clone()]).unwrap();
        assert_eq!(seeds.n_rows(), 6);
        let rows = seeds.of_stream(6, true, &path).unwrap();
        assert!(!rows.needs_order());
        let mut fired = Vec::new();
        rows.fired(&block(&[1]), 0, 3, 0, &mut fired).unwrap();
        assert_eq!(fired.len(), 70, "the first row of the second file");
    }

    #[test]
    fn files_without_decisions_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seeds.parquet");
        std::fs::write(&path, b"PAR1 no parquet PAR1").unwrap();
        assert!(Seeds::read(std::slice::from_ref(&path)).is_err());
        assert!(Seeds::read(&[]).is_err());
    }
}
