//! Numbered fault points: every HTTP call, connect and store write is one, before and after it takes
//! effect. When the count runs out the process is as good as dead at that very point. What is passed
//! on the way, and when, is written down; how long it takes is the seed's choice.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use candlewick::clock::Clock;
use candlewick::exchange::{HttpReply, HttpRequest};
use candlewick::market::{Candle, Span, Symbol, Timeframe, Trade};
use candlewick::store::*;
use candlewick::transport::{Transport, TransportError, WebSocket};
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use super::support::at_once;

/// Longest time that anything outside the collector takes, in milliseconds.
const LONGEST_MS: u64 = 25;

/// The course of a schedule, over all lives of the collector.
#[derive(Debug)]
pub struct Course {
    clock: Clock,
    dice: Mutex<StdRng>,
    events: Mutex<Vec<String>>,
}

impl Course {
    pub fn new(seed: u64, clock: Clock) -> Arc<Course> {
        Arc::new(Course { clock, dice: Mutex::new(StdRng::seed_from_u64(seed)), events: Mutex::default() })
    }

    pub fn note(&self, event: impl std::fmt::Display) {
        self.events.lock().unwrap().push(format!("{} {event}", self.clock.now().format("%F %T%.6f")));
    }

    /// Everything that happened, with its time.
    pub fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    async fn take_time(&self) {
        let taken = self.dice.lock().unwrap().random_range(0..=LONGEST_MS);
        tokio::time::sleep(Duration::from_millis(taken)).await;
    }
}

/// Counts down to the crash.
#[derive(Debug, Clone)]
pub struct Crash(Arc<(AtomicI64, Notify, Arc<Course>)>);

impl Crash {
    pub fn at_point(number: i64, course: &Arc<Course>) -> Crash {
        Crash(Arc::new((AtomicI64::new(number), Notify::new(), course.clone())))
    }

    fn course(&self) -> &Course {
        &self.0.2
    }

    /// A point at which the process may die; then it never returns.
    async fn point(&self, event: &str) {
        self.course().note(event);
        self.course().take_time().await;
        let left = self.0.0.fetch_sub(1, Ordering::SeqCst);
        if left == 0 {
            self.0.1.notify_one();
        }
        if left <= 0 {
            std::future::pending::<()>().await;
        }
    }

    pub async fn happened(&self) {
        self.0.1.notified().await;
    }
}

pub struct CrashingTransport<T>(pub T, pub Crash);

#[async_trait]
impl<T: Transport> Transport for CrashingTransport<T> {
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError> {
        self.1.point(&format!("asks for {}", request.url)).await;
        let reply = self.0.http(request).await;
        self.1.point(&format!("is answered {:?}", reply.as_ref().map(|reply| (reply.status, reply.body.len())))).await;
        reply
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        self.1.point(&format!("connects to {url}")).await;
        self.0.connect(url).await
    }
}

#[derive(Debug)]
pub struct CrashingStore(pub Arc<dyn Store>, pub Crash);

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)+) => {
        #[async_trait]
        impl Store for CrashingStore {
            fn url(&self) -> &str {
                self.0.url()
            }

            async fn write(&self, batch: &WriteBatch) -> Result<Vec<SeriesOutcome>, StoreError> {
                let what: Vec<_> =
                    batch.series.iter().map(|change| (change.series.0, change.candles.len(), &change.ledger)).collect();
                self.1.point(&format!("writes {what:?}")).await;
                let outcome = at_once(self.0.write(batch));
                self.1.point("has written").await;
                outcome
            }

            $(async fn $name(&self $(, $arg: $type)*) -> Result<$result, StoreError> {
                self.1.course().take_time().await;
                at_once(self.0.$name($($arg),*))
            })+
        }
    };
}

pass_on! {
    lock_collector(holder: &str) -> Box<dyn CollectorLock>;
    settings_version() -> i64;
    exchanges() -> Vec<ExchangeRow>;
    put_exchange(row: &ExchangeRow) -> ();
    set_blocked_until(exchange: &str, until: Option<DateTime<Utc>>) -> ();
    symbols() -> Vec<SymbolRow>;
    add_symbol(new: &NewSymbol) -> SymbolChange;
    remove_symbol(exchange: &str, symbol: &Symbol) -> bool;
    set_symbol_state(exchange: &str, symbol: &Symbol, state: &SymbolState) -> bool;
    set_anchors(symbol: SymbolId, anchors: &AnchorsRow) -> ();
    open_series(symbol: SymbolId, timeframe: Timeframe) -> SeriesRow;
    series_of(symbol: SymbolId) -> Vec<SeriesRow>;
    ledger(series: SeriesId) -> Vec<LedgerEntry>;
    holdings(symbols: &[SymbolId]) -> Vec<Holding>;
    candles(series: SeriesId, query: CandleQuery) -> Vec<StoredCandle>;
    candles_after(series: SeriesId, sequence: i64, limit: u32) -> Vec<NumberedCandle>;
    forming(series: SeriesId) -> Option<Candle>;
    revisions(series: SeriesId, span: Span) -> Vec<OldCandle>;
    trades(symbol: SymbolId, span: Span) -> Vec<Trade>;
    trades_page(symbol: SymbolId, span: Span, after: Option<&Trade>, limit: u32) -> Vec<Trade>;
    trade_from_end(symbol: SymbolId, span: Span, newer: u64) -> Option<Trade>;
    trade(symbol: SymbolId, id: u64) -> Option<Trade>;
    trade_coverage(symbol: SymbolId) -> TradeCoverage;
    tickers() -> Vec<TickerRow>;
    put_statuses(rows: &[StatusRow]) -> ();
    remove_statuses(components: &[String]) -> ();
    statuses() -> Vec<StatusRow>;
    record_command(row: &CommandRow) -> bool;
    update_command(id: &str, outcome: &str, report: Option<&str>) -> bool;
    open_commands() -> Vec<CommandRow>;
    command(id: &str) -> Option<CommandRow>;
}
