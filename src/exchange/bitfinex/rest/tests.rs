use chrono::{DateTime, Utc};

use super::*;
use crate::exchange::{Dialect, ErrorKind, registry};
use crate::market::{Side, Trade, TradeId};

const CANDLES_BODY: &str = include_str!("../../../../tests/fixtures/bitfinex/candles.json");
const LAST_BODY: &str = include_str!("../../../../tests/fixtures/bitfinex/candle_last.json");
const TRADES_BODY: &str = include_str!("../../../../tests/fixtures/bitfinex/trades.json");
const PAIRS: &str = include_str!("../../../../tests/fixtures/bitfinex/pairs.json");
const TICKERS_BODY: &str = include_str!("../../../../tests/fixtures/bitfinex/tickers.json");
const ERROR_PARAMETER: &str = include_str!("../../../../tests/fixtures/bitfinex/error_parameter.json");
const ERROR_LIMIT: &str = include_str!("../../../../tests/fixtures/bitfinex/error_limit.json");

const BASE: &str = "https://api-pub.bitfinex.com/v2";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn ok(body: impl Into<String>) -> HttpReply {
    HttpReply::new(200, body.into())
}

fn market(id: &str, symbol: &str) -> Instrument {
    Instrument::new(symbol.parse().unwrap(), id, id)
}

fn dialect() -> std::sync::Arc<dyn Dialect> {
    let row = registry::find("bitfinex").unwrap();
    (row.build)(row.public_endpoints())
}

fn bar(time: &str, [open, high, low, close, volume]: [f64; 5]) -> Candle {
    Candle { open_time: at(time), open, high, low, close, volume, quote_volume: None, trades: None, vwap: None }
}

#[test]
fn candles_are_asked_oldest_first_between_inclusive_open_times() {
    let span = Span::new(at("2026-11-20T14:00:00Z"), at("2026-11-20T15:00:00Z"));
    let ask = |id: &str, timeframe| dialect().encode_candles(&market(id, "X/Y"), timeframe, span, span.to);
    let query = "hist?sort=1&start=1795183200000&end=1795186799999&limit=10000";
    let minute = ask("tBTCUSD", Timeframe::M1);
    assert_eq!(minute.url, format!("{BASE}/candles/trade:1m:tBTCUSD/{query}"));
    assert_eq!((minute.method, minute.cost), (Method::Get, Cost { limit: 0, units: 1 }));
    assert_eq!(ask("tAVAX:USD", Timeframe::W1).url, format!("{BASE}/candles/trade:1W:tAVAX:USD/{query}"));
    assert_eq!(ask("tBTCF0:USTF0", Timeframe::D1).url, format!("{BASE}/candles/trade:1D:tBTCF0:USTF0/{query}"));
}

#[test]
fn rows_print_the_close_before_high_and_low_and_come_in_either_order() {
    let before = bar("2026-11-20T13:59:00Z", [91208.6, 91220.0, 91205.0, 91214.0, 3.40911825]);
    let newest = bar("2026-11-20T14:00:00Z", [91214.0, 91221.0, 91207.0, 91219.0, 1.88204171]);
    let decode = |body: &str| decode_candles(Timeframe::M1, &ok(body));
    assert_eq!(decode(CANDLES_BODY), Ok(vec![before, newest]));
    assert_eq!(decode(&format!("[{}]", LAST_BODY.trim())), Ok(vec![newest]));
    assert_eq!(decode("[]"), Ok(vec![]));
    let grown =
        CANDLES_BODY.replace(",1.88204171]", ",\"188204171e-8\",null,{\"new\":[1]}]").replace("91214,", "\"91214\",");
    assert_eq!(decode(&grown), Ok(vec![before, newest]));
    let tiny = CANDLES_BODY.replace("3.40911825", "1e-7");
    assert_eq!(decode(&tiny).unwrap()[0].volume, 1e-7);
}

#[test]
fn weeks_open_on_monday_and_months_on_the_first() {
    let open = |timeframe, time: &str| {
        let body = format!("[[{},1,1,1,1,1]]", at(time).timestamp_millis());
        decode_candles(timeframe, &ok(body)).map(|candles| candles[0].open_time).map_err(|error| error.kind)
    };
    for (timeframe, time) in [(Timeframe::W1, "2026-11-16T00:00:00Z"), (Timeframe::Month1, "2026-11-01T00:00:00Z")] {
        assert_eq!(open(timeframe, time), Ok(at(time)));
    }
    assert_eq!(open(Timeframe::W1, "2026-11-19T00:00:00Z"), Err(ErrorKind::Malformed));
}

