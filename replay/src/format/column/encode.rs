//! From entries to the smallest form of a column.
//!
//! Everything is done in 64-bit integers, whatever the type of the column: writing is not what has
//! to be fast.

use super::{
    BASE, DICTIONARY, DICTIONARY_MAX, DIFFERENCES, EXCEPTIONS, LONG_GAP, PACKED, PAIRS, PLANES,
    RUN_MAX, RUNS, STRIDE, ZSTD_PLANES, read_word,
};
use crate::event::{Column, Dtype, Entries};
use crate::format::block::Compression;
use crate::format::pack::Packing;

/// Bytes of a column of runs before them.
const RUNS_HEAD_BYTES: usize = 7;
/// Average length of runs from which on a column is made of runs whatever else would be smaller.
const RUN_SHORTEST: usize = 16;

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
    compressor: zstd::bulk::Compressor<'static>,
    compression: Compression,
    /// What is coded: entries, or their differences.
    values: Vec<u64>,
    codes: Vec<u64>,
    /// Every value there is, once, in order; empty if there are too many.
    dictionary: Vec<u64>,
    planes: Vec<u8>,
    frame: Vec<u8>,
}

/// A form in which codes can be stored.
struct Form {
    layout: Layout,
    /// Bytes of codes and exceptions; long gaps are not counted.
    bytes: usize,
}

/// How codes make values.
struct Scale {
    base: u64,
    stride: u64,
}

/// How wide the integers of a column are.
#[derive(Clone, Copy)]
struct Width {
    bytes: usize,
}

impl Width {
    /// Modulo 2^bits.
    fn wrap(self, value: u64) -> u64 {
        let unused = 64 - 8 * self.bytes as u32;
        value << unused >> unused
    }

    /// A number that ascends as the signed integers do.
    fn signed_order(self, value: u64) -> u64 {
        self.wrap(value) ^ 1 << (8 * self.bytes - 1)
    }
}

