//! FRD files: what precedes the payloads of orbits in the raw files of the experiment.
//!
//! ```text
//! file     file header | record, record, …                record   event header | payload
//! file header   RAW_0002, 32 bytes; RAW_0001, 24 bytes    event header   versions 3 to 6
//! ```
//!
//! In scouting an "event" is one orbit of one source, and its event number is the orbit. Sources:
//! CMSSW `IOPool/Streamer/interface/FRD{FileHeader,EventMessage}.h`; `docs/formats.md` has the
//! tables.

use super::native64::{Events, Native64Error};
use super::u64_at;

/// First bytes of every file with a header.
pub const MAGIC: &[u8] = b"RAW_";
/// Bytes of the longest file header.
pub const FILE_HEADER_BYTES_MAX: usize = 32;
/// Bytes of the longest event header.
pub const EVENT_HEADER_BYTES_MAX: usize = 32;
/// What file headers of scouting have as their type of data.
pub const SCOUTING_DATA_TYPE: u16 = 20;
/// Version of event headers that is written.
pub const EVENT_VERSION: u16 = 6;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// 1 or 2.
    pub version: u8,
    /// Type of data; version 1 has none.
    pub data_type: Option<u16>,
    /// Number of orbit records.
    pub n_events: u32,
    /// Run; version 1 has none.
    pub run: Option<u32>,
    /// Luminosity section.
    pub lumi: u32,
    /// Bytes of the file, headers included.
    pub bytes: u64,
}

impl FileHeader {
    /// A header of version 2 for scouting.
    #[must_use]
    pub fn new(run: u32, lumi: u32, n_events: u32, bytes: u64) -> FileHeader {
        let (data_type, run) = (Some(SCOUTING_DATA_TYPE), Some(run));
        FileHeader { version: 2, data_type, n_events, run, lumi, bytes }
    }

    /// Bytes of it.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        if self.version == 1 { 24 } else { 32 }
    }

    /// Reads the start of a file, all of it or the first [`FILE_HEADER_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// What was expected and found, and at which byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<FileHeader, (usize, String)> {
        if !bytes.starts_with(MAGIC) {
            return Err((0, "expected `RAW_`".into()));
        }
        let version = match bytes.get(4..8) {
            Some(b"0001") => 1,
            Some(b"0002") => 2,
            found => {
                let found = found.unwrap_or_default().escape_ascii();
                return Err((4, format!("expected version `0001` or `0002`, found `{found}`")));
            }
        };
        let header = FileHeader { version, ..FileHeader::new(0, 0, 0, 0) };
        if bytes.len() < header.header_bytes() {
            let found = bytes.len();
            return Err((
                0,
                format!("expected a header of {} bytes, found {found}", header.header_bytes()),
            ));
        }
        let stated = usize::from(u16_at(bytes, 8));
        if stated != header.header_bytes() {
            let expected = header.header_bytes();
            return Err((8, format!("expected a header size of {expected}, found {stated}")));
        }
        Ok(if version == 1 {
            FileHeader {
                version,
                data_type: None,
                n_events: u16_at(bytes, 10).into(),
                run: None,
                lumi: u32_at(bytes, 12),
                bytes: u64_at(bytes, 16),
            }
        } else {
            FileHeader {
                version,
                data_type: Some(u16_at(bytes, 10)),
                n_events: u32_at(bytes, 12),
                run: Some(u32_at(bytes, 16)),
                lumi: u32_at(bytes, 20),
                bytes: u64_at(bytes, 24),
            }
        })
    }

    /// Its bytes, as many as [`FileHeader::header_bytes`] says.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(format!("{:04}", self.version).bytes());
        bytes.extend((self.header_bytes() as u16).to_le_bytes());
        if self.version == 1 {
            bytes.extend((self.n_events as u16).to_le_bytes());
        } else {
            bytes.extend(self.data_type.unwrap_or(SCOUTING_DATA_TYPE).to_le_bytes());
            bytes.extend(self.n_events.to_le_bytes());
            bytes.extend(self.run.unwrap_or_default().to_le_bytes());
        }
        bytes.extend(self.lumi.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes
    }
}

/// The header of an orbit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// 3 to 6.
    pub version: u16,
    /// Run.
    pub run: u32,
    /// Luminosity section.
    pub lumi: u32,
    /// Event number, which is the orbit; version 4 has room for more than 32 bits.
    pub orbit: u64,
    /// Bytes of payload that follow.
    pub payload_bytes: u32,
    /// Bytes of padding that follow the payload (versions 3 and 4).
    pub padding_bytes: u32,
}

impl EventHeader {
    /// A header of version 6.
    #[must_use]
    pub fn new(run: u32, lumi: u32, orbit: u32, payload_bytes: u32) -> EventHeader {
        let orbit = orbit.into();
        EventHeader { version: EVENT_VERSION, run, lumi, orbit, payload_bytes, padding_bytes: 0 }
    }

    /// Bytes of a header of this version; `None` if it is not read.
    #[must_use]
    pub const fn len_of(version: u16) -> Option<usize> {
        match version {
            3 => Some(28),
            4 => Some(32),
            5 | 6 => Some(24),
            _ => None,
        }
    }

