//! From an empty database to candles that are proven, in some seconds and without a network.
//!
//! Simulated exchanges are served on a port; a collector reads six hours of history of three
//! markets and follows them live; it is stopped in order; and what it left in the database is
//! checked twice: the ledger against the rows, and the rows against the truth of the simulation.
//!
//! ```text
//! cargo run --example full_pipeline
//! ```

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use candlewick::clock::Clock;
use candlewick::collector::Collector;
use candlewick::exchange::{QuietPolicy, registry};
use candlewick::market::ledger::complete;
use candlewick::market::{Candle, Grid, Span, Symbol, Timeframe};
use candlewick::sim::{SimConfig, SimRequest, Simulator, server};
use candlewick::store::inventory::{Absence, Violation, grid_of, verify};
use candlewick::store::{self, Access, CandleQuery, CandleSource, NewSymbol, SeriesRow, Store, SymbolRow};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;

/// One market of each kind of exchange: stream without closed flag, stream with one, polling.
pub const MARKETS: [(&str, &str); 3] = [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "AAPL")];
const TIMEFRAMES: [Timeframe; 2] = [Timeframe::M1, Timeframe::H1];
/// Simulated seconds in a second.
const SPEED: f64 = 60.0;
const HISTORY: TimeDelta = TimeDelta::hours(6);
/// Simulated time for which the markets are followed.
const LIVE: TimeDelta = TimeDelta::minutes(5);
/// Real time after which something must be wrong.
const DEADLINE: Duration = Duration::from_secs(120);

/// What was found in the database in the end.
pub struct SeriesReport {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Timeframe.
    pub timeframe: Timeframe,
    /// Candles inside complete stretches.
    pub candles: usize,
    /// What the ledger claims and the rows do not hold.
    pub violations: Vec<Violation>,
    /// Candles that are missing, superfluous or unequal to the simulation's truth.
    pub differences: usize,
}

/// Runs it and prints what was found.
pub fn main() -> anyhow::Result<()> {
    let reports = actix_rt::System::new().block_on(run())?;
    println!("exchange  symbol    tf   candles  violations  differences");
    for report in &reports {
        println!(
            "{:8}  {:8}  {:3}  {:7}  {:10}  {:11}",
            report.exchange,
            report.symbol,
            report.timeframe,
            report.candles,
            report.violations.len(),
            report.differences
        );
    }
    for report in &reports {
        for violation in &report.violations {
            println!("{} {} {}: {violation}", report.exchange, report.symbol, report.timeframe);
        }
    }
    ensure!(reports.iter().all(|report| report.violations.is_empty() && report.differences == 0), "not proven");
    println!("every candle is there, final and equal to the exchange's own");
    Ok(())
}

/// Collects for some minutes of simulated time, stops, and examines what is on the disk.
pub async fn run() -> anyhow::Result<Vec<SeriesReport>> {
    // 10:26 in New York on a Friday: shares trade, and their first hour is about to close.
    let epoch: DateTime<Utc> = "2026-11-20T15:26:00Z".parse()?;
    let simulator = Simulator::new(SimConfig::default(), Clock::scaled(epoch, SPEED));
    let exchanges = server::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, simulator.clone())?;

    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("candles.db").display());
    let collector =
        Collector::builder().database(&url).simulator(format!("http://{}", exchanges.address())).start().await?;
    for (exchange, symbol) in MARKETS {
        let wanted = NewSymbol {
            exchange: exchange.to_owned(),
            symbol: symbol.parse()?,
            timeframes: TIMEFRAMES.to_vec(),
            backfill_from: epoch - HISTORY,
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        collector.add_symbol(&wanted).await?;
    }
    let filled = fill(collector.store(), epoch + LIVE).await;
    let totals = collector.totals();
    collector.shutdown().await?;
    exchanges.stop().await;
    filled?;
    println!("stopped after {} REST calls and {} stream frames", totals.rest_calls, totals.frames);

    // The collector is gone: what follows reads only what is on the disk.
    let store = store::open(&url, Access::ReadOnly).await?;
    let mut reports = Vec::new();
    for symbol in store.symbols().await? {
        for series in store.series_of(symbol.id).await? {
            reports.push(examine(&*store, &symbol, &series, &simulator).await?);
        }
    }
    Ok(reports)
}

/// Waits until the ledger says that everything wanted before `until` is complete.
async fn fill(store: &Arc<dyn Store>, until: DateTime<Utc>) -> anyhow::Result<()> {
    let waiting = async {
        while !is_filled(&**store, until).await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, waiting).await.context("the candles did not become complete in time")?
}

async fn is_filled(store: &dyn Store, until: DateTime<Utc>) -> anyhow::Result<bool> {
    for symbol in store.symbols().await? {
        let known = store.series_of(symbol.id).await?;
        for timeframe in &symbol.timeframes {
            let Some(series) = known.iter().find(|series| series.timeframe == *timeframe) else { return Ok(false) };
            let grid = grid_of(&symbol, *timeframe);
            let wanted = Span::new(grid.bucket_at(symbol.backfill_from), grid.last_closed_end(until));
            if !complete(&store.ledger(series.id).await?).covers(wanted) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Checks the ledger of a series against its rows, and the rows against the truth.
async fn examine(
    store: &dyn Store,
    symbol: &SymbolRow,
    series: &SeriesRow,
    simulator: &Simulator,
) -> anyhow::Result<SeriesReport> {
    let absence = match registry::find(&symbol.exchange)?.capabilities.quiet {
        QuietPolicy::Emits => Absence::Forbidden,
        QuietPolicy::Omits | QuietPolicy::Mixed => Absence::Allowed,
    };
    let grid: Grid = grid_of(symbol, series.timeframe);
    let violations = verify(store, series, grid, absence, symbol.backfill_from).await?;
    let (mut candles, mut differences) = (0, 0);
    for &span in complete(&store.ledger(series.id).await?).spans() {
        let rows = store.candles(series.id, CandleQuery { span, limit: None, newest_first: false }).await?;
        let truth = truth(simulator, symbol, series.timeframe, span)?;
        let equal = rows.iter().zip(&truth).filter(|(row, truth)| row.candle.agrees_with(truth)).count();
        differences += rows.len().max(truth.len()) - equal;
        candles += rows.len();
    }
    Ok(SeriesReport {
        exchange: symbol.exchange.clone(),
        symbol: symbol.symbol.clone(),
        timeframe: series.timeframe,
        candles,
        violations,
        differences,
    })
}

/// The final candles that the simulated exchange will ever show for a stretch.
fn truth(simulator: &Simulator, symbol: &SymbolRow, timeframe: Timeframe, span: Span) -> anyhow::Result<Vec<Candle>> {
    let reply = simulator.http(&SimRequest::get(format!(
        "/truth/candles?exchange={}&symbol={}&timeframe={timeframe}&from={}&to={}",
        symbol.exchange,
        symbol.symbol,
        span.from.timestamp_millis(),
        span.to.timestamp_millis(),
    )));
    if reply.status != 200 {
        bail!("the simulator refuses to tell the truth: {}", reply.text());
    }
    Ok(serde_json::from_slice(&reply.body)?)
}
