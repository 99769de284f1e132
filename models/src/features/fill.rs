//! Filling rows from blocks.
//!
//! A plan sorts the features by where they come from. Per-crossing columns are copied. Object
//! columns are turned on their side, all of one collection at once: the objects of an event lie
//! side by side in the block, those of equal rank must lie side by side in the rows, with zeros
//! where an event has no such object ([`turn`](crate::kernels)):
//!
//! ```text
//! block   event 0 │ a0 a1 a2 │ event 1 │ b0 │ event 2 │ c0 c1 │ …
//! rows    rank 0   a0 b0 c0 …    rank 1   a1  0 c1 …    rank 2   a2  0  0 …
//! ```
//!
//! Nothing is allocated, nothing is checked that [`FeatureSpec::check`] and `Block::check` have
//! checked.

use std::ops::Range;

use scout40_replay::event::{Block, Collection, Column, Element, Entries};

use super::{Feature, FeatureSpec, Transform};
use crate::kernels::isa::Isa;
use crate::kernels::turn::{self, Places, turn};
use crate::rows::{LANE_STRIDE, MAX_BATCH, RowBuffer};

/// Columns of one collection that are turned together.
const TOGETHER: usize = 8;

/// Where the entries of a per-crossing column go.
#[derive(Clone, Debug)]
struct CrossingTarget {
    column: Column,
    transform: Transform,
    /// Index of lane 0 of the feature.
    place: usize,
}

/// Where the entries of an object column go.
#[derive(Clone, Debug)]
struct ObjectTarget {
    collection: Collection,
    column: Column,
    transform: Transform,
    /// For each rank: index of lane 0 of the feature.
    places: Places,
}

/// Where one rank of an object column goes, of a collection whose lists are longer than the
/// kernel can turn.
#[derive(Clone, Debug)]
struct FurtherTarget {
    column: Column,
    rank: u32,
    transform: Transform,
    /// Index of lane 0 of the feature.
    place: usize,
}

/// A feature specification made ready to fill rows.
#[derive(Clone, Debug)]
pub struct FillPlan {
    isa: Isa,
    n_features: usize,
    /// Index of lane 0 of the features that are a constant zero.
    zeros: Vec<usize>,
    crossing: Vec<CrossingTarget>,
    /// Sorted by collection.
    objects: Vec<ObjectTarget>,
    further: Vec<FurtherTarget>,
}

impl FillPlan {
    /// The plan of a specification, for the best instructions that this processor has.
    #[must_use]
    pub fn new(spec: &FeatureSpec) -> FillPlan {
        FillPlan::with_isa(spec, Isa::best())
    }

    /// The plan of a specification. The rows are the same for all instruction sets.
    #[must_use]
    pub fn with_isa(spec: &FeatureSpec, isa: Isa) -> FillPlan {
        let (zeros, crossing, objects) = (Vec::new(), Vec::new(), Vec::new());
        let (n_features, further) = (spec.len(), Vec::new());
        let mut plan = FillPlan { isa, n_features, zeros, crossing, objects, further };
        for (number, &feature) in spec.features().iter().enumerate() {
            let place = number * LANE_STRIDE;
            let Feature::Value { column, index, transform } = feature else {
                plan.zeros.push(place);
                continue;
            };
            let collection = column.spec().collection;
            if collection == Collection::Crossing {
                plan.crossing.push(CrossingTarget { column, transform, place });
                continue;
            }
            if Collection::FURTHER.contains(&collection) {
                let rank = u32::from(index);
                plan.further.push(FurtherTarget { column, rank, transform, place });
                continue;
            }
            let (rank, place) = (usize::from(index), place as u32);
            let takes = |target: &mut ObjectTarget| {
                (target.column, target.transform) == (column, transform)
                    && target.places.set(rank, place)
            };
            if !plan.objects.iter_mut().any(takes) {
                let mut places = Places::NONE;
                places.set(rank, place);
                plan.objects.push(ObjectTarget { collection, column, transform, places });
            }
        }
        plan.objects.sort_by_key(|target| target.collection as usize);
        plan
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
    /// are. The length of `rows` stays as it is.
    ///
    /// **Real-time**: allocates nothing, O(features).
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
        let lanes = rows.lanes_mut();
        for place in &self.zeros {
            lanes[place + first_lane..][..n].fill(0);
        }
        for target in &self.crossing {
            let to = &mut lanes[target.place + first_lane..][..n];
            match block.entries(target.column) {
                codes if codes.is_empty() => to.fill(0),
                Entries::U8(codes) => copy(&codes[range.clone()], to, target.transform),
                _ => copy::<i16>(&block.get(target.column)[range.clone()], to, target.transform),
            }
        }
        for targets in self.objects.chunk_by(|a, b| a.collection == b.collection) {
            for targets in targets.chunks(TOGETHER) {
                fill_objects(self.isa, targets, block, range.clone(), lanes, first_lane);
            }
        }
        for target in &self.further {
            target.fill(block, range.clone(), &mut lanes[target.place + first_lane..][..n]);
        }
    }
}

