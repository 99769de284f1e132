//! The receiving thread, and the source that a run reads from.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, mpsc as std_mpsc};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, bail};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{BlockDecoder, BlockMeta, EncodedBlock, StreamHeader};
use scout40_replay::framing::{ClientHello, ServerHello, StreamIdentity};
use scout40_replay::source::{Delivery, EncodedSource, Section, Source, SourceError, SourceFacts};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TryRecvError};

use super::buffer::{Budget, Spares};
use super::client::Client;
use super::merge::{Item, Merge};
use super::{Counters, NetworkOptions};
use crate::clock::Clock;

/// Frames of a connection, and blocks of all, that may wait beside the limit in bytes.
const FRAMES_AHEAD: usize = 256;

/// Blocks from the network.
pub struct TcpSource {
    name: String,
    hello: ServerHello,
    columns: ColumnSet,
    items: Receiver<Item>,
    spares: Arc<Spares>,
    counters: Arc<Counters>,
    decoder: BlockDecoder,
    section: Section,
    /// What was looked at but not taken.
    front: Option<Item>,
    has_ended: bool,
    thread: Option<JoinHandle<()>>,
}

impl TcpSource {
    /// Connects to each `HOST:PORT`, and waits until every connection has been greeted: connection k of
    /// N carries every N-th block from the k-th on.
    ///
    /// # Errors
    /// An address that cannot be reached for the whole of the timeout, a peer that speaks otherwise,
    /// connections that carry different streams.
    ///
    /// # Panics
    /// If there is no address.
    pub fn open(
        addresses: &[String],
        options: NetworkOptions,
        counters: Arc<Counters>,
    ) -> Result<TcpSource> {
        assert!(!addresses.is_empty(), "a connection goes somewhere");
        let name = format!("tcp://{}", addresses.join(","));
        let addresses = addresses.to_vec();
        let spares = Arc::new(Spares::default());
        let (out, items) = channel(FRAMES_AHEAD);
        let (greeted, greeting) = std_mpsc::channel();
        let of_thread = (Arc::clone(&counters), Arc::clone(&spares));
        let thread = Builder::new()
            .name("network".into())
            .spawn(move || {
                let (counters, spares) = of_thread;
                receive(addresses, options, counters, spares, out, &greeted);
            })
            .context("while starting the receiving thread")?;
        let hello = match greeting.recv() {
            Ok(greeted) => greeted.with_context(|| format!("while connecting to `{name}`"))?,
            Err(_) => bail!("the receiving thread has stopped"),
        };
        let columns = hello.header.column_set().with_context(|| format!("`{name}`"))?;
        Ok(TcpSource {
            name,
            hello,
            columns,
            items,
            spares,
            counters,
            decoder: BlockDecoder::new().context("while preparing to decode")?,
            section: Section::default(),
            front: None,
            has_ended: false,
            thread: Some(thread),
        })
    }

    /// What has come, if anything has.
    fn next_item(&mut self) -> Result<Option<Item>, SourceError> {
        if self.front.is_some() {
            return Ok(self.front.take());
        }
        match self.items.try_recv() {
            Ok(item) => Ok(Some(item)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(SourceError::Failed {
                name: self.name.clone(),
                problem: "the receiving thread has stopped: this is a mistake in scout40, please \
                          report it"
                    .into(),
            }),
        }
    }
}

impl Source for TcpSource {
    fn header(&self) -> &StreamHeader {
        &self.hello.header
    }

    fn facts(&self) -> SourceFacts {
        let StreamIdentity { digest, n_crossings, first_run, last_run, .. } = self.hello.identity;
        SourceFacts {
            digest: Some(digest),
            n_crossings: Some(n_crossings),
            runs: Some((first_run, last_run)),
            is_live: true,
            ..SourceFacts::default()
        }
    }

    fn columns(&self) -> ColumnSet {
        self.columns
    }

    fn next_block(
        &mut self,
        wanted: ColumnSet,
        block: &mut Block,
    ) -> Result<Delivery, SourceError> {
        let mut section = std::mem::take(&mut self.section);
        let mut delivery = self.next_section(&mut section)?;
        if delivery == Delivery::Block {
            let decoded = section.decode(&mut self.decoder, self.columns, wanted, block);
            if let Err(problem) = decoded {
                let encoded = EncodedBlock::parse(&section.bytes, section.offset);
                let n_crossings = encoded.map_or(0, |encoded| encoded.meta.n_crossings);
                delivery = Delivery::Corrupt { n_crossings, problem };
            }
        }
        self.section = section;
        Ok(delivery)
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        Err(SourceError::Failed {
            name: self.name.clone(),
            problem: "what has been received is gone".into(),
        })
    }

