//! `scout40 convert IN.s40 OUT --to FORMAT`: a stream in one of the field's own formats.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use scout40_replay::event::Block;
use scout40_replay::export::{self, ExportOptions, ExportSummary, Target};
use scout40_replay::import::{Format, recognise};
use scout40_replay::source::{Delivery, FileSource, Source};

use super::convert::selected_columns;
use super::output::{grouped, print, progress_bar};
use crate::config::UsageError;

/// Files that a report names; of more only the number.
const FILES_SHOWN: usize = 20;

pub fn run(
    inputs: &[PathBuf],
    output: &Path,
    target: Target,
    options: ExportOptions,
    groups: Option<&[String]>,
) -> Result<()> {
    let [input] = inputs else {
        let text = format!(
            "expected one stream before the output with `--to {}`, found {} files",
            target.name(),
            inputs.len()
        );
        return Err(UsageError(text).into());
    };
    let format = recognise(input)?;
    if format != Format::Stream {
        bail!(
            "`{}`: expected a scout40 stream, found {}\n\
             hint: `scout40 convert {} x.s40` makes one, without `--to`",
            input.display(),
            format.name(),
            input.display()
        );
    }
    let mut source = FileSource::open(input)?;
    let columns = selected_columns(groups, source.columns())?;
    let mut exporter = export::create(target, output, columns, options)?;
    let n = source.info().index.as_ref().map_or(0, |index| index.n_crossings);
    let bar = progress_bar(n, "converting");
    let (mut block, mut n_lost) = (Block::default(), 0);
    loop {
        let delivery = source.next_block(columns, &mut block).context("while converting")?;
        match &delivery {
            Delivery::Block => exporter.write(&block)?,
            Delivery::End => break,
            Delivery::Corrupt { n_crossings, .. } | Delivery::Truncated { n_crossings, .. } => {
                eprintln!("warning: {delivery}");
                n_lost += u64::from(*n_crossings);
            }
            _ => eprintln!("warning: {delivery}"),
        }
        bar.inc(block.len() as u64);
        if matches!(delivery, Delivery::Truncated { .. } | Delivery::Lost { .. }) {
            break;
        }
    }
    bar.finish_and_clear();
    let summary = exporter.finish()?;
    print(&report(target, &summary, n_lost))
}

fn report(target: Target, summary: &ExportSummary, n_lost: u64) -> String {
    let bytes: u64 = summary.files.iter().map(|(_, bytes)| bytes).sum();
    let mut text = format!(
        "{}: {} orbits, {} crossings in {} files, {} bytes, {:.1} per crossing\n",
        target.name(),
        grouped(summary.orbits),
        grouped(summary.crossings),
        summary.files.len(),
        grouped(bytes),
        bytes as f64 / summary.crossings.max(1) as f64
    );
    for (path, bytes) in summary.files.iter().take(FILES_SHOWN) {
        text += &format!("  {} ({} bytes)\n", path.display(), grouped(*bytes));
    }
    if summary.files.len() > FILES_SHOWN {
        text += &format!("  and {} more\n", summary.files.len() - FILES_SHOWN);
    }
    if let Some(payload) = summary.payload {
        text += &format!("words            {}\n", payload.name());
    }
    for (n, what) in [
        (summary.suppressed, "crossings without an object, which are suppressed"),
        (summary.left_out_objects, "words for which an event has no room"),
        (n_lost, "crossings lost to damage in the stream"),
    ] {
        if n > 0 {
            text += &format!("                 {:>13} {what}\n", grouped(n));
        }
    }
    if summary.made_up_quality {
        text += "muon quality     not in the stream: written as 12\n";
    }
    if !summary.left_out.is_empty() {
        text += &format!("not written      {}\n", summary.left_out.names());
    }
    text
}
