//! The book of one series: its ledger, what is due, which REST call to make next, and what its
//! answer changes. Work is what is wanted and not covered; there is no other list.
//!
//! All instants are venue time. The book never waits and never writes: it returns calls and ledger
//! statements, and changes its own copy of the ledger only when told that they were stored.

mod audit;
mod conclude;
mod plan;
mod rules;
#[cfg(test)]
mod tests;
mod trades;
#[cfg(test)]
mod venue_oracle;

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

pub use conclude::Conclusion;
pub use plan::Call;
pub use rules::{FromTrades, SeriesRules};

use crate::exchange::QuietPolicy;
use crate::market::gaps::is_history;
use crate::market::ledger::{
    self, Coverage, FROM_TRADES, LedgerChange, LedgerEntry, NOT_FETCHED, NOT_RUNNING, TOO_OLD,
};
use crate::market::{Grid, Span, SpanSet};

/// What has closed is read within seconds; what is missing after so long is a gap.
const OVERDUE: TimeDelta = TimeDelta::minutes(2);
/// Buckets read again with every call.
const REREAD_BUCKETS: u32 = 3;
/// First and longest wait until what was given up is asked for once more: a venue that was away, or
/// cut its pages short, said the same as one that has nothing.
const AGAIN: (TimeDelta, TimeDelta) = (TimeDelta::hours(1), TimeDelta::days(7));
/// Page ends that are remembered.
const FOOTHOLDS: usize = 32;

/// The state of one series.
#[derive(Debug, Clone)]
pub struct Book {
    rules: SeriesRules,
    wanted_from: DateTime<Utc>,
    observed_until: DateTime<Utc>,
    entries: Vec<LedgerEntry>,
    /// Settled buckets that a frame has cast doubt on.
    doubted: SpanSet,
    /// Unverified stretches that one REST read has not confirmed.
    unconfirmed: SpanSet,
    /// Unverified stretches that two reads have not confirmed, and until when they are left alone.
    unverifiable: SpanSet,
    unverifiable_until: Option<DateTime<Utc>>,
    /// When what the venue would not show is asked for once more, and how long the wait before is.
    again_at: DateTime<Utc>,
    again_wait: TimeDelta,
    /// The last rows of recent pages: where a read must start to prove that nothing follows.
    footholds: VecDeque<DateTime<Utc>>,
}

