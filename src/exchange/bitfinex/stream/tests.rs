use chrono::{DateTime, Utc};

use super::*;
use crate::market::{Candle, Side, Timeframe, Trade, TradeId};

const STREAM: &str = include_str!("../../../../tests/fixtures/bitfinex/stream.jsonl");
const NOTICES: &str = include_str!("../../../../tests/fixtures/bitfinex/notices.jsonl");
const MINUTE: Channel = Channel::Candles(Timeframe::M1);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn told<'a>(dialogue: &mut Dialogue, frames: &'a str) -> Vec<Event<'a>> {
    let mut events = Vec::new();
    for frame in frames.lines() {
        decode_frame(dialogue, frame, &mut |event| events.push(event));
    }
    events
}

fn events(frames: &str) -> Vec<Event<'_>> {
    told(&mut Dialogue::default(), frames)
}

/// A connection on which candles and trades of bitcoin have been subscribed to.
fn subscribed() -> Dialogue {
    let mut dialogue = Dialogue::default();
    told(&mut dialogue, STREAM.lines().nth(2).unwrap());
    told(&mut dialogue, STREAM.lines().nth(3).unwrap());
    dialogue
}

fn candle_event(
    time: &str,
    [open, high, low, close, volume]: [f64; 5],
    stamp: &str,
    is_snapshot: bool,
) -> Event<'static> {
    let candle =
        Candle { open_time: at(time), open, high, low, close, volume, quote_volume: None, trades: None, vwap: None };
    let stamped_at = Some(at(stamp));
    Event::Candle {
        stream_id: "tBTCUSD".into(),
        timeframe: Timeframe::M1,
        candle,
        closed: None,
        stamped_at,
        is_snapshot,
    }
}

fn trade_event(
    id: u64,
    time: &str,
    [price, amount]: [&str; 2],
    side: Side,
    stamp: &str,
    is_snapshot: bool,
) -> Event<'static> {
    let id = TradeId::Number(id);
    let trade = Trade {
        last_id: id.clone(),
        id,
        time: at(time),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    };
    Event::Trade { stream_id: "tBTCUSD".into(), trade, is_snapshot, stamped_at: Some(at(stamp)) }
}

fn on(channel: Channel) -> Event<'static> {
    Event::Subscribed { request_id: None, stream_id: Some("tBTCUSD".into()), channel: Some(channel), stamped_at: None }
}

fn beat(stamp: Option<&str>) -> Event<'static> {
    Event::Heartbeat { stamped_at: stamp.map(at) }
}

#[test]
fn channels_are_known_by_the_numbers_of_their_acks_and_each_trade_is_told_once() {
    let mut dialogue = Dialogue::default();
    let (first, second) = ("2026-11-20T14:00:10Z", "2026-11-20T14:00:10.001Z");
    assert_eq!(
        told(&mut dialogue, STREAM),
        [
            Event::VenueStatus { is_up: true, message: "online".into() },
            beat(None),
            on(MINUTE),
            on(Channel::Trades),
            candle_event("2026-11-20T13:59:00Z", [91208.6, 91220.0, 91205.0, 91214.0, 3.40911825], first, true),
            candle_event("2026-11-20T14:00:00Z", [91214.0, 91221.0, 91207.0, 91219.0, 1.88204171], first, true),
            trade_event(1902200411, "2026-11-20T14:00:09.410Z", ["91218", "0.01"], Side::Sell, second, true),
            trade_event(1902200415, "2026-11-20T14:00:09.871Z", ["91219", "0.00215"], Side::Buy, second, true),
            candle_event(
                "2026-11-20T14:00:00Z",
                [91214.0, 91221.0, 91207.0, 91220.0, 1.93204171],
                "2026-11-20T14:00:10.400Z",
                false
            ),
            trade_event(
                1902200420,
                "2026-11-20T14:00:10.333Z",
                ["91220", "0.05"],
                Side::Buy,
                "2026-11-20T14:00:10.401Z",
                false
            ),
            beat(Some("2026-11-20T14:00:11.500Z")),
            beat(Some("2026-11-20T14:00:25.500Z")),
            beat(Some("2026-11-20T14:00:26.002Z")),
            Event::Rejected {
                request_id: None,
                stream_id: Some("tBTCZZZ".into()),
                channel: Some(Channel::Trades),
                error: VenueError::new(ErrorKind::UnknownSymbol, "10300 symbol: invalid"),
            },
            on(MINUTE),
            Event::Unsubscribed { request_id: None, stream_id: Some("tBTCUSD".into()), channel: Some(Channel::Trades) },
        ]
    );
    assert_eq!(dialogue.sequence, Some(6));
    let open = Subscription { channel: MINUTE, stream_id: "tBTCUSD".into() };
    assert_eq!(dialogue.channels.into_iter().collect::<Vec<_>>(), [(41207, open)]);
}

