//! The shapes of the venue's JSON: envelopes, rows, frames. Nearly every value is a string, and an
//! empty one means that there is none. Everything borrows from the bytes; unknown keys, longer rows
//! and nulls in optional places are accepted.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::symbols::is_derivative;
use crate::exchange::VenueError;
use crate::exchange::wire::{Cells, Scalar, Text, checked, malformed};
use crate::market::{Candle, Grid, Side, Trade, TradeId};

/// What every REST answer is wrapped in.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// `0` on success.
    #[serde(borrow)]
    pub code: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub msg: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

/// A row of the instrument list.
#[derive(Debug, Deserialize)]
pub struct Listed<'a> {
    #[serde(rename = "instType", borrow)]
    pub kind: Text<'a>,
    #[serde(rename = "instId", borrow)]
    pub id: Text<'a>,
    #[serde(rename = "baseCcy", borrow)]
    pub base: Option<Text<'a>>,
    #[serde(rename = "quoteCcy", borrow)]
    pub quote: Option<Text<'a>>,
    #[serde(rename = "uly", borrow)]
    pub underlying: Option<Text<'a>>,
    #[serde(rename = "settleCcy", borrow)]
    pub settle: Option<Text<'a>>,
    #[serde(rename = "ctVal", borrow)]
    pub contract_value: Option<Scalar<'a>>,
    #[serde(rename = "ctMult", borrow)]
    pub contract_multiplier: Option<Scalar<'a>>,
    /// `linear` or `inverse`.
    #[serde(rename = "ctType", borrow)]
    pub contract_type: Option<Text<'a>>,
    /// `live`, `suspend`, `preopen`, `test` ...
    #[serde(borrow)]
    pub state: Option<Text<'a>>,
}

/// A row of candles: ts, open, high, low, close, vol, volCcy, volCcyQuote, confirm.
#[derive(Debug, Deserialize)]
pub struct Row<'a>(#[serde(borrow)] pub Cells<'a, 9>);

impl Row<'_> {
    /// The candle of a market, its volume in base currency.
    pub fn candle(&self, id: &str, grid: &Grid) -> Result<Candle, VenueError> {
        let float = |index, field| self.0.need(index, field)?.float(field);
        // The first one counts contracts for a derivative, and the second one its base currency.
        let volume = if is_derivative(id) { float(6, "volCcy")? } else { float(5, "vol")? };
        let quote_volume = self.0.get(7).filter(|value| !value.0.is_empty());
        let candle = Candle {
            open_time: self.0.need(0, "ts")?.millis("ts")?,
            open: float(1, "open")?,
            high: float(2, "high")?,
            low: float(3, "low")?,
            close: float(4, "close")?,
            volume,
            quote_volume: quote_volume.map(|value| value.float("volCcyQuote")).transpose()?,
            trades: None,
            vwap: None,
        };
        checked(candle, grid)
    }

    /// Whether the bucket is over.
    pub fn is_closed(&self) -> Result<bool, VenueError> {
        match self.0.need(8, "confirm")?.0 {
            "1" => Ok(true),
            "0" => Ok(false),
            other => Err(malformed(format!("confirm is {other:?}"))),
        }
    }
}

/// A trade of REST or of the stream, where it stands for all fills of a taker order at one price.
#[derive(Debug, Deserialize)]
pub struct TradeRow<'a> {
    #[serde(rename = "instId", borrow)]
    pub market: Option<Text<'a>>,
    /// The **last** id it stands for.
    #[serde(rename = "tradeId", borrow)]
    pub id: Scalar<'a>,
    #[serde(rename = "px", borrow)]
    pub price: Scalar<'a>,
    /// In base currency, or in contracts.
    #[serde(rename = "sz", borrow)]
    pub amount: Scalar<'a>,
    /// Of the taker.
    #[serde(borrow)]
    pub side: Option<Text<'a>>,
    #[serde(rename = "ts", borrow)]
    pub time: Scalar<'a>,
    /// How many ids it stands for.
    #[serde(borrow)]
    pub count: Option<Scalar<'a>>,
}

impl TradeRow<'_> {
    /// The trade, with the range of ids it covers.
    pub fn trade(&self) -> Result<Trade, VenueError> {
        let last = self.id.trade_number("tradeId")?;
        let count = self.count.filter(|count| !count.0.is_empty());
        let count = count.map_or(Ok(1), |count| count.unsigned("count"))?.max(1);
        let first = last.checked_sub(count - 1);
        let first = first.ok_or_else(|| malformed(format!("{count} trades up to number {last}")))?;
        Ok(Trade {
            id: TradeId::Number(first),
            last_id: TradeId::Number(last),
            time: self.time.millis("ts")?,
            price: self.price.decimal("px")?,
            amount: self.amount.decimal("sz")?,
            side: self.side.as_ref().and_then(|side| match &*side.0 {
                "buy" => Some(Side::Buy),
                "sell" => Some(Side::Sell),
                _ => None,
            }),
        })
    }
}

/// A ticker.
#[derive(Debug, Deserialize)]
pub struct TickerRow<'a> {
    #[serde(rename = "instId", borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub last: Option<Scalar<'a>>,
    #[serde(rename = "bidPx", borrow)]
    pub bid: Option<Scalar<'a>>,
    #[serde(rename = "askPx", borrow)]
    pub ask: Option<Scalar<'a>>,
    /// Base currency, or contracts.
    #[serde(rename = "vol24h", borrow)]
    pub volume: Option<Scalar<'a>>,
    /// Quote currency, or the base currency of a derivative.
    #[serde(rename = "volCcy24h", borrow)]
    pub currency_volume: Option<Scalar<'a>>,
    #[serde(rename = "ts", borrow)]
    pub time: Option<Scalar<'a>>,
}

/// A frame: data of a channel, or an event.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    #[serde(borrow)]
    pub arg: Option<Arg<'a>>,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
    /// `subscribe`, `unsubscribe`, `error`, `notice` ...
    #[serde(borrow)]
    pub event: Option<Text<'a>>,
    #[serde(borrow)]
    pub code: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub msg: Option<Text<'a>>,
    /// That of the request, where the server gives it back.
    #[serde(borrow)]
    pub id: Option<Scalar<'a>>,
}

/// A channel of a market.
#[derive(Debug, Deserialize)]
pub struct Arg<'a> {
    #[serde(borrow)]
    pub channel: Text<'a>,
    #[serde(rename = "instId", borrow)]
    pub market: Option<Text<'a>>,
}
