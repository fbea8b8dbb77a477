//! The schema as others meet it: by plain SQL, with fewer rights, from a newer program.

use candlewick::market::Timeframe;
use candlewick::store::{self, Access, StoreError, SymbolState, conformance};

use crate::postgres::{PASSWORD, Server, name};
use crate::{batch, held, minutes, minutes_of, open, refusal};

#[tokio::test]
async fn plain_sql_moves_the_settings_version_and_wrong_words_are_refused_where_they_are_made() {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let mut last = store.settings_version().await.unwrap();
    let steps = [
        ("INSERT INTO exchanges (id, name) VALUES (1, 'kraken')", 1),
        (
            "INSERT INTO symbols (exchange_id, symbol, timeframes, backfill_from) VALUES (1, 'BTC/USD', '1m, 1h', 'epoch')",
            1,
        ),
        ("UPDATE symbols SET timeframes = '1m,1h,1d'", 1),
        ("UPDATE symbols SET timeframes = '1m,1h,1d'", 0),
        ("UPDATE symbols SET state = 'paused'", 1),
        ("UPDATE symbols SET state = 'active'", 1),
        ("UPDATE symbols SET state = 'rejected', state_reason = 'Unknown asset pair'", 0),
        ("UPDATE symbols SET anchors = '{}'", 0),
        ("UPDATE symbols SET anchors = NULL, state = 'active'", 1),
        ("UPDATE exchanges SET blocked_until = now()", 0),
        ("UPDATE exchanges SET enabled = false", 1),
        (
            "INSERT INTO symbols (exchange_id, symbol, backfill_from) VALUES (1, 'ETH/USD', 'epoch'), (1, 'SOL/USD', 'epoch')",
            2,
        ),
        ("DELETE FROM symbols WHERE symbol = 'SOL/USD'", 1),
        ("DELETE FROM symbols", 2),
        ("DELETE FROM exchanges", 1),
    ];
    for (statement, moves) in steps {
        server.sql(name(&url), statement);
        let version = store.settings_version().await.unwrap();
        assert_eq!(version - last, moves, "{statement}");
        last = version;
    }

    server.sql(name(&url), "INSERT INTO exchanges (id, name) VALUES (1, 'kraken')");
    server.sql(
        name(&url),
        "INSERT INTO symbols (exchange_id, symbol, timeframes, backfill_from) VALUES (1, 'BTC/USD', '1h 1m', '2026-11-20')",
    );
    let row = store.symbols().await.unwrap().remove(0);
    assert_eq!(row.timeframes, [Timeframe::M1, Timeframe::H1]);
    assert_eq!((row.backfill_from, row.state), (crate::minute(0), SymbolState::Active));

    let mistakes = [
        "INSERT INTO exchanges (name) VALUES ('Kraken')",
        "UPDATE exchanges SET mode = 'fast'",
        "UPDATE symbols SET state = 'stopped'",
        "UPDATE symbols SET candle_source = 'exchange'",
        "INSERT INTO settings (id, version) VALUES (2, 1)",
    ];
    for statement in mistakes {
        let error = server.try_sql(name(&url), statement).unwrap_err();
        assert!(error.contains("violates check constraint"), "{statement}: {error}");
    }
    server.sql(name(&url), "UPDATE symbols SET timeframes = '7m'");
    let words = store.symbols().await.unwrap_err().to_string();
    assert!(
        words.starts_with("unreadable row in symbols: kraken BTC/USD: unknown timeframe \"7m\"; valid: "),
        "{words}"
    );
}

#[tokio::test]
async fn the_view_has_instants_and_what_owns_candles_cannot_be_deleted() {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    store.write(&batch(vec![minutes(&series, 5, 6)])).await.unwrap();
    assert_eq!(
        server.sql(name(&url), "SELECT * FROM ohlcv_data WHERE timestamp >= '2026-11-20T00:05:00Z'"),
        "kraken|BTC/USD|1m|2026-11-20 00:05:00+00|100|100|100|100|5"
    );
    server.sql(name(&url), "DELETE FROM coverage");
    let error = server.try_sql(name(&url), "DELETE FROM series").unwrap_err();
    assert!(error.contains("still has candles, trades or events; delete those first"), "{error}");
    let mut revised = minutes(&series, 5, 6);
    revised.candles[0].candle.close = 101.0;
    store.write(&batch(vec![revised])).await.unwrap();
    server.sql(name(&url), "DELETE FROM coverage; DELETE FROM candles");
    let error = server.try_sql(name(&url), "DELETE FROM series").unwrap_err();
    assert!(
        error.contains("still has candles, trades or events; delete those first"),
        "what a bar was before: {error}"
    );
    server.sql(name(&url), "DELETE FROM candle_revisions; DELETE FROM series");
    let error = server.try_sql(name(&url), "DELETE FROM symbols").unwrap_err();
    assert!(error.contains("still has candles, trades or events; delete those first"), "what was told: {error}");
    server.sql(name(&url), "DELETE FROM events; DELETE FROM symbols");
}

