//! The PostgreSQL store: the common suite, and what only a server can show.

mod collectors;
mod doors;
mod outages;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/program.rs"]
mod program;
mod schema;
mod writers;

use std::sync::Arc;

use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::{
    self, Access, CandleQuery, CandleSource, Coverage, LedgerChange, NewSymbol, SeriesChange, SeriesRow, Store,
    StoreError, WriteBatch, conformance,
};
use chrono::{DateTime, TimeDelta, Utc};

use postgres::{Server, name};

#[tokio::test]
async fn a_server_keeps_every_promise() {
    conformance::run_all(async || open(&Server::shared().database()).await).await;
}

#[tokio::test]
async fn a_table_that_fails_takes_its_transaction_with_it() {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let told = "CREATE FUNCTION told_to_fail() RETURNS trigger LANGUAGE plpgsql AS $$ \
                BEGIN RAISE check_violation USING MESSAGE = 'told to fail'; END $$";
    server.sql(name(&url), told);
    let fails = async |table: &str, fails: bool| {
        let sql = if fails {
            format!(
                "CREATE TRIGGER fault BEFORE INSERT OR UPDATE ON {table} \
                 FOR EACH ROW EXECUTE FUNCTION told_to_fail()"
            )
        } else {
            format!("DROP TRIGGER fault ON {table}")
        };
        server.sql(name(&url), &sql);
    };
    conformance::run_with_faults(store, fails).await;
}

async fn open(url: &str) -> Arc<dyn Store> {
    store::open(url, Access::Create).await.unwrap()
}

async fn refusal(url: &str, access: Access) -> StoreError {
    store::open(url, access).await.unwrap_err()
}

fn minute(n: i64) -> DateTime<Utc> {
    "2026-11-20T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

/// The series of minutes of a symbol, which becomes wanted.
async fn minutes_of(store: &dyn Store, symbol: &str) -> SeriesRow {
    let wanted = NewSymbol {
        exchange: "kraken".to_owned(),
        symbol: symbol.parse().unwrap(),
        timeframes: vec![Timeframe::M1],
        backfill_from: minute(0),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    };
    store.add_symbol(&wanted).await.unwrap();
    let rows = store.symbols().await.unwrap();
    let row = rows.iter().find(|row| row.symbol.as_str() == symbol).unwrap();
    store.open_series(row.id, Timeframe::M1).await.unwrap()
}

/// Minutes of a series, complete with their candles.
fn minutes(series: &SeriesRow, from: i64, to: i64) -> SeriesChange {
    let candles = (from..to).map(|n| FinalCandle {
        candle: Candle { volume: n as f64, ..Candle::flat(minute(n), 100.0) },
        source: Source::Rest,
        rule: Rule::Rest,
        observed_at: minute(n + 2),
    });
    let span = Span::new(minute(from), minute(to));
    SeriesChange {
        candles: candles.collect(),
        ledger: vec![LedgerChange::Set(span, Coverage::Complete { verified: true })],
        extent: Some((span, "not_fetched")),
        ..SeriesChange::new(series.id)
    }
}

fn batch(series: Vec<SeriesChange>) -> WriteBatch {
    WriteBatch { series, ..WriteBatch::default() }
}

/// Candles and entries of the ledger.
async fn held(store: &dyn Store, series: &SeriesRow) -> (usize, usize) {
    let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let query = CandleQuery { span, limit: None, newest_first: false };
    (store.candles(series.id, query).await.unwrap().len(), store.ledger(series.id).await.unwrap().len())
}
