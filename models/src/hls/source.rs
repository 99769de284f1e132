//! Files of a project, and errors that say where in them.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, Result, legible};

/// Longest file that is read. The longest of the trigger has 19 kB.
const MAX_BYTES: u64 = 4 << 20;

/// A file of the user's.
#[derive(Debug)]
pub(super) struct Source {
    /// As people should see it: relative to the folder that was given.
    pub name: String,
    pub text: String,
}

impl Source {
    /// Reads a file of the folder.
    ///
    /// # Errors
    /// If there is none, if it is not text, or longer than any of these files should be.
    pub fn read(folder: &Path, name: &str) -> Result<Source> {
        let path = folder.join(name);
        let failed = |action, source| Error::Io { path: path.clone(), action, source };
        let file = match std::fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing(folder, name)),
            opened => opened.map_err(|e| failed("opening it", e))?,
        };
        let mut text = String::new();
        let mut limited = file.take(MAX_BYTES + 1);
        limited.read_to_string(&mut text).map_err(|e| failed("reading it as text", e))?;
        let source = Source { name: name.to_owned(), text };
        if source.text.len() as u64 > MAX_BYTES {
            let expected = format!("at most {MAX_BYTES} bytes");
            return Err(Place { source: &source, line: 1 }.refused(expected, "more"));
        }
        Ok(source)
    }
}

/// What to do where a project is not whole.
const WHOLE: &str = "the folder is what hls4ml wrote, with `firmware/` in it, or `AXOL1TL_v…` of a checkout of the \
                     trigger's emulator: copy all that is in it";

/// The error that a file of the project is not there.
fn missing(folder: &Path, name: &str) -> Error {
    Error::Import {
        library: "hls4ml",
        place: legible(&folder.display().to_string()),
        expected: format!("a file `{}`", legible(name)),
        found: "none of that name".into(),
        hint: WHOLE,
    }
}

/// Makes sure that a folder is one.
///
/// # Errors
/// If it is not.
pub(super) fn check_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let found = if folder.exists() { "a file" } else { "nothing" }.to_owned();
    let (place, expected) = (legible(&folder.display().to_string()), "a folder".to_owned());
    Err(Error::Import { library: "hls4ml", place, expected, found, hint: WHOLE })
}

/// A line of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub source: &'a Source,
    /// From 1.
    pub line: usize,
}

impl Place<'_> {
    /// The error that something else was expected here.
    pub fn refused(self, expected: impl Into<String>, found: impl AsRef<str>) -> Error {
        let place = format!("{}, line {}", self.source.name, self.line);
        refused(place, expected, found)
    }
}

/// The error that something else was expected somewhere.
pub(super) fn refused(
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl AsRef<str>,
) -> Error {
    let hint = "dense networks (relu, linear, add, subtract, dot1d) as hls4ml writes them can be \
                taken over, unchanged; see the documentation of `hls`";
    let mut found = legible(found.as_ref());
    if let Some((cut, _)) = found.char_indices().nth(120) {
        found.truncate(cut);
        found.push('…');
    }
    Error::Import { library: "hls4ml", place: place.into(), expected: expected.into(), found, hint }
}
