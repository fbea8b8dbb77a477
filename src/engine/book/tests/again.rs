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
