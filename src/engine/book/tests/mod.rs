//! One example for each promise of the book, on minutes of a venue with pages of 20 rows.

mod absent;
mod again;
mod distrust;
mod sessions;
mod verification;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::engine::budget::Priority;
use crate::engine::page::{Page, PageRules};
use crate::exchange::{Depth, QuietPolicy};
use crate::market::ledger::{BEFORE_LISTING, JUST_CLOSED, LATE_BAR, NOT_SERVED, TOO_OLD, VENUE_HOLE};
use crate::market::{Candle, Timeframe};

const DELAYS: &[Duration] = &[Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];
const DONE: Coverage = Coverage::Complete { verified: true };
const UNVERIFIED: Coverage = Coverage::Complete { verified: false };

fn t(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_183_200 + minute * 60, 0).unwrap()
}

/// Two seconds after a minute began: what closed with it has settled.
fn settled(minute: i64) -> DateTime<Utc> {
    t(minute) + TimeDelta::seconds(2)
}

fn s(from: i64, to: i64) -> Span {
    Span::new(t(from), t(to))
}

fn row(minute: i64) -> Candle {
    Candle { volume: 1.0, trades: Some(3), ..Candle::flat(t(minute), 100.0) }
}

fn rules(quiet: QuietPolicy) -> SeriesRules {
    SeriesRules {
        page: PageRules {
            grid: Grid::utc(Timeframe::M1),
            quiet,
            settle: Duration::from_secs(2),
            settle_empty: Duration::from_secs(180),
        },
        depth: Depth::Full,
        page_limit_rows: 20,
        page_limit_span: None,
        honours_end: true,
        late_bar_delays: DELAYS,
        from_trades: FromTrades::Never,
    }
}

fn missing(reason: &str, attempts: u32, next_attempt_at: DateTime<Utc>) -> Coverage {
    Coverage::Missing { reason: reason.to_owned(), attempts, next_attempt_at: Some(next_attempt_at) }
}

fn gone(reason: &str) -> Coverage {
    Coverage::Unavailable { reason: reason.to_owned() }
}

fn entry(from: i64, to: i64, coverage: Coverage) -> LedgerEntry {
    LedgerEntry { span: s(from, to), coverage }
}

fn live(from: i64, to: i64) -> Option<Call> {
    Some(Call { span: s(from, to), priority: Priority::Live })
}

fn repair(from: i64, to: i64) -> Option<Call> {
    Some(Call { span: s(from, to), priority: Priority::Repair })
}

fn backfill(from: i64, to: i64) -> Option<Call> {
    Some(Call { span: s(from, to), priority: Priority::Backfill })
}

fn verification(from: i64, to: i64) -> Option<Call> {
    Some(Call { span: s(from, to), priority: Priority::Verification })
}

/// A book whose ledger is `entries`, with its edge at the end of the last one.
fn book(rules: SeriesRules, entries: &[LedgerEntry]) -> Book {
    let (from, to) = (entries[0].span.from, entries[entries.len() - 1].span.to);
    let (book, changes) = Book::open(rules, from, entries.to_vec(), Some(to), to + TimeDelta::seconds(2));
    assert_eq!(changes, []);
    book
}

/// Lets the edge follow the clock, as a poller does.
fn observe(book: &mut Book, now: DateTime<Utc>) -> Option<Span> {
    let span = book.observe(now, None)?;
    book.stored(&[LedgerChange::Set(span, Coverage::missing(JUST_CLOSED))], book.extent());
    Some(span)
}

/// Answers a call with rows of these minutes and stores what follows from it.
fn answer(book: &mut Book, call: Option<Call>, minutes: &[i64], sent_at: DateTime<Utc>) -> Conclusion {
    let call = call.unwrap();
    let rows = minutes.iter().map(|minute| row(*minute)).collect();
    let page = Page { asked: call.span, rows, sent_at };
    let conclusion = book.conclude(&call, &page);
    book.stored(&conclusion.ledger, book.extent());
    book.concluded(&call, &conclusion);
    book.verified(&call, &conclusion, sent_at);
    conclusion
}

