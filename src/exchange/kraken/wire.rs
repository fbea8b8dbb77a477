//! The shapes of Kraken's JSON: scalars kept as their text, rows, envelopes and frames.
//!
//! Numbers are never read through the JSON library's own double: prices of trades must stay exact
//! decimals, and candle fields must be the nearest double of the printed text. Everything borrows
//! from the bytes. Unknown keys, longer arrays and nulls in optional places are accepted.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use crate::exchange::{ErrorKind, VenueError};
use crate::market::{Side, TradeId};

/// The error of bytes that are not what the venue documents.
pub fn malformed(what: impl Into<String>) -> VenueError {
    VenueError::new(ErrorKind::Malformed, what)
}

/// A string, borrowed where it holds no escapes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The text of a number that may come as a JSON number or as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalar<'a>(pub &'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Scalar(raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw)))
    }
}

/// The last second of the year 9999: keeps every stamp far from the limits of the time type, so
/// that arithmetic on buckets cannot overflow.
const LATEST_SECOND: i64 = 253_402_300_799;

impl<'a> Scalar<'a> {
    /// The nearest double of the printed decimal.
    pub fn float(self, field: &str) -> Result<f64, VenueError> {
        match self.0.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.not(field, "a number")),
        }
    }

    /// The exact decimal, exponent form included.
    pub fn decimal(self, field: &str) -> Result<Decimal, VenueError> {
        let is_plain = !self.0.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        let parsed = if is_plain { Decimal::from_str_exact(self.0) } else { Decimal::from_scientific(self.0) };
        // The decimal type takes `_` for a separator of digits; no venue does.
        parsed.ok().filter(|_| !self.0.contains('_')).ok_or_else(|| self.not(field, "a decimal"))
    }

    /// A whole number that is not negative.
    pub fn unsigned(self, field: &str) -> Result<u64, VenueError> {
        self.0.parse::<u64>().or_else(|_| {
            let whole = self.decimal(field).ok().filter(|value| value.is_integer());
            whole.and_then(|value| value.to_u64()).ok_or_else(|| self.not(field, "a whole number"))
        })
    }

    /// An instant printed as Unix seconds with a fraction, cut to microseconds.
    pub fn seconds(self, field: &str) -> Result<DateTime<Utc>, VenueError> {
        let fault = || self.not(field, "a time in Unix seconds");
        let micros = self.decimal(field).ok().and_then(|seconds| seconds.checked_mul(Decimal::from(1_000_000)));
        let micros = micros.and_then(|micros| micros.trunc().to_i64()).ok_or_else(fault)?;
        DateTime::from_timestamp_micros(micros)
            .filter(|time| (0..=LATEST_SECOND).contains(&time.timestamp()))
            .ok_or_else(fault)
    }

    fn not(self, field: &str, kind: &str) -> VenueError {
        let text: String = self.0.chars().take(60).collect();
        malformed(format!("{field} {text:?} is not {kind}"))
    }
}

