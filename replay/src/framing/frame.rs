//! Frames: a head of 32 bytes, then perhaps a block.
//!
//! ```text
//! head   "S40F" | kind u16 | 0 u16 | payload length u32 | crossings u32 | number u64 | orbits u32
//!        | low half of the xxh3 of all that u32
//! ```
//!
//! The decoder does no I/O and never reads ahead: it says where the next bytes have to go, first into
//! the head, then straight into the block. Room for a payload grows with the bytes that arrive, not
//! with what the head promises.

use xxhash_rust::xxh3::xxh3_64;

use super::{FramingError, PAYLOAD_BYTES_MAX, read_u16, read_u32, read_u64};
use crate::format::BLOCK_CROSSINGS_MAX;

/// Bytes of a frame before its payload.
pub const FRAME_HEAD_BYTES: usize = 32;

const TAG: [u8; 4] = *b"S40F";
/// Most bytes by which room for a payload is ahead of what has arrived.
const STEP_BYTES: usize = 1 << 18;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A block; `orbits` is what has to be added to its orbits.
    Block,
    /// A block that is damaged where the sender has it from.
    Damaged,
    /// A block that the sender dropped because it was late; `orbits` is how many those were.
    Dropped,
    /// Nothing yet: the connection is alive. The number is that of the frame that comes next.
    Alive,
    /// Nothing more. The number is that of the first frame that does not exist.
    End,
}

impl FrameKind {
    const ALL: [FrameKind; 5] = [
        FrameKind::Block,
        FrameKind::Damaged,
        FrameKind::Dropped,
        FrameKind::Alive,
        FrameKind::End,
    ];
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// What it is.
    pub kind: FrameKind,
    /// Bytes after the head: none but for a block.
    pub payload_len: u32,
    /// Crossings of the block.
    pub n_crossings: u32,
    /// Number of the frame, counted from the start of the stream over all connections.
    pub number: u64,
    /// See [`FrameKind`].
    pub orbits: u32,
}

impl FrameHead {
    /// A frame without payload.
    #[must_use]
    pub fn empty(kind: FrameKind, number: u64) -> FrameHead {
        FrameHead { kind, payload_len: 0, n_crossings: 0, number, orbits: 0 }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; FRAME_HEAD_BYTES] {
        let kind = FrameKind::ALL.iter().position(|&kind| kind == self.kind).unwrap_or_default();
        let mut bytes = [0; FRAME_HEAD_BYTES];
        bytes[..4].copy_from_slice(&TAG);
        bytes[4..6].copy_from_slice(&(kind as u16).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.n_crossings.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.orbits.to_le_bytes());
        let checksum = xxh3_64(&bytes[..28]) as u32;
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// A checksum that does not match, a kind that does not exist, lengths beyond the limits.
    pub fn read(bytes: &[u8; FRAME_HEAD_BYTES]) -> Result<FrameHead, FramingError> {
        let corrupt = |problem: String| Err(FramingError::corrupt("head of a frame", problem));
        let (expected, found) = (read_u32(bytes, 28), xxh3_64(&bytes[..28]) as u32);
        if bytes[..4] != TAG || expected != found {
            let tag = bytes[..4].escape_ascii();
            return corrupt(format!(
                "expected S40F and xxh3 {found:08x}, found {tag} and {expected:08x}"
            ));
        }
        let kind = usize::from(read_u16(bytes, 4));
        let Some(&kind) = FrameKind::ALL.get(kind) else {
            return corrupt(format!("kind {kind} does not exist"));
        };
        let head = FrameHead {
            kind,
            payload_len: read_u32(bytes, 8),
            n_crossings: read_u32(bytes, 12),
            number: read_u64(bytes, 16),
            orbits: read_u32(bytes, 24),
        };
        let payload_max = if kind == FrameKind::Block { PAYLOAD_BYTES_MAX } else { 0 };
        if head.payload_len as usize > payload_max {
            let len = head.payload_len;
            return corrupt(format!("expected at most {payload_max} bytes, found {len}"));
        }
        if head.n_crossings as usize > BLOCK_CROSSINGS_MAX {
            let n = head.n_crossings;
            return corrupt(format!("expected at most {BLOCK_CROSSINGS_MAX} crossings, found {n}"));
        }
        Ok(head)
    }
}

/// What the bytes so far came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameStep {
    /// More bytes are needed.
    More,
    /// The head is there, and a payload is to come: the moment to find room for it.
    Head(FrameHead),
    /// The frame is whole; its payload is with [`FrameDecoder::take_payload`].
    Frame(FrameHead),
}

