use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::exchange::{Depth, TradePage};
use crate::market::{Trade, TradeId};

const LIMIT: usize = 5;

fn t(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_183_200 + second, 0).unwrap()
}

fn trade(id: u64, time: DateTime<Utc>) -> Trade {
    let id = TradeId::Number(id);
    Trade { last_id: id.clone(), id, time, price: 10.into(), amount: 1.into(), side: None }
}

/// A venue that has traded at these instants, under the ids 1, 2, 3 ...
struct Venue {
    trades: Vec<Trade>,
    history: TradeHistory,
}

impl Venue {
    fn rules(&self, collects_from: DateTime<Utc>) -> TapeRules {
        let rest = TradeRest { page_limit_rows: LIMIT as u32, history: self.history, ids_are_dense: true };
        TapeRules {
            rest: Some(rest),
            ids_are_dense: true,
            settle: TimeDelta::seconds(1),
            collects_from: Some(collects_from),
        }
    }

    fn answer(&self, cursor: &TradeCursor, now: DateTime<Utc>) -> TradePage {
        let known = self.trades.partition_point(|trade| trade.time <= now);
        let all = &self.trades[..known];
        let number = |id: &TradeId| id.number().unwrap() as usize;
        let forward = |start: usize| {
            let page = all[start.min(known)..known.min(start + LIMIT)].to_vec();
            let next = (page.len() == LIMIT).then(|| TradeCursor::Venue((start + LIMIT).to_string()));
            TradePage { trades: page, next }
        };
        let backward = |end: usize| {
            let start = end.saturating_sub(LIMIT);
            let next = (start > 0).then(|| TradeCursor::BeforeId(TradeId::Number(start as u64 + 1)));
            TradePage { trades: all[start..end].to_vec(), next }
        };
        match cursor {
            TradeCursor::Time(from) => forward(all.partition_point(|trade| trade.time < *from)),
            TradeCursor::Venue(start) => forward(start.parse().unwrap()),
            TradeCursor::BeforeId(id) => backward(number(id) - 1),
            TradeCursor::BeforeTime(time) => backward(all.partition_point(|trade| trade.time < *time)),
            TradeCursor::Newest => backward(known),
        }
    }
}

fn histories() -> impl Strategy<Value = TradeHistory> {
    prop_oneof![Just(TradeHistory::Forward(Depth::Full)), Just(TradeHistory::Backward(Depth::Full))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is heard live and whatever is lost of it, reading ends with every trade once.
    #[test]
    fn a_tape_ends_with_every_trade_once(
        history in histories(),
        // Many trades share an instant, more than a page holds.
        steps in prop::collection::vec(prop_oneof![4 => Just(0i64), 3 => 1i64..4, 1 => 60i64..4000], 1..80),
        heard in prop::collection::vec(any::<bool>(), 80),
        restarts in prop::collection::vec(1i64..20_000, 0..3),
    ) {
        let mut time = t(0);
        let trades: Vec<_> = steps.iter().enumerate().map(|(index, step)| {
            time += TimeDelta::seconds(*step);
            trade(index as u64 + 1, time)
        }).collect();
        let venue = Venue { trades: trades.clone(), history };
        let (start, end) = (t(-100), time + TimeDelta::minutes(20));
        let mut tape = Tape::new(venue.rules(start), SpanSet::new(), SpanSet::new(), vec![], t(0));
        let mut stored = Vec::new();
        // Single trades heard by the way: their ids are known, nothing around them is.
        for trade in trades.iter().zip(&heard).filter(|(_, heard)| **heard).map(|(trade, _)| trade) {
            tape.heard(&[], &[IdRange::of(std::slice::from_ref(trade)).unwrap()], Some(trade.time));
            stored.push(trade.clone());
        }
        let mut now = end;
        let mut restarts = restarts.into_iter();
        let mut calls = 0;
        while !tape.missing(end, None).is_empty() {
            prop_assert!(calls < 2_000, "no progress: {:?}", tape.missing(end, None));
            calls += 1;
            let Some(call) = tape.call(now, None, None) else {
                now += TimeDelta::seconds(10);
                continue;
            };
            let read = tape.read(&call, venue.answer(&call.cursor, now), None, now);
            prop_assert!(read.unavailable.is_empty(), "{:?}", read);
            prop_assert!(read.absent.is_empty());
            stored.extend(read.trades);
            if calls % 7 == 3 && restarts.next().is_some() {
                let (known, ids) = (tape.known.clone(), tape.ids.ranges().to_vec());
                tape = Tape::new(venue.rules(start), known, SpanSet::new(), ids, now);
                tape.reconsider();
            }
        }
        stored.sort_by_key(|trade| trade.id.number());
        prop_assert_eq!(stored, trades);
    }
}

fn recent(trades: Vec<Trade>) -> (Venue, Tape) {
    let venue = Venue { trades, history: TradeHistory::Recent };
    let tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    (venue, tape)
}

#[test]
fn where_only_the_newest_are_served_what_lies_before_them_is_unavailable() {
    let (venue, mut tape) = recent((1..=20).map(|id| trade(id, t(id as i64 * 10))).collect());
    let call = tape.call(t(300), None, None).unwrap();
    assert_eq!((&call.cursor, call.priority), (&TradeCursor::Newest, Priority::Live));
    let read = tape.read(&call, venue.answer(&call.cursor, t(300)), None, t(300));
    let cut = t(160) + TimeDelta::microseconds(1);
    assert_eq!(read.unavailable, [(Span::new(t(0), cut), "not_served: trades")]);
    assert_eq!(read.known, Some(Span::new(cut, t(299))));
    assert!(tape.missing(t(300), None).is_empty());
}

#[test]
fn what_no_page_showed_is_asked_for_once_more_an_hour_later_and_then_ever_less_often() {
    let mut venue = Venue { trades: vec![], history: TradeHistory::Backward(Depth::Full) };
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(7_200));
    let mut now = t(7_200);
    let mut gave_up = Vec::new();
    // A page that says there is more, and shows nothing.
    while now < t(7_200) + TimeDelta::hours(8) {
        tape.look_again(now);
        if let Some(call) = tape.call(now, Some(t(7_200)), None) {
            let page = TradePage { next: Some(TradeCursor::Newest), ..venue.answer(&call.cursor, now) };
            let read = tape.read(&call, page, None, now);
            gave_up.extend(read.unavailable.iter().map(|_| (now - t(7_200)).num_hours()));
        }
        now = tape.wake_at(now, Some(t(7_200))).unwrap_or(now).max(now + TimeDelta::seconds(1));
    }
    assert_eq!(gave_up, [0, 1, 3, 7]);
    venue.trades = vec![trade(1, t(-5)), trade(2, t(100))];
    now += TimeDelta::hours(9);
    assert!(tape.missing(now, Some(t(7_200))).is_empty(), "given up");
    tape.look_again(now);
    let call = tape.call(now, Some(t(7_200)), None).unwrap();
    tape.read(&call, venue.answer(&call.cursor, now), None, now);
    assert!(tape.known().covers(Span::new(t(0), t(7_199))) && tape.unavailable().is_empty());
}

