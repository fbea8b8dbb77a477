//! The sockets: control frames out, events in. A pong is a bare word, everything else is JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::CAPABILITIES;
use super::failure::kind_of;
use super::wire::{Arg, Frame, Row, TradeRow};
use crate::exchange::wire::{Text, malformed};
use crate::exchange::{Channel, ControlFrame, Event, Subscription, VenueError};
use crate::market::Grid;

/// Channels of one control frame: of 480 frames an hour a full connection costs three, and a frame
/// stays far below 64 KB.
const ARGS_PER_FRAME: usize = 100;

#[derive(Serialize)]
struct Control<'a> {
    /// Letters and digits.
    id: String,
    op: &'a str,
    args: Vec<ControlArg<'a>>,
}

#[derive(Serialize)]
struct ControlArg<'a> {
    channel: Cow<'a, str>,
    #[serde(rename = "instId")]
    market: &'a str,
}

/// Frames that subscribe or unsubscribe; the text of the request id is theirs.
pub fn encode_control(op: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let batches = subscriptions.chunks(ARGS_PER_FRAME).enumerate();
    batches
        .map(|(index, batch)| {
            let request_id = first_request_id + index as u64;
            let args =
                batch.iter().map(|wanted| ControlArg { channel: name(wanted.channel), market: &wanted.stream_id });
            let control = Control { id: request_id.to_string(), op, args: args.collect() };
            let text = serde_json::to_string(&control).expect("strings always become JSON");
            let first = index * ARGS_PER_FRAME;
            ControlFrame { text, request_id, subscriptions: first..first + batch.len() }
        })
        .collect()
}

fn name(channel: Channel) -> Cow<'static, str> {
    match channel {
        Channel::Trades => "trades".into(),
        Channel::Candles(timeframe) => {
            format!("candle{}", CAPABILITIES.wire_interval(timeframe).unwrap_or(timeframe.as_str())).into()
        }
    }
}

fn channel_of(name: &str) -> Option<Channel> {
    match name.strip_prefix("candle") {
        Some(bar) => CAPABILITIES.timeframe_of_wire(bar).map(Channel::Candles),
        None => (name == "trades").then_some(Channel::Trades),
    }
}

/// Events of one frame.
pub fn decode_frame<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    if text.trim() == "pong" {
        return emit(Event::Heartbeat { stamped_at: None });
    }
    if let Err(error) = decode(text, emit) {
        emit(Event::Error(error));
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, VenueError> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        malformed(format!("{error}: {start}"))
    })
}

fn decode<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let frame = read::<Frame<'a>>(text)?;
    match (frame.event, frame.arg, frame.data) {
        (None, Some(arg), Some(data)) => decode_data(arg, data.get(), emit),
        (Some(Text(event)), arg, _) => {
            let request_id = frame.id.and_then(|id| id.unsigned("id").ok());
            let (channel, stream_id) = match arg {
                Some(arg) => (channel_of(&arg.channel.0), arg.market.map(|market| market.0)),
                None => (None, None),
            };
            let code = frame.code.map_or("", |code| code.0);
            let words = frame.msg.map_or(Cow::Borrowed(""), |msg| msg.0);
            match &*event {
                "subscribe" => emit(Event::Subscribed { request_id, stream_id, channel, stamped_at: None }),
                "unsubscribe" => emit(Event::Unsubscribed { request_id, stream_id, channel }),
                "error" => return refused(request_id, code, &words, emit),
                // The connection will soon be closed for an upgrade.
                "notice" if code == "64008" => emit(Event::Closing),
                _ => emit(Event::Unknown { kind: event }),
            }
            Ok(())
        }
        (None, ..) => {
            emit(Event::Unknown { kind: "object".into() });
            Ok(())
        }
    }
}

/// A refusal has the id of its request, or names in its words what does not exist, or neither.
fn refused<'a>(
    request_id: Option<u64>,
    code: &str,
    words: &str,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let error = VenueError::new(kind_of(code, None), format!("{code} {words}"));
    let (channel, stream_id) = named_in(words);
    if request_id.is_none() && stream_id.is_none() {
        return Err(error);
    }
    emit(Event::Rejected { request_id, stream_id: stream_id.map(Cow::Owned), channel, error });
    Ok(())
}

/// What `Wrong URL or channel:candle1m,instId:BTC-ZZZ doesn't exist. …` names.
fn named_in(words: &str) -> (Option<Channel>, Option<String>) {
    let named = words.split_once("channel:").and_then(|(_, rest)| rest.split_once(" doesn't exist"));
    let Some((channel, market)) = named.and_then(|(named, _)| named.split_once(",instId:")) else {
        return (None, None);
    };
    (channel_of(channel.trim()), Some(market.trim().to_owned()))
}

fn decode_data<'a>(arg: Arg<'a>, data: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let market = || arg.market.as_ref().map(|market| market.0.clone()).ok_or_else(|| malformed("data without instId"));
    match channel_of(&arg.channel.0) {
        Some(Channel::Candles(timeframe)) => {
            let grid = Grid::utc(timeframe);
            for row in read::<Vec<Row<'a>>>(data)? {
                let stream_id = market()?;
                let candle = row.candle(&stream_id, &grid)?;
                let closed = Some(row.is_closed()?);
                emit(Event::Candle { stream_id, timeframe, candle, closed, stamped_at: None, is_snapshot: false });
            }
        }
        Some(Channel::Trades) => {
            for row in read::<Vec<TradeRow<'a>>>(data)? {
                let trade = row.trade()?;
                // A trade is told when it happens: its time is the venue's stamp too.
                let stamped_at = Some(trade.time);
                let stream_id = row.market.map_or_else(market, |market| Ok(market.0))?;
                emit(Event::Trade { stream_id, trade, is_snapshot: false, stamped_at });
            }
        }
        None => emit(Event::Unknown { kind: arg.channel.0 }),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
