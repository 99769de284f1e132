//! The binary formats of Level-1 scouting as one stream of events.
//!
//! Every file is an input that delivers orbits in ascending order. The next orbit is the smallest
//! of all inputs' next ones; the inputs that have it add their objects to its crossings, and only
//! these go on:
//!
//! ```text
//! run_…raw    1000  1001        1003  ┐
//! run_…raw_1  1000        1002  1003  ├─► 1000, 1001, 1002, 1003: crossings of all that have them
//! next file                           ┘   1004, …
//! ```
//!
//! So files of several sources and files that follow each other are given alike, in any order.
//! Memory is that of one orbit, and of what each open file buffers. What the real system skips is
//! skipped and counted ([`Importer::notes`]), with the first places of each kind
//! ([`Importer::problems`]).
//!
//! The formats themselves are in [`raw`](crate::raw).

mod dth;
mod frd;
mod native64;
mod record;
#[cfg(test)]
mod tests;
use std::path::{Path, PathBuf};

use super::{
    CHUNK_EVENTS, Chunk, Format, ImportError, ImportOptions, ImportTally, Importer, SourceFile,
};
use crate::event::{Column, ColumnSet};
use crate::lhc::SLOTS_PER_ORBIT;
use crate::raw::crossing::OrbitEvents;
use crate::raw::native64::Events;
use crate::raw::objects::Payload;
use crate::raw::report::{Report, Trouble};
use crate::raw::run3::Source;

/// Run and orbit: what inputs are merged by.
type OrbitKey = (u32, u32);

/// A file that delivers orbits in ascending order.
trait OrbitInput {
    /// The next orbit; none at the end.
    fn key(&self) -> Option<OrbitKey>;

    /// Luminosity section of the next orbit.
    fn lumi(&self) -> u32;

    /// What sends the next orbit, in formats that say it.
    fn source(&self) -> Option<Source>;

    /// Adds the objects of the next orbit, which all of `sources` deliver, to its crossings, and
    /// goes on.
    fn deliver(
        &mut self,
        sources: &[Source],
        events: &mut OrbitEvents,
        report: &mut Report,
    ) -> Result<(), ImportError>;

    /// Goes on without it.
    fn pass(&mut self, report: &mut Report) -> Result<(), ImportError>;

    /// Bytes of the file that are done.
    fn position(&self) -> u64;
}

/// An input, what it fills, and how many orbits it has.
struct Opened {
    input: Box<dyn OrbitInput>,
    columns: ColumnSet,
    n_orbits: u64,
}

/// Reads files of one binary format, merged by orbit.
pub struct RawImporter {
    inputs: Vec<Box<dyn OrbitInput>>,
    files: Vec<SourceFile>,
    columns: ColumnSet,
    n_bytes: u64,
    events: OrbitEvents,
    /// The sources that deliver the current orbit.
    sources: Vec<Source>,
    report: Report,
    tally: ImportTally,
}

impl RawImporter {
    /// Opens files of `format`, which has to be one of the binary ones.
    ///
    /// # Errors
    /// No file, one that cannot be read or whose head is damaged, or Phase-2 words of which it
    /// cannot be told what they are.
    ///
    /// # Panics
    /// With another format: a mistake in the program.
    pub fn open(
        paths: &[PathBuf],
        format: Format,
        options: &ImportOptions,
    ) -> Result<RawImporter, ImportError> {
        if paths.is_empty() {
            return Err(ImportError::NoFiles);
        }
        if options.rows.is_some() {
            return Err(ImportError::RowsOfOrbits { format: format.name() });
        }
        let (mut inputs, mut files) = (Vec::new(), Vec::new());
        let mut columns = ColumnSet::skeleton().with(Column::Lumi);
        let mut report = Report::default();
        for path in paths {
            let opened = open_input(path, format, options.payload, &mut report)?;
            columns = columns.union(opened.columns);
            inputs.push(opened.input);
            files.push(SourceFile::of(path, 0, opened.n_orbits)?);
        }
        let n_bytes = files.iter().map(|file| file.bytes).sum();
        let (events, sources, tally) = Default::default();
        Ok(RawImporter { inputs, files, columns, n_bytes, events, sources, report, tally })
    }

