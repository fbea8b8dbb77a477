//! What waits while a server is away: the file, the writer that fills and empties it, and the
//! program that is killed in the midst of an outage.

#[path = "../support/check.rs"]
mod check;
mod file;
mod outage;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/real_time.rs"]
mod real_time;
mod replay;
#[path = "../support/simulated.rs"]
mod simulated;
mod takeover;
#[path = "../schedules/trades.rs"]
mod trades;
mod writing;

use std::path::Path;
use std::sync::Arc;

use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::spool::{Entry, Owner, Spool, SpoolError};
use candlewick::store::{
    self, Access, CandleQuery, CandleSource, Coverage, LedgerChange, NewSymbol, SeriesChange, SeriesRow, Store,
    StoredCandle,
};
use chrono::{DateTime, TimeDelta, Utc};

/// What may wait where nothing is said of it.
const LIMIT: u64 = 1 << 30;

fn minute(n: i64) -> DateTime<Utc> {
    "2026-11-20T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

async fn open(url: &str) -> Arc<dyn Store> {
    store::open(url, Access::Create).await.unwrap()
}

/// The series of minutes of a symbol, which becomes wanted, and whose it is.
async fn minutes_of(store: &dyn Store, symbol: &str) -> (SeriesRow, Arc<Owner>) {
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
    let series = store.open_series(row.id, Timeframe::M1).await.unwrap();
    let owner = Owner {
        symbol: row.id,
        exchange: "kraken".to_owned(),
        name: row.symbol.clone(),
        series: vec![(series.id, Timeframe::M1)],
    };
    (series, Arc::new(owner))
}

/// A minute at a price, observed so many minutes after its begin.
fn priced(n: i64, price: f64, after: i64) -> FinalCandle {
    FinalCandle {
        candle: Candle::flat(minute(n), price),
        source: Source::Rest,
        rule: Rule::Rest,
        observed_at: minute(n + after),
    }
}

/// Minutes of a series, complete with their candles, each at its own price.
fn minutes(series: &SeriesRow, from: i64, to: i64) -> SeriesChange {
    let span = Span::new(minute(from), minute(to));
    SeriesChange {
        candles: (from..to).map(|n| priced(n, 100.0 + n as f64, 2)).collect(),
        ledger: vec![LedgerChange::Set(span, Coverage::Complete { verified: true })],
        extent: Some((span, "not_fetched")),
        ..SeriesChange::new(series.id)
    }
}

async fn held(store: &dyn Store, series: &SeriesRow) -> Vec<StoredCandle> {
    let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    store.candles(series.id, CandleQuery { span, limit: None, newest_first: false }).await.unwrap()
}

/// Minutes that are held, with their prices.
async fn prices(store: &dyn Store, series: &SeriesRow) -> Vec<(i64, f64)> {
    let minute_of = |row: &StoredCandle| (row.candle.open_time - minute(0)).num_minutes();
    held(store, series).await.iter().map(|row| (minute_of(row), row.candle.close)).collect()
}

fn own_prices(from: i64, to: i64) -> Vec<(i64, f64)> {
    (from..to).map(|n| (n, 100.0 + n as f64)).collect()
}

async fn spool(folder: &Path, url: &str) -> Result<Spool, SpoolError> {
    Spool::open(folder, url, LIMIT).await
}

async fn append(spool: &Spool, owner: &Owner, change: SeriesChange) -> i64 {
    spool.append(&[Entry { owner, series: &[change], trades: None, modes: &[] }]).await.unwrap()
}
