//! The realtime stream: control frames out, events in.
//!
//! A topic is a table and a market (`tradeBin1m:XBTUSD`). Its snapshot (`partial`) comes first; rows
//! that come before it belong to nothing and are ignored. Control frames have no numbers and an error
//! repeats the whole request, so that each frame asks for one topic only.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::CAPABILITIES;
use super::wire::{BinRow, Frame, Request, TradeRow};
use crate::exchange::wire::{Text, malformed, stamp};
use crate::exchange::{Channel, ControlFrame, Dialogue, ErrorKind, Event, Subscription, VenueError};

const TRADES: &str = "trade";
const CANDLES: &str = "tradeBin";

#[derive(Serialize)]
struct Control<'a> {
    op: &'a str,
    args: [String; 1],
}

/// One frame for each subscription.
pub fn encode_control(op: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let frame = |(index, subscription): (usize, &Subscription)| {
        let control = Control { op, args: [topic(subscription)] };
        ControlFrame {
            text: serde_json::to_string(&control).expect("strings always become JSON"),
            request_id: first_request_id + index as u64,
            subscriptions: index..index + 1,
        }
    };
    subscriptions.iter().enumerate().map(frame).collect()
}

fn topic(subscription: &Subscription) -> String {
    let id = &subscription.stream_id;
    match subscription.channel {
        Channel::Trades => format!("{TRADES}:{id}"),
        Channel::Candles(timeframe) => {
            let bin = CAPABILITIES.wire_interval(timeframe).unwrap_or(timeframe.as_str());
            format!("{CANDLES}{bin}:{id}")
        }
    }
}

fn channel_of(table: &str) -> Option<Channel> {
    match table.strip_prefix(CANDLES) {
        Some(bin) => CAPABILITIES.timeframe_of_wire(bin).map(Channel::Candles),
        None => (table == TRADES).then_some(Channel::Trades),
    }
}

fn subscription_of(topic: &str) -> Option<Subscription> {
    let (table, id) = topic.split_once(':')?;
    Some(Subscription { channel: channel_of(table)?, stream_id: id.to_owned() })
}

/// Events of one frame.
pub fn decode_frame<'a>(dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    if text == "pong" {
        return emit(Event::Heartbeat { stamped_at: None });
    }
    if let Err(error) = decode(dialogue, text, emit) {
        emit(Event::Error(error));
    }
}

fn fault(error: &serde_json::Error, text: &str) -> VenueError {
    let start: String = text.chars().take(200).collect();
    malformed(format!("{error}: {start}"))
}

fn decode<'a>(dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let frame = serde_json::from_str::<Frame<'a>>(text).map_err(|error| fault(&error, text))?;
    if let (Some(Text(table)), Some(data)) = (&frame.table, frame.data) {
        match channel_of(table) {
            Some(channel) => return rows(dialogue, channel, &frame, data, emit),
            None => emit(Event::Unknown { kind: table.to_string().into() }),
        }
        return Ok(());
    }
    if let Some(Text(words)) = &frame.error {
        refused(&frame, words, emit);
    } else if let Some(Subscription { channel, stream_id }) = acked(frame.subscribe.as_ref()) {
        let (stream_id, channel) = (Some(stream_id.into()), Some(channel));
        emit(Event::Subscribed { request_id: None, stream_id, channel, stamped_at: None });
    } else if let Some(ended) = acked(frame.unsubscribe.as_ref()) {
        dialogue.channels.retain(|_, open| *open != ended);
        let (stream_id, channel) = (Some(ended.stream_id.into()), Some(ended.channel));
        emit(Event::Unsubscribed { request_id: None, stream_id, channel });
    } else if frame.info.is_some() {
        emit(Event::Heartbeat { stamped_at: stamp(frame.timestamp.as_ref()) });
    } else {
        emit(Event::Unknown { kind: "object".into() });
    }
    Ok(())
}

fn acked(topic: Option<&Text<'_>>) -> Option<Subscription> {
    subscription_of(&topic?.0)
}

