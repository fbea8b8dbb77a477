//! Kraken's WebSocket v2 half: control frames out, events in.
//!
//! Data frames start with their channel, so they are told apart by their first bytes and read in
//! one pass; frames with another order of keys, or with escapes in their strings, cost a second
//! pass, nothing else.

use std::borrow::Cow;

use serde::Serialize;

use crate::exchange::wire::checked;
use crate::exchange::{Channel, ControlFrame, ErrorKind, Event, Subscription, VenueError};
use crate::market::{Candle, Grid, Trade, TradeId};

use super::symbols::ANCHORS;
use super::wire::{
    self, Answer, DataFrame, Head, OhlcRow, StatusFrame, Text, TradeRow, Words, cut_to_micros, malformed, rfc3339,
    stamp,
};
use super::{CAPABILITIES, interval_minutes, rest};

/// Symbols of one control frame: far below any frame limit, and a refused frame costs few symbols.
const SYMBOLS_PER_FRAME: usize = 50;

#[derive(Serialize)]
struct Control<'a> {
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<Params<'a>>,
    req_id: u64,
}

#[derive(Serialize)]
struct Params<'a> {
    channel: &'a str,
    symbol: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<bool>,
}

/// Frames that subscribe or unsubscribe: one for each run of a channel, of bounded length.
///
/// The snapshot is always asked for, in words, because its default differs between channels and
/// over time. For candles it brings the last frame of the running bucket over this connection even
/// if nothing trades in it any more; for trades it overlaps what is known, which closes short holes
/// by id without a REST call.
pub fn encode_control(method: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let snapshot = (method == "subscribe").then_some(true);
    let mut frames = Vec::new();
    let mut start = 0;
    for batch in subscriptions.chunk_by(|a, b| a.channel == b.channel).flat_map(|run| run.chunks(SYMBOLS_PER_FRAME)) {
        let (channel, interval) = match batch[0].channel {
            Channel::Candles(timeframe) => ("ohlc", Some(interval_minutes(timeframe))),
            Channel::Trades => ("trade", None),
        };
        let request_id = first_request_id + frames.len() as u64;
        let symbol = batch.iter().map(|subscription| subscription.stream_id.as_str()).collect();
        let params = Some(Params { channel, symbol, interval, snapshot });
        frames.push(ControlFrame {
            text: text_of(&Control { method, params, req_id: request_id }),
            request_id,
            subscriptions: start..start + batch.len(),
        });
        start += batch.len();
    }
    frames
}

/// `{"method":"ping","req_id":5}`.
pub fn encode_ping(request_id: u64) -> String {
    text_of(&Control { method: "ping", params: None, req_id: request_id })
}

fn text_of(control: &Control<'_>) -> String {
    serde_json::to_string(control).expect("strings and numbers always become JSON")
}

/// Events of one frame.
pub fn decode_frame<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    if let Err(error) = decode(text, emit) {
        emit(Event::Error(error));
    }
}

fn decode<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    if text.starts_with("{\"channel\":\"ohlc\"") {
        return decode_candles(text, emit);
    }
    if text.starts_with("{\"channel\":\"trade\"") {
        return decode_trades(text, emit);
    }
    let head = read::<Head<'_>>(text)?;
    match head {
        Head { channel: Some(Text(channel)), .. } => decode_channel(channel, text, emit),
        Head { method: Some(Text(method)), .. } => decode_answer(&method, text, emit),
        Head { error: Some(Text(error)), .. } => Err(refusal(&error)),
        Head { .. } => {
            emit(Event::Unknown { kind: Cow::Borrowed("object") });
            Ok(())
        }
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, VenueError> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        malformed(format!("{error}: {start}"))
    })
}

fn decode_channel<'a>(channel: Cow<'a, str>, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    match &*channel {
        "ohlc" => return decode_candles(text, emit),
        "trade" => return decode_trades(text, emit),
        "heartbeat" => emit(Event::Heartbeat { stamped_at: None }),
        "status" => {
            for row in read::<StatusFrame<'_>>(text)?.data {
                emit(Event::VenueStatus { is_up: row.system.0 == "online", message: row.system.0 });
            }
        }
        _ => emit(Event::Unknown { kind: channel }),
    }
    Ok(())
}

fn decode_candles<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    match serde_json::from_str(text) {
        Ok(frame) => emit_candles::<&str>(frame, emit),
        Err(_) => emit_candles::<String>(read(text)?, emit),
    }
}

fn decode_trades<'a>(text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    match serde_json::from_str(text) {
        Ok(frame) => emit_trades::<&str>(frame, emit),
        Err(_) => emit_trades::<String>(read(text)?, emit),
    }
}

