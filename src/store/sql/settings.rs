//! What to collect: the tables `exchanges`, `symbols` and `series`, and the counter of their changes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{Connection, cuts, dialect};
use crate::market::{Symbol, Timeframe};
use crate::store::fault::Fault;
use crate::store::retention::Kept;
use crate::store::tables::moment::{Micros, instant, micros, optional_instant};
use crate::store::tables::{exchanges, series, settings, symbols};
use crate::store::{
    AnchorsRow, CandleSource, ExchangeMode, ExchangeRow, NewSymbol, SeriesId, SeriesRow, StoreError, SymbolChange,
    SymbolId, SymbolRow, SymbolState,
};

/// The text of a value that is kept as one word, and back.
macro_rules! words {
    ($to:ident, $from:ident, $type:ty: $($variant:path => $word:literal),+) => {
        fn $to(value: $type) -> &'static str {
            match value { $($variant => $word),+ }
        }

        fn $from(word: &str) -> Option<$type> {
            match word { $($word => Some($variant),)+ _ => None }
        }
    };
}

words!(mode_word, mode_of, ExchangeMode:
    ExchangeMode::Auto => "auto", ExchangeMode::Poll => "poll");
words!(source_word, source_of, CandleSource: CandleSource::Venue => "venue", CandleSource::Trades => "trades");

/// How [`crate::store::Store::write`] learns where a symbol's candles come from.
pub fn candle_source_of(word: &str) -> CandleSource {
    source_of(word).unwrap_or_default()
}

pub fn version(connection: &mut Connection) -> Result<i64, Fault> {
    Ok(settings::table.select(settings::version).get_result(connection)?)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = exchanges)]
struct ExchangeRecord {
    name: String,
    enabled: bool,
    mode: String,
    rest_url: Option<String>,
    stream_url: Option<String>,
    blocked_until: Option<Micros>,
}

pub fn exchanges(connection: &mut Connection) -> Result<Vec<ExchangeRow>, Fault> {
    let records = exchanges::table.order(exchanges::name).select(ExchangeRecord::as_select()).load(connection)?;
    records
        .into_iter()
        .map(|record| {
            Ok(ExchangeRow {
                enabled: record.enabled,
                mode: mode_of(&record.mode)
                    .ok_or_else(|| unreadable("exchanges", &record.name, "mode", &record.mode))?,
                rest_url: record.rest_url,
                stream_url: record.stream_url,
                blocked_until: optional_instant(record.blocked_until, "exchanges")?,
                name: record.name,
            })
        })
        .collect()
}

fn unreadable(table: &'static str, key: &str, column: &str, text: &str) -> StoreError {
    StoreError::Row { table, message: format!("{key}: unknown {column} {text:?}") }
}

pub fn put_exchange(connection: &mut Connection, row: &ExchangeRow) -> Result<(), Fault> {
    let settings = (
        exchanges::enabled.eq(row.enabled),
        exchanges::mode.eq(mode_word(row.mode)),
        exchanges::rest_url.eq(row.rest_url.as_deref()),
        exchanges::stream_url.eq(row.stream_url.as_deref()),
    );
    diesel::insert_into(exchanges::table)
        .values((exchanges::name.eq(&row.name), settings, exchanges::blocked_until.eq(row.blocked_until.map(micros))))
        .on_conflict(exchanges::name)
        .do_update()
        .set(settings)
        .execute(connection)?;
    Ok(())
}

pub fn set_blocked_until(
    connection: &mut Connection,
    exchange: &str,
    until: Option<DateTime<Utc>>,
) -> Result<(), Fault> {
    let changed = diesel::update(exchanges::table.filter(exchanges::name.eq(exchange)))
        .set(exchanges::blocked_until.eq(until.map(micros)))
        .execute(connection)?;
    if changed == 0 {
        return Err(Fault::refused(format!("exchange {exchange:?} is not in the database")));
    }
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = symbols)]
struct SymbolRecord {
    id: i64,
    symbol: String,
    timeframes: String,
    backfill_from: Micros,
    collect_candles: bool,
    collect_trades: bool,
    candle_source: String,
    only_ticker: bool,
    state: String,
    state_reason: Option<String>,
    anchors: Option<String>,
    removed_at: Option<Micros>,
    trades_kept_from: Option<Micros>,
}

