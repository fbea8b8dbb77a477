//! Subscriptions: asked for no faster than the venue allows, chased until they are acknowledged,
//! asked for once more, and given up.

use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::warn;

use super::StreamActor;
use super::routes::subscriptions_of;
use crate::actors::messages::{StreamAttached, StreamDetached, StreamNews, Subscribe, Unsubscribe, away};
use crate::exchange::{Channel, ErrorKind, Subscription, VenueError};

/// A control frame under way.
pub(super) struct Request {
    subscriptions: Vec<Subscription>,
    sent_at: Instant,
    tries: u32,
}

/// What an answer names; everything, where it says nothing.
pub(super) struct Named<'a> {
    pub stream_id: Option<&'a str>,
    pub channel: Option<Channel>,
}

impl Named<'_> {
    fn means(&self, subscription: &Subscription) -> bool {
        self.stream_id.is_none_or(|stream_id| subscription.stream_id == stream_id)
            && self.channel.is_none_or(|channel| subscription.channel == channel)
    }
}

impl StreamActor {
    pub(super) fn subscribe(&mut self, subscriptions: Vec<Subscription>, tries: u32, ctx: &mut Context<Self>) {
        let frames = self.setup.venue.dialect.encode_subscribe(&subscriptions, self.next_request);
        for frame in frames {
            self.next_request = self.next_request.max(frame.request_id + 1);
            let part = subscriptions.get(frame.subscriptions.clone()).unwrap_or_default().to_vec();
            let request = Request { subscriptions: part, sent_at: Instant::now(), tries };
            self.requests.insert(frame.request_id, request);
            self.control.push_back(frame);
        }
        self.pace(ctx);
    }

    /// Sends control frames no faster than the venue allows.
    fn pace(&mut self, ctx: &mut Context<Self>) {
        if self.is_paced {
            return;
        }
        let Some(frame) = self.control.pop_front() else { return };
        if let Some(request) = self.requests.get_mut(&frame.request_id) {
            request.sent_at = Instant::now();
        }
        self.send(frame.text);
        let per_second = self.setup.venue.capabilities().connection.control_frames_per_second.max(1);
        self.is_paced = true;
        let pause = self.setup.venue.clock.to_wall(Duration::from_secs(1) / per_second);
        ctx.run_later(pause, |actor, ctx| {
            actor.is_paced = false;
            actor.pace(ctx);
        });
    }

    /// Asks once more for what was not acknowledged, one market at a time, then gives the market up.
    pub(super) fn chase_acks(&mut self, limit: Duration, ctx: &mut Context<Self>) {
        let waiting = self.control.iter().map(|frame| frame.request_id).collect::<Vec<_>>();
        let overdue: Vec<u64> = self
            .requests
            .iter()
            .filter(|(id, request)| request.sent_at.elapsed() >= limit && !waiting.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            let Some(request) = self.requests.remove(&id) else { continue };
            let open: Vec<Subscription> =
                request.subscriptions.into_iter().filter(|subscription| !self.is_acked(subscription)).collect();
            let silent = VenueError::new(ErrorKind::Unavailable, "the subscription was never acknowledged");
            self.again_or_refuse(open, request.tries, &silent, ctx);
        }
    }

    fn again_or_refuse(&mut self, open: Vec<Subscription>, tries: u32, why: &VenueError, ctx: &mut Context<Self>) {
        for subscription in open {
            if tries == 0 {
                self.subscribe(vec![subscription], 1, ctx);
            } else {
                self.refused(&subscription.stream_id, why.clone());
            }
        }
    }

    fn is_acked(&self, subscription: &Subscription) -> bool {
        let route = self.routes.get(&subscription.stream_id);
        route.is_none_or(|route| route.channels.get(&subscription.channel) == Some(&true))
    }

    fn refused(&mut self, stream_id: &str, error: VenueError) {
        let Some(route) = self.routes.remove(stream_id) else { return };
        warn!(symbol = %route.symbol, %error, "subscription refused");
        route.receiver.do_send(StreamDetached { connection: self.setup.connection, reason: away::STREAM_REFUSED });
        self.notify(StreamNews::Refused { symbol: route.symbol, error });
    }

