use proptest::prelude::*;

use super::*;
use crate::exchange::TradePage;
use crate::market::Side;

const OHLC: &str = include_str!("../../../../tests/fixtures/kraken/ohlc.json");
const TRADES: &str = include_str!("../../../../tests/fixtures/kraken/trades.json");
const TRADES_WITHOUT_IDS: &str = include_str!("../../../../tests/fixtures/kraken/trades_without_ids.json");
const ASSET_PAIRS: &str = include_str!("../../../../tests/fixtures/kraken/asset_pairs.json");
const TICKER: &str = include_str!("../../../../tests/fixtures/kraken/ticker.json");
const UNKNOWN_PAIR: &str = include_str!("../../../../tests/fixtures/kraken/unknown_pair.json");

const BASE: &str = "https://api.kraken.com";

fn t(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn btc() -> Instrument {
    Instrument { anchors: ANCHORS, ..Instrument::new("BTC/USD".parse().unwrap(), "XXBTZUSD", "BTC/USD") }
}

fn body(text: &str) -> HttpReply {
    HttpReply::new(200, text.to_owned())
}

fn candles(text: &str) -> Result<Vec<Candle>, VenueError> {
    decode_candles(&btc(), Timeframe::M1, &body(text))
}

fn rows(rows: &str) -> Result<Vec<Candle>, VenueError> {
    candles(&format!(r#"{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":0}}}}"#))
}

fn trades(text: &str) -> Result<TradePage, VenueError> {
    decode_trades(&btc(), &body(text))
}

fn kind_of(reply: &HttpReply) -> ErrorKind {
    decode_candles(&btc(), Timeframe::M1, reply).unwrap_err().kind
}

#[test]
fn a_page_holds_all_rows_with_the_one_in_progress_and_no_vwap_without_trades() {
    let traded = Candle {
        open_time: t("2026-11-20T13:59:00Z"),
        open: 91204.1,
        high: 91230.0,
        low: 91190.3,
        close: 91215.6,
        volume: 1.48230017,
        quote_volume: None,
        trades: Some(37),
        vwap: Some(91211.87),
    };
    assert_eq!(candles(OHLC), Ok(vec![traded, Candle::flat(t("2026-11-20T14:00:00Z"), 91215.6)]));
}

#[test]
fn numbers_may_be_strings_or_numbers_in_any_form_and_rows_may_grow() {
    let plain = rows(r#"[1795183140,"0.00001",2,"1e-5",1.5,"1.25","1.0e-8",37]"#).unwrap();
    assert_eq!(plain, rows(r#"["1795183140",1E-5,"2.0",0.00001,"1.5",1.25,1e-8,"37",{"new":[1]},null]"#).unwrap());
    assert_eq!((plain[0].open, plain[0].low, plain[0].volume, plain[0].trades), (0.00001, 0.00001, 1e-8, Some(37)));
    // No detour: the nearest double of the text, digit for digit.
    let exact = rows(r#"[1795183140,"0.1234567890123456789","2","0.1","1.5","1","0.30000000000000004",1]"#).unwrap();
    assert_eq!(exact[0].open, 0.12345678901234568);
    assert_eq!(exact[0].volume, 0.1 + 0.2);
}

#[test]
fn rows_come_out_ascending_and_once_the_later_printed_one_winning() {
    let decoded = rows(
        r#"[1795183200,"2","2","2","2","2","1",1],[1795183140,"1","1","1","1","1","1",1],[1795183200,"3","3","3","3","3","2",2]"#,
    )
    .unwrap();
    let seen = decoded.iter().map(|candle| (candle.open_time, candle.close)).collect::<Vec<_>>();
    assert_eq!(seen, [(t("2026-11-20T13:59:00Z"), 1.0), (t("2026-11-20T14:00:00Z"), 3.0)]);
}

#[test]
fn the_pair_key_is_the_venues_choice_and_of_several_ours_is_taken() {
    let renamed = OHLC.replace("XXBTZUSD", "WHATEVER");
    assert_eq!(candles(&renamed), candles(OHLC));
    let with_extras = OHLC.replace(r#""last""#, r#""note":{"a":1},"OTHER":[[1]],"last""#);
    assert_eq!(candles(&with_extras), candles(OHLC));
    let foreign = r#"{"error":[],"result":{"A":[],"B":[],"last":0}}"#;
    assert_eq!(candles(foreign), Err(malformed("result with rows of 2 pairs")));
    assert_eq!(candles(r#"{"error":[],"result":{"XXBTZUSD":[],"last":0}}"#), Ok(vec![]));
}

#[test]
fn one_broken_row_makes_the_page_malformed() {
    let broken = [
        r#"[1795183140,"1","1","1","1","1"]"#,
        r#"[1795183140,"1","1","1","x","1","1",1]"#,
        r#"[1795183140,"1","1","1","NaN","1","1",1]"#,
        r#"[1795183140,"1","1","1",null,"1","1",1]"#,
        r#"[1795183140,"1","1","1","1e999","1","1",1]"#,
        r#"[1795183140,"1","1","1","1","1","-1",1]"#,
        r#"[1795183140,"1","1","1","1","1","1",1.5]"#,
        r#"[1795183141,"1","1","1","1","1","1",1]"#,
        r#"[-60,"1","1","1","1","1","1",1]"#,
        r#"[99999999999999999999,"1","1","1","1","1","1",1]"#,
        r#"{"time":1795183140}"#,
        r#"7"#,
    ];
    for row in broken {
        let page = format!(r#"[1795183080,"1","1","1","1","1","1",1],{row}"#);
        assert_eq!(rows(&page).map_err(|error| error.kind), Err(ErrorKind::Malformed), "{row}");
    }
}

#[test]
fn weeks_open_on_thursday() {
    let week = |open: i64| {
        let text = format!(r#"{{"error":[],"result":{{"X":[[{open},"1","1","1","1","1","1",1]],"last":0}}}}"#);
        decode_candles(&btc(), Timeframe::W1, &body(&text)).map(|candles| candles[0].open_time)
    };
    assert_eq!(week(1_795_046_400), Ok(t("2026-11-19T00:00:00Z")));
    assert_eq!(week(1_794_787_200), Err(malformed("2026-11-16 00:00:00 UTC is no border of 1w bars")));
}

#[test]
fn the_error_array_is_read_first_and_each_documented_string_has_its_class() {
    let kind = |error: &str| kind_of(&body(&format!(r#"{{"error":["{error}"],"result":{{}}}}"#)));
    let limited = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(5)) };
    let cases = [
        ("EQuery:Unknown asset pair", ErrorKind::UnknownSymbol),
        ("EQuery:Invalid asset pair", ErrorKind::UnknownSymbol),
        ("EGeneral:Invalid arguments", ErrorKind::BadRequest),
        ("EGeneral:Invalid arguments:interval", ErrorKind::BadRequest),
        ("EAPI:Rate limit exceeded", limited),
        ("EGeneral:Too many requests", limited),
        ("EGeneral:Temporary lockout", ErrorKind::Banned { retry_after: Some(Duration::from_secs(300)) }),
        ("EService:Unavailable", ErrorKind::Unavailable),
        ("EService:Busy", ErrorKind::Unavailable),
        ("EGeneral:Internal error", ErrorKind::Unavailable),
        ("EDatabase:Internal error", ErrorKind::Unavailable),
        ("ENew:Never heard of", ErrorKind::Unavailable),
    ];
    for (text, expected) in cases {
        assert_eq!(kind(text), expected, "{text}");
    }
    let error = candles(UNKNOWN_PAIR).unwrap_err();
    assert_eq!(error, VenueError::new(ErrorKind::UnknownSymbol, "EQuery:Unknown asset pair"));
}

#[test]
fn warnings_do_not_fail_and_an_error_behind_one_does() {
    let warned = OHLC.replace(r#""error":[]"#, r#""error":["WGeneral:Slow"]"#);
    assert_eq!(candles(&warned), candles(OHLC));
    let both = body(r#"{"error":["WGeneral:Slow","EService:Busy"],"result":{}}"#);
    assert_eq!(kind_of(&both), ErrorKind::Unavailable);
}

#[test]
fn other_statuses_and_html_are_no_data() {
    let mut limited = HttpReply::new(429, "<html>slow down</html>");
    assert_eq!(kind_of(&limited), ErrorKind::RateLimited { retry_after: None });
    limited.headers = vec![("retry-after".into(), "7".into())];
    assert_eq!(kind_of(&limited), ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(7)) });
    assert_eq!(kind_of(&HttpReply::new(520, "<html>")), ErrorKind::Unavailable);
    assert_eq!(kind_of(&HttpReply::new(502, OHLC)), ErrorKind::Unavailable);
    assert_eq!(kind_of(&HttpReply::new(500, UNKNOWN_PAIR)), ErrorKind::UnknownSymbol);
    for text in
        ["<html>", "", "[]", "{}", r#"{"error":[]}"#, &OHLC[..OHLC.len() / 2], r#"{"error":[],"result":{"last":1}}"#]
    {
        assert_eq!(kind_of(&body(text)), ErrorKind::Malformed, "{text}");
    }
}

fn trade_of(id: TradeId, time: &str, price: &str, amount: &str, side: Side) -> Trade {
    let (price, amount) = (price.parse().unwrap(), amount.parse().unwrap());
    Trade { last_id: id.clone(), id, time: t(time), price, amount, side: Some(side) }
}

#[test]
fn trades_are_exact_and_their_time_is_cut_to_microseconds() {
    let number = TradeId::Number;
    let expected = vec![
        trade_of(number(90215501), "2026-11-20T14:00:01.334521Z", "91215.60000", "0.00410000", Side::Buy),
        trade_of(number(90215502), "2026-11-20T14:00:02.9081Z", "91215.50000", "0.12000000", Side::Sell),
    ];
    // A page that is not full is not the last one for that: an empty one is.
    let next = Some(TradeCursor::Venue("1795183202908100311".into()));
    assert_eq!(trades(TRADES), Ok(TradePage { trades: expected, next }));
    assert_eq!(wire::Scalar("1762795433.9717445").seconds("time"), Ok(t("2025-11-10T17:23:53.971744Z")));
    assert_eq!(wire::Scalar("1.7627954339717445e9").seconds("time"), Ok(t("2025-11-10T17:23:53.971744Z")));
}

#[test]
fn trades_of_old_answers_have_ids_of_their_content_and_equal_ones_stay_apart() {
    let ids = trades(TRADES_WITHOUT_IDS).unwrap().trades.into_iter().map(|trade| trade.id.to_string());
    assert_eq!(
        ids.collect::<Vec<_>>(),
        [
            "1795183201.3345217/91215.60000/0.00410000/buy/0",
            "1795183201.3345217/91215.60000/0.00410000/buy/1",
            "1795183202.9081/91215.50000/0.12000000/sell/0",
        ]
    );
}

#[test]
fn a_full_page_leads_to_the_next_by_the_venues_cursor_unless_that_is_too_short() {
    let page = |last: &str| {
        let rows = (0..1000).map(|n| format!(r#"["1","1",1795183201.{n:03},"b","l","",{n}]"#)).collect::<Vec<_>>();
        let text = format!(r#"{{"error":[],"result":{{"X":[{}],"last":{last}}}}}"#, rows.join(","));
        trades(&text).unwrap().next
    };
    let venue = |cursor: &str| Some(TradeCursor::Venue(cursor.into()));
    assert_eq!(page(r#""1795183202908100311""#), venue("1795183202908100311"));
    assert_eq!(page("1795183202908100311"), venue("1795183202908100311"));
    // Just before the last trade, which then comes twice and is known by its id.
    assert_eq!(page(r#""1795183202""#), venue("1795183201998999999"));
    assert_eq!(page("null"), venue("1795183201998999999"));
}

#[test]
fn requests_are_written_as_the_venue_reads_them() {
    let url = |request: HttpRequest| request.url.strip_prefix(BASE).unwrap().to_owned();
    let span = Span::new(t("2026-11-20T14:00:00Z"), t("2026-11-20T15:00:00Z"));
    assert_eq!(
        url(encode_candles(BASE, &btc(), Timeframe::M5, span)),
        "/0/public/OHLC?pair=XXBTZUSD&interval=5&since=1795182900"
    );
    let early = Span::new(t("1970-01-01T00:00:00Z"), t("2026-11-20T15:00:00Z"));
    assert_eq!(
        url(encode_candles(BASE, &btc(), Timeframe::W1, early)),
        "/0/public/OHLC?pair=XXBTZUSD&interval=10080&since=0"
    );
    assert_eq!(url(encode_instruments(BASE)), "/0/public/AssetPairs");

    let trades = |cursor| encode_trades(BASE, &btc(), &cursor).map(url);
    let with = |since: &str| Some(format!("/0/public/Trades?pair=XXBTZUSD&count=1000{since}"));
    assert_eq!(trades(TradeCursor::Newest), with(""));
    assert_eq!(trades(TradeCursor::Time(t("2026-11-20T14:00:00Z"))), with("&since=1795183199999999999"));
    assert_eq!(trades(TradeCursor::Time(t("1995-01-01T00:00:00Z"))), with("&since=0"));
    assert_eq!(
        trades(TradeCursor::Time(t("1700-01-01T00:00:00Z") - chrono::TimeDelta::days(40_000))),
        with("&since=0")
    );
    assert_eq!(trades(TradeCursor::Venue("1795183202908100311".into())), with("&since=1795183202908100311"));
    assert_eq!(trades(TradeCursor::BeforeId(TradeId::Number(1))), None);
}

#[test]
fn instruments_are_named_by_wsname_and_dark_pools_and_unreadable_entries_are_left_out() {
    let doge = Instrument::new("DOGE/USD".parse().unwrap(), "XDGUSD", "DOGE/USD");
    let doge = Instrument { is_trading: false, anchors: ANCHORS, ..doge };
    assert_eq!(decode_instruments(&body(ASSET_PAIRS)), Ok(vec![btc(), doge]));
    let rubbish = body(r#"{"error":[],"result":{"A":1,"B":[]}}"#);
    assert_eq!(decode_instruments(&rubbish).map_err(|error| error.kind), Err(ErrorKind::Malformed));
    assert_eq!(decode_instruments(&body(r#"{"error":[],"result":{}}"#)), Ok(vec![]));
}

#[test]
fn tickers_are_asked_for_together_and_their_volume_is_that_of_a_day() {
    let doge = Instrument::new("DOGE/USD".parse().unwrap(), "XDGUSD", "DOGE/USD");
    let calls = encode_tickers(BASE, &[btc(), doge]);
    let urls = calls.iter().map(|call| call.url.as_str()).collect::<Vec<_>>();
    assert_eq!(urls, ["https://api.kraken.com/0/public/Ticker?pair=XXBTZUSD%2CXDGUSD"]);
    assert_eq!(encode_tickers(BASE, &vec![btc(); 101]).len(), 3);
    let bitcoin = Ticker {
        time: None,
        last: Some(91215.6),
        bid: Some(91215.5),
        ask: Some(91215.6),
        volume: Some(1894.70214366),
        quote_volume: None,
    };
    let unknown = ("XDGUSD".to_owned(), Ticker { last: Some(0.1612), ..Ticker::default() });
    assert_eq!(decode_tickers(&body(TICKER)), Ok(vec![("XXBTZUSD".to_owned(), bitcoin), unknown]));
    let broken = decode_tickers(&body(&TICKER.replace("1894.70214366", "much"))).map_err(|error| error.kind);
    assert_eq!(broken, Err(ErrorKind::Malformed));
    assert_eq!(decode_tickers(&body(UNKNOWN_PAIR)).map_err(|error| error.kind), Err(ErrorKind::UnknownSymbol));
}

fn all(bytes: Vec<u8>) {
    let reply = HttpReply::new(200, bytes);
    let _ = decode_candles(&btc(), Timeframe::M1, &reply);
    let _ = decode_trades(&btc(), &reply);
    let _ = decode_instruments(&reply);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        all(bytes);
    }

    #[test]
    fn no_damage_to_a_good_body_panics(
        body in prop::sample::select(vec![OHLC, TRADES, TRADES_WITHOUT_IDS, ASSET_PAIRS]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = body.as_bytes().to_vec();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        all(bytes);
    }

    #[test]
    fn no_number_panics(number in "-?[0-9_]{0,40}(\\.[0-9]{0,40})?([eE][+-]?[0-9]{1,12})?") {
        let _ = rows(&format!(r#"["{number}","{number}",1,1,1,1,"{number}","{number}"]"#));
        let _ = trades(&format!(r#"{{"error":[],"result":{{"X":[["{number}","{number}","{number}","b","l","","{number}"]]}}}}"#));
    }
}
