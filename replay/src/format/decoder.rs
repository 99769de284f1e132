//! From bytes to sections, without I/O.
//!
//! The decoder owns a buffer. Its owner writes bytes into [`StreamDecoder::space`], says how many
//! with [`StreamDecoder::commit`], and calls [`StreamDecoder::step`] until it asks for more.
//! Files, pipes and sockets are thin shells around that.
//!
//! Lengths are believed only once their checksum has been verified, and never beyond the limits
//! of the format; the buffer grows with the bytes that arrive, not with what a length promises.

use xxhash_rust::xxh3::xxh3_64;

use super::block::{BlockMeta, ENTRY_BYTES, GroupEntry, META_BYTES};
use super::{
    BLOCK_BODY_BYTES_MAX, BLOCK_CROSSINGS_MAX, CHECKSUM_BYTES, FORMAT_VERSION, FormatError,
    HEADER_BYTES_MAX, INDEX_BYTES_MAX, MAGIC, PREAMBLE_BYTES, SECTION_HEAD_BYTES, SectionKind,
    StreamHeader, StreamIndex,
};
use crate::event::{Collection, Group};

/// Bytes that the buffer begins with.
const FIRST_BUFFER_BYTES: usize = 1 << 16;
/// Most bytes that one [`Step::NeedMore`] asks for.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What a call of [`StreamDecoder::step`] came to.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// At least so many more bytes are needed.
    NeedMore(usize),
    /// The header.
    Header(Box<StreamHeader>),
    /// A block, to be had from [`StreamDecoder::block`] until the next step.
    Block,
    /// The index.
    Index(StreamIndex),
    /// The end of the stream.
    End,
}

/// What a stream that stops here leaves unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing: it stops between two sections.
    Nothing,
    /// A block whose meta part has arrived.
    Block {
        /// Crossings that it would have had.
        n_crossings: u32,
    },
    /// A section of which too little has arrived to tell.
    Bytes {
        /// How much has arrived.
        n: usize,
    },
}

/// A block as it stands in the stream.
#[derive(Clone, Copy, Debug)]
pub struct EncodedBlock<'a> {
    /// Counts.
    pub meta: BlockMeta,
    /// Where its section begins, in bytes from the start of the stream.
    pub offset: u64,
    meta_bytes: &'a [u8],
    body: &'a [u8],
    body_offset: u64,
}

impl<'a> EncodedBlock<'a> {
    /// The block that is the whole of `section`, which stands at `offset` of its stream. Verifies
    /// what the section's own checksum covers; frames are verified when they are decoded.
    ///
    /// # Errors
    /// Bytes that are not one whole block.
    pub fn parse(section: &'a [u8], offset: u64) -> Result<EncodedBlock<'a>, FormatError> {
        let corrupt = |problem: String| Err(FormatError::corrupt("block", offset, problem));
        if section.len() < SECTION_HEAD_BYTES {
            return corrupt(format!("expected a section, found {} bytes", section.len()));
        }
        let head = SectionHead::read(section, offset)?;
        if head.kind != SectionKind::Block || head.len() != section.len() {
            let (tag, len) = (head.kind.tag(), head.len());
            let found = tag.escape_ascii();
            return corrupt(format!(
                "expected BLCK of {} bytes, found {found} of {len}",
                section.len()
            ));
        }
        head.verify(section, offset)?;
        Ok(EncodedBlock::of(section, offset))
    }

    /// The same of a section that has been verified.
    fn of(section: &'a [u8], offset: u64) -> EncodedBlock<'a> {
        let meta_len = read_u32(section, 4) as usize;
        let body_begin = SECTION_HEAD_BYTES + meta_len + CHECKSUM_BYTES;
        EncodedBlock {
            meta: block_meta(section),
            offset,
            meta_bytes: &section[SECTION_HEAD_BYTES..SECTION_HEAD_BYTES + meta_len],
            body: &section[body_begin..],
            body_offset: offset + body_begin as u64,
        }
    }

    /// Directory entries with their frames and where those begin in the stream.
    pub fn groups(&self) -> impl Iterator<Item = (GroupEntry, &'a [u8], u64)> {
        let (body, body_offset) = (self.body, self.body_offset);
        let mut at = 0;
        directory(self.meta_bytes).map(move |entry| {
            let begin = at;
            at += entry.bytes as usize;
            (entry, &body[begin..at], body_offset + begin as u64)
        })
    }

    /// Counts and directory as bytes: what the digest of a stream is made of.
    #[must_use]
    pub fn meta_bytes(&self) -> &'a [u8] {
        self.meta_bytes
    }

    /// Bytes of its compressed frames.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.body.len()
    }
}

