//! A collector on simulated exchanges, sixty times as fast as life, and the server that answers for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle};
use candlewick::config::{Config, Secret, WebConfig};
use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, Simulator};
use candlewick::store::{self, Access, CandleSource, NewSymbol};
use candlewick::web::{Bound, Server};
use chrono::{DateTime, TimeDelta, Utc};

use super::ask::{Answer, get};
use super::program::PATIENCE;
use super::support::faulty_store::FaultyStore;
use super::support::in_memory::SimTransport;

/// Listens on a free port.
pub fn on_a_free_port(token: Option<&str>) -> WebConfig {
    let token = token.map(|text| Secret::new(text).unwrap());
    WebConfig { enabled: true, listen: "127.0.0.1:0".parse().unwrap(), token }
}

/// See the module.
pub struct Stage {
    pub collector: CollectorHandle,
    pub store: Arc<FaultyStore>,
    pub server: Server,
    pub simulator: Simulator,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub async fn new(token: Option<&str>) -> Stage {
        let start: DateTime<Utc> = "2026-11-20T15:00:20Z".parse().unwrap();
        let clock = Clock::scaled(start, 60.0);
        let simulator = Simulator::new(SimConfig::default(), clock.clone());
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("candles.db").display());
        let store = store::open_with_clock(&url, Access::Create, clock.clone()).await.unwrap();
        let store = Arc::new(FaultyStore::new(store, clock.clone()));
        let collector = Collector::builder()
            .config(Config::default())
            .store(store.clone())
            .clock(clock)
            .seed(1)
            .transport(Arc::new(SimTransport::new(simulator.clone())))
            .simulator("http://sim")
            .start()
            .await
            .unwrap();
        let bound = Bound::bind(&on_a_free_port(token)).unwrap().unwrap();
        let server = bound.serve(collector.remote()).unwrap();
        Stage { collector, store, server, simulator, _folder: folder }
    }

    /// One-minute candles of the last two hours.
    pub async fn want(&self, exchange: &str, symbol: &str) {
        let new = NewSymbol {
            exchange: exchange.to_owned(),
            symbol: symbol.parse().unwrap(),
            timeframes: vec![Timeframe::M1],
            backfill_from: self.collector.clock().now() - TimeDelta::hours(2),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        self.collector.add_symbol(&new).await.unwrap();
    }

    pub fn at(&self) -> SocketAddr {
        self.server.address()
    }

    /// Asks until the answer is the right one.
    pub async fn until(&self, path: &str, is_right: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = get(self.at(), path).await;
            if is_right(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited in vain; the last answer is {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn stop(self) {
        self.collector.shutdown().await.unwrap();
        self.server.stop().await;
    }
}
