//! From bytes to entries: at the speed of memory, wherever zstd is not in it.
//!
//! Loops are written so that they vectorise. Bytes may hold anything: what does not make sense is
//! an error, and no length is believed beyond what is there.

use bytemuck::Pod;

use super::{
    BASE, DICTIONARY, DICTIONARY_MAX, DIFFERENCES, EXCEPTIONS, LONG_GAP, PACKED, PAIRS, PLANES,
    RUNS, STRIDE, ZSTD_PLANES, read_word,
};
use crate::event::{Dtype, Entries};
use crate::format::pack::Packing;

/// A column as it stands in a frame.
#[derive(Clone, Copy, Debug)]
pub(in crate::format) struct EncodedColumn<'a> {
    layout: Layout,
    is_differences: bool,
    base: u64,
    stride: u64,
    /// Its entries; empty if there is none.
    dictionary: &'a [u8],
    codes: &'a [u8],
    exceptions: &'a [u8],
}

/// How codes are stored.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// With this step from entry to entry.
    Runs(u8),
    Packed(Packing),
    /// So many.
    Planes(usize),
    ZstdPlanes(usize),
}

impl<'a> EncodedColumn<'a> {
    /// Splits the first column, of `n` entries, off a frame. What it says of itself makes sense
    /// then; what its codes hold is not looked at.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub(in crate::format) fn split_off(
        frame: &mut &'a [u8],
        dtype: Dtype,
        n: usize,
    ) -> Result<EncodedColumn<'a>, String> {
        let size = dtype.size();
        let mut take = |n: usize| {
            let (bytes, rest) = frame.split_at_checked(n).ok_or("it is cut short")?;
            *frame = rest;
            Ok::<&[u8], String>(bytes)
        };
        let &[encoding, width, flags] = take(3)?.first_chunk().expect("three bytes");
        let flags_known = match encoding {
            RUNS => 0,
            PACKED if flags & DICTIONARY != 0 => DIFFERENCES | EXCEPTIONS | PAIRS | DICTIONARY,
            PACKED => DIFFERENCES | BASE | STRIDE | EXCEPTIONS | PAIRS,
            _ => DIFFERENCES | BASE | STRIDE | EXCEPTIONS,
        };
        if flags & !flags_known != 0 {
            return Err(format!("flags {flags:#04x} are not known in encoding {encoding}"));
        }
        let mut take_if = |bit: u8, n: usize, otherwise: u64| match flags & bit {
            0 => Ok::<u64, String>(otherwise),
            _ => Ok(read_word(take(n)?)),
        };
        let base = take_if(BASE, size, 0)?;
        let stride = take_if(STRIDE, size, 1)?;
        let radix = take_if(PAIRS, 2, 0)? as u16;
        let layout = Layout::new(encoding, width, (flags & PAIRS != 0).then_some(radix), size)?;
        let dictionary = match flags & DICTIONARY {
            0 => &[],
            _ => {
                let n_beyond_first = usize::from(take(1)?[0]);
                take((1 + n_beyond_first) * size)?
            }
        };
        let code_bytes = match layout {
            Layout::Packed(packing) => packing.bytes(n),
            Layout::Planes(n_planes) => n * n_planes,
            Layout::Runs(_) | Layout::ZstdPlanes(_) => read_word(take(4)?) as usize,
        };
        let exception_bytes = match flags & EXCEPTIONS {
            0 => 0,
            _ => read_word(take(4)?) as usize,
        };
        Ok(EncodedColumn {
            layout,
            is_differences: flags & DIFFERENCES != 0,
            base,
            stride,
            dictionary,
            codes: take(code_bytes)?,
            exceptions: take(exception_bytes)?,
        })
    }
}

impl Layout {
    /// `radix` is that of pairs, `size` the bytes of an entry.
    fn new(encoding: u8, width: u8, radix: Option<u16>, size: usize) -> Result<Layout, String> {
        let n = usize::from(width);
        let layout = match (encoding, radix) {
            (RUNS, _) => (width <= 1).then_some(Layout::Runs(width)),
            (PACKED, Some(radix)) => Packing::pairs(n, radix).map(Layout::Packed),
            (PACKED, None) if n <= 8 * size => Packing::singles(n).map(Layout::Packed),
            (PACKED, None) => None,
            (PLANES, _) => (n <= size).then_some(Layout::Planes(n)),
            (ZSTD_PLANES, _) => (n <= size).then_some(Layout::ZstdPlanes(n)),
            _ => return Err(format!("encoding {encoding} is not known")),
        };
        layout.ok_or_else(|| {
            let radix = radix.map_or(String::new(), |radix| format!(" and radix {radix}"));
            format!("encoding {encoding} of width {width}{radix} cannot be")
        })
    }
}

