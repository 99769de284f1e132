//! Copies events between blocks, column by column.
//!
//! What to copy is a list of [`Pick`]s: ranges of events in one of several source blocks.
//! Neighbouring events join into one range, so that events that are in order already are copied
//! as whole slices. The target's offsets are not kept up to date: index its objects when done.
//!
//! Copying a column at a time costs one dispatch on its type per call, not per event.

use std::ops::Range;

use crate::event::{Block, Collection, Column, Element, Entries};

/// Events `first..end` of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    /// Index among the sources.
    pub source: usize,
    /// First event.
    pub first: usize,
    /// One past the last event.
    pub end: usize,
}

/// Adds one event to a list of picks.
pub(super) fn pick(picks: &mut Vec<Pick>, source: usize, index: usize) {
    match picks.last_mut() {
        Some(last) if last.source == source && last.end == index => last.end += 1,
        _ => picks.push(Pick { source, first: index, end: index + 1 }),
    }
}

/// Appends the picked events to `to`, in every column that it holds. Columns that a source lacks
/// become zero. The sources' objects have to be indexed.
pub(super) fn append(to: &mut Block, from: &[&Block], picks: &[Pick]) {
    for column in to.columns().iter() {
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
        let source = from[pick.source];
        let range = entry_range(source, column.spec().collection, pick.first..pick.end);
        if source.columns().contains(column) {
            to.extend_from_slice(&source.get::<T>(column)[range]);
        } else {
            to.resize(to.len() + range.len(), T::default());
        }
    }
}

fn entry_range(block: &Block, collection: Collection, events: Range<usize>) -> Range<usize> {
    match collection {
        Collection::Crossing => events,
        _ => {
            let offsets = block.offsets(collection);
            offsets[events.start] as usize..offsets[events.end] as usize
        }
    }
}
