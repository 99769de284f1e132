//! Native64: the events of one orbit as 64-bit words (Phase-2 scouting).
//!
//! ```text
//! event   header | n object words                 header bits
//! orbit   event, event, zero words, event, …      63-62  10 (00 occurs)    61  error
//!                                                 60-56  run, low 5 bits   55-24  orbit
//!                                                 23-12  crossing, 0..3563 11-8  0   7-0  n
//! ```
//!
//! [`Events`] walks the bytes of one orbit, [`push_event`] makes them. Words of zero between
//! events are padding. An event with the error bit and no words is one that was truncated before
//! it came here. Crossings are counted from 0 in the words and from 1 everywhere else
//! ([`units::bx_from_native`]).
//!
//! What the object words mean is not known here.

use std::fmt;

use super::u64_at;
use crate::lhc::Bx;
use crate::units;

/// Most object words of one event.
pub const WORDS_MAX: usize = 255;
/// Largest run number that a header holds.
pub const RUN_MAX: u32 = 31;
const WORD_BYTES: usize = 8;

/// Why words are no events. Offsets count from the start of the orbit's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the messages say of them")]
pub enum Native64Error {
    /// The two uppermost bits are those of something else.
    NotAHeader { offset: usize, word: u64 },
    /// A crossing number beyond the orbit.
    Bx { offset: usize, orbit: u32, found: u16 },
    /// Bits that are always zero are not: the number of words cannot be trusted.
    Count { offset: usize, orbit: u32, found: u16 },
    /// The bytes end within an event.
    Cut { offset: usize, orbit: u32, expected: usize, found: usize },
    /// The bytes end within a word.
    HalfWord { offset: usize, found: usize },
}

impl Native64Error {
    /// Where the event begins that is none.
    #[must_use]
    pub fn offset(&self) -> usize {
        match *self {
            Native64Error::NotAHeader { offset, .. }
            | Native64Error::Bx { offset, .. }
            | Native64Error::Count { offset, .. }
            | Native64Error::Cut { offset, .. }
            | Native64Error::HalfWord { offset, .. } => offset,
        }
    }

    /// What was expected, and what was found.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Native64Error::NotAHeader { word, .. } => {
                format!("expected an event header (bits 63-62 = 10), found the word {word:016x}")
            }
            Native64Error::Bx { orbit, found, .. } => {
                format!("orbit {orbit}: expected a crossing within 0..=3563, found {found}")
            }
            Native64Error::Count { orbit, found, .. } => {
                format!("orbit {orbit}: expected at most {WORDS_MAX} words, found {found}")
            }
            Native64Error::Cut { orbit, expected, found, .. } => {
                format!("orbit {orbit}: expected {expected} words after a header, found {found}")
            }
            Native64Error::HalfWord { found, .. } => {
                format!("expected whole 64-bit words, found {found} bytes")
            }
        }
    }
}

impl fmt::Display for Native64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset(), self.what())
    }
}

impl std::error::Error for Native64Error {}

/// What precedes the words of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// The event was truncated, or is otherwise wrong.
    pub error: bool,
    /// The lowest five bits of the run number.
    pub run: u8,
    /// Orbit.
    pub orbit: u32,
    /// Crossing, 1 to 3564 as everywhere but in the word itself.
    pub bx: Bx,
    /// Object words that follow.
    pub n_words: u8,
}

impl EventHeader {
    /// Reads a word, which is at `offset` for messages. Headers marked `00` occur in recorded
    /// samples and are accepted like those marked `10`.
    ///
    /// # Errors
    /// A word that is no header.
    #[inline]
    pub fn from_word(word: u64, offset: usize) -> Result<EventHeader, Native64Error> {
        if !matches!(word >> 62, 0b00 | 0b10) {
            return Err(Native64Error::NotAHeader { offset, word });
        }
        let orbit = (word >> 24) as u32;
        let (native_bx, n_words) = ((word >> 12 & 0xfff) as u16, (word & 0xfff) as u16);
        let bx = units::bx_from_native(native_bx);
        let bx = bx.ok_or(Native64Error::Bx { offset, orbit, found: native_bx })?;
        let too_many = Native64Error::Count { offset, orbit, found: n_words };
        let n_words = u8::try_from(n_words).map_err(|_| too_many)?;
        Ok(EventHeader {
            error: word >> 61 & 1 == 1,
            run: (word >> 56 & 0x1f) as u8,
            orbit,
            bx,
            n_words,
        })
    }

    /// The word, marked `10`. Only the lowest five bits of `run` have room.
    #[inline]
    #[must_use]
    pub fn to_word(self) -> u64 {
        0b10 << 62
            | u64::from(self.error) << 61
            | u64::from(self.run & 0x1f) << 56
            | u64::from(self.orbit) << 24
            | u64::from(units::native_from_bx(self.bx)) << 12
            | u64::from(self.n_words)
    }
}

