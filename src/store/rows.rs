//! Rows of the tables as values. Times are UTC instants here, whatever a backend stores.

use std::str::FromStr;

use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Kept, SeriesId, SymbolId};
use crate::market::{Anchors, Candle, Rule, Session, Source, Symbol, Ticker, Timeframe, WeekStart};

/// How an exchange's symbols are kept live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeMode {
    /// Stream where the venue streams, poll where it does not.
    #[default]
    Auto,
    /// Poll only.
    Poll,
}

/// A row of `exchanges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRow {
    /// Lower-case id.
    pub name: String,
    /// False stops all its work.
    pub enabled: bool,
    /// How it is kept live.
    pub mode: ExchangeMode,
    /// REST base instead of the venue's own.
    pub rest_url: Option<String>,
    /// Stream base instead of the venue's own.
    pub stream_url: Option<String>,
    /// Until when the venue has locked us out.
    pub blocked_until: Option<DateTime<Utc>>,
}

/// Where a symbol's candles come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandleSource {
    /// The venue's own candles.
    #[default]
    Venue,
    /// Built from trades.
    Trades,
}

/// Whether a symbol is being worked on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SymbolState {
    /// Kept complete.
    #[default]
    Active,
    /// Still wanted, but no work is done.
    Paused,
    /// The venue says it does not exist, in its own words; re-checked with the instrument list.
    Rejected(String),
}

/// A row of `symbols`.
#[derive(Debug, Clone, PartialEq)]
pub struct SymbolRow {
    /// Key.
    pub id: SymbolId,
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Wanted timeframes, shortest first.
    pub timeframes: Vec<Timeframe>,
    /// Everything from here on is wanted, but for what was pruned: see [`SymbolRow::candles_from`].
    pub backfill_from: DateTime<Utc>,
    /// Candles are wanted.
    pub collect_candles: bool,
    /// Trades are wanted.
    pub collect_trades: bool,
    /// Where its candles come from.
    pub candle_source: CandleSource,
    /// Only the ticker is wanted.
    pub only_ticker: bool,
    /// Whether it is being worked on.
    pub state: SymbolState,
    /// Where its buckets lie, once the venue has said so.
    pub anchors: Option<AnchorsRow>,
    /// What was pruned of it.
    pub kept: Kept,
}

/// What `symbols add` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSymbol {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Wanted timeframes.
    pub timeframes: Vec<Timeframe>,
    /// Everything from here on is wanted.
    pub backfill_from: DateTime<Utc>,
    /// Trades are wanted too.
    pub collect_trades: bool,
    /// Where its candles come from.
    pub candle_source: CandleSource,
    /// Only the ticker is wanted.
    pub only_ticker: bool,
}

/// What `add_symbol` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolChange {
    /// It was not there.
    Added,
    /// It was there and wants more now.
    Widened,
    /// It was there and wants the same.
    Unchanged,
}

/// A row of `series`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRow {
    /// Key.
    pub id: SeriesId,
    /// Its symbol.
    pub symbol: SymbolId,
    /// Its timeframe.
    pub timeframe: Timeframe,
    /// Right edge of what a collector has looked at; the ledger tiles everything before it.
    pub observed_until: Option<DateTime<Utc>>,
    /// Number of changes to final candles so far.
    pub last_sequence: i64,
}

/// A row of `candles`, or an old value out of `candle_revisions`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredCandle {
    /// The bar.
    pub candle: Candle,
    /// Where it came from.
    pub source: Source,
    /// Which clause settled it.
    pub rule: Rule,
    /// Bit 0: open or close lies outside low..high, as the venue printed it.
    pub flags: i16,
    /// How often the final value changed.
    pub revision: i32,
    /// When the value was observed.
    pub observed_at: DateTime<Utc>,
    /// When the bucket was first stored.
    pub first_written_at: DateTime<Utc>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
}

impl StoredCandle {
    /// True for a flat bar that nobody printed: the venue's silence was taken for a quiet bucket.
    pub fn is_inferred(&self) -> bool {
        matches!(self.source, Source::Synthesised | Source::Derived) && self.candle.volume == 0.0
    }
}

