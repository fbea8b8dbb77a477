//! When a stretch of a series is told as a gap, and when as a gap no more: from its ledger before and
//! after a change. Pure.
//!
//! A gap is what is missing although it closed a while ago, except history that is still to be read:
//! the ordinary right edge is none, and neither is a first backfill. What was told and is complete or
//! unavailable afterwards is a gap no more, stretch by stretch. While a gap grows it is told again
//! each time that it has doubled, and what is left of its growth when it begins to close: few
//! messages, and what was told as open and not as closed is in the end exactly what is missing.

use chrono::{DateTime, TimeDelta, Utc};

use super::ledger::{Coverage, FROM_TRADES, LedgerEntry, NOT_FETCHED, complete};
use super::{Span, SpanSet};

/// What is told of a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GapNews {
    /// It is missing now, for that reason.
    Opened(Span, String),
    /// It is complete.
    Healed(Span),
    /// The venue does not have it, for that reason.
    Unavailable(Span, String),
}

/// True when what is missing for a reason is history that nobody has read yet.
pub fn is_history(reason: &str) -> bool {
    matches!(reason, NOT_FETCHED | FROM_TRADES)
}

/// Compares two states of a ledger (whole ones, or all of them that a change can touch). `told` is what
/// was told as open and not as closed, and becomes what is so afterwards. What is missing from `overdue`
/// on closed too recently to be a gap; `None`: it is not known, and none is told.
pub fn follow(
    told: &mut SpanSet,
    before: &[LedgerEntry],
    after: &[LedgerEntry],
    overdue: Option<DateTime<Utc>>,
) -> Vec<GapNews> {
    let mut news = Vec::new();
    let unavailable = || {
        after.iter().filter_map(|entry| match &entry.coverage {
            Coverage::Unavailable { reason } => Some((entry.span, reason)),
            Coverage::Complete { .. } | Coverage::Missing { .. } => None,
        })
    };
    let is_closing = |told: &SpanSet, span: Span| !told.within(span).is_empty();
    if let Some(overdue) = overdue {
        let closes = !told.is_empty()
            && (complete(after).spans().iter().any(|span| is_closing(told, *span))
                || unavailable().any(|(span, _)| is_closing(told, span)));
        // What closes now is told in full, as far as it was missing before.
        let states = if closes { &[before, after][..] } else { &[after][..] };
        for ledger in states {
            for (span, reason) in missing(ledger, overdue) {
                for untold in SpanSet::from_iter([span]).subtract(told).spans() {
                    let neighbour =
                        told.spans().iter().find(|known| known.to == untold.from || known.from == untold.to);
                    let is_told = match neighbour {
                        Some(known) => closes || untold.to - untold.from >= known.to - known.from,
                        None => std::ptr::eq(*ledger, after),
                    };
                    if is_told {
                        news.push(GapNews::Opened(*untold, reason.to_owned()));
                        told.insert(*untold);
                    }
                }
            }
        }
    }
    if told.is_empty() {
        return news;
    }
    for span in complete(after).spans() {
        news.extend(take(told, *span).map(GapNews::Healed));
    }
    for (span, reason) in unavailable() {
        news.extend(take(told, span).map(|part| GapNews::Unavailable(part, reason.clone())));
    }
    news
}

/// The gaps of a ledger. Neighbours are one gap, whatever their attempts, for the reason of the longest.
fn missing(ledger: &[LedgerEntry], overdue: DateTime<Utc>) -> Vec<(Span, &str)> {
    let mut gaps: Vec<(Span, &str)> = Vec::new();
    let mut longest = TimeDelta::zero();
    for LedgerEntry { span, coverage } in ledger {
        let Coverage::Missing { reason, .. } = coverage else { continue };
        let span = Span::new(span.from, span.to.min(overdue));
        if is_history(reason) || span.is_empty() {
            continue;
        }
        let length = span.to - span.from;
        match gaps.last_mut().filter(|(last, _)| last.to == span.from) {
            Some((last, said)) => {
                last.to = span.to;
                if length > longest {
                    (*said, longest) = (reason, length);
                }
            }
            None => {
                gaps.push((span, reason));
                longest = length;
            }
        }
    }
    gaps
}

