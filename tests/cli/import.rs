//! Files brought into the database: what is checked, what stays, and what is claimed.

use candlewick::market::{Anchors, Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::{
    AnchorsRow, CandleQuery, Coverage, LedgerChange, LedgerEntry, SeriesChange, StoredCandle, TradeCoverage, WriteBatch,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::place::{Place, Ran};

/// Minute `n` after the day's beginning.
fn minute(n: i64) -> DateTime<Utc> {
    "2026-01-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn minutes(from: i64, to: i64) -> Span {
    Span::new(minute(from), minute(to))
}

const HEADER: &str = "timestamp,open,high,low,close,volume\n";

/// A row of a file: minute `n` closes at 100 + n / 10, from every fifteenth on anew.
fn row(n: i64) -> String {
    format!("{},100,101.5,99.25,{},0.1\n", minute(n).to_rfc3339(), 100.0 + (n % 15) as f64 / 10.0)
}

fn rows(minutes: impl IntoIterator<Item = i64>) -> String {
    minutes.into_iter().map(row).collect()
}

/// A folder in which one symbol's minutes are wanted since before the day.
fn wanting(name: &str) -> Place {
    let place = Place::new();
    place.run(&format!("symbols add {name} -t 1m --from 2026-01-01")).ok();
    place
}

/// The rows and the ledger of the first symbol's minutes; nothing where there is no such series.
fn held(place: &Place) -> (Vec<StoredCandle>, Vec<LedgerEntry>) {
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let series = store.series_of(symbol).await.unwrap();
        let Some(series) = series.iter().find(|series| series.timeframe == Timeframe::M1) else {
            return (vec![], vec![]);
        };
        let query = CandleQuery { span: minutes(-9_999, 99_999), limit: None, newest_first: false };
        (store.candles(series.id, query).await.unwrap(), store.ledger(series.id).await.unwrap())
    })
}

fn closes(place: &Place) -> Vec<f64> {
    held(place).0.iter().map(|row| row.candle.close).collect()
}

fn complete(from: i64, to: i64) -> LedgerEntry {
    LedgerEntry { span: minutes(from, to), coverage: Coverage::Complete { verified: false } }
}

/// Writes candles and statements of the first symbol's minutes, as a collector does.
fn write(place: &Place, candles: Vec<(i64, f64, Source)>, ledger: Vec<LedgerChange>) {
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let series = store.open_series(symbol, Timeframe::M1).await.unwrap().id;
        let candle = |(n, close, source)| FinalCandle {
            candle: Candle { close, ..Candle::flat(minute(n), 100.0) },
            source,
            rule: Rule::Rest,
            observed_at: minute(n + 2),
        };
        let change =
            SeriesChange { candles: candles.into_iter().map(candle).collect(), ledger, ..SeriesChange::new(series) };
        store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
    });
}

/// The number in a line of the summary.
#[track_caller]
fn told(ran: &Ran, what: &str) -> String {
    let line = ran.lines().into_iter().find_map(|line| line.strip_prefix(what));
    line.unwrap_or_else(|| panic!("no {what} in {ran:?}")).trim().to_owned()
}

#[track_caller]
fn refused(place: &Place, line: &str) -> String {
    let ran = place.run(line);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    ran.stderr
}

