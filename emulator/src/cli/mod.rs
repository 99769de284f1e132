//! The command line: one file per subcommand, each only builds a configuration and shows results.
//!
//! Data goes to stdout, talk to stderr. Exit code 0: done; 1: failed; 2: wrong usage.

mod convert;
mod convert_to;
mod engine;
mod export;
mod generate;
#[cfg(feature = "import")]
mod import;
mod inspect;
mod jitter;
mod output;
mod parse;
mod rearrange;
mod run;
#[cfg(feature = "parquet")]
mod score;
mod serve;
mod study;
#[cfg(feature = "csv")]
mod table;
#[cfg(feature = "train")]
mod train;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::UsageError;

/// Replays Level-1 scouting streams at line rate, scores every event and measures.
#[derive(Parser, Debug)]
#[command(name = "scout40", version, about, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  scout40 convert train-*.parquet zb.s40 --place fill
  scout40 train forest --input zb.s40 -o forest.model
  scout40 run zb.s40 --model forest.model --threshold 0.55 --rate lhc --repeat --duration 10s
  scout40 inspect zb.s40";

#[derive(Subcommand, Debug)]
enum Command {
    Run(Box<run::RunArgs>),
    Convert(convert::ConvertArgs),
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
    Cat(rearrange::CatArgs),
    Slice(rearrange::SliceArgs),
    Merge(rearrange::MergeArgs),
    Shuffle(rearrange::ShuffleArgs),
    Generate(generate::GenerateArgs),
    Jitter(jitter::JitterArgs),
    Serve(serve::ServeArgs),
    Study(study::StudyArgs),
    Export(export::ExportArgs),
    #[cfg(feature = "train")]
    Train(train::TrainArgs),
    #[cfg(feature = "import")]
    Import(import::ImportArgs),
    #[cfg(feature = "parquet")]
    Score(score::ScoreArgs),
}

/// Parses the command line, runs the command, reports what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    match dispatch(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", report(&error));
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

fn dispatch(args: Args) -> Result<()> {
    match args.command {
        Command::Run(args) => run::run(*args),
        Command::Convert(args) => convert::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Cat(args) => rearrange::cat(&args),
        Command::Slice(args) => rearrange::slice(&args),
        Command::Merge(args) => rearrange::merge(&args),
        Command::Shuffle(args) => rearrange::shuffle(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Jitter(args) => jitter::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Study(args) => study::run(args),
        Command::Export(args) => export::run(&args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args),
        #[cfg(feature = "import")]
        Command::Import(args) => import::run(&args),
        #[cfg(feature = "parquet")]
        Command::Score(args) => score::run(&args),
    }
}

/// The chain of errors, outermost first; hints on lines of their own at the end.
fn report(error: &anyhow::Error) -> String {
    let (mut lines, mut hints): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for cause in error.chain() {
        for line in cause.to_string().lines() {
            let to = if line.starts_with("hint:") { &mut hints } else { &mut lines };
            // A transparent error says what its source says.
            if !to.iter().any(|earlier| earlier.ends_with(line)) {
                to.push(line.trim_start().to_owned());
            }
        }
    }
    let mut text = lines.join("\n  ");
    for hint in hints {
        text.push('\n');
        text.push_str(&hint);
    }
    text
}

/// A reader of our stdout that has seen enough is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_report_names_causes_once_and_hints_last() {
        let inner = anyhow::anyhow!("expected x, found y\nhint: try z");
        let error = Err::<(), _>(inner).context("while doing it").unwrap_err();
        assert_eq!(report(&error), "while doing it\n  expected x, found y\nhint: try z");
    }
}
