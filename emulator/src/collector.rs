//! Behind the clock: counts, latencies, rates, score histogram, accepted events.
//!
//! Runs on core 0 between the reader's batches. Batches come back in the order in which they
//! were formed, because they are dealt to the workers in turn and taken back in turn; so
//! everything here sees crossings in order, whatever the number of workers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result};
use scout40_replay::event::Block;
use scout40_replay::inject::Injector;
use scout40_studies::overlap::{Overlaps, any_and_several};

use crate::batch::{Batch, Outcome};
use crate::counters::Counts;
use crate::latency::{Latencies, LatencyRecorder};
use crate::reader::BlockPool;
use crate::sink::{AcceptedSink, LatencyLog, RateRow, ScoreHistogram};
use crate::trigger::{Mask, Menu, and, count, lanes};

/// Intervals whose histograms may wait for an idle moment to be written.
const BACKLOG_MAX: usize = 8;

/// Background counts of every line in a span of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Span {
    scored: u64,
    accepted: Vec<u64>,
    /// Accepted by this line alone.
    pure: Vec<u64>,
}

impl Span {
    fn new(n_lines: usize) -> Span {
        Span { scored: 0, accepted: vec![0; n_lines], pure: vec![0; n_lines] }
    }
}

/// What a line did in the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineTally {
    /// Background crossings that it selected, before the prescale.
    pub selected: u64,
    /// Background crossings that it accepted.
    pub accepted: u64,
    /// Signal crossings that it accepted.
    pub accepted_signal: u64,
}

/// What became of a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalTally {
    /// Crossings that it was put into.
    pub injected: u64,
    /// Of those, scored.
    pub scored: u64,
    /// Of those, accepted by any line.
    pub accepted: u64,
    /// Of those, accepted by each line.
    pub accepted_by_line: Vec<u64>,
}

/// Reporting intervals in time.
#[derive(Clone, Copy, Debug)]
pub struct IntervalLength(pub Duration);

/// Takes in decided batches.
pub struct Collector<'a> {
    menu: &'a Menu,
    injector: Option<&'a Injector>,
    interval_length: IntervalLength,
    /// Scored, accepted and dropped; the reader counts the rest.
    pub counts: Counts,
    /// Crossings of batches that were not due yet when the run was ended.
    pub abandoned: u64,
    /// Batches that a worker waited for although they were due.
    pub starved_batches: u64,
    /// Per line.
    pub lines: Vec<LineTally>,
    /// Per signal.
    pub signals: Vec<SignalTally>,
    /// Background crossings scored.
    pub scored_background: u64,
    /// Latencies.
    pub latency: LatencyRecorder,
    /// Background crossings that lines accepted together and alone.
    pub overlaps: Overlaps,
    /// Score histogram of each model.
    pub histograms: Vec<ScoreHistogram>,
    /// Rows of `rates.csv`, intervals first come, luminosity sections at the end.
    pub rates: Vec<RateRow>,
    interval: Option<(u32, u64)>,
    of_interval: Span,
    of_lumi: BTreeMap<(u32, u32), Span>,
    log: LatencyLog,
    backlog: VecDeque<(u64, Latencies)>,
    accepted: Option<AcceptedSink>,
    merged: Block,
}

/// What a collector is made from.
pub struct CollectorParts<'a> {
    /// The lines.
    pub menu: &'a Menu,
    /// What was injected, if anything.
    pub injector: Option<&'a Injector>,
    /// Length of a reporting interval.
    pub interval_length: IntervalLength,
    /// Recorder of latencies.
    pub latency: LatencyRecorder,
    /// Histogram of the scores of each model.
    pub histograms: Vec<ScoreHistogram>,
    /// The latency log.
    pub log: LatencyLog,
    /// Where accepted events go, if anywhere.
    pub accepted: Option<AcceptedSink>,
}

