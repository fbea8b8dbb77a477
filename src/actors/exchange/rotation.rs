//! Connections that are replaced before the venue ends them: a second one is opened beside the first,
//! subscribed to the same, and takes over when it has proven itself. Until then, and if it never
//! does, the first one goes on.

use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tracing::{info, warn};

use super::ExchangeActor;
use super::streams::Line;
use crate::actors::messages::{Stop, away};
use crate::actors::stream::StreamKey;
use crate::engine::budget::{Admission, Priority};
use crate::engine::settle::ConnectionId;
use crate::exchange::{Retry, VenueError};
use crate::market::Symbol;

/// After a proof, a connection that is about to be ended is left so soon; what it delivered last is on
/// its way.
const FAREWELL: TimeDelta = TimeDelta::seconds(5);
/// Others are left in the middle of a minute: the one of the acks is over and settled by them, and
/// nothing is being settled.
const MIDDLE: TimeDelta = TimeDelta::seconds(30);

/// When the first of two connections may go, given when the second proved itself.
fn handover_at(proven_at: DateTime<Utc>) -> DateTime<Utc> {
    let minute = proven_at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(proven_at);
    minute + TimeDelta::minutes(1) + MIDDLE
}

impl ExchangeActor {
    /// Has a connection that was just opened replaced in time.
    pub(super) fn plan_rotation(&mut self, key: StreamKey, ctx: &mut Context<Self>) {
        let Some(lifetime) = self.setup.venue.capabilities().connection.lifetime else { return };
        let age = self.setup.rotation.age(lifetime, self.setup.jitter.draw());
        self.rotate_at(key, self.setup.venue.clock.now() + age, ctx);
    }

    fn rotate_at(&mut self, key: StreamKey, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        let wait = self.wall_until(at);
        let Some(line) = self.lines.lines.get_mut(&key) else { return };
        if let Some(planned) = line.rotation.take() {
            ctx.cancel_future(planned);
        }
        let connection = line.connection;
        line.rotation = Some(ctx.run_later(wait, move |actor, ctx| actor.rotate(key, connection, ctx)));
    }

    /// Opens a second connection beside a living one.
    fn rotate(&mut self, key: StreamKey, connection: ConnectionId, ctx: &mut Context<Self>) {
        let is_alive = self.streams.addr(&key).is_some() && self.may_stream() && !self.is_stopping;
        let is_alone = self.lines.successor_of(&key).is_none();
        let Some(line) = self.lines.lines.get(&key).filter(|line| line.connection == connection) else { return };
        if !is_alive || !is_alone || line.succeeds.is_some() || line.carries.is_empty() {
            return;
        }
        // Connections that are down go first.
        if let Admission::WaitUntil(until) = self.admit_connect(Priority::Repair) {
            return self.rotate_at(key, until, ctx);
        }
        let Some(line) = self.lines.lines.get(&key) else { return };
        let successor = Line { carries: line.carries.clone(), succeeds: Some(key), ..Line::default() };
        let next = self.lines.free_key(key.0);
        info!(exchange = self.setup.venue.id(), "a connection is being replaced before its end");
        self.lines.lines.insert(next, successor);
        self.open(next, ctx);
        if self.streams.addr(&next).is_none() {
            // Nobody is left to be carried.
            self.lines.lines.remove(&next);
            return;
        }
        self.plan_rotation(next, ctx);
        let opened = self.lines.lines.get(&next).map(|line| line.connection);
        let patience = self.setup.venue.io_wait(self.setup.rotation.patience);
        ctx.run_later(patience, move |actor, _| {
            if let Some(line) = actor.lines.lines.get(&next)
                && Some(line.connection) == opened
                && !line.is_proven
            {
                actor.give_up_successor(next, "it did not prove itself in time");
            }
        });
        self.report();
    }

    /// The venue will end a connection: another one is opened at once.
    pub(super) fn closing(&mut self, key: StreamKey, ctx: &mut Context<Self>) {
        let Some(line) = self.lines.lines.get_mut(&key) else { return };
        line.is_closing = true;
        let connection = line.connection;
        if line.succeeds.is_some() {
            return self.give_up_successor(key, "the venue ends it");
        }
        self.rotate(key, connection, ctx);
    }

