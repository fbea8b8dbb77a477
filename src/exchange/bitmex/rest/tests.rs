use std::time::Duration;

use super::*;
use crate::exchange::registry;
use crate::market::{Side, Symbol, Trade, TradeId};

const BUCKETED: &str = include_str!("../../../../tests/fixtures/bitmex/bucketed.json");
const TRADES: &str = include_str!("../../../../tests/fixtures/bitmex/trades.json");
const INSTRUMENTS: &str = include_str!("../../../../tests/fixtures/bitmex/instruments.json");
const LIMITED: &str = include_str!("../../../../tests/fixtures/bitmex/error_limit.json");

fn t(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn endpoints() -> Endpoints {
    registry::find("bitmex").unwrap().public_endpoints()
}

fn market() -> Instrument {
    Instrument::new("BTC/USD:BTC".parse().unwrap(), "XBTUSD", "XBTUSD")
}

fn reply(text: &str) -> HttpReply {
    HttpReply::new(200, text.to_owned())
}

#[test]
fn bins_are_asked_for_by_their_ends() {
    let span = Span::new(t("2026-08-14T09:30:00Z"), t("2026-08-14T09:32:00Z"));
    let call = encode_candles(&endpoints(), &market(), Timeframe::M1, span);
    assert_eq!(
        call.url,
        "https://www.bitmex.com/api/v1/trade/bucketed?binSize=1m&partial=false&symbol=XBTUSD&count=2\
         &startTime=2026-08-14T09%3A30%3A01.000Z&endTime=2026-08-14T09%3A32%3A01.000Z"
    );
    assert_eq!((call.method, call.cost), (Method::Get, Cost { limit: 0, units: 1 }));
    let year = Span::new(t("2025-08-14T00:00:00Z"), t("2026-08-14T00:00:00Z"));
    assert!(encode_candles(&endpoints(), &market(), Timeframe::H1, year).url.contains("binSize=1h"));
    assert!(encode_candles(&endpoints(), &market(), Timeframe::H1, year).url.contains("&count=1000&"));
}

#[test]
fn a_bin_is_stamped_with_its_end_and_counts_base_currency() {
    let candle = |open_time: &str, prices: [f64; 4], volume, quote, trades, vwap| Candle {
        open_time: t(open_time),
        open: prices[0],
        high: prices[1],
        low: prices[2],
        close: prices[3],
        volume,
        quote_volume: Some(quote),
        trades: Some(trades),
        vwap,
    };
    let flat = [88427.1; 4];
    let expected = [
        candle("2026-08-14T09:30:00Z", [88410.5, 88433.0, 88410.0, 88427.1], 0.692144, 61200.0, 18, Some(88421.3)),
        candle("2026-08-14T09:31:00Z", flat, 0.0, 0.0, 0, None),
    ];
    assert_eq!(decode_candles(Timeframe::M1, &reply(BUCKETED)).unwrap(), expected);
    // An open outside of high and low stays as it was sent, numbers may be texts, ends lie on the grid.
    let row =
        r#"[{"timestamp":"2026-08-15T00:00:00.000Z","open":"9","high":8,"low":7e0,"close":7.5,"homeNotional":1}]"#;
    let daily = decode_candles(Timeframe::D1, &reply(row)).unwrap();
    let bare = Candle {
        quote_volume: None,
        trades: None,
        ..candle("2026-08-14T00:00:00Z", [9.0, 8.0, 7.0, 7.5], 1.0, 0.0, 0, None)
    };
    assert_eq!(daily, [bare]);
    assert_eq!(decode_candles(Timeframe::M5, &reply(BUCKETED)).unwrap_err().kind, ErrorKind::Malformed);
}

#[test]
fn bins_before_the_first_trade_are_no_candles_and_broken_ones_break_the_page() {
    let unborn = r#"[{"timestamp":"2026-08-14T09:31:00Z","open":null,"high":null,"low":null,"close":null,"trades":0,"homeNotional":0}]"#;
    assert_eq!(decode_candles(Timeframe::M1, &reply(unborn)), Ok(vec![]));
    for broken in [
        &BUCKETED.replace("88433.0", "null"),
        &BUCKETED.replace("0.692144", "\"much\""),
        &BUCKETED.replace("2026-08-14T09:31:00.000Z", "soon"),
        &BUCKETED[..200],
        "<html>",
        "{}",
    ] {
        assert_eq!(decode_candles(Timeframe::M1, &reply(broken)).unwrap_err().kind, ErrorKind::Malformed, "{broken}");
    }
}

#[test]
fn trades_are_walked_by_time_and_within_an_instant_by_rows() {
    let url = |cursor: TradeCursor| encode_trades(&endpoints(), &market(), &cursor).map(|call| call.url);
    let base = "https://www.bitmex.com/api/v1/trade?symbol=XBTUSD&count=1000";
    assert_eq!(url(TradeCursor::Newest), Some(format!("{base}&reverse=true")));
    let at = t("2026-08-14T09:31:12.402Z");
    assert_eq!(url(TradeCursor::Time(at)), Some(format!("{base}&startTime=2026-08-14T09%3A31%3A12.402Z")));
    let within = TradeCursor::Venue(format!("{}/2", at.timestamp_millis()));
    assert_eq!(url(within.clone()), Some(format!("{base}&startTime=2026-08-14T09%3A31%3A12.402Z&start=2")));
    for none in [TradeCursor::BeforeTime(at), TradeCursor::BeforeId(TradeId::Number(1)), TradeCursor::Venue("x".into())]
    {
        assert_eq!(url(none), None);
    }

    let trade = |id: &str, price: &str, amount: &str| {
        let id = TradeId::Text(id.into());
        let (price, amount) = (price.parse().unwrap(), amount.parse().unwrap());
        Trade { last_id: id.clone(), id, time: at, price, amount, side: Some(Side::Sell) }
    };
    let first = trade("00000000-006d-1000-0000-0012ab34cd56", "88411.5", "0.00339322");
    let second = trade("00000000-006d-1000-0000-0012ab34cd12", "88411", "0.00113108");
    let read = |cursor: &TradeCursor| decode_trades(cursor, &reply(TRADES)).unwrap();
    let page = read(&TradeCursor::Time(at));
    assert_eq!(page, TradePage { trades: vec![first.clone(), second.clone()], next: Some(within.clone()) });
    let further = TradeCursor::Venue(format!("{}/4", at.timestamp_millis()));
    assert_eq!(read(&within).next, Some(further));
    // Printed newest first.
    assert_eq!(read(&TradeCursor::Newest).trades, [second, first]);
    assert_eq!(decode_trades(&within, &reply("[]")), Ok(TradePage { trades: vec![], next: None }));
    let value = r#"[{"timestamp":"2026-08-14T09:31:12Z","symbol":".BXBT","size":0,"price":1,"trdMatchID":"a"}]"#;
    assert_eq!(read_ids(value), Ok(0));
    assert_eq!(read_ids(&value.replace("\"size\":0", "\"size\":5")), Err(ErrorKind::Malformed));
}

fn read_ids(text: &str) -> Result<usize, ErrorKind> {
    decode_trades(&TradeCursor::Newest, &reply(text)).map(|page| page.trades.len()).map_err(|error| error.kind)
}

#[test]
fn markets_are_named_by_their_kind_and_indices_are_left_out() {
    let found = decode_instruments(&reply(INSTRUMENTS)).unwrap();
    let named = |symbol: &str, id: &str| Instrument::new(symbol.parse::<Symbol>().unwrap(), id, id);
    let expected = [
        named("BTC/USD:BTC", "XBTUSD"),
        named("BTC/USDT:USDT", "XBTUSDT"),
        named("ETH/USD:BTC", "ETHUSD"),
        named("BTC/USDT", "XBT_USDT"),
        Instrument { is_trading: false, ..named("BTC/USD:BTC-261225", "XBTZ26") },
        named("EUR/USD:USDT", "EURUSD"),
    ];
    assert_eq!(found, expected);
    assert_eq!(encode_instruments(&endpoints()).url, "https://www.bitmex.com/api/v1/instrument/active");
    assert_eq!(decode_instruments(&reply(r#"[{"symbol":7}]"#)).unwrap_err().kind, ErrorKind::Malformed);
}

#[test]
fn tickers_come_with_the_list() {
    let tickers = decode_tickers(&reply(INSTRUMENTS)).unwrap();
    let stamped = Some(t("2026-08-14T09:32:05Z"));
    let ticker = Ticker {
        time: stamped,
        last: Some(88427.1),
        bid: Some(88427.0),
        ask: Some(88427.5),
        volume: Some(0.692144),
        quote_volume: Some(61200.0),
    };
    assert_eq!(tickers[0], ("XBTUSD".to_owned(), ticker));
    let empty = Ticker { time: stamped, last: None, bid: None, ask: None, volume: Some(0.0), quote_volume: Some(0.0) };
    assert_eq!(tickers[1], ("XBTUSDT".to_owned(), empty));
}

#[test]
fn refusals_are_classed_by_status_and_an_exchange_that_is_gone_is_down() {
    let kind = |status: u16, text: &str| {
        let mut reply = HttpReply::new(status, text.to_owned());
        reply.headers = vec![("retry-after".into(), "3".into())];
        decode_candles(Timeframe::M1, &reply).unwrap_err().kind
    };
    let retry_after = Some(Duration::from_secs(3));
    assert_eq!(kind(429, LIMITED), ErrorKind::RateLimited { retry_after });
    assert_eq!(kind(403, LIMITED), ErrorKind::Banned { retry_after });
    assert_eq!(kind(400, LIMITED), ErrorKind::BadRequest);
    assert_eq!(kind(401, LIMITED), ErrorKind::BadRequest);
    assert_eq!(kind(404, LIMITED), ErrorKind::UnknownSymbol);
    assert_eq!(kind(503, LIMITED), ErrorKind::Unavailable);
    for (status, text) in [(404, "<html>"), (410, ""), (410, LIMITED), (400, "parked"), (502, "")] {
        assert_eq!(kind(status, text), ErrorKind::Unavailable, "{status} {text}");
    }
    let list = decode_instruments(&HttpReply::new(404, LIMITED.to_owned())).unwrap_err();
    assert_eq!(list.kind, ErrorKind::Unavailable);
    assert_eq!(list.message, "HTTP 404: RateLimitError: Rate limit exceeded, retry in 1 seconds.");
}
