//! One 32-bit integer for each of several events, and what a network does with them.
//!
//! Such an integer also holds four codes of a byte each, the lowest first: a *quad*.
//! [`Lane::dot`] multiplies the codes of quads with four weights and adds up. With weights of at most 63
//! that is exact with every instruction set ([`autoencoder::integer`](crate::autoencoder)).

/// 32-bit integers of [`Lane::LANES`] events. Pointers are aligned to their size.
pub(crate) trait Lane: Copy {
    /// Owning one proves that the processor has the instructions.
    type Proof: Copy;
    /// Events.
    const LANES: usize;

    /// The same integer for all.
    fn splat(proof: Self::Proof, x: i32) -> Self;
    /// # Safety
    /// `LANES` integers can be read there.
    unsafe fn load(proof: Self::Proof, from: *const i32) -> Self;
    /// # Safety
    /// `LANES` integers can be written there.
    unsafe fn store(self, to: *mut i32);
    /// Integers of 16 bits, aligned to `2 * LANES` bytes.
    ///
    /// # Safety
    /// `LANES` of them can be read there.
    unsafe fn widen(proof: Self::Proof, from: *const i16) -> Self;
    /// `self - other`; nothing here overflows.
    fn sub(self, other: Self) -> Self;
    /// `self << bits`
    fn shift_left(self, bits: u32) -> Self;
    /// `self >> bits`, rounding down.
    fn shift_right(self, bits: u32) -> Self;
    /// Adds the products of four codes and four weights.
    fn dot(self, codes: Self, weights: i32) -> Self;
    /// Quads of four integers, each clamped to 0…255.
    fn quad(integers: [Self; 4]) -> Self;
    /// The code at `bits` bits of a quad.
    fn code(self, bits: u32) -> Self;
    /// Adds the square of `min(|x|, limit)`, `limit` below 2^15.
    fn add_square(self, x: Self, limit: Self) -> Self;
}

/// Integers for every processor.
#[derive(Clone, Copy)]
pub(crate) struct PortableLane([i32; 16]);

impl PortableLane {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(i32, i32) -> i32) -> Self {
        let mut result = self;
        for k in 0..Self::LANES {
            result.0[k] = f(self.0[k], other.0[k]);
        }
        result
    }
}

impl Lane for PortableLane {
    type Proof = super::portable::Portable;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(_: Self::Proof, x: i32) -> Self {
        PortableLane([x; 16])
    }
    #[inline(always)]
    unsafe fn load(_: Self::Proof, from: *const i32) -> Self {
        // SAFETY: the caller guarantees 16 integers.
        PortableLane(unsafe { from.cast::<[i32; 16]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: the caller guarantees room for 16 integers.
        unsafe { to.cast::<[i32; 16]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn widen(_: Self::Proof, from: *const i16) -> Self {
        // SAFETY: the caller guarantees 16 integers.
        PortableLane(unsafe { from.cast::<[i16; 16]>().read() }.map(i32::from))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn shift_left(self, bits: u32) -> Self {
        self.zip(self, |a, _| a << bits)
    }
    #[inline(always)]
    fn shift_right(self, bits: u32) -> Self {
        self.zip(self, |a, _| a >> bits)
    }
    #[inline(always)]
    fn dot(self, codes: Self, weights: i32) -> Self {
        let weights = weights.to_le_bytes().map(|byte| i32::from(byte as i8));
        self.zip(codes, |sum, codes| {
            let codes = codes.to_le_bytes().map(i32::from);
            sum + codes.iter().zip(weights).map(|(x, w)| x * w).sum::<i32>()
        })
    }
    #[inline(always)]
    fn quad(integers: [Self; 4]) -> Self {
        let mut quads = [0; 16];
        for (k, quad) in quads.iter_mut().enumerate() {
            *quad = i32::from_le_bytes(integers.map(|lane| lane.0[k].clamp(0, 255) as u8));
        }
        PortableLane(quads)
    }
    #[inline(always)]
    fn code(self, bits: u32) -> Self {
        self.zip(self, |a, _| a >> bits & 255)
    }
    #[inline(always)]
    fn add_square(self, x: Self, limit: Self) -> Self {
        let distance = x.zip(limit, |x, limit| x.unsigned_abs().min(limit.unsigned_abs()) as i32);
        self.zip(distance, |sum, d| sum + d * d)
    }
}
