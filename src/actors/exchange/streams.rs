//! The stream side of an exchange: which connection carries which symbol, and what happens when a
//! connection ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use super::ExchangeActor;
use crate::actors::messages::{Stop, StreamDetached, StreamNews, StreamNotice, Subscribe, Unsubscribe, away};
use crate::actors::stream::{StreamActor, StreamKey, StreamSetup};
use crate::actors::symbol::{SymbolActor, streamed_channels};
use crate::engine::budget::{Admission, Priority};
use crate::engine::settle::ConnectionId;
use crate::exchange::{Channel, Cost, Subscription};
use crate::market::Symbol;
use crate::store::ExchangeMode;
use crate::supervise::exit::{ChildExited, Exit, ExitGuard};
use crate::supervise::policy::Decision;

/// How long a symbol that its stream was silent about is polled before the stream is tried again.
const DEAF_REST: Duration = Duration::from_secs(900);

/// A connection and what it carries.
#[derive(Debug)]
pub(super) struct Line {
    connection: ConnectionId,
    carries: BTreeMap<Symbol, Vec<Channel>>,
}

impl Line {
    fn subscriptions(&self) -> usize {
        self.carries.values().map(Vec::len).sum()
    }
}

/// All connections of an exchange.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: BTreeMap<StreamKey, Line>,
    /// Symbols that are polled although the venue streams.
    pub polled: BTreeSet<Symbol>,
}

impl ExchangeActor {
    fn may_stream(&self) -> bool {
        self.streams_work && self.setup.row.mode != ExchangeMode::Poll && self.setup.venue.capabilities().has_stream()
    }

    /// Gives a living symbol its places on connections.
    pub(super) fn attach(&mut self, symbol: &Symbol, ctx: &mut Context<Self>) {
        if !self.may_stream() || self.lines.polled.contains(symbol) {
            return;
        }
        let (Some(row), Some(instrument)) = (self.wanted.get(symbol), self.instruments.get(symbol)) else { return };
        let limit = self.setup.venue.capabilities().connection.max_subscriptions.max(1);
        let mut groups: BTreeMap<u32, Vec<Channel>> = BTreeMap::new();
        for channel in streamed_channels(row, instrument, &self.setup.venue) {
            let subscription = Subscription { channel, stream_id: instrument.stream_id.clone() };
            let group = self.setup.venue.dialect.connection_group(&subscription);
            groups.entry(group).or_default().push(channel);
        }
        for (group, channels) in groups {
            let in_group = || self.lines.lines.iter().filter(|((line_group, _), _)| *line_group == group);
            let carrying = in_group().find(|(_, line)| line.carries.contains_key(symbol));
            let place =
                carrying.or_else(|| in_group().find(|(_, line)| line.subscriptions() + channels.len() <= limit));
            let key = match place {
                Some((key, _)) => *key,
                None => (group, in_group().map(|((_, number), _)| number + 1).max().unwrap_or(0)),
            };
            let is_new = !self.lines.lines.contains_key(&key);
            let line = self
                .lines
                .lines
                .entry(key)
                .or_insert_with(|| Line { connection: ConnectionId(0), carries: BTreeMap::new() });
            line.carries.insert(symbol.clone(), channels.clone());
            if let (Some(stream), Some(receiver)) = (self.streams.addr(&key), self.symbols.addr(symbol)) {
                let stream_id = instrument.stream_id.clone();
                stream.do_send(Subscribe { stream_id, symbol: symbol.clone(), channels, receiver: receiver.clone() });
            } else if is_new {
                // Symbols that come in the same moment share the first connect.
                ctx.run_later(Duration::from_millis(1), move |actor, ctx| actor.connect(key, ctx));
            }
        }
    }

    /// Takes a symbol off all connections; it polls from now on. A connection that carries nothing
    /// any more is closed.
    pub(super) fn detach(&mut self, symbol: &Symbol, reason: &'static str) {
        let Some(instrument) = self.instruments.get(symbol) else { return };
        for (key, line) in &mut self.lines.lines {
            if line.carries.remove(symbol).is_some()
                && let Some(stream) = self.streams.addr(key)
            {
                stream.do_send(Unsubscribe { stream_id: instrument.stream_id.clone(), reason });
                if line.carries.is_empty() {
                    stream.do_send(Stop);
                }
            }
        }
    }

