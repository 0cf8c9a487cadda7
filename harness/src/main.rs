//! `tandem`: the harness on the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tandem::cli::main()
}
