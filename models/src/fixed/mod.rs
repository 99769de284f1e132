//! Numbers of firmware: `ap_fixed<W,I,Q,O>` and `ap_ufixed<W,I,Q,O>`, bit for bit.
//!
//! A [`Format`] says which numbers there are: `code × 2^(I−W)` for codes of `W` bits. A [`Fixed`]
//! is one of them. Products, sums and differences of two are [`Exact`], as in the original, whose
//! results have a type wide enough for every bit; only [`Format::cast`] loses something, and says
//! how: first the bits below the last (`Q`, [`Quantisation`]), then those above the first (`O`,
//! [`Overflow`]).
//!
//! ```text
//! ap_fixed<8,6,AP_RND_CONV,AP_SAT>     s i i i i i . f f      −32 … 31.75 in steps of 0.25
//! ap_fixed<10,10>                      an integer: 4.5 becomes 4
//! ap_ufixed<3,0>                       . f f f                 0 … 0.875
//! ```
//!
//! This is the slow, obvious reference. It is compared with the original headers on random values of
//! many types (`fixtures/reference/make_fixed.py`). Sign-magnitude wrapping (`AP_WRAP_SM`), saturated
//! bits of wrapping (the fifth parameter) and widths for which 128 bits could be too few are refused.

use std::fmt;

/// Most bits of a format. Products of two have at most 96.
pub const MAX_WIDTH: u32 = 48;
/// Least and most fractional bits of a format. With [`MAX_WIDTH`] this lets sums and products of two
/// numbers of any formats fit into 128 bits.
pub const FRACTION_BITS: std::ops::RangeInclusive<i32> = -16..=48;

/// What becomes of bits below the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantisation {
    /// `AP_TRN`: towards −∞. The default.
    #[default]
    Truncate,
    /// `AP_TRN_ZERO`: towards zero.
    TruncateToZero,
    /// `AP_RND`: to the nearest, ties towards +∞.
    Round,
    /// `AP_RND_ZERO`: to the nearest, ties towards zero.
    RoundToZero,
    /// `AP_RND_MIN_INF`: to the nearest, ties towards −∞.
    RoundDown,
    /// `AP_RND_INF`: to the nearest, ties away from zero.
    RoundAway,
    /// `AP_RND_CONV`: to the nearest, ties to the even code.
    RoundToEven,
}

impl Quantisation {
    const NAMES: [(&'static str, Quantisation); 7] = [
        ("AP_TRN", Quantisation::Truncate),
        ("AP_TRN_ZERO", Quantisation::TruncateToZero),
        ("AP_RND", Quantisation::Round),
        ("AP_RND_ZERO", Quantisation::RoundToZero),
        ("AP_RND_MIN_INF", Quantisation::RoundDown),
        ("AP_RND_INF", Quantisation::RoundAway),
        ("AP_RND_CONV", Quantisation::RoundToEven),
    ];

    /// Its place in the list of modes, which model files keep.
    pub(crate) fn number(self) -> u8 {
        Quantisation::NAMES.iter().position(|(_, mode)| *mode == self).unwrap_or(0) as u8
    }

    /// The mode at this place, if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Quantisation> {
        Quantisation::NAMES.get(usize::from(number)).map(|&(_, mode)| mode)
    }

    /// The mode of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Quantisation> {
        Quantisation::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, mode)| mode)
    }

    /// The name in the original.
    #[must_use]
    pub fn name(self) -> &'static str {
        Quantisation::NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |&(name, _)| name)
    }

    /// Whether the code next to the last whole one below the number is nearer to what is wanted.
    ///
    /// `half` is the first bit cut off, `rest` whether any bit behind it is set.
    fn steps_up(self, half: bool, rest: bool, negative: bool, odd: bool) -> bool {
        match self {
            Quantisation::Truncate => false,
            Quantisation::TruncateToZero => negative && (half || rest),
            Quantisation::Round => half,
            Quantisation::RoundToZero => half && (negative || rest),
            Quantisation::RoundDown => half && rest,
            Quantisation::RoundAway => half && (!negative || rest),
            Quantisation::RoundToEven => half && (odd || rest),
        }
    }
}