#[test]
fn candles_are_stored_as_imported_and_claim_nothing() {
    let place = wanting("kraken BTC/USD");
    let file = "Open_Time, volume,close,low,high,open,trades,quote_volume,vwap,note\n\
                2026-01-02T00:00:00Z,0.1,100.25,99.25,101.5,100,3,10.5,100.125,a\n\
                1767312060,0.25,100.5,99.25,101.5,100,,,\n\
                1767312120000,0,100.5,100.5,100.5,100.5,0,0,\n";
    place.put("a.csv", format!("\u{feff}\n{file}"));
    let ran = place.run("import kraken BTC/USD --kind candles a.csv").ok();
    assert_eq!(
        ran.stdout,
        "kraken BTC/USD 1m from 2026-01-02T00:00:00Z to 2026-01-02T00:03:00Z\n\
         rows             3\n\
         stored           3\n\
         there already    0\n\
         replaced others  0\n\
         left out         0\n\
         flagged          0\n\
         complete         nothing is claimed; --complete or --covers do so\n"
    );
    assert_eq!(ran.stderr, "");
    let (stored, ledger) = held(&place);
    let first = Candle {
        open_time: minute(0),
        open: 100.0,
        high: 101.5,
        low: 99.25,
        close: 100.25,
        volume: 0.1,
        quote_volume: Some(10.5),
        trades: Some(3),
        vwap: Some(100.125),
    };
    assert_eq!(stored[0].candle, first);
    assert_eq!((stored[1].candle.trades, stored[1].candle.quote_volume, stored[1].candle.vwap), (None, None, None));
    assert_eq!(stored.len(), 3);
    assert!(stored.iter().all(|row| (row.source, row.rule) == (Source::Derived, Rule::Imported)));
    assert_eq!(ledger, []);
    let again = place.run_on("import kraken BTC/USD --kind candles -t 1m -", file).ok();
    assert_eq!((told(&again, "stored"), told(&again, "there already")), ("0".to_owned(), "3".to_owned()));
    let shown = place.run("candles kraken BTC/USD --format csv").ok();
    assert_eq!(shown.lines()[1], "2026-01-02T00:00:00Z,100,101.5,99.25,100.25,0.1,10.5,3,derived,true");
    // What is shown can be imported: into another symbol, say.
    place.run("symbols add kraken ETH/USD -t 1m --from 2026-01-01").ok();
    let copied = place.run_on("import kraken ETH/USD --kind candles -", &shown.stdout).ok();
    assert_eq!(told(&copied, "stored"), "3");
}

#[test]
fn what_is_said_to_be_complete_is_so_in_the_ledger_but_not_confirmed() {
    let claimed = |arguments: &str| {
        let place = wanting("kraken BTC/USD");
        place.put("a.csv", format!("{HEADER}{}", rows((0..10).chain(15..20))));
        let ran = place.run(&format!("import kraken BTC/USD --kind candles a.csv {arguments}"));
        let verified = place.run("gaps --verify").ok();
        assert!(verified.stderr.contains("agrees with what is stored"), "{verified:?}");
        (ran.code, held(&place).1, ran.stderr)
    };
    assert_eq!(claimed("--covers rows").1, [complete(0, 10), complete(15, 20)]);
    assert_eq!(claimed("--covers 2026-01-02T00:02..2026-01-02T00:05").1, [complete(2, 5)]);
    assert_eq!(claimed("--covers 2026-01-02T00:01:01..2026-01-02T00:05:59").1, [complete(2, 5)], "whole buckets");
    let two = "--covers 2026-01-02T00:02..2026-01-02T00:05 --covers 2026-01-02T00:16..2026-01-02T00:18";
    assert_eq!(claimed(two).1, [complete(2, 5), complete(16, 18)]);
    let words = "error: 5 buckets of what is said to be complete have no bar, the first at 2026-01-02T00:10:00Z, and \
                 kraken prints one for each; say less, or --covers rows for exactly the bars in the file. Nothing was \
                 written\n";
    assert_eq!(claimed("--complete"), (2, vec![], words.to_owned()));
    let inside = claimed("--covers 2026-01-02T00:01:10..2026-01-02T00:01:50");
    assert_eq!(inside.0, 2);
    assert!(inside.2.contains("holds no whole 1m bar"), "{inside:?}");
    let future = claimed("--covers 2026-01-02..2999-01-01");
    assert!(future.0 == 2 && future.2.contains("reaches past the newest closed bar"), "{future:?}");
}

#[test]
fn a_claim_may_rest_on_rows_that_were_stored_before() {
    let place = wanting("kraken BTC/USD");
    place.put("a.csv", format!("{HEADER}{}", rows(10..15)));
    place.run("import kraken BTC/USD --kind candles a.csv").ok();
    place.put("b.csv", format!("{HEADER}{}", rows((0..10).chain(15..20))));
    let ran = place.run("import kraken BTC/USD --kind candles --complete b.csv").ok();
    assert_eq!(told(&ran, "complete"), "from 2026-01-02T00:00:00Z to 2026-01-02T00:20:00Z, by your word");
    assert_eq!(held(&place).1, [complete(0, 20)]);
    place.run("gaps --verify").ok();
    let gaps = place.run("gaps kraken BTC/USD --format csv").ok();
    assert!(gaps.stdout.contains("2026-01-01T00:00:00Z,2026-01-02T00:00:00Z"), "before the import: {gaps:?}");
}

