//! Senders and lines for the tests of the network, and runs that read from them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scout40::config::{Engine, Keep, PreparedRun, RunConfig, SchemeChoice};
use scout40::network::{ConnectionReport, Framing, NetworkOptions, Overflow, Server, ServerStop};
use scout40::pipeline::execute;
use scout40::sink::{RunFolder, RunSummary};
use scout40::source::SourceSpec;
use scout40::trigger::Threshold;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::format::EncodedBlock;
use scout40_replay::framing::{CLIENT_HELLO_BYTES, ClientHello, ServerHello, StreamIdentity};
use scout40_replay::pacing::Rate;
use scout40_replay::source::{Delivery, EncodedSource, FileSource, Section, Source};

pub use scout40::network::ServeOptions;

/// After so long a test hangs.
const WATCHDOG: Duration = Duration::from_secs(180);
/// How patient both sides are where nobody is dead: on a busy machine, everybody is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// How patient they are with those that are dead.
pub const TIMEOUT: Duration = Duration::from_millis(500);
/// Runs over a line with random faults.
const CASES: u32 = 40;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn stream() -> PathBuf {
    fixture("pathological/good.s40")
}

pub fn file() -> SourceSpec {
    stream().into()
}

pub fn tcp(addresses: &[SocketAddr]) -> SourceSpec {
    SourceSpec::Tcp(addresses.iter().map(ToString::to_string).collect())
}

/// Runs a test that must not hang.
pub fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

fn config(source: SourceSpec) -> RunConfig {
    RunConfig {
        source,
        models: vec![fixture("models/forest.model")],
        engine: Engine::default(),
        menu: None,
        thresholds: vec![Threshold::Raw(-20_000)],
        target_rates_hz: Vec::new(),
        calibrate: None,
        prescale: NonZeroU32::MIN,
        injections: Vec::new(),
        rng_seed: 1,
        rate: Rate::Max,
        scheme: SchemeChoice::File(fixture("pathological/50-bunches.toml")),
        duration: None,
        orbits: None,
        from_orbit: None,
        repeat: false,
        stall: false,
        ring_depth: Duration::from_millis(1),
        batch_size: 64,
        max_wait: None,
        cores: None,
        workers: None,
        readers: 1,
        network: NetworkOptions { timeout: PATIENCE, ..NetworkOptions::default() },
        interval: Duration::from_secs(1),
        keep: Keep::Needed,
    }
}

/// A run, or why it was refused, and the bytes of its accepted events.
pub fn try_run(
    source: SourceSpec,
    change: impl FnOnce(&mut RunConfig),
) -> (Result<RunSummary, String>, Vec<u8>) {
    let mut config = config(source);
    change(&mut config);
    let desk = tempfile::tempdir().unwrap();
    let prepared = match PreparedRun::new(config) {
        Ok(prepared) => prepared,
        Err(error) => return (Err(format!("{error:#}")), Vec::new()),
    };
    let folder = RunFolder::create(Some(&desk.path().join("out"))).unwrap();
    let stop = AtomicBool::new(false);
    let summary = execute(prepared, Some(&folder), &stop, &mut |_| {});
    let path = folder.finish().unwrap();
    let accepted = std::fs::read(path.join("accepted.s40")).unwrap();
    (summary.map_err(|error| format!("{error:#}")), accepted)
}

pub fn run_with(source: SourceSpec, change: impl FnOnce(&mut RunConfig)) -> (RunSummary, Vec<u8>) {
    let (summary, accepted) = try_run(source, change);
    (summary.unwrap(), accepted)
}

/// A run that does not wait long for the dead.
pub fn impatient(config: &mut RunConfig) {
    config.network.timeout = TIMEOUT;
}

pub fn run(source: SourceSpec) -> (RunSummary, Vec<u8>) {
    run_with(source, |_| {})
}

/// Orbit, crossing and score of accepted events.
pub fn events(accepted: &[u8]) -> Vec<(u32, i16, i32)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accepted.s40");
    std::fs::write(&path, accepted).unwrap();
    let mut source = FileSource::open(&path).unwrap();
    let (mut block, mut found) = (Block::default(), Vec::new());
    while source.next_block(ColumnSet::ALL, &mut block).unwrap() == Delivery::Block {
        let orbits = block.get::<u32>(Column::Orbit).iter();
        let bxs = block.get::<i16>(Column::Bx).iter();
        let scores = block.get::<i32>(Column::Score).iter();
        found.extend(orbits.zip(bxs).zip(scores).map(|((&orbit, &bx), &score)| (orbit, bx, score)));
    }
    found
}

