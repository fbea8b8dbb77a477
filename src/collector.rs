//! The embedding face: a whole collector inside the host's actix System, or on a plain tokio
//! `LocalSet`. `docs/embedding.md` tells it from a host's side.
//!
//! A good guest: it installs no logger and no signal handler, keeps no globals, and never stops the
//! host's System. All its actors run on the arbiter or `LocalSet` where it was started. Several
//! collectors may live in one process, each on its own database; on a database that another one holds
//! the second is refused.

mod handle;
mod remote;
mod simulator;

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::actors::supervisor::SupervisorSetup;
use crate::clock::Clock;
use crate::config::{Config, RestartPolicies, SpoolConfig};
use crate::market::Symbol;
use crate::mirror::{Redis, RedisError};
use crate::status::{Board, Tally};
use crate::store::spool::{Depth, Spool, SpoolError};
use crate::store::{self, Access, Store, StoreError};
use crate::transport::Transport;
use crate::transport::net::{NetTransport, SetupError};

pub use crate::actors::Supervisor;
pub use crate::actors::messages::host::{
    BROADCAST_KEEPS, Broadcast, BroadcastEvents, CandleClosed, Change, CollectorEnded, Listen, ListenError,
    ListenEvents, Refresh, Shutdown, Subscription, Unlisten, UnlistenEvents,
};
pub use crate::actors::supervisor::CollectorFailed;
pub use crate::control::wanted::{add_symbol, exchange_row};
pub use handle::CollectorHandle;
pub use remote::Remote;
pub use simulator::simulated_markets;

/// Why a collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its actors have nowhere to run.
    #[error(
        "a collector runs inside an actix System (actix_rt::System::new().block_on) or a tokio LocalSet, and here is neither"
    )]
    NoLocalSet,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What waits while the database is away.
    #[error(transparent)]
    Spool(#[from] SpoolError),
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
            only_audits: false,
            watcher: None,
        }
    }
}

/// What a collector is started with.
#[derive(Clone)]
pub struct CollectorBuilder {
    config: Config,
    store: Option<Arc<dyn Store>>,
    transport: Option<Arc<dyn Transport>>,
    clock: Option<Clock>,
    seed: Option<u64>,
    simulator: Option<String>,
    only: Option<(String, Symbol)>,
    only_audits: bool,
    watcher: Option<Recipient<CollectorEnded>>,
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

    /// Restart policies instead of the configured ones.
    pub fn policies(mut self, policies: RestartPolicies) -> Self {
        self.config.restart = policies;
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

    /// The host's clock: all decisions are made by it, and what is stored is stamped with it. A store
    /// that the host has opened keeps its own.
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

    /// Collects nothing: what is stored is compared with the exchanges, and repaired, when an audit is asked.
    pub fn only_audits(mut self) -> Self {
        self.only_audits = true;
        self
    }

    /// An actor of the host that is told how the collector ended, however it ends: what a host needs
    /// to supervise it.
    pub fn watched_by(mut self, watcher: Recipient<CollectorEnded>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// True when the database is a server, which may be away: waiting for it may help.
    pub fn is_on_server(&self) -> bool {
        self.store.as_ref().map_or_else(|| self.config.database.starts_with("postgres"), |store| store.is_server())
    }

    /// Opens the database, takes its lock and starts the tree on the current arbiter or `LocalSet`.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<CollectorHandle, StartError> {
        if std::panic::catch_unwind(|| drop(tokio::task::spawn_local(async {}))).is_err() {
            return Err(StartError::NoLocalSet);
        }
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
            None => store::open_with_clock(&self.config.database, Access::Create, clock.clone()).await?,
        };
        let holder = "a collector";
        let spool = match store.is_server() {
            true => match open_spool(&self.config.spool, &*store).await {
                // Whoever uses it holds the database too, most likely: the lock says who that is.
                Err(error @ SpoolError::InUse { .. }) => {
                    store.lock_collector(holder).await?;
                    return Err(error.into());
                }
                opened => Some(opened?),
            },
            false => None,
        };
        let lock = store.lock_collector(holder).await?;
        if let Some(spool) = &spool {
            take_up(spool, lock.fence()).await?;
        }
        let (board, tally) = (Board::default(), Tally::default());
        let (ended_tx, ended) = oneshot::channel();
        let addr = Supervisor::new(SupervisorSetup {
            config: Arc::new(self.config),
            store: store.clone(),
            spool,
            transport,
            clock: clock.clone(),
            seed: self.seed.unwrap_or_else(rand::random),
            simulator: self.simulator,
            only: self.only,
            only_audits: self.only_audits,
            redis,
            board: board.clone(),
            tally: tally.clone(),
            lock,
            ended: ended_tx,
            watcher: self.watcher,
        })
        .start();
        Ok(CollectorHandle::new(Remote { addr, store, clock, board, tally }, ended))
    }
}

/// An id for a command of this process.
pub fn command_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Opens what waits while a server is away.
async fn open_spool(config: &SpoolConfig, store: &dyn Store) -> Result<Arc<Spool>, SpoolError> {
    let spool = Spool::open(&config.folder, store.url(), config.max_bytes as u64).await?;
    spool.belongs_to(store).await?;
    Ok(Arc::new(spool))
}

/// Takes up what an earlier life left there.
async fn take_up(spool: &Spool, fence: Option<i64>) -> Result<(), SpoolError> {
    let others_came = spool.take_up(fence).await?;
    let (Depth { rows, bytes, .. }, spool) = (spool.backlog().depth(), spool.path().display());
    if others_came {
        warn!(rows, %spool, "others have held the database since this was spooled: it only adds to what they wrote");
    }
    if rows > 0 {
        info!(rows, bytes, %spool, "replaying what an earlier life could not write");
    }
    Ok(())
}
