use super::*;
use crate::exchange::binance;
use crate::market::{Candle, Side, Timeframe, Trade, TradeId};
use chrono::{DateTime, Utc};

fn events(text: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    decode(&binance::CAPABILITIES, text, &mut |event| events.push(event));
    events
}

fn only(text: &str) -> Event<'_> {
    let mut events = events(text);
    assert_eq!(events.len(), 1, "{text}");
    events.remove(0)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn candle_event(closed: bool, stamped_at: &str) -> Event<'static> {
    Event::Candle {
        stream_id: "BTCUSDT".into(),
        timeframe: Timeframe::M1,
        candle: Candle {
            open_time: at("2026-11-20T14:00:00Z"),
            open: 91230.0,
            high: 91250.0,
            low: 91229.99,
            close: 91244.1,
            volume: 6.1183,
            quote_volume: Some(558242.90113),
            trades: Some(477),
            vwap: None,
        },
        closed: Some(closed),
        stamped_at: Some(at(stamped_at)),
        is_snapshot: false,
    }
}

fn trade_event(side: Side) -> Event<'static> {
    Event::Trade {
        stream_id: "BTCUSDT".into(),
        trade: Trade {
            id: TradeId::Number(5501188301),
            last_id: TradeId::Number(5501188303),
            time: at("2026-11-20T14:00:01.118Z"),
            price: "91230.00000000".parse().unwrap(),
            amount: "0.00230000".parse().unwrap(),
            side: Some(side),
        },
        is_snapshot: false,
        stamped_at: Some(at("2026-11-20T14:00:01.121Z")),
    }
}

const KLINE: &str = include_str!("../../../../tests/fixtures/binance/stream_kline.json");
const AGG_TRADE: &str = include_str!("../../../../tests/fixtures/binance/stream_agg_trade.json");

