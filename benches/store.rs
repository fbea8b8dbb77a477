//! Rows per second into SQLite (a file) and PostgreSQL (a server of the benchmark's own, on the same
//! machine, which flushes to disk as it does in earnest): the real schema, every batch with the
//! coverage it proves, one after the other into one database that has been written for a while.
//!
//! Fresh rows, the same rows again, the same rows with another close (each a counted revision), and
//! the live pattern: one row of each of a hundred series in one transaction. And how long it takes to
//! say what is held of a thousand series with ten million rows.

mod allocator;
#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candlewick::market::ledger::{Coverage, LedgerChange};
use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, CandleSource, NewSymbol, SeriesChange, SeriesId, Store, WriteBatch};
use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postgres::{Server, name};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIVE_SERIES: usize = 100;

fn midnight() -> DateTime<Utc> {
    "2026-11-20T00:00:00Z".parse().expect("a time")
}

fn at(minute: usize) -> DateTime<Utc> {
    midnight() + TimeDelta::minutes(minute as i64)
}

/// A candle of a minute; `day` moves its values and the time it was observed.
fn candle(minute: usize, day: usize) -> FinalCandle {
    let close = 91_230.0 + (minute % 977) as f64 / 8.0 + day as f64;
    FinalCandle {
        candle: Candle {
            open_time: at(minute),
            open: 91_230.0,
            high: close + 1_000.0,
            low: 90_000.0,
            close,
            volume: 6.1183,
            quote_volume: Some(558_242.901_13),
            trades: Some(477),
            vwap: None,
        },
        source: Source::Rest,
        rule: Rule::Rest,
        observed_at: at(minute) + TimeDelta::days(1 + day as i64),
    }
}

/// One series' rows from a minute on, with the statements a page of history makes.
fn change(series: SeriesId, from: usize, rows: usize, day: usize) -> SeriesChange {
    let span = Span::new(at(from), at(from + rows));
    SeriesChange {
        candles: (from..from + rows).map(|minute| candle(minute, day)).collect(),
        ledger: vec![LedgerChange::Set(span, Coverage::Complete { verified: true })],
        extent: Some((span, "not_fetched")),
        ..SeriesChange::new(series)
    }
}

/// Where new databases are made.
enum Place {
    Sqlite,
    Postgres(Server),
}

impl Place {
    /// The URL of a new, empty database, and what it lives in.
    fn database(&self) -> (String, Option<TempDir>) {
        match self {
            Place::Sqlite => {
                let dir = tempfile::tempdir().expect("a temporary folder");
                (format!("sqlite://{}", dir.path().join("candlewick.db").display()), Some(dir))
            }
            Place::Postgres(server) => (server.database(), None),
        }
    }
}

/// A new store, with one series for each of so many symbols.
async fn series_of(url: &str, symbols: usize) -> (Arc<dyn Store>, Vec<SeriesId>) {
    let store = store::open(url, Access::Create).await.expect("a new database");
    for number in 0..symbols {
        let new = NewSymbol {
            exchange: "binance".to_owned(),
            symbol: format!("C{number}/USDT").parse().expect("a symbol"),
            timeframes: vec![Timeframe::M1],
            backfill_from: midnight(),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.expect("a new symbol");
    }
    let mut series = Vec::with_capacity(symbols);
    for row in store.symbols().await.expect("the symbols") {
        series.push(store.open_series(row.id, Timeframe::M1).await.expect("a new series").id);
    }
    (store, series)
}

/// A database that is written on and on, as a collector's is.
struct Written {
    store: Arc<dyn Store>,
    series: Vec<SeriesId>,
    rounds: usize,
    _dir: Option<TempDir>,
}

impl Written {
    async fn new(place: &Place, symbols: usize) -> Written {
        let (url, _dir) = place.database();
        let (store, series) = series_of(&url, symbols).await;
        Written { store, series, rounds: 0, _dir }
    }

    /// Time that so many more writes take, one after the other; making the batches and `before` (the
    /// rows that are to be met) are left out.
    async fn time(&mut self, rounds: u64, batches: impl Fn(&[SeriesId], usize) -> Writes) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let Writes { before, measured } = batches(&self.series, self.rounds);
            self.rounds += 1;
            if let Some(before) = before {
                self.store.write(&before).await.expect("a good batch");
            }
            let began = Instant::now();
            let outcomes = self.store.write(&measured).await.expect("a good batch");
            total += began.elapsed();
            assert_eq!(outcomes.len(), measured.series.len());
        }
        total
    }
}

