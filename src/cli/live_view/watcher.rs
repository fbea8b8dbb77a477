//! Reads a running collector: statuses and totals from memory, candles and ledgers from its store.
//!
//! Cheap: a series is only read when its symbol says that it has a newer candle, and the ledgers
//! every two seconds.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{ARRIVALS, Arrival, Notices, Snapshot};
use crate::cli::shortfall::Shortfall;
use crate::collector::CollectorHandle;
use crate::market::Span;
use crate::status::{ComponentStatus, Health};
use crate::store::{CandleQuery, SeriesId, Store, StoreError};

/// How often the ledgers are counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Over which time the rate of stored candles is measured.
const RATE_OVER: Duration = Duration::from_secs(1);
/// Notices shown.
const NOTICES: usize = 3;
/// Candles of one series that one look may bring.
const BURST: u32 = 50;

/// Remembers what it has shown.
pub struct Watcher {
    database: Arc<str>,
    notices: Notices,
    /// Newest candle announced and seen, by component.
    announced: HashMap<String, DateTime<Utc>>,
    seen: HashMap<SeriesId, DateTime<Utc>>,
    arrivals: VecDeque<Arrival>,
    first_arrival: u64,
    gaps: u64,
    counted_at: Option<Instant>,
    stored: VecDeque<(Instant, u64)>,
}

impl Watcher {
    /// A watcher that has seen nothing.
    pub fn new(database: &str, notices: Notices) -> Watcher {
        Watcher {
            database: Arc::from(database),
            notices,
            announced: HashMap::new(),
            seen: HashMap::new(),
            arrivals: VecDeque::new(),
            first_arrival: 0,
            gaps: 0,
            counted_at: None,
            stored: VecDeque::new(),
        }
    }

    /// The state now.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&mut self, collector: &CollectorHandle) -> Result<Snapshot, StoreError> {
        let statuses = collector.status();
        let store = &**collector.store();
        self.arrive(store, &statuses).await?;
        if self.counted_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            self.gaps = Shortfall::read(store, collector.clock().now()).await?.missing_stretches();
            self.counted_at = Some(Instant::now());
        }
        let totals = collector.totals();
        let candles_per_second = self.rate(totals.candles_stored);
        let trouble = |status: &&ComponentStatus| status.symbol.is_none() && status.health == Health::Error;
        Ok(Snapshot {
            now: collector.clock().now(),
            speed: collector.clock().factor(),
            database: self.database.clone(),
            totals,
            candles_per_second,
            gaps: self.gaps,
            troubles: statuses.iter().filter(trouble).map(|s| format!("{}: {}", s.component, s.message)).collect(),
            symbols: statuses.into_iter().filter(|status| status.symbol.is_some()).collect(),
            arrivals: self.arrivals.clone(),
            first_arrival: self.first_arrival,
            notices: self.notices.last(NOTICES),
        })
    }

    /// Reads the candles that are newer than those seen, of the symbols that announce some.
    async fn arrive(&mut self, store: &dyn Store, statuses: &[ComponentStatus]) -> Result<(), StoreError> {
        let has_news = |status: &ComponentStatus| {
            status.last_candle.is_some_and(|last| self.announced.get(&status.component).is_none_or(|seen| *seen < last))
        };
        let fresh: Vec<&ComponentStatus> = statuses.iter().filter(|status| has_news(status)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let rows = store.symbols().await?;
        for status in fresh {
            let Some(row) = rows.iter().find(|row| status.component == format!("{}:{}", row.exchange, row.symbol))
            else {
                continue;
            };
            let (exchange, symbol) = (Arc::from(row.exchange.as_str()), Arc::from(row.symbol.as_str()));
            for series in store.series_of(row.id).await? {
                let seen = self.seen.get(&series.id).copied();
                let from = seen.map_or(DateTime::<Utc>::MIN_UTC, |seen| seen + chrono::TimeDelta::microseconds(1));
                // Of a series met for the first time only the newest candle is news.
                let limit = Some(if seen.is_some() { BURST } else { 1 });
                let span = Span::new(from, DateTime::<Utc>::MAX_UTC);
                for stored in store.candles(series.id, CandleQuery { span, limit, newest_first: true }).await? {
                    self.seen.insert(series.id, stored.candle.open_time);
                    if Some(stored.candle.open_time) == status.last_candle {
                        self.announced.insert(status.component.clone(), stored.candle.open_time);
                    }
                    self.push(Arrival {
                        exchange: Arc::clone(&exchange),
                        symbol: Arc::clone(&symbol),
                        timeframe: series.timeframe,
                        candle: stored.candle,
                        source: stored.source,
                    });
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, arrival: Arrival) {
        if self.arrivals.len() == ARRIVALS {
            self.arrivals.pop_front();
            self.first_arrival += 1;
        }
        self.arrivals.push_back(arrival);
    }

    fn rate(&mut self, stored: u64) -> f64 {
        let now = Instant::now();
        self.stored.push_back((now, stored));
        while self.stored.len() > 2 && now - self.stored[1].0 >= RATE_OVER {
            self.stored.pop_front();
        }
        let (since, before) = self.stored[0];
        let elapsed = (now - since).as_secs_f64();
        if elapsed > 0.0 { (stored - before) as f64 / elapsed } else { 0.0 }
    }
}
