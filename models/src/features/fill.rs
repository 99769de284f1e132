//! Filling rows from blocks.
//!
//! A plan sorts the features by where they come from. Per-crossing columns are copied. Object
//! columns are turned on their side eight events at a time: the objects of an event lie side by
//! side in the block, those of equal rank must lie side by side in the rows, and that is a
//! transposition of an 8 × 8 square, with zeros where an event has no such object:
//!
//! ```text
//! block   event 0 │ a0 a1 a2 │ event 1 │ b0 │ event 2 │ c0 c1 │ …
//! square  a0 a1 a2 0 0 0 0 0          rows  rank 0   a0 b0 c0 …
//!         b0  0  0 0 0 0 0 0    ─►          rank 1   a1  0 c1 …
//!         c0 c1  0 0 0 0 0 0                rank 2   a2  0  0 …
//! ```
//!
//! There is no loop over the objects of an event, whose end would be mispredicted every time.
//! What does not fill a square (single events, the end of a range) goes value by value. Nothing
//! is allocated, nothing is checked that [`FeatureSpec::check`] and `Block::check` have checked.

use std::ops::Range;

use scout40_replay::event::{Block, Collection, Column, Element, Entries};

use super::{Feature, FeatureSpec, Transform};
use crate::kernels::turn::{Lists, NOWHERE, SIDE, turn};
use crate::rows::{LANE_STRIDE, MAX_BATCH, RowBuffer};

/// Largest number of objects of one kind in one event.
const MAX_OBJECTS: usize = 16;
/// Events whose multiplicities are looked at together.
const CHUNK: usize = 64;
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
    /// For each rank: index of lane 0 of the feature, or [`NOWHERE`].
    places: [u32; MAX_OBJECTS],
}

/// A feature specification made ready to fill rows.
#[derive(Clone, Debug)]
pub struct FillPlan {
    n_features: usize,
    /// Index of lane 0 of the features that are a constant zero.
    zeros: Vec<usize>,
    crossing: Vec<CrossingTarget>,
    /// Sorted by collection.
    objects: Vec<ObjectTarget>,
}

impl FillPlan {
    /// The plan of a specification.
    #[must_use]
    pub fn new(spec: &FeatureSpec) -> FillPlan {
        let (zeros, crossing, objects) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = FillPlan { n_features: spec.len(), zeros, crossing, objects };
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
            let rank = usize::from(index);
            let fits = |target: &&mut ObjectTarget| {
                (target.column, target.transform) == (column, transform)
                    && target.places[rank] == NOWHERE
            };
            match plan.objects.iter_mut().find(fits) {
                Some(target) => target.places[rank] = place as u32,
                None => {
                    let mut places = [NOWHERE; MAX_OBJECTS];
                    places[rank] = place as u32;
                    plan.objects.push(ObjectTarget { collection, column, transform, places });
                }
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
            for begin in range.clone().step_by(CHUNK) {
                let events = begin..range.end.min(begin + CHUNK);
                fill_chunk(targets, block, events, lanes, first_lane + begin - range.start);
            }
        }
    }
}

/// Fills up to 64 lanes with the objects of one collection.
fn fill_chunk(
    targets: &[ObjectTarget],
    block: &Block,
    events: Range<usize>,
    lanes: &mut [i16],
    lane: usize,
) {
    let all_offsets = block.offsets(targets[0].collection);
    let offsets = &all_offsets[events.start..=events.end];
    let n_objects = all_offsets[all_offsets.len() - 1] as usize;
    let keep = multiplicities(offsets);
    let chunk = Chunk::new(offsets, &keep, n_objects);
    for target in targets {
        match block.entries(target.column) {
            codes if codes.len() != n_objects => target.clear(offsets.len() - 1, lanes, lane),
            Entries::U8(codes) => target.fill_bytes(codes, offsets, &keep, lanes, lane),
            _ => target.fill(block.get(target.column), &chunk, lanes, lane),
        }
    }
}

/// Objects of ranks 0 to 7, and of ranks 8 to 15, of up to 64 events.
type Multiplicities = [[u8; CHUNK]; 2];