/// Turns bytes into frames.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    head: [u8; FRAME_HEAD_BYTES],
    head_len: usize,
    /// The head, once it has been verified.
    verified: Option<FrameHead>,
    /// Never shorter than it was, so that room that is used again is not zeroed again.
    payload: Vec<u8>,
    payload_len: usize,
}

impl FrameDecoder {
    /// Where the next bytes go. Never empty.
    pub fn space(&mut self) -> &mut [u8] {
        let Some(head) = self.verified else { return &mut self.head[self.head_len..] };
        let end = (head.payload_len as usize).min(self.payload_len + STEP_BYTES);
        if self.payload.len() < end {
            self.payload.resize(end, 0);
        }
        &mut self.payload[self.payload_len..end]
    }

    /// Says that `n` bytes have been written into the space.
    ///
    /// # Errors
    /// A head that is none: where the next frame begins is then unknown.
    ///
    /// # Panics
    /// If there was no room for so many.
    pub fn commit(&mut self, n: usize) -> Result<FrameStep, FramingError> {
        assert!(n <= self.space().len(), "more bytes than there was space for");
        let head = match self.verified {
            Some(head) => {
                self.payload_len += n;
                head
            }
            None => {
                self.head_len += n;
                if self.head_len < FRAME_HEAD_BYTES {
                    return Ok(FrameStep::More);
                }
                let head = FrameHead::read(&self.head)?;
                self.verified = Some(head);
                if head.payload_len > 0 {
                    return Ok(FrameStep::Head(head));
                }
                head
            }
        };
        if self.payload_len < head.payload_len as usize {
            return Ok(FrameStep::More);
        }
        (self.verified, self.head_len) = (None, 0);
        Ok(FrameStep::Frame(head))
    }

    /// The payload of the frame that has just become whole; `spare` is used for the next one.
    pub fn take_payload(&mut self, spare: Vec<u8>) -> Vec<u8> {
        let mut payload = std::mem::replace(&mut self.payload, spare);
        payload.truncate(self.payload_len);
        self.payload_len = 0;
        payload
    }

    /// The head of the frame that has begun, if it has been verified.
    #[must_use]
    pub fn begun(&self) -> Option<FrameHead> {
        self.verified
    }

