//! A menu whose decisions stand beside those of a model: lines of a menu file, as `scout40 run --menu` takes
//! them; the recorded `L1bit`; recorded decisions of algorithms.

use anyhow::{Context, Result, ensure};
use scout40_models::Score;
use scout40_replay::event::{Column, ColumnSet};
use scout40_replay::source::{FileSource, Source};
use scout40_studies::menu_counts::MenuCounts;

use super::points::WorkingPoint;
use super::sample::{Events, Request, Sample, ScoreSums, read};
#[cfg(feature = "parquet")]
use super::seeds::SeedRows;
use crate::config::LoadedModel;
use crate::trigger::{Menu, Prescale, Rule};

/// Name of the line of the recorded decision.
const RECORDED: &str = "L1bit";

/// The lines, whatever decides.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    menu: Menu,
    prescales: Vec<Prescale>,
    has_recorded: bool,
    /// Algorithms with recorded decisions.
    seeds: Vec<String>,
}

/// Recorded decisions of one stream's events; nothing where no seeds are asked for.
#[cfg(feature = "parquet")]
pub type Decisions = Option<SeedRows>;
/// Without parquet there are none.
#[cfg(not(feature = "parquet"))]
pub type Decisions = Option<std::convert::Infallible>;

impl Lines {
    /// The lines of a menu, then the recorded decision if that is wanted, then algorithms.
    ///
    /// # Errors
    /// A name that two of them have.
    pub fn new(menu: Menu, has_recorded: bool, seeds: &[String]) -> Result<Lines> {
        let prescales = menu.prescales();
        let lines = Lines { menu, prescales, has_recorded, seeds: seeds.to_vec() };
        let mut names = lines.names();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        ensure!(twice.is_none(), "two lines are called `{}`", twice.map_or("", |pair| pair[0]));
        Ok(lines)
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let menu = self.menu.lines().iter().map(|line| line.name.as_str());
        let recorded = self.has_recorded.then_some(RECORDED);
        menu.chain(recorded).chain(self.seeds.iter().map(String::as_str)).collect()
    }

    /// One in how many each keeps.
    #[must_use]
    pub fn prescales(&self) -> Vec<u32> {
        let menu = self.menu.lines().iter().map(|line| line.prescale.get());
        let others = usize::from(self.has_recorded) + self.seeds.len();
        menu.chain(std::iter::repeat_n(1, others)).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// Columns that they look at.
    fn columns(&self, decisions: &Decisions) -> ColumnSet {
        let mut columns = self.menu.columns();
        if self.has_recorded {
            columns = columns.with(Column::L1Accept);
        }
        #[cfg(feature = "parquet")]
        if decisions.as_ref().is_some_and(SeedRows::needs_order) {
            columns = columns.with(Column::Order);
        }
        #[cfg(not(feature = "parquet"))]
        let _ = decisions;
        columns
    }

    /// The numbers of the lines that take the k-th of the events that may be looked at.
    fn fired(
        &self,
        events: &Events,
        k: usize,
        decisions: &Decisions,
        into: &mut Vec<usize>,
    ) -> Result<()> {
        into.clear();
        let (block, place) = (events.block, events.kept[k]);
        let event = block.event(place);
        for (number, line) in self.menu.lines().iter().enumerate() {
            let passes = match &line.rule {
                Rule::Score { raw, .. } => events.scores.get(k).is_some_and(|score| score >= raw),
                Rule::Cut(cuts) => cuts.iter().all(|cut| cut.passes(event)),
            };
            if passes && self.prescales[number].keeps(event.id()) {
                into.push(number);
            }
        }
        let mut next = self.menu.lines().len();
        if self.has_recorded {
            if event.value::<u8>(Column::L1Accept) > 0 {
                into.push(next);
            }
            next += 1;
        }
        #[cfg(feature = "parquet")]
        if let Some(decisions) = decisions {
            decisions.fired(block, place, events.first_row + place as u64, next, into)?;
        }
        #[cfg(not(feature = "parquet"))]
        let _ = (decisions, next);
        Ok(())
    }
}

/// Counts what lines and working points take of a sample, and its scores, in one pass.
///
/// # Errors
/// Those of [`read`], and events without recorded decisions.
pub fn count(
    request: &Request,
    model: Option<&LoadedModel>,
    lines: &Lines,
    points: &[WorkingPoint],
    decisions: &Decisions,
    progress: &mut dyn FnMut(u64),
) -> Result<(Sample, ScoreSums, MenuCounts)> {
    let columns = request.columns.union(lines.columns(decisions));
    let request = Request { columns, ..request.clone() };
    if lines.has_recorded {
        let has = FileSource::open(request.path)?.columns().contains(Column::L1Accept);
        ensure!(
            has,
            "`{}` has no recorded decision (column {})\n\
             hint: convert it from files that have `L1bit`, with `--groups` that name `label`",
            request.path.display(),
            Column::L1Accept.spec().name
        );
    }
    let thresholds: Vec<Score> = points.iter().map(|point| point.threshold).collect();
    let mut counts = MenuCounts::new(lines.names().len(), points.len());
    let mut sums = ScoreSums::default();
    let (mut fired, mut passed) = (Vec::new(), Vec::new());
    let sample = read(&request, model, &mut |events| {
        progress(events.block.len() as u64);
        sums.add(events)?;
        for k in 0..events.kept.len() {
            lines.fired(events, k, decisions, &mut fired)?;
            passed.clear();
            if let Some(&score) = events.scores.get(k) {
                passed.extend((0..thresholds.len()).filter(|&p| score >= thresholds[p]));
            }
            counts.add(&fired, &passed, events.weight(k));
        }
        Ok(())
    })
    .with_context(|| {
        format!("while counting what the menu takes of `{}`", request.path.display())
    })?;
    Ok((sample, sums, counts))
}