/// One event, borrowed from the bytes of its orbit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its header.
    pub header: EventHeader,
    /// Where its header is, from the start of the orbit's bytes.
    pub offset: usize,
    words: &'a [[u8; WORD_BYTES]],
}

impl<'a> Event<'a> {
    /// Its object words.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> + Clone + use<'a> {
        self.words.iter().map(|&bytes| u64::from_le_bytes(bytes))
    }
}

/// Walks the events of one orbit. After an error it has ended: what follows a header that cannot
/// be trusted cannot be found.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Events<'a> {
    /// Of the bytes of one orbit, or of part of one that begins with an event.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Events<'a> {
        Events { bytes, at: 0 }
    }

    fn read(&mut self) -> Option<Result<Event<'a>, Native64Error>> {
        let (words, rest) = self.bytes.as_chunks::<WORD_BYTES>();
        let mut index = self.at / WORD_BYTES;
        while words.get(index).is_some_and(|word| *word == [0; WORD_BYTES]) {
            index += 1;
        }
        let offset = index * WORD_BYTES;
        let Some(&word) = words.get(index) else {
            self.at = self.bytes.len();
            return match rest.len() {
                0 => None,
                found => Some(Err(Native64Error::HalfWord { offset, found })),
            };
        };
        Some(EventHeader::from_word(u64::from_le_bytes(word), offset).and_then(|header| {
            let (first, n) = (index + 1, usize::from(header.n_words));
            let found = words.len() - first;
            let cut = Native64Error::Cut { offset, orbit: header.orbit, expected: n, found };
            let words = words.get(first..first + n).ok_or(cut)?;
            self.at = (first + n) * WORD_BYTES;
            Ok(Event { header, offset, words })
        }))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Native64Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let item = self.read();
        if matches!(item, Some(Err(_))) {
            self.at = self.bytes.len();
        }
        item
    }
}

/// Appends an event: its header, whose number of words is that of `words`, and the words.
///
/// # Panics
/// With more than [`WORDS_MAX`] words: a mistake in the program, which no header can hold.
pub fn push_event(header: EventHeader, words: &[u64], out: &mut Vec<u8>) {
    let n_words = u8::try_from(words.len()).expect("an event has at most 255 words");
    out.extend(EventHeader { n_words, ..header }.to_word().to_le_bytes());
    words.iter().for_each(|word| out.extend(word.to_le_bytes()));
}

/// What an orbit that was truncated leaves of itself, and what may stand in the head of a block
/// of DTHBasic256: bits 63-62 = 11, then error, run and orbit as in an event header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrbitHeader {
    /// The orbit was truncated, or is otherwise wrong.
    pub error: bool,
    /// The lowest five bits of the run number.
    pub run: u8,
    /// Orbit.
    pub orbit: u32,
    /// Its length in 64-bit words, 24 bits.
    pub n_words: u32,
}

impl OrbitHeader {
    /// Reads a word; `None` if its marks are those of something else.
    #[must_use]
    pub fn from_word(word: u64) -> Option<OrbitHeader> {
        (word >> 62 == 0b11).then_some(OrbitHeader {
            error: word >> 61 & 1 == 1,
            run: (word >> 56 & 0x1f) as u8,
            orbit: (word >> 24) as u32,
            n_words: (word & 0xff_ffff) as u32,
        })
    }

    /// The word. What has no room in 24 or 5 bits is cut off.
    #[must_use]
    pub fn to_word(self) -> u64 {
        0b11 << 62
            | u64::from(self.error) << 61
            | u64::from(self.run & 0x1f) << 56
            | u64::from(self.orbit) << 24
            | u64::from(self.n_words & 0xff_ffff)
    }
}

