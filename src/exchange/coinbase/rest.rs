//! The REST half: requests, candles, trades, the product list, tickers and refusals.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::symbols;
use super::wire::{Failure, Frame, Product, TickerBody};
use crate::exchange::request::percent_encode;
use crate::exchange::wire::{Cells, Scalar, ascending, checked, malformed, rfc3339};
use crate::exchange::{
    Cost, Endpoints, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Grid, Span, Ticker, Timeframe, TradeId};

/// Rows of a page of trades: what is asked for. Answers may be shorter without being the last.
pub const TRADES_PAGE_LIMIT_ROWS: u32 = 1000;

/// The venue names no wait; the limit is one of requests per second.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(1);

/// Calls without a `User-Agent` are refused.
fn get(endpoints: &Endpoints, path: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{}{path}", endpoints.rest),
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: 0, units: 1 },
    }
}

fn get_of(endpoints: &Endpoints, instrument: &Instrument, rest: &str) -> HttpRequest {
    get(endpoints, &format!("/products/{}/{rest}", percent_encode(&instrument.rest_id)))
}

/// The list of all products.
pub fn encode_instruments(endpoints: &Endpoints) -> HttpRequest {
    get(endpoints, "/products")
}

/// Both bounds are always given, because one alone is ignored. The end lies inside the last bucket:
/// whether it is inclusive does not matter then, and 300 buckets never count as 301.
pub fn encode_candles(endpoints: &Endpoints, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let stamp = |time: DateTime<Utc>| percent_encode(&time.to_rfc3339_opts(SecondsFormat::Secs, true));
    let last = span.to.checked_sub_signed(TimeDelta::seconds(1)).map_or(span.from, |last| last.max(span.from));
    let granularity = timeframe.nominal().as_secs();
    let query = format!("candles?granularity={granularity}&start={}&end={}", stamp(span.from), stamp(last));
    get_of(endpoints, instrument, &query)
}

/// Pages run backwards by id; there is no call by time.
pub fn encode_trades(endpoints: &Endpoints, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
    let after = match cursor {
        TradeCursor::Newest => String::new(),
        TradeCursor::BeforeId(TradeId::Number(id)) => format!("&after={id}"),
        TradeCursor::BeforeId(TradeId::Text(_))
        | TradeCursor::Time(_)
        | TradeCursor::BeforeTime(_)
        | TradeCursor::Venue(_) => return None,
    };
    Some(get_of(endpoints, instrument, &format!("trades?limit={TRADES_PAGE_LIMIT_ROWS}{after}")))
}

/// The ticker of one product.
pub fn encode_ticker(endpoints: &Endpoints, instrument: &Instrument) -> HttpRequest {
    get_of(endpoints, instrument, "ticker")
}

/// The body of a good reply; else the error, where `not_found` is what a 404 of the venue's own means.
fn read<'a, T: Deserialize<'a>>(reply: &'a HttpReply, not_found: ErrorKind) -> Result<T, VenueError> {
    let failure = serde_json::from_slice::<Failure<'_>>(&reply.body).ok();
    if let Some(error) = reply.status_error() {
        let kind = match (reply.status, &failure) {
            (404, Some(_)) => not_found,
            (401, _) => ErrorKind::BadRequest,
            (429, _) => ErrorKind::RateLimited { retry_after: Some(reply.retry_after().unwrap_or(RATE_LIMIT_WAIT)) },
            _ => error.kind,
        };
        let words = failure.map_or_else(|| reply.excerpt(), |failure| failure.message.0.into_owned());
        return Err(VenueError::new(kind, format!("HTTP {}: {words}", reply.status)));
    }
    serde_json::from_slice(&reply.body).map_err(|error| malformed(format!("{error} in: {}", reply.excerpt())))
}

/// All rows of a page, printed newest first: time, **low, high, open**, close, volume.
pub fn decode_candles(timeframe: Timeframe, reply: &HttpReply) -> Result<Vec<Candle>, VenueError> {
    let rows = read::<Vec<Cells<'_, 6>>>(reply, ErrorKind::UnknownSymbol)?;
    let grid = Grid::utc(timeframe);
    let candle = |row: &Cells<'_, 6>| {
        let float = |index, field| row.need(index, field)?.float(field);
        let candle = Candle {
            open_time: row.need(0, "time")?.seconds("time")?,
            low: float(1, "low")?,
            high: float(2, "high")?,
            open: float(3, "open")?,
            close: float(4, "close")?,
            volume: float(5, "volume")?,
            quote_volume: None,
            trades: None,
            vwap: None,
        };
        checked(candle, &grid)
    };
    // Printed newest first: reversed, the later one of two rows is the one printed first.
    Ok(ascending(rows.iter().rev().map(candle).collect::<Result<Vec<_>, _>>()?))
}

/// Trades of a page and the cursor of the older one: the header names the oldest row, and so do the
/// rows. The first trade of a market is number 1.
pub fn decode_trades(reply: &HttpReply) -> Result<TradePage, VenueError> {
    let rows = read::<Vec<Frame<'_>>>(reply, ErrorKind::UnknownSymbol)?;
    let mut trades = rows.iter().map(Frame::trade).collect::<Result<Vec<_>, _>>()?;
    trades.sort_by_key(|trade| trade.id.number());
    trades.dedup_by(|later, kept| later.id == kept.id);
    let oldest = trades.first().and_then(|trade| trade.id.number());
    let header = || Scalar(reply.header("cb-after")?.trim()).trade_number("cb-after").ok();
    let next = oldest.map(|oldest| header().map_or(oldest, |header| header.min(oldest)));
    let next = next.filter(|id| *id > 1).map(|id| TradeCursor::BeforeId(TradeId::Number(id)));
    Ok(TradePage { trades, next })
}

/// All products whose currencies make a name. An entry that cannot be read costs its own market, not
/// the list.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    let entries = read::<Vec<&RawValue>>(reply, ErrorKind::Unavailable)?;
    let products = entries.iter().filter_map(|entry| serde_json::from_str::<Product<'_>>(entry.get()).ok());
    let products = products.collect::<Vec<_>>();
    if products.is_empty() && !entries.is_empty() {
        return Err(malformed(format!("none of {} products can be read: {}", entries.len(), reply.excerpt())));
    }
    Ok(products.iter().filter_map(symbols::instrument).collect())
}

/// The ticker, by the market its call named.
pub fn decode_ticker(call: &HttpRequest, reply: &HttpReply) -> Result<(String, Ticker), VenueError> {
    let market = call.url.strip_suffix("/ticker").and_then(|url| url.rsplit('/').next());
    let market = market.ok_or_else(|| VenueError::new(ErrorKind::BadRequest, "not the call of a ticker"))?;
    let body = read::<TickerBody<'_>>(reply, ErrorKind::UnknownSymbol)?;
    let float = |value: Option<Scalar<'_>>, field| value.map(|value| value.float(field)).transpose();
    let ticker = Ticker {
        time: body.time.and_then(|time| rfc3339(&time.0, "time").ok()),
        last: float(body.price, "price")?,
        bid: float(body.bid, "bid")?,
        ask: float(body.ask, "ask")?,
        volume: float(body.volume, "volume")?,
        quote_volume: None,
    };
    Ok((market.to_owned(), ticker))
}

#[cfg(test)]
mod tests;
