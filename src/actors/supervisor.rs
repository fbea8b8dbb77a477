//! The root of the tree: starts writer and status, keeps one ExchangeActor per exchange as the
//! tables say, remembers bans and budgets across their lives, and stops everything in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::exchange::{Budgets, ExchangeActor, ExchangeSetup};
use super::messages::{Blocked, Configure, Flush, Forget, Refresh, Report, Shutdown, Stop};
use super::status::{StatusActor, StatusSetup};
use super::venue::Venue;
use super::writer::{WriterActor, WriterSetup};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::budget::Budget;
use crate::exchange::{Endpoints, registry};
use crate::market::Symbol;
use crate::status::{Board, ComponentStatus, DAEMON, Health, Phase, Tally};
use crate::store::{CollectorLock, ExchangeRow, Store, StoreError, SymbolRow};
use crate::supervise::children::Children;
use crate::supervise::exit::{ChildExited, ExitGuard};
use crate::supervise::family::{Family, Member};
use crate::supervise::policy::{Decision, Exhausted, RestartPolicy};
use crate::supervise::slot::SlotOwner;
use crate::transport::Transport;

/// How often the tables are looked at (wall time).
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a dead exchange's children may take to end before its next life starts anyway.
const FAMILY_WAIT: Duration = Duration::from_secs(10);
const WRITER: &str = "writer";
const STATUS: &str = "status";

/// What the actor is built from.
pub struct SupervisorSetup {
    /// Policies and overrides.
    pub config: Arc<Config>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// How venues are reached.
    pub transport: Arc<dyn Transport>,
    /// Our clock.
    pub clock: Clock,
    /// Base URL of a simulator that stands for all venues.
    pub simulator: Option<String>,
    /// The one symbol to work on, instead of all.
    pub only: Option<(String, Symbol)>,
    /// Statuses in memory.
    pub board: Board,
    /// Running totals.
    pub tally: Tally,
    /// Held for as long as this actor lives.
    pub lock: Box<dyn CollectorLock>,
    /// Told how the collector ended.
    pub ended: oneshot::Sender<Result<(), CollectorFailed>>,
}

/// The collector could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the collector failed: {0}")]
pub struct CollectorFailed(pub String);

/// See the module.
pub struct Supervisor {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    clock: Clock,
    simulator: Option<String>,
    only: Option<(String, Symbol)>,
    board: Board,
    tally: Tally,
    _lock: Box<dyn CollectorLock>,
    ended: Option<oneshot::Sender<Result<(), CollectorFailed>>>,
    writer: SlotOwner<WriterActor>,
    status: SlotOwner<StatusActor>,
    services: Children<&'static str, WriterActor>,
    reporters: Children<&'static str, StatusActor>,
    exchanges: Children<String, ExchangeActor>,
    families: HashMap<String, Family>,
    /// Exchanges that are not wanted any more and have not ended yet.
    ending: BTreeSet<String>,
    service_family: (Family, Member),
    budgets: HashMap<String, Arc<Mutex<Budgets>>>,
    wanted: BTreeMap<String, (ExchangeRow, Vec<SymbolRow>)>,
    seen_version: Option<i64>,
    connections: Arc<AtomicU64>,
    is_looking: bool,
    is_stopping: bool,
}

impl Supervisor {
    /// A supervisor that is about to start its tree.
    pub fn new(setup: SupervisorSetup) -> Supervisor {
        let policies = &setup.config.restart;
        Supervisor {
            services: Children::new(policies.writer),
            // Nothing that happens on the side branch may stop the collecting.
            reporters: Children::new(RestartPolicy {
                exhausted: Exhausted::Quarantine(policies.writer.period),
                ..policies.writer
            }),
            exchanges: Children::new(policies.exchange),
            config: setup.config,
            store: setup.store,
            transport: setup.transport,
            clock: setup.clock,
            simulator: setup.simulator,
            only: setup.only,
            board: setup.board,
            tally: setup.tally,
            _lock: setup.lock,
            ended: Some(setup.ended),
            writer: SlotOwner::default(),
            status: SlotOwner::default(),
            families: HashMap::new(),
            ending: BTreeSet::new(),
            service_family: Family::new(),
            budgets: HashMap::new(),
            wanted: BTreeMap::new(),
            seen_version: None,
            connections: Arc::new(AtomicU64::new(1)),
            is_looking: false,
            is_stopping: false,
        }
    }

