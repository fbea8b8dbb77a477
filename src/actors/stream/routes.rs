//! What a connection carries, and how it reaches the symbols: one batch under way to each, and what
//! arrives meanwhile is merged or queued, in order.

use std::collections::BTreeMap;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};

use super::StreamActor;
use crate::actors::messages::{StreamBatch, Subscribe};
use crate::actors::symbol::SymbolActor;
use crate::actors::venue::Venue;
use crate::engine::settle::{CandleFrame, says_less};
use crate::exchange::{Channel, Subscription};
use crate::market::{Symbol, Timeframe};

/// How often, in venue time, symbols without frames are told that their connection lives.
const PULSE: TimeDelta = TimeDelta::seconds(1);
/// Queued frames of one symbol that are kept while its actor is busy.
const OUTBOX_LIMIT: usize = 10_000;

/// One market on this connection.
pub(super) struct Route {
    pub symbol: Symbol,
    pub receiver: Addr<SymbolActor>,
    /// Timeframes and whether the venue has acknowledged them.
    pub timeframes: BTreeMap<Timeframe, bool>,
    pub outbox: Vec<(Timeframe, CandleFrame)>,
    /// Newest sign of life that was handed over.
    told_alive_at: DateTime<Utc>,
    in_flight: bool,
}

impl Route {
    /// Queues a frame; a forming state replaces an earlier one of the same bucket.
    pub fn push(&mut self, timeframe: Timeframe, frame: CandleFrame, venue: &Venue) {
        let newest = self.outbox.iter_mut().rev().find(|(queued, _)| *queued == timeframe).map(|(_, frame)| frame);
        if let Some(newest) = newest
            && newest.candle.open_time == frame.candle.open_time
            && newest.closed != Some(true)
            && frame.closed != Some(true)
            && newest.is_snapshot == frame.is_snapshot
        {
            if !says_less(&frame, newest) {
                *newest = frame;
            }
            return;
        }
        if self.outbox.len() >= OUTBOX_LIMIT {
            // The oldest goes; its bucket is not covered and is read by REST.
            self.outbox.remove(0);
            venue.tally.dropped("outbox_full", 1);
        }
        self.outbox.push((timeframe, frame));
    }
}

/// What a market still has to be subscribed to.
pub(super) fn subscriptions_of(stream_id: &str, route: &Route) -> Vec<Subscription> {
    let wanted = route.timeframes.iter().filter(|(_, acked)| !**acked);
    wanted
        .map(|(timeframe, _)| Subscription { channel: Channel::Candles(*timeframe), stream_id: stream_id.to_owned() })
        .collect()
}

impl StreamActor {
    /// Takes a market over, with nothing acknowledged yet.
    pub(super) fn route(&mut self, carried: Subscribe) {
        let timeframes = carried.timeframes.iter().map(|timeframe| (*timeframe, false)).collect();
        let route = Route {
            symbol: carried.symbol,
            receiver: carried.receiver,
            timeframes,
            outbox: Vec::new(),
            told_alive_at: self.alive_at,
            in_flight: false,
        };
        self.routes.insert(carried.stream_id, route);
    }

    /// Sends what a symbol has waiting, unless a batch is under way to it.
    pub(super) fn hand_over(&mut self, stream_id: &str, ctx: &mut Context<Self>) {
        let alive_at = self.alive_at;
        let Some(route) = self.routes.get_mut(stream_id) else { return };
        let is_news = !route.outbox.is_empty() || route.told_alive_at + PULSE <= alive_at;
        if route.in_flight || !is_news {
            return;
        }
        route.in_flight = true;
        route.told_alive_at = alive_at;
        let frames = std::mem::take(&mut route.outbox);
        let batch = StreamBatch { connection: self.setup.connection, frames, alive_at };
        let sending = route.receiver.send(batch);
        let stream_id = stream_id.to_owned();
        ctx.spawn(sending.into_actor(self).map(move |result, actor, ctx| {
            if let Some(route) = actor.routes.get_mut(&stream_id) {
                route.in_flight = false;
                // A dead receiver is replaced by its parent; what it had not settled is REST's.
                if result.is_ok() {
                    actor.hand_over(&stream_id, ctx);
                }
            }
        }));
    }

    /// Tells symbols without frames, now and then, that their connection lives.
    pub(super) fn pulse(&mut self, ctx: &mut Context<Self>) {
        if self.alive_at < self.pulsed_at + PULSE {
            return;
        }
        self.pulsed_at = self.alive_at;
        let ids: Vec<String> = self.routes.keys().cloned().collect();
        for id in ids {
            self.hand_over(&id, ctx);
        }
    }
}
