//! The first words of both sides.
//!
//! ```text
//! client   magic (8) | version u16 | 0 u16 | connection u32 | connections u32 | 0 u32
//!          | first frame u64 | digest u64 | xxh3 of all that                        (48 bytes)
//! server   magic (8) | version u16 | verdict u16 | header length u32 | digest u64
//!          | crossings u64 | blocks u64 | first run u32 | last run u32 | flags u32 | 0 u32
//!          | xxh3 of all that and the header                                        (64 bytes)
//!          then the header
//! ```
//!
//! A client that comes back asks for the frames from the first one that it lacks, and names the
//! digest of the stream that it had: a server that now sends another one refuses.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    CONNECTIONS_MAX, FramingError, HELLO_HEADER_BYTES_MAX, NET_MAGIC, NET_VERSION, read_u16,
    read_u32, read_u64,
};
use crate::format::StreamHeader;

/// Bytes of a client's hello.
pub const CLIENT_HELLO_BYTES: usize = 48;
/// Bytes of a server's hello before the header.
pub const SERVER_HELLO_BYTES: usize = 64;

/// The stream begins again for ever.
const REPEATS: u32 = 1;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Which share: frames whose number is this modulo `connections`.
    pub connection: u32,
    /// Number of shares.
    pub connections: u32,
    /// No frame before this one.
    pub first_frame: u64,
    /// Digest of the stream that it wants; 0 for any.
    pub digest: u64,
}

impl ClientHello {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CLIENT_HELLO_BYTES] {
        let mut bytes = [0; CLIENT_HELLO_BYTES];
        bytes[..8].copy_from_slice(&NET_MAGIC);
        bytes[8..10].copy_from_slice(&NET_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.connection.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.connections.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.digest.to_le_bytes());
        let checksum = xxh3_64(&bytes[..40]);
        bytes[40..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// Another peer, another version, a checksum that does not match, a share that does not exist.
    pub fn read(bytes: &[u8; CLIENT_HELLO_BYTES]) -> Result<ClientHello, FramingError> {
        check_start(bytes)?;
        check_sum("hello of the client", read_u64(bytes, 40), xxh3_64(&bytes[..40]))?;
        let (connection, connections) = (read_u32(bytes, 12), read_u32(bytes, 16));
        if connection >= connections || connections > CONNECTIONS_MAX {
            let problem = format!(
                "expected connection k of at most {CONNECTIONS_MAX}, found {connection} of {connections}"
            );
            return Err(FramingError::corrupt("hello of the client", problem));
        }
        let (first_frame, digest) = (read_u64(bytes, 24), read_u64(bytes, 32));
        Ok(ClientHello { connection, connections, first_frame, digest })
    }
}

/// Whether a server sends what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Accepted,
    /// It speaks another version.
    Version,
    /// The hello made no sense.
    Malformed,
    /// It has another stream.
    OtherStream,
    /// It has as many clients as it serves.
    Busy,
}

impl Verdict {
    const ALL: [Verdict; 5] = [
        Verdict::Accepted,
        Verdict::Version,
        Verdict::Malformed,
        Verdict::OtherStream,
        Verdict::Busy,
    ];

    /// In words.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Version => "the server speaks another version of the protocol",
            Verdict::Malformed => "the server did not understand the hello",
            Verdict::OtherStream => "the server sends another stream than the one begun with",
            Verdict::Busy => "the server has as many clients as it serves",
        }
    }
}

/// What a stream is, as far as a client needs to know beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamIdentity {
    /// Digest of its content.
    pub digest: u64,
    /// Crossings of one pass.
    pub n_crossings: u64,
    /// Blocks of one pass.
    pub n_blocks: u64,
    /// Run of the first block.
    pub first_run: u32,
    /// Run of the last block.
    pub last_run: u32,
    /// Whether it begins again for ever.
    pub repeats: bool,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerHello {
    /// What is sent.
    pub identity: StreamIdentity,
    /// What the events are.
    pub header: StreamHeader,
}

impl ServerHello {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        server_bytes(Verdict::Accepted, &self.identity, &self.header.to_archive())
    }

    /// A refusal as bytes.
    #[must_use]
    pub fn refusal(verdict: Verdict) -> Vec<u8> {
        server_bytes(verdict, &StreamIdentity::default(), &[])
    }

    /// Bytes of the header that follow the first [`SERVER_HELLO_BYTES`]; not yet verified, but
    /// within limits.
    ///
    /// # Errors
    /// Another peer, another version, a refusal, or a header that is too long.
    pub fn header_len(bytes: &[u8; SERVER_HELLO_BYTES]) -> Result<usize, FramingError> {
        check_start(bytes)?;
        let verdict = usize::from(read_u16(bytes, 10));
        let len = read_u32(bytes, 12) as usize;
        match Verdict::ALL.get(verdict) {
            Some(Verdict::Accepted) if len <= HELLO_HEADER_BYTES_MAX => Ok(len),
            Some(Verdict::Accepted) => {
                let problem = format!(
                    "expected a header of at most {HELLO_HEADER_BYTES_MAX} bytes, found {len}"
                );
                Err(FramingError::corrupt("hello of the server", problem))
            }
            Some(&refusal) => Err(FramingError::Refused(refusal)),
            None => {
                let problem = format!("verdict {verdict} does not exist");
                Err(FramingError::corrupt("hello of the server", problem))
            }
        }
    }

    /// From bytes, the header included.
    ///
    /// # Errors
    /// As [`ServerHello::header_len`], and a checksum that does not match or a header that is none.
    pub fn read(
        bytes: &[u8; SERVER_HELLO_BYTES],
        header: &[u8],
    ) -> Result<ServerHello, FramingError> {
        let what = "hello of the server";
        let len = ServerHello::header_len(bytes)?;
        if len != header.len() {
            let problem = format!("expected a header of {len} bytes, found {}", header.len());
            return Err(FramingError::corrupt(what, problem));
        }
        check_sum(what, read_u64(bytes, 56), server_sum(bytes, header))?;
        let identity = StreamIdentity {
            digest: read_u64(bytes, 16),
            n_crossings: read_u64(bytes, 24),
            n_blocks: read_u64(bytes, 32),
            first_run: read_u32(bytes, 40),
            last_run: read_u32(bytes, 44),
            repeats: read_u32(bytes, 48) & REPEATS != 0,
        };
        if identity.n_blocks == 0 {
            return Err(FramingError::corrupt(what, "it has no block"));
        }
        let header = StreamHeader::from_archive(header, 0)
            .map_err(|error| FramingError::corrupt(what, error.to_string()))?;
        Ok(ServerHello { identity, header })
    }
}

