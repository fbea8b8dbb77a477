//! Binance's JSON as typed, borrowed structs, and the readers of its values.
//!
//! Numbers are kept as the text the venue printed, with or without quotes, and only then turned
//! into doubles, decimals or times: nothing passes through a double on its way to a decimal.
//! Unknown keys, longer arrays and absent optional keys are tolerated.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::exchange::{ErrorKind, VenueError};
use crate::market::{Candle, Grid, Side, Trade, TradeId};

/// A JSON value as the venue printed it. Empty where the key was absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Token<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Token<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Token(raw.get()))
    }
}

impl<'a> Token<'a> {
    /// True where the key was there, whatever its value.
    pub fn is_present(self) -> bool {
        !self.0.is_empty()
    }

    /// The text without its quotes, escapes untouched.
    pub fn bare(self) -> &'a str {
        self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(self.0)
    }

    /// The text with escapes resolved; a venue may list names that are not ASCII.
    pub fn text(self) -> Cow<'a, str> {
        let bare = self.bare();
        match bare.contains('\\').then(|| serde_json::from_str::<String>(self.0)) {
            Some(Ok(text)) => Cow::Owned(text),
            _ => Cow::Borrowed(bare),
        }
    }

    /// A finite double, correctly rounded.
    pub fn double(self, field: &str) -> Result<f64, VenueError> {
        self.bare().parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| self.unreadable(field))
    }

    /// The decimal exactly as printed, exponents included.
    pub fn decimal(self, field: &str) -> Result<Decimal, VenueError> {
        let text = self.bare();
        Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).map_err(|_| self.unreadable(field))
    }

    /// A signed whole number.
    pub fn integer(self, field: &str) -> Result<i64, VenueError> {
        self.bare().parse().map_err(|_| self.unreadable(field))
    }

    /// A number that counts something.
    pub fn count(self, field: &str) -> Result<u64, VenueError> {
        self.bare().parse().map_err(|_| self.unreadable(field))
    }

    /// Milliseconds since the epoch.
    pub fn time(self, field: &str) -> Result<DateTime<Utc>, VenueError> {
        // Ends in 2200: far enough for any venue, near enough for all calendar arithmetic.
        const LATEST_MS: i64 = 7_258_118_400_000;
        let millis = self.integer(field)?;
        (0..LATEST_MS)
            .contains(&millis)
            .then(|| DateTime::from_timestamp_millis(millis))
            .flatten()
            .ok_or_else(|| self.unreadable(field))
    }

    /// `true` or `false`.
    pub fn flag(self, field: &str) -> Result<bool, VenueError> {
        match self.0 {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.unreadable(field)),
        }
    }

    fn unreadable(self, field: &str) -> VenueError {
        match self.0 {
            "" => malformed(format!("{field} is missing")),
            text => malformed(format!("{field} is {text}")),
        }
    }
}

/// An error for bytes that are not what the venue promised.
pub fn malformed(message: impl Into<String>) -> VenueError {
    VenueError::new(ErrorKind::Malformed, message)
}

/// The parts of a kline both REST rows and stream frames carry.
#[derive(Debug, Clone, Copy, Default)]
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
                let mut cells = [Token::default(); 9];
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
#[derive(Debug, Clone, Copy, Default, Deserialize)]
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
    pub fn trade(&self) -> Result<Option<Trade>, VenueError> {
        let (first, last) = (self.first_id.integer("f")?, self.last_id.integer("l")?);
        if last < first {
            return Err(malformed(format!("trade ids {first}..={last} run backwards")));
        }
        let (Ok(first), Ok(last)) = (u64::try_from(first), u64::try_from(last)) else { return Ok(None) };
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
}

/// The error body, of REST and of the stream.
#[derive(Debug, Deserialize)]
pub struct Failure<'a> {
    pub code: i64,
    #[serde(borrow, default)]
    pub msg: Cow<'a, str>,
}

/// A stream frame in any of its shapes: an event, `{"stream","data"}` around an event, an ack or
/// an error. One struct for all, so that a frame is read in one pass.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "Data: Deserialize<'de>"))]
pub struct Frame<'a, Data> {
    #[serde(rename = "e", borrow, default)]
    pub event: Token<'a>,
    #[serde(rename = "E", borrow, default)]
    pub event_time: Token<'a>,
    #[serde(rename = "s", borrow, default)]
    pub symbol: Token<'a>,
    #[serde(rename = "k", borrow, default)]
    pub kline: Option<Kline<'a>>,
    #[serde(rename = "p", borrow, default)]
    pub price: Token<'a>,
    #[serde(rename = "q", borrow, default)]
    pub amount: Token<'a>,
    #[serde(rename = "f", borrow, default)]
    pub first_id: Token<'a>,
    #[serde(rename = "l", borrow, default)]
    pub last_id: Token<'a>,
    #[serde(rename = "T", borrow, default)]
    pub time: Token<'a>,
    #[serde(rename = "m", borrow, default)]
    pub buyer_is_maker: Token<'a>,
    #[serde(borrow, default)]
    pub stream: Token<'a>,
    #[serde(default)]
    pub data: Option<Data>,
    #[serde(borrow, default)]
    pub result: Token<'a>,
    #[serde(borrow, default)]
    pub error: Option<Failure<'a>>,
    #[serde(borrow, default)]
    pub code: Token<'a>,
    #[serde(borrow, default)]
    pub msg: Token<'a>,
    #[serde(borrow, default)]
    pub id: Token<'a>,
}

/// The bar of a kline event. Its trade ids (`f`, `L`, -1 in an empty interval) are not needed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Kline<'a> {
    #[serde(rename = "t", borrow, default)]
    pub open_time: Token<'a>,
    #[serde(rename = "i", borrow, default)]
    pub interval: Token<'a>,
    #[serde(rename = "o", borrow, default)]
    pub open: Token<'a>,
    #[serde(rename = "h", borrow, default)]
    pub high: Token<'a>,
    #[serde(rename = "l", borrow, default)]
    pub low: Token<'a>,
    #[serde(rename = "c", borrow, default)]
    pub close: Token<'a>,
    #[serde(rename = "v", borrow, default)]
    pub volume: Token<'a>,
    #[serde(rename = "q", borrow, default)]
    pub quote_volume: Token<'a>,
    #[serde(rename = "n", borrow, default)]
    pub trades: Token<'a>,
    #[serde(rename = "x", borrow, default)]
    pub is_closed: Token<'a>,
}

impl<'a> Kline<'a> {
    /// The part shared with REST rows.
    pub fn bar(&self) -> Bar<'a> {
        Bar {
            open_time: self.open_time,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
            quote_volume: self.quote_volume,
            trades: self.trades,
        }
    }
}
