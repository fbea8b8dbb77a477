//! What a connection carries, and how it reaches the symbols: one batch under way to each, and what
//! arrives meanwhile is merged or queued, in order.

use std::collections::BTreeMap;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};

use super::StreamActor;
use crate::actors::messages::{StreamBatch, Subscribe, TapeNews};
use crate::actors::symbol::SymbolActor;
use crate::actors::venue::Venue;
use crate::engine::settle::{CandleFrame, says_less};
use crate::exchange::{Channel, Subscription};
use crate::market::{Symbol, Timeframe, Trade};

/// How often, in venue time, symbols without frames are told that their connection lives.
const PULSE: TimeDelta = TimeDelta::seconds(1);
/// Queued frames of one symbol that are kept while its actor is busy.
const OUTBOX_LIMIT: usize = 10_000;

/// One market on this connection.
pub(super) struct Route {
    pub symbol: Symbol,
    pub receiver: Addr<SymbolActor>,
    /// Channels and whether the venue has acknowledged them.
    pub channels: BTreeMap<Channel, bool>,
    pub outbox: Vec<(Timeframe, CandleFrame)>,
    pub tape: TapeNews,
    /// Newest sign of life that was handed over.
    told_alive_at: DateTime<Utc>,
    in_flight: bool,
    is_touched: bool,
}

impl Route {
    /// Notes the market for when what has arrived is read. One with a batch under way is handed what
    /// waits when that has arrived.
    pub fn touch(&mut self, stream_id: &str, touched: &mut Vec<String>) {
        if !self.in_flight && !self.is_touched {
            self.is_touched = true;
            touched.push(stream_id.to_owned());
        }
    }

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

    /// Queues a trade. A symbol that does not keep up loses all that wait, and learns that it did.
    pub fn push_trade(&mut self, trade: Trade, is_snapshot: bool, venue: &Venue) {
        if is_snapshot {
            let is_newer = |known: &Trade| (known.time, &known.id) < (trade.time, &trade.id);
            if self.tape.recalled.as_ref().is_none_or(is_newer) {
                self.tape.recalled = Some(trade);
            }
            return;
        }
        if self.tape.trades.len() >= OUTBOX_LIMIT {
            venue.tally.dropped("outbox_full", self.tape.trades.len() as u64);
            self.tape = TapeNews { lost: true, ..TapeNews::default() };
        }
        // What was announced earlier is behind this trade.
        self.tape.announced = None;
        self.tape.trades.push(trade);
    }
}

/// What a market still has to be subscribed to.
pub(super) fn subscriptions_of(stream_id: &str, route: &Route) -> Vec<Subscription> {
    let wanted = route.channels.iter().filter(|(_, acked)| !**acked);
    wanted.map(|(channel, _)| Subscription { channel: *channel, stream_id: stream_id.to_owned() }).collect()
}

impl StreamActor {
    /// Takes a market over, with nothing acknowledged yet.
    pub(super) fn route(&mut self, carried: Subscribe) {
        let channels = carried.channels.iter().map(|channel| (*channel, false)).collect();
        let route = Route {
            symbol: carried.symbol,
            receiver: carried.receiver,
            channels,
            outbox: Vec::new(),
            tape: TapeNews::default(),
            told_alive_at: self.alive_at,
            in_flight: false,
            is_touched: false,
        };
        self.routes.insert(carried.stream_id, route);
    }

    /// A frame could not be read: it may have told a trade. Where these are not numbered nothing else
    /// shows that one is missing.
    pub(super) fn lose_trades(&mut self) {
        if self.setup.venue.capabilities().trade_stream.is_none_or(|stream| stream.ids_are_dense) {
            return;
        }
        let told = self.routes.iter_mut().filter(|(_, route)| route.channels.contains_key(&Channel::Trades));
        for (stream_id, route) in told {
            route.tape.lost = true;
            route.touch(stream_id, &mut self.touched);
        }
    }

    /// Sends what a symbol has waiting, unless a batch is under way to it.
    pub(super) fn hand_over(&mut self, stream_id: &str, ctx: &mut Context<Self>) {
        let alive_at = self.alive_at;
        let Some(route) = self.routes.get_mut(stream_id) else { return };
        route.is_touched = false;
        let is_news = !route.outbox.is_empty() || !route.tape.is_empty() || route.told_alive_at + PULSE <= alive_at;
        if route.in_flight || !is_news {
            return;
        }
        route.in_flight = true;
        route.told_alive_at = alive_at;
        let frames = std::mem::take(&mut route.outbox);
        let tape = std::mem::take(&mut route.tape);
        let batch = StreamBatch { connection: self.setup.connection, frames, tape, alive_at };
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
