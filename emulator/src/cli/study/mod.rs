//! `scout40 study`: what the scores mean for physics. One file per study.

mod compare;
#[cfg(feature = "plot")]
mod compare_figures;
mod compare_text;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Answers questions about thresholds, rates and signals.
#[derive(Args, Debug)]
pub struct StudyArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand, Debug)]
enum Kind {
    Compare(compare::CompareArgs),
}

pub fn run(args: StudyArgs) -> Result<()> {
    match args.kind {
        Kind::Compare(args) => compare::run(&args),
    }
}
