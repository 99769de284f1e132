//! Makes events of a model: each from the seed and its number alone.

use std::str::FromStr;

use super::GenerateError;
use super::angles::Angles;
use super::histogram::{Alias, Histogram};
use super::model::{ExtraModel, GeneratorModel, PILE_UP_MAX, column_of};
use super::objects::{BATCH, Event, JetBins, KindTable, Objects, Ratios, bin_jets, sum_jets};
use super::random::{Exponential, Random, Seed, exp, ln};
use super::sums::ScalarTable;
use crate::event::{Block, Collection, Column, ColumnSet};

/// How many collisions pile up in a crossing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PileUp {
    /// As in the stream that the model was fitted to.
    #[default]
    Fitted,
    /// Always so many.
    Fixed(u16),
    /// Poisson of this mean.
    Poisson(f64),
}

impl FromStr for PileUp {
    type Err = String;

    /// `fitted`, a number of collisions, or `poisson:MEAN`.
    fn from_str(text: &str) -> Result<PileUp, String> {
        let expected = || {
            format!(
                "expected `60`, `poisson:60` or `fitted`, at most {PILE_UP_MAX}, found `{text}`"
            )
        };
        let text = text.trim();
        if text == "fitted" {
            return Ok(PileUp::Fitted);
        }
        if let Some(mean) = text.strip_prefix("poisson:") {
            let mean: f64 = mean.parse().map_err(|_| expected())?;
            let in_range = mean > 0.0 && mean <= f64::from(PILE_UP_MAX);
            return if in_range { Ok(PileUp::Poisson(mean)) } else { Err(expected()) };
        }
        let n: u16 = text.parse().map_err(|_| expected())?;
        if (1..=PILE_UP_MAX).contains(&n) { Ok(PileUp::Fixed(n)) } else { Err(expected()) }
    }
}

impl std::fmt::Display for PileUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PileUp::Fitted => f.write_str("fitted"),
            PileUp::Fixed(n) => n.fmt(f),
            PileUp::Poisson(mean) => write!(f, "poisson:{mean}"),
        }
    }
}

impl PileUp {
    /// Its distribution; `None` if the model knows none and none is asked for.
    fn histogram(self, model: &GeneratorModel) -> Result<Option<Histogram>, GenerateError> {
        let Some(known) = &model.pile_up else {
            return if self == PileUp::Fitted { Ok(None) } else { Err(GenerateError::NoPileUp) };
        };
        let in_range = |found: f64| {
            let max = PILE_UP_MAX;
            let holds = found > 0.0 && found <= f64::from(max);
            if holds { Ok(()) } else { Err(GenerateError::PileUpRange { max, found }) }
        };
        Ok(Some(match self {
            PileUp::Fitted => known.histogram.clone(),
            PileUp::Fixed(n) => {
                in_range(f64::from(n))?;
                Histogram { first: i32::from(n), weights: vec![1.0] }
            }
            PileUp::Poisson(mean) => {
                in_range(mean)?;
                let mut log = -mean;
                let mut weights = vec![exp(log) as f32];
                for k in 1..=PILE_UP_MAX {
                    log += ln(mean) - ln(f64::from(k));
                    weights.push(exp(log.max(-600.0)) as f32);
                }
                // What is less likely than 1e-12 would cost tables and never be drawn.
                let first = weights.iter().position(|&w| w > 1e-12).unwrap_or(0);
                let end = weights.iter().rposition(|&w| w > 1e-12).map_or(1, |last| last + 1);
                Histogram { first: first as i32, weights: weights[first..end].to_vec() }
            }
        }))
    }
}

/// Something else that objects have, ready to draw.
struct ExtraTable {
    column: Column,
    collection: Collection,
    /// Which of pT, eta, phi values are relative to.
    base: Option<usize>,
    range: (i32, i32),
    values: Alias,
}

impl ExtraTable {
    fn new(extra: &ExtraModel) -> Result<ExtraTable, GenerateError> {
        let column = column_of(&extra.column)?;
        let collection = column.spec().collection;
        let base = extra.base.as_deref().map(column_of).transpose()?;
        let kinematics = collection.kinematics();
        let base = base
            .zip(kinematics)
            .and_then(|(base, kinematics)| kinematics.iter().position(|&column| column == base));
        let (min, max) = column.spec().range.unwrap_or((0, 0));
        Ok(ExtraTable {
            column,
            collection,
            base,
            range: (min as i32, max as i32),
            values: Alias::new(&extra.values),
        })
    }

