//! Rows of the candle, ledger and trade tables as diesel sees them, and the way to and from values.

use std::borrow::Cow;
use std::sync::Arc;

use diesel::prelude::*;
use rust_decimal::Decimal;

use super::super::fault::Fault;
use super::super::{Coverage, LedgerEntry, StoreError, StoredCandle};
use super::moment::{Micros, instant, micros, optional_instant};
use super::{candle_revisions, candles, coverage, events, forming_candles, trades};
use crate::market::{Candle, Rule, Side, Source, Span, Trade, TradeId};

/// A row of `candles`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = candles, treat_none_as_default_value = false)]
pub struct CandleRecord {
    pub series_id: i64,
    pub open_time: Micros,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    pub quote_volume: Option<f64>,
    pub trades: Option<i64>,
    pub vwap: Option<f64>,
    pub source: i16,
    pub rule: i16,
    pub flags: i16,
    pub revision: i32,
    pub sequence: i64,
    pub observed_at: Micros,
    pub first_written_at: Micros,
    pub updated_at: Micros,
}

/// A row of `candle_revisions`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = candle_revisions, treat_none_as_default_value = false)]
pub struct RevisionRecord {
    #[diesel(embed)]
    pub old: OldCandle,
    pub sequence: i64,
    pub replaced_at: Micros,
}

/// The part of a revision that is a candle.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = candle_revisions, treat_none_as_default_value = false)]
pub struct OldCandle {
    pub series_id: i64,
    pub open_time: Micros,
    pub revision: i32,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    pub quote_volume: Option<f64>,
    pub trades: Option<i64>,
    pub vwap: Option<f64>,
    pub source: i16,
    pub rule: i16,
    pub flags: i16,
    pub observed_at: Micros,
    pub first_written_at: Micros,
    pub updated_at: Micros,
}

/// A row of `forming_candles`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = forming_candles, treat_none_as_default_value = false)]
pub struct FormingRecord {
    pub series_id: i64,
    pub open_time: Micros,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    pub quote_volume: Option<f64>,
    pub trades: Option<i64>,
    pub vwap: Option<f64>,
    pub updated_at: Micros,
}

/// A row of `coverage`.
#[derive(Debug, Clone, PartialEq, Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = coverage, treat_none_as_default_value = false)]
pub struct CoverageRecord {
    pub series_id: i64,
    pub from_time: Micros,
    pub to_time: Micros,
    pub state: String,
    pub verified: bool,
    pub reason: Option<String>,
    pub attempts: i64,
    pub next_attempt_at: Option<Micros>,
    pub updated_at: Micros,
}

/// A row of `trades`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = trades, treat_none_as_default_value = false)]
pub struct TradeRecord {
    pub symbol_id: i64,
    pub trade_id: i64,
    pub venue_id: String,
    pub last_trade_id: i64,
    pub time: Micros,
    pub price: String,
    pub amount: String,
    pub side: Option<Cow<'static, str>>,
}

/// A row of `events`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub struct EventRecord {
    pub number: i64,
    pub time: Micros,
    pub symbol_id: i64,
    pub timeframe: Option<String>,
    pub kind: String,
    pub body: String,
}

/// A number of trades as it is stored.
pub fn trade_count(candle: &Candle) -> Result<Option<i64>, Fault> {
    candle
        .trades
        .map(i64::try_from)
        .transpose()
        .map_err(|_| Fault::refused(format!("impossible trade count: {candle:?}")))
}

/// Refuses what no table may hold.
pub fn check(candle: &Candle) -> Result<(), Fault> {
    if candle.is_storable() {
        Ok(())
    } else {
        Err(Fault::refused(format!(
            "a candle with a number that is not finite, or a negative volume, or too many trades: {candle:?}"
        )))
    }
}

/// Reads the columns that `candles` and `candle_revisions` share.
macro_rules! to_stored {
    ($row:expr, $table:literal) => {{
        let row = $row;
        let unreadable = |what: &str| StoreError::Row {
            table: $table,
            message: format!("series {} at {}: {what}", row.series_id, row.open_time.0),
        };
        Ok(StoredCandle {
            candle: Candle {
                open_time: instant(row.open_time, $table)?,
                open: row.open,
                high: row.high,
                low: row.low,
                close: row.close,
                volume: row.volume,
                quote_volume: row.quote_volume,
                trades: row.trades.map(u64::try_from).transpose().map_err(|_| unreadable("negative trade count"))?,
                vwap: row.vwap,
            },
            source: Source::from_number(row.source).ok_or_else(|| unreadable("unknown source"))?,
            rule: Rule::from_number(row.rule).ok_or_else(|| unreadable("unknown rule"))?,
            flags: row.flags,
            revision: row.revision,
            observed_at: instant(row.observed_at, $table)?,
            first_written_at: instant(row.first_written_at, $table)?,
            updated_at: instant(row.updated_at, $table)?,
        })
    }};
}

impl CandleRecord {
    pub fn to_stored(&self) -> Result<StoredCandle, StoreError> {
        to_stored!(self, "candles")
    }

    /// This row as it goes into `candle_revisions`, replaced by the change `sequence`.
    pub fn to_revision(&self, sequence: i64, replaced_at: Micros) -> RevisionRecord {
        RevisionRecord {
            old: OldCandle {
                series_id: self.series_id,
                open_time: self.open_time,
                revision: self.revision,
                open: self.open,
                high: self.high,
                low: self.low,
                close: self.close,
                volume: self.volume,
                quote_volume: self.quote_volume,
                trades: self.trades,
                vwap: self.vwap,
                source: self.source,
                rule: self.rule,
                flags: self.flags,
                observed_at: self.observed_at,
                first_written_at: self.first_written_at,
                updated_at: self.updated_at,
            },
            sequence,
            replaced_at,
        }
    }
}