/// Orbit of the bytes of an orbit: that of its first event, without a look at the rest.
#[must_use]
pub fn first_orbit(bytes: &[u8]) -> Option<u32> {
    let begin = bytes.iter().position(|&byte| byte != 0)? / WORD_BYTES * WORD_BYTES;
    let word = bytes.get(begin..begin + WORD_BYTES)?;
    EventHeader::from_word(u64_at(word, 0), begin).ok().map(|header| header.orbit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(orbit: u32, bx: u32) -> EventHeader {
        EventHeader { error: false, run: 7, orbit, bx: Bx::new(bx).unwrap(), n_words: 0 }
    }

    fn orbit() -> Vec<u8> {
        let mut bytes = Vec::new();
        push_event(header(1000, 1), &[0xdead_beef, 0], &mut bytes);
        push_event(header(1000, 19), &[], &mut bytes);
        bytes.extend([0; 16]);
        push_event(header(1000, 3564), &[u64::MAX; 255], &mut bytes);
        bytes
    }

    #[test]
    fn the_bits_of_a_header_are_where_the_table_says() {
        // From the table of the format, not from our encoder.
        let word = 0b10_u64 << 62 | 0b1 << 61 | 21 << 56 | 0xdead_beef << 24 | 3563 << 12 | 200;
        let header = EventHeader::from_word(word, 0).unwrap();
        let bx = Bx::LAST;
        let expected = EventHeader { error: true, run: 21, orbit: 0xdead_beef, bx, n_words: 200 };
        assert_eq!(header, expected);
        assert_eq!(header.to_word(), word);
        let orbit = 0b11_u64 << 62 | 9 << 56 | 77 << 24 | 1234;
        let expected = OrbitHeader { error: false, run: 9, orbit: 77, n_words: 1234 };
        assert_eq!(OrbitHeader::from_word(orbit), Some(expected));
        assert_eq!(expected.to_word(), orbit);
    }

    #[test]
    fn events_come_back_and_zero_words_between_them_are_padding() {
        let bytes = orbit();
        let events: Vec<_> = Events::new(&bytes).map(Result::unwrap).collect();
        let bxs: Vec<u16> = events.iter().map(|e| e.header.bx.get()).collect();
        assert_eq!(bxs, [1, 19, 3564]);
        assert_eq!(events[0].words().collect::<Vec<_>>(), [0xdead_beef, 0]);
        assert_eq!(events[1].offset, 24);
        assert_eq!(events[2].words().len(), 255);
        assert_eq!(first_orbit(&bytes), Some(1000));
        assert_eq!(first_orbit(&[0; 32]), None);
    }

    #[test]
    fn headers_without_their_mark_are_read_as_recorded_samples_have_them() {
        let word = header(5, 18).to_word() & !(0b11 << 62);
        assert_eq!(EventHeader::from_word(word, 0).unwrap().orbit, 5);
    }

    #[test]
    fn a_truncated_event_has_its_error_bit_and_no_words() {
        let mut bytes = Vec::new();
        push_event(EventHeader { error: true, ..header(3, 4) }, &[], &mut bytes);
        let event = Events::new(&bytes).next().unwrap().unwrap();
        assert!(event.header.error && event.words().len() == 0);
    }

    #[test]
    fn wrong_headers_end_the_orbit_with_their_place() {
        let broken = |change: fn(u64) -> u64| {
            let mut bytes = orbit();
            let word = change(u64_at(&bytes, 24));
            bytes[24..32].copy_from_slice(&word.to_le_bytes());
            let mut events = Events::new(&bytes);
            assert!(events.next().unwrap().is_ok());
            let error = events.next().unwrap().unwrap_err();
            assert!(events.next().is_none(), "nothing follows an error");
            error
        };
        assert!(matches!(broken(|w| w | 3 << 62), Native64Error::NotAHeader { offset: 24, .. }));
        let late = broken(|w| (w & !(0xfff << 12)) | 3564 << 12);
        assert!(matches!(late, Native64Error::Bx { offset: 24, orbit: 1000, found: 3564 }));
        let many = broken(|w| w | 0x100);
        assert!(matches!(many, Native64Error::Count { offset: 24, found: 256, .. }));
        let bytes = orbit();
        let error = Events::new(&bytes[..bytes.len() - 8]).last().unwrap().unwrap_err();
        let cut = Native64Error::Cut { offset: 48, orbit: 1000, expected: 255, found: 254 };
        assert_eq!(error, cut);
    }

    #[test]
    fn cut_at_every_byte_what_was_whole_is_still_read() {
        let bytes = orbit();
        let ends = [0, 24, 32, bytes.len()];
        for n in 0..bytes.len() {
            let (events, errors): (Vec<_>, Vec<_>) =
                Events::new(&bytes[..n]).partition(Result::is_ok);
            let whole = ends.iter().filter(|&&end| end <= n).count() - 1;
            assert_eq!(events.len(), whole, "{n} bytes");
            // Between events, and after padding, nothing shows that more was to come.
            let silent = n % 8 == 0 && (ends.contains(&n) || (32..=48).contains(&n));
            assert_eq!(errors.is_empty(), silent, "{n} bytes: {errors:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_bounded_steps(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut n_words = 0;
            for event in Events::new(&bytes).flatten() {
                n_words += 1 + event.words().len();
            }
            prop_assert!(n_words * 8 <= bytes.len());
        }

        #[test]
        fn any_header_survives(
            error: bool, run in 0u8..32, orbit: u32, bx in 1u32..=3564,
            words in proptest::collection::vec(any::<u64>(), 0..=255)
        ) {
            let header = EventHeader { error, run, orbit, bx: Bx::new(bx).unwrap(), n_words: 0 };
            let mut bytes = Vec::new();
            push_event(header, &words, &mut bytes);
            let event = Events::new(&bytes).next().unwrap().unwrap();
            prop_assert_eq!(event.header, EventHeader { n_words: words.len() as u8, ..header });
            prop_assert_eq!(event.words().collect::<Vec<_>>(), words);
        }
    }
}
