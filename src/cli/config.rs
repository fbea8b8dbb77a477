//! `candlewick config`: what is wrong with the configuration, before anything runs by it.

use std::io::{self, Write};

use clap::Subcommand;

use super::Failure;
use super::database::DatabaseArgs;

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read the configuration and tell everything that is wrong with it.
    Check,
}

/// Runs the action.
///
/// # Errors
/// Usage: all faults of the file, each with the path of its setting.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    match args.action {
        Action::Check => {
            database.load_config()?;
            match database.config_file() {
                Some(path) => writeln!(io::stdout(), "{} is ok", path.display())?,
                None => writeln!(io::stdout(), "there is no configuration file; the defaults are ok")?,
            }
        }
    }
    Ok(())
}
