//! One symbol, collected inside the host's own actix System; its candles are printed as they
//! become final, in order and without a hole.
//!
//! ```text
//! cargo run --example one_symbol              # a simulated Kraken, two minutes in a second
//! cargo run --example one_symbol -- --real    # the real one: the candles of the last minutes, then one a minute
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle};
use candlewick::market::ledger::complete;
use candlewick::market::{Span, Timeframe};
use candlewick::sim::{SimConfig, Simulator, server};
use candlewick::store::{CandleQuery, CandleSource, NewSymbol, StoredCandle};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;

const EXCHANGE: &str = "kraken";
const SYMBOL: &str = "BTC/USD";
/// Minutes of history asked for, and all candles printed before the example ends.
const HISTORY: i64 = 10;
const CANDLES: usize = 15;

/// Collects from the simulated or the real exchange.
pub fn main() -> anyhow::Result<()> {
    let is_real = std::env::args().any(|argument| argument == "--real");
    actix_rt::System::new().block_on(async {
        if is_real {
            run(None, print).await
        } else {
            let clock = Clock::scaled(Utc::now(), 120.0);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let server = server::serve(listener, Simulator::new(SimConfig::default(), clock))?;
            run(Some(format!("http://{}", server.address())), print).await?;
            server.stop().await;
            Ok(())
        }
    })
}

fn print(row: &StoredCandle) {
    let bar = &row.candle;
    let time = bar.open_time.format("%F %H:%M");
    println!("{time}  {} {} {} {}  {}  ({})", bar.open, bar.high, bar.low, bar.close, bar.volume, row.source);
}

/// Collects until the candles are there, handing each out once it is final and nothing before it is missing.
pub async fn run(simulator: Option<String>, mut take: impl FnMut(&StoredCandle)) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut builder = Collector::builder().database(format!("sqlite://{}", folder.path().join("one.db").display()));
    if let Some(url) = simulator {
        builder = builder.simulator(url);
    }
    let mut collector = builder.start().await?;
    let wanted = NewSymbol {
        exchange: EXCHANGE.to_owned(),
        symbol: SYMBOL.parse()?,
        timeframes: vec![Timeframe::M1],
        backfill_from: collector.clock().now() - TimeDelta::minutes(HISTORY),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    };
    collector.add_symbol(&wanted).await?;

    let mut taken = 0;
    let mut last = None;
    while taken < CANDLES {
        for row in settled_after(&collector, last).await?.iter().take(CANDLES - taken) {
            take(row);
            last = Some(row.candle.open_time);
            taken += 1;
        }
        tokio::select! {
            // A collector that cannot go on says why.
            ended = collector.ended() => return Ok(ended?),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    Ok(collector.shutdown().await?)
}

/// The candles after `last` before which, says the ledger, nothing wanted is missing.
async fn settled_after(collector: &CollectorHandle, last: Option<DateTime<Utc>>) -> anyhow::Result<Vec<StoredCandle>> {
    let store = collector.store();
    let mut found = Vec::new();
    for symbol in store.symbols().await? {
        for series in store.series_of(symbol.id).await? {
            let ledger = store.ledger(series.id).await?;
            let next = last.map_or(symbol.backfill_from, |last| last + TimeDelta::microseconds(1));
            if let Some(span) = complete(&ledger).spans().iter().find(|span| span.contains(next)) {
                let span = Span::new(next, span.to);
                let query = CandleQuery { span, limit: None, newest_first: false };
                found.extend(store.candles(series.id, query).await?);
            }
        }
    }
    Ok(found)
}
