//! The shapes of Bybit's JSON. Everything borrows from the bytes; unknown keys and longer arrays are
//! accepted.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exchange::VenueError;
use crate::exchange::wire::{Cells, Scalar, Text, checked};
use crate::market::{Candle, Grid, Side, Ticker, Trade, TradeId};

use super::symbols::Category;

/// What every REST answer is wrapped in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<'a> {
    /// 0 for success.
    #[serde(borrow)]
    pub ret_code: Scalar<'a>,
    #[serde(borrow)]
    pub ret_msg: Option<Text<'a>>,
    /// An empty object on failure.
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    /// When the answer left the venue.
    #[serde(borrow)]
    pub time: Option<Scalar<'a>>,
}

/// The `result` of all calls for rows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "Row: Deserialize<'de>"))]
pub struct List<'a, Row> {
    #[serde(borrow)]
    pub category: Option<Text<'a>>,
    pub list: Vec<Row>,
    /// Empty on the last page.
    #[serde(borrow)]
    pub next_page_cursor: Option<Text<'a>>,
}

/// A market of `instruments-info`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Market<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    /// `Trading`, `PreLaunch`, `Delivering`, `Closed`.
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub base_coin: Text<'a>,
    #[serde(borrow)]
    pub quote_coin: Text<'a>,
    #[serde(borrow)]
    pub settle_coin: Option<Text<'a>>,
    #[serde(borrow)]
    pub delivery_time: Option<Scalar<'a>>,
}

/// Start, open, high, low, close, volume, turnover.
pub type KlineRow<'a> = Cells<'a, 7>;

/// A kline, of REST or of the stream.
pub struct Bar<'a> {
    pub start: Scalar<'a>,
    pub open: Scalar<'a>,
    pub high: Scalar<'a>,
    pub low: Scalar<'a>,
    pub close: Scalar<'a>,
    pub volume: Scalar<'a>,
    pub turnover: Scalar<'a>,
}

impl<'a> Bar<'a> {
    pub fn of_row(row: &KlineRow<'a>) -> Result<Bar<'a>, VenueError> {
        Ok(Bar {
            start: row.need(0, "start")?,
            open: row.need(1, "open")?,
            high: row.need(2, "high")?,
            low: row.need(3, "low")?,
            close: row.need(4, "close")?,
            volume: row.need(5, "volume")?,
            turnover: row.need(6, "turnover")?,
        })
    }

    /// The candle. Inverse contracts count the quote currency: there the turnover is the base.
    pub fn candle(&self, category: Category, grid: &Grid) -> Result<Candle, VenueError> {
        let (volume, turnover) = (self.volume.float("volume")?, self.turnover.float("turnover")?);
        let (base, quote) = if category == Category::Inverse { (turnover, volume) } else { (volume, turnover) };
        let candle = Candle {
            open_time: self.start.millis("start")?,
            open: self.open.float("open")?,
            high: self.high.float("high")?,
            low: self.low.float("low")?,
            close: self.close.float("close")?,
            volume: base,
            quote_volume: Some(quote),
            trades: None,
            vwap: None,
        };
        checked(candle, grid)
    }
}

/// A kline of the stream.
#[derive(Debug, Deserialize)]
pub struct Kline<'a> {
    #[serde(borrow)]
    pub start: Scalar<'a>,
    #[serde(borrow)]
    pub open: Scalar<'a>,
    #[serde(borrow)]
    pub high: Scalar<'a>,
    #[serde(borrow)]
    pub low: Scalar<'a>,
    #[serde(borrow)]
    pub close: Scalar<'a>,
    #[serde(borrow)]
    pub volume: Scalar<'a>,
    #[serde(borrow)]
    pub turnover: Scalar<'a>,
    /// True in the last frame of a bucket.
    pub confirm: bool,
}

impl<'a> Kline<'a> {
    pub fn bar(&self) -> Bar<'a> {
        Bar {
            start: self.start,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
            turnover: self.turnover,
        }
    }
}

/// A trade, of REST or, under shorter names, of the stream. Inverse contracts count units of the
/// quote currency.
#[derive(Debug, Deserialize)]
pub struct Deal<'a> {
    /// A number on the spot market, elsewhere a UUID.
    #[serde(rename = "i", alias = "execId", borrow)]
    id: Text<'a>,
    #[serde(rename = "T", alias = "time", borrow)]
    time: Scalar<'a>,
    #[serde(rename = "p", alias = "price", borrow)]
    price: Scalar<'a>,
    #[serde(rename = "v", alias = "size", borrow)]
    amount: Scalar<'a>,
    /// Of the taker.
    #[serde(rename = "S", alias = "side", borrow)]
    side: Option<Text<'a>>,
}

impl Deal<'_> {
    /// The trade, amount as printed.
    pub fn trade(&self) -> Result<Trade, VenueError> {
        let text: &str = &self.id.0;
        let number = text.parse().ok().filter(|number| *number <= TradeId::LARGEST);
        let id = number.map_or_else(|| TradeId::Text(text.into()), TradeId::Number);
        let side = self.side.as_ref().and_then(|side| match side.0.as_ref() {
            "Buy" => Some(Side::Buy),
            "Sell" => Some(Side::Sell),
            _ => None,
        });
        Ok(Trade {
            last_id: id.clone(),
            id,
            time: self.time.millis("trade time")?,
            price: self.price.decimal("price")?,
            amount: self.amount.decimal("size")?,
            side,
        })
    }
}

/// A row of `tickers`. A side of the book that is empty is an empty text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TickerRow<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    #[serde(borrow)]
    last_price: Option<Scalar<'a>>,
    #[serde(borrow)]
    bid1_price: Option<Scalar<'a>>,
    #[serde(borrow)]
    ask1_price: Option<Scalar<'a>>,
    #[serde(rename = "volume24h", borrow)]
    volume: Option<Scalar<'a>>,
    #[serde(rename = "turnover24h", borrow)]
    turnover: Option<Scalar<'a>>,
}

impl TickerRow<'_> {
    /// The ticker, its stamp left open.
    pub fn ticker(&self, category: Category) -> Result<Ticker, VenueError> {
        let number = |cell: Option<Scalar<'_>>, field: &str| {
            cell.filter(|cell| !cell.0.is_empty()).map(|cell| cell.float(field)).transpose()
        };
        let (volume, turnover) = (number(self.volume, "volume24h")?, number(self.turnover, "turnover24h")?);
        let is_inverse = category == Category::Inverse;
        let (volume, quote_volume) = if is_inverse { (turnover, volume) } else { (volume, turnover) };
        Ok(Ticker {
            time: None,
            last: number(self.last_price, "lastPrice")?,
            bid: number(self.bid1_price, "bid1Price")?,
            ask: number(self.ask1_price, "ask1Price")?,
            volume,
            quote_volume,
        })
    }
}

/// Any frame of the stream: data have a topic, answers an operation.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    #[serde(borrow)]
    pub topic: Option<Text<'a>>,
    /// When it was sent.
    #[serde(borrow)]
    pub ts: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub op: Option<Text<'a>>,
    pub success: Option<bool>,
    #[serde(borrow)]
    pub ret_msg: Option<Text<'a>>,
    #[serde(borrow)]
    pub req_id: Option<Scalar<'a>>,
    /// The time, in one form of pongs.
    #[serde(borrow)]
    pub args: Option<Vec<Scalar<'a>>>,
}