/// The venue has no closed flag, and prints a bar only when something traded in it.
fn emit_candles<'a, W: Words<'a>>(
    frame: DataFrame<W, OhlcRow<'a, W>>,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let (is_snapshot, stamped_at) = (frame.is_snapshot(), frame.stamped_at());
    for row in frame.data {
        let Some(timeframe) = CAPABILITIES.timeframe_of_wire(row.interval.0) else {
            emit(Event::Unknown { kind: Cow::Borrowed("ohlc interval") });
            continue;
        };
        let trades = row.trades.map(|count| count.unsigned("trades")).transpose()?;
        let volume = row.volume.float("volume")?;
        let candle = Candle {
            open_time: rfc3339(&row.interval_begin, "interval_begin")?,
            open: row.open.float("open")?,
            high: row.high.float("high")?,
            low: row.low.float("low")?,
            close: row.close.float("close")?,
            volume,
            quote_volume: None,
            trades,
            vwap: wire::vwap(row.vwap, trades, volume)?,
        };
        let candle = checked(candle, &Grid::new(timeframe, ANCHORS))?;
        let stream_id = row.symbol.into();
        emit(Event::Candle { stream_id, timeframe, candle, closed: None, stamped_at, is_snapshot });
    }
    Ok(())
}

fn emit_trades<'a, W: Words<'a>>(
    frame: DataFrame<W, TradeRow<'a, W>>,
    emit: &mut dyn FnMut(Event<'a>),
) -> Result<(), VenueError> {
    let (is_snapshot, stamped_at) = (frame.is_snapshot(), frame.stamped_at());
    for row in frame.data {
        let number = row.trade_id.trade_number("trade id")?;
        let trade = Trade {
            id: TradeId::Number(number),
            last_id: TradeId::Number(number),
            time: cut_to_micros(rfc3339(&row.timestamp, "timestamp")?),
            price: row.price.decimal("price")?,
            amount: row.qty.decimal("qty")?,
            side: row.side.and_then(|side| wire::side(&side)),
        };
        emit(Event::Trade { stream_id: row.symbol.into(), trade, is_snapshot, stamped_at });
    }
    Ok(())
}

/// Acks come one for each symbol; refusals name theirs in a key, in their words, or not at all.
fn decode_answer<'a>(method: &str, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) -> Result<(), VenueError> {
    let answer = read::<Answer<'a>>(text)?;
    let is_accepted = answer.success.unwrap_or(answer.error.is_none());
    let is_answer = answer.success.is_some() || answer.error.is_some() || method == "pong";
    let request_id = answer.req_id.and_then(|id| id.unsigned("req_id").ok());
    let stamped_at = stamp(answer.time_out.as_ref());
    let stream_id = answer.result.and_then(|result| result.symbol).or(answer.symbol).map(|symbol| symbol.0);
    let words = answer.error.map_or(Cow::Borrowed("refused without a reason"), |error| error.0);
    match (method, is_accepted) {
        // A request, as recordings hold them between the answers.
        (request, _) if !is_answer => emit(Event::Unknown { kind: Cow::Owned(request.to_owned()) }),
        ("subscribe", true) => emit(Event::Subscribed { request_id, stream_id, channel: None, stamped_at }),
        ("subscribe", false) => {
            let error = refusal(&words);
            let stream_id = stream_id.or_else(|| named_in(&words));
            emit(Event::Rejected { request_id, stream_id, channel: None, error });
        }
        ("unsubscribe", true) => emit(Event::Unsubscribed { request_id, stream_id, channel: None }),
        ("pong", true) => emit(Event::Heartbeat { stamped_at }),
        (_, false) => return Err(refusal(&words)),
        (other, true) => emit(Event::Unknown { kind: Cow::Owned(other.to_owned()) }),
    }
    Ok(())
}

const NOT_SUPPORTED: &str = "Currency pair not supported";

/// The class of a refusal. The socket has no codes, only sentences; those that are known are
/// matched from their start, and an unknown one may be asked again.
fn refusal(words: &str) -> VenueError {
    let kind = if words.starts_with(NOT_SUPPORTED) {
        ErrorKind::UnknownSymbol
    } else if words.starts_with("Already subscribed") {
        ErrorKind::BadRequest
    } else if words.starts_with("Exceeded msg rate") {
        ErrorKind::RateLimited { retry_after: None }
    } else {
        rest::error_kind(words, None)
    };
    VenueError::new(kind, words)
}

/// The market at the end of `Currency pair not supported FOO/BAR`.
fn named_in<'a>(words: &str) -> Option<Cow<'a, str>> {
    let name = words.strip_prefix(NOT_SUPPORTED)?.trim();
    (!name.is_empty()).then(|| Cow::Owned(name.to_owned()))
}

#[cfg(test)]
mod tests;
