//! What is mirrored to Redis, for programs beside the collector: status, candles, commands.
//!
//! Redis is never needed: while it is away, the mirror is late and nothing else is. What is
//! mirrored is read again from where it is kept (the board, the store), so an outage costs no
//! memory that grows with its length.

pub mod link;
pub mod process_cache;

use std::path::PathBuf;

pub use link::{Link, Redis, RedisError};
pub use process_cache::ProcessCache;

/// How the mirror works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `redis://` or `rediss://` (TLS); nothing is mirrored without it.
    pub url: Option<String>,
    /// PEM file of the authority to trust instead of the usual ones, for `rediss://`.
    pub ca_file: Option<PathBuf>,
    /// Stands before every key, for a Redis that others use too.
    pub prefix: String,
}
