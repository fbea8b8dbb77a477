//! One WebSocket connection carrying many symbols. Decodes frames and hands them to SymbolActors,
//! at most one batch under way to each; what arrives meanwhile is merged or queued, in order.
//!
//! A connection that is lost, mute, refused or closing ends this actor; the parent decides when the
//! next life begins.

mod control;
mod reading;
mod routes;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use futures_util::SinkExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::control::Request;
use self::routes::{Route, subscriptions_of};
use super::exchange::ExchangeActor;
use super::messages::{Condemn, Stop, StreamBatch, StreamNews, StreamNotice, Subscribe, TurnedAway};
use super::venue::Venue;
use crate::engine::settle::ConnectionId;
use crate::exchange::{ControlFrame, Dialogue, Subscription};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::transport::{Frame, TransportError, WebSocket};

/// How long the venue may take to acknowledge a subscription before it is asked once more.
const ACK_WAIT: Duration = Duration::from_secs(10);
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
        ctx.add_stream(reading::arrived(socket.frames));
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
