//! Rows per second into SQLite: the real schema in a file, every batch with the coverage it proves.
//!
//! Fresh rows, the same rows again, the same rows with another close (each a counted revision), and
//! the live pattern: one row of each of a hundred series in one transaction.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candlewick::market::ledger::{Coverage, LedgerChange};
use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::{self, Access, CandleSource, NewSymbol, SeriesChange, SeriesId, Store, WriteBatch};
use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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

/// A new database in the folder, with one series for each of so many symbols.
async fn database(dir: &Path, symbols: usize) -> (Arc<dyn Store>, Vec<SeriesId>) {
    let url = format!("sqlite://{}", dir.join("candlewick.db").display());
    let store = store::open(&url, Access::Create).await.expect("a new database");
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

/// Time that `rounds` writes take, one after the other on one database; making the batches and
/// `before` (the rows that are to be met) are left out.
fn timed(runtime: &Runtime, symbols: usize, rounds: u64, batches: impl Fn(&[SeriesId], usize) -> Writes) -> Duration {
    let dir = tempfile::tempdir().expect("a temporary folder");
    runtime.block_on(async {
        let (store, series) = database(dir.path(), symbols).await;
        let mut total = Duration::ZERO;
        for round in 0..rounds as usize {
            let Writes { before, measured } = batches(&series, round);
            if let Some(before) = before {
                store.write(&before).await.expect("a good batch");
            }
            let began = Instant::now();
            let outcomes = store.write(&measured).await.expect("a good batch");
            total += began.elapsed();
            assert_eq!(outcomes.len(), measured.series.len());
        }
        total
    })
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
    for rows in [1_000, 5_000] {
        let mut group = criterion.benchmark_group(format!("store/{rows} rows"));
        group.throughput(Throughput::Elements(rows as u64)).sample_size(20);
        // What stands there before, if anything, and what is written then.
        let kinds = [("fresh", None, 0), ("unchanged", Some(0), 0), ("revised", Some(0), 1)];
        for (name, before, day) in kinds {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|rounds| {
                    timed(&runtime, 1, rounds, |series, round| Writes {
                        before: before.map(|day| batch(vec![change(series[0], round * rows, rows, day)])),
                        measured: batch(vec![change(series[0], round * rows, rows, day)]),
                    })
                });
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("store/live");
    group.throughput(Throughput::Elements(LIVE_SERIES as u64)).sample_size(20);
    group.bench_function("100 series x 1 row", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(&runtime, LIVE_SERIES, rounds, |series, round| Writes {
                before: None,
                measured: batch(series.iter().map(|series| change(*series, round, 1, 0)).collect()),
            })
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
