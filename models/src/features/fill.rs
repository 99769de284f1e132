//! Filling rows from blocks.
//!
//! A plan sorts the features by where they come from. Per-crossing columns are copied. Object
//! columns go in two steps, because events have different numbers of objects and a loop over the
//! objects of each event would mispredict its end every time: first, for 64 events at a time, the
//! place of every object in the batch is written down without a branch (a whole table of places
//! per event, of which the next event overwrites what it does not need); then one plain loop per
//! column moves the values. Lanes of objects that an event does not have were zeroed before.
//!
//! Objects beyond the ranks that a specification asks for land in a padding lane. Nothing is
//! allocated, nothing is checked that [`FeatureSpec::check`] and `Block::check` have checked.

use std::ops::Range;

use scout40_replay::event::{Block, Collection, Column, Element, Entries};

use super::{Feature, FeatureSpec, Transform};
use crate::rows::{LANE_STRIDE, MAX_BATCH, RowBuffer};

/// Largest number of objects of one kind in one event.
const MAX_OBJECTS: usize = 16;
/// Events whose objects are placed together.
const CHUNK: usize = 64;
/// A lane that holds no event, where unwanted objects go.
const DUMP_LANE: u32 = MAX_BATCH as u32;

const _: () = assert!(LANE_STRIDE > MAX_BATCH, "the dump lane is one of the padding");

/// Where the objects of a chunk go, and room for the table of its last event.
type Places = [u32; (CHUNK + 1) * MAX_OBJECTS];

/// Where the values of one column go.
#[derive(Clone, Debug)]
struct Target {
    column: Column,
    transform: Transform,
    /// Index of lane 0 of the lowest feature that is made of the column.
    base: usize,
}

/// Columns of one kind of object whose features are equally spaced.
#[derive(Clone, Debug)]
struct ObjectTargets {
    collection: Collection,
    /// For each rank: index of lane 0 of its feature, relative to the base.
    places: [u32; MAX_OBJECTS],
    /// What of a lane is added to it: nothing for ranks that no feature asks for.
    lane_masks: [u32; MAX_OBJECTS],
    targets: Vec<Target>,
}

/// A feature specification made ready to fill rows.
#[derive(Clone, Debug)]
pub struct FillPlan {
    n_features: usize,
    crossing: Vec<Target>,
    objects: Vec<ObjectTargets>,
}

impl FillPlan {
    /// The plan of a specification.
    #[must_use]
    pub fn new(spec: &FeatureSpec) -> FillPlan {
        let mut plan =
            FillPlan { n_features: spec.len(), crossing: Vec::new(), objects: Vec::new() };
        let mut done = Vec::new();
        for (place, &feature) in spec.features().iter().enumerate() {
            let Feature::Value { column, transform, .. } = feature else { continue };
            let collection = column.spec().collection;
            if collection == Collection::Crossing {
                plan.crossing.push(Target { column, transform, base: place * LANE_STRIDE });
            } else if !done.contains(&(column, transform)) {
                done.push((column, transform));
                plan.add_objects(spec, collection, column, transform);
            }
        }
        plan
    }

    fn add_objects(
        &mut self,
        spec: &FeatureSpec,
        collection: Collection,
        column: Column,
        transform: Transform,
    ) {
        let place_of = |rank: usize| {
            let feature = Feature::Value { column, index: rank as u8, transform };
            spec.features().iter().position(|&f| f == feature)
        };
        let ranks: [Option<usize>; MAX_OBJECTS] = std::array::from_fn(place_of);
        let first = ranks.iter().flatten().min().expect("the column is asked for");
        let places = ranks
            .map(|place| place.map_or(DUMP_LANE, |place| ((place - first) * LANE_STRIDE) as u32));
        let lane_masks = ranks.map(|place| if place.is_some() { u32::MAX } else { 0 });
        let target = Target { column, transform, base: first * LANE_STRIDE };
        let alike = |o: &&mut ObjectTargets| o.collection == collection && o.places == places;
        match self.objects.iter_mut().find(alike) {
            Some(objects) => objects.targets.push(target),
            None => self.objects.push(ObjectTargets {
                collection,
                places,
                lane_masks,
                targets: vec![target],
            }),
        }
    }

