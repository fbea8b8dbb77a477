use super::*;
use crate::market::Timeframe;

const LINE: ConnectionId = ConnectionId(7);

fn t(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_183_200 + second, 0).unwrap()
}

fn trade(id: u64, second: i64) -> Trade {
    let id = TradeId::Number(id);
    Trade { last_id: id.clone(), id, time: t(second), price: 10.into(), amount: 1.into(), side: None }
}

fn live(ids_are_dense: bool) -> Live {
    let grids = vec![Grid::utc(Timeframe::M1)];
    let mut live = Live::new(LiveRules { ids_are_dense, grids, quiet: QuietPolicy::Omits });
    live.attach(LINE, t(0));
    live
}

fn ids(heard: &Heard) -> Vec<(u64, u64)> {
    heard.ids.ranges().iter().map(|range| (range.first, range.last)).collect()
}

fn candles(heard: &Heard) -> Vec<(i64, Option<u64>)> {
    let all = heard.built.iter().flat_map(|built| &built.candles);
    all.map(|(candle, ..)| ((candle.open_time - t(0)).num_seconds(), candle.trades)).collect()
}

#[test]
fn what_a_connection_delivers_without_a_hole_is_proven_and_built() {
    for dense in [true, false] {
        let mut live = live(dense);
        let heard = live.hear(LINE, vec![trade(5, 30), trade(6, 61), trade(7, 119)], t(119));
        assert_eq!(heard.proven, [Span::new(t(2), t(117))]);
        assert_eq!((ids(&heard), candles(&heard)), (if dense { vec![(5, 7)] } else { vec![] }, vec![]));
        let heard = live.hear(LINE, vec![], t(122));
        assert_eq!((&heard.proven, candles(&heard)), (&vec![Span::new(t(2), t(120))], vec![(60, Some(2))]));
    }
}

#[test]
fn trades_in_another_order_wait_for_those_before_them() {
    let mut live = live(true);
    live.hear(LINE, vec![trade(5, 30)], t(30));
    let heard = live.hear(LINE, vec![trade(7, 32), trade(7, 32)], t(32));
    assert_eq!((heard.fresh.len(), ids(&heard)), (1, vec![]));
    let heard = live.hear(LINE, vec![trade(6, 31), trade(8, 33)], t(33));
    assert_eq!((heard.fresh.len(), ids(&heard), heard.broke), (2, vec![(6, 8)], false));
}

#[test]
fn a_trade_that_comes_after_the_one_the_run_began_with_is_no_double() {
    let mut live = live(true);
    live.hear(LINE, vec![trade(7, 50)], t(50));
    let heard = live.hear(LINE, vec![trade(6, 31), trade(7, 50)], t(51));
    assert_eq!((heard.fresh, heard.ids.ranges().len()), (vec![trade(6, 31)], 1));
    let heard = live.hear(LINE, vec![trade(4, 29)], t(52));
    assert_eq!((heard.fresh.len(), ids(&heard)), (1, vec![(4, 4)]), "its id tells of another between them");
    let heard = live.hear(LINE, vec![trade(5, 30), trade(3, 1), trade(6, 31)], t(62));
    assert_eq!(heard.fresh, [trade(5, 30)], "what was traded before the run is read by REST");
    assert_eq!(candles(&live.hear(LINE, vec![], t(190))), [], "the minute of the ack is not ours");

    let mut tied = super::tests::live(true);
    tied.recall(LINE, &trade(4, -100));
    let heard = tied.hear(LINE, vec![trade(4, 10), trade(5, 30), trade(5, 30)], t(40));
    assert_eq!(heard.fresh, [trade(5, 30)], "nothing comes before a known one");
}

#[test]
fn a_lost_trade_ends_the_run_and_what_waited_begins_the_next() {
    let mut live = live(true);
    live.hear(LINE, vec![trade(5, 30)], t(30));
    live.hear(LINE, vec![trade(7, 62)], t(62));
    let heard = live.hear(LINE, vec![trade(8, 66)], t(66));
    assert!(heard.broke);
    assert_eq!(ids(&heard), [(7, 8)]);
    assert_eq!(heard.proven[0], Span::new(t(2), t(28)), "nothing after the last trade before the hole");
    assert_eq!(live.from(), Some(t(62) + TimeDelta::microseconds(1)));
    let heard = live.hear(LINE, vec![trade(9, 130), trade(10, 185)], t(185));
    assert_eq!(candles(&heard), [(120, Some(1))], "the minute of the hole is not ours");
}

