//! What is held and what is not: candles, gaps and status.

use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::{
    CandleSource, Coverage, LedgerChange, NewSymbol, SeriesChange, StatusRow, Store, SymbolChange, WriteBatch,
};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::place::{Place, Ran};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Minute `n` after the day's beginning.
fn minute(n: i64) -> DateTime<Utc> {
    at("2026-01-02T00:00:00Z") + TimeDelta::minutes(n)
}

fn bar(open_time: DateTime<Utc>, close: f64) -> FinalCandle {
    let candle = Candle {
        open_time,
        open: 100.0,
        high: 101.5,
        low: 99.25,
        close,
        volume: 0.1,
        quote_volume: None,
        trades: Some(3),
        vwap: None,
    };
    FinalCandle { candle, source: Source::Rest, rule: Rule::Rest, observed_at: open_time + TimeDelta::minutes(2) }
}

async fn want(store: &dyn Store, from: DateTime<Utc>) -> SeriesChange {
    let new = NewSymbol {
        exchange: "kraken".to_owned(),
        symbol: "BTC/USD".parse().unwrap(),
        timeframes: vec![Timeframe::M1],
        backfill_from: from,
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    };
    assert_eq!(store.add_symbol(&new).await.unwrap(), SymbolChange::Added);
    let symbol = store.symbols().await.unwrap().remove(0).id;
    SeriesChange::new(store.open_series(symbol, Timeframe::M1).await.unwrap().id)
}

async fn write(store: &dyn Store, change: SeriesChange) {
    store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
}

/// Ten minutes of kraken BTC/USD: 0-3 held, 4 missing after two reads, 5-8 held, 9 not at the venue,
/// 10 forming. Minute `n` closes at 100 + n / 10.
fn ten_minutes() -> Place {
    let place = Place::new();
    place.with_store(|store| async move {
        let span = |from, to| Span::new(minute(from), minute(to));
        let change = want(&*store, minute(0)).await;
        let complete = |from, to| LedgerChange::Set(span(from, to), Coverage::Complete { verified: true });
        let missing =
            Coverage::Missing { reason: "late_bar".to_owned(), attempts: 2, next_attempt_at: Some(minute(30)) };
        let unavailable = Coverage::Unavailable { reason: "venue_hole".to_owned() };
        let held = (0..4).chain(5..9);
        let change = SeriesChange {
            candles: held.map(|n| bar(minute(n), 100.0 + n as f64 / 10.0)).collect(),
            ledger: vec![
                complete(0, 4),
                complete(5, 9),
                LedgerChange::Set(span(4, 5), missing),
                LedgerChange::Set(span(9, 10), unavailable),
            ],
            extent: Some((span(0, 10), "not_fetched")),
            forming: Some(bar(minute(10), 98.5).candle),
            ..change
        };
        write(&*store, change).await;
    });
    place
}

const HEADER: &str = "timestamp,open,high,low,close,volume,quote_volume,trades,source,final";

#[test]
fn stored_candles_are_printed_in_full_precision_with_their_source() {
    let place = ten_minutes();
    let ran = place.run("candles kraken BTC/USD --from 2026-01-02T00:02 --to 2026-01-02T00:06 --format csv").ok();
    assert_eq!(
        ran.lines(),
        [
            HEADER,
            "2026-01-02T00:02:00Z,100,101.5,99.25,100.2,0.1,,3,rest,true",
            "2026-01-02T00:03:00Z,100,101.5,99.25,100.3,0.1,,3,rest,true",
            "2026-01-02T00:05:00Z,100,101.5,99.25,100.5,0.1,,3,rest,true",
        ]
    );
    assert_eq!(ran.stderr, "1 gap in this range; see: candlewick gaps kraken BTC/USD\n");
    let ran = place.run("candles kraken BTC/USD --from 2026-01-02T00:02 --limit 1 --format json").ok();
    assert_eq!(
        ran.lines(),
        [
            r#"{"kind":"candle","exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","open_time":"2026-01-02T00:02:00Z","open":100.0,"high":101.5,"low":99.25,"close":100.2,"volume":0.1,"trades":3,"final":true,"source":"rest"}"#
        ]
    );
}

/// Open time (minutes and seconds), close, source and finality of every row.
fn short(ran: &Ran) -> Vec<String> {
    let rows = ran.stdout.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        format!("{} {} {} {}", &cells[0][14..19], cells[4], cells[8], cells[9])
    });
    rows.collect()
}

