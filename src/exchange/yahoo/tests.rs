//! The chart dialect against replies composed from what clients have seen.

mod asking;

use std::sync::Arc;

use chrono::{DateTime, NaiveTime, Utc};
use serde_json::{Value, json};

use super::*;
use crate::exchange::{Channel, Cost, registry};
use crate::market::{Anchors, Grid, Session, WeekStart};

const AAPL_1M: &str = include_str!("../../../tests/fixtures/yahoo/aapl_1m.json");
const AAPL_1D: &str = include_str!("../../../tests/fixtures/yahoo/aapl_1d.json");
const AAPL_1WK: &str = include_str!("../../../tests/fixtures/yahoo/aapl_1wk.json");
const AAPL_1MO: &str = include_str!("../../../tests/fixtures/yahoo/aapl_1mo.json");
const BTC: &str = include_str!("../../../tests/fixtures/yahoo/btc_instrument.json");
const EURUSD: &str = include_str!("../../../tests/fixtures/yahoo/eurusd_instrument.json");
const NO_DATA: &str = include_str!("../../../tests/fixtures/yahoo/no_data.json");
const NOT_FOUND: &str = include_str!("../../../tests/fixtures/yahoo/error_not_found.json");
const RANGE: &str = include_str!("../../../tests/fixtures/yahoo/error_range.json");