#[test]
fn an_old_trade_of_the_ack_ties_the_run_to_what_was_before() {
    let mut live = live(true);
    live.recall(LINE, &trade(4, -100));
    live.recall(LINE, &trade(3, -110));
    let heard = live.hear(LINE, vec![trade(5, 30)], t(125));
    assert_eq!(heard.proven, [Span::new(t(-100) + TimeDelta::microseconds(1), t(123))]);
    assert_eq!(candles(&heard), [(0, Some(1))]);
    let mut sparse = super::tests::live(false);
    sparse.recall(LINE, &trade(4, -100));
    assert_eq!(sparse.from(), Some(t(2)), "without dense ids an old trade proves nothing");
}

#[test]
fn an_announced_trade_that_never_came_was_lost() {
    let mut live = live(true);
    live.announce(LINE, &TradeId::Number(4), t(-1));
    assert_eq!(live.from(), Some(t(1)));
    live.hear(LINE, vec![trade(5, 30)], t(30));
    let heard = live.announce(LINE, &TradeId::Number(5), t(40));
    assert_eq!((heard.broke, heard.proven), (false, vec![Span::new(t(1), t(38))]));
    let heard = live.announce(LINE, &TradeId::Number(6), t(60));
    assert!(heard.broke);
    assert_eq!(live.from(), Some(t(62)), "it may have been traded at that very instant, in the next minute");
    assert!(!live.hear(LINE, vec![trade(7, 63)], t(63)).broke);
    assert_eq!(candles(&live.hear(LINE, vec![], t(190))), [], "nothing is said of the minute it broke in");
}

#[test]
fn a_run_ends_with_its_connection() {
    let mut live = live(true);
    assert_eq!(live.hear(ConnectionId(8), vec![trade(1, 1)], t(9)), Heard::default());
    live.interrupted(LINE, t(50));
    assert_eq!(live.from(), Some(t(52)));
    live.detach(ConnectionId(8));
    assert!(live.connection().is_some());
    live.detach(LINE);
    assert_eq!(live.from(), None);
}

#[test]
fn a_trade_that_only_rest_tells_of_was_missed_where_ids_would_have_told() {
    let mut live = live(true);
    live.hear(LINE, vec![trade(9, 50)], t(62));
    // The venue was mute at first: nothing before the first trade shows that others are missing.
    assert!(live.missed(&[trade(8, 40)]));
    assert!(!live.missed(&[trade(7, 1), trade(10, 61)]), "before the run, and too young to have been told");
    live.begin_anew(t(70));
    assert_eq!(live.from(), Some(t(72)));
    let mut sparse = super::tests::live(false);
    sparse.hear(LINE, vec![trade(9, 50)], t(62));
    assert!(!sparse.missed(&[trade(9, 50)]), "what was heard is not told apart from what was not");
}

const NEXT: ConnectionId = ConnectionId(9);

#[test]
fn a_successor_carries_the_run_on_and_what_both_deliver_counts_once() {
    for dense in [true, false] {
        let mut live = live(dense);
        live.hear(LINE, vec![trade(5, 61)], t(62));
        live.attach(NEXT, t(70));
        assert_eq!((live.connection(), live.from()), (Some(LINE), Some(t(2))));
        live.hear(LINE, vec![trade(6, 75)], t(76));
        live.hear(NEXT, vec![trade(6, 75), trade(7, 100)], t(101));
        assert_eq!(live.until(), Some(if dense { t(98) } else { t(74) }), "ids prove what times do not");
        live.hear(LINE, vec![trade(7, 100)], t(101));
        live.detach(LINE);
        assert_eq!((live.connection(), live.from()), (Some(NEXT), Some(t(2))), "the run goes on");
        let heard = live.hear(NEXT, vec![trade(7, 100), trade(8, 110)], t(123));
        assert_eq!((heard.broke, candles(&heard)), (false, vec![(60, Some(4))]), "dense: {dense}");
        assert_eq!(heard.proven, [Span::new(t(2), t(121))]);
    }
}

#[test]
fn a_successor_that_a_stalled_run_does_not_reach_begins_a_new_one() {
    for dense in [true, false] {
        let mut live = live(dense);
        live.hear(LINE, vec![trade(5, 30)], t(40));
        live.attach(NEXT, t(70));
        live.hear(NEXT, vec![trade(9, 80)], t(81));
        live.detach(LINE);
        assert_eq!((live.connection(), live.from()), (Some(NEXT), Some(t(83))), "REST reads what lies between");
        let heard = live.hear(NEXT, vec![trade(10, 130)], t(183));
        assert_eq!(candles(&heard), [(120, Some(1))]);
    }
}

#[test]
fn a_successor_that_ends_first_leaves_the_run_alone() {
    let mut live = live(true);
    live.hear(LINE, vec![trade(5, 30)], t(40));
    live.attach(NEXT, t(70));
    live.interrupted(NEXT, t(75));
    live.detach(NEXT);
    assert!(!live.hears(NEXT));
    assert_eq!(live.hear(LINE, vec![trade(6, 80)], t(90)).proven, [Span::new(t(2), t(88))]);
}
