//! One exchange: probes what works, owns the gate, the rate budget and the connections, and keeps
//! one SymbolActor per symbol. A venue that is down is not its symbols' failure: the gate closes,
//! their calls wait, and a probe (restarted with back-off) opens it again.

mod rest;
mod streams;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::rest::{CandleWork, Rest, Work};
use self::streams::Lines;
use super::messages::{
    Configure, Door, FetchCandles, FetchError, FetchedPage, Forget, Probed, Report, Stop, SymbolNews, SymbolNotice,
    TurnedAway,
};
use super::probe::{ProbeActor, ProbeSetup};
use super::status::StatusActor;
use super::stream::{StreamActor, StreamKey};
use super::supervisor::Supervisor;
use super::symbol::{SymbolActor, SymbolSetup};
use super::venue::Venue;
use super::writer::WriterActor;
use crate::config::RestartPolicies;
use crate::engine::budget::{Budget, transit_allowance};
use crate::exchange::{Channel, Instrument, InstrumentSource};
use crate::market::Symbol;
use crate::status::{ComponentStatus, Health, Phase};
use crate::store::{AnchorsRow, ExchangeMode, ExchangeRow, Store, SymbolRow, SymbolState};
use crate::supervise::children::Children;
use crate::supervise::exit::{ChildExited, Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::supervise::policy::{Decision, ReprobePolicy};
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
    /// Who writes.
    pub writer: Slot<WriterActor>,
    /// Where to report.
    pub status: Slot<StatusActor>,
    /// When children are started again.
    pub policies: RestartPolicies,
    /// When a stream that was not available is tried again.
    pub reprobe: ReprobePolicy,
    /// What the venue counts.
    pub budgets: Arc<Mutex<Budgets>>,
    /// Numbers connections uniquely within the collector.
    pub connections: Arc<AtomicU64>,
    /// Who is told of bans.
    pub supervisor: Addr<Supervisor>,
    /// Lives before this one.
    pub restarts: u64,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<String>,
    /// Keeps the family alive; given to all children.
    pub member: Member,
}

/// See the module.
pub struct ExchangeActor {
    setup: ExchangeSetup,
    wanted: BTreeMap<Symbol, SymbolRow>,
    instruments: HashMap<Symbol, Arc<Instrument>>,
    gate: Gate,
    rest: Rest,
    lines: Lines,
    streams_work: bool,
    stream_trials: u32,
    probe: Children<(), ProbeActor>,
    streams: Children<StreamKey, StreamActor>,
    symbols: Children<Symbol, SymbolActor>,
    is_stopping: bool,
}

/// Whether calls may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gate {
    Open,
    Closed(String),
}

impl Gate {
    fn is_open(&self) -> bool {
        *self == Gate::Open
    }
}

