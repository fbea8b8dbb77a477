//! The root of the tree: starts writer and status, keeps one ExchangeActor per exchange as the
//! tables say, remembers bans and budgets across their lives, and stops everything in order.
//!
//! It is the one actor of a collector that hosts speak with, by its address, from any thread:
//!
//! | message | reply |
//! |---|---|
//! | [`Command`](crate::control::Command) | what became of it: `add_symbol`, `pause`, `status`, `shutdown` and the others |
//! | [`Listen`](super::messages::Listen), [`Unlisten`](super::messages::Unlisten) | an actor is told of candles from now on, or no more |
//! | [`Broadcast`](super::messages::Broadcast) | a receiver of candles |
//! | [`ListenEvents`](super::messages::ListenEvents), [`UnlistenEvents`](super::messages::UnlistenEvents), [`BroadcastEvents`](super::messages::BroadcastEvents) | the same of events |
//! | [`Refresh`](super::messages::Refresh) | the tables are being looked at |
//! | [`Shutdown`](super::messages::Shutdown) | everything below it has ended |
//!
//! Its end is the collector's. It tells [`CollectorEnded`] to whom the collector was started with, once,
//! whatever the cause: `Ok` after a stop that was asked for; an error when the writer keeps failing or
//! another collector has taken the database, when it panicked itself, and when its System, arbiter or
//! `LocalSet` ended under it. Nothing of it is left then: the lock is free, its address is closed, its
//! children have been told to stop. It cannot be revived, by `actix::Supervisor` neither: a host starts a
//! new collector on the same database, which resumes where the ledger ends. A panic below it is not its
//! end: that life is replaced by policy, as in the daemon.

mod exchanges;
mod services;
mod settings;
mod shutdown;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::auditor::AuditActor;
use super::channel::ChannelActor;
use super::control::ControlActor;
use super::exchange::{Budgets, ExchangeActor};
use super::feed::{FeedActor, Listeners};
use super::messages::{CollectorEnded, Report};
use super::publisher::PublisherActor;
use super::retention::RetentionActor;
use super::status::StatusActor;
use super::writer::WriterActor;
use crate::clock::Clock;
use crate::config::Config;
use crate::market::Symbol;
use crate::mirror::Redis;
use crate::status::{Board, ComponentStatus, DAEMON, Health, Phase, Tally};
use crate::store::spool::{Backlog, Spool};
use crate::store::{CollectorLock, ExchangeRow, Store, SymbolRow};
use crate::supervise::children::Children;
use crate::supervise::family::{Family, Member};
use crate::supervise::jitter::Jitter;
use crate::supervise::policy::{Exhausted, RestartPolicy};
use crate::supervise::slot::SlotOwner;
use crate::transport::Transport;

/// What the actor is built from.
pub struct SupervisorSetup {
    /// Policies and overrides.
    pub config: Arc<Config>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// What waits while the database is away.
    pub spool: Option<Arc<Spool>>,
    /// How venues are reached.
    pub transport: Arc<dyn Transport>,
    /// Our clock.
    pub clock: Clock,
    /// Decides the random part of waits.
    pub seed: u64,
    /// Base URL of a simulator that stands for all venues.
    pub simulator: Option<String>,
    /// The one symbol to work on, instead of all.
    pub only: Option<(String, Symbol)>,
    /// Nothing is collected: what is stored is compared and repaired when that is asked.
    pub only_audits: bool,
    /// Where status, candles and commands are mirrored.
    pub redis: Option<Arc<Redis>>,
    /// Statuses in memory.
    pub board: Board,
    /// Running totals.
    pub tally: Tally,
    /// Held for as long as this actor lives.
    pub lock: Box<dyn CollectorLock>,
    /// Told how the collector ended.
    pub ended: oneshot::Sender<Result<(), CollectorFailed>>,
    /// The same for an actor of the host.
    pub watcher: Option<Recipient<CollectorEnded>>,
}

/// The collector could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the collector failed: {0}")]
pub struct CollectorFailed(pub String);

