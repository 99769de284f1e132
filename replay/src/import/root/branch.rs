//! The values of one branch, basket by basket.
//!
//! Values of an entry follow those of the entry before it; how many each entry of a jagged branch
//! has is what its counter says. Baskets of different branches begin at different entries, so each
//! branch keeps its own place. A basket has to hold exactly the values that its entries need.

use std::ops::Range;

use super::bytes::Malformed;
use super::file::{RootFile, damaged};
use super::tree::{Branch, Leaf, Number};
use crate::import::ImportError;

/// A branch with its place in it.
pub(super) struct Reader {
    leaf: Leaf,
    branch: Branch,
    /// Index of the basket after the current one.
    next: usize,
    /// Entries of the current basket that are still to come.
    entries: Range<u64>,
    /// Values of the current basket, big-endian, and how many bytes of them are used up.
    data: Vec<u8>,
    used: usize,
}

/// Values of a run of entries.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Values, if they are integers or booleans; unsigned ones of 64 bits keep their bits.
    pub integers: Vec<i64>,
    /// Values, if they are reals.
    pub reals: Vec<f64>,
}

impl Reader {
    /// Begins at an entry that is the first one of a basket.
    pub(super) fn new(branch: &Branch, leaf: &Leaf) -> Reader {
        Reader {
            leaf: leaf.clone(),
            branch: branch.clone(),
            next: 0,
            entries: 0..0,
            data: Vec::new(),
            used: 0,
        }
    }

    pub(super) fn number(&self) -> Number {
        self.leaf.number
    }

    /// First entry of the basket that holds `entry`.
    pub(super) fn begin_of_basket(&self, entry: u64) -> u64 {
        let baskets = &self.branch.baskets;
        let after = baskets.partition_point(|basket| basket.first_entry <= entry);
        after.checked_sub(1).map_or(0, |index| baskets[index].first_entry)
    }

    /// Goes to an entry that is the first one of a basket.
    pub(super) fn seek(&mut self, entry: u64) {
        let baskets = &self.branch.baskets;
        // Of baskets without entries, which begin where the next one does, the first.
        self.next = baskets.partition_point(|basket| basket.first_entry < entry);
        (self.entries, self.used) = (entry..entry, 0);
        self.data.clear();
    }

    /// Replaces `values` by those of the next `n` entries: one each, or as many as `counts` says.
    pub(super) fn read(
        &mut self,
        file: &mut RootFile,
        n: usize,
        counts: Option<&[u32]>,
        values: &mut Values,
    ) -> Result<(), ImportError> {
        values.integers.clear();
        values.reals.clear();
        let mut done = 0;
        while done < n {
            while self.entries.is_empty() {
                self.load(file)?;
            }
            let step = (n - done).min((self.entries.end - self.entries.start) as usize);
            let n_values = match counts {
                Some(counts) => counts[done..done + step].iter().map(|&n| n as usize).sum(),
                None => step,
            };
            self.decode(file, n_values, values)?;
            self.entries.start += step as u64;
            done += step;
        }
        Ok(())
    }

    /// Checks that the current basket has nothing left when its entries are done.
    pub(super) fn finish_basket(&self, file: &RootFile) -> Result<(), ImportError> {
        let (used, found) = (self.used, self.data.len());
        if used == found || !self.entries.is_empty() {
            return Ok(());
        }
        self.wrong(file, format!("{found} bytes of values for entries of {used} bytes"))
    }

    fn load(&mut self, file: &mut RootFile) -> Result<(), ImportError> {
        self.finish_basket(file)?;
        let baskets = &self.branch.baskets;
        let Some(&basket) = baskets.get(self.next) else {
            return self.wrong(file, format!("no basket for entry {}", self.entries.start));
        };
        self.next += 1;
        let end = baskets.get(self.next).map_or(self.branch.n_entries, |b| b.first_entry);
        let head = file.basket(basket.place, basket.n_bytes, &mut self.data)?;
        let expected = end - basket.first_entry;
        if head.n_entries as u64 != expected {
            return self.wrong(file, format!("{} entries instead of {expected}", head.n_entries));
        }
        self.data.truncate(head.value_bytes);
        (self.entries, self.used) = (basket.first_entry..end, 0);
        Ok(())
    }

    /// An error in the current basket.
    fn wrong(&self, file: &RootFile, reason: String) -> Result<(), ImportError> {
        let current = self.next.checked_sub(1).and_then(|index| self.branch.baskets.get(index));
        let place = current.map_or(0, |basket| basket.place);
        let what = format!("basket of {}", self.branch.name);
        Err(damaged(&file.name, &what, place, &Malformed { at: 0, reason }))
    }

    fn decode(
        &mut self,
        file: &RootFile,
        n: usize,
        values: &mut Values,
    ) -> Result<(), ImportError> {
        let size = self.leaf.number.bytes();
        let left = &self.data[self.used..];
        let Some(raw) = n.checked_mul(size).and_then(|n_bytes| left.get(..n_bytes)) else {
            let reason = format!("{n} values of {size} bytes, but {} are left", left.len());
            return self.wrong(file, reason);
        };
        self.used += raw.len();
        macro_rules! put {
            ($to:ident as $wide:ty, $ty:ty) => {{
                let (each, _) = raw.as_chunks::<{ size_of::<$ty>() }>();
                values.$to.extend(each.iter().map(|&x| <$ty>::from_be_bytes(x) as $wide));
            }};
        }
        match self.leaf.number {
            Number::Bool => values.integers.extend(raw.iter().map(|&x| i64::from(x != 0))),
            Number::F32 => put!(reals as f64, f32),
            Number::F64 => put!(reals as f64, f64),
            Number::Integer { bytes: 1, signed: true } => put!(integers as i64, i8),
            Number::Integer { bytes: 1, signed: false } => put!(integers as i64, u8),
            Number::Integer { bytes: 2, signed: true } => put!(integers as i64, i16),
            Number::Integer { bytes: 2, signed: false } => put!(integers as i64, u16),
            Number::Integer { bytes: 4, signed: true } => put!(integers as i64, i32),
            Number::Integer { bytes: 4, signed: false } => put!(integers as i64, u32),
            Number::Integer { .. } => put!(integers as i64, i64),
        }
        Ok(())
    }
}
