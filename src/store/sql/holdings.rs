//! What is held: ledgers and the ends of the candles' index. No row is ever counted.

use std::collections::HashMap;

use diesel::prelude::*;

use super::settings::SeriesRecord;
use super::{Connection, dialect};
use crate::store::fault::Fault;
use crate::store::tables::moment::{Micros, optional_instant};
use crate::store::tables::records::CoverageRecord;
use crate::store::tables::{candles, coverage, series};
use crate::store::{Holding, LedgerEntry, SymbolId};

/// What is held of every series of the symbols, by series.
pub fn read(connection: &mut Connection, symbols: &[SymbolId]) -> Result<Vec<Holding>, Fault> {
    let ids: Vec<i64> = symbols.iter().map(|symbol| symbol.0).collect();
    let mut holdings = Vec::new();
    for ids in ids.chunks(dialect::KEYS_AT_ONCE) {
        let times = candles::table.filter(candles::series_id.eq(series::id)).select(candles::open_time);
        let rows: Vec<(SeriesRecord, Option<Micros>, Option<Micros>)> = series::table
            .filter(series::symbol_id.eq_any(ids))
            .order(series::id)
            .select((
                SeriesRecord::as_select(),
                times.order(candles::open_time.asc()).limit(1).single_value(),
                times.order(candles::open_time.desc()).limit(1).single_value(),
            ))
            .load(connection)?;
        let mut ledgers = ledgers(connection, rows.iter().map(|(series, ..)| series.id))?;
        for (series, first, last) in rows {
            holdings.push(Holding {
                ledger: ledgers.remove(&series.id).unwrap_or_default(),
                series: series.into_row()?,
                first_candle: optional_instant(first, "candles")?,
                last_candle: optional_instant(last, "candles")?,
            });
        }
    }
    Ok(holdings)
}

/// Ledgers by series, each oldest first.
fn ledgers(
    connection: &mut Connection,
    series: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, Vec<LedgerEntry>>, Fault> {
    let mut ledgers: HashMap<i64, Vec<LedgerEntry>> = HashMap::new();
    let ids: Vec<i64> = series.collect();
    for ids in ids.chunks(dialect::KEYS_AT_ONCE) {
        let records: Vec<CoverageRecord> = coverage::table
            .filter(coverage::series_id.eq_any(ids))
            .order((coverage::series_id, coverage::from_time))
            .select(CoverageRecord::as_select())
            .load(connection)?;
        for record in records {
            ledgers.entry(record.series_id).or_default().push(record.to_entry()?);
        }
    }
    Ok(ledgers)
}