#[test]
fn one_broken_row_makes_the_page_malformed() {
    let broken = [
        CANDLES_BODY.replace("91221", "null"),
        CANDLES_BODY.replace(",1.88204171", ""),
        CANDLES_BODY.replace("1.88204171", "-1"),
        CANDLES_BODY.replace("1795183200000", "1795183200001"),
        CANDLES_BODY.replace("91221", "[1]"),
        CANDLES_BODY[..60].to_owned(),
        LAST_BODY.to_owned(),
        "{}".to_owned(),
        "<html>busy</html>".to_owned(),
    ];
    for body in broken {
        let kind = decode_candles(Timeframe::M1, &ok(body.clone())).map_err(|error| error.kind);
        assert_eq!(kind, Err(ErrorKind::Malformed), "{body}");
    }
}

fn trade(id: u64, time: &str, price: &str, amount: &str, side: Side) -> Trade {
    let id = TradeId::Number(id);
    Trade {
        last_id: id.clone(),
        id,
        time: at(time),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    }
}

#[test]
fn the_sign_of_an_amount_is_the_takers_side() {
    let expected = TradePage {
        trades: vec![
            trade(1902200411, "2026-11-20T14:00:09.410Z", "91218", "0.01", Side::Sell),
            trade(1902200415, "2026-11-20T14:00:09.871Z", "91219", "0.00215", Side::Buy),
        ],
        next: None,
    };
    let newest = TradeCursor::Newest;
    assert_eq!(decode_trades(&newest, &ok(TRADES_BODY)), Ok(expected.clone()));
    let exponents = TRADES_BODY.replace("-0.01", "-1e-2").replace("0.00215", "\"2.15E-3\"");
    assert_eq!(decode_trades(&newest, &ok(exponents)), Ok(expected));
    let nothing = decode_trades(&newest, &ok("[[7,1795183209871,0,1,null]]")).unwrap();
    assert_eq!(nothing.trades[0].side, None);
    let broken = decode_trades(&newest, &ok(TRADES_BODY.replace("1902200411", "-1"))).map_err(|error| error.kind);
    assert_eq!(broken, Err(ErrorKind::Malformed));
}

#[test]
fn trades_are_walked_by_their_time_and_a_page_of_one_millisecond_is_left_behind() {
    let bitcoin = market("tBTCUSD", "BTC/USD");
    let url = |cursor| dialect().encode_trades(&bitcoin, &cursor).map(|call| (call.url, call.cost));
    let cost = Cost { limit: 1, units: 1 };
    assert_eq!(url(TradeCursor::Newest), Some((format!("{BASE}/trades/tBTCUSD/hist?sort=-1&limit=10000"), cost)));
    let from = TradeCursor::Time(at("2026-11-20T14:00:00Z"));
    let forward = format!("{BASE}/trades/tBTCUSD/hist?sort=1&start=1795183200000&limit=10000");
    assert_eq!(url(from.clone()), Some((forward, cost)));
    assert_eq!(url(TradeCursor::BeforeId(TradeId::Number(1))), None);
    assert_eq!(url(TradeCursor::Venue("1".into())), None);

    let page = |count: u64, last_millis: i64| {
        let row = |n: u64| {
            let millis = if n + 1 == count { last_millis } else { 1795183200000 };
            format!("[{},{millis},1,2]", 1000 + n)
        };
        ok(format!("[{}]", (0..count).map(row).collect::<Vec<_>>().join(",")))
    };
    let next = |cursor: &TradeCursor, count, last| decode_trades(cursor, &page(count, last)).unwrap().next;
    let at_millis = |millis| Some(TradeCursor::Time(DateTime::from_timestamp_millis(millis).unwrap()));
    assert_eq!(next(&from, 10_000, 1795183200777), at_millis(1795183200777));
    assert_eq!(next(&from, 10_000, 1795183200000), at_millis(1795183200001));
    assert_eq!(next(&from, 9_999, 1795183200777), at_millis(1795183200777));
    assert_eq!(next(&from, 9_999, 1795183200000), None);
    assert_eq!(next(&TradeCursor::Newest, 10_000, 1795183200777), None);
}

