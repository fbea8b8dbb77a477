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
mod sweep;
mod trades;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use candlewick::market::Span;
use candlewick::sim::{SimRequest, Simulator};
use candlewick::store::{CandleQuery, Store};
use chrono::{DateTime, TimeDelta, Utc};

use check::Checked;
use crash::Course;
use life::{Life, World};
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

async fn run(seed: u64, hours: u64, healing: TimeDelta) -> Outcome {
    let mut plan = Plan::of(seed, hours);
    let mut outcome = Outcome::default();
    for fault in &plan.faults {
        outcome.course.push(format!("{fault:?}"));
        *outcome.scripted.entry(fault.kind.name().to_owned()).or_default() += 1;
    }
    outcome.course.extend(plan.spells.iter().map(|spell| format!("{spell:?}")));
    let (mut world, _folder) = World::of(&mut plan).await;
    let (clock, store) = (world.clock.clone(), world.store.clone());
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
    let healed = clock.now() + healing;
    world.live(Life::undisturbed(healed, &world.course)).await;
    outcome.simulated = clock.now() - plan.epoch;
    judge(&world, healed, healing, &mut outcome).await;
    outcome.struck = world.course.struck();
    let stats = world.simulator.stats();
    outcome.struck.extend(stats.faults.iter().map(|(kind, times)| ((*kind).to_owned(), *times)));
    outcome.course.extend(world.course.events());
    outcome.course.extend(rows(&*store).await);
    outcome
}

/// Everything that must hold in the end.
async fn judge(world: &World, healed: DateTime<Utc>, healing: TimeDelta, outcome: &mut Outcome) {
    let store = &*world.store;
    let ask = |path: &str| get(&world.simulator, path);
    check::structure(store, &mut outcome.checked).await;
    if healing >= HEALING {
        check::values(store, &ask, healed, &mut outcome.checked).await;
        outcome.trades = trades::check(store, &ask, healed, &mut outcome.checked.violations).await;
    }
    markets::check(store, &world.wanted, &mut outcome.checked.violations).await;
    outcome.checked.violations.extend(world.course.violations());
}

fn count_extras(course: &Course, life: &Life) {
    if !life.clock_ahead.is_zero() {
        course.strike("clock of the host is wrong");
    }
    if life.frozen.is_some() {
        course.strike("process frozen");
    }
    course
        .note(format!("a life until {}, its clock ahead by {}, frozen {:?}", life.end, life.clock_ahead, life.frozen));
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

fn in_virtual_time<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

fn run_one(seed: u64, hours: u64) -> Outcome {
    in_virtual_time(run(seed, hours, HEALING))
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
    let [first, second] = [(); 2].map(|()| in_virtual_time(run(5, 2, TimeDelta::minutes(20))).course);
    assert!(first.len() > 1000, "only {} events", first.len());
    let differing = first.iter().zip(&second).position(|(one, other)| one != other);
    if let Some(at) = differing {
        let until = at + 3;
        let part = |events: &[String]| events[at.saturating_sub(5)..until.min(events.len())].join("\n");
        panic!("event {at} of {} differs:\n{}\n--- but\n{}", first.len(), part(&first), part(&second));
    }
    assert_eq!(first.len(), second.len());
}
