//! A store that misbehaves by script, remembers what was asked of it, and answers at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use candlewick::clock::Clock;
use candlewick::market::{Candle, Span, Symbol, Timeframe, Trade};
use candlewick::store::{
    AnchorsRow, CandleQuery, CollectorLock, CommandRow, Cut, Event, ExchangeRow, Holding, LedgerEntry, NewSymbol,
    NumberedCandle, OldCandle, Prunable, Pruned, SeriesId, SeriesOutcome, SeriesRow, StatusRow, Store, StoreError,
    StoredCandle, SymbolChange, SymbolId, SymbolRow, SymbolState, TickerRow, TradeCoverage, WriteBatch,
};
use chrono::{DateTime, Utc};

use super::{Deed, at_once};

/// What a script is shown before the real store is asked.
pub enum StoreCall<'a> {
    Symbols,
    SetAnchors(SymbolId),
    OpenSeries(SymbolId),
    Ledger(SeriesId),
    Candles(SeriesId),
    CandlesAfter(SeriesId),
    Trades(SymbolId),
    EventsAfter,
    Prune,
    Write(&'a WriteBatch),
    PutStatuses(&'a [StatusRow]),
    RecordCommand(&'a CommandRow),
    OpenCommands,
}

type Script = Arc<dyn Fn(&StoreCall<'_>) -> Deed + Send + Sync>;

/// See the module.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    clock: Clock,
    script: Mutex<Option<Script>>,
    statuses: Mutex<Vec<(DateTime<Utc>, Vec<StatusRow>)>>,
    is_server: AtomicBool,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>, clock: Clock) -> FaultyStore {
        FaultyStore {
            inner,
            clock,
            script: Mutex::default(),
            statuses: Mutex::default(),
            is_server: AtomicBool::default(),
        }
    }

    /// From now on every call is decided by `script`.
    pub fn script(&self, script: impl Fn(&StoreCall<'_>) -> Deed + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// From now on it counts as a server, which may be away.
    pub fn pretend_server(&self) {
        self.is_server.store(true, Ordering::Relaxed);
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
            Deed::Late(by) => {
                self.clock.sleep(by).await;
                Ok(())
            }
            Deed::Refuse => Err(StoreError::Refused("told to refuse".to_owned())),
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

    fn is_server(&self) -> bool {
        self.is_server.load(Ordering::Relaxed)
    }

    async fn lock_collector(&self, holder: &str) -> Result<Box<dyn CollectorLock>, StoreError> {
        at_once(self.inner.lock_collector(holder))
    }

    async fn settings_version(&self) -> Result<i64, StoreError> {
        at_once(self.inner.settings_version())
    }

    async fn exchanges(&self) -> Result<Vec<ExchangeRow>, StoreError> {
        at_once(self.inner.exchanges())
    }

    async fn put_exchange(&self, row: &ExchangeRow) -> Result<(), StoreError> {
        at_once(self.inner.put_exchange(row))
    }

    async fn set_blocked_until(&self, exchange: &str, until: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        at_once(self.inner.set_blocked_until(exchange, until))
    }

    async fn symbols(&self) -> Result<Vec<SymbolRow>, StoreError> {
        self.obey(StoreCall::Symbols).await?;
        at_once(self.inner.symbols())
    }

    async fn add_symbol(&self, new: &NewSymbol) -> Result<SymbolChange, StoreError> {
        at_once(self.inner.add_symbol(new))
    }

    async fn remove_symbol(&self, exchange: &str, symbol: &Symbol) -> Result<bool, StoreError> {
        at_once(self.inner.remove_symbol(exchange, symbol))
    }

    async fn set_symbol_state(&self, exchange: &str, symbol: &Symbol, state: &SymbolState) -> Result<bool, StoreError> {
        at_once(self.inner.set_symbol_state(exchange, symbol, state))
    }

    async fn set_refusal(&self, symbol: SymbolId, refusal: Option<&str>) -> Result<(), StoreError> {
        at_once(self.inner.set_refusal(symbol, refusal))
    }

    async fn set_anchors(&self, symbol: SymbolId, anchors: &AnchorsRow) -> Result<(), StoreError> {
        self.obey(StoreCall::SetAnchors(symbol)).await?;
        at_once(self.inner.set_anchors(symbol, anchors))
    }

    async fn open_series(&self, symbol: SymbolId, timeframe: Timeframe) -> Result<SeriesRow, StoreError> {
        self.obey(StoreCall::OpenSeries(symbol)).await?;
        at_once(self.inner.open_series(symbol, timeframe))
    }

    async fn series_of(&self, symbol: SymbolId) -> Result<Vec<SeriesRow>, StoreError> {
        at_once(self.inner.series_of(symbol))
    }

    async fn ledger(&self, series: SeriesId) -> Result<Vec<LedgerEntry>, StoreError> {
        self.obey(StoreCall::Ledger(series)).await?;
        at_once(self.inner.ledger(series))
    }

    async fn holdings(&self, symbols: &[SymbolId]) -> Result<Vec<Holding>, StoreError> {
        at_once(self.inner.holdings(symbols))
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<SeriesOutcome>, StoreError> {
        self.obey(StoreCall::Write(batch)).await?;
        at_once(self.inner.write(batch))
    }

    async fn candles(&self, series: SeriesId, query: CandleQuery) -> Result<Vec<StoredCandle>, StoreError> {
        self.obey(StoreCall::Candles(series)).await?;
        at_once(self.inner.candles(series, query))
    }

    async fn candles_after(
        &self,
        series: SeriesId,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<NumberedCandle>, StoreError> {
        self.obey(StoreCall::CandlesAfter(series)).await?;
        at_once(self.inner.candles_after(series, sequence, limit))
    }

    async fn events_after(&self, number: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.obey(StoreCall::EventsAfter).await?;
        at_once(self.inner.events_after(number, limit))
    }

    async fn last_event(&self) -> Result<i64, StoreError> {
        at_once(self.inner.last_event())
    }

    async fn keep_from(&self, symbol: SymbolId, cuts: &[Cut]) -> Result<Vec<Cut>, StoreError> {
        at_once(self.inner.keep_from(symbol, cuts))
    }

    async fn prunable(&self) -> Result<Vec<Prunable>, StoreError> {
        at_once(self.inner.prunable())
    }

    async fn count_before(&self, what: &Prunable) -> Result<Pruned, StoreError> {
        at_once(self.inner.count_before(what))
    }

    async fn prune(&self, what: &Prunable, limit: u32) -> Result<Pruned, StoreError> {
        self.obey(StoreCall::Prune).await?;
        at_once(self.inner.prune(what, limit))
    }

    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        at_once(self.inner.prune_events(before, limit))
    }

    async fn forming(&self, series: SeriesId) -> Result<Option<Candle>, StoreError> {
        at_once(self.inner.forming(series))
    }

    async fn revisions(&self, series: SeriesId, span: Span) -> Result<Vec<OldCandle>, StoreError> {
        at_once(self.inner.revisions(series, span))
    }

    async fn trades(&self, symbol: SymbolId, span: Span) -> Result<Vec<Trade>, StoreError> {
        self.obey(StoreCall::Trades(symbol)).await?;
        at_once(self.inner.trades(symbol, span))
    }

    async fn trades_page(
        &self,
        symbol: SymbolId,
        span: Span,
        after: Option<&Trade>,
        limit: u32,
    ) -> Result<Vec<Trade>, StoreError> {
        self.inner.trades_page(symbol, span, after, limit).await
    }

    async fn trade(&self, symbol: SymbolId, id: u64) -> Result<Option<Trade>, StoreError> {
        self.inner.trade(symbol, id).await
    }

    async fn trade_from_end(&self, symbol: SymbolId, span: Span, newer: u64) -> Result<Option<Trade>, StoreError> {
        self.inner.trade_from_end(symbol, span, newer).await
    }

    async fn trade_coverage(&self, symbol: SymbolId) -> Result<TradeCoverage, StoreError> {
        at_once(self.inner.trade_coverage(symbol))
    }

    async fn tickers(&self) -> Result<Vec<TickerRow>, StoreError> {
        self.inner.tickers().await
    }

    async fn put_statuses(&self, rows: &[StatusRow]) -> Result<(), StoreError> {
        self.statuses.lock().unwrap().push((self.clock.now(), rows.to_vec()));
        self.obey(StoreCall::PutStatuses(rows)).await?;
        at_once(self.inner.put_statuses(rows))
    }

    async fn remove_statuses(&self, components: &[String]) -> Result<(), StoreError> {
        at_once(self.inner.remove_statuses(components))
    }

    async fn statuses(&self) -> Result<Vec<StatusRow>, StoreError> {
        at_once(self.inner.statuses())
    }

    async fn record_command(&self, row: &CommandRow) -> Result<bool, StoreError> {
        self.obey(StoreCall::RecordCommand(row)).await?;
        at_once(self.inner.record_command(row))
    }

    async fn update_command(&self, id: &str, outcome: &str, report: Option<&str>) -> Result<bool, StoreError> {
        at_once(self.inner.update_command(id, outcome, report))
    }

    async fn open_commands(&self) -> Result<Vec<CommandRow>, StoreError> {
        self.obey(StoreCall::OpenCommands).await?;
        at_once(self.inner.open_commands())
    }

    async fn command(&self, id: &str) -> Result<Option<CommandRow>, StoreError> {
        at_once(self.inner.command(id))
    }
}
