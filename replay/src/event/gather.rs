//! Copies events between blocks, column by column.
//!
//! What to copy is a list of [`Pick`]s: ranges of events in one of several source blocks.
//! Neighbouring events join into one range, so that events that are in order already are copied
//! as whole slices. The target's offsets are not kept up to date: index its objects when done.
//!
//! Copying a column at a time costs one dispatch on its type per call, not per event.

use super::{Block, Collection, Column, ColumnSet, Element, Entries};

/// Events `first..end` of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    /// Index among the sources.
    pub source: usize,
    /// First event.
    pub first: usize,
    /// One past the last event.
    pub end: usize,
}

/// Adds one event to a list of picks.
pub(crate) fn pick(picks: &mut Vec<Pick>, source: usize, index: usize) {
    match picks.last_mut() {
        Some(last) if last.source == source && last.end == index => last.end += 1,
        _ => picks.push(Pick { source, first: index, end: index + 1 }),
    }
}

/// The source of events that no source has: they are zero, and have no objects.
pub(crate) const NOWHERE: usize = usize::MAX;

/// Appends the picked events to `to`, in every column that it holds. Columns that a source lacks
/// become zero. The sources' objects have to be indexed.
pub(crate) fn append(to: &mut Block, from: &[&Block], picks: &[Pick]) {
    append_columns(to, to.columns(), from, picks);
}

/// As [`append`], for some columns only: the multiplicity and all columns of a kind of objects
/// belong together.
pub(crate) fn append_columns(to: &mut Block, columns: ColumnSet, from: &[&Block], picks: &[Pick]) {
    for column in columns.iter() {
        match to.entries_mut(column) {
            Entries::U8(vec) => extend(vec, column, from, picks),
            Entries::I16(vec) => extend(vec, column, from, picks),
            Entries::U32(vec) => extend(vec, column, from, picks),
            Entries::I32(vec) => extend(vec, column, from, picks),
            Entries::U64(vec) => extend(vec, column, from, picks),
            Entries::I64(vec) => extend(vec, column, from, picks),
            Entries::F32(vec) => extend(vec, column, from, picks),
            Entries::F64(vec) => extend(vec, column, from, picks),
        }
    }
}

fn extend<T: Element>(to: &mut Vec<T>, column: Column, from: &[&Block], picks: &[Pick]) {
    for pick in picks {
        if pick.source == NOWHERE {
            if column.spec().collection == Collection::Crossing {
                to.resize(to.len() + pick.end - pick.first, T::default());
            }
            continue;
        }
        let source = from[pick.source];
        let range = source.entry_range_of(column.spec().collection, pick.first..pick.end);
        if source.columns().contains(column) {
            to.extend_from_slice(&source.get::<T>(column)[range]);
        } else {
            to.resize(to.len() + range.len(), T::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(columns: ColumnSet, jets: &[&[i16]]) -> Block {
        let mut block = Block::new(columns);
        for (i, pts) in jets.iter().enumerate() {
            block.get_mut::<u32>(Column::Orbit).push(1);
            block.get_mut::<i16>(Column::Bx).push(i as i16 + 1);
            block.get_mut::<u8>(Column::JetN).push(pts.len() as u8);
            for column in [Column::MuonN, Column::EGammaN, Column::TauN] {
                block.get_mut::<u8>(column).push(0);
            }
            block.get_mut::<i16>(Column::JetPt).extend_from_slice(pts);
        }
        block.index_objects().unwrap();
        block
    }

    #[test]
    fn events_of_several_sources_come_in_the_order_picked_with_their_objects() {
        let columns = ColumnSet::EMPTY.with(Column::JetPt);
        let a = block(columns, &[&[9, 8], &[], &[7]]);
        let b = block(columns, &[&[6], &[5, 4]]);
        let mut picks = Vec::new();
        for (source, index) in [(1, 1), (0, 0), (0, 1), (0, 2), (1, 0)] {
            pick(&mut picks, source, index);
        }
        assert_eq!(picks.len(), 3, "neighbours are joined");
        let mut to = Block::new(columns.with(Column::Lumi));
        append(&mut to, &[&a, &b], &picks);
        to.index_objects().unwrap();
        to.check_shape().unwrap();
        assert_eq!(to.get::<u8>(Column::JetN), [2, 2, 0, 1, 1]);
        assert_eq!(to.get::<i16>(Column::JetPt), [5, 4, 9, 8, 7, 6]);
        assert_eq!(to.get::<u32>(Column::Lumi), [0; 5], "what a source lacks is zero");
    }
}