/// An instant printed in RFC 3339, all its digits kept.
///
/// Kraken writes `2026-11-20T14:00:00.123456Z` in every frame, with 6 or 9 digits; that form is
/// read by position and everything else by the general parser.
pub fn rfc3339(text: &str, field: &str) -> Result<DateTime<Utc>, VenueError> {
    by_position(text.as_bytes())
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc)))
        .filter(|time| (0..=LATEST_SECOND).contains(&time.timestamp()))
        .ok_or_else(|| Scalar(text).not(field, "an RFC 3339 time"))
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.f…]Z` with at most nine digits of fraction; `None` for other forms.
fn by_position(text: &[u8]) -> Option<DateTime<Utc>> {
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0u32, |acc, byte| byte.is_ascii_digit().then(|| acc * 10 + u32::from(byte - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if text.len() < 20 || text.last() != Some(&b'Z') || separators.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let end = text.len() - 1;
    let nanos = match end {
        19 => 0,
        21..=29 if text[19] == b'.' => number(20, end)? * 10u32.pow(29 - end as u32),
        _ => return None,
    };
    NaiveDate::from_ymd_opt(number(0, 4)? as i32, number(5, 7)?, number(8, 10)?)?
        .and_hms_nano_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, nanos)
        .map(|time| time.and_utc())
}

/// An instant cut to microseconds.
pub fn cut_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time - TimeDelta::nanoseconds(i64::from(time.timestamp_subsec_nanos() % 1_000))
}

/// The taker's side; `None` for a word Kraken does not document.
pub fn side(word: &str) -> Option<Side> {
    match word {
        "b" | "buy" => Some(Side::Buy),
        "s" | "sell" => Some(Side::Sell),
        _ => None,
    }
}

/// A numeric trade id.
pub fn trade_id(id: Scalar<'_>) -> Result<TradeId, VenueError> {
    id.unsigned("trade id").map(TradeId::Number)
}

/// A vwap as printed; a bucket without trades has none, Kraken fills the field with zero.
pub fn vwap(printed: Option<Scalar<'_>>, trades: Option<u64>, volume: f64) -> Result<Option<f64>, VenueError> {
    match printed {
        Some(scalar) if trades != Some(0) && volume != 0.0 => scalar.float("vwap").map(Some),
        _ => Ok(None),
    }
}

/// The first `N` elements of an array; longer ones are cut, missing and null ones are `None`.
#[derive(Debug)]
pub struct Cells<'a, const N: usize>([Option<Scalar<'a>>; N]);

impl<'a, const N: usize> Cells<'a, N> {
    /// An element that may be absent.
    pub fn get(&self, index: usize) -> Option<Scalar<'a>> {
        self.0.get(index).copied().flatten()
    }

    /// An element the row cannot do without.
    pub fn need(&self, index: usize, field: &str) -> Result<Scalar<'a>, VenueError> {
        self.get(index).ok_or_else(|| malformed(format!("row without {field}")))
    }
}

impl<'de: 'a, 'a, const N: usize> Deserialize<'de> for Cells<'a, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row<'a, const N: usize>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a, const N: usize> Visitor<'de> for Row<'a, N> {
            type Value = Cells<'a, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut cells = [None; N];
                for cell in &mut cells {
                    match seq.next_element::<Option<Scalar<'a>>>()? {
                        Some(value) => *cell = value,
                        None => return Ok(Cells(cells)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cells(cells))
            }
        }
        deserializer.deserialize_seq(Row(PhantomData))
    }
}

/// An object as its entries in order, values unread.
#[derive(Debug)]
pub struct Entries<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Entries<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text<'a>, &'a RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
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

/// A data frame of channel `ohlc` or `trade`.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "Row: de::Deserialize<'de>"))]
pub struct DataFrame<'a, Row> {
    /// `snapshot` or `update`.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    /// When it was sent.
    #[serde(borrow)]
    pub timestamp: Option<Text<'a>>,
    /// The rows, oldest first.
    pub data: Vec<Row>,
}

impl<Row> DataFrame<'_, Row> {
    /// True for the rows sent once after an ack.
    pub fn is_snapshot(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.0 == "snapshot")
    }

    /// The venue's stamp, where it is there and readable.
    pub fn stamped_at(&self) -> Option<DateTime<Utc>> {
        stamp(self.timestamp.as_ref())
    }
}

/// An optional stamp: an unreadable one is no reason to lose the data it stands on.
pub fn stamp(text: Option<&Text<'_>>) -> Option<DateTime<Utc>> {
    text.and_then(|text| rfc3339(&text.0, "timestamp").ok())
}

/// A row of channel `ohlc`: the whole bar so far.
#[derive(Debug, Deserialize)]
pub struct OhlcRow<'a> {
    /// `BTC/USD`.
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
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
    #[serde(borrow)]
    pub interval_begin: Cow<'a, str>,
    /// Minutes.
    #[serde(borrow)]
    pub interval: Scalar<'a>,
}

/// A row of channel `trade`.
#[derive(Debug, Deserialize)]
pub struct TradeRow<'a> {
    /// `BTC/USD`.
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    /// Side of the taker.
    #[serde(borrow)]
    pub side: Option<Text<'a>>,
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
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
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
