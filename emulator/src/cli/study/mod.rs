//! `scout40 study`: what the scores mean for physics. One file per study.

mod bump;
mod compare;
#[cfg(feature = "plot")]
mod compare_figures;
mod compare_text;
mod nplm;
#[cfg(feature = "plot")]
mod nplm_figures;
mod nplm_text;

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
    Nplm(Box<nplm::NplmArgs>),
    Bump(Box<bump::BumpArgs>),
    Power(Box<nplm::PowerArgs>),
}

pub fn run(args: StudyArgs) -> Result<()> {
    match args.kind {
        Kind::Compare(args) => compare::run(&args),
        Kind::Nplm(args) => nplm::run_nplm(&args),
        Kind::Bump(args) => bump::run(&args),
        Kind::Power(args) => nplm::run_power(&args),
    }
}
