//! The WebSocket: one subscription in a frame, answers that repeat it, and events in.
//!
//! There are no request ids: an answer is matched by what it names. A coin that does not exist makes
//! the venue close the whole connection without a word, so only names of the lists are subscribed to.

use serde::Serialize;

use crate::exchange::{Channel, ControlFrame, ErrorKind, Event, Subscription, VenueError};

use super::CAPABILITIES;
use super::wire::{Bar, Frame, Request, Text, Topic, TradeRow, malformed};

/// The application-level ping, which is answered by a frame; protocol pings do not count as signs of
/// life with this venue.
pub const PING: &str = r#"{"method":"ping"}"#;

/// What old servers greet with; not JSON.
const GREETING: &str = "Websocket connection established.";

#[derive(Serialize)]
struct Control<'a> {
    method: &'a str,
    subscription: Wanted<'a>,
}

#[derive(Serialize)]
struct Wanted<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    coin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'a str>,
}

/// One frame for each subscription, numbered from `first_request_id` on for the sender's own books.
pub fn encode_control(method: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let frames = subscriptions.iter().enumerate().map(|(index, subscription)| {
        let coin = subscription.stream_id.as_str();
        let (kind, interval) = match subscription.channel {
            Channel::Candles(timeframe) => ("candle", Some(CAPABILITIES.wire_interval(timeframe).unwrap_or_default())),
            Channel::Trades => ("trades", None),
        };
        let control = Control { method, subscription: Wanted { kind, coin, interval } };
        ControlFrame {
            text: serde_json::to_string(&control).expect("strings always become JSON"),
            request_id: first_request_id + index as u64,
            subscriptions: index..index + 1,
        }
    });
    frames.collect()
}

/// Events of one frame.
pub fn decode_frame<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    if text.trim() == GREETING {
        return emit(Event::Heartbeat { stamped_at: None });
    }
    if let Err(error) = decode(text, emit) {
        emit(Event::Error(error));
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, VenueError> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        malformed(format!("{error}: {start}"))
    })
}

fn decode<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let Frame { channel, data } = read(text)?;
    let data = data.map(|data| data.get()).unwrap_or("null");
    match &*channel.0 {
        "candle" => decode_candles(data, emit),
        "trades" => decode_trades(data, emit),
        "pong" => {
            emit(Event::Heartbeat { stamped_at: None });
            Ok(())
        }
        "subscriptionResponse" => {
            emit(answer(read(data)?));
            Ok(())
        }
        "error" => {
            emit(refusal(&read::<Text<'_>>(data)?.0));
            Ok(())
        }
        _ => {
            emit(Event::Unknown { kind: channel.0 });
            Ok(())
        }
    }
}

/// One bar; the venue's documents say several, so those are read too.
fn decode_candles<'a>(data: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let bars = if data.starts_with('[') { read::<Vec<Bar<'a>>>(data)? } else { vec![read::<Bar<'a>>(data)?] };
    for bar in bars {
        let Some(timeframe) = CAPABILITIES.timeframe_of_wire(&bar.i.0) else {
            emit(Event::Unknown { kind: "candle interval".into() });
            continue;
        };
        let candle = bar.candle(timeframe)?;
        let stream_id = bar.s.0;
        emit(Event::Candle { stream_id, timeframe, candle, closed: None, stamped_at: None, is_snapshot: false });
    }
    Ok(())
}

/// The first frame after an ack repeats some trades of the past and does not say so.
fn decode_trades<'a>(data: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let rows = read::<Vec<TradeRow<'a>>>(data)?;
    let mut trades = rows.into_iter().map(|row| Ok((row.trade()?, row.coin.0))).collect::<Result<Vec<_>, _>>()?;
    trades.sort_by_key(|(trade, _)| trade.time);
    for (trade, stream_id) in trades {
        emit(Event::Trade { stream_id, trade, is_snapshot: false, stamped_at: None });
    }
    Ok(())
}

/// The channel of a topic, where it is one of ours.
fn channel_of(topic: &Topic<'_>) -> Option<Channel> {
    match &*topic.kind.0 {
        "trades" => Some(Channel::Trades),
        "candle" => CAPABILITIES.timeframe_of_wire(&topic.interval.as_ref()?.0).map(Channel::Candles),
        _ => None,
    }
}

fn answer(request: Request<'_>) -> Event<'_> {
    let channel = channel_of(&request.subscription);
    let stream_id = request.subscription.coin.map(|coin| coin.0);
    match (request.method.as_ref().map(|method| &*method.0), channel) {
        (_, None) => Event::Unknown { kind: "subscriptionResponse".into() },
        (Some("unsubscribe"), channel) => Event::Unsubscribed { request_id: None, stream_id, channel },
        (_, channel) => Event::Subscribed { request_id: None, stream_id, channel, stamped_at: None },
    }
}

/// Errors are sentences followed by what was asked. To have what was asked already is no error.
fn refusal(words: &str) -> Event<'static> {
    let asked = words.find('{').map(|at| &words[at..]);
    let topic = asked.and_then(|asked| {
        let request = serde_json::from_str::<Request<'_>>(asked).map(|request| request.subscription);
        request.or_else(|_| serde_json::from_str::<Topic<'_>>(asked)).ok()
    });
    let channel = topic.as_ref().and_then(channel_of);
    let stream_id = topic.and_then(|topic| topic.coin).map(|coin| coin.0.into_owned().into());
    let error = VenueError::new(ErrorKind::BadRequest, words);
    match (stream_id, channel) {
        (Some(stream_id), Some(channel)) => {
            let (stream_id, channel) = (Some(stream_id), Some(channel));
            if words.starts_with("Already subscribed") {
                Event::Subscribed { request_id: None, stream_id, channel, stamped_at: None }
            } else if words.starts_with("Already unsubscribed") {
                Event::Unsubscribed { request_id: None, stream_id, channel }
            } else {
                Event::Rejected { request_id: None, stream_id, channel, error }
            }
        }
        _ => Event::Error(error),
    }
}

#[cfg(test)]
mod tests;
