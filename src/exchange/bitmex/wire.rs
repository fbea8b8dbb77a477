//! The shapes of the venue's JSON: rows are objects, the same in REST and in the stream.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exchange::VenueError;
use crate::exchange::wire::{Scalar, Text, checked, malformed, rfc3339, stamp};
use crate::market::{Candle, Grid, Side, Ticker, Timeframe, Trade, TradeId};

/// The body of every refusal of REST.
#[derive(Debug, Deserialize)]
pub struct Failure<'a> {
    #[serde(borrow)]
    pub error: FailureWords<'a>,
}

#[derive(Debug, Deserialize)]
pub struct FailureWords<'a> {
    #[serde(borrow)]
    pub message: Text<'a>,
    /// `RateLimitError`, `HTTPError`, `ValidationError` ...
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// A bin. Prices are null before a market has traded at all.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BinRow<'a> {
    /// The **end** of the bin.
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
    #[serde(borrow)]
    open: Option<Scalar<'a>>,
    #[serde(borrow)]
    high: Option<Scalar<'a>>,
    #[serde(borrow)]
    low: Option<Scalar<'a>>,
    #[serde(borrow)]
    close: Option<Scalar<'a>>,
    #[serde(borrow)]
    trades: Option<Scalar<'a>>,
    #[serde(borrow)]
    vwap: Option<Scalar<'a>>,
    /// The volume in base currency; `volume` counts contracts.
    #[serde(borrow)]
    home_notional: Option<Scalar<'a>>,
    /// The volume in quote currency.
    #[serde(borrow)]
    foreign_notional: Option<Scalar<'a>>,
}

impl BinRow<'_> {
    /// The candle; `None` for a bin from before the first trade.
    pub fn candle(&self, timeframe: Timeframe) -> Result<Option<Candle>, VenueError> {
        if [self.open, self.high, self.low, self.close].iter().all(Option::is_none) {
            return Ok(None);
        }
        let price = |value: Option<Scalar<'_>>, field: &str| {
            value.ok_or_else(|| malformed(format!("bin without {field}")))?.float(field)
        };
        let float = |value: Option<Scalar<'_>>, field| value.map(|value| value.float(field)).transpose();
        let end = rfc3339(&self.timestamp.0, "timestamp")?;
        let candle = Candle {
            open_time: end - length(timeframe),
            open: price(self.open, "open")?,
            high: price(self.high, "high")?,
            low: price(self.low, "low")?,
            close: price(self.close, "close")?,
            volume: price(self.home_notional, "homeNotional")?,
            quote_volume: float(self.foreign_notional, "foreignNotional")?,
            trades: self.trades.map(|trades| trades.unsigned("trades")).transpose()?,
            vwap: float(self.vwap, "vwap")?,
        };
        checked(candle, &Grid::utc(timeframe)).map(Some)
    }
}

/// Length of a bin.
pub fn length(timeframe: Timeframe) -> TimeDelta {
    TimeDelta::from_std(timeframe.nominal()).unwrap_or_default()
}

/// A trade.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradeRow<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
    /// Of the taker.
    #[serde(borrow)]
    side: Option<Text<'a>>,
    /// In contracts; 0 for what is no trade but the value of an index.
    #[serde(borrow)]
    size: Scalar<'a>,
    #[serde(borrow)]
    price: Scalar<'a>,
    /// A GUID; says nothing of the order.
    #[serde(rename = "trdMatchID", borrow)]
    id: Text<'a>,
    /// The amount in base currency.
    #[serde(borrow)]
    home_notional: Option<Scalar<'a>>,
}

impl TradeRow<'_> {
    /// The trade; `None` for values of indices.
    pub fn trade(&self) -> Result<Option<Trade>, VenueError> {
        if self.size.decimal("size")?.is_zero() {
            return Ok(None);
        }
        let amount = self.home_notional.ok_or_else(|| malformed("trade without homeNotional"))?;
        let id = TradeId::Text((*self.id.0).into());
        Ok(Some(Trade {
            last_id: id.clone(),
            id,
            time: rfc3339(&self.timestamp.0, "timestamp")?,
            price: self.price.decimal("price")?,
            amount: amount.decimal("homeNotional")?,
            side: self.side.as_ref().and_then(|side| match &*side.0 {
                "Buy" => Some(Side::Buy),
                "Sell" => Some(Side::Sell),
                _ => None,
            }),
        }))
    }
}

/// A market, with its ticker.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Market<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    /// `Open`, `Closed`, `Settled`, `Unlisted`.
    #[serde(borrow)]
    pub state: Option<Text<'a>>,
    /// Six letters for its kind.
    #[serde(borrow)]
    pub typ: Text<'a>,
    #[serde(borrow)]
    pub underlying: Text<'a>,
    #[serde(borrow)]
    pub quote_currency: Text<'a>,
    #[serde(borrow)]
    pub settl_currency: Option<Text<'a>>,
    #[serde(borrow)]
    pub expiry: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    last_price: Option<Scalar<'a>>,
    #[serde(borrow)]
    bid_price: Option<Scalar<'a>>,
    #[serde(borrow)]
    ask_price: Option<Scalar<'a>>,
    #[serde(rename = "homeNotional24h", borrow)]
    volume: Option<Scalar<'a>>,
    #[serde(rename = "foreignNotional24h", borrow)]
    quote_volume: Option<Scalar<'a>>,
}

impl Market<'_> {
    pub fn ticker(&self) -> Result<Ticker, VenueError> {
        let float = |value: Option<Scalar<'_>>, field| value.map(|value| value.float(field)).transpose();
        Ok(Ticker {
            time: stamp(self.timestamp.as_ref()),
            last: float(self.last_price, "lastPrice")?,
            bid: float(self.bid_price, "bidPrice")?,
            ask: float(self.ask_price, "askPrice")?,
            volume: float(self.volume, "homeNotional24h")?,
            quote_volume: float(self.quote_volume, "foreignNotional24h")?,
        })
    }
}

/// Any object of the stream: the greeting, an ack, an error or a table.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    #[serde(borrow)]
    pub table: Option<Text<'a>>,
    /// `partial` for the snapshot, then `insert`.
    #[serde(borrow)]
    pub action: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
    /// Of a snapshot: which rows of the table it is about.
    #[serde(borrow)]
    pub filter: Option<Filter<'a>>,
    /// Of an ack: the topic.
    #[serde(borrow)]
    pub subscribe: Option<Text<'a>>,
    #[serde(borrow)]
    pub unsubscribe: Option<Text<'a>>,
    #[serde(borrow)]
    pub error: Option<Text<'a>>,
    /// Of an error; as in HTTP.
    #[serde(borrow)]
    pub status: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub meta: Option<Meta<'a>>,
    /// What is being answered.
    #[serde(borrow)]
    pub request: Option<&'a RawValue>,
    /// Of the greeting.
    #[serde(borrow)]
    pub info: Option<Text<'a>>,
    #[serde(borrow)]
    pub timestamp: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct Filter<'a> {
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta<'a> {
    #[serde(borrow)]
    retry_after: Option<Scalar<'a>>,
}

impl Meta<'_> {
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after?.unsigned("retryAfter").ok().map(Duration::from_secs)
    }
}

/// What a request asked for.
#[derive(Debug, Deserialize)]
pub struct Request<'a> {
    #[serde(borrow)]
    pub op: Option<Text<'a>>,
    #[serde(borrow)]
    pub args: Vec<Text<'a>>,
}