    /// Bytes of it.
    ///
    /// # Panics
    /// If its version is none that is read: a mistake in the program.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        EventHeader::len_of(self.version).expect("a version that is read")
    }

    /// Version of the header that begins here. Up to 5 it is a number of 32 bits, since 6 one of
    /// 16 bits beside 16 of flags.
    ///
    /// # Errors
    /// The number found, if it is none that is read.
    pub fn version_at(bytes: [u8; 4]) -> Result<u16, u32> {
        let (version, flags) = (u16_at(&bytes, 0), u16_at(&bytes, 2));
        match EventHeader::len_of(version) {
            Some(_) if version == EVENT_VERSION || flags == 0 => Ok(version),
            _ => Err(u32_at(&bytes, 0)),
        }
    }

    /// Reads a header of this version. `None` if the bytes do not suffice.
    #[must_use]
    pub fn from_bytes(version: u16, bytes: &[u8]) -> Option<EventHeader> {
        let bytes = bytes.get(..EventHeader::len_of(version)?)?;
        let word = |k: usize| u32_at(bytes, 4 * k);
        let wide = usize::from(version == 4);
        let low = u64::from(word(3));
        Some(EventHeader {
            version,
            run: word(1),
            lumi: word(2),
            orbit: if wide == 1 { low | u64::from(word(4)) << 32 } else { low },
            payload_bytes: word(4 + wide),
            padding_bytes: if version < 5 { word(5 + wide) } else { 0 },
        })
    }

    /// Its bytes. There is no checksum: scouting leaves that field 0.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let low = self.orbit as u32;
        let mut words = vec![u32::from(self.version), self.run, self.lumi, low];
        if self.version == 4 {
            words.push((self.orbit >> 32) as u32);
        }
        words.push(self.payload_bytes);
        if self.version < 5 {
            words.push(self.padding_bytes);
        }
        words.push(0);
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// Whether a file that begins like this holds Phase-2 events (no source id, 64-bit words) and no
/// blocks of Run 3: whether the first payload that is not empty is one of them.
///
/// # Errors
/// Where the records make no sense, and why.
pub fn is_phase2(start: &[u8]) -> Result<bool, (usize, String)> {
    let mut at = FileHeader::from_bytes(start)?.header_bytes();
    while let Some(head) = start.get(at..).and_then(|rest| rest.first_chunk()) {
        let version = EventHeader::version_at(*head).map_err(|found| {
            (at, format!("expected an orbit header of version 3 to 6, found {found}"))
        })?;
        let Some(header) = EventHeader::from_bytes(version, &start[at..]) else { break };
        at += header.header_bytes();
        let n = header.payload_bytes as usize;
        if n > 0 {
            let payload = &start[at..start.len().min(at.saturating_add(n))];
            return Ok(n.is_multiple_of(8) && holds_native64(payload, header.orbit));
        }
        at += header.padding_bytes as usize;
    }
    Ok(false)
}

/// Whether these bytes, which may be cut, are events of this orbit.
fn holds_native64(payload: &[u8], orbit: u64) -> bool {
    let mut n_events = 0;
    for event in Events::new(payload) {
        match event {
            Ok(event) if u64::from(event.header.orbit) == orbit => n_events += 1,
            Err(Native64Error::Cut { .. } | Native64Error::HalfWord { .. }) => {}
            _ => return false,
        }
    }
    n_events > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_headers_of_both_versions_survive() {
        let second = FileHeader::new(398_183, 261, 1, 96);
        let first = FileHeader { version: 1, data_type: None, run: None, ..second };
        for header in [first, second] {
            let bytes = header.to_bytes();
            assert_eq!(bytes.len(), header.header_bytes());
            assert_eq!(FileHeader::from_bytes(&bytes), Ok(header));
            for n in 0..bytes.len() {
                assert!(FileHeader::from_bytes(&bytes[..n]).is_err(), "{n} bytes");
            }
            let mut lying = bytes.clone();
            lying[8] += 1;
            let (at, what) = FileHeader::from_bytes(&lying).unwrap_err();
            assert!(
                at == 8 && what.contains(&format!("found {}", header.header_bytes() + 1)),
                "{what}"
            );
        }
        let (at, what) =
            FileHeader::from_bytes(b"RAW_0003 and more than enough bytes ").unwrap_err();
        assert!(at == 4 && what.contains("0003"), "{what}");
    }

    #[test]
    fn event_headers_of_all_versions_survive() {
        let base = EventHeader::new(398_183, 261, 1000, 40);
        for version in 3..=6 {
            let padding_bytes = if version < 5 { 7 } else { 0 };
            let orbit = if version == 4 { 5 << 32 | 6 } else { 1000 };
            let header = EventHeader { version, orbit, padding_bytes, ..base };
            let bytes = header.to_bytes();
            assert_eq!(Some(bytes.len()), EventHeader::len_of(version));
            assert_eq!(EventHeader::version_at(*bytes.first_chunk().unwrap()), Ok(version));
            assert_eq!(EventHeader::from_bytes(version, &bytes), Some(header));
            assert_eq!(EventHeader::from_bytes(version, &bytes[1..]), None);
        }
        assert_eq!(EventHeader::version_at([6, 0, 1, 0]), Ok(6), "version 6 has flags");
        assert_eq!(EventHeader::version_at([5, 0, 1, 0]), Err(0x1_0005), "version 5 has none");
        assert_eq!(EventHeader::version_at([2, 0, 0, 0]), Err(2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), with_header: bool,
        ) {
            let header = FileHeader::new(1, 1, 1, 1).to_bytes();
            let bytes = if with_header { [header, bytes].concat() } else { bytes };
            let _ = (FileHeader::from_bytes(&bytes), is_phase2(&bytes));
            for version in 0..8 {
                let _ = EventHeader::from_bytes(version, &bytes);
            }
        }
    }
}