#[test]
fn where_quiet_buckets_have_no_bar_a_claim_may_lack_some() {
    let place = wanting("yahoo BTC/USD");
    place.put("a.csv", format!("{HEADER}{}", rows([0, 1, 7])));
    let unknown = refused(&place, "import yahoo BTC/USD --kind candles --complete a.csv");
    assert!(unknown.contains("is not known before a collector has asked the exchange"), "{unknown}");
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        store.set_anchors(symbol, &AnchorsRow::from(Anchors::default())).await.unwrap();
    });
    place.run("import yahoo BTC/USD --kind candles --complete a.csv").ok();
    assert_eq!(held(&place).1, [complete(0, 8)]);
    place.run("gaps --verify").ok();
}

#[test]
fn every_bad_row_is_named_and_nothing_is_written() {
    let place = wanting("kraken BTC/USD");
    let day = |time: &str, cells: &str| format!("{time},{cells}\n");
    let now = Utc::now();
    let open_minute = now.format("%Y-%m-%dT%H:%M:00Z");
    let file = format!(
        "{HEADER}{}{}{}{}{}{}{}{}{}{}",
        row(0),
        day("2026-01-02T00:01:30Z", "1,1,1,1,1"),
        row(1),
        row(1),
        day("2026-01-02T00:02:00Z", "1,1,1,x,1"),
        day("2026-01-02T00:02:00Z", "1,1,1,nan,1"),
        day("2026-01-02T00:02:00Z", "1,1,1,1,-0.5"),
        day("yesterday", "1,1,1,1,1"),
        day("2026-01-02T00:02:00Z", "1,1"),
        day("2999-01-01T00:00:00Z", "1,1,1,1,1"),
    );
    place.put("a.csv", file);
    let told = refused(&place, "import kraken BTC/USD --kind candles --complete a.csv");
    assert_eq!(
        told,
        "error: a.csv has 8 rows that cannot be used; nothing was written\
         \n  line 3: no 1m bar opens at 2026-01-02T00:01:30Z; the one around it opens at 2026-01-02T00:01:00Z\
         \n  line 5: the bar of 2026-01-02T00:01:00Z stands there twice\
         \n  line 6: column close: found \"x\", wanted a number\
         \n  line 7: column close: found \"nan\", wanted a number\
         \n  line 8: column volume: found \"-0.5\", wanted a volume that is not negative\
         \n  line 9: column timestamp: found \"yesterday\", wanted the time at which the bar opens: \
         2025-11-10T17:24:00Z, Unix seconds or milliseconds\
         \n  line 10: column low: found nothing, wanted a number\
         \n  line 11: the bar of 2999-01-01T00:00:00Z lies in the future; it closes at 2999-01-01T00:01:00Z\n"
    );
    let forming = format!("{HEADER}{}", day(&open_minute.to_string(), "1,1,1,1,1"));
    let ran = place.run_on("import kraken BTC/USD --kind candles -", &forming);
    let minute_went_by = Utc::now().format("%Y-%m-%dT%H:%M:00Z").to_string() != open_minute.to_string();
    assert!(minute_went_by || (ran.code == 2 && ran.stderr.contains("is still open; it closes at")), "{ran:?}");
    let marked = "timestamp,open,high,low,close,volume,source,final\n\
                  2026-01-02T00:00:00Z,1,1,1,1,1,rest,true\n\
                  2026-01-02T00:01:00Z,1,1,1,1,1,forming,false\n\
                  2026-01-02T00:02:00Z,1,1,1,1,1,filled,true\n";
    let ran = place.run_on("import kraken BTC/USD --kind candles -", marked);
    assert_eq!(
        ran.stderr,
        "error: standard input has 2 rows that cannot be used; nothing was written\
         \n  line 3: column final: found \"false\", wanted a bar that is final\
         \n  line 4: column source: found \"filled\", wanted a bar that was not made up for a reader\n"
    );
    let disorder = place.run_on("import kraken BTC/USD --kind candles -", &format!("{HEADER}{}", rows([0, 1, 3, 2])));
    assert!(
        disorder.stderr.contains(
            "line 5: 2026-01-02T00:02:00Z comes after 2026-01-02T00:03:00Z; sort the rows by time, oldest first"
        ),
        "{disorder:?}"
    );
    let many =
        place.run_on("import kraken BTC/USD --kind candles -", &format!("{HEADER}{}", "x,1,1,1,1,1\n".repeat(30)));
    assert!(many.stderr.ends_with("\n  and 10 more rows\n") && many.stderr.lines().count() == 22, "{many:?}");
    for (file, words) in [
        ("open,high,low,close,volume\n", "line 1: no column timestamp;"),
        ("timestamp,open,high,low,volume\n", "line 1: no column close;"),
        (HEADER, "standard input has a header and no row"),
        ("", "no column"),
    ] {
        let ran = place.run_on("import kraken BTC/USD --kind candles -", file);
        assert!(ran.code == 2 && ran.stderr.contains(words), "{ran:?}");
    }
    assert_eq!(held(&place), (vec![], vec![]));
}

