//! Orbits as the boards of Phase 2 send them: DTHBasic256 blocks of Native64 events.
//!
//! Nobody greets: a connection brings orbits from when it is made until it ends. Each is decoded on the
//! receiving thread into a block of its own. The lowest orbit that any connection has comes next; what
//! several connections bring of the same orbit is joined. That waits until every open connection has
//! brought an orbit or has been given up. A connection that ends between two orbits has ended; one that
//! ends within an orbit is made again, and given up when that has brought no later orbit for the whole of
//! the timeout. Orbit numbers that are passed over count as missing.

use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::format::{FormatError, SampleKind, StreamHeader};
use scout40_replay::framing::native::{OrbitCounts, join_orbit, native_columns, read_orbit};
use scout40_replay::raw::dth::OrbitDecoder;
use scout40_replay::source::{Delivery, Source, SourceError, SourceFacts};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TryRecvError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::{FIRST_BACK_OFF, LONGEST_BACK_OFF};
use super::source::either;
use super::{Counters, NetworkOptions};
use crate::clock::Clock;

/// Orbits of a connection, and of all, that wait for the reader.
const ORBITS_AHEAD: usize = 64;
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 18;
/// Blocks that are kept to be used again.
const SPARES_MAX: usize = 64;

/// What the reader gets.
enum Item {
    Orbit(Block),
    Other(Delivery),
}

/// What a connection brings.
#[expect(clippy::large_enum_variant, reason = "a box would be allocated for every orbit")]
enum Message {
    Orbit(Block, OrbitCounts),
    GaveUp(String),
}

type Spares = Mutex<Vec<Block>>;

/// Orbits from the network.
pub struct DthSource {
    name: String,
    header: StreamHeader,
    items: Receiver<Item>,
    spares: Arc<Spares>,
    has_ended: bool,
    thread: Option<JoinHandle<()>>,
}

impl DthSource {
    /// Connects to each `HOST:PORT`.
    ///
    /// # Errors
    /// An address that cannot be reached for the whole of the timeout.
    pub fn open(
        addresses: &[String],
        options: NetworkOptions,
        counters: Arc<Counters>,
    ) -> Result<DthSource> {
        let name = format!("tcp://{}", addresses.join(","));
        let spares = Arc::new(Spares::default());
        let (out, items) = channel(ORBITS_AHEAD);
        let (connected, connecting) = std_mpsc::channel();
        let (addresses, of_thread) = (addresses.to_vec(), Arc::clone(&spares));
        let receive = move || {
            let receiving = Receiving { timeout: options.timeout, counters, spares: of_thread };
            receiving.run(addresses, out, &connected);
        };
        let thread = Builder::new().name("network".into()).spawn(receive);
        let thread = thread.context("while starting the receiving thread")?;
        match connecting.recv() {
            Ok(connected) => connected.with_context(|| format!("while connecting to `{name}`"))?,
            Err(_) => bail!("the receiving thread has stopped"),
        }
        let header = StreamHeader::new(SampleKind::Data, "network", native_columns());
        Ok(DthSource { name, header, items, spares, has_ended: false, thread: Some(thread) })
    }
}

impl Source for DthSource {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn facts(&self) -> SourceFacts {
        SourceFacts { is_live: true, ..SourceFacts::default() }
    }

    fn columns(&self) -> ColumnSet {
        native_columns()
    }

    fn next_block(
        &mut self,
        _wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        if self.has_ended {
            return Ok(Delivery::End);
        }
        match self.items.try_recv() {
            Ok(Item::Orbit(orbit)) => {
                put_spare(&self.spares, std::mem::replace(block, orbit));
                Ok(Delivery::Block)
            }
            Ok(Item::Other(delivery)) => {
                self.has_ended = delivery == Delivery::End;
                Ok(delivery)
            }
            Err(TryRecvError::Empty) => Ok(Delivery::Pending),
            Err(TryRecvError::Disconnected) => Err(SourceError::Failed {
                name: self.name.clone(),
                problem: "the receiving thread has stopped".into(),
            }),
        }
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        let problem = "what has been received is gone".into();
        Err(SourceError::Failed { name: self.name.clone(), problem })
    }
}

