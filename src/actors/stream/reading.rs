//! What a connection tells: frames that have arrived are read together, and then handed over.

use std::pin::{Pin, pin};

use actix::prelude::*;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, stream};
use tokio::task::unconstrained;
use tokio::time::Instant;
use tracing::{debug, info};

use super::StreamActor;
use super::control::Named;
use crate::actors::messages::StreamNews;
use crate::engine::settle::CandleFrame;
use crate::exchange::Event;
use crate::supervise::exit::Exit;
use crate::transport::{Frame, TransportError};

/// Frames that are read together when so many have arrived.
const FRAMES_AT_ONCE: usize = 64;

/// What has arrived, in order. Reading is left out of tokio's cooperative budget: a connection that
/// always has more would use it up in every poll, and the actor's timers, polled after it, would
/// never count as due. Actix itself turns to them after sixteen items of a stream.
pub(super) fn arrived<F: Stream + ?Sized>(frames: Pin<Box<F>>) -> impl Stream<Item = Vec<F::Item>> {
    let mut frames = frames.ready_chunks(FRAMES_AT_ONCE);
    stream::poll_fn(move |cx| pin!(unconstrained(frames.next())).poll(cx))
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

impl StreamActor {
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
