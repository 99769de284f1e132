//! `scout40 study`: what the scores mean for physics. One file per study.

mod bump;
mod compare;
#[cfg(feature = "plot")]
mod compare_figures;
mod compare_text;
mod inputs;
mod nplm;
#[cfg(feature = "plot")]
mod nplm_figures;
mod nplm_text;
mod peak;
mod rate;
#[cfg(feature = "plot")]
mod rate_figures;
mod rate_text;
mod report;
mod roc;
#[cfg(feature = "plot")]
mod roc_figures;
mod roc_text;
mod scan;
mod sculpt;
#[cfg(feature = "train")]
mod tune;

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
    Rate(Box<rate::RateArgs>),
    Roc(Box<roc::RocArgs>),
    Scan(Box<scan::ScanArgs>),
    Sculpt(Box<sculpt::SculptArgs>),
    #[cfg(feature = "train")]
    Tune(Box<tune::TuneArgs>),
    Nplm(Box<nplm::NplmArgs>),
    Bump(Box<bump::BumpArgs>),
    Power(Box<nplm::PowerArgs>),
}

pub fn run(args: StudyArgs) -> Result<()> {
    match args.kind {
        Kind::Compare(args) => compare::run(&args),
        Kind::Rate(args) => rate::run(&args),
        Kind::Roc(args) => roc::run(&args),
        Kind::Scan(args) => scan::run(&args),
        Kind::Sculpt(args) => sculpt::run(&args),
        #[cfg(feature = "train")]
        Kind::Tune(args) => tune::run(&args),
        Kind::Nplm(args) => nplm::run_nplm(&args),
        Kind::Bump(args) => bump::run(&args),
        Kind::Power(args) => nplm::run_power(&args),
    }
}
