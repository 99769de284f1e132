//! A sample as a study sees it: the events that may be looked at, with scores and weights.
//!
//! Scores come from a model or, without one, from the stream itself, which accepted events have. Left
//! out are events that the model was trained on and, in a background, injected ones. Events weigh what
//! the stream's `weight` column says, or the same.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use scout40_models::Score;
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::format::SampleKind;
use scout40_replay::source::{FileSource, Source};
use scout40_studies::Error;
use scout40_studies::rate::ScoreCounts;
use scout40_studies::spectrum::Spectrum;
use scout40_studies::weights::{ScoreWeights, check_weights};
use serde::Serialize;

use crate::config::LoadedModel;
use crate::scoring::{each_block, score_stream, training_rows};
use crate::trigger::Line;

/// What a sample is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signal in it is left out.
    Background,
    /// Everything in it is signal.
    Signal,
}

/// Which events of which stream.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a scorer has none")]
pub struct Request<'a> {
    /// The stream.
    pub path: &'a Path,
    /// What it is taken for.
    pub role: Role,
    /// Rows to look at; none: all.
    pub rows: Option<&'a Range<u64>>,
    /// Columns that the study looks at itself.
    pub columns: ColumnSet,
    /// Models besides the one that scores whose training events are left out, so that all see the same.
    pub not_trained_on: &'a [&'a LoadedModel],
}

impl<'a> Request<'a> {
    /// All events of a stream, whose own columns nobody looks at.
    #[must_use]
    pub fn new(path: &'a Path, role: Role) -> Request<'a> {
        Request { path, role, rows: None, columns: ColumnSet::EMPTY, not_trained_on: &[] }
    }
}

/// Events of a block that may be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a> {
    /// All events of the block.
    pub block: &'a Block,
    /// Row of its first event in the stream.
    pub first_row: u64,
    /// The places of those that may be looked at, ascending.
    pub kept: &'a [usize],
    /// Their scores; empty if neither model nor stream has any.
    pub scores: &'a [Score],
    /// Their weights; empty where all weigh the same.
    pub weights: &'a [f64],
}

impl Events<'_> {
    /// Weight of the k-th of the events that may be looked at.
    #[must_use]
    pub fn weight(&self, k: usize) -> f64 {
        self.weights.get(k).copied().unwrap_or(1.0)
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Its file.
    pub path: String,
    /// What its stream says that it is.
    pub name: String,
    /// Digest of the stream.
    pub digest: String,
    /// Events that were looked at.
    pub n_events: u64,
    /// Events left out because the model was trained on them.
    pub n_left_out_as_trained_on: u64,
    /// Events left out because they were injected into the background.
    pub n_left_out_as_injected: u64,
    /// Whether its events have weights.
    pub is_weighted: bool,
}

/// Reads a sample and hands it on block by block.
///
/// # Errors
/// A stream that cannot be read, lacks columns or an index or rows that were asked for, weights that no event can
/// have, no event that may be looked at, and what `each` returns; always with the stream's name.
pub fn read(
    request: &Request,
    model: Option<&LoadedModel>,
    each: &mut dyn FnMut(&Events) -> Result<()>,
) -> Result<Sample> {
    let path = request.path;
    let mut source = FileSource::open(path)?;
    let index = source.info().index.clone().with_context(|| {
        format!(
            "`{}` has no index, so nobody can tell whether a model was trained on it\n\
             hint: convert it again",
            path.display()
        )
    })?;
    ensure!(
        index.n_crossings > 0,
        "`{}`: expected events, found none\nhint: convert it again, or give another stream",
        path.display()
    );
    let has = source.columns();
    let columns = columns(request, model.is_some(), has)?;
    let mut reader = Reader {
        rows: rows_within(request.rows, index.n_crossings, path)?,
        trained: model
            .iter()
            .chain(request.not_trained_on)
            .flat_map(|model| training_rows(model, index.digest))
            .collect(),
        row: 0,
        kept: Vec::new(),
        scores: Vec::new(),
        weights: Vec::new(),
        sample: Sample {
            path: path.display().to_string(),
            name: source.header().sample.clone(),
            digest: format!("{:016x}", index.digest),
            n_events: 0,
            n_left_out_as_trained_on: 0,
            n_left_out_as_injected: 0,
            is_weighted: has.contains(Column::Weight),
        },
    };
    let attempt = || format!("while reading `{}`", path.display());
    match model {
        Some(model) => score_stream(&mut source, model, columns, |block, scores| {
            reader.take(block, scores, each).with_context(attempt)
        }),
        None => each_block(&mut source, columns, |block| {
            reader.take(block, block.get::<Score>(Column::Score), each).with_context(attempt)
        }),
    }?;
    let sample = reader.sample;
    ensure!(
        sample.n_events > 0,
        "`{}` has no events for a study: {} of those asked for were trained on, {} injected\n\
         hint: ask for other rows, or give another stream",
        path.display(),
        sample.n_left_out_as_trained_on,
        sample.n_left_out_as_injected
    );
    Ok(sample)
}

