//! What is asked of a database, in words that both understand.
//!
//! diesel's statements are typed by their backend, so this folder is compiled once for each: a
//! backend includes it by `#[path]` and names, in its own module, `Connection` (one that blocks),
//! `transaction` (everything or nothing), and `dialect` for what cannot be said in one way (bulk
//! statements, locks, the schema). Everything here is called on a thread that may block.

pub mod candles;
pub mod holdings;
mod ledger;
pub mod migrations;
pub mod settings;
pub mod status;
pub mod tickers;
pub mod trades;
pub mod write;

use super::{Connection, dialect, transaction};
