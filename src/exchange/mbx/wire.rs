//! The rows and objects of the family's JSON, as borrowed values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::token::{Token, Words};
use crate::exchange::VenueError;
use crate::exchange::wire::malformed;
use crate::market::{Candle, Grid, Side, Ticker, Trade, TradeId};

/// The parts of a kline both REST rows and stream frames carry.
#[derive(Debug, Default)]
pub struct Bar<'a> {
    pub open_time: Token<'a>,
    pub open: Token<'a>,
    pub high: Token<'a>,
    pub low: Token<'a>,
    pub close: Token<'a>,
    pub volume: Token<'a>,
    pub quote_volume: Token<'a>,
    pub trades: Token<'a>,
}

impl Bar<'_> {
    /// The candle, if it lies on the grid and its numbers can be stored.
    pub fn candle(&self, grid: Grid) -> Result<Candle, VenueError> {
        let open_time = self.open_time.time("open time")?;
        if !grid.is_border(open_time) {
            return Err(malformed(format!("open time {open_time} is no {} border", grid.timeframe)));
        }
        let candle = Candle {
            open_time,
            open: self.open.double("open")?,
            high: self.high.double("high")?,
            low: self.low.double("low")?,
            close: self.close.double("close")?,
            volume: self.volume.double("volume")?,
            quote_volume: Some(self.quote_volume.double("quote volume")?),
            trades: Some(self.trades.count("trade count")?),
            vwap: None,
        };
        if candle.volume < 0.0 {
            return Err(malformed(format!("volume {} is negative", candle.volume)));
        }
        Ok(candle)
    }
}

/// A REST kline: an array of 12, read up to the trade count; a longer one is accepted.
#[derive(Debug)]
pub struct KlineRow<'a>(pub Bar<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for KlineRow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = KlineRow<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a kline array of at least 9 values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<KlineRow<'de>, A::Error> {
                let mut cells: [Token<'de>; 9] = Default::default();
                for (index, cell) in cells.iter_mut().enumerate() {
                    *cell = seq.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(index, &self))?;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                let [open_time, open, high, low, close, volume, _close_time, quote_volume, trades] = cells;
                Ok(KlineRow(Bar { open_time, open, high, low, close, volume, quote_volume, trades }))
            }
        }
        deserializer.deserialize_seq(Row)
    }
}

/// An aggregated trade of REST: all trades of one taker order at one price.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AggTrade<'a> {
    #[serde(rename = "a", borrow)]
    pub id: Token<'a>,
    #[serde(rename = "p", borrow)]
    pub price: Token<'a>,
    #[serde(rename = "q", borrow)]
    pub amount: Token<'a>,
    #[serde(rename = "f", borrow)]
    pub first_id: Token<'a>,
    #[serde(rename = "l", borrow)]
    pub last_id: Token<'a>,
    #[serde(rename = "T", borrow)]
    pub time: Token<'a>,
    #[serde(rename = "m", borrow)]
    pub buyer_is_maker: Token<'a>,
}

impl AggTrade<'_> {
    /// The trade; `None` for a row that stands for no trade at all (ids of -1).
    #[inline]
    pub fn trade(&self) -> Result<Option<Trade>, VenueError> {
        let (first, last) = (self.first_id.integer("f")?, self.last_id.integer("l")?);
        if last < first {
            return Err(malformed(format!("trade ids {first}..={last} run backwards")));
        }
        let (Ok(first), Ok(last)) = (u64::try_from(first), u64::try_from(last)) else { return Ok(None) };
        if last > TradeId::LARGEST {
            return Err(malformed(format!("trade id {last} is no number of a trade")));
        }
        Ok(Some(Trade {
            id: TradeId::Number(first),
            last_id: TradeId::Number(last),
            time: self.time.time("T")?,
            price: self.price.decimal("p")?,
            amount: self.amount.decimal("q")?,
            // The buyer being the maker means that the taker sold.
            side: Some(if self.buyer_is_maker.flag("m")? { Side::Sell } else { Side::Buy }),
        }))
    }
}

/// `exchangeInfo`.
#[derive(Debug, Deserialize)]
pub struct ExchangeInfo<'a> {
    #[serde(borrow)]
    pub symbols: Vec<Market<'a>>,
}

/// One market of `exchangeInfo`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Market<'a> {
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    #[serde(borrow)]
    pub base_asset: Cow<'a, str>,
    #[serde(borrow)]
    pub quote_asset: Cow<'a, str>,
    /// What a derivative is settled in.
    #[serde(borrow)]
    pub margin_asset: Option<Cow<'a, str>>,
    /// `PERPETUAL`, `CURRENT_QUARTER` ...; empty before a contract has begun.
    #[serde(borrow)]
    pub contract_type: Option<Cow<'a, str>>,
    /// When a dated contract ends, in milliseconds; in the far future for a perpetual one.
    #[serde(borrow, default)]
    pub delivery_date: Token<'a>,
}

/// One market of `ticker/24hr`. Derivatives print no quotes there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DayTicker<'a> {
    #[serde(borrow)]
    pub symbol: Words<'a>,
    #[serde(borrow, default)]
    last_price: Token<'a>,
    #[serde(borrow, default)]
    bid_price: Token<'a>,
    #[serde(borrow, default)]
    ask_price: Token<'a>,
    #[serde(borrow, default)]
    volume: Token<'a>,
    #[serde(borrow, default)]
    quote_volume: Token<'a>,
    #[serde(borrow, default)]
    close_time: Token<'a>,
}

impl DayTicker<'_> {
    /// The ticker. A price of zero is none: an empty side of the book.
    pub fn ticker(&self) -> Result<Ticker, VenueError> {
        let number = |token: Token<'_>, field: &str| match token {
            Token::Absent | Token::Null => Ok(None),
            token => token.double(field).map(Some),
        };
        let price = |token, field: &str| number(token, field).map(|price| price.filter(|price| *price > 0.0));
        Ok(Ticker {
            time: self.close_time.is_present().then(|| self.close_time.time("closeTime")).transpose()?,
            last: price(self.last_price, "lastPrice")?,
            bid: price(self.bid_price, "bidPrice")?,
            ask: price(self.ask_price, "askPrice")?,
            volume: number(self.volume, "volume")?,
            quote_volume: number(self.quote_volume, "quoteVolume")?,
        })
    }
}

/// The error body, of REST and of the stream.
#[derive(Debug, Deserialize)]
pub struct Failure<'a> {
    pub code: i64,
    #[serde(borrow, default)]
    pub msg: Cow<'a, str>,
}
