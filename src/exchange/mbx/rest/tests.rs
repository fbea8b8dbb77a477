use super::*;
use crate::exchange::binance::SPOT;
use crate::exchange::registry;
use crate::exchange::wire::malformed;
use crate::market::{Side, Trade, TradeId};
use chrono::{DateTime, Utc};

const KLINES_BODY: &str = include_str!("../../../../tests/fixtures/binance/klines.json");
const AGG_TRADES_BODY: &str = include_str!("../../../../tests/fixtures/binance/agg_trades.json");
const TICKER_BODY: &str = include_str!("../../../../tests/fixtures/binance/ticker.json");
const EXCHANGE_INFO_BODY: &str = include_str!("../../../../tests/fixtures/binance/exchange_info.json");

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn market(id: &str, symbol: &str, is_trading: bool) -> Instrument {
    Instrument { is_trading, ..Instrument::new(symbol.parse().unwrap(), id, id) }
}

fn bitcoin() -> Instrument {
    market("BTCUSDT", "BTC/USDT", true)
}

fn dialect() -> std::sync::Arc<dyn crate::exchange::Dialect> {
    let row = registry::find("binance").unwrap();
    (row.build)(row.public_endpoints())
}

#[test]
fn candles_are_asked_by_inclusive_open_times_at_weight_two() {
    let span = Span::new(at("2026-11-20T14:00:00Z"), at("2026-11-20T15:00:00Z"));
    let request = dialect().encode_candles(&bitcoin(), Timeframe::M1, span, span.to);
    assert_eq!(
        request.url,
        "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1m\
         &startTime=1795183200000&endTime=1795186799999&limit=60"
    );
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.headers, vec![("user-agent", registry::DEFAULT_USER_AGENT.to_owned())]);
    assert_eq!(request.cost, Cost { limit: 0, units: 2 });
    let month = dialect().encode_candles(&market("币USDT", "币/USDT", true), Timeframe::Month1, span, span.to);
    assert!(month.url.contains("?symbol=%E5%B8%81USDT&interval=1M&"), "{}", month.url);
}

#[test]
fn klines_become_candles_and_holes_stay_holes() {
    let first = Candle {
        open_time: at("2026-11-20T13:59:00Z"),
        open: 91210.01,
        high: 91242.7,
        low: 91201.55,
        close: 91230.0,
        volume: 14.20718,
        quote_volume: Some(1295892.4610318),
        trades: Some(2210),
        vwap: None,
    };
    let quiet = Candle { quote_volume: Some(0.0), ..Candle::flat(at("2026-11-20T14:00:00Z"), 91230.0) };
    let last = Candle {
        open_time: at("2026-11-20T14:02:00Z"),
        open: 91230.0,
        high: 91250.0,
        low: 91229.99,
        close: 91244.1,
        volume: 6.1183,
        quote_volume: Some(558242.90113),
        trades: Some(477),
        vwap: None,
    };
    let decode = |body: &str| decode_candles(&SPOT, Timeframe::M1, &HttpReply::new(200, body.to_owned()));
    assert_eq!(decode(KLINES_BODY), Ok(vec![first, quiet, last]));
    assert_eq!(decode("[]"), Ok(vec![]));
    let longer = KLINES_BODY.replace(",\"0\"]", ",\"0\",null,{\"new\":[1]}]").replace("\"91210.01000000\"", "91210.01");
    assert_eq!(decode(&longer), Ok(vec![first, quiet, last]));
    let nine = r#"[["1795183140000","91210.01","91242.7","91201.55","91230","14.20718",0,"1295892.4610318","2210"]]"#;
    assert_eq!(decode(nine), Ok(vec![first]));
}

#[test]
fn rows_out_of_order_are_sorted_and_of_two_for_one_bucket_the_later_stays() {
    let row = |time: i64, close: &str| format!("[{time},\"1\",\"9\",\"1\",\"{close}\",\"1\",0,\"1\",1]");
    let body = format!("[{},{},{}]", row(1795183260000, "4"), row(1795183200000, "2"), row(1795183260000, "5"));
    let candles = decode_candles(&SPOT, Timeframe::M1, &HttpReply::new(200, body)).unwrap();
    let seen = candles.iter().map(|candle| (candle.open_time, candle.close)).collect::<Vec<_>>();
    assert_eq!(seen, vec![(at("2026-11-20T14:00:00Z"), 2.0), (at("2026-11-20T14:01:00Z"), 5.0)]);
}

