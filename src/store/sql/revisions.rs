//! What candles were before a revision or a withdrawal.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;

use super::{Connection, dialect};
use crate::market::Span;
use crate::store::OldCandle;
use crate::store::fault::Fault;
use crate::store::tables::candle_revisions;
use crate::store::tables::moment::{Micros, instant, micros};
use crate::store::tables::records::{OldCandle as OldCandleRecord, RevisionRecord};

/// Keeps old values. A bucket that was withdrawn, or deleted by hand, and has a row again has numbers
/// already that this row knows nothing of: it is given the next one.
pub fn insert(connection: &mut Connection, revisions: &mut [RevisionRecord]) -> Result<(), Fault> {
    let mut reach = BTreeMap::<i64, (Micros, Micros)>::new();
    for OldCandleRecord { series_id, open_time, .. } in revisions.iter().map(|revision| &revision.old) {
        let (first, last) = reach.entry(*series_id).or_insert((*open_time, *open_time));
        (*first, *last) = ((*first).min(*open_time), (*last).max(*open_time));
    }
    for (series, (first, last)) in reach {
        let kept: Vec<(Micros, Option<i32>)> = candle_revisions::table
            .filter(candle_revisions::series_id.eq(series))
            .filter(candle_revisions::open_time.ge(first))
            .filter(candle_revisions::open_time.le(last))
            .group_by(candle_revisions::open_time)
            .select((candle_revisions::open_time, diesel::dsl::max(candle_revisions::revision)))
            .load(connection)?;
        let kept: HashMap<Micros, i32> = kept.into_iter().filter_map(|(open, last)| Some((open, last?))).collect();
        for old in revisions.iter_mut().map(|revision| &mut revision.old).filter(|old| old.series_id == series) {
            if let Some(last) = kept.get(&old.open_time) {
                old.revision = old.revision.max(last + 1);
            }
        }
    }
    dialect::insert_revisions(connection, revisions)
}

/// Old values, in the order in which they were replaced.
pub fn read(connection: &mut Connection, series: i64, span: Span) -> Result<Vec<OldCandle>, Fault> {
    let records: Vec<RevisionRecord> = candle_revisions::table
        .filter(candle_revisions::series_id.eq(series))
        .filter(candle_revisions::open_time.ge(micros(span.from)))
        .filter(candle_revisions::open_time.lt(micros(span.to)))
        .order(candle_revisions::sequence)
        .select(RevisionRecord::as_select())
        .load(connection)?;
    let old = |record: &RevisionRecord| {
        Ok(OldCandle { stored: record.old.to_stored()?, replaced_at: instant(record.replaced_at, "candle_revisions")? })
    };
    records.iter().map(old).collect()
}