/// Turns encoded columns into entries. Reuses its buffer.
pub(in crate::format) struct ColumnDecoder {
    decompressor: zstd::bulk::Decompressor<'static>,
    planes: Vec<u8>,
}

impl ColumnDecoder {
    pub(in crate::format) fn new() -> std::io::Result<ColumnDecoder> {
        Ok(ColumnDecoder { decompressor: zstd::bulk::Decompressor::new()?, planes: Vec::new() })
    }

    /// Makes `entries` the `n` entries of a column that was split off with that `n`.
    ///
    /// **Real-time**: allocates nothing once its buffer and the entries have grown.
    ///
    /// # Errors
    /// What was expected and what was found; `entries` hold anything then.
    pub(in crate::format) fn decode(
        &mut self,
        column: &EncodedColumn<'_>,
        n: usize,
        entries: &mut Entries,
    ) -> Result<(), String> {
        use bytemuck::must_cast_slice_mut as cast;
        // Stale entries stay: all are overwritten, or the column is refused.
        entries.resize(n);
        let planes = match column.layout {
            Layout::ZstdPlanes(n_planes) => self.decompress(column.codes, n * n_planes)?,
            _ => column.codes,
        };
        match entries {
            Entries::U8(to) => decode_words::<u8>(column, planes, to),
            Entries::I16(to) => decode_i16(column, planes, cast(to)),
            Entries::U32(to) => decode_words::<u32>(column, planes, to),
            Entries::I32(to) => decode_words::<u32>(column, planes, cast(to)),
            Entries::F32(to) => decode_words::<u32>(column, planes, cast(to)),
            Entries::U64(to) => decode_words::<u64>(column, planes, to),
            Entries::I64(to) => decode_words::<u64>(column, planes, cast(to)),
            Entries::F64(to) => decode_words::<u64>(column, planes, cast(to)),
        }
    }

    fn decompress(&mut self, frame: &[u8], bytes: usize) -> Result<&[u8], String> {
        if self.planes.len() < bytes {
            self.planes.resize(bytes, 0);
        }
        let planes = &mut self.planes[..bytes];
        let found = self.decompressor.decompress_to_buffer(frame, planes);
        match found {
            Ok(found) if found == bytes => Ok(&self.planes[..bytes]),
            Ok(found) => Err(format!("expected {bytes} bytes in planes, found {found}")),
            Err(error) => Err(format!("zstd: {error}")),
        }
    }
}

/// The common case: nothing is written twice.
fn decode_i16(column: &EncodedColumn<'_>, planes: &[u8], to: &mut [u16]) -> Result<(), String> {
    match column.layout {
        Layout::Packed(packing) if column.dictionary.is_empty() => {
            packing.unpack(column.codes, column.base as u16, column.stride as u16, to);
            finish(column, to)
        }
        _ => decode_words(column, planes, to),
    }
}

fn decode_words<T: Word>(
    column: &EncodedColumn<'_>,
    planes: &[u8],
    to: &mut [T],
) -> Result<(), String> {
    let (base, stride) = (T::from_u64(column.base), T::from_u64(column.stride));
    match column.layout {
        Layout::Runs(step) => return fill_runs(column.codes, step, to),
        Layout::Packed(packing) if !column.dictionary.is_empty() => {
            let mut entries = [T::from_u64(0); DICTIONARY_MAX];
            let dictionary = column.dictionary.chunks_exact(T::BYTES);
            entries.iter_mut().zip(dictionary).for_each(|(to, x)| *to = T::from_u64(read_word(x)));
            let entry_of = |code: u16| entries[usize::from(code as u8)];
            packing.unpack_with(column.codes, 0, 1, to, entry_of);
        }
        // Bytes are the low halves of what comes out.
        Layout::Packed(packing) if T::BYTES == 1 => {
            let (base, stride) = (column.base as u16, column.stride as u16);
            packing.unpack_with(column.codes, base, stride, to, T::from_u16);
        }
        Layout::Packed(packing) => packing.unpack_with(column.codes, 0, 1, to, |code| {
            base.wrapping_add(stride.wrapping_mul(T::from_u16(code)))
        }),
        Layout::Planes(0) | Layout::ZstdPlanes(0) => to.fill(base),
        Layout::Planes(n_planes) | Layout::ZstdPlanes(n_planes) => {
            join_planes(planes, n_planes, base, stride, to);
        }
    }
    finish(column, to)
}

