//! Generated streams by several threads: each makes and encodes its share of the blocks.
//!
//! Blocks are dealt in turn and taken back in turn, so that the file is the same for any number of
//! threads. What events are is the business of [`scout40_replay::generate`].

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use anyhow::{Context, Result};
use scout40_replay::event::Block;
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
    thread::scope(|scope| {
        let mut lines = Vec::with_capacity(n_threads);
        for first in 0..n_threads {
            let (to_writer, made) = sync_channel::<Result<Made>>(AHEAD);
            let (give_back, spare) = channel::<Made>();
            lines.push((made, give_back));
            scope.spawn(move || {
                let share = (first as u64..stream.n_blocks()).step_by(n_threads);
                make_blocks(stream, columns, compression, share, &to_writer, &spare);
            });
        }
        let mut n_events = 0;
        for number in 0..stream.n_blocks() {
            let (made, give_back) = &lines[(number % n_threads as u64) as usize];
            let of_thread = made.recv().context("a generating thread has stopped")??;
            writer.write_encoded(&of_thread.block, &of_thread.meta, &of_thread.body)?;
            n_events += of_thread.block.len() as u64;
            progress(n_events);
            // A thread that has made all of its blocks takes no more back.
            let _ = give_back.send(of_thread);
        }
        Ok(())
    })
}

/// Makes and encodes some blocks, until nobody takes them any more.
fn make_blocks(
    stream: &GeneratedStream,
    columns: scout40_replay::event::ColumnSet,
    compression: Compression,
    share: impl Iterator<Item = u64>,
    to_writer: &SyncSender<Result<Made>>,
    spare: &Receiver<Made>,
) {
    let encoder = BlockEncoder::new(compression).context("while preparing zstd");
    let mut encoder = match encoder {
        Ok(encoder) => encoder,
        // A writer that is gone needs no reason.
        Err(error) => return drop(to_writer.send(Err(error))),
    };
    for number in share {
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
    thread::scope(|scope| {
        let shares: Vec<_> = (0..n_threads)
            .map(|first| {
                scope.spawn(move || {
                    let make = |number| {
                        let mut block = Block::default();
                        stream.fill(number, &mut block);
                        block
                    };
                    (first as u64..n_blocks).step_by(n_threads).map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut shares: Vec<_> =
            shares.into_iter().map(|share| share.join().expect("no panic").into_iter()).collect();
        (0..n_blocks as usize).filter_map(|number| shares[number % n_threads].next()).collect()
    })
}
