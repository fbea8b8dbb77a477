//! The coverage ledger: what a stretch of a series' time line is known to hold, and the arithmetic
//! of statements about it, the same for every backend and for the collector's own copy. Pure.
//!
//! Promises: the result is sorted, never overlaps, has no empty interval and no equal neighbours;
//! it tiles the extent; `Complete` is never lost to `Missing` or `Unavailable`; `verified` is lost
//! to [`LedgerChange::Unverify`] and [`LedgerChange::Withdraw`] only; applying the same statements again changes nothing.
//! Does not know buckets: whoever states a span puts it on borders.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Span, SpanSet};

/// Reason for missing: never read yet, history.
pub const NOT_FETCHED: &str = "not_fetched";
/// Reason for missing: no collector was running.
pub const NOT_RUNNING: &str = "collector_stopped";
/// Reason for missing: closed while we watched, not settled yet.
pub const JUST_CLOSED: &str = "just_closed";
/// Reason for missing: due, asked for, and not there yet.
pub const LATE_BAR: &str = "late_bar";
/// Reason for missing: absent between two rows of a venue that prints quiet buckets.
pub const VENUE_HOLE: &str = "venue_hole";
/// Reason for unavailable: the same, after a second look.
pub const HOLE_AT_THE_VENUE: &str = "venue_hole: rest";
/// Reason for missing: nothing was told of a market that the venue lists no more.
pub const NOT_LISTED: &str = "not_listed";
/// Reason for missing: older than the venue's candles reach, to be built from its trades.
pub const FROM_TRADES: &str = "to_be_built_from_trades";
/// Reason for unavailable: a quiet bucket without a trade before it, whose price it could repeat.
pub const NO_TRADE_BEFORE: &str = "no_trade_before: trades";
/// Reason for unavailable: the trades cannot be had any more, and nothing else tells its candles.
pub const TRADES_NOT_SERVED: &str = "not_served: trades";
/// Reason for unavailable: the trades need more digits than exact sums have.
pub const NOT_SUMMABLE: &str = "not_summable: trades";
/// Reason for unavailable: before what the venue serves.
pub const TOO_OLD: &str = "too_old: rest";
/// Reason for unavailable: nothing older exists either.
pub const BEFORE_LISTING: &str = "before_listing: rest";
/// Reason for unavailable: asked for repeatedly, never answered with it.
pub const NOT_SERVED: &str = "not_served: rest";

/// The state of a stretch of a series' time line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Every bucket has its final row or is proven empty.
    Complete {
        /// REST has confirmed it.
        verified: bool,
    },
    /// A known gap.
    Missing {
        /// Why: [`NOT_FETCHED`], [`NOT_RUNNING`], [`JUST_CLOSED`], [`LATE_BAR`], [`VENUE_HOLE`],
        /// [`NOT_LISTED`] or [`FROM_TRADES`].
        reason: String,
        /// Reads that brought nothing so far.
        attempts: u32,
        /// Not to be asked for before this.
        next_attempt_at: Option<DateTime<Utc>>,
    },
    /// The venue does not have it.
    Unavailable {
        /// Why, in a word, and after a colon the methods tried: [`TOO_OLD`], [`BEFORE_LISTING`],
        /// [`NOT_SERVED`], [`HOLE_AT_THE_VENUE`], [`NO_TRADE_BEFORE`], [`TRADES_NOT_SERVED`] or [`NOT_SUMMABLE`].
        reason: String,
    },
}

impl Coverage {
    /// A gap nobody has tried to fill yet.
    pub fn missing(reason: &str) -> Coverage {
        Coverage::Missing { reason: reason.to_owned(), attempts: 0, next_attempt_at: None }
    }
}

/// One interval of a series' ledger. Intervals of a series never overlap; neighbours equal in
/// state, reason and verified are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The stretch, on bucket borders.
    pub span: Span,
    /// Its state.
    pub coverage: Coverage,
}

/// A statement about a stretch of the ledger. How it meets what is there:
/// `Complete` replaces `Missing` and `Unavailable`, and `verified` is never lost to an unverified
/// `Complete`; `Missing` and `Unavailable` replace each other but never `Complete`;
/// `Unverify` turns complete stretches into unverified ones and touches nothing else; `Withdraw` gives
/// unverified ones another coverage and touches nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerChange {
    /// States the coverage of a stretch.
    Set(Span, Coverage),
    /// What was complete there is to be read again by REST.
    Unverify(Span),
    /// What was complete there, and not verified, is not after all: the venue denies it, or lists the market
    /// no more. A store removes the rows inside together with this statement, and keeps them as revisions.
    Withdraw(Span, Coverage),
}

impl LedgerChange {
    /// The stretch it speaks of.
    pub fn span(&self) -> Span {
        match self {
            LedgerChange::Set(span, _) | LedgerChange::Unverify(span) | LedgerChange::Withdraw(span, _) => *span,
        }
    }

    /// The same, to be changed.
    pub fn span_mut(&mut self) -> &mut Span {
        match self {
            LedgerChange::Set(span, _) | LedgerChange::Unverify(span) | LedgerChange::Withdraw(span, _) => span,
        }
    }
}

