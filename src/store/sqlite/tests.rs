//! What needs the inside of the store: faults of the disk, locks, and the schema's way back.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, RunQueryDsl};
use diesel_migrations::MigrationHarness;

use super::dialect::MIGRATIONS;
use super::*;
use crate::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use crate::store::{CandleQuery, Coverage, LedgerChange, NewSymbol, SeriesChange, SeriesId, Store, WriteBatch};

fn clock() -> Clock {
    Clock::manual("2026-11-20T14:00:00Z".parse().unwrap())
}

fn minute(n: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(n)
}

fn change(series: SeriesId, from: i64, to: i64) -> WriteBatch {
    let candles = (from..to).map(|n| FinalCandle {
        candle: Candle::flat(minute(n), 100.0),
        source: Source::Rest,
        rule: Rule::Rest,
        observed_at: minute(n + 2),
    });
    let span = Span::new(minute(from), minute(to));
    let change = SeriesChange {
        candles: candles.collect(),
        ledger: vec![LedgerChange::Set(span, Coverage::Complete { verified: true })],
        extent: Some((span, "not_fetched")),
        ..SeriesChange::new(series)
    };
    WriteBatch { series: vec![change], ..WriteBatch::default() }
}

async fn series(store: &SqliteStore) -> SeriesId {
    minutes_of(store, "BTC/USD").await
}

async fn minutes_of(store: &SqliteStore, symbol: &str) -> SeriesId {
    let wanted = NewSymbol {
        exchange: "kraken".to_owned(),
        symbol: symbol.parse().unwrap(),
        timeframes: vec![Timeframe::M1],
        backfill_from: minute(0),
        collect_trades: false,
        candle_source: Default::default(),
        only_ticker: false,
    };
    store.add_symbol(&wanted).await.unwrap();
    let symbol = store.symbols().await.unwrap().into_iter().find(|row| row.symbol.as_str() == symbol).unwrap().id;
    store.open_series(symbol, Timeframe::M1).await.unwrap().id
}

/// Counts of rows and ledger entries, read by a connection of its own.
async fn held(store: &SqliteStore, series: SeriesId) -> (usize, usize) {
    let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let query = CandleQuery { span, limit: None, newest_first: false };
    (store.candles(series, query).await.unwrap().len(), store.ledger(series).await.unwrap().len())
}

async fn on_writer(store: &SqliteStore, sql: &'static str) {
    store.writer.run(move |connection| Ok(connection.batch_execute(sql)?)).await.unwrap();
}

async fn in_file(folder: &tempfile::TempDir) -> SqliteStore {
    let url = format!("sqlite://{}", folder.path().join("candles.db").display());
    SqliteStore::open_patiently(&url, Access::Create, clock(), Duration::from_millis(20)).await.unwrap()
}

#[test]
fn calls_are_answered_although_no_thread_of_tokios_pool_is_free() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = in_file(&folder).await;
        let (done, busy) = std::sync::mpsc::channel::<()>();
        let holder = tokio::task::spawn_blocking(move || busy.recv());
        let calls = futures_util::future::join_all((0..100).map(|_| store.symbols()));
        let answers = tokio::time::timeout(Duration::from_secs(30), calls).await;
        drop(done);
        assert!(holder.await.unwrap().is_err(), "held to the end");
        assert!(answers.expect("nobody waits for the pool").iter().all(Result::is_ok));
    });
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_there_and_the_same_write_succeeds_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder).await;
    let series = series(&store).await;
    store.write(&change(series, 0, 10)).await.unwrap();

    // SQLite takes the number of pages it has when asked for fewer.
    on_writer(&store, "PRAGMA max_page_count = 1").await;
    let error = store.write(&change(series, 10, 50_000)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Full(words) if words == "database or disk is full"), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(held(&store, series).await, (10, 1));

    on_writer(&store, "PRAGMA max_page_count = 1000000").await;
    store.write(&change(series, 10, 50_000)).await.unwrap();
    assert_eq!(held(&store, series).await, (50_000, 1));
}

#[tokio::test]
async fn a_database_that_may_not_be_written_says_so_and_keeps_reading() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder).await;
    let series = series(&store).await;
    store.write(&change(series, 0, 10)).await.unwrap();

    on_writer(&store, "PRAGMA query_only = ON").await;
    let error = store.write(&change(series, 10, 20)).await.unwrap_err();
    assert!(matches!(&error, StoreError::ReadOnly(_)), "{error:?}");
    assert_eq!(held(&store, series).await, (10, 1));

    let looking = SqliteStore::open(store.url(), Access::ReadOnly, clock()).await.unwrap();
    let error = looking.write(&change(series, 10, 20)).await.unwrap_err();
    assert!(matches!(&error, StoreError::ReadOnly(_)), "{error:?}");
    assert_eq!(held(&looking, series).await, (10, 1));
}

