//! What a receiver counts.
//!
//! Written by the receiving thread and the reader, read once at the end: relaxed atomics.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A number that several threads add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        // Relaxed: nothing else is published by it.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes back.
    pub fn subtract(&self, n: u64) {
        // Relaxed: as above.
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Keeps the larger one.
    pub fn raise(&self, n: u64) {
        // Relaxed: as above.
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Everything that is counted while frames come in.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        /// The same, when it has ended.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct NetworkSummary { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// What has been counted so far.
            #[must_use]
            pub fn summary(&self) -> NetworkSummary {
                NetworkSummary { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Bytes that have arrived.
    bytes_received,
    /// Blocks that have been handed to the reader.
    blocks_delivered,
    /// Blocks that the reader passed over undecoded because it was late; they count as dropped.
    blocks_passed_over,
    /// Times that a connection was made again.
    reconnects,
    /// Connections that were given up: what they should have carried is missing.
    connections_given_up,
    /// Times that a peer sent nothing, or too little, for the whole of `--network-timeout`.
    stalled_peers,
    /// Times that a peer sent what is no frame or block; its connection is closed and made again.
    protocol_errors,
    /// Frames or orbits cut by the end of a connection.
    truncated_frames,
    /// Blocks whose checksum does not match, those that the sender found damaged, and orbits from
    /// boards that hold what is no event.
    corrupt_blocks,
    /// Blocks that had come before.
    duplicate_blocks,
    /// Crossings that came twice within an orbit.
    duplicate_crossings,
    /// Events that the sender marks as truncated.
    truncated_events,
    /// Orbits that came after later ones had been handed on: not used.
    late_orbits,
    /// Their crossings.
    late_crossings,
    /// Frames that never came.
    missing_frames,
    /// Orbits between those that came: where frames are missing, or, of orbits from boards, all.
    missing_orbits,
    /// Orbits that the sender dropped because it was late.
    sender_dropped_orbits,
    /// Their crossings.
    sender_dropped_crossings,
    /// Times that a full buffer kept a socket from being read.
    receiver_stalls,
    /// How long in all.
    receiver_stalled_us,
    /// Bytes in the buffer now.
    buffered_bytes,
    /// Most bytes in the buffer.
    buffered_bytes_max,
}
