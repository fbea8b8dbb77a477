//! What a venue's answer is not believed to say.

use super::*;

#[test]
fn a_venue_that_ignores_since_is_never_believed_to_have_answered() {
    let entries = [entry(0, 10, DONE), entry(10, 20, Coverage::missing("disconnected")), entry(20, 60, DONE)];
    let mut book = book(rules(QuietPolicy::Omits), &entries);
    let mut now = settled(60);
    let mut calls = 0;
    while let Some(call) = book.urgent_call(now) {
        calls += 1;
        assert!(calls <= 5, "{call:?}");
        answer(&mut book, Some(call), &(40..61).collect::<Vec<_>>(), now);
        now = book
            .entries()
            .iter()
            .find_map(|entry| match entry.coverage {
                Coverage::Missing { next_attempt_at, .. } => next_attempt_at,
                _ => None,
            })
            .unwrap_or(now);
    }
    assert_eq!(calls, 5);
    assert_eq!(book.entries(), [entry(0, 10, DONE), entry(10, 20, gone(NOT_SERVED)), entry(20, 60, DONE)]);
}

#[test]
fn a_page_that_may_have_been_cut_short_claims_nothing_behind_its_last_row() {
    let entries = [entry(0, 10, DONE), entry(10, 20, Coverage::missing("disconnected")), entry(20, 60, DONE)];
    let mut book = book(rules(QuietPolicy::Omits), &entries);
    let call = book.urgent_call(settled(60));
    assert_eq!(call, repair(7, 23));
    answer(&mut book, call, &[7, 8, 9, 12], settled(60));
    let left = entry(13, 20, Coverage::missing("disconnected"));
    assert_eq!(book.entries(), [entry(0, 13, DONE), left, entry(20, 60, DONE)]);
    // Only the last row again: now it is certain that nothing follows.
    let call = book.urgent_call(settled(60));
    assert_eq!(call, repair(10, 23));
    answer(&mut book, call, &[12], settled(60));
    assert_eq!(book.entries(), [entry(0, 60, DONE)]);
}

#[test]
fn a_young_bucket_that_looks_empty_is_confirmed_by_a_later_read() {
    let mut book = book(rules(QuietPolicy::Omits), &[entry(0, 10, DONE)]);
    observe(&mut book, settled(12));
    let call = book.urgent_call(settled(12));
    answer(&mut book, call, &[7, 8, 9, 11], settled(12));
    assert_eq!(book.entries(), [entry(0, 10, DONE), entry(10, 12, UNVERIFIED)]);
    observe(&mut book, settled(13));
    let call = book.urgent_call(settled(13));
    let conclusion = answer(&mut book, call, &[9, 10, 11, 12], settled(13));
    assert_eq!(conclusion.candles, [row(9), row(10), row(11), row(12)], "it was only late");
    assert_eq!(book.entries(), [entry(0, 10, DONE), entry(10, 13, UNVERIFIED)]);
}

#[test]
fn rows_that_are_not_of_this_series_are_counted_and_change_nothing() {
    let mut book = book(rules(QuietPolicy::Emits), &[entry(0, 10, DONE)]);
    observe(&mut book, settled(11));
    let call = book.urgent_call(settled(11)).unwrap();
    let off_grid = Candle { open_time: t(10) + TimeDelta::seconds(7), ..row(10) };
    let page = Page { asked: call.span, rows: vec![row(9), off_grid], sent_at: settled(11) };
    let conclusion = book.conclude(&call, &page);
    assert_eq!((conclusion.candles, conclusion.refused_rows), (vec![row(9)], 1));
}

#[test]
fn windows_bounded_in_time_are_never_exceeded() {
    let rules = SeriesRules { page_limit_span: Some(Duration::from_secs(600)), ..rules(QuietPolicy::Omits) };
    let mut book = book(rules, &[entry(0, 40, Coverage::missing(NOT_FETCHED)), entry(40, 60, DONE)]);
    let call = book.background_call(settled(60));
    assert_eq!(call, backfill(34, 43));
    answer(&mut book, call, &[], settled(60));
    let again = settled(60) + TimeDelta::seconds(2);
    assert_eq!(book.entries()[1], entry(34, 40, missing(NOT_FETCHED, 1, again)), "only what was asked is counted");
    assert_eq!(book.background_call(settled(60)), backfill(28, 37), "older history goes on meanwhile");
}
