//! A block of whole orbits as columns, and the borrowed view of one event in it.
//!
//! A block owns one vector per column and reuses it: after the first few blocks of a stream,
//! refilling allocates nothing. Which columns hold data is the block's [`ColumnSet`]; the others
//! are empty. Offsets of the object columns are derived from the multiplicities by
//! [`Block::index_objects`].

use std::ops::Range;

use super::schema::{COLUMNS, Collection, Column, ColumnSet, Dtype};
use crate::lhc::CrossingId;

/// The entries of one column.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant per Dtype, named alike")]
pub enum Entries {
    U8(Vec<u8>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Runs `$body` with `$vec` bound to the vector inside `$entries`.
macro_rules! each_type {
    ($entries:expr, $vec:ident => $body:expr) => {
        match $entries {
            Entries::U8($vec) => $body,
            Entries::I16($vec) => $body,
            Entries::U32($vec) => $body,
            Entries::I32($vec) => $body,
            Entries::U64($vec) => $body,
            Entries::I64($vec) => $body,
            Entries::F32($vec) => $body,
            Entries::F64($vec) => $body,
        }
    };
}

/// A type that the entries of a column can have.
pub trait Element: Copy + Default + PartialEq + std::fmt::Debug {
    /// The entries, `None` if they are of another type.
    fn of(entries: &Entries) -> Option<&Vec<Self>>;
    /// The entries, `None` if they are of another type.
    fn of_mut(entries: &mut Entries) -> Option<&mut Vec<Self>>;
}

macro_rules! element {
    ($($ty:ty = $variant:ident),*) => {$(
        impl Element for $ty {
            fn of(entries: &Entries) -> Option<&Vec<$ty>> {
                if let Entries::$variant(vec) = entries { Some(vec) } else { None }
            }
            fn of_mut(entries: &mut Entries) -> Option<&mut Vec<$ty>> {
                if let Entries::$variant(vec) = entries { Some(vec) } else { None }
            }
        }
    )*};
}
element!(u8 = U8, i16 = I16, u32 = U32, i32 = I32, u64 = U64, i64 = I64, f32 = F32, f64 = F64);

impl Entries {
    pub(crate) fn new(dtype: Dtype) -> Entries {
        match dtype {
            Dtype::U8 => Entries::U8(Vec::new()),
            Dtype::I16 => Entries::I16(Vec::new()),
            Dtype::U32 => Entries::U32(Vec::new()),
            Dtype::I32 => Entries::I32(Vec::new()),
            Dtype::U64 => Entries::U64(Vec::new()),
            Dtype::I64 => Entries::I64(Vec::new()),
            Dtype::F32 => Entries::F32(Vec::new()),
            Dtype::F64 => Entries::F64(Vec::new()),
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        each_type!(self, vec => vec.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clear(&mut self) {
        each_type!(self, vec => vec.clear());
    }

    /// Makes it `n` entries long, with zeros where it grows.
    pub(crate) fn resize(&mut self, n: usize) {
        each_type!(self, vec => vec.resize(n, Default::default()));
    }

    /// The entries as little-endian bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        each_type!(self, vec => bytemuck::must_cast_slice(vec))
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        each_type!(self, vec => bytemuck::must_cast_slice_mut(vec))
    }

    fn extend_from(&mut self, from: &Entries, range: Range<usize>) {
        fn append<T: Element>(to: &mut Vec<T>, from: &Entries, range: Range<usize>) {
            to.extend_from_slice(&T::of(from).expect("a column has one type")[range]);
        }
        each_type!(self, vec => append(vec, from, range));
    }

    /// Smallest and largest entry of an integer column; `None` if empty or not of integers.
    fn extremes(&self) -> Option<(i64, i64)> {
        fn of<T: Copy + Ord>(vec: &[T], to_i64: impl Fn(T) -> i64) -> Option<(i64, i64)> {
            // Values, not references: so it vectorises.
            let &first = vec.first()?;
            let least = vec.iter().fold(first, |least, &entry| least.min(entry));
            let most = vec.iter().fold(first, |most, &entry| most.max(entry));
            Some((to_i64(least), to_i64(most)))
        }
        match self {
            Entries::U8(vec) => of(vec, i64::from),
            Entries::I16(vec) => of(vec, i64::from),
            Entries::U32(vec) => of(vec, i64::from),
            Entries::I32(vec) => of(vec, i64::from),
            Entries::I64(vec) => of(vec, |x| x),
            Entries::U64(_) | Entries::F32(_) | Entries::F64(_) => None,
        }
    }
}

const _: () = assert!(cfg!(target_endian = "little"), "column bytes are stored as they are");

/// Sums of multiplicities up to each crossing, itself included; offsets begin with 0 before them.
/// **Shape**: as many sums as counts.
fn add_up(counts: &[u8], sums: &mut [u32]) {
    // Eight at a time: a product with ones adds up bytes, and no sum of eight overflows its byte.
    const ONES: u64 = 0x0101_0101_0101_0101;
    const { assert!(8 * Collection::Muon.capacity() <= u8::MAX as usize) }
    let (counts, last_counts) = counts.as_chunks::<8>();
    let (sums, last_sums) = sums.as_chunks_mut::<8>();
    let mut before = 0;
    // In two steps: bytes that come from memory are widened as vectors, and the sum that is carried
    // on stays out of those.
    let mut steps = [(0, [0; 8]); 64];
    for (sums, counts) in sums.chunks_mut(steps.len()).zip(counts.chunks(steps.len())) {
        for (step, &counts) in steps.iter_mut().zip(counts) {
            let of_eight = u64::from_le_bytes(counts).wrapping_mul(ONES);
            *step = (before, of_eight.to_le_bytes());
            before += (of_eight >> 56) as u32;
        }
        for (sums, (before, of_eight)) in sums.iter_mut().zip(&steps) {
            for (sum, &of_these) in sums.iter_mut().zip(of_eight) {
                *sum = before + u32::from(of_these);
            }
        }
    }
    for (sum, &count) in last_sums.iter_mut().zip(last_counts) {
        before += u32::from(count);
        *sum = before;
    }
}

/// Why a block is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A column is shorter or longer than the crossings or objects that it describes.
    #[error("column {column}: expected {expected} entries, found {found}")]
    Length {
        /// Name of the column.
        column: &'static str,
        /// Entries that the multiplicities ask for.
        expected: usize,
        /// Entries there are.
        found: usize,
    },
    /// A value that the field cannot hold.
    #[error("column {column}: expected values within {min}..={max}, found {found}")]
    Range {
        /// Name of the column.
        column: &'static str,
        /// Smallest value that the field holds.
        min: i64,
        /// Largest value that the field holds.
        max: i64,
        /// The value found.
        found: i64,
    },
    /// Crossings are not in ascending order, or one occurs twice.
    #[error(
        "expected crossings in ascending order, found orbit {orbit} bx {bx} after orbit {previous_orbit} bx {previous_bx}"
    )]
    Order {
        /// Orbit of the offending crossing.
        orbit: u32,
        /// Its crossing number.
        bx: i16,
        /// Orbit of the crossing before it.
        previous_orbit: u32,
        /// Crossing number of the crossing before it.
        previous_bx: i16,
    },
    /// Objects of one crossing are not sorted by pT.
    #[error(
        "orbit {orbit} bx {bx}: expected {collection} objects in descending pT, found {found} after {previous}"
    )]
    PtOrder {
        /// Orbit.
        orbit: u32,
        /// Crossing number.
        bx: i16,
        /// Name of the collection.
        collection: &'static str,
        /// pT code of the offending object.
        found: i32,
        /// pT code of the object before it.
        previous: i32,
    },
}

