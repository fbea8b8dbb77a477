//! One WebSocket connection carrying many symbols. Decodes frames and hands them to SymbolActors,
//! at most one batch under way to each; what arrives meanwhile is merged or queued, in order.
//!
//! A connection that is lost, mute, refused or closing ends this actor; the parent decides when the
//! next life begins.

mod control;
mod routes;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};

use self::control::{Named, Request};
use self::routes::{Route, subscriptions_of};
use super::exchange::ExchangeActor;
use super::messages::{Condemn, Stop, StreamBatch, StreamNews, StreamNotice, Subscribe, TurnedAway};
use super::venue::Venue;
use crate::engine::settle::{CandleFrame, ConnectionId};
use crate::exchange::{ControlFrame, Dialogue, Event, Subscription};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::transport::{Frame, TransportError, WebSocket};

/// How long the venue may take to acknowledge a subscription before it is asked once more.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Frames that are read together when so many have arrived.
const FRAMES_AT_ONCE: usize = 64;
/// Key of a connection: its group and its number within the group.
pub type StreamKey = (u32, u32);

/// What the actor is built from.
pub struct StreamSetup {
    /// The venue.
    pub venue: Venue,
    /// Unique for each life of each connection of a collector.
    pub connection: ConnectionId,
    /// [`Dialect::connection_group`](crate::exchange::Dialect::connection_group) of all it carries.
    pub group: u32,
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
    /// By stream id; whatever goes over all of them has a fixed order.
    routes: BTreeMap<String, Route>,
    /// Control frames to send, paced.
    control: VecDeque<ControlFrame>,
    /// Requests whose acks are awaited.
    requests: BTreeMap<u64, Request>,
    next_request: u64,
    sender: Option<mpsc::UnboundedSender<Frame>>,
    last_frame_at: Instant,
    /// When the frames that are being read were received, on our clock.
    received_at: DateTime<Utc>,
    alive_at: DateTime<Utc>,
    pulsed_at: DateTime<Utc>,
    dialogue: Dialogue,
    /// Markets of which the frames that are being read tell something.
    touched: Vec<String>,
    is_proven: bool,
    is_paced: bool,
}

impl StreamActor {
    /// An actor that is about to connect.
    pub fn new(setup: StreamSetup) -> StreamActor {
        let now = setup.venue.now();
        StreamActor {
            routes: BTreeMap::new(),
            control: VecDeque::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            sender: None,
            last_frame_at: Instant::now(),
            received_at: setup.venue.clock.now(),
            alive_at: now,
            pulsed_at: now,
            dialogue: Dialogue::of_group(setup.group),
            touched: Vec::new(),
            is_proven: false,
            is_paced: false,
            setup,
        }
    }

