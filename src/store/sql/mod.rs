//! What is asked of a database, in words that both understand.
//!
//! diesel's statements are typed by their backend, so this folder is compiled once for each: a
//! backend includes it by `#[path]` and names, in its own module, `Connection` (one that blocks),
//! `Backend` (the store, with `url`, `now`, `lock`, `read` and `change`), and `dialect` for what
//! cannot be said in one way (bulk statements, locks, the schema). Everything but `store` is called
//! on a thread that may block.
//!
//! A single row, found by its key or summed up, is asked for with `get_result`: `first` adds a bound
//! LIMIT, and SQLite prepares a statement with one anew whenever it is bound.

pub mod candles;
mod cuts;
mod events;
pub mod head;
mod holdings;
mod ledger;
pub mod migrations;
mod retention;
mod revisions;
mod settings;
mod status;
mod store;
mod tickers;
mod trades;
mod write;

use diesel::result::Error;

use super::{Backend, Connection, dialect};
use crate::store::fault::Fault;

/// Runs work in one transaction: everything or nothing. What stopped it is returned as it was born,
/// whatever the rollback says.
pub fn transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut fault = None;
    let result = dialect::in_transaction(connection, |connection| {
        work(connection).map_err(|error| {
            fault = Some(error);
            Error::RollbackTransaction
        })
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(result?),
    }
}