#[test]
fn both_lists_of_pairs_come_with_one_call() {
    let calls = dialect().encode_instruments(&[]);
    let urls = calls.iter().map(|call| (call.url.as_str(), call.cost.limit)).collect::<Vec<_>>();
    assert_eq!(urls, [(&*format!("{BASE}/conf/pub:list:pair:exchange,pub:list:pair:futures"), 2)]);
    let expected = vec![
        market("tBTCUSD", "BTC/USD"),
        market("tBTCUST", "BTC/USDT"),
        market("tETHUSD", "ETH/USD"),
        market("tAVAX:USD", "AVAX/USD"),
        market("tMATIC:UST", "MATIC/USDT"),
        market("tBTCF0:USTF0", "BTC/USDT:USDT"),
    ];
    assert_eq!(decode_instruments(&ok(PAIRS)), Ok(expected));
}

#[test]
fn tickers_of_many_markets_come_with_one_call() {
    let wanted = [market("tBTCUSD", "BTC/USD"), market("tAVAX:USD", "AVAX/USD")];
    let calls = dialect().encode_tickers(&wanted);
    let urls = calls.iter().map(|call| (call.url.as_str(), call.cost.limit)).collect::<Vec<_>>();
    assert_eq!(urls, [(&*format!("{BASE}/tickers?symbols=tBTCUSD,tAVAX:USD"), 3)]);
    assert_eq!(dialect().encode_tickers(&vec![wanted[0].clone(); 101]).len(), 2);
    let ticker = |last, bid, ask, volume| Ticker {
        time: None,
        last: Some(last),
        bid: Some(bid),
        ask: Some(ask),
        volume: Some(volume),
        quote_volume: None,
    };
    let expected = vec![
        ("tBTCUSD".to_owned(), ticker(91219.0, 91218.0, 91219.0, 1843.20411)),
        ("tAVAX:USD".to_owned(), ticker(14.2, 14.19, 14.21, 1e-7)),
    ];
    assert_eq!(decode_tickers(&ok(TICKERS_BODY)), Ok(expected));
}

#[test]
fn errors_are_read_from_the_body_whatever_the_status_and_from_the_status_where_it_says_nothing() {
    let coded = |code: u32, words: &str| format!("[\"error\",{code},\"{words}\"]");
    let html = || "<html><body>Bad Gateway</body></html>".to_owned();
    let limited = ErrorKind::RateLimited { retry_after: Some(std::time::Duration::from_secs(60)) };
    let cases = [
        (500, ERROR_PARAMETER.to_owned(), ErrorKind::BadRequest),
        (500, coded(10020, "symbol: invalid"), ErrorKind::UnknownSymbol),
        (200, coded(10020, "time_interval: invalid"), ErrorKind::BadRequest),
        (500, ERROR_LIMIT.to_owned(), limited),
        (429, ERROR_LIMIT.to_owned(), limited),
        (429, "{\"error\":\"ERR_RATE_LIMIT\"}".to_owned(), limited),
        (200, "{\"error\":\"ERR_RATE_LIMIT\"}".to_owned(), limited),
        (429, html(), limited),
        (500, coded(10000, "unknown"), ErrorKind::Unavailable),
        (500, coded(10001, "generic error"), ErrorKind::Unavailable),
        (500, coded(20060, "maintenance"), ErrorKind::Unavailable),
        (503, coded(20060, "maintenance"), ErrorKind::Unavailable),
        (500, "[\"error\"]".to_owned(), ErrorKind::Unavailable),
        (502, html(), ErrorKind::Unavailable),
        (404, html(), ErrorKind::BadRequest),
        (200, html(), ErrorKind::Malformed),
    ];
    let mut seen = 0;
    for (status, body, kind) in cases {
        let reply = HttpReply::new(status, body.clone());
        let kinds = [
            decode_candles(Timeframe::M1, &reply).map(|_| ()).map_err(|error| error.kind),
            decode_trades(&TradeCursor::Newest, &reply).map(|_| ()).map_err(|error| error.kind),
            decode_instruments(&reply).map(|_| ()).map_err(|error| error.kind),
            decode_tickers(&reply).map(|_| ()).map_err(|error| error.kind),
        ];
        assert_eq!(kinds, [Err(kind); 4], "{status} {body}");
        seen += 1;
    }
    assert_eq!(seen, 16);
}