/// What becomes of numbers beyond the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// `AP_WRAP`: bits above the first are dropped. The default.
    #[default]
    Wrap,
    /// `AP_SAT`: the nearest number there is.
    Saturate,
    /// `AP_SAT_ZERO`: zero.
    Zero,
    /// `AP_SAT_SYM`: the nearest number, but the negative limit is minus the positive one.
    SaturateSymmetric,
}

impl Overflow {
    const NAMES: [(&'static str, Overflow); 4] = [
        ("AP_WRAP", Overflow::Wrap),
        ("AP_SAT", Overflow::Saturate),
        ("AP_SAT_ZERO", Overflow::Zero),
        ("AP_SAT_SYM", Overflow::SaturateSymmetric),
    ];

    /// Its place in the list of modes, which model files keep.
    pub(crate) fn number(self) -> u8 {
        Overflow::NAMES.iter().position(|(_, mode)| *mode == self).unwrap_or(0) as u8
    }

    /// The mode at this place, if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Overflow> {
        Overflow::NAMES.get(usize::from(number)).map(|&(_, mode)| mode)
    }

    /// The mode of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Overflow> {
        Overflow::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, mode)| mode)
    }

    /// The name in the original.
    #[must_use]
    pub fn name(self) -> &'static str {
        Overflow::NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |&(name, _)| name)
    }
}

/// A number without loss: `mantissa × 2^−fraction_bits`.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    mantissa: i128,
    fraction_bits: i32,
}

impl Exact {
    /// Bits below one.
    #[must_use]
    pub fn fraction_bits(self) -> i32 {
        self.fraction_bits
    }

    /// An integer.
    #[must_use]
    pub fn integer(value: i64) -> Exact {
        Exact { mantissa: value.into(), fraction_bits: 0 }
    }

    /// A floating-point number, exactly; nothing for infinities and what is not a number.
    #[must_use]
    pub fn float(value: f64) -> Option<Exact> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as i32;
        let fraction = i128::from(bits & ((1 << 52) - 1));
        let magnitude = if exponent == 0 { fraction } else { fraction | 1 << 52 };
        let mantissa = if value < 0.0 { -magnitude } else { magnitude };
        Some(Exact { mantissa, fraction_bits: 1075 - exponent.max(1) })
    }
}

/// Which numbers there are, and what becomes of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    width: u32,
    integer_bits: i32,
    signed: bool,
    quantisation: Quantisation,
    overflow: Overflow,
}

