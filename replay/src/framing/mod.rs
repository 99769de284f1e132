//! How blocks travel over a connection: hellos, then frames.
//!
//! ```text
//! client ──► hello: which share of the blocks, from which one on
//! server ──► hello: verdict, identity of the stream, its header
//! server ──► frame*: a block as it stands in the file, or a word about blocks that do not come
//! ```
//!
//! Frames are numbered, so that gaps, repeats and a new connection in the middle are seen; a head has
//! a checksum of its own and is believed within limits only. Blocks are not encoded again: their
//! checksums are those of the file. Nothing here does I/O. `docs/network.md` has every byte.

mod frame;
mod hello;
pub mod native;

pub use frame::{FRAME_HEAD_BYTES, FrameDecoder, FrameHead, FrameKind, FrameStep};
pub use hello::{
    CLIENT_HELLO_BYTES, ClientHello, SERVER_HELLO_BYTES, ServerHello, StreamIdentity, Verdict,
};

/// First bytes of both hellos; the line end reveals a transfer in text mode.
pub const NET_MAGIC: [u8; 8] = *b"\x89S40NET\n";
/// The version of hellos and frames.
pub const NET_VERSION: u16 = 1;
/// Most connections that can share a stream.
pub const CONNECTIONS_MAX: u32 = 256;
/// Longest payload of a frame in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 26;
/// Longest header that a hello may carry, in bytes.
pub const HELLO_HEADER_BYTES_MAX: usize = 1 << 20;

/// Why bytes are not what a peer that speaks this protocol sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The first bytes are those of something else.
    #[error("expected a scout40 peer (first bytes 89 53 34 30), found {found}")]
    NotAPeer {
        /// The first bytes, in hexadecimal.
        found: String,
    },
    /// Another version of the protocol.
    #[error(
        "expected protocol version {NET_VERSION}, found {found}\nhint: use the same scout40 on both sides"
    )]
    Version {
        /// Version of the peer.
        found: u16,
    },
    /// The peer says no.
    #[error("refused: {}", .0.explanation())]
    Refused(Verdict),
    /// A checksum does not match, or what it covers makes no sense.
    #[error("{what}: {problem}")]
    Corrupt {
        /// Which part.
        what: &'static str,
        /// What was expected and what was found.
        problem: String,
    },
}

impl FramingError {
    fn corrupt(what: &'static str, problem: impl Into<String>) -> FramingError {
        FramingError::Corrupt { what, problem: problem.into() }
    }
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    bytemuck::pod_read_unaligned(&bytes[at..at + 2])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytemuck::pod_read_unaligned(&bytes[at..at + 4])
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytemuck::pod_read_unaligned(&bytes[at..at + 8])
}
