//! Bitfinex's WebSocket v2. Objects are about the connection, arrays are data: a channel's number,
//! a payload, and behind it the frame's own number and stamp, which are asked for at the opening.

use serde_json::json;
use serde_json::value::RawValue;

use crate::exchange::wire::ascending;
use crate::exchange::{Channel, ControlFrame, Dialogue, ErrorKind, Event, Subscription, VenueError};

use super::wire::{CandleRow, Notice, Scalar, Tail, TradeRow, candle, in_order, malformed, trade};
use super::{CAPABILITIES, failure};

/// Numbers every frame of data and heartbeats.
const NUMBERED: u32 = 65_536;
/// Stamps them.
const STAMPED: u32 = 32_768;

/// Asks for numbers and stamps.
pub fn encode_opening() -> String {
    json!({ "event": "conf", "flags": NUMBERED | STAMPED }).to_string()
}

/// `{"event":"ping","cid":17}`.
pub fn encode_ping(request_id: u64) -> String {
    json!({ "event": "ping", "cid": request_id }).to_string()
}

/// One frame for each subscription.
pub fn encode_subscribe(subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let frames = subscriptions.iter().enumerate().map(|(index, subscription)| {
        let id = subscription.stream_id.as_str();
        let asked = match subscription.channel {
            Channel::Candles(timeframe) => {
                let interval = CAPABILITIES.wire_interval(timeframe).unwrap_or_default();
                json!({ "event": "subscribe", "channel": "candles", "key": format!("trade:{interval}:{id}") })
            }
            Channel::Trades => json!({ "event": "subscribe", "channel": "trades", "symbol": id }),
        };
        control(asked, first_request_id, index..index + 1)
    });
    frames.collect()
}

/// Channels end by their numbers; what has none on this connection needs no frame.
pub fn encode_unsubscribe(
    dialogue: &Dialogue,
    subscriptions: &[Subscription],
    first_request_id: u64,
) -> Vec<ControlFrame> {
    let numbered = subscriptions.iter().enumerate().filter_map(|(index, subscription)| {
        let (number, _) = dialogue.channels.iter().find(|(_, open)| *open == subscription)?;
        Some((index, json!({ "event": "unsubscribe", "chanId": number })))
    });
    numbered.map(|(index, asked)| control(asked, first_request_id, index..index + 1)).collect()
}

fn control(asked: serde_json::Value, first_request_id: u64, subscriptions: std::ops::Range<usize>) -> ControlFrame {
    ControlFrame { text: asked.to_string(), request_id: first_request_id + subscriptions.start as u64, subscriptions }
}

/// Events of one frame.
pub fn decode_frame<'a>(dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    let is_object = text.trim_start().starts_with('{');
    let decoded = if is_object { decode_notice(dialogue, text, emit) } else { decode_data(dialogue, text, emit) };
    if let Err(error) = decoded {
        emit(Event::Error(error));
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, VenueError> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        malformed(format!("{error}: {start}"))
    })
}

/// The market and channel that an answer names, by a key of candles or a symbol of trades.
fn named(notice: &Notice<'_>) -> Option<Subscription> {
    match &*notice.channel.as_ref()?.0 {
        "candles" => {
            let key = notice.key.as_ref()?.0.strip_prefix("trade:")?;
            let (interval, id) = key.split_once(':')?;
            let timeframe = CAPABILITIES.timeframe_of_wire(interval)?;
            Some(Subscription { channel: Channel::Candles(timeframe), stream_id: id.to_owned() })
        }
        "trades" => Some(Subscription { channel: Channel::Trades, stream_id: notice.symbol.as_ref()?.0.to_string() }),
        _ => None,
    }
}

fn number(scalar: Option<Scalar<'_>>, field: &str) -> Result<u64, VenueError> {
    scalar.ok_or_else(|| malformed(format!("notice without {field}")))?.unsigned(field)
}

fn decode_notice<'a>(
    dialogue: &mut Dialogue,
    text: &'a str,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let notice = read::<Notice<'a>>(text)?;
    let subscribed = |subscription: Subscription| Event::Subscribed {
        request_id: None,
        stream_id: Some(subscription.stream_id.into()),
        channel: Some(subscription.channel),
        stamped_at: None,
    };
    match &*notice.event.0 {
        "subscribed" => {
            let Some(subscription) = named(&notice) else {
                emit(Event::Unknown { kind: "subscribed".into() });
                return Ok(());
            };
            dialogue.channels.insert(number(notice.chan_id, "chanId")?, subscription.clone());
            emit(subscribed(subscription));
        }
        "unsubscribed" => {
            let ended = dialogue.channels.remove(&number(notice.chan_id, "chanId")?);
            let (channel, stream_id) = ended.map(|ended| (ended.channel, ended.stream_id.into())).unzip();
            emit(Event::Unsubscribed { request_id: None, stream_id, channel });
        }
        "error" => {
            let code = number(notice.code, "code")?;
            let message = notice.msg.as_ref().map_or("", |message| &*message.0);
            let error = VenueError::new(failure::of_stream(code, message), format!("{code} {message}"));
            match named(&notice) {
                // To have it already is no error.
                Some(subscription) if code == 10_301 => emit(subscribed(subscription)),
                Some(Subscription { channel, stream_id }) => {
                    let (stream_id, channel) = (Some(stream_id.into()), Some(channel));
                    emit(Event::Rejected { request_id: None, stream_id, channel, error });
                }
                None => return Err(error),
            }
        }
        "info" => decode_info(&notice, emit),
        "pong" => emit(Event::Heartbeat { stamped_at: notice.ts.and_then(|ts| ts.millis("ts").ok()) }),
        "conf" if notice.status.is_none_or(|status| status.0 == "OK") => emit(Event::Heartbeat { stamped_at: None }),
        "conf" => return Err(VenueError::new(ErrorKind::BadRequest, "frames are not numbered: conf was refused")),
        _ => emit(Event::Unknown { kind: notice.event.0 }),
    }
    Ok(())
}