#[test]
fn a_closed_minute_costs_one_call_that_reads_three_more_again() {
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 10, DONE)]);
    assert_eq!((book.next_close_at(), book.wake_at(settled(10))), (settled(11), settled(11)));
    assert_eq!(observe(&mut book, settled(11) - TimeDelta::milliseconds(1)), None);
    assert_eq!((book.urgent_call(settled(10)), book.background_call(settled(10))), (None, None));
    assert_eq!(observe(&mut book, settled(11)), Some(s(10, 11)));
    let call = book.urgent_call(settled(11));
    assert_eq!(call, live(7, 11));
    let conclusion = answer(&mut book, call, &[7, 8, 9, 10, 11], settled(11));
    assert_eq!(conclusion.candles, [row(7), row(8), row(9), row(10)]);
    assert_eq!(conclusion.forming, Some(row(11)));
    assert_eq!(book.entries(), [entry(0, 10, DONE), entry(10, 11, UNVERIFIED)]);
    assert_eq!((book.urgent_call(settled(11)), book.wake_at(settled(11))), (None, settled(12)));
}

#[test]
fn a_gap_is_what_is_missing_two_minutes_after_it_settled_and_is_no_history() {
    let lost = Coverage::missing(NOT_RUNNING);
    let entries = [entry(0, 3, Coverage::missing(NOT_FETCHED)), entry(3, 5, lost), entry(5, 10, DONE)];
    let mut book = book(rules(QuietPolicy::Emits), &entries);
    let gaps = |book: &Book, now| book.gaps(now).collect::<Vec<_>>();
    assert_eq!(gaps(&book, settled(10)), [s(3, 5)]);
    observe(&mut book, settled(11));
    assert_eq!(gaps(&book, settled(13) - TimeDelta::milliseconds(1)), [s(3, 5)]);
    assert_eq!(gaps(&book, settled(13)), [s(3, 5), s(10, 11)]);
    book.stored(&[LedgerChange::Set(s(3, 4), DONE), LedgerChange::Set(s(10, 11), gone(NOT_SERVED))], book.extent());
    assert_eq!(gaps(&book, settled(13)), [s(4, 5)]);
}

#[test]
fn everything_missed_is_asked_for_in_one_call_when_it_fits_a_page() {
    let lost = Coverage::missing("disconnected");
    let mut book = book(
        rules(QuietPolicy::Emits),
        &[entry(0, 4, DONE), entry(4, 6, lost.clone()), entry(6, 9, DONE), entry(9, 11, lost), entry(11, 12, DONE)],
    );
    assert_eq!(book.urgent_call(settled(12)), repair(1, 12));
    observe(&mut book, settled(13));
    let call = book.urgent_call(settled(13));
    assert_eq!(call, live(1, 13));
    answer(&mut book, call, &(1..13).collect::<Vec<_>>(), settled(13));
    assert_eq!(
        book.entries(),
        [entry(0, 10, DONE), entry(10, 11, UNVERIFIED), entry(11, 12, DONE), entry(12, 13, UNVERIFIED)]
    );
}

#[test]
fn a_longer_outage_is_repaired_page_by_page_from_the_new_end() {
    let mut book =
        book(rules(QuietPolicy::Emits), &[entry(0, 4, DONE), entry(4, 40, Coverage::missing("disconnected"))]);
    let first = book.urgent_call(settled(40));
    assert_eq!(first, repair(23, 40));
    answer(&mut book, first, &(23..40).collect::<Vec<_>>(), settled(40));
    let second = book.urgent_call(settled(40));
    assert_eq!(second, repair(6, 26));
    answer(&mut book, second, &(6..26).collect::<Vec<_>>(), settled(40));
    let third = book.urgent_call(settled(40));
    assert_eq!(third, repair(1, 9));
    answer(&mut book, third, &(1..9).collect::<Vec<_>>(), settled(40));
    assert_eq!(book.entries(), [entry(0, 37, DONE), entry(37, 40, UNVERIFIED)]);
}

