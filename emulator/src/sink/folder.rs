//! The run folder: made as `NAME.unfinished`, renamed when everything is in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::config::UsageError;

/// A folder that is being filled.
pub struct RunFolder {
    target: PathBuf,
    unfinished: PathBuf,
}

impl RunFolder {
    /// Makes the folder `target`, or a new one under `runs/`.
    ///
    /// # Errors
    /// If the folder exists or cannot be made.
    pub fn create(target: Option<&Path>) -> Result<RunFolder> {
        let target = match target {
            Some(path) => path.to_owned(),
            None => next_free(Path::new("runs"))?,
        };
        if target.exists() {
            let text = format!(
                "output folder `{}` exists\nhint: choose another with `--out`, or remove it",
                target.display()
            );
            return Err(UsageError(text).into());
        }
        let no_name = || UsageError("expected the name of a new folder in `--out`".into());
        let mut name = target.file_name().ok_or_else(no_name)?.to_owned();
        name.push(".unfinished");
        let unfinished = target.with_file_name(name);
        let hint = match unfinished.exists() {
            true => "remove it if no run is writing it, or choose another with `--out`",
            false => "choose another with `--out`",
        };
        let name = unfinished.display();
        let attempt = || format!("while making the output folder `{name}`\nhint: {hint}");
        if let Some(parent) = unfinished.parent() {
            fs::create_dir_all(parent).with_context(attempt)?;
        }
        fs::create_dir(&unfinished).with_context(attempt)?;
        Ok(RunFolder { target, unfinished })
    }

    /// What to tell people of folders under `runs/` that are still unfinished, if there are any.
    /// Whether a run is writing them or was killed cannot be known, so they are left alone.
    #[must_use]
    pub fn leftovers() -> Option<String> {
        leftovers_in(Path::new("runs"))
    }

    /// Path of a file in the folder, while it is unfinished.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.unfinished.join(name)
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// The operating system's refusal; the unfinished folder stays.
    pub fn finish(self) -> Result<PathBuf> {
        fs::rename(&self.unfinished, &self.target).with_context(|| {
            format!("while naming the output folder `{}`", self.target.display())
        })?;
        Ok(self.target)
    }

    /// Removes the folder: nothing worth keeping is in it.
    pub fn discard(self) {
        // Nothing to be done about a failure: the name says that it is unfinished.
        let _ = fs::remove_dir_all(&self.unfinished);
    }
}

fn leftovers_in(parent: &Path) -> Option<String> {
    let is_unfinished = |name: &String| name.starts_with("run-") && name.ends_with(".unfinished");
    // A folder that cannot be read is reported when a run is to be made in it.
    let entries = fs::read_dir(parent).ok()?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(is_unfinished)
        .collect();
    names.sort_unstable();
    let (first, others) = names.split_first()?;
    let others = match others.len() {
        0 => "is".to_owned(),
        1 => "and 1 other are".to_owned(),
        n => format!("and {n} others are"),
    };
    Some(format!(
        "`{}` {others} unfinished: if no run is writing there, it was killed and left no summary; \
         nothing is overwritten, remove what you do not need",
        parent.join(first).display()
    ))
}

/// `runs/run-0001`, or the first number that is free after the highest one used.
fn next_free(parent: &Path) -> Result<PathBuf> {
    let mut highest = 0;
    if parent.exists() {
        for entry in fs::read_dir(parent).context("while looking into `runs/`")? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.trim_end_matches(".unfinished").strip_prefix("run-"))
                .and_then(|number| number.parse::<u32>().ok());
            highest = highest.max(number.unwrap_or(0));
        }
    }
    Ok(parent.join(format!("run-{:04}", highest + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_its_name_only_when_it_is_finished() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("deep/run");
        let folder = RunFolder::create(Some(&target)).unwrap();
        fs::write(folder.file("x"), "y").unwrap();
        assert!(!target.exists());
        folder.finish().unwrap();
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "y");
        let again = RunFolder::create(Some(&target)).err().unwrap().to_string();
        assert!(again.contains("exists") && again.contains("--out"), "{again}");
    }

    #[test]
    fn unfinished_folders_are_told_in_one_line() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(leftovers_in(&parent.path().join("nowhere")), None);
        fs::create_dir(parent.path().join("run-0001")).unwrap();
        fs::create_dir(parent.path().join("mine.unfinished")).unwrap();
        assert_eq!(leftovers_in(parent.path()), None);
        fs::create_dir(parent.path().join("run-0007.unfinished")).unwrap();
        let one = leftovers_in(parent.path()).unwrap();
        assert!(one.contains("run-0007.unfinished` is unfinished") && one.contains("remove"));
        fs::create_dir(parent.path().join("run-0002.unfinished")).unwrap();
        fs::create_dir(parent.path().join("run-0003.unfinished")).unwrap();
        let three = leftovers_in(parent.path()).unwrap();
        assert!(three.contains("run-0002.unfinished` and 2 others are unfinished"), "{three}");
        assert!(!three.contains('\n'));
    }

    #[test]
    fn run_numbers_go_on_after_the_highest() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("run-0007.unfinished")).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        assert_eq!(next_free(parent.path()).unwrap(), parent.path().join("run-0008"));
    }
}
