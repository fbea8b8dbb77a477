//! `candlewick audit` and `candlewick explain` as the program runs them: alone, beside a daemon, on
//! SQLite and on PostgreSQL, against a simulator.

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/program.rs"]
mod program;

use std::path::Path;
use std::time::{Duration, Instant};

use candlewick::market::{Candle, Span, Timeframe};
use candlewick::store::{self, Access, CandleQuery, SeriesRow, Store, StoredCandle};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::Value;

use postgres::{Server, name};
use program::{PATIENCE, Running, finished, text, wait_for};

/// A simulator on a free port, and its URL.
fn simulator() -> (Running, String) {
    let (running, line) = program::simulator(&["--history-days", "2"]);
    let url = line.split_whitespace().next().unwrap().to_owned();
    (running, url)
}

/// What a run printed and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(arguments: &[&str]) -> Ran {
        let output = finished(arguments);
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The one object or the lines of objects on stdout.
    fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A database with two hours of minutes and hours of a market.
struct Place {
    url: String,
    simulated: String,
    exchange: &'static str,
    symbol: &'static str,
    /// What waits for a server lies in a folder of the test's own.
    config: String,
    _folder: tempfile::TempDir,
    _simulator: Running,
}

impl Place {
    fn new(url: String, exchange: &'static str, symbol: &'static str) -> Place {
        let (simulator, simulated) = simulator();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("candlewick.toml");
        std::fs::write(&config, format!("[spool]\nfolder = {:?}\n", folder.path())).unwrap();
        let config = config.display().to_string();
        let from = (Utc::now() - TimeDelta::hours(4)).to_rfc3339();
        let arguments = ["backfill", exchange, symbol, "-t", "1m,1h", "--from", &from, "--config", &config];
        let ran = Ran::of(&[&arguments[..], &["--database", &url, "--simulator", &simulated]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        Place { url, simulated, exchange, symbol, config, _folder: folder, _simulator: simulator }
    }

    fn audit(&self, options: &[&str]) -> Ran {
        let common = ["audit", self.exchange, self.symbol, "--format", "json", "--database", &self.url];
        Ran::of(&[&common[..], &["--simulator", &self.simulated, "--config", &self.config], options].concat())
    }

    fn explain(&self, time: DateTime<Utc>, options: &[&str]) -> Ran {
        let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let common = ["explain", self.exchange, self.symbol, "-t", "1m", &time, "--database", &self.url];
        Ran::of(&[&common[..], options].concat())
    }

    async fn store(&self) -> std::sync::Arc<dyn Store> {
        store::open(&self.url, Access::ReadOnly).await.unwrap()
    }

    async fn minutes(&self) -> (SeriesRow, Vec<StoredCandle>) {
        let store = self.store().await;
        let symbol = store.symbols().await.unwrap().remove(0);
        let series = store.series_of(symbol.id).await.unwrap();
        let series = series.into_iter().find(|series| series.timeframe == Timeframe::M1).unwrap();
        let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let query = CandleQuery { span, limit: None, newest_first: false };
        (series.clone(), store.candles(series.id, query).await.unwrap())
    }
}

/// Runs a statement on a SQLite file, as somebody with another tool would.
fn sqlite(url: &str, statement: &str) {
    let mut connection = SqliteConnection::establish(url.trim_start_matches("sqlite://")).unwrap();
    connection.batch_execute(statement).unwrap();
}

fn url_in(folder: &Path) -> String {
    program::url(folder)
}

fn bars(rows: &[StoredCandle], count: usize) -> Vec<Candle> {
    rows.iter().take(count).map(|row| row.candle).collect()
}

#[tokio::test]
async fn what_was_falsified_is_found_then_repaired_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(url_in(folder.path()), "binance", "BTC/USDT");
    let (series, rows) = place.minutes().await;
    let clean = place.audit(&[]);
    assert_eq!(clean.code, Some(0), "{clean:?}");
    let words = "no collector is running: the exchanges are asked from here, and the database is ours meanwhile";
    assert!(clean.stderr.starts_with(words), "{clean:?}");
    let lines = clean.json();
    assert_eq!(lines.iter().map(|line| line["timeframe"].as_str().unwrap()).collect::<Vec<_>>(), ["1m", "1h"]);
    assert!(
        lines.iter().all(|line| line["equal"] == line["checked"] && line["checked"].as_u64() > Some(1)),
        "{clean:?}"
    );

    let (changed, deleted) = (rows[50].candle, rows[60].candle);
    let key = |open: DateTime<Utc>| format!("series_id = {} AND open_time = {}", series.id.0, open.timestamp_micros());
    sqlite(&place.url, &format!("UPDATE candles SET close = 1.5 WHERE {}", key(changed.open_time)));
    sqlite(&place.url, &format!("DELETE FROM candles WHERE {}", key(deleted.open_time)));
    let lost = place.explain(deleted.open_time, &[]);
    assert_eq!((lost.code, lost.stderr.as_str()), (Some(0), ""));
    assert!(
        lost.stdout.contains("  state      lost: the ledger claims a candle that is not there\n"),
        "{}",
        lost.stdout
    );
    assert!(lost.stdout.contains("next       nothing; candlewick audit binance BTC/USDT --repair fetches it again"));

    let found = place.audit(&["-t", "1m"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let open = |candle: &Candle| candle.open_time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let told = format!("binance BTC/USDT 1m {}: close 1.5 instead of {}\n", open(&changed), changed.close);
    assert!(found.stderr.contains(&told), "{told} is not in {}", found.stderr);
    assert!(found.stderr.contains(&format!("{}: not stored\n", open(&deleted))), "{}", found.stderr);
    assert!(found.stderr.ends_with("error: 2 buckets wrong; put them right with --repair\n"), "{}", found.stderr);
    let line = &found.json()[0];
    assert_eq!((&line["revised"], &line["missing"], &line["repaired"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!(line["findings"][0]["stored"]["close"], 1.5);
    let (_, now) = place.minutes().await;
    assert_eq!(now.len(), rows.len() - 1, "looking changes nothing");

    let repaired = place.audit(&["--repair"]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.stderr.contains("; corrected, the old value is kept\n"), "{}", repaired.stderr);
    assert!(repaired.stderr.contains(": not stored; fetched again\n"), "{}", repaired.stderr);
    let (_, now) = place.minutes().await;
    assert_eq!(bars(&now, rows.len()), bars(&rows, rows.len()));
    assert_eq!(place.audit(&[]).code, Some(0));

    let inside = place.explain(changed.open_time + TimeDelta::seconds(20), &["--format", "json"]);
    let words = format!("lies inside the candle of 1m that opens at {}\n", open(&changed));
    assert!(inside.stderr.ends_with(&words), "{}", inside.stderr);
    let story = &inside.json()[0];
    assert_eq!((&story["state"], &story["open_time"]), (&"final".into(), &open(&changed).into()));
    assert_eq!((&story["candle"]["close"], &story["candle"]["source"]), (&changed.close.into(), &"rest".into()));
    assert_eq!((&story["revisions"][0]["close"], &story["candle"]["revision"]), (&1.5.into(), &1.into()));
    assert!(story["revisions"][0]["replaced_at"].is_string() && story["ledger"]["state"] == "complete", "{story}");
    let told = place.explain(changed.open_time, &[]).stdout;
    assert!(told.contains("  was        open ") && told.contains(" close 1.5 "), "{told}");

    let proof = finished(&["gaps", "--verify", "--database", &place.url]);
    assert_eq!(proof.status.code(), Some(0), "{}", text(&proof.stderr));
}

#[tokio::test]
async fn a_daemon_on_postgresql_is_handed_the_job() {
    let server = Server::shared();
    let url = server.database();
    let place = Place::new(url.clone(), "kraken", "BTC/USD");
    let places = ["--config", &place.config, "--database", &url, "--simulator", &place.simulated];
    let mut daemon = Running::start(&[&["run"][..], &places].concat());
    daemon.wait_for_words("collecting");
    let (series, rows) = place.minutes().await;
    let changed = rows[50].candle;
    let time = changed.open_time.to_rfc3339();
    let key = format!("series_id = {} AND open_time = '{time}'", series.id.0);
    server.sql(name(&url), &format!("UPDATE candles SET low = low - 100 WHERE {key}"));
    server.sql(
        name(&url),
        &format!(
            "DELETE FROM candles WHERE series_id = {} AND open_time = '{}'",
            series.id.0,
            rows[70].candle.open_time.to_rfc3339()
        ),
    );
    let found = place.audit(&["-t", "1m"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stderr.starts_with("a collector is running on this database (pid "), "{}", found.stderr);
    assert!(found.stderr.contains(": it is asked to do it\n"), "{}", found.stderr);
    let line = &found.json()[0];
    assert_eq!((&line["revised"], &line["missing"], &line["repaired"]), (&1.into(), &1.into(), &0.into()), "{found:?}");
    let repaired = place.audit(&["-t", "1m", "--repair"]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let (_, now) = place.minutes().await;
    assert_eq!(bars(&now, 100), bars(&rows, 100));
    let kept = server.sql(
        name(&url),
        "SELECT asked_by, split_part(outcome, ':', 1) FROM commands WHERE kind = 'audit' ORDER BY asked_at",
    );
    assert_eq!(kept.lines().collect::<Vec<_>>(), ["cli|done (nothing to change)", "cli|done"]);
    let story = &place.explain(changed.open_time, &["--format", "json"]).json()[0];
    assert_eq!(story["revisions"][0]["low"].as_f64(), Some(changed.low - 100.0));
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn what_cannot_be_audited_says_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let run = |arguments: &[&str]| Ran::of(&[arguments, &["--database", &url]].concat());
    let none = run(&["audit"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""), "{none:?}");
    assert!(none.stderr.contains("cannot open"), "{none:?}");
    assert_eq!(run(&["migrate"]).code, Some(0));
    let nothing = run(&["audit"]);
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(
        nothing
            .stderr
            .ends_with("error: no candles are wanted there; add some with: candlewick symbols add EXCHANGE SYMBOL\n")
    );
    assert_eq!(run(&["symbols", "add", "kraken", "BTC/USD"]).code, Some(0));
    let cases: [(&[&str], &str); 6] = [
        (&["audit", "krakn"], "did you mean kraken"),
        (&["audit", "kraken", "ETH/USD"], "kraken \"ETH/USD\" is not kept here; did you mean BTC/USD?"),
        (&["audit", "kraken", "BTC/USD", "-t", "5m"], "no series of 5m is kept there; there are: 1m"),
        (&["audit", "kraken", "BTC/USD", "-t", "7m"], "unknown timeframe \"7m\""),
        (&["audit", "--from", "2026-01-02", "--to", "2026-01-01"], "does not lie after from"),
        (&["audit", "--from", "soon"], "\"soon\" is no time"),
    ];
    for (arguments, words) in cases {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(words), "{words:?} is not in {ran:?}");
    }
}

#[tokio::test]
async fn an_audit_is_stopped_by_a_signal_and_its_end_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(url_in(folder.path()), "kraken", "BTC/USD");
    // Nobody listens there, so that it never gets anywhere.
    sqlite(&place.url, "UPDATE exchanges SET rest_url = 'http://127.0.0.1:9'");
    let mut audit = Running::start(&["audit", "kraken", "--database", &place.url]);
    let store = place.store().await;
    let deadline = Instant::now() + PATIENCE;
    let begun = loop {
        if let Some(row) = store.open_commands().await.unwrap().pop() {
            break row;
        }
        assert!(Instant::now() < deadline, "no audit begins: {}", audit.words.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(begun.outcome.starts_with("begun: "), "{begun:?}");
    audit.signal("INT");
    assert_eq!(audit.exit_code(), Some(1));
    wait_for("its last words", || audit.words.lock().unwrap().contains("error: stopped by SIGINT").then_some(()));
    let over = store.command(&begun.id).await.unwrap().unwrap();
    assert_eq!(over.outcome, "refused: stopping: stopped by SIGINT");
}
