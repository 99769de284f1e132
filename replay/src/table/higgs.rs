//! Kaggle HiggsML: one column for each number of the header, −999 as missing.

use std::fs::File;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use super::{Table, TableError, TableFormat};

const MISSING: f64 = -999.0;
const EVENT: &str = "EventId";
const WEIGHT: &str = "Weight";
const LABEL: &str = "Label";
/// Which part of the challenge a row was in: a letter.
const SET: &str = "KaggleSet";

/// Where the fields of a line go.
struct Places {
    weight: usize,
    label: usize,
    /// Fields that are columns.
    columns: Vec<usize>,
    n: usize,
}

pub(super) fn read(file: File, path: &Path) -> Result<Table, TableError> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
    let io = |error: csv::Error| super::dark_machines::unreadable(path, error);
    let header = reader.headers().map_err(io)?.clone();
    let places = places(&header, path)?;
    let names = places.columns.iter().map(|&at| header[at].to_owned());
    let mut table = Table::new(TableFormat::HiggsMl, names);
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(io)? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != places.n {
            return Err(TableError::Fields {
                path: path.into(),
                line,
                expected: places.n.to_string(),
                found: record.len(),
            });
        }
        let error = |at: usize, expected| TableError::Field {
            path: path.into(),
            line,
            column: header[at].escape_default().to_string(),
            expected,
            found: record[at].escape_default().to_string(),
        };
        for (column, &at) in table.columns.iter_mut().zip(&places.columns) {
            match record[at].trim().parse::<f64>() {
                Ok(value) if value == MISSING => column.values.push(f64::NAN),
                Ok(value) if value.is_finite() => column.values.push(value),
                _ => return Err(error(at, "a finite number, or -999 for none")),
            }
        }
        match record[places.weight].trim().parse::<f64>() {
            Ok(weight) if weight.is_finite() && weight >= 0.0 => table.weights.push(weight),
            _ => return Err(error(places.weight, "a number of at least 0")),
        }
        match record[places.label].trim() {
            label @ ("s" | "b") => table.push_label(label),
            _ => return Err(error(places.label, "`s` or `b`")),
        }
    }
    Ok(table)
}

fn places(header: &StringRecord, path: &Path) -> Result<Places, TableError> {
    let find = |column: &'static str| {
        let at = header.iter().position(|name| name.trim() == column);
        at.ok_or_else(|| TableError::Missing { path: path.into(), column })
    };
    let is_column = |name: &str| ![EVENT, WEIGHT, LABEL, SET].contains(&name.trim());
    let columns = (0..header.len()).filter(|&at| is_column(&header[at])).collect();
    Ok(Places { weight: find(WEIGHT)?, label: find(LABEL)?, columns, n: header.len() })
}
