//! The `scout40` command: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    scout40::cli::main()
}
