//! The newest ticker of each symbol: one row, replaced in place.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::{Connection, dialect};
use crate::market::Ticker;
use crate::store::fault::Fault;
use crate::store::tables::moment::{Micros, instant, micros};
use crate::store::tables::{exchanges, symbols, tickers};
use crate::store::{StoreError, TickerChange, TickerRow};

/// A row of `tickers`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = tickers, treat_none_as_default_value = false)]
struct TickerRecord {
    symbol_id: i64,
    time: Micros,
    last: Option<f64>,
    bid: Option<f64>,
    ask: Option<f64>,
    volume: Option<f64>,
    quote_volume: Option<f64>,
    updated_at: Micros,
}

impl TickerRecord {
    fn new(change: &TickerChange, updated_at: Micros) -> Result<TickerRecord, Fault> {
        let TickerChange { symbol, ticker, observed_at } = change;
        if !ticker.is_finite() {
            return Err(Fault::refused(format!("a ticker with a number that is not finite: {ticker:?}")));
        }
        let Ticker { time, last, bid, ask, volume, quote_volume } = *ticker;
        let time = micros(time.unwrap_or(*observed_at));
        Ok(TickerRecord { symbol_id: symbol.0, time, last, bid, ask, volume, quote_volume, updated_at })
    }
}

/// Puts tickers in the place of those before them.
pub fn write(connection: &mut Connection, changes: &[TickerChange], now: Micros) -> Result<(), Fault> {
    let newest: BTreeMap<i64, &TickerChange> = changes.iter().map(|change| (change.symbol.0, change)).collect();
    let records = newest.values().map(|change| TickerRecord::new(change, now)).collect::<Result<Vec<_>, _>>()?;
    for chunk in records.chunks(dialect::KEYS_AT_ONCE) {
        diesel::insert_into(tickers::table)
            .values(chunk)
            .on_conflict(tickers::symbol_id)
            .do_update()
            .set((
                tickers::time.eq(excluded(tickers::time)),
                tickers::last.eq(excluded(tickers::last)),
                tickers::bid.eq(excluded(tickers::bid)),
                tickers::ask.eq(excluded(tickers::ask)),
                tickers::volume.eq(excluded(tickers::volume)),
                tickers::quote_volume.eq(excluded(tickers::quote_volume)),
                tickers::updated_at.eq(excluded(tickers::updated_at)),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// All tickers of symbols that are wanted, by exchange and symbol.
pub fn read(connection: &mut Connection) -> Result<Vec<TickerRow>, Fault> {
    const TABLE: &str = "tickers";
    let rows: Vec<(TickerRecord, String, String)> = tickers::table
        .inner_join(symbols::table.inner_join(exchanges::table))
        .filter(symbols::removed_at.is_null())
        .order((exchanges::name, symbols::symbol))
        .select((TickerRecord::as_select(), exchanges::name, symbols::symbol))
        .load(connection)?;
    let row = |(record, exchange, symbol): (TickerRecord, String, String)| {
        let unreadable = |message| StoreError::Row { table: TABLE, message };
        let TickerRecord { time, last, bid, ask, volume, quote_volume, updated_at, .. } = record;
        let time = Some(instant(time, TABLE)?);
        Ok(TickerRow {
            symbol: symbol.parse().map_err(|error| unreadable(format!("{exchange} {symbol}: {error}")))?,
            ticker: Ticker { time, last, bid, ask, volume, quote_volume },
            updated_at: instant(updated_at, TABLE)?,
            exchange,
        })
    };
    rows.into_iter().map(row).collect()
}
