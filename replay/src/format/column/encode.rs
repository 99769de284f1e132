//! From entries to the smallest form of a column.
//!
//! What is done with every entry is done in its own type, by the loops of `lane.rs`. What follows from
//! counts of codes (`form.rs`) is done once for each column.

use super::form::{Form, Layout, Sizes};
use super::lane::{
    Lane, common_stride, differences, fewest_runs, largest, least, n_of_more_bits, runs,
};
use super::{
    BASE, DICTIONARY, DICTIONARY_MAX, DIFFERENCES, EXCEPTIONS, LONG_GAP, PAIRS, RUNS, STRIDE,
};
use crate::event::{Column, Dtype, Entries};
use crate::format::block::Compression;

/// Bytes of a column of runs before them.
const RUNS_HEAD_BYTES: usize = 7;
/// Average length of runs from which on a column is made of runs whatever else would be smaller.
const RUN_SHORTEST: usize = 16;
/// Codes that are searched for exceptions together.
const SEARCHED: usize = 128;

/// Columns that rise from crossing to crossing.
fn is_rising(column: Column) -> bool {
    matches!(
        column,
        Column::Orbit
            | Column::Bx
            | Column::Event
            | Column::Time
            | Column::Order
            | Column::TruthEvent
    )
}

/// Turns columns into bytes. Reuses its buffers.
pub(in crate::format) struct ColumnEncoder {
    common: Common,
    of_8_bits: Lanes<u8>,
    of_16_bits: Lanes<u16>,
    of_32_bits: Lanes<u32>,
    of_64_bits: Lanes<u64>,
}

/// Buffers for entries of one width.
#[derive(Default)]
struct Lanes<T> {
    /// Differences of entries, where those are coded.
    differences: Vec<T>,
    codes: Vec<T>,
}

/// What entries of all widths share.
struct Common {
    compressor: zstd::bulk::Compressor<'static>,
    compression: Compression,
    /// Every value there is, once, in order; empty if there are too many.
    dictionary: Vec<u64>,
    planes: Vec<u8>,
    frame: Vec<u8>,
    /// Codes that are to be packed.
    small: Vec<u16>,
    exceptions: Vec<u8>,
}

/// How codes make values.
struct Scale {
    base: u64,
    stride: u64,
}

impl ColumnEncoder {
    pub(in crate::format) fn new(compression: Compression) -> std::io::Result<ColumnEncoder> {
        let mut compressor = zstd::bulk::Compressor::new(compression.level())?;
        if compression == Compression::Small {
            // Matches in numbers like these are chance, and take longer than their Huffman codes.
            compressor.set_parameter(zstd::zstd_safe::CParameter::MinMatch(7))?;
            compressor.set_parameter(zstd::zstd_safe::CParameter::HashLog(6))?;
        }
        let common = Common {
            compressor,
            compression,
            dictionary: Vec::new(),
            planes: Vec::new(),
            frame: Vec::new(),
            small: Vec::new(),
            exceptions: Vec::new(),
        };
        Ok(ColumnEncoder {
            common,
            of_8_bits: Lanes::default(),
            of_16_bits: Lanes::default(),
            of_32_bits: Lanes::default(),
            of_64_bits: Lanes::default(),
        })
    }

    /// Appends a column.
    ///
    /// # Errors
    /// If zstd fails, which only happens when memory runs out.
    pub(in crate::format) fn append(
        &mut self,
        column: Column,
        entries: &Entries,
        to: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        use bytemuck::must_cast_slice as cast;
        let ColumnEncoder { common, of_8_bits, of_16_bits, of_32_bits, of_64_bits } = self;
        match entries {
            Entries::U8(entries) => common.append(column, entries, of_8_bits, to),
            Entries::I16(entries) => common.append(column, cast(entries), of_16_bits, to),
            Entries::U32(entries) => common.append(column, entries, of_32_bits, to),
            Entries::I32(entries) => common.append(column, cast(entries), of_32_bits, to),
            Entries::F32(entries) => common.append(column, cast(entries), of_32_bits, to),
            Entries::U64(entries) => common.append(column, entries, of_64_bits, to),
            Entries::I64(entries) => common.append(column, cast(entries), of_64_bits, to),
            Entries::F64(entries) => common.append(column, cast(entries), of_64_bits, to),
        }
    }
}

