//! Columns of every type and shape: what comes out is what went in, as the definition in
//! `docs/format.md` says, and damaged ones are refused or come to something, but never to a panic.

use super::*;
use crate::event::{Column, Dtype, Entries};
use crate::format::block::Compression;
use proptest::prelude::*;

/// One column of each type, and those that rise.
const COLUMNS: [Column; 11] = [
    Column::JetQual,
    Column::JetRawPt,
    Column::Lumi,
    Column::Label,
    Column::Lines,
    Column::PileUp,
    Column::Weight,
    Column::Bx,
    Column::Orbit,
    Column::Event,
    Column::Order,
];

const N_SHAPES: u64 = 10;

/// Bits of an entry that looks like those of a detector, a counter, or noise.
fn entry_of_shape(shape: u64, i: u64, random: u64) -> u64 {
    match shape {
        0 => 0,
        1 => random,
        2 => random % 5,
        3 => (random % 100).wrapping_sub(50),
        4 => 1 + 2 * (random % 72),
        5 => 20 + random % 64 + if random >> 20 & 63 == 0 { random >> 32 } else { 0 },
        6 => (random % 16).pow(2).wrapping_sub(100),
        7 => i / 50 * 1000 + i % 50,
        8 => i * 3 + random % 3,
        // Extremes of every type.
        _ => [0, u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 31, 127, 128, 255][random as usize % 8],
    }
}

fn entries_of_shape(dtype: Dtype, shape: u64, n: usize, seed: u64) -> Entries {
    let mut entries = Entries::new(dtype);
    entries.resize(n);
    let mut state = seed;
    for (i, to) in entries.bytes_mut().chunks_exact_mut(dtype.size()).enumerate() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let bits = entry_of_shape(shape, i as u64, state >> 13);
        to.copy_from_slice(&bits.to_le_bytes()[..dtype.size()]);
    }
    entries
}

fn encoded(column: Column, entries: &Entries, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    ColumnEncoder::new(compression).unwrap().append(column, entries, &mut bytes).unwrap();
    bytes
}

/// As in a block: what the entries held before must not shine through.
fn decoded(mut bytes: &[u8], dtype: Dtype, n: usize) -> Result<Entries, String> {
    let column = EncodedColumn::split_off(&mut bytes, dtype, n)?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes are left", bytes.len()));
    }
    let mut entries = Entries::new(dtype);
    entries.resize(n + 3);
    entries.bytes_mut().fill(0xa5);
    ColumnDecoder::new().unwrap().decode(&column, n, &mut entries)?;
    assert_eq!(entries.len(), n);
    Ok(entries)
}

/// Takes the first `n` bytes off as a number.
fn take(bytes: &mut &[u8], n: usize) -> u64 {
    let (first, rest) = bytes.split_at(n);
    *bytes = rest;
    read_word(first)
}

/// Code `i` of packed ones, bit by bit.
fn packed_code(codes: &[u8], width: usize, i: usize) -> u64 {
    let lane_bit = |bit: usize| {
        let at = i / 512 * 64 * width + (bit / 16 * 32 + i % 32) * 2 + bit % 16 / 8;
        u64::from(codes[at] >> (bit % 8) & 1)
    };
    (0..width).map(|k| lane_bit(i % 512 / 32 * width + k) << k).sum()
}