/// Plane by plane, so that it vectorises.
fn join_planes<T: Word>(planes: &[u8], n_planes: usize, base: T, stride: T, to: &mut [T]) {
    let (first, rest) = planes.split_at(to.len());
    let entry_of = |code: T| base.wrapping_add(stride.wrapping_mul(code));
    if n_planes == 1 {
        to.iter_mut().zip(first).for_each(|(to, &byte)| *to = entry_of(T::from_u16(byte.into())));
        return;
    }
    to.iter_mut().zip(first).for_each(|(to, &byte)| *to = T::from_u16(byte.into()));
    for plane in 1..n_planes {
        let bytes = &rest[(plane - 1) * to.len()..][..to.len()];
        to.iter_mut().zip(bytes).for_each(|(to, &byte)| *to = to.or_byte(byte, plane));
    }
    to.iter_mut().for_each(|to| *to = entry_of(*to));
}

fn fill_runs<T: Word>(codes: &[u8], step: u8, to: &mut [T]) -> Result<(), String> {
    let (n, mut filled) = (to.len(), 0);
    let records = codes.chunks_exact(2 + T::BYTES);
    let is_cut = !records.remainder().is_empty();
    for record in records {
        let len = 1 + read_word(&record[..2]) as usize;
        let Some(run) = to.get_mut(filled..filled + len) else {
            return Err(format!("expected runs of {n} entries, found more"));
        };
        let first = T::from_u64(read_word(&record[2..]));
        match step {
            0 => run.fill(first),
            _ => {
                for (i, to) in run.iter_mut().enumerate() {
                    // A run is not longer than 2^16.
                    *to = first.wrapping_add(T::from_u16(i as u16));
                }
            }
        }
        filled += len;
    }
    match filled == n && !is_cut {
        true => Ok(()),
        false => Err(format!("expected runs of {n} entries, found {filled}")),
    }
}

/// What is left once all codes have become entries.
fn finish<T: Word>(column: &EncodedColumn<'_>, to: &mut [T]) -> Result<(), String> {
    put_exceptions(column.exceptions, to)?;
    if column.is_differences {
        let mut sum = T::from_u64(0);
        for to in to {
            sum = sum.wrapping_add(*to);
            *to = sum;
        }
    }
    Ok(())
}

fn put_exceptions<T: Word>(mut exceptions: &[u8], to: &mut [T]) -> Result<(), String> {
    let mut at = 0;
    while let Some((&gap, rest)) = exceptions.split_first() {
        at += usize::from(gap);
        exceptions = rest;
        if gap == LONG_GAP {
            continue;
        }
        let n = to.len();
        let (Some((entry, rest)), Some(to)) =
            (exceptions.split_at_checked(T::BYTES), to.get_mut(at))
        else {
            return Err(format!("an exception is cut short or beyond the last of {n} entries"));
        };
        *to = T::from_u64(read_word(entry));
        exceptions = rest;
        at += 1;
    }
    Ok(())
}

/// An entry, as an unsigned integer.
trait Word: Pod {
    const BYTES: usize = size_of::<Self>();

    fn from_u64(value: u64) -> Self;
    fn from_u16(value: u16) -> Self;
    fn wrapping_add(self, other: Self) -> Self;
    fn wrapping_mul(self, other: Self) -> Self;
    /// With another byte of it.
    fn or_byte(self, byte: u8, plane: usize) -> Self;
}

macro_rules! word {
    ($($int:ty),*) => {$(
        impl Word for $int {
            fn from_u64(value: u64) -> $int {
                value as $int
            }
            fn from_u16(value: u16) -> $int {
                value as $int
            }
            fn wrapping_add(self, other: $int) -> $int {
                self.wrapping_add(other)
            }
            fn wrapping_mul(self, other: $int) -> $int {
                self.wrapping_mul(other)
            }
            fn or_byte(self, byte: u8, plane: usize) -> $int {
                self | <$int>::from(byte) << (8 * plane)
            }
        }
    )*};
}
word!(u8, u16, u32, u64);
