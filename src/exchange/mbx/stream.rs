//! The market streams: subscribing, and reading frames.
//!
//! Raw and combined frames (`{"stream","data"}`) decode alike. An ack does not say whether it
//! answers a subscribe or an unsubscribe: both give [`Event::Subscribed`] with the request's id,
//! by which the sender knows what it asked. A well-formed stream of a market that does not exist
//! is acked and stays silent; only the instrument list tells.

use std::borrow::Cow;

use serde::Serialize;

use super::documented::{self, AggTradeEvent, KlineEvent};
use super::failure::kind_of_code;
use super::frame::{Frame, Kline};
use super::token::{Token, quoted_fractions};
use super::wire::AggTrade;
use crate::exchange::wire::malformed;
use crate::exchange::{Capabilities, Channel, ControlFrame, ErrorKind, Event, Subscription, VenueError};
use crate::market::Grid;

/// Streams of one control frame: a full connection (1024) is subscribed within three seconds at
/// the venue's pace, and a refused frame concerns few markets.
const STREAMS_PER_FRAME: usize = 100;

#[derive(Serialize)]
struct Control<'a> {
    method: &'a str,
    params: Vec<String>,
    id: u64,
}

/// Frames of one method, numbered from `first_request_id` on.
pub fn encode(method: &str, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
    let batches = subscriptions.chunks(STREAMS_PER_FRAME).enumerate();
    batches
        .map(|(index, batch)| {
            let id = first_request_id + index as u64;
            let control = Control { method, params: batch.iter().map(stream_name).collect(), id };
            let text = serde_json::to_string(&control).expect("strings and a number always serialise");
            let first = index * STREAMS_PER_FRAME;
            ControlFrame { text, request_id: id, subscriptions: first..first + batch.len() }
        })
        .collect()
}

fn stream_name(subscription: &Subscription) -> String {
    // Stream names want the market in lower case; the suffix keeps its case.
    let market = subscription.stream_id.to_lowercase();
    match subscription.channel {
        Channel::Trades => format!("{market}@aggTrade"),
        // The family spells each timeframe as we do.
        Channel::Candles(timeframe) => format!("{market}@kline_{timeframe}"),
    }
}

/// Events of one text frame.
pub fn decode<'a>(capabilities: &Capabilities, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
    let event = as_documented(capabilities, text).unwrap_or_else(|| as_frame(capabilities, text));
    emit(event.unwrap_or_else(Event::Error));
}

/// The event of a frame that has the documented form.
fn as_documented<'a>(capabilities: &Capabilities, text: &'a str) -> Option<Result<Event<'a>, VenueError>> {
    if text.starts_with(documented::KLINE) {
        let event = serde_json::from_str::<KlineEvent<'_>>(text).ok().filter(|event| !event.symbol.is_empty())?;
        let event_time = Token::Whole(event.event_time);
        return Some(of_kline(capabilities, event.symbol.into(), event_time, &event.kline()));
    }
    if text.starts_with(documented::AGG_TRADE) {
        let event = serde_json::from_str::<AggTradeEvent<'_>>(text).ok().filter(|event| !event.symbol.is_empty())?;
        return Some(of_trade(event.symbol.into(), Token::Whole(event.event_time), &event.trade()));
    }
    None
}

/// The event of a frame in any form.
fn as_frame<'a>(capabilities: &Capabilities, text: &'a str) -> Result<Event<'a>, VenueError> {
    let mut frame = Frame::default();
    match frame.read(text) {
        Ok(()) => of_frame(capabilities, &mut frame),
        Err(fault) => {
            with_quotes(capabilities, text).unwrap_or_else(|| Err(malformed(format!("no JSON of the stream: {fault}"))))
        }
    }
}

/// The event of a frame that prints fractions without quotes; `None` where that is not its fault.
fn with_quotes(capabilities: &Capabilities, text: &str) -> Option<Result<Event<'static>, VenueError>> {
    let quoted = quoted_fractions(text)?;
    let mut frame = Frame::default();
    frame.read(&quoted).ok()?;
    Some(of_frame(capabilities, &mut frame).map(owned))
}