/// Whole orbits of one run, as columns.
#[derive(Clone, Debug)]
pub struct Block {
    /// Run that all its orbits belong to.
    pub run: u32,
    columns: ColumnSet,
    entries: Vec<Entries>,
    offsets: [Vec<u32>; Collection::ALL_OBJECTS.len()],
}

impl Default for Block {
    fn default() -> Block {
        Block::new(ColumnSet::EMPTY)
    }
}

impl Block {
    /// An empty block of run 0 with these columns, and always crossing numbers and the
    /// multiplicities of the objects of Run 3 and of everything of which it has a column.
    #[must_use]
    pub fn new(columns: ColumnSet) -> Block {
        let entries = COLUMNS.iter().map(|spec| Entries::new(spec.dtype)).collect();
        let columns = columns.counted().union(ColumnSet::skeleton());
        Block { run: 0, columns, entries, offsets: std::array::from_fn(|_| vec![0]) }
    }

    /// Empties it, keeps what it has allocated, and sets which columns it holds.
    pub fn reset(&mut self, run: u32, columns: ColumnSet) {
        self.run = run;
        self.columns = columns.counted().union(ColumnSet::skeleton());
        self.entries.iter_mut().for_each(Entries::clear);
        for offsets in &mut self.offsets {
            offsets.truncate(1);
        }
    }