impl OldCandle {
    pub fn to_stored(&self) -> Result<StoredCandle, StoreError> {
        to_stored!(self, "candle_revisions")
    }
}

impl FormingRecord {
    pub fn new(series_id: i64, candle: &Candle, updated_at: Micros) -> Result<FormingRecord, Fault> {
        check(candle)?;
        Ok(FormingRecord {
            series_id,
            open_time: micros(candle.open_time),
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            volume: candle.volume,
            quote_volume: candle.quote_volume,
            trades: trade_count(candle)?,
            vwap: candle.vwap,
            updated_at,
        })
    }

    pub fn to_candle(&self) -> Result<Candle, StoreError> {
        Ok(Candle {
            open_time: instant(self.open_time, "forming_candles")?,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
            quote_volume: self.quote_volume,
            trades: self.trades.map(|count| count.max(0) as u64),
            vwap: self.vwap,
        })
    }
}

impl CoverageRecord {
    pub fn new(series_id: i64, entry: &LedgerEntry, updated_at: Micros) -> CoverageRecord {
        let (state, verified, reason, attempts, next_attempt_at) = match &entry.coverage {
            Coverage::Complete { verified } => ("complete", *verified, None, 0, None),
            Coverage::Missing { reason, attempts, next_attempt_at } => {
                ("missing", false, Some(reason.clone()), i64::from(*attempts), next_attempt_at.map(micros))
            }
            Coverage::Unavailable { reason } => ("unavailable", false, Some(reason.clone()), 0, None),
        };
        CoverageRecord {
            series_id,
            from_time: micros(entry.span.from),
            to_time: micros(entry.span.to),
            state: state.to_owned(),
            verified,
            reason,
            attempts,
            next_attempt_at,
            updated_at,
        }
    }

    pub fn to_entry(&self) -> Result<LedgerEntry, StoreError> {
        const TABLE: &str = "coverage";
        let reason = || self.reason.clone().unwrap_or_default();
        let coverage = match self.state.as_str() {
            "complete" => Coverage::Complete { verified: self.verified },
            "missing" => Coverage::Missing {
                reason: reason(),
                attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
                next_attempt_at: optional_instant(self.next_attempt_at, TABLE)?,
            },
            "unavailable" => Coverage::Unavailable { reason: reason() },
            other => {
                let message = format!("series {} at {}: unknown state {other:?}", self.series_id, self.from_time.0);
                return Err(StoreError::Row { table: TABLE, message });
            }
        };
        Ok(LedgerEntry { span: Span::new(instant(self.from_time, TABLE)?, instant(self.to_time, TABLE)?), coverage })
    }
}

impl TradeRecord {
    pub fn new(symbol_id: i64, trade: &Trade) -> Result<TradeRecord, Fault> {
        let number = |id: u64| {
            i64::try_from(id).map_err(|_| Fault::refused(format!("trade id {id} is larger than a database number")))
        };
        let (trade_id, last_trade_id, venue_id) = match (&trade.id, &trade.last_id) {
            (TradeId::Number(first), TradeId::Number(last)) if first <= last => {
                (number(*first)?, number(*last)?, String::new())
            }
            (TradeId::Text(id), _) => {
                let hash = stable_hash(id);
                (hash, hash, id.to_string())
            }
            (first, last) => return Err(Fault::refused(format!("trade ids {first} to {last} are no range"))),
        };
        Ok(TradeRecord {
            symbol_id,
            trade_id,
            venue_id,
            last_trade_id,
            time: micros(trade.time),
            price: trade.price.to_string(),
            amount: trade.amount.to_string(),
            side: trade.side.map(|side| Cow::Borrowed(side.as_str())),
        })
    }

    pub fn to_trade(&self) -> Result<Trade, StoreError> {
        const TABLE: &str = "trades";
        let unreadable = |what: &str, text: &str| StoreError::Row {
            table: TABLE,
            message: format!("symbol {}, trade {}: {what} {text:?}", self.symbol_id, self.trade_id),
        };
        let decimal = |text: &str| Decimal::from_str_exact(text).map_err(|_| unreadable("unreadable number", text));
        let (id, last_id) = if self.venue_id.is_empty() {
            (TradeId::Number(self.trade_id.max(0) as u64), TradeId::Number(self.last_trade_id.max(0) as u64))
        } else {
            let id = TradeId::Text(Arc::from(self.venue_id.as_str()));
            (id.clone(), id)
        };
        Ok(Trade {
            id,
            last_id,
            time: instant(self.time, TABLE)?,
            price: decimal(&self.price)?,
            amount: decimal(&self.amount)?,
            side: match self.side.as_deref() {
                None => None,
                Some("buy") => Some(Side::Buy),
                Some("sell") => Some(Side::Sell),
                Some(other) => return Err(unreadable("unknown side", other)),
            },
        })
    }
}

/// FNV-1a, cut to 63 bits. Stored, so it must never change.
fn stable_hash(text: &str) -> i64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash >> 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_hash_of_a_text_id_never_changes() {
        // The reference value of FNV-1a 64 for "foobar", halved.
        assert_eq!(stable_hash("foobar"), (0x8594_4171_f739_67e8_u64 >> 1) as i64);
    }
}
