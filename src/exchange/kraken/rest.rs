//! Kraken's REST half: requests, the envelope, candles, trades and instruments.
//!
//! Every answer is judged by its `error` array first, because Kraken answers failures with HTTP 200.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::exchange::request::percent_encode;
use crate::exchange::wire::{ascending, checked};
use crate::exchange::{
    Cost, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Grid, Span, Ticker, Timeframe, Trade, TradeId};

use super::symbols::{self, ANCHORS};
use super::wire::{self, Cells, Entries, Envelope, Pair, Scalar, TickerRow, malformed};
use super::{TRADES_PAGE_LIMIT_ROWS, interval_minutes};

/// Kraken asks callers over the limit to stay away for some seconds, and longer if they do not.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(5);
/// A temporary lockout lasts minutes; calling during it prolongs it.
const LOCKOUT_WAIT: Duration = Duration::from_secs(300);
/// Pairs of one ticker call: the address stays short, and a refused one costs few markets.
const PAIRS_PER_TICKER_CALL: usize = 50;
/// Digits of a nanosecond stamp. Shorter cursors would be read as seconds.
const NANOSECOND_DIGITS: usize = 19;

fn get(base: &str, endpoint: &str, query: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{base}/0/public/{endpoint}{query}"),
        headers: Vec::new(),
        body: None,
        cost: Cost { limit: 0, units: 1 },
    }
}

/// The list of all pairs.
pub fn encode_instruments(base: &str) -> HttpRequest {
    get(base, "AssetPairs", "")
}

/// `since` excludes the bar that opens at it, and there is no upper bound: a page always ends with
/// the newest bar.
pub fn encode_candles(base: &str, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let since = span.from.timestamp() - timeframe.nominal().as_secs() as i64;
    let pair = percent_encode(&instrument.rest_id);
    let interval = interval_minutes(timeframe);
    get(base, "OHLC", &format!("?pair={pair}&interval={interval}&since={}", since.max(0)))
}

/// Trades have no cursor by id. The cursor is a stamp in nanoseconds and excludes itself.
pub fn encode_trades(base: &str, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
    let since = match cursor {
        TradeCursor::Newest => String::new(),
        TradeCursor::Time(time) => format!("&since={}", cursor_before(*time)),
        TradeCursor::Venue(cursor) => format!("&since={}", percent_encode(cursor)),
        TradeCursor::BeforeId(_) | TradeCursor::BeforeTime(_) => return None,
    };
    let pair = percent_encode(&instrument.rest_id);
    Some(get(base, "Trades", &format!("?pair={pair}&count={TRADES_PAGE_LIMIT_ROWS}{since}")))
}

/// The cursor that includes trades at `time`. Times before Kraken existed become 0, the market's
/// inception: their stamps are shorter and would be taken for seconds.
fn cursor_before(time: DateTime<Utc>) -> String {
    let nanos = match time.timestamp_nanos_opt() {
        Some(nanos) => (nanos - 1).to_string(),
        None => {
            if time.timestamp() < 0 {
                "0".to_owned()
            } else {
                i64::MAX.to_string()
            }
        }
    };
    if is_nanoseconds(&nanos) { nanos } else { "0".to_owned() }
}

fn is_nanoseconds(cursor: &str) -> bool {
    cursor.len() >= NANOSECOND_DIGITS && cursor.bytes().all(|byte| byte.is_ascii_digit())
}

/// The `result` of a reply, or its error.
fn result_of(reply: &HttpReply) -> Result<&RawValue, VenueError> {
    let envelope = serde_json::from_slice::<Envelope<'_>>(&reply.body);
    if let Ok(envelope) = &envelope
        && let Some(error) = envelope.error.iter().find(|error| !error.0.starts_with('W'))
    {
        return Err(VenueError::new(error_kind(&error.0, reply.retry_after()), &*error.0));
    }
    if let Some(error) = reply.status_error() {
        return Err(error);
    }
    let not_json = |error| malformed(format!("not Kraken's JSON ({error}): {}", reply.excerpt()));
    envelope
        .map_err(not_json)?
        .result
        .ok_or_else(|| malformed(format!("neither error nor result: {}", reply.excerpt())))
}

