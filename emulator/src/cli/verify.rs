//! `scout40 verify`: every checksum and every invariant of a stream or a model.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::source::{Delivery, FileSource, Source};

use super::inspect::is_model;
use super::output::{grouped, print, progress_bar};
use crate::config::read_model;

/// Checks every checksum and invariant of a stream or a model file.
///
/// A stream: checksums of all column groups, field ranges, order of crossings and objects,
/// agreement of the index with the blocks.
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

/// What is wrong with a stream.
fn verify_stream(path: &std::path::Path) -> Result<Vec<String>> {
    let mut source = FileSource::open(path)?;
    let mut problems = Vec::new();
    let index = source.info().index.clone();
    if let Some(problem) = &source.info().index_problem {
        problems.push(format!("no index: {problem}"));
    }
    let bar = progress_bar(index.as_ref().map_or(0, |i| i.n_crossings), "verifying");
    let mut block = Block::default();
    let (mut n_crossings, mut n_blocks) = (0_u64, 0);
    let mut last = None;
    loop {
        let delivery = source.next_block(ColumnSet::ALL, &mut block).context("while verifying")?;
        match delivery {
            Delivery::Block => {
                let orbits = block.get::<u32>(Column::Orbit);
                let (first, end) = ((block.run, orbits[0]), (block.run, orbits[block.len() - 1]));
                let place = format!("block {n_blocks} (run {} orbit {})", first.0, first.1);
                if let Err(problem) = block.check() {
                    problems.push(format!("{place}: {problem}"));
                }
                if last.is_some_and(|last| last >= first) {
                    problems.push(format!("{place}: its orbits are not after the block before"));
                }
                let entry = index.as_ref().and_then(|index| index.blocks.get(n_blocks));
                if entry.is_some_and(|entry| {
                    (entry.run, entry.first_orbit, entry.last_orbit, entry.n_crossings as usize)
                        != (first.0, first.1, end.1, block.len())
                }) {
                    problems.push(format!("{place}: the index says otherwise"));
                }
                n_crossings += block.len() as u64;
                last = Some(end);
            }
            Delivery::End => break,
            Delivery::Corrupt { n_crossings: n, .. } => {
                problems.push(format!("block {n_blocks}: {delivery}"));
                n_crossings += u64::from(n);
            }
            Delivery::Truncated { .. } | Delivery::Lost { .. } => {
                problems.push(delivery.to_string());
            }
        }
        n_blocks += 1;
        bar.set_position(n_crossings);
    }
    bar.finish_and_clear();
    if let Some(index) = index
        && (index.n_crossings != n_crossings || index.blocks.len() != n_blocks)
    {
        problems.push(format!(
            "the index has {} crossings in {} blocks, the file {} in {n_blocks}",
            grouped(index.n_crossings),
            index.blocks.len(),
            grouped(n_crossings)
        ));
    }
    Ok(problems)
}
