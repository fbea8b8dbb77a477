//! The book of one series: its ledger, what is due, which REST call to make next, and what its
//! answer changes. Work is what is wanted and not covered; there is no other list.
//!
//! All instants are venue time. The book never waits and never writes: it returns calls and ledger
//! statements, and changes its own copy of the ledger only when told that they were stored.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::budget::Priority;
use super::page::{self, Page, PageRules};
use crate::exchange::{Capabilities, Depth, QuietPolicy};
use crate::market::ledger::{self, Coverage, LedgerChange, LedgerEntry};
use crate::market::{Anchors, Candle, Grid, Span, SpanSet, Timeframe};

/// Never read yet: history.
pub const NOT_FETCHED: &str = "not_fetched";
/// No collector was running.
pub const NOT_RUNNING: &str = "collector_stopped";
/// Closed while we watched, not settled yet.
pub const JUST_CLOSED: &str = "just_closed";
/// Due, asked for, and not there yet.
pub const LATE_BAR: &str = "late_bar";
/// Absent between two rows of a venue that prints quiet buckets.
pub const VENUE_HOLE: &str = "venue_hole";
/// Before what the venue serves.
pub const TOO_OLD: &str = "too_old: rest";
/// Nothing older exists either.
pub const BEFORE_LISTING: &str = "before_listing: rest";
/// Asked for repeatedly, never answered with it.
pub const NOT_SERVED: &str = "not_served: rest";

/// Reads that bring nothing before a stretch is called unavailable.
const MAX_ATTEMPTS: u32 = 5;
/// Buckets read again with every call.
const REREAD_BUCKETS: u32 = 3;
/// Longest wait between two reads of a stretch that is not there.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// The venue data one series is kept by.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRules {
    /// How pages are judged; holds the grid.
    pub page: PageRules,
    /// How far back REST goes.
    pub depth: Depth,
    /// Most rows of a page.
    pub page_limit_rows: u32,
    /// Longest window of a call.
    pub page_limit_span: Option<Duration>,
    /// False where pages always end at the newest bar.
    pub honours_end: bool,
    /// When a late bar is asked for again.
    pub late_bar_delays: &'static [Duration],
}

impl SeriesRules {
    /// The rules of a native timeframe; `None` when the venue does not have it.
    pub fn new(capabilities: &'static Capabilities, timeframe: Timeframe, anchors: Anchors) -> Option<SeriesRules> {
        let row = capabilities.timeframe(timeframe)?;
        Some(SeriesRules {
            page: PageRules {
                grid: Grid::new(timeframe, anchors),
                quiet: capabilities.quiet,
                settle: capabilities.settle,
                settle_empty: capabilities.settle_empty,
            },
            depth: row.depth,
            page_limit_rows: capabilities.candle_rest.page_limit_rows,
            page_limit_span: row.page_limit_span,
            honours_end: capabilities.candle_rest.honours_end,
            late_bar_delays: capabilities.late_bar_delays,
        })
    }

    /// The oldest open time REST still serves at `now`.
    fn depth_edge(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let grid = &self.page.grid;
        match self.depth {
            Depth::Full => None,
            Depth::NewestRows(rows) => Some(grid.back(grid.bucket_at(now), rows.saturating_sub(1))),
            Depth::Age(age) => Some(grid.ceil(now - age)),
        }
    }

    /// The start of the longest call that ends at `to`.
    fn page_start(&self, to: DateTime<Utc>) -> DateTime<Utc> {
        let by_rows = self.page.grid.back(to, self.page_limit_rows.saturating_sub(2 * REREAD_BUCKETS).max(1));
        match self.page_limit_span {
            Some(span) => by_rows.max(self.page.grid.ceil(to - span) + (to - self.page.grid.back(to, 1)) * 4),
            None => by_rows,
        }
    }

    fn retry_delay(&self, attempts: u32) -> Duration {
        let listed = self.late_bar_delays;
        let index = attempts.saturating_sub(1) as usize;
        match listed.get(index) {
            Some(delay) => *delay,
            None => {
                let last = listed.last().copied().unwrap_or(Duration::from_secs(5));
                let doublings = (index - listed.len().min(index)) as u32 + 1;
                last.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_RETRY)
            }
        }
    }
}

