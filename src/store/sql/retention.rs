//! The beginning of what is kept: moved forward, kept free of late writes, and enforced piece by piece.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::events::EventBatch;
use super::head::{SeriesHead, read_heads};
use super::{Connection, cuts, dialect, trades};
use crate::market::Span;
use crate::market::ledger::LedgerChange;
use crate::store::event::PRUNED;
use crate::store::fault::Fault;
use crate::store::retention::{Held, Part};
use crate::store::tables::moment::{Micros, instant, micros};
use crate::store::tables::records::CoverageRecord;
use crate::store::tables::{
    candle_revisions, candles, coverage, exchanges, forming_candles, series, symbols, trades as trade_rows,
};
use crate::store::{Cut, Prunable, Pruned, SeriesChange, SeriesId, StoreError, SymbolId};

/// The change without what lies before the beginning of its series: it was on its way, or in the spool,
/// while that was cut.
pub fn kept<'a>(head: &SeriesHead, change: &'a SeriesChange) -> Result<Cow<'a, SeriesChange>, Fault> {
    let Some(kept_from) = head.kept_from else { return Ok(Cow::Borrowed(change)) };
    let from = instant(kept_from, "series")?;
    let spans = change.ledger.iter().map(LedgerChange::span).chain(change.extent.map(|(span, _)| span));
    let is_late = spans.map(|span| span.from).chain(change.candles.iter().map(|new| new.candle.open_time));
    if is_late.min().is_none_or(|first| first >= from) {
        return Ok(Cow::Borrowed(change));
    }
    let cut = |span: Span| Span::new(span.from.max(from), span.to);
    let mut change = change.clone();
    change.candles.retain(|new| new.candle.open_time >= from);
    change.ledger.iter_mut().for_each(|statement| *statement.span_mut() = cut(statement.span()));
    change.extent = change.extent.map(|(span, reason)| (cut(span), reason));
    Ok(Cow::Owned(change))
}

/// Moves beginnings forward; gives those that moved.
pub fn keep_from(connection: &mut Connection, symbol: SymbolId, cuts: &[Cut]) -> Result<Vec<Cut>, Fault> {
    dialect::lock_settings(connection)?;
    cuts::lock_all(connection, symbol)?;
    let mut moved = Vec::new();
    for cut in cuts {
        let from = Some(micros(cut.from));
        let changed = match cut.part {
            Part::Candles(timeframe) => {
                let own = series::symbol_id.eq(symbol.0).and(series::timeframe.eq(timeframe.as_str()));
                let earlier = series::kept_from.is_null().or(series::kept_from.lt(from));
                diesel::update(series::table.filter(own.and(earlier)))
                    .set(series::kept_from.eq(from))
                    .execute(connection)?
            }
            Part::Trades => {
                let earlier = symbols::trades_kept_from.is_null().or(symbols::trades_kept_from.lt(from));
                diesel::update(symbols::table.filter(symbols::id.eq(symbol.0).and(earlier)))
                    .set(symbols::trades_kept_from.eq(from))
                    .execute(connection)?
            }
        };
        if changed > 0 {
            moved.push(*cut);
        }
    }
    cuts::follow(connection, symbol)?;
    Ok(moved)
}

