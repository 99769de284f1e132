//! What commands show people: progress bars on stderr, tables on stdout.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::UsageError;

/// A progress bar with rate and remaining time; nothing where stderr is no terminal.
pub fn progress_bar(total: u64, what: &str) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(total)
    } else {
        ProgressBar::hidden()
    };
    let template = "{msg} [{bar:32}] {human_pos}/{human_len} {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a constant template");
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar
}

/// Writes text to stdout.
///
/// # Errors
/// The operating system's refusal; a broken pipe ends the command silently.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Refuses to overwrite a file unless that was asked for, and a device or socket always: a file would take its place.
pub fn refuse_overwrite(path: &Path, force: bool) -> Result<()> {
    let is_other = |found: std::fs::Metadata| !found.is_file() && !found.is_dir();
    if path.metadata().is_ok_and(is_other) {
        let text = format!("`{}` is a device, pipe or socket\nhint: name a file", path.display());
        return Err(UsageError(text).into());
    }
    if path.exists() && !force {
        let text = format!(
            "`{}` exists\nhint: `--force` overwrites it, once the new file is whole",
            path.display()
        );
        return Err(UsageError(text).into());
    }
    Ok(())
}

/// A path with an ending appended; dots in it stay.
pub fn appended(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// `1234567` → `1 234 567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }
}
