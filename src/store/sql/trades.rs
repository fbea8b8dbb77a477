//! Trades and their ledger: by id range where the venue's ids are dense, else by time.

use std::borrow::Cow;

use diesel::prelude::*;

use super::{Connection, dialect};
use crate::market::{Span, Trade};
use crate::store::fault::Fault;
use crate::store::tables::moment::{Micros, instant, micros};
use crate::store::tables::records::TradeRecord;
use crate::store::tables::{symbols, trade_coverage, trades};
use crate::store::{TradeCoverage, TradesChange};

/// Trades of one or several symbols on their way into as few statements as possible.
#[derive(Default)]
pub struct TradeBatch {
    rows: Vec<TradeRecord>,
}

impl TradeBatch {
    /// Adds a change: what it proves is written, its trades wait for others (known ids are left alone).
    pub fn add(&mut self, connection: &mut Connection, change: &TradesChange, now: Micros) -> Result<(), Fault> {
        let symbol = change.symbol.0;
        let known: Option<Option<Micros>> =
            symbols::table.find(symbol).select(symbols::trades_kept_from).get_result(connection).optional()?;
        let Some(kept_from) = known else {
            return Err(Fault::refused(format!("symbol {symbol} is not in the database")));
        };
        let kept = kept(change, kept_from)?;
        for trade in &kept.trades {
            self.rows.push(TradeRecord::new(symbol, trade)?);
            if self.rows.len() >= dialect::ROWS_AT_ONCE {
                self.flush(connection)?;
            }
        }
        let is_cut = matches!(kept, Cow::Owned(_));
        if is_cut {
            // The ledger asks which of them is the first.
            self.flush(connection)?;
        }
        prove(connection, &kept, is_cut, now)
    }

    /// Writes everything added so far.
    pub fn flush(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        dialect::insert_trades(connection, &self.rows)?;
        self.rows.clear();
        Ok(())
    }
}

/// Writes what a change says of its symbol's ledger. `is_cut`: without trades that are not kept.
fn prove(connection: &mut Connection, change: &TradesChange, is_cut: bool, now: Micros) -> Result<(), Fault> {
    let symbol = change.symbol.0;
    for span in change.withdrawn.iter().filter(|span| !span.is_empty()) {
        withdraw(connection, symbol, *span, now)?;
    }
    for &(first, last) in &change.complete_ids {
        let range = i64::try_from(first).ok().zip(last.checked_add(1).and_then(|end| i64::try_from(end).ok()));
        let Some((from, to)) = range.filter(|(from, to)| from < to) else {
            return Err(Fault::refused(format!("trade ids {first} to {last} are no range")));
        };
        let from = match is_cut {
            // Its first trades may be among those that were left out.
            true => first_stored(connection, symbol, from, to)?,
            false => Some(from),
        };
        if let Some(from) = from {
            cover(connection, symbol, ID, from, to, now)?;
        }
    }
    for span in change.complete_spans.iter().filter(|span| !span.is_empty()) {
        cover(connection, symbol, TIME, micros(span.from).0, micros(span.to).0, now)?;
    }
    for (span, reason) in change.unavailable.iter().filter(|(span, _)| !span.is_empty()) {
        rule_out(connection, symbol, *span, reason, now)?;
    }
    Ok(())
}

/// The change without what lies before the beginning of the trades: it was on its way, or in the spool,
/// while that was cut.
fn kept(change: &TradesChange, kept_from: Option<Micros>) -> Result<Cow<'_, TradesChange>, Fault> {
    let Some(kept_from) = kept_from else { return Ok(Cow::Borrowed(change)) };
    let from = instant(kept_from, "symbols")?;
    let spans = change.complete_spans.iter().chain(change.unavailable.iter().map(|(span, _)| span));
    let times = spans.map(|span| span.from).chain(change.trades.iter().map(|trade| trade.time));
    if times.min().is_none_or(|first| first >= from) {
        return Ok(Cow::Borrowed(change));
    }
    let mut change = change.clone();
    change.trades.retain(|trade| trade.time >= from);
    let spans = change.complete_spans.iter_mut().chain(change.unavailable.iter_mut().map(|(span, _)| span));
    spans.for_each(|span| span.from = span.from.max(from));
    Ok(Cow::Owned(change))
}

