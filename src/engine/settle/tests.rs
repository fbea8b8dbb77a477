use super::*;
use crate::market::Timeframe;

const FIRST: ConnectionId = ConnectionId(1);
const SECOND: ConnectionId = ConnectionId(2);

fn t(minute: i64, second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_183_200 + minute * 60 + second, 0).unwrap()
}

fn bucket(minute: i64) -> Span {
    Span::new(t(minute, 0), t(minute + 1, 0))
}

fn bar(minute: i64, trades: u64) -> Candle {
    let close = 100.0 + trades as f64;
    Candle { volume: trades as f64, trades: Some(trades), high: close, close, ..Candle::flat(t(minute, 0), 100.0) }
}

fn frame(minute: i64, trades: u64) -> CandleFrame {
    CandleFrame { candle: bar(minute, trades), closed: None, stamped_at: None, is_snapshot: false }
}

fn flagged(minute: i64, trades: u64, closed: bool) -> CandleFrame {
    CandleFrame { closed: Some(closed), ..frame(minute, trades) }
}

fn tracker(has_closed_flag: bool) -> Tracker {
    let mut tracker = Tracker::new(StreamRules {
        grid: Grid::utc(Timeframe::M1),
        has_closed_flag,
        is_cumulative: true,
        grace: Duration::from_secs(5),
        quiet: QuietPolicy::Emits,
    });
    tracker.attach(FIRST, t(0, 30));
    tracker
}

fn feed(tracker: &mut Tracker, connection: ConnectionId, frame: CandleFrame) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    tracker.frame(connection, frame, |_| false, &mut verdicts);
    verdicts
}

fn alive(tracker: &mut Tracker, connection: ConnectionId, at: DateTime<Utc>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    tracker.alive(connection, at, &mut verdicts);
    verdicts
}

fn stream(minute: i64, trades: u64) -> Verdict {
    Verdict::Final(bar(minute, trades), Source::Stream, Rule::Stream)
}

#[test]
fn the_bucket_of_the_ack_belongs_to_rest_even_when_its_frames_arrive() {
    let mut tracker = tracker(false);
    assert_eq!(tracker.owned_from(), Some(t(1, 0)));
    assert_eq!(feed(&mut tracker, FIRST, frame(0, 5)), vec![]);
    assert_eq!(feed(&mut tracker, FIRST, frame(1, 1)), vec![], "bucket 0 is never settled by this connection");
}

#[test]
fn a_later_bucket_on_the_same_connection_settles_the_last_frame() {
    let mut tracker = tracker(false);
    assert_eq!(feed(&mut tracker, FIRST, frame(1, 3)), vec![]);
    assert_eq!(feed(&mut tracker, FIRST, frame(1, 7)), vec![]);
    assert_eq!(feed(&mut tracker, FIRST, frame(2, 1)), vec![stream(1, 7)]);
    assert_eq!(tracker.owned_from(), Some(t(2, 0)));
}

#[test]
fn any_frame_after_close_and_grace_settles_and_one_before_does_not() {
    let mut tracker = tracker(false);
    feed(&mut tracker, FIRST, frame(1, 3));
    assert_eq!(alive(&mut tracker, FIRST, t(2, 4)), vec![]);
    assert_eq!(alive(&mut tracker, FIRST, t(2, 5)), vec![stream(1, 3)]);
}

#[test]
fn a_reconnect_inside_a_bucket_leaves_it_to_rest() {
    let mut tracker = tracker(false);
    feed(&mut tracker, FIRST, frame(1, 3));
    tracker.detach(FIRST);
    assert_eq!(tracker.owned_from(), None);
    tracker.attach(SECOND, t(1, 40));
    assert_eq!(feed(&mut tracker, SECOND, frame(1, 9)), vec![]);
    assert_eq!(feed(&mut tracker, SECOND, frame(2, 1)), vec![], "bucket 1 held the ack");
    assert_eq!(feed(&mut tracker, SECOND, frame(3, 1)), vec![stream(2, 1)]);
}

#[test]
fn frames_of_a_connection_that_was_replaced_are_ignored() {
    let mut tracker = tracker(false);
    feed(&mut tracker, FIRST, frame(1, 3));
    tracker.attach(SECOND, t(2, 10));
    tracker.detach(FIRST);
    assert_eq!(tracker.connection(), Some(SECOND));
    assert_eq!(feed(&mut tracker, FIRST, frame(3, 1)), vec![]);
    assert_eq!(alive(&mut tracker, FIRST, t(9, 0)), vec![]);
    tracker.detach(FIRST);
    assert_eq!(tracker.connection(), Some(SECOND), "a late farewell of the old connection changes nothing");
}

