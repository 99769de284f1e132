//! DTHBasic256: the blocks in which the data-acquisition boards send orbits over TCP.
//!
//! ```text
//! block    head (32 bytes) | len × 32 bytes               byte 0, 1   47 5a
//! orbit    block (start) | block | … | block (end)        byte 5      bit 7 start, 6 end, 5 error
//!          all but the last are full: len = 255           byte 6      len
//!          zero bytes fill up the last unit               byte 16-23  orbit header, or 0
//! ```
//!
//! [`OrbitDecoder`] takes bytes as they come, in pieces of any size, and gives whole orbits;
//! [`push_orbit`] makes blocks. The decoder does no I/O and holds at most what was last pushed
//! and [`ORBIT_BYTES_MAX`]. Where a block is expected and none is found, it looks for the next
//! block that begins an orbit, at steps of 32 bytes, and counts what it passed over: block heads
//! have no checksum, so that is the best that can be done.
//!
//! What the orbits hold is not known here: see [`native64`](super::native64).

use super::native64::OrbitHeader;
use super::{ORBIT_BYTES_MAX, u64_at};

/// Bytes of a block's head, and the unit of its length.
pub const UNIT_BYTES: usize = 32;
/// Most units after a head.
pub const UNITS_MAX: usize = 255;
/// Bytes of the longest block.
pub const BLOCK_BYTES_MAX: usize = UNIT_BYTES * (1 + UNITS_MAX);

const MAGIC: [u8; 2] = [0x47, 0x5a];
const FLAGS_AT: usize = 5;
const LENGTH_AT: usize = 6;
const ORBIT_AT: usize = 16;
const START: u8 = 1 << 7;
const END: u8 = 1 << 6;
const ERROR: u8 = 1 << 5;

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// It is the first of its orbit.
    pub start: bool,
    /// It is the last of its orbit.
    pub end: bool,
    /// The board reports an error.
    pub error: bool,
    /// Units of 32 bytes that follow.
    pub n_units: u8,
    /// The orbit's own header, where the board put one.
    pub orbit: Option<OrbitHeader>,
}

impl BlockHead {
    /// Reads a head; `None` if its first two bytes are those of something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; UNIT_BYTES]) -> Option<BlockHead> {
        if bytes[..2] != MAGIC {
            return None;
        }
        let flags = bytes[FLAGS_AT];
        Some(BlockHead {
            start: flags & START != 0,
            end: flags & END != 0,
            error: flags & ERROR != 0,
            n_units: bytes[LENGTH_AT],
            orbit: OrbitHeader::from_word(u64_at(bytes, ORBIT_AT)),
        })
    }

    /// The head's bytes. What the format leaves open is zero.
    #[must_use]
    pub fn to_bytes(self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        bytes[..2].copy_from_slice(&MAGIC);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        bytes[FLAGS_AT] = flag(self.start, START) | flag(self.end, END) | flag(self.error, ERROR);
        bytes[LENGTH_AT] = self.n_units;
        let word = self.orbit.map_or(0, OrbitHeader::to_word);
        bytes[ORBIT_AT..ORBIT_AT + 8].copy_from_slice(&word.to_le_bytes());
        bytes
    }

    /// Only the last block of an orbit may be shorter than full.
    fn is_sound(self) -> bool {
        self.end || usize::from(self.n_units) == UNITS_MAX
    }
}

/// Appends the blocks of an orbit. `header` is put into the first head: a receiver that gets an
/// orbit without events could not know its number otherwise.
///
/// # Panics
/// With a payload beyond [`ORBIT_BYTES_MAX`]: a mistake in the program.
pub fn push_orbit(header: Option<OrbitHeader>, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= ORBIT_BYTES_MAX, "an orbit has at most {ORBIT_BYTES_MAX} bytes");
    let full = UNITS_MAX * UNIT_BYTES;
    let n_blocks = payload.len().div_ceil(full).max(1);
    for index in 0..n_blocks {
        let part = &payload[index * full..payload.len().min((index + 1) * full)];
        let n_units = part.len().div_ceil(UNIT_BYTES);
        let (start, end) = (index == 0, index + 1 == n_blocks);
        let orbit = header.filter(|_| start);
        let n_units_u8 = n_units as u8;
        let head = BlockHead { start, end, error: false, n_units: n_units_u8, orbit };
        out.extend(head.to_bytes());
        out.extend_from_slice(part);
        out.resize(out.len() + n_units * UNIT_BYTES - part.len(), 0);
    }
}

/// One orbit as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orbit<'a> {
    /// Its header, where the board put one.
    pub header: Option<OrbitHeader>,
    /// Its bytes, filled up to a multiple of 32 with zeros.
    pub payload: &'a [u8],
    /// Whether all its blocks came. If not, the payload is the first part of it.
    pub complete: bool,
    /// Whether the board reported an error in one of its blocks.
    pub error: bool,
    /// Where its first block begins, in bytes from the start of the stream.
    pub offset: u64,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DthCounts {
    /// Blocks read.
    pub blocks: u64,
    /// Orbits handed on, incomplete ones included.
    pub orbits: u64,
    /// Orbits of which blocks are missing.
    pub incomplete_orbits: u64,
    /// Orbits in which a board reported an error.
    pub error_orbits: u64,
    /// Blocks that belong to an orbit whose beginning was not seen, or of an orbit that is longer
    /// than [`ORBIT_BYTES_MAX`].
    pub stray_blocks: u64,
    /// Bytes passed over because no block began where one should.
    pub lost_bytes: u64,
}

/// An orbit that is being put together.
#[derive(Clone, Copy, Debug)]
struct Open {
    header: Option<OrbitHeader>,
    error: bool,
    offset: u64,
}

