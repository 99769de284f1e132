//! Arithmetic on lanes: rows and numbers, never events.

pub(crate) mod turn;