    /// Puts the next orbit together and appends its crossings. `false` if there is none.
    fn append_orbit(&mut self, chunk: &mut Chunk) -> Result<bool, ImportError> {
        let Some(key) = self.inputs.iter().filter_map(|input| input.key()).min() else {
            return Ok(false);
        };
        let has_it = |input: &dyn OrbitInput| input.key() == Some(key);
        self.sources.clear();
        let mut lumi = None;
        // Of two inputs with the same source the second goes on without being read.
        for input in self.inputs.iter_mut().filter(|input| has_it(input.as_ref())) {
            lumi = lumi.or(Some(input.lumi()));
            match input.source() {
                Some(source) if self.sources.contains(&source) => {
                    input.pass(&mut self.report)?;
                    self.report.count(Trouble::OrbitOrder);
                }
                source => self.sources.extend(source),
            }
        }
        for input in self.inputs.iter_mut().filter(|input| has_it(input.as_ref())) {
            input.deliver(&self.sources, &mut self.events, &mut self.report)?;
        }
        let (run, orbit) = key;
        let n = self.events.append_to(orbit, &mut chunk.events, &mut self.report);
        chunk.runs.resize(chunk.runs.len() + n, run);
        let lumis = chunk.events.get_mut::<u32>(Column::Lumi);
        lumis.resize(lumis.len() + n, lumi.unwrap_or_default());
        self.tally.rows += n as u64;
        self.tally.kept += n as u64;
        Ok(true)
    }
}

fn open_input(
    path: &Path,
    format: Format,
    payload: Option<Payload>,
    report: &mut Report,
) -> Result<Opened, ImportError> {
    match format {
        Format::Frd => frd::open_run3(path, report),
        Format::FrdPhase2 => frd::open_phase2(path, payload, report),
        Format::Native64 => native64::open(path, payload, report),
        Format::Dth256 => dth::open(path, payload, report),
        other => panic!("{} is no binary format of scouting", other.name()),
    }
}

impl Importer for RawImporter {
    fn columns(&self) -> ColumnSet {
        self.columns
    }

    fn placed(&self) -> bool {
        true
    }

    fn is_sorted(&self) -> bool {
        true
    }

    fn n_events(&self) -> u64 {
        self.n_bytes
    }

    fn n_done(&self) -> u64 {
        self.inputs.iter().map(|input| input.position()).sum()
    }

    fn sources(&self) -> &[SourceFile] {
        &self.files
    }

    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, ImportError> {
        chunk.reset(self.columns);
        let mut is_there = false;
        while chunk.events.len() + SLOTS_PER_ORBIT as usize <= CHUNK_EVENTS
            && self.append_orbit(chunk)?
        {
            is_there = true;
        }
        chunk.events.index_objects().map_err(ImportError::Chunk)?;
        Ok(is_there)
    }

    fn tally(&self) -> ImportTally {
        self.tally
    }

    fn notes(&self) -> Vec<(u64, &'static str)> {
        self.report.counts()
    }

    fn problems(&self) -> &[String] {
        self.report.messages()
    }
}

/// Orbits that an input delivers: by going through it once more than is needed to read it.
fn count_orbits(input: &mut dyn OrbitInput) -> Result<u64, ImportError> {
    let (mut n, mut unread) = (0, Report::default());
    while input.key().is_some() {
        input.pass(&mut unread)?;
        n += 1;
    }
    Ok(n)
}

/// Bytes of a file of Phase-2 events that are looked at to find out what the words are.
const SAMPLE_BYTES: usize = 1 << 20;

/// What the words of these orbits are, unless the user has said it.
fn payload_of(
    path: &Path,
    asked: Option<Payload>,
    orbits: &[Vec<u8>],
) -> Result<Payload, ImportError> {
    if let Some(payload) = asked {
        return Ok(payload);
    }
    let events = orbits.iter().flat_map(|orbit| Events::new(orbit).flatten());
    Payload::guess(events).map_err(|reason| ImportError::Payload { path: path.into(), reason })
}

/// Adds the events of an orbit, or of part of one. `offset_of` says where a byte of the orbit is
/// in its file. What follows an event that cannot be is not read.
fn add_events(
    bytes: &[u8],
    orbit: u32,
    payload: Payload,
    offset_of: impl Fn(usize) -> u64,
    events: &mut OrbitEvents,
    report: &mut Report,
) {
    for event in Events::new(bytes) {
        let event = match event {
            Ok(event) if event.header.orbit == orbit => event,
            Ok(event) => {
                let found = event.header.orbit;
                let what = format_args!("expected an event of orbit {orbit}, found {found}");
                report.note(Trouble::Block, offset_of(event.offset), Some(orbit), what);
                return;
            }
            Err(error) => {
                report.note(Trouble::Block, offset_of(error.offset()), Some(orbit), error.what());
                return;
            }
        };
        let (header, offset) = (event.header, offset_of(event.offset));
        if header.error {
            let what = format_args!("bx {} has the error bit", header.bx);
            report.note(Trouble::TruncatedEvent, offset, Some(orbit), what);
        }
        match events.crossing(header.bx) {
            Some(crossing) => payload.read(event, crossing, offset, report),
            None => {
                let what = format_args!("bx {} again", header.bx);
                report.note(Trouble::DuplicateBx, offset, Some(orbit), what);
            }
        }
    }
}