#[test]
fn a_jump_of_the_numbers_is_a_loss_and_a_repeated_frame_is_left_out() {
    let mut dialogue = Dialogue::default();
    let frame = |number: u64| format!("[41207,\"hb\",{number}]");
    let unknown = |kind: &'static str| vec![Event::Unknown { kind: kind.into() }];
    // Whatever the first number is.
    assert_eq!(told(&mut dialogue, &frame(57)), [beat(None)]);
    assert_eq!(told(&mut dialogue, &frame(58)), [beat(None)]);
    assert_eq!(told(&mut dialogue, &frame(58)), unknown("repeated frame"));
    assert_eq!(told(&mut dialogue, &frame(57)), unknown("repeated frame"));
    let lost = Event::FramesLost { message: "frame 60 came after 58".into() };
    assert_eq!(told(&mut dialogue, &frame(60)), [lost]);
    assert_eq!(told(&mut dialogue, "[41207,\"hb\"]"), [beat(None)], "frames without numbers prove nothing");
    assert_eq!(told(&mut dialogue, &frame(61)), [beat(None)]);
}

#[test]
fn numbers_and_stamps_are_told_apart_by_their_size() {
    let stamp = Some("2026-11-20T14:00:25.500Z");
    for tail in [",7,1795183225500]", ",1795183225500,7]", ",\"7\",1795183225500,null]"] {
        let mut dialogue = Dialogue::default();
        assert_eq!(told(&mut dialogue, &format!("[41207,\"hb\"{tail}")), [beat(stamp)]);
        assert_eq!(dialogue.sequence, Some(7), "{tail}");
    }
}

#[test]
fn a_snapshot_may_be_empty_and_frames_need_no_numbers() {
    let mut dialogue = subscribed();
    assert_eq!(told(&mut dialogue, "[41207,[],1]"), []);
    assert_eq!(told(&mut dialogue, "[41208,[]]"), []);
    let row = "[41207,[1795183200000,91214,91219,91221,91207,1.88204171]]";
    let [Event::Candle { stamped_at: None, is_snapshot: false, candle, .. }] = told(&mut dialogue, row)[..] else {
        panic!("{row}")
    };
    assert_eq!((candle.close, candle.high), (91219.0, 91221.0));
}

#[test]
fn the_venue_announces_maintenance_its_end_and_restarts() {
    let status = |is_up, message: &'static str| Event::VenueStatus { is_up, message: message.into() };
    assert_eq!(events(NOTICES), [status(false, "maintenance"), status(true, "online"), Event::Closing, Event::Closing]);
    let greeting = STREAM.lines().next().unwrap().replace("\"status\":1", "\"status\":0");
    assert_eq!(events(&greeting), [status(false, "maintenance")]);
}

