//! Candles of one transaction: judged against the stored rows, numbered, and written in bulk.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::dsl::exists;
use diesel::prelude::*;

use super::events::EventBatch;
use super::head::SeriesHead;
use super::write::read_ledger;
use super::{Connection, dialect, revisions};
use crate::market::ledger::{apply, select};
use crate::market::{Candle, FinalCandle};
use crate::store::fault::Fault;
use crate::store::precedence::{Verdict, judge};
use crate::store::rows::FLAG_OUT_OF_RANGE;
use crate::store::tables::moment::{Micros, micros};
use crate::store::tables::records::{CandleRecord, FormingRecord, RevisionRecord, check, trade_count};
use crate::store::tables::{candle_revisions, candles, forming_candles};
use crate::store::{Coverage, LedgerChange, NumberedCandle, Revision, SeriesChange, SeriesOutcome, StoredCandle};

/// Rows to be written together: few statements, however many series they belong to.
#[derive(Default)]
pub struct CandleBatch {
    inserted: Vec<CandleRecord>,
    replaced: Vec<CandleRecord>,
    revisions: Vec<RevisionRecord>,
    forming: Vec<FormingRecord>,
    series: HashSet<i64>,
    /// Stored rows that small changes will meet, by series and open time.
    looked_up: HashMap<(i64, Micros), CandleRecord>,
}

/// Rows read at once when a change is compared with what is stored.
const COMPARED_AT_ONCE: usize = 4096;
/// Changes of up to so many rows are looked up by their open times, many series in one statement:
/// at the end of a minute every series has one.
const SMALL_CHANGE: usize = 4;

impl CandleBatch {
    /// An empty batch that knows what the small ones among `changes` will meet.
    pub fn for_changes(connection: &mut Connection, changes: &[SeriesChange]) -> Result<CandleBatch, Fault> {
        let mut series_at = BTreeMap::<Micros, Vec<i64>>::new();
        for change in changes.iter().filter(|change| change.candles.len() <= SMALL_CHANGE) {
            for new in &change.candles {
                series_at.entry(micros(new.candle.open_time)).or_default().push(change.series.0);
            }
        }
        let mut batch = CandleBatch::default();
        for (open_time, series) in series_at {
            for ids in series.chunks(dialect::KEYS_AT_ONCE) {
                let rows: Vec<CandleRecord> = match ids {
                    [id] => candles::table.find((*id, open_time)).select(CandleRecord::as_select()).load(connection)?,
                    ids => candles::table
                        .filter(candles::series_id.eq_any(ids))
                        .filter(candles::open_time.eq(open_time))
                        .select(CandleRecord::as_select())
                        .load(connection)?,
                };
                batch.looked_up.extend(rows.into_iter().map(|row| ((row.series_id, open_time), row)));
            }
        }
        Ok(batch)
    }