/// See the module.
pub struct Supervisor {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    spool: Option<Arc<Spool>>,
    /// What the spool holds; without one, nothing.
    backlog: Backlog,
    transport: Arc<dyn Transport>,
    clock: Clock,
    jitter: Jitter,
    simulator: Option<String>,
    only: Option<(String, Symbol)>,
    only_audits: bool,
    redis: Option<Arc<Redis>>,
    board: Board,
    tally: Tally,
    lock: Option<Box<dyn CollectorLock>>,
    /// How it ends, once that is known.
    end: Option<Result<(), CollectorFailed>>,
    ended: Option<oneshot::Sender<Result<(), CollectorFailed>>>,
    watcher: Option<Recipient<CollectorEnded>>,
    writer: SlotOwner<WriterActor>,
    status: SlotOwner<StatusActor>,
    control: SlotOwner<ControlActor>,
    auditor: SlotOwner<AuditActor>,
    publisher: SlotOwner<PublisherActor>,
    feed: SlotOwner<FeedActor>,
    listeners: Listeners,
    writers: Children<&'static str, WriterActor>,
    reporters: Children<&'static str, StatusActor>,
    controllers: Children<&'static str, ControlActor>,
    auditors: Children<&'static str, AuditActor>,
    publishers: Children<&'static str, PublisherActor>,
    channels: Children<&'static str, ChannelActor>,
    feeds: Children<&'static str, FeedActor>,
    retentions: Children<&'static str, RetentionActor>,
    exchanges: Children<String, ExchangeActor>,
    families: HashMap<String, Family>,
    /// Exchanges that are not wanted any more and have not ended yet.
    ending: BTreeSet<String>,
    service_family: (Family, Member),
    budgets: HashMap<String, Arc<Mutex<Budgets>>>,
    wanted: BTreeMap<String, (ExchangeRow, Vec<SymbolRow>)>,
    seen_version: Option<i64>,
    /// When it was last said that the tables cannot be read.
    said_unread: Option<tokio::time::Instant>,
    connections: Arc<AtomicU64>,
    is_looking: bool,
    is_stopping: bool,
}

impl Supervisor {
    /// A supervisor that is about to start its tree.
    pub fn new(setup: SupervisorSetup) -> Supervisor {
        let policies = &setup.config.restart;
        // Nothing that happens on a side branch may stop the collecting.
        let side_branch = RestartPolicy { exhausted: Exhausted::Quarantine(policies.writer.period), ..policies.writer };
        Supervisor {
            writers: Children::new(policies.writer),
            reporters: Children::new(side_branch),
            controllers: Children::new(side_branch),
            auditors: Children::new(side_branch),
            publishers: Children::new(side_branch),
            channels: Children::new(side_branch),
            feeds: Children::new(side_branch),
            retentions: Children::new(side_branch),
            exchanges: Children::new(policies.exchange),
            config: setup.config,
            store: setup.store,
            backlog: setup.spool.as_ref().map(|spool| spool.backlog().clone()).unwrap_or_default(),
            spool: setup.spool,
            transport: setup.transport,
            clock: setup.clock,
            jitter: Jitter::new(setup.seed),
            simulator: setup.simulator,
            only: setup.only,
            only_audits: setup.only_audits,
            redis: setup.redis,
            board: setup.board,
            tally: setup.tally,
            lock: Some(setup.lock),
            end: None,
            ended: Some(setup.ended),
            watcher: setup.watcher,
            writer: SlotOwner::default(),
            status: SlotOwner::default(),
            control: SlotOwner::default(),
            auditor: SlotOwner::default(),
            publisher: SlotOwner::default(),
            feed: SlotOwner::default(),
            listeners: Listeners::default(),
            families: HashMap::new(),
            ending: BTreeSet::new(),
            service_family: Family::new(),
            budgets: HashMap::new(),
            wanted: BTreeMap::new(),
            seen_version: None,
            said_unread: None,
            connections: Arc::new(AtomicU64::new(1)),
            is_looking: false,
            is_stopping: false,
        }
    }

    fn report(&self) {
        let Some(status) = self.status.current() else { return };
        let mut report = ComponentStatus::starting(DAEMON);
        let symbols: usize = self.wanted.values().map(|(_, symbols)| symbols.len()).sum();
        (report.health, report.phase) = (Health::Running, Phase::Live);
        report.message = match symbols {
            0 => "nothing to collect: candlewick symbols add EXCHANGE SYMBOL".to_owned(),
            _ => format!("symbols: {symbols}, exchanges: {}", self.wanted.len()),
        };
        status.do_send(Report(report));
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.start_status(ctx);
        self.start_feed(ctx);
        self.start_writer(ctx);
        self.start_auditor(ctx);
        self.start_control(ctx);
        self.start_publisher(ctx);
        self.start_channel(ctx);
        self.start_retention(ctx);
        self.look(ctx);
        ctx.run_interval(settings::LOOK_EVERY, |actor, ctx| actor.look(ctx));
        ctx.run_interval(Duration::from_secs(5), |actor, _| actor.report());
    }
}
