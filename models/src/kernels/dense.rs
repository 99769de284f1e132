//! Tops of trees, evaluated node by node for 32 events at once.
//!
//! Every node compares all events and chooses, event by event, between the codes that its two
//! children left in memory, two of its own kind or constants; children come before parents, and
//! the root comes last. No gather, no branch; what is needed are registers of 16-bit integers
//! and, for sums of two products, the instruction that multiplies and adds pairs of them.
//!
//! Processors without such vectors walk from the root: [`is_available`].

#![cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, unused_imports, unused_variables, reason = "other processors have no tops")
)]

use super::interleaved::{LINE, MAX_CODES, TopNode};
use super::isa::Isa;

/// Whether tops of trees can be evaluated with these instructions.
pub(crate) fn is_available(isa: Isa) -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(isa, Isa::Avx2(_) | Isa::Avx512(_));
    #[cfg(not(target_arch = "x86_64"))]
    return {
        let _ = isa;
        false
    };
}

/// The top of a tree and 32 events. All from a checked program: places and lines are inside of
/// the tile and the lines, codes below the number of exits.
pub(super) struct Top<'a> {
    pub(super) nodes: &'a [TopNode],
    /// From the first of the events on.
    pub(super) tile: &'a [i16],
    pub(super) lines: &'a mut [i16],
    pub(super) exits: &'a [u32],
}