    #[inline]
    fn draw(&self, objects: &Objects, i: usize, random: &mut Random) -> i32 {
        let base = self.base.map_or(0, |base| i32::from(objects.codes[base][i]));
        (base + self.values.draw(random)).clamp(self.range.0, self.range.1)
    }
}

/// Makes events.
pub struct Generator {
    seed: Seed,
    columns: ColumnSet,
    label: i32,
    /// The least pile-up that can be, and which of them there is.
    pile_up: Option<(i32, Alias)>,
    bins: JetBins,
    kinds: Vec<KindTable>,
    scalars: Vec<ScalarTable>,
    extras: Vec<ExtraTable>,
    exponential: Exponential,
    angles: Angles,
    ratios: Ratios,
}

impl Generator {
    /// A generator of events of `model` with this pile-up.
    ///
    /// # Errors
    /// A model whose parts do not fit together, or a pile-up that it does not know.
    pub fn new(
        model: &GeneratorModel,
        pile_up: PileUp,
        rng_seed: u64,
    ) -> Result<Generator, GenerateError> {
        model.check()?;
        let histogram = pile_up.histogram(model)?;
        let reference = model.pile_up.as_ref().map_or(1.0, |pile_up| pile_up.reference);
        let relative: Vec<f64> = histogram.as_ref().map_or(vec![1.0], |histogram| {
            let last = histogram.first + histogram.weights.len() as i32;
            // A crossing without any collision is as empty as one with half of one.
            (histogram.first..last).map(|n| f64::from(n).max(0.5) / reference).collect()
        });
        let kind =
            |kind: &super::model::KindModel| Some(KindTable::new(kind, kind.kind()?, &relative));
        Ok(Generator {
            seed: Seed::new(rng_seed),
            columns: model.column_set()?,
            label: model.label,
            pile_up: histogram.map(|h| (h.first, Alias::new(&Histogram { first: 0, ..h }))),
            bins: JetBins::new(model),
            kinds: model.kinds.iter().filter_map(kind).collect(),
            scalars: model
                .scalars
                .iter()
                .map(|scalar| ScalarTable::new(scalar, &relative))
                .collect::<Result<_, _>>()?,
            extras: model.extras.iter().map(ExtraTable::new).collect::<Result<_, _>>()?,
            exponential: Exponential::new(),
            angles: Angles::new(),
            ratios: Ratios::new(),
        })
    }

    /// The columns of its events; those of the crossing are filled in by whoever places them.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }

    /// Fills the columns of `block`, which is empty and holds at least these, with events `first`,
    /// `first + 1`, ..., `n` of them; not orbit and crossing number, which whoever places them does.
    ///
    /// # Panics
    /// Never: multiplicities are within capacities, which the model's check has seen to.
    pub fn fill(&self, first: u64, n: usize, block: &mut Block) {
        debug_assert!(block.is_empty() && block.columns().contains_all(self.columns));
        let mut out = Columns::taken_from(block, self);
        let mut events: [Event; BATCH] = std::array::from_fn(|_| Event::default());
        let end = first + n as u64;
        for begin in (first..end).step_by(BATCH) {
            let mut randoms: [Random; BATCH] =
                std::array::from_fn(|lane| self.seed.crossing(begin + lane as u64));
            let n = (end - begin).min(BATCH as u64) as usize;
            self.draw_objects(&mut events[..n], &mut randoms[..n]);
            for (lane, (event, random)) in events[..n].iter().zip(&mut randoms).enumerate() {
                out.push_objects(event);
                self.draw_rest(event, &mut out, random);
                out.events.push(begin + lane as u64);
            }
        }
        out.label_events(self.label, self.columns);
        out.return_to(block, self);
        block.index_objects().expect("multiplicities are within capacities");
    }

    /// Draws pile-up and objects of several events.
    #[inline]
    fn draw_objects(&self, events: &mut [Event], randoms: &mut [Random]) {
        if let Some((_, alias)) = &self.pile_up {
            for (event, random) in events.iter_mut().zip(randoms.iter_mut()) {
                event.pile_up = alias.draw(random) as usize;
            }
        }
        for kind in &self.kinds {
            kind.draw_pts(events, randoms, self.bins.leads.n, &self.exponential);
            for (event, random) in events.iter_mut().zip(randoms.iter_mut()) {
                let is_jet = kind.collection == Collection::Jet;
                if is_jet {
                    bin_jets(event, &self.bins);
                }
                kind.draw_directions(event, &self.ratios, random);
                if is_jet {
                    sum_jets(event, &self.angles);
                }
            }
        }
    }

