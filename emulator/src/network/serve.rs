//! The sending side: listens, greets, and sends each client the share that it asked for.
//!
//! Every client gets the stream from the frame on that it asks for, at the chosen pace, counted from
//! when it asks: clients do not wait for each other, and one that comes back loses nothing. A paced
//! sender that is late by more than its buffer (because a client or the network is slow) drops
//! whole blocks and says so, or, told to stall, sends all of them late. A client that takes nothing
//! for the whole of the timeout is disconnected.

mod orbits;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use scout40_replay::framing::{
    CLIENT_HELLO_BYTES, ClientHello, FrameHead, FrameKind, FramingError, ServerHello, Verdict,
};
use scout40_replay::pacing::{Rate, SlotClock};
use scout40_replay::source::FileSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use self::orbits::{AHEAD_OF_ALL, Makers};
use super::Framing;
use super::store::{Store, Stored};
use crate::clock::Clock;

/// Clients that are served at the same time.
const CLIENTS_MAX: usize = 64;
/// A client that has to wait for its next frame hears from the server so often.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// A write that takes longer than this has waited for the client.
const STALL_US: u64 = 1000;

/// What a paced sender does when it is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Blocks that are later than this are dropped.
    DropAfter(Duration),
    /// All are sent, late.
    Stall,
}

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Addresses to listen at.
    pub listen: Vec<SocketAddr>,
    /// How fast slots follow each other.
    pub rate: Rate,
    /// What goes over the line.
    pub framing: Framing,
    /// When it is late.
    pub overflow: Overflow,
    /// The stream begins again when it ends.
    pub repeat: bool,
    /// A client that takes nothing for so long is disconnected.
    pub timeout: Duration,
    /// Ends when so many connections have had their share to its end: of a stream that begins again,
    /// as much of it as they wanted.
    pub until_served: Option<usize>,
}

/// What became of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionReport {
    /// Who.
    pub peer: String,
    /// Which share, of how many.
    pub share: (u32, u32),
    /// Frames, or pieces of orbits, sent.
    pub frames: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Crossings sent.
    pub crossings: u64,
    /// Crossings dropped because it was late; of orbits, those of whole blocks, whatever the share.
    pub dropped_crossings: u64,
    /// Crossings of damaged blocks, which boards have no way to tell of; of whole blocks, whatever the share.
    pub damaged_crossings: u64,
    /// Writes that waited for the client.
    pub stalls: u64,
    /// How long they waited.
    pub stalled_us: u64,
    /// How long it lasted.
    pub elapsed_us: u64,
    /// Why it ended; empty if its share did.
    pub problem: String,
}

/// Ends a server from another thread.
#[derive(Clone, Default)]
pub struct ServerStop(Arc<Notify>);