    /// A refusal names what it refuses, or its request, or nothing.
    pub(super) fn rejected(
        &mut self,
        request_id: Option<u64>,
        named: &Named<'_>,
        error: VenueError,
        ctx: &mut Context<Self>,
    ) {
        if let Some(stream_id) = named.stream_id {
            self.settle(request_id, named);
            return self.refused(stream_id, error);
        }
        match request_id.and_then(|id| self.requests.remove(&id)) {
            Some(request) => {
                let alone = request.subscriptions.len() == 1;
                let tries = if alone { 1 } else { request.tries };
                self.again_or_refuse(request.subscriptions, tries, &error, ctx);
            }
            None => warn!(%error, "the venue refused something unnamed"),
        }
    }

    /// Takes what an answer names out of the requests that wait for one.
    fn settle(&mut self, request_id: Option<u64>, named: &Named<'_>) -> Vec<Subscription> {
        let mut answered = Vec::new();
        for (id, request) in &mut self.requests {
            // Without an id the answer must say itself what it is about.
            let is_meant = request_id.map_or(named.stream_id.is_some(), |wanted| wanted == *id);
            if is_meant {
                let (named, open) =
                    std::mem::take(&mut request.subscriptions).into_iter().partition(|open| named.means(open));
                answered.extend::<Vec<_>>(named);
                request.subscriptions = open;
            }
        }
        self.requests.retain(|_, request| !request.subscriptions.is_empty());
        answered
    }

    pub(super) fn acknowledged(
        &mut self,
        request_id: Option<u64>,
        named: &Named<'_>,
        stamped_at: Option<DateTime<Utc>>,
    ) {
        let acked = self.settle(request_id, named);
        let acked_at = stamped_at.map_or(self.setup.venue.now(), |stamp| stamp.max(self.setup.venue.now()));
        for subscription in acked {
            if let Some(route) = self.routes.get_mut(&subscription.stream_id) {
                let (connection, channel) = (self.setup.connection, subscription.channel);
                route.channels.insert(channel, true);
                route.receiver.do_send(StreamAttached { connection, channel, acked_at });
            }
        }
    }
}

impl Handler<Subscribe> for StreamActor {
    type Result = ();

    fn handle(&mut self, message: Subscribe, ctx: &mut Context<Self>) {
        if self.sender.is_none() {
            self.setup.carries.retain(|carried| carried.stream_id != message.stream_id);
            self.setup.carries.push(message);
            return;
        }
        let known = self.routes.remove(&message.stream_id).map(|route| route.channels).unwrap_or_default();
        let stream_id = message.stream_id.clone();
        let receiver = message.receiver.clone();
        self.route(message);
        // A new life of the symbol takes over what the connection already carries; it owns from the next bucket on.
        let acked_at = self.setup.venue.now();
        let connection = self.setup.connection;
        if let Some(route) = self.routes.get_mut(&stream_id) {
            for (channel, acked) in &mut route.channels {
                if known.get(channel) == Some(&true) {
                    *acked = true;
                    receiver.do_send(StreamAttached { connection, channel: *channel, acked_at });
                }
            }
        }
        let mut wanted =
            self.routes.get(&stream_id).map(|route| subscriptions_of(&stream_id, route)).unwrap_or_default();
        wanted.retain(|subscription| !known.contains_key(&subscription.channel));
        self.subscribe(wanted, 0, ctx);
    }
}

impl Handler<Unsubscribe> for StreamActor {
    type Result = ();

    fn handle(&mut self, message: Unsubscribe, ctx: &mut Context<Self>) {
        let Some(route) = self.routes.remove(&message.stream_id) else { return };
        route.receiver.do_send(StreamDetached { connection: self.setup.connection, reason: message.reason });
        let subscriptions: Vec<Subscription> = route
            .channels
            .keys()
            .map(|channel| Subscription { channel: *channel, stream_id: message.stream_id.clone() })
            .collect();
        let frames = self.setup.venue.dialect.encode_unsubscribe(&self.dialogue, &subscriptions, self.next_request);
        for frame in frames {
            self.next_request = self.next_request.max(frame.request_id + 1);
            self.control.push_back(frame);
        }
        self.pace(ctx);
    }
}