    fn start_status(&mut self, ctx: &mut Context<Self>) {
        let generation = self.reporters.next_generation();
        let actor = StatusActor::new(StatusSetup {
            board: self.board.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            config: self.config.status.clone(),
            guard: ExitGuard::new(STATUS, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.reporters.started(STATUS, generation, actor.clone());
        self.status.fill(actor);
    }

    fn start_writer(&mut self, ctx: &mut Context<Self>) {
        let generation = self.services.next_generation();
        let actor = WriterActor::new(WriterSetup {
            store: self.store.clone(),
            config: self.config.writer.clone(),
            tally: self.tally.clone(),
            status: self.status.slot(),
            guard: ExitGuard::new(WRITER, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.services.started(WRITER, generation, actor.clone());
        self.writer.fill(actor);
    }

    /// Reads the tables when they have changed, and changes only what changed.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.is_looking || self.is_stopping {
            return;
        }
        self.is_looking = true;
        let (store, seen) = (self.store.clone(), self.seen_version);
        let looking = async move {
            let version = store.settings_version().await?;
            if seen == Some(version) {
                return Ok(None);
            }
            Ok::<_, StoreError>(Some((version, store.exchanges().await?, store.symbols().await?)))
        };
        ctx.spawn(looking.into_actor(self).map(|result, actor, ctx| {
            actor.is_looking = false;
            match result {
                Ok(Some((version, exchanges, symbols))) => {
                    actor.seen_version = Some(version);
                    actor.settings(exchanges, symbols, ctx);
                }
                Ok(None) => {}
                Err(error) => warn!(%error, "the settings cannot be read; trying again"),
            }
        }));
    }

    fn settings(&mut self, exchanges: Vec<ExchangeRow>, mut symbols: Vec<SymbolRow>, ctx: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        if let Some((exchange, symbol)) = &self.only {
            symbols.retain(|row| row.exchange == *exchange && row.symbol == *symbol);
        }
        if symbols.is_empty() && self.only.is_none() {
            info!(
                "nothing to collect yet; add a symbol with: candlewick symbols add kraken BTC/USD -t 1m,1h --backfill-days 1"
            );
        }
        let mut next: BTreeMap<String, (ExchangeRow, Vec<SymbolRow>)> = BTreeMap::new();
        for mut row in exchanges {
            self.apply_config(&mut row);
            if row.enabled {
                next.insert(row.name.clone(), (row, Vec::new()));
            }
        }
        for symbol in symbols {
            if let Some((_, rows)) = next.get_mut(&symbol.exchange) {
                rows.push(symbol);
            }
        }
        next.retain(|_, (_, symbols)| !symbols.is_empty());
        let gone: Vec<String> = self.wanted.keys().filter(|name| !next.contains_key(*name)).cloned().collect();
        for name in gone {
            self.drop_exchange(name, ctx);
        }
        for (name, (row, symbols)) in next {
            let before = self.wanted.insert(name.clone(), (row.clone(), symbols.clone()));
            let moved =
                before.is_some_and(|(old, _)| (&old.rest_url, &old.stream_url) != (&row.rest_url, &row.stream_url));
            match self.exchanges.addr(&name) {
                // New addresses need a new dialect: this life ends, and the next one has them.
                Some(addr) if moved => addr.do_send(Stop),
                Some(addr) => addr.do_send(Configure { exchange: row, symbols }),
                None if !self.exchanges.knows(&name) => self.start_exchange(&name, ctx),
                None => {}
            }
        }
        self.report();
    }

    /// The config file overrides the table.
    fn apply_config(&self, row: &mut ExchangeRow) {
        let Some(config) = self.config.exchanges.get(&row.name) else { return };
        row.enabled = config.enabled.unwrap_or(row.enabled);
        row.rest_url = config.rest_url.clone().or(row.rest_url.take());
        row.stream_url = config.stream_url.clone().or(row.stream_url.take());
        row.mode = config.mode.unwrap_or(row.mode);
    }

    fn endpoints(&self, row: &ExchangeRow, known: &registry::Row) -> Endpoints {
        let mut endpoints = match &self.simulator {
            Some(base) => known.simulated_endpoints(base),
            None => known.public_endpoints(),
        };
        if self.simulator.is_none() {
            let trimmed = |url: &String| url.trim_end_matches('/').to_owned();
            endpoints.rest = row.rest_url.as_ref().map_or(endpoints.rest, trimmed);
            endpoints.stream = row.stream_url.as_ref().map_or(endpoints.stream, trimmed);
        }
        if let Some(agent) = self.config.exchanges.get(&row.name).and_then(|config| config.user_agent.clone()) {
            endpoints.user_agent = agent;
        }
        endpoints
    }

    fn start_exchange(&mut self, name: &str, ctx: &mut Context<Self>) {
        if self.is_stopping || self.ending.contains(name) || self.exchanges.addr(&name.to_owned()).is_some() {
            return;
        }
        let Some((row, symbols)) = self.wanted.get(name).cloned() else { return };
        let known = match registry::find(name) {
            Ok(known) => known,
            Err(error) => return warn!(%error, "an exchange of the tables is skipped"),
        };
        let dialect = (known.build)(self.endpoints(&row, known));
        let venue = Venue::new(dialect, self.transport.clone(), self.clock.clone(), self.tally.clone());
        let now = self.clock.now();
        let capabilities = known.capabilities;
        let budgets = self.budgets.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Budgets {
                rest: Budget::new(capabilities.limits, now),
                connects: Budget::new(&[capabilities.connection.connects], now),
            }))
        });
        let (family, member) = Family::new();
        let id = name.to_owned();
        let generation = self.exchanges.next_generation();
        let restarts = if self.exchanges.knows(&id) { self.exchanges.restarts(&id) + 1 } else { 0 };
        let actor = ExchangeActor::new(ExchangeSetup {
            row,
            symbols,
            venue,
            store: self.store.clone(),
            writer: self.writer.slot(),
            status: self.status.slot(),
            policies: self.config.restart.clone(),
            reprobe: self.config.reprobe,
            budgets: budgets.clone(),
            connections: self.connections.clone(),
            supervisor: ctx.address(),
            restarts,
            guard: ExitGuard::new(id.clone(), generation, ctx.address().recipient()),
            member,
        })
        .start();
        self.exchanges.started(id.clone(), generation, actor);
        self.families.insert(id, family);
    }