#[test]
fn a_missing_id_is_read_again_and_called_absent_when_a_page_holds_its_neighbours() {
    let mut trades: Vec<_> = (1..=9).map(|id| trade(id, t(id as i64))).collect();
    let lost = trades.remove(4);
    let venue = Venue { trades, history: TradeHistory::Forward(Depth::Full) };
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    let range = |first, last| IdRange { first, last, from: t(first as i64), to: t(last as i64) };
    // The times claim all of it, the ids know of a hole.
    let doubted = tape.heard(&[Span::new(t(0), t(60))], &[range(1, 4), range(6, 9)], None);
    let gap = Span::new(t(4), t(6) + TimeDelta::microseconds(1));
    assert_eq!(doubted, [gap]);
    assert_eq!(tape.missing(t(61), None).spans(), [gap]);
    let call = tape.call(t(61), None, None).unwrap();
    assert_eq!(call.priority, Priority::Repair);
    let read = tape.read(&call, venue.answer(&call.cursor, t(61)), None, t(61));
    assert_eq!((read.absent, read.trades), (vec![(5, 5)], vec![]));
    assert!(tape.missing(t(61), None).is_empty());
    assert_eq!(tape.ids.ranges(), [range(1, 9)]);
    assert_eq!(lost.id, TradeId::Number(5));
}

#[test]
fn what_a_connection_claimed_in_its_last_moment_is_reconsidered_once_nothing_is_on_its_way() {
    let venue = Venue { trades: vec![], history: TradeHistory::Forward(Depth::Full) };
    let range = |first, last| IdRange { first, last, from: t(first as i64 * 10), to: t(last as i64 * 10) };
    let ids = vec![range(1, 4), range(6, 6)];
    // The newest trade is of second 60: what is heard within two seconds may come in another order.
    let claim = Span::new(t(0), t(58));
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    assert_eq!(tape.heard(&[claim], &ids, None), []);
    let mut tape = Tape::new(venue.rules(t(0)), [claim].into_iter().collect(), SpanSet::new(), ids, t(90));
    let gap = Span::new(t(40), t(60) + TimeDelta::microseconds(1));
    assert_eq!((tape.reconsider(), tape.reconsider()), (vec![gap], vec![]));
    assert!(tape.missing(t(90), None).covers(gap));
    // Up to where a page has been read, nothing is claimed.
    let read: SpanSet = [Span::new(t(0), t(50))].into_iter().collect();
    let mut tape = Tape::new(venue.rules(t(0)), read, SpanSet::new(), vec![range(1, 4), range(6, 6)], t(90));
    assert_eq!(tape.reconsider(), []);
}