#[test]
fn weeks_open_on_monday_and_months_on_the_first() {
    let row = |time: i64| format!("[[{time},\"1\",\"1\",\"1\",\"1\",\"1\",0,\"1\",1]]");
    let open = |timeframe, text: &str| {
        let body = row(at(text).timestamp_millis());
        decode_candles(&SPOT, timeframe, &HttpReply::new(200, body)).map(|candles| candles[0].open_time)
    };
    assert_eq!(open(Timeframe::W1, "2026-11-16T00:00:00Z"), Ok(at("2026-11-16T00:00:00Z")));
    assert_eq!(open(Timeframe::Month1, "2026-11-01T00:00:00Z"), Ok(at("2026-11-01T00:00:00Z")));
    let thursday = open(Timeframe::W1, "2026-11-19T00:00:00Z");
    assert_eq!(thursday, Err(malformed("open time 2026-11-19 00:00:00 UTC is no 1w border")));
}

#[test]
fn one_broken_row_makes_the_page_malformed() {
    let kind =
        |body: String| decode_candles(&SPOT, Timeframe::M1, &HttpReply::new(200, body)).map_err(|error| error.kind);
    let short = KLINES_BODY.replace(",477,\"3.00410000\",\"274101.20500000\",\"0\"", "");
    assert_eq!(kind(short), Err(ErrorKind::Malformed));
    assert_eq!(kind(KLINES_BODY.replace("\"91229.99000000\"", "null")), Err(ErrorKind::Malformed));
    assert_eq!(kind(KLINES_BODY.replace(",477,", ",-477,")), Err(ErrorKind::Malformed));
    assert_eq!(kind(KLINES_BODY[..200].to_owned()), Err(ErrorKind::Malformed));
    assert_eq!(kind("<html>busy</html>".to_owned()), Err(ErrorKind::Malformed));
}

#[test]
fn trades_start_in_a_window_of_an_hour_and_go_on_by_the_venues_id() {
    let url = |cursor| dialect().encode_trades(&bitcoin(), &cursor).map(|request| request.url);
    let base = "https://api.binance.com/api/v3/aggTrades?symbol=BTCUSDT";
    assert_eq!(url(TradeCursor::Newest), Some(format!("{base}&limit=1000")));
    let from = at("2026-11-20T14:00:00Z");
    let window = format!("{base}&startTime=1795183200000&endTime=1795186799999&limit=1000");
    assert_eq!(url(TradeCursor::Time(from)), Some(window));
    let paged = format!("{base}&fromId=3401188212&limit=1000");
    assert_eq!(url(TradeCursor::Venue("3401188212".into())), Some(paged));
    assert_eq!(url(TradeCursor::Venue("1&symbol=X".into())), None);
    assert_eq!(url(TradeCursor::BeforeId(TradeId::Number(1))), None);
    let cost = dialect().encode_trades(&bitcoin(), &TradeCursor::Newest).unwrap().cost;
    assert_eq!(cost, Cost { limit: 0, units: 4 });
}

#[test]
fn an_empty_window_is_followed_by_the_next_one_and_an_empty_page_by_nothing() {
    let dialect = dialect();
    assert_eq!(
        dialect.decode_trades(&bitcoin(), &TradeCursor::Newest, &HttpReply::new(200, "[]")),
        Ok(TradePage { trades: vec![], next: None })
    );
    assert_eq!(
        dialect.cursor_after_empty(&TradeCursor::Time(at("2026-11-20T14:00:00Z"))),
        Some(TradeCursor::Time(at("2026-11-20T15:00:00Z")))
    );
    assert_eq!(dialect.cursor_after_empty(&TradeCursor::Venue("7".into())), None);
    assert_eq!(dialect.cursor_after_empty(&TradeCursor::Newest), None);
    assert_eq!(dialect.cursor_after_empty(&TradeCursor::Time(DateTime::<Utc>::MAX_UTC)), None);
}

fn trade(first: u64, last: u64, millis: &str, price: &str, amount: &str, side: Side) -> Trade {
    Trade {
        id: TradeId::Number(first),
        last_id: TradeId::Number(last),
        time: at(&format!("2026-11-20T14:00:{millis}Z")),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    }
}

#[test]
fn aggregated_trades_cover_their_ids_and_page_by_their_own() {
    let page = || TradePage {
        trades: vec![
            trade(5501188301, 5501188303, "01.118", "91230.00000000", "0.00230000", Side::Buy),
            trade(5501188304, 5501188304, "01.140", "91229.99000000", "0.50000000", Side::Sell),
        ],
        next: Some(TradeCursor::Venue("3401188212".into())),
    };
    let decode = |body: String| decode_trades(&SPOT, &HttpReply::new(200, body));
    assert_eq!(decode(AGG_TRADES_BODY.to_owned()), Ok(page()));
    assert_eq!(page().trades[0].count(), 3);
    let quoted = AGG_TRADES_BODY.replace(":3401188210", ":\"3401188210\"").replace("\"0.00230000\"", "0.00230000");
    assert_eq!(decode(quoted), Ok(page()));
}