impl ExchangeActor {
    /// An actor that has not reached its venue yet.
    pub fn new(setup: ExchangeSetup) -> ExchangeActor {
        let wanted = setup.symbols.iter().map(|row| (row.symbol.clone(), row.clone())).collect();
        ExchangeActor {
            wanted,
            instruments: HashMap::new(),
            gate: Gate::Closed("not reached yet".to_owned()),
            rest: Rest::new(),
            lines: Lines::default(),
            streams_work: false,
            stream_trials: 0,
            probe: Children::new(setup.policies.probe),
            streams: Children::new(setup.policies.stream),
            symbols: Children::new(setup.policies.symbol),
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

    // --- gate and probe ---------------------------------------------------------------------

    fn close_gate(&mut self, why: String, ctx: &mut Context<Self>) {
        let was_open = self.gate.is_open();
        if was_open {
            warn!(exchange = self.setup.venue.id(), why, "the venue does not answer as it should; calls wait");
        }
        self.gate = Gate::Closed(why);
        self.report();
        if was_open && let Some(wait) = self.probe.pause(&(), rand::random()) {
            ctx.run_later(self.setup.venue.clock.to_wall(wait), |actor, ctx| actor.start_probe(ctx));
        }
    }

    fn open_gate(&mut self, ctx: &mut Context<Self>) {
        if let Gate::Closed(why) = std::mem::replace(&mut self.gate, Gate::Open) {
            info!(exchange = self.setup.venue.id(), after = why, "the venue answers");
        }
        self.report();
        self.pump(ctx);
    }

    /// A call succeeded: the next trouble is met with short waits again.
    fn venue_works(&mut self) {
        let now = self.setup.venue.clock.now();
        self.probe.useful(&(), now);
    }

    fn start_probe(&mut self, ctx: &mut Context<Self>) {
        if self.is_stopping || self.probe.addr(&()).is_some() {
            return;
        }
        if let Some(until) = self.blocked(Door::Rest) {
            ctx.run_later(self.wall_until(until), |actor, ctx| actor.start_probe(ctx));
            return;
        }
        let wants_stream =
            self.setup.row.mode != ExchangeMode::Poll && !self.streams_work && self.blocked(Door::Stream).is_none();
        let capabilities = self.setup.venue.capabilities();
        let channel = self.wanted.values().flat_map(|row| &row.timeframes).copied().min();
        let channel = channel.filter(|timeframe| capabilities.timeframe(*timeframe).is_some());
        let stream_trial =
            channel.filter(|_| wants_stream && capabilities.candle_stream.is_some()).map(Channel::Candles);
        // One symbol shows that a venue without an instrument list is there; the others are asked for in the queue.
        let mut symbols: Vec<Symbol> = self.wanted.keys().cloned().collect();
        if capabilities.instruments == InstrumentSource::PerSymbol {
            let unknown = symbols.iter().position(|symbol| !self.instruments.contains_key(symbol)).unwrap_or(0);
            symbols = symbols.drain(..).skip(unknown).take(1).collect();
        }
        let generation = self.probe.next_generation();
        let parent = self.addr(ctx);
        let probe = ProbeActor::new(ProbeSetup {
            venue: self.setup.venue.clone(),
            symbols,
            stream_trial,
            parent: parent.clone(),
            guard: ExitGuard::new((), generation, parent.recipient()),
            member: self.setup.member.clone(),
        })
        .start();
        self.probe.started((), generation, probe);
    }

    fn probed(&mut self, probed: Probed, ctx: &mut Context<Self>) {
        for (symbol, why) in probed.unknown {
            self.unknown(symbol, why);
        }
        match probed.stream {
            Some(Ok(())) => {
                self.streams_work = true;
                self.stream_trials = 0;
            }
            Some(Err(why)) => {
                let wait = self.setup.reprobe.wait(self.stream_trials, rand::random());
                self.stream_trials = self.stream_trials.saturating_add(1);
                let at = Some(self.setup.venue.clock.now() + wait).max(self.blocked(Door::Stream)).unwrap_or_default();
                warn!(exchange = self.setup.venue.id(), why, again_at = %at, "no stream; polling until it is tried again");
                ctx.run_later(self.wall_until(at), |actor, ctx| actor.start_probe(ctx));
            }
            None => {}
        }
        self.open_gate(ctx);
        self.described(probed.instruments, ctx);
        self.attach_all(ctx);
        self.describe_rest(ctx);
    }

    /// Asks for the markets that are wanted and not described yet.
    fn describe_rest(&mut self, ctx: &mut Context<Self>) {
        if self.setup.venue.capabilities().instruments != InstrumentSource::PerSymbol || !self.gate.is_open() {
            return;
        }
        let open: Vec<Symbol> =
            self.wanted.keys().filter(|symbol| !self.instruments.contains_key(*symbol)).cloned().collect();
        for symbol in open {
            self.cancel(&symbol);
            self.ask(Work::Describe(symbol), ctx);
        }
    }

    fn described(&mut self, found: Vec<Instrument>, ctx: &mut Context<Self>) {
        for instrument in found {
            let symbol = instrument.symbol.clone();
            if !self.wanted.contains_key(&symbol) {
                continue;
            }
            self.instruments.insert(symbol.clone(), Arc::new(instrument));
            if self.symbols.addr(&symbol).is_none() && !self.symbols.knows(&symbol) {
                self.start_symbol(&symbol, ctx);
            }
        }
    }

    // --- symbols ----------------------------------------------------------------------------

    /// The venue does not know a symbol: shown, not restarted, asked for again with the next list.
    fn unknown(&mut self, symbol: Symbol, why: String) {
        // Should the instrument list be the first to say so, its actor has nothing to serve any more.
        self.stop_symbol(&symbol);
        self.symbols.remove(&symbol);
        self.instruments.remove(&symbol);
        let Some(row) = self.wanted.get_mut(&symbol) else { return };
        warn!(exchange = self.setup.venue.id(), %symbol, why, "the venue does not know this symbol");
        row.state = SymbolState::Rejected(why);
        let row = row.clone();
        self.report_idle(&row);
        self.store_state(&row);
    }

    fn store_state(&self, row: &SymbolRow) {
        let (store, row) = (self.setup.store.clone(), row.clone());
        actix_rt::spawn(async move {
            if let Err(error) = store.set_symbol_state(&row.exchange, &row.symbol, &row.state).await {
                warn!(%error, symbol = %row.symbol, "the symbol's state was not stored");
            }
        });
    }

    /// Readers need the bucket borders too, also when no collector runs.
    fn store_anchors(&self, row: &SymbolRow, instrument: &Instrument) {
        let anchors = AnchorsRow::from(instrument.anchors);
        if row.anchors.as_ref() == Some(&anchors) {
            return;
        }
        let (store, id, symbol) = (self.setup.store.clone(), row.id, row.symbol.clone());
        actix_rt::spawn(async move {
            if let Err(error) = store.set_anchors(id, &anchors).await {
                warn!(%error, %symbol, "the symbol's bucket borders were not stored");
            }
        });
    }

    fn start_symbol(&mut self, symbol: &Symbol, ctx: &mut Context<Self>) {
        if self.is_stopping || self.symbols.addr(symbol).is_some() {
            return;
        }
        let Some(row) = self.wanted.get_mut(symbol) else { return };
        let Some(instrument) = self.instruments.get(symbol).cloned() else { return };
        if !row.collect_candles || row.only_ticker || row.state == SymbolState::Paused {
            let row = row.clone();
            return self.report_idle(&row);
        }
        if row.state != SymbolState::Active {
            row.state = SymbolState::Active;
            let row = row.clone();
            self.store_state(&row);
        }
        let Some(row) = self.wanted.get(symbol).cloned() else { return };
        self.store_anchors(&row, &instrument);
        let generation = self.symbols.next_generation();
        let parent = self.addr(ctx);
        let restarts = if self.symbols.knows(symbol) { self.symbols.restarts(symbol) + 1 } else { 0 };
        let actor = SymbolActor::new(SymbolSetup {
            venue: self.setup.venue.clone(),
            row,
            instrument,
            store: self.setup.store.clone(),
            writer: self.setup.writer.clone(),
            status: self.setup.status.clone(),
            parent: parent.clone(),
            restarts,
            guard: ExitGuard::new(symbol.clone(), generation, parent.recipient()),
            member: self.setup.member.clone(),
        })
        .start();
        self.symbols.started(symbol.clone(), generation, actor);
        self.attach(symbol, ctx);
    }

    fn stop_symbol(&mut self, symbol: &Symbol) {
        self.cancel(symbol);
        self.detach(symbol);
        if let Some(addr) = self.symbols.addr(symbol) {
            addr.do_send(Stop);
        }
    }

    /// Takes a symbol that is not wanted any more off the status.
    fn forget(&self, symbol: &Symbol) {
        if let Some(status) = self.setup.status.current()
            && !self.wanted.contains_key(symbol)
        {
            status.do_send(Forget(format!("{}:{symbol}", self.setup.venue.id())));
        }
    }

    fn configure(&mut self, configure: Configure, ctx: &mut Context<Self>) {
        let mode_changed = configure.exchange.mode != self.setup.row.mode;
        self.setup.row = configure.exchange;
        let mut next: BTreeMap<Symbol, SymbolRow> =
            configure.symbols.into_iter().map(|row| (row.symbol.clone(), row)).collect();
        let gone: Vec<Symbol> = self.wanted.keys().filter(|symbol| !next.contains_key(*symbol)).cloned().collect();
        for symbol in gone {
            self.stop_symbol(&symbol);
            self.wanted.remove(&symbol);
            if self.symbols.remove(&symbol).is_none() {
                self.forget(&symbol);
            }
        }
        let mut fresh = Vec::new();
        while let Some((symbol, row)) = next.pop_first() {
            let known = self.wanted.insert(symbol.clone(), row.clone());
            match known {
                Some(known) if wants_the_same(&known, &row) => {}
                Some(_) => {
                    // A living child ends and its next life has the new settings; others start now.
                    self.stop_symbol(&symbol);
                    if self.symbols.addr(&symbol).is_none() {
                        self.symbols.remove(&symbol);
                        fresh.push(symbol);
                    }
                }
                None => fresh.push(symbol),
            }
        }
        for symbol in &fresh {
            self.start_symbol(symbol, ctx);
        }
        if fresh.iter().any(|symbol| !self.instruments.contains_key(symbol)) {
            match self.setup.venue.capabilities().instruments {
                InstrumentSource::PerSymbol => self.describe_rest(ctx),
                InstrumentSource::List => self.start_probe(ctx),
            }
        }
        if mode_changed {
            self.mode_changed(ctx);
        }
        self.report();
    }

    fn mode_changed(&mut self, ctx: &mut Context<Self>) {
        if self.setup.row.mode == ExchangeMode::Poll {
            let symbols: Vec<Symbol> = self.wanted.keys().cloned().collect();
            symbols.iter().for_each(|symbol| self.detach(symbol));
            self.streams.living().for_each(|(_, stream)| stream.do_send(Stop));
        } else if self.streams_work {
            self.attach_all(ctx);
        } else {
            self.start_probe(ctx);
        }
    }

    // --- status and end ---------------------------------------------------------------------

    fn report(&self) {
        let Some(status) = self.setup.status.current() else { return };
        let exchange = self.setup.venue.id();
        let mut report = ComponentStatus::starting(exchange);
        report.exchange = Some(exchange.to_owned());
        report.restarts = self.setup.restarts;
        (report.health, report.phase, report.message) = match (&self.gate, self.blocked(Door::Rest)) {
            (_, Some(until)) => (Health::Error, Phase::Waiting, format!("turned away until {until}")),
            (Gate::Closed(why), None) => (Health::Error, Phase::Waiting, why.clone()),
            (Gate::Open, None) if self.is_stretched() => {
                let waiting = self.rest.live_waiting();
                (
                    Health::Processing,
                    Phase::Live,
                    format!("poll periods stretched: {waiting} calls wait for the rate limit"),
                )
            }
            (Gate::Open, None) => (Health::Running, Phase::Live, String::new()),
        };
        status.do_send(Report(report));
    }

    /// True when the calls that keep series at the present need longer than the shortest bar.
    fn is_stretched(&self) -> bool {
        let finest = self.wanted.values().flat_map(|row| &row.timeframes).min();
        let (Some(limit), Some(finest)) = (self.setup.venue.capabilities().limits.first(), finest) else {
            return false;
        };
        let calls = u32::try_from(self.rest.live_waiting()).unwrap_or(u32::MAX);
        let each = (limit.window + transit_allowance(limit)) / limit.capacity.max(1);
        each.saturating_mul(calls) > finest.nominal()
    }

    fn report_idle(&self, row: &SymbolRow) {
        let Some(status) = self.setup.status.current() else { return };
        let mut report = ComponentStatus::starting(format!("{}:{}", row.exchange, row.symbol));
        (report.exchange, report.symbol) = (Some(row.exchange.clone()), Some(row.symbol.as_str().to_owned()));
        (report.phase, report.health, report.message) = match &row.state {
            SymbolState::Rejected(why) => (Phase::Rejected, Health::Error, why.clone()),
            SymbolState::Paused => (Phase::Paused, Health::Idle, "paused".to_owned()),
            SymbolState::Active => (Phase::Live, Health::Idle, "no candles wanted".to_owned()),
        };
        status.do_send(Report(report));
    }

    fn stop_symbols_when_streams_ended(&mut self, ctx: &mut Context<Self>) {
        if self.streams.living().next().is_some() {
            return;
        }
        let symbols: Vec<Symbol> = self.symbols.living().map(|(symbol, _)| symbol.clone()).collect();
        if symbols.is_empty() {
            return ctx.stop();
        }
        for symbol in symbols {
            self.cancel(&symbol);
            if let Some(addr) = self.symbols.addr(&symbol) {
                addr.do_send(Stop);
            }
        }
    }
}

/// True when a change of the row does not concern its actor.
fn wants_the_same(known: &SymbolRow, row: &SymbolRow) -> bool {
    let pausing = |state: &SymbolState| *state == SymbolState::Paused;
    known.timeframes == row.timeframes
        && known.backfill_from == row.backfill_from
        && known.collect_candles == row.collect_candles
        && known.only_ticker == row.only_ticker
        && pausing(&known.state) == pausing(&row.state)
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
        ctx.run_interval(Duration::from_secs(5), |actor, _| actor.report());
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

impl Handler<Probed> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: Probed, ctx: &mut Context<Self>) {
        if self.probe.is_current(&(), message.generation) {
            self.probed(message, ctx);
        }
    }
}

impl Handler<TurnedAway> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: TurnedAway, _: &mut Context<Self>) {
        self.turned_away(message);
    }
}

