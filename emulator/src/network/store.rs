//! Blocks of the stream that is served, shared by all connections.
//!
//! Blocks are read when somebody wants them and kept, up to a limit, as long as others may want them
//! too: a stream that is repeated, or sent to several clients, is read once if it fits.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use scout40_replay::format::{END_BYTES, StreamHeader};
use scout40_replay::framing::{PAYLOAD_BYTES_MAX, ServerHello, StreamIdentity};
use scout40_replay::lhc::SLOTS_PER_ORBIT;
use scout40_replay::source::{Delivery, EncodedSource, FileSource, Section, SourceError};

/// Most bytes of blocks that are kept.
const CACHE_BYTES: usize = 1 << 29;

/// A block as it goes over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Its section as it stands in the file.
    Block(Bytes),
    /// It is damaged in the file.
    Damaged,
}

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// Crossings in it.
    pub n_crossings: u32,
    /// Orbits from its first to its last one.
    pub n_orbits: u32,
    /// Orbits of the stream up to its last one.
    pub end_orbit: u64,
}

/// The blocks of one stream.
pub struct Store {
    source: FileSource,
    blocks: Vec<BlockFacts>,
    identity: StreamIdentity,
    /// Orbits by which a pass is shifted against the one before it.
    pass_orbits: u64,
    first_orbit: u32,
    cache: Vec<Option<Stored>>,
    /// Numbers of the blocks that are kept, oldest first.
    kept: VecDeque<usize>,
    kept_bytes: usize,
}

impl Store {
    /// Of a file that has an index.
    ///
    /// # Errors
    /// A file without index or blocks, with blocks that no frame can hold, or of several runs if it
    /// is to be repeated.
    pub fn new(source: FileSource, repeats: bool) -> Result<Store> {
        let path = source.path().display().to_string();
        let info = source.info();
        let Some(index) = &info.index else {
            let problem = info.index_problem.as_ref().map(ToString::to_string).unwrap_or_default();
            bail!(
                "`{path}` has no index ({problem}), and frames are numbered by it\n\
                 hint: copy or convert it again"
            );
        };
        let (Some(first), Some(last)) = (index.blocks.first(), index.blocks.last()) else {
            bail!("`{path}` has no event to send");
        };
        ensure!(
            !repeats || first.run == last.run,
            "`{path}` holds the runs {}..={}: `--repeat` needs a stream of one run\n\
             hint: convert one run at a time",
            first.run,
            last.run
        );
        let ends = index.blocks.iter().skip(1).map(|block| block.offset);
        let ends = ends.chain(info.index_offset.or(Some(info.bytes - END_BYTES as u64)));
        for (block, end) in index.blocks.iter().zip(ends) {
            ensure!(
                end.saturating_sub(block.offset) <= PAYLOAD_BYTES_MAX as u64,
                "`{path}` has a block of {} bytes, expected at most {PAYLOAD_BYTES_MAX}\n\
                 hint: convert it again",
                end - block.offset
            );
        }
        let identity = StreamIdentity {
            digest: index.digest,
            n_crossings: index.n_crossings,
            n_blocks: index.blocks.len() as u64,
            first_run: first.run,
            last_run: last.run,
            repeats,
        };
        let first_orbit = first.first_orbit;
        let pass_orbits = u64::from(last.last_orbit.saturating_sub(first_orbit)) + 1;
        let mut before: Option<(u32, u32, u64)> = None;
        let mut blocks = Vec::with_capacity(index.blocks.len());
        for block in &index.blocks {
            let n_orbits = block.last_orbit.saturating_sub(block.first_orbit).saturating_add(1);
            let end_orbit = match before {
                // Orbits that the stream leaves out take their time, too.
                Some((run, orbit, end)) if run == block.run => {
                    end + u64::from(block.last_orbit.saturating_sub(orbit))
                }
                Some((_, _, end)) => end + u64::from(n_orbits),
                None => u64::from(n_orbits),
            };
            before = Some((block.run, block.last_orbit, end_orbit));
            blocks.push(BlockFacts { n_crossings: block.n_crossings, n_orbits, end_orbit });
        }
        let cache = vec![None; blocks.len()];
        let (kept, kept_bytes) = (VecDeque::new(), 0);
        Ok(Store { source, blocks, identity, pass_orbits, first_orbit, cache, kept, kept_bytes })
    }

    /// What a client is told.
    pub fn hello(&self) -> ServerHello {
        ServerHello { identity: self.identity, header: self.header().clone() }
    }

    /// What the events are.
    pub fn header(&self) -> &StreamHeader {
        &self.source.info().header
    }

