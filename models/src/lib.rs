//! x
/// x
pub type Score = i32;
