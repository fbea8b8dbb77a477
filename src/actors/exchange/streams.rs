//! The stream side of an exchange: which connection carries which symbol, and what happens when a
//! connection ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::ExchangeActor;
use super::deaf::Polled;
use crate::actors::messages::{Stop, StreamDetached, StreamNews, StreamNotice, Subscribe, Unsubscribe, away};
use crate::actors::stream::{StreamActor, StreamKey, StreamSetup};
use crate::actors::symbol::streamed_channels;
use crate::engine::budget::{Admission, Priority};
use crate::engine::settle::ConnectionId;
use crate::exchange::{Channel, Cost, Subscription};
use crate::market::Symbol;
use crate::store::ExchangeMode;
use crate::supervise::exit::{ChildExited, Exit, ExitGuard};
use crate::supervise::policy::Decision;

/// Connects of one venue are at least so far apart, less where it allows more, and at most half of it
/// is left out by chance: many that were lost together do not return together.
const CONNECT_GAP: Duration = Duration::from_millis(250);

/// A connection and what it carries.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub connection: ConnectionId,
    pub carries: BTreeMap<Symbol, Vec<Channel>>,
    /// The connection that this one is to take over from.
    pub succeeds: Option<StreamKey>,
    /// It has delivered something after its acks.
    pub is_proven: bool,
    /// The venue has announced its end.
    pub is_closing: bool,
    /// When it is replaced itself, and how often that failed.
    pub rotation: Option<SpawnHandle>,
    pub failed_rotations: u32,
    /// Symbols for which it turned out to be deaf.
    pub deaf: BTreeSet<Symbol>,
    /// It is about to end because of them.
    pub is_condemned: bool,
}

impl Line {
    fn subscriptions(&self) -> usize {
        self.carries.values().map(Vec::len).sum()
    }
}

/// All connections of an exchange.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub lines: BTreeMap<StreamKey, Line>,
    pub polled: Polled,
    /// No connect leaves before.
    next_connect_at: DateTime<Utc>,
}

impl Lines {
    /// The connections that serve, without those that are to take over.
    pub fn current(&mut self) -> impl Iterator<Item = (&StreamKey, &mut Line)> {
        self.lines.iter_mut().filter(|(_, line)| line.succeeds.is_none())
    }

    /// The connection that is to take over from another one.
    pub fn successor_of(&self, key: &StreamKey) -> Option<StreamKey> {
        self.lines.iter().find(|(_, line)| line.succeeds == Some(*key)).map(|(next, _)| *next)
    }

    /// How many connections are being replaced, and of how many.
    pub fn rotating(&self) -> (usize, usize) {
        let rotating = self.lines.values().filter(|line| line.succeeds.is_some()).count();
        (rotating, self.lines.len() - rotating)
    }

    /// A key that no connection of its group has.
    pub fn free_key(&self, group: u32) -> StreamKey {
        let numbers = self.lines.keys().filter(|(of, _)| *of == group).map(|(_, number)| number + 1);
        (group, numbers.max().unwrap_or(0))
    }
}

