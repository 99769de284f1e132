//! Files of bare Native64 events, one after the other, as the field's samples have them.
//!
//! Orbits end where the next one begins. Nothing but the events' own headers says where they are:
//! after one that cannot be, the rest of the file is not read.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Opened, OrbitInput, OrbitKey, SAMPLE_BYTES, add_events, count_orbits, payload_of};
use crate::import::ImportError;
use crate::import::files::name_of;
use crate::lhc::lumi_section_of_orbit;
use crate::raw::ORBIT_BYTES_MAX;
use crate::raw::crossing::OrbitEvents;
use crate::raw::native64::{EventHeader, Events};
use crate::raw::objects::Payload;
use crate::raw::report::{Report, Trouble};
use crate::raw::run3::Source;

const WORD_BYTES: usize = 8;

struct Native64Input {
    path: PathBuf,
    name: String,
    file: BufReader<File>,
    words: Payload,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes read.
    position: u64,
    /// The header that ended the orbit before, and where it is: the first of the next one.
    ahead: Option<(EventHeader, [u8; WORD_BYTES], u64)>,
    /// The orbit that is to be delivered next.
    key: Option<OrbitKey>,
    payload: Vec<u8>,
    /// Where each event of the payload begins, there and in the file: padding between events is
    /// not kept.
    places: Vec<(usize, u64)>,
    /// Run of the file: of its first event.
    run: Option<u32>,
    last: Option<u32>,
    ended: bool,
}

/// Opens a file of events.
pub(super) fn open(
    path: &Path,
    asked: Option<Payload>,
    report: &mut Report,
) -> Result<Opened, ImportError> {
    let words = match asked {
        Some(words) => words,
        None => payload_of(path, None, &sample(path)?)?,
    };
    let n_orbits = count_orbits(&mut Native64Input::open(path, words, &mut Report::default())?)?;
    let input = Box::new(Native64Input::open(path, words, report)?);
    Ok(Opened { input, columns: words.columns(), n_orbits })
}

/// The first orbits that have objects, as far as they tell what the words are: before them there may be any number
/// of zero words and of events without objects.
fn sample(path: &Path) -> Result<Vec<Vec<u8>>, ImportError> {
    let mut unread = Report::default();
    // What the words are is not asked while orbits are only gathered.
    let mut input = Native64Input::open(path, Payload::Puppi, &mut unread)?;
    let (mut orbits, mut left) = (Vec::new(), SAMPLE_BYTES);
    while input.key.is_some() && left > 0 {
        if Events::new(&input.payload).flatten().any(|event| event.header.n_words > 0) {
            let orbit = &input.payload[..input.payload.len().min(left)];
            left -= orbit.len();
            orbits.push(orbit.to_vec());
        }
        input.advance(&mut unread)?;
    }
    Ok(orbits)
}

impl Native64Input {
    fn open(
        path: &Path,
        words: Payload,
        report: &mut Report,
    ) -> Result<Native64Input, ImportError> {
        let file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let bytes = file.metadata().map_err(ImportError::io(path, "open it"))?.len();
        let mut input = Native64Input {
            path: path.to_owned(),
            name: name_of(path),
            file: BufReader::with_capacity(1 << 16, file),
            words,
            bytes,
            position: 0,
            ahead: None,
            key: None,
            payload: Vec::new(),
            places: Vec::new(),
            run: None,
            last: None,
            ended: false,
        };
        input.advance(report)?;
        Ok(input)
    }

