//! One stream after another.

use std::path::{Path, PathBuf};

use super::assemble::Assembler;
use super::header::{header_of, setting};
use super::input::{Input, open_all};
use super::{OutputOptions, Progress, RearrangeError, Report};
use crate::event::{Block, Column, ColumnSet};
use crate::format::StreamWriter;
use crate::lhc::{CrossingId, lumi_section_of_orbit};

/// How streams are put one after another.
#[derive(Clone, Debug, Default)]
pub struct CatOptions {
    /// Keep the columns that all inputs have, instead of refusing inputs that differ.
    pub common_columns: bool,
    /// Move the orbits of each stream to those after the stream before it, in the first one's run.
    /// Luminosity sections are then those of the new orbits.
    pub shift_orbits: bool,
    /// What is written, and how.
    pub output: OutputOptions,
}

/// Writes the events of `inputs`, one stream after another, to `output`.
///
/// # Errors
/// Inputs that are damaged, differ in columns or kind, or are not in ascending order; an output
/// that cannot be written.
pub fn cat(
    inputs: &[PathBuf],
    output: &Path,
    options: &CatOptions,
    progress: Progress<'_>,
) -> Result<Report, RearrangeError> {
    let mut inputs = open_all(inputs)?;
    let columns = columns_of(&inputs, options.common_columns)?;
    let settings = vec![
        setting("command", "cat"),
        setting("common_columns", options.common_columns),
        setting("shift_orbits", options.shift_orbits),
    ];
    let header = header_of(&inputs, columns, settings, &options.output)?;
    let writer = StreamWriter::create(output, &header, options.output.compression)?;
    let mut to = Assembler::new(writer);
    let (mut read, mut last) = (0, None::<CrossingId>);
    let mut block = Block::default();
    for input in &mut inputs {
        // What has to be added to the orbits of this stream, once it has one.
        let mut shift = None;
        let before = last;
        while input.read(columns, &mut block)? {
            if let (true, Some(before)) = (options.shift_orbits, before) {
                shift_orbits(&mut block, before, &mut shift).ok_or_else(|| {
                    RearrangeError::OrbitRange { path: input.path_buf(), last: before.orbit }
                })?;
            }
            let first = block.crossing_id(0);
            if let Some(last) = last.filter(|&last| last >= first) {
                let path = input.path_buf();
                return Err(RearrangeError::Order { path, last, found: first });
            }
            last = Some(block.crossing_id(block.len() - 1));
            to.push(&block, 0..block.len())?;
            to.end_block();
            read += block.len() as u64;
            progress(read);
        }
    }
    Ok(Report { read, duplicates: 0, contested: 0, written: to.finish()? })
}

/// The columns that all inputs have.
pub(super) fn columns_of(inputs: &[Input], common: bool) -> Result<ColumnSet, RearrangeError> {
    let first = &inputs[0];
    let mut columns = first.columns();
    for input in inputs {
        let (lacks, has) =
            (first.columns().minus(input.columns()), input.columns().minus(first.columns()));
        let is_same = lacks.is_empty() && has.is_empty();
        if !common && !is_same {
            let mut difference = Vec::new();
            if !lacks.is_empty() {
                difference.push(format!("it lacks {}", lacks.names()));
            }
            if !has.is_empty() {
                difference.push(format!("it has {} too", has.names()));
            }
            return Err(RearrangeError::Columns {
                path: input.path_buf(),
                first: first.path_buf(),
                difference: difference.join(" and "),
            });
        }
        columns = columns.intersection(input.columns());
    }
    Ok(columns)
}

/// Moves a block to orbits after `before`, by as much as the first block of its stream; `None` if
/// they do not fit into 32 bits. A stream of several runs becomes one run, its orbits as they are,
/// which the caller finds out of order if they begin again.
fn shift_orbits(block: &mut Block, before: CrossingId, shift: &mut Option<i64>) -> Option<()> {
    block.run = before.run;
    let has_lumi = block.columns().contains(Column::Lumi);
    let orbits = block.get_mut::<u32>(Column::Orbit);
    let first = i64::from(orbits[0]);
    let shift = *shift.get_or_insert(i64::from(before.orbit) + 1 - first);
    for orbit in orbits.iter_mut() {
        *orbit = u32::try_from(i64::from(*orbit) + shift).ok()?;
    }
    if has_lumi {
        let lumis = orbits.iter().map(|&orbit| lumi_section_of_orbit(orbit)).collect();
        *block.get_mut::<u32>(Column::Lumi) = lumis;
    }
    Some(())
}
