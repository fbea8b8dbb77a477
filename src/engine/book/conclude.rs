//! What the answer to a call changes: rows to store and statements about the ledger. A read that
//! brings nothing is counted against the stretch it asked for, never against its neighbours.

use chrono::{DateTime, TimeDelta, Utc};

use super::rules::LONGEST_RETRY;
use super::{Book, Call, FOOTHOLDS, Missing, REREAD_BUCKETS};
use crate::engine::budget::Priority;
use crate::engine::page::{self, Findings, Page};
use crate::market::ledger::{
    self, BEFORE_LISTING, Coverage, HOLE_AT_THE_VENUE, JUST_CLOSED, LATE_BAR, LedgerChange, NOT_SERVED, VENUE_HOLE,
};
use crate::market::{Candle, Span, SpanSet};

/// Reads that bring nothing before a stretch is called unavailable.
pub(super) const MAX_ATTEMPTS: u32 = 5;

/// What a page changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conclusion {
    /// Rows to store as final.
    pub candles: Vec<Candle>,
    /// Statements to write with them.
    pub ledger: Vec<LedgerChange>,
    /// The open bucket as the page showed it.
    pub forming: Option<Candle>,
    /// Buckets without a row at a venue that prints all of them, though they count as complete: what
    /// was only inferred there has to be withdrawn.
    pub denied: SpanSet,
    /// Rows that were no candles of this series.
    pub refused_rows: u32,
}

impl Conclusion {
    /// Something it was to be checked against is not to be had now: it is read once more.
    pub fn leave_unverified(&mut self) {
        for change in &mut self.ledger {
            if let LedgerChange::Set(_, Coverage::Complete { verified }) = change {
                *verified = false;
            }
        }
    }
}

impl Book {
    /// What the answer to a call changes. Rows before the wanted stretch are left out.
    pub fn conclude(&self, call: &Call, page: &Page) -> Conclusion {
        let wanted = Span::new(self.wanted_from, DateTime::<Utc>::MAX_UTC);
        let findings = page::judge(&self.rules.page, page);
        let complete = self.believable(call, page, &findings).within(wanted);
        let holes = findings.holes.within(call.span);
        // A bucket that looks empty while it is young may be late: it is confirmed by a later read.
        let rows = findings.finals.iter().map(|row| Span::new(row.open_time, self.grid().next_open(row.open_time)));
        let since = |from| Span::new(from, DateTime::<Utc>::MAX_UTC);
        let empty = complete.subtract(&rows.collect()).within(since(self.young_from(page.sent_at)));
        // Venues correct a bar for a while after its close, so a row this fresh is read once more.
        let young = empty.union(&complete.within(since(self.fresh_from(page.sent_at))));
        let set = |set: &SpanSet, verified| {
            let change = move |span: &Span| LedgerChange::Set(*span, Coverage::Complete { verified });
            set.spans().iter().map(change).collect::<Vec<_>>()
        };
        let mut ledger = [set(&complete.subtract(&young), true), set(&young, false)].concat();
        for missing in self.unread().filter(|m| m.span.overlaps(call.span)) {
            self.account(&missing, call, &complete, &holes, page.sent_at, &mut ledger);
        }
        Conclusion {
            candles: findings.finals.into_iter().filter(|candle| wanted.contains(candle.open_time)).collect(),
            ledger,
            forming: findings.forming,
            denied: holes.subtract(&holes.subtract(&self.unverified())),
            refused_rows: findings.refused_rows,
        }
    }

    /// Remembers which doubts a read has dealt with, and where it ended.
    pub fn concluded(&mut self, call: &Call, conclusion: &Conclusion) {
        self.doubted.remove(call.span);
        if let Some(last) = conclusion.candles.last().map(|candle| candle.open_time)
            && !self.footholds.contains(&last)
        {
            self.footholds.push_back(last);
            if self.footholds.len() > FOOTHOLDS {
                self.footholds.pop_front();
            }
        }
    }

    /// Remembers what a verification has not confirmed: it is read once more, and then it rests.
    pub fn verified(&mut self, call: &Call, conclusion: &Conclusion, sent_at: DateTime<Utc>) {
        if call.priority != Priority::Verification {
            return;
        }
        let confirmed = conclusion.ledger.iter().filter_map(|change| match change {
            LedgerChange::Set(span, Coverage::Complete { verified: true }) => Some(*span),
            _ => None,
        });
        let confirmed: SpanSet = confirmed.collect();
        let asked = Span::new(call.span.from, call.span.to.min(self.fresh_from(sent_at)));
        let left = self.unverified().within(asked).subtract(&confirmed);
        let once = left.subtract(&self.unconfirmed);
        let twice = left.subtract(&once);
        if !twice.is_empty() {
            self.unverifiable = self.unverifiable.union(&twice);
            self.unverifiable_until = TimeDelta::from_std(LONGEST_RETRY).ok().map(|rest| sent_at + rest);
        }
        self.unconfirmed = self.unconfirmed.subtract(&left).union(&once);
    }

