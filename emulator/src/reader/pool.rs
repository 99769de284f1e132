//! Blocks between the reader, which fills them, and the collector, which gives them back.

use std::collections::VecDeque;

use scout40_replay::event::Block;

/// Blocks that are kept until all their events have been decided.
pub const LIVE_BLOCKS: usize = 24;

/// Blocks in use, oldest first, and blocks to be used again.
pub struct BlockPool {
    live: VecDeque<LiveBlock>,
    pub(super) spare: Vec<Block>,
    /// Number of the oldest live block.
    first: u64,
}

struct LiveBlock {
    block: Block,
    /// Batches that still refer to it, plus one while it is being read.
    users: u32,
}

impl Default for BlockPool {
    fn default() -> BlockPool {
        BlockPool {
            live: VecDeque::with_capacity(LIVE_BLOCKS),
            spare: (0..LIVE_BLOCKS).map(|_| Block::default()).collect(),
            first: 0,
        }
    }
}

impl BlockPool {
    /// The block with this number.
    #[must_use]
    pub fn get(&self, number: u64) -> &Block {
        &self.live[(number - self.first) as usize].block
    }

    fn live_mut(&mut self, number: u64) -> &mut LiveBlock {
        &mut self.live[(number - self.first) as usize]
    }

    /// One user more.
    pub(super) fn retain(&mut self, number: u64) {
        self.live_mut(number).users += 1;
    }

    /// Makes a block live; it gets the next number.
    pub(super) fn push(&mut self, block: Block) -> u64 {
        self.live.push_back(LiveBlock { block, users: 1 });
        self.first + self.live.len() as u64 - 1
    }

    /// One user less; blocks without users are to be used again, oldest first.
    ///
    /// # Panics
    /// If there is no such block, or it has no user.
    pub fn release(&mut self, number: u64) {
        self.live_mut(number).users -= 1;
        while self.live.front().is_some_and(|live| live.users == 0) {
            let live = self.live.pop_front().expect("there is a front");
            self.spare.push(live.block);
            self.first += 1;
        }
    }
}
