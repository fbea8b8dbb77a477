//! Real processes and sockets: a simulator full of faults, and a daemon that is killed in the midst
//! of them. What is stored afterwards is what the exchanges had.
//!
//! The seed is printed; `CANDLEWICK_SEED=17 cargo test --test kill` reproduces the schedule of kills
//! and faults, not the interleaving. `CANDLEWICK_KILLS` sets how often the daemon is killed, and the
//! faults last as long as the kills.

#[path = "../support/check.rs"]
mod check;
mod mirror;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/redis.rs"]
mod redis_server;
mod replay;
#[path = "../support/simulated.rs"]
mod simulated;

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use candlewick::market::Timeframe;
use candlewick::market::ledger::{BEFORE_LISTING, HOLE_AT_THE_VENUE, NOT_SERVED};
use candlewick::store::{self, Access, Coverage, Store};
use chrono::{DateTime, TimeDelta, Utc};
use program::{Running, finished, text, url};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_server::RedisServer;
use serde::Deserialize;
use serde_json::Value;
use simulated::Simulated;

use check::Checked;

/// Simulated seconds in a second.
const SPEED: u64 = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What goes wrong in each stretch of `MINUTES`: minute of its begin, how long, what.
const FAULTS: &[(u64, &str, &str)] = &[
    (0, "6m", r#"kind = "page_cap", rows = 150, exchange = "binance""#),
    (0, "8m", r#"kind = "duplicate", probability = 0.3"#),
    (0, "8m", r#"kind = "late_bar", delay = "50s", probability = 0.2"#),
    (0, "8m", r#"kind = "late_revision", lasting = "20s", probability = 0.2"#),
    (0, "8m", r#"kind = "lifetime", lifetime = "4m", exchange = "binance""#),
    (1, "3m", r#"kind = "http_429", retry_after = "20s", exchange = "kraken", probability = 0.5"#),
    (1, "2m", r#"kind = "http_5xx", status = 503, exchange = "yahoo", probability = 0.5"#),
    (1, "4m", r#"kind = "stall", exchange = "kraken", symbol = "ETH/USD""#),
    (1, "3m", r#"kind = "half_open", exchange = "binance", symbol = "ETH/USDT""#),
    (2, "4m", r#"kind = "out_of_order", probability = 0.3"#),
    (2, "5m", r#"kind = "drop", every = "70s", exchange = "kraken""#),
    (2, "2m", r#"kind = "http_429", exchange = "yahoo", probability = 0.5"#),
    (3, "3m", r#"kind = "truncate", probability = 0.2"#),
    (3, "3m", r#"kind = "html", probability = 0.2"#),
    (4, "3m", r#"kind = "rubbish", probability = 0.2"#),
    (4, "3m", r#"kind = "empty_page", probability = 0.3"#),
    (5, "2m", r#"kind = "ignore_since", probability = 0.5"#),
    (5, "1m", r#"kind = "refuse", exchange = "binance""#),
    (6, "1m", r#"kind = "half_open", exchange = "kraken""#),
    (6, "2m", r#"kind = "slow", delay = "10s", probability = 0.3"#),
    (7, "1m", r#"kind = "maintenance", exchange = "kraken""#),
    (7, "1m", r#"kind = "stall", exchange = "binance""#),
];

/// Simulated minutes after which the faults begin anew; about as long as a life and a pause.
const MINUTES: u64 = 9;

/// A script of so many rounds of faults, each fault a little earlier or later.
fn script(dice: &mut StdRng, rounds: u64) -> String {
    let mut script = String::new();
    for round in 0..rounds {
        for (begin, lasting, what) in FAULTS {
            let after = (round * MINUTES + begin) * 60 + dice.random_range(0..60);
            let fields = what.replace(", ", "\n");
            writeln!(script, "[[fault]]\nafter = \"{after}s\"\nfor = \"{lasting}\"\n{fields}").unwrap();
        }
    }
    script
}

/// A stretch of a series, as `candlewick gaps --format json` prints it.
#[derive(Debug, Deserialize)]
struct Stretch {
    exchange: String,
    symbol: String,
    timeframe: String,
    state: String,
    reason: Option<String>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Whether the exchange has candles in a stretch, as far as it lies before `until`.
fn has(simulated: &Simulated, stretch: &Stretch, until: DateTime<Utc>) -> bool {
    let (from, to) = (stretch.from.timestamp_millis(), stretch.to.min(until).timestamp_millis());
    let Stretch { exchange, timeframe, .. } = stretch;
    let symbol = stretch.symbol.replace('/', "%2F");
    let path = format!("/truth/candles?exchange={exchange}&symbol={symbol}&timeframe={timeframe}&from={from}&to={to}");
    from < to && simulated.json(&path) != Value::Array(vec![])
}

/// What is missing, was not looked at yet, or was given up and is asked for again after an hour.
fn lacking(database: &str) -> Vec<Stretch> {
    let printed = finished(&["gaps", "--format", "json", "--database", database]);
    assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
    let lines = text(&printed.stdout);
    let stretches = lines.lines().map(|line| serde_json::from_str::<Stretch>(line).unwrap());
    let is_asked_again = |reason: &str| [NOT_SERVED, BEFORE_LISTING, HOLE_AT_THE_VENUE].contains(&reason);
    stretches
        .filter(|stretch| stretch.state != "unavailable" || stretch.reason.as_deref().is_some_and(is_asked_again))
        .collect()
}

/// The ledger agrees with the rows.
#[track_caller]
fn verify(database: &str) {
    let proof = finished(&["gaps", "--verify", "--format", "json", "--database", database]);
    assert_eq!(proof.status.code(), Some(0), "{}{}", text(&proof.stdout), text(&proof.stderr));
}

/// Minutes that no REST read has confirmed yet.
async fn unverified(store: &dyn Store) -> Vec<Stretch> {
    let mut found = Vec::new();
    for symbol in store.symbols().await.unwrap() {
        // Longer bars are derived, or gathered for an hour before they are confirmed.
        let series = store.series_of(symbol.id).await.unwrap();
        for series in series.iter().filter(|series| series.timeframe == Timeframe::M1) {
            let ledger = store.ledger(series.id).await.unwrap();
            let doubtful = ledger.iter().filter(|entry| entry.coverage == Coverage::Complete { verified: false });
            found.extend(doubtful.map(|entry| Stretch {
                exchange: symbol.exchange.clone(),
                symbol: symbol.symbol.to_string(),
                timeframe: series.timeframe.to_string(),
                state: "unverified".to_owned(),
                reason: None,
                from: entry.span.from,
                to: entry.span.to,
            }));
        }
    }
    found
}

/// Waits until everything before `until` that the exchanges have is held and confirmed; an hour of theirs
/// is a minute of ours.
async fn heal(simulated: &Simulated, database: &str, store: &dyn Store, until: DateTime<Utc>) {
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let mut open = lacking(database);
        open.extend(unverified(store).await);
        open.retain(|stretch| has(simulated, stretch, until));
        if open.is_empty() && simulated.now() > until {
            return;
        }
        assert!(Instant::now() < deadline, "not healed: {open:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_daemon_killed_in_the_midst_of_faults_holds_every_candle_of_the_exchanges_when_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = ordeal(&url(folder.path()), None, setting("CANDLEWICK_KILLS").unwrap_or(5), |_| {}).await;
    // A short fault may fall into a pause, or into a life that waits out another one.
    assert!(kinds > 12, "only {kinds} kinds of faults struck");
}

#[tokio::test]
async fn a_daemon_on_postgresql_survives_its_own_deaths_and_its_servers() {
    let mut server = postgres::Server::start(&[]);
    let mut redis = RedisServer::start_durable();
    let (database, mirror) = (server.database(), redis.url());
    // In turn the database ends its sessions, it dies, and Redis is killed.
    let trouble = |round: u64| {
        match round % 3 {
            0 => server.stop(),
            1 => server.crash(),
            _ => redis.kill(),
        }
        thread::sleep(Duration::from_secs(2));
        if round % 3 < 2 { server.resume() } else { redis.restart() }
    };
    let kills = setting("CANDLEWICK_KILLS").unwrap_or(5).div_ceil(2);
    let kinds = ordeal(&database, Some(&mirror), kills, trouble).await;
    assert!(kinds > 6, "only {kinds} kinds of faults struck");
}

/// Kills a daemon in the midst of faults, has `trouble` made in the midst of each of its lives, and
/// compares what is stored in the end, and mirrored in Redis, with what the exchanges had. Gives the
/// kinds of faults that struck.
async fn ordeal(database: &str, mirror: Option<&str>, kills: u64, mut trouble: impl FnMut(u64)) -> usize {
    let began = Instant::now();
    let seed = setting("CANDLEWICK_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("CANDLEWICK_SEED={seed} CANDLEWICK_KILLS={kills} {}", database.split(':').next().unwrap());
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| write(folder.path(), name, text);
    let faults = write("faults.toml", &script(&mut dice, kills));
    // Waits for the network are not scaled, and a minute of them is an hour of the exchanges.
    let patience = "connect_timeout = \"2s\"\nread_timeout = \"2s\"\ntotal_timeout = \"4s\"\n";
    let config = write("candlewick.toml", &format!("[transport]\n{patience}[spool]\nfolder = {:?}\n", folder.path()));
    let exchanges = ["--exchanges", "kraken,binance,yahoo", "--symbols", "20"];
    let chance = ["--seed", &seed.to_string(), "--faults", &faults];
    let simulated = Simulated::start(SPEED, &[exchanges, chance].concat());
    let start = simulated.now();

    let markets = simulated.markets();
    assert_eq!(markets.len(), 60);
    let mut wishes = "exchange,symbol,timeframes,backfill_days\n".to_owned();
    for (index, (exchange, symbol)) in markets.iter().enumerate() {
        let timeframes = if index % 5 == 0 { "\"1m,5m\"" } else { "1m" };
        writeln!(wishes, "{exchange},{symbol},{timeframes},1").unwrap();
    }
    let wishes = write("symbols.csv", &wishes);
    let imported = finished(&["symbols", "import", &wishes, "--database", database]);
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported.stderr));

    let mut arguments = vec!["run", "--config", &config, "--database", database, "--simulator", &simulated.url];
    arguments.extend(mirror.iter().flat_map(|url| ["--redis", *url]));
    let run = || Running::start(&arguments);
    for round in 0..kills {
        let mut daemon = run();
        let life = Duration::from_millis(dice.random_range(500..14_000));
        thread::sleep(life / 2);
        trouble(round);
        thread::sleep(life / 2);
        assert_eq!(daemon.child.try_wait().unwrap(), None, "it died by itself: {}", daemon.words.lock().unwrap());
        daemon.signal("KILL");
        assert_eq!(daemon.exit_code(), None);
        verify(database);
        thread::sleep(Duration::from_millis(dice.random_range(0..2_000)));
    }
    let mut daemon = run();
    let store = store::open(database, Access::ReadOnly).await.unwrap();
    let faulty = TimeDelta::minutes(((kills + 1) * MINUTES) as i64);
    let until = simulated.now().max(start + faulty);
    heal(&simulated, database, &*store, until).await;
    let healed = simulated.now();
    if let Some(url) = mirror {
        mirror::mirrored(url, &*store, until).await;
        mirror::numbered(url, &*store).await;
    }
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.words.lock().unwrap());
    verify(database);

    let mut checked = Checked::default();
    check::structure(&*store, &mut checked).await;
    check::values(&*store, &|path| simulated.get(path), until, &mut checked).await;
    println!(
        "{kills} kills, {} candles checked, healed {} simulated minutes after the faults, unavailable: {:?}, faults: {}, {:.0?} of real time",
        checked.candles,
        (healed - until).num_minutes(),
        checked.unavailable,
        simulated.json("/stats")["faults"],
        began.elapsed()
    );
    assert!(checked.violations.is_empty(), "{:#?}\n{}", checked.violations, daemon.words.lock().unwrap());
    // A day of 60 markets, less the sessions that were closed and what Kraken no longer serves.
    assert!(checked.candles > 40_000, "only {} candles", checked.candles);
    let struck = simulated.json("/stats")["faults"].as_object().unwrap().clone();
    struck.values().filter(|times| **times != 0).count()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
