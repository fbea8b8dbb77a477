//! The lives of a collector in one simulated world: each until its time is over, it crashes, or the
//! process is stopped in order; frozen now and then, by a clock that may be wrong.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle, Remote, exchange_row};
use candlewick::sim::{SimConfig, Simulator, Venue};
use candlewick::store::{self, Access, ExchangeRow, Store};
use candlewick::transport::Transport;
use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use super::crash::{Course, Crash, CrashingTransport};
use super::markets::{Change, MARKETS, Market, Wanted, Wish, account};
use super::plan::Plan;
use super::store::{CrashingStore, Spell};

/// How long all actors have to be gone after an orderly stop: what a slow store still holds up ends.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// What a service manager waits before it starts a process that did not come up.
const START_AGAIN: Duration = Duration::from_secs(5);

/// What every life of the collector has in common.
pub struct World {
    pub seed: u64,
    pub url: String,
    /// The true time, by which venues live.
    pub clock: Clock,
    pub simulator: Simulator,
    pub store: Arc<dyn Store>,
    pub course: Arc<Course>,
    pub spells: Arc<[Spell]>,
    /// Changes of what is wanted that are still to come, the next one first.
    pub changes: Vec<Change>,
    pub wanted: Wanted,
}

/// One life as it is meant to be.
pub struct Life {
    pub crash: Crash,
    pub end: DateTime<Utc>,
    /// Stopped in order at its end, if it lives to see it; else killed.
    pub is_orderly: bool,
    /// How far the host's clock is ahead of the true time.
    pub clock_ahead: TimeDelta,
    /// When nothing of the process gets a processor, and for how long.
    pub frozen: Option<(DateTime<Utc>, Duration)>,
}

impl Life {
    /// One in which nothing goes wrong, from now until `end`.
    pub fn undisturbed(end: DateTime<Utc>, course: &Arc<Course>) -> Life {
        let crash = Crash::never(course);
        Life { crash, end, is_orderly: true, clock_ahead: TimeDelta::zero(), frozen: None }
    }
}

impl World {
    /// The world of a plan, before the first life, and the folder of its database.
    pub async fn of(plan: &mut Plan) -> (World, TempDir) {
        let clock = Clock::scaled(plan.epoch, 1.0);
        let symbols = Venue::all().into_iter().map(|venue| {
            let own = MARKETS.iter().filter(|market| market.exchange == venue.as_str());
            (venue, own.map(Market::name).collect())
        });
        let config = SimConfig {
            symbols: symbols.collect(),
            seed: plan.seed,
            history_days: 8,
            trades_per_minute: plan.trades_per_minute,
            faults: plan.faults.clone(),
            ..SimConfig::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("candles.db").display());
        let store = store::open_with_clock(&url, Access::Create, clock.clone()).await.unwrap();
        for exchange in MARKETS.iter().map(|market| market.exchange) {
            // One of them has been closed and is off unless it is switched on.
            let row = exchange_row(&*store, exchange).await.unwrap();
            store.put_exchange(&ExchangeRow { enabled: true, ..row }).await.unwrap();
        }
        let mut wanted = Wanted::new();
        for market in &plan.markets {
            let wish = Wish::Want(market.wanted_from(plan.wanted_from));
            wish.write(&*store);
            account(&mut wanted, &wish);
        }
        let world = World {
            seed: plan.seed,
            url,
            simulator: Simulator::new(config, clock.clone()),
            store,
            course: Course::new(plan.seed, clock.clone()),
            clock,
            spells: plan.spells.clone(),
            changes: std::mem::take(&mut plan.changes),
            wanted,
        };
        (world, folder)
    }

    /// Carries out changes that were due while nothing ran.
    pub fn catch_up(&mut self) {
        while self.changes.first().is_some_and(|change| change.at <= self.clock.now()) {
            let change = self.changes.remove(0);
            self.wrote(&change);
        }
    }

    fn wrote(&mut self, change: &Change) {
        self.course.note(format!("{} by table: {:?}", change.wish.kind(), change.wish));
        self.course.strike(change.wish.kind());
        change.wish.write(&*self.store);
        account(&mut self.wanted, &change.wish);
    }