/// A column by its definition, one entry at a time.
fn obvious(mut bytes: &[u8], size: usize, n: usize) -> Vec<u64> {
    let bytes = &mut bytes;
    let wrap = |x: u64| if size == 8 { x } else { x & ((1 << (8 * size)) - 1) };
    let [encoding, width, flags] = [take(bytes, 1), take(bytes, 1), take(bytes, 1)];
    let width = width as usize;
    let has = |bit: u8| flags & u64::from(bit) != 0;
    let base = if has(BASE) { take(bytes, size) } else { 0 };
    let stride = if has(STRIDE) { take(bytes, size) } else { 1 };
    let radix = if has(PAIRS) { take(bytes, 2) } else { 0 };
    let n_places = if has(DICTIONARY) { take(bytes, 1) + 1 } else { 0 };
    let dictionary: Vec<u64> = (0..n_places).map(|_| take(bytes, size)).collect();
    if encoding == u64::from(RUNS) {
        assert_eq!(take(bytes, 4) as usize, bytes.len());
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (len, first) = (take(bytes, 2) + 1, take(bytes, size));
            entries.extend((0..len).map(|i| wrap(first.wrapping_add(i * width as u64))));
        }
        return entries;
    }
    let zstd_bytes = if encoding == u64::from(ZSTD_PLANES) { take(bytes, 4) as usize } else { 0 };
    let exception_bytes = if has(EXCEPTIONS) { take(bytes, 4) as usize } else { 0 };
    let (codes, mut exceptions) = bytes.split_at(bytes.len() - exception_bytes);
    let planes = match zstd_bytes {
        0 => codes.to_vec(),
        _ => zstd::bulk::decompress(&codes[..zstd_bytes], n * width).unwrap(),
    };
    let code = |i: usize| {
        if encoding != u64::from(PACKED) {
            return (0..width).map(|k| u64::from(planes[k * n + i]) << (8 * k)).sum();
        }
        if radix == 0 {
            return packed_code(codes, width, i);
        }
        let (chunk, place) = (i / 1024, i % 1024);
        let half = (n - 1024 * chunk).min(1024).div_ceil(2);
        let pair = packed_code(codes, width, 512 * chunk + place % half);
        if place < half { pair % radix } else { pair / radix }
    };
    let value = |code: u64| match dictionary.get(code as usize) {
        Some(&entry) => entry,
        None => wrap(base.wrapping_add(stride.wrapping_mul(code))),
    };
    let mut entries: Vec<u64> = (0..n).map(|i| value(code(i))).collect();
    let mut at = 0;
    while !exceptions.is_empty() {
        let gap = take(&mut exceptions, 1) as usize;
        at += gap;
        if gap < 255 {
            entries[at] = take(&mut exceptions, size);
            at += 1;
        }
    }
    if has(DIFFERENCES) {
        let mut sum = 0_u64;
        entries.iter_mut().for_each(|entry| {
            sum = wrap(sum.wrapping_add(*entry));
            *entry = sum;
        });
    }
    entries
}

#[test]
fn columns_of_every_type_and_shape_come_out_as_they_went_in_and_as_the_definition_says() {
    let mut forms = std::collections::BTreeSet::new();
    for column in COLUMNS {
        let dtype = column.spec().dtype;
        for (shape, n) in (0..N_SHAPES).flat_map(|s| [0, 1, 2, 40, 513, 1025, 5000].map(|n| (s, n)))
        {
            let entries = entries_of_shape(dtype, shape, n, 7);
            for compression in [Compression::Fast, Compression::Small] {
                let what = format!("{n} of {column:?}, shape {shape}, {compression:?}");
                let bytes = encoded(column, &entries, compression);
                let expected: Vec<u64> =
                    entries.bytes().chunks_exact(dtype.size()).map(read_word).collect();
                assert_eq!(obvious(&bytes, dtype.size(), n), expected, "{what}");
                let found = decoded(&bytes, dtype, n).expect(&what);
                // As bytes: floats may be no numbers.
                assert_eq!(found.bytes(), entries.bytes(), "{what}");
                forms.insert((bytes[0], bytes[2]));
            }
        }
    }
    for encoding in [RUNS, PACKED, PLANES, ZSTD_PLANES] {
        assert!(forms.iter().any(|form| form.0 == encoding), "none is in encoding {encoding}");
    }
    for flag in [DIFFERENCES, BASE, STRIDE, EXCEPTIONS, PAIRS, DICTIONARY] {
        assert!(forms.iter().any(|form| form.1 & flag != 0), "none has flag {flag}");
    }
}

/// Forms are chosen and bytes laid out as by the encoder that this one replaced, which did everything in
/// 64-bit integers, one entry after another: the digest is that of its bytes. Without zstd frames, the
/// bytes of which are the business of another library.
#[test]
fn columns_are_the_bytes_that_they_were_when_every_entry_was_a_64_bit_integer() {
    let mut bytes = Vec::new();
    for column in COLUMNS {
        let dtype = column.spec().dtype;
        for (shape, n) in
            (0..N_SHAPES).flat_map(|s| [0, 1, 2, 40, 513, 1025, 5000, 70_000].map(|n| (s, n)))
        {
            for (seed, compression) in [(7, Compression::Fast), (8, Compression::Small)] {
                let entries = entries_of_shape(dtype, shape, n, seed);
                let column = encoded(column, &entries, compression);
                if column[0] != ZSTD_PLANES {
                    bytes.extend(column);
                }
            }
        }
    }
    assert_eq!(
        (bytes.len(), xxhash_rust::xxh3::xxh3_64(&bytes)),
        (19_539_810, 10_666_333_238_491_527_350)
    );
}

#[test]
fn a_column_that_is_cut_anywhere_is_refused() {
    for (shape, compression) in
        (0..N_SHAPES).flat_map(|s| [Compression::Fast, Compression::Small].map(|c| (s, c)))
    {
        let entries = entries_of_shape(Dtype::I16, shape, 200, 3);
        let bytes = encoded(Column::JetRawPt, &entries, compression);
        for n in 0..bytes.len() {
            let cut = decoded(&bytes[..n], Dtype::I16, 200);
            assert!(cut.is_err(), "shape {shape}, {n} of {} bytes", bytes.len());
        }
    }
}