/// Columns to read of those that a stream has.
fn columns(request: &Request, has_model: bool, has: ColumnSet) -> Result<ColumnSet> {
    let missing = request.columns.minus(has);
    ensure!(
        missing.is_empty(),
        "`{}` lacks columns {} that the study looks at, it has {}\n\
         hint: convert it again with them, or ask for something else",
        request.path.display(),
        missing.names(),
        has.names()
    );
    let mut extra = ColumnSet::EMPTY.with(Column::Weight);
    if request.role == Role::Background {
        extra = extra.with(Column::TruthProcess);
    }
    if !has_model {
        extra = extra.with(Column::Score);
    }
    Ok(extra.intersection(has).union(request.columns))
}

struct Reader {
    rows: Range<u64>,
    trained: Vec<Range<u64>>,
    /// Row of the next block's first event.
    row: u64,
    kept: Vec<usize>,
    scores: Vec<Score>,
    weights: Vec<f64>,
    sample: Sample,
}

impl Reader {
    fn take(
        &mut self,
        block: &Block,
        scores: &[Score],
        each: &mut dyn FnMut(&Events) -> Result<()>,
    ) -> Result<()> {
        let first_row = self.row;
        self.row += block.len() as u64;
        let weights = block.get::<f64>(Column::Weight);
        if self.sample.is_weighted {
            // Rows of the stream say more than places in a block.
            check_weights(block.len(), weights).map_err(|error| match error {
                Error::Weight { index, found } => {
                    Error::Weight { index: index + first_row as usize, found }
                }
                other => other,
            })?;
        }
        let process = block.get::<u8>(Column::TruthProcess);
        self.kept.clear();
        self.scores.clear();
        self.weights.clear();
        for event in 0..block.len() {
            let row = first_row + event as u64;
            if !self.rows.contains(&row) {
                continue;
            }
            if self.trained.iter().any(|range| range.contains(&row)) {
                self.sample.n_left_out_as_trained_on += 1;
            } else if process.get(event).is_some_and(|&process| process > 0) {
                self.sample.n_left_out_as_injected += 1;
            } else {
                self.kept.push(event);
                self.scores.extend(scores.get(event));
                self.weights.extend(weights.get(event));
            }
        }
        self.sample.n_events += self.kept.len() as u64;
        each(&Events {
            block,
            first_row,
            kept: &self.kept,
            scores: &self.scores,
            weights: &self.weights,
        })
    }
}

/// The rows that were asked for, none: all of `n_rows`; an open end is that of the stream.
///
/// # Errors
/// Rows that the stream does not have.
pub fn rows_within(rows: Option<&Range<u64>>, n_rows: u64, path: &Path) -> Result<Range<u64>> {
    let rows = rows
        .map_or(0..n_rows, |rows| rows.start..if rows.end == u64::MAX { n_rows } else { rows.end });
    ensure!(
        rows.start < rows.end && rows.end <= n_rows,
        "rows {}..{} of `{}` are to be looked at, which holds rows 0..{n_rows}\n\
         hint: choose a range within them, or another stream",
        rows.start,
        rows.end,
        path.display()
    );
    Ok(rows)
}

/// Number of crossings of a stream, for progress bars; 0 where it is not known.
#[must_use]
pub fn n_crossings(path: &Path) -> u64 {
    let source = FileSource::open(path).ok();
    source.and_then(|source| Some(source.info().index.as_ref()?.n_crossings)).unwrap_or(0)
}

/// Where scores come from.
///
/// # Errors
/// Neither a model nor scores in the stream.
pub fn check_scores(path: &Path, model: Option<&LoadedModel>) -> Result<()> {
    let source = FileSource::open(path)?;
    ensure!(
        model.is_some() || source.columns().contains(Column::Score),
        "`{}` has no scores\nhint: give a model with `--model`",
        path.display()
    );
    Ok(())
}

/// What accepted events are part of.
#[derive(Clone, Copy, Debug)]
pub struct OutOf {
    /// Scored crossings.
    pub n_crossings: u64,
    /// From this score on all of them were kept.
    pub complete_from: Score,
}

