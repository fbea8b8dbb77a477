//! The `candlewick` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    candlewick::cli::run()
}
