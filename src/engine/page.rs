//! What a REST page proves. A page claims coverage for what it returned and for what lies between
//! its rows, never for what was asked.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::exchange::QuietPolicy;
use crate::market::{Candle, Grid, Span, SpanSet};

/// The venue data a page is judged by.
#[derive(Debug, Clone, Copy)]
pub struct PageRules {
    /// Bucket borders.
    pub grid: Grid,
    /// What the venue prints for quiet buckets.
    pub quiet: QuietPolicy,
    /// How long after its close a row is trustworthy.
    pub settle: Duration,
    /// How old a bucket must be before its absence proves something.
    pub settle_empty: Duration,
}

/// A decoded page with the circumstances of its request.
#[derive(Debug, Clone)]
pub struct Page {
    /// What was asked for.
    pub asked: Span,
    /// Rows, oldest first, forming ones included.
    pub rows: Vec<Candle>,
    /// Venue time when the request left: what finality is judged by.
    pub sent_at: DateTime<Utc>,
}

/// What a page proves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// Rows whose bucket had closed and settled when the request left.
    pub finals: Vec<Candle>,
    /// Stretches now complete: the final rows and buckets proven empty.
    pub complete: SpanSet,
    /// Absent between two rows of a venue that prints quiet buckets, and old enough to mean it.
    pub holes: SpanSet,
    /// The row of the bucket that was open when the request left.
    pub forming: Option<Candle>,
    /// Rows off the grid, out of order or not finite: counted and left out.
    pub refused_rows: u32,
}

/// Judges a page.
pub fn judge(rules: &PageRules, page: &Page) -> Findings {
    let grid = &rules.grid;
    let mut findings = Findings::default();
    let mut previous: Option<DateTime<Utc>> = None;
    let settled_by = page.sent_at - rules.settle;
    let empty_by = page.sent_at - rules.settle_empty;
    for row in &page.rows {
        let open = row.open_time;
        if !grid.is_border(open) || !row.is_storable() || previous.is_some_and(|previous| open <= previous) {
            findings.refused_rows += 1;
            continue;
        }
        if let Some(previous) = previous {
            let between = Span::new(grid.next_open(previous), open);
            match rules.quiet {
                _ if between.is_empty() => {}
                // A hole at a venue that prints quiet buckets may still be a late bar.
                QuietPolicy::Emits => findings.holes.insert(older_part(grid, between, empty_by)),
                QuietPolicy::Omits => findings.complete.insert(older_part(grid, between, settled_by)),
                // The flat bar may still come.
                QuietPolicy::Mixed => findings.complete.insert(older_part(grid, between, empty_by)),
            }
        }
        previous = Some(open);
        if grid.close_of(open) <= settled_by {
            findings.complete.insert(Span::new(open, grid.next_open(open)));
            findings.finals.push(*row);
        } else {
            findings.forming = Some(*row);
        }
    }
    // Behind the last row only age is a proof, and only where quiet buckets are left out.
    if let Some(last) = previous
        && rules.quiet != QuietPolicy::Emits
    {
        findings.complete.insert(older_part(grid, Span::new(grid.next_open(last), page.asked.to), empty_by));
    }
    findings
}

