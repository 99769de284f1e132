//! A file that gets its name when it is whole, and goes if it does not come to that.

use std::path::{Path, PathBuf};

use super::ExportError;
use crate::format::temporary_name;

/// A file under its temporary name.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    pub temporary: PathBuf,
    named: bool,
}

impl Unfinished {
    pub(super) fn new(path: &Path) -> Unfinished {
        Unfinished { path: path.into(), temporary: temporary_name(path), named: false }
    }

    /// Syncs the file and gives it its name; returns that with its size.
    pub(super) fn name(&mut self) -> Result<(PathBuf, u64), ExportError> {
        let file = std::fs::File::options().append(true).open(&self.temporary);
        let file = file.map_err(self.io("open it"))?;
        file.sync_all().map_err(self.io("sync it"))?;
        let bytes = file.metadata().map_err(self.io("look at it"))?.len();
        std::fs::rename(&self.temporary, &self.path).map_err(self.io("name it"))?;
        self.named = true;
        Ok((self.path.clone(), bytes))
    }

    pub(super) fn io(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> ExportError {
        let path = self.path.clone();
        move |source| ExportError::Io { path, action, source }
    }

    pub(super) fn library(&self, reason: impl std::fmt::Display) -> ExportError {
        ExportError::Library { path: self.path.clone(), reason: reason.to_string() }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A failure to remove it cannot be reported from here; its name says that it is unfinished.
        if !self.named {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