/// The first connection has settled bucket 1, the second was attached meanwhile.
fn handing_over(has_closed_flag: bool) -> Tracker {
    let mut tracker = tracker(has_closed_flag);
    tracker.attach(SECOND, t(1, 20));
    feed(&mut tracker, FIRST, flagged(1, 3, has_closed_flag));
    feed(&mut tracker, SECOND, flagged(1, 3, has_closed_flag));
    alive(&mut tracker, FIRST, t(2, 5));
    assert_eq!((tracker.connection(), tracker.owned_from()), (Some(FIRST), Some(t(2, 0))));
    tracker
}

#[test]
fn while_both_connections_live_the_first_settles_and_the_second_says_nothing_twice() {
    for has_closed_flag in [false, true] {
        let mut tracker = handing_over(has_closed_flag);
        assert_eq!(feed(&mut tracker, SECOND, flagged(2, 4, has_closed_flag)), vec![]);
        assert_eq!(alive(&mut tracker, SECOND, t(3, 30)), vec![], "the successor settles nothing");
        feed(&mut tracker, FIRST, flagged(2, 4, false));
        assert_eq!(tracker.forming(), Some(bar(2, 4)));
    }
}

#[test]
fn the_successor_settles_the_bucket_of_the_handover_when_it_told_as_much() {
    let mut tracker = handing_over(false);
    feed(&mut tracker, FIRST, frame(2, 4));
    feed(&mut tracker, SECOND, frame(2, 4));
    tracker.detach(FIRST);
    assert_eq!((tracker.connection(), tracker.owned_from()), (Some(SECOND), Some(t(2, 0))));
    assert_eq!(alive(&mut tracker, SECOND, t(3, 5)), vec![stream(2, 4)]);
}

#[test]
fn of_a_bucket_of_which_the_first_told_more_the_successor_settles_nothing() {
    for told in [None, Some(3)] {
        let mut tracker = handing_over(false);
        tracker.note_settled(t(1, 0), 55.5);
        feed(&mut tracker, FIRST, frame(2, 4));
        told.map(|trades| feed(&mut tracker, SECOND, frame(2, trades)));
        tracker.detach(FIRST);
        assert_eq!(alive(&mut tracker, SECOND, t(3, 5)), vec![Verdict::Unsettled(bucket(2))], "{told:?}");
        feed(&mut tracker, SECOND, frame(3, 1));
        assert_eq!(alive(&mut tracker, SECOND, t(4, 5)), vec![stream(3, 1)], "from then on it is its own");
    }
}

#[test]
fn a_handover_before_the_bucket_of_the_ack_is_over_leaves_that_to_rest() {
    let mut tracker = tracker(false);
    tracker.attach(SECOND, t(1, 20));
    feed(&mut tracker, FIRST, frame(1, 3));
    feed(&mut tracker, SECOND, frame(1, 3));
    tracker.detach(FIRST);
    assert_eq!(tracker.owned_from(), Some(t(2, 0)));
    assert_eq!(alive(&mut tracker, SECOND, t(2, 5)), vec![]);
}

#[test]
fn a_flag_that_only_the_successor_heard_settles_after_the_handover() {
    let mut tracker = handing_over(true);
    feed(&mut tracker, FIRST, flagged(2, 4, false));
    assert_eq!(feed(&mut tracker, SECOND, flagged(2, 5, true)), vec![]);
    tracker.detach(FIRST);
    let closed = Verdict::Final(bar(2, 5), Source::StreamClosed, Rule::Flag);
    assert_eq!(alive(&mut tracker, SECOND, t(3, 5)), vec![closed]);
}

#[test]
fn a_flag_that_both_connections_tell_asks_for_no_read() {
    let mut tracker = handing_over(true);
    tracker.detach(FIRST);
    let mut verdicts = Vec::new();
    tracker.frame(SECOND, flagged(1, 3, true), |_| true, &mut verdicts);
    assert_eq!(verdicts, vec![]);
    tracker.frame(SECOND, flagged(1, 4, true), |_| true, &mut verdicts);
    assert_eq!(verdicts, vec![Verdict::Reread(bucket(1))], "unless it says something else");
}

#[test]
fn a_successor_that_ends_first_changes_nothing() {
    let mut tracker = handing_over(false);
    tracker.detach(SECOND);
    assert_eq!(feed(&mut tracker, SECOND, frame(2, 9)), vec![]);
    feed(&mut tracker, FIRST, frame(2, 4));
    assert_eq!(alive(&mut tracker, FIRST, t(3, 5)), vec![stream(2, 4)]);
}

#[test]
fn what_a_connection_was_silent_about_is_known_until_rest_has_told_it() {
    let mut tracker = tracker(false);
    tracker.note_settled(t(0, 0), 55.5);
    feed(&mut tracker, FIRST, frame(1, 3));
    alive(&mut tracker, FIRST, t(4, 5));
    assert_eq!([0, 1, 2, 3, 4].map(|minute| tracker.was_silent_about(t(minute, 0))), [false, false, true, true, false]);
    tracker.forget_silence(bucket(2));
    tracker.abandon_before(t(6, 0));
    assert_eq!([2, 3, 4, 5].map(|minute| tracker.was_silent_about(t(minute, 0))), [false, true, true, true]);
    tracker.detach(FIRST);
    tracker.attach(SECOND, t(6, 10));
    assert!(!tracker.was_silent_about(t(5, 0)), "that was another connection");
}

