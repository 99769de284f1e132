//! What waits for the reader, bounded in bytes: a part of the buffer for each connection.
//!
//! What has no room is not read from its socket, and makes the sender wait, by TCP.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Counters, NetworkOptions};
use crate::clock::Clock;

/// A permit stands for so many bytes.
const PERMIT_BYTES: usize = 1 << 10;
/// Buffers that are kept to be used again...
const SPARES_MAX: usize = 32;
/// ...if they are no longer than this: a peer that has sent something huge once leaves nothing.
const SPARE_BYTES_MAX: usize = 1 << 20;
/// What a payload may have allocated beyond twice its length.
const SLACK_BYTES: usize = 1 << 16;

/// A connection's part of the buffer.
pub struct Budget {
    free: Arc<Semaphore>,
    permits: u32,
    counters: Arc<Counters>,
    clock: Clock,
}

impl Budget {
    /// An equal part for each of `n` connections.
    pub fn of(
        options: &NetworkOptions,
        n: usize,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> Budget {
        let permits = (options.buffer_bytes / n / PERMIT_BYTES).clamp(1, u32::MAX as usize >> 4);
        Budget {
            free: Arc::new(Semaphore::new(permits)),
            permits: permits as u32,
            counters: Arc::clone(counters),
            clock: clock.clone(),
        }
    }

    /// Waits until there is room for so many bytes. What is larger than all of it gets all of it.
    pub async fn room(&self, bytes: usize) -> Room {
        let permits = bytes.div_ceil(PERMIT_BYTES).min(self.permits as usize) as u32;
        let free = || Arc::clone(&self.free);
        let permit = match free().try_acquire_many_owned(permits) {
            Ok(permit) => permit,
            Err(_) => {
                let since_ps = self.clock.now_ps();
                let permit = free().acquire_many_owned(permits).await;
                self.counters.receiver_stalls.add(1);
                let waited_us = (self.clock.now_ps() - since_ps) / 1_000_000;
                self.counters.receiver_stalled_us.add(waited_us);
                permit.expect("the budget is never closed")
            }
        };
        let bytes = bytes as u64;
        self.counters.buffered_bytes.add(bytes);
        self.counters.buffered_bytes_max.raise(self.counters.buffered_bytes.get());
        Room { _permit: permit, bytes, counters: Arc::clone(&self.counters) }
    }
}

/// A part of the buffer, which is free again when this is dropped.
pub struct Room {
    _permit: OwnedSemaphorePermit,
    bytes: u64,
    counters: Arc<Counters>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.counters.buffered_bytes.subtract(self.bytes);
    }
}

/// Buffers of payloads to be used again.
#[derive(Default)]
pub struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// One of them, or a new one.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives one back.
    pub fn put(&self, spare: Vec<u8>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES_MAX && spare.capacity() <= SPARE_BYTES_MAX {
            spares.push(spare);
        }
    }
}

/// Gives back what a payload has allocated far beyond its length: its part of the buffer is counted by
/// that.
pub fn trim(payload: &mut Vec<u8>) {
    if payload.capacity() > 2 * payload.len() + SLACK_BYTES {
        payload.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spares_of_huge_payloads_are_not_kept_and_payloads_hold_about_what_they_are_counted_as() {
        let spares = Spares::default();
        (0..100).for_each(|_| spares.put(Vec::with_capacity(SPARE_BYTES_MAX + 1)));
        assert_eq!(spares.take().capacity(), 0);
        (0..100).for_each(|_| spares.put(Vec::with_capacity(1000)));
        let kept = (0..100).filter(|_| spares.take().capacity() > 0).count();
        assert_eq!(kept, SPARES_MAX);
        let mut payload = Vec::with_capacity(1 << 20);
        payload.resize(100, 7_u8);
        trim(&mut payload);
        assert!(payload.capacity() <= 200 + SLACK_BYTES && payload == [7; 100]);
    }
}
