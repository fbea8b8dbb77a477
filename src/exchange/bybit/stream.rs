//! The public streams: subscribing, pings, and reading frames. A connection carries one category,
//! which its frames do not name.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::CAPABILITIES;
use super::symbols::{self, Category};
use super::wire::{Deal, Frame, Kline};
use crate::exchange::wire::{Text, malformed};
use crate::exchange::{Channel, ControlFrame, ErrorKind, Event, Subscription, VenueError};
use crate::market::Grid;

/// Topics of one control frame: the spot market takes no more, and one bad topic fails them all.
const TOPICS_PER_FRAME: usize = 10;

#[derive(Serialize)]
struct Control<'a> {
    req_id: String,
    op: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
}

impl Control<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("strings always become JSON")
    }
}

/// Frames of one operation, numbered from `first_request_id` on.
pub fn encode(op: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let batches = subscriptions.chunks(TOPICS_PER_FRAME).enumerate();
    batches
        .map(|(index, batch)| {
            let request_id = first_request_id + index as u64;
            let args = batch.iter().map(topic).collect();
            let first = index * TOPICS_PER_FRAME;
            ControlFrame {
                text: Control { req_id: request_id.to_string(), op, args }.text(),
                request_id,
                subscriptions: first..first + batch.len(),
            }
        })
        .collect()
}

/// `{"req_id":"5","op":"ping"}`.
pub fn encode_ping(request_id: u64) -> String {
    Control { req_id: request_id.to_string(), op: "ping", args: Vec::new() }.text()
}

fn topic(subscription: &Subscription) -> String {
    let (_, name) = symbols::split(&subscription.stream_id);
    match subscription.channel {
        Channel::Trades => format!("publicTrade.{name}"),
        Channel::Candles(timeframe) => {
            format!("kline.{}.{name}", CAPABILITIES.wire_interval(timeframe).unwrap_or_default())
        }
    }
}

/// Events of one text frame of a connection.
pub fn decode<'a>(category: Category, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    if let Err(error) = read(text).and_then(|frame| decode_frame(category, frame, emit)) {
        emit(Event::Error(error));
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, VenueError> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        malformed(format!("{error}: {start}"))
    })
}

fn decode_frame<'a>(
    category: Category,
    mut frame: Frame<'a>,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let Some(Text(topic)) = frame.topic.take() else {
        emit(answer(frame)?);
        return Ok(());
    };
    let data =
        |frame: &Frame<'a>| frame.data.map(RawValue::get).ok_or_else(|| malformed(format!("{topic} without data")));
    let stamped_at = frame.ts.map(|ts| ts.millis("ts")).transpose()?;
    let mut parts = topic.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("kline"), Some(interval), Some(name)) => {
            let Some(timeframe) = CAPABILITIES.timeframe_of_wire(interval) else {
                emit(Event::Unknown { kind: "kline interval".into() });
                return Ok(());
            };
            let grid = Grid::utc(timeframe);
            // The closing bucket and the new one may come together.
            for kline in read::<Vec<Kline<'_>>>(data(&frame)?)? {
                emit(Event::Candle {
                    stream_id: category.id(name).into(),
                    timeframe,
                    candle: kline.bar().candle(category, &grid)?,
                    closed: Some(kline.confirm),
                    stamped_at,
                    is_snapshot: false,
                });
            }
        }
        (Some("publicTrade"), Some(_), _) => {
            let name = &topic["publicTrade.".len()..];
            for deal in read::<Vec<Deal<'_>>>(data(&frame)?)? {
                let (stream_id, trade) = (category.id(name).into(), deal.trade()?);
                emit(Event::Trade { stream_id, trade, is_snapshot: false, stamped_at });
            }
        }
        (kind, ..) => emit(Event::Unknown { kind: kind.unwrap_or_default().to_owned().into() }),
    }
    Ok(())
}

/// Acks and refusals answer a whole request. Pongs are answers to `ping` or of their own kind.
fn answer(frame: Frame<'_>) -> Result<Event<'_>, VenueError> {
    let request_id = frame.req_id.and_then(|id| id.unsigned("req_id").ok());
    let words = frame.ret_msg.as_ref().map_or("", |text| &text.0);
    let op = frame.op.as_ref().map(|op| op.0.as_ref());
    Ok(match (op, frame.success) {
        (Some("subscribe"), Some(true)) => {
            Event::Subscribed { request_id, stream_id: None, channel: None, stamped_at: None }
        }
        (Some("unsubscribe"), Some(true)) => Event::Unsubscribed { request_id, stream_id: None, channel: None },
        (Some("subscribe"), Some(false)) if request_id.is_some() => {
            Event::Rejected { request_id, stream_id: None, channel: None, error: refusal(words) }
        }
        (Some("pong"), _) | (Some("ping"), Some(true)) => Event::Heartbeat { stamped_at: stamp(&frame) },
        (_, Some(false)) => return Err(refusal(words)),
        (op, _) => Event::Unknown { kind: op.unwrap_or("object").to_owned().into() },
    })
}

/// The time that one form of pongs carries.
fn stamp(frame: &Frame<'_>) -> Option<DateTime<Utc>> {
    frame.args.as_ref()?.first()?.millis("pong").ok()
}

/// The stream has no codes, only sentences; one of them is known.
fn refusal(words: &str) -> VenueError {
    let is_symbol = words.starts_with("Invalid symbol");
    VenueError::new(if is_symbol { ErrorKind::UnknownSymbol } else { ErrorKind::BadRequest }, words)
}

#[cfg(test)]
mod tests;
