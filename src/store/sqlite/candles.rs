//! Candles of one transaction: judged against the stored rows, numbered, and written in bulk.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::super::precedence::{Verdict, judge};
use super::super::rows::FLAG_OUT_OF_RANGE;
use super::super::{CandleSource, Revision, SeriesOutcome, StoredCandle};
use super::error::Fault;
use super::records::{CandleRecord, FormingRecord, RevisionRecord, check, micros, trade_count};
use super::schema::{candle_revisions, candles, forming_candles};
use crate::market::{Candle, FinalCandle};

/// A series as the transaction found it, and what it becomes.
pub(super) struct SeriesHead {
    pub id: i64,
    pub observed_until: Option<i64>,
    pub last_sequence: i64,
    pub candle_source: CandleSource,
}

/// Rows to be written together: few statements, however many series they belong to.
#[derive(Default)]
pub(super) struct CandleBatch {
    inserted: Vec<CandleRecord>,
    replaced: Vec<CandleRecord>,
    revisions: Vec<RevisionRecord>,
    forming: Vec<FormingRecord>,
    series: HashSet<i64>,
}

/// Rows read at once when a change is compared with what is stored.
const COMPARED_AT_ONCE: usize = 4096;
/// Up to so many rows are looked up one by one: they may lie far apart.
const LOOKED_UP_SINGLY: usize = 4;

/// Writes rows in statements of fixed sizes, so that each is prepared once and then only bound.
/// 128 rows of the widest table stay far below SQLite's 32,766 bound values.
macro_rules! write_rows {
    ($connection:expr, $rows:expr, $statement:expr) => {{
        let mut rest: &[_] = $rows;
        while !rest.is_empty() {
            rest = write_rows!(@step $connection, rest, $statement, 128, 16, 4, 1);
        }
    }};
    (@step $connection:expr, $rows:expr, $statement:expr, $size:literal $(, $smaller:literal)*) => {
        match $rows.split_first_chunk::<$size>() {
            Some((chunk, rest)) => {
                $statement.values(chunk).execute($connection)?;
                rest
            }
            None => write_rows!(@step $connection, $rows, $statement $(, $smaller)*),
        }
    };
    (@step $connection:expr, $rows:expr, $statement:expr) => { $rows };
}

impl CandleBatch {
    /// Adds a series' final candles. Numbers them in order of time after `head.last_sequence`.
    pub(super) fn add(
        &mut self,
        connection: &mut SqliteConnection,
        head: &mut SeriesHead,
        finals: &[FinalCandle],
        now: i64,
    ) -> Result<SeriesOutcome, Fault> {
        if !self.series.insert(head.id) {
            // The series was named before: what it said is on its way and must be seen.
            self.flush(connection)?;
            self.series.insert(head.id);
        }
        let mut finals: Vec<&FinalCandle> = finals.iter().collect();
        finals.sort_by_key(|new| new.candle.open_time); // stable: the last of equals stays last
        finals.dedup_by(|later, earlier| {
            let same = later.candle.open_time == earlier.candle.open_time;
            if same {
                *earlier = *later;
            }
            same
        });
        let mut outcome = SeriesOutcome::default();
        for part in finals.chunks(COMPARED_AT_ONCE) {
            let mut stored = stored_among(connection, head.id, part)?.into_iter().peekable();
            for &new in part {
                check(&new.candle)?;
                let open_time = micros(new.candle.open_time);
                while stored.next_if(|row| row.open_time < open_time).is_some() {}
                match stored.next_if(|row| row.open_time == open_time) {
                    Some(row) => self.meet(head, row, new, now, &mut outcome)?,
                    None => {
                        head.last_sequence += 1;
                        outcome.inserted += 1;
                        self.inserted.push(record(head, new, now, Origin::New)?);
                    }
                }
            }
        }
        outcome.last_sequence = head.last_sequence;
        Ok(outcome)
    }

    fn meet(
        &mut self,
        head: &mut SeriesHead,
        row: CandleRecord,
        new: &FinalCandle,
        now: i64,
        outcome: &mut SeriesOutcome,
    ) -> Result<(), Fault> {
        let old = row.to_stored()?;
        match judge(&old, new, head.candle_source) {
            Verdict::Unchanged => outcome.unchanged += 1,
            Verdict::Confirmed(confirmed) => {
                outcome.unchanged += 1;
                self.replaced.push(record(head, &confirmed, now, Origin::Confirmed(&row))?);
            }
            Verdict::Outranked => outcome.outranked += 1,
            Verdict::Revised => {
                head.last_sequence += 1;
                self.replaced.push(record(head, new, now, Origin::Revised(&row))?);
                self.revisions.push(row.to_revision(head.last_sequence, now));
                outcome.revisions.push(Revision { old, new: *new });
            }
        }
        Ok(())
    }

    /// Adds the state of a series' open bucket, and forgets the one that `newest_final` settled.
    pub(super) fn add_forming(
        &mut self,
        connection: &mut SqliteConnection,
        head: &SeriesHead,
        newest_final: Option<i64>,
        forming: Option<&Candle>,
        now: i64,
    ) -> Result<(), Fault> {
        if let Some(newest_final) = newest_final {
            diesel::delete(
                forming_candles::table
                    .filter(forming_candles::series_id.eq(head.id))
                    .filter(forming_candles::open_time.le(newest_final)),
            )
            .execute(connection)?;
        }
        let Some(forming) = forming else { return Ok(()) };
        let record = FormingRecord::new(head.id, forming, now)?;
        let is_settled = newest_final.is_some_and(|newest| newest >= record.open_time) || {
            let later = candles::table
                .filter(candles::series_id.eq(head.id))
                .filter(candles::open_time.ge(record.open_time))
                .select(candles::open_time);
            later.first::<i64>(connection).optional()?.is_some()
        };
        if !is_settled {
            self.forming.push(record);
        }
        Ok(())
    }

