//! One WebSocket connection carrying many symbols. Decodes frames and hands them to SymbolActors,
//! at most one batch under way to each; what arrives meanwhile is merged or queued, in order.
//!
//! A connection that is lost, mute, refused or closing ends this actor; the parent decides when the
//! next life begins.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::SinkExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::exchange::ExchangeActor;
use super::messages::{
    Stop, StreamAttached, StreamBatch, StreamDetached, StreamNews, StreamNotice, Subscribe, TurnedAway, Unsubscribe,
};
use super::symbol::SymbolActor;
use super::venue::Venue;
use crate::engine::settle::{CandleFrame, ConnectionId, says_less};
use crate::exchange::{Channel, ControlFrame, ErrorKind, Event, Subscription, VenueError};
use crate::market::{Symbol, Timeframe};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::transport::{Frame, TransportError, WebSocket};

/// How long the venue may take to acknowledge a subscription before it is asked once more.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How often, in venue time, symbols without frames are told that their connection lives.
const PULSE: TimeDelta = TimeDelta::seconds(1);
/// Queued frames of one symbol that are kept while its actor is busy.
const OUTBOX_LIMIT: usize = 10_000;

/// Key of a connection: its group and its number within the group.
pub type StreamKey = (u32, u32);

/// What the actor is built from.
pub struct StreamSetup {
    /// The venue.
    pub venue: Venue,
    /// Unique for each life of each connection of a collector.
    pub connection: ConnectionId,
    /// Address to connect to.
    pub url: String,
    /// What to carry from the start.
    pub carries: Vec<Subscribe>,
    /// Who is told.
    pub parent: Addr<ExchangeActor>,
    /// Tells the parent of the end.
    pub guard: ExitGuard<StreamKey>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct StreamActor {
    setup: StreamSetup,
    routes: HashMap<String, Route>,
    /// Control frames to send, paced.
    control: VecDeque<ControlFrame>,
    /// Requests whose acks are awaited.
    requests: BTreeMap<u64, Request>,
    next_request: u64,
    sender: Option<mpsc::UnboundedSender<Frame>>,
    last_frame_at: Instant,
    alive_at: DateTime<Utc>,
    pulsed_at: DateTime<Utc>,
    is_proven: bool,
    is_paced: bool,
}

/// One market on this connection.
struct Route {
    symbol: Symbol,
    receiver: Addr<SymbolActor>,
    /// Timeframes and whether the venue has acknowledged them.
    timeframes: BTreeMap<Timeframe, bool>,
    outbox: Vec<(Timeframe, CandleFrame)>,
    /// Newest sign of life that was handed over.
    told_alive_at: DateTime<Utc>,
    in_flight: bool,
}

/// A control frame under way.
struct Request {
    subscriptions: Vec<Subscription>,
    sent_at: Instant,
    tries: u32,
}

impl StreamActor {
    /// An actor that is about to connect.
    pub fn new(setup: StreamSetup) -> StreamActor {
        let now = setup.venue.now();
        StreamActor {
            setup,
            routes: HashMap::new(),
            control: VecDeque::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            sender: None,
            last_frame_at: Instant::now(),
            alive_at: now,
            pulsed_at: now,
            is_proven: false,
            is_paced: false,
        }
    }

    /// Ends this life; what is queued goes to its symbols before they learn of it.
    fn end(&mut self, exit: Exit, ctx: &mut Context<Self>) {
        let (connection, alive_at) = (self.setup.connection, self.alive_at);
        for route in self.routes.values_mut() {
            let frames = std::mem::take(&mut route.outbox);
            if !frames.is_empty() {
                route.receiver.do_send(StreamBatch { connection, frames, alive_at });
            }
        }
        self.setup.guard.ends_with(exit);
        ctx.stop();
    }