#[test]
fn rows_may_run_from_new_to_old_and_odd_prices_are_kept_and_flagged() {
    let place = wanting("kraken BTC/USD");
    let odd = "2026-01-02T00:00:00Z,102,101,99,98,1\n";
    place.put("a.csv", format!("{HEADER}{}{odd}", rows((1..12_000).rev())));
    let ran = place.run("import kraken BTC/USD --kind candles --complete a.csv").ok();
    assert_eq!((told(&ran, "stored"), told(&ran, "flagged")), ("12,000".to_owned(), "1".to_owned()));
    assert_eq!(ran.stderr, "flagged: open or close lies outside low..high; stored as it is\n");
    let (stored, ledger) = held(&place);
    assert_eq!(stored.len(), 12_000);
    assert_eq!((stored[0].candle.close, stored[0].flags, stored[1].flags), (98.0, 1, 0));
    assert_eq!(ledger, [complete(0, 12_000)]);
}

#[test]
fn what_came_from_the_exchange_stays_unless_more_is_declared() {
    let held_first = || {
        let place = wanting("kraken BTC/USD");
        let sources = [Source::Synthesised, Source::Derived, Source::Stream, Source::Rest];
        write(&place, sources.into_iter().zip(0..).map(|(source, n)| (n, 50.0, source)).collect(), vec![]);
        place.put("a.csv", format!("{HEADER}{}", rows(0..5)));
        place
    };
    let place = held_first();
    let ran = place.run("import kraken BTC/USD --kind candles a.csv").ok();
    assert_eq!(closes(&place), [100.0, 50.0, 50.0, 50.0, 100.4]);
    assert_eq!(
        (told(&ran, "stored"), told(&ran, "replaced others"), told(&ran, "left out")),
        ("1".into(), "1".into(), "3".into())
    );
    assert_eq!(ran.stderr, "what was left out differs from what the exchange has said, which counts for more\n");
    let place = held_first();
    place.run("import kraken BTC/USD --kind candles --source rest a.csv").ok();
    assert_eq!(closes(&place), [100.0, 100.1, 100.2, 50.0, 100.4], "what was observed goes before what was declared");
    let (rows, _) = held(&place);
    assert_eq!((rows[2].source, rows[2].rule, rows[2].revision), (Source::Rest, Rule::Imported, 1));
}

#[test]
fn a_bucket_in_which_nothing_traded_by_the_exchanges_word_gets_no_bar() {
    let place = wanting("kraken BTC/USD");
    let confirmed = LedgerChange::Set(minutes(0, 5), Coverage::Complete { verified: true });
    write(&place, vec![(0, 100.0, Source::Rest), (4, 100.4, Source::Rest)], vec![confirmed]);
    place.put("a.csv", format!("{HEADER}{}", rows(3..8)));
    let ran = place.run("import kraken BTC/USD --kind candles --covers rows a.csv").ok();
    assert_eq!((told(&ran, "stored"), told(&ran, "left out")), ("3".into(), "2".into()), "one is quiet, one differs");
    assert_eq!(held(&place).0.len(), 5);
    let ledger = held(&place).1;
    assert_eq!(ledger[0].coverage, Coverage::Complete { verified: true }, "confirmed it stays: {ledger:?}");
    assert_eq!(ledger[1..], [complete(5, 8)]);
}