    /// A second connection has delivered something after its acks: the first may go soon.
    pub(super) fn successor_proven(&mut self, next: StreamKey, ctx: &mut Context<Self>) {
        let now = self.setup.venue.now();
        let Some(line) = self.lines.lines.get(&next) else { return };
        let (Some(key), connection) = (line.succeeds, line.connection) else { return };
        let is_closing = self.lines.lines.get(&key).is_some_and(|line| line.is_closing);
        let at = if is_closing { now + FAREWELL } else { handover_at(now) };
        let wait = self.setup.venue.wall_until(at).max(Duration::from_millis(1));
        ctx.run_later(wait, move |actor, _| {
            let is_current = actor.lines.lines.get(&next).is_some_and(|line| line.connection == connection);
            if let Some(stream) = actor.streams.addr(&key).filter(|_| is_current) {
                stream.do_send(Stop);
            }
        });
    }

    /// A second connection refused a symbol, or never answered for it.
    pub(super) fn successor_refused(&mut self, next: StreamKey, symbol: &Symbol, error: &VenueError) {
        let Some(line) = self.lines.lines.get_mut(&next) else { return };
        line.carries.remove(symbol);
        // The others stay with the first one; a word against a single market says nothing of them.
        if line.carries.is_empty() || error.retry() != Retry::Never {
            self.give_up_successor(next, &error.to_string());
        }
    }

    fn give_up_successor(&mut self, next: StreamKey, why: &str) {
        warn!(exchange = self.setup.venue.id(), why, "the new connection is given up; the old one goes on");
        if let Some(stream) = self.streams.addr(&next) {
            stream.do_send(Stop);
        }
    }

    /// A second connection ended before it took over.
    pub(super) fn successor_ended(&mut self, next: StreamKey, key: StreamKey, ctx: &mut Context<Self>) {
        self.lines.lines.remove(&next);
        self.streams.remove(&next);
        self.setup.venue.counts.rotation_failed();
        let draw = self.setup.jitter.draw();
        let Some(line) = self.lines.lines.get_mut(&key) else { return };
        // One that the venue is about to end is in a hurry.
        let wait = match line.is_closing {
            true => self.setup.policies.stream.backoff(line.failed_rotations, draw),
            false => self.setup.reprobe.wait(line.failed_rotations, draw),
        };
        line.failed_rotations = line.failed_rotations.saturating_add(1);
        self.rotate_at(key, self.setup.venue.clock.now() + wait, ctx);
        self.report();
    }

    /// The first connection has ended, and the second one is what is left. What that does not carry
    /// is polled for a while.
    pub(super) fn succeeded(&mut self, key: StreamKey, next: StreamKey, ctx: &mut Context<Self>) {
        let Some(ended) = self.lines.lines.remove(&key) else { return };
        if let Some(planned) = ended.rotation {
            ctx.cancel_future(planned);
        }
        self.streams.succeed(&key, &next);
        let Some(line) = self.lines.lines.get_mut(&next) else { return };
        line.succeeds = None;
        let left: Vec<Symbol> = ended.carries.into_keys().filter(|symbol| !line.carries.contains_key(symbol)).collect();
        if line.is_proven {
            self.setup.venue.counts.rotation();
            info!(exchange = self.setup.venue.id(), "a connection was replaced");
        }
        let rest = self.setup.deaf.rest;
        left.into_iter().for_each(|symbol| self.poll_for(symbol, rest, away::STREAM_REFUSED, ctx));
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_falls_into_the_middle_of_a_minute_that_follows_the_one_of_the_acks() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let given = ["2026-11-20T15:00:00Z", "2026-11-20T15:00:20Z", "2026-11-20T15:00:59.999Z"];
        assert_eq!(given.map(|proven| handover_at(at(proven))), [at("2026-11-20T15:01:30Z"); 3]);
    }
}
