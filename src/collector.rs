//! The embedding face: a whole collector inside the host's actix System, or on a plain tokio
//! `LocalSet`.
//!
//! A good guest: it installs no logger and no signal handler, keeps no globals, and never stops the
//! host's System. Several collectors may live in one process, each on its own database.

mod remote;
mod simulator;

use std::sync::Arc;

use actix::prelude::*;
use chrono::Utc;
use tokio::sync::oneshot;

use crate::actors::Supervisor;
use crate::actors::messages::{Refresh, Shutdown};
use crate::actors::supervisor::{CollectorFailed, SupervisorSetup};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Command, Reply};
use crate::market::Symbol;
use crate::mirror::{Redis, RedisError};
use crate::status::{Board, ComponentStatus, Tally, Totals};
use crate::store::{self, Access, NewSymbol, Store, StoreError, SymbolChange, SymbolState};
use crate::transport::Transport;
use crate::transport::net::{NetTransport, SetupError};

pub use crate::control::wanted::{add_symbol, exchange_row};
pub use remote::Remote;
pub use simulator::simulated_markets;

/// Why a collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network set-up (proxy, CA file).
    #[error(transparent)]
    Transport(#[from] SetupError),
    /// The address of Redis, or its certificates.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The simulator did not tell its clock.
    #[error("no simulator at {url}: {message}; start one with: candlewick sim")]
    Simulator {
        /// The base URL.
        url: String,
        /// What went wrong.
        message: String,
    },
}

/// A collector.
pub struct Collector;

impl Collector {
    /// A collector with the default configuration.
    pub fn builder() -> CollectorBuilder {
        CollectorBuilder {
            config: Config::default(),
            store: None,
            transport: None,
            clock: None,
            seed: None,
            simulator: None,
            only: None,
        }
    }
}

/// What a collector is started with.
pub struct CollectorBuilder {
    config: Config,
    store: Option<Arc<dyn Store>>,
    transport: Option<Arc<dyn Transport>>,
    clock: Option<Clock>,
    seed: Option<u64>,
    simulator: Option<String>,
    only: Option<(String, Symbol)>,
}

impl CollectorBuilder {
    /// Database, policies, overrides.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// A database URL instead of the configured one.
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.config.database = url.into();
        self
    }

    /// An open store instead of a URL.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Another way to the venues: a test's, or the host's own.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The host's clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Decides the random part of every wait, so that a test can repeat a run; random by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// A simulator that stands for all venues (`http://127.0.0.1:8787`); its clock is adopted
    /// unless one was given.
    pub fn simulator(mut self, url: impl Into<String>) -> Self {
        self.simulator = Some(url.into());
        self
    }

    /// A Redis URL instead of the configured one.
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.config.redis.url = Some(url.into());
        self
    }

    /// Works on one symbol only; whatever else the tables want stays as it is.
    pub fn only(mut self, exchange: impl Into<String>, symbol: Symbol) -> Self {
        self.only = Some((exchange.into(), symbol));
        self
    }

    /// Opens the database, takes its lock and starts the tree on the current arbiter or `LocalSet`.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<CollectorHandle, StartError> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(NetTransport::new(self.config.transport.clone())?),
        };
        let redis = Redis::open(&self.config.redis)?;
        let clock = match (self.clock, &self.simulator) {
            (Some(clock), _) => clock,
            (None, Some(url)) => simulator::clock(&*transport, url).await?,
            (None, None) => Clock::system(),
        };
        let store = match self.store {
            Some(store) => store,
            None => store::open(&self.config.database, Access::Create).await?,
        };
        let holder = format!("collector, process {}, since {}", std::process::id(), Utc::now().format("%FT%TZ"));
        let lock = store.lock_collector(&holder).await?;
        let (board, tally) = (Board::default(), Tally::default());
        let (ended_tx, ended) = oneshot::channel();
        let addr = Supervisor::new(SupervisorSetup {
            config: Arc::new(self.config),
            store: store.clone(),
            transport,
            clock: clock.clone(),
            seed: self.seed.unwrap_or_else(rand::random),
            simulator: self.simulator,
            only: self.only,
            redis,
            board: board.clone(),
            tally: tally.clone(),
            lock,
            ended: ended_tx,
        })
        .start();
        Ok(CollectorHandle { addr, store, clock, board, tally, ended: Some(ended) })
    }
}

