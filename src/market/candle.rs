//! Candles, and what is known of a final one: its source and the finality rule that settled it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One OHLCV bar of a single series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candle {
    /// Start of the bar, inclusive, UTC; a boundary of the series' grid.
    pub open_time: DateTime<Utc>,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Volume in base currency (for Yahoo crypto pairs whatever the venue prints).
    pub volume: f64,
    /// Volume in quote currency, where the venue prints it (Binance field 7).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quote_volume: Option<f64>,
    /// Number of trades, where the venue tells it (Kraken index 7, Binance index 8).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trades: Option<u64>,
    /// Volume-weighted average price as the venue printed it, never computed (Kraken truncates its own).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vwap: Option<f64>,
}

impl Candle {
    /// Equality as the product promises it: open, high, low, close, volume and, where both sides
    /// know it, the number of trades.
    pub fn agrees_with(&self, other: &Candle) -> bool {
        self.open_time == other.open_time
            && self.open == other.open
            && self.high == other.high
            && self.low == other.low
            && self.close == other.close
            && self.volume == other.volume
            && match (self.trades, other.trades) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
    }

    /// The flat bar of a quiet bucket: the previous close, no volume.
    pub fn flat(open_time: DateTime<Utc>, previous_close: f64) -> Candle {
        Candle {
            open_time,
            open: previous_close,
            high: previous_close,
            low: previous_close,
            close: previous_close,
            volume: 0.0,
            quote_volume: None,
            trades: Some(0),
            vwap: None,
        }
    }

    /// True for a bar the venue printed although nothing traded: its prices only repeat the close
    /// before. Zero volume alone does not say so (indices and currencies never have any).
    pub fn is_quiet(&self) -> bool {
        match self.trades {
            Some(trades) => trades == 0,
            None => {
                self.volume == 0.0
                    && self.quote_volume == Some(0.0)
                    && [self.high, self.low, self.close] == [self.open; 3]
            }
        }
    }

    /// What may be stored at all: every number is finite, no volume is negative, and the number of
    /// trades fits into a database.
    pub fn is_storable(&self) -> bool {
        [self.open, self.high, self.low, self.close, self.volume].iter().all(|value| value.is_finite())
            && self.volume >= 0.0
            && self.quote_volume.is_none_or(f64::is_finite)
            && self.vwap.is_none_or(f64::is_finite)
            && self.trades.is_none_or(|trades| i64::try_from(trades).is_ok())
    }

    /// True when open or close lies outside low..high, or low above high. Stored as the venue says
    /// it and flagged, never repaired.
    pub fn is_out_of_range(&self) -> bool {
        self.low > self.high
            || self.open > self.high
            || self.open < self.low
            || self.close > self.high
            || self.close < self.low
    }
}

/// Where a stored row came from, weakest first. A row is only replaced by an equal or stronger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Source {
    /// Flat bar by the venue's rule for quiet buckets.
    Synthesised = 1,
    /// Built from a finer stored series.
    Derived = 2,
    /// Built by us from trades.
    Trades = 3,
    /// Cumulative stream frames of a venue without a closed flag.
    Stream = 4,
    /// The venue's own closed flag.
    StreamClosed = 5,
    /// A REST row requested after the close.
    Rest = 6,
}

/// The clause of the finality contract that settled a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Rule {
    /// Rule 1: the venue's closed flag.
    Flag = 1,
    /// Rule 2: one unbroken connection delivered a later bucket, or any frame after close + grace.
    Stream = 2,
    /// Rule 3: a REST row of a request sent at or after close + settle.
    Rest = 3,
    /// Rule 4: contiguous trade ids around the bucket.
    Trades = 4,
    /// All parts of a finer series are final.
    Derived = 5,
    /// Quiet bucket of a venue that emits flat bars, under rule 2's connection condition.
    Quiet = 6,
    /// Declared by the user in an import.
    Imported = 7,
}

macro_rules! stored_as_number {
    ($name:ident: $($variant:ident => $text:literal),+ $(,)?) => {
        impl $name {
            /// The text used in JSON, CSV and tables.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// Reads the number stored in the database; `None` for one this version does not know.
            pub fn from_number(number: i16) -> Option<$name> {
                $(if number == $name::$variant as i16 { return Some($name::$variant); })+
                None
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

stored_as_number!(Source: Synthesised => "synthesised", Derived => "derived", Trades => "trades",
    Stream => "stream", StreamClosed => "stream_closed", Rest => "rest");
stored_as_number!(Rule: Flag => "flag", Stream => "stream", Rest => "rest", Trades => "trades",
    Derived => "derived", Quiet => "quiet", Imported => "imported");

/// A settled candle with its provenance: what the writer stores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FinalCandle {
    /// The bar.
    pub candle: Candle,
    /// Where it came from.
    pub source: Source,
    /// Which clause settled it.
    pub rule: Rule,
    /// When we observed it (for REST: when the request was sent), in venue time: a host whose clock
    /// was wrong for a while must not outrank what is observed after it.
    pub observed_at: DateTime<Utc>,
}