#[test]
fn a_frame_that_says_less_than_a_known_one_is_ignored() {
    let mut tracker = tracker(false);
    let stamped = |trades, second| CandleFrame { stamped_at: Some(t(1, second)), ..frame(1, trades) };
    feed(&mut tracker, FIRST, stamped(7, 20));
    feed(&mut tracker, FIRST, stamped(6, 21));
    feed(&mut tracker, FIRST, stamped(8, 19));
    assert_eq!(feed(&mut tracker, FIRST, frame(2, 1)), vec![stream(1, 7)]);
}

#[test]
fn a_frame_of_an_older_bucket_never_replaces_the_open_one() {
    let mut tracker = tracker(false);
    feed(&mut tracker, FIRST, frame(2, 4));
    assert_eq!(feed(&mut tracker, FIRST, frame(1, 9)), vec![]);
    assert_eq!(feed(&mut tracker, FIRST, frame(3, 1)), vec![stream(2, 4)]);
}

#[test]
fn a_frame_for_a_settled_bucket_asks_for_a_read_and_a_snapshot_row_does_not() {
    let mut tracker = tracker(false);
    let mut verdicts = Vec::new();
    tracker.frame(FIRST, frame(1, 3), |_| true, &mut verdicts);
    assert_eq!(verdicts, vec![Verdict::Reread(bucket(1))]);
    verdicts.clear();
    tracker.frame(FIRST, CandleFrame { is_snapshot: true, ..frame(1, 3) }, |_| true, &mut verdicts);
    assert_eq!(verdicts, vec![]);
}

#[test]
fn the_flag_settles_at_once_and_a_forming_frame_never_does() {
    let mut tracker = tracker(true);
    assert_eq!(feed(&mut tracker, FIRST, flagged(1, 3, false)), vec![]);
    let closed = Verdict::Final(bar(1, 5), Source::StreamClosed, Rule::Flag);
    assert_eq!(feed(&mut tracker, FIRST, flagged(1, 5, true)), vec![closed]);
    assert_eq!(alive(&mut tracker, FIRST, t(2, 30)), vec![], "the next bucket has not closed");
}

#[test]
fn a_flag_that_never_came_leaves_the_bucket_to_rest() {
    let mut tracker = tracker(true);
    feed(&mut tracker, FIRST, flagged(1, 3, false));
    assert_eq!(feed(&mut tracker, FIRST, flagged(2, 1, false)), vec![Verdict::Unsettled(bucket(1))]);
    assert_eq!(alive(&mut tracker, FIRST, t(3, 5)), vec![Verdict::Unsettled(bucket(2))]);
}

#[test]
fn quiet_buckets_get_the_flat_bar_only_when_the_bar_before_is_settled() {
    let mut tracker = tracker(false);
    assert_eq!(alive(&mut tracker, FIRST, t(2, 5)), vec![Verdict::Unsettled(bucket(1))], "no close to repeat");
    tracker.note_settled(t(1, 0), 55.5);
    let flat = |minute| Verdict::Final(Candle::flat(t(minute, 0), 55.5), Source::Synthesised, Rule::Quiet);
    assert_eq!(alive(&mut tracker, FIRST, t(4, 5)), vec![flat(2), flat(3)]);
    assert_eq!(feed(&mut tracker, FIRST, frame(6, 2)), vec![flat(4), flat(5)], "a later frame proves them too");
}

#[test]
fn venues_that_omit_quiet_buckets_get_nothing_invented() {
    let mut tracker = tracker(false);
    tracker.rules.quiet = QuietPolicy::Omits;
    tracker.note_settled(t(0, 0), 55.5);
    let both = Verdict::Unsettled(Span::new(t(1, 0), t(3, 0)));
    assert_eq!(alive(&mut tracker, FIRST, t(3, 5)), vec![both]);
}

#[test]
fn buckets_given_up_are_not_settled_later() {
    let mut tracker = tracker(false);
    feed(&mut tracker, FIRST, frame(1, 3));
    tracker.abandon_before(t(2, 0));
    assert_eq!(feed(&mut tracker, FIRST, frame(2, 1)), vec![]);
    assert_eq!(tracker.owned_from(), Some(t(2, 0)));
}

#[test]
fn a_step_of_the_clock_alone_settles_nothing() {
    let mut tracker = tracker(false);
    feed(&mut tracker, FIRST, frame(1, 3));
    // No frame arrives, so nothing calls `alive`: ownership stays, whatever time it is.
    assert_eq!(tracker.owned_from(), Some(t(1, 0)));
    assert_eq!(tracker.forming(), Some(bar(1, 3)));
}
