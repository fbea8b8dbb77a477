use super::*;
use crate::exchange::{AmountUnit, Dialect, TradeCursor, registry};
use crate::market::{Side, Trade, TradeId};
use rust_decimal::Decimal;

const KLINE_SPOT: &str = include_str!("../../../../tests/fixtures/bybit/kline_spot.json");
const KLINE_INVERSE: &str = include_str!("../../../../tests/fixtures/bybit/kline_inverse.json");
const RECENT_TRADE: &str = include_str!("../../../../tests/fixtures/bybit/recent_trade_spot.json");
const SPOT: &str = include_str!("../../../../tests/fixtures/bybit/instruments_spot.json");
const LINEAR: &str = include_str!("../../../../tests/fixtures/bybit/instruments_linear.json");
const INVERSE: &str = include_str!("../../../../tests/fixtures/bybit/instruments_inverse.json");
const TICKERS: &str = include_str!("../../../../tests/fixtures/bybit/tickers_linear.json");
const ERROR_SYMBOL: &str = include_str!("../../../../tests/fixtures/bybit/error_symbol.json");

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn dialect() -> std::sync::Arc<dyn Dialect> {
    let row = registry::find("bybit").unwrap();
    (row.build)(row.public_endpoints())
}

fn market(symbol: &str, id: &str) -> Instrument {
    Instrument::new(symbol.parse().unwrap(), id, id)
}

fn spot() -> Instrument {
    market("BTC/USDT", "spot/BTCUSDT")
}

fn inverse(symbol: &str, id: &str) -> Instrument {
    Instrument { amount_unit: AmountUnit::QuoteContracts(Decimal::ONE), ..market(symbol, id) }
}

fn body(text: &str) -> HttpReply {
    HttpReply::new(200, text.to_owned())
}

fn path(request: &HttpRequest) -> &str {
    request.url.strip_prefix("https://api.bybit.com/v5/market/").unwrap()
}

