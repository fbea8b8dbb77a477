//! `candlewick migrate`: creates the database, or brings its schema up to date.
//!
//! Prints the schema's version on stdout and what was done on stderr. The collector does the same
//! when it starts; this is for those who want to see it done before.

use std::io::{self, Write};

use super::Failure;
use super::database::{DatabaseArgs, block_on};
use super::listing::{count, say};
use crate::config::format_duration;
use crate::store;

/// Migrates the database.
///
/// # Errors
/// Usage for an address that names no database; failed for a database that cannot be opened, has
/// a newer schema, or belongs to another program.
pub fn run(database: &DatabaseArgs) -> Result<(), Failure> {
    let config = database.load_config()?;
    let migrated = block_on(async { Ok(store::migrate(&config.database, config.timescale).await?) })?;
    match migrated.applied.len() {
        0 => say("the schema is up to date"),
        applied => say(format_args!("{} applied", count(applied as u64, "migration"))),
    }
    if migrated.is_timescale {
        let chunk = format_duration(config.timescale.chunk_interval);
        let age = format_duration(config.timescale.compress_after);
        say(format_args!("TimescaleDB keeps candles and trades in chunks of {chunk}, compressed after {age}"));
    }
    Ok(writeln!(io::stdout(), "{}", migrated.version)?)
}