/// An error is classed by its status; the market is unknown where the sentence says so, for which
/// the status has no number of its own.
fn refused<'a>(frame: &Frame<'a>, words: &str, emit: &mut dyn FnMut(Event<'a>)) {
    let status = frame.status.and_then(|status| status.unsigned("status").ok());
    let kind = match status {
        Some(429) => {
            let wait = frame.meta.as_ref().and_then(|meta| meta.wait()).unwrap_or(Duration::from_secs(1));
            ErrorKind::RateLimited { retry_after: Some(wait) }
        }
        Some(403) => ErrorKind::Banned { retry_after: None },
        Some(404) => ErrorKind::UnknownSymbol,
        Some(400) if words == "Unknown or expired symbol." => ErrorKind::UnknownSymbol,
        Some(500..) => ErrorKind::Unavailable,
        _ => ErrorKind::BadRequest,
    };
    let error = VenueError::new(kind, words);
    let request = frame.request.and_then(|request| serde_json::from_str::<Request<'_>>(request.get()).ok());
    let asked = request.filter(|request| request.op.as_ref().is_some_and(|op| op.0 == "subscribe"));
    let topic = asked.as_ref().and_then(|asked| match &asked.args[..] {
        [Text(topic)] => subscription_of(topic),
        _ => None,
    });
    emit(match topic {
        Some(Subscription { channel, stream_id }) => {
            let (stream_id, channel) = (Some(stream_id.into()), Some(channel));
            // To have it already is no error.
            if words.starts_with("You are already subscribed") {
                Event::Subscribed { request_id: None, stream_id, channel, stamped_at: None }
            } else {
                Event::Rejected { request_id: None, stream_id, channel, error }
            }
        }
        None => Event::Error(error),
    });
}

fn rows<'a>(
    dialogue: &mut Dialogue,
    channel: Channel,
    frame: &Frame<'a>,
    data: &'a RawValue,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let is_snapshot = match frame.action.as_ref().map(|action| &*action.0) {
        Some("partial") => true,
        Some("insert") => false,
        other => {
            emit(Event::Unknown { kind: other.unwrap_or("table").to_owned().into() });
            return Ok(());
        }
    };
    if is_snapshot && let Some(Text(id)) = frame.filter.as_ref().and_then(|filter| filter.symbol.as_ref()) {
        open(dialogue, channel, id);
    }
    let mut admit = |symbol: Option<Text<'a>>, emit: &mut dyn FnMut(Event<'a>)| {
        let id = symbol.ok_or_else(|| malformed("row without symbol"))?.0;
        if is_snapshot {
            open(dialogue, channel, &id);
        }
        let is_open = is_held(dialogue, channel, &id);
        if !is_open {
            emit(Event::Unknown { kind: "row before its snapshot".into() });
        }
        Ok::<_, VenueError>(is_open.then_some(id))
    };
    match channel {
        Channel::Candles(timeframe) => {
            for mut row in read::<BinRow<'a>>(data)? {
                let (symbol, candle) = (row.symbol.take(), row.candle(timeframe)?);
                if let (Some(stream_id), Some(candle)) = (admit(symbol, emit)?, candle) {
                    let closed = Some(true);
                    emit(Event::Candle { stream_id, timeframe, candle, closed, stamped_at: None, is_snapshot });
                }
            }
        }
        Channel::Trades => {
            for mut row in read::<TradeRow<'a>>(data)? {
                let (symbol, trade) = (row.symbol.take(), row.trade()?);
                if let (Some(stream_id), Some(trade)) = (admit(symbol, emit)?, trade) {
                    // A trade is told when it happens, so its time is the venue's stamp too; an old one's is not.
                    let stamped_at = (!is_snapshot).then_some(trade.time);
                    emit(Event::Trade { stream_id, trade, is_snapshot, stamped_at });
                }
            }
        }
    }
    Ok(())
}

fn is_held(dialogue: &Dialogue, channel: Channel, id: &str) -> bool {
    dialogue.channels.values().any(|open| open.channel == channel && open.stream_id == id)
}

/// Notes that a snapshot has come.
fn open(dialogue: &mut Dialogue, channel: Channel, id: &str) {
    if !is_held(dialogue, channel, id) {
        let number = dialogue.channels.last_key_value().map_or(0, |(last, _)| last + 1);
        dialogue.channels.insert(number, Subscription { channel, stream_id: id.to_owned() });
    }
}

fn read<'a, Row: serde::Deserialize<'a>>(data: &'a RawValue) -> Result<Vec<Row>, VenueError> {
    serde_json::from_str(data.get()).map_err(|error| fault(&error, data.get()))
}

#[cfg(test)]
mod tests;