    /// Starts the next life of an exchange when everything of the last one is gone.
    fn restart_exchange(&mut self, name: String, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        let family = self.families.remove(&name);
        let clock = self.clock.clone();
        let waiting = async move {
            if let Some(mut family) = family
                && !family.ended_within(FAMILY_WAIT).await
            {
                warn!("some children of a dead exchange are still alive");
            }
            clock.sleep_until(at).await;
            name
        };
        ctx.spawn(waiting.into_actor(self).map(|name, actor, ctx| actor.start_exchange(&name, ctx)));
    }

    /// Ends an exchange. Its status is removed when nobody can report any more, and should it be
    /// wanted again meanwhile, it starts only then.
    fn drop_exchange(&mut self, name: String, ctx: &mut Context<Self>) {
        let Some((_, symbols)) = self.wanted.remove(&name) else { return };
        if let Some(addr) = self.exchanges.remove(&name) {
            addr.do_send(Stop);
        }
        let family = self.families.remove(&name);
        self.ending.insert(name.clone());
        let waiting = async move {
            if let Some(mut family) = family {
                family.ended_within(FAMILY_WAIT).await;
            }
        };
        ctx.spawn(waiting.into_actor(self).map(move |(), actor, ctx| {
            actor.ending.remove(&name);
            if let Some(status) = actor.status.current() {
                for symbol in symbols {
                    status.do_send(Forget(format!("{name}:{}", symbol.symbol)));
                }
                status.do_send(Forget(name.clone()));
            }
            actor.start_exchange(&name, ctx);
        }));
    }

    fn report(&self) {
        let Some(status) = self.status.current() else { return };
        let mut report = ComponentStatus::starting(DAEMON);
        let symbols: usize = self.wanted.values().map(|(_, symbols)| symbols.len()).sum();
        (report.health, report.phase) = (Health::Running, Phase::Live);
        report.message = match symbols {
            0 => "nothing to collect: candlewick symbols add EXCHANGE SYMBOL".to_owned(),
            _ => format!("{symbols} symbols of {} exchanges", self.wanted.len()),
        };
        status.do_send(Report(report));
    }

