//! The events that a model is fitted to, in memory.

use super::super::GenerateError;
use super::super::histogram::Histogram;
use super::super::model::PILE_UP_MAX;
use super::{EVENTS_MIN, fitted_columns};
use crate::event::gather::{self, Pick};
use crate::event::{Block, Collection, Column};
use crate::source::{Delivery, Source};

pub(super) struct Sample {
    pub(super) events: Block,
    pub(super) n: usize,
    /// Pile-up of each event, rounded; empty if the stream does not know it.
    pub(super) pile_up: Vec<u16>,
    pub(super) mean_pile_up: f64,
}

impl Sample {
    /// Reads the first events of a stream.
    pub(super) fn read(source: &mut dyn Source, n_max: u64) -> Result<Sample, GenerateError> {
        let name = source.header().sample.clone();
        let columns = fitted_columns(source.columns());
        let mut events = Block::new(columns);
        let mut block = Block::default();
        let n_max = usize::try_from(n_max).unwrap_or(usize::MAX).min(u32::MAX as usize / 16);
        let mut n = 0;
        while n < n_max {
            match source.next_block(columns, &mut block)? {
                Delivery::Block => {
                    let end = block.len().min(n_max - n);
                    gather::append(&mut events, &[&block], &[Pick { source: 0, first: 0, end }]);
                    n += end;
                }
                Delivery::End => break,
                problem => return Err(GenerateError::Damaged { name, problem }),
            }
        }
        if (n as u64) < EVENTS_MIN {
            return Err(GenerateError::TooFew { name, least: EVENTS_MIN, found: n as u64 });
        }
        let cannot = |problem: String| GenerateError::CannotFit { name: name.clone(), problem };
        events.index_objects().map_err(|error| cannot(error.to_string()))?;
        events.check_shape().map_err(|error| cannot(error.to_string()))?;
        let (pile_up, mean_pile_up) = pile_up_of(&events).map_err(cannot)?;
        Ok(Sample { events, n, pile_up, mean_pile_up })
    }

    /// Whether pT, eta and phi of a kind of objects are known, and there are any.
    pub(super) fn has_kind(&self, collection: Collection) -> bool {
        let known = collection.kinematics().is_some_and(|kinematics| {
            kinematics.iter().all(|&column| self.events.columns().contains(column))
        });
        known && self.events.n_entries(collection) > 0
    }

    /// Column `k` of pT, eta, phi of a kind of objects of one event, hardest first.
    pub(super) fn of_event(&self, collection: Collection, k: usize, event: usize) -> &[i16] {
        let Some(kinematics) = collection.kinematics() else { return &[] };
        let offsets = self.events.offsets(collection);
        let range = offsets[event] as usize..offsets[event + 1] as usize;
        self.events.get::<i16>(kinematics[k]).get(range).unwrap_or_default()
    }

    /// How many objects of a kind each event has.
    pub(super) fn counts(&self, collection: Collection) -> impl Iterator<Item = u16> {
        let column = collection.count_column().expect("objects are counted");
        self.events.get::<u8>(column).iter().map(|&n| u16::from(n))
    }

    /// pT codes of all objects of a kind.
    pub(super) fn pts(&self, collection: Collection) -> impl Iterator<Item = u16> {
        let [pt, ..] = collection.kinematics().expect("objects have kinematics");
        self.events.get::<i16>(pt).iter().map(|&pt| pt.max(0).cast_unsigned())
    }

    /// pT code of the hardest object of a kind in each event, 0 where there is none.
    pub(super) fn leading(&self, collection: Collection) -> impl Iterator<Item = u16> {
        (0..self.n).map(move |event| self.pt(collection, 0, event))
    }

    /// pT codes of all objects of one rank.
    pub(super) fn of_rank(&self, collection: Collection, rank: usize) -> impl Iterator<Item = u16> {
        (0..self.n).map(move |event| self.pt(collection, rank, event)).filter(|&pt| pt > 0)
    }

    /// pT code of an object, 0 if there is none.
    pub(super) fn pt(&self, collection: Collection, rank: usize, event: usize) -> u16 {
        self.of_event(collection, 0, event).get(rank).map_or(0, |&pt| pt.max(0).cast_unsigned())
    }

    /// Sum of the pT codes of an event's jets.
    pub(super) fn jet_sum(&self, event: usize) -> usize {
        self.of_event(Collection::Jet, 0, event).iter().map(|&pt| pt.max(0) as usize).sum()
    }

    /// Entries of a column of small integers.
    pub(super) fn integers(&self, column: Column) -> Vec<i32> {
        match column.spec().dtype {
            crate::event::Dtype::U8 => {
                self.events.get::<u8>(column).iter().map(|&value| i32::from(value)).collect()
            }
            _ => self.events.get::<i16>(column).iter().map(|&value| i32::from(value)).collect(),
        }
    }

    /// ln(pile-up / mean) of an event.
    pub(super) fn log_pile_up(&self, event: usize) -> f64 {
        let relative =
            self.pile_up.get(event).map_or(1.0, |&n| f64::from(n).max(0.5) / self.mean_pile_up);
        super::super::random::ln(relative)
    }

    pub(super) fn pile_up_histogram(&self) -> Option<Histogram> {
        let values = self.pile_up.iter().map(|&n| i32::from(n));
        (!self.pile_up.is_empty()).then(|| Histogram::of(values))
    }

    /// The label of most events.
    pub(super) fn label(&self) -> i32 {
        let mut counts = std::collections::BTreeMap::<i32, usize>::new();
        self.events
            .get::<i32>(Column::Label)
            .iter()
            .for_each(|&label| *counts.entry(label).or_default() += 1);
        counts.into_iter().max_by_key(|&(_, n)| n).map_or(0, |(label, _)| label)
    }
}

/// Pile-up of each event, rounded, and its mean; none if the stream does not know it.
fn pile_up_of(events: &Block) -> Result<(Vec<u16>, f64), String> {
    let values = events.get::<f32>(Column::PileUp);
    if values.is_empty() {
        return Ok((Vec::new(), 1.0));
    }
    let in_range = |value: &&f32| (0.0..=f32::from(PILE_UP_MAX)).contains(*value);
    if let Some(value) = values.iter().find(|value| !in_range(value)) {
        return Err(format!("expected a pile-up within 0..={PILE_UP_MAX}, found {value}"));
    }
    let rounded: Vec<u16> = values.iter().map(|value| value.round() as u16).collect();
    let sum: u64 = rounded.iter().map(|&n| u64::from(n)).sum();
    if sum == 0 {
        // Nobody filled it in.
        return Ok((Vec::new(), 1.0));
    }
    let mean = sum as f64 / rounded.len() as f64;
    Ok((rounded, mean))
}
