//! Uniform integers from random words, fixed for ever: what training and studies draw must not depend on
//! the version of a library. Where the words come from is theirs to say.

/// Uniform in 0..`n`, without bias: multiply and reject.
/// **Source**: Lemire, "Fast random integer generation in an interval", 2019, algorithm 5.
#[inline]
pub fn below(n: u64, mut next_u64: impl FnMut() -> u64) -> u64 {
    debug_assert!(n > 0, "there is no number below zero");
    let mut product = u128::from(next_u64()) * u128::from(n);
    if (product as u64) < n {
        let rejected = n.wrapping_neg() % n;
        while (product as u64) < rejected {
            product = u128::from(next_u64()) * u128::from(n);
        }
    }
    (product >> 64) as u64
}
