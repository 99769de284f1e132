//! One connection to a board: bytes to orbits, and connecting again.
//!
//! A connection that ends between two orbits has ended; one that ends within an orbit is made again,
//! and given up when that has brought no later orbit for the whole of the timeout.

use std::sync::Arc;
use std::time::Duration;

use scout40_replay::framing::native::orbit_number;
use scout40_replay::raw::dth::OrbitDecoder;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout_at};

use super::Part;
use crate::network::Counters;
use crate::network::buffer::{Budget, Spares, trim};
use crate::network::client::{FIRST_BACK_OFF, LONGEST_BACK_OFF};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 18;

/// What a connection brings.
pub(super) enum Message {
    Orbit(Part),
    /// An orbit of which not even the number could be read.
    Unreadable(String),
    GaveUp(String),
}

/// One connection.
pub(super) struct Link {
    pub address: String,
    pub timeout: Duration,
    pub budget: Budget,
    pub counters: Arc<Counters>,
    pub spares: Arc<Spares>,
    pub to: Sender<Message>,
}

/// Why a connection does not go on.
enum Break {
    Ended,
    Unwanted,
    Again(String),
}

/// Connects, however often that takes; `last` is why it did not so far.
pub(super) async fn connect(address: &str, last: &mut String) -> TcpStream {
    let mut wait = FIRST_BACK_OFF;
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(error) => *last = error.to_string(),
        }
        sleep(wait).await;
        wait = (2 * wait).min(LONGEST_BACK_OFF);
    }
}

impl Link {
    /// Reads orbits until the connection has ended, nobody wants them or it is given up.
    pub async fn run(self, mut stream: TcpStream) {
        // Run and highest orbit so far, and since when it has been broken without a later one.
        let (mut highest, mut broken_since) = (None, None);
        loop {
            let before = highest;
            let mut why = match self.read_orbits(&mut stream, &mut highest).await {
                Break::Ended | Break::Unwanted => return,
                Break::Again(why) => why,
            };
            if highest != before {
                broken_since = None;
            }
            let deadline = *broken_since.get_or_insert_with(Instant::now) + self.timeout;
            // Not at once: a sender that hangs up on everybody must not keep a core busy.
            let again = async {
                sleep(FIRST_BACK_OFF).await;
                connect(&self.address, &mut why).await
            };
            let Ok(again) = timeout_at(deadline, again).await else {
                self.counters.connections_given_up.add(1);
                // A reader that is gone needs no reason.
                let _ = self.to.send(Message::GaveUp(format!("{}: {why}", self.address))).await;
                return;
            };
            self.counters.reconnects.add(1);
            stream = again;
        }
    }

    async fn read_orbits(&self, stream: &mut TcpStream, highest: &mut Option<(u32, u32)>) -> Break {
        let mut decoder = OrbitDecoder::default();
        let mut last_orbit = Instant::now();
        loop {
            // An orbit has to come within the timeout, however fast its bytes trickle.
            let deadline = last_orbit + self.timeout;
            let n = match timeout_at(deadline, stream.read_buf(decoder.input(READ_BYTES))).await {
                Ok(Ok(0)) => return self.end_of_connection(&mut decoder),
                Ok(Ok(n)) => n,
                Ok(Err(error)) => {
                    let _ = self.end_of_connection(&mut decoder);
                    return Break::Again(error.to_string());
                }
                Err(_) => {
                    self.counters.stalled_peers.add(1);
                    return Break::Again(format!("no orbit for {:?}", self.timeout));
                }
            };
            self.counters.bytes_received.add(n as u64);
            match self.hand_on(&mut decoder, highest).await {
                Ok(0) => {}
                // The peer is not to blame for the time that took.
                Ok(_) => last_orbit = Instant::now(),
                Err(unwanted) => return unwanted,
            }
            if decoder.counts().lost_bytes > 0 {
                self.counters.protocol_errors.add(1);
                return Break::Again("what it sends are no DTHBasic256 blocks".into());
            }
        }
    }

    /// Hands on the orbits that are whole, or cut by the next one; how many of them say which they are.
    async fn hand_on(
        &self,
        decoder: &mut OrbitDecoder,
        highest: &mut Option<(u32, u32)>,
    ) -> Result<u32, Break> {
        let mut n = 0;
        while let Some(orbit) = decoder.next_orbit() {
            self.counters.truncated_frames.add((!orbit.complete).into());
            let header = orbit.header;
            let message = match orbit_number(orbit.payload, header) {
                // Neither a number nor events: nothing for anybody.
                None => continue,
                Some(Err(problem)) => Message::Unreadable(problem),
                Some(Ok((run, orbit))) => {
                    n += 1;
                    if highest.is_none_or(|before| run != before.0 || orbit > before.1) {
                        *highest = Some((run, orbit));
                    }
                    let mut payload = decoder.take_payload(self.spares.take());
                    trim(&mut payload);
                    let room = self.budget.room(payload.len()).await;
                    Message::Orbit(Part { run, orbit, header, payload, _room: room })
                }
            };
            self.to.send(message).await.map_err(|_| Break::Unwanted)?;
        }
        Ok(n)
    }

    /// An end within an orbit is no end.
    fn end_of_connection(&self, decoder: &mut OrbitDecoder) -> Break {
        let is_cut = decoder.finish().is_some();
        if is_cut || decoder.counts().lost_bytes > 0 {
            self.counters.truncated_frames.add(1);
            return Break::Again("it closed the connection within an orbit".into());
        }
        match decoder.counts().orbits {
            0 => Break::Again("it closed the connection before the first orbit".into()),
            _ => Break::Ended,
        }
    }
}