impl Handler<SymbolNotice> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, notice: SymbolNotice, ctx: &mut Context<Self>) {
        if !self.symbols.is_current(&notice.symbol, notice.generation) {
            return;
        }
        match notice.news {
            SymbolNews::Useful => self.symbols.useful(&notice.symbol, self.setup.venue.clock.now()),
            SymbolNews::Deaf => self.poll_for(notice.symbol, ctx),
        }
    }
}

impl Handler<Configure> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: Configure, ctx: &mut Context<Self>) {
        if !self.is_stopping {
            self.configure(message, ctx);
        }
    }
}

impl Handler<ChildExited<()>> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<()>, ctx: &mut Context<Self>) {
        let now = self.setup.venue.clock.now();
        let Some(decision) = self.probe.exited(&message, now, rand::random()) else { return };
        let at = match (&message.exit, decision) {
            // A call may have failed since the probe succeeded.
            (Exit::Finished, _) if self.gate.is_open() => return,
            (_, Decision::RestartAt(at) | Decision::Quarantine { until: at }) => at,
            (_, Decision::Escalate) => {
                return self.fail(format!("the venue cannot be reached: {:?}", message.exit), ctx);
            }
        };
        if let Exit::Failed(why) = &message.exit
            && !self.gate.is_open()
        {
            self.gate = Gate::Closed(why.clone());
            self.report();
        }
        ctx.run_later(self.wall_until(at), |actor, ctx| actor.start_probe(ctx));
    }
}