impl Common {
    fn append<T: Lane>(
        &mut self,
        column: Column,
        entries: &[T],
        lanes: &mut Lanes<T>,
        to: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let Lanes { differences: of_entries, codes } = lanes;
        let is_rising = is_rising(column);
        // Few runs, or fewer bytes than anything else takes: else it does not matter how many.
        let n_runs_max = |bytes: usize| {
            let smaller = bytes.saturating_sub(RUNS_HEAD_BYTES) / (2 + T::BYTES);
            smaller.max(entries.len() / RUN_SHORTEST)
        };
        let mut values = entries;
        let mut runs = None;
        if is_rising {
            runs = fewest_runs(entries, usize::MAX);
            differences(entries, of_entries);
            values = of_entries;
        }
        // Differences that fall are rare: exceptions, if they count as huge.
        let dtype = column.spec().dtype;
        let is_signed = matches!(dtype, Dtype::I16 | Dtype::I32 | Dtype::I64) && !is_rising;
        let scale = make_codes(values, is_signed, codes);
        let form = self.smallest_form(values, codes)?;
        // Long runs are faster than anything else but a column that needs no codes at all.
        if !is_rising {
            runs = fewest_runs(entries, n_runs_max(form.bytes));
        }
        let are_better = |n_runs: usize| {
            let are_long = n_runs * RUN_SHORTEST <= entries.len() && form.bytes > 0;
            are_long || RUNS_HEAD_BYTES + n_runs * (2 + T::BYTES) <= form.bytes
        };
        match runs.filter(|&(n_runs, _)| are_better(n_runs)) {
            Some((n_runs, step)) => append_runs(entries, n_runs, step, to),
            None => {
                let flags = if is_rising { DIFFERENCES } else { 0 };
                self.append_codes(&form, &scale, flags, values, codes, to);
            }
        }
        Ok(())
    }

    /// The form in which the column is smallest; a zstd frame is left in `self.frame`.
    fn smallest_form<T: Lane>(&mut self, values: &[T], codes: &[T]) -> std::io::Result<Form> {
        let code_max = largest(codes);
        let sizes = Sizes {
            n: codes.len(),
            entry_bytes: T::BYTES,
            code_max: code_max.wide(),
            n_of_more_bits: n_of_more_bits(codes, code_max),
            compression: self.compression,
        };
        let (packed, planes) = (sizes.smallest_packed(), sizes.smallest_planes());
        let is_packed = packed.bytes <= planes.bytes;
        let n_planes = planes.width();
        let mut smallest = if is_packed { packed } else { planes };
        if n_planes == 0 || !self.compression.looks_further(n_planes) {
            return Ok(smallest);
        }
        self.make_dictionary(values);
        let in_dictionary = sizes.smallest_of_dictionary(self.dictionary.len());
        if let Some(form) = in_dictionary.filter(|form| form.bytes < smallest.bytes) {
            smallest = form;
        }
        self.planes.clear();
        append_planes(codes, n_planes, &mut self.planes);
        self.frame.resize(zstd::zstd_safe::compress_bound(self.planes.len()), 0);
        let frame_bytes = self.compressor.compress_to_buffer(&self.planes, &mut self.frame[..])?;
        self.frame.truncate(frame_bytes);
        let bytes = frame_bytes + sizes.exception_bytes(8 * n_planes);
        let is_worth_it = self.compression.is_worth_it(bytes, self.planes.len(), smallest.bytes);
        let compressed = Form { layout: Layout::ZstdPlanes(n_planes), bytes };
        Ok(if is_worth_it { compressed } else { smallest })
    }

    fn make_dictionary<T: Lane>(&mut self, values: &[T]) {
        self.dictionary.clear();
        for value in values {
            if let Err(place) = self.dictionary.binary_search(&value.wide()) {
                if self.dictionary.len() == DICTIONARY_MAX {
                    return self.dictionary.clear();
                }
                self.dictionary.insert(place, value.wide());
            }
        }
    }