impl ColumnEncoder {
    pub(in crate::format) fn new(compression: Compression) -> std::io::Result<ColumnEncoder> {
        let mut compressor = zstd::bulk::Compressor::new(compression.level())?;
        if compression == Compression::Small {
            // Matches in numbers like these are chance, and take longer than their Huffman codes.
            compressor.set_parameter(zstd::zstd_safe::CParameter::MinMatch(7))?;
            compressor.set_parameter(zstd::zstd_safe::CParameter::HashLog(6))?;
        }
        Ok(ColumnEncoder {
            compressor,
            compression,
            values: Vec::new(),
            codes: Vec::new(),
            dictionary: Vec::new(),
            planes: Vec::new(),
            frame: Vec::new(),
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
        let dtype = column.spec().dtype;
        let width = Width { bytes: dtype.size() };
        self.values.clear();
        self.values.extend(entries.bytes().chunks_exact(width.bytes).map(read_word));
        let is_rising = is_rising(column);
        // Few runs, or fewer bytes than anything else takes: else it does not matter how many.
        let n_runs_max = |bytes: usize| {
            let smaller = bytes.saturating_sub(RUNS_HEAD_BYTES) / (2 + width.bytes);
            smaller.max(entries.len() / RUN_SHORTEST)
        };
        let mut runs = None;
        if is_rising {
            runs = fewest_runs(&self.values, width, usize::MAX);
            subtract_previous(&mut self.values, width);
        }
        // Differences that fall are rare: exceptions, if they count as huge.
        let is_signed = matches!(dtype, Dtype::I16 | Dtype::I32 | Dtype::I64) && !is_rising;
        let scale = self.make_codes(width, is_signed);
        let form = self.smallest_form(width)?;
        // Long runs are faster than anything else but a column that needs no codes at all.
        if !is_rising {
            runs = fewest_runs(&self.values, width, n_runs_max(form.bytes));
        }
        let are_better = |n_runs: usize| {
            let are_long = n_runs * RUN_SHORTEST <= entries.len() && form.bytes > 0;
            are_long || RUNS_HEAD_BYTES + n_runs * (2 + width.bytes) <= form.bytes
        };
        match runs.filter(|&(n_runs, _)| are_better(n_runs)) {
            Some((n_runs, step)) => {
                self.values.clear();
                self.values.extend(entries.bytes().chunks_exact(width.bytes).map(read_word));
                append_runs(&self.values, n_runs, step, width, to);
            }
            None => {
                let flags = if is_rising { DIFFERENCES } else { 0 };
                self.append_codes(&form, &scale, flags, width, to);
            }
        }
        Ok(())
    }

    fn make_codes(&mut self, width: Width, is_signed: bool) -> Scale {
        let order = |&value: &u64| if is_signed { width.signed_order(value) } else { value };
        let base = self.values.iter().copied().min_by_key(order).unwrap_or(0);
        self.codes.clear();
        self.codes.extend(self.values.iter().map(|value| width.wrap(value.wrapping_sub(base))));
        let mut stride = 0;
        for &code in &self.codes {
            stride = greatest_common_divisor(code, stride);
            if stride == 1 {
                break;
            }
        }
        let stride = stride.max(1);
        if stride > 1 {
            self.codes.iter_mut().for_each(|code| *code /= stride);
        }
        Scale { base, stride }
    }

    /// The form in which the column is smallest; a zstd frame is left in `self.frame`.
    fn smallest_form(&mut self, width: Width) -> std::io::Result<Form> {
        let sizes = Sizes::of(&self.codes, width, self.compression);
        let (packed, planes) = (sizes.smallest_packed(), sizes.smallest_planes());
        let is_packed = packed.bytes <= planes.bytes;
        let n_planes = planes.width();
        let mut smallest = if is_packed { packed } else { planes };
        if n_planes == 0 || !self.compression.looks_further(n_planes) {
            return Ok(smallest);
        }
        self.make_dictionary();
        let in_dictionary = sizes.smallest_of_dictionary(self.dictionary.len());
        if let Some(form) = in_dictionary.filter(|form| form.bytes < smallest.bytes) {
            smallest = form;
        }
        self.planes.clear();
        append_planes(&self.codes, n_planes, &mut self.planes);
        self.frame.resize(zstd::zstd_safe::compress_bound(self.planes.len()), 0);
        let frame_bytes = self.compressor.compress_to_buffer(&self.planes, &mut self.frame[..])?;
        self.frame.truncate(frame_bytes);
        let bytes = frame_bytes + sizes.exception_bytes(8 * n_planes);
        let is_worth_it = self.compression.is_worth_it(bytes, self.planes.len(), smallest.bytes);
        let compressed = Form { layout: Layout::ZstdPlanes(n_planes), bytes };
        Ok(if is_worth_it { compressed } else { smallest })
    }

    fn make_dictionary(&mut self) {
        self.dictionary.clear();
        for &value in &self.values {
            if let Err(place) = self.dictionary.binary_search(&value) {
                if self.dictionary.len() == DICTIONARY_MAX {
                    return self.dictionary.clear();
                }
                self.dictionary.insert(place, value);
            }
        }
    }

    fn append_codes(
        &self,
        form: &Form,
        scale: &Scale,
        mut flags: u8,
        width: Width,
        to: &mut Vec<u8>,
    ) {
        let exceptions = self.exceptions(form, width);
        let radix = form.radix();
        let is_scaled = !matches!(form.layout, Layout::Dictionary(_));
        flags |= if is_scaled && scale.base != 0 { BASE } else { 0 };
        flags |= if is_scaled && scale.stride != 1 { STRIDE } else { 0 };
        flags |= if is_scaled { 0 } else { DICTIONARY };
        flags |= radix.map_or(0, |_| PAIRS);
        flags |= if exceptions.is_empty() { 0 } else { EXCEPTIONS };
        to.extend([form.encoding(), form.width() as u8, flags]);
        if flags & BASE != 0 {
            to.extend(&scale.base.to_le_bytes()[..width.bytes]);
        }
        if flags & STRIDE != 0 {
            to.extend(&scale.stride.to_le_bytes()[..width.bytes]);
        }
        to.extend(radix.into_iter().flat_map(u16::to_le_bytes));
        if flags & DICTIONARY != 0 {
            to.push((self.dictionary.len() - 1) as u8);
            let entries = self.dictionary.iter();
            to.extend(entries.flat_map(|entry| entry.to_le_bytes().into_iter().take(width.bytes)));
        }
        if let Layout::ZstdPlanes(_) = form.layout {
            to.extend((self.frame.len() as u32).to_le_bytes());
        }
        if flags & EXCEPTIONS != 0 {
            to.extend((exceptions.len() as u32).to_le_bytes());
        }
        match form.layout {
            Layout::Packed(packing) => {
                let code_of = |&code: &u64| form.code_or_0(code) as u16;
                packing.pack(&self.codes.iter().map(code_of).collect::<Vec<_>>(), to);
            }
            Layout::Dictionary(packing) => {
                let place = |value| self.dictionary.binary_search(value).expect("it is in it");
                packing.pack(&self.values.iter().map(|x| place(x) as u16).collect::<Vec<_>>(), to);
            }
            Layout::Planes(n_planes) => append_planes(&self.codes, n_planes, to),
            Layout::ZstdPlanes(_) => to.extend_from_slice(&self.frame),
        }
        to.extend(exceptions);
    }

    fn exceptions(&self, form: &Form, width: Width) -> Vec<u8> {
        let (mut bytes, mut next) = (Vec::new(), 0);
        for (i, (&code, value)) in self.codes.iter().zip(&self.values).enumerate() {
            if form.is_exception(code) {
                let gap = i - next;
                let long = usize::from(LONG_GAP);
                bytes.resize(bytes.len() + gap / long, LONG_GAP);
                bytes.push((gap % long) as u8);
                bytes.extend(&value.to_le_bytes()[..width.bytes]);
                next = i + 1;
            }
        }
        bytes
    }
}

/// What codes would take in different forms.
struct Sizes {
    n: usize,
    width: Width,
    code_max: u64,
    /// How many codes have so many bits.
    n_of_bits: [usize; 65],
    /// What an exception counts.
    exception: usize,
}

impl Sizes {
    fn of(codes: &[u64], width: Width, compression: Compression) -> Sizes {
        let mut n_of_bits = [0; 65];
        codes.iter().for_each(|code| n_of_bits[64 - code.leading_zeros() as usize] += 1);
        Sizes {
            n: codes.len(),
            width,
            code_max: codes.iter().copied().max().unwrap_or(0),
            n_of_bits,
            exception: 1 + width.bytes + compression.bytes_for_an_exception(),
        }
    }

    /// Bytes of the exceptions from codes of so many bits.
    fn exception_bytes(&self, bits: usize) -> usize {
        self.n_of_bits[bits + 1..].iter().sum::<usize>() * self.exception
    }

    fn smallest_packed(&self) -> Form {
        let singles = (0..=8 * self.width.bytes).map_while(Packing::singles).map(|packing| Form {
            layout: Layout::Packed(packing),
            bytes: packing.bytes(self.n) + self.exception_bytes(packing.width()),
        });
        let pairs = Packing::pairs_of_codes_up_to(self.code_max)
            .map(|packing| Form { layout: Layout::Packed(packing), bytes: packing.bytes(self.n) });
        singles.chain(pairs).min_by_key(|form| form.bytes).expect("width 0 is possible")
    }

    fn smallest_planes(&self) -> Form {
        let planes = (0..=self.width.bytes).map(|n_planes| Form {
            layout: Layout::Planes(n_planes),
            bytes: self.n * n_planes + self.exception_bytes(8 * n_planes),
        });
        planes.min_by_key(|form| form.bytes).expect("width 0 is possible")
    }

    fn smallest_of_dictionary(&self, n_entries: usize) -> Option<Form> {
        let place_max = n_entries.checked_sub(1)? as u64;
        let singles = Packing::singles((64 - place_max.leading_zeros()) as usize);
        let forms = singles.into_iter().chain(Packing::pairs_of_codes_up_to(place_max));
        let forms = forms.map(|packing| Form {
            layout: Layout::Dictionary(packing),
            bytes: packing.bytes(self.n) + 1 + n_entries * self.width.bytes,
        });
        forms.min_by_key(|form| form.bytes)
    }
}

#[derive(Clone, Copy)]
enum Layout {
    Packed(Packing),
    Dictionary(Packing),
    /// So many planes.
    Planes(usize),
    ZstdPlanes(usize),
}

impl Form {
    fn encoding(&self) -> u8 {
        match self.layout {
            Layout::Packed(_) | Layout::Dictionary(_) => PACKED,
            Layout::Planes(_) => PLANES,
            Layout::ZstdPlanes(_) => ZSTD_PLANES,
        }
    }

    fn width(&self) -> usize {
        match self.layout {
            Layout::Packed(packing) | Layout::Dictionary(packing) => packing.width(),
            Layout::Planes(n_planes) | Layout::ZstdPlanes(n_planes) => n_planes,
        }
    }

    fn radix(&self) -> Option<u16> {
        match self.layout {
            Layout::Packed(packing) | Layout::Dictionary(packing) => packing.radix(),
            _ => None,
        }
    }

    fn is_exception(&self, code: u64) -> bool {
        let bits = match self.layout {
            // Pairs are of codes that all are below the radix.
            Layout::Dictionary(_) => return false,
            Layout::Packed(packing) if packing.radix().is_some() => return false,
            Layout::Packed(packing) => packing.width(),
            Layout::Planes(n_planes) | Layout::ZstdPlanes(n_planes) => 8 * n_planes,
        };
        bits < 64 && code >> bits != 0
    }

    /// What stands in the place of a code: nothing, if its entry is an exception.
    fn code_or_0(&self, code: u64) -> u64 {
        if self.is_exception(code) { 0 } else { code }
    }
}

/// Codes that the planes cannot hold are exceptions, and become 0.
fn append_planes(codes: &[u64], n_planes: usize, to: &mut Vec<u8>) {
    let form = Form { layout: Layout::Planes(n_planes), bytes: 0 };
    for plane in 0..n_planes {
        to.extend(codes.iter().map(|&code| (form.code_or_0(code) >> (8 * plane)) as u8));
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How many runs there are, of equal entries or of consecutive ones, whichever are fewer, and by how much
/// entries of a run rise; `None` if both are more than `most`.
fn fewest_runs(entries: &[u64], width: Width, most: usize) -> Option<(usize, u64)> {
    let n_runs = [0, 1].map(|step| {
        if entries.len() > RUN_MAX {
            return runs(entries, step, width).count();
        }
        // No run is too long: they end where entries do not go on. Counted until they are too many.
        let mut n_runs = usize::from(!entries.is_empty());
        for begin in (0..entries.len()).step_by(256) {
            let part = &entries[begin..entries.len().min(begin + 257)];
            let ends =
                |pair: &[u64]| usize::from(width.wrap(pair[1].wrapping_sub(pair[0])) != step);
            n_runs += part.windows(2).map(ends).sum::<usize>();
            if n_runs > most {
                return usize::MAX;
            }
        }
        n_runs
    });
    let step = u64::from(n_runs[1] < n_runs[0]);
    let fewest = n_runs[step as usize];
    (fewest <= most).then_some((fewest, step))
}

/// Appends entries as so many runs.
fn append_runs(entries: &[u64], n_runs: usize, step: u64, width: Width, to: &mut Vec<u8>) {
    to.extend([RUNS, step as u8, 0]);
    to.extend(((n_runs * (2 + width.bytes)) as u32).to_le_bytes());
    for (begin, len) in runs(entries, step, width) {
        to.extend(((len - 1) as u16).to_le_bytes());
        to.extend(&entries[begin].to_le_bytes()[..width.bytes]);
    }
}

/// Where runs begin and how long they are.
fn runs(entries: &[u64], step: u64, width: Width) -> impl Iterator<Item = (usize, usize)> {
    let goes_on = move |pair: &&[u64]| width.wrap(pair[1].wrapping_sub(pair[0])) == step;
    let mut begin = 0;
    std::iter::from_fn(move || {
        let rest = entries.get(begin..).filter(|rest| !rest.is_empty())?;
        let run = (begin, 1 + rest.windows(2).take(RUN_MAX - 1).take_while(goes_on).count());
        begin += run.1;
        Some(run)
    })
}

/// Replaces entries by their wrapping difference to the entry before.
fn subtract_previous(entries: &mut [u64], width: Width) {
    for i in (1..entries.len()).rev() {
        entries[i] = width.wrap(entries[i].wrapping_sub(entries[i - 1]));
    }
}
