//! The REST half: requests, candles, trades, instruments and tickers.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::CAPABILITIES;
use super::failure::read;
use super::symbols::{self, is_derivative};
use super::wire::{Listed, Row, TickerRow, TradeRow};
use crate::exchange::request::percent_encode;
use crate::exchange::wire::{Scalar, ascending, malformed};
use crate::exchange::{
    Cost, Endpoints, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Grid, Span, Ticker, Timeframe, TradeId};

/// Rows of a page of candles: what both addresses give.
pub const CANDLES_PAGE_LIMIT_ROWS: u32 = 100;
/// Rows of a page of the newest trades; one of older ones has a hundred.
pub const TRADES_PAGE_LIMIT_ROWS: u32 = 500;
/// The address of new candles holds the newest 1440 bars, the running one among them; some are left
/// out, for bars that open while the call is under way and clocks that differ.
const RECENT_BARS: u32 = 1430;

/// An address, and its limit by its place in the capabilities.
#[derive(Debug, Clone, Copy)]
struct Call {
    path: &'static str,
    limit: usize,
}

const CANDLES: Call = Call { path: "market/candles", limit: 0 };
const OLD_CANDLES: Call = Call { path: "market/history-candles", limit: 1 };
const TRADES: Call = Call { path: "market/trades", limit: 2 };
const OLD_TRADES: Call = Call { path: "market/history-trades", limit: 3 };
const INSTRUMENTS: Call = Call { path: "public/instruments", limit: 4 };
const TICKERS: Call = Call { path: "market/tickers", limit: 5 };

fn get(endpoints: &Endpoints, call: Call, query: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: format!("{}/api/v5/{}?{query}", endpoints.rest, call.path),
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: call.limit, units: 1 },
    }
}

/// The lists of spot markets and of swaps.
pub fn encode_instruments(endpoints: &Endpoints) -> Vec<HttpRequest> {
    ["SPOT", "SWAP"].map(|kind| get(endpoints, INSTRUMENTS, &format!("instType={kind}"))).into()
}

/// `before` and `after` read backwards: newer and older than, both exclusive.
pub fn encode_candles(
    endpoints: &Endpoints,
    instrument: &Instrument,
    timeframe: Timeframe,
    span: Span,
    now: DateTime<Utc>,
) -> HttpRequest {
    let grid = Grid::utc(timeframe);
    let is_recent = span.from >= grid.back(grid.bucket_at(now), RECENT_BARS);
    let query = format!(
        "instId={}&bar={}&before={}&after={}&limit={CANDLES_PAGE_LIMIT_ROWS}",
        percent_encode(&instrument.rest_id),
        CAPABILITIES.wire_interval(timeframe).unwrap_or(timeframe.as_str()),
        span.from.timestamp_millis() - 1,
        span.to.timestamp_millis(),
    );
    get(endpoints, if is_recent { CANDLES } else { OLD_CANDLES }, &query)
}

/// Pages run backwards, by id or from a time.
pub fn encode_trades(endpoints: &Endpoints, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
    let id = percent_encode(&instrument.rest_id);
    let older = |kind, after: String| {
        Some(get(endpoints, OLD_TRADES, &format!("instId={id}&type={kind}&after={after}&limit=100")))
    };
    match cursor {
        TradeCursor::Newest => Some(get(endpoints, TRADES, &format!("instId={id}&limit={TRADES_PAGE_LIMIT_ROWS}"))),
        TradeCursor::BeforeId(TradeId::Number(number)) => older(1, number.to_string()),
        TradeCursor::BeforeTime(time) => {
            // Trades are stamped in milliseconds: older than a part of one includes it.
            let part = i64::from(time.timestamp_subsec_nanos() % 1_000_000 > 0);
            older(2, (time.timestamp_millis() + part).to_string())
        }
        TradeCursor::BeforeId(TradeId::Text(_)) | TradeCursor::Time(_) | TradeCursor::Venue(_) => None,
    }
}

/// One call for a single market, else one for each kind of markets.
pub fn encode_tickers(endpoints: &Endpoints, instruments: &[Instrument]) -> Vec<HttpRequest> {
    if let [one] = instruments {
        let call = Call { path: "market/ticker", ..TICKERS };
        return vec![get(endpoints, call, &format!("instId={}", percent_encode(&one.rest_id)))];
    }
    let any = |derivative| instruments.iter().any(|instrument| is_derivative(&instrument.rest_id) == derivative);
    let kinds = [(false, "SPOT"), (true, "SWAP")].into_iter().filter(|(derivative, _)| any(*derivative));
    kinds.map(|(_, kind)| get(endpoints, TICKERS, &format!("instType={kind}"))).collect()
}

/// All rows of a page, printed newest first, the running bar included.
pub fn decode_candles(
    instrument: &Instrument,
    timeframe: Timeframe,
    reply: &HttpReply,
) -> Result<Vec<Candle>, VenueError> {
    let rows = read::<Row<'_>>(reply)?;
    let grid = Grid::utc(timeframe);
    let candles = rows.iter().rev().map(|row| row.candle(&instrument.rest_id, &grid));
    Ok(ascending(candles.collect::<Result<Vec<_>, _>>()?))
}

/// Trades of a page and the cursor of the older one.
pub fn decode_trades(reply: &HttpReply) -> Result<TradePage, VenueError> {
    let rows = read::<TradeRow<'_>>(reply)?;
    let mut trades = rows.iter().map(TradeRow::trade).collect::<Result<Vec<_>, _>>()?;
    trades.sort_by_key(|trade| trade.last_id.number());
    trades.dedup_by(|later, kept| later.last_id == kept.last_id);
    // A short page proves nothing; an empty one is the end.
    let next = trades.first().map(|oldest| TradeCursor::BeforeId(oldest.id.clone()));
    Ok(TradePage { trades, next })
}

/// Spot markets and swaps. An entry that cannot be read costs its own market, not the list.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    let entries = read::<&RawValue>(reply)?;
    let listed = entries.iter().filter_map(|entry| serde_json::from_str::<Listed<'_>>(entry.get()).ok());
    let listed = listed.collect::<Vec<_>>();
    if listed.is_empty() && !entries.is_empty() {
        return Err(malformed(format!("none of {} instruments can be read: {}", entries.len(), reply.excerpt())));
    }
    Ok(listed.iter().filter_map(symbols::instrument).collect())
}

/// Tickers by market, volumes in base and, for spot markets, in quote currency.
pub fn decode_tickers(reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    let float = |value: Option<Scalar<'_>>, field: &str| {
        value.filter(|value| !value.0.is_empty()).map(|value| value.float(field)).transpose()
    };
    let ticker = |row: &TickerRow<'_>| {
        let (volume, quote_volume) = match is_derivative(&row.id.0) {
            true => (row.currency_volume, None),
            false => (row.volume, row.currency_volume),
        };
        let ticker = Ticker {
            time: row.time.and_then(|time| time.millis("ts").ok()),
            last: float(row.last, "last")?,
            bid: float(row.bid, "bidPx")?,
            ask: float(row.ask, "askPx")?,
            volume: float(volume, "volume of 24 hours")?,
            quote_volume: float(quote_volume, "volCcy24h")?,
        };
        Ok((row.id.0.to_string(), ticker))
    };
    read::<TickerRow<'_>>(reply)?.iter().map(ticker).collect()
}

#[cfg(test)]
mod tests;