fn server_bytes(verdict: Verdict, identity: &StreamIdentity, header: &[u8]) -> Vec<u8> {
    let code = Verdict::ALL.iter().position(|&other| other == verdict).unwrap_or_default();
    let mut bytes = Vec::with_capacity(SERVER_HELLO_BYTES + header.len());
    bytes.extend(NET_MAGIC);
    bytes.extend(NET_VERSION.to_le_bytes());
    bytes.extend((code as u16).to_le_bytes());
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(identity.digest.to_le_bytes());
    bytes.extend(identity.n_crossings.to_le_bytes());
    bytes.extend(identity.n_blocks.to_le_bytes());
    bytes.extend(identity.first_run.to_le_bytes());
    bytes.extend(identity.last_run.to_le_bytes());
    bytes.extend(u32::from(identity.repeats).to_le_bytes());
    bytes.extend([0; 4]);
    let checksum = server_sum(&bytes, header);
    bytes.extend(checksum.to_le_bytes());
    bytes.extend(header);
    bytes
}

fn server_sum(bytes: &[u8], header: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(&bytes[..56]);
    sum.update(header);
    sum.digest()
}

fn check_start(bytes: &[u8]) -> Result<(), FramingError> {
    if bytes[..8] != NET_MAGIC {
        let hex: Vec<String> = bytes[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(FramingError::NotAPeer { found: hex.join(" ") });
    }
    match read_u16(bytes, 8) {
        NET_VERSION => Ok(()),
        found => Err(FramingError::Version { found }),
    }
}

fn check_sum(what: &'static str, expected: u64, found: u64) -> Result<(), FramingError> {
    if expected == found {
        return Ok(());
    }
    let problem = format!("expected xxh3 {expected:016x}, found {found:016x}");
    Err(FramingError::corrupt(what, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ColumnSet;
    use crate::format::SampleKind;

    const CLIENT: ClientHello =
        ClientHello { connection: 2, connections: 3, first_frame: 77, digest: 0xfeed };

    fn server() -> ServerHello {
        let identity = StreamIdentity {
            digest: 0xfeed,
            n_crossings: 300_000,
            n_blocks: 40,
            first_run: 1,
            last_run: 2,
            repeats: true,
        };
        let header = StreamHeader::new(SampleKind::ZeroBias, "zb", ColumnSet::ALL);
        ServerHello { identity, header }
    }

    fn split(bytes: &[u8]) -> (&[u8; SERVER_HELLO_BYTES], &[u8]) {
        bytes.split_first_chunk().unwrap()
    }

    #[test]
    fn hellos_come_out_as_they_went_in() {
        assert_eq!(ClientHello::read(&CLIENT.to_bytes()), Ok(CLIENT));
        let bytes = server().to_bytes();
        let (fixed, header) = split(&bytes);
        assert_eq!(ServerHello::header_len(fixed), Ok(header.len()));
        assert_eq!(ServerHello::read(fixed, header), Ok(server()));
    }

    #[test]
    fn any_flipped_bit_of_a_hello_is_noticed() {
        let good = CLIENT.to_bytes();
        for bit in 0..good.len() * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(ClientHello::read(&bytes).is_err(), "bit {bit}");
        }
        let good = server().to_bytes();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (fixed, header) = split(&bytes);
            assert!(ServerHello::read(fixed, header).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn shares_that_do_not_exist_are_refused() {
        for (connection, connections) in [(0, 0), (1, 1), (9, 3), (0, CONNECTIONS_MAX + 1)] {
            let hello = ClientHello { connection, connections, ..CLIENT };
            assert!(ClientHello::read(&hello.to_bytes()).is_err(), "{hello:?}");
        }
    }

    #[test]
    fn a_refusal_says_why_and_a_long_header_is_not_believed() {
        for &verdict in &Verdict::ALL[1..] {
            let bytes = ServerHello::refusal(verdict);
            let found = ServerHello::header_len(split(&bytes).0);
            assert_eq!(found, Err(FramingError::Refused(verdict)));
        }
        let mut bytes = server().to_bytes();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(ServerHello::header_len(split(&bytes).0).is_err());
        bytes[8] = 9;
        let found = ServerHello::header_len(split(&bytes).0);
        assert_eq!(found, Err(FramingError::Version { found: 9 }));
        bytes[0] = b'H';
        let found = ServerHello::header_len(split(&bytes).0).unwrap_err();
        assert!(matches!(found, FramingError::NotAPeer { .. }), "{found}");
    }
}