impl Drop for DthSource {
    fn drop(&mut self) {
        self.items.close();
        while self.items.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

fn put_spare(spares: &Spares, block: Block) {
    let mut spares = spares.lock().unwrap_or_else(PoisonError::into_inner);
    if spares.len() < SPARES_MAX {
        spares.push(block);
    }
}

fn take_spare(spares: &Spares) -> Block {
    spares.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

/// What the receiving thread and its connections share.
struct Receiving {
    timeout: Duration,
    counters: Arc<Counters>,
    spares: Arc<Spares>,
}

impl Receiving {
    fn run(
        self,
        addresses: Vec<String>,
        out: Sender<Item>,
        connected: &std_mpsc::Sender<Result<()>>,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime.context("while starting the network") {
            Ok(runtime) => runtime,
            Err(error) => {
                // Whoever opens it waits for this.
                let _ = connected.send(Err(error));
                return;
            }
        };
        runtime.block_on(async {
            let mut inputs = Vec::new();
            for address in addresses {
                let mut last = String::from("it does not answer");
                let stream = timeout(self.timeout, connect(&address, &mut last)).await;
                let Ok(stream) = stream else {
                    let error = anyhow::anyhow!("`{address}`: {last}");
                    let _ = connected.send(Err(error));
                    return;
                };
                let (to, from) = channel(ORBITS_AHEAD);
                let link = Link {
                    address,
                    timeout: self.timeout,
                    counters: Arc::clone(&self.counters),
                    spares: Arc::clone(&self.spares),
                    clock: Clock::start(),
                    to,
                };
                tokio::spawn(link.run(stream));
                inputs.push(Input { from, front: None, is_open: true });
            }
            let _ = connected.send(Ok(()));
            let unwanted = out.clone();
            let mut merge = Merge { inputs, out, counters: &self.counters, last: None };
            let merged = async {
                // A reader that is gone needs no last word.
                let _ = merge.run().await;
            };
            either(merged, unwanted.closed()).await;
        });
    }
}

/// Connects, however often that takes; `last` is why it did not so far.
async fn connect(address: &str, last: &mut String) -> TcpStream {
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

/// One connection.
struct Link {
    address: String,
    timeout: Duration,
    counters: Arc<Counters>,
    spares: Arc<Spares>,
    clock: Clock,
    to: Sender<Message>,
}

/// Why a connection does not go on.
enum Break {
    Ended,
    Unwanted,
    Again(String),
}

impl Link {
    async fn run(self, mut stream: TcpStream) {
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
        let mut bytes = vec![0; READ_BYTES];
        let mut last_orbit = Instant::now();
        loop {
            // An orbit has to come within the timeout, however fast its bytes trickle.
            let read = timeout_at(last_orbit + self.timeout, stream.read(&mut bytes)).await;
            let n = match read {
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
            decoder.push(&bytes[..n]);
            let mut any = false;
            while let Some(orbit) = decoder.next_orbit() {
                self.counters.truncated_frames.add((!orbit.complete).into());
                let mut block = take_spare(&self.spares);
                let counts = read_orbit(orbit.payload, orbit.header, &mut block);
                if let Some(number) = orbit_of(&block)
                    && highest.is_none_or(|(run, orbit)| run != block.run || number > orbit)
                {
                    *highest = Some((block.run, number));
                }
                if self.hand_on(Message::Orbit(block, counts)).await.is_err() {
                    return Break::Unwanted;
                }
                any = true;
            }
            if any {
                last_orbit = Instant::now();
            }
            if decoder.counts().lost_bytes > 0 {
                self.counters.protocol_errors.add(1);
                return Break::Again("what it sends are no DTHBasic256 blocks".into());
            }
        }
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

    /// Waits until there is room for it.
    async fn hand_on(&self, message: Message) -> Result<(), ()> {
        if self.to.capacity() > 0 {
            return self.to.send(message).await.map_err(|_| ());
        }
        let since_ps = self.clock.now_ps();
        let sent = self.to.send(message).await;
        self.counters.receiver_stalls.add(1);
        self.counters.receiver_stalled_us.add((self.clock.now_ps() - since_ps) / 1_000_000);
        sent.map_err(|_| ())
    }
}

/// A connection as the one who merges sees it.
struct Input {
    from: Receiver<Message>,
    front: Option<Block>,
    is_open: bool,
}

/// The reader is gone.
struct Unwanted;

/// Puts orbits in order.
struct Merge<'a> {
    inputs: Vec<Input>,
    out: Sender<Item>,
    counters: &'a Counters,
    /// Run and orbit that came last.
    last: Option<(u32, u32)>,
}

fn orbit_of(block: &Block) -> Option<u32> {
    block.get::<u32>(Column::Orbit).first().copied()
}

impl Merge<'_> {
    async fn run(&mut self) -> Result<(), Unwanted> {
        loop {
            for k in 0..self.inputs.len() {
                self.find_front(k).await?;
            }
            let fronts = self.inputs.iter().filter_map(|input| input.front.as_ref());
            let Some(orbit) = fronts.filter_map(orbit_of).min() else {
                return self.say(Delivery::End).await;
            };
            let mut whole: Option<Block> = None;
            for k in 0..self.inputs.len() {
                let of_orbit = |block: &mut Block| orbit_of(block) == Some(orbit);
                let Some(block) = self.inputs[k].front.take_if(of_orbit) else { continue };
                match &mut whole {
                    None => whole = Some(block),
                    Some(whole) => {
                        let doubles = join_orbit(whole, &block);
                        self.counters.duplicate_crossings.add(doubles.into());
                    }
                }
            }
            self.hand_on(whole.expect("the lowest orbit is somebody's"), orbit).await?;
        }
    }

    /// Waits until a connection has brought an orbit with events, or will bring none.
    async fn find_front(&mut self, k: usize) -> Result<(), Unwanted> {
        while self.inputs[k].is_open && self.inputs[k].front.is_none() {
            match self.inputs[k].from.recv().await {
                Some(Message::Orbit(block, counts)) => {
                    self.account(&counts).await?;
                    // An orbit without events has nothing for anybody.
                    if !block.is_empty() {
                        self.inputs[k].front = Some(block);
                    }
                }
                Some(Message::GaveUp(why)) => {
                    self.inputs[k].is_open = false;
                    let problem = format!("a connection was given up: {why}");
                    self.say(Delivery::Missing { n_crossings: 0, problem }).await?;
                }
                None => self.inputs[k].is_open = false,
            }
        }
        Ok(())
    }

    /// What was wrong with an orbit.
    async fn account(&self, counts: &OrbitCounts) -> Result<(), Unwanted> {
        if counts.truncated > 0 {
            self.counters.truncated_events.add(counts.truncated.into());
            let problem = format!("{} events came truncated", counts.truncated);
            let n_crossings = counts.truncated.into();
            self.say(Delivery::Missing { n_crossings, problem }).await?;
        }
        if counts.corrupt > 0 || counts.problem.is_some() {
            self.counters.corrupt_blocks.add(1);
            let problem = counts.problem.clone().unwrap_or("events make no sense".into());
            let problem = FormatError::Corrupt { what: "orbit", offset: 0, problem };
            let n_crossings = counts.corrupt;
            self.say(Delivery::Corrupt { n_crossings, problem }).await?;
        }
        Ok(())
    }

    async fn hand_on(&mut self, block: Block, orbit: u32) -> Result<(), Unwanted> {
        if let Some((run, last)) = self.last
            && run == block.run
        {
            if orbit <= last {
                self.counters.late_orbits.add(1);
                self.counters.late_crossings.add(block.len() as u64);
                return Ok(());
            }
            self.counters.missing_orbits.add(u64::from(orbit - last) - 1);
        }
        self.last = Some((block.run, orbit));
        self.counters.blocks_delivered.add(1);
        self.send(Item::Orbit(block)).await
    }

    async fn say(&self, delivery: Delivery) -> Result<(), Unwanted> {
        self.send(Item::Other(delivery)).await
    }

    async fn send(&self, item: Item) -> Result<(), Unwanted> {
        self.out.send(item).await.map_err(|_| Unwanted)
    }
}