fn combined(stream: &str, data: &str) -> String {
    format!(r#"{{"stream":"{stream}","data":{data}}}"#)
}

#[test]
fn a_kline_frame_is_a_candle_with_its_closed_flag() {
    assert_eq!(only(KLINE), candle_event(false, "2026-11-20T14:00:32.003Z"));
    let closed = KLINE.replace("\"x\":false", "\"x\":true");
    assert_eq!(only(&closed), candle_event(true, "2026-11-20T14:00:32.003Z"));
}

#[test]
fn an_agg_trade_frame_is_a_trade_over_its_id_range_with_the_takers_side() {
    assert_eq!(only(AGG_TRADE), trade_event(Side::Buy));
    let sold = AGG_TRADE.replace("\"m\":false", "\"m\":true");
    assert_eq!(only(&sold), trade_event(Side::Sell));
}

#[test]
fn the_documented_form_is_read_as_any_other_and_nothing_else_is_taken_for_it() {
    let capabilities = &binance::CAPABILITIES;
    let quiet = include_str!("../../../../tests/fixtures/binance/stream_kline_quiet.json");
    for text in [KLINE, AGG_TRADE, quiet] {
        assert_eq!(as_documented(capabilities, text), Some(as_frame(capabilities, text)));
        // Faults of values, not of form.
        for (good, bad) in [("91230.00000000", "ninety"), ("795183200000", "795183200500"), ("5501188301", "-1")] {
            let text = text.replace(good, bad);
            assert_eq!(as_documented(capabilities, &text), Some(as_frame(capabilities, &text)));
        }
        for (usual, other) in
            [("BTCUSDT", ""), ("BTCUSDT", "BTC\\u0055SDT"), ("\"E\":1", "\"E\":1e"), ("{\"e\"", "{ \"e\"")]
        {
            assert_eq!(as_documented(capabilities, &text.replace(usual, other)), None, "{other}");
        }
    }
    assert_eq!(only(&AGG_TRADE.replace("BTCUSDT", "")), Event::Error(malformed("s is missing")));
}

#[test]
fn combined_frames_decode_as_raw_ones() {
    let kline = combined("btcusdt@kline_1m", KLINE.trim());
    assert_eq!(only(&kline), candle_event(false, "2026-11-20T14:00:32.003Z"));
    assert_eq!(only(&combined("btcusdt@aggTrade", AGG_TRADE.trim())), trade_event(Side::Buy));
    let data_first = format!(r#"{{"data":{},"stream":"btcusdt@aggTrade"}}"#, AGG_TRADE.trim());
    assert_eq!(only(&data_first), trade_event(Side::Buy));
    let array = combined("!ticker@arr", "[{\"e\":\"24hrTicker\"}]");
    assert_eq!(only(&array), Event::Unknown { kind: "data".into() });
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let sorted = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap().to_string();
    assert!(sorted(KLINE).starts_with("{\"E\":"));
    assert_eq!(only(&sorted(KLINE)), candle_event(false, "2026-11-20T14:00:32.003Z"));
    assert_eq!(only(&sorted(AGG_TRADE)), trade_event(Side::Buy));
}

#[test]
fn numbers_without_quotes_and_unknown_keys_are_accepted() {
    let bare = KLINE.replace("\"91230.00000000\"", "91230.0").replace("\"6.11830000\"", "61183e-4");
    assert_eq!(only(&bare), candle_event(false, "2026-11-20T14:00:32.003Z"));
    let quoted = KLINE.replace("1795183200000", "\"1795183200000\"").replace(":477", ":\"477\"");
    assert_eq!(only(&quoted), candle_event(false, "2026-11-20T14:00:32.003Z"));
    let grown = AGG_TRADE.replace("\"M\":true", "\"nq\":{\"x\":[1]},\"st\":2,\"ps\":\"b\"");
    assert_eq!(only(&grown), trade_event(Side::Buy));
    let exponent = AGG_TRADE.replace("\"0.00230000\"", "23e-4");
    assert_eq!(only(&exponent), trade_event(Side::Buy));
}

#[test]
fn an_empty_interval_with_ids_of_minus_one_is_a_candle() {
    let frame = include_str!("../../../../tests/fixtures/binance/stream_kline_quiet.json");
    let Event::Candle { candle, closed, .. } = only(frame) else { panic!("no candle") };
    assert_eq!(candle, Candle { quote_volume: Some(0.0), ..Candle::flat(at("2026-11-20T14:01:00Z"), 91244.1) });
    assert_eq!(closed, Some(true));
}

#[test]
fn names_beyond_ascii_are_read_plain_and_escaped() {
    let id = |text: &str| match only(text) {
        Event::Trade { stream_id, .. } => stream_id.into_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(id(&AGG_TRADE.replace("BTCUSDT", "币安人生USDT")), "币安人生USDT");
    assert_eq!(id(&AGG_TRADE.replace("BTCUSDT", r"\u5e01USDT")), "币USDT");
}

#[test]
fn acks_errors_of_both_forms_and_listings_are_told_apart() {
    let ack = only(r#"{"result":null,"id":41}"#);
    assert_eq!(ack, Event::Subscribed { request_id: Some(41), stream_id: None, channel: None, stamped_at: None });
    let text_id = only(r#"{"id":"42","result":null}"#);
    assert_eq!(text_id, Event::Subscribed { request_id: Some(42), stream_id: None, channel: None, stamped_at: None });
    let rejected = || Event::Rejected {
        request_id: Some(41),
        stream_id: None,
        channel: None,
        error: VenueError::new(ErrorKind::BadRequest, "2 Invalid request: unknown variant"),
    };
    let nested = r#"{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":41}"#;
    assert_eq!(only(nested), rejected());
    assert_eq!(only(r#"{"code":2,"msg":"Invalid request: unknown variant","id":41}"#), rejected());
    let unnamed = VenueError::new(ErrorKind::BadRequest, "3 Invalid JSON");
    assert_eq!(only(r#"{"code":3,"msg":"Invalid JSON","id":null}"#), Event::Error(unnamed.clone()));
    assert_eq!(only(r#"{"error":{"code":3,"msg":"Invalid JSON"}}"#), Event::Error(unnamed));
    let limited = VenueError::new(ErrorKind::RateLimited { retry_after: None }, "-1003 Too many requests");
    assert_eq!(only(r#"{"code":-1003,"msg":"Too many requests"}"#), Event::Error(limited));
    let unknown = |kind: &'static str| Event::Unknown { kind: kind.into() };
    assert_eq!(only(r#"{"result":["btcusdt@aggTrade"],"id":3}"#), unknown("result"));
    assert_eq!(only(r#"{"result":[],"id":3}"#), unknown("result"));
    assert_eq!(only("{}"), unknown("object"));
}

#[test]
fn an_announced_shutdown_closes_in_raw_and_combined_form() {
    let raw = r#"{"e":"serverShutdown","E":1795183200000}"#;
    assert_eq!(only(raw), Event::Closing);
    assert_eq!(only(&combined("!serverShutdown", raw)), Event::Closing);
    assert_eq!(only(r#"{"stream":"!serverShutdown","data":{"E":1795183200000}}"#), Event::Closing);
}

#[test]
fn other_events_are_unknown_by_name() {
    let depth = r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]],"a":[]}"#;
    assert_eq!(only(depth), Event::Unknown { kind: "depthUpdate".into() });
    let interval = KLINE.replace("\"i\":\"1m\"", "\"i\":\"7m\"");
    assert_eq!(only(&interval), Event::Unknown { kind: "kline interval".into() });
    let placeholder = AGG_TRADE.replace("5501188301", "-1").replace("5501188303", "-1");
    assert_eq!(only(&placeholder), Event::Unknown { kind: "aggTrade of no trade".into() });
}

#[test]
fn broken_frames_give_one_error_that_names_the_fault() {
    let cases = [
        (KLINE.replace("\"o\":\"91230.00000000\",", ""), "open is missing"),
        (KLINE.replace("\"91229.99000000\"", "\"NaN\""), "low is \"NaN\""),
        (KLINE.replace("\"6.11830000\"", "\"-6.5\""), "volume -6.5 is negative"),
        (KLINE.replace("\"x\":false", "\"x\":0"), "x is 0"),
        (KLINE.replace("\"s\":\"BTCUSDT\",\"k\"", "\"k\""), "s is missing"),
        (KLINE.replace(":1795183200000", ":1795183200500"), "open time 2026-11-20 14:00:00.500 UTC is no 1m border"),
        (KLINE.replace(":1795183200000", ":179518320000000000"), "open time is 179518320000000000"),
        (AGG_TRADE.replace("\"91230.00000000\"", "null"), "p is null"),
        (
            AGG_TRADE.replace("5501188303", "9223372036854775807"),
            "trade id 9223372036854775807 is no number of a trade",
        ),
        (AGG_TRADE.replace("5501188303", "5501188300"), "trade ids 5501188301..=5501188300 run backwards"),
        (KLINE.replace("\"t\":1795183200000,", ""), "open time is missing"),
        (KLINE.replace("\"n\":477", "\"n\":4.5"), "trade count is \"4.5\""),
        (KLINE.replace("\"n\":477", "\"n\":\"4\\u0037\""), "trade count is of another type"),
    ];
    let mut seen = 0;
    for (text, message) in &cases {
        assert_eq!(only(text), Event::Error(malformed(*message)));
        seen += 1;
    }
    assert_eq!(seen, 13);
    for text in ["", "pong", "<html>", &KLINE[..120]] {
        let Event::Error(error) = only(text) else { panic!("{text}") };
        assert_eq!(error.kind, ErrorKind::Malformed);
    }
}

#[test]
fn subscriptions_go_out_in_batches_with_lower_case_names_and_the_suffix_kept() {
    let subscription = |channel, id: &str| Subscription { channel, stream_id: id.to_owned() };
    let asked = [
        subscription(Channel::Candles(Timeframe::M1), "BTCUSDT"),
        subscription(Channel::Candles(Timeframe::Month1), "BTCUSDT"),
        subscription(Channel::Trades, "币安人生USDT"),
    ];
    let text =
        r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_1m","btcusdt@kline_1M","币安人生usdt@aggTrade"],"id":41}"#;
    assert_eq!(
        encode("SUBSCRIBE", &asked, 41),
        vec![ControlFrame { text: text.to_owned(), request_id: 41, subscriptions: 0..3 }]
    );
    let many = vec![subscription(Channel::Trades, "BTCUSDT"); 250];
    let frames = encode("UNSUBSCRIBE", &many, 7);
    let shape = frames.iter().map(|frame| (frame.request_id, frame.subscriptions.clone())).collect::<Vec<_>>();
    assert_eq!(shape, vec![(7, 0..100), (8, 100..200), (9, 200..250)]);
    assert_eq!(frames[2].text.matches("btcusdt@aggTrade").count(), 50);
    assert!(frames[2].text.starts_with(r#"{"method":"UNSUBSCRIBE","params":["#));
    assert_eq!(encode("SUBSCRIBE", &[], 1), vec![]);
}
