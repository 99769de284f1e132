//! What a network of fixed-point numbers does with 32-bit integers of several events.
//!
//! Such an integer also holds two numbers of 16 bits, the first in the lower half: a *pair*.
//! [`PairLane::dot_pairs`] multiplies the numbers of pairs with two weights and adds up, modulo 2^32.
//! Or four of a byte, a *quad*, for [`Lane::dot`](super::lane::Lane::dot).
//! Everything here is modulo 2^32 (or 2^16 within columns): what may overflow, and what may not, is
//! decided where the operations are chosen ([`Program`](crate::hls)).

use super::lane::PortableLane;
use super::portable::Portable;
use crate::hls::scaled::ScaledInput;

/// Which operations of a [`ColumnScale`] change anything. The others may be done or left out.
pub(crate) mod operations {
    /// The first shift.
    pub const FIRST: u8 = 1;
    /// What is rounded off.
    pub const ROUNDED: u8 = 2;
    /// The clamp and the shift to the left after it.
    pub const UP: u8 = 4;
    /// Bits that are dropped.
    pub const UNUSED: u8 = 8;
    /// All of them.
    pub const ALL: u8 = 15;
}
use operations::{FIRST, ROUNDED, UNUSED, UP};

/// A [`ScaledInput`], each of its numbers twice, for two events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ColumnScale {
    pub feature: usize,
    pub first: i32,
    pub offset: i32,
    pub left: i32,
    pub right: i32,
    pub add: i32,
    pub bits: i32,
    pub mask: i32,
    pub round: i32,
    pub before: [i32; 2],
    pub up: i32,
    pub unused: i32,
    pub range: [i32; 2],
    /// Of [`operations`], those of it or of another column of the same word.
    pub operations: u8,
}

impl From<ScaledInput> for ColumnScale {
    fn from(scale: ScaledInput) -> ColumnScale {
        let pair = |x: i16| (u32::from(x.cast_unsigned()) * 0x1_0001).cast_signed();
        let count = |x: u32| pair(x as i16);
        let rounding = scale.rounding;
        ColumnScale {
            feature: scale.feature,
            first: count(scale.first),
            offset: pair(scale.offset),
            left: count(scale.left),
            right: count(scale.right),
            add: pair(rounding.add as i16),
            bits: count(rounding.bits),
            mask: pair(rounding.mask as i16),
            round: count(rounding.right),
            before: scale.before.map(pair),
            up: count(scale.up),
            unused: count(scale.unused),
            range: scale.range.map(pair),
            operations: [scale.first, rounding.right, scale.up, scale.unused]
                .iter()
                .zip([FIRST, ROUNDED, UP, UNUSED])
                .map(|(&bits, operation)| if bits > 0 { operation } else { 0 })
                .sum(),
        }
    }
}

impl ColumnScale {
    /// What becomes of a value, with these operations.
    #[inline(always)]
    fn apply<const OPERATIONS: u8>(&self, x: i16) -> i16 {
        let x = if OPERATIONS & FIRST > 0 { x << self.first as u16 } else { x };
        let mut x = x.wrapping_sub(self.offset as i16) << self.left as u16 >> self.right as u16;
        if OPERATIONS & ROUNDED > 0 {
            let correction = (x >> self.bits as u16) & self.mask as i16;
            x = x.wrapping_add(self.add as i16).wrapping_add(correction) >> self.round as u16;
        }
        if OPERATIONS & UP > 0 {
            x = x.max(self.before[0] as i16).min(self.before[1] as i16) << self.up as u16;
        }
        if OPERATIONS & UNUSED > 0 {
            x = x << self.unused as u16 >> self.unused as u16;
        }
        x.max(self.range[0] as i16).min(self.range[1] as i16)
    }
}

/// 32-bit integers of several events, and pairs.
pub(crate) trait PairLane: Copy {
    /// Owning one proves that the processor has the instructions.
    type Pairs: Copy;

    /// Pairs of inputs of twice as many events, in an order that `in_order` undoes.
    ///
    /// # Safety
    /// Each pointer is aligned to as many bytes as the two results have, and so many can be read there.
    unsafe fn scaled<const OPERATIONS: u8>(
        proof: Self::Pairs,
        columns: [*const i16; 2],
        scales: &[ColumnScale; 2],
    ) -> [Self; 2];
    /// Quads of the lower bytes of inputs, bits turned over where `turned` has ones; otherwise the same.
    ///
    /// # Safety
    /// As above.
    unsafe fn scaled_quads<const OPERATIONS: u8>(
        proof: Self::Pairs,
        columns: [*const i16; 4],
        scales: &[ColumnScale; 4],
        turned: i32,
    ) -> [Self; 2];
    /// The pair of the lower halves of two integers.
    fn pair(low: Self, high: Self) -> Self;
    /// Adds the products of two numbers and two weights.
    fn dot_pairs(self, pairs: Self, weights: i32) -> Self;
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self × other`
    fn mul(self, other: Self) -> Self;
    /// Bits that both have.
    fn and(self, other: Self) -> Self;
    /// The larger.
    fn max(self, other: Self) -> Self;
    /// The smaller.
    fn min(self, other: Self) -> Self;
}

impl PairLane for PortableLane {
    type Pairs = Portable;

    #[inline(always)]
    unsafe fn scaled<const OPERATIONS: u8>(
        _: Portable,
        columns: [*const i16; 2],
        scales: &[ColumnScale; 2],
    ) -> [Self; 2] {
        // SAFETY: the caller's guarantee.
        unsafe { words::<OPERATIONS, 2>(columns, scales, 0) }
    }
    #[inline(always)]
    unsafe fn scaled_quads<const OPERATIONS: u8>(
        _: Portable,
        columns: [*const i16; 4],
        scales: &[ColumnScale; 4],
        turned: i32,
    ) -> [Self; 2] {
        // SAFETY: the caller's guarantee.
        unsafe { words::<OPERATIONS, 4>(columns, scales, turned) }
    }
    #[inline(always)]
    fn pair(low: Self, high: Self) -> Self {
        low.zip(high, |low, high| low & 0xffff | high << 16)
    }
    #[inline(always)]
    fn dot_pairs(self, pairs: Self, weights: i32) -> Self {
        let (low, high) = (i32::from(weights as i16), weights >> 16);
        self.zip(pairs, |sum, pair| {
            let first = i32::from(pair as i16) * low;
            sum.wrapping_add(first).wrapping_add((pair >> 16) * high)
        })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, i32::wrapping_add)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, i32::wrapping_mul)
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, i32::max)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, i32::min)
    }
}

/// `N` numbers to a word.
///
/// # Safety
/// 32 integers can be read at each pointer.
#[inline(always)]
unsafe fn words<const OPERATIONS: u8, const N: usize>(
    columns: [*const i16; N],
    scales: &[ColumnScale; N],
    turned: i32,
) -> [PortableLane; 2] {
    let bits = i32::BITS / N as u32;
    let mut words = [turned; 32];
    for (k, (column, scale)) in columns.into_iter().zip(scales).enumerate() {
        // SAFETY: the caller guarantees 32 integers.
        let column = unsafe { column.cast::<[i16; 32]>().read() };
        for (word, x) in words.iter_mut().zip(column) {
            let number = u32::from(scale.apply::<OPERATIONS>(x).cast_unsigned());
            let number = number & (u32::MAX >> (32 - bits));
            *word ^= (number << (bits * k as u32)).cast_signed();
        }
    }
    let (low, high) = words.split_at(16);
    [low, high].map(|half| PortableLane(std::array::from_fn(|k| half[k])))
}