impl Handler<ChildExited<Symbol>> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<Symbol>, ctx: &mut Context<Self>) {
        let symbol = message.id.clone();
        let now = self.setup.venue.clock.now();
        let current = self.symbols.is_current(&symbol, message.generation);
        let decision = self.symbols.exited(&message, now, rand::random());
        if self.is_stopping {
            return self.stop_symbols_when_streams_ended(ctx);
        }
        if !current {
            // What it reported on its way out is its last word.
            return self.forget(&symbol);
        }
        self.cancel(&symbol);
        let exchange = self.setup.venue.id();
        match (message.exit, decision) {
            (Exit::Rejected(why), _) => {
                self.unknown(symbol, why);
            }
            (exit, Some(Decision::RestartAt(at))) => {
                if exit != Exit::Finished {
                    warn!(exchange, %symbol, ?exit, restart_at = %at, "symbol ended; it is started again");
                }
                ctx.run_later(self.wall_until(at), move |actor, ctx| actor.start_symbol(&symbol, ctx));
            }
            (exit, Some(Decision::Quarantine { until })) => {
                warn!(exchange, %symbol, ?exit, %until, "symbol keeps failing; it rests");
                if let Some(status) = self.setup.status.current() {
                    let mut report = ComponentStatus::starting(format!("{exchange}:{symbol}"));
                    (report.exchange, report.symbol) = (Some(exchange.to_owned()), Some(symbol.as_str().to_owned()));
                    (report.phase, report.health) = (Phase::Quarantined, Health::Error);
                    report.message = format!("resting until {until} after {exit:?}");
                    report.restarts = self.symbols.restarts(&symbol);
                    status.do_send(Report(report));
                }
                ctx.run_later(self.wall_until(until), move |actor, ctx| actor.start_symbol(&symbol, ctx));
            }
            (exit, Some(Decision::Escalate)) => self.fail(format!("{symbol} keeps failing: {exit:?}"), ctx),
            (_, None) => {}
        }
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