/// The blocks of the stream as they are encoded.
pub fn sections() -> Vec<Vec<u8>> {
    let mut source = FileSource::open(&stream()).unwrap();
    let (mut section, mut found) = (Section::default(), Vec::new());
    while source.next_section(&mut section).unwrap() == Delivery::Block {
        found.push(section.bytes.clone());
    }
    found
}

pub fn n_blocks() -> u64 {
    sections().len() as u64
}

/// Crossings of each block.
pub fn block_sizes() -> Vec<u64> {
    let size = |bytes: &Vec<u8>| EncodedBlock::parse(bytes, 0).unwrap().meta.n_crossings.into();
    sections().iter().map(size).collect()
}

/// Orbits after block `a` and before block `b`.
pub fn orbits_between(a: usize, b: usize) -> u64 {
    let sections = sections();
    let meta = |k: usize| EncodedBlock::parse(&sections[k], 0).unwrap().meta;
    u64::from(meta(b).first_orbit - meta(a).last_orbit - 1)
}

/// What an honest server says of the stream.
pub fn server_hello() -> ServerHello {
    let source = FileSource::open(&stream()).unwrap();
    let index = source.info().index.clone().unwrap();
    let identity = StreamIdentity {
        digest: index.digest,
        n_crossings: index.n_crossings,
        n_blocks: index.blocks.len() as u64,
        first_run: index.blocks[0].run,
        last_run: index.blocks[index.blocks.len() - 1].run,
        repeats: false,
    };
    ServerHello { identity, header: source.header().clone() }
}

/// As fast as possible on so many free ports.
pub fn serve_options(n: usize) -> ServeOptions {
    ServeOptions {
        listen: vec!["127.0.0.1:0".parse().unwrap(); n],
        rate: Rate::Max,
        framing: Framing::S40,
        overflow: Overflow::Stall,
        repeat: false,
        timeout: PATIENCE,
        until_served: None,
    }
}

/// The real server on a thread.
pub struct Serving {
    addresses: Vec<SocketAddr>,
    stop: ServerStop,
    reports: mpsc::Receiver<ConnectionReport>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    pub fn start(options: ServeOptions) -> Serving {
        Serving::of(&stream(), options)
    }

    pub fn of(stream: &Path, options: ServeOptions) -> Serving {
        let server = Server::bind(FileSource::open(stream).unwrap(), &options).unwrap();
        let addresses = server.addresses().unwrap();
        let stop = ServerStop::default();
        let (of_thread, (to, reports)) = (stop.clone(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            let report = |report| {
                let _ = to.send(report);
            };
            server.run(&of_thread, report).unwrap();
        });
        Serving { addresses, stop, reports, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn source(&self) -> SourceSpec {
        tcp(&self.addresses)
    }

    /// Waits until it has ended of itself.
    pub fn wait(mut self) -> Vec<ConnectionReport> {
        let reports = self.reports.iter().collect();
        self.thread.take().unwrap().join().unwrap();
        reports
    }

    /// Ends it after all clients of its ports have reported.
    pub fn stop(self) -> Vec<ConnectionReport> {
        let n = self.addresses.len();
        self.stop_after(n)
    }

    /// Ends it after so many reports.
    pub fn stop_after(self, n: usize) -> Vec<ConnectionReport> {
        self.reports.iter().take(n).collect()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A hand-made sender: `script` gets the number of the connection, and the connection after the
/// client's hello.
pub struct Scripted {
    address: SocketAddr,
}

impl Scripted {
    pub fn start(script: impl Fn(u64, TcpStream, ClientHello) + Send + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the process: nothing tells it that nobody will come any more.
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                let Ok(mut stream) = stream else { continue };
                let mut hello = [0; CLIENT_HELLO_BYTES];
                if stream.read_exact(&mut hello).is_ok() {
                    script(number, stream, ClientHello::read(&hello).unwrap());
                }
            }
        });
        Scripted { address }
    }

    /// Sends these bytes to everybody, and then nothing until they hang up.
    pub fn without_hello(bytes: Vec<u8>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(&bytes);
                let _ = stream.read(&mut [0; 1]);
            }
        });
        Scripted { address }
    }

    pub fn source(&self) -> SourceSpec {
        tcp(&[self.address])
    }
}