/// A REST read to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What to ask for, on bucket borders.
    pub span: Span,
    /// What it is for.
    pub priority: Priority,
}

/// What a page changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conclusion {
    /// Rows to store as final.
    pub candles: Vec<Candle>,
    /// Statements to write with them.
    pub ledger: Vec<LedgerChange>,
    /// The open bucket as the page showed it.
    pub forming: Option<Candle>,
    /// Rows that were no candles of this series.
    pub refused_rows: u32,
}

/// The state of one series.
#[derive(Debug, Clone)]
pub struct Book {
    rules: SeriesRules,
    wanted_from: DateTime<Utc>,
    observed_until: DateTime<Utc>,
    entries: Vec<LedgerEntry>,
    /// Settled buckets that a frame has cast doubt on.
    doubted: SpanSet,
    /// Unverified stretches that REST does not confirm; left alone in this life.
    unverifiable: SpanSet,
}

impl Book {
    /// Opens the book of a series as the store has it, at venue time `now`. Returns the statements
    /// that account for the time since the last collector looked.
    pub fn open(
        rules: SeriesRules,
        backfill_from: DateTime<Utc>,
        entries: Vec<LedgerEntry>,
        observed_until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> (Book, Vec<LedgerChange>) {
        let wanted_from = rules.page.grid.bucket_at(backfill_from);
        let mut book = Book {
            rules,
            wanted_from,
            observed_until: observed_until.unwrap_or(wanted_from).max(wanted_from),
            entries,
            doubted: SpanSet::new(),
            unverifiable: SpanSet::new(),
        };
        let closed = book.closed_end(now).max(book.observed_until);
        let reason = if observed_until.is_some() { NOT_RUNNING } else { NOT_FETCHED };
        let away = Span::new(book.observed_until, closed);
        let changes = if away.is_empty() { vec![] } else { vec![LedgerChange::Set(away, Coverage::missing(reason))] };
        book.observed_until = closed;
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

    /// The end of the newest closed and settled bucket. Session markets stand still between sessions.
    fn closed_end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let grid = self.grid();
        let settled = now - self.rules.page.settle;
        let end = grid.last_closed_end(settled);
        match grid.anchors.session {
            Some(session) if !grid.timeframe.is_daily_or_longer() && !session.is_open_at(settled) => {
                end.min(grid.ceil(session.last_close_before(settled)))
            }
            _ => end,
        }
    }

    /// Moves the right edge to what has closed by `now`; buckets from `stream_owns_from` on are
    /// left to the stream. Returns the newly accounted stretch, which is `just_closed` until settled.
    pub fn observe(&mut self, now: DateTime<Utc>, stream_owns_from: Option<DateTime<Utc>>) -> Option<Span> {
        let closed = self.closed_end(now);
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

    /// When the next bucket will have closed and settled.
    pub fn next_close_at(&self) -> DateTime<Utc> {
        let grid = self.grid();
        let mut open = self.observed_until;
        if let Some(session) = grid.anchors.session
            && !grid.timeframe.is_daily_or_longer()
            && !session.is_open_at(open)
        {
            open = grid.open_of(session.next_open_after(open));
        }
        grid.close_of(open) + self.rules.page.settle
    }

    /// Asks for a settled bucket to be read again soon.
    pub fn doubt(&mut self, span: Span) {
        self.doubted.insert(span);
    }

    /// Statements about what has fallen out of the venue's history without being fetched.
    pub fn retire(&self, now: DateTime<Utc>) -> Vec<LedgerChange> {
        let Some(edge) = self.rules.depth_edge(now) else { return vec![] };
        self.missing()
            .map(|missing| Span::new(missing.span.from, missing.span.to.min(edge)))
            .filter(|span| !span.is_empty())
            .map(|span| LedgerChange::Set(span, Coverage::Unavailable { reason: TOO_OLD.to_owned() }))
            .collect()
    }

    /// The live or repair read that is due at `now`.
    pub fn urgent_call(&self, now: DateTime<Utc>) -> Option<Call> {
        let grid = self.grid();
        let mut wanted: SpanSet =
            self.missing().filter(|m| m.reason != NOT_FETCHED && m.is_due(now)).map(|m| m.span).collect();
        let attempts = self.missing().filter(|m| m.reason != NOT_FETCHED && m.is_due(now)).map(|m| m.attempts).max();
        wanted = wanted.union(&self.doubted);
        let newest = wanted.spans().last()?;
        let to = newest.to;
        let page_start = self.rules.page_start(to);
        let from =
            wanted.gaps(Span::new(DateTime::<Utc>::MIN_UTC, to)).spans().first().map_or(newest.from, |gap| gap.to);
        let from = from.max(page_start).max(self.wanted_from);
        let is_live = to == self.observed_until && grid.back(to, 2) <= newest.from;
        let priority = if is_live { Priority::Live } else { Priority::Repair };
        Some(Call { span: self.widen(Span::new(from, to), attempts.unwrap_or(0)), priority })
    }

    /// The backfill or verification read that is due at `now`, newest history first.
    pub fn background_call(&self, now: DateTime<Utc>) -> Option<Call> {
        let history = self.missing().filter(|m| m.reason == NOT_FETCHED && m.is_due(now)).last();
        if let Some(missing) = history {
            let whole = missing.attempts > 0 && self.rules.page_limit_span.is_none();
            let from =
                if whole { missing.span.from } else { missing.span.from.max(self.rules.page_start(missing.span.to)) };
            let span = self.widen(Span::new(from, missing.span.to), missing.attempts);
            return Some(Call { span, priority: Priority::Backfill });
        }
        let unverified = self.oldest_unverified(now)?;
        (self.verify_at(unverified) <= now)
            .then_some(Call { span: self.widen(unverified, 0), priority: Priority::Verification })
    }

    /// When the book next has something to do by itself.
    pub fn wake_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let retries = self.missing().filter_map(|m| m.next_attempt_at).filter(|at| *at > now).min();
        let verification = self.oldest_unverified(now).map(|span| self.verify_at(span)).filter(|at| *at > now);
        [Some(self.next_close_at()), retries, verification].into_iter().flatten().min().unwrap_or(now)
    }

    /// What the answer to a call changes. Rows before the wanted stretch are left out.
    pub fn conclude(&self, call: &Call, page: &Page) -> Conclusion {
        let findings = page::judge(&self.rules.page, page);
        let wanted = Span::new(self.wanted_from, DateTime::<Utc>::MAX_UTC);
        let complete = findings.complete.within(wanted);
        let mut conclusion = Conclusion {
            candles: findings.finals.into_iter().filter(|candle| wanted.contains(candle.open_time)).collect(),
            ledger: Vec::new(),
            forming: findings.forming,
            refused_rows: findings.refused_rows,
        };
        for span in complete.spans() {
            conclusion.ledger.push(LedgerChange::Set(*span, Coverage::Complete { verified: true }));
        }
        let holes = findings.holes.within(call.span);
        for missing in self.missing().filter(|m| m.span.overlaps(call.span)) {
            let asked: SpanSet = [missing.span.intersect(call.span)].into_iter().collect();
            for hole in asked.subtract(&complete).spans().iter().flat_map(|part| holes.within(*part).spans().to_vec()) {
                conclusion.ledger.push(LedgerChange::Set(hole, self.hole(&missing, page.sent_at)));
            }
            let open = asked.subtract(&complete).subtract(&holes);
            if open != asked {
                // Progress: what is left of the stretch is asked for afresh.
                let fresh = Coverage::missing(missing.reason);
                let left = open.spans().iter().filter(|_| missing.attempts > 0);
                conclusion.ledger.extend(left.map(|part| LedgerChange::Set(*part, fresh.clone())));
                continue;
            }
            // Without progress in a stretch of history the next call asks for all of it at once, so
            // that a venue that lists younger than wanted is not asked page by page.
            let speaks_for_all = missing.reason == NOT_FETCHED && self.rules.page_limit_span.is_none();
            let spans = if speaks_for_all { vec![missing.span] } else { open.spans().to_vec() };
            for span in spans {
                conclusion.ledger.push(LedgerChange::Set(span, self.absent(&missing, span, page.sent_at)));
            }
        }
        conclusion
    }

    /// Remembers which doubts and unverified stretches a read has dealt with.
    pub fn concluded(&mut self, call: &Call, conclusion: &Conclusion) {
        self.doubted.remove(call.span);
        if call.priority == Priority::Verification {
            let confirmed: SpanSet = conclusion
                .ledger
                .iter()
                .filter_map(|change| match change {
                    LedgerChange::Set(span, Coverage::Complete { verified: true }) => Some(*span),
                    _ => None,
                })
                .collect();
            for span in confirmed.gaps(call.span).spans() {
                self.unverifiable.insert(*span);
            }
        }
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
        self.missing().any(|m| m.reason == NOT_FETCHED)
    }

    fn missing(&self) -> impl DoubleEndedIterator<Item = Missing<'_>> {
        self.entries.iter().filter_map(|entry| match &entry.coverage {
            Coverage::Missing { reason, attempts, next_attempt_at } => {
                Some(Missing { span: entry.span, reason, attempts: *attempts, next_attempt_at: *next_attempt_at })
            }
            _ => None,
        })
    }

