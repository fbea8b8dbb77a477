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
mod life;
mod markets;
mod plan;
mod soak;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod trades;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use candlewick::clock::Clock;
use candlewick::collector::exchange_row;
use candlewick::market::Span;
use candlewick::sim::{SimConfig, SimRequest, Simulator, Venue};
use candlewick::store::{Access, CandleQuery, ExchangeRow, Store};
use chrono::{DateTime, TimeDelta, Utc};

use check::Checked;
use crash::{Course, Crash};
use life::{Life, World};
use markets::{MARKETS, Market, Wish};
use plan::Plan;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What one schedule showed.
#[derive(Debug, Default)]
struct Outcome {
    /// Everything that went wrong, by kind, and how often: as scripted, and as it struck.
    scripted: BTreeMap<String, u64>,
    struck: BTreeMap<String, u64>,
    lives: u64,
    crashes: u64,
    simulated: TimeDelta,
    checked: Checked,
    trades: u64,
    /// Calls, connects and writes, what the venues counted, restarts, and the rows stored in the end.
    course: Vec<String>,
}

/// How long everything is given to heal once nothing goes wrong any more: longer than any quarantine,
/// and than the hour after which what a venue did not show is asked for again.
const HEALING: TimeDelta = TimeDelta::hours(4);

async fn run(seed: u64, hours: u64) -> Outcome {
    let mut plan = Plan::of(seed, hours);
    let clock = Clock::scaled(plan.epoch, 1.0);
    let mut outcome = Outcome::default();
    for fault in &plan.faults {
        outcome.course.push(format!("{fault:?}"));
        *outcome.scripted.entry(fault.kind.name().to_owned()).or_default() += 1;
    }
    let symbols = Venue::all().into_iter().map(|venue| {
        let own = MARKETS.iter().filter(|market| market.exchange == venue.as_str());
        (venue, own.map(Market::name).collect())
    });
    let config = SimConfig {
        symbols: symbols.collect(),
        seed,
        history_days: 8,
        trades_per_minute: plan.trades_per_minute,
        faults: plan.faults.clone(),
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, clock.clone());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("candles.db").display());
    let store = candlewick::store::open_with_clock(&url, Access::Create, clock.clone()).await.unwrap();
    let mut world = World {
        seed,
        url,
        clock: clock.clone(),
        simulator: simulator.clone(),
        store: store.clone(),
        course: Course::new(seed, clock.clone()),
        spells: plan.spells.clone(),
        changes: std::mem::take(&mut plan.changes),
        wanted: BTreeMap::new(),
    };
    for exchange in MARKETS.iter().map(|market| market.exchange) {
        // One of them has been closed and is off unless it is switched on.
        let row = exchange_row(&*store, exchange).await.unwrap();
        store.put_exchange(&ExchangeRow { enabled: true, ..row }).await.unwrap();
    }
    for market in &plan.markets {
        let wish = Wish::Want(market.wanted_from(plan.wanted_from));
        wish.write(&*store);
        markets::account(&mut world.wanted, &wish);
    }
    while clock.now() < plan.end {
        let (life, pause) = plan.next_life(clock.now(), &world.course);
        count_extras(&world.course, &life);
        world.catch_up();
        outcome.lives += 1;
        outcome.crashes += u64::from(world.live(life).await);
        check::structure(&*store, &mut outcome.checked).await;
        if let Some(pause) = pause {
            clock.sleep(pause).await;
        }
    }
    world.catch_up();
    // Faults are over: what can be healed heals by itself.
    let healed = clock.now() + HEALING;
    let crash = Crash::never(&world.course);
    let last = Life { crash, end: healed, is_orderly: true, clock_ahead: TimeDelta::zero(), frozen: None };
    world.live(last).await;
    outcome.simulated = clock.now() - plan.epoch;
    let ask = |path: &str| get(&simulator, path);
    check::structure(&*store, &mut outcome.checked).await;
    check::values(&*store, &ask, healed, &mut outcome.checked).await;
    let violations = &mut outcome.checked.violations;
    outcome.trades = trades::check(&*store, &ask, healed, violations).await;
    markets::check(&*store, &world.wanted, violations).await;
    violations.extend(world.course.violations());
    outcome.struck = world.course.struck();
    outcome.struck.extend(simulator.stats().faults.iter().map(|(kind, times)| ((*kind).to_owned(), *times)));
    outcome.course.extend(plan.spells.iter().map(|spell| format!("{spell:?}")));
    outcome.course.extend(world.course.events());
    outcome.course.extend(rows(&*store).await);
    outcome
}

fn count_extras(course: &Course, life: &Life) {
    if !life.clock_ahead.is_zero() {
        course.strike("clock of the host is wrong");
    }
    if life.frozen.is_some() {
        course.strike("process frozen");
    }
    course.note(format!(
        "a life until {}, its clock ahead by {}, frozen {:?}",
        life.end, life.clock_ahead, life.frozen
    ));
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
    println!("{totals}\n{}", totals.details());
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
