//! Where a collector runs, and what its host is told when it ends.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use actix::prelude::*;
use candlewick::clock::Clock;
use candlewick::collector::{
    Collector, CollectorBuilder, CollectorEnded, CollectorFailed, CollectorHandle, Shutdown, StartError, Subscription,
};
use candlewick::config::Config;
use candlewick::control::command::AddSymbol;
use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, Simulator};
use candlewick::status::Phase;
use candlewick::store::{self, Access, CandleQuery, Store};
use candlewick::supervise::policy::RestartPolicy;
use chrono::{DateTime, TimeDelta, Utc};

use crate::ear::{Ear, assert_chain};
use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::in_memory::SimTransport;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
const CUT_SHORT: &str = "its System, arbiter or LocalSet ended under it; what was under way is fetched again";

/// A host that has to do with a collector.
struct Watcher(mpsc::Sender<CollectorEnded>);

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Handler<CollectorEnded> for Watcher {
    type Result = ();

    fn handle(&mut self, message: CollectorEnded, _: &mut Context<Self>) {
        self.0.send(message).unwrap();
    }
}

/// A simulated market, and a database file; a minute in a second.
struct Place {
    clock: Clock,
    simulator: Simulator,
    url: String,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let start: DateTime<Utc> = "2026-11-20T15:00:20Z".parse().unwrap();
        let clock = Clock::scaled(start, 60.0);
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("candles.db").display());
        Place { simulator: Simulator::new(SimConfig::default(), clock.clone()), clock, url, _folder: folder }
    }

    fn collector(&self) -> CollectorBuilder {
        Collector::builder()
            .database(&self.url)
            .clock(self.clock.clone())
            .transport(Arc::new(SimTransport::new(self.simulator.clone())))
            .simulator("http://sim")
    }
}

fn bitcoin() -> AddSymbol {
    let (exchange, symbol) = ("kraken".to_owned(), "BTC/USD".to_owned());
    AddSymbol { exchange, symbol, timeframes: Some("1m".to_owned()), ..AddSymbol::default() }
}

/// Collects until the history is there, and returns the collector.
async fn collects(builder: CollectorBuilder) -> CollectorHandle {
    let collector = builder.start().await.unwrap();
    collector.add_symbol(bitcoin()).await.unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !collector.status().iter().any(|s| s.component == "kraken:BTC/USD" && s.phase == Phase::Live) {
        assert!(std::time::Instant::now() < deadline, "{:#?}", collector.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    collector
}

/// Waits for the end without holding up whoever shares the thread.
async fn told(ends: &mpsc::Receiver<CollectorEnded>) -> CollectorEnded {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Ok(end) = ends.try_recv() {
            return end;
        }
        assert!(std::time::Instant::now() < deadline, "nobody told of the end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn without_a_system_it_runs_on_a_local_set_and_by_the_clock_of_its_host() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = Place::new();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        assert!(System::try_current().is_none());
        let collector = collects(place.collector()).await;
        let row = collector.store().symbols().await.unwrap().remove(0);
        let series = collector.store().open_series(row.id, Timeframe::M1).await.unwrap();
        let span = candlewick::market::Span::new(row.backfill_from, place.clock.now());
        let query = CandleQuery { span, limit: None, newest_first: false };
        let stored = collector.store().candles(series.id, query).await.unwrap();
        assert!(stored.len() > 1000, "a day of minutes, is {}", stored.len());
        let (began, now) = (place.simulator.epoch(), place.clock.now());
        assert!(stored.iter().all(|row| (began..now).contains(&row.first_written_at)), "stamped by the host's clock");
        collector.shutdown().await.unwrap();
    });
}

#[test]
fn where_its_actors_have_nowhere_to_run_the_start_is_refused_in_words() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = Place::new();
    let refused = runtime.block_on(place.collector().start()).err().expect("it cannot start");
    assert!(matches!(refused, StartError::NoLocalSet), "{refused}");
    assert!(refused.to_string().contains("actix System"), "{refused}");
    assert!(!place.url.trim_start_matches("sqlite://").parse::<std::path::PathBuf>().unwrap().exists());
}

