//! The `candlewick` command.

use std::process::ExitCode;

/// Gives back to the system what bursts leave behind; `.cargo/config.toml` sets it up.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    candlewick::cli::run()
}