    /// Gathers the next orbit that comes after the last one.
    fn advance(&mut self, report: &mut Report) -> Result<(), ImportError> {
        report.set_file(&self.name);
        self.key = None;
        self.payload.clear();
        self.places.clear();
        while let Some((header, word, offset)) = self.next_header(report)? {
            let found = u32::from(header.run);
            let run = *self.run.get_or_insert(found);
            let key = (run, header.orbit);
            if found != run {
                let what = format_args!("expected run {run}, found {found}");
                report.note(Trouble::Run, offset, Some(header.orbit), what);
            }
            if self.key.is_some_and(|current| current != key) {
                self.ahead = Some((header, word, offset));
                break;
            }
            let n = usize::from(header.n_words) * WORD_BYTES;
            if self.key.is_none() && self.last.is_some_and(|last| header.orbit <= last) {
                let last = self.last.unwrap_or_default();
                let what = format_args!("expected an orbit after {last}");
                report.note(Trouble::OrbitOrder, offset, Some(header.orbit), what);
                self.read_words(header, None, report)?;
                continue;
            }
            if self.payload.len() + WORD_BYTES + n > ORBIT_BYTES_MAX {
                let what = format_args!("expected an orbit of at most {ORBIT_BYTES_MAX} bytes");
                report.note(Trouble::Block, offset, Some(header.orbit), what);
                self.ended = true;
                break;
            }
            self.key = Some(key);
            self.places.push((self.payload.len(), offset));
            self.payload.extend(word);
            self.read_words(header, Some(offset), report)?;
        }
        self.last = self.key.map(|(_, orbit)| orbit).or(self.last);
        Ok(())
    }

    /// The next header, where it stands, and its word; none at the end.
    fn next_header(
        &mut self,
        report: &mut Report,
    ) -> Result<Option<(EventHeader, [u8; WORD_BYTES], u64)>, ImportError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        while !self.ended {
            let offset = self.position;
            let mut word = [0; WORD_BYTES];
            let n = self.fill(&mut word)?;
            if n < WORD_BYTES {
                self.ended = true;
                if n > 0 {
                    let what = format_args!("expected whole 64-bit words, found {n} bytes");
                    report.note(Trouble::Truncated, offset, None, what);
                }
                break;
            }
            if word == [0; WORD_BYTES] {
                continue;
            }
            match EventHeader::from_word(u64::from_le_bytes(word), 0) {
                Ok(header) => return Ok(Some((header, word, offset))),
                Err(error) => {
                    let orbit = self.key.map(|(_, orbit)| orbit);
                    let what = format_args!("after this, nothing is read: {}", error.what());
                    report.note(Trouble::Block, offset, orbit, what);
                    self.ended = true;
                }
            }
        }
        Ok(None)
    }

    /// Reads the words after a header, into the payload if it has a place there.
    fn read_words(
        &mut self,
        header: EventHeader,
        place: Option<u64>,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let n = usize::from(header.n_words) * WORD_BYTES;
        let begin = self.payload.len();
        self.payload.resize(begin + n, 0);
        let mut words = std::mem::take(&mut self.payload);
        let read = self.fill(&mut words[begin..]);
        self.payload = words;
        let found = read?;
        if found < n {
            let what = format_args!("expected {n} bytes of words, found {found}");
            report.note(Trouble::Truncated, self.position, Some(header.orbit), what);
            self.ended = true;
        }
        if place.is_none() {
            self.payload.truncate(begin);
        } else if found < n {
            // An event that is not whole is not delivered.
            self.payload.truncate(begin - WORD_BYTES);
        }
        Ok(())
    }

    /// Reads until the slice is full or the file ends.
    fn fill(&mut self, to: &mut [u8]) -> Result<usize, ImportError> {
        let mut n = 0;
        while n < to.len() {
            match self.file.read(&mut to[n..]) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ImportError::io(&self.path, "read it")(error)),
            }
        }
        self.position += n as u64;
        Ok(n)
    }
}

impl OrbitInput for Native64Input {
    fn key(&self) -> Option<OrbitKey> {
        self.key
    }

    fn lumi(&self) -> u32 {
        self.key.map_or(0, |(_, orbit)| lumi_section_of_orbit(orbit))
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
        if let Some((_, orbit)) = self.key {
            report.set_file(&self.name);
            events.begin_record();
            let places = &self.places;
            let offset_of = |at: usize| {
                let k = places.partition_point(|&(begin, _)| begin <= at).saturating_sub(1);
                places.get(k).map_or(0, |&(begin, offset)| offset + (at - begin) as u64)
            };
            add_events(&self.payload, orbit, self.words, offset_of, events, report);
        }
        self.advance(report)
    }

    fn pass(&mut self, report: &mut Report) -> Result<(), ImportError> {
        self.advance(report)
    }

    fn position(&self) -> u64 {
        if self.ended { self.bytes } else { self.position }
    }
}
