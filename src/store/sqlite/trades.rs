//! Trades and their ledger: by id range where the venue's ids are dense, else by time.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::super::{TradeCoverage, TradesChange};
use super::error::Fault;
use super::records::{TradeRecord, instant, micros};
use super::schema::{symbols, trade_coverage, trades};
use crate::market::{Span, Trade};

/// Far below SQLite's 32,766 values per statement, and no slower than larger ones.
const ROWS_PER_STATEMENT: usize = 500;

/// Writes the trades that are not known yet, and what they prove.
pub(super) fn write(connection: &mut SqliteConnection, change: &TradesChange, now: i64) -> Result<(), Fault> {
    let symbol = change.symbol.0;
    let known = symbols::table.find(symbol).select(symbols::id).first::<i64>(connection).optional()?;
    if known.is_none() {
        return Err(Fault::refused(format!("symbol {symbol} is not in the database")));
    }
    let records = change.trades.iter().map(|trade| TradeRecord::new(symbol, trade)).collect::<Result<Vec<_>, _>>()?;
    for chunk in records.chunks(ROWS_PER_STATEMENT) {
        diesel::insert_into(trades::table)
            .values(chunk)
            .on_conflict((trades::symbol_id, trades::trade_id, trades::venue_id))
            .do_nothing()
            .execute(connection)?;
    }
    for &(first, last) in &change.complete_ids {
        let range = i64::try_from(first).ok().zip(last.checked_add(1).and_then(|end| i64::try_from(end).ok()));
        let Some((from, to)) = range.filter(|(from, to)| from < to) else {
            return Err(Fault::refused(format!("trade ids {first} to {last} are no range")));
        };
        cover(connection, symbol, ID, from, to, now)?;
    }
    for span in change.complete_spans.iter().filter(|span| !span.is_empty()) {
        cover(connection, symbol, TIME, micros(span.from), micros(span.to), now)?;
    }
    Ok(())
}

const ID: &str = "id";
const TIME: &str = "time";

/// Adds `[from, to)` to what is complete, merging what it overlaps or touches.
fn cover(
    connection: &mut SqliteConnection,
    symbol: i64,
    kind: &str,
    from: i64,
    to: i64,
    now: i64,
) -> Result<(), Fault> {
    let met = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::kind.eq(kind))
        .filter(trade_coverage::from_key.le(to))
        .filter(trade_coverage::to_key.ge(from));
    let parts: Vec<(i64, i64)> = met.select((trade_coverage::from_key, trade_coverage::to_key)).load(connection)?;
    if parts.iter().any(|part| part.0 <= from && to <= part.1) {
        return Ok(());
    }
    let (from, to) = parts.iter().fold((from, to), |(from, to), part| (from.min(part.0), to.max(part.1)));
    for (start, _) in &parts {
        diesel::delete(trade_coverage::table.find((symbol, kind, start))).execute(connection)?;
    }
    diesel::insert_into(trade_coverage::table)
        .values((
            trade_coverage::symbol_id.eq(symbol),
            trade_coverage::kind.eq(kind),
            trade_coverage::from_key.eq(from),
            trade_coverage::to_key.eq(to),
            trade_coverage::updated_at.eq(now),
        ))
        .execute(connection)?;
    Ok(())
}

/// Trades of a symbol inside `span`, in order of time and id.
pub(super) fn read(connection: &mut SqliteConnection, symbol: i64, span: Span) -> Result<Vec<Trade>, Fault> {
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
pub(super) fn read_coverage(connection: &mut SqliteConnection, symbol: i64) -> Result<TradeCoverage, Fault> {
    const TABLE: &str = "trade_coverage";
    let rows: Vec<(String, i64, i64)> = trade_coverage::table
        .filter(trade_coverage::symbol_id.eq(symbol))
        .filter(trade_coverage::state.eq("complete"))
        .order(trade_coverage::from_key)
        .select((trade_coverage::kind, trade_coverage::from_key, trade_coverage::to_key))
        .load(connection)?;
    let mut coverage = TradeCoverage::default();
    for (kind, from, to) in rows {
        if kind == ID {
            coverage.ids.push((from.max(0) as u64, (to - 1).max(0) as u64));
        } else {
            coverage.spans.insert(Span::new(instant(from, TABLE)?, instant(to, TABLE)?));
        }
    }
    Ok(coverage)
}
