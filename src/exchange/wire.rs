//! What many venues write alike: scalars kept as their text, times, rows, objects.
//!
//! Numbers are never read through the JSON library's own double: prices of trades must stay exact
//! decimals, and candle fields must be the nearest double of the printed text. Everything borrows
//! from the bytes. Longer arrays and nulls in optional places are accepted.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{ErrorKind, VenueError};
use crate::market::{Candle, Grid, TradeId};

/// The error of bytes that are not what the venue documents.
pub fn malformed(what: impl Into<String>) -> VenueError {
    VenueError::new(ErrorKind::Malformed, what)
}

/// A string, borrowed where it holds no escapes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// How the strings of a frequent frame are held: borrowed, which is fast and fails on escapes, or
/// owned, which takes any. A frame is read with the first, and with the other where that failed.
pub trait Words<'a>: Deserialize<'a> + Deref<Target = str> + Into<Cow<'a, str>> {}

impl<'a> Words<'a> for &'a str {}
impl<'a> Words<'a> for String {}

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
    #[inline]
    pub fn float(self, field: &str) -> Result<f64, VenueError> {
        match self.0.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.not(field, "a number")),
        }
    }

    /// The exact decimal, exponent form included.
    #[inline]
    pub fn decimal(self, field: &str) -> Result<Decimal, VenueError> {
        // A plain number has no byte above `9`: no exponent, and no `_`, which the decimal type takes
        // for a separator of digits and no venue does.
        let parsed = match self.0.bytes().all(|byte| byte <= b'9') {
            true => Decimal::from_str_exact(self.0).ok(),
            false => Decimal::from_scientific(self.0).ok().filter(|_| !self.0.contains('_')),
        };
        parsed.ok_or_else(|| self.not(field, "a decimal"))
    }

    /// A whole number that is not negative.
    #[inline]
    pub fn unsigned(self, field: &str) -> Result<u64, VenueError> {
        self.0.parse::<u64>().or_else(|_| {
            let whole = self.decimal(field).ok().filter(|value| value.is_integer());
            whole.and_then(|value| value.to_u64()).ok_or_else(|| self.not(field, "a whole number"))
        })
    }

    /// The number of a trade, at most [`TradeId::LARGEST`].
    #[inline]
    pub fn trade_number(self, field: &str) -> Result<u64, VenueError> {
        let number = self.unsigned(field).ok().filter(|number| *number <= TradeId::LARGEST);
        number.ok_or_else(|| self.not(field, "a number of a trade"))
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

    /// An instant printed as Unix milliseconds.
    pub fn millis(self, field: &str) -> Result<DateTime<Utc>, VenueError> {
        let millis = i64::try_from(self.unsigned(field)?).ok();
        millis
            .and_then(DateTime::from_timestamp_millis)
            .filter(|time| (0..=LATEST_SECOND).contains(&time.timestamp()))
            .ok_or_else(|| self.not(field, "a time in Unix milliseconds"))
    }

    #[cold]
    fn not(self, field: &str, kind: &str) -> VenueError {
        let text: String = self.0.chars().take(60).collect();
        malformed(format!("{field} {text:?} is not {kind}"))
    }
}

/// An instant printed in RFC 3339, all its digits kept.
///
/// Venues write `2026-11-20T14:00:00.123456Z` in every frame, with up to 9 digits; that form is read
/// by position and everything else by the general parser.
#[inline]
pub fn rfc3339(text: &str, field: &str) -> Result<DateTime<Utc>, VenueError> {
    by_position(text.as_bytes()).or_else(|| by_grammar(text)).ok_or_else(|| Scalar(text).not(field, "an RFC 3339 time"))
}