impl Format {
    /// `ap_fixed<width, integer_bits>` or, if not signed, `ap_ufixed`: truncates and wraps.
    ///
    /// # Errors
    /// What was expected of the widths.
    pub fn new(signed: bool, width: u32, integer_bits: i32) -> Result<Format, String> {
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(format!("a width of 1 to {MAX_WIDTH} bits"));
        }
        let fraction_bits = i64::from(width) - i64::from(integer_bits);
        let fits = i32::try_from(fraction_bits).is_ok_and(|bits| FRACTION_BITS.contains(&bits));
        if !fits {
            let (least, most) = (FRACTION_BITS.start(), FRACTION_BITS.end());
            return Err(format!("{least} to {most} fractional bits (width − integer bits)"));
        }
        let (quantisation, overflow) = Default::default();
        Ok(Format { width, integer_bits, signed, quantisation, overflow })
    }

    /// The same numbers with other rules for the rest.
    #[must_use]
    pub fn with_modes(self, quantisation: Quantisation, overflow: Overflow) -> Format {
        Format { quantisation, overflow, ..self }
    }

    /// Bits above the point, the sign included. May be negative, and more than the width.
    #[must_use]
    pub fn integer_bits(self) -> i32 {
        self.integer_bits
    }

    /// Bits of a code, the sign included.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// Bits below one. May be negative: codes are then multiples of a power of two.
    #[must_use]
    pub fn fraction_bits(self) -> i32 {
        self.width as i32 - self.integer_bits
    }

    /// Whether there are negative numbers.
    #[must_use]
    pub fn is_signed(self) -> bool {
        self.signed
    }

    /// What happens below the last bit.
    #[must_use]
    pub fn quantisation(self) -> Quantisation {
        self.quantisation
    }

    /// What happens beyond the range.
    #[must_use]
    pub fn overflow(self) -> Overflow {
        self.overflow
    }

    /// Smallest and largest code.
    #[must_use]
    pub fn codes(self) -> (i64, i64) {
        if self.signed {
            let half = 1_i64 << (self.width - 1);
            (-half, half - 1)
        } else {
            (0, (1_i64 << self.width) - 1)
        }
    }

    /// The number zero.
    #[must_use]
    pub fn zero(self) -> Fixed {
        Fixed { code: 0, format: self }
    }

    /// The number of this code: bits above the width do not count.
    #[must_use]
    pub fn with_code(self, code: i64) -> Fixed {
        Fixed { code: self.wrapped(i128::from(code)), format: self }
    }

    /// What an assignment makes of a number.
    #[must_use]
    pub fn cast(self, value: Exact) -> Fixed {
        let Exact { mantissa, fraction_bits } = value;
        let left = self.fraction_bits() - fraction_bits;
        let code = if left >= 0 {
            self.code_of(mantissa, left.unsigned_abs())
        } else {
            let whole = self.quantised(mantissa, left.unsigned_abs());
            self.code_of(whole, 0)
        };
        Fixed { code, format: self }
    }

    /// `mantissa / 2^cut` as a whole number. `cut` > 0.
    fn quantised(self, mantissa: i128, cut: u32) -> i128 {
        // Beyond bit 126 all bits are that of the sign.
        let bit = |index: u32| mantissa >> index.min(127) & 1 == 1;
        let half = bit(cut - 1);
        let rest = match cut - 1 {
            below @ 0..127 => mantissa & ((1 << below) - 1) != 0,
            _ => mantissa != 0,
        };
        let up = self.quantisation.steps_up(half, rest, mantissa < 0, bit(cut));
        (mantissa >> cut.min(127)) + i128::from(up)
    }

    /// The code of `whole × 2^left`, in units of the last bit.
    fn code_of(self, whole: i128, left: u32) -> i64 {
        let (smallest, largest) = self.codes();
        // One that is too wide for 128 bits is beyond every range.
        let room = if whole < 0 { whole.leading_ones() } else { whole.leading_zeros() };
        let inside = whole == 0
            || (left < room && {
                let shifted = whole << left;
                (i128::from(smallest)..=i128::from(largest)).contains(&shifted)
            });
        let shifted = whole.checked_shl(left).unwrap_or(0);
        match self.overflow {
            Overflow::Wrap => self.wrapped(shifted),
            Overflow::SaturateSymmetric if self.signed && inside => (shifted as i64).max(-largest),
            _ if inside => shifted as i64,
            Overflow::Zero => 0,
            _ if whole > 0 => largest,
            Overflow::SaturateSymmetric if self.signed => -largest,
            _ => smallest,
        }
    }

    /// The code whose low bits are these.
    fn wrapped(self, bits: i128) -> i64 {
        let unused = 128 - self.width;
        if self.signed {
            (bits << unused >> unused) as i64
        } else {
            ((bits as u128) << unused >> unused) as i64
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.signed { "" } else { "u" };
        write!(f, "ap_{sign}fixed<{},{}", self.width, self.integer_bits)?;
        if (self.quantisation, self.overflow) != Default::default() {
            write!(f, ",{},{}", self.quantisation.name(), self.overflow.name())?;
        }
        write!(f, ">")
    }
}

