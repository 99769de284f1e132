//! Orbits as the boards of Phase 2 send them, encoded by other threads than the one that sends.
//!
//! To make the words of a crossing takes longer than to hand them to the socket. So the next blocks are
//! encoded while one is sent; they go out in their order, each when it is due.

use std::collections::VecDeque;

use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{BlockDecoder, EncodedBlock};
use scout40_replay::framing::native::{OrbitEncoder, native_columns};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};

use super::super::store::Stored;
use super::Sending;

/// Blocks of a connection that are encoded while one is sent...
const AHEAD: usize = 2;
/// ...if they have no more crossings than this: clients that stall must not fill the memory with larger ones.
const AHEAD_CROSSINGS: u32 = 1 << 15;

/// Makes orbits of stored blocks. Reuses its buffers.
struct Maker {
    decoder: BlockDecoder,
    encoder: OrbitEncoder,
    block: Block,
    /// What it has made: DTHBasic256 blocks.
    bytes: Vec<u8>,
    /// Crossings in those; `None` if the stored block is damaged.
    n_crossings: Option<u32>,
}

impl Maker {
    fn new() -> Result<Maker, String> {
        Ok(Maker {
            decoder: BlockDecoder::new().map_err(|error| error.to_string())?,
            encoder: OrbitEncoder::default(),
            block: Block::default(),
            bytes: Vec::new(),
            n_crossings: None,
        })
    }

    fn make(&mut self, stored: &Stored, schema: ColumnSet, shift: u32, share: (u32, u32)) {
        self.bytes.clear();
        let section = match stored {
            Stored::Block(section) => &section[..],
            Stored::Damaged => &[],
        };
        let Maker { decoder, encoder, block, bytes, .. } = self;
        let decoded = EncodedBlock::parse(section, 0)
            .and_then(|encoded| decoder.decode(&encoded, schema, native_columns(), block));
        self.n_crossings = decoded.ok().map(|()| encoder.push_orbits(block, shift, share, bytes));
    }
}

/// Blocks of which orbits are being made, in their order.
struct Ahead {
    share: (u32, u32),
    schema: ColumnSet,
    begin_ps: u64,
    /// Number of the next block.
    next: u64,
    making: VecDeque<(u64, JoinHandle<Maker>)>,
    spares: Vec<Maker>,
}

impl Sending<'_> {
    /// Sends the orbits of a port's share.
    pub(super) async fn orbits(&mut self, share: (u32, u32)) -> Result<(), String> {
        let schema = self.store().header().column_set().map_err(|error| error.to_string())?;
        let begin_ps = self.shared.clock.now_ps();
        let (making, spares) = (VecDeque::new(), Vec::new());
        let mut ahead = Ahead { share, schema, begin_ps, next: 0, making, spares };
        loop {
            if ahead.making.is_empty() {
                self.make_ahead(&mut ahead, 1, u32::MAX).await?;
            }
            let Some((frame, maker)) = ahead.making.pop_front() else {
                return self.shutdown().await;
            };
            let maker = maker.await.map_err(|error| error.to_string())?;
            // While this one waits and is sent, others are made.
            self.make_ahead(&mut ahead, AHEAD, AHEAD_CROSSINGS).await?;
            let late_ps = self.wait_until_due(0, frame, begin_ps).await?;
            match maker.n_crossings {
                _ if self.is_too_late(late_ps) => self.drop_block(frame),
                // The receiver cannot be told: it sees orbits missing.
                None => {
                    let n_crossings = self.store().facts(frame).n_crossings;
                    self.report.damaged_crossings += u64::from(n_crossings);
                }
                Some(n_crossings) => {
                    self.report.crossings += u64::from(n_crossings);
                    self.put(&maker.bytes[..]).await?;
                }
            }
            ahead.spares.push(maker);
        }
    }

    /// Has the next blocks made until there are `n`, as long as they have no more than so many crossings; but
    /// for those that are too late already.
    async fn make_ahead(
        &mut self,
        ahead: &mut Ahead,
        n: usize,
        crossings_max: u32,
    ) -> Result<(), String> {
        while ahead.making.len() < n && ahead.next < self.shared.n_frames {
            let frame = ahead.next;
            if self.store().facts(frame).n_crossings > crossings_max {
                return Ok(());
            }
            ahead.next += 1;
            let due_ps = self.due_ps(0, frame, ahead.begin_ps).unwrap_or(u64::MAX);
            if self.is_too_late(self.shared.clock.now_ps().saturating_sub(due_ps)) {
                self.drop_block(frame);
                // Others want to send, too.
                yield_now().await;
                continue;
            }
            let (stored, shift) = {
                let mut store = self.store();
                let stored = store.block(frame).map_err(|error| error.to_string())?;
                (stored, store.orbit_shift(frame))
            };
            let mut maker = match ahead.spares.pop() {
                Some(maker) => maker,
                None => Maker::new()?,
            };
            let (schema, share) = (ahead.schema, ahead.share);
            let making = spawn_blocking(move || {
                maker.make(&stored, schema, shift, share);
                maker
            });
            ahead.making.push_back((frame, making));
        }
        Ok(())
    }

    fn drop_block(&mut self, frame: u64) {
        let n_crossings = self.store().facts(frame).n_crossings;
        self.report.dropped_crossings += u64::from(n_crossings);
    }
}
