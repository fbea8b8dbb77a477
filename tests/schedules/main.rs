//! Random schedules of everything that goes wrong, in process and in virtual time: faults of every
//! kind at every venue, crashes at numbered points, restarts after pauses. After each schedule every
//! final candle equals the simulator's truth and the ledger accounts for every bucket.
//!
//! A seed reproduces a schedule: `CANDLEWICK_SEED=17 cargo test --test schedules -- --nocapture`.
//! `CANDLEWICK_SCHEDULES` and `CANDLEWICK_HOURS` set how many are tried and how long each lasts.

#[path = "../support/check.rs"]
mod check;
mod crash;
mod faults;
#[path = "../support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use candlewick::clock::Clock;
use candlewick::collector::Collector;
use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, SimRequest, Simulator, Venue};
use candlewick::store::{self, Access, CandleSource, NewSymbol, Store};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use check::Checked;
use crash::{Crash, CrashingStore, CrashingTransport};
use support::in_memory::SimTransport;

/// What one schedule showed.
#[derive(Debug, Default)]
struct Outcome {
    faults: usize,
    crashes: usize,
    simulated: TimeDelta,
    checked: Checked,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The markets every schedule collects; a second timeframe makes some of them derived.
const MARKETS: [(&str, &str, &[Timeframe]); 6] = [
    ("kraken", "BTC/USD", &[Timeframe::M1, Timeframe::M5, Timeframe::H1]),
    ("kraken", "DOGE/USD", &[Timeframe::M1]),
    ("binance", "BTC/USDT", &[Timeframe::M1, Timeframe::H1]),
    ("binance", "ETH/USDT", &[Timeframe::M5]),
    ("yahoo", "AAPL", &[Timeframe::M1]),
    ("yahoo", "BTC/USD", &[Timeframe::M5, Timeframe::H1]),
];

async fn add_markets(store: &dyn Store, from: DateTime<Utc>) {
    for (exchange, symbol, timeframes) in MARKETS {
        let new = NewSymbol {
            exchange: exchange.into(),
            symbol: symbol.parse().unwrap(),
            timeframes: timeframes.to_vec(),
            backfill_from: from,
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
    }
}

/// One life of the collector: until `end`, or until the crash point is reached.
async fn live(
    url: &str,
    clock: &Clock,
    simulator: &Simulator,
    crash: Crash,
    end: DateTime<Utc>,
    orderly: bool,
) -> bool {
    let local = tokio::task::LocalSet::new();
    let running = async {
        let store = store::open_with_clock(url, Access::Create, clock.clone()).await.unwrap();
        let handle = Collector::builder()
            .store(Arc::new(CrashingStore(store, crash.clone())))
            .clock(clock.clone())
            .transport(Arc::new(CrashingTransport(SimTransport::new(simulator.clone()), crash.clone())))
            .simulator("http://simulator")
            .start()
            .await
            .unwrap();
        tokio::select! {
            () = crash.happened() => true,
            () = clock.sleep_until(end) => {
                if orderly {
                    handle.shutdown().await.unwrap();
                }
                !orderly
            }
        }
    };
    let crashed = local.run_until(running).await;
    // Dropping the local set is the kill: every actor is gone at whatever it awaited.
    drop(local);
    crashed
}

async fn run(seed: u64, hours: u64) -> Outcome {
    let mut dice = StdRng::seed_from_u64(seed);
    let start: DateTime<Utc> = "2026-11-16T00:00:00Z".parse().unwrap();
    let epoch = start + TimeDelta::seconds(dice.random_range(0..5 * 86_400));
    let clock = Clock::scaled(epoch, 1.0);
    let faults = faults::random(&mut dice, Duration::from_secs(hours * 3600));
    let mut outcome = Outcome { faults: faults.len(), ..Outcome::default() };
    let symbols = Venue::ALL.into_iter().map(|venue| {
        let own = MARKETS.iter().filter(|(exchange, ..)| *exchange == venue.to_string());
        (venue, own.map(|(_, symbol, _)| symbol.parse().unwrap()).collect())
    });
    let config = SimConfig {
        symbols: symbols.collect(),
        seed,
        history_days: 8,
        trades_per_minute: dice.random_range(0.3..4.0),
        faults,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, clock.clone());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("candles.db").display());
    let store = store::open_with_clock(&url, Access::Create, clock.clone()).await.unwrap();
    add_markets(&*store, epoch - TimeDelta::hours(dice.random_range(1..30))).await;
    let end = epoch + TimeDelta::hours(hours as i64);
    while clock.now() < end {
        let crash = Crash::at_point(dice.random_range(1..1500));
        if live(&url, &clock, &simulator, crash, end, dice.random_bool(0.5)).await {
            outcome.crashes += 1;
        }
        check::structure(&*store, &mut outcome.checked).await;
        if dice.random_bool(0.5) {
            clock.sleep(Duration::from_secs(dice.random_range(1..2400))).await;
        }
    }
    // Faults are over: what can be healed heals by itself.
    let healed = clock.now() + TimeDelta::hours(4);
    live(&url, &clock, &simulator, Crash::at_point(i64::MAX), healed, true).await;
    outcome.simulated = clock.now() - epoch;
    check::structure(&*store, &mut outcome.checked).await;
    check::values(&*store, &|path| get(&simulator, path), healed, &mut outcome.checked).await;
    outcome
}

/// An answer of the simulator itself, in memory.
fn get(simulator: &Simulator, path: &str) -> Vec<u8> {
    let reply = simulator.http(&SimRequest {
        method: "GET".into(),
        target: path.to_owned(),
        headers: vec![],
        body: Bytes::new(),
        peer: Ipv4Addr::LOCALHOST.into(),
    });
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.body.to_vec()
}

fn run_one(seed: u64, hours: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, hours))
}

#[test]
fn after_any_schedule_of_faults_and_crashes_every_final_candle_equals_the_truth() {
    if std::env::var("CANDLEWICK_TRACE").is_ok() {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().init();
    }
    let hours = setting("CANDLEWICK_HOURS", 8);
    if std::env::var("CANDLEWICK_SEED").is_ok() {
        let outcome = run_one(setting("CANDLEWICK_SEED", 0), hours);
        println!("{outcome:#?}");
        assert_eq!(outcome.checked.violations, Vec::<String>::new());
        return;
    }
    let schedules = setting("CANDLEWICK_SCHEDULES", 12);
    let next = std::sync::atomic::AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let outcomes: Vec<(u64, Outcome)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let take = || next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    std::iter::from_fn(|| Some(take()).filter(|seed| *seed < schedules))
                        .map(|seed| (seed, run_one(seed, hours)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.len() as u64, schedules);
    let sum = |f: fn(&Outcome) -> u64| outcomes.iter().map(|(_, outcome)| f(outcome)).sum::<u64>();
    println!(
        "{schedules} schedules, {:.1} simulated days, {} faults, {} crashes, {} candles checked",
        outcomes.iter().map(|(_, o)| o.simulated.num_minutes()).sum::<i64>() as f64 / 1440.0,
        sum(|o| o.faults as u64),
        sum(|o| o.crashes as u64),
        sum(|o| o.checked.candles),
    );
    let mut bad = String::new();
    for (seed, outcome) in &outcomes {
        for violation in outcome.checked.violations.iter().take(5) {
            bad.push_str(&format!("seed {seed}: {violation}\n"));
        }
    }
    assert!(bad.is_empty(), "\n{bad}");
    assert!(sum(|o| o.checked.candles) > 0, "nothing was collected at all");
}