#[test]
fn trade_rows_are_sorted_deduplicated_and_placeholders_are_dropped() {
    let row =
        |id: u64, ids: &str| format!("{{\"a\":{id},\"p\":\"1\",\"q\":\"2\",{ids},\"T\":1795183201000,\"m\":true}}");
    let body = format!(
        "[{},{},{},{}]",
        row(12, "\"f\":-1,\"l\":-1"),
        row(11, "\"f\":5,\"l\":6"),
        row(10, "\"f\":4,\"l\":4"),
        row(11, "\"f\":5,\"l\":6")
    );
    let expected = TradePage {
        trades: vec![trade(4, 4, "01", "1", "2", Side::Sell), trade(5, 6, "01", "1", "2", Side::Sell)],
        next: Some(TradeCursor::Venue("13".into())),
    };
    assert_eq!(decode_trades(&SPOT, &HttpReply::new(200, body)), Ok(expected));
}

#[test]
fn the_instrument_list_names_markets_by_their_assets() {
    let requests = dialect().encode_instruments(&["BTC/USDT".parse().unwrap()]);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].url, "https://api.binance.com/api/v3/exchangeInfo");
    assert_eq!(requests[0].cost, Cost { limit: 0, units: 20 });
    let reply = HttpReply::new(200, EXCHANGE_INFO_BODY);
    let all = vec![bitcoin(), market("LUNCUSDT", "LUNC/USDT", false), market("币安人生USDT", "币安人生/USDT", true)];
    assert_eq!(decode_instruments(&SPOT, None, &reply), Ok(all));
    assert_eq!(decode_instruments(&SPOT, Some(&"BTC/USDT".parse().unwrap()), &reply), Ok(vec![bitcoin()]));
    let missing = decode_instruments(&SPOT, Some(&"BTC/USD".parse().unwrap()), &reply).map_err(|error| error.kind);
    assert_eq!(missing, Err(ErrorKind::UnknownSymbol));
}

#[test]
fn tickers_come_for_twenty_markets_a_call_and_an_empty_book_has_no_prices() {
    let traded = Ticker {
        time: Some(at("2026-11-20T14:00:01.120Z")),
        last: Some(91230.01),
        bid: Some(91230.0),
        ask: Some(91230.01),
        volume: Some(14801.0331),
        quote_volume: Some(1349559800.5512),
    };
    let halted = Ticker {
        time: Some(at("2026-11-20T14:00:00Z")),
        volume: Some(0.0),
        quote_volume: Some(0.0),
        ..Ticker::default()
    };
    let dialect = dialect();
    let calls = dialect.encode_tickers(&[bitcoin(), market("币USDT", "币/USDT", true)]);
    assert_eq!(calls.len(), 1);
    assert_eq!(
        calls[0].url,
        "https://api.binance.com/api/v3/ticker/24hr?symbols=%5B%22BTCUSDT%22%2C%22%E5%B8%81USDT%22%5D"
    );
    assert_eq!(calls[0].cost, Cost { limit: 0, units: 2 });
    assert_eq!(dialect.encode_tickers(&vec![bitcoin(); 41]).len(), 3);
    let decode = |text: &str| dialect.decode_tickers(&calls[0], &HttpReply::new(200, text.to_owned()));
    let both = vec![("BTCUSDT".to_owned(), traded), ("LUNCUSDT".to_owned(), halted)];
    assert_eq!(decode(TICKER_BODY), Ok(both));
    let bare = TICKER_BODY.replace("\"91230.00000000\"", "91230.0").replace("\"14801.03310000\"", "1.48010331e4");
    assert_eq!(decode(&bare).unwrap()[0].1, traded);
    assert_eq!(
        decode(&TICKER_BODY.replace("91230.00000000", "x")).map_err(|error| error.kind),
        Err(ErrorKind::Malformed)
    );
    let refused = dialect.decode_tickers(&calls[0], &HttpReply::new(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#));
    assert_eq!(refused.map_err(|error| error.kind), Err(ErrorKind::UnknownSymbol));
    assert_eq!(
        decode(r#"{"code":-1003,"msg":"slow"}"#).map_err(|error| error.kind),
        Err(ErrorKind::RateLimited { retry_after: None })
    );
}
