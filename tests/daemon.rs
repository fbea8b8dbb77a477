//! The program itself, with its processes, signals, exit codes and output.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use candlewick::market::{Span, Timeframe};
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, CandleQuery, CandleSource, NewSymbol, Store};
use chrono::{DateTime, TimeDelta, Utc};

/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn candlewick(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
    command.args(arguments).env_remove("CANDLEWICK_DATABASE").stdin(Stdio::null());
    command
}

fn finished(arguments: &[&str]) -> Output {
    candlewick(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("candles.db").display())
}

/// Waits until `look` gives something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A program that runs beside the test; killed when the test ends.
struct Running {
    child: Child,
    words: Arc<Mutex<String>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut child = candlewick(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let words = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&words);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                heard.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Running { child, words }
    }

    fn wait_for_words(&self, part: &str) {
        wait_for(part, || self.words.lock().unwrap().contains(part).then_some(()));
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        wait_for("the end of the program", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulator on a free port, and its URL.
fn simulator(speed: &str) -> (Running, String) {
    let mut running = Running::start(&["sim", "--listen", "127.0.0.1:0", "--speed", speed, "--history-days", "2"]);
    let mut line = String::new();
    BufReader::new(running.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("simulates kraken, binance, yahoo with 8 markets each"), "{line}");
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
    // Kraken serves the newest 720 minutes only.
    let kraken = run("kraken", "BTC/USD", &yesterday);
    assert_eq!(kraken.status.code(), Some(0), "{}", text(&kraken.stderr));
    let summary = text(&kraken.stdout);
    assert!(summary.contains("in 1 stretch (too_old: rest)\nmissing          none\n"), "{summary}");
    let unknown = run("binance", "NOPE/USDT", &yesterday);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("binance does not know NOPE/USDT"), "{}", text(&unknown.stderr));
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
