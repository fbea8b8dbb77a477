//! Rows that do not come: late, absent for good, or gone with the venue's newest rows.

use super::*;

#[test]
fn a_late_bar_is_asked_for_again_after_the_listed_delays_and_found() {
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 10, DONE)]);
    observe(&mut book, settled(11));
    let call = book.urgent_call(settled(11));
    answer(&mut book, call, &[7, 8, 9, 11], settled(11));
    let again = settled(11) + TimeDelta::seconds(2);
    assert_eq!(book.entries(), [entry(0, 10, DONE), entry(10, 11, missing(LATE_BAR, 1, again))]);
    assert_eq!((book.wake_at(settled(11)), book.urgent_call(settled(11))), (again, None));
    let call = book.urgent_call(again);
    assert_eq!(call.map(|call| (call.span.to, call.priority)), Some((t(11), Priority::Live)));
    answer(&mut book, call, &[8, 9], again);
    let third = settled(11) + TimeDelta::seconds(5);
    assert_eq!(book.entries()[1], entry(10, 11, missing(LATE_BAR, 2, third)), "delays count from the first read");
    let call = book.urgent_call(third);
    answer(&mut book, call, &[8, 9, 10, 11], third);
    assert_eq!(book.entries(), [entry(0, 10, DONE), entry(10, 11, UNVERIFIED)]);
}

#[test]
fn a_bar_that_is_late_costs_the_next_one_no_attempt_before_it_is_due() {
    let later = t(60);
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 9, DONE), entry(9, 10, missing(LATE_BAR, 4, later))]);
    observe(&mut book, settled(11));
    let call = book.urgent_call(settled(11));
    assert_eq!(call, live(7, 11));
    answer(&mut book, call, &[7, 8, 10], settled(11));
    assert_eq!(
        book.entries(),
        [entry(0, 9, DONE), entry(9, 10, missing(LATE_BAR, 4, later)), entry(10, 11, UNVERIFIED)]
    );
}

#[test]
fn a_row_absent_between_two_rows_is_a_hole_once_a_second_read_confirms_it() {
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 4, DONE), entry(4, 8, Coverage::missing(NOT_FETCHED))]);
    observe(&mut book, settled(20));
    book.stored(&[LedgerChange::Set(s(8, 20), DONE)], book.extent());
    let call = book.background_call(settled(20));
    assert_eq!(call, backfill(1, 11));
    answer(&mut book, call, &[1, 2, 3, 4, 6, 7, 8, 9, 10], settled(20));
    let again = settled(20) + TimeDelta::seconds(2);
    assert_eq!(book.entries(), [entry(0, 5, DONE), entry(5, 6, missing(VENUE_HOLE, 1, again)), entry(6, 20, DONE)]);
    let call = book.urgent_call(again);
    assert_eq!(call.map(|call| call.priority), Some(Priority::Repair));
    let conclusion = answer(&mut book, call, &[2, 3, 4, 6, 7, 8], again);
    assert_eq!(conclusion.candles.len(), 6);
    assert_eq!(book.entries(), [entry(0, 5, DONE), entry(5, 6, gone("venue_hole: rest")), entry(6, 20, DONE)]);
    assert_eq!((book.urgent_call(t(99)), book.background_call(t(19))), (None, None));
}

#[test]
fn what_has_left_the_venues_newest_rows_is_too_old_without_a_call() {
    let rules = SeriesRules { depth: Depth::NewestRows(20), honours_end: false, ..rules(QuietPolicy::Emits) };
    let (mut book, changes) = Book::open(rules, t(0), vec![], None, settled(40));
    book.stored(&changes, book.extent());
    let retired = book.retire(settled(40));
    assert_eq!(retired, [LedgerChange::Set(s(0, 21), gone(TOO_OLD))], "19 closed rows and the forming one");
    book.stored(&retired, book.extent());
    assert_eq!(book.retire(settled(40)), []);
    let call = book.background_call(settled(40));
    assert_eq!(call, backfill(18, 40), "one page takes all that is left");
    answer(&mut book, call, &(21..41).collect::<Vec<_>>(), settled(40));
    assert_eq!(book.entries(), [entry(0, 21, gone(TOO_OLD)), entry(21, 37, DONE), entry(37, 40, UNVERIFIED)]);
}

#[test]
fn where_quiet_buckets_have_no_rows_a_depth_in_rows_retires_nothing_unasked() {
    let rules = SeriesRules { depth: Depth::NewestRows(20), ..rules(QuietPolicy::Omits) };
    let book = book(rules, &[entry(0, 40, Coverage::missing(NOT_FETCHED))]);
    assert_eq!(book.retire(settled(40)), []);
    let aged = SeriesRules { depth: Depth::Age(Duration::from_secs(600)), ..rules };
    let book = self::book(aged, &[entry(0, 40, Coverage::missing(NOT_FETCHED))]);
    assert_eq!(book.retire(settled(40)), [LedgerChange::Set(s(0, 31), gone(TOO_OLD))]);
}