impl OutOf {
    /// What accepted events are part of, if `--out-of` says of how many crossings.
    ///
    /// # Errors
    /// Those of [`check_out_of`], and events that no line kept by this score, or only some of.
    pub fn of(
        path: &Path,
        out_of: Option<u64>,
        model: Option<&LoadedModel>,
    ) -> Result<Option<OutOf>> {
        check_out_of(path, out_of)?;
        let Some(n_crossings) = out_of else { return Ok(None) };
        let source = FileSource::open(path)?;
        let header = source.header();
        if let Some(model) = model {
            let digest = format!("{:016x}", model.model.digest());
            let is_same =
                |(name, value): &(String, String)| name == "model_digest" && *value == digest;
            ensure!(
                header.provenance.settings.iter().any(is_same),
                "`{}`: expected events that this model accepted, found those of another\n\
                 hint: leave out `--model`, or give the stream that the run read",
                path.display()
            );
        }
        let kept = header.lines.iter().filter_map(|line| Line::keeps_all_from(&line.rule));
        let complete_from = kept.min().with_context(|| {
            format!(
                "`{}`: expected events of a line without prescale on the score of the only model, found \
                 other lines alone\n\
                 hint: give the stream that the run read, without `--out-of`",
                path.display()
            )
        })?;
        Ok(Some(OutOf { n_crossings, complete_from }))
    }
}

/// Refuses a background of accepted events whose rate nobody can tell.
///
/// # Errors
/// Accepted events, and no number of crossings that they were taken from; a number without such events.
pub fn check_out_of(path: &Path, out_of: Option<u64>) -> Result<()> {
    let is_accepted = FileSource::open(path)?.header().kind == SampleKind::Accepted;
    ensure!(
        is_accepted == out_of.is_some(),
        if is_accepted {
            format!(
                "`{}` holds accepted events alone, which have no rate by themselves\n\
                 hint: `--out-of N` says of how many scored background crossings they are; the run's \
                 summary.json has that number",
                path.display()
            )
        } else {
            format!(
                "`--out-of` is for accepted events, `{}` holds all\nhint: leave it out",
                path.display()
            )
        }
    );
    Ok(())
}

/// Counts or sums of weights per score, in memory that depends on the number of different scores.
#[derive(Clone, Debug)]
pub enum ScoreSums {
    /// All events weigh the same.
    Counts(ScoreCounts),
    /// They do not.
    Weights(ScoreWeights),
}

impl Default for ScoreSums {
    fn default() -> ScoreSums {
        ScoreSums::Counts(ScoreCounts::default())
    }
}

impl ScoreSums {
    /// Counts events.
    ///
    /// # Errors
    /// Weights that no event can have.
    pub fn add(&mut self, events: &Events) -> Result<()> {
        match self {
            ScoreSums::Counts(counts) if events.weights.is_empty() => counts.add(events.scores),
            ScoreSums::Counts(_) => {
                // A stream has weights in all blocks or in none; blocks without events are nothing.
                let mut weights = ScoreWeights::default();
                weights.add(events.scores, events.weights)?;
                *self = ScoreSums::Weights(weights);
            }
            ScoreSums::Weights(weights) => weights.add(events.scores, events.weights)?,
        }
        Ok(())
    }

    /// The spectrum of what was counted.
    ///
    /// # Errors
    /// No events, all of them weigh nothing, and more events than they are out of.
    pub fn spectrum(self, out_of: Option<OutOf>) -> Result<Spectrum> {
        match (self, out_of) {
            (ScoreSums::Counts(counts), Some(OutOf { n_crossings, complete_from })) => {
                let n = counts.total();
                ensure!(
                    n <= n_crossings,
                    "expected at least the {n} accepted events in `--out-of`, found {n_crossings}"
                );
                let mut complete = ScoreCounts::default();
                for (score, n) in counts.descending().filter(|&(score, _)| score >= complete_from) {
                    complete.add_times(score, n);
                }
                complete.add_times(Score::MIN, n_crossings - complete.total());
                Ok(Spectrum::from_counts(&complete)?.known_from(complete_from))
            }
            (ScoreSums::Counts(counts), None) => Ok(Spectrum::from_counts(&counts)?),
            (ScoreSums::Weights(weights), None) => Ok(Spectrum::from_weights(&weights)?),
            (ScoreSums::Weights(_), Some(_)) => {
                anyhow::bail!("`--out-of` counts crossings, but these events have weights")
            }
        }
    }
}

/// The spectrum of a sample.
///
/// # Errors
/// Those of [`read`], and a sample without weight.
pub fn spectrum(
    request: &Request,
    model: Option<&LoadedModel>,
    out_of: Option<OutOf>,
    progress: &mut dyn FnMut(u64),
) -> Result<(Sample, Spectrum)> {
    check_scores(request.path, model)?;
    let mut sums = ScoreSums::default();
    let sample = read(request, model, &mut |events| {
        progress(events.block.len() as u64);
        sums.add(events)
    })?;
    let attempt = || format!("while reading `{}`", request.path.display());
    let spectrum = sums.spectrum(out_of).with_context(attempt)?;
    Ok((sample, spectrum))
}