/// Takes what lies inside a span out of a set.
fn take(told: &mut SpanSet, span: Span) -> impl Iterator<Item = Span> + use<> {
    let parts = told.within(span);
    told.remove(span);
    parts.spans().to_vec().into_iter()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::market::ledger::{JUST_CLOSED, LATE_BAR, LedgerChange, NOT_RUNNING, VENUE_HOLE, apply, select};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute)
    }

    fn minutes(from: i64, to: i64) -> Span {
        Span::new(at(from), at(to))
    }

    const DONE: Coverage = Coverage::Complete { verified: true };

    /// A series whose changes are followed.
    #[derive(Default)]
    struct Followed {
        ledger: Vec<LedgerEntry>,
        told: SpanSet,
    }

    impl Followed {
        fn set(&mut self, from: i64, to: i64, coverage: Coverage, overdue: i64) -> Vec<GapNews> {
            let after = apply(&self.ledger, &[LedgerChange::Set(minutes(from, to), coverage)], None);
            let before = std::mem::replace(&mut self.ledger, after);
            follow(&mut self.told, &before, &self.ledger, Some(at(overdue)))
        }
    }

    fn opened(from: i64, to: i64, reason: &str) -> GapNews {
        GapNews::Opened(minutes(from, to), reason.to_owned())
    }

    #[test]
    fn the_right_edge_and_history_are_no_gaps() {
        let mut series = Followed::default();
        assert_eq!(series.set(0, 1000, Coverage::missing(NOT_FETCHED), 2000), []);
        assert_eq!(series.set(400, 600, Coverage::missing(FROM_TRADES), 2000), []);
        assert_eq!(series.set(1000, 1002, Coverage::missing(JUST_CLOSED), 1000), []);
        assert_eq!(series.set(0, 1002, DONE, 1000), [], "what was never told is not told as healed");
    }

    #[test]
    fn a_gap_is_told_once_overdue_and_healed_stretch_by_stretch() {
        let mut series = Followed::default();
        series.set(0, 10, DONE, 8);
        assert_eq!(series.set(10, 100, Coverage::missing(NOT_RUNNING), 98), [opened(10, 98, NOT_RUNNING)]);
        assert_eq!(series.set(10, 10, DONE, 98), [], "nothing new");
        let told = [opened(98, 100, NOT_RUNNING), GapNews::Healed(minutes(60, 100))];
        assert_eq!(series.set(60, 100, DONE, 100), told, "what had grown is told when it begins to close");
        let gone = Coverage::Unavailable { reason: VENUE_HOLE.to_owned() };
        let hole = GapNews::Unavailable(minutes(20, 21), VENUE_HOLE.to_owned());
        assert_eq!(series.set(20, 21, gone, 100), [hole]);
        let healed = [GapNews::Healed(minutes(10, 20)), GapNews::Healed(minutes(21, 60))];
        assert_eq!(series.set(10, 60, DONE, 100), healed);
        assert_eq!(series.told, SpanSet::new());
    }

    #[test]
    fn a_gap_that_grows_for_hours_is_told_a_few_times() {
        let mut series = Followed::default();
        series.set(0, 10, DONE, 8);
        let mut told = Vec::new();
        for minute in 10..490 {
            told.extend(series.set(minute, minute + 1, Coverage::missing(JUST_CLOSED), minute - 1));
        }
        let spans = [(10, 11), (11, 12), (12, 14), (14, 18), (18, 26), (26, 42), (42, 74), (74, 138), (138, 266)];
        assert_eq!(told, spans.map(|(from, to)| opened(from, to, JUST_CLOSED)));
        let rest = [opened(266, 489, JUST_CLOSED), GapNews::Healed(minutes(10, 489))];
        assert_eq!(series.set(10, 490, DONE, 489), rest);
    }

    #[test]
    fn what_is_missing_for_several_reasons_is_one_gap() {
        let mut series = Followed::default();
        series.set(0, 10, DONE, 0);
        let late = |attempts| Coverage::Missing { reason: LATE_BAR.to_owned(), attempts, next_attempt_at: None };
        series.set(10, 11, late(2), 0);
        series.set(11, 12, late(1), 0);
        assert_eq!(series.set(12, 50, Coverage::missing(NOT_RUNNING), 50), [opened(10, 50, NOT_RUNNING)]);
    }

    #[test]
    fn without_an_edge_none_is_told_and_what_was_told_still_heals() {
        let mut told = SpanSet::from_iter([minutes(3, 5)]);
        let late = vec![LedgerEntry { span: minutes(0, 9), coverage: Coverage::missing(NOT_RUNNING) }];
        assert_eq!(follow(&mut told, &late, &late, None), []);
        let done = vec![LedgerEntry { span: minutes(0, 9), coverage: DONE }];
        assert_eq!(follow(&mut told, &late, &done, None), [GapNews::Healed(minutes(3, 5))]);
    }

    proptest! {
        #[test]
        fn who_adds_up_what_is_told_has_what_is_missing(
            steps in prop::collection::vec((0i64..60, 1i64..20, 0usize..4), 1..40)
        ) {
            let mut series = Followed::default();
            let mut heard = SpanSet::new();
            for (from, length, kind) in steps {
                let coverage = match kind {
                    0 => Coverage::missing(NOT_RUNNING),
                    1 => Coverage::missing(NOT_FETCHED),
                    2 => Coverage::Unavailable { reason: VENUE_HOLE.to_owned() },
                    _ => DONE,
                };
                for news in series.set(from, from + length, coverage, 1000) {
                    match news {
                        GapNews::Opened(span, _) => {
                            prop_assert!(heard.within(span).is_empty(), "{span} was told before");
                            heard.insert(span);
                        }
                        GapNews::Healed(span) | GapNews::Unavailable(span, _) => {
                            prop_assert!(heard.covers(span), "{span} was not told");
                            heard.remove(span);
                        }
                    }
                }
                prop_assert_eq!(&heard, &series.told);
                let missing = select(&series.ledger, |c| matches!(c, Coverage::Missing { .. }));
                prop_assert!(heard.subtract(&missing).is_empty(), "nothing is open that is not missing");
            }
        }
    }
}
