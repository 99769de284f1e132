//! What the header of a stream that is made of streams says.
//!
//! Its sources are the streams it was made of, by name, length and checksum; what those were made
//! with and of stands among the settings, one line for each, so that nothing is forgotten.

use std::path::Path;

use super::input::Input;
use super::{OutputOptions, RearrangeError};
use crate::event::{Column, ColumnSet};
use crate::format::{Provenance, SampleKind, SchemeRecord, SourceRecord, StreamHeader};
use crate::import::SourceFile;

/// Prefix of settings that tell what an input said of itself.
const HISTORY: &str = "history of ";

/// The header of a stream with these columns, made of these inputs.
pub(super) fn header_of(
    inputs: &[Input],
    columns: ColumnSet,
    settings: Vec<(String, String)>,
    options: &OutputOptions,
) -> Result<StreamHeader, RearrangeError> {
    let first = inputs.first().ok_or(RearrangeError::NoInput)?;
    let kind = match options.kind {
        Some(kind) => kind,
        None => common_kind(inputs)?,
    };
    let sample = options.sample.as_ref().unwrap_or(&first.header().sample);
    let mut header = StreamHeader::new(kind, sample, columns);
    if columns.contains(Column::TruthProcess) {
        header.processes = common(inputs, "the injected processes", |h| h.processes.clone())?;
    }
    if columns.contains(Column::Lines) {
        header.lines = common(inputs, "the lines", |h| h.lines.clone())?;
    }
    header.filling_scheme = common_scheme(inputs);
    header.provenance.settings = settings;
    for input in inputs {
        let file = SourceFile::of(input.path(), 0, input.index().n_crossings)?;
        header.provenance.sources.push(SourceRecord {
            name: file.name.clone(),
            bytes: file.bytes,
            xxh3: file.xxh3,
            first_row: file.first_row,
            n_rows: file.n_rows,
        });
        tell_history(&file.name, &input.header().provenance, &mut header.provenance.settings);
    }
    Ok(header)
}

/// What an input was made with and of; older history as it stands.
fn tell_history(name: &str, of: &Provenance, settings: &mut Vec<(String, String)>) {
    let (older, own): (Vec<_>, Vec<_>) =
        of.settings.iter().partition(|(name, _)| name.starts_with(HISTORY));
    let mut text = of.tool.clone();
    for (name, value) in own {
        text += &format!("; {name} = {value}");
    }
    for SourceRecord { name, bytes, xxh3, first_row, n_rows } in &of.sources {
        text += &format!(
            "; of {name} ({bytes} bytes, xxh3 {xxh3:016x}, rows {first_row}..{})",
            first_row + n_rows
        );
    }
    settings.push((format!("{HISTORY}{name}"), text));
    for entry in older {
        if !settings.contains(entry) {
            settings.push(entry.clone());
        }
    }
}

fn common_kind(inputs: &[Input]) -> Result<SampleKind, RearrangeError> {
    let kind = inputs[0].header().kind;
    match inputs.iter().find(|input| input.header().kind != kind) {
        None => Ok(kind),
        Some(other) => Err(RearrangeError::Header {
            path: other.path_buf(),
            first: inputs[0].path_buf(),
            what: "the kind",
            difference: format!("{}; found {}", kind.name(), other.header().kind.name()),
            hint: "hint: `--kind` says what the result is",
        }),
    }
}

/// What all inputs say alike.
fn common<T: PartialEq + std::fmt::Debug>(
    inputs: &[Input],
    what: &'static str,
    of: impl Fn(&StreamHeader) -> T,
) -> Result<T, RearrangeError> {
    let value = of(inputs[0].header());
    match inputs.iter().find(|input| of(input.header()) != value) {
        None => Ok(value),
        Some(other) => Err(RearrangeError::Header {
            path: other.path_buf(),
            first: inputs[0].path_buf(),
            what,
            difference: format!("{value:?}; found {:?}", of(other.header())),
            hint: "hint: numbers in their columns would mean different things",
        }),
    }
}

/// The filling scheme, if all inputs have the same.
fn common_scheme(inputs: &[Input]) -> Option<SchemeRecord> {
    let scheme = &inputs[0].header().filling_scheme;
    inputs.iter().all(|input| input.header().filling_scheme == *scheme).then(|| scheme.clone())?
}

/// One setting.
pub(super) fn setting(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// The name of the folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