fn by_grammar(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    (0..=LATEST_SECOND).contains(&time.timestamp()).then_some(time)
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.f…]Z` from 1970 on, with at most nine digits of fraction; `None` for other forms.
fn by_position(text: &[u8]) -> Option<DateTime<Utc>> {
    let (date, fraction) = text.split_first_chunk()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *date else {
        return None;
    };
    let mut is_number = true;
    let mut digit = |byte: u8| {
        let digit = byte.wrapping_sub(b'0');
        is_number &= digit <= 9;
        u32::from(digit)
    };
    let nanos = match fraction {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let number = digits.iter().fold(0u32, |number, byte| number.wrapping_mul(10).wrapping_add(digit(*byte)));
            number.wrapping_mul(10u32.pow(9 - digits.len() as u32))
        }
        _ => return None,
    };
    let mut pair = |tens: u8, ones: u8| digit(tens) * 10 + digit(ones);
    let (year, month, day) = (pair(y1, y2) * 100 + pair(y3, y4), pair(m1, m2), pair(d1, d2));
    let (hour, minute, second) = (pair(h1, h2), pair(n1, n2), pair(s1, s2));
    if !is_number || year < 1970 {
        return None;
    }
    let time = NaiveDate::from_ymd_opt(year as i32, month, day)?.and_hms_nano_opt(hour, minute, second, nanos)?;
    Some(time.and_utc())
}

/// An instant cut to microseconds.
#[inline]
pub fn cut_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    match time.timestamp_subsec_nanos() % 1_000 {
        0 => time,
        finer => time - TimeDelta::nanoseconds(i64::from(finer)),
    }
}

/// A numeric trade id.
pub fn trade_id(id: Scalar<'_>) -> Result<TradeId, VenueError> {
    id.trade_number("trade id").map(TradeId::Number)
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

/// An optional stamp: an unreadable one is no reason to lose the data it stands on.
pub fn stamp(text: Option<&Text<'_>>) -> Option<DateTime<Utc>> {
    text.and_then(|text| rfc3339(&text.0, "timestamp").ok())
}

/// A candle that may be stored: on the grid, and of numbers that can be.
pub fn checked(candle: Candle, grid: &Grid) -> Result<Candle, VenueError> {
    if !grid.is_border(candle.open_time) {
        return Err(malformed(format!("{} is no border of {} bars", candle.open_time, grid.timeframe)));
    }
    if !candle.is_storable() {
        let (volume, trades) = (candle.volume, candle.trades.unwrap_or(0));
        return Err(malformed(format!("volume {volume}, {trades} trades at {}", candle.open_time)));
    }
    Ok(candle)
}

/// Candles oldest first. Of two rows of one bucket the later printed one stays: it is the newer state.
pub fn ascending(mut candles: Vec<Candle>) -> Vec<Candle> {
    candles.sort_by_key(|candle| candle.open_time);
    candles.dedup_by(|later, kept| {
        let is_same = later.open_time == kept.open_time;
        if is_same {
            *kept = *later;
        }
        is_same
    });
    candles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Timeframe;

    #[test]
    fn decimals_are_read_plain_and_with_exponents_and_take_no_separators() {
        let decimal = |text| Scalar(text).decimal("price").map(|value| value.to_string());
        assert_eq!(decimal("-0.00230"), Ok("-0.00230".to_owned()));
        assert_eq!(decimal("23e-4"), Ok("0.0023".to_owned()));
        for text in ["1_000", "1_0e3", "", "1.5.2", "0x1F", "null"] {
            assert_eq!(decimal(text), Err(malformed(format!("price {text:?} is not a decimal"))));
        }
    }

    #[test]
    fn numbers_of_trades_and_of_their_count_fit_into_a_database() {
        let number = |text| Scalar(text).trade_number("id");
        assert_eq!((number("0"), number("9223372036854775806")), (Ok(0), Ok(TradeId::LARGEST)));
        for text in ["9223372036854775807", "18446744073709551615", "-1", "1.5", ""] {
            assert_eq!(number(text), Err(malformed(format!("id {text:?} is not a number of a trade"))));
        }
        let quiet = Candle::flat(DateTime::UNIX_EPOCH, 1.0);
        let counted = |trades| checked(Candle { trades: Some(trades), ..quiet }, &Grid::utc(Timeframe::M1));
        assert_eq!(counted(i64::MAX as u64).map(|candle| candle.trades), Ok(Some(i64::MAX as u64)));
        let words = "volume 0, 9223372036854775808 trades at 1970-01-01 00:00:00 UTC";
        assert_eq!(counted(i64::MAX as u64 + 1), Err(malformed(words)));
    }

    #[test]
    fn stamps_read_by_position_equal_those_of_the_general_parser() {
        for text in [
            "2026-11-20T14:00:00Z",
            "2026-11-20T14:00:00.1Z",
            "2026-11-20T14:00:00.123456Z",
            "2026-11-20T14:00:00.123456789Z",
            "2024-02-29T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "9999-12-31T23:59:59.9Z",
            "2026-11-20T15:00:00.5+01:00",
        ] {
            assert_eq!(rfc3339(text, "time"), Ok(text.parse::<DateTime<Utc>>().unwrap()));
        }
        for text in [
            "2026-02-30T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T14:00:00.Z",
            "2026-11-20T14:0x:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-20T14:00:00.99999999xZ",
            "2026-11-20T14:00:00",
            "",
        ] {
            assert_eq!(rfc3339(text, "time").map_err(|error| error.kind), Err(ErrorKind::Malformed), "{text}");
        }
    }
}