#[test]
fn refusals_are_classed_by_their_codes() {
    let refused = |code: u32, message: &str| {
        let frame = format!(
            r#"{{"event":"error","msg":"{message}","code":{code},"channel":"candles","key":"trade:1D:tAVAX:USD"}}"#
        );
        match events(&frame).remove(0) {
            Event::Rejected { stream_id: Some(id), channel: Some(Channel::Candles(Timeframe::D1)), error, .. } => {
                assert_eq!(id, "tAVAX:USD");
                error.kind
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(10000, "event: invalid"), ErrorKind::BadRequest);
    assert_eq!(refused(10001, "pair: unknown"), ErrorKind::UnknownSymbol);
    assert_eq!(refused(10300, "symbol: invalid"), ErrorKind::UnknownSymbol);
    assert_eq!(refused(10300, "key: invalid"), ErrorKind::BadRequest);
    assert_eq!(refused(10302, "channel: unknown"), ErrorKind::BadRequest);
    assert_eq!(refused(10305, "limit: reached"), ErrorKind::RateLimited { retry_after: None });
    assert_eq!(refused(19999, "news"), ErrorKind::Unavailable);
    let unnamed = r#"{"event":"error","msg":"not subscribed","code":10401,"chanId":7}"#;
    assert_eq!(events(unnamed), [Event::Error(VenueError::new(ErrorKind::BadRequest, "10401 not subscribed"))]);
    let conf = r#"{"event":"conf","status":"FAILED","flags":98304}"#;
    let words = "frames are not numbered: conf was refused";
    assert_eq!(events(conf), [Event::Error(VenueError::new(ErrorKind::BadRequest, words))]);
}

#[test]
fn what_has_no_use_is_unknown_and_broken_frames_are_one_error() {
    let unknown = |kind: &'static str| vec![Event::Unknown { kind: kind.into() }];
    assert_eq!(events(r#"{"event":"auth","status":"OK"}"#), unknown("auth"));
    assert_eq!(events(r#"{"event":"info"}"#), unknown("info"));
    assert_eq!(events("[7,[1795183200000,1,1,1,1,1],1]"), unknown("channel that is not open"));
    assert_eq!(told(&mut subscribed(), "[41208,\"fte\",[1,2,3,4],1]"), unknown("fte"));
    let other = r#"{"event":"subscribed","channel":"candles","chanId":9,"key":"trade:3h:tBTCUSD"}"#;
    assert_eq!(events(other), unknown("subscribed"));
    let broken = [
        "rubbish",
        "[]",
        "[41207]",
        "null",
        "{}",
        "[\"x\",\"hb\"]",
        "[41207,[1795183200000,91214,null,91221,91207,1.88]]",
        "[41207,[1795183200500,91214,91219,91221,91207,1.88]]",
        "[41207,[[1795183200000,91214]]]",
        "[41207,7]",
        "[41208,\"te\",[1902200420,1795183210333,\"much\",91220],1]",
        "[41208,\"te\",[1902200420,17951",
        r#"{"event":"subscribed","channel":"trades","symbol":"tBTCUSD"}"#,
        r#"{"event":"error","msg":"x"}"#,
    ];
    for frame in broken {
        let found = told(&mut subscribed(), frame);
        let [Event::Error(error)] = found.as_slice() else { panic!("{frame}: {found:?}") };
        assert_eq!(error.kind, ErrorKind::Malformed, "{frame}");
    }
}

#[test]
fn each_subscription_has_a_frame_and_ends_by_its_number() {
    let wanted = [
        Subscription { channel: Channel::Candles(Timeframe::D1), stream_id: "tAVAX:USD".into() },
        Subscription { channel: Channel::Trades, stream_id: "tBTCUSD".into() },
    ];
    let frame = |text: &str, request_id, subscriptions| ControlFrame { text: text.into(), request_id, subscriptions };
    assert_eq!(
        encode_subscribe(&wanted, 5),
        [
            frame(r#"{"channel":"candles","event":"subscribe","key":"trade:1D:tAVAX:USD"}"#, 5, 0..1),
            frame(r#"{"channel":"trades","event":"subscribe","symbol":"tBTCUSD"}"#, 6, 1..2),
        ]
    );
    let ended = encode_unsubscribe(&subscribed(), &wanted, 9);
    assert_eq!(ended, [frame(r#"{"chanId":41208,"event":"unsubscribe"}"#, 10, 1..2)]);
    assert_eq!(encode_opening(), r#"{"event":"conf","flags":98304}"#);
    assert_eq!(encode_ping(17), r#"{"cid":17,"event":"ping"}"#);
}