#[test]
fn a_window_of_candles_has_both_ends_on_open_times_and_no_more_rows_than_a_page() {
    let start = at("2026-11-20T14:00:00Z");
    let ask = |market: &Instrument, timeframe, minutes| {
        let span = Span::new(start, start + chrono::TimeDelta::minutes(minutes));
        dialect().encode_candles(market, timeframe, span, span.to)
    };
    let request = ask(&spot(), Timeframe::M1, 60);
    assert_eq!(
        path(&request),
        "kline?category=spot&symbol=BTCUSDT&interval=1&start=1795183200000&end=1795186740000&limit=60"
    );
    assert_eq!(request.cost, Cost { limit: 0, units: 1 });
    assert_eq!(
        path(&ask(&market("BTC/USDT:USDT", "linear/BTCUSDT"), Timeframe::M1, 5000)),
        "kline?category=linear&symbol=BTCUSDT&interval=1&start=1795183200000&end=1795243140000&limit=1000"
    );
    let month = Span::new(at("2026-09-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let request = dialect().encode_candles(&inverse("BTC/USD:BTC", "inverse/BTCUSD"), Timeframe::Month1, month, start);
    assert_eq!(
        path(&request),
        "kline?category=inverse&symbol=BTCUSD&interval=M&start=1788220800000&end=1793491200000&limit=3"
    );
}

fn candle(open_time: &str, prices: [f64; 4], volume: f64, quote_volume: f64) -> Candle {
    let [open, high, low, close] = prices;
    let open_time = at(open_time);
    Candle { open_time, open, high, low, close, volume, quote_volume: Some(quote_volume), trades: None, vwap: None }
}

#[test]
fn rows_come_newest_first_and_leave_oldest_first() {
    let first = candle("2026-11-20T13:59:00Z", [91208.6, 91220.0, 91205.0, 91214.1], 3.409118, 310960.08441);
    let second = candle("2026-11-20T14:00:00Z", [91214.1, 91221.3, 91207.5, 91219.4], 1.882041, 171665.71930742);
    let decode = |text: &str| decode_candles(&spot(), Timeframe::M1, &body(text));
    assert_eq!(decode(KLINE_SPOT), Ok(vec![first, second]));
    let bare = KLINE_SPOT.replace("\"1795183200000\"", "1795183200000").replace("\"1.882041\"", "1882041e-6");
    assert_eq!(decode(&bare.replace("171665.71930742\"]", "171665.71930742\",null,{}]")), Ok(vec![first, second]));
    assert_eq!(decode(&KLINE_SPOT.replace("91214.1", "x")).map_err(|error| error.kind), Err(ErrorKind::Malformed));
    let off = decode(&KLINE_SPOT.replace("1795183140000", "1795183140001"));
    assert_eq!(off, Err(malformed("2026-11-20 13:59:00.001 UTC is no border of 1m bars")));
    let short = KLINE_SPOT.replace(",\"310960.08441\"", "");
    assert_eq!(decode(&short), Err(malformed("row without turnover")));
}

#[test]
fn inverse_contracts_count_dollars_so_their_turnover_is_the_volume() {
    let market = inverse("BTC/USD:BTC", "inverse/BTCUSD");
    let expected = candle("2026-11-20T13:59:00Z", [91208.5, 91220.0, 91205.0, 91214.0], 3.409118, 310960.0);
    assert_eq!(decode_candles(&market, Timeframe::M1, &body(KLINE_INVERSE)), Ok(vec![expected]));
    // The answer says what it is about; where it does not, the id does.
    assert_eq!(decode_candles(&spot(), Timeframe::M1, &body(KLINE_INVERSE)), Ok(vec![expected]));
    let unnamed = KLINE_INVERSE.replace("\"category\":\"inverse\",", "");
    assert_eq!(decode_candles(&market, Timeframe::M1, &body(&unnamed)), Ok(vec![expected]));
    let trade = Trade { amount: "182438.8".parse().unwrap(), ..deal(1, "91219.4", "1", Side::Buy) };
    assert_eq!(market.in_base(trade).amount, Decimal::TWO);
}

#[test]
fn weeks_open_on_monday() {
    let open = |time: &str| {
        let row = KLINE_INVERSE.replace("1795183140000", &at(time).timestamp_millis().to_string());
        decode_candles(&spot(), Timeframe::W1, &body(&row)).map(|candles| candles[0].open_time)
    };
    assert_eq!(open("2026-11-16T00:00:00Z"), Ok(at("2026-11-16T00:00:00Z")));
    assert_eq!(open("2026-11-19T00:00:00Z"), Err(malformed("2026-11-19 00:00:00 UTC is no border of 1w bars")));
}

fn deal(id: u64, price: &str, amount: &str, side: Side) -> Trade {
    Trade {
        id: TradeId::Number(id),
        last_id: TradeId::Number(id),
        time: at("2026-11-20T14:00:09.871Z"),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    }
}

#[test]
fn only_the_newest_trades_are_served_and_come_out_oldest_first_and_once() {
    let request = |market: &Instrument, cursor| dialect().encode_trades(market, &cursor);
    let newest = request(&spot(), TradeCursor::Newest).unwrap();
    assert_eq!(path(&newest), "recent-trade?category=spot&symbol=BTCUSDT&limit=60");
    let linear = request(&market("BTC/USDT:USDT", "linear/BTCUSDT"), TradeCursor::Newest).unwrap();
    assert_eq!(path(&linear), "recent-trade?category=linear&symbol=BTCUSDT&limit=1000");
    for cursor in [
        TradeCursor::Time(at("2026-11-20T14:00:00Z")),
        TradeCursor::BeforeTime(at("2026-11-20T14:00:00Z")),
        TradeCursor::BeforeId(TradeId::Number(1)),
        TradeCursor::Venue("1".into()),
    ] {
        assert_eq!(request(&spot(), cursor), None);
    }
    let trades = vec![
        deal(2290000000811230457, "91219.4", "0.00215", Side::Buy),
        deal(2290000000811230458, "91219.5", "0.1", Side::Sell),
    ];
    assert_eq!(decode_trades(&body(RECENT_TRADE)), Ok(TradePage { trades: trades.clone(), next: None }));
    let twice = RECENT_TRADE.replace("2290000000811230458", "2290000000811230457");
    assert_eq!(decode_trades(&body(&twice)).map(|page| page.trades.len()), Ok(1));
    let text = RECENT_TRADE.replace("2290000000811230457", "4f1c0c52-6a0b-4a10-9f0e-0d5d6b7a9e11");
    let ids = decode_trades(&body(&text)).unwrap().trades.into_iter().map(|trade| trade.id).collect::<Vec<_>>();
    assert_eq!(ids, [TradeId::Text("4f1c0c52-6a0b-4a10-9f0e-0d5d6b7a9e11".into()), trades[1].id.clone()]);
}

#[test]
fn the_categories_that_are_wanted_are_listed_page_by_page() {
    let asked = |symbols: &[&str]| {
        let symbols = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect::<Vec<_>>();
        let calls = dialect().encode_instruments(&symbols);
        calls.iter().map(|call| path(call).to_owned()).collect::<Vec<_>>()
    };
    let call = |category: &str| format!("instruments-info?category={category}&limit=1000");
    assert_eq!(asked(&[]), [call("spot"), call("linear"), call("inverse")]);
    assert_eq!(asked(&["BTC/USDT", "ETH/USDT"]), [call("spot")]);
    assert_eq!(asked(&["BTC/USDT:USDT", "BTC/USD:BTC"]), [call("linear"), call("inverse")]);
    let next =
        |text: &str| dialect().next_instruments(&body(text)).iter().map(|c| path(c).to_owned()).collect::<Vec<_>>();
    let cursor = "first%253DNEWUSDT%2526last%253DZZZ";
    assert_eq!(next(LINEAR), [format!("instruments-info?category=linear&limit=1000&cursor={cursor}")]);
    assert_eq!((next(SPOT), next(INVERSE), next(ERROR_SYMBOL)), (vec![], vec![], vec![]));
}

#[test]
fn markets_of_one_name_are_told_apart_by_their_category() {
    assert_eq!(decode_instruments(&body(SPOT)), Ok(vec![spot()]));
    let linear = vec![
        market("BTC/USDT:USDT", "linear/BTCUSDT"),
        market("BTC/USDC:USDC", "linear/BTCPERP"),
        market("BTC/USDT:USDT-261225", "linear/BTCUSDT-25DEC26"),
        Instrument { is_trading: false, ..market("NEW/USDT:USDT", "linear/NEWUSDT") },
    ];
    assert_eq!(decode_instruments(&body(LINEAR)), Ok(linear));
    let contracts = vec![inverse("BTC/USD:BTC", "inverse/BTCUSD"), inverse("BTC/USD:BTC-261225", "inverse/BTCUSDZ26")];
    assert_eq!(decode_instruments(&body(INVERSE)), Ok(contracts));
    let odd = decode_instruments(&body(&SPOT.replace("\"spot\"", "\"option\"")));
    assert_eq!(odd, Err(malformed("category is Some(\"option\")")));
}

#[test]
fn tickers_are_asked_for_one_by_one_or_by_category() {
    let few = [spot(), market("BTC/USDT:USDT", "linear/BTCUSDT"), market("BTC/USDC:USDC", "linear/BTCPERP")];
    let asked = dialect().encode_tickers(&few);
    assert_eq!(
        asked.iter().map(path).collect::<Vec<_>>(),
        [
            "tickers?category=spot&symbol=BTCUSDT",
            "tickers?category=linear&symbol=BTCUSDT",
            "tickers?category=linear&symbol=BTCPERP",
        ]
    );
    let many = dialect().encode_tickers(&vec![few[1].clone(); 6]);
    assert_eq!(many.iter().map(path).collect::<Vec<_>>(), ["tickers?category=linear"]);
    let time = Some(at("2026-11-20T14:00:10.112Z"));
    let bitcoin = Ticker {
        time,
        last: Some(91219.4),
        bid: Some(91219.3),
        ask: Some(91219.4),
        volume: Some(68133.137),
        quote_volume: Some(6210990213.8432),
    };
    let new = Ticker { time, last: Some(0.5), volume: Some(0.0), quote_volume: Some(0.0), ..Ticker::default() };
    let named = |new, bitcoin| vec![("linear/BTCUSDT".to_owned(), bitcoin), ("linear/NEWUSDT".to_owned(), new)];
    assert_eq!(decode_tickers(&body(TICKERS)), Ok(named(new, bitcoin)));
    let inverse = decode_tickers(&body(&TICKERS.replace("\"linear\"", "\"inverse\""))).unwrap();
    assert_eq!((inverse[0].0.as_str(), inverse[0].1.volume), ("inverse/BTCUSDT", bitcoin.quote_volume));
}

#[test]
fn codes_are_classed_and_a_bad_parameter_of_a_markets_call_is_its_symbol() {
    let coded = |code: i64| {
        format!(r#"{{"retCode":{code},"retMsg":"words","result":{{}},"retExtInfo":{{}},"time":1795183200431}}"#)
    };
    let of_market = |reply: &HttpReply| decode_candles(&spot(), Timeframe::M1, reply).map_err(|error| error.kind);
    let second = Some(Duration::from_secs(1));
    let cases = [
        (10001, ErrorKind::UnknownSymbol),
        (10029, ErrorKind::UnknownSymbol),
        (10006, ErrorKind::RateLimited { retry_after: second }),
        (10000, ErrorKind::Unavailable),
        (10016, ErrorKind::Unavailable),
        (429, ErrorKind::Unavailable),
        (10009, ErrorKind::Banned { retry_after: None }),
        (10017, ErrorKind::BadRequest),
        (987654, ErrorKind::Unavailable),
    ];
    for (code, kind) in cases {
        let reply = body(&coded(code));
        assert_eq!(of_market(&reply), Err(kind), "{code}");
        assert_eq!(decode_trades(&reply).map_err(|error| error.kind), Err(kind), "{code}");
    }
    let unknown = decode_trades(&body(ERROR_SYMBOL)).unwrap_err();
    assert_eq!(unknown, VenueError::new(ErrorKind::UnknownSymbol, "10001 Not supported symbols"));
    assert_eq!(decode_instruments(&body(ERROR_SYMBOL)).map_err(|error| error.kind), Err(ErrorKind::BadRequest));
    let mut limited = body(&coded(10006));
    limited.headers = vec![("x-bapi-limit-reset-timestamp".into(), "1795183203931".into())];
    let wait = Some(Duration::from_millis(3500));
    assert_eq!(of_market(&limited), Err(ErrorKind::RateLimited { retry_after: wait }));
}

#[test]
fn a_refused_address_waits_ten_minutes_and_other_edges_are_read_by_status() {
    let kind = |status, text: &str| {
        let reply = HttpReply::new(status, text.to_owned());
        decode_trades(&reply).map_err(|error| error.kind)
    };
    let shut_out = ErrorKind::Banned { retry_after: Some(Duration::from_secs(600)) };
    assert_eq!(kind(403, "access too frequent"), Err(shut_out));
    assert_eq!(kind(403, ERROR_SYMBOL), Err(shut_out));
    assert_eq!(kind(502, "<html>"), Err(ErrorKind::Unavailable));
    assert_eq!(kind(503, RECENT_TRADE), Err(ErrorKind::Unavailable));
    assert_eq!(kind(404, "404 page not found"), Err(ErrorKind::BadRequest));
    for text in ["", "<html>", "[]", "{}", r#"{"retCode":0}"#, r#"{"retCode":0,"result":{}}"#, &RECENT_TRADE[..120]] {
        assert_eq!(kind(200, text), Err(ErrorKind::Malformed), "{text}");
    }
}
