//! The program itself, with its processes, signals, exit codes and output.

#[path = "support/program.rs"]
mod program;
#[path = "support/simulated.rs"]
mod simulated;

use std::io::Read;
use std::time::{Duration, Instant};

use candlewick::market::{Span, Timeframe};
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, CandleQuery, CandleSource, NewSymbol, Store};
use chrono::{DateTime, TimeDelta, Utc};
use program::{PATIENCE, Running, finished, text, url};
use simulated::Simulated;

/// A simulator on a free port, and its URL.
fn simulator(speed: &str) -> (Running, String) {
    let (running, line) = program::simulator(&["--speed", speed, "--history-days", "2"]);
    let all = candlewick::sim::Venue::names(", ");
    assert!(line.contains(&format!("simulates {all} with 8 markets each")), "{line}");
    let url = line.split_whitespace().next().unwrap().to_owned();
    (running, url)
}

fn wanted(exchange: &str, symbol: &str, backfill_from: DateTime<Utc>) -> NewSymbol {
    NewSymbol {
        exchange: exchange.to_owned(),
        symbol: symbol.parse().unwrap(),
        timeframes: vec![Timeframe::M1],
        backfill_from,
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    }
}

/// True when everything wanted before `until` is complete.
async fn is_complete(store: &dyn Store, until: DateTime<Utc>) -> bool {
    let rows = inventory(store, until, |_| true).await.unwrap();
    rows.len() == 3 && rows.iter().all(|row| row.covered_percent == 100.0)
}

#[tokio::test]
async fn a_daemon_on_simulated_exchanges_completes_what_is_wanted_and_stops_in_order_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    let (mut simulator, simulated) = simulator("30");
    let until = DateTime::from_timestamp(Utc::now().timestamp().div_euclid(60) * 60, 0).unwrap();
    let from = until - TimeDelta::hours(2);
    let store = store::open(&url, Access::Create).await.unwrap();
    let mut daemon = Running::start(&["run", "--database", &url, "--simulator", &simulated]);
    daemon.wait_for_words("collecting");
    for (exchange, symbol) in [("kraken", "BTC/USD"), ("binance", "ETH/USDT"), ("yahoo", "BTC/USD")] {
        store.add_symbol(&wanted(exchange, symbol, from)).await.unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while !is_complete(&*store, until).await {
        assert!(Instant::now() < deadline, "not complete: {:#?}", inventory(&*store, until, |_| true).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    let mut printed = String::new();
    daemon.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "", "words go to stderr");
    assert!(daemon.words.lock().unwrap().contains("SIGTERM: stopping in order"), "{}", daemon.words.lock().unwrap());

    // Binance prints a bar for every minute.
    let symbols = store.symbols().await.unwrap();
    let ether = symbols.iter().find(|row| row.exchange == "binance").unwrap();
    let series = store.series_of(ether.id).await.unwrap();
    let query = CandleQuery { span: Span::new(from, until), limit: None, newest_first: false };
    assert_eq!(store.candles(series[0].id, query).await.unwrap().len(), 120);

    simulator.signal("INT");
    assert_eq!(simulator.exit_code(), Some(0));
}

#[test]
fn a_daemon_without_symbols_says_how_to_add_one_and_a_second_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    let mut first = Running::start(&["run", "--database", &url]);
    first.wait_for_words("add a symbol with: candlewick symbols add kraken BTC/USD");
    let second = finished(&["run", "--database", &url]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another collector holds this database"), "{}", text(&second.stderr));
    let backfill = finished(&["backfill", "kraken", "BTC/USD", "--database", &url]);
    assert_eq!(backfill.status.code(), Some(1));
    let advice = "widen what it wants instead: candlewick symbols add kraken BTC/USD";
    assert!(text(&backfill.stderr).contains(advice), "{}", text(&backfill.stderr));
    first.signal("INT");
    assert_eq!(first.exit_code(), Some(0));
}

#[test]
fn a_demo_without_a_terminal_prints_plain_lines_and_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let demo = finished(&["demo", "--seconds", "5", "--database", &url(folder.path())]);
    let printed = text(&demo.stdout);
    assert_eq!(demo.status.code(), Some(0), "{}", text(&demo.stderr));
    assert!(!printed.contains('\u{1b}'), "escape codes in {printed}");
    for exchange in ["kraken", "binance", "yahoo"] {
        let start = format!("candle {exchange} ");
        assert!(printed.lines().any(|line| line.starts_with(&start)), "no candle of {exchange} in {printed}");
    }
    assert!(printed.lines().any(|line| line.starts_with("status 2026-11-20T15:0")), "{printed}");
    let stored = printed.lines().find_map(|line| line.strip_prefix("candles stored   ")).unwrap();
    assert!(stored.replace(',', "").parse::<u64>().unwrap() > 0);
    let again = finished(&["demo", "--seconds", "5", "--database", &url(folder.path())]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("holds data already"), "{}", text(&again.stderr));
}

