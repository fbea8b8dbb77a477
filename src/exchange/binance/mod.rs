//! Binance, spot market: what it can do, as data, and what its calls and markets are called.
//!
//! How it speaks is `exchange::mbx`. Derivatives live on other hosts with other limits and the same
//! ids, and are another venue.

use std::sync::Arc;
use std::time::Duration;

use super::mbx::{Call, LATE_BAR_DELAYS, Market, Mbx, Product, TIMEFRAMES};
use super::request::percent_encode;
use super::{
    CandleRest, CandleStream, Capabilities, ConnectionLimits, Depth, Dialect, Endpoints, InstrumentSource, QuietPolicy,
    RateLimit, TradeHistory, TradeRest, TradeStream,
};
use crate::market::Symbol;

/// What Binance spot can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "binance",
    name: "Binance",
    rest_url: "https://api.binance.com",
    stream_url: Some("wss://stream.binance.com:9443"),
    timeframes: TIMEFRAMES,
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: 1000, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(5) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: 1000,
        history: TradeHistory::Forward(Depth::Full),
        ids_are_dense: true,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: true }),
    quiet: QuietPolicy::Emits,
    settle: Duration::from_secs(2),
    settle_empty: Duration::from_secs(120),
    late_bar_delays: LATE_BAR_DELAYS,
    derives_higher: true,
    has_sessions: false,
    limits: &[RateLimit { name: "request weight", capacity: 6000, window: Duration::from_secs(60) }],
    connection: ConnectionLimits {
        max_subscriptions: 1024,
        connects: RateLimit { name: "connects", capacity: 300, window: Duration::from_secs(300) },
        // The venue takes 5 frames a second from us and counts our pongs among them.
        control_frames_per_second: 4,
        lifetime: Some(Duration::from_secs(24 * 3600)),
        // The server pings every 20 s; three missing pings are a dead connection.
        idle_limit: Duration::from_secs(60),
        ping_every: None,
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "Spot. Full history. Some countries are refused (HTTP 451): there set the REST URL to \
             https://data-api.binance.vision and the stream URL to wss://data-stream.binance.vision.",
};

/// Markets of one ticker call: up to so many it weighs least.
const TICKERS_PER_CALL: usize = 20;

pub(super) static SPOT: Product = Product {
    capabilities: &CAPABILITIES,
    exchange_info: Call { path: "/api/v3/exchangeInfo", weight: 20 },
    klines: "/api/v3/klines",
    klines_weight: |_| 2,
    agg_trades: Call { path: "/api/v3/aggTrades", weight: 4 },
    tickers,
    stream_path: "/ws",
    stream_suffixes: &["/ws", "/stream"],
    unified,
    refused_country: "set the REST URL to https://data-api.binance.vision and the stream URL to \
        wss://data-stream.binance.vision; ",
};

/// The spot dialect for given addresses.
pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
    Mbx::build(endpoints, &SPOT)
}

/// The unified name of a spot market; `None` for assets whose names cannot be one.
fn unified(market: &Market<'_>) -> Option<Symbol> {
    format!("{}/{}", market.base_asset, market.quote_asset).parse().ok()
}

fn tickers(ids: &[&str]) -> Vec<(Call, String)> {
    let call = Call { path: "/api/v3/ticker/24hr", weight: 2 };
    ids.chunks(TICKERS_PER_CALL)
        .map(|ids| (call, format!("symbols={}", percent_encode(&serde_json::json!(ids).to_string()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Channel, Subscription, registry};
    use crate::market::Timeframe;

    fn dialect() -> Arc<dyn Dialect> {
        build(registry::find("binance").unwrap().public_endpoints())
    }

    #[test]
    fn all_sixteen_timeframes_are_native_under_their_own_names() {
        let rows = CAPABILITIES.timeframes.iter().map(|row| (row.timeframe, row.wire)).collect::<Vec<_>>();
        let all = Timeframe::all().map(|timeframe| (timeframe, timeframe.as_str())).collect::<Vec<_>>();
        assert_eq!(rows, all);
        assert_eq!(rows.len(), 16);
    }

    #[test]
    fn streams_share_one_address() {
        let dialect = dialect();
        let url = |channel| dialect.stream_url(&Subscription { channel, stream_id: "BTCUSDT".into() });
        assert_eq!(url(Channel::Trades), "wss://stream.binance.com:9443/ws");
        assert_eq!(url(Channel::Candles(Timeframe::M1)), url(Channel::Trades));
        assert_eq!(dialect.encode_ping(1), None);
    }
}
