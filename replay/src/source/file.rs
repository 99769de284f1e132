//! A `.s40` file as a source.
//!
//! Bytes are read straight into the decoder's buffer. With the index a run can begin at any
//! orbit, and a block whose head is damaged costs that block only; without it the file is read
//! up to the last whole block.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Delivery, Source, SourceError, SourceFacts};
use crate::event::{Block, ColumnSet};
use crate::format::decoder::index_offset;
use crate::format::{
    BlockDecoder, BlockMeta, END_BYTES, EncodedBlock, FormatError, Pending, Step, StreamDecoder,
    StreamHeader, StreamIndex,
};

/// Bytes that one read asks for if less is needed. Enough for the head of a block; what follows is
/// then read up to its end and no further, so that the buffer stays small and is never moved.
const READ_AHEAD_BYTES: usize = 1 << 14;

/// What is known of a file once it is open.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Its header.
    pub header: StreamHeader,
    /// The columns of its blocks.
    pub columns: ColumnSet,
    /// Its index, if it has one.
    pub index: Option<StreamIndex>,
    /// Where the index stands, if there is one.
    pub index_offset: Option<u64>,
    /// Why there is no index.
    pub index_problem: Option<FormatError>,
    /// Its length.
    pub bytes: u64,
}

/// A stream file, open for reading.
pub struct FileSource {
    path: PathBuf,
    file: File,
    decoder: StreamDecoder,
    blocks: BlockDecoder,
    info: StreamInfo,
    first_block_offset: u64,
    /// Number of the next block.
    next: usize,
    ended: bool,
}

impl FileSource {
    /// Opens a stream: reads its header and, from its end, its index.
    ///
    /// # Errors
    /// A file that cannot be read, is no stream, is newer than this version, or whose header is
    /// damaged. A missing index is no error: see [`StreamInfo::index_problem`].
    pub fn open(path: &Path) -> Result<FileSource, SourceError> {
        let io = |source| SourceError::Io { path: path.into(), source };
        let format = |source| SourceError::Format { path: path.into(), source };
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let mut decoder = StreamDecoder::new();
        let header = read_header(&mut file, &mut decoder, bytes, path)?;
        let columns = header.column_set().map_err(format)?;
        let first_block_offset = decoder.next_offset();
        let (index, index_problem, index_offset) = match read_index(&mut file, bytes, path)? {
            Ok((index, offset)) => (Some(index), None, Some(offset)),
            Err(problem) => (None, Some(problem), None),
        };
        let mut source = FileSource {
            path: path.into(),
            file,
            decoder,
            blocks: BlockDecoder::new().map_err(io)?,
            info: StreamInfo {
                header: *header,
                columns,
                index,
                index_offset,
                index_problem,
                bytes,
            },
            first_block_offset,
            next: 0,
            ended: false,
        };
        source.rewind()?;
        Ok(source)
    }

