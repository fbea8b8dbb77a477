//! The shapes of Kraken's JSON: envelopes and frames. Everything borrows from the bytes. Unknown
//! keys, longer arrays and nulls in optional places are accepted.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exchange::VenueError;
use crate::market::Side;

pub use crate::exchange::wire::{
    Cells, Entries, Scalar, Text, Words, cut_to_micros, malformed, rfc3339, stamp, trade_id,
};

/// The taker's side; `None` for a word Kraken does not document.
pub fn side(word: &str) -> Option<Side> {
    match word {
        "b" | "buy" => Some(Side::Buy),
        "s" | "sell" => Some(Side::Sell),
        _ => None,
    }
}

/// A vwap as printed; a bucket without trades has none, Kraken fills the field with zero.
pub fn vwap(printed: Option<Scalar<'_>>, trades: Option<u64>, volume: f64) -> Result<Option<f64>, VenueError> {
    match printed {
        Some(scalar) if trades != Some(0) && volume != 0.0 => scalar.float("vwap").map(Some),
        _ => Ok(None),
    }
}

/// What every REST answer is wrapped in.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// Empty on success; `W…` warnings do not make a failure.
    #[serde(borrow, default)]
    pub error: Vec<Text<'a>>,
    /// Absent on failure.
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
}

/// One entry of `AssetPairs`.
#[derive(Debug, Deserialize)]
pub struct Pair<'a> {
    /// `XBT/USD`; pairs without one have no stream and no unified name.
    #[serde(borrow)]
    pub wsname: Option<Text<'a>>,
    /// `online`, `cancel_only`, `post_only`, `limit_only`, `reduce_only`.
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
}

/// One entry of `Ticker`: arrays, of which volumes hold today's (UTC) and that of 24 hours.
#[derive(Debug, Deserialize)]
pub struct TickerRow<'a> {
    /// Best ask.
    #[serde(rename = "a", borrow)]
    pub ask: Option<Cells<'a, 1>>,
    /// Best bid.
    #[serde(rename = "b", borrow)]
    pub bid: Option<Cells<'a, 1>>,
    /// Last trade.
    #[serde(rename = "c", borrow)]
    pub last: Option<Cells<'a, 1>>,
    /// Volume in base currency.
    #[serde(rename = "v", borrow)]
    pub volume: Option<Cells<'a, 2>>,
}

/// A data frame of channel `ohlc` or `trade`, its strings held as [`Words`].
#[derive(Debug, Deserialize)]
pub struct DataFrame<W, Row> {
    /// `snapshot` or `update`.
    #[serde(rename = "type")]
    pub kind: Option<W>,
    /// When it was sent.
    pub timestamp: Option<W>,
    /// The rows, oldest first.
    pub data: Vec<Row>,
}

impl<W: Deref<Target = str>, Row> DataFrame<W, Row> {
    /// True for the rows sent once after an ack.
    pub fn is_snapshot(&self) -> bool {
        self.kind.as_deref() == Some("snapshot")
    }

    /// The venue's stamp, where it is there and readable.
    pub fn stamped_at(&self) -> Option<DateTime<Utc>> {
        self.timestamp.as_deref().and_then(|text| rfc3339(text, "timestamp").ok())
    }
}

/// A row of channel `ohlc`: the whole bar so far.
#[derive(Debug, Deserialize)]
pub struct OhlcRow<'a, W> {
    /// `BTC/USD`.
    pub symbol: W,
    /// First price.
    #[serde(borrow)]
    pub open: Scalar<'a>,
    /// Highest price.
    #[serde(borrow)]
    pub high: Scalar<'a>,
    /// Lowest price.
    #[serde(borrow)]
    pub low: Scalar<'a>,
    /// Last price.
    #[serde(borrow)]
    pub close: Scalar<'a>,
    /// Volume in base currency.
    #[serde(borrow)]
    pub volume: Scalar<'a>,
    /// Volume-weighted average price.
    #[serde(borrow)]
    pub vwap: Option<Scalar<'a>>,
    /// Number of trades.
    #[serde(borrow)]
    pub trades: Option<Scalar<'a>>,
    /// Open time of the bar: its key. The row's own `timestamp`, its end, is deprecated and not read.
    pub interval_begin: W,
    /// Minutes.
    #[serde(borrow)]
    pub interval: Scalar<'a>,
}

/// A row of channel `trade`.
#[derive(Debug, Deserialize)]
pub struct TradeRow<'a, W> {
    /// `BTC/USD`.
    pub symbol: W,
    /// Side of the taker.
    pub side: Option<W>,
    /// Price.
    #[serde(borrow)]
    pub price: Scalar<'a>,
    /// Amount in base currency.
    #[serde(borrow)]
    pub qty: Scalar<'a>,
    /// Sequence number within the book.
    #[serde(borrow)]
    pub trade_id: Scalar<'a>,
    /// Time of execution.
    pub timestamp: W,
}

/// What tells kinds of frames apart, for frames whose first key does not.
#[derive(Debug, Deserialize)]
pub struct Head<'a> {
    /// Data and notices.
    #[serde(borrow)]
    pub channel: Option<Text<'a>>,
    /// Answers to control frames.
    #[serde(borrow)]
    pub method: Option<Text<'a>>,
    /// `{"Error":"Exceeded msg rate"}`, with a capital E.
    #[serde(rename = "Error", alias = "error", borrow)]
    pub error: Option<Text<'a>>,
}

/// An answer to a control frame.
#[derive(Debug, Deserialize)]
pub struct Answer<'a> {
    /// False on refusal; pongs may leave it out.
    pub success: Option<bool>,
    /// What was subscribed; absent on refusal.
    #[serde(borrow)]
    pub result: Option<AnswerResult<'a>>,
    /// Why it was refused.
    #[serde(borrow)]
    pub error: Option<Text<'a>>,
    /// The market of a refusal, sometimes.
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
    /// Our number.
    #[serde(borrow)]
    pub req_id: Option<Scalar<'a>>,
    /// When the answer left the venue.
    #[serde(borrow)]
    pub time_out: Option<Text<'a>>,
}

/// The `result` of an ack.
#[derive(Debug, Deserialize)]
pub struct AnswerResult<'a> {
    /// The market.
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
}

/// A frame of channel `status`.
#[derive(Debug, Deserialize)]
pub struct StatusFrame<'a> {
    /// One entry; its `connection_id` exceeds 64-bit signed numbers and is not read.
    #[serde(borrow)]
    pub data: Vec<StatusRow<'a>>,
}

/// The venue's state.
#[derive(Debug, Deserialize)]
pub struct StatusRow<'a> {
    /// `online`, `maintenance`, `cancel_only`, `post_only`.
    #[serde(borrow)]
    pub system: Text<'a>,
}
