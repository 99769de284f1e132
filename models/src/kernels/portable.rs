//! Words for every processor: the specification that the others have to equal bit for bit.

use super::word::Word;

/// Owned by everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// 64 crossings for each of `N` integers.
#[derive(Clone, Copy)]
pub(crate) struct Bits<const N: usize>([u64; N]);

impl<const N: usize> Bits<N> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let mut result = self;
        for k in 0..N {
            result.0[k] = f(self.0[k], other.0[k]);
        }
        result
    }
}

impl<const N: usize> Word for Bits<N> {
    type Proof = Portable;
    const LANES: usize = 64 * N;

    #[inline(always)]
    fn splat(_: Portable, byte: u8) -> Self {
        Bits([u64::from_ne_bytes([byte; 8]); N])
    }
    #[inline(always)]
    unsafe fn load(_: Portable, from: *const u64) -> Self {
        // SAFETY: the caller guarantees `N` aligned integers.
        Bits(unsafe { from.cast::<[u64; N]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u64) {
        // SAFETY: the caller guarantees room for `N` aligned integers.
        unsafe { to.cast::<[u64; N]>().write(self.0) }
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }
    #[inline(always)]
    fn not(self) -> Self {
        self.zip(self, |a, _| !a)
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.zip(other, |a, b| a ^ b)
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        self.zip(self, |a, _| a << BITS)
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        self.zip(self, |a, _| a >> BITS)
    }
    #[inline(always)]
    unsafe fn narrow(_: Portable, from: *const i16, offset: i16) -> Self {
        let mut words = [0; N];
        for (k, word) in words.iter_mut().enumerate() {
            // SAFETY: the caller guarantees eight integers for each of `N` words.
            let lanes = unsafe { from.wrapping_add(8 * k).cast::<[i16; 8]>().read() };
            let byte = |x: i16| (i32::from(x) - i32::from(offset)).clamp(0, 255) as u8;
            *word = u64::from_le_bytes(lanes.map(byte));
        }
        Bits(words)
    }
    #[inline(always)]
    unsafe fn put_bytes(self, to: *mut u8) {
        for (k, word) in self.0.iter().enumerate() {
            // SAFETY: the caller guarantees eight bytes for each of `N` words.
            unsafe { to.wrapping_add(8 * k).cast::<[u8; 8]>().write(word.to_le_bytes()) }
        }
    }
}