/// A running collector.
pub struct CollectorHandle {
    addr: Addr<Supervisor>,
    store: Arc<dyn Store>,
    clock: Clock,
    board: Board,
    tally: Tally,
    ended: Option<oneshot::Receiver<Result<(), CollectorFailed>>>,
}

impl CollectorHandle {
    /// The root of the tree, for hosts that send their own messages.
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        &self.addr
    }

    /// The collector for other threads, such as those of a server.
    pub fn remote(&self) -> Remote {
        Remote {
            addr: self.addr.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            board: self.board.clone(),
            tally: self.tally.clone(),
        }
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The clock the collector lives by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The newest status of every component, by name.
    pub fn status(&self) -> Vec<ComponentStatus> {
        self.board.snapshot()
    }

    /// Running totals.
    pub fn totals(&self) -> Totals {
        self.tally.totals()
    }

    /// Adds or widens a symbol; it gets history and live candles like any other. The first symbol of
    /// an exchange that is closed brings it in switched off.
    ///
    /// # Errors
    /// What the store says.
    pub async fn add_symbol(&self, new: &NewSymbol) -> Result<SymbolChange, StoreError> {
        let change = add_symbol(&*self.store, new).await?;
        self.refresh().await;
        Ok(change)
    }

    /// Stops wanting a symbol; its candles stay. False when it was not wanted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn remove_symbol(&self, exchange: &str, symbol: &Symbol) -> Result<bool, StoreError> {
        let removed = self.store.remove_symbol(exchange, symbol).await?;
        self.refresh().await;
        Ok(removed)
    }

    /// Pauses or resumes a symbol. False when it is not wanted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn set_paused(&self, exchange: &str, symbol: &Symbol, paused: bool) -> Result<bool, StoreError> {
        let state = if paused { SymbolState::Paused } else { SymbolState::Active };
        let known = self.store.set_symbol_state(exchange, symbol, &state).await?;
        self.refresh().await;
        Ok(known)
    }

    /// Carries out a command, once by its id: what HTTP and Redis do, for the host itself. `None`
    /// when the collector has ended.
    pub async fn command(&self, command: Command) -> Option<Reply> {
        self.addr.send(command).await.ok()
    }

    async fn refresh(&self) {
        // A collector that has ended has nothing to refresh.
        let _ = self.addr.send(Refresh).await;
    }

    /// Waits until the collector has ended by itself.
    ///
    /// # Errors
    /// When it failed.
    pub async fn ended(&mut self) -> Result<(), CollectorFailed> {
        match &mut self.ended {
            Some(ended) => {
                let result = ended.await.unwrap_or(Ok(()));
                self.ended = None;
                result
            }
            None => Ok(()),
        }
    }

    /// Stops in order: sources hand over, the writer flushes, status says stopped. Returns when
    /// everything has ended, at the latest after the configured deadline.
    ///
    /// # Errors
    /// When the collector had failed before.
    pub async fn shutdown(mut self) -> Result<(), CollectorFailed> {
        self.stop().await
    }

    /// [`CollectorHandle::shutdown`] for hosts that still ask the handle for totals, statuses and
    /// the store afterwards.
    ///
    /// # Errors
    /// When the collector had failed before.
    pub async fn stop(&mut self) -> Result<(), CollectorFailed> {
        // An address that is closed belongs to a collector that has ended; `ended` says how.
        let _ = self.addr.send(Shutdown).await;
        self.ended().await
    }
}