fn directory(meta_bytes: &[u8]) -> impl Iterator<Item = GroupEntry> {
    meta_bytes[META_BYTES..].chunks_exact(ENTRY_BYTES).map(bytemuck::pod_read_unaligned)
}

#[derive(Clone, Copy, Debug)]
struct SectionHead {
    kind: SectionKind,
    meta_len: usize,
    body_len: usize,
}

impl SectionHead {
    /// Bytes from the start of the section to the start of its body.
    fn body_begin(&self) -> usize {
        SECTION_HEAD_BYTES + self.meta_len + CHECKSUM_BYTES
    }

    fn len(&self) -> usize {
        self.body_begin() + self.body_len
    }
}

impl SectionHead {
    /// Bytes that every section begins with, believed within the limits of the format.
    fn read(bytes: &[u8], offset: u64) -> Result<SectionHead, FormatError> {
        let corrupt = |problem: String| FormatError::corrupt("section", offset, problem);
        let tag = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let Some(kind) = SectionKind::from_tag(tag) else {
            let found = tag.escape_ascii();
            return Err(corrupt(format!("expected HEAD, BLCK, INDX or END!, found {found}")));
        };
        let (meta_len, body_len) = (read_u32(bytes, 4) as usize, read_u64(bytes, 8));
        let (meta_max, body_max) = match kind {
            SectionKind::Header => (HEADER_BYTES_MAX, 0),
            SectionKind::Index => (INDEX_BYTES_MAX, 0),
            SectionKind::End => (8, 0),
            SectionKind::Block => {
                (META_BYTES + Group::ALL.len() * ENTRY_BYTES, BLOCK_BODY_BYTES_MAX)
            }
        };
        if meta_len > meta_max || body_len > body_max {
            return Err(corrupt(format!(
                "expected at most {meta_max} + {body_max} bytes, found {meta_len} + {body_len}"
            )));
        }
        Ok(SectionHead { kind, meta_len, body_len: body_len as usize })
    }

    /// Checks what its checksum covers. `bytes` begin with the section, at `offset` of the stream.
    fn verify(&self, bytes: &[u8], offset: u64) -> Result<(), FormatError> {
        let what = match self.kind {
            SectionKind::Header => "header",
            SectionKind::Block => "block",
            SectionKind::Index => "index",
            SectionKind::End => "end",
        };
        let covered = SECTION_HEAD_BYTES + self.meta_len;
        let expected = read_u64(bytes, covered);
        let found = xxh3_64(&bytes[..covered]);
        if expected != found {
            let problem = format!("expected xxh3 {expected:016x}, found {found:016x}");
            return Err(FormatError::corrupt(what, offset, problem));
        }
        match self.kind {
            SectionKind::Block => self.check_block_meta(bytes, offset),
            SectionKind::End if self.meta_len != 8 => {
                Err(FormatError::corrupt(what, offset, "it has no index offset"))
            }
            _ => Ok(()),
        }
    }

    fn check_block_meta(&self, bytes: &[u8], offset: u64) -> Result<(), FormatError> {
        let corrupt = |problem: &str| FormatError::corrupt("block", offset, problem);
        if self.meta_len < META_BYTES {
            return Err(corrupt("its counts are cut short"));
        }
        let meta = block_meta(bytes);
        if self.meta_len != META_BYTES + meta.n_groups as usize * ENTRY_BYTES {
            return Err(corrupt("its directory does not have the length it says"));
        }
        let n = meta.n_crossings as usize;
        if n == 0 || n > BLOCK_CROSSINGS_MAX {
            return Err(corrupt("its number of crossings is not within 1..=1048576"));
        }
        for collection in Collection::OBJECTS {
            if meta.entries_of(collection) > n * collection.capacity() {
                return Err(corrupt("it has more objects than its crossings can hold"));
            }
        }
        let meta_bytes = &bytes[SECTION_HEAD_BYTES..SECTION_HEAD_BYTES + self.meta_len];
        let frames: u64 = directory(meta_bytes).map(|entry| u64::from(entry.bytes)).sum();
        if frames != self.body_len as u64 {
            return Err(corrupt("its frames do not add up to its length"));
        }
        Ok(())
    }
}

