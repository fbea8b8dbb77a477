//! The whole tree against the simulated exchanges, in memory and in virtual time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::collector::Collector;
use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, Simulator};
use candlewick::store::{self, Access, CandleSource, NewSymbol};
use support::in_memory::SimTransport;

#[test]
fn smoke() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let clock = Clock::scaled("2026-11-20T15:00:20Z".parse().unwrap(), 1.0);
        let simulator = Simulator::new(SimConfig::default(), clock.clone());
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("t.db").display());
        let store = store::open(&url, Access::Create).await.unwrap();
        for (exchange, symbol) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "AAPL")] {
            store
                .add_symbol(&NewSymbol {
                    exchange: exchange.into(),
                    symbol: symbol.parse().unwrap(),
                    timeframes: vec![Timeframe::M1, Timeframe::H1],
                    backfill_from: clock.now() - chrono::TimeDelta::hours(8),
                    collect_trades: false,
                    candle_source: CandleSource::Venue,
                    only_ticker: false,
                })
                .await
                .unwrap();
        }
        let handle = Collector::builder()
            .store(store.clone())
            .clock(clock.clone())
            .transport(Arc::new(SimTransport::new(simulator.clone())))
            .simulator("http://sim")
            .start()
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        for status in handle.status() {
            println!("{status:?}");
        }
        println!("{:?}", handle.totals());
        println!("{:?}", simulator.stats());
        for symbol in store.symbols().await.unwrap() {
            for series in store.series_of(symbol.id).await.unwrap() {
                println!("{} {} {:?}", symbol.symbol, series.timeframe, series.observed_until);
                for entry in store.ledger(series.id).await.unwrap() {
                    println!("   {entry:?}");
                }
            }
        }
        handle.shutdown().await.unwrap();
    });
}
