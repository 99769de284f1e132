//! Forms in which the codes of a column can be stored, and what they take.

use super::{PACKED, PLANES, ZSTD_PLANES};
use crate::format::block::Compression;
use crate::format::pack::Packing;

/// A form in which codes can be stored.
pub(super) struct Form {
    pub(super) layout: Layout,
    /// Bytes of codes and exceptions; long gaps are not counted.
    pub(super) bytes: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Layout {
    Packed(Packing),
    Dictionary(Packing),
    /// So many planes.
    Planes(usize),
    ZstdPlanes(usize),
}

impl Form {
    pub(super) fn encoding(&self) -> u8 {
        match self.layout {
            Layout::Packed(_) | Layout::Dictionary(_) => PACKED,
            Layout::Planes(_) => PLANES,
            Layout::ZstdPlanes(_) => ZSTD_PLANES,
        }
    }

    pub(super) fn width(&self) -> usize {
        match self.layout {
            Layout::Packed(packing) | Layout::Dictionary(packing) => packing.width(),
            Layout::Planes(n_planes) | Layout::ZstdPlanes(n_planes) => n_planes,
        }
    }

    pub(super) fn radix(&self) -> Option<u16> {
        match self.layout {
            Layout::Packed(packing) | Layout::Dictionary(packing) => packing.radix(),
            _ => None,
        }
    }

    /// The largest code that it can hold: entries whose codes are larger are exceptions.
    pub(super) fn code_max(&self) -> u64 {
        let bits = match self.layout {
            // Pairs are of codes that all are below the radix.
            Layout::Dictionary(_) => 64,
            Layout::Packed(packing) if packing.radix().is_some() => 64,
            Layout::Packed(packing) => packing.width(),
            Layout::Planes(n_planes) | Layout::ZstdPlanes(n_planes) => 8 * n_planes,
        };
        1_u64.checked_shl(bits as u32).map_or(u64::MAX, |beyond| beyond - 1)
    }
}

/// What codes would take in different forms.
pub(super) struct Sizes {
    /// How many codes there are.
    pub(super) n: usize,
    /// Bytes of an entry.
    pub(super) entry_bytes: usize,
    pub(super) code_max: u64,
    /// How many codes have more than so many bits.
    pub(super) n_of_more_bits: [usize; 65],
    pub(super) compression: Compression,
}

impl Sizes {
    /// Bytes of the exceptions from codes of so many bits.
    pub(super) fn exception_bytes(&self, bits: usize) -> usize {
        let exception = 1 + self.entry_bytes + self.compression.bytes_for_an_exception();
        self.n_of_more_bits[bits] * exception
    }

    pub(super) fn smallest_packed(&self) -> Form {
        let singles = (0..=8 * self.entry_bytes).map_while(Packing::singles).map(|packing| Form {
            layout: Layout::Packed(packing),
            bytes: packing.bytes(self.n) + self.exception_bytes(packing.width()),
        });
        let pairs = Packing::pairs_of_codes_up_to(self.code_max)
            .map(|packing| Form { layout: Layout::Packed(packing), bytes: packing.bytes(self.n) });
        singles.chain(pairs).min_by_key(|form| form.bytes).expect("width 0 is possible")
    }

    pub(super) fn smallest_planes(&self) -> Form {
        let planes = (0..=self.entry_bytes).map(|n_planes| Form {
            layout: Layout::Planes(n_planes),
            bytes: self.n * n_planes + self.exception_bytes(8 * n_planes),
        });
        planes.min_by_key(|form| form.bytes).expect("width 0 is possible")
    }

    pub(super) fn smallest_of_dictionary(&self, n_entries: usize) -> Option<Form> {
        let place_max = n_entries.checked_sub(1)? as u64;
        let singles = Packing::singles((64 - place_max.leading_zeros()) as usize);
        let forms = singles.into_iter().chain(Packing::pairs_of_codes_up_to(place_max));
        let forms = forms.map(|packing| Form {
            layout: Layout::Dictionary(packing),
            bytes: packing.bytes(self.n) + 1 + n_entries * self.entry_bytes,
        });
        forms.min_by_key(|form| form.bytes)
    }
}
