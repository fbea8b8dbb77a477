//! The store: what is wanted, what is held, and the ledger that proves it. A contract, not a database.
//!
//! [`Store`] has the same semantics on every backend; `store::conformance` is the suite that proves
//! it. Promises: candles and the coverage they prove are one transaction; writes are idempotent;
//! precedence decides which value stays; a changed final candle is a counted revision; after every
//! write the intervals of a series tile its extent without hole or overlap.
//!
//! Does not decide what to fetch and does not know venues.

pub mod conformance;
mod error;
pub mod event;
mod fault;
pub mod inventory;
mod opening;
pub mod postgres;
pub mod precedence;
pub mod reader;
pub mod retention;
pub mod rows;
pub mod spool;
pub mod sqlite;
mod tables;
pub mod trade_gaps;

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::market::{Candle, FinalCandle, Span, SpanSet, Symbol, Ticker, Timeframe, Trade};

pub use crate::market::ledger::{Coverage, LedgerChange, LedgerEntry};

use opening::url_fault;
pub use opening::{Access, Migrated, check_url, migrate, open, open_with_clock};

pub use error::StoreError;
pub use event::{Event, ModeChange};
pub use retention::{Cut, Kept, Prunable, Pruned};
pub use rows::{
    AnchorsRow, CandleSource, CommandRow, ExchangeMode, ExchangeRow, NewSymbol, NumberedCandle, OldCandle, SeriesRow,
    StatusRow, StoredCandle, SymbolChange, SymbolRow, SymbolState, TickerRow,
};

/// Key of a series row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesId(pub i64);

/// Key of a symbol row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SymbolId(pub i64);

/// Everything one sender wants written for one series, applied in one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesChange {
    /// The series.
    pub series: SeriesId,
    /// Final candles, any order; the last of equal open times wins.
    pub candles: Vec<FinalCandle>,
    /// Ledger statements, applied in order.
    pub ledger: Vec<LedgerChange>,
    /// The stretch that must be tiled afterwards: holes inside become `Missing { reason }`, and
    /// `observed_until` moves forward to its end.
    #[serde(with = "spool::extent")]
    pub extent: Option<(Span, &'static str)>,
    /// The current state of the open bucket, replaced in place.
    pub forming: Option<Candle>,
    /// What is missing before this is told as a gap; `None`: no gap is told of this change.
    #[serde(default)]
    pub overdue: Option<DateTime<Utc>>,
}

impl SeriesChange {
    /// A change that does nothing yet.
    pub fn new(series: SeriesId) -> SeriesChange {
        SeriesChange { series, candles: Vec::new(), ledger: Vec::new(), extent: None, forming: None, overdue: None }
    }

    /// How much there is to write, in rows.
    pub fn rows(&self) -> usize {
        self.candles.len() + self.ledger.len()
    }
}

/// Trades of one symbol with the ledger statements they prove.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TradesChange {
    /// The symbol.
    pub symbol: SymbolId,
    /// Trades, any order; known ids are left alone.
    pub trades: Vec<Trade>,
    /// Id ranges `[from, to]` (inclusive) now known to be complete.
    pub complete_ids: Vec<(u64, u64)>,
    /// Stretches of time now complete.
    pub complete_spans: Vec<Span>,
    /// Stretches of time that the venue does not have, with the reason. They never replace complete ones.
    pub unavailable: Vec<(Span, String)>,
    /// Stretches of time that are not complete after all; applied before anything else.
    pub withdrawn: Vec<Span>,
}

impl TradesChange {
    /// A change that does nothing yet.
    pub fn new(symbol: SymbolId) -> TradesChange {
        TradesChange {
            symbol,
            trades: Vec::new(),
            complete_ids: Vec::new(),
            complete_spans: Vec::new(),
            unavailable: Vec::new(),
            withdrawn: Vec::new(),
        }
    }
}

/// What is proven complete of a symbol's trades: the ledger of [`TradesChange`] as it stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TradeCoverage {
    /// Id ranges `[from, to]` (inclusive), sorted, never touching.
    pub ids: Vec<(u64, u64)>,
    /// Stretches of time.
    pub spans: SpanSet,
    /// Stretches of time that the venue does not have, oldest first, with the reason.
    pub unavailable: Vec<(Span, String)>,
}

/// The ticker of a symbol as read just now: it takes the place of the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TickerChange {
    /// The symbol.
    pub symbol: SymbolId,
    /// What the venue printed.
    pub ticker: Ticker,
    /// When it was asked, in our clock: its time where the venue prints none.
    pub observed_at: DateTime<Utc>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteBatch {
    /// Changes of series, each series at most once.
    pub series: Vec<SeriesChange>,
    /// Changes of trades, each symbol at most once.
    pub trades: Vec<TradesChange>,
    /// Tickers; the last of a symbol stays.
    pub tickers: Vec<TickerChange>,
    /// How symbols are kept live, oldest first.
    pub modes: Vec<ModeChange>,
}

impl WriteBatch {
    /// How much there is to write, in rows.
    pub fn rows(&self) -> usize {
        self.series.iter().map(SeriesChange::rows).sum::<usize>()
            + self.trades.iter().map(|change| change.trades.len()).sum::<usize>()
    }
}

