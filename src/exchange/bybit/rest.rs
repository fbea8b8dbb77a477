//! The REST half: requests, the envelope, and what it holds. Failures are HTTP 200 with a code.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::CAPABILITIES;
use super::symbols::{self, Category};
use super::wire::{Bar, Deal, Envelope, KlineRow, List, Market, TickerRow};
use crate::exchange::request::percent_encode;
use crate::exchange::wire::{Text, ascending, malformed};
use crate::exchange::{Cost, Endpoints, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradePage, VenueError};
use crate::market::{Candle, Grid, Span, Symbol, Ticker, Timeframe};

/// Who went over the limit of an address must ask for nothing for so long.
const SHUT_OUT: Duration = Duration::from_secs(600);
/// Where the reset of an endpoint's limit is not told; its windows are of a second.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(1);
/// Up to so many markets of a category are asked for one by one, more of them all at once.
const SINGLE_TICKERS: usize = 5;

fn get(endpoints: &Endpoints, path: &str, category: Category, query: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{}/v5/market/{path}?category={}{query}", endpoints.rest, category.as_str()),
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: 0, units: 1 },
    }
}

fn get_of(endpoints: &Endpoints, path: &str, instrument: &Instrument, query: &str) -> HttpRequest {
    let (category, name) = symbols::split(&instrument.rest_id);
    get(endpoints, path, category, &format!("&symbol={}{query}", percent_encode(name)))
}

/// The lists of the categories in which the symbols would be; of all, without symbols.
pub fn encode_instruments(endpoints: &Endpoints, wanted: &[Symbol]) -> Vec<HttpRequest> {
    let is_wanted =
        |category: &Category| wanted.is_empty() || wanted.iter().any(|symbol| Category::of_symbol(symbol) == *category);
    let categories = Category::ALL.into_iter().filter(is_wanted);
    categories.map(|category| get(endpoints, "instruments-info", category, "&limit=1000")).collect()
}

/// The next page, where there is one.
pub fn next_instruments(endpoints: &Endpoints, reply: &HttpReply) -> Option<HttpRequest> {
    let (list, _) = list_of::<serde::de::IgnoredAny>(reply, Asked::List).ok()?;
    let cursor = list.next_page_cursor.as_ref().map(|cursor| cursor.0.as_ref()).filter(|cursor| !cursor.is_empty())?;
    let query = format!("&limit=1000&cursor={}", percent_encode(cursor));
    Some(get(endpoints, "instruments-info", category_of(&list).ok()?, &query))
}

/// Both bounds are inclusive and bound the open time. Of a window of more rows than a page has the
/// newest would come, so the end lies at most a page behind the start.
pub fn encode_candles(endpoints: &Endpoints, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let most = u64::from(CAPABILITIES.candle_rest.page_limit_rows);
    let grid = Grid::utc(timeframe);
    let rows = grid.count(span).clamp(1, most);
    let last = (1..rows).fold(grid.ceil(span.from), |open, _| grid.next_open(open));
    let query = format!(
        "&interval={}&start={}&end={}&limit={rows}",
        CAPABILITIES.wire_interval(timeframe).unwrap_or_default(),
        span.from.timestamp_millis(),
        last.timestamp_millis(),
    );
    get_of(endpoints, "kline", instrument, &query)
}

/// The newest trades, as many as the category serves.
pub fn encode_trades(endpoints: &Endpoints, instrument: &Instrument) -> HttpRequest {
    let limit = match symbols::split(&instrument.rest_id).0 {
        Category::Spot => 60,
        Category::Linear | Category::Inverse => 1000,
    };
    get_of(endpoints, "recent-trade", instrument, &format!("&limit={limit}"))
}

/// Tickers of single markets, or of whole categories.
pub fn encode_tickers(endpoints: &Endpoints, instruments: &[Instrument]) -> Vec<HttpRequest> {
    let calls = Category::ALL.into_iter().flat_map(|category| {
        let of_category = |instrument: &&Instrument| symbols::split(&instrument.rest_id).0 == category;
        let markets: Vec<&Instrument> = instruments.iter().filter(of_category).collect();
        if markets.len() > SINGLE_TICKERS {
            return vec![get(endpoints, "tickers", category, "")];
        }
        markets.into_iter().map(|instrument| get_of(endpoints, "tickers", instrument, "")).collect()
    });
    calls.collect()
}

/// What a call was about: the one code for bad parameters means the symbol, where one was sent,
/// because everything else in our calls is well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    List,
    Symbol,
}

