//! Which REST call is due: urgent ones for what was missed while watching, then history from the
//! new end, then verification from the old end.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::conclude::MAX_ATTEMPTS;
use super::{AGAIN, Book, FromTrades, Missing, REREAD_BUCKETS};
use crate::engine::budget::Priority;
use crate::market::ledger::{
    self, BEFORE_LISTING, Coverage, FROM_TRADES, HOLE_AT_THE_VENUE, JUST_CLOSED, LATE_BAR, LedgerChange, NOT_FETCHED,
    NOT_SERVED, TOO_OLD, VENUE_HOLE,
};
use crate::market::{Span, SpanSet};

/// How many buckets are gathered before they are verified, and the longest they wait for it.
const GATHER_BUCKETS: u32 = 10;
const GATHER_LONGEST: Duration = Duration::from_secs(3600);

/// A REST read to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What to ask for, on bucket borders.
    pub span: Span,
    /// What it is for.
    pub priority: Priority,
}

impl Book {
    /// When the next bucket will have closed and settled.
    pub fn next_close_at(&self) -> DateTime<Utc> {
        self.rules.next_close(self.observed_until)
    }

    /// Statements about what has fallen out of the venue's history without being fetched. What the
    /// venue was seen to leave out stays a hole: trades would only tell of quiet buckets there.
    pub fn retire(&self, now: DateTime<Utc>) -> Vec<LedgerChange> {
        let Some(edge) = self.rules.depth_edge(now) else { return vec![] };
        let unavailable = |reason: &str| Coverage::Unavailable { reason: reason.to_owned() };
        let coverage = match self.rules.from_trades {
            FromTrades::Never => unavailable(TOO_OLD),
            FromTrades::Old => Coverage::missing(FROM_TRADES),
            FromTrades::All => return vec![],
        };
        let retired = |missing: Missing<'_>| {
            let is_hole = missing.attempts > 0 && missing.reason == VENUE_HOLE;
            let coverage = if is_hole { unavailable(HOLE_AT_THE_VENUE) } else { coverage.clone() };
            LedgerChange::Set(Span::new(missing.span.from, missing.span.to.min(edge)), coverage)
        };
        self.unread().filter(|missing| missing.span.from < edge).map(retired).collect()
    }

    /// Statements that have what was given up asked for once more, when it is time.
    pub fn look_again(&mut self, now: DateTime<Utc>) -> Vec<LedgerChange> {
        if now < self.again_at || self.rules.from_trades == FromTrades::All {
            return vec![];
        }
        self.again_wait = (self.again_wait * 2).min(AGAIN.1);
        self.again_at = now + self.again_wait;
        self.given_up(now).collect()
    }

    /// What may be there although the venue did not show it, as it is asked for again: after one more
    /// read without result it is given up again. A hole is asked for as long as the venue reaches it.
    fn given_up(&self, now: DateTime<Utc>) -> impl Iterator<Item = LedgerChange> {
        let edge = self.rules.depth_edge(now).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let reopened = move |reason: &str| match reason {
            NOT_SERVED | BEFORE_LISTING => Some((NOT_FETCHED, MAX_ATTEMPTS - 1, DateTime::<Utc>::MIN_UTC)),
            HOLE_AT_THE_VENUE => Some((VENUE_HOLE, 1, edge)),
            _ => None,
        };
        self.entries.iter().filter_map(move |entry| {
            let Coverage::Unavailable { reason } = &entry.coverage else { return None };
            let (reason, attempts, from) = reopened(reason).filter(|(_, _, from)| *from < entry.span.to)?;
            let missing = Coverage::Missing { reason: reason.to_owned(), attempts, next_attempt_at: None };
            Some(LedgerChange::Set(Span::new(entry.span.from.max(from), entry.span.to), missing))
        })
    }

    /// The live or repair read that is due at `now`: everything missed up to its newest bucket, as
    /// far back as one page reaches.
    pub fn urgent_call(&self, now: DateTime<Utc>) -> Option<Call> {
        let due = || self.unread().filter(move |m| m.reason != NOT_FETCHED && m.is_due(now));
        let mut wanted = due().map(|m| m.span).collect::<SpanSet>().union(&self.doubted);
        if !self.rules.honours_end && !wanted.is_empty() {
            // Such a page reaches to the newest bar anyway: the same call reads the history before it.
            let history = self.unread().filter(|m| m.reason == NOT_FETCHED && m.is_due(now));
            wanted = wanted.union(&history.map(|m| m.span).collect());
        }
        let (oldest, to) = (wanted.spans().first()?.from, wanted.spans().last()?.to);
        // A bucket that has just closed makes the call a live one, whatever else it repairs.
        let is_live = due()
            .next_back()
            .is_some_and(|m| matches!(m.reason, JUST_CLOSED | LATE_BAR) && m.span.to == self.observed_until);
        let priority = if is_live { Priority::Live } else { Priority::Repair };
        let newest = due().next_back().filter(|m| m.span.to == to);
        let attempts = newest.map_or(0, |m| m.attempts);
        // After a read without result the whole stretch is asked for: its rows may lie far apart.
        let page_start = self.rules.page_start(to);
        let reach = newest.filter(|_| self.asks_for_all(attempts)).map_or(page_start, |m| page_start.min(m.span.from));
        let from = oldest.max(reach).max(self.wanted_from);
        Some(Call { span: self.widen(Span::new(from, to), attempts), priority })
    }

    /// The backfill or verification read that is due at `now`, newest history first.
    pub fn background_call(&self, now: DateTime<Utc>) -> Option<Call> {
        if let Some(missing) = self.unread().rfind(|m| m.reason == NOT_FETCHED && m.is_due(now)) {
            let Span { from, to } = missing.span;
            let from = if self.asks_for_all(missing.attempts) { from } else { from.max(self.rules.page_start(to)) };
            return Some(Call {
                span: self.widen(Span::new(from, to), missing.attempts),
                priority: Priority::Backfill,
            });
        }
        let reads = self.rules.from_trades != FromTrades::All;
        let span = self.oldest_unverified(now).filter(|_| reads).filter(|span| self.verify_at(span.from) <= now)?;
        // What one read has not confirmed is looked at from further away.
        let attempts = u32::from(self.unconfirmed.contains(span.from));
        Some(Call { span: self.widen(span, attempts), priority: Priority::Verification })
    }

    /// When the book next has something to do by itself, always after `now`.
    pub fn wake_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let retries = self.missing().filter_map(|m| m.next_attempt_at);
        let reads = self.rules.from_trades != FromTrades::All;
        let verification = self.oldest_unverified(now).filter(|_| reads).map(|span| self.verify_at(span.from));
        // While the stream is late in settling, the edge stands behind what has closed.
        let mut open = self.observed_until.max(self.grid().bucket_at(now - self.rules.page.settle));
        while self.rules.next_close(open) <= now {
            open = self.grid().next_open(open);
        }
        let close = [self.next_close_at(), self.rules.next_close(open)];
        let again = self.given_up(now).next().map(|_| self.again_at).filter(|_| reads);
        let earliest = retries.chain(verification).chain(close).chain(again).filter(|at| *at > now).min();
        earliest.unwrap_or_else(|| self.rules.next_close(open))
    }

    /// True when a stretch that a read left as it was is asked for at once, so that a venue that
    /// lists younger than wanted is not asked page by page.
    pub(super) fn asks_for_all(&self, attempts: u32) -> bool {
        attempts > 0 && self.rules.page_limit_span.is_none()
    }

    /// Adds the buckets read again with every call. A row on the left proves what follows it, so
    /// the call reaches back to the nearest known one, or after reads without result further and
    /// further; every second time not so far that rows on the left could fill the page.
    pub(super) fn widen(&self, span: Span, attempts: u32) -> Span {
        let grid = self.grid();
        let near = grid.back(span.from, REREAD_BUCKETS);
        let bounded = grid.back(span.from, (self.rules.page_limit_rows / 2).max(1));
        let complete = self.complete();
        let foothold = self
            .footholds
            .iter()
            .copied()
            .filter(|row| *row < span.from && complete.covers(Span::new(*row, span.from)))
            .max();
        let further = REREAD_BUCKETS.saturating_mul(10u32.saturating_pow(attempts.min(4)));
        let mut from = match foothold {
            Some(row) if attempts == 0 => row.max(bounded).min(near),
            // Alone before the stretch, so that what follows it is beyond doubt.
            Some(row) if attempts % 2 == 1 => row,
            _ if attempts % 2 == 1 => grid.back(span.from, further),
            _ => grid.back(span.from, further).max(bounded),
        };
        if self.rules.page_limit_span.is_some() {
            from = from.max(self.rules.page_start(span.to)).min(span.from);
        }
        let to = self.rules.forward(span.to, REREAD_BUCKETS).min(self.observed_until);
        // Where pages end at the newest bar anyway, everything up to there is asked for.
        Span::new(from, if self.rules.honours_end { to } else { self.observed_until }.max(span.to))
    }

    /// The oldest stretch to verify and what of the rest fits into the same call.
    fn oldest_unverified(&self, now: DateTime<Utc>) -> Option<Span> {
        let edge = self.rules.depth_edge(now).unwrap_or(DateTime::<Utc>::MIN_UTC).max(self.wanted_from);
        let unverified = ledger::select(&self.entries, |c| *c == Coverage::Complete { verified: false });
        let rests = self.unverifiable_until.is_some_and(|until| now < until);
        let wanted = if rests { unverified.subtract(&self.unverifiable) } else { unverified };
        let servable = wanted.within(Span::new(edge, self.fresh_from(now).max(edge)));
        let from = servable.spans().first()?.from;
        let page = servable.within(Span::new(from, self.rules.page_end(from)));
        page.spans().last().map(|last| Span::new(from, last.to))
    }

    /// Unverified buckets are gathered for a while, so that one call confirms several.
    fn verify_at(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        let patience = (self.grid().timeframe.nominal() * GATHER_BUCKETS).min(GATHER_LONGEST);
        self.grid().close_of(from) + self.rules.page.settle + patience
    }
}
