//! The SQLite store: the common suite, and what only a file on a disk can show.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use candlewick::market::{Candle, FinalCandle, Grid, Rule, Source, Span, Timeframe};
use candlewick::store::inventory::{Absence, verify};
use candlewick::store::{
    self, Access, CandleQuery, CandleSource, Coverage, LedgerChange, NewSymbol, SeriesChange, SeriesRow, Store,
    StoreError, SymbolState, WriteBatch, conformance,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use tempfile::TempDir;

#[tokio::test]
async fn a_database_in_memory_keeps_every_promise() {
    conformance::run_all(async || store::open("sqlite://:memory:", Access::Create).await.unwrap()).await;
}

#[tokio::test]
async fn a_database_in_a_file_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    let make = async || -> Arc<dyn Store> {
        count.set(count.get() + 1);
        open(&folder.path().join(format!("{}.db", count.get()))).await
    };
    conformance::run_all(make).await;
}

#[tokio::test]
async fn a_table_of_a_file_that_fails_takes_its_transaction_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("candles.db");
    let store = open(&path).await;
    let fails = async |table: &str, fails: bool| {
        let mut sql = "DROP TRIGGER IF EXISTS new_rows; DROP TRIGGER IF EXISTS changed_rows;".to_owned();
        for (name, change) in [("new_rows", "INSERT"), ("changed_rows", "UPDATE")].iter().filter(|_| fails) {
            sql += &format!(
                "CREATE TRIGGER {name} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, 'told to fail'); END;"
            );
        }
        plain(&path).batch_execute(&sql).unwrap();
    };
    conformance::run_with_faults(store, fails).await;
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

async fn open(path: &Path) -> Arc<dyn Store> {
    store::open(&url(path), Access::Create).await.unwrap()
}

async fn refusal(url: &str, access: Access) -> StoreError {
    store::open(url, access).await.unwrap_err()
}

/// A connection as any other program would make it.
fn plain(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(&path.display().to_string()).unwrap()
}

fn minute(n: i64) -> DateTime<Utc> {
    "2026-11-20T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

async fn minutes_of_bitcoin(store: &dyn Store) -> SeriesRow {
    let wanted = NewSymbol {
        exchange: "kraken".to_owned(),
        symbol: "BTC/USD".parse().unwrap(),
        timeframes: vec![Timeframe::M1],
        backfill_from: minute(0),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    };
    store.add_symbol(&wanted).await.unwrap();
    let symbol = store.symbols().await.unwrap()[0].id;
    store.open_series(symbol, Timeframe::M1).await.unwrap()
}

/// One minute after another, each complete once its candle is there.
fn next_minute(series: &SeriesRow, n: i64) -> WriteBatch {
    let candle = Candle { volume: n as f64, ..Candle::flat(minute(n), 100.0) };
    let bucket = Span::new(minute(n), minute(n + 1));
    let change = SeriesChange {
        candles: vec![FinalCandle { candle, source: Source::Rest, rule: Rule::Rest, observed_at: minute(n + 2) }],
        ledger: vec![LedgerChange::Set(bucket, Coverage::Complete { verified: n % 7 != 0 })],
        extent: Some((Span::new(minute(0), minute(n + 2)), "not_fetched")),
        ..SeriesChange::new(series.id)
    };
    WriteBatch { series: vec![change], ..WriteBatch::default() }
}

#[tokio::test]
async fn urls_that_name_no_sqlite_file_are_refused_with_advice() {
    let words = async |url: &str| refusal(url, Access::Create).await.to_string();
    let advice = "write sqlite://PATH (sqlite://candlewick.db) or postgres://USER@HOST/DATABASE";
    assert_eq!(
        words("mysql://me:secret@host/x").await,
        format!("bad database URL \"mysql://host/x\": unknown scheme; {advice}")
    );
    assert_eq!(words("candles").await, format!("bad database URL \"candles\": no SQLite URL; {advice}"));
}

#[tokio::test]
async fn only_create_creates_and_a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("candles.db");
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = refusal(&url(&path), access).await;
        assert_eq!(
            error.to_string(),
            format!(
                "cannot open {}: there is no such file; `candlewick run`, `demo` and `symbols add` create it",
                url(&path)
            )
        );
        assert!(!path.exists());
    }
    drop(open(&path).await);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        assert_eq!(store::open(&url(&path), access).await.unwrap().symbols().await.unwrap(), []);
    }
    let nowhere = folder.path().join("no/such/folder.db");
    let error = refusal(&url(&nowhere), Access::Create).await;
    assert!(matches!(&error, StoreError::Unavailable { url: named, .. } if *named == url(&nowhere)), "{error:?}");
}

