//! The rows that the programs in `fixtures/reference/` score: `rows` of `make.py`, made again by the
//! same hash.

/// Objects in a row, three values each.
pub const N_OBJECTS: usize = 19;

/// SplitMix64 from state 0.
fn hash(index: u64) -> u64 {
    let z = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// pT, eta and phi of an object.
pub fn object(row: usize, k: usize) -> [i16; 3] {
    let h = hash((row * N_OBJECTS + k) as u64);
    if row.is_multiple_of(500) {
        return [h, h >> 16, h >> 32].map(|bits| bits as u16 as i16);
    }
    if (h >> 37) % 24 >= (N_OBJECTS - k) as u64 {
        return [0; 3];
    }
    let pt = 1 + (((h >> 5) % 4096) >> ((h >> 17) % 12));
    [pt as i16, ((h >> 21) % 229) as i16 - 114, ((h >> 29) % 144) as i16]
}