impl FurtherTarget {
    /// Fills lanes with the objects of this rank, one event after the other.
    fn fill(&self, block: &Block, events: Range<usize>, lanes: &mut [i16]) {
        let collection = self.column.spec().collection;
        let offsets = block.offsets(collection);
        // A block that does not count these objects has none.
        let Some(offsets) = offsets.get(events.start..=events.end) else { return lanes.fill(0) };
        match block.entries(self.column) {
            codes if codes.len() != block.n_entries(collection) => lanes.fill(0),
            Entries::U8(codes) => self.pick(codes, offsets, lanes),
            Entries::I32(codes) => self.pick(codes, offsets, lanes),
            _ => self.pick::<i16>(block.get(self.column), offsets, lanes),
        }
    }

    fn pick<T: Element + Into<i32>>(&self, codes: &[T], offsets: &[u32], lanes: &mut [i16]) {
        for (lane, pair) in lanes.iter_mut().zip(offsets.windows(2)) {
            let at = pair[0] + self.rank;
            let there = at < pair[1];
            *lane = if there { self.transform.apply_wide(codes[at as usize].into()) } else { 0 };
        }
    }
}

/// Fills lanes with the objects of one collection.
fn fill_objects(
    isa: Isa,
    targets: &[ObjectTarget],
    block: &Block,
    events: Range<usize>,
    lanes: &mut [i16],
    lane: usize,
) {
    let collection = targets[0].collection;
    let (n, n_objects) = (events.len(), block.n_entries(collection));
    let (mut columns, mut n_columns) = ([turn::Column::EMPTY; TOGETHER], 0);
    for target in targets {
        let places = &target.places;
        columns[n_columns] = match block.entries(target.column) {
            codes if codes.len() != n_objects => {
                target.clear(n, lanes, lane);
                continue;
            }
            Entries::U8(codes) => turn::Column::of_bytes(codes, places),
            _ => turn::Column::of_words(block.get(target.column), places),
        };
        n_columns += 1;
    }
    let offsets = &block.offsets(collection)[events.start..=events.end];
    turn(isa, offsets, &columns[..n_columns], lanes, lane);
    for target in targets.iter().filter(|target| target.transform != Transform::Identity) {
        for place in target.places.iter() {
            let lanes = &mut lanes[place + lane..][..n];
            lanes.iter_mut().for_each(|code| *code = target.transform.apply(*code));
        }
    }
}

impl ObjectTarget {
    /// What a column that the block lacks comes to.
    fn clear(&self, n: usize, lanes: &mut [i16], lane: usize) {
        for place in self.places.iter() {
            lanes[place + lane..][..n].fill(0);
        }
    }
}

fn copy<T: Element + Into<i16>>(from: &[T], to: &mut [i16], transform: Transform) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = transform.apply(from.into());
    }
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
            let index = usize::from(index);
            let code = match column.spec().dtype.size() {
                1 => event.values::<u8>(column).get(index).map(|&x| i64::from(x)),
                2 => event.values::<i16>(column).get(index).map(|&x| i64::from(x)),
                _ => event.values::<i32>(column).get(index).map(|&x| i64::from(x)),
            };
            code.map_or(0, |x| match transform {
                // The only columns that do not fit 16 bits.
                Transform::Halve if x > 32_767 => (x / 2) as i16,
                Transform::Quarter if x > 32_767 => ((x + 2) / 4) as i16,
                _ => transform.apply(x as i16),
            })
        };
        spec.features().iter().map(value).collect()
    }

    fn row(rows: &RowBuffer, lane: usize) -> Vec<i16> {
        (0..rows.n_features()).map(|f| rows.rows().column_padded(f)[lane]).collect()
    }

    const SPECS: [&str; 8] = [
        "l1-57",
        "axol1tl",
        "thesis-99",
        "thesis-99:muon-units=calo",
        "jet[3].pt, jet[0].pt, jet[0..12].(eta,pt/2), bx, muon[0..16].(qual,phi/4,charge)",
        "tau[11].iso, zero, jet.n, muon.n/2, tower_count, egamma[5].iso, tau[0..2].pt",
        "zero",
        "puppi[0..20].(pt,eta/2), track_muon[3].(pt/2,phi), track_muon[0].pt/4, stub[1].sector, \
         jet[0].pt, puppi.n, stub.n, puppi[254].pid",
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
    fn all_instruction_sets_fill_the_same_rows_whatever_the_range_up_to_the_end_of_the_block() {
        let block = l1_block(6000, 6);
        for text in ["l1-57", "axol1tl", "thesis-99:muon-units=calo"] {
            let spec = FeatureSpec::parse(text).unwrap();
            let expected: Vec<_> =
                (0..block.len()).map(|event| slow_row(&spec, &block, event)).collect();
            for isa in Isa::available() {
                let plan = FillPlan::with_isa(&spec, isa);
                let mut rows = RowBuffer::new(plan.n_features());
                let mut random = Random(7);
                for number in 0..60 {
                    let n = if number % 2 == 0 { MAX_BATCH } else { random.below(513) as usize };
                    let lane = random.below(513 - n as u64) as usize;
                    let end = block.len() - n;
                    let begin =
                        if number % 5 == 0 { end } else { random.below(end as u64) as usize };
                    plan.fill(&block, begin..begin + n, &mut rows, lane);
                    for k in 0..n {
                        assert_eq!(row(&rows, lane + k), expected[begin + k], "{spec} {isa:?}");
                    }
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
