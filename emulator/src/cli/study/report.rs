//! What the reports of all studies share: tables for people, files beside each other, figures.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use scout40_models::file::write_whole;
use scout40_replay::lhc::FillingScheme;
#[cfg(feature = "plot")]
use scout40_studies::plot::{Plot, PlotError, Saved};
use serde::Serialize;

#[cfg(feature = "plot")]
use super::compare::first_free;
use crate::cli::output::{appended, grouped, refuse_overwrite};
use crate::config::{LoadedModel, UsageError};
use crate::study::points::Measured;
use crate::study::sample::Sample;

/// The program that made a report.
pub const TOOL: &str = concat!("scout40 ", env!("CARGO_PKG_VERSION"));

/// Rows of cells as text: the first column on the left, numbers on the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A row of a table from anything that is text.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A number with about four digits.
pub fn short(x: f64) -> String {
    if x.is_nan() {
        return "none".to_owned();
    }
    match x.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-4..1e7).contains(&size) => format!("{x:.3e}"),
        size => {
            let decimals = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
            format!("{x:.decimals$}")
        }
    }
}

/// `low .. high`.
pub fn ends(x: Measured) -> String {
    format!("{} .. {}", short(x.low), short(x.high))
}

/// A fraction in per cent with its interval.
pub fn percent(x: Measured) -> String {
    format!("{} ({} .. {})", short(100.0 * x.value), short(100.0 * x.low), short(100.0 * x.high))
}

/// A name for a CSV.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a background is, and what one of its events stands for.
pub fn background_text(sample: &Sample, n_effective: f64, scheme: &FillingScheme) -> String {
    let collision_rate_hz = scheme.collision_rate_hz();
    let weights = if sample.is_weighted {
        format!(", weighted: worth {n_effective:.0}")
    } else {
        String::new()
    };
    format!(
        "background {}: {} events ({} left out: trained on, {}: injected){weights}\n\
         collisions {:.3} MHz in {} slots ({}): one event is {} kHz\n",
        sample.name.escape_debug(),
        grouped(sample.n_events),
        grouped(sample.n_left_out_as_trained_on),
        grouped(sample.n_left_out_as_injected),
        collision_rate_hz / 1e6,
        scheme.n_colliding(),
        scheme.name().escape_debug(),
        short(collision_rate_hz / n_effective / 1000.0)
    )
}

/// The signals, one a line.
pub fn signals_text<'a>(samples: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut text = String::new();
    for (place, (name, n_events)) in samples.enumerate() {
        let head = if place == 0 { "signals" } else { "" };
        let _ = writeln!(text, "{head:<10} {}: {} events", name.escape_debug(), grouped(n_events));
    }
    text
}

/// A model as it is recorded.
#[derive(Clone, Debug, Serialize)]
pub struct ModelRecord {
    pub name: String,
    pub path: String,
    pub digest: String,
}

impl ModelRecord {
    pub fn new(path: &Path, model: &LoadedModel) -> ModelRecord {
        ModelRecord {
            name: stem_of(path),
            path: path.display().to_string(),
            digest: format!("{:016x}", model.model.digest()),
        }
    }
}

/// The name of a file without its ending.
pub fn stem_of(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A filling scheme as it is recorded.
#[derive(Clone, Debug, Serialize)]
pub struct SchemeRecord {
    pub name: String,
    pub n_colliding: u32,
    pub collision_rate_hz: f64,
}

impl From<&FillingScheme> for SchemeRecord {
    fn from(scheme: &FillingScheme) -> SchemeRecord {
        SchemeRecord {
            name: scheme.name().to_owned(),
            n_colliding: scheme.n_colliding(),
            collision_rate_hz: scheme.collision_rate_hz(),
        }
    }
}

/// Where a report goes.
pub struct Outputs {
    #[cfg_attr(not(feature = "plot"), expect(dead_code, reason = "figures stand beside it"))]
    stem: PathBuf,
    json: PathBuf,
    csv: PathBuf,
    #[cfg_attr(not(feature = "plot"), expect(dead_code, reason = "figures may be overwritten"))]
    force: bool,
    #[cfg(feature = "plot")]
    taken: Vec<PathBuf>,
}

impl Outputs {
    /// Files beside `stem`, none of which exists unless they may be overwritten.
    ///
    /// # Errors
    /// Files that exist, and a folder that does not: before the work, not after it.
    pub fn new(stem: &Path, force: bool) -> Result<Outputs> {
        let folder = stem.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let text =
                format!("`{}` is no folder\nhint: make it, or name another", folder.display());
            bail!(UsageError(text));
        }
        let outputs = Outputs {
            stem: stem.to_owned(),
            json: appended(stem, ".json"),
            csv: appended(stem, ".csv"),
            force,
            #[cfg(feature = "plot")]
            taken: Vec::new(),
        };
        refuse_overwrite(&outputs.json, force)?;
        refuse_overwrite(&outputs.csv, force)?;
        Ok(outputs)
    }

    /// Writes the numbers, each file whole or not at all.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, report: &impl Serialize, csv: &str) -> Result<()> {
        let json = serde_json::to_string_pretty(report)? + "\n";
        write_whole(&self.json, json.as_bytes(), "writing the report")?;
        Ok(write_whole(&self.csv, csv.as_bytes(), "writing the report")?)
    }

    /// Saves a figure as `STEM-NAME.svg` and `.png`. One that cannot be drawn, or that exists and may not be
    /// overwritten, is told of and costs nothing else: the numbers are in the tables.
    #[cfg(feature = "plot")]
    pub fn figure(&mut self, name: &str, plot: Result<Plot, PlotError>) {
        let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        let name = name.trim_matches('_').to_owned();
        let numbered = |k: u32| {
            let number = if k == 1 { String::new() } else { format!("-{k}") };
            appended(&self.stem, &format!("-{name}{number}"))
        };
        let stem = first_free(numbered, &mut self.taken);
        let files = Saved::of(&stem);
        let saved = refuse_overwrite(&files.svg, self.force)
            .and_then(|()| refuse_overwrite(&files.png, self.force))
            .and_then(|()| Ok(plot?.save(&stem)?));
        if let Err(error) = saved {
            eprintln!("note: no figure `{}`: {error}", stem.display());
        }
    }

    /// What was written, for people.
    pub fn text(&self) -> String {
        format!("written    {}, {}, figures beside\n", self.json.display(), self.csv.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        let texts = [0.0, 12.3456, 0.00123456, 1234.56, -0.5, 3e-9, f64::NAN, 2.5e8].map(short);
        let expected = ["0", "12.35", "0.001235", "1235", "-0.5000", "3.000e-9", "none", "2.500e8"];
        assert_eq!(texts, expected);
        assert_eq!(short(-3e-9), "-3.000e-9");
    }

    #[test]
    fn tables_are_as_wide_as_their_cells() {
        let table = aligned(&[row(["line", "kHz"]), row(["a", "10.25"]), row(["longer"])]);
        assert_eq!(table, "line      kHz\na       10.25\nlonger\n");
    }
}
