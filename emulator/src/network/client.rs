//! One connection as the receiver sees it: connects, greets, reads frames, comes back.
//!
//! A connection that breaks is made again, after 20 ms and then twice as long each time up to 1 s, and
//! asks for the frames from the first one on that it lacks. It is given up when that has brought none
//! for the whole of the timeout. Bytes are read only while there is room for them in the
//! connection's part of the buffer: what is not read makes the sender wait, by TCP.

use std::sync::Arc;
use std::time::Duration;

use scout40_replay::framing::{
    ClientHello, FrameDecoder, FrameHead, FrameKind, FrameStep, FramingError, SERVER_HELLO_BYTES,
    ServerHello, Verdict,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Counters;
use super::buffer::{Budget, Room, Spares, trim};

/// A broken connection is made again after so long, then twice as long each time...
pub const FIRST_BACK_OFF: Duration = Duration::from_millis(20);
/// ...up to this.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);
/// A payload gets a second more for so many bytes, on top of the timeout.
const SLOWEST_BYTES_PER_S: u32 = 1 << 24;
/// No stream is so long, in frames or crossings: a larger number is a lie.
const NUMBER_MAX: u64 = 1 << 48;

/// What a connection tells the one who merges.
pub enum Message {
    /// A frame of its share.
    Frame(Arrived),
    /// Its share ends before this number.
    Ended(u64),
    /// It has been given up.
    GaveUp {
        /// Head of the frame that was cut, if any was.
        cut: Option<FrameHead>,
        /// Why.
        why: String,
    },
}

/// A frame that is whole.
pub struct Arrived {
    /// Its head.
    pub head: FrameHead,
    /// The block, if it has one.
    pub payload: Vec<u8>,
    /// Its part of the buffer.
    pub room: Option<Room>,
}

/// One connection.
pub struct Client {
    /// `HOST:PORT`.
    pub address: String,
    /// What it asks for.
    pub hello: ClientHello,
    /// See [`super::NetworkOptions::timeout`].
    pub timeout: Duration,
    /// Its part of the buffer.
    pub budget: Budget,
    /// Where to count.
    pub counters: Arc<Counters>,
    /// Where payloads come back to.
    pub spares: Arc<Spares>,
}

/// Why a connection does not go on.
enum Break {
    /// It may help to connect again.
    Again(String),
    /// It will not.
    Never(String),
    /// The share has ended.
    Ended(u64),
    /// Nobody wants its frames any more.
    Unwanted,
}

impl Client {
    /// Connects for the first time, again and again until the timeout.
    ///
    /// # Errors
    /// Why it could not be reached.
    pub async fn open(&self) -> Result<(TcpStream, ServerHello), String> {
        let mut last = String::from("it does not answer");
        match timeout(self.timeout, self.connect_again(Duration::ZERO, &mut last)).await {
            Ok(connected) => connected,
            Err(_) => Err(last),
        }
    }

    /// Connects until it succeeds or is refused for good; `last` is why it did not so far.
    async fn connect_again(
        &self,
        first_wait: Duration,
        last: &mut String,
    ) -> Result<(TcpStream, ServerHello), String> {
        let mut wait = first_wait;
        loop {
            sleep(wait).await;
            wait = (2 * wait).clamp(FIRST_BACK_OFF, LONGEST_BACK_OFF);
            match self.connect().await {
                Ok(connected) => return Ok(connected),
                Err(Break::Again(why)) => *last = why,
                Err(Break::Never(why)) => return Err(why),
                Err(Break::Ended(_) | Break::Unwanted) => unreachable!("no frame has been read"),
            }
        }
    }

    async fn connect(&self) -> Result<(TcpStream, ServerHello), Break> {
        let again = |error: std::io::Error| Break::Again(error.to_string());
        let greet = async {
            let mut stream = TcpStream::connect(&self.address).await.map_err(again)?;
            stream.set_nodelay(true).map_err(again)?;
            stream.write_all(&self.hello.to_bytes()).await.map_err(again)?;
            let mut fixed = [0; SERVER_HELLO_BYTES];
            stream.read_exact(&mut fixed).await.map_err(again)?;
            let len = ServerHello::header_len(&fixed).map_err(|error| self.refusal(error))?;
            let mut header = vec![0; len];
            stream.read_exact(&mut header).await.map_err(again)?;
            let hello = ServerHello::read(&fixed, &header).map_err(|error| self.refusal(error))?;
            if hello.identity.n_crossings > NUMBER_MAX {
                return Err(Break::Never(format!(
                    "expected at most {NUMBER_MAX} crossings in a stream, found {}",
                    hello.identity.n_crossings
                )));
            }
            Ok((stream, hello))
        };
        match timeout(self.timeout, greet).await {
            Ok(greeted) => greeted,
            Err(_) => {
                self.counters.stalled_peers.add(1);
                Err(Break::Again("it does not greet".into()))
            }
        }
    }

    fn refusal(&self, error: FramingError) -> Break {
        match error {
            FramingError::Refused(Verdict::Busy) => Break::Again(error.to_string()),
            FramingError::Corrupt { .. } => {
                self.counters.protocol_errors.add(1);
                Break::Again(error.to_string())
            }
            error => Break::Never(error.to_string()),
        }
    }

    /// Reads frames until the share has ended, nobody wants them or the connection is given up.
    pub async fn run(mut self, mut stream: TcpStream, to: mpsc::Sender<Message>) {
        let mut decoder = FrameDecoder::default();
        // Since when it has been broken without a frame in between.
        let mut broken_since = None;
        let why = loop {
            let before = self.hello.first_frame;
            let end = self.read_frames(&mut stream, &mut decoder, &to).await;
            let mut why = match end {
                Break::Ended(number) => {
                    // A receiver that is gone needs to know no more.
                    let _ = to.send(Message::Ended(number)).await;
                    return;
                }
                Break::Unwanted => return,
                Break::Never(why) => break why,
                Break::Again(why) => why,
            };
            if decoder.is_within_frame() {
                self.counters.truncated_frames.add(1);
            }
            let came_on = self.hello.first_frame > before;
            if came_on {
                broken_since = None;
            }
            let first_wait = if came_on { Duration::ZERO } else { LONGEST_BACK_OFF / 8 };
            let deadline = *broken_since.get_or_insert_with(Instant::now) + self.timeout;
            match timeout_at(deadline, self.connect_again(first_wait, &mut why)).await {
                Ok(Ok((again, _))) => {
                    self.counters.reconnects.add(1);
                    (stream, decoder) = (again, FrameDecoder::default());
                }
                Ok(Err(refusal)) => break refusal,
                Err(_) => break why,
            }
        };
        self.counters.connections_given_up.add(1);
        let why = format!("{}: {why}", self.address);
        let _ = to.send(Message::GaveUp { cut: decoder.begun(), why }).await;
    }

    /// Reads frames until something keeps it from going on.
    async fn read_frames(
        &mut self,
        stream: &mut TcpStream,
        decoder: &mut FrameDecoder,
        to: &mpsc::Sender<Message>,
    ) -> Break {
        let mut deadline = Instant::now() + self.timeout;
        let mut room = None;
        loop {
            let n = match timeout_at(deadline, stream.read(decoder.space())).await {
                Ok(Ok(0)) => return Break::Again("it closed the connection".into()),
                Ok(Ok(n)) => n,
                Ok(Err(error)) => return Break::Again(error.to_string()),
                Err(_) => {
                    self.counters.stalled_peers.add(1);
                    return Break::Again(format!("no frame for {:?}", self.timeout));
                }
            };
            self.counters.bytes_received.add(n as u64);
            let head = match decoder.commit(n) {
                Ok(FrameStep::More) => continue,
                Ok(FrameStep::Head(head)) => {
                    room = Some(self.budget.room(head.payload_len as usize).await);
                    // The peer is not to blame for the time that took.
                    let more = Duration::from_secs_f64(
                        f64::from(head.payload_len) / f64::from(SLOWEST_BYTES_PER_S),
                    );
                    deadline = Instant::now() + self.timeout + more;
                    continue;
                }
                Ok(FrameStep::Frame(head)) => head,
                Err(problem) => {
                    self.counters.protocol_errors.add(1);
                    return Break::Again(problem.to_string());
                }
            };
            deadline = Instant::now() + self.timeout;
            let mut payload = decoder.take_payload(self.spares.take());
            trim(&mut payload);
            if let Some(end) = self.hand_on(Arrived { head, payload, room: room.take() }, to).await
            {
                return end;
            }
        }
    }

    /// Hands a frame on, if it is one that should come now or later.
    async fn hand_on(&mut self, frame: Arrived, to: &mpsc::Sender<Message>) -> Option<Break> {
        let FrameHead { kind, number, .. } = frame.head;
        match kind {
            FrameKind::Alive => return None,
            FrameKind::End => return Some(Break::Ended(number.min(NUMBER_MAX))),
            FrameKind::Block | FrameKind::Damaged | FrameKind::Dropped => {}
        }
        let of_this_share = number % u64::from(self.hello.connections);
        if of_this_share != u64::from(self.hello.connection) || number > NUMBER_MAX {
            self.counters.protocol_errors.add(1);
            return Some(Break::Again(format!("frame {number} is of another connection's share")));
        }
        if number < self.hello.first_frame {
            self.counters.duplicate_blocks.add(1);
            self.spares.put(frame.payload);
            return None;
        }
        self.hello.first_frame = number.saturating_add(self.hello.connections.into());
        match to.send(Message::Frame(frame)).await {
            Ok(()) => None,
            Err(_) => Some(Break::Unwanted),
        }
    }
}