    fn escalate(&mut self, why: String, ctx: &mut Context<Self>) {
        error!(why, "the collector cannot go on");
        if let Some(ended) = self.ended.take() {
            // Nobody may be waiting for the end.
            let _ = ended.send(Err(CollectorFailed(why)));
        }
        self.is_stopping = true;
        self.exchanges.living().for_each(|(_, addr)| addr.do_send(Stop));
        ctx.stop();
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.start_status(ctx);
        self.start_writer(ctx);
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, |actor, ctx| actor.look(ctx));
        ctx.run_interval(Duration::from_secs(5), |actor, _| actor.report());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.exchanges.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.services.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.reporters.living().for_each(|(_, addr)| addr.do_send(Stop));
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(Ok(()));
        }
    }
}

impl Handler<Blocked> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: Blocked, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let storing = async move {
            if let Err(error) = store.set_blocked_until(&message.exchange, Some(message.until)).await {
                warn!(%error, exchange = message.exchange, "a ban could not be stored; it holds until the next start");
            }
        };
        ctx.spawn(storing.into_actor(self));
    }
}

impl Handler<ChildExited<String>> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<String>, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let Some(decision) = self.exchanges.exited(&message, now, rand::random()) else { return };
        if self.is_stopping {
            return;
        }
        let at = match decision {
            Decision::RestartAt(at) | Decision::Quarantine { until: at } => at,
            Decision::Escalate => return self.escalate(format!("{}: {:?}", message.id, message.exit), ctx),
        };
        warn!(exchange = message.id, exit = ?message.exit, restart_at = %at, "exchange ended; it is started again");
        if let Some(status) = self.status.current() {
            let mut report = ComponentStatus::starting(&message.id);
            report.exchange = Some(message.id.clone());
            (report.health, report.phase) = (Health::Error, Phase::Waiting);
            report.message = format!("restarts at {at} after {:?}", message.exit);
            status.do_send(Report(report));
        }
        self.restart_exchange(message.id, at, ctx);
    }
}

impl Handler<ChildExited<&'static str>> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<&'static str>, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let decision = match message.id {
            WRITER => self.services.exited(&message, now, rand::random()),
            _ => self.reporters.exited(&message, now, rand::random()),
        };
        let Some(decision) = decision.filter(|_| !self.is_stopping) else { return };
        warn!(service = message.id, exit = ?message.exit, "service ended");
        match (decision, message.id) {
            (Decision::RestartAt(at) | Decision::Quarantine { until: at }, id) => {
                let wait = self.clock.to_wall((at - now).to_std().unwrap_or_default());
                ctx.run_later(wait.max(Duration::from_millis(1)), move |actor, ctx| match id {
                    WRITER => actor.start_writer(ctx),
                    _ => actor.start_status(ctx),
                });
            }
            (Decision::Escalate, id) => self.escalate(format!("{id} keeps failing: {:?}", message.exit), ctx),
        }
    }
}

impl Handler<Refresh> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) -> Self::Result {
        self.is_stopping = true;
        let deadline = tokio::time::Instant::now() + self.config.shutdown.deadline;
        let left = move || deadline.saturating_duration_since(tokio::time::Instant::now());
        self.exchanges.living().for_each(|(_, addr)| addr.do_send(Stop));
        let families: Vec<Family> = self.families.drain().map(|(_, family)| family).collect();
        let (writer, status) = (self.writer.current(), self.status.current());
        let (mut services, member) = std::mem::replace(&mut self.service_family, Family::new());
        drop(member);
        ctx.cancel_future(SpawnHandle::default());
        let stopping = async move {
            for mut family in families {
                if !family.ended_within(left()).await {
                    warn!("a source did not hand over in time");
                }
            }
            if let Some(writer) = writer {
                if tokio::time::timeout(left(), writer.send(Flush)).await.is_err() {
                    warn!("the writer did not finish in time; what was not stored is fetched again");
                }
                writer.do_send(Stop);
            }
            if let Some(status) = status {
                status.do_send(Stop);
            }
            services.ended_within(left().max(Duration::from_millis(500))).await;
        };
        Box::pin(stopping.into_actor(self).map(|(), _, ctx| ctx.stop()))
    }
}