    /// The oldest bucket that a read sent at `sent_at` settles but does not verify: as young as the
    /// buckets that every call reads again.
    pub fn fresh_from(&self, sent_at: DateTime<Utc>) -> DateTime<Utc> {
        let reread = self.grid().timeframe.nominal() * REREAD_BUCKETS;
        self.grid().last_closed_end(sent_at - reread.min(self.rules.page.settle_empty))
    }

    /// What a page proves, without the claim that nothing follows its last row where the page may
    /// have been cut short: where it is full, brings news, or holds more than the few rows that are
    /// read again. Then the next read starts at that last row.
    fn believable(&self, call: &Call, page: &Page, findings: &Findings) -> SpanSet {
        let mut complete = findings.complete.clone();
        let Some(last) = findings.finals.last() else { return complete };
        let is_known = |row: &Candle| row.open_time < self.wanted_from || self.is_complete(row.open_time);
        let is_whole = page.rows.len() <= REREAD_BUCKETS.min(self.rules.page_limit_rows.saturating_sub(1)) as usize
            && findings.finals.iter().all(is_known)
            && call.span.contains(last.open_time);
        if !is_whole {
            complete.remove(Span::new(self.grid().next_open(last.open_time), DateTime::<Utc>::MAX_UTC));
        }
        complete
    }

    /// Accounts for one missing stretch after a read of it or of a part of it.
    fn account(
        &self,
        missing: &Missing<'_>,
        call: &Call,
        complete: &SpanSet,
        holes: &SpanSet,
        sent_at: DateTime<Utc>,
        ledger: &mut Vec<LedgerChange>,
    ) {
        let asked: SpanSet = [missing.span.intersect(call.span)].into_iter().collect();
        let unanswered = asked.subtract(complete);
        // Read by chance before it was due: only what the page brought counts.
        if unanswered == asked && !missing.is_due(sent_at) {
            return;
        }
        let open = unanswered.subtract(holes);
        for hole in unanswered.subtract(&open).spans() {
            ledger.push(LedgerChange::Set(*hole, self.hole(missing, sent_at)));
        }
        if open != asked {
            // Progress: what is left of the stretch is asked for afresh, the youngest part a little later.
            let young_from = self.young_from(sent_at);
            for part in open.spans() {
                let young = Span::new(part.from.max(young_from), part.to);
                let old = Span::new(part.from, part.to.min(young_from));
                if !old.is_empty() && (missing.attempts > 0 || missing.next_attempt_at.is_some()) {
                    ledger.push(LedgerChange::Set(old, Coverage::missing(missing.reason)));
                }
                if !young.is_empty() {
                    ledger.push(LedgerChange::Set(young, self.retry(late(missing.reason), 1, sent_at)));
                }
            }
            return;
        }
        // Where the next call can ask for all of the stretch, it counts as one.
        let spans = if self.asks_for_all(1) { vec![missing.span] } else { open.spans().to_vec() };
        for span in spans {
            ledger.push(LedgerChange::Set(span, self.absent(missing, span, sent_at)));
        }
    }

    /// The oldest bucket whose absence at `now` proves nothing yet.
    pub(super) fn young_from(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.grid().last_closed_end(now - self.rules.page.settle_empty)
    }

    /// A hole in an old part of the line: looked at twice.
    fn hole(&self, missing: &Missing<'_>, now: DateTime<Utc>) -> Coverage {
        if missing.attempts > 0 && missing.reason == VENUE_HOLE {
            return Coverage::Unavailable { reason: HOLE_AT_THE_VENUE.to_owned() };
        }
        self.retry(VENUE_HOLE, 1, now)
    }

    fn unverified(&self) -> SpanSet {
        ledger::select(&self.entries, |c| *c == Coverage::Complete { verified: false })
    }

    /// What becomes of a bucket that was only inferred, and that the venue does not print.
    pub fn withdrawn(&self, now: DateTime<Utc>) -> Coverage {
        self.retry(VENUE_HOLE, 1, now)
    }

    fn absent(&self, missing: &Missing<'_>, span: Span, now: DateTime<Utc>) -> Coverage {
        let attempts = missing.attempts + 1;
        let is_old = self.grid().close_of(self.grid().previous_open(span.to)) <= now - self.rules.page.settle_empty;
        if attempts >= MAX_ATTEMPTS && is_old {
            let has_older = self.complete().spans().first().is_some_and(|first| first.from < span.from);
            let reason = if has_older { NOT_SERVED } else { BEFORE_LISTING };
            return Coverage::Unavailable { reason: reason.to_owned() };
        }
        self.retry(late(missing.reason), attempts, now)
    }

    fn retry(&self, reason: &str, attempts: u32, now: DateTime<Utc>) -> Coverage {
        let next_attempt_at = Some(now + self.rules.retry_delay(attempts));
        Coverage::Missing { reason: reason.to_owned(), attempts, next_attempt_at }
    }
}

/// What a stretch is called after a read that did not bring it.
fn late(reason: &str) -> &str {
    if reason == JUST_CLOSED { LATE_BAR } else { reason }
}