impl<'a> Collector<'a> {
    /// A collector that has seen nothing.
    #[must_use]
    pub fn new(parts: CollectorParts<'a>) -> Collector<'a> {
        let n_lines = parts.menu.lines().len();
        let n_signals = parts.injector.map_or(0, |injector| injector.signals().len());
        let signal = SignalTally { accepted_by_line: vec![0; n_lines], ..SignalTally::default() };
        Collector {
            menu: parts.menu,
            injector: parts.injector,
            interval_length: parts.interval_length,
            counts: Counts::default(),
            abandoned: 0,
            starved_batches: 0,
            lines: vec![LineTally::default(); n_lines],
            signals: vec![signal; n_signals],
            scored_background: 0,
            latency: parts.latency,
            overlaps: Overlaps::new(n_lines),
            histograms: parts.histograms,
            rates: Vec::new(),
            interval: None,
            of_interval: Span::new(n_lines),
            of_lumi: BTreeMap::new(),
            log: parts.log,
            backlog: VecDeque::new(),
            accepted: parts.accepted,
            merged: Block::default(),
        }
    }

    /// Takes in one batch and releases its blocks.
    ///
    /// # Errors
    /// If accepted events cannot be written.
    pub fn take(&mut self, batch: &Batch, pool: &mut BlockPool) -> Result<()> {
        if self.interval != Some((batch.run, batch.interval)) {
            self.end_interval()?;
            self.interval = Some((batch.run, batch.interval));
        }
        self.starved_batches += u64::from(batch.starved);
        match batch.outcome {
            Outcome::Dropped => {
                self.counts.dropped += batch.len as u64;
                self.count_signals(batch, false);
            }
            Outcome::Abandoned => self.abandoned += batch.len as u64,
            Outcome::Scored => self.take_scored(batch, pool)?,
        }
        for segment in &batch.segments {
            pool.release(segment.block);
        }
        Ok(())
    }

    fn take_scored(&mut self, batch: &Batch, pool: &BlockPool) -> Result<()> {
        self.counts.scored += batch.len as u64;
        self.latency.record(&batch.slots, batch.len, batch.started_ps, batch.decided_ps);
        let background = self.background(batch);
        let scored = count(&background);
        self.scored_background += scored;
        self.of_interval.scored += scored;
        let n_lines = self.lines.len();
        let of_lumi =
            self.of_lumi.entry((batch.run, batch.lumi)).or_insert_with(|| Span::new(n_lines));
        of_lumi.scored += scored;
        self.overlaps.add_masks(&batch.accepted, &background);
        let (_, several) = any_and_several(&batch.accepted, &background);
        let mut any = Mask::default();
        for (k, line) in self.lines.iter_mut().enumerate() {
            let mask = &batch.accepted[k];
            let accepted = count(&and(mask, &background));
            line.selected += count(&and(&batch.selected[k], &background));
            line.accepted += accepted;
            line.accepted_signal += count(mask) - accepted;
            self.of_interval.accepted[k] += accepted;
            of_lumi.accepted[k] += accepted;
            if accepted > 0 {
                let pure = accepted - count(&and(mask, &several));
                self.of_interval.pure[k] += pure;
                of_lumi.pure[k] += pure;
            }
            any.iter_mut().zip(mask).for_each(|(any, word)| *any |= word);
        }
        self.counts.accepted += count(&any);
        self.count_signals(batch, true);
        self.record_scores(batch);
        self.keep_accepted(batch, &any, pool)
    }

    /// The crossings of a batch that hold no signal.
    fn background(&self, batch: &Batch) -> Mask {
        let mut mask = Mask::default();
        for (word, lanes) in mask.iter_mut().zip(batch.process[..batch.len].chunks(64)) {
            *word = if batch.has_signal {
                lanes.iter().enumerate().map(|(bit, &p)| u64::from(p == 0) << bit).sum()
            } else {
                u64::MAX >> (64 - lanes.len())
            };
        }
        mask
    }

    fn count_signals(&mut self, batch: &Batch, scored: bool) {
        if !batch.has_signal {
            return;
        }
        for (lane, &process) in batch.process[..batch.len].iter().enumerate() {
            let Some(signal) = usize::from(process).checked_sub(1) else { continue };
            let tally = &mut self.signals[signal];
            tally.injected += 1;
            if !scored {
                continue;
            }
            tally.scored += 1;
            let mut any = false;
            for (k, mask) in batch.accepted.iter().enumerate() {
                let accepted = mask[lane / 64] >> (lane % 64) & 1;
                tally.accepted_by_line[k] += accepted;
                any |= accepted == 1;
            }
            tally.accepted += u64::from(any);
        }
    }

    fn record_scores(&mut self, batch: &Batch) {
        for (histogram, scores) in self.histograms.iter_mut().zip(&batch.scores) {
            let scores = &scores[..batch.len];
            if batch.has_signal {
                for (&score, &process) in scores.iter().zip(&batch.process) {
                    histogram.record(usize::from(process), score);
                }
            } else {
                histogram.record_background(scores);
            }
        }
    }

    fn keep_accepted(&mut self, batch: &Batch, any: &Mask, pool: &BlockPool) -> Result<()> {
        let Some(sink) = &mut self.accepted else { return Ok(()) };
        for lane in lanes(any) {
            let line_bits = batch.accepted.iter().enumerate();
            let lines = line_bits.map(|(k, mask)| (mask[lane / 64] >> (lane % 64) & 1) << k).sum();
            let mut verdict = crate::sink::Verdict {
                score: batch.scores.first().map_or(0, |scores| scores[lane]),
                lines,
                process: batch.process[lane],
                signal_event: 0,
                lumi: batch.lumi,
            };
            let (number, at) = batch.position(lane);
            let block = pool.get(number);
            // What the reader injected is a pure function of the crossing, so it is made again.
            let pick = self.injector.filter(|_| verdict.process > 0).and_then(|injector| {
                injector.pick(batch.crossing_id(lane)).map(|pick| (injector, pick))
            });
            let written = match pick {
                Some((injector, pick)) => {
                    injector.merge(block, at, pick, &mut self.merged);
                    verdict.signal_event = pick.event as u32;
                    sink.push(&self.merged, 0, verdict)
                }
                None => sink.push(block, at, verdict),
            };
            written.context("while keeping accepted events")?;
        }
        Ok(())
    }

    /// Closes the books of the interval that has been counted so far.
    fn end_interval(&mut self) -> Result<()> {
        let Some((run, number)) = self.interval.take() else { return Ok(()) };
        let span = std::mem::take(&mut self.of_interval);
        self.of_interval = Span::new(self.lines.len());
        self.push_rows("interval", run, number, &span);
        let latencies = self.latency.end_interval(|interval| Latencies {
            total: interval.total.clone(),
            queueing: interval.queueing.clone(),
            service: interval.service.clone(),
        });
        self.backlog.push_back((number, latencies));
        while self.backlog.len() > BACKLOG_MAX {
            self.write_backlog()?;
        }
        Ok(())
    }

    fn push_rows(&mut self, span: &'static str, run: u32, number: u64, of: &Span) {
        let counts = of.accepted.iter().zip(&of.pure);
        for (line, (&accepted, &pure)) in self.menu.lines().iter().zip(counts) {
            let (line, scored) = (line.name.clone(), of.scored);
            self.rates.push(RateRow { span, run, number, line, scored, accepted, pure });
        }
    }

    /// Does a piece of work that can wait, if there is any: to be called when idle.
    ///
    /// # Errors
    /// Never in practice: the log is in memory.
    pub fn write_backlog(&mut self) -> Result<()> {
        if let Some((number, latencies)) = self.backlog.pop_front() {
            let IntervalLength(length) = self.interval_length;
            let start = Duration::from_secs_f64(length.as_secs_f64() * number as f64);
            self.log.add(start, length, &latencies).context("while logging latencies")?;
        }
        Ok(())
    }

    /// Closes all books; hands out the log and the accepted events.
    ///
    /// # Errors
    /// As [`Collector::write_backlog`].
    pub fn finish(&mut self) -> Result<Option<AcceptedSink>> {
        self.end_interval()?;
        while !self.backlog.is_empty() {
            self.write_backlog()?;
        }
        for ((run, lumi), span) in std::mem::take(&mut self.of_lumi) {
            self.push_rows("lumi", run, u64::from(lumi), &span);
        }
        Ok(self.accepted.take())
    }

    /// The latency log.
    #[must_use]
    pub fn log(&self) -> &LatencyLog {
        &self.log
    }
}