/// The first stored id of a range.
fn first_stored(connection: &mut Connection, symbol: i64, from: i64, to: i64) -> Result<Option<i64>, Fault> {
    let inside = trades::symbol_id.eq(symbol).and(trades::venue_id.eq(""));
    let first = trades::table
        .filter(inside.and(trades::trade_id.ge(from)).and(trades::trade_id.lt(to)))
        .order(trades::trade_id)
        .select(trades::trade_id)
        .first(connection)
        .optional()?;
    Ok(first)
}

/// True when trades, or statements about their time, are held from before an instant.
pub fn holds_before(connection: &mut Connection, symbol: i64, from: Micros) -> Result<bool, Fault> {
    let trade = trades::table
        .filter(trades::symbol_id.eq(symbol).and(trades::time.lt(from)))
        .select(trades::trade_id)
        .first::<i64>(connection)
        .optional()?;
    let of_time = trade_coverage::symbol_id.eq(symbol).and(trade_coverage::kind.eq(TIME));
    let entry = trade_coverage::table
        .filter(of_time.and(trade_coverage::from_key.lt(from.0)))
        .select(trade_coverage::from_key)
        .first::<i64>(connection)
        .optional()?;
    Ok(trade.or(entry).is_some())
}

/// Removes the trades from before `end` and what the ledger says of them; gives how many they were.
pub fn prune(connection: &mut Connection, symbol: i64, end: Micros, now: Micros) -> Result<u64, Fault> {
    let gone = trades::symbol_id.eq(symbol).and(trades::time.lt(end));
    let last: Option<i64> = trades::table
        .filter(gone.and(trades::venue_id.eq("")))
        .select(diesel::dsl::max(trades::trade_id))
        .get_result(connection)?;
    let rows = diesel::delete(trades::table.filter(gone)).execute(connection)? as u64;
    for (start, to, reason) in unavailable(connection, symbol, i64::MIN, end.0)? {
        diesel::delete(trade_coverage::table.find((symbol, TIME, start))).execute(connection)?;
        insert_unavailable(connection, symbol, start.max(end.0), to, &reason, now)?;
    }
    let complete = |kind: &'static str, before: i64| {
        trade_coverage::table
            .filter(trade_coverage::symbol_id.eq(symbol).and(trade_coverage::kind.eq(kind)))
            .filter(trade_coverage::state.eq(COMPLETE).and(trade_coverage::from_key.lt(before)))
            .select((trade_coverage::from_key, trade_coverage::to_key))
    };
    for (start, to) in complete(TIME, end.0).load::<(i64, i64)>(connection)? {
        diesel::delete(trade_coverage::table.find((symbol, TIME, start))).execute(connection)?;
        insert_complete(connection, symbol, TIME, start.max(end.0), to, now)?;
    }
    // A range of ids begins with the first of its trades that is still there.
    let ranges = match last {
        Some(last) => complete(ID, last.saturating_add(1)).load::<(i64, i64)>(connection)?,
        None => Vec::new(),
    };
    for (start, to) in ranges {
        let first = first_stored(connection, symbol, start, to)?;
        if first != Some(start) {
            diesel::delete(trade_coverage::table.find((symbol, ID, start))).execute(connection)?;
            insert_complete(connection, symbol, ID, first.unwrap_or(to), to, now)?;
        }
    }
    Ok(rows)
}

const ID: &str = "id";
const TIME: &str = "time";
const COMPLETE: &str = "complete";
const UNAVAILABLE: &str = "unavailable";

/// Adds `[from, to)` to what is complete, merging what it overlaps or touches.
fn cover(connection: &mut Connection, symbol: i64, kind: &str, from: i64, to: i64, now: Micros) -> Result<(), Fault> {
    let met = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::kind.eq(kind))
        .filter(trade_coverage::from_key.le(to))
        .filter(trade_coverage::to_key.ge(from));
    let parts: Vec<(i64, i64)> = met
        .filter(trade_coverage::state.eq(COMPLETE))
        .select((trade_coverage::from_key, trade_coverage::to_key))
        .load(connection)?;
    if parts.iter().any(|part| part.0 <= from && to <= part.1) {
        return Ok(());
    }
    let (from, to) = parts.iter().fold((from, to), |(from, to), part| (from.min(part.0), to.max(part.1)));
    for (start, _) in &parts {
        diesel::delete(trade_coverage::table.find((symbol, kind, start))).execute(connection)?;
    }
    if kind == TIME {
        // What is complete after all is not unavailable.
        for (start, end, reason) in unavailable(connection, symbol, from, to)? {
            diesel::delete(trade_coverage::table.find((symbol, kind, start))).execute(connection)?;
            for (start, end) in [(start, end.min(from)), (start.max(to), end)] {
                insert_unavailable(connection, symbol, start, end, &reason, now)?;
            }
        }
    }
    insert_complete(connection, symbol, kind, from, to, now)
}