    /// As [`Block::reset`], but columns that it will hold again keep stale entries, which the
    /// caller overwrites: growing them anew would mean to write zeros first.
    pub(crate) fn reuse(&mut self, run: u32, columns: ColumnSet) {
        self.run = run;
        self.columns = columns.counted().union(ColumnSet::skeleton());
        for spec in COLUMNS.iter().filter(|spec| !self.columns.contains(spec.column)) {
            self.entries[spec.column as usize].clear();
        }
    }

    /// The columns that it holds.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }

    /// Number of crossings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries(Column::Bx).len()
    }

    /// Whether it has no crossing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries of a column, whatever their type.
    #[must_use]
    pub fn entries(&self, column: Column) -> &Entries {
        &self.entries[column as usize]
    }

    pub(crate) fn entries_mut(&mut self, column: Column) -> &mut Entries {
        &mut self.entries[column as usize]
    }

    /// Entries of a column. **Shape**: one per crossing, or one per object.
    ///
    /// # Panics
    /// If the column is of another type: a mistake in the program, not in the data.
    #[must_use]
    pub fn get<T: Element>(&self, column: Column) -> &[T] {
        T::of(self.entries(column)).expect("a column is asked for by its own type")
    }

    /// Entries of a column, to be changed or extended.
    ///
    /// # Panics
    /// As [`Block::get`].
    pub fn get_mut<T: Element>(&mut self, column: Column) -> &mut Vec<T> {
        T::of_mut(self.entries_mut(column)).expect("a column is asked for by its own type")
    }

    /// Where the objects of each crossing begin in their flat columns. **Shape**: crossings + 1;
    /// 1 for a collection that the block does not count (see [`Collection::FURTHER`]).
    ///
    /// # Panics
    /// For [`Collection::Crossing`], which has no objects.
    #[must_use]
    pub fn offsets(&self, collection: Collection) -> &[u32] {
        &self.offsets[collection as usize]
    }

    /// Number of objects of a kind, or of crossings.
    ///
    /// # Panics
    /// Never: offsets begin with 0.
    #[must_use]
    pub fn n_entries(&self, collection: Collection) -> usize {
        match collection {
            Collection::Crossing => self.len(),
            _ => *self.offsets(collection).last().expect("offsets begin with 0") as usize,
        }
    }

    /// Derives the offsets from the multiplicities: to be called when those are complete.
    ///
    /// # Errors
    /// A multiplicity beyond the capacity of its collection.
    ///
    /// # Panics
    /// Never: every collection of objects has a multiplicity column.
    pub fn index_objects(&mut self) -> Result<(), BlockError> {
        for collection in Collection::OBJECTS {
            let column = collection.count_column().expect("objects are counted");
            let counts = u8::of(&self.entries[column as usize]).expect("counts are bytes");
            let most = counts.iter().copied().max().unwrap_or(0);
            if usize::from(most) > collection.capacity() {
                return Err(out_of_range(column, i64::from(most)));
            }
            let offsets = &mut self.offsets[collection as usize];
            offsets.resize(counts.len() + 1, 0);
            match most {
                0 => offsets.fill(0),
                _ => add_up(counts, &mut offsets[1..]),
            }
        }
        Collection::FURTHER.into_iter().try_for_each(|c| self.index_further(c))
    }

    /// The same for a collection that not every block counts.
    fn index_further(&mut self, collection: Collection) -> Result<(), BlockError> {
        let column = collection.count_column().expect("objects are counted");
        let offsets = &mut self.offsets[collection as usize];
        if !self.columns.contains(column) {
            offsets.truncate(1);
            return Ok(());
        }
        let counts = i16::of(&self.entries[column as usize]).expect("these counts are i16");
        let capacity = 0..=collection.capacity() as i16;
        if let Some(&wrong) = counts.iter().find(|count| !capacity.contains(count)) {
            return Err(out_of_range(column, i64::from(wrong)));
        }
        offsets.clear();
        offsets.push(0);
        offsets.extend(counts.iter().scan(0, |sum, &count| {
            *sum += u32::from(count.unsigned_abs());
            Some(*sum)
        }));
        Ok(())
    }

    /// A view of one event.
    ///
    /// # Panics
    /// If there is no such crossing.
    #[must_use]
    pub fn event(&self, index: usize) -> EventRef<'_> {
        assert!(index < self.len(), "event {index} of {}", self.len());
        EventRef { block: self, index }
    }

    /// Identity of one crossing.
    #[must_use]
    pub fn crossing_id(&self, index: usize) -> CrossingId {
        CrossingId {
            run: self.run,
            orbit: self.get::<u32>(Column::Orbit)[index],
            bx: self.get::<i16>(Column::Bx)[index] as u16,
        }
    }

    /// Appends crossing `index` of `from`. Columns that `from` lacks become zero; offsets are
    /// kept up to date.
    ///
    /// # Panics
    /// If `from` has no such crossing.
    pub fn push_event(&mut self, from: &Block, index: usize) {
        for column in self.columns.iter() {
            let spec = column.spec();
            let range = from.entry_range(spec.collection, index);
            let n = range.len();
            let to = &mut self.entries[column as usize];
            if from.columns.contains(column) {
                to.extend_from(&from.entries[column as usize], range);
            } else {
                to.resize(to.len() + n);
            }
        }
        for collection in Collection::ALL_OBJECTS {
            if !collection.count_column().is_some_and(|c| self.columns.contains(c)) {
                continue;
            }
            let n = from.entry_range(collection, index).len() as u32;
            let offsets = &mut self.offsets[collection as usize];
            let last = *offsets.last().expect("offsets begin with 0");
            offsets.push(last + n);
        }
    }

    fn entry_range(&self, collection: Collection, index: usize) -> Range<usize> {
        self.entry_range_of(collection, index..index + 1)
    }

    /// Entries that belong to these crossings; none of a collection that it does not count.
    ///
    /// # Panics
    /// If the block has no such crossings.
    #[must_use]
    pub fn entry_range_of(&self, collection: Collection, crossings: Range<usize>) -> Range<usize> {
        if collection == Collection::Crossing {
            return crossings;
        }
        match self.offsets(collection) {
            [_] => 0..0,
            offsets => offsets[crossings.start] as usize..offsets[crossings.end] as usize,
        }
    }

    /// Checks lengths: what has to hold before a block may be used at all.
    ///
    /// # Errors
    /// A column of the wrong length, or a crossing number outside 1 to 3564.
    pub fn check_shape(&self) -> Result<(), BlockError> {
        for column in self.columns.iter() {
            let spec = column.spec();
            let expected = self.n_entries(spec.collection);
            let found = self.entries(column).len();
            if found != expected {
                return Err(BlockError::Length { column: spec.name, expected, found });
            }
        }
        self.check_range(Column::Bx)
    }

    /// Checks every invariant of a block: shape, field ranges, order of crossings and objects.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), BlockError> {
        self.check_shape()?;
        for column in self.columns.iter() {
            self.check_range(column)?;
        }
        self.check_crossing_order()?;
        for collection in Collection::ALL_OBJECTS {
            match collection.kinematics().map(|[pt, ..]| (pt, pt.spec().dtype)) {
                Some((pt, Dtype::I32)) => self.check_pt_order::<i32>(collection, pt)?,
                Some((pt, _)) => self.check_pt_order::<i16>(collection, pt)?,
                None => {}
            }
        }
        Ok(())
    }

    fn check_range(&self, column: Column) -> Result<(), BlockError> {
        let (Some((min, max)), Some((least, most))) =
            (column.spec().range, self.entries(column).extremes())
        else {
            return Ok(());
        };
        match (least < min, most > max) {
            (true, _) => Err(out_of_range(column, least)),
            (_, true) => Err(out_of_range(column, most)),
            _ => Ok(()),
        }
    }

    /// Checks that crossings ascend and none occurs twice.
    ///
    /// # Errors
    /// The first crossing that does not come after the one before it.
    pub fn check_crossing_order(&self) -> Result<(), BlockError> {
        let (orbits, bxs) = (self.get::<u32>(Column::Orbit), self.get::<i16>(Column::Bx));
        for i in 1..self.len() {
            if (orbits[i - 1], bxs[i - 1]) >= (orbits[i], bxs[i]) {
                return Err(BlockError::Order {
                    orbit: orbits[i],
                    bx: bxs[i],
                    previous_orbit: orbits[i - 1],
                    previous_bx: bxs[i - 1],
                });
            }
        }
        Ok(())
    }

    fn check_pt_order<T: Element + Ord + Into<i32>>(
        &self,
        collection: Collection,
        pt_column: Column,
    ) -> Result<(), BlockError> {
        if !self.columns.contains(pt_column) {
            return Ok(());
        }
        let pt = self.get::<T>(pt_column);
        for index in 0..self.len() {
            let objects = &pt[self.entry_range(collection, index)];
            if let Some(pair) = objects.windows(2).find(|pair| pair[1] > pair[0]) {
                let CrossingId { orbit, bx, .. } = self.crossing_id(index);
                return Err(BlockError::PtOrder {
                    orbit,
                    bx: bx as i16,
                    collection: collection.name(),
                    found: pair[1].into(),
                    previous: pair[0].into(),
                });
            }
        }
        Ok(())
    }
}

