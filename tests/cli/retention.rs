//! `prune` and `events`: what they remove and print, and what they refuse.

use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe, Trade, TradeId};
use candlewick::store::{
    CandleSource, Coverage, LedgerChange, ModeChange, NewSymbol, SeriesChange, TradesChange, WriteBatch,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::place::Place;

fn minute(n: i64) -> DateTime<Utc> {
    "2026-01-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn span(from: i64, to: i64) -> Span {
    Span::new(minute(from), minute(to))
}

/// Three hours of kraken BTC/USD in minutes and hours, complete, with a trade in every minute.
fn three_hours() -> Place {
    let place = Place::new();
    place.with_store(|store| async move {
        let new = NewSymbol {
            exchange: "kraken".to_owned(),
            symbol: "BTC/USD".parse().unwrap(),
            timeframes: vec![Timeframe::M1, Timeframe::H1],
            backfill_from: minute(0),
            collect_trades: true,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let mut series = Vec::new();
        for (timeframe, step) in [(Timeframe::M1, 1), (Timeframe::H1, 60)] {
            let id = store.open_series(symbol, timeframe).await.unwrap().id;
            series.push(SeriesChange {
                candles: (0..180).step_by(step).map(|n| bar(n, 100.0)).collect(),
                ledger: vec![LedgerChange::Set(span(0, 180), Coverage::Complete { verified: true })],
                extent: Some((span(0, 180), "not_fetched")),
                ..SeriesChange::new(id)
            });
        }
        let trade = |n: i64| {
            let id = TradeId::Number(n as u64 + 1);
            Trade { last_id: id.clone(), id, time: minute(n), price: 1.into(), amount: 1.into(), side: None }
        };
        let trades = TradesChange {
            trades: (0..180).map(trade).collect(),
            complete_ids: vec![(1, 180)],
            complete_spans: vec![span(0, 180)],
            ..TradesChange::new(symbol)
        };
        store.write(&WriteBatch { series, trades: vec![trades], ..WriteBatch::default() }).await.unwrap();
    });
    place
}

fn bar(n: i64, close: f64) -> FinalCandle {
    let (open, high, low) = (100.0, 100.0_f64.max(close), 100.0_f64.min(close));
    let open_time = minute(n);
    let candle =
        Candle { open_time, open, high, low, close, volume: 1.0, quote_volume: None, trades: None, vwap: None };
    FinalCandle { candle, source: Source::Rest, rule: Rule::Rest, observed_at: open_time + TimeDelta::hours(2) }
}

const BTC: &str = "kraken BTC/USD";

#[test]
fn what_is_older_goes_and_the_rest_is_verified() {
    let place = three_hours();
    let header = "exchange,symbol,part,from,rows,revisions";
    let dry = place.run(&format!("prune {BTC} -t 1m --before 2026-01-02T01:30:30Z --dry-run --format csv")).ok();
    assert_eq!(dry.lines(), [header, "kraken,BTC/USD,1m,2026-01-02T01:30:00Z,90,0"]);
    assert_eq!(dry.stderr, "nothing was changed\n");
    let ran = place.run(&format!("prune {BTC} -t 1m --before 2026-01-02T01:30:30Z --format csv")).ok();
    assert_eq!(ran.lines(), dry.lines());
    assert_eq!(ran.stderr, "the database is ours while this runs: no collector can start on it\n");
    let again = place.run(&format!("prune {BTC} -t 1m --before 2026-01-02T01:30:30Z --format csv")).ok();
    assert_eq!(
        (again.lines(), again.stderr.as_str()),
        (vec![header], "nothing that ended before 2026-01-02T01:30:30Z is kept\n")
    );
    let candles = place.run(&format!("candles {BTC} -t 1m --from 2026-01-01 --to 2026-01-03 --format csv")).ok();
    assert_eq!(candles.lines().len(), 91);
    assert!(candles.lines()[1].starts_with("2026-01-02T01:30:00Z"), "{:?}", candles.lines()[1]);
    let hours = place.run(&format!("candles {BTC} -t 1h --from 2026-01-01 --to 2026-01-03 --format csv")).ok();
    assert_eq!(hours.lines().len(), 4, "kept on their own");
    let gaps = place.run("gaps --verify --format json").ok();
    assert!(!gaps.stdout.contains("2026-01-02T00:"), "what was pruned is no gap: {}", gaps.stdout);

    // The rest of it: the symbol itself begins later now.
    let ran = place.run(&format!("prune {BTC} --before 2026-01-02T02:00:00Z --format csv")).ok();
    let expected = [
        header,
        "kraken,BTC/USD,1m,2026-01-02T02:00:00Z,30,0",
        "kraken,BTC/USD,1h,2026-01-02T02:00:00Z,2,0",
        "kraken,BTC/USD,trades,2026-01-02T02:00:00Z,120,0",
    ];
    assert_eq!(ran.lines(), expected);
    let symbols = place.run("symbols list --format json").ok();
    assert!(symbols.stdout.contains("2026-01-02T02:00:00Z"), "{}", symbols.stdout);
    let trades = place.run(&format!("trades {BTC} --from 2026-01-01 --to 2026-01-03 --format csv")).ok();
    assert_eq!(trades.lines().len(), 61);
    assert_eq!(place.run("gaps --verify").code, 0);
    // Wanted again.
    place.run(&format!("symbols add {BTC} -t 1m --from 2026-01-02T00:00:00Z")).ok();
    let gaps = place.run("gaps --format json").ok();
    assert!(gaps.stdout.contains("2026-01-02T00:00:00Z"), "{}", gaps.stdout);
    assert_eq!(place.run("gaps --verify").code, 0);
}

#[test]
fn rows_from_before_the_beginning_are_not_imported() {
    let place = three_hours();
    place.run(&format!("prune {BTC} -t 1m --trades --before 2026-01-02T01:00:00Z")).ok();
    let candles = "timestamp,open,high,low,close,volume\n2026-01-02T00:30:00Z,1,1,1,1,1\n";
    let ran = place.run_on(&format!("import {BTC} --kind candles -t 1m -"), candles);
    let words = "the rows begin at 2026-01-02T00:30:00Z, but what lies before 2026-01-02T01:00:00Z was pruned and is not wanted; \
                 want it first: candlewick symbols add kraken BTC/USD -t 1m --from 2026-01-02T00:30:00Z";
    assert!(ran.code == 2 && ran.stderr.contains(words), "{ran:?}");
    let trades = "time,price,amount,id,side\n2026-01-02T00:30:00Z,1,1,31,buy\n";
    let ran = place.run_on(&format!("import {BTC} --kind trades -"), trades);
    assert!(ran.code == 2 && ran.stderr.contains("--trades --from 2026-01-02T00:30:00Z"), "{ran:?}");
    place.run(&format!("symbols add {BTC} -t 1m --from 2026-01-02T00:30:00Z")).ok();
    place.run_on(&format!("import {BTC} --kind candles -t 1m -"), candles).ok();
}

#[test]
fn a_resampled_bar_is_not_made_of_what_is_left_of_its_parts() {
    let place = three_hours();
    place.run(&format!("prune {BTC} --before 2026-01-02T01:30:00Z -t 1m")).ok();
    // 30m nests in 1h only: it is read from the minutes.
    let bars = place.run(&format!("candles {BTC} -t 30m --from 2026-01-01 --to 2026-01-03 --format csv")).ok();
    assert!(bars.lines()[1].starts_with("2026-01-02T01:30:00Z"), "{:?}", bars.lines());
    assert_eq!(bars.lines().len(), 4);
}

#[test]
fn what_cannot_be_pruned_is_refused_with_what_would_be_right() {
    let place = three_hours();
    let refused = |line: &str, words: &str| {
        let ran = place.run(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(words), "{line}: {}", ran.stderr);
    };
    refused(&format!("prune {BTC} --before 2999-01-01"), "lies in the future; now it is 20");
    refused(&format!("prune {BTC} --before 2026-01-02 -t 5m"), "no 5m candles are kept there; kept: 1m 1h");
    refused(&format!("prune {BTC} --before 2026-01-02 -t 7m"), "7m");
    refused("prune kraken BTC/EUR --before 2026-01-02", "BTC/USD");
    refused(&format!("prune {BTC}"), "--before");
    refused(&format!("prune {BTC} --keep 3 --before 2026-01-02"), "cannot be used with");
    refused(&format!("prune {BTC} --keep soon"), "no number of days");
    let candles = place.run(&format!("candles {BTC} -t 1m --from 2026-01-01 --to 2026-01-03 --format csv")).ok();
    assert_eq!(candles.lines().len(), 181, "nothing was changed");
}

#[test]
fn under_a_running_collector_the_beginning_moves_and_the_rest_is_its_work() {
    let place = three_hours();
    let program = &place;
    let ran = place.with_store(|store| async move {
        let _lock = store.lock_collector("a test").await.unwrap();
        program.run(&format!("prune {BTC} -t 1m --before 2026-01-02T01:00:00Z --format csv"))
    });
    assert!(ran.stderr.contains("removes what lies before"), "{ran:?}");
    assert_eq!(ran.code, 0);
    let candles = place.run(&format!("candles {BTC} -t 1m --from 2026-01-01 --to 2026-01-03 --format csv")).ok();
    assert_eq!(candles.lines().len(), 181, "still there");
    let ran = place.run(&format!("prune {BTC} -t 1m --before 2026-01-02T01:00:00Z --format csv")).ok();
    assert_eq!(ran.lines()[1], "kraken,BTC/USD,1m,2026-01-02T01:00:00Z,60,0", "what was left is removed");
}

#[test]
fn events_are_json_lines_from_any_number_on() {
    let place = three_hours();
    assert_eq!(place.run("events").ok().stdout, "");
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let series = store.series_of(symbol).await.unwrap().remove(0).id;
        let (mode, reason) = ("live_websocket".to_owned(), "subscribed".to_owned());
        let modes = vec![ModeChange { symbol, mode, reason, at: minute(181) }];
        store.write(&WriteBatch { modes, ..WriteBatch::default() }).await.unwrap();
        let revised = FinalCandle { observed_at: minute(500), ..bar(7, 101.0) };
        let change = SeriesChange { candles: vec![revised], ..SeriesChange::new(series) };
        store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
    });
    let all = place.run("events").ok();
    let first = r#"{"number":1,"time":"2026-01-02T03:01:00Z","exchange":"kraken","symbol":"BTC/USD","kind":"mode_changed","old":null,"new":"live_websocket","reason":"subscribed"}"#;
    assert_eq!(all.lines()[0], first);
    let second: serde_json::Value = serde_json::from_str(all.lines()[1]).unwrap();
    assert_eq!(
        (&second["number"], &second["kind"], &second["timeframe"]),
        (&2.into(), &"candle_revised".into(), &"1m".into())
    );
    assert_eq!((&second["open_time"], &second["new"]["close"]), (&"2026-01-02T00:07:00Z".into(), &101.0.into()));
    assert_eq!((&second["old"]["close"], &second["old"]["source"]), (&100.0.into(), &"rest".into()));
    assert_eq!(place.run("events --from 2").ok().lines(), all.lines()[1..]);
    assert_eq!(place.run("events --kind mode_changed").ok().lines(), [first]);
    assert_eq!(place.run("events kraken BTC/USD --from 3").ok().stdout, "");
    let refused = place.run("events --from 4");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("the newest event has the number 2"), "{}", refused.stderr);
    assert_eq!(place.run("events --kind candle").code, 2);
}