/// A final value that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// The row as it was.
    pub old: StoredCandle,
    /// The row as it is now.
    pub new: FinalCandle,
}

/// What became of one [`SeriesChange`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesOutcome {
    /// Rows that were not there before.
    pub inserted: u64,
    /// Rows equal to what was stored (possibly with a stronger source now).
    pub unchanged: u64,
    /// Rows weaker or older than what was stored, and different: left out.
    pub outranked: u64,
    /// Final values that changed.
    pub revisions: Vec<Revision>,
    /// Rows that were removed, because the ledger was withdrawn.
    pub withdrawn: u64,
    /// `series.last_sequence` afterwards.
    pub last_sequence: i64,
    /// The number of the last event that the transaction recorded, of whichever series.
    pub last_event: Option<i64>,
}

/// What is held of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// The series.
    pub series: SeriesRow,
    /// Its ledger, oldest first.
    pub ledger: Vec<LedgerEntry>,
    /// Open time of the oldest final candle.
    pub first_candle: Option<DateTime<Utc>>,
    /// Open time of the newest final candle.
    pub last_candle: Option<DateTime<Utc>>,
}

/// Held while a collector (or a command that writes data) works on a database; released on drop.
pub trait CollectorLock: Send + Debug {
    /// How often the lock has been taken, this time included; `None` where nobody counts.
    fn fence(&self) -> Option<i64> {
        None
    }
}

/// How candles are chosen by [`Store::candles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleQuery {
    /// Open times inside this span.
    pub span: Span,
    /// At most so many rows, the newest ones when `newest_first` is set.
    pub limit: Option<u32>,
    /// Which end a limit keeps. Rows always come oldest first.
    pub newest_first: bool,
}

