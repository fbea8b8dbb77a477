//! Yahoo's chart JSON as typed, borrowed structs. Every key is optional; unknown ones are ignored.
//!
//! Prices are floats with noise in their last digits. They stay text until `str::parse` rounds
//! them, because the JSON reader's own float conversion may be off in the last bit.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use crate::exchange::wire::malformed;

/// The body of a chart call; other endpoints and some edges answer under `finance`.
#[derive(Debug, Deserialize)]
pub struct Body<'a> {
    #[serde(borrow, alias = "finance")]
    pub chart: Chart<'a>,
}

#[derive(Debug, Deserialize)]
pub struct Chart<'a> {
    #[serde(borrow, default)]
    pub result: Option<Vec<Series<'a>>>,
    #[serde(default)]
    pub error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
pub struct Failure {
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Series<'a> {
    #[serde(borrow, default)]
    pub meta: Meta<'a>,
    /// Bar open times in seconds; absent when there is no data.
    #[serde(default)]
    pub timestamp: Option<Vec<i64>>,
    #[serde(borrow, default)]
    pub indicators: Indicators<'a>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Indicators<'a> {
    #[serde(borrow, default)]
    pub quote: Vec<Quote<'a>>,
}

/// A column of numbers, any of which may be null.
pub type Column<'a> = Vec<Option<&'a RawValue>>;

/// Columns parallel to the timestamps.
#[derive(Debug, Default, Deserialize)]
pub struct Quote<'a> {
    #[serde(borrow, default)]
    pub open: Column<'a>,
    #[serde(borrow, default)]
    pub high: Column<'a>,
    #[serde(borrow, default)]
    pub low: Column<'a>,
    #[serde(borrow, default)]
    pub close: Column<'a>,
    #[serde(borrow, default)]
    pub volume: Column<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta<'a> {
    pub symbol: Option<String>,
    pub instrument_type: Option<String>,
    pub exchange_timezone_name: Option<String>,
    pub gmtoffset: Option<i32>,
    pub regular_market_time: Option<i64>,
    pub current_trading_period: Option<CurrentTradingPeriod>,
    #[serde(borrow)]
    pub trading_periods: Option<&'a RawValue>,
    pub data_granularity: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CurrentTradingPeriod {
    pub regular: Option<Period>,
}

/// A trading period in seconds, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Period {
    pub start: i64,
    pub end: i64,
}

impl Period {
    /// Its length in seconds.
    pub fn length_s(self) -> i64 {
        self.end.saturating_sub(self.start)
    }
}

impl Meta<'_> {
    /// The exchange's own time zone by name, where we know the name.
    pub fn zone(&self) -> Option<Tz> {
        self.exchange_timezone_name.as_deref()?.parse().ok()
    }

    /// The regular period of the current or latest session.
    pub fn regular_period(&self) -> Option<Period> {
        self.current_trading_period.as_ref()?.regular
    }

    /// Regular periods of the days of the reply and of the current one. Intraday replies list
    /// them day by day, as nested arrays or below `regular`; anything else is not read.
    pub fn regular_periods(&self) -> Vec<Period> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Listed {
            Days(Vec<Vec<Period>>),
            Named { regular: Vec<Vec<Period>> },
        }
        let listed = self.trading_periods.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let days = match listed {
            Some(Listed::Days(days) | Listed::Named { regular: days }) => days,
            None => Vec::new(),
        };
        days.into_iter().flatten().chain(self.regular_period()).collect()
    }
}

/// The local time in which a market counts its days.
#[derive(Debug, Clone, Copy)]
pub enum Zone {
    Named(Tz),
    Offset(FixedOffset),
}

impl Zone {
    /// The zone of the reply; without its name the market's own, then the reply's offset.
    pub fn of(meta: &Meta<'_>, market: Option<Tz>) -> Zone {
        match (meta.zone().or(market), meta.gmtoffset.and_then(FixedOffset::east_opt)) {
            (Some(zone), _) => Zone::Named(zone),
            (None, Some(offset)) => Zone::Offset(offset),
            (None, None) => Zone::Named(Tz::UTC),
        }
    }

    /// The local wall time of an instant.
    pub fn local(self, time: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Zone::Named(zone) => time.with_timezone(&zone).naive_local(),
            Zone::Offset(offset) => time.with_timezone(&offset).naive_local(),
        }
    }
}

/// Seconds as an instant, within the range all calendar arithmetic can bear (1780 to 2200).
pub fn instant(seconds: i64) -> Option<DateTime<Utc>> {
    (-6_000_000_000..7_258_118_400).contains(&seconds).then(|| DateTime::from_timestamp(seconds, 0)).flatten()
}
