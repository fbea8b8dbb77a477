use std::time::Duration;

use chrono::{DateTime, Utc};

use super::*;
use crate::exchange::ErrorKind;
use crate::market::{Candle, Side, Timeframe, Trade, TradeId};

const FRAMES: &str = include_str!("../../../../tests/fixtures/okx/frames.jsonl");

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

const MINUTE: Channel = Channel::Candles(Timeframe::M1);

fn candle_event(stream_id: &'static str, time: &str, closed: bool, values: [f64; 6]) -> Event<'static> {
    let [open, high, low, close, volume, quote_volume] = values;
    let candle = Candle {
        volume,
        quote_volume: Some(quote_volume),
        trades: None,
        ..Candle { open, high, low, close, ..Candle::flat(t(time), 0.0) }
    };
    Event::Candle {
        stream_id: stream_id.into(),
        timeframe: Timeframe::M1,
        candle,
        closed: Some(closed),
        stamped_at: None,
        is_snapshot: false,
    }
}

#[test]
fn every_kind_of_frame_is_told_apart() {
    let words = "60018 Wrong URL or channel:candle1m,instId:BTC-ZZZ doesn't exist. Please use the correct URL, \
                 channel and parameters referring to API document.";
    let expected = [
        Event::Subscribed {
            request_id: Some(11),
            stream_id: Some("BTC-USDT".into()),
            channel: Some(MINUTE),
            stamped_at: None,
        },
        candle_event(
            "BTC-USDT",
            "2026-11-20T14:00:00Z",
            false,
            [91214.1, 91221.3, 91207.5, 91219.4, 1.88204, 171665.71930742],
        ),
        // Base currency, not contracts.
        candle_event(
            "BTC-USDT-SWAP",
            "2026-11-20T13:59:00Z",
            true,
            [91180.6, 91190.0, 91175.0, 91188.1, 3.4091, 310845.02],
        ),
        Event::Trade {
            stream_id: "BTC-USDT".into(),
            trade: Trade {
                id: TradeId::Number(804411903),
                last_id: TradeId::Number(804411905),
                time: t("2026-11-20T14:00:10.220Z"),
                price: "91219.5".parse().unwrap(),
                amount: "0.0311".parse().unwrap(),
                side: Some(Side::Buy),
            },
            is_snapshot: false,
            stamped_at: Some(t("2026-11-20T14:00:10.220Z")),
        },
        Event::Rejected {
            request_id: Some(12),
            stream_id: Some("BTC-ZZZ".into()),
            channel: Some(MINUTE),
            error: VenueError::new(ErrorKind::UnknownSymbol, words),
        },
        Event::Unsubscribed {
            request_id: Some(13),
            stream_id: Some("BTC-USDT".into()),
            channel: Some(Channel::Trades),
        },
        Event::Closing,
        Event::Heartbeat { stamped_at: None },
    ];
    assert_eq!(events(FRAMES), expected);
}

#[test]
fn older_servers_leave_fields_out_and_numbers_may_come_either_way() {
    let [ack, bar, _, trade, ..] = FRAMES.lines().collect::<Vec<_>>()[..] else { panic!("{FRAMES}") };
    let bare = ack.replace(r#""id":"11","#, "").replace(r#","connId":"b7f01a2c""#, "");
    assert!(matches!(&events(&bare)[..], [Event::Subscribed { request_id: None, channel: Some(MINUTE), .. }]));
    assert!(matches!(&events(bar)[..], [Event::Candle { stream_id: Cow::Borrowed("BTC-USDT"), .. }]));
    let numbers = bar.replace(r#""1795183200000""#, "1795183200000").replace(r#""0"]"#, r#"0,"new"]"#);
    assert_eq!(events(&numbers), events(bar));
    let single =
        trade.replace(r#","count":"3","source":"0","seqId":55120934001"#, "").replace(r#""0.0311""#, "3.11e-2");
    let [Event::Trade { trade, .. }] = &events(&single)[..] else { panic!("{single}") };
    assert_eq!((trade.id.number(), trade.last_id.number()), (Some(804411905), Some(804411905)));
    assert_eq!(trade.amount.to_string(), "0.0311");
}

#[test]
fn refusals_are_classed_by_their_code_and_named_by_id_or_words_where_they_can() {
    let error = |code: &str, id: &str| format!(r#"{{{id}"event":"error","code":"{code}","msg":"words"}}"#);
    let kind = |text: &str| match &events(text)[..] {
        [Event::Rejected { request_id: Some(9), stream_id: None, channel: None, error }] => error.kind,
        [Event::Error(error)] => error.kind,
        other => panic!("{other:?}"),
    };
    let limited = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(2)) };
    let cases = [
        ("60012", ErrorKind::BadRequest),
        ("60014", limited),
        ("60018", ErrorKind::UnknownSymbol),
        ("63999", ErrorKind::Unavailable),
    ];
    for (code, expected) in cases {
        assert_eq!(kind(&error(code, r#""id":"9","#)), expected, "{code}");
        assert!(matches!(&events(&error(code, ""))[..], [Event::Error(_)]));
        assert_eq!(kind(&error(code, "")), expected, "{code}");
    }
    let named = FRAMES.lines().nth(4).unwrap().replace(r#""id":"12","#, "");
    assert!(
        matches!(&events(&named)[..], [Event::Rejected { request_id: None, stream_id: Some(id), .. }] if id == "BTC-ZZZ")
    );
}

#[test]
fn frames_without_use_are_unknown_and_broken_ones_give_an_error() {
    let unknown = |kind: &'static str| Event::Unknown { kind: kind.into() };
    assert_eq!(
        events(r#"{"event":"channel-conn-count","channel":"orders","connCount":"2"}"#),
        [unknown("channel-conn-count")]
    );
    assert_eq!(events(r#"{"event":"notice","code":"60000","msg":"x"}"#), [unknown("notice")]);
    assert_eq!(events(r#"{"arg":{"channel":"candle2H5","instId":"X"},"data":[[]]}"#), [unknown("candle2H5")]);
    assert_eq!(events(r#"{"arg":{"channel":"tickers","instId":"X"},"data":[{}]}"#), [unknown("tickers")]);
    assert_eq!(events(r#"{"op":"subscribe","args":[]}"#), [unknown("object")]);
    let [_, bar, _, trade, ..] = FRAMES.lines().collect::<Vec<_>>()[..] else { panic!("{FRAMES}") };
    let broken = [
        "ping?",
        "<html>",
        "[]",
        &bar[..bar.len() / 2],
        &bar.replace(r#""0"]"#, r#""2"]"#),
        &bar.replace(r#","0"]"#, "]"),
        &bar.replace("91221.3", "high"),
        &bar.replace("1795183200000", "1795183200001"),
        &bar.replace(r#","instId":"BTC-USDT""#, ""),
        &trade.replace("91219.5", ""),
        &trade.replace(r#""count":"3""#, r#""count":"x""#),
        &trade.replace(r#""ts":"1795183210220","#, ""),
    ];
    for frame in broken {
        let found = events(frame);
        assert!(
            matches!(&found[..], [Event::Error(VenueError { kind: ErrorKind::Malformed, .. })]),
            "{frame}: {found:?}"
        );
    }
}

#[test]
fn control_frames_hold_a_hundred_channels_and_the_text_of_their_number() {
    let of = |channel, id: &str| Subscription { channel, stream_id: id.into() };
    let wanted =
        [of(MINUTE, "BTC-USDT"), of(Channel::Candles(Timeframe::D1), "BTC-USDT"), of(Channel::Trades, "ETH-USDT")];
    let text = r#"{"id":"11","op":"subscribe","args":[{"channel":"candle1m","instId":"BTC-USDT"},{"channel":"candle1Dutc","instId":"BTC-USDT"},{"channel":"trades","instId":"ETH-USDT"}]}"#;
    let frame = ControlFrame { text: text.into(), request_id: 11, subscriptions: 0..3 };
    assert_eq!(encode_control("subscribe", &wanted, 11), [frame]);
    let frames = encode_control("unsubscribe", &wanted[..1], 7);
    assert_eq!(frames[0].text, r#"{"id":"7","op":"unsubscribe","args":[{"channel":"candle1m","instId":"BTC-USDT"}]}"#);
    let many = (0..240).map(|n| of(MINUTE, &format!("C{n}-USDT"))).collect::<Vec<_>>();
    let numbered =
        encode_control("subscribe", &many, 1).into_iter().map(|frame| (frame.request_id, frame.subscriptions));
    assert_eq!(numbered.collect::<Vec<_>>(), [(1, 0..100), (2, 100..200), (3, 200..240)]);
}