/// A change of a final candle, with its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberedCandle {
    /// The series' number, from 1 on: see [`super::Store::candles_after`].
    pub sequence: i64,
    /// The row; for one that was withdrawn, as it was.
    pub stored: StoredCandle,
    /// The change took the row away.
    pub is_withdrawn: bool,
}

/// [`StoredCandle::flags`]: open or close lies outside low..high.
pub const FLAG_OUT_OF_RANGE: i16 = 1;

/// [`Anchors`] as text-friendly data: kept as JSON in `symbols.anchors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorsRow {
    /// See [`Anchors::intraday_shift_s`].
    pub intraday_shift_s: i64,
    /// `monday` or `thursday`.
    pub week_start: String,
    /// IANA zone and local opening and closing time of the session.
    pub session: Option<(String, NaiveTime, NaiveTime)>,
}

impl From<Anchors> for AnchorsRow {
    fn from(anchors: Anchors) -> AnchorsRow {
        AnchorsRow {
            intraday_shift_s: anchors.intraday_shift_s,
            week_start: match anchors.week_start {
                WeekStart::Monday => "monday".to_owned(),
                WeekStart::Thursday => "thursday".to_owned(),
            },
            session: anchors.session.map(|s| (s.zone.name().to_owned(), s.open, s.close)),
        }
    }
}

impl AnchorsRow {
    /// The anchors; `None` when a time zone or weekday is not known to this program.
    pub fn to_anchors(&self) -> Option<Anchors> {
        let week_start = match self.week_start.as_str() {
            "monday" => WeekStart::Monday,
            "thursday" => WeekStart::Thursday,
            _ => return None,
        };
        let session = match &self.session {
            Some((zone, open, close)) => {
                Some(Session { zone: chrono_tz::Tz::from_str(zone).ok()?, open: *open, close: *close })
            }
            None => None,
        };
        Some(Anchors { intraday_shift_s: self.intraday_shift_s, week_start, session })
    }
}

/// A row of `tickers`.
#[derive(Debug, Clone, PartialEq)]
pub struct TickerRow {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// The ticker; its time is the venue's, or ours where the venue prints none.
    pub ticker: Ticker,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// A row of `process_status`: what operators see of one component.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusRow {
    /// `exchange:symbol`, `exchange` or `ohlcv_daemon`.
    pub component: String,
    /// Exchange id, where it belongs to one.
    pub exchange: Option<String>,
    /// Unified symbol, where it belongs to one.
    pub symbol: Option<String>,
    /// `starting`, `running`, `processing`, `idle`, `error`, `stopped`.
    pub status: String,
    /// `live_websocket`, `live_rest_polling`, `historic`, `live_trade`, `ticker`.
    pub mode: Option<String>,
    /// `backfilling`, `live`, `paused`, `quarantined`, `rejected`, `waiting`.
    pub phase: String,
    /// Words for people.
    pub message: String,
    /// Open time of the newest final candle of the finest series.
    pub last_candle: Option<DateTime<Utc>>,
    /// How far the newest final candle's close lies behind venue time.
    pub lag_ms: Option<i64>,
    /// Lives so far minus one.
    pub restarts: i64,
    /// Complete share of everything wanted, 0 to 100.
    pub coverage_percent: Option<f64>,
    /// When the component first reported in this process.
    pub created_at: DateTime<Utc>,
    /// When anything but the heartbeat last changed.
    pub updated_at: DateTime<Utc>,
    /// When it last reported.
    pub heartbeat: DateTime<Utc>,
}

/// A row of `commands`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRow {
    /// The asker's id.
    pub id: String,
    /// `add_symbol`, `pause`, ...
    pub kind: String,
    /// The whole command as JSON.
    pub body: String,
    /// `cli`, `message`, `http`, `redis`.
    pub asked_by: String,
    /// When it arrived.
    pub asked_at: DateTime<Utc>,
    /// `done: what` or `refused: why`; [`ASKED`] and `begun: what` while it is not over.
    pub outcome: String,
    /// What it found, as JSON, where it has more to tell than words.
    pub report: Option<String>,
}

/// The outcome of a command that was asked by writing it into the table and that nobody has taken up.
pub const ASKED: &str = "asked";

/// The value a final candle had before a revision, or before it was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OldCandle {
    /// The row as it was.
    pub stored: StoredCandle,
    /// When it was replaced or withdrawn.
    pub replaced_at: DateTime<Utc>,
}