    fn connected(&mut self, result: Result<WebSocket, TransportError>, ctx: &mut Context<Self>) {
        let socket = match result {
            Ok(socket) => socket,
            Err(error) => {
                if let Some(turned_away) = TurnedAway::from_upgrade(&error) {
                    self.setup.parent.do_send(turned_away);
                }
                return self.end(Exit::Failed(error.to_string()), ctx);
            }
        };
        self.setup.venue.tally.connection();
        self.last_frame_at = Instant::now();
        let (sender, mut outgoing) = mpsc::unbounded_channel();
        self.sender = Some(sender);
        let mut sink = socket.sink;
        let sending = async move {
            while let Some(frame) = outgoing.recv().await {
                sink.send(frame).await?;
            }
            Ok::<(), TransportError>(())
        };
        ctx.spawn(sending.into_actor(self).map(|result, actor, ctx| {
            if let Err(error) = result {
                actor.end(Exit::Failed(error.to_string()), ctx);
            }
        }));
        ctx.add_stream(socket.frames);
        for carried in std::mem::take(&mut self.setup.carries) {
            self.route(carried);
        }
        let wanted: Vec<Subscription> =
            self.routes.iter().flat_map(|(id, route)| subscriptions_of(id, route)).collect();
        self.subscribe(wanted, 0, ctx);
        self.watch(ctx);
    }

    /// Watches for silence and missing acks, and pings.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let limits = self.setup.venue.capabilities().connection;
        let idle = self.setup.venue.io_wait(limits.idle_limit);
        ctx.run_interval(idle / 4, move |actor, ctx| {
            if actor.last_frame_at.elapsed() >= idle {
                actor.end(Exit::Failed(format!("mute for {idle:?}")), ctx);
            }
        });
        let ack_wait = self.setup.venue.io_wait(ACK_WAIT);
        ctx.run_interval(ack_wait / 4, move |actor, ctx| actor.chase_acks(ack_wait, ctx));
        if let Some(every) = limits.ping_every {
            // Pongs carry the venue's stamp: at a quiet venue they are what settles bars.
            let every = self.setup.venue.clock.to_wall(every).max(Duration::from_millis(20));
            ctx.run_interval(every, |actor, _| {
                let id = actor.next_request;
                if let Some(text) = actor.setup.venue.dialect.encode_ping(id) {
                    actor.next_request += 1;
                    actor.send(text);
                }
            });
        }
    }

    fn send(&self, text: String) {
        if let Some(sender) = &self.sender {
            // A closed channel means the sending side has ended this actor already.
            let _ = sender.send(Frame::Text(text.into()));
        }
    }