#[test]
fn history_is_read_from_the_new_end_one_page_at_a_time() {
    let (mut book, changes) = Book::open(rules(QuietPolicy::Emits), t(0), vec![], None, settled(40));
    assert_eq!(changes, [LedgerChange::Set(s(0, 40), Coverage::missing(NOT_FETCHED))]);
    book.stored(&changes, book.extent());
    assert_eq!((book.urgent_call(settled(40)), book.is_backfilling()), (None, true));
    let mut spans = Vec::new();
    while let Some(call) = book.background_call(settled(40)) {
        spans.push(call.span);
        let minutes = (-9..40).filter(|minute| call.span.contains(t(*minute))).collect::<Vec<_>>();
        answer(&mut book, Some(call), &minutes, settled(40));
    }
    assert_eq!(spans, [s(23, 40), s(6, 26), s(-3, 9)]);
    assert_eq!(book.entries(), [entry(0, 37, DONE), entry(37, 40, UNVERIFIED)]);
    assert!(!book.is_backfilling());
    assert_eq!(book.shares(), (1.0, 1.0));
}

#[test]
fn a_listing_younger_than_wanted_is_asked_for_whole_and_found_out_in_five_reads() {
    let entries = [entry(0, 100, Coverage::missing(NOT_FETCHED)), entry(100, 120, DONE)];
    let mut book = book(rules(QuietPolicy::Emits), &entries);
    let mut now = settled(120);
    let mut asked = Vec::new();
    let mut waited = Vec::new();
    while let Some(call) = book.background_call(now) {
        asked.push(call.span);
        answer(&mut book, Some(call), &[100, 101, 102], now);
        match &book.entries()[0].coverage {
            Coverage::Missing { next_attempt_at: Some(at), .. } => {
                waited.push((*at - now).num_seconds());
                assert_eq!(book.background_call(*at - TimeDelta::milliseconds(1)), None);
                now = *at;
            }
            coverage => assert_eq!(coverage, &gone(BEFORE_LISTING)),
        }
    }
    assert_eq!(asked[0], s(83, 103));
    assert!(asked[1..].iter().all(|span| span.from <= t(-10) && span.to == t(103)), "{asked:?}");
    assert_eq!((asked.len(), waited), (5, vec![2, 3, 10, 30]));
    assert_eq!(book.entries(), [entry(0, 100, gone(BEFORE_LISTING)), entry(100, 120, DONE)]);
    assert_eq!(book.shares(), (1.0 / 6.0, 1.0));
}

#[test]
fn history_between_complete_parts_that_is_never_served_says_so() {
    let lost = Coverage::Missing { reason: NOT_FETCHED.into(), attempts: 4, next_attempt_at: None };
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 5, DONE), entry(5, 9, lost), entry(9, 60, DONE)]);
    let call = book.background_call(settled(60));
    assert_eq!(call, backfill(-5, 12));
    answer(&mut book, call, &[], settled(60));
    assert_eq!(book.entries(), [entry(0, 5, DONE), entry(5, 9, gone(NOT_SERVED)), entry(9, 60, DONE)]);
}

#[test]
fn young_buckets_are_never_given_up() {
    let late = |attempts| missing(LATE_BAR, attempts, settled(10));
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 9, DONE), entry(9, 10, late(7))]);
    let call = book.urgent_call(settled(10));
    answer(&mut book, call, &[6, 7, 8], settled(10));
    let next = settled(10) + TimeDelta::seconds(15 * 32);
    assert_eq!(book.entries(), [entry(0, 9, DONE), entry(9, 10, missing(LATE_BAR, 8, next))]);
    assert_eq!(rules(QuietPolicy::Emits).retry_delay(60), Duration::from_secs(3600), "the longest wait is an hour");
}

#[test]
fn progress_forgets_earlier_failures() {
    let lost = missing("disconnected", 3, settled(50));
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 10, DONE), entry(10, 16, lost), entry(16, 50, DONE)]);
    let call = book.urgent_call(settled(50));
    answer(&mut book, call, &[10, 11, 12], settled(50));
    let left = entry(13, 16, Coverage::missing("disconnected"));
    assert_eq!(book.entries(), [entry(0, 13, DONE), left, entry(16, 50, DONE)]);
}

#[test]
fn unverified_minutes_are_gathered_and_confirmed_in_one_call() {
    let entries = [entry(0, 5, DONE), entry(5, 7, UNVERIFIED), entry(7, 9, DONE), entry(9, 16, UNVERIFIED)];
    let mut book = book(rules(QuietPolicy::Emits), &entries);
    let gathered = settled(16);
    assert_eq!(book.background_call(gathered - TimeDelta::milliseconds(1)), None);
    let call = book.background_call(gathered);
    assert_eq!(call, verification(2, 16), "with the buckets around them");
    answer(&mut book, call, &(2..16).collect::<Vec<_>>(), gathered);
    assert_eq!(book.entries(), [entry(0, 13, DONE), entry(13, 16, UNVERIFIED)]);
}

