//! Events: recorded with the change they tell of, in one order, and told from any number on.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::event::{Values, What};
use super::super::{Coverage, Event, LedgerChange, ModeChange, SeriesChange, Store, SymbolId, WriteBatch};
use super::{Fixture, bar, minute, minutes, observed, ok, refused, rest};
use crate::market::{Source, Timeframe};

const DONE: Coverage = Coverage::Complete { verified: true };

async fn told(store: &dyn Store, after: i64) -> Vec<What> {
    let events = ok(store.events_after(after, 100).await);
    let numbers: Vec<i64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (after + 1..).take(events.len()).collect::<Vec<_>>(), "consecutive, in their order");
    assert_eq!(ok(store.last_event().await), after + events.len() as i64);
    events.into_iter().map(|event| event.what).collect()
}

async fn state(fixture: &Fixture, ledger: Vec<LedgerChange>, overdue: Option<DateTime<Utc>>) -> Option<i64> {
    let change = SeriesChange { ledger, overdue, ..fixture.change() };
    let batch = WriteBatch { series: vec![change], ..WriteBatch::default() };
    ok(fixture.store.write(&batch).await)[0].last_event
}

fn set(from: i64, to: i64, coverage: Coverage) -> LedgerChange {
    LedgerChange::Set(minutes(from, to), coverage)
}

pub(super) async fn a_changed_final_value_is_told_with_both_values(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store.clone()).await;
    let stream = |n: i64, close: f64| observed(bar(n, close), Source::Stream, minute(n + 1));
    assert_eq!(fixture.save(&[stream(0, 100.0), stream(1, 101.0)]).await.last_event, None);
    assert_eq!(fixture.save(&[rest(0, 100.0)]).await.last_event, None, "the same value is no news");
    assert_eq!(ok(store.events_after(0, 10).await), []);
    assert_eq!(fixture.save(&[rest(0, 100.0), rest(1, 105.0)]).await.last_event, Some(1));
    let (old, new) = (Values::of(&bar(1, 101.0), Source::Stream), Values::of(&bar(1, 105.0), Source::Rest));
    let what = What::CandleRevised { open_time: minute(1), old, new: Some(new) };
    let events = ok(store.events_after(0, 10).await);
    let (symbol, timeframe) = ("BTC/USD".parse().expect("a symbol"), Some(Timeframe::M1));
    let time = events[0].time;
    assert_eq!(events, [Event { number: 1, time, exchange: "kraken".to_owned(), symbol, timeframe, what }]);
    let row = fixture.stored().await[1];
    assert_eq!(row.updated_at, time, "recorded with the change");

    let inferred = observed(bar(2, 7.0), Source::Synthesised, minute(3));
    let complete = LedgerChange::Set(minutes(2, 3), Coverage::Complete { verified: false });
    let change = SeriesChange { candles: vec![inferred], ledger: vec![complete], ..fixture.change() };
    ok(store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await);
    let hole = Coverage::missing("venue_hole");
    state(&fixture, vec![LedgerChange::Withdraw(minutes(2, 3), hole)], Some(minute(50))).await;
    let old = Values::of(&bar(2, 7.0), Source::Synthesised);
    let gap = What::GapOpened { from: minute(2), to: minute(3), reason: "venue_hole".to_owned() };
    assert_eq!(told(&*store, 1).await, [What::CandleRevised { open_time: minute(2), old, new: None }, gap]);
}

pub(super) async fn a_gap_is_told_when_it_opens_and_when_it_closes(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store.clone()).await;
    let edge = Some(minute(100));
    let history = Coverage::missing("not_fetched");
    assert_eq!(state(&fixture, vec![set(0, 20, history), set(20, 40, DONE)], edge).await, None);
    let stopped = || Coverage::missing("collector_stopped");
    assert_eq!(state(&fixture, vec![set(40, 60, stopped())], None).await, None, "nobody says what is overdue");
    assert_eq!(state(&fixture, vec![], edge).await, None, "and nothing was said");
    assert_eq!(state(&fixture, vec![set(60, 61, stopped())], edge).await, Some(1));
    assert_eq!(state(&fixture, vec![set(60, 61, stopped())], edge).await, None, "told once");
    let gone = Coverage::Unavailable { reason: "venue_hole".to_owned() };
    assert_eq!(state(&fixture, vec![set(50, 61, DONE), set(45, 46, gone)], edge).await, Some(3));
    assert_eq!(state(&fixture, vec![set(0, 61, DONE)], edge).await, Some(5));
    let expected = [
        What::GapOpened { from: minute(40), to: minute(61), reason: "collector_stopped".to_owned() },
        What::GapHealed { from: minute(50), to: minute(61) },
        What::GapUnavailable { from: minute(45), to: minute(46), reason: "venue_hole".to_owned() },
        What::GapHealed { from: minute(40), to: minute(45) },
        What::GapHealed { from: minute(46), to: minute(50) },
    ];
    assert_eq!(told(&*store, 0).await, expected);
}

