//! The files of one network: `defines.h`, `parameters.h`, the weights, and the function.

use std::path::Path;

use super::declarations::{Cursor, Declarations};
use super::function::network;
use super::network::Network;
use super::source::{Place, Source, check_folder, refused};
use super::tokens::tokens;
use crate::error::{Error, Result};

/// Most files with weights.
const MAX_INCLUDES: usize = 256;

/// Longest text of all headers together. Those of the trigger have 50 kB.
const MAX_BYTES: usize = 16 << 20;

/// The text of all headers, in the order in which one includes the next.
pub(super) struct Headers(Vec<Source>);

impl Headers {
    /// Reads `defines.h`, `parameters.h` and the weights that the latter includes, then `others`.
    pub fn read(folder: &Path, within: &str, others: &[&str]) -> Result<Headers> {
        let file = |name: &str| Source::read(folder, &format!("{within}{name}"));
        let parameters = file("parameters.h")?;
        let mut sources = vec![file("defines.h")?];
        for (name, line) in tokens(&parameters)?.includes {
            if !name.starts_with("weights") {
                continue;
            }
            let place = Place { source: &parameters, line };
            let is_inside = name.ends_with(".h") && !name.contains("..") && !name.contains('\\');
            if !is_inside || sources.len() == MAX_INCLUDES {
                let expected = format!("at most {MAX_INCLUDES} files `weights….h` of this folder");
                return Err(place.refused(expected, format!("`{name}`")));
            }
            sources.push(file(name)?);
            if sources.iter().map(|source| source.text.len()).sum::<usize>() > MAX_BYTES {
                let expected = format!("weights of at most {MAX_BYTES} bytes in all");
                return Err(place.refused(expected, "more"));
            }
        }
        sources.push(parameters);
        for name in others {
            sources.push(Source::read(folder, name)?);
        }
        Ok(Headers(sources))
    }

    /// What they declare.
    pub fn declarations(&self) -> Result<Declarations<'_>> {
        let mut declared = Declarations::default();
        self.0.iter().try_for_each(|source| declared.read(source))?;
        Ok(declared)
    }
}

impl Network {
    /// Reads a project that hls4ml wrote: the folder with `firmware/`, or `firmware` itself.
    ///
    /// Weights are those of the firmware, `weights/*.h`; `weights/*.txt`, which the compiled C++ reads
    /// instead, holds the same numbers.
    ///
    /// # Errors
    /// If it is not one, if a file is missing, cut or not of the known form, if it has layers that are
    /// not known here, if sizes and types that are said twice differ, or if numbers are too wide: with
    /// file, line and reason.
    pub fn read_project(folder: &Path) -> Result<Network> {
        check_folder(folder)?;
        let within = if folder.join("firmware").is_dir() { "firmware/" } else { "" };
        let headers = Headers::read(folder, within, &[])?;
        let declared = headers.declarations()?;
        let function =
            Source::read(folder, &format!("{within}{}", function_file(folder, within)?))?;
        network(Cursor::new(&function)?.0, &declared)
    }
}

/// The only `*.cpp` of the firmware.
fn function_file(folder: &Path, within: &str) -> Result<String> {
    let path = folder.join(within);
    let failed = |source| Error::Io { path: path.clone(), action: "listing it", source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".cpp") {
            found.push(name);
        }
    }
    match &found[..] {
        [name] => Ok(name.clone()),
        _ => {
            let expected = "one `.cpp`, the function of the network";
            Err(refused(path.display().to_string(), expected, format!("{} of them", found.len())))
        }
    }
}
