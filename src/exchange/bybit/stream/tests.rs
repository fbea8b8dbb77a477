use super::*;
use crate::market::{Candle, Side, Timeframe, Trade, TradeId};

const FRAMES: &str = include_str!("../../../../tests/fixtures/bybit/stream.jsonl");

fn line(index: usize) -> &'static str {
    FRAMES.lines().nth(index).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn events(category: Category, text: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    decode(category, text, &mut |event| events.push(event));
    events
}

fn candle_event(stream_id: &'static str, volume: f64, quote_volume: f64, closed: bool) -> Event<'static> {
    Event::Candle {
        stream_id: stream_id.into(),
        timeframe: Timeframe::M1,
        candle: Candle {
            open_time: at("2026-11-20T14:00:00Z"),
            open: 91214.1,
            high: 91221.3,
            low: 91207.5,
            close: 91219.4,
            volume,
            quote_volume: Some(quote_volume),
            trades: None,
            vwap: None,
        },
        closed: Some(closed),
        stamped_at: Some(at("2026-11-20T14:00:09.934Z")),
        is_snapshot: false,
    }
}

#[test]
fn a_kline_is_a_candle_of_the_connections_category() {
    let spot = candle_event("spot/BTCUSDT", 1.882041, 171665.71930742, false);
    assert_eq!(events(Category::Spot, line(2)), [spot]);
    let linear = candle_event("linear/BTCUSDT", 1.882041, 171665.71930742, false);
    assert_eq!(events(Category::Linear, line(2)), [linear]);
    let inverse = candle_event("inverse/BTCUSDT", 171665.71930742, 1.882041, true);
    let closed = line(2).replace("\"confirm\":false", "\"confirm\":true");
    assert_eq!(events(Category::Inverse, &closed), [inverse]);
}

#[test]
fn a_frame_may_hold_the_closing_bucket_and_the_new_one() {
    let item = &line(2)[line(2).find("[{").unwrap() + 1..line(2).find("}]").unwrap() + 1];
    let next = item.replace("1795183200000", "1795183260000");
    let both = line(2).replace(item, &format!("{},{next}", item.replace("false", "true")));
    let seen = events(Category::Spot, &both).into_iter().map(|event| match event {
        Event::Candle { candle, closed, .. } => (candle.open_time, closed),
        other => panic!("{other:?}"),
    });
    let expected = [(at("2026-11-20T14:00:00Z"), Some(true)), (at("2026-11-20T14:01:00Z"), Some(false))];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn trades_carry_numbers_or_uuids_and_the_takers_side() {
    let trade = |id: TradeId, side| Event::Trade {
        stream_id: "linear/BTCUSDT".into(),
        trade: Trade {
            last_id: id.clone(),
            id,
            time: at("2026-11-20T14:00:09.871Z"),
            price: "91219.4".parse().unwrap(),
            amount: "0.00215".parse().unwrap(),
            side,
        },
        is_snapshot: false,
        stamped_at: Some(at("2026-11-20T14:00:09.880Z")),
    };
    let number = TradeId::Number(2290000000811230457);
    assert_eq!(events(Category::Linear, line(3)), [trade(number.clone(), Some(Side::Buy))]);
    let sold = line(3).replace("\"Buy\"", "\"Sell\"").replace("2290000000811230457", "5e0c-11");
    assert_eq!(events(Category::Linear, &sold), [trade(TradeId::Text("5e0c-11".into()), Some(Side::Sell))]);
    let huge = TradeId::Text("9223372036854775807".into());
    let text = line(3).replace("2290000000811230457", "9223372036854775807");
    assert_eq!(events(Category::Linear, &text), [trade(huge, Some(Side::Buy))], "larger than a database number");
    let grown = line(3).replace("\"BT\":false,\"RPI\":false", "\"L\":\"PlusTick\",\"new\":[1]");
    assert_eq!(events(Category::Linear, &grown), [trade(number.clone(), Some(Side::Buy))]);
    assert_eq!(events(Category::Linear, &line(3).replace("Buy", "None")), [trade(number, None)]);
}

#[test]
fn answers_name_their_request_and_pongs_come_in_two_forms() {
    let accepted = Event::Subscribed { request_id: Some(7), stream_id: None, channel: None, stamped_at: None };
    assert_eq!(events(Category::Spot, line(0)), [accepted]);
    let error = |kind, words: &str| VenueError::new(kind, words);
    let unknown = error(ErrorKind::UnknownSymbol, "Invalid symbol :[publicTrade.BTCZZZ]");
    let refused = Event::Rejected { request_id: Some(8), stream_id: None, channel: None, error: unknown.clone() };
    assert_eq!(events(Category::Spot, line(1)), [refused]);
    let unnamed = line(1).replace("\"req_id\":\"8\",", "");
    assert_eq!(events(Category::Spot, &unnamed), [Event::Error(unknown)]);
    let handler = line(1).replace("Invalid symbol :[publicTrade.BTCZZZ]", "error:handler not found,topic:x");
    let Event::Rejected { error, .. } = events(Category::Spot, &handler).remove(0) else { panic!("no refusal") };
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert_eq!(events(Category::Spot, line(4)), [Event::Heartbeat { stamped_at: None }]);
    let stamped_at = Some(at("2026-11-20T14:00:20.011Z"));
    assert_eq!(events(Category::Spot, line(5)), [Event::Heartbeat { stamped_at }]);
    let ended = Event::Unsubscribed { request_id: Some(10), stream_id: None, channel: None };
    assert_eq!(events(Category::Spot, line(6)), [ended]);
    let unknown = |kind: &'static str| [Event::Unknown { kind: kind.into() }];
    assert_eq!(events(Category::Spot, "{}"), unknown("object"));
    assert_eq!(events(Category::Spot, r#"{"op":"auth"}"#), unknown("auth"));
    assert_eq!(events(Category::Spot, r#"{"topic":"orderbook.1.BTCUSDT","data":{}}"#), unknown("orderbook"));
    assert_eq!(events(Category::Spot, &line(2).replace("kline.1.", "kline.7.")), unknown("kline interval"));
}

#[test]
fn broken_frames_give_one_error() {
    let broken = [
        line(2).replace("\"91214.1\"", "\"x\""),
        line(2).replace("\"confirm\":false,", ""),
        line(2).replace(":1795183200000", ":1795183200001"),
        line(2).replace("\"data\":[", "\"old\":["),
        line(3).replace("\"p\":\"91219.4\",", ""),
        line(3)[..90].to_owned(),
        "pong".to_owned(),
        String::new(),
        "[]".to_owned(),
    ];
    for text in &broken {
        let seen = events(Category::Spot, text);
        let [Event::Error(error)] = &seen[..] else { panic!("{text}: {seen:?}") };
        assert_eq!(error.kind, ErrorKind::Malformed, "{text}");
    }
}

#[test]
fn topics_go_out_ten_to_a_request_without_their_category() {
    let subscription = |channel, id: &str| Subscription { channel, stream_id: id.to_owned() };
    let asked = [
        subscription(Channel::Candles(Timeframe::H1), "linear/BTCUSDT"),
        subscription(Channel::Candles(Timeframe::D1), "linear/BTCPERP"),
        subscription(Channel::Trades, "linear/BTCUSDT-25DEC26"),
    ];
    let text = r#"{"req_id":"41","op":"subscribe","args":["kline.60.BTCUSDT","kline.D.BTCPERP","publicTrade.BTCUSDT-25DEC26"]}"#;
    let frame = ControlFrame { text: text.to_owned(), request_id: 41, subscriptions: 0..3 };
    assert_eq!(encode("subscribe", &asked, 41), [frame]);
    let many = vec![subscription(Channel::Trades, "spot/BTCUSDT"); 23];
    let frames = encode("unsubscribe", &many, 5);
    let shape = frames.iter().map(|frame| (frame.request_id, frame.subscriptions.clone())).collect::<Vec<_>>();
    assert_eq!(shape, [(5, 0..10), (6, 10..20), (7, 20..23)]);
    assert_eq!(encode_ping(9), r#"{"req_id":"9","op":"ping"}"#);
}
