//! What is mirrored to Redis, for programs beside the collector: status, candles, events, commands.
//!
//! Redis is never needed: while it is away, the mirror is late and nothing else is. What is
//! mirrored is read again from where it is kept (the board, the store), so an outage costs no
//! memory that grows with its length.

pub mod candles;
pub mod commands;
pub mod events;
pub mod link;
pub mod process_cache;
mod publishing;

use std::path::PathBuf;

pub use link::{Link, Redis, RedisError};
pub use process_cache::ProcessCache;

/// How the mirror works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `redis://` or `rediss://` (TLS); nothing is mirrored without it.
    pub url: Option<String>,
    /// PEM file of the authority to trust instead of the usual ones, for `rediss://`.
    pub ca_file: Option<PathBuf>,
    /// Stands before every key, for a Redis that others use too.
    pub prefix: String,
    /// Bars kept in the list of each series; 0 for no lists.
    pub cache_bars: u32,
    /// About how many entries the stream of final candles keeps, of all series together; that of events
    /// as many.
    pub stream_length: usize,
    /// Open bars are told too.
    pub forming: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            url: None,
            ca_file: None,
            prefix: String::new(),
            cache_bars: 500,
            stream_length: 100_000,
            forming: false,
        }
    }
}
