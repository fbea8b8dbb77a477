//! Binance's USD-margined futures: what they can do, as data, and what their calls and markets are
//! called. How they speak is `exchange::mbx`.
//!
//! Facts follow the venue's public API documents (USD-M futures, market data and web socket market
//! streams) as of July 2026. Ids are those of the spot market (`BTCUSDT`), on other hosts. Aggregated
//! trades leave out what insurance fund and auto-deleveraging traded: their trade ids have holes.
//!
//! The stream has routes: candles and aggregated trades come below `/market`. Addresses without a
//! route still connect and acknowledge, but have sent no market data since April 2026; one that is
//! configured is led to the route.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::mbx::{Call, LATE_BAR_DELAYS, Market, Mbx, Product, TIMEFRAMES};
use super::request::percent_encode;
use super::{
    CandleRest, CandleStream, Capabilities, ConnectionLimits, Depth, Dialect, Endpoints, InstrumentSource, QuietPolicy,
    RateLimit, TradeHistory, TradeRest, TradeStream,
};
use crate::market::Symbol;

/// What Binance's USD-M futures can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "binanceusdm",
    name: "Binance USD-M",
    rest_url: "https://fapi.binance.com",
    stream_url: Some("wss://fstream.binance.com"),
    // Bars of a second are a thing of the spot market.
    timeframes: TIMEFRAMES.split_at(1).1,
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: 1500, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(5) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: 1000,
        history: TradeHistory::Forward(Depth::Full),
        ids_are_dense: false,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: false }),
    quiet: QuietPolicy::Emits,
    settle: Duration::from_secs(2),
    settle_empty: Duration::from_secs(120),
    late_bar_delays: LATE_BAR_DELAYS,
    derives_higher: true,
    has_sessions: false,
    limits: &[RateLimit { name: "request weight", capacity: 2400, window: Duration::from_secs(60) }],
    connection: ConnectionLimits {
        // The documents speak of 1024 in one place and of 200 in another.
        max_subscriptions: 200,
        connects: RateLimit { name: "connects", capacity: 300, window: Duration::from_secs(300) },
        // The venue takes 10 frames a second from us and counts our pongs among them.
        control_frames_per_second: 9,
        lifetime: Some(Duration::from_secs(24 * 3600)),
        // The server pings every three minutes; two missing pings are a dead connection.
        idle_limit: Duration::from_secs(400),
        ping_every: None,
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "USD-M futures, perpetual (BTC/USDT:USDT) and dated (BTC/USDT:USDT-261225). Full history.",
};

/// A call for all tickers costs as much as so many calls for one.
const ALL_TICKERS_WEIGHT: u32 = 40;

pub(super) static USD_M: Product = Product {
    capabilities: &CAPABILITIES,
    exchange_info: Call { path: "/fapi/v1/exchangeInfo", weight: 1 },
    klines: "/fapi/v1/klines",
    klines_weight: |rows| match rows {
        ..100 => 1,
        100..500 => 2,
        500..=1000 => 5,
        _ => 10,
    },
    agg_trades: Call { path: "/fapi/v1/aggTrades", weight: 20 },
    tickers,
    stream_path: "/market/ws",
    stream_suffixes: &["/market/ws", "/market/stream", "/market", "/ws", "/stream"],
    unified,
    refused_country: "use an address in another one; ",
};

/// The USD-M dialect for given addresses.
pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
    Mbx::build(endpoints, &USD_M)
}

/// `BTC/USDT:USDT` for a perpetual contract, with its last day for a dated one; `None` for those that
/// have not begun or whose names cannot be a unified one.
fn unified(market: &Market<'_>) -> Option<Symbol> {
    let kind = market.contract_type.as_deref().filter(|kind| !kind.is_empty())?;
    let margin = market.margin_asset.as_deref()?;
    let pair = format!("{}/{}:{margin}", market.base_asset, market.quote_asset);
    // Contracts on stocks are `TRADIFI_PERPETUAL`.
    if kind.ends_with("PERPETUAL") {
        return pair.parse().ok();
    }
    let ends: DateTime<Utc> = market.delivery_date.time("deliveryDate").ok()?;
    format!("{pair}-{}", ends.format("%y%m%d")).parse().ok()
}

/// One call for each market, until one for all costs no more.
fn tickers(ids: &[&str]) -> Vec<(Call, String)> {
    let call = |weight| Call { path: "/fapi/v1/ticker/24hr", weight };
    if ids.len() as u64 > u64::from(ALL_TICKERS_WEIGHT) {
        return vec![(call(ALL_TICKERS_WEIGHT), String::new())];
    }
    ids.iter().map(|id| (call(1), format!("symbol={}", percent_encode(id)))).collect()
}

#[cfg(test)]
mod tests;
