//! Blocks in pieces of any size, cut, flipped and out of place.

use proptest::prelude::*;

use super::*;

/// What an orbit came to, owned.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    orbit: Option<u32>,
    payload: Vec<u8>,
    complete: bool,
    error: bool,
    offset: u64,
}

fn got(orbit: Orbit<'_>) -> Got {
    Got {
        orbit: orbit.header.map(|header| header.orbit),
        payload: orbit.payload.to_vec(),
        complete: orbit.complete,
        error: orbit.error,
        offset: orbit.offset,
    }
}

fn decode(bytes: &[u8], piece: usize) -> (Vec<Got>, DthCounts) {
    let mut decoder = OrbitDecoder::default();
    let mut orbits = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(orbit) = decoder.next_orbit() {
            orbits.push(got(orbit));
        }
        assert!(decoder.held_bytes() <= BLOCK_BYTES_MAX + piece.len() + ORBIT_BYTES_MAX);
    }
    orbits.extend(decoder.finish().map(got));
    (orbits, decoder.counts())
}

fn header(orbit: u32) -> Option<OrbitHeader> {
    Some(OrbitHeader { error: false, run: 3, orbit, n_words: 0 })
}

fn payload(n: usize, seed: u8) -> Vec<u8> {
    (0..n).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) | 1).collect()
}

/// Three orbits: of three blocks, of none, of one.
fn stream() -> Vec<u8> {
    let mut bytes = Vec::new();
    push_orbit(header(10), &payload(2 * 255 * 32 + 5, 0), &mut bytes);
    push_orbit(header(11), &[], &mut bytes);
    push_orbit(header(12), &payload(64, 9), &mut bytes);
    bytes
}

#[test]
fn the_bytes_of_a_head_are_where_the_table_says() {
    let mut bytes = Vec::new();
    push_orbit(None, &payload(255 * 32 + 33, 0), &mut bytes);
    assert_eq!(bytes.len(), 8192 + 32 + 64, "the last unit is filled up");
    assert_eq!(bytes[..8], [0x47, 0x5a, 0, 0, 0, 0x80, 0xff, 0]);
    assert_eq!(bytes[8192..8200], [0x47, 0x5a, 0, 0, 0, 0x40, 2, 0]);
    let error = [&[0x47, 0x5a, 9, 9, 9, 0xe0, 1][..], &[7; 25][..]].concat();
    let head = BlockHead::from_bytes(error.first_chunk().unwrap()).unwrap();
    assert!(head.start && head.end && head.error && head.n_units == 1);
    assert_eq!(head.orbit, None, "a word without the marks of an orbit header is none");
}

#[test]
fn orbits_come_back_whatever_the_size_of_the_pieces() {
    let bytes = stream();
    let (expected, counts) = decode(&bytes, bytes.len());
    assert_eq!(
        expected.iter().map(|o| o.orbit).collect::<Vec<_>>(),
        [Some(10), Some(11), Some(12)]
    );
    assert!(expected.iter().all(|o| o.complete && !o.error));
    assert_eq!(expected[0].payload[..2 * 255 * 32 + 5], payload(2 * 255 * 32 + 5, 0));
    assert!(expected[0].payload[2 * 255 * 32 + 5..].iter().all(|&byte| byte == 0));
    assert_eq!(expected[1].offset, 2 * 8192 + 64);
    assert_eq!((counts.blocks, counts.orbits, counts.lost_bytes), (5, 3, 0));
    for piece in [1, 3, 31, 32, 33, 8191, 8192, 8193] {
        assert_eq!(decode(&bytes, piece), (expected.clone(), counts), "pieces of {piece}");
    }
}

#[test]
fn cut_anywhere_the_whole_orbits_before_are_there_and_the_last_is_incomplete() {
    let bytes = stream();
    let (whole, _) = decode(&bytes, bytes.len());
    let ends = [2 * 8192 + 64, 2 * 8192 + 96, bytes.len()];
    for n in 0..bytes.len() {
        let (orbits, counts) = decode(&bytes[..n], 977);
        let n_whole = ends.iter().filter(|&&end| end <= n).count();
        assert_eq!(orbits[..n_whole], whole[..n_whole], "{n} bytes");
        assert!(orbits[n_whole..].iter().all(|orbit| !orbit.complete));
        let used: u64 = n as u64 - counts.lost_bytes;
        assert!(used.is_multiple_of(32), "{n} bytes");
    }
}