fn out_of_range(column: Column, found: i64) -> BlockError {
    let spec = column.spec();
    let (min, max) = spec.range.unwrap_or((i64::MIN, i64::MAX));
    BlockError::Range { column: spec.name, min, max, found }
}

/// One crossing of a block.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    block: &'a Block,
    index: usize,
}

impl<'a> EventRef<'a> {
    /// Which crossing it is.
    #[must_use]
    pub fn id(&self) -> CrossingId {
        self.block.crossing_id(self.index)
    }

    /// The block that it is in.
    #[must_use]
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// Where its objects of a kind are in the flat columns of the block.
    #[must_use]
    pub fn entry_range(&self, collection: Collection) -> Range<usize> {
        self.block.entry_range(collection, self.index)
    }

    /// Number of objects of a kind.
    #[must_use]
    pub fn count(&self, collection: Collection) -> usize {
        self.block.entry_range(collection, self.index).len()
    }

    /// Entries of one column that belong to this event: one, or one per object; none if the block
    /// does not hold the column.
    #[must_use]
    pub fn values<T: Element>(&self, column: Column) -> &'a [T] {
        let range = self.block.entry_range(column.spec().collection, self.index);
        self.block.get(column).get(range).unwrap_or_default()
    }

    /// The entry of a per-crossing column; zero if the block does not hold the column.
    #[must_use]
    pub fn value<T: Element>(&self, column: Column) -> T {
        self.block.get(column).get(self.index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Group;

    /// Two crossings: one with two jets, one with none.
    fn sample() -> Block {
        let mut block = Block::new(Group::Jet.columns());
        block.run = 7;
        block.get_mut::<u32>(Column::Orbit).extend([3, 3]);
        block.get_mut::<i16>(Column::Bx).extend([44, 45]);
        for column in [Column::MuonN, Column::EGammaN, Column::TauN] {
            block.get_mut::<u8>(column).extend([0, 0]);
        }
        block.get_mut::<u8>(Column::JetN).extend([2, 0]);
        block.get_mut::<i16>(Column::JetPt).extend([90, 60]);
        block.get_mut::<i16>(Column::JetEta).extend([-5, 5]);
        block.get_mut::<i16>(Column::JetPhi).extend([0, 143]);
        block.index_objects().unwrap();
        block
    }

    #[test]
    fn offsets_are_the_sums_of_all_multiplicities_before() {
        for n in [0, 1, 7, 8, 9, 64, 1003] {
            let counts: Vec<u8> =
                (0..n).map(|i| if i < 32 { 16 } else { (i * 7 % 17) as u8 }).collect();
            let mut block = Block::default();
            // What an earlier, longer block left behind must not shine through.
            block.get_mut::<u8>(Column::MuonN).resize(2000, 3);
            block.index_objects().unwrap();
            *block.get_mut::<u8>(Column::MuonN) = counts.clone();
            block.index_objects().unwrap();
            let sum = |i: usize| counts[..i].iter().map(|&count| u32::from(count)).sum();
            let expected: Vec<u32> = (0..=n).map(sum).collect();
            assert_eq!(block.offsets(Collection::Muon), expected);
            assert_eq!(block.offsets(Collection::Tau), [0]);
        }
    }

    #[test]
    fn an_event_shows_its_own_objects() {
        let block = sample();
        block.check().unwrap();
        assert_eq!(block.event(0).values::<i16>(Column::JetPt), [90, 60]);
        assert!(block.event(1).values::<i16>(Column::JetPt).is_empty());
        assert_eq!(block.event(1).id(), CrossingId { run: 7, orbit: 3, bx: 45 });
        assert_eq!(block.event(0).value::<i32>(Column::Label), 0, "absent columns read as zero");
    }

    #[test]
    fn pushed_events_keep_their_objects_and_fill_absent_columns_with_zero() {
        let from = sample();
        let mut to = Block::new(Group::Jet.columns().with(Column::Label));
        to.push_event(&from, 1);
        to.push_event(&from, 0);
        assert_eq!(to.event(1).values::<i16>(Column::JetEta), [-5, 5]);
        assert_eq!(to.get::<i32>(Column::Label), [0, 0]);
        to.check_shape().unwrap();
    }

    #[test]
    fn every_broken_invariant_is_named() {
        let broken = |change: fn(&mut Block)| {
            let mut block = sample();
            change(&mut block);
            block.check().unwrap_err()
        };
        let short = broken(|b| b.get_mut::<i16>(Column::JetEta).truncate(1));
        assert_eq!(short, BlockError::Length { column: "jet_eta", expected: 2, found: 1 });
        let range = broken(|b| b.get_mut::<i16>(Column::JetPhi)[0] = 144);
        assert!(matches!(range, BlockError::Range { column: "jet_phi", found: 144, .. }));
        let bx = broken(|b| b.get_mut::<i16>(Column::Bx)[1] = 3565);
        assert!(matches!(bx, BlockError::Range { column: "bx", found: 3565, .. }));
        let twice = broken(|b| b.get_mut::<i16>(Column::Bx)[1] = 44);
        assert!(matches!(twice, BlockError::Order { bx: 44, previous_bx: 44, .. }));
        let unsorted = broken(|b| b.get_mut::<i16>(Column::JetPt)[0] = 10);
        assert!(matches!(unsorted, BlockError::PtOrder { found: 60, previous: 10, .. }));
    }

    #[test]
    fn a_multiplicity_beyond_the_capacity_is_refused() {
        let mut block = sample();
        block.get_mut::<u8>(Column::JetN)[1] = 13;
        assert!(matches!(
            block.index_objects(),
            Err(BlockError::Range { column: "jet_n", found: 13, max: 12, .. })
        ));
    }
}
