//! Whether calls of an exchange may leave, and the probe that finds out: what the venue lists, and
//! whether its stream works.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use super::ExchangeActor;
use super::rest::Work;
use crate::actors::messages::{Door, Probed};
use crate::actors::probe::{ProbeActor, ProbeSetup};
use crate::engine::budget::{Admission, Priority};
use crate::exchange::{Channel, Instrument, InstrumentSource};
use crate::market::Symbol;
use crate::store::ExchangeMode;
use crate::supervise::exit::{ChildExited, Exit, ExitGuard};
use crate::supervise::policy::Decision;

/// Whether calls may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// No probe of this life has come to a verdict yet.
    Untried,
    Open,
    Closed(String),
}

impl Gate {
    pub(super) fn is_open(&self) -> bool {
        *self == Gate::Open
    }
}

impl ExchangeActor {
    pub(super) fn close_gate(&mut self, why: String, ctx: &mut Context<Self>) {
        let was_open = self.gate.is_open();
        if !matches!(self.gate, Gate::Closed(_)) {
            warn!(exchange = self.setup.venue.id(), why, "the venue does not answer as it should; calls wait");
        }
        self.gate = Gate::Closed(why);
        self.report();
        if was_open && let Some(wait) = self.probe.pause(&(), self.setup.jitter.draw()) {
            ctx.run_later(self.setup.venue.clock.to_wall(wait), |actor, ctx| actor.start_probe(ctx));
        }
    }

    pub(super) fn open_gate(&mut self, ctx: &mut Context<Self>) {
        let exchange = self.setup.venue.id();
        match std::mem::replace(&mut self.gate, Gate::Open) {
            Gate::Untried => info!(exchange, "the venue answers"),
            Gate::Closed(why) => info!(exchange, after = why, "the venue answers again"),
            Gate::Open => {}
        }
        self.report();
        self.pump(ctx);
    }

    /// A call succeeded: the next trouble is met with short waits again.
    pub(super) fn venue_works(&mut self) {
        let now = self.setup.venue.clock.now();
        self.probe.useful(&(), now);
    }

    pub(super) fn start_probe(&mut self, ctx: &mut Context<Self>) {
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
        let mut stream_trial = self.stream_trial().filter(|_| wants_stream);
        if stream_trial.is_some()
            && let Admission::WaitUntil(until) = self.admit_connect(Priority::Live)
        {
            stream_trial = None;
            ctx.run_later(self.wall_until(until), |actor, ctx| actor.start_probe(ctx));
        }
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

    /// The channel that shows whether the stream works: the finest candles wanted, else trades.
    fn stream_trial(&self) -> Option<Channel> {
        let capabilities = self.setup.venue.capabilities();
        let finest = self.collected().flat_map(|row| &row.timeframes).copied().min();
        let candles = finest.filter(|timeframe| capabilities.timeframe(*timeframe).is_some());
        match (candles, capabilities.candle_stream, capabilities.trade_stream) {
            (Some(timeframe), Some(_), _) => Some(Channel::Candles(timeframe)),
            (_, _, Some(_)) if self.collected().next().is_some() => Some(Channel::Trades),
            _ => None,
        }
    }

    pub(super) fn probed(&mut self, probed: Probed, ctx: &mut Context<Self>) {
        for (symbol, why) in probed.unknown {
            self.unknown(symbol, why, ctx);
        }
        match probed.stream {
            Some(Ok(())) => {
                self.streams_work = true;
                self.stream_trials = 0;
            }
            Some(Err(why)) => {
                let wait = self.setup.reprobe.wait(self.stream_trials, self.setup.jitter.draw());
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
        self.read_new_tickers(Duration::from_millis(1), ctx);
    }

    /// Asks for the markets that are wanted and not described yet.
    pub(super) fn describe_rest(&mut self, ctx: &mut Context<Self>) {
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

    pub(super) fn described(&mut self, found: Vec<Instrument>, ctx: &mut Context<Self>) {
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
}

impl Handler<Probed> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: Probed, ctx: &mut Context<Self>) {
        if self.probe.is_current(&(), message.generation) {
            self.probed(message, ctx);
        }
    }
}

impl Handler<ChildExited<()>> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<()>, ctx: &mut Context<Self>) {
        let now = self.setup.venue.clock.now();
        let Some(decision) = self.probe.exited(&message, now, self.setup.jitter.draw()) else { return };
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