    /// Adds the buckets read again with every call, more to the left after reads without result:
    /// a row on either side proves what lies between.
    fn widen(&self, span: Span, attempts: u32) -> Span {
        let grid = self.grid();
        let left = REREAD_BUCKETS.saturating_mul(10u32.saturating_pow(attempts.min(4)));
        let mut from = grid.back(span.from, left.min(self.rules.page_limit_rows));
        if self.rules.page_limit_span.is_some() {
            from = from.max(self.rules.page_start(span.to)).min(span.from);
        }
        let mut to = span.to;
        for _ in 0..REREAD_BUCKETS {
            to = grid.next_open(to);
        }
        Span::new(from, to.min(self.observed_until).max(span.to))
    }

    fn hole(&self, missing: &Missing<'_>, now: DateTime<Utc>) -> Coverage {
        if missing.attempts > 0 && missing.reason == VENUE_HOLE {
            return Coverage::Unavailable { reason: format!("{VENUE_HOLE}: rest") };
        }
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
        let reason = if missing.reason == JUST_CLOSED { LATE_BAR } else { missing.reason };
        self.retry(reason, attempts, now)
    }

    fn retry(&self, reason: &str, attempts: u32, now: DateTime<Utc>) -> Coverage {
        Coverage::Missing {
            reason: reason.to_owned(),
            attempts,
            next_attempt_at: Some(now + self.rules.retry_delay(attempts)),
        }
    }