#[test]
fn a_running_collector_keeps_an_import_out() {
    let place = wanting("kraken BTC/USD");
    place.put("a.csv", format!("{HEADER}{}", rows(0..5)));
    let held = &place;
    let ran = place.with_store(|store| async move {
        let _lock = store.lock_collector("candlewick run").await.unwrap();
        // Not in this thread's runtime: the program is another process.
        std::thread::scope(|scope| {
            scope.spawn(|| held.run("import kraken BTC/USD --kind candles a.csv")).join().unwrap()
        })
    });
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.starts_with("error: a collector is running on this database (pid "), "{ran:?}");
    assert!(ran.stderr.contains("candlewick run); stop it first"), "{ran:?}");
}

#[test]
fn only_what_is_wanted_is_imported() {
    let place = wanting("kraken BTC/USD");
    place.put("a.csv", format!("{HEADER}{}", rows(0..5)));
    let import = |line: &str| refused(&place, &format!("import {line} a.csv"));
    assert_eq!(
        import("kraken BTC/EUR --kind candles"),
        "error: kraken \"BTC/EUR\" is not kept here; did you mean BTC/USD?\nwant it first: candlewick symbols add kraken BTC/EUR\n"
    );
    assert_eq!(
        import("kraken BTC/USD --kind candles -t 5m"),
        "error: kraken BTC/USD wants only 1m; first: candlewick symbols add kraken BTC/USD -t 5m\n"
    );
    assert!(import("krakn BTC/USD --kind candles").contains("did you mean kraken?"));
    assert!(import("yahoo BTC/USD --kind trades").contains("yahoo has no trades"));
    assert!(import("kraken BTC/USD --kind trades -t 1m").contains("are for candles"));
    assert!(
        refused(&place, "import kraken BTC/USD --kind candles none.csv").contains("cannot read none.csv: No such file")
    );
    place.run("symbols add kraken BTC/USD -t 1h").ok();
    assert_eq!(
        import("kraken BTC/USD --kind candles"),
        "error: say the timeframe with -t; kraken BTC/USD wants 1m 1h\n"
    );
    place.run("symbols add kraken XRP/USD --only-ticker").ok();
    assert!(
        import("kraken XRP/USD --kind candles")
            .contains("wants no candles; first: candlewick symbols add kraken XRP/USD -t 1m")
    );
    place.put("old.csv", format!("{HEADER}{}", row(-3 * 1440)));
    let old = place.run("import kraken BTC/USD --kind candles -t 1m old.csv").ok();
    assert!(old.stderr.contains("is wanted from 2026-01-01T00:00:00Z on only"), "{old:?}");
}

// --- trades --------------------------------------------------------------------------------------

const TRADES: &str = "time,price,amount,id,side\n\
                      2026-01-02T00:00:00.500000Z,105433.60,0.00027625,11,buy\n\
                      1767312001000,105410.1,1.5,13,sell\n\
                      2026-01-02T00:00:00.750000Z,105410.10,0.5,12,\n";

fn trade_coverage(place: &Place) -> TradeCoverage {
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        store.trade_coverage(symbol).await.unwrap()
    })
}

#[test]
fn trades_are_stored_exactly_and_claim_nothing_by_themselves() {
    let place = wanting("kraken BTC/USD");
    place.put("t.csv", TRADES);
    let ran = place.run("import kraken BTC/USD --kind trades t.csv").ok();
    assert_eq!(
        ran.stdout,
        "kraken BTC/USD trades from 2026-01-02T00:00:00.500000Z to 2026-01-02T00:00:01Z\n\
         rows             3\n\
         complete         nothing is claimed; --complete or --covers do so\n"
    );
    let shown = place.run("trades kraken BTC/USD --format csv").ok();
    assert_eq!(
        shown.lines(),
        [
            "time,price,amount,id,side",
            "2026-01-02T00:00:00.500000Z,105433.60,0.00027625,11,buy",
            "2026-01-02T00:00:00.750000Z,105410.10,0.5,12,",
            "2026-01-02T00:00:01Z,105410.1,1.5,13,sell",
        ]
    );
    assert!(shown.stderr.starts_with("trades may be missing between"), "{shown:?}");
    assert_eq!(trade_coverage(&place), TradeCoverage::default());
    let ran = place.run_on("import kraken BTC/USD --kind trades --complete -", &shown.stdout).ok();
    assert_eq!(told(&ran, "complete"), "ids 11 to 13, by your word");
    assert_eq!(trade_coverage(&place).ids, [(11, 13)]);
    assert_eq!(place.run("trades kraken BTC/USD --format csv").ok().stderr, "");
}