#[tokio::test]
async fn a_lock_held_too_long_is_named_and_readers_do_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (in_file(&folder).await, in_file(&folder).await);
    let series = series(&store).await;
    store.write(&change(series, 0, 10)).await.unwrap();

    on_writer(&other, "BEGIN IMMEDIATE; DELETE FROM candles").await;
    let error = store.write(&change(series, 10, 20)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Locked(words) if words == "database is locked"), "{error:?}");
    assert_eq!(held(&store, series).await, (10, 1), "what is not committed is not seen, and nobody waits");

    on_writer(&other, "ROLLBACK").await;
    store.write(&change(series, 10, 20)).await.unwrap();
    assert_eq!(held(&store, series).await, (20, 1));
}

#[tokio::test]
async fn work_whose_caller_is_gone_is_finished_and_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder).await;
    let id = series(&store).await;
    let (go, held_back) = std::sync::mpsc::channel::<()>();
    let (finished, is_finished) = std::sync::mpsc::channel();
    let mut work = Box::pin(store.change(move |_| {
        let told = held_back.recv_timeout(Duration::from_secs(10));
        finished.send(told).map_err(|_| StoreError::Refused("nobody listens".to_owned()).into())
    }));
    assert!(futures_util::poll!(&mut work).is_pending());
    drop(work);
    go.send(()).unwrap();
    assert_eq!(is_finished.recv_timeout(Duration::from_secs(10)), Ok(Ok(())));
    assert_eq!(store.write(&change(id, 0, 5)).await.unwrap()[0].last_sequence, 5);
    assert_eq!(held(&store, id).await, (5, 1));
}

#[tokio::test]
async fn a_panic_inside_a_transaction_leaves_the_connection_usable() {
    let store = SqliteStore::open("sqlite://:memory:", Access::Create, clock()).await.unwrap();
    let series = series(&store).await;
    let error = store
        .change::<()>(|connection| {
            connection.batch_execute("INSERT INTO exchanges (name) VALUES ('lost')")?;
            panic!("as a bug would");
        })
        .await
        .unwrap_err();
    assert!(matches!(&error, StoreError::Refused(_)), "{error:?}");
    store.write(&change(series, 0, 10)).await.unwrap();
    assert_eq!(held(&store, series).await, (10, 1));
    let names: Vec<_> = store.exchanges().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["kraken"]);
}

#[tokio::test]
async fn damaged_pages_are_told_from_a_full_or_locked_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder).await;
    let series = series(&store).await;
    store.write(&change(series, 0, 20_000)).await.unwrap();
    let url = store.url().to_owned();
    on_writer(&store, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    drop(store);
    let path = folder.path().join("candles.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xaa);
    std::fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&url, Access::ReadWrite, clock()).await.unwrap();
    let error = store.write(&change(series, 0, 20_000)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_schema_goes_down_and_up_again_the_same() {
    #[derive(diesel::QueryableByName, Debug, PartialEq)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text)]
        sql: String,
    }
    fn schema(connection: &mut Connection) -> Vec<Line> {
        let query = "SELECT coalesce(sql, name) AS sql FROM sqlite_schema ORDER BY name";
        diesel::sql_query(query).load(connection).unwrap()
    }
    let mut connection = connect(&Location::Memory, Access::Create, Duration::ZERO, "sqlite://:memory:").unwrap();
    migrations::prepare(&mut connection, Access::Create).unwrap();
    let before = schema(&mut connection);
    connection.revert_all_migrations(MIGRATIONS).unwrap();
    let words: Vec<_> = schema(&mut connection).into_iter().map(|line| line.sql).collect();
    assert!(words.iter().all(|sql| sql.contains("__diesel_schema_migrations")), "nothing of ours is left: {words:?}");
    connection.run_pending_migrations(MIGRATIONS).unwrap();
    assert_eq!(schema(&mut connection), before);
    assert!(before.len() > 20, "the whole schema is there");
}

#[tokio::test]
async fn a_statement_whose_rows_lie_on_hundreds_of_pages_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder).await;
    let mut all = Vec::new();
    for n in 0..260 {
        all.push(minutes_of(&store, &format!("S{n}/USD")).await);
    }
    // A page of candles each, and one of their index; then one more row of each.
    for (from, to) in [(0, 300), (300, 301)] {
        let changes = all.iter().flat_map(|series| change(*series, from, to).series).collect();
        store.write(&WriteBatch { series: changes, ..WriteBatch::default() }).await.unwrap();
    }
    for series in all {
        assert_eq!(held(&store, series).await, (301, 1));
    }
}

/// `.cargo/config.toml` says it, with the reasons.
#[test]
fn the_sqlite_that_is_compiled_in_is_the_one_that_was_chosen() {
    let mut connection = diesel::SqliteConnection::establish(":memory:").unwrap();
    let mut is_used = |option: &str| -> bool {
        let asked = format!("sqlite_compileoption_used('{option}')");
        diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(&asked)).get_result(&mut connection).unwrap()
    };
    assert!(is_used("THREADSAFE=2") && is_used("DEFAULT_MEMSTATUS=0") && is_used("STMTJRNL_SPILL=131071"));
    assert!(!is_used("ENABLE_MEMORY_MANAGEMENT") && !is_used("ENABLE_API_ARMOR"));
}