fn refusal(bytes: &[u8], dtype: Dtype, n: usize) -> String {
    decoded(bytes, dtype, n).expect_err("it cannot be decoded")
}

#[test]
fn columns_that_make_no_sense_are_refused_with_the_reason() {
    let of_i16 = |bytes: &[u8], n: usize| refusal(bytes, Dtype::I16, n);
    assert!(of_i16(&[4, 0, 0], 0).contains("encoding 4 is not known"));
    assert!(of_i16(&[PACKED, 0, 64], 0).contains("flags 0x40 are not known"));
    assert!(of_i16(&[PLANES, 1, PAIRS, 3, 0, 0], 1).contains("flags 0x10 are not known"));
    assert!(of_i16(&[PACKED, 1, DICTIONARY | BASE], 0).contains("flags 0x22 are not known"));
    assert!(of_i16(&[PACKED, 17, 0], 0).contains("width 17 cannot be"));
    assert!(of_i16(&[PLANES, 3, 0], 0).contains("width 3 cannot be"));
    assert!(of_i16(&[RUNS, 2, 0], 0).contains("width 2 cannot be"));
    for radix in [0, 1, 2, 64, 256, 257] {
        let [a, b] = u16::to_le_bytes(radix);
        let found = of_i16(&[PACKED, 16, PAIRS, a, b], 0);
        assert!(found.contains(&format!("radix {radix} cannot be")), "{found}");
    }
    let runs = |lens: &[u16]| {
        let records = lens.iter().flat_map(|len| [(len - 1) as u8, 0, 7, 0]);
        [&[RUNS, 0, 0, 4 * lens.len() as u8, 0, 0, 0], &records.collect::<Vec<u8>>()[..]].concat()
    };
    assert!(decoded(&runs(&[2, 3]), Dtype::I16, 5).is_ok());
    assert!(of_i16(&runs(&[2, 3]), 4).contains("expected runs of 4 entries, found more"));
    assert!(of_i16(&runs(&[2, 3]), 6).contains("expected runs of 6 entries, found 5"));
    let half_a_run = [RUNS, 0, 0, 5, 0, 0, 0, 0, 0, 7, 0, 1];
    assert!(of_i16(&half_a_run, 1).contains("expected runs of 1 entries"));
    let exception =
        |bytes: &[u8]| [&[PACKED, 0, EXCEPTIONS, bytes.len() as u8, 0, 0, 0], bytes].concat();
    assert!(decoded(&exception(&[1, 5, 0]), Dtype::I16, 2).is_ok());
    assert!(of_i16(&exception(&[2, 5, 0]), 2).contains("beyond the last of 2 entries"));
    assert!(of_i16(&exception(&[255, 0, 5, 0]), 255).contains("beyond the last of 255"));
    assert!(of_i16(&exception(&[0, 5]), 2).contains("cut short"));
    assert!(of_i16(&[ZSTD_PLANES, 1, 0, 3, 0, 0, 0, 1, 2, 3], 9).contains("zstd"));
    let frame = zstd::bulk::compress(&[7; 8], 1).unwrap();
    let planes = [&[ZSTD_PLANES, 1, 0, frame.len() as u8, 0, 0, 0], &frame[..]].concat();
    assert!(decoded(&planes, Dtype::I16, 8).is_ok());
    assert!(of_i16(&planes, 9).contains("expected 9 bytes in planes, found 8"));
    assert!(of_i16(&planes, 7).contains("zstd"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damage_in_a_column_never_panics(
        which in 0..COLUMNS.len(), shape in 0..N_SHAPES, n in 1..1500_usize, seed: u64,
        damage in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..4), small: bool,
    ) {
        let dtype = COLUMNS[which].spec().dtype;
        let entries = entries_of_shape(dtype, shape, n, seed);
        let compression = if small { Compression::Small } else { Compression::Fast };
        let mut bytes = encoded(COLUMNS[which], &entries, compression);
        let found = decoded(&bytes, dtype, n).unwrap();
        prop_assert_eq!(found.bytes(), entries.bytes());
        for (at, byte) in damage {
            // As often in what a column says of itself as in its codes.
            let len = if byte & 1 == 0 { bytes.len() } else { bytes.len().min(16) };
            bytes[(at * len as f64) as usize] = byte;
        }
        // Whatever comes of it, it is either refused or of the right length.
        let _ = decoded(&bytes, dtype, n);
    }
}
