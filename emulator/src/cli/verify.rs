//! `scout40 verify`: every checksum and every invariant of a stream or a model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::format::{IndexEntry, StreamDigest, StreamIndex};
use scout40_replay::source::{Delivery, FileSource, Source};

use super::inspect::is_model;
use super::output::{grouped, print, progress_bar};
use crate::config::read_model;

/// Checks every checksum and invariant of a stream or a model file.
///
/// A stream: checksums of all column groups, field ranges, order of crossings and objects,
/// agreement of the index and its digest with the blocks.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  scout40 verify zb.s40")]
pub struct VerifyArgs {
    /// Stream or model files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub fn run(args: &VerifyArgs) -> Result<()> {
    let mut failed = 0;
    for path in &args.files {
        let checked = match is_model(path) {
            true => read_model(path).map(|_| Vec::new()),
            false => verify_stream(path),
        };
        let problems = match checked {
            Ok(problems) => problems,
            // What cannot be opened must not hide the state of the others.
            Err(error) if args.files.len() > 1 => vec![super::report(&error)],
            Err(error) => return Err(error),
        };
        if problems.is_empty() {
            print(&format!("{}: whole\n", path.display()))?;
        } else {
            failed += 1;
            print(&format!("{}: DAMAGED\n", path.display()))?;
            for problem in problems {
                print(&format!("  {problem}\n"))?;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} files damaged", args.files.len());
    }
    Ok(())
}

/// What has been seen of a stream so far.
#[derive(Default)]
struct Seen {
    problems: Vec<String>,
    n_crossings: u64,
    n_blocks: usize,
    /// Run and orbit of the last crossing.
    last: Option<(u32, u32)>,
    digest: StreamDigest,
    /// A block of which too little is left for the digest.
    lacks_a_head: bool,
}

/// What is wrong with a stream.
fn verify_stream(path: &Path) -> Result<Vec<String>> {
    let mut source = FileSource::open(path)?;
    let mut seen = Seen::default();
    let index = source.info().index.clone();
    if let Some(problem) = &source.info().index_problem {
        seen.problems.push(format!("no index: {problem}"));
    }
    let bar = progress_bar(index.as_ref().map_or(0, |i| i.n_crossings), "verifying");
    let mut block = Block::default();
    loop {
        let delivery = source.next_block(ColumnSet::ALL, &mut block).context("while verifying")?;
        if delivery == Delivery::End {
            break;
        }
        match source.encoded_block() {
            Some(encoded) => seen.digest.add(encoded.meta_bytes()),
            None => seen.lacks_a_head = true,
        }
        match delivery {
            Delivery::Block => {
                let entry = index.as_ref().and_then(|index| index.blocks.get(seen.n_blocks));
                seen.block(&block, source.encoded_block().map(|encoded| encoded.offset), entry);
            }
            Delivery::Corrupt { n_crossings, .. } => {
                seen.problems.push(format!("block {}: {delivery}", seen.n_blocks));
                seen.n_crossings += u64::from(n_crossings);
            }
            delivery => seen.problems.push(delivery.to_string()),
        }
        seen.n_blocks += 1;
        bar.set_position(seen.n_crossings);
    }
    bar.finish_and_clear();
    if let (Some(index), Some(offset)) = (index, source.info().index_offset) {
        seen.totals(&index, offset);
    }
    Ok(seen.problems)
}

impl Seen {
    /// A block whose checksums match, and what the index says of it.
    fn block(&mut self, block: &Block, offset: Option<u64>, entry: Option<&IndexEntry>) {
        let orbits = block.get::<u32>(Column::Orbit);
        let (first, last) = ((block.run, orbits[0]), (block.run, orbits[block.len() - 1]));
        let place = format!("block {} (run {} orbit {})", self.n_blocks, first.0, first.1);
        if let Err(problem) = block.check() {
            self.problems.push(format!("{place}: {problem}"));
        }
        if self.last.is_some_and(|last| last >= first) {
            self.problems.push(format!("{place}: its orbits are not after the block before"));
        }
        if entry.is_some_and(|entry| {
            let of_entry = (entry.run, entry.first_orbit, entry.last_orbit, entry.n_crossings);
            (Some(entry.offset), of_entry)
                != (offset, (first.0, first.1, last.1, block.len() as u32))
        }) {
            self.problems.push(format!("{place}: the index says otherwise"));
        }
        self.n_crossings += block.len() as u64;
        self.last = Some(last);
    }

    /// What the index, which stands at `offset`, says of the whole.
    fn totals(&mut self, index: &StreamIndex, offset: u64) {
        if (index.n_crossings, index.blocks.len()) != (self.n_crossings, self.n_blocks) {
            self.problems.push(format!(
                "the index has {} crossings in {} blocks, the file {} in {}",
                grouped(index.n_crossings),
                index.blocks.len(),
                grouped(self.n_crossings),
                self.n_blocks
            ));
        }
        // Without the head of a block, which has been reported, the digest cannot be known.
        let found = self.digest.value();
        if !self.lacks_a_head && index.digest != found {
            self.problems.push(format!(
                "index at byte {offset}: expected blocks of digest {:016x}, found {found:016x}\n  \
                 hint: blocks and index are not of one stream: copy or convert it again",
                index.digest
            ));
        }
    }
}