impl ExchangeActor {
    pub(super) fn may_stream(&self) -> bool {
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
            let lines = &self.lines.lines;
            let in_group = || lines.iter().filter(|((of, _), line)| *of == group && line.succeeds.is_none());
            let carrying = in_group().find(|(_, line)| line.carries.contains_key(symbol));
            let place =
                carrying.or_else(|| in_group().find(|(_, line)| line.subscriptions() + channels.len() <= limit));
            let key = place.map_or_else(|| self.lines.free_key(group), |(key, _)| *key);
            let is_new = !lines.contains_key(&key);
            // One that is being replaced and one that is to take over carry the same.
            for key in [Some(key), self.lines.successor_of(&key)].into_iter().flatten() {
                let line = self.lines.lines.entry(key).or_default();
                line.carries.insert(symbol.clone(), channels.clone());
                if let (Some(stream), Some(receiver)) = (self.streams.addr(&key), self.symbols.addr(symbol)) {
                    let (stream_id, channels) = (instrument.stream_id.clone(), channels.clone());
                    let (symbol, receiver) = (symbol.clone(), receiver.clone());
                    stream.do_send(Subscribe { stream_id, symbol, channels, receiver });
                }
            }
            if is_new {
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
        if self.lines.lines.get(&key).is_none_or(|line| line.carries.is_empty()) {
            self.lines.lines.remove(&key);
            self.streams.remove(&key);
            return;
        }
        if let Admission::WaitUntil(until) = self.admit_connect(Priority::Live) {
            return self.connect_at(key, until, ctx);
        }
        self.open(key, ctx);
        self.plan_rotation(key, ctx);
    }

    /// Asks for a connect: within the venue's limit, and not right after another one.
    pub(super) fn admit_connect(&mut self, priority: Priority) -> Admission {
        let now = self.setup.venue.clock.now();
        if now < self.lines.next_connect_at {
            return Admission::WaitUntil(self.lines.next_connect_at);
        }
        let cost = Cost { limit: 0, units: 1 };
        let admission = self.with_budgets(|budgets| budgets.connects.request(cost, priority, now));
        if admission == Admission::Go {
            let allowed = self.setup.venue.capabilities().connection.connects;
            let gap = (allowed.window / allowed.capacity.max(1)).min(CONNECT_GAP);
            self.lines.next_connect_at = now + gap.mul_f64(1.0 - self.setup.jitter.draw() / 2.0);
        }
        admission
    }

    /// Begins a life of a connection that may be made now.
    pub(super) fn open(&mut self, key: StreamKey, ctx: &mut Context<Self>) {
        let Some(line) = self.lines.lines.get_mut(&key) else { return };
        line.connection = ConnectionId(self.setup.connections.fetch_add(1, Ordering::Relaxed));
        (line.is_proven, line.is_closing, line.failed_rotations) = (false, false, 0);
        (line.deaf, line.is_condemned) = (BTreeSet::new(), false);
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

    fn connect_at(&mut self, key: StreamKey, at: DateTime<Utc>, ctx: &mut Context<Self>) {
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
        let line = self.lines.lines.iter_mut().find(|(_, line)| line.connection == notice.connection);
        match (notice.news, line) {
            (StreamNews::Proven, Some((key, line))) => {
                line.is_proven = true;
                let (key, is_successor) = (*key, line.succeeds.is_some());
                if is_successor {
                    return self.successor_proven(key, ctx);
                }
                let now = self.setup.venue.clock.now();
                self.streams.useful(&key, now);
            }
            (StreamNews::Refused { symbol, error }, Some((key, line))) if line.succeeds.is_some() => {
                let key = *key;
                self.successor_refused(key, &symbol, &error);
            }
            (StreamNews::Refused { symbol, error }, _) => {
                info!(%symbol, %error, "polled, because its stream was refused");
                self.poll_for(symbol, self.setup.deaf.rest, away::STREAM_REFUSED, ctx);
            }
            (StreamNews::Closing, Some((key, _))) => {
                let key = *key;
                self.closing(key, ctx);
            }
            (StreamNews::Proven | StreamNews::Closing, None) | (StreamNews::VenueStatus { is_up: true, .. }, _) => {}
            (StreamNews::VenueStatus { is_up: false, message }, _) => {
                self.close_gate(format!("the venue says {message}"), ctx);
            }
        }
    }
}

impl Handler<ChildExited<StreamKey>> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<StreamKey>, ctx: &mut Context<Self>) {
        let now = self.setup.venue.clock.now();
        let Some(decision) = self.streams.exited(&message, now, self.setup.jitter.draw()) else { return };
        let key = message.id;
        let reason = if self.is_stopping { away::STOPPED } else { away::CONNECTION_LOST };
        let line = self.lines.lines.get_mut(&key);
        if let Some(planned) = line.and_then(|line| line.rotation.take()) {
            ctx.cancel_future(planned);
        }
        if let Some(line) = self.lines.lines.get(&key) {
            // One that was taken off it a moment ago may not have been told.
            let detached = StreamDetached { connection: line.connection, reason };
            self.symbols.living().for_each(|(_, receiver)| receiver.do_send(detached));
        }
        if self.is_stopping {
            return self.stop_symbols_when_streams_ended(ctx);
        }
        if let Some(first) = self.lines.lines.get(&key).and_then(|line| line.succeeds) {
            return self.successor_ended(key, first, ctx);
        }
        if let Some(next) = self.lines.successor_of(&key) {
            return self.succeeded(key, next, ctx);
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
