//! One FRD file: its orbit records in order, payloads read only when they are asked for.
//!
//! ```text
//! advance: header of the next record (and its source id) ──► next() ──► payload, or passed over
//! ```
//!
//! A record is believed only as far as the file reaches. Where headers stop making sense the file
//! ends, and the report says so; what came before is kept.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::import::ImportError;
use crate::import::files::name_of;
use crate::lhc::lumi_section_of_orbit;
use crate::raw::ORBIT_BYTES_MAX;
use crate::raw::frd::{
    EVENT_HEADER_BYTES_MAX, EventHeader, FILE_HEADER_BYTES_MAX, FileHeader, SCOUTING_DATA_TYPE,
};
use crate::raw::report::{Report, Trouble};
use crate::raw::run3::{SOURCE_BYTES, Source};

/// Enough for the header of a record: payloads are read past the buffer.
const BUFFER_BYTES: usize = 1 << 13;

/// The next record of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Its header; the orbit fits 32 bits.
    pub header: EventHeader,
    /// Run of its file.
    pub run: u32,
    /// Its orbit.
    pub orbit: u32,
    /// Its source; none in Phase-2 files.
    pub source: Option<Source>,
    /// Where what follows the source id begins.
    pub offset: u64,
    /// Bytes of that.
    pub n_bytes: usize,
}

/// An open file, at one of its records.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    name: String,
    file: BufReader<File>,
    header: FileHeader,
    bytes: u64,
    /// Whether payloads begin with the id of their source.
    has_sources: bool,
    /// Where the next header begins.
    offset: u64,
    version: Option<u16>,
    n_records: u64,
    /// Run of the file: of its header, else of its first record.
    run: Option<u32>,
    last: Option<u32>,
    next: Option<Record>,
    ended: bool,
}

impl RecordFile {
    /// Opens a file and goes to its first record.
    ///
    /// # Errors
    /// A file that cannot be read, or whose header is none.
    pub(super) fn open(
        path: &Path,
        has_sources: bool,
        report: &mut Report,
    ) -> Result<RecordFile, ImportError> {
        let name = name_of(path);
        report.set_file(&name);
        let file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let bytes = file.metadata().map_err(ImportError::io(path, "open it"))?.len();
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut start = Vec::with_capacity(FILE_HEADER_BYTES_MAX);
        let head = (&mut file).take(FILE_HEADER_BYTES_MAX as u64).read_to_end(&mut start);
        head.map_err(ImportError::io(path, "read it"))?;
        let header = FileHeader::from_bytes(&start).map_err(|(at, what)| ImportError::Damaged {
            file: name.clone(),
            what: format!("file header at byte {at}"),
            reason: what,
        })?;
        if header.data_type.is_some_and(|found| found != SCOUTING_DATA_TYPE) {
            let found = header.data_type.unwrap_or_default();
            let what = format_args!("expected data type {SCOUTING_DATA_TYPE}, found {found}");
            report.note(Trouble::Header, 10, None, what);
        }
        let offset = header.header_bytes() as u64;
        file.seek(SeekFrom::Start(offset)).map_err(ImportError::io(path, "read it"))?;
        let path = path.to_owned();
        let (version, run, last, next) = (None, header.run, None, None);
        let mut opened = RecordFile {
            path,
            name,
            file,
            header,
            bytes,
            has_sources,
            offset,
            version,
            n_records: 0,
            run,
            last,
            next,
            ended: false,
        };
        opened.advance(report)?;
        Ok(opened)
    }

    /// The record that the file is at; none at its end.
    pub(super) fn peek(&self) -> Option<&Record> {
        self.next.as_ref()
    }

    /// Records passed so far, whether they were read or skipped.
    pub(super) fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Bytes passed so far.
    pub(super) fn position(&self) -> u64 {
        if self.ended { self.bytes } else { self.offset }
    }

