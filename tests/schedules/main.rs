//! Random schedules of everything that goes wrong, in process and in virtual time: faults of every
//! kind at every venue, crashes at numbered points, restarts after pauses. After each schedule every
//! final candle equals the simulator's truth and the ledger accounts for every bucket.
//!
//! A seed reproduces a schedule, call by call: `CANDLEWICK_SEED=17 cargo test --test schedules -- --nocapture`.
//! `CANDLEWICK_SCHEDULES` or `CANDLEWICK_SECONDS` set how many are tried, `CANDLEWICK_FIRST_SEED` with which they begin,
//! `CANDLEWICK_HOURS` how long each lasts.

#[path = "../support/check.rs"]
mod check;
mod crash;
mod faults;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod trades;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use candlewick::clock::Clock;
use candlewick::collector::Collector;
use candlewick::market::{Span, Timeframe};
use candlewick::sim::{SimConfig, SimRequest, Simulator, Venue};
use candlewick::store::{self, Access, CandleQuery, CandleSource, NewSymbol, Store};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use check::Checked;
use crash::{Course, Crash, CrashingStore, CrashingTransport};
use support::in_memory::SimTransport;

/// What one schedule showed.
#[derive(Debug, Default)]
struct Outcome {
    faults: usize,
    crashes: usize,
    simulated: TimeDelta,
    checked: Checked,
    trades: u64,
    /// Calls, connects and writes, what the venues counted, restarts, and the rows stored in the end.
    course: Vec<String>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A market that is collected.
#[derive(Clone, Copy)]
struct Market {
    exchange: &'static str,
    symbol: &'static str,
    timeframes: &'static [Timeframe],
    collects_trades: bool,
    source: CandleSource,
}

/// Candles of the venue; a second timeframe makes some of them derived.
const fn candles(exchange: &'static str, symbol: &'static str, timeframes: &'static [Timeframe]) -> Market {
    Market { exchange, symbol, timeframes, collects_trades: false, source: CandleSource::Venue }
}

/// Its trades too.
const fn traded(exchange: &'static str, symbol: &'static str, timeframes: &'static [Timeframe]) -> Market {
    Market { collects_trades: true, ..candles(exchange, symbol, timeframes) }
}

/// Candles of its trades alone.
const fn built(exchange: &'static str, symbol: &'static str, timeframes: &'static [Timeframe]) -> Market {
    Market { source: CandleSource::Trades, ..traded(exchange, symbol, timeframes) }
}

/// What schedules collect: native, derived and trade-built series of every exchange.
const MARKETS: &[Market] = {
    use Timeframe::{H1, M1, M5};
    &[
        candles("kraken", "BTC/USD", &[M1, M5, H1]),
        candles("kraken", "DOGE/USD", &[M1]),
        built("kraken", "ETH/USD", &[M1, M5]),
        candles("binance", "BTC/USDT", &[M1, H1]),
        candles("binance", "ETH/USDT", &[M5]),
        traded("binance", "SOL/USDT", &[M1]),
        candles("yahoo", "AAPL", &[M1]),
        candles("yahoo", "BTC/USD", &[M5, H1]),
        candles("coinbase", "BTC/USD", &[M1, H1]),
        built("coinbase", "ETH/USD", &[M1]),
        candles("binanceusdm", "BTC/USDT:USDT", &[M1, M5]),
        candles("bybit", "BTC/USDT", &[M1]),
        candles("bybit", "BTC/USDT:USDT", &[M1, H1]),
        candles("okx", "BTC/USDT", &[M1]),
        traded("okx", "BTC/USDT:USDT", &[M5]),
        candles("hyperliquid", "BTC/USDC:USDC", &[M1]),
        traded("bitfinex", "BTC/USD", &[M1]),
    ]
};

/// So many of them in each schedule.
const MARKETS_AT_ONCE: usize = 7;

async fn add_markets(store: &dyn Store, markets: &[Market], from: DateTime<Utc>) {
    for market in markets {
        let new = NewSymbol {
            exchange: market.exchange.into(),
            symbol: market.symbol.parse().unwrap(),
            timeframes: market.timeframes.to_vec(),
            backfill_from: from,
            collect_trades: market.collects_trades,
            candle_source: market.source,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
    }
}

/// What every life of the collector has in common.
struct World {
    seed: u64,
    url: String,
    clock: Clock,
    simulator: Simulator,
    course: Arc<Course>,
}

/// One life of the collector: until `end`, or until the crash point is reached.
async fn live(world: &World, crash_point: i64, end: DateTime<Utc>, orderly: bool) -> bool {
    let World { seed, url, clock, simulator, course } = world;
    let crash = Crash::at_point(crash_point, course);
    let local = tokio::task::LocalSet::new();
    let running = async {
        let store = store::open_with_clock(url, Access::Create, clock.clone()).await.unwrap();
        let mut handle = Collector::builder()
            .store(Arc::new(CrashingStore(store, crash.clone())))
            .clock(clock.clone())
            .seed(*seed)
            .transport(Arc::new(CrashingTransport(SimTransport::new(simulator.clone()), crash.clone())))
            .simulator("http://simulator")
            .start()
            .await
            .unwrap();
        let crashed = tokio::select! {
            biased;
            () = crash.happened() => true,
            () = clock.sleep_until(end) => {
                if orderly {
                    handle.stop().await.unwrap();
                }
                !orderly
            }
        };
        course.note(format!("life over, crashed: {crashed}, {:?}", simulator.stats()));
        for status in handle.status() {
            course.note(format!("{}: {} restarts, {:?}", status.component, status.restarts, status.phase));
        }
        crashed
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
    let symbols = Venue::all().into_iter().map(|venue| {
        let own = MARKETS.iter().filter(|market| market.exchange == venue.as_str());
        (venue, own.map(|market| market.symbol.parse().unwrap()).collect())
    });
    let markets: Vec<Market> = MARKETS.sample(&mut dice, MARKETS_AT_ONCE).copied().collect();
    let config = SimConfig {
        symbols: symbols.collect(),
        seed,
        history_days: 8,
        trades_per_minute: dice.random_range(0.3..4.0),
        faults,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, clock.clone());
    let course = Course::new(seed, clock.clone());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("candles.db").display());
    let store = store::open_with_clock(&url, Access::Create, clock.clone()).await.unwrap();
    add_markets(&*store, &markets, epoch - TimeDelta::hours(dice.random_range(1..30))).await;
    let end = epoch + TimeDelta::hours(hours as i64);
    let world = World { seed, url, clock: clock.clone(), simulator: simulator.clone(), course };
    while clock.now() < end {
        let crash_point = dice.random_range(1..1500);
        if live(&world, crash_point, end, dice.random_bool(0.5)).await {
            outcome.crashes += 1;
        }
        check::structure(&*store, &mut outcome.checked).await;
        if dice.random_bool(0.5) {
            clock.sleep(Duration::from_secs(dice.random_range(1..2400))).await;
        }
    }
    // Faults are over: what can be healed heals by itself.
    let healed = clock.now() + TimeDelta::hours(4);
    live(&world, i64::MAX, healed, true).await;
    outcome.simulated = clock.now() - epoch;
    check::structure(&*store, &mut outcome.checked).await;
    check::values(&*store, &|path| get(&simulator, path), healed, &mut outcome.checked).await;
    let violations = &mut outcome.checked.violations;
    outcome.trades = trades::check(&*store, &|path| get(&simulator, path), healed, violations).await;
    outcome.course = world.course.events();
    outcome.course.extend(rows(&*store).await);
    outcome
}

/// Everything stored: candles with when they were written, and the ledger.
async fn rows(store: &dyn Store) -> Vec<String> {
    let mut rows = Vec::new();
    for symbol in store.symbols().await.unwrap() {
        for series in store.series_of(symbol.id).await.unwrap() {
            let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
            let query = CandleQuery { span, limit: None, newest_first: false };
            let candles = store.candles(series.id, query).await.unwrap();
            rows.extend(candles.iter().map(|row| format!("{} {row:?}", series.id.0)));
            rows.extend(
                store.ledger(series.id).await.unwrap().iter().map(|entry| format!("{} {entry:?}", series.id.0)),
            );
        }
    }
    rows
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
    let hours = setting("CANDLEWICK_HOURS", 4);
    if std::env::var("CANDLEWICK_SEED").is_ok() {
        let mut outcome = run_one(setting("CANDLEWICK_SEED", 0), hours);
        let course = std::mem::take(&mut outcome.course);
        println!("{}\n{outcome:#?}", course.join("\n"));
        assert_eq!(outcome.checked.violations, Vec::<String>::new());
        return;
    }
    let totals = soak::run(soak::Length::of_settings(), |seed| run_one(seed, hours));
    println!("{totals}");
    assert!(totals.violations.is_empty(), "\n{}", totals.violations.join("\n"));
    assert!(totals.candles > 0, "nothing was collected at all");
}

#[test]
fn a_seed_repeats_a_schedule_to_the_last_row() {
    let hours = 2;
    let [first, second] = [(); 2].map(|()| run_one(5, hours).course);
    assert!(first.len() > 1000, "only {} events", first.len());
    let differing = first.iter().zip(&second).position(|(one, other)| one != other);
    if let Some(at) = differing {
        let until = at + 3;
        let part = |events: &[String]| events[at.saturating_sub(5)..until.min(events.len())].join("\n");
        panic!("event {at} of {} differs:\n{}\n--- but\n{}", first.len(), part(&first), part(&second));
    }
    assert_eq!(first.len(), second.len());
}