#[test]
fn a_backfill_reads_its_range_says_what_is_unavailable_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    let (_simulator, simulated) = simulator("1");
    let run = |exchange: &str, symbol: &str, from: &str| {
        let arguments = ["backfill", exchange, symbol, "-t", "1m", "--from", from];
        let places = ["--database", &url, "--simulator", &simulated];
        finished(&[&arguments[..], &places[..]].concat())
    };
    let yesterday = (Utc::now() - TimeDelta::days(1)).to_rfc3339();
    let binance = run("binance", "BTC/USDT", &yesterday);
    assert_eq!(binance.status.code(), Some(0), "{}", text(&binance.stderr));
    let summary = text(&binance.stdout);
    assert!(summary.contains("unavailable      none\nmissing          none\n"), "{summary}");
    // Kraken serves the newest 720 minutes only; what lies before them is built from its trades.
    let kraken = run("kraken", "BTC/USD", &yesterday);
    assert_eq!(kraken.status.code(), Some(0), "{} {}", text(&kraken.stdout), text(&kraken.stderr));
    let summary = text(&kraken.stdout);
    assert!(summary.contains("unavailable      none\nmissing          none\n"), "{summary}");
    let built = finished(&["trades", "kraken", "BTC/USD", "--from", &yesterday, "--database", &url]);
    assert_eq!(text(&built.stdout), "", "trades that nobody wanted are not kept");
    let proof = finished(&["gaps", "--verify", "--database", &url]);
    assert_eq!(proof.status.code(), Some(0), "{}", text(&proof.stderr));
    let unknown = run("binance", "NOPE/USDT", &yesterday);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("binance does not know NOPE/USDT"), "{}", text(&unknown.stderr));
}

#[test]
fn a_backfill_may_begin_in_the_midst_of_a_minute_without_trades() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    let simulated = Simulated::start(1, &["--seed", "1"]);
    // Older than Kraken's own candles.
    let (from, to) = (simulated.now() - TimeDelta::hours(20), simulated.now() - TimeDelta::hours(16));
    let span = format!("from={}&to={}", from.timestamp_millis(), to.timestamp_millis());
    let trades = simulated.json(&format!("/truth/trades?exchange=kraken&symbol=DOGE%2FUSD&{span}"));
    let minute = |trade: &serde_json::Value| {
        let time: DateTime<Utc> = trade["time"].as_str().unwrap().parse().unwrap();
        time.timestamp().div_euclid(60)
    };
    let minutes: Vec<_> = trades.as_array().unwrap().iter().map(minute).collect();
    let quiet = minutes.windows(2).find(|pair| pair[1] > pair[0] + 1).expect("a minute without trades")[0] + 1;
    let begin = DateTime::from_timestamp(quiet * 60 + 20, 0).unwrap().to_rfc3339();
    let places = ["--database", &url, "--simulator", &simulated.url];
    let range = ["backfill", "kraken", "DOGE/USD", "-t", "1m", "--from", &begin];
    let done = finished(&[&range[..], &places[..]].concat());
    let summary = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "from {begin}: {summary} {}", text(&done.stderr));
    assert!(summary.contains("unavailable      none\nmissing          none\n"), "{summary}");
}

#[test]
fn a_simulator_names_every_fault_of_its_files_and_a_port_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trades = file("trades.csv", "time,price,amount,id,side\n1,2,3,x,buy\n2,2,3,5,buy\n3,-2,3,6,buy\n");
    let faults = file("faults.toml", "[[fault]]\nkind = \"drop\"\n[[fault]]\nkind = \"nope\"\n");
    let bad = finished(&["sim", "--listen", "127.0.0.1:0", "--replay", &trades, "--faults", &faults]);
    assert_eq!(bad.status.code(), Some(2));
    let words = text(&bad.stderr);
    assert!(words.contains("trades CSV line 2: id \"x\" is no whole number"), "{words}");
    assert!(words.contains("trades CSV line 4: price \"-2\" is no positive decimal"), "{words}");
    assert!(words.contains("faults.toml:3:1: unknown kind \"nope\""), "{words}");

    let (_simulator, simulated) = simulator("1");
    let taken = finished(&["sim", "--listen", simulated.strip_prefix("http://").unwrap()]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(text(&taken.stderr).contains("is in use by another program"), "{}", text(&taken.stderr));
}
