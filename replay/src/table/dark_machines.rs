//! Dark Machines: `event;process;weight;MET;METphi;type,E,pT,eta,phi;...`, in MeV.
//!
//! Lists of any length become the columns that are usual for these files: missing transverse energy,
//! multiplicities of the five kinds of objects, and the leading [`OBJECTS`] objects of any kind, in
//! descending pT. Missing ones are NaN. **Units**: GeV, rad.

use std::fs::File;
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::{Table, TableError, TableFormat};

/// Objects that have columns.
const OBJECTS: usize = 8;
/// Most objects in a line: beyond, it is no event.
const OBJECTS_MAX: usize = 1000;
const GEV_PER_MEV: f64 = 1e-3;
const KINDS: [(&str, &[&str]); 5] = [
    ("n_jet", &["j"]),
    ("n_bjet", &["b"]),
    ("n_electron", &["e-", "e+"]),
    ("n_muon", &["m-", "m+"]),
    ("n_photon", &["g"]),
];
const VALUES: [&str; 4] = ["e_gev", "pt_gev", "eta", "phi_rad"];
const HEAD: [&str; 5] = ["event", "process", "weight", "MET", "METphi"];

/// Energy, pT, eta, phi.
type Object = [f64; 4];

fn names() -> Vec<String> {
    let mut names = vec!["met_gev".to_owned(), "met_phi_rad".to_owned()];
    names.extend(KINDS.map(|(name, _)| name.to_owned()));
    for object in 0..OBJECTS {
        names.extend(VALUES.map(|value| format!("object{object}_{value}")));
    }
    names
}

pub(super) fn read(file: File, path: &Path) -> Result<Table, TableError> {
    let mut reader = ReaderBuilder::new()
        .delimiter(b';')
        .has_headers(false)
        .flexible(true)
        .quoting(false)
        .from_reader(file);
    let mut table = Table::new(TableFormat::DarkMachines, names());
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| unreadable(path, error))? {
        let line = record.position().map_or(0, csv::Position::line);
        Line { path, line, record: &record }.append(&mut table)?;
    }
    Ok(table)
}

/// What the csv library could not read.
pub(super) fn unreadable(path: &Path, error: csv::Error) -> TableError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(source) => TableError::Io { path: path.into(), source },
        ErrorKind::Utf8 { err, .. } => TableError::Field {
            path: path.into(),
            line,
            column: (err.field() + 1).to_string(),
            expected: "text in UTF-8",
            found: "other bytes".into(),
        },
        other => TableError::Field {
            path: path.into(),
            line,
            column: "any".into(),
            expected: "fields",
            found: format!("{other:?}"),
        },
    }
}

/// One line of a file.
struct Line<'a> {
    path: &'a Path,
    line: u64,
    record: &'a StringRecord,
}

impl Line<'_> {
    fn append(&self, table: &mut Table) -> Result<(), TableError> {
        // A line may end with a semicolon.
        let n = self.record.len() - usize::from(self.record.iter().next_back() == Some(""));
        if n < HEAD.len() || n > HEAD.len() + OBJECTS_MAX {
            return Err(TableError::Fields {
                path: self.path.into(),
                line: self.line,
                expected: format!("{} to {}", HEAD.len(), HEAD.len() + OBJECTS_MAX),
                found: n,
            });
        }
        let weight = self.number(2, "a number of at least 0", |weight| weight >= 0.0)?;
        let met = self.number(3, "a number of at least 0", |met| met >= 0.0)?;
        let met_phi = self.number(4, "a finite number", |_| true)?;
        let process = self.record[1].trim();
        if process.is_empty() {
            return Err(self.error("2 (process)".into(), "a name", ""));
        }
        let (mut counts, mut objects) = ([0.0; KINDS.len()], Vec::new());
        for at in HEAD.len()..n {
            let (kind, object) = self.object(at)?;
            counts[kind] += 1.0;
            objects.push(object);
        }
        objects.sort_by(|a, b| b[1].total_cmp(&a[1]));
        objects.resize(OBJECTS, [f64::NAN; 4]);
        let values = [met * GEV_PER_MEV, met_phi].into_iter().chain(counts);
        let values = values.chain(objects.into_iter().flatten());
        for (column, value) in table.columns.iter_mut().zip(values) {
            column.values.push(value);
        }
        table.weights.push(weight);
        table.push_label(process);
        Ok(())
    }

    /// Kind of an object and its values.
    fn object(&self, at: usize) -> Result<(usize, Object), TableError> {
        let text = &self.record[at];
        let name = |part: &str| format!("{} ({part} of object {})", at + 1, at - HEAD.len());
        let mut parts = text.split(',');
        let kind = parts.next().unwrap_or_default().trim();
        let Some(index) = KINDS.iter().position(|(_, names)| names.contains(&kind)) else {
            return Err(self.error(name("type"), "one of j, b, e-, e+, m-, m+, g", kind));
        };
        let mut object = [0.0; 4];
        for (value, part) in object.iter_mut().zip(["E", "pT", "eta", "phi"]) {
            let text = parts.next().unwrap_or_default().trim();
            *value = match text.parse::<f64>() {
                Ok(number) if number.is_finite() => number,
                _ => return Err(self.error(name(part), "a finite number", text)),
            };
        }
        if parts.next().is_some() {
            return Err(self.error(name("end"), "type, E, pT, eta, phi", text));
        }
        object[0] *= GEV_PER_MEV;
        object[1] *= GEV_PER_MEV;
        Ok((index, object))
    }

    fn number(
        &self,
        at: usize,
        expected: &'static str,
        possible: fn(f64) -> bool,
    ) -> Result<f64, TableError> {
        match self.record[at].trim().parse::<f64>() {
            Ok(value) if value.is_finite() && possible(value) => Ok(value),
            _ => Err(self.error(format!("{} ({})", at + 1, HEAD[at]), expected, &self.record[at])),
        }
    }

    fn error(&self, column: String, expected: &'static str, found: &str) -> TableError {
        TableError::Field {
            path: self.path.into(),
            line: self.line,
            column,
            expected,
            found: found.escape_default().to_string(),
        }
    }
}