    /// Writes everything added so far.
    pub(super) fn flush(&mut self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        write_rows!(connection, &self.inserted, diesel::insert_into(candles::table));
        write_rows!(connection, &self.replaced, diesel::replace_into(candles::table));
        write_rows!(connection, &self.revisions, diesel::insert_into(candle_revisions::table));
        for forming in &self.forming {
            // A frame that comes late never puts an older bucket in place of a newer one.
            let newer = forming_candles::table
                .filter(forming_candles::series_id.eq(forming.series_id))
                .filter(forming_candles::open_time.gt(forming.open_time))
                .select(forming_candles::series_id);
            if newer.first::<i64>(connection).optional()?.is_none() {
                diesel::replace_into(forming_candles::table).values(forming).execute(connection)?;
            }
        }
        *self = CandleBatch::default();
        Ok(())
    }
}

/// The stored rows that share an open time with `finals` (sorted), and perhaps others between them.
fn stored_among(
    connection: &mut SqliteConnection,
    series: i64,
    finals: &[&FinalCandle],
) -> Result<Vec<CandleRecord>, Fault> {
    let (Some(first), Some(last)) = (finals.first(), finals.last()) else { return Ok(Vec::new()) };
    if finals.len() <= LOOKED_UP_SINGLY {
        let mut rows = Vec::new();
        for new in finals {
            let row = candles::table
                .find((series, micros(new.candle.open_time)))
                .select(CandleRecord::as_select())
                .first(connection)
                .optional()?;
            rows.extend(row);
        }
        return Ok(rows);
    }
    let rows = candles::table
        .filter(candles::series_id.eq(series))
        .filter(candles::open_time.ge(micros(first.candle.open_time)))
        .filter(candles::open_time.le(micros(last.candle.open_time)))
        .order(candles::open_time)
        .select(CandleRecord::as_select())
        .load(connection)?;
    Ok(rows)
}

/// What a row that is written was before.
enum Origin<'a> {
    New,
    /// The same values under a stronger source: keeps its number, it is no news.
    Confirmed(&'a CandleRecord),
    Revised(&'a CandleRecord),
}

fn record(head: &SeriesHead, new: &FinalCandle, now: i64, origin: Origin<'_>) -> Result<CandleRecord, Fault> {
    let candle = &new.candle;
    let (revision, sequence, first_written_at) = match origin {
        Origin::New => (0, head.last_sequence, now),
        Origin::Confirmed(old) => (old.revision, old.sequence, old.first_written_at),
        Origin::Revised(old) => (old.revision + 1, head.last_sequence, old.first_written_at),
    };
    Ok(CandleRecord {
        series_id: head.id,
        open_time: micros(candle.open_time),
        open: candle.open,
        high: candle.high,
        low: candle.low,
        close: candle.close,
        volume: candle.volume,
        quote_volume: candle.quote_volume,
        trades: trade_count(candle)?,
        vwap: candle.vwap,
        source: new.source as i16,
        rule: new.rule as i16,
        flags: if candle.is_out_of_range() { FLAG_OUT_OF_RANGE } else { 0 },
        revision,
        sequence,
        observed_at: micros(new.observed_at),
        first_written_at,
        updated_at: now,
    })
}

/// Final candles of a series in order of time.
pub(super) fn read(
    connection: &mut SqliteConnection,
    series: i64,
    query: super::super::CandleQuery,
) -> Result<Vec<StoredCandle>, Fault> {
    let rows = candles::table
        .filter(candles::series_id.eq(series))
        .filter(candles::open_time.ge(micros(query.span.from)))
        .filter(candles::open_time.lt(micros(query.span.to)))
        .limit(query.limit.map_or(i64::MAX, i64::from))
        .select(CandleRecord::as_select());
    let records = if query.newest_first {
        let mut records: Vec<CandleRecord> = rows.order(candles::open_time.desc()).load(connection)?;
        records.reverse();
        records
    } else {
        rows.order(candles::open_time.asc()).load(connection)?
    };
    records.iter().map(|record| Ok(record.to_stored()?)).collect()
}

/// The open bucket of a series.
pub(super) fn read_forming(connection: &mut SqliteConnection, series: i64) -> Result<Option<Candle>, Fault> {
    let record = forming_candles::table.find(series).select(FormingRecord::as_select()).first(connection).optional()?;
    Ok(record.map(|record| record.to_candle()).transpose()?)
}

/// Old values, in the order in which they were replaced.
pub(super) fn read_revisions(
    connection: &mut SqliteConnection,
    series: i64,
    span: crate::market::Span,
) -> Result<Vec<StoredCandle>, Fault> {
    let records: Vec<RevisionRecord> = candle_revisions::table
        .filter(candle_revisions::series_id.eq(series))
        .filter(candle_revisions::open_time.ge(micros(span.from)))
        .filter(candle_revisions::open_time.lt(micros(span.to)))
        .order(candle_revisions::sequence)
        .select(RevisionRecord::as_select())
        .load(connection)?;
    records.iter().map(|record| Ok(record.old.to_stored()?)).collect()
}
