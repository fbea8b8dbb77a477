use chrono::{DateTime, Utc};

use super::*;
use crate::market::{Candle, Side, Timeframe, Trade, TradeId};

const STREAM: &str = include_str!("../../../../tests/fixtures/hyperliquid/stream.jsonl");

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn events(frames: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    for frame in frames.lines() {
        decode_frame(frame, &mut |event| events.push(event));
    }
    events
}

fn line(index: usize) -> &'static str {
    STREAM.lines().nth(index).unwrap()
}

fn candle_event() -> Event<'static> {
    Event::Candle {
        stream_id: "BTC".into(),
        timeframe: Timeframe::M1,
        candle: Candle {
            open_time: at("2026-11-20T14:00:00Z"),
            open: 91214.0,
            high: 91221.0,
            low: 91213.0,
            close: 91219.0,
            volume: 0.91844,
            quote_volume: None,
            trades: Some(31),
            vwap: None,
        },
        closed: None,
        stamped_at: None,
        is_snapshot: false,
    }
}

fn trade_event() -> Event<'static> {
    let id = TradeId::Text("1795183209877/884120033107415".into());
    Event::Trade {
        stream_id: "BTC".into(),
        trade: Trade {
            last_id: id.clone(),
            id,
            time: at("2026-11-20T14:00:09.877Z"),
            price: "91219.0".parse().unwrap(),
            amount: "0.0105".parse().unwrap(),
            side: Some(Side::Sell),
        },
        is_snapshot: false,
        stamped_at: None,
    }
}

fn named(coin: &'static str) -> Option<std::borrow::Cow<'static, str>> {
    Some(coin.into())
}

#[test]
fn answers_name_what_they_answer_and_to_have_it_already_is_no_error() {
    let parsing = "Error parsing JSON into valid websocket request: ";
    let asked = r#"{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"1d"}}"#;
    let refused = |words: String| VenueError::new(ErrorKind::BadRequest, words);
    let trades = Some(Channel::Trades);
    let subscribed =
        |channel| Event::Subscribed { request_id: None, stream_id: named("BTC"), channel, stamped_at: None };
    assert_eq!(
        events(STREAM),
        [
            subscribed(Some(Channel::Candles(Timeframe::M1))),
            candle_event(),
            trade_event(),
            Event::Unsubscribed { request_id: None, stream_id: named("BTC"), channel: trades },
            subscribed(trades),
            Event::Rejected {
                request_id: None,
                stream_id: named("BTC"),
                channel: Some(Channel::Candles(Timeframe::D1)),
                error: refused(format!("{parsing}{asked}")),
            },
            Event::Error(refused(format!("{parsing}garbage"))),
            Event::Heartbeat { stamped_at: None },
            Event::Heartbeat { stamped_at: None },
        ]
    );
    let gone = line(4).replace("Already subscribed", "Already unsubscribed");
    assert_eq!(events(&gone), [Event::Unsubscribed { request_id: None, stream_id: named("BTC"), channel: trades }]);
}

#[test]
fn bars_come_alone_or_in_an_array_with_numbers_of_either_kind() {
    let bar = &line(1)[r#"{"channel":"candle","data":"#.len()..line(1).len() - 1];
    let several = format!(r#"{{"data":[{bar},{bar}],"new":null,"channel":"candle"}}"#);
    assert_eq!(events(&several), [candle_event(), candle_event()]);
    assert_eq!(events(&line(1).replace("\"0.91844\"", "91844e-5").replace(":31}", ":\"31\"}")), [candle_event()]);
    let other = line(1).replace("\"1m\"", "\"7m\"");
    assert_eq!(events(&other), [Event::Unknown { kind: "candle interval".into() }]);
}

#[test]
fn trades_of_a_frame_are_told_in_order_of_time() {
    let row = |millis: i64| format!(r#"{{"coin":"@107","side":"B","px":"1","sz":"2","time":{millis},"tid":7}}"#);
    let frame = format!(r#"{{"channel":"trades","data":[{},{}]}}"#, row(1795183202000), row(1795183201000));
    let times = events(&frame).into_iter().map(|event| match event {
        Event::Trade { stream_id, trade, .. } => (stream_id.into_owned(), trade.time.timestamp(), trade.side),
        other => panic!("{other:?}"),
    });
    let expected = [1795183201, 1795183202].map(|second| ("@107".to_owned(), second, Some(Side::Buy)));
    assert_eq!(times.collect::<Vec<_>>(), expected);
}

#[test]
fn other_channels_are_unknown_and_broken_frames_are_one_error() {
    let unknown = |kind: &'static str| vec![Event::Unknown { kind: kind.into() }];
    assert_eq!(events(r#"{"channel":"allMids","data":{"mids":{"BTC":"1"}}}"#), unknown("allMids"));
    let book = line(0).replace("candle", "l2Book");
    assert_eq!(events(&book), unknown("subscriptionResponse"));
    let broken = [
        "rubbish",
        "null",
        "[]",
        "{}",
        r#"{"channel":"candle"}"#,
        r#"{"channel":"error","data":{}}"#,
        &line(1)[..60],
        &line(1).replace("\"91219.0\"", "null"),
        &line(1).replace(":1795183200000", ":1795183200500"),
        &line(2).replace("\"91219.0\"", "\"much\""),
        &line(2).replace("884120033107415", "-1"),
    ];
    for frame in broken {
        let found = events(frame);
        let [Event::Error(error)] = found.as_slice() else { panic!("{frame}: {found:?}") };
        assert_eq!(error.kind, ErrorKind::Malformed, "{frame}");
    }
}

#[test]
fn each_subscription_has_a_frame_of_its_own_and_names_keep_their_case() {
    let wanted = [
        Subscription { channel: Channel::Candles(Timeframe::Month1), stream_id: "kPEPE".into() },
        Subscription { channel: Channel::Trades, stream_id: "@107".into() },
    ];
    let frame = |text: &str, request_id, subscriptions| ControlFrame { text: text.into(), request_id, subscriptions };
    assert_eq!(
        encode_control("subscribe", &wanted, 5),
        [
            frame(r#"{"method":"subscribe","subscription":{"type":"candle","coin":"kPEPE","interval":"1M"}}"#, 5, 0..1),
            frame(r#"{"method":"subscribe","subscription":{"type":"trades","coin":"@107"}}"#, 6, 1..2),
        ]
    );
    let last = encode_control("unsubscribe", &wanted[1..], 9);
    assert_eq!(last, [frame(r#"{"method":"unsubscribe","subscription":{"type":"trades","coin":"@107"}}"#, 9, 0..1)]);
}