/// Counts of the block whose section begins with `bytes`.
fn block_meta(bytes: &[u8]) -> BlockMeta {
    bytemuck::pod_read_unaligned(&bytes[SECTION_HEAD_BYTES..SECTION_HEAD_BYTES + META_BYTES])
}

/// Turns the bytes of a stream into sections.
#[derive(Debug)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    /// Offset in the stream of `buffer[begin]`.
    offset: u64,
    /// Bytes at `begin` that belong to the section returned last.
    held: usize,
    preamble_seen: bool,
    header_seen: bool,
    /// The section at `begin` when its meta part has been verified.
    verified: Option<SectionHead>,
}

impl Default for StreamDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> StreamDecoder {
        StreamDecoder {
            buffer: vec![0; FIRST_BUFFER_BYTES],
            begin: 0,
            end: 0,
            offset: 0,
            held: 0,
            preamble_seen: false,
            header_seen: false,
            verified: None,
        }
    }

    /// A decoder for the sections from `offset` of a stream on, its header being known.
    #[must_use]
    pub fn at_section(offset: u64) -> StreamDecoder {
        let mut decoder = StreamDecoder::new();
        (decoder.preamble_seen, decoder.header_seen) = (true, true);
        decoder.jump(offset);
        decoder
    }

    /// Forgets what it holds and goes on at a section that begins at `offset` of the stream.
    pub fn jump(&mut self, offset: u64) {
        (self.begin, self.end, self.held) = (0, 0, 0);
        self.offset = offset;
        self.verified = None;
    }

    /// Offset in the stream of the next section.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.offset + self.held as u64
    }

    /// Offset in the stream up to which bytes have arrived.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.offset + (self.end - self.begin) as u64
    }

    /// Room for at least `n` more bytes.
    pub fn space(&mut self, n: usize) -> &mut [u8] {
        self.release();
        if self.begin == self.end {
            // From the start again: those lines of memory are still near the processor.
            (self.begin, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < n {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            if self.buffer.len() - self.end < n {
                self.buffer.resize((self.end + n).next_power_of_two(), 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `n` bytes have been written into the space.
    ///
    /// # Panics
    /// If there was no room for so many.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.buffer.len() - self.end, "more bytes than there was space for");
        self.end += n;
    }

    fn release(&mut self) {
        self.begin += self.held;
        self.offset += self.held as u64;
        self.held = 0;
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.begin..self.end]
    }

    /// Goes on by one section, or says how many more bytes that takes.
    ///
    /// # Errors
    /// Bytes that are no stream, or a section whose checksum does not match.
    ///
    /// # Panics
    /// Never: a section is finished only once it has been verified.
    pub fn step(&mut self) -> Result<Step, FormatError> {
        self.release();
        if !self.preamble_seen {
            if let Some(missing) = self.missing(PREAMBLE_BYTES) {
                self.check_magic()?;
                return Ok(missing);
            }
            self.check_preamble()?;
        }
        if self.verified.is_none() {
            if let Some(missing) = self.missing(SECTION_HEAD_BYTES) {
                return Ok(missing);
            }
            let head = SectionHead::read(self.bytes(), self.offset)?;
            self.check_place(&head)?;
            if let Some(missing) = self.missing(head.body_begin()) {
                return Ok(missing);
            }
            head.verify(self.bytes(), self.offset)?;
            self.verified = Some(head);
        }
        let head = self.verified.expect("set above");
        if let Some(missing) = self.missing(head.len()) {
            return Ok(missing);
        }
        self.verified = None;
        self.held = head.len();
        self.finish_section(&head)
    }

    /// What a stream that stops here leaves unfinished.
    #[must_use]
    pub fn pending(&self) -> Pending {
        let n = self.end - self.begin - self.held;
        match self.verified {
            Some(head) if head.kind == SectionKind::Block => {
                Pending::Block { n_crossings: block_meta(self.bytes()).n_crossings }
            }
            _ if n == 0 => Pending::Nothing,
            _ => Pending::Bytes { n },
        }
    }

    /// Counts of a block whose meta part has been verified but whose body has not arrived whole,
    /// and where the section after it begins in the stream.
    #[must_use]
    pub fn block_ahead(&self) -> Option<(BlockMeta, u64)> {
        let head = self.verified.filter(|head| head.kind == SectionKind::Block)?;
        Some((block_meta(self.bytes()), self.offset + head.len() as u64))
    }

    /// The block that the last step came to.
    ///
    /// # Panics
    /// If the last step did not come to a block.
    #[must_use]
    pub fn block(&self) -> EncodedBlock<'_> {
        self.held_block().expect("the last step was not a block")
    }

    /// The block that the last step came to, if it was one.
    #[must_use]
    pub fn held_block(&self) -> Option<EncodedBlock<'_>> {
        let section = self.held_section();
        section
            .starts_with(&SectionKind::Block.tag())
            .then(|| EncodedBlock::of(section, self.offset))
    }

    /// The section that the last step came to, as it stands in the stream.
    #[must_use]
    pub fn held_section(&self) -> &[u8] {
        &self.bytes()[..self.held]
    }

    fn missing(&self, needed: usize) -> Option<Step> {
        let have = self.bytes().len();
        (have < needed).then(|| Step::NeedMore((needed - have).min(REQUEST_BYTES_MAX)))
    }

    fn check_magic(&self) -> Result<(), FormatError> {
        let found = &self.bytes()[..self.bytes().len().min(MAGIC.len())];
        if found == &MAGIC[..found.len()] {
            return Ok(());
        }
        let hex: Vec<String> = found.iter().take(4).map(|b| format!("{b:02x}")).collect();
        Err(FormatError::NotAStream { found: hex.join(" ") })
    }

    fn check_preamble(&mut self) -> Result<(), FormatError> {
        self.check_magic()?;
        let version = read_u32(self.bytes(), 8);
        if version > FORMAT_VERSION {
            return Err(FormatError::NewerVersion { found: version });
        }
        if version == 0 || read_u32(self.bytes(), 12) != 0 {
            let problem = format!("format version {version} does not exist");
            return Err(FormatError::corrupt("preamble", 0, problem));
        }
        self.preamble_seen = true;
        self.held = PREAMBLE_BYTES;
        self.release();
        Ok(())
    }

    /// The header comes first, and once.
    fn check_place(&self, head: &SectionHead) -> Result<(), FormatError> {
        if (head.kind == SectionKind::Header) != self.header_seen {
            return Ok(());
        }
        let found = head.kind.tag();
        let problem = format!("expected HEAD once and first, found {}", found.escape_ascii());
        Err(FormatError::corrupt("section", self.offset, problem))
    }

    fn finish_section(&mut self, head: &SectionHead) -> Result<Step, FormatError> {
        let meta = &self.bytes()[SECTION_HEAD_BYTES..SECTION_HEAD_BYTES + head.meta_len];
        match head.kind {
            SectionKind::Header => {
                let header = StreamHeader::from_archive(meta, self.offset)?;
                self.header_seen = true;
                Ok(Step::Header(Box::new(header)))
            }
            SectionKind::Block => Ok(Step::Block),
            SectionKind::Index => Ok(Step::Index(StreamIndex::from_archive(meta, self.offset)?)),
            SectionKind::End => Ok(Step::End),
        }
    }
}

pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytemuck::pod_read_unaligned(&bytes[at..at + 4])
}

pub(super) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytemuck::pod_read_unaligned(&bytes[at..at + 8])
}

/// Offset of the index, from the last [`super::END_BYTES`] bytes of a file, which begin at `at`.
///
/// # Errors
/// Bytes that are no END! section.
pub(crate) fn index_offset(end: &[u8; super::END_BYTES], at: u64) -> Result<u64, FormatError> {
    let covered = SECTION_HEAD_BYTES + 8;
    if end[..4] != SectionKind::End.tag() || xxh3_64(&end[..covered]) != read_u64(end, covered) {
        return Err(FormatError::corrupt("end", at, "the file does not end with its index"));
    }
    Ok(read_u64(end, SECTION_HEAD_BYTES))
}
