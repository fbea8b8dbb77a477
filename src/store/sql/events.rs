//! Events of one transaction: gathered in their order, numbered and recorded with it.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;

use super::head::SeriesHead;
use super::{Connection, dialect};
use crate::market::gaps::{self, GapNews};
use crate::market::{Candle, Source, Span, SpanSet};
use crate::store::event::{Event, ModeChange, Values, What};
use crate::store::fault::Fault;
use crate::store::tables::moment::{Micros, instant, micros};
use crate::store::tables::records::EventRecord;
use crate::store::tables::{event_head, events, exchanges, open_gaps, symbols};
use crate::store::{LedgerEntry, StoreError};

/// A row of `open_gaps`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = open_gaps)]
struct GapRecord {
    series_id: i64,
    from_time: Micros,
    to_time: Micros,
}

/// Far below SQLite's 32,766 values per statement.
const GAPS_PER_STATEMENT: usize = 500;

/// See the module.
#[derive(Default)]
pub struct EventBatch {
    records: Vec<EventRecord>,
    /// What is told as a gap now, of each series that was asked for and has something told.
    told: HashMap<i64, SpanSet>,
}

impl EventBatch {
    /// An empty batch that knows the open gaps of the series.
    pub fn for_series(connection: &mut Connection, series: &[i64]) -> Result<EventBatch, Fault> {
        let mut told: HashMap<i64, SpanSet> = HashMap::new();
        for ids in series.chunks(dialect::KEYS_AT_ONCE) {
            let gaps: Vec<GapRecord> = open_gaps::table
                .filter(open_gaps::series_id.eq_any(ids))
                .select(GapRecord::as_select())
                .load(connection)?;
            for gap in gaps {
                let span = Span::new(instant(gap.from_time, "open_gaps")?, instant(gap.to_time, "open_gaps")?);
                told.entry(gap.series_id).or_default().insert(span);
            }
        }
        Ok(EventBatch { records: Vec::new(), told })
    }

    fn add(&mut self, (symbol_id, timeframe): (i64, Option<&str>), what: &What, time: Micros) -> Result<(), Fault> {
        self.records.push(EventRecord {
            number: 0,
            time,
            symbol_id,
            timeframe: timeframe.map(str::to_owned),
            kind: what.kind().to_owned(),
            body: serde_json::to_string(what).map_err(|error| Fault::refused(error.to_string()))?,
        });
        Ok(())
    }

    /// A final value changed, or was withdrawn.
    pub fn revised(
        &mut self,
        head: &SeriesHead,
        old: (&Candle, Source),
        new: Option<(&Candle, Source)>,
        now: Micros,
    ) -> Result<(), Fault> {
        let values = |(candle, source)| Values::of(candle, source);
        let what = What::CandleRevised { open_time: old.0.open_time, old: values(old), new: new.map(values) };
        self.add(head.owner(), &what, now)
    }

    /// A ledger changed.
    pub fn followed(
        &mut self,
        connection: &mut Connection,
        head: &SeriesHead,
        (before, after): (&[LedgerEntry], &[LedgerEntry]),
        overdue: Option<chrono::DateTime<chrono::Utc>>,
        now: Micros,
    ) -> Result<(), Fault> {
        let known = self.told.get(&head.id);
        if known.is_none() && overdue.is_none() {
            return Ok(());
        }
        let mut told = known.cloned().unwrap_or_default();
        let news = gaps::follow(&mut told, before, after, overdue);
        if news.is_empty() {
            return Ok(());
        }
        for news in news {
            let what = match news {
                GapNews::Opened(Span { from, to }, reason) => What::GapOpened { from, to, reason },
                GapNews::Healed(Span { from, to }) => What::GapHealed { from, to },
                GapNews::Unavailable(Span { from, to }, reason) => What::GapUnavailable { from, to, reason },
            };
            self.add(head.owner(), &what, now)?;
        }
        self.remember(connection, head.id, told)
    }

    /// What is cut off a series is no gap of it any more.
    pub fn cut(
        &mut self,
        connection: &mut Connection,
        head: &SeriesHead,
        cut: Span,
        reason: &str,
        now: Micros,
    ) -> Result<(), Fault> {
        let Some(mut told) = self.told.get(&head.id).cloned() else { return Ok(()) };
        let gone = told.within(cut);
        if gone.is_empty() {
            return Ok(());
        }
        for Span { from, to } in gone.spans().iter().copied() {
            self.add(head.owner(), &What::GapUnavailable { from, to, reason: reason.to_owned() }, now)?;
        }
        told.remove(cut);
        self.remember(connection, head.id, told)
    }