    /// Adds a series' final candles. Numbers them in order of time after `head.last_sequence`.
    pub fn add(
        &mut self,
        connection: &mut Connection,
        head: &mut SeriesHead,
        finals: &[FinalCandle],
        now: Micros,
    ) -> Result<SeriesOutcome, Fault> {
        let is_first = self.series.insert(head.id);
        if !is_first {
            // The series was named before: what it said is on its way and must be seen.
            self.flush(connection)?;
        }
        let is_looked_up = is_first && finals.len() <= SMALL_CHANGE;
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
            let stored = if is_looked_up {
                let keys = part.iter().map(|new| (head.id, micros(new.candle.open_time)));
                keys.filter_map(|key| self.looked_up.remove(&key)).collect()
            } else {
                stored_among(connection, head.id, part)?
            };
            let mut stored = stored.into_iter().peekable();
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
                if self.inserted.len() >= dialect::ROWS_AT_ONCE {
                    dialect::insert_candles(connection, &self.inserted)?;
                    self.inserted.clear();
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
        now: Micros,
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
    pub fn add_forming(
        &mut self,
        connection: &mut Connection,
        head: &mut SeriesHead,
        newest_final: Option<Micros>,
        forming: Option<&Candle>,
        now: Micros,
    ) -> Result<(), Fault> {
        let held = head.forming;
        let is_settled = held.is_some_and(|held| newest_final.is_some_and(|newest| newest >= held));
        if is_settled {
            head.forming = None;
        }
        if let Some(forming) = forming {
            let record = FormingRecord::new(head.id, forming, now)?;
            let is_news = newest_final.is_none_or(|newest| newest < record.open_time)
                && match held {
                    // A frame that comes late never puts an older bucket in place of a newer one.
                    Some(held) => held <= record.open_time,
                    None => is_newer_than_stored(connection, head.id, record.open_time)?,
                };
            if is_news {
                head.forming = Some(record.open_time);
                self.forming.push(record);
                return Ok(());
            }
        }
        if is_settled {
            diesel::delete(forming_candles::table.find(head.id)).execute(connection)?;
        }
        Ok(())
    }

    /// Writes everything added so far.
    pub fn flush(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        dialect::insert_candles(connection, &self.inserted)?;
        dialect::replace_candles(connection, &self.replaced)?;
        revisions::insert(connection, &mut self.revisions)?;
        dialect::replace_forming(connection, &self.forming)?;
        self.inserted.clear();
        self.replaced.clear();
        self.revisions.clear();
        self.forming.clear();
        Ok(())
    }
}

/// Removes the rows that the ledger withdraws; they stay as revisions. Returns how many.
///
/// To be called before anything of the same series is added to a batch.
pub fn withdraw(
    connection: &mut Connection,
    head: &mut SeriesHead,
    ledger: &[LedgerChange],
    events: &mut EventBatch,
    now: Micros,
) -> Result<u64, Fault> {
    if !ledger.iter().any(|change| matches!(change, LedgerChange::Withdraw(..))) {
        return Ok(0);
    }
    // Only what a statement changes loses its rows, after the statements before it.
    let mut entries = read_ledger(connection, head.id)?;
    let mut spans = Vec::new();
    for change in ledger {
        if let LedgerChange::Withdraw(span, _) = change {
            let unverified = select(&entries, |c| *c == Coverage::Complete { verified: false });
            spans.extend_from_slice(unverified.within(*span).spans());
        }
        entries = apply(&entries, std::slice::from_ref(change), None);
    }
    let mut withdrawn = 0;
    for span in spans {
        let inside = candles::series_id
            .eq(head.id)
            .and(candles::open_time.ge(micros(span.from)))
            .and(candles::open_time.lt(micros(span.to)));
        let rows: Vec<CandleRecord> = candles::table
            .filter(inside)
            .order(candles::open_time)
            .select(CandleRecord::as_select())
            .load(connection)?;
        let mut revisions = Vec::with_capacity(rows.len());
        for row in rows {
            head.last_sequence += 1;
            let old = row.to_stored()?;
            events.revised(head, (&old.candle, old.source), None, now)?;
            revisions.push(row.to_revision(head.last_sequence, now));
        }
        withdrawn += revisions.len() as u64;
        revisions::insert(connection, &mut revisions)?;
        diesel::delete(candles::table.filter(inside)).execute(connection)?;
    }
    Ok(withdrawn)
}

/// True when no final candle of the series is as new.
fn is_newer_than_stored(connection: &mut Connection, series: i64, open_time: Micros) -> Result<bool, Fault> {
    let as_new = candles::table.filter(candles::series_id.eq(series)).filter(candles::open_time.ge(open_time));
    let is_any: bool = diesel::select(exists(as_new)).get_result(connection)?;
    Ok(!is_any)
}

/// The stored rows that share an open time with `finals` (sorted), and perhaps others between them.
fn stored_among(connection: &mut Connection, series: i64, finals: &[&FinalCandle]) -> Result<Vec<CandleRecord>, Fault> {
    let (Some(first), Some(last)) = (finals.first(), finals.last()) else { return Ok(Vec::new()) };
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

fn record(head: &SeriesHead, new: &FinalCandle, now: Micros, origin: Origin<'_>) -> Result<CandleRecord, Fault> {
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
pub fn read(
    connection: &mut Connection,
    series: i64,
    query: crate::store::CandleQuery,
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

/// Changes of a series after `sequence` that have not been followed by another of the same bucket.
pub fn read_after(
    connection: &mut Connection,
    series: i64,
    sequence: i64,
    limit: u32,
) -> Result<Vec<NumberedCandle>, Fault> {
    let records: Vec<CandleRecord> = candles::table
        .filter(candles::series_id.eq(series))
        .filter(candles::sequence.gt(sequence))
        .order(candles::sequence)
        .limit(i64::from(limit))
        .select(CandleRecord::as_select())
        .load(connection)?;
    let is_there = diesel::dsl::exists(
        candles::table
            .filter(candles::series_id.eq(candle_revisions::series_id))
            .filter(candles::open_time.eq(candle_revisions::open_time)),
    );
    let withdrawn: Vec<RevisionRecord> = candle_revisions::table
        .filter(candle_revisions::series_id.eq(series))
        .filter(candle_revisions::sequence.gt(sequence))
        .filter(diesel::dsl::not(is_there))
        .order(candle_revisions::sequence)
        .limit(i64::from(limit))
        .select(RevisionRecord::as_select())
        .load(connection)?;
    // Of a bucket that was corrected and then withdrawn only the last change counts.
    let last: HashMap<Micros, i64> = withdrawn.iter().map(|row| (row.old.open_time, row.sequence)).collect();
    let mut changes = Vec::with_capacity(records.len());
    for record in &records {
        let sequence = record.sequence;
        changes.push(NumberedCandle { sequence, stored: record.to_stored()?, is_withdrawn: false });
    }
    for row in withdrawn.iter().filter(|row| last.get(&row.old.open_time) == Some(&row.sequence)) {
        changes.push(NumberedCandle { sequence: row.sequence, stored: row.old.to_stored()?, is_withdrawn: true });
    }
    changes.sort_by_key(|change| change.sequence);
    changes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(changes)
}

/// The open bucket of a series.
pub fn read_forming(connection: &mut Connection, series: i64) -> Result<Option<Candle>, Fault> {
    let record =
        forming_candles::table.find(series).select(FormingRecord::as_select()).get_result(connection).optional()?;
    Ok(record.map(|record| record.to_candle()).transpose()?)
}
