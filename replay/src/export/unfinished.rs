//! Files and folders that get their names when they are whole, and go if it does not come to that.

use std::fs;
use std::path::{Path, PathBuf};

use super::ExportError;
use crate::format::temporary_name;

/// Something under its temporary name.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    is_folder: bool,
    named: bool,
}

impl Unfinished {
    /// A file, which is for the caller to create.
    pub(super) fn file(path: &Path) -> Unfinished {
        let (path, temporary) = (path.to_owned(), temporary_name(path));
        Unfinished { path, temporary, is_folder: false, named: false }
    }

    /// A new folder.
    pub(super) fn folder(path: &Path) -> Result<Unfinished, ExportError> {
        if path.exists() {
            return Err(ExportError::Exists { path: path.into() });
        }
        let temporary = temporary_name(path);
        fs::create_dir(&temporary).map_err(ExportError::io(&temporary, "create the folder"))?;
        Ok(Unfinished { path: path.into(), temporary, is_folder: true, named: false })
    }

    /// Where to write.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Its final name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name: it is whole, and on the disk.
    pub(super) fn name(&mut self) -> Result<(), ExportError> {
        let renamed = fs::rename(&self.temporary, &self.path);
        renamed.map_err(ExportError::io(&self.path, "give it its name"))?;
        self.named = true;
        Ok(())
    }
}

/// For files that the library of a format writes.
#[cfg(any(feature = "hdf5", feature = "parquet"))]
impl Unfinished {
    /// Syncs the file and gives it its name; returns that with its size in bytes.
    pub(super) fn sync_and_name(&mut self) -> Result<(PathBuf, u64), ExportError> {
        let file = fs::File::options().append(true).open(&self.temporary);
        let file = file.map_err(self.io("open it"))?;
        file.sync_all().map_err(self.io("sync it"))?;
        let bytes = file.metadata().map_err(self.io("look at it"))?.len();
        self.name()?;
        Ok((self.path.clone(), bytes))
    }

    pub(super) fn io(
        &self,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> ExportError + use<> {
        ExportError::io(&self.path, action)
    }

    pub(super) fn library(&self, reason: impl std::fmt::Display) -> ExportError {
        ExportError::Library { path: self.path.clone(), reason: reason.to_string() }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed keeps a name that says that it is unfinished.
        let _ = match (self.named, self.is_folder) {
            (true, _) => Ok(()),
            (false, true) => fs::remove_dir_all(&self.temporary),
            (false, false) => fs::remove_file(&self.temporary),
        };
    }
}