    /// Whether a frame has begun.
    #[must_use]
    pub fn is_within_frame(&self) -> bool {
        self.verified.is_some() || self.head_len > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(number: u64, payload: &[u8]) -> Vec<u8> {
        let head = FrameHead {
            payload_len: payload.len() as u32,
            n_crossings: 7,
            orbits: 3,
            ..FrameHead::empty(FrameKind::Block, number)
        };
        [&head.to_bytes()[..], payload].concat()
    }

    /// What a decoder that gets `bytes` in pieces of at most `most` bytes makes of them.
    fn decode(bytes: &[u8], most: usize) -> (Vec<(FrameHead, Vec<u8>)>, Option<FramingError>) {
        let (mut decoder, mut frames, mut rest) = (FrameDecoder::default(), Vec::new(), bytes);
        while !rest.is_empty() {
            let space = decoder.space();
            let n = space.len().min(most).min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            match decoder.commit(n) {
                Ok(FrameStep::Frame(head)) => frames.push((head, decoder.take_payload(Vec::new()))),
                Ok(_) => {}
                Err(problem) => return (frames, Some(problem)),
            }
        }
        (frames, None)
    }

    fn sample() -> Vec<u8> {
        let payload: Vec<u8> = (0..=255).collect();
        let end = FrameHead::empty(FrameKind::End, 3).to_bytes();
        let alive = FrameHead::empty(FrameKind::Alive, 2).to_bytes();
        [block(0, &payload), alive.into(), block(1, &[]), block(2, &payload[..9]), end.into()]
            .concat()
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let bytes = sample();
        let (whole, problem) = decode(&bytes, usize::MAX);
        assert_eq!((whole.len(), &problem), (5, &None));
        assert_eq!(whole[0].1, (0..=255).collect::<Vec<u8>>());
        assert_eq!(whole[3].1, (0..9).collect::<Vec<u8>>());
        for most in 1..40 {
            assert_eq!(decode(&bytes, most), (whole.clone(), None), "pieces of {most}");
        }
        for cut in 0..bytes.len() {
            let (frames, problem) = decode(&bytes[..cut], usize::MAX);
            assert_eq!(problem, None);
            assert!(whole.starts_with(&frames), "cut at {cut}");
        }
    }

    #[test]
    fn room_grows_with_the_bytes_that_arrive() {
        let head = FrameHead {
            payload_len: PAYLOAD_BYTES_MAX as u32,
            ..FrameHead::empty(FrameKind::Block, 0)
        };
        let mut decoder = FrameDecoder::default();
        decoder.space().copy_from_slice(&head.to_bytes());
        assert_eq!(decoder.commit(FRAME_HEAD_BYTES), Ok(FrameStep::Head(head)));
        assert_eq!(decoder.space().len(), STEP_BYTES);
        assert!(decoder.payload.capacity() < 2 * STEP_BYTES);
        assert_eq!(decoder.begun(), Some(head));
    }

    #[test]
    fn lengths_beyond_the_limits_are_refused_whatever_their_checksum() {
        let good = FrameHead::empty(FrameKind::Block, 0);
        for bad in [
            FrameHead { payload_len: PAYLOAD_BYTES_MAX as u32 + 1, ..good },
            FrameHead { payload_len: 1, kind: FrameKind::End, ..good },
            FrameHead { n_crossings: BLOCK_CROSSINGS_MAX as u32 + 1, ..good },
        ] {
            assert!(FrameHead::read(&bad.to_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_head_is_noticed() {
        let good = FrameHead { n_crossings: 7, ..FrameHead::empty(FrameKind::Dropped, 9) };
        for bit in 0..FRAME_HEAD_BYTES * 8 {
            let mut bytes = good.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The reserved bytes are covered by the checksum as well.
            assert!(FrameHead::read(&bytes).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_changes_a_frame_that_comes_out_with_another_head(
            flips in proptest::collection::vec((0..400_usize, 0..8_u8), 0..4),
            cut in 0..500_usize,
            most in 1..300_usize,
        ) {
            let good = sample();
            let (whole, _) = decode(&good, usize::MAX);
            let mut bytes = good;
            let len = bytes.len();
            flips.iter().for_each(|&(at, bit)| bytes[at % len] ^= 1 << bit);
            bytes.truncate(cut.min(len));
            let (frames, problem) = decode(&bytes, most);
            // Heads are those that were sent, in order, up to the first damaged one; payloads have
            // checksums of their own, which are not the frame's business.
            for ((head, payload), (sent, sent_payload)) in frames.iter().zip(&whole) {
                prop_assert_eq!(head, sent);
                prop_assert_eq!(payload.len(), sent_payload.len());
            }
            prop_assert!(frames.len() <= whole.len());
            prop_assert!(problem.is_some() || frames.len() == whole.len() || cut < len);
        }
    }
}