    /// Number of frames, unless they go on for ever: until orbits run beyond 32 bits.
    pub fn n_frames(&self) -> u64 {
        let n = self.identity.n_blocks;
        if !self.identity.repeats {
            return n;
        }
        let orbits_left = u64::from(u32::MAX - self.first_orbit) + 1;
        n * (orbits_left / self.pass_orbits).max(1)
    }

    /// What is known of the block of a frame.
    pub fn facts(&self, frame: u64) -> BlockFacts {
        self.blocks[(frame % self.identity.n_blocks) as usize]
    }

    /// What has to be added to the orbits of the block of a frame: passes go on after each other.
    pub fn orbit_shift(&self, frame: u64) -> u32 {
        (frame / self.identity.n_blocks * self.pass_orbits) as u32
    }

    /// Slot with which the block of a frame is over, counted from the start of the stream.
    pub fn end_slot(&self, frame: u64) -> u64 {
        let pass = frame / self.identity.n_blocks;
        let span = self.blocks.last().map_or(0, |block| block.end_orbit);
        (pass * span + self.facts(frame).end_orbit) * u64::from(SLOTS_PER_ORBIT)
    }

    /// Slot with which the block of a frame begins.
    pub fn first_slot(&self, frame: u64) -> u64 {
        let slots = u64::from(self.facts(frame).n_orbits) * u64::from(SLOTS_PER_ORBIT);
        // An index may say what it likes.
        self.end_slot(frame).saturating_sub(slots)
    }

    /// The block of a frame.
    ///
    /// # Errors
    /// The operating system's refusal. Damage is no error.
    pub fn block(&mut self, frame: u64) -> Result<Stored, SourceError> {
        let number = (frame % self.identity.n_blocks) as usize;
        if let Some(stored) = &self.cache[number] {
            return Ok(stored.clone());
        }
        self.source.seek_block(number)?;
        let mut section = Section::default();
        let stored = match self.source.next_section(&mut section)? {
            Delivery::Block => Stored::Block(section.bytes.into()),
            _ => Stored::Damaged,
        };
        self.keep(number, stored.clone());
        Ok(stored)
    }

    fn keep(&mut self, number: usize, stored: Stored) {
        let len = |stored: &Stored| match stored {
            Stored::Block(bytes) => bytes.len(),
            Stored::Damaged => 0,
        };
        self.kept_bytes += len(&stored);
        self.cache[number] = Some(stored);
        self.kept.push_back(number);
        while self.kept_bytes > CACHE_BYTES
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= self.cache[oldest].take().as_ref().map_or(0, len);
        }
    }

    /// Reads the first block, so that a file that cannot be read fails before anybody connects.
    ///
    /// # Errors
    /// As [`Store::block`].
    pub fn try_out(&mut self) -> Result<()> {
        self.block(0).context("while reading the first block")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use scout40_replay::format::EncodedBlock;

    use super::*;

    fn store(repeats: bool) -> Store {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pathological");
        Store::new(FileSource::open(&fixtures.join("good.s40")).unwrap(), repeats).unwrap()
    }

    #[test]
    fn frames_are_the_blocks_of_the_file_and_passes_go_on_after_each_other() {
        let mut once = store(false);
        let n = once.identity.n_blocks;
        assert!(n > 2, "a stream of several blocks");
        assert_eq!(once.n_frames(), n);
        let mut repeated = store(true);
        assert!(repeated.n_frames() > 1000 * n && repeated.n_frames().is_multiple_of(n));
        let mut last = None;
        for frame in 0..3 * n {
            let Stored::Block(bytes) = repeated.block(frame).unwrap() else { panic!("damaged") };
            assert_eq!(Stored::Block(bytes.clone()), once.block(frame % n).unwrap());
            let meta = EncodedBlock::parse(&bytes, 0).unwrap().meta;
            let shift = repeated.orbit_shift(frame);
            assert_eq!(meta.n_crossings, repeated.facts(frame).n_crossings);
            let first = meta.first_orbit + shift;
            assert!(last.is_none_or(|last| first > last), "frame {frame}");
            last = Some(meta.last_orbit + shift);
            let orbits = u64::from(meta.last_orbit + shift - once.first_orbit) + 1;
            assert_eq!(repeated.end_slot(frame), orbits * 3564);
        }
        let last = repeated.n_frames() - 1;
        let Stored::Block(bytes) = repeated.block(last).unwrap() else { panic!("damaged") };
        let meta = EncodedBlock::parse(&bytes, 0).unwrap().meta;
        assert!(meta.last_orbit.checked_add(repeated.orbit_shift(last)).is_some());
    }
}