#[test]
fn the_newest_candles_are_printed_when_no_range_is_given() {
    let place = ten_minutes();
    let all = place.run("candles kraken BTC/USD --format csv").ok();
    assert_eq!(all.lines().len(), 9);
    let two = place.run("candles kraken BTC/USD --limit 2 --format csv").ok();
    assert_eq!(short(&two), ["07:00 100.7 rest true", "08:00 100.8 rest true"]);
    let forming = place.run("candles kraken BTC/USD --limit 2 --forming --format csv").ok();
    assert_eq!(short(&forming), ["08:00 100.8 rest true", "10:00 98.5 forming false"]);
    let before = place.run("candles kraken BTC/USD --limit 3 --to 2026-01-02T00:06 --format csv").ok();
    assert_eq!(short(&before), ["02:00 100.2 rest true", "03:00 100.3 rest true", "05:00 100.5 rest true"]);
    let most = place.run("candles kraken BTC/USD --limit 18446744073709551615 --format csv").ok();
    assert_eq!(most.lines().len(), 9);
}

#[test]
fn longer_candles_are_added_up_and_say_when_a_part_is_missing() {
    let place = ten_minutes();
    let ran = place.run("candles kraken BTC/USD -t 3m --format csv").ok();
    assert_eq!(
        ran.lines(),
        [
            HEADER,
            "2026-01-02T00:00:00Z,100,101.5,99.25,100.2,0.3,,9,resampled,true",
            "2026-01-02T00:03:00Z,100,101.5,99.25,100.5,0.2,,6,resampled,false",
            "2026-01-02T00:06:00Z,100,101.5,99.25,100.8,0.3,,9,resampled,true",
        ]
    );
}

#[test]
fn buckets_without_a_candle_are_filled_when_asked_for() {
    let place = ten_minutes();
    let ran =
        place.run("candles kraken BTC/USD --from 2026-01-02T00:03 --to 2026-01-02T00:06 --fill --format csv").ok();
    assert_eq!(short(&ran), ["03:00 100.3 rest true", "04:00 100.3 filled false", "05:00 100.5 rest true"]);
}

#[test]
fn a_symbol_that_no_collector_has_begun_with_has_no_candles_yet() {
    let place = Place::new();
    place.run("symbols add kraken BTC/USD -t 1h").ok();
    let ran = place.run("candles kraken BTC/USD --format json").ok();
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr, "kraken BTC/USD has no candles here; see: candlewick gaps kraken BTC/USD\n");
}

#[test]
fn questions_that_cannot_be_answered_name_what_is_kept() {
    let place = ten_minutes();
    let words = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        ran.stderr
    };
    assert_eq!(words("candles kraken btcusd"), "error: kraken \"btcusd\" is not kept here; did you mean BTC/USD?\n");
    assert_eq!(
        words("candles krakn BTC/USD"),
        "error: no symbol of exchange \"krakn\" is kept here; did you mean kraken?\n"
    );
    assert_eq!(words("gaps krakn"), "error: no symbol of exchange \"krakn\" is kept here; did you mean kraken?\n");
    assert_eq!(
        words("candles kraken BTC/USD -t 1s"),
        "error: kraken BTC/USD has no candles from which 1s could be built; stored: 1m\n"
    );
    assert_eq!(
        words("candles kraken BTC/USD --from 2026-01-03 --to 2026-01-02"),
        "error: --to 2026-01-02T00:00:00Z does not lie after --from 2026-01-03T00:00:00Z\n"
    );
    let nothing = place.run("candles kraken BTC/USD --from 2027-01-01").ok();
    assert_eq!(nothing.stdout, "");
    assert_eq!(nothing.stderr, "kraken BTC/USD has no candles here; see: candlewick gaps kraken BTC/USD\n");
}

#[test]
fn gaps_tell_why_since_when_and_what_is_tried_next() {
    let place = ten_minutes();
    let ran = place.run("gaps --format json --verify").ok();
    let lines = ran.lines();
    assert_eq!(
        lines[..2],
        [
            r#"{"exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","state":"missing","from":"2026-01-02T00:04:00Z","to":"2026-01-02T00:05:00Z","buckets":1,"reason":"late_bar","attempts":2,"next_attempt_at":"2026-01-02T00:30:00Z"}"#,
            r#"{"exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","state":"unavailable","from":"2026-01-02T00:09:00Z","to":"2026-01-02T00:10:00Z","buckets":1,"reason":"venue_hole","attempts":null,"next_attempt_at":null}"#,
        ]
    );
    let lag =
        r#"{"exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","state":"lag","from":"2026-01-02T00:10:00Z","#;
    assert!(lines[2].starts_with(lag), "{}", lines[2]);
    assert_eq!(lines.len(), 3);
    assert_eq!(
        ran.stderr,
        "1 series: 1 missing, 1 unavailable at the exchange, 1 not observed yet\n\
         verified: the ledger of 1 series agrees with what is stored\n"
    );
    assert_eq!(place.run("gaps kraken BTC/USD --format csv").ok().lines().len(), 4);
}