/// The stretch of the time line that the statements speak of: all that [`apply`] may change.
/// `None` when they say nothing.
pub fn window(changes: &[LedgerChange], extent: Option<Span>) -> Option<Span> {
    changes
        .iter()
        .map(LedgerChange::span)
        .chain(extent)
        .filter(|span| !span.is_empty())
        .reduce(|a, b| Span::new(a.from.min(b.from), a.to.max(b.to)))
}

/// The ledger after the statements, applied in order, and with the holes inside `extent` filled.
///
/// `old` is canonical (sorted, merged): a whole ledger, or at least every entry that overlaps or
/// touches the [`window`].
pub fn apply(old: &[LedgerEntry], changes: &[LedgerChange], extent: Option<(Span, &'static str)>) -> Vec<LedgerEntry> {
    let mut entries = old.to_vec();
    for change in changes {
        match change {
            LedgerChange::Set(span, coverage) => {
                overlay(&mut entries, *span, Some(coverage), |old| meet(old, coverage));
            }
            LedgerChange::Unverify(span) => overlay(&mut entries, *span, None, |old| match old {
                Coverage::Complete { .. } => Coverage::Complete { verified: false },
                other => other.clone(),
            }),
            LedgerChange::Withdraw(span, coverage) => overlay(&mut entries, *span, None, |old| match old {
                Coverage::Complete { verified: false } => coverage.clone(),
                other => other.clone(),
            }),
        }
    }
    if let Some((span, reason)) = extent {
        overlay(&mut entries, span, Some(&Coverage::missing(reason)), Coverage::clone);
    }
    merge(entries)
}

/// What becomes of a stretch that is `old` when it is said to be `new`.
fn meet(old: &Coverage, new: &Coverage) -> Coverage {
    match (old, new) {
        (Coverage::Complete { verified: a }, Coverage::Complete { verified: b }) => {
            Coverage::Complete { verified: *a || *b }
        }
        (Coverage::Complete { .. }, _) => old.clone(),
        _ => new.clone(),
    }
}

/// Cuts the entries at the borders of `span`, changes those inside, and fills the holes inside
/// with `filling`.
fn overlay(
    entries: &mut Vec<LedgerEntry>,
    span: Span,
    filling: Option<&Coverage>,
    change: impl Fn(&Coverage) -> Coverage,
) {
    if span.is_empty() {
        return;
    }
    let first = entries.partition_point(|entry| entry.span.to <= span.from);
    let end = first + entries[first..].partition_point(|entry| entry.span.from < span.to);
    let mut inside = Vec::with_capacity(end - first + 3);
    let mut push = |from, to, coverage: Option<Coverage>| {
        if let (true, Some(coverage)) = (from < to, coverage) {
            inside.push(LedgerEntry { span: Span::new(from, to), coverage });
        }
    };
    let mut reached = span.from;
    for entry in &entries[first..end] {
        let part = entry.span.intersect(span);
        push(entry.span.from, span.from, Some(entry.coverage.clone()));
        push(reached, part.from, filling.cloned());
        push(part.from, part.to, Some(change(&entry.coverage)));
        push(span.to, entry.span.to, Some(entry.coverage.clone()));
        reached = part.to;
    }
    // Nothing is left to fill where the last entry reaches past the span.
    push(reached, span.to, filling.cloned());
    entries.splice(first..end, inside);
}

/// Joins equal neighbours that touch.
fn merge(entries: Vec<LedgerEntry>) -> Vec<LedgerEntry> {
    let mut merged: Vec<LedgerEntry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match merged.last_mut() {
            Some(last) if last.span.to == entry.span.from && last.coverage == entry.coverage => {
                last.span.to = entry.span.to;
            }
            _ => merged.push(entry),
        }
    }
    merged
}

/// The fewest row operations that turn one ledger into another; rows are keyed by `span.from`.
/// Done in this order no two rows ever share a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerDiff {
    /// Rows that go.
    pub deleted: Vec<LedgerEntry>,
    /// Rows that keep their start and change anything else, as they are to be.
    pub updated: Vec<LedgerEntry>,
    /// Rows that come.
    pub inserted: Vec<LedgerEntry>,
}

impl LedgerDiff {
    /// Compares two sorted ledgers.
    pub fn between(old: &[LedgerEntry], new: &[LedgerEntry]) -> LedgerDiff {
        let mut diff = LedgerDiff::default();
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            match (old.peek(), new.peek()) {
                (None, None) => return diff,
                (Some(a), Some(b)) if a.span.from == b.span.from => {
                    if a != b {
                        diff.updated.push((*b).clone());
                    }
                    old.next();
                    new.next();
                }
                (Some(a), b) if b.is_none_or(|b| a.span.from < b.span.from) => {
                    diff.deleted.push((*a).clone());
                    old.next();
                }
                (_, b) => {
                    diff.inserted.extend(b.map(|b| (*b).clone()));
                    new.next();
                }
            }
        }
    }
}

/// The complete stretches of a ledger.
pub fn complete(entries: &[LedgerEntry]) -> SpanSet {
    select(entries, |coverage| matches!(coverage, Coverage::Complete { .. }))
}

/// The stretches whose coverage satisfies a condition.
pub fn select(entries: &[LedgerEntry], wanted: impl Fn(&Coverage) -> bool) -> SpanSet {
    entries.iter().filter(|entry| wanted(&entry.coverage)).map(|entry| entry.span).collect()
}

#[cfg(test)]
mod tests;
