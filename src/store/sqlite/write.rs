//! The transaction: candles, the ledger they prove, the trades behind them and tickers, all or nothing.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::super::{LedgerEntry, SeriesChange, SeriesOutcome, WriteBatch};
use super::candles::{CandleBatch, KEYS_AT_ONCE, SeriesHead};
use super::error::Fault;
use super::records::{CoverageRecord, micros};
use super::schema::{coverage, forming_candles, series, symbols};
use super::settings::candle_source_of;
use super::{tickers, trades};
use crate::market::Span;
use crate::market::ledger::{LedgerDiff, apply, window};

/// Writes the batch; to be called inside a transaction. Outcomes are in the order of `batch.series`.
pub(super) fn write(
    connection: &mut SqliteConnection,
    batch: &WriteBatch,
    now: i64,
) -> Result<Vec<SeriesOutcome>, Fault> {
    let mut heads = read_heads(connection, &batch.series)?;
    let mut candles = CandleBatch::for_changes(connection, &batch.series)?;
    let mut outcomes = Vec::with_capacity(batch.series.len());
    for change in &batch.series {
        let id = change.series.0;
        let head = heads.get_mut(&id).ok_or_else(|| Fault::refused(format!("series {id} is not in the database")))?;
        let before = (head.observed_until, head.last_sequence);

        outcomes.push(candles.add(connection, head, &change.candles, now)?);
        let newest_final = change.candles.iter().map(|new| micros(new.candle.open_time)).max();
        candles.add_forming(connection, head, newest_final, change.forming.as_ref(), now)?;
        write_ledger(connection, change, now)?;

        let observed = change.extent.filter(|(span, _)| !span.is_empty()).map(|(span, _)| micros(span.to));
        head.observed_until = head.observed_until.max(observed);
        if (head.observed_until, head.last_sequence) != before {
            diesel::update(series::table.find(id))
                .set((series::observed_until.eq(head.observed_until), series::last_sequence.eq(head.last_sequence)))
                .execute(connection)?;
        }
    }
    candles.flush(connection)?;
    for change in &batch.trades {
        trades::write(connection, change, now)?;
    }
    tickers::write(connection, &batch.tickers, now)?;
    Ok(outcomes)
}

fn read_heads(connection: &mut SqliteConnection, changes: &[SeriesChange]) -> Result<HashMap<i64, SeriesHead>, Fault> {
    let mut heads = HashMap::with_capacity(changes.len());
    let ids: Vec<i64> = changes.iter().map(|change| change.series.0).collect();
    for ids in ids.chunks(KEYS_AT_ONCE) {
        let rows = series::table
            .inner_join(symbols::table)
            .left_join(forming_candles::table)
            .filter(series::id.eq_any(ids))
            .select((
                series::id,
                series::observed_until,
                series::last_sequence,
                symbols::candle_source,
                forming_candles::open_time.nullable(),
            ))
            .load::<(i64, Option<i64>, i64, String, Option<i64>)>(connection)?;
        heads.extend(rows.into_iter().map(|(id, observed_until, last_sequence, source, forming)| {
            let candle_source = candle_source_of(&source);
            (id, SeriesHead { id, observed_until, last_sequence, candle_source, forming })
        }));
    }
    Ok(heads)
}

fn write_ledger(connection: &mut SqliteConnection, change: &SeriesChange, now: i64) -> Result<(), Fault> {
    let Some(window) = window(&change.ledger, change.extent.map(|(span, _)| span)) else { return Ok(()) };
    let id = change.series.0;
    let old = read_ledger(connection, id, Some(window))?;
    let new = apply(&old, &change.ledger, change.extent);
    let diff = LedgerDiff::between(&old, &new);
    for entry in &diff.deleted {
        diesel::delete(coverage::table.find((id, micros(entry.span.from)))).execute(connection)?;
    }
    for entry in &diff.updated {
        diesel::update(coverage::table.find((id, micros(entry.span.from))))
            .set(CoverageRecord::new(id, entry, now))
            .execute(connection)?;
    }
    for entry in &diff.inserted {
        diesel::insert_into(coverage::table).values(CoverageRecord::new(id, entry, now)).execute(connection)?;
    }
    Ok(())
}

/// The ledger of a series, or the part of it that overlaps or touches a span; oldest first.
pub(super) fn read_ledger(
    connection: &mut SqliteConnection,
    series: i64,
    touching: Option<Span>,
) -> Result<Vec<LedgerEntry>, Fault> {
    let entries = coverage::table
        .filter(coverage::series_id.eq(series))
        .order(coverage::from_time)
        .select(CoverageRecord::as_select());
    let records: Vec<CoverageRecord> = match touching {
        Some(span) => entries
            .filter(coverage::from_time.le(micros(span.to)))
            .filter(coverage::to_time.ge(micros(span.from)))
            .load(connection)?,
        None => entries.load(connection)?,
    };
    records.iter().map(|record| Ok(record.to_entry()?)).collect()
}
