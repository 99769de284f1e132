//! Codes of up to 16 bits, packed so that they come out about as fast as memory is written.
//!
//! 512 codes are a table of 16 rows with 32 lanes each: code i stands in lane i mod 32 of row
//! i / 32. A lane holds the codes of its rows one after another, `width` bits each, lowest bits
//! first, in 16-bit words; word k of lane l is word 32 k + l.
//!
//! ```text
//! width 7    word 0, one of 32        word 1, one of 32
//! bits       ccbbbbbbb aaaaaaa        eeeeddddddd ccccc      a: row 0, b: row 1, ...
//! ```
//!
//! So a row comes out of whole words by the same shifts in every lane, which a compiler turns into
//! vector instructions of any width. A last table that is not full ends with the words that its
//! rows need.
//!
//! Codes below a radix R that is no power of two can be packed in pairs, a + R b: two codes below
//! 72 take 13 bits instead of 14. Of each 1024 codes, the last ones fewer, the first half are the
//! a, the second half the b; of an odd number the first half has one more.
//!
//! What codes mean is the business of `column/`.

/// Lanes of a table.
const LANES: usize = 32;
/// Rows of a table: as many as a word has bits, so that lanes end with whole words.
const ROWS: usize = 16;
/// Codes, or pairs of codes, of a table.
const TABLE: usize = LANES * ROWS;
/// Codes among which pairs are formed: a table of pairs.
const PAIRED: usize = 2 * TABLE;
/// Most bits of a code, or of a pair.
pub(super) const WIDTH_MAX: usize = 16;

/// How codes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    /// Bits of a code, or of a pair.
    width: usize,
    pairs: Option<Pairs>,
}

/// How a pair is taken apart: division by multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pairs {
    radix: u16,
    /// ⌈2^(16 + shift) / radix⌉, with the largest shift for which that is below 2^16.
    reciprocal: u16,
    shift: u32,
}

impl Pairs {
    /// `None` unless every pair can be taken apart.
    fn new(radix: u16) -> Option<Pairs> {
        let shift = radix.checked_ilog2()?;
        let reciprocal = (1_u64 << (16 + shift)).div_ceil(radix.into());
        let pair_max = (u64::from(radix) * u64::from(radix)).checked_sub(1)?;
        // The reciprocal is too large by less than error / 2^(16 + shift) of itself.
        let error = reciprocal * u64::from(radix) - (1 << (16 + shift));
        let is_exact = pair_max * error < 1 << (16 + shift);
        let pairs = Pairs { radix, reciprocal: u16::try_from(reciprocal).ok()?, shift };
        (is_exact && pair_max < 1 << WIDTH_MAX).then_some(pairs)
    }

    fn split(self, pair: u16) -> (u16, u16) {
        let product = u32::from(pair) * u32::from(self.reciprocal);
        let b = (product >> 16) as u16 >> self.shift;
        (pair.wrapping_sub(b.wrapping_mul(self.radix)), b)
    }
}

/// Bytes of so many rows of a table.
const fn row_bytes(rows: usize, width: usize) -> usize {
    (rows * width).div_ceil(16) * LANES * 2
}

/// Bytes of so many codes, or pairs.
const fn packed_bytes(n: usize, width: usize) -> usize {
    let rows_left = (n % TABLE).div_ceil(LANES);
    n / TABLE * row_bytes(ROWS, width) + row_bytes(rows_left, width)
}

impl Packing {
    /// Codes of `width` bits, one by one. `None` if that is more than there can be.
    pub(super) fn singles(width: usize) -> Option<Packing> {
        (width <= WIDTH_MAX).then_some(Packing { width, pairs: None })
    }

    /// Codes below `radix`, in pairs of `width` bits. `None` if there are no such pairs.
    pub(super) fn pairs(width: usize, radix: u16) -> Option<Packing> {
        let pairs = Pairs::new(radix)?;
        (1..=WIDTH_MAX).contains(&width).then_some(Packing { width, pairs: Some(pairs) })
    }

    /// Codes up to `code_max` in pairs of as few bits as it takes. `None` as in
    /// [`Packing::pairs`].
    pub(super) fn pairs_of_codes_up_to(code_max: u64) -> Option<Packing> {
        let radix = u16::try_from(code_max).ok()?.checked_add(1)?;
        let pair_max = Pairs::new(radix).map(|_| radix.wrapping_mul(radix).wrapping_sub(1))?;
        Packing::pairs(pair_max.checked_ilog2()? as usize + 1, radix)
    }

    /// Bits of a code, or of a pair.
    pub(super) fn width(self) -> usize {
        self.width
    }

