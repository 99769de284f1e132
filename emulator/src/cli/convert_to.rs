//! `scout40 convert STREAM... OUT --to FORMAT`: streams in one of the field's own formats.

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

/// Writes the events of streams, one after the other, and tells what was left out.
pub fn run(
    inputs: &[PathBuf],
    output: &Path,
    target: Target,
    options: &ExportOptions,
    groups: Option<&[String]>,
) -> Result<()> {
    if target.has_orbits() && inputs.len() > 1 {
        let text = format!(
            "expected one stream before the output with `--to {}`, found {} files\n\
             hint: `scout40 cat` or `scout40 merge` makes one of them",
            target.name(),
            inputs.len()
        );
        return Err(UsageError(text).into());
    }
    let mut sources = inputs.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
    let available = sources[0].columns();
    if let Some(other) = sources.iter().find(|source| source.columns() != available) {
        bail!(
            "`{}` has other columns than `{}`\nhint: convert them one by one",
            other.path().display(),
            sources[0].path().display()
        );
    }
    let columns = selected_columns(groups, available)?;
    let index = |source: &FileSource| source.info().index.as_ref().map(|index| index.n_crossings);
    let bar = progress_bar(sources.iter().filter_map(index).sum(), "converting");
    let mut exporter = export::create(target, output, columns, options)?;
    let mut block = Block::default();
    for source in &mut sources {
        loop {
            let delivery = source.next_block(columns, &mut block).context("while converting")?;
            match delivery {
                Delivery::Block => {}
                Delivery::End => break,
                trouble => bail!(
                    "`{}`: {trouble}\nhint: an export is whole or not made; `scout40 verify` tells more",
                    source.path().display()
                ),
            }
            exporter.write(&block)?;
            bar.inc(block.len() as u64);
        }
    }
    let summary = exporter.finish()?;
    bar.finish_and_clear();
    if summary.crossings == 0 {
        eprintln!("warning: no event was written");
    }
    print(&report(output, &summary))
}

fn open(path: &Path) -> Result<FileSource> {
    let format = recognise(path)?;
    if format != Format::Stream {
        bail!(
            "`{}`: expected a stream to write with `--to`, found {}\n\
             hint: convert it to a stream first",
            path.display(),
            format.name()
        );
    }
    Ok(FileSource::open(path)?)
}

fn report(output: &Path, summary: &ExportSummary) -> String {
    let bytes: u64 = summary.files.iter().map(|(_, bytes)| bytes).sum();
    let mut text = format!(
        "{}: {} events, {} bytes, {:.1} per event\n",
        output.display(),
        grouped(summary.crossings),
        grouped(bytes),
        bytes as f64 / summary.crossings.max(1) as f64
    );
    if summary.files.len() > 1 || summary.files.iter().any(|(path, _)| path != output) {
        for (path, bytes) in summary.files.iter().take(FILES_SHOWN) {
            text += &format!("  {} ({} bytes)\n", path.display(), grouped(*bytes));
        }
        if summary.files.len() > FILES_SHOWN {
            text += &format!("  and {} more files\n", summary.files.len() - FILES_SHOWN);
        }
    }
    if let Some(payload) = summary.payload {
        text += &format!("words            {}\n", payload.name());
    }
    if summary.made_up_quality {
        text += "muon quality     not in the stream: written as 12\n";
    }
    if !summary.left_out.is_empty() {
        text += &format!("left out         columns {}\n", summary.left_out.names());
    }
    for &(n, what) in summary.left_out_values.iter().filter(|&&(n, _)| n > 0) {
        text += &format!("left out  {:>13} {what}\n", grouped(n));
    }
    text
}
