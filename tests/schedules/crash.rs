//! Numbered fault points: every HTTP call, connect and store write is one, before and after it takes
//! effect. When the count runs out the process is as good as dead at that very point.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use candlewick::exchange::{HttpReply, HttpRequest};
use candlewick::market::{Candle, Span, Symbol, Timeframe, Trade};
use candlewick::store::*;
use candlewick::transport::{Transport, TransportError, WebSocket};
use chrono::{DateTime, Utc};
use tokio::sync::Notify;

/// Counts down to the crash.
#[derive(Debug, Clone)]
pub struct Crash(Arc<(AtomicI64, Notify)>);

impl Crash {
    pub fn at_point(number: i64) -> Crash {
        Crash(Arc::new((AtomicI64::new(number), Notify::new())))
    }

    /// A point at which the process may die; then it never returns.
    async fn point(&self) {
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
        self.1.point().await;
        let reply = self.0.http(request).await;
        self.1.point().await;
        reply
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        self.1.point().await;
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
                self.1.point().await;
                let outcome = self.0.write(batch).await;
                self.1.point().await;
                outcome
            }

            $(async fn $name(&self $(, $arg: $type)*) -> Result<$result, StoreError> {
                self.0.$name($($arg),*).await
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
    candles(series: SeriesId, query: CandleQuery) -> Vec<StoredCandle>;
    forming(series: SeriesId) -> Option<Candle>;
    revisions(series: SeriesId, span: Span) -> Vec<StoredCandle>;
    trades(symbol: SymbolId, span: Span) -> Vec<Trade>;
    trade_coverage(symbol: SymbolId) -> TradeCoverage;
    put_statuses(rows: &[StatusRow]) -> ();
    remove_statuses(components: &[String]) -> ();
    statuses() -> Vec<StatusRow>;
    record_command(row: &CommandRow) -> bool;
}