fn of_frame<'a>(capabilities: &Capabilities, frame: &mut Frame<'a>) -> Result<Event<'a>, VenueError> {
    match frame.event.text() {
        "kline" => of_kline(capabilities, market_of(frame)?, frame.event_time, &frame.kline),
        "aggTrade" => of_trade(market_of(frame)?, frame.event_time, &frame.trade),
        "serverShutdown" => Ok(Event::Closing),
        _ if frame.stream.text() == "!serverShutdown" => Ok(Event::Closing),
        "" if frame.event.is_present() || frame.stream.is_present() => Ok(Event::Unknown { kind: "data".into() }),
        "" => of_control(frame),
        kind => Ok(Event::Unknown { kind: kind.into() }),
    }
}

fn of_kline<'a>(
    capabilities: &Capabilities,
    stream_id: Cow<'a, str>,
    event_time: Token<'_>,
    kline: &Kline<'_>,
) -> Result<Event<'a>, VenueError> {
    let Some(timeframe) = capabilities.timeframe_of_wire(kline.interval.text()) else {
        return Ok(Event::Unknown { kind: "kline interval".into() });
    };
    Ok(Event::Candle {
        stream_id,
        timeframe,
        candle: kline.bar.candle(Grid::utc(timeframe))?,
        closed: Some(kline.is_closed.flag("x")?),
        stamped_at: Some(event_time.time("E")?),
        is_snapshot: false,
    })
}

fn of_trade<'a>(stream_id: Cow<'a, str>, event_time: Token<'_>, trade: &AggTrade<'_>) -> Result<Event<'a>, VenueError> {
    let Some(trade) = trade.trade()? else {
        return Ok(Event::Unknown { kind: "aggTrade of no trade".into() });
    };
    Ok(Event::Trade { stream_id, trade, stamped_at: Some(event_time.time("E")?), is_snapshot: false })
}

fn market_of<'a>(frame: &mut Frame<'a>) -> Result<Cow<'a, str>, VenueError> {
    match std::mem::take(&mut frame.symbol.0) {
        symbol if symbol.is_empty() => Err(malformed("s is missing")),
        symbol => Ok(symbol),
    }
}

/// Acks, the answer to `LIST_SUBSCRIPTIONS`, and errors in both forms seen.
fn of_control<'a>(frame: &Frame<'a>) -> Result<Event<'a>, VenueError> {
    let request_id = frame.id.count("id").ok();
    if frame.code.is_present() {
        let error = refusal(frame.code.integer("code")?, &frame.msg.0);
        return match request_id {
            Some(_) => Ok(Event::Rejected { request_id, stream_id: None, channel: None, error }),
            None => Err(error),
        };
    }
    Ok(match frame.result {
        Token::Null => Event::Subscribed { request_id, stream_id: None, channel: None, stamped_at: None },
        Token::Absent => Event::Unknown { kind: "object".into() },
        _ => Event::Unknown { kind: "result".into() },
    })
}

/// The stream has small positive codes of its own, all meaning that the request was wrong.
fn refusal(code: i64, message: &str) -> VenueError {
    let kind = if code >= 0 { ErrorKind::BadRequest } else { kind_of_code(code) };
    VenueError::new(kind, format!("{code} {message}"))
}

/// The event without what it borrows from a text that does not outlive it.
fn owned(event: Event<'_>) -> Event<'static> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    match event {
        Event::Candle { stream_id, timeframe, candle, closed, stamped_at, is_snapshot } => {
            Event::Candle { stream_id: text(stream_id), timeframe, candle, closed, stamped_at, is_snapshot }
        }
        Event::Trade { stream_id, trade, is_snapshot, stamped_at } => {
            Event::Trade { stream_id: text(stream_id), trade, is_snapshot, stamped_at }
        }
        Event::Closing => Event::Closing,
        Event::Unknown { kind } => Event::Unknown { kind: text(kind) },
        Event::Error(error) => Event::Error(error),
        // An ack or a refusal with a fraction in it is nobody's answer.
        _ => Event::Unknown { kind: "object".into() },
    }
}

#[cfg(test)]
mod tests;
