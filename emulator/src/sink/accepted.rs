//! `accepted.s40`: the events that a line accepted, with scores, decisions and truth.
//!
//! Events come in crossing order. A block ends with an orbit once it holds enough events, so the
//! file's bytes depend on the events alone: not on batches, threads or time.

use std::path::Path;

use scout40_models::Score;
use scout40_replay::event::{Block, Column, ColumnSet, Group};
use scout40_replay::format::{
    Compression, LineRecord, SampleKind, SchemeRecord, StreamHeader, StreamWriter, WriteError,
    WriteSummary,
};

use crate::config::RunPlan;
use crate::trigger::Line;

/// Events after which a block ends with its orbit. Small, so that compressing one takes a few
/// hundred microseconds of the time by which the reader is ahead.
const BLOCK_EVENTS: usize = 2048;

/// What the trigger adds to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The score of the first model, 0 without one.
    pub score: Score,
    /// Bit k = accepted by line k.
    pub lines: u64,
    /// 0 background, k the k-th signal.
    pub process: u8,
    /// Index of the signal's event.
    pub signal_event: u32,
    /// Luminosity section.
    pub lumi: u32,
}

/// Writes accepted events.
pub struct AcceptedSink {
    writer: StreamWriter,
    pending: Block,
}

impl AcceptedSink {
    /// Columns of an accepted stream made from events with the columns `of_events`.
    #[must_use]
    pub fn columns(of_events: ColumnSet) -> ColumnSet {
        [Group::Truth, Group::Score, Group::Lumi]
            .into_iter()
            .fold(of_events, |set, group| set.union(group.columns()))
    }

    /// Begins the file.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn create(path: &Path, header: &StreamHeader) -> Result<AcceptedSink, WriteError> {
        let writer = StreamWriter::create(path, header, Compression::Fast)?;
        let pending = Block::new(writer.columns());
        Ok(AcceptedSink { writer, pending })
    }

    /// Adds event `at` of `block`.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn push(&mut self, block: &Block, at: usize, verdict: Verdict) -> Result<(), WriteError> {
        let orbit = block.get::<u32>(Column::Orbit)[at];
        let last = self.pending.get::<u32>(Column::Orbit).last().copied();
        let new_orbit = last.is_some_and(|last| last != orbit);
        if self.pending.run != block.run || (new_orbit && self.pending.len() >= BLOCK_EVENTS) {
            self.write_pending()?;
            self.pending.run = block.run;
        }
        self.pending.push_event(block, at);
        let Verdict { score, lines, process, signal_event, lumi } = verdict;
        set_last(&mut self.pending, Column::Score, score);
        set_last(&mut self.pending, Column::Lines, lines);
        set_last(&mut self.pending, Column::TruthProcess, process);
        set_last(&mut self.pending, Column::TruthEvent, signal_event);
        set_last(&mut self.pending, Column::Lumi, lumi);
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), WriteError> {
        if !self.pending.is_empty() {
            self.writer.write(&self.pending)?;
        }
        let columns = self.pending.columns();
        self.pending.reset(self.pending.run, columns);
        Ok(())
    }

    /// Writes what is left and gives the file its name.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn finish(mut self) -> Result<WriteSummary, WriteError> {
        self.write_pending()?;
        self.writer.finish()
    }
}

fn set_last<T: scout40_replay::event::Element>(block: &mut Block, column: Column, value: T) {
    *block.get_mut::<T>(column).last_mut().expect("an event was pushed") = value;
}

/// A digest as text; `unknown` where an index is lost.
#[must_use]
pub fn digest_text(digest: Option<u64>) -> String {
    digest.map_or("unknown".into(), |digest| format!("{digest:016x}"))
}

/// Header of the accepted events of a run: what determines them, nothing else.
#[must_use]
pub fn accepted_header(plan: &RunPlan) -> StreamHeader {
    let columns = AcceptedSink::columns(plan.wanted);
    let mut header = StreamHeader::new(
        SampleKind::Accepted,
        &format!("{} accepted", plan.header.sample),
        columns,
    );
    header.filling_scheme = Some(SchemeRecord {
        name: plan.rate_scheme.name().into(),
        ranges: plan.rate_scheme.ranges(),
    });
    header.processes = plan.signal_names();
    let line = |line: &Line| LineRecord { name: line.name.clone(), rule: line.describe() };
    header.lines = plan.menu.lines().iter().map(line).collect();
    let config = &plan.config;
    let digest = digest_text(plan.facts.digest);
    let mut settings = vec![
        ("stream".to_owned(), plan.header.sample.clone()),
        ("stream_digest".into(), digest),
        ("menu".into(), plan.menu.canonical()),
        ("filling_scheme".into(), config.scheme.to_string()),
        ("rng_seed".into(), config.rng_seed.to_string()),
        ("repeat".into(), config.repeat.to_string()),
    ];
    settings.extend(plan.facts.settings.iter().cloned());
    for model in &plan.models {
        let key = match plan.models.len() {
            1 => "model_digest".to_owned(),
            _ => format!("model_digest {}", model.name),
        };
        settings.push((key, format!("{:016x}", model.model.digest())));
    }
    if let Some(orbits) = config.orbits {
        settings.push(("orbits".into(), orbits.to_string()));
    }
    if let Some(orbit) = config.from_orbit {
        settings.push(("from_orbit".into(), orbit.to_string()));
    }
    let signals = plan.injector.iter().flat_map(|injector| injector.signals());
    for (signal, digest) in signals.zip(&plan.signal_digests) {
        let digest = digest_text(*digest);
        let value = format!("{}@{}:{:?} {digest}", signal.name, signal.fraction, signal.mode);
        settings.push(("inject".into(), value));
    }
    header.provenance.settings = settings;
    header
}
