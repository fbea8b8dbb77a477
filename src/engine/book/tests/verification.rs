//! What is complete and not verified is read again, and what an audit asks of a book.

use super::*;

#[test]
fn background_reads_verify_from_the_oldest_stretch_on_until_nothing_is_left() {
    let entries = [
        entry(0, 10, UNVERIFIED),
        entry(10, 30, DONE),
        entry(30, 75, UNVERIFIED),
        entry(75, 80, gone(VENUE_HOLE)),
        entry(80, 95, UNVERIFIED),
        entry(95, 100, DONE),
    ];
    let mut book = book(rules(QuietPolicy::Emits), &entries);
    let now = settled(200);
    let (mut starts, mut verified) = (Vec::new(), SpanSet::new());
    while let Some(call) = book.background_call(now) {
        assert_eq!(call.priority, Priority::Verification);
        assert!(starts.len() < 20, "it does not end: {:?}", book.entries());
        let oldest = book.entries().iter().find(|entry| entry.coverage == UNVERIFIED).unwrap().span;
        assert!(call.span.contains(oldest.from), "{call:?} leaves out the oldest: {oldest}");
        starts.push(oldest.from);
        let minutes: Vec<i64> = (0..100).filter(|minute| call.span.contains(t(*minute))).collect();
        answer(&mut book, Some(call), &minutes, now);
        verified = verified.union(&ledger::select(book.entries(), |coverage| *coverage == DONE));
    }
    assert!(starts.is_sorted() && starts.len() >= 5, "{starts:?}");
    assert!(verified.covers(s(0, 75)) && verified.covers(s(80, 100)), "{verified:?}");
    assert!(!book.entries().iter().any(|entry| entry.coverage == UNVERIFIED), "{:?}", book.entries());
}

#[test]
fn an_audit_reads_page_after_page_and_goes_on_where_a_page_was_cut_off() {
    let book = book(rules(QuietPolicy::Omits), &[entry(0, 100, DONE)]);
    let (asked, call) = book.audit_call(s(20, 90), 0);
    assert_eq!((asked, call.span, call.priority), (s(20, 34), s(17, 37), Priority::Verification));
    let page = |minutes: &[i64]| Page {
        asked: call.span,
        rows: minutes.iter().map(|minute| row(*minute)).collect(),
        sent_at: settled(200),
    };
    let (findings, reached) = book.evidence(asked, &page(&[17, 20, 24, 25]));
    assert_eq!(
        (findings.complete.spans(), reached),
        (&[s(17, 26)][..], t(26)),
        "what follows the last row may be cut off"
    );
    let (findings, reached) = book.evidence(asked, &page(&[17, 24]));
    assert_eq!((findings.complete.spans(), reached), (&[s(17, 37)][..], t(34)), "so few rows were not cut off");
    let (findings, reached) = book.evidence(asked, &page(&[15, 16, 17, 18]));
    assert_eq!((findings.complete.spans(), reached), (&[s(15, 19)][..], t(34)), "no row to begin the next read with");
    assert_eq!(book.judged_until(settled(100)), t(97));
}

#[test]
fn a_row_that_is_taken_away_leaves_its_bucket_empty_or_a_hole_and_its_surroundings_alone() {
    let entries = [entry(0, 5, DONE), entry(5, 8, gone(VENUE_HOLE)), entry(8, 10, DONE)];
    let after = |quiet: QuietPolicy, open: DateTime<Utc>| {
        let mut book = book(rules(quiet), &entries);
        let statements = book.take_away(open, settled(60));
        book.stored(&statements, book.extent());
        book.entries().to_vec()
    };
    assert_eq!(after(QuietPolicy::Omits, t(2)), entries);
    let hole = missing(VENUE_HOLE, 1, settled(60) + TimeDelta::seconds(2));
    assert_eq!(after(QuietPolicy::Emits, t(2))[..3], [entry(0, 2, DONE), entry(2, 3, hole.clone()), entry(3, 5, DONE)]);
    assert_eq!(
        after(QuietPolicy::Emits, t(6))[1..4],
        [entry(5, 6, gone(VENUE_HOLE)), entry(6, 7, hole), entry(7, 8, gone(VENUE_HOLE))]
    );
    for inside in [t(2), t(6)] {
        assert_eq!(after(QuietPolicy::Emits, inside + TimeDelta::seconds(7)), entries);
    }
    let mut book = book(rules(QuietPolicy::Emits), &entries);
    book.stored(&book.reopen(t(9)), book.extent());
    assert_eq!(book.entries()[2..], [entry(8, 9, DONE), entry(9, 10, Coverage::missing(NOT_FETCHED))]);
}
