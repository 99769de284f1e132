//! What an encoder does with all entries of a column at once, for each width of entries.
//!
//! Entries are unsigned integers of their own width, whatever they mean. Everything here is loops without a way
//! out and sums in the type of the entries, which a compiler turns into vector instructions.

use std::ops::{BitOr, BitXor};

use super::RUN_MAX;

/// An entry: an unsigned integer of 8 to 64 bits.
pub(super) trait Lane:
    Copy + Ord + Default + BitOr<Output = Self> + BitXor<Output = Self>
{
    /// Its bytes.
    const BYTES: usize;
    /// Its highest bit alone.
    const SIGN: Self;
    /// Most entries of which a count fits into one.
    const COUNTED: usize;

    fn wide(self) -> u64;
    /// The lowest bits.
    fn of(wide: u64) -> Self;
    /// Modulo 2^bits.
    fn minus(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
}

macro_rules! lane {
    ($($ty:ty: $counted:literal),*) => {$(
        impl Lane for $ty {
            const BYTES: usize = size_of::<$ty>();
            const SIGN: $ty = 1 << (<$ty>::BITS - 1);
            const COUNTED: usize = $counted;
            fn wide(self) -> u64 {
                u64::from(self)
            }
            fn of(wide: u64) -> $ty {
                wide as $ty
            }
            fn minus(self, other: $ty) -> $ty {
                self.wrapping_sub(other)
            }
            fn plus(self, other: $ty) -> $ty {
                self.wrapping_add(other)
            }
        }
    )*};
}
lane!(u8: 128, u16: 1024, u32: 1024, u64: 1024);

/// The smallest entry, as signed or as unsigned integers; 0 if there is none.
pub(super) fn least<T: Lane>(entries: &[T], is_signed: bool) -> T {
    let flip = if is_signed { T::SIGN } else { T::default() };
    let Some(&first) = entries.first() else { return T::default() };
    entries.iter().fold(first ^ flip, |least, &entry| least.min(entry ^ flip)) ^ flip
}

/// The largest entry, as unsigned integers; 0 if there is none.
pub(super) fn largest<T: Lane>(entries: &[T]) -> T {
    entries.iter().fold(T::default(), |most, &entry| most.max(entry))
}

/// Replaces entries by their difference to the entry before, modulo 2^bits.
pub(super) fn differences<T: Lane>(entries: &[T], to: &mut Vec<T>) {
    to.clear();
    to.extend(entries.first());
    to.extend(entries.iter().skip(1).zip(entries).map(|(&entry, &before)| entry.minus(before)));
}

/// The greatest number that divides all codes; 1 if all are 0.
pub(super) fn common_stride<T: Lane>(codes: &[T]) -> u64 {
    let bits = codes.iter().fold(T::default(), |bits, &code| bits | code).wide();
    let mut stride = 0;
    for &code in codes.iter().filter(|_| bits != 0) {
        stride = greatest_common_divisor(code.wide(), stride);
        // A power of two divides the others too, if none of them has a lower bit.
        if stride.is_power_of_two() && bits.trailing_zeros() >= stride.trailing_zeros() {
            break;
        }
    }
    stride.max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How many codes have more than so many bits, for each number of bits up to that of the largest.
pub(super) fn n_of_more_bits<T: Lane>(codes: &[T], code_max: T) -> [usize; 65] {
    let mut n = [0; 65];
    let bits_max = 64 - code_max.wide().leading_zeros() as usize;
    for codes in codes.chunks(T::COUNTED) {
        for (bits, n) in n[..bits_max].iter_mut().enumerate() {
            let most = T::of((1 << bits) - 1);
            let one_if_more = |sum: T, &code: &T| sum.plus(T::of(u64::from(code > most)));
            *n += codes.iter().fold(T::default(), one_if_more).wide() as usize;
        }
    }
    n
}

/// How many runs there are, of equal entries or of consecutive ones, whichever are fewer, and by how much
/// entries of a run rise; `None` if both are more than `most`.
pub(super) fn fewest_runs<T: Lane>(entries: &[T], most: usize) -> Option<(usize, u64)> {
    let n_runs = [0, 1].map(|step| {
        // Runs end where entries do not go on. Counted until they are too many.
        let mut n_runs = usize::from(!entries.is_empty());
        let step_of_lane = T::of(step);
        for begin in (0..entries.len()).step_by(T::COUNTED) {
            let part = &entries[begin..entries.len().min(begin + T::COUNTED + 1)];
            let ends =
                |sum: T, (&a, &b): (&T, &T)| sum.plus(T::of(u64::from(b.minus(a) != step_of_lane)));
            n_runs += part.iter().zip(&part[1..]).fold(T::default(), ends).wide() as usize;
            if n_runs > most {
                return usize::MAX;
            }
        }
        // Runs that are too long for one record are several.
        if entries.len() > RUN_MAX { runs(entries, step).count() } else { n_runs }
    });
    let step = u64::from(n_runs[1] < n_runs[0]);
    let fewest = n_runs[step as usize];
    (fewest <= most).then_some((fewest, step))
}

/// Where runs begin and how long they are.
pub(super) fn runs<T: Lane>(entries: &[T], step: u64) -> impl Iterator<Item = (usize, usize)> {
    let goes_on = move |pair: &&[T]| pair[1].minus(pair[0]) == T::of(step);
    let mut begin = 0;
    std::iter::from_fn(move || {
        let rest = entries.get(begin..).filter(|rest| !rest.is_empty())?;
        let run = (begin, 1 + rest.windows(2).take(RUN_MAX - 1).take_while(goes_on).count());
        begin += run.1;
        Some(run)
    })
}