/// What holds rows, old values or a ledger from before its beginning.
pub fn prunable(connection: &mut Connection) -> Result<Vec<Prunable>, Fault> {
    let mut found = Vec::new();
    let rows: Vec<(i64, Option<Micros>, String, String, String)> = series::table
        .inner_join(symbols::table.inner_join(exchanges::table))
        .filter(series::kept_from.is_not_null())
        .order((exchanges::name, symbols::symbol, series::id))
        .select((series::id, series::kept_from, series::timeframe, exchanges::name, symbols::symbol))
        .load(connection)?;
    for (id, kept_from, timeframe, exchange, symbol) in rows {
        let Some(from) = kept_from else { continue };
        if holds_before(connection, id, from)? {
            let timeframe = timeframe.parse().map_err(|error| unreadable("series", &error))?;
            let symbol = symbol.parse().map_err(|error| unreadable("symbols", &error))?;
            let (part, held) = (Part::Candles(timeframe), Held::Series(SeriesId(id)));
            found.push(Prunable { exchange, symbol, part, held, from: instant(from, "series")? });
        }
    }
    let rows: Vec<(i64, Option<Micros>, String, String)> = symbols::table
        .inner_join(exchanges::table)
        .filter(symbols::trades_kept_from.is_not_null())
        .order((exchanges::name, symbols::symbol))
        .select((symbols::id, symbols::trades_kept_from, exchanges::name, symbols::symbol))
        .load(connection)?;
    for (id, kept_from, exchange, symbol) in rows {
        let Some(from) = kept_from else { continue };
        if trades::holds_before(connection, id, from)? {
            let symbol = symbol.parse().map_err(|error| unreadable("symbols", &error))?;
            let (part, held) = (Part::Trades, Held::Trades(SymbolId(id)));
            found.push(Prunable { exchange, symbol, part, held, from: instant(from, "symbols")? });
        }
    }
    Ok(found)
}

fn unreadable(table: &'static str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Row { table, message: error.to_string() }
}

fn holds_before(connection: &mut Connection, id: i64, from: Micros) -> Result<bool, Fault> {
    let candle = candles::table
        .filter(candles::series_id.eq(id).and(candles::open_time.lt(from)))
        .select(candles::open_time)
        .first::<Micros>(connection)
        .optional()?;
    let entry = coverage::table
        .filter(coverage::series_id.eq(id).and(coverage::from_time.lt(from)))
        .select(coverage::from_time)
        .first::<Micros>(connection)
        .optional()?;
    let revision = candle_revisions::table
        .filter(candle_revisions::series_id.eq(id).and(candle_revisions::open_time.lt(from)))
        .select(candle_revisions::open_time)
        .first::<Micros>(connection)
        .optional()?;
    Ok(candle.or(entry).or(revision).is_some())
}

/// Counts what lies before an instant.
pub fn count_before(connection: &mut Connection, held: Held, from: Micros) -> Result<Pruned, Fault> {
    let counted = |rows: i64, revisions: i64| Pruned {
        rows: rows.unsigned_abs(),
        revisions: revisions.unsigned_abs(),
        is_done: false,
    };
    Ok(match held {
        Held::Series(SeriesId(id)) => counted(
            candles::table
                .filter(candles::series_id.eq(id).and(candles::open_time.lt(from)))
                .count()
                .get_result(connection)?,
            candle_revisions::table
                .filter(candle_revisions::series_id.eq(id).and(candle_revisions::open_time.lt(from)))
                .count()
                .get_result(connection)?,
        ),
        Held::Trades(SymbolId(id)) => counted(
            trade_rows::table
                .filter(trade_rows::symbol_id.eq(id).and(trade_rows::time.lt(from)))
                .count()
                .get_result(connection)?,
            0,
        ),
    })
}

/// Removes one piece; see [`crate::store::Store::prune`].
pub fn prune(connection: &mut Connection, held: Held, limit: u32, now: Micros) -> Result<Pruned, Fault> {
    match held {
        Held::Series(id) => prune_series(connection, id.0, limit, now),
        Held::Trades(id) => prune_trades(connection, id.0, limit, now),
    }
}

