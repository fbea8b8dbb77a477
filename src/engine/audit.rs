//! Stored rows judged by what an exchange's answer proves. The ledger is asked only where neither a
//! row nor the answer says anything: what it claims is not believed. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::page::Findings;
use crate::exchange::QuietPolicy;
use crate::market::audit::{Finding, FindingKind};
use crate::market::ledger::{Coverage, LedgerEntry, NOT_SERVED};
use crate::market::{Candle, Grid, Span};

/// What is stored of a stretch.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Rows, oldest first; some may start inside a bucket.
    pub rows: &'a [Candle],
    /// The ledger, at least of the stretch.
    pub ledger: &'a [LedgerEntry],
}

/// What a stretch looks like beside the evidence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Buckets that are as they should be.
    pub equal: u64,
    /// Buckets that are not, oldest first.
    pub findings: Vec<Finding>,
    /// Buckets of known gaps that the answer did not fill.
    pub missing: u64,
    /// Buckets that cannot be compared, by reason.
    pub unavailable: BTreeMap<String, u64>,
    /// Rows of which the answer says nothing, though it was asked for their time.
    pub unproven: u64,
}

/// Where the evidence comes from.
#[derive(Debug, Clone, Copy)]
pub enum Evidence<'a> {
    /// What a page proves.
    Page(&'a Findings),
    /// There is none to be had, for this reason.
    None(&'a str),
}

/// Compares the buckets of `span`, which lies on borders.
pub fn compare(grid: &Grid, quiet: QuietPolicy, span: Span, held: Held<'_>, evidence: Evidence<'_>) -> Comparison {
    let nothing = Findings::default();
    let (proven, reason) = match evidence {
        Evidence::Page(findings) => (findings, NOT_SERVED),
        Evidence::None(reason) => (&nothing, reason),
    };
    let is_asked = matches!(evidence, Evidence::Page(_));
    let printed: BTreeMap<DateTime<Utc>, &Candle> = proven.finals.iter().map(|row| (row.open_time, row)).collect();
    let mut comparison = Comparison::default();
    let mut rows = held.rows.iter().filter(|row| span.contains(row.open_time)).peekable();
    for open in grid.opens(span) {
        let stored = rows.next_if(|row| row.open_time == open);
        let exchange = printed.get(&open).copied();
        let find = |kind| Finding {
            open_time: open,
            kind,
            stored: stored.copied(),
            exchange: exchange.copied(),
            repaired: false,
        };
        match (stored, exchange) {
            (Some(stored), Some(exchange)) if stored.agrees_with(exchange) => comparison.equal += 1,
            (Some(_), Some(_)) => comparison.findings.push(find(FindingKind::Differs)),
            (None, Some(_)) => comparison.findings.push(find(FindingKind::Missing)),
            (Some(_), None) if proven.complete.contains(open) || proven.holes.contains(open) => {
                comparison.findings.push(find(FindingKind::Invented));
            }
            (Some(_), None) => {
                comparison.unproven += u64::from(is_asked);
                *comparison.unavailable.entry(reason.to_owned()).or_default() += 1;
            }
            (None, None) => match coverage_at(held.ledger, open) {
                // Where every bucket is printed, a complete one without a row is one that was lost.
                Some(Coverage::Complete { .. }) if quiet == QuietPolicy::Emits => {
                    comparison.findings.push(find(FindingKind::Missing));
                }
                Some(Coverage::Complete { .. }) if is_asked => comparison.equal += 1,
                Some(Coverage::Complete { .. }) => *comparison.unavailable.entry(reason.to_owned()).or_default() += 1,
                Some(Coverage::Unavailable { reason }) => {
                    *comparison.unavailable.entry(reason.clone()).or_default() += 1;
                }
                Some(Coverage::Missing { .. }) | None if proven.complete.contains(open) => comparison.equal += 1,
                Some(Coverage::Missing { .. }) | None => comparison.missing += 1,
            },
        }
        // Rows that start inside the bucket belong to none.
        let next = grid.next_open(open);
        while let Some(row) = rows.next_if(|row| row.open_time < next) {
            let (open_time, kind) = (row.open_time, FindingKind::Invented);
            comparison.findings.push(Finding { open_time, kind, stored: Some(*row), exchange: None, repaired: false });
        }
    }
    comparison
}

/// What a ledger says of an instant.
pub fn coverage_at(ledger: &[LedgerEntry], time: DateTime<Utc>) -> Option<&Coverage> {
    let index = ledger.partition_point(|entry| entry.span.to <= time);
    ledger.get(index).filter(|entry| entry.span.contains(time)).map(|entry| &entry.coverage)
}

impl Comparison {
    /// Without the findings that a second look does not confirm: those buckets changed in between, or
    /// one of the two answers was wrong.
    pub fn confirmed_by(mut self, second: &Comparison) -> Comparison {
        let before = self.findings.len();
        let is_confirmed = |own: &Finding| {
            second.findings.iter().any(|other| (own.open_time, own.kind) == (other.open_time, other.kind))
        };
        self.findings.retain(is_confirmed);
        self.equal += (before - self.findings.len()) as u64;
        self
    }

    /// True when a row is contradicted: a second look decides.
    pub fn is_contradiction(&self) -> bool {
        self.findings.iter().any(|finding| finding.stored.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{SpanSet, Timeframe};
    use FindingKind::{Differs, Invented, Missing};

    fn t(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + minute * 60, 0).unwrap()
    }

    fn row(minute: i64, close: f64) -> Candle {
        Candle { close, volume: 1.0, trades: Some(3), ..Candle::flat(t(minute), 100.0) }
    }

    fn entry(from: i64, to: i64, coverage: Coverage) -> LedgerEntry {
        LedgerEntry { span: Span::new(t(from), t(to)), coverage }
    }

    fn page(rows: &[Candle], complete: &[(i64, i64)], holes: &[(i64, i64)]) -> Findings {
        let set =
            |spans: &[(i64, i64)]| spans.iter().map(|(from, to)| Span::new(t(*from), t(*to))).collect::<SpanSet>();
        Findings { finals: rows.to_vec(), complete: set(complete), holes: set(holes), ..Findings::default() }
    }

    const VERIFIED: Coverage = Coverage::Complete { verified: true };

    fn compared(quiet: QuietPolicy, rows: &[Candle], ledger: &[LedgerEntry], evidence: Evidence<'_>) -> Comparison {
        compare(&Grid::utc(Timeframe::M1), quiet, Span::new(t(0), t(6)), Held { rows, ledger }, evidence)
    }

    fn kinds(comparison: &Comparison) -> Vec<(DateTime<Utc>, FindingKind)> {
        comparison.findings.iter().map(|finding| (finding.open_time, finding.kind)).collect()
    }

    #[test]
    fn what_the_page_proves_decides_whatever_the_ledger_calls_it() {
        let stored = [row(0, 1.0), row(1, 2.0), row(3, 4.0), row(4, 5.0)];
        let proof = page(&[row(0, 1.0), row(1, 2.5), row(2, 3.0), row(4, 5.0)], &[(0, 5)], &[]);
        let found = compared(QuietPolicy::Omits, &stored, &[entry(0, 6, VERIFIED)], Evidence::Page(&proof));
        assert_eq!(kinds(&found), [(t(1), Differs), (t(2), Missing), (t(3), Invented)]);
        assert_eq!((found.equal, found.missing, found.unproven), (3, 0, 0), "minute 5 is empty here and there");
        assert_eq!((found.findings[0].stored, found.findings[0].exchange), (Some(row(1, 2.0)), Some(row(1, 2.5))));
        assert!(found.is_contradiction());
    }

    #[test]
    fn a_row_of_which_the_page_says_nothing_is_not_called_wrong() {
        let proof = page(&[row(2, 3.0)], &[(2, 3)], &[]);
        let found =
            compared(QuietPolicy::Omits, &[row(1, 2.0), row(2, 3.0)], &[entry(0, 6, VERIFIED)], Evidence::Page(&proof));
        assert_eq!((kinds(&found), found.unproven, found.equal), (vec![], 1, 5));
        assert_eq!(found.unavailable, BTreeMap::from([(NOT_SERVED.to_owned(), 1)]));
        assert!(!found.is_contradiction());
    }

    #[test]
    fn where_every_bucket_is_printed_a_complete_one_without_a_row_is_missing_and_a_hole_denies_a_row() {
        let proof = page(&[row(0, 1.0), row(3, 4.0)], &[(0, 1), (3, 4)], &[(1, 3)]);
        let found =
            compared(QuietPolicy::Emits, &[row(0, 1.0), row(1, 2.0)], &[entry(0, 6, VERIFIED)], Evidence::Page(&proof));
        assert_eq!(
            kinds(&found),
            [(t(1), Invented), (t(2), Missing), (t(3), Missing), (t(4), Missing), (t(5), Missing)]
        );
        assert_eq!(found.findings[2].exchange, Some(row(3, 4.0)));
    }

    #[test]
    fn known_gaps_are_told_by_what_the_ledger_says_of_them() {
        let gone = Coverage::Unavailable { reason: "before_listing: rest".to_owned() };
        let ledger = [entry(0, 2, gone), entry(2, 4, Coverage::missing("late_bar")), entry(4, 5, VERIFIED)];
        let found = compared(QuietPolicy::Omits, &[], &ledger, Evidence::None("too_old: rest"));
        let reasons = BTreeMap::from([("before_listing: rest".to_owned(), 2), ("too_old: rest".to_owned(), 1)]);
        assert_eq!((found.unavailable, found.missing, found.equal), (reasons, 3, 0), "minute 5 has no ledger");
        let proof = page(&[], &[(2, 3)], &[]);
        let found = compared(QuietPolicy::Omits, &[], &ledger, Evidence::Page(&proof));
        assert_eq!((found.missing, found.equal), (2, 2), "the page proves one of the gaps empty");
    }

    #[test]
    fn a_row_inside_a_bucket_is_invented_and_a_second_look_takes_back_what_it_does_not_see() {
        let odd = Candle { open_time: t(1) + chrono::TimeDelta::seconds(7), ..row(1, 9.0) };
        let proof = page(&[row(1, 2.0)], &[(1, 2)], &[]);
        let ledger = [entry(0, 6, VERIFIED)];
        let first = compared(QuietPolicy::Omits, &[row(1, 3.0), odd], &ledger, Evidence::Page(&proof));
        assert_eq!(kinds(&first), [(t(1), Differs), (odd.open_time, Invented)]);
        let second = compared(QuietPolicy::Omits, &[row(1, 2.0), odd], &ledger, Evidence::Page(&proof));
        let confirmed = first.confirmed_by(&second);
        assert_eq!((kinds(&confirmed), confirmed.equal), (vec![(odd.open_time, Invented)], 6));
    }
}
