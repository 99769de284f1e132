//! A journal of finished work, one JSON object a line, from which a search goes on where it ended.
//!
//! The first line says what all entries are results of; a journal of anything else is not gone on with. An entry
//! is written and synced as a whole line. A last line without its end was cut off by whatever ended the
//! search: it is dropped.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Begins a journal, or goes on with one of the same head; returns what it holds.
    ///
    /// # Errors
    /// A file that cannot be written, is no journal, or one of something else.
    pub fn open<H: Serialize, E: DeserializeOwned>(
        path: &Path,
        head: &H,
    ) -> Result<(Journal, Vec<E>)> {
        let attempt = || format!("while opening the journal `{}`", path.display());
        let head = serde_json::to_string(head)?;
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(attempt),
        };
        // Up to the last line that is whole.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines();
        let mut entries = Vec::new();
        if let Some(first) = lines.next() {
            ensure!(
                first == head,
                "`{}` is the journal of something else\n  expected {head}\n  found    {first}\n\
                 hint: give another `--journal`, or `--force` to begin anew",
                path.display()
            );
            for (number, line) in lines.enumerate() {
                let entry = serde_json::from_str(line);
                entries.push(entry.with_context(|| {
                    format!("`{}`, line {}: no entry of a journal", path.display(), number + 2)
                })?);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(attempt)?;
        file.set_len(whole as u64).with_context(attempt)?;
        let mut journal = Journal { path: path.to_owned(), file };
        if whole == 0 {
            journal.line(head)?;
        }
        Ok((journal, entries))
    }

    /// Appends an entry; it is on disk when this returns.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, entry: &impl Serialize) -> Result<()> {
        self.line(serde_json::to_string(entry)?)
    }

    fn line(&mut self, mut line: String) -> Result<()> {
        let attempt = || format!("while writing the journal `{}`", self.path.display());
        line.push('\n');
        self.file.write_all(line.as_bytes()).with_context(attempt)?;
        self.file.sync_data().with_context(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_where_it_ended_without_the_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, entries) = Journal::open::<_, u32>(&path, &"head").unwrap();
        assert!(entries.is_empty());
        journal.push(&17).unwrap();
        journal.push(&18).unwrap();
        drop(journal);
        let whole = std::fs::read_to_string(&path).unwrap();
        assert_eq!(whole, "\"head\"\n17\n18\n");
        for end in 1..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (mut journal, entries) = Journal::open::<_, u32>(&path, &"head").unwrap();
            let n = whole[..end].matches('\n').count().saturating_sub(1);
            assert_eq!(entries, &[17, 18][..n], "cut at {end}");
            journal.push(&19).unwrap();
            drop(journal);
            let (_, entries) = Journal::open::<_, u32>(&path, &"head").unwrap();
            assert_eq!(entries.last(), Some(&19));
        }
        let other = Journal::open::<_, u32>(&path, &"another").unwrap_err().to_string();
        assert!(other.contains("something else") && other.contains("--journal"), "{other}");
        std::fs::write(&path, "\"head\"\nx\n").unwrap();
        let broken = Journal::open::<_, u32>(&path, &"head").unwrap_err().to_string();
        assert!(broken.contains("line 2"), "{broken}");
    }
}