fn insert_complete(
    connection: &mut Connection,
    symbol: i64,
    kind: &str,
    from: i64,
    to: i64,
    now: Micros,
) -> Result<(), Fault> {
    if from < to {
        diesel::insert_into(trade_coverage::table)
            .values((
                trade_coverage::symbol_id.eq(symbol),
                trade_coverage::kind.eq(kind),
                trade_coverage::from_key.eq(from),
                trade_coverage::to_key.eq(to),
                trade_coverage::updated_at.eq(now),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// Takes a stretch of time out of what is complete.
fn withdraw(connection: &mut Connection, symbol: i64, span: Span, now: Micros) -> Result<(), Fault> {
    let (from, to) = (micros(span.from).0, micros(span.to).0);
    let parts: Vec<(i64, i64)> = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::kind.eq(TIME))
        .filter(trade_coverage::state.eq(COMPLETE))
        .filter(trade_coverage::from_key.lt(to))
        .filter(trade_coverage::to_key.gt(from))
        .select((trade_coverage::from_key, trade_coverage::to_key))
        .load(connection)?;
    for (start, end) in parts {
        diesel::delete(trade_coverage::table.find((symbol, TIME, start))).execute(connection)?;
        insert_complete(connection, symbol, TIME, start, from, now)?;
        insert_complete(connection, symbol, TIME, to, end, now)?;
    }
    Ok(())
}

/// The stretches called unavailable that overlap `[from, to)`.
fn unavailable(connection: &mut Connection, symbol: i64, from: i64, to: i64) -> Result<Vec<(i64, i64, String)>, Fault> {
    let rows: Vec<(i64, i64, Option<String>)> = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::kind.eq(TIME))
        .filter(trade_coverage::state.eq(UNAVAILABLE))
        .filter(trade_coverage::from_key.lt(to))
        .filter(trade_coverage::to_key.gt(from))
        .order(trade_coverage::from_key)
        .select((trade_coverage::from_key, trade_coverage::to_key, trade_coverage::reason))
        .load(connection)?;
    Ok(rows.into_iter().map(|(from, to, reason)| (from, to, reason.unwrap_or_default())).collect())
}

/// States that a stretch of time is unavailable, where nothing else is known of it.
fn rule_out(connection: &mut Connection, symbol: i64, span: Span, reason: &str, now: Micros) -> Result<(), Fault> {
    let (from, to) = (micros(span.from).0, micros(span.to).0);
    let known: Vec<(i64, i64)> = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::kind.eq(TIME))
        .filter(trade_coverage::from_key.lt(to))
        .filter(trade_coverage::to_key.gt(from))
        .order(trade_coverage::from_key)
        .select((trade_coverage::from_key, trade_coverage::to_key))
        .load(connection)?;
    let mut at = from;
    for (start, end) in known.into_iter().chain([(to, to)]) {
        insert_unavailable(connection, symbol, at, start.min(to), reason, now)?;
        at = at.max(end);
    }
    Ok(())
}

fn insert_unavailable(
    connection: &mut Connection,
    symbol: i64,
    from: i64,
    to: i64,
    reason: &str,
    now: Micros,
) -> Result<(), Fault> {
    if from < to {
        diesel::insert_into(trade_coverage::table)
            .values((
                trade_coverage::symbol_id.eq(symbol),
                trade_coverage::kind.eq(TIME),
                trade_coverage::from_key.eq(from),
                trade_coverage::to_key.eq(to),
                trade_coverage::state.eq(UNAVAILABLE),
                trade_coverage::reason.eq(reason),
                trade_coverage::updated_at.eq(now),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// A page of trades inside `span`, in order of time and id, those after `after`.
pub fn read_page(
    connection: &mut Connection,
    symbol: i64,
    span: Span,
    after: Option<&Trade>,
    limit: u32,
) -> Result<Vec<Trade>, Fault> {
    let mut query = trades::table
        .filter(trades::symbol_id.eq(symbol))
        .filter(trades::time.ge(micros(span.from)))
        .filter(trades::time.lt(micros(span.to)))
        .into_boxed();
    if let Some(after) = after {
        let key = TradeRecord::new(symbol, after)?;
        let later = trades::time.gt(key.time);
        let further = trades::time.eq(key.time).and(
            trades::trade_id
                .gt(key.trade_id)
                .or(trades::trade_id.eq(key.trade_id).and(trades::venue_id.gt(key.venue_id))),
        );
        // The first condition lets the index find the place.
        query = query.filter(trades::time.ge(key.time)).filter(later.or(further));
    }
    let records: Vec<TradeRecord> = query
        .order((trades::time, trades::trade_id, trades::venue_id))
        .limit(limit.into())
        .select(TradeRecord::as_select())
        .load(connection)?;
    records.iter().map(|record| Ok(record.to_trade()?)).collect()
}

/// The trade inside `span` that has `newer` others after it.
pub fn from_end(connection: &mut Connection, symbol: i64, span: Span, newer: u64) -> Result<Option<Trade>, Fault> {
    let record: Option<TradeRecord> = trades::table
        .filter(trades::symbol_id.eq(symbol))
        .filter(trades::time.ge(micros(span.from)))
        .filter(trades::time.lt(micros(span.to)))
        .order((trades::time.desc(), trades::trade_id.desc(), trades::venue_id.desc()))
        .offset(i64::try_from(newer).unwrap_or(i64::MAX))
        .limit(1)
        .select(TradeRecord::as_select())
        .first(connection)
        .optional()?;
    Ok(record.map(|record| record.to_trade()).transpose()?)
}

/// The trade that a numeric id belongs to.
pub fn find(connection: &mut Connection, symbol: i64, id: u64) -> Result<Option<Trade>, Fault> {
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    let record: Option<TradeRecord> = trades::table
        .filter(trades::symbol_id.eq(symbol))
        .filter(trades::trade_id.le(id))
        .filter(trades::venue_id.eq(""))
        .order(trades::trade_id.desc())
        .select(TradeRecord::as_select())
        .first(connection)
        .optional()?;
    match record.filter(|record| id <= record.last_trade_id) {
        Some(record) => Ok(Some(record.to_trade()?)),
        None => Ok(None),
    }
}

/// Trades of a symbol inside `span`, in order of time and id.
pub fn read(connection: &mut Connection, symbol: i64, span: Span) -> Result<Vec<Trade>, Fault> {
    let records: Vec<TradeRecord> = trades::table
        .filter(trades::symbol_id.eq(symbol))
        .filter(trades::time.ge(micros(span.from)))
        .filter(trades::time.lt(micros(span.to)))
        .order((trades::time, trades::trade_id, trades::venue_id))
        .select(TradeRecord::as_select())
        .load(connection)?;
    records.iter().map(|record| Ok(record.to_trade()?)).collect()
}

/// What is complete of a symbol's trades.
pub fn read_coverage(connection: &mut Connection, symbol: i64) -> Result<TradeCoverage, Fault> {
    const TABLE: &str = "trade_coverage";
    let rows: Vec<(String, i64, i64)> = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::state.eq(COMPLETE))
        .order(trade_coverage::from_key)
        .select((trade_coverage::kind, trade_coverage::from_key, trade_coverage::to_key))
        .load(connection)?;
    let mut coverage = TradeCoverage::default();
    for (kind, from, to) in rows {
        if kind == ID {
            coverage.ids.push((from.max(0) as u64, (to - 1).max(0) as u64));
        } else {
            coverage.spans.insert(Span::new(instant(Micros(from), TABLE)?, instant(Micros(to), TABLE)?));
        }
    }
    for (from, to, reason) in unavailable(connection, symbol, i64::MIN, i64::MAX)? {
        coverage.unavailable.push((Span::new(instant(Micros(from), TABLE)?, instant(Micros(to), TABLE)?), reason));
    }
    Ok(coverage)
}
