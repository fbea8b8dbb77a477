//! The REST half: requests, candles, trades, the instrument list with its tickers, and refusals.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{BinRow, Failure, Market, TradeRow, length};
use super::{CAPABILITIES, PAGE_LIMIT_ROWS, symbols};
use crate::exchange::request::percent_encode;
use crate::exchange::wire::{Scalar, ascending, malformed};
use crate::exchange::{
    Cost, Endpoints, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Span, Ticker, Timeframe};

fn get(endpoints: &Endpoints, path: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{}/api/v1/{path}", endpoints.rest),
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: 0, units: 1 },
    }
}

/// All markets that are open, with their tickers.
pub fn encode_instruments(endpoints: &Endpoints) -> HttpRequest {
    get(endpoints, "instrument/active")
}

fn stamp(time: DateTime<Utc>) -> String {
    percent_encode(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Bounds are those of the **ends** of bins. They lie a second after the ends of the bins before the
/// first and of the last one: whether bounds are inclusive, which is not documented, does not matter then.
pub fn encode_candles(endpoints: &Endpoints, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let (symbol, second) = (percent_encode(&instrument.rest_id), TimeDelta::seconds(1));
    // A timeframe that the venue lacks is refused by it.
    let bin = CAPABILITIES.wire_interval(timeframe).unwrap_or(timeframe.as_str());
    let after = |time: DateTime<Utc>| stamp(time.checked_add_signed(second).unwrap_or(time));
    let bins = span.to.signed_duration_since(span.from).num_seconds() / length(timeframe).num_seconds().max(1);
    let count = bins.clamp(1, i64::from(PAGE_LIMIT_ROWS));
    let (start, end) = (after(span.from), after(span.to));
    let query = format!("binSize={bin}&partial=false&symbol={symbol}&count={count}&startTime={start}&endTime={end}");
    get(endpoints, &format!("trade/bucketed?{query}"))
}

/// Pages run forward from a time; within one instant by the number of rows that were there already.
pub fn encode_trades(endpoints: &Endpoints, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
    let symbol = percent_encode(&instrument.rest_id);
    let place = match cursor {
        TradeCursor::Newest => "reverse=true".to_owned(),
        TradeCursor::Time(time) => format!("startTime={}", stamp(*time)),
        TradeCursor::Venue(text) => {
            let (time, skipped) = place_of(text)?;
            format!("startTime={}&start={skipped}", stamp(time))
        }
        TradeCursor::BeforeId(_) | TradeCursor::BeforeTime(_) => return None,
    };
    Some(get(endpoints, &format!("trade?symbol={symbol}&count={PAGE_LIMIT_ROWS}&{place}")))
}

/// The instant and the rows of it to be left out, of `1786700472402/3`.
fn place_of(cursor: &str) -> Option<(DateTime<Utc>, u64)> {
    let (millis, skipped) = cursor.split_once('/')?;
    Some((Scalar(millis).millis("cursor").ok()?, skipped.parse().ok()?))
}

/// The body of a good reply; else the error, where `not_found` is what a 404 of the venue's own means.
fn read<'a, T: Deserialize<'a>>(reply: &'a HttpReply, not_found: ErrorKind) -> Result<T, VenueError> {
    let Some(error) = reply.status_error() else {
        return serde_json::from_slice(&reply.body).map_err(|error| malformed(format!("{error}: {}", reply.excerpt())));
    };
    let failure = serde_json::from_slice::<Failure<'_>>(&reply.body).ok();
    let kind = match (reply.status, &failure) {
        (400 | 422, Some(_)) => ErrorKind::BadRequest,
        (401, _) => ErrorKind::BadRequest,
        (404, Some(_)) => not_found,
        // Whatever answers at the address of an exchange that is gone.
        (400 | 404 | 410 | 422, _) => ErrorKind::Unavailable,
        _ => error.kind,
    };
    let words = failure.map_or_else(
        || reply.excerpt(),
        |failure| {
            let name = failure.error.name.map_or_else(String::new, |name| format!("{}: ", name.0));
            format!("{name}{}", failure.error.message.0)
        },
    );
    Err(VenueError::new(kind, format!("HTTP {}: {words}", reply.status)))
}

/// All bins of a page.
pub fn decode_candles(timeframe: Timeframe, reply: &HttpReply) -> Result<Vec<Candle>, VenueError> {
    let rows = read::<Vec<BinRow<'_>>>(reply, ErrorKind::UnknownSymbol)?;
    let candles = rows.iter().filter_map(|row| row.candle(timeframe).transpose());
    Ok(ascending(candles.collect::<Result<Vec<_>, _>>()?))
}

/// Trades of a page, and where the next one starts: at the last instant, behind the rows of it that
/// were here. Only an empty page is the last.
pub fn decode_trades(cursor: &TradeCursor, reply: &HttpReply) -> Result<TradePage, VenueError> {
    let mut rows = read::<Vec<TradeRow<'_>>>(reply, ErrorKind::UnknownSymbol)?;
    if *cursor == TradeCursor::Newest {
        rows.reverse();
    }
    let count = rows.len() as u64;
    let trades = rows.iter().filter_map(|row| row.trade().transpose()).collect::<Result<Vec<_>, _>>()?;
    let before = match cursor {
        TradeCursor::Venue(text) => place_of(text),
        _ => None,
    };
    let next = trades.iter().map(|trade| trade.time).max().map(|last| {
        let skipped = match before {
            Some((time, skipped)) if time == last => skipped + count,
            _ => trades.iter().filter(|trade| trade.time == last).count() as u64,
        };
        TradeCursor::Venue(format!("{}/{skipped}", last.timestamp_millis()))
    });
    let mut seen = HashSet::new();
    let mut trades: Vec<_> = trades.into_iter().filter(|trade| seen.insert(trade.id.clone())).collect();
    // Those of one instant stay in the order of the venue.
    trades.sort_by_key(|trade| trade.time);
    Ok(TradePage { trades, next })
}

/// The markets of the list. An entry that cannot be read costs its own market, not the list.
fn markets(reply: &HttpReply) -> Result<Vec<Market<'_>>, VenueError> {
    let entries = read::<Vec<&RawValue>>(reply, ErrorKind::Unavailable)?;
    let markets: Vec<_> =
        entries.iter().filter_map(|entry| serde_json::from_str::<Market<'_>>(entry.get()).ok()).collect();
    if markets.is_empty() && !entries.is_empty() {
        return Err(malformed(format!("none of {} instruments can be read: {}", entries.len(), reply.excerpt())));
    }
    Ok(markets)
}

/// All contracts and spot markets of the list.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    Ok(markets(reply)?.iter().filter_map(symbols::instrument).collect())
}

/// The tickers of the list.
pub fn decode_tickers(reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    let ticker = |market: &Market<'_>| Ok((market.symbol.0.to_string(), market.ticker()?));
    markets(reply)?.iter().map(ticker).collect()
}

#[cfg(test)]
mod tests;