/// A number of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    code: i64,
    format: Format,
}

impl Fixed {
    /// The number in units of the last bit.
    #[must_use]
    pub fn code(self) -> i64 {
        self.code
    }

    /// Which numbers it is one of.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }

    /// The number itself.
    #[must_use]
    pub fn exact(self) -> Exact {
        Exact { mantissa: self.code.into(), fraction_bits: self.format.fraction_bits() }
    }

    /// `self × other`, all bits.
    #[must_use]
    pub fn times(self, other: Fixed) -> Exact {
        Exact {
            mantissa: i128::from(self.code) * i128::from(other.code),
            fraction_bits: self.format.fraction_bits() + other.format.fraction_bits(),
        }
    }

    /// `self + other`, all bits.
    #[must_use]
    pub fn plus(self, other: Fixed) -> Exact {
        let (a, b, fraction_bits) = aligned(self, other);
        Exact { mantissa: a + b, fraction_bits }
    }

    /// `self − other`, all bits, negative also if neither has a sign.
    #[must_use]
    pub fn minus(self, other: Fixed) -> Exact {
        let (a, b, fraction_bits) = aligned(self, other);
        Exact { mantissa: a - b, fraction_bits }
    }

    /// `self >> by`, or `<<` if negative. A shift keeps the format: bits that leave it on either side
    /// are dropped, whatever its rules for casts.
    #[must_use]
    pub fn shifted_right(self, by: i32) -> Fixed {
        let (code, distance) = (i128::from(self.code), by.unsigned_abs());
        let bits = if by >= 0 {
            code >> distance.min(127)
        } else {
            code.checked_shl(distance).unwrap_or(0)
        };
        Fixed { code: self.format.wrapped(bits), format: self.format }
    }
}

