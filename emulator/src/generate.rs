//! Generated streams by several threads: each makes and encodes the next block that nobody has begun.
//!
//! So a thread on a slower core makes fewer. Blocks are written in the order of their numbers, so that the
//! file is the same for any number of threads. What events are is the business of [`scout40_replay::generate`].

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use scout40_replay::event::{Block, ColumnSet};
use scout40_replay::format::{BlockEncoder, Compression, StreamWriter};
use scout40_replay::generate::GeneratedStream;

/// Blocks that a thread may be ahead of the file.
const AHEAD: usize = 4;

/// A block with its bytes.
#[derive(Default)]
struct Made {
    block: Block,
    meta: Vec<u8>,
    body: Vec<u8>,
}

/// Writes all blocks of `stream` to `writer`, which was created with the same compression.
///
/// # Errors
/// A block that cannot be encoded or written.
pub fn write_stream(
    stream: &GeneratedStream,
    writer: &mut StreamWriter,
    compression: Compression,
    n_threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let n_threads = n_threads.clamp(1, 256);
    let columns = writer.columns();
    let (to_order, order) = channel();
    let blocks = &Blocks { left: Mutex::new((0..stream.n_blocks(), to_order)) };
    thread::scope(|scope| {
        // It goes with the writer: who begins a block then learns that nobody wants it.
        let order = order;
        let mut lines = Vec::with_capacity(n_threads);
        for worker in 0..n_threads {
            let (to_writer, made) = sync_channel::<Result<Made>>(AHEAD);
            let (give_back, spare) = channel::<Made>();
            lines.push((made, give_back));
            let encoder = BlockEncoder::new(compression).context("while preparing zstd")?;
            scope.spawn(move || {
                let numbers = std::iter::from_fn(|| blocks.begin(worker));
                make_blocks(stream, columns, encoder, numbers, &to_writer, &spare);
            });
        }
        let mut n_events = 0;
        for _ in 0..stream.n_blocks() {
            let stopped = "a generating thread has stopped";
            let (made, give_back) = &lines[order.recv().context(stopped)?];
            let of_thread = made.recv().context(stopped)??;
            writer.write_encoded(&of_thread.block, &of_thread.meta, &of_thread.body)?;
            n_events += of_thread.block.len() as u64;
            progress(n_events);
            // A thread that has made all of its blocks takes no more back.
            let _ = give_back.send(of_thread);
        }
        Ok(())
    })
}

/// The blocks that nobody has begun.
struct Blocks {
    /// Their numbers, and where those who begin one say so, in the order of the numbers.
    left: Mutex<(Range<u64>, Sender<usize>)>,
}

impl Blocks {
    /// The next one, which a thread begins.
    fn begin(&self, worker: usize) -> Option<u64> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, order) = &mut *left;
        // A writer that is gone wants none.
        numbers.next().filter(|_| order.send(worker).is_ok())
    }
}

/// Makes and encodes some blocks, until nobody takes them any more.
fn make_blocks(
    stream: &GeneratedStream,
    columns: ColumnSet,
    mut encoder: BlockEncoder,
    numbers: impl Iterator<Item = u64>,
    to_writer: &SyncSender<Result<Made>>,
    spare: &Receiver<Made>,
) {
    for number in numbers {
        let Made { mut block, mut meta, mut body } = spare.try_recv().unwrap_or_default();
        stream.fill(number, &mut block);
        meta.clear();
        body.clear();
        let encoded = encoder.encode(&block, columns, &mut meta, &mut body);
        let made = encoded.map(|()| Made { block, meta, body });
        if to_writer.send(made.context("while encoding a generated block")).is_err() {
            return;
        }
    }
}

/// Makes the first `n_blocks` of a stream.
///
/// # Panics
/// If a thread panics.
#[must_use]
pub fn first_blocks(stream: &GeneratedStream, n_blocks: u64, n_threads: usize) -> Vec<Block> {
    let n_blocks = n_blocks.min(stream.n_blocks());
    let n_threads = n_threads.clamp(1, 256);
    let next = &AtomicU64::new(0);
    let make_some = move || {
        let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let make = |number| {
            let mut block = Block::default();
            stream.fill(number, &mut block);
            (number, block)
        };
        numbers.take_while(|&number| number < n_blocks).map(make).collect::<Vec<_>>()
    };
    let mut made: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(make_some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    made.sort_unstable_by_key(|&(number, _)| number);
    made.into_iter().map(|(_, block)| block).collect()
}