/// The class of `<E|W><Category>:<message>[:detail]`.
pub fn error_kind(text: &str, retry_after: Option<Duration>) -> ErrorKind {
    let mut parts = text.split(':');
    match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        ("EQuery", "Unknown asset pair" | "Invalid asset pair") => ErrorKind::UnknownSymbol,
        ("EAPI", "Rate limit exceeded") | ("EGeneral", "Too many requests") => {
            ErrorKind::RateLimited { retry_after: Some(retry_after.unwrap_or(RATE_LIMIT_WAIT)) }
        }
        ("EGeneral", "Temporary lockout") => {
            ErrorKind::Banned { retry_after: Some(retry_after.unwrap_or(LOCKOUT_WAIT)) }
        }
        ("EGeneral", "Internal error") => ErrorKind::Unavailable,
        ("EQuery" | "EGeneral" | "EAPI", _) => ErrorKind::BadRequest,
        // EService, EDatabase and categories nobody has documented: their side, so it may pass.
        _ => ErrorKind::Unavailable,
    }
}

/// The rows and the `last` of an answer about one pair. The key of the rows is Kraken's own choice
/// (`XBTUSD` is answered as `XXBTZUSD`), so it is whatever is not `last`.
fn rows_of<'a, Row: serde::Deserialize<'a>>(
    instrument: &Instrument,
    result: &'a RawValue,
) -> Result<(Vec<Row>, Option<wire::Scalar<'a>>), VenueError> {
    let Entries(entries) = serde_json::from_str(result.get()).map_err(|error| malformed(format!("result: {error}")))?;
    let mut last = None;
    let mut arrays = Vec::with_capacity(1);
    for (key, value) in entries {
        if key == "last" {
            last = serde_json::from_str(value.get()).ok();
        } else if value.get().starts_with('[') {
            arrays.push((key, value));
        }
    }
    let rows = match arrays.as_slice() {
        [(_, rows)] => rows,
        [] => return Err(malformed("result without rows of a pair")),
        several => {
            let ours = |key: &str| key == instrument.rest_id || key == instrument.stream_id;
            let rows = several.iter().find(|(key, _)| ours(key)).map(|(_, rows)| rows);
            rows.ok_or_else(|| malformed(format!("result with rows of {} pairs", several.len())))?
        }
    };
    let rows = serde_json::from_str(rows.get()).map_err(|error| malformed(format!("rows: {error}")))?;
    Ok((rows, last))
}

/// All rows of an `OHLC` answer, the bar in progress included.
pub fn decode_candles(
    instrument: &Instrument,
    timeframe: Timeframe,
    reply: &HttpReply,
) -> Result<Vec<Candle>, VenueError> {
    let (rows, _) = rows_of::<Cells<'_, 8>>(instrument, result_of(reply)?)?;
    let grid = Grid::new(timeframe, ANCHORS);
    let candles = rows.iter().map(|row| candle(row, &grid)).collect::<Result<Vec<_>, _>>()?;
    Ok(ascending(candles))
}

fn candle(row: &Cells<'_, 8>, grid: &Grid) -> Result<Candle, VenueError> {
    let float = |index, field| row.need(index, field)?.float(field);
    let trades = row.get(7).map(|count| count.unsigned("count")).transpose()?;
    let volume = float(6, "volume")?;
    let candle = Candle {
        open_time: row.need(0, "time")?.seconds("time")?,
        open: float(1, "open")?,
        high: float(2, "high")?,
        low: float(3, "low")?,
        close: float(4, "close")?,
        volume,
        quote_volume: None,
        trades,
        vwap: wire::vwap(row.get(5), trades, volume)?,
    };
    checked(candle, grid)
}

/// Trades of an answer and the cursor of the page after them.
pub fn decode_trades(instrument: &Instrument, reply: &HttpReply) -> Result<TradePage, VenueError> {
    let (rows, last) = rows_of::<Cells<'_, 7>>(instrument, result_of(reply)?)?;
    let mut trades = Vec::with_capacity(rows.len());
    for row in &rows {
        let trade = trade(row, &trades)?;
        trades.push(trade);
    }
    if trades.iter().all(|trade| trade.id.number().is_some()) {
        trades.sort_by_key(|trade| trade.id.number());
        trades.dedup_by(|later, kept| later.id == kept.id);
    } else {
        trades.sort_by_key(|trade| trade.time);
    }
    // A page may be shorter than was asked for: only an empty one is the end.
    let next = trades.last().map(|newest| {
        let cursor = last.map(|last| last.0).filter(|last| is_nanoseconds(last));
        TradeCursor::Venue(cursor.map_or_else(|| cursor_before(newest.time), str::to_owned))
    });
    Ok(TradePage { trades, next })
}

