use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;
use crate::market::{Side, Timeframe, TradeId};

const STATUS: &str = include_str!("../../../../tests/fixtures/kraken/status.jsonl");
const ANSWERS: &str = include_str!("../../../../tests/fixtures/kraken/answers.jsonl");
const OHLC: &str = include_str!("../../../../tests/fixtures/kraken/ohlc.jsonl");
const TRADE: &str = include_str!("../../../../tests/fixtures/kraken/trade.jsonl");

fn t(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn events(frames: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    for frame in frames.lines() {
        decode_frame(frame, &mut |event| events.push(event));
    }
    events
}

fn malformed_frame(frame: &str) -> bool {
    matches!(events(frame).as_slice(), [Event::Error(VenueError { kind: ErrorKind::Malformed, .. })])
}

fn subscription(channel: Channel, stream_id: &str) -> Subscription {
    Subscription { channel, stream_id: stream_id.into() }
}

#[test]
fn candle_frames_carry_the_bar_so_far_without_a_closed_flag_and_say_when_they_are_a_snapshot() {
    let event = |stamp: &str, candle: Candle, is_snapshot: bool| Event::Candle {
        stream_id: "BTC/USD".into(),
        timeframe: Timeframe::M1,
        candle,
        closed: None,
        stamped_at: Some(t(stamp)),
        is_snapshot,
    };
    let before = Candle {
        open_time: t("2026-11-20T13:59:00Z"),
        open: 91204.1,
        high: 91230.0,
        low: 91190.3,
        close: 91215.6,
        volume: 1.48230017,
        quote_volume: None,
        trades: Some(37),
        vwap: Some(91211.87),
    };
    let running = Candle {
        open_time: t("2026-11-20T14:00:00Z"),
        open: 91215.6,
        high: 91240.0,
        low: 91215.5,
        close: 91233.9,
        volume: 0.61350021,
        quote_volume: None,
        trades: Some(9),
        vwap: Some(91229.41),
    };
    assert_eq!(
        events(OHLC),
        [
            event("2026-11-20T14:00:00.150112908Z", before, true),
            event("2026-11-20T14:00:00.150112908Z", Candle::flat(running.open_time, 91215.6), true),
            event("2026-11-20T14:00:31.004112908Z", running, false),
        ]
    );
}

#[test]
fn hot_frames_borrow_their_market_and_any_order_of_keys_reads_the_same() {
    let frame = OHLC.lines().nth(1).unwrap();
    let expected = events(frame);
    assert!(matches!(&expected[0], Event::Candle { stream_id: Cow::Borrowed("BTC/USD"), .. }));
    let reordered = format!("{{ {}, \"channel\" : \"ohlc\" }}", &frame[r#"{"channel":"ohlc","#.len()..frame.len() - 1]);
    assert_eq!(events(&reordered), expected);
    let escaped = frame.replace("BTC/USD", "BTC\\/USD");
    assert_eq!(events(&escaped), expected);
    let sparse =
        frame.replace(r#","vwap":91229.41"#, "").replace(r#""timestamp":"2026-11-20T14:00:31.004112908Z","#, "");
    let [Event::Candle { candle, stamped_at: None, .. }] = events(&sparse)[..] else { panic!("{sparse}") };
    assert_eq!((candle.vwap, candle.close), (None, 91233.9));
}

#[test]
fn trades_keep_every_digit_of_their_numbers() {
    let trade = |id, time: &str, price: &str, amount: &str, side| Trade {
        id: TradeId::Number(id),
        last_id: TradeId::Number(id),
        time: t(time),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    };
    let event = |trade, is_snapshot| Event::Trade { stream_id: "BTC/USD".into(), trade, is_snapshot, stamped_at: None };
    assert_eq!(
        events(TRADE),
        [
            event(trade(90215532, "2026-11-20T14:00:29.334521Z", "91215.60000", "0.0041", Side::Buy), true),
            event(trade(90215533, "2026-11-20T14:00:30.771204Z", "91233.9", "0.0153", Side::Sell), false),
        ]
    );
    let long = TRADE.lines().nth(1).unwrap().replace("91233.9", "12345678901234567.123456789");
    let [Event::Trade { trade, .. }] = &events(&long)[..] else { panic!("{long}") };
    assert_eq!(trade.price.to_string(), "12345678901234567.123456789");
}

#[test]
fn status_frames_tell_whether_the_venue_is_up() {
    let status = |is_up, message: &'static str| Event::VenueStatus { is_up, message: message.into() };
    assert_eq!(events(STATUS), [status(true, "online"), status(false, "maintenance")]);
    for system in ["cancel_only", "post_only"] {
        let frame = STATUS.lines().next().unwrap().replace("online", system);
        assert_eq!(events(&frame), [Event::VenueStatus { is_up: false, message: system.into() }]);
    }
}

#[test]
fn answers_are_told_apart_and_refusals_name_their_market_where_they_can() {
    let foo = |request_id| Event::Rejected {
        request_id: Some(request_id),
        stream_id: Some("FOO/BAR".into()),
        channel: None,
        error: VenueError::new(ErrorKind::UnknownSymbol, "Currency pair not supported FOO/BAR"),
    };
    assert_eq!(
        events(ANSWERS),
        [
            Event::Subscribed {
                request_id: Some(11),
                stream_id: Some("BTC/USD".into()),
                channel: None,
                stamped_at: Some(t("2026-11-20T14:00:00.100377Z")),
            },
            foo(13),
            foo(13),
            Event::Rejected {
                request_id: Some(14),
                stream_id: None,
                channel: None,
                error: VenueError::new(ErrorKind::BadRequest, "Already subscribed to one ohlc interval on this symbol"),
            },
            Event::Unsubscribed { request_id: Some(15), stream_id: Some("BTC/USD".into()), channel: None },
            Event::Heartbeat { stamped_at: Some(t("2026-11-20T14:00:00.500050Z")) },
            Event::Error(VenueError::new(ErrorKind::RateLimited { retry_after: None }, "Exceeded msg rate")),
        ]
    );
}

#[test]
fn heartbeats_and_unknown_frames_are_not_errors() {
    let unknown = |kind: &'static str| Event::Unknown { kind: kind.into() };
    assert_eq!(events(r#"{"channel":"heartbeat"}"#), [Event::Heartbeat { stamped_at: None }]);
    assert_eq!(events(r#"{"channel":"book","type":"update","data":[]}"#), [unknown("book")]);
    assert_eq!(events(r#"{"method":"subscribe","params":{"channel":"ohlc"},"req_id":1}"#), [unknown("subscribe")]);
    assert_eq!(events(r#"{"method":"cancel","success":true}"#), [unknown("cancel")]);
    assert_eq!(events(r#"{"news":1}"#), [unknown("object")]);
    let half_month = OHLC.lines().nth(1).unwrap().replace(r#""interval":1,"#, r#""interval":21600,"#);
    assert_eq!(events(&half_month), [unknown("ohlc interval")]);
}

#[test]
fn broken_frames_give_one_error() {
    let update = OHLC.lines().nth(1).unwrap();
    let broken = [
        "garbage",
        "<html>",
        "[0,[],\"ohlc-1\",\"XBT/USD\"]",
        "7",
        "{\"channel\":\"heartbeat\"",
        "{\"channel\":\"ohlc\"}",
        "{\"channel\":\"status\"}",
        &update[..update.len() / 2],
        &update.replace("91240.0", "\"high\""),
        &update.replace("91240.0", "null"),
        &update.replace("14:00:00.000000000Z", "14:00:07.000000000Z"),
        &update.replace("2026-11-20T14:00:00.000000000Z", "soon"),
        &update.replace("0.61350021", "-1"),
        &TRADE.lines().nth(1).unwrap().replace("90215533", "\"x\""),
    ];
    for frame in broken {
        assert!(malformed_frame(frame), "{frame}: {:?}", events(frame));
    }
    let refused = r#"{"method":"ping","success":false,"error":"EService:Busy"}"#;
    assert_eq!(events(refused), [Event::Error(VenueError::new(ErrorKind::Unavailable, "EService:Busy"))]);
}

#[test]
fn control_frames_hold_one_channel_and_at_most_fifty_markets_and_always_say_snapshot() {
    let minute = Channel::Candles(Timeframe::M1);
    let wanted =
        [subscription(minute, "BTC/USD"), subscription(minute, "ETH/USD"), subscription(Channel::Trades, "BTC/USD")];
    let frame = |text: &str, request_id, subscriptions| ControlFrame { text: text.into(), request_id, subscriptions };
    assert_eq!(
        encode_control("subscribe", &wanted, 11),
        [
            frame(
                r#"{"method":"subscribe","params":{"channel":"ohlc","symbol":["BTC/USD","ETH/USD"],"interval":1,"snapshot":true},"req_id":11}"#,
                11,
                0..2
            ),
            frame(
                r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":true},"req_id":12}"#,
                12,
                2..3
            ),
        ]
    );
    let day = [subscription(Channel::Candles(Timeframe::D1), "BTC/USD")];
    assert_eq!(
        encode_control("unsubscribe", &day, 7),
        [frame(
            r#"{"method":"unsubscribe","params":{"channel":"ohlc","symbol":["BTC/USD"],"interval":1440},"req_id":7}"#,
            7,
            0..1
        )]
    );
    let many = (0..120).map(|n| subscription(minute, &format!("C{n}/USD"))).collect::<Vec<_>>();
    let ranges = encode_control("subscribe", &many, 1).into_iter().map(|frame| frame.subscriptions);
    assert_eq!(ranges.collect::<Vec<_>>(), [0..50, 50..100, 100..120]);
    assert_eq!(encode_control("subscribe", &[], 1), []);
    assert_eq!(encode_ping(5), r#"{"method":"ping","req_id":5}"#);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        events(&text);
    }

    #[test]
    fn no_damage_to_a_good_frame_panics(
        frames in prop::sample::select(vec![OHLC, TRADE, ANSWERS, STATUS]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), (b' '..=b'~').prop_map(char::from)), 1..6),
    ) {
        let mut text = frames.chars().collect::<Vec<_>>();
        for (index, symbol) in damage {
            let at = index.index(text.len());
            text[at] = symbol;
        }
        events(&text.into_iter().collect::<String>());
    }
}
