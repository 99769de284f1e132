//! One 32-bit integer for each of several events, and what a network does with them.
//!
//! Such an integer also holds four codes of a byte each, the lowest first: a *quad*.
//! [`Lane::dot`] multiplies the codes of quads with four weights and adds up. With weights of at most 63
//! that is exact with every instruction set ([`autoencoder::integer`](crate::autoencoder)).

use super::pairs::PairLane;

/// Codes of a quad.
pub(crate) const QUAD: usize = 4;

/// How four columns of 16-bit integers become codes: `clamp((x − offset) >> shift, 0, 255)`.
///
/// `max(x, offset) − offset` fits 16 bits without a sign; cut off at `limit` and shifted, it fits
/// a byte, except for shifts to the left, which need another limit. Everything is there twice, for
/// two events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CodeScales {
    /// What becomes 0.
    pub offsets: [i32; QUAD],
    /// Largest difference; 0: the code is 0.
    pub limits: [i32; QUAD],
    /// Bits to shift to the right; 0 if it goes to the left.
    pub rights: [i32; QUAD],
    /// Bits to shift to the left; 0 if it goes to the right.
    pub lefts: [i32; QUAD],
    /// Whether any goes to the left.
    pub has_left: bool,
}

/// 32-bit integers of [`Lane::LANES`] events. Pointers are aligned to their size.
pub(crate) trait Lane: PairLane<Pairs = Self::Proof> {
    /// Owning one proves that the processor has the instructions.
    type Proof: Copy;
    /// Events.
    const LANES: usize;
    /// How many of these go through a network together, 2 or 4: registers hold their sums for
    /// four outputs.
    const VECTORS: usize;
    /// How code 0 is stored: 128 if codes are signed, less 128. A dot product is smaller then by
    /// 128 times the sum of the weights.
    const ZERO: u8 = 0;

    /// The same integer for all.
    fn splat(proof: Self::Proof, x: i32) -> Self;
    /// # Safety
    /// `LANES` integers can be read there.
    unsafe fn load(proof: Self::Proof, from: *const i32) -> Self;
    /// # Safety
    /// `LANES` integers can be written there.
    unsafe fn store(self, to: *mut i32);
    /// Says that the `2 * LANES` integers of 16 bits there will soon be read, if they exist.
    fn prefetch(proof: Self::Proof, at: *const i16);
    /// Quads of codes of `2 * LANES` events, in an order that [`Lane::in_order`] undoes.
    ///
    /// # Safety
    /// Each pointer is aligned to `4 * LANES` bytes, and so many can be read there.
    unsafe fn codes(
        proof: Self::Proof,
        columns: [*const i16; QUAD],
        scales: &CodeScales,
    ) -> [Self; 2];
    /// Integers of events that lie as [`Lane::codes`] puts them, in their own order.
    fn in_order(pair: [Self; 2]) -> [Self; 2];
    /// `self - other`; nothing here overflows.
    fn sub(self, other: Self) -> Self;
    /// `self << bits`
    fn shift_left(self, bits: u32) -> Self;
    /// `self >> bits`, rounding down.
    fn shift_right(self, bits: u32) -> Self;
    /// Adds the products of four codes and four weights.
    fn dot(self, codes: Self, weights: i32) -> Self;
    /// Quads of four integers, each clamped to 0…255.
    fn quad(integers: [Self; QUAD]) -> Self;
    /// The code at `bits` bits of a quad.
    fn code(self, bits: u32) -> Self;
    /// Adds the square of `min(|x|, limit)`, `limit` below 2^15.
    fn add_square(self, x: Self, limit: Self) -> Self;
}

/// Integers for every processor.
#[derive(Clone, Copy)]
pub(crate) struct PortableLane(pub(super) [i32; 16]);

impl PortableLane {
    #[inline(always)]
    pub(super) fn zip(self, other: Self, f: impl Fn(i32, i32) -> i32) -> Self {
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
    const VECTORS: usize = 2;

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
    fn prefetch(_: Self::Proof, _: *const i16) {}
    #[inline(always)]
    unsafe fn codes(_: Self::Proof, columns: [*const i16; QUAD], scales: &CodeScales) -> [Self; 2] {
        let mut quads = [0; 32];
        for (k, column) in columns.into_iter().enumerate() {
            // SAFETY: the caller guarantees 32 integers.
            let column = unsafe { column.cast::<[i16; 32]>().read() };
            let (offset, limit) = (scales.offsets[k] as i16, scales.limits[k] as u16);
            for (quad, x) in quads.iter_mut().zip(column) {
                let difference = x.max(offset).wrapping_sub(offset).cast_unsigned().min(limit);
                let code =
                    (difference >> (scales.rights[k] as u16) << (scales.lefts[k] as u16)).min(255);
                *quad |= i32::from(code) << (8 * k);
            }
        }
        let (low, high) = quads.split_at(16);
        [low, high].map(|half| PortableLane(std::array::from_fn(|k| half[k])))
    }
    #[inline(always)]
    fn in_order(pair: [Self; 2]) -> [Self; 2] {
        pair
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
    fn quad(integers: [Self; QUAD]) -> Self {
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