/// Replaces what each event has by the exit that it takes. **Panics** without instructions that
/// are [available](is_available).
pub(super) fn enter(isa: Isa, top: Top<'_>, is_axis: bool, at: &mut [u32; LINE]) {
    match (isa, is_axis) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the proof in the instruction set; a checked program.
        (Isa::Avx512(_), true) => unsafe { x86::enter_axis_512(top, at) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise.
        (Isa::Avx512(_), false) => unsafe { x86::enter_pair_512(top, at) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise.
        (Isa::Avx2(_), true) => unsafe { x86::enter_axis_256(top, at) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise.
        (Isa::Avx2(_), false) => unsafe { x86::enter_pair_256(top, at) },
        _ => unreachable!("no program has tops for {}", isa.name()),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LINE, MAX_CODES, Top, TopNode};

    /// Features, and lines of codes, by what a node calls them.
    #[derive(Clone, Copy)]
    struct Memory {
        tile: *const i16,
        lines: *mut i16,
    }

    impl Memory {
        fn of(top: &mut Top<'_>) -> Memory {
            Memory { tile: top.tile.as_ptr(), lines: top.lines.as_mut_ptr() }
        }
        #[inline(always)]
        fn feature(self, node: &TopNode, k: usize) -> *const i16 {
            self.tile.wrapping_add(usize::from(node.places[k]))
        }
        #[inline(always)]
        fn child(self, node: &TopNode, k: usize) -> *const i16 {
            self.lines.wrapping_add(usize::from(node.lines[k]) * LINE)
        }
        /// The line that the k-th node of the tree writes.
        #[inline(always)]
        fn result(self, k: usize) -> *mut i16 {
            self.lines.wrapping_add((MAX_CODES + k) * LINE)
        }
    }

    /// Two weights as one integer.
    #[inline(always)]
    fn weights(node: &TopNode) -> i32 {
        let [a, b] = node.weights.map(i16::cast_unsigned);
        (u32::from(a) | u32::from(b) << 16).cast_signed()
    }

    /// # Safety
    /// 32 integers can be read there.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_512(from: *const i16) -> __m512i {
        // SAFETY: the caller guarantees 32 integers.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    /// Writes the codes of a node.
    ///
    /// # Safety
    /// The node, and that it is the k-th, are those of a checked program with this memory.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn choose_512(memory: Memory, node: &TopNode, k: usize, is_right: __mmask32) {
        // SAFETY: a checked line.
        let left = unsafe { load_512(memory.child(node, 0)) };
        // SAFETY: a checked line.
        let right = unsafe { load_512(memory.child(node, 1)) };
        let codes = _mm512_mask_blend_epi16(is_right, left, right);
        // SAFETY: there is a line for every node.
        unsafe { _mm512_storeu_si512(memory.result(k).cast(), codes) };
    }

    /// Replaces what the events have by what their codes stand for.
    ///
    /// # Safety
    /// The codes are below the number of exits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn exit_512(codes: __m512i, exits: &[u32], at: &mut [u32; LINE]) {
        let low = _mm512_castsi512_si256(codes);
        let high = _mm512_extracti64x4_epi64::<1>(codes);
        for (codes, at) in [low, high].into_iter().zip(at.as_chunks_mut::<16>().0) {
            let codes = _mm512_cvtepu16_epi32(codes);
            // SAFETY: the caller guarantees the codes.
            let exits = unsafe { _mm512_i32gather_epi32::<4>(codes, exits.as_ptr().cast()) };
            // SAFETY: room for 16 integers.
            unsafe { _mm512_storeu_si512(at.as_mut_ptr().cast(), exits) };
        }
    }

    /// # Safety
    /// The top is that of a checked program, and its last node gives codes of its exits.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) unsafe fn enter_axis_512(mut top: Top<'_>, at: &mut [u32; LINE]) {
        let memory = Memory::of(&mut top);
        for (k, node) in top.nodes.iter().enumerate() {
            // SAFETY: a checked place.
            let x = unsafe { load_512(memory.feature(node, 0)) };
            let is_right = _mm512_cmpgt_epi16_mask(x, _mm512_set1_epi32(node.threshold));
            // SAFETY: a node of a checked program.
            unsafe { choose_512(memory, node, k, is_right) };
        }
        // SAFETY: the line of the last node.
        let codes = unsafe { load_512(memory.result(top.nodes.len() - 1)) };
        // SAFETY: codes of the tree.
        unsafe { exit_512(codes, top.exits, at) };
    }

    /// # Safety
    /// The top is that of a checked program, and its last node gives codes of its exits.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) unsafe fn enter_pair_512(mut top: Top<'_>, at: &mut [u32; LINE]) {
        let memory = Memory::of(&mut top);
        for (k, node) in top.nodes.iter().enumerate() {
            // SAFETY: a checked place.
            let a = unsafe { load_512(memory.feature(node, 0)) };
            // SAFETY: a checked place.
            let b = unsafe { load_512(memory.feature(node, 1)) };
            let weights = _mm512_set1_epi32(weights(node));
            let threshold = _mm512_set1_epi32(node.threshold);
            let low = _mm512_madd_epi16(_mm512_unpacklo_epi16(a, b), weights);
            let high = _mm512_madd_epi16(_mm512_unpackhi_epi16(a, b), weights);
            let low = _mm512_cmpgt_epi32_mask(low, threshold);
            let high = _mm512_cmpgt_epi32_mask(high, threshold);
            let is_right = _mm512_kunpackw(high.into(), low.into());
            // SAFETY: a node of a checked program.
            unsafe { choose_512(memory, node, k, is_right) };
        }
        // SAFETY: the line of the last node.
        let codes = unsafe { load_512(memory.result(top.nodes.len() - 1)) };
        // Unpacking took the events four by four: low halves of 128 bits first, then high ones.
        let order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
        let codes = _mm512_permutexvar_epi64(order, codes);
        // SAFETY: codes of the tree.
        unsafe { exit_512(codes, top.exits, at) };
    }

    /// # Safety
    /// 16 integers can be read there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_256(from: *const i16) -> __m256i {
        // SAFETY: the caller guarantees 16 integers.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    /// Writes codes of a node, from the lane `first` on.
    ///
    /// # Safety
    /// As [`choose_512`]; the lane is 0 or 16.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn choose_256(memory: Memory, node: &TopNode, k: usize, first: usize, right: __m256i) {
        // SAFETY: half of a checked line.
        let if_left = unsafe { load_256(memory.child(node, 0).wrapping_add(first)) };
        // SAFETY: half of a checked line.
        let if_right = unsafe { load_256(memory.child(node, 1).wrapping_add(first)) };
        let codes = _mm256_blendv_epi8(if_left, if_right, right);
        let to = memory.result(k).wrapping_add(first);
        // SAFETY: half of the line that there is for every node.
        unsafe { _mm256_storeu_si256(to.cast(), codes) };
    }

    fn exit(top: &Top<'_>, at: &mut [u32; LINE]) {
        let codes = &top.lines[(MAX_CODES + top.nodes.len() - 1) * LINE..][..LINE];
        for (at, &code) in at.iter_mut().zip(codes) {
            *at = top.exits[usize::from(code.cast_unsigned())];
        }
    }

    /// # Safety
    /// The top is that of a checked program.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn enter_axis_256(mut top: Top<'_>, at: &mut [u32; LINE]) {
        let memory = Memory::of(&mut top);
        for (k, node) in top.nodes.iter().enumerate() {
            let threshold = _mm256_set1_epi32(node.threshold);
            for first in [0, 16] {
                // SAFETY: half of what is at a checked place.
                let x = unsafe { load_256(memory.feature(node, 0).wrapping_add(first)) };
                let is_right = _mm256_cmpgt_epi16(x, threshold);
                // SAFETY: a node of a checked program.
                unsafe { choose_256(memory, node, k, first, is_right) };
            }
        }
        exit(&top, at);
    }

    /// # Safety
    /// The top is that of a checked program.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn enter_pair_256(mut top: Top<'_>, at: &mut [u32; LINE]) {
        let memory = Memory::of(&mut top);
        for (k, node) in top.nodes.iter().enumerate() {
            let weights = _mm256_set1_epi32(weights(node));
            let threshold = _mm256_set1_epi32(node.threshold);
            for first in [0, 16] {
                // SAFETY: half of what is at a checked place.
                let a = unsafe { load_256(memory.feature(node, 0).wrapping_add(first)) };
                // SAFETY: half of what is at a checked place.
                let b = unsafe { load_256(memory.feature(node, 1).wrapping_add(first)) };
                let low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights);
                let high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights);
                let low = _mm256_cmpgt_epi32(low, threshold);
                let high = _mm256_cmpgt_epi32(high, threshold);
                // Packing puts the events back where they were before they were unpacked.
                let is_right = _mm256_packs_epi32(low, high);
                // SAFETY: a node of a checked program.
                unsafe { choose_256(memory, node, k, first, is_right) };
            }
        }
        exit(&top, at);
    }
}
