//! What the publishers of candles and of events share: what may stop a round, and a stream's entry.

use redis::Pipeline;
use tracing::{debug, warn};

use super::Options;
use super::link::RedisError;
use crate::store::StoreError;

/// Why a round ended early; what is left is the next round's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Trouble {
    /// Tells what could not be published. The link has spoken of its own trouble.
    pub fn tell(&self, what: &str) {
        match self {
            Trouble::Redis(error) => debug!(%error, what, "not published"),
            Trouble::Store(error) => warn!(%error, what, "cannot be read for publishing; trying again"),
        }
    }
}

impl Options {
    /// Adds an entry of a stream to a transaction.
    pub(super) fn append(&self, writing: &mut Pipeline, stream: &str, fields: Vec<(&'static str, String)>) {
        let stream = format!("{}{stream}", self.prefix);
        let entry = writing.cmd("XADD").arg(stream).arg("MAXLEN").arg("~").arg(self.stream_length).arg("*");
        for (field, value) in fields {
            entry.arg(field).arg(value);
        }
        entry.ignore();
    }
}
