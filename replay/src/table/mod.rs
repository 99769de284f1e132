//! Tables of the public challenges: named columns of numbers with a weight and a label for each row.
//!
//! Offline events that are no Level-1 crossings: good for studies of statistics and of scores, not
//! for replay. Formats are recognised by content:
//!
//! * Kaggle HiggsML (`training.csv`, and the CERN open-data `atlas-higgs-challenge-2014-v2.csv`): commas,
//!   a header, −999 where a value has no meaning. **Source**: CERN Open Data record 328.
//! * Dark Machines: semicolons, no header, as many objects as there are, MeV. **Source**:
//!   arXiv:2105.14027, Zenodo 3961917.
//!
//! A table is in memory as a whole. Values that are missing are NaN.

mod dark_machines;
mod error;
mod higgs;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

pub use error::TableError;

/// Bytes of a first line that are looked at.
const FIRST_LINE_BYTES: u64 = 1 << 16;

/// Format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Kaggle HiggsML.
    HiggsMl,
    /// Dark Machines.
    DarkMachines,
}

impl TableFormat {
    /// Name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TableFormat::HiggsMl => "Kaggle HiggsML",
            TableFormat::DarkMachines => "Dark Machines",
        }
    }

    /// The format of a file by its first line; `None` if it is neither.
    #[must_use]
    pub fn of(path: &Path) -> Option<TableFormat> {
        let file = File::open(path).ok()?;
        let mut line = Vec::new();
        BufReader::new(file.take(FIRST_LINE_BYTES)).read_until(b'\n', &mut line).ok()?;
        let line = std::str::from_utf8(&line).ok()?.trim_start_matches('\u{feff}');
        if line.starts_with("EventId,") {
            return Some(TableFormat::HiggsMl);
        }
        let mut fields = line.split(';');
        let mut number = || fields.next().is_some_and(|field| field.trim().parse::<f64>().is_ok());
        let event = number();
        let process = line.split(';').nth(1).is_some_and(|name| !name.trim().is_empty());
        let mut rest = line.split(';').skip(2).map(|field| field.trim().parse::<f64>().is_ok());
        let weight_and_met = rest.next() == Some(true) && rest.next() == Some(true);
        (event && process && weight_and_met).then_some(TableFormat::DarkMachines)
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name; units come last.
    pub name: String,
    /// **Shape**: one per row. NaN where it is missing.
    pub values: Vec<f64>,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its format.
    pub format: TableFormat,
    /// Columns, in the order of the file.
    pub columns: Vec<TableColumn>,
    /// Expected yield of each row. **Shape**: one per row; finite, not negative.
    pub weights: Vec<f64>,
    /// Index of the name of each row's label. **Shape**: one per row.
    pub labels: Vec<u32>,
    /// Names of labels, in the order in which they first occur: `s` and `b`, or processes.
    pub label_names: Vec<String>,
}

/// What is known of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Rows that have a value.
    pub n: usize,
    /// Smallest one; NaN if there is none.
    pub min: f64,
    /// Mean, without weights.
    pub mean: f64,
    /// Largest one.
    pub max: f64,
}

impl Table {
    /// Reads a table of a format that is recognised by its first line.
    ///
    /// # Errors
    /// A file that cannot be read or is of neither format, a column that is missing, a field that is
    /// no number or out of range: with line and column.
    pub fn read(path: &Path) -> Result<Table, TableError> {
        let file =
            File::open(path).map_err(|source| TableError::Io { path: path.into(), source })?;
        match TableFormat::of(path) {
            Some(TableFormat::HiggsMl) => higgs::read(file, path),
            Some(TableFormat::DarkMachines) => dark_machines::read(file, path),
            None => Err(TableError::Unknown { path: path.into() }),
        }
    }

    fn new(format: TableFormat, names: impl IntoIterator<Item = String>) -> Table {
        let column = |name| TableColumn { name, values: Vec::new() };
        Table {
            format,
            columns: names.into_iter().map(column).collect(),
            weights: Vec::new(),
            labels: Vec::new(),
            label_names: Vec::new(),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Values of a column by its name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        let column = self.columns.iter().find(|column| column.name == name);
        column.map(|column| &column.values[..])
    }

    /// Index of a label by its name.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<u32> {
        let index = self.label_names.iter().position(|label| label == name);
        index.map(|index| index as u32)
    }

    /// Number of rows with each label and the sum of their weights, in the order of their names.
    #[must_use]
    pub fn yields(&self) -> Vec<(u64, f64)> {
        let mut yields = vec![(0, 0.0); self.label_names.len()];
        for (&label, &weight) in self.labels.iter().zip(&self.weights) {
            let (n, sum) = &mut yields[label as usize];
            *n += 1;
            *sum += weight;
        }
        yields
    }

    fn push_label(&mut self, name: &str) {
        let index = self.label(name).unwrap_or_else(|| {
            self.label_names.push(name.to_owned());
            self.label_names.len() as u32 - 1
        });
        self.labels.push(index);
    }
}

impl TableColumn {
    /// What is known of its values.
    #[must_use]
    pub fn summary(&self) -> ColumnSummary {
        let known = self.values.iter().copied().filter(|value| !value.is_nan());
        let (n, sum) = known.clone().fold((0, 0.0), |(n, sum), value| (n + 1, sum + value));
        ColumnSummary {
            n,
            min: known.clone().fold(f64::NAN, f64::min),
            mean: sum / n as f64,
            max: known.fold(f64::NAN, f64::max),
        }
    }
}