/// What a line does to the bytes from the server.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Ends the connection before byte `at`.
    Cut { at: usize },
    /// Turns a bit of byte `at`.
    Flip { at: usize, bit: u8 },
    /// Sends nothing from byte `at` on, and does not hang up for longer than anyone waits.
    Stall { at: usize },
}

/// Faults of the connection of this number.
pub type Faults = Box<dyn Fn(u64) -> Vec<Fault> + Send>;

/// A line between a client and the server, with faults that depend on the number of the connection.
pub struct Line {
    address: SocketAddr,
    done: Arc<AtomicBool>,
}

impl Line {
    /// A line over which a client greets.
    pub fn start(server: SocketAddr, faults: Faults) -> Line {
        Line::between(server, CLIENT_HELLO_BYTES, faults)
    }

    /// A line over which nobody greets.
    pub fn to_board(server: SocketAddr, faults: Faults) -> Line {
        Line::between(server, 0, faults)
    }

    fn between(server: SocketAddr, hello_len: usize, faults: Faults) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&done);
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if of_thread.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else {
                    continue;
                };
                let faults = faults(number);
                std::thread::spawn(move || {
                    // Lines are cut: errors are what they are there for.
                    let _ = carry(client, server, hello_len, &faults);
                });
            }
        });
        Line { address, done }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn source(&self) -> SourceSpec {
        tcp(&[self.address])
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        // Wakes the thread, so that it sees that.
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    hello_len: usize,
    faults: &[Fault],
) -> std::io::Result<()> {
    let mut hello = vec![0; hello_len];
    client.read_exact(&mut hello)?;
    server.write_all(&hello)?;
    let (mut carried, mut bytes) = (0, [0; 977]);
    loop {
        let n = server.read(&mut bytes)?;
        let mut end = n;
        for fault in faults {
            match *fault {
                Fault::Flip { at, bit } if (carried..carried + n).contains(&at) => {
                    bytes[at - carried] ^= 1 << bit;
                }
                Fault::Cut { at } | Fault::Stall { at } if at < carried + n || n == 0 => {
                    end = end.min(at.saturating_sub(carried));
                }
                _ => {}
            }
        }
        client.write_all(&bytes[..end])?;
        if end < n && faults.iter().any(|fault| matches!(fault, Fault::Stall { .. })) {
            std::thread::sleep(4 * TIMEOUT);
        }
        if end < n || n == 0 {
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
        carried += n;
    }
}

fn fault(len: usize) -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => (0..len).prop_map(|at| Fault::Cut { at }),
        4 => (0..len, 0..8_u8).prop_map(|(at, bit)| Fault::Flip { at, bit }),
        1 => (0..len).prop_map(|at| Fault::Stall { at }),
    ]
}

/// Runs over lines whose first connections have random faults, the later ones none or the same.
pub fn check_random_faults(
    server: &Serving,
    line: impl Fn(SocketAddr, Faults) -> Line,
    run: impl Fn(&Line) -> Result<RunSummary, String>,
    check: impl Fn(&RunSummary),
) {
    let len = 1500 + sections().iter().map(|section| 32 + section.len()).sum::<usize>();
    let faults = proptest::collection::vec(proptest::collection::vec(fault(len), 0..3), 0..4);
    let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
    let result = TestRunner::new(config).run(&(faults, any::<bool>()), |(faults, again)| {
        let of_line = faults.clone();
        let line = line(
            server.address(),
            Box::new(move |connection| {
                let number = connection as usize;
                let number =
                    if again && !of_line.is_empty() { number % of_line.len() } else { number };
                of_line.get(number).cloned().unwrap_or_default()
            }),
        );
        // A line that never lets a hello through is refused, with a reason.
        if let Ok(summary) = run(&line) {
            check(&summary);
        }
        Ok(())
    });
    result.unwrap();
}