/// The greeting, and what the venue has to say about itself.
fn decode_info<'a>(notice: &Notice<'a>, emit: &mut dyn FnMut(Event<'a>)) {
    let status = |is_up: bool| {
        let state = if is_up { "online" } else { "maintenance" };
        Event::VenueStatus { is_up, message: state.into() }
    };
    match notice.code.and_then(|code| code.unsigned("code").ok()) {
        Some(20_051) => emit(Event::Closing),
        Some(20_060) => emit(status(false)),
        // Everything has to be subscribed to anew.
        Some(20_061) => {
            emit(status(true));
            emit(Event::Closing);
        }
        Some(_) => emit(Event::Unknown { kind: "info".into() }),
        None => match notice.platform.as_ref().and_then(|platform| platform.status) {
            Some(state) => emit(status(state.0 == "1")),
            None => emit(Event::Unknown { kind: "info".into() }),
        },
    }
}

fn decode_data<'a>(dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let cells = read::<Vec<&'a RawValue>>(text)?;
    let [channel, payload, rest @ ..] = cells.as_slice() else {
        return Err(malformed(format!("a frame of {} values", cells.len())));
    };
    let channel = Scalar(channel.get()).unsigned("channel")?;
    // A tag may have a payload behind it.
    let (tag, payload, rest) = match (tag_of(payload.get()), rest) {
        (None, rest) => (None, Some(payload.get()), rest),
        (Some(tag), [body, rest @ ..]) if body.get().starts_with('[') => (Some(tag), Some(body.get()), rest),
        (Some(tag), rest) => (Some(tag), None, rest),
    };
    let tail = Tail::read(rest);
    let (last, stamped_at) = (dialogue.sequence, tail.stamped_at);
    if let Some(sequence) = tail.sequence {
        if last.is_some_and(|last| sequence <= last) {
            emit(Event::Unknown { kind: "repeated frame".into() });
            return Ok(());
        }
        dialogue.sequence = Some(sequence);
        if let Some(last) = last.filter(|last| last + 1 < sequence) {
            emit(Event::FramesLost { message: format!("frame {sequence} came after {last}").into() });
            return Ok(());
        }
    }
    if tag == Some("hb") {
        emit(Event::Heartbeat { stamped_at });
        return Ok(());
    }
    let Some(Subscription { channel, stream_id }) = dialogue.channels.get(&channel).cloned() else {
        emit(Event::Unknown { kind: "channel that is not open".into() });
        return Ok(());
    };
    match (channel, tag, payload) {
        // A trade is told at once (`te`) and again with its order (`tu`).
        (Channel::Trades, Some("tu"), _) => emit(Event::Heartbeat { stamped_at }),
        (Channel::Trades, Some("te"), Some(row)) => {
            let trade = trade(&read::<TradeRow<'_>>(row)?)?;
            emit(Event::Trade { stream_id: stream_id.into(), trade, is_snapshot: false, stamped_at });
        }
        (Channel::Trades, None, Some(rows)) => {
            for trade in in_order(&read::<Vec<TradeRow<'_>>>(rows)?)? {
                emit(Event::Trade { stream_id: stream_id.clone().into(), trade, is_snapshot: true, stamped_at });
            }
        }
        (Channel::Candles(timeframe), None, Some(rows)) => {
            let is_snapshot = !is_row(rows);
            let rows = if is_snapshot { read::<Vec<CandleRow<'_>>>(rows)? } else { vec![read(rows)?] };
            let candles = rows.iter().map(|row| candle(row, timeframe)).collect::<Result<Vec<_>, _>>()?;
            for candle in ascending(candles) {
                let stream_id = stream_id.clone().into();
                emit(Event::Candle { stream_id, timeframe, candle, closed: None, stamped_at, is_snapshot });
            }
        }
        (_, tag, _) => emit(Event::Unknown { kind: tag.map_or_else(|| "frame".into(), |tag| tag.into()) }),
    }
    Ok(())
}

/// `hb` of `"hb"`.
fn tag_of(payload: &str) -> Option<&str> {
    payload.strip_prefix('"')?.strip_suffix('"')
}

/// True for one row, false for an array of rows; an empty one is a snapshot of nothing.
fn is_row(payload: &str) -> bool {
    let inside = payload.strip_prefix('[').unwrap_or(payload).trim_start();
    !inside.starts_with(['[', ']'])
}

#[cfg(test)]
mod tests;
