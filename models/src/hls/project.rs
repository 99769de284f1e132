//! The headers of one network: `defines.h`, `parameters.h` and the weights.

use std::path::Path;

use super::declarations::Declarations;
use super::source::{Place, Source};
use super::tokens::tokens;
use crate::error::Result;

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
