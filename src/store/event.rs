//! Events: what consumers are told besides candles. Recorded in the transaction of the change they
//! tell of, with one number for all series: each is one more than the last, so whoever remembers the
//! last one it was told goes on after it, and whoever hears all of them sees when one is missing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::SymbolId;
use crate::market::{Candle, Source, Symbol, Timeframe};

/// Something that happened, as it is recorded and told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// From 1 on; never given twice.
    pub number: i64,
    /// When it was recorded; of a mode, when it changed.
    pub time: DateTime<Utc>,
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Absent where it is of the symbol as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeframe: Option<Timeframe>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. In JSON `kind` is its name, and the fields stand beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Candles of the past are wanted and not there: see [`crate::market::gaps`].
    GapOpened {
        /// Open time of the first bucket.
        from: DateTime<Utc>,
        /// End of the last bucket.
        to: DateTime<Utc>,
        /// Why, as in the ledger.
        reason: String,
    },
    /// All of a stretch that was told as a gap is complete.
    GapHealed {
        /// Open time of the first bucket.
        from: DateTime<Utc>,
        /// End of the last bucket.
        to: DateTime<Utc>,
    },
    /// A stretch that was told as a gap is not to be had.
    GapUnavailable {
        /// Open time of the first bucket.
        from: DateTime<Utc>,
        /// End of the last bucket.
        to: DateTime<Utc>,
        /// Why, as in the ledger, or [`PRUNED`].
        reason: String,
    },
    /// A final value changed.
    CandleRevised {
        /// Of which bucket.
        open_time: DateTime<Utc>,
        /// What it was.
        old: Values,
        /// What it is now; `None` where the bar was inferred and the exchange does not have it.
        new: Option<Values>,
    },
    /// A symbol is kept live in another way.
    ModeChanged {
        /// What was told last; `None` the first time.
        old: Option<String>,
        /// `live_websocket`, `live_rest_polling` or `live_trade`.
        new: String,
        /// In a word; `docs/embedding.md` lists them.
        reason: String,
    },
}

/// Reason of a gap that lies in what was pruned.
pub const PRUNED: &str = "pruned";

impl What {
    /// The word for it, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            What::GapOpened { .. } => "gap_opened",
            What::GapHealed { .. } => "gap_healed",
            What::GapUnavailable { .. } => "gap_unavailable",
            What::CandleRevised { .. } => "candle_revised",
            What::ModeChanged { .. } => "mode_changed",
        }
    }
}

/// The words for all kinds.
pub const KINDS: [&str; 5] = ["gap_opened", "gap_healed", "gap_unavailable", "candle_revised", "mode_changed"];

/// The values of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Volume in base currency.
    pub volume: f64,
    /// Number of trades, where the venue tells it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trades: Option<u64>,
    /// Where they came from.
    pub source: Source,
}

impl Values {
    /// Those of a candle from a source.
    pub fn of(candle: &Candle, source: Source) -> Values {
        let Candle { open, high, low, close, volume, trades, .. } = *candle;
        Values { open, high, low, close, volume, trades, source }
    }
}

/// A symbol is kept live in a mode. It is recorded as an event when another one was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeChange {
    /// The symbol.
    pub symbol: SymbolId,
    /// The mode's word.
    pub mode: String,
    /// Why, in a word.
    pub reason: String,
    /// Since when, in our clock.
    pub at: DateTime<Utc>,
}