/// Both codes in units of the finer last bit, at most 48 + 64 bits, and that bit.
fn aligned(a: Fixed, b: Fixed) -> (i128, i128, i32) {
    let fraction_bits = a.format.fraction_bits().max(b.format.fraction_bits());
    let lift = |x: Fixed| i128::from(x.code) << (fraction_bits - x.format.fraction_bits());
    (lift(a), lift(b), fraction_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(width: u32, integer_bits: i32) -> Format {
        Format::new(true, width, integer_bits).unwrap()
    }

    fn code(format: Format, value: f64) -> i64 {
        format.cast(Exact::float(value).unwrap()).code()
    }

    #[test]
    fn quantisation_follows_the_mode_on_both_sides_of_zero() {
        let values = [2.5, 1.5, 1.25, 0.75, -0.5, -1.25, -1.5, -1.75, -2.5];
        for (mode, expected) in [
            (Quantisation::Truncate, [2, 1, 1, 0, -1, -2, -2, -2, -3]),
            (Quantisation::TruncateToZero, [2, 1, 1, 0, 0, -1, -1, -1, -2]),
            (Quantisation::Round, [3, 2, 1, 1, 0, -1, -1, -2, -2]),
            (Quantisation::RoundToZero, [2, 1, 1, 1, 0, -1, -1, -2, -2]),
            (Quantisation::RoundDown, [2, 1, 1, 1, -1, -1, -2, -2, -3]),
            (Quantisation::RoundAway, [3, 2, 1, 1, -1, -1, -2, -2, -3]),
            (Quantisation::RoundToEven, [2, 2, 1, 1, 0, -1, -2, -2, -2]),
        ] {
            let format = signed(8, 8).with_modes(mode, Overflow::Wrap);
            assert_eq!(values.map(|x| code(format, x)), expected, "{format}");
        }
    }

    #[test]
    fn overflow_follows_the_mode_and_rounding_can_cause_it() {
        let values = [7.4, 7.5, 8.0, -8.0, -8.4, -9.0, 23.0, 1e300, -1e300];
        for (mode, expected) in [
            (Overflow::Wrap, [7, -8, -8, -8, -8, 7, 7, 0, 0]),
            (Overflow::Saturate, [7, 7, 7, -8, -8, -8, 7, 7, -8]),
            (Overflow::Zero, [7, 0, 0, -8, -8, 0, 0, 0, 0]),
            (Overflow::SaturateSymmetric, [7, 7, 7, -7, -7, -7, 7, 7, -7]),
        ] {
            let format = signed(4, 4).with_modes(Quantisation::Round, mode);
            assert_eq!(values.map(|x| code(format, x)), expected, "{format}");
        }
        let unsigned = Format::new(false, 4, 4).unwrap();
        assert_eq!([-1.0, 15.0, 16.0].map(|x| code(unsigned, x)), [15, 15, 0]);
        let saturating = unsigned.with_modes(Quantisation::Round, Overflow::Saturate);
        assert_eq!([-1.0, 15.0, 15.5].map(|x| code(saturating, x)), [0, 15, 15]);
    }

    #[test]
    fn an_integer_format_loses_the_half_of_an_offset() {
        assert_eq!(code(signed(10, 10), 4.5), 4);
        assert_eq!(code(signed(10, 9), 33.5), 67);
        assert_eq!(code(signed(10, 9), 286.0), 2 * 286 - 1024, "beyond ±256 it wraps");
    }

    #[test]
    fn a_shift_stays_in_its_format() {
        let format = signed(18, 13).with_modes(Quantisation::Round, Overflow::Saturate);
        assert_eq!(format.with_code(-33).shifted_right(1).code(), -17);
        assert_eq!(format.with_code(-33).shifted_right(100).code(), -1);
        assert_eq!(format.with_code(1 << 16).shifted_right(-1).code(), -(1 << 17));
        assert_eq!(format.with_code(3).shifted_right(-100).code(), 0);
        assert_eq!(format.with_code(3).shifted_right(i32::MIN).code(), 0);
    }

    #[test]
    fn extremes_of_all_formats_neither_panic_nor_lose_bits() {
        let widest = [(48, 0), (48, 48), (48, 64), (1, 17), (1, -47)].map(|(w, i)| signed(w, i));
        for a in widest {
            for b in widest {
                for (x, y) in [(a.codes().0, b.codes().0), (a.codes().1, b.codes().0)] {
                    let (x, y) = (a.with_code(x), b.with_code(y));
                    let target = a.with_modes(Quantisation::Round, Overflow::Saturate);
                    for value in [x.times(y), x.plus(y), x.minus(y)] {
                        let (low, high) = target.codes();
                        assert!((low..=high).contains(&target.cast(value).code()));
                    }
                    assert_eq!(a.cast(x.exact()), x);
                }
            }
        }
        for value in [f64::MIN_POSITIVE, -f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, -0.0] {
            let saturated = signed(8, 4).with_modes(Quantisation::RoundAway, Overflow::Saturate);
            let expected = if value.abs() < 1.0 {
                0
            } else if value > 0.0 {
                127
            } else {
                -128
            };
            assert_eq!(code(saturated, value), expected, "{value}");
        }
        assert!(Exact::float(f64::NAN).is_none() && Exact::float(f64::INFINITY).is_none());
    }

    #[test]
    fn widths_that_128_bits_cannot_serve_are_refused() {
        for (width, integer_bits) in [(0, 0), (49, 20), (64, 32), (8, 25), (8, -41), (8, i32::MIN)]
        {
            assert!(Format::new(true, width, integer_bits).is_err(), "<{width},{integer_bits}>");
        }
    }

    #[test]
    fn formats_are_shown_as_they_are_written() {
        assert_eq!(signed(18, 13).to_string(), "ap_fixed<18,13>");
        let modes = (Quantisation::RoundToEven, Overflow::Saturate);
        let format = Format::new(false, 10, 6).unwrap().with_modes(modes.0, modes.1);
        assert_eq!(format.to_string(), "ap_ufixed<10,6,AP_RND_CONV,AP_SAT>");
    }
}