    /// The radix of pairs, if codes are in pairs.
    pub(super) fn radix(self) -> Option<u16> {
        self.pairs.map(|pairs| pairs.radix)
    }

    /// Bytes of `n` codes.
    pub(super) fn bytes(self, n: usize) -> usize {
        match self.pairs {
            None => packed_bytes(n, self.width),
            Some(_) => packed_bytes(n / PAIRED * TABLE + (n % PAIRED).div_ceil(2), self.width),
        }
    }

    /// Appends codes.
    pub(super) fn pack(self, codes: &[u16], to: &mut Vec<u8>) {
        let begin = to.len();
        to.resize(begin + self.bytes(codes.len()), 0);
        let Some(Pairs { radix, .. }) = self.pairs else {
            return pack_singles(codes, self.width, &mut to[begin..]);
        };
        let mut pairs = [0; TABLE];
        let table_bytes = row_bytes(ROWS, self.width);
        for (k, codes) in codes.chunks(PAIRED).enumerate() {
            let (a, b) = codes.split_at(codes.len().div_ceil(2));
            let pairs = &mut pairs[..a.len()];
            pairs.copy_from_slice(a);
            pairs.iter_mut().zip(b).for_each(|(pair, &b)| *pair += radix * b);
            let to = &mut to[begin + k * table_bytes..][..packed_bytes(a.len(), self.width)];
            pack_singles(pairs, self.width, to);
        }
    }

    /// Unpacks codes and makes entries of them: base + stride × code, modulo 2^16.
    ///
    /// # Panics
    /// If `bytes` are not as many as [`Packing::bytes`].
    pub(super) fn unpack(self, bytes: &[u8], base: u16, stride: u16, to: &mut [u16]) {
        match self.pairs {
            None => unpack_singles(bytes, self.width, base, stride, to),
            Some(pairs) if stride == 1 => {
                unpack_pairs(bytes, self.width, pairs, to, |code| base.wrapping_add(code));
            }
            Some(pairs) => unpack_pairs(bytes, self.width, pairs, to, |code| {
                base.wrapping_add(stride.wrapping_mul(code))
            }),
        }
    }

    /// Unpacks codes for a column of another type: `entry_of` makes its entries of what would be
    /// those of 16 bits.
    ///
    /// # Panics
    /// As [`Packing::unpack`].
    pub(super) fn unpack_with<T>(
        self,
        bytes: &[u8],
        base: u16,
        stride: u16,
        to: &mut [T],
        entry_of: impl Fn(u16) -> T,
    ) {
        assert_eq!(bytes.len(), self.bytes(to.len()));
        let mut entries = [0; PAIRED];
        let whole = self.bytes(PAIRED);
        for (k, to) in to.chunks_mut(PAIRED).enumerate() {
            let entries = &mut entries[..to.len()];
            let bytes = &bytes[k * whole..][..self.bytes(entries.len())];
            self.unpack(bytes, base, stride, entries);
            to.iter_mut().zip(entries).for_each(|(to, &mut entry)| *to = entry_of(entry));
        }
    }
}

/// Packs codes of `width` bits, and no more, into as many bytes as they take.
fn pack_singles(codes: &[u16], width: usize, packed: &mut [u8]) {
    assert_eq!(packed.len(), packed_bytes(codes.len(), width));
    if width == 0 {
        return;
    }
    let pack_table = PACK_KERNELS[width - 1];
    let table_bytes = row_bytes(ROWS, width);
    let (tables, rest) = codes.as_chunks::<TABLE>();
    let (whole, cut) = packed.split_at_mut(tables.len() * table_bytes);
    for (table, bytes) in tables.iter().zip(whole.chunks_exact_mut(table_bytes)) {
        pack_table(table, bytes);
    }
    if !rest.is_empty() {
        let mut table = [0; TABLE];
        table[..rest.len()].copy_from_slice(rest);
        let mut bytes = [0; row_bytes(ROWS, WIDTH_MAX)];
        pack_table(&table, &mut bytes[..table_bytes]);
        cut.copy_from_slice(&bytes[..cut.len()]);
    }
}

type PackKernel = fn(&[u16; TABLE], &mut [u8]);

/// For codes of 1 to 16 bits.
macro_rules! pack_kernels {
    ($($width:literal)*) => { [$(pack_table::<$width>),*] };
}
const PACK_KERNELS: [PackKernel; WIDTH_MAX] = pack_kernels!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);

fn pack_table<const WIDTH: usize>(codes: &[u16; TABLE], to: &mut [u8]) {
    let mut words = [0; TABLE];
    // As in `unpack_table`.
    macro_rules! rows {
        ($($row:literal)*) => { $(pack_row::<WIDTH, $row>(codes, &mut words);)* };
    }
    rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    let (to, _) = to.as_chunks_mut::<2>();
    for (to, word) in to[..WIDTH * LANES].iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
}

