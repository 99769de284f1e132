//! Hand-over of batches between cores: bounded, single producer, single consumer.
//!
//! What travels is the pointer to a preallocated batch, eight bytes, so neither side copies,
//! allocates or waits for a lock. Every ring has room for all batches of the run, so a push
//! cannot fail. rtrb was chosen by the `ring` bench: of the rings tried it has the least round trip
//! and, with room for 1024, the least time per hand-over; ringbuf is close (`benches/record/`).

use crate::batch::Batch;

/// The sending end.
pub type Sender = rtrb::Producer<Box<Batch>>;
/// The receiving end.
pub type Receiver = rtrb::Consumer<Box<Batch>>;

/// A ring with room for `n` batches.
#[must_use]
pub fn ring(n: usize) -> (Sender, Receiver) {
    rtrb::RingBuffer::new(n)
}

/// Sends a batch.
///
/// # Panics
/// If the ring is full: there are more batches than rings were made for.
pub fn send(sender: &mut Sender, batch: Box<Batch>) {
    assert!(sender.push(batch).is_ok(), "a ring has room for all batches");
}
