use super::*;
use crate::exchange::{Dialect, registry};
use crate::market::{Side, Trade};

const CANDLES: &str = include_str!("../../../../tests/fixtures/coinbase/candles.json");
const TRADES: &str = include_str!("../../../../tests/fixtures/coinbase/trades.json");
const PRODUCTS: &str = include_str!("../../../../tests/fixtures/coinbase/products.json");
const TICKER: &str = include_str!("../../../../tests/fixtures/coinbase/ticker.json");
const NOT_FOUND: &str = include_str!("../../../../tests/fixtures/coinbase/not_found.json");

const BASE: &str = "https://api.exchange.coinbase.com";

fn t(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn market(id: &str, symbol: &str) -> Instrument {
    Instrument::new(symbol.parse().unwrap(), id, id)
}

fn btc() -> Instrument {
    market("BTC-USD", "BTC/USD")
}

fn dialect() -> std::sync::Arc<dyn Dialect> {
    let row = registry::find("coinbase").unwrap();
    (row.build)(row.public_endpoints())
}

fn body(text: &str) -> HttpReply {
    HttpReply::new(200, text.to_owned())
}

fn candles(text: &str) -> Result<Vec<Candle>, VenueError> {
    decode_candles(Timeframe::M1, &body(text))
}

fn kind_of(reply: &HttpReply) -> ErrorKind {
    decode_candles(Timeframe::M1, reply).unwrap_err().kind
}

#[test]
fn candles_are_asked_by_both_bounds_and_the_last_second_of_the_last_bucket() {
    let span = Span::new(t("2026-11-20T09:00:00Z"), t("2026-11-20T14:00:00Z"));
    let request = dialect().encode_candles(&btc(), Timeframe::M1, span, span.to);
    assert_eq!(
        request,
        HttpRequest {
            method: Method::Get,
            url: format!(
                "{BASE}/products/BTC-USD/candles?granularity=60&start=2026-11-20T09%3A00%3A00Z&end=2026-11-20T13%3A59%3A59Z"
            ),
            headers: vec![("user-agent", registry::DEFAULT_USER_AGENT.to_owned())],
            body: None,
            cost: Cost { limit: 0, units: 1 },
        }
    );
    let empty = Span::new(span.from, span.from);
    let day = dialect().encode_candles(&btc(), Timeframe::D1, empty, span.to).url;
    assert!(day.ends_with("?granularity=86400&start=2026-11-20T09%3A00%3A00Z&end=2026-11-20T09%3A00%3A00Z"), "{day}");
}

#[test]
fn rows_are_time_low_high_open_close_volume_and_come_out_oldest_first() {
    let candle = |time: &str, [open, high, low, close, volume]: [f64; 5]| Candle {
        volume,
        quote_volume: None,
        trades: None,
        vwap: None,
        ..Candle { open, high, low, close, ..Candle::flat(t(time), 0.0) }
    };
    // 13:59 was quiet: no row.
    let expected = vec![
        candle("2026-11-20T13:58:00Z", [91208.6, 91220.11, 91205.0, 91214.02, 3.40911825]),
        candle("2026-11-20T14:00:00Z", [91214.02, 91221.4, 91207.55, 91219.37, 1.8820417]),
    ];
    assert_eq!(candles(CANDLES), Ok(expected));
    assert_eq!(candles("[]"), Ok(vec![]));
}

#[test]
fn numbers_may_be_strings_and_in_exponent_form_and_rows_may_grow() {
    let plain = candles("[[1795183200,0.00000472,0.0000048,0.00000475,0.00000478,120034511]]").unwrap();
    let other = r#"[["1795183200","4.72e-06",4.8e-6,4.75E-6,"0.00000478",1.20034511e8,null,{"new":1}]]"#;
    assert_eq!(candles(other), Ok(plain.clone()));
    assert_eq!((plain[0].low, plain[0].high, plain[0].volume), (0.00000472, 0.0000048, 120034511.0));
    let exact = candles("[[1795183200,0.1,2,0.1234567890123456789,1,0.30000000000000004]]").unwrap();
    assert_eq!((exact[0].open, exact[0].volume), (0.12345678901234568, 0.1 + 0.2));
}

#[test]
fn of_two_rows_of_a_bucket_the_one_printed_first_is_the_newer() {
    let twice = candles("[[1795183200,1,3,1,3,2],[1795183200,1,2,1,2,1]]").unwrap();
    assert_eq!(twice.iter().map(|candle| (candle.close, candle.volume)).collect::<Vec<_>>(), [(3.0, 2.0)]);
}

#[test]
fn one_broken_row_makes_the_page_malformed() {
    let broken = [
        "[1795183201,1,1,1,1,1]",
        "[1795183200,1,1,1,1]",
        "[1795183200,1,1,1,null,1]",
        "[1795183200,1,1,1,1,-1]",
        "[1795183200,1,1,1,1,1e999]",
        "[-60,1,1,1,1,1]",
        r#"[1795183200,1,"x",1,1,1]"#,
        "7",
        "{}",
    ];
    for row in broken {
        let page = format!("[[1795183260,1,1,1,1,1],{row}]");
        assert_eq!(candles(&page).map_err(|error| error.kind), Err(ErrorKind::Malformed), "{row}");
    }
}

#[test]
fn refusals_are_classed_by_their_status() {
    let banned = ErrorKind::Banned { retry_after: None };
    let limited = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(1)) };
    let message = r#"{"message":"words"}"#;
    let cases = [
        (404, NOT_FOUND, ErrorKind::UnknownSymbol),
        (404, "<html>Not Found</html>", ErrorKind::BadRequest),
        (400, r#"{"message":"Unsupported granularity"}"#, ErrorKind::BadRequest),
        (401, message, ErrorKind::BadRequest),
        (403, "<html>Forbidden</html>", banned),
        (403, message, banned),
        (429, r#"{"message":"Public rate limit exceeded"}"#, limited),
        (429, "slow down", limited),
        (500, message, ErrorKind::Unavailable),
        (502, "<html>Bad gateway</html>", ErrorKind::Unavailable),
        (503, message, ErrorKind::Unavailable),
        (200, "<html>Will be right back</html>", ErrorKind::Malformed),
        (200, message, ErrorKind::Malformed),
        (200, "", ErrorKind::Malformed),
    ];
    for (status, text, kind) in cases {
        let reply = HttpReply::new(status, text);
        assert_eq!(kind_of(&reply), kind, "{status} {text}");
        assert_eq!(decode_trades(&reply).map_err(|error| error.kind), Err(kind), "{status} {text}");
    }
    let error = decode_candles(Timeframe::M1, &HttpReply::new(404, NOT_FOUND)).unwrap_err();
    assert_eq!(error, VenueError::new(ErrorKind::UnknownSymbol, "HTTP 404: NotFound"));
    let mut slow = HttpReply::new(429, message);
    slow.headers = vec![("retry-after".into(), "7".into())];
    assert_eq!(kind_of(&slow), ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(7)) });
    // A list that is not there says nothing about any market.
    assert_eq!(decode_instruments(&HttpReply::new(404, NOT_FOUND)).unwrap_err().kind, ErrorKind::Unavailable);
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

