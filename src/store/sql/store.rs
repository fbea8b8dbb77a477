//! The contract, kept with statements: each call is one piece of work, reading or one transaction.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    Backend, candles, dialect, events, holdings, retention, revisions, settings, status, tickers, trades, write,
};
use crate::market::{Candle, Span, Symbol, Timeframe, Trade};
use crate::store::tables::moment::micros;
use crate::store::{
    AnchorsRow, CandleQuery, CollectorLock, CommandRow, Cut, Event, ExchangeRow, Holding, LedgerEntry, NewSymbol,
    NumberedCandle, OldCandle, Prunable, Pruned, SeriesId, SeriesOutcome, SeriesRow, StatusRow, Store, StoreError,
    StoredCandle, SymbolChange, SymbolId, SymbolRow, SymbolState, TickerRow, TradeCoverage, WriteBatch,
};

#[async_trait]
impl Store for Backend {
    fn url(&self) -> &str {
        &self.url
    }

    fn is_server(&self) -> bool {
        dialect::IS_SERVER
    }

    async fn lock_collector(&self, holder: &str) -> Result<Box<dyn CollectorLock>, StoreError> {
        let since = self.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        self.lock(format!("pid {}, since {since}: {holder}", std::process::id())).await
    }

    async fn settings_version(&self) -> Result<i64, StoreError> {
        self.read(settings::version).await
    }

    async fn exchanges(&self) -> Result<Vec<ExchangeRow>, StoreError> {
        self.read(settings::exchanges).await
    }

    async fn put_exchange(&self, row: &ExchangeRow) -> Result<(), StoreError> {
        let row = row.clone();
        self.change(move |connection| settings::put_exchange(connection, &row)).await
    }

    async fn set_blocked_until(&self, exchange: &str, until: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        let exchange = exchange.to_owned();
        self.change(move |connection| settings::set_blocked_until(connection, &exchange, until)).await
    }

    async fn symbols(&self) -> Result<Vec<SymbolRow>, StoreError> {
        self.read(settings::symbols).await
    }

    async fn add_symbol(&self, new: &NewSymbol) -> Result<SymbolChange, StoreError> {
        let new = new.clone();
        self.change(move |connection| settings::add_symbol(connection, &new)).await
    }

    async fn remove_symbol(&self, exchange: &str, symbol: &Symbol) -> Result<bool, StoreError> {
        let (exchange, symbol, now) = (exchange.to_owned(), symbol.clone(), self.now());
        self.change(move |connection| settings::remove_symbol(connection, &exchange, &symbol, now)).await
    }

    async fn set_symbol_state(&self, exchange: &str, symbol: &Symbol, state: &SymbolState) -> Result<bool, StoreError> {
        let (exchange, symbol, state) = (exchange.to_owned(), symbol.clone(), state.clone());
        self.change(move |connection| settings::set_symbol_state(connection, &exchange, &symbol, &state)).await
    }

    async fn set_refusal(&self, symbol: SymbolId, refusal: Option<&str>) -> Result<(), StoreError> {
        let refusal = refusal.map(str::to_owned);
        self.change(move |connection| settings::set_refusal(connection, symbol, refusal.as_deref())).await
    }

    async fn set_anchors(&self, symbol: SymbolId, anchors: &AnchorsRow) -> Result<(), StoreError> {
        let anchors = anchors.clone();
        self.change(move |connection| settings::set_anchors(connection, symbol, &anchors)).await
    }

    async fn open_series(&self, symbol: SymbolId, timeframe: Timeframe) -> Result<SeriesRow, StoreError> {
        self.change(move |connection| settings::open_series(connection, symbol, timeframe)).await
    }

    async fn series_of(&self, symbol: SymbolId) -> Result<Vec<SeriesRow>, StoreError> {
        self.read(move |connection| settings::series_of(connection, symbol)).await
    }

    async fn ledger(&self, series: SeriesId) -> Result<Vec<LedgerEntry>, StoreError> {
        self.read(move |connection| write::read_ledger(connection, series.0)).await
    }