#[test]
fn an_unverified_stretch_that_two_reads_do_not_confirm_rests_for_an_hour_or_until_unverified_again() {
    let entries = [entry(0, 5, DONE), entry(5, 6, UNVERIFIED), entry(6, 60, DONE)];
    let mut book = book(rules(QuietPolicy::Emits), &entries);
    // The second one begins far before it.
    for expected in [verification(2, 9), verification(-25, 9)] {
        let call = book.background_call(settled(60));
        assert_eq!(call, expected);
        answer(&mut book, call, &[], settled(60));
    }
    assert_eq!((book.background_call(settled(60)), book.background_call(settled(119))), (None, None));
    assert_eq!(book.entries(), entries);
    assert_eq!(book.background_call(settled(120)), verification(2, 9));
    book.stored(&[LedgerChange::Unverify(s(5, 6))], book.extent());
    assert_eq!(book.background_call(settled(60)), verification(2, 9));
}

#[test]
fn a_doubted_bucket_is_read_again_once() {
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 20, DONE)]);
    book.doubt(s(10, 11));
    let call = book.urgent_call(settled(20));
    assert_eq!(call, repair(7, 14));
    let conclusion = answer(&mut book, call, &(7..14).collect::<Vec<_>>(), settled(20));
    assert_eq!(conclusion.candles[3], row(10));
    assert_eq!((book.urgent_call(settled(20)), book.entries()), (None, [entry(0, 20, DONE)].as_slice()));
}

#[test]
fn where_pages_end_at_the_newest_bar_a_live_call_reads_the_history_before_it_too() {
    let rules = SeriesRules { honours_end: false, ..rules(QuietPolicy::Emits) };
    let (mut book, changes) = Book::open(rules, t(0), vec![], None, settled(10));
    book.stored(&changes, book.extent());
    observe(&mut book, settled(11));
    let call = book.urgent_call(settled(11));
    assert_eq!(call, live(-3, 11));
    answer(&mut book, call, &(0..12).collect::<Vec<_>>(), settled(11));
    assert_eq!(book.entries(), [entry(0, 8, DONE), entry(8, 11, UNVERIFIED)]);
    assert_eq!(book.background_call(settled(11)), None);
}

#[test]
fn a_restart_repairs_the_time_away_and_reads_history_wanted_anew() {
    let entries = vec![entry(10, 20, DONE)];
    let (mut book, changes) = Book::open(rules(QuietPolicy::Emits), t(5), entries, Some(t(20)), settled(30));
    assert_eq!(
        changes,
        [
            LedgerChange::Set(s(5, 10), Coverage::missing(NOT_FETCHED)),
            LedgerChange::Set(s(20, 30), Coverage::missing(NOT_RUNNING)),
        ]
    );
    book.stored(&changes, book.extent());
    let away = book.urgent_call(settled(30));
    assert_eq!(away, repair(17, 30));
    answer(&mut book, away, &(17..30).collect::<Vec<_>>(), settled(30));
    let history = book.background_call(settled(30));
    assert_eq!(history, backfill(2, 13));
    let conclusion = answer(&mut book, history, &(2..13).collect::<Vec<_>>(), settled(30));
    assert_eq!(conclusion.candles[0], row(5), "rows before the wanted stretch are left out");
    assert_eq!(book.entries(), [entry(5, 27, DONE), entry(27, 30, UNVERIFIED)]);
}

#[test]
fn the_stream_keeps_what_it_owns_and_waking_never_lies_in_the_past() {
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 10, DONE)]);
    assert_eq!(book.observe(settled(14), Some(t(12))), Some(s(10, 12)));
    assert_eq!(book.observe(settled(14), Some(t(12))), None);
    assert_eq!((book.next_close_at(), book.wake_at(settled(14))), (settled(13), settled(15)));
    book.observe_through(t(13));
    assert_eq!(book.extent(), s(0, 13));
}
