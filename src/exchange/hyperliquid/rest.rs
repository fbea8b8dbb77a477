//! `POST /info`: what is asked, and what the answers say.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::exchange::wire::ascending;
use crate::exchange::{
    Cost, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Grid, Span, Symbol, Ticker, Timeframe};

use super::symbols::{self, is_of_another_dex};
use super::wire::{Asset, Bar, Context, Dex, Meta, Pair, Scalar, Token, TradeRow, malformed};
use super::{CAPABILITIES, NEWEST_ROWS};

/// Weight of every read used here, before the rows it returns.
const WEIGHT: u32 = 20;
/// Rows that add one to the weight of a page of candles.
const CANDLES_PER_WEIGHT: u32 = 60;
/// Rows of recent trades; the venue names no number.
pub const RECENT_TRADES: u32 = 10;
/// Rows that add one to the weight of recent trades.
const TRADES_PER_WEIGHT: u32 = 20;

fn post(base: &str, body: impl Serialize, units: u32) -> HttpRequest {
    let body = serde_json::to_string(&body).expect("strings and numbers always become JSON");
    HttpRequest {
        method: Method::Post,
        url: format!("{base}/info"),
        headers: Vec::new(),
        body: Some(body),
        cost: Cost { limit: 0, units },
    }
}

/// The lists that can hold the symbols: perpetuals, spot pairs, and the names of the other dexes,
/// which list their markets themselves. All of them where nothing is named.
pub fn encode_instruments(base: &str, symbols: &[Symbol]) -> Vec<HttpRequest> {
    let any = |holds: fn(&Symbol) -> bool| symbols.is_empty() || symbols.iter().any(holds);
    let lists = [
        (any(|symbol| symbol.settle().is_some() && !is_of_another_dex(symbol)), "meta"),
        (any(|symbol| symbol.settle().is_none()), "spotMeta"),
        (any(is_of_another_dex), "perpDexs"),
    ];
    let wanted = lists.into_iter().filter(|(is_wanted, _)| *is_wanted);
    wanted.map(|(_, list)| post(base, json!({ "type": list }), WEIGHT)).collect()
}

/// A list of dexes leads to the markets of each.
pub fn next_instruments(base: &str, reply: &HttpReply) -> Vec<HttpRequest> {
    let dexes = serde_json::from_slice::<Vec<Option<Dex<'_>>>>(&reply.body).unwrap_or_default();
    let names = dexes.into_iter().flatten().map(|dex| dex.name.0);
    names.map(|dex| post(base, json!({ "type": "meta", "dex": dex }), WEIGHT)).collect()
}

/// Both bounds are milliseconds. Bars that overlap the window are returned, so the end lies inside
/// the last bucket wanted.
pub fn encode_candles(base: &str, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
    let (start, end) = (span.from.timestamp_millis().max(0), span.to.timestamp_millis() - 1);
    let rows = u32::try_from(Grid::utc(timeframe).count(span)).unwrap_or(NEWEST_ROWS).min(NEWEST_ROWS);
    let interval = CAPABILITIES.wire_interval(timeframe).unwrap_or_default();
    let wanted = json!({ "coin": instrument.rest_id, "interval": interval, "startTime": start, "endTime": end.max(0) });
    let body = json!({ "type": "candleSnapshot", "req": wanted });
    post(base, body, WEIGHT + rows.div_ceil(CANDLES_PER_WEIGHT))
}

/// The newest trades; there is no reading back.
pub fn encode_recent_trades(base: &str, instrument: &Instrument) -> HttpRequest {
    let units = WEIGHT + RECENT_TRADES.div_ceil(TRADES_PER_WEIGHT);
    post(base, json!({ "type": "recentTrades", "coin": instrument.rest_id }), units)
}

