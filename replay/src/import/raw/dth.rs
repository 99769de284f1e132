//! Files of DTHBasic256 blocks, as a receiver would have dumped them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Opened, OrbitInput, OrbitKey, SAMPLE_BYTES, add_events, count_orbits, payload_of};
use crate::import::ImportError;
use crate::import::files::name_of;
use crate::lhc::lumi_section_of_orbit;
use crate::raw::crossing::OrbitEvents;
use crate::raw::dth::{BLOCK_BYTES_MAX, Orbit, OrbitDecoder, UNIT_BYTES, UNITS_MAX};
use crate::raw::native64::{EventHeader, first_orbit};
use crate::raw::objects::Payload;
use crate::raw::report::{Report, Trouble};
use crate::raw::run3::Source;

const READ_BYTES: usize = 1 << 16;

/// The orbits of a file, complete or not.
struct OrbitReader {
    path: PathBuf,
    file: File,
    decoder: OrbitDecoder,
    piece: Vec<u8>,
    /// Bytes read.
    position: u64,
    ended: bool,
}

impl OrbitReader {
    fn open(path: &Path) -> Result<OrbitReader, ImportError> {
        let file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let (path, piece) = (path.to_owned(), vec![0; READ_BYTES]);
        let decoder = OrbitDecoder::default();
        Ok(OrbitReader { path, file, decoder, piece, position: 0, ended: false })
    }

    /// Hands the next orbit to `take`; `None` at the end.
    fn next<T>(&mut self, take: impl FnOnce(Orbit<'_>) -> T) -> Result<Option<T>, ImportError> {
        loop {
            if let Some(orbit) = self.decoder.next_orbit() {
                return Ok(Some(take(orbit)));
            }
            if self.ended {
                return Ok(self.decoder.finish().map(take));
            }
            let n = self.file.read(&mut self.piece);
            let n = n.map_err(ImportError::io(&self.path, "read it"))?;
            self.ended = n == 0;
            self.position += n as u64;
            self.decoder.push(&self.piece[..n]);
        }
    }
}

/// The orbit that is to be delivered next.
struct Next {
    key: OrbitKey,
    offset: u64,
}

struct DthInput {
    reader: OrbitReader,
    name: String,
    words: Payload,
    next: Option<Next>,
    payload: Vec<u8>,
    /// Run of the file: of its first orbit.
    run: Option<u32>,
    last: Option<u32>,
    /// Bytes and blocks that were reported as belonging to no orbit.
    stray_reported: u64,
}

/// Opens a file of blocks.
pub(super) fn open(
    path: &Path,
    asked: Option<Payload>,
    report: &mut Report,
) -> Result<Opened, ImportError> {
    let mut sample = OrbitReader::open(path)?;
    let mut orbits = Vec::new();
    while sample.position < SAMPLE_BYTES as u64
        && let Some(orbit) = sample.next(|orbit| orbit.payload.to_vec())?
    {
        orbits.push(orbit);
    }
    let words = payload_of(path, asked, &orbits)?;
    let n_orbits = count_orbits(&mut DthInput::open(path, words, &mut Report::default())?)?;
    let input = Box::new(DthInput::open(path, words, report)?);
    Ok(Opened { input, columns: words.columns(), n_orbits })
}

/// Run and orbit of an orbit's bytes: of its header, else of its first event.
fn key_of(orbit: &Orbit<'_>) -> Option<OrbitKey> {
    let of_header = orbit.header.map(|header| (u32::from(header.run), header.orbit));
    of_header.or_else(|| {
        let number = first_orbit(orbit.payload)?;
        let begin = orbit.payload.iter().position(|&byte| byte != 0)? / 8 * 8;
        let word = orbit.payload.get(begin..begin + 8)?.try_into().ok()?;
        let header = EventHeader::from_word(u64::from_le_bytes(word), begin).ok()?;
        Some((header.run.into(), number))
    })
}

impl DthInput {
    fn open(path: &Path, words: Payload, report: &mut Report) -> Result<DthInput, ImportError> {
        let mut input = DthInput {
            reader: OrbitReader::open(path)?,
            name: name_of(path),
            words,
            next: None,
            payload: Vec::new(),
            run: None,
            last: None,
            stray_reported: 0,
        };
        input.advance(report)?;
        Ok(input)
    }

    /// Goes on to the next orbit that can be delivered.
    fn advance(&mut self, report: &mut Report) -> Result<(), ImportError> {
        report.set_file(&self.name);
        self.next = None;
        while self.next.is_none() {
            let payload = &mut self.payload;
            let found = self.reader.next(|orbit| {
                payload.clear();
                payload.extend_from_slice(orbit.payload);
                (key_of(&orbit), orbit.offset, orbit.complete, orbit.error)
            })?;
            let counts = self.reader.decoder.counts();
            let stray = counts.lost_bytes + counts.stray_blocks;
            if stray > self.stray_reported {
                let what = format!(
                    "{} bytes and {} blocks belong to no orbit",
                    counts.lost_bytes, counts.stray_blocks
                );
                report.note(Trouble::Stray, self.reader.decoder.position(), None, what);
                self.stray_reported = stray;
            }
            let Some((key, offset, complete, error)) = found else { return Ok(()) };
            let orbit = key.map(|(_, orbit)| orbit);
            if !complete {
                report.note(Trouble::Truncated, offset, orbit, "blocks of this orbit are missing");
            }
            if error {
                report.note(Trouble::OrbitError, offset, orbit, "the sender reports an error");
            }
            match key {
                None => report.note(Trouble::Stray, offset, None, "an orbit without a number"),
                Some((_, number)) if self.last.is_some_and(|last| number <= last) => {
                    let last = self.last.unwrap_or_default();
                    let what = format_args!("expected an orbit after {last}");
                    report.note(Trouble::OrbitOrder, offset, orbit, what);
                }
                Some((found, number)) => {
                    let run = *self.run.get_or_insert(found);
                    if found != run {
                        let what = format_args!("expected run {run}, found {found}");
                        report.note(Trouble::Run, offset, orbit, what);
                    }
                    self.last = Some(number);
                    self.next = Some(Next { key: (run, number), offset });
                }
            }
        }
        Ok(())
    }
}

impl OrbitInput for DthInput {
    fn key(&self) -> Option<OrbitKey> {
        self.next.as_ref().map(|next| next.key)
    }

    fn lumi(&self) -> u32 {
        self.key().map_or(0, |(_, orbit)| lumi_section_of_orbit(orbit))
    }

    fn source(&self) -> Option<Source> {
        None
    }

    fn deliver(
        &mut self,
        _: &[Source],
        events: &mut OrbitEvents,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        if let Some(Next { key: (_, orbit), offset }) = self.next {
            report.set_file(&self.name);
            events.begin_record();
            // Block heads stand between the bytes of an orbit.
            let per_block = BLOCK_BYTES_MAX - UNIT_BYTES;
            const { assert!(BLOCK_BYTES_MAX == UNIT_BYTES * (UNITS_MAX + 1)) }
            let offset_of = |at: usize| offset + (at + (at / per_block + 1) * UNIT_BYTES) as u64;
            add_events(&self.payload, orbit, self.words, offset_of, events, report);
        }
        self.advance(report)
    }

    fn pass(&mut self, report: &mut Report) -> Result<(), ImportError> {
        self.advance(report)
    }

    fn position(&self) -> u64 {
        self.reader.position
    }
}