#[tokio::test]
async fn files_that_are_no_database_of_ours_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "time,open,high,low,close,volume\n".repeat(100)).unwrap();
    let error = refusal(&url(&garbage), Access::Create).await;
    assert!(matches!(&error, StoreError::Corrupt(words) if words == "file is not a database"), "{error:?}");

    let foreign = folder.path().join("foreign.db");
    plain(&foreign).batch_execute("CREATE TABLE recipes (id INTEGER)").unwrap();
    let error = refusal(&url(&foreign), Access::Create).await;
    assert_eq!(
        error.to_string(),
        "the database is damaged or not a database: it holds tables of another program (recipes)"
    );
}

/// The versions of the schema's steps, oldest first.
fn schema_versions() -> Vec<String> {
    let steps = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap();
    let names = steps.map(|step| step.unwrap().file_name().into_string().unwrap());
    let mut versions: Vec<String> = names.map(|name| name.split('_').next().unwrap().replace('-', "")).collect();
    versions.sort();
    versions
}

#[tokio::test]
async fn a_schema_that_is_newer_or_older_is_told() {
    let versions = schema_versions();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.db");
    plain(&empty).batch_execute("PRAGMA user_version = 1").unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = refusal(&url(&empty), access).await;
        assert!(matches!(error, StoreError::OlderSchema { pending } if pending == versions.len()), "{error:?}");
    }

    let path = folder.path().join("candles.db");
    drop(open(&path).await);
    plain(&path).batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')").unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite, Access::Create] {
        let error = refusal(&url(&path), access).await;
        assert_eq!(
            error.to_string(),
            format!(
                "the database has schema version 99991231235959, this program knows up to {}; use a newer candlewick",
                versions[versions.len() - 1]
            )
        );
    }
}

#[tokio::test]
async fn the_lock_is_one_for_all_spellings_of_a_path_and_tells_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("candles.db");
    let first = open(&path).await;
    let second = open(&folder.path().join(".").join("candles.db")).await;
    let lock = first.lock_collector("candlewick run").await.unwrap();
    let Err(StoreError::Held { holder }) = second.lock_collector("candlewick demo").await else {
        panic!("locked twice")
    };
    assert!(holder.starts_with(&format!("pid {}, since 2", std::process::id())), "{holder}");
    assert!(holder.ends_with(": candlewick run"), "{holder}");
    drop(lock);
    let _lock = second.lock_collector("candlewick demo").await.unwrap();
    let text = std::fs::read_to_string(folder.path().join("candles.db.lock")).unwrap();
    assert!(text.ends_with(": candlewick demo\n"), "{text}");
}

#[tokio::test]
async fn plain_sql_moves_the_settings_version_and_wrong_words_are_refused_where_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("candles.db");
    let store = open(&path).await;
    let mut sql = plain(&path);
    let mut last = store.settings_version().await.unwrap();
    let steps = [
        ("INSERT INTO exchanges (name) VALUES ('kraken')", 1),
        ("INSERT INTO symbols (exchange_id, symbol, timeframes, backfill_from) VALUES (1, 'BTC/USD', '1m, 1h', 0)", 1),
        ("UPDATE symbols SET timeframes = '1m,1h,1d'", 1),
        ("UPDATE symbols SET timeframes = '1m,1h,1d'", 0),
        ("UPDATE symbols SET state = 'paused'", 1),
        ("UPDATE symbols SET state = 'active'", 1),
        ("UPDATE symbols SET state = 'rejected', state_reason = 'Unknown asset pair'", 0),
        ("UPDATE symbols SET anchors = '{}'", 0),
        ("UPDATE symbols SET anchors = NULL, state = 'active'", 1),
        ("UPDATE exchanges SET blocked_until = 1763640000000000", 0),
        ("UPDATE exchanges SET enabled = 0", 1),
        ("INSERT INTO symbols (exchange_id, symbol, backfill_from) VALUES (1, 'ETH/USD', 0), (1, 'SOL/USD', 0)", 2),
        ("DELETE FROM symbols WHERE symbol = 'SOL/USD'", 1),
        ("DELETE FROM symbols", 2),
        ("DELETE FROM exchanges", 1),
    ];
    for (statement, moves) in steps {
        sql.batch_execute(statement).unwrap();
        let version = store.settings_version().await.unwrap();
        assert_eq!(version - last, moves, "{statement}");
        last = version;
    }

    sql.batch_execute("INSERT INTO exchanges (id, name) VALUES (1, 'kraken')").unwrap();
    sql.batch_execute(
        "INSERT INTO symbols (exchange_id, symbol, timeframes, backfill_from) VALUES (1, 'BTC/USD', '1h 1m', 60000000)",
    )
    .unwrap();
    let row = store.symbols().await.unwrap().remove(0);
    assert_eq!(row.timeframes, [Timeframe::M1, Timeframe::H1]);
    assert_eq!((row.backfill_from, row.state), (DateTime::UNIX_EPOCH + TimeDelta::minutes(1), SymbolState::Active));

    let mistakes = [
        "INSERT INTO exchanges (name) VALUES ('Kraken')",
        "UPDATE exchanges SET mode = 'fast'",
        "UPDATE symbols SET state = 'stopped'",
        "UPDATE symbols SET candle_source = 'exchange'",
        "INSERT INTO settings (id, version) VALUES (2, 1)",
    ];
    for statement in mistakes {
        let error = sql.batch_execute(statement).unwrap_err().to_string();
        assert!(error.starts_with("CHECK constraint failed"), "{statement}: {error}");
    }
    sql.batch_execute("UPDATE symbols SET timeframes = '7m'").unwrap();
    assert_eq!(
        store.symbols().await.unwrap_err().to_string(),
        "unreadable row in symbols: kraken BTC/USD: unknown timeframe \"7m\"; valid: 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h \
         8h 12h 1d 3d 1w 1M (1m is a minute, 1M a month)"
    );
}

