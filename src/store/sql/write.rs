//! The transaction: candles, the ledger they prove, the trades behind them and tickers, all or nothing.

use diesel::prelude::*;

use super::candles::{self, CandleBatch};
use super::events::EventBatch;
use super::head::{SeriesHead, read_heads};
use super::ledger::LedgerBatch;
use super::trades::TradeBatch;
use super::{Connection, dialect, retention, tickers};
use crate::store::fault::Fault;
use crate::store::tables::coverage;
use crate::store::tables::moment::{Micros, micros};
use crate::store::tables::records::CoverageRecord;
use crate::store::{LedgerEntry, Revision, SeriesOutcome, WriteBatch};

/// Writes the batch; to be called inside a transaction. Outcomes are in the order of `batch.series`.
pub fn write(connection: &mut Connection, batch: &WriteBatch, now: Micros) -> Result<Vec<SeriesOutcome>, Fault> {
    let ids = sorted(batch.series.iter().map(|change| change.series.0));
    let trades = batch.trades.iter().map(|change| change.symbol.0);
    let symbols = sorted(trades.chain(batch.modes.iter().map(|change| change.symbol.0)));
    dialect::lock_ledgers(connection, &ids, &symbols)?;
    let mut heads = read_heads(connection, &ids)?;
    let mut events = EventBatch::for_series(connection, &ids)?;
    let mut rows = CandleBatch::for_changes(connection, &batch.series)?;
    let mut ledgers = LedgerBatch::for_changes(connection, &batch.series)?;
    let mut outcomes = Vec::with_capacity(batch.series.len());
    for change in &batch.series {
        let id = change.series.0;
        let head = heads.get_mut(&id).ok_or_else(|| Fault::refused(format!("series {id} is not in the database")))?;
        let before = (head.observed_until, head.last_sequence);
        let kept = retention::kept(head, change)?;
        let change = &*kept;

        let withdrawn = candles::withdraw(connection, head, &change.ledger, &mut events, now)?;
        let outcome = SeriesOutcome { withdrawn, ..rows.add(connection, head, &change.candles, now)? };
        for Revision { old, new } in &outcome.revisions {
            events.revised(head, (&old.candle, old.source), Some((&new.candle, new.source)), now)?;
        }
        outcomes.push(outcome);
        let newest_final = change.candles.iter().map(|new| micros(new.candle.open_time)).max();
        rows.add_forming(connection, head, newest_final, change.forming.as_ref(), now)?;
        ledgers.add(connection, head, change, &mut events, now)?;

        let observed = change.extent.filter(|(span, _)| !span.is_empty()).map(|(span, _)| micros(span.to));
        head.observed_until = head.observed_until.max(observed);
        head.is_changed |= (head.observed_until, head.last_sequence) != before;
    }
    rows.flush(connection)?;
    ledgers.flush(connection)?;
    let changed: Vec<&SeriesHead> = heads.values().filter(|head| head.is_changed).collect();
    dialect::update_heads(connection, &changed)?;
    let mut trades = TradeBatch::default();
    for change in &batch.trades {
        trades.add(connection, change, now)?;
    }
    trades.flush(connection)?;
    tickers::write(connection, &batch.tickers, now)?;
    events.modes(connection, &batch.modes)?;
    let last_event = events.record(connection)?;
    outcomes.iter_mut().for_each(|outcome| outcome.last_event = last_event);
    Ok(outcomes)
}

fn sorted(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The ledger of a series, oldest first.
pub fn read_ledger(connection: &mut Connection, series: i64) -> Result<Vec<LedgerEntry>, Fault> {
    let records: Vec<CoverageRecord> = coverage::table
        .filter(coverage::series_id.eq(series))
        .order(coverage::from_time)
        .select(CoverageRecord::as_select())
        .load(connection)?;
    records.iter().map(|record| Ok(record.to_entry()?)).collect()
}
