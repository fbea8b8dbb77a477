//! Markets with trading hours: still between sessions, joined across the night.

use chrono::NaiveTime;

use super::*;
use crate::market::{Anchors, Session};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn new_york(timeframe: Timeframe) -> SeriesRules {
    let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
    let session = Session { zone: chrono_tz::America::New_York, open: time(9, 30), close: time(16, 0) };
    let anchors = Anchors { intraday_shift_s: 1800, session: Some(session), ..Anchors::default() };
    let rules = rules(QuietPolicy::Omits);
    SeriesRules { page: PageRules { grid: Grid::new(timeframe, anchors), ..rules.page }, ..rules }
}

#[test]
fn a_session_market_stands_still_from_fridays_last_bar_to_mondays_first() {
    let friday = Span::new(at("2026-11-20T20:00:00Z"), at("2026-11-20T21:00:00Z"));
    let entries = vec![LedgerEntry { span: friday, coverage: DONE }];
    let now = at("2026-11-20T21:00:02Z");
    let (mut book, changes) = Book::open(new_york(Timeframe::M1), friday.from, entries, Some(friday.to), now);
    assert_eq!(changes, []);
    let monday = at("2026-11-23T14:31:02Z");
    assert_eq!((book.next_close_at(), book.wake_at(now)), (monday, monday));
    for quiet in ["2026-11-20T23:00:00Z", "2026-11-22T15:00:00Z", "2026-11-23T14:31:01Z"] {
        assert_eq!(book.observe(at(quiet), None), None, "{quiet}");
        assert_eq!(book.wake_at(at(quiet)), monday);
    }
    assert_eq!(observe(&mut book, monday), Some(Span::new(friday.to, at("2026-11-23T14:31:00Z"))));
    let bar = |time: &str| Candle { open_time: at(time), ..row(0) };
    let mut calls = 0;
    let mut rows = ["2026-11-20T20:58:00Z", "2026-11-20T20:59:00Z", "2026-11-23T14:30:00Z"].map(bar).to_vec();
    let mut now = monday;
    while let Some(call) = book.urgent_call(now) {
        calls += 1;
        rows.retain(|row| row.open_time < now);
        let rows = rows.iter().filter(|row| call.span.contains(row.open_time)).copied().collect();
        let conclusion = book.conclude(&call, &Page { asked: call.span, rows, sent_at: now });
        book.stored(&conclusion.ledger, book.extent());
        book.concluded(&call, &conclusion);
        book.verified(&call, &conclusion, now);
        now = book.wake_at(now).min(at("2026-11-23T14:31:59Z"));
    }
    assert_eq!(calls, 3, "Monday's bar, a page before it in vain, and a read that joins it to Friday's");
    let all = Span::new(friday.from, at("2026-11-23T14:31:00Z"));
    assert_eq!(book.complete().spans(), [all]);
}

#[test]
fn the_last_hour_of_a_session_is_read_once_after_its_bucket_has_closed() {
    let edge = at("2026-11-20T20:30:00Z");
    let entries = vec![LedgerEntry { span: Span::new(at("2026-11-20T14:30:00Z"), edge), coverage: DONE }];
    let (mut book, _) = Book::open(new_york(Timeframe::H1), at("2026-11-20T14:30:00Z"), entries, Some(edge), edge);
    assert_eq!(book.next_close_at(), at("2026-11-20T21:30:02Z"));
    let last = Span::new(edge, at("2026-11-20T21:30:00Z"));
    assert_eq!(book.observe(at("2026-11-20T21:30:02Z"), None), Some(last));
    assert_eq!(book.observe(at("2026-11-22T00:00:00Z"), None), None);
    assert_eq!(book.next_close_at(), at("2026-11-23T15:30:02Z"));
}

#[test]
fn days_of_a_session_market_close_with_it_and_weekends_have_none() {
    let days = Span::new(at("2026-11-18T00:00:00Z"), at("2026-11-20T00:00:00Z"));
    let entries = vec![LedgerEntry { span: days, coverage: DONE }];
    let (mut book, changes) = Book::open(
        new_york(Timeframe::D1),
        at("2026-11-18T15:00:00Z"),
        entries,
        Some(days.to),
        at("2026-11-20T21:00:01Z"),
    );
    assert_eq!((changes, book.extent()), (vec![], days));
    assert_eq!(book.next_close_at(), at("2026-11-20T21:00:02Z"));
    let friday = Span::new(days.to, at("2026-11-21T00:00:00Z"));
    assert_eq!(observe(&mut book, at("2026-11-20T21:00:02Z")), Some(friday));
    assert_eq!(observe(&mut book, at("2026-11-23T20:00:00Z")), None);
    assert_eq!(book.next_close_at(), at("2026-11-23T21:00:02Z"));
    let monday = Span::new(friday.to, at("2026-11-24T00:00:00Z"));
    assert_eq!(observe(&mut book, at("2026-11-23T21:00:02Z")), Some(monday));
}
