//! One try to reach a venue: its instrument list, and whether its stream works, found out by
//! connecting and subscribing one symbol. Success is told to the parent; failure is the end of this
//! life, and the parent's back-off is the wait before the next.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use futures_util::{SinkExt, StreamExt};

use super::exchange::ExchangeActor;
use super::messages::{Door, Probed, Stop, TurnedAway};
use super::venue::Venue;
use crate::engine::budget::Refusal;
use crate::exchange::{
    Channel, Dialogue, ErrorKind, Event, Instrument, InstrumentSource, Retry, Subscription, VenueError,
};
use crate::market::Symbol;
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::transport::{Frame, TransportError};

/// How long the stream may take to acknowledge the trial subscription (wall time).
const STREAM_WAIT: Duration = Duration::from_secs(10);

/// What the actor is built from.
pub struct ProbeSetup {
    /// The venue.
    pub venue: Venue,
    /// The symbols to describe.
    pub symbols: Vec<Symbol>,
    /// A subscription to try the stream with: its channel, and the symbol if one is preferred.
    pub stream_trial: Option<Channel>,
    /// Who is told.
    pub parent: Addr<ExchangeActor>,
    /// Tells the parent of the end.
    pub guard: ExitGuard<()>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct ProbeActor {
    setup: ProbeSetup,
}

/// Why a probe brought nothing.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Venue(#[from] VenueError),
}

impl ProbeError {
    /// What the parent must know besides the failure.
    fn turned_away(&self) -> Option<TurnedAway> {
        let ProbeError::Venue(error) = self else { return None };
        let (refusal, retry_after) = Refusal::of(error.kind)?;
        Some(TurnedAway { door: Door::Rest, refusal, retry_after })
    }
}

type Found = (Vec<Instrument>, Vec<(Symbol, String)>);

impl ProbeActor {
    /// A probe that is about to try.
    pub fn new(setup: ProbeSetup) -> ProbeActor {
        ProbeActor { setup }
    }
}

/// Reads the instruments of the wanted symbols.
async fn read_instruments(venue: &Venue, symbols: &[Symbol]) -> Result<Found, ProbeError> {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    let mut requests = VecDeque::from(venue.dialect.encode_instruments(symbols));
    let per_symbol = venue.capabilities().instruments == InstrumentSource::PerSymbol;
    let mut unasked = symbols.iter();
    let mut is_first = true;
    while let Some(request) = requests.pop_front() {
        if !std::mem::take(&mut is_first) {
            // Calls of a probe pass the budget by; a polite pause keeps them within any venue's limit.
            let limit = venue.capabilities().limits.get(request.cost.limit);
            let pause = limit.map_or(Duration::ZERO, |limit| limit.window * request.cost.units / limit.capacity.max(1));
            venue.clock.sleep(pause).await;
        }
        let sent_at = venue.clock.now();
        venue.counts.rest_call();
        let reply = venue.transport.http(&request).await?;
        venue.observe_reply(&reply, sent_at);
        let asked = if per_symbol { unasked.next() } else { None };
        match (venue.dialect.decode_instruments(asked, &reply), asked) {
            (Ok(instruments), _) => {
                found.extend(instruments);
                requests.extend(venue.dialect.next_instruments(&reply));
            }
            (Err(error), Some(symbol)) if error.kind == ErrorKind::UnknownSymbol => {
                unknown.push((symbol.clone(), error.message));
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    if !per_symbol {
        for symbol in symbols.iter().filter(|symbol| !found.iter().any(|known| known.symbol == **symbol)) {
            unknown.push((symbol.clone(), "not in the venue's instrument list".to_owned()));
        }
    }
    Ok((found, unknown))
}

/// Connects, subscribes one market, and waits for its ack or its data.
async fn try_stream(
    venue: &Venue,
    channel: Channel,
    stream_id: String,
    parent: &Addr<ExchangeActor>,
) -> Result<(), String> {
    let trial = async {
        let subscription = Subscription { channel, stream_id };
        let url = venue.dialect.stream_url(&subscription);
        let mut socket = venue.transport.connect(&url).await.map_err(|error| {
            if let Some(turned_away) = TurnedAway::from_upgrade(&error) {
                parent.do_send(turned_away);
            }
            error.to_string()
        })?;
        let mut dialogue = Dialogue::of_group(venue.dialect.connection_group(&subscription));
        if let Some(opening) = venue.dialect.encode_opening() {
            socket.sink.send(Frame::Text(opening.into())).await.map_err(|error| error.to_string())?;
        }
        for frame in venue.dialect.encode_subscribe(&[subscription], 1) {
            socket.sink.send(Frame::Text(frame.text.into())).await.map_err(|error| error.to_string())?;
        }
        while let Some(frame) = socket.frames.next().await {
            let text = match frame {
                Ok(Frame::Text(text)) => text,
                Ok(Frame::Close) => break,
                Ok(_) => continue,
                Err(error) => return Err(error.to_string()),
            };
            let mut verdict = None;
            venue.dialect.decode_frame(&mut dialogue, &text, &mut |event| match event {
                Event::Subscribed { stamped_at, .. } => {
                    if let Some(stamp) = stamped_at {
                        venue.observe_stamp(stamp, venue.clock.now());
                    }
                    verdict = Some(Ok(()));
                }
                Event::Candle { .. } | Event::Trade { .. } => verdict = Some(Ok(())),
                // A market that is refused, whichever it is, was refused by a stream that works.
                Event::Rejected { error, .. } => {
                    verdict = Some(if error.retry() == Retry::Never { Ok(()) } else { Err(error.to_string()) });
                }
                _ => {}
            });
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
        Err("closed before anything was acknowledged".to_owned())
    };
    match tokio::time::timeout(STREAM_WAIT, trial).await {
        Ok(verdict) => verdict,
        Err(_) => Err(format!("nothing acknowledged within {STREAM_WAIT:?}")),
    }
}

impl Actor for ProbeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let venue = self.setup.venue.clone();
        let symbols = self.setup.symbols.clone();
        let channel = self.setup.stream_trial;
        let parent = self.setup.parent.clone();
        let probing = async move {
            let (instruments, unknown) = read_instruments(&venue, &symbols).await?;
            let wanted = instruments.iter().find(|instrument| symbols.contains(&instrument.symbol));
            let stream = match (channel, wanted) {
                (Some(channel), Some(instrument)) => {
                    Some(try_stream(&venue, channel, instrument.stream_id.clone(), &parent).await)
                }
                _ => None,
            };
            Ok::<_, ProbeError>((instruments, unknown, stream))
        };
        ctx.spawn(probing.into_actor(self).map(|result, actor, ctx| {
            let generation = actor.setup.guard.generation();
            match result {
                Ok((instruments, unknown, stream)) => {
                    actor.setup.parent.do_send(Probed { generation, instruments, unknown, stream });
                }
                Err(error) => {
                    if let Some(turned_away) = error.turned_away() {
                        actor.setup.parent.do_send(turned_away);
                    }
                    actor.setup.guard.ends_with(Exit::Failed(error.to_string()));
                }
            }
            ctx.stop();
        }));
    }
}

impl Handler<Stop> for ProbeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