fn dialect() -> Arc<dyn Dialect> {
    let row = registry::find("yahoo").unwrap();
    (row.build)(row.public_endpoints())
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn span(from: &str, to: &str) -> Span {
    Span::new(at(from), at(to))
}

/// Wide enough for every row of the fixtures.
fn year() -> Span {
    span("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
}

fn reply(body: &str) -> HttpReply {
    HttpReply::new(200, body.to_owned())
}

fn instrument(asked: &str, body: &str) -> Instrument {
    let found = dialect().decode_instruments(Some(&asked.parse().unwrap()), &reply(body)).unwrap();
    assert_eq!(found.len(), 1);
    found[0].clone()
}

fn apple() -> Instrument {
    instrument("AAPL", AAPL_1D)
}

fn undescribed() -> Instrument {
    Instrument { anchors: Anchors::default(), ..apple() }
}

fn decode(timeframe: Timeframe, span: Span, body: &str) -> Result<Vec<Candle>, VenueError> {
    let candles = dialect().decode_candles(&apple(), timeframe, span, &reply(body));
    let unaided = dialect().decode_candles(&undescribed(), timeframe, span, &reply(body));
    assert_eq!(candles, unaided, "the reply's own hours give the same candles");
    candles
}

fn bar(open_time: &str, [open, high, low, close, volume]: [f64; 5]) -> Candle {
    let open_time = at(open_time);
    Candle { open_time, open, high, low, close, volume, quote_volume: None, trades: None, vwap: None }
}

/// The fixture's head around other rows: (open time, price of all four or null).
fn with_rows(fixture: &str, granularity: &str, rows: &[(&str, Value)]) -> String {
    let mut body: Value = serde_json::from_str(fixture).unwrap();
    let series = &mut body["chart"]["result"][0];
    series["meta"]["dataGranularity"] = json!(granularity);
    series["timestamp"] = rows.iter().map(|(time, _)| json!(at(time).timestamp())).collect();
    let prices = rows.iter().map(|(_, price)| price.clone()).collect::<Value>();
    let volumes = rows.iter().map(|_| json!(2)).collect::<Value>();
    series["indicators"]["quote"] =
        json!([{"open": prices, "high": prices, "low": prices, "close": prices, "volume": volumes}]);
    body.to_string()
}

fn closes(candles: Result<Vec<Candle>, VenueError>) -> Vec<(DateTime<Utc>, f64)> {
    candles.unwrap().iter().map(|candle| (candle.open_time, candle.close)).collect()
}

#[test]
fn null_rows_and_the_trailing_live_row_are_dropped_and_floats_are_exact() {
    let expected = vec![
        bar("2026-11-20T14:30:00Z", [300.5, 300.989990234375, 300.4, 300.8, 812344.0]),
        bar("2026-11-20T14:31:00Z", [300.8200073242188, 301.1, 300.7, 301.0499877929688, 150022.0]),
    ];
    assert_eq!(decode(Timeframe::M1, year(), AAPL_1M), Ok(expected.clone()));
    let one_null = AAPL_1M.replace("[300.4,300.7,", "[300.4,null,");
    assert_eq!(decode(Timeframe::M1, year(), &one_null), Ok(expected[..1].to_vec()));
    let no_volume = AAPL_1M.replace("[812344,150022,", "[8.5e5,null,");
    let volumes = decode(Timeframe::M1, year(), &no_volume).unwrap();
    assert_eq!(volumes.iter().map(|candle| candle.volume).collect::<Vec<_>>(), vec![850000.0, 0.0]);
}

#[test]
fn a_forming_row_on_the_grid_is_kept() {
    let rows = [("2026-11-20T14:30:00Z", json!(1)), ("2026-11-20T14:31:00Z", json!(2))];
    let found = closes(decode(Timeframe::M1, year(), &with_rows(AAPL_1M, "1m", &rows)));
    assert_eq!(found, vec![(at("2026-11-20T14:30:00Z"), 1.0), (at("2026-11-20T14:31:00Z"), 2.0)]);
}

#[test]
fn rows_are_cut_to_the_asked_span_sorted_and_of_two_the_last_stays() {
    let rows = [
        ("2026-11-20T14:31:00Z", json!(2)),
        ("2026-11-20T14:30:00Z", json!(1)),
        ("2026-11-20T14:31:00Z", json!(3)),
        ("2026-11-20T14:32:00Z", json!(4)),
    ];
    let asked = span("2026-11-20T14:31:00Z", "2026-11-20T14:32:00Z");
    let found = closes(decode(Timeframe::M1, asked, &with_rows(AAPL_1M, "1m", &rows)));
    assert_eq!(found, vec![(at("2026-11-20T14:31:00Z"), 3.0)]);
}

#[test]
fn hours_lie_on_the_sessions_half_past_and_the_live_row_does_not() {
    let rows =
        [("2026-11-20T14:30:00Z", json!(1)), ("2026-11-20T15:30:00Z", json!(2)), ("2026-11-20T16:00:00Z", json!(3))];
    let expected = vec![(at("2026-11-20T14:30:00Z"), 1.0), (at("2026-11-20T15:30:00Z"), 2.0)];
    assert_eq!(closes(decode(Timeframe::H1, year(), &with_rows(AAPL_1M, "1h", &rows))), expected);
    assert_eq!(closes(decode(Timeframe::H1, year(), &with_rows(AAPL_1M, "60m", &rows))), expected);
    let strange = [("2026-11-20T15:00:00Z", json!(1)), ("2026-11-20T16:00:00Z", json!(2))];
    assert_eq!(
        decode(Timeframe::H1, year(), &with_rows(AAPL_1M, "1h", &strange)),
        Err(VenueError::new(ErrorKind::Malformed, "none of 2 rows lies on the market's 1h grid"))
    );
}

#[test]
fn rows_of_extended_hours_are_dropped() {
    let rows = [
        ("2026-11-19T20:59:00Z", json!(1)),
        ("2026-11-20T14:29:00Z", json!(2)),
        ("2026-11-20T14:30:00Z", json!(3)),
        ("2026-11-20T20:59:00Z", json!(4)),
        ("2026-11-20T21:00:00Z", json!(5)),
    ];
    let expected =
        vec![(at("2026-11-19T20:59:00Z"), 1.0), (at("2026-11-20T14:30:00Z"), 3.0), (at("2026-11-20T20:59:00Z"), 4.0)];
    let body = with_rows(AAPL_1M, "1m", &rows);
    assert_eq!(closes(decode(Timeframe::M1, year(), &body)), expected);
    // The day before closed early: its own period says so, in both forms of the list.
    let days =
        json!([[{"start": at("2026-11-19T14:30:00Z").timestamp(), "end": at("2026-11-19T18:00:00Z").timestamp()}]]);
    let mut seen = 0;
    for periods in [days.clone(), json!({"pre": [], "regular": days})] {
        let mut listed: Value = serde_json::from_str(&body).unwrap();
        listed["chart"]["result"][0]["meta"]["tradingPeriods"] = periods;
        assert_eq!(closes(decode(Timeframe::M1, year(), &listed.to_string())), expected[1..]);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn half_hours_are_put_together_from_quarters() {
    let quarters = [
        ("2026-11-20T14:30:00Z", json!(5)),
        ("2026-11-20T14:45:00Z", json!(3)),
        ("2026-11-20T15:00:00Z", Value::Null),
        ("2026-11-20T15:15:00Z", json!(9)),
        ("2026-11-20T15:30:00Z", json!(7)),
    ];
    let expected = vec![
        bar("2026-11-20T14:30:00Z", [5.0, 5.0, 3.0, 3.0, 4.0]),
        bar("2026-11-20T15:00:00Z", [9.0, 9.0, 9.0, 9.0, 2.0]),
        bar("2026-11-20T15:30:00Z", [7.0, 7.0, 7.0, 7.0, 2.0]),
    ];
    assert_eq!(decode(Timeframe::M30, year(), &with_rows(AAPL_1M, "15m", &quarters)), Ok(expected));
    let halves = [("2026-11-20T14:30:00Z", json!(5)), ("2026-11-20T15:00:00Z", json!(6))];
    let found = closes(decode(Timeframe::M30, year(), &with_rows(AAPL_1M, "30m", &halves)));
    assert_eq!(found, vec![(at("2026-11-20T14:30:00Z"), 5.0), (at("2026-11-20T15:00:00Z"), 6.0)]);
}

#[test]
fn coarser_bars_than_asked_are_refused() {
    let refused = |timeframe, granularity: &str| {
        decode(timeframe, year(), &AAPL_1M.replace("\"dataGranularity\":\"1m\"", granularity)).unwrap_err()
    };
    let error = |words: &str| VenueError::new(ErrorKind::Malformed, words);
    assert_eq!(refused(Timeframe::M30, "\"dataGranularity\":\"60m\""), error("asked for 30m bars, got 60m bars"));
    assert_eq!(refused(Timeframe::M1, "\"dataGranularity\":\"5m\""), error("asked for 1m bars, got 5m bars"));
    assert_eq!(refused(Timeframe::D1, "\"dataGranularity\":\"3mo\""), error("asked for 1d bars, got 3mo bars"));
    let untold = AAPL_1M.replace("\"dataGranularity\":\"1m\"", "\"dataGranularity\":\"\"");
    assert_eq!(decode(Timeframe::M1, year(), &untold).unwrap().len(), 2);
}

#[test]
fn days_are_keyed_by_the_local_date_and_of_two_rows_for_today_the_last_stays() {
    let expected = vec![
        bar("2026-10-30T00:00:00Z", [290.0, 292.5, 289.0, 292.0, 41000000.0]),
        bar("2026-11-02T00:00:00Z", [292.1, 294.0, 291.5, 293.25, 38500000.0]),
        bar("2026-11-20T00:00:00Z", [300.5, 301.22, 300.4, 301.22, 962366.0]),
    ];
    assert_eq!(decode(Timeframe::D1, year(), AAPL_1D), Ok(expected.clone()));
    let day = span("2026-11-02T00:00:00Z", "2026-11-20T00:00:00Z");
    assert_eq!(decode(Timeframe::D1, day, AAPL_1D), Ok(expected[1..2].to_vec()));
    // Tokyo opens at 00:00 UTC and its afternoon is still the same date; Sydney's day begins the day before in UTC.
    let sydney = AAPL_1D.replace("America/New_York", "Australia/Sydney");
    let rows = [("2026-11-19T23:00:00Z", json!(1)), ("2026-11-20T05:30:00Z", json!(2))];
    let market = Instrument { anchors: Anchors::default(), ..apple() };
    let body = with_rows(&sydney, "1d", &rows);
    let found = closes(dialect().decode_candles(&market, Timeframe::D1, year(), &reply(&body)));
    assert_eq!(found, vec![(at("2026-11-20T00:00:00Z"), 2.0)]);
}

#[test]
fn a_zone_we_do_not_know_falls_back_to_the_replys_offset() {
    let rows = [("2026-11-20T02:30:00Z", json!(1))];
    let body = with_rows(&AAPL_1D.replace("America/New_York", "Mars/Olympus"), "1d", &rows);
    let found = closes(dialect().decode_candles(&undescribed(), Timeframe::D1, year(), &reply(&body)));
    assert_eq!(found, vec![(at("2026-11-19T00:00:00Z"), 1.0)]);
}

#[test]
fn a_separate_live_row_belongs_to_the_week_or_month_before_it() {
    let weeks = vec![
        bar("2026-11-09T00:00:00Z", [294.0, 299.0, 293.5, 298.5, 180000000.0]),
        bar("2026-11-16T00:00:00Z", [298.6, 301.22, 297.0, 301.22, 150962366.0]),
    ];
    assert_eq!(decode(Timeframe::W1, year(), AAPL_1WK), Ok(weeks));
    let months = vec![
        bar("2026-10-01T00:00:00Z", [280.0, 293.0, 279.5, 292.0, 900000000.0]),
        bar("2026-11-01T00:00:00Z", [292.1, 301.22, 291.5, 301.22, 600962366.0]),
    ];
    assert_eq!(decode(Timeframe::Month1, year(), AAPL_1MO), Ok(months));
}

#[test]
fn stamps_an_hour_around_midnight_keep_their_day_week_and_month() {
    let open = |timeframe, wire: &str, stamp: &str| {
        let rows = [(stamp, json!(1)), ("2026-11-20T14:32:17Z", json!(2))];
        closes(decode(timeframe, year(), &with_rows(AAPL_1D, wire, &rows)))[0].0
    };
    // New York's midnight is 04:00 UTC in October and 05:00 UTC in November.
    assert_eq!(open(Timeframe::W1, "1wk", "2026-10-12T03:00:00Z"), at("2026-10-12T00:00:00Z"));
    assert_eq!(open(Timeframe::W1, "1wk", "2026-10-12T05:00:00Z"), at("2026-10-12T00:00:00Z"));
    assert_eq!(open(Timeframe::Month1, "1mo", "2026-10-01T03:00:00Z"), at("2026-10-01T00:00:00Z"));
    assert_eq!(open(Timeframe::D1, "1d", "2026-10-12T02:00:00Z"), at("2026-10-12T00:00:00Z"));
    // A live row of a late evening is what it says.
    let live = with_rows(AAPL_1D, "1d", &[("2026-11-20T03:00:00Z", json!(1))])
        .replace("\"regularMarketTime\":1795185137", "\"regularMarketTime\":1795143600");
    assert_eq!(closes(decode(Timeframe::D1, year(), &live)), vec![(at("2026-11-19T00:00:00Z"), 1.0)]);
}

#[test]
fn a_reply_without_timestamps_is_an_empty_page() {
    assert_eq!(decode(Timeframe::M1, year(), NO_DATA), Ok(vec![]));
    let emptied = with_rows(AAPL_1M, "1m", &[]);
    assert_eq!(decode(Timeframe::M1, year(), &emptied), Ok(vec![]));
}

#[test]
fn broken_rows_make_the_page_malformed() {
    let words = |body: String| {
        let error = decode(Timeframe::M1, year(), &body).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        error.message
    };
    assert_eq!(words(AAPL_1M.replace("[812344,150022,", "[812344,-1,")), "volume -1 is negative");
    assert_eq!(words(AAPL_1M.replace("[300.5,", "[\"300.5\",")), "\"300.5\" stands where a number belongs");
    assert_eq!(words(AAPL_1M.replace("[300.5,", "[1e999,")), "1e999 stands where a number belongs");
    assert_eq!(words(AAPL_1M.replace("[300.5,", "[")), "columns differ in length from the 4 timestamps");
    assert_eq!(words(AAPL_1M.replace("[1795185000,", "[179518500000000,")), "timestamp is 179518500000000");
    assert!(words(AAPL_1M[..AAPL_1M.len() / 2].to_owned()).starts_with("EOF while parsing"));
    assert_eq!(words("{\"chart\":{\"result\":null,\"error\":null}}".into()), "neither a result nor an error");
}

#[test]
fn refusals_are_classed_by_status_and_code() {
    let limited = ErrorKind::RateLimited { retry_after: None };
    let unauthorized = r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#;
    let bad = r#"{"chart":{"result":null,"error":{"code":"Bad Request","description":"Invalid input - interval=7m"}}}"#;
    let html = "<html><body>Will be right back</body></html>";
    let cases = [
        (404, NOT_FOUND, ErrorKind::UnknownSymbol),
        (200, NOT_FOUND, ErrorKind::UnknownSymbol),
        (422, RANGE, ErrorKind::OutOfHistory),
        (400, RANGE, ErrorKind::OutOfHistory),
        (422, "", ErrorKind::OutOfHistory),
        (400, bad, ErrorKind::BadRequest),
        (400, "", ErrorKind::BadRequest),
        (401, unauthorized, ErrorKind::Unavailable),
        (429, "Too Many Requests\r\n", limited),
        (429, "Edge: Too Many Requests", limited),
        (999, "Request Denied", limited),
        (200, html, ErrorKind::Unavailable),
        (200, "Too Many Requests", ErrorKind::Unavailable),
        (503, html, ErrorKind::Unavailable),
        (404, html, ErrorKind::Unavailable),
        (200, "", ErrorKind::Malformed),
    ];
    let mut seen = 0;
    for (status, body, kind) in cases {
        let reply = HttpReply::new(status, body);
        let candles = dialect().decode_candles(&apple(), Timeframe::M1, year(), &reply);
        assert_eq!(candles.map_err(|error| error.kind), Err(kind), "{status} {body}");
        let described = dialect().decode_instruments(Some(&"AAPL".parse().unwrap()), &reply);
        assert_eq!(described.map_err(|error| error.kind), Err(kind), "{status} {body}");
        seen += 1;
    }
    assert_eq!(seen, 16);
    let error = dialect().decode_candles(&apple(), Timeframe::M1, year(), &HttpReply::new(404, NOT_FOUND)).unwrap_err();
    assert_eq!(error.to_string(), "unknown symbol: HTTP 404: Not Found: No data found, symbol may be delisted");
}