    fn oldest_unverified(&self, now: DateTime<Utc>) -> Option<Span> {
        let edge = self.rules.depth_edge(now).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let unverified = ledger::select(&self.entries, |c| *c == Coverage::Complete { verified: false });
        let servable = unverified.subtract(&self.unverifiable).within(Span::new(edge, DateTime::<Utc>::MAX_UTC));
        let oldest = servable.spans().first()?;
        let mut end = self.rules.page_start(oldest.to).max(oldest.from);
        end = if end == oldest.from { oldest.to } else { self.page_end(oldest.from).min(oldest.to) };
        Some(Span::new(oldest.from, end))
    }

    /// The end of the longest call that starts at `from`.
    fn page_end(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        let rows = i32::try_from(self.rules.page_limit_rows.saturating_sub(2 * REREAD_BUCKETS)).unwrap_or(i32::MAX);
        let by_rows = from + TimeDelta::from_std(self.grid().timeframe.nominal()).unwrap_or_default() * rows.max(1);
        let by_span = self.rules.page_limit_span.map(|span| from + span);
        self.grid().open_of(by_span.map_or(by_rows, |by_span| by_rows.min(by_span)))
    }

    /// Unverified buckets are gathered for a while, so that one call confirms several.
    fn verify_at(&self, unverified: Span) -> DateTime<Utc> {
        let patience = (self.grid().timeframe.nominal() * 10).min(Duration::from_secs(3600));
        self.grid().close_of(unverified.from) + patience
    }
}

/// A missing stretch, borrowed from the ledger.
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

/// What quiet buckets of this venue look like to the verifier of a ledger.
pub fn absence_is_allowed(quiet: QuietPolicy) -> bool {
    quiet != QuietPolicy::Emits
}