    /// Draws sums and what else objects have.
    #[inline]
    fn draw_rest(&self, event: &Event, out: &mut Columns, random: &mut Random) {
        if let Some((first, _)) = self.pile_up {
            out.pile_up.push((first + event.pile_up as i32) as f32);
        }
        let mut met = (0, 0);
        for (scalar, [codes, phis]) in self.scalars.iter().zip(&mut out.scalars) {
            let (code, phi) = scalar.draw(event, met, &self.angles, random);
            if scalar.column == Column::MetPt {
                met = (code, phi);
            }
            codes.push(code);
            if scalar.direction.is_some() {
                phis.push(phi);
            }
        }
        for (extra, values) in self.extras.iter().zip(&mut out.extras) {
            let objects = &event.objects[extra.collection as usize];
            values.extend((0..objects.n).map(|i| extra.draw(objects, i, random) as i16));
        }
    }

    /// One event, for those who fit what comes after its objects.
    pub(super) fn objects_of(&self, number: u64) -> Event {
        let mut event = Event::default();
        let random = self.seed.crossing(number);
        self.draw_objects(std::slice::from_mut(&mut event), &mut [random]);
        event
    }
}

/// The columns of a block while events are appended to them.
struct Columns {
    counts: [Vec<u8>; 4],
    kinematics: [Option<[Vec<i16>; 3]>; 4],
    pile_up: Vec<f32>,
    events: Vec<u64>,
    labels: Vec<i32>,
    scalars: Vec<[Vec<i16>; 2]>,
    extras: Vec<Vec<i16>>,
}

impl Columns {
    fn taken_from(block: &mut Block, of: &Generator) -> Columns {
        let count = |c: Collection| c.count_column().expect("objects are counted");
        let has = |c: Collection| of.kinds.iter().any(|kind| kind.collection == c);
        Columns {
            counts: Collection::OBJECTS.map(|c| std::mem::take(block.get_mut(count(c)))),
            kinematics: Collection::OBJECTS.map(|c| {
                let columns = c.kinematics().filter(|_| has(c))?;
                Some(columns.map(|column| std::mem::take(block.get_mut(column))))
            }),
            pile_up: std::mem::take(block.get_mut(Column::PileUp)),
            events: std::mem::take(block.get_mut(Column::Event)),
            labels: std::mem::take(block.get_mut(Column::Label)),
            scalars: of
                .scalars
                .iter()
                .map(|scalar| {
                    [Some(scalar.column), scalar.direction].map(|column| {
                        column.map_or(Vec::new(), |c| std::mem::take(block.get_mut(c)))
                    })
                })
                .collect(),
            extras: vec![Vec::new(); of.extras.len()],
        }
    }

    #[inline]
    fn push_objects(&mut self, event: &Event) {
        for (k, objects) in event.objects.iter().enumerate() {
            self.counts[k].push(objects.n as u8);
            if let Some(columns) = &mut self.kinematics[k] {
                for (column, codes) in columns.iter_mut().zip(&objects.codes) {
                    // All places, of which the last ones are taken back: copies of a fixed length.
                    let end = column.len() + objects.n;
                    column.extend_from_slice(codes);
                    column.truncate(end);
                }
            }
        }
    }

    fn label_events(&mut self, label: i32, columns: ColumnSet) {
        if columns.contains(Column::Label) {
            self.labels.resize(self.counts[0].len(), label);
        }
        if !columns.contains(Column::Event) {
            self.events.clear();
        }
        if !columns.contains(Column::PileUp) {
            self.pile_up.clear();
        }
    }

    fn return_to(self, block: &mut Block, of: &Generator) {
        for (c, counts) in Collection::OBJECTS.into_iter().zip(self.counts) {
            *block.get_mut(c.count_column().expect("objects are counted")) = counts;
        }
        for (c, columns) in Collection::OBJECTS.into_iter().zip(self.kinematics) {
            for (column, codes) in
                c.kinematics().into_iter().flatten().zip(columns.into_iter().flatten())
            {
                *block.get_mut(column) = codes;
            }
        }
        *block.get_mut(Column::PileUp) = self.pile_up;
        *block.get_mut(Column::Event) = self.events;
        *block.get_mut(Column::Label) = self.labels;
        for (scalar, [codes, phis]) in of.scalars.iter().zip(self.scalars) {
            *block.get_mut(scalar.column) = codes;
            if let Some(direction) = scalar.direction {
                *block.get_mut(direction) = phis;
            }
        }
        for (extra, values) in of.extras.iter().zip(self.extras) {
            match extra.column.spec().dtype {
                crate::event::Dtype::U8 => {
                    block.get_mut::<u8>(extra.column).extend(values.iter().map(|&v| v as u8));
                }
                _ => *block.get_mut(extra.column) = values,
            }
        }
    }
}
