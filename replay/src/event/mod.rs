//! The Level-1 object model: what one bunch crossing delivered, in hardware integers.
//!
//! Events travel in [`Block`]s: columns, not structs. Per-crossing columns have one entry per
//! crossing; object columns are flat, and the multiplicities say which entries belong to which
//! crossing (the shape of the CMS `OrbitCollection`):
//!
//! ```text
//! crossing      0      1   2        jet_n = [2, 0, 3]
//! jet_pt     [ a b |    | c d e ]   offsets(Jet) = [0, 2, 2, 5]
//! ```
//!
//! [`COLUMNS`] is the one table of what columns exist. Nothing here does I/O.

mod block;
pub(crate) mod gather;
mod schema;

pub use block::{Block, BlockError, Element, Entries, EventRef};
pub use schema::{COLUMNS, Collection, Column, ColumnSet, ColumnSpec, Dtype, Group};
