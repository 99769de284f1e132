//! FRD files: blocks of Run-3 sources, or Phase-2 events.

use std::path::Path;

use super::record::RecordFile;
use super::{Opened, OrbitInput, OrbitKey, SAMPLE_BYTES, add_events, payload_of};
use crate::event::ColumnSet;
use crate::import::ImportError;
use crate::raw::crossing::OrbitEvents;
use crate::raw::objects::Payload;
use crate::raw::report::Report;
use crate::raw::run3::{self, Origin, Source};

/// A file, and what its payloads are.
struct FrdInput {
    file: RecordFile,
    /// None for blocks of Run 3.
    words: Option<Payload>,
    payload: Vec<u8>,
}

/// Opens a file of Run-3 sources. It is read once from header to header, for the sources in it.
pub(super) fn open_run3(path: &Path, report: &mut Report) -> Result<Opened, ImportError> {
    // What is wrong is told when the orbits are read, not twice.
    let mut unread = Report::default();
    let mut scan = RecordFile::open(path, true, &mut unread)?;
    let mut columns = ColumnSet::EMPTY;
    while let Some(record) = scan.peek() {
        columns = columns.union(record.source.map_or(ColumnSet::EMPTY, Source::columns));
        scan.pass(&mut unread)?;
    }
    let file = RecordFile::open(path, true, report)?;
    let input = Box::new(FrdInput { file, words: None, payload: Vec::new() });
    Ok(Opened { input, columns, n_orbits: scan.n_records() })
}

/// Opens a file of Phase-2 events.
pub(super) fn open_phase2(
    path: &Path,
    asked: Option<Payload>,
    report: &mut Report,
) -> Result<Opened, ImportError> {
    let mut unread = Report::default();
    let mut scan = RecordFile::open(path, false, &mut unread)?;
    let (mut orbits, mut n_bytes) = (Vec::new(), 0);
    while scan.peek().is_some() {
        if n_bytes < SAMPLE_BYTES {
            let mut payload = Vec::new();
            scan.take(&mut payload, &mut unread)?;
            n_bytes += payload.len();
            orbits.push(payload);
        } else {
            scan.pass(&mut unread)?;
        }
    }
    let words = payload_of(path, asked, &orbits)?;
    let file = RecordFile::open(path, false, report)?;
    let input = Box::new(FrdInput { file, words: Some(words), payload: Vec::new() });
    Ok(Opened { input, columns: words.columns(), n_orbits: scan.n_records() })
}

impl OrbitInput for FrdInput {
    fn key(&self) -> Option<OrbitKey> {
        self.file.peek().map(|record| (record.run, record.orbit))
    }

    fn lumi(&self) -> u32 {
        self.file.peek().map_or(0, |record| record.header.lumi)
    }

    fn source(&self) -> Option<Source> {
        self.file.peek().and_then(|record| record.source)
    }

    fn deliver(
        &mut self,
        sources: &[Source],
        events: &mut OrbitEvents,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let record = self.file.take(&mut self.payload, report)?;
        let (orbit, offset) = (record.orbit, record.offset);
        match (record.source, self.words) {
            (Some(source), _) => {
                let origin = Origin { source, orbit, sources, offset };
                run3::decode(origin, &self.payload, events, report);
            }
            (None, words) => {
                events.begin_record();
                let words = words.expect("files without sources hold words");
                let offset_of = |at: usize| offset + at as u64;
                add_events(&self.payload, orbit, words, offset_of, events, report);
            }
        }
        Ok(())
    }

    fn pass(&mut self, report: &mut Report) -> Result<(), ImportError> {
        self.file.pass(report)
    }

    fn position(&self) -> u64 {
        self.file.position()
    }
}