    async fn holdings(&self, symbols: &[SymbolId]) -> Result<Vec<Holding>, StoreError> {
        let symbols = symbols.to_vec();
        self.read(move |connection| holdings::read(connection, &symbols)).await
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<SeriesOutcome>, StoreError> {
        let (batch, now) = (batch.clone(), micros(self.now()));
        self.change(move |connection| write::write(connection, &batch, now)).await
    }

    async fn keep_from(&self, symbol: SymbolId, cuts: &[Cut]) -> Result<Vec<Cut>, StoreError> {
        let cuts = cuts.to_vec();
        self.change(move |connection| retention::keep_from(connection, symbol, &cuts)).await
    }

    async fn prunable(&self) -> Result<Vec<Prunable>, StoreError> {
        self.read(retention::prunable).await
    }

    async fn count_before(&self, what: &Prunable) -> Result<Pruned, StoreError> {
        let (held, from) = (what.held, micros(what.from));
        self.read(move |connection| retention::count_before(connection, held, from)).await
    }

    async fn prune(&self, what: &Prunable, limit: u32) -> Result<Pruned, StoreError> {
        let (held, now) = (what.held, micros(self.now()));
        self.change(move |connection| retention::prune(connection, held, limit, now)).await
    }

    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        self.change(move |connection| events::prune(connection, micros(before), limit)).await
    }

    async fn candles(&self, series: SeriesId, query: CandleQuery) -> Result<Vec<StoredCandle>, StoreError> {
        self.read(move |connection| candles::read(connection, series.0, query)).await
    }

    async fn candles_after(
        &self,
        series: SeriesId,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<NumberedCandle>, StoreError> {
        self.read(move |connection| candles::read_after(connection, series.0, sequence, limit)).await
    }

    async fn events_after(&self, number: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.read(move |connection| events::read_after(connection, number, limit)).await
    }

    async fn last_event(&self) -> Result<i64, StoreError> {
        self.read(events::last_number).await
    }

    async fn forming(&self, series: SeriesId) -> Result<Option<Candle>, StoreError> {
        self.read(move |connection| candles::read_forming(connection, series.0)).await
    }

    async fn revisions(&self, series: SeriesId, span: Span) -> Result<Vec<OldCandle>, StoreError> {
        self.read(move |connection| revisions::read(connection, series.0, span)).await
    }

    async fn trades(&self, symbol: SymbolId, span: Span) -> Result<Vec<Trade>, StoreError> {
        self.read(move |connection| trades::read(connection, symbol.0, span)).await
    }

    async fn trades_page(
        &self,
        symbol: SymbolId,
        span: Span,
        after: Option<&Trade>,
        limit: u32,
    ) -> Result<Vec<Trade>, StoreError> {
        let after = after.cloned();
        self.read(move |connection| trades::read_page(connection, symbol.0, span, after.as_ref(), limit)).await
    }

    async fn trade_from_end(&self, symbol: SymbolId, span: Span, newer: u64) -> Result<Option<Trade>, StoreError> {
        self.read(move |connection| trades::from_end(connection, symbol.0, span, newer)).await
    }

    async fn trade(&self, symbol: SymbolId, id: u64) -> Result<Option<Trade>, StoreError> {
        self.read(move |connection| trades::find(connection, symbol.0, id)).await
    }

    async fn trade_coverage(&self, symbol: SymbolId) -> Result<TradeCoverage, StoreError> {
        self.read(move |connection| trades::read_coverage(connection, symbol.0)).await
    }

    async fn tickers(&self) -> Result<Vec<TickerRow>, StoreError> {
        self.read(tickers::read).await
    }

    async fn put_statuses(&self, rows: &[StatusRow]) -> Result<(), StoreError> {
        let rows = rows.to_vec();
        self.change(move |connection| status::put_statuses(connection, &rows)).await
    }

    async fn remove_statuses(&self, components: &[String]) -> Result<(), StoreError> {
        let components = components.to_vec();
        self.change(move |connection| status::remove_statuses(connection, &components)).await
    }

    async fn statuses(&self) -> Result<Vec<StatusRow>, StoreError> {
        self.read(status::statuses).await
    }

    async fn record_command(&self, row: &CommandRow) -> Result<bool, StoreError> {
        let row = row.clone();
        self.change(move |connection| status::record_command(connection, &row)).await
    }

    async fn update_command(&self, id: &str, outcome: &str, report: Option<&str>) -> Result<bool, StoreError> {
        let (id, outcome, report) = (id.to_owned(), outcome.to_owned(), report.map(str::to_owned));
        self.change(move |connection| status::update_command(connection, &id, &outcome, report.as_deref())).await
    }

    async fn open_commands(&self) -> Result<Vec<CommandRow>, StoreError> {
        self.read(status::open_commands).await
    }

    async fn command(&self, id: &str) -> Result<Option<CommandRow>, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| status::command(connection, &id)).await
    }
}