    fn append_codes<T: Lane>(
        &mut self,
        form: &Form,
        scale: &Scale,
        mut flags: u8,
        values: &[T],
        codes: &[T],
        to: &mut Vec<u8>,
    ) {
        self.exceptions.clear();
        append_exceptions(values, codes, form.code_max(), &mut self.exceptions);
        let radix = form.radix();
        let is_scaled = !matches!(form.layout, Layout::Dictionary(_));
        flags |= if is_scaled && scale.base != 0 { BASE } else { 0 };
        flags |= if is_scaled && scale.stride != 1 { STRIDE } else { 0 };
        flags |= if is_scaled { 0 } else { DICTIONARY };
        flags |= radix.map_or(0, |_| PAIRS);
        flags |= if self.exceptions.is_empty() { 0 } else { EXCEPTIONS };
        to.extend([form.encoding(), form.width() as u8, flags]);
        if flags & BASE != 0 {
            to.extend(&scale.base.to_le_bytes()[..T::BYTES]);
        }
        if flags & STRIDE != 0 {
            to.extend(&scale.stride.to_le_bytes()[..T::BYTES]);
        }
        to.extend(radix.into_iter().flat_map(u16::to_le_bytes));
        if flags & DICTIONARY != 0 {
            to.push((self.dictionary.len() - 1) as u8);
            let entries = self.dictionary.iter();
            to.extend(entries.flat_map(|entry| entry.to_le_bytes().into_iter().take(T::BYTES)));
        }
        if let Layout::ZstdPlanes(_) = form.layout {
            to.extend((self.frame.len() as u32).to_le_bytes());
        }
        if flags & EXCEPTIONS != 0 {
            to.extend((self.exceptions.len() as u32).to_le_bytes());
        }
        self.small.clear();
        match form.layout {
            Layout::Packed(packing) => {
                let code_or_0 = or_0(form.code_max());
                self.small.extend(codes.iter().map(|&code| code_or_0(code).wide() as u16));
                packing.pack(&self.small, to);
            }
            Layout::Dictionary(packing) => {
                let dictionary = &self.dictionary;
                let place = |x: &T| dictionary.binary_search(&x.wide()).expect("it is in it");
                self.small.extend(values.iter().map(|value| place(value) as u16));
                packing.pack(&self.small, to);
            }
            Layout::Planes(n_planes) => append_planes(codes, n_planes, to),
            Layout::ZstdPlanes(_) => to.extend_from_slice(&self.frame),
        }
        to.extend_from_slice(&self.exceptions);
    }
}

fn make_codes<T: Lane>(values: &[T], is_signed: bool, codes: &mut Vec<T>) -> Scale {
    let base = least(values, is_signed);
    codes.clear();
    codes.extend(values.iter().map(|value| value.minus(base)));
    let stride = common_stride(codes);
    if stride.is_power_of_two() {
        let shift = stride.trailing_zeros();
        codes.iter_mut().filter(|_| shift > 0).for_each(|x| *x = T::of(x.wide() >> shift));
    } else {
        codes.iter_mut().for_each(|code| *code = T::of(code.wide() / stride));
    }
    Scale { base: base.wide(), stride }
}

/// What stands in the place of a code: nothing, if its entry is an exception.
fn or_0<T: Lane>(code_max: u64) -> impl Fn(T) -> T {
    let most = T::of(code_max.min(T::of(u64::MAX).wide()));
    move |code| if code > most { T::default() } else { code }
}

/// Codes that the planes cannot hold are exceptions, and become 0.
fn append_planes<T: Lane>(codes: &[T], n_planes: usize, to: &mut Vec<u8>) {
    let code_or_0 = or_0(Form { layout: Layout::Planes(n_planes), bytes: 0 }.code_max());
    for plane in 0..n_planes {
        to.extend(codes.iter().map(|&code| (code_or_0(code).wide() >> (8 * plane)) as u8));
    }
}

fn append_exceptions<T: Lane>(values: &[T], codes: &[T], code_max: u64, to: &mut Vec<u8>) {
    let mut next = 0;
    for (begin, part) in (0..).step_by(SEARCHED).zip(codes.chunks(SEARCHED)) {
        if largest(part).wide() <= code_max {
            continue;
        }
        for (i, _) in (begin..).zip(part).filter(|(_, code)| code.wide() > code_max) {
            let gap = i - next;
            let long = usize::from(LONG_GAP);
            to.resize(to.len() + gap / long, LONG_GAP);
            to.push((gap % long) as u8);
            to.extend(&values[i].wide().to_le_bytes()[..T::BYTES]);
            next = i + 1;
        }
    }
}

/// Appends entries as so many runs.
fn append_runs<T: Lane>(entries: &[T], n_runs: usize, step: u64, to: &mut Vec<u8>) {
    to.extend([RUNS, step as u8, 0]);
    to.extend(((n_runs * (2 + T::BYTES)) as u32).to_le_bytes());
    for (begin, len) in runs(entries, step) {
        to.extend(((len - 1) as u16).to_le_bytes());
        to.extend(&entries[begin].wide().to_le_bytes()[..T::BYTES]);
    }
}