/// What reading one block came to.
enum Progress {
    NeedMore,
    Continue,
    /// An orbit is in `payload`.
    Orbit {
        open: Open,
        complete: bool,
    },
}

/// Puts orbits together from a stream of blocks.
///
/// ```
/// use scout40_replay::raw::dth::{OrbitDecoder, push_orbit};
/// let mut bytes = Vec::new();
/// push_orbit(None, &[1; 100], &mut bytes);
/// let mut decoder = OrbitDecoder::default();
/// for piece in bytes.chunks(7) {
///     decoder.push(piece);
///     while let Some(orbit) = decoder.next_orbit() {
///         assert_eq!((orbit.payload.len(), orbit.complete), (128, true));
///     }
/// }
/// assert_eq!(decoder.counts().orbits, 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct OrbitDecoder {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have been used.
    used: usize,
    /// Offset of the buffer in the stream.
    offset: u64,
    payload: Vec<u8>,
    /// The payload has been handed on and is to be emptied.
    handed_on: bool,
    open: Option<Open>,
    /// Looking for a block that begins an orbit.
    lost: bool,
    counts: DthCounts,
}

impl OrbitDecoder {
    /// Takes the next bytes of the stream. To be followed by [`OrbitDecoder::next_orbit`] until
    /// that gives nothing; then less than one block of what was pushed is still held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input(bytes.len()).extend_from_slice(bytes);
    }

    /// Where the next bytes of the stream are to be appended, with room for so many: saves a copy
    /// of what is read from a socket. Otherwise as [`OrbitDecoder::push`].
    pub fn input(&mut self, n_bytes: usize) -> &mut Vec<u8> {
        self.offset += self.used as u64;
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(n_bytes);
        &mut self.buffer
    }

    /// The payload of the orbit that was handed on last, to be kept; `spare` is used for the next
    /// one.
    pub fn take_payload(&mut self, mut spare: Vec<u8>) -> Vec<u8> {
        spare.clear();
        std::mem::replace(&mut self.payload, spare)
    }

    /// The next orbit; `None` if more bytes are needed.
    ///
    /// **Real-time**: allocates nothing once its buffers have grown.
    pub fn next_orbit(&mut self) -> Option<Orbit<'_>> {
        if std::mem::take(&mut self.handed_on) {
            self.payload.clear();
        }
        loop {
            match self.read_block() {
                Progress::NeedMore => return None,
                Progress::Continue => {}
                Progress::Orbit { open, complete } => return Some(self.hand_on(open, complete)),
            }
        }
    }

    /// The end of the stream: the orbit whose last block never came, if there is one. What is
    /// left of a block counts as lost.
    pub fn finish(&mut self) -> Option<Orbit<'_>> {
        if std::mem::take(&mut self.handed_on) {
            self.payload.clear();
        }
        self.counts.lost_bytes += (self.buffer.len() - self.used) as u64;
        self.used = self.buffer.len();
        let open = self.open.take()?;
        Some(self.hand_on(open, false))
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> DthCounts {
        self.counts
    }

    /// Bytes from the start of the stream to what has not been used yet.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// Bytes that it holds: bounded, whatever comes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.len() + self.payload.len()
    }

    fn hand_on(&mut self, open: Open, complete: bool) -> Orbit<'_> {
        self.counts.orbits += 1;
        self.counts.incomplete_orbits += u64::from(!complete);
        self.counts.error_orbits += u64::from(open.error);
        self.handed_on = true;
        let Open { header, error, offset } = open;
        Orbit { header, payload: &self.payload, complete, error, offset }
    }

    fn read_block(&mut self) -> Progress {
        let rest = &self.buffer[self.used..];
        let Some(head) = rest.first_chunk::<UNIT_BYTES>() else { return Progress::NeedMore };
        let head = BlockHead::from_bytes(head).filter(|head| head.is_sound());
        let Some(head) = head.filter(|head| head.start || !self.lost) else {
            return self.pass_over();
        };
        if let (Some(open), true) = (self.open, head.start) {
            // The block stays where it is: it begins the next orbit.
            self.open = None;
            return Progress::Orbit { open, complete: false };
        }
        let n_bytes = usize::from(head.n_units) * UNIT_BYTES;
        let Some(body) = rest.get(UNIT_BYTES..UNIT_BYTES + n_bytes) else {
            return Progress::NeedMore;
        };
        if head.start {
            let offset = self.position();
            self.open = Some(Open { header: head.orbit, error: false, offset });
        }
        let fits = self.payload.len() + n_bytes <= ORBIT_BYTES_MAX;
        let open = match &mut self.open {
            Some(open) if fits => {
                self.payload.extend_from_slice(body);
                open.error |= head.error;
                open.header = open.header.or(head.orbit);
                Some(*open)
            }
            _ => {
                self.counts.stray_blocks += 1;
                self.open = None;
                self.payload.clear();
                None
            }
        };
        self.lost = false;
        self.used += UNIT_BYTES + n_bytes;
        self.counts.blocks += 1;
        match open {
            Some(open) if head.end => {
                self.open = None;
                Progress::Orbit { open, complete: true }
            }
            _ => Progress::Continue,
        }
    }

    /// No block begins here: goes on to where one might.
    fn pass_over(&mut self) -> Progress {
        self.lost = true;
        self.used += UNIT_BYTES;
        self.counts.lost_bytes += UNIT_BYTES as u64;
        match self.open.take() {
            Some(open) => Progress::Orbit { open, complete: false },
            None => Progress::Continue,
        }
    }
}

#[cfg(test)]
#[path = "dth_tests.rs"]
mod tests;
