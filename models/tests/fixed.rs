//! Fixed-point numbers are what the original `ap_fixed` headers make of them.
//!
//! `fixtures/reference/fixed.txt.zst` has random values of many types, cast, multiplied, added,
//! subtracted and shifted by these headers; `make_fixed.py` there made it and says what a line is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use scout40_models::fixed::{Exact, Fixed, Format};
use scout40_models::hls::format_from_text;

fn reference() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference");
    let packed = std::fs::read(folder.join("fixed.txt.zst")).unwrap();
    String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap()
}

/// The code that a line should end with.
fn expected(operation: &str, formats: &[Format], numbers: &[i64]) -> Fixed {
    let target = *formats.last().unwrap();
    let operand = |i: usize| formats[i].with_code(numbers[i]);
    match operation {
        "cast" => target.cast(operand(0).exact()),
        "double" => target.cast(Exact::float(f64::from_bits(numbers[0].cast_unsigned())).unwrap()),
        "times" => target.cast(operand(0).times(operand(1))),
        "plus" => target.cast(operand(0).plus(operand(1))),
        "minus" => target.cast(operand(0).minus(operand(1))),
        "shift" => operand(0).shifted_right(numbers[1].try_into().unwrap()),
        other => panic!("the reference has an operation `{other}`"),
    }
}

#[test]
fn every_operation_agrees_with_the_original_headers() {
    let text = reference();
    let mut compared = BTreeMap::new();
    let (mut operation, mut formats) = ("", Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0].starts_with(|c: char| c.is_ascii_lowercase()) {
            operation = words[0];
            formats = words[1..].iter().map(|text| format_from_text(text).unwrap()).collect();
            continue;
        }
        let numbers: Vec<i64> = words.iter().map(|word| word.parse().unwrap()).collect();
        let (&found, given) = numbers.split_last().unwrap();
        let ours = expected(operation, &formats, given);
        assert_eq!(ours.code(), found, "{operation} {formats:?} of {given:?}");
        *compared.entry(operation).or_insert(0) += 1;
    }
    let counts = compared.into_iter().collect::<Vec<_>>();
    let all = [("cast", 3200), ("double", 1200), ("minus", 600), ("plus", 600), ("shift", 600)];
    assert_eq!(counts[..5], all);
    assert_eq!(counts[5..], [("times", 600)]);
}
