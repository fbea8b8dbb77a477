//! The one call Yahoo offers us, the chart, and the many ways in which it refuses.

use super::candles;
use super::symbols::{anchors, unified, yahoo_id};
use super::wire::{Body, Failure, Meta, Series, malformed};
use super::{CAPABILITIES, HALF_HOUR_WIRE};
use crate::exchange::request::percent_encode;
use crate::exchange::{Cost, Endpoints, ErrorKind, HttpReply, HttpRequest, Instrument, Method, VenueError};
use crate::market::{Candle, Span, Symbol, Timeframe};

fn chart(endpoints: &Endpoints, id: &str, query: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{}/v8/finance/chart/{}?{query}", endpoints.rest, percent_encode(id)),
        // Agents that do not look like a browser are answered 429 at once.
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: 0, units: 1 },
    }
}

/// The call that describes a market.
pub fn instrument_request(endpoints: &Endpoints, symbol: &Symbol) -> HttpRequest {
    chart(endpoints, &yahoo_id(symbol), "range=1d&interval=1d")
}

/// The call that reads candles.
pub fn candle_request(endpoints: &Endpoints, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let (from, to) = candles::window(span, timeframe, instrument.anchors);
    // A timeframe that is not in the table is asked by its own name and refused by the venue.
    let wire = CAPABILITIES.wire_interval(timeframe).unwrap_or(timeframe.as_str());
    let query = format!("period1={from}&period2={to}&interval={wire}&includePrePost=false");
    chart(endpoints, &instrument.rest_id, &query)
}

pub fn decode_instrument(asked: Option<&Symbol>, reply: &HttpReply) -> Result<Instrument, VenueError> {
    let meta = series(reply)?.meta;
    let echoed = meta.symbol.as_deref();
    let (symbol, id) = match asked {
        // Yahoo echoes the name in its canonical case. Another name altogether is left alone.
        Some(asked) => {
            let id = yahoo_id(asked);
            let canonical = echoed.filter(|echoed| echoed.eq_ignore_ascii_case(&id)).map(str::to_owned);
            (asked.clone(), canonical.unwrap_or(id))
        }
        None => {
            let id = echoed.ok_or_else(|| malformed("meta.symbol is missing"))?;
            let symbol = unified(id, meta.instrument_type.as_deref());
            (symbol.ok_or_else(|| malformed(format!("meta.symbol is {id:?}")))?, id.to_owned())
        }
    };
    Ok(Instrument { anchors: anchors(&meta), ..Instrument::new(symbol, id.clone(), id) })
}

pub fn decode_candles(
    instrument: &Instrument,
    timeframe: Timeframe,
    span: Span,
    reply: &HttpReply,
) -> Result<Vec<Candle>, VenueError> {
    let series = series(reply)?;
    check_granularity(timeframe, &series.meta)?;
    // A market that was never described takes the hours the reply tells.
    let anchors = match instrument.anchors.session {
        Some(_) => instrument.anchors,
        None => anchors(&series.meta),
    };
    candles::read(&series, anchors, timeframe, span)
}

/// Yahoo sometimes answers in coarser bars than asked; those are not this series.
fn check_granularity(timeframe: Timeframe, meta: &Meta<'_>) -> Result<(), VenueError> {
    let Some(told) = meta.data_granularity.as_deref().filter(|told| !told.is_empty()) else { return Ok(()) };
    let is_asked = match timeframe {
        Timeframe::M30 => told == HALF_HOUR_WIRE || told == "30m",
        Timeframe::H1 => told == "1h" || told == "60m",
        _ => CAPABILITIES.wire_interval(timeframe) == Some(told),
    };
    if is_asked { Ok(()) } else { Err(malformed(format!("asked for {timeframe} bars, got {told} bars"))) }
}

/// The series of a good reply. An error inside the body speaks before its result.
fn series(reply: &HttpReply) -> Result<Series<'_>, VenueError> {
    let is_good = (200..=299).contains(&reply.status);
    let body = serde_json::from_slice::<Body<'_>>(&reply.body).map(|body| body.chart);
    match body {
        Ok(chart) if chart.error.is_some() => Err(failure(reply, chart.error.as_ref())),
        Ok(chart) if is_good => {
            let series = chart.result.and_then(|result| result.into_iter().next());
            series.ok_or_else(|| malformed("neither a result nor an error"))
        }
        Err(fault) if is_good && is_json(reply) => Err(malformed(format!("{fault} in: {}", reply.excerpt()))),
        _ => Err(failure(reply, None)),
    }
}

fn is_json(reply: &HttpReply) -> bool {
    reply.body.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte == b'{')
}

/// The class of a refusal: by status for bans and throttling, else by the body's code, else by status.
fn failure(reply: &HttpReply, failure: Option<&Failure>) -> VenueError {
    let code = failure.and_then(|failure| failure.code.as_deref());
    let retry_after = reply.retry_after();
    let kind = match (reply.status, code) {
        (403 | 418, _) => ErrorKind::Banned { retry_after },
        (429 | 999, _) | (_, Some("Too Many Requests")) => ErrorKind::RateLimited { retry_after },
        (_, Some("Not Found")) => ErrorKind::UnknownSymbol,
        // Intraday ranges that are too old, or wider than one request may be.
        (_, Some("Unprocessable Entity")) | (422, _) => ErrorKind::OutOfHistory,
        (_, Some("Bad Request")) | (400, _) => ErrorKind::BadRequest,
        // A missing cookie, an edge's page in place of an answer, "Will be right back".
        _ => ErrorKind::Unavailable,
    };
    let words = match failure {
        Some(Failure { code, description }) => {
            [code.as_deref(), description.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        None => reply.excerpt(),
    };
    VenueError::new(kind, format!("HTTP {}: {words}", reply.status))
}