fn prune_series(connection: &mut Connection, id: i64, limit: u32, now: Micros) -> Result<Pruned, Fault> {
    dialect::lock_ledgers(connection, &[id], &[])?;
    let Some(head) = read_heads(connection, &[id])?.remove(&id) else {
        return Err(Fault::refused(format!("series {id} is not in the database")));
    };
    // As it is now, whatever was known when the work was planned.
    let Some(from) = head.kept_from else { return Ok(Pruned { is_done: true, ..Pruned::default() }) };
    let own = candles::series_id.eq(id).and(candles::open_time.lt(from));
    let old = candle_revisions::series_id.eq(id).and(candle_revisions::open_time.lt(from));
    let next_candle: Option<Micros> = candles::table
        .filter(own)
        .order(candles::open_time)
        .offset(i64::from(limit))
        .limit(1)
        .select(candles::open_time)
        .first(connection)
        .optional()?;
    let next_revision: Option<Micros> = candle_revisions::table
        .filter(old)
        .order((candle_revisions::open_time, candle_revisions::revision))
        .offset(i64::from(limit))
        .limit(1)
        .select(candle_revisions::open_time)
        .first(connection)
        .optional()?;
    let mut end = [next_candle, next_revision].into_iter().flatten().fold(from, Micros::min);
    let first: Option<Micros> = candle_revisions::table
        .filter(old)
        .order((candle_revisions::open_time, candle_revisions::revision))
        .select(candle_revisions::open_time)
        .first(connection)
        .optional()?;
    if end < from && first == Some(end) {
        // One bucket was revised more often than that: all of it goes at once.
        let after: Option<Micros> = candle_revisions::table
            .filter(old.and(candle_revisions::open_time.gt(end)))
            .order(candle_revisions::open_time)
            .select(candle_revisions::open_time)
            .first(connection)
            .optional()?;
        end = [after, next_candle].into_iter().flatten().filter(|at| *at > end).fold(from, Micros::min);
    }
    let rows = diesel::delete(candles::table.filter(candles::series_id.eq(id).and(candles::open_time.lt(end))))
        .execute(connection)? as u64;
    let gone = candle_revisions::series_id.eq(id).and(candle_revisions::open_time.lt(end));
    let revisions = diesel::delete(candle_revisions::table.filter(gone)).execute(connection)? as u64;
    diesel::delete(
        forming_candles::table.filter(forming_candles::series_id.eq(id).and(forming_candles::open_time.lt(end))),
    )
    .execute(connection)?;
    cut_ledger(connection, id, end, now)?;
    let mut events = EventBatch::for_series(connection, &[id])?;
    let cut = Span::new(DateTime::<Utc>::MIN_UTC, instant(end, "series")?);
    events.cut(connection, &head, cut, PRUNED, now)?;
    events.record(connection)?;
    Ok(Pruned { rows, revisions, is_done: end == from })
}

/// Entries from before `end` go; the one that contains it begins there.
fn cut_ledger(connection: &mut Connection, id: i64, end: Micros, now: Micros) -> Result<(), Fault> {
    let entries: Vec<CoverageRecord> = coverage::table
        .filter(coverage::series_id.eq(id).and(coverage::from_time.lt(end)))
        .select(CoverageRecord::as_select())
        .load(connection)?;
    let deleted: Vec<(i64, Micros)> = entries.iter().map(|entry| (id, entry.from_time)).collect();
    let rest = entries.into_iter().filter(|entry| entry.to_time > end);
    let written: Vec<CoverageRecord> =
        rest.map(|entry| CoverageRecord { from_time: end, updated_at: now, ..entry }).collect();
    dialect::write_ledgers(connection, &deleted, &written)
}

fn prune_trades(connection: &mut Connection, symbol: i64, limit: u32, now: Micros) -> Result<Pruned, Fault> {
    dialect::lock_ledgers(connection, &[], &[symbol])?;
    let kept: Option<Option<Micros>> =
        symbols::table.find(symbol).select(symbols::trades_kept_from).get_result(connection).optional()?;
    let Some(kept) = kept else {
        return Err(Fault::refused(format!("symbol {symbol} is not in the database")));
    };
    let Some(from) = kept else { return Ok(Pruned { is_done: true, ..Pruned::default() }) };
    let own = trade_rows::symbol_id.eq(symbol).and(trade_rows::time.lt(from));
    let nth = |connection: &mut Connection, offset: i64| -> Result<Option<Micros>, Fault> {
        let times = trade_rows::table.filter(own).order((trade_rows::time, trade_rows::trade_id));
        Ok(times.offset(offset).limit(1).select(trade_rows::time).first(connection).optional()?)
    };
    let end = match (nth(connection, 0)?, nth(connection, i64::from(limit))?) {
        // All of one instant goes at once, however many they are.
        (Some(first), Some(next)) if first == next => Micros(next.0 + 1).min(from),
        (_, next) => next.unwrap_or(from),
    };
    let rows = trades::prune(connection, symbol, end, now)?;
    Ok(Pruned { rows, revisions: 0, is_done: end == from })
}
