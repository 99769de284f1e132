//! A word that holds one bit for each of many crossings, and what kernels do with such words.
//!
//! Every instruction set offers words of one or two widths. A kernel is written once over
//! [`Word`]; what differs is how many crossings one word holds and which instructions it takes.
//! A vector register of n bits is also n / 8 bytes: [`Word::narrow`] and [`Word::put_bytes`] see
//! it so, and [`transpose`] turns eight registers of bytes into eight words of bits and back.
//!
//! Nothing here detects what the processor can do: a word is made from a *proof*, and who owns
//! one has asked before ([`isa`](super::isa)).

/// One bit for each of [`Word::LANES`] crossings.
///
/// The methods that take pointers are unsafe because they check no bounds; all pointers to words
/// are aligned to the size of the word.
pub(crate) trait Word: Copy {
    /// Owning one proves that the processor has the instructions.
    type Proof: Copy;
    /// Crossings in a word: a multiple of 64, at most 512.
    const LANES: usize;

    /// All bits of all bytes as in `byte`.
    fn splat(proof: Self::Proof, byte: u8) -> Self;
    /// # Safety
    /// `LANES / 64` integers can be read there, aligned to as many bytes.
    unsafe fn load(proof: Self::Proof, from: *const u64) -> Self;
    /// # Safety
    /// `LANES / 64` integers can be written there, aligned to as many bytes.
    unsafe fn store(self, to: *mut u64);
    /// `self & other`
    fn and(self, other: Self) -> Self;
    /// `self & !other`
    fn and_not(self, other: Self) -> Self;
    /// `!self`
    fn not(self) -> Self;
    /// `self | other`
    fn or(self, other: Self) -> Self;
    /// `self ^ other`
    fn xor(self, other: Self) -> Self;
    /// Shifts units of at least 16 bits; bits that cross a byte are for the caller to mask.
    fn shift_left<const BITS: u32>(self) -> Self;
    /// As [`Word::shift_left`], the other way.
    fn shift_right<const BITS: u32>(self) -> Self;
    /// `LANES / 8` integers less `offset`, saturated to 0…255, as bytes.
    ///
    /// # Safety
    /// So many integers can be read there.
    unsafe fn narrow(proof: Self::Proof, from: *const i16, offset: i16) -> Self;
    /// Writes the bytes in the order in which [`Word::narrow`] read the integers.
    ///
    /// # Safety
    /// `LANES / 8` bytes can be written there.
    unsafe fn put_bytes(self, to: *mut u8);

    /// Asks for the cache line of an integer that will be read soon.
    #[inline(always)]
    fn prefetch(_: &i16) {}
    /// Asks for the cache line of a word that will be written soon.
    #[inline(always)]
    fn prefetch_to_write(_: *mut u64) {}
    /// `self | (a & b)`
    #[inline(always)]
    fn or_and(self, a: Self, b: Self) -> Self {
        self.or(a.and(b))
    }
    /// `a` where `self` has ones, `b` elsewhere.
    #[inline(always)]
    fn choose(self, a: Self, b: Self) -> Self {
        b.xor(self.and(a.xor(b)))
    }
    /// Sum and carry of three bits.
    #[inline(always)]
    fn full_add(a: Self, b: Self, c: Self) -> (Self, Self) {
        let half = a.xor(b);
        (half.xor(c), a.and(b).or(half.and(c)))
    }
    /// Sum and carry of a bit and the complements of two.
    #[inline(always)]
    fn full_add_not(a: Self, b: Self, c: Self) -> (Self, Self) {
        let half = b.xor(c);
        (half.xor(a), half.choose(a, b.not()))
    }
}

/// Exchanges the index of a register with that of a bit in each byte: bit r of byte i of result
/// k is bit k of byte i of register r. Its own inverse.
///
/// Three rounds of exchanging halves, as for an 8 × 8 matrix.
#[inline(always)]
pub(crate) fn transpose<W: Word>(proof: W::Proof, rows: &mut [W; 8]) {
    swap_halves::<W, 4>(rows, W::splat(proof, 0x0f));
    swap_halves::<W, 2>(rows, W::splat(proof, 0x33));
    swap_halves::<W, 1>(rows, W::splat(proof, 0x55));
}

#[inline(always)]
fn swap_halves<W: Word, const BITS: u32>(rows: &mut [W; 8], low: W) {
    let step = BITS as usize;
    for k in 0..4 {
        // The four registers whose index lacks the bit `step`.
        let first = k / step * 2 * step + k % step;
        let (a, b) = (rows[first], rows[first + step]);
        rows[first] = low.choose(a, b.shift_left::<BITS>());
        rows[first + step] = low.choose(a.shift_right::<BITS>(), b);
    }
}

/// Two words as one of twice as many crossings.
#[derive(Clone, Copy)]
pub(crate) struct Pair<W>(W, W);

impl<W: Word> Pair<W> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(W, W) -> W) -> Self {
        Pair(f(self.0, other.0), f(self.1, other.1))
    }
}

impl<W: Word> Word for Pair<W> {
    type Proof = W::Proof;
    const LANES: usize = 2 * W::LANES;

    #[inline(always)]
    fn splat(proof: W::Proof, byte: u8) -> Self {
        Pair(W::splat(proof, byte), W::splat(proof, byte))
    }
    #[inline(always)]
    unsafe fn load(proof: W::Proof, from: *const u64) -> Self {
        // SAFETY: the caller guarantees two aligned words.
        let first = unsafe { W::load(proof, from) };
        // SAFETY: the second of them.
        Pair(first, unsafe { W::load(proof, from.wrapping_add(W::LANES / 64)) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u64) {
        // SAFETY: the caller guarantees aligned room for two words.
        unsafe { self.0.store(to) };
        // SAFETY: the second of them.
        unsafe { self.1.store(to.wrapping_add(W::LANES / 64)) };
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self.zip(other, W::and)
    }
    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        self.zip(other, W::and_not)
    }
    #[inline(always)]
    fn not(self) -> Self {
        Pair(self.0.not(), self.1.not())
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self.zip(other, W::or)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.zip(other, W::xor)
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        Pair(self.0.shift_left::<BITS>(), self.1.shift_left::<BITS>())
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        Pair(self.0.shift_right::<BITS>(), self.1.shift_right::<BITS>())
    }
    #[inline(always)]
    unsafe fn narrow(proof: W::Proof, from: *const i16, offset: i16) -> Self {
        // SAFETY: the caller guarantees the integers of two words.
        let first = unsafe { W::narrow(proof, from, offset) };
        // SAFETY: those of the second.
        Pair(first, unsafe { W::narrow(proof, from.wrapping_add(W::LANES / 8), offset) })
    }
    #[inline(always)]
    unsafe fn put_bytes(self, to: *mut u8) {
        // SAFETY: the caller guarantees room for the bytes of two words.
        unsafe { self.0.put_bytes(to) };
        // SAFETY: that of the second.
        unsafe { self.1.put_bytes(to.wrapping_add(W::LANES / 8)) };
    }
    #[inline(always)]
    fn prefetch(soon: &i16) {
        W::prefetch(soon);
    }
    #[inline(always)]
    fn prefetch_to_write(soon: *mut u64) {
        W::prefetch_to_write(soon);
    }
    #[inline(always)]
    fn choose(self, a: Self, b: Self) -> Self {
        Pair(self.0.choose(a.0, b.0), self.1.choose(a.1, b.1))
    }
}