    /// What is known of the file.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The block that the last delivery was made of, as it stands in the file; none if that was no
    /// block or its head is damaged.
    #[must_use]
    pub fn encoded_block(&self) -> Option<EncodedBlock<'_>> {
        self.decoder.held_block()
    }

    /// Goes to the block that holds `orbit`, or the first one after it. Needs the index.
    ///
    /// # Errors
    /// The operating system's refusal, or a file without an index.
    ///
    /// # Panics
    /// Never: a file without an index has the reason.
    pub fn seek_orbit(&mut self, orbit: u32) -> Result<(), SourceError> {
        let Some(index) = &self.info.index else {
            let problem = self.info.index_problem.clone().expect("no index without a reason");
            return Err(SourceError::Format { path: self.path.clone(), source: problem });
        };
        let number = index.block_at_orbit(orbit);
        self.seek_block(number)
    }

    /// Goes to block `number` of the index, or to the end if there are not so many.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn seek_block(&mut self, number: usize) -> Result<(), SourceError> {
        let entry = self.info.index.as_ref().and_then(|index| index.blocks.get(number));
        self.ended = entry.is_none() && number > 0;
        let offset = entry.map_or(self.first_block_offset, |entry| entry.offset);
        self.next = number;
        self.jump(offset)
    }

    /// Goes to a section.
    fn jump(&mut self, offset: u64) -> Result<(), SourceError> {
        self.decoder.jump(offset);
        let seek = self.file.seek(SeekFrom::Start(offset));
        seek.map_err(|source| SourceError::Io { path: self.path.clone(), source })?;
        Ok(())
    }

    /// Reads until the decoder has come to a section; `None` where the file ends.
    fn step(&mut self) -> Result<Option<Result<Step, FormatError>>, SourceError> {
        loop {
            match self.decoder.step() {
                Ok(Step::NeedMore(n)) => {
                    if read_some(&mut self.file, &mut self.decoder, n, &self.path)? == 0 {
                        return Ok(None);
                    }
                }
                other => return Ok(Some(other)),
            }
        }
    }

    /// What a damaged section head costs.
    fn skip_damage(&mut self, problem: FormatError) -> Result<Delivery, SourceError> {
        let at = self.decoder.next_offset();
        let Some(index) = &self.info.index else {
            self.ended = true;
            // A damaged index is known since the file was opened, and comes after all blocks.
            let is_index = matches!(problem, FormatError::Corrupt { what: "index" | "end", .. });
            return Ok(if is_index { Delivery::End } else { Delivery::Lost { problem } });
        };
        match index.blocks.get(self.next) {
            Some(entry) if entry.offset == at => {
                let n_crossings = entry.n_crossings;
                self.seek_block(self.next + 1)?;
                Ok(Delivery::Corrupt { n_crossings, problem })
            }
            _ => {
                self.ended = true;
                Ok(Delivery::End)
            }
        }
    }
}

impl Source for FileSource {
    fn header(&self) -> &StreamHeader {
        &self.info.header
    }

    fn columns(&self) -> ColumnSet {
        self.info.columns
    }

    fn facts(&self) -> SourceFacts {
        let index = self.info.index.as_ref();
        let blocks = index.map_or(&[][..], |index| &index.blocks);
        SourceFacts {
            digest: index.map(|index| index.digest),
            n_crossings: index.map(|index| index.n_crossings),
            runs: blocks.first().zip(blocks.last()).map(|(first, last)| (first.run, last.run)),
            can_rewind: true,
            ..SourceFacts::default()
        }
    }

    fn next_block(
        &mut self,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        // The index has been read: reading it again would allocate, at the end of every repeat.
        self.ended |= self.info.index_offset == Some(self.decoder.next_offset());
        if self.ended {
            return Ok(Delivery::End);
        }
        match self.step()? {
            Some(Ok(Step::Block)) => {
                self.next += 1;
                let encoded = self.decoder.block();
                let decoded = self.blocks.decode(&encoded, self.info.columns, wanted, block);
                Ok(match decoded {
                    Ok(()) => Delivery::Block,
                    Err(problem) => {
                        Delivery::Corrupt { n_crossings: encoded.meta.n_crossings, problem }
                    }
                })
            }
            Some(Ok(_)) => {
                self.ended = true;
                Ok(Delivery::End)
            }
            Some(Err(problem)) => self.skip_damage(problem),
            None if self.info.index.is_some() => {
                let problem = "it runs past the end of the file";
                let at = self.decoder.next_offset();
                self.skip_damage(FormatError::corrupt("block", at, problem))
            }
            None => {
                self.ended = true;
                let offset = self.decoder.arrived();
                Ok(match self.decoder.pending() {
                    Pending::Nothing => Delivery::End,
                    Pending::Block { n_crossings } => Delivery::Truncated { n_crossings, offset },
                    Pending::Bytes { .. } => Delivery::Truncated { n_crossings: 0, offset },
                })
            }
        }
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.seek_block(0)
    }

