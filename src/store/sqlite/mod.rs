//! SQLite: the store that needs no set-up. One file, one writer, readers that never block.
//!
//! Promises what [`Store`] promises. A killed process loses nothing that was acknowledged; a power
//! cut may cost the newest transactions (`synchronous = NORMAL`), never the agreement of candles and
//! ledger. Every call runs on a thread that may block, so any tokio runtime will do.

mod connection;
mod dialect;
mod error;
mod location;
mod lock;
// Compiled once for each backend, on purpose: see there.
#[allow(clippy::duplicate_mod)]
#[path = "../sql/mod.rs"]
mod sql;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sqlite::SqliteConnection as Connection;

use self::connection::{BUSY_TIMEOUT, Lane, connect, transaction};
use self::error::into_store_error;
use self::location::Location;
pub(super) use self::location::fault as url_fault;
use self::sql::{candles, holdings, migrations, settings, status, tickers, trades, write};
use super::fault::Fault;
use super::tables::moment::micros;
use super::{
    Access, AnchorsRow, CandleQuery, CollectorLock, CommandRow, ExchangeRow, Holding, LedgerEntry, NewSymbol, SeriesId,
    SeriesOutcome, SeriesRow, StatusRow, Store, StoreError, StoredCandle, SymbolChange, SymbolId, SymbolRow,
    SymbolState, TickerRow, TradeCoverage, WriteBatch,
};
use crate::clock::Clock;
use crate::market::{Candle, Span, Symbol, Timeframe, Trade};

/// Connections that only read, beside the one that writes.
const READERS: usize = 3;

/// A SQLite database.
pub struct SqliteStore {
    url: String,
    location: Location,
    clock: Clock,
    writer: Lane,
    /// Empty for a database in memory: it has one connection, which does everything.
    readers: Vec<Lane>,
    next_reader: AtomicUsize,
    memory_lock: Arc<AtomicBool>,
    applied: Vec<String>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("url", &self.url).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens `sqlite://PATH`, `sqlite://:memory:` or a path that ends in `.db`. Rows are stamped by `clock`.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Unavailable`] (no such file, with words on what to do),
    /// [`StoreError::Corrupt`] (not a database, or another program's), [`StoreError::NewerSchema`],
    /// and [`StoreError::OlderSchema`] unless `access` is [`Access::Create`].
    pub async fn open(url: &str, access: Access, clock: Clock) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_patiently(url, access, clock, BUSY_TIMEOUT).await
    }

    async fn open_patiently(
        url: &str,
        access: Access,
        clock: Clock,
        busy_timeout: Duration,
    ) -> Result<SqliteStore, StoreError> {
        let location = Location::parse(url)?;
        let (task_location, task_url) = (location.clone(), url.to_owned());
        let open = move || open_connections(&task_location, access, busy_timeout, &task_url);
        let (writer, readers, applied) = tokio::task::spawn_blocking(open).await.map_err(|error| {
            StoreError::Unavailable { url: url.to_owned(), message: format!("opening it failed: {error}") }
        })??;
        Ok(SqliteStore {
            url: url.to_owned(),
            location,
            clock,
            writer: Lane::new(writer),
            readers: readers.into_iter().map(Lane::new).collect(),
            next_reader: AtomicUsize::new(0),
            memory_lock: Arc::default(),
            applied,
        })
    }

    /// Versions of the migrations that opening applied, oldest first.
    pub fn applied_migrations(&self) -> &[String] {
        &self.applied
    }

    /// The schema's version: opening has brought it to the newest one known.
    ///
    /// # Errors
    /// When the migrations inside this program cannot be read.
    pub fn schema_version(&self) -> Result<String, StoreError> {
        migrations::newest_version().map_err(|fault| into_store_error(fault, &self.url))
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Runs work in one transaction on the writing connection.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.writer.run(move |connection| transaction(connection, work)).await;
        result.map_err(|fault| into_store_error(fault, &self.url))
    }

    /// Runs work on a connection that reads, the first that is free.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut work = work;
        for reader in &self.readers {
            match reader.try_run(work).await {
                Ok(result) => return result.map_err(|fault| into_store_error(fault, &self.url)),
                Err(given_back) => work = given_back,
            }
        }
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let lane = self.readers.get(turn % self.readers.len().max(1)).unwrap_or(&self.writer);
        lane.run(work).await.map_err(|fault| into_store_error(fault, &self.url))
    }
}

type Connections = (Connection, Vec<Connection>, Vec<String>);

fn open_connections(
    location: &Location,
    access: Access,
    busy_timeout: Duration,
    url: &str,
) -> Result<Connections, StoreError> {
    if let Location::File(path) = location
        && access != Access::Create
        && !path.exists()
    {
        let message = "there is no such file; `candlewick run`, `demo` and `symbols add` create it".to_owned();
        return Err(StoreError::Unavailable { url: url.to_owned(), message });
    }
    let mut writer = connect(location, access, busy_timeout, url)?;
    // A database in memory is always new.
    let schema_access = if *location == Location::Memory { Access::Create } else { access };
    let applied = migrations::prepare(&mut writer, schema_access).map_err(|fault| into_store_error(fault, url))?;
    let readers = match location {
        Location::Memory => Vec::new(),
        Location::File(_) => (0..READERS)
            .map(|_| connect(location, Access::ReadOnly, busy_timeout, url))
            .collect::<Result<Vec<_>, _>>()?,
    };
    Ok((writer, readers, applied))
}

#[async_trait]
impl Store for SqliteStore {
    fn url(&self) -> &str {
        &self.url
    }

    async fn lock_collector(&self, holder: &str) -> Result<Box<dyn CollectorLock>, StoreError> {
        match &self.location {
            Location::Memory => lock::lock_memory(&self.memory_lock),
            Location::File(path) => {
                let since = self.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                lock::lock_file(path, &format!("pid {}, since {since}: {holder}", std::process::id()))
            }
        }
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

    async fn candles(&self, series: SeriesId, query: CandleQuery) -> Result<Vec<StoredCandle>, StoreError> {
        self.read(move |connection| candles::read(connection, series.0, query)).await
    }

    async fn forming(&self, series: SeriesId) -> Result<Option<Candle>, StoreError> {
        self.read(move |connection| candles::read_forming(connection, series.0)).await
    }

    async fn revisions(&self, series: SeriesId, span: Span) -> Result<Vec<StoredCandle>, StoreError> {
        self.read(move |connection| candles::read_revisions(connection, series.0, span)).await
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
}