    /// Values in a row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Writes the rows of the events `range` of `block` to the lanes from `first_lane` on.
    ///
    /// Objects that an event lacks are zero, and so are columns that the block lacks:
    /// [`FeatureSpec::check`] refuses such streams beforehand. Other events' lanes stay as they
    /// are; padding lanes may change. The length of `rows` stays as it is.
    ///
    /// **Real-time**: allocates nothing, O(features + objects).
    ///
    /// # Panics
    /// If the block has no such events, the batch no such lanes, or the rows are of another
    /// specification: mistakes in the program.
    pub fn fill(
        &self,
        block: &Block,
        range: Range<usize>,
        rows: &mut RowBuffer,
        first_lane: usize,
    ) {
        let n = range.len();
        assert!(range.end <= block.len(), "event {} of {}", range.end, block.len());
        assert!(first_lane + n <= MAX_BATCH, "lane {} of {MAX_BATCH}", first_lane + n);
        assert_eq!(rows.n_features(), self.n_features, "rows of another specification");
        let mut places = [0; (CHUNK + 1) * MAX_OBJECTS];
        for begin in (0..n).step_by(CHUNK) {
            let end = (begin + CHUNK).min(n);
            let events = range.start + begin..range.start + end;
            self.fill_chunk(block, events, rows.lanes_mut(), first_lane + begin, &mut places);
        }
    }

    /// Fills up to 64 lanes: what is zeroed is still in the level-1 cache when it is written.
    fn fill_chunk(
        &self,
        block: &Block,
        events: Range<usize>,
        lanes: &mut [i16],
        lane: usize,
        places: &mut Places,
    ) {
        let n = events.len();
        for column in lanes.chunks_exact_mut(LANE_STRIDE) {
            clear(&mut column[lane..lane + n]);
        }
        for target in self.crossing.iter().filter(|t| block.columns().contains(t.column)) {
            let to = &mut lanes[target.base + lane..][..n];
            match block.entries(target.column) {
                Entries::U8(codes) => copy(&codes[events.clone()], to, target.transform),
                _ => copy::<i16>(&block.get(target.column)[events.clone()], to, target.transform),
            }
        }
        for objects in &self.objects {
            objects.fill(block, events.clone(), lanes, lane, places);
        }
    }
}

impl ObjectTargets {
    fn fill(
        &self,
        block: &Block,
        events: Range<usize>,
        lanes: &mut [i16],
        lane: usize,
        places: &mut Places,
    ) {
        let offsets = &block.offsets(self.collection)[events.start..=events.end];
        let objects = offsets[0] as usize..offsets[events.len()] as usize;
        if objects.is_empty() {
            return;
        }
        self.place(offsets, lane as u32, places);
        let places = &places[..objects.len()];
        for target in self.targets.iter().filter(|t| block.columns().contains(t.column)) {
            let (to, transform) = (&mut lanes[target.base..], target.transform);
            match block.entries(target.column) {
                Entries::U8(codes) => scatter(&codes[objects.clone()], places, to, transform),
                _ => {
                    let codes: &[i16] = &block.get(target.column)[objects.clone()];
                    scatter(codes, places, to, transform);
                }
            }
        }
    }

    /// Writes down where each object of up to 64 events goes.
    fn place(&self, offsets: &[u32], first_lane: u32, places: &mut Places) {
        for (lane, &offset) in (first_lane..).zip(&offsets[..offsets.len() - 1]) {
            let begin = (offset - offsets[0]) as usize;
            let to: &mut [u32; MAX_OBJECTS] =
                (&mut places[begin..begin + MAX_OBJECTS]).try_into().expect("of that length");
            for ((to, place), mask) in to.iter_mut().zip(self.places).zip(self.lane_masks) {
                *to = place + (lane & mask);
            }
        }
    }
}

/// A hardware integer as a 16-bit one.
trait Code: Element + Into<i16> {}
impl Code for u8 {}
impl Code for i16 {}

/// Runs `$body` with a constant transform, so that the loop in it has no branch.
macro_rules! each_transform {
    ($transform:expr, $constant:ident => $body:expr) => {
        match $transform {
            Transform::Identity => {
                const $constant: Transform = Transform::Identity;
                $body
            }
            Transform::Halve => {
                const $constant: Transform = Transform::Halve;
                $body
            }
            Transform::Quarter => {
                const $constant: Transform = Transform::Quarter;
                $body
            }
            Transform::QuarterTurn => {
                const $constant: Transform = Transform::QuarterTurn;
                $body
            }
        }
    };
}

/// Zeroes lanes; without a call where there is one, or a whole chunk.
fn clear(lanes: &mut [i16]) {
    if let [lane] = lanes {
        *lane = 0;
    } else if let Ok(chunk) = <&mut [i16; CHUNK]>::try_from(&mut *lanes) {
        *chunk = [0; CHUNK];
    } else {
        lanes.fill(0);
    }
}

fn copy<T: Code>(from: &[T], to: &mut [i16], transform: Transform) {
    each_transform!(transform, TRANSFORM => {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = TRANSFORM.apply(from.into());
        }
    });
}