impl SymbolRecord {
    /// The row, with where the series of the symbol begin that were pruned.
    fn into_row(self, exchange: String, candles: BTreeMap<Timeframe, DateTime<Utc>>) -> Result<SymbolRow, StoreError> {
        const TABLE: &str = "symbols";
        let key = format!("{exchange} {}", self.symbol);
        let fault =
            |error: &dyn std::fmt::Display| StoreError::Row { table: TABLE, message: format!("{key}: {error}") };
        Ok(SymbolRow {
            id: SymbolId(self.id),
            symbol: self.symbol.parse().map_err(|error| fault(&error))?,
            timeframes: parse_timeframes(&self.timeframes).map_err(|error| fault(&error))?,
            backfill_from: instant(self.backfill_from, TABLE)?,
            collect_candles: self.collect_candles,
            collect_trades: self.collect_trades,
            candle_source: source_of(&self.candle_source)
                .ok_or_else(|| unreadable(TABLE, &key, "candle_source", &self.candle_source))?,
            only_ticker: self.only_ticker,
            state: match self.state.as_str() {
                "active" => SymbolState::Active,
                "paused" => SymbolState::Paused,
                "rejected" => SymbolState::Rejected(self.state_reason.unwrap_or_default()),
                other => return Err(unreadable(TABLE, &key, "state", other)),
            },
            anchors: match &self.anchors {
                Some(json) => Some(serde_json::from_str(json).map_err(|error| fault(&error))?),
                None => None,
            },
            kept: Kept { candles, trades: optional_instant(self.trades_kept_from, TABLE)? },
            exchange,
        })
    }
}

/// `1m, 1h` and `1m 1h` as well: people write this column by hand.
fn parse_timeframes(text: &str) -> Result<Vec<Timeframe>, crate::market::timeframe::TimeframeError> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let mut timeframes = words.map(str::parse).collect::<Result<Vec<Timeframe>, _>>()?;
    timeframes.sort();
    timeframes.dedup();
    Ok(timeframes)
}

fn print_timeframes(timeframes: &[Timeframe]) -> String {
    let mut timeframes = timeframes.to_vec();
    timeframes.sort();
    timeframes.dedup();
    timeframes.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(",")
}

pub fn symbols(connection: &mut Connection) -> Result<Vec<SymbolRow>, Fault> {
    let records = symbols::table
        .inner_join(exchanges::table)
        .filter(symbols::removed_at.is_null())
        .order((exchanges::name, symbols::symbol))
        .select((SymbolRecord::as_select(), exchanges::name))
        .load::<(SymbolRecord, String)>(connection)?;
    let mut kept = cuts::kept(connection, None)?;
    let row = |(record, exchange): (SymbolRecord, String)| {
        let candles = kept.remove(&record.id).unwrap_or_default();
        Ok(record.into_row(exchange, candles)?)
    };
    records.into_iter().map(row).collect()
}

/// One symbol, removed or not.
pub fn symbol(connection: &mut Connection, id: SymbolId) -> Result<SymbolRow, Fault> {
    let record = symbols::table
        .inner_join(exchanges::table)
        .filter(symbols::id.eq(id.0))
        .select((SymbolRecord::as_select(), exchanges::name))
        .get_result::<(SymbolRecord, String)>(connection)
        .optional()?;
    let Some((record, exchange)) = record else { return Err(unknown_symbol(id)) };
    let candles = cuts::kept(connection, Some(id.0))?.remove(&id.0).unwrap_or_default();
    Ok(record.into_row(exchange, candles)?)
}

fn find(connection: &mut Connection, exchange: &str, symbol: &Symbol) -> Result<Option<SymbolRecord>, Fault> {
    let record = symbols::table
        .inner_join(exchanges::table)
        .filter(exchanges::name.eq(exchange).and(symbols::symbol.eq(symbol.as_str())))
        .select(SymbolRecord::as_select())
        .get_result(connection)
        .optional()?;
    Ok(record)
}

