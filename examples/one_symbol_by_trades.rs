//! One symbol whose candles are built from its trades: Coinbase streams no candles. The trades are
//! kept, and each candle is compared with what they add up to.
//!
//! ```text
//! cargo run --example one_symbol_by_trades            # a simulated Coinbase, two minutes in a second
//! cargo run --example one_symbol_by_trades -- --real  # the real one; the first candle takes up to two minutes
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::ensure;
use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle};
use candlewick::market::aggregate::Aggregator;
use candlewick::market::{Candle, Grid, Span, Timeframe};
use candlewick::sim::{SimConfig, Simulator, server};
use candlewick::store::{CandleQuery, CandleSource, NewSymbol};
use chrono::{TimeDelta, Utc};
use tokio::net::TcpListener;

const EXCHANGE: &str = "coinbase";
const SYMBOL: &str = "BTC/USD";
/// Minutes of trades asked for, and candles shown before the example ends.
const HISTORY: i64 = 3;
const CANDLES: usize = 6;

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

fn print(bar: &Candle, trades: usize) {
    let time = bar.open_time.format("%F %H:%M");
    println!("{time}  {} {} {} {}  {}  of {trades} trades", bar.open, bar.high, bar.low, bar.close, bar.volume);
}

/// Collects until the candles are there; each is handed out with the number of its trades.
pub async fn run(simulator: Option<String>, mut take: impl FnMut(&Candle, usize)) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut builder = Collector::builder().database(format!("sqlite://{}", folder.path().join("one.db").display()));
    if let Some(url) = simulator {
        builder = builder.simulator(url);
    }
    let mut collector = builder.start().await?;
    let wanted = NewSymbol {
        exchange: EXCHANGE.to_owned(),
        symbol: SYMBOL.parse()?,
        // One pass over the trades makes them all, also those the exchange itself does not have.
        timeframes: vec![Timeframe::M1, Timeframe::M3],
        backfill_from: collector.clock().now() - TimeDelta::minutes(HISTORY),
        collect_trades: true,
        candle_source: CandleSource::Trades,
        only_ticker: false,
    };
    collector.add_symbol(&wanted).await?;
    while candles(&collector).await?.len() < CANDLES {
        tokio::select! {
            // A collector that cannot go on says why.
            ended = collector.ended() => return Ok(ended?),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    for bar in candles(&collector).await?.iter().take(CANDLES) {
        let count = compare(&collector, bar).await?;
        take(bar, count);
    }
    Ok(collector.shutdown().await?)
}

/// The final candles of a minute so far, oldest first.
async fn candles(collector: &CollectorHandle) -> anyhow::Result<Vec<Candle>> {
    let store = collector.store();
    let symbols = store.symbols().await?;
    let Some(series) = store.series_of(symbols[0].id).await?.into_iter().find(|s| s.timeframe == Timeframe::M1) else {
        return Ok(Vec::new());
    };
    let all = Span::new(symbols[0].backfill_from, collector.clock().now());
    let query = CandleQuery { span: all, limit: None, newest_first: false };
    Ok(store.candles(series.id, query).await?.into_iter().map(|row| row.candle).collect())
}

/// Adds up the stored trades of a candle's minute and returns their number.
async fn compare(collector: &CollectorHandle, bar: &Candle) -> anyhow::Result<usize> {
    let grid = Grid::utc(Timeframe::M1);
    let symbol = collector.store().symbols().await?[0].id;
    let minute = Span::new(bar.open_time, grid.close_of(bar.open_time));
    let trades = collector.store().trades(symbol, minute).await?;
    let mut sums = Vec::new();
    let mut aggregator = Aggregator::new(&[grid], Duration::ZERO);
    for trade in &trades {
        aggregator.push(trade, &mut |_, candle| sums.push(candle))?;
    }
    aggregator.advance(minute.to, &mut |_, candle| sums.push(candle))?;
    ensure!(sums.len() == 1 && sums[0].agrees_with(bar), "{bar:?} is not the sum of its trades: {sums:?}");
    Ok(trades.len())
}
