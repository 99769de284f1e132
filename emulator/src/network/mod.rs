//! Blocks over TCP: `scout40 serve` sends them, `scout40 run --source tcp://…` receives them.
//!
//! ```text
//! serve   file ─► cache of blocks ─► a task for each connection, paced ─► socket
//! run     socket ─► a task for each connection ─► merged by number ─► bounded buffer ─► reader
//! ```
//!
//! Each side has one thread of its own for all of its connections; orbits of `dth256` are encoded by
//! others. The data plane of a run never waits
//! for a socket: the reader takes what has come, and if nothing has, says so. Patience is timed by tokio;
//! what is measured, by [`clock`](crate::clock). `docs/network.md`
//! describes the bytes, the counters and what is done about a peer that is slow, dead or lies.

mod buffer;
mod client;
mod counters;
mod dth;
mod merge;
mod serve;
mod source;
mod store;

use std::time::Duration;

pub use counters::{Counter, Counters, NetworkSummary};
pub use dth::DthSource;
pub use serve::{ConnectionReport, Overflow, ServeOptions, Server, ServerStop};
pub use source::TcpSource;

/// What is on the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Framing {
    /// Blocks of the stream file in numbered frames
    #[default]
    S40,
    /// Orbits as the boards of Phase 2 send them: DTHBasic256 blocks of Native64 events
    Dth256,
}

/// What a receiver expects, and how patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkOptions {
    /// What is on the line.
    pub framing: Framing,
    /// A peer that sends nothing for so long is dead, and one that cannot be reached for so long is
    /// given up.
    pub timeout: Duration,
    /// Most bytes that wait for the reader, over all connections.
    pub buffer_bytes: usize,
}

impl Default for NetworkOptions {
    fn default() -> NetworkOptions {
        NetworkOptions {
            framing: Framing::S40,
            timeout: Duration::from_secs(10),
            buffer_bytes: 64 << 20,
        }
    }
}