#[tokio::test]
async fn the_view_prints_iso_timestamps() {
    #[derive(QueryableByName, Debug, PartialEq)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text)]
        line: String,
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("candles.db");
    let store = open(&path).await;
    let series = minutes_of_bitcoin(&*store).await;
    store.write(&next_minute(&series, 5)).await.unwrap();
    let query = "SELECT concat_ws(' ', exchange, symbol, timeframe, timestamp, open, high, low, close, volume) AS line
                 FROM ohlcv_data";
    let lines: Vec<Line> = diesel::sql_query(query).load(&mut plain(&path)).unwrap();
    assert_eq!(lines, [Line { line: "kraken BTC/USD 1m 2026-11-20T00:05:00Z 100.0 100.0 100.0 100.0 5.0".to_owned() }]);
}

/// A copy of the files as a killed process leaves them, the log cut off at `log_bytes`.
fn crash_image(from: &TempDir, log_bytes: Option<usize>) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    let (db, log) = ("candles.db", "candles.db-wal");
    std::fs::copy(from.path().join(db), image.path().join(db)).unwrap();
    let mut bytes = std::fs::read(from.path().join(log)).unwrap();
    bytes.truncate(log_bytes.unwrap_or(bytes.len()));
    std::fs::write(image.path().join(log), bytes).unwrap();
    image
}

#[tokio::test]
async fn a_kill_at_any_byte_of_the_log_leaves_candles_and_ledger_in_agreement() {
    const MINUTES: i64 = 120;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("candles.db")).await;
    let series = minutes_of_bitcoin(&*store).await;
    for n in 0..MINUTES {
        store.write(&next_minute(&series, n)).await.unwrap();
    }
    let length = std::fs::metadata(folder.path().join("candles.db-wal")).unwrap().len() as usize;
    let everything = CandleQuery { span: Span::new(minute(-1), minute(MINUTES)), limit: None, newest_first: false };
    let mut seen = Vec::new();
    for cut in (0..24).map(|part| Some(length * part / 24 + 37 * part)).chain([None]) {
        let image = crash_image(&folder, cut);
        let path = image.path().join("candles.db");
        let survivor = open(&path).await;
        let Some(symbol) = survivor.symbols().await.unwrap().pop() else { continue };
        let Some(row) = survivor.series_of(symbol.id).await.unwrap().pop() else { continue };
        let rows = survivor.candles(row.id, everything).await.unwrap().len() as i64;
        let violations =
            verify(&*survivor, &row, Grid::utc(Timeframe::M1), Absence::Forbidden, minute(0)).await.unwrap();
        assert_eq!(violations, [], "log cut at {cut:?}");
        assert_eq!(row.last_sequence, rows, "log cut at {cut:?}");
        assert_eq!(row.observed_until, (rows > 0).then(|| minute(rows + 1)), "log cut at {cut:?}");
        // What was lost is written again, as a collector would.
        survivor.write(&next_minute(&row, rows)).await.unwrap();
        seen.push(rows);
    }
    assert_eq!(seen.last(), Some(&MINUTES), "the whole log holds everything that was acknowledged");
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]), "{seen:?}");
    assert!(seen.len() > 15 && seen[0] < 30, "cuts fell all along the log: {seen:?}");
}

#[tokio::test]
async fn many_writers_and_readers_of_one_store_agree_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("candles.db")).await;
    let series = minutes_of_bitcoin(&*store).await;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let (store, series) = (store.clone(), series.clone());
            tokio::spawn(async move {
                store.write(&next_minute(&series, n)).await.unwrap();
                let row = store.series_of(series.symbol).await.unwrap().remove(0);
                verify(&*store, &row, Grid::utc(Timeframe::M1), Absence::Forbidden, minute(0)).await.unwrap()
            })
        })
        .collect();
    let mut checked = 0;
    for task in tasks {
        assert_eq!(task.await.unwrap(), []);
        checked += 1;
    }
    assert_eq!(checked, 40);
    assert_eq!(store.series_of(series.symbol).await.unwrap()[0].last_sequence, 40);
}
