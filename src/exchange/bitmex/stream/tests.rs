use chrono::{DateTime, Utc};

use super::*;
use crate::market::{Candle, Side, Timeframe, Trade, TradeId};

const STREAM: &str = include_str!("../../../../tests/fixtures/bitmex/stream.jsonl");
const MINUTES: Channel = Channel::Candles(Timeframe::M1);

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

fn subscribed(channel: Channel) -> Event<'static> {
    let (stream_id, channel) = (Some("XBTUSD".into()), Some(channel));
    Event::Subscribed { request_id: None, stream_id, channel, stamped_at: None }
}

fn rejected(id: &'static str, kind: ErrorKind, words: &str) -> Event<'static> {
    let (stream_id, channel) = (Some(id.into()), Some(Channel::Trades));
    Event::Rejected { request_id: None, stream_id, channel, error: VenueError::new(kind, words) }
}

#[test]
fn each_topic_is_asked_for_in_its_own_frame() {
    let of = |channel| Subscription { channel, stream_id: "XBTUSD".into() };
    let frames = encode_control("subscribe", &[of(MINUTES), of(Channel::Trades)], 7);
    let expected = [
        (r#"{"op":"subscribe","args":["tradeBin1m:XBTUSD"]}"#, 7, 0..1),
        (r#"{"op":"subscribe","args":["trade:XBTUSD"]}"#, 8, 1..2),
    ];
    let expected =
        expected.map(|(text, request_id, subscriptions)| ControlFrame { text: text.into(), request_id, subscriptions });
    assert_eq!(frames, expected);
    let ends = encode_control("unsubscribe", &[of(Channel::Candles(Timeframe::H1))], 1);
    assert_eq!(ends[0].text, r#"{"op":"unsubscribe","args":["tradeBin1h:XBTUSD"]}"#);
}

#[test]
fn frames_are_read_and_rows_before_their_snapshot_are_ignored() {
    let candle = |open_time: &str, prices: [f64; 4], volume, quote, trades, vwap, is_snapshot| Event::Candle {
        stream_id: "XBTUSD".into(),
        timeframe: Timeframe::M1,
        candle: Candle {
            open_time: t(open_time),
            open: prices[0],
            high: prices[1],
            low: prices[2],
            close: prices[3],
            volume,
            quote_volume: Some(quote),
            trades: Some(trades),
            vwap,
        },
        closed: Some(true),
        stamped_at: None,
        is_snapshot,
    };
    let id = TradeId::Text("00000000-006d-1000-0000-0012ab34ce01".into());
    let time = t("2026-08-14T09:33:05.120Z");
    let (price, amount) = ("88440".parse().unwrap(), "0.0113071".parse().unwrap());
    let trade = Trade { last_id: id.clone(), id, time, price, amount, side: Some(Side::Buy) };
    let wait = Some(Duration::from_secs(1));
    let told = [88427.1, 88440.0, 88425.5, 88439.5];
    assert_eq!(
        events(STREAM),
        [
            Event::Heartbeat { stamped_at: Some(t("2026-08-14T09:30:59.911Z")) },
            subscribed(MINUTES),
            candle("2026-08-14T09:31:00Z", [88427.1; 4], 0.0, 0.0, 0, None, true),
            candle("2026-08-14T09:32:00Z", told, 0.830001, 73400.0, 22, Some(88433.7), false),
            Event::Unknown { kind: "row before its snapshot".into() },
            subscribed(Channel::Trades),
            Event::Trade { stream_id: "XBTUSD".into(), trade, is_snapshot: false, stamped_at: Some(time) },
            Event::Heartbeat { stamped_at: None },
            Event::Error(VenueError::new(ErrorKind::BadRequest, "Unknown table: tradeBin7m")),
            rejected(
                "ETHUSD",
                ErrorKind::RateLimited { retry_after: wait },
                "Rate limit exceeded, retry in 1 seconds."
            ),
            rejected("NOUSD", ErrorKind::UnknownSymbol, "Unknown or expired symbol."),
            Event::Unsubscribed { request_id: None, stream_id: Some("XBTUSD".into()), channel: Some(Channel::Trades) },
        ]
    );
}

#[test]
fn what_ended_needs_a_new_snapshot_and_what_is_held_already_is_no_error() {
    let lines: Vec<_> = STREAM.lines().collect();
    let (snapshot, insert, ended) = (lines[6], lines[7], lines[12]);
    let again = [snapshot, insert, ended, insert].join("\n");
    let found = events(&again);
    assert!(matches!(found[0], Event::Trade { .. }));
    assert_eq!(found[2], Event::Unknown { kind: "row before its snapshot".into() });
    let held = r#"{"status":400,"error":"You are already subscribed to this topic: trade:XBTUSD","meta":{},"request":{"op":"subscribe","args":["trade:XBTUSD"]}}"#;
    assert_eq!(events(held), [subscribed(Channel::Trades)]);
}

#[test]
fn other_tables_actions_and_rubbish_are_told_apart() {
    let unknown = |kind: &'static str| Event::Unknown { kind: kind.into() };
    assert_eq!(events(r#"{"table":"liquidation","action":"insert","data":[]}"#), [unknown("liquidation")]);
    assert_eq!(events(r#"{"table":"trade","action":"delete","data":[]}"#), [unknown("delete")]);
    assert_eq!(events("{}"), [unknown("object")]);
    let row = r#"{"table":"trade","action":"partial","data":[{"symbol":"XBTUSD"}]}"#;
    for rubbish in ["", "<html>", "[1]", "ping", row] {
        let mut found = Vec::new();
        decode_frame(&mut Dialogue::default(), rubbish, &mut |event| found.push(event));
        let [Event::Error(error)] = &found[..] else { panic!("{rubbish}: {found:?}") };
        assert_eq!(error.kind, ErrorKind::Malformed);
    }
}
