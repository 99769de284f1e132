//! Hand-over of boxed batches between two pinned threads: which ring `scout40::ring` should use.
//!
//! What travels is a `Box`: eight bytes. *One way*: a sender pushes as fast as the ring takes, a
//! receiver pops as fast as they come; nothing is returned. *Round trip*: one box goes there and
//! back through two rings, each trip on the clock (whose own reading, about 10 ns, is included).
//! Both sides spin, none blocks, whatever the library offers.
//!
//! The engines take turns in every repeat, so that other load on the machine hits all of them.

use std::fmt::Write as _;
use std::sync::{Arc, Barrier};

use crossbeam_queue::ArrayQueue;
use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use scout40::affinity::{allowed_cores, pin_to};
use scout40::clock::Clock;
use scout40_benches::{is_smoke, report};

/// What is handed over: a number on a cache line of its own, behind a pointer.
#[repr(align(64))]
struct Message(u64);

const _: () = assert!(size_of::<Box<Message>>() == 8, "as the box of a batch");

trait Sender: Send {
    fn try_send(&mut self, message: Box<Message>) -> Result<(), Box<Message>>;
}

trait Receiver: Send {
    fn try_receive(&mut self) -> Option<Box<Message>>;
}

type RtrbSender = rtrb::Producer<Box<Message>>;
type RtrbReceiver = rtrb::Consumer<Box<Message>>;

impl Sender for RtrbSender {
    fn try_send(&mut self, message: Box<Message>) -> Result<(), Box<Message>> {
        self.push(message).map_err(|rtrb::PushError::Full(message)| message)
    }
}

impl Receiver for RtrbReceiver {
    fn try_receive(&mut self) -> Option<Box<Message>> {
        self.pop().ok()
    }
}

impl Sender for HeapProd<Box<Message>> {
    fn try_send(&mut self, message: Box<Message>) -> Result<(), Box<Message>> {
        self.try_push(message)
    }
}

impl Receiver for HeapCons<Box<Message>> {
    fn try_receive(&mut self) -> Option<Box<Message>> {
        self.try_pop()
    }
}

impl Sender for crossbeam_channel::Sender<Box<Message>> {
    fn try_send(&mut self, message: Box<Message>) -> Result<(), Box<Message>> {
        crossbeam_channel::Sender::try_send(self, message).map_err(|error| error.into_inner())
    }
}

impl Receiver for crossbeam_channel::Receiver<Box<Message>> {
    fn try_receive(&mut self) -> Option<Box<Message>> {
        self.try_recv().ok()
    }
}

impl Sender for Arc<ArrayQueue<Box<Message>>> {
    fn try_send(&mut self, message: Box<Message>) -> Result<(), Box<Message>> {
        self.push(message)
    }
}

impl Receiver for Arc<ArrayQueue<Box<Message>>> {
    fn try_receive(&mut self) -> Option<Box<Message>> {
        self.pop()
    }
}

impl Sender for std::sync::mpsc::SyncSender<Box<Message>> {
    fn try_send(&mut self, message: Box<Message>) -> Result<(), Box<Message>> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        let sent = std::sync::mpsc::SyncSender::try_send(self, message);
        sent.map_err(|(Full(message) | Disconnected(message))| message)
    }
}

impl Receiver for std::sync::mpsc::Receiver<Box<Message>> {
    fn try_receive(&mut self) -> Option<Box<Message>> {
        self.try_recv().ok()
    }
}

/// Where the two threads are, and how they pass idle time.
#[derive(Clone, Copy)]
struct Cores {
    sender: usize,
    receiver: usize,
}