    fn skip_block(&mut self) -> Result<Option<BlockMeta>, SourceError> {
        match self.next_item()? {
            Some(Item::Block(section, _)) => {
                let encoded = EncodedBlock::parse(&section.bytes, section.offset);
                let mut meta = encoded.expect("it has been parsed before").meta;
                meta.first_orbit += section.orbit_shift;
                meta.last_orbit += section.orbit_shift;
                self.spares.put(section.bytes);
                self.counters.blocks_passed_over.add(1);
                Ok(Some(meta))
            }
            other => {
                self.front = other;
                Ok(None)
            }
        }
    }
}

impl EncodedSource for TcpSource {
    fn next_section(&mut self, section: &mut Section) -> Result<Delivery, SourceError> {
        if self.has_ended {
            return Ok(Delivery::End);
        }
        Ok(match self.next_item()? {
            None => Delivery::Pending,
            Some(Item::Block(received, _room)) => {
                let spare = std::mem::replace(section, received);
                self.spares.put(spare.bytes);
                Delivery::Block
            }
            Some(Item::Other(delivery)) => {
                self.has_ended =
                    !matches!(delivery, Delivery::Corrupt { .. } | Delivery::Missing { .. });
                delivery
            }
        })
    }
}

impl Drop for TcpSource {
    fn drop(&mut self) {
        self.items.close();
        // Blocks that wait hold parts of the buffer, which somebody may be waiting for.
        while self.items.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What the receiving thread does.
fn receive(
    addresses: Vec<String>,
    options: NetworkOptions,
    counters: Arc<Counters>,
    spares: Arc<Spares>,
    out: Sender<Item>,
    greeted: &std_mpsc::Sender<Result<ServerHello>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = match runtime.context("while starting the network") {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever opens it waits for this.
            let _ = greeted.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let mut connections = match connect(addresses, options, &counters, &spares).await {
            Ok(connections) => connections,
            Err(error) => {
                let _ = greeted.send(Err(error));
                return;
            }
        };
        let hello = connections[0].2.clone();
        let identity = hello.identity;
        let _ = greeted.send(Ok(hello));
        let mut inputs = Vec::new();
        for (client, stream, _) in connections.drain(..) {
            let (to, from) = channel(FRAMES_AHEAD);
            tokio::spawn(client.run(stream, to));
            inputs.push(from);
        }
        let unwanted = out.clone();
        let merge = Merge::new(inputs, out, &counters, identity).run();
        // Whatever it waits for, a reader that is gone ends it.
        either(merge, unwanted.closed()).await;
    });
}

type Connection = (Client, TcpStream, ServerHello);

/// Opens every connection.
async fn connect(
    addresses: Vec<String>,
    options: NetworkOptions,
    counters: &Arc<Counters>,
    spares: &Arc<Spares>,
) -> Result<Vec<Connection>> {
    let n = addresses.len();
    let clock = Clock::start();
    let mut connections: Vec<Connection> = Vec::with_capacity(n);
    for (k, address) in addresses.into_iter().enumerate() {
        let digest = connections.first().map_or(0, |(_, _, hello)| hello.identity.digest);
        let client = Client {
            hello: ClientHello {
                connection: k as u32,
                connections: n as u32,
                first_frame: k as u64,
                digest,
            },
            address,
            timeout: options.timeout,
            budget: Budget::of(&options, n, counters, &clock),
            counters: Arc::clone(counters),
            spares: Arc::clone(spares),
        };
        let opened = client.open().await.map_err(|why| {
            let address = &client.address;
            anyhow::anyhow!(
                "`{address}`: {why}\nhint: `scout40 serve STREAM --listen {address}` sends one"
            )
        });
        let (stream, hello) = opened?;
        if let Some((first, _, of_first)) = connections.first()
            && hello != *of_first
        {
            bail!(
                "expected one stream, found another one at `{}` than at `{}`\n\
                 hint: connections share the blocks of one stream",
                client.address,
                first.address
            );
        }
        let hello_of_client = ClientHello { digest: hello.identity.digest, ..client.hello };
        connections.push((Client { hello: hello_of_client, ..client }, stream, hello));
    }
    Ok(connections)
}

/// Waits for the first of two.
pub async fn either(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        let is_done = a.as_mut().poll(context).is_ready() || b.as_mut().poll(context).is_ready();
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
