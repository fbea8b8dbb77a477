use std::time::Duration;

use chrono::{DateTime, Utc};

use super::*;
use crate::exchange::{Dialect, registry};
use crate::market::{Side, Trade, TradeId};

const CANDLES: &str = include_str!("../../../../tests/fixtures/hyperliquid/candles.json");
const RECENT: &str = include_str!("../../../../tests/fixtures/hyperliquid/recent_trades.json");
const META: &str = include_str!("../../../../tests/fixtures/hyperliquid/meta.json");
const META_XYZ: &str = include_str!("../../../../tests/fixtures/hyperliquid/meta_xyz.json");
const SPOT_META: &str = include_str!("../../../../tests/fixtures/hyperliquid/spot_meta.json");
const PERP_DEXS: &str = include_str!("../../../../tests/fixtures/hyperliquid/perp_dexs.json");
const CONTEXTS: &str = include_str!("../../../../tests/fixtures/hyperliquid/meta_and_contexts.json");
const SPOT_CONTEXTS: &str = include_str!("../../../../tests/fixtures/hyperliquid/spot_meta_and_contexts.json");
const ERROR_422: &str = include_str!("../../../../tests/fixtures/hyperliquid/error_422.txt");

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn ok(body: impl Into<String>) -> HttpReply {
    HttpReply::new(200, body.into())
}

fn market(coin: &str, symbol: &str) -> Instrument {
    Instrument::new(symbol.parse().unwrap(), coin, coin)
}

fn dialect() -> std::sync::Arc<dyn Dialect> {
    let row = registry::find("hyperliquid").unwrap();
    (row.build)(row.public_endpoints())
}

/// Bodies and weights of calls, which all go to one address.
fn bodies(calls: Vec<HttpRequest>) -> Vec<(String, u32)> {
    let body = |call: HttpRequest| {
        assert_eq!((call.method, call.url.as_str()), (Method::Post, "https://api.hyperliquid.xyz/info"));
        (call.body.unwrap(), call.cost.units)
    };
    calls.into_iter().map(body).collect()
}