#[test]
fn a_lost_block_costs_its_orbit_only() {
    let bytes = stream();
    // The second block of the first orbit: not to be seen, as a gap does not show, but the
    // last block makes the orbit complete; what its events hold has to tell.
    let mut without_end = bytes.clone();
    without_end.drain(16384..16384 + 64);
    let (orbits, counts) = decode(&without_end, 100);
    assert_eq!(orbits.iter().map(|o| o.complete).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!((counts.incomplete_orbits, counts.lost_bytes), (1, 0));
    let (orbits, counts) = decode(&bytes[8192..], 100);
    assert_eq!(orbits.iter().map(|o| o.orbit).collect::<Vec<_>>(), [Some(11), Some(12)]);
    assert_eq!(counts.stray_blocks, 2, "the rest of an orbit whose beginning is missing");
}

#[test]
fn after_garbage_the_next_orbit_is_found() {
    let mut bytes = stream();
    bytes[8192] = 0;
    let (orbits, counts) = decode(&bytes, 1000);
    assert_eq!(orbits.iter().map(|o| o.orbit).collect::<Vec<_>>(), [Some(10), Some(11), Some(12)]);
    assert!(!orbits[0].complete && orbits[1].complete && orbits[2].complete);
    assert_eq!(counts.lost_bytes, 8192 + 64, "up to the block that begins the next orbit");
    let text = b"GET / HTTP/1.1\r\nHost: somewhere else\r\n\r\n".repeat(50);
    let (orbits, counts) = decode(&text, 64);
    assert!(orbits.is_empty());
    assert_eq!(counts.lost_bytes, text.len() as u64);
}

#[test]
fn a_block_in_the_middle_that_is_not_full_is_no_block() {
    let mut bytes = stream();
    bytes[8192 + LENGTH_AT] = 3;
    let (orbits, _) = decode(&bytes, 1000);
    assert!(!orbits[0].complete);
    assert_eq!(orbits.last().unwrap().orbit, Some(12));
}

#[test]
fn an_error_that_a_board_reports_is_told() {
    let mut bytes = stream();
    bytes[8192 + FLAGS_AT] |= ERROR;
    let (orbits, counts) = decode(&bytes, 1000);
    assert_eq!(orbits.iter().map(|o| o.error).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(counts.error_orbits, 1);
}

#[test]
fn an_orbit_without_end_does_not_fill_the_memory() {
    let head = BlockHead { start: false, end: false, error: false, n_units: 255, orbit: None };
    let block = [&head.to_bytes()[..], &[1; 255 * 32][..]].concat();
    let start = BlockHead { start: true, ..head };
    let mut decoder = OrbitDecoder::default();
    decoder.push(&[&start.to_bytes()[..], &[1; 255 * 32][..]].concat());
    let n_blocks = 2 * ORBIT_BYTES_MAX / block.len();
    for _ in 0..n_blocks {
        decoder.push(&block);
        assert!(decoder.next_orbit().is_none());
        assert!(decoder.held_bytes() <= ORBIT_BYTES_MAX + 2 * BLOCK_BYTES_MAX);
    }
    assert!(decoder.counts().stray_blocks > n_blocks as u64 / 3);
    let mut bytes = Vec::new();
    push_orbit(header(5), &[], &mut bytes);
    decoder.push(&bytes);
    assert!(decoder.next_orbit().unwrap().complete, "and the next orbit is whole");
}

proptest! {
    #[test]
    fn cut_flipped_and_in_pieces_nothing_is_invented(
        flips in proptest::collection::vec((0usize..20_000, 0u8..8), 0..6),
        from in 0usize..20_000, piece in 1usize..9000,
    ) {
        let mut bytes = stream();
        let n = bytes.len();
        for (at, bit) in flips {
            bytes[at % n] ^= 1 << bit;
        }
        let bytes = &bytes[from % n..];
        let (orbits, counts) = decode(bytes, piece);
        let handed_on: usize = orbits.iter().map(|orbit| orbit.payload.len()).sum();
        prop_assert!(handed_on <= bytes.len());
        prop_assert!(counts.lost_bytes <= bytes.len() as u64);
        prop_assert_eq!(decode(bytes, bytes.len()), (orbits, counts));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (orbits, _) = decode(&bytes, 77);
        prop_assert!(orbits.iter().all(|orbit| orbit.payload.len() <= bytes.len()));
    }
}
