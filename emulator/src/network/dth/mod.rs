//! Orbits as the boards of Phase 2 send them: DTHBasic256 blocks of Native64 events.
//!
//! ```text
//! socket ─► blocks put together to orbits (link) ─► lowest orbit next (merge) ─► reader: columns
//! ```
//!
//! Nobody greets: a connection brings orbits from when it is made until it ends. The receiving thread
//! looks at their numbers only; the reader makes columns of them, those that the run wants. What several
//! connections bring of the same orbit is joined there.

mod link;
mod merge;

use std::collections::VecDeque;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, bail};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{FormatError, SampleKind, StreamHeader};
use scout40_replay::framing::native::{OrbitCounts, OrbitReader, join_orbit, native_columns};
use scout40_replay::raw::native64::OrbitHeader;
use scout40_replay::source::{Delivery, Source, SourceError, SourceFacts};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TryRecvError};
use tokio::time::timeout;

use self::link::{Link, connect};
use self::merge::Merge;
use super::buffer::{Budget, Room, Spares};
use super::source::either;
use super::{Counters, NetworkOptions};
use crate::clock::Clock;

/// Orbits of a connection, and of all, that may wait beside the limit in bytes.
const ORBITS_AHEAD: usize = 256;

/// What a connection brought of an orbit.
struct Part {
    /// Its lowest five bits; once in order, as many as there have been since the run began.
    run: u32,
    orbit: u32,
    header: Option<OrbitHeader>,
    payload: Vec<u8>,
    /// Free again when the part is gone.
    _room: Room,
}

/// What the reader gets.
enum Item {
    Orbit {
        first: Part,
        /// What other connections brought of it.
        others: Vec<Part>,
    },
    Other(Delivery),
}

/// Orbits from the network.
pub struct DthSource {
    name: String,
    header: StreamHeader,
    items: Receiver<Item>,
    spares: Arc<Spares>,
    counters: Arc<Counters>,
    orbits: OrbitReader,
    /// Of the second and further parts of an orbit.
    other: Block,
    /// What is to be said of orbits that have been read.
    said: VecDeque<Delivery>,
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
        let receiving = Receiving {
            addresses: addresses.to_vec(),
            options,
            counters: Arc::clone(&counters),
            spares: Arc::clone(&spares),
        };
        let thread = Builder::new()
            .name("network".into())
            .spawn(move || receiving.run(out, &connected))
            .context("while starting the receiving thread")?;
        match connecting.recv() {
            Ok(connected) => connected.with_context(|| format!("while connecting to `{name}`"))?,
            Err(_) => bail!("the receiving thread has stopped"),
        }
        Ok(DthSource {
            name,
            header: StreamHeader::new(SampleKind::Data, "network", native_columns()),
            items,
            spares,
            counters,
            orbits: OrbitReader::default(),
            other: Block::default(),
            said: VecDeque::new(),
            has_ended: false,
            thread: Some(thread),
        })
    }

    /// Makes columns of an orbit.
    fn read_orbit(&mut self, first: Part, others: Vec<Part>, wanted: ColumnSet, block: &mut Block) {
        let run = first.run;
        self.read_part(first, wanted, block);
        for part in others {
            let mut other = std::mem::take(&mut self.other);
            self.read_part(part, wanted, &mut other);
            let doubles = join_orbit(block, &other);
            self.counters.duplicate_crossings.add(doubles.into());
            self.other = other;
        }
        // The words have its lowest bits alone.
        block.run = run;
    }

    fn read_part(&mut self, part: Part, wanted: ColumnSet, block: &mut Block) {
        let counts = self.orbits.read(&part.payload, part.header, wanted, block);
        self.spares.put(part.payload);
        self.account(counts, part.orbit);
    }

    /// What was wrong with an orbit.
    fn account(&mut self, counts: OrbitCounts, orbit: u32) {
        let OrbitCounts { truncated, corrupt, problem } = counts;
        if truncated > 0 {
            self.counters.truncated_events.add(truncated.into());
            let problem = format!("orbit {orbit}: {truncated} events came truncated");
            self.said.push_back(Delivery::Missing { n_crossings: truncated.into(), problem });
        }
        if corrupt > 0 || problem.is_some() {
            self.counters.corrupt_blocks.add(1);
            let problem = problem.unwrap_or_else(|| format!("{corrupt} events make no sense"));
            let problem = format!("orbit {orbit}: {problem}");
            let problem = FormatError::Corrupt { what: "orbit", offset: 0, problem };
            self.said.push_back(Delivery::Corrupt { n_crossings: corrupt, problem });
        }
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
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        loop {
            if let Some(delivery) = self.said.pop_front() {
                return Ok(delivery);
            }
            if self.has_ended {
                return Ok(Delivery::End);
            }
            match self.items.try_recv() {
                Ok(Item::Orbit { first, others }) => {
                    self.read_orbit(first, others, wanted, block);
                    // What holds no event that makes sense has nothing for anybody.
                    if !block.is_empty() {
                        return Ok(Delivery::Block);
                    }
                }
                Ok(Item::Other(delivery)) => {
                    self.has_ended = delivery == Delivery::End;
                    return Ok(delivery);
                }
                Err(TryRecvError::Empty) => return Ok(Delivery::Pending),
                Err(TryRecvError::Disconnected) => {
                    let problem = "the receiving thread has stopped: this is a mistake in scout40, \
                                   please report it";
                    return Err(self.failed(problem));
                }
            }
        }
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        Err(self.failed("what has been received is gone"))
    }
}

impl DthSource {
    fn failed(&self, problem: &str) -> SourceError {
        SourceError::Failed { name: self.name.clone(), problem: problem.into() }
    }
}

impl Drop for DthSource {
    fn drop(&mut self) {
        self.items.close();
        // Orbits that wait hold parts of the buffer, which somebody may be waiting for.
        while self.items.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What the receiving thread does.
struct Receiving {
    addresses: Vec<String>,
    options: NetworkOptions,
    counters: Arc<Counters>,
    spares: Arc<Spares>,
}

impl Receiving {
    fn run(self, out: Sender<Item>, connected: &std_mpsc::Sender<Result<()>>) {
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
            let (mut inputs, clock) = (Vec::new(), Clock::start());
            for address in &self.addresses {
                let mut last = String::from("it does not answer");
                let stream = timeout(self.options.timeout, connect(address, &mut last)).await;
                let Ok(stream) = stream else {
                    let _ = connected.send(Err(anyhow::anyhow!("`{address}`: {last}")));
                    return;
                };
                let n = self.addresses.len();
                let (to, from) = channel(ORBITS_AHEAD);
                let link = Link {
                    address: address.clone(),
                    timeout: self.options.timeout,
                    budget: Budget::of(&self.options, n, &self.counters, &clock),
                    counters: Arc::clone(&self.counters),
                    spares: Arc::clone(&self.spares),
                    to,
                };
                tokio::spawn(link.run(stream));
                inputs.push(from);
            }
            let _ = connected.send(Ok(()));
            let unwanted = out.clone();
            let merge = Merge::new(inputs, out, &self.counters, &self.spares).run();
            // Whatever it waits for, a reader that is gone ends it.
            either(merge, unwanted.closed()).await;
        });
    }
}