impl Book {
    /// Opens the book of a series as the store has it, at venue time `now`. Returns the statements
    /// that account for history wanted anew and for the time since the last collector looked.
    pub fn open(
        rules: SeriesRules,
        backfill_from: DateTime<Utc>,
        entries: Vec<LedgerEntry>,
        observed_until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> (Book, Vec<LedgerChange>) {
        let wanted_from = rules.page.grid.bucket_at(backfill_from);
        let looked_until = observed_until.unwrap_or(wanted_from).max(wanted_from);
        let closed = rules.closed_end(now).max(looked_until);
        let reason = if observed_until.is_some() { NOT_RUNNING } else { NOT_FETCHED };
        let known: SpanSet = entries.iter().map(|entry| entry.span).collect();
        let unaccounted = known.gaps(Span::new(wanted_from, looked_until));
        let mut changes: Vec<_> =
            unaccounted.spans().iter().map(|span| LedgerChange::Set(*span, Coverage::missing(NOT_FETCHED))).collect();
        if rules.from_trades == FromTrades::Old {
            // A method that was not there when it was given up.
            let given_up =
                ledger::select(&entries, |c| matches!(c, Coverage::Unavailable { reason } if reason == TOO_OLD));
            let reopen = |span: &Span| LedgerChange::Set(*span, Coverage::missing(FROM_TRADES));
            changes.extend(given_up.spans().iter().map(reopen));
        }
        let away = Span::new(looked_until, closed);
        if !away.is_empty() {
            changes.push(LedgerChange::Set(away, Coverage::missing(reason)));
        }
        let book = Book {
            rules,
            wanted_from,
            observed_until: closed,
            entries,
            doubted: SpanSet::new(),
            unconfirmed: SpanSet::new(),
            unverifiable: SpanSet::new(),
            unverifiable_until: None,
            again_at: now + AGAIN.0,
            again_wait: AGAIN.0,
            footholds: VecDeque::new(),
        };
        (book, changes)
    }

    /// Bucket borders.
    pub fn grid(&self) -> Grid {
        self.rules.page.grid
    }

    /// The stretch the ledger must tile: everything wanted that we have looked at.
    pub fn extent(&self) -> Span {
        Span::new(self.wanted_from, self.observed_until)
    }

    /// Takes over what the store has accepted.
    pub fn stored(&mut self, changes: &[LedgerChange], extent: Span) {
        self.entries = ledger::apply(&self.entries, changes, Some((extent, NOT_FETCHED)));
        for change in changes {
            if let LedgerChange::Unverify(span) = change {
                self.unconfirmed.remove(*span);
                self.unverifiable.remove(*span);
            }
        }
    }

    /// True when the bucket has its final row or is proven empty.
    pub fn is_complete(&self, open_time: DateTime<Utc>) -> bool {
        let index = self.entries.partition_point(|entry| entry.span.to <= open_time);
        self.entries
            .get(index)
            .is_some_and(|entry| entry.span.contains(open_time) && matches!(entry.coverage, Coverage::Complete { .. }))
    }

    /// The complete stretches.
    pub fn complete(&self) -> SpanSet {
        ledger::complete(&self.entries)
    }

    /// The ledger as last stored.
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    /// Moves the right edge to what has closed by `now`; buckets from `stream_owns_from` on are
    /// left to the stream. Returns the newly accounted stretch, which is `just_closed` until settled.
    pub fn observe(&mut self, now: DateTime<Utc>, stream_owns_from: Option<DateTime<Utc>>) -> Option<Span> {
        let closed = self.rules.closed_end(now);
        let end = stream_owns_from.map_or(closed, |owned| closed.min(owned));
        if end <= self.observed_until {
            return None;
        }
        let span = Span::new(self.observed_until, end);
        self.observed_until = end;
        Some(span)
    }

    /// Moves the right edge behind a bucket that was settled.
    pub fn observe_through(&mut self, end: DateTime<Utc>) {
        self.observed_until = self.observed_until.max(end);
    }

    /// Asks for a settled bucket to be read again soon.
    pub fn doubt(&mut self, span: Span) {
        self.doubted.insert(span);
    }

    /// Complete share of everything wanted and looked at, 0 to 1, and the share that needs no more
    /// work (complete or unavailable).
    pub fn shares(&self) -> (f64, f64) {
        let extent = self.extent();
        let total = (extent.to - extent.from).num_seconds() as f64;
        if total <= 0.0 {
            return (1.0, 1.0);
        }
        let part = |set: SpanSet| set.within(extent).duration().num_seconds() as f64 / total;
        (part(self.complete()), part(ledger::select(&self.entries, |c| !matches!(c, Coverage::Missing { .. }))))
    }

    /// True while history is still to be read.
    pub fn is_backfilling(&self) -> bool {
        self.missing().any(|m| matches!(m.reason, NOT_FETCHED | FROM_TRADES))
    }

    /// What is missing at `now` although it is overdue, oldest first; without history that is still to
    /// be read.
    pub fn gaps(&self, now: DateTime<Utc>) -> impl Iterator<Item = Span> {
        let overdue = self.overdue(now);
        let gaps = self.missing().filter(|missing| !is_history(missing.reason));
        gaps.map(|missing| missing.span).filter(move |span| span.from < overdue)
    }

    /// What closed before this is a gap when it is missing at `now`: two minutes after its close, and
    /// where the venue prints nothing for quiet buckets, after the time in which that is believed.
    pub fn overdue(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.rules.closed_end(now - self.patience())
    }

    /// When the oldest of what is missing from `edge` on becomes a gap.
    pub fn next_gap_at(&self, edge: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut missing = self.missing().filter(|missing| !is_history(missing.reason));
        let first = missing.find(|missing| missing.span.to > edge)?.span.from.max(edge);
        Some(self.rules.next_close(first) + self.patience())
    }

    fn patience(&self) -> TimeDelta {
        let quiet = match self.rules.page.quiet {
            QuietPolicy::Emits => TimeDelta::zero(),
            QuietPolicy::Omits | QuietPolicy::Mixed => {
                TimeDelta::from_std(self.rules.page.settle_empty).unwrap_or_default()
            }
        };
        OVERDUE + quiet
    }

    /// What is wanted begins at a later bucket now: what lies before is forgotten.
    pub fn keep_from(&mut self, from: DateTime<Utc>) {
        let from = self.grid().bucket_at(from);
        if from <= self.wanted_from {
            return;
        }
        self.wanted_from = from;
        self.observed_until = self.observed_until.max(from);
        self.entries.retain(|entry| entry.span.to > from);
        if let Some(first) = self.entries.first_mut() {
            first.span.from = first.span.from.max(from);
        }
        let before = Span::new(DateTime::<Utc>::MIN_UTC, from);
        for spans in [&mut self.doubted, &mut self.unconfirmed, &mut self.unverifiable] {
            spans.remove(before);
        }
    }

    /// What is missing and asked of the venue's candles.
    fn unread(&self) -> impl DoubleEndedIterator<Item = Missing<'_>> {
        let reads = self.rules.from_trades != FromTrades::All;
        self.missing().filter(move |m| reads && m.reason != FROM_TRADES)
    }

    /// What is wanted and not covered, oldest first.
    fn missing(&self) -> impl DoubleEndedIterator<Item = Missing<'_>> {
        let wanted = Span::new(self.wanted_from, DateTime::<Utc>::MAX_UTC);
        self.entries.iter().filter(move |entry| entry.span.overlaps(wanted)).filter_map(move |entry| {
            let Coverage::Missing { reason, attempts, next_attempt_at } = &entry.coverage else { return None };
            let span = entry.span.intersect(wanted);
            Some(Missing { span, reason, attempts: *attempts, next_attempt_at: *next_attempt_at })
        })
    }
}

/// A missing stretch, borrowed from the ledger.
#[derive(Debug, Clone, Copy)]
struct Missing<'a> {
    span: Span,
    reason: &'a str,
    attempts: u32,
    next_attempt_at: Option<DateTime<Utc>>,
}

impl Missing<'_> {
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.next_attempt_at.is_none_or(|at| at <= now)
    }
}
