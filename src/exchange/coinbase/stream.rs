//! The feed: control frames out, events in.
//!
//! Trades and heartbeats are subscribed together. Control frames have no numbers: an ack lists all
//! that is subscribed after it, and an error names the market it refuses in its words only; it
//! refuses the whole frame it answers.

use std::borrow::Cow;

use serde::Serialize;

use super::wire::Frame;
use crate::exchange::wire::{Text, malformed, stamp};
use crate::exchange::{Channel, ControlFrame, Dialogue, ErrorKind, Event, Subscription, VenueError};
use crate::market::TradeId;

/// Markets of one control frame: an unknown one among them costs only so many a second try.
const MARKETS_PER_FRAME: usize = 50;
/// The channel of trades.
const MATCHES: &str = "matches";

#[derive(Serialize)]
struct Control<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    product_ids: Vec<&'a str>,
    channels: [&'a str; 2],
}

/// Frames that subscribe or unsubscribe trades, numbered for the caller only. There is nothing else
/// to subscribe to: other channels get no frame.
pub fn encode_control(kind: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let mut frames = Vec::new();
    let mut start = 0;
    for batch in subscriptions.chunk_by(|a, b| a.channel == b.channel).flat_map(|run| run.chunks(MARKETS_PER_FRAME)) {
        let range = start..start + batch.len();
        start = range.end;
        if batch[0].channel == Channel::Trades {
            let product_ids = batch.iter().map(|subscription| subscription.stream_id.as_str()).collect();
            let control = Control { kind, product_ids, channels: [MATCHES, "heartbeat"] };
            let text = serde_json::to_string(&control).expect("strings always become JSON");
            let request_id = first_request_id + frames.len() as u64;
            frames.push(ControlFrame { text, request_id, subscriptions: range });
        }
    }
    frames
}

/// Events of one frame.
pub fn decode_frame<'a>(dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    if let Err(error) = decode(dialogue, text, emit) {
        emit(Event::Error(error));
    }
}

fn decode<'a>(dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let mut frame = serde_json::from_str::<Frame<'a>>(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        malformed(format!("{error}: {start}"))
    })?;
    let kind = frame.kind.take().map_or(Cow::Borrowed("object"), |kind| kind.0);
    match &*kind {
        "match" => emit(traded(frame, false)?),
        // The last trade before the subscription, however long ago.
        "last_match" => emit(traded(frame, true)?),
        "heartbeat" => {
            let stamped_at = stamp(frame.time.as_ref());
            let id = frame.last_trade_id.and_then(|id| id.trade_number("last_trade_id").ok()).filter(|id| *id > 0);
            emit(match (frame.product_id, id) {
                (Some(Text(stream_id)), Some(id)) => {
                    Event::LastTrade { stream_id, id: TradeId::Number(id), stamped_at }
                }
                _ => Event::Heartbeat { stamped_at },
            });
        }
        "subscriptions" => acknowledged(dialogue, frame, emit)?,
        "error" => refused(frame, emit),
        _ => emit(Event::Unknown { kind }),
    }
    Ok(())
}

fn traded(frame: Frame<'_>, is_snapshot: bool) -> Result<Event<'_>, VenueError> {
    let trade = frame.trade()?;
    // A trade is told when it happens, so its time is the venue's stamp too; an old one's is not.
    let stamped_at = stamp(frame.time.as_ref()).filter(|_| !is_snapshot);
    let stream_id = frame.product_id.ok_or_else(|| malformed("trade without product_id"))?.0;
    Ok(Event::Trade { stream_id, trade, is_snapshot, stamped_at })
}

/// Everything listed is subscribed; what was listed before and is not any more has ended.
fn acknowledged<'a>(
    dialogue: &mut Dialogue,
    frame: Frame<'a>,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let channels = frame.channels.ok_or_else(|| malformed("subscriptions without channels"))?;
    let listed = channels.into_iter().filter(|channel| channel.name.0 == MATCHES);
    let listed = listed.flat_map(|channel| channel.product_ids).map(|Text(id)| id).collect::<Vec<_>>();
    let subscription = |id: &Cow<'_, str>| Subscription { channel: Channel::Trades, stream_id: id.to_string() };
    let now = listed.iter().map(subscription).enumerate().map(|(index, entry)| (index as u64, entry)).collect();
    let before = std::mem::replace(&mut dialogue.channels, now);
    let channel = Some(Channel::Trades);
    for ended in before.into_values().filter(|before| !listed.iter().any(|id| *id == before.stream_id)) {
        emit(Event::Unsubscribed { request_id: None, stream_id: Some(ended.stream_id.into()), channel });
    }
    for stream_id in listed {
        emit(Event::Subscribed { request_id: None, stream_id: Some(stream_id), channel, stamped_at: None });
    }
    Ok(())
}

/// Errors have no codes, only sentences; those that are known are matched whole.
fn refused<'a>(frame: Frame<'a>, emit: &mut dyn FnMut(Event<'a>)) {
    let message = frame.message.map_or(Cow::Borrowed("error"), |message| message.0);
    let reason = frame.reason.map(|reason| reason.0);
    let words = reason.as_ref().map_or_else(|| message.to_string(), |reason| format!("{message}: {reason}"));
    let market = reason.as_deref().and_then(|reason| reason.strip_suffix(" is not a valid product"));
    emit(match (&*message, market) {
        (_, Some(market)) => Event::Rejected {
            request_id: None,
            stream_id: Some(market.to_owned().into()),
            channel: Some(Channel::Trades),
            error: VenueError::new(ErrorKind::UnknownSymbol, words),
        },
        ("Failed to subscribe", None) => Event::Rejected {
            request_id: None,
            stream_id: None,
            channel: None,
            error: VenueError::new(ErrorKind::BadRequest, words),
        },
        ("rate limit exceeded", None) => {
            Event::Error(VenueError::new(ErrorKind::RateLimited { retry_after: None }, words))
        }
        _ => Event::Error(VenueError::new(ErrorKind::BadRequest, words)),
    });
}

#[cfg(test)]
mod tests;
