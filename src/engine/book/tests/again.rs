//! What was given up is asked for once more.

use super::*;
use crate::market::ledger::HOLE_AT_THE_VENUE;

const GONE: [(i64, i64, &str); 4] =
    [(0, 3, BEFORE_LISTING), (3, 5, HOLE_AT_THE_VENUE), (5, 7, NOT_SERVED), (7, 9, TOO_OLD)];

fn given_up(from_trades: FromTrades) -> Book {
    let entries: Vec<_> = GONE.iter().map(|(from, to, reason)| entry(*from, *to, gone(reason))).collect();
    let entries = [entries, vec![entry(9, 20, DONE)]].concat();
    book(SeriesRules { from_trades, ..rules(QuietPolicy::Emits) }, &entries)
}

#[test]
fn an_hour_later_and_ever_less_often_it_is_read_once_more() {
    let mut book = given_up(FromTrades::Never);
    let hour = |hours: i64| settled(20) + TimeDelta::hours(hours);
    assert_eq!(book.look_again(hour(1) - TimeDelta::seconds(1)), []);
    let reopened = book.look_again(hour(1));
    let missing =
        |reason: &str, attempts| Coverage::Missing { reason: reason.to_owned(), attempts, next_attempt_at: None };
    let expected = [
        LedgerChange::Set(s(0, 3), missing(NOT_FETCHED, 4)),
        LedgerChange::Set(s(3, 5), missing(VENUE_HOLE, 1)),
        LedgerChange::Set(s(5, 7), missing(NOT_FETCHED, 4)),
    ];
    assert_eq!(reopened, expected, "what the venue serves to nobody stays as it is");
    book.stored(&reopened, book.extent());

    let call = book.urgent_call(hour(1));
    answer(&mut book, call, &[3, 9], hour(1));
    let left = [entry(0, 3, gone(BEFORE_LISTING)), entry(3, 4, DONE), entry(4, 5, gone(HOLE_AT_THE_VENUE))];
    assert_eq!(book.entries()[..3], left, "one read decides");

    assert_eq!(book.look_again(hour(3) - TimeDelta::seconds(1)), []);
    assert_eq!(book.wake_at(hour(3) - TimeDelta::seconds(1)), hour(3));
    assert_eq!(book.look_again(hour(3)).len(), 2);
}

#[test]
fn where_candles_are_built_from_trades_only_nothing_is_read_again() {
    let mut book = given_up(FromTrades::All);
    assert_eq!(book.look_again(settled(20) + TimeDelta::days(30)), []);
}

#[test]
fn a_hole_that_the_venue_no_longer_reaches_stays_one_and_is_not_built_from_trades() {
    let entries =
        [entry(0, 5, gone(HOLE_AT_THE_VENUE)), entry(5, 8, missing(VENUE_HOLE, 1, settled(9))), entry(8, 20, DONE)];
    let depth = Depth::NewestRows(20);
    let mut book = book(SeriesRules { depth, from_trades: FromTrades::Old, ..rules(QuietPolicy::Emits) }, &entries);
    // The oldest of the twenty newest rows is that of minute 4.
    let now = t(23) + TimeDelta::seconds(30);
    assert_eq!(book.retire(now), []);
    let later = now + TimeDelta::minutes(3);
    let retired = book.retire(later);
    assert_eq!(retired, [LedgerChange::Set(s(5, 7), gone(HOLE_AT_THE_VENUE))]);
    book.stored(&retired, book.extent());
    assert_eq!(book.retire(later), []);

    let hour_later = settled(20) + TimeDelta::hours(1);
    assert_eq!(book.look_again(hour_later), [], "nobody serves it any more");
}