#[inline(always)]
fn pack_row<const WIDTH: usize, const ROW: usize>(codes: &[u16; TABLE], to: &mut [u16; TABLE]) {
    let (word, shift) = (ROW * WIDTH / 16, ROW * WIDTH % 16);
    let codes = &codes[ROW * LANES..][..LANES];
    for (to, &code) in to[word * LANES..][..LANES].iter_mut().zip(codes) {
        *to |= code << shift;
    }
    if shift + WIDTH > 16 {
        for (to, &code) in to[(word + 1) * LANES..][..LANES].iter_mut().zip(codes) {
            *to |= code >> (16 - shift);
        }
    }
}

fn unpack_singles(bytes: &[u8], width: usize, base: u16, stride: u16, to: &mut [u16]) {
    assert_eq!(bytes.len(), packed_bytes(to.len(), width));
    if width == 0 {
        return to.fill(base);
    }
    let kernels = if stride == 1 { &TABLE_KERNELS } else { &STRIDED_TABLE_KERNELS };
    let unpack_table = kernels[width - 1];
    let table_bytes = row_bytes(ROWS, width);
    let (tables, rest) = to.as_chunks_mut::<TABLE>();
    let (whole, cut) = bytes.split_at(tables.len() * table_bytes);
    for (table, bytes) in tables.iter_mut().zip(whole.chunks_exact(table_bytes)) {
        unpack_table(bytes, base, stride, table);
    }
    if !rest.is_empty() {
        let mut bytes = [0; row_bytes(ROWS, WIDTH_MAX)];
        bytes[..cut.len()].copy_from_slice(cut);
        let mut table = [0; TABLE];
        unpack_table(&bytes[..table_bytes], base, stride, &mut table);
        rest.copy_from_slice(&table[..rest.len()]);
    }
}

fn unpack_pairs(
    bytes: &[u8],
    width: usize,
    pairs: Pairs,
    to: &mut [u16],
    entry_of: impl Fn(u16) -> u16,
) {
    let mut table = [0; TABLE];
    let table_bytes = row_bytes(ROWS, width);
    for (k, to) in to.chunks_mut(PAIRED).enumerate() {
        let (a, b) = to.split_at_mut(to.len().div_ceil(2));
        let table = &mut table[..a.len()];
        let bytes = &bytes[k * table_bytes..][..packed_bytes(table.len(), width)];
        unpack_singles(bytes, width, 0, 1, table);
        for ((a, b), &pair) in a.iter_mut().zip(b.iter_mut()).zip(&*table) {
            let codes = pairs.split(pair);
            (*a, *b) = (entry_of(codes.0), entry_of(codes.1));
        }
        if let [.., last] = a
            && b.len() < table.len()
        {
            *last = entry_of(pairs.split(table[table.len() - 1]).0);
        }
    }
}

type TableKernel = fn(&[u8], u16, u16, &mut [u16; TABLE]);