fn trade(row: &Cells<'_, 7>, earlier: &[Trade]) -> Result<Trade, VenueError> {
    let time = row.need(2, "time")?;
    let mut trade = Trade {
        id: TradeId::Number(0),
        last_id: TradeId::Number(0),
        time: time.seconds("time")?,
        price: row.need(0, "price")?.decimal("price")?,
        amount: row.need(1, "volume")?.decimal("volume")?,
        side: row.get(3).and_then(|word| wire::side(word.0)),
    };
    trade.id = match row.get(6) {
        Some(id) => wire::trade_id(id)?,
        None => unnumbered_id(time.0, &trade, earlier),
    };
    trade.last_id = trade.id.clone();
    Ok(trade)
}

/// Answers of older days carry no ids. What identifies such a trade is its content, and its place
/// among equal ones of the page.
fn unnumbered_id(time: &str, trade: &Trade, earlier: &[Trade]) -> TradeId {
    let same = |other: &&Trade| {
        (other.time, other.price, other.amount, other.side) == (trade.time, trade.price, trade.amount, trade.side)
    };
    let place = earlier.iter().rev().take_while(|other| other.time == trade.time).filter(same).count();
    let side = trade.side.map_or("", |side| side.as_str());
    TradeId::Text(format!("{time}/{}/{}/{side}/{place}", trade.price, trade.amount).into())
}

/// A call for each [`PAIRS_PER_TICKER_CALL`] markets.
pub fn encode_tickers(base: &str, instruments: &[Instrument]) -> Vec<HttpRequest> {
    let calls = instruments.chunks(PAIRS_PER_TICKER_CALL).map(|batch| {
        let pairs: Vec<&str> = batch.iter().map(|instrument| instrument.rest_id.as_str()).collect();
        get(base, "Ticker", &format!("?pair={}", percent_encode(&pairs.join(","))))
    });
    calls.collect()
}

/// Tickers by pair. There is no stamp, and no volume in quote currency.
pub fn decode_tickers(reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    let result = result_of(reply)?;
    let Entries(entries) = serde_json::from_str(result.get()).map_err(|error| malformed(format!("result: {error}")))?;
    let number = |cell: Option<Scalar<'_>>, field: &str| cell.map(|cell| cell.float(field)).transpose();
    let ticker = |row: TickerRow<'_>| {
        let first = |cells: Option<Cells<'_, 1>>, field: &str| number(cells.and_then(|cells| cells.get(0)), field);
        Ok(Ticker {
            time: None,
            last: first(row.last, "last")?,
            bid: first(row.bid, "bid")?,
            ask: first(row.ask, "ask")?,
            volume: number(row.volume.and_then(|cells| cells.get(1)), "volume")?,
            quote_volume: None,
        })
    };
    let named = entries.into_iter().map(|(id, value)| {
        let row = serde_json::from_str(value.get()).map_err(|error| malformed(format!("{id}: {error}")))?;
        Ok((id.into_owned(), ticker(row)?))
    });
    named.collect()
}

/// All pairs that have a public name. An entry that cannot be read costs its own market, not the list.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    let result = result_of(reply)?;
    let Entries(entries) = serde_json::from_str(result.get()).map_err(|error| malformed(format!("result: {error}")))?;
    let total = entries.len();
    let mut unreadable = 0;
    let instruments = entries
        .iter()
        .filter_map(|(id, value)| match serde_json::from_str::<Pair<'_>>(value.get()) {
            Ok(pair) => symbols::instrument(id, &pair),
            Err(_) => {
                unreadable += 1;
                None
            }
        })
        .collect();
    if total > 0 && unreadable == total {
        return Err(malformed(format!("none of {total} pairs can be read: {}", reply.excerpt())));
    }
    Ok(instruments)
}

#[cfg(test)]
mod tests;
