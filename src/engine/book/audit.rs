//! What an audit asks of a book: which reads to make, and what follows from what they deny.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Book, Call, FromTrades, REREAD_BUCKETS};
use crate::engine::audit::coverage_at;
use crate::engine::budget::Priority;
use crate::engine::page::{self, Findings, Page};
use crate::exchange::QuietPolicy;
use crate::market::Span;
use crate::market::ledger::{Coverage, LedgerChange, NOT_FETCHED};

impl Book {
    /// The first stretch of `span` to read at once, and the call that reads it; after `attempts` that
    /// did not prove enough, from further and further away.
    pub fn audit_call(&self, span: Span, attempts: u32) -> (Span, Call) {
        let first = Span::new(span.from, span.to.min(self.rules.page_end(span.from)));
        (first, Call { span: self.widen(first, attempts), priority: Priority::Verification })
    }

    /// The oldest bucket that REST serves at `now`, where that is known without asking.
    pub fn served_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.rules.depth_edge(now)
    }

    /// Buckets before this one are old enough at `now` to be judged.
    pub fn judged_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.fresh_from(now).min(self.young_from(now))
    }

    /// What the venue prints for quiet buckets; of candles built from trades, what the ledger means by them.
    pub fn quiet(&self) -> QuietPolicy {
        match self.rules.from_trades {
            FromTrades::All => QuietPolicy::Mixed,
            FromTrades::Old | FromTrades::Never => self.rules.page.quiet,
        }
    }

    /// What a page proves of `asked`, and how far: what follows its last row may have been cut off,
    /// unless it holds no more than the few rows that were read again.
    pub fn evidence(&self, asked: Span, page: &Page) -> (Findings, DateTime<Utc>) {
        let mut findings = page::judge(&self.rules.page, page);
        let is_whole = page.rows.len() <= REREAD_BUCKETS as usize;
        let Some(last) = findings.finals.last().filter(|_| !is_whole) else { return (findings, asked.to) };
        let end = self.grid().next_open(last.open_time);
        findings.complete.remove(Span::new(end, DateTime::<Utc>::MAX_UTC));
        // Without a row inside there is nothing to begin the next read with.
        let reached = if end > asked.from { end.min(asked.to) } else { asked.to };
        (findings, reached)
    }

    /// The statements that take a row away, whatever the ledger calls its place: what becomes of its
    /// bucket is that nothing was traded there, or that the venue has a hole.
    pub fn take_away(&self, open_time: DateTime<Utc>, sent_at: DateTime<Utc>) -> Vec<LedgerChange> {
        let grid = self.grid();
        if grid.is_border(open_time) {
            let bucket = Span::new(open_time, grid.next_open(open_time));
            let mut statements = removal(bucket, self.withdrawn(sent_at));
            if self.quiet() != QuietPolicy::Emits {
                statements.push(LedgerChange::Set(bucket, Coverage::Complete { verified: true }));
            }
            return statements;
        }
        // No bucket: what is known of the time around it stays as it is.
        let instant = Span::new(open_time, open_time + TimeDelta::microseconds(1));
        let before = coverage_at(&self.entries, open_time).cloned().unwrap_or(Coverage::missing(NOT_FETCHED));
        let mut statements = removal(instant, before.clone());
        if matches!(before, Coverage::Complete { .. }) {
            statements = removal(instant, Coverage::missing(NOT_FETCHED));
            statements.push(LedgerChange::Set(instant, before));
        }
        statements
    }

    /// The statements that open a bucket again which is said to be complete and has no row.
    pub fn reopen(&self, open_time: DateTime<Utc>) -> Vec<LedgerChange> {
        removal(Span::new(open_time, self.grid().next_open(open_time)), Coverage::missing(NOT_FETCHED))
    }
}

/// Only what is complete and not verified can be withdrawn.
fn removal(span: Span, after: Coverage) -> Vec<LedgerChange> {
    vec![
        LedgerChange::Set(span, Coverage::Complete { verified: false }),
        LedgerChange::Unverify(span),
        LedgerChange::Withdraw(span, after),
    ]
}
