//! One exchange: probes what works, owns the gate, the rate budget and the connections, and keeps
//! one SymbolActor per symbol. A venue that is down is not its symbols' failure: the gate closes,
//! their calls wait, and a probe (restarted with back-off) opens it again.

mod deaf;
mod gate;
mod report;
mod rest;
mod rotation;
mod settings;
mod streams;
mod symbols;
mod tickers;
mod unlisted;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use self::gate::Gate;
use self::rest::{CandleWork, Rest, TradeWork, Work};
use self::streams::Lines;
use self::tickers::Tickers;
use super::messages::{Door, FetchCandles, FetchError, FetchTrades, FetchedPage, FetchedTrades, Stop, TurnedAway};
use super::probe::ProbeActor;
use super::status::StatusActor;
use super::stream::{StreamActor, StreamKey};
use super::supervisor::Supervisor;
use super::symbol::SymbolActor;
use super::venue::Venue;
use super::writer::WriterActor;
use crate::config::RestartPolicies;
use crate::engine::budget::Budget;
use crate::exchange::Instrument;
use crate::market::Symbol;
use crate::store::spool::Backlog;
use crate::store::{ExchangeRow, Store, SymbolRow};
use crate::supervise::children::Children;
use crate::supervise::connections::{DeafPolicy, RotationPolicy};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::supervise::jitter::Jitter;
use crate::supervise::policy::ReprobePolicy;
use crate::supervise::slot::Slot;

/// How often the instrument list is read again.
const RELIST_EVERY: Duration = Duration::from_secs(3600);

/// What the venue counts; kept by the Supervisor, so that no restart forgets it.
#[derive(Debug)]
pub struct Budgets {
    /// REST calls.
    pub rest: Budget,
    /// Connects.
    pub connects: Budget,
}

impl Budgets {
    /// The used share of each limit at `now`, by its name.
    pub fn used(&mut self, now: DateTime<Utc>) -> BTreeMap<&'static str, f64> {
        [&mut self.rest, &mut self.connects].into_iter().flat_map(|budget| budget.shares_used(now)).collect()
    }
}

/// What the actor is built from.
pub struct ExchangeSetup {
    /// Its settings.
    pub row: ExchangeRow,
    /// Its symbols.
    pub symbols: Vec<SymbolRow>,
    /// The venue.
    pub venue: Venue,
    /// Where symbols read their ledgers.
    pub store: Arc<dyn Store>,
    /// What the store lacks of what they handed over.
    pub backlog: Backlog,
    /// Who writes.
    pub writer: Slot<WriterActor>,
    /// Where to report.
    pub status: Slot<StatusActor>,
    /// When children are started again.
    pub policies: RestartPolicies,
    /// When a stream that was not available is tried again.
    pub reprobe: ReprobePolicy,
    /// When a connection is replaced before the venue ends it.
    pub rotation: RotationPolicy,
    /// When a silent stream is taken for deaf.
    pub deaf: DeafPolicy,
    /// The random part of waits.
    pub jitter: Jitter,
    /// How often tickers are read, in our clock.
    pub ticker_every: Duration,
    /// What the venue counts.
    pub budgets: Arc<Mutex<Budgets>>,
    /// Numbers connections uniquely within the collector.
    pub connections: Arc<AtomicU64>,
    /// Who is told of bans.
    pub supervisor: Addr<Supervisor>,
    /// Symbols compare and repair what they are asked to, and nothing is collected.
    pub only_audits: bool,
    /// Lives before this one that failed.
    pub restarts: u64,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<String>,
    /// Keeps the family alive; given to all children.
    pub member: Member,
}

/// See the module.
pub struct ExchangeActor {
    setup: ExchangeSetup,
    wanted: BTreeMap<Symbol, Arc<SymbolRow>>,
    instruments: HashMap<Symbol, Arc<Instrument>>,
    gate: Gate,
    rest: Rest,
    lines: Lines,
    tickers: Tickers,
    streams_work: bool,
    stream_trials: u32,
    probe: Children<(), ProbeActor>,
    streams: Children<StreamKey, StreamActor>,
    symbols: Children<Symbol, SymbolActor>,
    /// Markets that are gone, of which inferred bars are being withdrawn.
    withdrawing: BTreeSet<Symbol>,
    is_stopping: bool,
}

impl ExchangeActor {
    /// An actor that has not reached its venue yet.
    pub fn new(mut setup: ExchangeSetup) -> ExchangeActor {
        let wanted = by_name(std::mem::take(&mut setup.symbols));
        ExchangeActor {
            wanted,
            instruments: HashMap::new(),
            gate: Gate::Untried,
            rest: Rest::new(),
            lines: Lines::default(),
            tickers: Tickers::default(),
            streams_work: false,
            stream_trials: 0,
            probe: Children::new(setup.policies.probe),
            streams: Children::new(setup.policies.stream),
            symbols: Children::new(setup.policies.symbol),
            withdrawing: BTreeSet::new(),
            is_stopping: false,
            setup,
        }
    }