/// A database that keeps the promise. One instance serves one process; it is cheap to share.
#[async_trait]
pub trait Store: Send + Sync + Debug + 'static {
    /// The database's URL without credentials.
    fn url(&self) -> &str;

    /// True for a server, which may be away while this program runs: then what is to be written
    /// waits in a [`Spool`](spool::Spool).
    fn is_server(&self) -> bool {
        false
    }

    /// Takes the one-collector lock.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder's own words.
    async fn lock_collector(&self, holder: &str) -> Result<Box<dyn CollectorLock>, StoreError>;

    // --- what to collect ---------------------------------------------------------------------

    /// A number that changes whenever `exchanges` or `symbols` change in a way a collector must
    /// notice, whoever changed them.
    async fn settings_version(&self) -> Result<i64, StoreError>;

    /// All exchanges, by name.
    async fn exchanges(&self) -> Result<Vec<ExchangeRow>, StoreError>;

    /// Creates the exchange, or changes its settings (mode, URLs, enabled); bans are left alone.
    async fn put_exchange(&self, row: &ExchangeRow) -> Result<(), StoreError>;

    /// Remembers until when the venue has locked us out; survives restarts.
    async fn set_blocked_until(&self, exchange: &str, until: Option<DateTime<Utc>>) -> Result<(), StoreError>;

    /// All symbols of all exchanges, removed ones left out, by exchange and symbol.
    async fn symbols(&self) -> Result<Vec<SymbolRow>, StoreError>;

    /// Adds a symbol (creating its exchange row when absent), or widens an existing one:
    /// timeframes are united, `backfill_from` only moves back, a removed one comes back. Of the
    /// timeframes that are named, and of trades where they are asked for, what was pruned since
    /// `new.backfill_from` is wanted again.
    async fn add_symbol(&self, new: &NewSymbol) -> Result<SymbolChange, StoreError>;

    /// Stops wanting a symbol. Its candles and ledger stay. False when it was not there.
    async fn remove_symbol(&self, exchange: &str, symbol: &Symbol) -> Result<bool, StoreError>;

    /// Sets a symbol's state (active, paused, rejected with the venue's words). False when unknown.
    async fn set_symbol_state(&self, exchange: &str, symbol: &Symbol, state: &SymbolState) -> Result<bool, StoreError>;

    /// Remembers that the venue refuses a symbol, with its words, or, with `None`, that it serves it. A
    /// user's pause stays, also one that was written a moment ago.
    async fn set_refusal(&self, symbol: SymbolId, refusal: Option<&str>) -> Result<(), StoreError>;

    /// Remembers where the symbol's buckets lie, as the venue's instrument said.
    async fn set_anchors(&self, symbol: SymbolId, anchors: &AnchorsRow) -> Result<(), StoreError>;

    // --- series and ledger ------------------------------------------------------------------

    /// The series of a symbol and timeframe, created when absent.
    async fn open_series(&self, symbol: SymbolId, timeframe: Timeframe) -> Result<SeriesRow, StoreError>;

    /// All series of a symbol, shortest timeframe first.
    async fn series_of(&self, symbol: SymbolId) -> Result<Vec<SeriesRow>, StoreError>;

    /// The ledger of a series, oldest first.
    async fn ledger(&self, series: SeriesId) -> Result<Vec<LedgerEntry>, StoreError>;

    /// What is held of every series of the symbols, by series: read from ledgers and the ends of
    /// indexes, so that it costs the same however many candles there are.
    async fn holdings(&self, symbols: &[SymbolId]) -> Result<Vec<Holding>, StoreError>;

    /// Writes everything or nothing. Outcomes are in the order of `batch.series`.
    async fn write(&self, batch: &WriteBatch) -> Result<Vec<SeriesOutcome>, StoreError>;

    // --- retention --------------------------------------------------------------------------

    /// Moves the beginning of what is wanted forward, and says of which series and trades it did. From
    /// now on nothing before it is written, and `backfill_from` goes along as far as everything of the
    /// symbol does. What is stored before it stays until [`Store::prune`] removes it.
    async fn keep_from(&self, symbol: SymbolId, cuts: &[Cut]) -> Result<Vec<Cut>, StoreError>;

    /// What holds anything from before its beginning, removed symbols as well.
    async fn prunable(&self) -> Result<Vec<Prunable>, StoreError>;

    /// How much [`Store::prune`] would remove of it altogether; its own beginning counts.
    async fn count_before(&self, what: &Prunable) -> Result<Pruned, StoreError>;

    /// Removes the oldest rows from before the beginning together with the ledger that speaks of them,
    /// in one transaction, about `limit` of them at most.
    async fn prune(&self, what: &Prunable, limit: u32) -> Result<Pruned, StoreError>;

    /// Removes at most `limit` events from before an instant, the oldest; says how many. Their numbers
    /// are not given again.
    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StoreError>;

    // --- reading ----------------------------------------------------------------------------

    /// Final candles of a series, oldest first.
    async fn candles(&self, series: SeriesId, query: CandleQuery) -> Result<Vec<StoredCandle>, StoreError>;

    /// The final candles whose values came by changes after `sequence`, and those that were withdrawn
    /// by such changes and are not there now, in the order of their numbers, at most `limit`. A number up to `series.last_sequence` that is missing between them
    /// belonged to a value that has been corrected since, under a higher number.
    async fn candles_after(
        &self,
        series: SeriesId,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<NumberedCandle>, StoreError>;

    /// Events after `number`, in the order of their numbers, at most `limit`. Numbers are consecutive,
    /// but for those that are not kept any more.
    async fn events_after(&self, number: i64, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// The number of the newest event, 0 before the first; also when it is not kept any more.
    async fn last_event(&self) -> Result<i64, StoreError>;

    /// The state of the open bucket as last written.
    async fn forming(&self, series: SeriesId) -> Result<Option<Candle>, StoreError>;

    /// Old values of revised candles whose open time lies inside `span`, oldest revision first.
    async fn revisions(&self, series: SeriesId, span: Span) -> Result<Vec<OldCandle>, StoreError>;

    /// Trades of a symbol inside `span`, in order of time and id.
    async fn trades(&self, symbol: SymbolId, span: Span) -> Result<Vec<Trade>, StoreError>;

    /// At most `limit` trades inside `span`, in the same order, those after `after` where it is given.
    async fn trades_page(
        &self,
        symbol: SymbolId,
        span: Span,
        after: Option<&Trade>,
        limit: u32,
    ) -> Result<Vec<Trade>, StoreError>;

    /// The trade inside `span` that has `newer` others after it, in the same order.
    async fn trade_from_end(&self, symbol: SymbolId, span: Span, newer: u64) -> Result<Option<Trade>, StoreError>;

    /// The stored trade that a numeric id belongs to: its own, or that of an aggregated one.
    async fn trade(&self, symbol: SymbolId, id: u64) -> Result<Option<Trade>, StoreError>;

    /// What is proven complete of a symbol's trades.
    async fn trade_coverage(&self, symbol: SymbolId) -> Result<TradeCoverage, StoreError>;

    /// The newest ticker of every symbol that has one, removed symbols left out; by exchange and symbol.
    async fn tickers(&self) -> Result<Vec<TickerRow>, StoreError>;

    // --- status and commands ----------------------------------------------------------------

    /// Replaces the status of the given components.
    async fn put_statuses(&self, rows: &[StatusRow]) -> Result<(), StoreError>;

    /// Removes the status of components that are gone.
    async fn remove_statuses(&self, components: &[String]) -> Result<(), StoreError>;

    /// The last written status of every component, by name.
    async fn statuses(&self) -> Result<Vec<StatusRow>, StoreError>;

    /// Records a command and its outcome. A known id is left alone and gives false, unless it was
    /// [asked](rows::ASKED) in the table itself: that one takes the outcome.
    async fn record_command(&self, row: &CommandRow) -> Result<bool, StoreError>;

    /// Changes the outcome and the report of a command that is not over, asked or begun. False for any other.
    async fn update_command(&self, id: &str, outcome: &str, report: Option<&str>) -> Result<bool, StoreError>;

    /// Commands that are not over: asked in the table and not taken up, or begun. Oldest first.
    async fn open_commands(&self) -> Result<Vec<CommandRow>, StoreError>;

    /// The recorded command of an id.
    async fn command(&self, id: &str) -> Result<Option<CommandRow>, StoreError>;
}
