//! Orbits as the boards of Phase 2 send them, encoded by other threads than the one that sends.
//!
//! To make the words of a crossing takes longer than to hand them to the socket. So the next blocks are
//! encoded while one is sent; they go out in their order, each when it is due.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{BlockDecoder, EncodedBlock};
use scout40_replay::framing::native::{OrbitEncoder, native_columns};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking, yield_now};

use super::super::store::Stored;
use super::Sending;

/// Blocks of a connection that are encoded while one is sent...
const AHEAD: usize = 2;
/// ...and of all connections: clients that stall must not fill the memory.
pub(super) const AHEAD_OF_ALL: usize = 16;

/// Makes orbits of stored blocks. Reuses its buffers.
pub(super) struct Maker {
    decoder: BlockDecoder,
    encoder: OrbitEncoder,
    block: Block,
}

/// Makers that are not at work, for all connections.
pub(super) type Makers = Arc<Mutex<Vec<Maker>>>;

/// Orbits of a block.
struct Made {
    /// DTHBasic256 blocks.
    bytes: Vec<u8>,
    /// Crossings in those; `None` if the stored block is damaged.
    n_crossings: Option<u32>,
}

impl Maker {
    fn new() -> Result<Maker, String> {
        let decoder = BlockDecoder::new().map_err(|error| error.to_string())?;
        Ok(Maker { decoder, encoder: OrbitEncoder::default(), block: Block::default() })
    }

    fn make(&mut self, stored: &Stored, of: &Wanted, mut bytes: Vec<u8>) -> Made {
        bytes.clear();
        let section = match stored {
            Stored::Block(section) => &section[..],
            Stored::Damaged => &[],
        };
        let Maker { decoder, encoder, block } = self;
        let decoded = EncodedBlock::parse(section, 0)
            .and_then(|encoded| decoder.decode(&encoded, of.schema, native_columns(), block));
        let n_crossings =
            decoded.ok().map(|()| encoder.push_orbits(block, of.shift, of.share, &mut bytes));
        Made { bytes, n_crossings }
    }
}

/// What is wanted of a block.
struct Wanted {
    schema: ColumnSet,
    share: (u32, u32),
    /// To be added to orbit numbers.
    shift: u32,
}

/// A block of which orbits are being made.
struct Making {
    frame: u64,
    made: JoinHandle<Result<Made, String>>,
    /// Free again when the block has been sent; none for one that nobody waits before.
    _ahead: Option<OwnedSemaphorePermit>,
}

/// Blocks of which orbits are being made, in their order.
struct Ahead {
    share: (u32, u32),
    schema: ColumnSet,
    begin_ps: u64,
    /// Number of the next block.
    next: u64,
    making: VecDeque<Making>,
    /// Why there are no further ones.
    problem: Option<String>,
    spare: Vec<u8>,
}

impl Sending<'_> {
    /// Sends the orbits of a port's share.
    pub(super) async fn orbits(&mut self, share: (u32, u32)) -> Result<(), String> {
        let schema = self.store().header().column_set().map_err(|error| error.to_string())?;
        let begin_ps = self.shared.clock.now_ps();
        let (making, spare, problem) = (VecDeque::new(), Vec::new(), None);
        let mut ahead = Ahead { share, schema, begin_ps, next: 0, making, problem, spare };
        loop {
            if ahead.making.is_empty() {
                self.make_ahead(&mut ahead, 1).await;
            }
            let Some(Making { frame, made, _ahead }) = ahead.making.pop_front() else {
                return match ahead.problem {
                    Some(problem) => Err(problem),
                    None => self.shutdown().await,
                };
            };
            let made = made.await.map_err(|error| error.to_string())??;
            // While this one waits and is sent, others are made.
            self.make_ahead(&mut ahead, AHEAD).await;
            // What was not too late when it was begun is sent: else a sender that cannot keep up would make most of
            // its blocks for nothing.
            self.wait_until_due(0, frame, begin_ps).await?;
            match made.n_crossings {
                // The receiver cannot be told: it sees orbits missing.
                None => {
                    let n_crossings = self.store().facts(frame).n_crossings;
                    self.report.damaged_crossings += u64::from(n_crossings);
                }
                // No orbit of the block is of this share.
                Some(0) => {}
                Some(n_crossings) => {
                    self.report.crossings += u64::from(n_crossings);
                    self.put(&made.bytes[..]).await?;
                }
            }
            ahead.spare = made.bytes;
        }
    }

    /// Has the next blocks made until there are `n`, as long as there is room; but for those that are too late
    /// already. There is always room for one.
    async fn make_ahead(&mut self, ahead: &mut Ahead, n: usize) {
        while ahead.making.len() < n && ahead.next < self.shared.n_frames {
            let room = Arc::clone(&self.shared.ahead).try_acquire_owned().ok();
            if room.is_none() && n > 1 {
                return;
            }
            let frame = ahead.next;
            ahead.next += 1;
            let due_ps = self.due_ps(0, frame, ahead.begin_ps).unwrap_or(u64::MAX);
            if self.is_too_late(self.shared.clock.now_ps().saturating_sub(due_ps)) {
                let n_crossings = self.store().facts(frame).n_crossings;
                self.report.dropped_crossings += u64::from(n_crossings);
                // Others want to send, too.
                yield_now().await;
                continue;
            }
            let (stored, shift) = {
                let mut store = self.store();
                (store.block(frame), store.orbit_shift(frame))
            };
            let stored = match stored {
                Ok(stored) => stored,
                // Those before it are sent.
                Err(problem) => {
                    ahead.problem = Some(problem.to_string());
                    ahead.next = self.shared.n_frames;
                    return;
                }
            };
            let wanted = Wanted { schema: ahead.schema, share: ahead.share, shift };
            let (bytes, makers) =
                (std::mem::take(&mut ahead.spare), Arc::clone(&self.shared.makers));
            let made = spawn_blocking(move || {
                let idle = || makers.lock().unwrap_or_else(PoisonError::into_inner);
                let waiting = idle().pop();
                let mut maker = waiting.map_or_else(Maker::new, Ok)?;
                let made = maker.make(&stored, &wanted, bytes);
                idle().push(maker);
                Ok(made)
            });
            ahead.making.push_back(Making { frame, made, _ahead: room });
        }
    }
}
