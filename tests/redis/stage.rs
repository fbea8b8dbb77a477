//! A collector in real time on a fast clock, with a Redis beside it.

use std::time::{Duration, Instant};

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle, StartError};
use candlewick::config::Config;
use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, Simulator};
use candlewick::status::{ComponentStatus, Phase};
use candlewick::store::{CandleSource, NewSymbol, StoreError};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::in_memory::SimTransport;

/// Longest wait for anything; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` gives something.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// See the module.
pub struct Stage {
    pub clock: Clock,
    pub simulator: Simulator,
    pub config: Config,
    pub collector: Option<CollectorHandle>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Nothing runs yet.
    pub fn new(redis: &str) -> Stage {
        let start: DateTime<Utc> = "2026-11-20T15:00:20Z".parse().unwrap();
        let clock = Clock::scaled(start, 60.0);
        let simulator = Simulator::new(SimConfig::default(), clock.clone());
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            database: format!("sqlite://{}", folder.path().join("candles.db").display()),
            ..Config::default()
        };
        config.redis.url = Some(redis.to_owned());
        Stage { clock, simulator, config, collector: None, _folder: folder }
    }

    /// Collects symbols of Kraken, one-minute candles of the last two hours.
    pub async fn with(redis: &str, symbols: &[&str]) -> Stage {
        let mut stage = Stage::new(redis);
        stage.start().await;
        for symbol in symbols {
            stage.want(symbol, &[Timeframe::M1]).await;
        }
        stage
    }

    pub async fn want(&self, symbol: &str, timeframes: &[Timeframe]) {
        let new = NewSymbol {
            exchange: "kraken".to_owned(),
            symbol: symbol.parse().unwrap(),
            timeframes: timeframes.to_vec(),
            backfill_from: self.clock.now() - TimeDelta::hours(2),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        self.collector().add_symbol(&new).await.unwrap();
    }

    /// Starts the collector. A server that another test starts in this very moment is a copy of our
    /// process until it is itself, and holds a copy of the database's lock for so long.
    pub async fn start(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let handle = loop {
            let builder = Collector::builder()
                .config(self.config.clone())
                .clock(self.clock.clone())
                .seed(1)
                .transport(std::sync::Arc::new(SimTransport::new(self.simulator.clone())))
                .simulator("http://sim");
            match builder.start().await {
                Err(StartError::Store(StoreError::Held { .. })) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                started => break started.unwrap(),
            }
        };
        self.collector = Some(handle);
    }

    pub fn collector(&self) -> &CollectorHandle {
        self.collector.as_ref().unwrap()
    }

    pub async fn stop(&mut self) {
        self.collector.take().unwrap().shutdown().await.unwrap();
    }

    pub fn status(&self, component: &str) -> Option<ComponentStatus> {
        self.collector().status().into_iter().find(|status| status.component == component)
    }

    /// Waits until a symbol of Kraken has all its history.
    pub async fn until_live(&self, symbol: &str) {
        let component = format!("kraken:{symbol}");
        until(&component, || self.status(&component).filter(|status| status.phase == Phase::Live)).await;
    }
}