    /// By its head, which is read and verified; what the block holds is not, so that damage in it
    /// stays unknown. Nothing is passed over if anything but a whole block with a sound head comes
    /// next.
    fn skip_block(&mut self) -> Result<Option<BlockMeta>, SourceError> {
        let begin = self.decoder.next_offset();
        if self.ended || self.info.index_offset == Some(begin) {
            return Ok(None);
        }
        let ahead = loop {
            match self.decoder.step() {
                Ok(Step::NeedMore(n)) => {
                    let ahead = self.decoder.block_ahead();
                    if ahead.is_some()
                        || read_some(&mut self.file, &mut self.decoder, n, &self.path)? == 0
                    {
                        break ahead;
                    }
                }
                Ok(Step::Block) => {
                    break Some((self.decoder.block().meta, self.decoder.next_offset()));
                }
                _ => break None,
            }
        };
        // A block that runs past the end of the file is not a whole one.
        let Some((meta, end)) = ahead.filter(|&(_, end)| end <= self.info.bytes) else {
            self.jump(begin)?;
            return Ok(None);
        };
        self.next += 1;
        self.jump(end)?;
        Ok(Some(meta))
    }
}

fn read_some(
    file: &mut File,
    decoder: &mut StreamDecoder,
    n: usize,
    path: &Path,
) -> Result<usize, SourceError> {
    let space = decoder.space(n);
    let most = space.len().min(n.max(READ_AHEAD_BYTES));
    loop {
        match file.read(&mut space[..most]) {
            Ok(n) => {
                decoder.commit(n);
                return Ok(n);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(SourceError::Io { path: path.into(), source }),
        }
    }
}

fn read_header(
    file: &mut File,
    decoder: &mut StreamDecoder,
    bytes: u64,
    path: &Path,
) -> Result<Box<StreamHeader>, SourceError> {
    let format = |source| SourceError::Format { path: path.into(), source };
    loop {
        match decoder.step().map_err(format)? {
            Step::Header(header) => return Ok(header),
            Step::NeedMore(n) => {
                if read_some(file, decoder, n, path)? == 0 {
                    let problem = match bytes {
                        0 => "expected a stream, found an empty file".into(),
                        _ => format!("the file ends in it, after {bytes} bytes"),
                    };
                    return Err(format(FormatError::corrupt("header", 0, problem)));
                }
            }
            _ => unreachable!("the decoder demands the header first"),
        }
    }
}

/// The index and where it stands, or why there is none.
fn read_index(
    file: &mut File,
    bytes: u64,
    path: &Path,
) -> Result<Result<(StreamIndex, u64), FormatError>, SourceError> {
    let io = |source| SourceError::Io { path: path.into(), source };
    let missing = |problem: &str| Ok(Err(FormatError::corrupt("index", bytes, problem)));
    let Some(end_at) = bytes.checked_sub(END_BYTES as u64) else {
        return missing("the file is too short to have one");
    };
    let mut end = [0; END_BYTES];
    file.seek(SeekFrom::Start(end_at)).map_err(io)?;
    file.read_exact(&mut end).map_err(io)?;
    let index_at = match index_offset(&end, end_at) {
        Ok(offset) if offset < end_at => offset,
        Ok(_) => return missing("it would begin after the end of the file"),
        Err(problem) => return Ok(Err(problem)),
    };
    file.seek(SeekFrom::Start(index_at)).map_err(io)?;
    let mut decoder = StreamDecoder::at_section(index_at);
    loop {
        match decoder.step() {
            Ok(Step::Index(index)) => return Ok(Ok((index, index_at))),
            Ok(Step::NeedMore(n)) => {
                if read_some(file, &mut decoder, n, path)? == 0 {
                    return missing("the file ends in it");
                }
            }
            Ok(_) => return missing("another section stands in its place"),
            Err(problem) => return Ok(Err(problem)),
        }
    }
}
