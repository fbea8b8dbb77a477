//! Tickers: wanted, refused where there are none, and printed with their age.

use candlewick::market::Ticker;
use candlewick::store::{TickerChange, WriteBatch};
use chrono::{DateTime, TimeDelta, Utc};

use crate::place::Place;

/// Two symbols of Kraken with a ticker each, one of Binance without.
fn three_symbols(read_at: DateTime<Utc>) -> Place {
    let place = Place::new();
    for symbol in ["kraken BTC/USD", "kraken ETH/USD", "binance BTC/USDT"] {
        place.run(&format!("symbols add {symbol} --only-ticker")).ok();
    }
    place.with_store(|store| async move {
        let rows = store.symbols().await.unwrap();
        let of = |name: &str| rows.iter().find(|row| row.symbol.as_str() == name).unwrap().id;
        let bitcoin = Ticker {
            time: Some("2026-01-02T00:00:00.25Z".parse().unwrap()),
            last: Some(91215.6),
            bid: Some(91215.5),
            ask: Some(91215.6),
            volume: Some(1480.23),
            quote_volume: None,
        };
        let ether = Ticker { last: Some(3050.0), ..Ticker::default() };
        let change = |symbol, ticker| TickerChange { symbol, ticker, observed_at: read_at };
        let tickers = vec![change(of("BTC/USD"), bitcoin), change(of("ETH/USD"), ether)];
        store.write(&WriteBatch { tickers, ..WriteBatch::default() }).await.unwrap();
    });
    place
}

#[test]
fn stored_tickers_are_printed_with_their_age() {
    let place = three_symbols(Utc::now() - TimeDelta::seconds(5));
    let ran = place.run("tickers --format csv").ok();
    let lines = ran.lines();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert_eq!(lines[0], "exchange,symbol,time,age_ms,last,bid,ask,volume,quote_volume");
    assert!(lines[1].starts_with("kraken,BTC/USD,2026-01-02T00:00:00.250000Z,"), "{ran:?}");
    assert!(lines[1].ends_with(",91215.6,91215.5,91215.6,1480.23,"), "{ran:?}");
    let cells: Vec<&str> = lines[2].split(',').collect();
    assert_eq!((&cells[..2], &cells[4..]), (&["kraken", "ETH/USD"][..], &["3050", "", "", "", ""][..]));
    let age_ms: i64 = cells[3].parse().unwrap();
    assert!((5_000..60_000).contains(&age_ms), "{age_ms}");
    assert_eq!(ran.stderr, "");

    let ran = place.run("tickers kraken BTC/USD --format json").ok();
    let line: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&line["symbol"], &line["last"], &line["quote_volume"]),
        (&"BTC/USD".into(), &91215.6.into(), &serde_json::Value::Null)
    );
    let table = place.run("tickers kraken").ok().stdout;
    assert!(table.contains("ETH/USD") && table.contains("age ms"), "{table}");
    place.run("symbols remove kraken ETH/USD").ok();
    assert_eq!(place.run("tickers --format csv").ok().lines().len(), 2);
}

#[test]
fn names_that_are_not_kept_are_refused_with_the_nearest() {
    let place = three_symbols(Utc::now());
    let refused = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        ran.stderr
    };
    assert_eq!(
        refused("tickers krakn"),
        "error: no symbol of exchange \"krakn\" is kept here; did you mean kraken, binance?\n"
    );
    assert_eq!(
        refused("tickers kraken BTC/EUR"),
        "error: kraken \"BTC/EUR\" is not kept here; did you mean BTC/USD, ETH/USD?\n"
    );
    let none = place.run("tickers binance --format csv").ok();
    assert_eq!(none.lines().len(), 1);
    assert_eq!(
        none.stderr,
        "no ticker is stored; want one with: candlewick symbols add EXCHANGE SYMBOL --only-ticker\n"
    );
}

#[test]
fn a_ticker_cannot_be_wanted_where_there_are_none() {
    let place = Place::new();
    let ran = place.run("symbols add yahoo AAPL --only-ticker");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("error: yahoo has no tickers; those that have: kraken binance"), "{ran:?}");
    assert!(!place.path("candlewick.db").exists(), "nothing was written");
}
