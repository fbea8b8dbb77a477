use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::exchange::{AmountUnit, Dialect, ErrorKind, registry};
use crate::market::{Side, Trade};

const CANDLES_BODY: &str = include_str!("../../../../tests/fixtures/okx/candles.json");
const SWAP_CANDLES_BODY: &str = include_str!("../../../../tests/fixtures/okx/candles_swap.json");
const TRADES_BODY: &str = include_str!("../../../../tests/fixtures/okx/trades.json");
const SPOT_BODY: &str = include_str!("../../../../tests/fixtures/okx/instruments_spot.json");
const SWAP_BODY: &str = include_str!("../../../../tests/fixtures/okx/instruments_swap.json");
const TICKERS_BODY: &str = include_str!("../../../../tests/fixtures/okx/tickers.json");
const UNKNOWN_BODY: &str = include_str!("../../../../tests/fixtures/okx/error_unknown_instrument.json");

const BASE: &str = "https://www.okx.com/api/v5/";

fn t(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn spot() -> Instrument {
    Instrument::new("BTC/USDT".parse().unwrap(), "BTC-USDT", "BTC-USDT")
}

fn linear() -> Instrument {
    Instrument {
        amount_unit: AmountUnit::Contracts("0.01".parse().unwrap()),
        ..Instrument::new("BTC/USDT:USDT".parse().unwrap(), "BTC-USDT-SWAP", "BTC-USDT-SWAP")
    }
}

fn inverse() -> Instrument {
    Instrument {
        amount_unit: AmountUnit::QuoteContracts(100.into()),
        ..Instrument::new("BTC/USD:BTC".parse().unwrap(), "BTC-USD-SWAP", "BTC-USD-SWAP")
    }
}

fn dialect() -> std::sync::Arc<dyn Dialect> {
    let row = registry::find("okx").unwrap();
    (row.build)(row.public_endpoints())
}

fn body(text: &str) -> HttpReply {
    HttpReply::new(200, text.to_owned())
}

fn candles(text: &str) -> Result<Vec<Candle>, VenueError> {
    decode_candles(&spot(), Timeframe::M1, &body(text))
}

fn rows(rows: &str) -> Result<Vec<Candle>, VenueError> {
    candles(&format!(r#"{{"code":"0","msg":"","data":[{rows}]}}"#))
}

#[test]
fn new_candles_and_old_ones_have_different_addresses_and_limits() {
    let ask = |timeframe, from: &str, to: &str, now: &str| {
        let request = dialect().encode_candles(&spot(), timeframe, Span::new(t(from), t(to)), t(now));
        (request.url.strip_prefix(BASE).unwrap().to_owned(), request.cost)
    };
    let window = "instId=BTC-USDT&bar=1m&before=1795183199999&after=1795189200000&limit=100";
    let hour = ["2026-11-20T14:00:00Z", "2026-11-20T15:40:00Z"];
    assert_eq!(
        ask(Timeframe::M1, hour[0], hour[1], "2026-11-21T13:50:59Z"),
        (format!("market/candles?{window}"), Cost { limit: 0, units: 1 })
    );
    assert_eq!(
        ask(Timeframe::M1, hour[0], hour[1], "2026-11-21T13:51:00Z"),
        (format!("market/history-candles?{window}"), Cost { limit: 1, units: 1 })
    );
    let (daily, _) = ask(Timeframe::D1, "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "2026-11-20T14:00:00Z");
    assert_eq!(daily, "market/candles?instId=BTC-USDT&bar=1Dutc&before=1704067199999&after=1706745600000&limit=100");
    let (monthly, _) = ask(Timeframe::Month1, "2026-01-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-20T14:00:00Z");
    assert!(monthly.contains("&bar=1Mutc&"), "{monthly}");
    let request =
        encode_candles(dialect().endpoints(), &spot(), Timeframe::M1, Span::new(t(hour[0]), t(hour[1])), t(hour[1]));
    assert_eq!(request.headers, [("user-agent", registry::DEFAULT_USER_AGENT.to_owned())]);
}

fn candle(time: &str, [open, high, low, close, volume, quote_volume]: [f64; 6]) -> Candle {
    Candle {
        volume,
        quote_volume: Some(quote_volume),
        trades: None,
        ..Candle { open, high, low, close, ..Candle::flat(t(time), 0.0) }
    }
}

#[test]
fn rows_come_out_oldest_first_with_the_running_one() {
    let expected = vec![
        candle("2026-11-20T13:59:00Z", [91208.6, 91220.0, 91205.0, 91214.1, 3.40911, 310960.08441]),
        candle("2026-11-20T14:00:00Z", [91214.1, 91221.3, 91207.5, 91219.4, 1.88204, 171665.71930742]),
    ];
    assert_eq!(candles(CANDLES_BODY), Ok(expected));
    assert_eq!(rows(""), Ok(vec![]));
}

#[test]
fn the_volume_of_a_swap_is_read_where_it_counts_base_currency() {
    let expected = candle("2026-11-20T13:59:00Z", [91180.6, 91190.0, 91175.0, 91188.1, 3.4091, 310845.02]);
    for market in [linear(), inverse()] {
        assert_eq!(decode_candles(&market, Timeframe::M1, &body(SWAP_CANDLES_BODY)), Ok(vec![expected]));
    }
    assert_eq!(candles(SWAP_CANDLES_BODY).unwrap()[0].volume, 340.91);
}

#[test]
fn numbers_may_come_without_quotes_and_rows_may_grow_or_lack_the_quote_volume() {
    let plain = rows(r#"["1795183140000","1.5","2","0.00001","1","3","4","5","1"]"#).unwrap();
    assert_eq!(rows(r#"[1795183140000,1.5,2.0,1e-5,"1E0",3,4,5e0,1,"new",{"a":[1]}]"#), Ok(plain.clone()));
    assert_eq!((plain[0].low, plain[0].quote_volume), (0.00001, Some(5.0)));
    for empty in [r#""""#, "null"] {
        let sparse = rows(&format!(r#"["1795183140000","1.5","2","1","1","3","4",{empty},"1"]"#)).unwrap();
        assert_eq!(sparse[0].quote_volume, None);
    }
    let twice =
        rows(r#"["1795183140000","1","3","1","3","2","2","2","1"],["1795183140000","1","2","1","2","1","1","1","0"]"#);
    assert_eq!(twice.unwrap().iter().map(|candle| candle.close).collect::<Vec<_>>(), [3.0]);
}

#[test]
fn one_broken_row_makes_the_page_malformed() {
    let broken = [
        r#"["1795183140001","1","1","1","1","1","1","1","1"]"#,
        r#"["1795183140","1","1","1","1","1","1","1","1"]"#,
        r#"["1795183140000","1","1","1","1"]"#,
        r#"["1795183140000","1","x","1","1","1","1","1","1"]"#,
        r#"["1795183140000","1","1","1",null,"1","1","1","1"]"#,
        r#"["1795183140000","1","1","1","1","-1","1","1","1"]"#,
        r#"["1795183140000","1","1","1","1","","1","1","1"]"#,
        r#"["soon","1","1","1","1","1","1","1","1"]"#,
        "7",
        "{}",
    ];
    for row in broken {
        let page = format!(r#"["1795183200000","1","1","1","1","1","1","1","0"],{row}"#);
        assert_eq!(rows(&page).map_err(|error| error.kind), Err(ErrorKind::Malformed), "{row}");
    }
}

#[test]
fn weeks_open_on_monday_in_utc() {
    let week = |open: &str| {
        let row =
            format!(r#"{{"code":"0","data":[["{}","1","1","1","1","1","1","1","1"]]}}"#, t(open).timestamp_millis());
        decode_candles(&spot(), Timeframe::W1, &body(&row)).map(|candles| candles[0].open_time)
    };
    assert_eq!(week("2026-11-16T00:00:00Z"), Ok(t("2026-11-16T00:00:00Z")));
    let eastern = week("2026-11-15T16:00:00Z");
    assert_eq!(eastern, Err(malformed("2026-11-15 16:00:00 UTC is no border of 1w bars")));
}

#[test]
fn codes_are_read_before_the_status_and_each_has_its_class() {
    let limited = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(2)) };
    let coded = |code: u32| format!(r#"{{"code":"{code}","msg":"words","data":[]}}"#);
    let cases = [
        (429, coded(50011), limited),
        (200, coded(50011), limited),
        (200, coded(50001), ErrorKind::Unavailable),
        (200, coded(50004), ErrorKind::Unavailable),
        (503, coded(50005), ErrorKind::Unavailable),
        (200, coded(50013), ErrorKind::Unavailable),
        (200, coded(50026), ErrorKind::Unavailable),
        (400, coded(50014), ErrorKind::BadRequest),
        (400, coded(50015), ErrorKind::BadRequest),
        (200, coded(50024), ErrorKind::BadRequest),
        (400, coded(51000), ErrorKind::BadRequest),
        (200, UNKNOWN_BODY.to_owned(), ErrorKind::UnknownSymbol),
        (400, coded(51001), ErrorKind::UnknownSymbol),
        (200, coded(51015), ErrorKind::BadRequest),
        (200, coded(50999), ErrorKind::Unavailable),
        (200, r#"{"code":50011,"msg":null}"#.to_owned(), limited),
        (404, r#"{"msg":"Invalid path","code":"404","data":null}"#.to_owned(), ErrorKind::Unavailable),
        (429, "slow down".to_owned(), limited),
        (403, "<html>".to_owned(), ErrorKind::Banned { retry_after: None }),
        (502, "<html>".to_owned(), ErrorKind::Unavailable),
        (502, CANDLES_BODY.to_owned(), ErrorKind::Unavailable),
        (404, "<html>".to_owned(), ErrorKind::BadRequest),
        (200, "<html>".to_owned(), ErrorKind::Malformed),
        (200, "[]".to_owned(), ErrorKind::Malformed),
        (200, r#"{"code":"0","msg":""}"#.to_owned(), ErrorKind::Malformed),
        (200, CANDLES_BODY[..100].to_owned(), ErrorKind::Malformed),
    ];
    let mut seen = 0;
    for (status, text, kind) in cases {
        let reply = HttpReply::new(status, text.clone());
        let found = decode_candles(&spot(), Timeframe::M1, &reply).map_err(|error| error.kind);
        assert_eq!(found, Err(kind), "{status} {text}");
        seen += 1;
    }
    assert_eq!(seen, 26);
    let error = candles(UNKNOWN_BODY).unwrap_err();
    assert_eq!(error, VenueError::new(ErrorKind::UnknownSymbol, "51001 Instrument ID doesn't exist."));
}

fn trade(first: u64, last: u64, time: &str, price: &str, amount: &str, side: Side) -> Trade {
    Trade {
        id: TradeId::Number(first),
        last_id: TradeId::Number(last),
        time: t(time),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: Some(side),
    }
}

#[test]
fn trades_are_exact_ascending_and_lead_to_what_is_older() {
    let trades = vec![
        trade(804411901, 804411901, "2026-11-20T14:00:09.410Z", "91219.3", "0.01", Side::Sell),
        trade(804411902, 804411902, "2026-11-20T14:00:09.871Z", "91219.4", "0.00215", Side::Buy),
    ];
    let next = Some(TradeCursor::BeforeId(TradeId::Number(804411901)));
    assert_eq!(decode_trades(&body(TRADES_BODY)), Ok(TradePage { trades: trades.clone(), next: next.clone() }));
    let other = TRADES_BODY
        .replace(r#""804411902""#, "804411902")
        .replace(r#""0.01""#, "1e-2")
        .replace(r#""source":"0","ts""#, r#""count":"","ts""#);
    assert_eq!(decode_trades(&body(&other)), Ok(TradePage { trades, next }));
    let counted = TRADES_BODY.replacen(r#""source":"0""#, r#""count":"3""#, 2);
    let counted = decode_trades(&body(&counted)).unwrap();
    assert_eq!((counted.trades[0].id.number(), counted.trades[0].last_id.number()), (Some(804411899), Some(804411901)));
    assert_eq!(counted.next, Some(TradeCursor::BeforeId(TradeId::Number(804411899))));
    let empty = decode_trades(&body(r#"{"code":"0","msg":"","data":[]}"#));
    assert_eq!(empty, Ok(TradePage { trades: vec![], next: None }));
    for broken in
        [TRADES_BODY.replace("91219.3", "much"), TRADES_BODY.replace(r#""source":"0""#, r#""count":"999999999999""#)]
    {
        assert_eq!(decode_trades(&body(&broken)).map_err(|error| error.kind), Err(ErrorKind::Malformed));
    }
}

#[test]
fn contracts_become_base_currency() {
    let printed = |amount| trade(1, 1, "2026-11-20T14:00:09Z", "50000", amount, Side::Buy);
    assert_eq!(linear().in_base(printed("3.11")), printed("0.0311"));
    assert_eq!(inverse().in_base(printed("25")), printed("0.05"));
    assert_eq!(spot().in_base(printed("3.11")), printed("3.11"));
}

#[test]
fn old_trades_are_walked_backwards_by_id_or_from_a_time() {
    let ask = |cursor| {
        let request = dialect().encode_trades(&linear(), &cursor)?;
        Some((request.url.strip_prefix(BASE)?.to_owned(), request.cost.limit))
    };
    let old = |rest: &str| Some((format!("market/history-trades?instId=BTC-USDT-SWAP&{rest}&limit=100"), 3));
    assert_eq!(ask(TradeCursor::Newest), Some(("market/trades?instId=BTC-USDT-SWAP&limit=500".to_owned(), 2)));
    assert_eq!(ask(TradeCursor::BeforeId(TradeId::Number(804411901))), old("type=1&after=804411901"));
    let time = t("2026-11-20T14:00:00Z");
    assert_eq!(ask(TradeCursor::BeforeTime(time)), old("type=2&after=1795183200000"));
    // What happened in the millisecond that has begun is older.
    assert_eq!(ask(TradeCursor::BeforeTime(time + TimeDelta::microseconds(1))), old("type=2&after=1795183200001"));
    assert_eq!(ask(TradeCursor::Time(time)), None);
    assert_eq!(ask(TradeCursor::Venue("7".into())), None);
    assert_eq!(ask(TradeCursor::BeforeId(TradeId::Text("x".into()))), None);
}

#[test]
fn spot_markets_are_named_by_their_legs_and_swaps_by_their_index_and_settlement() {
    let calls = dialect().encode_instruments(&[]);
    let urls = calls.iter().map(|call| call.url.strip_prefix(BASE).unwrap()).collect::<Vec<_>>();
    assert_eq!(urls, ["public/instruments?instType=SPOT", "public/instruments?instType=SWAP"]);
    assert_eq!(calls[0].cost, Cost { limit: 4, units: 1 });
    let suspended = Instrument::new("LUNC/USDT".parse().unwrap(), "LUNC-USDT", "LUNC-USDT");
    let suspended = Instrument { is_trading: false, ..suspended };
    assert_eq!(decode_instruments(&body(SPOT_BODY)), Ok(vec![spot(), suspended]));
    // Dated futures are left out.
    assert_eq!(decode_instruments(&body(SWAP_BODY)), Ok(vec![linear(), inverse()]));
    let unreadable =
        SWAP_BODY.replacen(r#""ctVal":"0.01""#, r#""ctVal":"""#, 1).replacen(r#""inverse""#, r#""curved""#, 1);
    assert_eq!(decode_instruments(&body(&unreadable)), Ok(vec![]));
    let mixed = SPOT_BODY.replacen("\"data\":[", "\"data\":[7,", 1);
    assert_eq!(decode_instruments(&body(&mixed)).map(|found| found.len()), Ok(2));
    let rubbish = decode_instruments(&body(r#"{"code":"0","data":[7]}"#)).map_err(|error| error.kind);
    assert_eq!(rubbish, Err(ErrorKind::Malformed));
}

#[test]
fn tickers_are_asked_one_by_one_or_by_kind_and_tell_base_volume() {
    let urls = |instruments: &[Instrument]| {
        let calls = dialect().encode_tickers(instruments);
        calls.iter().map(|call| call.url.strip_prefix(BASE).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(urls(&[linear()]), ["market/ticker?instId=BTC-USDT-SWAP"]);
    assert_eq!(urls(&[linear(), inverse()]), ["market/tickers?instType=SWAP"]);
    assert_eq!(urls(&[spot(), inverse()]), ["market/tickers?instType=SPOT", "market/tickers?instType=SWAP"]);
    assert_eq!(urls(&[]), Vec::<String>::new());
    let of_spot = Ticker {
        time: Some(t("2026-11-20T14:00:09.900Z")),
        last: Some(91219.4),
        bid: Some(91219.4),
        ask: Some(91219.5),
        volume: Some(5127.82035),
        quote_volume: Some(467812345.12),
    };
    let of_swap = Ticker {
        time: Some(t("2026-11-20T14:00:09.901Z")),
        last: Some(91188.1),
        bid: Some(91188.0),
        ask: None,
        volume: Some(81234.5),
        quote_volume: None,
    };
    let expected = vec![("BTC-USDT".to_owned(), of_spot), ("BTC-USDT-SWAP".to_owned(), of_swap)];
    assert_eq!(decode_tickers(&body(TICKERS_BODY)), Ok(expected));
    assert_eq!(decode_tickers(&body(UNKNOWN_BODY)).unwrap_err().kind, ErrorKind::UnknownSymbol);
}