#[test]
fn a_claim_of_trades_with_holes_in_their_ids_is_refused_and_one_of_time_is_taken() {
    let place = wanting("binance BTC/USDT");
    let aggregated =
        "time,price,amount,id,last_id\n1767312001000,1,1,5,7\n1767312002000,1,1,8,8\n1767312003000,1,1,12,14\n";
    place.put("t.csv", aggregated);
    assert_eq!(
        refused(&place, "import binance BTC/USDT --kind trades --complete t.csv"),
        "error: the rows are not complete: the ids 9 to 11 are missing, and the ids of binance have no holes; leave out \
         --complete, or claim the time you know of with --covers FROM..TO. Nothing was written\n"
    );
    assert_eq!(place.run("trades binance BTC/USDT --format json").ok().stdout, "");
    let ran = place.run("import binance BTC/USDT --kind trades --covers 2026-01-02T00:00..2026-01-02T00:01 t.csv").ok();
    assert_eq!(told(&ran, "complete"), "from 2026-01-02T00:00:00Z to 2026-01-02T00:01:00Z, by your word");
    let coverage = trade_coverage(&place);
    assert_eq!((coverage.ids, coverage.spans.spans()), (vec![], &[minutes(0, 1)][..]));
    let shown = place.run("trades binance BTC/USDT --format csv").ok();
    assert!(shown.lines()[1].ends_with(",5,,7"), "{shown:?}");
}

#[test]
fn bad_trades_are_all_named_and_nothing_is_written() {
    let place = wanting("kraken BTC/USD");
    place.put(
        "t.csv",
        "time,price,amount,id,side,last_id\n\
         1767312001000,1,1,5,buy,\n\
         1767312001,x,1,6,buy,\n\
         1767312001000,1,-1,7,buy,\n\
         1767312001000,1,1,,buy,\n\
         1767312001000,1,1,8,b,\n\
         1767312001000,1,1,9,buy,8\n\
         32503680000000,1,1,10,buy,\n\
         1767312001000,1,1,18446744073709551615,buy,\n\
         1767312001000,1,1,x1,buy,x2\n",
    );
    let told = refused(&place, "import kraken BTC/USD --kind trades --complete t.csv");
    assert_eq!(
        told,
        "error: t.csv has 8 rows that cannot be used; nothing was written\
         \n  line 3: column price: found \"x\", wanted a decimal number of at most 28 digits\
         \n  line 4: column amount: found \"-1\", wanted a size that is not negative (the direction is told by side)\
         \n  line 5: column id: found nothing, wanted the exchange's id of the trade\
         \n  line 6: column side: found \"b\", wanted buy, sell or nothing\
         \n  line 7: the last id 8 is smaller than the id 9\
         \n  line 8: 3000-01-01T00:00:00Z lies in the future\
         \n  line 9: the id 18446744073709551615 is larger than a database number\
         \n  line 10: the ids x1 to x2 are no numbers, so they are no range\n"
    );
    let bare = place.run_on("import kraken BTC/USD --kind trades -", "time,price,amount\n1767312001000,1,1\n");
    assert!(bare.code == 2 && bare.stderr.contains("standard input has no column id"), "{bare:?}");
    let none = place.run_on("import kraken BTC/USD --kind trades -", "price,amount,id\n");
    assert!(none.code == 2 && none.stderr.contains("no column time"), "{none:?}");
    assert_eq!(place.run("trades kraken BTC/USD --format json").ok().stdout, "");
}