#[test]
fn a_ledger_that_does_not_say_what_is_there_is_a_failure() {
    let place = ten_minutes();
    place.sql("DELETE FROM candles WHERE open_time = 1767312120000000");
    place.sql("DELETE FROM coverage WHERE state = 'missing'");
    assert_eq!(place.run("gaps").code, 0);
    let ran = place.run("gaps --verify --format csv");
    assert_eq!(ran.code, 1);
    let violations: Vec<&str> = ran.stdout.lines().filter(|line| line.contains(",violation,")).collect();
    assert_eq!(
        violations,
        [
            "kraken,BTC/USD,1m,violation,2026-01-02T00:04:00Z,2026-01-02T00:05:00Z,1,\"the ledger has a hole at [2026-01-02T00:04:00Z, 2026-01-02T00:05:00Z)\",,",
            "kraken,BTC/USD,1m,violation,2026-01-02T00:02:00Z,2026-01-02T00:03:00Z,1,\"1 bucket(s) in [2026-01-02T00:02:00Z, 2026-01-02T00:03:00Z) are said to be complete and have no candle\",,",
        ]
    );
    assert!(ran.stderr.ends_with("error: 2 violations of the ledger in 1 series\n"), "{}", ran.stderr);
}

#[test]
fn history_asked_for_later_is_a_gap_and_no_violation() {
    let place = ten_minutes();
    place.run("symbols add kraken BTC/USD --from 2026-01-01").ok();
    let ran = place.run("gaps --verify --format csv").ok();
    assert_eq!(
        ran.lines()[1],
        "kraken,BTC/USD,1m,missing,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,1440,not_fetched,0,"
    );
    // Where candles lie that the ledger does not speak of, it is one.
    place.sql("DELETE FROM coverage WHERE from_time = 1767312000000000");
    assert_eq!(place.run("gaps --verify").code, 1);
}

#[test]
fn a_series_that_is_all_there_is_clean() {
    let place = Place::new();
    place.with_store(|store| async move {
        let now = Utc::now().duration_trunc(TimeDelta::minutes(1)).unwrap();
        let span = Span::new(now - TimeDelta::minutes(30), now + TimeDelta::minutes(30));
        let change = want(&*store, span.from).await;
        let change = SeriesChange {
            candles: (0..60).map(|n| bar(span.from + TimeDelta::minutes(n), 100.0)).collect(),
            ledger: vec![LedgerChange::Set(span, Coverage::Complete { verified: true })],
            extent: Some((span, "not_fetched")),
            ..change
        };
        write(&*store, change).await;
    });
    let ran = place.run("gaps --verify").ok();
    assert_eq!(ran.stdout, "");
    assert_eq!(
        ran.stderr,
        "clean: 1 series, everything that is wanted is held\nverified: the ledger of 1 series agrees with what is stored\n"
    );
}

#[test]
fn status_tells_what_was_written_and_who_was_never_spoken_of() {
    let place = Place::new();
    place.run("symbols add kraken BTC/USD --from 2026-01-02").ok();
    let ran = place.run("status --format csv").ok();
    assert_eq!(ran.stderr, "no collector has run on this database yet; start one with: candlewick run\n");
    assert_eq!(ran.lines()[1], "kraken:BTC/USD,none,,,,,,0,,wanted; no collector has begun with it");

    place.with_store(|store| async move {
        let row = |component: &str, status: &str, symbol: Option<&str>| StatusRow {
            component: component.to_owned(),
            exchange: symbol.map(|_| "kraken".to_owned()),
            symbol: symbol.map(str::to_owned),
            status: status.to_owned(),
            mode: symbol.map(|_| "live_websocket".to_owned()),
            phase: "live".to_owned(),
            message: "12 series, all well".to_owned(),
            last_candle: symbol.map(|_| minute(9)),
            lag_ms: Some(1500),
            restarts: 2,
            coverage_percent: Some(99.999),
            created_at: minute(0),
            updated_at: minute(8),
            heartbeat: minute(10),
        };
        let rows = [row("kraken:BTC/USD", "running", Some("BTC/USD")), row("ohlcv_daemon", "running", None)];
        store.put_statuses(&rows).await.unwrap();
    });
    let ran = place.run("status --format json").ok();
    assert_eq!(
        ran.lines()[0],
        r#"{"component":"kraken:BTC/USD","exchange":"kraken","symbol":"BTC/USD","status":"running","phase":"live","mode":"live_websocket","last_candle":"2026-01-02T00:09:00Z","lag_ms":1500,"coverage_percent":99.999,"restarts":2,"message":"12 series, all well","updated_at":"2026-01-02T00:08:00Z","heartbeat":"2026-01-02T00:10:00Z"}"#
    );
    assert_eq!(ran.lines().len(), 2);
    assert!(ran.stderr.starts_with("the collector last wrote at 2026-01-02T00:10:00Z, "), "{}", ran.stderr);
    assert!(
        ran.stderr.ends_with(" ago: it seems not to be running; start it with: candlewick run\n"),
        "{}",
        ran.stderr
    );
    let table = place.run("status").ok();
    assert!(table.stdout.contains("kraken:BTC/USD") && table.stdout.contains("99.99"), "{}", table.stdout);
}