    fn addr(&self, ctx: &Context<Self>) -> Addr<Self> {
        ctx.address()
    }

    fn wall_until(&self, at: DateTime<Utc>) -> Duration {
        let clock = &self.setup.venue.clock;
        clock.to_wall((at - clock.now()).to_std().unwrap_or_default()).max(Duration::from_millis(1))
    }

    fn with_budget<R>(&mut self, run: impl FnOnce(&mut Rest, &mut Budget) -> R) -> R {
        let mut budgets = self.setup.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        run(&mut self.rest, &mut budgets.rest)
    }

    fn with_budgets<R>(&self, run: impl FnOnce(&mut Budgets) -> R) -> R {
        run(&mut self.setup.budgets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until when a door is closed by the venue, while it is.
    fn blocked(&self, door: Door) -> Option<DateTime<Utc>> {
        let now = self.setup.venue.clock.now();
        let until = self.with_budgets(|budgets| match door {
            Door::Rest => budgets.rest.blocked_until(),
            Door::Stream => budgets.connects.blocked_until(),
        });
        until.filter(|until| *until > now)
    }

    fn fail(&mut self, why: String, ctx: &mut Context<Self>) {
        self.setup.guard.ends_with(Exit::Failed(why));
        ctx.stop();
    }

    /// The rows of which more is wanted than the ticker.
    fn collected(&self) -> impl Iterator<Item = &SymbolRow> {
        self.wanted.values().map(|row| &**row).filter(|row| !row.only_ticker)
    }

    fn stop_symbols_when_streams_ended(&mut self, ctx: &mut Context<Self>) {
        if self.streams.living().next().is_some() {
            return;
        }
        let symbols: Vec<Symbol> = self.symbols.living().map(|(symbol, _)| symbol.clone()).collect();
        for symbol in symbols {
            self.cancel(&symbol);
            if let Some(addr) = self.symbols.addr(&symbol) {
                addr.do_send(Stop);
            }
        }
        self.end_when_symbols_ended(ctx);
    }

    fn end_when_symbols_ended(&self, ctx: &mut Context<Self>) {
        if self.streams.living().next().is_none() && self.symbols.living().next().is_none() {
            ctx.stop();
        }
    }
}

/// Rows that the actors of their symbols share.
fn by_name(rows: Vec<SymbolRow>) -> BTreeMap<Symbol, Arc<SymbolRow>> {
    rows.into_iter().map(|row| (row.symbol.clone(), Arc::new(row))).collect()
}

impl Actor for ExchangeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(until) = self.setup.row.blocked_until {
            self.with_budgets(|budgets| {
                budgets.rest.block_until(until);
                budgets.connects.block_until(until);
            });
        }
        self.report();
        self.start_probe(ctx);
        let relist = self.setup.venue.clock.to_wall(RELIST_EVERY).max(Duration::from_secs(1));
        ctx.run_interval(relist, |actor, ctx| actor.start_probe(ctx));
        self.start_tickers(ctx);
        ctx.run_interval(Duration::from_secs(5), |actor, _| {
            actor.report();
            actor.report_tickers();
        });
    }
}

impl Drop for ExchangeActor {
    fn drop(&mut self) {
        // Also after a panic: nobody below outlives this life.
        self.probe.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.streams.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.symbols.living().for_each(|(_, addr)| addr.do_send(Stop));
    }
}

impl Handler<FetchCandles> for ExchangeActor {
    type Result = ResponseActFuture<Self, Result<FetchedPage, FetchError>>;

    fn handle(&mut self, message: FetchCandles, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, page) = oneshot::channel();
        let FetchCandles { instrument, timeframe, call } = message;
        if !self.is_stopping {
            self.ask(Work::Candles(CandleWork { instrument, timeframe, call, reply }), ctx);
        }
        Box::pin(async move { page.await.unwrap_or(Err(FetchError::Cancelled)) }.into_actor(self))
    }
}

impl Handler<FetchTrades> for ExchangeActor {
    type Result = ResponseActFuture<Self, Result<FetchedTrades, FetchError>>;

    fn handle(&mut self, message: FetchTrades, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, page) = oneshot::channel();
        let FetchTrades { instrument, call } = message;
        if !self.is_stopping {
            self.ask(Work::Trades(TradeWork { instrument, call, reply }), ctx);
        }
        Box::pin(async move { page.await.unwrap_or(Err(FetchError::Cancelled)) }.into_actor(self))
    }
}

impl Handler<TurnedAway> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: TurnedAway, _: &mut Context<Self>) {
        self.turned_away(message);
    }
}

impl Handler<Stop> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.is_stopping = true;
        self.probe.living().for_each(|(_, probe)| probe.do_send(Stop));
        self.streams.living().for_each(|(_, stream)| stream.do_send(Stop));
        self.stop_symbols_when_streams_ended(ctx);
    }
}