    /// Opens a connection, when the venue's limit of connects allows it.
    fn connect(&mut self, key: StreamKey, ctx: &mut Context<Self>) {
        if self.is_stopping || !self.may_stream() || self.streams.addr(&key).is_some() {
            return;
        }
        let Some(line) = self.lines.lines.get_mut(&key).filter(|line| !line.carries.is_empty()) else {
            self.lines.lines.remove(&key);
            self.streams.remove(&key);
            return;
        };
        let now = self.setup.venue.clock.now();
        let admission = {
            let mut budgets = self.setup.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            budgets.connects.request(Cost { limit: 0, units: 1 }, Priority::Live, now)
        };
        if let Admission::WaitUntil(until) = admission {
            return self.connect_at(key, until, ctx);
        }
        line.connection = ConnectionId(self.setup.connections.fetch_add(1, Ordering::Relaxed));
        let (connection, carried) = (line.connection, line.carries.clone());
        let first = carried.iter().find_map(|(symbol, channels)| {
            let stream_id = self.instruments.get(symbol)?.stream_id.clone();
            Some(Subscription { channel: *channels.first()?, stream_id })
        });
        let Some(first) = first else { return };
        let carries = carried
            .into_iter()
            .filter_map(|(symbol, channels)| {
                let receiver = self.symbols.addr(&symbol)?.clone();
                let stream_id = self.instruments.get(&symbol)?.stream_id.clone();
                Some(Subscribe { stream_id, symbol, channels, receiver })
            })
            .collect();
        let generation = self.streams.next_generation();
        let parent = self.addr(ctx);
        let stream = StreamActor::new(StreamSetup {
            venue: self.setup.venue.clone(),
            connection,
            group: key.0,
            url: self.setup.venue.dialect.stream_url(&first),
            carries,
            parent: parent.clone(),
            guard: ExitGuard::new(key, generation, parent.recipient()),
            member: self.setup.member.clone(),
        })
        .start();
        self.streams.started(key, generation, stream);
    }

    fn connect_at(&mut self, key: StreamKey, at: chrono::DateTime<chrono::Utc>, ctx: &mut Context<Self>) {
        let wait = self.wall_until(at);
        ctx.run_later(wait, move |actor, ctx| actor.connect(key, ctx));
    }

    /// Gives every living symbol that has none its places on connections, and opens those that are
    /// down. What a connection carries already is left alone: to attach it again would cost it the
    /// running bucket.
    pub(super) fn attach_all(&mut self, ctx: &mut Context<Self>) {
        let is_carried = |symbol: &Symbol| self.lines.lines.values().any(|line| line.carries.contains_key(symbol));
        let free: Vec<Symbol> =
            self.symbols.living().map(|(symbol, _)| symbol).filter(|symbol| !is_carried(symbol)).cloned().collect();
        for symbol in free {
            self.attach(&symbol, ctx);
        }
        let idle: Vec<StreamKey> =
            self.lines.lines.keys().filter(|key| self.streams.addr(key).is_none()).copied().collect();
        for key in idle {
            self.connect(key, ctx);
        }
    }
}

impl Handler<StreamNotice> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, notice: StreamNotice, ctx: &mut Context<Self>) {
        let key = self.lines.lines.iter().find(|(_, line)| line.connection == notice.connection).map(|(key, _)| *key);
        match notice.news {
            StreamNews::Proven => {
                if let Some(key) = key {
                    let now = self.setup.venue.clock.now();
                    self.streams.useful(&key, now);
                }
            }
            StreamNews::Refused { symbol, error } => {
                info!(%symbol, %error, "polled, because its stream was refused");
                self.poll_for(symbol, away::STREAM_REFUSED, ctx);
            }
            StreamNews::VenueStatus { is_up: true, .. } => {}
            StreamNews::VenueStatus { is_up: false, message } => {
                self.close_gate(format!("the venue says {message}"), ctx);
            }
        }
    }
}

impl ExchangeActor {
    /// Polls a symbol for a while, then lets its stream try again.
    pub(super) fn poll_for(&mut self, symbol: Symbol, reason: &'static str, ctx: &mut Context<Self>) {
        self.detach(&symbol, reason);
        self.lines.polled.insert(symbol.clone());
        let rest = self.setup.venue.clock.to_wall(DEAF_REST);
        ctx.run_later(rest, move |actor, ctx| {
            actor.lines.polled.remove(&symbol);
            actor.attach(&symbol, ctx);
        });
    }
}

impl Handler<ChildExited<StreamKey>> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<StreamKey>, ctx: &mut Context<Self>) {
        let now = self.setup.venue.clock.now();
        let Some(decision) = self.streams.exited(&message, now, self.setup.jitter.draw()) else { return };
        let key = message.id;
        let reason = if self.is_stopping { away::STOPPED } else { away::CONNECTION_LOST };
        if let Some(line) = self.lines.lines.get(&key) {
            for symbol in line.carries.keys() {
                if let Some(receiver) = self.symbols.addr(symbol) {
                    let receiver: &Addr<SymbolActor> = receiver;
                    receiver.do_send(StreamDetached { connection: line.connection, reason });
                }
            }
        }
        if self.is_stopping {
            return self.stop_symbols_when_streams_ended(ctx);
        }
        let exchange = self.setup.venue.id();
        match (&message.exit, decision) {
            (Exit::Failed(_) | Exit::Panicked, Decision::RestartAt(at)) => {
                info!(exchange, exit = ?message.exit, restart_at = %at, "connection ended; its symbols poll");
                self.connect_at(key, at, ctx);
            }
            (_, Decision::RestartAt(at)) => self.connect_at(key, at, ctx),
            (_, Decision::Quarantine { until }) => {
                warn!(exchange, exit = ?message.exit, %until, "connection keeps failing; its symbols poll until then");
                self.connect_at(key, until, ctx);
            }
            (_, Decision::Escalate) => self.fail(format!("a connection keeps failing: {:?}", message.exit), ctx),
        }
    }
}
