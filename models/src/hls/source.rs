//! Files of a project, and errors that say where in them.

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
        use std::io::Read;
        let path = folder.join(name);
        let failed = |action, source| Error::Io { path: path.clone(), action, source };
        let file = std::fs::File::open(&path).map_err(|e| failed("opening it", e))?;
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
