//! `scout40 inspect FILE.csv`: what is in a table of one of the public challenges.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use scout40_models::legible;
use scout40_replay::table::{Table, TableFormat};

use super::output::grouped;

/// Whether a file begins like a table.
pub fn is_table(path: &Path) -> bool {
    TableFormat::of(path).is_some()
}

/// Columns with their ranges, and what each label weighs.
///
/// # Errors
/// A table that cannot be read.
pub fn table_text(path: &Path) -> Result<String> {
    let table = Table::read(path)?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut text, &table);
    Ok(text)
}

fn write_table(out: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(out, "table      {}", table.format.name())?;
    writeln!(out, "rows       {} of {} columns", grouped(table.len() as u64), table.columns.len())?;
    writeln!(out, "\n{:<32} {:>12} {:>20}", "label", "rows", "sum of weights")?;
    for (name, (n, sum)) in table.label_names.iter().zip(table.yields()) {
        writeln!(out, "{:<32} {:>12} {sum:>20.6}", legible(name), grouped(n))?;
    }
    let width = table.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
    let width = width.clamp(6, 60);
    writeln!(
        out,
        "\n{:<width$} {:>12} {:>12} {:>14} {:>14} {:>14}",
        "column", "values", "missing", "min", "mean", "max"
    )?;
    for column in &table.columns {
        let summary = column.summary();
        let missing = table.len() - summary.n;
        let name = legible(&column.name);
        write!(
            out,
            "{name:<width$} {:>12} {:>12}",
            grouped(summary.n as u64),
            grouped(missing as u64)
        )?;
        for value in [summary.min, summary.mean, summary.max] {
            if value.is_nan() {
                write!(out, " {:>14}", "-")?
            } else {
                write!(out, " {value:>14.4}")?
            }
        }
        out.push('\n');
    }
    Ok(())
}