/// The envelope of a good reply, or its error. An edge's 403 comes first: it has no envelope.
fn opened(reply: &HttpReply, asked: Asked) -> Result<Envelope<'_>, VenueError> {
    if reply.status == 403 {
        let kind = ErrorKind::Banned { retry_after: Some(reply.retry_after().unwrap_or(SHUT_OUT)) };
        let text = format!(
            "Bybit refuses this address, for too many requests or for its country (regional entities have other \
             REST and stream URLs); HTTP 403: {}",
            reply.excerpt()
        );
        return Err(VenueError::new(kind, text));
    }
    let envelope = match serde_json::from_slice::<Envelope<'_>>(&reply.body) {
        Ok(envelope) => envelope,
        Err(fault) => {
            let not_json = || malformed(format!("not Bybit's JSON ({fault}): {}", reply.excerpt()));
            return Err(reply.status_error().unwrap_or_else(not_json));
        }
    };
    match envelope.ret_code.unsigned("retCode")? {
        0 => reply.status_error().map_or(Ok(envelope), Err),
        code => {
            let words = envelope.ret_msg.as_ref().map_or("", |text| &text.0);
            let kind = kind_of_code(code, asked, || limited_for(reply, &envelope));
            Err(VenueError::new(kind, format!("{code} {words}")))
        }
    }
}

/// The class of the venue's own codes.
fn kind_of_code(code: u64, asked: Asked, wait: impl FnOnce() -> Duration) -> ErrorKind {
    match code {
        10001 if asked == Asked::Symbol => ErrorKind::UnknownSymbol,
        10029 => ErrorKind::UnknownSymbol,
        // Parameters, a route that is not there.
        10001 | 10017 => ErrorKind::BadRequest,
        10006 => ErrorKind::RateLimited { retry_after: Some(wait()) },
        // The region of this address.
        10009 => ErrorKind::Banned { retry_after: None },
        // Timeouts, errors and overload of the server, and codes that nobody has documented.
        _ => ErrorKind::Unavailable,
    }
}

/// How long until the limit of an endpoint is reset, by the venue's own clock.
fn limited_for(reply: &HttpReply, envelope: &Envelope<'_>) -> Duration {
    let reset = reply.header("x-bapi-limit-reset-timestamp").and_then(|text| text.trim().parse::<i64>().ok());
    let reset = reset.and_then(DateTime::from_timestamp_millis);
    let now = stamp_of(envelope).or_else(|| reply.date());
    let wait = reset.zip(now).and_then(|(reset, now)| (reset - now).to_std().ok());
    wait.unwrap_or(RATE_LIMIT_WAIT).min(SHUT_OUT)
}

fn stamp_of(envelope: &Envelope<'_>) -> Option<DateTime<Utc>> {
    envelope.time.and_then(|time| time.millis("time").ok())
}

/// The rows of a reply, and its stamp.
fn list_of<'a, Row: Deserialize<'a>>(
    reply: &'a HttpReply,
    asked: Asked,
) -> Result<(List<'a, Row>, Option<DateTime<Utc>>), VenueError> {
    let envelope = opened(reply, asked)?;
    let result = envelope.result.ok_or_else(|| malformed(format!("no result: {}", reply.excerpt())))?;
    let list = serde_json::from_str(result.get()).map_err(|error| malformed(format!("result: {error}")))?;
    Ok((list, stamp_of(&envelope)))
}

fn category_of<Row>(list: &List<'_, Row>) -> Result<Category, VenueError> {
    let word = list.category.as_ref().map(|Text(word)| word.as_ref());
    word.and_then(Category::named).ok_or_else(|| malformed(format!("category is {word:?}")))
}

/// The markets of one page that have a unified name.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    let (list, _) = list_of::<Market<'_>>(reply, Asked::List)?;
    let category = category_of(&list)?;
    Ok(list.list.iter().filter_map(|market| symbols::instrument(category, market)).collect())
}

/// Rows come newest first, the one in progress included.
pub fn decode_candles(
    instrument: &Instrument,
    timeframe: Timeframe,
    reply: &HttpReply,
) -> Result<Vec<Candle>, VenueError> {
    let (list, _) = list_of::<KlineRow<'_>>(reply, Asked::Symbol)?;
    let category = category_of(&list).unwrap_or(symbols::split(&instrument.rest_id).0);
    let grid = Grid::utc(timeframe);
    let candles = list.list.iter().rev().map(|row| Bar::of_row(row)?.candle(category, &grid));
    Ok(ascending(candles.collect::<Result<_, _>>()?))
}

/// The newest trades; there is no way to older ones.
pub fn decode_trades(reply: &HttpReply) -> Result<TradePage, VenueError> {
    let (list, _) = list_of::<Deal<'_>>(reply, Asked::Symbol)?;
    let mut trades = list.list.iter().rev().map(Deal::trade).collect::<Result<Vec<_>, _>>()?;
    // Ids are not ordered; trades of one instant stay as they came.
    trades.sort_by_key(|trade| trade.time);
    let mut seen = std::collections::HashSet::new();
    trades.retain(|trade| seen.insert(trade.id.clone()));
    Ok(TradePage { trades, next: None })
}

/// Tickers by id, stamped with the answer.
pub fn decode_tickers(reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    let (list, time) = list_of::<TickerRow<'_>>(reply, Asked::Symbol)?;
    let category = category_of(&list)?;
    let tickers =
        list.list.iter().map(|row| Ok((category.id(&row.symbol.0), Ticker { time, ..row.ticker(category)? })));
    tickers.collect()
}

#[cfg(test)]
mod tests;
