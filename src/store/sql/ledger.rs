//! Ledgers of one transaction: read together, changed by the common arithmetic, written together.

use std::collections::HashMap;

use super::events::EventBatch;
use super::head::SeriesHead;
use super::{Connection, dialect};
use crate::market::Span;
use crate::market::ledger::{LedgerDiff, apply, window};
use crate::store::fault::Fault;
use crate::store::tables::moment::{Micros, micros};
use crate::store::tables::records::CoverageRecord;
use crate::store::{LedgerEntry, SeriesChange};

/// Changes of ledgers to be written in few statements.
#[derive(Default)]
pub struct LedgerBatch {
    /// What the statements will meet, by series; taken out when they have.
    met: HashMap<i64, Vec<LedgerEntry>>,
    deleted: Vec<(i64, Micros)>,
    written: Vec<CoverageRecord>,
}

impl LedgerBatch {
    /// An empty batch that knows what `changes` will meet.
    pub fn for_changes(connection: &mut Connection, changes: &[SeriesChange]) -> Result<LedgerBatch, Fault> {
        let mut batch = LedgerBatch::default();
        let mut windows: HashMap<i64, Span> = HashMap::with_capacity(changes.len());
        for change in changes {
            let Some(said) = window_of(change) else { continue };
            // Of a series that is named twice only the first change is prepared.
            windows.entry(change.series.0).or_insert(said);
        }
        batch.meet(connection, windows.into_iter())?;
        Ok(batch)
    }

    fn meet(&mut self, connection: &mut Connection, windows: impl Iterator<Item = (i64, Span)>) -> Result<(), Fault> {
        let mut windows: Vec<_> = windows.map(|(id, span)| (id, micros(span.from), micros(span.to))).collect();
        windows.sort_unstable();
        self.met.extend(windows.iter().map(|(id, ..)| (*id, Vec::new())));
        for record in dialect::read_ledgers(connection, &windows)? {
            self.met.entry(record.series_id).or_default().push(record.to_entry()?);
        }
        Ok(())
    }

    /// Applies what a change states, and tells `events` of it.
    pub fn add(
        &mut self,
        connection: &mut Connection,
        head: &SeriesHead,
        change: &SeriesChange,
        events: &mut EventBatch,
        now: Micros,
    ) -> Result<(), Fault> {
        let Some(window) = window_of(change) else { return Ok(()) };
        let id = change.series.0;
        let old = match self.met.remove(&id) {
            Some(old) => old,
            None => {
                // The series was named before: what it said is on its way and must be seen.
                self.flush(connection)?;
                self.meet(connection, [(id, window)].into_iter())?;
                self.met.remove(&id).unwrap_or_default()
            }
        };
        let new = apply(&old, &change.ledger, change.extent);
        events.followed(connection, head, (&old, &new), change.overdue, now)?;
        let diff = LedgerDiff::between(&old, &new);
        self.deleted.extend(diff.deleted.iter().map(|entry| (id, micros(entry.span.from))));
        self.written.extend(diff.updated.iter().chain(&diff.inserted).map(|entry| CoverageRecord::new(id, entry, now)));
        Ok(())
    }

    /// Writes everything added so far.
    pub fn flush(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        dialect::write_ledgers(connection, &self.deleted, &self.written)?;
        self.deleted.clear();
        self.written.clear();
        Ok(())
    }
}

fn window_of(change: &SeriesChange) -> Option<Span> {
    window(&change.ledger, change.extent.map(|(span, _)| span))
}