#[test]
fn a_system_that_stops_ends_it_and_the_next_one_goes_on_with_its_database() {
    let place = Place::new();
    let system = System::new();
    let mut first = system.block_on(collects(place.collector()));
    System::current().stop();
    system.run().unwrap();
    System::new().block_on(async {
        assert!(!first.is_alive());
        assert_eq!(first.ended().await, Err(CollectorFailed(CUT_SHORT.to_owned())));
        collects(place.collector()).await.shutdown().await.unwrap();
    });
}

#[test]
fn an_arbiter_that_dies_is_told_as_a_failure_and_leaves_the_database_free() {
    let place = Place::new();
    System::new().block_on(async {
        let (tx, ends) = mpsc::channel();
        let watcher = Watcher(tx).start();
        let arbiter = Arbiter::new();
        let builder = place.collector().watched_by(watcher.clone().recipient());
        let (given, taken) = tokio::sync::oneshot::channel();
        arbiter.spawn(async move {
            let _ = given.send(collects(builder).await);
        });
        let mut collector = taken.await.unwrap();
        // The candles of a day, from its thread to ours.
        let (ear, heard) = Ear::start(Duration::ZERO);
        collector.subscribe(ear.recipient(), Subscription::from_first()).await.unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        while heard.lock().unwrap().len() < 1000 {
            assert!(std::time::Instant::now() < deadline, "{} heard", heard.lock().unwrap().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        arbiter.stop();
        let failure = CollectorFailed(CUT_SHORT.to_owned());
        assert_eq!(told(&ends).await, CollectorEnded(Err(failure.clone())));
        assert_eq!(collector.ended().await, Err(failure));
        assert!(!collector.is_alive());
        // As soon as it is told, here and now.
        let next = collects(place.collector().watched_by(watcher.recipient())).await;
        next.supervisor().send(Shutdown).await.unwrap();
        assert_eq!(told(&ends).await, CollectorEnded(Ok(())));
        arbiter.join().unwrap();
        assert!(assert_chain(heard.lock().unwrap().iter(), 0) >= 1000);
    });
}

#[test]
fn a_host_that_is_told_of_a_failure_starts_the_next_one() {
    in_virtual_time(async {
        let stage = Stage::new(SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        let (tx, ends) = mpsc::channel();
        let watcher = Watcher(tx).start();
        let mut policies = Config::default().restart;
        policies.writer = RestartPolicy { intensity: 1, ..RestartPolicy::WRITER };
        let builder = || {
            Collector::builder()
                .policies(policies.clone())
                .store(stage.store.clone())
                .clock(stage.clock.clone())
                .transport(stage.transport.clone())
                .simulator("http://sim")
                .watched_by(watcher.clone().recipient())
        };
        let causes = [
            (true, Timeframe::M5, "writer keeps failing: Panicked"),
            (false, Timeframe::M15, "its supervisor panicked"),
        ];
        for (is_writer, more, cause) in causes {
            let failing = builder().start().await.unwrap();
            stage.pass(minutes(1)).await;
            stage.store.script(move |call| match call {
                StoreCall::Write(_) if is_writer => Deed::Panic,
                StoreCall::Symbols if !is_writer => Deed::Panic,
                _ => Deed::Proceed,
            });
            // Tables that have changed are read by the supervisor itself.
            stage.want("kraken", "BTC/USD", &[more], TimeDelta::hours(2)).await;
            stage.pass(minutes(2)).await;
            assert_eq!(ends.try_recv(), Ok(CollectorEnded(Err(CollectorFailed(cause.to_owned())))));
            assert!(!failing.is_alive());
            stage.store.behave();
        }
        let next = builder().start().await.unwrap();
        stage.pass(minutes(3)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        assert_eq!(ends.try_recv(), Err(mpsc::TryRecvError::Empty), "it lives");
        next.shutdown().await.unwrap();
        assert_eq!(ends.try_recv(), Ok(CollectorEnded(Ok(()))));
    });
}

#[test]
fn a_handle_that_is_dropped_stops_nothing() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        let remote = stage.collector.take().unwrap().remote();
        stage.pass(minutes(10)).await;
        assert!(remote.is_alive());
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        let reopened = store::open(stage.store.url(), Access::ReadOnly).await.unwrap();
        assert_eq!(reopened.symbols().await.unwrap().len(), 1);
        remote.supervisor().send(Shutdown).await.unwrap();
        stage.start().await;
    });
}
