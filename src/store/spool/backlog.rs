//! How much waits in a spool, for everybody who is not its writer: symbols that must not read the
//! store while it lacks what they have handed over, and operators.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use crate::store::{StoreError, SymbolId};

/// First and longest wait while the store cannot be read.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Senders' changes.
    pub jobs: u64,
    /// Candles, trades and ledger statements in them.
    pub rows: u64,
    /// Their size in the file.
    pub bytes: u64,
    /// How much may wait; 0 where there is no spool.
    pub limit_bytes: u64,
    /// The newest ticket that was ever given out.
    pub last: i64,
    /// Everything up to this ticket is in the database, or was refused by it.
    pub replayed: i64,
}

/// A shared view of the depth; clones see the same. Without a spool it is always empty.
#[derive(Debug, Clone)]
pub struct Backlog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    depth: watch::Sender<Depth>,
    is_closing: watch::Sender<bool>,
    refused: Mutex<BTreeSet<SymbolId>>,
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog::new(0)
    }
}

impl Backlog {
    pub(super) fn new(limit_bytes: u64) -> Backlog {
        Backlog(Arc::new(Shared {
            depth: watch::Sender::new(Depth { limit_bytes, ..Depth::default() }),
            is_closing: watch::Sender::new(false),
            refused: Mutex::default(),
        }))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Depth)) {
        self.0.depth.send_modify(change);
    }

    /// What waits now.
    pub fn depth(&self) -> Depth {
        *self.0.depth.borrow()
    }

    /// True when nothing waits: the database has everything that was handed over.
    pub fn is_empty(&self) -> bool {
        self.depth().jobs == 0
    }

    /// Waits until nothing waits. False when the collector stops before.
    pub async fn cleared(&self) -> bool {
        self.until(|depth| depth.jobs == 0).await
    }

    /// Waits until everything up to a ticket was replayed. False when the collector stops before.
    pub async fn replayed(&self, ticket: i64) -> bool {
        self.until(|depth| depth.replayed >= ticket || depth.jobs == 0).await
    }

    /// Sleeps. False when the collector stops before.
    async fn slept(&self, duration: Duration) -> bool {
        let mut closing = self.0.is_closing.subscribe();
        tokio::time::timeout(duration, closing.wait_for(|is_closing| *is_closing)).await.is_err()
    }

    async fn until(&self, is_reached: impl FnMut(&Depth) -> bool) -> bool {
        let (mut depth, mut closing) = (self.0.depth.subscribe(), self.0.is_closing.subscribe());
        tokio::select! {
            biased;
            reached = depth.wait_for(is_reached) => reached.is_ok(),
            _ = closing.wait_for(|is_closing| *is_closing) => false,
        }
    }

    /// What a store says that has everything that was handed over before: waits until nothing waits,
    /// and while the store cannot be read asks again. `None` when the collector stops before.
    ///
    /// # Errors
    /// What asking again does not mend.
    pub async fn read<T>(
        &self,
        mut reading: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut wait = RETRY.0;
        while self.cleared().await {
            match self.unless_stopping(Box::pin(reading())).await {
                None => break,
                Some(Err(error)) if error.is_transient() => {
                    debug!(%error, "the store cannot be read; it is asked again");
                    if !self.slept(wait).await {
                        break;
                    }
                    wait = (wait * 2).min(RETRY.1);
                }
                Some(read) => return read.map(Some),
            }
        }
        Ok(None)
    }

    async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut closing = self.0.is_closing.subscribe();
        tokio::select! {
            biased;
            done = work => Some(done),
            _ = closing.wait_for(|is_closing| *is_closing) => None,
        }
    }

    /// Nobody is to wait any more: the collector stops.
    pub fn close(&self) {
        self.0.is_closing.send_replace(true);
    }

    /// The database has refused something of a symbol's that had been acknowledged.
    pub fn refuse(&self, symbol: SymbolId) {
        self.refused().insert(symbol);
    }

    /// Whether something of a symbol's was refused since this was last asked.
    pub fn take_refused(&self, symbol: SymbolId) -> bool {
        self.refused().remove(&symbol)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, BTreeSet<SymbolId>> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