    fn remember(&mut self, connection: &mut Connection, series_id: i64, told: SpanSet) -> Result<(), Fault> {
        diesel::delete(open_gaps::table.filter(open_gaps::series_id.eq(series_id))).execute(connection)?;
        let record = |span: &Span| GapRecord { series_id, from_time: micros(span.from), to_time: micros(span.to) };
        let records: Vec<GapRecord> = told.spans().iter().map(record).collect();
        for records in records.chunks(GAPS_PER_STATEMENT) {
            diesel::insert_into(open_gaps::table).values(records).execute(connection)?;
        }
        self.told.insert(series_id, told);
        Ok(())
    }

    /// Symbols are kept live in these modes.
    pub fn modes(&mut self, connection: &mut Connection, changes: &[ModeChange]) -> Result<(), Fault> {
        let mut told: BTreeMap<i64, Option<String>> = BTreeMap::new();
        for change in changes {
            let id = change.symbol.0;
            if let std::collections::btree_map::Entry::Vacant(place) = told.entry(id) {
                let known = symbols::table.find(id).select(symbols::told_mode).get_result(connection).optional()?;
                place.insert(known.ok_or_else(|| Fault::refused(format!("symbol {id} is not in the database")))?);
            }
            let Some(known) = told.get_mut(&id).filter(|known| known.as_ref() != Some(&change.mode)) else { continue };
            let old = known.replace(change.mode.clone());
            let what = What::ModeChanged { old, new: change.mode.clone(), reason: change.reason.clone() };
            self.add((id, None), &what, micros(change.at))?;
            diesel::update(symbols::table.find(id)).set(symbols::told_mode.eq(&change.mode)).execute(connection)?;
        }
        Ok(())
    }

    /// Numbers and records what was added: the last thing a transaction does, so that it holds the
    /// numbers for a moment only. Gives the last number, if there was anything.
    pub fn record(mut self, connection: &mut Connection) -> Result<Option<i64>, Fault> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let count = self.records.len() as i64;
        let last: i64 = diesel::update(event_head::table)
            .set(event_head::last_number.eq(event_head::last_number + count))
            .returning(event_head::last_number)
            .get_result(connection)?;
        for (number, record) in (last + 1 - count..).zip(&mut self.records) {
            record.number = number;
        }
        dialect::insert_events(connection, &self.records)?;
        Ok(Some(last))
    }
}

/// The number of the newest event, 0 before the first.
pub fn last_number(connection: &mut Connection) -> Result<i64, Fault> {
    Ok(event_head::table.select(event_head::last_number).get_result(connection)?)
}

/// Events after a number, in the order of their numbers.
pub fn read_after(connection: &mut Connection, number: i64, limit: u32) -> Result<Vec<Event>, Fault> {
    let rows: Vec<(EventRecord, String, String)> = events::table
        .inner_join(symbols::table.inner_join(exchanges::table))
        .filter(events::number.gt(number))
        .order(events::number)
        .limit(i64::from(limit))
        .select((EventRecord::as_select(), exchanges::name, symbols::symbol))
        .load(connection)?;
    rows.into_iter().map(|(record, exchange, symbol)| Ok(event(record, exchange, &symbol)?)).collect()
}

fn event(record: EventRecord, exchange: String, symbol: &str) -> Result<Event, StoreError> {
    const TABLE: &str = "events";
    let number = record.number;
    let fault = |error: String| StoreError::Row { table: TABLE, message: format!("event {number}: {error}") };
    Ok(Event {
        number,
        time: instant(record.time, TABLE)?,
        exchange,
        symbol: symbol.parse().map_err(|error: crate::market::symbol::SymbolError| fault(error.to_string()))?,
        timeframe: match record.timeframe {
            Some(word) => {
                Some(word.parse().map_err(|error: crate::market::timeframe::TimeframeError| fault(error.to_string()))?)
            }
            None => None,
        },
        what: serde_json::from_str(&record.body).map_err(|error| fault(error.to_string()))?,
    })
}

/// Removes at most `limit` of the oldest events from before an instant; says how many.
pub fn prune(connection: &mut Connection, before: Micros, limit: u32) -> Result<u64, Fault> {
    // By number, so that what stays has no hole: times may be out of order by a little.
    let first: Option<i64> = events::table.select(diesel::dsl::min(events::number)).get_result(connection)?;
    let Some(first) = first else { return Ok(0) };
    let reach = first.saturating_add(i64::from(limit));
    let kept: Option<i64> = events::table
        .filter(events::number.lt(reach))
        .filter(events::time.ge(before))
        .select(diesel::dsl::min(events::number))
        .get_result(connection)?;
    let end = kept.unwrap_or(reach);
    Ok(diesel::delete(events::table.filter(events::number.lt(end))).execute(connection)? as u64)
}
