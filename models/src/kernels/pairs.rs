//! What a network of fixed-point numbers does with 32-bit integers of several events.
//!
//! Such an integer also holds two numbers of 16 bits, the first in the lower half: a *pair*.
//! [`PairLane::dot_pairs`] multiplies the numbers of pairs with two weights and adds up, modulo 2^32.
//! Everything here is modulo 2^32 (or 2^16 within columns): what may overflow, and what may not, is
//! decided where the operations are chosen ([`Program`](crate::hls)).

use super::lane::PortableLane;
use super::portable::Portable;
use crate::hls::scaled::ScaledInput;

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
    pub has_first: bool,
    pub has_rounding: bool,
    pub has_up: bool,
    pub has_unused: bool,
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
            has_first: scale.first > 0,
            has_rounding: rounding.right > 0,
            has_up: scale.up > 0,
            has_unused: scale.unused > 0,
        }
    }
}

impl ColumnScale {
    /// What becomes of a value.
    #[inline(always)]
    fn apply(&self, x: i16) -> i16 {
        let x = if self.has_first { x << self.first as u16 } else { x };
        let mut x = x.wrapping_sub(self.offset as i16) << self.left as u16 >> self.right as u16;
        if self.has_rounding {
            let correction = (x >> self.bits as u16) & self.mask as i16;
            x = x.wrapping_add(self.add as i16).wrapping_add(correction) >> self.round as u16;
        }
        if self.has_up {
            x = x.max(self.before[0] as i16).min(self.before[1] as i16) << self.up as u16;
        }
        if self.has_unused {
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
    unsafe fn scaled(
        proof: Self::Pairs,
        columns: [*const i16; 2],
        scales: &[ColumnScale; 2],
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
    unsafe fn scaled(
        _: Portable,
        columns: [*const i16; 2],
        scales: &[ColumnScale; 2],
    ) -> [Self; 2] {
        let mut pairs = [0_i32; 32];
        for (k, (column, scale)) in columns.into_iter().zip(scales).enumerate() {
            // SAFETY: the caller guarantees 32 integers.
            let column = unsafe { column.cast::<[i16; 32]>().read() };
            for (pair, x) in pairs.iter_mut().zip(column) {
                let code = u32::from(scale.apply(x).cast_unsigned()) << (16 * k);
                *pair |= code.cast_signed();
            }
        }
        let (low, high) = pairs.split_at(16);
        [low, high].map(|half| PortableLane(std::array::from_fn(|k| half[k])))
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
