//! The REST calls: instruments, klines, aggregated trades, tickers.
//!
//! Trades are read as aggregated ones. A row stands for the trade ids `f..=l`; its own id `a` is
//! another sequence, which only this venue's paging knows. So history starts at a point in time,
//! whose window may hold at most an hour, and goes on by [`TradeCursor::Venue`], the text of the
//! next `a`. A trade id is no cursor here: [`TradeCursor::BeforeId`] has no call, start from the
//! time of that trade instead. (The call by trade id exists, but its rows are single trades, which
//! would double the aggregated ones they are part of.)

use super::Product;
use super::failure::read;
use super::wire::{AggTrade, DayTicker, ExchangeInfo, KlineRow, Market};
use crate::exchange::request::percent_encode;
use crate::exchange::wire::ascending;
use crate::exchange::{
    Cost, Endpoints, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Grid, Span, Symbol, Ticker, Timeframe};

/// A path and its request weight.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Below the REST base.
    pub path: &'static str,
    /// Units of the one limit.
    pub weight: u32,
}

/// Longest window of a trade read by time.
pub const TRADE_WINDOW_MS: i64 = 3_600_000;

/// A GET with a query (without `?`, possibly empty).
pub fn get(endpoints: &Endpoints, call: Call, query: String) -> HttpRequest {
    let mark = if query.is_empty() { "" } else { "?" };
    HttpRequest {
        method: Method::Get,
        url: format!("{}{}{mark}{query}", endpoints.rest, call.path),
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: 0, units: call.weight },
    }
}

/// Both bounds are inclusive and bound the open time. No more rows are asked for than the span
/// holds, because some venues weigh a call by that.
pub fn encode_candles(
    endpoints: &Endpoints,
    product: &Product,
    instrument: &Instrument,
    timeframe: Timeframe,
    span: Span,
) -> HttpRequest {
    let most = product.capabilities.candle_rest.page_limit_rows;
    let rows = u32::try_from(Grid::utc(timeframe).count(span)).map_or(most, |rows| rows.clamp(1, most));
    let query = format!(
        "symbol={}&interval={timeframe}&startTime={}&endTime={}&limit={rows}",
        percent_encode(&instrument.rest_id),
        span.from.timestamp_millis(),
        span.to.timestamp_millis() - 1,
    );
    get(endpoints, Call { path: product.klines, weight: (product.klines_weight)(rows) }, query)
}

/// `None` for a cursor this venue has no call for.
pub fn trade_query(instrument: &Instrument, cursor: &TradeCursor) -> Option<String> {
    let start = match cursor {
        TradeCursor::Newest => String::new(),
        TradeCursor::Time(from) => {
            let from = from.timestamp_millis();
            format!("&startTime={from}&endTime={}", from + TRADE_WINDOW_MS - 1)
        }
        TradeCursor::Venue(next) => format!("&fromId={}", next.parse::<u64>().ok()?),
        TradeCursor::BeforeId(_) | TradeCursor::BeforeTime(_) => return None,
    };
    Some(format!("symbol={}{start}&limit=1000", percent_encode(&instrument.rest_id)))
}

/// A row of the instrument list. All buckets lie on the UTC grid, weeks open on Monday.
fn instrument(product: &Product, market: &Market<'_>) -> Option<Instrument> {
    let symbol = (product.unified)(market)?;
    let instrument = Instrument::new(symbol, &*market.symbol, &*market.symbol);
    Some(Instrument { is_trading: market.status == "TRADING", ..instrument })
}

pub fn decode_instruments(
    product: &Product,
    asked: Option<&Symbol>,
    reply: &HttpReply,
) -> Result<Vec<Instrument>, VenueError> {
    let mut instruments = read(product, reply, |json| {
        let info: ExchangeInfo<'_> = serde_json::from_str(json)?;
        Ok(Ok(info.symbols.iter().filter_map(|market| instrument(product, market)).collect::<Vec<_>>()))
    })?;
    if let Some(asked) = asked {
        instruments.retain(|instrument| instrument.symbol == *asked);
        if instruments.is_empty() {
            return Err(VenueError::new(
                ErrorKind::UnknownSymbol,
                format!("{} lists no {asked}", product.capabilities.name),
            ));
        }
    }
    Ok(instruments)
}

pub fn decode_candles(product: &Product, timeframe: Timeframe, reply: &HttpReply) -> Result<Vec<Candle>, VenueError> {
    let grid = Grid::utc(timeframe);
    let candles = read(product, reply, |json| {
        let rows: Vec<KlineRow<'_>> = serde_json::from_str(json)?;
        Ok(rows.iter().map(|row| row.0.candle(grid)).collect::<Result<Vec<_>, _>>())
    })?;
    Ok(ascending(candles))
}

pub fn decode_trades(product: &Product, reply: &HttpReply) -> Result<TradePage, VenueError> {
    let mut rows = read(product, reply, |json| {
        let rows: Vec<AggTrade<'_>> = serde_json::from_str(json)?;
        Ok(rows.iter().map(|row| Ok((row.id.count("a")?, row.trade()?))).collect::<Result<Vec<_>, _>>())
    })?;
    rows.sort_by_key(|(id, _)| *id);
    rows.dedup_by_key(|(id, _)| *id);
    // A short page is no proof of the end: it may have been cut by its window of time.
    let next = rows.last().map(|(id, _)| TradeCursor::Venue(id.saturating_add(1).to_string()));
    Ok(TradePage { trades: rows.into_iter().filter_map(|(_, trade)| trade).collect(), next })
}

/// Day tickers; a single market's is no array.
pub fn decode_tickers(product: &Product, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    read(product, reply, |json| {
        let rows: Vec<DayTicker<'_>> = match json.trim_start().starts_with('{') {
            true => vec![serde_json::from_str(json)?],
            false => serde_json::from_str(json)?,
        };
        Ok(rows.iter().map(|row| Ok((row.symbol.0.clone().into_owned(), row.ticker()?))).collect())
    })
}

#[cfg(test)]
mod tests;
