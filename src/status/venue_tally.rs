//! Running totals of one exchange, and how much of its limits is used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Upper ends, in seconds, of the classes in which the time to a final candle is counted; the last
/// class has none.
pub const FINAL_WITHIN_SECONDS: [u32; 10] = [1, 2, 5, 10, 20, 60, 120, 300, 1800, 7200];

/// Shared counters of one exchange; clones count together. They survive the restarts of its actors.
#[derive(Debug, Clone, Default)]
pub struct VenueTally(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    rest_calls: AtomicU64,
    frames: AtomicU64,
    connections: AtomicU64,
    rotations: AtomicU64,
    rotations_failed: AtomicU64,
    deaf: AtomicU64,
    gaps_healed: AtomicU64,
    finals: [AtomicU64; FINAL_WITHIN_SECONDS.len() + 1],
    finals_ms: AtomicU64,
    budget: Mutex<Option<Gauge>>,
}

/// Asks whoever knows.
struct Gauge(Box<dyn Fn() -> BTreeMap<&'static str, f64> + Send>);

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauge")
    }
}

/// A reading of the counters of one exchange.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VenueTotals {
    /// HTTP calls made.
    pub rest_calls: u64,
    /// Stream frames received.
    pub frames: u64,
    /// Stream connections opened.
    pub connections: u64,
    /// Stream connections replaced before the venue ended them.
    pub rotations: u64,
    /// New connections that were to replace one and did not prove themselves.
    pub rotations_failed: u64,
    /// How often a stream was found to be deaf for a symbol.
    pub deaf: u64,
    /// Missing stretches that became complete.
    pub gaps_healed: u64,
    /// How many candles were durable within each of [`FINAL_WITHIN_SECONDS`] after their close and not
    /// within the one before; the last count is of those that took longer.
    pub finals: [u64; FINAL_WITHIN_SECONDS.len() + 1],
    /// All those times together, in milliseconds.
    pub finals_ms: u64,
    /// Used share of each limit, 0 to 1 (above where others use it too), by the limit's name.
    pub budget_used: BTreeMap<&'static str, f64>,
}

impl VenueTally {
    /// Counts an HTTP call.
    pub fn rest_call(&self) {
        self.0.rest_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a stream frame.
    pub fn frame(&self) {
        self.0.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a stream connection.
    pub fn connection(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was replaced before the venue ended it.
    pub fn rotation(&self) {
        self.0.rotations.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was to replace another one and did not prove itself.
    pub fn rotation_failed(&self) {
        self.0.rotations_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a symbol of which a stream turned out to say nothing.
    pub fn deaf(&self) {
        self.0.deaf.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts missing stretches that became complete.
    pub fn gaps_healed(&self, count: u64) {
        self.0.gaps_healed.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a final candle that became durable so long after its close.
    pub fn settled(&self, after: Duration) {
        let class = FINAL_WITHIN_SECONDS.iter().position(|end| after <= Duration::from_secs(u64::from(*end)));
        self.0.finals[class.unwrap_or(FINAL_WITHIN_SECONDS.len())].fetch_add(1, Ordering::Relaxed);
        self.0.finals_ms.fetch_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Says whom to ask for the used shares of the exchange's limits.
    pub fn measures_budget(&self, ask: impl Fn() -> BTreeMap<&'static str, f64> + Send + 'static) {
        *self.0.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(Gauge(Box::new(ask)));
    }

    /// Reads all counters.
    pub fn totals(&self) -> VenueTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let budget = self.0.budget.lock().unwrap_or_else(PoisonError::into_inner);
        VenueTotals {
            rest_calls: read(&self.0.rest_calls),
            frames: read(&self.0.frames),
            connections: read(&self.0.connections),
            rotations: read(&self.0.rotations),
            rotations_failed: read(&self.0.rotations_failed),
            deaf: read(&self.0.deaf),
            gaps_healed: read(&self.0.gaps_healed),
            finals: self.0.finals.each_ref().map(read),
            finals_ms: read(&self.0.finals_ms),
            budget_used: budget.as_ref().map(|gauge| (gauge.0)()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Tally;

    #[test]
    fn times_are_counted_in_their_class_and_exchanges_apart_and_together() {
        let tally = Tally::default();
        for ms in [0, 1_000, 1_001, 7_200_000, 7_200_001] {
            tally.venue("kraken").settled(Duration::from_millis(ms));
        }
        tally.venue("kraken").rest_call();
        tally.venue("binance").rest_call();
        tally.venue("binance").measures_budget(|| [("requests", 0.25)].into());
        let totals = tally.totals();
        assert_eq!(totals.rest_calls, 2);
        let kraken = &totals.exchanges["kraken"];
        assert_eq!((kraken.rest_calls, kraken.finals_ms), (1, 14_402_002));
        assert_eq!(kraken.finals, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(totals.exchanges["binance"].budget_used, [("requests", 0.25)].into());
    }
}