    fn route(&mut self, carried: Subscribe) {
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

    fn subscribe(&mut self, subscriptions: Vec<Subscription>, tries: u32, ctx: &mut Context<Self>) {
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
    fn chase_acks(&mut self, limit: Duration, ctx: &mut Context<Self>) {
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
        let Channel::Candles(timeframe) = subscription.channel else { return true };
        self.routes.get(&subscription.stream_id).is_none_or(|route| route.timeframes.get(&timeframe) == Some(&true))
    }

    fn refused(&mut self, stream_id: &str, error: VenueError) {
        let Some(route) = self.routes.remove(stream_id) else { return };
        warn!(symbol = %route.symbol, %error, "subscription refused");
        route.receiver.do_send(StreamDetached { connection: self.setup.connection });
        self.notify(StreamNews::Refused { symbol: route.symbol, error });
    }

    fn notify(&self, news: StreamNews) {
        self.setup.parent.do_send(StreamNotice { connection: self.setup.connection, news });
    }

    fn text(&mut self, text: &str, ctx: &mut Context<Self>) {
        let dialect = self.setup.venue.dialect.clone();
        dialect.decode_frame(text, &mut |event| self.event(event, ctx));
    }

    fn event(&mut self, event: Event<'_>, ctx: &mut Context<Self>) {
        match event {
            Event::Candle { stream_id, timeframe, candle, closed, stamped_at, is_snapshot } => {
                self.stamped(stamped_at.filter(|_| !is_snapshot));
                self.proven();
                match self.routes.get_mut(&*stream_id) {
                    Some(route) => route.push(
                        timeframe,
                        CandleFrame { candle, closed, stamped_at, is_snapshot },
                        &self.setup.venue,
                    ),
                    None => self.setup.venue.tally.dropped("frame_of_no_subscription", 1),
                }
                self.hand_over(&stream_id, ctx);
            }
            Event::Trade { stamped_at, .. } => {
                self.stamped(stamped_at);
                self.proven();
            }
            Event::Subscribed { request_id, stream_id, stamped_at } => {
                self.stamped(stamped_at);
                self.acknowledged(request_id, stream_id.as_deref(), stamped_at);
            }
            Event::Unsubscribed { .. } => {}
            Event::Rejected { request_id, stream_id, error } => {
                let request = request_id.and_then(|id| self.requests.remove(&id));
                match (stream_id, request) {
                    (Some(stream_id), Some(mut request)) => {
                        request.subscriptions.retain(|subscription| subscription.stream_id != *stream_id);
                        if let (Some(id), false) = (request_id, request.subscriptions.is_empty()) {
                            self.requests.insert(id, request);
                        }
                        self.refused(&stream_id, error);
                    }
                    (Some(stream_id), None) => self.refused(&stream_id, error),
                    (None, Some(request)) => {
                        let alone = request.subscriptions.len() == 1;
                        let tries = if alone { 1 } else { request.tries };
                        self.again_or_refuse(request.subscriptions, tries, &error, ctx);
                    }
                    (None, None) => warn!(%error, "the venue refused something unnamed"),
                }
            }
            Event::Heartbeat { stamped_at } => {
                self.stamped(stamped_at);
                if self.requests.is_empty() {
                    self.proven();
                }
            }
            Event::Closing => {
                info!("the venue announced the end of this connection");
                self.end(Exit::Finished, ctx);
            }
            Event::VenueStatus { is_up, message } => {
                self.notify(StreamNews::VenueStatus { is_up, message: message.into_owned() });
            }
            Event::Unknown { kind } => {
                debug!(%kind, "unknown frame");
                self.setup.venue.tally.dropped("unknown_frame", 1);
            }
            Event::Error(error) => {
                debug!(%error, "unusable frame");
                self.setup.venue.tally.dropped("unusable_frame", 1);
            }
        }
    }

    /// Takes the venue's own stamp as the sign of life. The time at which we read a frame is none:
    /// after a stall, of the network or our own, older frames may still wait behind it.
    fn stamped(&mut self, stamp: Option<DateTime<Utc>>) {
        if let Some(stamp) = stamp {
            self.setup.venue.observe_stamp(stamp);
            self.alive_at = self.alive_at.max(stamp.min(self.setup.venue.now()));
        }
    }

    /// Data after the acks proves a connection; only then may its back-off start small again.
    fn proven(&mut self) {
        if !self.is_proven && self.requests.is_empty() {
            self.is_proven = true;
            self.notify(StreamNews::Proven);
        }
    }

    fn acknowledged(&mut self, request_id: Option<u64>, stream_id: Option<&str>, stamped_at: Option<DateTime<Utc>>) {
        let Some(id) = request_id else { return };
        let Some(request) = self.requests.get_mut(&id) else { return };
        let (acked, open): (Vec<_>, Vec<_>) = std::mem::take(&mut request.subscriptions)
            .into_iter()
            .partition(|subscription| stream_id.is_none_or(|stream_id| subscription.stream_id == stream_id));
        request.subscriptions = open;
        if request.subscriptions.is_empty() {
            self.requests.remove(&id);
        }
        let acked_at = stamped_at.map_or(self.setup.venue.now(), |stamp| stamp.max(self.setup.venue.now()));
        for subscription in acked {
            let Channel::Candles(timeframe) = subscription.channel else { continue };
            if let Some(route) = self.routes.get_mut(&subscription.stream_id) {
                route.timeframes.insert(timeframe, true);
                let connection = self.setup.connection;
                route.receiver.do_send(StreamAttached { connection, timeframe, acked_at });
            }
        }
    }

    /// Sends what a symbol has waiting, unless a batch is under way to it.
    fn hand_over(&mut self, stream_id: &str, ctx: &mut Context<Self>) {
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

    fn pulse(&mut self, ctx: &mut Context<Self>) {
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

fn subscriptions_of(stream_id: &str, route: &Route) -> Vec<Subscription> {
    let wanted = route.timeframes.iter().filter(|(_, acked)| !**acked);
    wanted
        .map(|(timeframe, _)| Subscription { channel: Channel::Candles(*timeframe), stream_id: stream_id.to_owned() })
        .collect()
}

impl Route {
    /// Queues a frame; a forming state replaces an earlier one of the same bucket.
    fn push(&mut self, timeframe: Timeframe, frame: CandleFrame, venue: &Venue) {
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

impl Actor for StreamActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let transport = self.setup.venue.transport.clone();
        let url = self.setup.url.clone();
        let connecting = async move { transport.connect(&url).await };
        ctx.spawn(connecting.into_actor(self).map(|result, actor, ctx| actor.connected(result, ctx)));
    }
}

impl StreamHandler<Result<Frame, TransportError>> for StreamActor {
    fn handle(&mut self, frame: Result<Frame, TransportError>, ctx: &mut Context<Self>) {
        self.setup.venue.tally.frame();
        self.last_frame_at = Instant::now();
        match frame {
            Ok(Frame::Text(text)) => {
                self.text(&text, ctx);
                self.pulse(ctx);
            }
            Ok(Frame::Ping | Frame::Pong) => {}
            Ok(Frame::Binary(_)) => self.setup.venue.tally.dropped("binary_frame", 1),
            Ok(Frame::Close) => self.end(Exit::Failed("closed by the venue".to_owned()), ctx),
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        self.end(Exit::Failed("the connection ended".to_owned()), ctx);
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
        let known = self.routes.remove(&message.stream_id).map(|route| route.timeframes).unwrap_or_default();
        let stream_id = message.stream_id.clone();
        let receiver = message.receiver.clone();
        self.route(message);
        // A new life of the symbol takes over what the connection already carries; it owns from the next bucket on.
        let acked_at = self.setup.venue.now();
        let connection = self.setup.connection;
        if let Some(route) = self.routes.get_mut(&stream_id) {
            for (timeframe, acked) in &mut route.timeframes {
                if known.get(timeframe) == Some(&true) {
                    *acked = true;
                    receiver.do_send(StreamAttached { connection, timeframe: *timeframe, acked_at });
                }
            }
        }
        let mut wanted =
            self.routes.get(&stream_id).map(|route| subscriptions_of(&stream_id, route)).unwrap_or_default();
        wanted.retain(|subscription| {
            let Channel::Candles(timeframe) = subscription.channel else { return true };
            !known.contains_key(&timeframe)
        });
        self.subscribe(wanted, 0, ctx);
    }
}

impl Handler<Unsubscribe> for StreamActor {
    type Result = ();

    fn handle(&mut self, message: Unsubscribe, ctx: &mut Context<Self>) {
        let Some(route) = self.routes.remove(&message.stream_id) else { return };
        route.receiver.do_send(StreamDetached { connection: self.setup.connection });
        let subscriptions: Vec<Subscription> = route
            .timeframes
            .keys()
            .map(|timeframe| Subscription {
                channel: Channel::Candles(*timeframe),
                stream_id: message.stream_id.clone(),
            })
            .collect();
        let frames = self.setup.venue.dialect.encode_unsubscribe(&subscriptions, self.next_request);
        for frame in frames {
            self.next_request = self.next_request.max(frame.request_id + 1);
            self.control.push_back(frame);
        }
        self.pace(ctx);
    }
}

impl Handler<Stop> for StreamActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.end(Exit::Finished, ctx);
    }
}