/// What reading up to second `from`, where a stream takes over, says is known; each call is sent a
/// minute after the one before.
fn reads(tape: &mut Tape, venue: &Venue, from: i64, count: usize) -> Vec<(TradeCursor, Option<Span>)> {
    let now = |index: usize| t(from + 1 + index as i64 * 60);
    let read = |index: usize| {
        let call = tape.call(now(index), Some(t(from)), None)?;
        let read = tape.read(&call, venue.answer(&call.cursor, now(index)), None, now(index));
        Some((call.cursor, read.known))
    };
    (0..count).filter_map(read).collect()
}

#[test]
fn a_quiet_beginning_is_believed_when_an_earlier_trade_shows_that_the_venue_heeds_the_start() {
    let trades = vec![trade(6, t(-900)), trade(7, t(600))];
    let venue = Venue { trades, history: TradeHistory::Forward(Depth::Full) };
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    let told = reads(&mut tape, &venue, 700, 2);
    // What follows the trade is known at once.
    let follows = Span::new(t(600) + TimeDelta::microseconds(1), t(700));
    assert_eq!(told[0], (TradeCursor::Time(t(0)), Some(follows)));
    assert_eq!(told[1], (TradeCursor::Time(t(-1200)), Some(Span::new(t(0), t(760)))));
}

#[test]
fn a_quiet_beginning_without_any_trade_before_it_is_believed_when_the_answer_stays() {
    let venue = Venue { trades: vec![trade(7, t(600))], history: TradeHistory::Forward(Depth::Full) };
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    let told = reads(&mut tape, &venue, 700, 11);
    let beginnings: Vec<_> = told.iter().map(|(_, known)| known.is_some_and(|known| known.from == t(0))).collect();
    assert_eq!(beginnings, [&[false; 10][..], &[true]].concat(), "{told:?}");
}

#[test]
fn pages_without_trades_prove_a_long_quiet_time_only_when_nothing_is_known_to_contradict_them() {
    let venue = Venue { trades: vec![], history: TradeHistory::Forward(Depth::Full) };
    let tape = || Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    let (mut short, mut long, mut contradicted) = (tape(), tape(), tape());
    assert_eq!(reads(&mut short, &venue, 500, 1)[0].1, Some(Span::new(t(0), t(500))));
    let told = reads(&mut long, &venue, 700, 11);
    assert!(told[..10].iter().all(|(_, known)| known.is_none()), "{told:?}");
    assert_eq!(told[10].1, Some(Span::new(t(0), t(1300))));
    contradicted.heard(&[], &[], Some(t(650)));
    assert!(reads(&mut contradicted, &venue, 700, 11).iter().all(|(_, known)| known.is_none()));
}

#[test]
fn what_lies_just_before_a_stream_is_read_once_when_rest_knows_all_of_it() {
    let venue = Venue { trades: vec![trade(7, t(3))], history: TradeHistory::Backward(Depth::Full) };
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    let live_from = Some(t(12));
    let settled = t(12) + tape.rules().settle;
    for second in 1..12 {
        assert_eq!(tape.call(t(second), live_from, None), None);
        assert_eq!(tape.wake_at(t(second), live_from), Some(settled));
    }
    let call = tape.call(settled, live_from, None).unwrap();
    assert_eq!(call.gap, Span::new(t(0), t(12)));
    tape.read(&call, venue.answer(&call.cursor, settled), None, settled);
    assert_eq!(tape.call(settled, live_from, None), None);
}

#[test]
fn a_read_that_brings_nothing_waits_longer_and_longer() {
    let venue = Venue { trades: vec![], history: TradeHistory::Forward(Depth::Full) };
    let mut tape = Tape::new(venue.rules(t(0)), SpanSet::new(), SpanSet::new(), vec![], t(0));
    let mut now = t(3600);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let call = tape.call(now, None, None).unwrap();
        // The venue asks to read on and does not move.
        let stuck = Some(call.cursor.clone());
        assert_eq!(tape.read(&call, TradePage { trades: vec![], next: None }, stuck, now).known, None);
        let at = tape.wake_at(now, Some(t(0))).unwrap();
        waits.push((at - now).num_seconds());
        assert_eq!(tape.call(now, None, None), None);
        now = at;
    }
    assert_eq!(waits, [2, 4, 8, 16]);
}