    /// Carries out changes when they are due, for ever.
    async fn change(&mut self, collector: &Remote) {
        while let Some(change) = self.changes.first().cloned() {
            self.clock.sleep_until(change.at).await;
            // By the same id after a crash: it is carried out once.
            let id = format!("change at {}", change.at);
            self.course.note(format!("{}: {:?}", change.wish.kind(), change.wish));
            if change.is_command && change.wish.tell(collector, id).await {
                self.course.strike(format!("{} by command", change.wish.kind()));
                account(&mut self.wanted, &change.wish);
            } else {
                self.wrote(&change);
            }
            self.changes.remove(0);
        }
        std::future::pending::<()>().await;
    }

    /// Lives one life. True when it ended by a crash.
    pub async fn live(&mut self, life: Life) -> bool {
        let host = Clock::scaled(self.clock.now() + life.clock_ahead, 1.0);
        let opened = store::open_with_clock(&self.url, Access::Create, host.clone()).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(CrashingStore {
            inner: opened,
            crash: life.crash.clone(),
            spells: self.spells.clone(),
            clock: self.clock.clone(),
        });
        let transport: Arc<dyn Transport> =
            Arc::new(CrashingTransport::new(self.simulator.clone(), life.crash.clone()));
        let held = (Arc::downgrade(&store), Arc::downgrade(&transport));
        let builder = Collector::builder().store(store).clock(host).seed(self.seed).transport(transport);
        let local = tokio::task::LocalSet::new();
        let clock = self.clock.clone();
        let (crash, end, is_orderly) = (life.crash.clone(), life.end, life.is_orderly);
        let crashed = {
            let living = async {
                let started = tokio::select! {
                    biased;
                    () = crash.happened() => return true,
                    started = builder.simulator("http://simulator").start() => started,
                };
                let mut handle = match started {
                    Ok(handle) => handle,
                    Err(error) => {
                        self.course.note(format!("does not start: {error}"));
                        clock.sleep(START_AGAIN).await;
                        return false;
                    }
                };
                let crashed = self.until_the_end(&mut handle, &crash, end).await;
                self.told(&handle);
                if crashed || !is_orderly {
                    return true;
                }
                let stopped = tokio::select! {
                    biased;
                    () = crash.happened() => return true,
                    stopped = handle.stop() => stopped,
                };
                if let Err(error) = stopped {
                    self.course.blame(format!("did not stop in order: {error}"));
                }
                drop(handle);
                self.gone(&held, LAST_WORDS, "an orderly stop").await;
                false
            };
            let mut living = pin!(local.run_until(living));
            match life.frozen {
                Some((at, how_long)) => {
                    tokio::select! {
                        biased;
                        crashed = &mut living => crashed,
                        () = clock.sleep_until(at) => {
                            // Not polled, nothing of it moves; the venues go on.
                            clock.sleep(how_long).await;
                            living.await
                        }
                    }
                }
                None => living.await,
            }
        };
        // Dropping the local set is the kill: every actor is gone at whatever it awaited.
        drop(local);
        self.gone(&held, Duration::ZERO, "the end of the process").await;
        crashed
    }

    /// True when it crashed before `end`.
    async fn until_the_end(&mut self, handle: &mut CollectorHandle, crash: &Crash, end: DateTime<Utc>) -> bool {
        let clock = self.clock.clone();
        let remote = handle.remote();
        let ended = tokio::select! {
            biased;
            () = crash.happened() => return true,
            ended = handle.ended() => ended,
            () = self.change(&remote) => Ok(()),
            () = clock.sleep_until(end) => return false,
        };
        self.course.blame(format!("the collector ended by itself: {ended:?}"));
        false
    }

    /// Notes what can be seen of a life.
    fn told(&self, handle: &CollectorHandle) {
        self.course.note(format!("life over, {:?}", self.simulator.stats()));
        for status in handle.status() {
            self.course.note(format!("{}: {} restarts, {:?}", status.component, status.restarts, status.phase));
        }
    }

    /// Every actor holds the store or the transport, and every open connection is counted by its
    /// venue: when nothing of either is left, nobody is.
    async fn gone(&self, held: &(Weak<dyn Store>, Weak<dyn Transport>), within: Duration, what: &str) {
        let left = || {
            let sockets: u64 = self.simulator.stats().exchanges.values().map(|venue| venue.sockets_open).sum();
            (held.0.strong_count(), held.1.strong_count(), sockets)
        };
        let deadline = self.clock.now() + within;
        while left() != (0, 0, 0) && self.clock.now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (stores, transports, sockets) = left();
        if (stores, transports, sockets) != (0, 0, 0) {
            let leaked = format!("{stores} hold the store, {transports} the transport, {sockets} sockets are open");
            self.course.blame(format!("after {what} {leaked}"));
        }
    }
}
