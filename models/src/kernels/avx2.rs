//! Words of 256 crossings with the instructions of AVX2, and what AVX-512 shares with it.

use std::arch::x86_64::*;

use super::word::{Pair, Word};

/// Owning one proves that the processor has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The proof, if the processor has the instructions.
    #[must_use]
    pub fn detect() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

/// Owning one proves that the processor has VNNI for vectors of 256 bits, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvxVnni(());

impl AvxVnni {
    /// The proof, if the processor has the instructions.
    #[must_use]
    pub fn detect(_: Avx2) -> Option<AvxVnni> {
        is_x86_feature_detected!("avxvnni").then_some(AvxVnni(()))
    }
}

/// 256 crossings.
#[derive(Clone, Copy)]
pub(crate) struct Bits256(__m256i);

/// 512 crossings.
pub(crate) type Bits512 = Pair<Bits256>;

impl Word for Bits256 {
    type Proof = Avx2;
    const LANES: usize = 256;

    #[inline(always)]
    fn splat(_: Avx2, byte: u8) -> Self {
        // SAFETY: the proof.
        Bits256(unsafe { _mm256_set1_epi8(byte as i8) })
    }
    #[inline(always)]
    unsafe fn load(_: Avx2, from: *const u64) -> Self {
        // SAFETY: the proof; the caller guarantees an aligned word.
        Bits256(unsafe { _mm256_load_si256(from.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u64) {
        // SAFETY: the word is the proof; the caller guarantees aligned room.
        unsafe { _mm256_store_si256(to.cast(), self.0) }
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: the word is the proof.
        Bits256(unsafe { _mm256_and_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        // SAFETY: the word is the proof. The instruction negates its first operand.
        Bits256(unsafe { _mm256_andnot_si256(other.0, self.0) })
    }
    #[inline(always)]
    fn not(self) -> Self {
        // SAFETY: the word is the proof.
        self.xor(Bits256(unsafe { _mm256_set1_epi8(-1) }))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: the word is the proof.
        Bits256(unsafe { _mm256_or_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: the word is the proof.
        Bits256(unsafe { _mm256_xor_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        // SAFETY: the word is the proof.
        Bits256(unsafe { shift_left_256::<BITS>(self.0) })
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        // SAFETY: the word is the proof.
        Bits256(unsafe { shift_right_256::<BITS>(self.0) })
    }
    #[inline(always)]
    fn prefetch(soon: &i16) {
        // SAFETY: a hint, without an effect but on caches; every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast()) }
    }
    #[inline(always)]
    fn prefetch_to_write(soon: *mut u64) {
        prefetch_to_write(soon);
    }
    #[inline(always)]
    unsafe fn narrow(_: Avx2, from: *const i16, offset: i16) -> Self {
        // SAFETY: the proof; the caller guarantees the integers.
        Bits256(unsafe { narrow_256(from, offset) })
    }
    #[inline(always)]
    unsafe fn put_bytes(self, to: *mut u8) {
        // SAFETY: the word is the proof; the caller guarantees the room.
        unsafe { put_bytes_256(to, self.0) }
    }
}

/// As prefetching, but for the line alone to have: stores need not ask again.
#[inline(always)]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "a hint reads and writes nothing")]
pub(super) fn prefetch_to_write(soon: *mut u64) {
    // SAFETY: a hint, without an effect but on caches; processors that lack it do nothing. Without
    // a promise that there are such processors, LLVM would ask for reading.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) soon, options(nomem, nostack, preserves_flags));
    }
}

// The instruction takes the number of bits as a constant of another type than AVX-512's.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shift_left_256<const BITS: u32>(word: __m256i) -> __m256i {
    const { assert!(BITS == 1 || BITS == 2 || BITS == 4) };
    match BITS {
        1 => _mm256_slli_epi16::<1>(word),
        2 => _mm256_slli_epi16::<2>(word),
        _ => _mm256_slli_epi16::<4>(word),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shift_right_256<const BITS: u32>(word: __m256i) -> __m256i {
    const { assert!(BITS == 1 || BITS == 2 || BITS == 4) };
    match BITS {
        1 => _mm256_srli_epi16::<1>(word),
        2 => _mm256_srli_epi16::<2>(word),
        _ => _mm256_srli_epi16::<4>(word),
    }
}

/// # Safety
/// 32 integers can be read there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn narrow_256(from: *const i16, offset: i16) -> __m256i {
    let offset = _mm256_set1_epi16(offset);
    // SAFETY: the caller guarantees 32 integers.
    let low = unsafe { _mm256_loadu_si256(from.cast()) };
    // SAFETY: the second half of them.
    let high = unsafe { _mm256_loadu_si256(from.wrapping_add(16).cast()) };
    // Saturating: what passes the ends of 16 bits passes those of the byte, too.
    _mm256_packus_epi16(_mm256_subs_epi16(low, offset), _mm256_subs_epi16(high, offset))
}

/// # Safety
/// 32 bytes can be written there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn put_bytes_256(to: *mut u8, bytes: __m256i) {
    // Packing interleaves the two sources by 16 bytes; this undoes it.
    let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
    // SAFETY: the caller guarantees 32 bytes.
    unsafe { _mm256_storeu_si256(to.cast(), bytes) }
}