/// One call for all spot pairs, one for all perpetuals of each dex.
pub fn encode_tickers(base: &str, instruments: &[Instrument]) -> Vec<HttpRequest> {
    let mut calls = Vec::new();
    for instrument in instruments {
        let body = match (instrument.symbol.settle(), instrument.rest_id.split_once(':')) {
            (None, _) => json!({ "type": "spotMetaAndAssetCtxs" }),
            (Some(_), None) => json!({ "type": "metaAndAssetCtxs" }),
            (Some(_), Some((dex, _))) => json!({ "type": "metaAndAssetCtxs", "dex": dex }),
        };
        let call = post(base, body, WEIGHT);
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

/// The body of a good answer read as `T`; errors are told by their status.
fn read<'a, T: serde::Deserialize<'a>>(reply: &'a HttpReply) -> Result<T, VenueError> {
    match (reply.status_error(), &*reply.body) {
        // An unknown coin is answered so.
        (Some(error), b"null") if reply.status == 500 => Err(VenueError::new(ErrorKind::UnknownSymbol, error.message)),
        (Some(error), _) => Err(error),
        (None, body) => serde_json::from_slice(body)
            .map_err(|error| malformed(format!("not Hyperliquid's JSON ({error}): {}", reply.excerpt()))),
    }
}

/// All rows of a page, the bar in progress included.
pub fn decode_candles(timeframe: Timeframe, reply: &HttpReply) -> Result<Vec<Candle>, VenueError> {
    let rows = read::<Vec<Bar<'_>>>(reply)?;
    let candles = rows.iter().map(|row| match CAPABILITIES.timeframe_of_wire(&row.i.0) {
        Some(of) if of == timeframe => row.candle(timeframe),
        _ => Err(malformed(format!("a bar of {} among those of {timeframe}", row.i.0))),
    });
    Ok(ascending(candles.collect::<Result<_, _>>()?))
}

/// The newest trades.
pub fn decode_trades(reply: &HttpReply) -> Result<TradePage, VenueError> {
    let rows = read::<Vec<TradeRow<'_>>>(reply)?;
    let mut trades = rows.iter().rev().map(TradeRow::trade).collect::<Result<Vec<_>, _>>()?;
    trades.sort_by_key(|trade| trade.time);
    let mut known = std::collections::HashSet::new();
    trades.retain(|trade| known.insert(trade.id.clone()));
    Ok(TradePage { trades, next: None::<TradeCursor> })
}

/// The readable ones among some rows; an error where none is.
fn readable<'a, T: serde::Deserialize<'a>>(rows: &[&'a RawValue]) -> Result<Vec<T>, VenueError> {
    let found: Vec<T> = rows.iter().filter_map(|row| serde_json::from_str(row.get()).ok()).collect();
    if found.is_empty() && !rows.is_empty() {
        return Err(malformed(format!("none of {} entries can be read", rows.len())));
    }
    Ok(found)
}

/// The markets of a list. Dexes that settle in another token than USDC are left out: only the list
/// of spot tokens names it. A list of dexes holds no markets itself.
pub fn decode_instruments(reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    if reply.status == 200 && serde_json::from_slice::<Vec<Option<Dex<'_>>>>(&reply.body).is_ok() {
        return Ok(Vec::new());
    }
    let meta = read::<Meta<'_>>(reply)?;
    match &meta.tokens {
        Some(tokens) => {
            Ok(symbols::spot_pairs(&readable::<Token<'_>>(tokens)?, readable::<Pair<'_>>(&meta.universe)?.into_iter()))
        }
        None if meta.collateral_token.unwrap_or(0) != 0 => Ok(Vec::new()),
        None => Ok(readable::<Asset<'_>>(&meta.universe)?.iter().filter_map(symbols::perpetual).collect()),
    }
}

/// Tickers of a list of markets with their states. Those of spot pairs name their coin; those of
/// perpetuals are in the order of the list.
pub fn decode_tickers(reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
    let (meta, contexts) = read::<(Meta<'_>, Vec<&RawValue>)>(reply)?;
    let float = |value: Option<Scalar<'_>>| value.and_then(|value| value.float("ticker").ok());
    let mut tickers = Vec::with_capacity(contexts.len());
    for (index, context) in contexts.into_iter().enumerate() {
        let Ok(context) = serde_json::from_str::<Context<'_>>(context.get()) else { continue };
        let listed = || {
            let asset = meta.universe.get(index)?;
            serde_json::from_str::<Asset<'_>>(asset.get()).ok().map(|asset| asset.name.0.into_owned())
        };
        let Some(coin) = context.coin.map(|coin| coin.0.into_owned()).or_else(listed) else { continue };
        let impact = |side: usize| float(context.impact_pxs.as_ref().and_then(|prices| prices.get(side)).copied());
        let ticker = Ticker {
            time: None,
            last: float(context.mid_px),
            bid: impact(0),
            ask: impact(1),
            volume: float(context.day_base_vlm),
            quote_volume: float(context.day_ntl_vlm),
        };
        tickers.push((coin, ticker));
    }
    Ok(tickers)
}

#[cfg(test)]
mod tests;