fn scatter<T: Code>(from: &[T], places: &[u32], to: &mut [i16], transform: Transform) {
    each_transform!(transform, TRANSFORM => {
        for (&place, &from) in places.iter().zip(from) {
            to[place as usize] = TRANSFORM.apply(from.into());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, l1_block};
    use scout40_replay::event::ColumnSet;

    /// The obvious way: each feature of one event on its own.
    fn slow_row(spec: &FeatureSpec, block: &Block, event: usize) -> Vec<i16> {
        let value = |feature: &Feature| {
            let Feature::Value { column, index, transform } = *feature else { return 0 };
            let event = block.event(event);
            let code = if column.spec().dtype.size() == 1 {
                event.values::<u8>(column).get(usize::from(index)).map(|&x| i16::from(x))
            } else {
                event.values::<i16>(column).get(usize::from(index)).copied()
            };
            code.map_or(0, |x| transform.apply(x))
        };
        spec.features().iter().map(value).collect()
    }

    fn row(rows: &RowBuffer, lane: usize) -> Vec<i16> {
        (0..rows.n_features()).map(|f| rows.rows().column_padded(f)[lane]).collect()
    }

    const SPECS: [&str; 7] = [
        "l1-57",
        "axol1tl",
        "thesis-99",
        "thesis-99:muon-units=calo",
        "jet[3].pt, jet[0].pt, jet[0..12].(eta,pt/2), bx, muon[0..16].(qual,phi/4,charge)",
        "tau[11].iso, zero, jet.n, muon.n/2, tower_count, egamma[5].iso, tau[0..2].pt",
        "zero",
    ];

    #[test]
    fn filled_rows_are_those_of_the_obvious_way() {
        let block = l1_block(1500, 1);
        for spec in SPECS.map(|text| FeatureSpec::parse(text).unwrap()) {
            let plan = FillPlan::new(&spec);
            let mut rows = RowBuffer::new(plan.n_features());
            let mut random = Random(2);
            for _ in 0..20 {
                let n = random.below(513) as usize;
                let (begin, lane) =
                    (random.below(900) as usize, random.below(513 - n as u64) as usize);
                plan.fill(&block, begin..begin + n, &mut rows, lane);
                for k in 0..n {
                    assert_eq!(row(&rows, lane + k), slow_row(&spec, &block, begin + k), "{spec}");
                }
            }
        }
    }

    #[test]
    fn filling_one_event_at_a_time_gives_the_same_batch_and_leaves_other_lanes_alone() {
        let block = l1_block(512, 3);
        for spec in SPECS.map(|text| FeatureSpec::parse(text).unwrap()) {
            let plan = FillPlan::new(&spec);
            let mut rows = RowBuffer::new(plan.n_features());
            for f in 0..plan.n_features() {
                rows.column_mut(f).fill(-77);
            }
            for event in (0..512).step_by(2) {
                plan.fill(&block, event..event + 1, &mut rows, event);
            }
            for event in 0..512 {
                let expected = match event % 2 {
                    0 => slow_row(&spec, &block, event),
                    _ => vec![-77; plan.n_features()],
                };
                assert_eq!(row(&rows, event), expected, "{spec}");
            }
        }
    }

    #[test]
    fn columns_that_a_block_lacks_read_as_zero() {
        let full = l1_block(10, 4);
        let mut block = Block::new(ColumnSet::skeleton().with(Column::JetEta));
        (0..10).for_each(|event| block.push_event(&full, event));
        let spec = FeatureSpec::parse("met.pt, jet[0].(pt,eta), jet[0].qual").unwrap();
        let plan = FillPlan::new(&spec);
        let mut rows = RowBuffer::new(plan.n_features());
        plan.fill(&block, 0..10, &mut rows, 0);
        rows.set_len(10);
        assert_eq!(rows.column(0), [0; 10]);
        assert_eq!(rows.column(1), [0; 10]);
        assert_eq!(rows.column(3), [0; 10]);
        let etas: Vec<i16> = (0..10)
            .map(|e| full.event(e).values::<i16>(Column::JetEta).first().copied().unwrap_or(0))
            .collect();
        assert_eq!(rows.column(2), etas);
    }

    #[test]
    fn an_empty_range_fills_nothing() {
        let block = l1_block(3, 5);
        let plan = FillPlan::new(&FeatureSpec::parse("l1-57").unwrap());
        let mut rows = RowBuffer::new(57);
        plan.fill(&block, 3..3, &mut rows, 512);
        assert_eq!(row(&rows, 511), vec![0; 57]);
    }
}