#[tokio::test]
async fn a_schema_that_is_newer_or_older_or_somebody_elses_is_told() {
    let server = Server::shared();
    let url = server.database();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = refusal(&url, access).await;
        assert!(matches!(error, StoreError::OlderSchema { pending: 1.. }), "{error:?}");
    }
    drop(open(&url).await);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        assert_eq!(store::open(&url, access).await.unwrap().symbols().await.unwrap(), []);
    }
    server.sql(name(&url), "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')");
    for access in [Access::ReadOnly, Access::ReadWrite, Access::Create] {
        let error = refusal(&url, access).await;
        assert!(matches!(&error, StoreError::NewerSchema { found, .. } if found == "99991231235959"), "{error:?}");
    }

    let foreign = server.database();
    server.sql(name(&foreign), "CREATE TABLE trades (id INTEGER); CREATE TABLE recipes (id INTEGER)");
    assert_eq!(
        refusal(&foreign, Access::Create).await.to_string(),
        "the database is damaged or not a database: it holds tables of another program (trades)"
    );
}

#[tokio::test]
async fn without_the_extension_migrate_makes_plain_tables() {
    let server = Server::shared();
    let url = server.database();
    let migrated = migrated(url.clone()).await.unwrap();
    assert!(!migrated.is_timescale && !migrated.applied.is_empty());
    let key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'trades_pkey'";
    assert_eq!(server.sql(name(&url), key), "PRIMARY KEY (symbol_id, trade_id, venue_id)");
}

#[tokio::test]
async fn with_time_in_the_key_of_trades_every_promise_is_kept_too() {
    let server = Server::shared();
    conformance::run_all(async || {
        let url = server.database();
        let store = open(&url).await;
        server.sql(name(&url), include_str!("../../src/store/postgres/trades_by_time.sql"));
        store
    })
    .await;
}

#[tokio::test]
async fn the_schema_goes_down_and_up_again_the_same() {
    let server = Server::shared();
    let url = server.database();
    drop(open(&url).await);
    let everything = "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c \
                      JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace \
                      AND a.attnum > 0 ORDER BY 1, 2; \
                      SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1; \
                      SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1";
    let before = server.sql(name(&url), everything);
    assert!(before.lines().count() > 100, "the whole schema is there");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let mut steps: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    steps.sort();
    let run = |step: &std::path::PathBuf, file: &str| {
        server.sql(name(&url), &std::fs::read_to_string(step.join(file)).unwrap());
    };
    steps.iter().rev().for_each(|step| run(step, "down.sql"));
    let left = server.sql(name(&url), everything);
    assert!(left.lines().all(|line| line.starts_with("__diesel_schema_migrations")), "{left}");
    steps.iter().for_each(|step| run(step, "up.sql"));
    assert_eq!(server.sql(name(&url), everything), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_create_the_schema_at_once_all_find_it_made() {
    let url = Server::shared().database();
    let all: Vec<_> = (0..6).map(|_| tokio::spawn(migrated(url.clone()))).collect();
    let mut made = 0;
    for one in all {
        made += usize::from(!one.await.unwrap().unwrap().applied.is_empty());
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_role_with_the_documented_rights_collects_and_one_that_reads_is_told_what_it_lacks() {
    let server = Server::shared();
    let url = server.database();
    drop(open(&url).await);
    let documented = include_str!("../../docs/postgresql.md");
    let grants: Vec<&str> = documented.lines().filter(|line| line.starts_with("GRANT ")).collect();
    assert!(grants.len() >= 4, "{grants:?}");
    let roles = format!(
        "CREATE ROLE collector LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; {}",
        grants.join(" ").replace("DATABASE candles", &format!("DATABASE {}", name(&url)))
    );
    server.sql(name(&url), &roles);
    let as_role = |role: &str| url.replace("//candlewick:", &format!("//{role}:"));
    let collector = store::open(&as_role("collector"), Access::Create).await.unwrap();
    let series = minutes_of(&*collector, "BTC/USD").await;
    let lock = collector.lock_collector("least").await.unwrap();
    collector.write(&batch(vec![minutes(&series, 0, 10)])).await.unwrap();
    drop(lock);

    let reader = store::open(&as_role("reader"), Access::ReadOnly).await.unwrap();
    assert_eq!(held(&*reader, &series).await, (10, 1));
    let error = reader.write(&batch(vec![minutes(&series, 10, 20)])).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
    let writer = store::open(&as_role("reader"), Access::ReadWrite).await.unwrap();
    let error = writer.write(&batch(vec![minutes(&series, 10, 20)])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database cannot be written; check the permissions (permission denied for table series; the role reader \
         lacks a right, docs/postgresql.md lists them)"
    );
}

async fn migrated(url: String) -> Result<store::Migrated, StoreError> {
    store::migrate(&url, Default::default()).await
}