/// Only ever widens. A setting that the asker left at its default takes nothing away, so candles
/// built from trades stay so, and wanting candles ends wanting the ticker only.
pub fn add_symbol(connection: &mut Connection, new: &NewSymbol) -> Result<SymbolChange, Fault> {
    dialect::lock_settings(connection)?;
    diesel::insert_into(exchanges::table)
        .values(exchanges::name.eq(&new.exchange))
        .on_conflict(exchanges::name)
        .do_nothing()
        .execute(connection)?;
    let Some(record) = find(connection, &new.exchange, &new.symbol)? else {
        let exchange_id: i64 =
            exchanges::table.filter(exchanges::name.eq(&new.exchange)).select(exchanges::id).get_result(connection)?;
        diesel::insert_into(symbols::table)
            .values((
                symbols::exchange_id.eq(exchange_id),
                symbols::symbol.eq(new.symbol.as_str()),
                symbols::timeframes.eq(print_timeframes(&new.timeframes)),
                symbols::backfill_from.eq(micros(new.backfill_from)),
                symbols::collect_candles.eq(!new.only_ticker),
                symbols::collect_trades.eq(new.collect_trades),
                symbols::candle_source.eq(source_word(new.candle_source)),
                symbols::only_ticker.eq(new.only_ticker),
            ))
            .execute(connection)?;
        return Ok(SymbolChange::Added);
    };
    let (id, was_removed) = (record.id, record.removed_at.is_some());
    let candles = cuts::kept(connection, Some(id))?.remove(&id).unwrap_or_default();
    let old = record.into_row(new.exchange.clone(), candles)?;
    let is_again = cuts::take_back(connection, &old, new)?;
    // One that comes back wants what is asked now; of the past it keeps what is stored, so that the
    // instant from which everything is wanted moves forward by pruning only.
    let mut wanted = SymbolRow {
        timeframes: if was_removed { Vec::new() } else { old.timeframes.clone() },
        backfill_from: old.backfill_from.min(new.backfill_from),
        collect_candles: (old.collect_candles && !was_removed) || !new.only_ticker,
        collect_trades: (old.collect_trades && !was_removed) || new.collect_trades,
        candle_source: match new.candle_source {
            CandleSource::Venue if !was_removed => old.candle_source,
            asked => asked,
        },
        only_ticker: (old.only_ticker || was_removed) && new.only_ticker,
        state: if was_removed { SymbolState::Active } else { old.state.clone() },
        ..old.clone()
    };
    wanted.timeframes.extend(&new.timeframes);
    wanted.timeframes.sort();
    wanted.timeframes.dedup();
    if wanted == old && !was_removed {
        return Ok(if is_again { SymbolChange::Widened } else { SymbolChange::Unchanged });
    }
    let (state, reason) = state_columns(&wanted.state);
    diesel::update(symbols::table.find(id))
        .set((
            symbols::timeframes.eq(print_timeframes(&wanted.timeframes)),
            symbols::backfill_from.eq(micros(wanted.backfill_from)),
            symbols::collect_candles.eq(wanted.collect_candles),
            symbols::collect_trades.eq(wanted.collect_trades),
            symbols::candle_source.eq(source_word(wanted.candle_source)),
            symbols::only_ticker.eq(wanted.only_ticker),
            symbols::state.eq(state),
            symbols::state_reason.eq(reason),
            symbols::removed_at.eq(None::<Micros>),
        ))
        .execute(connection)?;
    Ok(if was_removed { SymbolChange::Added } else { SymbolChange::Widened })
}

