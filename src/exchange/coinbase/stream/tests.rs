use chrono::{DateTime, Utc};

use super::*;
use crate::market::{Side, Timeframe, Trade};

const FEED: &str = include_str!("../../../../tests/fixtures/coinbase/feed.jsonl");

fn t(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn events(frames: &str) -> Vec<Event<'_>> {
    let (mut dialogue, mut events) = (Dialogue::default(), Vec::new());
    for frame in frames.lines() {
        decode_frame(&mut dialogue, frame, &mut |event| events.push(event));
    }
    events
}

fn subscription(channel: Channel, stream_id: &str) -> Subscription {
    Subscription { channel, stream_id: stream_id.into() }
}

fn trade(id: u64, time: &str, price: &str, amount: &str, side: Side) -> Trade {
    Trade {
        id: TradeId::Number(id),
        last_id: TradeId::Number(id),
        time: t(time),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    }
}

fn subscribed(stream_id: &'static str) -> Event<'static> {
    Event::Subscribed {
        request_id: None,
        stream_id: Some(stream_id.into()),
        channel: Some(Channel::Trades),
        stamped_at: None,
    }
}

#[test]
fn acks_list_what_is_subscribed_trades_carry_the_taker_and_heartbeats_name_the_last_trade() {
    let expected = [
        subscribed("BTC-USD"),
        subscribed("ETH-USD"),
        Event::Trade {
            stream_id: "BTC-USD".into(),
            trade: trade(912330459, "2026-11-20T14:00:09.990128Z", "91219.38", "0.00040000", Side::Sell),
            is_snapshot: true,
            stamped_at: None,
        },
        Event::Trade {
            stream_id: "BTC-USD".into(),
            trade: trade(912330460, "2026-11-20T14:00:12.334512Z", "91219.40", "0.01200000", Side::Buy),
            is_snapshot: false,
            stamped_at: Some(t("2026-11-20T14:00:12.334512Z")),
        },
        Event::LastTrade {
            stream_id: "BTC-USD".into(),
            id: TradeId::Number(912330460),
            stamped_at: Some(t("2026-11-20T14:00:13Z")),
        },
        Event::Unsubscribed { request_id: None, stream_id: Some("ETH-USD".into()), channel: Some(Channel::Trades) },
        subscribed("BTC-USD"),
        Event::Rejected {
            request_id: None,
            stream_id: Some("BTC-ZZZ".into()),
            channel: Some(Channel::Trades),
            error: VenueError::new(ErrorKind::UnknownSymbol, "Failed to subscribe: BTC-ZZZ is not a valid product"),
        },
    ];
    assert_eq!(events(FEED), expected);
}

#[test]
fn numbers_may_come_either_way_and_unknown_sides_are_none() {
    let frame = FEED.lines().nth(2).unwrap();
    let expected = events(frame);
    assert!(matches!(&expected[0], Event::Trade { stream_id: Cow::Borrowed("BTC-USD"), .. }));
    let other = frame
        .replace(":912330460", r#":"912330460""#)
        .replace(r#""91219.40""#, "91219.40")
        .replace(r#""sequence":118200450771"#, r#""sequence":null,"new":[1]"#);
    assert_eq!(events(&other), expected);
    let neither = frame.replace(r#""side":"sell""#, r#""side":"both""#);
    let [Event::Trade { trade, .. }] = &events(&neither)[..] else { panic!("{neither}") };
    assert_eq!((trade.side, trade.price.to_string()), (None, "91219.40".to_owned()));
}

#[test]
fn a_market_that_never_traded_has_a_heartbeat_without_a_trade() {
    let stamped_at = Some(t("2026-11-20T14:00:13Z"));
    let frame = FEED.lines().nth(3).unwrap();
    for last in [r#""last_trade_id":0"#, r#""last_trade_id":null"#, r#""new":1"#] {
        let frame = frame.replace(r#""last_trade_id":912330460"#, last);
        assert_eq!(events(&frame), [Event::Heartbeat { stamped_at }], "{last}");
    }
}

#[test]
fn errors_without_a_market_are_classed_by_their_sentences() {
    let error = |kind, words: &str| VenueError::new(kind, words);
    let of = |message: &str| events(message).pop().map(|event| format!("{event:?}"));
    let channel = r#"{"type":"error","message":"Failed to subscribe","reason":"foo is not a valid channel"}"#;
    let refused = Event::Rejected {
        request_id: None,
        stream_id: None,
        channel: None,
        error: error(ErrorKind::BadRequest, "Failed to subscribe: foo is not a valid channel"),
    };
    assert_eq!(of(channel), Some(format!("{refused:?}")));
    let limited = Event::Error(error(ErrorKind::RateLimited { retry_after: None }, "rate limit exceeded"));
    assert_eq!(of(r#"{"type":"error","message":"rate limit exceeded"}"#), Some(format!("{limited:?}")));
    let json = Event::Error(error(ErrorKind::BadRequest, "Malformed JSON"));
    assert_eq!(of(r#"{"type":"error","message":"Malformed JSON"}"#), Some(format!("{json:?}")));
    let empty = Event::Error(error(ErrorKind::BadRequest, "error"));
    assert_eq!(of(r#"{"type":"error"}"#), Some(format!("{empty:?}")));
}

#[test]
fn unknown_frames_are_no_errors_and_broken_ones_give_one() {
    let unknown = |kind: &'static str| Event::Unknown { kind: kind.into() };
    assert_eq!(events(r#"{"type":"ticker","product_id":"BTC-USD"}"#), [unknown("ticker")]);
    assert_eq!(events(r#"{"news":1}"#), [unknown("object")]);
    assert_eq!(events(r#"{"type":"subscriptions","channels":[]}"#), []);
    let trade = FEED.lines().nth(2).unwrap();
    let broken = [
        "pong",
        "<html>",
        "[]",
        "7",
        &trade[..trade.len() / 2],
        &trade.replace("91219.40", "much"),
        &trade.replace(r#""product_id":"BTC-USD","#, ""),
        &trade.replace("2026-11-20T14:00:12.334512Z", "soon"),
        r#"{"type":"subscriptions"}"#,
        r#"{"type":"subscriptions","channels":"matches"}"#,
    ];
    for frame in broken {
        let found = events(frame);
        let kinds = found.iter().map(|event| match event {
            Event::Error(error) => error.kind,
            other => panic!("{frame}: {other:?}"),
        });
        assert_eq!(kinds.collect::<Vec<_>>(), [ErrorKind::Malformed], "{frame}");
    }
}

#[test]
fn control_frames_ask_for_trades_and_heartbeats_of_at_most_fifty_markets() {
    let candles = subscription(Channel::Candles(Timeframe::M1), "BTC-USD");
    let wanted = [subscription(Channel::Trades, "BTC-USD"), subscription(Channel::Trades, "ETH-USD"), candles.clone()];
    let frame = |text: &str| ControlFrame { text: text.into(), request_id: 11, subscriptions: 0..2 };
    assert_eq!(
        encode_control("subscribe", &wanted, 11),
        [frame(r#"{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channels":["matches","heartbeat"]}"#)]
    );
    assert_eq!(
        encode_control("unsubscribe", &wanted, 11),
        [frame(r#"{"type":"unsubscribe","product_ids":["BTC-USD","ETH-USD"],"channels":["matches","heartbeat"]}"#)]
    );
    let many = (0..120).map(|n| subscription(Channel::Trades, &format!("C{n}-USD"))).collect::<Vec<_>>();
    let numbered =
        encode_control("subscribe", &many, 1).into_iter().map(|frame| (frame.request_id, frame.subscriptions));
    assert_eq!(numbered.collect::<Vec<_>>(), [(1, 0..50), (2, 50..100), (3, 100..120)]);
    assert_eq!(encode_control("subscribe", &[candles], 1), []);
}