    /// Ends this life; what is queued goes to its symbols before they learn of it.
    fn end(&mut self, exit: Exit, ctx: &mut Context<Self>) {
        let (connection, alive_at) = (self.setup.connection, self.alive_at);
        for route in self.routes.values_mut() {
            let (frames, tape) = (std::mem::take(&mut route.outbox), std::mem::take(&mut route.tape));
            if !frames.is_empty() || !tape.is_empty() {
                route.receiver.do_send(StreamBatch { connection, frames, tape, alive_at });
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
        self.setup.venue.counts.connection();
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
        ctx.add_stream(socket.frames.ready_chunks(FRAMES_AT_ONCE));
        for carried in std::mem::take(&mut self.setup.carries) {
            self.route(carried);
        }
        if let Some(opening) = self.setup.venue.dialect.encode_opening() {
            self.send(opening);
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

    fn notify(&self, news: StreamNews) {
        self.setup.parent.do_send(StreamNotice { connection: self.setup.connection, news });
    }

    fn frame(&mut self, frame: Result<Frame, TransportError>, ctx: &mut Context<Self>) {
        self.setup.venue.counts.frame();
        match frame {
            Ok(Frame::Text(text)) => self.text(&text, ctx),
            Ok(Frame::Ping | Frame::Pong) => {}
            Ok(Frame::Binary(_)) => self.setup.venue.tally.dropped("binary_frame", 1),
            Ok(Frame::Close) => self.end(Exit::Failed("closed by the venue".to_owned()), ctx),
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }

    fn text(&mut self, text: &str, ctx: &mut Context<Self>) {
        let dialect = self.setup.venue.dialect.clone();
        let mut dialogue = std::mem::take(&mut self.dialogue);
        dialect.decode_frame(&mut dialogue, text, &mut |event| self.event(event, ctx));
        self.dialogue = dialogue;
    }

    /// Hands over what the frames told. Never before a frame is read to its end: it is one statement,
    /// whose stamp vouches for all it tells, so nobody gets a part of it.
    fn hand_over_touched(&mut self, ctx: &mut Context<Self>) {
        let mut touched = std::mem::take(&mut self.touched);
        for stream_id in touched.drain(..) {
            self.hand_over(&stream_id, ctx);
        }
        self.touched = touched;
    }

    /// A frame of a market that this connection does not carry, or not any more.
    fn unasked(&self) {
        self.setup.venue.tally.dropped("frame_of_no_subscription", 1);
    }

    fn event(&mut self, event: Event<'_>, ctx: &mut Context<Self>) {
        match event {
            Event::Candle { stream_id, timeframe, candle, closed, stamped_at, is_snapshot } => {
                self.stamped(stamped_at.filter(|_| !is_snapshot));
                self.proven();
                let Some(route) = self.routes.get_mut(&*stream_id) else { return self.unasked() };
                let frame = CandleFrame { candle, closed, stamped_at, is_snapshot };
                route.push(timeframe, frame, &self.setup.venue);
                route.touch(&stream_id, &mut self.touched);
            }
            Event::Trade { stream_id, trade, is_snapshot, stamped_at } => {
                // Where frames have no stamp of their own, a trade's time is one.
                self.stamped(stamped_at.or(Some(trade.time)).filter(|_| !is_snapshot));
                self.proven();
                let Some(route) = self.routes.get_mut(&*stream_id) else { return self.unasked() };
                route.push_trade(trade, is_snapshot, &self.setup.venue);
                route.touch(&stream_id, &mut self.touched);
            }
            Event::LastTrade { stream_id, id, stamped_at } => {
                self.stamped(stamped_at);
                self.proven();
                let stamp = stamped_at.unwrap_or(self.alive_at);
                if let Some(route) = self.routes.get_mut(&*stream_id) {
                    route.tape.announced = Some((id, stamp));
                    route.touch(&stream_id, &mut self.touched);
                }
            }
            Event::Subscribed { request_id, stream_id, channel, stamped_at } => {
                self.stamped(stamped_at);
                self.acknowledged(request_id, &Named { stream_id: stream_id.as_deref(), channel }, stamped_at);
            }
            Event::Unsubscribed { .. } => {}
            Event::Rejected { request_id, stream_id, channel, error } => {
                self.rejected(request_id, &Named { stream_id: stream_id.as_deref(), channel }, error, ctx);
            }
            Event::FramesLost { message } => self.end(Exit::Failed(message.into_owned()), ctx),
            Event::Heartbeat { stamped_at } => {
                self.stamped(stamped_at);
                if self.requests.is_empty() {
                    self.proven();
                }
            }
            Event::Closing => {
                info!("the venue announced the end of this connection");
                self.notify(StreamNews::Closing);
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
                self.lose_trades();
            }
        }
    }

    /// Takes the venue's own stamp as the sign of life. The time at which we read a frame is none:
    /// after a stall, of the network or our own, older frames may still wait behind it.
    fn stamped(&mut self, stamp: Option<DateTime<Utc>>) {
        if let Some(stamp) = stamp {
            let now = self.setup.venue.observe_stamp(stamp, self.received_at);
            self.alive_at = self.alive_at.max(stamp.min(now));
        }
    }

    /// Data after the acks proves a connection; only then may its back-off start small again.
    fn proven(&mut self) {
        if !self.is_proven && self.requests.is_empty() {
            self.is_proven = true;
            self.notify(StreamNews::Proven);
        }
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

impl StreamHandler<Vec<Result<Frame, TransportError>>> for StreamActor {
    fn handle(&mut self, frames: Vec<Result<Frame, TransportError>>, ctx: &mut Context<Self>) {
        self.last_frame_at = Instant::now();
        self.received_at = self.setup.venue.clock.now();
        for frame in frames {
            self.frame(frame, ctx);
            if ctx.state() != ActorState::Running {
                return;
            }
        }
        self.hand_over_touched(ctx);
        self.pulse(ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        self.end(Exit::Failed("the connection ended".to_owned()), ctx);
    }
}

impl Handler<Condemn> for StreamActor {
    type Result = ();

    fn handle(&mut self, message: Condemn, ctx: &mut Context<Self>) {
        self.end(Exit::Failed(message.why), ctx);
    }
}

impl Handler<Stop> for StreamActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.end(Exit::Finished, ctx);
    }
}