#[test]
fn candles_are_asked_by_coin_and_window_and_weigh_one_more_for_sixty_rows() {
    let ask = |from: &str, to: &str, timeframe| {
        let span = Span::new(at(from), at(to));
        bodies(vec![dialect().encode_candles(&market("@107", "HYPE/USDC"), timeframe, span, span.to)]).remove(0)
    };
    let hour = ask("2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z", Timeframe::M1);
    let body = r#"{"req":{"coin":"@107","endTime":1795186799999,"interval":"1m","startTime":1795183200000},"type":"candleSnapshot"}"#;
    assert_eq!(hour, (body.to_owned(), 21));
    assert_eq!(ask("2026-11-20T14:00:00Z", "2026-11-20T15:01:00Z", Timeframe::M1).1, 22);
    assert_eq!(ask("2020-01-01T00:00:00Z", "2026-11-20T15:00:00Z", Timeframe::M1).1, 20 + 84);
    assert!(ask("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", Timeframe::Month1).0.contains(r#""interval":"1M""#));
}

#[test]
fn bars_are_read_as_strings_or_numbers_in_any_order_and_the_later_of_two_stays() {
    let bar = |time: &str, [open, high, low, close, volume]: [f64; 5], trades| Candle {
        open_time: at(time),
        open,
        high,
        low,
        close,
        volume,
        quote_volume: None,
        trades,
        vwap: None,
    };
    let first = bar("2026-11-20T13:59:00Z", [91208.0, 91220.0, 91205.0, 91214.0, 3.41207], Some(88));
    let last = bar("2026-11-20T14:00:00Z", [91214.0, 91214.0, 91213.0, 91213.0, 0.02], Some(3));
    let decode = |body: &str| decode_candles(Timeframe::M1, &ok(body));
    assert_eq!(decode(CANDLES), Ok(vec![first, last]));
    assert_eq!(decode("[]"), Ok(vec![]));
    let numbers = CANDLES
        .replace("\"91208.0\"", "91208.0")
        .replace("\"0.02\"", "2e-2")
        .replace(":1795183140000,\"T\"", ":\"1795183140000\",\"new\":[null],\"T\"");
    assert_eq!(decode(&numbers), Ok(vec![first, last]));
    let uncounted = CANDLES.replace(",\"n\":88", "");
    assert_eq!(decode(&uncounted), Ok(vec![Candle { trades: None, ..first }, last]));
    let row = |time: i64, close: &str| {
        format!(r#"{{"t":{time},"s":"X","i":"1m","o":"1","c":"{close}","h":"9","l":"1","v":"1","n":1}}"#)
    };
    let twice = format!("[{},{},{}]", row(1795183260000, "4"), row(1795183200000, "2"), row(1795183260000, "5"));
    let closes = decode(&twice).unwrap().iter().map(|candle| (candle.open_time, candle.close)).collect::<Vec<_>>();
    assert_eq!(closes, [(at("2026-11-20T14:00:00Z"), 2.0), (at("2026-11-20T14:01:00Z"), 5.0)]);
}

#[test]
fn weeks_open_on_monday_and_months_on_the_first() {
    let open = |timeframe: Timeframe, time: &str| {
        let millis = at(time).timestamp_millis();
        let body =
            format!(r#"[{{"t":{millis},"s":"X","i":"{timeframe}","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}}]"#);
        decode_candles(timeframe, &ok(body)).map(|candles| candles[0].open_time).map_err(|error| error.kind)
    };
    for (timeframe, time) in [(Timeframe::W1, "2026-11-16T00:00:00Z"), (Timeframe::Month1, "2026-11-01T00:00:00Z")] {
        assert_eq!(open(timeframe, time), Ok(at(time)));
    }
    assert_eq!(open(Timeframe::W1, "2026-11-19T00:00:00Z"), Err(ErrorKind::Malformed));
}

#[test]
fn one_broken_bar_makes_the_page_malformed() {
    let kind = |body: String| decode_candles(Timeframe::M1, &ok(body)).map_err(|error| error.kind);
    let broken = [
        CANDLES.replace("\"91213.0\"", "null"),
        CANDLES.replace("\"0.02\"", "\"-0.02\""),
        CANDLES.replace("\"91214.0\"", "\"NaN\""),
        CANDLES.replace(":1795183200000", ":1795183200001"),
        CANDLES.replace("\"i\":\"1m\"", "\"i\":\"3m\""),
        CANDLES[..90].to_owned(),
        "null".to_owned(),
        "<html>busy</html>".to_owned(),
    ];
    for body in broken {
        assert_eq!(kind(body.clone()), Err(ErrorKind::Malformed), "{body}");
    }
}

#[test]
fn recent_trades_are_the_only_ones_and_are_told_apart_by_time_and_hash() {
    let trade = |millis: i64, tid: u64, price: &str, amount: &str, side| {
        let id = TradeId::Text(format!("{millis}/{tid}").into());
        Trade {
            last_id: id.clone(),
            id,
            time: DateTime::from_timestamp_millis(millis).unwrap(),
            price: price.parse().unwrap(),
            amount: amount.parse().unwrap(),
            side: Some(side),
        }
    };
    let expected = TradePage {
        trades: vec![
            trade(1795183201990, 884120033107415, "91213.0", "0.02", Side::Sell),
            trade(1795183203104, 512204417330021, "91214.0", "0.0031", Side::Buy),
        ],
        next: None,
    };
    assert_eq!(decode_trades(&ok(RECENT)), Ok(expected.clone()));
    let doubled =
        format!("[{},{}]", &RECENT.trim()[1..RECENT.trim().len() - 1], &RECENT.trim()[1..RECENT.trim().len() - 1]);
    assert_eq!(decode_trades(&ok(doubled)), Ok(expected));
    let ask = |cursor| dialect().encode_trades(&market("BTC", "BTC/USDC:USDC"), &cursor);
    let newest = bodies(ask(TradeCursor::Newest).into_iter().collect());
    assert_eq!(newest, [(r#"{"coin":"BTC","type":"recentTrades"}"#.to_owned(), 21)]);
    assert_eq!(ask(TradeCursor::Time(at("2026-11-20T14:00:00Z"))), None);
    assert_eq!(ask(TradeCursor::BeforeId(TradeId::Number(1))), None);
    assert_eq!(ask(TradeCursor::Venue("1".into())), None);
}

#[test]
fn only_the_lists_that_can_hold_the_wanted_symbols_are_read() {
    let ask = |symbols: &[&str]| {
        let symbols = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect::<Vec<_>>();
        bodies(dialect().encode_instruments(&symbols))
    };
    let (meta, spot, dexes) = (r#"{"type":"meta"}"#, r#"{"type":"spotMeta"}"#, r#"{"type":"perpDexs"}"#);
    let list = |bodies: &[&str]| bodies.iter().map(|body| ((*body).to_owned(), 20)).collect::<Vec<_>>();
    assert_eq!(ask(&[]), list(&[meta, spot, dexes]));
    assert_eq!(ask(&["BTC/USDC:USDC"]), list(&[meta]));
    assert_eq!(ask(&["HYPE/USDC", "BTC/USDC:USDC"]), list(&[meta, spot]));
    assert_eq!(ask(&["XYZ-TSLA/USDC:USDC"]), list(&[dexes]));
    let next = bodies(dialect().next_instruments(&ok(PERP_DEXS)));
    assert_eq!(next, list(&[r#"{"dex":"xyz","type":"meta"}"#]));
    assert_eq!(dialect().next_instruments(&ok(META)), []);
}

#[test]
fn markets_keep_the_case_of_their_coins_and_tokens_go_by_what_they_stand_for() {
    let matic = Instrument { is_trading: false, ..market("MATIC", "MATIC/USDC:USDC") };
    let perpetuals = vec![market("BTC", "BTC/USDC:USDC"), market("kPEPE", "KPEPE/USDC:USDC"), matic];
    assert_eq!(decode_instruments(&ok(META)), Ok(perpetuals));
    assert_eq!(decode_instruments(&ok(META_XYZ)), Ok(vec![market("xyz:TSLA", "XYZ-TSLA/USDC:USDC")]));
    let spot = vec![market("PURR/USDC", "PURR/USDC"), market("@107", "HYPE/USDC"), market("@142", "BTC/USDC")];
    assert_eq!(decode_instruments(&ok(SPOT_META)), Ok(spot));
    assert_eq!(decode_instruments(&ok(PERP_DEXS)), Ok(vec![]));
    let other_collateral = META_XYZ.replace("\"collateralToken\":0", "\"collateralToken\":235");
    assert_eq!(decode_instruments(&ok(other_collateral)), Ok(vec![]));
    let half_readable = META.replace("\"name\":\"BTC\"", "\"name\":7");
    assert_eq!(decode_instruments(&ok(half_readable)).map(|markets| markets.len()), Ok(2));
    let unreadable = decode_instruments(&ok(r#"{"universe":[{"name":7}]}"#)).map_err(|error| error.kind);
    assert_eq!(unreadable, Err(ErrorKind::Malformed));
}

#[test]
fn tickers_come_with_the_lists_one_call_for_each() {
    let wanted = [market("BTC", "BTC/USDC:USDC"), market("ETH", "ETH/USDC:USDC"), market("@107", "HYPE/USDC")];
    let other = market("xyz:TSLA", "XYZ-TSLA/USDC:USDC");
    let calls = bodies(dialect().encode_tickers(&[&wanted[..], &[other]].concat()));
    let expected = [
        r#"{"type":"metaAndAssetCtxs"}"#,
        r#"{"type":"spotMetaAndAssetCtxs"}"#,
        r#"{"dex":"xyz","type":"metaAndAssetCtxs"}"#,
    ];
    assert_eq!(calls, expected.map(|body| (body.to_owned(), 20)));
    let bitcoin = Ticker {
        time: None,
        last: Some(91213.5),
        bid: Some(91213.0),
        ask: Some(91214.2),
        volume: Some(24290.11),
        quote_volume: Some(2214880331.5512),
    };
    let still = Ticker { volume: Some(0.0), quote_volume: Some(0.0), ..Ticker::default() };
    assert_eq!(decode_tickers(&ok(CONTEXTS)), Ok(vec![("BTC".to_owned(), bitcoin), ("MATIC".to_owned(), still)]));
    let purr = Ticker { last: Some(0.1205), quote_volume: Some(1204.1), ..Ticker::default() };
    let hype =
        Ticker { last: Some(36.495), volume: Some(140221.07), quote_volume: Some(5120331.55), ..Ticker::default() };
    assert_eq!(decode_tickers(&ok(SPOT_CONTEXTS)), Ok(vec![("PURR/USDC".to_owned(), purr), ("@107".to_owned(), hype)]));
}

#[test]
fn errors_are_classed_by_status_and_a_null_is_an_unknown_coin() {
    let html = "<html><body>Bad Gateway</body></html>";
    let cases = [
        (422, ERROR_422, ErrorKind::BadRequest),
        (500, "null", ErrorKind::UnknownSymbol),
        (500, html, ErrorKind::Unavailable),
        (502, html, ErrorKind::Unavailable),
        (503, "null", ErrorKind::Unavailable),
        (404, "", ErrorKind::BadRequest),
        (429, "null", ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(30)) }),
        (200, html, ErrorKind::Malformed),
    ];
    let mut seen = 0;
    for (status, body, kind) in cases {
        let mut reply = HttpReply::new(status, body);
        reply.headers = vec![("retry-after".into(), "30".into())];
        assert_eq!(decode_candles(Timeframe::M1, &reply).map_err(|error| error.kind), Err(kind), "{status} {body}");
        assert_eq!(decode_trades(&reply).map_err(|error| error.kind), Err(kind), "{status} {body}");
        assert_eq!(decode_instruments(&reply).map_err(|error| error.kind), Err(kind), "{status} {body}");
        assert_eq!(decode_tickers(&reply).map_err(|error| error.kind), Err(kind), "{status} {body}");
        seen += 1;
    }
    assert_eq!(seen, 8);
    let limited = decode_candles(Timeframe::M1, &HttpReply::new(429, "")).map_err(|error| error.kind);
    assert_eq!(limited, Err(ErrorKind::RateLimited { retry_after: None }), "no header, no wait");
}