#[test]
fn trades_are_exact_ascending_and_have_the_side_of_the_taker() {
    let expected = vec![
        trade(912330457, "2026-11-20T14:00:09.410077Z", "91219.36000000", "0.01000000", Side::Sell),
        trade(912330458, "2026-11-20T14:00:09.871204Z", "91219.37000000", "0.00215000", Side::Buy),
    ];
    let page = TradePage { trades: expected, next: Some(TradeCursor::BeforeId(TradeId::Number(912330457))) };
    assert_eq!(decode_trades(&body(TRADES)), Ok(page.clone()));
    // Ids as text, numbers without quotes, more digits than microseconds, a row twice.
    let other = TRADES
        .replace(":912330458", r#":"912330458""#)
        .replace(r#""0.01000000""#, "0.01000000")
        .replace("871204Z", "871204999Z")
        .replace("}]", r#"},{"trade_id":912330457,"side":"buy","size":"0.01000000","price":"91219.36000000","time":"2026-11-20T14:00:09.410077Z"}]"#);
    assert_eq!(decode_trades(&body(&other)), Ok(page.clone()));
    let unnamed = decode_trades(&body(&TRADES.replace(r#""side":"sell","#, ""))).unwrap();
    assert_eq!(unnamed.trades[1].side, None);
    let broken = decode_trades(&body(&TRADES.replace("91219.36000000", "much"))).map_err(|error| error.kind);
    assert_eq!(broken, Err(ErrorKind::Malformed));
}

#[test]
fn the_next_page_is_older_than_what_the_header_or_the_rows_name_and_the_first_trade_ends_the_walk() {
    let next = |text: &str, after: Option<&str>| {
        let mut reply = body(text);
        reply.headers = after.map(|id| ("cb-after".to_owned(), id.to_owned())).into_iter().collect();
        decode_trades(&reply).unwrap().next
    };
    let before = |id| Some(TradeCursor::BeforeId(TradeId::Number(id)));
    assert_eq!(next(TRADES, Some("912330457")), before(912330457));
    assert_eq!(next(TRADES, Some("912330400")), before(912330400));
    // Never newer than what has been read.
    assert_eq!(next(TRADES, Some("912330999")), before(912330457));
    assert_eq!(next(TRADES, Some("soon")), before(912330457));
    let row =
        |id: u64| format!(r#"{{"trade_id":{id},"side":"buy","size":"1","price":"2","time":"2026-11-20T14:00:09Z"}}"#);
    assert_eq!(next(&format!("[{},{}]", row(2), row(1)), Some("1")), None);
    assert_eq!(next("[]", None), None);
}

#[test]
fn trades_are_walked_by_id_and_by_nothing_else() {
    let url = |cursor| dialect().encode_trades(&btc(), &cursor).map(|request| request.url);
    let with = |rest: &str| Some(format!("{BASE}/products/BTC-USD/trades?limit=1000{rest}"));
    assert_eq!(url(TradeCursor::Newest), with(""));
    assert_eq!(url(TradeCursor::BeforeId(TradeId::Number(912330457))), with("&after=912330457"));
    assert_eq!(url(TradeCursor::BeforeId(TradeId::Text("x".into()))), None);
    assert_eq!(url(TradeCursor::Time(t("2026-11-20T14:00:00Z"))), None);
    assert_eq!(url(TradeCursor::BeforeTime(t("2026-11-20T14:00:00Z"))), None);
    assert_eq!(url(TradeCursor::Venue("7".into())), None);
}

#[test]
fn products_are_named_by_their_currencies_and_trade_while_online_and_not_disabled() {
    let requests = dialect().encode_instruments(&["BTC/USD".parse().unwrap()]);
    assert_eq!(requests.iter().map(|request| request.url.as_str()).collect::<Vec<_>>(), [format!("{BASE}/products")]);
    let halted = |id, symbol| Instrument { is_trading: false, ..market(id, symbol) };
    let expected = vec![btc(), halted("REP-USD", "REP/USD"), halted("ETH-USD", "ETH/USD")];
    assert_eq!(decode_instruments(&body(PRODUCTS)), Ok(expected.clone()));
    let with_rubbish = PRODUCTS.replacen('[', r#"[7,{"id":null},"#, 1);
    assert_eq!(decode_instruments(&body(&with_rubbish)), Ok(expected));
    assert_eq!(decode_instruments(&body("[7]")).map_err(|error| error.kind), Err(ErrorKind::Malformed));
    assert_eq!(decode_instruments(&body("[]")), Ok(vec![]));
}

#[test]
fn a_ticker_belongs_to_the_market_of_its_call() {
    let calls = dialect().encode_tickers(&[btc(), market("ETH-USD", "ETH/USD")]);
    let urls = calls.iter().map(|call| call.url.strip_prefix(BASE).unwrap()).collect::<Vec<_>>();
    assert_eq!(urls, ["/products/BTC-USD/ticker", "/products/ETH-USD/ticker"]);
    let ticker = Ticker {
        time: Some(t("2026-11-20T14:00:09.871204Z")),
        last: Some(91219.37),
        bid: Some(91219.37),
        ask: Some(91219.38),
        volume: Some(5127.82035111),
        quote_volume: None,
    };
    assert_eq!(dialect().decode_tickers(&calls[0], &body(TICKER)), Ok(vec![("BTC-USD".to_owned(), ticker)]));
    assert_eq!(dialect().decode_tickers(&calls[1], &body("{}")), Ok(vec![("ETH-USD".to_owned(), Ticker::default())]));
    let unknown = dialect().decode_tickers(&calls[1], &HttpReply::new(404, NOT_FOUND)).map_err(|error| error.kind);
    assert_eq!(unknown, Err(ErrorKind::UnknownSymbol));
    let other = dialect().decode_tickers(&encode_instruments(dialect().endpoints()), &body(TICKER));
    assert_eq!(other.map_err(|error| error.kind), Err(ErrorKind::BadRequest));
}