/// For codes of 1 to 16 bits.
macro_rules! table_kernels {
    ($is_strided:literal: $($width:literal)*) => { [$(unpack_table::<$width, $is_strided>),*] };
}
const TABLE_KERNELS: [TableKernel; WIDTH_MAX] =
    table_kernels!(false: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
const STRIDED_TABLE_KERNELS: [TableKernel; WIDTH_MAX] =
    table_kernels!(true: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);

fn unpack_table<const WIDTH: usize, const IS_STRIDED: bool>(
    bytes: &[u8],
    base: u16,
    stride: u16,
    to: &mut [u16; TABLE],
) {
    let (words, _) = bytes.as_chunks::<2>();
    // Checked once: so the rows need no checks.
    let words = &words[..WIDTH * LANES];
    let stride = if IS_STRIDED { stride } else { 1 };
    // Rows with numbers known to the compiler: in a loop over rows it does not vectorise lanes.
    macro_rules! rows {
        ($($row:literal)*) => { $(unpack_row::<WIDTH, $row>(words, base, stride, to);)* };
    }
    rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

#[inline(always)]
fn unpack_row<const WIDTH: usize, const ROW: usize>(
    words: &[[u8; 2]],
    base: u16,
    stride: u16,
    to: &mut [u16; TABLE],
) {
    let (word, shift) = (ROW * WIDTH / 16, ROW * WIDTH % 16);
    let mask = u16::MAX >> (16 - WIDTH);
    let entry_of = |code: u16| base.wrapping_add(stride.wrapping_mul(code & mask));
    let to = &mut to[ROW * LANES..][..LANES];
    let low = &words[word * LANES..][..LANES];
    if shift + WIDTH <= 16 {
        for (to, &low) in to.iter_mut().zip(low) {
            *to = entry_of(u16::from_le_bytes(low) >> shift);
        }
    } else {
        let high = &words[(word + 1) * LANES..][..LANES];
        for ((to, &low), &high) in to.iter_mut().zip(low).zip(high) {
            let (low, high) = (u16::from_le_bytes(low), u16::from_le_bytes(high));
            *to = entry_of(low >> shift | high << (16 - shift));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the first lines of this file say.
    fn obvious(bytes: &[u8], width: usize, i: usize) -> u16 {
        let table = &bytes[i / 512 * (64 * width)..];
        let (row, lane) = (i % 512 / 32, i % 32);
        let bit_of_lane = |bit: usize| {
            let at = (bit / 16 * 32 + lane) * 2 + bit % 16 / 8;
            u16::from(table[at] >> (bit % 8) & 1)
        };
        (0..width).map(|k| bit_of_lane(row * width + k) << k).sum()
    }

    fn random_codes(n: usize, below: u32, state: &mut u64) -> Vec<u16> {
        let mut next = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((*state >> 40) as u32 % below) as u16
        };
        (0..n).map(|_| next()).collect()
    }

    const LENGTHS: [usize; 12] = [0, 1, 2, 31, 33, 100, 511, 513, 1023, 1024, 1025, 3000];

    fn assert_comes_out(packing: Packing, packed: &[u8], codes: &[u16]) {
        assert_eq!(packed.len(), packing.bytes(codes.len()));
        for stride in [1, 7] {
            let entry = |&code: &u16| code.wrapping_mul(stride).wrapping_add(65_000);
            let expected: Vec<u16> = codes.iter().map(entry).collect();
            let mut unpacked = vec![0; codes.len()];
            packing.unpack(packed, 65_000, stride, &mut unpacked);
            assert_eq!(unpacked, expected, "{} codes, {packing:?}", codes.len());
            let mut wide = vec![0_u64; codes.len()];
            packing.unpack_with(packed, 65_000, stride, &mut wide, u64::from);
            assert!(wide.iter().zip(&expected).all(|(&a, &b)| a == u64::from(b)));
        }
    }

    #[test]
    fn codes_of_every_width_and_number_come_out_as_the_layout_says() {
        let mut state = 5;
        for width in 0..=WIDTH_MAX {
            let packing = Packing::singles(width).unwrap();
            for n in LENGTHS {
                let codes = random_codes(n, 1 << width, &mut state);
                let mut bytes = vec![7];
                packing.pack(&codes, &mut bytes);
                let found: Vec<u16> = (0..n).map(|i| obvious(&bytes[1..], width, i)).collect();
                assert_eq!(found, codes, "{n} codes of {width} bits");
                assert_comes_out(packing, &bytes[1..], &codes);
            }
        }
        assert_eq!(Packing::singles(17), None);
    }

    #[test]
    fn pairs_of_codes_come_out_as_the_layout_says() {
        let mut state = 6;
        for radix in [3, 5, 11, 72, 131, 144, 200] {
            let packing = Packing::pairs_of_codes_up_to(radix - 1).unwrap();
            assert_eq!(packing.radix(), Some(radix as u16));
            let width = packing.width();
            assert!(radix * radix <= 1 << width && radix * radix > 1 << (width - 1));
            for n in LENGTHS {
                let codes = random_codes(n, radix as u32, &mut state);
                let mut bytes = Vec::new();
                packing.pack(&codes, &mut bytes);
                for (k, codes) in codes.chunks(1024).enumerate() {
                    let half = codes.len().div_ceil(2);
                    for i in 0..half {
                        let b = codes.get(half + i).copied().unwrap_or(0);
                        let pair = codes[i] + radix as u16 * b;
                        assert_eq!(obvious(&bytes, width, 512 * k + i), pair);
                    }
                }
                assert_comes_out(packing, &bytes, &codes);
            }
        }
    }

    #[test]
    fn every_radix_divides_exactly_or_is_refused() {
        let accepted: Vec<Pairs> = (0..=u16::MAX).filter_map(Pairs::new).collect();
        for pairs in &accepted {
            for pair in 0..pairs.radix * pairs.radix {
                assert_eq!(pairs.split(pair), (pair % pairs.radix, pair / pairs.radix));
            }
        }
        let radices: Vec<u16> = accepted.iter().map(|pairs| pairs.radix).collect();
        assert!((3..=200).all(|x: u16| x.is_power_of_two() != radices.contains(&x)), "{radices:?}");
        assert!(radices.iter().all(|&radix| radix < 256));
    }
}
