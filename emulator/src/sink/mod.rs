//! What a run leaves behind: one folder with everything, under its name only when whole.

mod accepted;
mod folder;
mod hlog;
mod rates;
mod scores;
mod summary;
mod table;

pub use accepted::{AcceptedSink, Verdict, accepted_header};
pub use folder::RunFolder;
pub use hlog::LatencyLog;
pub use rates::{RateRow, write_rates};
pub use scores::{ScoreHistogram, write_scores};
pub use summary::{Account, RunSummary};
pub use table::render;
