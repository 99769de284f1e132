//! A part of a stream. Blocks that hold none of it are not read: the index tells where it is.

use std::ops::Range;
use std::path::Path;

use super::assemble::Assembler;
use super::header::{header_of, setting};
use super::input::Input;
use super::{OutputOptions, Progress, RearrangeError, Report};
use crate::event::{Block, Column, ColumnSet};
use crate::format::{IndexEntry, StreamIndex, StreamWriter};
use crate::lhc::lumi_section_of_orbit;

/// Which crossings are chosen: those that all of this holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this run.
    pub run: Option<u32>,
    /// Of these orbits.
    pub orbits: Option<Range<u64>>,
    /// Of these luminosity sections: as recorded, or by their orbit where none is.
    pub lumis: Option<Range<u64>>,
    /// These crossings, counted from the start of the stream.
    pub rows: Option<Range<u64>>,
    /// The first so many of what is left.
    pub head: Option<u64>,
}

impl Selection {
    /// Whether a block may hold any of it.
    fn touches(&self, block: &IndexEntry) -> bool {
        let meets = |range: &Option<Range<u64>>, first: u64, last: u64| {
            range.as_ref().is_none_or(|range| first < range.end && range.start <= last)
        };
        let orbits = (u64::from(block.first_orbit), u64::from(block.last_orbit));
        let lumis = (u64::from(block.first_lumi), u64::from(block.last_lumi));
        let last_row = block.first_crossing + u64::from(block.n_crossings) - 1;
        self.run.is_none_or(|run| run == block.run)
            && meets(&self.orbits, orbits.0, orbits.1)
            && meets(&self.lumis, lumis.0.min(lumis.1), lumis.0.max(lumis.1))
            && meets(&self.rows, block.first_crossing, last_row)
    }

    /// Whether crossing `at` of a block, whose first one is row `first_row`, is chosen.
    fn holds(&self, block: &Block, at: usize, first_row: u64) -> bool {
        let orbit = block.get::<u32>(Column::Orbit)[at];
        let recorded = block.get::<u32>(Column::Lumi).get(at).copied();
        let lumi = recorded.unwrap_or_else(|| lumi_section_of_orbit(orbit));
        let within = |range: &Option<Range<u64>>, value: u64| {
            range.as_ref().is_none_or(|range| range.contains(&value))
        };
        within(&self.orbits, orbit.into())
            && within(&self.lumis, lumi.into())
            && within(&self.rows, first_row + at as u64)
    }

    fn settings(&self) -> Vec<(String, String)> {
        let range = |range: &Range<u64>| format!("{}..{}", range.start, range.end);
        let mut settings = vec![setting("command", "slice")];
        settings.extend(self.run.map(|run| setting("run", run)));
        settings.extend(self.orbits.as_ref().map(|orbits| setting("orbits", range(orbits))));
        settings.extend(self.lumis.as_ref().map(|lumis| setting("lumi", range(lumis))));
        settings.extend(self.rows.as_ref().map(|rows| setting("rows", range(rows))));
        settings.extend(self.head.map(|head| setting("head", head)));
        settings
    }
}

/// Writes the crossings of `input` that `selection` chooses to `output`.
///
/// # Errors
/// An input that is damaged where it is read, a selection that chooses nothing, an output that
/// cannot be written.
pub fn slice(
    input: &Path,
    output: &Path,
    selection: &Selection,
    options: &OutputOptions,
    progress: Progress<'_>,
) -> Result<Report, RearrangeError> {
    let mut inputs = [Input::open(input)?];
    let columns = inputs[0].columns();
    let header = header_of(&inputs, columns, selection.settings(), options)?;
    let mut to = Assembler::new(StreamWriter::create(output, &header, options.compression)?);
    let from = &mut inputs[0];
    let entries = from.index().blocks.clone();
    let (mut read, mut left) = (0, selection.head.unwrap_or(u64::MAX));
    let mut block = Block::default();
    for (number, entry) in entries.iter().enumerate().filter(|(_, entry)| selection.touches(entry))
    {
        if left == 0 {
            break;
        }
        from.seek(number)?;
        if !from.read(columns, &mut block)? {
            break;
        }
        push_chosen(&mut to, &block, selection, entry.first_crossing, &mut left)?;
        to.end_block();
        read += block.len() as u64;
        progress(read);
    }
    if left == selection.head.unwrap_or(u64::MAX) && selection.head != Some(0) {
        let has = extent(from.index(), columns);
        return Err(RearrangeError::NothingChosen { path: input.into(), has });
    }
    Ok(Report { read, duplicates: 0, contested: 0, written: to.finish()? })
}

/// Appends what is chosen of a block, at most `left` crossings.
fn push_chosen(
    to: &mut Assembler,
    block: &Block,
    selection: &Selection,
    first_row: u64,
    left: &mut u64,
) -> Result<(), RearrangeError> {
    let mut at = 0;
    while at < block.len() && *left > 0 {
        let chosen = |&i: &usize| selection.holds(block, i, first_row);
        let most = usize::try_from(*left).unwrap_or(usize::MAX).min(block.len() - at);
        let n = (at..at + most).take_while(chosen).count();
        to.push(block, at..at + n)?;
        *left -= n as u64;
        // Over what is chosen, and the crossing after it, which is not.
        at += n + 1;
    }
    Ok(())
}

/// Runs, orbits, luminosity sections and crossings of a stream, for people.
fn extent(index: &StreamIndex, columns: ColumnSet) -> String {
    let (Some(first), Some(last)) = (index.blocks.first(), index.blocks.last()) else {
        return "no crossing".into();
    };
    let orbits = index.blocks.iter().map(|block| (block.first_orbit, block.last_orbit));
    let (low, high) = orbits.fold((u32::MAX, 0), |(low, high), (a, b)| (low.min(a), high.max(b)));
    let lumi =
        if columns.contains(Column::Lumi) { "luminosity sections" } else { "orbits of sections" };
    format!(
        "{} crossings, runs {}..={}, orbits {low}..={high}, {lumi} {}..={}",
        index.n_crossings, first.run, last.run, first.first_lumi, last.last_lumi
    )
}
