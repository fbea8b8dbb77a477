//! Running totals of a collector. Every drop is counted with a reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::venue_tally::{VenueTally, VenueTotals};

/// Shared counters; clones count together. Totals survive the restarts of the actors that count.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    candles_stored: AtomicU64,
    revisions: AtomicU64,
    venues: Mutex<BTreeMap<&'static str, VenueTally>>,
    write_failures: AtomicU64,
    spool_rows: AtomicU64,
    spool_bytes: AtomicU64,
    spool_limit_bytes: AtomicU64,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
    pruned: Mutex<BTreeMap<&'static str, u64>>,
}

/// A reading of the counters.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Totals {
    /// Final candles written for the first time.
    pub candles_stored: u64,
    /// Final values that changed.
    pub revisions: u64,
    /// HTTP calls made.
    pub rest_calls: u64,
    /// Stream frames received.
    pub frames: u64,
    /// Stream connections opened.
    pub connections: u64,
    /// Writes the store could not take at once.
    pub write_failures: u64,
    /// Rows that wait in the spool now.
    pub spool_rows: u64,
    /// Their size.
    pub spool_bytes: u64,
    /// The size at which sources have to wait; 0 where there is no spool.
    pub spool_limit_bytes: u64,
    /// What was left out, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What was removed because it is not kept any more, by kind: `candles`, `revisions`, `trades`, `events`.
    pub pruned: BTreeMap<&'static str, u64>,
    /// What was counted of each exchange, by its id.
    pub exchanges: BTreeMap<&'static str, VenueTotals>,
}

impl Tally {
    /// Counts the outcome of a write.
    pub fn stored(&self, candles: u64, revisions: u64) {
        self.0.candles_stored.fetch_add(candles, Ordering::Relaxed);
        self.0.revisions.fetch_add(revisions, Ordering::Relaxed);
    }

    /// The counters of an exchange, by its id.
    pub fn venue(&self, exchange: &'static str) -> VenueTally {
        self.0.venues.lock().unwrap_or_else(PoisonError::into_inner).entry(exchange).or_default().clone()
    }

    /// Counts a write that failed.
    pub fn write_failure(&self) {
        self.0.write_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells how much waits in the spool.
    pub fn spool(&self, rows: u64, bytes: u64, limit_bytes: u64) {
        self.0.spool_rows.store(rows, Ordering::Relaxed);
        self.0.spool_bytes.store(bytes, Ordering::Relaxed);
        self.0.spool_limit_bytes.store(limit_bytes, Ordering::Relaxed);
    }

    /// Counts what was left out. Reasons come from a closed set of words.
    pub fn dropped(&self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.0.dropped.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += count;
        }
    }

    /// Counts rows of a kind that were removed because they are not kept any more.
    pub fn pruned(&self, kind: &'static str, count: u64) {
        if count > 0 {
            *self.0.pruned.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += count;
        }
    }

    /// Reads all counters.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let venues = self.0.venues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let exchanges: BTreeMap<_, _> = venues.iter().map(|(id, venue)| (*id, venue.totals())).collect();
        let sum = |count: fn(&VenueTotals) -> u64| exchanges.values().map(count).sum();
        Totals {
            candles_stored: read(&self.0.candles_stored),
            revisions: read(&self.0.revisions),
            rest_calls: sum(|venue| venue.rest_calls),
            frames: sum(|venue| venue.frames),
            connections: sum(|venue| venue.connections),
            write_failures: read(&self.0.write_failures),
            spool_rows: read(&self.0.spool_rows),
            spool_bytes: read(&self.0.spool_bytes),
            spool_limit_bytes: read(&self.0.spool_limit_bytes),
            pruned: self.0.pruned.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            dropped: self.0.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            exchanges,
        }
    }
}
