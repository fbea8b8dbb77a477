//! Where series and trades of symbols begin that were pruned: how that is read, moves `backfill_from`
//! along, and is taken back.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::settings::{self, SeriesRecord};
use super::{Connection, dialect};
use crate::market::Timeframe;
use crate::store::fault::Fault;
use crate::store::retention::{Kept, Part};
use crate::store::tables::moment::{Micros, micros, optional_instant};
use crate::store::tables::{series, symbols};
use crate::store::{NewSymbol, SymbolId, SymbolRow};

/// Where series begin that were pruned, by symbol; of one symbol or of all.
pub fn kept(
    connection: &mut Connection,
    symbol: Option<i64>,
) -> Result<HashMap<i64, BTreeMap<Timeframe, DateTime<Utc>>>, Fault> {
    let mut query = series::table.filter(series::kept_from.is_not_null()).into_boxed();
    if let Some(symbol) = symbol {
        query = query.filter(series::symbol_id.eq(symbol));
    }
    let records: Vec<(SeriesRecord, Option<Micros>)> =
        query.select((SeriesRecord::as_select(), series::kept_from)).load(connection)?;
    let mut kept: HashMap<i64, BTreeMap<Timeframe, DateTime<Utc>>> = HashMap::new();
    for (record, from) in records {
        let row = record.into_row()?;
        if let Some(from) = optional_instant(from, "series")? {
            kept.entry(row.symbol.0).or_default().insert(row.timeframe, from);
        }
    }
    Ok(kept)
}

/// Moves `backfill_from` forward where everything of the symbol begins later: the one exception to the
/// rule that it only moves back.
pub fn follow(connection: &mut Connection, symbol: SymbolId) -> Result<(), Fault> {
    let row = settings::symbol(connection, symbol)?;
    if let Some(from) = row.parts().into_iter().map(|part| row.begin(part)).min()
        && from > row.backfill_from
    {
        diesel::update(symbols::table.find(symbol.0))
            .set(symbols::backfill_from.eq(micros(from)))
            .execute(connection)?;
    }
    Ok(())
}

/// Holds a symbol and all its series, in the order in which everybody does.
pub fn lock_all(connection: &mut Connection, symbol: SymbolId) -> Result<(), Fault> {
    let ids: Vec<i64> =
        series::table.filter(series::symbol_id.eq(symbol.0)).order(series::id).select(series::id).load(connection)?;
    dialect::lock_ledgers(connection, &ids, &[symbol.0])
}

/// What was pruned since an instant is wanted again. True when anything was.
pub fn take_back(connection: &mut Connection, row: &SymbolRow, new: &NewSymbol) -> Result<bool, Fault> {
    if row.kept == Kept::default() {
        return Ok(false);
    }
    lock_all(connection, row.id)?;
    let mut is_news = false;
    for (timeframe, kept) in row.kept.candles.iter().filter(|(timeframe, _)| new.timeframes.contains(timeframe)) {
        let from = row.cut(Part::Candles(*timeframe), new.backfill_from).from;
        if from < *kept {
            is_news = true;
            let own = series::symbol_id.eq(row.id.0).and(series::timeframe.eq(timeframe.as_str()));
            diesel::update(series::table.filter(own))
                .set(series::kept_from.eq(Some(micros(from))))
                .execute(connection)?;
        }
    }
    if new.collect_trades && row.kept.trades.is_some_and(|kept| new.backfill_from < kept) {
        is_news = true;
        diesel::update(symbols::table.find(row.id.0))
            .set(symbols::trades_kept_from.eq(Some(micros(new.backfill_from))))
            .execute(connection)?;
    }
    Ok(is_news)
}
