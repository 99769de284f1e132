//! How an integer of a row becomes an input of the network, in 16 bits.
//!
//! ```text
//! d = (x << first) − offset, of which the bits of the unscaled type are kept, and shifted
//! code = d rounded or moved to the last bit of the input type, limited to its range
//! ```
//!
//! Exact for all 65 536 integers: the difference is an integer of `bits` ≤ 16 bits in units of the
//! offset's last one and wraps as the unscaled type does. A shift drops what is below that type's last
//! bit before the cast rounds.

use super::program::{Rounding, rounding};
use crate::fixed::{Fixed, Format, Overflow};

/// A column of a row and what becomes of it: `limited(moved(rounded(kept(x))))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScaledInput {
    pub feature: usize,
    /// Places to the left before the offset is subtracted.
    pub first: u32,
    pub offset: i16,
    /// Then so many places to the left, and back to the right, with the sign.
    pub left: u32,
    pub right: u32,
    /// What is rounded off; 16 bits hold it.
    pub rounding: Rounding,
    /// Or moved to the left, after a clamp that changes no result.
    pub up: u32,
    pub before: [i16; 2],
    /// Bits above the first that are dropped.
    pub unused: u32,
    pub range: [i16; 2],
}

const ALL: [i16; 2] = [i16::MIN, i16::MAX];

impl ScaledInput {
    /// The constant 0.
    pub fn zero(feature: usize) -> ScaledInput {
        ScaledInput { feature, before: ALL, range: [0, 0], ..ScaledInput::default() }
    }

    /// What becomes of a column.
    ///
    /// # Errors
    /// The reason why 16 bits are not enough.
    pub fn new(
        feature: usize,
        unscaled: Format,
        (offset, shift): (Fixed, i32),
        input: Format,
    ) -> Result<ScaledInput, String> {
        let finest = unscaled.fraction_bits();
        let zeros = offset.code().trailing_zeros().min(63) as i32;
        let first = match offset.code() {
            0 => 0,
            _ => (offset.format().fraction_bits() - zeros).max(0),
        };
        let bits = unscaled.integer_bits() + first;
        let is_modular = unscaled.is_signed() && unscaled.overflow() == Overflow::Wrap;
        if !is_modular || unscaled.integer_bits() < 1 || bits > 16 || first > finest {
            return Err(format!("differences of {unscaled} from {}", offset.format()));
        }
        // In units of 2^−first, modulo 2^16.
        let by = first - offset.format().fraction_bits();
        let offset = if by < 0 { offset.code() >> -by } else { offset.code() << by.min(16) };
        let left = 16 - bits + (-shift).max(0);
        let floor = (shift.max(0) - (finest - first)).max(0);
        let unit = if floor > 0 { finest } else { first + shift.max(0) };
        if left > 15 {
            return Err(format!("a shift by {shift}"));
        }
        let mut scaled = ScaledInput {
            feature,
            first: first.unsigned_abs(),
            offset: offset as i16,
            left: left.unsigned_abs(),
            right: (16 - bits + floor).min(15).unsigned_abs(),
            before: ALL,
            range: ALL,
            ..ScaledInput::default()
        };
        let half = 1_i64 << (bits - 1);
        let (low, high) = (-half >> floor.min(63), (half - 1) >> floor.min(63));
        scaled.cast((low, high), input.fraction_bits() - unit, input)?;
        Ok(scaled)
    }

    /// The cast of numbers of this range, which are to be moved so many places to the left.
    fn cast(&mut self, (low, high): (i64, i64), up: i32, input: Format) -> Result<(), String> {
        let too_wide = || format!("inputs of {input} in 16 bits");
        let is_16 = |x: i64| i16::try_from(x).is_ok();
        let (mut least, most) = input.codes();
        let saturates = match input.overflow() {
            Overflow::Saturate => true,
            Overflow::SaturateSymmetric => {
                least = if input.is_signed() { -most } else { least };
                true
            }
            Overflow::Wrap => false,
            Overflow::Zero => return Err(too_wide()),
        };
        let (low, high) = if up < 0 {
            self.rounding = rounding(input.quantisation(), up.unsigned_abs())?;
            let Rounding { add, right, .. } = self.rounding;
            if right > 15 || !is_16(low - 1) || !is_16(high + i64::from(add) + (1 << right)) {
                return Err(too_wide());
            }
            self.rounding.bits = self.rounding.bits.min(15);
            (low >> up.unsigned_abs(), (high >> up.unsigned_abs()) + 1)
        } else {
            self.up = up.unsigned_abs();
            if up > 15 {
                return Err(too_wide());
            }
            (low << up, high << up)
        };
        if low >= least && high <= most && is_16(low) && is_16(high) {
            return Ok(());
        }
        if !saturates {
            if !input.is_signed() || input.width() > 16 {
                return Err(too_wide());
            }
            self.unused = 16 - input.width();
            return Ok(());
        }
        // What is beyond the range stays beyond it, and small enough to be moved.
        if up > 0 && !(is_16(low) && is_16(high)) {
            let before = [(least >> up) - 1, (most >> up) + 1];
            if before.iter().any(|&x| !is_16(x << up)) {
                return Err(too_wide());
            }
            self.before = before.map(|x| x as i16);
        }
        self.range = [least, most].map(|x| x.clamp(i16::MIN.into(), i16::MAX.into()) as i16);
        Ok(())
    }
}