impl ServerStop {
    /// Ends it.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// A server that listens.
pub struct Server {
    listeners: Vec<StdListener>,
    shared: Arc<Shared>,
    repeat: bool,
    until_served: Option<usize>,
}

/// What all connections share.
struct Shared {
    store: Mutex<Store>,
    hello: Vec<u8>,
    digest: u64,
    n_frames: u64,
    framing: Framing,
    slot_clock: Option<SlotClock>,
    overflow: Overflow,
    timeout: Duration,
    clock: Clock,
    clients: Semaphore,
    makers: Makers,
    /// Blocks of orbits that may wait for others to be sent.
    ahead: Arc<Semaphore>,
}

impl Server {
    /// Listens, and reads the first block.
    ///
    /// # Errors
    /// A stream that cannot be served, an address that cannot be listened at.
    pub fn bind(source: FileSource, options: &ServeOptions) -> Result<Server> {
        let mut store = Store::new(source, options.repeat)?;
        store.try_out()?;
        let listen = |address: &SocketAddr| {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        let mut listeners = Vec::new();
        for address in &options.listen {
            let listener = listen(address).with_context(|| {
                format!("while listening at `{address}`\nhint: another port with `--listen`")
            });
            listeners.push(listener?);
        }
        let hello = store.hello();
        let shared = Shared {
            digest: hello.identity.digest,
            hello: hello.to_bytes(),
            n_frames: store.n_frames(),
            store: Mutex::new(store),
            framing: options.framing,
            slot_clock: options.rate.clock(),
            overflow: options.overflow,
            timeout: options.timeout,
            clock: Clock::start(),
            clients: Semaphore::new(CLIENTS_MAX),
            makers: Makers::default(),
            ahead: Arc::new(Semaphore::new(AHEAD_OF_ALL)),
        };
        let ServeOptions { repeat, until_served, .. } = *options;
        Ok(Server { listeners, shared: Arc::new(shared), repeat, until_served })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's refusal to say.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let addresses = self.listeners.iter().map(|listener| Ok(listener.local_addr()?));
        addresses.collect()
    }

    /// Serves until it is stopped; `report` gets what became of each connection.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn run(self, stop: &ServerStop, mut report: impl FnMut(ConnectionReport)) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(available_parallelism().map_or(1, NonZero::get).max(2))
            .build()
            .context("while starting the network")?;
        runtime.block_on(async {
            let (done, mut reports) = mpsc::unbounded_channel();
            let n = self.listeners.len() as u32;
            for (k, listener) in (0..).zip(self.listeners) {
                let listener = TcpListener::from_std(listener).context("while listening")?;
                let shared = Arc::clone(&self.shared);
                tokio::spawn(accept(listener, (k, n), shared, done.clone()));
            }
            let stopper = stop.0.clone();
            let to_stop = done.clone();
            tokio::spawn(async move {
                stopper.notified().await;
                // Nobody listens any more: then it is over already.
                let _ = to_stop.send(None);
            });
            let mut n_served = 0;
            while let Some(Some(of_connection)) = reports.recv().await {
                // A share that begins again ends with the client, once that has been sent something.
                let is_served =
                    of_connection.problem.is_empty() || self.repeat && of_connection.frames > 0;
                n_served += usize::from(is_served);
                report(of_connection);
                if self.until_served.is_some_and(|n| n_served >= n) {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// Gives every client that comes a task of its own.
async fn accept(
    listener: TcpListener,
    port: (u32, u32),
    shared: Arc<Shared>,
    done: mpsc::UnboundedSender<Option<ConnectionReport>>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely: connections that end give some back.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (shared, done) = (Arc::clone(&shared), done.clone());
        tokio::spawn(async move {
            let mut report = ConnectionReport { peer: peer.to_string(), ..Default::default() };
            let begin_ps = shared.clock.now_ps();
            if let Err(problem) = serve_client(stream, port, &shared, &mut report).await {
                report.problem = problem;
            }
            report.elapsed_us = (shared.clock.now_ps() - begin_ps) / 1_000_000;
            // A server that has been stopped needs no report.
            let _ = done.send(Some(report));
        });
    }
}

/// Greets a client and sends its share, or that of the port; why that ended before the share did.
async fn serve_client(
    mut stream: TcpStream,
    port: (u32, u32),
    shared: &Shared,
    report: &mut ConnectionReport,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let Ok(_permit) = shared.clients.try_acquire() else {
        // A board would only hang up.
        if shared.framing == Framing::S40 {
            let _ = timeout(shared.timeout, refuse(&mut stream, Verdict::Busy)).await;
        }
        return Err(Verdict::Busy.explanation().into());
    };
    if shared.framing == Framing::Dth256 {
        report.share = port;
        return Sending { stream, shared, report }.orbits(port).await;
    }
    let hello = match timeout(shared.timeout, greet(&mut stream, shared)).await {
        Ok(greeted) => greeted?,
        Err(_) => return Err("it did not greet".into()),
    };
    report.share = (hello.connection, hello.connections);
    let mut sending = Sending { stream, shared, report };
    sending.share(hello).await
}

async fn greet(stream: &mut TcpStream, shared: &Shared) -> Result<ClientHello, String> {
    let mut bytes = [0; CLIENT_HELLO_BYTES];
    stream.read_exact(&mut bytes).await.map_err(|error| format!("no hello: {error}"))?;
    let verdict = match ClientHello::read(&bytes) {
        Ok(hello) if hello.digest != 0 && hello.digest != shared.digest => Verdict::OtherStream,
        Ok(hello) => {
            stream.write_all(&shared.hello).await.map_err(|error| error.to_string())?;
            return Ok(hello);
        }
        Err(FramingError::Version { .. }) => Verdict::Version,
        Err(_) => Verdict::Malformed,
    };
    refuse(stream, verdict).await;
    Err(format!("refused: {}", verdict.explanation()))
}

async fn refuse(stream: &mut TcpStream, verdict: Verdict) {
    // Whoever is refused may be gone already.
    let _ = stream.write_all(&ServerHello::refusal(verdict)).await;
    let _ = stream.shutdown().await;
}

/// A connection that has been greeted.
struct Sending<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    report: &'a mut ConnectionReport,
}

impl Sending<'_> {
    async fn share(&mut self, hello: ClientHello) -> Result<(), String> {
        let n = u64::from(hello.connections);
        let behind = (u64::from(hello.connection) + n - hello.first_frame % n) % n;
        let first = hello.first_frame.saturating_add(behind);
        let begin_ps = self.shared.clock.now_ps();
        let mut frame = first;
        while frame < self.shared.n_frames {
            let late_ps = self.wait_until_due(first, frame, begin_ps).await?;
            self.send_frame(frame, late_ps).await?;
            frame = frame.saturating_add(n);
        }
        let end = FrameHead::empty(FrameKind::End, self.shared.n_frames);
        self.write(end, Bytes::new()).await?;
        self.shutdown().await
    }

    async fn shutdown(&mut self) -> Result<(), String> {
        self.stream.shutdown().await.map_err(|error| error.to_string())
    }

    fn is_too_late(&self, late_ps: u64) -> bool {
        match self.shared.overflow {
            Overflow::DropAfter(most) => u128::from(late_ps) > most.as_nanos() * 1000,
            Overflow::Stall => false,
        }
    }

    /// When a block is over by the clock, if there is one.
    fn due_ps(&self, first: u64, frame: u64, begin_ps: u64) -> Option<u64> {
        let slot_clock = self.shared.slot_clock?;
        let store = self.store();
        let slots = store.end_slot(frame).saturating_sub(store.first_slot(first));
        Some(begin_ps.saturating_add(slot_clock.due_ps(slots)))
    }

    /// Waits until a block is over by the clock; how late it is then, in ps.
    async fn wait_until_due(
        &mut self,
        first: u64,
        frame: u64,
        begin_ps: u64,
    ) -> Result<u64, String> {
        let Some(due_ps) = self.due_ps(first, frame, begin_ps) else { return Ok(0) };
        loop {
            let now_ps = self.shared.clock.now_ps();
            if now_ps >= due_ps {
                return Ok(now_ps - due_ps);
            }
            // Rounded up: a timer of less than a millisecond would come too early again and again.
            let wait = Duration::from_millis((due_ps - now_ps).div_ceil(1_000_000_000));
            sleep(wait.min(ALIVE_EVERY)).await;
            if wait > ALIVE_EVERY && self.shared.framing == Framing::S40 {
                self.write(FrameHead::empty(FrameKind::Alive, frame), Bytes::new()).await?;
            }
        }
    }

    async fn send_frame(&mut self, frame: u64, late_ps: u64) -> Result<(), String> {
        let (facts, orbit_shift) = {
            let store = self.store();
            (store.facts(frame), store.orbit_shift(frame))
        };
        let n_crossings = facts.n_crossings;
        if self.is_too_late(late_ps) {
            self.report.dropped_crossings += u64::from(n_crossings);
            let orbits = facts.n_orbits;
            let empty = FrameHead::empty(FrameKind::Dropped, frame);
            return self.write(FrameHead { n_crossings, orbits, ..empty }, Bytes::new()).await;
        }
        let stored = self.store().block(frame).map_err(|error| error.to_string())?;
        let (kind, payload) = match stored {
            Stored::Block(bytes) => (FrameKind::Block, bytes),
            Stored::Damaged => (FrameKind::Damaged, Bytes::new()),
        };
        let payload_len = payload.len() as u32;
        let head = FrameHead { kind, payload_len, n_crossings, number: frame, orbits: orbit_shift };
        self.report.crossings += u64::from(n_crossings);
        self.write(head, payload).await
    }

    async fn write(&mut self, head: FrameHead, payload: Bytes) -> Result<(), String> {
        let bytes = head.to_bytes();
        self.put(Buf::chain(&bytes[..], payload)).await
    }

    async fn put(&mut self, mut bytes: impl Buf) -> Result<(), String> {
        let begin_ps = self.shared.clock.now_ps();
        self.report.frames += 1;
        self.report.bytes += bytes.remaining() as u64;
        while bytes.has_remaining() {
            // Slow is not still: every byte that it takes gives it time again.
            match timeout(self.shared.timeout, self.stream.write_buf(&mut bytes)).await {
                Ok(Ok(0)) => return Err("it closed the connection".into()),
                Ok(written) => written.map_err(|error| error.to_string())?,
                Err(_) => return Err(format!("it took nothing for {:?}", self.shared.timeout)),
            };
        }
        let waited_us = (self.shared.clock.now_ps() - begin_ps) / 1_000_000;
        if waited_us > STALL_US {
            self.report.stalls += 1;
            self.report.stalled_us += waited_us;
        }
        Ok(())
    }

    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
