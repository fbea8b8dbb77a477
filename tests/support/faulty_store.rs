//! A store that misbehaves by script and remembers what was asked of it.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use candlewick::clock::Clock;
use candlewick::market::{Candle, Span, Symbol, Timeframe, Trade};
use candlewick::store::{
    AnchorsRow, CandleQuery, CollectorLock, CommandRow, ExchangeRow, LedgerEntry, NewSymbol, SeriesId, SeriesOutcome,
    SeriesRow, StatusRow, Store, StoreError, StoredCandle, SymbolChange, SymbolId, SymbolRow, SymbolState,
    TradeCoverage, WriteBatch,
};
use chrono::{DateTime, Utc};

use super::Deed;

/// What a script is shown before the real store is asked.
pub enum StoreCall<'a> {
    OpenSeries(SymbolId),
    Ledger(SeriesId),
    Candles(SeriesId),
    Write(&'a WriteBatch),
    PutStatuses(&'a [StatusRow]),
}

type Script = Arc<dyn Fn(&StoreCall<'_>) -> Deed + Send + Sync>;

/// See the module.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    clock: Clock,
    script: Mutex<Option<Script>>,
    statuses: Mutex<Vec<(DateTime<Utc>, Vec<StatusRow>)>>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>, clock: Clock) -> FaultyStore {
        FaultyStore { inner, clock, script: Mutex::default(), statuses: Mutex::default() }
    }

    /// From now on every call is decided by `script`.
    pub fn script(&self, script: impl Fn(&StoreCall<'_>) -> Deed + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// No more misbehaviour.
    pub fn behave(&self) {
        *self.script.lock().unwrap() = None;
    }

    /// Every write of statuses so far, with its time.
    pub fn status_writes(&self) -> Vec<(DateTime<Utc>, Vec<StatusRow>)> {
        self.statuses.lock().unwrap().clone()
    }

    async fn obey(&self, call: StoreCall<'_>) -> Result<(), StoreError> {
        let script = self.script.lock().unwrap().clone();
        match script.map_or(Deed::Proceed, |script| script(&call)) {
            Deed::Proceed => Ok(()),
            Deed::Panic => panic!("the store was told to panic"),
            Deed::Hang => std::future::pending().await,
            Deed::Fail => Err(StoreError::Full("told to fail".to_owned())),
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner)
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn lock_collector(&self, holder: &str) -> Result<Box<dyn CollectorLock>, StoreError> {
        self.inner.lock_collector(holder).await
    }

    async fn settings_version(&self) -> Result<i64, StoreError> {
        self.inner.settings_version().await
    }

    async fn exchanges(&self) -> Result<Vec<ExchangeRow>, StoreError> {
        self.inner.exchanges().await
    }

    async fn put_exchange(&self, row: &ExchangeRow) -> Result<(), StoreError> {
        self.inner.put_exchange(row).await
    }

    async fn set_blocked_until(&self, exchange: &str, until: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        self.inner.set_blocked_until(exchange, until).await
    }

    async fn symbols(&self) -> Result<Vec<SymbolRow>, StoreError> {
        self.inner.symbols().await
    }

    async fn add_symbol(&self, new: &NewSymbol) -> Result<SymbolChange, StoreError> {
        self.inner.add_symbol(new).await
    }

    async fn remove_symbol(&self, exchange: &str, symbol: &Symbol) -> Result<bool, StoreError> {
        self.inner.remove_symbol(exchange, symbol).await
    }

    async fn set_symbol_state(&self, exchange: &str, symbol: &Symbol, state: &SymbolState) -> Result<bool, StoreError> {
        self.inner.set_symbol_state(exchange, symbol, state).await
    }

    async fn set_anchors(&self, symbol: SymbolId, anchors: &AnchorsRow) -> Result<(), StoreError> {
        self.inner.set_anchors(symbol, anchors).await
    }

    async fn open_series(&self, symbol: SymbolId, timeframe: Timeframe) -> Result<SeriesRow, StoreError> {
        self.obey(StoreCall::OpenSeries(symbol)).await?;
        self.inner.open_series(symbol, timeframe).await
    }

    async fn series_of(&self, symbol: SymbolId) -> Result<Vec<SeriesRow>, StoreError> {
        self.inner.series_of(symbol).await
    }

    async fn ledger(&self, series: SeriesId) -> Result<Vec<LedgerEntry>, StoreError> {
        self.obey(StoreCall::Ledger(series)).await?;
        self.inner.ledger(series).await
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<SeriesOutcome>, StoreError> {
        self.obey(StoreCall::Write(batch)).await?;
        self.inner.write(batch).await
    }

    async fn candles(&self, series: SeriesId, query: CandleQuery) -> Result<Vec<StoredCandle>, StoreError> {
        self.obey(StoreCall::Candles(series)).await?;
        self.inner.candles(series, query).await
    }

    async fn forming(&self, series: SeriesId) -> Result<Option<Candle>, StoreError> {
        self.inner.forming(series).await
    }

    async fn revisions(&self, series: SeriesId, span: Span) -> Result<Vec<StoredCandle>, StoreError> {
        self.inner.revisions(series, span).await
    }

    async fn trades(&self, symbol: SymbolId, span: Span) -> Result<Vec<Trade>, StoreError> {
        self.inner.trades(symbol, span).await
    }

    async fn trade_coverage(&self, symbol: SymbolId) -> Result<TradeCoverage, StoreError> {
        self.inner.trade_coverage(symbol).await
    }

    async fn put_statuses(&self, rows: &[StatusRow]) -> Result<(), StoreError> {
        self.statuses.lock().unwrap().push((self.clock.now(), rows.to_vec()));
        self.obey(StoreCall::PutStatuses(rows)).await?;
        self.inner.put_statuses(rows).await
    }

    async fn remove_statuses(&self, components: &[String]) -> Result<(), StoreError> {
        self.inner.remove_statuses(components).await
    }

    async fn statuses(&self) -> Result<Vec<StatusRow>, StoreError> {
        self.inner.statuses().await
    }

    async fn record_command(&self, row: &CommandRow) -> Result<bool, StoreError> {
        self.inner.record_command(row).await
    }
}