    /// Reads what follows the source id of the record into `payload`, and goes to the next one.
    ///
    /// # Errors
    /// A file that cannot be read.
    ///
    /// # Panics
    /// At the end of the file: a mistake in the program.
    pub(super) fn take(
        &mut self,
        payload: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<Record, ImportError> {
        let record = self.next.take().expect("the file is at a record");
        payload.resize(record.n_bytes, 0);
        self.file.read_exact(payload).map_err(ImportError::io(&self.path, "read it"))?;
        self.skip(u64::from(record.header.padding_bytes))?;
        report.set_file(&self.name);
        self.advance(report)?;
        Ok(record)
    }

    /// Goes to the next record without reading the payload of this one.
    pub(super) fn pass(&mut self, report: &mut Report) -> Result<(), ImportError> {
        if let Some(record) = self.next.take() {
            self.skip(record.n_bytes as u64 + u64::from(record.header.padding_bytes))?;
            report.set_file(&self.name);
            self.advance(report)?;
        }
        Ok(())
    }

    fn skip(&mut self, n: u64) -> Result<(), ImportError> {
        // Bounded by the length of the file, which fits.
        self.file.seek_relative(n as i64).map_err(ImportError::io(&self.path, "read it"))
    }

    /// Goes on to the next record that can be read.
    fn advance(&mut self, report: &mut Report) -> Result<(), ImportError> {
        while !self.ended && self.next.is_none() {
            if self.offset >= self.bytes {
                self.end(report);
                break;
            }
            let begin = self.offset;
            let Some(header) = self.read_header(report)? else { break };
            self.n_records += 1;
            self.offset = begin
                + header.header_bytes() as u64
                + u64::from(header.payload_bytes)
                + u64::from(header.padding_bytes);
            self.consider(header, begin, report)?;
        }
        Ok(())
    }

    fn read(&mut self, to: &mut [u8]) -> Result<(), ImportError> {
        self.file.read_exact(to).map_err(ImportError::io(&self.path, "read it"))
    }

    /// The header at the current place; none where the file ends, or has to.
    fn read_header(&mut self, report: &mut Report) -> Result<Option<EventHeader>, ImportError> {
        let (begin, left) = (self.offset, self.bytes - self.offset);
        let mut bytes = [0; EVENT_HEADER_BYTES_MAX];
        let cut = |orbit: Option<u32>, what: String, report: &mut Report| {
            report.note(Trouble::Truncated, begin, orbit, what);
        };
        if left < 4 {
            cut(None, format!("expected the header of an orbit, found {left} bytes"), report);
            self.end(report);
            return Ok(None);
        }
        self.read(&mut bytes[..4])?;
        let found = EventHeader::version_at(*bytes.first_chunk().expect("four bytes"));
        let version = match found {
            Ok(version) if self.version.is_none_or(|before| before == version) => version,
            found => {
                let found = found.map_or_else(|found| found, u32::from);
                let expected = self.version.map_or("3 to 6".into(), |v| v.to_string());
                let what = format!("expected an orbit header of version {expected}, found {found}");
                report.note(Trouble::Version, begin, None, what);
                self.ended = true;
                return Ok(None);
            }
        };
        self.version = Some(version);
        let n = EventHeader::len_of(version).expect("a version that is read");
        if left < n as u64 {
            cut(None, format!("expected an orbit header of {n} bytes, found {left}"), report);
            self.end(report);
            return Ok(None);
        }
        self.read(&mut bytes[4..n])?;
        let header = EventHeader::from_bytes(version, &bytes).expect("the bytes suffice");
        match self.misfit(&header, left - n as u64) {
            None => Ok(Some(header)),
            Some(what) => {
                cut(Some(header.orbit as u32), what, report);
                self.end(report);
                Ok(None)
            }
        }
    }

    /// Why a record with this header cannot be in the `left` bytes after it.
    fn misfit(&self, header: &EventHeader, left: u64) -> Option<String> {
        let least = if self.has_sources { SOURCE_BYTES as u32 } else { 0 };
        let needed = u64::from(header.payload_bytes) + u64::from(header.padding_bytes);
        let most = left.min(ORBIT_BYTES_MAX as u64);
        if u32::try_from(header.orbit).is_err() {
            return Some(format!("expected an orbit within 32 bits, found {}", header.orbit));
        }
        (needed > most || header.payload_bytes < least)
            .then(|| format!("expected an orbit of {least} to {most} bytes, found {needed}"))
    }

    /// Takes the record that begins at `begin`, or skips it. The file is after its header.
    fn consider(
        &mut self,
        header: EventHeader,
        begin: u64,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let orbit = header.orbit as u32;
        let mut offset = begin + header.header_bytes() as u64;
        let mut n_bytes = header.payload_bytes as usize;
        let mut source = None;
        if self.has_sources {
            let mut id = [0; SOURCE_BYTES];
            self.read(&mut id)?;
            n_bytes -= SOURCE_BYTES;
            let id = u32::from_le_bytes(id);
            match Source::from_id(id) {
                Ok(known) => source = Some(known),
                Err(why) => {
                    let what = format_args!("source {id}: {why}");
                    report.note(Trouble::Source, offset, Some(orbit), what);
                    return self.skip(n_bytes as u64 + u64::from(header.padding_bytes));
                }
            }
            offset += SOURCE_BYTES as u64;
        }
        if let Some(last) = self.last
            && orbit <= last
        {
            let what = format_args!("expected an orbit after {last}");
            report.note(Trouble::OrbitOrder, begin, Some(orbit), what);
            return self.skip(n_bytes as u64 + u64::from(header.padding_bytes));
        }
        if header.lumi != lumi_section_of_orbit(orbit) {
            let expected = lumi_section_of_orbit(orbit);
            let what = format_args!("luminosity section {}, by the orbit {expected}", header.lumi);
            report.note(Trouble::Lumi, begin, Some(orbit), what);
        }
        let run = *self.run.get_or_insert(header.run);
        if header.run != run {
            let what = format_args!("expected run {run}, found {}", header.run);
            report.note(Trouble::Run, begin, Some(orbit), what);
        }
        self.last = Some(orbit);
        self.next = Some(Record { header, run, orbit, source, offset, n_bytes });
        Ok(())
    }

    /// The end of the file: what its header says of it is compared with what there was.
    fn end(&mut self, report: &mut Report) {
        self.ended = true;
        let FileHeader { n_events, bytes, .. } = self.header;
        if u64::from(n_events) != self.n_records || bytes != self.bytes {
            let what = format!(
                "the header says {n_events} orbits in {bytes} bytes, found {} in {}",
                self.n_records, self.bytes
            );
            report.note(Trouble::Header, 0, None, what);
        }
    }
}
