//! Resident memory of a collector for each symbol it polls: 2,000 symbols of one venue over a
//! collector that has none, once every symbol is live. Reads `/proc`, so Linux only.

mod allocator;
mod venue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle};
use candlewick::status::Phase;
use candlewick::store::{ExchangeMode, ExchangeRow};

use venue::{Venue, want};

const SYMBOLS: usize = 2_000;
const DEADLINE: Duration = Duration::from_secs(300);

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn live(collector: &CollectorHandle) -> usize {
    collector.status().iter().filter(|status| status.symbol.is_some() && status.phase == Phase::Live).count()
}

/// Waits until so many symbols are live, and each has made so many calls since then.
async fn settled(collector: &CollectorHandle, symbols: usize, calls_each: u64) {
    let began = Instant::now();
    let mut calls = u64::MAX;
    loop {
        let now = collector.totals().rest_calls;
        if calls == u64::MAX && live(collector) == symbols {
            calls = now;
        }
        if calls != u64::MAX && now - calls >= calls_each * symbols as u64 {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{} of {symbols} symbols live, {now} calls", live(collector));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn measure() -> (u64, u64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::system();
    let collector = Collector::builder()
        .database(format!("sqlite://{}", dir.path().join("candlewick.db").display()))
        .clock(clock.clone())
        .transport(Arc::new(Venue::new(SYMBOLS, None)))
        .start()
        .await
        .expect("a collector");
    let store = collector.store().clone();
    let venue = ExchangeRow {
        name: "binance".to_owned(),
        enabled: true,
        mode: ExchangeMode::Poll,
        rest_url: None,
        stream_url: None,
        blocked_until: None,
    };
    store.put_exchange(&venue).await.expect("a row");
    let wanted = |number| want(number, clock.now());
    // The first symbol brings what a collector has once: the venue, its threads, its caches.
    collector.add_symbol(&wanted(0)).await.expect("a new symbol");
    settled(&collector, 1, 1).await;
    let empty = resident_bytes().expect("/proc tells the resident memory");
    for number in 1..SYMBOLS - 1 {
        store.add_symbol(&wanted(number)).await.expect("a new symbol");
    }
    collector.add_symbol(&wanted(SYMBOLS - 1)).await.expect("a new symbol");
    settled(&collector, SYMBOLS, 2).await;
    let full = resident_bytes().expect("/proc tells the resident memory");
    collector.shutdown().await.expect("an ordered stop");
    (empty, full)
}

fn main() {
    if resident_bytes().is_none() {
        println!("memory: this system has no /proc, nothing is measured");
        return;
    }
    let (empty, full) = actix_rt::System::new().block_on(measure());
    let each = full.saturating_sub(empty) as f64 / (SYMBOLS - 1) as f64;
    println!("collector with one polled symbol:  {:>8.1} MiB", empty as f64 / 1_048_576.0);
    println!("collector with {SYMBOLS} polled ones: {:>8.1} MiB", full as f64 / 1_048_576.0);
    println!("for each symbol:                   {:>8.1} KiB", each / 1024.0);
}