pub(super) async fn a_mode_is_told_when_it_differs_from_the_one_told_last(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store.clone()).await;
    let write = async |modes: &[(&str, &str)]| {
        let change = |(mode, reason): &(&str, &str)| ModeChange {
            symbol: fixture.symbol,
            mode: (*mode).to_owned(),
            reason: (*reason).to_owned(),
            at: minute(5),
        };
        ok(store.write(&WriteBatch { modes: modes.iter().map(change).collect(), ..WriteBatch::default() }).await)
    };
    write(&[("live_websocket", "subscribed")]).await;
    write(&[("live_websocket", "subscribed")]).await;
    write(&[("live_rest_polling", "connection_lost"), ("live_websocket", "subscribed")]).await;
    let mode = |old: Option<&str>, new: &str, reason: &str| What::ModeChanged {
        old: old.map(str::to_owned),
        new: new.to_owned(),
        reason: reason.to_owned(),
    };
    let expected = [
        mode(None, "live_websocket", "subscribed"),
        mode(Some("live_websocket"), "live_rest_polling", "connection_lost"),
        mode(Some("live_rest_polling"), "live_websocket", "subscribed"),
    ];
    assert_eq!(told(&*store, 0).await, expected);
    let first = ok(store.events_after(0, 1).await).remove(0);
    assert_eq!((first.time, first.timeframe), (minute(5), None));

    // Everything or nothing, and no number is lost with a transaction.
    let nobody = ModeChange { symbol: SymbolId(999), mode: String::new(), reason: String::new(), at: minute(6) };
    let own = ModeChange { symbol: fixture.symbol, mode: "live_trade".to_owned(), ..nobody.clone() };
    refused(store.write(&WriteBatch { modes: vec![own.clone(), nobody], ..WriteBatch::default() }).await);
    ok(store.write(&WriteBatch { modes: vec![own], ..WriteBatch::default() }).await);
    assert_eq!(told(&*store, 3).await, [mode(Some("live_websocket"), "live_trade", "")]);
}

pub(super) async fn events_go_by_age_and_their_numbers_are_not_given_again(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store.clone()).await;
    for n in 0..5 {
        let (mode, at) = (format!("mode {n}"), minute(n));
        let change = ModeChange { symbol: fixture.symbol, mode, reason: String::new(), at };
        ok(store.write(&WriteBatch { modes: vec![change], ..WriteBatch::default() }).await);
    }
    assert_eq!(ok(store.prune_events(minute(0), 100).await), 0);
    assert_eq!(ok(store.prune_events(minute(3), 2).await), 2, "no more than asked for");
    assert_eq!(ok(store.prune_events(minute(3), 2).await), 1);
    assert_eq!(ok(store.prune_events(minute(3), 2).await), 0);
    let numbers = async |after| -> Vec<i64> {
        ok(store.events_after(after, 100).await).iter().map(|event| event.number).collect()
    };
    assert_eq!(numbers(0).await, [4, 5]);
    assert_eq!(ok(store.prune_events(minute(9), 100).await), 2);
    assert_eq!((numbers(0).await, ok(store.last_event().await)), (vec![], 5));
    let at = minute(9) + TimeDelta::microseconds(1);
    let change = ModeChange { symbol: fixture.symbol, mode: "another".to_owned(), reason: String::new(), at };
    ok(store.write(&WriteBatch { modes: vec![change], ..WriteBatch::default() }).await);
    assert_eq!(numbers(0).await, [6]);
}
