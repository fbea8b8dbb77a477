//! Symbols whose streams say nothing although they trade: each is polled for a while, alone; several
//! of one connection condemn it.

use std::collections::BTreeMap;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tracing::warn;

use super::ExchangeActor;
use crate::actors::messages::{Condemn, away};
use crate::actors::stream::StreamKey;
use crate::exchange::Channel;
use crate::market::Symbol;

/// A symbol counts as deaf without a break when it is found so again within so many times the bound
/// after its return.
const BREAK: i32 = 4;

/// Symbols that are polled although the venue streams, and how often in a row they were deaf.
#[derive(Debug, Default)]
pub(super) struct Polled {
    until: BTreeMap<Symbol, DateTime<Utc>>,
    deaf: BTreeMap<Symbol, (u32, DateTime<Utc>)>,
}

impl Polled {
    pub fn contains(&self, symbol: &Symbol) -> bool {
        self.until.contains_key(symbol)
    }

    /// Its stream may be tried again.
    pub fn remove(&mut self, symbol: &Symbol) {
        self.until.remove(symbol);
    }

    /// It is not wanted any more.
    pub fn forget(&mut self, symbol: &Symbol) {
        self.until.remove(symbol);
        self.deaf.remove(symbol);
    }

    /// How often it was found deaf before, without a break.
    fn times(&self, symbol: &Symbol, now: DateTime<Utc>, within: chrono::TimeDelta) -> u32 {
        let known = self.deaf.get(symbol).filter(|(_, returned)| now < *returned + within * BREAK);
        known.map_or(0, |(times, _)| *times)
    }
}

impl ExchangeActor {
    /// Polls a symbol for a while, then lets its stream try again.
    pub(super) fn poll_for(
        &mut self,
        symbol: Symbol,
        rest: std::time::Duration,
        reason: &'static str,
        ctx: &mut Context<Self>,
    ) {
        self.detach(&symbol, reason);
        let until = self.setup.venue.clock.now() + rest;
        self.lines.polled.until.insert(symbol.clone(), until);
        ctx.run_later(self.wall_until(until), move |actor, ctx| {
            // It may have returned meanwhile, and left again.
            if actor.lines.polled.until.get(&symbol) == Some(&until) {
                actor.lines.polled.remove(&symbol);
                actor.attach(&symbol, ctx);
            }
        });
    }

    /// A channel of a symbol says nothing although it traded.
    pub(super) fn heard_deaf(&mut self, symbol: Symbol, channel: Channel, ctx: &mut Context<Self>) {
        let policy = self.setup.deaf;
        let now = self.setup.venue.clock.now();
        self.setup.venue.counts.deaf();
        if self.lines.current().any(|(_, line)| line.is_condemned && line.carries.contains_key(&symbol)) {
            return;
        }
        let mut condemned = Vec::new();
        for (key, line) in self.lines.current() {
            if line.carries.get(&symbol).is_some_and(|channels| channels.contains(&channel)) {
                line.deaf.insert(symbol.clone());
                let gone = line.deaf.iter().filter(|symbol| !line.carries.contains_key(*symbol)).count();
                if policy.condemns(line.deaf.len(), line.carries.len() + gone) {
                    condemned.push(*key);
                }
            }
        }
        let within = chrono::TimeDelta::from_std(policy.within).unwrap_or_default();
        let times = self.lines.polled.times(&symbol, now, within);
        let rest = policy.rest(times, self.setup.jitter.draw());
        self.lines.polled.deaf.insert(symbol.clone(), (times.saturating_add(1), now + rest));
        self.poll_for(symbol, rest, away::STREAM_SILENT, ctx);
        condemned.into_iter().for_each(|key| self.condemn(key, ctx));
    }

    /// Replaces a connection that is deaf for many; they return to the stream with the next one.
    fn condemn(&mut self, key: StreamKey, ctx: &mut Context<Self>) {
        let Some(line) = self.lines.lines.get_mut(&key) else { return };
        line.is_condemned = true;
        let deaf = std::mem::take(&mut line.deaf);
        let why = format!("silent about {} of {} symbols that trade", deaf.len(), deaf.len() + line.carries.len());
        warn!(exchange = self.setup.venue.id(), why, "the connection is replaced");
        if let Some(stream) = self.streams.addr(&key) {
            stream.do_send(Condemn { why });
        }
        for symbol in deaf {
            self.lines.polled.remove(&symbol);
            self.attach(&symbol, ctx);
        }
    }
}
