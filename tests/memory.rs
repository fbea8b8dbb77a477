//! A daemon that collects for long needs no more memory than after its first hour. Linux only: reads `/proc`.
//!
//! `CANDLEWICK_SYMBOLS`, `CANDLEWICK_HOURS` and `CANDLEWICK_SPEED` (simulated seconds in a second) are
//! small here; `make soak` collects 620 symbols for 24 hours.

#[path = "support/program.rs"]
mod program;

use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, Simulator, Venue, default_symbols, server};
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, CandleSource, NewSymbol, Store};
use chrono::{DateTime, TimeDelta, Utc};
use program::{Running, url};
use tokio::net::TcpListener;

/// What may be added to the memory of the first hour.
const GROWTH: f64 = 0.05;
/// And to that of a run shorter than a day, of which a burst is a larger part.
const SLACK_KIB: f64 = 1024.0;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The memory of a process over ten simulated minutes, in the middle.
async fn memory(clock: &Clock, process: u32) -> f64 {
    let mut samples = Vec::new();
    for _ in 0..20 {
        clock.sleep(Duration::from_secs(30)).await;
        samples.extend(resident_kib(process));
    }
    samples.sort_unstable();
    samples[samples.len() / 2] as f64
}

/// The least covered symbol, in percent, of what has closed before an instant.
async fn least_covered(store: &dyn Store, until: DateTime<Utc>) -> f64 {
    let rows = inventory(store, until, |_| true).await.unwrap();
    rows.iter().map(|row| row.covered_percent).fold(100.0, f64::min)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_collects_for_long_needs_no_more_memory_than_after_its_first_hour() {
    if resident_kib(std::process::id()).is_none() {
        return println!("this system does not tell how much memory a process has");
    }
    let symbols = setting("CANDLEWICK_SYMBOLS", 20) as usize;
    let (hours, speed) = (setting("CANDLEWICK_HOURS", 3) as i64, setting("CANDLEWICK_SPEED", 600));
    let clock = Clock::scaled("2026-11-20T00:00:10Z".parse().unwrap(), speed as f64);
    let config = SimConfig {
        exchanges: vec![Venue::BINANCE],
        symbols_per_exchange: symbols,
        trades_per_minute: 1.0,
        history_days: 1,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, clock.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = server::serve(listener, simulator).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = url(folder.path());
    let store = store::open_with_clock(&database, Access::Create, clock.clone()).await.unwrap();
    let began = clock.now();
    for symbol in default_symbols(Venue::BINANCE, symbols) {
        let new = NewSymbol {
            exchange: "binance".to_owned(),
            symbol,
            timeframes: vec![Timeframe::M1],
            backfill_from: began - TimeDelta::minutes(10),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
    }
    let address = format!("http://{}", served.address());
    let daemon = Running::start(&["run", "--database", &database, "--simulator", &address]);
    daemon.wait_for_words("collecting");
    let process = daemon.child.id();

    clock.sleep_until(began + TimeDelta::hours(1)).await;
    let first = memory(&clock, process).await;
    clock.sleep_until(began + TimeDelta::hours(hours)).await;
    let last = memory(&clock, process).await;
    println!(
        "{symbols} symbols: {:.1} MiB after an hour, {:.1} MiB after {hours} hours ({:+.1} %)",
        first / 1024.0,
        last / 1024.0,
        100.0 * (last / first - 1.0)
    );
    let slack = if hours < 24 { SLACK_KIB } else { 0.0 };
    assert!(last <= first * (1.0 + GROWTH) + slack, "{}", daemon.words.lock().unwrap());
    // What was measured was at work.
    let until = clock.now() - TimeDelta::minutes(20);
    let covered = least_covered(&*store, until).await;
    assert!(covered > 95.0, "{covered} % covered: too fast for this machine, choose a lower CANDLEWICK_SPEED");
}