impl Cores {
    fn idle(self) {
        if self.sender == self.receiver {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }

    fn send(self, to: &mut impl Sender, mut message: Box<Message>) {
        while let Err(back) = to.try_send(message) {
            message = back;
            self.idle();
        }
    }

    fn receive(self, from: &mut impl Receiver) -> Box<Message> {
        loop {
            match from.try_receive() {
                Some(message) => return message,
                None => self.idle(),
            }
        }
    }
}

fn pin(core: usize) {
    // Where threads cannot be pinned they float; the report says which cores were asked for.
    let _ = pin_to(&[core]);
}

/// ns per message of `n` pushed through at full speed.
fn one_way<S: Sender, R: Receiver>(
    (mut sender, mut receiver): (S, R),
    n: usize,
    cores: Cores,
) -> f64 {
    let (clock, barrier) = (Clock::start(), Barrier::new(2));
    let messages: Vec<Box<Message>> = (0..n as u64).map(|k| Box::new(Message(k))).collect();
    let mut arrived = Vec::with_capacity(n);
    let (begin_ps, end_ps) = std::thread::scope(|scope| {
        let (clock, barrier) = (&clock, &barrier);
        let receiving = scope.spawn(move || {
            pin(cores.receiver);
            barrier.wait();
            arrived.extend((0..n).map(|_| cores.receive(&mut receiver)));
            (clock.now_ps(), arrived)
        });
        pin(cores.sender);
        barrier.wait();
        let begin_ps = clock.now_ps();
        messages.into_iter().for_each(|message| cores.send(&mut sender, message));
        let (end_ps, arrived) = receiving.join().expect("the receiver does not panic");
        assert!(arrived.iter().map(|message| message.0).eq(0..n as u64), "all, and in order");
        (begin_ps, end_ps)
    });
    (end_ps - begin_ps) as f64 / 1000.0 / n as f64
}

/// ns of each of `n` trips there and back.
fn round_trip<S: Sender, R: Receiver>(
    there: (S, R),
    back: (S, R),
    n: usize,
    cores: Cores,
) -> Vec<u64> {
    let ((mut to, mut echo_from), (mut echo_to, mut from)) = (there, back);
    let (clock, barrier) = (Clock::start(), Barrier::new(2));
    std::thread::scope(|scope| {
        let barrier = &barrier;
        scope.spawn(move || {
            pin(cores.receiver);
            barrier.wait();
            for _ in 0..n {
                let mut message = cores.receive(&mut echo_from);
                message.0 += 1;
                cores.send(&mut echo_to, message);
            }
        });
        pin(cores.sender);
        barrier.wait();
        let mut message = Box::new(Message(0));
        let mut trips = Vec::with_capacity(n);
        for _ in 0..n {
            let begin_ps = clock.now_ps();
            cores.send(&mut to, message);
            message = cores.receive(&mut from);
            trips.push((clock.now_ps() - begin_ps) / 1000);
        }
        assert_eq!(message.0, n as u64, "every trip went through the other thread");
        trips
    })
}

/// What was measured of one engine.
#[derive(Default)]
struct Measured {
    /// ns per message by capacity. **Shape**: one per repeat.
    one_way: [Vec<f64>; 2],
    trips: Vec<u64>,
}

/// Capacities: the batches of a run of 512 crossings each, and of 64.
const CAPACITIES: [usize; 2] = [128, 1024];

impl Measured {
    fn repeat<S: Sender, R: Receiver>(
        &mut self,
        make: impl Fn(usize) -> (S, R),
        size: Size,
        cores: Cores,
    ) {
        for (capacity, times) in CAPACITIES.into_iter().zip(&mut self.one_way) {
            times.push(one_way(make(capacity), size.messages, cores));
        }
        let (there, back) = (make(CAPACITIES[0]), make(CAPACITIES[0]));
        self.trips.extend(round_trip(there, back, size.trips, cores));
    }
}

#[derive(Clone, Copy)]
struct Size {
    repeats: usize,
    messages: usize,
    trips: usize,
}

const ENGINES: [&str; 5] =
    ["rtrb", "ringbuf", "crossbeam ArrayQueue", "crossbeam-channel", "std sync_channel"];

fn measure(size: Size, cores: Cores) -> [Measured; ENGINES.len()] {
    let mut measured: [Measured; ENGINES.len()] = std::array::from_fn(|_| Measured::default());
    let [rtrb, ringbuf, array, channel, sync] = &mut measured;
    for _ in 0..size.repeats {
        rtrb.repeat(rtrb::RingBuffer::new, size, cores);
        ringbuf.repeat(|n| HeapRb::new(n).split(), size, cores);
        let array_queue = |n| {
            let queue = Arc::new(ArrayQueue::new(n));
            (Arc::clone(&queue), queue)
        };
        array.repeat(array_queue, size, cores);
        channel.repeat(crossbeam_channel::bounded, size, cores);
        sync.repeat(std::sync::mpsc::sync_channel, size, cores);
    }
    measured
}

fn table(measured: &mut [Measured], size: Size, cores: Cores) -> String {
    let mut text = format!(
        "ring: boxes from core {} to core {}; {} repeats of {} messages and {} trips\n\n\
         {:<22} {:>23} {:>23} {:>38}\n{:<22} {:>11} {:>11} {:>11} {:>11} {:>9} {:>9} {:>9} {:>8}\n",
        cores.sender,
        cores.receiver,
        size.repeats,
        size.messages,
        size.trips,
        "",
        "one way, room for 128",
        "one way, room for 1024",
        "round trip (ns)",
        "",
        "best ns",
        "median ns",
        "best ns",
        "median ns",
        "p50",
        "p99",
        "p99.9",
        "max µs",
    );
    for (name, measured) in ENGINES.iter().zip(measured) {
        let mut cells = Vec::new();
        for times in &mut measured.one_way {
            times.sort_by(f64::total_cmp);
            cells.extend([times[0], times[times.len() / 2]]);
        }
        let trips = &mut measured.trips;
        trips.sort_unstable();
        let at = |share: f64| trips[((trips.len() as f64 * share) as usize).min(trips.len() - 1)];
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<22} {:>11.1} {:>11.1} {:>11.1} {:>11.1} {:>9} {:>9} {:>9} {:>8.1}",
            cells[0],
            cells[1],
            cells[2],
            cells[3],
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0) as f64 / 1000.0,
        );
    }
    if cores.sender == cores.receiver {
        text += "\nBoth threads share a core: these are times of the scheduler, not of rings.\n";
    }
    text
}

fn main() {
    let size = match is_smoke() {
        true => Size { repeats: 1, messages: 1000, trips: 100 },
        false => Size { repeats: 15, messages: 1 << 18, trips: 20_000 },
    };
    let allowed = allowed_cores();
    let (sender, receiver) = (allowed[0], allowed[allowed.len() - 1]);
    let cores = Cores { sender, receiver };
    let mut measured = measure(size, cores);
    report("ring", &table(&mut measured, size, cores));
}