pub fn remove_symbol(
    connection: &mut Connection,
    exchange: &str,
    symbol: &Symbol,
    now: DateTime<Utc>,
) -> Result<bool, Fault> {
    dialect::lock_settings(connection)?;
    match find(connection, exchange, symbol)? {
        Some(record) if record.removed_at.is_none() => {
            diesel::update(symbols::table.find(record.id))
                .set(symbols::removed_at.eq(micros(now)))
                .execute(connection)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn state_columns(state: &SymbolState) -> (&'static str, Option<&str>) {
    match state {
        SymbolState::Active => ("active", None),
        SymbolState::Paused => ("paused", None),
        SymbolState::Rejected(words) => ("rejected", Some(words)),
    }
}

pub fn set_symbol_state(
    connection: &mut Connection,
    exchange: &str,
    symbol: &Symbol,
    state: &SymbolState,
) -> Result<bool, Fault> {
    dialect::lock_settings(connection)?;
    match find(connection, exchange, symbol)? {
        Some(record) if record.removed_at.is_none() => {
            let (state, reason) = state_columns(state);
            diesel::update(symbols::table.find(record.id))
                .set((symbols::state.eq(state), symbols::state_reason.eq(reason)))
                .execute(connection)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

pub fn set_refusal(connection: &mut Connection, symbol: SymbolId, refusal: Option<&str>) -> Result<(), Fault> {
    let state = refusal.map_or(SymbolState::Active, |words| SymbolState::Rejected(words.to_owned()));
    let (state, reason) = state_columns(&state);
    diesel::update(symbols::table.find(symbol.0).filter(symbols::state.ne(state_columns(&SymbolState::Paused).0)))
        .set((symbols::state.eq(state), symbols::state_reason.eq(reason)))
        .execute(connection)?;
    Ok(())
}

pub fn set_anchors(connection: &mut Connection, symbol: SymbolId, anchors: &AnchorsRow) -> Result<(), Fault> {
    let json = serde_json::to_string(anchors).map_err(|error| Fault::refused(error.to_string()))?;
    let changed = diesel::update(symbols::table.find(symbol.0)).set(symbols::anchors.eq(json)).execute(connection)?;
    if changed == 0 { Err(unknown_symbol(symbol)) } else { Ok(()) }
}

fn unknown_symbol(symbol: SymbolId) -> Fault {
    Fault::refused(format!("symbol {} is not in the database", symbol.0))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = series)]
pub struct SeriesRecord {
    pub id: i64,
    symbol_id: i64,
    timeframe: String,
    observed_until: Option<Micros>,
    last_sequence: i64,
}

impl SeriesRecord {
    pub fn into_row(self) -> Result<SeriesRow, StoreError> {
        const TABLE: &str = "series";
        Ok(SeriesRow {
            id: SeriesId(self.id),
            symbol: SymbolId(self.symbol_id),
            timeframe: self
                .timeframe
                .parse()
                .map_err(|error| StoreError::Row { table: TABLE, message: format!("series {}: {error}", self.id) })?,
            observed_until: optional_instant(self.observed_until, TABLE)?,
            last_sequence: self.last_sequence,
        })
    }
}

pub fn open_series(connection: &mut Connection, symbol: SymbolId, timeframe: Timeframe) -> Result<SeriesRow, Fault> {
    let known = symbols::table.find(symbol.0).select(symbols::id).get_result::<i64>(connection).optional()?;
    if known.is_none() {
        return Err(unknown_symbol(symbol));
    }
    let wanted = series::symbol_id.eq(symbol.0).and(series::timeframe.eq(timeframe.as_str()));
    diesel::insert_into(series::table)
        .values((series::symbol_id.eq(symbol.0), series::timeframe.eq(timeframe.as_str())))
        .on_conflict((series::symbol_id, series::timeframe))
        .do_nothing()
        .execute(connection)?;
    let record = series::table.filter(wanted).select(SeriesRecord::as_select()).get_result(connection)?;
    Ok(record.into_row()?)
}

pub fn series_of(connection: &mut Connection, symbol: SymbolId) -> Result<Vec<SeriesRow>, Fault> {
    let records =
        series::table.filter(series::symbol_id.eq(symbol.0)).select(SeriesRecord::as_select()).load(connection)?;
    let mut rows = records.into_iter().map(SeriesRecord::into_row).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| row.timeframe);
    Ok(rows)
}
