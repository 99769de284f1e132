//! `scout40 convert STREAM... OUT --to FORMAT`: streams to the field's own formats.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;
use scout40_replay::event::Block;
use scout40_replay::export::{self, Losses, Target};
use scout40_replay::source::{Delivery, FileSource, Source};

use super::output::{grouped, print, progress_bar};

/// What streams are converted to.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub enum TargetArg {
    /// Parquet in the schema of the CERN set
    Parquet,
    /// HDF5 in the layout of ADC2021
    Adc2021,
    /// HDF5 with hardware integers of 33 objects
    FullDataCyl,
    /// The same of 19 objects: the 57 inputs of AXOL1TL
    FullDataCyl57,
}

impl TargetArg {
    fn target(self, key: Option<&str>) -> Target {
        let key = || key.unwrap_or("full_data_cyl").to_owned();
        match self {
            TargetArg::Parquet => Target::Parquet,
            TargetArg::Adc2021 => Target::Adc2021,
            TargetArg::FullDataCyl => Target::Cylinder { key: key(), reduced: false },
            TargetArg::FullDataCyl57 => Target::Cylinder { key: key(), reduced: true },
        }
    }
}

/// Writes the events of streams, one after the other, and tells what was left out.
pub fn run(inputs: &[PathBuf], output: &Path, to: TargetArg, key: Option<&str>) -> Result<()> {
    let mut sources =
        inputs.iter().map(|path| FileSource::open(path)).collect::<Result<Vec<_>, _>>()?;
    let columns = sources[0].columns();
    for source in &sources[1..] {
        if source.columns() != columns {
            bail!(
                "`{}` has other columns than `{}`\nhint: convert them one by one",
                source.path().display(),
                sources[0].path().display()
            );
        }
    }
    let n_events = sources
        .iter()
        .filter_map(|source| source.info().index.as_ref())
        .map(|index| index.n_crossings)
        .sum();
    let mut exporter = export::create(output, &to.target(key), columns)?;
    let bar = progress_bar(n_events, "converting");
    let (mut block, mut n) = (Block::default(), 0);
    for source in &mut sources {
        loop {
            match source.next_block(columns, &mut block)? {
                Delivery::Block => {}
                Delivery::End => break,
                trouble => bail!(
                    "`{}`: {trouble}\nhint: an export is whole or not made; `scout40 verify` tells more",
                    source.path().display()
                ),
            }
            exporter.write(&block)?;
            n += block.len() as u64;
            bar.set_position(n);
        }
    }
    let bytes = exporter.finish()?;
    bar.finish_and_clear();
    if n == 0 {
        eprintln!("warning: no event was written");
    }
    print(&report(output, n, bytes, &exporter.losses()))
}

fn report(output: &Path, n: u64, bytes: u64, losses: &Losses) -> String {
    let mut text = format!(
        "{}: {} events, {} bytes, {:.1} per event\n",
        output.display(),
        grouped(n),
        grouped(bytes),
        bytes as f64 / n.max(1) as f64
    );
    if !losses.columns.is_empty() {
        text += &format!("left out         columns {}\n", losses.columns.names());
    }
    for &(n, what) in losses.counts.iter().filter(|&&(n, _)| n > 0) {
        text += &format!("left out  {:>13} {what}\n", grouped(n));
    }
    text
}