/// The part of a span whose buckets had closed by `limit`.
fn older_part(grid: &Grid, span: Span, limit: DateTime<Utc>) -> Span {
    if span.is_empty() {
        return span;
    }
    Span::new(span.from, span.to.min(grid.last_closed_end(limit).max(span.from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Timeframe;
    use chrono::TimeDelta;

    fn t(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + minute * 60, 0).unwrap()
    }

    fn row(minute: i64) -> Candle {
        Candle { volume: 1.0, trades: Some(3), ..Candle::flat(t(minute), 100.0) }
    }

    fn rules(quiet: QuietPolicy) -> PageRules {
        PageRules {
            grid: Grid::utc(Timeframe::M1),
            quiet,
            settle: Duration::from_secs(2),
            settle_empty: Duration::from_secs(300),
        }
    }

    fn page(minutes: &[i64], sent_at: DateTime<Utc>) -> Page {
        Page { asked: Span::new(t(0), t(60)), rows: minutes.iter().map(|m| row(*m)).collect(), sent_at }
    }

    fn spans(set: &SpanSet) -> Vec<(i64, i64)> {
        let minute = |time: DateTime<Utc>| (time - t(0)).num_minutes();
        set.spans().iter().map(|s| (minute(s.from), minute(s.to))).collect()
    }

    #[test]
    fn finality_is_judged_by_the_time_the_request_left_not_by_position() {
        let early = judge(&rules(QuietPolicy::Emits), &page(&[0, 1], t(2) + TimeDelta::milliseconds(1999)));
        assert_eq!(early.finals, vec![row(0)]);
        assert_eq!(early.forming, Some(row(1)));
        assert_eq!(spans(&early.complete), [(0, 1)]);
        let late = judge(&rules(QuietPolicy::Emits), &page(&[0, 1], t(2) + TimeDelta::seconds(2)));
        assert_eq!(late.finals, vec![row(0), row(1)], "the last row of a page is final when it had settled");
        assert_eq!(late.forming, None);
    }

    #[test]
    fn nothing_is_claimed_before_the_first_row_or_for_an_empty_page() {
        let findings = judge(&rules(QuietPolicy::Omits), &page(&[5, 6], t(7) + TimeDelta::seconds(2)));
        assert_eq!(spans(&findings.complete), [(5, 7)]);
        let empty = judge(&rules(QuietPolicy::Omits), &page(&[], t(600)));
        assert_eq!(empty, Findings::default());
    }

    #[test]
    fn a_hole_between_rows_is_empty_where_quiet_buckets_are_omitted() {
        let findings = judge(&rules(QuietPolicy::Omits), &page(&[1, 4], t(5) + TimeDelta::seconds(2)));
        assert_eq!(spans(&findings.complete), [(1, 5)]);
        assert!(findings.holes.is_empty());
    }

    #[test]
    fn where_flat_bars_may_come_late_only_age_makes_a_hole_between_rows_empty() {
        let young = judge(&rules(QuietPolicy::Mixed), &page(&[1, 4], t(5) + TimeDelta::seconds(2)));
        assert_eq!(spans(&young.complete), [(1, 2), (4, 5)]);
        let old = judge(&rules(QuietPolicy::Mixed), &page(&[1, 4], t(9)));
        assert_eq!(spans(&old.complete), [(1, 5)]);
        assert!(young.holes.is_empty() && old.holes.is_empty());
    }

    #[test]
    fn a_hole_between_rows_is_a_venue_hole_where_quiet_buckets_are_printed_but_only_once_old() {
        let young = judge(&rules(QuietPolicy::Emits), &page(&[1, 4], t(5) + TimeDelta::seconds(2)));
        assert_eq!((spans(&young.complete), spans(&young.holes)), (vec![(1, 2), (4, 5)], vec![]));
        let old = judge(&rules(QuietPolicy::Emits), &page(&[1, 4], t(10)));
        assert_eq!((spans(&old.complete), spans(&old.holes)), (vec![(1, 2), (4, 5)], vec![(2, 4)]));
    }

    #[test]
    fn the_end_of_a_page_counts_as_empty_only_when_it_is_old_enough() {
        let mut asked = page(&[1], t(20));
        asked.asked = Span::new(t(0), t(18));
        let findings = judge(&rules(QuietPolicy::Mixed), &asked);
        assert_eq!(spans(&findings.complete), [(1, 15)], "only up to settle_empty before the request");
        let emits = judge(&rules(QuietPolicy::Emits), &asked);
        assert_eq!(spans(&emits.complete), [(1, 2)]);
    }

    #[test]
    fn rows_off_the_grid_or_out_of_order_are_refused() {
        let mut broken = page(&[3, 2, 4], t(100));
        broken.rows[2].open_time += TimeDelta::seconds(7);
        broken.rows.push(Candle { high: f64::NAN, ..row(6) });
        let findings = judge(&rules(QuietPolicy::Emits), &broken);
        assert_eq!((findings.finals, findings.refused_rows), (vec![row(3)], 3));
    }
}