/// One round: what is written to be met again, and what is measured.
struct Writes {
    before: Option<WriteBatch>,
    measured: WriteBatch,
}

fn batch(series: Vec<SeriesChange>) -> WriteBatch {
    WriteBatch { series, ..WriteBatch::default() }
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    writes(criterion, &runtime, "store", &Place::Sqlite);
    let earnest = ["fsync = on", "full_page_writes = on", "shared_buffers = 256MB", "max_wal_size = 4GB"];
    let place = Place::Postgres(Server::start(&earnest));
    writes(criterion, &runtime, "postgres", &place);
    if let Place::Postgres(server) = &place {
        what_is_held(criterion, &runtime, server);
    }
}

/// Series and rows of each whose inventory is taken.
const HELD: (usize, usize) = (1_000, 10_000);

fn what_is_held(criterion: &mut Criterion, runtime: &Runtime, server: &Server) {
    let mut group = criterion.benchmark_group("postgres/inventory");
    let (mut held, now) = (None, at(HELD.1 + 5));
    group.sample_size(20).bench_function("1,000 series, 10 million rows", |bencher| {
        let store = held.get_or_insert_with(|| {
            let url = server.database();
            let (store, series) = runtime.block_on(series_of(&url, HELD.0));
            assert_eq!(series.len(), HELD.0);
            fill(server, name(&url));
            store
        });
        bencher.iter(|| {
            let rows = runtime.block_on(inventory(&**store, now, |_| true)).expect("an inventory");
            assert_eq!((rows.len(), rows[0].first_candle), (HELD.0, Some(at(0))));
            assert_eq!((rows[999].last_candle, rows[999].covered_percent as u8), (Some(at(HELD.1 - 1)), 99));
        });
    });
    group.finish();
}

/// Ten million rows by SQL: written one batch after the other they would take minutes.
fn fill(server: &Server, database: &str) {
    let midnight = midnight().to_rfc3339();
    let time = |minute: &str| format!("'{midnight}'::timestamptz + {minute} * interval '1 minute'");
    let (open, last) = (time("n"), HELD.1 - 1);
    server.sql(
        database,
        &format!(
            "INSERT INTO candles SELECT id, {open}, 1, 2, 0.5, 1, 1, NULL, 3, NULL, 6, 3, 0, 0, n, now(), now(), now()
             FROM series, generate_series(0, {last}) AS n"
        ),
    );
    server.sql(
        database,
        &format!(
            "INSERT INTO coverage (series_id, from_time, to_time, state, verified, updated_at)
             SELECT id, {}, {}, 'complete', true, now() FROM series",
            time("0"),
            time(&HELD.1.to_string())
        ),
    );
    server.sql(database, &format!("UPDATE series SET observed_until = {}", time(&HELD.1.to_string())));
}

fn writes(criterion: &mut Criterion, runtime: &Runtime, prefix: &str, place: &Place) {
    for rows in [1_000, 5_000] {
        let mut group = criterion.benchmark_group(format!("{prefix}/{rows} rows"));
        group.throughput(Throughput::Elements(rows as u64)).sample_size(20);
        // What stands there before, if anything, and what is written then.
        let kinds = [("fresh", None, 0), ("unchanged", Some(0), 0), ("revised", Some(0), 1)];
        for (name, before, day) in kinds {
            let mut written = None;
            group.bench_function(name, |bencher| {
                let written = written.get_or_insert_with(|| runtime.block_on(Written::new(place, 1)));
                bencher.iter_custom(|rounds| {
                    runtime.block_on(written.time(rounds, |series, round| Writes {
                        before: before.map(|day| batch(vec![change(series[0], round * rows, rows, day)])),
                        measured: batch(vec![change(series[0], round * rows, rows, day)]),
                    }))
                });
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group(format!("{prefix}/live"));
    group.throughput(Throughput::Elements(LIVE_SERIES as u64)).sample_size(20);
    let mut written = None;
    group.bench_function("100 series x 1 row", |bencher| {
        let written = written.get_or_insert_with(|| runtime.block_on(Written::new(place, LIVE_SERIES)));
        bencher.iter_custom(|rounds| {
            runtime.block_on(written.time(rounds, |series, round| Writes {
                before: None,
                measured: batch(series.iter().map(|series| change(*series, round, 1, 0)).collect()),
            }))
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
