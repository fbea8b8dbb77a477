//! Bitfinex's REST half: addresses, rows, and errors, which are looked for in the body first because
//! the status does not tell whose fault they are.

use chrono::TimeDelta;

use crate::exchange::request::percent_encode;
use crate::exchange::wire::ascending;
use crate::exchange::{Cost, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError};
use crate::market::{Candle, Span, Ticker, Timeframe};

use super::wire::{CandleRow, Cells, Scalar, Text, TickerRow, TradeRow, candle, in_order, malformed};
use super::{CANDLES, CAPABILITIES, LISTS, PAGE_LIMIT_ROWS, TICKERS, TRADES, failure, symbols};

/// Markets of one call for tickers, so that its address stays of a usual length.
const TICKERS_PER_CALL: usize = 100;

fn get(base: &str, limit: usize, path: String) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{base}/v2/{path}"),
        headers: Vec::new(),
        body: None,
        cost: Cost { limit, units: 1 },
    }
}

/// A symbol as part of an address; its colon may stand as it is.
fn in_path(instrument: &Instrument) -> String {
    percent_encode(&instrument.rest_id).replace("%3A", ":")
}

/// Both lists of pairs in one call.
pub fn encode_instruments(base: &str) -> HttpRequest {
    get(base, LISTS, "conf/pub:list:pair:exchange,pub:list:pair:futures".to_owned())
}

/// Bounds are on the open time; the end is taken for inclusive.
pub fn encode_candles(base: &str, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let interval = CAPABILITIES.wire_interval(timeframe).unwrap_or_default();
    let (start, end) = (span.from.timestamp_millis().max(0), (span.to.timestamp_millis() - 1).max(0));
    let symbol = in_path(instrument);
    let path = format!("candles/trade:{interval}:{symbol}/hist?sort=1&start={start}&end={end}&limit={PAGE_LIMIT_ROWS}");
    get(base, CANDLES, path)
}

/// Trades are walked forward by their time.
pub fn encode_trades(base: &str, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
    let start = match cursor {
        TradeCursor::Newest => "sort=-1".to_owned(),
        TradeCursor::Time(time) => format!("sort=1&start={}", time.timestamp_millis().max(0)),
        TradeCursor::BeforeId(_) | TradeCursor::BeforeTime(_) | TradeCursor::Venue(_) => return None,
    };
    let symbol = in_path(instrument);
    Some(get(base, TRADES, format!("trades/{symbol}/hist?{start}&limit={PAGE_LIMIT_ROWS}")))
}

/// Many markets in one call.
pub fn encode_tickers(base: &str, instruments: &[Instrument]) -> Vec<HttpRequest> {
    let batches = instruments.chunks(TICKERS_PER_CALL);
    let names = batches.map(|batch| batch.iter().map(in_path).collect::<Vec<_>>().join(","));
    names.map(|names| get(base, TICKERS, format!("tickers?symbols={names}"))).collect()
}

/// The error that a body holds: `["error", code, message]`, or an object of older days.
fn error_of(reply: &HttpReply) -> Option<VenueError> {
    #[derive(serde::Deserialize)]
    struct Old<'a> {
        #[serde(borrow)]
        error: Text<'a>,
    }
    if let Ok(old) = serde_json::from_slice::<Old<'_>>(&reply.body) {
        let is_limit = old.error.0 == "ERR_RATE_LIMIT";
        let kind = if is_limit { failure::LIMITED } else { crate::exchange::ErrorKind::Unavailable };
        return Some(VenueError::new(kind, old.error.0));
    }
    let cells = serde_json::from_slice::<Cells<'_, 3>>(&reply.body).ok()?;
    cells.get(0).filter(|word| word.0 == "error")?;
    let code = cells.get(1).and_then(|code| code.unsigned("code").ok()).unwrap_or_default();
    let message = cells.get(2).map_or("", |message| message.0);
    Some(VenueError::new(failure::of_rest(code, message), format!("{code} {message}")))
}

/// The body of a good answer read as `T`.
fn read<'a, T: serde::Deserialize<'a>>(reply: &'a HttpReply) -> Result<T, VenueError> {
    if let Some(error) = error_of(reply) {
        return Err(error);
    }
    match reply.status_error() {
        Some(error) if reply.status == 429 && reply.retry_after().is_none() => {
            Err(VenueError::new(failure::LIMITED, error.message))
        }
        Some(error) => Err(error),
        None => serde_json::from_slice(&reply.body)
            .map_err(|error| malformed(format!("not Bitfinex's JSON ({error}): {}", reply.excerpt()))),
    }
}

/// All rows of a page, whichever way they are sorted, the bar in progress included.
pub fn decode_candles(timeframe: Timeframe, reply: &HttpReply) -> Result<Vec<Candle>, VenueError> {
    let rows = read::<Vec<CandleRow<'_>>>(reply)?;
    Ok(ascending(rows.iter().map(|row| candle(row, timeframe)).collect::<Result<_, _>>()?))
}

/// Trades of a page. Several share a millisecond, so the next page begins at the last one's; a full
/// page that holds nothing else is left behind, a shorter one is the end.
pub fn decode_trades(cursor: &TradeCursor, reply: &HttpReply) -> Result<TradePage, VenueError> {
    let rows = read::<Vec<TradeRow<'_>>>(reply)?;
    let is_full = rows.len() >= PAGE_LIMIT_ROWS as usize;
    let trades = in_order(&rows)?;
    let newest = trades.iter().map(|trade| trade.time).max();
    let next = newest.and_then(|newest| match cursor {
        TradeCursor::Time(from) if newest <= *from => {
            newest.checked_add_signed(TimeDelta::milliseconds(1)).filter(|_| is_full).map(TradeCursor::Time)
        }
        TradeCursor::Time(_) => Some(TradeCursor::Time(newest)),
        _ => None,
    });
    Ok(TradePage { trades, next })
}

/// All pairs of the lists.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    let lists = read::<Vec<Vec<Text<'_>>>>(reply)?;
    Ok(lists.iter().flatten().filter_map(|pair| symbols::instrument(&pair.0)).collect())
}

/// Tickers of markets; those of funding (`fUSD`) have other places and are left out.
pub fn decode_tickers(reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    let rows = read::<Vec<TickerRow<'_>>>(reply)?;
    let float = |cell: Option<Scalar<'_>>| cell.and_then(|cell| cell.float("ticker").ok());
    let markets = rows.iter().filter_map(|row| Some((row.get(0).filter(|id| id.0.starts_with('t'))?, row)));
    let ticker = |row: &TickerRow<'_>| Ticker {
        time: None,
        last: float(row.get(7)),
        bid: float(row.get(1)),
        ask: float(row.get(3)),
        volume: float(row.get(8)),
        quote_volume: None,
    };
    Ok(markets.map(|(id, row)| (id.0.to_owned(), ticker(row))).collect())
}

#[cfg(test)]
mod tests;