fn multiplicities(offsets: &[u32]) -> Multiplicities {
    let mut keep = [[0; CHUNK]; 2];
    let [low, high] = &mut keep;
    for ((low, high), pair) in low.iter_mut().zip(high).zip(offsets.windows(2)) {
        let n = (pair[1] - pair[0]) as u8;
        *low = n.min(SIDE as u8);
        *high = n - *low;
    }
    keep
}

/// What the columns of one collection have in common, for up to 64 events.
struct Chunk<'a> {
    /// Where the objects of each event begin, and where those of the last one end.
    offsets: &'a [u32],
    /// The events that can be turned, by ranks 0 to 7 and by ranks 8 to 15.
    lists: [Lists<'a>; 2],
    /// How many events those are.
    n_turned: usize,
}

impl<'a> Chunk<'a> {
    fn new(offsets: &'a [u32], keep: &'a Multiplicities, n_objects: usize) -> Chunk<'a> {
        let squares = offsets[..offsets.len() - 1].as_chunks::<SIDE>().0;
        // Reading a whole square must not pass the end of the column.
        let fits = |begins: &[u32; SIDE]| begins[SIDE - 1] as usize + MAX_OBJECTS <= n_objects;
        let squares = &squares[..squares.iter().rposition(fits).map_or(0, |last| last + 1)];
        let n = squares.len();
        let lists = keep.each_ref().map(|k| Lists::new(squares, &k.as_chunks::<SIDE>().0[..n]));
        Chunk { offsets, lists, n_turned: n * SIDE }
    }
}

impl ObjectTarget {
    fn fill(&self, codes: &[i16], chunk: &Chunk<'_>, lanes: &mut [i16], lane: usize) {
        let n = chunk.offsets.len() - 1;
        for (group, places) in self.places.as_chunks::<SIDE>().0.iter().enumerate() {
            let lists = chunk.lists[group];
            let codes = codes.get(group * SIDE..).unwrap_or_default();
            match places.iter().rposition(|&place| place != NOWHERE) {
                None => {}
                Some(0..2) => turn::<2>(codes, lists, first(places), lanes, lane),
                Some(2..4) => turn::<4>(codes, lists, first(places), lanes, lane),
                Some(_) => turn::<8>(codes, lists, places, lanes, lane),
            }
        }
        for event in chunk.n_turned..n {
            let objects = chunk.offsets[event] as usize..chunk.offsets[event + 1] as usize;
            for (rank, &place) in self.places.iter().enumerate().filter(|(_, p)| **p != NOWHERE) {
                let code = codes[objects.clone()].get(rank).copied().unwrap_or(0);
                lanes[place as usize + lane + event] = code;
            }
        }
        if self.transform != Transform::Identity {
            for &place in self.places.iter().filter(|&&place| place != NOWHERE) {
                let lanes = &mut lanes[place as usize + lane..][..n];
                lanes.iter_mut().for_each(|code| *code = self.transform.apply(*code));
            }
        }
    }

    /// The same for a column of bytes.
    fn fill_bytes(
        &self,
        codes: &[u8],
        offsets: &[u32],
        keep: &Multiplicities,
        lanes: &mut [i16],
        lane: usize,
    ) {
        let n = offsets.len() - 1;
        let mut wide = [0; (CHUNK + 1) * MAX_OBJECTS];
        let codes = &codes[offsets[0] as usize..offsets[n] as usize];
        wide.iter_mut().zip(codes).for_each(|(to, &code)| *to = code.into());
        let mut relative = [0; CHUNK + 1];
        for (to, offset) in relative.iter_mut().zip(offsets) {
            *to = offset - offsets[0];
        }
        self.fill(&wide, &Chunk::new(&relative[..=n], keep, wide.len()), lanes, lane);
    }

    /// What a column that the block lacks comes to.
    fn clear(&self, n: usize, lanes: &mut [i16], lane: usize) {
        for &place in self.places.iter().filter(|&&place| place != NOWHERE) {
            lanes[place as usize + lane..][..n].fill(self.transform.apply(0));
        }
    }
}

/// The first of eight places.
fn first<const N: usize>(places: &[u32; SIDE]) -> &[u32; N] {
    places[..N].try_into().expect("of that length")
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
